//! Who may write: two who both believe that they do, appends whose fate nobody knows, writers who
//! come too late, replicas with holes. On three real servers, whose processes are killed, stopped
//! and wiped.

mod place;

use async_nats::jetstream;
use place::{CREATE, TAKE_OVER, end_of, opened, records, refused, settings};
use tallystick_jetstream::{Kind, Message, Settings, StreamLog, follow, sealed};
use tallystick_journal::{Chain, Log as _, rocks};
use tallystick_ledger::types::Digest;
use tallystick_tests::nats::{Cluster, SERVERS};
use tallystick_tests::{Signal, until};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Every message of a stream, by its number, as any client reads it.
fn messages(settings: &Settings) -> Vec<Vec<u8>> {
    client(settings, async |context| {
        let mut stream = context.get_stream(&settings.stream).await.unwrap();
        let last = stream.info().await.unwrap().state.last_sequence;
        let mut found = Vec::new();
        for seq in 1..=last {
            found.push(stream.get_raw_message(seq).await.unwrap().payload.to_vec());
        }
        found
    })
}

/// Appends bytes to a stream, whatever they are, as anybody with the right to publish can.
fn publish(settings: &Settings, bytes: Vec<u8>) {
    client(settings, async |context| {
        let sent = context.publish(settings.subject(), bytes.into()).await.unwrap();
        sent.await.unwrap();
    });
}

fn client<T>(settings: &Settings, work: impl AsyncFnOnce(jetstream::Context) -> T) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(&settings.servers[..]).await.unwrap();
        work(jetstream::new(client)).await
    })
}

/// How many records of groups lie in the stream, whether they count or not.
fn groups(settings: &Settings) -> usize {
    let is_group = |bytes: &&Vec<u8>| Message::read(bytes).unwrap().kind == Kind::Group;
    messages(settings).iter().filter(is_group).count()
}

#[test]
fn of_two_who_believe_the_later_one_owns_and_the_earlier_one_learns_it() {
    let cluster = Cluster::start();
    let (settings, dirs) = (settings(&cluster), [folder(), folder(), folder()]);
    let (mut first, mut chain) = (opened(&settings, dirs[0].path(), CREATE), Chain::start());
    first.append(&records(&mut chain, 2, 100)).unwrap();
    let mut second = opened(&settings, dirs[1].path(), TAKE_OVER);
    assert_eq!(end_of(&second), chain.tail(), "it has all that was acked");
    assert!(second.epoch().unwrap() > first.epoch().unwrap());
    let mut lost = Chain::after(chain.tail(), chain.at());
    let why = refused(&mut first, &mut lost);
    assert!(why.contains("another engine has claimed it"), "{why}");
    assert!(refused(&mut first, &mut lost).contains("another engine"), "for ever");
    second.append(&records(&mut chain, 3, 100)).unwrap();
    // Claimed and never opened: who claimed has died.
    let third = opened(&settings, dirs[2].path(), TAKE_OVER);
    assert_eq!(end_of(&third), chain.tail());
    assert_eq!(
        (third.vitals().unwrap().void(), second.vitals().unwrap().void()),
        (0, 0),
        "nothing was stored late"
    );
    assert_eq!(groups(&settings), 2);
}

/// What a stream of claims does to a writer: each owner writes until it learns that it is none.
#[test]
fn twelve_owners_follow_each_other_and_nothing_that_was_acked_is_lost() {
    let cluster = Cluster::start();
    let (settings, mut dirs) = (settings(&cluster), vec![folder()]);
    let mut owner = opened(&settings, dirs[0].path(), CREATE);
    let mut acked = Chain::start();
    for n in 0..12 {
        owner.append(&records(&mut acked, 1 + n % 3, 50)).unwrap();
        dirs.push(folder());
        let next = opened(&settings, dirs.last().unwrap().path(), TAKE_OVER);
        let mut late = Chain::after(acked.tail(), acked.at());
        assert!(refused(&mut owner, &mut late).contains("another engine"));
        assert_eq!(end_of(&next), acked.tail());
        owner = next;
    }
}

#[test]
fn a_claim_in_the_middle_ends_the_owner_at_once() {
    let cluster = Cluster::start();
    let (settings, dirs) = (settings(&cluster), [folder(), folder()]);
    let (mut owner, mut chain) = (opened(&settings, dirs[0].path(), CREATE), Chain::start());
    owner.append(&records(&mut chain, 2, 100)).unwrap();
    // Somebody claims, and dies before it has opened.
    let epoch = u64::from(owner.epoch().unwrap()) + 1;
    publish(&settings, claim(epoch));
    let mut late = Chain::after(chain.tail(), chain.at());
    let why = refused(&mut owner, &mut late);
    assert!(why.contains(&format!("epoch {epoch} by somebody")), "{why}");
    drop(owner);
    // The epoch in the bucket has not seen that claim, and is raised above it.
    let mut next = opened(&settings, dirs[1].path(), TAKE_OVER);
    assert!(u64::from(next.epoch().unwrap()) > epoch);
    next.append(&records(&mut chain, 1, 100)).unwrap();
    assert_eq!(end_of(&next), chain.tail());
}

fn claim(epoch: u64) -> Vec<u8> {
    sealed(Kind::Claim, epoch, None, &[b"somebody"])
}

/// As where the bucket of the epoch was lost, and is made anew while two claim.
#[test]
fn an_epoch_that_another_one_claimed_with_is_raised_again() {
    let cluster = Cluster::start();
    let (settings, dir) = (settings(&cluster), folder());
    let (mut owner, mut chain) = (opened(&settings, dir.path(), CREATE), Chain::start());
    owner.append(&records(&mut chain, 2, 100)).unwrap();
    let epoch = u64::from(owner.epoch().unwrap());
    drop(owner);
    let followed = follow(&settings, rocks::open(dir.path()).unwrap(), CREATE).unwrap();
    publish(&settings, claim(epoch + 1));
    let mut owner = followed.claim().unwrap().log;
    assert_eq!(u64::from(owner.epoch().unwrap()), epoch + 2);
    owner.append(&records(&mut chain, 1, 100)).unwrap();
    assert_eq!(end_of(&owner), chain.tail());
}

#[test]
fn what_comes_late_is_void_for_every_reader_and_stops_nobody() {
    let cluster = Cluster::start();
    let (settings, dirs) = (settings(&cluster), [folder(), folder(), folder()]);
    let (mut first, mut chain) = (opened(&settings, dirs[0].path(), CREATE), Chain::start());
    first.append(&records(&mut chain, 2, 100)).unwrap();
    let old = messages(&settings).pop().unwrap();
    let mut second = opened(&settings, dirs[1].path(), TAKE_OVER);
    // Of the epoch before: again, and once more, as no fence could stop it.
    publish(&settings, old.clone());
    second.append(&records(&mut chain, 1, 100)).unwrap();
    assert_eq!(second.vitals().unwrap().void(), 1);
    publish(&settings, old);
    // A claim that comes late is no stranger's doing, and is not counted.
    publish(&settings, claim(1));
    second.append(&records(&mut chain, 4, 100)).unwrap();
    assert_eq!((second.vitals().unwrap().void(), end_of(&second)), (2, chain.tail()));
    drop(second);
    let third = opened(&settings, dirs[2].path(), TAKE_OVER);
    assert_eq!((third.vitals().unwrap().void(), end_of(&third)), (2, chain.tail()));
}

#[test]
fn bytes_that_are_no_message_stop_every_reader() {
    let cluster = Cluster::start();
    let (settings, dirs) = (settings(&cluster), [folder(), folder()]);
    let (mut owner, mut chain) = (opened(&settings, dirs[0].path(), CREATE), Chain::start());
    owner.append(&records(&mut chain, 2, 100)).unwrap();
    publish(&settings, b"not ours".to_vec());
    let why = refused(&mut owner, &mut chain);
    assert!(why.contains("message 4 (behind record 2) cannot be used"), "{why}");
    let why = place::try_open(&settings, dirs[1].path(), TAKE_OVER).map(drop).unwrap_err();
    assert!(why.to_string().contains("message 4 (behind record 2)"), "{why}");
}

/// The link behind the stream's last message.
fn behind_all(settings: &Settings) -> Digest {
    Message::read(messages(settings).last().unwrap()).unwrap().digest
}

/// Somebody sends the owner's very bytes, behind something that takes their place in the chain.
#[test]
fn a_group_that_lies_there_and_is_void_is_not_acked_but_appended_again() {
    let cluster = Cluster::start();
    let (settings, dir) = (settings(&cluster), folder());
    let (mut owner, mut chain) = (opened(&settings, dir.path(), CREATE), Chain::start());
    owner.append(&records(&mut chain, 2, 100)).unwrap();
    let (epoch, link) = (u64::from(owner.epoch().unwrap()), Some(behind_all(&settings)));
    let group = records(&mut chain, 1, 100);
    publish(&settings, sealed(Kind::Nothing, epoch, link, &[]));
    publish(&settings, sealed(Kind::Group, epoch, link, &[&group[0].bytes]));
    owner.append(&group).unwrap();
    assert_eq!((end_of(&owner), owner.vitals().unwrap().void()), (chain.tail(), 1));
    assert_eq!(groups(&settings), 3, "once void, once not");
}

/// A message of the owner's epoch that does not follow what it wrote.
fn unlinked(owner: &StreamLog) -> Vec<u8> {
    let epoch = u64::from(owner.epoch().unwrap());
    sealed(Kind::Nothing, epoch, Some(Digest([7; 32])), &[])
}

#[test]
fn what_does_not_follow_refuses_a_start_at_the_streams_end_alone() {
    let cluster = Cluster::start();
    let (settings, dir) = (settings(&cluster), folder());
    let (mut owner, mut chain) = (opened(&settings, dir.path(), CREATE), Chain::start());
    publish(&settings, unlinked(&owner));
    owner.append(&records(&mut chain, 2, 100)).unwrap();
    drop(owner);
    let owner = opened(&settings, dir.path(), CREATE);
    assert_eq!(end_of(&owner), chain.tail());
    publish(&settings, unlinked(&owner));
    drop(owner);
    let why = place::try_open(&settings, dir.path(), CREATE).map(drop).unwrap_err().to_string();
    assert!(why.contains("1 messages of the last owner"), "{why}");
}

#[test]
fn records_of_its_own_epoch_that_it_did_not_write_stop_the_owner() {
    let cluster = Cluster::start();
    let (settings, dir) = (settings(&cluster), folder());
    let (mut owner, mut chain) = (opened(&settings, dir.path(), CREATE), Chain::start());
    owner.append(&records(&mut chain, 2, 100)).unwrap();
    let (epoch, link) = (u64::from(owner.epoch().unwrap()), Some(behind_all(&settings)));
    let mut other = Chain::after(chain.tail(), chain.at());
    let foreign = records(&mut other, 1, 99);
    publish(&settings, sealed(Kind::Group, epoch, link, &[&foreign[0].bytes]));
    let why = refused(&mut owner, &mut chain);
    assert!(why.contains("record 3 of epoch") && why.contains("did not write it"), "{why}");
}

#[test]
fn records_that_do_not_follow_are_not_appended() {
    let cluster = Cluster::start();
    let (settings, dir) = (settings(&cluster), folder());
    let (mut owner, mut chain) = (opened(&settings, dir.path(), CREATE), Chain::start());
    owner.append(&records(&mut chain, 2, 100)).unwrap();
    let mut again = Chain::start();
    records(&mut chain, 1, 100);
    for why in [refused(&mut owner, &mut chain), refused(&mut owner, &mut again)] {
        assert!(why.contains("does not follow record 2"), "{why}");
    }
    assert_eq!(groups(&settings), 1);
}

/// Appends while `disturb` does something to the servers; all that was acked is there, once.
fn appends_through(disturb: impl FnOnce(&mut Cluster, &str)) -> (u64, usize) {
    let mut cluster = Cluster::start();
    let (settings, dir) = (settings(&cluster), folder());
    let (mut log, mut chain) = (opened(&settings, dir.path(), CREATE), Chain::start());
    let (vitals, done) = (log.vitals().unwrap(), std::sync::atomic::AtomicBool::new(false));
    let (appended, mut log, end) = std::thread::scope(|scope| {
        let done = &done;
        let writer = scope.spawn(move || {
            let mut appended = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let reached = log.append(&records(&mut chain, 3, 700)).unwrap();
                assert_eq!(reached, chain.tail().lsn);
                appended += 1;
            }
            (appended, log, chain.tail())
        });
        disturb(&mut cluster, &settings.stream);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert_eq!((end_of(&log), log.resync().unwrap()), (end, end));
    drop(log);
    (0..SERVERS).for_each(|n| cluster.until_healthy(n));
    let fresh = folder();
    let again: StreamLog = opened(&settings, fresh.path(), TAKE_OVER);
    assert_eq!(end_of(&again), end, "a fresh reader finds all of it");
    assert_eq!((vitals.void(), groups(&settings)), (0, appended), "each once");
    (vitals.unsettled(), appended)
}

/// Waits until the stream has grown by some messages.
fn until_grown(cluster: &Cluster, stream: &str, by: u64) {
    let last = || {
        let said = (0..SERVERS).filter_map(|n| cluster.stream(n, stream));
        said.filter_map(|of| of["state"]["last_seq"].as_u64()).max()
    };
    let from = until("somebody says how long the stream is", last);
    until("the stream grows", || last().filter(|last| *last >= from + by));
}

#[test]
fn an_append_whose_fate_is_unknown_is_found_out_when_its_leader_stands_still() {
    let (unsettled, _) = appends_through(|cluster, stream| {
        for _ in 0..2 {
            until_grown(cluster, stream, 20);
            let leader = cluster.leader(stream);
            cluster.signal(leader, Signal::STOP);
            until_grown_elsewhere(cluster, stream, leader);
            cluster.signal(leader, Signal::CONT);
            cluster.until_healthy(leader);
        }
        until_grown(cluster, stream, 20);
    });
    assert!(unsettled >= 1, "it never was unknown");
}

fn until_grown_elsewhere(cluster: &Cluster, stream: &str, than: usize) {
    let last = || {
        let said = (0..SERVERS).filter(|n| *n != than).filter_map(|n| cluster.stream(n, stream));
        said.filter_map(|of| of["state"]["last_seq"].as_u64()).max()
    };
    let from = until("somebody says how long the stream is", last);
    until("the stream grows without it", || last().filter(|last| *last >= from + 20));
}

#[test]
fn appends_go_on_when_the_leader_is_killed_and_its_disk_wiped() {
    appends_through(|cluster, stream| {
        for wipe in [false, true] {
            until_grown(cluster, stream, 20);
            let leader = cluster.leader(stream);
            cluster.kill9(leader);
            until_grown_elsewhere(cluster, stream, leader);
            if wipe {
                cluster.wipe(leader);
            }
            cluster.run(leader);
            cluster.until_healthy(leader);
        }
        until_grown(cluster, stream, 20);
    });
}

/// Also: two of three, while the leader stays (nats-server #8519).
#[test]
fn appends_wait_for_a_quorum_and_go_on() {
    appends_through(|cluster, stream| {
        until_grown(cluster, stream, 20);
        let leader = cluster.leader(stream);
        let others: Vec<usize> = (0..SERVERS).filter(|n| *n != leader).collect();
        others.iter().for_each(|n| cluster.kill9(*n));
        others.iter().for_each(|n| cluster.run(*n));
        others.iter().for_each(|n| cluster.until_healthy(*n));
        until_grown(cluster, stream, 20);
        (0..SERVERS).for_each(|n| cluster.kill9(n));
        (0..SERVERS).for_each(|n| cluster.run(n));
        (0..SERVERS).for_each(|n| cluster.until_healthy(n));
        until_grown(cluster, stream, 20);
    });
}

/// The leader lives, and refuses by what it has proposed and nobody has: that is no hole.
#[test]
fn an_append_outwaits_the_loss_of_two_servers() {
    let mut cluster = Cluster::start();
    let (settings, dir) = (settings(&cluster), folder());
    let (mut log, mut chain) = (opened(&settings, dir.path(), CREATE), Chain::start());
    log.append(&records(&mut chain, 3, 100)).unwrap();
    let (vitals, leader) = (log.vitals().unwrap(), cluster.leader(&settings.stream));
    let others: Vec<usize> = (0..SERVERS).filter(|n| *n != leader).collect();
    others.iter().for_each(|n| cluster.kill9(*n));
    let group = records(&mut chain, 1, 100);
    std::thread::scope(|scope| {
        let log = &mut log;
        let writer = scope.spawn(move || log.append(&group).unwrap());
        // Longer than a message that is missing is looked for.
        until("it has waited", || {
            assert!(!writer.is_finished(), "it has not waited for a quorum");
            (vitals.waiting_seconds() > 30).then_some(())
        });
        others.iter().for_each(|n| cluster.run(*n));
        assert_eq!(writer.join().unwrap(), chain.tail().lsn);
    });
    log.append(&records(&mut chain, 1, 100)).unwrap();
    assert_eq!((end_of(&log), vitals.void()), (chain.tail(), 0));
}

/// Bit rot that a server drops without a word (nats-server #7549): the others have it.
#[test]
fn a_hole_in_one_replica_is_filled_from_the_others_and_named() {
    let mut cluster = Cluster::start();
    let (mut settings, dirs) = (settings(&cluster), [folder(), folder()]);
    let (mut log, mut chain) = (opened(&settings, dirs[0].path(), CREATE), Chain::start());
    for _ in 0..300 {
        log.append(&records(&mut chain, 2, 900)).unwrap();
    }
    drop(log);
    let victim = (cluster.leader(&settings.stream) + 1) % SERVERS;
    until("it has everything", || {
        let of = cluster.stream(victim, &settings.stream)?;
        (of["state"]["messages"].as_u64()? >= 302).then_some(())
    });
    cluster.kill9(victim);
    let of = cluster.store(victim).join("jetstream/$G/streams").join(&settings.stream).join("msgs");
    let block = tallystick_tests::files(&of, |name| name == "1.blk").pop().expect("a block");
    let bytes = usize::try_from(std::fs::metadata(&block).unwrap().len()).unwrap();
    tallystick_tests::flip_bit(&block, bytes / 2, 3);
    cluster.run(victim);
    cluster.until_healthy(victim);
    let log = opened(&settings, dirs[1].path(), TAKE_OVER);
    assert_eq!(end_of(&log), chain.tail());
    drop(log);
    settings.monitors = cluster.monitors();
    let seen = tallystick_jetstream::examine(&settings);
    let held = cluster.stream(victim, &settings.stream).unwrap();
    let named = format!("{seen:?}").contains("are missing: while both");
    // A short stream is often mended from the servers' own log: then there is none to be named.
    let holes = held["state"]["num_deleted"].as_u64().unwrap_or(0) > 0;
    assert_eq!(named, holes, "{seen:?}\n{held}");
}
