//! Tallystick: the clearing house for machine payments. `docs/ARCHITECTURE.md` is the map.

#![forbid(unsafe_code)]

pub mod api;
pub mod audit;
pub mod backup;
pub mod cli;
pub mod config;
pub mod faults;
pub mod files;
pub mod log;
pub mod metrics;
pub mod past;
pub mod pipeline;
pub mod proof;
pub mod secret;
pub mod serve;
pub mod settle;
pub mod sign;
pub mod trail;
pub mod vault;
pub mod verify;

// The crates below, by the names of their rooms.
pub use tallystick_jetstream as jetstream;
pub use tallystick_journal as journal;
pub use tallystick_ledger as ledger;
pub use tallystick_ledger::{canary, limits, types};
pub use tallystick_rails as rails;
