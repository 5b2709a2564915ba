//! A copy of a directory that is in use, as it is at one moment, and reading such a copy; and a
//! glance at a directory that may be in use.
//!
//! RocksDB's checkpoint lists the table files first and the write-ahead logs after that. A page
//! that goes past the log into a file in between would be missing, and an entry of the log that
//! says that the page is there would not: so nobody makes pages durable past the log while a copy
//! is made. Acks go on meanwhile.

use super::super::mark::{self, Mark};
use super::super::{JournalError, Table, Tables as _, Tail, VisitPage};
use super::format::{META_FORMAT, check_format_of, is_read, other_format};
use super::options::options;
use super::tables::RocksTables;
use super::{Database, Journal, RocksLog, explain, journal, lasts, mark_failed, meta, read_only};
use rocksdb::checkpoint::Checkpoint;
use std::fs::File;
use std::path::Path;

/// What its owner has to know of a restored directory at its next start.
const META_RESTORED: &[u8] = b"restored";

impl RocksLog {
    /// See `Log::copy`. What is in table files is linked, not copied, where the disk is the same.
    pub(super) fn copy_into(&self, dir: &Path) -> Result<Tail, JournalError> {
        // Durable before the copy begins, so in it; frames that were trimmed are known by it alone.
        let known = self.marked(self.mark.read())?.unwrap_or(Tail::START);
        {
            let _alone = self.tables.keep_pages_out();
            let checkpoint = Checkpoint::new(&*self.tables.db)?;
            self.tables.frames.keep_while(|| checkpoint.create_checkpoint(dir))?;
        }
        let tail = {
            let copy = read_copy(dir)?;
            lasts(&copy)?.into_iter().fold(known, |a, b| if b.lsn > a.lsn { b } else { a })
        };
        let marked = Mark::open(dir).and_then(|mark| mark.write(tail).and_then(|()| mark.sync()));
        marked.map_err(|error| mark_failed(dir, &error))?;
        Ok(tail)
    }
}

/// Opens a copy that no engine will ever run on, to read it: not even a lock is written, so it may
/// lie where nothing can be.
///
/// # Errors
/// `NotAJournal`, `OtherFormat`, `Damaged`, or the storage's own failure.
pub fn open_copy(dir: &Path) -> Result<Journal<RocksLog>, JournalError> {
    if !super::exists(dir)? {
        return Err(JournalError::NotAJournal { dir: dir.to_owned() });
    }
    super::wal::check_manifest(dir)?;
    check_format_of(dir)?;
    let tables = read_copy(dir)?;
    let mark = Mark::open_read_only(dir).map_err(|error| mark_failed(dir, &error))?;
    let held = File::open(dir.join(mark::FILE)).map_err(|error| mark_failed(dir, &error))?;
    Ok(journal(tables, dir, 0, held, mark))
}

/// Remembers in a directory that it was restored, and what of, and gives back the end of its
/// journal. Whoever runs on it reads it with `restored`.
///
/// # Errors
/// As for `open`.
pub fn note_restored(dir: &Path, what: &[u8]) -> Result<Tail, JournalError> {
    use super::Log as _;
    let mut journal = super::open(dir)?;
    journal.tables.commit(META_RESTORED, what)?;
    let tail = journal.log.resync()?;
    journal.log.remember(tail)?;
    Ok(tail)
}

/// What was noted when the directory was restored last, if it was.
///
/// # Errors
/// `JournalError` of the storage.
pub fn restored(tables: &dyn super::super::Tables) -> Result<Option<Vec<u8>>, JournalError> {
    tables.get(Table::Meta, META_RESTORED)
}

/// Hands out what lies in table `meta` from `from` on and below `to`, as it is on disk now. An
/// engine may run there: nobody is kept out, nothing is changed, and what it writes meanwhile is
/// not seen.
///
/// # Errors
/// `NotAJournal`, `OtherFormat`, or the storage's own failure; where an engine takes a file away
/// meanwhile, a second glance helps.
pub fn glance(
    dir: &Path,
    from: &[u8],
    to: &[u8],
    visit: &mut VisitPage<'_>,
) -> Result<(), JournalError> {
    if !super::exists(dir)? {
        return Err(JournalError::NotAJournal { dir: dir.to_owned() });
    }
    check_format_of(dir)?;
    let mut options = options();
    options.create_if_missing(false);
    let column = Table::Meta.name();
    let db = Database::open_cf_for_read_only(&options, dir, [column], false)
        .map_err(|error| explain(dir, &error))?;
    RocksTables::new(db, &[])?.scan(Table::Meta, from, to, visit)
}

fn read_copy(dir: &Path) -> Result<RocksTables, JournalError> {
    let tables = read_only(dir)?;
    match meta::<2>(&tables, META_FORMAT)?.map(u16::from_le_bytes) {
        Some(found) if is_read(found) => Ok(tables),
        Some(found) => Err(other_format(found)),
        None => Err(JournalError::NotAJournal { dir: dir.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::open;
    use super::*;
    use crate::{Chain, Framed, Log as _, replay};
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tallystick_ledger::types::{Lsn, Timestamp};

    fn record(chain: &mut Chain, kind: u8) -> Framed {
        chain.frame(1, Timestamp(7), kind, 1, &[&[9; 100]])
    }

    fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
        named.map(|(name, path)| (name, std::fs::read(path).unwrap())).collect()
    }

    #[test]
    fn a_copy_holds_all_that_was_durable_and_reading_it_changes_nothing_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (live, folder) = (dir.path().join("live"), dir.path().join("copy"));
        let (mut chain, mut journal) = (Chain::start(), open(&live).unwrap());
        for kind in [1, 2, 16, 2] {
            journal.log.append(&[record(&mut chain, kind)]).unwrap();
        }
        journal.tables.put(Table::Windows, b"w", &[3; 3_000_000]).unwrap();
        journal.tables.sync(Table::Windows).unwrap();
        let at = chain.tail();
        assert_eq!(journal.log.shared().copy(&folder).unwrap(), at);
        // What follows is not in it.
        journal.log.append(&[record(&mut chain, 2)]).unwrap();
        journal.tables.commit(b"later", b"x").unwrap();
        let before = files(&folder);
        let copy = open_copy(&folder).unwrap();
        let mut again = Chain::start();
        replay(&copy.log, &mut again, &mut |_| Ok(())).unwrap();
        assert_eq!(again.tail(), at);
        let page = copy.tables.get(Table::Windows, b"w").unwrap();
        assert_eq!(page.map(|page| page.len()), Some(3_000_000));
        assert_eq!(copy.tables.get(Table::Meta, b"later").unwrap(), None);
        drop(copy);
        assert!(files(&folder) == before, "reading changed the copy");
        // A second copy is not made over the first.
        assert!(journal.log.copy(&folder).is_err());
    }

    /// Frames below the checkpoint are trimmed: the mark alone says that they were there.
    #[test]
    fn a_copy_whose_last_record_was_trimmed_ends_where_the_original_does() {
        let dir = tempfile::tempdir().unwrap();
        let (live, folder) = (dir.path().join("live"), dir.path().join("copy"));
        let (mut chain, mut journal) = (Chain::start(), open(&live).unwrap());
        for kind in [1, 2, 2] {
            journal.log.append(&[record(&mut chain, kind)]).unwrap();
        }
        journal.log.remember(chain.tail()).unwrap();
        journal.log.trim(Lsn(3)).unwrap();
        assert_eq!(journal.log.copy(&folder).unwrap(), chain.tail());
        assert_eq!(open(&folder).unwrap().log.resync().unwrap(), chain.tail());
    }

    /// Pages past the log, and the entry that says that they are there, while copies are made: an
    /// entry without its pages would be a checkpoint that cannot be read.
    #[test]
    fn no_copy_holds_an_entry_without_the_pages_that_it_is_about() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = open(&dir.path().join("live")).unwrap();
        let (tables, log) = (journal.tables.clone(), journal.log.shared());
        let mut chain = Chain::start();
        journal.log.append(&[record(&mut chain, 1)]).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut n = 0u64;
                while !done.load(Ordering::Relaxed) {
                    n += 1;
                    tables.put(Table::Checkpoints, &n.to_be_bytes(), &[7; 300_000]).unwrap();
                    tables.sync(Table::Checkpoints).unwrap();
                    tables.commit(b"newest", &n.to_be_bytes()).unwrap();
                }
            });
            for round in 0..6 {
                let folder = dir.path().join(format!("copy-{round}"));
                log.copy(&folder).unwrap();
                let copy = open_copy(&folder).unwrap().tables;
                if let Some(newest) = copy.get(Table::Meta, b"newest").unwrap() {
                    let page = copy.get(Table::Checkpoints, &newest).unwrap();
                    assert_eq!(page.map(|page| page.len()), Some(300_000), "round {round}");
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn what_is_noted_of_a_restored_directory_is_there_at_its_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let (mut chain, mut journal) = (Chain::start(), open(dir.path()).unwrap());
        assert_eq!(restored(&*journal.tables).unwrap(), None);
        journal.log.append(&[record(&mut chain, 1)]).unwrap();
        drop(journal);
        assert_eq!(note_restored(dir.path(), b"of that copy").unwrap(), chain.tail());
        let journal = open(dir.path()).unwrap();
        assert_eq!(restored(&*journal.tables).unwrap(), Some(b"of that copy".to_vec()));
    }

    #[test]
    fn a_glance_sees_what_is_durable_beside_an_engine_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let look = || {
            let mut found = Vec::new();
            let mut visit = |key: &[u8], page: &[u8]| {
                found.push((key.to_vec(), page.to_vec()));
                Ok(())
            };
            glance(dir.path(), b"hook 1", b"hook 3", &mut visit).map(|()| found)
        };
        assert!(matches!(look(), Err(JournalError::NotAJournal { .. })));
        let mut chain = Chain::start();
        let mut journal = open(dir.path()).unwrap();
        journal.log.append(&[record(&mut chain, 1), record(&mut chain, 2)]).unwrap();
        for n in 0..4 {
            journal.tables.commit(format!("hook {n}").as_bytes(), &[n]).unwrap();
        }
        let two = vec![(b"hook 1".to_vec(), vec![1]), (b"hook 2".to_vec(), vec![2])];
        let before = files(dir.path());
        assert_eq!(look().unwrap(), two);
        assert_eq!(files(dir.path()), before);
        // The engine goes on, and what it writes is seen by the next glance, also from a file.
        journal.tables.commit(b"hook 1", &[9]).unwrap();
        let tail = chain.tail();
        journal.log.remember(tail).unwrap();
        assert_eq!(look().unwrap()[0].1, [9]);
    }
}
