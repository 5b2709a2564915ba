//! `statement`: a bank's daily download through the real engine: a statement in which nearly every
//! entry is somebody else's, around a few of ours. `make bench-statement`. Says how long the engine
//! took, from the rename that puts the file into the inbox until it lies among those that were
//! read, and how much memory that took beside what it held before. The last line is JSON; exit code
//! 1 when a leg of ours did not move. Owns the clock. Asserts no time.

#![forbid(unsafe_code)]

#[path = "../large/process.rs"]
mod process;

use clap::Parser;
use process::Used;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tallystick_tests::bank::{approve, entry, own_account, statement};
use tallystick_tests::wire::{Leg, LegState};
use tallystick_tests::{Deployment, Outcome, World, get_batch, legs_at};

/// A statement that takes longer hangs.
const GIVE_UP: Duration = Duration::from_secs(600);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);
/// What each leg of ours is, in units of the asset and as the bank writes it.
const UNITS: u64 = 2_000_000;
const SUM: &str = "2.00";

#[derive(Debug, Parser)]
#[command(about = "Reads one very large statement with the real engine, and says what it took")]
struct Args {
    /// Entries of somebody else's.
    #[arg(long, default_value_t = 1_000_000)]
    entries: usize,
    /// Entries of ours among them.
    #[arg(long, default_value_t = 4)]
    ours: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("statement: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<(), String> {
    let mut d = Deployment::new(1, args.ours).await;
    let vouchers: Vec<_> = (0..args.ours).map(|n| d.world.voucher(0, n, 0, UNITS)).collect();
    let outcomes = d.client.pay(&vouchers).await;
    if outcomes.iter().any(|outcome| *outcome != Outcome::Credited) {
        return Err(format!("vouchers were refused: {outcomes:?}"));
    }
    let window = d.client.close_window().await.number;
    let batch = d.client.create_batch(&[window], World::PAIRS).await;
    let batch = batch.map_err(|status| status.to_string())?;
    approve(&mut d.client, &batch).await;
    let legs = d.client.legs(&batch).await;
    let inbox = d.data().join("inbox/iso20022");
    let bytes = write(&inbox.join("day.xml.part"), args, &legs).map_err(|e| e.to_string())?;

    let pid = d.engine.id();
    process::forget_peak(pid);
    let before = Used::by(pid);
    let start = Instant::now();
    fs::rename(inbox.join("day.xml.part"), inbox.join("day.xml")).map_err(|e| e.to_string())?;
    while !inbox.join("done/day.xml").exists() {
        if start.elapsed() > GIVE_UP || inbox.join("refused/day.xml").exists() {
            let why = fs::read_to_string(inbox.join("refused/day.xml.txt")).unwrap_or_default();
            return Err(format!("the statement was refused, or not read: {why}"));
        }
        tokio::time::sleep(LOOK).await;
    }
    let took = start.elapsed();
    let after = Used::by(pid);
    let ended = get_batch(&mut d.client, &batch).await;
    let confirmed = legs_at(&ended, LegState::Confirmed);
    if usize::try_from(confirmed) != Ok(args.ours) {
        return Err(format!("{confirmed} of {} legs are confirmed", args.ours));
    }
    let more_kib = after.peak_kib.saturating_sub(before.held_kib);
    let cpu = after.cpu.saturating_sub(before.cpu);
    println!(
        "{} entries around {} of ours, {} MB: {:.1} s, {:.1} s of CPU time, {} MiB beyond the {} MiB held \
         before",
        args.entries,
        args.ours,
        bytes / 1_000_000,
        took.as_secs_f64(),
        cpu.as_secs_f64(),
        more_kib.div_ceil(1_024),
        before.held_kib.div_ceil(1_024),
    );
    println!(
        "{{\"entries\":{},\"ours\":{},\"bytes\":{bytes},\"ms\":{},\"cpu_ms\":{},\"held_kib\":{},\
         \"more_kib\":{more_kib}}}",
        args.entries,
        args.ours,
        took.as_millis(),
        cpu.as_millis(),
        before.held_kib,
    );
    Ok(())
}

/// Writes the statement: ours are spread among the others'.
fn write(path: &Path, args: &Args, legs: &[Leg]) -> io::Result<u64> {
    let mut out = BufWriter::new(File::create(path)?);
    let whole = statement(&own_account(), &[]);
    let (front, back) = whole.split_once("</Stmt>").expect("a statement has an end");
    out.write_all(front.as_bytes())?;
    let between = args.entries / (legs.len() + 1) + 1;
    let mut ours = legs.iter();
    for number in 0..args.entries {
        out.write_all(others(number).as_bytes())?;
        if number % between == between - 1
            && let Some(leg) = ours.next()
        {
            let text = entry(SUM, "DBIT", &format!("R-{number}"), &leg.key, false);
            out.write_all(text.as_bytes())?;
        }
    }
    for leg in ours {
        out.write_all(entry(SUM, "DBIT", &format!("R-{}", leg.key), &leg.key, false).as_bytes())?;
    }
    write!(out, "</Stmt>{back}")?;
    out.into_inner()?.metadata().map(|metadata| metadata.len())
}

/// Somebody else's entry, in the forms that banks send: payments with ids of other programs, with
/// a text alone, and sums for many payments.
fn others(number: usize) -> String {
    let way = ["CRDT", "DBIT"][number % 2];
    let details = match number % 4 {
        0 => format!("<Btch><MsgId>{number:032x}</MsgId><NbOfTxs>17</NbOfTxs></Btch>"),
        1 => format!(
            "<TxDtls><Refs><MsgId>{number:032x}</MsgId><EndToEndId>INVOICE-{number}</EndToEndId></Refs>\
             <RmtInf><Ustrd>Invoice {number} of the third quarter, customer 4711</Ustrd></RmtInf></TxDtls>"
        ),
        2 => format!(
            "<TxDtls><Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs><RltdPties><Dbtr><Nm>A Customer \
             {number}</Nm></Dbtr></RltdPties><RmtInf><Ustrd>EREF+{number}SVWZ+Thank you for the \
             delivery 2345 67 of our order</Ustrd></RmtInf></TxDtls>"
        ),
        _ => String::new(),
    };
    format!(
        "<Ntry><NtryRef>{number}</NtryRef><Amt Ccy=\"EUR\">{number}.00</Amt><CdtDbtInd>{way}</CdtDbtInd>\
         <Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-30</Dt></BookgDt><AcctSvcrRef>O-{number}</AcctSvcrRef>\
         <BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>\
         <NtryDtls>{details}</NtryDtls><AddtlNtryInf>Transfer of a customer no {number}</AddtlNtryInf>\
         </Ntry>\n"
    )
}
