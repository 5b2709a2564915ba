//! The body of a frame with bundles: how many vouchers come first (u32), they, then each bundle:
//! how many entries it has (u8), and its packed form. Read back, an entry lies in the bytes of a
//! voucher, with its seat.

use super::super::record::{BUNDLES, Chain, Framed};
use tallystick_ledger::types::{
    BUNDLE_HEAD_BYTES, ENTRY_BYTES, Form, Packed, Timestamp, VOUCHER_BYTES, pack_bundle,
    unpack_bundle,
};

type Voucher = [u8; VOUCHER_BYTES];

impl Chain {
    /// Frames the record of packed vouchers, given in parts, and of bundles behind them, of which
    /// all entries are given, in order.
    #[must_use]
    pub fn frame_bundles(
        &mut self,
        epoch: u32,
        at: Timestamp,
        vouchers: &[&[u8]],
        bundles: &[&[Voucher]],
    ) -> Framed {
        let bytes: usize = vouchers.iter().map(|part| part.len()).sum();
        assert!(bytes.is_multiple_of(VOUCHER_BYTES) && !bundles.is_empty(), "vouchers and bundles");
        let entries: usize = bundles.iter().map(|bundle| bundle.len()).sum();
        let mut packed =
            Vec::with_capacity(bundles.len() * (1 + BUNDLE_HEAD_BYTES) + entries * ENTRY_BYTES);
        for bundle in bundles {
            packed.push(u8::try_from(bundle.len()).expect("a bundle is bounded"));
            pack_bundle(bundle, &mut packed);
        }
        let length = |count: usize| u32::try_from(count).expect("a frame is bounded");
        let singles = length(bytes / VOUCHER_BYTES);
        let first = singles.to_le_bytes();
        let mut parts = vec![&first[..]];
        parts.extend_from_slice(vouchers);
        parts.push(&packed);
        self.frame(epoch, at, BUNDLES, singles + length(entries), &parts)
    }
}

/// Whether each has a signature of its own: an entry of a bundle among them would stand without
/// its bundle, or be taken for one that its own signer never signed.
pub(super) fn are_vouchers(all: &[Voucher]) -> bool {
    all.iter().all(|voucher| Packed(voucher).form() == Form::Voucher)
}

/// Reads such a body; `None` where it is none of so many vouchers and entries.
pub(super) fn read(body: &[u8], count: u32) -> Option<Vec<Voucher>> {
    let (singles, rest) = body.split_first_chunk::<4>()?;
    let singles = u32::from_le_bytes(*singles) as usize;
    let (vouchers, mut rest) = rest.split_at_checked(singles.checked_mul(VOUCHER_BYTES)?)?;
    let mut all = vouchers.as_chunks::<VOUCHER_BYTES>().0.to_vec();
    if !are_vouchers(&all) {
        return None;
    }
    while let Some((entries, more)) = rest.split_first() {
        let length = BUNDLE_HEAD_BYTES + usize::from(*entries) * ENTRY_BYTES;
        let (bundle, more) = more.split_at_checked(length)?;
        all.extend(unpack_bundle(bundle)?);
        rest = more;
    }
    (all.len() == count as usize).then_some(all)
}
