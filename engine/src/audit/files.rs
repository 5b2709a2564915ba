//! Export files as the source of an audit.

use super::difference::{AuditError, Difference};
use super::directory::Directory;
use super::source::{End, Source, Visit};
use crate::journal::Chain;
use crate::proof::{ExportFile, Part};
use crate::types::{AssetNumber, History, Lsn, NetworkId, WindowNumber};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Several exports of one network, each of windows of its own; archives among them.
pub struct Files {
    /// The one with the longest history first.
    files: Vec<ExportFile>,
    /// Which file holds each window.
    windows: BTreeMap<WindowNumber, usize>,
    ends: Vec<End>,
}

impl Files {
    /// Opens the files and reads each once.
    ///
    /// # Errors
    /// When one cannot be read or is damaged, or they do not belong together.
    pub fn open(paths: &[PathBuf]) -> Result<Self, AuditError> {
        let opened = paths.iter().map(|path| ExportFile::open(path));
        let mut files = opened.collect::<Result<Vec<_>, _>>()?;
        files.sort_by_key(|file| std::cmp::Reverse(file.counts().events));
        if let Some((first, others)) = files.split_first()
            && let Some(other) = others.iter().find(|other| other.network() != first.network())
        {
            let what = format!("the network of {}", other.path().display());
            return Err(Difference::new(&what, first.network(), other.network()).into());
        }
        let mut windows = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            for window in file.windows().keys() {
                if windows.insert(*window, index).is_some() {
                    let name = file.path().display();
                    return Err(AuditError::Unreadable(format!(
                        "window {window} of {name} is in another file too; give one of them"
                    )));
                }
            }
        }
        if files.first().is_some_and(|file| file.counts().events == 0) {
            let name = files[0].path().display();
            return Err(AuditError::Unreadable(format!(
                "{name} is an archive, which holds a window's evidence and no events; give an export beside it \
                 (`tallystick evidence export`, with or without windows)"
            )));
        }
        if let Some(of) = files.iter().find(|file| file.first_event().is_some_and(|of| of > Lsn(1)))
        {
            let name = of.path().display();
            return Err(AuditError::Unreadable(format!(
                "{name} is an archive of events, which begins behind others: give an export in its place \
                 (`tallystick evidence export`), or audit the data directory with --archives"
            )));
        }
        let ends = files.iter().map(end).collect::<Result<_, _>>()?;
        Ok(Self { files, windows, ends })
    }

    fn file(&self, window: WindowNumber) -> Option<&ExportFile> {
        self.windows.get(&window).map(|index| &self.files[*index])
    }
}

/// Where a file's history ends: with the event that its engine signed as the last. An archive
/// leaves the events to the export beside it, whose history must hold that one.
fn end(file: &ExportFile) -> Result<End, AuditError> {
    if file.counts().events == 0 {
        return Ok(End { name: file.path().display().to_string(), signed: *file.end() });
    }
    let mut chain = Chain::start();
    file.events::<AuditError>(&mut |lsn, bytes| {
        chain.follow_event(lsn, bytes)?;
        Ok(())
    })?;
    let (name, signed, found) = (file.path().display().to_string(), *file.end(), chain.tail());
    if found.history() == signed.last {
        return Ok(End { name, signed });
    }
    let what = format!("the last event of {name}");
    let say = |of: History| format!("record {} with the digest {}", of.lsn, of.digest);
    Err(Difference::new(&what, say(signed.last), say(found.history())).into())
}

impl Source for Files {
    fn windows(&self) -> Vec<WindowNumber> {
        self.windows.keys().copied().collect()
    }

    fn evidence(&self) -> u64 {
        self.files.iter().map(|file| file.counts().evidence).sum()
    }

    fn events(&self, visit: &mut Visit<'_>) -> Result<(), AuditError> {
        self.files.first().map_or(Ok(()), |file| file.events(visit))
    }

    fn ends(&self) -> &[End] {
        &self.ends
    }

    fn assets(&self, window: WindowNumber) -> Vec<AssetNumber> {
        let index = self.file(window).and_then(|file| file.windows().get(&window));
        index.map_or(Vec::new(), |index| index.assets.keys().copied().collect())
    }

    fn rows(
        &self,
        window: WindowNumber,
        asset: AssetNumber,
        part: Part,
        piece: usize,
    ) -> Result<Option<Vec<u8>>, AuditError> {
        let Some(file) = self.file(window) else { return Ok(None) };
        Ok(file.rows(window, asset, part, piece)?)
    }

    fn network(&self) -> Option<NetworkId> {
        self.files.first().map(ExportFile::network)
    }

    fn directory(&self) -> Option<&Directory> {
        None
    }
}
