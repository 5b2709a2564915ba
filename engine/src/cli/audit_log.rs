//! `audit-log`: reads the files in which the engine writes down each call of operators.

use super::CliError;
use super::output::{Cell, Output, Record, Texts};
use crate::trail::{Line, Lines};
use clap::Args;
use std::path::PathBuf;

/// Help behind the options.
pub const HELP: &str = "Examples:
  tallystick audit-log --data-dir ./data --by ann --since 2026-11-29T08:00:00Z
  tallystick audit-log --dir /var/log/tallystick --call GetParty --json
  tallystick audit-log --data-dir ./data --refused

Reads the files; no engine is asked. `tallystick history` shows what changed the ledger, from the
journal: this log has reads and refused calls, too.";

/// Which lines are shown.
#[derive(Debug, Args)]
pub struct AuditLogArgs {
    /// The data directory, where the log is at its default place [default: ./tallystick-data]
    #[arg(long, env = "TALLYSTICK_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The folder of the log, where `audit_log` names one
    #[arg(long, env = "TALLYSTICK_AUDIT_LOG", hide_env_values = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only calls of this name; '' is whoever has none
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only these calls, e.g. GetParty; may be repeated
    #[arg(long, value_name = "CALL", value_delimiter = ',')]
    call: Vec<String>,
    /// Only calls that name something by this id, or an id that begins so
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Only the calls with this request id
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only calls with one of these results, e.g. OK, UNAUTHENTICATED; may be repeated
    #[arg(long, value_name = "RESULT", value_parser = result, value_delimiter = ',')]
    result: Vec<String>,
    /// Only calls that were not answered with OK
    #[arg(long, conflicts_with = "result")]
    refused: bool,
    /// Only calls from then on: Unix seconds or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = super::voucher::parse_time)]
    since: Option<i64>,
    /// Only calls before then
    #[arg(long, value_name = "TIME", value_parser = super::voucher::parse_time)]
    until: Option<i64>,
}

const COLUMNS: [&str; 7] = ["at", "name", "role", "from", "call", "about", "result"];

/// Where the log is in a data directory.
const DEFAULT_DIR: &str = "audit-log";

/// A result as it stands in the log.
fn result(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase().replace('-', "_");
    if upper.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') && !upper.is_empty() {
        return Ok(upper);
    }
    Err(format!("expected a result, like OK or PERMISSION_DENIED, got {text:?}"))
}

/// Shows the lines, oldest first.
///
/// # Errors
/// When the folder or a file cannot be read.
pub fn run(args: &AuditLogArgs, json: bool) -> Result<(), CliError> {
    let dir = args.dir.clone().unwrap_or_else(|| {
        let data = args.data_dir.clone().unwrap_or_else(|| "./tallystick-data".into());
        data.join(DEFAULT_DIR)
    });
    let unreadable =
        |error: crate::trail::Unreadable| CliError::File { path: error.path, source: error.source };
    let mut lines = Lines::of(&dir).map_err(unreadable)?;
    let (mut out, texts) = (Output::new(json), Texts::default());
    for line in lines.by_ref() {
        let line = line.map_err(unreadable)?;
        if args.wants(&line) {
            out.row(&record(line), &COLUMNS, &texts)?;
        }
    }
    out.finish()?;
    if lines.cut > 0 {
        super::note(&format!(
            "note: {} lines are cut off: the engine was killed while it wrote them",
            lines.cut
        ));
    }
    Ok(())
}

impl AuditLogArgs {
    fn wants(&self, line: &Line) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        let at = line.at.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
        let id = self.id.as_ref().map(|id| id.to_ascii_lowercase());
        is(&self.by, &line.who.name)
            && is(&self.request_id, &line.request_id)
            && (self.result.is_empty() || self.result.contains(&line.result))
            && (self.call.is_empty() || self.call.contains(&line.call))
            && id.is_none_or(|id| line.about.values().any(|own| own.starts_with(&id)))
            && (!self.refused || line.result != "OK")
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
    }
}

fn record(line: Line) -> Record {
    let about = line.about.iter().map(|(field, id)| format!("{field} {id}"));
    let about = about.collect::<Vec<_>>().join(", ");
    Record(vec![
        ("at", Cell::Text(line.at)),
        ("name", Cell::Text(line.who.name)),
        ("role", Cell::Text(line.who.role)),
        ("certificate", Cell::Text(line.certificate.unwrap_or_default())),
        ("from", Cell::Text(line.from)),
        ("via", Cell::Text(if line.via.is_empty() { "grpc".to_owned() } else { line.via })),
        ("call", Cell::Text(line.call)),
        ("request_id", Cell::Text(line.request_id)),
        ("about", Cell::Text(about)),
        ("result", Cell::Text(line.result)),
        ("took_us", Cell::Count(line.took_us)),
    ])
}
