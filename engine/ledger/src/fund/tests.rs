//! What the clearing account may pay out, over several windows and batches of one asset.

use crate::control::{CreateBatch, Decision, Made, Used};
use crate::event::{AssetCreated, WindowCut, WindowSealed};
use crate::fixture::{as_account, sealed};
use crate::seal::{Cut, Head};
use crate::types::{
    AssetDef, AssetNumber, BatchId, Digest, History, Lsn, Net, NetworkId, PartyId, SettlementModel,
    SignerKey, Timestamp, Total, WindowNumber,
};
use crate::{
    BatchContent, BatchPlan, Caller, Command, Control, Envelope, Event, Fact, Genesis, LegState,
    LegStep, Next, Obligation, Policy, Rail, Refusal, Request, SealedWindow, SubmitLegs, Voice,
    Wish, runs,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const ASSET: AssetNumber = AssetNumber(978);

fn party(n: u8) -> PartyId {
    PartyId([n; 32])
}

/// A control state, its sealed windows, and the plans of its batches.
pub(crate) struct Books {
    pub(crate) control: Control,
    windows: BTreeMap<WindowNumber, Arc<SealedWindow>>,
    plans: BTreeMap<BatchId, Arc<BatchPlan>>,
    lsn: Lsn,
    requests: u64,
    at: Timestamp,
}

/// A record that no chain holds.
pub(crate) fn unlinked(lsn: Lsn) -> History {
    History { lsn, digest: Digest::ZERO }
}

impl Books {
    pub(crate) fn new() -> Self {
        let genesis = Genesis { network: NetworkId([1; 32]), lifetime_seconds_max: 1 };
        let control = Control::new(genesis, unlinked(Lsn(1)));
        let (windows, plans) = Default::default();
        let mut books =
            Self { control, windows, plans, lsn: Lsn(1), requests: 0, at: Timestamp(1) };
        let asset = asset();
        books.happens(Event::from(AssetCreated { asset }), Made::Nothing);
        books
    }

    fn apply(&mut self, fact: &Fact, made: Made) {
        self.lsn = self.lsn.next();
        self.control.apply(unlinked(self.lsn), self.at, fact, made);
    }

    /// So many days pass.
    pub(crate) fn later(&mut self, days: i64) {
        self.at.0 += days * 24 * 3_600 * 1_000_000;
    }

    pub(crate) fn happens(&mut self, event: Event, made: Made) {
        self.apply(&Fact::new(Envelope::own(), event), made);
    }

    /// Does what the rules allow, on the engine's own account or asked for by nobody in particular;
    /// gives what was journaled.
    pub(crate) fn wish(&mut self, wish: Wish) -> Result<Event, Refusal> {
        self.wish_by("", wish)
    }

    /// The same for an operator. Each request is a new one.
    pub(crate) fn wish_by(&mut self, operator: &str, wish: Wish) -> Result<Event, Refusal> {
        let engines = wish.is_the_engines();
        let caller = if engines { Caller::engine() } else { Caller::grpc(operator.to_owned()) };
        self.ask(caller, wish)
    }

    /// The same for anybody. The engine on its own has no request.
    pub(crate) fn ask(&mut self, caller: Caller, wish: Wish) -> Result<Event, Refusal> {
        let command = self.asked(caller, wish);
        self.command(command)
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.at
    }

    /// A wish as its command: the engine's own, or of nobody in particular.
    pub(crate) fn command_of(&mut self, wish: Wish) -> Command {
        let engines = wish.is_the_engines();
        let caller = if engines { Caller::engine() } else { Caller::grpc(String::new()) };
        self.asked(caller, wish)
    }

    fn asked(&mut self, caller: Caller, wish: Wish) -> Command {
        if caller == Caller::engine() {
            return Command::own(wish);
        }
        self.requests += 1;
        wish.by(caller, request(self.requests))
    }

    /// The same with a request that is given.
    pub(crate) fn command(&mut self, command: Command) -> Result<Event, Refusal> {
        match self.control.decide(command, Timestamp(7))? {
            Decision::New(fact, made) => {
                self.apply(&fact, made);
                Ok(fact.event)
            }
            Decision::Repeat(lsn) => panic!("it was done before, by record {lsn}"),
        }
    }

    pub(crate) fn plan(&self, batch: BatchId) -> Arc<BatchPlan> {
        self.plans[&batch].clone()
    }

    /// What a batch pays, leg by leg.
    pub(crate) fn legs(&self, batch: BatchId) -> Arc<BatchContent> {
        self.plans[&batch].content().clone()
    }

    /// Closes the open window, in which these pairs owe, and seals it.
    pub(crate) fn close(&mut self, owed: &[(u8, u8, u128)]) -> WindowNumber {
        let window = self.control.open_window().number;
        let cut = WindowCut { window };
        self.happens(Event::from(cut), Made::Nothing);
        let cut = self.control.cut(window).expect("it was cut");
        let owes = |(payer, payee, amount): &(u8, u8, u128)| Obligation {
            payer: party(*payer),
            payee: party(*payee),
            amount: Total(*amount),
        };
        let obligations: Vec<Obligation> = owed.iter().map(owes).collect();
        let carried = cut.carried.iter().map(|(_, carry)| *carry).collect();
        let Cut { number, first_lsn, cut_lsn, cut_at, .. } = cut;
        let head = Head { number, first_lsn, cut_lsn, cut_at, credited: 1 };
        let sealed = sealed(head, ASSET, obligations, carried);
        let event = WindowSealed {
            window,
            root: sealed.root,
            credited: 1,
            assets: sealed.seals().copied().collect(),
            key: SignerKey::ZERO,
            signature: [0; 64],
        };
        self.windows.insert(window, sealed);
        self.happens(Event::from(event), Made::Nothing);
        window
    }

    /// An approved batch of this window.
    pub(crate) fn batch(&mut self, window: WindowNumber) -> BatchId {
        let batch = self.computed(window);
        self.approve(batch).unwrap();
        batch
    }

    pub(crate) fn approve(&mut self, batch: BatchId) -> Result<(), Refusal> {
        self.wish(Wish::ApproveBatch { batch, signed: None }).map(|_| ())
    }

    /// A batch of this window that is not approved.
    pub(crate) fn computed(&mut self, window: WindowNumber) -> BatchId {
        self.computed_on(window, Rail::Iso20022)
    }

    pub(crate) fn computed_on(&mut self, window: WindowNumber, rail: Rail) -> BatchId {
        let content = self.content(window, rail);
        let (head, batch) = (content.head.clone(), content.head.id);
        let event = head.event(false, self.lsn, SignerKey::ZERO, [0; 64]);
        self.happens(Event::from(event), Made::Batch(head));
        self.plans.insert(batch, self.planned(window, content));
        batch
    }

    /// A batch of this window that somebody asks for.
    pub(crate) fn create(
        &mut self,
        caller: Caller,
        (window, rail): (WindowNumber, Rail),
        four_eyes: bool,
    ) -> Result<BatchId, Refusal> {
        let content = self.content(window, rail);
        let (head, accounts) = (content.head.clone(), content.accounts.clone());
        let create = CreateBatch {
            four_eyes,
            used: Arc::new(Used { head, accounts, free: Vec::new() }),
            history: self.lsn,
            key: SignerKey::ZERO,
            signature: [0; 64],
            directory_version: self.control.directory_version(),
        };
        let batch = content.head.id;
        self.ask(caller, Wish::CreateBatch(create))?;
        self.plans.insert(batch, self.planned(window, content));
        Ok(batch)
    }

    /// The plan of a batch, made or not.
    pub(crate) fn planned(&self, window: WindowNumber, content: BatchContent) -> Arc<BatchPlan> {
        let windows = [self.windows[&window].clone()];
        Arc::new(BatchPlan::new(&windows, Arc::new(content)))
    }

    pub(crate) fn content(&self, window: WindowNumber, rail: Rail) -> BatchContent {
        self.compute(window, rail).unwrap()
    }

    pub(crate) fn compute(
        &self,
        window: WindowNumber,
        rail: Rail,
    ) -> Result<BatchContent, Refusal> {
        let windows = [self.windows[&window].clone()];
        let policy = Policy {
            rail,
            unit: Total(10),
            least: Total(10),
            most: Total(1_000_000),
            clearing: Vec::new(),
        };
        let account = |_| Some(as_account(""));
        BatchContent::compute(&windows, &asset(), &policy, account, |_| Total::ZERO)
    }

    pub(crate) fn next(&self, batch: BatchId) -> Next {
        let free = self.control.free_to_pay(batch).unwrap();
        self.plans[&batch].next(
            self.control.batch(batch).unwrap().legs.standing(),
            free,
            self.control.suspended(),
        )
    }

    pub(crate) fn submit(&mut self, batch: BatchId, legs: &[u32]) -> Result<(), Refusal> {
        let submission = self.control.batch(batch).unwrap().legs.submissions().len();
        let submit = SubmitLegs {
            content: self.legs(batch),
            submission: u32::try_from(submission).unwrap(),
            attempt: 0,
            legs: runs(legs.iter().copied()),
            digest: Digest::ZERO,
            bytes: 1,
            name: String::new(),
            suspensions: self.control.suspensions(),
        };
        self.wish(Wish::SubmitLegs(submit)).map(|_| ())
    }

    pub(crate) fn moves(&mut self, batch: BatchId, voice: Voice, legs: &[u32], to: LegState) {
        let one = |leg: &u32| {
            let (reference, reason) = (String::new(), String::new());
            LegStep { leg: *leg, to, reference, reason }
        };
        let (content, evidence) = (self.legs(batch), Digest::ZERO);
        let steps = legs.iter().map(one).collect();
        self.wish(Wish::MoveLegs { content, voice, evidence, steps }).unwrap();
    }

    /// Everything leaves that may, and the rail does all of it, until the batch has ended.
    fn settle(&mut self, batch: BatchId) {
        loop {
            let Next { pay_ins, pay_outs, held_back, .. } = self.next(batch);
            let legs = if pay_ins.is_empty() { pay_outs } else { pay_ins };
            if !held_back.is_empty() {
                self.moves(batch, Voice::Engine, &held_back, LegState::Rejected);
            } else if legs.is_empty() {
                return assert!(self.control.batch(batch).unwrap().state().has_ended());
            } else {
                self.submit(batch, &legs).unwrap();
                self.moves(batch, Voice::Rail, &legs, LegState::Confirmed);
            }
        }
    }

    pub(crate) fn fund(&self) -> Net {
        self.control.fund(ASSET)
    }
}

fn asset() -> AssetDef {
    AssetDef { number: ASSET, code: "EUR".into(), scale: 3, model: SettlementModel::Multilateral }
}

pub(crate) fn request(n: u64) -> Request {
    Request { id: format!("request {n}"), content: Digest::ZERO }
}

/// A pay-in fails, and a window is cut before the pay-out that it would have covered is held back:
/// the two are owed in different windows. The later window, settled alone, once had the clearing
/// account advance the pay-out.
#[test]
fn what_a_failed_pay_in_held_back_waits_until_that_has_come_in() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 100)]);
    let first = books.batch(window);
    let Next { pay_ins, pay_outs, held_back, .. } = books.next(first);
    assert_eq!((pay_ins.len(), pay_outs.len(), held_back.len()), (1, 0, 0));
    books.submit(first, &pay_ins).unwrap();
    books.moves(first, Voice::Rail, &pay_ins, LegState::Rejected);
    let owing = books.close(&[]);
    let held_back = books.next(first).held_back;
    books.moves(first, Voice::Engine, &held_back, LegState::Rejected);
    let owed = books.close(&[]);

    let early = books.batch(owed);
    assert_eq!(books.next(early).held_back, [0], "nothing has come in for it");
    let refused = books.submit(early, &[0]);
    let (paid_out, free) = (Total(100), Total::ZERO);
    assert_eq!(refused, Err(Refusal::NotCovered { batch: early, paid_out, free }));
    books.settle(early);
    let owed = books.close(&[]);

    let late = books.batch(owing);
    books.settle(late);
    assert_eq!(books.fund(), Net(100), "it has come in");
    let last = books.batch(owed);
    assert_eq!(books.next(last).pay_outs, [0]);
    books.settle(last);
    assert_eq!(books.fund(), Net::ZERO);
}

#[test]
fn a_pay_out_that_came_back_is_paid_from_what_was_kept_while_its_batch_still_lives() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 100), (1, 3, 50)]);
    let first = books.batch(window);
    books.submit(first, &[0]).unwrap();
    books.moves(first, Voice::Rail, &[0], LegState::Confirmed);
    // The smaller one leaves and comes back; the larger still waits.
    let smaller = books.next(first).pay_outs[1];
    books.submit(first, &[smaller]).unwrap();
    books.moves(first, Voice::Rail, &[smaller], LegState::Rejected);
    assert_eq!(books.fund(), Net(50), "and not the 100 that are the other creditor's");
    let window = books.close(&[]);
    let second = books.batch(window);
    books.settle(second);
    assert_eq!(books.fund(), Net::ZERO);
    books.settle(first);
    assert_eq!(books.fund(), Net::ZERO);
}

#[test]
fn what_was_returned_to_a_debtor_is_taken_from_no_other_batch() {
    let mut books = Books::new();
    let window = books.close(&[(1, 2, 100)]);
    let first = books.batch(window);
    books.settle(first);
    books.moves(first, Voice::Rail, &[0], LegState::Returned);
    assert_eq!(books.fund(), Net(-100));
    let window = books.close(&[(3, 4, 70)]);
    let other = books.batch(window);
    // The debtor pays again in the same batch: it is the clearing account's.
    books.settle(other);
    assert!(books.control.batch(other).unwrap().legs.owed_again() == Total::ZERO);
    assert_eq!(books.fund(), Net::ZERO);
}

/// Debtors' dust once counted as held from the start, so that the smallest pay-outs left before
/// anything had come in.
#[test]
fn no_dust_is_advanced_before_every_pay_in_has_ended() {
    let mut books = Books::new();
    // Ten debtors' dust, 50 in all, would pay the smallest creditor.
    let owed: Vec<(u8, u8, u128)> = (1..=10).map(|n| (n, 20 + n % 2, 105)).collect();
    let window = books.close(&owed);
    let batch = books.batch(window);
    let pay_ins = books.next(batch).pay_ins;
    books.submit(batch, &pay_ins).unwrap();
    assert_eq!(books.control.free_to_pay(batch), Ok(Total::ZERO));
    books.moves(batch, Voice::Rail, &pay_ins[..9], LegState::Confirmed);
    assert_eq!(books.control.free_to_pay(batch), Ok(Total(900)));
    books.moves(batch, Voice::Rail, &pay_ins[9..], LegState::Rejected);
    assert_eq!(books.control.free_to_pay(batch), Ok(Total(940)));
}

#[test]
fn dust_is_advanced_and_comes_back_and_never_adds_up() {
    let mut books = Books::new();
    for _ in 0..20 {
        // Two debtors' dust is one creditor's whole unit; 30 owes dust alone now and then.
        let window = books.close(&[(1, 3, 105), (2, 3, 105), (30, 4, 3)]);
        let batch = books.batch(window);
        books.settle(batch);
        assert_eq!(books.fund(), Net::ZERO);
    }
}
