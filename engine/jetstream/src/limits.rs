//! Every bound of this crate, with its reason.

use std::time::Duration;
use tallystick_journal::HEADER_BYTES;
use tallystick_ledger::limits::RECORD_BYTES_MAX;

/// How long an append waits for its ack before its fate counts as unknown. A healthy stream answers
/// in some ten milliseconds; a server that was stopped never does.
pub const ACK_WAIT: Duration = Duration::from_millis(1_200);
/// How long other requests wait.
pub const API_WAIT: Duration = Duration::from_secs(5);
/// How often the connection is tried.
pub const PING_EVERY: Duration = Duration::from_secs(1);
/// How long one attempt to connect may take.
pub const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// Pause after something failed, before it is tried again.
pub const PAUSE: Duration = Duration::from_millis(100);
/// How long a start waits for servers and for the stream's leader: an election takes up to nine
/// seconds.
pub const START_WAIT: Duration = Duration::from_secs(30);
/// How long an append goes on trying to learn its fate. Then the process stops; a restart does the
/// same again.
pub const OUTAGE_MAX: Duration = Duration::from_secs(600);
/// After so many attempts that came to nothing it goes to another server, whatever this one says.
pub const TRIES_AT_ONE: u64 = 3;
/// How often it says that it is still trying.
pub const SAY_EVERY: Duration = Duration::from_secs(5);
/// How long a message that must be there is looked for, on whichever replica answers.
pub const HOLE_WAIT: Duration = Duration::from_secs(20);
/// The same, while the fate of an append is found out: it is asked for again then, and named as
/// missing after `HOLE_WAIT`.
pub const READ_WAIT: Duration = Duration::from_secs(1);
/// How long a stream may seem to end before a message that was acked: a new leader may be behind
/// for a moment.
pub const LOST_WAIT: Duration = Duration::from_secs(20);
/// The same, at a start, and for one replica that the doctor looks at.
pub const BEHIND_WAIT: Duration = Duration::from_secs(5);
/// Messages that are asked for at once when the stream is read.
pub const READ_AHEAD: usize = 32;
/// Room that headers take beside a payload: one of some sixty bytes is sent, the servers add some
/// when they hand a message out.
pub const HEADERS_ROOM: usize = 4 << 10;
/// Largest message that is sent, where the server takes more: one that large takes a slow disk
/// longer than what is gained by it.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// What a server must take at least: one record of the largest kind.
pub const PAYLOAD_LEAST: usize =
    RECORD_BYTES_MAX + HEADER_BYTES + super::message::HEAD + HEADERS_ROOM;
/// Replicas of the stream: with three any one may be lost.
pub const REPLICAS_LEAST: usize = 3;
/// Attempts to raise the epoch against others who do the same.
pub const EPOCH_TRIES: usize = 200;
/// Bytes of what an owner says of itself in a claim.
pub const NAME_BYTES_MAX: usize = 200;
/// Bytes of the answer of a server's monitoring port.
pub const MONITOR_BYTES_MAX: u64 = 16 << 20;
/// How long a monitoring port may take.
pub const MONITOR_WAIT: Duration = Duration::from_secs(5);
/// Messages that are asked for at once in a stream beside the journal's: each may be as large as a
/// message is, so their bytes are bounded too.
pub const BESIDE_READ: usize = 256;
/// Messages that are appended together: servers take a thousand at most.
pub const BESIDE_BATCH: usize = 200;
/// How much longer an append may take with each message that it has.
pub const BESIDE_WAIT: Duration = Duration::from_millis(20);
/// After so many appends the place in such a stream is noted: a start reads from there.
pub const BESIDE_NOTE_EVERY: u32 = 256;
/// How long lists of changes are kept: what they are of counts for two days at most.
pub const PASSING_AGE: Duration = Duration::from_secs(7 * 86_400);
/// How long the lease of an owner must stand still before a node that stands by claims the stream.
pub const LEASE: Duration = Duration::from_secs(5);
/// For so long of that the bucket's leader must have answered without a pause: an owner that nobody
/// could hear has time to be heard again.
pub const LEASE_SEEN: Duration = Duration::from_millis(2_500);
/// How long a directory's own lease must stand still before its next start claims: one that moves
/// is another process's, with a copy of the directory.
pub const LEASE_OWN: Duration = Duration::from_millis(1_500);
/// Messages that a node reads at once while it follows: what they hold is one write to its copy.
pub const FOLLOW_MESSAGES: u64 = 64;
/// Pause of a node that follows, where nothing has come.
pub const FOLLOW_PAUSE: Duration = Duration::from_millis(20);
/// How often the owner refreshes its lease: five times before anybody takes it for dead.
pub const LEASE_REFRESH: Duration = Duration::from_secs(1);
/// How long a node that is claiming the stream holds the lease: an election takes nine seconds.
pub const CLAIM_WAIT: Duration = Duration::from_secs(30);
/// How often a node that stands by looks at the lease.
pub const LEASE_LOOK: Duration = Duration::from_millis(250);
/// How often a node tells the others how it stands, and the owner names their keys.
pub const NODE_SAYS: Duration = Duration::from_secs(1);
/// Pause of a node that follows, where nobody answers.
pub const UNHEARD_PAUSE: Duration = Duration::from_millis(200);
/// How often a node says in its log what keeps it from following, or from taking over.
pub const UNHEARD_SAY: Duration = Duration::from_secs(30);
/// How long whoever asks for a handover waits for it: an owner that stops gives its clients 10 s.
pub const TRANSFER_WAIT: Duration = Duration::from_secs(60);
