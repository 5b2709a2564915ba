//! The events of all time, wherever they are: the newest in the log, those before in archives of
//! their own, files in the folder where the archives of windows lie.
//!
//! Owns which place is read for which event, and what is said when a file is not where it should
//! be. Never says whether what an event holds is true: whoever follows the chain of events finds an
//! archive that is another one by its digest, and one that was left out by its link.

use crate::journal::left::{self, Left};
use crate::journal::{Chain, JournalError, Log, Tables, Tail, Visit};
use crate::proof::{ExportFile, ReadError, events_name};
use crate::types::Lsn;
use std::path::Path;

/// Why something that happened cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// What is kept cannot be read.
    #[error(transparent)]
    Storage(#[from] JournalError),
    /// It has left, and its archive is not where it should be.
    #[error("{0}")]
    Away(String),
}

/// Where events are.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    /// The newest.
    pub log: &'a dyn Log,
    /// Which have left.
    pub tables: &'a dyn Tables,
    /// The folder of the archives, if it is known.
    pub archives: Option<&'a Path>,
}

impl Past<'_> {
    /// Visits the bytes of every event from `from` up to and with `to`, in order.
    ///
    /// # Errors
    /// Of the visitor; `Away` when an archive that holds some of them cannot be read.
    pub fn events_between(&self, from: Lsn, to: Lsn, visit: &mut Visit<'_>) -> Result<(), NotRead> {
        let mut next = Lsn(1);
        for left in left::list(self.tables)? {
            next = left.last.lsn.next();
            if left.last.lsn >= from && left.first <= to {
                self.archived(&left, &mut |lsn, record| match lsn >= from && lsn <= to {
                    true => visit(lsn, record),
                    false => Ok(()),
                })?;
            }
        }
        if next <= to {
            self.log.events_between(from.max(next), to, visit)?;
        }
        Ok(())
    }

    /// The chain of events as it stands before the first that is not older than this, at the latest
    /// where the log begins: from there on all must be read that is wanted.
    ///
    /// # Errors
    /// `JournalError` of the storage.
    pub fn chain_before(&self, at_us: i64) -> Result<Chain, JournalError> {
        let older = left::list(self.tables)?.into_iter().take_while(|left| left.at.0 < at_us);
        Ok(older.last().map_or_else(Chain::start, |left| behind(&left)))
    }

    /// Visits the events of one archive.
    fn archived(&self, of: &Left, visit: &mut Visit<'_>) -> Result<(), NotRead> {
        let file = self.open(of)?;
        file.events(&mut |lsn, record| visit(lsn, record).map_err(Stop::Visit)).map_err(|stop| {
            match stop {
                Stop::Visit(error) => error.into(),
                Stop::File(error) => away(of, &error),
            }
        })
    }

    /// The archive of a run of events, if it is where it should be and the one that was written.
    ///
    /// # Errors
    /// `Away`.
    pub fn open(&self, of: &Left) -> Result<ExportFile, NotRead> {
        let dir = self.archives.ok_or_else(|| away(of, &"no archive_dir is configured"))?;
        let file = ExportFile::open(&dir.join(events_name(of.first)));
        let file = file.map_err(|error| away(of, &error))?;
        if file.id() == of.file {
            return Ok(file);
        }
        let (path, digest) = (file.path().display(), file.id().digest);
        Err(away(of, &format!("{path} is another one: it has digest {digest}")))
    }
}

/// The chain of events behind those that have left.
#[must_use]
pub fn behind(left: &Left) -> Chain {
    let Left { last, at, .. } = left;
    Chain::after(Tail { lsn: last.lsn, link: last.digest, event_link: last.digest }, *at)
}

/// Why the events of a file are not read to their end.
enum Stop {
    Visit(JournalError),
    File(ReadError),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::File(error)
    }
}

fn away(of: &Left, why: &dyn std::fmt::Display) -> NotRead {
    let (first, last, name) = (of.first, of.last.lsn, events_name(of.first));
    NotRead::Away(format!(
        "the events {first} to {last} are in their archive, which cannot be read: {why}; put {name} back where \
         archive_dir says, or name its folder with --archives"
    ))
}
