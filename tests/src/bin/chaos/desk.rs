//! What the operators of this run do: register who there is, take vouchers, close, batch, approve,
//! say what came in, wait. Every call is made again, under the same request id, until an engine
//! answers it.
//!
//! Owns what was signed and what was said. Kills nobody.

use crate::check::{Movement, Told};
use crate::people::{self, Rail};
use crate::people_at_work::{self, Shared};
use crate::statement::Statement;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tallystick_tests::wire::operator_client::OperatorClient;
use tallystick_tests::wire::vouchers_client::VouchersClient;
use tallystick_tests::wire::{
    AckTroublesRequest, ApproveBatchRequest, Batch, BatchState, CloseWindowRequest,
    CreateAssetRequest, CreateBatchRequest, GetBatchRequest, GetStatusRequest, ImportRequest, Leg,
    LegState, ListBatchesRequest, ListTroublesRequest, Reconciliation, ReportLegsRequest,
    ResolveLegRequest, SettlementModel, Trouble, import_request::Item,
};
use tallystick_tests::{
    Client, Outcome, PartyId, Voucher, World, frame, limit_request, outcomes, request_id,
    signer_request,
};
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// A call that takes longer was made to an engine that is gone.
const CALL_MAX: Duration = Duration::from_secs(20);
/// Between two attempts, and between two looks at a batch.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two lines about how far a batch is.
const TELL: Duration = Duration::from_secs(5);
/// Vouchers in one frame.
const FRAME: usize = 1_000;
/// Least that is paid, in units of the rail: above what the provider takes at least.
const LEAST: u64 = 100;
/// Items in one call of Import.
const IMPORT: usize = 3_000;

/// Operators' tokens; the engine knows their digests.
pub const ANN: &str = "ann-of-the-chaos-run-0123456789abcdef";
/// See `ANN`.
pub const BOB: &str = "bob-of-the-chaos-run-0123456789abcdef";

/// A call by the operator who has this token.
fn by<T>(token: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let bearer = format!("Bearer {token}").parse().expect("a token is visible ASCII");
    request.metadata_mut().insert("authorization", bearer);
    request
}

/// Where the engine that lives now serves.
pub type Address = Arc<Mutex<String>>;
/// Who is a payer, and the place, by party.
pub type Places = BTreeMap<Vec<u8>, (bool, usize)>;

/// The operators' side.
pub struct Desk {
    address: Address,
    client: Option<Client>,
    deadline: Instant,
    rails: Vec<Rail>,
    places: Places,
    /// What each payer has signed for so far, on each rail.
    signed: BTreeMap<Rail, Vec<u64>>,
    world: Option<World>,
    /// What was said of pay-ins, by batch.
    statements: BTreeMap<Vec<u8>, Statement>,
    /// Whether all batches of this round are approved.
    pub approved: Arc<AtomicBool>,
}

/// One batch as the engine shows it.
pub struct Book {
    pub rail: Rail,
    pub legs: Vec<Told>,
    pub sums: Reconciliation,
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
    /// One that settles on these rails and gives up at `deadline`.
    pub fn new(address: Address, rails: Vec<Rail>, deadline: Instant) -> Self {
        Self {
            address,
            client: None,
            deadline,
            rails,
            places: BTreeMap::new(),
            signed: BTreeMap::new(),
            world: None,
            statements: BTreeMap::new(),
            approved: Arc::default(),
        }
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
        call: impl AsyncFnMut(&mut Client) -> Result<T, Status>,
    ) -> Result<T, String> {
        let answer = self.answer(what, call).await?;
        answer.map_err(|status| format!("{what} is refused: {status}"))
    }

    /// The same where the engine may refuse.
    async fn answer<T>(
        &mut self,
        what: &str,
        mut call: impl AsyncFnMut(&mut Client) -> Result<T, Status>,
    ) -> Result<Result<T, Status>, String> {
        let mut last = "no engine took the connection".to_owned();
        while Instant::now() < self.deadline {
            if self.client.is_none() {
                self.client = self.connect().await;
            }
            if let Some(client) = &mut self.client {
                match tokio::time::timeout(CALL_MAX, call(client)).await {
                    Ok(Ok(answer)) => return Ok(Ok(answer)),
                    Ok(Err(status)) if !is_passing(&status) => return Ok(Err(status)),
                    Ok(Err(status)) => last = status.to_string(),
                    Err(_) => last = "no answer".to_owned(),
                }
                self.client = None;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("{what} was not done in time: {last}"))
    }

    /// Registers `pairs` payers and as many payees, and the assets; `token` is the code of the one
    /// on the chain.
    pub async fn register(&mut self, pairs: usize, token: &str) -> Result<(), String> {
        for rail in self.rails.clone() {
            let asset = CreateAssetRequest {
                request_id: request_id("asset"),
                asset: Some(rail.asset_message(token)),
                model: SettlementModel::Multilateral.into(),
            };
            let create =
                async |c: &mut Client| c.operator.create_asset(by(ANN, asset.clone())).await;
            self.call("CreateAsset", create).await?;
            self.signed.insert(rail, vec![0; pairs]);
        }
        let client = self.client.as_mut().ok_or("the connection is gone")?;
        let world = World::known(client, pairs, pairs).await;
        let mut items = Vec::new();
        for (place, payer) in world.payers.iter().enumerate() {
            items.push(people::party(payer.party, true, place, &self.rails));
            items.push(Item::Signer(signer_request(payer, &[])));
            let limit = World::LIMIT.to_string();
            let limit = |rail: &Rail| limit_request(payer.party, rail.asset(), &limit);
            items.extend(self.rails.iter().map(limit).map(Item::Limit));
            self.places.insert(payer.party.0.to_vec(), (true, place));
        }
        for (place, payee) in world.payees.iter().enumerate() {
            items.push(people::party(*payee, false, place, &self.rails));
            self.places.insert(payee.0.to_vec(), (false, place));
        }
        let items: Vec<_> = items.into_iter().map(|i| ImportRequest { item: Some(i) }).collect();
        for some in items.chunks(IMPORT) {
            let import = async |client: &mut Client| {
                let items = tokio_stream::iter(some.to_vec());
                client.operator.import(by(ANN, items)).await
            };
            let done = self.call("Import", import).await?.into_inner();
            if let Some(failure) = done.failures.first() {
                return Err(format!("an import is refused: {}", failure.reason));
            }
        }
        self.world = Some(world);
        Ok(())
    }

    /// Has the first `pairs` payers pay one payee each: whole units of the rail and some of them a
    /// bit more, which it cannot pay.
    pub async fn pay(
        &mut self,
        rail: Rail,
        pairs: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<(), String> {
        let world = self.world.take().ok_or("nobody is registered")?;
        let signed = self.signed.get_mut(&rail).ok_or("the rail takes no part")?;
        let mut vouchers: Vec<Voucher> = Vec::new();
        for (place, total) in signed.iter_mut().enumerate().take(pairs) {
            let crumb = rng.random_range(0..10) == 0;
            let crumbs = if crumb { rng.random_range(1..rail.unit()) } else { 0 };
            *total += rng.random_range(LEAST..50 * LEAST) * rail.unit() + crumbs;
            let payee = world.payees[place];
            vouchers.push(world.pay(place, payee, rail.asset(), 0, *total));
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

    /// From the open window to the end of its batches, one on each of these rails.
    pub async fn settle(&mut self, rails: &[Rail]) -> Result<Vec<Batch>, String> {
        self.approved.store(false, Ordering::Relaxed);
        let close = CloseWindowRequest { request_id: request_id("close") };
        let close = async |c: &mut Client| c.operator.close_window(by(ANN, close.clone())).await;
        let window = self.call("CloseWindow", close).await?.into_inner().number;
        let mut open = Vec::new();
        for rail in rails {
            open.push(self.approve(window, *rail).await?);
        }
        self.approved.store(true, Ordering::Relaxed);
        let (began, mut told, mut ended) = (Instant::now(), Instant::now(), Vec::new());
        while !open.is_empty() {
            let mut going = Vec::new();
            for (rail, batch) in open {
                let batch = self.look(&batch).await?;
                if matches!(batch.state(), BatchState::Settled | BatchState::SettledWithCarry) {
                    eprintln!("chaos: {} has settled after {:?}", rail.name(), began.elapsed());
                    ended.push(batch);
                    continue;
                }
                if rail == Rail::Evm {
                    self.say(&batch).await?;
                }
                going.push((rail, batch));
            }
            open = going;
            if Instant::now() >= self.deadline {
                return Err(format!("the batches did not end in time: {open:?}"));
            }
            if told.elapsed() >= TELL {
                told = Instant::now();
                for (rail, batch) in &open {
                    let states = batch.legs_by_state.iter();
                    let states: Vec<_> =
                        states.map(|of| (of.state().as_str_name(), of.legs)).collect();
                    eprintln!(
                        "chaos: {} {:?} after approval: {states:?}",
                        rail.name(),
                        began.elapsed()
                    );
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(ended)
    }

    async fn approve(&mut self, window: u64, rail: Rail) -> Result<(Rail, Batch), String> {
        let create = CreateBatchRequest {
            request_id: request_id("batch"),
            windows: vec![window],
            asset: rail.asset(),
            rail: rail.name().into(),
        };
        // While an earlier payment of somebody is in doubt nothing is made, until somebody has
        // looked.
        let batch = loop {
            let ask = async |c: &mut Client| c.operator.create_batch(by(ANN, create.clone())).await;
            match self.answer("CreateBatch", ask).await? {
                Ok(batch) => break batch.into_inner(),
                Err(status) if status.message().contains("in doubt") => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(status) => return Err(format!("CreateBatch is refused: {status}")),
            }
        };
        let approve = ApproveBatchRequest {
            request_id: request_id("approve"),
            batch_id: batch.batch_id.clone(),
            ..Default::default()
        };
        let approve =
            async |c: &mut Client| c.operator.approve_batch(by(ANN, approve.clone())).await;
        Ok((rail, self.call("ApproveBatch", approve).await?.into_inner()))
    }

    async fn look(&mut self, batch: &Batch) -> Result<Batch, String> {
        let named = GetBatchRequest { batch_id: batch.batch_id.clone() };
        let look = async |c: &mut Client| c.operator.get_batch(by(ANN, named.clone())).await;
        Ok(self.call("GetBatch", look).await?.into_inner())
    }

    /// Says the next of what came in for a batch.
    async fn say(&mut self, batch: &Batch) -> Result<(), String> {
        let id = batch.batch_id.to_vec();
        if !self.statements.contains_key(&id) {
            let legs = self.legs(batch, Rail::Evm).await?;
            let places: BTreeMap<String, usize> = self
                .world
                .iter()
                .flat_map(|world| world.payers.iter().enumerate())
                .map(|(place, payer)| (Rail::Evm.whom(payer.party, true, place), place))
                .collect();
            let statement = Statement::new(legs, |whom| places.get(whom).copied());
            self.statements.insert(id.clone(), statement);
        }
        let requests = self.statements[&id].next(batch);
        let said = !requests.is_empty();
        for request in requests {
            let report =
                async |c: &mut Client| c.operator.report_legs(by(ANN, request.clone())).await;
            match self.answer("ReportLegs", report).await? {
                Ok(_) => {}
                // The folder is broken: nobody can have paid what nobody was asked for yet.
                Err(status) if status.message().contains("has not left") => return Ok(()),
                Err(status) => return Err(format!("ReportLegs is refused: {status}")),
            }
        }
        if said && let Some(statement) = self.statements.get_mut(&id) {
            statement.taken();
        }
        Ok(())
    }

    /// What came in over the chain, by what was said.
    pub fn came_in(&self) -> Vec<Movement> {
        self.statements.values().flat_map(Statement::movements).collect()
    }

    /// How many records the engine's journal has.
    pub async fn records(&mut self) -> Result<u64, String> {
        let status =
            async |c: &mut Client| c.operator.get_status(by(ANN, GetStatusRequest {})).await;
        Ok(self.call("GetStatus", status).await?.into_inner().durable_lsn)
    }

    /// All batches, each with its legs and where the engine says it stands.
    pub async fn books(&mut self) -> Result<Vec<Book>, String> {
        self.client = None;
        let mut books = Vec::new();
        for batch in self.batches().await? {
            let rail = Rail::ALL.into_iter().find(|rail| rail.name() == batch.rail);
            let rail = rail.ok_or_else(|| format!("a batch on rail {}", batch.rail))?;
            let legs = self.legs(&batch, rail).await?;
            let named = GetBatchRequest { batch_id: batch.batch_id };
            let sums =
                async |c: &mut Client| c.operator.get_reconciliation(by(ANN, named.clone())).await;
            let sums = self.call("GetReconciliation", sums).await?.into_inner();
            books.push(Book { rail, legs, sums });
        }
        Ok(books)
    }

    /// All batches.
    pub async fn batches(&mut self) -> Result<Vec<Batch>, String> {
        let list = async |c: &mut Client| {
            let all =
                c.operator.list_batches(by(ANN, ListBatchesRequest::default())).await?.into_inner();
            all.collect::<Result<Vec<Batch>, Status>>().await
        };
        self.call("ListBatches", list).await
    }

    /// The legs of a batch, as the engine shows them.
    pub async fn raw_legs(&mut self, batch: &Batch) -> Result<Vec<Leg>, String> {
        let named = GetBatchRequest { batch_id: batch.batch_id.clone() };
        let legs = async |c: &mut Client| {
            let legs = c.operator.list_legs(by(ANN, named.clone())).await?.into_inner();
            legs.collect::<Result<Vec<Leg>, Status>>().await
        };
        self.call("ListLegs", legs).await
    }

    /// Another desk of the same house.
    pub fn another(&self) -> Self {
        let places = self.places.clone();
        Self { places, ..Self::new(self.address.clone(), self.rails.clone(), self.deadline) }
    }

    /// Suspends a payee, or does not any more.
    pub async fn suspend(&mut self, party: &[u8], suspended: bool) -> Result<(), String> {
        let (payer, place) = self.places[party];
        let id = PartyId(party.try_into().expect("a party id has 32 bytes"));
        let Item::Party(mut upsert) = people::party(id, payer, place, &self.rails) else {
            unreachable!("a party is one")
        };
        upsert.party.as_mut().expect("a party").suspended = suspended;
        let said = async |c: &mut Client| c.operator.upsert_party(by(ANN, upsert.clone())).await;
        self.call("UpsertParty", said).await.map(|_| ())
    }

    /// One operator's word about an UNKNOWN leg; nothing if it is refused.
    pub async fn resolve(
        &mut self,
        operator: &str,
        request: ResolveLegRequest,
    ) -> Result<Option<Leg>, String> {
        let token = if operator == "ann" { ANN } else { BOB };
        let said = async |c: &mut Client| c.operator.resolve_leg(by(token, request.clone())).await;
        Ok(self.answer("ResolveLeg", said).await?.ok().map(tonic::Response::into_inner))
    }

    /// One operator's word about a leg; nothing if it is refused.
    pub async fn report(&mut self, request: ReportLegsRequest) -> Result<Option<()>, String> {
        let said = async |c: &mut Client| c.operator.report_legs(by(ANN, request.clone())).await;
        Ok(self.answer("ReportLegs", said).await?.ok().map(|_| ()))
    }

    /// Reads all troubles, remembers them, and takes them away.
    pub async fn look_at_troubles(&mut self, shared: &Shared) -> Result<(), String> {
        let list = async |c: &mut Client| {
            let asked = ListTroublesRequest::default();
            let all = c.operator.list_troubles(by(ANN, asked)).await?.into_inner();
            all.collect::<Result<Vec<Trouble>, Status>>().await
        };
        let all = self.call("ListTroubles", list).await?;
        let numbers: Vec<u64> = all.iter().map(|trouble| trouble.number).collect();
        people_at_work::held(shared).told.extend(all.into_iter().map(|trouble| trouble.text));
        if numbers.is_empty() {
            return Ok(());
        }
        let ack = AckTroublesRequest {
            request_id: format!(
                "looked at {} from {:?} with sum {}",
                numbers.len(),
                numbers.first(),
                numbers.iter().sum::<u64>()
            ),
            numbers,
            note: "looked at".to_owned(),
        };
        let ack = async |c: &mut Client| c.operator.ack_troubles(by(BOB, ack.clone())).await;
        self.call("AckTroubles", ack).await.map(|_| ())
    }

    async fn legs(&mut self, batch: &Batch, rail: Rail) -> Result<Vec<Told>, String> {
        let legs = self.raw_legs(batch).await?;
        Ok(legs.iter().map(|leg| self.told(leg, rail)).collect())
    }

    fn told(&self, leg: &Leg, rail: Rail) -> Told {
        let pay_in = leg.to.iter().all(|byte| *byte == 0);
        let party = if pay_in { &leg.from } else { &leg.to };
        let whom = self.places.get(&party[..]).map(|(payer, place)| {
            let id = PartyId(party[..].try_into().expect("a party id has 32 bytes"));
            rail.whom(id, *payer, *place)
        });
        Told {
            key: leg.key.clone(),
            pay_in,
            whom: whom.unwrap_or_default(),
            amount: leg.amount.parse().expect("sums are decimal digits"),
            state: leg.state(),
            reference: leg.rail_reference.clone(),
            by_hand: leg.reason == people_at_work::EVIDENCE,
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
