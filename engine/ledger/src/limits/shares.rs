//! Limits of what one client may take from the others: shares, what certainly changes nothing, the
//! disk.

use super::{FRAME_VOUCHERS_MAX, INFLIGHT_FRAMES_MAX, INFLIGHT_VOUCHERS_MAX, SHARDS_MAX};
use std::time::Duration;

/// Vouchers that one source (a connection) may have under way: an eighth of all, and sixteen full
/// frames: far more than the cores need to be kept busy by one client alone. It gets less while
/// many want some: never more than half of what is free.
pub const SOURCE_VOUCHERS_MAX: usize = INFLIGHT_VOUCHERS_MAX / 8;
/// Frames that one source may have under way, in the same proportion.
pub const SOURCE_FRAMES_MAX: usize = INFLIGHT_FRAMES_MAX / 8;
const _: () = assert!(SOURCE_VOUCHERS_MAX >= 2 * STREAM_VOUCHERS_MAX);

/// Vouchers of one source that are checked in its turn before the next source has its own: one
/// batch of a verify worker.
pub const TURN_VOUCHERS: i64 = 256;
/// As how many vouchers a chunk or a frame counts at least, in its source's turn, in
/// `DECIDING_VOUCHERS_MAX` and where a source is judged: what a frame costs beside its signatures.
pub const CHUNK_COST_MIN: u16 = 8;

/// Vouchers that are checked and not answered yet (with the journal, or a shard): so much is in one
/// line behind which everybody waits, so it is no more than keeps a disk busy that needs 20 ms a
/// write, at a million vouchers a second and more. Verify workers rest beyond it.
pub const DECIDING_VOUCHERS_MAX: usize = 1 << 16;
const _: () = assert!(DECIDING_VOUCHERS_MAX >= 4 * FRAME_VOUCHERS_MAX);

/// Sources waiting for room that are looked at when some is given back, in turn: bounds what one
/// answer costs, however many wait.
pub const WAITING_SOURCES_LOOK: usize = 16;

/// Vouchers after which a source is judged by how many of its vouchers changed nothing (stale, or
/// refused for whatever reason); the last twice as many count. One full frame.
pub const JUDGED_VOUCHERS: u32 = 4_096;
const _: () = assert!(JUDGED_VOUCHERS as usize <= FRAME_VOUCHERS_MAX);
/// Of so many vouchers of late at least that many must have been credited, or the source is
/// doubted: only one worker at a time checks its large frames, and beside others only one chunk for
/// every `DOUBTED_EVERY` of theirs.
pub const TRUSTED_VOUCHERS: u32 = 1_024;
/// See `TRUSTED_VOUCHERS`.
pub const DOUBTED_EVERY: u32 = 4;
/// What a source may have under way before anything of it was credited, and while it is slowed: one
/// full frame, which costs the engine some 30 ms at worst until it knows what it has to do with.
pub const NEW_SOURCE_VOUCHERS: usize = FRAME_VOUCHERS_MAX;
/// See `NEW_SOURCE_VOUCHERS`.
pub const NEW_SOURCE_FRAMES: usize = 256;
/// By so much more for each voucher of late that was credited: an honest source has all that one
/// may have after its first full frame.
pub const CREDITED_ROOM: usize = 16;
const _: () =
    assert!(NEW_SOURCE_VOUCHERS + CREDITED_ROOM * JUDGED_VOUCHERS as usize >= SOURCE_VOUCHERS_MAX);

/// All sources most of whose vouchers change nothing get one part in so many of one core's time,
/// together, however many they are: a flood is a constant cost, and who is beside it hardly feels
/// it.
pub const VAIN_PART: u32 = 10;
/// What work counts in that time. A signature: one of a key without a table, beside other load.
pub const VAIN_SIGNATURE: Duration = Duration::from_micros(8);
/// Everything else that a voucher costs: moving its bytes, its channel, its key, its outcome.
pub const VAIN_VOUCHER: Duration = Duration::from_nanos(700);
/// What a frame costs however small: a call's share of reading, wake-ups, an ack.
pub const VAIN_FRAME: Duration = Duration::from_micros(60);

/// Channels whose total is known for certain without asking their shard, so that a voucher sent
/// again costs neither a signature check nor a record: 32 bytes each, 8 MB. One that is not among
/// them costs a record.
pub const KNOWN_TOTALS: usize = 1 << 18;
const _: () = assert!(KNOWN_TOTALS.is_power_of_two() && KNOWN_TOTALS >= SHARDS_MAX as usize);

/// Free bytes on the disk below which no vouchers are taken, unless configured: room for all
/// vouchers under way, for the table file that they become, and for what operators still do.
pub const DISK_RESERVE_BYTES_DEFAULT: u64 = 128 << 20;
/// Vouchers between two looks at the disk: 640 KiB of records.
pub const DISK_LOOK_VOUCHERS: u64 = 4_096;

/// Vouchers that one stream may have under way, or acked and unread: four full frames, which keep
/// every core busy while the next ones arrive. Counted in vouchers because 64 full frames would be
/// half of all that may be under way. The edge counts them, so that what is under way and what is
/// unread have one bound.
pub const STREAM_VOUCHERS_MAX: usize = 1 << 14;
const _: () = assert!(STREAM_VOUCHERS_MAX >= 4 * FRAME_VOUCHERS_MAX);

/// Parties of a shard of which it is looked at once how much they have left of what they may owe,
/// when somebody reads the metrics: a millisecond in which the shard credits nothing. Of more, the
/// next ones the next time.
pub const HEADROOM_PARTIES_MAX: usize = 65_536;
