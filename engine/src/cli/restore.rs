//! `restore`: a data directory from a backup, and the end of the hold that comes with it.

use super::audit::HowArgs;
use super::backup::{audited, failed};
use super::client::Session;
use super::output::{Cell, Output, Record};
use super::proposal;
use super::{CliError, RequestArgs};
use crate::backup::{self, Asked};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use tallystick_proto::v1::{Hold, ReleaseHoldRequest};

/// Shown with `tallystick restore --help`.
pub const HELP: &str = "\
Examples:
  tallystick restore --from /mnt/backups --data-dir ./data --root-key-file /safe/tallystick.root
  tallystick restore release --reason 'compared with the bank: nothing left since'

Checks every digest, re-derives everything, and only then makes the directory. The engine that
starts on it takes vouchers and closes windows, and lets nothing leave: payments that left after the
backup was made are not in it, and would leave again. Find out what left (docs/OPERATIONS.md,
\"Restore\"), then `restore release`. Never start the original again: two copies would both pay.";

/// `tallystick restore`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct RestoreArgs {
    #[command(subcommand)]
    pub then: Option<RestoreCommand>,
    /// A backup; or a folder, of which the newest one is restored
    #[arg(long, value_name = "DIR", required = true)]
    from: Option<PathBuf>,
    /// The new data directory: it must not exist, or be empty
    #[arg(long, value_name = "DIR", required = true)]
    data_dir: Option<PathBuf>,
    /// The root key of the ledger, which is in no backup
    #[arg(long, value_name = "FILE", required = true)]
    root_key_file: Option<PathBuf>,
    /// Put the root key into the data directory, where an engine without root_key_file looks for it
    #[arg(long)]
    keep_root_key: bool,
    /// Where the archives in the backup go: the engine's archive_dir. What lies there already must
    /// be the same
    #[arg(long, value_name = "DIR")]
    archive_dir: Option<PathBuf>,
    #[command(flatten)]
    how: HowArgs,
}

/// `tallystick restore ...`
#[derive(Debug, Subcommand)]
pub enum RestoreCommand {
    /// Let payments leave again, once you know what left since the copy was made
    #[command(
        after_help = "Example:\n  tallystick restore release --reason 'compared with the bank: nothing left since'"
    )]
    Release {
        /// What you found, and what you did about it: for the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        request: RequestArgs,
    },
}

/// Restores.
///
/// # Errors
/// When the backup is damaged or another's, or the folder is not empty.
pub fn offline(args: &RestoreArgs, json: bool) -> Result<(), CliError> {
    let RestoreArgs { from: Some(from), data_dir: Some(data_dir), .. } = args else {
        unreachable!("clap requires them")
    };
    let root_key = args.root_key_file.as_ref().expect("clap requires it");
    let asked = Asked {
        from,
        data_dir,
        root_key,
        keep_root_key: args.keep_root_key,
        archive_dir: args.archive_dir.as_deref(),
        auditing: args.how.auditing(),
    };
    let done = backup::restore(&asked).map_err(failed)?;
    let mut cells = vec![
        ("data_dir", Cell::Text(data_dir.display().to_string())),
        ("backup", Cell::Text(done.backup.display().to_string())),
        ("created_at_us", Cell::Micros(done.manifest.created_at_us)),
        ("lsn", Cell::Count(done.manifest.position.lsn)),
        ("digest", Cell::Text(done.manifest.position.digest.clone())),
        ("instance", Cell::Text(done.noted.0.instance.to_string())),
    ];
    cells.extend(audited(&done.report));
    let mut out = Output::new(json);
    out.record(&Record(cells), &Default::default())?;
    out.finish()?;
    super::note(
        "note: what left after the backup was made is not in it, so the engine that starts here lets nothing \
         leave before `tallystick restore release`; never start the original again",
    );
    Ok(())
}

/// Releases.
///
/// # Errors
/// When the call fails.
pub async fn run(session: &mut Session, command: RestoreCommand) -> Result<(), CliError> {
    let RestoreCommand::Release { reason, request } = command;
    let request_id = request.id()?;
    let asked = ReleaseHoldRequest { request_id: request_id.clone(), reason };
    let answer = session.operator().release_hold(asked).await;
    let hold = answer.map_err(|status| session.failed_change(status, &request_id))?;
    session.print(&record(hold.into_inner())).await
}

/// What is known of the copy that the ledger was restored from.
pub(super) fn record(hold: Hold) -> Record {
    let mut record = Record(vec![
        ("restored_lsn", Cell::Count(hold.restored_lsn)),
        ("restored_at_us", Cell::Micros(hold.restored_at_us)),
        ("instance", Cell::Hex(hold.instance)),
        ("backup", Cell::Hex(hold.backup)),
        ("position", Cell::Count(hold.position)),
        ("released_lsn", Cell::Count(hold.released_lsn)),
        ("released_at_us", Cell::Micros(hold.released_at_us)),
        ("released_by", Cell::Text(hold.released_by)),
    ]);
    record.0.extend(proposal::cell(hold.proposal));
    record
}
