//! Checkpoints: the state of all shards at one record, as segments of pages. Each checkpoint adds a
//! segment with what changed since the one before; now and then one holds everything, and the older
//! segments go. What counts is what the commit names, and nothing else.
//!
//! | table | key | page |
//! |---|---|---|
//! | checkpoints | section u8, segment u64, page u32; big endian | rows, then their digest |
//! | meta | `checkpoint` | the commit |
//!
//! What changes of the control state is part of it, as changes of rows (`rows`).
//!
//! Never knows which shard a page came from, nor what its rows mean.

mod page;

use super::rows::{self, RowSum};
use super::{JournalError, Table, Tables, Tail};
use page::{decode_answers, decode_state, encode_answers, encode_state, part};
use tallystick_ledger::ShardPage;
use tallystick_ledger::canary::{Bug, planted};
use tallystick_ledger::row::RowChange;
use tallystick_ledger::types::{
    Digest, Lsn, PartyId, SignerKey, Timestamp, WindowNumber, checkpoint_digest,
};

/// Segments of what may change; dropped when a later one holds everything.
const STATE: u8 = 1;
/// Answers to limits and deposits, while they are remembered; dropped as state is.
const ANSWERS: u8 = 2;
/// Changes of the control state's rows; needed until they are made.
const CHANGES: u8 = 3;
/// How many sections there are.
const SECTIONS: usize = 3;
const META_COMMIT: &[u8] = b"checkpoint";

/// What makes a checkpoint count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Its segment; the first checkpoint has 1.
    pub segment: u64,
    /// The oldest segment that it needs.
    pub first: u64,
    /// The last record that it holds.
    pub tail: Tail,
    /// That record's timestamp.
    pub at: Timestamp,
    /// The window that was open.
    pub window: WindowNumber,
    /// Vouchers credited in that window.
    pub credited: u64,
    /// Channels and answers in all its segments, counted as often as they stand there.
    pub entries: u64,
    /// Those in its first segment, which holds everything.
    pub entries_first: u64,
    /// Pages of state and of answers in all its segments, and of changes of rows in its own.
    pub pages: [u64; SECTIONS],
    /// Digest over those pages' digests, in order.
    pub digests: [Digest; SECTIONS],
    /// The control state's rows with these changes.
    pub rows: RowSum,
}

const NUMBERS: usize = 12;
const COMMIT_BYTES: usize = 8 * NUMBERS + 32 * 6;

impl Commit {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(COMMIT_BYTES + 32);
        let at = u64::from_le_bytes(self.at.0.to_le_bytes());
        let numbers = [self.segment, self.first, self.tail.lsn.0, at, self.window.0];
        let counts = [self.credited, self.entries, self.entries_first];
        let numbers = numbers.iter().chain(&counts).chain(&self.pages).chain([&self.rows.count]);
        numbers.for_each(|n| bytes.extend_from_slice(&n.to_le_bytes()));
        let digests = [self.tail.link, self.tail.event_link];
        digests.iter().chain(&self.digests).for_each(|digest| bytes.extend_from_slice(&digest.0));
        bytes.extend_from_slice(&self.rows.sum);
        let digest = checkpoint_digest(&[META_COMMIT, &bytes]);
        bytes.extend_from_slice(&digest.0);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (fields, digest) = bytes.split_at_checked(COMMIT_BYTES)?;
        if checkpoint_digest(&[META_COMMIT, fields]).0 != digest {
            return None;
        }
        let (numbers, digests) = fields.split_at(8 * NUMBERS);
        let number = |n: usize| u64::from_le_bytes(part(numbers, 8 * n));
        let digest = |n: usize| Digest(part(digests, 32 * n));
        Some(Self {
            segment: number(0),
            first: number(1),
            tail: Tail { lsn: Lsn(number(2)), link: digest(0), event_link: digest(1) },
            at: Timestamp(i64::from_le_bytes(number(3).to_le_bytes())),
            window: WindowNumber(number(4)),
            credited: number(5),
            entries: number(6),
            entries_first: number(7),
            pages: [number(8), number(9), number(10)],
            digests: [digest(2), digest(3), digest(4)],
            rows: RowSum { count: number(11), sum: digest(5).0 },
        })
    }
}

/// The last checkpoint that was committed.
///
/// # Errors
/// `Storage` when its commit was changed or cannot be read.
pub fn committed(tables: &dyn Tables) -> Result<Option<Commit>, JournalError> {
    let Some(bytes) = tables.get(Table::Meta, META_COMMIT)? else { return Ok(None) };
    match Commit::decode(&bytes) {
        Some(commit) => Ok(Some(commit)),
        None => Err(changed("its commit")),
    }
}

/// What a checkpoint is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Whether it holds everything, or what changed since the one before.
    pub everything: bool,
    /// The last record that it holds.
    pub tail: Tail,
    /// That record's timestamp.
    pub at: Timestamp,
    /// The window that is open.
    pub window: WindowNumber,
    /// What records before this one answered is not remembered.
    pub remembered: Lsn,
}

/// Writes one checkpoint.
#[derive(Debug)]
pub struct Writer {
    commit: Commit,
    before: Option<Commit>,
    next: [u32; SECTIONS],
}

impl Writer {
    /// Begins the checkpoint after the one `before`.
    ///
    /// # Errors
    /// `JournalError` of the storage.
    pub fn begin(
        tables: &dyn Tables,
        before: Option<Commit>,
        mark: &Mark,
    ) -> Result<Self, JournalError> {
        let Mark { everything, tail, at, window, remembered: _ } = *mark;
        let segment = before.map_or(1, |before| before.segment + 1);
        // A start that was cut off may have left pages of this number; and what earlier
        // checkpoints changed of rows has been changed.
        for (section, first) in [(STATE, segment), (ANSWERS, segment), (CHANGES, 0)] {
            let (from, to) = (from(section, first), from(section, segment + 1));
            tables.remove(Table::Checkpoints, &from, &to)?;
        }
        let base = before.filter(|_| !everything);
        let commit = Commit {
            segment,
            first: base.map_or(segment, |base| base.first),
            tail,
            at,
            window,
            credited: 0,
            entries: base.map_or(0, |base| base.entries),
            entries_first: base.map_or(0, |base| base.entries_first),
            pages: base.map_or([0; SECTIONS], |base| [base.pages[0], base.pages[1], 0]),
            digests: base.map_or([Digest::ZERO; SECTIONS], |base| {
                [base.digests[0], base.digests[1], Digest::ZERO]
            }),
            rows: before.map_or_else(RowSum::default, |before| before.rows),
        };
        Ok(Self { commit, before, next: [0; SECTIONS] })
    }

    /// Adds a page. Empty parts of it are not written.
    ///
    /// # Errors
    /// `JournalError` of the storage.
    pub fn add(&mut self, tables: &dyn Tables, page: &ShardPage) -> Result<(), JournalError> {
        let entries = page.channels.len() + page.answers.len();
        let entries = u64::try_from(entries).expect("a length fits 64 bits");
        self.commit.entries += entries;
        self.commit.credited += page.credited;
        if self.commit.first == self.commit.segment {
            self.commit.entries_first += entries;
        }
        let owed = [page.channels.len(), page.exposures.len()];
        if owed != [0; 2] || !page.caps.is_empty() || !page.budgets.is_empty() {
            self.put(tables, STATE, encode_state(page))?;
        }
        if !page.answers.is_empty() {
            self.put(tables, ANSWERS, encode_answers(&page.answers))?;
        }
        Ok(())
    }

    /// Adds changes of the control state's rows. No row may be named twice in one checkpoint.
    ///
    /// # Errors
    /// `JournalError` of the storage, or when a row that is kept was changed.
    pub fn add_rows(
        &mut self,
        tables: &dyn Tables,
        changes: Vec<RowChange>,
    ) -> Result<(), JournalError> {
        let mut kept = Vec::with_capacity(changes.len());
        for change in changes {
            if self.commit.rows.follow(tables, &change)? {
                kept.push(change);
            }
        }
        if kept.is_empty() { Ok(()) } else { self.put(tables, CHANGES, rows::encode(&kept)) }
    }

    fn put(
        &mut self,
        tables: &dyn Tables,
        section: u8,
        mut page: Vec<u8>,
    ) -> Result<(), JournalError> {
        let kind = usize::from(section - 1);
        let key = key(section, self.commit.segment, self.next[kind]);
        let digest = checkpoint_digest(&[&key, &page]);
        page.extend_from_slice(&digest.0);
        tables.put(Table::Checkpoints, &key, &page)?;
        self.next[kind] += 1;
        self.commit.pages[kind] += 1;
        let before = self.commit.digests[kind];
        self.commit.digests[kind] = checkpoint_digest(&[&before.0, &digest.0]);
        Ok(())
    }

    /// Makes the checkpoint count, durably, then drops what it no longer needs. Every record up to
    /// the checkpoint's must be durable before; the log may be trimmed up to it afterwards.
    ///
    /// # Errors
    /// `JournalError` of the storage.
    pub fn commit(self, tables: &dyn Tables) -> Result<Commit, JournalError> {
        let commit = self.commit;
        if !planted(Bug::CheckpointBeforeSync) {
            tables.sync(Table::Checkpoints)?;
        }
        tables.commit(META_COMMIT, &commit.encode())?;
        rows::apply(tables, &commit)?;
        if let Some(before) = self.before
            && before.first < commit.first
        {
            for section in [STATE, ANSWERS] {
                let (from, to) = (from(section, before.first), from(section, commit.first));
                tables.remove(Table::Checkpoints, &from, &to)?;
            }
        }
        Ok(commit)
    }
}

/// Reads a checkpoint's pages, oldest first. `payer` gives the party of a signer.
///
/// # Errors
/// `Storage` when a page is missing or was changed; the visitor's errors pass through.
pub fn load(
    tables: &dyn Tables,
    commit: &Commit,
    payer: &dyn Fn(SignerKey) -> Option<PartyId>,
    visit: &mut dyn FnMut(ShardPage) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    scan(tables, commit, STATE, commit.first, &mut |rows| {
        visit(decode_state(rows, payer).ok_or_else(|| changed("a page"))?)
    })?;
    scan(tables, commit, ANSWERS, commit.first, &mut |rows| {
        visit(decode_answers(rows).ok_or_else(|| changed("a page"))?)
    })
}

/// Reads the pages of changes of rows.
pub(super) fn load_changes(
    tables: &dyn Tables,
    commit: &Commit,
    visit: &mut dyn FnMut(&[u8]) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    scan(tables, commit, CHANGES, commit.segment, visit)
}

/// Reads the pages of a section from the segment `first` on: all that the commit counts.
fn scan(
    tables: &dyn Tables,
    commit: &Commit,
    section: u8,
    first: u64,
    visit: &mut dyn FnMut(&[u8]) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let kind = usize::from(section - 1);
    let (mut pages, mut digest) = (0, Digest::ZERO);
    let (from, to) = (from(section, first), from(section, commit.segment + 1));
    tables.scan(Table::Checkpoints, &from, &to, &mut |key, page| {
        let Some((rows, own)) = page.split_last_chunk::<32>() else {
            return Err(changed("a page"));
        };
        if checkpoint_digest(&[key, rows]).0 != *own {
            return Err(changed("a page"));
        }
        (pages, digest) = (pages + 1, checkpoint_digest(&[&digest.0, own]));
        visit(rows)
    })?;
    if (pages, digest) == (commit.pages[kind], commit.digests[kind]) {
        Ok(())
    } else {
        Err(changed("the list of its pages"))
    }
}

fn key(section: u8, segment: u64, page: u32) -> [u8; 13] {
    let mut key = [0; 13];
    key[0] = section;
    key[1..9].copy_from_slice(&segment.to_be_bytes());
    key[9..].copy_from_slice(&page.to_be_bytes());
    key
}

/// The beginning of a segment's keys.
fn from(section: u8, segment: u64) -> [u8; 9] {
    *key(section, segment, 0).first_chunk().expect("a key begins so")
}

pub(super) fn changed(what: &str) -> JournalError {
    JournalError::Storage(format!(
        "the last checkpoint is damaged: {what} has changed. The engine does not start. Restore the \
         data directory from a copy"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use tallystick_ledger::Exposure;

    /// A checkpoint of one answer.
    fn checkpoint(tables: &dyn Tables, n: u64, everything: bool) -> Commit {
        let before = committed(tables).unwrap();
        let tail = Tail { lsn: Lsn(n), ..Tail::START };
        let (at, window, remembered) = (Timestamp(0), WindowNumber(1), Lsn(1));
        let mark = Mark { everything, tail, at, window, remembered };
        let mut writer = Writer::begin(tables, before, &mark).unwrap();
        let answers = vec![(Lsn(n), PartyId([1; 32]), Exposure::default())];
        writer.add(tables, &ShardPage { answers, ..ShardPage::default() }).unwrap();
        writer.commit(tables).unwrap()
    }

    /// What a start reads of answers.
    fn answers(tables: &dyn Tables, commit: &Commit) -> Vec<u64> {
        let mut found = Vec::new();
        let mut visit = |page: ShardPage| {
            found.extend(page.answers.iter().map(|(lsn, ..)| lsn.0));
            Ok(())
        };
        load(tables, commit, &|_| None, &mut visit).unwrap();
        found
    }

    /// They were kept for ever, 88 bytes each.
    #[test]
    fn answers_of_older_segments_go_with_a_checkpoint_that_holds_everything() {
        let tables = Memory::journal().tables;
        let mut found = Vec::new();
        for (n, everything) in [(1, true), (2, false), (3, false), (4, true), (5, false)] {
            let commit = checkpoint(&*tables, n, everything);
            found.push((answers(&*tables, &commit), commit.entries, commit.entries_first));
        }
        let wanted = [
            (vec![1], 1, 1),
            (vec![1, 2], 2, 1),
            (vec![1, 2, 3], 3, 1),
            (vec![4], 1, 1),
            (vec![4, 5], 2, 1),
        ];
        assert_eq!(found, wanted);
        let mut pages = 0;
        let count = &mut |_: &[u8], _: &[u8]| {
            pages += 1;
            Ok(())
        };
        tables.scan(Table::Checkpoints, &[ANSWERS], &[ANSWERS + 1], count).unwrap();
        assert_eq!(pages, 2);
    }
}
