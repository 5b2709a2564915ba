//! Progress on standard error: a bar on a terminal, else one line for every tenth.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How far one step of the run is.
pub struct Progress {
    what: &'static str,
    unit: &'static str,
    total: u64,
    done: AtomicU64,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts a step that handles `total` of `unit`.
    #[must_use]
    pub fn new(what: &'static str, unit: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template =
                "{prefix:>10} [{bar:32}] {percent:>3} %  {human_pos} of {human_len} {msg}";
            let style = ProgressStyle::with_template(template)
                .expect("the template is well formed")
                .progress_chars("=> ");
            ProgressBar::new(total).with_style(style).with_prefix(what).with_message(unit)
        });
        Self { what, unit, total, done: AtomicU64::new(0), started: Instant::now(), bar }
    }

    /// `count` more are done.
    pub fn add(&self, count: u64) {
        let before = self.done.fetch_add(count, Ordering::Relaxed);
        match &self.bar {
            Some(bar) => bar.inc(count),
            None => {
                let (from, to) = (tenth(before, self.total), tenth(before + count, self.total));
                if to > from {
                    let seconds = self.started.elapsed().as_secs();
                    eprintln!(
                        "{:>10} {:>3} %  of {} {} after {seconds} s",
                        self.what,
                        to * 10,
                        self.total,
                        self.unit
                    );
                }
            }
        }
    }

    /// The step is over: the bar makes room for what comes next.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How many tenths of the whole are done.
fn tenth(done: u64, total: u64) -> u64 {
    (done * 10).checked_div(total).unwrap_or(10)
}

#[cfg(test)]
mod tests {
    use super::tenth;

    #[test]
    fn tenths_are_complete_only_at_the_end() {
        assert_eq!([tenth(0, 7), tenth(3, 7), tenth(6, 7), tenth(7, 7)], [0, 4, 8, 10]);
        assert_eq!(tenth(0, 0), 10);
    }
}
