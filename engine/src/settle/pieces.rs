//! One sealed window and its evidence, wherever they are: in the engine's own store, or in the
//! archive for which they have left (`retention`).

use super::archive::Archive;
use crate::journal::{JournalError, kept};
use crate::ledger::seal::{self, Owed};
use crate::ledger::{SealedHead, SealedWindow, pieces};
pub use crate::past::NotRead;
use crate::proof::rows::{read_carried, read_obligation};
use crate::proof::{ExportFile, Part, ReadError, archive_name};
use crate::types::{AssetNumber, WindowNumber};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::RwLockReadGuard;

/// The evidence of one window, open for reading. It does not leave meanwhile.
pub struct Pieces<'a> {
    window: WindowNumber,
    from: From<'a>,
    /// The page that was read last, by its asset and number.
    page: Option<(AssetNumber, u64, Vec<u8>)>,
    _stays: RwLockReadGuard<'a, ()>,
}

enum From<'a> {
    Kept(&'a Archive),
    File(Box<ExportFile>),
}

impl<'a> Pieces<'a> {
    /// Of a window.
    ///
    /// # Errors
    /// `Away` when it has left and the archive is not there, or is another one.
    pub fn open(archive: &'a Archive, sealed: &SealedHead) -> Result<Self, NotRead> {
        let (window, stays) = (sealed.head.number, archive.stay());
        let from = match sealed.archive {
            Some(_) => From::File(Box::new(open_archive(archive.archives(), sealed)?)),
            None if kept::has_evidence(archive.tables(), window)? || !is_proved(sealed) => {
                From::Kept(archive)
            }
            // It left between the question and this.
            None if archive.went(window) => return Err(left_just_now(window)),
            None => return Err(kept::lost(window, "has no evidence any more").into()),
        };
        Ok(Self { window, from, page: None, _stays: stays })
    }

    /// Some pieces of an asset, one after the other: the page number `page`, from 0. `None` behind
    /// the last one.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn page(&self, asset: AssetNumber, page: usize) -> Result<Option<Vec<u8>>, NotRead> {
        match &self.from {
            From::Kept(archive) => {
                Ok(kept::page(archive.tables(), self.window, kept::EVIDENCE, asset, page)?)
            }
            From::File(file) => {
                let rows = file.rows(self.window, asset, Part::Evidence, page);
                rows.map_err(|error| away(self.window, &error))
            }
        }
    }

    /// One piece of an asset by its number, from 0.
    ///
    /// # Errors
    /// When it is not there.
    pub fn piece(&mut self, asset: AssetNumber, number: u64) -> Result<Vec<u8>, NotRead> {
        let archive = match &self.from {
            From::Kept(archive) => *archive,
            From::File(file) => {
                let piece = file.piece(self.window, asset, number);
                let piece = piece.map_err(|error| away(self.window, &error))?;
                return piece.ok_or_else(|| away(self.window, &"a piece is missing"));
            }
        };
        let per_page = u64::try_from(kept::PIECES).expect("a page is small");
        let (page, at) = (number / per_page, number % per_page);
        if self.page.as_ref().is_none_or(|(of, held, _)| (*of, *held) != (asset, page)) {
            let index = usize::try_from(page).expect("pages fit memory");
            let rows = kept::page(archive.tables(), self.window, kept::EVIDENCE, asset, index)?;
            self.page = Some((asset, page, rows.unwrap_or_default()));
        }
        let rows = self.page.as_ref().map_or(&[][..], |(_, _, rows)| rows);
        let at = usize::try_from(at).expect("a page is small");
        let piece = pieces(rows).nth(at).flatten().map(<[u8]>::to_vec);
        let window = self.window;
        let lacks =
            || JournalError::Storage(format!("the evidence kept of window {window} lacks a page"));
        Ok(piece.ok_or_else(lacks)?)
    }
}

/// Whether anything was credited in a window, so that there is evidence of it.
fn is_proved(sealed: &SealedHead) -> bool {
    sealed.seal.assets.iter().any(|seal| seal.totals.pairs > 0)
}

/// Whether a window is no more in the engine's own store: then its archive has what was owed in it.
/// Whoever asks holds off that it leaves.
///
/// # Errors
/// When what is kept cannot be read; `Away` when it left after the caller asked for the window.
pub(super) fn has_left(archive: &Archive, sealed: &SealedHead) -> Result<bool, NotRead> {
    if sealed.seal.assets.is_empty() || kept::has_owed(archive.tables(), sealed.head.number)? {
        return Ok(false);
    }
    match sealed.archive {
        Some(_) => Ok(true),
        None if archive.went(sealed.head.number) => Err(left_just_now(sealed.head.number)),
        // Then it is lost, and whoever loads it says so.
        None => Ok(false),
    }
}

/// A window that has left, from its archive.
///
/// # Errors
/// `Away` when that is not there, or is another one.
pub(super) fn load_window(archive: &Archive, sealed: &SealedHead) -> Result<SealedWindow, NotRead> {
    let window = sealed.head.number;
    let file = open_archive(archive.archives(), sealed)?;
    let owed = owed(&file, window).map_err(|error| away(window, &error))?;
    let loaded = seal::close(sealed.head, owed);
    if loaded.root == sealed.seal.root {
        return Ok(loaded);
    }
    let path = file.path().display();
    Err(away(window, &format!("what {path} holds has root {}", loaded.root)))
}

/// The archive of a window, if it is where it should be and the one that was journaled.
///
/// # Errors
/// `Away`.
pub(super) fn open_archive(
    archives: Option<&Path>,
    sealed: &SealedHead,
) -> Result<ExportFile, NotRead> {
    let window = sealed.head.number;
    let path = archive_path(archives, window)?;
    let file = ExportFile::open(&path).map_err(|error| away(window, &error))?;
    if sealed.archive == Some(file.id()) {
        return Ok(file);
    }
    let (path, digest) = (path.display(), file.id().digest);
    Err(away(window, &format!("{path} is another one: it has digest {digest}")))
}

/// What was owed in a window, as a file has it.
///
/// # Errors
/// When it cannot be read.
pub(super) fn owed(
    file: &ExportFile,
    window: WindowNumber,
) -> Result<BTreeMap<AssetNumber, Owed>, ReadError> {
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
    }
    Ok(owed)
}

fn left_just_now(window: WindowNumber) -> NotRead {
    NotRead::Away(format!("window {window} went into its archive just now; try again"))
}

fn archive_path(archives: Option<&Path>, window: WindowNumber) -> Result<PathBuf, NotRead> {
    match archives {
        Some(dir) => Ok(dir.join(archive_name(window))),
        None => Err(away(window, &"no archive_dir is configured")),
    }
}

fn away(window: WindowNumber, why: &dyn std::fmt::Display) -> NotRead {
    let name = archive_name(window);
    NotRead::Away(format!(
        "window {window} is in its archive, which cannot be read: {why}; put {name} back where archive_dir says, \
         or give it to `tallystick audit` beside an export"
    ))
}
