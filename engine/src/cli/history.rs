//! `history`: who did what.

use super::CliError;
use super::client::Session;
use super::ids::Named;
use super::output::{Cell, Record, time_text};
use crate::types::PartyId;
use clap::Args;
use tallystick_proto::v1::{HistoryEntry, ListHistoryRequest};

/// Help behind the options.
pub const HELP: &str = "Examples:
  tallystick history --party 5a..00 --kind limit_set,party_upserted
  tallystick history --by ann --since 2026-11-01T00:00:00Z --json
  tallystick history --newest 20

The history is read from the journal: what was refused is not in it, but in the log.";

/// Which events are shown.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Only what this operator did; `schedule` is the schedule, '' whoever has no name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only what names this party, or one of its keys: its id, or its first 8 or more digits
    #[arg(long, value_name = "ID")]
    party: Option<Named<PartyId>>,
    /// Only these kinds, e.g. limit_set; may be repeated
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<String>,
    /// Only what happened from then on: Unix seconds or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = super::voucher::parse_time)]
    since: Option<i64>,
    /// Only what this request did
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only the newest so many, 500 at most, the newest first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    newest: Option<u32>,
    /// Only what happened before this record
    #[arg(long, value_name = "LSN", default_value_t = 0, hide_default_value = true)]
    before: u64,
}

const COLUMNS: [&str; 6] = ["at", "lsn", "kind", "caller", "via", "about"];

/// Shows the events, oldest first unless the newest are asked for.
///
/// # Errors
/// When the call fails.
pub async fn run(session: &mut Session, args: HistoryArgs) -> Result<(), CliError> {
    let HistoryArgs { by, party, kind, since, request_id, newest, before } = args;
    let party_id = match party {
        Some(party) => party.bytes(session).await?,
        None => bytes::Bytes::new(),
    };
    let since_us = since.unwrap_or(0).saturating_mul(1_000_000);
    let asked = ListHistoryRequest {
        by,
        party_id,
        kinds: kind,
        since_us,
        request_id,
        limit: newest.unwrap_or(0),
        newest_first: newest.is_some(),
        before_lsn: before,
    };
    let answer = session.operator().list_history(asked).await;
    let rows = answer.map_err(|status| session.failed(status))?.into_inner();
    session.print_stream(rows, &COLUMNS, record).await
}

fn record(entry: HistoryEntry) -> Record {
    let mut cells = vec![
        ("at", Cell::Text(time_text(Some(entry.at_us)))),
        ("at_us", Cell::Micros(entry.at_us)),
        ("lsn", Cell::Count(entry.lsn)),
        ("kind", Cell::Text(entry.kind)),
        ("caller", Cell::Text(entry.caller)),
        ("role", Cell::Text(entry.role)),
        ("via", Cell::Text(entry.via)),
        ("request_id", Cell::Text(entry.request_id)),
    ];
    if !entry.party_id.is_empty() {
        cells.push(("party_id", Cell::Hex(entry.party_id)));
    }
    if !entry.signer.is_empty() {
        cells.push(("signer", Cell::Hex(entry.signer)));
    }
    cells.extend(entry.asset.map(|asset| ("asset", Cell::Count(asset.into()))));
    cells.extend(entry.window.map(|window| ("window", Cell::Count(window))));
    if !entry.batch_id.is_empty() {
        cells.push(("batch_id", Cell::Hex(entry.batch_id)));
    }
    cells.extend(entry.leg.map(|leg| ("leg", Cell::Count(leg.into()))));
    if !entry.signed_with.is_empty() {
        cells.push(("signed_with", Cell::Hex(entry.signed_with)));
    }
    if !entry.proposal.is_empty() {
        cells.push(("proposal", Cell::Hex(entry.proposal)));
        cells.push(("proposer", Cell::Text(entry.proposer.clone())));
    }
    let about = match &*entry.proposer {
        "" => entry.about,
        proposer => format!("{} (proposed by {proposer})", entry.about).trim().to_owned(),
    };
    cells.push(("about", Cell::Text(about)));
    Record(cells)
}
