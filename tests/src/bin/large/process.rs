//! What the engine's process used, as the system tells it (Linux; zero elsewhere).

use std::time::Duration;

/// What a process used so far, and holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// Processor time of all its threads.
    pub cpu: Duration,
    /// Memory that it holds now.
    pub held_kib: u64,
    /// The most since the peak was forgotten.
    pub peak_kib: u64,
}

impl Used {
    /// By this process.
    pub fn by(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
            kib.and_then(|kib| kib.parse().ok()).unwrap_or_default()
        };
        Self { cpu: cpu(pid), held_kib: kib("VmRSS:"), peak_kib: kib("VmHWM:") }
    }
}

/// Of all threads, also of those that have ended.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything: state, then 10 fields, then user and system time in
    // hundredths of a second.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// Has the system begin anew to remember the most memory of a process. Where it cannot, the peak is
/// that since the process began, which is no less.
pub fn forget_peak(pid: u32) {
    if let Err(error) = std::fs::write(format!("/proc/{pid}/clear_refs"), "5") {
        eprintln!("large: the peak of memory is that since the start: {error}");
    }
}
