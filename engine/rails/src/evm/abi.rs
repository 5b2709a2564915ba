//! The contract's words: what is called, what it reverts with, what its events say.
//!
//! Owns reading them, strictly: every byte of an answer comes from outside. Never asks a node.

use super::chunk::Chunk;
use super::node::{Log, Receipt};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolError, SolEvent as _, SolInterface as _};

/// Generated from the contract's interface; `tests` compare it with `BatchPayout.json`.
#[allow(missing_docs, clippy::pedantic)]
mod generated {
    alloy_sol_types::sol! {
        #[derive(Debug, PartialEq, Eq)]
        interface BatchPayout {
            function pay(bytes32 batchId, bytes items, uint256 sum) external;
            function paidIn(bytes32 batchId) external view returns (uint256);
            function token() external view returns (address);
            function owner() external view returns (address);

            event Paid(bytes32 indexed batchId, uint256 paid, uint256 failed, uint256 sum);
            event Failed(
                bytes32 indexed batchId, uint256 index, address to, uint256 amount, bytes reason
            );

            error NotOwner(address caller);
            error ItemsLength(uint256 length);
            error AlreadyPaid(bytes32 batchId, uint256 blockNumber);
            error ControlSum(uint256 expected, uint256 got);
            error Underfunded(uint256 balance, uint256 sum);
            error GasTooLow(uint256 index);
        }

        interface Token {
            function balanceOf(address holder) external view returns (uint256);
            function decimals() external view returns (uint8);
        }

        error Error(string reason);
        error Panic(uint256 code);
    }
}
pub use generated::{BatchPayout, Token};

/// Bytes of a selector and one word: what a custom error shows of itself.
const SHOWN_BYTES: usize = 36;

/// What a chunk's transaction did, item by item: `None` was paid, `Some` was not, and why.
pub type Items = Vec<Option<String>>;

/// Why a receipt is no proof of anything: the node answered something that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonsense(pub &'static str);

/// Reads what a successful transaction did for `chunk`; `None` if it did not pay this chunk at all.
///
/// # Errors
/// `Nonsense` if the events contradict each other or the chunk.
pub fn items_of(
    receipt: &Receipt,
    contract: Address,
    chunk: &Chunk,
) -> Result<Option<Items>, Nonsense> {
    let mut items: Items = vec![None; chunk.items.len()];
    let mut summary = None;
    let mut left = chunk.sum;
    let ours = |log: &&Log| log.address == contract && log.topics.get(1) == Some(&chunk.id);
    for log in receipt.logs.iter().filter(ours) {
        let topics = || log.topics.iter().copied();
        if log.topics[0] == BatchPayout::Failed::SIGNATURE_HASH {
            let event = BatchPayout::Failed::decode_raw_log_validate(topics(), &log.data);
            let event = event.map_err(|_| Nonsense("an event of a failed item is malformed"))?;
            let index = usize::try_from(event.index).ok().filter(|index| *index < items.len());
            let index = index.ok_or(Nonsense("an event names an item that the chunk has not"))?;
            let item = chunk.items[index];
            if (event.to, event.amount) != (item.to, U256::from(item.amount)) {
                return Err(Nonsense("an event names another recipient or amount"));
            }
            if items[index].replace(reason(&event.reason)).is_some() {
                return Err(Nonsense("an item failed twice"));
            }
            left = left.checked_sub(item.amount).expect("items are part of the sum");
        } else if log.topics[0] == BatchPayout::Paid::SIGNATURE_HASH {
            let event = BatchPayout::Paid::decode_raw_log_validate(topics(), &log.data);
            let event = event.map_err(|_| Nonsense("the event of a payment is malformed"))?;
            if summary.replace(event).is_some() {
                return Err(Nonsense("the chunk was paid twice in one transaction"));
            }
        }
    }
    let Some(summary) = summary else {
        let failed = items.iter().any(Option::is_some);
        return if failed { Err(Nonsense("items failed without a payment")) } else { Ok(None) };
    };
    let failed = items.iter().flatten().count();
    let said = (summary.paid, summary.failed, summary.sum);
    if said != (U256::from(items.len() - failed), U256::from(failed), U256::from(left)) {
        return Err(Nonsense("the counts or the sum of a payment do not fit its items"));
    }
    Ok(Some(items))
}

/// Topics under which the payment of a chunk is found.
#[must_use]
pub fn paid_topics(id: B256) -> [B256; 2] {
    [BatchPayout::Paid::SIGNATURE_HASH, id]
}

/// Why the contract refused a call, in words, from the bytes that it reverted with.
#[must_use]
pub fn refusal(data: &[u8]) -> Refused {
    use BatchPayout::BatchPayoutErrors as E;
    match E::abi_decode_validate(data) {
        Ok(E::AlreadyPaid(_)) => Refused::AlreadyPaid,
        Ok(E::Underfunded(error)) => {
            Refused::Underfunded { balance: error.balance, sum: error.sum }
        }
        Ok(E::NotOwner(_)) => Refused::NotOwner,
        Ok(E::GasTooLow(_)) => Refused::GasTooLow,
        Ok(E::ControlSum(_)) => Refused::Other("the control sum does not match".into()),
        Ok(E::ItemsLength(_)) => Refused::Other("the items have a wrong length".into()),
        Err(_) => Refused::Other(reason(data)),
    }
}

/// Why the contract would refuse a chunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its id is taken: it was paid.
    #[error("the chunk was paid already")]
    AlreadyPaid,
    /// The contract holds too little.
    #[error("the contract holds {balance} token units and needs {sum}; send it the rest")]
    Underfunded {
        /// What it holds.
        balance: U256,
        /// What the chunk needs.
        sum: U256,
    },
    /// The signer does not own the contract.
    #[error("the key does not own the contract; give the engine the owner's key")]
    NotOwner,
    /// The items need more gas than they are given.
    #[error(
        "the token's transfers need more gas than this rail gives them; it cannot pay this token"
    )]
    GasTooLow,
    /// Anything else, in words.
    #[error("the contract reverts: {0}")]
    Other(String),
}

/// What a failed transfer answered, in words: printable and short, whatever the bytes are.
#[must_use]
pub fn reason(data: &[u8]) -> String {
    let selector = |wanted: [u8; 4]| data.len() >= 4 && data[..4] == wanted;
    if data.is_empty() {
        return "no reason given, or more gas needed than an item has".into();
    }
    if data == b"own address" {
        return "own address: the recipient is the contract or the token itself".into();
    }
    if data.len() == 32 && data.iter().all(|byte| *byte == 0) {
        return "the token answered false".into();
    }
    if selector(generated::Error::SELECTOR)
        && let Some(text) = cut_string(&data[4..])
    {
        return text;
    }
    if selector(generated::Panic::SELECTOR) && data.len() == SHOWN_BYTES {
        return format!("panic 0x{:02x}", data[SHOWN_BYTES - 1]);
    }
    let shown = &data[..data.len().min(SHOWN_BYTES)];
    let more = if data.len() > SHOWN_BYTES { "..." } else { "" };
    format!("error 0x{}{more}", alloy_primitives::hex::encode(shown))
}

/// The text of an `Error(string)` of which only the beginning may be there.
fn cut_string(body: &[u8]) -> Option<String> {
    let word = |at: usize| {
        let word: [u8; 32] = body.get(at..at + 32)?.try_into().ok()?;
        u64::try_from(U256::from_be_bytes(word)).ok()
    };
    if word(0)? != 32 {
        return None;
    }
    let length = usize::try_from(word(32)?).ok()?;
    let there = &body[64..];
    let text = &there[..length.min(there.len())];
    let dots = if length > there.len() { "..." } else { "" };
    let printable =
        |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' };
    Some(format!("{}{dots}", text.iter().map(printable).collect::<String>()))
}
