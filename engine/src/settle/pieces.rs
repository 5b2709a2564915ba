//! The evidence of one sealed window, wherever it is: in the engine's own store, or in the archive
//! for which it has left (`retention`).

use super::archive::Archive;
use crate::journal::{JournalError, kept};
use crate::ledger::{EVIDENCE_BYTES, SealedHead};
use crate::proof::{ExportFile, Part, archive_name};
use crate::types::{AssetNumber, WindowNumber};
use std::path::{Path, PathBuf};
use std::sync::RwLockReadGuard;

/// Why evidence cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// What is kept cannot be read.
    #[error(transparent)]
    Storage(#[from] JournalError),
    /// It has left, and its archive is not where it should be.
    #[error("{0}")]
    Away(String),
}

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
            Some(id) => {
                let path = archive_path(archive.archives(), window)?;
                let file = ExportFile::open(&path).map_err(|error| away(window, &error))?;
                if file.id() != id {
                    let path = path.display();
                    return Err(away(
                        window,
                        &format!("{path} is another one: it has digest {}", file.id().digest),
                    ));
                }
                From::File(Box::new(file))
            }
            None if kept::has_evidence(archive.tables(), window)? || !is_proved(sealed) => {
                From::Kept(archive)
            }
            // It left between the question and this.
            None => {
                return Err(NotRead::Away(format!(
                    "the evidence of window {window} went into its archive just now; try again"
                )));
            }
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
    pub fn piece(
        &mut self,
        asset: AssetNumber,
        number: u64,
    ) -> Result<[u8; EVIDENCE_BYTES], NotRead> {
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
        let piece = rows.as_chunks().0.get(at).copied();
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

fn archive_path(archives: Option<&Path>, window: WindowNumber) -> Result<PathBuf, NotRead> {
    match archives {
        Some(dir) => Ok(dir.join(archive_name(window))),
        None => Err(away(window, &"no archive_dir is configured")),
    }
}

fn away(window: WindowNumber, why: &dyn std::fmt::Display) -> NotRead {
    let name = archive_name(window);
    NotRead::Away(format!(
        "the evidence of window {window} is in its archive, which cannot be read: {why}; put {name} back where \
         archive_dir says, or give it to `tallystick audit` and `tallystick proof check` beside an export"
    ))
}
