//! Every move of a leg: who moves it where, from each place at which it can stand.

use super::*;
use crate::event::LegEvent;
use crate::fixture::table::party;
use crate::fixture::upsert;
use crate::limits::BOOKINGS_MAX;

/// `rail` and `books` are words of the rail, `engine` its own doing, `report` is ann's word in the
/// rail's stead. `alone` is what ann says of a leg whose fate the rail cannot tell, `silent` the
/// same without evidence; `nobody` and `clock` are nobody in particular and the schedule, instead
/// of ann. After ann has said the same: `agree` is bob, `after` bob's report, `twice` ann again and
/// `own` ann's report, `joins` nobody in particular and `tells` such a report, `ticks` the
/// schedule.
/// `differ` is bob after ann has said something else, and `cross` bob's report; `else` is bob after
/// ann's same word under another reference, and `other` bob's report.
const PAY_IN: &str = "
                       READY      SENT       ACCEPTED   UNKNOWN    CONFIRMED  REJECTED   RETURNED
    rail   READY       LegState   LegState   LegState   LegState   LegState   LegState   LegState
    rail   SENT        LegState   LegState   LegState   LegState   LegState   LegState   LegState
    rail   ACCEPTED    LegState   ACCEPTED   LegState   ACCEPTED   LegState   LegState   LegState
    rail   UNKNOWN     LegState   LegState   LegState   LegState   LegState   LegState   LegState
    rail   CONFIRMED   LegState   CONFIRMED  CONFIRMED  CONFIRMED  LegState   LegState   LegState
    rail   REJECTED    LegState   REJECTED   REJECTED   REJECTED   LegState   LegState   LegState
    rail   RETURNED    LegState   LegState   LegState   LegState   RETURNED   LegState   LegState
    # Money that moved: the same, and of what was confirmed by a word it is remembered.
    books  READY       LegState   LegState   LegState   LegState   LegState   LegState   LegState
    books  SENT        LegState   LegState   LegState   LegState   LegState   LegState   LegState
    books  ACCEPTED    LegState   ACCEPTED   LegState   ACCEPTED   LegState   LegState   LegState
    books  UNKNOWN     LegState   LegState   LegState   LegState   LegState   LegState   LegState
    books  CONFIRMED   LegState   CONFIRMED  CONFIRMED  CONFIRMED  CONFIRMED  LegState   LegState
    books  REJECTED    LegState   REJECTED   REJECTED   REJECTED   LegState   LegState   LegState
    books  RETURNED    LegState   LegState   LegState   LegState   RETURNED   LegState   LegState
    # The engine on its own: holds back, has no answer, calls again. It never says what was paid.
    engine READY       LegState   LegState   LegState   LegState   LegState   LegState   LegState
    engine SENT        LegState   LegState   SENT       SENT       LegState   LegState   LegState
    engine ACCEPTED    LegState   LegState   LegState   LegState   LegState   LegState   LegState
    engine UNKNOWN     LegState   UNKNOWN    LegState   LegState   LegState   LegState   LegState
    engine CONFIRMED   LegState   LegState   LegState   LegState   LegState   LegState   LegState
    engine REJECTED    REJECTED   LegState   LegState   LegState   LegState   LegState   LegState
    engine RETURNED    LegState   LegState   LegState   LegState   LegState   LegState   LegState
    # It leaves once, and the same bytes once more while nothing has ended.
    submit first       SENT       Submission Submission Submission Submission Submission Submission
    submit again       Submission SENT       ACCEPTED   UNKNOWN    Submission Submission Submission
    # An operator's word in the rail's stead: stricter, and not of what takes two.
    report accepted    LegWord    ACCEPTED   LegState   NeedsTwo   LegState   LegWord    LegWord
    report confirmed   LegWord    CONFIRMED  CONFIRMED  NeedsTwo   LegState   LegWord    LegWord
    report rejected    LegWord    REJECTED   REJECTED   NeedsTwo   LegWord    LegState   LegWord
    report returned    LegWord    LegWord    LegWord    LegWord    RETURNED   LegWord    LegState
    # Of what is UNKNOWN, two operators' same word.
    alone  accepted    NotUnknown NotUnknown NotUnknown proposed   NotUnknown NotUnknown NotUnknown
    alone  confirmed   NotUnknown NotUnknown NotUnknown proposed   NotUnknown NotUnknown NotUnknown
    alone  rejected    NotUnknown NotUnknown NotUnknown proposed   NotUnknown NotUnknown NotUnknown
    alone  returned    NotUnknown NotUnknown NotUnknown LegWord    NotUnknown NotUnknown NotUnknown
    nobody confirmed   NotUnknown NotUnknown NotUnknown NeedsTwo   NotUnknown NotUnknown NotUnknown
    clock  confirmed   NotUnknown NotUnknown NotUnknown NeedsTwo   NotUnknown NotUnknown NotUnknown
    silent confirmed   NoEvidence NoEvidence NoEvidence NoEvidence NoEvidence NoEvidence NoEvidence
    agree  accepted    NotUnknown NotUnknown NotUnknown ACCEPTED   NotUnknown NotUnknown NotUnknown
    agree  confirmed   NotUnknown NotUnknown NotUnknown CONFIRMED  NotUnknown NotUnknown NotUnknown
    agree  rejected    NotUnknown NotUnknown NotUnknown REJECTED   NotUnknown NotUnknown NotUnknown
    differ confirmed   NotUnknown NotUnknown NotUnknown proposed   NotUnknown NotUnknown NotUnknown
    differ rejected    NotUnknown NotUnknown NotUnknown proposed   NotUnknown NotUnknown NotUnknown
    twice  confirmed   NotUnknown NotUnknown NotUnknown SaidBefore NotUnknown NotUnknown NotUnknown
    after  confirmed   LegWord    CONFIRMED  CONFIRMED  CONFIRMED  LegState   LegWord    LegWord
    own    confirmed   LegWord    CONFIRMED  CONFIRMED  NeedsTwo   LegState   LegWord    LegWord
    # The same word about the same payment: another word, or another reference, is not that.
    cross  confirmed   LegWord    CONFIRMED  CONFIRMED  NeedsTwo   LegState   LegWord    LegWord
    else   confirmed   NotUnknown NotUnknown NotUnknown proposed   NotUnknown NotUnknown NotUnknown
    other  confirmed   LegWord    CONFIRMED  CONFIRMED  NeedsTwo   LegState   LegWord    LegWord
    # Who is no operator is not the second of two.
    joins  confirmed   NotUnknown NotUnknown NotUnknown NeedsTwo   NotUnknown NotUnknown NotUnknown
    ticks  confirmed   NotUnknown NotUnknown NotUnknown NeedsTwo   NotUnknown NotUnknown NotUnknown
    tells  confirmed   LegWord    CONFIRMED  CONFIRMED  NeedsTwo   LegState   LegWord    LegWord
    # References of books are held of what has ended.
    book   went        LegState   LegState   LegState   LegState   booked     booked     booked
    book   came        LegState   LegState   LegState   LegState   booked     booked     booked
";

/// A charge is in the engine's hands until its provider has said what became of it.
const CARD: &str = "
                       READY      SENT       ACCEPTED   UNKNOWN    CONFIRMED  REJECTED   RETURNED
    rail   CONFIRMED   LegState   CONFIRMED  CONFIRMED  CONFIRMED  LegState   LegState   LegState
    rail   REJECTED    LegState   REJECTED   REJECTED   REJECTED   LegState   LegState   LegState
    report accepted    LegWord    InHand     LegState   NeedsTwo   LegState   LegWord    LegWord
    report confirmed   LegWord    InHand     CONFIRMED  NeedsTwo   LegState   LegWord    LegWord
    report rejected    LegWord    InHand     InHand     NeedsTwo   LegWord    LegState   LegWord
    report returned    LegWord    LegWord    LegWord    LegWord    RETURNED   LegWord    LegState
    agree  rejected    NotUnknown NotUnknown NotUnknown REJECTED   NotUnknown NotUnknown NotUnknown
";

/// A chain that leaves a block is sent the same transaction: no word ends what it has taken on.
const EVM_PAY_OUT: &str = "
                       READY      SENT       ACCEPTED   UNKNOWN    CONFIRMED  REJECTED   RETURNED
    engine SENT        LegState   LegState   SENT       SENT       LegState   LegState   LegState
    rail   CONFIRMED   LegState   CONFIRMED  CONFIRMED  CONFIRMED  LegState   LegState   LegState
    report accepted    LegWord    InHand     LegState   NeedsTwo   LegState   LegWord    LegWord
    report confirmed   LegWord    InHand     InHand     NeedsTwo   LegState   LegWord    LegWord
    report rejected    LegWord    InHand     InHand     NeedsTwo   LegWord    LegState   LegWord
    report returned    LegWord    LegWord    LegWord    LegWord    RETURNED   LegWord    LegState
";

/// What the chain is paid in, the engine does not see: there words are all there is.
const EVM_PAY_IN: &str = "
                       READY      SENT       ACCEPTED   UNKNOWN    CONFIRMED  REJECTED   RETURNED
    report confirmed   LegWord    CONFIRMED  CONFIRMED  NeedsTwo   LegState   LegWord    LegWord
    report rejected    LegWord    REJECTED   REJECTED   NeedsTwo   LegWord    LegState   LegWord
";

/// What waits for a payee that is suspended can be given up; whatever else is said of it cannot.
const SUSPENDED: &str = "
                       READY      SENT       ACCEPTED   UNKNOWN    CONFIRMED  REJECTED   RETURNED
    report accepted    LegWord    ACCEPTED   LegState   NeedsTwo   LegState   LegWord    LegWord
    report confirmed   LegWord    CONFIRMED  CONFIRMED  NeedsTwo   LegState   LegWord    LegWord
    report rejected    REJECTED   REJECTED   REJECTED   NeedsTwo   LegWord    LegState   LegWord
    report returned    LegWord    LegWord    LegWord    LegWord    RETURNED   LegWord    LegState
";

fn state(name: &str) -> LegState {
    let found = LegState::ALL.into_iter().find(|state| state.name() == name);
    found.unwrap_or_else(|| panic!("{name:?} is no state of a leg"))
}

fn said(word: &str) -> LegWord {
    let all = [LegWord::Accepted, LegWord::Confirmed, LegWord::Rejected, LegWord::Returned];
    let found = all.into_iter().find(|one| one.said() == word);
    found.unwrap_or_else(|| panic!("{word:?} is no word"))
}

impl World {
    /// An approved batch of which this leg stands there; before the pay-out, the pay-in came.
    fn leg_at(rail: Rail, leg: u32, state: LegState) -> Self {
        let mut world = Self::new(rail);
        world.create("ann", false).unwrap();
        world.does("bob", "approve").unwrap();
        if leg == 1 {
            world.does("engine", "submit-in").unwrap();
            world.does("engine", "confirm-in").unwrap();
        }
        let way: &[(Voice, LegState)] = match state {
            LegState::Ready => return world,
            LegState::Sent => &[],
            LegState::Accepted => &[(Voice::Rail, LegState::Accepted)],
            LegState::Unknown => &[(Voice::Engine, LegState::Unknown)],
            LegState::Confirmed => &[(Voice::Rail, LegState::Confirmed)],
            LegState::Rejected => &[(Voice::Rail, LegState::Rejected)],
            LegState::Returned => {
                &[(Voice::Rail, LegState::Confirmed), (Voice::Rail, LegState::Returned)]
            }
        };
        let submit = world.submit(&[leg], None);
        world.ask("engine", submit).unwrap();
        for (voice, to) in way {
            let wish = world.moves(*voice, leg, *to);
            world.ask("engine", wish).unwrap();
        }
        world
    }

    /// What one row asks for; what comes before it is done, if it is allowed.
    fn row(&mut self, leg: u32, who: &str, what: &str) -> (&'static str, Wish) {
        let ann_said = |world: &mut Self, word| {
            let wish = world.resolve(leg, word, "letter");
            drop(world.ask("ann", wish));
        };
        match who {
            "rail" => ("engine", self.moves(Voice::Rail, leg, state(what))),
            "books" => ("engine", self.moves(Voice::Books, leg, state(what))),
            "engine" => ("engine", self.moves(Voice::Engine, leg, state(what))),
            "submit" if what == "again" => {
                let home = self.entry().unwrap().legs.submission_of(leg).unwrap_or(leg);
                ("engine", self.submit(&[leg], Some(home)))
            }
            "submit" => ("engine", self.submit(&[leg], None)),
            "report" => ("ann", self.report(leg, said(what))),
            "alone" => ("ann", self.resolve(leg, said(what), "letter")),
            "nobody" => ("nobody", self.resolve(leg, said(what), "letter")),
            "silent" => ("ann", self.resolve(leg, said(what), "")),
            "clock" => ("schedule", self.resolve(leg, said(what), "letter")),
            "agree" | "after" | "twice" | "own" | "joins" | "ticks" | "tells" => {
                ann_said(self, said(what));
                match who {
                    "agree" => ("bob", self.resolve(leg, said(what), "seen")),
                    "after" => ("bob", self.report(leg, said(what))),
                    "joins" => ("nobody", self.resolve(leg, said(what), "seen")),
                    "ticks" => ("schedule", self.resolve(leg, said(what), "seen")),
                    "tells" => ("nobody", self.report(leg, said(what))),
                    "own" => ("ann", self.report(leg, said(what))),
                    _ => ("ann", self.resolve(leg, said(what), "letter")),
                }
            }
            "cross" => {
                ann_said(self, LegWord::Accepted);
                ("bob", self.report(leg, said(what)))
            }
            "else" | "other" => {
                let wish = self.resolve(leg, said(what), "letter");
                let Wish::ResolveLeg { content, leg, word, evidence, .. } = wish else {
                    unreachable!("it is one")
                };
                let reference = "S".to_owned();
                drop(self.ask(
                    "ann",
                    Wish::ResolveLeg { content, leg, word, reference, evidence, signed: None },
                ));
                match who {
                    "else" => ("bob", self.resolve(leg, said(what), "seen")),
                    _ => ("bob", self.report(leg, said(what))),
                }
            }
            "differ" => {
                ann_said(self, LegWord::Accepted);
                ("bob", self.resolve(leg, said(what), "seen"))
            }
            "book" if what == "went" => ("engine", self.book(leg, &[(Way::Went, "R")])),
            "book" if what == "came" => ("engine", self.book(leg, &[(Way::Came, "R")])),
            _ => panic!("{who:?} {what:?} is no row"),
        }
    }

    pub(super) fn suspend(&mut self, letter: &str) {
        self.ask("ann", Wish::UpsertParty(upsert(party(letter), "", true))).unwrap();
    }

    fn carried(&self) -> String {
        told(self.books.control.open_window().carried.iter().map(|(_, carry)| carry))
    }
}

/// Checks every cell: what comes of it, and that its amount is owed again exactly when the leg has
/// become REJECTED or RETURNED.
fn check(table: &str, rail: Rail, leg: u32, suspended: Option<&str>) {
    for_each_cell(table, |[from, who, what], wanted| {
        let mut world = World::leg_at(rail, leg, state(from));
        suspended.into_iter().for_each(|letter| world.suspend(letter));
        let (caller, wish) = world.row(leg, who, what);
        let (before, again) = (world.stands(), world.entry().unwrap().legs.owed_again());
        let carried = world.carried();
        let told = world.ask(caller, wish);
        let entry = world.entry().unwrap();
        let now = entry.legs.state(leg);
        let found = match &told {
            Ok(Event::Leg(LegEvent::Moved(_) | LegEvent::Submitted(_))) => now.name().to_owned(),
            Ok(event) => fact(event).to_owned(),
            Err(refusal) => name(refusal),
        };
        assert_eq!(found, wanted, "{from}: {who} {what}: {told:?}");
        assert_eq!(world.stands() == before, told.is_err(), "{from}: {who} {what}");
        let is_owed = matches!(&told, Ok(Event::Leg(LegEvent::Moved(_)))) && now.is_owed_again();
        let amount = Total(if is_owed { 100 } else { 0 });
        assert_eq!(entry.legs.owed_again(), again.plus(amount), "{from}: {who} {what}");
        let debt = if leg == 0 { "A>0:100" } else { "0>B:100" };
        let wanted = if is_owed { format!("{carried} {debt}") } else { carried };
        assert_eq!(world.carried(), wanted.trim(), "{from}: {who} {what}");
    });
}

#[test]
fn a_leg_of_bank_files_moves_as_rail_engine_and_operators_may_move_it() {
    check(PAY_IN, Rail::Iso20022, 0, None);
    check(PAY_IN, Rail::Nacha, 1, None);
}

#[test]
fn one_operators_word_ends_no_charge_that_its_provider_still_has() {
    check(CARD, Rail::Card, 0, None);
    check(CARD, Rail::Card, 1, None);
}

#[test]
fn one_operators_word_ends_no_payment_that_a_chain_may_still_make() {
    check(EVM_PAY_OUT, Rail::Evm, 1, None);
    check(EVM_PAY_IN, Rail::Evm, 0, None);
}

#[test]
fn what_waits_for_a_suspended_payee_can_be_given_up() {
    check(SUSPENDED, Rail::Iso20022, 1, Some("B"));
}

/// What is held is bounded, ordered, and of legs that have ended; a move that holds a going is made
/// once.
#[test]
fn books_are_held_in_order_and_up_to_the_bound() {
    let mut world = World::leg_at(Rail::Iso20022, 0, LegState::Confirmed);
    let (went, came) = ([(Way::Went, "R"); BOOKINGS_MAX], [(Way::Came, "R"); BOOKINGS_MAX]);
    let both: Vec<_> = went.into_iter().chain(came).collect();
    let table: [(&[(Way, &str)], &str); 9] = [
        (&[(Way::Came, "R"), (Way::Went, "R")], "NoSuchLeg"),
        (&[(Way::Went, "S"), (Way::Went, "R")], "NoSuchLeg"),
        (&[(Way::Went, "A"), (Way::Went, "B"), (Way::Came, "A")], "booked"),
        (&went, "LegState"),
        (&came[1..], "booked"),
        (&came[..1], "LegState"),
        (&both[2..=BOOKINGS_MAX], "LegState"),
        (&went[2..], "booked"),
        (&went[..1], "LegState"),
    ];
    for (row, (held, wanted)) in table.into_iter().enumerate() {
        let wish = world.book(0, held);
        let found = world.ask("engine", wish);
        let found = found.map_or_else(|refusal| name(&refusal), |event| fact(&event).to_owned());
        assert_eq!(found, wanted, "row {row}");
    }
    let wish = world.moves(Voice::Books, 0, LegState::Confirmed);
    assert_eq!(name(&world.ask("engine", wish).unwrap_err()), "LegState");
    // So many that nobody knows how many: no word takes it for one that came back.
    let wish = world.moves(Voice::Books, 0, LegState::Returned);
    assert_eq!(name(&world.ask("engine", wish).unwrap_err()), "StillPaid");
    let wish = world.report(0, LegWord::Returned);
    assert_eq!(name(&world.ask("ann", wish).unwrap_err()), "StillPaid");
}

/// The payee of a leg that was paid twice sent one payment back, and the leg was owed again.
#[test]
fn a_leg_is_paid_as_long_as_its_money_went_more_often_than_it_came_back() {
    for (leg, who) in [(0, "rail"), (0, "books"), (0, "ann"), (1, "rail"), (1, "books"), (1, "ann")]
    {
        let mut world = World::leg_at(Rail::Iso20022, leg, LegState::Confirmed);
        let returned = |world: &mut World| {
            let (caller, wish) = match who {
                "ann" => ("ann", world.report(leg, LegWord::Returned)),
                _ => world.row(leg, who, "RETURNED"),
            };
            world.ask(caller, wish)
        };
        let twice = world.book(leg, &[(Way::Went, "A"), (Way::Went, "B")]);
        world.ask("engine", twice).unwrap();
        let refused = returned(&mut world).unwrap_err();
        let batch = world.batch;
        assert_eq!(refused, Refusal::StillPaid { batch, leg, went: 2, came: 0 }, "{who}");
        assert_eq!(world.entry().unwrap().legs.state(leg), LegState::Confirmed);
        let once = world.book(leg, &[(Way::Came, "S")]);
        world.ask("engine", once).unwrap();
        // This is the second return, or stands for it.
        returned(&mut world).unwrap();
        let legs = &world.entry().unwrap().legs;
        assert_eq!((legs.state(leg), legs.owed_again()), (LegState::Returned, Total(100)), "{who}");
        let came = legs.facts(leg).unwrap().came.references().len();
        assert_eq!(came, if who == "books" { 2 } else { 1 }, "{who}");
    }
}
