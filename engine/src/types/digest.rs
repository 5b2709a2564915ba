//! Digests: how records are linked, how windows get a root, how requests and batches are identified.
//!
//! Owns every BLAKE3 context string but the channel's (which `voucher` holds). Each use has its own
//! context, so that no digest of one kind can ever be taken for another.

use super::{BatchId, Digest, PartyId};

/// What the first record links to.
pub const LINK_START: Digest = Digest::ZERO;

const RECORD_CONTEXT: &str = "tallystick 2026-11 journal record v1";
const CONTENT_CONTEXT: &str = "tallystick 2026-11 request content v1";
const BATCH_CONTEXT: &str = "tallystick 2026-11 batch id v1";
const LEG_CONTEXT: &str = "tallystick 2026-11 leg key v1";
const LEAF_CONTEXT: &str = "tallystick 2026-11 merkle leaf v1";
const NODE_CONTEXT: &str = "tallystick 2026-11 merkle node v1";
const EMPTY_CONTEXT: &str = "tallystick 2026-11 merkle empty v1";

/// A context whose key was derived once.
#[derive(Clone)]
struct Context(blake3::hazmat::ContextKey);

impl Context {
    fn new(context: &str) -> Self {
        Self(blake3::hazmat::hash_derive_key_context(context))
    }

    fn hasher(&self) -> blake3::Hasher {
        use blake3::hazmat::HasherExt as _;
        blake3::Hasher::new_from_context_key(&self.0)
    }

    fn hash(&self, parts: &[&[u8]]) -> Digest {
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

/// A binary Merkle tree over leaves in a given order. An odd node moves up unchanged, so that the
/// shape is that of RFC 6962 (the largest power of two to the left).
#[derive(Default)]
pub struct MerkleTree {
    /// Roots of perfect subtrees, largest first, with their heights.
    spine: Vec<(u32, Digest)>,
    contexts: MerkleContexts,
}

struct MerkleContexts {
    leaf: Context,
    node: Context,
}

impl Default for MerkleContexts {
    fn default() -> Self {
        Self { leaf: Context::new(LEAF_CONTEXT), node: Context::new(NODE_CONTEXT) }
    }
}

impl MerkleTree {
    /// Adds the next leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut height = 0;
        let mut digest = self.contexts.leaf.hash(&[leaf]);
        while let Some(&(top, left)) = self.spine.last() {
            if top != height {
                break;
            }
            self.spine.pop();
            digest = self.contexts.node.hash(&[&left.0, &digest.0]);
            height += 1;
        }
        self.spine.push((height, digest));
    }

    /// The root of all leaves added; a fixed digest of its own when there are none.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut from_right = self.spine.iter().rev().map(|&(_, digest)| digest);
        let Some(last) = from_right.next() else {
            return Context::new(EMPTY_CONTEXT).hash(&[]);
        };
        from_right.fold(last, |right, left| self.contexts.node.hash(&[&left.0, &right.0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The obvious form of RFC 6962, section 2.1: split at the largest power of two below the count.
    fn slow_root(leaves: &[Vec<u8>]) -> Digest {
        match leaves {
            [] => Context::new(EMPTY_CONTEXT).hash(&[]),
            [leaf] => Context::new(LEAF_CONTEXT).hash(&[leaf]),
            many => {
                let (left, right) = many.split_at(many.len().next_power_of_two() / 2);
                let (left, right) = (slow_root(left), slow_root(right));
                Context::new(NODE_CONTEXT).hash(&[&left.0, &right.0])
            }
        }
    }

    #[test]
    fn merkle_root_is_that_of_the_recursive_definition() {
        let leaves: Vec<Vec<u8>> = (0..70u8).map(|i| vec![i; usize::from(i)]).collect();
        for count in 0..=leaves.len() {
            let mut tree = MerkleTree::default();
            leaves[..count].iter().for_each(|leaf| tree.push(leaf));
            assert_eq!(tree.root(), slow_root(&leaves[..count]), "{count} leaves");
        }
    }

    #[test]
    fn content_digest_tells_kind_from_content() {
        assert_ne!(content_digest("ab", b"c"), content_digest("a", b"bc"));
    }
}
