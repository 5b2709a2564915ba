//! What is known of a voucher before the ledger sees it.

/// The verdict on one voucher's bytes and signature, taken once, before the journal, never again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The signature is valid: RFC 8032, exactly `verify_strict`. Only these reach the journal.
    Valid,
    /// The channel's total is at or above it, for certain: nobody looked at the signature, since it
    /// decides nothing.
    Stale,
    /// The signature is not valid.
    BadSignature,
    /// The key was not registered when the voucher was checked.
    UnknownKey,
    /// The bytes are no voucher.
    Malformed,
}
