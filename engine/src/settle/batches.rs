//! Computing a batch: beside the pipeline, from sealed windows, which never change.

use super::archive::{Archive, NotLoaded};
use super::signing::signed;
use crate::journal::kept;
use crate::ledger::control::{self, Command};
use crate::ledger::{BatchContent, BatchHead, By, Rail, Refusal, Request};
use crate::pipeline::{Intake, NotDone};
use crate::rails;
use crate::sign::{EngineKey, Signed};
use crate::types::{AssetNumber, BatchId, WindowNumber, batch_statement};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Fields of the clearing account on each rail, ordered by name.
pub type Clearing = BTreeMap<Rail, Vec<(String, String)>>;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct CreateBatch {
    /// Who asks.
    pub request: Request,
    /// Which operator, and whether another must approve.
    pub by: By,
    /// The windows to settle, ascending.
    pub windows: Vec<WindowNumber>,
    /// The asset to settle.
    pub asset: AssetNumber,
    /// The rail to settle it on.
    pub rail: Rail,
}

/// Accounts may change while a batch is computed; then it is computed again, at most so often.
const ATTEMPTS: usize = 8;

/// The computing of a batch, which takes its time.
pub type Work = Box<dyn FnOnce() -> Computed + Send>;
/// What comes of it.
pub type Computed = Result<Arc<BatchHead>, NotLoaded>;

/// Computes a batch and has it journaled.
///
/// # Errors
/// `Refused` by a rule, `Busy`, or `Storage`.
pub async fn create_batch(
    intake: &Intake,
    archive: &Archive,
    engine_key: &EngineKey,
    clearing: &Clearing,
    ask: &CreateBatch,
) -> Computed {
    let aside = |work: Work| async {
        let computed = tokio::task::spawn_blocking(work).await;
        computed.expect("computing a batch does not panic")
    };
    create_batch_by(intake, archive, engine_key, clearing, ask, aside).await
}

/// The same where the caller says how the work is done.
///
/// # Errors
/// As for `create_batch`.
pub async fn create_batch_by<F: Future<Output = Computed>>(
    intake: &Intake,
    archive: &Archive,
    engine_key: &EngineKey,
    clearing: &Clearing,
    ask: &CreateBatch,
    aside: impl Fn(Work) -> F,
) -> Computed {
    for _ in 0..ATTEMPTS {
        if let Some(first) = intake.read(|control| first_result(control, &ask.request)).await?? {
            return Ok(first);
        }
        match compute(intake, archive, engine_key, clearing, ask, &aside).await {
            Err(NotLoaded::NotDone(NotDone::Refused(
                Refusal::AccountsMoved | Refusal::EngineKeyMoved,
            ))) => {}
            done => return done,
        }
    }
    Err(Refusal::AccountsMoved.into())
}

fn first_result(
    control: &control::Control,
    request: &Request,
) -> Result<Option<Arc<BatchHead>>, Refusal> {
    let Some(lsn) = control.answered(request)? else { return Ok(None) };
    let batch: BatchId = control.batch_computed_by(lsn).expect("the request computed a batch");
    Ok(Some(control.batch(batch)?.head.clone()))
}

async fn compute<F: Future<Output = Computed>>(
    intake: &Intake,
    archive: &Archive,
    engine_key: &EngineKey,
    clearing: &Clearing,
    ask: &CreateBatch,
    aside: impl Fn(Work) -> F,
) -> Computed {
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
    let (accounts, rail, archive) = (intake.clone(), ask.rail, archive.clone());
    let work: Work = Box::new(move || {
        let load = |sealed| archive.window(sealed);
        let windows = windows.iter().map(load).collect::<Result<Vec<_>, _>>()?;
        // The lock is taken anew for each account, so that the sequencer never waits for a batch. If
        // an account changes meanwhile, its version does, and the batch is refused and made again.
        let number = asset.number;
        let account = |party| accounts.control().account(party, rail);
        let prefund = |party| accounts.control().free_prefund(party, number);
        let content = BatchContent::compute(&windows, &asset, &policy, account, prefund)?;
        rails::check_batch(&content)?;
        // What it was computed from is durable before the record that speaks of it.
        kept::put_batch(archive.store(), &content)?;
        let head = content.head.clone();
        archive.hold(Arc::new(content));
        Ok(head)
    });
    let head = aside(work).await?;
    let statement = batch_statement(intake.hasher().network(), head.id);
    let Signed { key, signature } = signed(intake, engine_key, &statement);
    let create = control::CreateBatch {
        request: ask.request.clone(),
        by: ask.by.clone(),
        head: head.clone(),
        key,
        signature,
        directory_version,
    };
    intake.command(Command::CreateBatch(create)).await?;
    Ok(head)
}
