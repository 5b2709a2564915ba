//! A chain with a token and a payout contract, and a batch to be paid.

use alloy_sol_types::sol;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tallystick::ledger::{
    Account, AssetSeal, BatchContent, Obligation, OpenBatch, Rail, SealedAccount, SealedAsset,
    SealedText, SealedWindow, WindowTotals,
};
use tallystick::rails;
use tallystick::rails::evm::{Address, Clearing, Desk, EvmConfig, FeeRules, Finality};
use tallystick::types::{
    AssetDef, AssetNumber, Digest, Lsn, PartyId, SettlementModel, Timestamp, Total, WindowNumber,
};
use tallystick_tests::chain::{Chain, OWNER, OWNER_KEY, key_file};
use tempfile::TempDir;

sol! {
    function withdraw(address token, address to, uint256 amount) external;
    function transferOwnership(address to) external;
}

/// Money in the contract, unless a test says otherwise.
pub const PLENTY: u128 = 1_000_000_000_000;
/// Blocks that a transaction waits before its fee is raised.
pub const BUMP_AFTER: u64 = 3;

pub struct World {
    chain: Chain,
    dir: TempDir,
}

impl Deref for World {
    type Target = Chain;

    fn deref(&self) -> &Chain {
        &self.chain
    }
}

impl World {
    /// `token` is a contract of `engine/evm/contracts/test`.
    pub fn new(token: &str) -> Self {
        Self::with_money(token, PLENTY)
    }

    pub fn with_money(token: &str, money: u128) -> Self {
        let (chain, dir) = (Chain::new(token), TempDir::new().expect("a folder"));
        chain.mint(money);
        Self { chain, dir }
    }

    pub fn block(&self, account: Address) {
        self.chain.block(&account.to_string());
    }

    pub fn balance(&self, holder: Address) -> u128 {
        self.chain.balance(&holder.to_string())
    }

    pub fn clearing_fields(&self) -> Vec<(String, String)> {
        let fields = [
            ("chain_id", "31337"),
            ("contract", &*self.contract),
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
        key_file(self.dir.path(), key)
    }

    /// The desk, over the node itself.
    pub fn desk(&self) -> Desk {
        self.desk_at(self.anvil.url())
    }

    pub fn desk_at(&self, url: String) -> Desk {
        Desk::open(self.config(url), self.clearing()).expect("a desk")
    }

    /// The batch in which party n is owed the n-th amount.
    pub fn batch(&self, owed: &[u128]) -> OpenBatch {
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
        // The chain never sees what is sealed: any bytes will do.
        let text = || SealedText::new(vec![7; 40]);
        let sealed = |_| Some(SealedAccount { name: text(), fields: text() });
        let windows = [Arc::new(window)];
        let batch = BatchContent::compute(&windows, &asset, &policy, sealed, |_| Total::ZERO);
        let batch = batch.expect("a batch");
        let open = |party: &PartyId| Some((*party, account(*party)?));
        batch.with_accounts(batch.accounts.keys().filter_map(open).collect())
    }

    /// Asserts that every pay-out leg but those of `failed` has arrived, once, and nothing else
    /// left.
    pub fn assert_paid(&self, batch: &OpenBatch, money: u128, failed: &[u32]) {
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
