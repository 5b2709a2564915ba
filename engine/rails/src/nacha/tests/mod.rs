//! What ACH files must be: sound to a reader that shares no code with the writer, equal to the sums
//! of the ledger, the same bytes for ever; and what return files may and may not do.
//!
//! `slicer` is the independent reader, `returns` an independent writer of return files.

mod arriving;
mod files;
mod golden;
mod hostile;
mod reading;
mod returns;
mod slicer;

use super::account::{check_account, check_clearing};
use super::money::policy;
use super::plan::{LIMITS, Limits, files_within};
use super::*;
use crate::opened::compute;
use crate::tests::window;
use std::collections::BTreeMap;
use tallystick_ledger::types::{AssetDef, AssetNumber, PartyId, SettlementModel, Timestamp, Total};
use tallystick_ledger::{Account, Obligation, OpenBatch, Rail};

/// 2026-11-23 is a Monday; Thursday is Thanksgiving.
const CUT_AT: Timestamp = Timestamp(1_795_450_825_123_456);

fn party(number: u16) -> PartyId {
    let mut id = PartyId::ZERO;
    id.0[0] = 0xa0;
    id.0[30..].copy_from_slice(&number.to_be_bytes());
    id
}

fn number(party: PartyId) -> u16 {
    u16::from_be_bytes([party.0[30], party.0[31]])
}

fn asset(scale: u32) -> AssetDef {
    let model = SettlementModel::Multilateral;
    AssetDef { number: AssetNumber(840), code: "USD".into(), scale, model }
}

/// A bank's routing number whose check digit is computed here, apart from the code that checks it.
fn routing(bank: u32) -> String {
    let eight = format!("0210{:04}", bank % 10_000);
    let digit = |place: usize| u32::from(eight.as_bytes()[place] - b'0');
    let threes = digit(0) + digit(3) + digit(6);
    let sevens = digit(1) + digit(4) + digit(7);
    let sum = 3 * threes + 7 * sevens + digit(2) + digit(5);
    format!("{eight}{}", (10 - sum % 10) % 10)
}

fn clearing(same_day: bool) -> Vec<(String, String)> {
    let fields = [
        ("account", "9876543210"),
        ("company_id", "1999999999"),
        ("company_name", "Tally Clearing"),
        ("destination_name", "First Bank of Somewhere"),
        ("immediate_destination", "091000019"),
        ("immediate_origin", "121042882"),
        ("odfi_routing", "121042882"),
        ("origin_name", "Tally Clearing Inc."),
        ("routing", "121042882"),
        ("same_day", if same_day { "yes" } else { "no" }),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    check_clearing(&BTreeMap::from(fields)).unwrap()
}

fn account(party: PartyId, name: &str) -> Account {
    let number = u32::from(number(party));
    let mut fields = BTreeMap::from([
        ("routing".to_owned(), routing(number)),
        ("account".to_owned(), format!("ACC-{number}")),
    ]);
    if number.is_multiple_of(3) {
        fields.insert("type".into(), "savings".into());
    }
    Account { name: name.into(), fields: check_account(&fields).unwrap() }
}

fn plain(party: PartyId) -> String {
    format!("Agent {}", number(party))
}

/// A batch in which the first of each triple owes the second the third.
fn batch(
    asset: &AssetDef,
    clearing: &[(String, String)],
    cut_at: Timestamp,
    owed: &[(u16, u16, u128)],
    name: &dyn Fn(PartyId) -> String,
) -> OpenBatch {
    let net = owed.iter().map(|&(payer, payee, amount)| Obligation {
        payer: party(payer),
        payee: party(payee),
        amount: Total(amount),
    });
    let window = window(asset, cut_at, net);
    let policy = policy(asset, clearing).unwrap();
    let account = |party| Some(account(party, &name(party)));
    compute(&[window], asset, &policy, account, |_| Total::ZERO).unwrap()
}

/// The same with what most tests do not care about.
fn small(owed: &[(u16, u16, u128)]) -> OpenBatch {
    batch(&asset(6), &clearing(false), CUT_AT, owed, &plain)
}

fn rendered(content: &OpenBatch, limits: &Limits) -> Vec<String> {
    let parts = files_within(content, 0, limits).unwrap();
    let text = |part: &FilePart| {
        let mut out = Vec::new();
        render(content, part, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    parts.iter().map(text).collect()
}

/// A leg's amount in cents, by another way than the writer's.
fn cents_of(content: &OpenBatch, amount: Total) -> u128 {
    let hundred = amount.0 * 100;
    let whole = content.head.asset.whole().0;
    assert_eq!(hundred % whole, 0);
    hundred / whole
}
