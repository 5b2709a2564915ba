//! The HTTP listener: opened before the journal is read, on a thread of its own, so that whoever
//! asks is told the truth from then on; closed when the edge has ended.

use super::ServeError;
use super::privacy::secret;
use crate::api::{Door, Front, Keys, Origins, Service, Visits};
use crate::config::Config;
use crate::faults;
use crate::limits::{METRICS_TOKEN_LETTERS_MIN, STOP_WAIT_MILLIS};
use crate::types::Timestamp;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

/// What it is called.
pub(super) const KIND: &str = "HTTP";

/// The listener at work.
pub(super) struct Http {
    runtime: Runtime,
    serving: JoinHandle<()>,
    stop: watch::Sender<bool>,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it answers.
    pub front: Front,
    /// Who is there.
    pub visits: Visits,
    /// Its certificate.
    pub keys: Option<Keys>,
}

impl Http {
    /// Opens it at this address, under TLS where there are keys.
    ///
    /// # Errors
    /// `ServeError` when the address cannot be had, or the token of the metrics be read.
    pub fn open(
        config: &Config,
        address: SocketAddr,
        (keys, origins): (Option<Keys>, Origins),
        started_at: Timestamp,
    ) -> Result<Self, ServeError> {
        let token = config.metrics_token_file.as_deref().map(token).transpose()?;
        let front = Front::new(started_at, token.as_deref());
        let system = |e: std::io::Error| ServeError::System { what: "threads", why: e.to_string() };
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(1).thread_name("http").enable_all();
        let runtime = runtime.build().map_err(system)?;
        let service = Service::Http(Arc::new(front.site()));
        let door = {
            let _within = runtime.enter();
            Door::open(address, service, keys.clone(), origins)
        };
        let door = door.map_err(|why| ServeError::Listen { addr: address, why })?;
        let (address, visits) = (door.address(), door.visits());
        let (stop, stopping) = watch::channel(false);
        let serving = runtime.spawn(async move {
            if !faults::listener_ends(KIND) {
                door.serve(stopping).await;
            }
        });
        tracing::info!(addr = %address, "serving HTTP: /livez, /readyz, /metrics, and x402: /supported, /verify, /settle");
        Ok(Self { runtime, serving, stop, address, front, visits, keys })
    }

    /// Comes when it has ended by itself, with why.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        (&mut self.serving).await
    }

    /// Closes it. Who is being answered is.
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

/// The token in a file.
pub(super) fn token(path: &Path) -> Result<String, ServeError> {
    let wrong = |why: String| ServeError::MetricsToken { why };
    let token = secret(path).map_err(wrong)?;
    let letters = token.chars().count();
    if letters < METRICS_TOKEN_LETTERS_MIN {
        return Err(wrong(format!(
            "the first line of {} has {letters} letters, and a token has {METRICS_TOKEN_LETTERS_MIN} or more: \
             make one with `openssl rand -hex 32`",
            path.display()
        )));
    }
    Ok(token)
}
