//! Clients of Tallystick.
//!
//! The wire half is what every client stands on, the engine's command line and the load generator too:
//! the way to an engine ([`Way`]).

#![forbid(unsafe_code)]

pub mod connect;

pub use connect::{ConnectError, Credentials, Misfit, PORT_DEFAULT, Token, Way};
