//! `leg report` and `leg resolve`: what operators say of legs.
//!
//! Owns how many legs become several calls: each with a request id made from the legs in it, so
//! that repeating the command after a lost answer moves nothing twice.

use super::batch::{OneBatch, leg_record, resolve, with_asset};
use super::client::Session;
use super::ids::KeyName;
use super::operator_key::{OwnKey, SignWith};
use super::output::{Cell, hex};
use super::{CliError, RequestArgs, batch, money, operator_key};
use crate::limits::MOVES_MAX;
use crate::types::{
    BatchId, Digest, FileHasher, LegSaid, NetworkId, PartyId, Total, words_statement,
};
use bytes::Bytes;
use clap::{ArgGroup, Args, ValueEnum};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use tallystick_proto::v1::{
    Batch, GetBatchRequest, Leg, LegReport, LegState, LegWord, ReportLegsRequest, ResolveLegRequest,
};

/// What became of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Word {
    /// Taken on; not final
    Accepted,
    /// The money has moved
    Confirmed,
    /// It will not be executed
    Rejected,
    /// It was executed and sent back
    Returned,
}

impl Word {
    fn wire(self) -> LegWord {
        match self {
            Self::Accepted => LegWord::Accepted,
            Self::Confirmed => LegWord::Confirmed,
            Self::Rejected => LegWord::Rejected,
            Self::Returned => LegWord::Returned,
        }
    }
}

/// `tallystick leg report`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("legs").required(true).multiple(true).args(["keys", "pay_ins", "pay_outs", "csv"]))]
pub struct ReportArgs {
    #[command(flatten)]
    one: OneBatch,
    /// A leg's key, or its first 8 or more letters; may be repeated
    #[arg(long = "key", value_name = "KEY", value_delimiter = ',')]
    keys: Vec<KeyName>,
    /// All pay-ins that have left and not ended
    #[arg(long, conflicts_with = "keys")]
    pay_ins: bool,
    /// All other legs that have left and not ended
    #[arg(long, conflicts_with = "keys")]
    pay_outs: bool,
    /// CSV with the columns key, word, reference, reason; those left out come from the options
    #[arg(long, value_name = "FILE", conflicts_with_all = ["keys", "pay_ins", "pay_outs"])]
    csv: Option<PathBuf>,
    /// The outcome
    #[arg(long, visible_alias = "outcome", required_unless_present = "csv")]
    word: Option<Word>,
    /// The bank's or chain's own reference
    #[arg(long, value_name = "TEXT", default_value = "")]
    reference: String,
    /// Why; needed for legs that are rejected or returned
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Refuse unless the legs that are meant come to this sum, in asset units
    #[arg(long, value_name = "UNITS")]
    sum: Option<String>,
    /// File that proves it: its BLAKE3 digest goes into the journal
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    #[command(flatten)]
    sign_with: SignWith,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick leg resolve`
#[derive(Debug, Args)]
pub struct ResolveArgs {
    #[command(flatten)]
    one: OneBatch,
    /// The leg's key, or its first 8 or more letters
    key: KeyName,
    /// The outcome
    #[arg(long, visible_alias = "outcome")]
    word: Word,
    /// The rail's own reference
    #[arg(long, value_name = "TEXT", default_value = "")]
    reference: String,
    /// What proves it, or where that is filed
    #[arg(long, value_name = "TEXT")]
    evidence: String,
    #[command(flatten)]
    sign_with: SignWith,
    #[command(flatten)]
    request: RequestArgs,
}

/// One line of a CSV file.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    #[serde(default)]
    word: String,
    #[serde(default)]
    reference: String,
    #[serde(default)]
    reason: String,
}

/// Reports legs, in as many calls as it takes.
///
/// # Errors
/// When a file cannot be read, or a call fails: then the calls before it are done.
pub async fn report(session: &mut Session, args: ReportArgs) -> Result<(), CliError> {
    let (id, key) = (args.request.id()?, args.sign_with.key()?);
    let digest = args.evidence.as_deref().or(args.csv.as_deref()).map(file_digest).transpose()?;
    let request = resolve(session, args.one.clone()).await?;
    let reports = match &args.csv {
        Some(path) => from_csv(path, &args)?,
        None => {
            let keys = keys(session, &request, &args).await?;
            keys.into_iter().map(|key| args.of(key)).collect::<Result<Vec<_>, _>>()?
        }
    };
    reports.iter().try_for_each(check_reason)?;
    if let Some(sum) = &args.sum {
        check_sum(session, args.one.clone(), &reports, sum).await?;
    }
    let signer = Signing::new(session, &request, key).await?;
    let (mut last, mut moved): (Option<Batch>, u64) = (None, 0);
    for part in reports.chunks(MOVES_MAX) {
        let request_id = part_id(&id, part);
        let report = ReportLegsRequest {
            request_id: request_id.clone(),
            batch_id: request.batch_id.clone(),
            reports: part.to_vec(),
            evidence: digest.map(|digest| digest.0.to_vec()).unwrap_or_default().into(),
            signature: signer.over(digest.unwrap_or(Digest::ZERO), part)?,
        };
        let answer = session.operator().report_legs(report).await;
        let batch = answer.map_err(|s| session.failed_change(s, &id))?.into_inner();
        moved += batch.legs_moved;
        last = Some(batch);
    }
    match last {
        Some(batch) => {
            let mut record = batch::batch_record(batch);
            record.0.push(("legs_moved", Cell::Count(moved)));
            session.print(&record).await?;
            if moved == 0 {
                super::note("note: nothing changed: all of this was known");
            }
            Ok(())
        }
        None => Err(CliError::Failed(
            "no leg of that side has left and not ended; `tallystick leg list BATCH` shows where they stand"
                .into(),
        )),
    }
}

/// What failed is owed again: why, must be on record. The engine asks for it too; here nothing was
/// sent yet.
fn check_reason(report: &LegReport) -> Result<(), CliError> {
    match report.word() {
        LegWord::Rejected | LegWord::Returned if report.reason.is_empty() => {
            Err(CliError::Input(format!(
                "leg {}: say why it was {}, with --reason TEXT (or in the CSV file's column): the amount is \
                 owed again",
                report.key,
                if report.word() == LegWord::Rejected { "rejected" } else { "returned" }
            )))
        }
        LegWord::Unspecified
        | LegWord::Accepted
        | LegWord::Confirmed
        | LegWord::Rejected
        | LegWord::Returned => Ok(()),
    }
}

/// Refuses unless the legs that are meant come to this sum.
async fn check_sum(
    session: &mut Session,
    one: OneBatch,
    reports: &[LegReport],
    wanted: &str,
) -> Result<(), CliError> {
    let (asset, request) = with_asset(session, one).await?;
    let wanted = money::units(session, wanted, asset).await?;
    let meant: HashSet<&str> = reports.iter().map(|report| &*report.key).collect();
    let answer = session.operator().list_legs(request).await;
    let mut legs = answer.map_err(|status| session.failed(status))?.into_inner();
    let mut sum = Total::ZERO;
    while let Some(leg) = legs.message().await.map_err(|status| session.failed(status))? {
        if meant.contains(&*leg.key) {
            sum = sum.plus(leg.amount.parse().map_or(Total::ZERO, Total));
        }
    }
    if sum.to_string() == wanted {
        return Ok(());
    }
    Err(CliError::Failed(format!(
        "{} legs are meant, and they come to {sum} asset units, not to {wanted}: nothing was said of them; see \
         `tallystick leg list BATCH`",
        meant.len()
    )))
}

/// The id of one of several calls. The same legs give the same id.
fn part_id(id: &str, part: &[LegReport]) -> String {
    let mut hasher = FileHasher::default();
    part.iter().for_each(|report| hasher.update(report.key.as_bytes()));
    format!("{id}/{}", hex(&hasher.finish().0[..8]))
}

impl ReportArgs {
    fn of(&self, key: String) -> Result<LegReport, CliError> {
        let word = self.word.ok_or_else(|| CliError::Input("--word is missing".into()))?;
        Ok(LegReport {
            key,
            word: word.wire().into(),
            rail_reference: self.reference.clone(),
            reason: self.reason.clone(),
        })
    }
}

/// The keys named, or those of one side that are under way.
async fn keys(
    session: &Session,
    request: &GetBatchRequest,
    args: &ReportArgs,
) -> Result<Vec<String>, CliError> {
    if !args.keys.is_empty() {
        let mut keys = Vec::new();
        for key in &args.keys {
            keys.push(key.find(session, &request.batch_id).await?);
        }
        return Ok(keys);
    }
    if !args.pay_ins && !args.pay_outs {
        let text = "say which legs: --key KEY, --pay-ins, --pay-outs or --csv FILE";
        return Err(CliError::Input(text.into()));
    }
    let answer = session.operator().list_legs(request.clone()).await;
    let mut legs = answer.map_err(|status| session.failed(status))?.into_inner();
    let mut keys = Vec::new();
    while let Some(leg) = legs.message().await.map_err(|status| session.failed(status))? {
        let pay_in = leg.to.as_ref() == PartyId::CLEARING.0;
        if is_awaited(&leg) && (if pay_in { args.pay_ins } else { args.pay_outs }) {
            keys.push(leg.key);
        }
    }
    Ok(keys)
}

/// What became of an UNKNOWN leg is not said of all at once.
fn is_awaited(leg: &Leg) -> bool {
    match leg.state() {
        LegState::Sent | LegState::Accepted => true,
        LegState::Unspecified
        | LegState::Ready
        | LegState::Unknown
        | LegState::Confirmed
        | LegState::Rejected
        | LegState::Returned => false,
    }
}

fn file_digest(path: &Path) -> Result<Digest, CliError> {
    Ok(FileHasher::of(&std::fs::read(path).map_err(CliError::file(path))?))
}

fn from_csv(path: &Path, args: &ReportArgs) -> Result<Vec<LegReport>, CliError> {
    let text = std::fs::read(path).map_err(CliError::file(path))?;
    let bad = |why: String| CliError::Input(format!("{}: {why}", path.display()));
    let text = String::from_utf8(text)
        .map_err(|_| bad(format!("it is no text, but a CSV file is needed: {COLUMNS}")))?;
    let reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut reports = Vec::new();
    for line in reader.into_deserialize::<Line>() {
        let line = line.map_err(|error| bad(csv_error(&error)))?;
        let word = match line.word.as_str() {
            "" => args.word,
            word => Some(Word::from_str(word, true).map_err(|_| {
                bad(format!(
                    "leg {}: the word is accepted, confirmed, rejected or returned, not {word:?}",
                    line.key
                ))
            })?),
        };
        let word = word.ok_or_else(|| bad(format!("leg {}: the word is missing", line.key)))?;
        let or = |given: String, all: &str| if given.is_empty() { all.to_owned() } else { given };
        reports.push(LegReport {
            key: line.key.to_ascii_uppercase(),
            word: word.wire().into(),
            rail_reference: or(line.reference, &args.reference),
            reason: or(line.reason, &args.reason),
        });
    }
    if reports.is_empty() {
        return Err(bad(format!("it names no legs; {COLUMNS}, and each further line is a leg")));
    }
    Ok(reports)
}

/// How such a file begins.
const COLUMNS: &str = "the first line names the columns: key, and perhaps word, reference, reason";

/// What is wrong with a line of a CSV file, in plain words.
fn csv_error(error: &csv::Error) -> String {
    let line = error.position().map_or(1, csv::Position::line);
    let text = error.to_string();
    match text.split_once("unknown field `").and_then(|(_, rest)| rest.split_once('`')) {
        Some((column, _)) => format!("there is no column {column:?}; {COLUMNS}"),
        None if text.contains("missing field `key`") => {
            format!("there is no column key; {COLUMNS}")
        }
        None => format!("line {line}: {text}"),
    }
}

/// What it takes to sign words about legs of one batch: the key, and the legs' numbers, which are
/// their places in the list of all. Without a key nothing is looked up, and nothing signed.
struct Signing(Option<(OwnKey, NetworkId, BatchId, HashMap<String, u32>)>);

impl Signing {
    async fn new(
        session: &Session,
        batch: &GetBatchRequest,
        key: Option<OwnKey>,
    ) -> Result<Self, CliError> {
        let Some(key) = key else { return Ok(Self(None)) };
        let (network, id) = (session.network_id().await?, batch::batch_of(&batch.batch_id)?);
        let answer = session.operator().list_legs(batch.clone()).await;
        let mut legs = answer.map_err(|status| session.failed(status))?.into_inner();
        let mut places = HashMap::new();
        while let Some(leg) = legs.message().await.map_err(|status| session.failed(status))? {
            let place = u32::try_from(places.len());
            places.insert(leg.key, place.expect("legs are numbered in 32 bits"));
        }
        Ok(Self(Some((key, network, id, places))))
    }

    /// The signature over words that rest on this.
    fn over(&self, evidence: Digest, reports: &[LegReport]) -> Result<Bytes, CliError> {
        let Some((key, network, batch, places)) = &self.0 else { return Ok(Bytes::new()) };
        let words = reports.iter().map(|report| as_said(report, places));
        let words = words.collect::<Result<Vec<_>, CliError>>()?;
        let over = words_statement(*network, *batch, evidence, words);
        Ok(operator_key::signature(Some(key), || over))
    }
}

/// What is signed of a report. The states of legs have the same numbers in calls and in the
/// journal.
fn as_said<'a>(
    report: &'a LegReport,
    places: &HashMap<String, u32>,
) -> Result<LegSaid<'a>, CliError> {
    let LegReport { key, rail_reference: reference, reason, .. } = report;
    let Some(leg) = places.get(key).copied() else {
        let all = "`tallystick leg list BATCH` shows those it has";
        return Err(CliError::Failed(format!("the batch has no leg {key:?}; {all}")));
    };
    let state = match report.word() {
        LegWord::Unspecified => LegState::Unspecified,
        LegWord::Accepted => LegState::Accepted,
        LegWord::Confirmed => LegState::Confirmed,
        LegWord::Rejected => LegState::Rejected,
        LegWord::Returned => LegState::Returned,
    };
    let state = u8::try_from(i32::from(state)).expect("states are few");
    Ok(LegSaid { leg, state, reference, reason })
}

/// Says what became of an UNKNOWN leg.
///
/// # Errors
/// When the call fails.
pub async fn resolve_leg(session: &mut Session, args: ResolveArgs) -> Result<(), CliError> {
    let (request_id, own) = (args.request.id()?, args.sign_with.key()?);
    let (asset, batch) = with_asset(session, args.one).await?;
    let signer = Signing::new(session, &batch, own).await?;
    let key = args.key.find(session, &batch.batch_id).await?;
    let (word, reason) = (args.word.wire().into(), args.evidence.clone());
    let said = LegReport { key, word, rail_reference: args.reference, reason };
    let rests_on = FileHasher::of(args.evidence.as_bytes());
    let signature = signer.over(rests_on, std::slice::from_ref(&said))?;
    let LegReport { key, word, rail_reference, .. } = said;
    let request = ResolveLegRequest {
        request_id: request_id.clone(),
        batch_id: batch.batch_id,
        key,
        word,
        rail_reference,
        evidence: args.evidence,
        signature,
    };
    let answer = session.operator().resolve_leg(request).await;
    let leg = answer.map_err(|status| session.failed_change(status, &request_id))?.into_inner();
    let state = leg.state();
    session.print(&leg_record(leg, asset)).await?;
    if state == LegState::Unknown {
        super::note("note: kept; the leg moves when another operator says the same");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(word: Option<Word>) -> ReportArgs {
        ReportArgs {
            one: OneBatch { batch: "ab".repeat(32).parse().unwrap() },
            keys: Vec::new(),
            pay_ins: false,
            pay_outs: false,
            csv: None,
            word,
            reference: "R".into(),
            reason: String::new(),
            sum: None,
            evidence: None,
            sign_with: SignWith::default(),
            request: RequestArgs { request_id: None },
        }
    }

    #[test]
    fn a_csv_file_gives_reports_and_options_fill_what_it_leaves_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bank.csv");
        std::fs::write(&path, "key,word,reason\nA,rejected,no such account\nB,,\n").unwrap();
        let reports = from_csv(&path, &args(Some(Word::Confirmed))).unwrap();
        let told: Vec<_> = reports.iter().map(|r| (&*r.key, r.word(), &*r.reason)).collect();
        let wanted = [("A", LegWord::Rejected, "no such account"), ("B", LegWord::Confirmed, "")];
        assert_eq!(told, wanted);
        assert!(reports.iter().all(|report| report.rail_reference == "R"));
        assert!(from_csv(&path, &args(None)).unwrap_err().to_string().contains("leg B"));
        std::fs::write(&path, "key,word\nA,perhaps\n").unwrap();
        let error = from_csv(&path, &args(None)).unwrap_err().to_string();
        assert!(error.contains("leg A") && error.contains("returned"), "{error}");
    }

    #[test]
    fn what_failed_needs_a_reason_before_anything_is_sent() {
        for word in [Word::Accepted, Word::Confirmed, Word::Rejected, Word::Returned] {
            let mut report = args(Some(word)).of("K".into()).unwrap();
            let needed = matches!(word, Word::Rejected | Word::Returned);
            assert_eq!(check_reason(&report).is_err(), needed, "{word:?}");
            report.reason = "no such account".into();
            assert!(check_reason(&report).is_ok());
        }
    }

    #[test]
    fn a_part_has_an_id_of_its_own_that_its_legs_give_again() {
        let of = |key: &str| args(Some(Word::Confirmed)).of(key.into()).unwrap();
        assert_eq!(part_id("i", &[of("A")]), part_id("i", &[of("A")]));
        assert_ne!(part_id("i", &[of("A")]), part_id("i", &[of("B")]));
        assert_ne!(part_id("i", &[of("A")]), part_id("j", &[of("A")]));
    }
}
