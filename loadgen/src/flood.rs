//! Floods an engine on this machine, and measures an honest client beside the flood: first in
//! quiet, then beside. What others must never feel.
//!
//! Bounded in time, connections and streams; loopback only. The honest client is a thread of its
//! own with a connection of its own, and sends one voucher after the other, each credited or it is
//! told. The flood's own threads give way to all others of this machine: what is measured is the
//! engine, not how the two clients share the cores.

use crate::args::{CrowdArgs, FloodArgs, FloodKind, Model};
use crate::crowd::Crowd;
use crate::error::{Error, status_text};
use crate::setup::{Clients, Vouchers, connect};
use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use hdrhistogram::Histogram;
use rustix::process::setpriority_process;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tallystick_client::Way;
use tallystick_client::voucher::{Fields, Network, VOUCHER_BYTES, outcome};
use tallystick_proto::v1::Frame;
use tokio::task::JoinSet;

/// Vouchers of a frame of the flood: as many as one may hold.
const FRAME: u64 = 4_096;
/// Frames that a stream of the flood keeps ready to be sent.
const READY_FRAMES: usize = 8;
/// How often the honest client sends a voucher; where one takes longer, the next follows at once.
const EVERY: Duration = Duration::from_millis(5);
/// Its vouchers for each second, signed ahead.
pub const HONEST_PER_SECOND: u64 = 200;
/// How often it is looked whether nothing is under way any more.
const LOOK: Duration = Duration::from_millis(10);
/// How long what a flood has left under way may take.
const CALM_MAX: Duration = Duration::from_secs(60);
/// Lowest priority that a thread can give itself.
const LOWEST: i32 = 19;

/// What the honest client saw.
#[derive(Debug)]
pub struct Seen {
    latency: Histogram<u64>,
    calls: u64,
    credited: u64,
    /// The first answer that was not `credited`.
    denied: Option<String>,
}

/// What the flood led to.
#[derive(Debug)]
pub struct Report {
    args: FloodArgs,
    pub quiet: Seen,
    pub beside: Seen,
    frames_sent: u64,
    frames_acked: u64,
    verified: u64,
    inflight: u64,
    records: u64,
}

/// An engine that is ready to be flooded, with what is sent.
pub struct Target {
    args: FloodArgs,
    way: Way,
    clients: Clients,
    frame: Bytes,
    /// The honest client's, for all that is measured.
    vouchers: std::vec::IntoIter<Bytes>,
}

/// Floods, measures, and says what it saw.
///
/// # Errors
/// When the target is not this machine, or cannot be reached or set up.
pub async fn flood(args: &FloodArgs) -> Result<Report, Error> {
    Target::prepare(args, 1).await?.measure().await
}

impl Target {
    /// Registers who is needed, and signs the vouchers of so many rounds.
    ///
    /// # Errors
    /// When the target is not this machine, or cannot be reached or set up.
    pub async fn prepare(args: &FloodArgs, rounds: u64) -> Result<Self, Error> {
        if !args.server.ip().is_loopback() {
            return Err(Error::Usage(
                "only an engine on this machine is flooded: use 127.0.0.1".into(),
            ));
        }
        let way = Way::prepare(&args.server.to_string(), &args.credentials)?;
        let mut clients = connect(&way, 1).await?;
        let crowd = Arc::new(Crowd::draw(&crowd_args(), 0));
        clients.create_asset_of(args.asset, "EUR", 6, Model::Multilateral).await?;
        clients.import(&crowd, args.asset).await?;
        let network = clients.network().await?.network_id;
        let network = <[u8; 32]>::try_from(&network[..])
            .map_err(|_| Error::Engine("the network id has not 32 bytes".into()))?;
        let maker = Maker::new(args.asset, crowd, Network::new(network));
        let frame = maker.flood_frame(args.kind);
        if matches!(args.kind, FloodKind::Stale | FloodKind::Replay) {
            let first = Frame { packed: frame.clone(), ..Frame::default() };
            let sent = clients.vouchers[0].submit(first).await;
            sent.map_err(|status| Error::call("Submit", &status))?;
        }
        let count = 2 * rounds * args.seconds.saturating_add(1) * HONEST_PER_SECOND;
        let vouchers = maker.honest(count).into_iter();
        Ok(Self { args: args.clone(), way, clients, frame, vouchers })
    }

    /// Measures the honest client, first in quiet and then beside the flood.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub async fn measure(&mut self) -> Result<Report, Error> {
        let args = &self.args;
        let (time, target) = (Duration::from_secs(args.seconds), self.way.clone());
        let half = (args.seconds.saturating_add(1) * HONEST_PER_SECOND).try_into();
        let half: usize = half.map_err(|_| Error::Usage("too many seconds".into()))?;
        let first: Vec<Bytes> = self.vouchers.by_ref().take(half).collect();
        let second: Vec<Bytes> = self.vouchers.by_ref().take(half).collect();
        let quiet = Prober::start(target.clone(), first, time).await?;
        let before = self.clients.status().await?;
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let runtime = lowest_runtime()?;
        let flooding =
            streams(args.clone(), self.way.clone(), self.frame.clone(), stop.clone(), sent.clone());
        let flooding = runtime.spawn(flooding);
        let beside = Prober::start(target, second, time).await;
        let during = self.clients.status().await?;
        stop.store(true, Ordering::Relaxed);
        // Whoever reads no acks never hears that it is over.
        let acked = tokio::time::timeout(Duration::from_secs(10), flooding).await;
        runtime.shutdown_background();
        let frames_acked = match acked {
            Ok(acked) => acked.expect("a stream's task does not panic")?,
            Err(_) => 0,
        };
        Ok(Report {
            args: args.clone(),
            quiet,
            beside: beside?,
            frames_sent: sent.load(Ordering::Relaxed),
            frames_acked,
            verified: during.vouchers_verified.saturating_sub(before.vouchers_verified),
            inflight: during.inflight_vouchers,
            records: during.durable_lsn.saturating_sub(before.durable_lsn),
        })
    }

    /// Waits until the engine has nothing under way.
    ///
    /// # Errors
    /// When that takes too long, or the engine cannot be reached.
    pub async fn calm(&mut self) -> Result<(), Error> {
        let since = Instant::now();
        while self.clients.status().await?.inflight_vouchers > 0 {
            if since.elapsed() > CALM_MAX {
                return Err(Error::Engine("a flood is over and still under way".into()));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

/// Threads that give way to all others.
///
/// # Errors
/// When the system starts none.
pub fn lowest_runtime() -> Result<tokio::runtime::Runtime, Error> {
    let lowest = || {
        // Where it cannot, the flood only costs more.
        let _ = setpriority_process(None, LOWEST);
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.thread_name("flood").on_thread_start(lowest).enable_all();
    runtime.build().map_err(|error| Error::Engine(format!("cannot start threads: {error}")))
}

/// All streams of the flood. Returns how many acks they read.
async fn streams(
    args: FloodArgs,
    way: Way,
    frame: Bytes,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
) -> Result<u64, Error> {
    let clients = connect(&way, usize::from(args.connections)).await?;
    let mut flooding = JoinSet::new();
    for client in &clients.vouchers {
        for _ in 0..args.streams {
            let (client, frame) = (client.clone(), frame.clone());
            let reads = args.kind != FloodKind::Unread;
            flooding.spawn(stream(client, frame, reads, stop.clone(), sent.clone()));
        }
    }
    Ok(flooding.join_all().await.into_iter().sum())
}

/// One stream of the flood. Returns how many acks it read.
async fn stream(
    mut client: Vouchers,
    packed: Bytes,
    reads: bool,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
) -> u64 {
    let (frames_in, frames) = tokio::sync::mpsc::channel(READY_FRAMES);
    let sending = tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let frame = Frame { frame_id: 1, packed: packed.clone(), ..Frame::default() };
            if frames_in.send(frame).await.is_err() {
                return;
            }
            sent.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut acked = 0;
    let frames = tokio_stream::wrappers::ReceiverStream::new(frames);
    if let Ok(answer) = client.stream(frames).await {
        let mut acks = answer.into_inner();
        // An ended stream is an answer, too: the engine need not bear a flood.
        while reads && matches!(acks.message().await, Ok(Some(_))) {
            acked += 1;
        }
        // Its acks stay unread while it is held.
        if !reads {
            drop(sending.await);
            return 0;
        }
    }
    sending.abort();
    acked
}

/// The honest client.
pub struct Prober;

impl Prober {
    /// Sends vouchers one after the other for so long, on a thread of its own, so that it does not
    /// wait for the flood's own work.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub async fn start(target: Way, vouchers: Vec<Bytes>, time: Duration) -> Result<Seen, Error> {
        let (done, seen) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new().name("honest".into());
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("the system can start a runtime");
            drop(done.send(runtime.block_on(Self::probe(&target, vouchers, time))));
        };
        thread.spawn(run).expect("the system can start a thread");
        seen.await.map_err(|_| Error::Engine("the honest client broke off".into()))?
    }

    async fn probe(target: &Way, vouchers: Vec<Bytes>, time: Duration) -> Result<Seen, Error> {
        let mut client = connect(target, 1).await?.vouchers.remove(0);
        let latency = Histogram::new_with_bounds(1, 120_000_000, 3).expect("the bounds are sound");
        let mut seen = Seen { latency, calls: 0, credited: 0, denied: None };
        let end = Instant::now() + time;
        let mut due = tokio::time::interval(EVERY);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for packed in vouchers {
            due.tick().await;
            if Instant::now() >= end {
                break;
            }
            let frame = Frame { frame_id: 1, packed, ..Frame::default() };
            let start = Instant::now();
            let answer = client.submit(frame).await;
            let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            seen.latency.saturating_record(micros.max(1));
            seen.calls += 1;
            match answer.map(|ack| ack.into_inner().outcomes) {
                Ok(outcomes) if outcomes[..] == [outcome::CREDITED] => seen.credited += 1,
                Ok(outcomes) => {
                    let told = outcomes.first().map_or_else(String::new, |o| outcome::name(*o));
                    seen.denied.get_or_insert(told);
                }
                Err(status) => drop(seen.denied.get_or_insert(status_text(&status))),
            }
        }
        Ok(seen)
    }
}

/// Two payers, the honest one and the flood's, and one payee.
pub fn crowd_args() -> CrowdArgs {
    let none = Some("0".parse().expect("a share"));
    CrowdArgs { payers: 2, payees: 1, both: none, seed: 0x666c_6f6f_6400 }
}

/// Makes vouchers.
pub struct Maker {
    asset: u32,
    crowd: Arc<Crowd>,
    network: Network,
    expires_at: i64,
    /// Channels of this run alone.
    lane: u64,
}

impl Maker {
    /// Of vouchers in this asset, on channels of its own.
    pub fn new(asset: u32, crowd: Arc<Crowd>, network: Network) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let expires_at = i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_add(3_600);
        let lane = u64::try_from(now.as_millis()).unwrap_or(u64::MAX) << 16;
        Self { asset, crowd, network, expires_at, lane }
    }

    fn voucher(&self, key: &SigningKey, lane: u64, cumulative: u64) -> [u8; VOUCHER_BYTES] {
        let fields = Fields {
            signer: key.verifying_key().to_bytes(),
            payee: self.crowd.id(2),
            asset: self.asset,
            lane: self.lane + lane,
            expires_at: self.expires_at,
            cumulative,
        };
        let signature = key.sign(&self.network.message(&fields)).to_bytes();
        let mut packed = [0; VOUCHER_BYTES];
        fields.pack(&signature, &mut packed);
        packed
    }

    fn key(&self, payer: u32) -> &SigningKey {
        self.crowd.signer(payer).expect("both of them pay")
    }

    /// The honest client's vouchers: one channel, whose total rises.
    pub fn honest(&self, count: u64) -> Vec<Bytes> {
        let voucher = |n| Bytes::copy_from_slice(&self.voucher(self.key(0), FRAME, n));
        (1..=count).map(voucher).collect()
    }

    /// Good vouchers of the other payer, which bring these channels to a total.
    pub fn others_frame(&self, lanes: std::ops::Range<u64>, total: u64) -> Bytes {
        let vouchers: Vec<_> = lanes.map(|n| self.voucher(self.key(1), n, total)).collect();
        vouchers.concat().into()
    }

    /// What the flood sends again and again.
    pub fn flood_frame(&self, kind: FloodKind) -> Bytes {
        let stranger = SigningKey::from_bytes(&[99; 32]);
        let of = |key: &SigningKey, cumulative| {
            let vouchers: Vec<_> = (0..FRAME).map(|n| self.voucher(key, n, cumulative)).collect();
            vouchers.concat()
        };
        let forged = || {
            let mut frame = of(self.key(1), 5);
            let bytes = frame.chunks_mut(VOUCHER_BYTES);
            bytes.for_each(|voucher| voucher[VOUCHER_BYTES - 40] ^= 1);
            frame
        };
        let frame = match kind {
            FloodKind::BadSignature | FloodKind::Unread => forged(),
            FloodKind::Stale => of(self.key(1), 1),
            FloodKind::Replay => self.voucher(self.key(1), 0, 1).repeat(4_096),
            FloodKind::OverLimit => of(self.key(1), u64::MAX),
            FloodKind::Unknown => of(&stranger, 5),
            FloodKind::Malformed => vec![0xff; 4_096 * VOUCHER_BYTES],
            FloodKind::Small => self.voucher(&stranger, 0, 5).to_vec(),
        };
        frame.into()
    }
}

#[allow(clippy::float_arithmetic)]
impl Seen {
    /// The latency that this share of the calls had or less.
    #[must_use]
    pub fn millis(&self, quantile: f64) -> f64 {
        let micros = self.latency.value_at_quantile(quantile);
        f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1_000.0
    }

    /// The first answer that was not what an honest client may expect, if there is one.
    #[must_use]
    pub fn why_denied(&self) -> Option<String> {
        let none = || (self.calls == 0).then(|| "no call came through".to_owned());
        self.denied.clone().or_else(none)
    }

    fn max_millis(&self) -> f64 {
        f64::from(u32::try_from(self.latency.max()).unwrap_or(u32::MAX)) / 1_000.0
    }

    fn text(&self) -> String {
        let denied = self.denied.as_ref();
        let denied = denied.map_or_else(String::new, |why| format!(", the first denied: {why}"));
        format!(
            "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; {} of {} credited{denied}",
            self.millis(0.5),
            self.millis(0.99),
            self.max_millis(),
            self.credited,
            self.calls
        )
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "calls": self.calls, "credited": self.credited, "denied": self.denied,
            "p50_ms": self.millis(0.5), "p99_ms": self.millis(0.99), "max_ms": self.max_millis(),
        })
    }
}

impl Report {
    /// Whether the honest client was denied nothing. How long it took is for people to judge:
    /// machines differ.
    #[must_use]
    pub fn good(&self) -> bool {
        [&self.quiet, &self.beside].iter().all(|seen| seen.calls > 0 && seen.credited == seen.calls)
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let FloodArgs { kind, connections, streams, seconds, .. } = &self.args;
        format!(
            "flood: {kind:?}, {connections} connections x {streams} streams, {seconds} s\n\
             honest, quiet:  {}\nhonest, beside: {}\n\
             the flood sent {} frames and read {} acks; {} signatures checked, {} records written, \
             {} vouchers under way at its end\n",
            self.quiet.text(),
            self.beside.text(),
            self.frames_sent,
            self.frames_acked,
            self.verified,
            self.records,
            self.inflight
        )
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> String {
        let report = json!({
            "kind": format!("{:?}", self.args.kind),
            "connections": self.args.connections, "streams": self.args.streams,
            "seconds": self.args.seconds, "quiet": self.quiet.json(), "beside": self.beside.json(),
            "frames_sent": self.frames_sent, "frames_acked": self.frames_acked,
            "signatures_checked": self.verified, "records": self.records,
            "inflight_vouchers": self.inflight,
        });
        format!("{report}\n")
    }
}
