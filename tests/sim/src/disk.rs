//! A disk in memory that does what the journal's contract allows and no more: what was not synced
//! may be lost, any part of it, and the process may die before and after every call that writes.
//!
//! Owns what is durable. Never looks into a record or a page.

use crate::dice::Dice;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tallystick::journal::{
    Framed, Journal, JournalError, Log, Table, Tables, Tail, Visit, VisitPage,
};
use tallystick::types::Lsn;

/// The kinds of records that hold vouchers (`docs/FORMATS.md`).
const FRAMES: [u8; 3] = [2, 3, 4];

/// A call that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Call {
    Append,
    Remember,
    Put,
    Sync,
    Commit,
    Remove,
    Destroy,
    Trim,
    LetGo,
}

impl Call {
    /// Every call.
    pub const ALL: [Self; 9] = [
        Self::Append,
        Self::Remember,
        Self::Put,
        Self::Sync,
        Self::Commit,
        Self::Remove,
        Self::Destroy,
        Self::Trim,
        Self::LetGo,
    ];
}

/// On which side of a call's effect the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Side {
    Before,
    After,
}

/// A moment at which the process can die.
pub type Boundary = (Call, Side);

#[derive(Clone)]
enum Unsynced {
    Put(Table, Vec<u8>, Vec<u8>),
    Remove(Table, Vec<u8>),
}

type Pages = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

struct State {
    frames: BTreeMap<Lsn, Vec<u8>>,
    events: BTreeMap<Lsn, Vec<u8>>,
    /// Pages as they are read, and as they are durable; what is between them, in order.
    pages: Pages,
    durable: Pages,
    unsynced: Vec<Unsynced>,
    /// The mark as it was written, and as it is durable.
    mark: Option<Tail>,
    mark_durable: Option<Tail>,
    last: Lsn,
    dice: Dice,
    /// Boundaries until the process dies; `None`: it does not.
    fuse: Option<u64>,
    /// Whether it may die where few calls are, whatever the fuse.
    mortal: bool,
    died: Option<Boundary>,
    /// Every boundary at which it ever died.
    deaths: BTreeSet<Boundary>,
}

/// The disk. Cheap to clone; all clones are the same disk.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// An empty disk. `dice` decide what is lost.
    #[must_use]
    pub fn new(dice: Dice) -> Self {
        Self(Arc::new(Mutex::new(State {
            frames: BTreeMap::new(),
            events: BTreeMap::new(),
            pages: BTreeMap::new(),
            durable: BTreeMap::new(),
            unsynced: Vec::new(),
            mark: None,
            mark_durable: None,
            last: Lsn(0),
            dice,
            fuse: None,
            mortal: false,
            died: None,
            deaths: BTreeSet::new(),
        })))
    }

    /// What a process has of it.
    #[must_use]
    pub fn journal(&self) -> Journal<Self> {
        Journal { log: self.clone(), tables: Arc::new(self.clone()) }
    }

    /// The process will die after so many boundaries; `None`: it will not.
    pub fn arm(&self, fuse: Option<u64>) {
        self.state().fuse = fuse;
    }

    /// The process dies after so many boundaries, if it may die at all.
    pub fn dies_soon(&self, boundaries: u64) {
        let mut state = self.state();
        if state.mortal {
            state.fuse = Some(boundaries);
        }
    }

    /// Whether the process may die at a call that is seldom made, with or without a fuse.
    pub fn may_die(&self, mortal: bool) {
        self.state().mortal = mortal;
    }

    /// Whether the process has died, and at which boundary.
    #[must_use]
    pub fn died(&self) -> Option<Boundary> {
        self.state().died
    }

    /// Every boundary at which a process died so far.
    #[must_use]
    pub fn deaths(&self) -> BTreeSet<Boundary> {
        self.state().deaths.clone()
    }

    /// The last durable record.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.state().last
    }

    /// The disk as the next start finds it: some of what was not synced is lost, for pages are in
    /// the process's own memory until then. The mark is with the system, which loses it only with
    /// the `power`.
    pub fn restart(&self, power: bool) {
        let mut state = self.state();
        (state.fuse, state.died) = (None, None);
        // All, nothing, or each on its own: a disk keeps what it likes.
        let kept = *state.dice.pick(&[0, 0, 50, 50, 90, 100]);
        for write in std::mem::take(&mut state.unsynced) {
            if state.dice.percent(kept) {
                state.harden(write);
            }
        }
        state.pages = state.durable.clone();
        if !power || state.dice.percent(kept) {
            state.mark_durable = state.mark;
        }
        state.mark = state.mark_durable;
    }

    /// Everything that is durable, in order.
    pub fn digest(&self, hasher: &mut blake3::Hasher) {
        let state = self.state();
        for (lsn, bytes) in state.frames.iter().chain(&state.events) {
            hasher.update(&lsn.0.to_le_bytes()).update(bytes);
        }
        for ((table, key), page) in &state.durable {
            hasher.update(table.name().as_bytes()).update(key).update(page);
        }
        hasher.update(format!("{:?}", state.mark_durable).as_bytes());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what a call does, between two boundaries.
    fn write(&self, call: Call, effect: impl FnOnce(&mut State)) -> Result<(), JournalError> {
        let mut state = self.state();
        state.boundary((call, Side::Before))?;
        effect(&mut state);
        state.boundary((call, Side::After))
    }
}

impl State {
    fn boundary(&mut self, boundary: Boundary) -> Result<(), JournalError> {
        assert!(self.died.is_none(), "a dead process writes: {boundary:?} after {:?}", self.died);
        match &mut self.fuse {
            None => Ok(()),
            Some(0) => {
                self.died = Some(boundary);
                self.deaths.insert(boundary);
                Err(JournalError::Storage(format!("the process died at {boundary:?}")))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    /// What is seldom called would seldom be where a process dies.
    fn often_dies_here(&mut self) {
        if self.mortal && self.dice.percent(80) {
            self.fuse = Some(self.dice.below(2));
        }
    }

    fn harden(&mut self, write: Unsynced) {
        match write {
            Unsynced::Put(table, key, page) => self.durable.insert((table, key), page),
            Unsynced::Remove(table, key) => self.durable.remove(&(table, key)),
        };
    }
}

impl Log for Disk {
    fn append(&mut self, group: &[Framed]) -> Result<Lsn, JournalError> {
        self.write(Call::Append, |state| {
            for framed in group {
                assert_eq!(framed.lsn, state.last.next(), "records are contiguous");
                let frame = FRAMES.contains(&framed.kind());
                let records = if frame { &mut state.frames } else { &mut state.events };
                records.insert(framed.lsn, framed.bytes.clone());
                state.last = framed.lsn;
            }
            // The mark is written behind, and not waited for.
            state.mark = group.last().map(Framed::tail).or(state.mark);
        })?;
        Ok(group.last().expect("a group has records").lsn)
    }

    fn resync(&mut self) -> Result<Tail, JournalError> {
        let state = self.state();
        let lasts = [state.frames.last_key_value(), state.events.last_key_value()];
        let tail =
            |(lsn, bytes): (&Lsn, &Vec<u8>)| Framed { lsn: *lsn, bytes: bytes.clone() }.tail();
        let found = lasts.into_iter().flatten().map(tail).chain(state.mark);
        Ok(found.max_by_key(|tail| tail.lsn).unwrap_or(Tail::START))
    }

    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        let records: BTreeMap<Lsn, Vec<u8>> = {
            let state = self.state();
            let both = state.frames.range(from..).chain(state.events.range(from..));
            both.map(|(lsn, bytes)| (*lsn, bytes.clone())).collect()
        };
        records.iter().try_for_each(|(lsn, bytes)| visit(*lsn, bytes))
    }

    fn events_between(
        &self,
        from: Lsn,
        to: Lsn,
        visit: &mut Visit<'_>,
    ) -> Result<(), JournalError> {
        if from > to {
            return Ok(());
        }
        let events: Vec<(Lsn, Vec<u8>)> = {
            let state = self.state();
            state.events.range(from..=to).map(|(lsn, bytes)| (*lsn, bytes.clone())).collect()
        };
        events.iter().try_for_each(|(lsn, bytes)| visit(*lsn, bytes))
    }

    fn trim(&self, to: Lsn) -> Result<(), JournalError> {
        self.write(Call::Trim, |state| {
            // Where the last record goes, the mark alone says that it was there.
            state.mark_durable = state.mark;
            // Some of them may be kept for a while: whole files go, or none.
            let kept = *state.dice.pick(&[0, 0, 30, 100]);
            let State { frames, dice, .. } = state;
            frames.retain(|held, _| *held > to || dice.percent(kept));
        })
    }

    fn let_go(&self, to: Lsn) -> Result<(), JournalError> {
        self.state().often_dies_here();
        self.write(Call::LetGo, |state| {
            state.mark_durable = state.mark;
            state.events.retain(|held, _| *held > to || *held == Lsn(1));
        })
    }

    fn remember(&mut self, tail: Tail) -> Result<(), JournalError> {
        self.write(Call::Remember, |state| {
            (state.mark, state.mark_durable) = (Some(tail), Some(tail));
        })
    }

    fn remembered(&self) -> Result<Option<Tail>, JournalError> {
        Ok(self.state().mark)
    }

    fn shared(&self) -> Arc<dyn Log> {
        Arc::new(self.clone())
    }
}

impl Tables for Disk {
    fn put(&self, table: Table, key: &[u8], page: &[u8]) -> Result<(), JournalError> {
        self.write(Call::Put, |state| {
            let (key, page) = (key.to_vec(), page.to_vec());
            state.pages.insert((table, key.clone()), page.clone());
            state.unsynced.push(Unsynced::Put(table, key, page));
        })
    }

    fn sync(&self, table: Table) -> Result<(), JournalError> {
        self.write(Call::Sync, |state| {
            let (synced, rest) =
                std::mem::take(&mut state.unsynced).into_iter().partition(|write| match write {
                    Unsynced::Put(of, ..) | Unsynced::Remove(of, _) => *of == table,
                });
            state.unsynced = rest;
            let synced: Vec<Unsynced> = synced;
            synced.into_iter().for_each(|write| state.harden(write));
        })
    }

    fn commit(&self, key: &[u8], entry: &[u8]) -> Result<(), JournalError> {
        self.write(Call::Commit, |state| {
            state.pages.insert((Table::Meta, key.to_vec()), entry.to_vec());
            state.durable.insert((Table::Meta, key.to_vec()), entry.to_vec());
        })
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: &mut VisitPage<'_>,
    ) -> Result<(), JournalError> {
        let pages: Vec<(Vec<u8>, Vec<u8>)> = {
            let state = self.state();
            let range = state.pages.range((table, from.to_vec())..(table, to.to_vec()));
            range.map(|((_, key), page)| (key.clone(), page.clone())).collect()
        };
        pages.iter().try_for_each(|(key, page)| visit(key, page))
    }

    fn remove(&self, table: Table, from: &[u8], to: &[u8]) -> Result<(), JournalError> {
        self.write(Call::Remove, |state| {
            let range = state.pages.range((table, from.to_vec())..(table, to.to_vec()));
            let keys: Vec<Vec<u8>> = range.map(|((_, key), _)| key.clone()).collect();
            for key in keys {
                state.pages.remove(&(table, key.clone()));
                state.unsynced.push(Unsynced::Remove(table, key));
            }
        })
    }

    fn destroy(&self, table: Table, key: &[u8]) -> Result<(), JournalError> {
        self.state().often_dies_here();
        self.write(Call::Destroy, |state| {
            let of = (table, key.to_vec());
            state.pages.remove(&of);
            state.durable.remove(&of);
        })
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({} records)", self.state().last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick::journal::conformance::{self, Place};

    /// Every start finds it as a power cut leaves it.
    struct Cut(Disk);

    impl Place for Cut {
        type Log = Disk;

        fn open(&mut self) -> Journal<Disk> {
            self.0.journal()
        }

        fn again(&mut self, _: Journal<Disk>) -> Journal<Disk> {
            self.0.restart(true);
            self.0.journal()
        }
    }

    #[test]
    fn it_keeps_what_a_log_and_tables_promise() {
        (0..16).for_each(|seed| conformance::check(|| Cut(Disk::new(Dice::new(seed)))));
    }
}
