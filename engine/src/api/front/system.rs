//! What the system knows of the process.

use crate::log;
use crate::metrics::{CPU_SECONDS, LOG_LINES_LOST, MEMORY_BYTES, Page, Seconds};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Puts it on the page.
pub(super) fn put(page: &mut Page) {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let used = Duration::new(
        u64::try_from(used.tv_sec).unwrap_or(0),
        u32::try_from(used.tv_nsec).unwrap_or(0),
    );
    page.put(&CPU_SECONDS, &["all"], Seconds(used));
    if let Some(bytes) = resident() {
        page.put(&MEMORY_BYTES, &[], bytes);
    }
    page.put(&LOG_LINES_LOST, &[], log::lost());
}

/// Bytes of memory that the process holds; `None` where the system does not say so.
pub(in crate::api) fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}
