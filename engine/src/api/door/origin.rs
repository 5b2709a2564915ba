//! From where a connection comes, as far as one can tell clients apart by it; how many connections
//! may come from there, how often new ones, and how often calls from there are refused at once.

use crate::api::pace::Bucket;
use crate::limits::{
    LOGINS, LOGINS_FAILED, OPEN_CALLS, ORIGIN_ARRIVALS, ORIGIN_PART, ORIGINS_KEPT, Pace,
    REFUSAL_HELD_MAX, REFUSALS,
};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An IPv4 address, or the first half of an IPv6 one: whoever has one of its addresses has all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin(IpAddr);

impl Origin {
    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) if address.is_loopback() => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        })
    }
}

/// What one origin may do, at all doors that share this. Cheap to clone.
#[derive(Clone)]
pub struct Origins(Arc<Inner>);

struct Inner {
    /// Connections, as the configuration says.
    configured: Option<u32>,
    arrivals: Paces,
    refusals: Paces,
    open_calls: Paces,
    logins: Paces,
    logins_failed: Paces,
}

impl Origins {
    /// With so many connections from each, where the configuration says so.
    #[must_use]
    pub fn new(configured: Option<u32>) -> Self {
        let (arrivals, refusals) = (Paces::new(ORIGIN_ARRIVALS), Paces::new(REFUSALS));
        let open_calls = Paces::new(OPEN_CALLS);
        let (logins, logins_failed) = (Paces::new(LOGINS), Paces::new(LOGINS_FAILED));
        let inner = Inner { configured, arrivals, refusals, open_calls, logins, logins_failed };
        Self(Arc::new(inner))
    }

    /// How many connections there may be from this one, of so many in all.
    pub(super) fn connections(&self, origin: Origin, all: usize) -> usize {
        match self.0.configured {
            Some(most) => usize::try_from(most).unwrap_or(usize::MAX),
            None if self.is_bounded(origin) => (all / ORIGIN_PART).max(1),
            None => usize::MAX,
        }
    }

    /// This machine is many clients, and so is a proxy on it: it is bounded only where the
    /// configuration says so.
    fn is_bounded(&self, origin: Origin) -> bool {
        self.0.configured.is_some() || !origin.0.is_loopback()
    }

    /// Whether somebody new from there is looked at: not where too many came of late, or too much
    /// was refused.
    pub(super) fn lets_come(&self, origin: Origin, now: Instant) -> bool {
        let Inner { arrivals, refusals, .. } = &*self.0;
        !self.is_bounded(origin)
            || (refusals.owes(origin, now) < REFUSAL_HELD_MAX
                && arrivals.take(origin, now, 1, Duration::ZERO).is_ok())
    }

    /// From when on it may be told to somebody from there that a call is refused. It counts for so
    /// many.
    pub(super) fn refused(&self, origin: Origin, now: Instant, count: usize) -> Instant {
        let at = self.0.refusals.take(origin, now, count, REFUSAL_HELD_MAX);
        at.unwrap_or(now + REFUSAL_HELD_MAX)
    }

    /// Whether somebody from there may try to log in; the try is counted. By what may be a guess
    /// they may not where too many such have failed.
    ///
    /// # Errors
    /// How long it takes until they may: nothing was counted.
    pub fn login(&self, from: IpAddr, now: Instant, is_guess: bool) -> Result<(), Duration> {
        let (origin, Inner { logins, logins_failed, .. }) = (Origin::of(from), &*self.0);
        match logins_failed.owes(origin, now) {
            owed if is_guess && owed > Duration::ZERO => Err(owed),
            _ => logins.take(origin, now, 1, Duration::ZERO).map(drop),
        }
    }

    /// Comes when somebody from there may be told to log in later: at the pace of all refusals, so
    /// that nobody fills the audit log with them.
    pub async fn login_put_off(&self, from: IpAddr, now: Instant) {
        let at = self.refused(Origin::of(from), now, 1);
        tokio::time::sleep_until(at.into()).await;
    }

    /// A login from there has failed.
    pub fn login_failed(&self, from: IpAddr, now: Instant) {
        // However many fail at once: each counts.
        let _ = self.0.logins_failed.take(Origin::of(from), now, 1, Duration::MAX);
    }

    /// From when on so many calls from there may be answered that anybody may make: now, or later
    /// where there is that much patience.
    ///
    /// # Errors
    /// How long it takes until they may be: nothing was counted.
    pub(super) fn open_calls(
        &self,
        origin: Origin,
        now: Instant,
        count: usize,
        patience: Duration,
    ) -> Result<Instant, Duration> {
        self.0.open_calls.take(origin, now, count, patience)
    }
}

/// One pace for each of many origins. What is paid for is forgotten; of more origins than are kept,
/// all others share one.
struct Paces {
    pace: Pace,
    held: Mutex<Held>,
}

struct Held {
    by: HashMap<Origin, Bucket>,
    others: Bucket,
}

impl Paces {
    fn new(pace: Pace) -> Self {
        let held = Held { by: HashMap::new(), others: Bucket::new(pace) };
        Self { pace, held: Mutex::new(held) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See `Bucket::take`.
    fn take(
        &self,
        origin: Origin,
        now: Instant,
        count: usize,
        patience: Duration,
    ) -> Result<Instant, Duration> {
        let mut held = self.held();
        let Held { by, others } = &mut *held;
        if by.len() >= ORIGINS_KEPT && !by.contains_key(&origin) {
            by.retain(|_, bucket| !bucket.is_paid(now));
        }
        let bucket = match by.len() < ORIGINS_KEPT || by.contains_key(&origin) {
            true => by.entry(origin).or_insert_with(|| Bucket::new(self.pace)),
            false => others,
        };
        bucket.take(now, count, patience)
    }

    /// How long it takes until one more may be taken.
    fn owes(&self, origin: Origin, now: Instant) -> Duration {
        self.held().by.get(&origin).map_or(Duration::ZERO, |bucket| bucket.wait(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::of(text.parse().unwrap())
    }

    #[test]
    fn half_of_an_ipv6_address_is_one_client() {
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:0:0:9"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:192.0.2.7"), origin("192.0.2.7"));
        assert_ne!(origin("192.0.2.7"), origin("192.0.2.8"));
    }

    #[test]
    fn this_machine_has_all_places_unless_the_configuration_says_otherwise() {
        let (usual, two) = (Origins::new(None), Origins::new(Some(2)));
        assert_eq!(usual.connections(origin("192.0.2.7"), 1_024), 128);
        assert_eq!(usual.connections(origin("192.0.2.7"), 3), 1);
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(usual.connections(origin(here), 1_024), usize::MAX, "{here}");
            assert_eq!(two.connections(origin(here), 1_024), 2, "{here}");
        }
    }

    #[test]
    fn one_address_opens_so_many_connections_a_second_and_the_others_are_not_held() {
        let (origins, now) = (Origins::new(None), Instant::now());
        let (far, other) = (origin("192.0.2.7"), origin("192.0.2.8"));
        let come = |from, at| (0..2_000).filter(|_| origins.lets_come(from, at)).count();
        let burst = usize::try_from(ORIGIN_ARRIVALS.burst).unwrap();
        assert_eq!(come(far, now), burst + 1);
        assert_eq!(come(other, now), burst + 1);
        assert_eq!(come(origin("127.0.0.1"), now), 2_000, "this machine is many clients");
        let later = now + Duration::from_secs(1);
        assert_eq!(come(far, later), usize::try_from(ORIGIN_ARRIVALS.count).unwrap());
    }

    #[test]
    fn refusals_are_told_at_a_pace_and_who_owes_all_of_it_comes_no_more() {
        let (origins, now) = (Origins::new(None), Instant::now());
        let (far, other) = (origin("192.0.2.7"), origin("192.0.2.8"));
        let burst = usize::try_from(REFUSALS.burst).unwrap();
        assert!((0..=burst).all(|_| origins.refused(far, now, 1) == now));
        assert!(origins.refused(far, now, 1) > now && origins.lets_come(far, now));
        let last = (0..1_000_000).fold(now, |_, _| origins.refused(far, now, 10));
        assert_eq!(last, now + REFUSAL_HELD_MAX, "never longer");
        assert!(!origins.lets_come(far, now) && origins.lets_come(other, now));
        assert_eq!(origins.refused(other, now, 1), now);
        let later = now + 2 * REFUSAL_HELD_MAX;
        assert!(origins.lets_come(far, later));
    }

    #[test]
    fn calls_that_anybody_may_make_have_a_pace_of_their_own() {
        let (origins, now) = (Origins::new(None), Instant::now());
        let (here, far) = (origin("127.0.0.1"), origin("192.0.2.7"));
        let made = |from, at| {
            let made = |_: &i32| origins.open_calls(from, at, 1, Duration::ZERO).is_ok();
            (0..5_000).filter(made).count()
        };
        let burst = usize::try_from(OPEN_CALLS.burst).unwrap();
        for from in [here, far] {
            assert_eq!(made(from, now), burst + 1);
        }
        let second = usize::try_from(OPEN_CALLS.count).unwrap();
        assert_eq!(made(far, now + Duration::from_secs(1)), second);
        assert_eq!(origins.refused(far, now, 1), now, "what is refused is counted apart");
    }

    #[test]
    fn logins_have_a_pace_and_failed_ones_a_slower_one() {
        let (here, far) = ("127.0.0.1".parse().unwrap(), "192.0.2.7".parse().unwrap());
        let (origins, now) = (Origins::new(None), Instant::now());
        let tries = |from, at| (0..500).filter(|_| origins.login(from, at, true).is_ok()).count();
        assert_eq!(tries(here, now), usize::try_from(LOGINS.burst).unwrap() + 1);
        assert_eq!(tries(here, now + LOGINS.per), 1);
        let failed = |at| {
            let login = || origins.login(far, at, true);
            let failed = |_: &i32| login().map(|()| origins.login_failed(far, at));
            (0..500).filter(|n| failed(n).is_ok()).count()
        };
        assert_eq!(failed(now), usize::try_from(LOGINS_FAILED.burst).unwrap() + 1);
        let more = origins.login(far, now, true);
        assert!(more.is_err_and(|after| after <= LOGINS_FAILED.per));
        assert!(origins.login(far, now, false).is_ok(), "what nobody guesses is not held up");
        assert_eq!(failed(now + LOGINS_FAILED.per), 1);
    }

    /// Whoever has a million addresses makes the engine remember no more than so many.
    #[test]
    fn of_more_origins_than_are_kept_the_others_share_one_pace() {
        let (origins, now) = (Origins::new(None), Instant::now());
        let of = |n: usize| Origin(IpAddr::from(u128::try_from(n << 1 | 1).unwrap().to_be_bytes()));
        let burst = usize::try_from(ORIGIN_ARRIVALS.burst).unwrap();
        let come = |from: usize, at| {
            (from..from + 3_000).filter(|n| origins.lets_come(of(*n), at)).count()
        };
        // The first would be this machine, which is not counted.
        for n in 1..=ORIGINS_KEPT {
            assert!(origins.lets_come(of(n << 8), now));
        }
        assert_eq!(come(1 << 24, now), burst + 1);
        assert_eq!(origins.0.arrivals.held().by.len(), ORIGINS_KEPT);
        let later = now + Duration::from_mins(1);
        assert_eq!(come(1 << 25, later), 3_000, "what was paid for is forgotten");
    }
}
