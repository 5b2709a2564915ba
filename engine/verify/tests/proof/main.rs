//! The proof from outside: every backend, in every state of its tables, says of every signature
//! what `ed25519_dalek`'s `verify_strict` says. `verify_strict` is called here, not through the
//! crate. Knows the public interface only.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "shared with the comparison, the benchmark and the fuzzer")]
mod common;

mod agreement;
mod edges;
mod flood;
mod grouping;
mod torsion;
mod vectors;
