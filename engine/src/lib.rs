//! Tallystick: the clearing house for machine payments. `docs/ARCHITECTURE.md` is the map.

#![forbid(unsafe_code)]

pub mod api;
pub mod audit;
pub mod canary;
pub mod cli;
pub mod config;
pub mod faults;
pub mod journal;
pub mod ledger;
pub mod limits;
pub mod log;
pub mod pipeline;
pub mod proof;
pub mod rails;
pub mod serve;
pub mod settle;
pub mod sign;
pub mod types;
pub mod verify;
