//! Reading the audit log, file by file.

use super::files::numbered;
use super::{Group, Line};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// Why the log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct Unreadable {
    /// Which file or folder.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// The lines of a folder, oldest first, whichever files they are in.
pub struct Lines {
    groups: Vec<Files>,
    /// Lines that are none: a process was killed within them.
    pub cut: u64,
}

/// Those of one group, and the one that comes next.
struct Files {
    files: std::vec::IntoIter<(u64, PathBuf)>,
    open: Option<(PathBuf, BufReader<File>)>,
    next: Option<Line>,
}

impl Lines {
    /// Of a folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn of(dir: &Path) -> Result<Self, Unreadable> {
        let failed = |source| Unreadable { path: dir.to_owned(), source };
        let files = |group| {
            let files = numbered(dir, group).map_err(failed)?.into_iter();
            Ok(Files { files, open: None, next: None })
        };
        let groups = Group::ALL.into_iter().map(files).collect::<Result<_, _>>()?;
        Ok(Self { groups, cut: 0 })
    }

    fn next_line(&mut self) -> Result<Option<Line>, Unreadable> {
        for group in &mut self.groups {
            if group.next.is_none() {
                group.next = group.read(&mut self.cut)?;
            }
        }
        let waiting = self.groups.iter_mut().filter(|group| group.next.is_some());
        // Times of one form are in the order of their letters.
        let first = waiting.min_by(|a, b| {
            let at = |group: &Files| group.next.as_ref().map(|line| line.at.clone());
            at(a).cmp(&at(b))
        });
        Ok(first.and_then(|group| group.next.take()))
    }
}

impl Files {
    fn read(&mut self, cut: &mut u64) -> Result<Option<Line>, Unreadable> {
        loop {
            let Some((path, file)) = &mut self.open else {
                let Some((_, path)) = self.files.next() else { return Ok(None) };
                match File::open(&path) {
                    Ok(file) => self.open = Some((path, BufReader::new(file))),
                    // It was taken away meanwhile, as the oldest are.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(source) => return Err(Unreadable { path, source }),
                }
                continue;
            };
            let mut text = Vec::new();
            let read = file.read_until(b'\n', &mut text);
            if read.map_err(|source| Unreadable { path: path.clone(), source })? == 0 {
                self.open = None;
                continue;
            }
            match serde_json::from_slice(&text) {
                Ok(line) => return Ok(Some(line)),
                Err(_) => *cut += 1,
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<Line, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().transpose()
    }
}
