//! Four eyes, on and off: then what else is done is proposed, and confirmed or not.

use super::*;
use crate::event::EyesSet;

#[derive(Debug, Clone)]
pub enum OfEyes {
    Set(bool),
    Confirm(usize),
    Withdraw(usize),
}

pub fn step() -> impl Strategy<Value = OfEyes> {
    prop_oneof![
        1 => any::<bool>().prop_map(OfEyes::Set),
        3 => any::<usize>().prop_map(OfEyes::Confirm),
        1 => any::<usize>().prop_map(OfEyes::Withdraw),
    ]
}

/// Two deposits that are proposed, and one of them confirmed.
pub fn some() -> [Step; 4] {
    let eyes = [OfEyes::Set(true), OfEyes::Confirm(1)].map(Step::Eyes);
    let [set, confirm] = eyes;
    [set, Step::Deposit(1, 7), Step::Deposit(1, 8), confirm]
}

impl World {
    pub fn step_of_eyes(&mut self, step: OfEyes) {
        let open = |any: usize| {
            let all: Vec<Digest> = self.books.control.eyes().all().map(|(_, of)| of.id).collect();
            (!all.is_empty()).then(|| all[any % all.len()])
        };
        let operators = || vec!["ann".to_owned(), "bob".to_owned()];
        match step {
            OfEyes::Set(on) => {
                let operators = if on { operators() } else { Vec::new() };
                drop(self.books.wish(Wish::SetEyes(EyesSet { on, operators })));
            }
            OfEyes::Confirm(any) => {
                if let Some(proposal) = open(any) {
                    self.wish(Wish::ConfirmProposal { proposal, signed: None });
                }
            }
            OfEyes::Withdraw(any) => {
                if let Some(proposal) = open(any) {
                    self.wish(Wish::WithdrawProposal { proposal, reason: "odd".into() });
                }
            }
        }
    }
}
