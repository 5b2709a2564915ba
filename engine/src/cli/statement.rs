//! `party statement`: what a party sent and received window by window, and the payments that
//! settled it. The windows are told by the engine from what it has sealed; the payments are those
//! of the batches that settle them.

mod table;

use super::CliError;
use super::client::Session;
use super::ids::Named;
use super::output::{AssetText, AssetTexts, Cell, Record};
use crate::limits::PAGE_MAX;
use crate::types::{PartyId, Total};
use bytes::Bytes;
use clap::Args;
use std::collections::BTreeMap;
use tallystick_proto::v1::{
    FindLegsRequest, FoundLeg, GetStatementRequest, LegState, ListWindowsRequest, Obligation,
    StatementLine, WindowAssetRequest,
};
use tonic::Code;

/// Shown with `tallystick party statement --help`.
pub const HELP: &str = "\
Examples:
  tallystick party statement 5a3e77c0
  tallystick party statement 5a3e77c0 --windows 3-9 --asset 978
  tallystick party statement 5a3e77c0 --windows 3- --by-party --csv > statement.csv

Of each window: what the party sent to others, what it received, what earlier batches had left for
it, and its position (net), which `tallystick proof position WINDOW --asset ASSET --party ID`
proves. Below zero it pays. Then the payments of the batches that settle these windows. A batch may
settle other windows, too. What is below a rail's unit a batch does not pay: carried_on says what
each left for a later window, below zero where the party owes it.";

/// Windows that are shown if nothing is said.
const SHOWN: u64 = 100;

/// `tallystick party statement`
#[derive(Debug, Args)]
pub struct StatementArgs {
    /// The party's id, or its first 8 or more digits
    #[arg(value_name = "ID")]
    party: Named<PartyId>,
    /// From this window to that one: 3-9, 3- or 3 [default: the last 100 that are closed]
    #[arg(long, value_name = "FIRST-LAST", value_parser = windows)]
    windows: Option<Windows>,
    /// In this asset [default: all]
    #[arg(long, value_name = "ASSET", value_parser = super::asset::asset_number)]
    asset: Option<u32>,
    /// Also with whom: what each other party sent it, and was sent by it, in each window
    #[arg(long)]
    by_party: bool,
    /// Print a table for spreadsheets: CSV, amounts in wholes
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// The windows of a statement, both included; without a last one up to the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Windows {
    first: u64,
    last: Option<u64>,
}

/// Reads `3-9`, `3-` or `3`.
fn windows(text: &str) -> Result<Windows, String> {
    let bad = || format!("expected windows like 3-9, 3- or 3, got {text:?}");
    let number = |text: &str| super::window::window_number(text).map_err(|_| bad());
    let (first, last) = match text.split_once('-') {
        None => (number(text)?, Some(number(text)?)),
        Some((first, "")) => (number(first)?, None),
        Some((first, last)) => (number(first)?, Some(number(last)?)),
    };
    match last {
        Some(last) if last < first => Err(bad()),
        Some(_) | None => Ok(Windows { first, last }),
    }
}

/// Everything that is shown.
struct Statement {
    party: Bytes,
    lines: Vec<StatementLine>,
    /// What the batches of these lines leave for a later window.
    carried_on: BTreeMap<(Bytes, u32), String>,
    payments: Vec<FoundLeg>,
    /// With whom, by window, if that was asked for.
    owed: Option<Vec<(u64, Obligation)>>,
}

/// Runs `tallystick party statement`.
///
/// # Errors
/// When a call fails, or standard output cannot be written.
pub async fn run(session: &mut Session, args: StatementArgs) -> Result<(), CliError> {
    let party = args.party.bytes(session).await?;
    let windows = match args.windows {
        Some(windows) => windows,
        None => newest(session).await?,
    };
    let (lines, carried_on) = lines(session, &party, windows, args.asset).await?;
    let payments = payments(session, &party, &lines).await?;
    let owed = if args.by_party { Some(owed(session, &party, &lines).await?) } else { None };
    let statement = Statement { party, lines, carried_on, payments, owed };
    if args.csv {
        let text = statement.csv(session.assets().await?)?;
        return session.out.text(&text);
    }
    let json = session.out.is_json();
    if statement.lines.is_empty() {
        super::note("note: the party neither sent nor received anything in these windows");
    }
    session.print(&statement.record(json)).await
}

/// The last windows that are closed.
async fn newest(session: &Session) -> Result<Windows, CliError> {
    let asked = ListWindowsRequest { limit: 1, newest_first: true, ..Default::default() };
    let answer = session.operator().list_windows(asked).await;
    let mut rows = match answer {
        Ok(rows) => rows.into_inner(),
        // Which windows there are is no owner's affair; what the party did in them is.
        Err(status) if status.code() == Code::PermissionDenied => {
            return Ok(Windows { first: 1, last: None });
        }
        Err(status) => return Err(session.failed(status)),
    };
    let open = rows.message().await.map_err(|status| session.failed(status))?;
    let open = open.map_or(1, |window| window.number);
    if open == 1 {
        return Err(CliError::Failed(
            "no window is closed yet; `tallystick window close` closes the first".into(),
        ));
    }
    Ok(Windows { first: open.saturating_sub(SHOWN).max(1), last: None })
}

async fn lines(
    session: &Session,
    party_id: &Bytes,
    windows: Windows,
    asset: Option<u32>,
) -> Result<(Vec<StatementLine>, BTreeMap<(Bytes, u32), String>), CliError> {
    let (mut all, mut first_window) = (Vec::new(), windows.first);
    let mut carried_on = BTreeMap::new();
    while first_window > 0 {
        let (party_id, last_window) = (party_id.clone(), windows.last.unwrap_or(0));
        let asked = GetStatementRequest { party_id, asset, first_window, last_window };
        let answer = session.operator().get_statement(asked).await;
        let answer = answer.map_err(|status| session.failed(status))?.into_inner();
        all.extend(answer.lines);
        let carried = answer.carried_on.into_iter();
        carried_on.extend(carried.map(|of| ((of.batch_id, of.asset), of.amount)));
        first_window = answer.next_window;
    }
    Ok((all, carried_on))
}

/// What others owed the party in these lines, and what it owed them.
async fn owed(
    session: &Session,
    party: &Bytes,
    lines: &[StatementLine],
) -> Result<Vec<(u64, Obligation)>, CliError> {
    let mut all = Vec::new();
    for line in lines {
        let of =
            WindowAssetRequest { window: line.window, asset: line.asset, ..Default::default() };
        let got = WindowAssetRequest { payee: party.clone(), ..of.clone() };
        let gave = WindowAssetRequest { payer: party.clone(), ..of };
        for asked in [got, gave] {
            let answer = session.operator().list_obligations(asked).await;
            let mut rows = answer.map_err(|status| session.failed(status))?.into_inner();
            while let Some(row) = rows.message().await.map_err(|status| session.failed(status))? {
                all.push((line.window, row));
            }
        }
    }
    Ok(all)
}

/// The party's legs of the batches that settle these lines, each batch once, the oldest first.
async fn payments(
    session: &Session,
    party: &Bytes,
    lines: &[StatementLine],
) -> Result<Vec<FoundLeg>, CliError> {
    let mut batches: Vec<&Bytes> = Vec::new();
    for line in lines.iter().filter(|line| !line.batch_id.is_empty()) {
        if !batches.contains(&&line.batch_id) {
            batches.push(&line.batch_id);
        }
    }
    let mut all = Vec::new();
    for batch in batches {
        let mut asked = FindLegsRequest {
            party_ids: vec![party.clone()],
            batch_id: batch.clone(),
            limit: u32::try_from(PAGE_MAX).expect("a page is small"),
            ..FindLegsRequest::default()
        };
        loop {
            let answer = session.operator().find_legs(asked.clone()).await;
            let answer = answer.map_err(|status| session.failed(status))?.into_inner();
            all.extend(answer.legs);
            asked.next = answer.next;
            if asked.next.is_empty() {
                break;
            }
        }
    }
    Ok(all)
}

fn window_state(line: &StatementLine) -> String {
    super::state_name(line.window_state().as_str_name(), "WINDOW_STATE_")
}

fn leg_state(state: LegState) -> String {
    super::state_name(state.as_str_name(), "LEG_STATE_")
}

/// What of a leg its party pays, and what it gets.
fn ways(found: &FoundLeg, party: &Bytes) -> (Total, Total) {
    let leg = found.leg.clone().unwrap_or_default();
    let amount = leg.amount.parse().map_or(Total::ZERO, Total);
    if leg.from == party { (amount, Total::ZERO) } else { (Total::ZERO, amount) }
}

impl Statement {
    fn record(&self, json: bool) -> Record {
        let windows = self.lines.iter().map(|line| line_record(line, json)).collect();
        let payments = self.payments.iter().map(|found| self.payment(found)).collect();
        let carried_on = self.carried_on.iter().map(|((batch, asset), amount)| {
            Record(vec![
                ("batch_id", Cell::Id(batch.clone())),
                ("asset", Cell::Count((*asset).into())),
                ("amount", Cell::Money(amount.clone(), *asset)),
            ])
        });
        let mut cells = vec![
            ("party_id", Cell::Party(self.party.clone())),
            ("windows", Cell::Records(windows)),
            ("payments", Cell::Records(payments)),
            ("carried_on", Cell::Records(carried_on.collect())),
            ("totals", Cell::Records(self.totals())),
        ];
        let owed = self.owed.as_ref().map(|owed| owed.iter().map(|row| self.with(row)).collect());
        cells.extend(owed.map(|owed| ("by_party", Cell::Records(owed))));
        Record(cells)
    }

    /// The other party of an obligation, what the party sent it, and what it received.
    fn other(&self, owed: &Obligation) -> (Bytes, String, String) {
        let (amount, none) = (owed.amount.clone(), "0".to_owned());
        match owed.payee == self.party {
            true => (owed.payer.clone(), none, amount),
            false => (owed.payee.clone(), amount, none),
        }
    }

    fn with(&self, (window, owed): &(u64, Obligation)) -> Record {
        let (other, sent, received) = self.other(owed);
        Record(vec![
            ("window", Cell::Count(*window)),
            ("asset", Cell::Count(owed.asset.into())),
            ("party_id", Cell::Party(other)),
            ("sent", Cell::Money(sent, owed.asset)),
            ("received", Cell::Money(received, owed.asset)),
        ])
    }

    fn payment(&self, found: &FoundLeg) -> Record {
        let leg = found.leg.clone().unwrap_or_default();
        let (pays, gets) = ways(found, &self.party);
        let money = |sum: Total| Cell::Money(sum.to_string(), found.asset);
        Record(vec![
            ("sent_at_us", Cell::Micros(found.sent_at_us)),
            ("batch_id", Cell::Id(found.batch_id.clone())),
            ("asset", Cell::Count(found.asset.into())),
            ("pays", money(pays)),
            ("gets", money(gets)),
            ("state", Cell::Text(leg_state(leg.state()))),
            ("key", Cell::Text(leg.key)),
            ("rail_reference", Cell::Text(leg.rail_reference)),
            ("file", Cell::Text(found.file.clone())),
        ])
    }

    /// Per asset: what was sent and received, and what of the payments has been made. Positions
    /// are not summed up: what one window leaves unpaid is carried into another.
    fn totals(&self) -> Vec<Record> {
        let mut sums: BTreeMap<u32, [Total; 4]> = BTreeMap::new();
        let mut add = |asset: u32, more: [Total; 4]| {
            let held = sums.entry(asset).or_default();
            held.iter_mut().zip(more).for_each(|(held, more)| *held = held.plus(more));
        };
        let total = |text: &str| text.parse().map_or(Total::ZERO, Total);
        for line in &self.lines {
            let (sent, received) = (total(&line.sent), total(&line.received));
            add(line.asset, [sent, received, Total::ZERO, Total::ZERO]);
        }
        for found in &self.payments {
            let state = found.leg.as_ref().map(|leg| leg.state());
            if state == Some(LegState::Confirmed) {
                let (pays, gets) = ways(found, &self.party);
                add(found.asset, [Total::ZERO, Total::ZERO, pays, gets]);
            }
        }
        let record = |(asset, sums): (u32, [Total; 4])| {
            let mut cells = vec![("asset", Cell::Count(asset.into()))];
            let names = ["sent", "received", "has_paid", "has_got"];
            let money = |sum: Total| Cell::Money(sum.to_string(), asset);
            cells.extend(names.into_iter().zip(sums.map(money)));
            Record(cells)
        };
        sums.into_iter().map(record).collect()
    }
}

fn code(asset: u32, assets: &AssetTexts) -> String {
    assets.get(&asset).map_or(String::new(), |text| text.code.clone())
}

fn line_record(line: &StatementLine, json: bool) -> Record {
    let money = |units: &str| Cell::Money(units.to_owned(), line.asset);
    let mut cells = vec![
        ("window", Cell::Count(line.window)),
        ("cut_at_us", Cell::Micros(line.cut_at_us)),
        ("asset", Cell::Count(line.asset.into())),
        ("sent", money(&line.sent)),
        ("received", money(&line.received)),
        ("carried", money(&line.carried)),
        ("net", money(&line.net)),
        ("state", Cell::Text(window_state(line))),
        ("batch_id", Cell::Id(line.batch_id.clone())),
    ];
    if json {
        let state = super::state_name(line.batch_state().as_str_name(), "BATCH_STATE_");
        cells.push(("batch_state", Cell::Text(state)));
        cells.push(("root", Cell::Hex(line.root.clone())));
    }
    Record(cells)
}

/// A time, or nothing for never.
fn at(micros: i64) -> String {
    if micros == 0 { String::new() } else { super::output::time_text(Some(micros)) }
}

/// An amount in wholes, without the asset's code.
fn whole(units: &str, asset: u32, assets: &AssetTexts) -> String {
    let (sign, digits) = units.strip_prefix('-').map_or(("", units), |digits| ("-", digits));
    match (assets.get(&asset), digits.parse().map(Total)) {
        (Some(AssetText { scale, .. }), Ok(sum)) => format!("{sign}{}", sum.decimal(*scale)),
        (Some(_) | None, Ok(_) | Err(_)) => units.to_owned(),
    }
}

/// What a bank wrote is never a formula for the program that opens the file.
fn no_formula(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.trim_start().starts_with(['=', '+', '-', '@']) { format!("'{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_proto::v1::Leg;

    #[test]
    fn windows_are_one_or_from_one_to_another_or_to_the_newest() {
        let read = |text| windows(text).map(|found| (found.first, found.last));
        assert_eq!(read("3-9"), Ok((3, Some(9))));
        assert_eq!(read("3-"), Ok((3, None)));
        assert_eq!(read("3"), Ok((3, Some(3))));
        for bad in ["", "-", "-3", "0", "9-3", "3-x", "3,4", "last"] {
            assert!(windows(bad).unwrap_err().contains("3-9"), "{bad}");
        }
    }

    #[test]
    fn a_table_has_amounts_in_wholes_and_no_formula() {
        let party = Bytes::from(vec![7; 32]);
        let line = StatementLine {
            window: 3,
            asset: 978,
            sent: "1500000".into(),
            carried: "-5".into(),
            net: "-1500005".into(),
            ..StatementLine::default()
        };
        let leg = Leg {
            key: "K".into(),
            from: party.clone(),
            amount: "1500005".into(),
            state: LegState::Confirmed.into(),
            rail_reference: "=1+1\n2".into(),
            ..Leg::default()
        };
        let payment = FoundLeg { leg: Some(leg), asset: 978, ..FoundLeg::default() };
        let carried_on = [((Bytes::from(vec![9; 32]), 978), "-5".to_owned())].into();
        let payer = Bytes::from(vec![9; 32]);
        let owed = Obligation { payer, payee: party.clone(), asset: 978, amount: "7".into() };
        let (lines, payments, owed) = (vec![line], vec![payment], Some(vec![(3, owed)]));
        let statement = Statement { party, lines, carried_on, payments, owed };
        let euro = AssetText { code: "EUR".into(), scale: 6 };
        let text = statement.csv(&[(978, euro)].into()).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows[0].starts_with("kind,at,window,"));
        assert!(rows[1].contains(",3,,978,EUR,1.500000,,-0.000005,-1.500005,"), "{}", rows[1]);
        let other = format!("with,,3,,978,EUR,0.000000,0.000007,,,,,,,,,{}", "09".repeat(32));
        assert_eq!(rows[2], other);
        assert!(rows[3].contains(",1.500005,0.000000,confirmed,K,'=1+1 2,"), "{}", rows[3]);
        assert!(rows[4].starts_with("carried_on,,,0909"), "{}", rows[4]);
        assert!(rows[4].contains(",978,EUR,,,-0.000005,,,"), "{}", rows[4]);
        let shown = statement.record(true).json();
        assert_eq!(shown["carried_on"][0]["amount"], "-5");
        assert_eq!(shown["by_party"][0]["received"], "7");
        let totals = statement.totals()[0].json();
        assert_eq!(totals["has_paid"], "1500005");
        assert_eq!(totals["has_got"], "0");
    }
}
