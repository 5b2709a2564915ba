//! The Merkle trees over a window's obligations and positions: their roots, and the paths that
//! prove one leaf without the others.
//!
//! Owns the shape (that of RFC 6962) and the contexts of leaves and nodes. Never knows what a leaf
//! says.

use super::Digest;
use super::digest::Context;

const LEAF_CONTEXT: &str = "tallystick 2026-11 merkle leaf v1";
const NODE_CONTEXT: &str = "tallystick 2026-11 merkle node v1";
const EMPTY_CONTEXT: &str = "tallystick 2026-11 merkle empty v1";

/// Leaves of a tree that is hashed by itself to be part of a larger one: a power of two.
pub const SUBTREE_LEAVES: usize = 4_096;
/// Leaves or nodes that are written down before they are hashed: they stay in the first cache.
const HASHED_AT_ONCE: usize = 64;

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

impl MerkleContexts {
    fn join(&self, left: Digest, right: Digest) -> Digest {
        self.node.hash(&[&left.0, &right.0])
    }

    /// Each two digests as one.
    fn join_all(&self, level: &[[u8; 32]]) -> Vec<[u8; 32]> {
        let mut joined = Vec::with_capacity(level.len() / 2);
        let pairs: &[[[u8; 32]; 2]] = level.as_chunks().0;
        for some in pairs.chunks(HASHED_AT_ONCE) {
            let nodes: Vec<[u8; 64]> = some.iter().map(both).collect();
            self.node.hash_all(&nodes, &mut joined);
        }
        joined
    }
}

/// The bytes of a node.
pub(super) fn both([left, right]: &[[u8; 32]; 2]) -> [u8; 64] {
    let mut both = [0; 64];
    both[..32].copy_from_slice(left);
    both[32..].copy_from_slice(right);
    both
}

impl MerkleTree {
    /// Adds the next leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        self.add(leaf, &mut |_, _, _| {});
    }

    /// The tree over these leaves: in less time than by adding one after the other.
    #[must_use]
    pub fn over<const L: usize>(mut leaves: impl Iterator<Item = [u8; L]>) -> Self {
        let contexts = MerkleContexts::default();
        let (mut level, mut some) = (Vec::new(), Vec::with_capacity(HASHED_AT_ONCE));
        loop {
            some.extend(leaves.by_ref().take(HASHED_AT_ONCE));
            if some.is_empty() {
                break;
            }
            contexts.leaf.hash_all(&some, &mut level);
            some.clear();
        }
        // From the leaves up: of a level with an odd number the last one has nobody to be joined
        // with, and all to its right is on the spine already.
        let (mut spine, mut height) = (Vec::new(), 0);
        while let Some(last) = level.last() {
            if level.len() % 2 == 1 {
                spine.push((height, Digest(*last)));
                level.pop();
            }
            level = contexts.join_all(&level);
            height += 1;
        }
        spine.reverse();
        Self { spine, contexts }
    }

    /// Adds the leaves of another tree behind its own, which are a multiple of `SUBTREE_LEAVES`: so
    /// parts of a tree can be hashed each by itself.
    ///
    /// # Panics
    /// When its own leaves are not, or the other tree has more than `SUBTREE_LEAVES`.
    pub fn append(&mut self, other: Self) {
        let highest = SUBTREE_LEAVES.ilog2();
        let whole = self.spine.last().is_none_or(|(height, _)| *height >= highest);
        assert!(whole && other.leaves() <= SUBTREE_LEAVES, "subtrees stand where leaves would");
        for (height, digest) in other.spine {
            self.join(height, digest, &mut |_, _, _| {});
        }
    }

    fn leaves(&self) -> usize {
        self.spine.iter().map(|(height, _)| 1 << height).sum()
    }

    /// Adds the next leaf; tells `joined` of each pair of subtrees of one height that became one.
    fn add(&mut self, leaf: &[u8], joined: &mut impl FnMut(u32, Digest, Digest)) {
        let digest = self.contexts.leaf.hash(&[leaf]);
        self.join(0, digest, joined);
    }

    fn join(
        &mut self,
        mut height: u32,
        mut digest: Digest,
        joined: &mut impl FnMut(u32, Digest, Digest),
    ) {
        while let Some(&(top, left)) = self.spine.last() {
            if top != height {
                break;
            }
            self.spine.pop();
            joined(height, left, digest);
            digest = self.contexts.join(left, digest);
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
        from_right.fold(last, |right, left| self.contexts.join(left, right))
    }
}

/// The digest beside the way from a leaf to the root, and on which side of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sibling {
    /// It is hashed before what the way has given so far.
    Left(Digest),
    /// It is hashed after it.
    Right(Digest),
}

/// What proves that one leaf is in a tree: the siblings from the leaf's own up to below the root.
/// The sides say at which place the leaf is; nothing else is needed, and nothing else is bound by
/// the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MerklePath(pub Vec<Sibling>);

impl MerklePath {
    /// The root that the path gives for `leaf`.
    #[must_use]
    pub fn root(&self, leaf: &[u8]) -> Digest {
        let contexts = MerkleContexts::default();
        let start = contexts.leaf.hash(&[leaf]);
        self.0.iter().fold(start, |digest, sibling| match *sibling {
            Sibling::Left(left) => contexts.join(left, digest),
            Sibling::Right(right) => contexts.join(digest, right),
        })
    }

    /// The leaf's place: the turns from the root down, `true` to the right. Leaves in the order of
    /// the tree have places in lexicographic order, and no two have the same.
    #[must_use]
    pub fn place(&self) -> Vec<bool> {
        self.0.iter().rev().map(|sibling| matches!(sibling, Sibling::Left(_))).collect()
    }
}

/// A tree that remembers the paths of some leaves: one pass over all leaves, and no more memory
/// than the paths.
#[derive(Default)]
pub struct PathTree {
    tree: MerkleTree,
    count: u64,
    /// The wanted leaves' numbers, ascending, and their paths so far.
    paths: Vec<(u64, MerklePath)>,
}

impl PathTree {
    /// Adds the next leaf; `wanted`: its path is remembered.
    pub fn push(&mut self, leaf: &[u8], wanted: bool) {
        let Self { tree, count, paths } = self;
        if wanted {
            paths.push((*count, MerklePath::default()));
        }
        *count += 1;
        // Two subtrees of one height that are joined now end with this leaf.
        tree.add(leaf, &mut |height, left, right| {
            let half = 1u64 << height;
            join_paths(paths, *count - 2 * half, *count - half, (left, right));
        });
    }

    /// The root, and the wanted paths in the order of their leaves.
    #[must_use]
    pub fn finish(self) -> (Digest, Vec<MerklePath>) {
        let Self { tree, count, mut paths } = self;
        let mut end = count;
        let mut joined: Option<Digest> = None;
        for &(height, digest) in tree.spine.iter().rev() {
            let start = end - (1u64 << height);
            joined = Some(match joined {
                None => digest,
                Some(right) => {
                    join_paths(&mut paths, start, end, (digest, right));
                    tree.contexts.join(digest, right)
                }
            });
            end = start;
        }
        (tree.root(), paths.into_iter().map(|(_, path)| path).collect())
    }
}

/// Leaves from `start` to before `middle` are joined with all those after: each gets the other's
/// digest.
fn join_paths(
    paths: &mut [(u64, MerklePath)],
    start: u64,
    middle: u64,
    (left, right): (Digest, Digest),
) {
    for (index, path) in paths.iter_mut().rev().take_while(|(index, _)| *index >= start) {
        path.0.push(if *index < middle { Sibling::Right(right) } else { Sibling::Left(left) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The obvious form of RFC 6962, section 2.1: split at the largest power of two below the
    /// count.
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

    /// The obvious form of RFC 6962, section 2.1.1.
    fn slow_path(index: usize, leaves: &[Vec<u8>]) -> Vec<Sibling> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        if index < left.len() {
            let mut path = slow_path(index, left);
            path.push(Sibling::Right(slow_root(right)));
            path
        } else {
            let mut path = slow_path(index - left.len(), right);
            path.push(Sibling::Left(slow_root(left)));
            path
        }
    }

    fn leaves(count: u8) -> Vec<Vec<u8>> {
        (0..count).map(|i| vec![i; usize::from(i)]).collect()
    }

    fn paths(leaves: &[Vec<u8>], wanted: impl Fn(usize) -> bool) -> (Digest, Vec<MerklePath>) {
        let mut tree = PathTree::default();
        leaves.iter().enumerate().for_each(|(at, leaf)| tree.push(leaf, wanted(at)));
        tree.finish()
    }

    #[test]
    fn merkle_root_is_that_of_the_recursive_definition() {
        let leaves = leaves(70);
        for count in 0..=leaves.len() {
            let mut tree = MerkleTree::default();
            leaves[..count].iter().for_each(|leaf| tree.push(leaf));
            assert_eq!(tree.root(), slow_root(&leaves[..count]), "{count} leaves");
        }
    }

    #[test]
    fn a_tree_over_leaves_is_the_one_to_which_they_were_added() {
        let leaf = |n: usize| -> [u8; 24] {
            [n.to_le_bytes(), [7; 8], [9; 8]].concat().try_into().unwrap()
        };
        for count in (0..70).chain([127, 128, 129, SUBTREE_LEAVES - 1, SUBTREE_LEAVES, 10_000]) {
            let mut slow = MerkleTree::default();
            (0..count).for_each(|n| slow.push(&leaf(n)));
            let mut fast = MerkleTree::over((0..count).map(leaf));
            assert_eq!(fast.spine, slow.spine, "{count} leaves");
            [&mut fast, &mut slow].into_iter().for_each(|tree| tree.push(b"one more"));
            assert_eq!(fast.root(), slow.root(), "{count} leaves");
        }
    }

    #[test]
    fn trees_that_are_appended_are_one_tree() {
        let leaf = |n: usize| n.to_le_bytes();
        let whole = 2 * SUBTREE_LEAVES;
        for (count, more) in [(0, 0), (1, 0), (whole - 1, 3), (whole, 1), (whole + 1_234, 70)] {
            let (mut parts, mut tree) = (MerkleTree::default(), MerkleTree::default());
            for from in (0..count).step_by(SUBTREE_LEAVES) {
                let mut part = MerkleTree::default();
                (from..count.min(from + SUBTREE_LEAVES)).for_each(|n| part.push(&leaf(n)));
                parts.append(part);
            }
            (count..count + more).for_each(|n| parts.push(&leaf(n)));
            (0..count + more).for_each(|n| tree.push(&leaf(n)));
            assert_eq!(parts.root(), tree.root(), "{count} and {more} leaves");
        }
    }

    #[test]
    #[should_panic(expected = "subtrees stand where leaves would")]
    fn a_tree_is_not_appended_in_the_middle_of_another() {
        let mut tree = MerkleTree::default();
        tree.push(b"a leaf");
        tree.append(MerkleTree::default());
    }

    #[test]
    fn every_path_is_that_of_the_recursive_definition_and_gives_the_root() {
        let leaves = leaves(70);
        for count in 0..=leaves.len() {
            let leaves = &leaves[..count];
            let (root, all) = paths(leaves, |_| true);
            assert_eq!((root, all.len()), (slow_root(leaves), count));
            for (index, path) in all.iter().enumerate() {
                assert_eq!(path.0, slow_path(index, leaves), "{index} of {count}");
                assert_eq!(path.root(&leaves[index]), root, "{index} of {count}");
                assert_eq!(paths(leaves, |at| at == index), (root, vec![path.clone()]));
            }
            assert!(all.is_sorted_by(|a, b| a.place() < b.place()));
        }
    }

    proptest! {
        #[test]
        fn a_path_with_anything_changed_gives_another_root(
            count in 2u8..130,
            index in any::<proptest::sample::Index>(),
            which in any::<proptest::sample::Index>(),
            bit in 0usize..256,
        ) {
            let leaves = leaves(count);
            let index = index.index(leaves.len());
            let (root, mut found) = paths(&leaves, |at| at == index);
            let (path, leaf) = (found.pop().unwrap(), &leaves[index]);
            prop_assert_eq!(path.root(leaf), root);
            let mut other = leaf.clone();
            other.push(0);
            prop_assert_ne!(path.root(&other), root);
            let at = which.index(path.0.len());
            let mut changed = path.clone();
            match &mut changed.0[at] {
                Sibling::Left(digest) | Sibling::Right(digest) => {
                    digest.0[bit / 8] ^= 1 << (bit % 8);
                }
            }
            prop_assert_ne!(changed.root(leaf), root);
            let mut turned = path.clone();
            turned.0[at] = match turned.0[at] {
                Sibling::Left(digest) => Sibling::Right(digest),
                Sibling::Right(digest) => Sibling::Left(digest),
            };
            prop_assert_ne!(turned.root(leaf), root);
            let mut shorter = path.clone();
            shorter.0.remove(at);
            prop_assert_ne!(shorter.root(leaf), root);
            let mut longer = path.clone();
            longer.0.push(Sibling::Left(root));
            prop_assert_ne!(longer.root(leaf), root);
        }
    }
}
