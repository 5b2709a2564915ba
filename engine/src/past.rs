//! The events of all time, wherever they are: the newest in the log, those before in archives of
//! their own, files in the folder where the archives of windows lie.
//!
//! Owns which place is read for which event, and what is said when a file is not where it should
//! be. Never says whether what an event holds is true: whoever follows the chain of events finds an
//! archive that is another one by its digest, and one that was left out by its link.

use crate::journal::left::{self, Left};
use crate::journal::{Chain, JournalError, Log, Tables, Tail, Visit, rows};
use crate::ledger::control::archived_in;
use crate::ledger::event::ArchiveId;
use crate::ledger::row::Section;
use crate::proof::{ExportFile, ReadError, archive_name, events_name};
use crate::types::{Lsn, WindowNumber};
use std::fs;
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
                self.archived(&left, &mut |lsn, record| match (from..=to).contains(&lsn) {
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

/// An archive that must be in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filed {
    /// Its name.
    pub name: String,
    /// What it must be.
    pub id: ArchiveId,
}

impl Filed {
    /// The archive of a window.
    #[must_use]
    pub fn of_window(window: WindowNumber, id: ArchiveId) -> Self {
        Self { name: archive_name(window), id }
    }

    /// Why the file is not as it was written, as far as its length tells; `None` if it is.
    #[must_use]
    pub fn lacks(&self, dir: &Path) -> Option<String> {
        let Self { name, id } = self;
        match fs::metadata(dir.join(name)) {
            Ok(found) if found.len() == id.bytes => None,
            Ok(found) => Some(format!("{name} has {} bytes, not {}", found.len(), id.bytes)),
            Err(error) => Some(format!("{name} cannot be read: {error}")),
        }
    }

    /// The same, after all of it was read.
    #[must_use]
    pub fn differs(&self, dir: &Path) -> Option<String> {
        let Self { name, id } = self;
        match ExportFile::open(&dir.join(name)) {
            Ok(file) if file.id() == *id => None,
            Ok(file) => Some(format!("{name} has digest {}, not {}", file.id().digest, id.digest)),
            Err(error) => Some(error.to_string()),
        }
    }
}

/// The archives of events that have left.
///
/// # Errors
/// `JournalError` of the storage.
pub fn filed_events(tables: &dyn Tables) -> Result<Vec<Filed>, JournalError> {
    let filed = |of: Left| Filed { name: events_name(of.first), id: of.file };
    Ok(left::list(tables)?.into_iter().map(filed).collect())
}

/// All archives that a directory on which no engine runs knows of; of windows those up to its last
/// checkpoint.
///
/// # Errors
/// `JournalError` of the storage.
pub fn filed(tables: &dyn Tables) -> Result<Vec<Filed>, JournalError> {
    let mut all = filed_events(tables)?;
    let section = Section::Windows as u8;
    rows::scan(tables, &[section], &[section + 1], &mut |key, row| {
        let archived = archived_in(key, row);
        let archived = archived.map_err(|unfit| rows::changed(&unfit.to_string()))?;
        all.extend(archived.map(|(window, id)| Filed::of_window(window, id)));
        Ok(())
    })?;
    Ok(all)
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
