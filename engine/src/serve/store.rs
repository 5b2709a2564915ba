//! Where the journal is: in the data directory, or in a stream with a copy there.

use super::doors::Doors;
use super::node::{self, Owned, Taken};
use super::{ServeError, check_new, vault};
use crate::config::{Config, JournalKind};
use crate::faults;
use crate::jetstream::{self, Settings, Tls};
use crate::journal::{Journal, Log, rocks};
use crate::ledger::Genesis;
use crate::pipeline::{Recovered, recover};
use crate::types::Timestamp;
use crate::vault::Vault;

/// The stream's name unless another one is configured.
const STREAM: &str = "tallystick";

/// An open journal, whatever keeps it, and what its records add up to.
pub(super) struct Store {
    /// The journal.
    pub journal: Journal<Box<dyn Log>>,
    /// Which start of an engine this is.
    pub epoch: u32,
    /// Whether it held no record.
    pub new: bool,
    /// What its records add up to.
    pub recovered: Recovered,
    /// What names are sealed with.
    pub vault: Vault,
    /// What a node has that owns the journal, where others could.
    pub owned: Option<Owned>,
}

/// Opens that of a data directory.
///
/// # Errors
/// `JournalError` of the directory; `NoLedger`.
pub(super) fn open(
    config: &Config,
    genesis: impl FnOnce() -> (Genesis, Timestamp),
) -> Result<Store, ServeError> {
    let Journal { log, tables } = rocks::open(&config.data_dir)?;
    if jetstream::is_copy(&*tables)? {
        return Err(ServeError::WithoutStream { dir: config.data_dir.clone() });
    }
    let (epoch, new) = (log.epoch(), log.is_empty()?);
    if new {
        check_new(config)?;
    }
    faults::point(|| "start-opened");
    let vault = vault(config, &tables, new)?;
    let log: Box<dyn Log> = Box::new(log);
    let mut journal = Journal { log, tables };
    let recovered = recover(&mut journal, epoch, config.shards, genesis)?;
    Ok(Store { journal, epoch, new, recovered, vault, owned: None })
}

/// Opens that in a stream, as soon as it is this node's; `None` when it was told to stop while it
/// stood by.
///
/// # Errors
/// `ServeError` that says why this node cannot take part.
pub(super) fn take_part(
    config: &Config,
    settings: &Settings,
    doors: &Doors,
    genesis: impl FnOnce() -> (Genesis, Timestamp),
) -> Result<Option<Store>, ServeError> {
    let taken = node::take_part(config, settings, doors, genesis)?;
    Ok(taken.map(|Taken { journal, recovered, epoch, new, vault, owned }| Store {
        journal,
        epoch,
        new,
        recovered,
        vault,
        owned: Some(owned),
    }))
}

/// The stream that the settings name, if they do.
pub(super) fn stream(config: &Config) -> Option<Settings> {
    let of = &config.journal;
    (of.kind == JournalKind::Jetstream).then(|| Settings {
        servers: of.servers.clone(),
        stream: of.stream.clone().unwrap_or_else(|| STREAM.to_owned()),
        credentials: of.credentials_file.clone(),
        tls: of.has_tls().then(|| Tls {
            ca_file: of.ca_file.clone(),
            own: of.cert_file.clone().zip(of.key_file.clone()),
        }),
        monitors: of.monitors.clone(),
    })
}
