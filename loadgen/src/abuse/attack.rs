//! What is done to an engine, kind by kind, until it is told to stop.

use super::house::House;
use super::wire::{HALF_A_WORD, HELLO, MESSAGE_HEAD, call, data, send};
use super::{AbuseKind, house};
use crate::args::FloodKind;
use crate::error::Error;
use crate::flood::Maker;
use crate::setup::{Vouchers, connect};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tallystick_client::Way;
use tallystick_proto::v1::operator_client::OperatorClient;
use tallystick_proto::v1::{Frame, GetStatusRequest};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::Channel;

const STREAM: &str = "/tallystick.v1.Vouchers/Stream";
/// Connections of all kinds but `idle`.
const CONNECTIONS: usize = 8;
/// Streams, or calls at once, on each.
const STREAMS: usize = 8;
/// Of the one who brings good vouchers.
const GREEDY_CONNECTIONS: usize = 16;
const GREEDY_FRAME: u64 = 256;
/// Connections of `slow-writers`, and calls on each.
const SLOW_CONNECTIONS: usize = 64;
const SLOW_STREAMS: u32 = 16;
/// How often a byte comes on each call, and how often who was put out comes again.
const DRIP: Duration = Duration::from_millis(200);
const AGAIN: Duration = Duration::from_millis(50);
/// Connections that one task keeps open.
const IDLE_A_TASK: usize = 100;
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
    address: String,
    greedy: Way,
    greedy_key: String,
    maker: Arc<Maker>,
    connections: AtomicU64,
    frames: AtomicU64,
    calls: AtomicU64,
    refused: AtomicU64,
    /// The next lane of the greedy one's channels.
    lanes: AtomicU64,
}

/// Rises by one.
fn one(counter: &AtomicU64) {
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
            greedy: house.greedy.clone(),
            greedy_key: house.greedy_key.clone(),
            maker: house.maker.clone(),
            connections: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            lanes: AtomicU64::new(1 << 20),
        })
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
        let mut tasks = JoinSet::new();
        for kind in self.kinds() {
            self.begin(*kind, &mut tasks, &stop);
        }
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
            AbuseKind::BadSignatures,
            AbuseKind::UnknownSigners,
            AbuseKind::Stale,
            AbuseKind::Greedy,
        ];
        if self.kind == AbuseKind::All { ALL } else { std::slice::from_ref(&self.kind) }
    }

    fn begin(self: &Arc<Self>, kind: AbuseKind, tasks: &mut JoinSet<()>, stop: &Arc<AtomicBool>) {
        let frames = match kind {
            AbuseKind::SlowReaders | AbuseKind::BadSignatures => FloodKind::BadSignature,
            AbuseKind::UnknownSigners => FloodKind::Unknown,
            AbuseKind::Idle
            | AbuseKind::SlowWriters
            | AbuseKind::Oversized
            | AbuseKind::BadTokens
            | AbuseKind::Stale
            | AbuseKind::Greedy
            | AbuseKind::All => FloodKind::Stale,
        };
        let count = match kind {
            AbuseKind::Idle => self.idle.div_ceil(IDLE_A_TASK),
            AbuseKind::SlowWriters => SLOW_CONNECTIONS,
            AbuseKind::Greedy => GREEDY_CONNECTIONS,
            AbuseKind::SlowReaders
            | AbuseKind::Oversized
            | AbuseKind::BadTokens
            | AbuseKind::BadSignatures
            | AbuseKind::UnknownSigners
            | AbuseKind::Stale
            | AbuseKind::All => CONNECTIONS,
        };
        for number in 0..count {
            let (own, stop) = (self.clone(), stop.clone());
            let packed = self.maker.flood_frame(frames);
            tasks.spawn(async move {
                // Who is put out comes again, as long as it lasts.
                while !stop.load(Ordering::Relaxed) {
                    let reads = kind != AbuseKind::SlowReaders;
                    match kind {
                        AbuseKind::Idle => drop(own.idle(&stop).await),
                        AbuseKind::SlowWriters => drop(own.slow(&stop).await),
                        AbuseKind::Oversized => drop(own.oversized(&stop).await),
                        AbuseKind::BadTokens => drop(own.bad_tokens(number, &stop).await),
                        AbuseKind::Greedy => drop(own.good(&stop).await),
                        AbuseKind::SlowReaders
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

    /// Some connections that say nothing, or little; each that was closed is opened anew.
    async fn idle(&self, stop: &AtomicBool) -> io::Result<()> {
        let mut open: Vec<Option<TcpStream>> = (0..IDLE_A_TASK).map(|_| None).collect();
        while !stop.load(Ordering::Relaxed) {
            for (number, place) in open.iter_mut().enumerate() {
                let mut byte = [0; 64];
                let closed = place.as_ref().is_none_or(|socket| match socket.try_read(&mut byte) {
                    Ok(count) => count == 0,
                    Err(error) => error.kind() != io::ErrorKind::WouldBlock,
                });
                if closed {
                    *place = None;
                    let socket = TcpStream::connect(&self.address).await?;
                    let words: [&[u8]; 3] = [b"", HALF_A_WORD, HELLO];
                    let _ = socket.try_write(words[number % words.len()]);
                    one(&self.connections);
                    *place = Some(socket);
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
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
            self.stream(client.clone(), next, reads, stop)
        });
        join(streams).await;
        Ok(())
    }

    /// Good vouchers, each of which is credited.
    async fn good(&self, stop: &AtomicBool) -> Result<(), Error> {
        let client = connect(&self.greedy, 1).await?.vouchers.remove(0);
        one(&self.connections);
        let streams = (0..2).map(|_| {
            let first = self.lanes.fetch_add(GREEDY_FRAME, Ordering::Relaxed);
            let mut total = 0;
            let next = move || {
                total += 1;
                Some(self.maker.others_frame(first..first + GREEDY_FRAME, total))
            };
            self.stream(client.clone(), next, true, stop)
        });
        join(streams).await;
        Ok(())
    }

    /// One stream of frames.
    async fn stream(
        &self,
        mut client: Vouchers,
        mut next: impl FnMut() -> Option<Bytes>,
        reads: bool,
        stop: &AtomicBool,
    ) {
        let (frames_in, frames) = tokio::sync::mpsc::channel(READY_FRAMES);
        let sending = async {
            while !stop.load(Ordering::Relaxed)
                && let Some(packed) = next()
            {
                let frame = Frame { frame_id: 1, packed, vouchers: Vec::new() };
                if frames_in.send(frame).await.is_err() {
                    return;
                }
                one(&self.frames);
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
