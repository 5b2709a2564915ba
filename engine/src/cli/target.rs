//! What every command is told: where the engine is, and how results are printed.

use clap::Args;
use tallystick_client::Credentials;

/// Where the engine is and how results are printed.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The engine's address; https://HOST:PORT for one that speaks TLS. Of several nodes all of
    /// them, with commas between: the one that owns the journal is found
    #[arg(
        long,
        global = true,
        env = "TALLYSTICK_SERVER",
        value_name = "HOST:PORT[,HOST:PORT...]",
        default_value = "127.0.0.1:7450",
        hide_env_values = true,
        help_heading = "Common options"
    )]
    pub server: String,
    /// By what you are known, and whom you trust
    #[command(flatten)]
    pub credentials: Credentials,
    /// Print JSON Lines: one object a line, amounts as strings of asset units
    #[arg(long, global = true, help_heading = "Common options")]
    pub json: bool,
}
