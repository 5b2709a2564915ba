//! Rows against the state that they are of: whatever happens while they are copied, what comes back
//! from them is the state at the mark.

mod away;
mod budgets;
mod endpoints;
mod eyes;
mod identities;
mod kept;
mod keys;

use super::*;
use crate::event::LegBooking;
use crate::fixture::upsert;
use crate::fund::tests::Books;
use crate::row::Section;
use crate::types::{AssetNumber, BatchId, Digest, FitKey, PartyId, SignerKey, Total};
use crate::wish::UpsertParty;
use crate::{LegState, NewTrouble, Rail, TroubleKind, Voice, Way, Wish};
use budgets::OfBudgets;
use endpoints::OfEndpoints;
use eyes::OfEyes;
use identities::OfIdentities;
use kept::{Kept, save};
use proptest::prelude::*;

const ASSET: AssetNumber = AssetNumber(978);

fn party(n: u8) -> PartyId {
    PartyId([n; 32])
}

#[derive(Debug, Clone)]
enum Step {
    Party(u8, bool),
    Erase(u8),
    Signer(u8),
    Revoke(u8),
    Budgets(OfBudgets),
    Deposit(u8, u128),
    Close(Vec<(u8, u8, u128)>),
    Compute,
    Approve,
    Abort,
    Legs(OfLegs),
    Doubt(Doubt),
    /// An operator sets this own key, or loses the one there is.
    Key(Option<u8>),
    Identity(OfIdentities),
    Endpoint(OfEndpoints),
    Eyes(OfEyes),
    /// It was restored from a copy, or is released.
    Hold(bool),
    /// Begins a picture, if none is taken.
    Mark,
    /// Copies so many rows of it.
    Copy(usize),
}

#[derive(Debug, Clone)]
enum OfLegs {
    Submit,
    Move(u32, LegState),
    Book(u32),
    Release,
    Resolve(u32),
}

#[derive(Debug, Clone)]
enum Doubt {
    Dispute(u64),
    EndDispute(u64),
    Raise(u8, u32),
    Ack,
}

fn step() -> impl Strategy<Value = Step> {
    let owed = (1u8..5, 1u8..5, 11u128..9_999);
    let state = prop_oneof![
        4 => Just(LegState::Confirmed),
        1 => Just(LegState::Rejected),
        1 => Just(LegState::Returned),
        1 => Just(LegState::Unknown),
    ];
    prop_oneof![
        2 => (1u8..6, any::<bool>()).prop_map(|(n, suspended)| Step::Party(n, suspended)),
        1 => (1u8..6).prop_map(Step::Erase),
        1 => (1u8..6).prop_map(Step::Signer),
        1 => (1u8..6).prop_map(Step::Revoke),
        4 => budgets::step().prop_map(Step::Budgets),
        4 => identities::step().prop_map(Step::Identity),
        4 => endpoints::step().prop_map(Step::Endpoint),
        4 => eyes::step().prop_map(Step::Eyes),
        2 => (1u8..6, 1u128..99).prop_map(|(n, sum)| Step::Deposit(n, sum)),
        2 => prop::collection::vec(owed, 0..5).prop_map(Step::Close),
        2 => Just(Step::Compute),
        3 => Just(Step::Approve),
        1 => Just(Step::Abort),
        4 => Just(Step::Legs(OfLegs::Submit)),
        8 => (any::<u32>(), state).prop_map(|(leg, to)| Step::Legs(OfLegs::Move(leg, to))),
        2 => any::<u32>().prop_map(|leg| Step::Legs(OfLegs::Book(leg))),
        4 => Just(Step::Legs(OfLegs::Release)),
        2 => any::<u32>().prop_map(|leg| Step::Legs(OfLegs::Resolve(leg))),
        1 => any::<u64>().prop_map(|n| Step::Doubt(Doubt::Dispute(n))),
        1 => any::<u64>().prop_map(|n| Step::Doubt(Doubt::EndDispute(n))),
        2 => (any::<u8>(), any::<u32>()).prop_map(|(n, leg)| Step::Doubt(Doubt::Raise(n, leg))),
        1 => Just(Step::Doubt(Doubt::Ack)),
        2 => prop::option::weighted(0.7, 1u8..20).prop_map(Step::Key),
        1 => any::<bool>().prop_map(Step::Hold),
        3 => Just(Step::Mark),
        6 => (1usize..6).prop_map(Step::Copy),
    ]
}

/// A world of books, the rows that are kept of it, and the batch that is worked on.
struct World {
    books: Books,
    kept: Kept,
    last: Option<BatchId>,
    requests: u64,
}

impl World {
    fn wish(&mut self, wish: Wish) {
        self.requests += 1;
        // As the sequencer does it.
        for row in self.books.control.away_of_wish(&wish) {
            self.books.control.bring(row, &self.kept.0[&row.encode()]).unwrap();
        }
        // What the rules refuse changes nothing.
        drop(self.books.wish_by(if self.requests.is_multiple_of(2) { "ann" } else { "bob" }, wish));
    }

    fn leg(&self, any: u32) -> Option<(BatchId, u32)> {
        let batch = self.last?;
        let count = u32::try_from(self.books.legs(batch).legs.len()).unwrap();
        (count > 0).then(|| (batch, any % count))
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Party(n, suspended) => {
                let erasures = self.books.control.erasures(party(n));
                let wish = upsert(party(n), &format!("P{n}"), suspended);
                self.wish(Wish::UpsertParty(UpsertParty { reopen: true, erasures, ..wish }));
            }
            Step::Erase(n) => {
                let party = party(n);
                let clear = self.books.control.may_need(party);
                let clear = clear.into_iter().map(|(window, _)| window).collect();
                self.wish(Wish::EraseParty { party, deposits: "given back".to_owned(), clear });
            }
            Step::Signer(n) => {
                let (signer, caps) = (FitKey::checked(SignerKey([n; 32])), Vec::new());
                self.wish(Wish::AddSigner { signer, party: party(n), caps });
            }
            Step::Budgets(step) => self.step_of_budgets(step),
            Step::Identity(step) => self.step_of_identities(step),
            Step::Endpoint(step) => self.step_of_endpoints(step),
            Step::Eyes(step) => self.step_of_eyes(step),
            Step::Revoke(n) => self.wish(Wish::RevokeSigner { signer: SignerKey([n; 32]) }),
            Step::Deposit(n, sum) => {
                let (party, asset, amount) = (party(n), ASSET, Total(sum));
                let reference = String::new();
                self.wish(Wish::RecordDeposit { party, asset, amount, reference });
            }
            Step::Close(mut owed) => {
                owed.retain(|(payer, payee, _)| payer != payee);
                owed.sort_unstable();
                owed.dedup_by_key(|(payer, payee, _)| (*payer, *payee));
                self.books.close(&owed);
            }
            Step::Compute => {
                let is_free =
                    |w: &&crate::control::WindowEntry| w.sealed.is_some() && w.live.is_empty();
                let number = self.books.control.windows().find(is_free).map(|free| free.number);
                if let Some(number) = number
                    && self.books.compute(number, Rail::Iso20022).is_ok()
                {
                    self.last = Some(self.books.computed(number));
                }
            }
            Step::Approve => {
                if let Some(batch) = self.last {
                    self.wish(Wish::ApproveBatch { batch, signed: None });
                }
            }
            Step::Abort => {
                if let Some(batch) = self.last {
                    self.wish(Wish::AbortBatch { batch, reason: "wrong".into() });
                }
            }
            Step::Legs(step) => self.step_of_legs(step),
            Step::Doubt(step) => self.step_of_doubts(step),
            Step::Key(key) => self.step_of_keys(key),
            Step::Hold(begins) => self.step_of_hold(begins),
            Step::Mark | Step::Copy(_) => {}
        }
    }

    fn step_of_doubts(&mut self, step: Doubt) {
        match step {
            Doubt::Dispute(any) | Doubt::EndDispute(any) => {
                let count = u64::try_from(self.books.control.windows().len()).unwrap();
                let window = WindowNumber(1 + any % count);
                let reason = "odd".to_owned();
                self.wish(match step {
                    Doubt::EndDispute(_) => Wish::EndDispute { window, reason },
                    Doubt::Dispute(_) | Doubt::Raise(..) | Doubt::Ack => {
                        Wish::DisputeWindow { window, reason }
                    }
                });
            }
            Doubt::Raise(n, any) => {
                let of = self.leg(any);
                let trouble = NewTrouble {
                    kind: TroubleKind::Surplus,
                    rail: Rail::Iso20022,
                    batch: of.map(|(batch, _)| batch),
                    leg: of.map(|(_, leg)| leg),
                    party: None,
                    source: "statement".into(),
                    text: n.to_string(),
                };
                let new = self.books.control.troubles().admit([trouble]).new;
                if !new.is_empty() {
                    self.wish(Wish::RaiseTroubles(new));
                }
            }
            Doubt::Ack => {
                let first = self.books.control.troubles().open().map(|one| one.number).next();
                let note = "looked".to_owned();
                self.wish(Wish::AckTroubles { troubles: first.into_iter().collect(), note });
            }
        }
    }

    fn step_of_legs(&mut self, step: OfLegs) {
        match step {
            OfLegs::Submit => {
                let Some(batch) = self.last else { return };
                let state = self.books.control.batch(batch).unwrap().state();
                if state != crate::BatchState::Approved && state != crate::BatchState::Submitting {
                    return;
                }
                let next = self.books.next(batch);
                let legs = if next.pay_ins.is_empty() { next.pay_outs } else { next.pay_ins };
                drop(self.books.submit(batch, &legs));
            }
            OfLegs::Move(any, to) => {
                let Some((batch, leg)) = self.leg(any) else { return };
                let (content, evidence) = (self.books.legs(batch), Digest::ZERO);
                let (reference, reason) = (format!("R{any}"), "said so".to_owned());
                let steps = vec![crate::LegStep { leg, to, reference, reason }];
                self.wish(Wish::MoveLegs { content, voice: Voice::Rail, evidence, steps });
            }
            OfLegs::Book(any) => {
                let Some((batch, leg)) = self.leg(any) else { return };
                let reference = format!("B{any}");
                let bookings = vec![LegBooking { leg, way: Way::Came, reference }];
                self.wish(Wish::BookLegs { batch, evidence: Digest::ZERO, bookings });
            }
            OfLegs::Release => {
                let Some(batch) = self.last else { return };
                let plan = self.books.plan(batch);
                let legs = &self.books.control.batch(batch).unwrap().legs;
                let places = plan.releases(legs, usize::MAX).iter().map(|one| one.place).collect();
                self.wish(Wish::ReleaseExposure { plan: plan.clone(), places });
                self.wish(Wish::ReleaseExposure { plan, places: Vec::new() });
            }
            OfLegs::Resolve(any) => {
                let Some((_, leg)) = self.leg(any) else { return };
                let content = self.books.legs(self.last.unwrap());
                let (reference, evidence) = (String::new(), "a letter".to_owned());
                let word = crate::LegWord::Confirmed;
                self.wish(Wish::ResolveLeg {
                    content,
                    leg,
                    word,
                    reference,
                    evidence,
                    signed: None,
                });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn what_comes_back_is_the_state_at_the_mark(steps in prop::collection::vec(step(), 1..150)) {
        let mut world =
            World { books: Books::new(), kept: Kept::default(), last: None, requests: 0 };
        let mut marked = None::<Control>;
        for step in steps {
            let marks = matches!(step, Step::Mark) && marked.is_none();
            let copies = if let Step::Copy(rows) = step { rows } else { 0 };
            let copies = if marked.is_some() { copies } else { 0 };
            world.step(step);
            let World { books, kept, .. } = &mut world;
            if marks {
                books.control.begin_save();
                marked = Some(books.control.clone());
            }
            if copies > 0 {
                let (changes, last) = books.control.save_some(copies, usize::MAX).unwrap();
                kept.change(changes);
                if last {
                    let wanted = marked.take().unwrap();
                    let again = kept.restore(&wanted).unwrap();
                    prop_assert_eq!(kept.difference(&again, &wanted), None);
                    drop(books.control.let_go());
                }
            }
        }
    }
}

/// A few of everything.
fn full() -> World {
    let mut world = World { books: Books::new(), kept: Kept::default(), last: None, requests: 0 };
    let steps = [
        Step::Party(1, false),
        Step::Party(2, true),
        Step::Signer(1),
        Step::Budgets(OfBudgets::Set(1, vec![5, 6])),
        Step::Deposit(1, 5),
        Step::Identity(OfIdentities::Add(1, 3)),
        Step::Identity(OfIdentities::Add(0, 4)),
        Step::Identity(OfIdentities::Revoke(1)),
        Step::Endpoint(OfEndpoints::Add(1)),
        Step::Endpoint(OfEndpoints::Add(3)),
        Step::Endpoint(OfEndpoints::Rotate(0, true)),
        Step::Key(Some(1)),
        Step::Key(Some(2)),
        Step::Key(None),
        Step::Key(Some(3)),
        Step::Hold(true),
        Step::Hold(false),
        Step::Close(vec![(1, 2, 5_003), (2, 3, 4_007), (3, 1, 999)]),
        Step::Compute,
        Step::Approve,
        Step::Legs(OfLegs::Submit),
        Step::Legs(OfLegs::Move(0, LegState::Confirmed)),
        Step::Doubt(Doubt::Raise(1, 0)),
        Step::Doubt(Doubt::Raise(2, 1)),
        Step::Doubt(Doubt::Ack),
        Step::Close(vec![(1, 2, 77)]),
        Step::Compute,
        Step::Abort,
    ];
    steps.into_iter().chain(eyes::some()).for_each(|step| world.step(step));
    // What fails is owed in the open window, which is not sealed.
    world.last = Some(world.books.control.batches()[0].head.id);
    for step in [
        Step::Legs(OfLegs::Move(1, LegState::Confirmed)),
        Step::Legs(OfLegs::Submit),
        Step::Legs(OfLegs::Move(2, LegState::Rejected)),
    ] {
        world.step(step);
    }
    save(&mut world);
    world
}

#[test]
fn every_key_is_read_back_and_keys_lie_in_the_order_of_their_rows() {
    let World { kept, .. } = full();
    let sections = |kept: &Kept| {
        let keys = kept.0.keys().map(|key| RowKey::decode(key).unwrap());
        assert!(keys.clone().is_sorted());
        assert!(keys.clone().all(|row| RowKey::decode(&row.encode()) == Some(row)));
        keys.map(RowKey::section).collect::<BTreeSet<_>>()
    };
    let all: BTreeSet<Section> = Section::ALL.into_iter().collect();
    assert_eq!(sections(&kept), all, "every section has a row");
    assert_eq!(RowKey::decode(&[99]), None);
    let long = [RowKey::Trouble(7).encode(), vec![0]].concat();
    assert_eq!(RowKey::decode(&long), None);
    let spans = [i64::MIN, -1, 0, 1, i64::MAX].map(|span| RowKey::Requests(span, 9).encode());
    assert!(spans.is_sorted());
}

/// Changed bytes are for whoever keeps a row to see; what is cut off does not pass for the whole.
#[test]
fn a_row_that_is_cut_off_is_not_taken_for_the_whole() {
    let World { kept, books, .. } = full();
    for key in kept.0.keys() {
        let mut cut = Kept(kept.0.clone());
        let row = cut.0.get_mut(key).unwrap();
        row.truncate(row.len() / 2);
        let section = RowKey::decode(key).unwrap().section();
        match cut.restore(&books.control) {
            Err(unfit) => assert!(unfit.row.starts_with(&format!("{section:?}")), "{unfit}"),
            Ok(again) => {
                assert!(cut.difference(&again, &books.control).is_some(), "{section:?}")
            }
        }
    }
}

/// A page of legs that is lost would make them READY, and they would be paid a second time.
#[test]
fn a_page_of_legs_that_is_lost_or_old_is_refused() {
    let mut world = full();
    let is_page = |key: &Vec<u8>| RowKey::decode(key).unwrap().section() == Section::Legs;
    let page = world.kept.0.iter().find(|(key, _)| is_page(key)).unwrap();
    let (key, old) = (page.0.clone(), page.1.clone());
    let mut lost = Kept(world.kept.0.clone());
    lost.0.remove(&key);
    assert!(lost.restore(&world.books.control).is_err());
    let batch = world.books.control.batches()[0].head.id;
    world.last = Some(batch);
    world.step(Step::Legs(OfLegs::Move(0, LegState::Returned)));
    save(&mut world);
    assert!(world.kept.restore(&world.books.control).is_ok());
    assert_ne!(world.kept.0[&key], old);
    world.kept.0.insert(key, old);
    let text = world.kept.restore(&world.books.control).err().unwrap().to_string();
    assert!(text.contains("left it"), "{text}");
}

/// Requests of a month were one row each, or all of them in each checkpoint.
#[test]
fn requests_are_kept_by_pages_that_never_change_and_go_with_their_span() {
    let mut world = full();
    let pages = |kept: &Kept| {
        let is_page = |key: &&Vec<u8>| RowKey::decode(key).unwrap().section() == Section::Requests;
        kept.0.keys().filter(is_page).cloned().collect::<Vec<_>>()
    };
    world.step(Step::Eyes(OfEyes::Set(false)));
    let before = world.kept.0.clone();
    for n in 0..2_500u32 {
        world.step(Step::Deposit(1, u128::from(n) + 1));
    }
    save(&mut world);
    assert_eq!(pages(&world.kept).len(), 1 + 3);
    assert!(before.iter().all(|(key, row)| {
        RowKey::decode(key).unwrap().section() != Section::Requests || world.kept.0[key] == *row
    }));
    assert_same(&world);
    // Forty days later all of them are forgotten, and so are their rows.
    world.books.later(40);
    world.step(Step::Deposit(1, 1));
    save(&mut world);
    assert_eq!(pages(&world.kept).len(), 1);
    assert_same(&world);
}

fn assert_same(World { books, kept, .. }: &World) {
    let again = kept.restore(&books.control).unwrap();
    assert_eq!(kept.difference(&again, &books.control), None);
}
