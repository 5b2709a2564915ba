//! Limits of what one identity may have, by however many connections it comes.

use super::WIDE;
use std::time::Duration;

/// How often something may be done: `count` times in every `per`. After a pause `burst` times at
/// once, and once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// So often
    pub count: u32,
    /// in so long.
    pub per: Duration,
    /// Ahead of that.
    pub burst: u32,
}

/// Streams of vouchers that an identity may have open at once: all that two wide connections carry.
/// One stream keeps the engine busy; each costs some 100 KiB, and 16,384 acks that nobody reads.
pub const IDENTITY_STREAMS_MAX: usize = 256;
const _: () = assert!(IDENTITY_STREAMS_MAX >= 2 * WIDE.streams as usize);

/// How long a stream's frame is held because its identity has brought more vouchers than its rate
/// allows: as long as an answer may lie unread. What would have to wait longer is refused.
pub const RATE_HELD_MAX: Duration = Duration::from_secs(30);

/// Calls that an identity may make that is no operator, but for those that bring vouchers or ask
/// for headroom: pages of lists come one after the other, and a program that looks after agents
/// makes some a second. Each is a line of the audit log, or a question to the one thread that
/// decides. A frame without vouchers counts, too, where its identity has no rate.
pub const IDENTITY_CALLS: Pace = Pace { count: 100, per: Duration::from_secs(1), burst: 500 };
/// How long a question about one channel is held at most because its identity asks more often:
/// whoever comes back with thousands of channels asks for one after the other, or for 64 at once.
pub const CALL_HELD_MAX: Duration = Duration::from_secs(5);
/// Of these, how many that change something: each is a record for ever. A thousand agents of a new
/// owner are added at once; from then on 8,640 a day are 3 MB of records.
pub const IDENTITY_CHANGES: Pace = Pace { count: 1, per: Duration::from_secs(10), burst: 1_024 };
/// Keys that it may revoke, apart from the others: what keeps harm away must go on when somebody
/// has used up all else, and be through with a thousand keys at once.
pub const IDENTITY_REVOCATIONS: Pace = Pace { count: 1, per: Duration::from_secs(1), burst: 4_096 };

/// When to come again where nobody can say when there will be room: soon, for what is full now and
/// done in milliseconds.
pub const RETRY_SOON: Duration = Duration::from_secs(1);
/// The same where a person must make room.
pub const RETRY_LATER: Duration = Duration::from_secs(30);
