//! What is kept beside the journal: that every node has it, that nobody who was cut off changes it,
//! and that nothing is left of what was destroyed. On three real servers.

mod place;

use place::{CREATE, TAKE_OVER, settings, try_open};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tallystick_jetstream::{Beside, Settings, follow};
use tallystick_journal::{Journal, Table, Tables, rocks};
use tallystick_tests::nats::{Cluster, SERVERS};
use tallystick_tests::until;
use tempfile::TempDir;

/// The tables that go through the servers.
const THROUGH: [Table; 3] = [Table::Calls, Table::PartyKeys, Table::Payments];

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn owner(settings: &Settings, dir: &Path) -> Arc<dyn Tables> {
    let Journal { log: _, tables } = try_open(settings, dir, TAKE_OVER).unwrap();
    tables
}

type Pages = Vec<(Vec<u8>, Vec<u8>)>;

fn pages(tables: &dyn Tables, table: Table) -> Pages {
    let mut found = Pages::new();
    let mut visit = |key: &[u8], page: &[u8]| {
        found.push((key.to_vec(), page.to_vec()));
        Ok(())
    };
    tables.scan(table, &[], &[255; 60], &mut visit).unwrap();
    found
}

fn put(tables: &dyn Tables, table: Table, key: &[u8], page: &[u8]) {
    tables.put(table, key, page).unwrap();
    tables.sync(table).unwrap();
}

/// All that is to be the same on every node.
fn all(tables: &dyn Tables) -> Vec<Pages> {
    let mut all: Vec<Pages> = THROUGH.iter().map(|table| pages(tables, *table)).collect();
    let mut meta = pages(tables, Table::Meta);
    meta.retain(|(key, _)| Table::Meta.is_underived(key));
    all.push(meta);
    all
}

/// A node that follows, and its directory.
fn standby(settings: &Settings, dir: &Path) -> tallystick_jetstream::Followed {
    follow(settings, rocks::open(dir).unwrap(), TAKE_OVER).unwrap()
}

#[test]
fn every_node_has_what_the_owner_keeps_and_goes_on_with_it() {
    let cluster = Cluster::start();
    let (settings, dirs) = (settings(&cluster), [folder(), folder(), folder()]);
    let Journal { log, tables } = try_open(&settings, dirs[0].path(), CREATE).unwrap();
    for n in 0..50u8 {
        THROUGH.iter().for_each(|table| put(&*tables, *table, &[n, 1], &[n; 300]));
    }
    tables.commit(b"root", &[5; 32]).unwrap();
    tables.commit(b"of this node", &[6]).unwrap();
    let follower = standby(&settings, dirs[1].path());
    assert_eq!(all(&**follower.beside()), all(&*tables));
    assert_eq!(pages(&*tables, Table::Calls).len(), 50);
    // And what comes later: other pages, none, and such as are destroyed.
    for table in THROUGH {
        (0..9u8).for_each(|n| tables.put(table, &[n, 1], &[n + 1]).unwrap());
        tables.remove(table, &[20], &[30]).unwrap();
        tables.put(table, &[25, 7], b"again").unwrap();
        tables.sync(table).unwrap();
    }
    put(&*tables, Table::Meta, b"webhook 1", b"told");
    tables.destroy(Table::PartyKeys, &[40, 1]).unwrap();
    tables.destroy(Table::PartyKeys, &[99]).unwrap();
    follower.beside().follow().unwrap();
    assert_eq!(all(&**follower.beside()), all(&*tables));
    assert_eq!(pages(&*tables, Table::PartyKeys).len(), 50 - 10 + 1 - 1);
    let kept = all(&*tables);
    // It takes over, and cuts the other one off.
    let Journal { log: second_log, tables: second } = follower.claim().unwrap();
    put(&*second, Table::Calls, &[1, 1], b"the successor's");
    for table in THROUGH {
        tables.put(table, &[1, 1], b"late").unwrap();
        let why = tables.sync(table).unwrap_err().to_string();
        assert!(why.contains("another engine has claimed it"), "{why}");
        assert!(tables.sync(table).is_err(), "for ever");
    }
    drop((log, tables, second_log));
    let third = standby(&settings, dirs[2].path());
    assert_eq!(all(&**third.beside()), all(&*second));
    assert_eq!(second.get(Table::Calls, &[1, 1]).unwrap().unwrap(), b"the successor's");
    assert_ne!(all(&*second), kept);
    // The first one comes back as one that follows, with what it was late with nowhere.
    let first = standby(&settings, dirs[0].path());
    assert_eq!(all(&**first.beside()), all(&*second));
    assert_eq!(first.beside().get(Table::Meta, b"of this node").unwrap(), Some(vec![6]));
    assert_eq!(second.get(Table::Meta, b"of this node").unwrap(), None);
}

#[test]
fn a_standby_changes_nothing_and_says_so() {
    let cluster = Cluster::start();
    let (settings, dirs) = (settings(&cluster), [folder(), folder()]);
    let tables = owner_of_new(&settings, dirs[0].path());
    put(&*tables, Table::Calls, &[1], b"a call");
    let follower = standby(&settings, dirs[1].path());
    let beside: &Beside = follower.beside();
    let refusals = [
        beside.put(Table::Calls, &[1], b"another"),
        beside.remove(Table::Payments, &[0], &[9]),
        beside.destroy(Table::PartyKeys, &[1]),
        beside.commit(b"root", b"x"),
    ];
    for refusal in refusals {
        assert!(refusal.unwrap_err().to_string().contains("this node stands by"));
    }
    // What follows from records is its own.
    put(beside, Table::Windows, &[1], b"sealed");
    assert_eq!(beside.get(Table::Windows, &[1]).unwrap().unwrap(), b"sealed");
}

fn owner_of_new(settings: &Settings, dir: &Path) -> Arc<dyn Tables> {
    try_open(settings, dir, CREATE).unwrap().tables
}

#[test]
fn what_a_directory_held_before_goes_to_the_servers_at_its_next_start() {
    let cluster = Cluster::start();
    let (settings, dirs) = (settings(&cluster), [folder(), folder()]);
    let before = {
        let local = rocks::open(dirs[0].path()).unwrap().tables;
        for table in THROUGH {
            (0..700u16).for_each(|n| local.put(table, &n.to_be_bytes(), &[7; 90]).unwrap());
            local.put(table, &[9, 9, 9], &vec![8; 1 << 20]).unwrap();
            local.sync(table).unwrap();
        }
        local.commit(b"root", &[5; 32]).unwrap();
        all(&*local)
    };
    drop(owner_of_new(&settings, dirs[0].path()));
    // Started again, it fills nothing twice.
    drop(owner(&settings, dirs[0].path()));
    let follower = standby(&settings, dirs[1].path());
    assert!(all(&**follower.beside()) == before, "all of it is there");
}

/// As where a start ended before it had put all of it there: what a newer message took the place of
/// could be erased no more.
#[test]
fn what_was_put_there_once_is_not_put_there_again() {
    let cluster = Cluster::start();
    let (settings, dirs) = (settings(&cluster), [folder(), folder()]);
    let keys: Vec<[u8; 2]> = (0..20).map(|n| [n, 3]).collect();
    {
        let local = rocks::open(dirs[0].path()).unwrap().tables;
        keys.iter().for_each(|key| local.put(Table::PartyKeys, key, &[7; 48]).unwrap());
        local.sync(Table::PartyKeys).unwrap();
    }
    put(&*owner_of_new(&settings, dirs[0].path()), Table::Calls, &[1], b"later");
    let bucket = format!("KV_{}-beside", settings.stream);
    let held = |word: &str| {
        let state = cluster.stream(0, &bucket)?["state"].clone();
        state[word].as_u64()
    };
    // A cut, twenty pages, the word that it is done, a page. That word is lost, and a page.
    let last = until("the replica has all of it", || held("last_seq").filter(|seq| *seq >= 23));
    assert_eq!(last, 23);
    place::erase(&settings, &bucket, &[22, 5]);
    let notes = rocks::open(dirs[0].path()).unwrap().tables;
    notes.commit(format!("stream place {bucket}").as_bytes(), &[0; 17]).unwrap();
    drop(notes);
    let tables = owner(&settings, dirs[0].path());
    // Another cut, the page, and the word.
    let again = until("it goes on", || held("last_seq").filter(|seq| *seq > last));
    assert!(again <= last + 3, "{again} behind {last}");
    let follower = standby(&settings, dirs[1].path());
    assert_eq!(all(&**follower.beside()), all(&*tables));
    assert_eq!(pages(&*tables, Table::PartyKeys).len(), 20);
}

#[test]
fn many_pages_are_synced_together_and_one_that_is_too_large_is_refused_in_words() {
    let cluster = Cluster::start();
    let (settings, dirs) = (settings(&cluster), [folder(), folder()]);
    let tables = owner_of_new(&settings, dirs[0].path());
    for n in 0..3_000u16 {
        tables.put(Table::PartyKeys, &n.to_be_bytes(), &[7; 64]).unwrap();
    }
    tables.sync(Table::PartyKeys).unwrap();
    let why = tables.put(Table::Calls, &[1], &vec![7; 2 << 20]).unwrap_err().to_string();
    assert!(why.contains("table calls") && why.contains("raise max_payload"), "{why}");
    tables.sync(Table::Calls).unwrap();
    let follower = standby(&settings, dirs[1].path());
    assert_eq!(pages(&**follower.beside(), Table::PartyKeys).len(), 3_000);
}

#[test]
fn a_leader_that_is_killed_between_put_and_sync_loses_nothing() {
    let mut cluster = Cluster::start();
    let (settings, dirs) = (settings(&cluster), [folder(), folder()]);
    let tables = owner_of_new(&settings, dirs[0].path());
    let names = [format!("KV_{}-beside", settings.stream), format!("{}-passing", settings.stream)];
    for (round, name) in (0u8..).zip(names.iter().chain(&names)) {
        for table in THROUGH {
            (0..40u8).for_each(|n| tables.put(table, &[round, n], &[round; 100]).unwrap());
        }
        let leader = cluster.leader(name);
        cluster.kill9(leader);
        THROUGH.iter().for_each(|table| tables.sync(*table).unwrap());
        cluster.run(leader);
        cluster.until_healthy(leader);
    }
    let follower = standby(&settings, dirs[1].path());
    assert_eq!(all(&**follower.beside()), all(&*tables));
    assert_eq!(pages(&*tables, Table::Payments).len(), 160);
}

#[test]
fn nothing_is_synced_without_a_quorum() {
    let mut cluster = Cluster::start();
    let (settings, dirs) = (settings(&cluster), [folder(), folder()]);
    let followed = follow(&settings, rocks::open(dirs[0].path()).unwrap(), CREATE).unwrap();
    let vitals = followed.beside().vitals();
    let tables = followed.claim().unwrap().tables;
    let dead = [0, 1];
    dead.iter().for_each(|n| cluster.kill9(*n));
    for table in [Table::Calls, Table::Payments] {
        tables.put(table, &[1], b"a page").unwrap();
    }
    std::thread::scope(|scope| {
        let syncs = [Table::Calls, Table::Payments].map(|table| {
            let tables = &tables;
            scope.spawn(move || tables.sync(table).unwrap())
        });
        until("it has waited", || {
            assert!(syncs.iter().all(|sync| !sync.is_finished()), "it has not waited for a quorum");
            (vitals.waiting_seconds() > 3).then_some(())
        });
        dead.iter().for_each(|n| cluster.run(*n));
    });
    let follower = standby(&settings, dirs[1].path());
    assert_eq!(all(&**follower.beside()), all(&*tables));
}

/// Files below a folder in which these bytes stand.
fn holding(dir: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        // A file may go meanwhile.
        let found = std::fs::read(path).unwrap_or_default();
        found.windows(bytes.len()).any(|window| window == bytes)
    };
    below(dir).into_iter().filter(holds).collect()
}

/// All files below a folder.
fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let files = |path: PathBuf| if path.is_dir() { below(&path) } else { vec![path] };
    entries.flat_map(|of| files(of.path())).collect()
}

/// A node that was off meanwhile reads the new key alone, and no word of the old one's end.
#[test]
fn a_node_that_was_off_while_a_page_was_destroyed_and_came_back_holds_nothing_of_it() {
    let cluster = Cluster::start();
    let (settings, dirs) = (settings(&cluster), [folder(), folder()]);
    let tables = owner_of_new(&settings, dirs[0].path());
    let secret: Vec<u8> = (0..48u8).map(|n| n.wrapping_mul(41) ^ 0x3c).collect();
    put(&*tables, Table::PartyKeys, &[1, 7], &secret);
    drop(standby(&settings, dirs[1].path()));
    assert!(!holding(dirs[1].path(), &secret).is_empty(), "it was there");
    tables.destroy(Table::PartyKeys, &[1, 7]).unwrap();
    put(&*tables, Table::PartyKeys, &[1, 7], b"another key");
    let back = standby(&settings, dirs[1].path());
    assert_eq!(all(&**back.beside()), all(&*tables));
    assert_eq!(holding(dirs[1].path(), &secret), Vec::<PathBuf>::new());
}

/// What the servers' own log of the stream holds of it goes when that log is cut, some minutes
/// later: docs/CLUSTER.md.
#[test]
fn of_a_page_that_was_destroyed_no_byte_is_left_in_the_streams_files() {
    let cluster = Cluster::start();
    let (settings, dir) = (settings(&cluster), folder());
    let tables = owner_of_new(&settings, dir.path());
    let secret: Vec<u8> = (0..48u8).map(|n| n.wrapping_mul(37) ^ 0x5a).collect();
    (0..20u8).for_each(|n| put(&*tables, Table::PartyKeys, &[n], &[n; 48]));
    put(&*tables, Table::PartyKeys, &[77], &secret);
    let streams = |n: usize| cluster.store(n).join("jetstream/$G/streams");
    let held = |n: usize| holding(&streams(n), &secret).len();
    (0..SERVERS).for_each(|n| until("every replica has it", || (held(n) > 0).then_some(())));
    tables.destroy(Table::PartyKeys, &[77]).unwrap();
    (0..SERVERS).for_each(|n| until("no replica has it", || (held(n) == 0).then_some(())));
    assert_eq!(pages(&*tables, Table::PartyKeys).len(), 20);
    assert_eq!(tables.get(Table::PartyKeys, &[77]).unwrap(), None);
    // It may come back as another one.
    put(&*tables, Table::PartyKeys, &[77], b"of one who came back");
    assert_eq!(pages(&*tables, Table::PartyKeys).len(), 21);
}
