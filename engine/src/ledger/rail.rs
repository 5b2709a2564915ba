//! The rails, as the ledger knows them: by name and number, and by what each can do by itself. What their files
//! and calls look like is known elsewhere.

use super::batch::Payment;
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

    /// Whether it fetches pay-ins itself, so that the debtors' accounts must be known. A credit transfer
    /// cannot, and neither can a contract.
    #[must_use]
    pub fn collects(self) -> bool {
        match self {
            Self::Iso20022 | Self::Evm => false,
            Self::Nacha | Self::Card => true,
        }
    }

    /// Whether the engine itself asks the rail what becomes of a payment that has left, until the rail has said
    /// it. Then one operator's word that it failed must not come before: the payment could still be made.
    #[must_use]
    pub fn is_asked(self, payment: &Payment) -> bool {
        match self {
            Self::Iso20022 | Self::Nacha => false,
            Self::Card => true,
            Self::Evm => !payment.is_pay_in(),
        }
    }

    /// The rail of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rail| rail.name() == name)
    }

    /// The rail of that journal number.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|rail| *rail as u8 == byte)
    }
}
