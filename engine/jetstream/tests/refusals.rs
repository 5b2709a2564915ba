//! What is refused before anything is written: servers and streams that are not fit for a journal,
//! directories that do not belong to the stream.

mod place;

use async_nats::jetstream::{self, stream::Config};
use place::{CREATE, TAKE_OVER, opened, records, settings, try_open};
use std::path::Path;
use std::time::Duration;
use tallystick_jetstream::{Seen, Settings, Start, examine, follow};
use tallystick_journal::{Chain, Log as _, Tail, rocks};
use tallystick_tests::nats::{Cluster, SERVERS, Shape};

/// What makes a stream unfit.
type Change = fn(&mut Config);

fn refusal(settings: &Settings, dir: &Path, start: Start) -> String {
    match try_open(settings, dir, start) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

/// Makes a stream as the engine makes one, but for what `change` says.
fn make(settings: &Settings, change: impl FnOnce(&mut Config)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let context = jetstream::new(async_nats::connect(&settings.servers[..]).await.unwrap());
        let mut config = tallystick_jetstream::stream_config(settings);
        change(&mut config);
        context.create_stream(config).await.unwrap();
    });
}

#[test]
fn a_stream_that_could_lose_what_it_acks_is_refused() {
    let cluster = Cluster::start();
    let changes: &[(&str, Change)] = &[
        ("1 replicas", |of| of.num_replicas = 1),
        ("max_msg_size", |of| of.max_message_size = 1 << 20),
        ("max_age", |of| of.max_age = Duration::from_secs(3_600)),
        ("max_bytes", |of| of.max_bytes = 1 << 30),
        ("max_msgs discards", |of| of.max_messages = 1_000),
        ("max_msgs_per_subject", |of| of.max_messages_per_subject = 1_000),
        ("deny_delete", |of| of.deny_delete = false),
        ("deny_purge", |of| of.deny_purge = false),
        ("memory", |of| of.storage = jetstream::stream::StorageType::Memory),
        ("allow_direct", |of| of.allow_direct = false),
        ("one subject", |of| of.subjects = vec![format!("{}.>", of.name)]),
        ("retention", |of| of.retention = jetstream::stream::RetentionPolicy::WorkQueue),
    ];
    for (why, change) in changes {
        let (settings, dir) = (settings(&cluster), tempfile::tempdir().unwrap());
        make(&settings, change);
        let said = refusal(&settings, dir.path(), CREATE);
        assert!(said.contains(why) && said.contains("is not fit for a journal"), "{why}: {said}");
    }
    // And one with nothing changed is taken.
    let (settings, dir) = (settings(&cluster), tempfile::tempdir().unwrap());
    make(&settings, |_| {});
    opened(&settings, dir.path(), CREATE);
}

#[test]
fn a_bucket_that_could_forget_the_epoch_is_refused() {
    let cluster = Cluster::start();
    let (settings, dir) = (settings(&cluster), tempfile::tempdir().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let context = jetstream::new(async_nats::connect(&settings.servers[..]).await.unwrap());
        let config = jetstream::kv::Config {
            bucket: settings.bucket(),
            storage: jetstream::stream::StorageType::Memory,
            num_replicas: SERVERS,
            ..jetstream::kv::Config::default()
        };
        context.create_key_value(config).await.unwrap();
    });
    let said = refusal(&settings, dir.path(), CREATE);
    assert!(said.contains("the epoch in bucket") && said.contains("not kept on disk"), "{said}");
}

#[test]
fn a_directory_that_does_not_belong_to_the_stream_is_refused_by_name() {
    let cluster = Cluster::start();
    let (one, other) = (settings(&cluster), settings(&cluster));
    let [own, fresh, alone, kept] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let said = refusal(&one, own.path(), Start { create: false, take_over: false });
    assert!(said.contains("there is no stream"), "{said}");
    let (mut log, mut chain) = (opened(&one, own.path(), CREATE), Chain::start());
    log.append(&records(&mut chain, 3, 100)).unwrap();
    log.remember(chain.tail()).unwrap();
    drop(log);

    let said = refusal(&one, fresh.path(), CREATE);
    assert!(said.contains("was last written by another engine"), "{said}");
    let old = kept.path().join("old");
    tallystick_tests::copy_dir(own.path(), &old);
    drop(opened(&one, own.path(), CREATE));
    let said = refusal(&one, &old, CREATE);
    assert!(said.contains("was last written by another engine"), "a copy that is old: {said}");

    let mut embedded = rocks::open(alone.path()).unwrap();
    embedded.log.append(&records(&mut Chain::start(), 2, 10)).unwrap();
    drop(embedded);
    let said = refusal(&one, alone.path(), CREATE);
    assert!(said.contains("a ledger of its own with 2 records"), "{said}");

    let said = refusal(&other, own.path(), CREATE);
    assert!(said.contains("there is no stream") && said.contains("3 records"), "{said}");
    let second = tempfile::tempdir().unwrap();
    let (mut log, mut chain) = (opened(&other, second.path(), CREATE), Chain::start());
    let said = refusal(&other, own.path(), TAKE_OVER);
    assert!(said.contains("copy of another stream") && said.contains("message 2, "), "{said}");
    log.append(&records(&mut chain, 9, 10)).unwrap();
    for _ in 0..5 {
        log.append(&records(&mut chain, 1, 10)).unwrap();
    }
    drop(log);
    let said = refusal(&other, own.path(), TAKE_OVER);
    assert!(said.contains("copy of another stream"), "{said}");
}

#[test]
fn a_directory_that_was_restored_goes_on_only_where_its_stream_ends() {
    let cluster = Cluster::start();
    let (settings, dir) = (settings(&cluster), tempfile::tempdir().unwrap());
    let backup = tempfile::tempdir().unwrap();
    let (mut log, mut chain) = (opened(&settings, dir.path(), CREATE), Chain::start());
    log.append(&records(&mut chain, 3, 100)).unwrap();
    let (short, whole) = (backup.path().join("short"), backup.path().join("whole"));
    log.copy(&short).unwrap();
    log.append(&records(&mut chain, 1, 100)).unwrap();
    log.copy(&whole).unwrap();
    drop(log);
    // Another start, which writes no record.
    drop(opened(&settings, dir.path(), CREATE));
    rocks::note_restored(&short, b"first").unwrap();
    rocks::note_restored(&whole, b"second").unwrap();
    let said = refusal(&settings, &short, CREATE);
    assert!(said.contains("ends with record 3") && said.contains("goes on to record 4"), "{said}");
    let mut log = opened(&settings, &whole, CREATE);
    // It is its own now: what it loses later comes back.
    let later = backup.path().join("later");
    tallystick_tests::copy_dir(&whole, &later);
    log.append(&records(&mut chain, 1, 100)).unwrap();
    drop(log);
    assert_eq!(place::end_of(&opened(&settings, &later, CREATE)), chain.tail());
}

/// Where a directory ends.
fn end_in(dir: &Path) -> Tail {
    rocks::open(dir).unwrap().log.resync().unwrap()
}

/// The directory's own engine opens and writes while one on a copy of it starts.
#[test]
fn what_comes_until_the_claim_is_judged_as_well() {
    let cluster = Cluster::start();
    let (settings, own) = (settings(&cluster), tempfile::tempdir().unwrap());
    let kept = tempfile::tempdir().unwrap();
    let (mut log, mut chain) = (opened(&settings, own.path(), CREATE), Chain::start());
    log.append(&records(&mut chain, 2, 100)).unwrap();
    drop(log);
    let (before, copy) = (chain.tail(), kept.path().join("copy"));
    tallystick_tests::copy_dir(own.path(), &copy);
    let followed = follow(&settings, rocks::open(&copy).unwrap(), CREATE).unwrap();
    let mut log = opened(&settings, own.path(), CREATE);
    log.append(&records(&mut chain, 1, 100)).unwrap();
    let said = followed.claim().map(drop).unwrap_err().to_string();
    assert!(said.contains("was last written by another engine"), "{said}");
    let mut late = Chain::after(chain.tail(), chain.at());
    assert!(place::refused(&mut log, &mut late).contains("another engine has claimed it"));
    drop(log);
    for _ in 0..2 {
        let said = refusal(&settings, &copy, CREATE);
        assert!(said.contains("was last written by another engine"), "still: {said}");
    }
    assert_eq!(end_in(&copy), before, "nothing of it was taken over");
    // Who was refused has claimed, and opened nothing: nobody is locked out by that.
    let log = opened(&settings, own.path(), CREATE);
    assert_eq!(place::end_of(&log), chain.tail());
}

#[test]
fn a_restored_directory_is_refused_by_what_comes_until_its_claim() {
    let cluster = Cluster::start();
    let (settings, own) = (settings(&cluster), tempfile::tempdir().unwrap());
    let kept = tempfile::tempdir().unwrap();
    let (mut log, mut chain) = (opened(&settings, own.path(), CREATE), Chain::start());
    log.append(&records(&mut chain, 2, 100)).unwrap();
    let (before, copy) = (chain.tail(), kept.path().join("copy"));
    log.copy(&copy).unwrap();
    rocks::note_restored(&copy, b"first").unwrap();
    let followed = follow(&settings, rocks::open(&copy).unwrap(), CREATE).unwrap();
    log.append(&records(&mut chain, 1, 100)).unwrap();
    let said = followed.claim().map(drop).unwrap_err().to_string();
    assert!(said.contains("ends with record 2") && said.contains("goes on to record 3"), "{said}");
    let mut late = Chain::after(chain.tail(), chain.at());
    assert!(place::refused(&mut log, &mut late).contains("another engine has claimed it"));
    drop(log);
    for _ in 0..2 {
        assert!(refusal(&settings, &copy, CREATE).contains("goes on to record 3"));
    }
    assert_eq!(end_in(&copy), before, "nothing of it was taken over");
    assert_eq!(place::end_of(&opened(&settings, own.path(), CREATE)), chain.tail());
}

#[test]
fn servers_that_do_not_sync_or_take_no_record_are_refused() {
    let cluster = Cluster::of(Shape { sync_always: false, ..Shape::default() });
    let (mut settings, dir) = (settings(&cluster), tempfile::tempdir().unwrap());
    settings.monitors = cluster.monitors();
    let said = refusal(&settings, dir.path(), CREATE);
    assert!(said.contains("sync_interval: always") && said.contains("server n0"), "{said}");
    let bad = |seen: &Seen| matches!(seen, Seen::Bad(why) if why.contains("sync_interval: always"));
    assert_eq!(examine(&settings).iter().filter(|seen| bad(seen)).count(), 3);
    drop(cluster);
    let cluster = Cluster::of(Shape { payload_max: 1 << 20, ..Shape::default() });
    settings.servers = cluster.urls();
    settings.monitors = cluster.monitors();
    let said = refusal(&settings, dir.path(), CREATE);
    assert!(said.contains("max_payload is 1048576 bytes"), "{said}");
}

/// After a reconnect another server counts than at the start.
#[test]
fn a_server_that_takes_less_than_at_the_start_stops_the_engine_with_words() {
    let mut cluster = Cluster::start();
    let (settings, dir) = (settings(&cluster), tempfile::tempdir().unwrap());
    let (mut log, mut chain) = (opened(&settings, dir.path(), CREATE), Chain::start());
    log.append(&records(&mut chain, 1, 1 << 20)).unwrap();
    (0..SERVERS)
        .for_each(|n| cluster.configure(n, Shape { payload_max: 1 << 20, ..Shape::default() }));
    (0..SERVERS).for_each(|n| cluster.kill9(n));
    (0..SERVERS).for_each(|n| cluster.run(n));
    (0..SERVERS).for_each(|n| cluster.until_healthy(n));
    let mut then = Chain::after(chain.tail(), chain.at());
    let said = log.append(&records(&mut chain, 1, 1 << 20)).unwrap_err().to_string();
    assert!(said.contains("max_payload is 1048576 bytes"), "{said}");
    log.append(&records(&mut then, 1, 100)).unwrap();
    assert_eq!(place::end_of(&log), then.tail());
}

#[test]
fn the_doctor_finds_a_fit_stream_fit() {
    let cluster = Cluster::start();
    let (mut settings, dir) = (settings(&cluster), tempfile::tempdir().unwrap());
    settings.monitors = cluster.monitors();
    let (mut log, mut chain) = (opened(&settings, dir.path(), CREATE), Chain::start());
    log.append(&records(&mut chain, 3, 100)).unwrap();
    let seen = examine(&settings);
    assert!(seen.iter().all(|seen| matches!(seen, Seen::Good(_))), "{seen:?}");
    assert_eq!(seen.len(), 7, "three servers, the stream, replicas of three streams: {seen:?}");
}
