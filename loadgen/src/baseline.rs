//! The named baseline: how many signatures a second plain ed25519-dalek `verify_strict` checks on
//! this machine, on the very vouchers that are sent. Measured before anything is sent.

use crate::crowd::cores;
use crate::sign::{Signed, Terms};
use ed25519_dalek::{Signature, VerifyingKey};
use std::time::{Duration, Instant};
use tallystick_client::voucher::{Fields, MESSAGE_BYTES, VOUCHER_BYTES};

/// Vouchers that are checked over and over: more than the caches hold, quick to prepare.
const SAMPLE: usize = 1 << 15;
/// Signatures between two looks at the clock.
const STRIDE: usize = 64;

/// Signatures a second by plain `verify_strict`.
#[derive(Debug, Clone, Copy)]
pub struct Baseline {
    /// One core alone.
    pub one_core: u64,
    /// All cores together.
    pub all_cores: u64,
}

struct Case {
    key: VerifyingKey,
    message: [u8; MESSAGE_BYTES],
    signature: Signature,
}

/// Measures both, for so long each. Keys are decompressed and messages made beforehand: only the
/// check itself is counted.
#[must_use]
pub fn measure(terms: &Terms, signed: &[Signed], time: Duration) -> Baseline {
    let per_stream = SAMPLE.div_ceil(signed.len().max(1));
    let cases: Vec<Case> = signed
        .iter()
        .flat_map(|stream| stream.packed.as_chunks::<VOUCHER_BYTES>().0.iter().take(per_stream))
        .map(|packed| {
            let (fields, signature) = Fields::unpack(packed);
            let key = VerifyingKey::from_bytes(&fields.signer).expect("we made the key");
            let message = terms.network.message(&fields);
            Case { key, message, signature: Signature::from_bytes(&signature) }
        })
        .collect();
    Baseline { one_core: rate(&cases, 1, time), all_cores: rate(&cases, cores(), time) }
}

fn rate(cases: &[Case], threads: usize, time: Duration) -> u64 {
    let started = Instant::now();
    let checked: u64 = std::thread::scope(|scope| {
        let run = |thread: usize| scope.spawn(move || check(cases, thread * STRIDE, started, time));
        let threads: Vec<_> = (0..threads).map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("checking cannot panic")).sum()
    });
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    (checked * 1_000).checked_div(millis).unwrap_or(0)
}

/// Checks signatures from the case `from` on, around and around, until the time is over.
fn check(cases: &[Case], from: usize, started: Instant, time: Duration) -> u64 {
    let mut checked = 0;
    if cases.is_empty() {
        return checked;
    }
    let mut around = cases.iter().cycle().skip(from % cases.len());
    while started.elapsed() < time {
        for case in around.by_ref().take(STRIDE) {
            let verdict = case.key.verify_strict(&case.message, &case.signature);
            std::hint::black_box(verdict.is_ok());
            checked += 1;
        }
    }
    checked
}
