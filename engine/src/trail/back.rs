//! Reading the audit log backwards, newest first, a bounded part at a time: for whoever looks at it
//! a page at a time while it is written.

use super::files::numbered;
use super::{Group, Line, Unreadable};
use crate::limits::AUDIT_BLOCK_BYTES;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Where reading stands in the files of one group: all that lies before this in this file, and the
/// files before it, is still to be read. File 0 is none: all was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// The file's number.
    pub number: u64,
    /// Bytes of it that are still to be read.
    pub end: u64,
}

/// Where reading stands in all of them.
pub type Stands = [Stand; Group::ALL.len()];

/// The lines of a folder, newest first.
pub struct Backwards {
    groups: Vec<Back>,
}

/// Those of one group.
struct Back {
    files: Vec<(u64, PathBuf)>,
    stand: Stand,
    /// Lines that were read, the newest first, each with where it begins.
    read: VecDeque<(u64, Line)>,
}

impl Backwards {
    /// Of a folder, from the newest line on, or from where an earlier reading stood.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn of(dir: &Path, from: Option<Stands>) -> Result<Self, Unreadable> {
        let failed = |source| Unreadable { path: dir.to_owned(), source };
        let mut groups = Vec::new();
        for (place, group) in Group::ALL.into_iter().enumerate() {
            let mut files = numbered(dir, group).map_err(failed)?;
            let newest = files.last().map_or(0, |(number, _)| *number);
            let all = Stand { number: newest, end: u64::MAX };
            let stand = from.map_or(all, |from| from[place]);
            files.retain(|(number, _)| *number <= stand.number);
            groups.push(Back { files, stand, read: VecDeque::new() });
        }
        Ok(Self { groups })
    }

    /// The next line, older than the one before; `None` when there are no more.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn older(&mut self) -> Result<Option<Line>, Unreadable> {
        for group in &mut self.groups {
            group.fill()?;
        }
        let at = |group: &Back| group.read.front().map(|(_, line)| line.at.clone());
        // Times of one form are in the order of their letters.
        let waiting = self.groups.iter_mut().filter(|group| !group.read.is_empty());
        let newest = waiting.max_by(|a, b| at(a).cmp(&at(b)));
        Ok(newest.and_then(|group| {
            let (begin, line) = group.read.pop_front()?;
            group.stand.end = begin;
            Some(line)
        }))
    }

    /// Where reading stands; `None` when nothing is left.
    #[must_use]
    pub fn stands(&self) -> Option<Stands> {
        let stands: Vec<Stand> = self.groups.iter().map(|group| group.stand).collect();
        let is_over = stands.iter().all(|stand| stand.number == 0);
        let stands = stands.try_into().expect("one a group");
        (!is_over).then_some(stands)
    }
}

impl Back {
    /// Has a line ready, if there is one.
    fn fill(&mut self) -> Result<(), Unreadable> {
        while self.read.is_empty() && self.stand.number > 0 {
            let Some((number, path)) = self.files.last() else {
                self.stand = Stand { number: 0, end: 0 };
                return Ok(());
            };
            let number = *number;
            // What was written since then is newer than what was read already.
            let end = if number == self.stand.number { self.stand.end } else { u64::MAX };
            let read = match before(path, end) {
                // It was taken away meanwhile, as the oldest are.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(source) => return Err(Unreadable { path: path.clone(), source }),
                Ok(read) => read,
            };
            match read {
                Some(Block { begin, end, lines }) => {
                    self.stand = Stand { number, end: if lines.is_empty() { begin } else { end } };
                    self.read = lines;
                }
                None => {
                    self.files.pop();
                    let next = self.files.last().map_or(0, |(number, _)| *number);
                    self.stand = Stand { number: next, end: if next == 0 { 0 } else { u64::MAX } };
                }
            }
        }
        Ok(())
    }
}

/// A part of a file.
struct Block {
    begin: u64,
    end: u64,
    /// Its whole lines, the newest first, each with where it begins.
    lines: VecDeque<(u64, Line)>,
}

/// The block of a file that ends here, or where the file does; `None` when nothing lies before.
fn before(path: &Path, end: u64) -> io::Result<Option<Block>> {
    let file = File::open(path)?;
    let end = end.min(file.metadata()?.len());
    if end == 0 {
        return Ok(None);
    }
    let mut length = AUDIT_BLOCK_BYTES;
    loop {
        let begin = end.saturating_sub(length);
        let bytes = usize::try_from(end - begin).expect("a block fits memory");
        let mut block = vec![0; bytes];
        file.read_exact_at(&mut block, begin)?;
        // The line in which the block begins is read with the one before it.
        let first = match begin {
            0 => 0,
            _ => match block[..bytes - 1].iter().position(|byte| *byte == b'\n') {
                Some(at) => at + 1,
                None => {
                    length = length.saturating_mul(2);
                    continue;
                }
            },
        };
        let (mut lines, mut at) = (VecDeque::new(), first);
        for text in block[first..].split_inclusive(|byte| *byte == b'\n') {
            let begins = begin + u64::try_from(at).expect("a block is small");
            // A line that is none was cut off as a process was killed.
            if let Ok(line) = serde_json::from_slice(text) {
                lines.push_front((begins, line));
            }
            at += text.len();
        }
        let begins = begin + u64::try_from(first).expect("a block is small");
        return Ok(Some(Block { begin: begins, end, lines }));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Who;
    use super::*;
    use std::collections::BTreeMap;
    use std::io::Write as _;

    fn line(number: u64) -> Line {
        Line {
            at: format!("2026-11-30T10:00:00.{number:06}Z"),
            who: Who {
                name: "x".repeat(1 + usize::try_from(number % 700).unwrap()),
                role: "".into(),
            },
            certificate: None,
            from: String::new(),
            via: String::new(),
            call: "GetParty".into(),
            request_id: String::new(),
            about: BTreeMap::new(),
            result: "OK".into(),
            took_us: number,
        }
    }

    /// Lines of three groups, in several files, read in pages of any size: each once, newest first.
    #[test]
    fn every_line_is_read_once_newest_first_whatever_the_page() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["audit-00000001", "audit-00000002", "own-00000001", "refused-00000003"];
        let mut files =
            names.map(|name| File::create(dir.path().join(format!("{name}.jsonl"))).unwrap());
        for number in 0..2_000 {
            // The desk's first file ends before its second one begins.
            let file = match number % 4 {
                0 if number < 900 => 0,
                0 | 1 => 1,
                2 => 2,
                _ => 3,
            };
            let file = if file == 1 && number < 900 { 0 } else { file };
            files[file].write_all(&line(number).json()).unwrap();
        }
        files[3].write_all(b"{\"cut").unwrap();
        for page in [1, 7, 1_999, 5_000] {
            let (mut found, mut from) = (Vec::new(), None);
            loop {
                let mut reading = Backwards::of(dir.path(), from).unwrap();
                for _ in 0..page {
                    let Some(line) = reading.older().unwrap() else { break };
                    found.push(line.took_us);
                }
                from = reading.stands();
                if from.is_none() || found.len() > 2_000 {
                    break;
                }
            }
            assert_eq!(found, (0..2_000).rev().collect::<Vec<_>>(), "{page} at a time");
        }
    }
}
