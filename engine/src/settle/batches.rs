//! Computing a batch: beside the pipeline, from sealed windows, which never change.

use super::archive::{Archive, NotLoaded};
use super::signing::signed;
use crate::journal::names::{self, NamedLeg};
use crate::journal::{Tables, kept};
use crate::ledger::batch::Payment;
use crate::ledger::control::{self, Used};
use crate::ledger::{BatchContent, BatchHead, Caller, OpenBatch, Rail, Refusal, Request, Wish};
use crate::limits::{BATCH_ATTEMPTS_MAX, BATCH_OFFERS_MAX};
use crate::pipeline::{Done, Intake, NotDone};
use crate::rails;
use crate::sign::{EngineKey, Signed};
use crate::types::{AssetNumber, BatchId, Total, WindowNumber, batch_statement};
use crate::vault::{Vault, VaultError};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Fields of the clearing account on each rail, ordered by name.
pub type Clearing = BTreeMap<Rail, Vec<(String, String)>>;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct CreateBatch {
    /// Who asks.
    pub caller: Caller,
    /// By which request.
    pub request: Request,
    /// Whether another operator must approve.
    pub four_eyes: bool,
    /// The windows to settle, ascending.
    pub windows: Vec<WindowNumber>,
    /// The asset to settle.
    pub asset: AssetNumber,
    /// The rail to settle it on.
    pub rail: Rail,
    /// A batch that moves less is not made.
    pub least: Total,
}

/// Work for a batch, which takes its time.
pub type Work = Box<dyn FnOnce() -> Computed + Send>;
/// What comes of it.
pub type Computed = Result<Ready, NotLoaded>;

/// What comes of a call for a batch.
pub type Created = Result<Arc<BatchHead>, NotLoaded>;

/// A batch that is computed and kept, and fits what there was at a version of the directory.
pub struct Ready {
    used: Arc<Used>,
    version: u64,
}

impl Ready {
    /// Looks whether what was used is still so, party by party, so that the sequencer never waits
    /// for the lock. What others change meanwhile is none of its business.
    fn look(self, intake: &Intake) -> Computed {
        let (version, changed) = {
            let control = intake.control();
            (control.directory_version(), control.changed_since(self.version))
        };
        let fits = |party| self.used.fits(&intake.control(), party);
        let fits = match changed {
            Some(changed) => changed.into_iter().all(fits),
            None => self.used.parties().all(fits),
        };
        if fits { Ok(Self { version, ..self }) } else { Err(Refusal::AccountsMoved.into()) }
    }
}

/// Computes a batch and has it journaled, where the caller says how the work is done.
///
/// # Errors
/// `Refused` by a rule, `Busy`, or `Storage`.
pub async fn create_batch_by<F: Future<Output = Computed>>(
    intake: &Intake,
    archive: &Archive,
    engine_key: &EngineKey,
    clearing: &Clearing,
    ask: &CreateBatch,
    aside: impl Fn(Work) -> F,
) -> Created {
    for _ in 0..BATCH_ATTEMPTS_MAX {
        if let Some(first) = intake.read(|control| first_result(control, &ask.request)).await?? {
            return Ok(first);
        }
        let done = match aside(work(intake, archive, clearing, ask).await?).await {
            Ok(ready) => offer(intake, engine_key, ask, ready, &aside).await,
            Err(error) => Err(error),
        };
        match done {
            Err(NotLoaded::NotDone(NotDone::Refused(Refusal::AccountsMoved))) => {}
            Ok(Some(head)) => return Ok(head),
            // Another call with this request was faster.
            Ok(None) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Refusal::AccountsMoved.into())
}

/// A leg of a batch as it is kept by its name, with the account that its money leaves sealed.
pub(super) fn named_leg(
    vault: &Vault,
    content: &OpenBatch,
    leg: u32,
) -> Result<NamedLeg, VaultError> {
    let (of, rail) = (&content.legs[leg as usize], content.head.policy.rail);
    let Payment { from: payer, to: payee, amount, .. } = of.payment;
    let (key, batch) = (of.key.clone(), content.head.id);
    let account = rails::own_account(content, &of.payment);
    let account = vault.seal_leaves(payer, rail.name(), account)?;
    Ok(NamedLeg { batch, leg, payer, payee, amount, key, account })
}

/// Keeps the legs of a batch by what their rail calls them.
pub(super) fn keep_names(
    vault: &Vault,
    tables: &dyn Tables,
    content: &OpenBatch,
) -> Result<(), NotLoaded> {
    let rail = content.head.policy.rail;
    let legs = u32::try_from(content.legs.len()).expect("legs are limited");
    let mut failed = None;
    let named = (0..legs).map_while(|leg| match named_leg(vault, content, leg) {
        Ok(named) => Some((rails::leg_name(rail, &named.key), named)),
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    names::put_legs(tables, rail, named)?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

fn first_result(
    control: &control::Control,
    request: &Request,
) -> Result<Option<Arc<BatchHead>>, Refusal> {
    let Some(lsn) = control.answered(request)? else { return Ok(None) };
    let batch: BatchId = control.batch_computed_by(lsn).expect("the request computed a batch");
    Ok(Some(control.batch(batch)?.head.clone()))
}

/// The work: to compute the batch, keep it, and look whether it still fits.
async fn work(
    intake: &Intake,
    archive: &Archive,
    clearing: &Clearing,
    ask: &CreateBatch,
) -> Result<Work, NotLoaded> {
    let (windows, asset, version) = intake
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
    let (intake, rail, archive, least) = (intake.clone(), ask.rail, archive.clone(), ask.least);
    Ok(Box::new(move || {
        let windows = archive.windows(&windows, asset.number)?;
        // The lock is taken anew for each account, so that the sequencer never waits for a batch.
        let number = asset.number;
        let account = |party| intake.control().account(party, rail);
        let free = RefCell::new(Vec::new());
        let prefund = |party| {
            let found = intake.control().free_prefund(party, number);
            free.borrow_mut().push((party, found));
            found
        };
        let content = BatchContent::compute(&windows, &asset, &policy, account, prefund)?;
        let size = content.head.size();
        if size < least {
            return Err(Refusal::BelowLeast { size, least }.into());
        }
        let open = archive.vault().open_batch(&content)?;
        rails::check_batch(&open)?;
        let (head, accounts) = (content.head.clone(), content.accounts.clone());
        let mut free = free.into_inner();
        free.sort_unstable();
        let used = Arc::new(Used { head, accounts, free });
        // Told before anything is kept; it is decided where the batch is journaled.
        intake.control().check_doubts(&used)?;
        // What it was computed from is durable before the record that speaks of it.
        kept::put_batch(archive.tables(), &content)?;
        keep_names(archive.vault(), archive.tables(), &open)?;
        archive.hold(Arc::new(content));
        Ready { used, version }.look(&intake)
    }))
}

/// Has a batch journaled, as long as it fits. `None` when its request was answered meanwhile.
async fn offer<F: Future<Output = Computed>>(
    intake: &Intake,
    engine_key: &EngineKey,
    ask: &CreateBatch,
    mut ready: Ready,
    aside: impl Fn(Work) -> F,
) -> Result<Option<Arc<BatchHead>>, NotLoaded> {
    for _ in 0..BATCH_OFFERS_MAX {
        let head = ready.used.head.clone();
        let (network, history) = (intake.hasher().network(), intake.control().history());
        let (operator, four_eyes) = (&ask.caller.name, ask.four_eyes);
        let statement = batch_statement(network, head.id, history, operator, four_eyes);
        let Signed { key, signature } = signed(intake, engine_key, &statement);
        let used = ready.used.clone();
        let directory_version = ready.version;
        let history = history.lsn;
        let create =
            control::CreateBatch { four_eyes, used, history, key, signature, directory_version };
        let wish = Wish::CreateBatch(create);
        match intake.command(wish.by(ask.caller.clone(), ask.request.clone())).await {
            Ok(Done::Now(_)) => return Ok(Some(head)),
            Ok(Done::Before(_)) => return Ok(None),
            // The engine's key was rotated at this very moment: once more, with the new one.
            Err(NotDone::Refused(Refusal::EngineKeyMoved)) => {}
            Err(NotDone::Refused(Refusal::AccountsMoved)) => {
                let intake = intake.clone();
                ready = aside(Box::new(move || ready.look(&intake))).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::AccountsMoved.into())
}
