//! Receipts: the engine's signed word that vouchers are credited. Those that are made at once have
//! one signature, over the root of a tree in which each is a leaf: a signature costs as much as
//! everything else of a payment.

use crate::pipeline::{self, NotDone};
use crate::proof::{Hex, RECEIPT_FORMAT, RECEIPT_FORMAT_3, Receipt, write_path};
use crate::settle::Engine;
use crate::types::{Branch, Lsn, PathTree, VOUCHER_BYTES, receipt_leaf, receipts_statement};

/// What a receipt is for.
pub(super) struct Credited {
    /// The voucher, or an entry of a bundle in the same bytes.
    pub voucher: [u8; VOUCHER_BYTES],
    /// Of an entry, and of nothing else.
    pub branch: Option<Box<Branch>>,
    /// The record that credited it.
    pub lsn: Lsn,
}

/// A receipt for each of these vouchers, credited by these records and durable, in their order.
/// `None` while the engine's key changes.
///
/// # Errors
/// `NotDone` when the engine stops.
pub(super) async fn sign(
    engine: &Engine,
    credited: &[Credited],
) -> Result<Option<Vec<Receipt>>, NotDone> {
    let (network, at) = (engine.network(), pipeline::now());
    let mut tree = PathTree::default();
    for Credited { voucher, lsn, .. } in credited {
        tree.push(&receipt_leaf(voucher, *lsn, at), true);
    }
    let (root, paths) = tree.finish();
    let key = engine.ask(|control| Ok(control.engine_key())).await?;
    let signed = key.and_then(|key| engine.key().sign_as(key, &receipts_statement(network, root)));
    let Some(signed) = signed else { return Ok(None) };
    let receipts =
        credited.iter().zip(&paths).map(|(Credited { voucher, branch, lsn }, path)| Receipt {
            format: if branch.is_some() { RECEIPT_FORMAT_3 } else { RECEIPT_FORMAT }.into(),
            network_id: Hex(network.0),
            engine_key: Hex(signed.key.0),
            voucher: Hex(*voucher),
            bundle_path: branch
                .as_ref()
                .map(|of| of.path().iter().map(|digest| Hex(digest.0)).collect()),
            lsn: lsn.0,
            at_us: at.0,
            path: Some(write_path(path)),
            signature: Hex(signed.signature),
        });
    Ok(Some(receipts.collect()))
}
