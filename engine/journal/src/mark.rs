//! The mark: how far the journal is known to reach, in a file of its own.
//!
//! Kept apart from RocksDB, so that whatever makes RocksDB forget records cannot make it forget the
//! mark: a journal that ends before its mark is refused. Written after each group is durable, never
//! before, so that it never runs ahead.

use super::Tail;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use tallystick_ledger::types::{Digest, Lsn};

/// Name of the file in the data directory.
pub(super) const FILE: &str = "tallystick.mark";
/// lsn u64, digest of that record, digest of the last event, and the first 8 bytes of BLAKE3 over
/// them: one disk sector, so that it is written whole or not at all.
const BYTES: usize = 80;
const FIELDS: usize = BYTES - 8;

/// The open file.
pub(super) struct Mark(File);

impl Mark {
    /// Opens the file, or makes an empty one.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(dir.join(FILE));
        Ok(Self(file?))
    }

    /// Opens the file to read it.
    pub fn open_read_only(dir: &Path) -> io::Result<Self> {
        Ok(Self(File::open(dir.join(FILE))?))
    }

    /// What it holds; `None` if it was never written or not written whole.
    pub fn read(&self) -> io::Result<Option<Tail>> {
        let mut bytes = [0; BYTES];
        match self.0.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let (lsn, rest) = bytes.split_first_chunk::<8>().expect("80 bytes");
        let (link, rest) = rest.split_first_chunk::<32>().expect("72 bytes");
        let (event_link, _) = rest.split_first_chunk::<32>().expect("40 bytes");
        let (link, event_link) = (Digest(*link), Digest(*event_link));
        let tail = Tail { lsn: Lsn(u64::from_le_bytes(*lsn)), link, event_link };
        Ok((encode(tail) == bytes).then_some(tail))
    }

    /// Writes it, without waiting for the disk: a killed process leaves it, a power cut may not.
    pub fn write(&self, tail: Tail) -> io::Result<()> {
        self.0.write_all_at(&encode(tail), 0)
    }

    /// Waits until the disk has what was written.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

fn encode(tail: Tail) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&tail.lsn.0.to_le_bytes());
    bytes[8..40].copy_from_slice(&tail.link.0);
    bytes[40..FIELDS].copy_from_slice(&tail.event_link.0);
    let check = blake3::hash(&bytes[..FIELDS]);
    bytes[FIELDS..].copy_from_slice(&check.as_bytes()[..8]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_unless_it_was_not_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mark = Mark::open(dir.path()).unwrap();
        assert_eq!(mark.read().unwrap(), None);
        let tail = Tail { lsn: Lsn(7), link: Digest([9; 32]), event_link: Digest([8; 32]) };
        mark.write(tail).unwrap();
        assert_eq!(Mark::open(dir.path()).unwrap().read().unwrap(), Some(tail));
        mark.0.write_all_at(&[1], 3).unwrap();
        assert_eq!(mark.read().unwrap(), None);
    }
}
