//! Where the journal is: in the data directory, or in a stream with a copy there.

use super::{ServeError, check_new};
use crate::config::{Config, JournalKind};
use crate::jetstream::{self, Settings, Start, Tls};
use crate::journal::{Journal, JournalError, Log, Tables, rocks};
use crate::pipeline::stop_at_once;
use std::sync::Arc;

/// The stream's name unless another one is configured.
const STREAM: &str = "tallystick";

/// An open journal, whatever keeps it.
pub(super) struct Store {
    /// The journal.
    pub journal: Journal<Box<dyn Log>>,
    /// Which start of an engine this is.
    pub epoch: u32,
    /// Whether it holds no record yet.
    pub new: bool,
}

/// Opens it.
///
/// # Errors
/// `JournalError` of the directory or of the stream; `NoLedger`.
pub(super) fn open(config: &Config) -> Result<Store, ServeError> {
    let store = match stream(config) {
        None => {
            let Journal { log, tables } = rocks::open(&config.data_dir)?;
            if jetstream::is_copy(&*tables)? {
                return Err(ServeError::WithoutStream { dir: config.data_dir.clone() });
            }
            let (epoch, new) = (log.epoch(), log.is_empty()?);
            store(Box::new(log), tables, epoch, new)
        }
        Some(settings) => {
            let start = Start { create: check_new(config).is_ok(), take_over: false };
            let copy = rocks::open(&config.data_dir)?;
            let followed = jetstream::follow(&settings, copy, start).map_err(JournalError::from)?;
            followed.beside().on_failure(|error| stop_at_once(error));
            let Journal { log, tables } = followed.claim().map_err(JournalError::from)?;
            let (epoch, new) = (log.epoch()?, log.is_empty()?);
            store(Box::new(log), tables, epoch, new)
        }
    };
    if store.new {
        check_new(config)?;
    }
    Ok(store)
}

fn store(log: Box<dyn Log>, tables: Arc<dyn Tables>, epoch: u32, new: bool) -> Store {
    Store { journal: Journal { log, tables }, epoch, new }
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
