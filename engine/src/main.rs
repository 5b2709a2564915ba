//! The program `tallystick`: reads its arguments, then runs the engine or one operator command.
//!
//! Owns the set-up of logging and the exit code of `serve`; everything else is the library's.

#![forbid(unsafe_code)]

use mimalloc::MiMalloc;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use tallystick::cli::{self, Cli, ClusterCommand, Command, DoctorArgs, DoctorLine};
use tallystick::config::{Config, ServeArgs};
use tallystick::journal::JournalError;
use tallystick::log;
use tallystick::pipeline::EXIT_ELSEWHERE;
use tallystick::serve::{Finding, Renewal, ServeError};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What the edge allocates and frees for each call was 15 % of its time with the system's allocator
/// (`docs/BENCHMARKS.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Runs the engine or one operator command.
pub(crate) fn main() -> ExitCode {
    let Cli { target, command } = cli::parse();
    match command {
        Command::Serve(args) => serve(&args),
        Command::Doctor(args) => doctor(&args, target.json),
        Command::Cluster(command) => cluster(&command, target.json),
        Command::Operate(command) => cli::run(&target, *command),
    }
}

fn doctor(args: &DoctorArgs, json: bool) -> ExitCode {
    let config = match args.load() {
        Ok(config) => config,
        Err(error) => return fail(cli::EXIT_USAGE, &error),
    };
    show(tallystick::serve::examine(&config, args.backup_older(), args.read_archives()), json)
}

fn cluster(command: &ClusterCommand, json: bool) -> ExitCode {
    let (ClusterCommand::Status(args) | ClusterCommand::Transfer { args, .. }) = command;
    let config = match args.load() {
        Ok(config) => config,
        Err(error) => return fail(cli::EXIT_USAGE, &error),
    };
    let found = match command {
        ClusterCommand::Status(_) => tallystick::serve::cluster_status(&config),
        ClusterCommand::Transfer { to, .. } => {
            tallystick::serve::cluster_transfer(&config, to.as_deref())
        }
    };
    show(found, json)
}

fn show(found: Vec<Finding>, json: bool) -> ExitCode {
    let line =
        |one: Finding| DoctorLine { level: one.health as u8, what: one.what, text: one.text };
    let lines: Vec<DoctorLine> = found.into_iter().map(line).collect();
    cli::show_doctor(&lines, json)
}

fn serve(args: &ServeArgs) -> ExitCode {
    let config = match Config::load(args) {
        Ok(config) => config,
        Err(error) => return fail(cli::EXIT_USAGE, &error),
    };
    if args.print_config {
        // Whoever reads our output may have seen enough of it.
        let _closed = std::io::stdout().write_all(config.to_toml().as_bytes());
        return ExitCode::SUCCESS;
    }
    let filter: Targets = config.log.parse().expect("a configuration holds a filter that was read");
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| log::Stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false);
    let (filter, change) = tracing_subscriber::reload::Layer::new(filter);
    tracing_subscriber::registry().with(filter).with(lines).init();
    let log = move |filter: &str| {
        let filter: Targets = filter.parse().expect("a configuration holds a filter that was read");
        // It fails only when nothing is logged any more.
        let _ = change.reload(filter);
    };
    let renewal = Renewal { args: args.clone(), log: Box::new(log) };
    match tallystick::serve::run(&config, renewal) {
        Ok(()) => ExitCode::SUCCESS,
        // Nothing was begun: the configuration is wrong.
        Err(error @ (ServeError::MetricsToken { .. } | ServeError::Clearing { .. })) => {
            fail(cli::EXIT_USAGE, &error)
        }
        Err(
            error @ (ServeError::HandedOver { .. } | ServeError::Journal(JournalError::Fenced(_))),
        ) => fail(EXIT_ELSEWHERE, &error),
        Err(error @ ServeError::Journal(JournalError::Differs { .. })) => {
            fail(cli::EXIT_DIFFERS, &error)
        }
        Err(error) => fail(cli::EXIT_FAILED, &error),
    }
}

/// Says what is wrong, with its causes where the text does not hold them already.
fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(inner_text.trim()) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    log::line(&format!("error: {text}"));
    ExitCode::from(code)
}
