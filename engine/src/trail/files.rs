//! The files of the audit log: `GROUP-NUMBER.jsonl`; of each group the highest number is written
//! to.

use super::Group;
use crate::limits::AUDIT_FILE_BYTES;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The files of one group, the newest of them open.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    group: Group,
    keep: u32,
    number: u64,
    file: File,
    bytes: u64,
    /// A write ended within a line: the next one begins anew.
    torn: bool,
}

/// The files of a group in a folder by their numbers, ascending.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn numbered(dir: &Path, group: Group) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let rest = name.strip_prefix(group.prefix()).and_then(|rest| rest.strip_prefix('-'));
        let number = rest.and_then(|rest| rest.strip_suffix(".jsonl"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

impl Files {
    pub fn open(dir: &Path, group: Group, keep: u32) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let number = numbered(dir, group)?.last().map_or(1, |(number, _)| *number);
        let (file, bytes) = open(dir, group, number)?;
        let mut files = Self { dir: dir.to_owned(), group, keep, number, file, bytes, torn: false };
        files.torn = files.ends_within_a_line()?;
        Ok(files)
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// When not all of them could be written.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.bytes >= AUDIT_FILE_BYTES {
            self.next()?;
        }
        if std::mem::replace(&mut self.torn, true) {
            self.file.write_all(b"\n")?;
            self.bytes += 1;
        }
        self.file.write_all(lines)?;
        self.torn = false;
        self.bytes += u64::try_from(lines.len()).expect("a length fits 64 bits");
        Ok(())
    }

    /// Begins the next file, and takes away those that are too many.
    fn next(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let (file, bytes) = open(&self.dir, self.group, self.number + 1)?;
        (self.file, self.bytes, self.torn) = (file, bytes, false);
        self.number += 1;
        let all = numbered(&self.dir, self.group)?;
        let most = usize::try_from(self.keep).unwrap_or(usize::MAX);
        for (_, path) in all.iter().take(all.len().saturating_sub(most)) {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// What a process that was killed left behind.
    fn ends_within_a_line(&mut self) -> io::Result<bool> {
        if self.bytes == 0 {
            return Ok(false);
        }
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        Ok(last != *b"\n")
    }
}

fn open(dir: &Path, group: Group, number: u64) -> io::Result<(File, u64)> {
    let path = dir.join(format!("{}-{number:08}.jsonl", group.prefix()));
    let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_follow_each_other_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let line = [b"x".repeat(1 << 20), b"\n".to_vec()].concat();
        let mut files = Files::open(dir.path(), Group::Desk, 2).unwrap();
        let a_file = AUDIT_FILE_BYTES / (1 << 20);
        for _ in 0..a_file * 3 + 1 {
            files.append(&line).unwrap();
        }
        let names: Vec<u64> =
            numbered(dir.path(), Group::Desk).unwrap().iter().map(|(n, _)| *n).collect();
        assert_eq!(names, [3, 4]);
        // Those of another group are left alone, and take none away.
        Files::open(dir.path(), Group::Refused, 1).unwrap().append(&line).unwrap();
        assert_eq!(numbered(dir.path(), Group::Refused).unwrap().len(), 1);
        assert_eq!(numbered(dir.path(), Group::Desk).unwrap().len(), 2);
        drop(files);
        let again = Files::open(dir.path(), Group::Desk, 2).unwrap();
        assert_eq!(again.number, 4);
    }

    #[test]
    fn a_line_that_was_cut_off_stays_one_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        drop(Files::open(dir.path(), Group::Desk, 2).unwrap());
        let path = dir.path().join("audit-00000001.jsonl");
        fs::write(&path, b"{\"whole\":1}\n{\"cut").unwrap();
        Files::open(dir.path(), Group::Desk, 2).unwrap().append(b"{\"next\":1}\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"whole\":1}\n{\"cut\n{\"next\":1}\n");
    }
}
