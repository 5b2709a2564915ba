//! The portable backend against the reference, on signatures of every kind, good and bad.

use super::*;
use crate::memory::Room;
use crate::table::Tier;
use crate::{Check, Key};
use curve25519_dalek::constants::{ED25519_BASEPOINT_COMPRESSED, EIGHT_TORSION};
use curve25519_dalek::{EdwardsPoint, Scalar};
use proptest::prelude::*;
use std::sync::OnceLock;

fn base() -> &'static [Entry] {
    static BASE: OnceLock<Box<[Entry]>> = OnceLock::new();
    let minus = negated(ED25519_BASEPOINT_COMPRESSED.0);
    BASE.get_or_init(|| build(&minus, Shape::BASE).expect("it is a point"))
}

/// Signs whatever it is told to, sound or not.
struct Signer {
    secret: Scalar,
    key: Key,
    tables: [Table; 3],
}

impl Signer {
    fn new(seed: u64) -> Self {
        let secret = Scalar::from(seed) * Scalar::from(0x9e37_79b9_7f4a_7c15_u64).invert();
        let key = EdwardsPoint::mul_base(&secret).compress().0;
        let table = |tier: Tier| {
            Table::new(key, tier, Room::of(&build(&key, tier.shape()).expect("it is a point")))
        };
        Self { secret, key: Key::new(key), tables: Tier::ALL.map(table) }
    }

    /// R and s = r + k a, for the R that is given.
    fn sign(&self, r: Scalar, encoded: [u8; 32], message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&encoded);
        let k = self.k(&signature, message);
        signature[32..].copy_from_slice((r + k * self.secret).as_bytes());
        signature
    }

    /// A good signature.
    fn good(&self, message: &[u8]) -> [u8; 64] {
        let r =
            Scalar::from(message.iter().fold(5_u64, |r, byte| r * 7 % 9_999 + u64::from(*byte)));
        self.sign(r, EdwardsPoint::mul_base(&r).compress().0, message)
    }

    fn k(&self, signature: &[u8; 64], message: &[u8]) -> Scalar {
        let digest = Sha512::new().chain_update(&signature[..32]).chain_update(self.key.bytes());
        Scalar::from_bytes_mod_order_wide(&digest.chain_update(message).finalize().into())
    }
}

/// What each backend says, with every tier: first ours, then the reference.
fn verdicts(cases: &[(&Signer, &[u8], [u8; 64])]) -> Vec<Verdict> {
    let check_of = |(signer, message, signature)| Check { key: signer, message, signature };
    let checks: Vec<Check<'_>> =
        cases.iter().map(|(signer, m, s)| check_of((&signer.key, *m, s))).collect();
    let expected: Vec<Verdict> = checks.iter().map(reference::check).collect();
    for tiers in [[Some(0); 2], [Some(1); 2], [Some(2); 2], [Some(0), Some(1)], [Some(2), None]] {
        let table = |i: usize| tiers[i % 2].map(|tier| &cases[i].0.tables[tier]);
        let jobs: Vec<Job<'_>> =
            checks.iter().enumerate().map(|(i, check)| Job { check, table: table(i) }).collect();
        let mut found = vec![Verdict::Bad];
        check(&jobs, base(), &mut found);
        assert_eq!(found[0], Verdict::Bad, "what was there before stays");
        assert_eq!(found[1..], expected, "{tiers:?}");
    }
    expected
}

fn count(verdicts: &[Verdict], wanted: Verdict) -> usize {
    verdicts.iter().filter(|verdict| **verdict == wanted).count()
}

#[test]
fn good_signatures_are_valid_whether_k_and_s_are_even_or_odd() {
    let signers: Vec<Signer> = (1..5).map(Signer::new).collect();
    let messages: Vec<Vec<u8>> = (0..16_u8).map(|i| vec![i; 11 * usize::from(i)]).collect();
    let mut parities = [0; 4];
    let mut cases = Vec::new();
    for signer in &signers {
        for message in &messages {
            let signature = signer.good(message);
            let k = signer.k(&signature, message);
            parities[usize::from(k.as_bytes()[0] & 1 | (signature[32] & 1) << 1)] += 1;
            cases.push((signer, &message[..], signature));
        }
    }
    assert_eq!(count(&verdicts(&cases), Verdict::Valid), cases.len());
    assert!(parities.iter().all(|cases| *cases > 0), "{parities:?}");
}

#[test]
fn every_flipped_bit_of_a_signature_is_bad() {
    let (signer, message) = (Signer::new(6), b"fifty bytes, more or less");
    let good = signer.good(message);
    let flip = |bit: usize| {
        let mut signature = good;
        signature[bit / 8] ^= 1 << (bit % 8);
        (&signer, &message[..], signature)
    };
    let cases: Vec<_> = (0..512).map(flip).collect();
    assert_eq!(count(&verdicts(&cases), Verdict::Bad), cases.len());
}

#[test]
fn a_signature_is_bad_for_another_message_or_key() {
    let (one, other) = (Signer::new(7), Signer::new(8));
    let good = one.good(b"message");
    let cases = [(&one, &b"massage"[..], good), (&one, b"", good), (&other, b"message", good)];
    assert_eq!(count(&verdicts(&cases), Verdict::Bad), cases.len());
}

/// s plus a small multiple of L, if that fits 256 bits.
fn plus_l(mut signature: [u8; 64], times: u16) -> [u8; 64] {
    for _ in 0..times {
        let mut carry = 1;
        let minus_one = (-Scalar::ONE).to_bytes();
        for (byte, order) in signature[32..].iter_mut().zip(minus_one) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            [*byte, _] = sum.to_le_bytes();
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
    }
    signature
}

#[test]
fn a_second_form_of_s_is_bad() {
    let (signer, message) = (Signer::new(9), b"malleable");
    let good = signer.good(message);
    let cases: Vec<_> = (0..15).map(|times| (&signer, &message[..], plus_l(good, times))).collect();
    let verdicts = verdicts(&cases);
    assert_eq!(verdicts[0], Verdict::Valid);
    assert_eq!(count(&verdicts, Verdict::Bad), cases.len() - 1);
}

#[test]
fn an_r_of_small_order_is_bad_even_where_the_equation_holds() {
    let signer = Signer::new(10);
    let mut cases = Vec::new();
    for (i, torsion) in EIGHT_TORSION.iter().enumerate() {
        for message in [&b"a"[..], b"b", b"c", b"d"] {
            // s B - k A is the identity, whatever k is.
            cases.push((
                &signer,
                message,
                signer.sign(Scalar::ZERO, torsion.compress().0, message),
            ));
        }
        assert!(SMALL_ORDER.contains(&words(&EIGHT_TORSION[i].compress().0)));
    }
    assert_eq!(count(&verdicts(&cases), Verdict::Bad), cases.len());
}

#[test]
fn an_r_with_torsion_is_bad() {
    let (signer, message) = (Signer::new(11), b"cofactor");
    let r = Scalar::from(0x1234_u64);
    let with = |torsion: &EdwardsPoint| {
        let encoded = (EdwardsPoint::mul_base(&r) + torsion).compress().0;
        (&signer, &message[..], signer.sign(r, encoded, message))
    };
    let cases: Vec<_> = EIGHT_TORSION.iter().map(with).collect();
    let verdicts = verdicts(&cases);
    assert_eq!(verdicts[0], Verdict::Valid, "the first is the identity");
    assert_eq!(count(&verdicts, Verdict::Bad), 7);
}

#[test]
fn an_r_that_is_no_canonical_point_is_bad() {
    let (signer, message) = (Signer::new(12), b"encoding");
    let mut cases = Vec::new();
    for low in 0..=255 {
        for high in [0x7f, 0xff] {
            let mut encoded = [0xff; 32];
            (encoded[0], encoded[31]) = (low, high);
            cases.push((&signer, &message[..], signer.sign(Scalar::ZERO, encoded, message)));
        }
    }
    assert_eq!(count(&verdicts(&cases), Verdict::Bad), cases.len());
}

#[test]
fn extreme_scalars_are_as_good_as_any() {
    let (signer, message) = (Signer::new(13), b"extremes");
    let mut cases = Vec::new();
    for s in [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, -Scalar::from(2_u8)] {
        let mut signature = [0x42; 64];
        signature[32..].copy_from_slice(s.as_bytes());
        cases.push((&signer, &message[..], signature));
    }
    for r in [Scalar::ONE, -Scalar::ONE, Scalar::from(8_u8), Scalar::from(8_u8).invert()] {
        let encoded = EdwardsPoint::mul_base(&r).compress().0;
        cases.push((&signer, &message[..], signer.sign(r, encoded, message)));
    }
    assert_eq!(count(&verdicts(&cases), Verdict::Valid), 4);
}

#[test]
fn a_verdict_does_not_depend_on_the_neighbours() {
    let signers: Vec<Signer> = (20..24).map(Signer::new).collect();
    let case = |i: usize, good: bool| {
        let signer = &signers[i % signers.len()];
        let signature = signer.good(b"neighbours");
        let bads = [
            plus_l(signature, 1),
            signer.sign(Scalar::ZERO, EIGHT_TORSION[0].compress().0, b"neighbours"),
            signer.good(b"another message"),
        ];
        (signer, &b"neighbours"[..], if good { signature } else { bads[i % bads.len()] })
    };
    let sizes = [0, 1, 2, 3, 7, 8, 9, 17];
    for size in sizes {
        for odd_one in 0..size {
            for good in [false, true] {
                let cases: Vec<_> = (0..size).map(|i| case(i, (i == odd_one) == good)).collect();
                let expected = if good { 1 } else { size - 1 };
                assert_eq!(count(&verdicts(&cases), Verdict::Valid), expected);
            }
        }
    }
    assert!(verdicts(&[]).is_empty());
}

#[test]
fn a_damaged_table_harms_nobody_but_its_own_key() {
    let signer = Signer::new(30);
    let signature = signer.good(b"failing memory");
    let check_of = Check { key: &signer.key, message: b"failing memory", signature: &signature };
    for tier in Tier::ALL {
        let intact = &signer.tables[tier as usize];
        let nothing = vec![Entry::ZERO; tier.shape().entries()];
        for damaged in [intact.damaged(), Table::new(*signer.key.bytes(), tier, Room::of(&nothing))]
        {
            let jobs = [intact, &damaged, intact].map(|t| Job { check: &check_of, table: Some(t) });
            let mut found = Vec::new();
            check(&jobs, base(), &mut found);
            assert_eq!(found, [Verdict::Valid, Verdict::Bad, Verdict::Valid]);
        }
    }
}

proptest! {
    #[test]
    fn any_signature_and_any_change_of_it_is_judged_as_by_the_reference(
        seed in 1_u64..,
        message in proptest::collection::vec(any::<u8>(), 0..300),
        flips in proptest::collection::vec(0_usize..512, 0..3),
        noise: [[u8; 32]; 2],
    ) {
        let signer = Signer::new(seed);
        let mut changed = signer.good(&message);
        flips.iter().for_each(|bit| changed[bit / 8] ^= 1 << (bit % 8));
        let mut random = [0; 64];
        random[..32].copy_from_slice(&noise[0]);
        random[32..].copy_from_slice(Scalar::from_bytes_mod_order(noise[1]).as_bytes());
        let cases = [(&signer, &message[..], changed), (&signer, &message[..], random)];
        verdicts(&cases);
    }
}
