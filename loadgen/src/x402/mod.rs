//! Payments over HTTP: the same load on an engine and on a facilitator of the reference SDK, in
//! turn, several rounds, and the medians. Who begins changes from round to round, so that a machine
//! that gets slower or faster favours neither.

pub mod http;
mod load;
mod reference;

use crate::args::{CrowdArgs, Model};
use crate::crowd::Crowd;
use crate::engine::Engine;
use crate::error::Error;
use crate::floods::{engine_binary, median};
use crate::print;
use crate::setup::connect;
use clap::Args;
use data_encoding::HEXLOWER;
use load::{Lane, Loaded, PRICE, Shop, compare, load};
use reference::{Checker, Reference};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tallystick_client::{Credentials, Network, Way};

const ASSET: u32 = 978;
/// A day: no voucher expires meanwhile.
const LIFE_SECONDS: u64 = 86_400;
/// Hexadecimal digits of the network's id in its name in x402.
const NETWORK_DIGITS: usize = 32;
/// How many times slower the reference is where it checks signatures as the SDK does, about.
const SDK_SLOWER: u64 = 8;
/// How many pairs a second an engine is to make at least, within how many milliseconds 99 of 100
/// are to be made, and how many times as many as the reference, checking as the SDK does.
const AIM: (f64, f64, f64) = (20_000.0, 25.0, 20.0);

/// Options of `x402`.
#[derive(Debug, Clone, Args)]
pub struct X402Args {
    /// The engine's binary [default: `tallystick` beside this one].
    #[arg(long, value_name = "PATH")]
    pub engine: Option<PathBuf>,
    /// Where the engines' data goes; it is removed afterwards.
    #[arg(long, default_value = "target/x402")]
    pub dir: PathBuf,
    /// A facilitator to compare with: a program that `node` runs, and that prints its HOST:PORT.
    #[arg(long, value_name = "PATH")]
    pub reference: Option<PathBuf>,
    /// How often both take turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
    /// Buyers at once, each with a key and a connection of its own.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub buyers: u32,
    /// What each of them pays to the engine, one payment after the other.
    #[arg(long, default_value_t = 800, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub payments: u64,
    /// What each of them pays to the reference where it checks signatures with OpenSSL; an eighth
    /// of that where it does as the SDK's own schemes do.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub reference_payments: u64,
    /// Before that, what each pays unmeasured: programs get warm, and every channel is open.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub warm_up: u64,
    /// What the parties are drawn from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// What one turn brought.
struct Turn {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// One turn of each.
struct Round {
    engine: Turn,
    others: Vec<(Checker, Turn)>,
}

impl Round {
    fn other(&self, by: Checker) -> Option<&Turn> {
        self.others.iter().find(|(of, _)| *of == by).map(|(_, turn)| turn)
    }
}

/// Measures both. All books were equal, or it is an error.
///
/// # Errors
/// When one of them cannot be started, a payment is not made, or books differ.
pub async fn x402(args: &X402Args) -> Result<bool, Error> {
    let file = |doing| move |source| Error::File { doing, path: args.dir.clone(), source };
    if args.dir.exists() {
        fs::remove_dir_all(&args.dir).map_err(file("cannot remove"))?;
    }
    fs::create_dir_all(&args.dir).map_err(file("cannot make"))?;
    print("| round | engine pairs/s | p50 / p99 ms | SDK pairs/s | p50 / p99 ms | ratio ");
    print(
        "| SDK with OpenSSL pairs/s | p50 / p99 ms | ratio |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut rounds = Vec::new();
    for round in 0..args.rounds {
        let turns = match round % 2 {
            0 => Round { engine: engine_turn(args, round).await?, others: others(args).await? },
            _ => {
                let others = others(args).await?;
                Round { engine: engine_turn(args, round).await?, others }
            }
        };
        print(&line(&(round + 1).to_string(), &turns));
        rounds.push(turns);
    }
    fs::remove_dir_all(&args.dir).map_err(file("cannot remove"))?;
    report(args, &rounds);
    Ok(true)
}

fn line(name: &str, round: &Round) -> String {
    let cells =
        |turn: &Turn| format!("{:.0} | {:.1} / {:.1}", turn.per_second, turn.p50_ms, turn.p99_ms);
    let mut line = format!("| {name} | {} |", cells(&round.engine));
    for by in Checker::ALL {
        match round.other(by) {
            Some(other) => {
                let ratio = ratio(&round.engine, other);
                line.push_str(&format!(" {} | {ratio:.1} |", cells(other)));
            }
            None => line.push_str(" - | - | - |"),
        }
    }
    line + "\n"
}

#[allow(clippy::float_arithmetic)]
fn ratio(engine: &Turn, reference: &Turn) -> f64 {
    engine.per_second / reference.per_second
}

/// Prints the medians, as one JSON object on the last line. Ratios are those of the rounds' own
/// quotients.
#[allow(clippy::float_arithmetic)]
fn report(args: &X402Args, rounds: &[Round]) {
    let tenths = |value: f64| (value * 10.0).round() / 10.0;
    let own = |value: fn(&Turn) -> f64| median(rounds.iter().map(|of| value(&of.engine)).collect());
    let (per_second, p99_ms) = (own(|turn| turn.per_second), own(|turn| turn.p99_ms));
    let mut text = json!({
        "pairs_per_second": per_second.round(), "p50_ms": tenths(own(|turn| turn.p50_ms)),
        "p99_ms": tenths(p99_ms), "books_match": true, "rounds": args.rounds,
        "buyers": args.buyers, "payments": args.payments,
    });
    let mut good = per_second >= AIM.0 && p99_ms <= AIM.1;
    for by in Checker::ALL {
        let pairs: Vec<_> =
            rounds.iter().filter_map(|of| Some((&of.engine, of.other(by)?))).collect();
        if pairs.is_empty() {
            continue;
        }
        let other =
            |value: fn(&Turn) -> f64| median(pairs.iter().map(|(_, other)| value(other)).collect());
        let ratio = median(pairs.iter().map(|(own, other)| ratio(own, other)).collect());
        let (name, quotient) = match by {
            Checker::Sdk => ("reference", "ratio"),
            Checker::OpenSsl => ("openssl", "ratio_openssl"),
        };
        text[format!("{name}_pairs_per_second")] = json!(other(|turn| turn.per_second).round());
        text[format!("{name}_p99_ms")] = json!(tenths(other(|turn| turn.p99_ms)));
        text[quotient] = json!(tenths(ratio));
        good &= by != Checker::Sdk || ratio >= AIM.2;
    }
    let word = if good { "as" } else { "not as" };
    print(&format!(
        "medians are {word} aimed at: {} pairs/s or more, p99 within {} ms, {} x the SDK's reference\n",
        AIM.0, AIM.1, AIM.2
    ));
    print(&format!("{text}\n"));
}

#[allow(clippy::float_arithmetic)]
fn turn(loaded: &Loaded) -> Turn {
    let float = |figure: u64| u32::try_from(figure).map_or(f64::INFINITY, f64::from);
    let millis = |quantile| float(loaded.times.value_at_quantile(quantile)) / 1e3;
    Turn {
        per_second: float(loaded.times.len()) / loaded.took.as_secs_f64(),
        p50_ms: millis(0.5),
        p99_ms: millis(0.99),
    }
}

/// One load on an engine of its own, whose books are compared.
async fn engine_turn(args: &X402Args, round: u64) -> Result<Turn, Error> {
    let dir = args.dir.join(format!("engine-{round}"));
    let file = |doing| {
        let path = dir.clone();
        move |source| Error::File { doing, path, source }
    };
    fs::create_dir_all(&dir).map_err(file("cannot make"))?;
    let config = dir.join("tallystick.toml");
    fs::write(&config, "listen_http = \"127.0.0.1:0\"\n").map_err(file("cannot write"))?;
    let binary = engine_binary(args.engine.as_deref());
    let mut engine = Engine::start(&binary, &dir, Some(&config)).await?;
    let done = load_engine(args, &engine.grpc, &engine.http).await;
    let done = done.map_err(|error| engine.explain(error))?;
    engine.stop().await?;
    fs::remove_dir_all(&dir).map_err(file("cannot remove"))?;
    Ok(turn(&done))
}

async fn load_engine(args: &X402Args, grpc: &str, http: &str) -> Result<Loaded, Error> {
    let crowd = Arc::new(crowd(args));
    let way = Way::prepare(&format!("http://{grpc}"), &Credentials::default())?;
    let mut clients = connect(&way, 1).await?;
    let network = clients.network().await?;
    let network: [u8; 32] = network.network_id[..]
        .try_into()
        .map_err(|_| Error::Engine("the engine's network id has not 32 bytes".into()))?;
    clients.create_asset_of(ASSET, "EUR", 6, Model::Bilateral).await?;
    clients.import(&crowd, ASSET).await?;
    let lanes = lanes(&crowd, network, args.warm_up + args.payments).await;
    let loaded = load(http, &lanes, warm(args)).await?;
    compare(http, &lanes).await?;
    // What is settled is what was paid.
    let window = clients.close_window(&crowd.tag(), 1).await?;
    let paid = lanes.iter().map(|lane| lane.total).sum::<u64>();
    let gross = window.totals.first().map_or("0", |totals| &*totals.gross);
    match window.vouchers_credited == paid / PRICE && gross == paid.to_string() {
        true => Ok(loaded),
        false => {
            let credited = window.vouchers_credited;
            let why = format!("{paid} was paid, {gross} is owed for {credited} vouchers");
            Err(Error::Engine(why))
        }
    }
}

/// A turn of the reference by each checker, if there is a reference.
async fn others(args: &X402Args) -> Result<Vec<(Checker, Turn)>, Error> {
    let mut turns = Vec::new();
    for by in Checker::ALL {
        if let Some(program) = &args.reference {
            turns.push((by, reference_turn(args, program, by).await?));
        }
    }
    Ok(turns)
}

/// The same load on the reference, as short as it is slow; its books are compared, too.
async fn reference_turn(args: &X402Args, program: &Path, by: Checker) -> Result<Turn, Error> {
    let network = [0; 32];
    let payments = match by {
        Checker::Sdk => args.reference_payments.div_ceil(SDK_SLOWER),
        Checker::OpenSsl => args.reference_payments,
    };
    let reference = Reference::start(program, &name(&network), by).await?;
    let lanes = lanes(&crowd(args), network, args.warm_up + payments).await;
    let loaded = load(&reference.address, &lanes, warm(args)).await?;
    compare(&reference.address, &lanes).await?;
    Ok(turn(&loaded))
}

fn warm(args: &X402Args) -> usize {
    usize::try_from(args.warm_up).expect("its range is small")
}

/// The buyers, and a shop.
fn crowd(args: &X402Args) -> Crowd {
    let crowd = CrowdArgs { payers: args.buyers, payees: 1, both: None, seed: args.seed };
    Crowd::draw(&crowd, 0)
}

fn name(network: &[u8; 32]) -> String {
    let mut digits = HEXLOWER.encode(network);
    digits.truncate(NETWORK_DIGITS);
    format!("tallystick:{digits}")
}

/// Everything that will be paid, signed before.
async fn lanes(crowd: &Crowd, network: [u8; 32], payments: u64) -> Arc<Vec<Lane>> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let shop = Arc::new(Shop {
        payee: crowd.id(crowd.payees()[0]),
        asset: ASSET,
        expires_at: i64::try_from(since.as_secs() + LIFE_SECONDS).unwrap_or(i64::MAX),
        network: Network::new(network),
        name: name(&network),
    });
    let signing = crowd.parties().filter_map(|buyer| {
        let (key, shop) = (crowd.signer(buyer)?.clone(), shop.clone());
        Some(tokio::task::spawn_blocking(move || shop.lane(&key, u64::from(buyer), payments)))
    });
    let mut lanes = Vec::new();
    for lane in signing.collect::<Vec<_>>() {
        lanes.push(lane.await.expect("signing does not panic"));
    }
    Arc::new(lanes)
}
