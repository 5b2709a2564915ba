//! Following: the stream is another one's, and the copy here grows as it does. What lies between a
//! start that disturbs nobody and a claim.

use super::copy;
use super::error::StreamError;
use super::fold::Took;
use super::lease::Who;
use super::limits::{BEHIND_WAIT, FOLLOW_MESSAGES, HOLE_WAIT};
use super::link::Link;
use super::log::{Shared, take};
use super::message::{Kind, Message};
use super::monitor;
use super::opening::{Followed, Start};
use super::owner::void;
use super::settings::Settings;
use std::sync::{Arc, PoisonError};
use std::time::Instant;
use tallystick_journal::rocks::RocksLog;
use tallystick_journal::{Framed, Journal, Log, Tables};
use tallystick_ledger::types::Lsn;

/// Connects, looks whether servers and stream are fit and whether the directory is a copy of this
/// stream, and reads nothing yet. Where there is no stream, and may be one, it is made.
///
/// # Errors
/// `StreamError` that says what does not fit; then nothing was changed.
pub fn join(
    settings: &Settings,
    journal: Journal<RocksLog>,
    create: bool,
) -> Result<Followed, StreamError> {
    let Journal { log, tables } = journal;
    monitor::check(settings)?;
    let link = Arc::new(Link::connect(settings)?);
    let start = Start { create, take_over: true };
    let mut followed = Followed::new(link, log, tables, start)?;
    followed.subject = followed.stream()?;
    followed.link.have_bucket()?;
    followed.joined = true;
    // What was restored is judged by all that the stream has, before it is anybody's.
    match copy::new_restore(&*followed.tables)? {
        Some(_) => followed.follow()?,
        None => followed.arrive()?,
    }
    Ok(followed)
}

impl Followed {
    /// The connection.
    #[must_use]
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// This directory, as a node that is called `name`.
    ///
    /// # Errors
    /// Of the storage.
    pub fn who(&self, name: String, advertise: Option<String>) -> Result<Who, StreamError> {
        Ok(Who { name, id: copy::node(&*self.tables)?, advertise })
    }

    /// The copy, for whoever reads it.
    #[must_use]
    pub fn copy(&self) -> Arc<dyn Log> {
        Arc::new(Shared {
            copy: self.copy.shared(),
            tables: self.tables.clone(),
            stand: self.noted.clone(),
            vitals: self.link.vitals.clone(),
        })
    }

    /// What is kept beside it, here and by the servers.
    #[must_use]
    pub fn tables(&self) -> Arc<dyn Tables> {
        self.beside.clone()
    }

    /// Whether the copy holds no record.
    ///
    /// # Errors
    /// Of the storage.
    pub fn is_empty(&self) -> Result<bool, StreamError> {
        self.copy.is_empty().map_err(StreamError::Copy)
    }

    /// What this directory has written itself: its last epoch, and up to which record its copy
    /// reached at this start. What was kept beside those records is here.
    ///
    /// # Errors
    /// Of the storage.
    pub fn own(&self) -> Result<(u64, Lsn), StreamError> {
        Ok((copy::opened(&*self.tables)?, self.end.lsn))
    }

    /// Whether it was restored from a backup since it wrote last: it may go on where the stream
    /// ends, and stands by for nobody.
    ///
    /// # Errors
    /// Of the storage.
    pub fn is_restored(&self) -> Result<bool, StreamError> {
        Ok(copy::new_restore(&*self.tables)?.is_some())
    }

    /// Whether another directory has written the stream since this one did.
    ///
    /// # Errors
    /// Of the storage.
    pub fn is_anothers(&self) -> Result<bool, StreamError> {
        Ok(self.told.opened.0 > copy::opened(&*self.tables)?)
    }

    /// Looks whether the stream is the one of which this directory is a copy.
    fn arrive(&self) -> Result<(), StreamError> {
        let mut last = self.last()?;
        // A leader that was just elected may not have all of it at hand yet.
        let deadline = Instant::now() + BEHIND_WAIT;
        while last < self.stand.seq && Instant::now() < deadline {
            self.link.pause(false);
            last = self.last()?;
        }
        self.recognise(last)
    }

    /// Reads what has come since, some messages at most, and puts its records into the copy.
    /// Whether there was anything: if not, the copy stands where the stream ended a moment ago.
    ///
    /// # Errors
    /// `NoAnswer`, `Request`: later, perhaps. What else is wrong stays so.
    pub fn read_on(&mut self) -> Result<bool, StreamError> {
        let (stream, end) = (self.name(), self.end);
        let last = self.link.last_now()?;
        let to = last.min(self.stand.seq + FOLLOW_MESSAGES);
        self.near = to == last;
        if to <= self.stand.seq {
            return Ok(false);
        }
        let (link, told, mut stand) = (&self.link, &mut self.told, self.stand);
        let mut came: Vec<Framed> = Vec::new();
        let read = link.read(self.stand, to, HOLE_WAIT, &mut |seq, bytes| {
            let mut next = stand;
            let took = next.take(seq, bytes)?;
            if let Took::Void(why) = took {
                // A claim that was given up for a later one may come late.
                let is_claim = Message::read(bytes).is_ok_and(|of| of.kind == Kind::Claim);
                if !is_claim {
                    void(link, seq, why);
                }
            }
            told.see(end, seq, &next, &took);
            let passed = stand.tail.lsn < end.lsn && next.tail.lsn >= end.lsn;
            if passed && told.there != end {
                let why = format!("record {} is another one there", end.lsn);
                return Err(StreamError::OtherStream { stream: stream.clone(), why });
            }
            stand = next;
            if let Took::Group(records) = took {
                came.extend(records);
            }
            Ok(())
        });
        // What was read before something could not be is good.
        take(&mut self.copy, end, &came)?;
        self.stand = stand;
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = stand;
        read.map(|()| true)
    }

    /// Whether what was read last went to the stream's end, as it was then.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.near
    }

    /// The last message that was read.
    #[must_use]
    pub fn message(&self) -> u64 {
        self.stand.seq
    }
}
