//! Crashes: after each step only the journal is left.

use crate::engine::{Engine, Journaled};
use crate::world::{PLENTY, World};
use tallystick::rails::LegWord;

const ACCOUNTS: u128 = 403;

/// The steps of a run of two chunks, each a point at which the process may die. In `Sent` and the
/// others the node may or may not have got what was journaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    BeforeAnything,
    JournaledNotSent,
    SentNotMined,
    Mined,
    MinedThenLeft,
    Safe,
    Final,
}

fn run_until(world: &World, batch: &tallystick::ledger::OpenBatch, crash: Crash) -> Vec<Journaled> {
    let mut engine = Engine::start(world.desk(), batch, Vec::new());
    if crash == Crash::BeforeAnything {
        return engine.journal;
    }
    engine.lose_before_send = crash == Crash::JournaledNotSent;
    engine.round().unwrap();
    if matches!(crash, Crash::JournaledNotSent | Crash::SentNotMined) {
        return engine.journal;
    }
    world.anvil.mine(1);
    engine.round().unwrap();
    match crash {
        Crash::MinedThenLeft => world.anvil.reorg(1),
        Crash::Safe => world.anvil.mine(1),
        Crash::Final => world.anvil.mine(4),
        Crash::BeforeAnything | Crash::JournaledNotSent | Crash::SentNotMined | Crash::Mined => {}
    }
    engine.round().unwrap();
    engine.journal
}

#[test]
fn a_crash_at_any_step_pays_every_leg_once() {
    for crash in [
        Crash::BeforeAnything,
        Crash::JournaledNotSent,
        Crash::SentNotMined,
        Crash::Mined,
        Crash::MinedThenLeft,
        Crash::Safe,
        Crash::Final,
    ] {
        let world = World::new("PlainToken");
        let batch = world.batch(&(1..=ACCOUNTS).collect::<Vec<_>>());
        let journal = run_until(&world, &batch, crash);
        let signed = journal.len();
        assert_eq!(signed, if crash == Crash::BeforeAnything { 0 } else { 2 }, "{crash:?}");
        let mut engine = Engine::start(world.desk(), &batch, journal);
        assert_eq!(engine.desk.check_deployment(&engine.nonces), Ok(()), "{crash:?}");
        engine.finish(|| world.anvil.mine(1));
        assert_eq!(engine.journal.len(), 2, "{crash:?}: nothing is signed twice");
        assert_eq!(engine.counts()[&LegWord::Confirmed], 403, "{crash:?}");
        world.assert_paid(&batch, PLENTY, &[]);
    }
}

#[test]
fn a_crash_between_a_raise_and_its_send_sends_the_raise() {
    let world = World::new("PlainToken");
    let batch = world.batch(&[5]);
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    engine.round().unwrap();
    let hash = engine.held[0].book[0].hash().to_string();
    world.anvil.ask("anvil_dropTransaction", serde_json::json!([hash]));
    world.anvil.mine(crate::world::BUMP_AFTER);
    engine.lose_before_send = true;
    engine.round().unwrap();
    assert_eq!(engine.signed(), [2]);
    let mut engine = Engine::start(world.desk(), &batch, engine.journal);
    engine.round().unwrap();
    world.anvil.mine(1);
    engine.round().unwrap();
    let raised = engine.held[0].book[1].hash();
    let tallystick::rails::evm::ChunkState::Mined(mined) = &engine.held[0].state else {
        panic!("mined")
    };
    assert_eq!(mined.tx, raised);
    engine.finish(|| world.anvil.mine(1));
    assert_eq!(engine.journal.len(), 2);
    world.assert_paid(&batch, PLENTY, &[]);
}

#[test]
fn a_journal_of_another_key_or_batch_is_refused() {
    let world = World::new("PlainToken");
    let (batch, other) = (world.batch(&[5]), world.batch(&[6]));
    let mut engine = Engine::start(world.desk(), &batch, Vec::new());
    engine.round().unwrap();
    let entry = &engine.journal[0];
    let read = |desk: &tallystick::rails::evm::Desk, batch| {
        let chunk = tallystick::rails::evm::chunk(batch, 0).unwrap();
        desk.read_back(&chunk, entry.raw.clone(), entry.at_block)
    };
    assert!(read(&world.desk(), &batch).is_ok());
    assert!(read(&world.desk(), &other).is_err());
    let mut config = world.config(world.anvil.url());
    config.key_file = world.key_file(&"11".repeat(32));
    let stranger = tallystick::rails::evm::Desk::open(config, world.clearing()).unwrap();
    assert!(read(&stranger, &batch).is_err());
}
