//! Figures as a record, for programs: the contract's own names and units.

use crate::cli::output::{Cell, Record};
use tallystick_proto::v1::{Now, OutcomeRate, QueueDepth, Spread};

/// All of it. What was not measured is not there.
pub(super) fn record(of: Now) -> Record {
    let text = |text: String| Record(vec![("text", Cell::Text(text))]);
    let mut cells = vec![
        ("at_us", Cell::Micros(of.at_us)),
        ("uptime_us", Cell::Micros(of.uptime_us)),
        ("outcomes", Cell::Records(of.outcomes.into_iter().map(outcome).collect())),
    ];
    let names = ["ack_count", "ack_p50_us", "ack_p99_us", "ack_p999_us"];
    cells.extend(spread(names, of.ack.unwrap_or_default()));
    cells.push(("queues", Cell::Records(of.queues.into_iter().map(queue).collect())));
    cells.push(("groups_per_second", Cell::Count(of.groups_per_second)));
    let names = ["sync_count", "sync_p50_us", "sync_p99_us", "sync_p999_us"];
    cells.extend(spread(names, of.sync.unwrap_or_default()));
    cells.extend(of.disk_free_bytes.map(|bytes| ("disk_free_bytes", Cell::Count(bytes))));
    cells.push(("disk_reserve_bytes", Cell::Count(of.disk_reserve_bytes)));
    cells.push(("disk_low", Cell::Flag(of.disk_low)));
    cells.extend(of.memory_bytes.map(|bytes| ("memory_bytes", Cell::Count(bytes))));
    cells.extend([
        ("verify_backend", Cell::Text(of.verify_backend)),
        ("verify_backend_text", Cell::Text(of.verify_backend_text)),
        ("verify_threads", Cell::Count(of.verify_threads.into())),
        ("verify_alarms", Cell::Count(of.verify_alarms)),
        ("durable_lsn", Cell::Count(of.durable_lsn)),
        ("open_window", Cell::Count(of.open_window)),
        ("window_since_us", Cell::Micros(of.window_since_us)),
        ("proposals_open", Cell::Count(of.proposals_open)),
        ("troubles_open", Cell::Count(of.troubles_open)),
        ("alarms", Cell::Records(of.alarms.into_iter().map(text).collect())),
    ]);
    Record(cells)
}

fn outcome(of: OutcomeRate) -> Record {
    Record(vec![
        ("outcome", Cell::Text(of.outcome)),
        ("per_second", Cell::Count(of.per_second)),
        ("total", Cell::Count(of.total)),
    ])
}

fn queue(of: QueueDepth) -> Record {
    Record(vec![
        ("name", Cell::Text(of.name)),
        ("depth", Cell::Count(of.depth)),
        ("bound", Cell::Count(of.bound)),
    ])
}

fn spread(names: [&'static str; 4], of: Spread) -> Vec<(&'static str, Cell)> {
    let all = [Some(of.count), of.p50_us, of.p99_us, of.p999_us];
    let some = names.into_iter().zip(all).filter_map(|(name, value)| Some((name, value?)));
    some.map(|(name, value)| (name, Cell::Count(value))).collect()
}
