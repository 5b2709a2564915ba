//! Evidence: the newest voucher of every channel per window, all that is needed to prove the
//! obligations. Plain data, its order and its bytes; holds no rule.

use super::net::Numbering;
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

/// Puts evidence into the canonical order: by pair, then by channel.
///
/// # Panics
/// When there are 2^32 pieces: channels are limited by memory.
pub fn sort(evidence: &mut [Evidence]) {
    let mut order = order(evidence);
    // The keys have served: what is left of each is where its piece is now.
    for place in 0..evidence.len() {
        let mut to = place;
        let first = evidence[place].clone();
        loop {
            let from = at(order[to]);
            order[to] = u128::try_from(to).expect("a place fits 32 bits");
            if from == place {
                evidence[to] = first;
                break;
            }
            if from == to {
                break;
            }
            evidence[to] = evidence[from].clone();
            to = from;
        }
    }
}

/// Where a key's piece is.
fn at(key: u128) -> usize {
    usize::try_from(key & u128::from(u32::MAX)).expect("a place fits 32 bits")
}

/// The canonical order, as keys of which each ends with the place of its piece. Parties are
/// numbered in the order of their ids, so that what is sorted is one number a piece: asset, payer,
/// payee, place.
fn order(evidence: &[Evidence]) -> Vec<u128> {
    let key = |[asset, payer, payee, place]: [u32; 4]| {
        let half = |high, low| u128::from(high) << 32 | u128::from(low);
        half(asset, payer) << 64 | half(payee, place)
    };
    let mut numbering = Numbering::default();
    let numbered = |(place, piece): (usize, &Evidence)| {
        let (asset, payer, payee) = piece.pair();
        let place = u32::try_from(place).expect("channels are limited by memory");
        key([asset, numbering.number(payer), numbering.number(payee), place])
    };
    let mut keys: Vec<u128> = evidence.iter().enumerate().map(numbered).collect();
    let (_, ranks) = numbering.ranked();
    let word = |key: u128, shift: u32| {
        u32::try_from(key >> shift & u128::from(u32::MAX)).expect("it is one word")
    };
    for one in &mut keys {
        let [payer, payee] = [64, 32].map(|shift| ranks[word(*one, shift) as usize]);
        *one = key([word(*one, 96), payer, payee, word(*one, 0)]);
    }
    keys.sort_unstable();
    for pair in keys.chunk_by_mut(|a, b| a >> 32 == b >> 32).filter(|pair| pair.len() > 1) {
        let channel = |key: &u128| evidence[at(*key)].channel_bytes();
        pair.sort_unstable_by(|a, b| channel(a).cmp(channel(b)));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The order as it is said.
    fn slow_sort(evidence: &mut [Evidence]) {
        evidence.sort_by(|a, b| {
            a.pair().cmp(&b.pair()).then_with(|| a.channel_bytes().cmp(b.channel_bytes()))
        });
    }

    /// Ids that differ in their first byte, in their last one, or in both.
    fn id(n: u8) -> [u8; 32] {
        let mut id = [0; 32];
        (id[0], id[31]) = (n / 3, n % 3);
        id
    }

    proptest! {
        #[test]
        fn evidence_is_in_the_order_of_pairs_and_channels(
            pieces in proptest::collection::vec((0u32..3, 0u8..9, 0u8..9, any::<u8>()), 0..200),
        ) {
            let mut taken = std::collections::BTreeSet::new();
            let piece = |(asset, payer, payee, lane): (u32, u8, u8, u8)| {
                let mut voucher = [0; VOUCHER_BYTES];
                voucher[0] = payer;
                voucher[32..64].copy_from_slice(&id(payee));
                voucher[64..68].copy_from_slice(&asset.to_le_bytes());
                voucher[72] = lane;
                Evidence { payer: PartyId(id(payer)), before: Amount(0), lsn: Lsn(1), voucher }
            };
            let pieces = pieces.into_iter().map(piece);
            // A channel has one piece of evidence.
            let mut fast: Vec<Evidence> =
                pieces.filter(|piece| taken.insert((piece.payer, piece.voucher))).collect();
            let mut slow = fast.clone();
            sort(&mut fast);
            slow_sort(&mut slow);
            prop_assert_eq!(fast, slow);
        }
    }

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
