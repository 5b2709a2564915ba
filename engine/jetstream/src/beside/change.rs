//! What stands in the streams beside the journal's: one message a page, or a list of changes.
//! Little endian, described in `docs/FORMATS.md`, never changed without a new version.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | kind: 1 cut, 2 page, 3 gone, 4 destroyed, 5 changes, 6 about to destroy |
//! | 2 | 2 | 0 |
//! | 4 | 4 | length of the body |
//! | 8 | 8 | epoch of who wrote it |
//! | 16 | 32 | digest: BLAKE3 of bytes 0..16, the subject's length u32, the subject, and the body |
//!
//! The body of a cut is its writer's name, of a page the page, of changes one change behind the
//! other: 1, length of the key u32, length of the page u32, key, page; or 2, two lengths u32, and
//! the keys from which and up to which pages are removed. The others have none.

use bytes::Bytes;
use tallystick_journal::Table;

/// Version of the form.
const VERSION: u8 = 1;
const HASHED: usize = 16;
/// Bytes before the body.
pub(super) const HEAD: usize = HASHED + 32;
/// Bytes of a change beside its keys and pages.
pub(super) const CHANGE_HEAD: usize = 9;
const PUT: u8 = 1;
const REMOVE: u8 = 2;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Somebody writes from here on, and nobody before it does any more.
    Cut = 1,
    /// The page of the key in the subject.
    Page = 2,
    /// There is no page of that key any more.
    Gone = 3,
    /// The same, and nothing of it may be left anywhere.
    Destroyed = 4,
    /// Changes of the table in the subject, in their order.
    Changes = 5,
    /// The page of some key is about to be erased from the stream.
    Destroying = 6,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Cut, Self::Page, Self::Gone, Self::Destroyed, Self::Changes, Self::Destroying];
}

/// A message as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub kind: Kind,
    /// Of who wrote it.
    pub epoch: u64,
    pub body: &'a [u8],
}

/// A message ready to be sent.
pub(super) fn seal(kind: Kind, epoch: u64, subject: &str, body: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.extend_from_slice(&[VERSION, kind as u8, 0, 0]);
    bytes.extend_from_slice(&length(body).to_le_bytes());
    bytes.extend_from_slice(&epoch.to_le_bytes());
    let digest = digest(&bytes, subject, body);
    bytes.extend_from_slice(&digest);
    bytes.extend_from_slice(body);
    bytes.into()
}

/// Reads one that was found under a subject.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read<'a>(subject: &str, bytes: &'a [u8]) -> Result<Message<'a>, String> {
    let Some((head, body)) = bytes.split_first_chunk::<HEAD>() else {
        return Err(format!("it has {} bytes, less than a head", bytes.len()));
    };
    if head[0] != VERSION {
        return Err(format!("its version is {}, this engine reads {VERSION}", head[0]));
    }
    if digest(&head[..HASHED], subject, body) != head[HASHED..] {
        return Err("its digest does not match its bytes and its subject".into());
    }
    let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == head[1]);
    let (Some(kind), [0, 0], true) =
        (kind, [head[2], head[3]], head[4..8] == length(body).to_le_bytes())
    else {
        return Err("its head is that of no message".into());
    };
    let epoch = u64::from_le_bytes(*head[8..].first_chunk().expect("fields lie within the head"));
    Ok(Message { kind, epoch, body })
}

fn digest(head: &[u8], subject: &str, body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("tallystick 2026-11 beside message v1");
    hasher.update(head).update(&length(subject.as_bytes()).to_le_bytes());
    hasher.update(subject.as_bytes()).update(body);
    *hasher.finalize().as_bytes()
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("messages are bounded")
}

/// One change of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Put { key: Vec<u8>, page: Vec<u8> },
    Remove { from: Vec<u8>, to: Vec<u8> },
}

impl Change {
    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let ((_, a, b), head) = (self.parts(), CHANGE_HEAD);
        head + a.len() + b.len()
    }

    fn parts(&self) -> (u8, &[u8], &[u8]) {
        match self {
            Self::Put { key, page } => (PUT, key, page),
            Self::Remove { from, to } => (REMOVE, from, to),
        }
    }

    /// Its bytes, behind what is there.
    pub fn write(&self, into: &mut Vec<u8>) {
        let (kind, first, second) = self.parts();
        into.push(kind);
        into.extend_from_slice(&length(first).to_le_bytes());
        into.extend_from_slice(&length(second).to_le_bytes());
        into.extend_from_slice(first);
        into.extend_from_slice(second);
    }

    /// All changes of a body; `None` where it is none.
    pub fn read_all(mut body: &[u8]) -> Option<Vec<Self>> {
        let mut found = Vec::new();
        while !body.is_empty() {
            let (head, rest) = body.split_first_chunk::<CHANGE_HEAD>()?;
            let length = |at: usize| {
                let field = head[at..].first_chunk().expect("fields lie within the head");
                usize::try_from(u32::from_le_bytes(*field)).ok()
            };
            let (first, rest) = rest.split_at_checked(length(1)?)?;
            let (second, rest) = rest.split_at_checked(length(5)?)?;
            let (first, second) = (first.to_vec(), second.to_vec());
            found.push(match head[0] {
                PUT => Self::Put { key: first, page: second },
                REMOVE => Self::Remove { from: first, to: second },
                _ => return None,
            });
            body = rest;
        }
        Some(found)
    }
}

/// The subject of a key, in a stream whose subjects begin so.
pub(super) fn subject(begin: &str, table: Table, key: &[u8]) -> String {
    format!("{begin}{}.{}", table.name(), data_encoding::HEXLOWER.encode(key))
}

/// The other way round.
pub(super) fn key_of(begin: &str, subject: &str) -> Option<(Table, Vec<u8>)> {
    let (name, key) = subject.strip_prefix(begin)?.split_once('.')?;
    let table = Table::ALL.into_iter().find(|table| table.name() == name)?;
    Some((table, data_encoding::HEXLOWER.decode(key.as_bytes()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: &str = "$KV.j-beside.calls.00ff";

    /// Persisted bytes are for ever: this is what version 1 writes.
    #[test]
    fn golden_bytes_of_a_message_and_of_changes() {
        let golden = ["01 02 0000 05000000 0700000000000000", GOLDEN_DIGEST, "68656c6c6f"].concat();
        let bytes = seal(Kind::Page, 7, SUBJECT, b"hello");
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), golden.replace(' ', ""));
        let mut body = Vec::new();
        Change::Put { key: vec![1, 2], page: vec![3] }.write(&mut body);
        Change::Remove { from: vec![], to: vec![9] }.write(&mut body);
        let golden = "01 02000000 01000000 0102 03  02 00000000 01000000 09".replace(' ', "");
        assert_eq!(data_encoding::HEXLOWER.encode(&body), golden);
    }

    const GOLDEN_DIGEST: &str = "f8b2fca0d2ca0a775270ec7fb9f12ed9d3cc5fe7a315437f143b2d5fc0913e1d";

    #[test]
    fn every_flipped_bit_every_truncation_and_another_subject_is_found() {
        let bytes = seal(Kind::Page, 9, SUBJECT, b"a page");
        let read_back = read(SUBJECT, &bytes).unwrap();
        assert_eq!(read_back, Message { kind: Kind::Page, epoch: 9, body: b"a page" });
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read(SUBJECT, &bytes).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(read(SUBJECT, &bytes[..length]).is_err());
        }
        assert!(read("$KV.j-beside.calls.00fe", &bytes).is_err());
    }

    #[test]
    fn changes_are_read_back_whole_or_not_at_all() {
        let changes = [
            Change::Put { key: vec![7; 40], page: vec![8; 300] },
            Change::Remove { from: vec![], to: vec![255; 16] },
            Change::Put { key: vec![1], page: vec![] },
        ];
        let mut body = Vec::new();
        changes.iter().for_each(|change| change.write(&mut body));
        assert_eq!(body.len(), changes.iter().map(Change::bytes).sum::<usize>());
        assert_eq!(Change::read_all(&body).unwrap(), changes);
        let ends: Vec<usize> =
            (0..body.len()).filter(|n| Change::read_all(&body[..*n]).is_some()).collect();
        assert_eq!(ends, [0, changes[0].bytes(), changes[0].bytes() + changes[1].bytes()]);
        body[0] = 3;
        assert_eq!(Change::read_all(&body), None);
    }

    #[test]
    fn a_subject_names_its_table_and_key() {
        for table in Table::ALL {
            for key in [&[0u8][..], b"root", &[255; 44]] {
                let of = subject("$KV.j-beside.", table, key);
                assert_eq!(key_of("$KV.j-beside.", &of), Some((table, key.to_vec())), "{of}");
            }
        }
        for none in
            ["$KV.j-beside.cut", "$KV.other.calls.00", "$KV.j-beside.calls.0", "$KV.j-beside.x.00"]
        {
            assert_eq!(key_of("$KV.j-beside.", none), None, "{none}");
        }
    }
}
