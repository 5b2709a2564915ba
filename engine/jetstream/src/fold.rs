//! Which messages of the stream count: the rule of every reader.
//!
//! A message counts only if its epoch is the highest that was claimed so far, and its link follows
//! the last one that counted; a claim only if its epoch is higher than all before. Everything else
//! is void: it was written by somebody who had lost the stream and did not know it yet. A message
//! that cannot be read, or is missing, is neither: then nobody knows, and reading ends.

use super::message::{Kind, Message};
use std::fmt;
use tallystick_journal::{Framed, Tail, split};
use tallystick_ledger::types::{Digest, Lsn};

/// Where a reader stands: behind which message, and what has counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// The last message that was read; 0 before the first.
    pub seq: u64,
    /// Its digest, whether it counts or not: by it the stream is known again.
    pub last: Digest,
    /// The highest epoch that was claimed.
    pub epoch: u64,
    /// The chain's value: every message that counts goes into it.
    pub chain: Digest,
    /// The journal's end.
    pub tail: Tail,
}

/// Why a message does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Void {
    /// Its writer had lost the stream.
    Late {
        /// Its epoch.
        epoch: u64,
    },
    /// It is a claim that came behind a later one: as where its writer had no answer, and claimed
    /// again. It harms nobody, and is no sign of a stranger.
    Outclaimed {
        /// Its epoch.
        epoch: u64,
    },
    /// Its writer owns the stream, and it does not follow what counted last.
    Unlinked,
}

/// What a message has led to.
#[derive(Debug)]
pub enum Took<'a> {
    /// Its writer owns the stream now: its name.
    Claim(&'a [u8]),
    /// Records.
    Group(Vec<Framed>),
    /// Nothing that is kept: the owner opened, or took a place.
    Passed,
    /// It does not count.
    Void(Void),
}

/// Where the stream cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// A message is missing.
    #[error(
        "message {seq} (behind record {lsn}) is missing: nobody has it who answers. Nothing was changed; compare the \
         replicas (`tallystick doctor`), and see docs/CLUSTER.md"
    )]
    Hole {
        /// Which.
        seq: u64,
        /// The last record before it.
        lsn: Lsn,
    },
    /// A message is not what was written, or was written by somebody else.
    #[error(
        "message {seq} (behind record {lsn}) cannot be used: {why}. Nothing was changed; see docs/CLUSTER.md"
    )]
    Unusable {
        /// Which.
        seq: u64,
        /// The last record before it.
        lsn: Lsn,
        /// What is wrong.
        why: String,
    },
}

impl fmt::Display for Void {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late { epoch } => write!(f, "its writer, of epoch {epoch}, had lost the stream"),
            Self::Outclaimed { epoch } => {
                write!(f, "it is a claim of epoch {epoch}, and a later one was there first")
            }
            Self::Unlinked => f.write_str("it does not follow what its writer wrote before"),
        }
    }
}

impl Stand {
    /// Before the first message.
    pub const START: Self =
        Self { seq: 0, last: Digest([0; 32]), epoch: 0, chain: Digest([0; 32]), tail: Tail::START };
    /// Its bytes in the data directory.
    pub const BYTES: usize = 8 + 32 + 8 + 32 + 8 + 32 + 32;

    /// Takes the message behind the last one.
    ///
    /// # Errors
    /// `Broken`: it is not the next one, or cannot be read.
    pub fn take<'a>(&mut self, seq: u64, bytes: &'a [u8]) -> Result<Took<'a>, Broken> {
        let lsn = self.tail.lsn;
        if seq != self.seq + 1 {
            return Err(Broken::Hole { seq: self.seq + 1, lsn });
        }
        let broken = |why: String| Broken::Unusable { seq, lsn, why };
        let message = Message::read(bytes).map_err(broken)?;
        let Message { kind, epoch, link, digest, body } = message;
        let took = if kind == Kind::Claim {
            if epoch > self.epoch {
                self.epoch = epoch;
                self.chain = claimed(self.chain, digest);
                Took::Claim(body)
            } else {
                Took::Void(Void::Outclaimed { epoch })
            }
        } else if epoch != self.epoch {
            if epoch > self.epoch {
                return Err(broken(format!("its epoch, {epoch}, was never claimed")));
            }
            Took::Void(Void::Late { epoch })
        } else if link != self.chain {
            Took::Void(Void::Unlinked)
        } else {
            let took = match kind {
                Kind::Group => Took::Group(self.records(body).map_err(broken)?),
                Kind::Claim | Kind::Open | Kind::Nothing => Took::Passed,
            };
            self.chain = digest;
            took
        };
        self.pass(seq, digest);
        Ok(took)
    }

    /// The records of a group, which follow the journal's end; that is behind them then.
    fn records(&mut self, body: &[u8]) -> Result<Vec<Framed>, String> {
        let records = split(body).ok_or("its body is not whole records")?;
        for record in &records {
            if record.lsn != self.tail.lsn.next() || record.link() != self.tail.link {
                return Err(format!("its record {} does not follow {}", record.lsn, self.tail.lsn));
            }
            self.tail = record.tail();
        }
        Ok(records)
    }

    /// Takes one's own message, which was acked and is known to follow.
    pub(super) fn pass_own(&mut self, digest: Digest, end: Option<Tail>) {
        self.chain = digest;
        self.tail = end.unwrap_or(self.tail);
        self.pass(self.seq + 1, digest);
    }

    fn pass(&mut self, seq: u64, digest: Digest) {
        (self.seq, self.last) = (seq, digest);
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let parts: [&[u8]; 7] = [
            &self.seq.to_le_bytes(),
            &self.last.0,
            &self.epoch.to_le_bytes(),
            &self.chain.0,
            &self.tail.lsn.0.to_le_bytes(),
            &self.tail.link.0,
            &self.tail.event_link.0,
        ];
        let mut at = 0;
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        bytes
    }

    /// Reads them.
    #[must_use]
    pub fn read(bytes: &[u8; Self::BYTES]) -> Self {
        fn at<const N: usize>(bytes: &[u8; Stand::BYTES], at: usize) -> [u8; N] {
            *bytes[at..].first_chunk().expect("parts lie within")
        }
        Self {
            seq: u64::from_le_bytes(at(bytes, 0)),
            last: Digest(at(bytes, 8)),
            epoch: u64::from_le_bytes(at(bytes, 40)),
            chain: Digest(at(bytes, 48)),
            tail: Tail {
                lsn: Lsn(u64::from_le_bytes(at(bytes, 80))),
                link: Digest(at(bytes, 88)),
                event_link: Digest(at(bytes, 120)),
            },
        }
    }
}

/// A claim links to nothing, for it is made before its writer has read; what counted before it goes
/// into what its writer must know to go on.
fn claimed(chain: Digest, claim: Digest) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("tallystick 2026-11 stream claim v1");
    hasher.update(&chain.0).update(&claim.0);
    Digest(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests;
