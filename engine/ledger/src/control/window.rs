//! One window as the control state knows it: where it stands, what was left for it, its seal and
//! batches. Rules about what may be done with it are above.

use crate::event::WindowSealed;
use crate::refusal::Refusal;
use crate::seal::Head;
use crate::types::{AssetNumber, BatchId, Digest, Lsn, Net, Timestamp, WindowNumber};
use crate::window::Obligation;
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
}

impl WindowEntry {
    pub(super) fn open(number: WindowNumber, first_lsn: Lsn) -> Self {
        let (cut, sealed, cut_digest) = (None, None, Digest::ZERO);
        let (carried, dust, live, settled, dispute) = Default::default();
        Self { number, first_lsn, cut, cut_digest, sealed, carried, dust, live, settled, dispute }
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
                Ok(SealedHead { head, cut_digest: self.cut_digest, seal: sealed.clone() })
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
}
