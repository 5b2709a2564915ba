//! `leg find`: where is a payment? Looks through the legs of all batches, the newest first.
//!
//! Owns how days and amounts of a search are typed. Asks again until enough is found, since one
//! call looks through a bounded number of legs.

use super::CliError;
use super::batch::leg_record;
use super::client::Session;
use super::ids::{KeyName, Named};
use super::output::{AssetText, AssetTexts, Cell, Record};
use super::page::PageArgs;
use crate::limits::{FIND_PARTIES, PAGE_MAX};
use crate::types::{BatchId, PartyId, Total};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use tallystick_proto::v1::{FindLegsRequest, FoundLeg, LegState, ListPartiesRequest};

/// Shown with `tallystick leg find --help`.
pub const HELP: &str = "\
Examples:
  tallystick leg find --name müller --from 2026-11-26
  tallystick leg find --amount 22.53 --asset 978
  tallystick leg find --reference 'NTRF 4711'
  tallystick leg find --key Y44KQ2PL
  tallystick leg find --batch 7be0d1c2 --state unknown --largest-first

Looks through the legs of every batch, also of those that wait for approval or were aborted, the
newest batch first. A name is what a party is called now. A reference is what the rail or the bank's
statement called the payment. --from and --to are about when a leg left; for one that has not left,
about when its batch was computed.";

/// What is known of the payment.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct FindArgs {
    /// From or to this party: its id, or its first 8 or more digits; may be repeated
    #[arg(long = "party", value_name = "ID", group = "what")]
    parties: Vec<Named<PartyId>>,
    /// From or to a party whose name holds this, in capitals or small letters
    #[arg(long, value_name = "TEXT", group = "what")]
    name: Option<String>,
    /// Over exactly this amount: asset units (22530000), or with a decimal point wholes (22.53)
    #[arg(long, value_name = "AMOUNT", group = "what")]
    amount: Option<String>,
    /// In this asset
    #[arg(long, value_name = "ASSET", value_parser = super::asset::asset_number)]
    asset: Option<u32>,
    /// Left on this day or later: a day (UTC), a time, or Unix seconds
    #[arg(long, value_name = "DAY", value_parser = first_moment, group = "what")]
    from: Option<i64>,
    /// Left on this day or earlier
    #[arg(long, value_name = "DAY", value_parser = last_moment, group = "what")]
    to: Option<i64>,
    /// What the rail or the bank called it holds this, in capitals or small letters
    #[arg(long, value_name = "TEXT", group = "what")]
    reference: Option<String>,
    /// Its key, or the first 8 or more letters of it
    #[arg(long, value_name = "KEY", group = "what")]
    key: Option<KeyName>,
    /// Of this batch alone
    #[arg(long, value_name = "BATCH", group = "what")]
    batch: Option<Named<BatchId>>,
    /// In this state; may be repeated
    #[arg(long = "state", value_name = "STATE", group = "what")]
    states: Vec<StateName>,
    /// Of one batch, the largest amounts first
    #[arg(long, requires = "batch")]
    largest_first: bool,
    #[command(flatten)]
    page: PageArgs,
}

/// Where a leg stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StateName {
    Ready,
    Sent,
    Accepted,
    Unknown,
    Confirmed,
    Rejected,
    Returned,
}

impl StateName {
    fn state(self) -> LegState {
        match self {
            Self::Ready => LegState::Ready,
            Self::Sent => LegState::Sent,
            Self::Accepted => LegState::Accepted,
            Self::Unknown => LegState::Unknown,
            Self::Confirmed => LegState::Confirmed,
            Self::Rejected => LegState::Rejected,
            Self::Returned => LegState::Returned,
        }
    }
}

const COLUMNS: [&str; 8] =
    ["sent_at_us", "batch_id", "state", "from", "to", "amount", "key", "rail_reference"];
const DAY_SECONDS: i64 = 24 * 3_600;

/// A day's first second, a time, or Unix seconds.
fn first_moment(text: &str) -> Result<i64, String> {
    match day(text) {
        Some(first) => Ok(first),
        None => super::voucher::parse_time(text).map_err(|_| not_a_day(text)),
    }
}

/// The second behind a day, behind a time, or behind Unix seconds.
fn last_moment(text: &str) -> Result<i64, String> {
    match day(text) {
        Some(first) => Ok(first + DAY_SECONDS),
        None => super::voucher::parse_time(text).map(|at| at + 1).map_err(|_| not_a_day(text)),
    }
}

fn not_a_day(text: &str) -> String {
    format!("expected a day like 2026-11-26 or a time like 2026-11-26T23:59:59Z, got {text:?}")
}

/// The first second of a day in UTC.
fn day(text: &str) -> Option<i64> {
    let day: jiff::civil::Date = text.parse().ok().filter(|_| text.len() == "2026-11-26".len())?;
    let midnight = day.at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(midnight.timestamp().as_second())
}

/// Runs `tallystick leg find`.
///
/// # Errors
/// When a call fails, nobody has the name, or nothing is found.
pub async fn run(session: &mut Session, args: FindArgs) -> Result<(), CliError> {
    let mut asked = asked(session, &args).await?;
    let (mut left, mut found) = (args.page.begin(), 0usize);
    let (mut batches, mut legs) = (0, 0);
    loop {
        asked.limit = left.ask(PAGE_MAX);
        let answer = session.operator().find_legs(asked.clone()).await;
        let answer = answer.map_err(|status| session.failed(status))?.into_inner();
        (batches, legs) = (batches + answer.batches_seen, legs + answer.legs_seen);
        found += answer.legs.len();
        left.shown(answer.legs.len());
        let rows: Vec<Record> = answer.legs.into_iter().map(record).collect();
        session.print_rows(&rows, &COLUMNS).await?;
        let more = !answer.next.is_empty();
        asked.next = answer.next;
        if !more || left.is_full() {
            let seen = format!("looked through {legs} legs of {batches} batches, the newest first");
            if found == 0 {
                return Err(CliError::Failed(format!("no such leg; {seen}")));
            }
            let rest = if more { "; --limit N or --all looks on" } else { "; these are all" };
            super::note(&format!("note: {seen}{rest}"));
            return Ok(());
        }
    }
}

/// What is asked for, with every name, id and amount as the engine takes it.
async fn asked(session: &mut Session, args: &FindArgs) -> Result<FindLegsRequest, CliError> {
    let mut party_ids = Vec::new();
    for party in &args.parties {
        party_ids.push(party.bytes(session).await?);
    }
    if let Some(name) = &args.name {
        party_ids.extend(parties_called(session, name).await?);
    }
    if party_ids.len() > FIND_PARTIES {
        return Err(CliError::Input(format!(
            "more than {FIND_PARTIES} parties are meant; give a longer part of the name, or --party ID"
        )));
    }
    let batch_id = match &args.batch {
        Some(batch) => batch.bytes(session).await?,
        None => Bytes::new(),
    };
    let amount = match &args.amount {
        Some(text) => units(session.assets().await?, text, args.asset)?,
        None => String::new(),
    };
    let micros = |seconds: Option<i64>| seconds.map_or(0, |at| at.saturating_mul(1_000_000));
    Ok(FindLegsRequest {
        party_ids,
        amount,
        asset: args.asset,
        from_us: micros(args.from),
        to_us: micros(args.to),
        reference: args.reference.clone().unwrap_or_default(),
        key: args.key.as_ref().map(|key| key.letters().to_owned()).unwrap_or_default(),
        batch_id,
        states: args.states.iter().map(|name| name.state().into()).collect(),
        largest_first: args.largest_first,
        ..FindLegsRequest::default()
    })
}

/// The parties whose name holds a text, one more than may be searched for at most.
async fn parties_called(session: &Session, name: &str) -> Result<Vec<Bytes>, CliError> {
    let (mut found, mut after) = (Vec::new(), Bytes::new());
    while found.len() <= FIND_PARTIES {
        let (name, party_ids) = (name.to_owned(), Vec::new());
        let limit = u32::try_from(FIND_PARTIES + 1).expect("a limit is small");
        let asked = ListPartiesRequest { after, limit, name, party_ids };
        let answer = session.operator().list_parties(asked).await;
        let answer = answer.map_err(|status| session.failed(status))?.into_inner();
        found.extend(answer.parties.into_iter().map(|party| party.party_id));
        after = answer.next;
        if after.is_empty() {
            break;
        }
    }
    if found.is_empty() {
        return Err(CliError::Failed(format!(
            "no party's name holds {name:?}; `tallystick party list` shows all"
        )));
    }
    Ok(found)
}

/// The amount in asset units. With a decimal point it is wholes: then it must be clear of which
/// asset, or all have the same scale. A search that is misread does no harm.
fn units(assets: &AssetTexts, text: &str, asset: Option<u32>) -> Result<String, CliError> {
    let bad = |why: String| CliError::Input(format!("--amount {text}: {why}"));
    let Some((whole, fraction)) = text.split_once('.') else {
        return match Total::parse_bounded(text) {
            Ok(total) => Ok(total.to_string()),
            Err(error) => Err(bad(error.to_string())),
        };
    };
    let scales = match asset {
        Some(asset) => assets.get(&asset).map(|AssetText { scale, .. }| *scale),
        None => {
            let mut all = assets.values().map(|asset| asset.scale);
            let first = all.next();
            first.filter(|first| all.all(|scale| scale == *first))
        }
    };
    let scale = scales.ok_or_else(|| {
        bad("say of which asset with --asset N; `tallystick asset list` shows them".into())
    })?;
    let scale = usize::try_from(scale).expect("scales are small");
    if fraction.len() > scale || whole.is_empty() {
        return Err(bad(format!("expected digits, and {scale} at most after the point")));
    }
    match Total::parse_bounded(&format!("{whole}{fraction:0<scale$}")) {
        Ok(total) => Ok(total.to_string()),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn record(found: FoundLeg) -> Record {
    let state = super::state_name(found.batch_state().as_str_name(), "BATCH_STATE_");
    let asset = found.asset;
    let Record(leg) = leg_record(found.leg.unwrap_or_default(), asset);
    let mut cells = vec![
        ("sent_at_us", Cell::Micros(found.sent_at_us)),
        ("batch_id", Cell::Id(found.batch_id)),
        ("batch_state", Cell::Text(state)),
        ("batch_at_us", Cell::Micros(found.batch_at_us)),
        ("asset", Cell::Count(asset.into())),
        ("rail", Cell::Text(found.rail)),
        ("file", Cell::Text(found.file)),
    ];
    cells.extend(leg);
    Record(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assets(scales: &[(u32, u32)]) -> AssetTexts {
        let text =
            |(number, scale): &(u32, u32)| (*number, AssetText { code: "X".into(), scale: *scale });
        scales.iter().map(text).collect()
    }

    #[test]
    fn an_amount_is_units_or_with_a_point_wholes_of_a_scale_that_is_clear() {
        let (one, two) = (assets(&[(978, 6)]), assets(&[(978, 6), (1, 2)]));
        let read = |assets: &AssetTexts, text: &str, asset| {
            units(assets, text, asset).map_err(|error| error.to_string())
        };
        assert_eq!(read(&one, "22.53", None).unwrap(), "22530000");
        assert_eq!(read(&two, "22.53", Some(1)).unwrap(), "2253");
        assert_eq!(read(&two, "22", None).unwrap(), "22");
        for (text, asset, why) in [
            ("22.53", None, "of which asset"),
            ("22.53", Some(7), "of which asset"),
            ("22.531", Some(1), "2 at most"),
            (".53", Some(1), "digits"),
            ("-1", Some(1), "-1"),
        ] {
            let error = read(&two, text, asset).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_day_begins_at_its_midnight_and_ends_at_the_next() {
        assert_eq!(first_moment("1970-01-02"), Ok(86_400));
        assert_eq!(last_moment("1970-01-02"), Ok(2 * 86_400));
        assert_eq!(first_moment("1970-01-01T00:01:00Z"), Ok(60));
        assert_eq!(last_moment("60"), Ok(61));
        for bad in ["thursday", "2026-11", "2026-13-01", "26-11-26"] {
            assert!(first_moment(bad).unwrap_err().contains("2026-11-26"), "{bad}");
        }
    }
}
