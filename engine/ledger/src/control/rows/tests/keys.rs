//! Operators' keys that come and go, and the hold of a restored ledger.

use super::*;
use crate::event::LedgerRestored;
use crate::operator_key::OperatorSignature;
use crate::types::{operator_key_statement, operator_removal_statement};

impl World {
    /// It goes on from a copy, or is released.
    pub(super) fn step_of_hold(&mut self, begins: bool) {
        let (instance, backup) = (Digest([1; 32]), Digest([2; 32]));
        let of = LedgerRestored { instance, backup, position: crate::types::Lsn(3) };
        let reason = "looked".to_owned();
        self.wish(if begins { Wish::BeginHold(of) } else { Wish::ReleaseHold { reason } });
    }

    /// Sets this key of an operator who says nothing, or takes the one away that they have.
    pub(super) fn step_of_keys(&mut self, next: Option<u8>) {
        let (network, operator) = (self.books.control.genesis().network, "cid");
        let before = self.books.control.operator_keys().current(operator);
        let by = |key: SignerKey, over| OperatorSignature::checked(over, key, [7; 64]);
        let wish = match (next, before) {
            (Some(n), _) => {
                let key = SignerKey([n; 32]);
                let over = operator_key_statement(network, operator, key, before);
                let (possession, signed) =
                    (Box::new(by(key, over)), before.map(|before| by(before, over)));
                Wish::SetOperatorKey { possession, signed }
            }
            (None, Some(key)) => {
                let over = operator_removal_statement(network, operator, key);
                let (operator, signed) = (operator.to_owned(), Some(by(key, over)));
                Wish::RemoveOperatorKey { operator, key, signed }
            }
            (None, None) => return,
        };
        drop(self.books.wish_by(operator, wish));
    }
}
