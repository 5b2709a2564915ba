//! How the provider fails.
//!
//! Owns the draw: by chance from a seed, or as a test has ordered. Each fault says whether the call
//! was executed: that is what the caller cannot see.

use clap::ValueEnum;
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// One way to fail.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Fault {
    /// Not executed: the connection is closed without a byte.
    DropBefore,
    /// Not executed: 429 with `Retry-After`.
    RateLimit,
    /// Not executed, not kept: 503.
    Unavailable,
    /// Executed late: the caller has given up by then, and a second call meets 409 meanwhile.
    SlowBefore,
    /// Executed: the connection is closed without a byte.
    DropAfter,
    /// Executed: the answer comes after the caller has given up.
    SlowAfter,
    /// Executed: 500, which is the answer that is kept, as the API's description says.
    ErrorAfter,
    /// Executed: a proxy in front says 502; the true answer is kept.
    GatewayAfter,
    /// Executed: half of the answer, then the connection is closed.
    BreakAfter,
    /// Executed: the answer comes twice on the same connection.
    Twice,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::DropBefore,
        Self::RateLimit,
        Self::Unavailable,
        Self::SlowBefore,
        Self::DropAfter,
        Self::SlowAfter,
        Self::ErrorAfter,
        Self::GatewayAfter,
        Self::BreakAfter,
        Self::Twice,
    ];

    /// Whether it strikes before anything is executed, and so also a call that only reads.
    #[must_use]
    pub fn is_before(self) -> bool {
        match self {
            Self::DropBefore | Self::RateLimit | Self::Unavailable => true,
            Self::SlowBefore
            | Self::DropAfter
            | Self::SlowAfter
            | Self::ErrorAfter
            | Self::GatewayAfter
            | Self::BreakAfter
            | Self::Twice => false,
        }
    }
}

/// How often, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultOptions {
    /// Of a thousand calls, how many fail so.
    pub per_mille: BTreeMap<Fault, u16>,
    /// Where chance starts.
    pub seed: u64,
    /// How long slow is.
    pub slow_millis: u64,
    /// What `Retry-After` says, in seconds.
    pub retry_after: u64,
    /// How long every read takes; 0: no time.
    pub slow_reads_millis: u64,
}

impl Default for FaultOptions {
    fn default() -> Self {
        Self {
            per_mille: BTreeMap::new(),
            seed: 1,
            slow_millis: 2_000,
            retry_after: 1,
            slow_reads_millis: 0,
        }
    }
}

impl FaultOptions {
    /// How long slow is.
    #[must_use]
    pub fn slow(&self) -> Duration {
        Duration::from_millis(self.slow_millis)
    }
}

/// The draw.
pub struct Faults {
    options: FaultOptions,
    chance: ChaCha8Rng,
    ordered: VecDeque<Fault>,
    counts: BTreeMap<Fault, u64>,
    calls: u64,
    reads: u64,
}

impl Faults {
    pub fn new(options: FaultOptions) -> Self {
        let chance = ChaCha8Rng::seed_from_u64(options.seed);
        let (ordered, counts) = (VecDeque::new(), BTreeMap::new());
        Self { options, chance, ordered, counts, calls: 0, reads: 0 }
    }

    pub fn set(&mut self, options: FaultOptions) {
        self.chance = ChaCha8Rng::seed_from_u64(options.seed);
        self.options = options;
    }

    pub fn options(&self) -> &FaultOptions {
        &self.options
    }

    pub fn queue(&mut self, faults: &[Fault]) {
        self.ordered.extend(faults);
    }

    pub fn counts(&self) -> Vec<(Fault, u64)> {
        self.counts.iter().map(|(fault, count)| (*fault, *count)).collect()
    }

    pub fn calls(&self) -> u64 {
        self.calls
    }

    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// How a call that makes something fails.
    pub fn of_call(&mut self) -> Option<Fault> {
        self.calls += 1;
        let fault = self.ordered.pop_front().or_else(|| self.by_chance());
        self.counted(fault)
    }

    /// How a call that reads fails.
    pub fn of_read(&mut self) -> Option<Fault> {
        self.reads += 1;
        let fault = self.by_chance().filter(|fault| fault.is_before());
        self.counted(fault)
    }

    fn by_chance(&mut self) -> Option<Fault> {
        let mut draw = self.chance.random_range(0..1_000u16);
        for (fault, share) in &self.options.per_mille {
            match draw.checked_sub(*share) {
                None => return Some(*fault),
                Some(rest) => draw = rest,
            }
        }
        None
    }

    fn counted(&mut self, fault: Option<Fault>) -> Option<Fault> {
        if let Some(fault) = fault {
            *self.counts.entry(fault).or_default() += 1;
        }
        fault
    }
}
