//! The edge of an engine that stands by: the same listener that its owner's edge will have. Whoever
//! is connected stays, and is answered by the owner from the call on that comes after the takeover.

use crate::api::Standby;
use crate::config::Config;
use crate::limits::STOP_WAIT_MILLIS;
use crate::serve::doors::Doors;
use crate::serve::edge::{self, Listening, not_serving, write_ready_file};
use crate::serve::services::beside;
use crate::serve::{ServeError, manager};
use crate::types::NetworkId;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tonic_health::server::HealthReporter;

/// The edge while it waits.
pub(crate) struct Waiting {
    /// Its threads.
    pub runtime: Runtime,
    /// What runs on them.
    pub parts: Parts,
}

/// What goes on as the owner's.
pub(crate) struct Parts {
    /// Tells all of it to stop.
    pub stop: watch::Sender<bool>,
    /// How many signals to end have come.
    pub signals: watch::Receiver<u32>,
    /// The listener at work.
    pub listening: Listening,
    /// Who watches it is told there.
    pub health: HealthReporter,
    /// What is told.
    pub standby: Standby,
}

impl Waiting {
    /// Opens it.
    ///
    /// # Errors
    /// `ServeError` when its address cannot be had.
    pub fn open(config: &Config, doors: &Doors) -> Result<Self, ServeError> {
        let (runtime, standby) = (edge::runtime()?, Standby::default());
        let system = |e: std::io::Error| ServeError::System { what: "signals", why: e.to_string() };
        let parts = runtime.block_on(async {
            let signals = edge::signals().map_err(system)?;
            // From here on SIGHUP ends nothing: all settings are read when it takes over.
            drop(signal(SignalKind::hangup()).map_err(system)?);
            let (stop, stopping) = watch::channel(false);
            let health = HealthReporter::new();
            not_serving(&health).await;
            let routes = standby.behind(beside(&health));
            let listening = Listening::open(doors, routes, &stopping)?;
            Ok::<_, ServeError>(Parts { stop, signals, listening, health, standby })
        })?;
        doors.standing_by(&parts.standby);
        let addr = parts.listening.address;
        tracing::info!(%addr, "the listener for gRPC says who owns the journal");
        if config.cluster.name.is_none() {
            tracing::warn!(
                "this node has no name: give it one, by which people know it ([cluster] name)"
            );
        }
        manager::serving();
        Ok(Self { runtime, parts })
    }

    /// Says in the ready file where it is, once it is known of which network.
    ///
    /// # Errors
    /// `ReadyFile`.
    pub fn ready(
        &self,
        config: &Config,
        doors: &Doors,
        network: NetworkId,
    ) -> Result<(), ServeError> {
        let addr = self.parts.listening.address;
        let ready = config.ready_file.as_ref();
        ready.map_or(Ok(()), |path| write_ready_file(path, addr, doors, (network, true)))
    }

    /// Whether it is to stop.
    pub fn is_signalled(&self) -> bool {
        *self.parts.signals.borrow() > 0
    }

    /// Closes it: who is being answered is.
    pub fn close(self) {
        let Self { runtime, parts } = self;
        let most = Duration::from_millis(STOP_WAIT_MILLIS);
        parts.stop.send_replace(true);
        // It has time limits of its own.
        let ended = async { tokio::time::timeout(most, parts.listening.ended()).await };
        let _ = runtime.block_on(ended);
        runtime.shutdown_timeout(most);
    }
}
