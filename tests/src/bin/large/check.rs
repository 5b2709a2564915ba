//! Reads the files in the outbox again and counts what they pay. Knows the files by their
//! documents, not by the engine's code: pain.001, NACHA, the list of pay-ins.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use tallystick_tests::wire::Batch;

/// What files say, together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many there are.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// Payments out, or from party to party.
    pub paid: u64,
    /// Their sum.
    pub paid_cents: u128,
    /// Payments to the clearing account.
    pub pay_ins: u64,
    /// Their sum.
    pub pay_in_cents: u128,
}

/// What the files in an outbox say.
///
/// # Errors
/// When one cannot be read.
pub fn files(outbox: &Path, rail: &str) -> io::Result<Sums> {
    let mut sums = Sums::default();
    for path in names(outbox)? {
        sums.files += 1;
        sums.bytes += path.metadata()?.len();
        let lines = BufReader::with_capacity(1 << 20, File::open(&path)?).lines();
        let is_list = path.extension().is_some_and(|ending| ending == "csv");
        for line in lines {
            let line = line?;
            if is_list {
                list_line(&line, &mut sums);
            } else if rail == "nacha" {
                entry(&line, &mut sums);
            } else {
                amount(&line, &mut sums);
            }
        }
    }
    Ok(sums)
}

/// The keys of the pay-ins where a list of them is in the outbox.
///
/// # Errors
/// A text when it cannot be read.
pub fn pay_in_keys(
    outbox: &Path,
    rail: &str,
    batch: &Batch,
) -> Result<Option<Vec<String>>, String> {
    if rail == "nacha" {
        return Ok(None);
    }
    let mut keys = Vec::new();
    for path in names(outbox).map_err(|error| error.to_string())? {
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let key = |line: &str| line.split(',').next().unwrap_or_default().to_owned();
        keys.extend(text.lines().skip(1).map(key));
    }
    let count = u64::try_from(keys.len()).map_err(|error| error.to_string())?;
    if count == batch.pay_in_legs { Ok(Some(keys)) } else { Err(format!("{count} pay-ins left")) }
}

fn names(outbox: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = std::fs::read_dir(outbox)?.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = paths.collect::<io::Result<_>>()?;
    files.retain(|path| path.is_file());
    files.sort_unstable();
    Ok(files)
}

/// pain.001: one amount a transaction, each on a line of its own.
fn amount(line: &str, sums: &mut Sums) {
    let Some((_, rest)) = line.split_once("<InstdAmt Ccy=\"EUR\">") else { return };
    let amount = rest.split('<').next().unwrap_or_default();
    sums.paid += 1;
    sums.paid_cents += cents(amount);
}

/// NACHA: entries of transaction code 22 and 32 pay, 27 and 37 collect; each batch of entries ends
/// with an offset of the clearing account, which is told by its identification number.
fn entry(line: &str, sums: &mut Sums) {
    let (Some(code), Some(amount), Some(id)) = (line.get(0..3), line.get(29..39), line.get(39..54))
    else {
        return;
    };
    if !line.starts_with('6') || id.starts_with("OFFSET-") {
        return;
    }
    let cents: u128 = amount.parse().expect("an entry has an amount");
    if matches!(code, "622" | "632") {
        (sums.paid, sums.paid_cents) = (sums.paid + 1, sums.paid_cents + cents);
    } else {
        (sums.pay_ins, sums.pay_in_cents) = (sums.pay_ins + 1, sums.pay_in_cents + cents);
    }
}

/// The list of pay-ins: key, kind, part, units, amount.
fn list_line(line: &str, sums: &mut Sums) {
    let mut cells = line.split(',').skip(1);
    if cells.next() == Some("pay_in") {
        sums.pay_ins += 1;
        sums.pay_in_cents += cents(cells.nth(2).unwrap_or_default());
    }
}

/// "12.34" is 1234.
fn cents(amount: &str) -> u128 {
    let (whole, part) = amount.split_once('.').expect("amounts have a point");
    assert_eq!(part.len(), 2, "amounts have two digits behind the point");
    format!("{whole}{part}").parse().expect("amounts are digits")
}
