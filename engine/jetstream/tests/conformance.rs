//! What every log promises, held to on three real servers; over restarts, and over restarts that
//! find an old copy of the data directory, as a power cut leaves it.

mod place;

use place::{CREATE, opened, settings, try_open};
use tallystick_jetstream::{Settings, StreamLog};
use tallystick_journal::conformance::{self, Place};
use tallystick_journal::{Chain, Journal, Log as _, rocks};
use tallystick_tests::nats::Cluster;
use tempfile::TempDir;

struct Stream {
    settings: Settings,
    dir: TempDir,
}

impl Place for Stream {
    type Log = StreamLog;

    fn open(&mut self) -> Journal<StreamLog> {
        try_open(&self.settings, self.dir.path(), CREATE).unwrap()
    }

    fn again(&mut self, before: Journal<StreamLog>) -> Journal<StreamLog> {
        drop(before);
        self.open()
    }
}

#[test]
fn it_keeps_what_a_log_and_tables_promise() {
    let cluster = Cluster::start();
    conformance::check(|| Stream {
        settings: settings(&cluster),
        dir: tempfile::tempdir().unwrap(),
    });
}

#[test]
fn what_the_copy_has_lost_comes_back_from_the_stream() {
    let cluster = Cluster::start();
    let (settings, dir, old) =
        (settings(&cluster), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut log, mut chain) = (opened(&settings, dir.path(), CREATE), Chain::start());
    log.append(&place::records(&mut chain, 3, 100)).unwrap();
    let kept = old.path().join("copy");
    tallystick_tests::copy_dir(dir.path(), &kept);
    for count in 1..9 {
        log.append(&place::records(&mut chain, count, 1_000)).unwrap();
    }
    drop(log);
    let mut log = opened(&settings, &kept, CREATE);
    assert_eq!((place::end_of(&log), log.resync().unwrap()), (chain.tail(), chain.tail()));
    // And it goes on from there.
    log.append(&place::records(&mut chain, 2, 100)).unwrap();
    assert_eq!(place::end_of(&log), chain.tail());
    drop(log);
    assert_eq!(rocks::open(&kept).unwrap().log.resync().unwrap(), chain.tail());
}

#[test]
fn a_group_larger_than_a_message_is_cut_and_comes_back_whole() {
    let cluster = Cluster::start();
    let (settings, dir) = (settings(&cluster), tempfile::tempdir().unwrap());
    let (mut log, mut chain) = (opened(&settings, dir.path(), CREATE), Chain::start());
    // Each near the most that a record may have; the servers take two of them in a message at most.
    let group = place::records(&mut chain, 7, (1 << 20) - 9);
    assert_eq!(log.append(&group).unwrap(), chain.tail().lsn);
    let mut small = place::records(&mut chain, 40_000, 10);
    small.extend(place::records(&mut chain, 1, 1 << 20));
    assert_eq!(log.append(&small).unwrap(), chain.tail().lsn);
    drop(log);
    let fresh = tempfile::tempdir().unwrap();
    let log = opened(&settings, fresh.path(), place::TAKE_OVER);
    assert_eq!(place::end_of(&log), chain.tail());
}
