//! What goes on at this moment, in figures: made of what is counted anyway.

use crate::ledger::Control;
use crate::limits::{
    COMMAND_QUEUE, GROUP_QUEUE, INFLIGHT_FRAMES_MAX, INFLIGHT_VOUCHERS_MAX, PAGE_QUEUE,
};
use crate::metrics::{BOUNDS, Taken};
use crate::pipeline;
use crate::settle::Engine;
use crate::types::{Outcome, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// The figures of a moment. Times are in milliseconds since 1970 or in microseconds, as their names
/// say; sizes in bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Figures {
    pub at_ms: i64,
    pub uptime_ms: i64,
    /// Vouchers of the last second by outcome, those that there ever were.
    pub vouchers_per_second: BTreeMap<&'static str, u64>,
    /// The same since the start.
    pub vouchers: BTreeMap<&'static str, u64>,
    pub ack_us: Spread,
    pub queues: Vec<Queue>,
    pub journal: Journal,
    pub disk: Disk,
    pub memory_bytes: Option<u64>,
    pub verify: Verify,
    /// The last durable record.
    pub position: u64,
    pub window: Window,
    pub proposals_open: usize,
    pub troubles_open: usize,
    /// What a person must see, in words.
    pub alarms: Vec<String>,
}

/// How long what was done in the last second took, by buckets.
#[derive(Serialize, Default, PartialEq, Eq, Debug)]
pub(super) struct Spread {
    pub count: u64,
    pub p50: Option<u64>,
    pub p99: Option<u64>,
    pub p999: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Queue {
    pub name: &'static str,
    pub depth: u64,
    pub bound: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Journal {
    pub groups_per_second: u64,
    pub sync_us: Spread,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Disk {
    pub free_bytes: Option<u64>,
    pub reserve_bytes: u64,
    pub low: bool,
}

#[derive(Serialize)]
pub(super) struct Verify {
    pub backend: &'static str,
    pub text: &'static str,
    pub threads: usize,
    pub alarms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Window {
    pub number: u64,
    /// 0: it is the first one.
    pub since_ms: i64,
}

/// What is counted, at one moment.
#[derive(Clone)]
pub(super) struct Counted {
    at: Instant,
    vouchers: Vec<(&'static str, u64)>,
    acks: Taken,
    syncs: Taken,
}

impl Counted {
    /// Now.
    pub fn of(engine: &Engine) -> Self {
        let meters = engine.vitals().meters;
        let vouchers = Outcome::ALL.iter().map(|of| (of.name(), meters.with_outcome(*of)));
        let (acks, syncs) = (meters.acks(), meters.syncs());
        Self { at: Instant::now(), vouchers: vouchers.collect(), acks, syncs }
    }

    /// The figures of now, since an earlier moment.
    pub fn since(&self, before: &Self, engine: &Engine, started_at: Timestamp) -> Figures {
        let (vitals, room, now) = (engine.vitals(), engine.room(), pipeline::now());
        let millis = self.at.saturating_duration_since(before.at).as_millis().max(1);
        let a_second =
            |count: u64| u64::try_from(u128::from(count) * 1_000 / millis).unwrap_or(u64::MAX);
        let there_were = || self.vouchers.iter().zip(&before.vouchers).filter(|(of, _)| of.1 > 0);
        let bounds = |name: &str| match name {
            "frames" => INFLIGHT_FRAMES_MAX,
            "asks" => COMMAND_QUEUE,
            "items" => GROUP_QUEUE,
            _ => PAGE_QUEUE,
        };
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let queue = |(name, depth): (&'static str, usize)| Queue {
            name,
            depth: count(depth),
            bound: count(bounds(name)),
        };
        let under_way = Queue {
            name: "vouchers",
            depth: vitals.inflight_vouchers,
            bound: count(INFLIGHT_VOUCHERS_MAX),
        };
        let (window, proposals_open, troubles_open) = stands(engine, now);
        let verify = vitals.verify;
        Figures {
            at_ms: now.0 / 1_000,
            uptime_ms: now.0.saturating_sub(started_at.0) / 1_000,
            vouchers_per_second: there_were()
                .map(|(now, then)| (now.0, a_second(now.1.saturating_sub(then.1))))
                .collect(),
            vouchers: there_were().map(|(now, _)| *now).collect(),
            ack_us: Spread::between(&before.acks, &self.acks),
            queues: vitals.queues.into_iter().map(queue).chain([under_way]).collect(),
            journal: Journal {
                groups_per_second: a_second(
                    self.syncs.count().saturating_sub(before.syncs.count()),
                ),
                sync_us: Spread::between(&before.syncs, &self.syncs),
            },
            disk: Disk { free_bytes: room.free, reserve_bytes: room.reserve, low: room.low },
            memory_bytes: crate::api::front::resident(),
            alarms: alarms(engine, (verify.alarms, room.low, troubles_open)),
            verify: Verify {
                backend: verify.backend.name(),
                text: verify.backend.description(),
                threads: vitals.verify_threads,
                alarms: verify.alarms,
            },
            position: vitals.durable.0,
            window,
            proposals_open,
            troubles_open,
        }
    }
}

/// The open window, and how much waits for people.
fn stands(engine: &Engine, now: Timestamp) -> (Window, usize, usize) {
    let found = engine.standing(|control: &Control| {
        let open = control.open_window().number;
        let before = crate::types::WindowNumber(open.0.saturating_sub(1));
        let cut = control.window(before).ok().and_then(|window| window.cut);
        let window = Window { number: open.0, since_ms: cut.map_or(0, |(_, at)| at.0 / 1_000) };
        Ok((window, control.eyes().open(now).count(), control.troubles().count()))
    });
    found.unwrap_or((Window { number: 0, since_ms: 0 }, 0, 0))
}

/// What a person must see, and what to do.
fn alarms(engine: &Engine, (verify, low, troubles): (u64, bool, usize)) -> Vec<String> {
    let mut found = Vec::new();
    if verify > 0 {
        found.push(format!(
            "{verify} signatures were found bad that are good: the machine or the engine's code is broken, and only \
             the reference decides now; have the machine examined, and restart the engine on another"
        ));
    }
    if low {
        found.push(
            "the disk is nearly full: vouchers are refused until there is room; make room on the disk of the data \
             directory"
                .to_owned(),
        );
    }
    let standing = engine.troubles().list().into_iter();
    found.extend(standing.map(|(of, why)| format!("{of}: {why}")));
    if troubles > 0 {
        found.push(format!(
            "{troubles} troubles wait for a person: look at each (`tallystick trouble list`), and take it away when it is \
             dealt with (`tallystick trouble ack`)"
        ));
    }
    found
}

impl Spread {
    /// Of what was counted since.
    fn between(before: &Taken, after: &Taken) -> Self {
        let mut buckets = after.buckets;
        for (bucket, then) in buckets.iter_mut().zip(before.buckets) {
            *bucket = bucket.saturating_sub(then);
        }
        let count: u64 = buckets.iter().sum();
        let at = |of_thousand: u64| place(&buckets, count, of_thousand);
        Self { count, p50: at(500), p99: at(990), p999: at(999) }
    }
}

/// What so many of a thousand took at most, taken to lie evenly in their bucket; of those beyond
/// all bounds, the last bound.
fn place(buckets: &[u64], count: u64, of_thousand: u64) -> Option<u64> {
    let wanted = (u128::from(count) * u128::from(of_thousand)).div_ceil(1_000);
    let wanted = u64::try_from(wanted).ok().filter(|wanted| *wanted > 0)?;
    let (mut below, mut from) = (0, 0);
    for (of, bound) in buckets.iter().zip(BOUNDS) {
        if below + of >= wanted {
            let into = u128::from(wanted - below) * u128::from(bound - from) / u128::from(*of);
            return Some(from + u64::try_from(into).unwrap_or(0));
        }
        (below, from) = (below + of, bound);
    }
    Some(from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Times;
    use std::time::Duration;

    #[test]
    fn only_what_came_since_is_spread() {
        let times = Times::default();
        let note = |micros, count| {
            (0..count).for_each(|_| times.note(Duration::from_micros(micros)));
        };
        note(60_000_000, 1_000);
        let before = times.read();
        assert_eq!(Spread::between(&before, &before), Spread::default());
        note(90, 990);
        note(900, 10);
        let spread = Spread::between(&before, &times.read());
        let expected = Spread { count: 1_000, p50: Some(50), p99: Some(100), p999: Some(950) };
        assert_eq!(spread, expected);
        note(70_000_000, 1_000_000);
        let beyond = Spread::between(&before, &times.read());
        assert_eq!(beyond.p50, Some(60_000_000), "the last bound");
    }
}
