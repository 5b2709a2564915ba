//! What stands in the stream: one message a group of records, and three kinds that say who writes.
//! Little endian, described in `docs/FORMATS.md`, never changed without a new version.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | kind: 1 claim, 2 open, 3 group, 4 nothing |
//! | 2 | 2 | 0 |
//! | 4 | 4 | length of the body |
//! | 8 | 8 | epoch of who wrote it |
//! | 16 | 32 | link: the chain's value before it; zero in a claim |
//! | 48 | 32 | digest: BLAKE3 of bytes 0..48 and the body |
//!
//! The body of a group is its records, one behind the other; of a claim, the owner's name and
//! a number drawn for this one claim.

use bytes::Bytes;
use tallystick_ledger::types::Digest;

/// Version of the form.
pub const VERSION: u8 = 1;
/// Bytes before the body.
pub const HEAD: usize = 80;
const HASHED: usize = 48;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Somebody takes the stream over: appended unconditionally.
    Claim = 1,
    /// It has read up to its claim and goes on from there.
    Open = 2,
    /// Records.
    Group = 3,
    /// Takes a place, so that nothing else can.
    Nothing = 4,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Claim, Self::Open, Self::Group, Self::Nothing];
}

/// A message as it was read: whole, and not yet known to count.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// What it is.
    pub kind: Kind,
    /// The epoch of who wrote it.
    pub epoch: u64,
    /// The chain's value before it.
    pub link: Digest,
    /// Its own digest.
    pub digest: Digest,
    /// What follows the head.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let Some((head, body)) = bytes.split_first_chunk::<HEAD>() else {
            return Err(format!("it has {} bytes, less than a head", bytes.len()));
        };
        if head[0] != VERSION {
            return Err(format!("its version is {}, this engine reads {VERSION}", head[0]));
        }
        if digest(&head[..HASHED], body).0 != head[HASHED..] {
            return Err("its digest does not match its bytes".into());
        }
        let length = u32::from_le_bytes(field(head, 4));
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == head[1]);
        let (Some(kind), [0, 0]) = (kind, field(head, 2)) else {
            return Err("its head is that of no message".into());
        };
        if usize::try_from(length) != Ok(body.len()) {
            return Err("its length is not that of its body".into());
        }
        let epoch = u64::from_le_bytes(field(head, 8));
        let (link, digest) = (Digest(field(head, 16)), Digest(field(head, HASHED)));
        Ok(Self { kind, epoch, link, digest, body })
    }
}

/// A message ready to be sent, with its digest. The body is given in parts.
#[must_use]
pub fn seal(kind: Kind, epoch: u64, link: Digest, parts: &[&[u8]]) -> (Bytes, Digest) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = Vec::with_capacity(HEAD + length);
    bytes.extend_from_slice(&[VERSION, kind as u8, 0, 0]);
    bytes.extend_from_slice(&u32::try_from(length).expect("messages are bounded").to_le_bytes());
    bytes.extend_from_slice(&epoch.to_le_bytes());
    bytes.extend_from_slice(&link.0);
    bytes.extend_from_slice(&[0; HEAD - HASHED]);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    let digest = digest(&bytes[..HASHED], &bytes[HEAD..]);
    bytes[HASHED..HEAD].copy_from_slice(&digest.0);
    (bytes.into(), digest)
}

fn digest(head: &[u8], body: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("tallystick 2026-11 stream message v1");
    hasher.update(head).update(body);
    Digest(*hasher.finalize().as_bytes())
}

fn field<const N: usize>(head: &[u8; HEAD], offset: usize) -> [u8; N] {
    *head[offset..].first_chunk().expect("fields lie within the head")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Persisted bytes are for ever: this is what version 1 writes.
    #[test]
    fn golden_bytes_of_a_message() {
        let (bytes, _) = seal(Kind::Group, 7, Digest([9; 32]), &[b"he", b"llo"]);
        let golden =
            ["01 03 0000 05000000 0700000000000000", &"09".repeat(32), GOLDEN_DIGEST, "68656c6c6f"];
        let golden = golden.concat().replace(' ', "");
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), golden);
    }

    const GOLDEN_DIGEST: &str = "321f2094c90d757b947174705f40a3a1ab1d7a8e011928207a3129e2b89a1f7b";

    #[test]
    fn every_flipped_bit_and_every_truncation_is_found() {
        let (bytes, sealed) = seal(Kind::Claim, 1, Digest([0; 32]), &[b"node"]);
        let read = Message::read(&bytes).unwrap();
        assert_eq!(
            (read.kind, read.epoch, read.digest, read.body),
            (Kind::Claim, 1, sealed, &b"node"[..])
        );
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Message::read(&bytes).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(Message::read(&bytes[..length]).is_err());
        }
    }
}
