//! The audit log: a line for each call of the `Operator` service, reads and refused ones too, as
//! JSON in files that are never changed once the next one is begun.
//!
//! Three groups of files follow each other apart: the desk's calls, those of who sees its own
//! alone, and those that were not let in. So nobody who has no right to anything makes the desk's
//! lines go.
//!
//! Owns the line, the files and how they follow each other, and reading them. Never holds what a
//! call carries: names, accounts, tokens, keys and texts stay out, ids are written. What changes
//! state is in the journal whatever becomes of this log, so a disk that takes no lines stops no
//! settlement: lines that are lost are counted and said.

mod back;
mod files;
mod line;
mod read;

pub use back::{Backwards, Stand, Stands};
pub use line::{Line, Who};
pub use read::{Lines, Unreadable};

use crate::limits::{
    AUDIT_END_PATIENCE, AUDIT_LINES_TOGETHER, AUDIT_LINES_WAITING, AUDIT_OTHERS_PART,
    AUDIT_PATIENCE,
};
use files::Files;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Whose calls have files of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Operators, approvers, auditors, and whoever operates unnamed.
    Desk,
    /// Facilitators and owners of parties, who see no more than their own.
    Own,
    /// Whoever was not let in, or came more often than they may.
    Refused,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Desk, Self::Own, Self::Refused];

    /// How its files' names begin.
    fn prefix(self) -> &'static str {
        match self {
            Self::Desk => "audit",
            Self::Own => "own",
            Self::Refused => "refused",
        }
    }

    /// How many of its files are kept, where so many of the desk's are.
    fn keeps(self, desk: u32) -> u32 {
        match self {
            Self::Desk => desk,
            Self::Own | Self::Refused => desk.div_ceil(AUDIT_OTHERS_PART),
        }
    }
}

/// Where lines are handed in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuditLog {
    lines: Sender<(Group, Line)>,
    lost: Arc<AtomicU64>,
    dir: Arc<Path>,
}

/// The thread that writes them. Ends once every `AuditLog` is gone.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
    /// Ends with the thread.
    ended: std::sync::mpsc::Receiver<()>,
}

impl AuditLog {
    /// Opens the newest files of a folder, which is made if it is not there, and keeps so many of
    /// the desk's, and a part of that of the others'.
    ///
    /// # Errors
    /// When the folder or the file cannot be opened for writing.
    pub fn open(dir: &Path, keep: u32) -> io::Result<(Self, Writer)> {
        let open = |group: Group| Files::open(dir, group, group.keeps(keep));
        let files = [open(Group::Desk)?, open(Group::Own)?, open(Group::Refused)?];
        let (lines, waiting) = channel(AUDIT_LINES_WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let log = Self { lines, lost: lost.clone(), dir: dir.into() };
        let thread = std::thread::Builder::new().name("audit-log".to_owned());
        let dir = dir.to_owned();
        let (ends, ended) = std::sync::mpsc::channel();
        let thread = thread.spawn(move || {
            let _ends: std::sync::mpsc::Sender<()> = ends;
            write(files, waiting, &lost, &dir);
        })?;
        Ok((log, Writer { thread, ended }))
    }

    /// Hands in a line; waits a moment while too many are waiting. A disk that hangs loses lines,
    /// and holds up no call for long.
    pub async fn write(&self, group: Group, line: Line) {
        let sent = tokio::time::timeout(AUDIT_PATIENCE, self.lines.send((group, line))).await;
        if !matches!(sent, Ok(Ok(()))) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands in a line where nobody can wait.
    pub fn write_now(&self, group: Group, line: Line) {
        if self.lines.try_send((group, line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Lines that were not written since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Writer {
    /// Waits until all lines are written, but not for a disk that hangs: every `AuditLog` must be
    /// gone.
    pub fn finish(self) {
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(AUDIT_END_PATIENCE) {
            tracing::error!("the last lines of the audit log are lost: its disk takes none");
            return;
        }
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}

fn write(
    mut files: [Files; Group::ALL.len()],
    mut waiting: Receiver<(Group, Line)>,
    lost: &AtomicU64,
    dir: &Path,
) {
    let (mut together, mut failing) = (Vec::new(), false);
    while waiting.blocking_recv_many(&mut together, AUDIT_LINES_TOGETHER) > 0 {
        let mut texts: [(u64, Vec<u8>); Group::ALL.len()] = Default::default();
        for (group, line) in together.drain(..) {
            let (count, text) = &mut texts[group as usize];
            *count += 1;
            text.extend(line.json());
        }
        let mut done = Ok(());
        for (files, (count, text)) in files.iter_mut().zip(texts) {
            if text.is_empty() {
                continue;
            }
            if let Err(error) = files.append(&text) {
                lost.fetch_add(count, Ordering::Relaxed);
                done = Err(error);
            }
        }
        if let Err(error) = &done {
            if !failing {
                tracing::error!(dir = %dir.display(), %error, "lines of the audit log are lost");
            }
        } else if failing {
            tracing::info!(dir = %dir.display(), "the audit log is written again");
        }
        failing = done.is_err();
    }
}
