//! What is shown: the last figures, and those of some minutes for the charts.

use std::collections::VecDeque;
use tallystick_proto::v1::Now;

/// Seconds that the charts show at most.
const KEPT: usize = 300;

/// Whether the engine answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Link {
    Live,
    /// Not now: why.
    Away(String),
}

/// All that is shown.
pub(super) struct Top {
    /// Where the engine is.
    pub server: String,
    /// Of several addresses: which engine these figures are of.
    pub owner: Option<String>,
    /// Whether it answers.
    pub link: Link,
    /// The figures that are shown.
    pub figures: Option<Now>,
    /// Nothing new is shown.
    pub paused: bool,
    /// The help stands in front.
    pub help: bool,
    /// Lines that are above what is seen.
    pub down: usize,
    /// Credited a second, the newest last; none for a second of which nothing was told.
    pub credited: VecDeque<Option<u64>>,
    /// How long 99 of a hundred acks took at most, in microseconds.
    pub acks: VecDeque<Option<u64>>,
}

impl Top {
    /// Nothing is known yet.
    pub fn new(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            owner: None,
            link: Link::Live,
            figures: None,
            paused: false,
            help: false,
            down: 0,
            credited: VecDeque::new(),
            acks: VecDeque::new(),
        }
    }

    /// Takes what the engine tells; while it pauses that is forgotten.
    pub fn told(&mut self, figures: Now) {
        self.link = Link::Live;
        if self.paused {
            return;
        }
        let p99 = figures.ack.and_then(|ack| ack.p99_us).unwrap_or(0);
        let missed = self.figures.as_ref().map_or(0, |before| missed(before.at_us, figures.at_us));
        for (kept, new) in [(&mut self.credited, rate(&figures, "credited")), (&mut self.acks, p99)]
        {
            kept.extend(std::iter::repeat_n(None, missed));
            kept.push_back(Some(new));
            kept.drain(..kept.len().saturating_sub(KEPT));
        }
        self.figures = Some(figures);
    }

    /// Pauses, or goes on.
    pub fn pause(&mut self) {
        self.paused = !self.paused;
    }
}

/// Seconds between two figures of which nothing was told, as far as a chart has room. Figures come
/// a second apart, more or less.
fn missed(before_us: i64, at_us: i64) -> usize {
    let seconds = (at_us.saturating_sub(before_us).saturating_add(500_000)) / 1_000_000;
    usize::try_from(seconds - 1).unwrap_or(0).min(KEPT)
}

/// Vouchers with this outcome in the last second.
pub(super) fn rate(figures: &Now, outcome: &str) -> u64 {
    figures.outcomes.iter().find(|of| of.outcome == outcome).map_or(0, |of| of.per_second)
}

/// Of those that were neither credited nor known before.
pub(super) fn refused(figures: &Now) -> u64 {
    let known = ["credited", "stale"];
    let refused = figures.outcomes.iter().filter(|of| !known.contains(&of.outcome.as_str()));
    refused.map(|of| of.per_second).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_proto::v1::OutcomeRate;

    fn figures(credited: u64) -> Now {
        let of = |outcome: &str, per_second| OutcomeRate {
            outcome: outcome.to_owned(),
            per_second,
            total: 9,
        };
        let outcomes = vec![of("credited", credited), of("stale", 1), of("expired", 2), of("x", 3)];
        Now { outcomes, ..Now::default() }
    }

    #[test]
    fn what_pauses_stays_as_it_is_and_a_chart_has_an_end() {
        let mut top = Top::new("here");
        (0..KEPT as u64 + 5).for_each(|n| top.told(figures(n)));
        assert_eq!((top.credited.len(), top.credited[0]), (KEPT, Some(5)));
        top.link = Link::Away("gone".to_owned());
        top.pause();
        top.told(figures(7));
        assert_eq!((top.link == Link::Live, top.credited[KEPT - 1]), (true, Some(KEPT as u64 + 4)));
        assert_eq!(refused(top.figures.as_ref().unwrap()), 5);
        top.pause();
        top.told(figures(7));
        assert_eq!(top.credited[KEPT - 1], Some(7));
    }

    #[test]
    fn seconds_of_which_nothing_was_told_are_a_gap() {
        let mut top = Top::new("here");
        let mut told = |at_us| {
            top.told(Now { at_us, ..figures(1) });
            top.credited.iter().map(Option::is_some).collect::<Vec<_>>()
        };
        told(1_000_000_000);
        assert_eq!(told(1_001_300_000), [true, true], "a little late");
        assert_eq!(told(1_004_300_000), [true, true, false, false, true]);
        assert_eq!(told(900_000_000).len(), 6, "a clock that was set back");
        let long = told(i64::MAX);
        assert_eq!((long.len(), long[0], long[KEPT - 1]), (KEPT, false, true));
    }
}
