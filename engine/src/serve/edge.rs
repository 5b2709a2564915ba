//! The edge of an owner: serves until a signal comes or the journal is to be handed over, then lets
//! streams end and closes the connections.

use super::doors::Doors;
use super::node::{Holding, Parts, Waiting, Wanted, advertised};
use super::reload::{Reload, Renewal};
use super::services::{Services, audit_log, over_grpc};
use super::{ServeError, manager, tasks};
use crate::api::{Behind, Door, Edge, Now, OperatorApi, Routing, Visits, VouchersApi};
use crate::config::Config;
use crate::faults;
use crate::limits::STOP_WAIT_MILLIS;
use crate::settle::Engine;
use crate::trail::AuditLog;
use crate::types::NetworkId;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tallystick_proto::v1::operator_server::OperatorServer;
use tallystick_proto::v1::vouchers_server::VouchersServer;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The threads of the edge.
pub(super) fn runtime() -> Result<Runtime, ServeError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().thread_name("edge").enable_all().build();
    runtime.map_err(|e| ServeError::System { what: "threads", why: e.to_string() })
}

/// The listener for gRPC at work.
pub(super) struct Listening {
    /// What it serves.
    pub routing: Routing,
    /// Its task.
    serving: JoinSet<()>,
    /// Where it is.
    pub address: SocketAddr,
    /// Who is there.
    pub visits: Visits,
}

impl Listening {
    /// Opens it, on the threads of whoever calls.
    ///
    /// # Errors
    /// `Listen` when its address cannot be had.
    pub fn open(
        doors: &Doors,
        routes: Routes,
        stopping: &watch::Receiver<bool>,
    ) -> Result<Self, ServeError> {
        let routing = Routing::new(routes);
        let door = doors.open(routing.clone())?;
        let (address, visits) = (door.address(), door.visits());
        Ok(Self { routing, serving: let_in(door, stopping), address, visits })
    }

    /// Comes when all connections have ended, each in its time.
    pub async fn ended(self) {
        self.serving.join_all().await;
    }
}

/// The listener for gRPC on a task of its own.
fn let_in(door: Door, stopping: &watch::Receiver<bool>) -> JoinSet<()> {
    let (mut serving, stopping) = (JoinSet::new(), stopping.clone());
    serving.spawn(async move {
        if !faults::listener_ends("gRPC") {
            door.serve(stopping).await;
        }
    });
    serving
}

/// The edge at work.
struct Opened {
    grpc: Listening,
    /// Who watches it is told there.
    health: HealthReporter,
    /// Tells all of it to stop.
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Serves until a signal comes, then lets streams end and closes the connections.
///
/// # Errors
/// `ServeError`; `HandedOver` when the journal is to be another node's.
pub(super) fn serve_edge(
    renewal: (&Config, Renewal),
    engine: Engine,
    edge: (Edge, Option<axum::Router>),
    mut doors: Doors,
    (waiting, holding): (Option<Waiting>, Option<&Holding>),
    network: NetworkId,
) -> Result<(), ServeError> {
    let (audit_log, audit_writer) = audit_log(renewal.0)?;
    let (runtime, parts) = match waiting {
        None => (runtime()?, None),
        Some(Waiting { runtime, parts }) => (runtime, Some(parts)),
    };
    let served = runtime.block_on(async {
        // Those that came while it stood by count, too.
        let mut signals = match &parts {
            None => signals().map_err(system("signals"))?,
            Some(parts) => parts.signals.clone(),
        };
        let node = (parts, holding);
        let opened = open(renewal, (engine, audit_log), edge, &mut doors, node, network).await?;
        let Opened { mut grpc, health, stop, tasks } = opened;
        let ended = tokio::select! {
            () = came(&mut signals, 1) => None,
            Wanted(to) = wanted(holding) => Some(ServeError::HandedOver { to }),
            ended = grpc.serving.join_next() => Some(why_ended("gRPC", ended.expect("it listens"))),
            (kind, ended) = doors.ended() => Some(why_ended(kind, ended)),
        };
        tracing::info!("stopping: streams end, what was taken in is finished");
        manager::stopping();
        doors.stopping();
        // Who watches hears it before the streams end.
        not_serving(&health).await;
        stop.send_replace(true);
        faults::point(|| "stopping");
        tokio::select! {
            // Doors have time limits of their own.
            () = grpc.ended() => {}
            () = came(&mut signals, 2) => tracing::warn!("second signal: connections are cut"),
        }
        tasks.into_iter().for_each(|task| task.abort());
        ended.map_or(Ok(()), Err)
    });
    holding.into_iter().for_each(Holding::leaves);
    // Tasks hold the way in to the pipeline; it can drain only when they are gone.
    runtime.shutdown_timeout(Duration::from_millis(STOP_WAIT_MILLIS));
    doors.close();
    audit_writer.finish();
    served
}

/// Opens it: where this node stood by, what is behind the listener changes, and who is connected
/// stays.
async fn open(
    (config, renewal): (&Config, Renewal),
    (engine, audit_log): (Engine, AuditLog),
    (edge, hooks): (Edge, Option<axum::Router>),
    doors: &mut Doors,
    (parts, holding): (Option<Parts>, Option<&Holding>),
    network: NetworkId,
) -> Result<Opened, ServeError> {
    let access = doors.access(config, &engine, &edge);
    let reload = Reload::new(renewal, config, (&edge, &access), engine.clone());
    let reload = doors.watch(reload).map_err(system("signals"))?;
    let mut tasks = tasks::start(config, &engine, &edge, &access);
    tasks.push(reload);
    let over_http = doors.access_by_http(config, &access);
    let behind = Behind::of(&engine, &edge, over_http, hooks).await;
    let (stop, stopping) = match &parts {
        None => watch::channel(false),
        Some(parts) => (parts.stop.clone(), parts.stop.subscribe()),
    };
    let at = Arc::<OnceLock<String>>::default();
    let vouchers = VouchersApi::new(engine.clone(), access.clone(), stopping.clone());
    let vouchers = vouchers.at(at.clone());
    let (visits, now) = (edge.visits.clone(), Now::start(&engine, &edge, &stopping));
    let console = (engine.clone(), edge.codes.clone(), &access);
    let operator = OperatorApi::new(engine.clone(), (edge, now.clone()), audit_log.clone());
    let services = Services::new(vouchers, operator, audit_log);
    let health = parts.as_ref().map_or_else(HealthReporter::new, |of| of.health.clone());
    let routes = over_grpc(&services, access.clone(), &health).await;
    let grpc = match parts {
        None => Listening::open(doors, routes, &stopping)?,
        Some(parts) => {
            parts.listening.routing.set(routes);
            parts.listening
        }
    };
    doors.open_console(config, &services, console, now)?;
    let addr = grpc.address;
    visits.get_or_init(|| grpc.visits.clone());
    doors.serving(behind, grpc.visits.clone());
    if let Some(holding) = holding {
        let advertise = advertised(config, Some(addr));
        advertise.iter().for_each(|own| drop(at.set(own.clone())));
        holding.serves(engine, advertise);
    }
    if let Some(path) = &config.ready_file {
        write_ready_file(path, addr, doors, (network, false))?;
    }
    tracing::info!(%addr, "serving gRPC");
    manager::serving();
    Ok(Opened { grpc, health, stop, tasks })
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> ServeError {
    move |e| ServeError::System { what, why: e.to_string() }
}

/// Whoever watches is told that nothing is served.
pub(super) async fn not_serving(health: &HealthReporter) {
    health.set_not_serving::<VouchersServer<VouchersApi>>().await;
    health.set_not_serving::<OperatorServer<OperatorApi>>().await;
    health.set_service_status("", ServingStatus::NotServing).await;
}

/// Comes when the journal is to be handed over.
async fn wanted(holding: Option<&Holding>) -> Wanted {
    let Some(holding) = holding else { return std::future::pending().await };
    let mut wanted = holding.wanted();
    let found = wanted.wait_for(Option::is_some).await.map(|wanted| wanted.clone());
    match found.ok().flatten() {
        Some(wanted) => wanted,
        // The lease is held no more: the process ends.
        None => std::future::pending().await,
    }
}

/// Why the engine stops because a listener has ended.
fn why_ended(kind: &str, ended: Result<(), JoinError>) -> ServeError {
    let why = match ended {
        Ok(()) => format!("that for {kind}: nothing told it to stop"),
        Err(error) => error.to_string(),
    };
    ServeError::ListenerEnded { why }
}

/// Written whole under another name first, so that whoever waits for it never reads half of it.
/// With the network, and whether it stands by there.
///
/// # Errors
/// `ReadyFile`.
pub(super) fn write_ready_file(
    path: &Path,
    addr: SocketAddr,
    doors: &Doors,
    (network, standby): (NetworkId, bool),
) -> Result<(), ServeError> {
    let mut ready = serde_json::json!({
        "grpc": addr.to_string(),
        "network_id": network.to_string(),
        "pid": std::process::id(),
    });
    for (kind, at) in [("http", doors.http_address()), ("console", doors.console_address())] {
        if let Some(at) = at {
            ready[kind] = at.to_string().into();
        }
    }
    if standby {
        ready["standby"] = true.into();
    }
    let failed = |why| ServeError::ReadyFile { path: path.to_owned(), why };
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    std::fs::write(&unfinished, format!("{ready}\n")).map_err(failed)?;
    std::fs::rename(&unfinished, path).map_err(failed)
}

/// How many signals to end have come, counted from here on.
///
/// # Errors
/// When the system gives none.
pub(super) fn signals() -> std::io::Result<watch::Receiver<u32>> {
    let mut terminate: Signal = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (count, counted) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            count.send_modify(|count| *count += 1);
        }
    });
    Ok(counted)
}

/// Comes when so many have come.
async fn came(signals: &mut watch::Receiver<u32>, count: u32) {
    if signals.wait_for(|come| *come >= count).await.is_err() {
        std::future::pending::<()>().await;
    }
}
