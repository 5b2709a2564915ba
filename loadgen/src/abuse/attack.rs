//! What is done to an engine, kind by kind, until it is told to stop.

use super::house::House;
use super::wire::{HALF_A_WORD, HELLO, MESSAGE_HEAD, call, data, send};
use super::{AbuseKind, house};
use crate::args::FloodKind;
use crate::error::Error;
use crate::flood::Maker;
use crate::setup::{Vouchers, connect};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tallystick_client::Way;
use tallystick_proto::v1::operator_client::OperatorClient;
use tallystick_proto::v1::{Frame, GetStatusRequest};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::Channel;

const STREAM: &str = "/tallystick.v1.Vouchers/Stream";
/// Connections of all kinds but `idle`.
const CONNECTIONS: usize = 8;
/// Streams, or calls at once, on each.
pub(super) const STREAMS: usize = 8;
/// Of the one who brings good vouchers.
const GREEDY_CONNECTIONS: usize = 16;
const GREEDY_STREAMS: usize = 2;
const GREEDY_FRAME: u64 = 256;
/// Vouchers a second that it brings, signed before: signing them meanwhile would take the cores
/// that the engine and the honest client have.
const GREEDY_PER_SECOND: u64 = 50_000;
/// How often a frame comes on each of its streams.
const GREEDY_EVERY: Duration = Duration::from_micros(
    1_000_000 * GREEDY_FRAME * (GREEDY_CONNECTIONS * GREEDY_STREAMS) as u64 / GREEDY_PER_SECOND,
);
/// Connections of `slow-writers`, and calls on each.
const SLOW_CONNECTIONS: usize = 64;
const SLOW_STREAMS: u32 = 16;
/// How often a byte comes on each call, and how often who was put out comes again.
const DRIP: Duration = Duration::from_millis(200);
const AGAIN: Duration = Duration::from_millis(50);
/// How much later than all others, where there are others, the silent connections come.
const IDLE_AFTER: Duration = Duration::from_millis(200);
/// Longer than any message, and than metadata may be.
const LARGE_MESSAGE: usize = 1 << 20;
const LARGE_METADATA: usize = 40_000;
/// Frames that a stream keeps ready to be sent.
const READY_FRAMES: usize = 4;
/// How long is waited until it has begun.
const BEGUN_MAX: Duration = Duration::from_secs(10);

/// One kind of abuse.
pub struct Attack {
    kind: AbuseKind,
    idle: usize,
    pub(super) address: String,
    pub(super) http: String,
    greedy: Way,
    greedy_key: String,
    maker: Arc<Maker>,
    pub(super) connections: AtomicU64,
    frames: AtomicU64,
    pub(super) calls: AtomicU64,
    pub(super) refused: AtomicU64,
    /// Frames that are sent again and again.
    forged: Bytes,
    unknown: Bytes,
    stale: Bytes,
    /// What the greedy one brings on each of its streams, until the next round.
    signed: Mutex<Vec<VecDeque<Bytes>>>,
    /// The total of its channels by now.
    total: AtomicU64,
}

/// Rises by one.
pub(super) fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Attack {
    /// Of this kind; what must be known before it, is brought.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub async fn new(kind: AbuseKind, idle: u16, house: &House) -> Result<Self, Error> {
        if matches!(kind, AbuseKind::Stale | AbuseKind::All) {
            let mut clients = connect(&house.greedy, 1).await?;
            let packed = house.maker.flood_frame(FloodKind::Stale);
            let first = Frame { packed, ..Frame::default() };
            let sent = clients.vouchers[0].submit(first).await;
            sent.map_err(|status| Error::call("Submit", &status))?;
        }
        Ok(Self {
            kind,
            idle: idle.into(),
            address: house.address.clone(),
            http: house.http.clone(),
            greedy: house.greedy.clone(),
            greedy_key: house.greedy_key.clone(),
            forged: house.maker.flood_frame(FloodKind::BadSignature),
            unknown: house.maker.flood_frame(FloodKind::Unknown),
            stale: house.maker.flood_frame(FloodKind::Stale),
            maker: house.maker.clone(),
            connections: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            signed: Mutex::default(),
            total: AtomicU64::new(0),
        })
    }

    /// Signs what the greedy one brings in so many seconds, before anything is measured.
    pub fn sign(&self, seconds: u64) {
        if !self.kinds().contains(&AbuseKind::Greedy) {
            return;
        }
        let every = GREEDY_EVERY.as_micros().max(1);
        let frames = u128::from(seconds.saturating_add(2)) * 1_000_000 / every;
        let frames = u64::try_from(frames).unwrap_or(u64::MAX);
        let before = self.total.fetch_add(frames, Ordering::Relaxed);
        let totals = before + 1..=before + frames;
        let stream = |number: usize| {
            let first = (1 << 20) + number as u64 * GREEDY_FRAME;
            let frame = |total| self.maker.others_frame(first..first + GREEDY_FRAME, total);
            totals.clone().map(frame).collect::<VecDeque<Bytes>>()
        };
        let all = GREEDY_CONNECTIONS * GREEDY_STREAMS;
        let signed = std::thread::scope(|scope| {
            let half = |numbers: std::ops::Range<usize>| {
                scope.spawn(move || numbers.map(stream).collect::<Vec<_>>())
            };
            let halves = [half(0..all / 2), half(all / 2..all)];
            halves
                .into_iter()
                .flat_map(|half| half.join().expect("signing does not panic"))
                .collect()
        });
        *self.signed.lock().unwrap_or_else(PoisonError::into_inner) = signed;
    }

    /// Until it has begun, or cannot.
    pub async fn begun(&self) {
        let counters = [&self.connections, &self.frames, &self.calls];
        let sum = || counters.iter().map(|c| c.load(Ordering::Relaxed)).sum::<u64>();
        let before = sum();
        let rises = async {
            while sum() == before {
                tokio::time::sleep(DRIP / 10).await;
            }
        };
        drop(tokio::time::timeout(BEGUN_MAX, rises).await);
    }

    /// What it did in all rounds, in words.
    pub fn did(&self) -> String {
        let named = [
            (&self.connections, "connections"),
            (&self.frames, "frames"),
            (&self.calls, "calls"),
            (&self.refused, "refused"),
        ];
        let named = named.map(|(counter, what)| (counter.load(Ordering::Relaxed), what));
        let some = named.iter().filter(|(count, _)| *count > 0);
        some.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    }

    /// Does it until it is to stop.
    pub async fn run(self: Arc<Self>, stop: Arc<AtomicBool>) {
        let (mut tasks, mut silent) = (JoinSet::new(), JoinSet::new());
        let (idle, others): (Vec<_>, Vec<_>) =
            self.kinds().iter().partition(|kind| **kind == AbuseKind::Idle);
        // Before the silent ones are in everybody's way.
        others.into_iter().for_each(|kind| self.begin(kind, &mut tasks, &stop));
        if !tasks.is_empty() && !idle.is_empty() {
            tokio::time::sleep(IDLE_AFTER).await;
        }
        for number in 0..if idle.is_empty() { 0 } else { self.idle } {
            silent.spawn(self.clone().idle(number));
        }
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(AGAIN).await;
        }
        silent.shutdown().await;
        // Whoever hangs on is dropped with its threads.
        while tasks.join_next().await.is_some() {}
    }

    fn kinds(&self) -> &[AbuseKind] {
        const ALL: &[AbuseKind] = &[
            AbuseKind::Idle,
            AbuseKind::SlowWriters,
            AbuseKind::SlowReaders,
            AbuseKind::Oversized,
            AbuseKind::BadTokens,
            AbuseKind::OpenCalls,
            AbuseKind::BadSignatures,
            AbuseKind::UnknownSigners,
            AbuseKind::Stale,
            AbuseKind::Greedy,
        ];
        if self.kind == AbuseKind::All { ALL } else { std::slice::from_ref(&self.kind) }
    }

    fn begin(self: &Arc<Self>, kind: AbuseKind, tasks: &mut JoinSet<()>, stop: &Arc<AtomicBool>) {
        let packed = match kind {
            AbuseKind::SlowReaders | AbuseKind::BadSignatures => &self.forged,
            AbuseKind::UnknownSigners => &self.unknown,
            AbuseKind::Idle
            | AbuseKind::SlowWriters
            | AbuseKind::Oversized
            | AbuseKind::BadTokens
            | AbuseKind::OpenCalls
            | AbuseKind::Stale
            | AbuseKind::Greedy
            | AbuseKind::All => &self.stale,
        };
        let count = match kind {
            AbuseKind::SlowWriters => SLOW_CONNECTIONS,
            AbuseKind::Greedy => GREEDY_CONNECTIONS,
            // As many over gRPC and over HTTP.
            AbuseKind::OpenCalls => 2 * CONNECTIONS,
            AbuseKind::SlowReaders
            | AbuseKind::Oversized
            | AbuseKind::BadTokens
            | AbuseKind::BadSignatures
            | AbuseKind::UnknownSigners
            | AbuseKind::Stale
            | AbuseKind::Idle
            | AbuseKind::All => CONNECTIONS,
        };
        for number in 0..count {
            let (own, stop, packed) = (self.clone(), stop.clone(), packed.clone());
            tasks.spawn(async move {
                // Who is put out comes again, as long as it lasts.
                while !stop.load(Ordering::Relaxed) {
                    let reads = kind != AbuseKind::SlowReaders;
                    match kind {
                        AbuseKind::SlowWriters => drop(own.slow(&stop).await),
                        AbuseKind::Oversized => drop(own.oversized(&stop).await),
                        AbuseKind::BadTokens => drop(own.bad_tokens(number, &stop).await),
                        AbuseKind::OpenCalls if number < CONNECTIONS => drop(own.ask(&stop).await),
                        AbuseKind::OpenCalls => drop(own.ask_over_http(&stop).await),
                        AbuseKind::Greedy => drop(own.good(number, &stop).await),
                        AbuseKind::SlowReaders
                        | AbuseKind::Idle
                        | AbuseKind::BadSignatures
                        | AbuseKind::UnknownSigners
                        | AbuseKind::Stale
                        | AbuseKind::All => {
                            drop(own.flood(packed.clone(), reads, &stop).await);
                        }
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            });
        }
    }

    /// A connection that says nothing, or little; when it is closed, it is opened anew.
    async fn idle(self: Arc<Self>, number: usize) {
        let words: [&[u8]; 3] = [b"", HALF_A_WORD, HELLO];
        loop {
            if let Ok(mut socket) = TcpStream::connect(&self.address).await {
                let _ = socket.try_write(words[number % words.len()]);
                one(&self.connections);
                let mut unread = [0; 64];
                while matches!(socket.read(&mut unread).await, Ok(count) if count > 0) {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Calls whose messages come byte by byte.
    async fn slow(&self, stop: &AtomicBool) -> io::Result<()> {
        let mut socket = TcpStream::connect(&self.address).await?;
        one(&self.connections);
        send(&mut socket, HELLO).await?;
        let streams = (0..SLOW_STREAMS).map(|number| 2 * number + 1);
        for stream in streams.clone() {
            let mut bytes = call(stream, STREAM, &self.greedy_key);
            bytes.extend(data(stream, MESSAGE_HEAD));
            send(&mut socket, &bytes).await?;
            one(&self.calls);
        }
        while !stop.load(Ordering::Relaxed) {
            let drops: Vec<u8> = streams.clone().flat_map(|stream| data(stream, &[0])).collect();
            send(&mut socket, &drops).await?;
            tokio::time::sleep(DRIP).await;
        }
        Ok(())
    }

    /// Messages and metadata beyond what is taken.
    async fn oversized(&self, stop: &AtomicBool) -> Result<(), Error> {
        let client = connect(&self.greedy, 1).await?.vouchers.remove(0);
        one(&self.connections);
        let mut calling = JoinSet::new();
        let (packed, long) = (Bytes::from(vec![0; LARGE_MESSAGE]), "x".repeat(LARGE_METADATA));
        while !stop.load(Ordering::Relaxed) {
            while calling.len() < STREAMS {
                let (mut client, large) = (client.clone(), calling.len() % 2 == 0);
                let frame = Frame {
                    packed: if large { packed.clone() } else { Bytes::new() },
                    ..Frame::default()
                };
                let mut request = Request::new(frame);
                if !large {
                    let long = long.parse().expect("plain text");
                    request.metadata_mut().insert("x-long", long);
                }
                calling.spawn(async move { client.submit(request).await.is_err() });
            }
            let refused = calling.join_next().await;
            one(&self.calls);
            if let Some(Ok(true)) = refused {
                one(&self.refused);
            }
        }
        Ok(())
    }

    /// Calls with tokens that nobody has.
    async fn bad_tokens(&self, number: usize, stop: &AtomicBool) -> Result<(), Error> {
        let endpoint = Channel::from_shared(format!("http://{}", self.address));
        let endpoint = endpoint.map_err(|error| Error::Engine(error.to_string()))?;
        let channel = endpoint.connect().await;
        let channel = channel.map_err(|error| Error::Engine(error.to_string()))?;
        one(&self.connections);
        let mut calling = JoinSet::new();
        let mut count = 0u64;
        while !stop.load(Ordering::Relaxed) {
            while calling.len() < STREAMS {
                count += 1;
                let token = house::api_key(&format!("nobody {number} {count}"));
                let mut request = Request::new(GetStatusRequest {});
                let header = format!("Bearer {token}").parse().expect("plain text");
                request.metadata_mut().insert("authorization", header);
                let mut client = OperatorClient::new(channel.clone());
                calling.spawn(async move { client.get_status(request).await.is_err() });
            }
            let refused = calling.join_next().await;
            one(&self.calls);
            if let Some(Ok(true)) = refused {
                one(&self.refused);
            }
        }
        Ok(())
    }

    /// The same frame again and again, on streams whose acks are read or not.
    async fn flood(&self, packed: Bytes, reads: bool, stop: &AtomicBool) -> Result<(), Error> {
        let client = connect(&self.greedy, 1).await?.vouchers.remove(0);
        one(&self.connections);
        let streams = (0..STREAMS).map(|_| {
            let next = || Some(packed.clone());
            self.stream(client.clone(), next, (Duration::ZERO, reads), stop)
        });
        join(streams).await;
        Ok(())
    }

    /// Good vouchers, each of which is credited, on one connection of those who bring them.
    async fn good(&self, number: usize, stop: &AtomicBool) -> Result<(), Error> {
        let client = connect(&self.greedy, 1).await?.vouchers.remove(0);
        one(&self.connections);
        let streams = (0..GREEDY_STREAMS).map(|stream| {
            let place = number * GREEDY_STREAMS + stream;
            let next = move || {
                let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
                signed.get_mut(place).and_then(VecDeque::pop_front)
            };
            self.stream(client.clone(), next, (GREEDY_EVERY, true), stop)
        });
        join(streams).await;
        Ok(())
    }

    /// One stream of frames.
    async fn stream(
        &self,
        mut client: Vouchers,
        mut next: impl FnMut() -> Option<Bytes>,
        (every, reads): (Duration, bool),
        stop: &AtomicBool,
    ) {
        let (frames_in, frames) = tokio::sync::mpsc::channel(READY_FRAMES);
        let sending = async {
            let mut at = tokio::time::Instant::now();
            while !stop.load(Ordering::Relaxed)
                && let Some(packed) = next()
            {
                let frame = Frame { frame_id: 1, packed, ..Frame::default() };
                if frames_in.send(frame).await.is_err() {
                    return;
                }
                one(&self.frames);
                at += every;
                if !every.is_zero() {
                    tokio::time::sleep_until(at).await;
                }
            }
            drop(frames_in);
        };
        let frames = tokio_stream::wrappers::ReceiverStream::new(frames);
        let acked = async {
            let Ok(answer) = client.stream(frames).await else { return };
            let mut acks = answer.into_inner();
            while !reads && !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(AGAIN).await;
            }
            while reads && matches!(acks.message().await, Ok(Some(_))) {}
        };
        tokio::join!(sending, acked);
    }
}

/// All of these, side by side.
async fn join<F: Future<Output = ()>>(futures: impl Iterator<Item = F>) {
    let mut all: Vec<_> = futures.map(|future| Some(Box::pin(future))).collect();
    std::future::poll_fn(|cx| {
        for place in &mut all {
            if place.as_mut().is_some_and(|future| future.as_mut().poll(cx).is_ready()) {
                *place = None;
            }
        }
        match all.iter().all(Option::is_none) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}
