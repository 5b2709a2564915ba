//! Computing a batch: beside the pipeline, from sealed windows, which never change.

use crate::ledger::control::{self, Command};
use crate::ledger::{BatchContent, Rail, Refusal, Request};
use crate::pipeline::{Intake, NotDone};
use crate::rails;
use crate::types::{AssetNumber, BatchId, WindowNumber};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Fields of the clearing account on each rail, ordered by name.
pub type Clearing = BTreeMap<Rail, Vec<(String, String)>>;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct CreateBatch {
    /// Who asks.
    pub request: Request,
    /// The windows to settle, ascending.
    pub windows: Vec<WindowNumber>,
    /// The asset to settle.
    pub asset: AssetNumber,
    /// The rail to settle it on.
    pub rail: Rail,
}

/// Accounts may change while a batch is computed; then it is computed again, at most so often.
const ATTEMPTS: usize = 8;

/// Computes a batch and has it journaled.
///
/// # Errors
/// `Refused` by a rule, or `Busy`.
pub async fn create_batch(
    intake: &Intake,
    clearing: &Clearing,
    ask: &CreateBatch,
) -> Result<Arc<BatchContent>, NotDone> {
    for _ in 0..ATTEMPTS {
        if let Some(first) = intake.read(|control| first_result(control, &ask.request)).await?? {
            return Ok(first);
        }
        match compute(intake, clearing, ask).await {
            Err(NotDone::Refused(Refusal::AccountsMoved)) => {}
            done => return done,
        }
    }
    Err(Refusal::AccountsMoved.into())
}

fn first_result(
    control: &control::Control,
    request: &Request,
) -> Result<Option<Arc<BatchContent>>, Refusal> {
    let Some(lsn) = control.answered(request)? else { return Ok(None) };
    let batch: BatchId = control.batch_computed_by(lsn).expect("the request computed a batch");
    Ok(Some(control.batch(batch)?.content.clone()))
}

async fn compute(
    intake: &Intake,
    clearing: &Clearing,
    ask: &CreateBatch,
) -> Result<Arc<BatchContent>, NotDone> {
    let (windows, asset, directory_version) = intake
        .read(|control| {
            let windows = control.settleable(&ask.windows, ask.asset)?;
            Ok::<_, Refusal>((
                windows,
                control.asset(ask.asset)?.clone(),
                control.directory_version(),
            ))
        })
        .await??;
    let account = clearing.get(&ask.rail).map_or(&[][..], Vec::as_slice);
    let policy = rails::policy(ask.rail, &asset, account)?;
    let (accounts, rail) = (intake.clone(), ask.rail);
    let content = tokio::task::spawn_blocking(move || {
        // The lock is taken anew for each account, so that the sequencer never waits for a batch. If
        // an account changes meanwhile, its version does, and the batch is refused and made again.
        BatchContent::compute(&windows, &asset, &policy, |party| {
            accounts.control().account(party, rail)
        })
    });
    let content = Arc::new(content.await.expect("computing a batch does not panic")?);
    let create = control::CreateBatch {
        request: ask.request.clone(),
        content: content.clone(),
        directory_version,
    };
    intake.command(Command::CreateBatch(create)).await?;
    Ok(content)
}
