//! A chain, an engine that settles on it, and who there is.
//!
//! Owns the asset, the parties' addresses and the operators' steps. Mines nothing by itself.

use std::path::PathBuf;
use std::time::Duration;
use tallystick_tests::Outcome::Credited;
use tallystick_tests::chain::{Chain, address};
use tallystick_tests::wire::{
    ApproveBatchRequest, Asset, Batch, CreateAssetRequest, CreateBatchRequest, GetBatchRequest,
    ImportRequest, Leg, LegReport, LegWord, Reconciliation, ReportLegsRequest, SettlementModel,
    import_request::Item,
};
use tallystick_tests::{
    Client, Engine, Launch, PartyId, World, chain, limit_request, request_id, signer_request,
};
use tempfile::TempDir;

/// The asset that is settled on the chain.
pub const ASSET: u32 = 7;
/// What the contract holds at the beginning.
pub const MONEY: u128 = 1_000_000_000_000;
/// Bounds every wait; not an expectation.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// A node that answers at once: it is looked at often.
pub const OFTEN: &str = "every = \"20ms\"\nbump_after_blocks = 3";

/// A chain and what is known of the engine's side.
pub struct Setting {
    pub chain: Chain,
    pub world: World,
    /// The data directory is `data` in it.
    pub dir: TempDir,
}

impl Setting {
    /// A token, so many payers and payees.
    pub async fn new(token: &str, payers: usize, payees: usize) -> (Self, Engine, Client) {
        let (chain, dir) = (Chain::new(token), tempfile::tempdir().expect("a temporary folder"));
        chain.mint(MONEY);
        let engine = launch(&chain, &dir).start();
        let mut client = Client::connect(&engine).await;
        let world = register(&mut client, &chain, payers, payees).await;
        (Self { chain, world, dir }, engine, client)
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The engine as it is started, over the node itself.
    pub fn launch(&self) -> Launch {
        launch(&self.chain, &self.dir)
    }

    /// The same over another endpoint, with other settings of the rail.
    pub fn launch_over(&self, url: &str, more: &str) -> Launch {
        let config = self.chain.config(url, self.dir.path(), more);
        Launch::new(&self.data()).config(&config)
    }

    /// Payer `payer` pays so many units to each payee, in their order, on a lane of its own.
    pub async fn pay(&self, client: &mut Client, payer: usize, lane: u64, amounts: &[u64]) {
        let payees = self.world.payees.iter();
        let vouchers = payees.zip(amounts).filter(|(_, amount)| **amount > 0);
        let vouchers: Vec<_> = vouchers
            .map(|(payee, amount)| self.world.pay(payer, *payee, ASSET, lane, *amount))
            .collect();
        let outcomes = client.pay(&vouchers).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Credited), "{outcomes:?}");
    }

    /// What each payee holds on the chain.
    pub fn balances(&self) -> Vec<u128> {
        let payees: Vec<String> = self.world.payees.iter().map(|payee| address(*payee)).collect();
        self.chain.balances(&payees)
    }

    /// Asserts that the payees hold this, that the contract holds the rest, and that it paid each
    /// of them once.
    pub fn assert_paid(&self, amounts: &[u64]) {
        let due: Vec<u128> = amounts.iter().map(|amount| u128::from(*amount)).collect();
        assert_eq!(self.balances(), due);
        assert_eq!(self.chain.contract_balance(), MONEY - due.iter().sum::<u128>());
        let paid = due.iter().filter(|amount| **amount > 0).count();
        assert_eq!(self.chain.transfers().len(), paid, "one payment each");
    }
}

fn launch(chain: &Chain, dir: &TempDir) -> Launch {
    let config = chain.config(&chain.anvil.url(), dir.path(), OFTEN);
    Launch::new(&dir.path().join("data")).config(&config)
}

async fn register(client: &mut Client, chain: &Chain, payers: usize, payees: usize) -> World {
    let asset = CreateAssetRequest {
        request_id: request_id("asset"),
        asset: Some(Asset { number: ASSET, code: chain.asset_code(), scale: 6 }),
        model: SettlementModel::Multilateral.into(),
    };
    client.operator.create_asset(asset).await.expect("the asset is new");
    let world = World::known(client, payers, payees).await;
    let parties = world.payers.iter().map(|payer| payer.party).chain(world.payees.clone());
    let mut items: Vec<Item> =
        parties.map(|party| Item::Party(chain::party_request(party, &address(party)))).collect();
    for payer in &world.payers {
        items.push(Item::Signer(signer_request(payer, &[])));
        items.push(Item::Limit(limit_request(payer.party, ASSET, &World::LIMIT.to_string())));
    }
    let items: Vec<_> = items.into_iter().map(|i| ImportRequest { item: Some(i) }).collect();
    let done = client.operator.import(tokio_stream::iter(items)).await;
    let done = done.expect("the engine answers").into_inner();
    assert!(done.failures.is_empty(), "{:?}", done.failures);
    world
}

/// Closes the open window, and computes a batch of it.
pub async fn batch(client: &mut Client) -> Batch {
    let window = client.close_window().await.number;
    let request = CreateBatchRequest {
        request_id: request_id("batch"),
        windows: vec![window],
        asset: ASSET,
        rail: "evm".into(),
    };
    client.operator.create_batch(request).await.expect("a batch").into_inner()
}

pub async fn approve(client: &mut Client, batch: &Batch) -> Batch {
    let request = ApproveBatchRequest {
        request_id: format!("approve {:?}", batch.batch_id),
        batch_id: batch.batch_id.clone(),
        ..Default::default()
    };
    client.operator.approve_batch(request).await.expect("an approval").into_inner()
}

pub async fn reconcile(client: &mut Client, batch: &Batch) -> Reconciliation {
    let request = GetBatchRequest { batch_id: batch.batch_id.clone() };
    client.operator.get_reconciliation(request).await.expect("the batch").into_inner()
}

pub fn is_pay_in(leg: &Leg) -> bool {
    leg.to.as_ref() == [0; 32]
}

/// What an operator says of pay-ins whose money has come.
pub fn came_in(batch: &Batch, legs: &[Leg]) -> ReportLegsRequest {
    let one = |leg: &Leg| LegReport {
        key: leg.key.clone(),
        word: LegWord::Confirmed.into(),
        rail_reference: "statement 41".into(),
        reason: String::new(),
    };
    ReportLegsRequest {
        request_id: format!("came in {:?}", batch.batch_id),
        batch_id: batch.batch_id.clone(),
        reports: legs.iter().filter(|leg| is_pay_in(leg)).map(one).collect(),
        evidence: vec![7; 32].into(),
        ..Default::default()
    }
}

/// Approves a batch and has all its pay-ins confirmed.
pub async fn fund(client: &mut Client, batch: &Batch) {
    approve(client, batch).await;
    let legs = client.legs(batch).await;
    client.operator.report_legs(came_in(batch, &legs)).await.expect("a report");
}

/// Waits until so many of the engine's transactions wait in the node's pool.
pub fn until_waiting(chain: &Chain, transactions: u64) {
    tallystick_tests::until("the node holds the transactions", || {
        (chain.anvil.waiting() == transactions).then_some(())
    });
}

/// The party's legs that pay it.
pub fn pay_out(legs: &[Leg], party: PartyId) -> &Leg {
    legs.iter().find(|leg| leg.to.as_ref() == party.0).expect("it is paid")
}
