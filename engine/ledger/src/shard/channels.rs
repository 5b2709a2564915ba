//! The channels of one shard: what each holds, and the two lists by which what changed leaves it:
//! the evidence of a window that was cut, and the channels of a checkpoint.
//!
//! Both are pictures of one moment, taken without stopping: the list is set aside, a few entries
//! are copied at a time, and a channel that changes before its turn is copied first. Knows no rule
//! of credit; parties and signers are numbers here.

mod blocks;
mod index;
mod parts;

use crate::canary::{Bug, planted};
use crate::types::{
    Amount, AssetNumber, Branch, BundleTree, ChannelId, Lsn, SIGNATURE_BYTES, Seat, Timestamp,
    WindowNumber,
};
use blocks::Blocks;
pub(super) use index::Hash;
use index::Index;
pub(super) use parts::{Channel, Head, Picture, Signed};
use parts::{FREE, Rest, Standing, channel_of, parts_of};

/// Where a channel stands in the tables of its shard.
/// No narrower than a length: however many there are, each has a place.
pub(super) type ChannelIndex = usize;

/// A credited voucher, or an entry of a bundle, as its channel takes it.
pub(super) struct Credit<'a> {
    pub total: Amount,
    pub lsn: Lsn,
    pub signature: &'a [u8; SIGNATURE_BYTES],
    /// Of an entry: the tree of its bundle, and where it stands in it.
    pub entry: Option<(&'a BundleTree, Seat)>,
}

/// A new channel's fixed fields.
pub(super) struct Stream {
    pub lane: u64,
    pub expires_at: i64,
    pub signer: u32,
    pub payee: u32,
    pub asset: AssetNumber,
}

/// On no list of changes.
const CLEAN: u8 = 0;

/// Evidence of a closed window that is being copied.
struct Leaving {
    window: WindowNumber,
    list: Vec<ChannelIndex>,
    next: usize,
    /// Pictures that were not handed out yet.
    out: Vec<Picture>,
}

/// What has left of a closed window, since it was looked last.
pub(super) struct Left {
    pub pictures: Vec<Picture>,
    /// Whether that was all.
    pub last: bool,
}

/// Channels of a checkpoint that are being copied.
struct Saving {
    /// The list of changes that is set aside.
    mark: u8,
    list: SavingList,
    next: usize,
    out: Vec<Picture>,
    /// Channels that had expired by then, and were credited last before the window that was open
    /// then, are forgotten.
    at: Timestamp,
    open: WindowNumber,
    forgotten: Vec<ChannelIndex>,
}

enum SavingList {
    Changed(Vec<ChannelIndex>),
    /// Every channel below this index.
    All(usize),
}

/// All channels of a shard. What belongs to one has the same place everywhere.
pub(super) struct Channels {
    index: Index,
    heads: Blocks<Head>,
    rests: Blocks<Rest>,
    signatures: Blocks<[u8; SIGNATURE_BYTES]>,
    free: Vec<ChannelIndex>,
    /// The window that is open.
    window: WindowNumber,
    /// Channels that were credited in it.
    due: Vec<ChannelIndex>,
    leaving: Option<Leaving>,
    /// The list of changes that is written to now: 1 or 2, in turn.
    mark: u8,
    changed: Vec<ChannelIndex>,
    saving: Option<Saving>,
}

impl Channels {
    pub fn new() -> Self {
        Self {
            index: Index::new(),
            heads: Blocks::new(),
            rests: Blocks::new(),
            signatures: Blocks::new(),
            free: Vec::new(),
            window: WindowNumber(1),
            due: Vec::new(),
            leaving: None,
            mark: 1,
            changed: Vec::new(),
            saving: None,
        }
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn window(&self) -> WindowNumber {
        self.window
    }

    /// Which window is open, before there is any channel.
    pub fn open_at(&mut self, window: WindowNumber) {
        assert!(self.heads.len() == 0 && self.leaving.is_none(), "no channel is held yet");
        self.window = window;
    }

    pub fn find(&self, id: &ChannelId) -> Option<ChannelIndex> {
        self.find_hashed(self.hash(id), id)
    }

    /// Where an id is looked for.
    pub fn hash(&self, id: &ChannelId) -> Hash {
        self.index.hash(id)
    }

    /// Reads where an id would be found: of many, all at once, before the first is looked for.
    pub fn touch(&self, hash: Hash) -> u64 {
        self.index.touch(hash)
    }

    pub fn find_hashed(&self, hash: Hash, id: &ChannelId) -> Option<ChannelIndex> {
        self.index.find(hash, |at| self.heads[at].id == *id)
    }

    /// Reads the head that is probably its.
    pub fn touch_head(&self, hash: Hash) -> u64 {
        self.index.likely(hash).map_or(0, |index| self.heads[index].total.0)
    }

    /// Reads where its signature lies, which the next credit writes.
    pub fn touch_signature(&self, index: ChannelIndex) -> u64 {
        u64::from(self.signatures[index][0])
    }

    pub fn head(&self, index: ChannelIndex) -> &Head {
        &self.heads[index]
    }

    pub fn get(&self, index: ChannelIndex) -> Channel {
        channel_of(&self.heads[index], &self.rests[index])
    }

    /// The channels that were credited in the open window.
    pub fn of_open_window(&self) -> impl Iterator<Item = Channel> {
        self.due.iter().map(|&index| self.get(index))
    }

    /// Every channel that is held.
    pub fn all(&self) -> impl Iterator<Item = Channel> {
        let held = self.heads.iter().zip(self.rests.iter());
        held.filter(|(head, _)| head.signer != FREE).map(|(head, rest)| channel_of(head, rest))
    }

    /// What a channel holds, as a picture of now.
    pub fn picture(&self, index: ChannelIndex) -> Picture {
        let (signature, branch) = (self.signatures[index], self.rests[index].branch.clone());
        Picture { channel: self.get(index), signed: Signed { signature, branch } }
    }

    /// Raises the total of a channel.
    pub fn raise(&mut self, index: ChannelIndex, credit: &Credit<'_>) {
        let Head { standing, total, .. } = self.heads[index];
        let first_in_window = !standing.is_due() || standing.window() != self.window;
        // Whoever still waits for the channel as it was gets it first.
        if standing.is_due() && first_in_window {
            let Picture { channel, signed } = self.picture(index);
            let leaving = self.leaving.as_mut().expect("evidence that is due is on a list");
            assert_eq!(leaving.window, channel.window, "evidence is due for the closed window");
            let late = planted(Bug::CutTakesNext);
            let total = if late { credit.total } else { channel.total };
            leaving.out.push(Picture { channel: Channel { total, ..channel }, signed });
        }
        if standing.changed() != self.mark {
            let waits = |saving: &Saving| saving.waits_for(index, standing.changed());
            if self.saving.as_ref().is_some_and(waits) {
                let picture = self.picture(index);
                self.saving.iter_mut().for_each(|saving| saving.out.push(picture.clone()));
            }
            self.changed.push(index);
        }
        if first_in_window {
            self.rests[index].before = total;
            self.due.push(index);
        }
        if standing.has_branch() || credit.entry.is_some() {
            renew(&mut self.rests[index].branch, credit.entry);
        }
        let head = &mut self.heads[index];
        (head.total, head.lsn) = (credit.total, credit.lsn);
        head.standing = Standing::new(self.window, self.mark)
            .with(Standing::DUE, true)
            .with(Standing::BRANCH, credit.entry.is_some());
        self.signatures[index] = *credit.signature;
    }

    /// Adds a channel with its first voucher.
    pub fn open(&mut self, id: ChannelId, stream: &Stream, credit: &Credit<'_>) {
        let Stream { lane, expires_at, signer, payee, asset } = *stream;
        let channel = Channel {
            total: credit.total,
            before: Amount(0),
            lsn: credit.lsn,
            window: self.window,
            lane,
            expires_at,
            signer,
            payee,
            asset,
        };
        let mut branch = None;
        renew(&mut branch, credit.entry);
        let signed = Signed { signature: *credit.signature, branch };
        let index = self.place(id, Picture { channel, signed }, self.mark, true);
        self.due.push(index);
        self.changed.push(index);
    }

    /// Puts a channel that is not held into a place of its own.
    fn place(&mut self, id: ChannelId, picture: Picture, changed: u8, due: bool) -> ChannelIndex {
        assert!(self.find(&id).is_none(), "a channel is held once");
        let (head, rest, signature) = parts_of(id, picture, changed, due);
        let index = self.free.pop().unwrap_or(self.heads.len());
        if index < self.heads.len() {
            self.heads[index] = head;
            self.rests[index] = rest;
            self.signatures[index] = signature;
        } else {
            self.heads.push(head);
            self.rests.push(rest);
            self.signatures.push(signature);
        }
        let Self { index: all, heads, .. } = self;
        let hash = all.hash(&id);
        all.insert(hash, index, |all, at| all.hash(&heads[at].id));
        index
    }

    /// Puts back a channel of a checkpoint.
    pub fn restore(&mut self, id: ChannelId, picture: Picture) {
        let due = picture.channel.window == self.window;
        match self.find(&id) {
            // A later part of the checkpoint holds the channel as it was later.
            Some(index) => {
                let was_due = self.heads[index].standing.is_due();
                let (head, rest, signature) = parts_of(id, picture, CLEAN, due);
                self.heads[index] = head;
                self.rests[index] = rest;
                self.signatures[index] = signature;
                if due && !was_due {
                    self.due.push(index);
                }
            }
            None => {
                let index = self.place(id, picture, CLEAN, due);
                if due {
                    self.due.push(index);
                }
            }
        }
    }

    /// Room for so many channels more.
    pub fn reserve(&mut self, channels: usize) {
        let Self { index, heads, .. } = self;
        index.reserve(channels, |index, at| index.hash(&heads[at].id));
    }

    /// The open window was cut: its evidence begins to leave, of so many channels. All of the
    /// window before it has left.
    pub fn cut(&mut self, window: WindowNumber) -> usize {
        assert_eq!(window, self.window, "the cut closes the open window");
        assert!(self.leaving.is_none(), "one window after the other leaves");
        let list = std::mem::take(&mut self.due);
        let channels = list.len();
        self.leaving = Some(Leaving { window, list, next: 0, out: Vec::new() });
        self.window = window.next();
        channels
    }

    /// Copies up to `limit` more channels of the closed window. `None` when none is leaving.
    pub fn leave(&mut self, limit: usize) -> Option<Left> {
        let mut leaving = self.leaving.take()?;
        let end = leaving.list.len().min(leaving.next.saturating_add(limit));
        for &index in &leaving.list[leaving.next..end] {
            let standing = self.heads[index].standing;
            if standing.is_due() && standing.window() == leaving.window {
                leaving.out.push(self.picture(index));
                self.heads[index].standing = standing.with(Standing::DUE, false);
            }
        }
        leaving.next = end;
        let pictures = std::mem::take(&mut leaving.out);
        let last = end == leaving.list.len();
        if !last {
            self.leaving = Some(leaving);
        }
        Some(Left { pictures, last })
    }

    /// Begins a checkpoint of what changed since the last one, or of everything. What expired
    /// before `at` and is sealed is forgotten on the way, if everything is looked at.
    pub fn save(&mut self, everything: bool, at: Timestamp) {
        assert!(self.saving.is_none(), "one checkpoint at a time");
        let changed = std::mem::take(&mut self.changed);
        let list = if everything {
            SavingList::All(self.heads.len())
        } else {
            SavingList::Changed(changed)
        };
        let (mark, out, forgotten) = (self.mark, Vec::new(), Vec::new());
        let open = self.window;
        self.saving = Some(Saving { mark, list, next: 0, out, at, open, forgotten });
        self.mark = 3 - self.mark;
    }

    /// Whether channels of a checkpoint or a closed window are still to be copied.
    pub fn is_copying(&self) -> bool {
        self.saving.is_some() || self.leaving.is_some()
    }

    /// Copies up to `limit` more channels of the checkpoint. `None` when there is no checkpoint;
    /// otherwise what was copied, and whether it was the last.
    pub fn saved(&mut self, limit: usize) -> Option<(Vec<Picture>, bool)> {
        let mut saving = self.saving.take()?;
        let length = match &saving.list {
            SavingList::Changed(list) => list.len(),
            SavingList::All(end) => *end,
        };
        let end = length.min(saving.next.saturating_add(limit));
        for place in saving.next..end {
            let index = match &saving.list {
                SavingList::Changed(list) => list[place],
                SavingList::All(_) => place,
            };
            let head = &mut self.heads[index];
            let waits = match &saving.list {
                SavingList::Changed(_) => head.standing.changed() == saving.mark,
                // Changed since then: it was copied when it changed, or came later.
                SavingList::All(_) => head.standing.changed() != self.mark,
            };
            if !waits || head.signer == FREE {
                continue;
            }
            head.standing.set_changed(CLEAN);
            if matches!(saving.list, SavingList::All(_))
                && head.standing.window() < saving.open
                && self.rests[index].expires_at <= saving.at.seconds()
            {
                saving.forgotten.push(index);
                continue;
            }
            saving.out.push(self.picture(index));
        }
        for index in saving.forgotten.drain(..) {
            self.forget(index);
        }
        saving.next = end;
        let out = std::mem::take(&mut saving.out);
        let last = end == length;
        if !last {
            self.saving = Some(saving);
        }
        Some((out, last))
    }

    /// Frees the place of a channel.
    fn forget(&mut self, index: ChannelIndex) {
        let Self { index: all, heads, .. } = self;
        let hash = all.hash(&heads[index].id);
        all.remove(hash, |at| at == index);
        self.heads[index].signer = FREE;
        self.rests[index].branch = None;
        self.free.push(index);
    }
}

/// Takes the branch that came now, in the room of what was there.
fn renew(held: &mut Option<Box<Branch>>, entry: Option<(&BundleTree, Seat)>) {
    match (held, entry) {
        (Some(held), Some((tree, seat))) => tree.branch_into(seat, held),
        (held, Some((tree, seat))) => *held = Some(Box::new(tree.branch(seat))),
        (held, None) => *held = None,
    }
}

impl Saving {
    /// Whether the checkpoint still has to copy the channel, which is about to change.
    fn waits_for(&self, index: ChannelIndex, changed: u8) -> bool {
        if planted(Bug::CheckpointMissesChannel) {
            return false;
        }
        match &self.list {
            SavingList::Changed(_) => changed == self.mark,
            SavingList::All(end) => (self.next..*end).contains(&index),
        }
    }
}
