//! What a source's vouchers have led to of late, and what follows: how much it may have under way,
//! whether it is doubted, and when it may come in next while most of what it brings changes
//! nothing.

use super::{Load, chunk_cost};
use crate::limits::{
    CREDITED_ROOM, JUDGED_VOUCHERS, NEW_SOURCE_FRAMES, NEW_SOURCE_VOUCHERS, TRUSTED_VOUCHERS,
    VAIN_FRAME, VAIN_PART, VAIN_SIGNATURE, VAIN_VOUCHER,
};
use std::time::{Duration, Instant};

/// What a frame led to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::pipeline) struct Answered {
    pub vouchers: u32,
    /// Of these, how many raised a total.
    pub credited: u32,
    /// Of these, how many had their signature checked.
    pub checked: u32,
}

impl Answered {
    /// What it cost, as far as such costs can be known.
    fn cost(self) -> Duration {
        VAIN_FRAME + VAIN_VOUCHER * self.vouchers + VAIN_SIGNATURE * self.checked
    }
}

/// What became of a source's vouchers of late. A frame counts as `CHUNK_COST_MIN` vouchers at
/// least.
#[derive(Debug, Default)]
pub(super) struct Judged {
    answered: u32,
    credited: u32,
    /// What its answered frames cost since one came in last.
    owed: Duration,
    /// When one came in last.
    last: Option<Instant>,
}

impl Judged {
    pub fn note(&mut self, answered: Answered) {
        let Answered { vouchers, credited, .. } = answered;
        let counts = u32::from(chunk_cost(usize::try_from(vouchers).unwrap_or(usize::MAX)));
        // A frame that is counted for more than it holds is so with what was credited, too.
        self.answered = self.answered.saturating_add(counts);
        self.credited = self.credited.saturating_add(counts / vouchers.max(1) * credited);
        self.owed = self.owed.saturating_add(answered.cost());
        while self.answered >= 2 * JUDGED_VOUCHERS {
            (self.answered, self.credited) = (self.answered / 2, self.credited / 2);
        }
    }

    /// Most of what it brings changes nothing.
    pub fn is_slowed(&self) -> bool {
        self.answered >= JUDGED_VOUCHERS && self.credited < self.answered / 2
    }

    /// Too little of it was credited of late to let it keep all workers busy.
    pub fn is_doubted(&self) -> bool {
        self.credited < TRUSTED_VOUCHERS || self.is_slowed()
    }

    /// How much it may have under way, whatever others have.
    pub fn room(&self) -> Load {
        let credited = if self.is_slowed() { 0 } else { self.credited };
        let more = CREDITED_ROOM * usize::try_from(credited).unwrap_or(usize::MAX / CREDITED_ROOM);
        Load { vouchers: NEW_SOURCE_VOUCHERS + more, frames: NEW_SOURCE_FRAMES + more }
    }

    /// When a frame may come in: now, and then it is taken for done; or later, where the source is
    /// slowed, one of so many who are. What was answered is paid for with time before the next one
    /// comes.
    pub fn when(&mut self, now: Instant, slowed: u32) -> Instant {
        let wait = match self.is_slowed() {
            true => self.owed.saturating_mul(VAIN_PART).saturating_mul(slowed.max(1)),
            false => Duration::ZERO,
        };
        let at = self.last.and_then(|last| last.checked_add(wait)).unwrap_or(now).max(now);
        if at == now {
            (self.last, self.owed) = (Some(now), Duration::ZERO);
        }
        at
    }
}
