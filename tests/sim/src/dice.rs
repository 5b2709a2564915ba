//! Chance, all of it from one seed. Owns the only random numbers of a run.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Random numbers that are the same for the same seed.
#[derive(Debug, Clone)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Dice of its own for somebody else, so that what they draw changes nothing here.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self::new(self.0.random())
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end)
    }

    /// The same for places in lists.
    pub fn place(&mut self, length: usize) -> usize {
        self.0.random_range(0..length)
    }

    /// A number from `from` up to and with `to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        self.0.random_range(from..=to)
    }

    /// True `percent` times of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.place(list.len())]
    }

    /// The place of one of these weights, as often as it weighs; not all are 0.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let sum = weights.iter().map(|&weight| u64::from(weight)).sum();
        let mut left = self.below(sum);
        for (place, &weight) in weights.iter().enumerate() {
            match left.checked_sub(u64::from(weight)) {
                None => return place,
                Some(rest) => left = rest,
            }
        }
        unreachable!("the draw is below the sum of all weights")
    }

    /// An id, a key, a secret.
    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for word in bytes.as_chunks_mut::<8>().0 {
            *word = self.0.random::<u64>().to_le_bytes();
        }
        bytes
    }
}
