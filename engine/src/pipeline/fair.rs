//! The fair queue at work: callers that come in, the permits of what is under way, and the workers
//! that wait for chunks. The rules are in `share`; here is the lock around them, and who sleeps and
//! is woken. Knows no clock.

use super::check::Chunk;
use super::frame::Frame;
use super::share::{Admitted, Answered, Bounds, LineIndex, Load, Next, Shares, Source, chunk_cost};
use crate::limits::{
    DECIDING_VOUCHERS_MAX, FRAME_VOUCHERS_MAX, INFLIGHT_FRAMES_MAX, INFLIGHT_VOUCHERS_MAX,
    SOURCE_FRAMES_MAX, SOURCE_VOUCHERS_MAX, VERIFY_BATCH, VERIFY_CHUNK,
};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;
use tokio::sync::oneshot;

const BOUNDS: Bounds = Bounds {
    all: Load { vouchers: INFLIGHT_VOUCHERS_MAX, frames: INFLIGHT_FRAMES_MAX },
    source: Load { vouchers: SOURCE_VOUCHERS_MAX, frames: SOURCE_FRAMES_MAX },
};
const _: () = assert!(SOURCE_VOUCHERS_MAX >= FRAME_VOUCHERS_MAX);

/// The next number of a source's frames that is to be sequenced. Only the sequencer moves it.
pub(super) type Turn = Arc<AtomicU64>;

struct State {
    shares: Shares<Arc<Frame>, oneshot::Sender<Permit>>,
    /// Of each line: the number of its next frame, and the one to be sequenced next.
    numbers: Vec<(u64, Turn)>,
    /// Workers that wait.
    idle: usize,
    /// A worker waits because too much is checked and not answered.
    stalled: bool,
    /// A worker has what is doubted: nobody else takes any meanwhile.
    doubting: bool,
    open: bool,
}

/// The fair queue.
pub(super) struct Fair {
    state: Mutex<State>,
    work: Condvar,
    /// What is checked and not answered, in vouchers, but no chunk for less than `CHUNK_COST_MIN`.
    deciding: AtomicUsize,
}

/// What a worker takes at once.
#[derive(Default)]
pub(super) struct Hand {
    pub chunks: Vec<Chunk>,
    /// Something doubted is among it.
    doubted: bool,
}

/// What keeps vouchers and frames under way bounded: given back when the frame is dropped.
pub(super) struct Permit {
    fair: Weak<Fair>,
    line: LineIndex,
    load: Load,
    turn: Turn,
    number: OnceLock<u64>,
    answered: OnceLock<Answered>,
    checked: AtomicBool,
}

impl Fair {
    pub fn new() -> Arc<Self> {
        let state = State {
            shares: Shares::new(BOUNDS, oneshot::Sender::is_closed),
            numbers: Vec::new(),
            idle: 0,
            stalled: false,
            doubting: false,
            open: true,
        };
        let (state, work, deciding) = (Mutex::new(state), Condvar::new(), AtomicUsize::new(0));
        Arc::new(Self { state, work, deciding })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is free of half-done changes unless a bug panicked, and then the process stops.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A source has one more caller.
    pub fn join(&self, source: Source) -> LineIndex {
        let mut state = self.lock();
        let (line, new) = state.shares.join(source);
        if new {
            let numbers = (0, Turn::default());
            match state.numbers.get_mut(line) {
                // Whoever had the place before has nothing under way any more.
                Some(held) => *held = numbers,
                None => state.numbers.push(numbers),
            }
        }
        line
    }

    /// A caller is gone.
    pub fn leave(&self, line: LineIndex) {
        self.lock().shares.leave(line);
    }

    /// Waits until a frame of so many vouchers may come in.
    pub async fn admit(self: &Arc<Self>, line: LineIndex, vouchers: usize) -> Option<Permit> {
        let (load, answer) = (Load { vouchers, frames: 1 }, {
            let load = Load { vouchers, frames: 1 };
            let mut state = self.lock();
            if state.shares.admit(line, load) {
                return Some(self.permit(&state, line, load));
            }
            let (waiter, answer) = oneshot::channel();
            state.shares.wait(line, load, waiter);
            answer
        });
        let permit = answer.await.ok()?;
        assert_eq!(permit.load, load, "who waits comes in with what was waited for");
        Some(permit)
    }

    fn permit(self: &Arc<Self>, state: &State, line: LineIndex, load: Load) -> Permit {
        Permit {
            fair: Arc::downgrade(self),
            line,
            load,
            turn: state.numbers[line].1.clone(),
            number: OnceLock::new(),
            answered: OnceLock::new(),
            checked: AtomicBool::new(false),
        }
    }

    /// A frame that has come in waits to be checked: it gets its number among its source's.
    pub fn push(&self, frame: Arc<Frame>) {
        let mut state = self.lock();
        let Permit { line, load, number, .. } = frame.permit();
        let next = &mut state.numbers[*line].0;
        number.set(*next).expect("a frame is queued once");
        *next += 1;
        let (line, vouchers) = (*line, load.vouchers);
        state.shares.push(line, frame, vouchers);
        let (idle, chunks) = (state.idle, state.shares.chunks(!state.doubting));
        drop(state);
        match idle {
            0 => {}
            _ if chunks > 1 => self.work.notify_all(),
            _ => self.work.notify_one(),
        }
    }

    /// When a frame that has come in may go on; see `Shares::when`.
    pub fn when(&self, line: LineIndex, now: Instant) -> Instant {
        self.lock().shares.when(line, now)
    }

    /// Waits for chunks, and takes one worker's share of `workers`, as long as whole chunks fit; of
    /// those who are doubted one chunk, and no other worker any until this one comes back. False
    /// when nobody is left who could bring any.
    pub fn take(&self, workers: usize, hand: &mut Hand) -> bool {
        let mut state = self.lock();
        state.doubting &= !std::mem::take(&mut hand.doubted);
        loop {
            let full = self.deciding.load(Ordering::Acquire) >= DECIDING_VOUCHERS_MAX;
            match (state.shares.chunks(true), state.open) {
                (0, false) => {
                    // Whoever waits for what was doubted hears that nothing is left.
                    self.work.notify_all();
                    return false;
                }
                (1.., _) if !full && state.shares.chunks(!state.doubting) > 0 => break,
                (0 | 1.., _) => {}
            }
            state.stalled |= full;
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
        let share = 1 + (state.shares.chunks(!state.doubting) - 1) / workers;
        let mut vouchers = 0;
        while hand.chunks.len() < share && vouchers + VERIFY_CHUNK <= VERIFY_BATCH {
            let doubted = !state.doubting;
            let Some(Next { item, chunk, doubted }) = state.shares.next(doubted) else { break };
            vouchers += item.chunk(chunk).len();
            hand.chunks.push((item, chunk));
            if doubted {
                (state.doubting, hand.doubted) = (true, true);
            }
        }
        let more = state.idle > 0 && state.shares.chunks(!state.doubting) > 0;
        drop(state);
        if more {
            self.work.notify_one();
        }
        true
    }

    /// A full frame of this source was credited.
    #[cfg(test)]
    pub fn trust(&self, line: LineIndex) {
        let vouchers = crate::limits::JUDGED_VOUCHERS;
        let answered = Answered { vouchers, credited: vouchers, checked: vouchers };
        self.lock().shares.note(line, answered);
    }

    /// Takes all chunks that wait, without waiting: for whoever moves the stages by hand.
    pub fn drain(&self, chunks: &mut Vec<Chunk>) {
        let mut state = self.lock();
        let all = std::iter::from_fn(|| state.shares.next(true));
        chunks.extend(all.map(|Next { item, chunk, .. }| (item, chunk)));
    }

    /// Nobody will bring any more.
    pub fn close(&self) {
        self.lock().open = false;
        self.work.notify_all();
    }

    /// Vouchers under way.
    pub fn vouchers(&self) -> usize {
        self.lock().shares.held().vouchers
    }

    fn release(self: &Arc<Self>, permit: &Permit) {
        if permit.checked.load(Ordering::Acquire) {
            self.deciding.fetch_sub(permit.cost(), Ordering::AcqRel);
        }
        let mut state = self.lock();
        let answered = permit.answered.get().copied();
        let admitted = state.shares.release(permit.line, permit.load, answered);
        let made = |Admitted { line, load, waiter }| (waiter, self.permit(&state, line, load));
        let admitted: Vec<_> = admitted.into_iter().map(made).collect();
        let stalled = std::mem::take(&mut state.stalled);
        drop(state);
        if stalled {
            self.work.notify_all();
        }
        // Whoever went away meanwhile gives its permit back at once.
        admitted.into_iter().for_each(|(waiter, permit)| drop(waiter.send(permit)));
    }
}

impl Permit {
    /// Whose frame it is: its place, and its number among that source's frames.
    pub fn place(&self) -> (LineIndex, u64) {
        (self.line, *self.number.get().expect("a frame is sequenced after it was queued"))
    }

    /// The number of the source's frame that is to be sequenced next.
    pub fn turn(&self) -> &Turn {
        &self.turn
    }

    /// All of the frame is checked: from here on it waits for journal and shards.
    pub fn checked(&self) {
        if let Some(fair) = self.fair.upgrade() {
            fair.deciding.fetch_add(self.cost(), Ordering::AcqRel);
            self.checked.store(true, Ordering::Release);
        }
    }

    /// What the frame led to.
    pub fn answered(&self, answered: Answered) {
        self.answered.set(answered).expect("a frame is answered once");
    }

    /// Vouchers that may come in with it.
    pub fn vouchers(&self) -> usize {
        self.load.vouchers
    }

    /// Whose frame it is.
    pub fn line(&self) -> LineIndex {
        self.line
    }

    fn cost(&self) -> usize {
        self.load.vouchers.max(usize::from(chunk_cost(0)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Without its queue it is the end of a life in which nobody waits any more.
        if let Some(fair) = self.fair.upgrade() {
            fair.release(self);
        }
    }
}
