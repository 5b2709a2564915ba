//! Servers that do to a stream whatever networks and machines may do to it, and a stage on which
//! one actor at a time moves: whose turn is next is drawn at each call.

use super::dice::Dice;
use bytes::Bytes;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tallystick_jetstream::{Broken, Sent, Stand, StreamError, VisitMessage, Wire};
use tallystick_journal::LogVitals;

const PAUSE: Duration = Duration::from_millis(100);

/// Somebody's append that is on its way still.
struct Late {
    message: Bytes,
    expected: Option<u64>,
}

/// What all actors share.
pub struct World {
    dice: Dice,
    /// What is stored on a quorum, message 1 first.
    pub log: Vec<Bytes>,
    /// A leader without a quorum has it, and nobody knows yet what becomes of it.
    proposed: Option<Bytes>,
    late: Vec<Late>,
    epoch: u64,
    clock: Duration,
    /// No faults any more.
    pub calm: bool,
    turn: usize,
    alive: Vec<bool>,
    /// The highest epoch whose owner knows that it has opened.
    pub opened: u64,
    /// Calls so far.
    pub calls: u64,
}

/// The world, and who waits for a turn in it.
pub struct Stage {
    world: Mutex<World>,
    wake: Vec<Condvar>,
}

impl Stage {
    pub fn new(dice: Dice, actors: usize) -> Arc<Self> {
        let world = World {
            dice,
            log: Vec::new(),
            proposed: None,
            late: Vec::new(),
            epoch: 0,
            clock: Duration::ZERO,
            calm: false,
            turn: 0,
            alive: vec![true; actors],
            opened: 0,
            calls: 0,
        };
        let wake = (0..actors).map(|_| Condvar::new()).collect();
        Arc::new(Self { world: Mutex::new(world), wake })
    }

    /// The world, for whoever has the turn.
    pub fn world(&self) -> MutexGuard<'_, World> {
        // Whose actor has panicked fails its seed.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first turn.
    pub fn begin(&self, actor: usize) {
        drop(self.wait(self.world(), actor));
    }

    /// Somebody else may move first.
    fn turn(&self, actor: usize) -> MutexGuard<'_, World> {
        let mut world = self.world();
        world.calls += 1;
        self.pass(&mut world);
        let mut world = self.wait(world, actor);
        world.happens();
        world
    }

    fn pass(&self, world: &mut World) {
        let alive: Vec<usize> = (0..self.wake.len()).filter(|n| world.alive[*n]).collect();
        if !alive.is_empty() {
            world.turn = alive[world.dice.place(alive.len())];
            self.wake[world.turn].notify_one();
        }
    }

    fn wait<'a>(&self, mut world: MutexGuard<'a, World>, actor: usize) -> MutexGuard<'a, World> {
        while world.turn != actor {
            world = self.wake[actor].wait(world).unwrap_or_else(PoisonError::into_inner);
        }
        world
    }

    /// An actor moves no more.
    pub fn leave(&self, actor: usize) {
        let mut world = self.world();
        world.alive[actor] = false;
        self.pass(&mut world);
    }
}

impl World {
    fn last(&self) -> u64 {
        self.log.len() as u64
    }

    /// The first actor moves again.
    pub fn come_back(&mut self) {
        self.alive[0] = true;
        self.turn = 0;
    }

    /// What goes on by itself: late messages come, what was proposed is stored or lost.
    fn happens(&mut self) {
        if self.proposed.is_some() && (self.calm || self.dice.percent(25)) {
            let message = self.proposed.take();
            if self.dice.percent(50) {
                self.log.extend(message);
            }
        }
        while self.proposed.is_none()
            && !self.late.is_empty()
            && (self.calm || self.dice.percent(20))
        {
            let place = self.dice.place(self.late.len());
            let Late { message, expected } = self.late.swap_remove(place);
            self.store(message, expected);
        }
    }

    /// Stores it where it belongs there; whether it did.
    fn store(&mut self, message: Bytes, expected: Option<u64>) -> bool {
        let fits = expected.is_none_or(|expected| expected == self.last());
        if fits {
            self.log.push(message);
        }
        fits
    }

    fn append(&mut self, message: Bytes, expected: Option<u64>) -> Sent {
        let unknown = |silent| Sent::Unknown { why: "so it was drawn".into(), silent };
        let fault = if self.calm { 100 } else { self.dice.place(100) };
        if self.proposed.is_some() {
            return match expected {
                Some(expected) if expected <= self.last() => Sent::Moved { last: self.last() + 1 },
                _ => {
                    self.late.push(Late { message, expected });
                    unknown(true)
                }
            };
        }
        match fault {
            // It never arrives.
            0..=5 => return unknown(true),
            // It arrives later, or behind others.
            6..=12 => {
                self.late.push(Late { message, expected });
                return unknown(true);
            }
            // A leader has it, and nobody else.
            13..=16 if expected.is_none_or(|expected| expected == self.last()) => {
                self.proposed = Some(message);
                return unknown(true);
            }
            // A leader is behind for a moment, and refuses by what it has.
            17..=18 if expected.is_some() && !self.log.is_empty() => {
                let last = self.dice.place(self.log.len()) as u64;
                return Sent::Moved { last };
            }
            // It is sent twice on its way.
            19..=22 => self.late.push(Late { message: message.clone(), expected }),
            _ => {}
        }
        if !self.store(message, expected) {
            return Sent::Moved { last: self.last() };
        }
        match fault {
            // The answer is lost.
            23..=29 => unknown(fault.is_multiple_of(2)),
            _ => Sent::At { seq: self.last(), duplicate: false },
        }
    }

    /// What of the messages from `from` to `to` is handed out, and what ends it.
    fn read(&mut self, from: u64, to: u64, patience: Duration) -> (Vec<Bytes>, Option<End>) {
        let there = to.min(self.last());
        let place = |seq: u64| usize::try_from(seq).expect("few messages");
        let mut found = self.log[place(from.min(there + 1)) - 1..place(there)].to_vec();
        let fault = if self.calm { 100 } else { self.dice.place(100) };
        let end = match fault {
            0..=3 => Some(End::NoAnswer),
            // Nobody who has it answers in time.
            4..=6 => Some(End::Hole),
            _ => None,
        };
        if let (Some(end), false) = (&end, found.is_empty()) {
            let whole = self.dice.place(found.len());
            found.truncate(whole);
            self.clock += patience;
            return (found, Some(*end));
        }
        if there < to {
            self.clock += patience;
            return (found, Some(End::Hole));
        }
        (found, None)
    }
}

#[derive(Clone, Copy)]
enum End {
    NoAnswer,
    Hole,
}

/// The servers as one actor sees them.
pub struct Servers {
    pub stage: Arc<Stage>,
    pub actor: usize,
    pub vitals: LogVitals,
}

impl Wire for Servers {
    fn stream(&self) -> &str {
        "simulated"
    }

    fn append(&self, _subject: &str, message: Bytes, expected: Option<u64>) -> Sent {
        let mut world = self.stage.turn(self.actor);
        world.append(message, expected)
    }

    fn read(
        &self,
        stand: Stand,
        to: u64,
        patience: Duration,
        visit: &mut VisitMessage<'_>,
    ) -> Result<(), StreamError> {
        let (found, end) = self.stage.turn(self.actor).read(stand.seq + 1, to, patience);
        let mut seq = stand.seq;
        for message in &found {
            seq += 1;
            visit(seq, message)?;
        }
        match end {
            None => Ok(()),
            Some(End::Hole) => Err(Broken::Hole { seq: seq + 1, lsn: stand.tail.lsn }.into()),
            Some(End::NoAnswer) => {
                Err(StreamError::NoAnswer { seq: seq + 1, why: "so it was drawn".into() })
            }
        }
    }

    fn stored(&self) -> Option<u64> {
        let mut world = self.stage.turn(self.actor);
        let says = world.calm || !world.dice.percent(10);
        says.then_some(world.last())
    }

    fn raise_epoch(&self, last: u64, _name: &str) -> Result<u64, StreamError> {
        let mut world = self.stage.turn(self.actor);
        if !world.calm && world.dice.percent(3) {
            return Err(StreamError::Request {
                what: "the epoch".into(),
                why: "so it was drawn".into(),
            });
        }
        // As where its bucket is lost and made anew: another one may have claimed with it.
        let forgotten = !world.calm && world.dice.percent(2);
        world.epoch = if forgotten { last + 1 } else { world.epoch.max(last) + 1 };
        Ok(world.epoch)
    }

    fn pause(&self, _silent: bool) {
        self.stage.turn(self.actor).clock += PAUSE;
    }

    fn now(&self) -> Duration {
        self.stage.world().clock
    }

    fn drawn(&self) -> Result<String, StreamError> {
        Ok(format!("{:016x}", self.stage.world().dice.number()))
    }

    fn message_bytes_max(&self) -> usize {
        1 << 20
    }

    fn check_takes(&self, _bytes: usize) -> Result<(), StreamError> {
        Ok(())
    }

    fn vitals(&self) -> &LogVitals {
        &self.vitals
    }

    fn advice(&self) -> String {
        String::new()
    }
}
