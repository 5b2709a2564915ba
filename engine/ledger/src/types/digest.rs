//! Digests: how records are linked, how windows get a root, how requests and batches are
//! identified.
//!
//! Owns the BLAKE3 context strings but the channel's (which `voucher` holds), those of the trees
//! (`merkle`, `bundle`) and of what the engine and operators sign (`statement`, `said`). Each use
//! has its own context, so that no digest of one kind can ever be taken for another.

use super::{AssetNumber, BatchId, Digest, PartyId, WindowNumber, wide};
use std::sync::LazyLock;

/// What the first record links to.
pub const LINK_START: Digest = Digest::ZERO;

const RECORD_CONTEXT: &str = "tallystick 2026-11 journal record v2";
const CONTENT_CONTEXT: &str = "tallystick 2026-11 request content v1";
const BATCH_CONTEXT: &str = "tallystick 2026-11 batch id v1";
const LEG_CONTEXT: &str = "tallystick 2026-11 leg key v1";
const SHORT_LEG_CONTEXT: &str = "tallystick 2026-11 short leg id v1";
const EVM_CHUNK_CONTEXT: &str = "tallystick 2026-11 evm chunk v1";
const WINDOW_CONTEXT: &str = "tallystick 2026-11 window root v1";
const SECTION_CONTEXT: &str = "tallystick 2026-11 export section v1";
const EVIDENCE_CONTEXT: &str = "tallystick 2026-11 evidence v1";
const CHECKPOINT_CONTEXT: &str = "tallystick 2026-11 checkpoint page v1";

/// A context whose key was derived once.
#[derive(Clone)]
pub(super) struct Context(blake3::hazmat::ContextKey);

impl Context {
    pub fn new(context: &str) -> Self {
        Self(blake3::hazmat::hash_derive_key_context(context))
    }

    pub fn hasher(&self) -> blake3::Hasher {
        use blake3::hazmat::HasherExt as _;
        blake3::Hasher::new_from_context_key(&self.0)
    }

    pub fn hash(&self, parts: &[&[u8]]) -> Digest {
        let mut hasher = self.hasher();
        for part in parts {
            hasher.update(part);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// Appends the digest of each of these messages: in less time than one by one.
    pub fn hash_all<const L: usize>(&self, messages: &[[u8; L]], out: &mut Vec<[u8; 32]>) {
        wide::hash_all(&self.0, messages, out);
    }
}

/// Digests of journal records: each covers the link to the record before it, so that one digest
/// speaks for the whole journal up to it.
#[derive(Clone)]
pub struct RecordHasher(Context);

impl Default for RecordHasher {
    fn default() -> Self {
        Self(Context::new(RECORD_CONTEXT))
    }
}

impl RecordHasher {
    /// Digest of a record's header (without the digest itself) and body.
    #[must_use]
    pub fn digest(&self, header: &[u8], body: &[u8]) -> Digest {
        self.0.hash(&[header, body])
    }
}

/// Digest of what a request asks for, without its id: tells a retry from a reuse of the id.
#[must_use]
pub fn content_digest(kind: &str, content: &[u8]) -> Digest {
    let length = u64::try_from(kind.len()).expect("a length fits 64 bits").to_le_bytes();
    Context::new(CONTENT_CONTEXT).hash(&[&length, kind.as_bytes(), content])
}

/// Bytes that `BatchHasher` collects: BLAKE3 hashes sixteen pieces of 1 KiB at once, and a batch
/// comes in parts of a few bytes.
const BATCH_BUFFER_BYTES: usize = 64 << 10;

/// Collects a batch's content into its id. Every variable-length part is preceded by its length.
pub struct BatchHasher {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Default for BatchHasher {
    fn default() -> Self {
        let hasher = Context::new(BATCH_CONTEXT).hasher();
        Self { hasher, buffer: Vec::with_capacity(BATCH_BUFFER_BYTES) }
    }
}

impl BatchHasher {
    /// Adds a part of fixed length.
    pub fn fixed(&mut self, part: &[u8]) {
        if self.buffer.len() + part.len() > BATCH_BUFFER_BYTES {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
        self.buffer.extend_from_slice(part);
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) {
        self.fixed(&number.to_le_bytes());
    }

    /// Adds a number of things that follow.
    pub fn count(&mut self, count: usize) {
        self.number(u64::try_from(count).expect("a length fits 64 bits"));
    }

    /// Adds names with values: their number, then each as texts.
    pub fn fields(&mut self, fields: &[(String, String)]) {
        self.count(fields.len());
        for (name, value) in fields {
            self.text(name);
            self.text(value);
        }
    }

    /// Adds a text: its length, then its bytes.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Adds bytes: their number, then they.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.fixed(bytes);
    }

    /// The id.
    #[must_use]
    pub fn finish(mut self) -> BatchId {
        self.hasher.update(&self.buffer);
        BatchId(*self.hasher.finalize().as_bytes())
    }
}

/// Plain BLAKE3 of a file's bytes, as `b3sum` gives it: names files towards people.
#[derive(Default)]
pub struct FileHasher(blake3::Hasher);

impl FileHasher {
    /// The digest of bytes that are all here.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// Digest of an operator's token, as the configuration holds it: plain BLAKE3, so that any tool can
/// make it.
#[must_use]
pub fn token_digest(token: &str) -> Digest {
    Digest(*blake3::hash(token.as_bytes()).as_bytes())
}

/// Whether two digests are the same, in a time that does not tell where they differ.
#[must_use]
pub fn same_digest(a: &Digest, b: &Digest) -> bool {
    // The comparison of `blake3::Hash` is made for this.
    blake3::Hash::from(a.0) == blake3::Hash::from(b.0)
}

/// Digest of a leg's key, for a rail whose own identifiers are shorter than the key.
#[must_use]
pub fn short_leg_digest(key: &str) -> Digest {
    static CONTEXT: LazyLock<Context> = LazyLock::new(|| Context::new(SHORT_LEG_CONTEXT));
    CONTEXT.hash(&[key.as_bytes()])
}

/// Digest of parts of a checkpoint, so that a changed one is noticed.
#[must_use]
pub fn checkpoint_digest(parts: &[&[u8]]) -> Digest {
    static CONTEXT: LazyLock<Context> = LazyLock::new(|| Context::new(CHECKPOINT_CONTEXT));
    CONTEXT.hash(parts)
}

/// Digest of the evidence of one obligation.
#[derive(Clone)]
pub struct EvidenceHasher(Context);

impl Default for EvidenceHasher {
    fn default() -> Self {
        Self(Context::new(EVIDENCE_CONTEXT))
    }
}

impl EvidenceHasher {
    /// Digest of pieces of evidence in their order.
    #[must_use]
    pub fn digest<P: AsRef<[u8]>>(&self, pieces: impl Iterator<Item = P>) -> Digest {
        let mut hasher = self.0.hasher();
        pieces.for_each(|piece| {
            hasher.update(piece.as_ref());
        });
        Digest(*hasher.finalize().as_bytes())
    }

    /// Digest of each of these, which is all the evidence of an obligation: in less time than one
    /// by one.
    #[must_use]
    pub fn digests<const L: usize>(&self, evidence: &[[u8; L]]) -> Vec<Digest> {
        let mut digests = Vec::new();
        self.0.hash_all(evidence, &mut digests);
        digests.into_iter().map(Digest).collect()
    }
}

/// Digests of the sections of an evidence export: each covers the one before it, so that the last
/// one speaks for the whole file.
#[derive(Clone)]
pub struct SectionHasher(Context);

impl Default for SectionHasher {
    fn default() -> Self {
        Self(Context::new(SECTION_CONTEXT))
    }
}

impl SectionHasher {
    /// Digest of a section's head and body after the section with the digest `before`.
    #[must_use]
    pub fn digest(&self, before: Digest, head: &[u8], body: &[u8]) -> Digest {
        self.0.hash(&[&before.0, head, body])
    }
}

/// A window's root: of each asset, in ascending order, the root of its obligations and that of its
/// positions.
#[must_use]
pub fn window_root(window: WindowNumber, assets: &[(AssetNumber, Digest, Digest)]) -> Digest {
    let mut hasher = Context::new(WINDOW_CONTEXT).hasher();
    hasher.update(&window.0.to_le_bytes());
    let count = u64::try_from(assets.len()).expect("a length fits 64 bits");
    hasher.update(&count.to_le_bytes());
    for (asset, obligations, positions) in assets {
        hasher.update(&asset.0.to_le_bytes()).update(&obligations.0).update(&positions.0);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// Makes the idempotency keys of one batch's legs: 32 characters A-Z2-7 (base32 of 160 bits), which
/// every rail can carry.
pub struct LegKeys {
    context: Context,
    batch: BatchId,
}

impl LegKeys {
    /// For the legs of `batch`.
    #[must_use]
    pub fn new(batch: BatchId) -> Self {
        Self { context: Context::new(LEG_CONTEXT), batch }
    }

    /// Key of the leg `from` -> `to`; `part` tells the parts of a split payment apart.
    #[must_use]
    pub fn key(&self, from: PartyId, to: PartyId, part: u32) -> String {
        let digest = self.context.hash(&[&self.batch.0, &from.0, &to.0, &part.to_le_bytes()]);
        data_encoding::BASE32_NOPAD.encode(&digest.0[..20])
    }
}

/// The id under which a contract pays one part of a batch, for ever once: `chunk` counts from 0.
#[must_use]
pub fn evm_chunk_id(batch: BatchId, chunk: u32) -> Digest {
    Context::new(EVM_CHUNK_CONTEXT).hash(&[&batch.0, &chunk.to_le_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_digest_tells_kind_from_content() {
        assert_ne!(content_digest("ab", b"c"), content_digest("a", b"bc"));
    }
}
