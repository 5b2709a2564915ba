//! Clients of Tallystick.
//!
//! The **wire half** is what every client stands on, the engine's command line and the load
//! generator too: the way to an engine ([`Way`]), a voucher's bytes ([`voucher`]) and the key that
//! signs them ([`AgentKey`]).
//!
//! Never uses the engine's code: what it knows are the published formats.

#![forbid(unsafe_code)]

pub mod connect;
mod key;
pub mod voucher;

pub use connect::{ConnectError, Credentials, Misfit, PORT_DEFAULT, Token, Way};
pub use key::AgentKey;
pub use voucher::{Channel, Fields, Network, Outcome, Voucher};
