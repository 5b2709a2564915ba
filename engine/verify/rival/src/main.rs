//! The `lanes` backend beside the crate `ed25519-simd`, its rival on the same instructions: hot
//! keys and unknown ones, in turn in one run; ratios are taken within a round. `make bench-verify`
//! runs it.
//!
//! Whole-program optimization and the CPU's own instructions are allowed for both, as the rival's
//! documents ask for.
#![allow(clippy::float_arithmetic, reason = "rates and ratios are for people to read")]

#[path = "../../benches/common/mod.rs"]
#[allow(dead_code, reason = "shared with the benches")]
mod common;

use common::{BATCH, Crowd, Work, settle, verifier};
use ed25519_simd::{DalekVerifier, HotKeyCache, KeyCache, VerifyInput};
use std::time::{Duration, Instant};
use tallystick_verify::{Backend, Options};

const ROUNDS: usize = 21;
/// Time that one method gets in one round.
const SLICE: Duration = Duration::from_millis(250);
const HOT_KEYS: usize = 64;
/// Ours sees each of them once a pass, theirs too: none is known when it comes.
const UNKNOWN_KEYS: usize = 200_000;
const UNKNOWN_TABLE_BYTES: usize = 4 << 20;

/// The rival with what it is asked; it says of each signature whether it is valid.
struct Rival<'a, C: KeyCache> {
    verifier: DalekVerifier<C>,
    inputs: Vec<VerifyInput<'a>>,
    out: Vec<bool>,
    at: usize,
}

impl<'a, C: KeyCache> Rival<'a, C> {
    fn new(verifier: DalekVerifier<C>, crowd: &'a Crowd) -> Self {
        let input = |one: &'a common::Signed| VerifyInput {
            public_key: crowd.keys[one.who],
            signature: one.signature,
            message: &one.message,
        };
        let inputs = crowd.signed.iter().map(input).collect();
        Self { verifier, inputs, out: vec![false; BATCH], at: 0 }
    }

    fn step(&mut self) -> usize {
        let end = (self.at + BATCH).min(self.inputs.len());
        let inputs = &self.inputs[self.at..end];
        let out = &mut self.out[..inputs.len()];
        self.verifier.verify_batch(inputs, out);
        assert!(out.iter().all(|valid| *valid), "a verdict is wrong");
        self.at = end % self.inputs.len();
        out.len()
    }
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Both in turn; prints their medians and the median of the ratios.
fn compare(
    what: &str,
    asked: f64,
    mut ours: impl FnMut() -> usize,
    mut rival: impl FnMut() -> usize,
) {
    let rounds: Vec<(f64, f64)> =
        (0..=ROUNDS).map(|_| (rate(&mut ours), rate(&mut rival))).skip(1).collect();
    let (of_ours, of_rival) = rounds.iter().copied().unzip();
    let ratio = median(rounds.iter().map(|(ours, rival)| ours / rival).collect());
    let missed = if ratio < asked { "  MISSED" } else { "" };
    let (of_ours, of_rival) = (median(of_ours), median(of_rival));
    println!("{what:<20}{of_ours:>12.0}{of_rival:>16.0}{ratio:>10.2}{asked:>10.1}{missed}");
}

fn main() {
    if !Backend::Lanes.is_available() {
        println!("No `lanes` here, and nothing that the rival runs on: not compared.");
        return;
    }
    let order: Vec<usize> = (0..HOT_KEYS * BATCH).map(|i| i % HOT_KEYS).collect();
    let hot = Crowd::new(HOT_KEYS, &order);
    let unknown = Crowd::new(UNKNOWN_KEYS, &(0..UNKNOWN_KEYS).collect::<Vec<_>>());
    println!(
        "{:<20}{:>12}{:>16}{:>10}{:>10}",
        "signatures/s", "lanes", "ed25519-simd", "ratio", "asked"
    );

    let ours = verifier(Backend::Lanes, Options::TABLE_BYTES_DEFAULT);
    let keys = hot.register();
    let mut work = [Work::new(&ours, &keys, &hot.signed)];
    settle(&ours, &mut work, 40);
    let mut rival =
        Rival::new(DalekVerifier::with_cache(HotKeyCache::with_capacity(HOT_KEYS)), &hot);
    compare("64 hot keys", 2.0, || work[0].step(BATCH), || rival.step());

    let ours = verifier(Backend::Lanes, UNKNOWN_TABLE_BYTES);
    let keys = unknown.register();
    let mut work = Work::new(&ours, &keys, &unknown.signed);
    let mut rival = Rival::new(DalekVerifier::new(), &unknown);
    compare("unknown keys", 1.2, || work.step(BATCH), || rival.step());
}
