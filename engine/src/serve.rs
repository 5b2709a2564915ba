//! The engine as a process: opens the data directory, replays it, starts every thread, serves,
//! stops.
//!
//! Owns the order of start and stop and what is said about them. Knows every other part; no part
//! knows it.

mod bootstrap;
mod console;
mod descriptors;
mod desks;
mod doctor;
mod doors;
mod error;
mod hold;
mod http;
mod manager;
mod privacy;
mod reload;
mod services;
mod store;
mod tasks;

use crate::api::{
    Backups, Behind, Codes, Door, Edge, Now, OperatorApi, Operators, Refused, VouchersApi, webhooks,
};
use crate::config::{Config, FolderSettings};
use crate::faults;
use crate::journal::{JournalError, Log, Tables, rocks};
use crate::ledger::{Genesis, Rail};
use crate::limits::{LIFETIME_SECONDS_DEFAULT, STOP_WAIT_MILLIS};
use crate::log;
use crate::pipeline::{self, Pipeline, PipelineOptions, recover};
use crate::rails;
use crate::settle::{Board, Clearing, Engine, EngineSetup, Sealer, Settler};
use crate::sign::EngineKey;
use crate::types::NetworkId;
use crate::vault::{ROOT_KEY_FILE, RootKeyError, Vault};
use crate::verify::{Options, Verifier};
use bootstrap::{check_before, first_records, say_who_may_operate};
use desks::{Opened, open_desks};
pub use doctor::{Finding, Health, examine};
use doors::Doors;
pub use error::ServeError;
use reload::Reload;
pub use reload::Renewal;
use services::{Services, audit_log, over_grpc};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::Store;
use tallystick_proto::v1::operator_server::OperatorServer;
use tallystick_proto::v1::vouchers_server::VouchersServer;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

/// Runs the engine until SIGTERM or SIGINT, then drains and returns. A SIGHUP has certificates and
/// settings read again.
///
/// # Errors
/// `ServeError` when it cannot start. A failure of the journal later on ends the process at once.
pub fn run(config: &Config, renewal: Renewal) -> Result<(), ServeError> {
    stop_on_bugs();
    privacy::close_up();
    let open_files = descriptors::raise()?;
    let started_at = pipeline::now();
    let (clearing, tells) = (clearing(config)?, services::tells(&config.webhooks)?);
    let doors = Doors::prepare(config, started_at)?;
    let verifier = Verifier::new(Options {
        backend: config.verify_backend,
        table_bytes: config.verify_table_bytes,
    })?;
    let is_there = rocks::exists(&config.data_dir)?;
    check_before(config, is_there)?;
    if !is_there {
        check_new(config)?;
    }
    let Store { mut journal, epoch, new } = store::open(config)?;
    faults::point(|| "start-opened");
    let (vault, restored) = (vault(config, &journal.tables, new)?, hold::restored(&journal)?);
    let network = config.network_id.map_or_else(random_network, Ok)?;
    let lifetime = config.voucher_lifetime_max_seconds.unwrap_or(LIFETIME_SECONDS_DEFAULT);
    let clock = Instant::now();
    let recovered = recover(&mut journal, epoch, config.shards, || {
        let genesis = Genesis { network, lifetime_seconds_max: lifetime };
        (genesis, started_at)
    })?;
    let genesis = check_genesis(config, recovered.genesis())?;
    hold::clear(&config.data_dir)?;
    vault.finish_all(&|party| recovered.erasures(party)).map_err(ServeError::Erasing)?;
    // Durable on disk before the journal names it.
    let engine_key = EngineKey::load_or_create(&config.data_dir, recovered.engine_key())?;
    let first_key = recovered.engine_key().is_none();
    tell_new(config, new);
    tracing::info!(
        dir = %config.data_dir.display(), network = %genesis.network, epoch,
        lsn = recovered.tail().lsn.0, checkpoint = recovered.checkpoint_lsn().0,
        channels = recovered.channels(), replayed = recovered.vouchers, took = ?clock.elapsed(),
        "{}", if new { "a new ledger: nothing was recovered" } else { "recovered" }
    );
    descriptors::tell(open_files);
    tell_placeholders(config);
    faults::point(|| "start-recovered");
    let clock = recovered.clock(config.accept_clock)?;
    let options = PipelineOptions {
        verify_threads: config.verify_threads.into(),
        checkpoint_bytes: config.checkpoint_bytes,
        disk_reserve_bytes: config.disk_reserve_bytes,
    };
    let Opened { desks, hooks } = open_desks(&config.rail, &clearing, &config.data_dir)?;
    let (pipeline, intake, parts) =
        pipeline::start(recovered, clock, journal, epoch, verifier, &options);
    let (secret, mailbox) = hooks.unzip();
    let (key, four_eyes) = (Arc::new(engine_key), config.four_eyes);
    let archives = config.archive_dir.clone();
    let (engine, nudged) =
        Engine::new(EngineSetup { intake, key, vault, clearing, four_eyes, archives, mailbox });
    let told = first_records(&engine, config, first_key);
    if let Err(error) = told.and_then(|()| hold::tell(&engine, restored)) {
        drop((engine, nudged, parts));
        return Err(stopped(pipeline, error));
    }
    tracing::info!(key = %engine.key().public(), "the engine signs with this key");
    let sealer = Sealer::start(engine.clone(), parts);
    let folders = desks.folders().map(|(rail, of)| (rail, of.clone())).collect();
    let inboxes: Vec<PathBuf> = desks.folders().map(|(_, of)| of.inbox.clone()).collect();
    let settler = Settler::start(engine.clone(), nudged, desks);
    let verify = engine.vitals().verify;
    tracing::info!(
        verify = verify.backend.description(),
        threads = config.verify_threads,
        small_tables = verify.small.capacity,
        large_tables = verify.large.capacity,
        shards = config.shards,
        "pipeline started"
    );
    privacy::look_at(&config.data_dir, inboxes.iter());
    say_who_may_operate(config, &engine);
    let edge = Edge {
        started_at,
        webhooks: tells,
        window_every: config.window_every,
        operators: Operators::new(config.operators.clone()),
        board: Board::new(config.schedule.clone()),
        folders,
        backups: Backups::new(&config.data_dir, config.backup_dir.as_deref()),
        refused: Refused::default(),
        codes: Codes::default(),
        visits: Arc::default(),
    };
    let hooks = secret.map(|secret| webhooks(secret, engine.clone()));
    let served = serve_edge((config, renewal), engine, (edge, hooks), doors, genesis.network);
    // Whatever happened to the edge, what was taken in is drained and the journal closed.
    settler.stop();
    sealer.stop();
    pipeline.stop()?;
    served?;
    tracing::info!("stopped");
    Ok(())
}

/// A bug is a panic, and a panic on any thread stops the process: no state that a bug touched is
/// acked. Whether anybody reads why is another matter.
fn stop_on_bugs() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name");
        let trace = Backtrace::capture();
        let captured = trace.status() == BacktraceStatus::Captured;
        let trace = if captured { format!("\n{trace}") } else { String::new() };
        log::line(&format!("thread {name} {panic}{trace}"));
        std::process::abort();
    }));
}

/// Ends a pipeline whose engine is gone: threads still at work on a journal that is closed would
/// end the process in place of a word.
fn stopped<L: Log>(pipeline: Pipeline<L>, why: ServeError) -> ServeError {
    pipeline.stop().map_or_else(Into::into, |_| why)
}

/// Where the settings name a network, its ledger is there: an empty one in its place would refuse
/// every agent's vouchers, and look well.
fn check_new(config: &Config) -> Result<(), ServeError> {
    match config.network_id {
        Some(network) if !config.init => {
            Err(ServeError::NoLedger { dir: config.data_dir.clone(), network })
        }
        Some(_) | None => Ok(()),
    }
}

/// The first line of a new ledger's log says that it is one.
fn tell_new(config: &Config, new: bool) {
    let dir = config.data_dir.display();
    if new {
        tracing::warn!("created a new, empty ledger in {dir}");
    } else if config.init {
        tracing::warn!(
            "--init has nothing to do: {dir} holds a ledger. Leave it out, so that a directory that is \
             missing one day is refused"
        );
    }
}

/// What names and accounts are sealed with.
fn vault(config: &Config, tables: &Arc<dyn Tables>, new: bool) -> Result<Vault, RootKeyError> {
    let beside = || config.data_dir.join(ROOT_KEY_FILE);
    let file = config.root_key_file.clone().unwrap_or_else(beside);
    Vault::open(tables.clone(), &file, new)
}

fn clearing(config: &Config) -> Result<Clearing, ServeError> {
    let mut clearing = Clearing::new();
    for (name, fields) in &config.clearing {
        let wrong = |why: String| ServeError::Clearing { rail: name.clone(), why };
        let rail = Rail::from_name(name).ok_or_else(|| {
            wrong(format!("available rails: {}", Rail::ALL.map(Rail::name).join(", ")))
        })?;
        let fields = rails::check_clearing(rail, fields).map_err(|e| wrong(e.to_string()))?;
        clearing.insert(rail, fields);
    }
    for rail in Rail::ALL {
        clearing.entry(rail).or_insert_with(|| rails::placeholder(rail));
    }
    Ok(clearing)
}

/// Says which clearing accounts nobody configured, of the rails that the configuration is about. Of
/// any other it is said when a batch is made.
fn tell_placeholders(config: &Config) {
    let scheduled = |rail| config.schedule.iter().any(|entry| entry.batch_rail == Some(rail));
    let named = |rail: &Rail| match rail {
        Rail::Iso20022 => config.rail.iso20022 != FolderSettings::default(),
        Rail::Nacha => config.rail.nacha != FolderSettings::default(),
        Rail::Card => config.rail.card.is_some(),
        Rail::Evm => config.rail.evm.is_some(),
    };
    let used = Rail::ALL.into_iter().filter(|rail| named(rail) || scheduled(*rail));
    for rail in used.filter(|rail| !rails::placeholder(*rail).is_empty()) {
        let rail = rail.name();
        if !config.clearing.contains_key(rail) {
            tracing::warn!(
                rail,
                "no clearing account is configured: batches get a placeholder that no bank has; set \
                 [clearing.{rail}] before you pay anyone"
            );
        }
    }
}

fn random_network() -> Result<NetworkId, ServeError> {
    let mut id = [0; 32];
    let failed =
        |e: getrandom::Error| ServeError::System { what: "randomness", why: e.to_string() };
    getrandom::fill(&mut id).map_err(failed)?;
    Ok(NetworkId(id))
}

fn check_genesis<'a>(config: &Config, genesis: &'a Genesis) -> Result<Genesis, ServeError> {
    let found: &'a Genesis = genesis;
    if let Some(wanted) = config.network_id
        && wanted != found.network
    {
        let (dir, found) = (config.data_dir.clone(), found.network);
        return Err(JournalError::OtherNetwork { dir, found, wanted }.into());
    }
    match config.voucher_lifetime_max_seconds {
        Some(wanted) if wanted != found.lifetime_seconds_max => {
            Err(ServeError::OtherLifetime { found: found.lifetime_seconds_max, wanted })
        }
        Some(_) | None => Ok(found.clone()),
    }
}

/// Serves until a signal comes, then lets streams end and closes the connections.
fn serve_edge(
    (config, renewal): (&Config, Renewal),
    engine: Engine,
    (edge, hooks): (Edge, Option<axum::Router>),
    mut doors: Doors,
    network: NetworkId,
) -> Result<(), ServeError> {
    let system = |what| move |e: std::io::Error| ServeError::System { what, why: e.to_string() };
    let (audit_log, audit_writer) = audit_log(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("edge")
        .enable_all()
        .build()
        .map_err(system("threads"))?;
    let served = runtime.block_on(async {
        let mut signals = Signals::new().map_err(system("signals"))?;
        let access = doors.access(config, &engine, &edge);
        let reload = Reload::new(renewal, config, (&edge, &access), engine.clone());
        let reload = doors.watch(reload).map_err(system("signals"))?;
        let tasks = tasks::start(config, &engine, &edge, &access);
        let over_http = doors.access_by_http(config, &access);
        let behind = Behind::of(&engine, &edge, over_http, hooks).await;
        let (stop, stopping) = watch::channel(false);
        let vouchers = VouchersApi::new(engine.clone(), access.clone(), stopping.clone());
        let (visits, now) = (edge.visits.clone(), Now::start(&engine, &edge, &stopping));
        let console = (engine.clone(), edge.codes.clone(), &access);
        let operator = OperatorApi::new(engine, (edge, now.clone()), audit_log.clone());
        let services = Services::new(vouchers, operator, audit_log);
        let (health, routes) = over_grpc(&services, access.clone()).await;
        let grpc = doors.open(routes)?;
        doors.open_console(config, &services, console, now)?;
        drop(services);
        let addr = grpc.address();
        visits.get_or_init(|| grpc.visits());
        doors.serving(behind, &grpc);
        let mut serving = let_in(grpc, &stopping);
        if let Some(path) = &config.ready_file {
            write_ready_file(path, addr, &doors, network)?;
        }
        tracing::info!(%addr, "serving gRPC");
        manager::serving();
        let ended = tokio::select! {
            () = signals.next() => None,
            ended = serving.join_next() => Some(why_ended("gRPC", ended.expect("it listens"))),
            (kind, ended) = doors.ended() => Some(why_ended(kind, ended)),
        };
        tracing::info!("stopping: streams end, what was taken in is finished");
        manager::stopping();
        doors.stopping();
        // Who watches hears it before the streams end.
        health.set_not_serving::<VouchersServer<VouchersApi>>().await;
        health.set_not_serving::<OperatorServer<OperatorApi>>().await;
        health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        stop.send_replace(true);
        faults::point(|| "stopping");
        tokio::select! {
            // Doors have time limits of their own.
            _ = serving.join_all() => {}
            () = signals.next() => tracing::warn!("second signal: connections are cut"),
        }
        tasks.into_iter().chain([reload]).for_each(|task| task.abort());
        ended.map_or(Ok(()), |why| Err(ServeError::ListenerEnded { why }))
    });
    // Tasks hold the way in to the pipeline; it can drain only when they are gone.
    runtime.shutdown_timeout(Duration::from_millis(STOP_WAIT_MILLIS));
    doors.close();
    audit_writer.finish();
    served
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

/// Why the engine stops because a listener has ended.
fn why_ended(kind: &str, ended: Result<(), JoinError>) -> String {
    match ended {
        Ok(()) => format!("that for {kind}: nothing told it to stop"),
        Err(error) => error.to_string(),
    }
}

/// Written whole under another name first, so that whoever waits for it never reads half of it.
fn write_ready_file(
    path: &Path,
    addr: SocketAddr,
    doors: &Doors,
    network: NetworkId,
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
    let failed = |why| ServeError::ReadyFile { path: path.to_owned(), why };
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    std::fs::write(&unfinished, format!("{ready}\n")).map_err(failed)?;
    std::fs::rename(&unfinished, path).map_err(failed)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
