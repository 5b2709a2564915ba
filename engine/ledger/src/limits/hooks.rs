//! What parties are told over HTTP: how many endpoints there may be, and what one of them may take.

use super::SEAL_BYTES;
use std::time::Duration;

/// Endpoints of one party: a test and a live one, for a few programs. Each is told everything.
pub const ENDPOINTS_OF_PARTY_MAX: usize = 8;
/// Endpoints of all parties: a kilobyte each in memory, and a request each when a window closes.
pub const ENDPOINTS_MAX: usize = 1 << 14;

/// Letters of an endpoint's address: more than any that people or programs make.
pub const HOOK_URL_BYTES_MAX: usize = 1_024;
/// The same once it is sealed.
pub const HOOK_URL_SEALED_MAX: usize = HOOK_URL_BYTES_MAX + SEAL_BYTES;
/// Bytes of an endpoint's secret: as the specification of Standard Webhooks has it.
pub const HOOK_SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The same once it is sealed.
pub const HOOK_SECRET_SEALED_MAX: usize = 64 + SEAL_BYTES;
/// How long what is sent is signed with the secret before, too, unless that is to count no more at
/// once: a day, so that a receiver can be changed in office hours.
pub const HOOK_FORMER_SECONDS: i64 = 86_400;

/// Requests to endpoints that are under way at once: each is a thread that mostly waits.
pub const HOOKS_AT_ONCE: usize = 32;
/// Of these, to the endpoints of one party: who lets all of its endpoints hang holds a sixteenth.
pub const HOOKS_OF_PARTY_AT_ONCE: usize = 2;
const _: () = assert!(HOOKS_OF_PARTY_AT_ONCE * 16 <= HOOKS_AT_ONCE);
/// How long one request may take, from looking the name up to the head of the answer: what the
/// specification recommends is 15 to 30 s.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(20);
/// Of that, how long it may take to look the name up and to connect.
pub const HOOK_CONNECT: Duration = Duration::from_secs(5);

/// Events that are read at once to find what is to be told: a few milliseconds.
pub const HOOK_PAGE_EVENTS: usize = 1_024;
/// What waits in memory for one endpoint; the rest stays in the journal.
pub const HOOK_WAITING_MAX: usize = 8;
/// Endpoints for which something waits in memory at once: with at most 8 messages of some 2 KB each
/// that is 8 MB.
pub const HOOK_READY_MAX: usize = 512;
/// After so many records in which there was nothing for an endpoint its position is written all the
/// same: a start reads no more than that again.
pub const HOOK_REMEMBER_EVERY: u64 = 10_000;
/// How soon positions are durable while deliveries go on, which endpoints there are is looked at
/// again, and what could not be read is read again: a tenth of a thousandth of a disk's time.
pub const HOOK_KEEP_EVERY: Duration = Duration::from_secs(1);
/// How long changes are gathered before they are looked at: so a burst of a thousand events is read
/// at once.
pub const HOOK_GATHER: Duration = Duration::from_millis(50);
/// How long an endpoint rests when what comes next for it cannot be read (a window's archive is not
/// where it should be): nobody else's waits for it.
pub const HOOK_UNREAD_MICROS: i64 = 30_000_000;

/// When a delivery that failed is tried again: as the specification of Standard Webhooks
/// recommends, over three days. When all of them failed, the endpoint is paused.
pub const HOOK_RETRIES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(14 * 3_600),
    Duration::from_secs(20 * 3_600),
    Duration::from_secs(24 * 3_600),
];
/// Retries that settings may name.
pub const HOOK_RETRIES_MAX: usize = 32;
/// The longest that settings may put one off.
pub const HOOK_RETRY_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The longest that an endpoint's own word (`retry-after`) puts a retry off.
pub const HOOK_RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Least time between two tests of one endpoint: a test is a request to a stranger's machine.
pub const HOOK_TEST_EVERY: Duration = Duration::from_secs(5);
/// Letters of why a delivery failed that are kept.
pub const HOOK_REASON_BYTES_MAX: usize = 200;
