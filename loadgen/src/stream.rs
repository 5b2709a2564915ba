//! Sends the signed vouchers and reads the acks, on many streams at once.
//!
//! Owns pacing, latency and the comparison of every outcome byte with the expected one. Closed
//! loop: each ack makes room for the next frame, and latency counts from the send. Open loop: a
//! schedule says when each frame is due, and latency counts from there, sent late or not, so that a
//! stall of the engine is seen by every frame that it held up (no coordinated omission). A takeover
//! is a stall like any other: of several addresses a stream goes on at the next owner's.

mod one;

use crate::error::Error;
use crate::progress::Progress;
use crate::setup::Clients;
use crate::sign::Signed;
use hdrhistogram::Histogram;
use one::Stream;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tallystick_proto::v1::Frame;
use tokio::sync::mpsc;

/// How long a stream waits for an ack before it calls the engine dead. Longer than any stall that
/// is worth measuring.
const PATIENCE: Duration = Duration::from_secs(120);
/// Largest latency that the histogram tells apart, in microseconds: what patience allows.
const LATENCY_MAX_US: u64 = 120_000_000;

/// How to send.
#[derive(Debug, Clone)]
pub struct Sending {
    /// Vouchers in one frame.
    pub frame: usize,
    /// Frames under way on one stream.
    pub depth: usize,
    /// Vouchers a second over all streams; `None` is the closed loop.
    pub rate: Option<u64>,
    /// Once it is true no frame is sent any more, and what is under way is waited for.
    pub stop: Arc<AtomicBool>,
    /// Whether the answers tell of each frame when it was due, and how long its ack took.
    pub timeline: bool,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Frames acked.
    pub frames: u64,
    /// From the first send to the last ack.
    pub elapsed: Duration,
    /// Latency of frames, in microseconds.
    pub latency: Histogram<u64>,
    /// Vouchers that were acked, by stream: the first so many of its own.
    pub acked: BTreeMap<usize, usize>,
    /// If it was asked for: when each frame was due, and its latency.
    pub timeline: Vec<(Instant, Duration)>,
    /// Vouchers by outcome byte.
    pub outcomes: BTreeMap<u8, u64>,
    /// Vouchers whose outcome was not the expected one.
    pub unexpected: u64,
    /// The first of them, in full.
    pub first_unexpected: Option<String>,
    /// Connections that broke, after which a stream went on at another one.
    pub broken: u64,
    /// Vouchers that were sent again then.
    pub sent_again: u64,
}

impl Default for Answers {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3);
        Self {
            frames: 0,
            elapsed: Duration::ZERO,
            latency: latency.expect("the bounds are sound"),
            acked: BTreeMap::new(),
            timeline: Vec::new(),
            outcomes: BTreeMap::new(),
            unexpected: 0,
            first_unexpected: None,
            broken: 0,
            sent_again: 0,
        }
    }
}

impl Answers {
    fn merge(&mut self, other: Self) {
        self.frames += other.frames;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.latency.add(&other.latency).expect("histograms have the same bounds");
        self.acked.extend(other.acked);
        self.timeline.extend(other.timeline);
        for (byte, count) in other.outcomes {
            *self.outcomes.entry(byte).or_default() += count;
        }
        self.unexpected += other.unexpected;
        self.first_unexpected = self.first_unexpected.take().or(other.first_unexpected);
        self.broken += other.broken;
        self.sent_again += other.sent_again;
    }

    /// A frame that was due at `due` was acked `now`.
    fn record_latency(&mut self, due: Instant, now: Instant) {
        let micros = now.saturating_duration_since(due).as_micros();
        self.latency.saturating_record(u64::try_from(micros).unwrap_or(u64::MAX).max(1));
    }
}

/// Sends everything; ends when every frame is acked.
///
/// # Errors
/// When a stream breaks, of several addresses for good, or the engine breaks the contract of acks.
pub async fn send_all(
    clients: &Clients,
    signed: &[Signed],
    sending: Sending,
    progress: Arc<Progress>,
) -> Result<Answers, Error> {
    let lengths: Vec<usize> = signed.iter().map(|stream| stream.expected.len()).collect();
    let schedule = sending.rate.map(|rate| schedule(&lengths, sending.frame, rate));
    let start = Instant::now();
    let dues = match schedule {
        None => signed.iter().map(|_| Due::AtOnce).collect(),
        Some(schedule) => pace(schedule, &lengths, start),
    };
    let mut streams = tokio::task::JoinSet::new();
    for (index, (signed, due)) in signed.iter().zip(dues).enumerate() {
        let stream = Stream {
            index,
            signed: signed.clone(),
            sending: sending.clone(),
            start,
            client: clients.vouchers[index % clients.vouchers.len()].clone(),
            link: clients.links[index % clients.links.len()].clone(),
            way: clients.way.clone(),
            progress: progress.clone(),
        };
        streams.spawn(stream.run(due));
    }
    let mut answers = Answers::default();
    while let Some(ended) = streams.join_next().await {
        answers.merge(ended.expect("a stream's task does not panic")?);
    }
    Ok(answers)
}

/// When the frames of one stream are due.
enum Due {
    /// Whenever there is room.
    AtOnce,
    /// At the instants that the pacer sends.
    Paced(mpsc::Receiver<Instant>),
}

impl Due {
    async fn next(&mut self) -> Instant {
        match self {
            Self::AtOnce => Instant::now(),
            Self::Paced(due) => due.recv().await.expect("the pacer knows every frame"),
        }
    }
}

/// When every frame is due, after the start, in order of time. Each stream gets the part of the
/// rate that is its part of the vouchers, so that all end together; and streams take turns.
fn schedule(lengths: &[usize], frame: usize, rate: u64) -> Vec<(Duration, usize)> {
    let wide = |n: usize| u128::try_from(n).expect("a count fits 128 bits");
    let all: u128 = lengths.iter().map(|&length| wide(length)).sum();
    let mut due = Vec::new();
    for (stream, &length) in lengths.iter().enumerate().filter(|&(_, &length)| length > 0) {
        let after = |vouchers: u128| {
            let nanos = vouchers * all * 1_000_000_000 / (u128::from(rate) * wide(length));
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        let turn = wide(stream) * wide(frame) / wide(lengths.len());
        let frames = (0..length).step_by(frame);
        due.extend(frames.map(|vouchers| (after(wide(vouchers) + turn), stream)));
    }
    due.sort_unstable();
    due
}

/// Starts the thread that wakes the streams when their frames are due: the runtime's own timers are
/// a millisecond coarse, as long as a whole ack may take.
fn pace(schedule: Vec<(Duration, usize)>, lengths: &[usize], start: Instant) -> Vec<Due> {
    // Room for every frame, so that a slow stream never delays the others.
    let (wakers, dues): (Vec<_>, Vec<_>) =
        lengths.iter().map(|&length| mpsc::channel(length.max(1))).unzip();
    std::thread::spawn(move || {
        for (after, stream) in schedule {
            let due = start + after;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if wakers[stream].try_send(due).is_err() {
                // The stream broke; the run ends with its error.
                break;
            }
        }
    });
    dues.into_iter().map(Due::Paced).collect()
}

/// How many frames of `size` vouchers a stream has.
fn frames(signed: &Signed, size: usize) -> usize {
    signed.expected.len().div_ceil(size)
}

/// One of them; its id is its number.
fn frame(signed: &Signed, size: usize, number: usize) -> Frame {
    let to = signed.expected.len().min((number + 1) * size);
    let id = u64::try_from(number).expect("frames are counted in 64 bits");
    signed.frame(id, number * size..to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_client::voucher::VOUCHER_BYTES;

    #[test]
    fn open_loop_latency_counts_from_the_intended_time() {
        let start = Instant::now();
        let due = |ms| start + Duration::from_millis(ms);
        let mut answers = Answers::default();
        // Frames are due every 10 ms; the engine stalls for a second and then acks all at once.
        for frame in 0..100 {
            answers.record_latency(due(frame * 10), due(1_000));
        }
        // Measured from late sends this would be one slow frame; it is all of them.
        let p50 = answers.latency.value_at_quantile(0.5);
        assert!((500_000..=512_000).contains(&p50), "p50 {p50}");
        assert!(answers.latency.max() >= 1_000_000);
        // An ack cannot come before its frame; a clock that says so gives the smallest latency.
        answers.record_latency(due(5), due(1));
        assert_eq!(answers.latency.min(), 1);
    }

    #[test]
    fn streams_share_the_rate_by_their_length_and_take_turns() {
        let due = schedule(&[3_000, 1_000, 0], 100, 4_000);
        assert_eq!(due.len(), 40);
        assert!(due.is_sorted());
        let of = |stream| -> Vec<u128> {
            due.iter().filter(|(_, s)| *s == stream).map(|(at, _)| at.as_millis()).collect()
        };
        // 3,000 vouchers a second on the first, 1,000 on the second: one second each.
        assert_eq!(of(0)[..4], [0, 33, 66, 100]);
        assert_eq!(of(0).last(), Some(&966));
        assert_eq!(of(1)[..3], [33, 133, 233]);
        assert_eq!(of(1).last(), Some(&933));
        assert!(of(2).is_empty());
    }

    #[test]
    fn frames_cover_every_voucher_once() {
        let bytes: Vec<u8> =
            (0..10 * VOUCHER_BYTES).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let signed = Signed { packed: bytes.clone().into(), bundle: 1, expected: vec![1; 10] };
        for size in [1, 3, 5, 10, 11] {
            let numbers = 0..frames(&signed, size);
            let sent: Vec<u8> = numbers.flat_map(|n| frame(&signed, size, n).packed).collect();
            assert_eq!(sent, bytes, "frames of {size}");
        }
    }
}
