//! `age`: gives an engine a long life in a short time, with few open files allowed, and says what
//! that life costs. `make age WINDOWS=5000 BATCHES=500`. The last line is JSON; exit code 1 when
//! the engine holds more open files than it may, or does not hold everything after its restarts.
//!
//! A voucher for each channel a window, a settled batch every few windows; then a kill and a clean
//! stop, and a start after each. Owns the counting. Asserts no time, unless told one with
//! `--start-ms`.

#![forbid(unsafe_code)]

use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tallystick_tests::wire::{
    ApproveBatchRequest, Batch, BatchState, GetStatusRequest, LegReport, LegState, LegWord,
    ReportLegsRequest,
};
use tallystick_tests::{Client, Engine, Launch, World, legs_at, request_id, until_batch};
use tonic::Code;

#[derive(Debug, Parser)]
#[command(about = "Gives an engine a long life with few open files, and says what that costs")]
struct Args {
    /// Windows that are closed.
    #[arg(long, default_value_t = 5_000)]
    windows: u64,
    /// Batches that are settled, spread over them.
    #[arg(long, default_value_t = 500)]
    batches: u64,
    /// Channels that are paid on in every window: pieces of evidence.
    #[arg(long, default_value_t = 1)]
    channels: u64,
    /// Files that the engine may have open.
    #[arg(long, default_value_t = 256)]
    limit: u64,
    /// Files that it has open at most.
    #[arg(long, default_value_t = 199)]
    open: usize,
    /// Longest start, in milliseconds [default: only told].
    #[arg(long)]
    start_ms: Option<u128>,
    /// Where the data directory is made, and stays [default: a temporary folder].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// More arguments of `serve`.
    #[arg(last = true)]
    serve: Vec<String>,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    open_most: usize,
    tables_most: usize,
    starts: Vec<Duration>,
}

impl Seen {
    fn look(&mut self, engine: &Engine, data: &Path) {
        let names = |dir: &Path| {
            let entries = std::fs::read_dir(dir).expect("the folder is there").flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        };
        let open: Vec<String> = names(Path::new(&format!("/proc/{}/fd", engine.id())));
        let tables: Vec<String> = names(data);
        let tables = tables.iter().filter(|name| name.ends_with(".sst")).count();
        self.open_most = self.open_most.max(open.len());
        self.tables_most = self.tables_most.max(tables);
    }

    async fn start(&mut self, launch: &Launch) -> (Engine, Client) {
        let began = Instant::now();
        let engine = launch.start();
        self.starts.push(began.elapsed());
        let client = Client::connect(&engine).await;
        (engine, client)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = args.dir.as_deref().unwrap_or(dir.path()).join("data");
    let limit = format!("ulimit -n {} && exec \"$@\"", args.limit);
    let more: Vec<&str> = args.serve.iter().map(String::as_str).collect();
    let launch = Launch::new(&data).under(&["sh", "-c", &limit, "sh"]).args(&more);
    let mut seen = Seen::default();
    let (mut engine, mut client) = seen.start(&launch).await;
    let world = World::register(&mut client, 1, 1).await;
    let every = (args.windows / args.batches.max(1)).max(1);
    let mut made = 0;
    for window in 1..=args.windows {
        let pays = (0..args.channels).map(|lane| world.voucher(0, 0, lane, window * 10_000));
        for pays in pays.collect::<Vec<_>>().chunks(4_096) {
            let ack = client.submit(pays).await;
            assert_eq!(ack.credited as usize, pays.len(), "{ack:?}");
        }
        client.close_window().await;
        if window % every == 0 && made < args.batches {
            let windows: Vec<u64> = (window + 1 - every..=window).collect();
            settle(&mut client, &windows).await;
            made += 1;
        }
        if window % 100 == 0 {
            seen.look(&engine, &data);
            if window % 1_000 == 0 {
                eprintln!("age: {window} windows, {made} batches: {seen:?}");
            }
        }
    }
    seen.look(&engine, &data);
    for kill in [true, false] {
        drop(client);
        if kill {
            engine.kill9();
        } else {
            engine.stop().await;
        }
        (engine, client) = seen.start(&launch).await;
        seen.look(&engine, &data);
        whole(&mut client, &args, made).await;
    }
    let status = client.operator.get_status(GetStatusRequest {}).await;
    let lsn = status.expect("the engine answers").into_inner().durable_lsn;
    drop(client);
    engine.stop().await;
    let disk = size(&data);
    let starts: Vec<u128> = seen.starts.iter().map(Duration::as_millis).collect();
    let slow = args.start_ms.is_some_and(|most| starts.iter().any(|start| *start > most));
    let failures = u8::from(seen.open_most > args.open) + u8::from(slow);
    println!(
        "{}",
        serde_json::json!({
            "bench": "age", "windows": args.windows, "batches": made, "records": lsn,
            "channels": args.channels, "disk_bytes": disk, "limit": args.limit, "open_most": seen.open_most, "tables_most": seen.tables_most,
            "start_ms": { "new": starts[0], "after_kill": starts[1], "after_stop": starts[2] },
            "failures": failures,
        })
    );
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Bytes of the files in a folder.
fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("the folder is there").flatten();
    let files = entries.filter_map(|entry| entry.metadata().ok()).filter(|of| of.is_file());
    files.map(|of| of.len()).sum()
}

/// A batch of these windows, from nothing to settled.
async fn settle(client: &mut Client, windows: &[u64]) {
    let batch = loop {
        match client.create_batch(windows, World::PAIRS).await {
            Ok(batch) => break batch,
            // The last window is closed and not yet sealed.
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
        }
    };
    let (request_id, batch_id) = (request_id("approve"), batch.batch_id.clone());
    let approval = ApproveBatchRequest { request_id, batch_id, ..Default::default() };
    client.operator.approve_batch(approval).await.expect("it is approved");
    let all = batch.legs;
    let sent = until_batch(client, &batch, |now| legs_at(now, LegState::Sent) == all).await;
    confirm(client, &sent).await;
    until_batch(client, &batch, |now| now.state() == BatchState::Settled).await;
}

/// The bank's pages show that every leg was executed.
async fn confirm(client: &mut Client, batch: &Batch) {
    let report = |leg: tallystick_tests::wire::Leg| LegReport {
        key: leg.key,
        word: LegWord::Confirmed.into(),
        rail_reference: String::new(),
        reason: String::new(),
    };
    let reports = client.legs(batch).await.into_iter().map(report).collect();
    let (request_id, batch_id) = (request_id("report"), batch.batch_id.clone());
    let request = ReportLegsRequest {
        request_id,
        batch_id,
        reports,
        evidence: Vec::new().into(),
        ..Default::default()
    };
    client.operator.report_legs(request).await.expect("it is believed");
}

/// Everything is there.
async fn whole(client: &mut Client, args: &Args, made: u64) {
    let status = client.operator.get_status(GetStatusRequest {}).await;
    let status = status.expect("the engine answers").into_inner();
    assert_eq!((status.open_window, status.batches), (args.windows + 1, made));
    let settled = status.batches_by_state.iter();
    let settled = settled.filter(|of| of.state() == BatchState::Settled).map(|of| of.batches);
    assert_eq!(settled.sum::<u64>(), made);
    for window in [1, args.windows] {
        let owed = client.obligations(window, World::PAIRS).await;
        assert_eq!(owed.len(), 1, "window {window}");
        let amount = (args.channels * 10_000).to_string();
        assert_eq!(owed[0].amount, amount, "window {window}");
    }
}
