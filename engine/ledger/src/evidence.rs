//! Evidence: the newest voucher of every channel per window, all that is needed to prove the
//! obligations. Plain data, its order and its bytes; holds no rule.

use crate::types::{Amount, Lsn, Packed, PartyId, Total, VOUCHER_BYTES};

/// Bytes of one piece of evidence.
pub const EVIDENCE_BYTES: usize = 8 + 8 + VOUCHER_BYTES;

/// What one channel owes in one window, proved by the newest voucher that was credited in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Who owes: the party for which the voucher's signer signs.
    pub payer: PartyId,
    /// The channel's total when the window opened; what was owed before is not owed again.
    pub before: Amount,
    /// The record that credited the voucher.
    pub lsn: Lsn,
    /// The voucher, packed.
    pub voucher: [u8; VOUCHER_BYTES],
}

/// Which pair evidence belongs to, in the order of the ledger: asset, payer, payee.
pub type PairKey = (u32, PartyId, PartyId);

impl Evidence {
    /// The voucher.
    #[must_use]
    pub fn voucher(&self) -> Packed<'_> {
        Packed(&self.voucher)
    }

    /// Its pair.
    #[must_use]
    pub fn pair(&self) -> PairKey {
        (self.voucher().asset().0, self.payer, self.voucher().payee())
    }

    /// Its channel among those of one payer: signer, payee, asset, lane and expiry as they are
    /// packed.
    #[must_use]
    pub fn channel_bytes(&self) -> &[u8] {
        &self.voucher[..88]
    }

    /// What is owed by it: the rise of the channel's total. `None` for what is no rise, and so no
    /// evidence.
    #[must_use]
    pub fn owed(&self) -> Option<Total> {
        let rise = self.voucher().cumulative().rise_above(self.before)?;
        Some(Total::ZERO.plus_amount(rise))
    }

    /// Its bytes: before u64, lsn u64, voucher. The payer follows from the signer.
    #[must_use]
    pub fn encode(&self) -> [u8; EVIDENCE_BYTES] {
        let mut bytes = [0; EVIDENCE_BYTES];
        bytes[..8].copy_from_slice(&self.before.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.lsn.0.to_le_bytes());
        bytes[16..].copy_from_slice(&self.voucher);
        bytes
    }

    /// Reads its bytes. `payer` is the party of the voucher's signer.
    #[must_use]
    pub fn decode(bytes: &[u8; EVIDENCE_BYTES], payer: PartyId) -> Self {
        let number = |at: usize| {
            u64::from_le_bytes(*bytes[at..].first_chunk().expect("fields lie within the entry"))
        };
        let voucher = *bytes[16..].first_chunk().expect("a voucher ends the entry");
        Self { payer, before: Amount(number(0)), lsn: Lsn(number(8)), voucher }
    }
}

/// The canonical order: by pair, then by channel.
pub fn sort(evidence: &mut [Evidence]) {
    evidence.sort_unstable_by(|a, b| {
        a.pair().cmp(&b.pair()).then_with(|| a.channel_bytes().cmp(b.channel_bytes()))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_read_back_and_owes_the_rise() {
        let mut voucher = [7; VOUCHER_BYTES];
        voucher[88..96].copy_from_slice(&50u64.to_le_bytes());
        let payer = PartyId([1; 32]);
        let evidence = Evidence { payer, before: Amount(20), lsn: Lsn(9), voucher };
        assert_eq!(Evidence::decode(&evidence.encode(), payer), evidence);
        assert_eq!(evidence.owed(), Some(Total(30)));
        assert_eq!(Evidence { before: Amount(50), ..evidence }.owed(), None);
    }
}
