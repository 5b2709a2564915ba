//! Claims without their thread: whoever moves everything one step at a time does what it would.

use super::Claims;
use super::writer::{Asked, Writer};
use crate::journal::JournalError;
use crate::limits::CLAIMS_AT_ONCE;
use crate::pipeline::Intake;
use crossbeam::channel::Receiver;

/// What the thread would do.
pub struct ClaimStep {
    writer: Writer,
    asks: Receiver<Asked>,
}

impl Claims {
    /// Without the thread, and the steps by which they are written.
    ///
    /// # Errors
    /// Of the storage.
    pub fn stepped(intake: &Intake) -> Result<(Self, ClaimStep), JournalError> {
        let (claims, writer, asks) = Self::wired(intake)?;
        Ok((claims, ClaimStep { writer, asks }))
    }
}

impl ClaimStep {
    /// Does so much of what is asked, with one sync. `moves`: the marks move on, too.
    ///
    /// # Errors
    /// Of the storage.
    pub fn turn(&mut self, most: usize, moves: bool) -> Result<(), JournalError> {
        let hand: Vec<Asked> = self.asks.try_iter().take(most.min(CLAIMS_AT_ONCE)).collect();
        let idle = hand.is_empty();
        self.writer.turn(hand, idle, moves)
    }

    /// How much is asked.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.asks.len()
    }
}
