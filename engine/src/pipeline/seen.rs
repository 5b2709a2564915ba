//! Vouchers that were asked about a moment ago, and whose signatures are valid: when they come to
//! be credited, nobody checks them again.
//!
//! Owns a table of fixed size with one place for each; of two with the same place the later one
//! stays. A verdict is about nothing but the voucher's bytes, all of which are compared, and a
//! signer's key never changes: so it is the same one.

use crate::limits::SEEN_VOUCHERS;
use crate::types::{Packed, VOUCHER_BYTES};
use std::sync::{Mutex, MutexGuard, PoisonError};

type Place = Mutex<[u8; VOUCHER_BYTES]>;

/// The table.
pub(super) struct Seen(Box<[Place]>);

impl Default for Seen {
    fn default() -> Self {
        Self((0..SEEN_VOUCHERS).map(|_| Mutex::new([0; VOUCHER_BYTES])).collect())
    }
}

impl Seen {
    /// This one's signature is valid.
    pub fn note(&self, voucher: Packed<'_>) {
        *self.place(voucher) = *voucher.0;
    }

    /// Whether it is known that its signature is.
    pub fn has(&self, voucher: Packed<'_>) -> bool {
        *self.place(voucher) == *voucher.0
    }

    fn place(&self, voucher: Packed<'_>) -> MutexGuard<'_, [u8; VOUCHER_BYTES]> {
        // As good as random in valid ones, and only those are noted.
        let word = u64::from_le_bytes(*voucher.signature().first_chunk().expect("it is longer"));
        let count = u64::try_from(self.0.len()).expect("a length fits 64 bits");
        let place = usize::try_from(word % count).expect("it is below a length");
        self.0[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_noted_is_known_byte_for_byte_and_the_last_of_a_place_stays() {
        let seen = Seen::default();
        let mut one = [7; VOUCHER_BYTES];
        seen.note(Packed(&one));
        assert!(seen.has(Packed(&one)));
        for at in 0..VOUCHER_BYTES {
            one[at] ^= 1;
            assert!(!seen.has(Packed(&one)), "byte {at}");
            one[at] ^= 1;
        }
        let other = [&[8; 96][..], &[7; 64]].concat();
        let other = other.first_chunk().unwrap();
        seen.note(Packed(other));
        assert!(seen.has(Packed(other)) && !seen.has(Packed(&one)));
    }
}
