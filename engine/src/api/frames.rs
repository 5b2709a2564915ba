//! What makes a frame acceptable as a whole: its vouchers and the entries of its bundles, in the
//! bytes that the pipeline takes.

use super::status::invalid;
use crate::limits::{FRAME_VOUCHERS_MAX, PACKED_COPIED_BYTES};
use crate::pipeline::Brought;
use crate::types::{
    Amount, AssetNumber, BUNDLE_ENTRIES_MAX, BUNDLE_HEAD_BYTES, ENTRY_BYTES, PartyId,
    SIGNATURE_BYTES, Seat, SignerKey, VOUCHER_BYTES, Voucher, put_seat, unpack_bundle,
};
use bytes::{BufMut as _, BytesMut};
use tallystick_proto::v1;
use tonic::Status;

/// A frame's vouchers in packed form: the received bytes themselves, when there is nothing else and
/// they are most of the message that they came in.
pub(super) fn brought(frame: v1::Frame) -> Result<Brought, Status> {
    let v1::Frame { frame_id, packed, vouchers, packed_bundles, bundles } = frame;
    let refused = |why: String| {
        Err(invalid(format!("frame {frame_id}{why}; nothing of the frame was taken")))
    };
    let size = VOUCHER_BYTES;
    if !packed.len().is_multiple_of(size) {
        let length = packed.len();
        return refused(format!(
            ": packed holds {length} bytes, which is not a multiple of {size}, the size of a voucher"
        ));
    }
    for bundle in &packed_bundles {
        if unpack_bundle(bundle).is_none() {
            let length = bundle.len();
            return refused(format!(
                ": a packed bundle of {length} bytes is none: it has {BUNDLE_HEAD_BYTES} and \
                 {ENTRY_BYTES} for each of 1 to {BUNDLE_ENTRIES_MAX} entries"
            ));
        }
    }
    if let Some(bundle) = bundles.iter().find(|bundle| Seat::new(0, bundle.entries.len()).is_none())
    {
        let length = bundle.entries.len();
        return refused(format!(
            ": a bundle of {length} entries is none: it has 1 to {BUNDLE_ENTRIES_MAX}"
        ));
    }
    let singles = packed.len() / size + vouchers.len();
    let entries = packed_bundles.iter().map(|of| (of.len() - BUNDLE_HEAD_BYTES) / ENTRY_BYTES);
    let entries = entries.chain(bundles.iter().map(|of| of.entries.len())).sum::<usize>();
    let count = singles + entries;
    if count > FRAME_VOUCHERS_MAX {
        return refused(format!(
            " holds {count} vouchers; the limit is {FRAME_VOUCHERS_MAX} a frame: send them in several"
        ));
    }
    if vouchers.is_empty() && entries == 0 && packed.len() > PACKED_COPIED_BYTES {
        return Ok(packed.into());
    }
    let mut all = BytesMut::with_capacity(count * size);
    all.put(packed);
    for voucher in &vouchers {
        all.put_slice(&structured(voucher).unwrap_or(MALFORMED));
    }
    for entry in packed_bundles.iter().filter_map(|bundle| unpack_bundle(bundle)).flatten() {
        all.put_slice(&entry);
    }
    for bundle in &bundles {
        match structured_bundle(bundle) {
            Some(entries) => entries.iter().for_each(|entry| all.put_slice(entry)),
            None => bundle.entries.iter().for_each(|_| all.put_slice(&MALFORMED)),
        }
    }
    Ok(Brought::new(all.freeze(), singles))
}

/// What stands for a structured voucher, or for each entry of a bundle, with a field of the wrong
/// length: reserved bytes that neither a voucher nor an entry has.
const MALFORMED: [u8; VOUCHER_BYTES] = [0xff; VOUCHER_BYTES];

fn structured(voucher: &v1::Voucher) -> Option<[u8; VOUCHER_BYTES]> {
    let signature: [u8; SIGNATURE_BYTES] = (&*voucher.signature).try_into().ok()?;
    let voucher = Voucher {
        signer: SignerKey::from_slice(&voucher.signer)?,
        payee: PartyId::from_slice(&voucher.payee)?,
        asset: AssetNumber(voucher.asset),
        lane: voucher.lane,
        expires_at: voucher.expires_at,
        cumulative: Amount(voucher.cumulative),
        signature,
    };
    Some(voucher.pack())
}

/// The entries of a bundle in the bytes of vouchers. `None` where a field has the wrong length: the
/// signature is over all of them.
fn structured_bundle(bundle: &v1::Bundle) -> Option<Vec<[u8; VOUCHER_BYTES]>> {
    let (signer, signature) = (&bundle.signer, &bundle.signature);
    let entries = bundle.entries.iter().enumerate().map(|(place, entry)| {
        let v1::Entry { payee, asset, lane, expires_at, cumulative } = entry.clone();
        let (signer, signature) = (signer.clone(), signature.clone());
        let one = v1::Voucher { signer, payee, asset, lane, expires_at, cumulative, signature };
        let mut entry = structured(&one)?;
        put_seat(&mut entry, Seat::new(place, bundle.entries.len())?);
        Some(entry)
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn packed(frame: v1::Frame) -> Result<Bytes, Status> {
        brought(frame).map(|brought| Bytes::copy_from_slice(brought.all().as_flattened()))
    }

    fn frame(packed: usize, structured: usize) -> v1::Frame {
        let vouchers = vec![v1::Voucher::default(); structured];
        v1::Frame { frame_id: 7, packed: vec![0; packed].into(), vouchers, ..v1::Frame::default() }
    }

    #[test]
    fn frames_are_bounded_and_aligned() {
        assert_eq!(packed(frame(4_096 * 160, 0)).unwrap().len(), 4_096 * 160);
        assert_eq!(packed(frame(160, 4_095)).unwrap().len(), 4_096 * 160);
        assert_eq!(packed(frame(0, 0)).unwrap().len(), 0);
        let refused = packed(frame(160, 4_096)).unwrap_err();
        assert!(refused.message().contains("the limit is 4096"), "{refused}");
        let refused = packed(frame(161, 0)).unwrap_err();
        assert!(refused.message().contains("not a multiple of 160"), "{refused}");
    }

    #[test]
    fn packed_vouchers_are_not_copied_when_they_are_most_of_their_message() {
        let frame = frame(FRAME_VOUCHERS_MAX * VOUCHER_BYTES, 0);
        let before = frame.packed.as_ptr();
        assert_eq!(brought(frame).unwrap().all().as_ptr().cast(), before);
    }

    /// One voucher with megabytes of unknown fields around it held all of them in memory until it
    /// was durable.
    #[test]
    fn a_few_vouchers_do_not_hold_the_message_that_brought_them() {
        let message = Bytes::from(vec![0; 1 << 20]);
        let frame = v1::Frame { packed: message.slice(..320), ..v1::Frame::default() };
        let taken = brought(frame).unwrap();
        assert!(message.is_unique(), "nobody holds the message any more");
        assert_eq!(taken.all().len(), 2);
    }

    #[test]
    fn a_structured_voucher_with_a_wrong_length_is_malformed() {
        let whole = v1::Voucher {
            signer: vec![1; 32].into(),
            payee: vec![2; 32].into(),
            signature: vec![3; 64].into(),
            ..v1::Voucher::default()
        };
        assert_eq!(structured(&whole).unwrap()[96..], [3; 64]);
        for bad in [
            v1::Voucher { signer: vec![1; 31].into(), ..whole.clone() },
            v1::Voucher { payee: vec![1; 33].into(), ..whole.clone() },
            v1::Voucher { signature: vec![1; 63].into(), ..whole.clone() },
        ] {
            assert_eq!(structured(&bad), None);
        }
        assert!(!crate::types::Packed(&MALFORMED).reserved_is_zero());
    }

    fn bundle(entries: usize) -> v1::Bundle {
        let entry = |n: usize| v1::Entry {
            payee: vec![2; 32].into(),
            asset: 1,
            lane: n as u64,
            expires_at: 5,
            cumulative: 9,
        };
        let (signer, signature) = (vec![1; 32].into(), vec![3; 64].into());
        v1::Bundle { signer, entries: (0..entries).map(entry).collect(), signature }
    }

    #[test]
    fn bundles_stand_behind_vouchers_in_whichever_form_they_came() {
        let mut bytes = [[1; 32].as_slice(), &[3; 64]].concat();
        for lane in 0..3u64 {
            bytes.extend_from_slice(&[2; 32]);
            bytes.extend_from_slice(&1u32.to_le_bytes());
            bytes.extend_from_slice(&lane.to_le_bytes());
            bytes.extend_from_slice(&5i64.to_le_bytes());
            bytes.extend_from_slice(&9u64.to_le_bytes());
        }
        let frame = v1::Frame {
            bundles: vec![bundle(3)],
            packed_bundles: vec![bytes.into()],
            ..frame(160, 1)
        };
        let brought = brought(frame).unwrap();
        assert_eq!((brought.singles(), brought.all().len()), (2, 8));
        assert_eq!(brought.all()[2..5], brought.all()[5..]);
        assert_eq!(brought.bundles(0..8).collect::<Vec<_>>(), [2..5, 5..8]);
        assert_eq!(brought.bundles(4..6).collect::<Vec<_>>(), [2..5, 5..8]);
    }

    #[test]
    fn bundles_have_entries_and_count_among_the_vouchers() {
        let of = |packed_bundles: Vec<Bytes>, bundles| {
            brought(v1::Frame { packed_bundles, bundles, ..v1::Frame::default() })
        };
        for length in [0, 96, 155, 96 + 65 * 60] {
            let refused = of(vec![vec![0; length].into()], Vec::new()).unwrap_err();
            let text = format!("a packed bundle of {length} bytes is none");
            assert!(refused.message().contains(&text), "{refused}");
        }
        for count in [0, 65] {
            let refused = of(Vec::new(), vec![bundle(count)]).unwrap_err();
            assert!(refused.message().contains("it has 1 to 64"), "{refused}");
        }
        let full = vec![Bytes::from(vec![0; 96 + 64 * 60]); 63];
        assert_eq!(of(full.clone(), vec![bundle(64)]).unwrap().all().len(), 4_096);
        let refused = of(full, vec![bundle(64), bundle(1)]).unwrap_err();
        assert!(refused.message().contains("holds 4097 vouchers"), "{refused}");
    }

    #[test]
    fn a_field_of_a_wrong_length_spoils_all_of_a_structured_bundle() {
        let mut bundles = vec![bundle(2); 4];
        bundles[0].signer = vec![1; 31].into();
        bundles[1].entries[1].payee = vec![1; 33].into();
        bundles[2].signature = Bytes::new();
        let brought = brought(v1::Frame { bundles, ..v1::Frame::default() }).unwrap();
        assert_eq!(brought.all()[..6], [MALFORMED; 6]);
        assert_eq!(
            brought.bundles(0..8).map(|of| (of.start, of.end)).collect::<Vec<_>>(),
            [(6, 8)]
        );
    }
}
