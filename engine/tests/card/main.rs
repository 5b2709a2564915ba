//! The card rail against a provider: real HTTP on loopback, a server with books of its own
//! (`tests/src/psp`, a test double that says so), every fault that a provider has.
//!
//! What is compared at the end are always the provider's own books: which money it moved, for which
//! leg, how often.

mod chargebacks;
mod driver;
mod faults;
mod many;
mod outages;
mod world;
