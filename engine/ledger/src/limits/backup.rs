//! Limits of backups: what they may take from an engine that goes on meanwhile; and of what
//! `doctor` finds well.

use std::time::Duration;

/// Bytes of a backup that are read and written a second: a third of what a common disk writes, so
/// that the journal's own writes find room between them.
pub const BACKUP_BYTES_A_SECOND: u64 = 64 << 20;
/// Bytes of a backup that are written before the disk is waited for: what piles up unwritten holds
/// up everybody who waits for the disk.
pub const BACKUP_SYNC_BYTES: usize = 4 << 20;
/// Bytes that are read and written at once.
pub const BACKUP_PIECE_BYTES: usize = 1 << 20;
/// Bytes of a manifest: 200 for each file, of which a ledger of a terabyte has some 100,000.
pub const BACKUP_MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// Bytes that stay free on the disk of the backups: what fills a disk to its end may be the
/// ledger's own.
pub const BACKUP_FREE_BYTES_MIN: u64 = 64 << 20;

/// A durable write that takes longer is worth a warning: an ack waits for one or two.
pub const FSYNC_WARN: Duration = Duration::from_millis(20);
/// A durable write that takes longer makes a client's call time out when a few stand in line.
pub const FSYNC_CRITICAL: Duration = Duration::from_millis(200);
/// Days before the end of a certificate in which somebody should renew it.
pub const CERTIFICATE_DAYS_WARN: i64 = 30;
/// Days before the end of a certificate in which somebody must.
pub const CERTIFICATE_DAYS_LEAST: i64 = 3;
/// What wall clock and monotonic clock may differ by while a disk is measured, a second or so: NTP
/// turns a clock by half a millisecond a second.
pub const CLOCKS_DIFFER: Duration = Duration::from_millis(50);
/// How long a status or a page of metrics waits to see whether the newest backup is still there: a
/// disk answers at once, and one that hangs says nothing however long one waits.
pub const BACKUP_LOOK_WAIT: Duration = Duration::from_secs(1);
