//! `TigerBeetle` by its own benchmark: one replica, unsigned transfers in its largest batches.

use crate::bench::{fresh, remove, rested};
use crate::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Transfers a second for which a turn of some length is made: it says how many, not how long.
const PER_SECOND: u64 = 300_000;

/// Its binary.
pub struct TigerBeetle(PathBuf);

impl TigerBeetle {
    /// `None` where there is no `tigerbeetle` on the PATH.
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let mut found = std::env::split_paths(&path).map(|dir| dir.join("tigerbeetle"));
        found.find(|program| program.is_file()).map(Self)
    }

    /// Transfers a second on a new replica with its data in `dir`.
    ///
    /// # Errors
    /// When its benchmark does not end well, or does not say how fast it was.
    pub fn turn(&self, dir: &Path, time: Duration) -> Result<f64, Error> {
        fresh(dir)?;
        rested(dir)?;
        let program = std::path::absolute(&self.0).unwrap_or_else(|_| self.0.clone());
        let mut command = Command::new(program);
        let transfers = PER_SECOND * time.as_secs();
        command.arg("benchmark").arg(format!("--transfer-count={transfers}")).current_dir(dir);
        let output = command.stdin(Stdio::null()).output();
        let failed = |why: String| Error::Engine(format!("tigerbeetle benchmark: {why}"));
        let output = output.map_err(|error| failed(error.to_string()))?;
        // It tells on standard error.
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let rate = accepted(&said).filter(|_| output.status.success());
        remove(dir)?;
        rate.ok_or_else(|| failed(format!("{}, and said:\n{said}", output.status)))
    }
}

/// Its line `load accepted = 262144 tx/s`.
fn accepted(said: &str) -> Option<f64> {
    let line = said.lines().find_map(|line| line.trim().strip_prefix("load accepted = "))?;
    line.strip_suffix(" tx/s")?.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::accepted;

    #[test]
    fn its_line_is_read() {
        let said =
            "1222 batches in 34.61 s\nload accepted = 288,930 tx/s\nbatch latency p00 = 8 ms\n";
        assert_eq!(accepted(said).map(f64::to_bits), Some(288_930f64.to_bits()));
        assert_eq!(accepted("load offered = 1000000 tx/s"), None);
    }
}
