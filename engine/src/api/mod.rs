//! gRPC: the services of the wire contract.
//!
//! Owns the translation between messages and the engine's own words, and which error gets which status
//! code. The only place, with `cli` and `serve`, that knows tonic. Holds no rule of money.

mod batches;
mod evidence;
mod messages;
mod operator;
mod read;
mod registration;
mod status;
mod vouchers;

pub use operator::OperatorApi;
pub use vouchers::VouchersApi;
