//! Limits of what those whom we ask may answer, and how long it may take them: providers, nodes,
//! banks; and of what a person is told of it.

use super::{EVM_CHUNK_ITEMS, HTTP_BYTES_MAX};
use std::time::Duration;

/// Bytes of one answer of a payment provider: a list of a hundred payments with their charges is
/// some 600 KB.
pub const CARD_ANSWER_BYTES_MAX: u64 = 4 << 20;
/// Longest time to wait for a connection to a provider, so that one that is down is noticed soon.
pub const CARD_CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Pages of a provider's list that are read: 5,000 payments of one customer.
pub const CARD_PAGES_MAX: usize = 50;
/// Shortest time that a provider's answer may be given: a charge takes the bank of the card a
/// second or two.
pub const CARD_TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// Longest time that a provider's answer may be given; a larger value is almost certainly a typo.
pub const CARD_TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// Bytes of a URL, a version or a secret of a provider: far above any real one.
pub const CARD_SETTING_BYTES_MAX: usize = 512;
/// Calls of a provider side by side: providers limit them to about a hundred a second.
pub const CARD_THREADS_MAX: u16 = 64;
/// Bytes of a call: a dozen parameters of at most a few hundred bytes each.
pub const CARD_CALL_BYTES_MAX: usize = 8 << 10;
/// Bytes of an idempotency key of a call: the provider takes 255, a leg's key has 32.
pub const CARD_KEY_BYTES_MAX: usize = 64;
/// How long to wait when a provider says "later" and not when.
pub const CARD_LATER_DEFAULT: Duration = Duration::from_secs(5);
/// Longest wait that a provider can ask for: it is asked again in an hour at the latest.
pub const CARD_LATER_MAX: Duration = Duration::from_secs(3_600);

/// Bytes of a webhook: as many as the body of an HTTP request may have.
pub const WEBHOOK_BYTES_MAX: usize = HTTP_BYTES_MAX;
/// How old a webhook may be: as the provider's own libraries have it.
pub const WEBHOOK_AGE_MAX: Duration = Duration::from_secs(300);
/// Signatures in one header of a webhook: two while a secret is rolled.
pub const WEBHOOK_SIGNATURES_MAX: usize = 8;
/// Webhooks that wait for the settler: a provider sends again what was not taken.
pub const WEBHOOKS_WAITING_MAX: usize = 1_024;
/// Wishes for a turn of the settler that wait for it.
pub const NUDGES_MAX: usize = 256;

/// Logs of one receipt of a transaction: two for every item, and a few of the token's own.
pub const EVM_LOGS_MAX: usize = 4_096;
const _: () = assert!(EVM_LOGS_MAX >= 2 * EVM_CHUNK_ITEMS);
/// Bytes of a file with a key: 64 digits, `0x`, white space.
pub const EVM_KEY_FILE_BYTES_MAX: u64 = 256;
/// Characters of a node's error text that are kept.
pub const EVM_ERROR_CHARS_MAX: usize = 200;
/// Foreign transactions of the engine's account are counted up to here: their number comes from a
/// node.
pub const EVM_FOREIGN_MAX: usize = 1_000;

/// What a batch is computed from may change meanwhile; then it is computed again, at most so often.
pub const BATCH_ATTEMPTS_MAX: usize = 8;
/// A batch that still fits is offered at most so often: more changes than are remembered must come
/// between a look and the offer behind it each time.
pub const BATCH_OFFERS_MAX: usize = 64;

/// Names that are told of an answer about nothing of ours.
pub const ANSWER_NAMES_SHOWN: usize = 3;
/// Legs of one file that are named: as many as a person goes through by hand; `leg list` has all.
pub const LEGS_SHOWN: usize = 10;
/// Files that one sentence names: as many as a person carries by hand.
pub const FILES_SHOWN: usize = 10;
/// Characters of a name in a bank's file of ISO 20022: the SEPA guidelines' (EPC217-08).
pub const SEPA_NAME_CHARS: usize = 70;
/// Characters of a receiver's name in an ACH entry: its field of the record.
pub const ACH_NAME_CHARS: usize = 22;
/// Names of one import that are compared with each other: some 200 MB at most.
pub const IMPORT_NAMES_MAX: usize = 1 << 20;
