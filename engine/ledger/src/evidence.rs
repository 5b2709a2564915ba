//! Evidence: the newest voucher of every channel per window, or the newest entry of a bundle with
//! its branch: all that is needed to prove the obligations. Plain data, its order and its bytes;
//! holds no rule.

use super::net::Numbering;
use crate::types::{Amount, BUNDLE_PATH_MAX, Branch, Lsn, Packed, PartyId, Total, VOUCHER_BYTES};

/// Bytes of one piece of evidence, without the path of an entry.
pub const EVIDENCE_BYTES: usize = 8 + 8 + VOUCHER_BYTES;
/// Bytes of the longest piece: an entry's, with its path.
pub const EVIDENCE_BYTES_WITH_PATH: usize = EVIDENCE_BYTES + 32 * BUNDLE_PATH_MAX;

/// What one channel owes in one window, proved by the newest voucher that was credited in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Who owes: the party for which the voucher's signer signs.
    pub payer: PartyId,
    /// The channel's total when the window opened; what was owed before is not owed again.
    pub before: Amount,
    /// The record that credited the voucher.
    pub lsn: Lsn,
    /// The voucher, packed; or the entry of a bundle in the same bytes.
    pub voucher: [u8; VOUCHER_BYTES],
    /// Of an entry, and of nothing else: what shows that it is in the bundle that was signed.
    pub branch: Option<Box<Branch>>,
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

    /// Its channel among those of one payer: signer, payee and asset, then lane and expiry, as they
    /// are packed. What lies between them is of no channel: it says how the total was signed.
    #[must_use]
    pub fn channel_bytes(&self) -> (&[u8], &[u8]) {
        (&self.voucher[..68], &self.voucher[72..88])
    }

    /// What is owed by it: the rise of the channel's total. `None` for what is no rise, and so no
    /// evidence.
    #[must_use]
    pub fn owed(&self) -> Option<Total> {
        let rise = self.voucher().cumulative().rise_above(self.before)?;
        Some(Total::ZERO.plus_amount(rise))
    }

    /// Its bytes: before u64, lsn u64, voucher, and of an entry the digests of its path. The payer
    /// follows from the signer.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before.0.to_le_bytes());
        out.extend_from_slice(&self.lsn.0.to_le_bytes());
        out.extend_from_slice(&self.voucher);
        let path = self.branch.iter().flat_map(|branch| branch.path());
        path.for_each(|digest| out.extend_from_slice(&digest.0));
    }

    /// Its bytes, by themselves.
    #[must_use]
    pub fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(EVIDENCE_BYTES_WITH_PATH);
        self.encode(&mut out);
        out
    }

    /// Reads the bytes of one piece, no more and no less. `payer` is the party of the signer.
    /// `None` where they are cut.
    #[must_use]
    pub fn decode(bytes: &[u8], payer: PartyId) -> Option<Self> {
        let (head, path) = bytes.split_first_chunk::<EVIDENCE_BYTES>()?;
        let number = |at: usize| {
            u64::from_le_bytes(*head[at..].first_chunk().expect("fields lie within the piece"))
        };
        let voucher = *head[16..].first_chunk().expect("a voucher ends the head");
        let (before, lsn) = (Amount(number(0)), Lsn(number(8)));
        let branch = match (Packed(&voucher).seat(), path.as_chunks()) {
            (Some(seat), (digests, [])) => Some(Box::new(Branch::new(seat, digests)?)),
            (None, ([], [])) => None,
            (Some(_) | None, _) => return None,
        };
        Some(Self { payer, before, lsn, voucher, branch })
    }
}

/// The piece that these bytes begin with, and the rest. `None` where it is cut.
#[must_use]
pub fn piece_of(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let head = bytes.first_chunk::<EVIDENCE_BYTES>()?;
    let voucher = head.last_chunk().expect("a voucher ends the head");
    let path = Packed(voucher).seat().map_or(0, |seat| 32 * seat.path_length());
    bytes.split_at_checked(EVIDENCE_BYTES + path)
}

/// The pieces that lie one after the other in these bytes. `None` ends them where one is cut.
pub fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let piece = piece_of(bytes);
        bytes = piece.map_or(&[][..], |(_, rest)| rest);
        Some(piece.map(|(piece, _)| piece))
    })
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
        pair.sort_unstable_by(|a, b| channel(a).cmp(&channel(b)));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Seat, put_seat};
    use proptest::prelude::*;

    /// The order as it is said.
    fn slow_sort(evidence: &mut [Evidence]) {
        evidence.sort_by(|a, b| {
            a.pair().cmp(&b.pair()).then_with(|| a.channel_bytes().cmp(&b.channel_bytes()))
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
                let payer = PartyId(id(payer));
                Evidence { payer, before: Amount(0), lsn: Lsn(1), voucher, branch: None }
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
        voucher[68..72].fill(0);
        let evidence = Evidence { payer, before: Amount(20), lsn: Lsn(9), voucher, branch: None };
        assert_eq!(Evidence::decode(&evidence.encoded(), payer).unwrap(), evidence);
        assert_eq!(evidence.owed(), Some(Total(30)));
        assert_eq!(Evidence { before: Amount(50), ..evidence }.owed(), None);
    }

    /// A piece of every seat, one after the other: each is found, and is cut nowhere else.
    #[test]
    fn pieces_of_entries_say_how_long_they_are() {
        let payer = PartyId([1; 32]);
        let (mut all, mut bytes) = (Vec::new(), Vec::new());
        for (place, count) in [(0, 1), (0, 2), (4, 5), (63, 64), (2, 3)] {
            let seat = Seat::new(place, count).unwrap();
            let digests: Vec<[u8; 32]> = (0..).map(|n| [n; 32]).take(seat.path_length()).collect();
            let mut voucher = [0; VOUCHER_BYTES];
            put_seat(&mut voucher, seat);
            let branch = Branch::new(seat, &digests).map(Box::new);
            let piece = Evidence { payer, before: Amount(2), lsn: Lsn(3), voucher, branch };
            piece.encode(&mut bytes);
            all.push(piece);
            all.push(Evidence { voucher: [0; VOUCHER_BYTES], branch: None, ..all[0].clone() });
            all.last().unwrap().encode(&mut bytes);
        }
        let read = |bytes: &[u8]| -> Option<Vec<Evidence>> {
            pieces(bytes).map(|piece| Evidence::decode(piece?, payer)).collect()
        };
        assert_eq!(read(&bytes).unwrap(), all);
        let ends: Vec<usize> = all
            .iter()
            .scan(0, |end, piece| {
                *end += piece.encoded().len();
                Some(*end)
            })
            .collect();
        for length in 1..bytes.len() {
            assert_eq!(read(&bytes[..length]).is_some(), ends.contains(&length), "{length}");
        }
        let whole = &all[6].encoded();
        assert_eq!(Evidence::decode(&[&whole[..], &[0; 32]].concat(), payer), None);
        assert_eq!(Evidence::decode(&whole[..whole.len() - 32], payer), None);
    }
}
