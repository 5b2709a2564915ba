//! Plain words of the product: ids, money, assets, vouchers, time, digests.
//!
//! Owns what the words look like in memory and as bytes. Never holds a rule of business, never does
//! IO, never reads a clock.

mod api_key;
mod asset;
mod bundle;
mod cron;
mod digest;
mod ids;
mod merkle;
mod money;
mod outcome;
mod said;
mod statement;
mod time;
mod verdict;
mod voucher;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod wide;

pub use api_key::{API_KEY_PREFIX, ApiKey, NotAKey};
pub use asset::{AssetDef, AssetError, CODE_BYTES_MAX, SCALE_MAX, SettlementModel};
pub use bundle::{
    BUNDLE_ENTRIES_MAX, BUNDLE_HEAD_BYTES, BUNDLE_MESSAGE_BYTES, BUNDLE_PATH_MAX, Branch,
    BundleHasher, BundleTree, ENTRY_BYTES, Form, Seat, Signable, bundles_within, pack_bundle,
    put_seat, unpack_bundle,
};
pub use cron::{Cron, CronError};
pub use digest::{
    BatchHasher, EvidenceHasher, FileHasher, LINK_START, LegKeys, RecordHasher, SectionHasher,
    checkpoint_digest, content_digest, evm_chunk_id, same_digest, short_leg_digest, token_digest,
    window_root,
};
pub use ids::{
    AssetNumber, BatchId, ChannelId, Digest, FitKey, HexError, Lsn, NetworkId, PartyId, SignerKey,
    WindowNumber, ids_named,
};
pub use merkle::{MerklePath, MerkleTree, PathTree, SUBTREE_LEAVES, Sibling};
pub use money::{Amount, MONEY_MAX, MoneyError, Net, Total};
pub use outcome::Outcome;
pub use said::{
    LegSaid, approval_statement, confirmation_statement, operator_key_statement,
    operator_removal_statement, words_statement,
};
pub use statement::{
    History, Statement, batch_statement, end_statement, key_statement, receipt_leaf,
    receipt_statement, receipts_statement, window_statement,
};
pub use time::Timestamp;
pub use verdict::Verdict;
pub use voucher::{
    ChannelHasher, MESSAGE_BYTES, Packed, SIGNATURE_BYTES, VOUCHER_BYTES, Voucher, message,
};
