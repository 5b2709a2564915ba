//! The desk of a rail that works with files: what leaves lies in its outbox, what comes back in its
//! inbox.
//!
//! Owns the folders and how a file gets into the outbox once and only once: it is written and made
//! durable under `.staging`, then its record is journaled, then it is renamed. A file that is still
//! staged after a crash has not left; one that is not has. Never looks into a file.
//!
//! | folder | holds | who takes it away |
//! |---|---|---|
//! | `outbox/.staging` | files whose record may not be durable yet | the engine |
//! | `outbox` | files for the rail, and nothing else | whoever carries them to the rail, each once |
//! | `pay-ins` | lists of who is to pay in, which are for no rail | whoever asks them to pay |
//! | `outbox/.withdrawn`, `pay-ins/.withdrawn` | files that lay there still when all their legs had come to be owed again: never for the rail | the operator |
//! | `inbox` | what the rail answered; a name that begins with `.` or ends in `.tmp` or `.part` is left alone | the engine |
//! | `inbox/done`, `inbox/refused` | what was read, and what could not be, with a `.txt` that says why | the operator |

use crate::files;
use crate::limits::TROUBLES_SHOWN;
use crate::rails::PAY_INS_ENDING;
use crate::types::{Digest, FileHasher};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Beside what is handed in: what must not be any more.
const WITHDRAWN: &str = ".withdrawn";

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
    /// Where a file of this name goes when it must not be handed in any more.
    #[must_use]
    pub fn withdrawn(&self, name: &str) -> PathBuf {
        self.home(name).join(WITHDRAWN)
    }

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

/// What lies in an inbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Answers to read, by name.
    pub files: Vec<String>,
    /// What is no ordinary file, or has no readable name; the first of them.
    pub odd: Vec<String>,
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

    /// Has a staged file leave. One that lies in the outbox has left, and is made durable there.
    ///
    /// # Errors
    /// When it cannot be moved; it is still staged then. `NotFound` when it lies in neither folder:
    /// somebody took it away.
    pub fn release(&self, name: &str) -> io::Result<()> {
        let home = self.folders.home(name);
        let (from, to) = (self.staging().join(name), home.join(name));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => {}
            // The lists may lie on another disk than the bank's files.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(&from, &to)?,
            done => done.map_err(|error| named(&to, error))?,
        }
        sync_folder(home).map_err(|error| named(home, error))
    }

    /// Takes a file back that must not be handed in any more, if nobody has carried it away:
    /// whether it was there. It is kept, in a folder that nothing is handed in from.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn withdraw(&self, name: &str) -> io::Result<bool> {
        let (home, to) = (self.folders.home(name), self.folders.withdrawn(name));
        let from = home.join(name);
        match fs::symlink_metadata(&from) {
            Ok(found) if found.is_file() => {}
            // Somebody else's folder or link of that name: no file of ours lies there.
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(named(&from, error)),
        }
        let taken = || {
            fs::create_dir_all(&to)?;
            match fs::rename(&from, to.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                done => done?,
            }
            // A crash before this is another start, which does it again.
            sync_folder(&to)?;
            sync_folder(home)?;
            Ok(true)
        };
        taken().map_err(|error| named(&from, error))
    }

    /// Names of what lies where it is handed in from.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn left(&self) -> io::Result<Vec<String>> {
        let mut left = look(&self.folders.outbox)?.files;
        left.extend(look(&self.folders.pay_ins)?.files);
        Ok(left)
    }

    /// Whether a file is staged.
    #[must_use]
    pub fn is_staged(&self, name: &str) -> bool {
        self.staging().join(name).exists()
    }

    /// Names of what is staged.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn staged(&self) -> io::Result<Vec<String>> {
        Ok(look(&self.staging())?.files)
    }

    /// Takes away what is staged and will never leave. What is not there is gone already.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(&self, name: &str) -> io::Result<()> {
        let path = self.staging().join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done.map_err(|error| named(&path, error))?,
        }
        sync_folder(&self.staging()).map_err(|error| named(&path, error))
    }

    /// What waits to be read, by name, and what cannot be.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn waiting(&self) -> io::Result<Waiting> {
        let unfinished = |name: &String| {
            name.starts_with('.') || name.ends_with(".tmp") || name.ends_with(".part")
        };
        let trays = [Tray::Done, Tray::Refused].map(Tray::name);
        let mut found = look(&self.folders.inbox)?;
        found.files.retain(|name| !unfinished(name));
        found.odd.retain(|name| !unfinished(name) && !trays.contains(&name.as_str()));
        found.odd.truncate(TROUBLES_SHOWN);
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

    /// Puts an answer away, with what there is to say about it. Of two with one name both are kept,
    /// and a note takes the place of nothing.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn put_away(&self, name: &str, tray: Tray, note: &str) -> io::Result<()> {
        let folder = self.folders.inbox.join(tray.name());
        let put = || {
            let kept = free(&folder, name)?;
            let beside = folder.join(format!("{kept}.txt"));
            if !note.is_empty() {
                let mut file = File::create_new(&beside).map_err(|error| named(&beside, error))?;
                let done = file.write_all(note.as_bytes()).and_then(|()| file.sync_all());
                done.map_err(|error| named(&beside, error))?;
            }
            let (from, to) = (self.folders.inbox.join(name), folder.join(&kept));
            fs::rename(&from, &to).map_err(|error| {
                // It is tried again, and would leave one more note each time. The error that counts
                // is told.
                if !note.is_empty() {
                    let _ = fs::remove_file(&beside);
                }
                named(&to, error)
            })
        };
        put()?;
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

/// A name under which neither an answer nor a note lies in a folder.
fn free(folder: &Path, name: &str) -> io::Result<String> {
    let taken = |name: &str| fs::symlink_metadata(folder.join(name)).is_ok();
    let one = |n: u32| if n == 0 { name.to_owned() } else { format!("{name}.{n}") };
    let mut names = (0..u32::MAX).map(one);
    let found = names.find(|name| !taken(name) && !taken(&format!("{name}.txt")));
    found.ok_or_else(|| io::Error::other(format!("{} has no room for {name}", folder.display())))
}

/// What lies in a folder, by name. An entry that cannot be asked is odd.
fn look(folder: &Path) -> io::Result<Waiting> {
    let read = || {
        let mut found = Waiting::default();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            match entry.file_name().into_string() {
                Ok(name) if is_file => found.files.push(name),
                Ok(name) => found.odd.push(name),
                Err(name) => found.odd.push(name.to_string_lossy().into_owned()),
            }
        }
        found.files.sort_unstable();
        found.odd.sort_unstable();
        Ok(found)
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
    io::Error::new(error.kind(), files::why(path, &error))
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
        // What has left has left.
        desk.release("a.xml").unwrap();
        assert!(left.exists() && desk.staged().unwrap().is_empty() && !desk.is_staged("a.xml"));
    }

    /// A cleaner of hidden folders once made money stay for ever, without a word: what was not
    /// staged any more was taken for what had left.
    #[test]
    fn a_file_that_somebody_took_from_staging_has_not_left() {
        let (dir, desk) = desk();
        desk.stage("a.xml", |out| out.write_all(b"money")).unwrap();
        fs::remove_file(dir.path().join("out/.staging/a.xml")).unwrap();
        assert_eq!(desk.release("a.xml").unwrap_err().kind(), io::ErrorKind::NotFound);
        desk.discard("a.xml").unwrap();
    }

    /// A list of pay-ins lay among the bank's files, and the docs said to carry them all to the
    /// bank.
    #[test]
    fn a_list_of_pay_ins_never_lies_among_the_banks_files() {
        let (dir, desk) = desk();
        for name in ["a.0.pay-ins.csv", "a.1.pain.001.xml"] {
            desk.stage(name, |out| out.write_all(b"x")).unwrap();
            desk.release(name).unwrap();
        }
        let found = |folder: &str| look(&dir.path().join(folder)).unwrap().files;
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
        assert_eq!(desk.waiting().unwrap().files, ["a.xml", "b.xml"]);
        desk.put_away("a.xml", Tray::Done, "").unwrap();
        fs::write(dir.path().join("in/a.xml"), "again").unwrap();
        desk.put_away("a.xml", Tray::Done, "nothing new").unwrap();
        assert_eq!(fs::read(dir.path().join("in/done/a.xml")).unwrap(), b"a.xml");
        assert_eq!(fs::read(dir.path().join("in/done/a.xml.1")).unwrap(), b"again");
        assert_eq!(fs::read(dir.path().join("in/done/a.xml.1.txt")).unwrap(), b"nothing new");
        let rest = Waiting { files: vec!["b.xml".to_owned()], odd: Vec::new() };
        assert_eq!(desk.waiting().unwrap(), rest);
    }

    #[test]
    fn what_is_withdrawn_is_kept_beside_and_what_was_carried_away_is_no_error() {
        let (dir, desk) = desk();
        for name in ["a.xml", "b.pay-ins.csv"] {
            desk.stage(name, |out| out.write_all(b"money")).unwrap();
            desk.release(name).unwrap();
        }
        assert_eq!(desk.left().unwrap(), ["a.xml", "b.pay-ins.csv"]);
        assert!(desk.withdraw("a.xml").unwrap() && desk.withdraw("b.pay-ins.csv").unwrap());
        assert_eq!(desk.left().unwrap(), [""; 0]);
        for kept in ["out/.withdrawn/a.xml", "pay-ins/.withdrawn/b.pay-ins.csv"] {
            assert_eq!(fs::read(dir.path().join(kept)).unwrap(), b"money");
        }
        assert!(!desk.withdraw("a.xml").unwrap(), "it is not there any more");
        // Somebody has put it back: it is taken once more.
        fs::write(dir.path().join("out/a.xml"), "money").unwrap();
        assert!(desk.withdraw("a.xml").unwrap());
    }

    #[test]
    fn a_note_takes_the_place_of_no_answer_and_an_answer_of_no_note() {
        let (dir, desk) = desk();
        let inbox = dir.path().join("in");
        for (name, note) in [("n.xml.txt", ""), ("n.xml", "a note"), ("n.xml.1.txt", "another")] {
            fs::write(inbox.join(name), name).unwrap();
            desk.put_away(name, Tray::Refused, note).unwrap();
        }
        let kept = |name: &str| fs::read_to_string(inbox.join("refused").join(name)).unwrap();
        assert_eq!((kept("n.xml.txt"), kept("n.xml.1")), ("n.xml.txt".into(), "n.xml".into()));
        assert_eq!(kept("n.xml.1.txt"), "a note");
        assert_eq!(
            (kept("n.xml.1.txt.1"), kept("n.xml.1.txt.1.txt")),
            ("n.xml.1.txt".into(), "another".into())
        );
    }

    #[test]
    fn what_is_no_ordinary_file_or_has_no_readable_name_is_odd_and_never_opened() {
        use std::os::unix::ffi::OsStrExt as _;
        let (dir, desk) = desk();
        let inbox = dir.path().join("in");
        std::os::unix::fs::symlink("/etc/hostname", inbox.join("link.xml")).unwrap();
        fs::create_dir(inbox.join("folder.xml")).unwrap();
        fs::write(inbox.join(std::ffi::OsStr::from_bytes(b"b\xe4d.xml")), "x").unwrap();
        fs::write(inbox.join("plain.xml"), "x").unwrap();
        let found = desk.waiting().unwrap();
        assert_eq!(found.files, ["plain.xml"]);
        assert_eq!(found.odd, ["b\u{fffd}d.xml", "folder.xml", "link.xml"]);
    }
}
