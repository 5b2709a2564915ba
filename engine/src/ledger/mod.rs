//! The ledger: every rule of money, pure.
//!
//! Owns the credit rule, the shards' state, windows, netting, batches and the control state
//! (parties, signers, assets, requests). Time, order and bytes come in as values: nothing here does
//! IO, reads a clock, starts a thread or draws a random number. The same events in the same order
//! give the same state and the same bytes, on any number of shards.

pub mod batch;
pub mod control;
pub mod event;
mod net;
pub mod refusal;
mod seal;
pub mod shard;
pub mod window;

pub use batch::{Account, BatchContent, Leg, Payment, Policy, Rail};
pub use control::{BatchEntry, BatchState, Command, Control, Decision, WindowEntry, WindowState};
pub use event::{Event, Genesis, Request};
pub use refusal::Refusal;
pub use seal::{SealedPart, seal};
pub use shard::{ChannelState, Exposure, Shard};
pub use window::{Obligation, Position, SealedAsset, SealedWindow, WindowTotals};
