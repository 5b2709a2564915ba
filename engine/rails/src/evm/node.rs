//! Questions to a node, and its answers as values.
//!
//! Owns which method answers what, and the strict reading of it. An answer that cannot be right is
//! no answer: `RpcFailure::Unknown`. Decides nothing.

use super::fees::Market;
use super::hex;
use super::rpc::{Rpc, RpcFailure};
use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};
use tallystick_ledger::limits::EVM_LOGS_MAX;

/// Blocks whose tips are looked at.
const FEE_BLOCKS: u64 = 10;
/// Which tip of a block is taken: half of its gas paid less.
const FEE_PERCENTILE: u64 = 50;
/// Topics of one log, by the EVM.
const TOPICS: usize = 4;

/// One block of the chain as the node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    /// Its height.
    pub number: u64,
    /// Its hash: another one at the same height is another block.
    pub hash: B256,
}

/// Which state is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The newest block.
    Latest,
    /// The newest block and what the node holds unmined.
    Pending,
    /// The newest block that the chain calls safe.
    Safe,
    /// The newest block that the chain calls final.
    Finalized,
    /// The block at that height.
    Number(u64),
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Which contract wrote it.
    pub address: Address,
    /// What it is found by; at least one.
    pub topics: Vec<B256>,
    /// The rest of it.
    pub data: Vec<u8>,
}

/// What a mined transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which transaction.
    pub tx: B256,
    /// The block that holds it.
    pub block: BlockRef,
    /// Whether it had its effect; otherwise it reverted and only cost gas.
    pub success: bool,
    /// Its events, in their order.
    pub logs: Vec<Log>,
}

/// What became of a call that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// It returned these bytes.
    Returned(Vec<u8>),
    /// It reverted with these bytes.
    Reverted(Vec<u8>),
}

/// What a node says to a transaction. Only a hint: what counts is what the chain shows later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendWord {
    /// It took it.
    Taken,
    /// It had it already.
    Known,
    /// Its nonce is used up: it, or another with this nonce, is mined.
    NonceUsed,
    /// Another one with this nonce waits and offers as much.
    Underpriced,
    /// The key's address holds too little of the chain's coin to pay for gas.
    NoCoin,
    /// Anything else, in the node's words.
    Refused(String),
}

impl Rpc {
    /// EIP-155 number of the node's chain.
    ///
    /// # Errors
    /// `RpcFailure`, as with all of these questions.
    pub fn chain_id(&self) -> Result<u64, RpcFailure> {
        let method = "eth_chainId";
        let answer = self.call(method, json!([]))?;
        hex::u64_of(&answer).ok_or_else(|| Self::nonsense(method, "no number"))
    }

    /// A block, if there is one; its transactions are not read.
    ///
    /// # Errors
    /// `RpcFailure`.
    pub fn block(&self, at: At) -> Result<Option<BlockRef>, RpcFailure> {
        let method = "eth_getBlockByNumber";
        let answer = self.call(method, json!([tag(at), false]))?;
        if answer.is_null() {
            return Ok(None);
        }
        let read = || {
            let number = hex::u64_of(answer.get("number")?)?;
            Some(BlockRef { number, hash: hex::hash_of(answer.get("hash")?)? })
        };
        let block = read().ok_or_else(|| Self::nonsense(method, "no block"))?;
        match at {
            At::Number(number) if number != block.number => {
                Err(Self::nonsense(method, "a block of another height"))
            }
            At::Number(_) | At::Latest | At::Pending | At::Safe | At::Finalized => Ok(Some(block)),
        }
    }

    /// How many transactions of an address the chain holds: its next nonce.
    ///
    /// # Errors
    /// `RpcFailure`.
    pub fn count(&self, address: Address, at: At) -> Result<u64, RpcFailure> {
        let method = "eth_getTransactionCount";
        let answer = self.call(method, json!([hex::data(address.as_slice()), tag(at)]))?;
        hex::u64_of(&answer).ok_or_else(|| Self::nonsense(method, "no number"))
    }

    /// What an address holds of the chain's own coin, in wei.
    ///
    /// # Errors
    /// `RpcFailure`.
    pub fn coin(&self, address: Address) -> Result<U256, RpcFailure> {
        let method = "eth_getBalance";
        let answer = self.call(method, json!([hex::data(address.as_slice()), "latest"]))?;
        hex::u256_of(&answer).ok_or_else(|| Self::nonsense(method, "no number"))
    }

    /// Whether the node holds that transaction, mined or not.
    ///
    /// # Errors
    /// `RpcFailure`.
    pub fn knows(&self, tx: B256) -> Result<bool, RpcFailure> {
        let method = "eth_getTransactionByHash";
        let answer = self.call(method, json!([hex::data(tx.as_slice())]))?;
        if answer.is_null() {
            return Ok(false);
        }
        match answer.get("hash").and_then(hex::hash_of) == Some(tx) {
            true => Ok(true),
            false => Err(Self::nonsense(method, "another transaction")),
        }
    }

    /// The receipt of a transaction whose block is in the chain now; `None` if it is not mined, or
    /// only in a block that the chain has left.
    ///
    /// # Errors
    /// `RpcFailure`.
    pub fn receipt(&self, tx: B256) -> Result<Option<Receipt>, RpcFailure> {
        let method = "eth_getTransactionReceipt";
        let answer = self.call(method, json!([hex::data(tx.as_slice())]))?;
        if answer.is_null() {
            return Ok(None);
        }
        let receipt = read_receipt(&answer).ok_or_else(|| Self::nonsense(method, "no receipt"))?;
        if receipt.tx != tx {
            return Err(Self::nonsense(method, "the receipt of another transaction"));
        }
        let canonical = self.block(At::Number(receipt.block.number))?;
        Ok((canonical == Some(receipt.block)).then_some(receipt))
    }

    /// The transaction in that block with an event of `address` under these topics.
    ///
    /// # Errors
    /// `RpcFailure`, also if there is more than one such event.
    pub fn find(
        &self,
        block: u64,
        address: Address,
        topics: &[B256],
    ) -> Result<Option<B256>, RpcFailure> {
        let method = "eth_getLogs";
        let topics: Vec<Value> = topics.iter().map(|topic| hex::data(topic.as_slice())).collect();
        let filter = json!({
            "fromBlock": hex::quantity(block),
            "toBlock": hex::quantity(block),
            "address": hex::data(address.as_slice()),
            "topics": topics,
        });
        let answer = self.call(method, json!([filter]))?;
        let logs = answer.as_array().ok_or_else(|| Self::nonsense(method, "no list"))?;
        match logs.as_slice() {
            [] => Ok(None),
            [log] => {
                let tx = log.get("transactionHash").and_then(hex::hash_of);
                tx.map(Some).ok_or_else(|| Self::nonsense(method, "an event of no transaction"))
            }
            [_, _, ..] => Err(Self::nonsense(method, "more than one event")),
        }
    }

    /// Calls a contract without changing anything.
    ///
    /// # Errors
    /// `RpcFailure`; a revert is an answer.
    pub fn ask(
        &self,
        from: Option<Address>,
        to: Address,
        data: &[u8],
        gas: Option<u64>,
    ) -> Result<Called, RpcFailure> {
        let method = "eth_call";
        let mut call = json!({"to": hex::data(to.as_slice()), "data": hex::data(data)});
        if let Some(from) = from {
            call["from"] = hex::data(from.as_slice());
        }
        if let Some(gas) = gas {
            call["gas"] = hex::quantity(gas);
        }
        match self.call(method, json!([call, "latest"])) {
            Ok(answer) => {
                let bytes = hex::bytes_of(&answer);
                bytes.map(Called::Returned).ok_or_else(|| Self::nonsense(method, "no bytes"))
            }
            Err(RpcFailure::Refused { data: Some(data), .. }) => Ok(Called::Reverted(data)),
            Err(
                failure @ (RpcFailure::Refused { data: None, .. }
                | RpcFailure::NeverLeft { .. }
                | RpcFailure::Unknown { .. }),
            ) => Err(failure),
        }
    }

    /// What gas costs: the next block's base fee, and the median tip of recent blocks or what the
    /// node suggests, whichever is more.
    ///
    /// # Errors
    /// `RpcFailure`.
    pub fn market(&self) -> Result<Market, RpcFailure> {
        let method = "eth_feeHistory";
        let params = json!([hex::quantity(FEE_BLOCKS), "latest", [FEE_PERCENTILE]]);
        let answer = self.call(method, params)?;
        let read = || {
            let base = hex::u128_of(answer.get("baseFeePerGas")?.as_array()?.last()?)?;
            let rewards = answer.get("reward").and_then(Value::as_array);
            let of_block = |block: &Value| hex::u128_of(block.as_array()?.first()?);
            let mut tips: Vec<u128> = rewards.into_iter().flatten().filter_map(of_block).collect();
            tips.sort_unstable();
            Some(Market { base, tip: tips.get(tips.len() / 2).copied().unwrap_or(0) })
        };
        let market = read().ok_or_else(|| Self::nonsense(method, "no fees"))?;
        // Not every node has this method; the median is enough then.
        let suggested = match self.call("eth_maxPriorityFeePerGas", json!([])) {
            Ok(answer) => hex::u128_of(&answer).unwrap_or(0),
            Err(RpcFailure::Refused { .. }) => 0,
            Err(failure @ (RpcFailure::NeverLeft { .. } | RpcFailure::Unknown { .. })) => {
                return Err(failure);
            }
        };
        Ok(Market { tip: market.tip.max(suggested), ..market })
    }

    /// Hands a signed transaction to the node. Sending the same bytes again is always safe.
    ///
    /// # Errors
    /// `RpcFailure::NeverLeft` or `Unknown`; a refusal is a word of the node.
    pub fn send_raw(&self, raw: &[u8], hash: B256) -> Result<SendWord, RpcFailure> {
        let method = "eth_sendRawTransaction";
        match self.call(method, json!([hex::data(raw)])) {
            Ok(answer) if hex::hash_of(&answer) == Some(hash) => Ok(SendWord::Taken),
            Ok(_) => Err(Self::nonsense(method, "another hash than that of the bytes")),
            Err(RpcFailure::Refused { message, .. }) => Ok(send_word(message)),
            Err(failure @ (RpcFailure::NeverLeft { .. } | RpcFailure::Unknown { .. })) => {
                Err(failure)
            }
        }
    }
}

/// Reads a refusal to send: every kind of node has its own words for the same four things.
fn send_word(message: String) -> SendWord {
    let said = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["already known", "alreadyknown", "already_exists", "already imported", "known tran"]) {
        SendWord::Known
    } else if has(&["nonce too low", "oldnonce", "nonce is too low", "nonce_too_low"]) {
        SendWord::NonceUsed
    } else if has(&["underpriced", "replacement", "fee too low", "feetoolow"]) {
        SendWord::Underpriced
    } else if has(&["insufficient funds", "insufficientfunds", "upfront cost exceeds"]) {
        SendWord::NoCoin
    } else {
        SendWord::Refused(message)
    }
}

fn tag(at: At) -> Value {
    match at {
        At::Latest => json!("latest"),
        At::Pending => json!("pending"),
        At::Safe => json!("safe"),
        At::Finalized => json!("finalized"),
        At::Number(number) => hex::quantity(number),
    }
}

fn read_receipt(answer: &Value) -> Option<Receipt> {
    let logs = answer.get("logs")?.as_array()?;
    let success = match hex::u64_of(answer.get("status")?)? {
        0 => false,
        1 => true,
        2.. => return None,
    };
    let block = BlockRef {
        number: hex::u64_of(answer.get("blockNumber")?)?,
        hash: hex::hash_of(answer.get("blockHash")?)?,
    };
    let tx = hex::hash_of(answer.get("transactionHash")?)?;
    if logs.len() > EVM_LOGS_MAX {
        return None;
    }
    let logs = logs.iter().map(read_log).collect::<Option<_>>()?;
    Some(Receipt { tx, block, success, logs })
}

fn read_log(log: &Value) -> Option<Log> {
    let topics = log.get("topics")?.as_array()?;
    if topics.len() > TOPICS {
        return None;
    }
    Some(Log {
        address: hex::address_of(log.get("address")?)?,
        topics: topics.iter().map(hex::hash_of).collect::<Option<_>>()?,
        data: hex::bytes_of(log.get("data")?)?,
    })
}
