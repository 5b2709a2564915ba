//! The channels of one shard: what each holds, and the two lists by which what changed leaves it:
//! the evidence of a window that was cut, and the channels of a checkpoint.
//!
//! Both are pictures of one moment, taken without stopping: the list is set aside, a few entries
//! are copied at a time, and a channel that changes before its turn is copied first. Knows no rule
//! of credit; parties and signers are numbers here.

use super::Map;
use crate::canary::{Bug, planted};
use crate::types::{
    Amount, AssetNumber, Branch, ChannelId, Lsn, SIGNATURE_BYTES, Timestamp, WindowNumber,
};

/// Where a channel stands in the tables of its shard.
/// No narrower than a length: however many there are, each has a place.
pub(super) type ChannelIndex = usize;

/// What one channel holds: one cache line. What was signed lies apart, for only evidence needs it.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Channel {
    /// The running total that was credited last.
    pub total: Amount,
    /// The total when `window` opened.
    pub before: Amount,
    /// The record that credited it last.
    pub lsn: Lsn,
    /// The window in which it was credited last.
    pub window: WindowNumber,
    pub lane: u64,
    pub expires_at: i64,
    pub signer: u32,
    pub payee: u32,
    pub asset: AssetNumber,
    /// Which list of changes it is on; `CLEAN` for none.
    pub changed: u8,
    /// Its evidence of `window` was not copied yet.
    pub due: bool,
}

const _: () = assert!(size_of::<Channel>() == 64);

/// What proves the newest total of a channel.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    /// A voucher's own, or that of the bundle that it came in.
    pub signature: [u8; SIGNATURE_BYTES],
    /// Where it came in a bundle. In a box, for most are vouchers.
    pub branch: Option<Box<Branch>>,
}

/// A channel as it was at a moment, with what proves its newest total.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub channel: Channel,
    pub signed: Signed,
}

/// A credited voucher, or an entry of a bundle, as its channel takes it.
pub(super) struct Credit<'a> {
    pub total: Amount,
    pub lsn: Lsn,
    pub signature: &'a [u8; SIGNATURE_BYTES],
    pub branch: Option<Branch>,
}

impl Signed {
    fn of(credit: &Credit<'_>) -> Self {
        Self { signature: *credit.signature, branch: credit.branch.map(Box::new) }
    }

    /// Takes what came now, in the room of what was there.
    fn renew(&mut self, credit: &Credit<'_>) {
        self.signature = *credit.signature;
        match (&mut self.branch, credit.branch) {
            (Some(held), Some(branch)) => **held = branch,
            (held, branch) => *held = branch.map(Box::new),
        }
    }
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
pub(super) const CLEAN: u8 = 0;

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

/// All channels of a shard.
pub(super) struct Channels {
    index: Map<ChannelId, ChannelIndex>,
    held: Vec<Channel>,
    signed: Vec<Signed>,
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
            index: Map::default(),
            held: Vec::new(),
            signed: Vec::new(),
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
        assert!(self.held.is_empty() && self.leaving.is_none(), "no channel is held yet");
        self.window = window;
    }

    pub fn find(&self, id: &ChannelId) -> Option<ChannelIndex> {
        self.index.get(id).copied()
    }

    pub fn get(&self, index: ChannelIndex) -> &Channel {
        &self.held[index]
    }

    /// The channels that were credited in the open window.
    pub fn of_open_window(&self) -> impl Iterator<Item = &Channel> {
        self.due.iter().map(|&index| self.get(index))
    }

    /// Every channel that is held.
    pub fn all(&self) -> impl Iterator<Item = &Channel> {
        self.held.iter().filter(|channel| channel.signer != FREE)
    }

    /// What a channel holds, as a picture of now.
    pub fn picture(&self, index: ChannelIndex) -> Picture {
        Picture { channel: self.held[index], signed: self.signed[index].clone() }
    }

    /// Raises the total of a channel.
    pub fn raise(&mut self, index: ChannelIndex, credit: &Credit<'_>) {
        let place = index;
        let channel = self.held[place];
        // Whoever still waits for the channel as it was gets it first.
        if channel.due && channel.window != self.window {
            let signed = self.signed[place].clone();
            let leaving = self.leaving.as_mut().expect("evidence that is due is on a list");
            assert_eq!(leaving.window, channel.window, "evidence is due for the closed window");
            let late = planted(Bug::CutTakesNext);
            let total = if late { credit.total } else { channel.total };
            leaving.out.push(Picture { channel: Channel { total, ..channel }, signed });
        }
        if channel.changed != self.mark {
            if let Some(saving) = &mut self.saving
                && saving.waits_for(index, channel.changed)
            {
                let signed = self.signed[place].clone();
                saving.out.push(Picture { channel, signed });
            }
            self.changed.push(index);
        }
        let first_in_window = !channel.due || channel.window != self.window;
        let channel = &mut self.held[place];
        if first_in_window {
            (channel.window, channel.due) = (self.window, true);
            channel.before = channel.total;
            self.due.push(index);
        }
        channel.changed = self.mark;
        (channel.total, channel.lsn) = (credit.total, credit.lsn);
        self.signed[place].renew(credit);
    }

    /// Adds a channel with its first voucher.
    pub fn open(&mut self, id: ChannelId, stream: &Stream, credit: &Credit<'_>) {
        let channel = Channel {
            total: credit.total,
            before: Amount(0),
            lsn: credit.lsn,
            window: self.window,
            lane: stream.lane,
            expires_at: stream.expires_at,
            signer: stream.signer,
            payee: stream.payee,
            asset: stream.asset,
            changed: self.mark,
            due: true,
        };
        let index = self.place(channel, Signed::of(credit));
        self.due.push(index);
        self.changed.push(index);
        let before = self.index.insert(id, index);
        assert!(before.is_none(), "a channel is opened once");
    }

    fn place(&mut self, channel: Channel, signed: Signed) -> ChannelIndex {
        if let Some(index) = self.free.pop() {
            self.held[index] = channel;
            self.signed[index] = signed;
            return index;
        }
        let index = self.held.len();
        self.held.push(channel);
        self.signed.push(signed);
        index
    }

    /// Puts back a channel of a checkpoint.
    pub fn restore(&mut self, id: ChannelId, picture: Picture) {
        let Picture { mut channel, signed } = picture;
        channel.changed = CLEAN;
        channel.due = channel.window == self.window;
        match self.index.get(&id) {
            // A later part of the checkpoint holds the channel as it was later.
            Some(&index) => {
                let was_due = self.held[index].due;
                self.held[index] = channel;
                self.signed[index] = signed;
                if channel.due && !was_due {
                    self.due.push(index);
                }
            }
            None => {
                let index = self.place(channel, signed);
                self.index.insert(id, index);
                if channel.due {
                    self.due.push(index);
                }
            }
        }
    }

    /// Room for so many channels more.
    pub fn reserve(&mut self, channels: usize) {
        self.index.reserve(channels);
        self.held.reserve(channels);
        self.signed.reserve(channels);
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
            let channel = &mut self.held[index];
            if channel.due && channel.window == leaving.window {
                let signed = self.signed[index].clone();
                leaving.out.push(Picture { channel: *channel, signed });
                channel.due = false;
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
            SavingList::All(self.held.len())
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
    /// otherwise what was copied, and whether it was the last. `id` gives a channel's id.
    pub fn saved(
        &mut self,
        limit: usize,
        id: impl Fn(&Channel) -> ChannelId,
    ) -> Option<(Vec<Picture>, bool)> {
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
            let channel = &mut self.held[index];
            let waits = match &saving.list {
                SavingList::Changed(_) => channel.changed == saving.mark,
                // Changed since then: it was copied when it changed, or came later.
                SavingList::All(_) => channel.changed != self.mark,
            };
            if !waits || channel.signer == FREE {
                continue;
            }
            channel.changed = CLEAN;
            if matches!(saving.list, SavingList::All(_))
                && channel.window < saving.open
                && channel.expires_at <= saving.at.seconds()
            {
                saving.forgotten.push(index);
                continue;
            }
            let signed = self.signed[index].clone();
            saving.out.push(Picture { channel: *channel, signed });
        }
        for index in saving.forgotten.drain(..) {
            self.index.remove(&id(&self.held[index]));
            self.held[index].signer = FREE;
            self.signed[index].branch = None;
            self.free.push(index);
        }
        saving.next = end;
        let out = std::mem::take(&mut saving.out);
        let last = end == length;
        if !last {
            self.saving = Some(saving);
        }
        Some((out, last))
    }
}

/// The signer of a place that holds no channel.
const FREE: u32 = u32::MAX;

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
