//! What is held of one channel, and where: what every voucher touches in one line of the cache, all
//! else apart.

use crate::types::{Amount, AssetNumber, Branch, ChannelId, Lsn, SIGNATURE_BYTES, WindowNumber};

/// All that a channel holds, but what was signed.
#[derive(Debug, Clone, Copy)]
pub(in crate::shard) struct Channel {
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
}

/// What every voucher of a channel reads and changes: one cache line. The signature lies apart, for
/// only evidence reads it, and so does what stays as it is.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(in crate::shard) struct Head {
    pub id: ChannelId,
    pub total: Amount,
    pub lsn: Lsn,
    pub signer: u32,
    pub payee: u32,
    pub(super) standing: Standing,
}

const _: () = assert!(size_of::<Head>() == 64);

/// What changes once a window, or never.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    pub before: Amount,
    pub lane: u64,
    pub expires_at: i64,
    pub asset: AssetNumber,
    /// Where the newest total came in a bundle. In a box, for most are vouchers.
    pub branch: Option<Box<Branch>>,
}

/// In one word: the window in which a channel was credited last, whether its evidence of that
/// window was not copied yet, whether it has a branch, and which list of changes it is on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing(u64);

impl Standing {
    const CHANGED: u64 = 0b11;
    pub const DUE: u64 = 0b100;
    pub const BRANCH: u64 = 0b1000;
    const WINDOW_SHIFT: u32 = 4;

    pub fn new(window: WindowNumber, changed: u8) -> Self {
        assert!(
            window.0 >> (u64::BITS - Self::WINDOW_SHIFT) == 0,
            "a window's number fits 60 bits"
        );
        Self(window.0 << Self::WINDOW_SHIFT | u64::from(changed))
    }

    pub fn with(self, bit: u64, set: bool) -> Self {
        Self(self.0 & !bit | if set { bit } else { 0 })
    }

    pub fn window(self) -> WindowNumber {
        WindowNumber(self.0 >> Self::WINDOW_SHIFT)
    }

    pub fn is_due(self) -> bool {
        self.0 & Self::DUE != 0
    }

    pub fn has_branch(self) -> bool {
        self.0 & Self::BRANCH != 0
    }

    /// `CLEAN` for none.
    pub fn changed(self) -> u8 {
        u8::try_from(self.0 & Self::CHANGED).expect("it is two bits")
    }

    pub fn set_changed(&mut self, list: u8) {
        self.0 = self.0 & !Self::CHANGED | u64::from(list);
    }
}

/// What proves the newest total of a channel.
#[derive(Debug, Clone)]
pub(in crate::shard) struct Signed {
    /// A voucher's own, or that of the bundle that it came in.
    pub signature: [u8; SIGNATURE_BYTES],
    /// Where it came in a bundle. In a box, for most are vouchers.
    pub branch: Option<Box<Branch>>,
}

/// A channel as it was at a moment, with what proves its newest total.
#[derive(Debug, Clone)]
pub(in crate::shard) struct Picture {
    pub channel: Channel,
    pub signed: Signed,
}

/// The signer of a place that holds no channel.
pub(super) const FREE: u32 = u32::MAX;

pub(super) fn channel_of(head: &Head, rest: &Rest) -> Channel {
    let Head { total, lsn, signer, payee, standing, .. } = *head;
    let Rest { before, lane, expires_at, asset, .. } = *rest;
    let window = standing.window();
    Channel { total, before, lsn, window, lane, expires_at, signer, payee, asset }
}

pub(super) fn parts_of(
    id: ChannelId,
    picture: Picture,
    changed: u8,
    due: bool,
) -> (Head, Rest, [u8; SIGNATURE_BYTES]) {
    let Picture { channel, signed: Signed { signature, branch } } = picture;
    let Channel { total, before, lsn, window, lane, expires_at, signer, payee, asset } = channel;
    let standing = Standing::new(window, changed)
        .with(Standing::DUE, due)
        .with(Standing::BRANCH, branch.is_some());
    let head = Head { id, total, lsn, signer, payee, standing };
    (head, Rest { before, lane, expires_at, asset, branch }, signature)
}
