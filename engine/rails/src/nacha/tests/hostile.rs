//! What others may do to a file: whoever is paid knows the number of the entry, and a bank may send
//! back what went the other way.

use super::arriving::{entries, entry, ours, text, whole};
use super::reading::{example, legs_of, read, six};
use super::returns::Back;
use super::*;
use crate::answers::{About, Answer as Told, Known};
use tallystick_ledger::hearing::{Finding, Side, Statement, Subject, weigh};
use tallystick_ledger::{BatchHead, LegState, Movements};

/// What a file says of legs that go this way.
fn said(head: &BatchHead, bytes: &[u8], side: Side) -> Vec<Statement> {
    let known = Known { scale: &six, file: &|_| true };
    let told = Told::read(Rail::Nacha, bytes, known).unwrap();
    let about = About { head, account: "", side, shared: None };
    (0..told.names().len()).filter_map(|number| told.statement(number, about)).collect()
}

/// Who reverses a payment sends the opposite entry under the same number. When that one came back,
/// since the payee had spent the money, the payment itself was taken for returned, and paid again.
#[test]
fn a_reversal_that_comes_back_leaves_the_payment_as_it_is() {
    let (content, sent) = example();
    for (leg, own) in legs_of(&sent).iter().zip(content.legs.iter()) {
        let is_pay_in = own.payment.is_pay_in();
        let side = if is_pay_in { Side::In } else { Side::Out };
        let subject = Subject {
            state: LegState::Confirmed,
            has_left: true,
            side,
            amount: own.payment.amount,
            went: Movements::NONE,
            came: Movements::NONE,
        };
        let back = Back::of(leg, "R01");
        let file = |back: &Back| text(&whole(&[entries("CCD", "", &ours(back.clone()))]));
        let returned = weigh(&subject, &said(&content.head, file(&back).as_bytes(), side));
        assert_eq!(returned.to.unwrap().to, LegState::Returned);
        let code = if is_pay_in { "21" } else { "26" };
        let reversal = Back { code: code.to_owned(), ..back };
        let verdict = weigh(&subject, &said(&content.head, file(&reversal).as_bytes(), side));
        assert_eq!(verdict.to, None);
        assert!(matches!(&*verdict.findings, [Finding::OtherSide(_)]), "{:?}", verdict.findings);
    }
}

/// A payee that sent one cent under the number of its payment had the bank's whole daily file
/// refused, and every return in it.
#[test]
fn an_entry_of_somebody_elses_under_our_number_keeps_no_return_back() {
    let (_, sent) = example();
    let legs = legs_of(&sent);
    let back = entries("CCD", "", &ours(Back::of(&legs[0], "R01")));
    let cent = || entries("CCD", "", &entry(22, &legs[1].id, "A PAYEE", 1, &[]));
    for batches in [
        vec![back, cent()],
        vec![cent(), entries("CCD", "", &ours(Back::change(&legs[0], "C01", "17")))],
    ] {
        let answer = read(text(&whole(&batches)).as_bytes(), &six).unwrap();
        let mut kinds: Vec<NoteKind> = answer.notes.kept.iter().map(|note| note.kind).collect();
        kinds.retain(|kind| *kind != NoteKind::Change);
        assert_eq!(kinds, [NoteKind::Unreturned]);
    }
    let alone = read(text(&whole(&[cent()])).as_bytes(), &six);
    assert_eq!(alone, Err(ReadError::NotAReturn { line: 3 }), "nothing in it is lost");
}

/// What a bank writes beside a code was journaled with the leg, names and all, where erasing a
/// party does not reach.
#[test]
fn words_of_a_bank_stand_beside_the_answer_and_are_not_journaled() {
    let (content, sent) = example();
    let said = "ANN SMITH DIED 112926, SEE 1918171614";
    let back = Back { data: said.into(), ..Back::of(&legs_of(&sent)[0], "R15") };
    let bytes = text(&whole(&[entries("CCD", "", &ours(back))]));
    let known = Known { scale: &six, file: &|_| true };
    let told = Told::read(Rail::Nacha, bytes.as_bytes(), known).unwrap();
    let about = About { head: &content.head, account: "", side: Side::Out, shared: None };
    let reason = told.statement(0, about).unwrap().reason;
    assert_eq!(reason, format!("R15 {}", codes::return_text(15)));
    assert_eq!(told.words(0).unwrap(), format!("in the bank's words: {said:?}"));
}
