//! What a restored ledger holds back, against one that goes on: the same wishes, and another answer
//! only where money would leave.

use super::*;
use crate::event::{BatchEvent, LegEvent};
use crate::fixture::table::name;
use crate::fund::tests::Books;
use crate::types::{BatchId, Digest, Total, WindowNumber};
use crate::{LegState, LegStep, Rail, SubmitLegs, Voice, runs};
use proptest::prelude::*;

const OF: LedgerRestored =
    LedgerRestored { instance: Digest([0x1a; 32]), backup: Digest([0xba; 32]), position: Lsn(7) };

fn release(reason: &str) -> Wish {
    Wish::ReleaseHold { reason: reason.to_owned() }
}

/// A ledger with a batch that waits for approval, one of which legs are under way, and the hold.
fn held() -> (Books, BatchId, BatchId) {
    let mut books = Books::new();
    let (first, second) = (books.close(&[(1, 2, 100)]), books.close(&[(3, 4, 200)]));
    let leaving = books.computed_on(first, Rail::Card);
    books.approve(leaving).unwrap();
    books.submit(leaving, &[0]).unwrap();
    books.moves(leaving, Voice::Engine, &[0], LegState::Unknown);
    let waiting = books.computed(second);
    books.wish(Wish::BeginHold(OF)).unwrap();
    (books, waiting, leaving)
}

fn step(books: &Books, batch: BatchId, voice: Voice, leg: u32, to: LegState) -> Wish {
    let (reference, reason) = (String::new(), String::new());
    let steps = vec![LegStep { leg, to, reference, reason }];
    Wish::MoveLegs { content: books.legs(batch), voice, evidence: Digest::ZERO, steps }
}

#[test]
fn nothing_is_approved_or_leaves_until_an_operator_says_so_and_what_comes_back_is_heard() {
    let (mut books, waiting, leaving) = held();
    let on_hold = Refusal::OnHold { position: Lsn(7) };
    let again = step(&books, leaving, Voice::Engine, 0, LegState::Sent);
    assert_eq!(books.approve(waiting), Err(on_hold.clone()));
    assert_eq!(books.wish(again.clone()), Err(on_hold.clone()));
    let came = step(&books, leaving, Voice::Rail, 0, LegState::Confirmed);
    books.wish(came).unwrap();
    let next = books.next(leaving).pay_outs;
    assert_eq!(books.submit(leaving, &next), Err(on_hold));
    assert_eq!(books.wish_by("ann", release("")), Err(Refusal::NoReason));
    let begun = books.control.on_hold().unwrap().clone();
    assert_eq!((begun.of, begun.released.clone()), (OF, None));
    books.wish_by("ann", release("the bank's list is compared")).unwrap();
    let entry = books.control.restored().unwrap().clone();
    let (_, _, who) = entry.released.clone().unwrap();
    assert_eq!((entry.lsn, who.as_str()), (begun.lsn, "ann"));
    assert!(books.control.on_hold().is_none());
    books.approve(waiting).unwrap();
    books.submit(leaving, &next).unwrap();
    assert_eq!(books.wish_by("ann", release("again")), Err(Refusal::NotOnHold));
}

/// A copy of a restored ledger that is restored is held for itself.
#[test]
fn who_is_restored_twice_is_held_twice() {
    let (mut books, waiting, _) = held();
    books.wish_by("ann", release("looked")).unwrap();
    let of = LedgerRestored { position: Lsn(9), ..OF };
    books.wish(Wish::BeginHold(of)).unwrap();
    assert_eq!(books.approve(waiting), Err(Refusal::OnHold { position: Lsn(9) }));
    let asked = books.ask(Caller::grpc("ann".into()), Wish::BeginHold(of));
    assert_eq!(name(&asked.unwrap_err()), "EnginesOwn");
}

#[derive(Debug, Clone)]
enum Step {
    Close(u8, u128),
    Compute,
    Approve(usize),
    Abort(usize),
    Submit(usize),
    Again(usize),
    Move(usize, u32, Voice, LegState),
    Release,
}

fn steps() -> impl Strategy<Value = Step> {
    let voice = prop_oneof![Just(Voice::Engine), Just(Voice::Rail)];
    let state = prop::sample::select(LegState::ALL.to_vec());
    prop_oneof![
        2 => (1u8..4, 11u128..999).prop_map(|(n, sum)| Step::Close(n, sum)),
        3 => Just(Step::Compute),
        3 => any::<usize>().prop_map(Step::Approve),
        1 => any::<usize>().prop_map(Step::Abort),
        5 => any::<usize>().prop_map(Step::Submit),
        2 => any::<usize>().prop_map(Step::Again),
        8 => (any::<usize>(), 0u32..3, voice, state)
            .prop_map(|(n, leg, voice, to)| Step::Move(n, leg, voice, to)),
        1 => Just(Step::Release),
    ]
}

/// The batch that a number means.
fn one_of(books: &Books, any: usize) -> Option<BatchId> {
    let all = books.control.batches();
    all.get(any.checked_rem(all.len())?).map(|entry| entry.head.id)
}

fn submission(books: &Books, batch: BatchId, again: bool) -> Option<Wish> {
    let legs = &books.control.batch(batch).ok()?.legs;
    let (number, attempt, legs) = match (again, legs.submissions().last()) {
        (true, Some(last)) => {
            (legs.submissions().len() - 1, last.attempts.len(), last.legs().collect::<Vec<_>>())
        }
        (true, None) => return None,
        (false, _) => {
            let next = books.next(batch);
            let some = if next.pay_ins.is_empty() { next.pay_outs } else { next.pay_ins };
            (legs.submissions().len(), 0, some)
        }
    };
    Some(Wish::SubmitLegs(SubmitLegs {
        content: books.legs(batch),
        submission: u32::try_from(number).unwrap(),
        attempt: u32::try_from(attempt).unwrap(),
        legs: runs(legs.into_iter()),
        digest: Digest::ZERO,
        bytes: 1,
        name: String::new(),
        suspensions: books.control.suspensions(),
    }))
}

/// What a step wishes for; nothing where it cannot be.
fn wish(books: &mut Books, step: &Step) -> Option<Wish> {
    match *step {
        Step::Close(n, sum) => {
            books.close(&[(n, n + 1, sum)]);
            None
        }
        Step::Compute => {
            let is_free = |w: &&crate::WindowEntry| w.sealed.is_some() && w.live.is_empty();
            let number: WindowNumber = books.control.windows().find(is_free)?.number;
            if books.compute(number, Rail::Card).is_ok_and(|made| made.head.total > Total::ZERO) {
                books.computed_on(number, Rail::Card);
            }
            None
        }
        Step::Approve(any) => {
            let batch = one_of(books, any)?;
            Some(Wish::ApproveBatch { batch, signed: None })
        }
        Step::Abort(any) => {
            Some(Wish::AbortBatch { batch: one_of(books, any)?, reason: "wrong".into() })
        }
        Step::Submit(any) => {
            let batch = one_of(books, any)?;
            books.control.settling(batch).ok()?;
            submission(books, batch, false)
        }
        Step::Again(any) => submission(books, one_of(books, any)?, true),
        Step::Move(any, leg, voice, to) => {
            let batch = one_of(books, any)?;
            let count = u32::try_from(books.legs(batch).legs.len()).unwrap();
            Some(self::step(books, batch, voice, leg % count.max(1), to))
        }
        Step::Release => Some(release("looked")),
    }
}

/// By hand: what makes, or may make, money leave.
fn leaves(event: &Event) -> bool {
    match event {
        Event::Batch(BatchEvent::Approved(_)) | Event::Leg(LegEvent::Submitted(_)) => true,
        Event::Leg(LegEvent::Moved(e)) => e.moves.iter().any(|one| one.to == LegState::Sent),
        Event::Batch(BatchEvent::Computed(_) | BatchEvent::Aborted(_))
        | Event::Leg(LegEvent::Booked(_) | LegEvent::Proposed(_) | LegEvent::Released(_))
        | Event::Registry(_)
        | Event::Budget(_)
        | Event::Access(_)
        | Event::Endpoint(_)
        | Event::Eyes(_)
        | Event::Key(_)
        | Event::Window(_)
        | Event::Trouble(_)
        | Event::Hold(_) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// From an older copy, at any moment: until the release the same is refused as of the ledger
    /// that was never restored, and all that makes money leave besides. Nothing else.
    #[test]
    fn an_older_copy_lets_nothing_leave_before_its_release_and_refuses_nothing_else(
        before in prop::collection::vec(steps(), 0..60),
        after in prop::collection::vec(steps(), 0..60),
    ) {
        let mut books = Books::new();
        for step in &before {
            if let Some(wish) = wish(&mut books, step) {
                drop(books.wish(wish));
            }
        }
        books.wish(Wish::BeginHold(OF)).unwrap();
        let mut is_held = true;
        for step in &after {
            let Some(wish) = wish(&mut books, step) else { continue };
            // The same ledger, had it not been restored.
            let mut free = books.control.clone();
            free.hold = None;
            let is_release = matches!(wish, Wish::ReleaseHold { .. });
            let command = books.command_of(wish.clone());
            let unheld = free.decide(command, books.now());
            let found = books.wish(wish);
            match (unheld, found) {
                (_, Ok(_)) if is_release => {
                    prop_assert!(is_held);
                    is_held = false;
                }
                (_, Err(refused)) if is_release => {
                    prop_assert!(!is_held && refused == Refusal::NotOnHold);
                }
                (Ok(crate::Decision::New(fact, _)), Ok(event)) => {
                    prop_assert_eq!(&fact.event, &event);
                    prop_assert!(!(is_held && leaves(&event)));
                }
                (Ok(crate::Decision::New(fact, _)), Err(refused)) => {
                    prop_assert!(is_held && leaves(&fact.event), "{:?}: {}", fact.event, refused);
                    prop_assert_eq!(refused, Refusal::OnHold { position: OF.position });
                }
                (Err(unheld), Err(_)) => prop_assert!(unheld != Refusal::NotOnHold),
                (unheld, found) => prop_assert!(false, "{:?} {:?}", unheld, found),
            }
        }
    }
}
