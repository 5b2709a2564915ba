//! The sequencer's thread: takes what is there, has it put in order, and hands groups on. Never
//! waits for the disk but when two groups are ahead.

use super::clock::{Clock, Note, Reading};
use super::frame::Frame;
use super::group::{Ask, Item};
use super::meters::Meters;
use super::order::{Group, Order};
use crate::faults;
use crate::journal::Tail;
use crate::types::{Lsn, Timestamp};
use crate::verify::Keys;
use crossbeam::channel::{Receiver, Sender, never};
use crossbeam::select;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio::sync::watch;

/// The order, and the queues to and from it.
pub(super) struct Sequencer {
    pub order: Order,
    pub clock: Clock,
    pub keys: Arc<Keys>,
    pub frames: Receiver<Arc<Frame>>,
    pub asks: Receiver<Ask>,
    pub journal: Sender<Group>,
    pub shards: Vec<Sender<Arc<[Item]>>>,
    /// The last event that the control state holds: wakes whoever waits for a change of it.
    pub changed: watch::Sender<Lsn>,
    pub meters: Arc<Meters>,
}

impl Sequencer {
    /// Works until ingress and operators are gone. Returns the chain's end.
    pub fn run(mut self) -> Tail {
        let (mut frames, mut asks) = (self.frames.clone(), self.asks.clone());
        let (mut frames_open, mut asks_open) = (true, true);
        while frames_open || asks_open {
            // Wait for something, then take what else is there: the group grows with the load.
            select! {
                recv(frames) -> frame => match frame {
                    Ok(frame) => drop(self.frame(frame, clocks())),
                    Err(_) => (frames_open, frames) = (false, never()),
                },
                recv(asks) -> ask => match ask {
                    Ok(ask) => self.ask(ask, clocks()),
                    Err(_) => (asks_open, asks) = (false, never()),
                },
            }
            while !self.order.is_full() {
                let (frame, ask) = (frames.try_recv(), asks.try_recv());
                if frame.is_err() && ask.is_err() {
                    break;
                }
                frame.into_iter().for_each(|frame| drop(self.frame(frame, clocks())));
                ask.into_iter().for_each(|ask| self.ask(ask, clocks()));
            }
            if let Some(group) = self.order.group()
                && !self.hand_on(group)
            {
                break;
            }
        }
        self.order.tail()
    }

    /// Has a frame put in its place, at this reading of the clocks.
    pub fn frame(&mut self, frame: Arc<Frame>, reading: Reading) -> Vec<(u64, Option<Lsn>)> {
        let now = self.now(reading);
        self.order.frame(frame, now)
    }

    /// Has done what is asked, at this reading of the clocks.
    pub fn ask(&mut self, ask: Ask, reading: Reading) {
        let now = self.now(reading);
        self.order.ask(ask, now);
    }

    /// The next record's timestamp.
    fn now(&mut self, reading: Reading) -> Timestamp {
        let (at, note) = self.clock.read(reading);
        note.iter().for_each(tell);
        self.meters.clocks(at, reading.wall);
        at
    }

    /// To the journal first, then to the shards. False when they are gone.
    pub fn hand_on(&self, mut group: Group) -> bool {
        if !group.signers.is_empty() {
            // Before the caller hears of it, which waits for the journal, so that its next voucher
            // finds the key; and all at once, so that the verify workers are held up once a group.
            self.keys.insert(std::mem::take(&mut group.signers));
        }
        let (items, changed) = (group.items.clone(), group.changed);
        let now = Instant::now();
        for item in items.iter() {
            match item {
                Item::Frame(frame) => frame.handed_on(now),
                Item::Event(..) | Item::Question(_) | Item::Checkpoint(_) => {}
            }
        }
        let open = self.journal.send(group).is_ok()
            && self.shards.iter().all(|shard| shard.send(items.clone()).is_ok());
        if let Some(lsn) = changed {
            self.changed.send_replace(lsn);
        }
        open
    }
}

/// Says in the log what there is to say of the clocks.
pub(super) fn tell(note: &Note) {
    match note {
        Note::Held { .. } | Note::Slow { .. } => tracing::error!("{note}"),
        Note::Ahead { .. } | Note::Agrees => tracing::warn!("{note}"),
    }
}

/// Both clocks of the system. A wall clock before 1970 or beyond the year 294,000 counts as the
/// nearest of the two. The monotonic one counts the time in which the machine slept.
pub(super) fn clocks() -> Reading {
    if let Some(stopped) = faults::stopped_clock() {
        return Reading { wall: Timestamp(stopped), monotonic: 0 };
    }
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let wall = Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    let up = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(up.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(up.tv_nsec).unwrap_or_default();
    let monotonic = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    Reading { wall, monotonic }
}
