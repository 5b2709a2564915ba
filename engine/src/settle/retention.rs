//! Retention: the evidence of a settled window leaves the engine's own store for an archive, a file
//! of its own, so that the disk holds as much as there are channels and windows kept.
//!
//! Owns the order in which that is safe: the archive is written and durable, read back and found
//! to prove the window's root; then it is journaled; then the evidence is forgotten here. A stop at
//! any point leaves one of the two whole, and the next turn goes on. What was owed follows once a
//! checkpoint holds that record, so that no start computes a batch from it, and once its archive
//! was read again. A late answer of a bank about a leg needs neither. Events leave likewise
//! (`leaving`).

use super::accounts::{Over, let_accounts_go};
use super::archive::{Archive, NotLoaded};
use super::engine::Engine;
use super::evidence::{Request, signed_end};
use super::filing::write;
use super::leaving::{Leaving, leave};
use super::pieces::{self, NotRead};
use super::settler::{ARCHIVES, MISSING};
use crate::faults;
use crate::journal::{JournalError, accounts, kept, left};
use crate::ledger::control::WindowEntry;
use crate::ledger::event::WindowArchived;
use crate::ledger::{Command, SealedHead, Wish};
use crate::limits::{
    RETENTION_CHECKPOINT_MIN, RETENTION_EVENTS_WINDOWS_MIN, RETENTION_EVERY, RETENTION_LOOK,
    RETENTION_RECLAIM,
};
use crate::past::{self, Filed};
use crate::pipeline::{self, Busy, NotDone};
use crate::proof::ReadError;
use crate::types::{Lsn, WindowNumber};
use std::io;
use std::path::PathBuf;
use std::time::Instant;

/// What is kept here, and where the rest goes.
#[derive(Debug, Clone)]
pub struct Retention {
    /// The folder of the archives.
    pub dir: PathBuf,
    /// How many of the newest closed windows keep their evidence here.
    pub keep: u64,
}

/// Why something is not archived now.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum NotArchived {
    #[error(transparent)]
    NotDone(#[from] NotDone),
    #[error(transparent)]
    NotRead(#[from] NotRead),
    #[error("window {window} cannot be archived: {why}")]
    Lost { window: WindowNumber, why: JournalError },
    #[error(transparent)]
    File(#[from] ReadError),
    #[error("{}: {source}", path.display())]
    Written { path: PathBuf, source: io::Error },
    #[error(
        "{} is there already and is no archive of this part of this ledger: give each engine an archive_dir of \
         its own, or take the file away", .0.display()
    )]
    Another(PathBuf),
    #[error("the archive that was just written does not prove {0}: {1}")]
    NotProved(String, &'static str),
}

/// Archives windows until the engine stops or the task is dropped.
pub async fn archive_windows(engine: Engine, retention: Retention) {
    let mut ticks = tokio::time::interval(RETENTION_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut turns = Turns::new(engine, retention);
    let mut looked: Option<Instant> = None;
    loop {
        ticks.tick().await;
        if looked.is_none_or(|at| at.elapsed() >= RETENTION_LOOK) {
            turns.look().await;
            looked = Some(Instant::now());
        }
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

/// An archived window of which something may still be here.
#[derive(Debug, Clone, Copy)]
struct Left {
    window: WindowNumber,
    /// A record at or behind the one that says that it is archived.
    known: Lsn,
    /// Its evidence may be among that.
    evidence: bool,
}

struct Turns {
    engine: Engine,
    retention: Retention,
    /// The first window whose evidence has not left.
    first: WindowNumber,
    /// The archived windows of which something may still be here, as of the start and since.
    left: Option<Vec<Left>>,
    /// Those that were forgotten, of which the disk was not given back what they took.
    gone: Vec<WindowNumber>,
    /// The checkpoint below which nothing is kept of frames.
    below: Lsn,
    /// The checkpoint behind which another one was asked for.
    asked: Option<Lsn>,
    /// The checkpoint behind which no more events leave.
    events: Lsn,
    /// It was looked which accounts of batches a start before left here.
    accounts: bool,
}

impl Turns {
    fn new(engine: Engine, retention: Retention) -> Self {
        let (first, below, events) = (WindowNumber(1), Lsn(0), Lsn(0));
        let (left, gone, asked, accounts) = (None, Vec::new(), None, false);
        Self { engine, retention, first, left, gone, below, asked, events, accounts }
    }

    fn say(&self, trouble: Option<String>) {
        self.engine.troubles().set(ARCHIVES, trouble);
    }

    /// Says which archives are not where they were put: nobody else asks for them until they are
    /// needed.
    async fn look(&self) {
        let Ok(filed) = self.engine.filed().await else { return };
        let (dir, count) = (self.retention.dir.clone(), filed.len());
        let lacks = move || filed.iter().filter_map(|of| of.lacks(&dir)).collect::<Vec<_>>();
        let lacks = aside(lacks).await;
        let trouble = lacks.first().map(|first| {
            format!(
                "{} of {count} archives are not in {} as they were written, the first: {first}; put them back \
                 (a backup holds them, too)",
                lacks.len(),
                self.retention.dir.display()
            )
        });
        self.engine.troubles().set(MISSING, trouble);
    }

    /// One step; whether there may be another at once.
    async fn turn(&mut self) -> Result<bool, NotArchived> {
        if !self.forget().await? {
            return Ok(false);
        }
        self.use_checkpoint().await?;
        self.let_events_leave().await?;
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
        let known = self.engine.ask(|control| Ok(control.applied())).await?;
        self.left.get_or_insert_default().push(Left { window, known, evidence: true });
        Ok(true)
    }

    /// Frames, and what was owed in archived windows, go with a checkpoint, which is made for some
    /// bytes of frames: for far more than small windows take. So one is asked for when as many
    /// windows were closed as are kept; and the disk is given back what it made needless.
    async fn use_checkpoint(&mut self) -> Result<(), NotArchived> {
        let last = self.engine.checkpoints().last().map_or(Lsn(0), |commit| commit.tail.lsn);
        if last > self.below {
            let archive = self.engine.archive().clone();
            aside(move || archive.log().reclaim(last)).await.map_err(NotRead::from)?;
            self.let_owed_go().await?;
            self.below = last;
        }
        let every = self.retention.keep.max(RETENTION_CHECKPOINT_MIN);
        let closed = self.engine.ask(|control| {
            let since = |window: &&WindowEntry| window.cut.is_some_and(|(lsn, _)| lsn > last);
            Ok(control.windows().rev().skip(1).take_while(since).count())
        });
        let closed = u64::try_from(closed.await?).expect("a count fits 64 bits");
        if closed >= every && self.asked != Some(last) {
            self.engine.intake().ask_checkpoint().map_err(NotDone::from)?;
            self.asked = Some(last);
        }
        Ok(())
    }

    /// Events up to the last checkpoint leave with the windows, but for those of the windows kept.
    /// A copy that was restored keeps them until somebody has looked at it.
    async fn let_events_leave(&mut self) -> Result<(), NotArchived> {
        if self.events == self.below {
            return Ok(());
        }
        loop {
            let (checkpoint, keep) = (self.engine.checkpoints().reached(), self.retention.keep);
            let archive = self.engine.archive().clone();
            let rows = aside(move || left::list(archive.tables())).await.map_err(NotRead::from)?;
            let from = rows.last().map_or(Lsn(0), |left| left.last.lsn);
            let found = self.engine.ask(|control| {
                let to = control.leaves(keep, from, RETENTION_EVENTS_WINDOWS_MIN);
                Ok((to.filter(|_| control.on_hold().is_none()), control.engine_key()))
            });
            let (to, in_force) = found.await?;
            let Some(to) = to else { break };
            let engine = self.engine.clone();
            let left = aside(move || {
                let (network, key) = (engine.network(), (in_force, &**engine.key()));
                let of = Leaving { network, to, checkpoint, key, at: pipeline::now() };
                leave(engine.archive(), &of)
            });
            if left.await?.is_none() {
                break;
            }
        }
        self.events = self.below;
        Ok(())
    }

    /// Forgets what lies in archives; whether all evidence of that is gone. After a start any
    /// window may be left of what a stop cut off, of what was replayed, or of what an engine kept
    /// that let evidence alone leave.
    async fn forget(&mut self) -> Result<bool, NotArchived> {
        let archive = self.engine.archive().clone();
        let mut left = match self.left.take() {
            Some(left) => left,
            None => self.left_here().await?,
        };
        if left.iter().any(|of| of.evidence) {
            let done = aside(move || forget(&archive, left)).await.map_err(NotRead::from)?;
            self.gone.extend(done.gone);
            left = done.left;
        }
        let done = left.iter().all(|of| !of.evidence);
        self.left = Some(left);
        if done && self.gone.len() >= RETENTION_RECLAIM {
            self.reclaim().await?;
        }
        Ok(done)
    }

    /// The archived windows of which anything is here.
    async fn left_here(&self) -> Result<Vec<Left>, NotArchived> {
        let archive = self.engine.archive().clone();
        let end = self.engine.ask(|control| Ok(control.open_window().number)).await?;
        let here = aside(move || kept::windows_here(archive.tables(), end)).await;
        let here = here.map_err(NotRead::from)?;
        let archived = self.engine.ask(|control| {
            let is_archived = |of: &WindowNumber| {
                control.window(*of).is_ok_and(|window| window.archive.is_some())
            };
            let known = control.applied();
            let left = |window| Left { window, known, evidence: true };
            Ok(here.into_iter().filter(is_archived).map(left).collect())
        });
        Ok(archived.await?)
    }

    /// Forgets what was owed in windows whose archives are known to a checkpoint. A copy that was
    /// restored keeps it until somebody has looked at it.
    async fn let_owed_go(&mut self) -> Result<(), NotArchived> {
        let left = self.left.take().unwrap_or_default();
        let checkpoints = self.engine.checkpoints();
        let may = |of: &Left| !of.evidence && checkpoints.holds(of.known);
        let (may, mut rest): (Vec<_>, Vec<_>) = left.into_iter().partition(may);
        let heads = self.engine.ask(|control| {
            let head = |of: &Left| {
                let window = control.window(of.window).and_then(WindowEntry::sealed_head);
                let may = control.on_hold().is_none() && control.is_needless(of.window);
                (*of, window.ok().filter(|_| may))
            };
            Ok(may.iter().map(head).collect::<Vec<_>>())
        });
        let (heads, archive) = (heads.await?, self.engine.archive().clone());
        let done = aside(move || forget_owed(&archive, heads)).await.map_err(NotRead::from)?;
        self.let_accounts_go(&done.gone).await?;
        rest.extend(done.left);
        self.gone.extend(done.gone);
        self.left = Some(rest);
        Ok(())
    }

    /// Lets go of the accounts of batches of these windows; after a start of all that there are.
    async fn let_accounts_go(&mut self, windows: &[WindowNumber]) -> Result<(), NotArchived> {
        let archive = self.engine.archive().clone();
        let here = match std::mem::replace(&mut self.accounts, true) {
            true => Vec::new(),
            false => {
                let here = aside(move || accounts::batches_here(archive.tables())).await;
                here.map_err(NotRead::from)?
            }
        };
        let windows = windows.to_vec();
        let over = self.engine.ask(|control| {
            let here = here.iter().filter_map(|batch| control.batch(*batch).ok());
            let all = here.filter(|entry| entry.is_over()).chain(control.over_of(windows));
            Ok(all.map(Over::of).collect::<Vec<_>>())
        });
        let (over, archive) = (over.await?, self.engine.archive().clone());
        let gone = aside(move || let_accounts_go(&archive, &over)).await.map_err(NotRead::from)?;
        if gone > 0 {
            tracing::info!(batches = gone, "accounts of batches have left");
        }
        Ok(())
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

impl Engine {
    /// Every archive that is to be in the folder now.
    ///
    /// # Errors
    /// `Busy`, or `Storage`.
    pub async fn filed(&self) -> Result<Vec<Filed>, NotLoaded> {
        let archive = self.archive().clone();
        // Events first: what has left is in no list that was made before.
        let windows = self.ask(|control| {
            let archived = control.windows().filter_map(|of| Some((of.number, of.archive?)));
            Ok(archived.map(|(window, id)| Filed::of_window(window, id)).collect::<Vec<_>>())
        });
        let mut all = windows.await?;
        all.extend(aside(move || past::filed_events(archive.tables())).await?);
        Ok(all)
    }
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("archiving does not panic")
}

/// What was forgotten.
#[derive(Default)]
struct Forgotten {
    /// Of which windows something was.
    gone: Vec<WindowNumber>,
    /// Those of which something is still here.
    left: Vec<Left>,
}

/// Forgets the evidence of archived windows, but while somebody is reading any.
fn forget(archive: &Archive, windows: Vec<Left>) -> Result<Forgotten, JournalError> {
    let mut done = Forgotten::default();
    for of in windows {
        let here = of.evidence && kept::has_evidence(archive.tables(), of.window)?;
        let forgotten = here && archive.forget_evidence(of.window)?;
        if forgotten {
            done.gone.push(of.window);
        }
        done.left.push(Left { evidence: here && !forgotten, ..of });
    }
    Ok(done)
}

/// Forgets what was owed in windows that no start needs: those whose archive can be read.
fn forget_owed(
    archive: &Archive,
    windows: Vec<(Left, Option<SealedHead>)>,
) -> Result<Forgotten, JournalError> {
    let mut done = Forgotten::default();
    for (of, sealed) in windows {
        if !kept::has_owed(archive.tables(), of.window)? {
            continue;
        }
        let read = sealed.is_some_and(|sealed| pieces::load_window(archive, &sealed).is_ok());
        faults::point(|| "window-leaves");
        if read && archive.forget_window(of.window)? {
            faults::point(|| "window-left");
            tracing::info!(window = %of.window, "what was owed in the window has left");
            done.gone.push(of.window);
        } else {
            done.left.push(of);
        }
    }
    Ok(done)
}
