//! The key's own nonces: which of them hold signed bytes of ours.
//!
//! Owns the choice of the next one. Pure: rebuilt at start from the journaled transactions of
//! chunks that have not ended. The key belongs to the engine alone; a node's idea of "pending" is
//! asked once, to find that it does not.

use std::collections::BTreeSet;
use tallystick_ledger::limits::EVM_FOREIGN_MAX;

/// The nonces of one key on one chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nonces {
    /// All below are used up, finally.
    floor: u64,
    /// Those with signed bytes of chunks that have not ended.
    open: BTreeSet<u64>,
}

/// Why the engine must not sign with this key now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NonceTrouble {
    /// Somebody else signs with the key.
    #[error(
        "the node holds {unknown} unmined transactions of this key that the journal does not know: \
         the key must be the engine's alone; wait until they are mined, or use a key of its own"
    )]
    Foreign {
        /// How many.
        unknown: u64,
    },
}

impl Nonces {
    /// Takes note of a signed transaction; once for each that is journaled.
    pub fn signed(&mut self, nonce: u64) {
        if nonce >= self.floor {
            self.open.insert(nonce);
        }
    }

    /// Takes note that a chunk ended: the nonce of the transaction that paid it is used up for
    /// good, and so are all below. What else was signed for the chunk is given up: those nonces are
    /// free for others if the chain has not used them.
    pub fn ended(&mut self, paid_by: Option<u64>, signed: impl IntoIterator<Item = u64>) {
        if let Some(nonce) = paid_by {
            self.floor = self.floor.max(nonce + 1);
            self.open = self.open.split_off(&self.floor);
        }
        for nonce in signed {
            self.open.remove(&nonce);
        }
    }

    /// The next nonce to sign with, when the chain has used `used` of them: the smallest that is
    /// free, so that none is ever skipped.
    #[must_use]
    pub fn next(&self, used: u64) -> u64 {
        let mut next = used.max(self.floor);
        while self.open.contains(&next) {
            next += 1;
        }
        next
    }

    /// How many signed transactions the chain has not used yet.
    #[must_use]
    pub fn waiting(&self, used: u64) -> usize {
        self.open.range(used..).count()
    }

    /// Compares with the chain at start: `used` nonces are mined, `pending` with what its node
    /// holds.
    ///
    /// # Errors
    /// `NonceTrouble` if somebody else signs with the key.
    pub fn check(&self, used: u64, pending: u64) -> Result<(), NonceTrouble> {
        let unknown = (used.max(self.floor)..pending).filter(|nonce| !self.open.contains(nonce));
        match u64::try_from(unknown.take(EVM_FOREIGN_MAX).count()) {
            Ok(0) | Err(_) => Ok(()),
            Ok(unknown) => Err(NonceTrouble::Foreign { unknown }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nonces_are_taken_in_order_and_none_twice() {
        let mut nonces = Nonces::default();
        for expected in 7..10 {
            assert_eq!(nonces.next(7), expected);
            nonces.signed(expected);
        }
        assert_eq!((nonces.next(7), nonces.next(9), nonces.next(12)), (10, 10, 12));
        assert_eq!((nonces.waiting(7), nonces.waiting(8), nonces.waiting(10)), (3, 2, 0));
    }

    #[test]
    fn a_hole_is_filled_before_anything_new() {
        let mut nonces = Nonces::default();
        for nonce in [5, 6, 8] {
            nonces.signed(nonce);
        }
        assert_eq!(nonces.next(5), 7);
        nonces.signed(7);
        assert_eq!(nonces.next(5), 9);
    }

    #[test]
    fn a_chunk_that_ended_gives_its_other_nonces_back_and_a_stale_node_reuses_none() {
        let mut nonces = Nonces::default();
        for nonce in [4, 5, 6] {
            nonces.signed(nonce);
        }
        // Paid by nonce 4; 6 was signed for the same chunk and never mined.
        nonces.ended(Some(4), [4, 6]);
        assert_eq!((nonces.next(0), nonces.next(5), nonces.next(6)), (6, 6, 6));
        nonces.ended(Some(9), [9]);
        assert_eq!(nonces.next(3), 10);
        nonces.signed(2);
        assert_eq!(nonces.waiting(0), 0, "what is below the floor is over");
    }

    #[test]
    fn foreign_transactions_are_noticed_at_start() {
        let mut nonces = Nonces::default();
        nonces.signed(3);
        assert_eq!(nonces.check(3, 4), Ok(()));
        assert_eq!(nonces.check(3, 3), Ok(()));
        assert_eq!(nonces.check(5, 4), Ok(()));
        assert_eq!(nonces.check(3, 6), Err(NonceTrouble::Foreign { unknown: 2 }));
        let absurd = nonces.check(3, u64::MAX);
        assert_eq!(absurd, Err(NonceTrouble::Foreign { unknown: 1_000 }));
    }

    proptest! {
        #[test]
        fn the_next_nonce_is_the_smallest_free_one(
            open in proptest::collection::btree_set(0u64..40, 0..30),
            used in 0u64..40,
            floor in 0u64..20,
        ) {
            let mut nonces = Nonces::default();
            if let Some(last) = floor.checked_sub(1) {
                nonces.ended(Some(last), []);
            }
            open.iter().for_each(|nonce| nonces.signed(*nonce));
            let next = nonces.next(used);
            prop_assert!(next >= used.max(floor) && !open.contains(&next));
            prop_assert!((used.max(floor)..next).all(|nonce| open.contains(&nonce)));
        }
    }
}
