//! Faults on demand, for tests: points at which the process kills itself, a frozen clock, few
//! request ids, a listener that ends.
//!
//! Compiled in only with the cargo feature `faults`, that is, into the binary `tallystick-faults`,
//! never into `tallystick`: without the feature every function here is empty and its callers
//! compile to what they would be without it. Decides nothing else, and nothing outside tests may
//! depend on it.
//!
//! | variable | does |
//! |---|---|
//! | `TALLYSTICK_FAULT=NAME:N` | at the N-th passage of the point NAME (the first is 1) the process gets SIGKILL |
//! | `TALLYSTICK_FAULT_WAIT=NAME:FIFO` | at each passage of the point NAME the thread waits until FIFO, a named pipe, was opened for writing and closed |
//! | `TALLYSTICK_FAULT_DISK=NAME:N` | behind the N-th passage of the point NAME the disk is nearly full for the next frame |
//! | `TALLYSTICK_FAULT_LOG=FILE` | the name of every point that is passed is written to FILE, a line each |
//! | `TALLYSTICK_FAULT_CLOCK=MICROS` | both clocks are frozen, the wall clock at this time |
//! | `TALLYSTICK_FAULT_REQUESTS_MAX=N` | so many request ids are remembered before nothing more is registered |
//! | `TALLYSTICK_FAULT_LISTENER_ENDS=KIND` | the listener for KIND (gRPC, HTTP) ends as soon as it has begun |
//!
//! | point | where |
//! |---|---|
//! | `append-KIND-before` | the journal thread, before the group that holds a record of this kind is written |
//! | `append-KIND-after` | the same, once the group is durable and before anyone hears of it |
//! | `start-opened` | at a start, the journal is open and not yet read |
//! | `erase-journaled` | a party's erasure is durable, and its key is not destroyed yet |
//! | `erase-destroyed` | the same key is destroyed, and nobody was told |
//! | `bootstrap-journaled` | at a start, the first operator is durable, and the file that names it is still there |
//! | `backup-linked` | what is to be backed up is linked together, and nothing of it copied |
//! | `backup-file` | one more file of a backup is durable |
//! | `backup-written` | all of a backup is durable, and it has no name yet |
//! | `archive-written` | the archive of a window is durable, and not journaled yet |
//! | `archive-journaled` | the same, once it is journaled and before its evidence is forgotten |
//! | `window-leaves` | the archive of a window was read again, before what was owed in it is forgotten |
//! | `window-left` | the same, once it is forgotten |
//! | `events-written` | an archive of events is durable, and not noted yet |
//! | `events-noted` | the same, once it is noted and before the log lets go of them |
//! | `events-left` | the same, once the log has let go |
//! | `start-recovered` | at a start, the journal is read and nobody is served yet |
//! | `claim-written` | what is brought under a payment identifier is durable, and not charged yet |
//! | `claim-decided` | the same is charged or refused, and that is not written yet |
//! | `stopping` | at a stop, nobody new is let in, and what was taken in is not answered yet |
//! | `submit-staged` | the settler, before it has journaled what is about to leave |
//! | `submit-journaled` | the same, once that is durable and before anything leaves |
//! | `submit-left` | the same, once a file or a call or a transaction has left |
//! | `answers-journaled` | the same, once what has come of calls is durable |
//! | `webhook-sent` | a webhook was answered, and that it was is not durable yet |

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Whether faults are compiled in.
const ON: bool = cfg!(feature = "faults");

/// Much longer than an answer takes to its client.
const MOMENT: Duration = Duration::from_millis(30);

/// A point at which the process may be killed. `name` is made only when faults are compiled in.
#[inline]
pub fn point<N: AsRef<str>>(name: impl FnOnce() -> N) {
    if ON {
        passage(name().as_ref());
    }
}

/// What the wall clock says, in microseconds since 1970, when a test has stopped the clocks.
#[inline]
#[must_use]
pub fn stopped_clock() -> Option<i64> {
    static SET: OnceLock<Option<i64>> = OnceLock::new();
    if !ON {
        return None;
    }
    *SET.get_or_init(|| {
        let text = std::env::var("TALLYSTICK_FAULT_CLOCK").ok()?;
        Some(text.parse().expect("TALLYSTICK_FAULT_CLOCK is a number of microseconds"))
    })
}

/// How many request ids may be remembered, when a test has them used up.
#[inline]
#[must_use]
pub fn requests_max() -> Option<usize> {
    static SET: OnceLock<Option<usize>> = OnceLock::new();
    if !ON {
        return None;
    }
    *SET.get_or_init(|| {
        let text = std::env::var("TALLYSTICK_FAULT_REQUESTS_MAX").ok()?;
        Some(text.parse().expect("TALLYSTICK_FAULT_REQUESTS_MAX is a number"))
    })
}

/// Whether the listener of a kind is to end by itself.
#[inline]
#[must_use]
pub fn listener_ends(kind: &str) -> bool {
    ON && std::env::var("TALLYSTICK_FAULT_LISTENER_ENDS").is_ok_and(|wanted| wanted == kind)
}

/// Whether the disk is nearly full for this frame.
#[inline]
#[must_use]
pub fn disk_is_full() -> bool {
    ON && DISK_IS_FULL.swap(false, Ordering::Relaxed)
}

static DISK_IS_FULL: AtomicBool = AtomicBool::new(false);

/// A point, and at which of its passages something happens.
struct Armed(OnceLock<Option<(String, u64)>>, AtomicU64);

impl Armed {
    const fn new() -> Self {
        Self(OnceLock::new(), AtomicU64::new(0))
    }

    /// Whether this is that passage, by what `variable` says.
    fn is_it(&self, variable: &str, name: &str) -> bool {
        let armed = self.0.get_or_init(|| {
            let text = std::env::var(variable).ok()?;
            let (name, count) = text.rsplit_once(':').expect("NAME:N");
            Some((name.to_owned(), count.parse().expect("it ends with a number")))
        });
        let Some((wanted, count)) = armed else { return false };
        wanted == name && self.1.fetch_add(1, Ordering::Relaxed) + 1 == *count
    }
}

/// Kills the process at the passage that was asked for, or fills the disk.
fn passage(name: &str) {
    static KILLS: Armed = Armed::new();
    static FILLS: Armed = Armed::new();
    log(name);
    wait(name);
    if FILLS.is_it("TALLYSTICK_FAULT_DISK", name) {
        DISK_IS_FULL.store(true, Ordering::Relaxed);
    }
    if KILLS.is_it("TALLYSTICK_FAULT", name) {
        kill();
    }
}

/// Waits at the point that a test wants to look at.
fn wait(name: &str) {
    static AT: OnceLock<Option<(String, String)>> = OnceLock::new();
    let at = AT.get_or_init(|| {
        let text = std::env::var("TALLYSTICK_FAULT_WAIT").ok()?;
        let (name, fifo) = text.split_once(':').expect("TALLYSTICK_FAULT_WAIT is NAME:FIFO");
        Some((name.to_owned(), fifo.to_owned()))
    });
    let Some((_, fifo)) = at.as_ref().filter(|(wanted, _)| wanted == name) else { return };
    // The opening waits for whoever writes, and the reading for the end of that.
    std::fs::read(fifo).expect("TALLYSTICK_FAULT_WAIT names a pipe");
}

/// So that a test can find out which points there are.
fn log(name: &str) {
    static FILE: OnceLock<Option<Mutex<File>>> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let path = std::env::var_os("TALLYSTICK_FAULT_LOG")?;
        let file = OpenOptions::new().create(true).append(true).open(path);
        Some(Mutex::new(file.expect("TALLYSTICK_FAULT_LOG can be written")))
    });
    if let Some(file) = file {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{name}").expect("TALLYSTICK_FAULT_LOG can be written");
    }
}

/// As `kill -9`: nothing is flushed, no destructor runs. The other threads get a moment before, so
/// that what they would wrongly say by then (an ack of what is not written) is said, and found out.
fn kill() -> ! {
    std::thread::sleep(MOMENT);
    let this = rustix::process::getpid();
    rustix::process::kill_process(this, rustix::process::Signal::KILL)
        .expect("a process may kill itself");
    // The signal may take a moment; nothing more happens on this thread until then.
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_feature_nothing_is_armed_and_no_name_is_made() {
        if !ON {
            point(|| -> &str { panic!("a name was made") });
            assert!(!listener_ends("gRPC"));
            assert_eq!((stopped_clock(), requests_max()), (None, None));
        }
    }
}
