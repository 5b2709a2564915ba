//! Limits of what one client may take from the others: shares, what certainly changes nothing, the disk.

use super::{FRAME_VOUCHERS_MAX, INFLIGHT_FRAMES_MAX, INFLIGHT_VOUCHERS_MAX, SHARDS_MAX};

/// Vouchers that one source (a connection) may have under way: an eighth of all, and sixteen full
/// frames: far more than the cores need to be kept busy by one client alone. It gets less while many
/// want some: never more than half of what is free.
pub const SOURCE_VOUCHERS_MAX: usize = INFLIGHT_VOUCHERS_MAX / 8;
/// Frames that one source may have under way, in the same proportion.
pub const SOURCE_FRAMES_MAX: usize = INFLIGHT_FRAMES_MAX / 8;
const _: () = assert!(SOURCE_VOUCHERS_MAX >= 2 * STREAM_VOUCHERS_MAX);

/// Vouchers of one source that are checked in its turn before the next source has its own: one batch of
/// a verify worker.
pub const TURN_VOUCHERS: i64 = 256;
/// As how many vouchers a chunk or a frame counts at least, in its source's turn, in `DECIDING_VOUCHERS_MAX`
/// and in `REFUSED_PER_SECOND`: what a frame costs beside its signatures.
pub const CHUNK_COST_MIN: u16 = 8;

/// Vouchers that are checked and not answered yet (with the journal, or a shard): so much is in one line
/// behind which everybody waits, so it is no more than keeps a disk busy that needs 20 ms a write, at a
/// million vouchers a second and more. Verify workers rest beyond it.
pub const DECIDING_VOUCHERS_MAX: usize = 1 << 16;
const _: () = assert!(DECIDING_VOUCHERS_MAX >= 4 * FRAME_VOUCHERS_MAX);

/// Sources waiting for room that are looked at when some is given back, in turn: bounds what one answer
/// costs, however many wait.
pub const WAITING_SOURCES_LOOK: usize = 16;

/// Vouchers after which a source is judged by what share of them was refused; the last twice as many
/// count.
pub const JUDGED_VOUCHERS: u32 = 4_096;
/// Vouchers a second of a source most of whose vouchers are refused, while they are: what a core checks
/// in a tenth of a second at most, and 5 MB a second of journal where they must be recorded.
pub const REFUSED_PER_SECOND: u32 = 1 << 15;

/// Channels whose total is known for certain without asking their shard, so that a voucher sent again
/// costs neither a signature check nor a record: 32 bytes each, 8 MB. One that is not among them costs a
/// record.
pub const KNOWN_TOTALS: usize = 1 << 18;
const _: () = assert!(KNOWN_TOTALS.is_power_of_two() && KNOWN_TOTALS >= SHARDS_MAX as usize);

/// Free bytes on the disk below which no vouchers are taken, unless configured: room for all vouchers
/// under way, for the table file that they become, and for what operators still do.
pub const DISK_RESERVE_BYTES_DEFAULT: u64 = 128 << 20;
/// Vouchers between two looks at the disk: 640 KiB of records.
pub const DISK_LOOK_VOUCHERS: u64 = 4_096;

/// Vouchers that one stream may have under way, or acked and unread: four full frames, which keep every core
/// busy while the next ones arrive. Counted in vouchers because 64 full frames would be half of all that
/// may be under way.
pub const STREAM_VOUCHERS_MAX: usize = 1 << 14;
const _: () = assert!(STREAM_VOUCHERS_MAX >= 4 * FRAME_VOUCHERS_MAX);
