//! What strangers on connections may hold: the limits of the edge, and the sum of what they allow.
//!
//! Every item of the sum is a bound that one place of `api` holds; the sum is checked when this is
//! compiled.

use super::{ASSETS_MAX, EXPORT_CHUNK_BYTES, FRAME_VOUCHERS_MAX, Pace, STREAM_VOUCHERS_MAX};
use crate::types::VOUCHER_BYTES;
use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Connections over gRPC at once: far more than facilitators and operators have. Where fewer files
/// may be open there are fewer (`connections`), so that the journal always finds some. When all
/// places are taken, who was silent for longest goes for who comes.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Connections over HTTP at once: sellers' servers keep some open for each of their processes, and
/// each carries one request at a time.
pub const HTTP_CONNECTIONS_MAX: usize = 512;
/// Of the files that a process may open, connections over gRPC and over HTTP get a half together:
/// the other half is for the journal, the inboxes and the calls to rails.
const FILES_FOR_CONNECTIONS: u64 = 2;
/// Of the files that a process may open, connections over HTTP get at most one in so many.
const FILES_FOR_HTTP: u64 = 16;

/// One address (of IPv6 a /64, which one client has) may have one in so many of a listener's
/// places, unless the configuration says otherwise: seven others find some, whatever it does.
pub const ORIGIN_PART: usize = 8;
/// The most that can be asked for: all of them.
pub const CONNECTIONS_PER_ADDRESS_MAX: u32 = 1_024;

/// New connections of a listener that are looked at, from all addresses together: after a start,
/// all clients that there may be come back within a second. Each costs some 100 microseconds, and a
/// TLS handshake 150 to 300 more, so a flood of them costs at most two fifths of a core, which is
/// everybody else's first. Who comes beyond it waits in the system's queue.
pub const ARRIVALS: Pace = Pace { count: 1_000, per: Duration::from_secs(1), burst: 256 };
/// How many wait there, where the system allows it (`net.core.somaxconn`): four seconds' worth. Of
/// more their clients' systems try again by themselves.
pub const ARRIVALS_WAITING: u32 = 4_096;
/// Of these, from one address (of IPv6 a /64); what is beyond is closed at once and takes nobody's
/// turn. All that one address may have are there within a second.
pub const ORIGIN_ARRIVALS: Pace = Pace { count: 100, per: Duration::from_secs(1), burst: 256 };
/// How far the threads that accept and shake hands give way to all others (`nice`): a third of
/// the weight, so that they go on, slowly, while everything else is busy.
pub const GREETING_NICENESS: i32 = 5;

/// Refusals that one address is told (no credential that counts, no such call, too large): after a
/// pause a thousand at once, as a client with an old key makes them; beyond that they are told at
/// this pace. Each costs 60 microseconds, so that an address that makes nothing else costs a
/// hundredth of a core. Whoever is let in is never held.
pub const REFUSALS: Pace = Pace { count: 200, per: Duration::from_secs(1), burst: 1_000 };
/// As how many one counts whose message or metadata was too large: it was read up to here.
pub const REFUSAL_LARGE: usize = 10;
/// How long a refusal is held at most. An address whose next one would have to wait longer opens
/// no connections meanwhile.
pub const REFUSAL_HELD_MAX: Duration = Duration::from_secs(5);
/// Refusals on one connection after which it is told to go, once its address is beyond its pace.
pub const REFUSALS_BORNE: usize = 32;
/// Addresses of which it is known how often they came and were refused, of late: 100 bytes each.
/// All others share one pace.
pub const ORIGINS_KEPT: usize = 4_096;

/// Calls that anybody may make, of one address: which network this is, health, reflection (each of
/// its messages), `/livez`, `/readyz`. As often as refusals, since each costs the
/// same: a thousand at once after a pause, as when a whole company's clients come back. A monitor
/// asks once a second.
pub const OPEN_CALLS: Pace = Pace { count: 200, per: Duration::from_secs(1), burst: 1_000 };
/// Of these, those that every connection may make whatever others of its address do: a monitor
/// behind the same proxy as a flood is answered.
pub const OPEN_CALLS_OWN: Pace = Pace { count: 1, per: Duration::from_secs(1), burst: 1 };

/// How many connections there may be over gRPC and over HTTP, when so many files may be open.
#[must_use]
pub fn connections(files: u64) -> (usize, usize) {
    let count = |files: u64| usize::try_from(files).unwrap_or(usize::MAX);
    let http = (files / FILES_FOR_HTTP).max(1);
    let grpc = (files / FILES_FOR_CONNECTIONS).saturating_sub(http).max(1);
    (count(grpc).min(CONNECTIONS_MAX), count(http).min(HTTP_CONNECTIONS_MAX))
}

/// What one connection over gRPC may have under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Calls and streams open at once; clients wait with further ones.
    pub streams: u32,
    /// Bytes of one stream that may lie unread (HTTP/2's flow-control window).
    pub stream_window: u32,
    /// The window of the connection. Never the narrower one: it is this large because half of it is
    /// the budget within which the HTTP/2 library takes small frames (`SMALL_FRAME_COST`).
    pub connection_window: u32,
    /// Messages to the facilitators' service beyond one packet that are read, or wait to come in,
    /// at once. All others stay in the windows, where flow control holds them.
    pub large: u32,
}

/// The share of the first connections: some large frames are read while others wait in windows that
/// a local network fills faster than cores check, so that a few streams keep every core busy.
pub const WIDE: Share =
    Share { streams: 128, stream_window: 128 << 10, connection_window: 17 << 20, large: 4 };
/// How many connections have it.
pub const WIDE_CONNECTIONS: usize = 6;
/// The share of all others: enough for a facilitator at moderate speed.
pub const NARROW: Share =
    Share { streams: 16, stream_window: 32 << 10, connection_window: 640 << 10, large: 1 };

/// What the HTTP/2 library counts for a DATA frame below 256 bytes that lies unread: what it lacks
/// to that. When the count passes half of the connection's window it ends the connection. A frame
/// of one voucher is 168 bytes or more, so the windows are such that streams full of them stay
/// below it: they are held by flow control, as they should be.
const SMALL_FRAME_BYTES: usize = 168;
const SMALL_FRAME_COST: usize = 256 - SMALL_FRAME_BYTES;

impl Share {
    const fn unread(self) -> usize {
        self.streams as usize * self.stream_window as usize
    }

    const fn budget(self) -> usize {
        self.connection_window as usize / 2
    }

    /// Whether no number of frames of one voucher on all streams ends the connection.
    const fn holds_small_frames(self) -> bool {
        self.unread() / SMALL_FRAME_BYTES * SMALL_FRAME_COST <= self.budget()
    }

    /// The most that a connection can make the HTTP/2 library keep: all windows full, in frames as
    /// small as it takes; and the large messages that wait to come in.
    const fn bytes(self) -> usize {
        self.unread() + self.budget() + self.large as usize * VOUCHERS_MESSAGE_BYTES_MAX
    }
}
const _: () = assert!(WIDE.holds_small_frames() && NARROW.holds_small_frames());
// The narrower window is that of the streams, always.
const _: () = assert!(WIDE.unread() <= WIDE.connection_window as usize);
const _: () = assert!(NARROW.unread() <= NARROW.connection_window as usize);

/// Bytes of one message to the facilitators' service: a full frame of structured vouchers is at
/// most 850 KiB.
pub const VOUCHERS_MESSAGE_BYTES_MAX: usize = 896 * KIB;
const _: () = assert!(VOUCHERS_MESSAGE_BYTES_MAX > FRAME_VOUCHERS_MAX * (VOUCHER_BYTES + 52));
/// Bytes of one message to the operators' service: a thousand reports on legs with texts of full
/// length.
pub const MESSAGE_BYTES_MAX: usize = MIB;
const _: () = assert!(EXPORT_CHUNK_BYTES < MESSAGE_BYTES_MAX);
/// Bytes of one answer that the command line takes: the report of a batch with a hundred thousand
/// submissions.
pub const REPLY_BYTES_MAX: usize = 16 * MIB;
/// Bytes of messages that began and have not ended, over all connections: room for seventy full
/// frames at the same moment. When it is full, the one that began first is given up.
pub const UNFINISHED_BYTES_MAX: usize = 64 * MIB;
/// A message takes its room in blocks of this size, as its bytes arrive: what is only announced
/// costs nothing.
pub const MESSAGE_BLOCK_BYTES: usize = 64 * KIB;
/// The first block, which every call may have beside: whoever sends small frames waits for nobody.
pub const MESSAGE_FIRST_BLOCK_BYTES: usize = 4 * KIB;
/// Packed vouchers up to so many bytes are copied out of the message that brought them: the message
/// may be as large as its limit, for what else it holds, and would stay as long as they are under
/// way. Copying costs a hundredth of checking them.
pub const PACKED_COPIED_BYTES: usize = 256 * KIB;
/// Bytes of the metadata of one call, and of the headers of a request over HTTP; four times that
/// are read so that the answer can say so.
pub const METADATA_BYTES_MAX: usize = 16 * KIB;
/// See `METADATA_BYTES_MAX`.
pub const METADATA_BYTES_READ: u32 = 64 << 10;

/// How long a new connection may take until it has spoken HTTP/2.
pub const PREFACE_WAIT: Duration = Duration::from_secs(5);
/// How long a TLS handshake may take: a fair one is done in three packets.
pub const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);
/// How long a message may take from its first byte to its last, and a call with one message to
/// bring it.
pub const MESSAGE_WAIT: Duration = Duration::from_secs(10);
/// How long a stream of messages other than frames of vouchers may pause.
pub const PAUSE_MAX: Duration = Duration::from_mins(1);
/// How long an answer may lie unread until its call is ended.
pub const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// The same once the engine stops.
pub const ANSWER_WAIT_STOPPING: Duration = Duration::from_secs(1);
/// How long a connection may be without a call until it is told to go. Clients connect again by
/// themselves.
pub const IDLE_MAX: Duration = Duration::from_mins(5);
/// How long a connection that was told to go may take once it has no calls.
pub const LEAVE_WAIT: Duration = Duration::from_secs(1);
/// How often a connection is asked whether it is still there, and how long it may take to say so.
pub const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
/// See `KEEPALIVE_EVERY`.
pub const KEEPALIVE_WAIT: Duration = Duration::from_secs(20);
/// How long who was heard keeps its place, however many others want one.
pub const PLACE_KEPT: Duration = Duration::from_secs(5);
/// How long the listener rests when the system gives it no more files.
pub const ACCEPT_REST: Duration = Duration::from_millis(100);
/// Shortest time between two words about the same thing that strangers can cause.
pub const STRANGERS_NOTE_EVERY: Duration = Duration::from_mins(1);

/// Refused calls that the log tells one by one in `STRANGERS_NOTE_EVERY`; of the others it tells
/// how many there were.
pub const REFUSALS_TOLD_MAX: usize = 1_000;

/// How often a connection is looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often one is that is to end.
pub const LOOK_LEAVING_EVERY: Duration = Duration::from_millis(50);

/// How long the head of an HTTP request may take, and then its body.
pub const HTTP_WAIT: Duration = Duration::from_secs(10);
/// How long one request over HTTP may take until its answer is taken: clients of x402 wait 90 s.
/// A connection may stay for as long as requests come on it.
pub const HTTP_ANSWER_MAX: Duration = Duration::from_secs(100);
/// Bytes of an HTTP request's head, and of its body: a webhook holds one object, some kilobytes.
pub const HTTP_BYTES_MAX: usize = 64 * KIB;

/// How long the page of metrics waits for what the engine's threads must be asked: well below
/// the ten seconds after which Prometheus gives up. What is there by then is served.
pub const METRICS_WAIT: Duration = Duration::from_secs(3);
/// Pages of metrics that are made, or not yet taken, at once: for two who look, and some that look
/// and are slow.
pub const METRICS_PAGES_MAX: usize = 8;
/// Bytes of one: 20 KiB, and half a kilobyte for each asset that there may be.
const METRICS_PAGE_BYTES: usize = 32 * KIB + ASSETS_MAX * 512;
/// When who was told to come again over HTTP should do so, in seconds: a start takes some seconds.
pub const WEBHOOK_RETRY_SECONDS: u64 = 5;
/// Letters of the shortest token for the metrics that is taken: what can be guessed is none.
pub const METRICS_TOKEN_LETTERS_MIN: usize = 16;

/// Frames that one stream may have under way before its reading stops (HTTP/2 flow control then
/// holds the client): small ones, each of which costs some state besides its vouchers.
pub const STREAM_FRAMES_MAX: usize = 64;

/// Answers that read what is kept, piece by piece as the client takes them (files, evidence,
/// proofs), at once: each has a thread. Beyond it callers are told RESOURCE_EXHAUSTED.
pub const EXPORTS_MAX: usize = 8;
/// Lists of windows, batches, legs and the like at once: each holds what it lists.
pub const LISTS_MAX: usize = 16;
/// The same for those who see no more than their own (facilitators, owners of parties): places
/// apart, so that they never keep those who look after everybody's affairs from theirs.
pub const EXPORTS_OWN_MAX: usize = 4;
/// See `EXPORTS_OWN_MAX`.
pub const LISTS_OWN_MAX: usize = 8;
/// Imports at once.
pub const IMPORTS_MAX: usize = 4;
/// One identity, or a connection without one, may have half of these, so that another finds a
/// place.
pub const PLACES_SHARE: usize = 2;
/// Bytes of items that an Import hands on together; with `IMPORT_CHUNK`, whichever comes first.
pub const IMPORT_CHUNK_BYTES: usize = 256 * KIB;
/// Chunks of one Import under way: one that is done, and one that is checked.
pub const IMPORT_CHUNKS: usize = 2;
/// Legs that a list reads at once from the state that everybody waits for.
pub const LIST_PAGE: usize = 512;

/// Bytes that a TLS connection reads from the system at once: the library alone asks for 4 KiB at a
/// time, which is four calls for every record.
pub const TLS_READ_BYTES: usize = 32 * KIB;
/// Bytes of an answer that the TLS library may hold encrypted until the client takes them: two
/// records.
pub const TLS_WRITE_BYTES: usize = 32 * KIB;
/// Bytes of the certificates by which a client is known, which are kept as long as it stays: a
/// chain of four is 5 KiB.
pub const TLS_CHAIN_BYTES_MAX: usize = 16 * KIB;
/// The largest record.
const TLS_RECORD_BYTES: usize = 18 * KIB;
/// The largest handshake message that the TLS library puts together, whenever it comes; while the
/// handshake lasts it may be there twice, as it came and as it was understood.
const TLS_HANDSHAKE_BYTES: usize = 64 * KIB;
/// What TLS costs a connection besides: its state and its keys.
const TLS_STATE_BYTES: usize = 8 * KIB;
/// The most that TLS holds for a connection while it is greeted.
const TLS_GREETING_BYTES: usize = TLS_STATE_BYTES + TLS_READ_BYTES + 2 * TLS_HANDSHAKE_BYTES;
/// The most once it is served: a handshake message in pieces, a record that was not taken and one
/// more, what is to be sent and one record beyond that, the client's certificates.
const TLS_SERVED_BYTES: usize = TLS_STATE_BYTES
    + TLS_READ_BYTES
    + TLS_HANDSHAKE_BYTES
    + 2 * TLS_RECORD_BYTES
    + TLS_WRITE_BYTES
    + TLS_RECORD_BYTES
    + TLS_CHAIN_BYTES_MAX;
const TLS_BYTES: usize =
    if TLS_GREETING_BYTES > TLS_SERVED_BYTES { TLS_GREETING_BYTES } else { TLS_SERVED_BYTES };

/// Bytes of a file with certificates or a key: the bundle of a hundred authorities is a quarter of
/// it.
pub const TLS_FILE_BYTES_MAX: usize = MIB;
/// How often the files of certificates are looked at. New ones are taken when they have not changed
/// between two looks, so that a certificate never meets the key of the one before.
pub const TLS_LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long before a certificate ends the log says so, every day: time to renew by hand.
pub const TLS_ENDS_SOON: Duration = Duration::from_hours(14 * 24);
/// How often it is said.
pub const TLS_ENDS_NOTE_EVERY: Duration = Duration::from_hours(24);

/// What a connection costs besides: buffers for reading and writing, tables for headers.
const CONNECTION_BYTES: usize = 64 * KIB;
/// What an open call costs besides: its tasks, the buffer that messages are read into, its
/// metadata, its first block, and the packet that it was read from.
const CALL_BYTES: usize = 24 * KIB + MESSAGE_FIRST_BLOCK_BYTES + 16 * KIB;
/// What acks on one stream cost that nobody reads: a byte an outcome, and their frames' state.
const STREAM_ACKS_BYTES: usize = STREAM_VOUCHERS_MAX + STREAM_FRAMES_MAX * 256;
const NARROW_CONNECTIONS: usize = CONNECTIONS_MAX - WIDE_CONNECTIONS;
const CALLS: usize =
    WIDE_CONNECTIONS * WIDE.streams as usize + NARROW_CONNECTIONS * NARROW.streams as usize;

/// The most memory that strangers can make the edge hold, whatever they do: what lies unread in
/// windows and the large messages that wait to come in; unfinished messages; open calls with unread
/// acks; connections and their TLS; long answers (a piece with the client, one that waits, one that
/// is made); Imports (items grow some four times when they are read); webhooks, and pages of
/// metrics. What the pipeline holds has its own bound (`INFLIGHT_VOUCHERS_MAX`), and so has what
/// lists show.
pub const EDGE_BYTES_MAX: usize = WIDE_CONNECTIONS * WIDE.bytes()
    + NARROW_CONNECTIONS * NARROW.bytes()
    + UNFINISHED_BYTES_MAX
    + CALLS * (CALL_BYTES + STREAM_ACKS_BYTES)
    + CONNECTIONS_MAX * CONNECTION_BYTES
    + (CONNECTIONS_MAX + HTTP_CONNECTIONS_MAX) * TLS_BYTES
    + (EXPORTS_MAX + EXPORTS_OWN_MAX) * 3 * EXPORT_CHUNK_BYTES
    + IMPORTS_MAX * (IMPORT_CHUNKS + 1) * 4 * (IMPORT_CHUNK_BYTES + MESSAGE_BYTES_MAX)
    + HTTP_CONNECTIONS_MAX * 3 * HTTP_BYTES_MAX
    + METRICS_PAGES_MAX * METRICS_PAGE_BYTES;
const _: () = assert!(EDGE_BYTES_MAX < 15 << 28);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_half_of_the_files_to_others() {
        for files in [64, 256, 1_024, 4_096, 1 << 20, u64::MAX] {
            let (grpc, http) = connections(files);
            assert!(grpc >= 1 && http >= 1, "{files}");
            assert!(u64::try_from(grpc + http).unwrap() <= files / 2, "{files}");
        }
        assert_eq!(connections(256), (112, 16));
        assert_eq!(connections(1 << 20), (CONNECTIONS_MAX, HTTP_CONNECTIONS_MAX));
    }
}
