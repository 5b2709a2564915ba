//! What a rail says of legs, in the ledger's words. Owns nothing but the words.

pub use tallystick_ledger::LegWord;

/// One leg's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegReport {
    /// The leg's key, or what the rail knows it by (see the rail).
    pub key: String,
    /// What became of it.
    pub word: LegWord,
    /// The rail's own reference; empty if it gave none. At most TEXT_BYTES_MAX bytes.
    pub reference: String,
    /// Reason code and text; empty if it gave none. At most TEXT_BYTES_MAX bytes.
    pub reason: String,
    /// The amount that the rail names, in asset units, if it does: compared with the leg's.
    pub amount: Option<tallystick_ledger::types::Total>,
}
