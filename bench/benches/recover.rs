//! How long a start takes: a checkpoint of many channels, and the replay of the records behind it.
//! On a real directory, with everything that a start checks. Prints one JSON line a case, medians
//! of `ROUNDS`.
//!
//! Signatures are not checked again at a start, so these vouchers carry none.

#![forbid(unsafe_code)]

use std::path::Path;
use std::time::{Duration, Instant};
use tallystick::journal::rocks::{self, RocksLog};
use tallystick::journal::{Chain, Journal, Log as _};
use tallystick::ledger::Genesis;
use tallystick::ledger::{Caller, Request, Wish};
use tallystick::pipeline::{self, PipelineOptions, recover};
use tallystick::types::{Amount, Digest, MONEY_MAX, PartyId, SignerKey, Timestamp, Total, Voucher};
use tallystick::verify::{Options, Verifier};
use tallystick_bench::{ASSET, EXPIRES_AT, NETWORK, NOW_US, PAYERS, World};

const ROUNDS: usize = 5;
const FRAME: usize = 4_096;
const GROUP: usize = 64;
const AT: Timestamp = Timestamp(NOW_US);

fn main() {
    // `cargo test --benches` runs this too; it has nothing to test.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let world = World::default();
    for shards in [1, 2] {
        tail(&world, shards, 100_000, 4_000_000);
    }
    for shards in [1, 2] {
        checkpointed(&world, shards, 1_000_000, 200_000);
    }
}

fn genesis() -> Genesis {
    Genesis { network: NETWORK, lifetime_seconds_max: i64::MAX / 2 }
}

/// Writes a journal in which so many vouchers raise so many channels in turn.
struct Writer {
    journal: Journal<RocksLog>,
    chain: Chain,
    at: Timestamp,
    signers: Vec<SignerKey>,
    payees: Vec<PartyId>,
}

impl Writer {
    fn new(world: &World, dir: &Path) -> Self {
        let mut journal = rocks::open(dir).expect("a new journal");
        let mut chain = Chain::start();
        let mut group = vec![chain.frame_genesis(1, AT, &genesis())];
        group.extend(world.facts().iter().map(|fact| chain.frame_fact(1, AT, fact)));
        journal.log.append(&group).expect("it is written");
        Self::on(world, journal, chain, AT)
    }

    /// Behind what is there.
    fn reopen(world: &World, dir: &Path) -> Self {
        let mut journal = rocks::open(dir).expect("it opens");
        let epoch = journal.log.epoch();
        let state = recover(&mut journal, epoch, 1, || (genesis(), AT)).expect("it is whole");
        // The engine that made the checkpoint wrote a record, a little later than all before.
        let at = Timestamp(NOW_US + 3_600_000_000);
        Self::on(world, journal, Chain::after(state.tail(), at), at)
    }

    fn on(world: &World, journal: Journal<RocksLog>, chain: Chain, at: Timestamp) -> Self {
        let signers = (0..PAYERS).map(|n| world.signer(n)).collect();
        let payees = (0..PAYERS).map(|n| world.payee_of(n)).collect();
        Self { journal, chain, at, signers, payees }
    }

    fn vouchers(&mut self, channels: usize, from: usize, count: usize) {
        let frames = (from..from + count).step_by(FRAME);
        let mut group = Vec::new();
        for first in frames {
            let frame: Vec<u8> = (first..(first + FRAME).min(from + count))
                .flat_map(|n| self.voucher(n % channels, n / channels))
                .collect();
            group.push(self.chain.frame_vouchers(1, self.at, &[&frame]));
            if group.len() == GROUP {
                self.journal.log.append(&group).expect("it is written");
                group.clear();
            }
        }
        if !group.is_empty() {
            self.journal.log.append(&group).expect("it is written");
        }
    }

    fn voucher(&self, channel: usize, round: usize) -> [u8; 160] {
        // Scattered, so that neighbours in a frame are not neighbours in memory.
        let scattered = channel.wrapping_mul(7_919);
        let (payer, lane) = (scattered % PAYERS, channel / PAYERS);
        let number = |n: usize| u64::try_from(n).expect("a number fits 64 bits");
        Voucher {
            signer: self.signers[payer],
            payee: self.payees[payer],
            asset: ASSET,
            lane: number(lane),
            expires_at: EXPIRES_AT,
            cumulative: Amount(number(round) + 1),
            signature: [7; 64],
        }
        .pack()
    }

    fn close(mut self) {
        self.journal.log.remember(self.chain.tail()).expect("it is written");
    }
}

/// Times opening and recovering, `ROUNDS` times; returns the medians, with what the last one held.
fn recovered(dir: &Path, shards: u16) -> (Duration, Duration, usize, u64) {
    let (mut opens, mut recovers, mut held) = (Vec::new(), Vec::new(), (0, 0));
    for _ in 0..ROUNDS {
        let clock = Instant::now();
        let mut journal = rocks::open(dir).expect("it opens");
        let epoch = journal.log.epoch();
        opens.push(clock.elapsed());
        let clock = Instant::now();
        let state = recover(&mut journal, epoch, shards, || (genesis(), AT)).expect("it is whole");
        recovers.push(clock.elapsed());
        held = (state.channels(), state.vouchers);
    }
    (median(&mut opens), median(&mut recovers), held.0, held.1)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn tail(world: &World, shards: u16, channels: usize, vouchers: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer = Writer::new(world, dir.path());
    writer.vouchers(channels, 0, vouchers);
    writer.close();
    let (open, took, held, replayed) = recovered(dir.path(), shards);
    assert_eq!((held, usize::try_from(replayed)), (channels, Ok(vouchers)));
    let rate = u128::from(replayed) * 1_000_000 / took.as_micros();
    println!(
        "{{\"case\":\"tail\",\"shards\":{shards},\"channels\":{held},\"replayed\":{replayed},\
         \"open_ms\":{},\"recover_ms\":{},\"vouchers_per_second\":{rate}}}",
        open.as_millis(),
        took.as_millis()
    );
}

fn checkpointed(world: &World, shards: u16, channels: usize, behind: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer = Writer::new(world, dir.path());
    writer.vouchers(channels, 0, channels);
    writer.close();
    let clock = Instant::now();
    checkpoint(dir.path(), shards);
    let checkpoint = clock.elapsed();
    let mut writer = Writer::reopen(world, dir.path());
    writer.vouchers(channels, channels, behind);
    writer.close();
    let (open, took, held, replayed) = recovered(dir.path(), shards);
    assert_eq!((held, usize::try_from(replayed)), (channels, Ok(behind)));
    println!(
        "{{\"case\":\"checkpoint\",\"shards\":{shards},\"channels\":{held},\
         \"replayed\":{replayed},\"open_ms\":{},\"recover_ms\":{},\"restart_ms\":{},\
         \"replay_and_checkpoint_ms\":{}}}",
        open.as_millis(),
        took.as_millis(),
        (open + took).as_millis(),
        checkpoint.as_millis()
    );
}

/// Starts an engine without an edge, has it make a checkpoint, and stops it.
fn checkpoint(dir: &Path, shards: u16) {
    let mut journal = rocks::open(dir).expect("it opens");
    let epoch = journal.log.epoch();
    let state = recover(&mut journal, epoch, shards, || (genesis(), AT)).expect("it is whole");
    let verifier = Verifier::new(Options::default()).expect("some backend always runs");
    let clock = state.clock(true).expect("any clock is right");
    let options =
        PipelineOptions { verify_threads: 1, checkpoint_bytes: u64::MAX, disk_reserve_bytes: 0 };
    let (pipeline, intake, _parts) =
        pipeline::start(state, clock, journal, epoch, verifier, &options);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        intake.ask_checkpoint().expect("the engine runs");
        // A checkpoint is made behind a record.
        let request = Request { id: "last".into(), content: Digest::ZERO };
        let party = World::default().payer(0);
        let limit = Wish::SetCreditLimit { party, asset: ASSET, limit: Total(MONEY_MAX) };
        let limit = limit.by(Caller::grpc(String::new()), request);
        intake.command(limit).await.expect("the engine runs");
    });
    while intake.checkpoints().done() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(intake);
    pipeline.stop().expect("it is written");
}
