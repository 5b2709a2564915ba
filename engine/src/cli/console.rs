//! `console`: the way from a command line to the engine's pages.

use super::CliError;
use super::client::Session;
use super::output::{Cell, Record};
use clap::Subcommand;
use tallystick_proto::v1::CreateConsoleLoginRequest;

/// `tallystick console ...`
#[derive(Debug, Subcommand)]
pub enum ConsoleCommand {
    /// Print where the console is, and a link by which you are logged in there, once
    #[command(after_help = "Example:\n  tallystick console login --token-file ann.key\n\nWhoever \
        opens the link first is logged in as you: it is as secret as your key, for five minutes.")]
    Login,
}

/// Runs `tallystick console ...`.
///
/// # Errors
/// When the call fails, or the engine has no console.
pub async fn run(session: &mut Session, command: ConsoleCommand) -> Result<(), CliError> {
    let ConsoleCommand::Login = command;
    let answer = session.operator().create_console_login(CreateConsoleLoginRequest {}).await;
    let login = answer.map_err(|status| session.failed(status))?.into_inner();
    let record = Record(vec![
        ("address", Cell::Text(login.address.clone())),
        ("link", Cell::Text(format!("{}/#login={}", login.address, login.code))),
        ("expires_at_us", Cell::Micros(login.expires_at_us)),
    ]);
    session.print(&record).await
}
