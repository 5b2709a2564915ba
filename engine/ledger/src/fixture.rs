//! For tests alone: a window in which somebody owes, as the sealer would close it, without the
//! vouchers.

use super::seal::{Head, Owed, close};
use super::window::{EvidenceDigest, Obligation, SealedWindow};
use crate::types::{AssetNumber, Digest, Lsn, Timestamp, WindowNumber};
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
