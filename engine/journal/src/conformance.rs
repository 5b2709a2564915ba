//! What a `Log` and `Tables` promise, as checks: for the tests of every implementation, those here,
//! the simulator's disk, and any that comes.

mod gone;

use super::{Chain, Framed, Journal, JournalError, Log, Table, Tables, Tail};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tallystick_ledger::types::{Lsn, Timestamp};

/// Where one journal is kept.
pub trait Place {
    /// Its log.
    type Log: Log;

    /// Makes it, empty.
    fn open(&mut self) -> Journal<Self::Log>;

    /// Opens it again, as the next start finds it: `before` has stopped, cleanly or not.
    fn again(&mut self, before: Journal<Self::Log>) -> Journal<Self::Log>;
}

/// Checks every promise, each in a place of its own.
///
/// # Panics
/// At the first that is not held.
pub fn check<P: Place>(new: impl Fn() -> P) {
    let promises: &[fn(&mut P)] = &[
        an_empty_log_ends_before_its_first_record,
        an_append_says_where_its_last_record_stands,
        records_are_read_in_order_from_any_position,
        events_are_read_in_order_up_to_any_position,
        what_was_appended_is_there_at_the_next_start,
        gone::a_trim_takes_frames_and_nothing_else,
        gone::events_that_were_let_go_are_gone_but_the_first_record,
        resync_finds_the_last_record,
        a_last_record_that_was_trimmed_is_known,
        what_was_remembered_is_known_at_the_next_start,
        others_read_and_trim_while_one_appends,
        an_error_of_the_visitor_ends_the_visit,
        pages_are_scanned_in_the_order_of_their_keys,
        a_page_is_found_by_its_whole_key_in_its_own_table,
        the_last_page_of_a_key_counts,
        what_was_synced_is_there_at_the_next_start,
        an_entry_is_durable_at_once,
        a_removal_takes_its_range_and_nothing_else,
        threads_share_the_tables,
    ];
    promises.iter().for_each(|promise| promise(&mut new()));
}

const FRAME: u8 = 2;
const EVENT: u8 = 16;
/// Tables whose pages are put and synced; entries of `Meta` are committed.
const PAGED: [Table; Table::ALL.len() - 1] = paged();

/// All but `Meta`, so that a new table is held to the same.
const fn paged() -> [Table; Table::ALL.len() - 1] {
    let (mut paged, mut at, mut of) = ([Table::Meta; Table::ALL.len() - 1], 0, 0);
    while of < Table::ALL.len() {
        if !matches!(Table::ALL[of], Table::Meta) {
            paged[at] = Table::ALL[of];
            at += 1;
        }
        of += 1;
    }
    paged
}

type Records = Vec<(Lsn, Vec<u8>)>;
type Pages = Vec<(Vec<u8>, Vec<u8>)>;

/// A record of each kind, of different lengths.
fn group(chain: &mut Chain, kinds: &[u8]) -> Vec<Framed> {
    let record = |&kind: &u8| {
        let length = usize::from(chain.tail().lsn.0.to_le_bytes()[0]) * 7;
        chain.frame(1, Timestamp(7), kind, 1, &[&vec![kind; length]])
    };
    kinds.iter().map(record).collect()
}

/// Appends groups of frames and events in turn; returns all their records.
fn filled(log: &mut impl Log, chain: &mut Chain) -> Vec<Framed> {
    let groups: [&[u8]; 6] =
        [&[EVENT], &[FRAME, FRAME], &[EVENT, FRAME], &[EVENT, EVENT], &[FRAME, EVENT], &[FRAME]];
    let append = |kinds: &&[u8]| {
        let group = group(chain, kinds);
        log.append(&group).unwrap();
        group
    };
    groups.iter().flat_map(append).collect()
}

fn read(log: &dyn Log, from: u64) -> Records {
    let mut found = Vec::new();
    log.read(Lsn(from), &mut |lsn, bytes| {
        found.push((lsn, bytes.to_vec()));
        Ok(())
    })
    .unwrap();
    found
}

fn read_events(log: &dyn Log, to: u64) -> Records {
    let mut found = Vec::new();
    log.read_events(Lsn(to), &mut |lsn, bytes| {
        found.push((lsn, bytes.to_vec()));
        Ok(())
    })
    .unwrap();
    found
}

/// Those of the records that `wanted` takes, as they are read.
fn those(records: &[Framed], wanted: impl Fn(&Framed) -> bool) -> Records {
    let taken = records.iter().filter(|framed| wanted(framed));
    taken.map(|framed| (framed.lsn, framed.bytes.clone())).collect()
}

fn scan(tables: &dyn Tables, table: Table, from: &[u8], to: &[u8]) -> Pages {
    let mut found = Vec::new();
    tables
        .scan(table, from, to, &mut |key, page| {
            found.push((key.to_vec(), page.to_vec()));
            Ok(())
        })
        .unwrap();
    found
}

fn an_empty_log_ends_before_its_first_record(place: &mut impl Place) {
    let mut journal = place.open();
    for _ in 0..2 {
        assert_eq!(journal.log.resync().unwrap(), Tail::START);
        assert_eq!(journal.log.remembered().unwrap(), None);
        assert!(read(&journal.log, 0).is_empty() && read_events(&journal.log, u64::MAX).is_empty());
        journal = place.again(journal);
    }
}

fn an_append_says_where_its_last_record_stands(place: &mut impl Place) {
    let (mut log, mut chain) = (place.open().log, Chain::start());
    for (kinds, stands) in [(&[EVENT][..], 1), (&[FRAME, EVENT, FRAME], 4), (&[FRAME; 9], 13)] {
        assert_eq!(log.append(&group(&mut chain, kinds)).unwrap(), Lsn(stands));
    }
}

fn records_are_read_in_order_from_any_position(place: &mut impl Place) {
    let (mut log, mut chain) = (place.open().log, Chain::start());
    let records = filled(&mut log, &mut chain);
    for from in 0..=chain.tail().lsn.0 + 2 {
        let wanted = those(&records, |framed| framed.lsn >= Lsn(from));
        assert_eq!(read(&log, from), wanted, "from {from}");
        assert_eq!(read(&*log.shared(), from), wanted, "from {from}, shared");
    }
}

fn events_are_read_in_order_up_to_any_position(place: &mut impl Place) {
    let (mut log, mut chain) = (place.open().log, Chain::start());
    let records = filled(&mut log, &mut chain);
    for to in (0..=chain.tail().lsn.0 + 2).chain([u64::MAX]) {
        let wanted = those(&records, |framed| framed.kind() == EVENT && framed.lsn <= Lsn(to));
        assert_eq!(read_events(&log, to), wanted, "up to {to}");
        assert_eq!(read_events(&*log.shared(), to), wanted, "up to {to}, shared");
        for from in 0..=chain.tail().lsn.0 + 2 {
            let mut found = Vec::new();
            log.events_between(Lsn(from), Lsn(to), &mut |lsn, bytes| {
                found.push((lsn, bytes.to_vec()));
                Ok(())
            })
            .unwrap();
            let wanted = wanted.iter().filter(|(lsn, _)| lsn.0 >= from);
            assert_eq!(found, wanted.cloned().collect::<Records>(), "from {from} up to {to}");
        }
    }
}

fn what_was_appended_is_there_at_the_next_start(place: &mut impl Place) {
    let (mut journal, mut chain, mut records) = (place.open(), Chain::start(), Vec::new());
    for _ in 0..3 {
        records.extend(filled(&mut journal.log, &mut chain));
        journal = place.again(journal);
        assert_eq!(read(&journal.log, 0), those(&records, |_| true));
        assert_eq!(
            read_events(&journal.log, u64::MAX),
            those(&records, |framed| framed.kind() == EVENT)
        );
    }
}

fn resync_finds_the_last_record(place: &mut impl Place) {
    let (mut journal, mut chain) = (place.open(), Chain::start());
    for kinds in [&[EVENT][..], &[EVENT, FRAME], &[FRAME, FRAME], &[FRAME, EVENT]] {
        journal.log.append(&group(&mut chain, kinds)).unwrap();
        for _ in 0..2 {
            // Where it stands, whose record it is, and the last event before it.
            assert_eq!(journal.log.resync().unwrap(), chain.tail());
            journal = place.again(journal);
        }
    }
}

fn a_last_record_that_was_trimmed_is_known(place: &mut impl Place) {
    let (mut journal, mut chain) = (place.open(), Chain::start());
    for kinds in [&[EVENT, FRAME][..], &[FRAME, FRAME], &[EVENT]] {
        journal.log.append(&group(&mut chain, kinds)).unwrap();
        journal.log.trim(chain.tail().lsn).unwrap();
        for _ in 0..2 {
            assert_eq!(journal.log.resync().unwrap(), chain.tail());
            journal = place.again(journal);
        }
    }
}

fn what_was_remembered_is_known_at_the_next_start(place: &mut impl Place) {
    let (mut journal, mut chain) = (place.open(), Chain::start());
    for _ in 0..2 {
        filled(&mut journal.log, &mut chain);
        journal.log.remember(chain.tail()).unwrap();
        assert_eq!(journal.log.remembered().unwrap(), Some(chain.tail()));
        journal = place.again(journal);
        assert_eq!(journal.log.remembered().unwrap(), Some(chain.tail()));
    }
    // What was appended since may be known as well, and never more than that.
    let before = chain.tail();
    journal.log.append(&group(&mut chain, &[FRAME])).unwrap();
    for _ in 0..2 {
        let known = journal.log.remembered().unwrap();
        assert!([Some(before), Some(chain.tail())].contains(&known), "{known:?}");
        journal = place.again(journal);
    }
}

/// Groups that are appended while others read, and trims meanwhile.
const GROUPS: usize = 100;
const TRIMS: usize = 10;

/// Says when whoever holds it is done, or has failed.
struct AtWork<'a>(&'a AtomicBool);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn others_read_and_trim_while_one_appends(place: &mut impl Place) {
    let (Journal { mut log, tables: _ }, mut chain) = (place.open(), Chain::start());
    log.append(&group(&mut chain, &[EVENT])).unwrap();
    let (reading, trimming, at_work) = (log.shared(), log.shared(), AtomicBool::new(true));
    std::thread::scope(|scope| {
        let (at_work, _done) = (&at_work, AtWork(&at_work));
        scope.spawn(move || {
            let mut most = 0;
            while at_work.load(Ordering::Relaxed) {
                let found = read(&*reading, 1);
                // All of one moment: what was appended before, or together, is there.
                assert!(found.iter().map(|(lsn, _)| lsn.0).eq((1..).take(found.len())));
                assert!(found.len() >= most && !read_events(&*reading, u64::MAX).is_empty());
                most = found.len();
            }
        });
        scope.spawn(move || (0..TRIMS).for_each(|_| trimming.trim(Lsn(0)).unwrap()));
        for n in 0..GROUPS {
            let kinds = if n.is_multiple_of(2) { [FRAME, EVENT] } else { [EVENT, FRAME] };
            log.append(&group(&mut chain, &kinds)).unwrap();
        }
    });
    assert_eq!(log.resync().unwrap(), chain.tail());
}

fn an_error_of_the_visitor_ends_the_visit(place: &mut impl Place) {
    let Journal { mut log, tables } = place.open();
    filled(&mut log, &mut Chain::start());
    (0..9u8).for_each(|n| tables.put(Table::Calls, &[n], &[n]).unwrap());
    tables.sync(Table::Calls).unwrap();
    let mut visited = 0;
    let mut enough = || {
        visited += 1;
        if visited < 3 { Ok(()) } else { Err(JournalError::Storage("enough".into())) }
    };
    let ended = log.read(Lsn(1), &mut |_, _| enough()).unwrap_err();
    assert!(matches!(ended, JournalError::Storage(why) if why == "enough"));
    let ended = log.read_events(Lsn(9), &mut |_, _| enough()).unwrap_err();
    assert!(matches!(ended, JournalError::Storage(why) if why == "enough"));
    let ended = tables.scan(Table::Calls, &[0], &[9], &mut |_, _| enough()).unwrap_err();
    assert!(matches!(ended, JournalError::Storage(why) if why == "enough"));
    assert_eq!(visited, 5, "the third ends it, and so does each first one after it");
}

/// Keys in their order: byte by byte, and the shorter one first.
const KEYS: [&[u8]; 9] = [
    &[0],
    &[0, 0],
    &[0, 0, 1],
    &[0, 255],
    &[1],
    &[1, 127, 3],
    &[1, 128],
    &[255, 0],
    &[255, 254, 255],
];

fn pages_are_scanned_in_the_order_of_their_keys(place: &mut impl Place) {
    let tables = place.open().tables;
    for table in PAGED {
        assert!(scan(&*tables, table, &[], &[255; 9]).is_empty());
        // Put in another order, and not all at once.
        for key in KEYS.iter().rev().step_by(2).chain(KEYS.iter().rev().skip(1).step_by(2)) {
            tables.put(table, key, key).unwrap();
            if key.len() == 2 {
                tables.sync(table).unwrap();
            }
        }
        tables.sync(table).unwrap();
        for (first, from) in KEYS.iter().enumerate() {
            for (end, to) in KEYS.iter().enumerate().skip(first) {
                let wanted = KEYS[first..end].iter().map(|key| (key.to_vec(), key.to_vec()));
                assert_eq!(scan(&*tables, table, from, to), wanted.collect::<Pages>());
            }
        }
        assert_eq!(scan(&*tables, table, &[], &[255; 9]).len(), KEYS.len());
    }
}

fn a_page_is_found_by_its_whole_key_in_its_own_table(place: &mut impl Place) {
    let mut journal = place.open();
    for table in PAGED {
        journal.tables.put(table, b"key", table.name().as_bytes()).unwrap();
        journal.tables.sync(table).unwrap();
    }
    journal.tables.commit(b"key", Table::Meta.name().as_bytes()).unwrap();
    for _ in 0..2 {
        for table in Table::ALL {
            let name = table.name().as_bytes().to_vec();
            assert_eq!(journal.tables.get(table, b"key").unwrap(), Some(name));
            for other in [&b"ke"[..], b"kex", b"kez", b"key\0", b"", b"k"] {
                assert_eq!(journal.tables.get(table, other).unwrap(), None, "{other:?}");
            }
        }
        journal = place.again(journal);
    }
}

fn the_last_page_of_a_key_counts(place: &mut impl Place) {
    let journal = place.open();
    for table in PAGED {
        for pages in [&[1u8, 2][..], &[3], &[4, 5, 6]] {
            for &page in pages {
                journal.tables.put(table, b"key", &[page]).unwrap();
            }
            journal.tables.sync(table).unwrap();
            let last = pages.last().copied().unwrap();
            assert_eq!(journal.tables.get(table, b"key").unwrap(), Some(vec![last]));
        }
    }
    journal.tables.commit(b"key", &[1]).unwrap();
    journal.tables.commit(b"key", &[6]).unwrap();
    let journal = place.again(journal);
    for table in Table::ALL {
        assert_eq!(journal.tables.get(table, b"key").unwrap(), Some(vec![6]), "{table:?}");
    }
}

fn what_was_synced_is_there_at_the_next_start(place: &mut impl Place) {
    let mut journal = place.open();
    // A few, many together, and a few again: an implementation may treat them differently.
    let sizes = [300, 1_300_000, 300, 0, 700_000];
    for table in PAGED {
        for (n, size) in (0u8..).zip(sizes) {
            for piece in 0..3u8 {
                journal.tables.put(table, &[n, piece], &vec![n; size]).unwrap();
            }
            journal.tables.sync(table).unwrap();
        }
    }
    // Not synced: it may be there or not, and harms nothing else.
    journal.tables.put(Table::Windows, &[9], &[9]).unwrap();
    journal.tables.sync(Table::Calls).unwrap();
    for _ in 0..2 {
        journal = place.again(journal);
        for table in PAGED {
            for (n, size) in (0u8..).zip(sizes) {
                let pages = scan(&*journal.tables, table, &[n], &[n + 1]);
                let wanted = (0..3).map(|piece| (vec![n, piece], vec![n; size]));
                assert!(pages == wanted.collect::<Pages>(), "{table:?}, {n}: {size} bytes");
            }
        }
    }
}

fn an_entry_is_durable_at_once(place: &mut impl Place) {
    let mut journal = place.open();
    for n in 0..3u8 {
        journal.tables.commit(&[n], &[n; 9]).unwrap();
        journal = place.again(journal);
        for n in 0..=n {
            assert_eq!(journal.tables.get(Table::Meta, &[n]).unwrap(), Some(vec![n; 9]));
        }
    }
}

fn a_removal_takes_its_range_and_nothing_else(place: &mut impl Place) {
    let mut journal = place.open();
    let tables = &journal.tables;
    for table in [Table::Checkpoints, Table::Windows] {
        (0..6u8).for_each(|n| tables.put(table, &[n, 7], &[n]).unwrap());
        tables.sync(table).unwrap();
        // These two are not synced before they are removed.
        tables.put(table, &[2, 8], &[8]).unwrap();
        tables.put(table, &[5, 8], &[8]).unwrap();
    }
    tables.remove(Table::Windows, &[1, 7], &[4]).unwrap();
    tables.remove(Table::Checkpoints, &[2], &[3]).unwrap();
    tables.remove(Table::Calls, &[0], &[9]).unwrap();
    // What was removed may come back as another page.
    tables.put(Table::Windows, &[3, 7], &[33]).unwrap();
    tables.sync(Table::Checkpoints).unwrap();
    tables.sync(Table::Windows).unwrap();
    let page = |key: [u8; 2], page: u8| (key.to_vec(), vec![page]);
    let wanted = [
        (
            Table::Windows,
            vec![
                page([0, 7], 0),
                page([3, 7], 33),
                page([4, 7], 4),
                page([5, 7], 5),
                page([5, 8], 8),
            ],
        ),
        (
            Table::Checkpoints,
            vec![
                page([0, 7], 0),
                page([1, 7], 1),
                page([3, 7], 3),
                page([4, 7], 4),
                page([5, 7], 5),
                page([5, 8], 8),
            ],
        ),
    ];
    for _ in 0..2 {
        for (table, pages) in &wanted {
            assert_eq!(scan(&*journal.tables, *table, &[0], &[9]), *pages, "{table:?}");
        }
        journal = place.again(journal);
    }
}

fn threads_share_the_tables(place: &mut impl Place) {
    let mut journal = place.open();
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let tables: Arc<dyn Tables> = journal.tables.clone();
            scope.spawn(move || {
                for n in 0..50u8 {
                    tables.put(Table::Legs, &[thread, n], &[thread, n]).unwrap();
                    tables.sync(Table::Legs).unwrap();
                    let found = tables.get(Table::Legs, &[thread, n]).unwrap();
                    assert_eq!(found, Some(vec![thread, n]), "once it was synced");
                }
            });
        }
    });
    for _ in 0..2 {
        let keys = (0..4u8).flat_map(|thread| (0..50u8).map(move |n| vec![thread, n]));
        let wanted: Pages = keys.map(|key| (key.clone(), key)).collect();
        assert_eq!(scan(&*journal.tables, Table::Legs, &[0], &[9]), wanted);
        journal = place.again(journal);
    }
}
