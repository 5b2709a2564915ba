//! Lines that break, nodes that answer nonsense, contracts and keys that do not fit.

use crate::engine::Engine;
use crate::world::{PLENTY, World, address, owner, party, transferOwnershipCall};
use alloy_sol_types::SolCall as _;
use serde_json::json;
use tallystick::rails::LegWord;
use tallystick::rails::evm::{
    Act, Blocked, ChunkState, Clearing, Desk, Misfit, NonceTrouble, Nonces, OpenError, Refused,
    RpcFailure, SendWord,
};
use tallystick_tests::chain::{Fault, OWNER, Proxy};

const SEND: &str = "eth_sendRawTransaction";

#[test]
fn a_lost_answer_to_a_send_pays_once() {
    let world = World::new("PlainToken");
    let batch = world.batch(&[5, 6, 7]);
    let used = world.anvil.used();
    for fault in [Fault::LoseAnswer, Fault::CutAnswer(20), Fault::CutAnswer(150)] {
        let proxy = Proxy::start(&world.anvil.address);
        let mut engine = Engine::start(world.desk_at(proxy.url.clone()), &batch, Vec::new());
        proxy.set(SEND, fault);
        engine.round().unwrap();
        proxy.pass();
        if let [word] = engine.words.as_slice() {
            assert!(matches!(word, Err(RpcFailure::Unknown { .. })), "{word:?}");
        }
        engine.finish(|| world.anvil.mine(1));
        assert_eq!(world.anvil.used(), used + 1);
        world.assert_paid(&batch, PLENTY, &[]);
    }
}

#[test]
fn a_request_that_never_arrived_is_sent_again_with_the_same_bytes() {
    let world = World::new("PlainToken");
    let batch = world.batch(&[5, 6, 7]);
    let proxy = Proxy::start(&world.anvil.address);
    let mut engine = Engine::start(world.desk_at(proxy.url.clone()), &batch, Vec::new());
    let lost = Fault::Answer(502, "<html>Bad Gateway</html>".into());
    for fault in [Fault::LoseRequest, lost] {
        proxy.set(SEND, fault);
        engine.round().unwrap();
        let word = engine.words.last().unwrap();
        assert!(matches!(word, Err(RpcFailure::Unknown { .. })), "{word:?}");
    }
    assert_eq!(engine.held[0].state, ChunkState::Signed);
    proxy.pass();
    engine.round().unwrap();
    assert_eq!(engine.words.last(), Some(&Ok(SendWord::Taken)));
    engine.finish(|| world.anvil.mine(1));
    assert_eq!(engine.signed(), [1]);
    world.assert_paid(&batch, PLENTY, &[]);
}

#[test]
fn a_node_that_is_not_there_was_never_asked() {
    let world = World::new("PlainToken");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let desk = world.desk_at(format!("http://{nobody}"));
    let failure = desk.view().unwrap_err();
    assert!(matches!(failure, RpcFailure::NeverLeft { .. }), "{failure}");
    assert!(!failure.to_string().contains(&nobody.to_string()), "the endpoint is not shown");
}

#[test]
fn nonsense_is_no_answer() {
    let world = World::new("PlainToken");
    let proxy = Proxy::start(&world.anvil.address);
    let desk = world.desk_at(proxy.url.clone());
    let large = format!(r#"{{"id":1,"result":"{}"}}"#, "0".repeat(5 << 20));
    let deep = "[".repeat(100_000);
    for (status, body) in [
        (200, String::new()),
        (200, "null".into()),
        (200, "{}".into()),
        (200, large),
        (200, deep),
        (200, r#"{"jsonrpc":"2.0","id":99999,"result":"0x1"}"#.into()),
        (500, "no".into()),
        (301, "no".into()),
    ] {
        proxy.set("eth_getBlockByNumber", Fault::Answer(status, body.clone()));
        let failure = desk.view().unwrap_err();
        let shown = body.get(..40).unwrap_or(&body);
        assert!(matches!(failure, RpcFailure::Unknown { .. }), "{status} {shown}: {failure}");
    }
    proxy.pass();
    assert!(desk.view().is_ok());
}

/// A receipt counts only with its own status, block and events.
#[test]
fn a_receipt_that_does_not_fit_the_chain_or_the_chunk_is_no_payment() {
    let world = World::new("PlainToken");
    let batch = world.batch(&[5, 6, 7]);
    let proxy = Proxy::start(&world.anvil.address);
    let mut engine = Engine::start(world.desk_at(proxy.url.clone()), &batch, Vec::new());
    engine.round().unwrap();
    world.anvil.mine(1);
    let head = engine.desk.view().unwrap().head;
    let replace = |old: &str, new: &str| Fault::Replace(old.into(), new.into());
    let (block, elsewhere) = (head.hash.to_string(), format!("0x{}", "ab".repeat(32)));
    let view = engine.desk.view().unwrap();
    let receipt = "eth_getTransactionReceipt";
    for fault in [
        replace(r#""status":"0x1""#, r#""status":"0x0""#),
        replace(&block, &elsewhere),
        replace(r#""status":"0x1""#, r#""status":"0x2""#),
        // The summary's count: 3 paid.
        replace(&format!("{:064x}", 3), &format!("{:064x}", 2)),
        replace(&engine.held[0].book[0].hash().to_string(), &elsewhere),
    ] {
        proxy.set(receipt, fault.clone());
        match engine.look(&view, 0) {
            Ok(look) => assert!(!matches!(look.state, ChunkState::Mined(_)), "{fault:?}"),
            Err(failure) => {
                assert!(matches!(failure, RpcFailure::Unknown { .. }), "{fault:?}: {failure}");
            }
        }
    }
    proxy.pass();
    let state = engine.look(&view, 0).unwrap().state;
    assert!(matches!(state, ChunkState::Mined(_)));
}

#[test]
fn too_little_money_is_told_and_waited_for() {
    let world = World::with_money("PlainToken", 10);
    let batch = world.batch(&[5, 6]);
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    engine.round().unwrap();
    let Some(Blocked::Contract(refused)) = &engine.held[0].blocked else { panic!("blocked") };
    assert!(matches!(refused, Refused::Underfunded { .. }));
    assert_eq!(
        refused.to_string(),
        "the contract holds 10 token units and needs 11; send it the rest"
    );
    assert!(engine.journal.is_empty());
    world.mint(1);
    engine.finish(|| world.anvil.mine(1));
    world.assert_paid(&batch, 11, &[]);
}

#[test]
fn a_transaction_that_reverted_is_made_anew_under_the_same_id_when_its_cause_is_gone() {
    let world = World::with_money("PlainToken", 450);
    let batch = world.batch(&[1; 450]);
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    // Both are signed while the money is there for each, not for both.
    let short = world.contract_balance() - 420;
    let taken = crate::world::withdrawCall {
        token: world.token.parse().unwrap(),
        to: owner(),
        amount: tallystick::rails::evm::U256::from(short),
    };
    world.anvil.send(OWNER, Some(&world.contract), &taken.abi_encode());
    engine.round().unwrap();
    assert_eq!(engine.signed(), [1, 1]);
    world.anvil.mine(1);
    engine.round().unwrap();
    assert!(matches!(engine.held[0].state, ChunkState::Mined(_)));
    assert_eq!(engine.held[1].state, ChunkState::Void);
    world.anvil.mine(2);
    engine.round().unwrap();
    let Some(Blocked::Contract(refused)) = &engine.held[1].blocked else { panic!("blocked") };
    assert!(matches!(refused, Refused::Underfunded { .. }), "{refused}");
    world.mint(30);
    engine.finish(|| world.anvil.mine(1));
    assert_eq!(engine.signed(), [1, 2]);
    world.assert_paid(&batch, 450, &[]);
}

#[test]
fn what_an_earlier_journal_paid_is_found_and_not_paid_again() {
    let world = World::new("BlacklistToken");
    let batch = world.batch(&[5, 6, 7]);
    world.block(address(party(2)));
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    engine.round().unwrap();
    world.anvil.mine(5);
    let used = world.anvil.used();
    // The journal is lost: nothing is known but the batch.
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    engine.finish(|| world.anvil.mine(1));
    assert!(engine.journal.is_empty());
    assert_eq!(world.anvil.used(), used);
    assert_eq!(engine.counts()[&LegWord::Confirmed], 2);
    assert_eq!(engine.counts()[&LegWord::Rejected], 1);
    world.assert_paid(&batch, PLENTY, &[2]);
}

#[test]
fn what_is_deployed_must_be_what_is_configured() {
    let world = World::new("PlainToken");
    let good = world.clearing();
    let misfit = |clearing: Clearing| {
        let desk = Desk::open(world.config(world.anvil.url()), clearing).unwrap();
        desk.check_deployment(&Nonces::default()).unwrap_err()
    };
    assert_eq!(
        misfit(Clearing { chain_id: 1, ..good }),
        Misfit::Chain { wanted: 1, found: 31_337 }
    );
    let swapped = misfit(Clearing { contract: good.token, ..good });
    assert!(matches!(swapped, Misfit::NotA { what: "BatchPayout", .. }), "{swapped}");
    let nobody = misfit(Clearing { contract: address(party(1)), ..good });
    assert!(matches!(nobody, Misfit::NotA { what: "BatchPayout", .. }), "{nobody}");
    let other = misfit(Clearing { token: good.contract, ..good });
    assert!(matches!(other, Misfit::Differs { what: "the token", .. }), "{other}");
    let digits = misfit(Clearing { decimals: 18, ..good });
    assert!(matches!(digits, Misfit::Differs { what: "the number of decimals", .. }), "{digits}");
    let mut config = world.config(world.anvil.url());
    config.key_file = world.key_file(&"11".repeat(32));
    let desk = Desk::open(config, good).unwrap();
    let stranger = desk.check_deployment(&Nonces::default()).unwrap_err();
    assert!(matches!(stranger, Misfit::Differs { what: "the owner", .. }), "{stranger}");
}

#[test]
fn a_key_that_lost_the_contract_signs_nothing() {
    let world = World::new("PlainToken");
    let batch = world.batch(&[5]);
    let mut config = world.config(world.anvil.url());
    config.key_file = world.key_file(&"11".repeat(32));
    let desk = Desk::open(config, world.clearing()).unwrap();
    let mut engine = Engine::start(desk, &batch, Vec::new());
    engine.round().unwrap();
    assert_eq!(engine.held[0].blocked, Some(Blocked::Contract(Refused::NotOwner)));
    assert!(engine.journal.is_empty());
    // An offer alone changes nothing.
    let offer = transferOwnershipCall { to: engine.desk.address() }.abi_encode();
    world.anvil.send(OWNER, Some(&world.contract), &offer);
    engine.round().unwrap();
    assert_eq!(engine.held[0].blocked, Some(Blocked::Contract(Refused::NotOwner)));
}

#[test]
fn somebody_elses_transaction_with_the_key_is_noticed_at_start() {
    let world = World::new("PlainToken");
    world.anvil.ask("eth_sendTransaction", json!([{"from": OWNER, "to": OWNER}]));
    let trouble = world.desk().check_deployment(&Nonces::default()).unwrap_err();
    assert_eq!(trouble, Misfit::Nonces(NonceTrouble::Foreign { unknown: 1 }));
    let mut nonces = Nonces::default();
    nonces.signed(world.anvil.used());
    assert_eq!(world.desk().check_deployment(&nonces), Ok(()), "one of ours is");
}

#[test]
fn a_key_without_coin_is_told_and_can_be_given_some() {
    let world = World::new("PlainToken");
    let batch = world.batch(&[5]);
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    world.anvil.ask("anvil_setBalance", json!([OWNER, "0x0"]));
    engine.round().unwrap();
    assert_eq!(engine.words, [Ok(SendWord::NoCoin)]);
    world.anvil.ask("anvil_setBalance", json!([OWNER, "0xde0b6b3a7640000"]));
    engine.finish(|| world.anvil.mine(1));
    assert_eq!(engine.signed(), [1]);
    world.assert_paid(&batch, PLENTY, &[]);
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new("PlainToken");
    let config = world.config(world.anvil.url());
    let open = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(&config.key_file, open).unwrap();
    let refused = Desk::open(config.clone(), world.clearing()).err().unwrap();
    assert!(matches!(refused, OpenError::Key(_)));
    std::fs::write(&config.key_file, "not a key").unwrap();
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&config.key_file, private).unwrap();
    let refused = Desk::open(config, world.clearing()).err().unwrap();
    assert!(!refused.to_string().contains("not a key\n"), "{refused}");
}

#[test]
fn a_second_engine_with_the_same_batch_is_refused_by_the_contract_not_by_luck() {
    let world = World::new("PlainToken");
    let batch = world.batch(&[5, 6, 7]);
    let mut one = Engine::start(world.desk(), &batch, Vec::new());
    let mut two = Engine::start(world.desk(), &batch, Vec::new());
    let view = one.desk.view().unwrap();
    let Act::Sign(mut plan) = two.look(&view, 0).unwrap().act else { panic!("nothing is paid") };
    one.round().unwrap();
    // The second one signs the next nonce, as if it had seen the first one's.
    plan.terms.nonce += 1;
    let tx = two.desk.sign(&view, &two.held[0].chunk, &plan);
    assert_eq!(two.desk.send(&tx), Ok(SendWord::Taken));
    two.nonces.signed(plan.terms.nonce);
    two.held[0].book.push(tx);
    world.anvil.mine(1);
    one.finish(|| world.anvil.mine(1));
    two.finish(|| world.anvil.mine(1));
    assert_eq!(one.held[0].state, two.held[0].state, "both name the transaction that paid");
    assert_eq!(two.counts()[&LegWord::Confirmed], 3);
    world.assert_paid(&batch, PLENTY, &[]);
}
