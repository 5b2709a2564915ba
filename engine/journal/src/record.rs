//! The framing of a record: 128 bytes of header, then the body. Little endian, described in
//! `docs/FORMATS.md`, never changed without a new version.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | format version, 5 |
//! | 2 | 1 | kind |
//! | 3 | 1 | 0 |
//! | 4 | 4 | epoch: which start of the engine wrote it; the first is 1 |
//! | 8 | 8 | lsn |
//! | 16 | 8 | timestamp, i64 microseconds since 1970 UTC |
//! | 24 | 4 | count: vouchers and entries in a frame, else 1 |
//! | 28 | 4 | body length |
//! | 32 | 32 | link: digest of the record before; zero in the first |
//! | 64 | 32 | event link: digest of the last record before it that is no frame; zero in the first |
//! | 96 | 32 | digest: BLAKE3 of bytes 0..96 and the body |
//!
//! Two links make two chains: one through every record, and one through the events alone, which can
//! still be followed when frames are no longer kept.

use super::{JournalError, Tail};
use tallystick_ledger::limits::RECORD_BYTES_MAX;
use tallystick_ledger::types::{Digest, History, Lsn, RecordHasher, Timestamp};

/// Version of the framing.
pub const FORMAT_VERSION: u16 = 5;
/// Bytes before a record's body.
pub const HEADER_BYTES: usize = 128;
const HASHED_BYTES: usize = 96;
/// The kind of a record that holds a frame's vouchers.
pub(super) const FRAME: u8 = 2;
/// The kind of a record that holds a frame's vouchers, and by how much each is to raise its total.
pub(super) const CHARGES: u8 = 3;
/// The kind of a record that holds a frame with bundles. Every kind but these three is an event.
pub(super) const BUNDLES: u8 = 4;

/// Whether a record of this kind holds a frame.
pub(super) fn is_frame(kind: u8) -> bool {
    matches!(kind, FRAME | CHARGES | BUNDLES)
}

/// The position that bytes name, if they have the form of a record: a header, and a body as long as
/// that says.
pub(super) fn position_of(bytes: &[u8]) -> Option<Lsn> {
    let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let length = u32::from_le_bytes(field(header, 28));
    (usize::try_from(length) == Ok(body.len())).then(|| Lsn(u64::from_le_bytes(field(header, 8))))
}

/// A record as read back: checked, its body not yet understood.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its position.
    pub lsn: Lsn,
    /// When it was sequenced.
    pub at: Timestamp,
    /// Which start of the engine wrote it.
    pub epoch: u32,
    /// What its body is.
    pub kind: u8,
    /// Vouchers and entries in a frame, else 1.
    pub count: u32,
    /// Its body.
    pub body: &'a [u8],
    /// Its digest.
    pub digest: Digest,
}

impl Record<'_> {
    /// Its position and digest; of an event they cover all events up to it.
    #[must_use]
    pub fn history(&self) -> History {
        History { lsn: self.lsn, digest: self.digest }
    }
}

/// A record ready to be written.
#[derive(Debug, Clone)]
pub struct Framed {
    /// Its position.
    pub lsn: Lsn,
    /// Header and body.
    pub bytes: Vec<u8>,
}

impl Framed {
    /// What its body is.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.bytes[2]
    }

    /// The digest of the record before it, as its head says.
    #[must_use]
    pub fn link(&self) -> Digest {
        Digest(field(self.bytes.first_chunk().expect("a record has a header"), 32))
    }

    /// The journal's end once this record is its last.
    #[must_use]
    pub fn tail(&self) -> Tail {
        tail_of(self.lsn, &self.bytes).expect("a record has a header")
    }
}

/// A log's end where these bytes are its last record; `None` where they are less than a header.
pub(super) fn tail_of(lsn: Lsn, bytes: &[u8]) -> Option<Tail> {
    let header = bytes.first_chunk()?;
    let digest = Digest(field(header, HASHED_BYTES));
    let event_link = if is_frame(header[2]) { Digest(field(header, 64)) } else { digest };
    Some(Tail { lsn, link: digest, event_link })
}

/// The records that stand one behind the other in these bytes, as their heads say; `None` where
/// something else is left. What they hold is for a `Chain` to check.
#[must_use]
pub fn split(mut bytes: &[u8]) -> Option<Vec<Framed>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let body = usize::try_from(u32::from_le_bytes(field(header, 28))).ok()?;
        let (record, rest) = bytes.split_at_checked(HEADER_BYTES + body)?;
        let lsn = Lsn(u64::from_le_bytes(field(header, 8)));
        records.push(Framed { lsn, bytes: record.to_vec() });
        bytes = rest;
    }
    Some(records)
}

/// The chain of records: frames the next one, or checks that the next one follows.
pub struct Chain {
    hasher: RecordHasher,
    tail: Tail,
    at: Timestamp,
    epoch: u32,
}

impl Chain {
    /// Before the first record.
    #[must_use]
    pub fn start() -> Self {
        Self::after(Tail::START, Timestamp(i64::MIN))
    }

    /// After a record that is known to have been followed before.
    #[must_use]
    pub fn after(tail: Tail, at: Timestamp) -> Self {
        Self { hasher: RecordHasher::default(), tail, at, epoch: 0 }
    }

    /// The last record.
    #[must_use]
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// The last record's timestamp.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Frames the next record. `body` is given in parts, so that vouchers need not be copied
    /// before.
    #[must_use]
    pub fn frame(
        &mut self,
        epoch: u32,
        at: Timestamp,
        kind: u8,
        count: u32,
        parts: &[&[u8]],
    ) -> Framed {
        assert!(at >= self.at, "record timestamps never go back");
        let lsn = self.tail.lsn.next();
        let length: usize = parts.iter().map(|part| part.len()).sum();
        assert!(length <= RECORD_BYTES_MAX, "a record of {length} bytes");
        let length = u32::try_from(length).expect("bounded above");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + length as usize);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&[kind, 0]);
        bytes.extend_from_slice(&epoch.to_le_bytes());
        bytes.extend_from_slice(&lsn.0.to_le_bytes());
        bytes.extend_from_slice(&at.0.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&self.tail.link.0);
        bytes.extend_from_slice(&self.tail.event_link.0);
        bytes.extend_from_slice(&[0; 32]);
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        let digest = self.hasher.digest(&bytes[..HASHED_BYTES], &bytes[HEADER_BYTES..]);
        bytes[HASHED_BYTES..HEADER_BYTES].copy_from_slice(&digest.0);
        let framed = Framed { lsn, bytes };
        self.tail = framed.tail();
        self.at = at;
        framed
    }

    /// Checks that `bytes`, found at `lsn`, are whole and follow the last record.
    ///
    /// # Errors
    /// `Damaged` with the position and what is wrong.
    pub fn follow<'a>(&mut self, lsn: Lsn, bytes: &'a [u8]) -> Result<Record<'a>, JournalError> {
        let expected = self.tail.lsn.next();
        if lsn != expected {
            let why = format!("it is missing; the next one found is {lsn}");
            return Err(JournalError::Damaged { lsn: expected, why });
        }
        let (record, links) = self.open(lsn, bytes)?;
        if links.record != self.tail.link {
            let why = "it does not link to the record before it".into();
            return Err(JournalError::Damaged { lsn, why });
        }
        self.accept(record, links)
    }

    /// As `follow`, where only events are kept: frames may lie between the last record and this
    /// event.
    ///
    /// # Errors
    /// `Damaged` with the position and what is wrong.
    pub fn follow_event<'a>(
        &mut self,
        lsn: Lsn,
        bytes: &'a [u8],
    ) -> Result<Record<'a>, JournalError> {
        if lsn <= self.tail.lsn {
            let why = format!("it comes after record {}", self.tail.lsn);
            return Err(JournalError::Damaged { lsn, why });
        }
        let (record, links) = self.open(lsn, bytes)?;
        if is_frame(record.kind) {
            let why = "it is a frame among the events".into();
            return Err(JournalError::Damaged { lsn, why });
        }
        self.accept(record, links)
    }

    /// Reads one record by itself: that it is whole, not what it follows.
    ///
    /// # Errors
    /// `Damaged` with the position and what is wrong.
    pub fn single<'a>(&self, lsn: Lsn, bytes: &'a [u8]) -> Result<Record<'a>, JournalError> {
        self.open(lsn, bytes).map(|(record, _)| record)
    }

    /// Checks what can be known of a record alone.
    fn open<'a>(&self, lsn: Lsn, bytes: &'a [u8]) -> Result<(Record<'a>, Links), JournalError> {
        let damaged = |why: String| Err(JournalError::Damaged { lsn, why });
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return damaged(format!("it has {} bytes, less than a header", bytes.len()));
        };
        let digest = self.hasher.digest(&header[..HASHED_BYTES], body);
        if digest.0 != header[HASHED_BYTES..] {
            return damaged("its digest does not match its bytes".into());
        }
        // The digest holds, so from here on the bytes are what some engine wrote.
        let version = u16::from_le_bytes(field(header, 0));
        if version != FORMAT_VERSION {
            let (found, wanted) = (version.to_string(), FORMAT_VERSION);
            return Err(JournalError::OtherFormat { found, wanted });
        }
        if Lsn(u64::from_le_bytes(field(header, 8))) != lsn {
            return damaged("it names another position".into());
        }
        if u32::from_le_bytes(field(header, 28)) as usize != body.len() {
            return damaged("its length is not that of its body".into());
        }
        let record = Record {
            lsn,
            at: Timestamp(i64::from_le_bytes(field(header, 16))),
            epoch: u32::from_le_bytes(field(header, 4)),
            kind: header[2],
            count: u32::from_le_bytes(field(header, 24)),
            body,
            digest,
        };
        if header[3] != 0 || (!is_frame(record.kind) && record.count != 1) {
            return damaged("its head is not that of an event or a frame".into());
        }
        let links = Links { record: Digest(field(header, 32)), event: Digest(field(header, 64)) };
        Ok((record, links))
    }

    /// Takes a record as the last one, if it can come after what was the last one.
    fn accept<'a>(&mut self, record: Record<'a>, links: Links) -> Result<Record<'a>, JournalError> {
        let damaged = |why: &str| Err(JournalError::Damaged { lsn: record.lsn, why: why.into() });
        if links.event != self.tail.event_link {
            return damaged("it does not link to the event before it");
        }
        if record.at < self.at {
            return damaged("its timestamp is before that of the record before it");
        }
        if record.epoch < self.epoch {
            return damaged("it is of an earlier start of the engine than the record before it");
        }
        let event_link = if is_frame(record.kind) { links.event } else { record.digest };
        self.tail = Tail { lsn: record.lsn, link: record.digest, event_link };
        (self.at, self.epoch) = (record.at, record.epoch);
        Ok(record)
    }
}

struct Links {
    record: Digest,
    event: Digest,
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], offset: usize) -> [u8; N] {
    *header[offset..].first_chunk().expect("fields lie within the header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_records() -> (Framed, Framed) {
        let mut chain = Chain::start();
        let first = chain.frame(1, Timestamp(10), 2, 1, &[b"he", b"llo"]);
        let second = chain.frame(1, Timestamp(10), 3, 1, &[]);
        (first, second)
    }

    /// Persisted bytes are for ever: this is what version 5 writes.
    #[test]
    fn golden_bytes_of_a_record() {
        let (first, _) = two_records();
        let golden = [
            "0500 02 00 01000000",
            "0100000000000000 0a00000000000000 01000000 05000000",
            &"00".repeat(64),
            "4f24c546e5789741cca773b8cef6d64d4f67011948b589b8269fe1a165c4c8f1",
            "68656c6c6f",
        ];
        let golden = golden.concat().replace(' ', "");
        assert_eq!(data_encoding::HEXLOWER.encode(&first.bytes), golden);
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_found() {
        let (first, second) = two_records();
        for bit in 0..first.bytes.len() * 8 {
            let mut bytes = first.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = Chain::start().follow(Lsn(1), &bytes).unwrap_err();
            assert!(
                matches!(error, JournalError::Damaged { lsn: Lsn(1), .. }),
                "bit {bit}: {error}"
            );
        }
        for length in 0..first.bytes.len() {
            assert!(Chain::start().follow(Lsn(1), &first.bytes[..length]).is_err());
        }
        let mut chain = Chain::start();
        chain.follow(Lsn(1), &first.bytes).unwrap();
        assert_eq!(chain.follow(Lsn(2), &second.bytes).unwrap().kind, 3);
    }

    #[test]
    fn a_record_from_another_chain_does_not_follow() {
        let (_, second) = two_records();
        let mut chain = Chain::start();
        let other = Chain::start().frame(1, Timestamp(10), 2, 1, &[b"other"]);
        chain.follow(Lsn(1), &other.bytes).unwrap();
        let error = chain.follow(Lsn(2), &second.bytes).unwrap_err();
        assert!(error.to_string().contains("record 2"), "{error}");
        let error = Chain::start().follow(Lsn(2), &second.bytes).unwrap_err();
        assert!(error.to_string().contains("record 1 of the journal is damaged: it is missing"));
    }

    #[test]
    fn events_are_a_chain_of_their_own_when_the_frames_are_gone() {
        let mut chain = Chain::start();
        let kinds = [1, FRAME, CHARGES, 16, BUNDLES, 17, 18];
        let records = kinds.map(|kind| chain.frame(1, Timestamp(3), kind, 1, &[&[kind]]));
        let mut whole = Chain::start();
        let mut events = Chain::start();
        for record in &records {
            whole.follow(record.lsn, &record.bytes).unwrap();
            assert_eq!(whole.tail(), record.tail());
            if !is_frame(record.kind()) {
                events.follow_event(record.lsn, &record.bytes).unwrap();
            }
        }
        assert_eq!((whole.tail(), events.tail()), (chain.tail(), chain.tail()));
        // One event left out breaks it.
        let mut events = Chain::start();
        events.follow_event(records[0].lsn, &records[0].bytes).unwrap();
        let error = events.follow_event(records[5].lsn, &records[5].bytes).unwrap_err();
        assert!(error.to_string().contains("record 6 of the journal"), "{error}");
    }
}
