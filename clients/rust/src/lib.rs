//! Clients of Tallystick: agents that pay, facilitators that bring vouchers, operators.
//!
//! The **wire half** is what every client stands on, the engine's command line and the load
//! generator too: the way to an engine ([`Way`]), a voucher's bytes ([`voucher`]) and the key that
//! signs them ([`AgentKey`]). Above it:
//!
//! - [`Agent`] pays: it signs vouchers on lanes that outlive it, within its budgets.
//! - [`Facilitator`] brings vouchers: one long stream that outlives its connections.
//! - [`Operator`] closes windows, makes batches, reads statements, and makes any other call.
//! - `Seller` (feature `seller`) has routes of axum paid for over x402.
//!
//! Never uses the engine's code: what it knows are the published formats.

#![forbid(unsafe_code)]

pub mod agent;
mod ask;
pub mod bundle;
pub mod connect;
mod error;
pub mod facilitator;
mod key;
pub mod operator;
#[cfg(feature = "seller")]
pub mod seller;
pub mod voucher;

pub use agent::{Agent, AgentOptions, Budget, Keep, PayError, Payment};
pub use connect::{ConnectError, Credentials, Link, Misfit, PORT_DEFAULT, Token, Way};
pub use error::CallError;
pub use facilitator::{Answer, Facilitator, StreamError, Waiting};
pub use key::AgentKey;
pub use operator::Operator;
#[cfg(feature = "seller")]
pub use seller::{Price, Seller, SellerError};
pub use voucher::{Channel, Fields, Network, Outcome, Voucher};

/// The messages and the generated clients of the contract.
pub use tallystick_proto::v1 as wire;
