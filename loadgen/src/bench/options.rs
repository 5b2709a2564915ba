//! What all benches ask for that take turns.

use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Options of a bench whose engines take turns.
#[derive(Debug, Clone, Args)]
pub struct Turns {
    /// The engine's binary [default: `tallystick` beside this one].
    #[arg(long, value_name = "PATH")]
    pub engine: Option<PathBuf>,
    /// Where the engines' data goes; it is removed afterwards.
    #[arg(long, default_value = "target/turns")]
    pub dir: PathBuf,
    /// How often all take turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
    /// How long a turn is, as long as there are vouchers.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// How many vouchers are signed before; each turn sends them anew. 200 bytes of memory each.
    #[arg(long, default_value_t = 12_000_000,
        value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub vouchers: u64,
    /// What parties and vouchers are drawn from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write the result to this file, too.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

impl Turns {
    /// How long a turn is.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Where an engine's data goes.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }
}
