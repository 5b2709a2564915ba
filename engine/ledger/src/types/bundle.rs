//! Bundles: one signature over the totals of many channels of one signer, and what shows that one
//! of them is among those that were signed.
//!
//! Owns the layout of a bundle, the tree over its entries and the message that is signed, as
//! `docs/FORMATS.md` has them. An entry is handled in the bytes of a voucher, whose reserved field
//! then says where in which number of entries it stands: its seat. Knows no rule.

use super::digest::Context;
use super::merkle::both;
use super::{
    Amount, ChannelId, Digest, MESSAGE_BYTES, NetworkId, Packed, SIGNATURE_BYTES, SignerKey,
    VOUCHER_BYTES, message,
};
use std::ops::Range;

/// Most entries of a bundle.
pub const BUNDLE_ENTRIES_MAX: usize = 64;
/// Bytes of a bundle before its entries: signer, signature.
pub const BUNDLE_HEAD_BYTES: usize = 32 + SIGNATURE_BYTES;
/// Bytes of one entry: payee, asset, lane, expiry, total.
pub const ENTRY_BYTES: usize = 60;
/// Bytes of the message that is signed.
pub const BUNDLE_MESSAGE_BYTES: usize = 34;
/// Most digests from an entry's leaf to the root.
pub const BUNDLE_PATH_MAX: usize = 6;
const _: () = assert!(1 << BUNDLE_PATH_MAX == BUNDLE_ENTRIES_MAX);

const LEAF_CONTEXT: &str = "tallystick 2026-11 bundle leaf v1";
const NODE_CONTEXT: &str = "tallystick 2026-11 bundle node v1";
const BUNDLE_CONTEXT: &str = "tallystick 2026-11 bundle v1";

/// Where in a voucher's bytes the seat of an entry stands.
const SEAT_AT: usize = 68;

/// Where an entry stands in its bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// Its place, from 0.
    place: u8,
    /// How many entries the bundle has.
    count: u8,
}

impl Seat {
    /// `None` where there is no such place, or no such bundle.
    #[must_use]
    pub fn new(place: usize, count: usize) -> Option<Self> {
        if place >= count || count > BUNDLE_ENTRIES_MAX {
            return None;
        }
        Some(Self { place: u8::try_from(place).ok()?, count: u8::try_from(count).ok()? })
    }

    /// Its place, from 0.
    #[must_use]
    pub fn place(self) -> usize {
        usize::from(self.place)
    }

    /// How many entries the bundle has.
    #[must_use]
    pub fn count(self) -> usize {
        usize::from(self.count)
    }

    /// Of each level of the tree from the leaves up where there is a sibling: whether it is on the
    /// left. An odd node moves up unchanged.
    fn turns(self) -> impl Iterator<Item = Turn> {
        let (mut place, mut count) = (self.place(), self.count());
        std::iter::from_fn(move || {
            while count > 1 {
                let sibling = place ^ 1;
                let here = (sibling < count).then_some(Turn { sibling, width: count });
                (place, count) = (place / 2, count.div_ceil(2));
                if here.is_some() {
                    return here;
                }
            }
            None
        })
    }

    /// How many digests there are from its leaf to the root.
    #[must_use]
    pub fn path_length(self) -> usize {
        self.turns().count()
    }
}

/// A sibling on the way up: where it stands on its level, and how wide that is.
struct Turn {
    sibling: usize,
    width: usize,
}

impl Turn {
    fn is_left(&self) -> bool {
        self.sibling.is_multiple_of(2)
    }
}

/// What the reserved field of a voucher's bytes says that they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A voucher, with a signature of its own: the field is zero.
    Voucher,
    /// An entry of a bundle, with the bundle's signature.
    Entry(Seat),
    /// Neither.
    Unknown,
}

impl Packed<'_> {
    /// What these bytes are. What comes from outside is a voucher, or nothing.
    #[must_use]
    pub fn form(self) -> Form {
        match self.0[SEAT_AT..].first_chunk() {
            Some([0, 0, 0, 0]) => Form::Voucher,
            Some(&[place, count, 0, 0]) => {
                Seat::new(place.into(), count.into()).map_or(Form::Unknown, Form::Entry)
            }
            Some(_) | None => Form::Unknown,
        }
    }

    /// Where an entry stands in its bundle; `None` for all else.
    #[must_use]
    pub fn seat(self) -> Option<Seat> {
        match self.form() {
            Form::Entry(seat) => Some(seat),
            Form::Voucher | Form::Unknown => None,
        }
    }
}

/// Makes an entry of a voucher's bytes.
pub fn put_seat(voucher: &mut [u8; VOUCHER_BYTES], seat: Seat) {
    voucher[SEAT_AT..SEAT_AT + 2].copy_from_slice(&[seat.place, seat.count]);
}

/// The entries of a packed bundle, each in the bytes of a voucher. `None` where its length is that
/// of none.
#[must_use]
pub fn unpack_bundle(bundle: &[u8]) -> Option<impl ExactSizeIterator<Item = [u8; VOUCHER_BYTES]>> {
    let (head, entries) = bundle.split_first_chunk::<BUNDLE_HEAD_BYTES>()?;
    let (entries, []) = entries.as_chunks::<ENTRY_BYTES>() else { return None };
    Seat::new(0, entries.len())?;
    let count = entries.len();
    Some(entries.iter().enumerate().map(move |(place, entry)| {
        let mut voucher = [0; VOUCHER_BYTES];
        voucher[..32].copy_from_slice(&head[..32]);
        voucher[32..68].copy_from_slice(&entry[..36]);
        voucher[72..96].copy_from_slice(&entry[36..]);
        voucher[96..].copy_from_slice(&head[32..]);
        put_seat(&mut voucher, Seat::new(place, count).expect("it was counted"));
        voucher
    }))
}

/// Appends the packed form of a bundle whose entries, all of them and in order, these are.
pub fn pack_bundle(entries: &[[u8; VOUCHER_BYTES]], out: &mut Vec<u8>) {
    let Some(first) = entries.first() else { return };
    out.extend_from_slice(&first[..32]);
    out.extend_from_slice(&first[96..]);
    for entry in entries {
        out.extend_from_slice(&entry[32..68]);
        out.extend_from_slice(&entry[72..96]);
    }
}

/// Where the bundles lie of which entries are `within` this part of packed vouchers and entries:
/// of each the places of all its entries, also those outside of that part.
///
/// # Panics
/// When a bundle is not there whole.
pub fn bundles_within(
    vouchers: &[[u8; VOUCHER_BYTES]],
    within: Range<usize>,
) -> impl Iterator<Item = Range<usize>> {
    let mut at = within.start;
    std::iter::from_fn(move || {
        while at < within.end {
            let Some(seat) = Packed(&vouchers[at]).seat() else {
                at += 1;
                continue;
            };
            let first = at.checked_sub(seat.place()).expect("a bundle begins with its first entry");
            let bundle = first..first + seat.count();
            assert!(bundle.end <= vouchers.len(), "a bundle is there whole");
            at = bundle.end;
            return Some(bundle);
        }
        None
    })
}

/// The tree over the entries of one bundle: every digest of it, from the leaves up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleTree {
    count: u8,
    nodes: Box<[Digest]>,
}

impl BundleTree {
    fn root(&self) -> Digest {
        *self.nodes.last().expect("a tree has a leaf")
    }

    /// What shows that the entry at `seat` is in it.
    ///
    /// # Panics
    /// When the seat is that of another bundle.
    #[must_use]
    pub fn branch(&self, seat: Seat) -> Branch {
        let mut branch = Branch { seat, path: [Digest::ZERO; BUNDLE_PATH_MAX] };
        self.branch_into(seat, &mut branch);
        branch
    }

    /// The same, in the place of another one.
    ///
    /// # Panics
    /// When the seat is that of another bundle.
    pub fn branch_into(&self, seat: Seat, branch: &mut Branch) {
        assert_eq!(seat.count, self.count, "the entry is of this bundle");
        branch.seat = seat;
        let (mut level, mut width, mut places) = (0, seat.count(), branch.path.iter_mut());
        for turn in seat.turns() {
            while width > turn.width {
                (level, width) = (level + width, width.div_ceil(2));
            }
            *places.next().expect("a path is bounded") = self.nodes[level + turn.sibling];
        }
        // Two branches are the same if their paths are.
        places.for_each(|place| *place = Digest::ZERO);
    }
}

/// What shows that one entry is in a bundle: its seat, and the digests beside the way from its leaf
/// to the root. On which sides they are follows from the seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    seat: Seat,
    path: [Digest; BUNDLE_PATH_MAX],
}

impl Branch {
    /// Of a seat, with as many digests as its path has; `None` with another number of them.
    #[must_use]
    pub fn new(seat: Seat, digests: &[[u8; 32]]) -> Option<Self> {
        if digests.len() != seat.path_length() {
            return None;
        }
        let mut path = [Digest::ZERO; BUNDLE_PATH_MAX];
        path.iter_mut().zip(digests).for_each(|(place, digest)| *place = Digest(*digest));
        Some(Self { seat, path })
    }

    /// Where the entry stands.
    #[must_use]
    pub fn seat(&self) -> Seat {
        self.seat
    }

    /// The digests, from the leaf up.
    #[must_use]
    pub fn path(&self) -> &[Digest] {
        &self.path[..self.seat.path_length()]
    }
}

/// What was signed for a voucher or a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signable {
    /// One voucher.
    Voucher([u8; MESSAGE_BYTES]),
    /// All entries of a bundle.
    Bundle([u8; BUNDLE_MESSAGE_BYTES]),
}

impl Signable {
    /// The message.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Voucher(bytes) => bytes,
            Self::Bundle(bytes) => bytes,
        }
    }
}

/// The leaf of an entry: channel, total u64; little endian.
fn leaf(channel: ChannelId, total: Amount) -> [u8; 40] {
    let mut leaf = [0; 40];
    leaf[..32].copy_from_slice(&channel.0);
    leaf[32..].copy_from_slice(&total.0.to_le_bytes());
    leaf
}

/// A bundle's tree, up to a level.
struct Growing {
    count: u8,
    nodes: Vec<[u8; 32]>,
    /// How many of them, the last ones, are the level.
    width: usize,
}

impl Growing {
    fn from(leaves: &[[u8; 32]]) -> Self {
        let width = leaves.len();
        let seat = Seat::new(0, width).expect("a bundle is bounded");
        let levels =
            std::iter::successors(Some(width), |width| (*width > 1).then(|| width.div_ceil(2)));
        let mut nodes = Vec::with_capacity(levels.sum());
        nodes.extend_from_slice(leaves);
        Self { count: seat.count, nodes, width }
    }

    /// What is to be joined.
    fn pairs(&self) -> &[[[u8; 32]; 2]] {
        self.nodes[self.nodes.len() - self.width..].as_chunks().0
    }

    /// Goes up one level, by what its pairs became.
    fn rise(&mut self, joined: &mut impl Iterator<Item = [u8; 32]>) {
        if self.width == 1 {
            return;
        }
        let odd = (self.width % 2 == 1).then(|| *self.nodes.last().expect("a level has a node"));
        self.nodes.extend(joined.take(self.width / 2));
        self.nodes.extend(odd);
        self.width = self.width.div_ceil(2);
    }
}

/// Hashes the bundles of one network.
#[derive(Clone)]
pub struct BundleHasher {
    network: NetworkId,
    leaf: Context,
    node: Context,
    bundle: Context,
}

impl BundleHasher {
    /// For the bundles of `network`.
    #[must_use]
    pub fn new(network: NetworkId) -> Self {
        let (leaf, node) = (Context::new(LEAF_CONTEXT), Context::new(NODE_CONTEXT));
        Self { network, leaf, node, bundle: Context::new(BUNDLE_CONTEXT) }
    }

    /// The tree over entries: of each its channel and its total.
    ///
    /// # Panics
    /// Without an entry, or with too many.
    #[must_use]
    pub fn tree(&self, entries: impl ExactSizeIterator<Item = (ChannelId, Amount)>) -> BundleTree {
        let mut width = entries.len();
        let seat = Seat::new(0, width).expect("a bundle is bounded");
        let levels =
            std::iter::successors(Some(width), |width| (*width > 1).then(|| width.div_ceil(2)));
        let mut nodes = Vec::with_capacity(levels.sum());
        nodes.extend(entries.map(|(channel, total)| self.leaf(channel, total)));
        while width > 1 {
            let level = nodes.len() - width;
            for pair in 0..width / 2 {
                let at = level + 2 * pair;
                nodes.push(self.node.hash(&[&nodes[at].0, &nodes[at + 1].0]));
            }
            if width % 2 == 1 {
                nodes.push(nodes[level + width - 1]);
            }
            width = width.div_ceil(2);
        }
        BundleTree { count: seat.count, nodes: nodes.into() }
    }

    /// The trees of several bundles, of each those of the entries that are within its part: in less
    /// time than one after the other.
    ///
    /// # Panics
    /// When one is without an entry, or has too many.
    #[must_use]
    pub fn trees(
        &self,
        entries: &[(ChannelId, Amount)],
        bundles: impl Iterator<Item = Range<usize>>,
    ) -> Vec<BundleTree> {
        let leaves: Vec<_> =
            entries.iter().map(|(channel, total)| leaf(*channel, *total)).collect();
        let mut digests = Vec::new();
        self.leaf.hash_all(&leaves, &mut digests);
        let mut growing: Vec<Growing> =
            bundles.map(|bundle| Growing::from(&digests[bundle])).collect();
        // Level by level, all of them together.
        let mut pairs = Vec::new();
        loop {
            pairs.clear();
            growing.iter().for_each(|tree| pairs.extend(tree.pairs().iter().map(both)));
            if pairs.is_empty() {
                break;
            }
            digests.clear();
            self.node.hash_all(&pairs, &mut digests);
            let mut joined = digests.drain(..);
            growing.iter_mut().for_each(|tree| tree.rise(&mut joined));
        }
        let whole = |Growing { nodes, count, .. }: Growing| {
            let nodes = nodes.into_iter().map(Digest).collect();
            BundleTree { count, nodes }
        };
        growing.into_iter().map(whole).collect()
    }

    /// What a signer signs for the bundle with this tree.
    #[must_use]
    pub fn message(&self, signer: SignerKey, tree: &BundleTree) -> Signable {
        self.message_over(signer, tree.count, tree.root())
    }

    /// What was signed for a voucher, or an entry with its branch. `None` where the bytes are
    /// neither, or the branch is not that of the entry.
    #[must_use]
    pub fn signed(
        &self,
        voucher: Packed<'_>,
        channel: ChannelId,
        branch: Option<&Branch>,
    ) -> Option<Signable> {
        match (voucher.form(), branch) {
            (Form::Voucher, None) => {
                let text = message(channel, voucher.cumulative(), voucher.expires_at());
                Some(Signable::Voucher(text))
            }
            (Form::Entry(seat), Some(branch)) if branch.seat == seat => {
                let leaf = self.leaf(channel, voucher.cumulative());
                let root = seat.turns().zip(branch.path()).fold(leaf, |digest, (turn, sibling)| {
                    if turn.is_left() {
                        self.node.hash(&[&sibling.0, &digest.0])
                    } else {
                        self.node.hash(&[&digest.0, &sibling.0])
                    }
                });
                Some(self.message_over(voucher.signer(), seat.count, root))
            }
            (Form::Voucher | Form::Entry(_) | Form::Unknown, _) => None,
        }
    }

    fn leaf(&self, entry: ChannelId, total: Amount) -> Digest {
        self.leaf.hash(&[&leaf(entry, total)])
    }

    fn message_over(&self, signer: SignerKey, count: u8, root: Digest) -> Signable {
        let count = u32::from(count).to_le_bytes();
        let bundle = self.bundle.hash(&[&self.network.0, &signer.0, &count, &root.0]);
        let mut out = [0; BUNDLE_MESSAGE_BYTES];
        out[..2].copy_from_slice(&[0x56, 0x02]);
        out[2..].copy_from_slice(&bundle.0);
        Signable::Bundle(out)
    }
}

#[cfg(test)]
mod tests;
