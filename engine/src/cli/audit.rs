//! `audit`: everything re-derived offline, from exports or a data directory.

use super::CliError;
use super::output::printable;
use crate::audit::{self, AuditError, Directory, Files, OperatorKey, Report, Settings, Source};
use crate::backup::Auditing;
use crate::proof::{Document, Receipt, Trust, check_document};
use crate::types::{HexError, Lsn, SignerKey};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Shown with `tallystick audit --help`.
pub const HELP: &str = "\
Examples:
  tallystick audit windows.tallyexp
  tallystick audit windows.tallyexp --engine-key 5c..9e --receipt receipt.json
  tallystick audit windows.tallyexp --engine-key 5c..9e --operator-key ann=e1..07
  tallystick audit --data-dir ./data --archives ./archives --json
  tallystick audit events.tallyexp archives/window-0000000007.tallyexp

Checks, without an engine: the chain of events and its signed end, every signature of vouchers,
engine and operators, channel ids, totals before and after, obligations, nets, positions, roots,
batches with their legs, carries and control sums; of a data directory also its frames and its
checkpoint. Exit code 0 only if all agree; else the first difference is named. What could not be
checked is said.";

/// `tallystick audit`
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    of: OfArgs,
    /// The folder of the archives of that data directory (`archive_dir`): of its windows, and of
    /// its events where the first have left
    #[arg(long, value_name = "DIR", requires = "data_dir")]
    archives: Option<PathBuf>,
    /// The engine's first key, as you know it from elsewhere: a history under another key is
    /// refused
    #[arg(long, value_name = "KEY")]
    engine_key: Option<SignerKey>,
    /// An operator's first own key, as you know it from elsewhere; may be repeated: a history in
    /// which that operator set another one, or none, is refused
    #[arg(long = "operator-key", value_name = "NAME=KEY", value_parser = operator_key)]
    operator_keys: Vec<(String, SignerKey)>,
    /// Receipts, as `tallystick receipt` writes them: their vouchers must be in the evidence
    #[arg(long = "receipt", value_name = "RECEIPT", num_args = 1..)]
    receipts: Vec<PathBuf>,
    #[command(flatten)]
    how: HowArgs,
}

/// How a history is audited, by whichever command.
#[derive(Debug, Args)]
pub struct HowArgs {
    /// The first record that an engine made which asks whether who acts has a key of their own, if
    /// an older one made the history up to there: what it let stand is noted, and no difference
    #[arg(long, value_name = "LSN")]
    own_keys_since: Option<u64>,
    /// Threads that check signatures [default: the cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl HowArgs {
    /// The same for whoever audits.
    pub(super) fn auditing(&self) -> Auditing {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = self.threads.unwrap_or_else(cores);
        Auditing { threads, own_keys_since: self.own_keys_since.map(Lsn) }
    }
}

/// What is audited.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct OfArgs {
    /// Exports, as `tallystick evidence export` writes them
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A data directory on which no engine runs; nothing in it is changed
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Runs `tallystick audit`.
///
/// # Errors
/// When something differs, or cannot be read.
pub fn run(args: &AuditArgs, json: bool) -> Result<(), CliError> {
    let Auditing { threads, own_keys_since } = args.how.auditing();
    let clock = std::time::Instant::now();
    let receipts = args.receipts.iter().map(|path| read_receipt(path));
    let receipts = receipts.collect::<Result<Vec<_>, _>>()?;
    check_kinds(args)?;
    let source: Result<Box<dyn Source>, AuditError> = match &args.of.data_dir {
        Some(dir) => Directory::open(dir, args.archives.as_deref())
            .map(|dir| Box::new(dir) as Box<dyn Source>),
        None => Files::open(&args.of.files).map(|files| Box::new(files) as Box<dyn Source>),
    };
    let report = match source {
        Ok(source) => {
            let bar = progress_bar(source.evidence());
            let progress = |done| bar.set_position(done);
            let settings = Settings {
                threads,
                first_key: args.engine_key,
                operator_keys: &args.operator_keys,
                receipts: &receipts,
                own_keys_since,
                progress: &progress,
            };
            let report = audit::audit(&*source, settings);
            bar.finish_and_clear();
            report
        }
        // There is nothing to show yet.
        Err(error) if !json => {
            let why = printable(&error.to_string());
            return Err(CliError::Failed(format!("the audit cannot begin: {why}")));
        }
        Err(error) => Report::new(audit::Counts::default(), Vec::new(), Some(error)),
    };
    print(&report, clock.elapsed(), json)?;
    if report.ok {
        return Ok(());
    }
    let why = match (&report.first_difference, &report.error) {
        (Some(difference), _) => format!("the first difference is: {difference}"),
        (None, Some(error)) => error.clone(),
        (None, None) => unreachable!("a report that is not ok says why"),
    };
    Err(CliError::Failed(format!("the audit failed: {}", printable(&why))))
}

/// Whether folders are named where folders are wanted, and files where files are.
fn check_kinds(args: &AuditArgs) -> Result<(), CliError> {
    let no_folder = |dir: &Path, wanted: &str, instead: String| {
        let name = dir.display();
        CliError::Failed(match dir.exists() {
            true => format!("{name} is a file, and {wanted} is a folder; {instead}"),
            false => format!("there is no folder {name}: name {wanted}"),
        })
    };
    if let Some(dir) = args.of.data_dir.as_deref().filter(|dir| !dir.is_dir()) {
        let instead = format!("`tallystick audit {}` audits an export", dir.display());
        return Err(no_folder(dir, "an engine's data directory", instead));
    }
    if let Some(dir) = args.archives.as_deref().filter(|dir| !dir.is_dir()) {
        let instead = "name the folder in which it lies".to_owned();
        return Err(no_folder(dir, "the folder of archives (archive_dir)", instead));
    }
    let folder = args.of.files.iter().find(|file| file.is_dir()).map(|folder| folder.display());
    folder.map_or(Ok(()), |name| {
        Err(CliError::Failed(format!(
            "{name} is a folder: name an export, or an engine's data directory with --data-dir {name}"
        )))
    })
}

/// Reads NAME=KEY.
fn operator_key(text: &str) -> Result<(String, SignerKey), String> {
    let (name, key) = text.rsplit_once('=').ok_or("expected NAME=KEY")?;
    let key = key.parse().map_err(|error: HexError| error.to_string())?;
    Ok((name.to_owned(), key))
}

/// A receipt whose own signatures hold.
fn read_receipt(path: &Path) -> Result<Receipt, CliError> {
    let failed = |why: String| CliError::Failed(format!("{}: {why}", path.display()));
    let text = super::evidence::read_document(path)?;
    let checked = check_document(&text, &Trust::default());
    match checked.map_err(|why| failed(printable(&why)))?.document {
        Document::Receipt(receipt) => Ok(*receipt),
        Document::Proof(_) => {
            Err(failed("it is a proof; give it to `tallystick proof check`".into()))
        }
    }
}

/// On a terminal only.
fn progress_bar(evidence: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let target = ProgressDrawTarget::stderr();
    if evidence == 0 {
        return ProgressBar::with_draw_target(None, target);
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} vouchers {per_sec} {eta}");
    ProgressBar::with_draw_target(Some(evidence), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print(report: &Report, took: Duration, json: bool) -> Result<(), CliError> {
    let mut value = serde_json::to_value(report).expect("plain data has a JSON form");
    value["milliseconds"] = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).into();
    let mut out = std::io::stdout();
    let mut write = |line: String| writeln!(out, "{line}").map_err(CliError::Output);
    if json {
        return write(value.to_string());
    }
    let members = value.as_object().into_iter().flatten();
    for (name, value) in members.filter(|(_, value)| value.is_u64() || value.is_string()) {
        let text = value.as_str().map_or_else(|| value.to_string(), printable);
        write(format!("{name:18}  {text}"))?;
    }
    for OperatorKey { operator, key, since_lsn, until_lsn } in &report.operator_keys {
        let until = until_lsn.map_or(String::new(), |lsn| format!(" to {lsn}"));
        let operator = printable(operator);
        write(format!("{:18}  {operator} {key}, from record {since_lsn}{until}", "operator_key"))?;
    }
    for text in &report.notes {
        write(format!("{:18}  {}", "note", printable(text)))?;
    }
    for text in &report.not_checked {
        write(format!("{:18}  {text}", "not checked"))?;
    }
    write(format!("{:18}  {}", "all agrees", if report.ok { "yes" } else { "no" }))
}
