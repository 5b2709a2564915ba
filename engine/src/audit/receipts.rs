//! Receipts against the evidence: what the engine once said it credited must be in the window in
//! which it did. What is left out of an export is seen by nothing else.

use super::difference::{AuditError, Difference};
use super::events::Audit;
use super::windows::Cut;
use crate::proof::Receipt;
use crate::types::{ChannelHasher, NetworkId, Packed, SignerKey, WindowNumber};

/// Checks the receipts of a window whose evidence was just audited.
pub(super) fn check_window(
    audit: &mut Audit<'_>,
    window: WindowNumber,
    cut: &Cut,
) -> Result<(), Difference> {
    let records = cut.first_lsn.0..cut.cut_lsn.0;
    let hasher = audit.hasher.as_ref().expect("the first record is genesis");
    let receipts = audit.settings.receipts.iter();
    for receipt in receipts.filter(|receipt| records.contains(&receipt.lsn)) {
        let channel = hasher.channel(Packed(&receipt.voucher.0));
        let found = audit.totals.total(channel).filter(|(_, of)| *of == window);
        let cumulative = Packed(&receipt.voucher.0).cumulative();
        if found.is_some_and(|(total, _)| total >= cumulative) {
            audit.counts.receipts += 1;
            continue;
        }
        let expected = format!("evidence of at least {cumulative}, credited by {}", receipt.lsn);
        let found =
            found.map_or("none: it was left out".to_owned(), |(total, _)| total.to_string());
        let difference = Difference::new("a voucher with a receipt", expected, found);
        return Err(difference.window(window).channel(channel));
    }
    Ok(())
}

/// Checks, after the last event, whose receipts they are; gives how many were of windows whose
/// evidence is not there.
pub(super) fn check_rest(audit: &Audit<'_>) -> Result<u64, AuditError> {
    let receipts = audit.settings.receipts;
    let Some(hasher) = audit.hasher.as_ref() else { return Ok(0) };
    receipts.iter().try_for_each(|receipt| check_owner(audit, hasher, receipt))?;
    let all = u64::try_from(receipts.len()).expect("a length fits 64 bits");
    Ok(all.saturating_sub(audit.counts.receipts))
}

fn check_owner(
    audit: &Audit<'_>,
    hasher: &ChannelHasher,
    receipt: &Receipt,
) -> Result<(), Difference> {
    let (network, key) = (NetworkId(receipt.network_id.0), SignerKey(receipt.engine_key.0));
    if network != hasher.network() {
        return Err(Difference::new("the network of a receipt", hasher.network(), network));
    }
    if audit.had_key(key) {
        return Ok(());
    }
    let channel = hasher.channel(Packed(&receipt.voucher.0));
    let expected = "a key that the engine had in this history";
    Err(Difference::new("the key that signed a receipt", expected, key).channel(channel))
}
