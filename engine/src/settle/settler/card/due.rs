//! When each leg under way is asked for next, batch by batch: what is due is found without walking
//! the rest.
//!
//! Owns the waits. Holds legs in flight only, so it is bounded by them; knows no provider.

use crate::limits::{CALL_AGAIN_MAX, CALL_AGAIN_MIN};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// The legs of one batch that are under way.
#[derive(Default)]
pub struct Due {
    legs: HashMap<u32, Again>,
    order: BTreeSet<(Instant, u32)>,
}

/// One leg.
struct Again {
    /// When it is asked for; `None` while it is being asked for, or called.
    at: Option<Instant>,
    /// The wait before that; each is twice the one before.
    wait: Duration,
}

impl Due {
    /// A leg that is under way is asked for at once, if nothing else is known of it.
    pub fn watch(&mut self, leg: u32, now: Instant) {
        if !self.legs.contains_key(&leg) {
            self.put(leg, now, Duration::ZERO);
        }
    }

    /// A leg is being called, or asked for: it is not due before that has come to an end.
    pub fn begin(&mut self, leg: u32) {
        let wait = self.legs.get(&leg).map_or(Duration::ZERO, |again| again.wait);
        self.take(leg);
        self.legs.insert(leg, Again { at: None, wait });
    }

    /// It has come to an end, and the leg has not: it is asked for after a wait, `least` or longer.
    pub fn later(&mut self, leg: u32, now: Instant, least: Duration) {
        let wait = self.legs.get(&leg).map_or(Duration::ZERO, |again| again.wait * 2);
        let wait = wait.clamp(CALL_AGAIN_MIN, CALL_AGAIN_MAX);
        self.put(leg, now + wait.max(least), wait);
    }

    /// Something was said of a leg: it is asked for at once, or soon after what is under way.
    pub fn soon(&mut self, leg: u32, now: Instant) {
        match self.legs.get_mut(&leg) {
            Some(Again { at: None, wait }) => *wait = Duration::ZERO,
            Some(_) => self.put(leg, now, Duration::ZERO),
            None => {}
        }
    }

    /// A leg has ended.
    pub fn forget(&mut self, leg: u32) {
        self.take(leg);
    }

    /// Legs that are due, those first that have waited for longest.
    pub fn due(&self, now: Instant) -> impl Iterator<Item = u32> + '_ {
        self.order.iter().take_while(move |(at, _)| *at <= now).map(|(_, leg)| *leg)
    }

    fn put(&mut self, leg: u32, at: Instant, wait: Duration) {
        self.take(leg);
        self.legs.insert(leg, Again { at: Some(at), wait });
        self.order.insert((at, leg));
    }

    fn take(&mut self, leg: u32) {
        if let Some(Again { at: Some(at), .. }) = self.legs.remove(&leg) {
            self.order.remove(&(at, leg));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(due: &Due, now: Instant) -> Vec<u32> {
        due.due(now).collect()
    }

    #[test]
    fn a_leg_is_asked_for_less_and_less_often_and_never_while_it_is_being_asked_for() {
        let (mut legs, mut now) = (Due::default(), Instant::now());
        legs.watch(7, now);
        assert_eq!(due(&legs, now), [7], "what nobody knows anything of is asked for at once");
        let mut wait = CALL_AGAIN_MIN;
        for _ in 0..20 {
            legs.begin(7);
            legs.watch(7, now);
            assert_eq!(due(&legs, now + CALL_AGAIN_MAX), [0; 0]);
            legs.later(7, now, Duration::ZERO);
            assert_eq!(due(&legs, now + wait - Duration::from_millis(1)), [0; 0]);
            now += wait;
            assert_eq!(due(&legs, now), [7]);
            wait = (wait * 2).min(CALL_AGAIN_MAX);
        }
        legs.begin(7);
        legs.later(7, now, CALL_AGAIN_MAX * 2);
        assert_eq!(due(&legs, now + CALL_AGAIN_MAX), [0; 0], "the provider asked for more time");
        assert_eq!(due(&legs, now + CALL_AGAIN_MAX * 2), [7]);
    }

    #[test]
    fn a_word_about_a_leg_makes_it_due_or_its_next_wait_short() {
        let (mut legs, now) = (Due::default(), Instant::now());
        for leg in [1, 2] {
            legs.begin(leg);
            (0..9).for_each(|_| legs.later(leg, now, Duration::ZERO));
        }
        legs.begin(2);
        legs.soon(1, now);
        legs.soon(2, now);
        legs.soon(3, now);
        assert_eq!(due(&legs, now), [1], "2 is being asked for, 3 is not under way");
        legs.later(2, now, Duration::ZERO);
        assert_eq!(due(&legs, now + CALL_AGAIN_MIN), [1, 2]);
    }

    #[test]
    fn who_has_ended_is_forgotten_and_who_waited_longest_is_first() {
        let (mut legs, now) = (Due::default(), Instant::now());
        (0..1_000).for_each(|leg| legs.watch(leg, now + Duration::from_millis(leg.into())));
        (0..997).for_each(|leg| legs.forget(leg));
        legs.begin(998);
        legs.forget(998);
        legs.watch(5, now + Duration::from_secs(9));
        assert_eq!(due(&legs, now + Duration::from_secs(10)), [997, 999, 5]);
        assert_eq!((legs.legs.len(), legs.order.len()), (3, 3), "nothing is kept of the others");
    }
}
