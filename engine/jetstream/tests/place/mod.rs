//! What the tests of this crate share: streams on three real servers.
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use tallystick_jetstream::{Settings, Start, StreamError, StreamLog, open};
use tallystick_journal::{Chain, Framed, Journal, JournalError, Log, Record, Tail, replay, rocks};
use tallystick_ledger::types::Timestamp;
use tallystick_tests::nats::Cluster;

pub const CREATE: Start = Start { create: true, take_over: false };
pub const TAKE_OVER: Start = Start { create: false, take_over: true };

static STREAMS: AtomicU64 = AtomicU64::new(0);

/// A stream of its own on these servers, and nobody who monitors them.
pub fn settings(cluster: &Cluster) -> Settings {
    let n = STREAMS.fetch_add(1, Ordering::Relaxed);
    Settings {
        servers: cluster.urls(),
        stream: format!("journal-{n}"),
        credentials: None,
        tls: None,
        monitors: Vec::new(),
    }
}

pub fn try_open(
    settings: &Settings,
    dir: &Path,
    start: Start,
) -> Result<Journal<StreamLog>, StreamError> {
    open(settings, rocks::open(dir).unwrap(), start)
}

pub fn opened(settings: &Settings, dir: &Path, start: Start) -> StreamLog {
    try_open(settings, dir, start).unwrap().log
}

/// The next `count` records of `bytes` each.
pub fn records(chain: &mut Chain, count: usize, bytes: usize) -> Vec<Framed> {
    let record = |_| chain.frame(1, Timestamp(7), 2, 1, &[&vec![9; bytes]]);
    (0..count).map(record).collect()
}

/// Appends groups until the log refuses; says why it did.
pub fn refused(log: &mut StreamLog, chain: &mut Chain) -> String {
    match log.append(&records(chain, 1, 10)) {
        Ok(lsn) => panic!("record {lsn} was taken"),
        Err(error) => error.to_string(),
    }
}

/// Follows everything the log holds from its first record on, checking every link; its end.
pub fn end_of(log: &dyn Log) -> Tail {
    let mut chain = Chain::start();
    let visit: &mut dyn FnMut(Record<'_>) -> Result<(), JournalError> = &mut |_| Ok(());
    replay(log, &mut chain, visit).unwrap();
    chain.tail()
}

/// Erases messages of a stream by their numbers.
pub fn erase(settings: &Settings, stream: &str, seqs: &[u64]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(&settings.servers[..]).await.unwrap();
        let stream = async_nats::jetstream::new(client).get_stream(stream).await.unwrap();
        for seq in seqs {
            stream.delete_message(*seq).await.unwrap();
        }
    });
}
