//! For tests alone: a window in which somebody owes, as the sealer would close it, without the
//! vouchers; parties whose names look sealed; and tables of text.

pub(crate) mod table;

use super::seal::{Head, Owed, close};
use super::sealed::{SealedAccount, SealedText};
use super::window::{EvidenceDigest, Obligation, SealedWindow};
use super::wish::{Keep, UpsertParty};
use crate::limits::SEAL_BYTES;
use crate::types::{AssetNumber, Digest, Lsn, PartyId, Timestamp, WindowNumber};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The head of a first window.
pub(crate) const HEAD: Head = Head {
    number: WindowNumber(1),
    first_lsn: Lsn(2),
    cut_lsn: Lsn(9),
    cut_at: Timestamp(0),
    credited: 1,
};

/// The window in which these, ordered by payer and payee, are owed in one asset.
pub(crate) fn sealed(
    head: Head,
    asset: AssetNumber,
    obligations: Vec<Obligation>,
    carried: Vec<Obligation>,
) -> Arc<SealedWindow> {
    let evidence = vec![EvidenceDigest { count: 1, digest: Digest::ZERO }; obligations.len()];
    let owed = Owed { obligations, evidence, carried };
    Arc::new(close(head, BTreeMap::from([(asset, owed)])))
}

/// A text as if it were sealed.
pub(crate) fn as_sealed(text: &str) -> SealedText {
    SealedText::new([&[7; SEAL_BYTES][..], text.as_bytes()].concat())
}

/// An account as if it were sealed.
pub(crate) fn as_account(name: &str) -> SealedAccount {
    SealedAccount { name: as_sealed(name), fields: as_sealed("") }
}

/// A wish to register a party without accounts, that was never erased.
pub(crate) fn upsert(party: PartyId, name: &str, suspended: bool) -> UpsertParty {
    let (name, accounts) = (as_sealed(name), Vec::new());
    let keep = Keep::default();
    UpsertParty { party, name, suspended, accounts, reopen: false, erasures: 0, keep }
}
