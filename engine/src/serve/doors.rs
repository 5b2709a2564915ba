//! Opening the doors: where they are, what is behind each, and their certificates, which are read
//! before anything else is opened and looked at as long as the engine serves.

use super::ServeError;
use crate::api::{Access, Door, Edge, Keys, Protocol, Reach, Service};
use crate::config::{Config, TlsFiles};
use crate::limits::TLS_LOOK_EVERY;
use crate::settle::Engine;
use std::io;
use std::net::SocketAddr;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tonic::service::Routes;

/// The doors to be opened.
pub(super) struct Doors {
    listen: SocketAddr,
    listen_http: Option<SocketAddr>,
    keys: Option<Keys>,
    keys_http: Option<Keys>,
    hooks: Option<axum::Router>,
}

impl Doors {
    /// Reads the certificates. Opens nothing.
    ///
    /// # Errors
    /// `ServeError` when they cannot be used, or a listener would serve nobody.
    pub fn prepare(config: &Config) -> Result<Self, ServeError> {
        if let (Some(addr), None) = (config.listen_http, &config.rail.card) {
            return Err(ServeError::NobodyListens { addr });
        }
        let (listen, listen_http) = (config.listen, config.listen_http);
        let tls = &config.listen_tls;
        let keys = keys(tls.grpc.as_ref(), "gRPC", Protocol::Grpc)?;
        let keys_http = keys_of_http(config)?;
        Ok(Self { listen, listen_http, keys, keys_http, hooks: None })
    }

    /// With this behind the door for HTTP.
    pub fn behind(self, hooks: Option<axum::Router>) -> Self {
        Self { hooks, ..self }
    }

    /// Who may make which call behind the one for gRPC.
    pub fn access(&self, config: &Config, engine: &Engine, edge: &Edge) -> Access {
        let tls = config.listen_tls.grpc.as_ref();
        let reach = Reach {
            away: !self.listen.ip().is_loopback(),
            certified: tls.is_some_and(|tls| tls.client_ca.is_some()),
        };
        Access::new(config.operators.clone(), reach, engine.clone(), edge.refused.clone())
    }

    /// Opens them: for gRPC, and for HTTP where there is one.
    ///
    /// # Errors
    /// `ServeError::Listen` when an address cannot be had.
    pub async fn open(self, routes: Routes) -> Result<(Door, Option<Door>), ServeError> {
        let grpc = open_door(self.listen, Service::Grpc(routes), self.keys).await?;
        let http = match (self.listen_http, self.hooks) {
            (Some(listen), Some(hooks)) => {
                Some(open_door(listen, Service::Http(hooks), self.keys_http).await?)
            }
            // Refused before anything was opened.
            (Some(_), None) | (None, _) => None,
        };
        Ok((grpc, http))
    }

    /// Takes new certificates when their files change, and when SIGHUP comes.
    ///
    /// # Errors
    /// When the system gives no signals.
    pub fn watch(&self) -> io::Result<JoinHandle<()>> {
        let mut hangup = signal(SignalKind::hangup())?;
        let keys: Vec<Keys> = self.keys.iter().chain(&self.keys_http).cloned().collect();
        Ok(tokio::spawn(async move {
            let mut look: fn(&Keys) = Keys::look;
            loop {
                let all = keys.clone();
                // Reading files may take its time where they are somewhere else.
                let looked = tokio::task::spawn_blocking(move || all.iter().for_each(look));
                // It fails only when the engine ends.
                let _ = looked.await;
                look = tokio::select! {
                    () = tokio::time::sleep(TLS_LOOK_EVERY), if !keys.is_empty() => Keys::look,
                    Some(()) = hangup.recv() => {
                        if keys.is_empty() {
                            tracing::info!("SIGHUP: no listener has a certificate, so nothing is read anew");
                        }
                        Keys::reload
                    }
                    else => return,
                };
            }
        }))
    }
}

fn keys_of_http(config: &Config) -> Result<Option<Keys>, ServeError> {
    match config.listen_http {
        Some(_) => keys(config.listen_tls.http.as_ref(), "HTTP", Protocol::Http),
        None => Ok(None),
    }
}

fn keys(
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

async fn open_door(
    listen: SocketAddr,
    service: Service,
    keys: Option<Keys>,
) -> Result<Door, ServeError> {
    let opened = Door::open(listen, service, keys).await;
    opened.map_err(|why| ServeError::Listen { addr: listen, why })
}
