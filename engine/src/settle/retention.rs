//! Retention: the evidence of a settled window leaves the engine's own store for an archive, a file
//! of its own, so that the disk holds as much as there are channels and windows kept.
//!
//! Owns the order in which that is safe: the archive is written and durable, read back and found
//! to prove the window's root; then it is journaled; then the evidence is forgotten here. A stop at
//! any point leaves one of the two whole, and the next turn goes on. Obligations stay: a late
//! answer of a bank about a leg is understood years later.

use super::archive::Archive;
use super::engine::Engine;
use super::evidence::{Request, export, signed_end};
use super::pieces::NotRead;
use super::settler::ARCHIVES;
use crate::faults;
use crate::journal::{JournalError, kept};
use crate::ledger::event::{ArchiveId, WindowArchived};
use crate::ledger::seal::{self, Owed};
use crate::ledger::{Command, EVIDENCE_BYTES, EvidenceDigest, SealedHead, Wish};
use crate::limits::{RETENTION_EVERY, RETENTION_RECLAIM};
use crate::pipeline::{self, Busy, NotDone};
use crate::proof::rows::{read_carried, read_obligation};
use crate::proof::{ExportFile, Part, ReadError, archive_name};
use crate::types::{AssetNumber, EvidenceHasher, WindowNumber};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

/// What is kept here, and where the rest goes.
#[derive(Debug, Clone)]
pub struct Retention {
    /// The folder of the archives.
    pub dir: PathBuf,
    /// How many of the newest closed windows keep their evidence here.
    pub keep: u64,
}

/// Why a window is not archived now.
#[derive(Debug, thiserror::Error)]
enum NotArchived {
    #[error(transparent)]
    NotDone(#[from] NotDone),
    #[error(transparent)]
    NotRead(#[from] NotRead),
    #[error(transparent)]
    File(#[from] ReadError),
    #[error("{}: {source}", path.display())]
    Written { path: PathBuf, source: io::Error },
    #[error(
        "{} is there already and is no archive of this window of this ledger: give each engine an archive_dir of \
         its own, or take the file away", .0.display()
    )]
    Another(PathBuf),
    #[error("the archive that was just written does not prove window {0}: {1}")]
    NotProved(WindowNumber, &'static str),
}

/// Archives windows until the engine stops or the task is dropped.
pub async fn archive_windows(engine: Engine, retention: Retention) {
    let mut ticks = tokio::time::interval(RETENTION_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut turns = Turns::new(engine, retention);
    loop {
        ticks.tick().await;
        loop {
            match turns.turn().await {
                Ok(true) => turns.say(None),
                Ok(false) => {
                    turns.say(None);
                    break;
                }
                Err(NotArchived::NotDone(NotDone::Busy(Busy::Stopping))) => return,
                Err(NotArchived::NotRead(NotRead::Storage(error))) => {
                    pipeline::stop_at_once(&error)
                }
                Err(why) => {
                    turns.say(Some(why.to_string()));
                    break;
                }
            }
        }
    }
}

struct Turns {
    engine: Engine,
    retention: Retention,
    /// The first window whose evidence has not left.
    first: WindowNumber,
    /// The archived windows whose evidence may still be here, as of the start and since.
    left: Option<Vec<WindowNumber>>,
    /// Those that were forgotten, of which the disk was not given back what they took.
    gone: Vec<WindowNumber>,
}

impl Turns {
    fn new(engine: Engine, retention: Retention) -> Self {
        Self { engine, retention, first: WindowNumber(1), left: None, gone: Vec::new() }
    }

    fn say(&self, trouble: Option<String>) {
        self.engine.troubles().set(ARCHIVES, trouble);
    }

    /// One step; whether there may be another at once.
    async fn turn(&mut self) -> Result<bool, NotArchived> {
        if !self.forget().await? {
            return Ok(false);
        }
        let (from, keep) = (self.first, self.retention.keep);
        let found = self.engine.ask(|control| {
            let (first, due) = control.archivable(from, keep);
            // A copy that was restored may share the folder with the ledger that it is a copy of.
            let due = due.filter(|_| control.on_hold().is_none());
            Ok((first, due, control.history(), control.engine_key()))
        });
        let (first, due, last, key) = found.await?;
        self.first = first;
        let Some(sealed) = due else { return Ok(false) };
        let (network, at) = (self.engine.network(), pipeline::now());
        // A key that changes at this very moment: at the next tick.
        let Some(end) = signed_end(self.engine.key(), key, network, last, at) else {
            return Ok(false);
        };
        let windows = vec![sealed.clone()];
        let request = Request { network, windows, events: false, end };
        let (archive, dir) = (self.engine.archive().clone(), self.retention.dir.clone());
        let window = sealed.head.number;
        let written = aside(move || write(&archive, &dir, &sealed, &request)).await?;
        faults::point(|| "archive-written");
        let wish = Wish::ArchiveWindow(WindowArchived { window, archive: written });
        self.engine.tell(Command::own(wish)).await?;
        faults::point(|| "archive-journaled");
        tracing::info!(%window, bytes = written.bytes, digest = %written.digest, "window archived");
        self.left.get_or_insert_default().push(window);
        Ok(true)
    }

    /// Forgets what lies in archives; whether all of that is done. After a start any window may be
    /// left of what a stop cut off, or of what was replayed.
    async fn forget(&mut self) -> Result<bool, NotArchived> {
        let left = match self.left.take() {
            Some(left) => left,
            None => {
                let archived = self.engine.ask(|control| {
                    let all = control.windows().filter(|window| window.archive.is_some());
                    Ok(all.map(|window| window.number).collect::<Vec<_>>())
                });
                archived.await?
            }
        };
        let archive = self.engine.archive().clone();
        let (gone, rest) = aside(move || forget(&archive, left)).await.map_err(NotRead::from)?;
        self.gone.extend(gone);
        let done = rest.is_empty();
        self.left = Some(rest);
        if done && self.gone.len() >= RETENTION_RECLAIM {
            self.reclaim().await?;
        }
        Ok(done)
    }

    /// Gives the disk back what the windows took that left.
    async fn reclaim(&mut self) -> Result<(), NotArchived> {
        let (first, last) = (self.gone.iter().min().copied(), self.gone.iter().max().copied());
        let Some((first, last)) = first.zip(last) else { return Ok(()) };
        let archive = self.engine.archive().clone();
        let done = aside(move || kept::reclaim(archive.tables(), first, last)).await;
        done.map_err(NotRead::from)?;
        self.gone.clear();
        Ok(())
    }
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("archiving does not panic")
}

/// Forgets the evidence of archived windows: of which it was, and of which it is still here, since
/// somebody is reading.
fn forget(
    archive: &Archive,
    windows: Vec<WindowNumber>,
) -> Result<(Vec<WindowNumber>, Vec<WindowNumber>), JournalError> {
    let (mut gone, mut rest) = (Vec::new(), Vec::new());
    for window in windows {
        if !kept::has_evidence(archive.tables(), window)? {
            continue;
        }
        let forgotten = archive.forget_evidence(window)?;
        if forgotten { &mut gone } else { &mut rest }.push(window);
    }
    Ok((gone, rest))
}

/// Writes the archive of a window and reads it back.
fn write(
    archive: &Archive,
    dir: &Path,
    sealed: &SealedHead,
    request: &Request,
) -> Result<ArchiveId, NotArchived> {
    let window = sealed.head.number;
    let path = dir.join(archive_name(window));
    if path.exists() {
        return left_behind(path, sealed, request);
    }
    let part = path.with_extension("part");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| NotArchived::Written { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let file = File::create(&part).map_err(failed(&part))?;
    let id = export(archive, request, BufWriter::new(&file)).map_err(|error| match error {
        // What is kept was read a moment ago: it is the file that cannot be written.
        NotRead::Storage(error) => {
            NotArchived::Written { path: part.clone(), source: io::Error::other(error.to_string()) }
        }
        other @ NotRead::Away(_) => other.into(),
    })?;
    file.sync_all().map_err(failed(&part))?;
    check(&part, id, sealed)?;
    fs::rename(&part, &path).map_err(failed(&path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed(dir))?;
    Ok(id)
}

/// What a stop before the record left. An archive is never written over: it may be all that is left
/// of another ledger's evidence.
fn left_behind(
    path: PathBuf,
    sealed: &SealedHead,
    request: &Request,
) -> Result<ArchiveId, NotArchived> {
    let own = |of: &ExportFile| {
        let ends_here = of.end().last.lsn <= request.end.last.lsn;
        of.network() == request.network && ends_here && check(&path, of.id(), sealed).is_ok()
    };
    match ExportFile::open(&path).ok().filter(own) {
        Some(of) => Ok(of.id()),
        None => Err(NotArchived::Another(path)),
    }
}

/// Whether an archive proves the window's root, and holds every piece that the root speaks of.
fn check(path: &Path, id: ArchiveId, sealed: &SealedHead) -> Result<(), NotArchived> {
    let (file, window) = (ExportFile::open(path)?, sealed.head.number);
    let misfit = |why| Err(NotArchived::NotProved(window, why));
    if file.id() != id {
        return misfit("its digest is another");
    }
    let mut owed: BTreeMap<AssetNumber, Owed> = BTreeMap::new();
    for asset in file.windows().get(&window).into_iter().flat_map(|of| of.assets.keys()) {
        let of = owed.entry(*asset).or_default();
        for section in 0.. {
            let Some(rows) = file.rows(window, *asset, Part::Obligations, section)? else { break };
            for row in rows.as_chunks().0 {
                let (obligation, evidence) = read_obligation(row);
                of.obligations.push(obligation);
                of.evidence.push(evidence);
            }
        }
        for section in 0.. {
            let Some(rows) = file.rows(window, *asset, Part::Carried, section)? else { break };
            of.carried.extend(rows.as_chunks().0.iter().map(read_carried));
        }
        if !proves(&file, window, *asset, &of.evidence)? {
            return misfit("a piece of evidence is another");
        }
    }
    if seal::close(sealed.head, owed).root != sealed.seal.root {
        return misfit("its root is another");
    }
    Ok(())
}

/// Whether the pieces of an asset are, in their order, those of which the obligations hold digests.
fn proves(
    file: &ExportFile,
    window: WindowNumber,
    asset: AssetNumber,
    digests: &[EvidenceDigest],
) -> Result<bool, ReadError> {
    let (hasher, mut pieces, mut section) = (EvidenceHasher::default(), Vec::new(), 0);
    for said in digests {
        let count = said.count as usize;
        while pieces.len() < count {
            let Some(rows) = file.rows(window, asset, Part::Evidence, section)? else {
                return Ok(false);
            };
            pieces.extend_from_slice(rows.as_chunks::<EVIDENCE_BYTES>().0);
            section += 1;
        }
        if hasher.digest(pieces.drain(..count)) != said.digest {
            return Ok(false);
        }
    }
    Ok(pieces.is_empty() && file.rows(window, asset, Part::Evidence, section)?.is_none())
}
