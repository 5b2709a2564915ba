//! Why the stream cannot be used. Every text says what is wrong and what to do.

use super::fold::Broken;
use tallystick_journal::JournalError;
use tallystick_ledger::types::Lsn;

/// A stream that cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum StreamError {
    #[error(
        "no server of {servers} could be reached within {seconds} s ({why}); are they running, and are address, \
         credentials and certificates right?"
    )]
    Unreachable { servers: String, seconds: u64, why: String },
    #[error("{what}: {why}")]
    Request { what: String, why: String },
    #[error(
        "there is no stream {stream} on these servers, and this directory holds a ledger of {records} records: are \
         these the right servers? Nothing was changed"
    )]
    NoStream { stream: String, records: u64 },
    #[error("stream {stream} is not fit for a journal: {why}")]
    Unfit { stream: String, why: String },
    #[error("server {server} is not fit for a journal: {why}")]
    UnfitServer { server: String, why: String },
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error(
        "message {seq} is not handed out ({why}): nobody knows yet whether it is there. Start the servers that are \
         missing; a quorum is needed"
    )]
    NoAnswer { seq: u64, why: String },
    #[error(
        "another engine has claimed it: epoch {found} by {by}, this one held epoch {own}. Nothing more is acked \
         here. Started again, it stands by"
    )]
    Fenced { own: u64, found: u64, by: String },
    #[error(
        "stream {stream} was last written by another engine ({by}, epoch {found}), and this directory last wrote it in \
         epoch {own}: what that engine keeps beside the stream (windows, keys of names, calls) is not here. Start \
         the engine on its own directory"
    )]
    OtherOwner { stream: String, own: u64, found: u64, by: String },
    #[error(
        "this directory holds a ledger of its own with {records} records, which never was in stream {stream}: a \
         ledger begins in a stream, or stays in its directory. Give a new directory, or leave [journal] out"
    )]
    NoCopy { stream: String, records: u64 },
    #[error(
        "this directory is a copy of another stream than {stream}: {why}. Name the stream and the servers it was \
         written with; nothing was changed"
    )]
    OtherStream { stream: String, why: String },
    #[error(
        "this directory holds record {here}, and stream {stream} ends with record {there}: it is ahead of its log. \
         Are these the right servers, with all their disks? Nothing was changed"
    )]
    Ahead { stream: String, here: Lsn, there: Lsn },
    #[error(
        "this directory was restored from a backup that ends with record {here}, and stream {stream} goes on to \
         record {there}: what was kept beside those records (windows, keys of names, calls) is missing in it. Start \
         the engine on the directory that wrote them"
    )]
    RestoredBehind { stream: String, here: Lsn, there: Lsn },
    #[error(
        "stream {stream} ends with message {last} and message {acked} was acked: the servers have lost what they \
         had made durable. Stop, keep all disks as they are, and see docs/CLUSTER.md"
    )]
    Lost { stream: String, last: u64, acked: u64 },
    #[error(
        "an append was acked as message {got}{}, expected was message {expected}: the servers do not do what is \
         asked of them; see docs/CLUSTER.md",
        if *.duplicate { " and as one that was known" } else { "" }
    )]
    Strange { got: u64, expected: u64, duplicate: bool },
    #[error(
        "record {lsn} does not follow record {after}, with which the stream ends: nothing was appended. Start the \
         engine again, so that its copy takes from the stream what it misses"
    )]
    NotNext { lsn: Lsn, after: Lsn },
    #[error(
        "the stream has a record {lsn} of epoch {epoch}, which is this engine's, and this engine did not write it: \
         nothing more is acked here. Find out who else may write into the stream"
    )]
    Foreign { epoch: u64, lsn: Lsn },
    #[error(
        "no append was acknowledged for {seconds} s ({why}); what was acked is durable. When a quorum of the \
         servers is back, start the engine again"
    )]
    Outage { seconds: u64, why: String },
    #[error(
        "the epoch in bucket {bucket} cannot be raised: {why}; if the bucket was removed, what is written there \
         anew must be above the stream's last epoch, {last}"
    )]
    Epoch { bucket: String, last: u64, why: String },
    #[error(
        "{count} messages of the last owner (epoch {epoch}) do not follow what it wrote before: nobody may write \
         behind that until a person has looked at the stream; the first is message {first}"
    )]
    Unlinked { count: u64, epoch: u64, first: u64 },
    #[error(
        "this node stands by: what is kept for all nodes (keys of names, calls, payments) is written by the owner \
         alone. This is a bug: nothing may be asked of a standby that changes it"
    )]
    StandsBy,
    #[error(
        "bucket {bucket} does not hold yet what an owner keeps beside the journal (keys of names, calls, payments), \
         and it is not all in this directory: start the engine once on the directory that wrote the stream last; it \
         puts it there"
    )]
    NotFilled { bucket: String },
    #[error(
        "message {seq} of stream {stream} is missing: nobody has it who answers. Nothing was changed; compare the \
         replicas (`tallystick doctor`), and see docs/CLUSTER.md"
    )]
    Missing { stream: String, seq: u64 },
    #[error(
        "message {seq} of stream {stream} cannot be used: {why}. Nothing was changed; see docs/CLUSTER.md"
    )]
    Unusable { stream: String, seq: u64, why: String },
    #[error(
        "message {seq} of stream {stream} is in the place of this engine's own, and another one wrote it: nothing more \
         is acked here. Find out who else may write into the stream"
    )]
    Stranger { stream: String, seq: u64 },
    #[error(
        "an append to stream {stream} has failed, and what came of it is found out by the next start"
    )]
    HasFailed { stream: String },
    #[error(
        "a page of {bytes} bytes for table {table} does not fit into a message of {most}: raise max_payload on every \
         server, and restart them one by one"
    )]
    TooLarge { table: &'static str, bytes: usize, most: usize },
    #[error("the copy of it in the data directory: {0}")]
    Copy(JournalError),
}

impl From<StreamError> for JournalError {
    fn from(error: StreamError) -> Self {
        if let StreamError::Copy(error) = error {
            return error;
        }
        let text = error.to_string();
        if let StreamError::Fenced { .. } = error { Self::Fenced(text) } else { Self::Stream(text) }
    }
}
