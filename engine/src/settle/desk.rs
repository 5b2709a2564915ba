//! The desk of a rail that works with files: what leaves lies in its outbox, what comes back in its inbox.
//!
//! Owns the folders and how a file gets into the outbox once and only once: it is written and made durable
//! under `.staging`, then its record is journaled, then it is renamed. A file that is still staged after a
//! crash has not left; one that is not has. Never looks into a file.
//!
//! | folder | holds | who takes it away |
//! |---|---|---|
//! | `outbox/.staging` | files whose record may not be durable yet | the engine |
//! | `outbox` | files for the rail, and nothing else | whoever carries them to the rail, each once |
//! | `pay-ins` | lists of who is to pay in, which are for no rail | whoever asks them to pay |
//! | `inbox` | what the rail answered; a name that begins with `.` or ends in `.tmp` or `.part` is left alone | the engine |
//! | `inbox/done`, `inbox/refused` | what was read, and what could not be, with a `.txt` that says why | the operator |

use crate::rails::PAY_INS_ENDING;
use crate::types::{Digest, FileHasher};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes that are written at once.
const BUFFER: usize = 1 << 20;

/// The folders of one rail.
#[derive(Debug, Clone)]
pub struct FileDesk {
    folders: Folders,
}

/// Where they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    /// What leaves.
    pub outbox: PathBuf,
    /// Lists of pay-ins.
    pub pay_ins: PathBuf,
    /// What comes back.
    pub inbox: PathBuf,
}

impl Folders {
    /// Where a file of this name goes when it leaves.
    #[must_use]
    pub fn home(&self, name: &str) -> &Path {
        if name.ends_with(PAY_INS_ENDING) { &self.pay_ins } else { &self.outbox }
    }
}

/// A file that is durable and has not left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staged {
    /// Digest of its bytes.
    pub digest: Digest,
    /// How many.
    pub bytes: u64,
}

/// Where a file that was read goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tray {
    /// It was read.
    Done,
    /// It could not be.
    Refused,
}

impl FileDesk {
    /// Opens the folders, making what is missing.
    ///
    /// # Errors
    /// When a folder cannot be made.
    pub fn open(folders: Folders) -> io::Result<Self> {
        let desk = Self { folders };
        for folder in [
            desk.staging(),
            desk.folders.pay_ins.clone(),
            desk.folders.inbox.join(Tray::Done.name()),
            desk.folders.inbox.join(Tray::Refused.name()),
        ] {
            fs::create_dir_all(&folder).map_err(|error| named(&folder, error))?;
        }
        Ok(desk)
    }

    /// Where they are.
    #[must_use]
    pub fn folders(&self) -> &Folders {
        &self.folders
    }

    fn staging(&self) -> PathBuf {
        self.folders.outbox.join(".staging")
    }

    /// Writes a file that is to leave, durably. One of that name that did not leave is replaced.
    ///
    /// # Errors
    /// When it cannot be written; then nothing has changed that counts.
    pub fn stage(
        &self,
        name: &str,
        render: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Staged> {
        let path = self.staging().join(name);
        let write = || {
            let file = File::create(&path)?;
            let out = Hashing { file, hasher: FileHasher::default(), bytes: 0 };
            // Outside the hasher, which is several times as fast with large pieces.
            let mut out = BufWriter::with_capacity(BUFFER, out);
            render(&mut out)?;
            let out = out.into_inner().map_err(io::IntoInnerError::into_error)?;
            let Hashing { file, hasher, bytes } = out;
            file.sync_all()?;
            sync_folder(&self.staging())?;
            Ok(Staged { digest: hasher.finish(), bytes })
        };
        write().map_err(|error| named(&path, error))
    }

    /// Has a staged file leave. One that is not staged any more has left before.
    ///
    /// # Errors
    /// When it cannot be moved; it is still staged then.
    pub fn release(&self, name: &str) -> io::Result<()> {
        let home = self.folders.home(name);
        let (from, to) = (self.staging().join(name), home.join(name));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // The lists may lie on another disk than the bank's files.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(&from, &to)?,
            done => done.map_err(|error| named(&to, error))?,
        }
        sync_folder(home).map_err(|error| named(home, error))
    }

    /// Names of what is staged.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn staged(&self) -> io::Result<Vec<String>> {
        names(&self.staging())
    }

    /// Takes away what is staged and will never leave.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(&self, name: &str) -> io::Result<()> {
        let path = self.staging().join(name);
        fs::remove_file(&path).map_err(|error| named(&path, error))
    }

    /// The answers that wait to be read, by name.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn waiting(&self) -> io::Result<Vec<String>> {
        let unfinished = |name: &String| {
            name.starts_with('.') || name.ends_with(".tmp") || name.ends_with(".part")
        };
        let mut found = names(&self.folders.inbox)?;
        found.retain(|name| !unfinished(name));
        Ok(found)
    }

    /// Opens an answer.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn answer(&self, name: &str) -> io::Result<File> {
        let path = self.folders.inbox.join(name);
        File::open(&path).map_err(|error| named(&path, error))
    }

    /// Puts an answer away, with what there is to say about it. Of two with one name both are kept.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn put_away(&self, name: &str, tray: Tray, note: &str) -> io::Result<()> {
        let folder = self.folders.inbox.join(tray.name());
        let free = |n: u32| if n == 0 { name.to_owned() } else { format!("{name}.{n}") };
        let kept = (0..).map(free).find(|name| !folder.join(name).exists());
        let kept = kept.expect("some name is free");
        if !note.is_empty() {
            let path = folder.join(format!("{kept}.txt"));
            fs::write(&path, note).map_err(|error| named(&path, error))?;
        }
        let (from, to) = (self.folders.inbox.join(name), folder.join(&kept));
        fs::rename(&from, &to).map_err(|error| named(&to, error))?;
        sync_folder(&folder).map_err(|error| named(&folder, error))
    }
}

impl Tray {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// Names of the files in a folder, ordered. Folders are left out.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let read = || {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    };
    read().map_err(|error| named(folder, error))
}

/// Moves a file to another disk: whole under its name, or not at all.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let moved = || {
        fs::copy(from, &part)?;
        File::open(&part)?.sync_all()?;
        fs::rename(&part, to)?;
        fs::remove_file(from)
    };
    moved().map_err(|error| named(to, error))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Counts and digests what goes through.
struct Hashing {
    file: File,
    hasher: FileHasher,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += u64::try_from(written).expect("a length fits 64 bits");
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk() -> (tempfile::TempDir, FileDesk) {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str| dir.path().join(name);
        let (outbox, pay_ins, inbox) = (folder("out"), folder("pay-ins"), folder("in"));
        let desk = FileDesk::open(Folders { outbox, pay_ins, inbox }).unwrap();
        (dir, desk)
    }

    #[test]
    fn a_staged_file_leaves_once_and_whole() {
        let (dir, desk) = desk();
        let staged = desk.stage("a.xml", |out| out.write_all(b"money")).unwrap();
        assert_eq!(staged.bytes, 5);
        assert_eq!(staged.digest.0, *blake3::hash(b"money").as_bytes());
        let left = dir.path().join("out/a.xml");
        assert!(!left.exists());
        desk.release("a.xml").unwrap();
        assert_eq!(fs::read(&left).unwrap(), b"money");
        // Whoever carries it to the bank takes it; leaving a second time is nothing.
        fs::remove_file(&left).unwrap();
        desk.release("a.xml").unwrap();
        assert!(!left.exists() && desk.staged().unwrap().is_empty());
    }

    /// A list of pay-ins lay among the bank's files, and the docs said to carry them all to the bank.
    #[test]
    fn a_list_of_pay_ins_never_lies_among_the_banks_files() {
        let (dir, desk) = desk();
        for name in ["a.0.pay-ins.csv", "a.1.pain.001.xml"] {
            desk.stage(name, |out| out.write_all(b"x")).unwrap();
            desk.release(name).unwrap();
        }
        let found = |folder: &str| names(&dir.path().join(folder)).unwrap();
        assert_eq!(found("out"), ["a.1.pain.001.xml"]);
        assert_eq!(found("pay-ins"), ["a.0.pay-ins.csv"]);
        // On another disk it is copied.
        desk.stage("b.0.pay-ins.csv", |out| out.write_all(b"y")).unwrap();
        let to = dir.path().join("pay-ins/b.0.pay-ins.csv");
        copy(&dir.path().join("out/.staging/b.0.pay-ins.csv"), &to).unwrap();
        assert_eq!(fs::read(to).unwrap(), b"y");
        assert!(desk.staged().unwrap().is_empty());
        assert_eq!(found("pay-ins"), ["a.0.pay-ins.csv", "b.0.pay-ins.csv"]);
    }

    #[test]
    fn answers_are_read_in_order_and_unfinished_ones_left_alone() {
        let (dir, desk) = desk();
        for name in ["b.xml", "a.xml", ".hidden", "c.xml.part", "d.tmp"] {
            fs::write(dir.path().join("in").join(name), name).unwrap();
        }
        assert_eq!(desk.waiting().unwrap(), ["a.xml", "b.xml"]);
        desk.put_away("a.xml", Tray::Done, "").unwrap();
        fs::write(dir.path().join("in/a.xml"), "again").unwrap();
        desk.put_away("a.xml", Tray::Done, "nothing new").unwrap();
        assert_eq!(fs::read(dir.path().join("in/done/a.xml")).unwrap(), b"a.xml");
        assert_eq!(fs::read(dir.path().join("in/done/a.xml.1")).unwrap(), b"again");
        assert_eq!(fs::read(dir.path().join("in/done/a.xml.1.txt")).unwrap(), b"nothing new");
        assert_eq!(desk.waiting().unwrap(), ["b.xml"]);
    }
}
