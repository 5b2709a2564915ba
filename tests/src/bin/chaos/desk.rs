//! What the operators of this run do: register who there is, take vouchers, close, batch, approve, wait.
//! Every call is made again, under the same request id, until an engine answers it.
//!
//! Owns who there is and which tokens they have. Kills nobody.

use crate::check::{Told, UNITS_PER_CENT};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tallystick_tests::wire::operator_client::OperatorClient;
use tallystick_tests::wire::vouchers_client::VouchersClient;
use tallystick_tests::wire::{
    ApproveBatchRequest, Asset, Batch, BatchState, CloseWindowRequest, CreateAssetRequest,
    CreateBatchRequest, ImportRequest, Leg, LegState, Party, Reconciliation, SettlementAccount,
    SettlementModel, UpsertPartyRequest, import_request::Item,
};
use tallystick_tests::{
    Client, Outcome, PartyId, Voucher, World, frame, limit_request, outcomes, request_id,
    signer_request,
};
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// US dollars with six decimals.
const ASSET: u32 = 840;
/// A call that takes longer was made to an engine that is gone.
const CALL_MAX: Duration = Duration::from_secs(20);
/// Between two attempts, and between two looks at a batch.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two lines about how far a batch is.
const TELL: Duration = Duration::from_secs(5);
/// Vouchers in one frame.
const FRAME: usize = 1_000;
/// Items in one call of Import.
const IMPORT: usize = 3_000;

/// Where the engine that lives now serves.
pub type Address = Arc<Mutex<String>>;

/// The operators' side.
pub struct Desk {
    address: Address,
    client: Option<Client>,
    deadline: Instant,
    /// Tokens by party.
    tokens: BTreeMap<Vec<u8>, String>,
    /// What each payer has signed for so far.
    signed: Vec<u64>,
    world: Option<World>,
}

/// Codes of calls that say nothing of the request: the engine is gone, or busy.
fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::Internal
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
    )
}

impl Desk {
    /// One that gives up at `deadline`.
    pub fn new(address: Address, deadline: Instant) -> Self {
        let (tokens, signed) = (BTreeMap::new(), Vec::new());
        Self { address, client: None, deadline, tokens, signed, world: None }
    }

    async fn connect(&self) -> Option<Client> {
        let address = self.address.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.connect_timeout(CALL_MAX).connect().await.ok()?;
        let operator = OperatorClient::new(channel.clone());
        Some(Client { vouchers: VouchersClient::new(channel), operator })
    }

    /// Makes a call until an engine answers it.
    async fn call<T>(
        &mut self,
        what: &str,
        mut call: impl AsyncFnMut(&mut Client) -> Result<T, Status>,
    ) -> Result<T, String> {
        let mut last = "no engine took the connection".to_owned();
        while Instant::now() < self.deadline {
            if self.client.is_none() {
                self.client = self.connect().await;
            }
            if let Some(client) = &mut self.client {
                match tokio::time::timeout(CALL_MAX, call(client)).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(status)) if !is_passing(&status) => {
                        return Err(format!("{what} is refused: {status}"));
                    }
                    Ok(Err(status)) => last = status.to_string(),
                    Err(_) => last = "no answer".to_owned(),
                }
                self.client = None;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("{what} was not done in time: {last}"))
    }

    /// Registers `pairs` payers and as many payees, and the asset.
    pub async fn register(&mut self, pairs: usize) -> Result<(), String> {
        let asset = CreateAssetRequest {
            request_id: request_id("asset"),
            asset: Some(Asset { number: ASSET, code: "USD".into(), scale: 6 }),
            model: SettlementModel::Multilateral.into(),
        };
        self.call("CreateAsset", async |c| c.operator.create_asset(asset.clone()).await).await?;
        let client = self.client.as_mut().ok_or("the connection is gone")?;
        let world = World::known(client, pairs, pairs).await;
        let mut items = Vec::new();
        for (place, payer) in world.payers.iter().enumerate() {
            let (customer, method) = payer_tokens(place);
            let fields = [("customer", customer.clone()), ("payment_method", method)];
            items.push(party(payer.party, "Buyer", place, &fields));
            items.push(Item::Signer(signer_request(payer, &[])));
            let limit = World::LIMIT.to_string();
            items.push(Item::Limit(limit_request(payer.party, ASSET, &limit)));
            self.tokens.insert(payer.party.0.to_vec(), customer);
        }
        for (place, payee) in world.payees.iter().enumerate() {
            let token = payee_token(place);
            items.push(party(*payee, "Seller", place, &[("payout", token.clone())]));
            self.tokens.insert(payee.0.to_vec(), token);
        }
        let items: Vec<_> = items.into_iter().map(|i| ImportRequest { item: Some(i) }).collect();
        for some in items.chunks(IMPORT) {
            let import = async |client: &mut Client| {
                let items = tokio_stream::iter(some.to_vec());
                client.operator.import(items).await
            };
            let done = self.call("Import", import).await?.into_inner();
            if let Some(failure) = done.failures.first() {
                return Err(format!("an import is refused: {}", failure.reason));
            }
        }
        (self.signed, self.world) = (vec![0; pairs], Some(world));
        Ok(())
    }

    /// Has the first `pairs` payers pay one payee each: whole cents and some of them a bit more, which no
    /// card can pay.
    pub async fn pay(&mut self, pairs: usize, rng: &mut ChaCha8Rng) -> Result<(), String> {
        let world = self.world.take().ok_or("nobody is registered")?;
        let mut vouchers: Vec<Voucher> = Vec::new();
        for place in 0..pairs {
            let crumbs = if rng.random_range(0..10) == 0 { rng.random_range(1..10_000) } else { 0 };
            self.signed[place] += rng.random_range(100..5_000_u64) * 10_000 + crumbs;
            let payee = world.payees[place];
            vouchers.push(world.pay(place, payee, ASSET, 0, self.signed[place]));
        }
        self.world = Some(world);
        for (number, some) in vouchers.chunks(FRAME).enumerate() {
            let number = u64::try_from(number).expect("a count fits 64 bits");
            let submit = async |client: &mut Client| {
                client.vouchers.submit(frame(number, some)).await.map(tonic::Response::into_inner)
            };
            let ack = self.call("Submit", submit).await?;
            // Stale: credited by a call whose answer was lost.
            let fine = |outcome: &Outcome| matches!(outcome, Outcome::Credited | Outcome::Stale);
            if let Some(outcome) = outcomes(&ack).into_iter().find(|outcome| !fine(outcome)) {
                return Err(format!("a voucher is {outcome:?}"));
            }
        }
        Ok(())
    }

    /// From the open window to the end of its batch.
    pub async fn settle(&mut self) -> Result<Batch, String> {
        let close = CloseWindowRequest { request_id: request_id("close") };
        let close = async |c: &mut Client| c.operator.close_window(close.clone()).await;
        let window = self.call("CloseWindow", close).await?.into_inner();
        let create = CreateBatchRequest {
            request_id: request_id("batch"),
            windows: vec![window.number],
            asset: ASSET,
            rail: "card".into(),
        };
        let create = async |c: &mut Client| c.operator.create_batch(create.clone()).await;
        let batch = self.call("CreateBatch", create).await?.into_inner();
        let approve = ApproveBatchRequest {
            request_id: request_id("approve"),
            batch_id: batch.batch_id.clone(),
        };
        let approve = async |c: &mut Client| c.operator.approve_batch(approve.clone()).await;
        self.call("ApproveBatch", approve).await?;
        let named = tallystick_tests::wire::GetBatchRequest { batch_id: batch.batch_id };
        let (began, mut told) = (Instant::now(), Instant::now());
        loop {
            let look = async |c: &mut Client| c.operator.get_batch(named.clone()).await;
            let batch = self.call("GetBatch", look).await?.into_inner();
            if matches!(batch.state(), BatchState::Settled | BatchState::SettledWithCarry) {
                return Ok(batch);
            }
            if Instant::now() >= self.deadline {
                return Err(format!("the batch did not end in time: {batch:?}"));
            }
            if told.elapsed() >= TELL {
                told = Instant::now();
                let states = batch.legs_by_state.iter();
                let states: Vec<_> = states.map(|of| (of.state().as_str_name(), of.legs)).collect();
                eprintln!("chaos: {:?} after approval: {states:?}", began.elapsed());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// All batches, each with its legs and where the engine says it stands.
    pub async fn books(&mut self) -> Result<Vec<(Vec<Told>, Reconciliation)>, String> {
        self.client = None;
        let list = async |c: &mut Client| {
            let request = tallystick_tests::wire::ListBatchesRequest {};
            let batches = c.operator.list_batches(request).await?.into_inner();
            batches.collect::<Result<Vec<Batch>, Status>>().await
        };
        let mut books = Vec::new();
        for batch in self.call("ListBatches", list).await? {
            let named = tallystick_tests::wire::GetBatchRequest { batch_id: batch.batch_id };
            let legs = async |c: &mut Client| {
                let legs = c.operator.list_legs(named.clone()).await?.into_inner();
                legs.collect::<Result<Vec<Leg>, Status>>().await
            };
            let legs = self.call("ListLegs", legs).await?;
            let sums = async |c: &mut Client| c.operator.get_reconciliation(named.clone()).await;
            let sums = self.call("GetReconciliation", sums).await?.into_inner();
            books.push((legs.iter().map(|leg| self.told(leg)).collect(), sums));
        }
        Ok(books)
    }

    fn told(&self, leg: &Leg) -> Told {
        let pay_in = leg.to.iter().all(|byte| *byte == 0);
        let party = if pay_in { &leg.from } else { &leg.to };
        Told {
            key: leg.key.clone(),
            pay_in,
            token: self.tokens.get(&party[..]).cloned().unwrap_or_default(),
            amount: leg.amount.parse().expect("sums are decimal digits"),
            state: leg.state(),
            reference: leg.rail_reference.clone(),
        }
    }
}

/// The engine's own sums of confirmed legs: money in and money out.
pub fn confirmed(told: &Reconciliation) -> (u128, u128) {
    let sum = |sums: &[tallystick_tests::wire::LegSum]| -> u128 {
        let confirmed = sums.iter().filter(|sum| sum.state() == LegState::Confirmed);
        confirmed.map(|sum| sum.sum.parse::<u128>().expect("sums are decimal digits")).sum()
    };
    (sum(&told.pay_ins), sum(&told.pay_outs))
}

/// Least that is paid: far above what the provider takes at least.
const _: () = assert!(100 * UNITS_PER_CENT == 1_000_000);

fn party(id: PartyId, kind: &str, place: usize, fields: &[(&str, String)]) -> Item {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let party = Party {
        party_id: id.0.to_vec().into(),
        name: format!("{kind} {place} Inc."),
        suspended: false,
        accounts: [("card".to_owned(), SettlementAccount { fields })].into(),
    };
    Item::Party(UpsertPartyRequest { request_id: request_id("party"), party: Some(party) })
}

/// Customer and payment method. Most can be charged; the rest fails in every way that a card can.
fn payer_tokens(place: usize) -> (String, String) {
    let method = match place % 100 {
        3 => format!("pm_declined_insufficient_funds_{place}"),
        23 => format!("pm_auth_{place}"),
        43 | 63 => format!("pm_processing_{place}"),
        83 => format!("pm_processing_fails_{place}"),
        _ => format!("pm_{place}"),
    };
    let customer =
        if place % 100 == 93 { format!("cus_deleted_{place}") } else { format!("cus_{place}") };
    (customer, method)
}

/// Where a payee is paid. Most get a transfer, some a payout, a few nothing.
fn payee_token(place: usize) -> String {
    match place % 100 {
        7 | 27 | 47 => format!("ba_{place}"),
        67 => format!("ba_fails_{place}"),
        87 => format!("acct_closed_{place}"),
        _ => format!("acct_{place}"),
    }
}
