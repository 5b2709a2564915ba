//! Webhooks to parties, as Standard Webhooks has them: where one may be sent, how it is signed, how
//! it leaves and what its answer says.
//!
//! Owns the rules for addresses: endpoints are chosen by outsiders, so a request must never reach
//! what is inside. Never decides what is sent, when, or again.

mod client;
mod reach;
mod roots;
mod secret;
mod target;

pub use client::{Client, Message, Outcome};
pub use reach::{Reach, is_public};
pub use roots::{Roots, RootsMisfit};
pub use secret::{Secret, SecretMisfit, signatures};
pub use target::{Target, TargetMisfit};
