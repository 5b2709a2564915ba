//! Figures in the words of the contract.

use super::figures::{Figures, Spread};
use tallystick_proto::v1;

/// The message that says these.
pub(super) fn of(figures: &Figures) -> v1::Now {
    let micros = |millis: i64| millis.saturating_mul(1_000);
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let outcome = |(name, per_second): (&&'static str, &u64)| v1::OutcomeRate {
        outcome: (*name).to_owned(),
        per_second: *per_second,
        total: figures.vouchers.get(name).copied().unwrap_or(0),
    };
    let queues = figures.queues.iter().map(|queue| v1::QueueDepth {
        name: queue.name.to_owned(),
        depth: queue.depth,
        bound: queue.bound,
    });
    v1::Now {
        at_us: micros(figures.at_ms),
        uptime_us: micros(figures.uptime_ms),
        outcomes: figures.vouchers_per_second.iter().map(outcome).collect(),
        ack: Some(spread(&figures.ack_us)),
        queues: queues.collect(),
        groups_per_second: figures.journal.groups_per_second,
        sync: Some(spread(&figures.journal.sync_us)),
        disk_free_bytes: figures.disk.free_bytes,
        disk_reserve_bytes: figures.disk.reserve_bytes,
        disk_low: figures.disk.low,
        memory_bytes: figures.memory_bytes,
        verify_backend: figures.verify.backend.to_owned(),
        verify_backend_text: figures.verify.text.to_owned(),
        verify_threads: u32::try_from(figures.verify.threads).unwrap_or(u32::MAX),
        verify_alarms: figures.verify.alarms,
        durable_lsn: figures.position,
        open_window: figures.window.number,
        window_since_us: micros(figures.window.since_ms),
        proposals_open: count(figures.proposals_open),
        troubles_open: count(figures.troubles_open),
        alarms: figures.alarms.clone(),
    }
}

fn spread(of: &Spread) -> v1::Spread {
    v1::Spread { count: of.count, p50_us: of.p50, p99_us: of.p99, p999_us: of.p999 }
}
