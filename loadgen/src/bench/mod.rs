//! Benches that compare: the same vouchers, signed once, on one engine after the other, each new
//! and with the same network's id. Who begins changes from round to round, so that a machine that
//! gets slower or faster favours nobody.

pub mod close;
pub mod compare;
pub mod mixes;
mod options;
pub mod overload;
pub mod peers;
mod pool;
mod turn;

use crate::error::Error;
use clap::ValueEnum;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Prints the result as the last line, and writes it to a file, if that is wanted.
fn report(result: &Value, file: Option<&Path>) -> Result<(), Error> {
    let text = format!("{result}\n");
    if let Some(path) = file {
        let failed = |source| Error::File { doing: "cannot write", path: path.to_owned(), source };
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(failed)?;
        }
        fs::write(path, &text).map_err(failed)?;
    }
    crate::print(&text);
    Ok(())
}

/// An empty folder; what an earlier bench left in it goes.
fn fresh(dir: &Path) -> Result<(), Error> {
    let file = |doing| move |source| Error::File { doing, path: dir.to_owned(), source };
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(file("cannot remove"))?;
    }
    fs::create_dir_all(dir).map_err(file("cannot make"))
}

/// Takes a folder away.
fn remove(dir: &Path) -> Result<(), Error> {
    let file = |source| Error::File { doing: "cannot remove", path: dir.to_owned(), source };
    fs::remove_dir_all(dir).map_err(file)
}

/// Waits until the disk below has written what earlier turns left to it: nobody's turn pays for
/// that of another.
fn rested(dir: &Path) -> Result<(), Error> {
    let here = dir.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("."));
    let file = |source| Error::File { doing: "cannot sync", path: here.to_owned(), source };
    let opened = fs::File::open(here).map_err(file)?;
    rustix::fs::syncfs(opened).map_err(|error| file(error.into()))
}

/// As people read it: so many digits behind the point.
#[allow(clippy::float_arithmetic)]
fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// A figure that fits 32 bits: a rate, an hour in microseconds.
fn float(figure: u64) -> f64 {
    u32::try_from(figure).map_or(f64::INFINITY, f64::from)
}

/// The name of a choice, as it is typed.
fn name_of(choice: &impl ValueEnum) -> String {
    choice.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
