//! What one small answer costs an engine with a past: bank's notifications of one booked payment
//! each, put into the inbox one after the other, timed from the rename that puts one there until it
//! lies among those that were read. That time holds what is left of the settler's tick, up to 100
//! ms, so the least of several is the nearest to what the engine itself takes.

use crate::process::{self, Used};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tallystick_tests::wire::Leg;

/// An answer that takes longer hangs.
const GIVE_UP: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_micros(500);
/// Units of a cent.
const CENT: u128 = crate::crowd::UNITS_PER_CENT;

/// What answers took.
#[derive(Debug, Clone, Default)]
pub struct Answered {
    /// Each, shortest first.
    pub took: Vec<Duration>,
    /// Memory held before them, and the most while they were read.
    pub before_kib: u64,
    /// The most.
    pub peak_kib: u64,
}

/// Has the bank tell of each of these legs in a file of its own.
///
/// # Errors
/// A text when a folder cannot be used, or an answer is refused or not read.
pub fn one_by_one(inbox: &Path, pid: u32, which: &str, legs: &[Leg]) -> Result<Answered, String> {
    process::forget_peak(pid);
    let before_kib = Used::by(pid).held_kib;
    let mut took = Vec::new();
    for (number, leg) in legs.iter().enumerate() {
        let name = format!("{which}-{number}.xml");
        let part = inbox.join(format!("{name}.part"));
        fs::write(&part, notification(&format!("{which}-{number}"), leg)?)
            .map_err(|error| error.to_string())?;
        let (waits, read) = (inbox.join(&name), inbox.join("done").join(&name));
        let start = Instant::now();
        fs::rename(&part, &waits).map_err(|error| error.to_string())?;
        while !read.exists() {
            if start.elapsed() > GIVE_UP || inbox.join("refused").join(&name).exists() {
                return Err(format!("{name} was refused, or not read"));
            }
            std::thread::sleep(LOOK);
        }
        took.push(start.elapsed());
    }
    took.sort_unstable();
    Ok(Answered { took, before_kib, peak_kib: Used::by(pid).peak_kib })
}

/// A camt.054 with one entry.
fn notification(number: &str, leg: &Leg) -> Result<String, String> {
    let units: u128 = leg.amount.parse().map_err(|_| format!("no sum: {:?}", leg.amount))?;
    let (whole, part) = (units / CENT / 100, units / CENT % 100);
    let key = &leg.key;
    Ok(format!(
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.054.001.08\"><BkToCstmrDbtCdtNtfctn>\
         <GrpHdr><MsgId>N{number}</MsgId><CreDtTm>2026-11-30T08:00:00Z</CreDtTm></GrpHdr><Ntfctn>\
         <Id>N{number}</Id><Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct><Ntry>\
         <Amt Ccy=\"EUR\">{whole}.{part:02}</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>\
         <BookgDt><Dt>2026-11-30</Dt></BookgDt><AcctSvcrRef>R-{number}</AcctSvcrRef><NtryDtls><TxDtls>\
         <Refs><EndToEndId>{key}</EndToEndId></Refs><Amt Ccy=\"EUR\">{whole}.{part:02}</Amt></TxDtls>\
         </NtryDtls></Ntry></Ntfctn></BkToCstmrDbtCdtNtfctn></Document>"
    ))
}
