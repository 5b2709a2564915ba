//! Chance, all of it from one seed.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Random numbers that are the same for the same seed.
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Dice of its own for somebody else, so that what they draw changes nothing here.
    pub fn split(&mut self) -> Self {
        Self::new(self.0.random())
    }

    pub fn number(&mut self) -> u64 {
        self.0.random()
    }

    /// A place in a list that is not empty.
    pub fn place(&mut self, length: usize) -> usize {
        self.0.random_range(0..length)
    }

    /// True `percent` times of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.0.random_range(0..100) < percent
    }
}
