//! What can be said of the engine without asking any thread of it.

use super::{Behind, Denied};
use crate::api::limited;
use crate::journal::LogVitals;
use crate::metrics::{
    ACK_SECONDS, ALARMS, BACKEND, CHECKPOINT, CHECKPOINT_AGE, CHECKPOINTS, CLOCK_SKEW, CONFIRMED,
    CONNECTIONS, CPU_SECONDS, CROWDED, DENIED, DISK_FREE_BYTES, DISK_LOW, DISK_RESERVE_BYTES,
    DURABLE, HANDSHAKES_FAILED, HELD_UP, IN_FLIGHT, JOURNAL_UNSETTLED, JOURNAL_VOID,
    JOURNAL_WAITING, LIMITED, Metric, Page, QUEUE, REFUSALS_HELD, SEAL_SECONDS, SIGNATURES,
    STAGE_SECONDS, SYNC_SECONDS, Seconds, TABLES, TLS_ENDS, TOO_OFTEN, TURNED_AWAY, VOUCHERS,
};
use crate::pipeline::{Meters, now};
use crate::types::{Outcome, Timestamp};
use crate::verify;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Puts it on the page.
pub(super) fn put(page: &mut Page, behind: &Behind, denied: &Denied) {
    let engine = &behind.engine;
    let vitals = engine.vitals();
    page.put(&IN_FLIGHT, &[], vitals.inflight_vouchers);
    for (queue, depth) in vitals.queues {
        page.count(&QUEUE, &[queue], depth);
    }
    page.put(&DURABLE, &[], vitals.durable.0);
    stream(page, vitals.log.as_deref());
    meters(page, vitals.meters);
    verifier(page, &vitals.verify);
    journal(page, behind);
    page.times(&SEAL_SECONDS, &[], &engine.seals().read());
    page.count(&HELD_UP, &[], engine.troubles().list().len());
    door(page, behind, denied);
    behind.x402.put(page);
}

fn meters(page: &mut Page, meters: &Meters) {
    for outcome in Outcome::ALL {
        page.put(&VOUCHERS, &[outcome.name()], meters.with_outcome(outcome));
    }
    page.times(&ACK_SECONDS, &[], &meters.acks());
    for (stage, taken) in meters.stages() {
        page.times(&STAGE_SECONDS, &[stage], &taken);
    }
    page.put(&SIGNATURES, &[], meters.verified());
    let verifying = Duration::from_micros(meters.cpu_verify_us());
    page.put(&CPU_SECONDS, &["verify"], Seconds(verifying));
    page.times(&SYNC_SECONDS, &[], &meters.syncs());
    page.put(&CLOCK_SKEW, &[], unix(meters.skew_us()));
}

fn verifier(page: &mut Page, status: &verify::Status) {
    for backend in verify::Backend::ALL {
        page.put(&BACKEND, &[backend.name()], u8::from(backend == status.backend));
    }
    page.put(&ALARMS, &[], status.alarms);
    page.put(&CONFIRMED, &[], status.confirmed);
    let tiers = [("small", status.small), ("large", status.large), ("hot", status.hot)];
    for (tier, of) in tiers {
        page.put(&TABLES, &[tier], of.tables);
    }
}

fn journal(page: &mut Page, behind: &Behind) {
    let (room, checkpoints) = (behind.engine.room(), behind.engine.checkpoints());
    if let Some(free) = room.free {
        page.put(&DISK_FREE_BYTES, &[], free);
    }
    page.put(&DISK_RESERVE_BYTES, &[], room.reserve);
    page.put(&DISK_LOW, &[], u8::from(room.low));
    let last = checkpoints.last();
    page.put(&CHECKPOINT, &[], last.map_or(0, |commit| commit.tail.lsn.0));
    let age = last.map_or(Duration::ZERO, |commit| since(Some(commit.at), now()));
    page.put(&CHECKPOINT_AGE, &[], Seconds(age));
    page.put(&CHECKPOINTS, &[], checkpoints.done());
}

fn stream(page: &mut Page, log: Option<&LogVitals>) {
    page.put(&JOURNAL_WAITING, &[], log.map_or(0, LogVitals::waiting_seconds));
    page.put(&JOURNAL_UNSETTLED, &[], log.map_or(0, LogVitals::unsettled));
    page.put(&JOURNAL_VOID, &[], log.map_or(0, LogVitals::void));
}

fn door(page: &mut Page, behind: &Behind, denied: &Denied) {
    for (listener, visits, keys) in &behind.listeners {
        page.count(&CONNECTIONS, &[listener], visits.here());
        page.put(&TURNED_AWAY, &[listener], visits.turned_away());
        page.put(&CROWDED, &[listener], visits.crowded());
        page.put(&TOO_OFTEN, &[listener], visits.too_often());
        page.put(&REFUSALS_HELD, &[listener], visits.held());
        if let Some(keys) = keys {
            page.put(&HANDSHAKES_FAILED, &[listener], keys.handshakes_failed());
            page.put(&TLS_ENDS, &[listener], keys.ends_at());
        }
    }
    let counter = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (all, right) = (behind.refused.count(), behind.refused.without_right());
    page.put(&DENIED, &["token"], all.saturating_sub(right));
    page.put(&DENIED, &["right"], right);
    page.put(&DENIED, &["metrics_token"], counter(&denied.token));
    page.put(&DENIED, &["metrics_elsewhere"], counter(&denied.elsewhere));
    page.put(&DENIED, &["webhook"], counter(&denied.webhook));
    for (limit, count) in limited::counts() {
        page.put(&LIMITED, &[limit], count);
    }
}

/// Puts an age on the page.
pub(super) fn age(
    page: &mut Page,
    metric: &Metric,
    labels: &[&str],
    from: Option<Timestamp>,
    now: Timestamp,
) {
    page.put(metric, labels, Seconds(since(from, now)));
}

/// How long ago that was; zero if it never was, or is to come.
fn since(from: Option<Timestamp>, now: Timestamp) -> Duration {
    let micros = from.map_or(0, |from| now.0.saturating_sub(from.0));
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Microseconds as seconds, to the microsecond.
pub(super) fn unix(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    format!("{sign}{}", Seconds(Duration::from_micros(micros.unsigned_abs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_zero_keep_their_sign() {
        assert_eq!((unix(-1_500_000), unix(25)), ("-1.500000".to_owned(), "0.000025".to_owned()));
    }
}
