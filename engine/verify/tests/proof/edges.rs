//! Numbers and points on which carries, comparisons and special cases of formulas turn, and
//! messages of every length.

use crate::common::bank::{Bank, agree};
use crate::common::forge::{Case, Signer, challenge, edges, extreme_scalars};
use curve25519_dalek::{EdwardsPoint, Scalar};
use tallystick_verify::check_key;

#[test]
fn keys_and_nonces_that_make_points_meet_are_no_exception() {
    let scalars = extreme_scalars();
    let signers: Vec<Signer> = scalars.iter().map(|scalar| Signer::from_scalar(*scalar)).collect();
    assert!(signers.iter().all(|signer| check_key(signer.key) == Ok(())));
    let samples: Vec<Case> = signers.iter().map(|signer| signer.sign(b"extreme")).collect();
    let banks = Bank::all(&samples);
    let mut cases = samples.clone();
    for (i, signer) in signers.iter().enumerate() {
        for (j, nonce) in scalars.iter().enumerate().filter(|(j, _)| (i + j) % 3 == 0) {
            let message = [u8::try_from(i).unwrap(), u8::try_from(j).unwrap()];
            cases.push(signer.sign_with(*nonce, &message));
        }
        // R = A and R = -A: the nonce is the key.
        cases.push(signer.sign_with(signer.scalar, b"own key"));
        cases.push(signer.sign_with(-signer.scalar, b"own key"));
    }
    let all_valid = cases.len();
    for signer in &signers {
        // Nothing but the neutral element comes out, and R is something else.
        cases.push(signer.answer(
            Scalar::ZERO,
            EdwardsPoint::mul_base(&Scalar::ONE).compress().0,
            b"0",
        ));
        cases.push(signer.answer(Scalar::ZERO, signer.key, b"0"));
        cases.push(signer.sign_with(Scalar::ZERO, b"0"));
    }
    assert_eq!(agree(&banks, &cases), all_valid);
}

#[test]
fn r_and_s_at_every_edge_are_compared_whole() {
    let signers: Vec<Signer> = (0..3).map(Signer::numbered).collect();
    let valid: Vec<Case> = signers.iter().map(|signer| signer.sign(b"edge")).collect();
    let banks = Bank::all(&valid);
    let edges = edges();
    let mut cases = valid.clone();
    for (signer, valid) in signers.iter().zip(&valid) {
        for edge in &edges {
            cases.push(valid.with_r(*edge));
            cases.push(valid.with_s(*edge));
            cases.push(valid.with_r(*edge).with_s(*edge));
            cases.push(signer.answer(Scalar::ONE, *edge, b"edge"));
        }
        // R differs from the right one in one bit, each in turn, and so does s.
        for bit in 0..512 {
            let mut case = valid.clone();
            case.signature[bit / 8] ^= 1 << (bit % 8);
            cases.push(case);
        }
    }
    assert_eq!(agree(&banks, &cases), valid.len());
}

/// The first message in a row for which k or s has a wanted form. R stays the same, so a try costs
/// one hash.
fn mined(signer: &Signer, wanted: impl Fn(&[u8; 32], &[u8; 32]) -> bool) -> Case {
    let nonce = signer.nonce(b"mined");
    let big_r = EdwardsPoint::mul_base(&nonce).compress().0;
    for n in 0_u64.. {
        let message = n.to_le_bytes();
        let k = challenge(&big_r, &signer.key, &message);
        let s = nonce + k * signer.scalar;
        if wanted(k.as_bytes(), s.as_bytes()) {
            return signer.sign_with(nonce, &message);
        }
    }
    unreachable!("64 bits hold enough messages")
}

#[test]
fn scalars_with_long_runs_of_bits_are_recoded_right() {
    let signers: Vec<Signer> = (0..3).map(Signer::numbered).collect();
    let mut cases = Vec::new();
    for signer in &signers {
        for (low, high) in [(0x00, None), (0xff, None), (0x55, None), (0xaa, None)]
            .into_iter()
            .chain([(0x00, Some(0)), (0xff, Some(0x0f)), (0xfe, Some(0x0f)), (0x01, Some(0))])
        {
            // Two low bytes, or one at each end.
            let fits = move |n: &[u8; 32]| match high {
                None => n[..2] == [low, low],
                Some(high) => n[0] == low && n[31] == high && n[30] >> 4 == high,
            };
            cases.push(mined(signer, |k, _| fits(k)));
            cases.push(mined(signer, |_, s| fits(s)));
        }
        // Short: the top digits are at their lowest.
        cases.push(mined(signer, |k, _| k[30..] == [0, 0]));
        cases.push(mined(signer, |_, s| s[30..] == [0, 0]));
        // A full or empty word inside, as far as 12 bits show it.
        cases.push(mined(signer, |k, _| k[7] == 0xff && k[8] >> 4 == 0xf));
        cases.push(mined(signer, |_, s| s[15] == 0 && s[16] >> 4 == 0));
    }
    let mut all = cases.clone();
    for case in &cases {
        all.push(
            case.with_s((Scalar::from_canonical_bytes(case.s()).unwrap() + Scalar::ONE).to_bytes()),
        );
    }
    assert_eq!(agree(&Bank::all(&cases), &all), cases.len());
}

#[test]
fn messages_of_every_length_are_hashed_right_alone_and_together() {
    let signers: Vec<Signer> = (0..7).map(Signer::numbered).collect();
    let text: Vec<u8> = (0..1_200_u32).map(|i| i.to_le_bytes()[0].wrapping_mul(151)).collect();
    let mut cases = Vec::new();
    for (length, signer) in (0..=300).zip(signers.iter().cycle()) {
        cases.push(signer.sign(&text[..length]));
    }
    for (length, signer) in [511, 512, 513, 1_023, 1_024, 1_199].into_iter().zip(&signers) {
        cases.push(signer.sign(&text[..length]));
    }
    let banks = Bank::all(&cases[..signers.len()]);
    let valid = cases.len();
    assert_eq!(agree(&banks, &cases), valid);

    // The same, with the last byte of one in three messages changed or dropped.
    for (i, case) in cases.iter_mut().enumerate().filter(|(i, _)| i % 3 == 1) {
        if i % 2 == 0 {
            case.message.pop();
        } else {
            *case.message.last_mut().expect("only the first is empty") ^= 0x80;
        }
    }
    assert_eq!(agree(&banks, &cases), valid.div_ceil(3) + valid / 3);

    // Long beside short, in every lane.
    for lane in 0..8 {
        let lengths = (0..8).map(|i| if i == lane { 1_199 } else { 40 + 16 * i });
        let mixed: Vec<Case> = lengths
            .zip(signers.iter().cycle())
            .map(|(length, signer)| signer.sign(&text[..length]))
            .collect();
        assert_eq!(agree(&banks, &mixed), 8);
    }
}
