//! `large`: settles one very large batch through the real engine, from the closed window to the
//! last file in the outbox, and says what that took. `make bench-settle LEGS=N`. The last line is
//! JSON; exit code 1 when a file does not say what the batch says.
//!
//! Timed are the calls of operators, with what they wait for: CreateBatch; ApproveBatch, until the
//! pay-ins have left; ReportLegs that they came in, until every other leg is SENT and its file is
//! in the outbox. Who there is and what they owe is made before (`crowd`), files are read again
//! after (`check`), both off the clock. With `--answers N` every batch is settled to its end, and N
//! small answers are timed after the last (`answers`). Owns the clocks and the engine's process.
//! Asserts no time.

#![forbid(unsafe_code)]

mod answers;
mod check;
mod crowd;
mod process;

use answers::Answered;
use check::Sums;
use clap::{Parser, ValueEnum};
use crowd::Crowd;
use process::Used;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tallystick_tests::wire::{
    ApproveBatchRequest, Batch, BatchState, CreateBatchRequest, GetBatchRequest, Leg, LegReport,
    LegState, LegWord, ReportLegsRequest, SettlementModel,
};
use tallystick_tests::{Client, Engine, Launch, request_id, until_batch};

/// Between two looks at a batch and its outbox.
const LOOK: Duration = Duration::from_millis(10);
/// A settlement that takes longer hangs.
const GIVE_UP: Duration = Duration::from_secs(600);
/// Most legs that one call reports.
const REPORTS_MAX: usize = 1_024;

#[derive(Debug, Parser)]
#[command(about = "Settles one very large batch through the real engine, and says what it took")]
struct Args {
    /// Legs of the batch.
    #[arg(long, default_value_t = 1_000_000)]
    legs: usize,
    /// Parties that pay.
    #[arg(long, default_value_t = 1_000)]
    payers: usize,
    /// The rail that it is settled on.
    #[arg(long, value_enum, default_value_t = On::Iso20022)]
    rail: On,
    /// How its asset is settled: through the clearing account, one leg a party, or pair by pair.
    #[arg(long, value_enum, default_value_t = Model::Multilateral)]
    model: Model,
    /// Has every amount hold a bit that the rail cannot express, so that each party has dust to
    /// carry.
    #[arg(long)]
    dust: bool,
    /// Batches, one after the other; figures are medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Settles every batch to its end, but for so many legs of the last one: the bank tells of each
    /// of them in a small file of its own, which is timed, and then once more of as many legs of
    /// the first batch. On iso20022, through the clearing account.
    #[arg(long, default_value_t = 0)]
    answers: usize,
}

/// A rail that works with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum On {
    Iso20022,
    Nacha,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Model {
    Multilateral,
    Bilateral,
}

impl On {
    fn name(self) -> &'static str {
        match self {
            Self::Iso20022 => "iso20022",
            Self::Nacha => "nacha",
        }
    }
}

impl Model {
    fn on_wire(self) -> SettlementModel {
        match self {
            Self::Multilateral => SettlementModel::Multilateral,
            Self::Bilateral => SettlementModel::Bilateral,
        }
    }
}

/// What one batch took.
#[derive(Debug, Clone, Copy)]
struct Took {
    create: Duration,
    approve: Duration,
    cpu: Duration,
    /// The most memory that the engine held meanwhile, and what it held before.
    peak_kib: u64,
    before_kib: u64,
    sums: Sums,
}

impl Took {
    fn all(&self) -> Duration {
        self.create + self.approve
    }
}

/// The engine and who settles with it.
struct Settling {
    args: Args,
    engine: Engine,
    client: Client,
    crowd: Crowd,
    outbox: PathBuf,
    inbox: PathBuf,
    /// Some legs of the first batch.
    first: Vec<Leg>,
    /// Answers about the last batch, and about the first one.
    answered: Option<[Answered; 2]>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut settling = Settling::start(args, dir.path()).await;
    let mut took = Vec::new();
    let mut failed = false;
    for round in 0..settling.args.rounds {
        match settling.round(round).await {
            Ok(one) => {
                eprintln!("large: round {round}: {one:?}");
                took.push(one);
            }
            Err(text) => {
                eprintln!("large: round {round}: {text}");
                failed = true;
                break;
            }
        }
    }
    settling.report(&took, failed);
    drop(settling.client);
    settling.engine.stop().await;
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Settling {
    async fn start(args: Args, dir: &Path) -> Self {
        let outbox = dir.join("outbox");
        let (inbox, rail) = (dir.join("inbox"), args.rail.name());
        // The table of the clearing account on iso20022 is part of every launch.
        let clearing = match args.rail {
            On::Iso20022 => "",
            On::Nacha => crowd::CLEARING_NACHA,
        };
        let config = format!(
            "{clearing}[rail.{rail}]\noutbox = {outbox:?}\n\
                              pay_ins = {outbox:?}\ninbox = {inbox:?}\n"
        );
        let launch = Launch::new(&dir.join("data")).args(&["--log", "info"]).config(&config);
        let engine = launch.start();
        let mut client = Client::connect(&engine).await;
        let began = Instant::now();
        let crowd = Crowd::register(&mut client, &args).await;
        eprintln!("large: {} parties registered in {:?}", crowd.parties(), began.elapsed());
        Self { args, engine, client, crowd, outbox, inbox, first: Vec::new(), answered: None }
    }

    /// One window with its batch.
    async fn round(&mut self, round: usize) -> Result<Took, String> {
        let began = Instant::now();
        let vouchers = self.crowd.pay(&mut self.client, round).await?;
        eprintln!("large: {vouchers} vouchers signed and credited in {:?}", began.elapsed());
        let window = self.client.close_window().await.number;
        for left in std::fs::read_dir(&self.outbox).map_err(|e| e.to_string())?.flatten() {
            // The files of the round before were carried to the bank.
            if left.path().is_file() {
                std::fs::remove_file(left.path()).map_err(|e| e.to_string())?;
            }
        }
        let pid = self.engine.id();
        process::forget_peak(pid);
        let before = Used::by(pid);
        let start = Instant::now();
        let batch = self.create(window).await?;
        let create = start.elapsed();
        let start = Instant::now();
        self.settle(&batch).await?;
        let approve = start.elapsed();
        let after = Used::by(pid);
        let sums = check::files(&self.outbox, self.args.rail.name()).map_err(|e| e.to_string())?;
        self.compare(&batch, &sums)?;
        if self.args.answers > 0 {
            let left = if round + 1 == self.args.rounds { self.args.answers } else { 0 };
            self.end(&batch, left).await?;
        }
        let cpu = after.cpu.saturating_sub(before.cpu);
        let (peak_kib, before_kib) = (after.peak_kib, before.held_kib);
        Ok(Took { create, approve, cpu, peak_kib, before_kib, sums })
    }

    async fn create(&mut self, window: u64) -> Result<Batch, String> {
        let request = CreateBatchRequest {
            request_id: request_id("batch"),
            windows: vec![window],
            asset: crowd::ASSET,
            rail: self.args.rail.name().into(),
        };
        let batch = self.client.operator.create_batch(request).await;
        Ok(batch.map_err(|status| format!("CreateBatch: {status}"))?.into_inner())
    }

    /// From the approval to the last file in the outbox.
    async fn settle(&mut self, batch: &Batch) -> Result<(), String> {
        let request = ApproveBatchRequest {
            request_id: request_id("approve"),
            batch_id: batch.batch_id.clone(),
            ..Default::default()
        };
        let approved = self.client.operator.approve_batch(request).await;
        approved.map_err(|status| format!("ApproveBatch: {status}"))?;
        if batch.pay_in_legs > 0 {
            self.until_sent(batch, batch.pay_in_legs).await?;
            let keys = check::pay_in_keys(&self.outbox, self.args.rail.name(), batch)?;
            let keys = match keys {
                Some(keys) => keys,
                None => self.pay_in_keys(batch).await?,
            };
            self.confirm(batch, &keys).await?;
        }
        self.until_sent(batch, batch.legs - batch.pay_in_legs).await
    }

    /// The bank's pages show that these were executed.
    async fn confirm(&mut self, batch: &Batch, keys: &[String]) -> Result<(), String> {
        for some in keys.chunks(REPORTS_MAX) {
            let report = |key: &String| LegReport {
                key: key.clone(),
                word: LegWord::Confirmed.into(),
                rail_reference: String::new(),
                reason: String::new(),
            };
            let request = ReportLegsRequest {
                request_id: request_id("report"),
                batch_id: batch.batch_id.clone(),
                reports: some.iter().map(report).collect(),
                evidence: Vec::new().into(),
                ..Default::default()
            };
            let reported = self.client.operator.report_legs(request).await;
            reported.map_err(|status| format!("ReportLegs: {status}"))?;
        }
        Ok(())
    }

    /// Everything that was sent was executed, but for some legs, of which small answers tell.
    async fn end(&mut self, batch: &Batch, left: usize) -> Result<(), String> {
        let mut legs = self.client.legs(batch).await;
        legs.retain(|leg| leg.state() == LegState::Sent);
        let small = legs.split_off(legs.len().saturating_sub(left));
        if self.first.is_empty() {
            self.first = legs.iter().take(self.args.answers).cloned().collect();
        }
        let keys: Vec<String> = legs.into_iter().map(|leg| leg.key).collect();
        self.confirm(batch, &keys).await?;
        if left > 0 {
            let (inbox, pid) = (&self.inbox, self.engine.id());
            let newest = answers::one_by_one(inbox, pid, "new", &small)?;
            let oldest = answers::one_by_one(inbox, pid, "late", &self.first)?;
            self.answered = Some([newest, oldest]);
        }
        until_batch(&mut self.client, batch, |now| now.state() == BatchState::Settled).await;
        Ok(())
    }

    /// Waits until so many legs are SENT and nothing is staged any more.
    async fn until_sent(&mut self, batch: &Batch, legs: u64) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let named = GetBatchRequest { batch_id: batch.batch_id.clone() };
            let now = self.client.operator.get_batch(named).await;
            let now = now.map_err(|status| format!("GetBatch: {status}"))?.into_inner();
            let sent = now.legs_by_state.iter().filter(|of| of.state() == LegState::Sent);
            let staged = std::fs::read_dir(self.outbox.join(".staging"));
            let staged = staged.map_err(|error| error.to_string())?.count();
            if sent.map(|of| of.legs).sum::<u64>() == legs && staged == 0 {
                return Ok(());
            }
            if start.elapsed() > GIVE_UP {
                return Err(format!("gave up waiting until {legs} legs are SENT: {now:?}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The keys of the pay-ins, where their file does not hold them.
    async fn pay_in_keys(&mut self, batch: &Batch) -> Result<Vec<String>, String> {
        let legs = self.client.legs(batch).await;
        let pay_ins = legs.into_iter().filter(|leg| leg.to.iter().all(|byte| *byte == 0));
        Ok(pay_ins.map(|leg| leg.key).collect())
    }

    fn compare(&self, batch: &Batch, sums: &Sums) -> Result<(), String> {
        let units = |text: &str| text.parse::<u128>().map_err(|_| format!("no sum: {text:?}"));
        let (total, pay_ins) = (units(&batch.total)?, units(&batch.pay_in_total)?);
        let cents = [total, pay_ins].map(|sum| sum / crowd::UNITS_PER_CENT);
        let legs = u64::try_from(self.args.legs).map_err(|error| error.to_string())?;
        let told = (sums.paid, sums.paid_cents, sums.pay_ins, sums.pay_in_cents);
        let own = (batch.legs - batch.pay_in_legs, cents[0], batch.pay_in_legs, cents[1]);
        if told != own || batch.legs != legs {
            return Err(format!("files say {told:?}, the batch {own:?}: {batch:?}"));
        }
        Ok(())
    }

    fn report(&self, took: &[Took], failed: bool) {
        let args = &self.args;
        let median = |of: &dyn Fn(&Took) -> u128| {
            let mut all: Vec<u128> = took.iter().map(of).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        let first = took.first();
        let answered = self.answered.as_ref().map(|both| both.each_ref().map(answers_told));
        println!(
            "{}",
            serde_json::json!({
                "bench": "settle", "rail": args.rail.name(),
                "model": format!("{:?}", args.model).to_lowercase(), "dust": args.dust,
                "legs": args.legs, "payers": args.payers, "rounds": took.len(),
                "files": first.map(|t| t.sums.files), "bytes": first.map(|t| t.sums.bytes),
                "create_ms": median(&|t| t.create.as_millis()),
                "approve_ms": median(&|t| t.approve.as_millis()),
                "all_ms": median(&|t| t.all().as_millis()),
                "all_ms_worst": took.iter().map(|t| t.all().as_millis()).max(),
                "cpu_ms": median(&|t| t.cpu.as_millis()),
                "peak_mib": first.map(|t| t.peak_kib >> 10),
                "before_mib": first.map(|t| t.before_kib >> 10),
                "answers": answered, "failures": u8::from(failed),
            })
        );
    }
}

fn answers_told(of: &Answered) -> serde_json::Value {
    let millis = |place: usize| of.took.get(place).map(Duration::as_millis);
    serde_json::json!({
        "count": of.took.len(), "least_ms": millis(0), "median_ms": millis(of.took.len() / 2),
        "more_kib": of.peak_kib.saturating_sub(of.before_kib),
    })
}
