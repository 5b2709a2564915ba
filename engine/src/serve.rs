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
mod edge;
mod error;
mod hold;
mod http;
mod manager;
mod node;
mod privacy;
mod reload;
mod services;
mod store;
mod tasks;

use crate::api::{Backups, Codes, Edge, Operators, Refused, webhooks};
use crate::config::{Config, FolderSettings};
use crate::faults;
use crate::journal::{JournalError, Log, Tables, rocks};
use crate::ledger::{Genesis, Rail};
use crate::limits::LIFETIME_SECONDS_DEFAULT;
use crate::log;
use crate::pipeline::{self, Pipeline, PipelineOptions, Recovered};
use crate::rails;
use crate::settle::{Board, Clearing, Engine, EngineSetup, Sealer, Settler};
use crate::sign::EngineKey;
use crate::types::NetworkId;
use crate::vault::{ROOT_KEY_FILE, RootKeyError, Vault};
use crate::verify::{Options, Status, Verifier};
use bootstrap::{check_before, first_records, say_who_may_operate};
use desks::{Opened, open_desks};
pub use doctor::{Finding, Health, examine};
use doors::Doors;
use edge::serve_edge;
pub use error::ServeError;
use node::{Follows, Holding, Owned};
pub use node::{status as cluster_status, transfer as cluster_transfer};
pub use reload::Renewal;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use store::Store;

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
    let stream = store::stream(config);
    // What a stream holds is known once it is read.
    let is_there = stream.is_some() || rocks::exists(&config.data_dir)?;
    check_before(config, is_there)?;
    if !is_there {
        check_new(config)?;
    }
    let network = config.network_id.map_or_else(random_network, Ok)?;
    let lifetime = config.voucher_lifetime_max_seconds.unwrap_or(LIFETIME_SECONDS_DEFAULT);
    let clock = Instant::now();
    let genesis = || (Genesis { network, lifetime_seconds_max: lifetime }, pipeline::now());
    let opened = match stream {
        None => Some(store::open(config, genesis)?),
        Some(settings) => store::take_part(config, &settings, &doors, genesis)?,
    };
    let Some(Store { journal, epoch, new, recovered, vault, owned }) = opened else {
        doors.close();
        return Ok(());
    };
    let restored = hold::restored(&journal)?;
    let genesis = check_genesis(config, recovered.genesis())?;
    hold::clear(&config.data_dir)?;
    vault.finish_all(&|party| recovered.erasures(party)).map_err(ServeError::Erasing)?;
    // Durable on disk before the journal names it.
    let (engine_key, follows) = engine_key(config, owned.as_ref(), &recovered, &vault)?;
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
    let node = owned.as_ref().map(|owned| owned.node(&vault, genesis.network));
    let setup = EngineSetup { intake, key, vault, clearing, four_eyes, archives, mailbox, node };
    let (engine, nudged) = Engine::new(setup);
    let told = first_records(&engine, config, first_key, follows);
    if let Err(error) = told.and_then(|()| hold::tell(&engine, restored)) {
        drop((engine, nudged, parts));
        return Err(stopped(pipeline, error));
    }
    tracing::info!(key = %engine.key().public(), "the engine signs with this key");
    let sealer = Sealer::start(engine.clone(), parts);
    let folders = desks.folders().map(|(rail, of)| (rail, of.clone())).collect();
    let inboxes: Vec<PathBuf> = desks.folders().map(|(_, of)| of.inbox.clone()).collect();
    let settler = Settler::start(engine.clone(), nudged, desks);
    tell_started(config, &engine.vitals().verify);
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
    let (holding, waiting) = owned.map(|owned| (owned.holding, owned.waiting)).unzip();
    let node = (waiting.flatten(), holding.as_ref());
    let served = serve_edge((config, renewal), engine, (edge, hooks), doors, node, genesis.network);
    // Whatever happened to the edge, what was taken in is drained and the journal closed.
    settler.stop();
    sealer.stop();
    pipeline.stop()?;
    holding.into_iter().for_each(Holding::stop);
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

fn tell_started(config: &Config, verify: &Status) {
    tracing::info!(
        verify = verify.backend.description(),
        threads = config.verify_threads,
        small_tables = verify.small.capacity,
        large_tables = verify.large.capacity,
        shards = config.shards,
        "pipeline started"
    );
}

/// The engine's key, and how it follows that of the node before.
fn engine_key(
    config: &Config,
    owned: Option<&Owned>,
    recovered: &Recovered,
    vault: &Vault,
) -> Result<(EngineKey, Option<Follows>), ServeError> {
    match owned {
        None => Ok((EngineKey::load_or_create(&config.data_dir, recovered.engine_key())?, None)),
        Some(owned) => owned.engine_key(config, recovered, vault),
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
