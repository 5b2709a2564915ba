//! A chain with a token and a payout contract, and a batch to be paid.

use crate::anvil::{Anvil, OWNER, OWNER_KEY, package};
use alloy_sol_types::{SolCall as _, SolValue as _, sol};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tallystick::ledger::{
    Account, AssetSeal, BatchContent, Obligation, Rail, SealedAsset, SealedWindow, WindowTotals,
};
use tallystick::rails;
use tallystick::rails::evm::{Address, Clearing, Desk, EvmConfig, FeeRules, Finality, U256};
use tallystick::types::{
    AssetDef, AssetNumber, Digest, Lsn, PartyId, SettlementModel, Timestamp, Total, WindowNumber,
};
use tempfile::TempDir;

sol! {
    function mint(address to, uint256 amount) external;
    function balanceOf(address holder) external view returns (uint256);
    function setBlocked(address account, bool yes) external;
    function withdraw(address token, address to, uint256 amount) external;
    function transferOwnership(address to) external;
}

/// Money in the contract, unless a test says otherwise.
pub const PLENTY: u128 = 1_000_000_000_000;
/// Blocks that a transaction waits before its fee is raised.
pub const BUMP_AFTER: u64 = 3;

pub struct World {
    pub anvil: Anvil,
    pub token: String,
    pub contract: String,
    dir: TempDir,
}

impl World {
    /// `token` is a contract of `engine/evm/contracts/test`.
    pub fn new(token: &str) -> Self {
        Self::with_money(token, PLENTY)
    }

    pub fn with_money(token: &str, money: u128) -> Self {
        let anvil = Anvil::start();
        let dir = TempDir::new().expect("a folder");
        // Plain tokens are told their decimals; the others have 6.
        let arguments = if token == "PlainToken" { U256::from(6).abi_encode() } else { Vec::new() };
        let token = deploy(&anvil, &format!("build/{token}.json"), &arguments);
        let of_token = token.parse::<Address>().expect("an address").abi_encode();
        let contract = deploy(&anvil, "BatchPayout.json", &of_token);
        let world = Self { anvil, token, contract, dir };
        world.mint(money);
        world
    }

    pub fn mint(&self, amount: u128) {
        let to = self.contract.parse().expect("an address");
        self.anvil
            .send(Some(&self.token), &mintCall { to, amount: U256::from(amount) }.abi_encode());
    }

    pub fn block(&self, account: Address) {
        let call = setBlockedCall { account, yes: true };
        self.anvil.send(Some(&self.token), &call.abi_encode());
    }

    pub fn balance(&self, holder: Address) -> u128 {
        let answer = self.anvil.call(&self.token, &balanceOfCall { holder }.abi_encode());
        u128::try_from(U256::from_be_slice(&answer)).expect("a balance")
    }

    pub fn contract_balance(&self) -> u128 {
        self.balance(self.contract.parse().expect("an address"))
    }

    pub fn clearing_fields(&self) -> Vec<(String, String)> {
        let fields = [
            ("chain_id", "31337"),
            ("contract", &self.contract),
            ("token", &self.token),
            ("decimals", "6"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        rails::check_clearing(Rail::Evm, &BTreeMap::from(fields)).expect("a clearing account")
    }

    pub fn clearing(&self) -> Clearing {
        Clearing::read(&self.clearing_fields()).expect("a clearing account")
    }

    pub fn config(&self, url: String) -> EvmConfig {
        EvmConfig {
            rpc_url: url,
            key_file: self.key_file(OWNER_KEY),
            finality: Finality::Tags,
            fees: FeeRules { cap: 2_000_000_000_000, tip_cap: 2_000_000_000 },
            bump_after: BUMP_AFTER,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(60),
        }
    }

    pub fn key_file(&self, key: &str) -> PathBuf {
        let path = self.dir.path().join(format!("{}.key", &key[..8]));
        std::fs::write(&path, format!("0x{key}\n")).expect("a key file");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, private).expect("a private file");
        path
    }

    /// The desk, over the node itself.
    pub fn desk(&self) -> Desk {
        self.desk_at(self.anvil.url())
    }

    pub fn desk_at(&self, url: String) -> Desk {
        Desk::open(self.config(url), self.clearing()).expect("a desk")
    }

    /// The batch in which party n is owed the n-th amount.
    pub fn batch(&self, owed: &[u128]) -> BatchContent {
        let asset = AssetDef {
            number: AssetNumber(7),
            code: self.clearing().asset_code(),
            scale: 6,
            model: SettlementModel::Multilateral,
        };
        let net = owed.iter().zip(1..).map(|(amount, payee)| Obligation {
            payer: party(0),
            payee: party(payee),
            amount: Total(*amount),
        });
        let window = window(asset.number, net.collect());
        let policy = rails::policy(Rail::Evm, &asset, &self.clearing_fields()).expect("it fits");
        let batch =
            BatchContent::compute(&[Arc::new(window)], &asset, &policy, account, |_| Total::ZERO);
        batch.expect("a batch")
    }

    /// Asserts that every pay-out leg but those of `failed` has arrived, once, and nothing else
    /// left.
    pub fn assert_paid(&self, batch: &BatchContent, money: u128, failed: &[u32]) {
        let mut moved = 0;
        for leg in batch.legs.iter().filter(|leg| !leg.payment.is_pay_in()) {
            let skipped = failed.iter().any(|number| leg.payment.to == party(*number));
            let due = if skipped { 0 } else { leg.payment.amount.0 };
            assert_eq!(self.balance(address(leg.payment.to)), due, "leg {}", leg.key);
            moved += due;
        }
        assert_eq!(self.contract_balance(), money - moved);
    }
}

fn deploy(anvil: &Anvil, file: &str, arguments: &[u8]) -> String {
    let path = package().join(file);
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|_| panic!("no {}: run engine/evm/setup", path.display()));
    let artifact: Value = serde_json::from_str(&text).expect("JSON");
    let code = artifact["bytecode"].as_str().expect("code").trim_start_matches("0x");
    let code = data_encoding::HEXLOWER.decode(code.as_bytes()).expect("hex");
    let receipt = anvil.send(None, &[code.as_slice(), arguments].concat());
    receipt["contractAddress"].as_str().expect("an address").to_owned()
}

pub fn party(number: u32) -> PartyId {
    let mut id = PartyId::ZERO;
    id.0[0] = 0xa0;
    id.0[12] = 0xb0;
    id.0[28..].copy_from_slice(&number.to_be_bytes());
    id
}

/// Where a party is paid.
pub fn address(party: PartyId) -> Address {
    Address::from_slice(&party.0[12..])
}

fn account(party: PartyId) -> Option<Account> {
    let fields = BTreeMap::from([("address".to_owned(), address(party).to_string())]);
    let fields = rails::check_account("evm", &fields).expect("an account").fields;
    Some(Account { name: "somebody".into(), fields })
}

fn window(asset: AssetNumber, net: Vec<Obligation>) -> SealedWindow {
    let seal = AssetSeal {
        asset,
        obligations_root: Digest::ZERO,
        positions_root: Digest::ZERO,
        carried_in: Total::ZERO,
        totals: WindowTotals::default(),
    };
    let (obligations, evidence, carried) = (Vec::new(), Vec::new(), Vec::new());
    let positions = Vec::new();
    let sealed = SealedAsset { obligations, evidence, carried, net, positions, seal };
    SealedWindow {
        number: WindowNumber(7),
        first_lsn: Lsn(1),
        cut_lsn: Lsn(2),
        cut_at: Timestamp(1_795_822_245_123_456),
        credited: 1,
        assets: BTreeMap::from([(asset, sealed)]),
        root: Digest([7; 32]),
    }
}

/// The owner's address.
pub fn owner() -> Address {
    OWNER.parse().expect("an address")
}
