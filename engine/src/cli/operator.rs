//! `operator`: tokens by which operators are known, and keys of their own.

use super::client::Session;
use super::operator_key::KeyCommand;
use super::output::{Cell, Output, Record, hex};
use super::{CliError, client, operator_key, voucher};
use crate::limits::OPERATOR_NAME_BYTES_MAX;
use crate::types::token_digest;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `tallystick operator ...`
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Make a random token for an operator, and the line for the configuration that knows it
    #[command(
        after_help = "Example:\n  tallystick operator token --name ann --out ann.token\n\nPut the \
        line under [operators] of the engine's configuration and restart it; the operator uses \
        --token-file ann.token."
    )]
    Token(TokenArgs),
    /// A key of your own, with which you sign what you approve and say
    #[command(subcommand)]
    Key(KeyCommand),
}

/// `tallystick operator token`
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// The operator's name
    #[arg(long)]
    name: String,
    /// File for the token, readable by its owner only; never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Whether the configuration takes an operator of this name.
fn check_name(name: &str) -> Result<(), CliError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
    if (1..=OPERATOR_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    Err(CliError::Input(format!(
        "--name expects 1 to {OPERATOR_NAME_BYTES_MAX} letters, digits and . _ - @, got {name:?}"
    )))
}

/// Runs what needs no engine; `None` if it needs one.
///
/// # Errors
/// When there is no randomness or the file exists or cannot be written.
pub fn offline(command: &OperatorCommand, json: bool) -> Option<Result<(), CliError>> {
    match command {
        OperatorCommand::Token(args) => Some(token(args, json)),
        OperatorCommand::Key(KeyCommand::New(args)) => Some(operator_key::new_key(args, json)),
        OperatorCommand::Key(KeyCommand::Set(_) | KeyCommand::Remove(_) | KeyCommand::List) => None,
    }
}

/// Runs `tallystick operator ...`.
///
/// # Errors
/// When a file cannot be read or written, or the call fails.
pub async fn run(session: &mut Session, command: OperatorCommand) -> Result<(), CliError> {
    match command {
        OperatorCommand::Token(args) => token(&args, session.out.is_json()),
        OperatorCommand::Key(command) => operator_key::run(session, command).await,
    }
}

fn token(args: &TokenArgs, json: bool) -> Result<(), CliError> {
    check_name(&args.name)?;
    let token = hex(&client::random::<32>()?);
    voucher::write_secret(&args.out, &token)?;
    let digest = token_digest(&token);
    let record = Record(vec![
        ("name", Cell::Text(args.name.clone())),
        ("token_file", Cell::Text(args.out.display().to_string())),
        ("digest", Cell::Hex(digest.0.to_vec().into())),
        ("config", Cell::Text(format!("{:?} = \"{digest}\"", args.name))),
    ]);
    let mut out = Output::new(json);
    out.record(&record, &Default::default())?;
    out.finish()
}
