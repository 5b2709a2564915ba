//! The protocol of the replicated journal under one seed: the real owner, its claims, its settling
//! and the real fold of readers, on servers that lose answers, delay, repeat and reorder, answer
//! late or never, and have replicas with holes; with several owners that all believe, and restarts.
//! Beside it a slow model that reads the stream in the plainest way.
//!
//! What must be: whatever was acked counts for every reader, once and in its place; nothing is
//! acked by who began after a successor knew that it had opened; no reader passes a hole; and
//! whoever comes last goes on.
//!
//! Each owner runs on a thread, and moves only when it is its turn: the same seed gives the same
//! stream, byte by byte.

#![forbid(unsafe_code)]

mod dice;
mod model;
mod owners;
mod servers;

use dice::Dice;
use servers::Stage;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tallystick_jetstream::{Broken, Stand, Took};
use tallystick_ledger::types::{Digest, Lsn};

/// Owners that are there at once.
const OWNERS: usize = 3;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Groups that were acked.
    pub acked: u64,
    /// Owners that opened.
    pub opened: u64,
    /// Messages in the stream.
    pub messages: u64,
    /// Of these, such as did not count.
    pub void: u64,
    /// Calls of the servers.
    pub calls: u64,
    /// A digest of the stream.
    pub digest: [u8; 32],
}

impl Figures {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.acked += other.acked;
        self.opened += other.opened;
        self.messages += other.messages;
        self.void += other.void;
        self.calls += other.calls;
    }
}

/// Runs one seed.
///
/// # Errors
/// What must not be.
pub fn run_seed(seed: u64) -> Result<Figures, String> {
    catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.unwrap_or_else(|| "it panicked".into()))
    })
}

fn run(seed: u64) -> Result<Figures, String> {
    let mut dice = Dice::new(seed);
    let stage = Stage::new(dice.split(), OWNERS);
    let acts: Vec<owners::Acts> = std::thread::scope(|scope| {
        let run = |actor| {
            let (stage, dice) = (Arc::clone(&stage), dice.split());
            scope.spawn(move || owners::run(&stage, actor, dice))
        };
        let running: Vec<_> = (0..OWNERS).map(run).collect();
        let ended =
            running.into_iter().map(|of| of.join().map_err(|_| "an owner panicked".to_owned()));
        ended.collect::<Result<_, _>>()
    })?;
    let last = owners::last(&stage, dice.split())?;
    let world = stage.world();
    let (log, counted) = (&world.log, model::read(&world.log)?);
    let mut figures =
        Figures { calls: world.calls, messages: log.len() as u64, ..Figures::default() };
    for act in acts.iter().chain([&last]) {
        figures.opened += act.opened;
        figures.acked += act.acked.len() as u64;
        if let Some(wrong) = act.wrong.first() {
            return Err(wrong.clone());
        }
        for (lsn, link) in act.acked.iter().flatten() {
            // Positions rise by one from 1 on, so that it is there once at most.
            let place = usize::try_from(lsn.0).unwrap_or(usize::MAX) - 1;
            if counted.get(place) != Some(&(*lsn, *link)) {
                return Err(format!("record {lsn} was acked, and no reader counts it"));
            }
        }
    }
    let mut hasher = blake3::Hasher::new();
    for message in log {
        hasher.update(message);
    }
    figures.digest = *hasher.finalize().as_bytes();
    figures.void = readers(log, &counted, &mut dice)?;
    Ok(figures)
}

/// Reads as every reader does, all of it and with holes; how many messages are void.
fn readers(log: &[bytes::Bytes], counted: &model::Counted, dice: &mut Dice) -> Result<u64, String> {
    let (found, void) = read(log, None).map_err(|error| error.to_string())?;
    if found != *counted {
        return Err("a reader counts other records than the model".into());
    }
    for _ in 0..3 {
        let missing = dice.place(log.len());
        let hole = missing as u64 + 1;
        match read(log, Some(missing)) {
            Err(Broken::Hole { seq, .. }) if seq == hole => {}
            // The last one is missing for nobody.
            Ok(_) if missing + 1 == log.len() => {}
            other => {
                return Err(format!("a reader passed hole {hole}: {:?}", other.map(|of| of.1)));
            }
        }
        let mut bytes = log[missing].to_vec();
        let bit = dice.place(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut damaged = log.to_vec();
        damaged[missing] = bytes.into();
        match read(&damaged, None) {
            Err(Broken::Unusable { seq, .. }) if seq == hole => {}
            other => {
                return Err(format!(
                    "a reader took a flipped bit of {hole}: {:?}",
                    other.map(|of| of.1)
                ));
            }
        }
    }
    Ok(void)
}

fn read(log: &[bytes::Bytes], missing: Option<usize>) -> Result<(model::Counted, u64), Broken> {
    let (mut stand, mut found, mut void) = (Stand::START, Vec::<(Lsn, Digest)>::new(), 0);
    for (place, message) in log.iter().enumerate().filter(|(place, _)| Some(*place) != missing) {
        match stand.take(place as u64 + 1, message)? {
            Took::Group(records) => {
                found.extend(records.iter().map(|of| (of.lsn, of.tail().link)));
            }
            Took::Void(_) => void += 1,
            Took::Claim(_) | Took::Passed => {}
        }
    }
    Ok((found, void))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acked_counts_for_every_reader_whatever_the_servers_do() {
        let mut sum = Figures::default();
        for seed in 1..=SEEDS {
            let ran = run_seed(seed).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
            sum.add(&ran);
        }
        // Or it shows nothing.
        assert!(
            sum.acked > 10 * SEEDS && sum.opened > 3 * SEEDS && sum.void > SEEDS / 10,
            "{sum:?}"
        );
    }

    const SEEDS: u64 = 500;

    #[test]
    fn the_same_seed_gives_the_same_stream() {
        for seed in 1..30 {
            assert_eq!(run_seed(seed), run_seed(seed), "seed {seed}");
        }
    }
}
