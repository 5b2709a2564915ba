//! Proves the product from outside: runs the real binary, talks to it over gRPC and the command
//! line, kills it, damages its files, and compares what it says with books kept here.
//!
//! Owns the harness that the tests in `tests/` share. Never uses the engine's library: what it
//! knows are the contract and the documents. Never sleeps as a means of waiting: it polls with a
//! deadline. Every engine listens on a loopback port of its own choice.

#![forbid(unsafe_code)]

pub mod bank;
pub mod buyer;
pub mod chain;
mod cli;
mod client;
pub mod console;
mod damage;
mod engine;
pub mod house;
pub mod keys;
pub mod nats;
pub mod nodes;
pub mod onstream;
pub mod page;
mod patient;
pub mod psp;
pub mod raw;
pub mod receiver;
pub mod rights;
mod seen;
pub mod terminal;
pub mod tls;
mod voucher;
mod world;
pub mod x402;

pub use cli::{Cli, add_euro, add_party, ends_with};
pub use client::{
    Client, check_money_sums, frame, get_batch, legs_at, outcomes, refused, request_id, until_batch,
};
pub use damage::{copy_dir, files, flip_bit};
pub use engine::{Engine, Exit, Launch, Starting, binary, run_cli, run_loadgen, until};
pub use patient::{Patient, passed};
pub use rustix::process::Signal;
pub use seen::{Seen, is_damage};
pub use world::{
    Deployment, Signer, World, iban, in_a_day, limit_request, party_id, party_request, seed,
    signer_request,
};

pub use voucher::{NetworkId, PartyId, SignerKey, VOUCHER_BYTES, Voucher};

/// The wire contract.
pub use tallystick_proto::v1 as wire;
pub use wire::Outcome;
