use super::super::{Chain, conformance, replay};
use super::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tallystick_ledger::types::Timestamp;

fn three_records(chain: &mut Chain, epoch: u32) -> Vec<Framed> {
    (0..3).map(|i| chain.frame(epoch, Timestamp(7), 2, 1, &[&[i; 100]])).collect()
}

#[test]
fn records_are_read_back_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::start();
    let mut journal = open(dir.path()).unwrap();
    assert_eq!(journal.log.epoch(), 1);
    journal.log.append(&three_records(&mut chain, 1)).unwrap();
    journal.log.remember(chain.tail()).unwrap();
    drop(journal);
    let journal = open(dir.path()).unwrap();
    assert_eq!(journal.log.epoch(), 2);
    let mut bodies = Vec::new();
    let mut again = Chain::start();
    replay(&journal.log, &mut again, &mut |record| {
        bodies.push(record.body.to_vec());
        Ok(())
    })
    .unwrap();
    assert_eq!(again.tail(), chain.tail());
    assert_eq!(bodies, [vec![0; 100], vec![1; 100], vec![2; 100]]);
}

/// Folders, one after the other: the next start finds a copy, or the same one.
struct Folders {
    used: Vec<tempfile::TempDir>,
    kill: bool,
}

impl conformance::Place for Folders {
    type Log = RocksLog;

    fn open(&mut self) -> Journal<RocksLog> {
        self.used.push(tempfile::tempdir().unwrap());
        open(self.used.last().unwrap().path()).unwrap()
    }

    fn again(&mut self, before: Journal<RocksLog>) -> Journal<RocksLog> {
        let mut dir = before.log.dir.to_path_buf();
        if self.kill {
            // A kill stops all threads at once; files that came and went meanwhile would be missed.
            before.log.tables.db.cancel_all_background_work(true);
            self.used.push(tempfile::tempdir().unwrap());
            copy(&dir, self.used.last().unwrap().path());
            dir = self.used.last().unwrap().path().to_owned();
        }
        drop(before);
        open(&dir).unwrap()
    }
}

/// What a kill leaves of a directory in use.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match std::fs::copy(entry.path(), to.join(entry.file_name())) {
            // RocksDB takes away what it needs no more.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => drop(copied.unwrap()),
        }
    }
}

#[test]
fn it_keeps_what_a_log_and_tables_promise_over_clean_stops() {
    conformance::check(|| Folders { used: Vec::new(), kill: false });
}

#[test]
fn it_keeps_what_a_log_and_tables_promise_over_kills() {
    conformance::check(|| Folders { used: Vec::new(), kill: true });
}

/// RocksDB shows what it had before a write that failed, also where the disk holds all of it.
#[test]
fn after_a_failed_write_it_does_not_say_what_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::start();
    let mut log = open(dir.path()).unwrap().log;
    log.append(&three_records(&mut chain, 1)).unwrap();
    let durable = chain.tail();
    drop(log);
    let mut log = open_read_only(dir.path()).unwrap().log;
    assert_eq!(log.resync().unwrap(), durable);
    log.append(&three_records(&mut chain, 1)).unwrap_err();
    let unknown = log.resync().unwrap_err();
    assert!(unknown.to_string().contains("only a start can find out"), "{unknown}");
    drop(log);
    assert_eq!(open(dir.path()).unwrap().log.resync().unwrap(), durable);
}

#[test]
fn a_second_journal_on_the_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _held = open(dir.path()).unwrap();
    let second = open(dir.path()).err().unwrap();
    assert!(matches!(second, JournalError::Locked { .. }), "{second}");
}

#[test]
fn a_directory_with_other_files_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "precious").unwrap();
    let refused = open(dir.path()).err().unwrap();
    assert!(matches!(refused, JournalError::NotAJournal { .. }), "{refused}");
}

/// The logs of 20 million vouchers stood in the directory, for the sake of one registration.
#[test]
fn a_trim_lets_the_write_ahead_logs_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::start();
    let mut journal = open(dir.path()).unwrap();
    journal.log.append(&[chain.frame(1, Timestamp(7), 16, 1, &[&[1; 100]])]).unwrap();
    let body = vec![7; 1 << 20];
    for _ in 0..7 {
        for _ in 0..80 {
            journal.log.append(&[chain.frame(1, Timestamp(7), 2, 1, &[&body])]).unwrap();
        }
        journal.log.trim(chain.tail().lsn).unwrap();
    }
    let files = std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
    let logs = files.filter(|file| file.path().extension().is_some_and(|e| e == "log"));
    let bytes: u64 = logs.map(|file| file.metadata().unwrap().len()).sum();
    // 560 MiB were written; what no file holds yet is at most what the memtables hold.
    assert!(bytes < 384 << 20, "{bytes} bytes of logs");
}

fn of_frames(db: &Database) -> Vec<String> {
    let files = db.live_files().unwrap().into_iter().map(|file| file.column_family_name);
    files.filter(|name| name.starts_with("frames")).collect()
}

/// Each was written twice, to the log and then to a file that the next trim deleted.
#[test]
fn frames_that_are_trimmed_in_time_are_never_written_to_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let (mut chain, body) = (Chain::start(), vec![7; 1 << 20]);
    let mut log = open(dir.path()).unwrap().log;
    log.append(&[chain.frame(1, Timestamp(7), 16, 1, &[b"first"])]).unwrap();
    let mut before = Lsn(0);
    for _ in 0..4 {
        let at = chain.tail().lsn;
        for _ in 0..100 {
            log.append(&[chain.frame(1, Timestamp(7), 2, 1, &[&body])]).unwrap();
        }
        // A checkpoint overtakes what came before it was begun.
        log.trim(at).unwrap();
        let mut first = None;
        let mut look = |lsn, _: &[u8]| {
            first = first.or(Some(lsn));
            Ok(())
        };
        log.read(before.next(), &mut look).unwrap();
        assert!(first.is_some_and(|lsn| lsn <= at.next()), "{first:?} was dropped, and not {at:?}");
        before = at;
    }
    assert_eq!(of_frames(&log.tables.db), [""; 0]);
    // At a stop they are.
    log.remember(chain.tail()).unwrap();
    assert!(!of_frames(&log.tables.db).is_empty());
}

#[test]
fn frames_of_several_columns_are_read_in_order_from_any_position_and_over_starts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut chain, body) = (Chain::start(), vec![7; (1 << 20) - 200]);
    let mut log = open(dir.path()).unwrap().log;
    for n in 0..100 {
        let kind = if n % 9 == 0 { 16 } else { 2 };
        let group = [0, 1].map(|_| chain.frame(1, Timestamp(7), kind, 1, &[&body]));
        log.append(&group).unwrap();
    }
    assert!(log.tables.frames.all().len() > 4);
    let positions = |log: &RocksLog, from: u64| {
        let mut found = Vec::new();
        log.read(Lsn(from), &mut |lsn, _| {
            found.push(lsn.0);
            Ok(())
        })
        .unwrap();
        found
    };
    for from in [1, 2, 63, 64, 65, 66, 120, 200, 201] {
        assert_eq!(positions(&log, from), (from..=200).collect::<Vec<_>>());
    }
    drop(log);
    for _ in 0..2 {
        assert_eq!(positions(&open_read_only(dir.path()).unwrap().log, 1).len(), 200);
        assert_eq!(positions(&open(dir.path()).unwrap().log, 1).len(), 200);
    }
    // A trim in the middle of a column leaves it whole; a reclaim takes what is below.
    let log = open(dir.path()).unwrap().log;
    log.trim(Lsn(101)).unwrap();
    let after = positions(&log, 1);
    assert!(after.len() < 200 && after.ends_with(&(102..=200).collect::<Vec<_>>()));
    log.reclaim(Lsn(101)).unwrap();
    let frames = |found: &[u64]| found.iter().filter(|lsn| (*lsn - 1) / 2 % 9 != 0).count();
    let (left, above) = (positions(&log, 1), (102..=200).collect::<Vec<_>>());
    assert!(left.ends_with(&above));
    assert_eq!(frames(&left), frames(&above));
}

/// What a thread does again and again beside appends.
type Work<'a> = &'a (dyn Fn(&dyn Log, u8) + Sync);

/// A column that was being written out, or deleted from, was dropped by somebody else, and RocksDB
/// said so: the engine stopped, or a key that was to be destroyed stayed.
#[test]
fn columns_stay_while_somebody_works_on_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(&dir.path().join("live")).unwrap();
    let (mut chain, body) = (Chain::start(), vec![7; (1 << 20) - 200]);
    journal.log.append(&[chain.frame(1, Timestamp(7), 16, 1, &[b"first"])]).unwrap();
    let (at, done) = (AtomicU64::new(1), AtomicBool::new(false));
    let behind = |by: u64| Lsn(at.load(Ordering::Relaxed).saturating_sub(by).max(1));
    let running = || !done.load(Ordering::Relaxed);
    let tables = journal.tables.clone();
    let trims = |log: &dyn Log, _: u8| log.trim(behind(16)).unwrap();
    let reclaims = |log: &dyn Log, _: u8| log.reclaim(behind(20)).unwrap();
    let destroys = |_: &dyn Log, n: u8| {
        tables.put(Table::PartyKeys, &[n], b"a key").unwrap();
        tables.sync(Table::PartyKeys).unwrap();
        tables.destroy(Table::PartyKeys, &[n]).unwrap();
    };
    let copies = |log: &dyn Log, n: u8| {
        let durable = behind(0);
        let copied = log.copy(&dir.path().join(format!("copy {n}"))).unwrap();
        assert!(copied.lsn >= durable);
    };
    let threads: [Work<'_>; 4] = [&trims, &reclaims, &destroys, &copies];
    std::thread::scope(|scope| {
        for work in threads {
            let log = journal.log.shared();
            scope.spawn(move || {
                let mut n = 0;
                while running() && n < 40 {
                    work(&*log, n);
                    n += 1;
                }
            });
        }
        for _ in 0..60 {
            let group = [2; 8].map(|kind| chain.frame(1, Timestamp(7), kind, 1, &[&body]));
            journal.log.append(&group).unwrap();
            at.store(chain.tail().lsn.0, Ordering::Relaxed);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(journal.log.resync().unwrap(), chain.tail());
    for n in 0..40 {
        let folder = dir.path().join(format!("copy {n}"));
        if folder.exists() {
            // Of frames some may be trimmed; those that are there follow each other.
            let (copy, mut last) = (open_copy(&folder).unwrap().log, None);
            let mut follow = |lsn: Lsn, _: &[u8]| {
                assert!(last.is_none_or(|last: Lsn| last == Lsn(1) || last.next() == lsn));
                last = Some(lsn);
                Ok(())
            };
            copy.read(Lsn(1), &mut follow).unwrap();
        }
    }
}

/// Frames below the checkpoint stood in the log, and at a stop in a file beside later ones: 32 of
/// the 42 MB of a thousand windows.
#[test]
fn what_is_reclaimed_of_frames_is_on_the_disk_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::start();
    let mut journal = open(dir.path()).unwrap();
    let body = vec![7; 1 << 20];
    let mut append = |journal: &mut Journal<RocksLog>| {
        for kind in [2, 2, 2, 2, 16] {
            journal.log.append(&[chain.frame(1, Timestamp(7), kind, 1, &[&body])]).unwrap();
        }
        chain.tail().lsn
    };
    let size = || -> u64 {
        let files = std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
        let data =
            files.filter(|file| file.path().extension().is_some_and(|e| e == "sst" || e == "log"));
        data.flat_map(|file| file.metadata()).map(|of| of.len()).sum()
    };
    // RocksDB takes away what it needs no more on threads of its own.
    let falls_to = |bytes: u64| (0..100_000).any(|_| size() <= bytes);
    append(&mut journal);
    let to = append(&mut journal);
    append(&mut journal);
    journal.log.trim(to).unwrap();
    assert!(size() >= 15 << 20, "a trim alone keeps them");
    journal.log.reclaim(to).unwrap();
    // Three events and four frames.
    assert!(falls_to(15 << 19), "frames are still there");
    // Those that lie in a file go with the next.
    let tail = chain.tail();
    journal.log.reclaim(tail.lsn).unwrap();
    assert!(falls_to(7 << 19), "frames are still in a file");
    assert_eq!(journal.log.resync().unwrap(), tail);
}

/// RocksDB's own text log was one file without end for each run: old runs had a bound, the running
/// one had none, and figures that nobody reads went into it every ten minutes.
#[test]
fn the_text_logs_of_rocksdb_have_a_bound_in_number_size_and_chatter() {
    let dir = tempfile::tempdir().unwrap();
    let names = || {
        let files = std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
        files.map(|file| file.file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    for _ in 0..8 {
        drop(open(dir.path()).unwrap());
        let logs = names().into_iter().filter(|name| name.starts_with("LOG")).count();
        assert!((1..=5).contains(&logs), "{:?}", names());
    }
    // What RocksDB itself wrote down as in force; its default of 0 means without end.
    let newest = names().into_iter().filter(|name| name.starts_with("OPTIONS-")).max().unwrap();
    let text = std::fs::read_to_string(dir.path().join(newest)).unwrap();
    let value = |name: &str| -> u64 {
        let lines = text.lines().filter_map(|line| line.trim().split_once('='));
        lines.filter(|(known, _)| *known == name).map(|(_, n)| n.parse().unwrap()).next().unwrap()
    };
    let size = value("max_log_file_size");
    assert!(size > 0 && size * value("keep_log_file_num") <= 64 << 20, "{size} bytes each");
    assert_eq!((value("stats_dump_period_sec"), value("stats_persist_period_sec")), (0, 0));
}

#[test]
fn a_journal_shorter_than_remembered_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::start();
    let mut journal = open(dir.path()).unwrap();
    journal.log.append(&three_records(&mut chain, 1)).unwrap();
    let tail = Tail { lsn: Lsn(4), ..chain.tail() };
    journal.log.remember(tail).unwrap();
    let error = replay(&journal.log, &mut Chain::start(), &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { lsn: Lsn(4), .. }), "{error}");
}

/// One file stayed open for each window that was ever closed, and one for each batch: on the
/// usual limit of 1,024 open files the engine stopped for good after 17 hours of a window a
/// minute.
#[test]
fn small_pages_leave_no_file_each_and_small_files_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::start();
    let mut journal = open(dir.path()).unwrap();
    let tables = &journal.tables;
    let files = || {
        let files = std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
        files.filter(|file| file.path().extension().is_some_and(|e| e == "sst")).count()
    };
    let mut most = 0;
    for n in 0..640u64 {
        for table in [Table::Windows, Table::Batches, Table::Calls] {
            tables.put(table, &n.to_be_bytes(), &[7; 300]).unwrap();
            tables.sync(table).unwrap();
        }
        journal.log.append(&[chain.frame(1, Timestamp(7), 16, 1, &[&[1; 100]])]).unwrap();
        if n % 8 == 7 {
            journal.log.trim(Lsn(0)).unwrap();
            most = most.max(files());
        }
    }
    // 80 trims of four columns; a run of sixteen is merged, and those that RocksDB has not
    // deleted yet.
    assert!(most < 4 * (16 + 16 + 4), "{most} table files");
    for n in 0..640u64 {
        assert_eq!(tables.get(Table::Windows, &n.to_be_bytes()).unwrap(), Some(vec![7; 300]));
    }
}

/// As a kill leaves them: the directory is copied while the engine runs.
#[test]
fn pages_are_there_after_a_kill_once_they_were_synced_however_many_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let live = open(&dir.path().join("live")).unwrap();
    let tables = &live.tables;
    // A few, many together, and a few again: through the log, past it, and both.
    let sizes = [300, 300_000, 2_000_000, 300, 900_000];
    for (n, size) in (0u8..).zip(sizes) {
        for piece in 0..3u8 {
            tables.put(Table::Windows, &[n, piece], &vec![n; size]).unwrap();
        }
        tables.sync(Table::Windows).unwrap();
    }
    tables.remove(Table::Windows, &[3], &[4]).unwrap();
    tables.put(Table::Windows, &[9, 9], &[1]).unwrap();
    let dead = dir.path().join("dead");
    std::fs::create_dir(&dead).unwrap();
    copy(&dir.path().join("live"), &dead);
    let again = open(&dead).unwrap().tables;
    for (n, size) in (0u8..).zip(sizes) {
        let wanted = (n != 3).then(|| vec![n; size]);
        for piece in 0..3u8 {
            assert_eq!(again.get(Table::Windows, &[n, piece]).unwrap(), wanted, "{n}");
        }
    }
    assert_eq!(again.get(Table::Windows, &[9, 9]).unwrap(), None, "it was not synced");
}
