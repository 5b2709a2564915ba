use super::super::{build, check, is_available};
use super::*;
use crate::memory::Room;
use crate::table::Table;
use crate::{Check, Key, portable, reference};
use ed25519_dalek::{Signer as _, SigningKey};

fn base() -> Box<[Entry]> {
    let point = curve25519_dalek::constants::ED25519_BASEPOINT_COMPRESSED.to_bytes();
    portable::build(&portable::negated(point), Shape::BASE).unwrap()
}

fn signing_keys(n: u8) -> Vec<SigningKey> {
    (1..=n).map(|seed| SigningKey::from_bytes(&[seed; 32])).collect()
}

fn keys_of(signing: &[SigningKey]) -> Vec<Key> {
    signing.iter().map(|key| Key::new(key.verifying_key().to_bytes())).collect()
}

#[test]
fn tables_are_those_of_the_portable_backend_byte_by_byte() {
    if !is_available() {
        return;
    }
    let keys = keys_of(&signing_keys(11));
    let mut scratch = Scratch::default();
    for shape in [Shape::TINY, Shape::SMALL, Shape::LARGE, Shape::HOT] {
        for keys in [&keys[..8], &keys[8..], &keys[..1]] {
            let built = build(&mut scratch, &keys.iter().collect::<Vec<_>>(), shape);
            assert_eq!(built.len(), keys.len());
            for (key, table) in keys.iter().zip(built) {
                assert!(
                    table.as_deref() == portable::build(key.bytes(), shape).as_deref(),
                    "{key:x?}"
                );
            }
        }
    }
}

#[test]
fn a_key_that_is_no_point_has_no_table_and_spoils_none() {
    if !is_available() {
        return;
    }
    let mut keys = keys_of(&signing_keys(8));
    keys[3] = Key::new([2; 32]);
    assert_eq!(portable::build(&[2; 32], Shape::TINY), None);
    let built = build(&mut Scratch::default(), &keys.iter().collect::<Vec<_>>(), Shape::SMALL);
    for (key, table) in keys.iter().zip(built) {
        assert!(table.as_deref() == portable::build(key.bytes(), Shape::SMALL).as_deref());
    }
}

/// Every tier, groups full and not, each with one bad signature in every place.
#[test]
fn each_verdict_is_the_reference_s_wherever_a_check_stands() {
    if !is_available() {
        return;
    }
    let (base, signing) = (base(), signing_keys(27));
    let keys = keys_of(&signing);
    let tables: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(i, key)| {
            let tier = [None, Some(Tier::Small), Some(Tier::Large), Some(Tier::Hot)][i % 4]?;
            let entries = portable::build(key.bytes(), tier.shape()).unwrap();
            Some(Table::new(*key.bytes(), tier, Room::of(&entries)))
        })
        .collect();
    let messages: Vec<Vec<u8>> = (0..27_u8).map(|i| vec![i; usize::from(i) * 9]).collect();
    let good: Vec<[u8; 64]> =
        signing.iter().zip(&messages).map(|(key, m)| key.sign(m).to_bytes()).collect();
    let mut scratch = Scratch::default();
    for spoiled in 0..27 {
        let mut signatures = good.clone();
        signatures[spoiled][spoiled * 2] ^= 1 << (spoiled % 8);
        let checks: Vec<Check<'_>> = (0..27)
            .map(|i| Check { key: &keys[i], message: &messages[i], signature: &signatures[i] })
            .collect();
        let jobs: Vec<Job<'_>> = checks
            .iter()
            .zip(&tables)
            .map(|(check, table)| Job { check, table: table.as_ref() })
            .collect();
        let mut verdicts = vec![Verdict::Valid];
        check(&mut scratch, &jobs, &base, &mut verdicts);
        let expected: Vec<_> = checks.iter().map(reference::check).collect();
        assert_eq!(verdicts[1..], expected, "bad is {spoiled}");
        assert_eq!(expected.iter().filter(|verdict| **verdict == Verdict::Bad).count(), 1);
    }
}
