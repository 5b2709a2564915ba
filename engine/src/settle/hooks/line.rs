//! One endpoint's line: how far it has been told, what waits for it, and what a delivery that
//! failed leads to. Pure: time and chance come in as values.

use super::page::Waiting;
use super::row::{Place, Row};
use super::{FAILING, HookStanding, Known, PAUSED, SENDING, STOPPED};
use crate::ledger::Endpoint;
use crate::rails::hook::Outcome;
use crate::types::{Lsn, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// An endpoint's line.
pub(super) struct Line {
    pub of: Arc<Endpoint>,
    pub in_force: bool,
    pub row: Row,
    /// Where to look for what comes next.
    pub scanned: Place,
    pub waiting: VecDeque<Waiting>,
    /// What comes next could not be read, and is not looked for before: others go on meanwhile.
    pub rests_until: Timestamp,
    /// A request is under way.
    pub busy: bool,
    /// Which of its beginnings this is: what was sent before a replay says nothing of what comes.
    pub turn: u64,
    /// The row is to be written.
    pub dirty: bool,
    /// Up to where it is known to be written.
    pub kept: Lsn,
}

/// What a delivery has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    GoesOn,
    TriedAgain,
    Paused,
}

impl Line {
    /// Of an endpoint, as far as its row says; without one from where it was added.
    pub fn new(known: Known, row: Option<Row>, end: Lsn) -> Self {
        let mut row = row.unwrap_or_else(|| Row::at(Place::of(known.endpoint.next())));
        // Never further than there is something: what comes then would be left out.
        row.next = row.next.min(Place::of(end.next()));
        let (scanned, kept, in_force) = (row.next, row.next.lsn, known.in_force);
        Self {
            of: known.of,
            in_force,
            row,
            scanned,
            waiting: VecDeque::new(),
            rests_until: Timestamp(0),
            busy: false,
            turn: 0,
            dirty: false,
            kept,
        }
    }

    /// Whether something may be sent now.
    pub fn is_ready(&self, now: Timestamp) -> bool {
        self.in_force
            && !self.busy
            && self.row.paused.is_none()
            && self.row.next_try.is_none_or(|at| at <= now)
    }

    /// Goes on from here, whatever was before; `None`: from where it stopped.
    pub fn replay(&mut self, from: Option<Lsn>, end: Lsn) {
        let next = from.map_or(self.row.next, Place::of).min(Place::of(end.next()));
        self.row = Row::at(next);
        self.scanned = next;
        self.waiting.clear();
        self.rests_until = Timestamp(0);
        self.turn += 1;
        self.dirty = true;
    }

    /// What was found for it.
    pub fn take(&mut self, waiting: VecDeque<Waiting>, next: Place) {
        self.scanned = next;
        self.waiting = waiting;
        self.advance();
    }

    /// Nothing waits up to where it was looked.
    fn advance(&mut self) {
        self.row.next = self.waiting.front().map_or(self.scanned, |first| first.at);
    }

    /// A delivery has ended.
    pub fn ended(
        &mut self,
        outcome: &Outcome,
        now: Timestamp,
        retries: &[Duration],
        chance: u8,
    ) -> After {
        self.dirty = true;
        if let Outcome::Delivered(_) = outcome {
            self.waiting.pop_front();
            self.row = Row::at(self.row.next);
            self.advance();
            return After::GoesOn;
        }
        let failures = self.row.failures + 1;
        self.row.failures = failures;
        self.row.failing_since.get_or_insert(now);
        self.row.reason = outcome.text();
        // What waits is read again: it need not be held for hours.
        self.waiting.clear();
        self.scanned = self.row.next;
        let place = usize::try_from(failures).unwrap_or(usize::MAX) - 1;
        let Some(wait) = retries.get(place).filter(|_| !outcome.is_gone()) else {
            (self.row.paused, self.row.next_try) = (Some(now), None);
            return After::Paused;
        };
        let asked = match outcome {
            Outcome::Refused { retry_after, .. } => retry_after.unwrap_or_default(),
            Outcome::Delivered(_) | Outcome::Failed(_) => Duration::ZERO,
        };
        let wait = i64::try_from(spread(*wait, chance).max(asked).as_micros()).unwrap_or(i64::MAX);
        self.row.next_try = Some(Timestamp(now.0.saturating_add(wait)));
        After::TriedAgain
    }

    /// How it stands.
    pub fn standing(&self) -> HookStanding {
        let Row { next, failures, failing_since, next_try, paused, reason } = self.row.clone();
        let state = match () {
            () if paused.is_some() => PAUSED,
            () if !self.in_force => STOPPED,
            () if failures > 0 => FAILING,
            () => SENDING,
        };
        HookStanding { state, next: next.lsn, failures, failing_since, next_try, reason }
    }
}

/// So long, and up to a tenth more: receivers that failed together do not come back together.
fn spread(wait: Duration, chance: u8) -> Duration {
    wait + wait / 10 * u32::from(chance) / 255
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{SealedText, Topic};
    use crate::limits::HOOK_RETRIES;
    use crate::rails::hook::Message;
    use crate::types::PartyId;

    fn line(row: Option<Row>) -> Line {
        let sealed = || SealedText::new(vec![1; 60]);
        let of = Arc::new(Endpoint {
            party: PartyId([1; 32]),
            url: sealed(),
            secret: sealed(),
            former: None,
            topics: Topic::ALL.to_vec(),
            by: "ann".into(),
            by_owner: false,
            added_at: Timestamp(0),
        });
        Line::new(Known { endpoint: Lsn(10), of, in_force: true }, row, Lsn(100))
    }

    fn waiting(lsn: u64, index: u32) -> Waiting {
        let at = Place { lsn: Lsn(lsn), index };
        Waiting { at, message: Message { id: format!("{lsn}.{index}"), body: Vec::new() } }
    }

    #[test]
    fn it_is_told_in_order_and_its_position_never_passes_what_was_not() {
        let mut line = line(None);
        assert_eq!(line.row.next, Place::of(Lsn(11)));
        let next = Place::of(Lsn(60));
        line.take([waiting(20, 0), waiting(20, 1), waiting(30, 0)].into(), next);
        assert_eq!(line.row.next, waiting(20, 0).at, "nothing before it was for this endpoint");
        let done = |line: &mut Line| line.ended(&Outcome::Delivered(200), Timestamp(5), &[], 0);
        assert_eq!(done(&mut line), After::GoesOn);
        assert_eq!(line.row.next, waiting(20, 1).at);
        let failed = Outcome::Failed("no answer in time".into());
        let after = line.ended(&failed, Timestamp(5), &HOOK_RETRIES, 0);
        assert_eq!((after, line.waiting.len()), (After::TriedAgain, 0));
        assert_eq!((line.row.next, line.scanned), (waiting(20, 1).at, waiting(20, 1).at));
        line.take([waiting(20, 1), waiting(30, 0)].into(), next);
        done(&mut line);
        assert_eq!(
            (line.row.failures, line.row.next_try),
            (0, None),
            "what is next has not failed"
        );
        done(&mut line);
        assert_eq!(line.row.next, next);
    }

    #[test]
    fn what_fails_is_tried_again_later_and_later_and_then_no_more() {
        let mut line = line(None);
        let (failed, mut now) = (Outcome::Failed("no".into()), Timestamp(1_000));
        for wait in HOOK_RETRIES {
            assert!(line.is_ready(now));
            assert_eq!(line.ended(&failed, now, &HOOK_RETRIES, 0), After::TriedAgain);
            assert!(!line.is_ready(now));
            let at = line.row.next_try.unwrap();
            assert_eq!(u128::from((at.0 - now.0).unsigned_abs()), wait.as_micros());
            now = at;
        }
        assert_eq!(line.standing().state, FAILING);
        assert_eq!(line.ended(&failed, now, &HOOK_RETRIES, 0), After::Paused);
        assert_eq!((line.standing().state, line.is_ready(Timestamp(i64::MAX))), (PAUSED, false));
        assert_eq!(line.row.failing_since, Some(Timestamp(1_000)));
        line.replay(None, Lsn(100));
        assert_eq!((line.standing().state, line.row.next), (SENDING, Place::of(Lsn(11))));
        line.replay(Some(Lsn(4)), Lsn(100));
        assert_eq!((line.scanned, line.turn), (Place::of(Lsn(4)), 2));
        line.replay(Some(Lsn(400)), Lsn(100));
        assert_eq!(line.scanned, Place::of(Lsn(101)));
    }

    #[test]
    fn a_receiver_says_when_to_come_again_or_that_it_is_gone() {
        let mut line = line(None);
        let refused = |status, seconds: Option<u64>| Outcome::Refused {
            status,
            retry_after: seconds.map(Duration::from_secs),
        };
        let waits = |line: &Line| line.row.next_try.unwrap().0 / 1_000_000;
        line.ended(&refused(429, Some(60)), Timestamp(0), &HOOK_RETRIES, 0);
        assert_eq!(waits(&line), 60);
        line.ended(&refused(503, Some(60)), Timestamp(0), &HOOK_RETRIES, 255);
        assert_eq!(waits(&line), 330, "five minutes and a tenth");
        assert_eq!(line.ended(&refused(410, None), Timestamp(0), &HOOK_RETRIES, 0), After::Paused);
    }

    #[test]
    fn who_added_it_is_in_force_no_more_then_it_is_not_either() {
        let mut line = line(Some(Row::at(Place::of(Lsn(900)))));
        assert_eq!(line.row.next, Place::of(Lsn(101)), "no further than there is something");
        line.in_force = false;
        assert_eq!((line.standing().state, line.is_ready(Timestamp(0))), (STOPPED, false));
    }
}
