//! Why the engine is not there, in words for whoever started it.

use super::desks::NotOpened;
use crate::api::TlsError;
use crate::backup::BackupError;
use crate::files;
use crate::journal::JournalError;
use crate::pipeline::{ClockRefused, NotDone};
use crate::sign::EngineKeyError;
use crate::types::NetworkId;
use crate::vault::{RootKeyError, VaultError};
use crate::verify::Unavailable;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the engine did not start, or stopped on its own.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ServeError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Clock(#[from] ClockRefused),
    #[error(transparent)]
    Verify(#[from] Unavailable),
    #[error(transparent)]
    EngineKey(#[from] EngineKeyError),
    #[error(transparent)]
    RootKey(#[from] RootKeyError),
    #[error("what the last start left of erasing a party cannot be finished: {0}")]
    Erasing(VaultError),
    #[error("the engine's key cannot be journaled: {0}")]
    EngineKeyNotSet(NotDone),
    #[error("what the configuration says of four eyes cannot be journaled: {0}")]
    EyesNotSet(NotDone),
    #[error("that this ledger was restored from a copy cannot be journaled: {0}")]
    HoldNotTold(NotDone),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(
        "clearing account of rail {rail}: {why}; correct [clearing.{rail}] in the configuration"
    )]
    Clearing { rail: String, why: String },
    #[error(
        "there is no ledger in {}: is it the right directory, and is it mounted? The configuration names \
         network {network}, so no empty ledger is started in its place; to create a new one, start once \
         with --init",
        .dir.display()
    )]
    NoLedger { dir: PathBuf, network: NetworkId },
    #[error(
        "{} is the copy of a journal that is kept in a stream: without it acks would not be what the stream holds. \
         Give the [journal] that it was written with",
        .dir.display()
    )]
    WithoutStream { dir: PathBuf },
    #[error(
        "the process may open {found} files, and needs {least} at least; raise the limit (ulimit -Hn, or \
         LimitNOFILE= of the service)"
    )]
    FewFiles { found: u64, least: u64 },
    #[error(
        "the data directory was created with a longest voucher life of {found} s, not {wanted} s; it \
         holds for the whole life of a network: leave the setting out, or start a new directory"
    )]
    OtherLifetime { found: i64, wanted: i64 },
    #[error(
        "cannot listen on {addr}: {why}; is another engine there? Choose another with --listen"
    )]
    Listen { addr: SocketAddr, why: std::io::Error },
    #[error(
        "{addr} can be reached from other machines, and there are no operators, so that anybody there could operate \
         the engine: make the first one (`tallystick access bootstrap`), add [operators] to the configuration, or use \
         a loopback address like 127.0.0.1:{port}", port = .addr.port()
    )]
    NobodyOperates { addr: SocketAddr },
    #[error(
        "the first operator that {} names cannot be made: {why}; take the file away, or make it anew (`tallystick \
         access bootstrap`)", .path.display()
    )]
    Bootstrap { path: PathBuf, why: String },
    #[error(
        "operators.{name} has the name of an identity, or of one that was revoked; give that operator another name \
         in the configuration"
    )]
    NameTwice { name: String },
    #[error("[webhooks] ca_file: {why}")]
    WebhookRoots { why: String },
    #[error("metrics_token_file: {why}")]
    MetricsToken { why: String },
    #[error("listener for {kind}: {why}")]
    Tls { kind: &'static str, why: TlsError },
    #[error("a listener ended by itself ({why}), so the engine stops; start it again")]
    ListenerEnded { why: String },
    #[error(
        "the journal was handed over as somebody asked for it{}; started again, this node stands by",
        to.as_ref().map_or_else(String::new, |to| format!(", to {to}"))
    )]
    HandedOver { to: Option<String> },
    #[error(
        "{} was restored from a backup, and another node owns the journal: give this node an empty directory, which is \
         filled from the stream", .dir.display()
    )]
    RestoredStandby { dir: PathBuf },
    #[error(
        "archive_dir is set, and this is a node among others: the nodes of one journal do not share archives yet, so what \
         left for one node's archive would be lost to the others. Leave archive_dir out"
    )]
    ArchivesInCluster,
    #[error(
        "[rail.{rail}] is set up, and this is a node among others: name its outbox, pay_ins and inbox, each a folder that \
         all nodes see, outside of the data directory, so that a file that one node has staged is found by the next"
    )]
    FoldersInCluster { rail: &'static str },
    #[error(
        "this node has taken the journal over, and the engine's key in force has not named this node's key as one that \
         may follow it. If the machine of the key in force is lost, copy its file tallystick.key into {}; else start \
         its node again",
        .dir.display()
    )]
    NotNamed { dir: PathBuf },
    #[error("the ready file {}", files::why(path, why))]
    ReadyFile { path: PathBuf, why: std::io::Error },
    #[error(
        "the audit log cannot be written in {}: {why}; make that folder writable, or name another with --audit-log",
        .dir.display()
    )]
    AuditLog { dir: PathBuf, why: std::io::Error },
    #[error(transparent)]
    Desk(#[from] NotOpened),
    #[error("the system gives no {what}: {why}")]
    System { what: &'static str, why: String },
}
