//! Batches that another program computed, from what is owed to their ids
//! (`tests/vectors/batches.py`).

use super::*;
use crate::fixture::{HEAD, sealed};
use crate::sealed::SealedText;
use crate::types::{AssetNumber, Digest};
use serde_json::Value;

fn party(value: &Value) -> PartyId {
    PartyId([u8::try_from(value.as_u64().unwrap()).unwrap(); 32])
}

fn sum(value: &Value) -> Total {
    Total(u128::from(value.as_u64().unwrap()))
}

fn rows(value: &Value) -> Vec<Obligation> {
    let row = |row: &Value| Obligation {
        payer: party(&row["from"]),
        payee: party(&row["to"]),
        amount: sum(&row["amount"]),
    };
    value.as_array().unwrap().iter().map(row).collect()
}

fn computed(case: &Value) -> (Arc<SealedWindow>, BatchContent) {
    let number = AssetNumber(u32::try_from(case["asset"].as_u64().unwrap()).unwrap());
    let model = match case["model"].as_u64().unwrap() {
        1 => SettlementModel::Bilateral,
        _ => SettlementModel::Multilateral,
    };
    let code = case["code"].as_str().unwrap().to_owned();
    let asset = AssetDef { number, code, scale: 6, model };
    let fields = vec![("iban".to_owned(), "DE02120300000000202051".to_owned())];
    let policy = Policy {
        rail: Rail::Iso20022,
        unit: sum(&case["unit"]),
        least: sum(&case["least"]),
        most: sum(&case["most"]),
        clearing: fields.clone(),
    };
    let account = |party: PartyId| {
        let text = |text: &Value| {
            let hex = text.as_str().unwrap().as_bytes();
            SealedText::new(data_encoding::HEXLOWER.decode(hex).unwrap())
        };
        let sealed = &case["accounts"][party.0[0].to_string()];
        Some(SealedAccount { name: text(&sealed["name"]), fields: text(&sealed["account"]) })
    };
    let free = |of: PartyId| {
        let deposits = case["deposits"].as_array().unwrap().iter();
        let own = deposits.filter(|deposit| party(&deposit["party"]) == of);
        own.fold(Total::ZERO, |all, deposit| all.plus(sum(&deposit["free"])))
    };
    let window = sealed(HEAD, number, rows(&case["owed"]), Vec::new());
    let content =
        BatchContent::compute(std::slice::from_ref(&window), &asset, &policy, account, free);
    (window, content.unwrap())
}

#[test]
fn batches_that_another_program_computed_have_the_same_legs_keys_and_ids() {
    let text = include_str!("../../../../tests/vectors/batches.json");
    let cases: Value = serde_json::from_str(text).unwrap();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let (window, content) = computed(case);
        let hex = |digest: Digest| data_encoding::HEXLOWER.encode(&digest.0);
        assert_eq!(hex(window.root), case["root"].as_str().unwrap(), "{}", case["name"]);
        let legs = case["legs"].as_array().unwrap();
        assert_eq!(content.legs.len(), legs.len(), "{}", case["name"]);
        for (leg, said) in content.legs.iter().zip(legs) {
            let Payment { from, to, amount, part } = leg.payment;
            assert_eq!((from, to), (party(&said["from"]), party(&said["to"])));
            assert_eq!(
                (amount, u64::from(part)),
                (sum(&said["amount"]), said["part"].as_u64().unwrap())
            );
        }
        assert_eq!(content.head.carries, rows(&case["carries"]), "{}", case["name"]);
        let used = case["deposits_used"].as_array().unwrap().iter();
        let used: Vec<_> = used.map(|u| (party(&u["party"]), sum(&u["amount"]))).collect();
        assert_eq!(content.head.prefunded, used, "{}", case["name"]);
        assert_eq!(content.head.id.to_string(), case["batch_id"].as_str().unwrap());
        for (leg, said) in content.legs.iter().zip(legs) {
            assert_eq!(leg.key, said["key"].as_str().unwrap());
        }
    }
}
