//! The rails, as the ledger knows them: by name and number, and by what each can do by itself. What
//! their files and calls look like is known elsewhere.

use super::batch::Payment;
use super::leg::LegState;
use rkyv::{Archive, Deserialize, Serialize};

/// An outside network that executes legs. The discriminants are in the journal for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum Rail {
    /// Bank files, ISO 20022 pain.001.
    Iso20022 = 1,
    /// Bank files of the United States, NACHA.
    Nacha = 2,
    /// Charges and payouts of a payment service provider.
    Card = 3,
    /// A token on an EVM chain, paid out by a contract.
    Evm = 4,
}

impl Rail {
    /// Every rail that this engine can settle on.
    pub const ALL: [Self; 4] = [Self::Iso20022, Self::Nacha, Self::Card, Self::Evm];

    /// Its name in calls, accounts and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Iso20022 => "iso20022",
            Self::Nacha => "nacha",
            Self::Card => "card",
            Self::Evm => "evm",
        }
    }

    /// Whether it fetches pay-ins itself, so that the debtors' accounts must be known. A credit
    /// transfer cannot, and neither can a contract.
    #[must_use]
    pub fn collects(self) -> bool {
        match self {
            Self::Iso20022 | Self::Evm => false,
            Self::Nacha | Self::Card => true,
        }
    }

    /// Whether the engine itself asks the rail what becomes of a payment that has left, until the
    /// rail has said it. Then one operator's word that it failed must not come before: the payment
    /// could still be made.
    #[must_use]
    pub fn is_asked(self, payment: &Payment) -> bool {
        match self {
            Self::Iso20022 | Self::Nacha => false,
            Self::Card => true,
            Self::Evm => !payment.is_pay_in(),
        }
    }

    /// Whether an operator's word may move such a payment from `from` to `to`. Not while the engine
    /// has it in hand: its bytes are on their way, or are sent again whatever anybody says (a chain
    /// that leaves a block is sent the same transaction), and what was said to be done otherwise
    /// would be done twice. What a call leaves open is UNKNOWN, and is for two operators.
    #[must_use]
    pub fn takes_word(self, payment: &Payment, from: LegState, to: LegState) -> bool {
        if !self.is_asked(payment) {
            return true;
        }
        match (from, self) {
            (LegState::Sent, _) | (LegState::Accepted, Self::Evm) => false,
            (LegState::Accepted, Self::Iso20022 | Self::Nacha | Self::Card) => {
                to == LegState::Confirmed
            }
            (
                LegState::Ready
                | LegState::Unknown
                | LegState::Confirmed
                | LegState::Rejected
                | LegState::Returned,
                _,
            ) => true,
        }
    }

    /// Whether doubts about one payment keep its party from being charged or paid on this rail: a
    /// call moves money before anybody has looked.
    #[must_use]
    pub fn waits_for_doubts(self) -> bool {
        match self {
            Self::Card => true,
            Self::Iso20022 | Self::Nacha | Self::Evm => false,
        }
    }

    /// The rail of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rail| rail.name() == name)
    }

    /// What is said of a name that is no rail's, everywhere in the same words.
    #[must_use]
    pub fn unknown(name: &str) -> String {
        // What people call rails, and the one that they mean.
        let meant = match name.to_ascii_lowercase().as_str() {
            "sepa" | "swift" | "iban" | "bank" => Some(Self::Iso20022),
            "ach" => Some(Self::Nacha),
            "stripe" | "psp" => Some(Self::Card),
            "eth" | "ethereum" | "base" | "usdc" | "chain" => Some(Self::Evm),
            _other => None,
        };
        let meant = meant.map(|rail| format!("; for {name} use {}", rail.name()));
        let names = Self::ALL.map(Self::name).join(", ");
        format!("there is no rail {name:?}; the rails are {names}{}", meant.unwrap_or_default())
    }

    /// The rail of that journal number.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|rail| *rail as u8 == byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{PartyId, Total};

    /// While a call was under way, one operator's word could say that its leg was paid: by hand,
    /// say. It left all the same, and was paid twice.
    #[test]
    fn an_operator_moves_nothing_that_the_engine_has_in_hand() {
        let party = PartyId([1; 32]);
        let amount = Total(5);
        let pay_in = Payment { from: party, to: PartyId::CLEARING, amount, part: 0 };
        let pay_out = Payment { from: PartyId::CLEARING, to: party, amount, part: 0 };
        let ends = [LegState::Accepted, LegState::Confirmed, LegState::Rejected];
        for (rail, payment, sent, accepted) in [
            (Rail::Iso20022, pay_in, [true; 3], [true; 3]),
            (Rail::Nacha, pay_out, [true; 3], [true; 3]),
            (Rail::Card, pay_in, [false; 3], [false, true, false]),
            (Rail::Card, pay_out, [false; 3], [false, true, false]),
            // The engine cannot collect on the chain: it follows the list of pay-ins by nothing but
            // words.
            (Rail::Evm, pay_in, [true; 3], [true; 3]),
            (Rail::Evm, pay_out, [false; 3], [false; 3]),
        ] {
            let takes = |from| ends.map(|to| rail.takes_word(&payment, from, to));
            assert_eq!(takes(LegState::Sent), sent, "{rail:?}");
            assert_eq!(takes(LegState::Accepted), accepted, "{rail:?}");
            // Two operators agree about the one, and a chargeback may come by letter.
            assert_eq!(takes(LegState::Unknown), [true; 3], "{rail:?}");
            assert!(rail.takes_word(&payment, LegState::Confirmed, LegState::Returned));
        }
    }
}
