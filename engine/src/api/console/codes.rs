//! One-time codes: somebody who is known over gRPC gets one, and whoever brings it to the console
//! is logged in as them, once and soon. In memory only.

use crate::api::access::Known;
use crate::limits::{LOGIN_CODE_LIFE, LOGIN_CODES_EACH_MAX, LOGIN_CODES_MAX};
use crate::types::{Digest, token_digest};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use zeroize::Zeroizing;

/// Codes that wait to be used, and where. Cheap to clone.
#[derive(Clone, Default)]
pub struct Codes(Arc<Inner>);

#[derive(Default)]
struct Inner {
    waiting: Mutex<VecDeque<Code>>,
    /// Where the console is, once it is there.
    address: OnceLock<String>,
}

struct Code {
    id: Digest,
    known: Known,
    until: Instant,
}

impl Codes {
    /// The console is at this address, e.g. `http://127.0.0.1:7480`.
    pub(super) fn lead_to(&self, address: String) {
        let _ = self.0.address.set(address);
    }

    /// Where the console is, if there is one.
    pub(in crate::api) fn address(&self) -> Option<&str> {
        self.0.address.get().map(String::as_str)
    }

    fn waiting(&self, now: Instant) -> MutexGuard<'_, VecDeque<Code>> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|code| code.until > now);
        waiting
    }

    /// A new one, for whoever is known so.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub(in crate::api) fn make(
        &self,
        known: Known,
        now: Instant,
    ) -> Result<Zeroizing<String>, getrandom::Error> {
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *random)?;
        let text = Zeroizing::new(data_encoding::HEXLOWER.encode(&*random));
        let mut waiting = self.waiting(now);
        let own = waiting.iter().filter(|code| code.known == known).count();
        let oldest = match own >= LOGIN_CODES_EACH_MAX {
            true => waiting.iter().position(|code| code.known == known),
            false => (waiting.len() >= LOGIN_CODES_MAX).then_some(0),
        };
        if let Some(oldest) = oldest {
            waiting.remove(oldest);
        }
        waiting.push_back(Code { id: token_digest(&text), known, until: now + LOGIN_CODE_LIFE });
        Ok(text)
    }

    /// Who has this code: it counts no more.
    pub(super) fn redeem(&self, text: &str, now: Instant) -> Option<Known> {
        let (id, mut waiting) = (token_digest(text), self.waiting(now));
        let place = waiting.iter().position(|code| code.id == id)?;
        waiting.remove(place).map(|code| code.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_for_a_while() {
        let (codes, now) = (Codes::default(), Instant::now());
        let text = codes.make(Known::Nobody, now).unwrap();
        assert_eq!(codes.redeem("another", now), None);
        assert_eq!(codes.redeem(&text, now), Some(Known::Nobody));
        assert_eq!(codes.redeem(&text, now), None);
        let late = codes.make(Known::Nobody, now).unwrap();
        assert_eq!(codes.redeem(&late, now + LOGIN_CODE_LIFE), None);
    }

    #[test]
    fn nobody_takes_the_codes_of_others() {
        let (codes, now) = (Codes::default(), Instant::now());
        let token = |n: u8| Known::Token(Digest([n; 32]));
        let other = codes.make(token(1), now).unwrap();
        let texts: Vec<_> = (0..5).map(|_| codes.make(token(2), now).unwrap()).collect();
        assert_eq!(codes.redeem(&texts[0], now), None, "the oldest of five went");
        assert!(texts[1..].iter().all(|text| codes.redeem(text, now) == Some(token(2))));
        assert_eq!(codes.redeem(&other, now), Some(token(1)));
    }
}
