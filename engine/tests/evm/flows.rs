//! Payments that go as they should, and recipients that do not take them.

use crate::engine::Engine;
use crate::world::{PLENTY, World, address, party};
use tallystick::rails::LegWord;
use tallystick::rails::evm::{ChunkState, Nonces, SendWord, U256};

fn amounts(count: u128) -> Vec<u128> {
    (1..=count).map(|n| 1_000 + n * n % 977).collect()
}

#[test]
fn a_thousand_payouts_leave_in_three_transactions_and_arrive_to_the_last_unit() {
    let world = World::new("PlainToken");
    let batch = world.batch(&amounts(1_000));
    let before = world.anvil.used();
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    assert_eq!(engine.desk.check_deployment(&engine.nonces), Ok(()));
    let funds = engine.desk.funds().unwrap();
    assert_eq!(funds.tokens, U256::from(PLENTY));
    assert!(funds.coin > U256::ZERO);
    engine.round().unwrap();
    assert_eq!(
        engine.states(),
        [&ChunkState::New; 3],
        "a state is what was seen, not what was done"
    );
    assert!(engine.words.iter().all(|word| word == &Ok(SendWord::Taken)), "{:?}", engine.words);
    assert!(engine.counts().is_empty());
    world.anvil.mine(1);
    engine.round().unwrap();
    assert_eq!(engine.counts()[&LegWord::Accepted], 1_000, "mined, not final");
    engine.finish(|| world.anvil.mine(1));
    assert_eq!(engine.counts()[&LegWord::Confirmed], 1_000);
    assert_eq!((engine.signed(), world.anvil.used() - before), (vec![1, 1, 1], 3));
    world.assert_paid(&batch, PLENTY, &[]);
    for (report, leg) in engine.reports().iter().zip(&batch.legs[1..]) {
        assert_eq!((&report.key, report.amount), (&leg.key, Some(leg.payment.amount)));
        assert!(report.reference.starts_with("0x") && report.reference.len() == 66);
    }
}

#[test]
fn states_follow_the_chain_from_mined_to_safe_to_final() {
    let world = World::new("PlainToken");
    let batch = world.batch(&[5]);
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    let mut seen = Vec::new();
    for _ in 0..8 {
        engine.round().unwrap();
        let name = format!("{:?}", engine.held[0].state);
        seen.push(name.split(['(', ' ']).next().unwrap().to_owned());
        if seen.len() > 2 {
            world.anvil.mine(1);
        }
    }
    seen.dedup();
    assert_eq!(seen, ["New", "Sent", "Mined", "Safe", "Final"]);
    assert!(engine.held[0].done);
}

#[test]
fn depth_decides_where_the_chain_names_no_safe_block() {
    use tallystick::rails::evm::{Desk, Finality};
    let world = World::new("PlainToken");
    let batch = world.batch(&[5]);
    let config = world.config(world.anvil.url());
    let config = tallystick::rails::evm::EvmConfig {
        finality: Finality::Depth { safe: 2, last: 4 },
        ..config
    };
    let desk = Desk::open(config, world.clearing()).unwrap();
    let mut engine = Engine::start(desk, &batch, Vec::new());
    let mut after = Vec::new();
    for _ in 0..6 {
        engine.round().unwrap();
        after.push(match engine.held[0].state {
            ChunkState::New => 'n',
            ChunkState::Mined(_) => 'm',
            ChunkState::Safe(_) => 's',
            ChunkState::Final(_) => 'f',
            ChunkState::Signed | ChunkState::Sent | ChunkState::Gone { .. } | ChunkState::Void => {
                '?'
            }
        });
        world.anvil.mine(1);
    }
    assert_eq!(after.iter().collect::<String>(), "nmmssf");
}

/// A blocked recipient costs the others nothing and keeps its money in the contract.
#[test]
fn a_blocked_recipient_is_rejected_with_its_reason_and_all_others_are_paid() {
    for token in ["BlacklistToken", "FalseToken"] {
        let world = World::new(token);
        let batch = world.batch(&amounts(450));
        for blocked in [7, 421] {
            world.block(address(party(blocked)));
        }
        let mut engine = Engine::start(world.desk(), &batch, Vec::new());
        engine.round().unwrap();
        world.anvil.mine(1);
        engine.round().unwrap();
        assert_eq!(engine.counts()[&LegWord::Accepted], 450, "nothing is rejected before final");
        engine.finish(|| world.anvil.mine(1));
        assert_eq!(engine.counts()[&LegWord::Confirmed], 448);
        assert_eq!(engine.counts()[&LegWord::Rejected], 2);
        let reports = engine.reports();
        let rejected = reports.iter().filter(|report| report.word == LegWord::Rejected);
        let legs = |number: u32| {
            let mut legs = batch.legs.iter().filter(|leg| leg.payment.to == party(number));
            legs.next().unwrap().key.clone()
        };
        for (report, number) in rejected.zip([7, 421]) {
            assert_eq!(report.key, legs(number));
            let reason = match token {
                "FalseToken" => "the token answered false",
                _ => "error 0x", // Blocked(address), an error of the token's own
            };
            assert!(report.reason.starts_with(reason), "{}", report.reason);
            assert!(report.amount.is_none());
        }
        world.assert_paid(&batch, PLENTY, &[7, 421]);
    }
}

#[test]
fn a_token_that_returns_nothing_pays() {
    let world = World::new("SilentToken");
    let batch = world.batch(&amounts(3));
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    engine.finish(|| world.anvil.mine(1));
    assert_eq!(engine.counts()[&LegWord::Confirmed], 3);
    world.assert_paid(&batch, PLENTY, &[]);
}

#[test]
fn more_chunks_than_a_pool_keeps_are_sent_as_room_comes() {
    let world = World::new("PlainToken");
    let batch = world.batch(&amounts(18 * 400));
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    engine.round().unwrap();
    assert_eq!(engine.signed().iter().sum::<usize>(), 16);
    assert_eq!(engine.nonces.waiting(world.anvil.used()), 16);
    engine.finish(|| world.anvil.mine(1));
    assert_eq!(engine.counts()[&LegWord::Confirmed], 7_200);
    assert_eq!(world.contract_balance(), PLENTY - batch.head.total.0);
    let nonces = Nonces::default();
    assert_eq!(engine.desk.check_deployment(&nonces), Ok(()));
}
