use super::*;
use ed25519_dalek::{Signer as _, SigningKey};

const MESSAGE: [u8; 50] = [7; 50];

/// Keys with a valid signature each.
struct Signed(Vec<(Key, [u8; 64])>);

impl Signed {
    fn new(count: u32) -> Self {
        let signed = |i: u32| {
            let mut seed = [1; 32];
            seed[..4].copy_from_slice(&i.to_le_bytes());
            let signing = SigningKey::from_bytes(&seed);
            (Key::new(signing.verifying_key().to_bytes()), signing.sign(&MESSAGE).to_bytes())
        };
        Self((0..count).map(signed).collect())
    }

    fn checks(&self) -> Vec<Check<'_>> {
        let check = |(key, signature)| Check { key, message: &MESSAGE, signature };
        self.0.iter().map(|(key, signature)| check((key, signature))).collect()
    }
}

/// A verifier and one thread's scratch.
struct Bench(Verifier, Scratch);

impl Bench {
    fn new(backend: Backend, table_bytes: usize) -> Option<Self> {
        let options = Options { backend: Some(backend), table_bytes };
        Some(Self(Verifier::new(options).ok()?, Scratch::default()))
    }

    fn verdicts(&mut self, checks: &[Check<'_>]) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        self.0.check(&mut self.1, checks, &mut verdicts);
        self.0.learn(&mut self.1, checks, &verdicts);
        verdicts
    }

    fn all_valid(&mut self, checks: &[Check<'_>]) {
        assert!(self.verdicts(checks).iter().all(|verdict| *verdict == Verdict::Valid));
    }

    fn table_of(&self, key: &Key) -> Option<Tier> {
        self.0.tables.find(key, &epoch::pin()).map(|table| table.tier)
    }
}

const WITH_TABLES: [Backend; 3] = [Backend::Lanes, Backend::Avx2, Backend::Portable];

#[test]
fn a_key_earns_a_small_table_and_then_a_large_one() {
    let signed = Signed::new(8);
    for mut bench in WITH_TABLES.into_iter().filter_map(|b| Bench::new(b, 1_300_000)) {
        let checks = signed.checks();
        let mut seen = vec![None];
        for _ in 0..400 {
            bench.all_valid(&checks);
            let now = bench.table_of(checks[0].key);
            if seen.last() != Some(&now) {
                seen.push(now);
            }
        }
        assert_eq!(seen, [None, Some(Tier::Small), Some(Tier::Large)]);
        let Status { small, large, alarms, .. } = bench.0.status();
        // 325,000 bytes hold seven large tables and no hot one: the eighth key keeps its small one.
        assert_eq!((small.tables, large.tables, alarms), (1, 7, 0));
    }
}

#[test]
fn a_key_that_keeps_coming_earns_a_hot_table() {
    let signed = Signed::new(4);
    for mut bench in WITH_TABLES.into_iter().filter_map(|b| Bench::new(b, 7 << 20)) {
        let checks = signed.checks();
        let many = checks.repeat(16);
        for _ in 0..200 {
            bench.all_valid(&many);
        }
        // A quarter holds four: each key has a hot table and has given the others back.
        let Status { small, large, hot, alarms, .. } = bench.0.status();
        assert_eq!((small.tables, large.tables, hot.tables, alarms), (0, 0, 4, 0));
        assert_eq!(bench.table_of(checks[3].key), Some(Tier::Hot));
    }
}

#[test]
fn without_room_no_key_gets_a_table_and_all_is_well() {
    let signed = Signed::new(16);
    for mut bench in Backend::ALL.into_iter().filter_map(|b| Bench::new(b, 0)) {
        for _ in 0..200 {
            bench.all_valid(&signed.checks());
        }
        assert_eq!(bench.0.status().small, TierStatus::default());
    }
}

#[test]
fn garbage_earns_nothing_and_only_its_share_of_confirmations() {
    let mut signed = Signed::new(64);
    signed.0.iter_mut().for_each(|(_, signature)| signature[1] ^= 4);
    for mut bench in WITH_TABLES.into_iter().filter_map(|b| Bench::new(b, 1 << 20)) {
        for _ in 0..80 {
            let verdicts = bench.verdicts(&signed.checks());
            assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Bad));
        }
        let Status { small, confirmed, alarms, .. } = bench.0.status();
        assert_eq!((small.built, alarms), (0, 0));
        assert!((1..80 * 64).contains(&confirmed), "{confirmed}");
    }
}

/// Four slots, a key that keeps signing, and strangers who come in crowds, earn tables and leave.
#[test]
fn strangers_do_not_push_out_a_key_that_keeps_signing() {
    let signed = Signed::new(40);
    let checks = signed.checks();
    let (regular, strangers) = checks.split_first().unwrap();
    for mut bench in WITH_TABLES.into_iter().filter_map(|b| Bench::new(b, 100 << 10)) {
        assert_eq!(bench.0.status().small.capacity, 4);
        for _ in 0..1_000 {
            bench.all_valid(&[*regular]);
        }
        assert!(bench.table_of(regular.key).is_some());
        let mut signatures = 0;
        let mut lost = 0;
        for eight in strangers.chunks(8).flat_map(|eight| std::iter::repeat_n(eight, 800)) {
            let mut checks = eight.to_vec();
            checks.push(*regular);
            bench.all_valid(&checks);
            signatures += checks.len() as u64;
            lost += u64::from(bench.table_of(regular.key).is_none());
        }
        let evicted = bench.0.status().small.evicted;
        assert!(evicted > 0, "the strangers did compete");
        // Not more than the price allows: a round of eight for each 2,048 signatures.
        assert!(evicted <= 8 * (signatures / 2_048 + 1), "{evicted} of {signatures}");
        assert_eq!(lost, 0);
    }
}

#[test]
fn a_damaged_table_raises_the_alarm_and_the_verdicts_stay_right() {
    let signed = Signed::new(20);
    for mut bench in WITH_TABLES.into_iter().filter_map(|b| Bench::new(b, 4 << 20)) {
        for _ in 0..40 {
            bench.all_valid(&signed.checks());
        }
        assert!(bench.table_of(&signed.0[5].0).is_some());
        bench.0.tables.corrupt(&signed.0[5].0);
        bench.all_valid(&signed.checks());
        let status = bench.0.status();
        assert_eq!((status.backend, status.alarms), (Backend::Reference, 1));
        bench.all_valid(&signed.checks());
        assert_eq!(bench.0.status().alarms, 1);
    }
}

#[test]
fn a_table_that_was_given_away_is_not_taken_for_one_s_own() {
    let signed = Signed::new(2);
    let (first, second) = (&signed.0[0].0, &signed.0[1].0);
    let tables = Tables::new(2 * Tier::Small.bytes());
    let guard = epoch::pin();
    let entries = |key: &Key| Room::of(&portable::build(key.bytes(), Shape::SMALL).unwrap());
    let places = tables.reserve(Tier::Small, 8);
    assert_eq!(places.len(), 1);
    assert!(tables.reserve(Tier::Small, 1).is_empty(), "what is reserved is not given away");
    tables.put(&places[0], first, entries(first), &guard);
    assert!(tables.find(first, &guard).is_some_and(Table::is_intact));
    // The first sweep spares it, the second finds it unused.
    assert!(tables.reserve(Tier::Small, 8).is_empty());
    let places = tables.reserve(Tier::Small, 8);
    tables.put(&places[0], second, entries(second), &guard);
    assert!(tables.find(first, &guard).is_none());
    assert_eq!(tables.find(second, &guard).unwrap().owner, *second.bytes());
}

#[test]
fn threads_share_tables_while_they_come_and_go() {
    let signed = Signed::new(24);
    for backend in WITH_TABLES {
        let options = Options { backend: Some(backend), table_bytes: 200 << 10 };
        let Ok(verifier) = Verifier::new(options) else { continue };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (verifier, signed) = (&verifier, &signed);
                scope.spawn(move || {
                    let (mut scratch, mut verdicts) = (Scratch::default(), Vec::new());
                    let mut checks = signed.checks();
                    checks.rotate_left(thread * 5);
                    for round in 0..400 {
                        checks.rotate_left(round % 7);
                        verifier.check(&mut scratch, &checks[..16], &mut verdicts);
                        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Valid));
                        verifier.learn(&mut scratch, &checks[..16], &verdicts);
                    }
                });
            }
        });
        let status = verifier.status();
        assert_eq!((status.alarms, status.backend), (0, backend));
        assert!(status.small.built > status.small.capacity, "tables came and went: {status:?}");
    }
}
