//! Published vectors. `tests/vectors/README.md` says where each file is from.

use crate::common::bank::{Bank, agree};
use crate::common::forge::{Case, Signer};
use curve25519_dalek::Scalar;
use ed25519_dalek::SigningKey;
use ed25519_dalek::ed25519::signature::Signer as _;
use serde_json::Value;
use tallystick_verify::{KeyError, Verdict, check_key};

fn read(text: &str) -> Vec<Value> {
    serde_json::from_str(text).expect("vectors are a list")
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("bytes are given in hex");
    assert_eq!(text.len() % 2, 0);
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex"))
        .collect()
}

/// `None`: its signature has another length, which the interface has no way to say.
fn case(vector: &Value) -> Option<Case> {
    let key = hex(&vector["key"]).try_into().expect("keys have 32 bytes");
    let signature = hex(&vector["signature"]).try_into().ok()?;
    Some(Case { key, message: hex(&vector["message"]), signature })
}

#[test]
fn rfc_8032_vectors_are_made_and_accepted() {
    let vectors = read(include_str!("../../../../tests/vectors/rfc8032_ed25519.json"));
    let cases: Vec<Case> = vectors.iter().filter_map(case).collect();
    assert_eq!(cases.len(), 5);
    for (vector, case) in vectors.iter().zip(&cases) {
        let signer = SigningKey::from_bytes(&hex(&vector["secret"]).try_into().unwrap());
        assert_eq!(signer.verifying_key().to_bytes(), case.key, "{}", vector["name"]);
        assert_eq!(signer.sign(&case.message).to_bytes(), case.signature, "{}", vector["name"]);
        assert_eq!(check_key(case.key), Ok(()), "{}", vector["name"]);
    }
    assert_eq!(agree(&Bank::all(&cases), &cases), 5);
}

#[test]
fn wycheproof_verdicts_are_given() {
    let vectors = read(include_str!("../../../../tests/vectors/wycheproof_ed25519.json"));
    assert_eq!(vectors.len(), 151);
    let mut cases = Vec::new();
    for vector in &vectors {
        let valid = vector["valid"] == true;
        let Some(case) = case(vector) else {
            assert!(!valid, "{vector}");
            continue;
        };
        assert_eq!(case.dalek() == Verdict::Valid, valid, "{vector}");
        assert_eq!(check_key(case.key), Ok(()), "{vector}");
        cases.push(case);
    }
    assert_eq!(cases.len(), 139);
    assert_eq!(agree(&Bank::all(&cases), &cases), 88);
}

#[test]
fn speccheck_cases_are_refused_at_registration_or_by_the_verdict() {
    use KeyError::{NotCanonical, SmallOrder, Torsion};
    let vectors = read(include_str!("../../../../tests/vectors/speccheck.json"));
    let cases: Vec<Case> = vectors.iter().filter_map(case).collect();
    let expected = [
        Err(SmallOrder),
        Err(SmallOrder),
        Err(Torsion),
        Err(Torsion),
        Err(Torsion),
        Err(Torsion),
        // S > L, under a proper key.
        Ok(()),
        Ok(()),
        Err(Torsion),
        Err(Torsion),
        Err(NotCanonical),
        Err(NotCanonical),
    ];
    let found: Vec<_> = cases.iter().map(|case| check_key(case.key)).collect();
    assert_eq!(found, expected);
    let mut registered: Vec<Case> =
        cases.iter().filter(|case| check_key(case.key).is_ok()).cloned().collect();
    assert_eq!(agree(&Bank::all(&registered), &registered), 0);

    // The same signatures under proper keys that are warm.
    let signers: Vec<Signer> = (1..=4_u64).map(|n| Signer::from_scalar(Scalar::from(n))).collect();
    let samples: Vec<Case> = signers.iter().map(|signer| signer.sign(b"speccheck")).collect();
    for case in &cases {
        registered.extend(signers.iter().map(|signer| Case { key: signer.key, ..case.clone() }));
    }
    let known: Vec<Case> = samples.iter().chain(&registered).cloned().collect();
    assert_eq!(agree(&Bank::all(&known), &known), samples.len());
}
