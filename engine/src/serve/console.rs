//! The console's listener: opened when the engine can serve, on a thread of its own, so that a page
//! takes nothing from those on which vouchers come.

use super::ServeError;
use super::doors::reach;
use crate::api::{Access, Console, ConsoleSetup, Door, Keys, Origins, Service, Visits};
use crate::config::ConsoleSettings;
use crate::limits::STOP_WAIT_MILLIS;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

/// What it is called.
pub(super) const KIND: &str = "the console";

/// The file, in the data directory, in which it is written who is logged in.
pub(super) const FILE: &str = "console.json";

/// The listener at work.
pub(super) struct ConsoleDoor {
    runtime: Runtime,
    serving: JoinHandle<()>,
    stop: watch::Sender<bool>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Who is there.
    pub visits: Visits,
}

/// Who may do what behind it, of what they may have at all listeners.
pub(super) fn access(of: &ConsoleSettings, access: &Access) -> Access {
    access.also(reach(of.listen.0, of.tls.as_ref()))
}

impl ConsoleDoor {
    /// Opens it.
    ///
    /// # Errors
    /// `ServeError` when the address cannot be had.
    pub fn open(
        of: &ConsoleSettings,
        (keys, origins): (Option<Keys>, Origins),
        setup: ConsoleSetup,
    ) -> Result<Self, ServeError> {
        let system = |e: std::io::Error| ServeError::System { what: "threads", why: e.to_string() };
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(1).thread_name("console").enable_all();
        let runtime = runtime.build().map_err(system)?;
        let tls = keys.is_some();
        let opened = {
            let _within = runtime.enter();
            Door::open_for(of.listen.0, keys, origins, |address| {
                Service::Http(Arc::new(Console::new(setup, address, tls)))
            })
        };
        let door = opened.map_err(|why| ServeError::Listen { addr: of.listen.0, why })?;
        let (address, visits) = (door.address(), door.visits());
        let (stop, stopping) = watch::channel(false);
        let serving = runtime.spawn(door.serve(stopping));
        tracing::info!(addr = %address, tls, "serving the console");
        Ok(Self { runtime, serving, stop, address, visits })
    }

    /// Comes when it has ended by itself, with why.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        (&mut self.serving).await
    }

    /// Lets nobody in any more; who is being answered is.
    pub fn stopping(&self) {
        self.stop.send_replace(true);
    }

    /// Closes it.
    pub fn close(self) {
        let Self { runtime, serving, stop, .. } = self;
        stop.send_replace(true);
        let most = Duration::from_millis(STOP_WAIT_MILLIS);
        if !serving.is_finished() {
            // It has time limits of its own.
            let _ = runtime.block_on(async { tokio::time::timeout(most, serving).await });
        }
        runtime.shutdown_timeout(most);
    }
}
