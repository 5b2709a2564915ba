//! The load: so many buyers, each with a key and a lane of its own, whose seller has each payment
//! verified, then settled. Keeps its own books.

use super::http::{Connection, Dialed};
use crate::error::Error;
use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer as _, SigningKey};
use hdrhistogram::Histogram;
use memchr::memmem::Finder;
use serde_json::{Value, json};
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};
use tallystick_client::{Fields, Network, Voucher};
use tokio::runtime::Builder;
use tokio::sync::Barrier;
use tokio::task::{JoinError, JoinSet, spawn_blocking};

/// What a request costs.
pub const PRICE: u64 = 100;
/// Channels that one call may ask for.
const CHANNELS_AT_ONCE: usize = 256;

/// The slowest payment that is told from slower ones: ten minutes.
const MICROS_MAX: u64 = 600_000_000;

/// Who is paid, in what, and when the vouchers expire.
pub struct Shop {
    /// The payee.
    pub payee: [u8; 32],
    /// In which asset.
    pub asset: u32,
    /// Until when.
    pub expires_at: i64,
    /// On which network.
    pub network: Network,
    /// The network's name in x402.
    pub name: String,
}

/// The requests of one buyer, in order.
pub struct Lane {
    bodies: Vec<String>,
    /// Its channel.
    channel: String,
    /// Its total when all are paid.
    pub total: u64,
}

/// What a thread ends with: how long each payment took, in microseconds.
type Thread = Result<Result<Vec<u64>, Error>, JoinError>;

/// What a load brought.
pub struct Loaded {
    /// From the first request to the last answer.
    pub took: Duration,
    /// How long each payment took, both requests together, in microseconds.
    pub times: Histogram<u64>,
}

impl Shop {
    /// Signs the payments of one buyer.
    #[must_use]
    pub fn lane(&self, signer: &SigningKey, lane: u64, payments: u64) -> Lane {
        let requirements = json!({
            "scheme": "batch-settlement", "network": self.name, "amount": PRICE.to_string(),
            "asset": "EUR", "payTo": HEXLOWER.encode(&self.payee), "maxTimeoutSeconds": 60,
            "extra": {
                "networkId": HEXLOWER.encode(&self.network.id()), "assetNumber": self.asset,
                "scale": 6,
            },
        });
        let fields = |cumulative| Fields {
            signer: signer.verifying_key().to_bytes(),
            payee: self.payee,
            asset: self.asset,
            lane,
            expires_at: self.expires_at,
            cumulative,
        };
        let body = |number: u64| {
            let fields = fields(number * PRICE);
            let signature = signer.sign(&self.network.message(&fields)).to_bytes();
            let payload = Voucher { fields, signature }.json();
            let payment = json!({ "x402Version": 2, "accepted": requirements, "payload": payload });
            json!({
                "x402Version": 2, "paymentPayload": payment, "paymentRequirements": requirements,
            })
            .to_string()
        };
        Lane {
            bodies: (1..=payments).map(body).collect(),
            channel: HEXLOWER.encode(&self.network.channel(&fields(0))),
            total: payments * PRICE,
        }
    }
}

/// Has all payments made: each lane on a connection of its own, one after the other. The first
/// `warm` of each are not measured; then all wait for each other.
///
/// # Errors
/// When one of them is not made.
pub async fn load(address: &str, lanes: &Arc<Vec<Lane>>, warm: usize) -> Result<Loaded, Error> {
    let barrier = Arc::new(Barrier::new(lanes.len() + 1));
    let threads = threads();
    let mut running = JoinSet::new();
    for first in 0..threads {
        let mut own = Vec::new();
        for place in (first..lanes.len()).step_by(threads) {
            own.push((place, Connection::dial(address).await?));
        }
        let (lanes, barrier) = (lanes.clone(), barrier.clone());
        running.spawn(spawn_blocking(move || run(own, &lanes, warm, &barrier)));
    }
    tokio::select! {
        _ = barrier.wait() => {}
        // Whoever ends before all are there has failed.
        Some(done) = running.join_next() => drop(ended(done)?),
    }
    let started = Instant::now();
    let mut times = Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("such bounds are possible");
    while let Some(done) = running.join_next().await {
        ended(done)?.into_iter().for_each(|micros| times.saturating_record(micros));
    }
    Ok(Loaded { took: started.elapsed(), times })
}

/// What the lanes of a thread took.
fn ended(done: Result<Thread, JoinError>) -> Result<Vec<u64>, Error> {
    done.and_then(|thread| thread).expect("a thread does not panic")
}

/// Half of the cores: as much is left to who answers.
fn threads() -> usize {
    available_parallelism().map_or(1, NonZero::get).div_ceil(2)
}

/// The lanes of one thread, which shares nothing with the others while it is measured.
fn run(
    own: Vec<(usize, Dialed)>,
    lanes: &Arc<Vec<Lane>>,
    warm: usize,
    barrier: &Arc<Barrier>,
) -> Result<Vec<u64>, Error> {
    let runtime = Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(|why| Error::Engine(format!("cannot start a thread: {why}")))?;
    runtime.block_on(async {
        let mut running = JoinSet::new();
        for (place, dialed) in own {
            let (lanes, barrier) = (lanes.clone(), barrier.clone());
            running.spawn(async move {
                let (before, measured) = lanes[place].bodies.split_at(warm);
                let mut connection = dialed.open()?;
                let warmed = pay(&mut connection, before).await;
                barrier.wait().await;
                warmed?;
                pay(&mut connection, measured).await
            });
        }
        let mut all = Vec::new();
        while let Some(done) = running.join_next().await {
            all.extend(done.expect("a lane does not panic")?);
        }
        Ok(all)
    })
}

async fn pay(connection: &mut Connection, bodies: &[String]) -> Result<Vec<u64>, Error> {
    let valid = Finder::new(b"\"isValid\":true");
    let success = Finder::new(b"\"success\":true");
    let mut times = Vec::with_capacity(bodies.len());
    for body in bodies {
        let started = Instant::now();
        expect(connection.post("/verify", body).await?, &valid)?;
        expect(connection.post("/settle", body).await?, &success)?;
        times.push(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(times)
}

fn expect(answer: &[u8], part: &Finder<'_>) -> Result<(), Error> {
    match part.find(answer) {
        Some(_) => Ok(()),
        None => Err(Error::Engine(format!(
            "a payment is not made: {}",
            String::from_utf8_lossy(answer)
        ))),
    }
}

/// Compares what was paid with what a facilitator says of each channel.
///
/// # Errors
/// When one differs.
pub async fn compare(address: &str, lanes: &[Lane]) -> Result<(), Error> {
    let mut connection = Connection::open(address).await?;
    for some in lanes.chunks(CHANNELS_AT_ONCE) {
        let ids: Vec<&str> = some.iter().map(|lane| &*lane.channel).collect();
        let answer = connection.post("/channels", &json!({ "channels": ids }).to_string()).await?;
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        for (place, lane) in some.iter().enumerate() {
            let found = &answer["channels"][place]["charged"];
            if *found != json!(lane.total.to_string()) {
                let Lane { channel, total, .. } = lane;
                let why = format!("channel {channel}: {total} was paid, {address} has {found}");
                return Err(Error::Engine(why));
            }
        }
    }
    Ok(())
}
