//! Points of order 2, 4 and 8, and encodings that name a point twice: in R, in A, and in what a
//! signer can do with them who knows the key.

use crate::common::bank::{Bank, agree};
use crate::common::forge::{Case, Signer, non_canonical, plus_order, small_order};
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::{EdwardsPoint, Scalar};
use tallystick_verify::{KeyError, check_key};

/// Proper signatures by proper keys, and all banks warmed with them.
fn setting(keys: u64) -> (Vec<Signer>, Vec<Case>, Vec<Bank>) {
    let signers: Vec<Signer> = (0..keys).map(Signer::numbered).collect();
    let valid: Vec<Case> = signers.iter().map(|signer| signer.sign(b"torsion")).collect();
    let banks = Bank::all(&valid);
    (signers, valid, banks)
}

fn point(bytes: [u8; 32]) -> EdwardsPoint {
    CompressedEdwardsY(bytes).decompress().expect("the point was computed")
}

#[test]
fn r_with_a_torsion_component_is_refused_however_it_was_made() {
    let (signers, valid, banks) = setting(9);
    let mut cases = valid.clone();
    for (signer, valid) in signers.iter().zip(&valid) {
        for torsion in &EIGHT_TORSION[1..] {
            cases.push(valid.with_r((point(valid.r()) + torsion).compress().0));
            for message in [&b"torsion"[..], b"", &[7; 200]] {
                cases.push(signer.sign_mixed(signer.nonce(message), torsion, message));
                cases.push(signer.sign_mixed(Scalar::ONE, torsion, message));
                // R of small order alone, which even sB - kA meets up to the torsion.
                cases.push(signer.sign_mixed(Scalar::ZERO, torsion, message));
            }
        }
    }
    assert_eq!(agree(&banks, &cases), valid.len());
}

#[test]
fn r_of_small_order_is_refused_in_every_encoding() {
    let encodings = small_order();
    // 8 points: two have x = 0 and so a second sign; y of three of them has a second form.
    assert_eq!(encodings.len(), 14);
    let (signers, valid, banks) = setting(9);
    let mut cases = valid.clone();
    for (signer, valid) in signers.iter().zip(&valid) {
        for encoding in &encodings {
            cases.push(valid.with_r(*encoding));
            cases.push(valid.with_r(*encoding).with_s([0; 32]));
            for nonce in [Scalar::ZERO, Scalar::ONE, -Scalar::ONE] {
                cases.push(signer.answer(nonce, *encoding, b"small order"));
            }
        }
        // The proper signature of one whose nonce is 0: R is the neutral element.
        cases.push(signer.sign_with(Scalar::ZERO, b"small order"));
    }
    assert_eq!(agree(&banks, &cases), valid.len());
}

#[test]
fn r_that_is_not_canonical_is_refused() {
    let encodings = non_canonical();
    assert_eq!(encodings.len(), 38);
    assert!(encodings.iter().filter_map(|r| CompressedEdwardsY(*r).decompress()).count() > 8);
    let (signers, valid, banks) = setting(3);
    let mut cases = valid.clone();
    for (signer, valid) in signers.iter().zip(&valid) {
        for encoding in &encodings {
            cases.push(valid.with_r(*encoding));
            for nonce in [Scalar::ZERO, Scalar::ONE] {
                cases.push(signer.answer(nonce, *encoding, b"not canonical"));
            }
        }
    }
    assert_eq!(agree(&banks, &cases), valid.len());
}

#[test]
fn s_of_l_or_more_is_refused() {
    let (signers, valid, banks) = setting(3);
    let mut cases = valid.clone();
    for (signer, valid) in signers.iter().zip(&valid) {
        cases.extend((1..16).map(|n| valid.with_s(plus_order(valid.s(), n))));
        for s in [plus_order([0; 32], 1), [0; 32], (-Scalar::ONE).to_bytes(), [0xff; 32]] {
            cases.push(valid.with_s(s));
        }
        // s = 0 and s = L, with an R for which one of them would be right but for k.
        for s in [[0; 32], plus_order([0; 32], 1), plus_order([0; 32], 15)] {
            let opposite = -point(signer.key);
            cases.push(Case::new(signer.key, b"s", opposite.compress().0, s));
        }
    }
    assert_eq!(agree(&banks, &cases), valid.len());
}

#[test]
fn signs_of_r_and_s_matter() {
    let (signers, valid, banks) = setting(9);
    let mut cases = valid.clone();
    for (signer, valid) in signers.iter().zip(&valid) {
        let opposite = (-point(valid.r())).compress().0;
        let s = Scalar::from_canonical_bytes(valid.s()).expect("it was computed");
        cases.push(valid.with_r(opposite));
        cases.push(valid.with_s((-s).to_bytes()));
        cases.push(valid.with_r(opposite).with_s((-s).to_bytes()));
        cases.push(signer.answer(signer.nonce(b"sign"), opposite, b"sign"));
        cases.push(Case { key: (-point(signer.key)).compress().0, ..valid.clone() });
    }
    // The negated keys are proper keys too, and their signers are known: -a.
    let negated = signers.iter().map(|signer| Signer::from_scalar(-signer.scalar).sign(b"-"));
    let known: Vec<Case> = valid.iter().cloned().chain(negated).collect();
    cases.extend_from_slice(&known);
    drop(banks);
    assert_eq!(agree(&Bank::all(&known), &cases), valid.len() + known.len());
}

#[test]
fn keys_that_two_verifiers_could_see_differently_are_refused() {
    for encoding in small_order() {
        let refused = check_key(encoding);
        let known = [KeyError::SmallOrder, KeyError::NotCanonical, KeyError::NotAPoint];
        assert!(refused.is_err_and(|error| known.contains(&error)), "{encoding:02x?}: {refused:?}");
    }
    for encoding in non_canonical() {
        let refused = check_key(encoding);
        let known = [KeyError::NotCanonical, KeyError::NotAPoint];
        assert!(refused.is_err_and(|error| known.contains(&error)), "{encoding:02x?}: {refused:?}");
    }
    for n in 0..50 {
        let signer = Signer::numbered(n);
        assert_eq!(check_key(signer.key), Ok(()));
        for torsion in &EIGHT_TORSION[1..] {
            let key = (point(signer.key) + torsion).compress().0;
            assert_eq!(check_key(key), Err(KeyError::Torsion));
        }
    }
}
