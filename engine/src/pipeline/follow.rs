//! Following: a journal that another node writes. Its records are applied here as they come, what
//! follows from them is kept as its owner keeps it, and checkpoints are made on the way, so that
//! whoever takes the journal over has only the newest records to apply.
//!
//! How they come, and when the journal is one's own, is for the caller to say: never known here.

use super::commit;
use super::keep::{ENTRIES_LEAST, Keeper, Progress};
use super::recover::{Recovered, State, first_record, restore};
use super::replay::{Replayed, Replaying};
use crate::faults;
use crate::journal::checkpoint;
use crate::journal::{Chain, JournalError, Log, Record, Tables, Tail, replay};
use crate::ledger::control::Control;
use crate::ledger::event::LegsMoved;
use crate::ledger::{BatchContent, Genesis};
use crate::types::{ChannelHasher, Lsn, Timestamp};
use std::sync::{Arc, PoisonError};

/// What a follower does next.
pub enum Next<L> {
    /// It looks whether the copy has grown.
    More,
    /// The journal is its own now, and this is its epoch: nobody else writes it any more.
    Own(L, u32),
    /// It ends.
    Stop,
}

/// Where a follower stands.
#[derive(Clone, Copy)]
pub struct Stands<'a> {
    /// The last record that was applied.
    pub tail: Tail,
    /// The control state behind it; none where there is no record yet.
    pub control: Option<&'a Control>,
}

/// What is kept of batches beside their records, where that takes more than the records.
pub trait Beside {
    /// Keeps a batch that was computed.
    ///
    /// # Errors
    /// `JournalError` of the storage.
    fn batch(&self, content: BatchContent) -> Result<(), JournalError>;

    /// Keeps what its rail calls legs from here on. `control` is as before the record.
    ///
    /// # Errors
    /// `JournalError` of the storage.
    fn moved(&self, control: &Control, moved: &LegsMoved) -> Result<(), JournalError>;
}

/// What is kept beside the records of others.
#[derive(Clone, Copy)]
pub struct Keeping<'a> {
    /// What is kept of batches.
    pub beside: &'a dyn Beside,
    /// The records of this epoch, up to and with this one, were written here: what belongs beside
    /// them is there already.
    pub own: (u32, Lsn),
}

impl Keeping<'_> {
    /// Whether a record was written here.
    pub(super) fn is_own(&self, record: &Record<'_>) -> bool {
        let (epoch, to) = self.own;
        record.epoch == epoch && record.lsn <= to
    }
}

/// How a journal is followed.
#[derive(Clone, Copy)]
pub struct Following<'a> {
    /// Shards that the state is on.
    pub shards: u16,
    /// Bytes of records after which the next checkpoint is made.
    pub checkpoint_bytes: u64,
    /// What is kept.
    pub keeping: Keeping<'a>,
}

/// Recovers from `copy`, then follows what comes into it, until `next` says that the journal is its
/// own: then it applies the rest of that, and gives it back with what all records add up to. `None`
/// when it was told to end. A journal in which there is nothing when it becomes one's own gets its
/// genesis record.
///
/// # Errors
/// `Differs` where what was sealed or computed is something else here; `Damaged` names the record
/// that is wrong; the storage's own failures, and those of `next`, pass through.
pub fn follow<L: Log>(
    (copy, tables): (Arc<dyn Log>, &Arc<dyn Tables>),
    following: Following<'_>,
    genesis: impl FnOnce() -> (Genesis, Timestamp),
    next: &mut dyn FnMut(Stands<'_>) -> Result<Next<L>, JournalError>,
) -> Result<Option<(Recovered, L, u32)>, JournalError> {
    let Following { shards, checkpoint_bytes, keeping } = following;
    let (committed, mut owned) = (checkpoint::committed(&**tables)?, None);
    let (mut chain, state) = match &committed {
        Some(commit) => (Chain::after(commit.tail, commit.at), restore(&**tables, commit, shards)?),
        None => {
            let begun = begin(&*copy, genesis, &mut owned, next)?;
            let Some((chain, genesis)) = begun else { return Ok(None) };
            let state = State::new(genesis, chain.tail().history(), shards);
            (chain, state)
        }
    };
    let hasher = ChannelHasher::new(state.control.genesis().network);
    let progress = Arc::new(Progress::new(committed, ENTRIES_LEAST));
    let mut stopped = false;
    let replayed = Replaying::run(state, &**tables, &hasher, |replaying| {
        replaying.keep(keeping);
        let shared = (replaying.control().clone(), tables.clone());
        let count = usize::from(shards);
        let mut keeper = Keeper::new(copy.clone(), shared, progress.clone(), count);
        loop {
            let log: &dyn Log = owned.as_ref().map_or(&*copy, |(log, _)| log);
            replay(log, &mut chain, &mut |record| replaying.apply(&record))?;
            if owned.is_some() {
                return Ok(());
            }
            replaying.checkpoint(&chain, checkpoint_bytes, (&mut keeper, &progress))?;
            let control = replaying.control().read().unwrap_or_else(PoisonError::into_inner);
            match next(Stands { tail: chain.tail(), control: Some(&control) })? {
                Next::More => {}
                Next::Own(log, epoch) => owned = Some((log, epoch)),
                Next::Stop => {
                    stopped = true;
                    return Ok(());
                }
            }
        }
    })?;
    let Some((mut log, epoch)) = owned.filter(|_| !stopped) else { return Ok(None) };
    log.remember(chain.tail())?;
    let Replayed { state, unsealed, since, vouchers } = replayed;
    let State { mut control, shards, keys } = state;
    if let Some(most) = faults::requests_max() {
        control.bound_requests(most);
    }
    let checkpoint = progress.last();
    let recovered =
        Recovered { control, shards, keys, hasher, chain, unsealed, checkpoint, since, vouchers };
    Ok(Some((recovered, log, epoch)))
}

/// The first record, as soon as there is one; `None` when it was told to end.
fn begin<L: Log>(
    copy: &dyn Log,
    genesis: impl FnOnce() -> (Genesis, Timestamp),
    owned: &mut Option<(L, u32)>,
    next: &mut dyn FnMut(Stands<'_>) -> Result<Next<L>, JournalError>,
) -> Result<Option<(Chain, Genesis)>, JournalError> {
    loop {
        let log: &dyn Log = owned.as_ref().map_or(copy, |(log, _)| log);
        if let Some(begun) = first_record(log)? {
            return Ok(Some(begun));
        }
        if let Some((log, epoch)) = owned {
            let ((genesis, at), mut chain) = (genesis(), Chain::start());
            let framed = chain.frame_genesis(*epoch, at, &genesis);
            commit::append(log, &[framed])?;
            return Ok(Some((chain, genesis)));
        }
        match next(Stands { tail: Tail::START, control: None })? {
            Next::More => {}
            Next::Own(log, epoch) => *owned = Some((log, epoch)),
            Next::Stop => return Ok(None),
        }
    }
}
