//! Receipts: the engine's signed word that vouchers are credited. Those that are made at once have
//! one signature, over the root of a tree in which each is a leaf: a signature costs as much as
//! everything else of a payment.

use crate::pipeline::{self, NotDone};
use crate::proof::{Hex, RECEIPT_FORMAT, Receipt, write_path};
use crate::settle::Engine;
use crate::types::{Lsn, PathTree, VOUCHER_BYTES, receipt_leaf, receipts_statement};

/// A receipt for each of these vouchers, credited by these records and durable, in their order.
/// `None` while the engine's key changes.
///
/// # Errors
/// `NotDone` when the engine stops.
pub(super) async fn sign(
    engine: &Engine,
    credited: &[([u8; VOUCHER_BYTES], Lsn)],
) -> Result<Option<Vec<Receipt>>, NotDone> {
    let (network, at) = (engine.network(), pipeline::now());
    let mut tree = PathTree::default();
    credited.iter().for_each(|(voucher, lsn)| tree.push(&receipt_leaf(voucher, *lsn, at), true));
    let (root, paths) = tree.finish();
    let key = engine.ask(|control| Ok(control.engine_key())).await?;
    let signed = key.and_then(|key| engine.key().sign_as(key, &receipts_statement(network, root)));
    let Some(signed) = signed else { return Ok(None) };
    let receipts = credited.iter().zip(&paths).map(|((voucher, lsn), path)| Receipt {
        format: RECEIPT_FORMAT.into(),
        network_id: Hex(network.0),
        engine_key: Hex(signed.key.0),
        voucher: Hex(*voucher),
        lsn: lsn.0,
        at_us: at.0,
        path: Some(write_path(path)),
        signature: Hex(signed.signature),
    });
    Ok(Some(receipts.collect()))
}
