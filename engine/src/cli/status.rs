//! `status`: what the engine is and does right now.

use super::CliError;
use super::client::Session;
use super::output::{Cell, Record};
use crate::config::show_duration;
use std::time::Duration;
use tallystick_proto::v1::{
    Backup, BatchCount, GetStatusRequest, Hold, KeyTables, Network, ScheduleStatus, Status,
};

/// Runs `tallystick status`.
///
/// # Errors
/// When the call fails.
pub async fn run(session: &mut Session) -> Result<(), CliError> {
    let answer = session.operator().get_status(GetStatusRequest {}).await;
    let status = answer.map_err(|status| session.failed(status))?.into_inner();
    let network = session.network().await?;
    let record = if session.out.is_json() { json(status, network) } else { text(status, network) };
    session.print(&record).await
}

/// The contract's own names and units.
fn json(status: Status, network: Network) -> Record {
    let lifetime = network.voucher_lifetime_seconds_max;
    Record(vec![
        ("version", Cell::Text(status.version)),
        ("network_id", Cell::Hex(status.network_id)),
        ("started_at_us", Cell::Micros(status.started_at_us)),
        ("durable_lsn", Cell::Count(status.durable_lsn)),
        ("open_window", Cell::Count(status.open_window)),
        ("window_vouchers", Cell::Count(status.window_vouchers)),
        ("window_every_ms", Cell::Count(status.window_every_ms)),
        ("inflight_vouchers", Cell::Count(status.inflight_vouchers)),
        ("vouchers_verified", Cell::Count(status.vouchers_verified)),
        ("parties", Cell::Count(status.parties)),
        ("signers", Cell::Count(status.signers)),
        ("channels", Cell::Count(status.channels)),
        ("batches", Cell::Count(status.batches)),
        ("shards", Cell::Count(status.shards.into())),
        ("verify_threads", Cell::Count(status.verify_threads.into())),
        ("verify_backend", Cell::Text(status.verify_backend)),
        ("verify_backend_text", Cell::Text(status.verify_backend_text)),
        ("verify_tables", tables(status.verify_tables)),
        ("verify_rejects_confirmed", Cell::Count(status.verify_rejects_confirmed)),
        ("verify_alarms", Cell::Count(status.verify_alarms)),
        ("cpu_total_us", Cell::Count(status.cpu_total_us)),
        ("cpu_verify_us", Cell::Count(status.cpu_verify_us)),
        ("frame_vouchers_max", Cell::Count(network.frame_vouchers_max.into())),
        ("voucher_lifetime_seconds_max", Cell::Seconds(lifetime)),
        ("assets", Cell::Count(count(network.assets.len()))),
        ("operators", Cell::Count(status.operators.into())),
        ("four_eyes", Cell::Flag(status.four_eyes)),
        ("request_ids", Cell::Count(status.request_ids)),
        ("request_ids_max", Cell::Count(status.request_ids_max)),
        ("log_lines_lost", Cell::Count(status.log_lines_lost)),
        ("audit_lines_lost", Cell::Count(status.audit_lines_lost)),
        ("connections", Cell::Count(status.connections)),
        ("connections_turned_away", Cell::Count(status.connections_turned_away)),
        ("tokens_refused", Cell::Count(status.tokens_refused)),
        ("batches_by_state", batches(status.batches_by_state)),
        ("legs_in_flight", Cell::Count(status.legs_in_flight)),
        ("legs_unknown", Cell::Count(status.legs_unknown)),
        ("troubles_open", Cell::Count(status.troubles_open)),
        ("proposals_open", Cell::Count(status.proposals_open)),
        ("webhooks", Cell::Count(status.webhooks)),
        ("webhooks_failing", Cell::Count(status.webhooks_failing)),
        ("webhooks_paused", Cell::Count(status.webhooks_paused)),
        ("oldest_computed_us", Cell::Micros(status.oldest_computed_us)),
        ("oldest_settling_us", Cell::Micros(status.oldest_settling_us)),
        ("oldest_unknown_us", Cell::Micros(status.oldest_unknown_us)),
        ("at_us", Cell::Micros(status.at_us)),
        ("backup_dir", Cell::Text(status.backup_dir)),
        ("last_backup_us", last_backup(status.last_backup.as_ref())),
        ("restored", restored(status.hold)),
        ("troubles", troubles(status.troubles)),
        ("schedule", schedule(status.schedule)),
    ])
}

/// The same, in the units of people.
fn text(status: Status, network: Network) -> Record {
    let every = match status.window_every_ms {
        0 if !status.schedule.is_empty() => "by the schedule, or by hand".into(),
        0 => "by hand only".into(),
        millis => show_duration(Duration::from_millis(millis)),
    };
    let lifetime = u64::try_from(network.voucher_lifetime_seconds_max).unwrap_or(0);
    let verify = format!("{} threads, {}", status.verify_threads, status.verify_backend_text);
    let cpu = format!(
        "{}, of it {} checking signatures",
        seconds(status.cpu_total_us),
        seconds(status.cpu_verify_us)
    );
    let operators = match (status.operators, status.four_eyes) {
        (0, _) => "none: without any identity whoever reaches the engine may operate it".into(),
        (some, true) => format!("{some}, four eyes"),
        (some, false) => some.to_string(),
    };
    let requests =
        format!("{} of at most {} remembered", status.request_ids, status.request_ids_max);
    let connections = match status.connections_turned_away {
        0 => status.connections.to_string(),
        away => format!("{}; {away} were not let in, all places were taken", status.connections),
    };
    let webhooks = webhooks(&status);
    let mut cells = alarm(&status);
    cells.extend([
        ("version", Cell::Text(status.version)),
        ("network_id", Cell::Hex(status.network_id)),
        ("started_at_us", Cell::Micros(status.started_at_us)),
        ("durable_lsn", Cell::Count(status.durable_lsn)),
        ("open_window", Cell::Count(status.open_window)),
        ("window_vouchers", Cell::Count(status.window_vouchers)),
        ("window_every", Cell::Text(every)),
        ("inflight_vouchers", Cell::Count(status.inflight_vouchers)),
        ("vouchers_verified", Cell::Count(status.vouchers_verified)),
        ("parties", Cell::Count(status.parties)),
        ("signers", Cell::Count(status.signers)),
        ("assets", Cell::Count(count(network.assets.len()))),
        ("channels", Cell::Count(status.channels)),
        ("batches", Cell::Count(status.batches)),
        ("batches_by_state", batches(status.batches_by_state)),
        ("legs_in_flight", Cell::Count(status.legs_in_flight)),
        ("legs_unknown", Cell::Count(status.legs_unknown)),
        ("oldest_computed_us", Cell::Micros(status.oldest_computed_us)),
        ("oldest_settling_us", Cell::Micros(status.oldest_settling_us)),
        ("last_backup_us", last_backup(status.last_backup.as_ref())),
        ("restored", restored(status.hold)),
        ("troubles", troubles(status.troubles)),
        ("schedule", schedule(status.schedule)),
        ("webhooks", webhooks),
        ("operators", Cell::Text(operators)),
        ("request_ids", Cell::Text(requests)),
        ("log_lines_lost", Cell::Count(status.log_lines_lost)),
        ("connections", Cell::Text(connections)),
        ("tokens_refused", Cell::Count(status.tokens_refused)),
        ("shards", Cell::Count(status.shards.into())),
        ("verify", Cell::Text(verify)),
        ("verify_tables", tables(status.verify_tables)),
        ("verify_rejects_confirmed", Cell::Count(status.verify_rejects_confirmed)),
        ("cpu", Cell::Text(cpu)),
        ("frame_vouchers_max", Cell::Count(network.frame_vouchers_max.into())),
        ("voucher_lifetime_max", Cell::Text(show_duration(Duration::from_secs(lifetime)))),
    ]);
    Record(cells)
}

/// What must be seen first, if there is any of it.
fn alarm(status: &Status) -> Vec<(&'static str, Cell)> {
    match status.verify_alarms {
        0 => Vec::new(),
        alarms => {
            let text = format!(
                "{alarms} VALID SIGNATURES WERE REJECTED AND CORRECTED: this machine or the engine is \
                 broken. Only the slow reference decides now; see the engine's log, and check this \
                 machine before you restart"
            );
            vec![("ALARM", Cell::Text(text))]
        }
    }
}

/// Those that are sent to, and what goes wrong with them.
fn webhooks(status: &Status) -> Cell {
    let mut text = status.webhooks.to_string();
    if status.webhooks_failing > 0 {
        text += &format!("; {} failed, and are tried again", status.webhooks_failing);
    }
    if status.webhooks_paused > 0 {
        let paused = status.webhooks_paused;
        text += &format!("; {paused} PAUSED: `tallystick webhook list` says why");
    }
    Cell::Text(text)
}

fn last_backup(last: Option<&Backup>) -> Cell {
    Cell::Micros(last.map_or(0, |last| last.created_at_us))
}

fn restored(hold: Option<Hold>) -> Cell {
    Cell::Records(hold.map(super::restore::record).into_iter().collect())
}

fn batches(counts: Vec<BatchCount>) -> Cell {
    let record = |count: BatchCount| {
        let state = super::state_name(count.state().as_str_name(), "BATCH_STATE_");
        Record(vec![("state", Cell::Text(state)), ("batches", Cell::Count(count.batches))])
    };
    Cell::Records(counts.into_iter().map(record).collect())
}

fn troubles(troubles: Vec<String>) -> Cell {
    let record = |text| Record(vec![("trouble", Cell::Text(text))]);
    Cell::Records(troubles.into_iter().map(record).collect())
}

fn schedule(entries: Vec<ScheduleStatus>) -> Cell {
    let record = |entry: ScheduleStatus| {
        let asset = entry.asset;
        let sum = |units: String| match units.as_str() {
            "" => Cell::Text(units),
            _ => Cell::Money(units, asset),
        };
        Record(vec![
            ("asset", Cell::Count(asset.into())),
            ("close", Cell::Text(entry.close)),
            ("next_run_us", Cell::Micros(entry.next_run_us)),
            ("last_run_us", Cell::Micros(entry.last_run_us)),
            ("close_when_gross_over", sum(entry.close_when_gross_over)),
            ("gross", sum(entry.gross)),
            ("close_when_exposure_over", sum(entry.close_when_exposure_over)),
            ("exposure", sum(entry.exposure)),
            ("batch_rail", Cell::Text(entry.batch_rail)),
            ("batch_min_total", sum(entry.batch_min_total)),
            ("approve_below", sum(entry.approve_below)),
            ("approve_below_per_day", sum(entry.approve_below_per_day)),
            ("approved_today", sum(entry.approved_today)),
            ("trouble", Cell::Text(entry.trouble)),
        ])
    };
    Cell::Records(entries.into_iter().map(record).collect())
}

fn tables(tiers: Vec<KeyTables>) -> Cell {
    let record = |tier: KeyTables| {
        Record(vec![
            ("tier", Cell::Text(tier.tier)),
            ("capacity", Cell::Count(tier.capacity)),
            ("tables", Cell::Count(tier.tables)),
            ("built", Cell::Count(tier.built)),
            ("evicted", Cell::Count(tier.evicted)),
        ])
    };
    Cell::Records(tiers.into_iter().map(record).collect())
}

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}

/// Microseconds as seconds with two places.
fn seconds(micros: u64) -> String {
    let hundredths = micros / 10_000;
    format!("{}.{:02} s", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_the_first_that_people_see_and_nothing_without_one() {
        let first = |verify_alarms| {
            let status = Status { verify_alarms, ..Default::default() };
            text(status, Network::default()).0[0].0
        };
        assert_eq!((first(0), first(1)), ("version", "ALARM"));
        let status = Status { verify_alarms: 3, ..Default::default() };
        assert_eq!(json(status, Network::default()).json()["verify_alarms"], 3);
    }

    #[test]
    fn people_see_seconds_and_programs_microseconds() {
        assert_eq!(seconds(12_345_678), "12.34 s");
        let status = Status { cpu_total_us: 12_345_678, ..Default::default() };
        assert_eq!(json(status, Network::default()).json()["cpu_total_us"], 12_345_678);
    }
}
