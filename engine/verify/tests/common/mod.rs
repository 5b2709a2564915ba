//! What tests, the comparison, the benchmark and the fuzzer share: signatures of every kind, and
//! the verifiers in every state that can answer for them.

pub mod bank;
pub mod forge;
pub mod twist;
