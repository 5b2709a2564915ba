//! The way back: the last checkpoint, then the records behind it, applied again. Gives the state
//! that the last start had, on any number of shards, or refuses.
//!
//! Verdicts are not taken again: only vouchers with valid signatures were journaled.

use super::clock::{Clock, ClockRefused, Reading};
use super::commit;
use super::keep::Since;
use super::replay::{Replayed, Replaying};
use super::sequence::{clocks, tell};
use crate::faults;
use crate::journal::checkpoint::{self, Commit};
use crate::journal::{Chain, Entry, Journal, JournalError, Log, Tables, Tail, kept, replay, rows};
use crate::ledger::control::{Control, Restored, RowUnfit};
use crate::ledger::row::RowKey;
use crate::ledger::{Genesis, Refusal, SealedPart, Shard, ShardPage};
use crate::types::{ChannelHasher, History, Lsn, PartyId, SignerKey, Timestamp};
use crate::verify::Keys;

/// What a journal's records add up to.
pub struct Recovered {
    pub(super) control: Control,
    pub(super) shards: Vec<Shard>,
    pub(super) keys: Keys,
    pub(super) hasher: ChannelHasher,
    pub(super) chain: Chain,
    /// Windows that were cut and not sealed when the last start ended.
    pub(super) unsealed: Vec<SealedPart>,
    /// The checkpoint that it began with.
    pub(super) checkpoint: Option<Commit>,
    /// What the records behind it cost: it counts towards the next one.
    pub(super) since: Since,
    /// Vouchers that the records behind it held.
    pub vouchers: u64,
}

impl Recovered {
    /// What holds for the whole life of the deployment.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        self.control.genesis()
    }

    /// The clock that goes on from the last record. `accepted`: the operator says that the wall
    /// clock is right, however far it is from that record.
    ///
    /// # Errors
    /// `ClockRefused` when the wall clock cannot be right, judged by the last record.
    pub fn clock(&self, accepted: bool) -> Result<Clock, ClockRefused> {
        self.clock_at(clocks(), accepted)
    }

    /// The same, at a given reading of the clocks.
    ///
    /// # Errors
    /// As for `clock`.
    pub fn clock_at(&self, reading: Reading, accepted: bool) -> Result<Clock, ClockRefused> {
        let (clock, note) = Clock::start(self.chain.at(), reading, accepted)?;
        note.iter().for_each(tell);
        Ok(clock)
    }

    /// The engine's key that the journal names as the one in force.
    #[must_use]
    pub fn engine_key(&self) -> Option<SignerKey> {
        self.control.engine_key()
    }

    /// Whether a key was the engine's, or is.
    #[must_use]
    pub fn was_engine_key(&self, key: SignerKey) -> bool {
        self.control.was_engine_key(key)
    }

    /// How often a party was erased.
    #[must_use]
    pub fn erasures(&self, party: PartyId) -> u32 {
        self.control.erasures(party)
    }

    /// The end of the journal.
    #[must_use]
    pub fn tail(&self) -> Tail {
        self.chain.tail()
    }

    /// The last record that the checkpoint held; 0 when there was none.
    #[must_use]
    pub fn checkpoint_lsn(&self) -> Lsn {
        self.checkpoint.map_or(Lsn(0), |commit| commit.tail.lsn)
    }

    /// Channels held.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.shards.iter().map(Shard::channels).sum()
    }
}

/// State without the records behind it.
pub(super) struct State {
    pub control: Control,
    pub shards: Vec<Shard>,
    pub keys: Keys,
}

impl State {
    pub(super) fn new(genesis: Genesis, record: History, count: u16) -> Self {
        Self {
            shards: empty_shards(&genesis, count),
            control: Control::new(genesis, record),
            keys: Keys::default(),
        }
    }
}

fn empty_shards(genesis: &Genesis, count: u16) -> Vec<Shard> {
    let (network, lifetime) = (genesis.network, genesis.lifetime_seconds_max);
    (0..count).map(|index| Shard::new(index, count, network, lifetime)).collect()
}

/// Recovers from `journal` on `shards` shards. An empty journal gets its genesis record first.
///
/// # Errors
/// `Damaged` names the record that is wrong; the storage's own failures pass through.
pub fn recover<L: Log>(
    journal: &mut Journal<L>,
    epoch: u32,
    shards: u16,
    genesis: impl FnOnce() -> (Genesis, Timestamp),
) -> Result<Recovered, JournalError> {
    let Journal { log, tables } = journal;
    let checkpoint = checkpoint::committed(&**tables)?;
    let (mut chain, state) = match &checkpoint {
        Some(commit) => {
            let state = restore(&**tables, commit, shards)?;
            (Chain::after(commit.tail, commit.at), state)
        }
        None => match first_record(log)? {
            Some((chain, genesis)) => {
                let state = State::new(genesis, chain.tail().history(), shards);
                (chain, state)
            }
            None => {
                let ((genesis, at), mut chain) = (genesis(), Chain::start());
                let framed = chain.frame_genesis(epoch, at, &genesis);
                commit::append(log, &[framed])?;
                let state = State::new(genesis, chain.tail().history(), shards);
                (chain, state)
            }
        },
    };
    let hasher = ChannelHasher::new(state.control.genesis().network);
    let replayed = Replaying::run(state, &**tables, &hasher, |replaying| {
        replay(log, &mut chain, &mut |record| replaying.apply(&record))
    })?;
    log.remember(chain.tail())?;
    let Replayed { state, unsealed, since, vouchers } = replayed;
    let State { mut control, shards, keys } = state;
    if let Some(most) = faults::requests_max() {
        control.bound_requests(most);
    }
    Ok(Recovered { control, shards, keys, hasher, chain, unsealed, checkpoint, since, vouchers })
}

pub(super) fn damaged(lsn: Lsn, why: impl Into<String>) -> JournalError {
    JournalError::Damaged { lsn, why: why.into() }
}

/// The genesis record of a journal that was never checkpointed, with the chain behind it.
pub(super) fn first_record(log: &dyn Log) -> Result<Option<(Chain, Genesis)>, JournalError> {
    let (mut chain, mut first) = (Chain::start(), None);
    log.read_events(Lsn(1), &mut |lsn, bytes| {
        let record = chain.follow(lsn, bytes)?;
        let Entry::Genesis(genesis) = record.entry()? else {
            return Err(damaged(lsn, "the first record is not the genesis record"));
        };
        first = Some(genesis);
        Ok(())
    })?;
    Ok(first.map(|genesis| (chain, genesis)))
}

/// The state at a checkpoint: the control state's rows, and the shards' pages.
pub(super) fn restore(
    tables: &dyn Tables,
    commit: &Commit,
    count: u16,
) -> Result<State, JournalError> {
    rows::apply(tables, commit)?;
    let mut state = restore_control(tables, commit, count)?;
    let (control, wanted) = (&state.control, commit.tail);
    if control.history().digest != wanted.event_link || control.applied() > wanted.lsn {
        let why = format!("the checkpoint there holds the events up to {}", control.applied());
        return Err(damaged(wanted.lsn, why));
    }
    let open = control.open_window().number;
    if open != commit.window {
        let why = format!("window {open} is open there, the checkpoint holds {}", commit.window);
        return Err(damaged(wanted.lsn, why));
    }
    let spread = usize::from(count).max(1);
    let entries = usize::try_from(commit.entries_first).unwrap_or(0) / spread;
    for shard in &mut state.shards {
        shard.restore_window(open);
        shard.reserve(entries + entries / 8);
    }
    load_pages(tables, commit, &mut state)?;
    state.shards.iter_mut().for_each(|shard| shard.restored(open, commit.credited));
    Ok(state)
}

/// The control state, and shards that know of it what they go by.
fn restore_control(
    tables: &dyn Tables,
    commit: &Commit,
    count: u16,
) -> Result<State, JournalError> {
    let unfit = |unfit: RowUnfit| {
        damaged(commit.tail.lsn, format!("the checkpoint there does not fit: {unfit}"))
    };
    let (mut restoring, keys) = (Control::restoring(), Keys::default());
    let mut shards: Vec<Shard> = Vec::new();
    rows::load(tables, commit, &mut |key, row| {
        let restored = restoring.row(key, row).map_err(unfit)?;
        if shards.is_empty() {
            shards = empty_shards(restoring.control().map_err(unfit)?.genesis(), count);
        }
        let known = |refusal: Refusal| damaged(commit.tail.lsn, refusal.to_string());
        match restored {
            Restored::Own => {}
            Restored::Assets => {
                let control = restoring.control().map_err(unfit)?;
                shards.iter_mut().for_each(|shard| shard.restore_assets(control.assets()));
            }
            Restored::Party(party) => {
                let entry = restoring.control().map_err(unfit)?.party(party).map_err(known)?;
                shards.iter_mut().for_each(|shard| shard.restore_party(party, entry.suspended));
            }
            Restored::Signer(signer) => {
                let entry = restoring.control().map_err(unfit)?.signer(signer).map_err(known)?;
                keys.insert([(signer, entry.party)]);
                shards.iter_mut().for_each(|shard| shard.restore_signer(signer, entry));
            }
            Restored::Budgets(signer) => {
                let held = restoring.control().map_err(unfit)?.budgets(signer).map_err(known)?;
                shards.iter_mut().for_each(|shard| shard.restore_budgets(signer, held));
            }
            Restored::Batch(batch) => {
                restoring.batch(kept::load_batch_head(tables, batch)?).map_err(unfit)?;
            }
        }
        Ok(())
    })?;
    // Legs of batches that are over stay where they are.
    for batch in restoring.batches_at_work().map_err(unfit)? {
        let (from, to) = RowKey::of_legs(batch);
        rows::scan(tables, &from, &to, &mut |key, row| {
            restoring.row(key, row).map(drop).map_err(unfit)
        })?;
    }
    let control = restoring.finish().map_err(unfit)?;
    Ok(State { control, shards, keys })
}

fn load_pages(tables: &dyn Tables, commit: &Commit, state: &mut State) -> Result<(), JournalError> {
    let State { shards, keys, .. } = state;
    let view = keys.view();
    let payer = |signer| view.get(&signer).map(crate::verify::Key::party);
    let open = commit.window;
    checkpoint::load(tables, commit, &payer, &mut |mut page: ShardPage| {
        // What had expired and was settled is forgotten, also where it still stands in a segment.
        let now = commit.at.seconds();
        page.channels
            .retain(|held| held.window == open || held.evidence.voucher().expires_at() > now);
        let wrong = |why| damaged(commit.tail.lsn, format!("the checkpoint there is wrong: {why}"));
        shards.iter_mut().try_for_each(|shard| shard.restore(&page).map_err(wrong))
    })
}
