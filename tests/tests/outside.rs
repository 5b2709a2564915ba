//! Faults from outside: a disk that fails, that is full, that is read-only; writes that end in the
//! middle. The engine stops at once, says why and what to do, has acked nothing that it then lacks,
//! and serves again when the fault is gone.
//!
//! Faults of system calls come from strace, full disks from a small tmpfs. Where the system allows
//! one or the other to root only, the test says so and goes on; what needs no rights is always
//! tried.

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tallystick_tests::wire::GetChannelRequest;
use tallystick_tests::{
    Client, Engine, Launch, Voucher, World, check_money_sums, files, frame, outcomes, until,
};

/// Frames that a faulty engine may still ack before it must have met its fault.
const FRAMES_MAX: u64 = 2_000;
/// Vouchers of a frame: one for each lane.
const LANES: u64 = 40;

/// On a disk that is smaller than what an engine keeps free for operators.
fn small(data: &Path) -> Launch {
    Launch::new(data).args(&["--disk-reserve-bytes", "1KiB"])
}

/// An engine with one payer, whose channels have all come to the same total.
struct Paid {
    data: PathBuf,
    engine: Engine,
    client: Client,
    world: World,
    acked: u64,
    sent: u64,
}

impl Paid {
    async fn new(launch: &Launch, data: &Path) -> Self {
        let engine = launch.start();
        let mut client = Client::connect(&engine).await;
        let world = World::register(&mut client, 1, 1).await;
        let (data, acked, sent) = (data.to_owned(), 0, 0);
        let mut paid = Self { data, engine, client, world, acked, sent };
        assert!(paid.pay().await, "nothing is wrong yet");
        paid
    }

    fn vouchers(&self, total: u64) -> Vec<Voucher> {
        (0..LANES).map(|lane| self.world.voucher(0, 0, lane, total)).collect()
    }

    /// Raises all channels by one. Whether it was acked.
    async fn pay(&mut self) -> bool {
        self.sent += 1;
        let frame = frame(0, &self.vouchers(self.sent));
        let Ok(ack) = self.client.vouchers.submit(frame).await else { return false };
        assert_eq!(ack.get_ref().credited, u32::try_from(LANES).expect("few"));
        self.acked = self.sent;
        true
    }

    /// Pays until the engine is gone. Gives what it wrote.
    async fn pay_to_the_end(mut self, what: &str) -> (Gone, String) {
        while self.pay().await {
            assert!(self.sent < FRAMES_MAX, "{what}: the engine did not meet its fault");
        }
        let Self { data, engine, client, world, acked, sent } = self;
        drop(client);
        let exit = tokio::task::spawn_blocking(move || engine.ended()).await.expect("no panic");
        assert_eq!(exit.status.code(), Some(1), "{what}: {} {}", exit.status, exit.stderr);
        for words in ["stopping at once", "What was acked is durable", "start the engine"] {
            assert!(exit.stderr.contains(words), "{what}: nothing of {words:?} in {}", exit.stderr);
        }
        (Gone { data, world, acked, sent }, exit.stderr)
    }
}

/// An engine that has stopped, and what is known of it.
struct Gone {
    data: PathBuf,
    world: World,
    acked: u64,
    sent: u64,
}

impl Gone {
    /// Without the fault the engine holds all that was acked, takes the rest, and every sum is
    /// right.
    async fn comes_back(self, what: &str) {
        let engine = small(&self.data).start();
        let mut client = Client::connect(&engine).await;
        for lane in 0..LANES {
            let ask = GetChannelRequest {
                signer: self.world.payers[0].key().0.to_vec().into(),
                payee: self.world.payees[0].0.to_vec().into(),
                asset: World::PAIRS,
                lane,
                expires_at: self.world.expires_at,
            };
            let held = client.vouchers.get_channel(ask).await.expect("the engine answers");
            let held = held.into_inner().cumulative;
            assert!((self.acked..=self.sent).contains(&held), "{what}: {held} of {}", self.acked);
        }
        let total = self.sent + 1;
        let more: Vec<Voucher> =
            (0..LANES).map(|lane| self.world.voucher(0, 0, lane, total)).collect();
        let ack = client.submit(&more).await;
        assert_eq!(
            (ack.credited, outcomes(&ack).len()),
            (u32::try_from(LANES).unwrap(), more.len())
        );
        let window = client.close_window().await.number;
        check_money_sums(&mut client, window, World::PAIRS).await;
        let owed = client.obligations(window, World::PAIRS).await;
        assert_eq!(owed[0].amount, (total * LANES).to_string(), "{what}");
        engine.stop().await;
    }
}

/// strace on a running engine. It lets go when dropped.
struct Strace(Child);

impl Drop for Strace {
    fn drop(&mut self) {
        // It ends with the engine; this is for a test that fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes system calls of a running engine fail. `None`, loudly, where the system does not allow it.
fn inject(engine: &Engine, scratch: &Path, args: &[&str]) -> Option<Strace> {
    let said = scratch.join("strace");
    let stderr = std::fs::File::create(&said).expect("a temporary file");
    let id = engine.id().to_string();
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-p", &id]).args(args).stderr(stderr);
    let child = command.stdin(Stdio::null()).spawn().expect("strace is installed: `make setup`");
    let mut strace = Strace(child);
    let text = || std::fs::read_to_string(&said).unwrap_or_default();
    let attached = until("strace is attached or has ended", || {
        let ended = strace.0.try_wait().expect("the child is ours").is_some();
        (ended || text().contains("attached")).then(|| text().contains("attached"))
    });
    if !attached {
        eprintln!("NOT TESTED: {args:?}: strace may not attach here (run as root): {}", text());
    }
    attached.then_some(strace)
}

#[tokio::test]
async fn a_disk_that_fails_stops_the_engine_and_nothing_acked_is_lost() {
    let log = "newest write-ahead log";
    let mark = "tallystick.mark";
    let cases = [
        ("fdatasync", "EIO", None, "Input/output error", "sound disk"),
        ("write", "EIO", Some(log), "Input/output error", "sound disk"),
        ("write", "ENOSPC", Some(log), "No space left", "Make room"),
        ("write", "EDQUOT", Some(log), "quota exceeded", "Make room"),
        ("write", "EROFS", Some(log), "Read-only file system", "writable"),
        ("pwrite64", "ENOSPC", Some(mark), "No space left", "Make room"),
    ];
    for (call, error, file, says, advises) in cases {
        let what = format!("{call} {error}");
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let paid = Paid::new(&Launch::new(&data), &data).await;
        let path = match file {
            Some(name) if name == log => files(&data, |name| name.ends_with(".log")).pop(),
            Some(name) => Some(data.join(name)),
            None => None,
        };
        let path = path.map(|path| path.to_str().expect("a plain path").to_owned());
        let (trace, inject_what) =
            (format!("trace={call}"), format!("inject={call}:error={error}"));
        let mut args = vec!["-e", &trace, "-e", &inject_what];
        path.iter().for_each(|path| args.extend(["-P", path]));
        let Some(strace) = inject(&paid.engine, dir.path(), &args) else { continue };
        let before = paid.acked;
        let (gone, stderr) = paid.pay_to_the_end(&what).await;
        assert!(stderr.contains(says) && stderr.contains(advises), "{what}: {stderr}");
        assert_eq!(gone.acked, before, "{what}: every write fails, so nothing may be acked");
        drop(strace);
        gone.comes_back(&what).await;
    }
}

/// Every fdatasync of a start fails once: the start is refused, and the next one is as if it had
/// not been.
#[tokio::test]
async fn a_disk_that_fails_during_a_start_refuses_it_and_the_next_start_serves() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let Paid { engine, client, world, acked, sent, .. } =
        Paid::new(&Launch::new(&data), &data).await;
    drop(client);
    engine.kill9();
    let (mut refused, mut gone) = (0, Gone { data: data.clone(), world, acked, sent });
    for number in 1..100 {
        let injected = format!("inject=fdatasync:error=EIO:when={number}");
        let strace = ["strace", "-D", "-f", "-o", "/dev/null", "-e", "trace=fdatasync"];
        let launch = Launch::new(&data).under(&[&strace[..], &["-e", &injected]].concat());
        match launch.try_start() {
            Ok(engine) => {
                engine.kill9();
                break;
            }
            Err(exit) if exit.stderr.contains("strace:") => {
                eprintln!("NOT TESTED: strace may trace nothing here: {}", exit.stderr);
                return;
            }
            Err(exit) => {
                refused += 1;
                assert_eq!(exit.status.code(), Some(1), "fdatasync {number}: {}", exit.stderr);
                assert!(exit.stderr.contains("Input/output error"), "{}", exit.stderr);
                assert!(exit.stderr.contains("What was acked is durable"), "{}", exit.stderr);
            }
        }
        let Gone { data, world, .. } = gone;
        let (acked, sent) = (gone.acked, gone.sent);
        Launch::new(&data).start().kill9();
        gone = Gone { data, world, acked, sent };
    }
    assert!(refused > 2, "a start makes things durable: {refused} failures were noticed");
    gone.comes_back("fdatasync at the start").await;
}

/// A write that ends in the middle, then fails: what a full disk does, without a disk to fill.
#[tokio::test]
async fn a_write_cut_short_stops_the_engine_and_is_cut_off_by_the_next_start() {
    // Otherwise the system would kill the engine before it can say anything.
    let under = ["env", "--ignore-signal=XFSZ"];
    for room in [1, 100, 4_096, 7_000] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let paid = Paid::new(&Launch::new(&data).under(&under), &data).await;
        // Room that was set aside for the log but not written is zero.
        let log = files(&data, |name| name.ends_with(".log")).pop().expect("a log");
        let bytes = std::fs::read(&log).unwrap();
        let written = bytes.iter().rposition(|byte| *byte != 0).expect("records were written") + 1;
        let limit = Some(u64::try_from(written).expect("small") + room);
        let id = Pid::from_raw(i32::try_from(paid.engine.id()).unwrap()).unwrap();
        let limit = Rlimit { current: limit, maximum: limit };
        prlimit(Some(id), Resource::Fsize, limit).expect("the child is ours");
        let what = format!("{room} bytes of room");
        let (gone, stderr) = paid.pay_to_the_end(&what).await;
        assert!(stderr.contains("File too large") && stderr.contains("ulimit -f"), "{stderr}");
        gone.comes_back(&what).await;
    }
}

/// A small file system of our own. Unmounted when dropped.
struct Small(tempfile::TempDir);

impl Small {
    /// `None`, loudly, where mounting is not allowed.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "tallystick-test"]).arg(dir.path());
        let done = mount.output();
        match done {
            Ok(done) if done.status.success() => Some(Self(dir)),
            failed => {
                eprintln!(
                    "NOT TESTED: a full and a read-only file system: mounting one needs root \
                     ({failed:?}). Writes that fail or end early are tested without one"
                );
                None
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn remount(&self, how: &str) {
        let how = format!("remount,{how}");
        let done = Command::new("mount").args(["-o", &how]).arg(self.0.path()).status();
        assert!(done.is_ok_and(|status| status.success()), "a file system of ours is remounted");
    }

    /// Leaves room for so many bytes. Gives the file that takes the rest.
    fn fill(&self, room: usize) -> PathBuf {
        let ballast = self.0.path().join("ballast");
        let mut size = 4 << 20;
        // The largest that fits, less the room.
        while std::fs::write(&ballast, vec![1; size]).is_err() {
            size -= 4_096;
        }
        std::fs::write(&ballast, vec![1; size.saturating_sub(room)]).expect("less fits as well");
        ballast
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("{} could not be unmounted", self.0.path().display());
        }
    }
}

#[tokio::test]
async fn a_full_disk_stops_the_engine_and_with_room_it_comes_back() {
    for room in [0, 4_096, 60_000] {
        let Some(disk) = Small::mount() else { return };
        let paid = Paid::new(&small(&disk.data()), &disk.data()).await;
        let ballast = disk.fill(room);
        let what = format!("a full disk, {room} bytes of room");
        let (gone, stderr) = paid.pay_to_the_end(&what).await;
        assert!(stderr.contains("No space left") && stderr.contains("Make room"), "{stderr}");
        // A start on the full disk is refused with the same words, or serves; it never loses
        // anything.
        let _left = disk.fill(0);
        if let Err(exit) = Launch::new(&gone.data).try_start() {
            assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
            assert!(exit.stderr.contains("Make room"), "{}", exit.stderr);
        }
        std::fs::remove_file(ballast).expect("the ballast is ours");
        gone.comes_back(&what).await;
    }
}

#[tokio::test]
async fn a_read_only_file_system_is_refused_with_words_and_served_once_it_is_writable() {
    let Some(disk) = Small::mount() else { return };
    let Paid { data, engine, client, world, acked, sent } =
        Paid::new(&small(&disk.data()), &disk.data()).await;
    drop(client);
    engine.stop().await;
    disk.remount("ro");
    let text = Launch::new(&data).refusal();
    assert!(text.contains("Read-only file system") && text.contains("writable"), "{text}");
    disk.remount("rw");
    Gone { data, world, acked, sent }.comes_back("a read-only file system").await;
}
