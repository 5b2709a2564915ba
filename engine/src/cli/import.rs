//! `import`: parties, signers, limits and deposits in bulk, from JSON Lines.
//!
//! Owns the form of a line (docs/CLI.md describes it) and the request id that a line gets from its
//! content, so that a file can be imported again. A line that is wrong never stops the others.

use super::CliError;
use super::client::{self, Session};
use super::names::{self, Names};
use super::output::{Cell, Record};
use crate::limits;
use crate::types::{Amount, PartyId, SignerKey, Total};
use clap::Args;
use serde::Deserialize;
use serde_json::error::Category;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use tallystick_proto::v1::import_request::Item;
use tallystick_proto::v1::{
    AddSignerRequest, Cap, ImportRequest, Keep, Party, RecordDepositRequest, SetCreditLimitRequest,
    SettlementAccount, Signer, UpsertPartyRequest,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Domain of the request ids that are made from lines.
const LINE_CONTEXT: &str = "tallystick 2026-11 import line v1";

/// Longest line: no valid one comes near it, and a file without line ends must not fill the memory.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Failures that people are shown: the first tell what is wrong with the rest.
const FAILURES_SHOWN: usize = 20;

/// Help after that of clap.
pub const HELP: &str = r#"Example:
  tallystick import parties.jsonl

Each line is one of:
  {"party":{"id":"HEX","name":"Example GmbH","accounts":{"iso20022":{"iban":"DE89..."}}}}
  {"signer":{"key":"HEX","party":"HEX","caps":{"978":5000000}}}
  {"limit":{"party":"HEX","asset":978,"limit":"100000000"}}
  {"deposit":{"party":"HEX","asset":978,"amount":"2500000","reference":"statement 41, entry 7"}}
and may hold a "request_id"; without one it is made from the line's text, so that importing a file
again changes nothing more. Of a party that is registered, "accounts" and "suspended" stay as they are
where a line leaves them out. Amounts are in asset units."#;

/// `tallystick import`
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file; - for standard input
    file: PathBuf,
    /// Apply lines that were imported before once more, so that what changed since is set back; but
    /// no deposits, and no lines with a request_id of their own
    #[arg(long)]
    again: bool,
}

/// A line as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    request_id: Option<String>,
    party: Option<PartyLine>,
    signer: Option<SignerLine>,
    limit: Option<LimitLine>,
    deposit: Option<DepositLine>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartyLine {
    id: String,
    name: String,
    #[serde(default)]
    suspended: Option<bool>,
    accounts: Option<BTreeMap<String, BTreeMap<String, String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignerLine {
    key: String,
    party: String,
    #[serde(default)]
    caps: BTreeMap<String, Units>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitLine {
    party: String,
    asset: u32,
    limit: Units,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DepositLine {
    party: String,
    asset: u32,
    amount: Units,
    reference: String,
}

/// An amount in asset units: a number, or a string where it may not fit one.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected an amount in asset units like 5 or \"5\", no decimals")]
enum Units {
    Number(u64),
    Text(String),
}

impl Units {
    fn total(self) -> Result<Total, String> {
        match self {
            Self::Number(number) => Ok(Total(number.into())),
            Self::Text(text) => Total::parse_bounded(&text).map_err(|error| error.to_string()),
        }
    }

    fn amount(self) -> Result<Amount, String> {
        let total = self.total()?;
        u64::try_from(total.0).map(Amount).map_err(|_| format!("{total} does not fit 64 bits"))
    }
}

/// Reads one line. `again` gives it another request id than its text alone does; but never a
/// deposit: that would be money twice.
fn parse_line(text: &str, again: Option<&str>) -> Result<Item, String> {
    let line: Line = serde_json::from_str(text).map_err(|error| json_error(&error))?;
    let request_id = match line.request_id {
        Some(id) if id.is_empty() || id.len() > limits::REQUEST_ID_BYTES_MAX => {
            return Err(format!("request_id must be 1 to {} bytes", limits::REQUEST_ID_BYTES_MAX));
        }
        Some(id) => id,
        None => line_id(text, again.filter(|_| line.deposit.is_none())),
    };
    match (line.party, line.signer, line.limit, line.deposit) {
        (Some(party), None, None, None) => party_item(party, request_id),
        (None, Some(signer), None, None) => signer_item(signer, request_id),
        (None, None, Some(LimitLine { party, asset, limit }), None) => {
            Ok(Item::Limit(SetCreditLimitRequest {
                request_id,
                party_id: party_bytes(&party)?,
                asset,
                limit: limit.total()?.to_string(),
            }))
        }
        (None, None, None, Some(DepositLine { party, asset, amount, reference })) => {
            Ok(Item::Deposit(RecordDepositRequest {
                request_id,
                party_id: party_bytes(&party)?,
                asset,
                amount: amount.total()?.to_string(),
                reference,
            }))
        }
        (_, _, _, _) => Err("expected exactly one of party, signer, limit, deposit".into()),
    }
}

/// What is wrong with a line, in plain words where it is no JSON at all. The library's line number
/// would only confuse, since it sees one line at a time.
fn json_error(error: &serde_json::Error) -> String {
    let (text, column) = (error.to_string(), error.column());
    match error.classify() {
        Category::Eof => return format!("not a JSON object: cut off at column {column}"),
        Category::Syntax => return format!("not a JSON object: look at column {column}"),
        Category::Data | Category::Io => {}
    }
    match text.rsplit_once(" at line ") {
        Some((what, _)) => format!("{what} (column {})", error.column()),
        None => text,
    }
}

fn party_item(line: PartyLine, request_id: String) -> Result<Item, String> {
    // What a line leaves out stays as it is.
    let keep = Keep {
        name: false,
        suspended: line.suspended.is_none(),
        accounts: line.accounts.is_none(),
        remove_accounts: Vec::new(),
    };
    let keep = (keep.suspended || keep.accounts).then_some(keep);
    let accounts = line.accounts.unwrap_or_default().into_iter();
    let accounts = accounts.map(|(rail, fields)| (rail, SettlementAccount { fields })).collect();
    let party_id = party_bytes(&line.id)?;
    let suspended = line.suspended.unwrap_or(false);
    let party = Party { party_id, name: line.name, suspended, accounts, ..Party::default() };
    Ok(Item::Party(UpsertPartyRequest { request_id, party: Some(party), reopen: false, keep }))
}

fn signer_item(line: SignerLine, request_id: String) -> Result<Item, String> {
    let key: SignerKey = line.key.parse().map_err(|error| format!("key: {error}"))?;
    let mut caps = Vec::new();
    for (asset, amount) in line.caps {
        let asset = asset.parse().map_err(|_| format!("caps: {asset:?} is no asset number"))?;
        caps.push(Cap { asset, amount: amount.amount()?.0 });
    }
    let signer = Signer {
        signer: key.0.to_vec().into(),
        party_id: party_bytes(&line.party)?,
        caps,
        ..Default::default()
    };
    Ok(Item::Signer(AddSignerRequest { request_id, signer: Some(signer) }))
}

fn party_bytes(text: &str) -> Result<bytes::Bytes, String> {
    let id: PartyId = text.parse().map_err(|error| format!("party: {error}"))?;
    Ok(id.0.to_vec().into())
}

/// The request id of a line that gives none: the same text, the same id; another one `again`.
fn line_id(text: &str, again: Option<&str>) -> String {
    let text = match again {
        None => text.trim().to_owned(),
        Some(again) => format!("{}\n{again}", text.trim()),
    };
    let digest = blake3::derive_key(LINE_CONTEXT, text.as_bytes());
    format!("import-{}", super::output::hex(&digest[..16]))
}

/// What became of the reading, beside what was sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reading {
    /// Items sent.
    sent: u64,
    /// Lines that were not sent; only the first are listed.
    skipped: u64,
    failures: Vec<(u64, String)>,
    /// What to tell of names, by line; the first.
    warnings: Vec<(u64, String)>,
    /// How many there are.
    warned: u64,
    /// Where the distance between item and line changes: (item index, its line).
    jumps: Vec<(u64, u64)>,
}

impl Reading {
    fn skip(&mut self, line: u64, why: String) {
        self.skipped += 1;
        if self.failures.len() < limits::IMPORT_FAILURES_MAX {
            self.failures.push((line, why));
        }
    }

    fn warn(&mut self, line: u64, what: String) {
        self.warned += 1;
        if self.warnings.len() < limits::IMPORT_FAILURES_MAX {
            self.warnings.push((line, what));
        }
    }

    /// Looks at the name of a party.
    fn name(&mut self, line: u64, item: &Item, names: &mut Names) {
        let Item::Party(UpsertPartyRequest { party: Some(party), .. }) = item else { return };
        names::misfits(party).into_iter().for_each(|what| self.warn(line, what));
        if let Some(first) = names.meet(line, party) {
            self.warn(line, format!("another party has the same name, in line {first}"));
        }
    }

    fn note(&mut self, line: u64) {
        if self.line_of(self.sent) != line {
            self.jumps.push((self.sent, line));
        }
        self.sent += 1;
    }

    /// The line of an item; lines count from 1, items from 0.
    fn line_of(&self, index: u64) -> u64 {
        let after = self.jumps.partition_point(|&(item, _)| item <= index);
        let (item, line) = after.checked_sub(1).map_or((0, 1), |at| self.jumps[at]);
        line + (index - item)
    }
}

/// Reads the lines and hands over their items until the end, or until nobody takes them any more.
fn read_lines(
    mut input: impl BufRead,
    again: Option<&str>,
    mut take: impl FnMut(Item) -> bool,
) -> io::Result<Reading> {
    let (mut reading, mut names) = (Reading::default(), Names::default());
    let mut text = Vec::new();
    let limit = u64::try_from(LINE_BYTES_MAX).expect("a limit fits 64 bits");
    for line in 1.. {
        text.clear();
        if input.by_ref().take(limit).read_until(b'\n', &mut text)? == 0 {
            break;
        }
        if text.len() == LINE_BYTES_MAX && text.last() != Some(&b'\n') {
            reading.skip(line, format!("the line is longer than {LINE_BYTES_MAX} bytes"));
            input.skip_until(b'\n')?;
            continue;
        }
        let item = match std::str::from_utf8(&text) {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => parse_line(text.trim(), again),
            Err(_) => Err("the line is no UTF-8".into()),
        };
        match item {
            Err(why) => reading.skip(line, why),
            Ok(item) => {
                reading.note(line);
                reading.name(line, &item, &mut names);
                if !take(item) {
                    break;
                }
            }
        }
    }
    Ok(reading)
}

/// What is said of lines.
fn by_line(said: Vec<(u64, String)>) -> Cell {
    let one =
        |(line, reason)| Record(vec![("line", Cell::Count(line)), ("reason", Cell::Text(reason))]);
    Cell::Records(said.into_iter().map(one).collect())
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>, CliError> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(path).map_err(CliError::file(path))?))
}

/// Runs `tallystick import`.
///
/// # Errors
/// When the file cannot be read, the call fails, or any line does.
pub async fn run(session: &mut Session, args: ImportArgs) -> Result<(), CliError> {
    let path = args.file;
    let input = open(&path)?;
    let again = if args.again { Some(client::request_id(None)?) } else { None };
    let (items, receiver) = mpsc::channel(limits::IMPORT_CHUNK);
    // Files block; the thread ends with the file or with the call, whose end closes the channel.
    let reader = tokio::task::spawn_blocking(move || {
        let send = |item| items.blocking_send(ImportRequest { item: Some(item) }).is_ok();
        read_lines(BufReader::new(input), again.as_deref(), send)
    });
    let answer = session.operator().import(ReceiverStream::new(receiver)).await;
    let answer = answer.map_err(|status| {
        if client::is_unclear(&status) {
            super::note(
                "note: it is not known how many lines were applied; import the file again: those \
                 that were change nothing more",
            );
        }
        session.failed(status)
    })?;
    let answer = answer.into_inner();
    let reading = reader.await.map_err(|error| CliError::Failed(error.to_string()))?;
    let mut reading = reading.map_err(CliError::file(&path))?;

    let failed = reading.sent.saturating_sub(answer.applied) + reading.skipped;
    let refused = answer.failures.into_iter();
    let refused: Vec<_> = refused.map(|f| (reading.line_of(f.index), f.reason)).collect();
    reading.failures.extend(refused);
    reading.failures.sort();
    let listed = reading.failures.len();
    if !session.out.is_json() {
        reading.failures.truncate(FAILURES_SHOWN);
        reading.warnings.truncate(FAILURES_SHOWN);
    }
    let proposed = u64::try_from(answer.proposals.len()).unwrap_or(u64::MAX);
    let record = Record(vec![
        ("applied", Cell::Count(answer.applied.saturating_sub(answer.applied_before))),
        ("applied_before", Cell::Count(answer.applied_before)),
        ("proposed", Cell::Count(proposed)),
        ("failed", Cell::Count(failed)),
        ("failures", by_line(reading.failures)),
        ("warned", Cell::Count(reading.warned)),
        ("warnings", by_line(reading.warnings)),
    ]);
    session.print(&record).await?;
    if !session.out.is_json() && listed > FAILURES_SHOWN {
        super::note(&format!(
            "note: these are the first {FAILURES_SHOWN}; --json lists {listed} of {failed}"
        ));
    }
    tell_proposed(proposed);
    if answer.applied + failed == 0 {
        super::note(&format!("note: {} holds no lines, so nothing was imported", path.display()));
    }
    if answer.applied_before > 0 && !args.again {
        super::note(&format!(
            "note: {} lines were imported before and changed nothing now: what was changed since is not set \
             back; --again applies them once more, but no deposits",
            answer.applied_before
        ));
    }
    match failed {
        0 => Ok(()),
        failed => Err(CliError::Failed(format!(
            "{failed} of {} lines failed; correct them and import the file again: lines that were \
             applied change nothing more",
            answer.applied + failed
        ))),
    }
}

fn tell_proposed(proposed: u64) {
    if proposed > 0 {
        super::note(&format!(
            "note: of these, {proposed} are proposed and have changed nothing yet; another must confirm them: \
             tallystick proposal list, tallystick proposal confirm"
        ));
    }
}

#[cfg(test)]
mod tests;
