//! Who approves what waits for it: now and then, and all of it at the end. Draws nothing of what is
//! settled.

use crate::clients::{OPERATORS, by};
use crate::life::Halt;
use crate::run::Run;
use tallystick::ledger::{BatchState, Wish};
use tallystick::types::BatchId;

impl Run<'_> {
    /// Has batches made of all that can be settled, and every batch approved.
    pub(crate) fn last_batches(&mut self) -> Result<(), Halt> {
        for ask in self.clients.last_batches(&mut self.dice, &self.model.now) {
            self.ask_batch(ask)?;
            self.settle()?;
        }
        // Nothing is approved that a trouble says was paid, until somebody has looked.
        let troubles: Vec<u64> = self.model.now.troubles.keys().copied().collect();
        if !troubles.is_empty() {
            let (request, note) = (self.clients.new_request(), "the end".to_owned());
            let ack = Wish::AckTroubles { troubles, note }.by(by(OPERATORS[0]), request);
            self.ask_commands(vec![ack])?;
            self.settle()?;
        }
        for (batch, creator) in self.computed() {
            self.approve(batch, another(&creator))?;
        }
        self.settle()
    }

    pub(crate) fn approve(&mut self, batch: BatchId, operator: &str) -> Result<(), Halt> {
        let request = self.clients.new_request();
        self.ask_commands(vec![
            Wish::ApproveBatch { batch, signed: None }.by(by(operator), request),
        ])
    }

    /// Batches that wait for approval, and who computed each.
    pub(crate) fn computed(&mut self) -> Vec<(BatchId, String)> {
        let control = self.life().stepper.control();
        let all = control.batches().into_iter();
        let waiting = all.filter(|entry| entry.state() == BatchState::Computed);
        waiting.map(|entry| (entry.head.id, entry.by.operator.clone())).collect()
    }
}

/// An operator who is not this one.
pub(crate) fn another(operator: &str) -> &'static str {
    if operator == OPERATORS[0] { OPERATORS[1] } else { OPERATORS[0] }
}
