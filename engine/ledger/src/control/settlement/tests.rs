//! What may be done with batches and their legs, where they stand: tables of who wishes what.
//!
//! A column is a state, and a cell says what comes of the wish there: where the leg stands
//! afterwards, the word for another fact, or the name of the refusal. What is refused changes
//! nothing, and that is checked in every cell.

mod legs;
mod making;
mod stories;
mod submissions;

use crate::control::BatchEntry;
use crate::event::{
    ArchiveId, BatchEvent, EyesSet, IdentityAdded, LegBooking, LegEvent, WindowArchived,
    WindowEvent,
};
use crate::eyes::EyesMisfit;
use crate::fixture::table::{Line, debts, lines, name, told};
use crate::fund::tests::Books;
use crate::leg::Way;
use crate::types::{BatchId, Digest, Net, Total, WindowNumber};
use crate::{
    BatchContent, BatchPlan, Caller, Credential, Event, LegMove, LegState, LegStep, LegWord, Rail,
    Refusal, Role, SaidOfLeg, Scope, SubmitLegs, Voice, Wish, runs,
};
use std::sync::Arc;

/// Who wishes: `nobody` is whoever calls where no operators are configured.
fn caller(who: &str) -> Caller {
    match who {
        "engine" => Caller::engine(),
        "schedule" => Caller::schedule(),
        "nobody" => Caller::grpc(String::new()),
        operator => Caller::grpc(operator.to_owned()),
    }
}

/// One batch of one window: A owes B 100. Leg 0 pays in, leg 1 pays out.
struct World {
    books: Books,
    window: WindowNumber,
    batch: BatchId,
    plan: Arc<BatchPlan>,
}

impl World {
    /// Closed and sealed; the batch is not made yet.
    fn new(rail: Rail) -> Self {
        let mut books = Books::new();
        let window = books.close(&[(b'A', b'B', 100)]);
        let content = books.content(window, rail);
        let batch = content.head.id;
        let plan = books.planned(window, content);
        Self { books, window, batch, plan }
    }

    fn rail(&self) -> Rail {
        self.plan.content().head.policy.rail
    }

    fn create(&mut self, who: &str, four_eyes: bool) -> Result<BatchId, Refusal> {
        let of = (self.window, self.rail());
        self.books.create(caller(who), of, four_eyes)
    }

    fn ask(&mut self, who: &str, wish: Wish) -> Result<Event, Refusal> {
        self.books.ask(caller(who), wish)
    }

    fn entry(&self) -> Option<&BatchEntry> {
        self.books.control.batch(self.batch).ok()
    }

    fn content(&self) -> Arc<BatchContent> {
        self.plan.content().clone()
    }

    /// A first attempt at some legs, or another one at a submission.
    fn submit(&self, legs: &[u32], again: Option<u32>) -> Wish {
        let made = self.entry().map_or(0, |entry| entry.legs.submissions().len());
        Wish::SubmitLegs(SubmitLegs {
            content: self.content(),
            submission: again.unwrap_or(u32::try_from(made).unwrap()),
            attempt: u32::from(again.is_some()),
            legs: runs(legs.iter().copied()),
            digest: Digest::ZERO,
            bytes: 1,
            name: String::new(),
            suspensions: self.books.control.suspensions(),
        })
    }

    fn moves(&self, voice: Voice, leg: u32, to: LegState) -> Wish {
        let (reference, reason) = ("R".to_owned(), String::new());
        let steps = vec![LegStep { leg, to, reference, reason }];
        Wish::MoveLegs { content: self.content(), voice, evidence: Digest::ZERO, steps }
    }

    /// The same of a batch that has ended, which nobody holds.
    fn moves_ended(&self, leg: u32, to: LegState) -> Wish {
        let payment = self.content().legs[leg as usize].payment;
        let (payer, payee, amount) = (payment.from, payment.to, payment.amount);
        let (reference, reason) = (String::new(), String::new());
        let moves = vec![LegMove { leg, to, payer, payee, amount, reference, reason }];
        let (batch, voice, evidence) = (self.batch, Voice::Rail, Digest::ZERO);
        Wish::MoveEnded { batch, voice, evidence, moves }
    }

    fn report(&self, leg: u32, word: LegWord) -> Wish {
        let (reference, reason) = ("R".to_owned(), "by letter".to_owned());
        let words = vec![SaidOfLeg { leg, word, reference, reason }];
        Wish::ReportLegs { content: self.content(), evidence: Digest::ZERO, words, signed: None }
    }

    fn resolve(&self, leg: u32, word: LegWord, evidence: &str) -> Wish {
        let (content, reference) = (self.content(), "R".to_owned());
        Wish::ResolveLeg {
            content,
            leg,
            word,
            reference,
            evidence: evidence.to_owned(),
            signed: None,
        }
    }

    fn book(&self, leg: u32, all: &[(Way, &str)]) -> Wish {
        let one = |(way, reference): &(Way, &str)| {
            let reference = (*reference).to_owned();
            LegBooking { leg, way: *way, reference }
        };
        let bookings = all.iter().map(one).collect();
        Wish::BookLegs { batch: self.batch, evidence: Digest::ZERO, bookings }
    }

    fn release(&self, places: &[u32]) -> Wish {
        Wish::ReleaseExposure { plan: self.plan.clone(), places: places.to_vec() }
    }

    /// All that a wish could change of the batch, its window and the clearing account.
    fn stands(&self) -> String {
        let control = &self.books.control;
        let batch = self.entry().map(|entry| {
            let legs = &entry.legs;
            let (states, proposed) = (legs.states().collect::<Vec<_>>(), legs.proposed().clone());
            let facts: Vec<_> = (0..2).map(|leg| legs.facts(leg).cloned()).collect();
            let left: Vec<_> = legs.submissions().iter().map(|one| one.attempts.len()).collect();
            let released = (legs.released(), legs.released_sum());
            let stands = (entry.state(), entry.is_settling());
            format!("{stands:?} {states:?} {proposed:?} {facts:?} {left:?} {released:?}")
        });
        let window = control.window(self.window).unwrap();
        let open = &control.open_window().carried;
        let waits: Vec<_> = control.unapproved().map(|entry| entry.head.id).collect();
        let (state, archive) = (window.state(), window.archive);
        format!("{batch:?} {state:?} {archive:?} {open:?} {waits:?} {:?}", self.books.fund())
    }

    /// Where a batch stands by itself, or by what was done to it.
    fn batch_at(state: &str) -> Self {
        let mut world = Self::new(Rail::Iso20022);
        world.create("ann", false).unwrap();
        let done: &[&str] = match state {
            "COMPUTED" => &[],
            "APPROVED" => &["approve"],
            "SUBMITTING" => &["approve", "submit-in"],
            "SETTLED" => &["approve", "submit-in", "confirm-in", "submit-out", "confirm-out"],
            "SETTLED_WITH_CARRY" => {
                &["approve", "submit-in", "confirm-in", "submit-out", "reject-out"]
            }
            "ABORTED" => &["abort"],
            _ => panic!("{state:?} is no state of a batch"),
        };
        for wish in done {
            let engines = world.wish(wish).is_the_engines();
            world.does(if engines { "engine" } else { "bob" }, wish).unwrap();
        }
        assert_eq!(world.entry().unwrap().state().name(), state);
        world
    }

    fn wish(&self, word: &str) -> Wish {
        let (batch, window, reason) = (self.batch, self.window, "why".to_owned());
        match word {
            "approve" => Wish::ApproveBatch { batch, signed: None },
            "abort" => Wish::AbortBatch { batch, reason },
            "dispute" => Wish::DisputeWindow { window, reason },
            "undispute" => Wish::EndDispute { window, reason },
            "submit-in" => self.submit(&[0], None),
            "submit-out" => self.submit(&[1], None),
            "again-in" => self.submit(&[0], Some(0)),
            "confirm-in" => self.moves(Voice::Rail, 0, LegState::Confirmed),
            "confirm-out" => self.moves(Voice::Rail, 1, LegState::Confirmed),
            "reject-out" => self.moves(Voice::Rail, 1, LegState::Rejected),
            "return-in" => self.moves_ended(0, LegState::Returned),
            "no-such-leg" => self.moves(Voice::Rail, 2, LegState::Confirmed),
            "report-in" => self.report(0, LegWord::Confirmed),
            "resolve-in" => self.resolve(0, LegWord::Confirmed, "letter"),
            "book-in" => self.book(0, &[(Way::Went, "R")]),
            "release-A" => self.release(&[0]),
            "release-no" => self.release(&[]),
            "archive" => {
                let archive = ArchiveId { digest: Digest::ZERO, bytes: 1 };
                Wish::ArchiveWindow(WindowArchived { window, archive })
            }
            _ => panic!("{word:?} is no wish"),
        }
    }

    fn does(&mut self, who: &str, word: &str) -> Result<String, Refusal> {
        if word == "create" {
            return self.create(who, false).map(|_| "made".to_owned());
        }
        let wish = self.wish(word);
        self.ask(who, wish).map(|event| fact(&event).to_owned())
    }
}

/// The word for a fact. In full: another kind of event is given a word here, and then a line.
fn fact(event: &Event) -> &'static str {
    match event {
        Event::Batch(BatchEvent::Computed(_)) => "made",
        Event::Batch(BatchEvent::Approved(_)) => "approved",
        Event::Batch(BatchEvent::Aborted(_)) => "aborted",
        Event::Window(WindowEvent::Disputed(_)) => "disputed",
        Event::Window(WindowEvent::DisputeEnded(_)) => "ended",
        Event::Window(WindowEvent::Archived(_)) => "archived",
        Event::Leg(LegEvent::Submitted(_)) => "left",
        Event::Leg(LegEvent::Moved(_)) => "moved",
        Event::Leg(LegEvent::Booked(_)) => "booked",
        Event::Leg(LegEvent::Proposed(_)) => "proposed",
        Event::Leg(LegEvent::Released(_)) => "released",
        Event::Window(WindowEvent::Cut(_) | WindowEvent::Sealed(_))
        | Event::Registry(_)
        | Event::Budget(_)
        | Event::Access(_)
        | Event::Endpoint(_)
        | Event::Eyes(_)
        | Event::Key(_)
        | Event::Trouble(_)
        | Event::Hold(_) => panic!("no fact of settlement: {event:?}"),
    }
}

/// A table's first line names the states; each other one, who wishes what, and what comes of it in
/// each of them.
fn for_each_cell(table: &str, mut check: impl FnMut([&str; 3], &str)) {
    let mut rows = lines(table);
    let states: Vec<&str> = rows.next().expect("a line of states").split_whitespace().collect();
    for row in rows {
        let mut line = Line::new(row);
        let (who, wish) = (line.word(), line.word());
        for state in &states {
            check([state, who, wish], line.word());
        }
        line.end();
    }
}

const BATCHES: &str = "
                         COMPUTED  APPROVED    SUBMITTING  SETTLED     SETTLED_WITH_CARRY ABORTED
    ann      approve     approved  BatchState  BatchState  BatchState  BatchState  BatchState
    nobody   approve     approved  BatchState  BatchState  BatchState  BatchState  BatchState
    schedule approve     approved  BatchState  BatchState  BatchState  BatchState  BatchState
    engine   approve     NoRequestId NoRequestId NoRequestId NoRequestId NoRequestId NoRequestId
    # It is given up only while nothing of it has left.
    ann      abort       aborted   aborted     BatchState  BatchState  BatchState  BatchState
    nobody   abort       aborted   aborted     BatchState  BatchState  BatchState  BatchState
    engine   abort       NoRequestId NoRequestId NoRequestId NoRequestId NoRequestId NoRequestId
    # Its window is disputed only while it is not approved, or given up.
    ann      dispute     disputed  WindowState WindowState WindowState WindowState disputed
    schedule dispute     disputed  WindowState WindowState WindowState WindowState disputed
    ann      undispute   WindowState WindowState WindowState WindowState WindowState WindowState
    # And its evidence leaves once it is settled.
    engine   archive     WindowState WindowState WindowState archived archived WindowState
    ann      archive     EnginesOwn EnginesOwn EnginesOwn EnginesOwn EnginesOwn EnginesOwn
    schedule archive     EnginesOwn EnginesOwn EnginesOwn EnginesOwn EnginesOwn EnginesOwn
    # And is in no other batch before.
    ann      create      WindowInBatch WindowInBatch WindowInBatch WindowInBatch WindowInBatch made
    engine   create      NoRequestId NoRequestId NoRequestId NoRequestId NoRequestId NoRequestId
    # Legs leave once it is approved: each once, and none that is not covered.
    engine   submit-in   BatchState left       Submission  Submission  Submission  BatchState
    engine   submit-out  BatchState NotCovered NotCovered  Submission  Submission  BatchState
    engine   again-in    BatchState Submission left        Submission  Submission  BatchState
    ann      submit-in   EnginesOwn EnginesOwn EnginesOwn  EnginesOwn  EnginesOwn  EnginesOwn
    nobody   submit-in   EnginesOwn EnginesOwn EnginesOwn  EnginesOwn  EnginesOwn  EnginesOwn
    schedule submit-in   EnginesOwn EnginesOwn EnginesOwn  EnginesOwn  EnginesOwn  EnginesOwn
    # The rail's word moves what has left, by the batch or, once it has ended, without it.
    engine   confirm-in  BatchState LegState   moved       LegState    LegState    BatchState
    engine   no-such-leg BatchState NoSuchLeg  NoSuchLeg   NoSuchLeg   NoSuchLeg   BatchState
    engine   return-in   NotEnded  NotEnded    NotEnded    moved       moved       NotEnded
    ann      confirm-in  EnginesOwn EnginesOwn EnginesOwn  EnginesOwn  EnginesOwn  EnginesOwn
    ann      return-in   EnginesOwn EnginesOwn EnginesOwn  EnginesOwn  EnginesOwn  EnginesOwn
    # An operator's word in its stead.
    ann      report-in   LegWord   LegWord     moved       LegState    LegState    LegWord
    nobody   report-in   LegWord   LegWord     moved       LegState    LegState    LegWord
    engine   report-in   NoRequestId NoRequestId NoRequestId NoRequestId NoRequestId NoRequestId
    ann      resolve-in  NotUnknown NotUnknown NotUnknown  NotUnknown  NotUnknown  NotUnknown
    engine   resolve-in  NoRequestId NoRequestId NoRequestId NoRequestId NoRequestId NoRequestId
    # Books are held of what has ended.
    engine   book-in     BatchState LegState   LegState    booked      booked      BatchState
    ann      book-in     EnginesOwn EnginesOwn EnginesOwn  EnginesOwn  EnginesOwn  EnginesOwn
    # What A owed falls once its legs have ended; that nobody is left is said after that.
    engine   release-A   BatchState NotEnded   NotEnded    released    released    BatchState
    engine   release-no  BatchState NotEnded   NotEnded    NotEnded    NotEnded    BatchState
    ann      release-A   EnginesOwn EnginesOwn EnginesOwn  EnginesOwn  EnginesOwn  EnginesOwn
";

#[test]
fn what_may_be_done_with_a_batch_follows_from_where_it_stands_and_who_asks() {
    for_each_cell(BATCHES, |[state, who, wish], wanted| {
        let mut world = World::batch_at(state);
        let before = world.stands();
        let found = world.does(who, wish);
        let is_refused = found.is_err();
        let found = found.unwrap_or_else(|refusal| name(&refusal));
        assert_eq!(found, wanted, "{state}: {who} {wish}");
        assert_eq!(world.stands() == before, is_refused, "{state}: {who} {wish}");
    });
}

#[test]
fn of_a_batch_that_does_not_exist_nothing_is_done() {
    let wishes = lines(BATCHES).skip(1).filter_map(|row| {
        let mut line = Line::new(row);
        let (who, wish) = (line.word(), line.word());
        let of_batch = !["create", "dispute", "undispute", "archive"].contains(&wish);
        (of_batch && !["NoRequestId", "EnginesOwn"].contains(&line.word())).then_some((who, wish))
    });
    let mut checked = 0;
    for (who, wish) in wishes {
        let mut world = World::new(Rail::Iso20022);
        let (found, batch) = (world.does(who, wish), world.batch);
        assert_eq!(found, Err(Refusal::UnknownBatch(batch)), "{who} {wish}");
        checked += 1;
    }
    assert_eq!(checked, 17);
}

const EYES: &str = "
    # who made it, under how many eyes, who approves, and what comes of it
    ann      two   ann      approved
    ann      two   nobody   approved
    ann      two   schedule approved
    schedule two   schedule approved
    ann      four  bob      approved
    ann      four  ann      SameOperator
    # Who has no name may be the same one.
    ann      four  nobody   SameOperator
    nobody   four  nobody   SameOperator
    # Who approves may have made it, before anybody had a name.
    nobody   four  ann      Eyes
    # The schedule has no eyes.
    schedule four  ann      approved
    schedule four  schedule SameOperator
    ann      four  schedule SameOperator
    nobody   four  schedule SameOperator
";

/// The schedule has a name, and was taken for another operator: only its own settings kept it from
/// approving what one operator had made under four eyes.
#[test]
fn under_four_eyes_another_operator_approves_than_the_one_who_made_it() {
    for row in lines(EYES) {
        let mut line = Line::new(row);
        let (maker, eyes, who, wanted) = (line.word(), line.word(), line.word(), line.word());
        line.end();
        let mut world = World::new(Rail::Iso20022);
        world.create(maker, eyes == "four").unwrap();
        let before = world.stands();
        let found = world.does(who, "approve");
        if let Err(refusal) = &found {
            let one =
                [Refusal::SameOperator(world.batch), EyesMisfit::NobodyMade(world.batch).into()];
            assert!(one.contains(refusal), "{row}");
            assert_eq!(world.stands(), before, "{row}");
        }
        assert_eq!(found.unwrap_or_else(|refusal| name(&refusal)), wanted, "{row}");
    }
}

/// Ann has made emil's key. She makes a batch as him, lets him take his key over, and approves it.
#[test]
fn a_batch_is_approved_by_another_only_if_its_maker_had_a_key_of_their_own() {
    let key = |n| Credential::Key(Digest([n; 32]));
    let own = |n| Wish::RotateIdentity { name: "emil".into(), credential: key(n) };
    let mut world = World::new(Rail::Iso20022);
    let added = IdentityAdded {
        name: "emil".into(),
        role: Role::Operator,
        credential: key(1),
        scope: Scope::default(),
        expires_at: None,
        rate: 0,
    };
    world.ask("ann", Wish::AddIdentity(added)).unwrap();
    let emil = Caller::identity(world.books.control.identities().named("emil").unwrap());
    // Four eyes are off when it is made, and on when it is approved.
    let of = (world.window, world.rail());
    let id = world.books.create(emil.clone(), of, false).unwrap();
    let set = |on| {
        let operators = ["ann", "bob"].iter().filter(|_| on).map(|&name| name.to_owned());
        Wish::SetEyes(EyesSet { on, operators: operators.collect() })
    };
    world.books.wish(set(true)).unwrap();
    let approve = || Wish::ApproveBatch { batch: id, signed: None };
    let old = || Refusal::from(EyesMisfit::MadeWithOldKey { batch: id, maker: "emil".into() });
    assert_eq!(world.ask("ann", approve()), Err(old()));
    assert_eq!(world.books.ask(emil.clone(), approve()), Err(Refusal::SameOperator(id)));
    world.books.ask(emil.clone(), own(2)).unwrap();
    assert_eq!(world.ask("ann", approve()), Err(old()));
    // Made anew with a key of his own it may be; but not if his key was replaced since.
    let reason = "made with a key that ann knew".to_owned();
    world.ask("ann", Wish::AbortBatch { batch: id, reason }).unwrap();
    assert_eq!(world.books.create(emil.clone(), of, true), Ok(id));
    world.books.wish(set(false)).unwrap();
    let before = world.books.control.clone();
    world.ask("bob", own(3)).unwrap();
    assert_eq!(world.ask("ann", approve()), Err(old()));
    world.books.control = before;
    assert!(world.ask("ann", approve()).is_ok());
}

/// A word about a leg that is UNKNOWN counts of who has a key of their own, four eyes or not.
#[test]
fn who_made_anothers_key_does_not_say_for_them_what_became_of_a_leg() {
    let mut world = World::new(Rail::Iso20022);
    world.create("ann", false).unwrap();
    let credential = Credential::Key(Digest([1; 32]));
    let added = IdentityAdded {
        name: "emil".into(),
        role: Role::Approver,
        credential,
        scope: Scope::default(),
        expires_at: None,
        rate: 0,
    };
    world.ask("ann", Wish::AddIdentity(added)).unwrap();
    let emil = Caller::identity(world.books.control.identities().named("emil").unwrap());
    world.does("bob", "approve").unwrap();
    let submitted = world.submit(&[0], None);
    world.ask("engine", submitted).unwrap();
    let lost = world.moves(Voice::Engine, 0, LegState::Unknown);
    world.ask("engine", lost).unwrap();
    let says = Wish::ResolveLeg {
        content: world.content(),
        leg: 0,
        word: LegWord::Confirmed,
        reference: "R".into(),
        evidence: "a mail".into(),
        signed: None,
    };
    let (name, maker) = ("emil".to_owned(), "ann".to_owned());
    let not_own = Refusal::from(EyesMisfit::KeyOfAnother { name, maker });
    assert_eq!(world.books.ask(emil.clone(), says.clone()), Err(not_own));
    let credential = Credential::Key(Digest([2; 32]));
    let own = Wish::RotateIdentity { name: "emil".into(), credential };
    world.books.ask(emil.clone(), own).unwrap();
    world.books.ask(emil, says.clone()).unwrap();
    world.ask("ann", says).unwrap();
    assert_eq!(world.entry().unwrap().legs.state(0), LegState::Confirmed);
}
