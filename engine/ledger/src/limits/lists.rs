//! Limits of what people look for: lists by the page, and searches that go on where they stopped.

use super::MESSAGE_BYTES_MAX;
use std::time::Duration;

/// Entries of one page of parties, signers, batches or windows, at most and if nothing else is
/// asked for: some 100 KB, which a screen or a program takes in at once.
pub const PAGE_MAX: usize = 500;
/// Entries that one call looks through for those that are asked for: a few milliseconds of opening
/// names, and less than a millisecond while nothing else is decided.
pub const LOOK_MAX: usize = 2_000;
const _: () = assert!(PAGE_MAX <= LOOK_MAX);
/// Names that are asked for at once, to be shown beside ids: a page with two parties a row.
pub const NAMES_MAX: usize = 2 * PAGE_MAX;
const _: () = assert!(NAMES_MAX * 40 <= MESSAGE_BYTES_MAX);
/// Ids that are named when the digits given stand for several: as many as a person compares.
pub const CANDIDATES_MAX: usize = 10;
/// Batches of which one call of a search looks at the heads.
pub const FIND_BATCHES: usize = 1_000;
/// Legs after which one call of a search looks at no further batch: what is loaded for one batch
/// is looked through whole, and a small batch costs little.
pub const FIND_LEGS: usize = 100_000;
/// Parties of which one call searches legs: more have the name that was meant too rarely.
pub const FIND_PARTIES: usize = 64;
/// Legs whose references are read at once from where they are kept.
pub const FIND_FACTS: usize = 1 << 16;
/// The same at first: a page of them, where most fit. Then four times as many each time.
pub const FIND_FACTS_FIRST: usize = 1 << 6;
/// Signers that one call asks the headroom of: a question to a shard holds it up for some
/// microseconds then, as one of a frame's vouchers does.
pub const HEADROOM_SIGNERS_MAX: usize = 256;
/// Questions for headroom at once of the desk, and as many of all others, half of them for one:
/// strangers may ask, and each question goes through the queue of the sequencer, which has room for
/// others meanwhile.
pub const HEADROOMS_MAX: usize = 8;
/// Windows that one call of a statement loads: some days of hourly ones.
pub const STATEMENT_WINDOWS: usize = 100;
/// Rows of the windows that it loads after which one call of a statement loads no further window:
/// some 100 ms of comparing them with their root.
pub const STATEMENT_ROWS: usize = 200_000;
/// Batches of which it is remembered how many parties owed something in them: 64 KB.
pub const PARTIES_KNOWN: usize = 1_024;
/// Parties of a shard of which it is looked at once how far they owe: some 100 us in which the
/// shard credits nothing.
pub const EXPOSURES_LOOK: usize = 8_192;
/// Parties that are sorted by how near their limit they are: 8 MB, and more than anybody looks
/// through. There may be more: those are farther from it.
pub const EXPOSURES_SORTED: usize = 100_000;
/// How long that order is kept: whoever turns pages sees each party once, and however many look,
/// the shards are asked once in that time.
pub const EXPOSURES_KEPT: Duration = Duration::from_secs(10);
