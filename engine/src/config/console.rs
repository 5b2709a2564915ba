//! The console's listener: in the configuration file only, table `[console]`.

use super::listeners::TlsFiles;
use super::values::Listen;
use serde::{Deserialize, Serialize};

/// `[console]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleSettings {
    /// Where it listens.
    pub listen: Listen,
    /// Its certificate; without one it speaks plain text, to this machine only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
}
