use super::*;
use crate::types::{ChannelHasher, MerkleTree};
use proptest::prelude::*;
use serde_json::Value;

fn hex(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../../tests/vectors/bundles.json")).unwrap()
}

/// The vectors come from an independent program (Python: blake3, cryptography).
#[test]
fn every_bundle_vector_is_reproduced() {
    let file = vectors();
    for (name, context) in
        [("leaf", LEAF_CONTEXT), ("node", NODE_CONTEXT), ("bundle", BUNDLE_CONTEXT)]
    {
        assert_eq!(file["contexts"][name], context);
    }
    let network = NetworkId::from_slice(&hex(&file["network_id"])).unwrap();
    let (channels, hasher) = (ChannelHasher::new(network), BundleHasher::new(network));
    let cases = file["bundles"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let packed = hex(&case["packed"]);
        let entries: Vec<_> = unpack_bundle(&packed).unwrap().collect();
        let shown = case["entries"].as_array().unwrap();
        assert_eq!(entries.len(), shown.len());
        let mut again = Vec::new();
        pack_bundle(&entries, &mut again);
        assert_eq!(again, packed);
        let of = |entry: &[u8; VOUCHER_BYTES]| {
            (channels.channel(Packed(entry)), Packed(entry).cumulative())
        };
        let tree = hasher.tree(entries.iter().map(of));
        assert_eq!(tree.root().0.to_vec(), hex(&case["root"]));
        let message = hasher.message(Packed(&entries[0]).signer(), &tree);
        assert_eq!(message.bytes(), hex(&case["message"]));
        for (place, (entry, shown)) in entries.iter().zip(shown).enumerate() {
            let voucher = Packed(entry);
            assert_eq!(voucher.signer().0.to_vec(), hex(&case["signer"]));
            assert_eq!(voucher.signature().to_vec(), hex(&case["signature"]));
            assert_eq!(voucher.payee().0.to_vec(), hex(&shown["payee"]));
            assert_eq!(u64::from(voucher.asset().0), shown["asset"].as_u64().unwrap());
            assert_eq!(voucher.lane().to_string(), shown["lane"]);
            assert_eq!(voucher.expires_at().to_string(), shown["expires_at"]);
            assert_eq!(voucher.cumulative().0.to_string(), shown["cumulative"]);
            let channel = channels.channel(voucher);
            assert_eq!(channel.0.to_vec(), hex(&shown["channel_id"]));
            let branch = tree.branch(voucher.seat().unwrap());
            assert_eq!((branch.seat().place(), branch.seat().count()), (place, shown_len(case)));
            let path: Vec<_> = branch.path().iter().map(|digest| digest.0.to_vec()).collect();
            let wanted: Vec<_> = shown["path"].as_array().unwrap().iter().map(hex).collect();
            assert_eq!(path, wanted);
            assert_eq!(hasher.signed(voucher, channel, Some(&branch)), Some(message));
        }
    }
}

fn shown_len(case: &Value) -> usize {
    case["entries"].as_array().unwrap().len()
}

/// What a bundle of so many entries is, in a network where channels are numbers.
fn bundle(hasher: &BundleHasher, count: usize) -> (Vec<[u8; VOUCHER_BYTES]>, BundleTree) {
    let entry = |place: usize| {
        let mut voucher = [7; VOUCHER_BYTES];
        voucher[68..72].fill(0);
        voucher[88..96].copy_from_slice(&(10 + place as u64).to_le_bytes());
        put_seat(&mut voucher, Seat::new(place, count).unwrap());
        voucher
    };
    let entries: Vec<_> = (0..count).map(entry).collect();
    let tree = hasher.tree(
        entries
            .iter()
            .enumerate()
            .map(|(place, entry)| (channel(place), Packed(entry).cumulative())),
    );
    (entries, tree)
}

fn channel(place: usize) -> ChannelId {
    ChannelId([u8::try_from(place).unwrap(); 32])
}

#[test]
fn every_entry_of_every_size_is_shown_by_its_branch_and_by_no_other() {
    let hasher = BundleHasher::new(NetworkId([1; 32]));
    for count in 1..=BUNDLE_ENTRIES_MAX {
        let (entries, tree) = bundle(&hasher, count);
        let message = hasher.message(SignerKey([7; 32]), &tree);
        for (place, entry) in entries.iter().enumerate() {
            let voucher = Packed(entry);
            let branch = tree.branch(voucher.seat().unwrap());
            let signed = |bytes: &[u8; VOUCHER_BYTES], channel, branch: Option<&Branch>| {
                hasher.signed(Packed(bytes), channel, branch)
            };
            assert_eq!(signed(entry, channel(place), Some(&branch)), Some(message));
            assert_eq!(signed(entry, channel(place), None), None);
            assert_ne!(signed(entry, channel(place + 1), Some(&branch)), Some(message));
            for at in [0, 88] {
                let mut other = *entry;
                other[at] ^= 1;
                assert_ne!(signed(&other, channel(place), Some(&branch)), Some(message));
            }
            // The same bytes under another seat are of another bundle, or of none.
            let digests: Vec<[u8; 32]> = branch.path().iter().map(|digest| digest.0).collect();
            for (at, of) in (0..=count).flat_map(|at| [(at, count), (at, count + 1)]) {
                let seat = Seat::new(at, of).filter(|seat| *seat != branch.seat());
                let moved = seat.and_then(|seat| Some((seat, Branch::new(seat, &digests)?)));
                if let Some((seat, moved)) = moved {
                    let mut other = *entry;
                    put_seat(&mut other, seat);
                    assert_ne!(signed(&other, channel(place), Some(&moved)), Some(message));
                }
            }
        }
    }
}

/// Of a network, a signer, a number of entries and an order there is one message.
#[test]
fn what_is_signed_covers_network_signer_count_and_order() {
    let hasher = BundleHasher::new(NetworkId([1; 32]));
    let leaves = [(channel(1), Amount(5)), (channel(2), Amount(6)), (channel(2), Amount(6))];
    let signer = SignerKey([7; 32]);
    let of = |leaves: &[(ChannelId, Amount)]| {
        hasher.message(signer, &hasher.tree(leaves.iter().copied()))
    };
    let mut all =
        vec![of(&leaves), of(&leaves[..2]), of(&leaves[1..]), of(&[leaves[1], leaves[0]])];
    all.push(of(&[leaves[0]]));
    all.push(of(&[(channel(1), Amount(6)), (channel(2), Amount(5))]));
    let tree = hasher.tree(leaves.iter().copied());
    all.push(hasher.message(SignerKey([8; 32]), &tree));
    all.push(BundleHasher::new(NetworkId([2; 32])).message(signer, &tree));
    for (place, one) in all.iter().enumerate() {
        assert!(!all[..place].contains(one), "number {place}");
        assert_eq!(one.bytes()[..2], [0x56, 0x02]);
    }
}

#[test]
fn the_shape_is_that_of_the_windows_trees_under_contexts_of_its_own() {
    let hasher = BundleHasher::new(NetworkId([1; 32]));
    let mut roots = Vec::new();
    for count in 1..=BUNDLE_ENTRIES_MAX {
        let tree = bundle(&hasher, count).1;
        let mut other = MerkleTree::default();
        tree.nodes[..count].iter().for_each(|leaf| other.push(&leaf.0));
        assert_ne!(tree.root(), other.root());
        assert!(!roots.contains(&tree.root()));
        roots.push(tree.root());
    }
}

#[test]
fn a_length_of_no_bundle_is_refused() {
    for length in [0, 95, 96, 97, 155, 157, 96 + 60 * 65] {
        assert!(unpack_bundle(&vec![0; length]).is_none(), "{length} bytes");
    }
    for count in [1, 2, 64] {
        assert_eq!(unpack_bundle(&vec![0; 96 + 60 * count]).unwrap().len(), count);
    }
}

proptest! {
    /// Of any sizes beside each other, odd ones and single entries among them.
    #[test]
    fn trees_that_are_made_together_are_those_that_are_made_alone(
        sizes in prop::collection::vec(1usize..=BUNDLE_ENTRIES_MAX, 0..9),
        first in any::<u64>(),
    ) {
        let hasher = BundleHasher::new(NetworkId([5; 32]));
        let entry = |n: usize| {
            let number = first.wrapping_add(n.try_into().unwrap());
            (ChannelId(*blake3::hash(&number.to_le_bytes()).as_bytes()), Amount(number))
        };
        let entries: Vec<_> = (0..sizes.iter().sum()).map(entry).collect();
        let mut end = 0;
        let bundles: Vec<_> = sizes
            .iter()
            .map(|size| {
                end += size;
                end - size..end
            })
            .collect();
        let alone = |bundle: &Range<usize>| hasher.tree(entries[bundle.clone()].iter().copied());
        let alone: Vec<BundleTree> = bundles.iter().map(alone).collect();
        prop_assert_eq!(hasher.trees(&entries, bundles.into_iter()), alone);
    }

    /// Whatever the reserved bytes are: a voucher, a seat that there is, or nothing.
    #[test]
    fn reserved_bytes_are_a_voucher_an_entry_or_nothing(reserved in any::<[u8; 4]>()) {
        let mut voucher = [7; VOUCHER_BYTES];
        voucher[68..72].copy_from_slice(&reserved);
        let [place, count, ..] = reserved;
        match Packed(&voucher).form() {
            Form::Voucher => prop_assert_eq!(reserved, [0; 4]),
            Form::Entry(seat) => {
                prop_assert_eq!((seat.place(), seat.count()), (place.into(), count.into()));
                prop_assert!(place < count && count <= 64 && reserved[2..] == [0, 0]);
            }
            Form::Unknown => {
                let is_seat = place < count && count <= 64 && reserved[2..] == [0, 0];
                prop_assert!(!is_seat && reserved != [0; 4]);
            }
        }
    }
}
