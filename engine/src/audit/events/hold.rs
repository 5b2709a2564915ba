//! A ledger that was restored from a copy: nothing is approved and nothing leaves before somebody
//! has said that it may.

use super::{Audit, Done};
use crate::audit::difference::Difference;
use crate::ledger::LegState;
use crate::ledger::event::{HoldEvent, LegsMoved};
use crate::types::Lsn;

impl Audit<'_> {
    pub(super) fn hold(&mut self, lsn: Lsn, event: &HoldEvent) -> Done {
        match event {
            HoldEvent::Begun(e) if e.position < lsn => {
                self.held = Some(lsn);
                Ok(())
            }
            HoldEvent::Begun(e) => {
                let expected = "a record before it";
                Err(Difference::new("where the copy ended", expected, e.position).into())
            }
            HoldEvent::Released(e) if self.held == Some(e.restored) => {
                self.held = None;
                Ok(())
            }
            HoldEvent::Released(e) => {
                let expected = "the record that began it";
                Err(Difference::new("the end of a hold", expected, e.restored).into())
            }
        }
    }

    /// Whether money may be on its way.
    pub(super) fn may_leave(&self) -> Result<(), Difference> {
        match self.held {
            None => Ok(()),
            Some(lsn) => {
                let expected = format!("nothing that leaves before the hold of record {lsn} ends");
                Err(Difference::new("a payment", expected, "one"))
            }
        }
    }

    /// The same of moves: a call that is made again leaves again.
    pub(super) fn moves_may_leave(&self, e: &LegsMoved) -> Result<(), Difference> {
        let leaves = e.moves.iter().any(|one| one.to == LegState::Sent);
        if leaves { self.may_leave() } else { Ok(()) }
    }
}
