//! The journal on NATS JetStream: one stream of at least three replicas is the log, and each engine
//! keeps a copy of it in its own data directory, from which it reads.
//!
//! Owns what is written into the stream (`message`), which of it counts (`fold`), who may write
//! (`owner`), and what streams and servers must be like (`fit`). Never knows what a record means.
//! Consensus is the servers'.
//!
//! `StreamLog` is a `Log` like any other: an append is durable when a quorum of the servers has it
//! on disk. One group is in flight at a time, by type: `append` takes the log mutably and returns
//! when the group's fate is known.

#![forbid(unsafe_code)]

mod ahead;
mod beside;
mod bucket;
mod copy;
mod doctor;
mod error;
mod fit;
mod fold;
mod lease;
pub mod limits;
mod link;
mod log;
mod message;
mod monitor;
mod opening;
mod owner;
mod real;
mod settings;
mod trying;
mod wire;

pub use ahead::join;
pub use beside::Beside;
pub use bucket::Held;
pub use copy::is_copy;
pub use doctor::{Seen, examine};
pub use error::StreamError;
pub use fold::{Broken, Stand, Took, Void};
pub use lease::{Candidate, Holder, Lease, Who, lease};
pub use link::{Link, Sent};
pub use log::StreamLog;
pub use message::{Kind, Message};
pub use opening::{Followed, Start, follow, open};
pub use owner::Owner;
pub use settings::{Settings, Tls};
pub use wire::{VisitMessage, Wire};

/// The stream as the engine makes it.
#[must_use]
pub fn stream_config(settings: &Settings) -> async_nats::jetstream::stream::Config {
    fit::stream(settings)
}

/// The bytes of a message; without a `link` it follows nothing.
#[must_use]
pub fn sealed(
    kind: Kind,
    epoch: u64,
    link: Option<tallystick_ledger::types::Digest>,
    parts: &[&[u8]],
) -> Vec<u8> {
    let none = tallystick_ledger::types::Digest([0; 32]);
    message::seal(kind, epoch, link.unwrap_or(none), parts).0.to_vec()
}
