//! One window as the control state knows it: where it stands, what was left for it, its seal and
//! batches. Rules about what may be done with it are above.

use crate::canary::{Bug, planted};
use crate::event::{ArchiveId, WindowSealed};
use crate::refusal::Refusal;
use crate::seal::Head;
use crate::types::{AssetNumber, BatchId, Digest, Lsn, Net, Timestamp, WindowNumber};
use crate::window::{Obligation, SealedWindow};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where a window stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// Vouchers are credited in it.
    Open,
    /// Cut; nothing of it changes any more.
    Closed,
    /// Closed, and an operator says that something is wrong with it.
    Disputed,
    /// Closed, and in at least one live batch.
    Batched,
    /// Everything that was owed in it is in batches that have ended.
    Settled,
}

impl WindowState {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Closed => "CLOSED",
            Self::Disputed => "DISPUTED",
            Self::Batched => "BATCHED",
            Self::Settled => "SETTLED",
        }
    }
}

/// One window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowEntry {
    /// Its number.
    pub number: WindowNumber,
    /// The first record that belongs to it.
    pub first_lsn: Lsn,
    /// When it was cut, and by which record; `None` while open.
    pub cut: Option<(Lsn, Timestamp)>,
    /// That record's digest; zero while open.
    pub cut_digest: Digest,
    /// Its seal; `None` while open and for the moment that sealing takes.
    pub sealed: Option<Arc<WindowSealed>>,
    /// What earlier batches left for it, until it is sealed.
    pub carried: Vec<(AssetNumber, Obligation)>,
    /// The part of it that is dust: what parties owe the clearing account, net. Kept once it is
    /// sealed.
    pub dust: BTreeMap<AssetNumber, Net>,
    /// The live batch per asset.
    pub live: BTreeMap<AssetNumber, BatchId>,
    /// The assets whose batch has ended.
    pub settled: BTreeSet<AssetNumber>,
    /// Why it is disputed, while it is.
    pub dispute: Option<String>,
    /// Where its evidence is, once that has left the engine's own store.
    pub archive: Option<ArchiveId>,
}

impl WindowEntry {
    pub(super) fn open(number: WindowNumber, first_lsn: Lsn) -> Self {
        Self {
            number,
            first_lsn,
            cut: None,
            cut_digest: Digest::ZERO,
            sealed: None,
            carried: Vec::new(),
            dust: BTreeMap::new(),
            live: BTreeMap::new(),
            settled: BTreeSet::new(),
            dispute: None,
            archive: None,
        }
    }

    /// What a sealed window is loaded by.
    ///
    /// # Errors
    /// `WindowOpen`, or `WindowUnsealed`.
    pub fn sealed_head(&self) -> Result<SealedHead, Refusal> {
        let (number, first_lsn) = (self.number, self.first_lsn);
        match (self.cut, &self.sealed) {
            (None, _) => Err(Refusal::WindowOpen(number)),
            (Some(_), None) => Err(Refusal::WindowUnsealed(number)),
            (Some((cut_lsn, cut_at)), Some(sealed)) => {
                let credited = sealed.credited;
                let head = Head { number, first_lsn, cut_lsn, cut_at, credited };
                let (cut_digest, seal, archive) = (self.cut_digest, sealed.clone(), self.archive);
                Ok(SealedHead { head, cut_digest, seal, archive })
            }
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> WindowState {
        if self.cut.is_none() {
            return WindowState::Open;
        }
        if self.dispute.is_some() {
            return WindowState::Disputed;
        }
        match (self.is_settled(), self.live.is_empty()) {
            (true, _) => WindowState::Settled,
            (false, true) => WindowState::Closed,
            (false, false) => WindowState::Batched,
        }
    }

    /// Whether something was owed in it, and all of that is in batches that have ended.
    fn is_settled(&self) -> bool {
        let owed = self.sealed.as_ref().is_some_and(|sealed| !sealed.assets.is_empty());
        owed && self.has_nothing_to_settle()
    }

    /// Whether its evidence can leave the engine's own store: it is sealed, all that was owed in
    /// it, if anything was, is settled, nobody disputes it, and it has not left before.
    ///
    /// # Errors
    /// `WindowOpen`, `WindowUnsealed`, `WindowDisputed`, or `WindowState`.
    pub fn check_archive(&self) -> Result<(), Refusal> {
        let window = self.number;
        self.sealed_head()?;
        if self.dispute.is_some() {
            return Err(Refusal::WindowDisputed(window));
        }
        let settled = self.has_nothing_to_settle() || planted(Bug::EvidenceLeavesEarly);
        let allowed = match (settled, self.archive) {
            (true, None) => return Ok(()),
            (true, Some(_)) => "its evidence is in an archive already",
            (false, _) => "only the evidence of a settled window can be archived",
        };
        Err(Refusal::WindowState { window, state: self.state().name(), allowed })
    }

    /// Whether all that was owed in it, if anything was, is in batches that have ended.
    pub(super) fn has_nothing_to_settle(&self) -> bool {
        let Some(sealed) = &self.sealed else { return false };
        sealed.assets.iter().all(|seal| self.settled.contains(&seal.asset))
    }
}

/// What is known of a sealed window without what was owed in it.
#[derive(Debug, Clone)]
pub struct SealedHead {
    /// Number, records and time.
    pub head: Head,
    /// Digest of the record that closed it.
    pub cut_digest: Digest,
    /// Roots and figures.
    pub seal: Arc<WindowSealed>,
    /// The archive that holds its evidence, once that has left the engine's own store.
    pub archive: Option<ArchiveId>,
}

impl SealedHead {
    /// Whether anything is owed in it in this asset.
    #[must_use]
    pub fn owes(&self, asset: AssetNumber) -> bool {
        self.seal.assets.iter().any(|seal| seal.asset == asset)
    }

    /// The window without what is owed in it, as a batch needs it in an asset in which that is
    /// nothing.
    #[must_use]
    pub fn without_assets(&self) -> SealedWindow {
        let Head { number, first_lsn, cut_lsn, cut_at, credited } = self.head;
        let (assets, root) = (BTreeMap::new(), self.seal.root);
        SealedWindow { number, first_lsn, cut_lsn, cut_at, credited, assets, root }
    }
}
