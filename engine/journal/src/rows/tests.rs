use super::*;
use crate::Tail;
use crate::checkpoint::{Mark, Writer, committed};
use crate::memory::Memory;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tallystick_ledger::types::{Lsn, Timestamp, WindowNumber};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Tables whose process dies after so many writes.
struct Fused {
    tables: Arc<dyn Tables>,
    left: AtomicU64,
}

impl Fused {
    fn write(&self) -> Result<(), JournalError> {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        if left > 0 { Ok(()) } else { Err(JournalError::Storage("the process died".into())) }
    }
}

impl Tables for Fused {
    fn put(&self, table: Table, key: &[u8], page: &[u8]) -> Result<(), JournalError> {
        self.write()?;
        self.tables.put(table, key, page)
    }

    fn sync(&self, table: Table) -> Result<(), JournalError> {
        self.write()?;
        self.tables.sync(table)
    }

    fn commit(&self, key: &[u8], entry: &[u8]) -> Result<(), JournalError> {
        self.write()?;
        self.tables.commit(key, entry)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: &mut VisitPage<'_>,
    ) -> Result<(), JournalError> {
        self.tables.scan(table, from, to, visit)
    }

    fn remove(&self, table: Table, from: &[u8], to: &[u8]) -> Result<(), JournalError> {
        self.write()?;
        self.tables.remove(table, from, to)
    }

    fn destroy(&self, table: Table, key: &[u8]) -> Result<(), JournalError> {
        self.write()?;
        self.tables.destroy(table, key)
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

fn put(key: &[u8], value: &[u8]) -> RowChange {
    RowChange::Put { key: key.to_vec(), value: value.to_vec() }
}

fn remove(from: &[u8], to: &[u8]) -> RowChange {
    RowChange::Remove { from: from.to_vec(), to: to.to_vec() }
}

/// Writes a checkpoint with these changes, some to a page.
fn checkpoint(tables: &dyn Tables, pages: &[Vec<RowChange>]) -> Result<(), JournalError> {
    let before = committed(tables)?;
    let lsn = Lsn(before.map_or(0, |before| before.tail.lsn.0) + 10);
    let tail = Tail { lsn, ..Tail::START };
    let (at, window, remembered) = (Timestamp(7), WindowNumber(1), Lsn(1));
    let mark = Mark { everything: true, tail, at, window, remembered };
    let mut writer = Writer::begin(tables, before, &mark)?;
    for page in pages {
        writer.add_rows(tables, page.clone())?;
    }
    writer.commit(tables).map(drop)
}

fn follow(rows: &mut Rows, pages: &[Vec<RowChange>]) {
    for change in pages.iter().flatten() {
        match change {
            RowChange::Put { key, value } => drop(rows.insert(key.clone(), value.clone())),
            RowChange::Remove { from, to } => rows.retain(|key, _| key < from || key >= to),
        }
    }
}

/// What a start reads.
fn started(tables: &dyn Tables) -> Result<Rows, JournalError> {
    let Some(commit) = committed(tables)? else { return Ok(Rows::new()) };
    apply(tables, &commit)?;
    let mut rows = Rows::new();
    let mut visit = |key: &[u8], row: &[u8]| {
        rows.insert(key.to_vec(), row.to_vec());
        Ok(())
    };
    load(tables, &commit, &mut visit)?;
    scan(tables, &[Section::Legs as u8], &[Section::Legs as u8 + 1], &mut visit)?;
    Ok(rows)
}

/// Some checkpoints: rows come, change, go one by one and many at once.
fn checkpoints() -> [Vec<Vec<RowChange>>; 3] {
    let legs = Section::Legs as u8;
    [
        vec![
            vec![put(&[1], b"head"), put(&[4, 1], b"ann"), put(&[4, 2], b"bob")],
            vec![put(&[12, 1], b"r"), put(&[12, 2], b"r"), put(&[legs, 1], b"ready")],
        ],
        vec![
            vec![put(&[1], b"head 2"), remove(&[4, 1], &[4, 1, 0]), put(&[4, 3], b"cid")],
            vec![remove(&[12, 0], &[12, 2]), put(&[legs, 1], b"sent"), remove(&[9], &[10])],
            vec![put(&[12, 3], b"")],
        ],
        vec![vec![put(&[1], b"head 3"), put(&[4, 1], b"ann again"), remove(&[4, 2], &[4, 4])]],
    ]
}

/// The safety of the whole: a start never goes by rows of two positions.
#[test]
fn wherever_a_checkpoint_is_cut_off_a_start_reads_the_rows_of_one_checkpoint() {
    let all = checkpoints();
    let mut states = vec![Rows::new()];
    for pages in &all {
        let mut next = states.last().unwrap().clone();
        follow(&mut next, pages);
        states.push(next);
    }
    let (mut seen, mut cut) = ([0; 4], 0..);
    for fuse in cut.by_ref() {
        let journal = Memory::journal();
        let fused = Fused { tables: journal.tables.clone(), left: AtomicU64::new(fuse) };
        let done = all.iter().try_for_each(|pages| checkpoint(&fused, pages));
        // With and without a loss of what was not synced, and once more cut off in the start.
        for (lost, again) in [(false, u64::MAX), (true, u64::MAX), (true, 1), (false, 3)] {
            let left = if lost { journal.log.after_power_cut() } else { journal.log.copy() };
            let start = Fused { tables: left.tables.clone(), left: AtomicU64::new(again) };
            drop(started(&start));
            let tables = left.tables;
            let count = committed(&*tables).unwrap().map_or(0, |commit| commit.segment);
            let place = usize::try_from(count).unwrap();
            assert_eq!(started(&*tables).unwrap(), states[place], "died at write {fuse}");
            seen[place] += 1;
            // And it goes on from there.
            for (pages, wanted) in all.iter().zip(&states[1..]).skip(place) {
                checkpoint(&*tables, pages).unwrap();
                assert_eq!(started(&*tables).unwrap(), *wanted, "died at write {fuse}");
            }
        }
        if done.is_ok() {
            break;
        }
    }
    assert!(seen.iter().all(|count| *count > 2), "{seen:?}");
}

fn damage(change: impl FnOnce(&dyn Tables)) -> String {
    let tables = Memory::journal().tables;
    checkpoints().iter().for_each(|pages| checkpoint(&*tables, pages).unwrap());
    assert!(started(&*tables).is_ok());
    change(&*tables);
    tables.sync(Table::Control).unwrap();
    started(&*tables).unwrap_err().to_string()
}

#[test]
fn a_row_that_is_changed_is_refused_by_its_key_and_one_that_is_lost_or_old_by_the_sum() {
    let text = damage(|tables| {
        let mut held = tables.get(Table::Control, &[4, 1]).unwrap().unwrap();
        *held.last_mut().unwrap() ^= 1;
        tables.put(Table::Control, &[4, 1], &held).unwrap();
    });
    assert!(text.contains("row 0401 has changed"), "{text}");
    let text = damage(|tables| tables.remove(Table::Control, &[4, 1], &[4, 2]).unwrap());
    assert!(text.contains("(3 of 4 are there)"), "{text}");
    // As it was two checkpoints ago, with its own digest.
    let text = damage(|tables| {
        let old = [&row_digest(&[4, 1], b"ann").0[..], b"ann"].concat();
        tables.put(Table::Control, &[4, 1], &old).unwrap();
    });
    assert!(text.contains("(4 of 4 are there)"), "{text}");
    // Another row's value, with that row's digest.
    let text = damage(|tables| {
        let other = tables.get(Table::Control, &[12, 2]).unwrap().unwrap();
        tables.put(Table::Control, &[4, 1], &other).unwrap();
    });
    assert!(text.contains("row 0401"), "{text}");
}

/// The table of rows, as it lies there.
fn held(tables: &dyn Tables) -> Rows {
    let mut rows = Rows::new();
    let mut visit = |key: &[u8], row: &[u8]| {
        rows.insert(key.to_vec(), row.to_vec());
        Ok(())
    };
    tables.scan(Table::Control, &[0], &[0xff], &mut visit).unwrap();
    rows
}

/// The changes of a checkpoint that counts are needed until they were made.
#[test]
fn changes_that_count_and_were_changed_are_refused_before_any_row_is_touched() {
    for damaged in [0u32, 1] {
        let journal = Memory::journal();
        let [first, second, _] = checkpoints();
        checkpoint(&*journal.tables, &first).unwrap();
        let wanted = journal.tables.get(Table::Meta, b"control").unwrap();
        checkpoint(&*journal.tables, &second).unwrap();
        let tables = journal.tables.clone();
        tables.commit(b"control", &wanted.unwrap()).unwrap();
        let key = [&[3][..], &2u64.to_be_bytes(), &damaged.to_be_bytes()].concat();
        let mut page = tables.get(Table::Checkpoints, &key).unwrap().unwrap();
        page[0] ^= 3;
        tables.put(Table::Checkpoints, &key, &page).unwrap();
        tables.sync(Table::Checkpoints).unwrap();
        let before = held(&*tables);
        let text = started(&*tables).unwrap_err().to_string();
        assert!(text.contains("a page has changed"), "{text}");
        assert_eq!(held(&*tables), before);
    }
}

#[test]
fn changes_are_read_back_from_their_bytes_and_anything_else_is_not() {
    for page in checkpoints().into_iter().flatten() {
        let bytes = encode(&page);
        assert_eq!(decode(&bytes), Some(page));
        // The end of a change may be the end of a page; the digest of the page says which.
        let ends: Vec<usize> =
            (1..bytes.len()).filter(|end| decode(&bytes[..*end]).is_some()).collect();
        assert!(ends.len() < 3, "{ends:?}");
        assert_eq!(decode(&[&bytes[..], &[9]].concat()), None);
    }
}

/// The sum is one of numbers mod 2^256: whatever goes and comes, in whatever order.
#[test]
fn what_is_taken_from_the_sum_is_what_was_added() {
    let digests: Vec<[u8; 32]> = (0..50u8).map(|n| row_digest(&[n], b"").0).collect();
    let mut sum = RowSum::default();
    digests.iter().for_each(|digest| sum.add(digest));
    sum.add(&[0xff; 32]);
    sum.add(&[0xff; 32]);
    for digest in digests.iter().rev() {
        sum.take(digest).unwrap();
    }
    sum.take(&[0xff; 32]).unwrap();
    assert_eq!(sum, RowSum { count: 1, sum: [0xff; 32] });
    sum.take(&[0xff; 32]).unwrap();
    assert_eq!(sum, RowSum::default());
    assert!(sum.take(&[1; 32]).is_err());
}
