//! The one way in: checks go in, one verdict each comes out, by whichever backend is in force. Owns
//! which keys are worth a table, what a table costs, the confirmation of rejects and the alarm.

use crate::backend::{Backend, Unavailable};
use crate::confirm::Allowance;
use crate::key::Key;
use crate::memory::Room;
use crate::table::{Entry, Shape, Table, Tier};
use crate::tables::{Tables, TierStatus};
use crate::{portable, reference};
use crossbeam::epoch::{self, Guard};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Length of a signature: R, then s.
pub const SIGNATURE_BYTES: usize = 64;

/// One signature to check.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    /// Whose signature it should be.
    pub key: &'a Key,
    /// What was signed.
    pub message: &'a [u8],
    /// R, then s.
    pub signature: &'a [u8; SIGNATURE_BYTES],
}

/// What is true of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// `verify_strict` accepts it.
    Valid,
    /// `verify_strict` refuses it.
    Bad,
}

/// How a verifier is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Forces a backend; `None` takes the fastest that the machine can run.
    pub backend: Option<Backend>,
    /// Memory for the tables of keys, in bytes; 0: no key gets one.
    pub table_bytes: usize,
}

impl Options {
    /// Room for 10,859 keys with a small table, 1,454 with a large one and 170 with a hot one.
    pub const TABLE_BYTES_DEFAULT: usize = 256 << 20;
}

impl Default for Options {
    fn default() -> Self {
        Self { backend: None, table_bytes: Self::TABLE_BYTES_DEFAULT }
    }
}

/// What a verifier has done since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// What checks signatures now.
    pub backend: Backend,
    /// Keys that came back.
    pub small: TierStatus,
    /// Keys that come often.
    pub large: TierStatus,
    /// The hottest keys.
    pub hot: TierStatus,
    /// Rejects that the reference was asked to confirm.
    pub confirmed: u64,
    /// Rejects that it did not confirm. Above 0 something is broken: the memory, the CPU, or this
    /// code. From the first one on only the reference decides.
    pub alarms: u64,
}

/// Checks signatures; shared by all threads.
#[derive(Debug)]
pub struct Verifier {
    backend: AtomicU8,
    tables: Tables,
    allowance: Allowance,
    confirmed: AtomicU64,
    alarms: AtomicU64,
}

/// What one thread keeps between its calls.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Signatures that this thread has checked and not yet spent on building tables.
    credit: usize,
    #[cfg(target_arch = "x86_64")]
    lanes: crate::lanes::Scratch,
    #[cfg(target_arch = "x86_64")]
    avx2: crate::avx2::Scratch,
}

/// A check, and the table of its key.
pub(crate) struct Job<'a> {
    pub check: &'a Check<'a>,
    pub table: Option<&'a Table>,
}

/// Valid signatures that earn a small table: building one costs as much as two to six of them.
const SMALL_AFTER: u32 = 4;
/// Valid signatures with a small table that earn a large one.
const LARGE_AFTER: u32 = 64;
/// Valid signatures with a large table that earn a hot one, which has to save as many before it has
/// paid for itself.
const HOT_AFTER: u32 = 1_024;
/// Rejects that are confirmed in one call: more would hold up the other verdicts of the call.
const CONFIRMED_AT_ONCE: u32 = 16;
/// A key whose table is being decided on by one thread: the others leave it alone.
const CLAIMED: u32 = 1 << 31;

/// Tables that are built in one round: one in each lane; half as many where each costs its own
/// time.
const fn built_together(backend: Backend) -> usize {
    match backend {
        Backend::Lanes | Backend::Avx2 => 8,
        Backend::Portable | Backend::Reference => 4,
    }
}

/// Credit beyond this is forfeited: a long quiet time is no licence for a long stretch of building.
const CREDIT_MAX: usize = 32_768;

impl Verifier {
    /// A verifier without any tables yet.
    ///
    /// # Errors
    /// `Unavailable` if the machine cannot run the backend that was asked for.
    pub fn new(options: Options) -> Result<Self, Unavailable> {
        let backend = options.backend.unwrap_or_else(Backend::detect);
        if !backend.is_available() {
            return Err(Unavailable(backend));
        }
        let table_bytes = match backend {
            Backend::Lanes | Backend::Avx2 | Backend::Portable => {
                // Made now (40 ms), so that the first voucher does not wait for it.
                base();
                options.table_bytes
            }
            Backend::Reference => 0,
        };
        Ok(Self {
            backend: AtomicU8::new(backend as u8),
            tables: Tables::new(table_bytes),
            allowance: Allowance::new(),
            confirmed: AtomicU64::new(0),
            alarms: AtomicU64::new(0),
        })
    }

    /// What checks signatures now: what was chosen at the start, or the reference after an alarm.
    #[must_use]
    pub fn backend(&self) -> Backend {
        Backend::from_number(self.backend.load(Ordering::Relaxed))
    }

    /// What it has done so far.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            backend: self.backend(),
            small: self.tables.status(Tier::Small),
            large: self.tables.status(Tier::Large),
            hot: self.tables.status(Tier::Hot),
            confirmed: self.confirmed.load(Ordering::Relaxed),
            alarms: self.alarms.load(Ordering::Relaxed),
        }
    }

    /// Checks each signature on its own: `verdicts[i]` answers `checks[i]`. Best given 64 or more
    /// at once; 256 gain little over that.
    pub fn check(&self, scratch: &mut Scratch, checks: &[Check<'_>], verdicts: &mut Vec<Verdict>) {
        verdicts.clear();
        let guard = epoch::pin();
        let find = |check| Job { check, table: self.tables.find(check.key, &guard) };
        match self.backend() {
            #[cfg(target_arch = "x86_64")]
            Backend::Lanes => {
                let jobs: Vec<Job<'_>> = checks.iter().map(find).collect();
                crate::lanes::check(&mut scratch.lanes, &jobs, base(), verdicts);
            }
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => {
                let jobs: Vec<Job<'_>> = checks.iter().map(find).collect();
                crate::avx2::check(&mut scratch.avx2, &jobs, base(), verdicts);
            }
            #[cfg(not(target_arch = "x86_64"))]
            Backend::Lanes | Backend::Avx2 => unreachable!("refused by `new`"),
            Backend::Portable => {
                let jobs: Vec<Job<'_>> = checks.iter().map(find).collect();
                portable::check(&jobs, base(), verdicts);
            }
            Backend::Reference => {
                verdicts.extend(checks.iter().map(reference::check));
                return;
            }
        }
        assert_eq!(verdicts.len(), checks.len(), "one verdict each");
        self.confirm(checks, verdicts, &guard);
        scratch.credit = (scratch.credit + checks.len()).min(CREDIT_MAX);
    }

    /// Has the reference look at rejects, as far as its allowance goes. If it finds one that is
    /// none, the backend is stopped for good and the reference decides all rejects of this call.
    fn confirm(&self, checks: &[Check<'_>], verdicts: &mut [Verdict], guard: &Guard) {
        let mut alarmed = false;
        let mut left = CONFIRMED_AT_ONCE;
        for (check, verdict) in checks.iter().zip(verdicts) {
            if *verdict == Verdict::Valid || !(alarmed || left > 0 && self.allowance.take()) {
                continue;
            }
            left = left.saturating_sub(1);
            self.confirmed.fetch_add(1, Ordering::Relaxed);
            if reference::check(check) == Verdict::Valid {
                *verdict = Verdict::Valid;
                alarmed = true;
                self.alarm(check.key, guard);
            }
        }
    }

    fn alarm(&self, key: &Key, guard: &Guard) {
        self.alarms.fetch_add(1, Ordering::Relaxed);
        let stopped = self.backend.swap(Backend::Reference as u8, Ordering::Relaxed);
        let table = match self.tables.find(key, guard).map(Table::is_intact) {
            Some(true) => "intact",
            Some(false) => "damaged: the machine's memory may be failing",
            None => "none",
        };
        tracing::error!(
            backend = Backend::from_number(stopped).name(),
            key = format_args!("{:02x?}", key.bytes()),
            table,
            "ALARM: a valid signature was rejected. The reference has corrected the verdict and alone \
             decides from now on, at a fraction of the speed. Check this machine before you restart"
        );
    }

    /// What is to be done once the verdicts are out: counts the keys' valid signatures and builds
    /// the tables that some have earned. Never changes a verdict; leaving it out only costs speed.
    pub fn learn(&self, scratch: &mut Scratch, checks: &[Check<'_>], verdicts: &[Verdict]) {
        let backend = self.backend();
        if backend == Backend::Reference {
            return;
        }
        let guard = epoch::pin();
        let mut earned: [Vec<&Key>; 3] = [const { Vec::new() }; 3];
        for (check, _) in checks.iter().zip(verdicts).filter(|(_, v)| **v == Verdict::Valid) {
            let Some(tier) = self.earns(check.key, &guard) else { continue };
            let wanted = &mut earned[tier as usize];
            if wanted.len() < built_together(backend) && scratch.credit >= self.price(tier) {
                let before = check.key.heat.fetch_or(CLAIMED, Ordering::Relaxed);
                if before & CLAIMED == 0 {
                    wanted.push(check.key);
                }
            }
        }
        for (tier, keys) in Tier::ALL.into_iter().zip(&earned) {
            if !keys.is_empty() {
                scratch.credit = scratch.credit.saturating_sub(self.price(tier));
                self.build(scratch, backend, tier, keys, &guard);
                keys.iter().for_each(|key| key.heat.store(0, Ordering::Relaxed));
            }
        }
    }

    /// Counts a valid signature; which table the key has earned and does not have.
    fn earns(&self, key: &Key, guard: &Guard) -> Option<Tier> {
        let (tier, after) = match self.tables.find(key, guard).map(|table| table.tier) {
            None => (Tier::Small, SMALL_AFTER),
            Some(Tier::Small) => (Tier::Large, LARGE_AFTER),
            Some(Tier::Large) => (Tier::Hot, HOT_AFTER),
            Some(Tier::Hot) => {
                self.tables.used(key);
                return None;
            }
        };
        self.tables.used(key);
        (key.warm() >= after).then_some(tier)
    }

    /// Signatures that a thread must have checked for each round of building, so that building
    /// takes a small share of its time: at most a third while there is room, a twentieth when a
    /// table has to go for the new one. The second also bounds how fast strangers can push known
    /// keys out.
    fn price(&self, tier: Tier) -> usize {
        match (tier, self.tables.has_room(tier)) {
            (Tier::Small, true) => 128,
            (Tier::Large, true) => 1_024,
            (Tier::Hot, true) => 4_096,
            (Tier::Small, false) => 2_048,
            (Tier::Large, false) => 8_192,
            (Tier::Hot, false) => 32_768,
        }
    }

    fn build(
        &self,
        scratch: &mut Scratch,
        backend: Backend,
        tier: Tier,
        keys: &[&Key],
        guard: &Guard,
    ) {
        let places = self.tables.reserve(tier, keys.len());
        let keys = &keys[..places.len()];
        if keys.is_empty() {
            return;
        }
        let built: Vec<Option<Room>> = match backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Lanes => crate::lanes::build(&mut scratch.lanes, keys, tier.shape()),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => crate::avx2::build(&mut scratch.avx2, keys, tier.shape()),
            #[cfg(not(target_arch = "x86_64"))]
            Backend::Lanes | Backend::Avx2 => unreachable!("refused by `new`"),
            Backend::Portable => {
                let table = |key: &&Key| portable::build(key.bytes(), tier.shape());
                keys.iter().map(|key| Some(Room::of(&table(key)?))).collect()
            }
            Backend::Reference => unreachable!("it has no tables"),
        };
        for ((key, place), entries) in keys.iter().zip(&places).zip(built) {
            // A key that is no point has no valid signature, so it never earns a table.
            self.tables.put(place, key, entries.expect("the key is a point"), guard);
        }
    }
}

/// The multiples of the base point, made at the first use.
fn base() -> &'static [Entry] {
    static BASE: OnceLock<Room> = OnceLock::new();
    BASE.get_or_init(|| {
        let point = curve25519_dalek::constants::ED25519_BASEPOINT_COMPRESSED;
        let minus = portable::negated(point.to_bytes());
        Room::of(&portable::build(&minus, Shape::BASE).expect("it is a point"))
    })
}

#[cfg(test)]
mod tests;
