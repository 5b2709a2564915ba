//! A verifier whose keys were brought into a known state. A key only gets a table through `learn`,
//! after valid signatures, so that is how it is brought there; `Status` shows that it arrived.

use super::forge::Case;
use std::collections::HashMap;
use tallystick_verify::{Backend, Check, Key, Options, Scratch, Status, Verdict, Verifier};

/// What a key has earned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Warmth {
    Cold,
    Small,
    Large,
    Hot,
}

impl Warmth {
    pub const ALL: [Self; 4] = [Self::Cold, Self::Small, Self::Large, Self::Hot];
}

/// Which keys of a bank are warm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// All alike.
    All(Warmth),
    /// Each fourth another way, in the order in which they come.
    Mixed,
}

impl Plan {
    pub const ALL: [Self; 5] = [
        Self::All(Warmth::Cold),
        Self::All(Warmth::Small),
        Self::All(Warmth::Large),
        Self::All(Warmth::Hot),
        Self::Mixed,
    ];

    fn warmth(self, nth: usize) -> Warmth {
        match self {
            Self::All(warmth) => warmth,
            Self::Mixed => Warmth::ALL[nth % 4],
        }
    }
}

/// A verifier, and its keys in a known state. Its tables do not change any more.
pub struct Bank {
    pub backend: Backend,
    pub plan: Plan,
    verifier: Verifier,
    keys: HashMap<[u8; 32], Registered>,
}

struct Registered {
    key: Key,
    warmth: Warmth,
}

/// Room for one key's tables, of whatever tier: memory is only taken by tables that are there.
const BYTES_EACH: usize = 2 << 20;

impl Bank {
    /// Registers the keys of all samples and warms those that have a valid one.
    pub fn new(backend: Backend, plan: Plan, samples: &[Case]) -> Self {
        let mut keys: HashMap<[u8; 32], Registered> = HashMap::new();
        let mut warmers: Vec<&Case> = Vec::new();
        for sample in samples {
            let unknown = keys.get(&sample.key).is_none_or(|key| key.warmth == Warmth::Cold);
            let is_planned = warmers.iter().any(|warmer| warmer.key == sample.key);
            if unknown && !is_planned && sample.dalek() == Verdict::Valid {
                warmers.push(sample);
            }
            let key = Key::new(sample.key);
            keys.entry(sample.key).or_insert(Registered { key, warmth: Warmth::Cold });
        }
        for (nth, warmer) in warmers.iter().enumerate() {
            keys.get_mut(&warmer.key).expect("registered above").warmth = plan.warmth(nth);
        }
        let table_bytes = (warmers.len() + 16) * BYTES_EACH;
        let verifier = Verifier::new(Options { backend: Some(backend), table_bytes })
            .expect("only available backends are asked for");
        let bank = Self { backend, plan, verifier, keys };
        if backend != Backend::Reference {
            bank.warm(&warmers, Warmth::Hot);
            bank.warm(&warmers, Warmth::Large);
            bank.warm(&warmers, Warmth::Small);
        }
        bank
    }

    /// Every available backend in every state. The reference has one state.
    pub fn all(samples: &[Case]) -> Vec<Self> {
        let available = Backend::ALL.into_iter().filter(|backend| backend.is_available());
        available
            .flat_map(|backend| {
                let plans: &[Plan] =
                    if backend == Backend::Reference { &Plan::ALL[..1] } else { &Plan::ALL };
                plans.iter().map(move |plan| Self::new(backend, *plan, samples))
            })
            .collect()
    }

    fn warm(&self, warmers: &[&Case], goal: Warmth) {
        let chosen: Vec<&&Case> =
            warmers.iter().filter(|case| self.keys[&case.key].warmth == goal).collect();
        let there = |status: Status| match goal {
            Warmth::Cold => 0,
            Warmth::Small => status.small.tables,
            Warmth::Large => status.large.tables,
            Warmth::Hot => status.hot.tables,
        };
        let mut scratch = Scratch::default();
        let mut verdicts = Vec::new();
        let mut done = 0;
        // As many as are built together, so that none of them gets further than it should.
        for group in chosen.chunks(8) {
            let checks: Vec<Check<'_>> = group.iter().map(|case| self.as_check(case)).collect();
            let many: Vec<Check<'_>> = checks.iter().copied().cycle().take(128).collect();
            done += group.len() as u64;
            for round in 0.. {
                assert!(round < 5_000, "{} does not build tables", self.backend);
                if there(self.status()) == done {
                    break;
                }
                // Signatures checked are what tables are paid with; learning counts the valid ones.
                if round % 8 == 0 {
                    self.verifier.check(&mut scratch, &many, &mut verdicts);
                    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Valid));
                }
                self.verifier.learn(&mut scratch, &checks, &verdicts[..checks.len()]);
            }
        }
    }

    fn as_check<'a>(&'a self, case: &'a Case) -> Check<'a> {
        let key = &self.keys.get(&case.key).expect("the key is of a sample").key;
        Check { key, message: &case.message, signature: &case.signature }
    }

    pub fn warmth(&self, case: &Case) -> Warmth {
        self.keys[&case.key].warmth
    }

    pub fn status(&self) -> Status {
        self.verifier.status()
    }

    pub fn count(&self, warmth: Warmth) -> u64 {
        self.keys.values().filter(|key| key.warmth == warmth).count() as u64
    }

    /// What it says of these cases, as one batch.
    pub fn ask(&self, scratch: &mut Scratch, cases: &[Case]) -> Vec<Verdict> {
        let checks: Vec<Check<'_>> = cases.iter().map(|case| self.as_check(case)).collect();
        let mut verdicts = Vec::new();
        self.verifier.check(scratch, &checks, &mut verdicts);
        assert_eq!(verdicts.len(), cases.len(), "{self}: one verdict each");
        verdicts
    }

    /// Whether it found its verdicts out itself: a backend whose rejects the reference had to
    /// correct has failed, though the verdicts are right.
    pub fn is_sound(&self) -> bool {
        self.status().alarms == 0 && self.verifier.backend() == self.backend
    }

    /// `ask`, of a backend that must be sound.
    pub fn verdicts(&self, scratch: &mut Scratch, cases: &[Case]) -> Vec<Verdict> {
        let verdicts = self.ask(scratch, cases);
        assert!(self.is_sound(), "{self}: a valid signature was rejected");
        verdicts
    }

    /// The first case that it sees otherwise.
    pub fn differs<'a>(&self, cases: &'a [Case], expected: &[Verdict]) -> Option<&'a Case> {
        let verdicts = self.verdicts(&mut Scratch::default(), cases);
        let mut both = verdicts.iter().zip(expected);
        both.position(|(found, expected)| found != expected).map(|i| &cases[i])
    }
}

impl std::fmt::Display for Bank {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.backend, self.plan)
    }
}

/// Asserts that every bank says what dalek says of every case; gives how many are valid.
pub fn agree(banks: &[Bank], cases: &[Case]) -> usize {
    let expected: Vec<Verdict> = cases.iter().map(Case::dalek).collect();
    for bank in banks {
        if let Some(case) = bank.differs(cases, &expected) {
            panic!("{bank} differs from verify_strict ({:?}): {}", case.dalek(), case.to_hex());
        }
    }
    expected.iter().filter(|verdict| **verdict == Verdict::Valid).count()
}
