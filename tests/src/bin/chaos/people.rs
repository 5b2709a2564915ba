//! Who takes part in the run, on which rails, and how each of them behaves.
//!
//! Owns names, tokens, addresses and who fails in which way: all by place, so that a run is the
//! same each time.

use std::collections::BTreeMap;
use tallystick_tests::chain::address;
use tallystick_tests::wire::{
    Asset, Party, SettlementAccount, UpsertPartyRequest, import_request::Item,
};
use tallystick_tests::{PartyId, party_id, request_id};

/// A rail of the run. Each has an asset of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Rail {
    /// A payment service provider.
    Card,
    /// A token on a chain.
    Evm,
}

impl Rail {
    pub const ALL: [Self; 2] = [Self::Card, Self::Evm];

    pub fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Evm => "evm",
        }
    }

    /// The asset's number.
    pub fn asset(self) -> u32 {
        match self {
            Self::Card => 840,
            Self::Evm => 9_001,
        }
    }

    /// The asset; `token` is the code of the one on the chain.
    pub fn asset_message(self, token: &str) -> Asset {
        let (code, scale) = match self {
            // US dollars with six decimals: crumbs below a cent are carried.
            Self::Card => ("USD", 6),
            Self::Evm => (token, crate::chain::SCALE),
        };
        Asset { number: self.asset(), code: code.to_owned(), scale }
    }

    /// Asset units in the smallest payment that the rail can express.
    pub fn unit(self) -> u64 {
        let units = match self {
            Self::Card => crate::provider::UNITS_PER_CENT,
            Self::Evm => crate::chain::UNITS_PER_TOKEN,
        };
        u64::try_from(units).expect("a small number")
    }

    /// Who a party is on the rail: the customer or where it is paid.
    pub fn whom(self, party: PartyId, payer: bool, place: usize) -> String {
        match (self, payer) {
            (Self::Card, true) => payer_tokens(place).0,
            (Self::Card, false) => payee_token(place),
            (Self::Evm, _) => address(party),
        }
    }

    fn fields(self, party: PartyId, payer: bool, place: usize) -> BTreeMap<String, String> {
        let fields = match (self, payer) {
            (Self::Card, true) => {
                let (customer, method) = payer_tokens(place);
                vec![("customer", customer), ("payment_method", method)]
            }
            (Self::Card, false) => vec![("payout", payee_token(place))],
            (Self::Evm, _) => vec![("address", address(party))],
        };
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Registers a party with an account on each rail.
pub fn party(party: PartyId, payer: bool, place: usize, rails: &[Rail]) -> Item {
    let account = |rail: &Rail| {
        let fields = rail.fields(party, payer, place);
        (rail.name().to_owned(), SettlementAccount { fields })
    };
    let kind = if payer { "Buyer" } else { "Seller" };
    let message = Party {
        party_id: party.0.to_vec().into(),
        name: format!("{kind} {place} Inc."),
        suspended: false,
        accounts: rails.iter().map(account).collect(),
        ..Default::default()
    };
    Item::Party(UpsertPartyRequest {
        request_id: request_id("party"),
        party: Some(message),
        reopen: false,
        keep: None,
    })
}

/// The addresses of payees whom the token refuses, among so many.
pub fn refused(payees: usize) -> Vec<String> {
    let places = (0..payees).filter(|place| place % 100 == 13);
    places.map(|place| address(party_id(&format!("payee {place}")))).collect()
}

/// Whether a payer sends the token when it is asked to: what the operator's statement says.
pub fn sends(place: usize) -> bool {
    place % 50 != 21
}

/// Customer and payment method. Most can be charged; the rest fails in every way that a card can.
fn payer_tokens(place: usize) -> (String, String) {
    let method = match place % 100 {
        3 => format!("pm_declined_insufficient_funds_{place}"),
        23 => format!("pm_auth_{place}"),
        43 | 63 => format!("pm_processing_{place}"),
        83 => format!("pm_processing_fails_{place}"),
        _ => format!("pm_{place}"),
    };
    let customer =
        if place % 100 == 93 { format!("cus_deleted_{place}") } else { format!("cus_{place}") };
    (customer, method)
}

/// Where a payee is paid. Most get a transfer, some a payout, a few nothing.
fn payee_token(place: usize) -> String {
    match place % 100 {
        7 | 27 | 47 => format!("ba_{place}"),
        67 => format!("ba_fails_{place}"),
        87 => format!("acct_closed_{place}"),
        _ => format!("acct_{place}"),
    }
}
