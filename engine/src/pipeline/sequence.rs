//! The sequencer: one thread that gives everything its place in the one order.
//!
//! Owns the chain of records, the clock and the control state's changes. Frames come out in ticket
//! order, commands between them as they arrive. Never waits for the disk but when two groups are ahead.

use super::frame::{Frame, Place};
use super::group::{Ask, Done, Item};
use crate::journal::{Chain, Framed, Tail};
use crate::ledger::control::{Command, Control};
use crate::ledger::{Decision, Event, Refusal};
use crate::limits::{GROUP_BYTES_MAX, GROUP_RECORDS_MAX};
use crate::types::{Lsn, PartyId, SignerKey, Timestamp};
use crate::verify::Keys;
use crossbeam::channel::{Receiver, Sender, never};
use crossbeam::select;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;
use tokio::sync::watch;

/// Records to be made durable by one fsync, and everything that waits for it.
pub(super) struct Group {
    pub records: Vec<Framed>,
    pub items: Arc<[Item]>,
    /// The chain's end after this group.
    pub last: Lsn,
}

/// The sequencer's state and its queues.
pub(super) struct Sequencer {
    pub chain: Chain,
    pub epoch: u32,
    pub control: Arc<RwLock<Control>>,
    pub keys: Arc<Keys>,
    pub frames: Receiver<Arc<Frame>>,
    pub asks: Receiver<Ask>,
    pub journal: Sender<Group>,
    pub shards: Vec<Sender<Arc<[Item]>>>,
    /// The last event that the control state holds: wakes whoever waits for a change of it.
    pub changed: watch::Sender<Lsn>,
    /// Frames that were checked before one with a lower ticket.
    pub early: BTreeMap<u64, Arc<Frame>>,
    pub next_ticket: u64,
}

#[derive(Default)]
struct Draft {
    records: Vec<Framed>,
    bytes: usize,
    items: Vec<Item>,
    /// Keys that were registered.
    signers: Vec<(SignerKey, PartyId)>,
}

impl Sequencer {
    /// Works until ingress and operators are gone. Returns the chain's end.
    pub fn run(mut self) -> Tail {
        let (mut frames, mut asks) = (self.frames.clone(), self.asks.clone());
        let (mut frames_open, mut asks_open) = (true, true);
        while frames_open || asks_open {
            let mut draft = Draft::default();
            // Wait for something, then take what else is there: the group grows with the load.
            select! {
                recv(frames) -> frame => match frame {
                    Ok(frame) => self.frame(frame, &mut draft),
                    Err(_) => (frames_open, frames) = (false, never()),
                },
                recv(asks) -> ask => match ask {
                    Ok(ask) => self.ask(ask, &mut draft),
                    Err(_) => (asks_open, asks) = (false, never()),
                },
            }
            while !draft.is_full() {
                let (frame, ask) = (frames.try_recv(), asks.try_recv());
                if frame.is_err() && ask.is_err() {
                    break;
                }
                frame.into_iter().for_each(|frame| self.frame(frame, &mut draft));
                ask.into_iter().for_each(|ask| self.ask(ask, &mut draft));
            }
            if !self.hand_on(draft) {
                break;
            }
        }
        self.chain.tail()
    }

    /// To the journal first, then to the shards. False when they are gone.
    fn hand_on(&self, draft: Draft) -> bool {
        if draft.items.is_empty() {
            return true;
        }
        if !draft.signers.is_empty() {
            // Before the caller hears of it, which waits for the journal, so that its next voucher finds
            // the key; and all at once, so that the verify workers are held up once a group.
            self.keys.insert(draft.signers);
        }
        let items: Arc<[Item]> = draft.items.into();
        let last = self.chain.tail().lsn;
        let group = Group { records: draft.records, items: items.clone(), last };
        self.journal.send(group).is_ok()
            && self.shards.iter().all(|shard| shard.send(items.clone()).is_ok())
    }

    fn frame(&mut self, frame: Arc<Frame>, draft: &mut Draft) {
        self.early.insert(frame.ticket, frame);
        while let Some(frame) = self.early.remove(&self.next_ticket) {
            self.next_ticket += 1;
            let at = self.now();
            let parts = frame.valid_parts();
            // What no signature vouches for is answered, but never journaled.
            let lsn = (!parts.is_empty())
                .then(|| draft.record(self.chain.frame_vouchers(self.epoch, at, &parts)));
            frame.sequenced(Place { lsn, at });
            draft.items.push(Item::Frame(frame));
        }
    }

    fn ask(&mut self, ask: Ask, draft: &mut Draft) {
        match ask {
            Ask::Question(question) => draft.items.push(Item::Question(question)),
            Ask::Commands(commands, reply) => {
                let done = commands.into_iter().map(|command| self.command(command, draft));
                // Whoever asked may have gone away; what was decided stands.
                let _ = reply.send(done.collect());
            }
        }
    }

    fn command(&mut self, command: Command, draft: &mut Draft) -> Result<Done, Refusal> {
        let at = self.now();
        // The lock is free of half-done changes unless a bug panicked, and then the process stops.
        let mut control = self.control.write().unwrap_or_else(PoisonError::into_inner);
        let (event, made) = match control.decide(command)? {
            Decision::Repeat(lsn) => return Ok(Done::Before(lsn)),
            Decision::New(event, made) => (event, made),
        };
        let lsn = draft.record(self.chain.frame_event(self.epoch, at, &event));
        control.apply(lsn, at, &event, made);
        drop(control);
        if let Event::SignerAdded(added) = &event {
            draft.signers.push((added.signer, added.party));
        }
        draft.items.push(Item::Event(lsn, Arc::new(event)));
        self.changed.send_replace(lsn);
        Ok(Done::Now(lsn))
    }

    /// The clock, but never before the last record.
    fn now(&self) -> Timestamp {
        self.chain.at().max(wall_clock())
    }
}

impl Draft {
    fn record(&mut self, framed: Framed) -> Lsn {
        let lsn = framed.lsn;
        self.bytes += framed.bytes.len();
        self.records.push(framed);
        lsn
    }

    fn is_full(&self) -> bool {
        self.bytes >= GROUP_BYTES_MAX || self.items.len() >= GROUP_RECORDS_MAX
    }
}

/// The wall clock. A clock before 1970 or beyond the year 294,000 counts as the nearest of the two.
pub(super) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
