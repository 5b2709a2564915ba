//! The weighing of what rails say: each rule by an example, then all of them against a slow model
//! that counts, over every small set of statements in every order.

use super::LegWord::{Accepted, Confirmed, Rejected, Returned};
use super::*;
use crate::leg::LegState as At;

mod files;

const AMOUNT: Total = Total(100);

fn subject(state: At) -> Subject<'static> {
    let (side, went, came) = (Side::Out, Movements::NONE, Movements::NONE);
    Subject { state, has_left: true, side, amount: AMOUNT, went, came }
}

/// What is held of one way.
fn shown(references: &[&str]) -> &'static Movements {
    let mut held = Movements::None;
    references.iter().for_each(|reference| held.hold(reference));
    Box::leak(Box::new(held))
}

/// A leg of which books showed so much.
fn held(state: At, went: &[&str], came: &[&str]) -> Subject<'static> {
    Subject { went: shown(went), came: shown(came), ..subject(state) }
}

/// A leg that an entry of the account has brought to where it stands.
fn booked(state: At, reference: &str) -> Subject<'static> {
    let one: &[&str] = &[reference];
    if state.is_owed_again() { held(state, &[], one) } else { held(state, one, &[]) }
}

/// A leg that went by one entry of the account, and came back by another.
fn round(state: At) -> Subject<'static> {
    held(state, &["A"], &["R"])
}

fn money(word: LegWord, reference: &str) -> Statement {
    Statement {
        word,
        ground: Ground::Money,
        is_duplicate: false,
        side: Side::Out,
        sum: Sum::Units(AMOUNT),
        place: Place::Ours,
        reference: reference.to_owned(),
        apart: 0,
        reason: String::new(),
    }
}

fn report(word: LegWord) -> Statement {
    Statement { ground: Ground::Report, sum: Sum::Unsaid, place: Place::Unsaid, ..money(word, "") }
}

fn to(verdict: &Verdict) -> Option<At> {
    verdict.to.as_ref().map(|step| step.to)
}

/// Where it moves, and how each finding weighs.
fn weighed(subject: &Subject<'_>, said: &[Statement]) -> (Option<At>, Vec<Weight>) {
    let verdict = weigh(subject, said);
    let weights = verdict.findings.iter().map(|finding| finding.weight(subject.state));
    (to(&verdict), weights.collect())
}

/// A statement that lists the return before the payment once left the payee unpaid for ever: the
/// entry that came last counted, and the leg was CONFIRMED.
#[test]
fn a_return_beats_its_payment_in_whatever_order_they_are_listed() {
    let (paid, back) = (money(Confirmed, "P"), money(Returned, "R"));
    for said in [[paid.clone(), back.clone()], [back, paid]] {
        let verdict = weigh(&subject(At::Sent), &said);
        assert_eq!((to(&verdict), &*verdict.to.unwrap().reference), (Some(At::Rejected), "R"));
        assert_eq!(weighed(&subject(At::Confirmed), &said), (Some(At::Returned), vec![]));
        assert_eq!(weighed(&booked(At::Rejected, "R"), &said), (None, vec![]), "told again");
    }
}

#[test]
fn money_of_another_sum_currency_way_or_account_moves_nothing_and_is_told() {
    let fits = money(Confirmed, "P");
    for wrong in [
        Statement { sum: Sum::Units(Total(300)), ..fits.clone() },
        Statement { sum: Sum::Units(Total(99)), ..fits.clone() },
        Statement { sum: Sum::Alien("USD 1.00".into()), ..fits.clone() },
        Statement { sum: Sum::Unsaid, ..fits.clone() },
        Statement { side: Side::In, ..fits.clone() },
        Statement { place: Place::Other("account X".into()), ..fits.clone() },
    ] {
        for at in [At::Sent, At::Accepted, At::Unknown] {
            let one = [wrong.clone()];
            assert_eq!(weighed(&subject(at), &one), (None, vec![Weight::Misfit]), "{wrong:?}");
        }
        let back = [Statement { word: Returned, ..wrong }];
        assert_eq!(weighed(&booked(At::Confirmed, "P"), &back), (None, vec![Weight::Misfit]));
    }
}

/// A fee with the payment's key, listed behind the payment, once left the payment SENT.
#[test]
fn a_fee_beside_its_payment_is_a_remark_and_the_payment_counts() {
    let fee = Statement { sum: Sum::Units(Total(2)), ..money(Confirmed, "FEE") };
    let both = [money(Confirmed, "P"), fee.clone()];
    assert_eq!(weighed(&subject(At::Sent), &both), (Some(At::Confirmed), vec![Weight::Remark]));
    assert_eq!(weighed(&subject(At::Sent), &[fee]), (None, vec![Weight::Misfit]));
}

/// A second upload that the bank refused as a duplicate once un-paid the first, and all was paid
/// again.
#[test]
fn a_refused_second_copy_moves_nothing_whatever_the_first_has_come_to() {
    let again = [Statement { is_duplicate: true, ..report(Rejected) }];
    for (at, weight) in [
        (At::Sent, Weight::Contradiction),
        (At::Unknown, Weight::Contradiction),
        (At::Accepted, Weight::Remark),
        (At::Confirmed, Weight::Remark),
        (At::Rejected, Weight::Remark),
        (At::Returned, Weight::Remark),
    ] {
        assert_eq!(weighed(&subject(at), &again), (None, vec![weight]), "{at:?}");
    }
}

#[test]
fn a_report_refuses_what_is_open_and_never_undoes_what_is_paid() {
    let no = [report(Rejected)];
    for at in [At::Sent, At::Accepted, At::Unknown] {
        assert_eq!(weighed(&subject(at), &no), (Some(At::Rejected), vec![]));
    }
    for paid in [subject(At::Confirmed), booked(At::Confirmed, "P")] {
        assert_eq!(weighed(&paid, &no), (None, vec![Weight::Contradiction]));
    }
    let both = [report(Rejected), money(Confirmed, "P")];
    let told = (Some(At::Confirmed), vec![Weight::Contradiction]);
    assert_eq!(weighed(&subject(At::Sent), &both), told);
}

#[test]
fn two_words_of_one_report_that_cannot_both_be_true_move_nothing() {
    for other in [report(Accepted), report(Confirmed)] {
        let said = [report(Rejected), other];
        assert_eq!(weighed(&subject(At::Sent), &said), (None, vec![Weight::Contradiction]));
    }
    let follows = [report(Confirmed), report(Accepted)];
    assert_eq!(weighed(&subject(At::Sent), &follows), (Some(At::Confirmed), vec![]));
}

/// A payment that the bank made twice, or a pay-in that came twice, was once passed over in
/// silence.
#[test]
fn money_that_moves_once_more_is_found_in_one_answer_and_in_a_later_one() {
    let twice = [money(Confirmed, "A"), money(Confirmed, "B")];
    let wanted = (Some(At::Confirmed), vec![Weight::Surplus]);
    assert_eq!(weighed(&subject(At::Sent), &twice), wanted);
    assert_eq!(weighed(&booked(At::Confirmed, "A"), &twice), (None, vec![Weight::Surplus]));
    let (same, other) = ([money(Confirmed, "A")], [money(Confirmed, "B")]);
    assert_eq!(weighed(&booked(At::Confirmed, "A"), &same), (None, vec![]));
    assert_eq!(weighed(&booked(At::Confirmed, "A"), &other), (None, vec![Weight::Surplus]));
    // Confirmed by somebody's word: the first booking is the one that was meant.
    assert_eq!(weighed(&subject(At::Confirmed), &same), (Some(At::Confirmed), vec![]));
    // Without references of their own the bank's two transactions are two all the same.
    let apart = |apart| Statement { apart, ..money(Confirmed, "SUM") };
    assert_eq!(weighed(&subject(At::Sent), &[apart(1), apart(2)]), wanted);
    assert_eq!(weighed(&subject(At::Sent), &[apart(1), apart(1)]), (Some(At::Confirmed), vec![]));
}

/// Which of two is the second nobody can tell from their order: a person is told both references.
#[test]
fn a_surplus_is_told_with_the_reference_that_counts_beside_it() {
    let twice = [money(Confirmed, "R-S3"), money(Confirmed, "R-AGAIN")];
    let found = weigh(&subject(At::Sent), &twice).findings;
    let text = found[0].text("KEY", At::Sent, AMOUNT, 2);
    assert!(text.contains("R-S3") && text.contains("R-AGAIN"), "{text}");
}

#[test]
fn what_was_paid_twice_and_came_back_once_is_paid() {
    let said = [money(Confirmed, "A"), money(Confirmed, "B"), money(Returned, "R")];
    let wanted = (Some(At::Confirmed), vec![Weight::Surplus, Weight::Remark]);
    assert_eq!(weighed(&subject(At::Sent), &said), wanted);
    let back_twice = [money(Returned, "R"), money(Returned, "S")];
    let wanted = (Some(At::Returned), vec![Weight::Surplus]);
    assert_eq!(weighed(&booked(At::Confirmed, "A"), &back_twice), wanted);
    let later = [money(Returned, "S")];
    assert_eq!(weighed(&booked(At::Returned, "R"), &later), (None, vec![Weight::Surplus]));
}

/// A bank paid once more what had come back, under another reference, and nobody was told: it was
/// taken for the first payment, told late. Then every payment told late was told as a second one.
/// Only the two references together tell them apart.
#[test]
fn paid_again_is_found_and_told_again_or_late_is_not() {
    let (first, again) = ([money(Confirmed, "A")], [money(Confirmed, "B")]);
    for state in [At::Rejected, At::Returned] {
        assert_eq!(weighed(&round(state), &first), (None, vec![]), "told again");
        assert_eq!(weighed(&round(state), &again), (None, vec![Weight::Surplus]));
        let both = [first[0].clone(), again[0].clone()];
        assert_eq!(weighed(&round(state), &both), (None, vec![Weight::Surplus]));
        // Its going was never told: the first that is, is the one that came back.
        let late = weigh(&booked(state, "R"), &first);
        assert_eq!((late.findings, late.held), (vec![], vec![(Way::Went, "A".into())]));
        assert_eq!(weigh(&booked(state, "R"), &both).findings.len(), 1, "but only one of them");
        let back_again = [money(Returned, "S")];
        assert_eq!(weighed(&round(state), &back_again), (None, vec![Weight::Surplus]));
        assert_eq!(weighed(&round(state), &[money(Returned, "R")]), (None, vec![]));
    }
    // Nobody sent it back: it was rejected, and is owed again. Told once, whoever tells it again.
    let rejected = weigh(&subject(At::Rejected), &first);
    assert_eq!(rejected.findings[0].weight(At::Rejected), Weight::Contradiction);
    assert_eq!(rejected.held, [(Way::Went, "A".to_owned())]);
    let told = held(At::Rejected, &["A"], &[]);
    assert_eq!(weighed(&told, &first), (None, vec![]));
    assert_eq!(weighed(&told, &again), (None, vec![Weight::Surplus]));
    // It came back after all: nothing is out.
    let back = weigh(&told, &[money(Returned, "R")]);
    assert_eq!((back.findings, back.held), (vec![], vec![(Way::Came, "R".into())]));
}

/// A statement of the day told once more, on its own, the return of a second payment: the leg was
/// taken for one that had come back, and would have been paid again.
#[test]
fn the_return_of_a_second_payment_is_not_that_of_the_first() {
    let day = [money(Confirmed, "A"), money(Confirmed, "B"), money(Returned, "R")];
    let verdict = weigh(&subject(At::Sent), &day);
    let more = vec![(Way::Went, "B".into()), (Way::Came, "R".into())];
    assert_eq!((to(&verdict), verdict.held), (Some(At::Confirmed), more));
    let paid = held(At::Confirmed, &["A", "B"], &["R"]);
    assert_eq!(weighed(&paid, &[money(Returned, "R")]), (None, vec![]));
    let other = [money(Returned, "R"), money(Returned, "S")];
    assert_eq!(weighed(&paid, &other), (Some(At::Returned), vec![]));
}

#[test]
fn both_references_of_a_payment_that_came_back_at_once_are_held() {
    let verdict = weigh(&subject(At::Sent), &[money(Returned, "R"), money(Confirmed, "A")]);
    let step = verdict.to.unwrap();
    assert_eq!((step.to, &*step.reference), (At::Rejected, "R"));
    assert_eq!(verdict.held, [(Way::Went, "A".to_owned())]);
}

#[test]
fn nothing_moves_a_leg_that_has_not_left() {
    for said in [money(Confirmed, "P"), money(Returned, "R"), report(Rejected), report(Accepted)] {
        let held = Subject { has_left: false, ..subject(At::Sent) };
        for subject in [held, subject(At::Ready)] {
            let one = [said.clone()];
            assert_eq!(weighed(&subject, &one), (None, vec![Weight::Contradiction]), "{said:?}");
        }
    }
}

/// Every statement that the model knows; two of each movement.
fn universe() -> Vec<Statement> {
    let other = Statement { sum: Sum::Units(Total(7)), ..money(Confirmed, "X") };
    vec![
        money(Confirmed, "A"),
        money(Confirmed, "B"),
        money(Returned, "R"),
        money(Returned, "S"),
        Statement { is_duplicate: true, ..report(Rejected) },
        report(Accepted),
        report(Confirmed),
        report(Rejected),
        other,
        Statement { place: Place::Other("Y".into()), ..money(Returned, "Z") },
    ]
}

/// The rules once more, by counting: where a leg moves, and whether anybody must be told.
fn model(subject: &Subject<'static>, said: &[Statement]) -> (Option<At>, bool) {
    let Subject { state, went, came, .. } = *subject;
    let of = |held: &'static Movements| held.references().iter().map(|one| &**one);
    let (went, came): (BTreeSet<&str>, BTreeSet<&str>) = (of(went).collect(), of(came).collect());
    let is = |word, ground, one: &&Statement| {
        (one.word, one.ground, one.is_duplicate, &one.place, &one.sum)
            == (word, ground, false, &own_place(ground), &own_sum(ground))
    };
    let refs = |word| -> BTreeSet<&str> {
        let own = said.iter().filter(|one| is(word, Ground::Money, one));
        own.map(|one| one.reference.as_str()).collect()
    };
    let has = |word| said.iter().any(|one| is(word, Ground::Report, &one));
    let (out, back) = (refs(Confirmed), refs(Returned));
    let (no, yes, taken) = (has(Rejected), has(Confirmed), has(Accepted));
    let foreign = said.iter().any(|one| one.ground == Ground::Money && one.place != Place::Ours);
    let fee = said.iter().any(|one| one.sum == Sum::Units(Total(7)));
    let again = said.iter().any(|one| one.is_duplicate);
    let open = [At::Sent, At::Accepted, At::Unknown].contains(&state);
    let (mut moved, mut told) = (None, foreign);
    if out.len() + back.len() > 0 {
        let goings = went.union(&out).count();
        let returns = came.union(&back).count();
        // A leg is paid as long as its money went more often than it came back.
        moved = if returns >= goings.max(1) {
            match state {
                At::Confirmed => Some(At::Returned),
                At::Sent | At::Accepted | At::Unknown => Some(At::Rejected),
                At::Ready | At::Rejected | At::Returned => None,
            }
        } else {
            (open || state == At::Confirmed && went.is_empty()).then_some(At::Confirmed)
        };
        // Every going but the first is one too many, and so is a return of what never went.
        told |= goings.max(1) > went.len().max(1);
        told |= returns.saturating_sub(goings.max(1)) > came.len().saturating_sub(goings.max(1));
        told |= state == At::Rejected && went.is_empty() && goings > 0 && returns == 0;
        told |= no && out.len() > back.len();
    } else if no && (yes || taken) {
        told = true;
    } else if no {
        moved = open.then_some(At::Rejected);
        told |= state == At::Confirmed;
    } else if yes {
        moved = open.then_some(At::Confirmed);
        told |= state == At::Rejected && !subject.is_booked();
    } else if taken && [At::Sent, At::Unknown].contains(&state) {
        moved = Some(At::Accepted);
    }
    told |= again && [At::Sent, At::Unknown].contains(&state);
    told |= fee && moved.unwrap_or(state) != At::Confirmed;
    (moved, told)
}

fn own_place(ground: Ground) -> Place {
    if ground == Ground::Money { Place::Ours } else { Place::Unsaid }
}

fn own_sum(ground: Ground) -> Sum {
    if ground == Ground::Money { Sum::Units(AMOUNT) } else { Sum::Unsaid }
}

/// Hands every order of the statements to `visit`.
fn orders(said: &mut Vec<Statement>, from: usize, visit: &mut dyn FnMut(&[Statement])) {
    if from == said.len() {
        return visit(said);
    }
    for at in from..said.len() {
        said.swap(from, at);
        orders(said, from + 1, visit);
        said.swap(from, at);
    }
}

#[test]
fn the_weighing_is_that_of_the_model_in_every_order_and_with_everything_said_twice() {
    let all = universe();
    let left = At::ALL.into_iter().filter(|state| *state != At::Ready);
    let mut stands: Vec<Subject<'static>> = left.clone().map(subject).collect();
    stands.push(booked(At::Confirmed, "A"));
    stands.push(booked(At::Rejected, "R"));
    stands.push(booked(At::Returned, "R"));
    stands.extend([At::Rejected, At::Returned].map(round));
    stands.push(held(At::Rejected, &["A"], &[]));
    stands.push(held(At::Confirmed, &["A", "B"], &[]));
    stands.push(held(At::Confirmed, &["A", "B"], &["R"]));
    stands.push(held(At::Returned, &["A", "B"], &["R"]));
    stands.push(held(At::Returned, &["A"], &["R", "S"]));
    let mut checked = 0;
    for mask in 0u32..1 << all.len() {
        if mask.count_ones() > 4 {
            continue;
        }
        let picked = (0..all.len()).filter(|at| mask & (1 << at) != 0);
        let mut said: Vec<Statement> = picked.map(|at| all[at].clone()).collect();
        for subject in &stands {
            let first = weigh(subject, &said);
            let told = first.findings.iter();
            let told = told.map(|one| one.weight(subject.state)).any(|w| w != Weight::Remark);
            let wanted = model(subject, &said);
            assert_eq!((to(&first), told), wanted, "{subject:?} {said:#?} {:?}", first.findings);
            orders(&mut said, 0, &mut |said| {
                assert_eq!(weigh(subject, said), first, "{subject:?}");
                checked += 1;
            });
            let twice: Vec<Statement> = said.iter().chain(&said).cloned().collect();
            assert_eq!(weigh(subject, &twice), first, "{subject:?}");
        }
    }
    assert!(checked > 10_000, "{checked}");
}

#[test]
fn a_move_is_one_that_a_rail_may_make_and_leads_no_further_when_it_is_said_again() {
    use crate::leg::Mover;
    let all = universe();
    for mask in 0u32..1 << all.len() {
        let picked = (0..all.len()).filter(|at| mask & (1 << at) != 0);
        let said: Vec<Statement> = picked.map(|at| all[at].clone()).collect();
        for state in At::ALL {
            let Verdict { to: Some(step), held: more, .. } = weigh(&subject(state), &said) else {
                continue;
            };
            let mover = if step.is_booked { Mover::Books } else { Mover::Rail };
            assert!(state.may_move(step.to, mover), "{state:?} {:?}", step.to);
            let mut all = more;
            if step.is_booked {
                all.push((step.to.booked().unwrap(), step.reference.clone()));
            }
            let of = |way| all.iter().filter(move |(of, _)| *of == way).map(|(_, of)| of.as_str());
            let (went, came) =
                (of(Way::Went).collect::<Vec<_>>(), of(Way::Came).collect::<Vec<_>>());
            let verdict = weigh(&held(step.to, &went, &came), &said);
            assert_eq!(verdict.held, [], "what is held is held once: {state:?} {said:#?}");
            let again = verdict.to;
            let further = again.filter(|again| again.to != step.to);
            assert_eq!(further, None, "{state:?} {said:#?}");
        }
    }
}

#[test]
fn a_finding_is_told_in_words_with_leg_sum_account_and_reference() {
    let other = Place::Other("account DE02100100100006820101".into());
    let said = [Statement { place: other, ..money(Confirmed, "R-IN") }];
    let found = weigh(&subject(At::Sent), &said).findings;
    let text = found[0].text("KEY", At::Sent, AMOUNT, 2);
    assert_eq!(
        text,
        "leg KEY of 1.00: the rail says paid 1.00 on account DE02100100100006820101 (R-IN), and that is \
         not where its money moves; nothing moved, find out what the money is for"
    );
}
