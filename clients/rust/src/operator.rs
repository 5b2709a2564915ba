//! What operators and owners of parties do, from a program.
//!
//! Every call of the contract can be made: [`Operator::change`] and [`Operator::ask`] take the
//! generated client, put the caller's credential on it, and repeat what was not answered. A change
//! has one request id for all its tries, so that it happens once. The methods beside them are what
//! most programs need: windows, batches, statements.

use crate::error::{CallError, is_passing};
use crate::wire::operator_client::OperatorClient;
use crate::wire::{
    Batch, CloseWindowRequest, CreateBatchRequest, GetBatchRequest, GetStatementRequest,
    GetStatusRequest, StatementLine, Status as EngineStatus, Window, WindowAssetRequest,
};
use crate::{ConnectError, Credentials, Link, Token, Way};
use data_encoding::HEXLOWER;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tonic::service::interceptor::InterceptedService;
use tonic::{Response, Status};

/// The generated client, with the caller's credential on every call.
pub type OperatorCalls = OperatorClient<InterceptedService<Link, Token>>;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Pauses before a call is made once more: some ten seconds in all, which a restart takes.
const PAUSES_MS: [u64; 7] = [100, 200, 500, 1_000, 2_000, 3_000, 3_000];
/// How long an owner of several nodes is looked for before there is no other try.
const SEARCHED: Duration = Duration::from_secs(15);

/// An operator's connection. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    calls: OperatorCalls,
}

impl Operator {
    /// Connects to the engine at `server` (`HOST:PORT`, or a URL; of several nodes all of them,
    /// with commas between).
    ///
    /// # Errors
    /// `ConnectError` when nobody answers, or who answers does not fit.
    pub async fn connect(server: &str, credentials: &Credentials) -> Result<Self, ConnectError> {
        let way = Way::prepare(server, credentials)?;
        let line = way.connect().await?;
        let calls = OperatorClient::with_interceptor(line, way.token())
            .max_decoding_message_size(ANSWER_BYTES_MAX);
        Ok(Self { calls })
    }

    /// The generated client: for calls that answer with a stream, or take one.
    #[must_use]
    pub fn calls(&self) -> OperatorCalls {
        self.calls.clone()
    }

    /// Makes a change, until it is answered: all tries have the same request id, so it happens
    /// once.
    ///
    /// ```no_run
    /// use tallystick_client::wire::CloseWindowRequest;
    /// # use tallystick_client::{CallError, Operator};
    /// # async fn f(operator: Operator) -> Result<(), CallError> {
    /// let window = operator
    ///     .change(|mut calls, request_id| async move {
    ///         calls.close_window(CloseWindowRequest { request_id }).await
    ///     })
    ///     .await?;
    /// # drop(window); Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The engine's refusal, or that of the last try. `CallError::is_passing` says whether the
    /// change may have happened all the same.
    pub async fn change<T, F>(
        &self,
        call: impl Fn(OperatorCalls, String) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let id = request_id()?;
        self.change_as(&id, call).await
    }

    /// The same under a request id of your own, so that it can also be repeated after a crash.
    ///
    /// # Errors
    /// As for `change`.
    pub async fn change_as<T, F>(
        &self,
        request_id: &str,
        call: impl Fn(OperatorCalls, String) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.ask(|calls| call(calls, request_id.to_owned())).await
    }

    /// Asks something, until it is answered.
    ///
    /// # Errors
    /// The engine's refusal, or that of the last try.
    pub async fn ask<T, F>(&self, call: impl Fn(OperatorCalls) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let from = Instant::now();
        for pause in PAUSES_MS {
            match call(self.calls()).await {
                Err(status) if is_passing(&status) && !is_searched(&status, from) => {}
                answer => return Ok(answer?.into_inner()),
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Ok(call(self.calls()).await?.into_inner())
    }

    /// What the engine is and does right now.
    ///
    /// # Errors
    /// As for `ask`.
    pub async fn status(&self) -> Result<EngineStatus, CallError> {
        self.ask(|mut calls| async move { calls.get_status(GetStatusRequest {}).await }).await
    }

    /// Closes the open window; the next one opens at once.
    ///
    /// # Errors
    /// As for `change`.
    pub async fn close_window(&self) -> Result<Window, CallError> {
        self.change(|mut calls, request_id| async move {
            calls.close_window(CloseWindowRequest { request_id }).await
        })
        .await
    }

    /// Who owes whom in a window, gross: (payer, payee) to units.
    ///
    /// # Errors
    /// As for `ask`; or what comes is no list of obligations.
    pub async fn obligations(
        &self,
        window: u64,
        asset: u32,
    ) -> Result<BTreeMap<([u8; 32], [u8; 32]), u128>, CallError> {
        let foreign = || CallError::Foreign("an obligation is two parties and a sum".into());
        let mut rows = self
            .ask(|mut calls| async move {
                let request = WindowAssetRequest { window, asset, ..WindowAssetRequest::default() };
                calls.list_obligations(request).await
            })
            .await?;
        let mut all = BTreeMap::new();
        while let Some(row) = rows.message().await? {
            let party = |id: &[u8]| id.try_into().map_err(|_| foreign());
            let amount = row.amount.parse().map_err(|_| foreign())?;
            all.insert((party(&row.payer)?, party(&row.payee)?), amount);
        }
        Ok(all)
    }

    /// Makes a batch of closed windows in one asset over one rail.
    ///
    /// # Errors
    /// As for `change`.
    pub async fn create_batch(
        &self,
        windows: &[u64],
        asset: u32,
        rail: &str,
    ) -> Result<Batch, CallError> {
        self.change(|mut calls, request_id| {
            let (windows, rail) = (windows.to_vec(), rail.to_owned());
            let request = CreateBatchRequest { request_id, windows, asset, rail };
            async move { calls.create_batch(request).await }
        })
        .await
    }

    /// Where a batch stands.
    ///
    /// # Errors
    /// As for `ask`.
    pub async fn batch(&self, batch_id: &[u8]) -> Result<Batch, CallError> {
        let batch_id = bytes::Bytes::copy_from_slice(batch_id);
        self.ask(|mut calls| {
            let request = GetBatchRequest { batch_id: batch_id.clone() };
            async move { calls.get_batch(request).await }
        })
        .await
    }

    /// A party's statement: what it sent and received and had left, window by window. All pages.
    ///
    /// # Errors
    /// As for `ask`.
    pub async fn statement(
        &self,
        party: [u8; 32],
        asset: Option<u32>,
    ) -> Result<Vec<StatementLine>, CallError> {
        let mut lines = Vec::new();
        let mut first_window = 0;
        loop {
            let page = self
                .ask(|mut calls| async move {
                    let party_id = party.to_vec().into();
                    let request =
                        GetStatementRequest { party_id, asset, first_window, last_window: 0 };
                    calls.get_statement(request).await
                })
                .await?;
            lines.extend(page.lines);
            match page.next_window {
                0 => return Ok(lines),
                next => first_window = next,
            }
        }
    }
}

/// Whether an owner was looked for long enough since then, and there is none.
fn is_searched(status: &Status, from: Instant) -> bool {
    let is_no_owner = std::error::Error::source(status).is_some_and(|why| why.is::<ConnectError>());
    is_no_owner && from.elapsed() > SEARCHED
}

/// A request id that nobody else has.
fn request_id() -> Result<String, CallError> {
    let mut bytes = [0; 16];
    let failed = |error: getrandom::Error| Status::internal(error.to_string());
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(HEXLOWER.encode(&bytes))
}
