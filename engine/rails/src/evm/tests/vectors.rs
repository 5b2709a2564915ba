//! Calls, signatures and events, compared with what viem makes (`engine/evm/vectors.mjs`).

use super::*;
use crate::evm::abi::{items_of, reason, refusal};
use proptest::prelude::*;
use serde_json::Value;

const FILE: &str = include_str!("../../../../evm/vectors.json");
const ARTIFACT: &str = include_str!("../../../../evm/BatchPayout.json");

fn file() -> Value {
    serde_json::from_str(FILE).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(text(value)).unwrap()
}

fn hash(value: &Value) -> B256 {
    B256::from_slice(&bytes(value))
}

fn address(value: &Value) -> Address {
    Address::from_slice(&bytes(value))
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    text(value).parse().unwrap()
}

fn chunk(case: &Value) -> Chunk {
    let item = |item: &Value| Item { to: address(&item[0]), amount: number(&item[1]) };
    let items: Vec<Item> = list(&case["items"]).iter().map(item).collect();
    let sum = items.iter().map(|item| item.amount).sum();
    Chunk { number: 0, id: hash(&case["id"]), legs: 0..items.len(), items, sum }
}

fn terms(case: &Value) -> Terms {
    Terms {
        chain_id: number(&case["chain_id"]),
        contract: address(&case["contract"]),
        nonce: number(&case["nonce"]),
        fees: Fees { tip: number(&case["tip"]), max: number(&case["max_fee"]) },
        gas: number(&case["gas"]),
    }
}

fn key(case: &Value) -> Signer {
    Signer::new(&bytes(&case["key"]).try_into().unwrap()).unwrap()
}

#[test]
fn calls_and_signed_bytes_are_those_of_viem() {
    let file = file();
    let cases = list(&file["transactions"]);
    assert_eq!(cases.len(), 8);
    for case in cases {
        let (chunk, signer) = (chunk(case), key(case));
        assert_eq!(signer.address(), address(&case["from"]));
        assert_eq!(chunk.calldata(), bytes(&case["data"]), "{}", case["name"]);
        let tx = sign(&signer, &chunk, &terms(case), 7);
        assert_eq!(tx.raw(), bytes(&case["raw"]), "{}", case["name"]);
        assert_eq!(tx.hash(), hash(&case["hash"]));
        // And from the bytes alone, as after a restart.
        let again = SignedTx::read(bytes(&case["raw"]), 7).unwrap();
        assert_eq!(again, tx);
        assert_eq!(again.terms(), &terms(case));
        let Terms { chain_id, contract, .. } = terms(case);
        assert_eq!(again.check(&chunk, signer.address(), chain_id, contract), Ok(()));
        let (other, elsewhere) = (loose_chunk(9, 2), Address::repeat_byte(9));
        for (chunk, from, chain, to) in [
            (&other, signer.address(), chain_id, contract),
            (&chunk, elsewhere, chain_id, contract),
            (&chunk, signer.address(), chain_id + 1, contract),
            (&chunk, signer.address(), chain_id, elsewhere),
        ] {
            assert_eq!(again.check(chunk, from, chain, to), Err(TxError::OtherChunk));
        }
    }
}

#[test]
fn a_full_chunk_of_viem_has_the_gas_of_a_full_chunk() {
    let file = file();
    let full = list(&file["transactions"]).iter().find(|case| case["name"] == "a full chunk");
    let full = full.unwrap();
    assert_eq!(chunk(full).gas(), number::<u64>(&full["gas"]));
    assert!(chunk(full).gas() <= tallystick_ledger::limits::EVM_GAS_MAX);
}

#[test]
fn no_changed_byte_of_a_transaction_is_taken_for_ours() {
    let file = file();
    let case = &list(&file["transactions"])[1];
    let (chunk, from, raw) = (chunk(case), address(&case["from"]), bytes(&case["raw"]));
    let Terms { chain_id, contract, .. } = terms(case);
    for place in 0..raw.len() {
        for bit in 0..8 {
            let mut changed = raw.clone();
            changed[place] ^= 1 << bit;
            let read = SignedTx::read(changed, 0);
            let ours = read.is_ok_and(|tx| tx.check(&chunk, from, chain_id, contract).is_ok());
            assert!(!ours, "bit {bit} of byte {place}");
        }
        assert!(SignedTx::read(raw[..place].to_vec(), 0).is_err());
    }
    let longer = [raw.as_slice(), &[0]].concat();
    assert_eq!(SignedTx::read(longer, 0), Err(TxError::Form));
}

/// EIP-2: n - s signs the same; a chain refuses it, and its bytes have another hash than ours.
#[test]
fn the_other_signature_of_the_same_transaction_is_refused() {
    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let raw = bytes(&list(&file()["transactions"])[1]["raw"]);
    let order = U256::from_be_slice(&hex::decode(ORDER).unwrap());
    // The end of the transaction is: parity, 0xa0, r, 0xa0, s.
    let (end, s) = raw.split_at(raw.len() - 32);
    let (mut other, parity) = (end.to_vec(), end.len() - 35);
    assert_eq!((end[end.len() - 1], end[end.len() - 34]), (0xa0, 0xa0));
    other[parity] = if end[parity] == 0x80 { 1 } else { 0x80 };
    let flipped = (order - U256::from_be_slice(s)).to_be_bytes::<32>();
    other.extend_from_slice(&flipped);
    assert_eq!(SignedTx::read(other, 7), Err(TxError::Signature));
    assert!(SignedTx::read(raw, 7).is_ok());
}

fn receipt(file: &Value) -> (Chunk, Address, Receipt) {
    let told = &file["receipt"];
    let case = list(&file["transactions"]).iter().find(|case| case["name"] == told["chunk"]);
    let case = case.unwrap();
    let log = |log: &Value| Log {
        address: address(&log["address"]),
        topics: list(&log["topics"]).iter().map(hash).collect(),
        data: bytes(&log["data"]),
    };
    let logs = list(&told["logs"]).iter().map(log).collect();
    let block = BlockRef { number: 5, hash: B256::ZERO };
    let receipt = Receipt { tx: hash(&case["hash"]), block, success: true, logs };
    (chunk(case), address(&case["contract"]), receipt)
}

#[test]
fn failed_items_and_their_reasons_are_read_from_viems_events() {
    let file = file();
    let (chunk, contract, receipt) = receipt(&file);
    let items = items_of(&receipt, contract, &chunk).unwrap().unwrap();
    let mut expected = vec![None; chunk.items.len()];
    for failed in list(&file["receipt"]["failed"]) {
        let index = usize::try_from(failed[0].as_u64().unwrap()).unwrap();
        expected[index] = Some(text(&failed[1]).to_owned());
    }
    assert_eq!(items, expected);
    for answer in list(&file["answers"]) {
        assert_eq!(reason(&bytes(&answer[0])), text(&answer[1]));
    }
    for revert in list(&file["reverted"]) {
        assert_eq!(refusal(&bytes(&revert[0])).to_string(), text(&revert[1]));
    }
}

#[test]
fn events_that_do_not_fit_the_chunk_prove_nothing() {
    let (chunk, contract, good) = receipt(&file());
    let read = |receipt: &Receipt| items_of(receipt, contract, &chunk);
    let paid = good.logs.len() - 1;
    // Not ours at all: another contract, another id, no events.
    let mut other = good.clone();
    other.logs.iter_mut().for_each(|log| log.address = Address::repeat_byte(1));
    assert_eq!(read(&other), Ok(None));
    let mut other = good.clone();
    other.logs.iter_mut().for_each(|log| log.topics[1] = B256::ZERO);
    assert_eq!(read(&other), Ok(None));
    // The summary is missing, or there twice; an item is missing, or told twice.
    let mut changes: Vec<Receipt> = vec![good.clone(); 4];
    changes[0].logs.remove(paid);
    changes[1].logs.push(good.logs[paid].clone());
    changes[2].logs.remove(0);
    changes[3].logs.insert(0, good.logs[0].clone());
    for change in &changes {
        assert!(read(change).is_err());
    }
    // Every bit of what the events say is checked but the reason's own bytes.
    for log in 0..good.logs.len() {
        let said = if log == paid { good.logs[log].data.len() } else { 96 };
        for bit in 0..said * 8 {
            let mut changed = good.clone();
            changed.logs[log].data[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&changed).is_err(), "bit {bit} of log {log}");
        }
    }
}

#[test]
fn the_interface_is_that_of_the_compiled_contract() {
    use crate::evm::abi::BatchPayout as B;
    use alloy_sol_types::{SolError as _, SolEvent as _};
    let artifact: Value = serde_json::from_str(ARTIFACT).unwrap();
    let find = |kind: &str, name: &str| {
        let abi = list(&artifact["abi"]).iter();
        let mut found = abi.filter(|entry| entry["type"] == kind && entry["name"] == name);
        let entry = found.next().unwrap_or_else(|| panic!("the contract has no {kind} {name}"));
        let types: Vec<_> = list(&entry["inputs"]).iter().map(|i| text(&i["type"])).collect();
        let indexed = |input: &&Value| input["indexed"] == true;
        let indexed = list(&entry["inputs"]).iter().filter(indexed).count();
        (format!("{name}({})", types.join(",")), indexed)
    };
    for (name, signature) in [("Paid", B::Paid::SIGNATURE), ("Failed", B::Failed::SIGNATURE)] {
        assert_eq!(find("event", name), (signature.to_owned(), 1));
    }
    for (name, signature) in [
        ("NotOwner", B::NotOwner::SIGNATURE),
        ("ItemsLength", B::ItemsLength::SIGNATURE),
        ("AlreadyPaid", B::AlreadyPaid::SIGNATURE),
        ("ControlSum", B::ControlSum::SIGNATURE),
        ("Underfunded", B::Underfunded::SIGNATURE),
        ("GasTooLow", B::GasTooLow::SIGNATURE),
    ] {
        assert_eq!(find("error", name).0, signature);
    }
    for (name, signature) in [
        ("pay", <B::payCall as alloy_sol_types::SolCall>::SIGNATURE),
        ("paidIn", <B::paidInCall as alloy_sol_types::SolCall>::SIGNATURE),
        ("token", <B::tokenCall as alloy_sol_types::SolCall>::SIGNATURE),
        ("owner", <B::ownerCall as alloy_sol_types::SolCall>::SIGNATURE),
    ] {
        assert_eq!(find("function", name).0, signature);
    }
}

proptest! {
    /// Whatever a token answers: words that are printable and fit a report.
    #[test]
    fn every_answer_of_a_token_gives_short_printable_words(
        selector in prop_oneof![
            Just(vec![]),
            Just(vec![0x08, 0xc3, 0x79, 0xa0]),
            Just(vec![0x4e, 0x48, 0x7b, 0x71]),
        ],
        body in proptest::collection::vec(prop_oneof![3 => Just(0u8), 1 => any::<u8>()], 0..200),
    ) {
        let answer = [selector, body].concat();
        let words = reason(&answer[..answer.len().min(128)]);
        prop_assert!(!words.is_empty() && words.len() <= tallystick_ledger::limits::TEXT_BYTES_MAX);
        prop_assert!(words.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
        let _ = refusal(&answer);
    }

    #[test]
    fn any_terms_are_read_back_from_the_signed_bytes(
        key in 1u8..=255,
        chain_id in 1u64..,
        nonce in any::<u64>(),
        tip in any::<u128>(),
        max in any::<u128>(),
        gas in any::<u64>(),
        count in 1usize..5,
        at_block in any::<u64>(),
    ) {
        let (signer, chunk) = (signer(key), loose_chunk(3, count));
        let contract = Address::repeat_byte(7);
        let terms = Terms { chain_id, contract, nonce, fees: Fees { tip, max }, gas };
        let tx = sign(&signer, &chunk, &terms, at_block);
        prop_assert_eq!(&sign(&signer, &chunk, &terms, at_block), &tx, "signing is repeatable");
        let read = SignedTx::read(tx.raw().to_vec(), at_block).unwrap();
        prop_assert_eq!(read.terms(), &terms);
        prop_assert_eq!(read.check(&chunk, signer.address(), chain_id, contract), Ok(()));
    }

    #[test]
    fn bytes_from_anywhere_are_no_transaction_and_no_panic(
        body in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        prop_assert!(SignedTx::read(body.clone(), 0).is_err());
        prop_assert!(SignedTx::read([vec![2], body].concat(), 0).is_err());
    }
}
