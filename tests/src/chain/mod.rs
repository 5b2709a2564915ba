//! A chain of one's own: a node (`anvil`, from npm: run `engine/evm/setup` first), a token and a
//! payout contract on it.
//!
//! Owns what is deployed and how the token's own books are read. Speaks JSON-RPC only, straight to
//! the node, apart from whatever is under test. The calls' bytes are written down here, so that
//! they are compared with the compiled contracts and with what the engine makes of them.

mod node;
mod proxy;

pub use node::{Anvil, OWNER, OWNER_KEY, evm_package};
pub use proxy::{Fault, Proxy};

use crate::wire::{Party, SettlementAccount, UpsertPartyRequest};
use crate::{PartyId, request_id};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The second of the accounts that anvil funds: who issues the token.
pub const ISSUER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// The number of anvil's chain.
pub const CHAIN_ID: u64 = 31_337;
/// Decimals of the tokens.
pub const DECIMALS: u32 = 6;

/// First bytes of calls: `cast sig`, or any other tool, says the same.
const MINT: &str = "40c10f19";
const BALANCE_OF: &str = "70a08231";
const SET_BLOCKED: &str = "000af2a1";
/// Topic of `Transfer(address,address,uint256)`.
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
/// Blocks whose events are asked for at once.
const LOG_BLOCKS: u64 = 200;
/// Balances that are asked for at once.
const BALANCES: usize = 500;

/// A node with a token and a payout contract, which `OWNER` owns.
pub struct Chain {
    /// The node.
    pub anvil: Anvil,
    /// The token's address.
    pub token: String,
    /// The payout contract's address.
    pub contract: String,
}

/// One payment by the contract, as the token tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Who was paid: small letters.
    pub to: String,
    /// How much, in token units.
    pub amount: u128,
    /// By which transaction.
    pub tx: String,
}

impl Chain {
    /// A new node, with `token`, a contract of `engine/evm/contracts/test`.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self::on(Anvil::start(), token)
    }

    /// On a node that has none yet.
    #[must_use]
    pub fn on(anvil: Anvil, token: &str) -> Self {
        // Plain tokens are told their decimals; the others have as many.
        let arguments =
            if token == "PlainToken" { word(u128::from(DECIMALS)) } else { String::new() };
        let token = deploy(&anvil, ISSUER, &format!("build/{token}.json"), &arguments);
        let contract = deploy(&anvil, OWNER, "BatchPayout.json", &padded(&token));
        Self { anvil, token, contract }
    }

    /// Gives the contract money.
    pub fn mint(&self, amount: u128) {
        let to = padded(&self.contract);
        self.anvil.send(ISSUER, Some(&self.token), &bytes(&format!("{MINT}{to}{}", word(amount))));
    }

    /// Has the token refuse a recipient.
    pub fn block(&self, account: &str) {
        let data = format!("{SET_BLOCKED}{}{}", padded(account), word(1));
        self.anvil.send(ISSUER, Some(&self.token), &bytes(&data));
    }

    /// What somebody holds.
    #[must_use]
    pub fn balance(&self, holder: &str) -> u128 {
        number(&self.anvil.ask("eth_call", self.balance_call(holder)))
    }

    /// What many hold, in their order.
    #[must_use]
    pub fn balances(&self, holders: &[String]) -> Vec<u128> {
        let calls = |some: &[String]| -> Vec<(&'static str, Value)> {
            some.iter().map(|holder| ("eth_call", self.balance_call(holder))).collect()
        };
        let asked = holders.chunks(BALANCES).flat_map(|some| self.anvil.ask_all(&calls(some)));
        asked.map(|balance| number(&balance)).collect()
    }

    fn balance_call(&self, holder: &str) -> Value {
        let data = format!("0x{BALANCE_OF}{}", padded(holder));
        json!([{"to": self.token, "data": data}, "latest"])
    }

    /// What the contract holds.
    #[must_use]
    pub fn contract_balance(&self) -> u128 {
        self.balance(&self.contract)
    }

    /// Every payment that the contract made in the blocks that the chain has now.
    #[must_use]
    pub fn transfers(&self) -> Vec<Transfer> {
        let head = self.anvil.number("eth_blockNumber", json!([]));
        let payer = format!("0x{}", padded(&self.contract));
        let mut transfers = Vec::new();
        let mut from = 0;
        while from <= head {
            let to = head.min(from + LOG_BLOCKS - 1);
            let filter = json!({
                "address": self.token, "topics": [TRANSFER, payer],
                "fromBlock": format!("{from:#x}"), "toBlock": format!("{to:#x}"),
            });
            let logs = self.anvil.ask("eth_getLogs", json!([filter]));
            transfers.extend(logs.as_array().expect("a list of events").iter().map(transfer));
            from = to + 1;
        }
        transfers
    }

    /// The token on this chain as an asset's code.
    #[must_use]
    pub fn asset_code(&self) -> String {
        format!("eip155:{CHAIN_ID}/erc20:{}", self.token)
    }

    /// The engine's settings for this chain, the node being asked at `url`; the owner's key goes
    /// into a file in `dir`. `more` are further settings of `[rail.evm]`.
    #[must_use]
    pub fn config(&self, url: &str, dir: &Path, more: &str) -> String {
        let (contract, token, key) = (&self.contract, &self.token, key_file(dir, OWNER_KEY));
        format!(
            "[clearing.evm]\nchain_id = \"{CHAIN_ID}\"\ncontract = \"{contract}\"\n\
             token = \"{token}\"\ndecimals = \"{DECIMALS}\"\n\
             [rail.evm]\nrpc_url = \"{url}\"\nkey_file = {key:?}\nmax_fee_gwei = 2000\n{more}\n"
        )
    }
}

/// Writes a key where only its owner may read it.
#[must_use]
pub fn key_file(dir: &Path, key: &str) -> PathBuf {
    let path = dir.join(format!("{}.key", &key[..8]));
    std::fs::write(&path, format!("0x{key}\n")).expect("a key file");
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, private).expect("a private file");
    path
}

/// Where a party is paid in tests: the last bytes of its id.
#[must_use]
pub fn address(party: PartyId) -> String {
    format!("0x{}", data_encoding::HEXLOWER.encode(&party.0[12..]))
}

/// A party that is paid at an address of the chain.
#[must_use]
pub fn party_request(party: PartyId, address: &str) -> UpsertPartyRequest {
    let fields = [("address".to_owned(), address.to_owned())].into();
    let party = Party {
        party_id: party.0.to_vec().into(),
        name: format!("Agent {}", &address[..10]),
        suspended: false,
        accounts: [("evm".to_owned(), SettlementAccount { fields })].into(),
        ..Default::default()
    };
    UpsertPartyRequest {
        request_id: request_id("party"),
        party: Some(party),
        reopen: false,
        keep: None,
    }
}

fn deploy(anvil: &Anvil, from: &str, file: &str, arguments: &str) -> String {
    let path = evm_package().join(file);
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|_| panic!("no {}: run engine/evm/setup", path.display()));
    let artifact: Value = serde_json::from_str(&text).expect("JSON");
    let code = artifact["bytecode"].as_str().expect("code").trim_start_matches("0x");
    let receipt = anvil.send(from, None, &bytes(&format!("{code}{arguments}")));
    receipt["contractAddress"].as_str().expect("an address").to_owned()
}

fn transfer(log: &Value) -> Transfer {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let to = text(&log["topics"][2]);
    Transfer {
        to: format!("0x{}", &to[to.len() - 40..]),
        amount: number(&log["data"]),
        tx: text(&log["transactionHash"]),
    }
}

/// A number as 32 bytes.
fn word(number: u128) -> String {
    format!("{number:064x}")
}

/// An address as 32 bytes.
fn padded(address: &str) -> String {
    format!("{:0>64}", address.trim_start_matches("0x").to_ascii_lowercase())
}

fn bytes(hex: &str) -> Vec<u8> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).expect("hexadecimal digits")
}

/// A number of 32 bytes that fits 128 bits.
fn number(value: &Value) -> u128 {
    let digits = value.as_str().expect("bytes").trim_start_matches("0x");
    u128::from_str_radix(digits, 16).expect("a number of 128 bits")
}
