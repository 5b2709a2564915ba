//! What strangers can do to the tables of others: fill them with garbage, no; push out who signs
//! regularly, no. Seen through `Status` only.

use crate::common::forge::{Case, Signer};
use crate::common::twist::Twist;
use tallystick_verify::{Backend, Check, Key, Options, Scratch, Status, Verdict, Verifier};

/// Backends that have tables.
fn backends() -> impl Iterator<Item = Backend> {
    let all = Backend::ALL.into_iter();
    all.filter(|backend| *backend != Backend::Reference && backend.is_available())
}

struct Signing {
    key: Key,
    case: Case,
}

fn signing(signer: &Signer) -> Signing {
    Signing { key: Key::new(signer.key), case: signer.sign(&[9; 50]) }
}

/// A verifier as the engine runs it: `check`, then `learn`.
struct Engine {
    verifier: Verifier,
    scratch: Scratch,
    verdicts: Vec<Verdict>,
    checked: u64,
}

impl Engine {
    fn new(backend: Backend, table_bytes: usize) -> Self {
        let options = Options { backend: Some(backend), table_bytes };
        let verifier = Verifier::new(options).expect("only available backends are asked for");
        Self { verifier, scratch: Scratch::default(), verdicts: Vec::new(), checked: 0 }
    }

    fn run<'a>(&mut self, batch: impl IntoIterator<Item = (&'a Key, &'a Case)>) {
        let checks: Vec<Check<'_>> = batch
            .into_iter()
            .map(|(key, case)| Check { key, message: &case.message, signature: &case.signature })
            .collect();
        self.verifier.check(&mut self.scratch, &checks, &mut self.verdicts);
        self.verifier.learn(&mut self.scratch, &checks, &self.verdicts);
        self.checked += checks.len() as u64;
    }

    fn status(&self) -> Status {
        let status = self.verifier.status();
        assert_eq!(status.alarms, 0);
        for tier in [status.small, status.large] {
            assert!(tier.tables <= tier.capacity);
        }
        status
    }
}

#[test]
fn garbage_for_registered_keys_builds_no_table() {
    let signers: Vec<Signer> = (0..32).map(Signer::numbered).collect();
    let keys: Vec<Key> = signers.iter().map(|signer| Key::new(signer.key)).collect();
    let mut garbage = Vec::new();
    for (i, (signer, key)) in (0..64).zip(signers.iter().zip(&keys).cycle()) {
        let valid = signer.sign(&[9; 50]);
        let twist = if i % 2 == 0 { Twist::Noise } else { Twist::FlipS };
        garbage.push((key, twist.apply(&valid, signer, &signer.key, i)));
    }
    for backend in backends() {
        let mut engine = Engine::new(backend, Options::TABLE_BYTES_DEFAULT);
        for _ in 0..300 {
            engine.run(garbage.iter().map(|(key, case)| (*key, case)));
            assert!(engine.verdicts.iter().all(|verdict| *verdict == Verdict::Bad));
        }
        let status = engine.status();
        assert_eq!((status.small.built, status.large.built), (0, 0), "{backend}");
        assert!(status.confirmed > 0, "rejects are confirmed");
    }
}

#[test]
fn garbage_takes_no_table_from_its_key() {
    for backend in backends() {
        let mut engine = Engine::new(backend, 1 << 20);
        let signer = Signer::numbered(1);
        let signing = signing(&signer);
        while engine.status().large.tables == 0 {
            assert!(engine.checked < 100_000, "{backend} does not build tables");
            engine.run((0..64).map(|_| (&signing.key, &signing.case)));
        }
        let before = engine.status();
        let garbage = Twist::FlipR.apply(&signing.case, &signer, &signer.key, 7);
        for _ in 0..300 {
            engine.run((0..64).map(|_| (&signing.key, &garbage)));
        }
        let after = engine.status();
        assert_eq!((after.small, after.large), (before.small, before.large), "{backend}");
    }
}

#[test]
fn strangers_with_valid_signatures_do_not_push_out_who_signs_regularly() {
    for backend in backends() {
        let mut engine = Engine::new(backend, 300 << 10);
        let status = engine.status();
        let room = status.small.capacity + status.large.capacity;
        assert!(room >= 12 && status.large.capacity >= 1, "{room}");
        let regulars: Vec<Signing> = (0..room).map(|n| signing(&Signer::numbered(n))).collect();
        let full = |status: Status| {
            status.small.tables == status.small.capacity
                && status.large.tables == status.large.capacity
        };
        while !full(engine.status()) {
            assert!(engine.checked < 1_000_000, "{backend} does not fill its tables");
            engine.run(regulars.iter().cycle().take(64).map(|one| (&one.key, &one.case)));
        }
        let before = engine.status();

        // Seven in eight signatures are strangers', each of whom has earned a table many times
        // over; the regulars take turns in what is left.
        let strangers: Vec<Signing> =
            (1_000..1_200).map(|n| signing(&Signer::numbered(n))).collect();
        let (mut next, mut turn) = (strangers.iter().cycle(), regulars.iter().cycle());
        for _ in 0..700 {
            let few = turn.by_ref().take(8);
            let many = next.by_ref().take(56);
            engine.run(few.chain(many).map(|one| (&one.key, &one.case)));
        }
        let after = engine.status();
        assert_eq!((after.small, after.large), (before.small, before.large), "{backend}");
    }
}

#[test]
fn tables_change_hands_slowly_however_many_keys_come() {
    for backend in backends() {
        let mut engine = Engine::new(backend, 300 << 10);
        let crowd: Vec<Signing> = (0..400).map(|n| signing(&Signer::numbered(n))).collect();
        let mut full_at = None;
        // Sixteen sign 32 times each and are not heard of again, then the next sixteen.
        for step in 0..600 {
            let now = &crowd[step / 8 * 16 % 400..][..16];
            engine.run(now.iter().cycle().take(64).map(|one| (&one.key, &one.case)));
            let small = engine.status().small;
            if full_at.is_none() && small.tables == small.capacity {
                full_at = Some((engine.checked, small.evicted));
            }
        }
        let (checked, evicted) = full_at.expect("the crowd earns tables");
        // At most eight for each 2,048 signatures.
        let rounds = (engine.checked - checked) / 2_048 + 1;
        let taken = engine.status().small.evicted - evicted;
        assert!(taken > 0, "who does not come back makes room");
        assert!(taken <= 8 * rounds, "{backend}: {taken} tables in {rounds} rounds");
    }
}
