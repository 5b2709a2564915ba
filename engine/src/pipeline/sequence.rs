//! The sequencer's thread: takes what is there, has it put in order, and hands it on as one group
//! when the journal has room for one. Waits for the disk only where a group is full.

use super::clock::{Clock, Note, Reading};
use super::frame::Frame;
use super::group::{Ask, Item};
use super::meters::Meters;
use super::order::{Group, Order};
use crate::faults;
use crate::journal::Tail;
use crate::types::{Lsn, Timestamp};
use crate::verify::Keys;
use crossbeam::channel::{Receiver, Select, Sender, TryRecvError, never};
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

/// What comes in by one queue, as long as somebody is left who could put anything in.
struct Incoming<T> {
    from: Receiver<T>,
    open: bool,
}

impl<T> Incoming<T> {
    fn new(from: &Receiver<T>) -> Self {
        Self { from: from.clone(), open: true }
    }

    /// What is there, if anything is.
    fn take(&mut self) -> Option<T> {
        match self.from.try_recv() {
            Ok(taken) => Some(taken),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                (self.open, self.from) = (false, never());
                None
            }
        }
    }
}

impl Sequencer {
    /// Works until ingress and operators are gone. Returns the chain's end.
    pub fn run(mut self) -> Tail {
        let (mut frames, mut asks) = (Incoming::new(&self.frames), Incoming::new(&self.asks));
        while frames.open || asks.open || !self.order.is_empty() {
            // What is taken is handed on once the journal has room for it. Until then the group
            // grows: what came a moment later waits for no further one.
            let mut next = Select::new_biased();
            let room = (!self.order.is_empty()).then(|| next.send(&self.journal));
            if !self.order.is_full() {
                next.recv(&frames.from);
                next.recv(&asks.from);
            }
            if Some(next.ready()) == room {
                let group = self.order.group().expect("there is something in it");
                if !self.hand_on(group) {
                    break;
                }
                continue;
            }
            while !self.order.is_full() {
                let (frame, ask) = (frames.take(), asks.take());
                if frame.is_none() && ask.is_none() {
                    break;
                }
                frame.into_iter().for_each(|frame| drop(self.frame(frame, clocks())));
                ask.into_iter().for_each(|ask| self.ask(ask, clocks()));
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

#[cfg(test)]
mod tests {
    use super::super::{PipelineOptions, Wired, Wiring, recover, wire};
    use super::*;
    use crate::journal::memory::Memory;
    use crate::ledger::{Caller, Genesis, Request, Wish};
    use crate::types::{AssetDef, AssetNumber, Digest, NetworkId, SettlementModel};
    use crate::verify::{Options, Verifier};

    /// What came while the journal was busy waited for up to three groups, and then for its own.
    #[test]
    fn what_comes_while_the_journal_is_busy_is_one_group() {
        let mut journal = Memory::journal();
        let genesis = Genesis { network: NetworkId([1; 32]), lifetime_seconds_max: 60 };
        let recovered = recover(&mut journal, 1, 1, || (genesis, clocks().wall)).unwrap();
        let clock = recovered.clock_at(clocks(), false).unwrap();
        let verifier = Arc::new(Verifier::new(Options::default()).unwrap());
        let options =
            PipelineOptions { verify_threads: 1, checkpoint_bytes: 1 << 30, disk_reserve_bytes: 0 };
        let wiring = Wiring {
            epoch: 1,
            verifier,
            options,
            entries_least: 1,
            known_totals: 1,
            groups_max: 0,
        };
        let (wired, intake, _parts) = wire(recovered, clock, journal, wiring);
        let Wired { sequencer, groups, workers, shards: _shards, .. } = wired;
        drop(workers);
        let sequencer = std::thread::spawn(move || sequencer.run());
        let create = |number| {
            let request = Request { id: format!("r{number}"), content: Digest([1; 32]) };
            let (code, model) = ("EUR".into(), SettlementModel::Bilateral);
            let asset = AssetDef { number: AssetNumber(number), code, scale: 2, model };
            let wish = Wish::CreateAsset { asset };
            intake.tell(wish.by(Caller::grpc(String::new()), request)).unwrap()
        };
        let decided = |number| create(number).blocking_recv().unwrap()[0].is_ok();
        // Nobody takes the first one, and all others are decided all the same.
        assert!((1..=9).all(decided));
        assert_eq!(groups.recv().unwrap().records.len(), 9);
        drop(intake);
        assert_eq!(sequencer.join().unwrap().lsn, Lsn(10));
    }
}
