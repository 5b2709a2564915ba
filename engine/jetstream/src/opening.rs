//! Opening the log: which directory may go on with a stream, and what its copy takes from it.
//!
//! It is judged twice, by the same rules: before anything is claimed, so that a directory that does
//! not belong here disturbs nobody; and behind the own claim, by everything that came up to it.
//! Only then the stream is opened, and only then the epoch counts as this directory's.

use super::beside::Beside;
use super::copy;
use super::error::StreamError;
use super::fit;
use super::fold::{Stand, Took, Void};
use super::limits::{BEHIND_WAIT, HOLE_WAIT};
use super::link::Link;
use super::log::{StreamLog, take};
use super::message::Message;
use super::monitor;
use super::owner::{Owner, void};
use super::settings::Settings;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tallystick_journal::rocks::RocksLog;
use tallystick_journal::{Framed, Journal, Log as _, Tables, Tail};
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
    follow(settings, journal, start)?.claim()
}

/// The first half of `open`: everything that disturbs no owner.
///
/// # Errors
/// As for `open`.
pub fn follow(
    settings: &Settings,
    journal: Journal<RocksLog>,
    start: Start,
) -> Result<Followed, StreamError> {
    let Journal { log: copy, tables } = journal;
    monitor::check(settings)?;
    let link = Arc::new(Link::connect(settings)?);
    let mut followed = Followed::new(link, copy, tables, start)?;
    followed.subject = followed.stream()?;
    followed.follow()?;
    Ok(followed)
}

/// A log on its way to be opened: its copy stands where the stream ended a moment ago.
pub struct Followed {
    pub(super) link: Arc<Link>,
    pub(super) copy: RocksLog,
    pub(super) tables: Arc<dyn Tables>,
    pub(super) beside: Arc<Beside>,
    start: Start,
    /// It is a node among others: what it may put beside the stream is what it wrote last.
    pub(super) joined: bool,
    /// Whether it was read to its end.
    pub(super) near: bool,
    pub(super) subject: String,
    /// How far the copy was filled.
    pub(super) stand: Stand,
    /// The same, for those who read the copy.
    pub(super) noted: Arc<Mutex<Stand>>,
    /// Where the copy ended.
    pub(super) end: Tail,
    pub(super) told: Told,
}

/// What the stream tells of those who wrote it.
pub(super) struct Told {
    /// Its record where the copy ended.
    pub(super) there: Tail,
    /// Messages of the last owner that do not follow, at the stream's end: the first, how many.
    unlinked: (u64, u64),
    /// Who claimed last.
    claimed_by: String,
    /// The last epoch of which something counted: its owner has opened it. And who that was.
    pub(super) opened: (u64, String),
}

impl Told {
    /// Takes in what a message has led to; `stand` is behind it.
    pub(super) fn see(&mut self, end: Tail, seq: u64, stand: &Stand, took: &Took<'_>) {
        match took {
            Took::Claim(by) => self.claimed_by = String::from_utf8_lossy(by).into_owned(),
            Took::Group(records) => {
                let at = records.iter().find(|framed| framed.lsn == end.lsn);
                self.there = at.map_or(self.there, Framed::tail);
                self.counted(stand.epoch);
            }
            Took::Passed => self.counted(stand.epoch),
            Took::Void(Void::Unlinked) => {
                let (first, count) = self.unlinked;
                self.unlinked = (if count == 0 { seq } else { first }, count + 1);
            }
            Took::Void(Void::Late { .. } | Void::Outclaimed { .. }) => {}
        }
    }

    fn counted(&mut self, epoch: u64) {
        // Whoever wrote this had read what did not follow, and went on by the same rule as here.
        self.unlinked = (0, 0);
        if self.opened.0 != epoch {
            self.opened = (epoch, self.claimed_by.clone());
        }
    }
}

impl Followed {
    pub(super) fn new(
        link: Arc<Link>,
        mut copy: RocksLog,
        tables: Arc<dyn Tables>,
        start: Start,
    ) -> Result<Self, StreamError> {
        let noted = copy::stand(&*tables)?;
        let end = copy.resync().map_err(StreamError::Copy)?;
        let alone = noted.is_none() && !copy::is_copy(&*tables).map_err(StreamError::Copy)?;
        if alone && end.lsn > Lsn(0) {
            let stream = link.settings().stream.clone();
            return Err(StreamError::NoCopy { stream, records: end.lsn.0 });
        }
        let stand = noted.unwrap_or(Stand::START);
        let opened = (stand.epoch, String::new());
        let told = Told { there: stand.tail, unlinked: (0, 0), claimed_by: String::new(), opened };
        // A connection of its own: each goes to another server when it waits for an answer.
        let own = Arc::new(Link::connect(link.settings())?);
        let beside = Arc::new(Beside::new(own, tables.clone())?);
        let noted = Arc::new(Mutex::new(stand));
        let subject = String::new();
        let (joined, near) = (false, false);
        Ok(Self {
            link,
            copy,
            tables,
            beside,
            start,
            joined,
            near,
            subject,
            stand,
            noted,
            end,
            told,
        })
    }

    /// The tables, with what is kept beside the stream; they may be written once it is claimed.
    #[must_use]
    pub fn beside(&self) -> &Arc<Beside> {
        &self.beside
    }

    pub(super) fn name(&self) -> String {
        self.link.settings().stream.clone()
    }

    /// The stream's subject; where there is no stream, and may be one, it is made.
    pub(super) fn stream(&self) -> Result<String, StreamError> {
        let stream = self.name();
        let mut info = self.link.info()?;
        if info.is_none() {
            if self.stand.seq > 0 || self.end.lsn > Lsn(0) || !self.start.create {
                return Err(StreamError::NoStream { stream, records: self.end.lsn.0 });
            }
            self.link.create()?;
            info = self.link.info()?;
        }
        let info =
            info.ok_or_else(|| StreamError::NoStream { stream: stream.clone(), records: 0 })?;
        fit::check(&info).map_err(|why| StreamError::Unfit { stream, why })
    }

    /// The stream's last message, as the servers say.
    pub(super) fn last(&self) -> Result<u64, StreamError> {
        Ok(self.link.info()?.map_or(0, |info| info.state.last_sequence))
    }

    /// Follows the stream to its end, before anything is claimed, and looks whether this directory
    /// may go on with it.
    pub(super) fn follow(&mut self) -> Result<(), StreamError> {
        let mut last = self.last()?;
        // A leader that was just elected may not have all of it at hand yet.
        let deadline = Instant::now() + BEHIND_WAIT;
        while last < self.stand.seq && Instant::now() < deadline {
            self.link.pause(false);
            last = self.last()?;
        }
        self.recognise(last)?;
        // Nothing is put into the copy yet: it may be another's.
        let mut stand = self.stand;
        self.see_to(&mut stand, last)?;
        while stand.tail.lsn < self.end.lsn && Instant::now() < deadline {
            self.link.pause(false);
            last = self.last()?;
            self.see_to(&mut stand, last)?;
        }
        self.judge(&stand)?;
        self.fill(last)?;
        self.beside.catch_up()
    }

    /// Reads on, up to and with message `to`, and takes in what it tells.
    fn see_to(&mut self, stand: &mut Stand, to: u64) -> Result<(), StreamError> {
        let (link, told, end) = (&self.link, &mut self.told, self.end);
        link.read(*stand, to, HOLE_WAIT, &mut |seq, bytes| {
            let took = stand.take(seq, bytes)?;
            if let Took::Void(why) = took {
                void(link, seq, why);
            }
            told.see(end, seq, stand, &took);
            Ok(())
        })
    }

    /// Puts into the copy what the stream has up to message `to`, and is judged.
    fn fill(&mut self, to: u64) -> Result<(), StreamError> {
        let (copy, end, mut stand) = (&mut self.copy, self.end, self.stand);
        self.link.read(stand, to, HOLE_WAIT, &mut |seq, bytes| match stand.take(seq, bytes)? {
            Took::Group(records) => take(copy, end, &records),
            Took::Claim(_) | Took::Passed | Took::Void(_) => Ok(()),
        })?;
        self.stand = stand;
        Ok(())
    }

    /// The second half of `open`.
    ///
    /// # Errors
    /// As for `open`.
    pub fn claim(mut self) -> Result<Journal<StreamLog>, StreamError> {
        let node = copy::node(&*self.tables)?;
        // Asked before anybody is disturbed.
        self.beside.check_may_take(self.wrote_last()?)?;
        let (told, end) = (&mut self.told, self.end);
        let mut see = |seq: u64, stand: &Stand, took: &Took<'_>| told.see(end, seq, stand, took);
        let link = self.link.clone();
        let mut owner = Owner::claim(link, &self.subject, self.stand, &node, &mut see)?;
        // Somebody may have opened and written since: the claim alone makes nothing one's own.
        let claimed = owner.stand();
        self.judge(&claimed)?;
        self.beside.take(owner.epoch(), &node, self.wrote_last()?)?;
        self.fill(claimed.seq)?;
        copy::note_opened(&*self.tables, owner.epoch())?;
        owner.open()?;
        let Self { link, copy, tables, beside, .. } = self;
        if let Some(noted) = copy::new_restore(&*tables)? {
            copy::note_restore(&*tables, &noted)?;
        }
        let stand = owner.stand();
        copy::note_stand(&*tables, &stand).map_err(StreamError::Copy)?;
        tracing::info!(
            stream = %link.settings().stream, epoch = owner.epoch(), message = stand.seq,
            lsn = stand.tail.lsn.0,
            "the journal's stream is claimed"
        );
        let log = StreamLog::new(owner, copy, tables, &link);
        Ok(Journal { log, tables: beside })
    }

    /// Whether this directory holds all that was kept beside the stream before servers kept it:
    /// asked of one that was judged.
    fn wrote_last(&self) -> Result<bool, StreamError> {
        let restored = copy::new_restore(&*self.tables)?.is_some();
        // Noted before it is opened, and after it was put there: a higher note says nothing.
        let own = copy::opened(&*self.tables)?;
        let alone = self.start.take_over && !self.joined;
        Ok(restored || alone || self.told.opened.0 == own)
    }

    /// Whether the stream is the one of which this directory is a copy.
    pub(super) fn recognise(&self, last: u64) -> Result<(), StreamError> {
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
            let found = Message::read(bytes).map(|message| message.digest);
            match found == Ok(self.stand.last) {
                true => Ok(()),
                false => Err(StreamError::OtherStream {
                    stream: stream.clone(),
                    why: format!("message {seq} is not the one that was seen there"),
                }),
            }
        })
    }

    /// Whether this directory may go on; `stand` is at the stream's end.
    pub(super) fn judge(&self, stand: &Stand) -> Result<(), StreamError> {
        let stream = self.name();
        let ((first, count), epoch) = (self.told.unlinked, self.told.opened.0);
        if count > 0 {
            return Err(StreamError::Unlinked { count, epoch, first });
        }
        let (here, there) = (self.end.lsn, stand.tail.lsn);
        if there < here {
            return Err(StreamError::Ahead { stream, here, there });
        }
        if here > Lsn(0) && self.told.there != self.end {
            let why = format!("record {here} is another one there");
            return Err(StreamError::OtherStream { stream, why });
        }
        // A restored directory opened less than the one it is a copy of, and may have all of it.
        if copy::new_restore(&*self.tables)?.is_some() {
            return match here == there {
                true => Ok(()),
                false => Err(StreamError::RestoredBehind { stream, here, there }),
            };
        }
        let (own, (found, by)) = (copy::opened(&*self.tables)?, self.told.opened.clone());
        if found > own && !self.start.take_over {
            return Err(StreamError::OtherOwner { stream, own, found, by });
        }
        Ok(())
    }
}
