//! Events leave the log for files beside the archives of windows, so that the log holds as many as
//! the windows kept have.
//!
//! Owns the order in which that is safe: the file is written and durable, read back and found to be
//! a run of the chain of events, at whose end the log goes on; then it is noted which file it is;
//! then the log lets go of them. A stop at any point leaves them in one of the two, and the next
//! turn goes on.

use super::archive::Archive;
use super::evidence::signed_end;
use super::retention::NotArchived;
use crate::faults;
use crate::journal::left::{self, Left};
use crate::journal::{Chain, JournalError};
use crate::ledger::event::ArchiveId;
use crate::limits::RETENTION_EVENTS_BYTES;
use crate::past::{NotRead, behind};
use crate::proof::{ExportFile, ExportWriter, ReadError, events_name};
use crate::sign::EngineKey;
use crate::types::{History, Lsn, NetworkId, SignerKey, Timestamp};
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;

/// Whose events leave, and how far they may.
pub struct Leaving<'a> {
    /// The deployment.
    pub network: NetworkId,
    /// The last record of the windows that keep theirs no more.
    pub to: Lsn,
    /// The last record that the last checkpoint holds: no start needs events up to it.
    pub checkpoint: Lsn,
    /// The engine's key in force, and what signs with it.
    pub key: (Option<SignerKey>, &'a EngineKey),
    /// The time.
    pub at: Timestamp,
}

/// Has a file of events leave: those behind the ones that have left. What has left now; nothing if
/// there is none, or if somebody reads events.
///
/// # Errors
/// `NotArchived`: then all of them are where they were.
pub fn leave(archive: &Archive, of: &Leaving<'_>) -> Result<Option<Left>, NotArchived> {
    let Some(dir) = archive.archives() else { return Ok(None) };
    let before = left::list(archive.tables()).map_err(NotRead::from)?.pop();
    if let Some(left) = before
        && !settled(archive, left.last.lsn)?
    {
        return Ok(None);
    }
    let to = of.to.min(of.checkpoint);
    let first = next(before.as_ref());
    if first > to {
        return Ok(None);
    }
    let path = dir.join(events_name(first));
    let found = if path.exists() {
        Some(found(archive, &path, before.as_ref())?)
    } else {
        written(archive, (&path, dir), before.as_ref(), (first, to), of)?
    };
    let Some(left) = found else { return Ok(None) };
    faults::point(|| "events-written");
    left::put(archive.tables(), &left).map_err(NotRead::from)?;
    faults::point(|| "events-noted");
    let (first, last, ArchiveId { digest, bytes }) = (left.first.0, left.last.lsn.0, left.file);
    tracing::info!(first, last, bytes, %digest, "events archived");
    settled(archive, left.last.lsn)?;
    faults::point(|| "events-left");
    Ok(Some(left))
}

/// Lets go of what is left here of events that have left; whether nothing is.
fn settled(archive: &Archive, to: Lsn) -> Result<bool, NotArchived> {
    let here = left::are_here(archive.log(), to).map_err(NotRead::from)?;
    Ok(!here || archive.let_events_go(to).map_err(NotRead::from)?)
}

/// Writes the file, and reads it back.
fn written(
    archive: &Archive,
    (path, dir): (&Path, &Path),
    before: Option<&Left>,
    (first, to): (Lsn, Lsn),
    of: &Leaving<'_>,
) -> Result<Option<Left>, NotArchived> {
    let part = dir.join("events.part");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| NotArchived::Written { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let file = File::create(&part).map_err(failed(&part))?;
    let out = BufWriter::new(&file);
    let mut writer = ExportWriter::new(out, of.network, &[]).map_err(failed(&part))?;
    let (mut chain, mut bytes, mut unwritten) = (chain(before), 0, None::<io::Error>);
    let read = archive.log().events_between(first, to, &mut |lsn, record| {
        if bytes > 0 && bytes + record.len() > RETENTION_EVENTS_BYTES {
            return Err(enough());
        }
        bytes += record.len();
        chain.follow_event(lsn, record)?;
        writer.event(record).map_err(|error| {
            unwritten = Some(error);
            enough()
        })
    });
    if let Some(error) = unwritten {
        return Err(failed(&part)(error));
    }
    let (last, at) = (History { lsn: chain.tail().lsn, digest: chain.tail().link }, chain.at());
    match read {
        Err(error) if !is_its_end(&error) => return Err(NotRead::from(error).into()),
        Ok(()) | Err(_) => {}
    }
    if bytes == 0 {
        return Ok(None);
    }
    // A key that changes at this very moment: at the next turn.
    let (in_force, key) = of.key;
    let Some(end) = signed_end(key, in_force, of.network, last, of.at) else { return Ok(None) };
    let (_, id) = writer.finish(&end).map_err(failed(&part))?;
    file.sync_all().map_err(failed(&part))?;
    let left = Left { first, last, at, file: id };
    if read_back(&part, before)? != left {
        return Err(NotArchived::NotProved("the events".to_owned(), "it holds other events"));
    }
    if !goes_on(archive, &left)? {
        return Ok(None);
    }
    fs::rename(&part, path).map_err(failed(path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed(dir))?;
    Ok(Some(left))
}

/// What a stop before it was noted left. A file is never written over: it may be all that is left
/// of another ledger's events.
fn found(archive: &Archive, path: &Path, before: Option<&Left>) -> Result<Left, NotArchived> {
    let left = read_back(path, before).ok();
    let left = left.filter(|left| matches!(goes_on(archive, left), Ok(true)));
    left.ok_or_else(|| NotArchived::Another(path.to_owned()))
}

/// The run of the chain of events that a file holds.
fn read_back(path: &Path, before: Option<&Left>) -> Result<Left, NotArchived> {
    enum Stop {
        Chain(JournalError),
        File(ReadError),
    }
    impl From<ReadError> for Stop {
        fn from(error: ReadError) -> Self {
            Self::File(error)
        }
    }
    let file = ExportFile::open(path)?;
    let (mut chain, first) = (chain(before), next(before));
    file.events(&mut |lsn, record| chain.follow_event(lsn, record).map(drop).map_err(Stop::Chain))
        .map_err(|stop| match stop {
            Stop::Chain(error) => NotRead::from(error).into(),
            Stop::File(error) => NotArchived::from(error),
        })?;
    let last = chain.tail().history();
    if last != file.end().last || last.lsn < first {
        return Err(NotArchived::NotProved("the events".to_owned(), "its end is another"));
    }
    Ok(Left { first, last, at: chain.at(), file: file.id() })
}

/// Whether the log goes on where a run of events ends: the next event follows.
///
/// # Errors
/// When that is another one's.
fn goes_on(archive: &Archive, left: &Left) -> Result<bool, NotArchived> {
    let (mut chain, mut next) = (behind(left), false);
    let from = left.last.lsn.next();
    let read = archive.log().events_between(from, Lsn(u64::MAX), &mut |lsn, record| {
        chain.follow_event(lsn, record)?;
        next = true;
        Err(enough())
    });
    match read {
        Err(error) if !next => Err(NotRead::from(error).into()),
        Ok(()) | Err(_) => Ok(next),
    }
}

/// The first record behind those that have left, perhaps a frame.
fn next(before: Option<&Left>) -> Lsn {
    before.map_or(Lsn(1), |left| left.last.lsn.next())
}

fn chain(before: Option<&Left>) -> Chain {
    before.map_or_else(Chain::start, behind)
}

/// Ends a visit that has seen what it wanted.
fn enough() -> JournalError {
    JournalError::Storage(String::new())
}

fn is_its_end(error: &JournalError) -> bool {
    matches!(error, JournalError::Storage(why) if why.is_empty())
}
