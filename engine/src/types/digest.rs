//! Digests: how records are linked, how windows get a root, how requests and batches are identified.
//!
//! Owns the BLAKE3 context strings but the channel's (which `voucher` holds), those of the trees
//! (`merkle`) and of what the engine signs (`statement`). Each use has its own context, so that no
//! digest of one kind can ever be taken for another.

use super::{AssetNumber, BatchId, Digest, PartyId, WindowNumber};
use std::sync::LazyLock;

/// What the first record links to.
pub const LINK_START: Digest = Digest::ZERO;

const RECORD_CONTEXT: &str = "tallystick 2026-11 journal record v2";
const CONTENT_CONTEXT: &str = "tallystick 2026-11 request content v1";
const BATCH_CONTEXT: &str = "tallystick 2026-11 batch id v1";
const LEG_CONTEXT: &str = "tallystick 2026-11 leg key v1";
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

/// Collects a batch's content into its id. Every variable-length part is preceded by its length.
pub struct BatchHasher(blake3::Hasher);

impl Default for BatchHasher {
    fn default() -> Self {
        Self(Context::new(BATCH_CONTEXT).hasher())
    }
}

impl BatchHasher {
    /// Adds a part of fixed length.
    pub fn fixed(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) {
        self.fixed(&number.to_le_bytes());
    }

    /// Adds a text: its length, then its bytes.
    pub fn text(&mut self, text: &str) {
        self.number(u64::try_from(text.len()).expect("a length fits 64 bits"));
        self.fixed(text.as_bytes());
    }

    /// The id.
    #[must_use]
    pub fn finish(&self) -> BatchId {
        BatchId(*self.0.finalize().as_bytes())
    }
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
    pub fn digest<const N: usize>(&self, pieces: impl Iterator<Item = [u8; N]>) -> Digest {
        let mut hasher = self.0.hasher();
        pieces.for_each(|piece| {
            hasher.update(&piece);
        });
        Digest(*hasher.finalize().as_bytes())
    }
}

/// Digests of the sections of an evidence export: each covers the one before it, so that the last one
/// speaks for the whole file.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_digest_tells_kind_from_content() {
        assert_ne!(content_digest("ab", b"c"), content_digest("a", b"bc"));
    }
}
