//! `flip`: flips single bits of what an engine left behind, and has each looked for by the audit
//! and by a start. `make flip POSITIONS=N SEED=S`. The last line is JSON; exit code 1 when a flip
//! was accepted.
//!
//! A flip is *detected* when the audit or the start refuses, or when the engine comes upon it as it
//! merges files and says so, at its end at the latest; and *without effect* when all hold, byte for
//! byte, what was there before (some bytes of RocksDB's files carry nothing that is read). Anything
//! else was silently accepted. Owns the choice of bits; what was there before is `Seen`
//! and an export.

#![forbid(unsafe_code)]

use clap::Parser;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tallystick_tests::{
    Client, Deployment, Engine, Launch, Seen, Signal, Voucher, World, copy_dir, files, flip_bit,
    is_damage, run_cli,
};

#[derive(Debug, Parser)]
#[command(about = "Flips bits of a data directory and an export; each must be noticed")]
struct Args {
    /// Bits to flip, each in a fresh copy.
    #[arg(long, default_value_t = 1_000)]
    positions: u64,
    /// Where random numbers start.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What became of the flips in one kind of file.
#[derive(Debug, Default, Clone, Copy)]
struct Found {
    by_audit: u64,
    by_start: u64,
    by_end: u64,
    no_effect: u64,
    accepted: u64,
}

/// A data directory as it was left, and what it held.
struct Left {
    dir: tempfile::TempDir,
    data: PathBuf,
    world: World,
    seen: Seen,
    export: Vec<u8>,
}

/// Checkpoints after nearly every group, so that there are segments, commits and dropped frames.
const CHECKPOINTS: [&str; 2] = ["--checkpoint-bytes", "4KiB"];

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let stopped = Left::new(false).await;
    let killed = Left::new(true).await;
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for position in 0..args.positions {
        let left = if position % 2 == 0 { &stopped } else { &killed };
        let (kind, what) = if position % 7 == 0 {
            ("export".to_owned(), left.flip_export(&mut rng))
        } else {
            left.flip(&mut rng).await
        };
        let counts = found.entry(kind).or_default();
        match what {
            Verdict::ByAudit => counts.by_audit += 1,
            Verdict::ByStart => counts.by_start += 1,
            Verdict::ByEnd => counts.by_end += 1,
            Verdict::NoEffect => counts.no_effect += 1,
            Verdict::Accepted(text) => {
                eprintln!("ACCEPTED: {text}");
                counts.accepted += 1;
            }
        }
    }
    report(&args, &found)
}

fn report(args: &Args, found: &BTreeMap<String, Found>) -> ExitCode {
    let sum = |part: fn(&Found) -> u64| found.values().map(part).sum::<u64>();
    let accepted = sum(|f| f.accepted);
    let kinds = found.iter().map(|(kind, f)| {
        let counts = serde_json::json!({
            "by_audit": f.by_audit, "by_start": f.by_start, "by_end": f.by_end,
            "no_effect": f.no_effect, "accepted": f.accepted,
        });
        (kind.clone(), counts)
    });
    let line = serde_json::json!({
        "positions": args.positions,
        "seed": args.seed,
        "by_audit": sum(|f| f.by_audit),
        "by_start": sum(|f| f.by_start),
        "by_end": sum(|f| f.by_end),
        "no_effect": sum(|f| f.no_effect),
        "kinds": kinds.collect::<serde_json::Map<_, _>>(),
        "failures": accepted,
    });
    println!("{line}");
    if accepted == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What an engine says that comes upon a damaged file of RocksDB.
const DAMAGED: &str = "the storage failed: Corruption";

enum Verdict {
    ByAudit,
    ByStart,
    ByEnd,
    NoEffect,
    Accepted(String),
}

impl Left {
    /// A directory with closed windows, batches, checkpoints and an open window.
    async fn new(killed: bool) -> Self {
        let d = Deployment::new(5, 4).await;
        let mut d = d.restart(&CHECKPOINTS).await;
        let mut total = 0;
        for round in 0..4u64 {
            for _ in 0..6 {
                total += 1_000;
                let pay = |n: usize| d.world.voucher(n % 5, n % 4, round, total);
                let vouchers: Vec<Voucher> = (0..20).map(pay).collect();
                d.client.submit(&vouchers).await;
            }
            if round < 3 {
                let window = d.client.close_window().await.number;
                d.client.create_batch(&[window], World::PAIRS).await.expect("something is owed");
            }
        }
        let seen = Seen::of(&mut d.client, &d.world).await;
        let export = export(&d.engine, d.dir.path());
        let data = d.data();
        let Deployment { client, world, engine, dir } = d;
        drop(client);
        if killed {
            engine.kill9();
        } else {
            engine.stop().await;
        }
        std::fs::write(dir.path().join("export"), &export).expect("a temporary file");
        Self { dir, data, world, seen, export }
    }

    fn flip_export(&self, rng: &mut ChaCha8Rng) -> Verdict {
        let copy = self.dir.path().join("flipped");
        std::fs::write(&copy, &self.export).expect("a temporary file");
        let what = flip(&copy, rng);
        if audit(&["audit", text(&copy)]) { Verdict::Accepted(what) } else { Verdict::ByAudit }
    }

    fn exports_the_same(&self, engine: &Engine) -> bool {
        undated(&export(engine, self.dir.path())) == undated(&self.export)
    }

    async fn flip(&self, rng: &mut ChaCha8Rng) -> (String, Verdict) {
        let copy = self.dir.path().join("copy");
        let _ = std::fs::remove_dir_all(&copy);
        copy_dir(&self.data, &copy);
        let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for path in files(&copy, |_| true) {
            if let Some(kind) = kind(&path) {
                kinds.entry(kind.to_owned()).or_default().push(path);
            }
        }
        let (kind, paths) = kinds.iter().nth(rng.random_range(0..kinds.len())).expect("one kind");
        let path = &paths[rng.random_range(0..paths.len())];
        let what = flip(path, rng);
        (kind.clone(), self.judge(&copy, what).await)
    }

    async fn judge(&self, copy: &Path, what: String) -> Verdict {
        if !audit(&["audit", "--data-dir", text(copy)]) {
            return Verdict::ByAudit;
        }
        let engine = match Launch::new(copy).args(&CHECKPOINTS).try_start() {
            Err(exit) if exit.status.code().is_some() && !exit.stderr.contains("panicked at") => {
                return Verdict::ByStart;
            }
            Err(exit) => return Verdict::Accepted(format!("{what}: {}", exit.stderr)),
            Ok(engine) => engine,
        };
        let mut client = Client::connect(&engine).await;
        let seen = Seen::try_of(&mut client, &self.world).await;
        let verdict = match seen {
            Err(status) if is_damage(&status) => Verdict::ByStart,
            Ok(seen) if seen == self.seen && self.exports_the_same(&engine) => Verdict::NoEffect,
            Ok(_) | Err(_) => Verdict::Accepted(what.clone()),
        };
        drop(client);
        engine.signal(Signal::TERM);
        let exit = tokio::task::spawn_blocking(move || engine.ended()).await;
        let exit = exit.expect("waiting for its end does not fail");
        match verdict {
            _ if exit.status.success() => verdict,
            // Nothing that anybody asked for lay there: the merging of files came upon it.
            Verdict::NoEffect if exit.stderr.contains(DAMAGED) => Verdict::ByEnd,
            Verdict::ByStart => verdict,
            Verdict::ByAudit | Verdict::ByEnd | Verdict::NoEffect | Verdict::Accepted(_) => {
                Verdict::Accepted(format!("{what}: at its end: {}", exit.stderr))
            }
        }
    }
}

/// What an export says, without when it was made and signed: its end is, after what it covers, a
/// time, a key, a signature and the section's digest.
fn undated(export: &[u8]) -> &[u8] {
    &export[..export.len() - (8 + 32 + 64 + 32)]
}

/// What kind of file it is; `None` for what RocksDB writes for people.
fn kind(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    match name {
        "CURRENT" => Some("CURRENT"),
        "tallystick.mark" => Some("mark"),
        "tallystick.key" => Some("key"),
        "tallystick.root" => Some("root"),
        _ if name.ends_with(".log") => Some("log"),
        _ if name.ends_with(".sst") => Some("sst"),
        _ if name.starts_with("MANIFEST-") => Some("MANIFEST"),
        _ => None,
    }
}

fn flip(path: &Path, rng: &mut ChaCha8Rng) -> String {
    let length = usize::try_from(path.metadata().expect("it exists").len()).expect("it fits");
    let (byte, bit) = (rng.random_range(0..length), rng.random_range(0..8));
    flip_bit(path, byte, bit);
    format!("bit {bit} of byte {byte} of {length} of {}", path.display())
}

fn export(engine: &Engine, scratch: &Path) -> Vec<u8> {
    let file = scratch.join("exported");
    let _ = std::fs::remove_file(&file);
    let args =
        ["--server", engine.address(), "evidence", "export", "1", "2", "3", "--out", text(&file)];
    let done = run_cli(&args);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read(&file).expect("it was written")
}

fn audit(args: &[&str]) -> bool {
    run_cli(args).status.success()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}
