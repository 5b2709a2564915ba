//! The disk of the ledger, and the clock.

use super::Finding;
use crate::limits::{CLOCKS_DIFFER, FSYNC_CRITICAL, FSYNC_WARN};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Writes that are measured, each of the size of a small group of records.
const WRITES: usize = 100;
const WRITE_BYTES: usize = 4 << 10;
/// Where programs that set the clock say so.
const SYNCHRONIZED: [&str; 5] = [
    "/run/systemd/timesync/synchronized",
    "/run/chrony/chronyd.pid",
    "/run/chronyd.pid",
    "/run/ntpd.pid",
    "/run/openntpd.pid",
];

/// Looks at the disk, and at the clocks while it writes.
pub(super) fn examine(data_dir: &Path, reserve: u64) -> Vec<Finding> {
    if !data_dir.is_dir() {
        let dir = data_dir.display();
        let text = format!("there is no folder {dir}: is it the right one, and is it mounted?");
        return vec![Finding::critical("disk", text), clock(None, data_dir)];
    }
    let (wall, steady) = (SystemTime::now(), Instant::now());
    let measured = measure(data_dir);
    let (wall, steady) = (wall.elapsed(), steady.elapsed());
    let apart = wall.map_or(Duration::MAX, |wall| wall.abs_diff(steady));
    let mut found = vec![room(data_dir, reserve)];
    found.push(match measured {
        Ok(took) => fsync(took),
        Err(error) => Finding::critical(
            "fsync",
            format!("nothing can be written into {}: {error}", data_dir.display()),
        ),
    });
    found.push(clock(Some(apart), data_dir));
    found
}

fn room(data_dir: &Path, reserve: u64) -> Finding {
    let what = "disk";
    let Ok(disk) = rustix::fs::statvfs(data_dir) else {
        return Finding::warning(what, "the system does not say how much is free");
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let text = format!("{} MiB are free", free >> 20);
    if free < reserve {
        let least = reserve >> 20;
        return Finding::critical(
            what,
            format!("{text}, and below {least} MiB no vouchers are taken: make room"),
        );
    }
    if free < reserve.saturating_mul(4) {
        return Finding::warning(what, format!("{text}: make room, before no vouchers are taken"));
    }
    Finding::ok(what, text)
}

/// How long each of some small durable writes took, the shortest first.
fn measure(data_dir: &Path) -> io::Result<Vec<Duration>> {
    let path = data_dir.join(format!(".doctor-{}", std::process::id()));
    let write = || {
        let mut options = OpenOptions::new();
        let mut file: File = options.write(true).create_new(true).mode(0o600).open(&path)?;
        let mut took = Vec::new();
        for _ in 0..WRITES {
            let begun = Instant::now();
            file.write_all(&[0; WRITE_BYTES])?;
            file.sync_data()?;
            took.push(begun.elapsed());
        }
        took.sort_unstable();
        Ok(took)
    };
    let took = write();
    // It may not even be there.
    let _ = fs::remove_file(&path);
    took
}

fn fsync(took: Vec<Duration>) -> Finding {
    let what = "fsync";
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    let (half, most) = (at(50), at(99));
    let text = format!("a small durable write takes {half:.1?} (99 of 100 at most {most:.1?})");
    if half > FSYNC_CRITICAL {
        let text = format!("{text}: every ack waits for one; use another disk");
        return Finding::critical(what, text);
    }
    if half > FSYNC_WARN || most > FSYNC_CRITICAL {
        return Finding::warning(what, format!("{text}: every ack waits for one"));
    }
    Finding::ok(what, text)
}

fn clock(apart: Option<Duration>, data_dir: &Path) -> Finding {
    let what = "clock";
    // The mark is written with each group of records.
    let last = fs::metadata(data_dir.join("tallystick.mark")).and_then(|of| of.modified());
    let ahead = last.ok().and_then(|last| last.duration_since(SystemTime::now()).ok());
    if let Some(ahead) = ahead.filter(|ahead| *ahead > Duration::from_secs(1)) {
        let text = format!("it was set back: the ledger was written {ahead:.0?} from now");
        return Finding::critical(what, text);
    }
    if apart.is_some_and(|apart| apart > CLOCKS_DIFFER) {
        return Finding::warning(
            what,
            "it jumps: while it was measured it did not go as time does",
        );
    }
    if SYNCHRONIZED.iter().any(|path| Path::new(path).exists()) {
        return Finding::ok(what, "it is kept by NTP");
    }
    Finding::warning(
        what,
        "nothing says that NTP keeps it: run chrony or systemd-timesyncd, since vouchers expire by the clock",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    #[test]
    fn a_slow_disk_is_said_to_be_one() {
        let of = |millis: u64, most: u64| {
            let mut took = vec![Duration::from_millis(millis); 99];
            took.push(Duration::from_millis(most));
            took.push(Duration::from_millis(most));
            fsync(took).health
        };
        assert_eq!(of(1, 5), Health::Ok);
        assert_eq!(of(30, 40), Health::Warning);
        assert_eq!(of(1, 900), Health::Warning);
        assert_eq!(of(300, 900), Health::Critical);
    }

    #[test]
    fn a_disk_is_measured_and_nothing_is_left_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let found = examine(dir.path(), 0);
        assert!(found.iter().all(|one| one.what == "clock" || one.health != Health::Critical));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let full = examine(dir.path(), u64::MAX);
        assert_eq!((full[0].what, full[0].health), ("disk", Health::Critical));
        let none = examine(&dir.path().join("none"), 0);
        assert!(none[0].text.contains("is it mounted"), "{none:?}");
    }
}
