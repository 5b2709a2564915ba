//! Where lanes are kept: a file for one process at a time, or memory.
//!
//! Lines are written in the order of what happened; those that must be durable wait for one fsync
//! together ([`Durable`]). After a failed write nobody knows what is on the disk: nothing more is
//! paid from the file in this process.

use super::line::Line;
use data_encoding::HEXLOWER;
use rustix::process::{Pid, test_kill_process};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How often the lock is tried: between one look and the next its owner may have gone.
const TRIES: u32 = 3;

/// What keeps lanes.
pub(crate) enum Store {
    /// Nothing is kept.
    Memory,
    /// A file.
    File(FileStore),
}

/// A line that was written, and which may not be on the disk yet.
pub(crate) struct Written {
    file: Arc<File>,
    number: u64,
}

/// How far a file is on the disk. Who waits for a line waits for everybody's.
#[derive(Default)]
pub(crate) struct Durable {
    written: AtomicU64,
    synced: Mutex<Synced>,
}

#[derive(Default)]
struct Synced {
    up_to: u64,
    failed: Option<String>,
}

impl Durable {
    /// Waits until a line is on the disk. Blocks.
    pub fn wait(&self, line: &Written) -> io::Result<()> {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = &synced.failed {
            return Err(io::Error::other(why.clone()));
        }
        if synced.up_to >= line.number {
            return Ok(());
        }
        let up_to = self.written.load(Ordering::Acquire);
        if let Err(error) = line.file.sync_data() {
            synced.failed = Some(error.to_string());
            return Err(error);
        }
        synced.up_to = synced.up_to.max(up_to);
        Ok(())
    }
}

/// Lanes in a file.
pub(crate) struct FileStore {
    path: PathBuf,
    lock: PathBuf,
    owner: String,
    file: Option<Arc<File>>,
    durable: Arc<Durable>,
    failed: Option<String>,
}

impl Store {
    /// Keeps a line.
    pub fn append(&mut self, line: &Line) -> io::Result<Option<Written>> {
        match self {
            Self::Memory => Ok(None),
            Self::File(file) => file.append(line).map(Some),
        }
    }

    /// Keeps these lines in place of all others; durable when it returns.
    pub fn rewrite(&mut self, lines: &[Line]) -> io::Result<()> {
        match self {
            Self::Memory => Ok(()),
            Self::File(file) => file.rewrite(lines),
        }
    }
}

impl FileStore {
    /// Takes a file for this process alone, and reads it.
    pub fn open(
        path: &Path,
        network: [u8; 32],
        signer: [u8; 32],
        durable: Arc<Durable>,
    ) -> io::Result<(Self, Vec<Line>)> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        take_lock(&lock, path)?;
        let (network, signer) = (HEXLOWER.encode(&network), HEXLOWER.encode(&signer));
        let owner =
            format!(r#"{{"tallystick":"lanes 2","network":"{network}","signer":"{signer}"}}"#);
        // From here on the lock goes when this does.
        let (file, failed) = (None, None);
        let this = Self { path: path.to_owned(), lock, owner, file, durable, failed };
        let lines = this.read()?;
        Ok((this, lines))
    }

    fn read(&self) -> io::Result<Vec<Line>> {
        let told = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let name = self.path.display();
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        // What follows the last end of a line was being written in a crash: it never left.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let mut lines = whole.lines();
        // What version 1 lacks, it had nothing of.
        let before = self.owner.replacen("lanes 2", "lanes 1", 1);
        if lines.next().is_some_and(|first| first != self.owner && first != before) {
            return Err(told(format!(
                "{name} keeps the lanes of another key or network: give each its own file"
            )));
        }
        let read = |(place, text): (usize, &str)| {
            serde_json::from_str(text).map_err(|error| {
                told(format!("line {} of {name} is no line of lanes: {error}", place + 2))
            })
        };
        lines.enumerate().map(read).collect()
    }

    fn append(&mut self, line: &Line) -> io::Result<Written> {
        if let Some(why) = &self.failed {
            return Err(io::Error::other(why.clone()));
        }
        let file = self.file.clone().ok_or_else(|| io::Error::other("the lanes are closed"))?;
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        if let Err(error) = (&*file).write_all(text.as_bytes()) {
            self.failed = Some(error.to_string());
            return Err(error);
        }
        let number = self.durable.written.fetch_add(1, Ordering::AcqRel) + 1;
        Ok(Written { file, number })
    }

    fn rewrite(&mut self, lines: &[Line]) -> io::Result<()> {
        if let Some(why) = &self.failed {
            return Err(io::Error::other(why.clone()));
        }
        let replaced = self.replace(lines);
        self.failed = replaced.as_ref().err().map(ToString::to_string);
        replaced
    }

    fn replace(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut fresh = self.path.as_os_str().to_owned();
        fresh.push(".tmp");
        let fresh = PathBuf::from(fresh);
        let mut text = self.owner.clone() + "\n";
        for line in lines {
            text.push_str(&serde_json::to_string(line)?);
            text.push('\n');
        }
        // Nobody syncs the old file meanwhile and takes what goes into the new one for durable.
        let mut synced = self.durable.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        self.file = Some(Arc::new(file));
        synced.up_to = self.durable.written.load(Ordering::Acquire);
        Ok(())
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        // A lock that stays is taken away by the next process, once this one is gone.
        drop(fs::remove_file(&self.lock));
    }
}

/// Takes the lock, also from a process that is gone.
fn take_lock(lock: &Path, path: &Path) -> io::Result<()> {
    let me = std::process::id();
    let mine = format!("{me} {}\n", start_of(me));
    for _ in 0..TRIES {
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(0o600).open(lock) {
            Ok(mut file) => return file.write_all(mine.as_bytes()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let text = fs::read_to_string(lock).unwrap_or_default();
        let (pid, start) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let owner = pid.parse::<u32>().ok().filter(|&pid| is_alive(pid) && start_of(pid) == start);
        if let Some(pid) = owner {
            let text = format!(
                "{} is used by process {pid}: give each process its own lanes",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
        }
        match fs::remove_file(lock) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let name = lock.display();
    Err(io::Error::other(format!(
        "{name} comes back each time it is taken away: who else uses these lanes?"
    )))
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // A process of somebody else is alive as well.
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// When a process started, as Linux tells it, so that an id that is used again is not taken for it.
/// Elsewhere empty.
fn start_of(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind = stat.rsplit_once(") ").map_or("", |(_, behind)| behind);
    behind.split_whitespace().nth(19).unwrap_or_default().to_owned()
}
