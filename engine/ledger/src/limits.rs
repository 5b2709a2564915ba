//! Every limit of the engine, with its reason. Full means that the client is told; nothing grows
//! without a bound and nothing is dropped in silence.

mod backup;
mod console;
mod edge;
mod hooks;
mod identities;
mod lists;
mod outside;
mod proposals;
mod shares;
mod x402;

use crate::types::VOUCHER_BYTES;
pub use backup::*;
pub use console::*;
pub use edge::*;
pub use hooks::*;
pub use identities::*;
pub use lists::*;
pub use outside::*;
pub use proposals::*;
pub use shares::*;
use std::time::Duration;
pub use x402::*;

/// Vouchers in one frame. 4,096 x 160 B = 640 KiB: large enough that the cost per frame vanishes,
/// small enough that one frame is checked in a tenth of a second on one core.
pub const FRAME_VOUCHERS_MAX: usize = 4_096;

/// Vouchers under way between ingress and ack, over all clients: about 20 s of work for one core
/// that checks 30 k signatures a second, and 128 MB with what is kept beside each. Ingress waits
/// beyond it.
pub const INFLIGHT_VOUCHERS_MAX: usize = 1 << 19;
const _: () = assert!(INFLIGHT_VOUCHERS_MAX >= 16 * FRAME_VOUCHERS_MAX);

/// Frames under way, over all clients: what bounds small frames (an empty-handed frame still costs
/// about a kilobyte of state).
pub const INFLIGHT_FRAMES_MAX: usize = 1 << 16;

/// Vouchers of one frame that go to a verify worker together: 8 groups of 8 lanes, and about 2 ms
/// of work for the slowest backend, so that a small frame never waits long behind a large one.
pub const VERIFY_CHUNK: usize = 64;
const _: () = assert!(FRAME_VOUCHERS_MAX.is_multiple_of(VERIFY_CHUNK));

/// Vouchers that a verify worker checks at once when so many are queued: 32 groups of 8 lanes,
/// where what a call costs beside its signatures has vanished, and about 0.3 ms of work for `lanes`
/// (10 ms for the slowest backend), which is how long the first of them may wait for the last.
pub const VERIFY_BATCH: usize = 256;
const _: () = assert!(VERIFY_BATCH >= VERIFY_CHUNK);
/// Of batches of fewer signatures than this not each has its CPU time looked at: the look would be
/// a hundredth of what they cost, or more.
pub const METERED_SIGNATURES: usize = 8;
/// One in so many is.
pub const METERED_ONE_IN: u64 = 16;

/// Operator calls and reads waiting for the sequencer; beyond it a caller is told
/// RESOURCE_EXHAUSTED.
pub const COMMAND_QUEUE: usize = 1 << 12;

/// Bytes of records made durable by one fsync: some 100 full frames, 20 ms of disk.
pub const GROUP_BYTES_MAX: usize = 64 << 20;
/// Records made durable by one fsync: bounds what a group of small records costs in memory.
pub const GROUP_RECORDS_MAX: usize = 1 << 14;

/// Groups between the sequencer and each shard: one is worked on, one waits; more would only add
/// latency. (None waits for the journal: what is not being written still grows.)
pub const GROUP_QUEUE: usize = 2;

/// Pages of a checkpoint between the shards and the keeper, each of up to `COPY_CHANNELS` channels.
pub const PAGE_QUEUE: usize = 64;
/// Channels that a shard copies at once for a checkpoint or a sealed window, between two frames:
/// some 100 us, far below what a frame waits for the disk.
pub const COPY_CHANNELS: usize = 1_024;
/// Rows of the control state that are copied at once for a checkpoint, while nothing else is
/// decided: less than a millisecond, as long as the disk takes for a group.
pub const COPY_ROWS: usize = 1_000;
/// Bytes of rows after which no more of them are copied at once, for the same reason.
pub const COPY_ROWS_BYTES: usize = 256 << 10;
/// How often a copy of legs that are read from the disk is made again because it is old: only a
/// checkpoint of the very legs makes one old.
pub const LEGS_COPIES_MAX: usize = 100;
/// How long a shard without work waits when the keeper has no room for its pages.
pub const COPY_WAIT_MILLIS: u64 = 1;

/// Bytes of records after which a checkpoint is made, unless configured: the tail that a start
/// replays, half a second of work, and far more than what a checkpoint of a hundred thousand
/// channels writes.
pub const CHECKPOINT_BYTES_DEFAULT: u64 = 256 << 20;
/// Fewest bytes between two checkpoints that can be configured: each costs a few files.
pub const CHECKPOINT_BYTES_MIN: u64 = 1 << 10;

/// Work after which a checkpoint is made however few bytes it took, in legs of batches that a start
/// computes again: some 0.3 s of a start.
pub const CHECKPOINT_WORK: u64 = 100_000;
/// What a window that is sealed or loaded again counts in legs, however little is owed in it: 500
/// windows of a quiet deployment make a checkpoint due.
pub const CHECKPOINT_WORK_WINDOW: u64 = 200;
const _: () = assert!(CHECKPOINT_WORK / CHECKPOINT_WORK_WINDOW == 500);

/// Records between the reader of a replay and each shard: enough that neither waits for the other's
/// single frame, and at most some 20 MB.
pub const REPLAY_QUEUE: usize = 32;

/// Threads that hash a window: beyond these, putting it in order takes longest.
pub const SEAL_THREADS_MAX: usize = 8;
/// How far the threads that seal a window give way to all others (`nice`): a third of the weight,
/// so that a window is sealed however much comes in, and who pays hardly waits for it.
pub const SEAL_NICENESS: i32 = 5;

/// Sealed windows that stay in memory after they were sealed or read: one that is looked at and one
/// that is batched. Each holds all its obligations, some 200 bytes a pair.
pub const ARCHIVE_WINDOWS: usize = 2;

/// Files of the journal that may be open at once, of however many there are: each costs a
/// descriptor and some kilobytes of memory, and which windows are read is seldom far apart. Where
/// the process may open few files, it is a quarter of them, but enough to work at all.
pub const STORE_FILES_MAX: i32 = 512;
/// See `STORE_FILES_MAX`.
pub const STORE_FILES_MIN: i32 = 32;
/// Open files that the process must be allowed: what it holds with the fewest of the journal's,
/// some connections and rails. With less it does not start.
pub const OPEN_FILES_LEAST: u64 = 128;
/// With fewer it starts, and says that this is little.
pub const OPEN_FILES_ADVISED: u64 = 1_024;

/// Largest body of one record: a full frame is 640 KiB, an event with its texts far less.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
const _: () = assert!(RECORD_BYTES_MAX >= FRAME_VOUCHERS_MAX * VOUCHER_BYTES);

/// Servers of the journal's stream, and addresses to monitor them, that settings may name: a
/// cluster has three or five.
pub const JOURNAL_SERVERS_MAX: usize = 16;
/// Characters of that stream's name, and of a node's.
pub const STREAM_NAME_MAX: usize = 64;

/// Most shards: their number goes into a u16 and more than this many threads help on no machine.
pub const SHARDS_MAX: u16 = 64;

/// Most threads that check signatures: more than any machine has cores.
pub const VERIFY_THREADS_MAX: u16 = 1_024;

/// Most memory for the tables of keys: 64 GiB hold a small one for 3.7 million keys. A larger value
/// is almost certainly a typo.
pub const VERIFY_TABLE_BYTES_MAX: u64 = 64 << 30;

/// Shortest time between two scheduled cuts: each costs two records and a walk over all
/// obligations, and a window should hold more than it costs.
pub const WINDOW_EVERY_MIN: Duration = Duration::from_millis(100);
/// Longest time between two scheduled cuts: a month. Beyond it a schedule is surely a mistake.
pub const WINDOW_EVERY_MAX: Duration = Duration::from_hours(31 * 24);
const _: () = assert!(WINDOW_EVERY_MIN.as_millis() < WINDOW_EVERY_MAX.as_millis());

/// Registered parties: one costs about 200 bytes, and 280 in every shard; 16 M is 8 GB with one.
pub const PARTIES_MAX: usize = 1 << 24;
/// Registered signers, for the same reason.
pub const SIGNERS_MAX: usize = 1 << 24;
/// Live channels (not expired) of one signer: an agent that pays a hundred a second, each on a lane
/// of its own that lives ten minutes. Each is some 400 bytes of memory, 600 where an entry of a
/// bundle was credited last, so this is 39 MB at most, and it costs the payer nothing. Part of the
/// credit rule: what it was when a voucher was journaled it must be at every replay.
pub const SIGNER_CHANNELS_MAX: u32 = 1 << 16;
/// Live channels of one payer, over all its signers: a thousand agents with a thousand channels
/// each, 420 MB, 630 MB of entries. Part of the credit rule, as `SIGNER_CHANNELS_MAX` is.
pub const PARTY_CHANNELS_MAX: u32 = 1 << 20;
const _: () = assert!(SIGNER_CHANNELS_MAX <= PARTY_CHANNELS_MAX);

/// What a party may owe unsettled in one asset at most, in whole units, whatever its credit limit
/// says: a hundred million millions, more than anybody owes. Banks take a hundred million whole
/// units and more in one payment, so that ten such parties still fit one batch. Part of the credit
/// rule, as `SIGNER_CHANNELS_MAX` is.
pub const UNSETTLED_WHOLE_MAX: u128 = 100_000_000_000_000;

/// Assets: every lookup searches them; no deployment clears thousands.
pub const ASSETS_MAX: usize = 1 << 10;
/// Caps of one signer: one for each asset that an agent may spend.
pub const CAPS_MAX: usize = 16;
/// Budgets of one signer: an hour's, a day's and a month's in several assets, and of some payees.
/// Each is looked at for every voucher of the signer.
pub const BUDGETS_MAX: usize = 16;
/// Warnings of budgets in one record, and of one shard at once: some 120 bytes each.
pub const BUDGET_WARNINGS_MAX: usize = 256;
const _: () = assert!(BUDGET_WARNINGS_MAX * 128 + 4_096 <= RECORD_BYTES_MAX);
/// How often it is asked of which budgets so much is used that their owners should know: soon
/// enough for a person, and one question a shard.
pub const BUDGET_WARNINGS_EVERY: Duration = Duration::from_secs(1);
/// Closed windows whose evidence stays, where the rest is archived: a day of windows of a quarter
/// of an hour, which is what people ask about.
pub const KEEP_WINDOWS_DEFAULT: u32 = 100;
/// The most that can be asked for: a window a minute for two years.
pub const KEEP_WINDOWS_MAX: u32 = 1_000_000;
/// A file of the audit log: some 200,000 calls, and still opened by any editor.
pub const AUDIT_FILE_BYTES: u64 = 64 << 20;
/// Files of it that are kept unless said otherwise: 4 GiB, and years for most.
pub const AUDIT_FILES_DEFAULT: u32 = 64;
/// One in so many of that for calls of who sees no more than its own, and as many for calls that
/// were not let in: files of their own, so that they never make the desk's go.
pub const AUDIT_OTHERS_PART: u32 = 4;
/// The most that can be asked for.
pub const AUDIT_FILES_MAX: u32 = 100_000;
/// Lines of it that wait for the disk; then calls wait, too.
pub const AUDIT_LINES_WAITING: usize = 4_096;
/// How long a call waits for a disk that takes no lines; then its line is lost, and counted.
pub const AUDIT_PATIENCE: Duration = Duration::from_secs(1);
/// How long a stop waits for the last lines.
pub const AUDIT_END_PATIENCE: Duration = Duration::from_secs(5);
/// Lines that are written together.
pub const AUDIT_LINES_TOGETHER: usize = 256;
/// Ids that are written down of one call: of an import, whose items are in the journal, the first.
pub const AUDIT_IDS_MAX: usize = 4;
/// After so many windows whose evidence has left, the disk is given back what it took: each time
/// what lies beside it is written anew.
pub const RETENTION_RECLAIM: usize = 16;
/// Fewest windows between two checkpoints that are asked for so that frames of windows leave,
/// however few are kept: each costs a few files.
pub const RETENTION_CHECKPOINT_MIN: u64 = 16;
/// Windows of which it is remembered that something left a moment ago: nobody asks for more at
/// once.
pub const ARCHIVE_WENT: usize = 1_024;
/// Windows whose events leave together, at least: each time it is a file of their own.
pub const RETENTION_EVENTS_WINDOWS_MIN: u64 = 16;
/// How often it is looked whether all archives are where they were put.
pub const RETENTION_LOOK: Duration = Duration::from_secs(3_600);
/// Bytes of events in one archive of them: whoever reads one of these events reads the whole file.
pub const RETENTION_EVENTS_BYTES: usize = 64 << 20;
/// How often it is looked which settled windows can be archived: nobody waits for it, and disk
/// space is needed by the day.
pub const RETENTION_EVERY: Duration = Duration::from_secs(1);
/// Request ids remembered before nothing more is registered, 40 bytes each: 64 M is 2.6 GB, and two
/// million a day for a month. What closes and settles windows, what keeps harm away and what has
/// happened already is done all the same: those ids come on top, and go with time.
pub const REQUESTS_MAX: usize = 1 << 26;
// A deployment as large as it may get can be made in a month: a party, its limit, its account and
// its agent.
const _: () = assert!(REQUESTS_MAX >= 3 * PARTIES_MAX + SIGNERS_MAX);
/// A request id is remembered at least so many days, counted by the records' timestamps. A caller
/// that repeats a call later than that is surely not repeating it.
pub const REQUEST_DAYS: i64 = 30;
/// Ids are forgotten together with all of so many days.
pub const REQUEST_SPAN_DAYS: i64 = 5;
/// So many spans besides the one that goes on are remembered.
pub const REQUEST_SPANS: i64 = REQUEST_DAYS / REQUEST_SPAN_DAYS;
const _: () = assert!(REQUEST_SPANS * REQUEST_SPAN_DAYS == REQUEST_DAYS);
// As many closes as the shortest schedule makes are remembered within as much memory again.
const _: () = assert!(
    (REQUEST_DAYS + REQUEST_SPAN_DAYS).cast_unsigned() as u128 * 24 * 3_600_000
        <= REQUESTS_MAX as u128 * WINDOW_EVERY_MIN.as_millis()
);
// What the schedule could not do is asked for again long before its id is forgotten.
const _: () = assert!(SCHEDULE_RETRY.as_secs() < REQUEST_DAYS.cast_unsigned() * 24 * 3_600);
/// Changes of accounts and deposits that are remembered, 32 bytes each, so that a batch is compared
/// with those only: far more than happen between its last look and its record.
pub const CHANGED_PARTIES_MAX: usize = 1 << 16;
/// Bytes of a request id: any UUID, ULID or hash with a prefix.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Bytes of a party's name, reason or reference; ISO 20022 carries 70 and 140 characters of them.
pub const TEXT_BYTES_MAX: usize = 256;
/// Rails for which one party has an account: more than exist.
pub const ACCOUNTS_MAX: usize = 8;
/// Fields of one settlement account.
pub const ACCOUNT_FIELDS_MAX: usize = 16;
/// What sealing adds to a text: its nonce and its tag.
pub const SEAL_BYTES: usize = 24 + 16;
/// Bytes of a sealed name.
pub const NAME_SEALED_MAX: usize = TEXT_BYTES_MAX + SEAL_BYTES;
/// Bytes of a sealed account: names and values of its fields, each with its length.
pub const ACCOUNT_SEALED_MAX: usize = ACCOUNT_FIELDS_MAX * 2 * (4 + TEXT_BYTES_MAX) + SEAL_BYTES;
// A party with all its accounts, and a signer with all its caps, fit a record.
const _: () = assert!(ACCOUNTS_MAX * (ACCOUNT_SEALED_MAX + 512) + 4_096 <= RECORD_BYTES_MAX);
const _: () = assert!(CAPS_MAX * 12 + REQUEST_ID_BYTES_MAX + 4_096 <= RECORD_BYTES_MAX);

/// Windows in one batch: a month of hours.
pub const BATCH_WINDOWS_MAX: usize = 744;
/// Legs in one batch: ten times the largest that was measured.
pub const BATCH_LEGS_MAX: usize = 10_000_000;
// Legs are numbered in 32 bits.
const _: () = assert!(BATCH_LEGS_MAX < u32::MAX as usize);
const _: () = assert!(UNSETTLED_WHOLE_MAX / 100_000_000 * 10 <= BATCH_LEGS_MAX as u128);
/// Legs in one file for a rail: banks take files of a hundred thousand payments, and few take more.
pub const FILE_LEGS_MAX: usize = 100_000;
const _: () = assert!(FILE_LEGS_MAX <= BATCH_LEGS_MAX);
/// Legs whose calls are made durable together: one fsync and two records for all of them. So many
/// new calls may be under way or wait for their turn, and so many look-ups beside them.
pub const CALL_LEGS_MAX: usize = 256;
/// Calls and look-ups of a provider that are under way or wait for their turn: enough that its
/// threads never wait for the journal, and at most so many answers to find again after a crash.
/// Look-ups may all turn out to be calls to make again, so there is room for both.
pub const CALLS_UNDER_WAY_MAX: usize = 2 * CALL_LEGS_MAX;
/// How long answers are gathered for one record while others are under way: some fsyncs, and far
/// less than a provider takes for an answer.
pub const CALLS_GATHERED: Duration = Duration::from_millis(10);
/// How long a stop waits for calls that are being made; those that take longer are looked up at the
/// next start.
pub const CALLS_STOP_MAX: Duration = Duration::from_secs(2);
/// First and longest wait before a leg's fate is asked for again; each wait is twice the one
/// before.
pub const CALL_AGAIN_MIN: Duration = Duration::from_millis(250);
/// See `CALL_AGAIN_MIN`.
pub const CALL_AGAIN_MAX: Duration = Duration::from_secs(60);
/// Moves in one record: each is some 700 bytes at most, with a reference and a reason of full
/// length.
pub const MOVES_MAX: usize = 1_024;
const _: () = assert!(CALL_LEGS_MAX <= MOVES_MAX);
const _: () = assert!(MOVES_MAX * (128 + 2 * TEXT_BYTES_MAX) <= RECORD_BYTES_MAX);
/// References of movements that are held of one leg, of each way: that a bank makes one payment
/// three times is rarely heard of. What is beyond it moves nothing and is a trouble.
pub const BOOKINGS_MAX: usize = 8;
/// Parties whose exposure one record releases, 68 bytes each (FORMATS, kind 58).
pub const RELEASES_MAX: usize = 8_192;
const _: () = assert!(RELEASES_MAX * 80 <= RECORD_BYTES_MAX);
/// Bytes of one answer, unpacked: a day's statement with a million entries. It is read from front
/// to back, so that others' entries take no memory.
pub const ANSWER_BYTES_MAX: usize = 1 << 30;
/// Bytes of an answer that is packed: text becomes a tenth.
pub const ANSWER_PACKED_BYTES_MAX: usize = 128 << 20;
/// Files in a ZIP archive: a day's statements of a company with some hundred accounts.
pub const ANSWER_FILES_MAX: usize = 1_000;
/// What one answer may say of our legs, one by one: it is held in memory together, some 1 KiB each
/// with the leg that it is about.
pub const ANSWER_REPORTS_MAX: usize = 500_000;
/// Troubles that one answer raises; the note beside it has all. A wrong file makes one of each leg.
pub const ANSWER_TROUBLES_MAX: usize = 256;
/// Files of one archive whose refusal is a trouble each; the others are one together, so that a
/// day's files of another format hide nothing in the list of troubles.
pub const ARCHIVE_TROUBLES_MAX: usize = 10;
/// First and longest wait before a file that could not be read, or put away, is tried again; each
/// wait is twice the one before. A person must act first, and sees why in `status` at once.
pub const FILE_AGAIN_MIN: Duration = Duration::from_millis(500);
/// See `FILE_AGAIN_MIN`.
pub const FILE_AGAIN_MAX: Duration = Duration::from_secs(30);
/// Troubles that are open at once, some kilobytes each at most: more than any desk looks through.
/// One that does not fit stands in the log and in its tray only, and `status` says so.
pub const TROUBLES_MAX: usize = 1 << 13;
/// Of these, room that is kept for those that say that money moved which should not have: while one
/// of them cannot be put on the list, what it rests on is not taken in, and nothing is batched or
/// approved.
pub const TROUBLES_RESERVED: usize = TROUBLES_MAX / 4;
const _: () = assert!(ANSWER_TROUBLES_MAX < TROUBLES_RESERVED);
/// Troubles that were taken away and are still known, so that the same word is not raised again.
pub const TROUBLES_KNOWN: usize = 1 << 13;
/// Bytes of a trouble's text, and of its source: a few sentences.
pub const TROUBLE_TEXT_BYTES_MAX: usize = 1_024;
/// Troubles in one record.
pub const TROUBLES_RECORD_MAX: usize = 256;
const _: () = assert!(TROUBLES_RECORD_MAX * (128 + 2 * TROUBLE_TEXT_BYTES_MAX) <= RECORD_BYTES_MAX);
/// Troubles that `status` and the report of a batch name; the list has all.
pub const TROUBLES_SHOWN: usize = 100;
/// Operators that may be configured: more than any desk has people, and each call is compared with
/// all.
pub const OPERATORS_MAX: usize = 64;
/// Bytes of an operator's name, which stands in records.
pub const OPERATOR_NAME_BYTES_MAX: usize = 64;
/// Keys that operators may ever have had, some 150 bytes each: what one of them signed is looked up
/// for ever. As many operators as there may be, each with a new key every month for five years.
pub const OPERATOR_KEYS_MAX: usize = 1 << 12;
const _: () = assert!(OPERATOR_KEYS_MAX >= OPERATORS_MAX * 12 * 5);
/// Identities that there may ever have been, revoked ones too, some 300 bytes each and 16 KiB with
/// the widest scope: a list of them is made at once. A hundred facilitators and owners whose
/// identities are made anew every month have room for six years.
pub const IDENTITIES_MAX: usize = 1 << 13;
/// Keys that one identity may ever have had: none of them comes back, so all are kept, 33 bytes
/// each. One a week for nineteen years.
pub const ROTATIONS_MAX: usize = 1_000;
/// Bytes of an identity's name: it stands in records where an operator's does.
pub const IDENTITY_NAME_BYTES_MAX: usize = OPERATOR_NAME_BYTES_MAX;
/// Bytes of the name in an identity's certificate: what the door reads of one.
pub const CERTIFICATE_NAME_BYTES_MAX: usize = 255;
/// Parties in each list of an identity's scope: a record holds both, and each voucher is looked up.
pub const SCOPE_PARTIES_MAX: usize = 256;
const _: () = assert!(2 * SCOPE_PARTIES_MAX * 32 + 1_024 <= RECORD_BYTES_MAX);
/// Bytes of a token that an identity's owner signs: a few claims and a signature.
pub const SIGNED_TOKEN_BYTES_MAX: usize = 2_048;
/// Longest life of such a token, in seconds: whoever finds one in a log can do nothing with it.
pub const SIGNED_TOKEN_SECONDS_MAX: i64 = 300;
/// How far its owner's clock and the engine's may be apart, in seconds.
pub const SIGNED_TOKEN_SKEW_SECONDS: i64 = 30;
/// How often it is looked whether somebody who makes a call may do so no more: who was revoked is
/// out within a second.
pub const ACCESS_LOOK_EVERY: Duration = Duration::from_millis(250);
/// Entries of the schedule: as many as there can be assets worth one.
pub const SCHEDULE_MAX: usize = 64;
/// How often the schedule looks at the clock and at the thresholds.
pub const SCHEDULE_TICK: Duration = Duration::from_millis(500);
/// How long what the schedule could not do rests before it is tried again: an operator must act
/// first.
pub const SCHEDULE_RETRY: Duration = Duration::from_mins(1);
/// How long an operator's call waits for what the settler can do at once: a file of 100,000 legs
/// takes a second or two, a provider may take longer, and then the answer says where things stand.
pub const SETTLER_PATIENCE: Duration = Duration::from_secs(5);
/// How often the settler looks for answers when nothing wakes it: a look costs some 20 us, and an
/// answer is taken in within a few hundredths of a second.
pub const SETTLER_TICK: Duration = Duration::from_millis(25);
/// Bytes of one piece of an exported file: a few thousand legs a piece, far below a gRPC message.
pub const EXPORT_CHUNK_BYTES: usize = 256 << 10;

/// Elements within each other in a bank's file; the deepest that the messages read here know is 15,
/// and what is wrapped into `SplmtryData` may go some deeper.
pub const ANSWER_DEPTH_MAX: usize = 64;
/// Bytes of one tag, comment or run of text in a bank's file: far above any of the messages read
/// here (500 characters), room for a document that is wrapped into `SplmtryData`.
pub const ANSWER_EVENT_BYTES_MAX: usize = 1 << 20;
/// Attributes of one element: the messages have one (`Ccy`), the root some namespaces.
pub const ANSWER_ATTRIBUTES_MAX: usize = 32;
/// Bytes of the text of an element that is read: eight times the longest that the messages know, so
/// that neither four-byte characters nor a generous bank are refused.
pub const ANSWER_TEXT_BYTES_MAX: usize = 4_096;
/// Bytes of what is said of one payment in words in which a leg's key is looked for: some hundred
/// lines.
pub const ANSWER_QUOTED_BYTES_MAX: usize = 16 << 10;
/// Guesses at keys in what one answer says in words that are looked up, a second or two. In honest
/// text hardly any group of words could be a key.
pub const ANSWER_GUESSES_MAX: u64 = 1_000_000;
/// Remarks on one of a bank's files that are kept; the rest is counted only.
pub const ANSWER_NOTES_MAX: usize = 1_000;
const _: () = assert!(ANSWER_TEXT_BYTES_MAX < ANSWER_EVENT_BYTES_MAX);

/// Failures that Import lists; the rest is counted only.
pub const IMPORT_FAILURES_MAX: usize = 1_000;
/// Import items handed to the sequencer at once.
pub const IMPORT_CHUNK: usize = 512;

/// Closed windows that may wait for their seal; beyond it CloseWindow is refused for the moment.
/// What a shard handed out at a cut is held until then, so this bounds memory.
pub const UNSEALED_WINDOWS_MAX: usize = 16;

/// How long a unary Submit waits for room among the vouchers under way before it is told
/// RESOURCE_EXHAUSTED. A Stream waits as long as it takes: flow control holds its client.
pub const SUBMIT_WAIT_MILLIS: u64 = 1_000;

/// How long a stop waits for streams to end before it closes their connections.
pub const STOP_WAIT_MILLIS: u64 = 10_000;

/// How long a log line waits for a reader that stands still, once: then lines are dropped until it
/// reads.
pub const LOG_PATIENCE: Duration = Duration::from_millis(20);
/// Bytes of a log line that are written at once: what a pipe that says that it is ready takes
/// without waiting (`PIPE_BUF`).
pub const LOG_PIECE_BYTES: usize = 4_096;

/// Longest life of a voucher unless the deployment is created with another: five years. Longer
/// lives mean channels that can never be forgotten.
pub const LIFETIME_SECONDS_DEFAULT: i64 = 5 * 366 * 24 * 3_600;
/// Longest life of a voucher that a deployment may be created with: a century, far below where
/// seconds in microseconds leave 64 bits.
pub const LIFETIME_SECONDS_MAX: i64 = 100 * 366 * 24 * 3_600;
const _: () = assert!(LIFETIME_SECONDS_DEFAULT <= LIFETIME_SECONDS_MAX);

/// How far timestamps follow a wall clock that was set ahead, beyond what the monotonic clock has
/// counted since the start: more than any correction of a clock that somebody looks after, and what
/// a wrong one expires too early is an hour of channels, not all of them for ever.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_hours(1);
/// How far the wall clock may be before the last record at a start: more than a wrong time zone
/// does; beyond it, some clock was surely wrong, then or now.
pub const CLOCK_START_BEHIND_MAX: Duration = Duration::from_hours(24);
/// How long after the last record a start may come without the operator's word that the clock is
/// right: an engine that was stopped for a year is rarer than a clock in a wrong year, which would
/// expire every channel for ever.
pub const CLOCK_START_AHEAD_MAX: Duration = Duration::from_hours(366 * 24);
/// Steps of the wall clock up to this are not worth a word: NTP makes them, and so does a thread
/// that was held up between reading one clock and the other.
pub const CLOCK_STEP_TOLD: Duration = Duration::from_secs(1);
/// Shortest time between two words about the clocks, so that one that is set all the time fills no
/// disk.
pub const CLOCK_NOTE_EVERY: Duration = Duration::from_secs(10);
/// How often it is said again that the wall clock is not followed.
pub const CLOCK_REMINDER_EVERY: Duration = Duration::from_hours(1);
const _: () = assert!(CLOCK_NOTE_EVERY.as_secs() < CLOCK_REMINDER_EVERY.as_secs());
const _: () = assert!(CLOCK_AHEAD_MAX.as_secs() < CLOCK_START_BEHIND_MAX.as_secs());

/// Payments in one transaction of the rail `evm`: with 400 recipients that are new to the token it
/// takes 10.6 M gas (measured, docs/RAIL-EVM.md), and chains cap a transaction at 2^24. The
/// contract refuses more.
pub const EVM_CHUNK_ITEMS: usize = 400;
/// Most gas that a transaction may ask for: EIP-7825.
pub const EVM_GAS_MAX: u64 = 1 << 24;
/// Largest payment of the rail `evm`, in the token's smallest units: 12 bytes carry it.
pub const EVM_AMOUNT_MAX: u128 = (1 << 96) - 1;
/// Most decimals of a token: one whole token must fit a payment. Tokens in use have 18 or fewer.
pub const EVM_DECIMALS_MAX: u32 = 28;
const _: () = assert!(10u128.pow(EVM_DECIMALS_MAX) <= EVM_AMOUNT_MAX);
/// Transactions that one chunk may be signed as, bumps of the fee and new nonces together: beyond
/// it something is wrong that another one does not mend, and a person must look.
pub const EVM_SIGNED_MAX: usize = 64;
/// Bytes of one answer of an EVM node: the receipt of 400 payments, each failed and told at length,
/// is 0.6 MB of JSON.
pub const EVM_ANSWER_BYTES_MAX: usize = 4 << 20;
/// Highest cap on the fee for one unit of gas that can be configured, in wei: 100,000 gwei. A
/// larger value is almost certainly a typo.
pub const EVM_FEE_CAP_MAX: u128 = 100_000 * 1_000_000_000;
/// Longest time that one call of an EVM node may be given.
pub const EVM_TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// Most blocks that can be configured for a transaction to wait before its fee is raised, or for a
/// block to count as final: about two weeks of 12 s.
pub const EVM_BLOCKS_MAX: u64 = 100_000;
/// Transactions of the engine's key that may wait to be mined: what every node keeps for one sender
/// (geth's default) however full its pool is.
pub const EVM_IN_FLIGHT_MAX: usize = 16;
