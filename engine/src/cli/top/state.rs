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
    /// Credited a second, the newest last.
    pub credited: VecDeque<u64>,
    /// How long 99 of a hundred acks took at most, in microseconds.
    pub acks: VecDeque<u64>,
}

impl Top {
    /// Nothing is known yet.
    pub fn new(server: &str) -> Self {
        Self {
            server: server.to_owned(),
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
        for (kept, new) in [(&mut self.credited, rate(&figures, "credited")), (&mut self.acks, p99)]
        {
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(new);
        }
        self.figures = Some(figures);
    }

    /// Pauses, or goes on.
    pub fn pause(&mut self) {
        self.paused = !self.paused;
    }
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
        assert_eq!((top.credited.len(), top.credited[0]), (KEPT, 5));
        top.link = Link::Away("gone".to_owned());
        top.pause();
        top.told(figures(7));
        assert_eq!((top.link == Link::Live, top.credited[KEPT - 1]), (true, KEPT as u64 + 4));
        assert_eq!(refused(top.figures.as_ref().unwrap()), 5);
        top.pause();
        top.told(figures(7));
        assert_eq!(top.credited[KEPT - 1], 7);
    }
}
