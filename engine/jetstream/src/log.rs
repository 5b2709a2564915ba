//! The log: appends go into the stream, then into the copy; everybody reads the copy.

use super::copy;
use super::error::StreamError;
use super::fit;
use super::fold::{Stand, Took, Void};
use super::limits::HOLE_WAIT;
use super::link::Link;
use super::monitor;
use super::owner::{Owner, void};
use super::settings::Settings;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tallystick_journal::rocks::RocksLog;
use tallystick_journal::{Framed, Journal, JournalError, Log, LogVitals, Tables, Tail, Visit};
use tallystick_ledger::types::Lsn;

/// How a log is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Start {
    /// A new ledger may begin: the stream is made where there is none.
    pub create: bool,
    /// What another engine wrote last is taken over, although what it keeps beside the stream is
    /// not here: for tests of the log alone.
    pub take_over: bool,
}

/// The log in the stream, with its copy.
pub struct StreamLog {
    owner: Owner,
    copy: RocksLog,
    shared: Arc<Shared>,
}

/// What everybody else holds of it.
struct Shared {
    copy: Arc<dyn Log>,
    tables: Arc<dyn Tables>,
    /// Where the copy stands.
    stand: Arc<Mutex<Stand>>,
    vitals: Arc<LogVitals>,
}

/// Opens the log: connects, looks whether stream and servers are fit, brings the copy up to the
/// stream's end, claims the stream.
///
/// # Errors
/// `StreamError` that says what does not fit; then nothing was changed, but perhaps the epoch.
pub fn open(
    settings: &Settings,
    journal: Journal<RocksLog>,
    start: Start,
) -> Result<Journal<StreamLog>, StreamError> {
    let Journal { log: copy, tables } = journal;
    monitor::check(settings)?;
    let link = Arc::new(Link::connect(settings)?);
    let mut opening = Opening::new(&link, copy, &*tables)?;
    let subject = opening.stream(start)?;
    opening.follow(start)?;
    let node = copy::node(&*tables)?;
    let Opening { mut copy, mut stand, end, .. } = opening;
    let owner = Owner::claim(
        link.clone(),
        &subject,
        stand,
        &node,
        &mut |epoch| copy::note_claimed(&*tables, epoch),
        &mut |records| take(&mut copy, end, records),
    )?;
    stand = owner.stand();
    if let (Some((found, by)), false) = (owner.met(), start.take_over) {
        let (stream, own, by) = (settings.stream.clone(), owner.epoch(), by.to_owned());
        return Err(StreamError::OtherOwner { stream, own, found, by });
    }
    if let Some(noted) = copy::new_restore(&*tables)? {
        copy::note_restore(&*tables, &noted)?;
    }
    copy::note_stand(&*tables, &stand).map_err(StreamError::Copy)?;
    tracing::info!(
        stream = %settings.stream, epoch = owner.epoch(), message = stand.seq,
        lsn = stand.tail.lsn.0,
        "the journal's stream is claimed"
    );
    let (shared_copy, stand) = (copy.shared(), Arc::new(Mutex::new(stand)));
    let vitals = link.vitals.clone();
    let shared = Arc::new(Shared { copy: shared_copy, tables: tables.clone(), stand, vitals });
    Ok(Journal { log: StreamLog { owner, copy, shared }, tables })
}

/// Appends to the copy what it has not yet.
fn take(copy: &mut RocksLog, end: Tail, records: &[Framed]) -> Result<(), StreamError> {
    let new = records.partition_point(|framed| framed.lsn <= end.lsn);
    match &records[new..] {
        [] => Ok(()),
        new => copy.append(new).map(drop).map_err(StreamError::Copy),
    }
}

/// A log on its way to be opened.
struct Opening<'a> {
    link: &'a Link,
    copy: RocksLog,
    tables: &'a dyn Tables,
    /// How far the stream was followed.
    stand: Stand,
    /// Where the copy ended.
    end: Tail,
    /// Messages of the last owner that do not follow: the first, how many, of which epoch.
    unlinked: (u64, u64, u64),
    /// Who claimed last.
    by: String,
}

impl<'a> Opening<'a> {
    fn new(
        link: &'a Link,
        mut copy: RocksLog,
        tables: &'a dyn Tables,
    ) -> Result<Self, StreamError> {
        let stand = copy::stand(tables)?;
        let end = copy.resync().map_err(StreamError::Copy)?;
        let (unlinked, by) = ((0, 0, 0), String::new());
        let opening =
            Self { link, copy, tables, stand: stand.unwrap_or(Stand::START), end, unlinked, by };
        if stand.is_none() && !copy::is_copy(tables).map_err(StreamError::Copy)? && end.lsn > Lsn(0)
        {
            return Err(StreamError::NoCopy { stream: opening.name(), records: end.lsn.0 });
        }
        Ok(opening)
    }

    fn name(&self) -> String {
        self.link.settings().stream.clone()
    }

    /// The stream's subject; where there is no stream, and may be one, it is made.
    fn stream(&self, start: Start) -> Result<String, StreamError> {
        let stream = self.name();
        let mut info = self.link.info()?;
        if info.is_none() {
            if self.stand.seq > 0 || self.end.lsn > Lsn(0) || !start.create {
                return Err(StreamError::NoStream { stream, records: self.end.lsn.0 });
            }
            self.link.create()?;
            info = self.link.info()?;
        }
        let info =
            info.ok_or_else(|| StreamError::NoStream { stream: stream.clone(), records: 0 })?;
        fit::check(&info).map_err(|why| StreamError::Unfit { stream, why })
    }

    /// Follows the stream to its end, before anything is claimed, and looks whether this directory
    /// may go on with it.
    fn follow(&mut self, start: Start) -> Result<(), StreamError> {
        let last = self.link.info()?.map_or(0, |info| info.state.last_sequence);
        let noted = self.stand;
        self.recognise(last)?;
        // Nothing is put into the copy yet: it may be another's.
        let mut there = None;
        let mut stand = self.stand;
        self.link.read(stand, last, HOLE_WAIT, &mut |seq, bytes| {
            match stand.take(seq, bytes)? {
                Took::Claim(by) => {
                    self.by = String::from_utf8_lossy(by).into_owned();
                    self.unlinked = (0, 0, stand.epoch);
                }
                Took::Group(records) => {
                    let at = records.iter().find(|framed| framed.lsn == self.end.lsn);
                    there = at.map(Framed::tail).or(there);
                }
                Took::Void(Void::Unlinked) => {
                    let (first, count, _) = self.unlinked;
                    self.unlinked = (if count == 0 { seq } else { first }, count + 1, stand.epoch);
                }
                Took::Passed | Took::Void(Void::Late { .. }) => {}
            }
            Ok(())
        })?;
        self.judge(&stand, there.unwrap_or(noted.tail), start)?;
        // Now it is known to be this directory's.
        let (end, copy) = (self.end, &mut self.copy);
        let (link, mut again) = (self.link, self.stand);
        link.read(again, last, HOLE_WAIT, &mut |seq, bytes| {
            match again.take(seq, bytes)? {
                Took::Group(records) => take(copy, end, &records)?,
                Took::Void(why) => void(link, seq, why),
                Took::Claim(_) | Took::Passed => {}
            }
            Ok(())
        })?;
        self.stand = again;
        Ok(())
    }

    /// Whether the stream is the one of which this directory is a copy.
    fn recognise(&self, last: u64) -> Result<(), StreamError> {
        let seq = self.stand.seq;
        if seq == 0 {
            return Ok(());
        }
        let stream = self.name();
        if last < seq {
            let why = format!("it ends with message {last}, and message {seq} was seen");
            return Err(StreamError::OtherStream { stream, why });
        }
        let before = Stand { seq: seq - 1, ..self.stand };
        self.link.read(before, seq, HOLE_WAIT, &mut |_, bytes| {
            let found = super::message::Message::read(bytes).map(|message| message.digest);
            match found == Ok(self.stand.last) {
                true => Ok(()),
                false => Err(StreamError::OtherStream {
                    stream: stream.clone(),
                    why: format!("message {seq} is not the one that was seen there"),
                }),
            }
        })
    }

    /// `stand` is at the stream's end; `there` is its record where the copy ends.
    fn judge(&self, stand: &Stand, there: Tail, start: Start) -> Result<(), StreamError> {
        let stream = self.name();
        let (first, count, epoch) = self.unlinked;
        if count > 0 {
            return Err(StreamError::Unlinked { count, epoch, first });
        }
        if stand.tail.lsn < self.end.lsn {
            let (here, there) = (self.end.lsn, stand.tail.lsn);
            return Err(StreamError::Ahead { stream, here, there });
        }
        if self.end.lsn > Lsn(0) && there != self.end {
            let why = format!("record {} is another one there", self.end.lsn);
            return Err(StreamError::OtherStream { stream, why });
        }
        let (here, end) = (self.end.lsn, stand.tail.lsn);
        // A restored directory claimed less than the one it is a copy of, and may have all of it.
        if copy::new_restore(self.tables)?.is_some() {
            return match here == end {
                true => Ok(()),
                false => Err(StreamError::RestoredBehind { stream, here, there: end }),
            };
        }
        let own = copy::claimed(self.tables)?;
        if stand.epoch > own && !start.take_over {
            let (found, by) = (stand.epoch, self.by.clone());
            return Err(StreamError::OtherOwner { stream, own, found, by });
        }
        Ok(())
    }
}

impl StreamLog {
    /// The epoch of this owner, which records carry.
    ///
    /// # Errors
    /// After 2^32 claims.
    pub fn epoch(&self) -> Result<u32, JournalError> {
        let many = |_| JournalError::Stream("it was claimed 2^32 times".into());
        u32::try_from(self.owner.epoch()).map_err(many)
    }

    /// Whether it holds no record yet.
    ///
    /// # Errors
    /// `Damaged`, or the storage's own failure.
    pub fn is_empty(&self) -> Result<bool, JournalError> {
        self.copy.is_empty()
    }

    fn copied(&self) {
        let mut stand = self.shared.stand.lock().unwrap_or_else(PoisonError::into_inner);
        *stand = self.owner.stand();
    }
}

/// The first records of a group, as many as fit into one message.
fn piece(group: &[Framed], most: usize) -> usize {
    let mut bytes = 0;
    let fits = |framed: &&Framed| {
        bytes += framed.bytes.len();
        bytes <= most
    };
    group.iter().take_while(fits).count().max(1)
}

impl Log for StreamLog {
    fn append(&mut self, group: &[Framed]) -> Result<Lsn, JournalError> {
        let mut rest = group;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(piece(rest, self.owner.group_bytes_max()));
            self.owner.append_group(now)?;
            self.copy.append(now)?;
            self.copied();
            rest = later;
        }
        Ok(group.last().expect("a group has records").lsn)
    }

    fn resync(&mut self) -> Result<Tail, JournalError> {
        let copy = &mut self.copy;
        let mut end = copy.resync()?;
        self.owner.settle(&mut |records| {
            take(copy, end, records)?;
            end = records.last().map_or(end, Framed::tail);
            Ok(())
        })?;
        self.copied();
        self.copy.resync()
    }

    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        self.shared.read(from, visit)
    }

    fn events_between(
        &self,
        from: Lsn,
        to: Lsn,
        visit: &mut Visit<'_>,
    ) -> Result<(), JournalError> {
        self.shared.events_between(from, to, visit)
    }

    fn trim(&self, to: Lsn) -> Result<(), JournalError> {
        self.shared.trim(to)
    }

    fn reclaim(&self, to: Lsn) -> Result<(), JournalError> {
        self.shared.reclaim(to)
    }

    fn let_go(&self, to: Lsn) -> Result<(), JournalError> {
        self.shared.let_go(to)
    }

    fn remember(&mut self, tail: Tail) -> Result<(), JournalError> {
        self.shared.note()?;
        self.copy.remember(tail)
    }

    fn remembered(&self) -> Result<Option<Tail>, JournalError> {
        self.copy.remembered()
    }

    fn copy(&self, dir: &Path) -> Result<Tail, JournalError> {
        self.shared.copy(dir)
    }

    fn vitals(&self) -> Option<Arc<LogVitals>> {
        self.shared.vitals()
    }

    fn shared(&self) -> Arc<dyn Log> {
        self.shared.clone()
    }
}

impl Shared {
    /// Notes where the copy stands: what is trimmed lies before that.
    fn note(&self) -> Result<(), JournalError> {
        let stand = *self.stand.lock().unwrap_or_else(PoisonError::into_inner);
        copy::note_stand(&*self.tables, &stand)
    }
}

/// Appending is its owner's alone.
impl Log for Shared {
    fn append(&mut self, _group: &[Framed]) -> Result<Lsn, JournalError> {
        Err(JournalError::Stream("a shared log is not appended to".into()))
    }

    fn resync(&mut self) -> Result<Tail, JournalError> {
        Err(JournalError::Stream("a shared log is not settled".into()))
    }

    fn read(&self, from: Lsn, visit: &mut Visit<'_>) -> Result<(), JournalError> {
        self.copy.read(from, visit)
    }

    fn events_between(
        &self,
        from: Lsn,
        to: Lsn,
        visit: &mut Visit<'_>,
    ) -> Result<(), JournalError> {
        self.copy.events_between(from, to, visit)
    }

    fn trim(&self, to: Lsn) -> Result<(), JournalError> {
        self.note()?;
        self.copy.trim(to)
    }

    fn reclaim(&self, to: Lsn) -> Result<(), JournalError> {
        self.note()?;
        self.copy.reclaim(to)
    }

    fn let_go(&self, to: Lsn) -> Result<(), JournalError> {
        self.note()?;
        self.copy.let_go(to)
    }

    fn remember(&mut self, _tail: Tail) -> Result<(), JournalError> {
        Err(JournalError::Stream("a shared log is not told where it ends".into()))
    }

    fn remembered(&self) -> Result<Option<Tail>, JournalError> {
        self.copy.remembered()
    }

    fn copy(&self, dir: &Path) -> Result<Tail, JournalError> {
        self.copy.copy(dir)
    }

    fn vitals(&self) -> Option<Arc<LogVitals>> {
        Some(self.vitals.clone())
    }

    fn shared(&self) -> Arc<dyn Log> {
        Arc::new(Self {
            copy: self.copy.clone(),
            tables: self.tables.clone(),
            stand: self.stand.clone(),
            vitals: self.vitals.clone(),
        })
    }
}
