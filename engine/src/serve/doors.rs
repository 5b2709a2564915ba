//! Opening the doors: where they are, what is behind each, and their certificates, which are read
//! before anything else is opened and looked at as long as the engine serves. That for HTTP opens
//! at once, that for gRPC when the engine can serve.

use super::ServeError;
use super::console::{self, ConsoleDoor};
use super::http::{self, Http};
use super::reload::Reload;
use super::services::Services;
use crate::api::{
    Access, Behind, Codes, ConsoleSetup, Door, Edge, Keys, Now, Origins, Protocol, Reach, Routing,
    Service, Standby, Visits,
};
use crate::config::{Config, TlsFiles};
use crate::limits::TLS_LOOK_EVERY;
use crate::settle::Engine;
use crate::types::Timestamp;
use std::io;
use std::net::SocketAddr;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};
use tonic::service::Routes;

/// The doors: one that is open, where there is one for HTTP, and one to be opened.
pub(super) struct Doors {
    listen: SocketAddr,
    keys: Option<Keys>,
    origins: Origins,
    /// That for HTTP.
    pub http: Option<Http>,
    console_keys: Option<Keys>,
    /// That for pages, once it is open.
    console: Option<ConsoleDoor>,
}

impl Doors {
    /// Reads the certificates, then opens the one for HTTP.
    ///
    /// # Errors
    /// `ServeError` when they cannot be used, or its address cannot be had.
    pub fn prepare(config: &Config, started_at: Timestamp) -> Result<Self, ServeError> {
        let tls = &config.listen_tls;
        let keys = read_keys(tls.grpc.as_ref(), "gRPC", Protocol::Grpc)?;
        let origins = Origins::new(config.connections_per_address);
        let http = match config.listen_http {
            Some(address) => {
                let keys = read_keys(tls.http.as_ref(), http::KIND, Protocol::Http)?;
                Some(Http::open(config, address, (keys, origins.clone()), started_at)?)
            }
            None => None,
        };
        let tls = config.console.as_ref().and_then(|of| of.tls.as_ref());
        let console_keys = read_keys(tls, console::KIND, Protocol::Http)?;
        Ok(Self { listen: config.listen, keys, origins, http, console_keys, console: None })
    }

    /// Who may make which call behind the one for gRPC.
    pub fn access(&self, config: &Config, engine: &Engine, edge: &Edge) -> Access {
        let reach = reach(self.listen, config.listen_tls.grpc.as_ref());
        Access::new(edge.operators.clone(), reach, engine.clone(), edge.refused.clone())
    }

    /// Who may do what behind the one for HTTP, of what they may have at both.
    pub fn access_by_http(&self, config: &Config, access: &Access) -> Access {
        let listen = self.http_address().unwrap_or(self.listen);
        access.also(reach(listen, config.listen_tls.http.as_ref()))
    }

    /// Opens that for gRPC.
    ///
    /// # Errors
    /// `ServeError::Listen` when its address cannot be had.
    pub fn open(&self, routing: Routing) -> Result<Door, ServeError> {
        let service = Service::Grpc(routing);
        let door = Door::open(self.listen, service, self.keys.clone(), self.origins.clone());
        door.map_err(|why| ServeError::Listen { addr: self.listen, why })
    }

    /// Opens that for pages, if there is one.
    ///
    /// # Errors
    /// `ServeError::Listen` when its address cannot be had.
    pub fn open_console(
        &mut self,
        config: &Config,
        services: &Services,
        (engine, codes, access): (Engine, Codes, &Access),
        now: Now,
    ) -> Result<(), ServeError> {
        let Some(of) = &config.console else { return Ok(()) };
        let access = console::access(of, access);
        let setup = ConsoleSetup {
            engine,
            services: services.behind(access.clone(), Routes::default()).prepare(),
            access,
            origins: self.origins.clone(),
            audit_log: services.audit_log(),
            codes,
            file: config.data_dir.join(console::FILE),
            now,
            name: of.name.clone(),
        };
        let door = (self.console_keys.clone(), self.origins.clone());
        self.console = Some(ConsoleDoor::open(of, door, setup)?);
        Ok(())
    }

    /// Where that for pages is.
    pub fn console_address(&self) -> Option<SocketAddr> {
        self.console.as_ref().map(|console| console.address)
    }

    /// Where that for HTTP is.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|http| http.address)
    }

    /// Whoever asks over HTTP is told that the engine stands by.
    pub fn standing_by(&self, standby: &Standby) {
        self.http.iter().for_each(|http| http.front.standing_by(standby.clone()));
    }

    /// Whoever asks over HTTP is told that the engine serves, and how it is.
    pub fn serving(&self, mut behind: Behind, grpc: Visits) {
        let Some(http) = &self.http else { return };
        behind.listeners = vec![
            ("grpc", grpc, self.keys.clone()),
            ("http", http.visits.clone(), http.keys.clone()),
        ];
        if let Some(console) = &self.console {
            let (visits, keys) = (console.visits.clone(), self.console_keys.clone());
            behind.listeners.push(("console", visits, keys));
        }
        http.front.serving(behind);
    }

    /// Whoever asks over HTTP is told that the engine stops.
    pub fn stopping(&self) {
        self.http.iter().for_each(|http| http.front.stopping());
        self.console.iter().for_each(ConsoleDoor::stopping);
    }

    /// Comes when that for HTTP, or that for pages, has ended by itself; never where there is
    /// neither.
    pub async fn ended(&mut self) -> (&'static str, Result<(), JoinError>) {
        let http = async {
            match &mut self.http {
                Some(http) => http.ended().await,
                None => std::future::pending().await,
            }
        };
        let console = async {
            match &mut self.console {
                Some(console) => console.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = http => (http::KIND, ended),
            ended = console => (console::KIND, ended),
        }
    }

    /// Closes these two. Who asked there held the way in to the engine, too.
    pub fn close(self) {
        self.http.into_iter().for_each(Http::close);
        self.console.into_iter().for_each(ConsoleDoor::close);
    }

    /// Takes new certificates when their files change, and certificates and settings when SIGHUP
    /// comes.
    ///
    /// # Errors
    /// When the system gives no signals.
    pub fn watch(&self, reload: Reload) -> io::Result<JoinHandle<()>> {
        let mut hangup = signal(SignalKind::hangup())?;
        let http = self.http.as_ref().and_then(|http| http.keys.as_ref());
        let keys = self.keys.iter().chain(http).chain(&self.console_keys);
        let keys: Vec<Keys> = keys.cloned().collect();
        let front = self.http.as_ref().map(|http| http.front.clone());
        let mut reload = reload;
        Ok(tokio::spawn(async move {
            let mut hung_up = false;
            loop {
                let (all, front) = (keys.clone(), front.clone());
                // Reading files may take its time where they are somewhere else.
                let looked = tokio::task::spawn_blocking(move || {
                    match hung_up {
                        true => all.iter().for_each(Keys::reload),
                        false => all.iter().for_each(Keys::look),
                    }
                    if hung_up {
                        reload.settings(front.as_ref());
                    }
                    reload
                });
                // It fails only when the engine ends.
                let Ok(looked) = looked.await else { return };
                reload = looked;
                hung_up = tokio::select! {
                    () = tokio::time::sleep(TLS_LOOK_EVERY), if !keys.is_empty() => false,
                    Some(()) = hangup.recv() => true,
                    else => return,
                };
            }
        }))
    }
}

/// How a listener at this address is reached.
pub(super) fn reach(listen: SocketAddr, tls: Option<&TlsFiles>) -> Reach {
    Reach {
        away: !listen.ip().is_loopback(),
        certified: tls.is_some_and(|tls| tls.client_ca.is_some()),
    }
}

fn read_keys(
    files: Option<&TlsFiles>,
    kind: &'static str,
    protocol: Protocol,
) -> Result<Option<Keys>, ServeError> {
    let Some(files) = files else { return Ok(None) };
    let keys = Keys::load(files, protocol).map_err(|why| ServeError::Tls { kind, why })?;
    let client_certificates = if files.client_ca.is_some() { "needed" } else { "not asked for" };
    tracing::info!(kind, cert = %files.cert.display(), client_certificates, "TLS");
    Ok(Some(keys))
}
