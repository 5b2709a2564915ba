//! How long a start takes, and how much memory, after a long history: windows that were settled,
//! limits that were set, legs that moved, all of it over and done with. On a real directory, made
//! by the engine without its edge.
//!
//! `cargo bench --bench history` makes the directory, then starts on it in a process of its own, so
//! that the memory is that of the start. `-- --windows N --limits N --moves N` sets how much there
//! is. One JSON line.

#![forbid(unsafe_code)]

use ed25519_dalek::{Signer as _, SigningKey};
use std::path::Path;
use std::process::Command as Process;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tallystick::journal::{kept, rocks};
use tallystick::ledger::control::{Control, CreateBatch, Used};
use tallystick::ledger::{
    BatchContent, BatchPlan, Caller, Command, Genesis, Keep, LegState, LegStep, Policy, Rail,
    RailAccount, Request, SubmitLegs, UpsertParty, Voice, Wish, runs,
};
use tallystick::pipeline::{self, Intake, PipelineOptions, Source, recover};
use tallystick::settle::{Clearing, Engine, EngineSetup, Sealer};
use tallystick::sign::EngineKey;
use tallystick::types::{
    Amount, AssetDef, AssetNumber, ChannelHasher, Digest, PartyId, SettlementModel, SignerKey,
    Total, Voucher, WindowNumber, message,
};
use tallystick::vault::{Plain, Standing, Vault};
use tallystick::verify::{Options, Verifier, fit_key};
use tallystick_bench::NETWORK;

const ASSET: AssetNumber = AssetNumber(978);
/// Records of moves hold so many.
const MOVES: u32 = 1_024;
/// Parties whose limits are set, in turn.
const PARTIES: usize = 1_000;

struct Size {
    windows: u32,
    limits: u32,
    moves: u32,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    // `cargo test --benches` runs this too; it has nothing to test.
    if args.iter().any(|arg| arg == "--test") {
        return;
    }
    if let Some(dir) = after(&args, "--start") {
        return start(Path::new(dir));
    }
    let number =
        |name, default| after(&args, name).map_or(default, |n| n.parse().expect("a number"));
    let size = Size {
        windows: number("--windows", 2_000),
        limits: number("--limits", 300_000),
        moves: number("--moves", 10_000_000),
    };
    let own = tempfile::tempdir().expect("a directory");
    let dir = after(&args, "--dir").map_or(own.path(), |dir| Path::new(dir)).join("data");
    let clock = Instant::now();
    make(&dir, &size);
    eprintln!("made in {} s", clock.elapsed().as_secs());
    let this = std::env::current_exe().expect("this program has a path");
    for _ in 0..3 {
        let done = Process::new(&this).arg("--start").arg(&dir).status().expect("it starts");
        assert!(done.success());
    }
}

fn after<'a>(args: &'a [String], name: &str) -> Option<&'a String> {
    args.iter().skip_while(|arg| *arg != name).nth(1)
}

fn genesis() -> (Genesis, tallystick::types::Timestamp) {
    (Genesis { network: NETWORK, lifetime_seconds_max: i64::MAX / 2 }, pipeline::now())
}

/// Starts on what is there, and says what that took.
fn start(dir: &Path) {
    let clock = Instant::now();
    let mut journal = rocks::open(dir).expect("it opens");
    let (epoch, open) = (journal.log.epoch(), clock.elapsed());
    let state = recover(&mut journal, epoch, 2, genesis).expect("it is whole");
    let took = clock.elapsed();
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is there");
    println!(
        "{{\"case\":\"history\",\"record\":{},\"checkpoint\":{},\"open_ms\":{},\"start_ms\":{},\
         \"peak\":\"{}\"}}",
        state.tail().lsn.0,
        state.checkpoint_lsn().0,
        open.as_millis(),
        took.as_millis(),
        peak.trim()
    );
}

/// Who asks the engine for things, each by a request of its own.
struct Asking {
    intake: Intake,
    runtime: tokio::runtime::Runtime,
    requests: u64,
}

impl Asking {
    fn by(&mut self, wish: Wish) -> Command {
        if wish.is_the_engines() {
            return Command::own(wish);
        }
        self.requests += 1;
        let request = Request { id: format!("request {}", self.requests), content: Digest::ZERO };
        wish.by(Caller::grpc("ann".into()), request)
    }

    fn wish(&mut self, wish: Wish) {
        let command = self.by(wish);
        self.runtime.block_on(self.intake.command(command)).expect("the rules allow it");
    }

    /// Reads the control state.
    fn read<T>(&self, read: impl FnOnce(&Control) -> T) -> T {
        self.runtime.block_on(self.intake.read(read)).expect("the engine runs")
    }

    /// Many at once, for one sync.
    fn wishes(&mut self, wishes: Vec<Wish>) {
        for some in wishes.chunks(2_000) {
            let told: Vec<_> = some
                .iter()
                .map(|wish| {
                    let command = self.by(wish.clone());
                    self.intake.tell(command).expect("there is room")
                })
                .collect();
            for done in told {
                for done in done.blocking_recv().expect("the engine runs") {
                    done.expect("the rules allow it");
                }
            }
        }
    }
}

fn party(n: usize) -> PartyId {
    let mut id = [b'p'; 32];
    id[..8].copy_from_slice(&n.to_le_bytes());
    PartyId(id)
}

fn make(dir: &Path, size: &Size) {
    let mut journal = rocks::open(dir).expect("a new journal");
    let epoch = journal.log.epoch();
    let state = recover(&mut journal, epoch, 2, genesis).expect("it is new");
    let verifier = Verifier::new(Options::default()).expect("some backend always runs");
    let clock = state.clock(true).expect("any clock is right");
    let options = PipelineOptions {
        verify_threads: 1,
        checkpoint_bytes: tallystick::limits::CHECKPOINT_BYTES_DEFAULT,
        disk_reserve_bytes: 0,
    };
    let (pipeline, intake, parts) =
        pipeline::start(state, clock, journal, epoch, verifier, &options);
    let key = Arc::new(EngineKey::of_secret([9; 32]));
    let set = Wish::SetEngineKey { key: key.public(), proof: [0; 64] };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(intake.command(Command::own(set))).expect("it is the first");
    let (clearing, four_eyes, mailbox) = (Clearing::default(), false, None);
    let vault = Vault::seeded(intake.tables().clone(), [7; 32]);
    let setup = EngineSetup {
        intake: intake.clone(),
        vault: vault.clone(),
        key: key.clone(),
        clearing,
        four_eyes,
        archives: None,
        mailbox,
        node: None,
    };
    let (engine, _) = Engine::new(setup);
    let sealer = Sealer::start(engine, parts);
    let mut asking = Asking { intake, runtime, requests: 0 };
    let payer = SigningKey::from_bytes(&[7; 32]);
    found(&mut asking, &vault, &payer);
    let limits = (0..size.limits).map(|n| Wish::SetCreditLimit {
        party: party(usize::try_from(n).expect("it fits") % PARTIES),
        asset: ASSET,
        limit: Total(u128::from(u64::MAX) + u128::from(n)),
    });
    asking.wishes(limits.collect());
    let legs = size.moves / size.windows;
    for window in 1..=size.windows {
        pay(&asking, &payer, u64::from(window) * u64::from(legs));
        settle(&mut asking, key.public(), WindowNumber(u64::from(window)), legs);
        if window.is_multiple_of(100) {
            eprintln!("{window} windows");
        }
    }
    // The last one is made behind a record.
    let before = asking.intake.checkpoints().done();
    asking.intake.ask_checkpoint().expect("the engine runs");
    asking.wish(Wish::CloseWindow);
    while asking.intake.checkpoints().done() == before {
        std::thread::sleep(Duration::from_millis(10));
    }
    sealer.stop();
    drop(asking);
    drop(pipeline.stop().expect("it stops"));
}

/// The asset, the parties with their accounts, and who pays.
fn found(asking: &mut Asking, vault: &Vault, payer: &SigningKey) {
    let model = SettlementModel::Bilateral;
    let asset = AssetDef { number: ASSET, code: "EUR".into(), scale: 2, model };
    let mut wishes = vec![Wish::CreateAsset { asset }];
    let plain = |n| {
        let fields = vec![("iban".to_owned(), "DE02120300000000202051".to_owned())];
        let accounts = vec![RailAccount { rail: Rail::Iso20022.name().to_owned(), fields }];
        Plain { party: party(n), name: format!("Party {n}"), accounts, request_id: String::new() }
    };
    let plain: Vec<Plain> = (0..PARTIES).map(plain).collect();
    let new = |_| Ok(Standing { erasures: 0, registered: false });
    let sealed = vault.seal_parties(&plain, &new).expect("the disk does not fail");
    for (plain, sealed) in plain.iter().zip(sealed) {
        let sealed = sealed.expect("a new party is sealed");
        let (name, accounts, erasures) = (sealed.name, sealed.accounts, sealed.erasures);
        let (party, suspended, reopen) = (plain.party, false, false);
        let keep = Keep::default();
        let upsert = UpsertParty { party, name, suspended, accounts, reopen, erasures, keep };
        wishes.push(Wish::UpsertParty(upsert));
    }
    let signer = SignerKey(payer.verifying_key().to_bytes());
    let signer = fit_key(signer).expect("it is a key");
    wishes.push(Wish::AddSigner { signer, party: party(0), caps: Vec::new() });
    let limit = Total(u128::from(u64::MAX));
    wishes.push(Wish::SetCreditLimit { party: party(0), asset: ASSET, limit });
    asking.wishes(wishes);
}

/// A voucher for so much in all.
fn pay(asking: &Asking, payer: &SigningKey, total: u64) {
    let (signer, payee) = (SignerKey(payer.verifying_key().to_bytes()), party(1));
    let expires_at = pipeline::now().seconds() / 1_000_000 * 1_000_000 + 10_000_000;
    let (cumulative, lane) = (Amount(total), 0);
    let channel = ChannelHasher::new(NETWORK).channel_of(signer, payee, ASSET, lane, expires_at);
    let signature = payer.sign(&message(channel, cumulative, expires_at)).to_bytes();
    let voucher =
        Voucher { signer, payee, asset: ASSET, lane, expires_at, cumulative, signature }.pack();
    let feed = asking.intake.feed(Source::Here(1));
    let bytes = bytes::Bytes::copy_from_slice(&voucher);
    asking.runtime.block_on(async {
        let answer = feed.submit(bytes).await.expect("the engine runs");
        answer.await.expect("it is answered");
    });
}

/// Closes the window, and has its batch go from the first record to the last.
fn settle(asking: &mut Asking, key: SignerKey, window: WindowNumber, legs: u32) {
    asking.wish(Wish::CloseWindow);
    let sealed = asking.intake.read_when(|control| {
        control.window(window).ok().filter(|window| window.sealed.is_some())?.sealed_head().ok()
    });
    let sealed = asking.runtime.block_on(sealed).expect("the engine runs");
    let tables = asking.intake.tables().clone();
    let windows = [Arc::new(kept::load_window(&*tables, &sealed).expect("it is kept"))];
    let (unit, clearing) = (Total(1), Vec::new());
    let policy = Policy { rail: Rail::Iso20022, unit, least: unit, most: unit, clearing };
    let (content, history, version) = asking.read(|control| {
        let account = |party| control.account(party, Rail::Iso20022);
        let asset = control.asset(ASSET).expect("it is there").clone();
        let free = |_| Total::ZERO;
        let content = BatchContent::compute(&windows, &asset, &policy, account, free);
        (content.expect("it can be paid"), control.history().lsn, control.directory_version())
    });
    assert_eq!(content.legs.len(), legs as usize);
    kept::put_batch(&*tables, &content).expect("it is kept");
    let content = Arc::new(content);
    let (head, batch) = (content.head.clone(), content.head.id);
    let accounts = content.accounts.clone();
    let used = Arc::new(Used { head, accounts, free: Vec::new() });
    let signature = [0; 64];
    let (four_eyes, directory_version) = (false, version);
    let create = CreateBatch { four_eyes, used, history, key, signature, directory_version };
    asking.wish(Wish::CreateBatch(create));
    asking.wish(Wish::ApproveBatch { batch, signed: None });
    asking.wish(Wish::SubmitLegs(SubmitLegs {
        content: content.clone(),
        submission: 0,
        attempt: 0,
        legs: runs(0..legs),
        digest: Digest::ZERO,
        bytes: 1,
        name: "a-file.xml".into(),
        suspensions: asking.read(|control| control.suspensions()),
    }));
    let moves = (0..legs).step_by(MOVES as usize).map(|first| {
        let step = |leg: u32| LegStep {
            leg,
            to: LegState::Confirmed,
            reference: format!("BANK-REF-{leg:08}"),
            reason: String::new(),
        };
        let steps = (first..legs.min(first + MOVES)).map(step).collect();
        let (content, evidence) = (content.clone(), Digest::ZERO);
        Wish::MoveLegs { content, voice: Voice::Rail, evidence, steps }
    });
    asking.wishes(moves.collect());
    let plan = Arc::new(BatchPlan::new(&windows, content));
    let places = asking.read(|control| {
        let legs = &control.batch(batch).expect("it is there").legs;
        plan.releases(legs, usize::MAX).iter().map(|release| release.place).collect()
    });
    asking.wish(Wish::ReleaseExposure { plan: plan.clone(), places });
    asking.wish(Wish::ReleaseExposure { plan, places: Vec::new() });
}
