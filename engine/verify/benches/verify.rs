//! Signatures per second, all methods in one run: each round measures every method once, and ratios
//! are taken within a round, so that what else the machine does meets all alike. Prints a table and
//! writes `target/bench/verify.json`. `make bench-verify` runs it.
#![allow(clippy::float_arithmetic, reason = "rates and ratios are for people to read")]

mod common;

use common::{BATCH, Crowd, Dalek, MESSAGE_BYTES, Signed, Work, settle, verifier};
use rand::SeedableRng as _;
use rand::distr::Distribution as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::Zipf;
use serde_json::{Map, Value, json};
use std::io::IsTerminal as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use tallystick_verify::{Backend, Key, Options, TierStatus, Verdict, Verifier};

const ROUNDS: usize = 11;
/// Time that one method gets in one round.
const SLICE: Duration = Duration::from_millis(250);
const HOT_KEYS: usize = 64;
const ZIPF_KEYS: usize = 10_000;
const ZIPF_SIGNATURES: usize = 1 << 17;
const UNKNOWN_KEYS: usize = 1_000_000;
/// So little that nearly every key of a million is without a table.
const UNKNOWN_TABLE_BYTES: usize = 16 << 20;
const LONE_CALLS: usize = 2_000;
const DALEK_BATCHES: [usize; 4] = [64, 256, 1_024, 4_096];

/// A method's name, and a call that measures it once.
type Method<'a> = (String, Box<dyn FnMut() -> f64 + 'a>);

/// The values of each method, round by round.
struct Measured(Vec<(String, Vec<f64>)>);

/// What `make bench-verify` must show: a name, what it is, and the least (of a latency: the most).
const GOALS: [(&str, &str, f64); 9] = [
    ("lanes_zipf_10k_over_dalek_strict", "lanes, 10 k keys Zipf / dalek verify_strict", 12.0),
    ("lanes_zipf_10k_over_dalek_batch", "lanes, 10 k keys Zipf / dalek's best batch", 4.0),
    ("lanes_hot_over_dalek_strict", "lanes, 64 hot keys / dalek verify_strict", 16.0),
    ("lanes_unknown_over_dalek_batch", "lanes, unknown keys / dalek's best batch", 1.0),
    ("portable_over_dalek_strict", "portable / dalek verify_strict", 1.8),
    ("avx2_over_portable", "avx2 / portable", 2.0),
    ("bad10_ratio", "10 % bad signatures / none", 0.95),
    ("two_core_ratio", "both cores together / one", 1.8),
    ("lone_us", "one signature alone, hot key, us (at most)", 100.0),
];

fn main() {
    let begun = Instant::now();
    warn_if_busy();
    eprintln!(
        "making {UNKNOWN_KEYS} keys and their signatures, and tables for those that return ..."
    );
    let hot =
        Crowd::new(HOT_KEYS, &(0..HOT_KEYS * BATCH).map(|i| i % HOT_KEYS).collect::<Vec<_>>());
    let zipf = Crowd::new(ZIPF_KEYS, &zipf_order());
    let has_lanes = Backend::Lanes.is_available();
    let unknown = has_lanes.then(|| Crowd::new(UNKNOWN_KEYS, &shuffled(UNKNOWN_KEYS)));
    let measured = measure(&hot, &zipf, unknown.as_ref());
    let results = results(&measured);
    print(&measured, &results);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/verify.json");
    std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder is made");
    let text = serde_json::to_string_pretty(&results).expect("it is plain JSON");
    std::fs::write(&path, text + "\n").expect("the results are written");
    println!("\ntarget/bench/verify.json written; {} s in all.", begun.elapsed().as_secs());
}

/// `two_core_ratio` means nothing when another program has one of the cores.
fn warn_if_busy() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minute = load.split(' ').next().and_then(|load| load.parse::<f64>().ok());
    if let Some(busy) = minute.filter(|minute| *minute > 0.5) {
        println!("Other programs kept {busy} cores busy in the last minute: figures will be low.");
    }
}

fn zipf_order() -> Vec<usize> {
    let keys = u32::try_from(ZIPF_KEYS).expect("it fits");
    let zipf = Zipf::new(f64::from(keys), 1.0).expect("its parameters are proper");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut draw = || {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to the keys")]
        let rank = zipf.sample(&mut rng) as usize;
        rank - 1
    };
    (0..ZIPF_SIGNATURES).map(|_| draw()).collect()
}

fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(2));
    order
}

/// The same, with each tenth signature bad: half of them in s, half in R.
fn with_bad_tenth(signed: &[Signed]) -> Vec<Signed> {
    let mut signed = signed.to_vec();
    for (place, one) in signed.iter_mut().enumerate().filter(|(place, _)| place % 10 == 3) {
        one.signature[if place % 20 == 3 { 32 } else { 0 }] ^= 1;
        one.verdict = Verdict::Bad;
    }
    signed
}

/// Signatures per second of what `step` does again and again for a slice of time.
fn rate(mut step: impl FnMut() -> usize) -> f64 {
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < SLICE {
        done += step();
    }
    done as f64 / started.elapsed().as_secs_f64()
}

/// A verifier and its keys, which live as long as the work with them.
struct Place {
    verifier: Verifier,
    keys: Vec<Key>,
}

impl Place {
    fn new(backend: Backend, table_bytes: usize, crowd: &Crowd) -> Self {
        Self { verifier: verifier(backend, table_bytes), keys: crowd.register() }
    }

    fn work<'a>(&'a self, signed: &'a [Signed]) -> Work<'a> {
        Work::new(&self.verifier, &self.keys, signed)
    }

    /// Two threads' work, a half each, after it was done until the tables stay as they are.
    fn settled<'a>(&'a self, signed: &'a [Signed], passes: usize) -> [Work<'a>; 2] {
        let (half, other_half) = signed.split_at(signed.len() / 2);
        let mut pair = [half, other_half].map(|half| self.work(half));
        settle(&self.verifier, &mut pair, passes);
        pair
    }
}

fn measure(hot: &Crowd, zipf: &Crowd, unknown: Option<&Crowd>) -> Measured {
    // What is not named after a backend is of the one that this machine takes by itself.
    let best = Backend::detect();
    let bad = with_bad_tenth(&zipf.signed);
    let dalek = zipf.for_dalek();
    let hot_place = Place::new(best, Options::TABLE_BYTES_DEFAULT, hot);
    let zipf_place = Place::new(best, Options::TABLE_BYTES_DEFAULT, zipf);
    let portable_place = Place::new(Backend::Portable, Options::TABLE_BYTES_DEFAULT, zipf);
    let unknown_place = unknown.map(|unknown| Place::new(best, UNKNOWN_TABLE_BYTES, unknown));
    hot_place.settled(&hot.signed, 40);
    let mut pair = zipf_place.settled(&zipf.signed, 40);
    portable_place.settled(&zipf.signed, 20);
    let avx2_place = Backend::Avx2
        .is_available()
        .then(|| Place::new(Backend::Avx2, Options::TABLE_BYTES_DEFAULT, zipf));
    avx2_place.iter().for_each(|place| drop(place.settled(&zipf.signed, 20)));
    if let (Some(place), Some(unknown)) = (&unknown_place, unknown) {
        // Five times each: by then every key has earned a table that the budget has no room for.
        (0..5).for_each(|_| drop(place.settled(&unknown.signed, 1)));
    }
    print_tables("hot", &hot_place.verifier);
    print_tables("zipf", &zipf_place.verifier);
    print_tables("portable", &portable_place.verifier);
    avx2_place.iter().for_each(|place| print_tables("avx2", &place.verifier));
    unknown_place.iter().for_each(|place| print_tables("unknown", &place.verifier));

    let mut methods: Vec<Method<'_>> = Vec::new();
    let mut add = |name: &str, method| methods.push((name.to_owned(), method));
    add("hot", stepping(hot_place.work(&hot.signed)));
    add("zipf", stepping(zipf_place.work(&zipf.signed)));
    let mut bad_work = zipf_place.work(&bad);
    add("bad10", Box::new(move || flood(&mut bad_work)));
    add("two_cores", Box::new(|| two_cores(&mut pair)));
    let mut lone = hot_place.work(&hot.signed);
    add("lone_us", Box::new(move || lone_us(&mut lone)));
    if let (Some(place), Some(unknown)) = (&unknown_place, unknown) {
        add("unknown", stepping(place.work(&unknown.signed)));
    }
    add("portable", stepping(portable_place.work(&zipf.signed)));
    if let Some(place) = &avx2_place {
        add("avx2", stepping(place.work(&zipf.signed)));
    }
    add("dalek_strict", strict(&dalek));
    for size in DALEK_BATCHES {
        if let Some(method) = dalek_batch(&dalek, size) {
            add(&format!("dalek_batch_{size}"), method);
        }
    }
    rounds(methods)
}

/// After a quiet time a burst of rejects is confirmed by the reference, all at once. That is let
/// pass first: what a flood costs while it lasts is asked.
fn flood(work: &mut Work<'_>) -> f64 {
    for _ in 0..100 {
        work.step(BATCH);
    }
    rate(|| work.step(BATCH))
}

fn stepping(mut work: Work<'_>) -> Box<dyn FnMut() -> f64 + '_> {
    Box::new(move || rate(|| work.step(BATCH)))
}

fn rounds(mut methods: Vec<Method<'_>>) -> Measured {
    let mut measured = Measured(methods.iter().map(|(name, _)| (name.clone(), vec![])).collect());
    // The first round warms caches and is not counted.
    for round in 0..=ROUNDS {
        if std::io::stderr().is_terminal() {
            eprint!("\rround {round} of {ROUNDS}\r");
        }
        let values: Vec<f64> = methods.iter_mut().map(|(_, method)| method()).collect();
        if round > 0 {
            for ((_, list), value) in measured.0.iter_mut().zip(values) {
                list.push(value);
            }
        }
    }
    measured
}

/// Both threads' signatures per second, at the same time.
fn two_cores(pair: &mut [Work<'_>; 2]) -> f64 {
    thread::scope(|scope| {
        let threads = pair.each_mut().map(|work| scope.spawn(|| rate(|| work.step(BATCH))));
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    })
}

/// Median of the times that calls with one signature take, in microseconds.
fn lone_us(work: &mut Work<'_>) -> f64 {
    let call = |_| {
        let started = Instant::now();
        work.step(1);
        started.elapsed().as_secs_f64() * 1e6
    };
    median((0..LONE_CALLS).map(call).collect())
}

fn strict<'a>(dalek: &'a Dalek<'_>) -> Box<dyn FnMut() -> f64 + 'a> {
    let mut next = (0..dalek.keys.len()).cycle();
    Box::new(move || {
        rate(|| {
            let valid = next.by_ref().take(64).all(|i| dalek.strict(i));
            assert!(valid, "a verdict is wrong");
            64
        })
    })
}

#[cfg(feature = "dalek-batch")]
fn dalek_batch<'a>(dalek: &'a Dalek<'_>, size: usize) -> Option<Box<dyn FnMut() -> f64 + 'a>> {
    let mut next = (0..dalek.keys.len()).step_by(size).cycle();
    Some(Box::new(move || {
        rate(|| {
            let start = next.next().expect("it never ends");
            let (signatures, keys) = (&dalek.signatures[start..], &dalek.keys[start..]);
            let messages = &dalek.messages[start..][..size];
            let all = ed25519_dalek::verify_batch(messages, &signatures[..size], &keys[..size]);
            assert!(all.is_ok(), "a verdict is wrong");
            size
        })
    }))
}

#[cfg(not(feature = "dalek-batch"))]
fn dalek_batch<'a>(_: &'a Dalek<'_>, _: usize) -> Option<Box<dyn FnMut() -> f64 + 'a>> {
    None
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Measured {
    fn rounds(&self, name: &str) -> Option<&[f64]> {
        self.0.iter().find(|(one, _)| one == name).map(|(_, values)| &values[..])
    }

    fn median(&self, name: &str) -> Option<f64> {
        self.rounds(name).map(|values| median(values.to_vec()))
    }

    /// Median of the ratios that each round shows.
    fn ratio(&self, over: &str, under: &str) -> Option<f64> {
        let both = self.rounds(over)?.iter().zip(self.rounds(under)?);
        Some(median(both.map(|(over, under)| over / under).collect()))
    }

    /// The fastest of dalek's batches.
    fn dalek_batch(&self) -> Option<String> {
        let names = DALEK_BATCHES.map(|size| format!("dalek_batch_{size}")).into_iter();
        names
            .filter_map(|name| Some((self.median(&name)?, name)))
            .max_by(|one, other| one.0.total_cmp(&other.0))
            .map(|(_, name)| name)
    }
}

fn rounded(value: Option<f64>, unit: f64) -> Value {
    value.map_or(Value::Null, |value| json!((value / unit).round() * unit))
}

fn results(measured: &Measured) -> Map<String, Value> {
    // Of `hot` and the like only a run of `lanes` may bear its name.
    let has_lanes = Backend::Lanes.is_available();
    let of_lanes = |name: &str| measured.median(name).filter(|_| has_lanes);
    let lanes_over = |name: &str, under: &str| measured.ratio(name, under).filter(|_| has_lanes);
    let batch = measured.dalek_batch().unwrap_or_default();
    let fraction =
        |value: Option<f64>| value.map_or(Value::Null, |value| json!((value * 1e3).round() / 1e3));
    let whole = |value| rounded(value, 1.0);
    let pairs = [
        ("cpu", json!(cpu())),
        ("backend", json!(Backend::detect().name())),
        ("lanes_hot", whole(of_lanes("hot"))),
        ("lanes_zipf_10k", whole(of_lanes("zipf"))),
        ("lanes_unknown", whole(of_lanes("unknown"))),
        ("portable", whole(measured.median("portable"))),
        ("avx2", whole(measured.median("avx2"))),
        ("dalek_strict", whole(measured.median("dalek_strict"))),
        ("dalek_batch_best", whole(measured.median(&batch))),
        ("dalek_batch_size", json!(batch.rsplit('_').next().and_then(|n| n.parse::<u64>().ok()))),
        ("bad10_ratio", fraction(measured.ratio("bad10", "zipf"))),
        ("two_core_ratio", fraction(measured.ratio("two_cores", "zipf"))),
        ("lone_us", fraction(measured.median("lone_us"))),
        ("lanes_zipf_10k_over_dalek_strict", fraction(lanes_over("zipf", "dalek_strict"))),
        ("lanes_zipf_10k_over_dalek_batch", fraction(lanes_over("zipf", &batch))),
        ("lanes_hot_over_dalek_strict", fraction(lanes_over("hot", "dalek_strict"))),
        ("lanes_unknown_over_dalek_batch", fraction(lanes_over("unknown", &batch))),
        ("portable_over_dalek_strict", fraction(measured.ratio("portable", "dalek_strict"))),
        ("avx2_over_portable", fraction(measured.ratio("avx2", "portable"))),
        ("rounds", json!(ROUNDS)),
        ("message_bytes", json!(MESSAGE_BYTES)),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1)).unwrap_or(std::env::consts::ARCH);
    let ifma = if Backend::Lanes.is_available() { "with" } else { "without" };
    format!("{model}, {ifma} AVX-512 IFMA")
}

fn print_tables(name: &str, verifier: &Verifier) {
    let status = verifier.status();
    let of = |tier: TierStatus| format!("{} of {}", tier.tables, tier.capacity);
    let (small, large, hot) = (of(status.small), of(status.large), of(status.hot));
    println!("{name}, {}: {small} small tables, {large} large, {hot} hot", status.backend);
}

fn print(measured: &Measured, results: &Map<String, Value>) {
    println!("{}; backend {}", cpu(), Backend::detect().description());
    if !Backend::Lanes.is_available() {
        println!(
            "No `lanes` here: hot, zipf, bad10, two_cores and lone_us are of the other backend."
        );
    }
    println!("{:<20}{:>12}{:>12}{:>12}", "signatures/s", "median", "lowest", "highest");
    for (name, values) in &measured.0 {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        let digits = if name == "lone_us" { 1 } else { 0 };
        let median = median(values.clone());
        println!("{name:<20}{median:>12.digits$}{low:>12.digits$}{high:>12.digits$}");
    }
    println!("\n{:<50}{:>10}{:>10}", "goal", "asked", "found");
    for (name, what, asked) in GOALS {
        match results[name].as_f64() {
            None => println!("{what:<50}{asked:>10}{:>10}", "-"),
            Some(found) => {
                let met = if name == "lone_us" { found <= asked } else { found >= asked };
                println!("{what:<50}{asked:>10}{found:>10.2}{}", if met { "" } else { "  MISSED" });
            }
        }
    }
}
