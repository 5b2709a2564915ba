//! Blocks that the chain leaves again, fees that rise, nonces that somebody else uses.

use crate::engine::Engine;
use crate::world::{BUMP_AFTER, PLENTY, World, address, party};
use serde_json::json;
use tallystick::rails::LegWord;
use tallystick::rails::evm::ChunkState;
use tallystick_tests::chain::OWNER;

#[test]
fn a_reorg_sends_the_same_bytes_again_and_pays_once() {
    let world = World::new("PlainToken");
    let batch = world.batch(&[5, 6, 7]);
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    engine.round().unwrap();
    world.anvil.mine(1);
    engine.round().unwrap();
    let ChunkState::Mined(first) = engine.held[0].state.clone() else { panic!("mined") };
    let bytes = engine.journal[0].raw.clone();
    world.anvil.reorg(1);
    assert_eq!(world.balance(address(party(1))), 0, "the payment is gone with its block");

    engine.round().unwrap();
    assert!(matches!(engine.held[0].state, ChunkState::Gone { .. }));
    assert!(engine.counts().is_empty());
    world.anvil.mine(1);
    engine.round().unwrap();
    let ChunkState::Mined(second) = engine.held[0].state.clone() else { panic!("mined again") };
    assert_eq!(second.tx, first.tx, "the same transaction");
    assert_ne!(second.block, first.block);
    assert_eq!((engine.journal.len(), &engine.journal[0].raw), (1, &bytes));
    engine.finish(|| world.anvil.mine(1));
    world.assert_paid(&batch, PLENTY, &[]);
}

#[test]
fn reorgs_after_every_look_pay_every_chunk_once() {
    let world = World::new("PlainToken");
    let owed: Vec<u128> = (1..=900).collect();
    let batch = world.batch(&owed);
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    // Blocks to be left, so that no reorg reaches the contracts.
    world.anvil.mine(3);
    for depth in [1, 2, 1, 3, 2, 1] {
        engine.round().unwrap();
        world.anvil.mine(1);
        engine.round().unwrap();
        world.anvil.reorg(depth);
    }
    engine.finish(|| world.anvil.mine(1));
    assert_eq!(engine.counts()[&LegWord::Confirmed], 900);
    assert_eq!(engine.signed(), [1, 1, 1], "nothing was signed for a reorg");
    world.assert_paid(&batch, PLENTY, &[]);
}

#[test]
fn a_nonce_that_somebody_else_used_is_replaced_under_the_same_id() {
    let world = World::new("PlainToken");
    let batch = world.batch(&[5, 6, 7]);
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    engine.round().unwrap();
    world.anvil.mine(1);
    engine.round().unwrap();
    assert!(matches!(engine.held[0].state, ChunkState::Mined(_)));
    world.anvil.reorg(1);
    // The operator uses the key: the payment's nonce is gone.
    world.anvil.send(OWNER, Some(OWNER), &[]);
    engine.round().unwrap();
    assert!(matches!(engine.held[0].state, ChunkState::Gone { .. }));
    assert_eq!(engine.signed(), [1], "the other transaction may still be left");
    world.anvil.mine(1);
    engine.round().unwrap();
    assert_eq!(engine.signed(), [2]);
    let [first, second] = engine.held[0].book.as_slice() else { panic!("two") };
    assert_eq!(second.terms().nonce, first.terms().nonce + 1);
    engine.finish(|| world.anvil.mine(1));
    world.assert_paid(&batch, PLENTY, &[]);
}

#[test]
fn a_base_fee_that_rises_is_followed_with_the_same_nonce_and_call() {
    let world = World::new("PlainToken");
    let batch = world.batch(&[5, 6, 7]);
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    engine.round().unwrap();
    let offered = engine.held[0].book[0].terms().fees;
    for _ in 0..BUMP_AFTER {
        let base = offered.max * 20;
        world.anvil.ask("anvil_setNextBlockBaseFeePerGas", json!([format!("{base:#x}")]));
        world.anvil.mine(1);
        assert_eq!(engine.signed(), [1]);
    }
    engine.round().unwrap();
    let [first, second] = engine.held[0].book.as_slice() else { panic!("one raise") };
    assert_eq!(second.terms().nonce, first.terms().nonce);
    assert!(second.terms().fees.max > offered.max * 15);
    assert!(second.terms().fees.tip * 8 >= offered.tip * 9);
    world.anvil.mine(1);
    engine.round().unwrap();
    let ChunkState::Mined(mined) = &engine.held[0].state else { panic!("mined") };
    assert_eq!(mined.tx, engine.held[0].book[1].hash());
    engine.finish(|| world.anvil.mine(1));
    assert_eq!(engine.signed(), [2]);
    world.assert_paid(&batch, PLENTY, &[]);
}

#[test]
fn a_fee_above_the_cap_is_never_offered_and_waited_for() {
    use tallystick::rails::evm::{Blocked, Desk};
    let world = World::new("PlainToken");
    let batch = world.batch(&[5]);
    let mut config = world.config(world.anvil.url());
    config.fees.cap = 1_000;
    config.fees.tip_cap = 10;
    let desk = Desk::open(config, world.clearing()).unwrap();
    let mut engine = Engine::start(desk, &batch, Vec::new());
    for _ in 0..3 {
        engine.round().unwrap();
        world.anvil.mine(1);
    }
    assert!(matches!(engine.held[0].blocked, Some(Blocked::Fees(_))));
    assert!(engine.journal.is_empty());
    world.anvil.ask("anvil_setNextBlockBaseFeePerGas", json!(["0x64"]));
    world.anvil.mine(1);
    engine.round().unwrap();
    assert_eq!(engine.signed(), [1]);
}

#[test]
fn while_nothing_is_mined_nothing_new_is_signed() {
    let world = World::new("PlainToken");
    let batch = world.batch(&[5]);
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    for _ in 0..20 {
        engine.round().unwrap();
    }
    assert_eq!((engine.signed(), &engine.held[0].state), (vec![1], &ChunkState::Sent));
    assert_eq!(engine.words.len(), 1, "what the node holds is not sent again");
    // The node loses its pool: the same bytes again.
    let hash = engine.held[0].book[0].hash().to_string();
    world.anvil.ask("anvil_dropTransaction", json!([hash]));
    engine.round().unwrap();
    assert_eq!((engine.signed(), engine.words.len()), (vec![1], 2));
    engine.finish(|| world.anvil.mine(1));
    world.assert_paid(&batch, PLENTY, &[]);
}
