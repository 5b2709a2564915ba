//! Accounts, policy, chunks and reports of whole batches.

use super::*;
use crate::account::AccountError;
use crate::opened::compute;
use crate::tests::window;
use crate::{self as rails, LegWord};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tallystick_ledger::limits::{EVM_AMOUNT_MAX, EVM_CHUNK_ITEMS};
use tallystick_ledger::types::{
    AssetDef, AssetNumber, MONEY_MAX, PartyId, SettlementModel, Timestamp, Total, evm_chunk_id,
};
use tallystick_ledger::{Account, Obligation, OpenBatch, Rail, Refusal};

const TOKEN: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const CONTRACT: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

fn clearing(decimals: u32) -> Vec<(String, String)> {
    let fields = [
        ("chain_id", "8453".to_owned()),
        ("contract", CONTRACT.to_lowercase()),
        ("token", TOKEN.into()),
        ("decimals", decimals.to_string()),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    rails::check_clearing(Rail::Evm, &BTreeMap::from(fields)).unwrap()
}

fn asset(scale: u32, model: SettlementModel) -> AssetDef {
    AssetDef { number: AssetNumber(7), code: format!("eip155:8453/erc20:{TOKEN}"), scale, model }
}

fn usdc(scale: u32) -> AssetDef {
    asset(scale, SettlementModel::Multilateral)
}

fn party(number: u32) -> PartyId {
    let mut id = PartyId::ZERO;
    id.0[0] = 0xa0;
    id.0[28..].copy_from_slice(&number.to_be_bytes());
    id
}

fn account(party: PartyId) -> Account {
    let address = format!("0x{}", hex::encode(&party.0[12..]));
    let fields = BTreeMap::from([("address".to_owned(), address)]);
    let fields = rails::check_account("evm", &fields).unwrap().fields;
    Account { name: "somebody".into(), fields }
}

/// The batch of one window in which party 0 owes party n the n-th amount.
pub(super) fn batch(asset: &AssetDef, decimals: u32, owed: &[u128]) -> Result<OpenBatch, Refusal> {
    let net = owed.iter().zip(1..).map(|(amount, payee)| Obligation {
        payer: party(0),
        payee: party(payee),
        amount: Total(*amount),
    });
    let window = window(asset, Timestamp(1_795_822_245_123_456), net);
    let policy = rails::policy(Rail::Evm, asset, &clearing(decimals))?;
    compute(&[window], asset, &policy, |party| Some(account(party)), |_| Total::ZERO)
}

fn chunks(content: &OpenBatch) -> Vec<Chunk> {
    let numbers = 0..u32::try_from(ranges(content).len()).unwrap();
    numbers.map(|number| chunk(content, number).unwrap()).collect()
}

fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn an_account_is_one_address_with_its_checksum() {
    let checked = rails::check_account("evm", &fields(&[("address", &TOKEN.to_lowercase())]));
    assert_eq!(checked.unwrap().fields, [("address".to_owned(), TOKEN.to_owned())]);
    let wrong = TOKEN.replace("fCD6", "fcd6");
    for (bad, expected) in [
        (fields(&[]), AccountError::Missing { rail: "evm", field: "address" }),
        (fields(&[("address", " ")]), AccountError::Missing { rail: "evm", field: "address" }),
        (fields(&[("address", &wrong)]), AccountError::AddressCheck { field: "address" }),
        (fields(&[("address", "vitalik.eth")]), AccountError::AddressForm { field: "address" }),
    ] {
        assert_eq!(rails::check_account("evm", &bad), Err(expected));
    }
    let unknown = rails::check_account("evm", &fields(&[("address", TOKEN), ("iban", "x")]));
    assert!(matches!(unknown, Err(AccountError::UnknownField { rail: "evm", .. })));
}

#[test]
fn a_party_is_never_paid_at_the_contract_or_the_token() {
    let of_all = BTreeMap::from([(Rail::Evm, clearing(6))]);
    let (of_none, nowhere) = (BTreeMap::from([(Rail::Evm, Vec::new())]), BTreeMap::new());
    let check = |address: &str, clearing| {
        let account = rails::check_account("evm", &fields(&[("address", address)])).unwrap();
        rails::check_apart(&account, clearing)
    };
    for own in [CONTRACT, &CONTRACT.to_lowercase(), TOKEN, &TOKEN.to_lowercase()] {
        let refused = check(own, &of_all).unwrap_err();
        assert!(
            matches!(refused, AccountError::AddressUnfit { field: "address", .. }),
            "{refused}"
        );
        // Where nothing is deployed, nothing is known.
        assert_eq!(check(own, &of_none), Ok(()));
        assert_eq!(check(own, &nowhere), Ok(()));
    }
    assert_eq!(check("0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359", &of_all), Ok(()));
}

#[test]
fn a_clearing_account_is_complete_and_in_bounds() {
    let good = [
        ("chain_id", "8453"),
        ("contract", CONTRACT),
        ("token", TOKEN),
        ("decimals", "6"),
        ("least", "10000"),
    ];
    let read = Clearing::read(&rails::check_clearing(Rail::Evm, &fields(&good)).unwrap()).unwrap();
    assert_eq!((read.chain_id, read.decimals, read.least), (8453, 6, 10_000));
    assert_eq!(read.asset_code(), usdc(6).code);
    for missing in ["chain_id", "contract", "token", "decimals"] {
        let mut fields = fields(&good);
        fields.remove(missing);
        let error = rails::check_clearing(Rail::Evm, &fields).unwrap_err();
        assert_eq!(error, AccountError::Missing { rail: "evm", field: missing });
    }
    let zero = format!("0x{}", "0".repeat(40));
    for (field, bad) in [
        ("chain_id", "0"),
        ("chain_id", "0x2105"),
        ("chain_id", "18446744073709551616"),
        ("contract", TOKEN),
        ("token", zero.as_str()),
        ("decimals", "29"),
        ("decimals", "-1"),
        ("least", "0"),
        ("least", "79228162514264337593543950336"),
        ("name", "x"),
    ] {
        let mut fields = fields(&good);
        fields.insert(field.into(), bad.into());
        assert!(rails::check_clearing(Rail::Evm, &fields).is_err(), "{field} = {bad}");
    }
}

#[test]
fn only_the_contracts_token_settled_through_clearing_fits() {
    let policy =
        |asset: &AssetDef, clearing: &[(String, String)]| rails::policy(Rail::Evm, asset, clearing);
    let why = |asset: &AssetDef, clearing: &[(String, String)]| {
        let refusal = policy(asset, clearing).unwrap_err();
        assert!(matches!(refusal, Refusal::RailUnfit { rail: "evm", .. }), "{refusal}");
        refusal.to_string()
    };
    let good = policy(&usdc(6), &clearing(6)).unwrap();
    assert_eq!((good.unit, good.least, good.most), (Total(1), Total(1), Total(EVM_AMOUNT_MAX)));
    assert!(
        policy(&AssetDef { code: usdc(6).code.to_lowercase(), ..usdc(6) }, &clearing(6)).is_ok()
    );
    assert!(why(&asset(6, SettlementModel::Bilateral), &clearing(6)).contains("multilateral"));
    assert!(why(&usdc(6), &[]).contains("[clearing.evm]"));
    let other_chain = AssetDef { code: format!("eip155:1/erc20:{TOKEN}"), ..usdc(6) };
    let other_token = AssetDef { code: format!("eip155:8453/erc20:{CONTRACT}"), ..usdc(6) };
    let dollars = AssetDef { code: "USD".into(), ..usdc(2) };
    for other in [other_chain, other_token, dollars] {
        assert!(why(&other, &clearing(6)).contains(&usdc(6).code));
    }
}

#[test]
fn policies_of_finer_and_coarser_assets_name_exact_steps() {
    let policy = |scale, decimals| {
        let policy = rails::policy(Rail::Evm, &usdc(scale), &clearing(decimals)).unwrap();
        (policy.unit.0, policy.least.0, policy.most.0)
    };
    assert_eq!(policy(9, 6), (1_000, 1_000, EVM_AMOUNT_MAX * 1_000));
    assert_eq!(policy(6, 18), (1, 1, EVM_AMOUNT_MAX / 10u128.pow(12)));
    assert_eq!(policy(18, 0), (10u128.pow(18), 10u128.pow(18), MONEY_MAX));
    assert_eq!(policy(0, 28), (1, 1, 7));
}

#[test]
fn every_pay_out_is_in_exactly_one_chunk_in_its_place() {
    for count in [1, 399, 400, 401, 1_000] {
        let owed: Vec<u128> = (1..=count).collect();
        let content = batch(&usdc(6), 6, &owed).unwrap();
        let cut = chunks(&content);
        assert_eq!(cut.len(), owed.len().div_ceil(EVM_CHUNK_ITEMS));
        let mut legs = 1; // the pay-in
        for (chunk, number) in cut.iter().zip(0..) {
            assert_eq!((chunk.number, chunk.legs.start), (number, legs));
            assert!((1..=EVM_CHUNK_ITEMS).contains(&chunk.items.len()));
            assert_eq!(chunk.id.0, evm_chunk_id(content.head.id, number).0);
            for (item, leg) in chunk.items.iter().zip(&content.legs[chunk.legs.clone()]) {
                assert_eq!(item.amount, leg.payment.amount.0);
                assert_eq!(item.to.as_slice(), &leg.payment.to.0[12..]);
            }
            legs = chunk.legs.end;
        }
        assert_eq!(legs, content.legs.len());
        let sum: u128 = cut.iter().map(|chunk| chunk.sum).sum();
        assert_eq!(sum, content.head.total.0);
        let ids: BTreeSet<_> = cut.iter().map(|chunk| chunk.id).collect();
        assert_eq!(ids.len(), cut.len());
        assert_eq!(chunks(&content), cut, "cutting again gives the same");
    }
}

/// The id of a chunk is what makes a replay revert: it never changes.
#[test]
fn golden_chunk_id() {
    let id = evm_chunk_id(tallystick_ledger::types::BatchId([1; 32]), 2).to_string();
    assert_eq!(id, GOLDEN_CHUNK_ID);
}

/// Made by another program (Python, blake3).
const GOLDEN_CHUNK_ID: &str = "bf0963500d4229c7e6a2af7ae8c38c13d916bc105966b5db3d10f2e43db0f587";

#[test]
fn packed_items_are_address_and_amount() {
    let mut chunk = loose_chunk(5, 2);
    chunk.items[1].amount = EVM_AMOUNT_MAX;
    let packed = hex::encode(chunk.packed());
    let first = format!("{}00000000{}", "05".repeat(16), "000000000000000000000001");
    let second = format!("{}00000001{}", "05".repeat(16), "f".repeat(24));
    assert_eq!(packed, format!("{first}{second}"));
}

#[test]
fn an_account_that_was_never_checked_stops_the_chunk_and_names_the_leg() {
    let mut content = batch(&usdc(6), 6, &[5, 6]).unwrap();
    let last = content.legs.last().unwrap();
    let (to, key) = (last.payment.to, last.key.clone());
    let accounts = Arc::make_mut(&mut content.accounts);
    accounts.get_mut(&to).unwrap().fields[0].1 = "0x12".into();
    assert_eq!(chunk(&content, 0), Err(ChunkError::Address { key }));
}

#[test]
fn a_batch_is_exported_as_tables_only() {
    let content = batch(&usdc(6), 6, &[5_000_001]).unwrap();
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    rails::export(&content, &mut |name, piece: &[u8]| {
        files.entry(name.into()).or_default().extend_from_slice(piece);
        Ok::<(), std::convert::Infallible>(())
    })
    .unwrap();
    let names: Vec<_> = files.keys().map(|name| name.split_once('.').unwrap().1).collect();
    assert_eq!(names, ["legs.csv", "legs.json"]);
    let json: serde_json::Value = serde_json::from_slice(files.values().last().unwrap()).unwrap();
    assert_eq!(json["total"]["amount"], "5.000001");
    assert_eq!(json["rail"], "evm");
}

#[test]
fn legs_are_rejected_or_confirmed_only_when_that_is_final() {
    let content = batch(&usdc(6), 6, &[5, 6, 7]).unwrap();
    let chunk = chunk(&content, 0).unwrap();
    let mined = Mined {
        tx: B256::repeat_byte(1),
        block: BlockRef { number: 9, hash: B256::ZERO },
        items: vec![None, Some("blocked".into()), None],
    };
    let words = |state: &ChunkState| -> Vec<_> {
        let reports = reports(&content, &chunk, state);
        reports.into_iter().map(|report| (report.word, report.reason)).collect()
    };
    let gone = ChunkState::Gone { since: 1 };
    let before = [ChunkState::New, ChunkState::Signed, ChunkState::Sent, gone];
    for state in before.into_iter().chain([ChunkState::Void]) {
        assert_eq!(words(&state), []);
    }
    let (none, blocked) = (String::new(), "blocked".to_owned());
    let accepted =
        [none.clone(), blocked.clone(), none.clone()].map(|why| (LegWord::Accepted, why));
    assert_eq!(words(&ChunkState::Mined(mined.clone())), accepted);
    assert_eq!(words(&ChunkState::Safe(mined.clone())), accepted);
    let ended = [
        (LegWord::Confirmed, none.clone()),
        (LegWord::Rejected, blocked),
        (LegWord::Confirmed, none),
    ];
    assert_eq!(words(&ChunkState::Final(mined.clone())), ended);
    let reports = reports(&content, &chunk, &ChunkState::Final(mined.clone()));
    for (report, leg) in reports.iter().zip(&content.legs[1..]) {
        assert_eq!((&report.key, &report.reference), (&leg.key, &mined.tx.to_string()));
    }
    assert_eq!(
        reports.iter().map(|r| r.amount).collect::<Vec<_>>(),
        [Some(Total(5)), None, Some(Total(7))]
    );
}

proptest! {
    /// Money: what the items pay and what is carried is what was owed, to the last unit.
    #[test]
    fn token_amounts_and_carries_add_up_to_what_is_owed(
        scale in 0u32..=18,
        decimals in 0u32..=18,
        owed in proptest::collection::vec(1u128..10u128.pow(12), 1..20),
    ) {
        let Ok(content) = batch(&usdc(scale), decimals, &owed) else {
            return Err(TestCaseError::fail("the batch is computed"));
        };
        let units = Units::new(scale, decimals);
        let token: u128 = chunks(&content).iter().map(|chunk| chunk.sum).sum();
        let total = content.head.total.0;
        // In the finer of both units nothing is divided.
        let finer = |digits: u32| 10u128.pow(scale.max(decimals) - digits);
        prop_assert_eq!(token * finer(decimals), total * finer(scale));
        prop_assert_eq!(total + content.head.carried.0, owed.iter().sum::<u128>());
        for leg in content.legs.iter() {
            prop_assert!(units.to_token(leg.payment.amount).is_some());
        }
    }

    #[test]
    fn an_amount_that_an_item_cannot_carry_is_never_rounded(
        scale in 0u32..=18,
        decimals in 0u32..=28,
        amount in any::<u128>(),
    ) {
        let units = Units::new(scale, decimals);
        let (multiply, divide) = (units.to_token(Total(1)), units.unit().0);
        match units.to_token(Total(amount)) {
            None => {
                let fits = units.largest().is_some_and(|most| amount <= most.0);
                prop_assert!(amount % divide != 0 || !fits || amount == 0);
            }
            Some(token) => {
                prop_assert!((1..=EVM_AMOUNT_MAX).contains(&token));
                prop_assert_eq!(token / multiply.unwrap_or(1) * divide, amount);
            }
        }
    }
}
