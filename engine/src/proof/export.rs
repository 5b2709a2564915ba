//! Writing an evidence export: a file header, then sections, each with a digest that covers the one
//! before it, and an end that says how much there was.

use crate::ledger::event::ArchiveId;
use crate::ledger::{EvidenceDigest, Obligation};
use crate::limits::EXPORT_CHUNK_BYTES;
use crate::types::{
    AssetNumber, Digest, History, Lsn, NetworkId, SIGNATURE_BYTES, SectionHasher, SignerKey,
    Timestamp, WindowNumber,
};
use std::io::{self, Write};

/// The first bytes of the file: its name, the version and seven zeros.
pub(super) const FILE_HEAD: [u8; 16] = *b"TALLYEXP\x03\0\0\0\0\0\0\0";
/// Those of the version before, in which no piece of evidence is of a bundle: it is read, too.
pub(super) const FILE_HEAD_2: [u8; 16] = *b"TALLYEXP\x02\0\0\0\0\0\0\0";
/// What the first section's digest covers before that section: the head, whose version would be
/// under no digest otherwise. Nothing in the version before.
pub(super) fn first_link(head: &[u8; FILE_HEAD.len()]) -> Digest {
    let mut link = Digest::ZERO;
    if *head != FILE_HEAD_2 {
        link.0[..FILE_HEAD.len()].copy_from_slice(head);
    }
    link
}
/// Bytes before a section's body: kind u8, three zeros, length u32.
pub(super) const SECTION_HEAD_BYTES: usize = 8;

/// What a section holds. The discriminants are in files for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Network and windows. The first section.
    Head = 1,
    /// Records of events, as they were journaled, one after the other.
    Events = 2,
    /// A window begins: its number and how many assets follow.
    Window = 3,
    /// An asset of the window begins: numbers of rows and pieces that follow.
    Asset = 4,
    /// Rows of obligations.
    Obligations = 5,
    /// Rows of carries.
    Carried = 6,
    /// Pieces of evidence, in the order of the obligations.
    Evidence = 7,
    /// How much there was, and the signed end of the history. The last section.
    End = 8,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Head,
        Self::Events,
        Self::Window,
        Self::Asset,
        Self::Obligations,
        Self::Carried,
        Self::Evidence,
        Self::End,
    ];

    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// How much an export holds, or a part of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records of events.
    pub events: u64,
    /// Windows.
    pub windows: u64,
    /// Rows of obligations.
    pub obligations: u64,
    /// Rows of carries.
    pub carried: u64,
    /// Pieces of evidence.
    pub evidence: u64,
}

impl Counts {
    /// Bytes of the counts: five u64.
    pub(super) const BYTES: usize = 40;

    pub(super) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let counts = [self.events, self.windows, self.obligations, self.carried, self.evidence];
        for (place, count) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(counts) {
            *place = count.to_le_bytes();
        }
        bytes
    }
}

/// How far the history goes that an export holds, in the engine's own word: without its key nobody
/// can change an event of it, leave one out, or cut off the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedEnd {
    /// The last event.
    pub last: History,
    /// When it was signed.
    pub at: Timestamp,
    /// The engine's key in force at that event.
    pub key: SignerKey,
    /// Its signature over the end's statement.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl SignedEnd {
    /// Bytes: lsn u64, digest, time i64, key, signature.
    pub(super) const BYTES: usize = 8 + 32 + 8 + 32 + SIGNATURE_BYTES;

    fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.last.lsn.0.to_le_bytes());
        bytes[8..40].copy_from_slice(&self.last.digest.0);
        bytes[40..48].copy_from_slice(&self.at.0.to_le_bytes());
        bytes[48..80].copy_from_slice(&self.key.0);
        bytes[80..].copy_from_slice(&self.signature);
        bytes
    }

    pub(super) fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        fn at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
            *bytes[offset..].first_chunk().expect("fields lie within the end")
        }
        let (lsn, digest) = (Lsn(u64::from_le_bytes(at(bytes, 0))), Digest(at(bytes, 8)));
        let time = Timestamp(i64::from_le_bytes(at(bytes, 40)));
        let (key, signature) = (SignerKey(at(bytes, 48)), at(bytes, 80));
        Self { last: History { lsn, digest }, at: time, key, signature }
    }
}

/// The name of the archive of a window: an export of it alone, without the events.
#[must_use]
pub fn archive_name(window: WindowNumber) -> String {
    format!("window-{:010}.tallyexp", window.0)
}

/// The name of an archive of events: those from `first` on, without any window.
#[must_use]
pub fn events_name(first: Lsn) -> String {
    format!("events-{:010}.tallyexp", first.0)
}

/// Writes an export from front to back; holds no more of it than one section.
pub struct ExportWriter<W> {
    out: W,
    hasher: SectionHasher,
    link: Digest,
    open: Option<Kind>,
    body: Vec<u8>,
    bytes: u64,
    counts: Counts,
}

impl<W: Write> ExportWriter<W> {
    /// Begins an export of these windows (ascending), of the network's whole history of events.
    ///
    /// # Errors
    /// When `out` cannot be written; so with all below.
    pub fn new(mut out: W, network: NetworkId, windows: &[WindowNumber]) -> io::Result<Self> {
        out.write_all(&FILE_HEAD)?;
        let body = Vec::with_capacity(EXPORT_CHUNK_BYTES);
        let (hasher, link) = (SectionHasher::default(), first_link(&FILE_HEAD));
        let counts = Counts::default();
        let bytes = length(FILE_HEAD.len());
        let mut writer = Self { out, hasher, link, open: None, body, bytes, counts };
        let mut head = network.0.to_vec();
        windows.iter().for_each(|window| head.extend_from_slice(&window.0.to_le_bytes()));
        writer.add(Kind::Head, &head)?;
        Ok(writer)
    }

    /// Adds the next record of an event: header and body as they were journaled.
    pub fn event(&mut self, record: &[u8]) -> io::Result<()> {
        self.counts.events += 1;
        self.add(Kind::Events, record)
    }

    /// Begins a window of which `assets` assets follow.
    pub fn window(&mut self, window: WindowNumber, assets: u32) -> io::Result<()> {
        self.counts.windows += 1;
        self.close()?;
        self.add(Kind::Window, &[&window.0.to_le_bytes()[..], &assets.to_le_bytes()].concat())
    }

    /// Begins an asset of the window, of which so many rows and pieces follow.
    pub fn asset(
        &mut self,
        asset: AssetNumber,
        obligations: u64,
        carried: u64,
        evidence: u64,
    ) -> io::Result<()> {
        self.close()?;
        let mut body = asset.0.to_le_bytes().to_vec();
        for count in [obligations, carried, evidence] {
            body.extend_from_slice(&count.to_le_bytes());
        }
        self.add(Kind::Asset, &body)
    }

    /// Adds the asset's next obligation.
    pub fn obligation(&mut self, owed: &Obligation, evidence: &EvidenceDigest) -> io::Result<()> {
        self.counts.obligations += 1;
        self.add(Kind::Obligations, &super::rows::obligation_row(owed, evidence))
    }

    /// Adds the asset's next carry, after its obligations.
    pub fn carried(&mut self, carried: &Obligation) -> io::Result<()> {
        self.counts.carried += 1;
        self.add(Kind::Carried, &super::rows::carried_row(carried))
    }

    /// Adds the asset's next piece of evidence, after its carries.
    pub fn evidence(&mut self, piece: &[u8]) -> io::Result<()> {
        self.counts.evidence += 1;
        self.add(Kind::Evidence, piece)
    }

    /// Ends the export with the engine's word about its last event.
    /// Gives what names the whole of it.
    pub fn finish(mut self, end: &SignedEnd) -> io::Result<(W, ArchiveId)> {
        self.close()?;
        let counts = self.counts;
        self.add(Kind::End, &[&counts.encode()[..], &end.encode()].concat())?;
        self.close()?;
        self.out.flush()?;
        Ok((self.out, ArchiveId { digest: self.link, bytes: self.bytes }))
    }

    /// Adds to the section of that kind; begins another when the open one is of another kind or
    /// full.
    fn add(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<()> {
        let full = self.body.len() + bytes.len() > EXPORT_CHUNK_BYTES && !self.body.is_empty();
        if self.open.is_some_and(|open| open != kind || full) {
            self.close()?;
        }
        self.open = Some(kind);
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes the open section.
    fn close(&mut self) -> io::Result<()> {
        let Some(kind) = self.open.take() else { return Ok(()) };
        let body = u32::try_from(self.body.len()).expect("a section is bounded");
        let mut head = [0; SECTION_HEAD_BYTES];
        head[0] = kind as u8;
        head[4..].copy_from_slice(&body.to_le_bytes());
        self.link = self.hasher.digest(self.link, &head, &self.body);
        self.out.write_all(&head)?;
        self.out.write_all(&self.body)?;
        self.out.write_all(&self.link.0)?;
        self.bytes += length(head.len() + self.body.len() + self.link.0.len());
        self.body.clear();
        Ok(())
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length fits 64 bits")
}
