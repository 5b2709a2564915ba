//! The one order: gives every frame and command its lsn and timestamp, decides commands, and says
//! when a checkpoint is due. No thread, no clock: the sequencer's thread and the simulator both
//! drive it.

use super::fair::Turn;
use super::frame::{Frame, Place, Recorded, Terms};
use super::group::{Ask, Done, Item};
use super::keep::{Progress, Since};
use super::share::LineIndex;
use super::{commit, legs};
use crate::canary::{Bug, planted};
use crate::journal::checkpoint::Mark;
use crate::journal::{Chain, Framed, Tables, Tail};
use crate::ledger::control::Control;
use crate::ledger::event::RegistryEvent;
use crate::ledger::{Command, Decision, Event, Fact, Refusal};
use crate::limits::{GROUP_BYTES_MAX, GROUP_RECORDS_MAX};
use crate::types::{Lsn, PartyId, SignerKey, Timestamp};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

/// Records to be made durable by one fsync, and everything that waits for it.
pub(super) struct Group {
    pub records: Vec<Framed>,
    pub items: Arc<[Item]>,
    /// Keys that were registered.
    pub signers: Vec<(SignerKey, PartyId)>,
    /// The chain's end after this group.
    pub last: Lsn,
    /// The last event that the control state holds, if the group holds one.
    pub changed: Option<Lsn>,
}

/// The order's state.
pub(super) struct Order {
    chain: Chain,
    epoch: u32,
    control: Arc<RwLock<Control>>,
    /// Where legs of batches that have ended are kept.
    tables: Arc<dyn Tables>,
    /// Frames that were checked before an earlier one of the same source, by source and number: no
    /// source's frame ever waits for another's.
    early: BTreeMap<(LineIndex, u64), Arc<Frame>>,
    lifetime_max: i64,
    checkpoints: Arc<Progress>,
    /// What was journaled since the last checkpoint began, and how many bytes make the next one
    /// due.
    since: Since,
    checkpoint_bytes: u64,
    draft: Draft,
}

#[derive(Default)]
struct Draft {
    records: Vec<Framed>,
    bytes: usize,
    items: Vec<Item>,
    signers: Vec<(SignerKey, PartyId)>,
    changed: Option<Lsn>,
}

impl Order {
    pub fn new(
        chain: Chain,
        epoch: u32,
        (control, tables): (Arc<RwLock<Control>>, Arc<dyn Tables>),
        checkpoints: Arc<Progress>,
        since: Since,
        checkpoint_bytes: u64,
    ) -> Self {
        let lifetime_max = {
            let control = control.read().unwrap_or_else(PoisonError::into_inner);
            control.genesis().lifetime_seconds_max
        };
        Self {
            chain,
            epoch,
            control,
            tables,
            early: BTreeMap::new(),
            lifetime_max,
            checkpoints,
            since,
            checkpoint_bytes,
            draft: Draft::default(),
        }
    }

    pub fn tail(&self) -> Tail {
        self.chain.tail()
    }

    pub fn control(&self) -> Arc<RwLock<Control>> {
        self.control.clone()
    }

    /// Puts a frame in its place: the frames of a source come out in the order of their numbers.
    /// Says which frames have their places now.
    pub fn frame(&mut self, frame: Arc<Frame>, clock: Timestamp) -> Vec<(u64, Option<Lsn>)> {
        let (line, _) = frame.permit().place();
        let turn = frame.permit().turn().clone();
        self.early.insert(frame.permit().place(), frame);
        let mut placed = Vec::new();
        while let Some(frame) = self.next_frame(line, &turn) {
            let at = self.at(clock);
            let terms = Terms { now: at.seconds(), lifetime_max: self.lifetime_max };
            let Recorded { parts, rises, bundles } = frame.recorded(terms);
            let (chain, epoch) = (&mut self.chain, self.epoch);
            // What certainly changes nothing is answered, but never journaled.
            let framed = match (parts.is_empty(), bundles.is_empty(), rises.is_empty()) {
                (true, true, _) => None,
                (_, false, _) => Some(chain.frame_bundles(epoch, at, &parts, &bundles)),
                (false, true, true) => Some(chain.frame_vouchers(epoch, at, &parts)),
                (false, true, false) => Some(chain.frame_charges(epoch, at, &parts, &rises)),
            };
            let lsn = framed.map(|framed| self.draft.record(framed));
            placed.push((frame.ticket, lsn));
            frame.sequenced(Place { lsn, at });
            self.draft.items.push(Item::Frame(frame));
        }
        placed
    }

    fn next_frame(&mut self, line: LineIndex, turn: &Turn) -> Option<Arc<Frame>> {
        if planted(Bug::OrderByArrival) {
            return self.early.pop_first().map(|(_, frame)| frame);
        }
        // Nobody else moves it.
        let next = turn.load(Ordering::Relaxed);
        let frame = self.early.remove(&(line, next))?;
        turn.store(next + 1, Ordering::Relaxed);
        Some(frame)
    }

    /// Does what is asked.
    pub fn ask(&mut self, ask: Ask, clock: Timestamp) {
        match ask {
            Ask::Question(question) => self.draft.items.push(Item::Question(question)),
            Ask::Commands(commands, reply) => {
                let done = commands.into_iter().map(|command| self.command(command, clock));
                // The caller may have disconnected; the decision is final.
                let _ = reply.send(done.collect());
            }
            Ask::Checkpoint => self.since.make_due(),
        }
    }

    fn command(&mut self, command: Command, clock: Timestamp) -> Result<Done, Refusal> {
        let at = self.at(clock);
        // The lock is free of half-done changes unless a bug panicked, and then the process stops.
        let mut control = self.control.write().unwrap_or_else(PoisonError::into_inner);
        // Mostly none.
        let away = control.away_of_wish(&command.wish);
        legs::bring(&mut control, &*self.tables, away).unwrap_or_else(|error| commit::stop(&error));
        let (fact, made) = match control.decide(command, at)? {
            Decision::Repeat(lsn) => return Ok(Done::Before(lsn)),
            Decision::New(fact, made) => (fact, made),
        };
        let lsn = self.draft.record(self.chain.frame_fact(self.epoch, at, &fact));
        let record = self.chain.tail().history();
        self.since.add_event(&fact.event, &made);
        control.apply(record, at, &fact, made);
        drop(control);
        let Fact { event, .. } = *fact;
        if let Event::Registry(RegistryEvent::SignerAdded(added)) = &event {
            self.draft.signers.push((added.signer, added.party));
        }
        self.draft.items.push(Item::Event(lsn, Arc::new(event)));
        self.draft.changed = Some(lsn);
        Ok(Done::Now(lsn))
    }

    /// Whether nothing is in the group.
    pub fn is_empty(&self) -> bool {
        self.draft.items.is_empty()
    }

    /// Whether no more should go into the group.
    pub fn is_full(&self) -> bool {
        self.draft.bytes >= GROUP_BYTES_MAX || self.draft.items.len() >= GROUP_RECORDS_MAX
    }

    /// The group so far; `None` when there is nothing in it.
    pub fn group(&mut self) -> Option<Group> {
        self.since.add_bytes(self.draft.bytes);
        self.checkpoint();
        let Draft { records, items, signers, changed, bytes: _ } = std::mem::take(&mut self.draft);
        let last = self.chain.tail().lsn;
        (!items.is_empty()).then(|| Group { records, items: items.into(), signers, last, changed })
    }

    /// Begins a checkpoint at the end of the group, if one is due, the last one is done, and no
    /// window waits for its seal: what a shard hands out at a cut is in no checkpoint.
    fn checkpoint(&mut self) {
        let ends_with_record = !self.draft.records.is_empty();
        if !self.since.is_due(self.checkpoint_bytes) || !ends_with_record {
            return;
        }
        let mut control = self.control.write().unwrap_or_else(PoisonError::into_inner);
        if control.is_sealing() {
            return;
        }
        let Some(everything) = self.checkpoints.begin() else { return };
        let window = control.open_window().number;
        let remembered = control.remembered_from();
        control.begin_save();
        drop(control);
        let (tail, at) = (self.chain.tail(), self.chain.at());
        self.since = Since::default();
        self.draft.items.push(Item::Checkpoint(Mark { everything, tail, at, window, remembered }));
    }

    /// The clock, but never before the last record.
    fn at(&self, clock: Timestamp) -> Timestamp {
        self.chain.at().max(clock)
    }
}

impl Draft {
    fn record(&mut self, framed: Framed) -> Lsn {
        let lsn = framed.lsn;
        self.bytes += framed.bytes.len();
        self.records.push(framed);
        lsn
    }
}
