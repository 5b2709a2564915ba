//! The rail `evm`: an ERC-20 token on an EVM chain, paid by the contract `BatchPayout`.
//!
//! Owns the fields of accounts, what can be paid in which asset, the chunks of a batch, their
//! signed transactions, and what the chain made of them. Blocking; never keeps anything: what was
//! signed is journaled by the caller before it is sent. Never collects money: pay-ins are confirmed
//! by operators.
//! `docs/RAIL-EVM.md` tells operators all of it.
//!
//! The order of a round, which the caller repeats every block or so:
//!
//! ```text
//! view = desk.view()                                    one for all chunks
//! look = desk.look(view, chunk, book, nonces, was)      for each chunk that has not ended
//!   Sign(plan): tx = desk.sign(view, chunk, plan)
//!               journal (chunk, tx.raw, tx.at_block), then nonces.signed, book.push
//!               desk.send(tx)
//!   Send(n):    desk.send(book[n])                      the same bytes
//!   Done:       nonces.ended
//! reports(content, chunk, look.state)                   what the legs have come to
//! ```

mod abi;
mod account;
mod address;
mod chunk;
mod config;
mod desk;
mod fees;
mod hex;
mod judge;
mod key;
mod node;
mod nonces;
mod report;
mod rpc;
mod rules;
mod tx;

pub use abi::{Items, Refused};
pub use account::{Clearing, Payee};
pub use address::Address;
pub use alloy_primitives::{B256, U256};
pub use chunk::{Chunk, ChunkError, Item, Units, check_batch, chunk, chunk_of, ranges};
pub use config::{ConfigError, EvmConfig, Finality};
pub use desk::{Act, Blocked, Desk, Funds, Look, Misfit, OpenError, Plan};
pub use fees::{AboveCap, FeeRules, Fees, Market};
pub use judge::{ChunkState, Mined, Next, Seen, View, Why, in_line, judge};
pub use key::{KeyError, Signer};
pub use node::{At, BlockRef, Called, Log, Receipt, SendWord};
pub use nonces::{NonceTrouble, Nonces};
pub use report::reports;
pub use rpc::{Rpc, RpcFailure};
pub(super) use rules::Evm;
pub use tx::{SignedTx, Terms, TxError, sign};

#[cfg(test)]
mod tests;
