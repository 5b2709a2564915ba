//! Looks through RocksDB's write-ahead logs, and its MANIFEST, before RocksDB does.
//!
//! RocksDB cannot tell a write that was never finished, at the very end, from damage to one that
//! was: some flipped bits make it drop, without a word, everything behind them, and some make it
//! search for ever (`log::Reader`, 11.8). So the question is settled here: a log is good up to some
//! byte, and what is behind that byte either ends too early, as the write that was under way does
//! when the power goes (it was never acked and is cut off), or it does not, and then the journal is
//! damaged. Reads the framing only, and the positions of the records in each write; writes nothing
//! but the cut.

use super::JournalError;
use super::record::position_of;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use tallystick_ledger::types::Lsn;

// Framing of RocksDB's log files, `db/log_format.h`: blocks, each of whole physical records.
const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
/// The three kinds of record that describe the log itself.
const OTHERS: [u8; 3] = [9, 10, 130];
/// Tags of entries, `db/dbformat.h`.
const COLUMN_DELETION: u8 = 4;
const COLUMN_VALUE: u8 = 5;
const COLUMN_RANGE_DELETION: u8 = 14;
/// `util/crc32c.h`.
const MASK_DELTA: u32 = 0xa282_ead8;

/// What is wrong with a log behind its good part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// The file ends before the write does.
    Torn,
    /// What was written there has changed, at this byte or a little behind it.
    Damaged(usize),
}

/// A log, looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    /// Up to here all is good.
    good: usize,
    /// What follows, if anything does.
    flaw: Option<Flaw>,
    /// The last position in the journal that the good part names.
    last: Option<Lsn>,
}

/// Checks all logs of a data directory, oldest first. Cuts off the remains of an unfinished write
/// at the end of the newest, after a copy of them to `<log>.<offset>.cut` beside it; but not if the
/// journal is `known` to reach further, for then the write was finished.
///
/// # Errors
/// `Damaged`, or `Storage` when a file cannot be read or cut.
pub(super) fn check(dir: &Path, known: Option<Lsn>) -> Result<(), JournalError> {
    let failed = |path: &Path, error: io::Error| {
        JournalError::Storage(format!("{}: {error}", path.display()))
    };
    let logs = logs(dir).map_err(|error| failed(dir, error))?;
    let mut last = Lsn(0);
    for (i, path) in logs.iter().enumerate() {
        let bytes = fs::read(path).map_err(|error| failed(path, error))?;
        let look = look(&bytes);
        last = look.last.unwrap_or(last);
        let at = match look.flaw {
            None => continue,
            Some(Flaw::Torn) if i + 1 == logs.len() => {
                // Where the logs hold no record at all, only the replay can tell.
                if let Some(known) = known.filter(|known| last > Lsn(0) && *known > last) {
                    return Err(JournalError::ends_before(known, last));
                }
                cut(path, &bytes, look.good).map_err(|error| failed(path, error))?;
                continue;
            }
            // A log that is not the newest was whole before the next was begun.
            Some(Flaw::Torn) => look.good,
            Some(Flaw::Damaged(at)) => at,
        };
        let why = format!("the write-ahead log {} has changed at byte {at}", path.display());
        return Err(JournalError::Damaged { lsn: last.next(), why });
    }
    Ok(())
}

/// The MANIFEST, RocksDB's list of its files, has the same framing, and the same bits make RocksDB
/// search for ever. One that ends too early is RocksDB's business; what that makes it forget, the
/// mark misses.
pub(super) fn check_manifest(dir: &Path) -> Result<(), JournalError> {
    // Where one of the two is missing or unreadable, RocksDB has the right words.
    let Ok(current) = fs::read_to_string(dir.join("CURRENT")) else { return Ok(()) };
    let path = dir.join(current.trim_end());
    let Ok(bytes) = fs::read(&path) else { return Ok(()) };
    match look(&bytes).flaw {
        None | Some(Flaw::Torn) => Ok(()),
        Some(Flaw::Damaged(at)) => Err(JournalError::Storage(format!(
            "{} is damaged at byte {at}; restore the data directory from a copy",
            path.display()
        ))),
    }
}

/// The log files of the directory, oldest first; none if it does not exist yet.
fn logs(dir: &Path) -> io::Result<Vec<PathBuf>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut logs: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    // Their names are numbers with leading zeros: `000123.log`.
    logs.sort();
    Ok(logs)
}

fn cut(path: &Path, bytes: &[u8], good: usize) -> io::Result<()> {
    let rest = &bytes[good..];
    tracing::warn!(
        log = %path.display(), offset = good, bytes = rest.len(),
        "cutting off a write that was never finished, and so never acked"
    );
    let mut kept = path.as_os_str().to_owned();
    kept.push(format!(".{good}.cut"));
    fs::write(kept, rest)?;
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(u64::try_from(good).expect("a length fits 64 bits"))?;
    file.sync_all()
}

/// Looks through one log.
fn look(log: &[u8]) -> Look {
    let (mut at, mut good, mut last, mut begun) = (0, 0, None, None::<Vec<u8>>);
    while at < log.len() {
        let room = BLOCK - at % BLOCK;
        if room < HEADER {
            at += room;
            continue;
        }
        let Some((kind, payload)) = physical(log, at) else { break };
        at += HEADER + payload.len();
        match (kind, &mut begun) {
            (FIRST, _) => begun = Some(payload.to_vec()),
            (MIDDLE | LAST, Some(pieces)) => pieces.extend_from_slice(payload),
            _ => {}
        }
        // A write is whole with its last piece.
        let write = match kind {
            FIRST | MIDDLE => continue,
            LAST => begun.take().as_deref().and_then(last_lsn),
            FULL => last_lsn(payload),
            _ => None,
        };
        (good, last, begun) = (at, write.or(last), None);
    }
    let flaw = match log.get(at..) {
        None | Some([]) => (good < log.len() && begun.is_some()).then_some(Flaw::Torn),
        Some(rest) if ends_too_early(rest, BLOCK - at % BLOCK) => Some(Flaw::Torn),
        Some(_) => Some(Flaw::Damaged(at)),
    };
    Look { good, flaw, last }
}

/// Whether what stands where a physical record should begin is the beginning of one, and the file
/// ends before it does. `room` is what is left of the block.
fn ends_too_early(rest: &[u8], room: usize) -> bool {
    // Space that was set aside for the log and never written is zero.
    if rest.iter().all(|byte| *byte == 0) {
        return true;
    }
    let Some((header, payload)) = rest.split_first_chunk::<HEADER>() else { return true };
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let beyond_the_file = HEADER + length > rest.len();
    // If the checksum fits what is there, the record is whole and its length has changed.
    beyond_the_file && HEADER + length <= room && !fits(header, payload)
}

/// The physical record at `at`, if one is whole there: its kind and payload.
fn physical(log: &[u8], at: usize) -> Option<(u8, &[u8])> {
    let (header, rest) = log.get(at..)?.split_first_chunk::<HEADER>()?;
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let kind = header[6];
    let known = [FULL, FIRST, MIDDLE, LAST].contains(&kind) || OTHERS.contains(&kind);
    if !known || HEADER + length > BLOCK - at % BLOCK {
        return None;
    }
    let payload = rest.get(..length)?;
    fits(header, payload).then_some((kind, payload))
}

/// Whether a header's checksum is that of its kind and this payload.
fn fits(header: &[u8; HEADER], payload: &[u8]) -> bool {
    let [c0, c1, c2, c3, _, _, kind] = *header;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&[kind]), payload);
    crc.rotate_right(15).wrapping_add(MASK_DELTA) == u32::from_le_bytes([c0, c1, c2, c3])
}

/// The last position of a record that a write holds, if it holds any. RocksDB may write what two
/// threads write at once together, so records and pages can stand in one write, in any order.
///
/// `db/write_batch.cc`: sequence u64, count u32, then the entries: tag, column, key and value, or
/// the two keys of a range that is deleted.
fn last_lsn(batch: &[u8]) -> Option<Lsn> {
    let (mut rest, mut last) = (batch.get(12..)?, None);
    while let Some((&tag, entry)) = rest.split_first() {
        let Some((_column, entry)) = varint(entry) else { break };
        let Some((key, entry)) = text(entry) else { break };
        // A deletion has a key alone: what is destroyed (`tables`).
        if tag == COLUMN_DELETION {
            rest = entry;
            continue;
        }
        let Some((value, entry)) = text(entry) else { break };
        rest = entry;
        match tag {
            // Columns of records come and go; a record says itself at which position it stands.
            COLUMN_VALUE => {
                let lsn = position_of(value).filter(|lsn| lsn.0.to_be_bytes() == key);
                last = last.max(lsn);
            }
            COLUMN_RANGE_DELETION => {}
            // The journal writes no other.
            _ => break,
        }
    }
    last
}

/// A number of 7 bits a byte, the lowest first; all but the last byte have the highest bit set.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = 1 + bytes.iter().take(9).position(|byte| byte & 0x80 == 0)?;
    let (digits, rest) = bytes.split_at(length);
    let number = digits.iter().rev().fold(0, |sum: u64, byte| sum << 7 | u64::from(byte & 0x7f));
    Some((number, rest))
}

/// Bytes behind their length.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = varint(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::super::{Chain, Journal, Log as _, Table, Tail, replay, rocks};
    use super::*;
    use tallystick_ledger::types::Timestamp;

    const GROUPS: u64 = 6;

    /// A directory as a power cut leaves it, the last marks not written: six groups of two records,
    /// in the log only; the sixth larger than a block.
    fn killed() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = rocks::open(&dir.path().join("live")).unwrap().log;
        let mut chain = Chain::start();
        for group in 0..GROUPS {
            let body = vec![7; if group == GROUPS - 1 { 40_000 } else { 100 }];
            let record = |_| chain.frame(1, Timestamp(7), 2, 1, &[&body]);
            log.append(&(0..2).map(record).collect::<Vec<_>>()).unwrap();
        }
        let dead = dir.path().join("dead");
        copy(&dir.path().join("live"), &dead);
        fs::remove_file(dead.join(super::super::mark::FILE)).unwrap();
        (dir, dead)
    }

    fn copy(from: &Path, to: &Path) {
        let _ = fs::remove_dir_all(to);
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }

    fn records(dir: &Path) -> Result<u64, JournalError> {
        let log = rocks::open(dir)?.log;
        let mut chain = Chain::start();
        replay(&log, &mut chain, &mut |_| Ok(()))?;
        Ok(chain.tail().lsn.0)
    }

    #[test]
    fn a_whole_log_is_left_alone() {
        let (_dir, dead) = killed();
        let log = logs(&dead).unwrap().pop().unwrap();
        let bytes = fs::read(&log).unwrap();
        let whole = Look { good: bytes.len(), flaw: None, last: Some(Lsn(2 * GROUPS)) };
        assert_eq!(look(&bytes), whole);
        assert_eq!(records(&dead).unwrap(), 2 * GROUPS);
    }

    #[test]
    fn a_log_cut_anywhere_keeps_every_whole_write() {
        let (dir, dead) = killed();
        let log = logs(&dead).unwrap().pop().unwrap();
        let bytes = fs::read(&log).unwrap();
        for length in 1..bytes.len() {
            assert!(!matches!(look(&bytes[..length]).flaw, Some(Flaw::Damaged(_))), "{length}");
        }
        let copied = dir.path().join("copy");
        for length in (1..bytes.len()).step_by(bytes.len() / 40).chain([bytes.len() - 1]) {
            copy(&dead, &copied);
            fs::write(copied.join(log.file_name().unwrap()), &bytes[..length]).unwrap();
            let whole = look(&bytes[..length]).last.map_or(0, |lsn| lsn.0);
            assert_eq!(records(&copied).unwrap(), whole, "{length} bytes");
        }
    }

    /// RocksDB alone searches for ever for some of these bits and drops records for others.
    #[test]
    fn every_flipped_bit_is_seen() {
        let (_dir, dead) = killed();
        let log = logs(&dead).unwrap().pop().unwrap();
        let mut bytes = fs::read(&log).unwrap();
        for bit in 0..bytes.len() * 8 {
            // In the large write, one bit in 61 is enough.
            if bit > 20_000 && !bit.is_multiple_of(61) && (bytes.len() * 8 - bit) > 800 {
                continue;
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(look(&bytes).flaw, Some(Flaw::Damaged(_))), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn damage_names_the_record_and_the_byte() {
        let (_dir, dead) = killed();
        let log = logs(&dead).unwrap().pop().unwrap();
        let mut bytes = fs::read(&log).unwrap();
        let third = (0..bytes.len())
            .filter(|&at| matches!(physical(&bytes, at), Some((FULL, p)) if last_lsn(p).is_some()))
            .nth(2)
            .unwrap();
        bytes[third + 6] ^= 4;
        fs::write(&log, &bytes).unwrap();
        let text = records(&dead).unwrap_err().to_string();
        assert!(text.contains("record 5 ") && text.contains(&format!("byte {third}.")), "{text}");
    }

    /// Found by reading RocksDB: what two threads write at once becomes one write. When a page came
    /// first, the records behind it were not seen, and a sound log was refused as one that ends too
    /// early; when a record came first, pages were counted as records.
    #[test]
    fn records_are_found_in_a_write_among_pages() {
        let length = |bytes: &[u8]| match bytes.len() {
            short @ 0..128 => vec![u8::try_from(short).unwrap()],
            long => {
                vec![u8::try_from(long & 0x7f).unwrap() | 0x80, u8::try_from(long >> 7).unwrap()]
            }
        };
        let entry = |tag: u8, column: u8, key: &[u8], value: &[u8]| {
            [&[tag, column], &*length(key), key, &*length(value), value].concat()
        };
        let record = |column, lsn: u64| {
            let before = Tail { lsn: Lsn(lsn - 1), ..Tail::START };
            let record = Chain::after(before, Timestamp(7)).frame(1, Timestamp(7), 2, 1, &[b"x"]);
            entry(COLUMN_VALUE, column, &lsn.to_be_bytes(), &record.bytes)
        };
        let page = || entry(COLUMN_VALUE, 4, &[7; 17], &[8; 90]);
        // Of a table whose keys look like positions.
        let row = || entry(COLUMN_VALUE, 7, &900u64.to_be_bytes(), &[1; 140]);
        let range = || entry(COLUMN_RANGE_DELETION, 3, &[1; 9], &[2; 9]);
        let write = |entries: &[Vec<u8>]| {
            let mut batch = vec![0; 12];
            batch.extend(entries.concat());
            last_lsn(&batch)
        };
        assert_eq!(write(&[record(1, 5), record(2, 6)]), Some(Lsn(6)));
        assert_eq!(write(&[page(), range(), record(30, 5), row()]), Some(Lsn(5)));
        // A key that is destroyed by another thread comes first.
        let destroyed = || vec![COLUMN_DELETION, 9, 2, 7, 7];
        assert_eq!(write(&[destroyed(), record(3, 8), destroyed()]), Some(Lsn(8)));
        assert_eq!(write(&[record(1, 300), page(), page(), page()]), Some(Lsn(300)));
        assert_eq!(write(&[page(), range()]), None);
        assert_eq!((write(&[]), last_lsn(&[1])), (None, None));
    }

    #[test]
    fn a_log_with_pages_and_records_of_two_threads_is_whole_and_names_the_last_record() {
        let dir = tempfile::tempdir().unwrap();
        let Journal { mut log, tables } = rocks::open(dir.path()).unwrap();
        let pages = std::thread::spawn(move || {
            for n in 0..200u64 {
                tables.put(Table::Windows, &n.to_be_bytes(), &[7; 300]).unwrap();
                tables.sync(Table::Windows).unwrap();
            }
        });
        let mut chain = Chain::start();
        for _ in 0..200 {
            log.append(&[chain.frame(1, Timestamp(7), 2, 1, &[&[1; 50]])]).unwrap();
        }
        pages.join().unwrap();
        let log = logs(dir.path()).unwrap().pop().unwrap();
        let bytes = fs::read(&log).unwrap();
        let whole = Look { good: bytes.len(), flaw: None, last: Some(Lsn(200)) };
        assert_eq!(look(&bytes), whole);
    }
}
