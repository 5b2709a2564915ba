//! Where log lines go: to stderr, whole, or nowhere. A line that cannot be written is dropped and
//! counted; the ledger never stops because nobody reads its log.
//!
//! What can go wrong is the reader's: it left (`EPIPE`), its disk is full, or it stands still. A
//! reader that stands still is waited for once, for a moment, and then not again until it reads.

use crate::limits::{LOG_PATIENCE, LOG_PIECE_BYTES};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

static STDERR: Mutex<State> = Mutex::new(State { stalled: false, torn: false });
static LOST: AtomicU64 = AtomicU64::new(0);

/// How the last write went.
struct State {
    /// The reader stands still.
    stalled: bool,
    /// The last line was cut off.
    torn: bool,
}

/// Takes lines for stderr and never fails: what `tracing` writes to.
#[derive(Debug, Clone, Copy)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = STDERR.lock().unwrap_or_else(PoisonError::into_inner);
        let stderr = io::stderr();
        if !put(&mut state, stderr.as_fd(), line) {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line of its own to stderr, or drops and counts it.
pub fn line(text: &str) {
    let line = format!("{}\n", text.trim_end());
    Stderr.write_all(line.as_bytes()).expect("it never fails");
}

/// Lines that could not be written since the start.
#[must_use]
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Writes a line. False when not all of it could be.
fn put(state: &mut State, file: BorrowedFd<'_>, line: &[u8]) -> bool {
    let mut rest = line;
    if state.torn {
        // So that this line does not go on where the other one ended.
        if !put_piece(state, file, &mut &b"\n"[..]) {
            return false;
        }
        state.torn = false;
    }
    while !rest.is_empty() {
        if !put_piece(state, file, &mut rest) {
            state.torn = rest.len() < line.len();
            return false;
        }
    }
    true
}

/// Writes some of `rest`. False when nothing can be written.
fn put_piece(state: &mut State, file: BorrowedFd<'_>, rest: &mut &[u8]) -> bool {
    let patience = if state.stalled { 0 } else { LOG_PATIENCE.as_nanos() };
    let patience = i64::try_from(patience).expect("some milliseconds");
    let patience = Timespec { tv_sec: 0, tv_nsec: patience };
    let ready = poll(&mut [PollFd::new(&file, PollFlags::OUT)], Some(&patience));
    state.stalled = ready == Ok(0);
    if state.stalled {
        return false;
    }
    // Whatever else is wrong, the write says it.
    let piece = &rest[..rest.len().min(LOG_PIECE_BYTES)];
    match rustix::io::retry_on_intr(|| rustix::io::write(file, piece)) {
        Ok(0) | Err(_) => false,
        Ok(written) => {
            *rest = &rest[written..];
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn fresh() -> State {
        State { stalled: false, torn: false }
    }

    #[test]
    fn a_line_is_written_whole() {
        let (mut reader, writer) = io::pipe().unwrap();
        let line = [b"x".repeat(10_000), b"\n".to_vec()].concat();
        assert!(put(&mut fresh(), writer.as_fd(), &line));
        drop(writer);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, line);
    }

    #[test]
    fn a_reader_that_left_and_a_full_disk_lose_the_line_and_nothing_else() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert!(!put(&mut fresh(), writer.as_fd(), b"line\n"));
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert!(!put(&mut fresh(), full.as_fd(), b"line\n"));
    }

    #[test]
    fn a_reader_that_stands_still_holds_nobody_up_and_gets_whole_lines_when_it_reads_again() {
        let (mut reader, writer) = io::pipe().unwrap();
        let (mut state, line) = (fresh(), [b"x".repeat(5_000), b"\n".to_vec()].concat());
        while put(&mut state, writer.as_fd(), &line) {}
        assert!(state.stalled);
        assert!(!put(&mut state, writer.as_fd(), &line), "and again, at once");
        let mut read = vec![0; 1 << 16];
        let length = reader.read(&mut read).unwrap();
        read.truncate(length);
        assert!(put(&mut state, writer.as_fd(), b"the next\n"));
        drop(writer);
        reader.read_to_end(&mut read).unwrap();
        let text = String::from_utf8(read).unwrap();
        assert_eq!(text.lines().last(), Some("the next"));
    }
}
