//! `tallystick-loadgen`: makes, signs and streams real vouchers, keeps its own books and compares
//! them with the engine's.
//!
//! An independent client: it knows the engine only by its contract (`proto/`) and the voucher's
//! bytes. It never depends on the engine's crate, so that a mistake there cannot hide behind the
//! same mistake here.

#![forbid(unsafe_code)]

mod abuse;
mod args;
mod backups;
mod bank;
mod baseline;
mod bench;
mod books;
mod bundles;
mod camt;
mod crowd;
mod demo;
mod engine;
mod error;
mod flood;
mod floods;
mod pain;
mod plan;
mod progress;
mod report;
mod run;
mod settle;
mod setup;
mod show;
mod sign;
mod stream;
mod text;
mod versus;
mod window;
mod x402;

use args::{Cli, Command, RunArgs};
use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use error::Error;
use report::Report;
use std::io::Write as _;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| in_plain_words(error).exit());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = command(cli.command) => ended,
            error = interrupted() => Err(error),
        }
    });
    // Signing may still be going on when we are interrupted: nobody waits for it.
    runtime.shutdown_background();
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            match error {
                Error::Usage(_) => ExitCode::from(EXIT_USAGE),
                Error::Unreachable { .. }
                | Error::Call { .. }
                | Error::Lost { .. }
                | Error::Contract { .. }
                | Error::Import { .. }
                | Error::File { .. }
                | Error::Engine(_)
                | Error::Check(_)
                | Error::Interrupted => ExitCode::FAILURE,
            }
        }
    }
}

/// What the parser of the command line says of a number that is none, in plain words.
fn in_plain_words(error: clap::Error) -> clap::Error {
    use std::error::Error as _;
    let why = error.source().map(ToString::to_string).unwrap_or_default();
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(_) | None => String::new(),
    };
    if error.kind() != ErrorKind::ValueValidation || !why.starts_with("invalid digit") {
        return error;
    }
    let (argument, value) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue));
    let said = format!("invalid value '{value}' for '{argument}': expected a whole number\n");
    clap::Error::raw(ErrorKind::ValueValidation, said)
}

/// Wrong usage; clap's own code.
const EXIT_USAGE: u8 = 2;

async fn command(command: Command) -> Result<bool, Error> {
    match command {
        Command::Run(args) => run_command(&args).await,
        Command::Demo(args) => demo::demo(&args).await,
        Command::Abuse(args) => abuse::abuse(&args).await,
        Command::Flood(args) => {
            let report = flood::flood(&args).await?;
            print(&if args.json { report.json() } else { report.text() });
            Ok(report.good())
        }
        Command::Bundles(args) => bundles::bundles(&args).await,
        Command::Floods(args) => floods::floods(&args).await,
        Command::Tls(args) => versus::versus(&args).await,
        Command::Backup(args) => backups::backups(&args).await,
        Command::X402(args) => x402::x402(&args).await,
        Command::Compare(args) => bench::compare::compare(&args).await,
        Command::Mixes(args) => bench::mixes::mixes(&args).await,
        Command::Close(args) => bench::close::close(&args).await,
        Command::Overload(args) => bench::overload::overload(&args).await,
        Command::Peers(args) => bench::peers::peers(&args).await,
    }
}

async fn run_command(args: &RunArgs) -> Result<bool, Error> {
    let run = run::execute(args).await?;
    let report = Report::new(args, &run);
    if let Some(path) = &args.report {
        demo::write_json(path, &report)?;
    }
    match args.json {
        true => {
            let text = serde_json::to_string(&report).expect("a report is plain data");
            print(&format!("{text}\n"));
        }
        false => print(&report.text()),
    }
    Ok(report.good())
}

/// Ends when somebody wants us to end.
async fn interrupted() -> Error {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return Error::Engine("cannot listen for signals".into());
    };
    tokio::select! {
        _ = interrupt.recv() => Error::Interrupted,
        _ = terminate.recv() => Error::Interrupted,
    }
}

/// Prints to standard output.
fn print(text: &str) {
    // Whoever closed standard output does not want to read it; the exit code still tells.
    drop(std::io::stdout().write_all(text.as_bytes()));
}
