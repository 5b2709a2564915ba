//! What the card rail must be: the same bytes for ever, and never a final word on a leg that may
//! stand otherwise.
//!
//! The client meets a real provider's API over HTTP in `engine/tests/card`.

mod answers;
mod calls;
mod webhooks;

use super::account::check_account;
use super::currency::policy;
use super::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tallystick_ledger::types::{
    AssetDef, AssetNumber, BatchId, PartyId, SettlementModel, Timestamp, Total, WindowNumber,
};
use tallystick_ledger::{Account, BatchHead, Leg, OpenBatch, Payment};

/// 2026-11-27.
const CUT_AT: Timestamp = Timestamp(1_795_822_245_123_456);
const KEY: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn asset() -> AssetDef {
    let model = SettlementModel::Multilateral;
    AssetDef { number: AssetNumber(978), code: "EUR".into(), scale: 6, model }
}

fn party(number: u8) -> PartyId {
    PartyId([number; 32])
}

/// Party 1 can be charged, 2 is paid at the provider, 3 on its card; 4 can only be paid.
fn accounts() -> BTreeMap<PartyId, Account> {
    let account = |fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let fields = check_account(&fields).unwrap();
        Account { name: "Agent".into(), fields }
    };
    BTreeMap::from([
        (party(1), account(&[("customer", "cus_1A"), ("payment_method", "pm_1B")])),
        (party(2), account(&[("payout", "acct_2A")])),
        (party(3), account(&[("payout", "card_3A")])),
        (party(4), account(&[("payout", "acct_4A")])),
    ])
}

fn leg(from: PartyId, to: PartyId, units: u128) -> Leg {
    Leg { key: KEY.into(), payment: Payment { from, to, amount: Total(units), part: 0 } }
}

/// A batch by hand: its id does not change with the way batches are hashed.
fn content(legs: Vec<Leg>) -> OpenBatch {
    let clearing = vec![("account".to_owned(), "acct_clearing".to_owned())];
    let head = BatchHead {
        id: BatchId([0xab; 32]),
        windows: vec![WindowNumber(7)],
        cut_at: CUT_AT,
        asset: asset(),
        policy: policy(&asset(), &clearing).unwrap(),
        leg_count: u64::try_from(legs.len()).unwrap(),
        pay_in_count: 0,
        pay_in_total: Total::ZERO,
        total: Total::ZERO,
        carried: Total::ZERO,
        carries: Vec::new(),
        prefunded: Vec::new(),
    };
    OpenBatch { head: Arc::new(head), legs: Arc::new(legs), accounts: Arc::new(accounts()) }
}

/// The call of a payment of 12.34 EUR.
fn call(from: PartyId, to: PartyId) -> CallBytes {
    let leg = leg(from, to, 12_340_000);
    request(&leg, &content(vec![leg.clone()]), API_VERSION).unwrap()
}

fn charge() -> CallBytes {
    call(party(1), PartyId::CLEARING)
}

fn transfer() -> CallBytes {
    call(PartyId::CLEARING, party(2))
}

fn payout() -> CallBytes {
    call(PartyId::CLEARING, party(3))
}

fn giving_back() -> CallBytes {
    let leg = leg(party(1), PartyId::CLEARING, 12_340_000);
    refund(&leg, &content(vec![leg.clone()]), "pi_3MtwBw", API_VERSION).unwrap()
}
