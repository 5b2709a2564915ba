//! Who gets how much: the vouchers under way by source, whose come in next, and whose are checked
//! next.
//!
//! Owns the rules of fair shares, as a state without threads, clock or waiting:
//!
//! - **Coming in.** A source that holds nothing comes in as long as there is room at all; the last
//!   sixteenth is kept for small frames. One that holds something gets more up to half of what is
//!   free, up to its own bound, and not while a source that holds nothing waits. So some room is
//!   always left for who comes next, however many are greedy. A source's own bound grows with what
//!   is credited of it.
//! - **Being checked.** Sources take turns of `TURN_VOUCHERS` (deficit round robin). Who had
//!   nothing to check and now has comes before those who always have (as in RFC 8290), so one
//!   voucher never waits behind another source's thousands. Large frames of those of whom little
//!   was credited have a list of their own: one worker at a time takes from it.
//! - **Being slowed.** Sources most of whose vouchers change nothing have their frames spread out
//!   in time, so that all of them together cost a constant part of a core (`judged`).

mod judged;

pub(super) use judged::Answered;

use crate::limits::{
    CHUNK_COST_MIN, DOUBTED_EVERY, TURN_VOUCHERS, VERIFY_CHUNK, WAITING_SOURCES_LOOK,
};
use judged::Judged;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Whose frames they are: what shares are between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// An identity, by the record that added it, however many connections it has.
    Identity(u64),
    /// A connection of somebody who has no identity, by its number.
    Connection(u64),
    /// No connection: a caller within the process.
    Here(u64),
}

/// Something under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub vouchers: usize,
    pub frames: usize,
}

impl Load {
    fn plus(self, more: Self) -> Self {
        let (vouchers, frames) = (self.vouchers + more.vouchers, self.frames + more.frames);
        Self { vouchers, frames }
    }

    fn minus(self, less: Self) -> Self {
        let give =
            |held: usize, by: usize| held.checked_sub(by).expect("what is held is given back");
        Self {
            vouchers: give(self.vouchers, less.vouchers),
            frames: give(self.frames, less.frames),
        }
    }

    fn fits(self, room: Self) -> bool {
        self.vouchers <= room.vouchers && self.frames <= room.frames
    }
}

/// How much may be under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Of all sources together.
    pub all: Load,
    /// Of one.
    pub source: Load,
}

/// A source's place among the shares, while it has a caller or something under way.
pub(super) type LineIndex = usize;

/// Someone who waited and has come in.
pub(super) struct Admitted<W> {
    pub line: LineIndex,
    pub load: Load,
    pub waiter: W,
}

/// Which of the two lists of those with something to check a source is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    No,
    /// It had nothing to check until now.
    Fresh,
    Rest,
    /// Large frames of one who is doubted.
    Doubted,
}

/// A chunk that is checked next.
pub(super) struct Next<T> {
    pub item: T,
    pub chunk: u16,
    /// Its source is doubted, and it is of a large frame.
    pub doubted: bool,
}

/// A frame with chunks that no worker has yet.
struct Queued<T> {
    item: T,
    vouchers: usize,
    next: u16,
}

struct Line<T, W> {
    source: Source,
    callers: usize,
    held: Load,
    waiting: VecDeque<(Load, W)>,
    /// It is among `Shares::hungry`.
    hungry: bool,
    queue: VecDeque<Queued<T>>,
    /// Chunks in it.
    chunks: usize,
    listed: Listed,
    /// What is left of its turn.
    deficit: i64,
    judged: Judged,
}

impl<T, W> Line<T, W> {
    fn new(source: Source) -> Self {
        Self {
            source,
            callers: 0,
            held: Load::default(),
            waiting: VecDeque::new(),
            hungry: false,
            queue: VecDeque::new(),
            chunks: 0,
            listed: Listed::No,
            deficit: 0,
            judged: Judged::default(),
        }
    }

    fn starves(&self) -> bool {
        !self.waiting.is_empty() && self.held.frames == 0
    }

    fn is_over(&self) -> bool {
        let idle = self.callers == 0 && self.held.frames == 0;
        idle && !self.hungry && self.listed == Listed::No
    }
}

/// All sources. `T` is a frame, `W` whoever waits to come in with one.
pub(super) struct Shares<T, W> {
    bounds: Bounds,
    /// Whether a waiter has gone away.
    gone: fn(&W) -> bool,
    lines: Vec<Line<T, W>>,
    /// Places in `lines` that are nobody's.
    unused: Vec<LineIndex>,
    places: HashMap<Source, LineIndex>,
    held: Load,
    /// Sources with somebody waiting, in turn; and how many of them hold nothing.
    hungry: VecDeque<LineIndex>,
    starving: usize,
    fresh: VecDeque<LineIndex>,
    rest: VecDeque<LineIndex>,
    doubted: VecDeque<LineIndex>,
    /// Chunks of `rest` since the last one of `doubted`.
    since_doubted: u32,
    /// Chunks that no worker has yet; and how many of them are of sources in `doubted`.
    chunks: usize,
    doubted_chunks: usize,
    /// Sources that are slowed.
    slowed: u32,
}

impl<T: Clone, W> Shares<T, W> {
    pub fn new(bounds: Bounds, gone: fn(&W) -> bool) -> Self {
        Self {
            bounds,
            gone,
            lines: Vec::new(),
            unused: Vec::new(),
            places: HashMap::new(),
            held: Load::default(),
            hungry: VecDeque::new(),
            starving: 0,
            fresh: VecDeque::new(),
            rest: VecDeque::new(),
            doubted: VecDeque::new(),
            since_doubted: 0,
            chunks: 0,
            doubted_chunks: 0,
            slowed: 0,
        }
    }

    /// Vouchers and frames under way.
    pub fn held(&self) -> Load {
        self.held
    }

    /// Chunks that wait to be checked; without those that are `doubted`, if so wanted.
    pub fn chunks(&self, doubted: bool) -> usize {
        if doubted { self.chunks } else { self.chunks - self.doubted_chunks }
    }

    /// A source has one more caller. True where it had none and holds nothing: it is new.
    pub fn join(&mut self, source: Source) -> (LineIndex, bool) {
        let found = self.places.get(&source).copied();
        let index = found.unwrap_or_else(|| {
            let index = self.unused.pop().unwrap_or(self.lines.len());
            match self.lines.get_mut(index) {
                Some(line) => *line = Line::new(source),
                None => self.lines.push(Line::new(source)),
            }
            self.places.insert(source, index);
            index
        });
        self.lines[index].callers += 1;
        (index, found.is_none())
    }

    /// A caller is gone. What it has under way goes on.
    pub fn leave(&mut self, index: LineIndex) {
        self.lines[index].callers -= 1;
        if self.lines[index].callers == 0 {
            // Nobody is left who could wait.
            self.change(index, |line| line.waiting.clear());
        }
        self.forget(index);
    }

    /// How many sources there are.
    #[cfg(test)]
    pub fn sources(&self) -> usize {
        self.places.len()
    }

    fn forget(&mut self, index: LineIndex) {
        let line = &self.lines[index];
        if line.is_over() && self.places.get(&line.source) == Some(&index) {
            self.slowed -= u32::from(line.judged.is_slowed());
            self.places.remove(&line.source);
            self.unused.push(index);
        }
    }

    /// Changes what a source holds or waits for.
    fn change<R>(&mut self, index: LineIndex, change: impl FnOnce(&mut Line<T, W>) -> R) -> R {
        let line = &mut self.lines[index];
        let before = line.starves();
        let result = change(line);
        self.starving = self.starving + usize::from(line.starves()) - usize::from(before);
        result
    }

    fn fits(&self, index: LineIndex, load: Load) -> bool {
        let (line, free) = (&self.lines[index], self.bounds.all.minus(self.held));
        if line.held.frames == 0 {
            // A small one always finds what large ones must leave.
            let left = if load.vouchers <= VERIFY_CHUNK { Load::default() } else { self.kept() };
            return load.plus(left).fits(free);
        }
        let half = Load { vouchers: free.vouchers / 2, frames: free.frames / 2 };
        let would = line.held.plus(load);
        let own = would.fits(self.bounds.source) && would.fits(line.judged.room());
        self.starving == 0 && would.fits(half) && own
    }

    /// What is kept for small frames of those who hold nothing.
    fn kept(&self) -> Load {
        let Load { vouchers, frames } = self.bounds.all;
        Load { vouchers: vouchers / 16, frames: frames / 16 }
    }

    fn take(&mut self, index: LineIndex, load: Load) {
        self.held = self.held.plus(load);
        self.change(index, |line| line.held = line.held.plus(load));
    }

    /// Comes in, if there is room for it now and nobody of the same source waits.
    pub fn admit(&mut self, index: LineIndex, load: Load) -> bool {
        self.drop_gone(index);
        let fits = self.lines[index].waiting.is_empty() && self.fits(index, load);
        if fits {
            self.take(index, load);
        }
        fits
    }

    /// Waits to come in, in turn with other sources, and in order with its own.
    pub fn wait(&mut self, index: LineIndex, load: Load, waiter: W) {
        self.change(index, |line| line.waiting.push_back((load, waiter)));
        if !std::mem::replace(&mut self.lines[index].hungry, true) {
            self.hungry.push_back(index);
        }
    }

    /// Notes what a frame that is under way led to.
    pub fn note(&mut self, index: LineIndex, answered: Answered) {
        let judged = &mut self.lines[index].judged;
        let before = u32::from(judged.is_slowed());
        judged.note(answered);
        self.slowed = self.slowed + u32::from(judged.is_slowed()) - before;
    }

    /// Gives back what was under way, and what it led to unless it was given up. Says who comes in
    /// for it.
    pub fn release(
        &mut self,
        index: LineIndex,
        load: Load,
        answered: Option<Answered>,
    ) -> Vec<Admitted<W>> {
        self.held = self.held.minus(load);
        self.change(index, |line| line.held = line.held.minus(load));
        answered.iter().for_each(|answered| self.note(index, *answered));
        let mut admitted = Vec::new();
        for _ in 0..WAITING_SOURCES_LOOK.min(self.hungry.len()) {
            let Some(index) = self.hungry.pop_front() else { break };
            admitted.extend(self.next_of(index));
            if self.lines[index].waiting.is_empty() {
                self.lines[index].hungry = false;
                self.forget(index);
            } else {
                self.hungry.push_back(index);
            }
        }
        self.forget(index);
        admitted
    }

    /// The first of a source who waits, if it fits.
    fn next_of(&mut self, index: LineIndex) -> Option<Admitted<W>> {
        self.drop_gone(index);
        let load = self.lines[index].waiting.front()?.0;
        if !self.fits(index, load) {
            return None;
        }
        let (load, waiter) = self.change(index, |line| line.waiting.pop_front())?;
        self.take(index, load);
        Some(Admitted { line: index, load, waiter })
    }

    /// Nobody waits behind one who has gone away.
    fn drop_gone(&mut self, index: LineIndex) {
        let gone = self.gone;
        self.change(index, |line| {
            while line.waiting.front().is_some_and(|(_, waiter)| gone(waiter)) {
                line.waiting.pop_front();
            }
        });
    }

    /// A frame that has come in waits to be checked.
    pub fn push(&mut self, index: LineIndex, item: T, vouchers: usize) {
        assert!(vouchers > 0, "a frame holds vouchers");
        let chunks = vouchers.div_ceil(VERIFY_CHUNK);
        self.chunks += chunks;
        let line = &mut self.lines[index];
        line.queue.push_back(Queued { item, vouchers, next: 0 });
        line.chunks += chunks;
        match line.listed {
            Listed::Doubted => self.doubted_chunks += chunks,
            Listed::Fresh | Listed::Rest => {}
            Listed::No => {
                line.deficit = TURN_VOUCHERS;
                let doubted = chunks > 1 && line.judged.is_doubted();
                self.list(index, if doubted { Listed::Doubted } else { Listed::Fresh });
            }
        }
    }

    /// Puts a source that is on no list at the end of one.
    fn list(&mut self, index: LineIndex, listed: Listed) {
        let line = &mut self.lines[index];
        line.listed = listed;
        match listed {
            Listed::No => self.forget(index),
            Listed::Fresh => self.fresh.push_back(index),
            Listed::Rest => self.rest.push_back(index),
            Listed::Doubted => {
                self.doubted_chunks += line.chunks;
                self.doubted.push_back(index);
            }
        }
    }

    /// Takes the source whose turn it is from its list. It stays marked with it.
    fn turn(&mut self, doubted: bool) -> Option<LineIndex> {
        if let Some(index) = self.fresh.pop_front() {
            return Some(index);
        }
        let others = self.rest.is_empty() || self.since_doubted >= DOUBTED_EVERY;
        if doubted
            && others
            && let Some(index) = self.doubted.pop_front()
        {
            self.doubted_chunks -= self.lines[index].chunks;
            return Some(index);
        }
        self.rest.pop_front()
    }

    /// The chunk that is checked next; of `doubted` sources only if so wanted.
    pub fn next(&mut self, doubted: bool) -> Option<Next<T>> {
        loop {
            let index = self.turn(doubted)?;
            let line = &mut self.lines[index];
            if line.queue.is_empty() {
                self.list(index, Listed::No);
                continue;
            }
            if line.deficit <= 0 {
                line.deficit += TURN_VOUCHERS;
                let doubted = line.chunks > 1 && line.judged.is_doubted();
                self.list(index, if doubted { Listed::Doubted } else { Listed::Rest });
                continue;
            }
            let (item, chunk) = line.next_chunk();
            self.chunks -= 1;
            let from = line.listed;
            match from {
                Listed::Fresh | Listed::No => {}
                Listed::Rest => self.since_doubted = self.since_doubted.saturating_add(1),
                Listed::Doubted => self.since_doubted = 0,
            }
            self.back(index, from);
            return Some(Next { item, chunk, doubted: from == Listed::Doubted });
        }
    }

    /// Puts a source back of which a chunk was taken: where it was, while its turn lasts.
    fn back(&mut self, index: LineIndex, from: Listed) {
        let line = &self.lines[index];
        let others = !self.rest.is_empty() || !self.doubted.is_empty();
        match (line.queue.is_empty(), from) {
            // Once through the others' list, so that nobody is always fresh.
            (true, Listed::Fresh) if others => self.list(index, Listed::Rest),
            // What it holds keeps its place.
            (true, _) => self.list(index, Listed::No),
            (false, Listed::Fresh) => self.fresh.push_front(index),
            (false, Listed::Rest | Listed::No) => self.rest.push_front(index),
            (false, Listed::Doubted) => {
                self.doubted_chunks += line.chunks;
                self.doubted.push_front(index);
            }
        }
    }

    /// When a frame that has come in may go on: now, unless its source is slowed. Where it is
    /// later, it is to be given up until then, and to come in again.
    pub fn when(&mut self, index: LineIndex, now: Instant) -> Instant {
        let slowed = self.slowed;
        self.lines[index].judged.when(now, slowed)
    }
}

impl<T: Clone, W> Line<T, W> {
    fn next_chunk(&mut self) -> (T, u16) {
        let queued = self.queue.front_mut().expect("it has something to check");
        let (item, chunk) = (queued.item.clone(), queued.next);
        let left = queued.vouchers - usize::from(chunk) * VERIFY_CHUNK;
        queued.next += 1;
        if left <= VERIFY_CHUNK {
            self.queue.pop_front();
        }
        self.chunks -= 1;
        self.deficit -= i64::from(chunk_cost(left.min(VERIFY_CHUNK)));
        (item, chunk)
    }
}

/// As how much a chunk of so many vouchers counts.
pub(super) fn chunk_cost(vouchers: usize) -> u16 {
    u16::try_from(vouchers).unwrap_or(u16::MAX).max(CHUNK_COST_MIN)
}

#[cfg(test)]
mod tests;
