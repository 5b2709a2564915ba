//! The rail `evm` from end to end: the real engine, over gRPC, settles batches on a real chain
//! (`anvil`, from npm: run `engine/evm/setup` first). What counts in the end is what the chain
//! says: every recipient's balance, and every payment by the contract.
//!
//! Blocks are mined when a test says so. Who there is and what operators do is in `world`.

mod crashes;
mod lines;
mod settle;
mod world;
