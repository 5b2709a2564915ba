//! Which legs of a batch have something to do yet.
//!
//! Owns these two sets. Follows the states of the legs; decides nothing.

use super::leg::LegState;
use super::marks::Marks;

/// Which legs have something to do yet: a bit or two a leg, cheap to copy, and what is asked of it
/// costs nothing for legs that have ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    ready: Marks,
    open: Marks,
}

impl Standing {
    /// So many legs, all READY.
    #[must_use]
    pub fn ready_all(count: usize) -> Self {
        Self { ready: Marks::all(count), open: Marks::all(count) }
    }

    /// READY legs, ascending.
    pub fn ready(&self) -> impl Iterator<Item = u32> + '_ {
        self.ready.iter()
    }

    /// Whether a leg is READY.
    #[must_use]
    pub fn is_ready(&self, leg: u32) -> bool {
        self.ready.contains(leg)
    }

    /// Legs in flight, ascending.
    pub fn in_flight(&self) -> impl Iterator<Item = u32> + '_ {
        self.open.without(&self.ready)
    }

    /// Legs that have not ended.
    #[must_use]
    pub fn open(&self) -> &Marks {
        &self.open
    }

    pub(super) fn set(&mut self, leg: u32, to: LegState) {
        match to {
            LegState::Ready => self.ready.insert(leg),
            LegState::Sent
            | LegState::Accepted
            | LegState::Unknown
            | LegState::Confirmed
            | LegState::Rejected
            | LegState::Returned => self.ready.remove(leg),
        }
        if to.has_ended() { self.open.remove(leg) } else { self.open.insert(leg) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_leg_is_ready_or_in_flight_or_has_ended() {
        let mut standing = Standing::ready_all(7);
        for (leg, state) in (0..).zip(LegState::ALL) {
            standing.set(leg, state);
        }
        assert_eq!(standing.ready().collect::<Vec<_>>(), [0]);
        assert_eq!(standing.in_flight().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(standing.open().iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
        standing.set(1, LegState::Confirmed);
        standing.set(1, LegState::Returned);
        assert_eq!(standing.in_flight().collect::<Vec<_>>(), [2, 3]);
    }
}
