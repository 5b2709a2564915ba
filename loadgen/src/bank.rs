//! The demo's bank: what a bank and the payers behind it would do, played so that the batch comes
//! to its end. It works with the two folders that operators use, and no money moves.
//!
//! Owns the play and the check of its end. Pays nothing that is in no file: what it books of
//! pay-outs, it read in the files that left.

use crate::args::RunArgs;
use crate::books::{Differences, PartyId};
use crate::camt::{Entry, Way, notification};
use crate::error::Error;
use crate::pain::Payments;
use crate::run::Run;
use crate::settle::{CLEARING, Leg, cent, none};
use crate::setup::RAIL;
use crate::window::number;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tallystick_proto::v1::{
    Batch, BatchState, GetBatchRequest, GetWindowRequest, LegState, LegSum, Reconciliation,
    WindowState,
};

/// Longest wait for the engine to go on: a bound, not an expectation.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often we look.
const LOOK: Duration = Duration::from_millis(20);
/// The operator's account where none is configured, as every file of such an engine names it.
const ACCOUNT: &str = "DE36000000000000000000";

/// What the bank did.
#[derive(Debug, Default)]
pub struct Played {
    /// What it booked, in the order in which it said so: files for the inbox.
    pub answers: Vec<String>,
    /// Bank files that it took from the outbox.
    pub taken: Vec<String>,
    /// The batch, which has ended.
    pub batch: Batch,
    /// How much of the parties' exposure has fallen, in asset units.
    pub released: u128,
    /// How much of it is left: the debtors' dust.
    pub dust: u128,
}

/// The engine's folders, and ours for what was taken.
struct Folders {
    outbox: PathBuf,
    /// Lists of who is to pay in, which are not for the bank.
    lists: PathBuf,
    inbox: PathBuf,
    taken: PathBuf,
}

/// Plays the bank until the batch has ended, and checks that all of it came out as our books say;
/// gives what the files that left pay. `data` is the engine's data directory, `taken` where bank
/// files go.
///
/// # Errors
/// When a folder cannot be used, a call fails, the engine does not go on, or a check does not hold.
pub async fn play(
    args: &RunArgs,
    run: &mut Run,
    batch: &Batch,
    legs: &[Leg],
    (data, taken): (&Path, &Path),
) -> Result<(Played, Payments, Vec<String>), Error> {
    let folder = |name: &str| data.join(name).join(RAIL);
    let (outbox, lists, inbox) = (folder("outbox"), folder("pay-ins"), folder("inbox"));
    let folders = Folders { outbox, lists, inbox, taken: taken.to_owned() };
    std::fs::create_dir_all(taken).map_err(|source| failed("cannot make", taken, source))?;
    let (mut played, mut paid) = (Played::default(), Payments::default());
    let cent = cent(args)?;
    let pay_ins = legs.iter().filter(|leg| leg.to == CLEARING);
    let pay_ins: Vec<Entry> =
        pay_ins.map(|leg| Entry { id: leg.key.clone(), cents: leg.amount / cent }).collect();
    if !pay_ins.is_empty() {
        // The list for whoever collects: until it is there, nobody was asked to pay in.
        folders.asked(&pay_ins).await?;
        folders.answer(args, Way::Credit, &pay_ins, &mut played)?;
    }
    let mut seen = Instant::now();
    loop {
        let files = folders.take(&mut paid, &mut played)?;
        for payments in files {
            let entries = payments.into_iter().map(|(id, cents)| Entry { id, cents });
            folders.answer(args, Way::Debit, &entries.collect::<Vec<_>>(), &mut played)?;
            seen = Instant::now();
        }
        let now = get(run, batch).await?;
        if is_ended(&now) {
            played.batch = now;
            break;
        }
        if seen.elapsed() > WAIT_MAX {
            let state = now.state();
            let what =
                format!("the batch stays {state:?}; what is in the way: {}", folders.notes());
            return Err(Error::Check(what));
        }
        tokio::time::sleep(LOOK).await;
    }
    let told = released(run, batch).await?;
    let checks = check(args, run, &told, legs, &paid, &mut played).await?;
    Ok((played, paid, checks))
}

fn failed(doing: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File { doing, path: path.to_owned(), source }
}

impl Folders {
    /// Waits until there are lists of all these pay-ins, quoting their keys.
    async fn asked(&self, pay_ins: &[Entry]) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            let mut quoted = BTreeSet::new();
            for name in waiting(&self.lists, ".pay-ins.csv")? {
                let path = self.lists.join(name);
                let text = std::fs::read_to_string(&path);
                let text = text.map_err(|source| failed("cannot read", &path, source))?;
                quoted.extend(text.split([',', '\n']).map(str::to_owned));
            }
            let missing = pay_ins.iter().filter(|entry| !quoted.contains(&entry.id)).count();
            if missing == 0 {
                return Ok(());
            }
            if started.elapsed() > WAIT_MAX {
                let what = format!("{missing} pay-ins stand in no list for whoever collects them");
                return Err(Error::Check(what));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Says what was booked: a file that appears in the inbox at once.
    fn answer(
        &self,
        args: &RunArgs,
        way: Way,
        entries: &[Entry],
        played: &mut Played,
    ) -> Result<(), Error> {
        let name = format!("demo-bank-{}", played.answers.len() + 1);
        let text = notification(&name, &today(), ACCOUNT, &args.asset_code, way, entries);
        let file = format!("{name}.camt.054.xml");
        let (part, whole) = (self.inbox.join(format!("{file}.part")), self.inbox.join(&file));
        std::fs::write(&part, text).map_err(|source| failed("cannot write", &part, source))?;
        std::fs::rename(&part, &whole).map_err(|source| failed("cannot write", &whole, source))?;
        played.answers.push(file);
        Ok(())
    }

    /// Takes bank files from the outbox, as whoever carries them to the bank does; their payments.
    fn take(
        &self,
        paid: &mut Payments,
        played: &mut Played,
    ) -> Result<Vec<BTreeMap<String, u128>>, Error> {
        let mut found = Vec::new();
        for name in waiting(&self.outbox, ".pain.001.xml")? {
            let (from, path) = (self.outbox.join(&name), self.taken.join(&name));
            std::fs::rename(&from, &path).map_err(|e| failed("cannot take", &from, e))?;
            let xml =
                std::fs::read_to_string(&path).map_err(|e| failed("cannot read", &path, e))?;
            let bad = |what: String| Error::Check(format!("{name}: {what}"));
            let payments = Payments::read(&xml).map_err(bad)?;
            let payments = payments.ok_or_else(|| bad("it is no pain.001".to_owned()))?;
            found.push(payments.by_id.clone());
            paid.add(payments).map_err(bad)?;
            played.taken.push(name);
        }
        Ok(found)
    }

    /// What the engine noted of our answers, if anything.
    fn notes(&self) -> String {
        let notes = ["refused", "done"].map(|tray| self.inbox.join(tray));
        let files = notes.iter().filter_map(|tray| std::fs::read_dir(tray).ok());
        let files = files.flatten().filter_map(Result::ok).map(|entry| entry.path());
        let texts = files.filter(|path| path.extension().is_some_and(|ending| ending == "txt"));
        let texts: Vec<String> =
            texts.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
        if texts.is_empty() { "nothing was noted".to_owned() } else { texts.join("; ") }
    }
}

/// Files of that ending in a folder.
fn waiting(folder: &Path, ending: &str) -> Result<Vec<String>, Error> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.map_err(|source| failed("cannot read", folder, source))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| name.ends_with(ending)).collect())
}

async fn get(run: &mut Run, batch: &Batch) -> Result<Batch, Error> {
    let request = GetBatchRequest { batch_id: batch.batch_id.clone() };
    let answer = run.clients.operator.get_batch(request).await;
    Ok(answer.map_err(|status| Error::call("GetBatch", &status))?.into_inner())
}

fn is_ended(batch: &Batch) -> bool {
    match batch.state() {
        BatchState::Settled | BatchState::SettledWithCarry | BatchState::Aborted => true,
        BatchState::Unspecified
        | BatchState::Computed
        | BatchState::Approved
        | BatchState::Submitting => false,
    }
}

/// The report of the ended batch, once nobody's exposure waits to fall any more.
async fn released(run: &mut Run, batch: &Batch) -> Result<Reconciliation, Error> {
    let started = Instant::now();
    loop {
        let request = GetBatchRequest { batch_id: batch.batch_id.clone() };
        let answer = run.clients.operator.get_reconciliation(request).await;
        let told = answer.map_err(|s| Error::call("GetReconciliation", &s))?.into_inner();
        if told.parties == told.parties_released {
            return Ok(told);
        }
        if started.elapsed() > WAIT_MAX {
            let (done, all) = (told.parties_released, told.parties);
            let what = format!("the exposure of {done} parties has fallen, of {all} it should");
            return Err(Error::Check(what));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The end, against our own books.
async fn check(
    args: &RunArgs,
    run: &mut Run,
    told: &Reconciliation,
    legs: &[Leg],
    paid: &Payments,
    played: &mut Played,
) -> Result<Vec<String>, Error> {
    let (batch, cent) = (played.batch.clone(), cent(args)?);
    let mut differences = Differences::default();
    if batch.state() != BatchState::Settled {
        differences.add(|| format!("the batch has ended as {:?}", batch.state()));
    }
    let pay_outs = legs.iter().filter(|leg| leg.from == CLEARING);
    let expected: BTreeMap<String, u128> =
        pay_outs.map(|leg| (leg.key.clone(), leg.amount / cent)).collect();
    differences.sums(&expected, &paid.by_id, |id| format!("cents that left for leg {id}"));
    let pay_outs = (batch.legs - batch.pay_in_legs, number(&batch.total)?);
    confirmed(
        "pay-ins",
        &told.pay_ins,
        (batch.pay_in_legs, number(&batch.pay_in_total)?),
        &mut differences,
    )?;
    confirmed("pay-outs", &told.pay_outs, pay_outs, &mut differences)?;
    differences.figure("in flight", 0, number::<u128>(&told.in_flight)?);
    differences.figure("owed again", 0, number::<u128>(&batch.owed_again)?);
    let payers: BTreeSet<&PartyId> = run.books.pairs.keys().map(|(payer, _)| payer).collect();
    differences.figure(
        "parties that owed",
        payers.len(),
        usize::try_from(told.parties).unwrap_or(0),
    );
    let debts = run.books.positions().into_values().filter(|net| *net < 0);
    played.dust = debts.map(|net| net.unsigned_abs() % cent).sum();
    played.released = number(&told.exposure_released)?;
    let gross: u128 = run.books.pairs.values().sum();
    differences.figure("exposure that fell", gross - played.dust, played.released);
    for window in &batch.windows {
        let request = GetWindowRequest { number: *window };
        let answer = run.clients.operator.get_window(request).await;
        let window = answer.map_err(|status| Error::call("GetWindow", &status))?.into_inner();
        if window.state() != WindowState::Settled {
            differences.add(|| format!("window {} is {:?}", window.number, window.state()));
        }
    }
    none(&differences)?;
    let (parties, code) = (crate::text::count(told.parties), &args.asset_code);
    let money = |units| crate::text::money(units, u32::from(args.scale));
    Ok(vec![
        format!(
            "all {} legs are confirmed, and what left to be paid is what its legs say",
            crate::text::count(batch.legs)
        ),
        format!(
            "{parties} payers owe {} {code} less: all they signed for, but {} of dust",
            money(played.released),
            money(played.dust)
        ),
    ])
}

/// Every leg of one side is confirmed, and they are as many and as much as the batch says.
fn confirmed(
    side: &str,
    told: &[LegSum],
    (legs, sum): (u64, u128),
    differences: &mut Differences,
) -> Result<(), Error> {
    let (mut count, mut total) = (0, 0);
    for of in told {
        if of.state() != LegState::Confirmed {
            differences.add(|| format!("{} {side} are {:?}", of.legs, of.state()));
        }
        count += of.legs;
        total += number::<u128>(&of.sum)?;
    }
    differences.figure(&format!("confirmed {side}"), legs, count);
    differences.figure(&format!("sum of confirmed {side}"), sum, total);
    Ok(())
}

/// The day of today, as `2026-11-30`.
fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    day(since.as_secs() / 86_400)
}

/// The day that is so many days after 1970 began, by the Gregorian calendar.
fn day(days: u64) -> String {
    // Years begin in March here, so that a leap day is a year's last; 719,468 days before 1970.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let days = [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29")];
        for (days, text) in days.into_iter().chain([(20_787, "2026-11-30"), (47_540, "2100-02-28")])
        {
            assert_eq!(day(days), text);
        }
        assert_eq!(day(47_541), "2100-03-01");
    }
}
