//! What leaves the engine so that others can check it without the engine: evidence exports, proofs
//! of one pair or one position, receipts.
//!
//! Owns their bytes (described in `docs/FORMATS.md`) and how a proof or a receipt is checked on its
//! own. Knows the ledger's plain data; never where evidence is kept, nor how a whole export is
//! audited (`audit` does that).

mod check;
mod document;
mod export;
mod make;
mod read;
mod records;
pub mod rows;

pub use check::{Checked, Trust, check_document};
pub use document::{
    AssetRoots, Document, Hex, HexPiece, PairProof, PositionProof, Proof, RECEIPT_FORMAT,
    RECEIPT_FORMAT_1, RECEIPT_FORMAT_3, Receipt, RowKind, SignerParty, Step, WindowProof,
    write_path,
};
pub use export::{Counts, ExportWriter, SignedEnd, archive_name, events_name};
pub use make::{PartialProof, ProofMaker, Wanted};
pub use read::{AssetIndex, ExportFile, Part, ReadError, WindowIndex, is_export};
