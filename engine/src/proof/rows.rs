//! The rows of a sealed window as they are kept and exported: fixed length, little endian.

use crate::ledger::{EvidenceDigest, Obligation};
use crate::types::{Digest, PartyId, Total};

/// Bytes of an obligation: payer, payee, amount u128, pieces of evidence u32, digest of the
/// evidence.
pub const OBLIGATION_BYTES: usize = 32 + 32 + 16 + 4 + 32;
/// Bytes of a carry: payer, payee, amount u128.
pub const CARRIED_BYTES: usize = 32 + 32 + 16;

/// An obligation's row.
#[must_use]
pub fn obligation_row(o: &Obligation, evidence: &EvidenceDigest) -> [u8; OBLIGATION_BYTES] {
    let mut row = [0; OBLIGATION_BYTES];
    row[..CARRIED_BYTES].copy_from_slice(&carried_row(o));
    row[80..84].copy_from_slice(&evidence.count.to_le_bytes());
    row[84..].copy_from_slice(&evidence.digest.0);
    row
}

/// A carry's row.
#[must_use]
pub fn carried_row(o: &Obligation) -> [u8; CARRIED_BYTES] {
    let mut row = [0; CARRIED_BYTES];
    row[..32].copy_from_slice(&o.payer.0);
    row[32..64].copy_from_slice(&o.payee.0);
    row[64..].copy_from_slice(&o.amount.0.to_le_bytes());
    row
}

/// Reads an obligation's row.
#[must_use]
pub fn read_obligation(row: &[u8; OBLIGATION_BYTES]) -> (Obligation, EvidenceDigest) {
    let owed = read_carried(row.first_chunk().expect("it is the longer row"));
    let count = u32::from_le_bytes(at(row, 80));
    (owed, EvidenceDigest { count, digest: Digest(at(row, 84)) })
}

/// Reads a carry's row.
#[must_use]
pub fn read_carried(row: &[u8; CARRIED_BYTES]) -> Obligation {
    Obligation {
        payer: PartyId(at(row, 0)),
        payee: PartyId(at(row, 32)),
        amount: Total(u128::from_le_bytes(at(row, 64))),
    }
}

fn at<const N: usize>(row: &[u8], offset: usize) -> [u8; N] {
    *row[offset..].first_chunk().expect("fields lie within the row")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_back() {
        let (payer, payee) = (PartyId([1; 32]), PartyId([2; 32]));
        let owed = Obligation { payer, payee, amount: Total(1 << 100) };
        let evidence = EvidenceDigest { count: 7, digest: Digest([3; 32]) };
        assert_eq!(read_obligation(&obligation_row(&owed, &evidence)), (owed, evidence));
        assert_eq!(read_carried(&carried_row(&owed)), owed);
    }
}
