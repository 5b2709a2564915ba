//! What a ledger does not do that was restored from an older copy: let payments leave. What left
//! since the copy was made is not in it, and would leave again.
//!
//! Until an operator has looked, nothing is approved, nothing is submitted, and no call is made
//! again. Everything else goes on: vouchers are credited, windows close, what rails say is heard.

use super::Control;
use crate::envelope::Caller;
use crate::event::{Event, HoldEvent, HoldReleased, LedgerRestored};
use crate::refusal::Refusal;
use crate::types::{Lsn, Timestamp};
use crate::wish::Wish;
use rkyv::{Archive, Deserialize, Serialize};

/// The last copy that the ledger was restored from.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct HoldEntry {
    /// The record that says so.
    pub lsn: Lsn,
    /// When it was written.
    pub at: Timestamp,
    /// Which copy.
    pub of: LedgerRestored,
    /// The record by which payments leave again, when, and who said so.
    pub released: Option<(Lsn, Timestamp, String)>,
}

impl Control {
    /// The last copy that the ledger was restored from, if there is one.
    #[must_use]
    pub fn restored(&self) -> Option<&HoldEntry> {
        self.hold.as_ref()
    }

    /// Since which copy nothing leaves, if that is so.
    #[must_use]
    pub fn on_hold(&self) -> Option<&HoldEntry> {
        self.hold.as_ref().filter(|hold| hold.released.is_none())
    }

    /// Whether payments may be approved, and leave.
    pub(super) fn check_hold(&self) -> Result<(), Refusal> {
        match self.on_hold() {
            Some(hold) => Err(Refusal::OnHold { position: hold.of.position }),
            None => Ok(()),
        }
    }

    /// The begin of a hold, and its end.
    pub(super) fn of_hold(&self, wish: Wish) -> Result<Event, Refusal> {
        if let Wish::BeginHold(of) = wish {
            return Ok(Event::from(of));
        }
        let Wish::ReleaseHold { reason } = wish else { panic!("{wish:?} is about no hold") };
        let restored = self.on_hold().ok_or(Refusal::NotOnHold)?.lsn;
        Ok(Event::from(HoldReleased { restored, reason }))
    }

    pub(super) fn apply_hold(
        &mut self,
        (lsn, at): (Lsn, Timestamp),
        caller: &Caller,
        event: &HoldEvent,
    ) {
        match event {
            HoldEvent::Begun(of) => {
                self.hold = Some(HoldEntry { lsn, at, of: *of, released: None });
            }
            HoldEvent::Released(_) => {
                let hold = self.hold.as_mut().expect("it was found when this was decided");
                hold.released = Some((lsn, at, caller.name.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
