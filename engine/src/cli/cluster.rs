//! `cluster`: how the nodes stand that may own one journal, and having it handed over. What is
//! looked at and done is the engine's (`serve/node`).

use crate::config::{Config, ConfigError, ServeArgs, Settings};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Shown with `tallystick cluster --help`.
pub const HELP: &str = "\
Examples:
  tallystick cluster status --config /etc/tallystick/tallystick.toml
  tallystick cluster transfer --to n2 --config /etc/tallystick/tallystick.toml

For engines with their journal on a stream ([journal] kind = \"jetstream\"). Goes to the stream's
servers, as the configuration names them, and to no engine. One line for each thing; the exit code
is that of the worst: 0 all is well; 1 WARNING: see to it; 2 CRITICAL: nobody owns the journal, or
what was asked for was not done.";

/// `tallystick cluster`
#[derive(Debug, Clone, Subcommand)]
pub enum ClusterCommand {
    /// Who owns the journal, and how every node stands
    #[command(
        after_help = "Example:\n  tallystick cluster status --config /etc/tallystick/tallystick.toml"
    )]
    Status(ClusterArgs),
    /// Have the owner hand the journal over, without losing a frame; it ends, and stands by when it
    /// is started again
    #[command(after_help = "Example:\n  tallystick cluster transfer --to n2 --config \
                      /etc/tallystick/tallystick.toml")]
    Transfer {
        /// The node that is to have it; without this, whichever comes first
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
        /// Where the servers are.
        #[command(flatten)]
        args: ClusterArgs,
    },
}

/// Where the servers are.
#[derive(Debug, Clone, Args)]
pub struct ClusterArgs {
    /// TOML file with settings, as the engine has it
    #[arg(long, env = "TALLYSTICK_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The settings that flags or environment give.
    #[command(flatten)]
    settings: Settings,
}

impl ClusterArgs {
    /// The configuration that is gone by.
    ///
    /// # Errors
    /// As for `serve`.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let (config, settings) = (self.config.clone(), self.settings.clone());
        Config::load(&ServeArgs { config, settings, ..ServeArgs::default() })
    }
}
