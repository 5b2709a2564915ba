//! What follows from no record, and a successor needs: kept by the servers beside the journal, with
//! a copy in the local tables, from which everything is read.
//!
//! Two streams. The **keys** (a bucket, `STREAM-beside`) hold the last page of each key, a message
//! each, so that one can be erased: keys of names, bytes of calls, some entries of `Meta`. What is
//! **passing** (`STREAM-passing`) is lists of changes, one message a sync, which go by their age:
//! payments, which count for two days.
//!
//! The servers first, then the local tables: these never hold what a successor might not find. A
//! page that was put is in neither until its table is synced.

mod change;
mod fill;
mod hand;
mod line;
mod make;
mod wire;

use super::copy;
use super::error::StreamError;
use super::limits::BESIDE_NOTE_EVERY;
use super::link::Link;
use super::settings::Settings;
use super::trying::Trying;
use change::{Change, Kind, key_of, seal, subject};
use hand::{Hand, cut};
pub(super) use line::Place;
use line::{Came, Line};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tallystick_journal::{JournalError, LogVitals, Table, Tables, VisitPage};

/// The streams beside the journal's.
pub(super) fn names(settings: &Settings) -> [String; 2] {
    [make::keys_of(settings), make::passing_of(settings)]
}

/// What is called when an append has failed for good.
type Failed = fn(&JournalError);

/// The tables of a node: those that follow from records are local, all else goes through the
/// servers.
pub struct Beside {
    local: Arc<dyn Tables>,
    link: Arc<Link>,
    keys: Line,
    passing: Line,
    hand: Mutex<Hand>,
    owns: AtomicBool,
    failed: OnceLock<Failed>,
}

impl Beside {
    /// Over the tables of a directory.
    ///
    /// # Errors
    /// `Copy`: what is noted there cannot be read.
    pub(super) fn new(link: Arc<Link>, local: Arc<dyn Tables>) -> Result<Self, StreamError> {
        let [keys, passing] = names(link.settings());
        let line = |stream: String, begin: String, whole: bool| {
            let place = copy::place(&*local, &stream)?;
            Ok::<_, StreamError>(Line::new(link.clone(), stream, begin, whole, place))
        };
        let begin = make::keys_begin(&link);
        let (keys, passing) =
            (line(keys, begin, false)?, line(passing.clone(), format!("{passing}."), true)?);
        let (hand, owns, failed) = (Mutex::default(), AtomicBool::new(false), OnceLock::new());
        Ok(Self { local, link, keys, passing, hand, owns, failed })
    }

    /// What is called, beside the error, when an append has failed for good: nobody knows what
    /// became of it, so the process is to end.
    pub fn on_failure(&self, failed: fn(&JournalError)) {
        // The first one stays.
        let _ = self.failed.set(failed);
    }

    /// What is counted of its appends.
    #[must_use]
    pub fn vitals(&self) -> Arc<LogVitals> {
        self.link.vitals.clone()
    }

    /// Copies into the local tables all that has come since the last time. Called as often as one
    /// likes; an owner has all of it. Asks the servers once, for as long as one request may take.
    ///
    /// # Errors
    /// `StreamError` of reading; `Copy` of the local tables.
    pub fn follow(&self) -> Result<(), StreamError> {
        if self.owns.load(Ordering::Acquire) {
            return Ok(());
        }
        for line in [&self.keys, &self.passing] {
            let mut place = line.place();
            let last = line.try_range()?.map_or(0, |(_, last)| last);
            if last > place.at {
                self.read_to(line, &mut place, last)?;
            }
        }
        Ok(())
    }

    /// The same, for as long as a start waits for servers.
    ///
    /// # Errors
    /// As for `follow`.
    pub fn catch_up(&self) -> Result<(), StreamError> {
        [&self.keys, &self.passing].iter().try_for_each(|line| line.range().map(drop))?;
        self.follow()
    }

    /// Whether `take` would be refused because nobody has put there yet what an owner keeps: asked
    /// before anything is claimed, behind `follow`.
    ///
    /// # Errors
    /// `NotFilled`; `Request` where nothing may be appended.
    pub fn check_may_take(&self, wrote_last: bool) -> Result<(), StreamError> {
        if !wrote_last && !self.keys.place().filled {
            return Err(StreamError::NotFilled { bucket: make::bucket(&self.link) });
        }
        [&self.keys, &self.passing].iter().try_for_each(|line| line.check_may_append())
    }

    /// Cuts off the owner before, copies all that it has put there, and may write from then on, in
    /// `epoch`. Called behind the claim of the journal's stream. `wrote_last`: this directory is
    /// the one that wrote the journal last, or it is a new one; so it holds all that was kept
    /// before there were these streams, and puts it there.
    ///
    /// # Errors
    /// `NotFilled`, `Fenced`, `Lost`, `Unfit`, and those of reading and appending.
    pub fn take(&self, epoch: u64, by: &str, wrote_last: bool) -> Result<(), StreamError> {
        let (mut keys, mut passing) = (self.keys.place(), self.passing.place());
        let (mut anew, mut again) = (false, true);
        for (line, place) in [(&self.keys, &mut keys), (&self.passing, &mut passing)] {
            let made = make::sure(line, place, wrote_last)?;
            anew |= made;
            again &= !(made && line.stream == self.keys.stream);
            line.check_not_lost(place)?;
            let (fresh, mut tables) = (self.begin(line, place)?, BTreeSet::new());
            let taken =
                line.take(place, epoch, by, &mut |came| self.took(line, came, fresh, &mut tables));
            self.settle(line, place, tables)?;
            taken?;
        }
        if !keys.filled || anew {
            if !wrote_last {
                return Err(StreamError::NotFilled { bucket: make::bucket(&self.link) });
            }
            let to = ((&self.keys, &mut *keys), (&self.passing, &mut *passing));
            fill::fill(&*self.local, again, to.0, to.1)?;
        }
        self.note(&self.keys, &mut keys)?;
        self.note(&self.passing, &mut passing)?;
        self.owns.store(true, Ordering::Release);
        Ok(())
    }

    fn read_to(&self, line: &Line, place: &mut Place, to: u64) -> Result<(), StreamError> {
        let (fresh, mut tables) = (self.begin(line, place)?, BTreeSet::new());
        let read = line.read_to(place, to, &mut |came| self.took(line, came, fresh, &mut tables));
        // As far as it came.
        self.settle(line, place, tables)?;
        read
    }

    /// Whether nothing was read of it before: that is noted, so that it is true once.
    fn begin(&self, line: &Line, place: &mut Place) -> Result<bool, StreamError> {
        let fresh = place.fresh;
        if fresh {
            self.note(line, place)?;
        }
        Ok(fresh)
    }

    /// Makes durable what has come, and only then notes that it is here.
    fn settle(
        &self,
        line: &Line,
        place: &mut Place,
        tables: BTreeSet<Table>,
    ) -> Result<(), StreamError> {
        tables
            .into_iter()
            .try_for_each(|table| self.local.sync(table))
            .map_err(StreamError::Copy)?;
        self.note(line, place)
    }

    fn note(&self, line: &Line, place: &mut Place) -> Result<(), StreamError> {
        (place.unnoted, place.fresh) = (0, false);
        copy::note_place(&*self.local, &line.stream, place).map_err(StreamError::Copy)
    }

    /// Does in the local tables what a message says.
    fn took(
        &self,
        line: &Line,
        came: Came<'_>,
        fresh: bool,
        tables: &mut BTreeSet<Table>,
    ) -> Result<(), StreamError> {
        let (subject, message) = match came {
            Came::Message { subject, message } => (subject, message),
            Came::Anew => {
                tables.insert(Table::Payments);
                let all = self.local.remove(Table::Payments, &[], &[u8::MAX; hand::KEY_MAX]);
                return all.map_err(StreamError::Copy);
            }
        };
        let strange = |why: &str| StreamError::Unusable {
            stream: line.stream.clone(),
            seq: 0,
            why: format!("{why} ({subject})"),
        };
        match message.kind {
            Kind::Cut | Kind::Destroying => return Ok(()),
            Kind::Changes => {
                let name = subject.strip_prefix(&line.begin).unwrap_or_default();
                let table = Table::ALL.into_iter().find(|table| table.name() == name);
                let table = table.ok_or_else(|| strange("it is of no table"))?;
                let changes = Change::read_all(message.body);
                let changes = changes.ok_or_else(|| strange("its changes are cut"))?;
                tables.insert(table);
                return self.change(table, &changes).map_err(StreamError::Copy);
            }
            Kind::Page if subject == line.filled() => return Ok(()),
            Kind::Page | Kind::Gone | Kind::Destroyed => {}
        }
        let key = key_of(&line.begin, subject).filter(|(table, key)| table.is_underived(key));
        let (table, key) = key.ok_or_else(|| strange("it is of no table"))?;
        tables.insert(table);
        let local = &self.local;
        let done = match message.kind {
            Kind::Page => self.came_page(table, &key, message.body),
            Kind::Destroyed => local.sync(table).and_then(|()| match local.get(table, &key)? {
                // It went before this directory began to read.
                None if fresh => Ok(()),
                _ => local.destroy(table, &key),
            }),
            Kind::Cut | Kind::Gone | Kind::Changes | Kind::Destroying => {
                local.remove(table, &key, &hand::behind(&key))
            }
        };
        done.map_err(StreamError::Copy)
    }

    /// Puts a page that has come. Another one that it takes the place of may have been destroyed in
    /// between: the word of it is displaced, too.
    fn came_page(&self, table: Table, key: &[u8], page: &[u8]) -> Result<(), JournalError> {
        if table == Table::PartyKeys {
            self.local.sync(table)?;
            if self.local.get(table, key)?.is_some_and(|held| held != page) {
                self.local.destroy(table, key)?;
            }
        }
        self.local.put(table, key, page)
    }

    fn change(&self, table: Table, changes: &[Change]) -> Result<(), JournalError> {
        changes.iter().try_for_each(|change| match change {
            Change::Put { key, page } => self.local.put(table, key, page),
            Change::Remove { from, to } => self.local.remove(table, from, to),
        })
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        // Whole whenever the lock is free.
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this node may write, and a page of so many bytes fits.
    fn may(&self, table: Table, bytes: usize) -> Result<(), StreamError> {
        if !self.owns.load(Ordering::Acquire) {
            return Err(StreamError::StandsBy);
        }
        let most = self.keys.body_bytes_max() - hand::KEY_MAX - change::CHANGE_HEAD;
        if bytes > most {
            return Err(StreamError::TooLarge { table: table.name(), bytes, most });
        }
        Ok(())
    }

    /// What was begun has come to its end. Where it has not, nothing is written any more: of pages
    /// that others put, too, nobody could say whether they are there.
    fn done<T>(&self, place: &mut Place, done: Result<T, JournalError>) -> Result<T, JournalError> {
        if let Err(error) = &done {
            place.ended = true;
            if let Some(failed) = self.failed.get() {
                failed(error);
            }
        }
        done
    }

    fn noted_now_and_then(&self, line: &Line, place: &mut Place) -> Result<(), JournalError> {
        match place.unnoted < BESIDE_NOTE_EVERY {
            true => Ok(()),
            false => Ok(self.note(line, place)?),
        }
    }

    /// Syncs a table whose pages are messages of their own.
    fn sync_keys(&self, table: Table) -> Result<(), JournalError> {
        let mut place = self.keys.place();
        let pages = self.hand().pages(table);
        if pages.is_empty() && !place.ended {
            return self.local.sync(table);
        }
        let synced = self.put_keys(&mut place, table, &pages);
        self.done(&mut place, synced)
    }

    fn put_keys(
        &self,
        place: &mut Place,
        table: Table,
        pages: &hand::Pages,
    ) -> Result<(), JournalError> {
        let (epoch, most) = (self.keys.own(place)?, self.keys.body_bytes_max());
        let message = |(key, page): (&Vec<u8>, &Option<Vec<u8>>)| {
            let subject = subject(&self.keys.begin, table, key);
            let sealed = match page {
                Some(page) => seal(Kind::Page, epoch, &subject, page),
                None => seal(Kind::Gone, epoch, &subject, &[]),
            };
            (subject, sealed)
        };
        let lots = cut(pages.iter().map(message).collect(), most);
        lots.iter().try_for_each(|lot| self.keys.append(place, lot))?;
        for (key, page) in pages {
            match page {
                Some(page) => self.local.put(table, key, page)?,
                None => self.local.remove(table, key, &hand::behind(key))?,
            }
        }
        self.local.sync(table)?;
        self.noted_now_and_then(&self.keys, place)
    }

    /// Syncs the table whose changes pass.
    fn sync_passing(&self) -> Result<(), JournalError> {
        let mut place = self.passing.place();
        let changes = self.hand().changes();
        if changes.is_empty() && !place.ended {
            return self.local.sync(Table::Payments);
        }
        let synced = self.put_passing(&mut place, &changes);
        self.done(&mut place, synced)
    }

    fn put_passing(&self, place: &mut Place, changes: &[Change]) -> Result<(), JournalError> {
        let epoch = self.passing.own(place)?;
        let lists = fill::lists(&self.passing, epoch, changes);
        lists.iter().try_for_each(|list| self.passing.append(place, list))?;
        self.change(Table::Payments, changes)?;
        self.local.sync(Table::Payments)?;
        self.noted_now_and_then(&self.passing, place)
    }

    /// Has what the servers hold of a key erased, and leaves word that it is gone.
    fn erase(&self, place: &mut Place, table: Table, key: &[u8]) -> Result<(), StreamError> {
        let line = &self.keys;
        let (epoch, subject) = (line.own(place)?, subject(&line.begin, table, key));
        self.hand().forget(table, key);
        let mut trying = Trying::new(&*self.link);
        loop {
            let live = match line.link.last_under(&line.stream, &subject) {
                Ok(live) => live,
                Err(why) => {
                    trying.wait(&*line.link, &why, false)?;
                    continue;
                }
            };
            let Some(live) = live else { break };
            let message = line.read(&live)?;
            if message.epoch > epoch {
                let by = "another engine".to_owned();
                return Err(StreamError::Fenced { own: epoch, found: message.epoch, by });
            }
            if message.kind != Kind::Page {
                break;
            }
            // It is not the stream's last message any more then: by that, readers know its end.
            let about = format!("{}destroying", line.begin);
            let sealed = seal(Kind::Destroying, epoch, &about, &[]);
            line.append(place, &[(about, sealed)])?;
            if let Err(why) = line.link.erase(&line.stream, live.seq) {
                trying.wait(&*line.link, &why, false)?;
            }
        }
        line.link.vitals.wait(0);
        let sealed = seal(Kind::Destroyed, epoch, &subject, &[]);
        line.append(place, &[(subject, sealed)])
    }
}

impl Tables for Beside {
    fn put(&self, table: Table, key: &[u8], page: &[u8]) -> Result<(), JournalError> {
        if !table.is_underived(key) {
            return self.local.put(table, key, page);
        }
        self.may(table, page.len())?;
        self.hand().put(table, key, page);
        Ok(())
    }

    fn sync(&self, table: Table) -> Result<(), JournalError> {
        match table {
            Table::Payments => self.sync_passing(),
            Table::Calls | Table::PartyKeys | Table::Meta => self.sync_keys(table),
            Table::Checkpoints | Table::Control | Table::Windows | Table::Batches | Table::Legs => {
                self.local.sync(table)
            }
        }
    }

    fn commit(&self, key: &[u8], entry: &[u8]) -> Result<(), JournalError> {
        if !Table::Meta.is_underived(key) {
            return self.local.commit(key, entry);
        }
        self.may(Table::Meta, entry.len())?;
        let mut place = self.keys.place();
        let page = [(key.to_vec(), Some(entry.to_vec()))].into();
        let committed = self.put_keys(&mut place, Table::Meta, &page);
        self.done(&mut place, committed)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, JournalError> {
        self.local.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: &mut VisitPage<'_>,
    ) -> Result<(), JournalError> {
        self.local.scan(table, from, to, visit)
    }

    fn remove(&self, table: Table, from: &[u8], to: &[u8]) -> Result<(), JournalError> {
        if !table.is_underived(from) {
            return self.local.remove(table, from, to);
        }
        self.may(table, 0)?;
        if table == Table::Payments {
            self.hand().remove(from, to);
            return Ok(());
        }
        let mut here = Vec::new();
        self.local.scan(table, from, to, &mut |key, _| {
            here.push(key.to_vec());
            Ok(())
        })?;
        self.hand().gone(table, from, to, here);
        Ok(())
    }

    fn reclaim(&self, table: Table, from: &[u8], to: &[u8]) -> Result<(), JournalError> {
        self.local.reclaim(table, from, to)
    }

    fn destroy(&self, table: Table, key: &[u8]) -> Result<(), JournalError> {
        if table.is_underived(key) {
            self.may(table, 0)?;
            let mut place = self.keys.place();
            let erased = self.erase(&mut place, table, key).map_err(JournalError::from);
            self.done(&mut place, erased)?;
        }
        self.local.destroy(table, key)
    }

    fn free_bytes(&self) -> Option<u64> {
        self.local.free_bytes()
    }
}
