//! The operators' commands: every one of them talks gRPC like any other client.
//!
//! Owns the tree of commands and the exit codes. Knows the contract, the types and the limits, and
//! nothing of the engine's inside; `serve` is `main`'s.

mod access;
mod asset;
mod audit;
mod audit_log;
mod backup;
mod batch;
mod budget;
mod cert;
mod check;
mod client;
mod cluster;
mod console;
mod doctor;
mod evidence;
mod export;
mod exposures;
mod find;
mod headroom;
mod help;
mod history;
mod ids;
mod import;
mod leg;
mod money;
mod names;
mod offline;
mod operator;
mod operator_key;
mod output;
mod page;
mod party;
mod payins;
mod payment;
mod plain;
mod proposal;
mod reconcile;
mod restore;
mod signer;
mod statement;
mod status;
mod target;
mod todo;
mod top;
mod trouble;
mod voucher;
mod webhook;
mod window;

pub use cluster::{ClusterArgs, ClusterCommand};
pub use doctor::{DoctorArgs, Line as DoctorLine};
pub use plain::parse;
pub use target::Target;

use crate::config::ServeArgs;
use crate::files;
use clap::{Args, Parser, Subcommand};
use client::Session;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use tonic::Status;

/// The engine refused or failed.
pub const EXIT_FAILED: u8 = 1;
/// Wrong usage or configuration; clap's own code.
pub const EXIT_USAGE: u8 = 2;
/// No engine answers.
pub const EXIT_UNREACHABLE: u8 = 3;
/// Of `serve`: what the records of the journal's owner say does not follow here.
pub const EXIT_DIFFERS: u8 = 5;

const EXAMPLES: &str = "\
Examples:
  tallystick serve --data-dir ./data
  tallystick asset add --number 978 --code EUR --scale 6 --model bilateral
  tallystick party add --name 'Example GmbH'
  tallystick status --json

Exit codes: 0 done; 1 the engine refused or failed; 2 wrong usage or configuration; 3 no engine
answers at --server.";

/// The clearing house for machine payments.
#[derive(Debug, Parser)]
#[command(name = "tallystick", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// Where the engine is and how results are printed.
    #[command(flatten)]
    pub target: Target,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The id that makes a change safe to repeat.
#[derive(Debug, Clone, Args)]
pub struct RequestArgs {
    /// Id of this change: repeating it with the same id and content changes nothing more [default:
    /// a random one]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl RequestArgs {
    fn id(&self) -> Result<String, CliError> {
        client::request_id(self.request_id.as_ref())
    }
}

/// What the program can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the engine until SIGTERM or SIGINT
    #[command(after_help = "Example:\n  tallystick serve --data-dir ./data --window-every 60s")]
    Serve(Box<ServeArgs>),
    /// Look at the machine, the files and the rails of a configuration
    #[command(after_help = doctor::HELP)]
    Doctor(Box<DoctorArgs>),
    /// Look at the nodes of one journal, and hand it over
    #[command(subcommand, after_help = cluster::HELP)]
    Cluster(Box<ClusterCommand>),
    /// Every other command.
    #[command(flatten)]
    Operate(Box<Operate>),
}

/// The commands that talk to an engine.
#[derive(Debug, Subcommand)]
pub enum Operate {
    /// Register, find, show and block parties
    #[command(subcommand)]
    Party(party::PartyCommand),
    /// Register, list and revoke the keys that sign for a party
    #[command(subcommand)]
    Signer(signer::SignerCommand),
    /// Create and list assets
    #[command(subcommand)]
    Asset(asset::AssetCommand),
    /// Set and show how much a party may owe
    #[command(subcommand)]
    Limit(money::LimitCommand),
    /// Record money that a party has deposited
    #[command(subcommand)]
    Deposit(money::DepositCommand),
    /// Register parties, signers, limits and deposits in bulk, from JSON Lines
    #[command(after_help = import::HELP)]
    Import(import::ImportArgs),
    /// Close windows and show what is owed in them
    #[command(subcommand)]
    Window(window::WindowCommand),
    /// Compute, approve, abort and export settlement batches
    #[command(subcommand)]
    Batch(batch::BatchCommand),
    /// Show the legs of a batch, and say what became of them
    #[command(subcommand)]
    Leg(batch::LegCommand),
    /// Show what waits for a second person, confirm it, or take it away
    #[command(subcommand)]
    Proposal(proposal::ProposalCommand),
    /// Show what a person must see, and take it away
    #[command(subcommand)]
    Trouble(trouble::TroubleCommand),
    /// Show who did what: every event, or those that are asked for
    #[command(after_help = history::HELP)]
    History(history::HistoryArgs),
    /// Say who may come to the engine, and as what
    #[command(subcommand)]
    Access(access::AccessCommand),
    /// Come to the console, the engine's pages
    #[command(subcommand)]
    Console(console::ConsoleCommand),
    /// Say where a party is told over HTTP what happens to it
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Make the tokens by which operators are known
    #[command(subcommand)]
    Operator(operator::OperatorCommand),
    /// Make certificates, to try TLS out
    #[command(subcommand)]
    Cert(cert::CertCommand),
    /// Make keys and vouchers by hand, to try things out
    #[command(subcommand)]
    Voucher(voucher::VoucherCommand),
    /// Show what the ledger holds for a channel
    #[command(subcommand)]
    Channel(voucher::ChannelCommand),
    /// Export the evidence of windows
    #[command(subcommand)]
    Evidence(evidence::EvidenceCommand),
    /// Prove what one pair owes or one party's position, and check such a proof
    #[command(subcommand)]
    Proof(evidence::ProofCommand),
    /// Fetch the engine's signed word that a channel's newest voucher is credited
    #[command(
        after_help = "Example:\n  tallystick receipt --signer 8f..31 --payee 7b..00 --asset 978 \
        --expires-at 1795000000 --out receipt.json\n\n`tallystick proof check` checks it offline."
    )]
    Receipt(evidence::ReceiptArgs),
    /// Rotate the engine's own signing key
    #[command(subcommand)]
    Key(evidence::KeyCommand),
    /// Re-derive everything from an export or a data directory, without an engine
    #[command(after_help = audit::HELP)]
    Audit(audit::AuditArgs),
    /// Show each call of operators, reads and refused ones too, from the audit log's files
    #[command(name = "audit-log", after_help = audit_log::HELP)]
    AuditLog(Box<audit_log::AuditLogArgs>),
    /// Make, list, verify and prune backups
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Make a data directory from a backup; and let payments leave again after that
    #[command(after_help = restore::HELP)]
    Restore(restore::RestoreArgs),
    /// Print a script that completes commands in your shell
    #[command(after_help = help::COMPLETIONS_HELP)]
    Completions(help::CompletionsArgs),
    /// Write the manual pages
    #[command(after_help = help::MAN_HELP)]
    Man(help::ManArgs),
    /// Show what must be done now, over all batches
    #[command(after_help = todo::HELP)]
    Todo,
    /// Watch what the engine does right now, once a second
    #[command(after_help = top::HELP)]
    Top(top::TopArgs),
    /// Show what the engine is and does right now
    #[command(after_help = check::HELP)]
    Status(check::CheckArgs),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// No engine answers.
    #[error(
        "no engine at {url} ({cause}); start one with 'tallystick serve' or name it with --server"
    )]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What the system says.
        cause: String,
    },
    /// Something answers, and it and this program do not fit.
    #[error("{0}")]
    Misfit(String),
    /// None of several addresses takes calls.
    #[error("{0}")]
    NoOwner(String),
    /// The engine refused or failed, or its answer was lost.
    #[error("{}", call_text(status, url))]
    Call {
        /// What it answered.
        status: Box<Status>,
        /// Where it is.
        url: String,
        /// The id of the change that was asked for.
        request_id: Option<String>,
    },
    /// What was typed makes no sense.
    #[error("{0}")]
    Input(String),
    /// The command did what it could; this is what is wrong.
    #[error("{0}")]
    Failed(String),
    /// A file cannot be read or written.
    #[error("{}", files::why(path, source))]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something was found, and said: this is the exit code.
    #[error("the check found something")]
    Checked(u8),
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

/// A state's name in lower case, without its enum's prefix.
fn state_name(full: &str, prefix: &str) -> String {
    full.strip_prefix(prefix).unwrap_or(full).to_ascii_lowercase()
}

fn call_text(status: &Status, url: &str) -> String {
    if client::is_foreign(status) {
        return format!("{url} answered, but is not a Tallystick engine");
    }
    let text = match status.message() {
        "" => status.code().description().to_owned(),
        message => output::printable(message),
    };
    if client::is_lost(status) {
        return format!(
            "the connection to {url} was lost ({text}); is the engine still running, and is this its address?"
        );
    }
    text
}

impl CliError {
    /// A file that cannot be read or written.
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::Misfit(_) | Self::NoOwner(_) => EXIT_UNREACHABLE,
            Self::Call { status, .. } if client::is_lost(status) || client::is_foreign(status) => {
                EXIT_UNREACHABLE
            }
            Self::Call { .. } | Self::Failed(_) | Self::File { .. } => EXIT_FAILED,
            Self::Input(_) => EXIT_USAGE,
            Self::Checked(code) => *code,
            // Whoever read our output has seen enough of it.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => EXIT_FAILED,
        }
    }

    /// Says on standard error what is wrong and what to do.
    fn report(&self) {
        if self.exit_code() == 0 || matches!(self, Self::Checked(_)) {
            return;
        }
        note(&format!("error: {self}"));
        let Self::Call { status, request_id, .. } = self else { return };
        if let Some(hint) = client::hint(status) {
            note(&format!("hint: {hint}"));
        }
        if let Some(id) = request_id
            && client::is_unclear(status)
        {
            note(&format!(
                "note: should it have taken effect all the same, the same command with \
                 --request-id {id} does not do it twice"
            ));
        }
    }
}

/// A line on standard error; a closed one is no reason to fail.
fn note(text: &str) {
    use io::Write as _;
    let _closed = writeln!(io::stderr(), "{text}");
}

/// Runs a command and says how it ended.
#[must_use]
pub fn run(target: &Target, command: Operate) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(dispatch(target, command));
            // A thread that waits for standard input must not hold up the end.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(CliError::Failed(format!("cannot start: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints what `doctor` found, and says how it ended.
#[must_use]
pub fn show_doctor(lines: &[DoctorLine], json: bool) -> ExitCode {
    match doctor::print(lines, json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            ExitCode::from(error.exit_code())
        }
    }
}

async fn dispatch(target: &Target, command: Operate) -> Result<(), CliError> {
    if let Some(done) = offline::run(target, &command) {
        return done;
    }
    if let Operate::Status(args) = &command
        && args.check
    {
        return check::run(target, args).await;
    }
    let mut session = Session::connect(target).await?;
    let done = match command {
        Operate::Party(command) => party::run_party(&mut session, command).await,
        Operate::Signer(command) => signer::run(&mut session, command).await,
        Operate::Asset(command) => asset::run(&mut session, command).await,
        Operate::Limit(command) => money::run_limit(&mut session, command).await,
        Operate::Deposit(command) => money::run_deposit(&mut session, command).await,
        Operate::Import(args) => import::run(&mut session, args).await,
        Operate::Window(command) => window::run(&mut session, command).await,
        Operate::Batch(command) => batch::run_batch(&mut session, command).await,
        Operate::Leg(command) => batch::run_leg(&mut session, command).await,
        Operate::Proposal(command) => proposal::run(&mut session, command).await,
        Operate::Trouble(command) => trouble::run(&mut session, command).await,
        Operate::History(args) => history::run(&mut session, args).await,
        Operate::Access(command) => access::run(&mut session, command).await,
        Operate::Console(command) => console::run(&mut session, command).await,
        Operate::Webhook(command) => webhook::run(&mut session, command).await,
        Operate::Operator(command) => operator::run(&mut session, command).await,
        Operate::Cert(command) => cert::run(&command, session.out.is_json()),
        Operate::Voucher(command) => voucher::run_voucher(&mut session, command).await,
        Operate::Channel(command) => voucher::run_channel(&mut session, command).await,
        Operate::Evidence(command) => evidence::run_evidence(&mut session, command).await,
        Operate::Proof(command) => evidence::run_proof(&mut session, command).await,
        Operate::Receipt(args) => evidence::run_receipt(&mut session, args).await,
        Operate::Key(command) => evidence::run_key(&mut session, command).await,
        Operate::Audit(args) => audit::run(&args, session.out.is_json()),
        Operate::AuditLog(args) => audit_log::run(&args, session.out.is_json()),
        Operate::Completions(args) => help::completions(&args),
        Operate::Man(args) => help::man(&args, session.out.is_json()),
        Operate::Todo => todo::run(&mut session).await,
        Operate::Backup(command) => backup::run(&mut session, command).await,
        Operate::Restore(restore::RestoreArgs { then: Some(command), .. }) => {
            restore::run(&mut session, command).await
        }
        Operate::Restore(args) => restore::offline(&args, session.out.is_json()),
        Operate::Top(args) => top::run(target, &args).await,
        Operate::Status(_) => status::run(&mut session).await,
    };
    // What was printed before a failure is still wanted.
    done.and(session.out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn walk(command: &clap::Command, path: &str, without: &mut Vec<String>) {
            let path = format!("{path} {}", command.get_name());
            if command.has_subcommands() {
                command.get_subcommands().for_each(|inner| walk(inner, &path, without));
            } else if command.get_after_help().is_none() {
                without.push(path);
            }
        }
        let mut without = Vec::new();
        walk(&Cli::command(), "", &mut without);
        assert_eq!(without, Vec::<String>::new());
    }

    #[test]
    fn exit_codes_tell_refusal_usage_and_no_engine_apart() {
        let call = |status| CliError::Call {
            status: Box::new(status),
            url: String::new(),
            request_id: None,
        };
        assert_eq!(call(Status::not_found("x")).exit_code(), EXIT_FAILED);
        assert_eq!(call(Status::unavailable("stopping")).exit_code(), EXIT_FAILED);
        assert_eq!(call(Status::from_error("reset".into())).exit_code(), EXIT_UNREACHABLE);
        assert_eq!(CliError::Misfit(String::new()).exit_code(), EXIT_UNREACHABLE);
        let foreign = "grpc-status header missing, mapped from HTTP status code 404";
        let error = CliError::Call {
            status: Box::new(Status::unimplemented(foreign)),
            url: "http://localhost:80".into(),
            request_id: None,
        };
        assert_eq!(error.exit_code(), EXIT_UNREACHABLE);
        let wanted = "http://localhost:80 answered, but is not a Tallystick engine";
        assert_eq!(error.to_string(), wanted);
        assert_eq!(CliError::Checked(2).exit_code(), 2);
        assert_eq!(CliError::Input(String::new()).exit_code(), EXIT_USAGE);
        assert_eq!(CliError::Output(io::ErrorKind::BrokenPipe.into()).exit_code(), 0);
    }
}
