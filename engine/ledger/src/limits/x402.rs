//! What is asked over HTTP by sellers' servers and agents.

use super::{FRAME_VOUCHERS_MAX, NEW_SOURCE_VOUCHERS, RECORD_BYTES_MAX};
use crate::types::VOUCHER_BYTES;
use std::time::Duration;

/// Payments of one moment that become one frame: as many as there may be requests at once, so that
/// none ever waits for a second frame, and a small part of what a new source may have under way.
pub const X402_FRAME_VOUCHERS: usize = 512;
/// Frames that one line has under way at once: one in the journal, and one before it. What comes
/// meanwhile would wait there just as long, and costs less in one frame than in many.
pub const X402_FRAMES_UNDER_WAY: usize = 2;
const _: () = assert!(X402_FRAME_VOUCHERS * 4 <= NEW_SOURCE_VOUCHERS);
const _: () = assert!(X402_FRAME_VOUCHERS <= FRAME_VOUCHERS_MAX);
const _: () = assert!(X402_FRAME_VOUCHERS * (VOUCHER_BYTES + 8) <= RECORD_BYTES_MAX);

/// Channels that one request may ask about: an agent's lanes after a crash, with 64 digits each
/// well below what a body may hold.
pub const X402_CHANNELS_MAX: usize = 256;

/// Vouchers that were asked about and whose signatures need not be checked again when they come to
/// be credited: more than a second of as many as two cores take. Five megabytes.
pub const SEEN_VOUCHERS: usize = 1 << 15;

/// What is known of a payment identifier is kept for one to two of these: a day at least, so that
/// whoever lost an answer over night still finds it. A row has 225 bytes; how many there may be is
/// bounded by the reserve of the disk, below which no payment is taken.
pub const CLAIM_PERIOD_SECONDS: i64 = 86_400;
/// Claims that wait for the thread that writes them: one for every request, and what came of it.
pub const CLAIMS_AT_ONCE: usize = 2 * super::HTTP_CONNECTIONS_MAX;
/// How soon what came of a claim is durable where no other claim comes.
pub const CLAIMS_SYNC_EVERY: Duration = Duration::from_secs(1);
/// Letters of a payment identifier, as the extension has it.
pub const PAYMENT_ID_LETTERS: std::ops::RangeInclusive<usize> = 16..=128;
