//! The rail `evm` against a real node (`anvil`, from npm: run `engine/evm/setup` first).
//!
//! The engine's part (journal, rounds) is played by `engine.rs`, which keeps only what the journal
//! would hold; the whole engine has its turn in `tests/tests/chain.rs`. What is checked is what the
//! chain says in the end: every recipient's balance.

mod engine;
mod faults;
mod flows;
mod reorgs;
mod restarts;
mod world;
