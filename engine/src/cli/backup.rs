//! `backup`: made by the engine; listed, verified and pruned without one.

use super::audit::HowArgs;
use super::client::Session;
use super::output::{Cell, Output, Record, printable};
use super::{CliError, Target};
use crate::backup::{self, Found, Verified};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use tallystick_proto::v1::{Backup, CreateBackupRequest};

/// `tallystick backup ...`
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Have the engine make a backup while it runs
    #[command(after_help = "\
Example:
  tallystick backup create --to /mnt/backups

The engine writes it, on its own machine: DIR is its backup_dir, or a folder below that. What the
last backup in DIR holds too is linked and not copied. The archives of an archive_dir are in it. The
root key is in no backup: keep a copy of it elsewhere.")]
    Create {
        /// Where the backup gets a folder of its own [default: the engine's backup_dir]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// List the backups in a folder, oldest first
    #[command(after_help = "Example:\n  tallystick backup list /mnt/backups")]
    List {
        /// The folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Check a backup: every file by its digest, then everything in it re-derived, as `audit` does
    #[command(after_help = "\
Example:
  tallystick backup verify /mnt/backups
  tallystick backup verify /mnt/backups --root-key-file /safe/tallystick.root

Without the root key it is found out whether the backup is whole and true in itself; with it,
whether it was made by your engine at all. Exit code 0 only if it is good.")]
    Verify(VerifyArgs),
    /// Remove the oldest backups in a folder
    #[command(after_help = "Example:\n  tallystick backup prune /mnt/backups --keep 30")]
    Prune {
        /// The folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// How many stay, the newest
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        keep: u32,
    },
}

/// `tallystick backup verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A backup; or a folder, of which the newest one is checked
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The root key of the ledger: then who made the backup is checked, too
    #[arg(long, value_name = "FILE")]
    root_key_file: Option<PathBuf>,
    /// Another folder of archives than the backup's own (`archive_dir`): one made before backups
    /// held them has none
    #[arg(long, value_name = "DIR")]
    archives: Option<PathBuf>,
    #[command(flatten)]
    how: HowArgs,
}

const LIST_COLUMNS: [&str; 5] = ["folder", "created_at_us", "lsn", "files", "bytes"];

/// Runs what needs no engine; `None` if it needs one.
pub fn offline(command: &BackupCommand, target: &Target) -> Option<Result<(), CliError>> {
    match command {
        BackupCommand::Create { .. } => None,
        BackupCommand::List { dir } => Some(list(dir, target.json)),
        BackupCommand::Verify(args) => Some(verify(args, target.json)),
        BackupCommand::Prune { dir, keep } => Some(prune(dir, *keep, target.json)),
    }
}

/// Runs what the engine does.
///
/// # Errors
/// When the call fails.
pub async fn run(session: &mut Session, command: BackupCommand) -> Result<(), CliError> {
    let BackupCommand::Create { to } = command else { unreachable!("the others need no engine") };
    let to = to.map(|to| absolute(&to)).transpose()?.unwrap_or_default();
    let asked = CreateBackupRequest { to: to.display().to_string() };
    let answer = session.operator().create_backup(asked).await;
    let made = answer.map_err(|status| session.failed(status))?.into_inner();
    let new_bytes = made.new_bytes;
    let mut record = record(made);
    record.0.push(("new_bytes", Cell::Count(new_bytes)));
    session.print(&record).await
}

/// A backup as it is shown.
pub(super) fn record(of: Backup) -> Record {
    Record(vec![
        ("folder", Cell::Text(of.folder)),
        ("created_at_us", Cell::Micros(of.created_at_us)),
        ("lsn", Cell::Count(of.lsn)),
        ("digest", Cell::Hex(of.digest)),
        ("files", Cell::Count(of.files)),
        ("bytes", Cell::Count(of.bytes)),
    ])
}

fn list(dir: &Path, json: bool) -> Result<(), CliError> {
    let mut out = Output::new(json);
    for Found { folder, manifest } in backup::list(dir).map_err(failed)? {
        let digest = manifest.tail().map(|tail| tail.link.0.to_vec()).unwrap_or_default();
        let record = record(Backup {
            folder: folder.display().to_string(),
            lsn: manifest.position.lsn,
            digest: digest.into(),
            created_at_us: manifest.created_at_us,
            files: manifest.count(),
            bytes: manifest.bytes(),
            new_bytes: 0,
        });
        out.row(&record, &LIST_COLUMNS, &Default::default())?;
    }
    out.finish()
}

fn verify(args: &VerifyArgs, json: bool) -> Result<(), CliError> {
    let backup = backup::which(&args.dir).map_err(failed)?;
    let root_key = args.root_key_file.as_deref().map(backup::root_key).transpose();
    let root_key = root_key.map_err(failed)?;
    let (archives, auditing) = (args.archives.as_deref(), args.how.auditing());
    let good = backup::verify(&backup, root_key.as_ref(), archives, auditing).map_err(failed)?;
    let Verified { manifest, report, is_marked } = good;
    let mut out = Output::new(json);
    let mut cells = vec![
        ("backup", Cell::Text(backup.display().to_string())),
        ("created_at_us", Cell::Micros(manifest.created_at_us)),
        ("lsn", Cell::Count(manifest.position.lsn)),
        ("digest", Cell::Text(manifest.position.digest.clone())),
        ("files", Cell::Count(manifest.count())),
        ("bytes", Cell::Count(manifest.bytes())),
        ("maker_checked", Cell::Flag(is_marked)),
    ];
    cells.extend(audited(&report));
    let mut not_checked = report.not_checked;
    if !is_marked {
        not_checked.push("who made it: that takes the root key (--root-key-file)".to_owned());
    }
    cells.push(("not_checked", said(not_checked)));
    cells.push(("good", Cell::Flag(true)));
    out.record(&Record(cells), &Default::default())?;
    out.finish()
}

/// What an audit found, in short.
pub(super) fn audited(report: &crate::audit::Report) -> Vec<(&'static str, Cell)> {
    let key = report.engine_key.clone().unwrap_or_default();
    vec![
        ("network_id", Cell::Text(report.network_id.clone().unwrap_or_default())),
        ("engine_key", Cell::Text(key)),
        ("events", Cell::Count(report.counts.events)),
        ("windows", Cell::Count(report.counts.windows)),
        ("batches", Cell::Count(report.counts.batches)),
        ("voucher_signatures", Cell::Count(report.counts.voucher_signatures)),
        ("notes", said(report.notes.clone())),
    ]
}

/// What an audit says in words.
fn said(all: Vec<String>) -> Cell {
    let one = |what| Record(vec![("what", Cell::Text(what))]);
    Cell::Records(all.into_iter().map(one).collect())
}

fn prune(dir: &Path, keep: u32, json: bool) -> Result<(), CliError> {
    let keep = usize::try_from(keep).expect("this machine has 64 bits");
    let gone = backup::prune(dir, keep).map_err(failed)?;
    let mut out = Output::new(json);
    for Found { folder, manifest } in gone {
        let record = Record(vec![
            ("removed", Cell::Text(folder.display().to_string())),
            ("lsn", Cell::Count(manifest.position.lsn)),
        ]);
        out.row(&record, &["removed", "lsn"], &Default::default())?;
    }
    out.finish()
}

pub(super) fn failed(error: backup::BackupError) -> CliError {
    CliError::Failed(printable(&error.to_string()))
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(CliError::file(path))
}
