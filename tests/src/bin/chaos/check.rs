//! The comparison at the end: what the engine says of its legs, against what a rail executed.
//!
//! Owns the rules, which are the same for every rail. Asks nobody, knows no process.

use std::collections::BTreeMap;
use tallystick_tests::wire::LegState;

/// Texts that are kept; more are counted only.
const TEXTS_MAX: usize = 50;

/// A leg as the engine shows it.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its key.
    pub key: String,
    /// Whether it goes to the clearing account.
    pub pay_in: bool,
    /// Who the party is on the rail: its token at the provider, its address on the chain.
    pub whom: String,
    /// In asset units.
    pub amount: u128,
    /// Where it stands.
    pub state: LegState,
    /// The rail's own id of the payment.
    pub reference: String,
    /// Operators said what became of it, and it stands there by their word.
    pub by_hand: bool,
}

/// Money that moved, in the rail's own books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// The leg's key; empty if it is of no leg.
    pub leg_key: String,
    /// The rail's own id of the payment.
    pub reference: String,
    /// Whether it came in.
    pub pay_in: bool,
    /// In asset units.
    pub amount: u128,
    /// From or to whom, as the rail knows them.
    pub whom: String,
    /// It undid a payment.
    pub back: bool,
}

/// What came of the comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Legs that were compared.
    pub legs: u64,
    /// Executed, and so in the ledger.
    pub confirmed: u64,
    /// Not executed, and so in the ledger.
    pub rejected: u64,
    /// Executed more than once.
    pub paid_twice: u64,
    /// Executed and not confirmed in the end, or confirmed and never executed.
    pub lost: u64,
    /// In no final state.
    pub unresolved: u64,
    /// Anything else that differs: amount, who, which payment, money that belongs to no leg.
    pub different: u64,
    /// Legs of which operators said what the rail did otherwise, and a person was told so: they are
    /// settled by people, outside of this run.
    pub doubts: u64,
    /// Confirmed pay-ins and pay-outs, in asset units.
    pub sums: Sums,
    /// The rail's sums of the same, in asset units.
    pub rail_sums: Sums,
    /// In words.
    pub texts: Vec<String>,
}

/// Money in and money out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    pub pay_ins: u128,
    pub pay_outs: u128,
}

impl Sums {
    fn of(&mut self, pay_in: bool) -> &mut u128 {
        if pay_in { &mut self.pay_ins } else { &mut self.pay_outs }
    }
}

impl Verdict {
    /// Whether both books say the same, to the last unit.
    pub fn equal(&self) -> bool {
        let wrong = self.paid_twice + self.lost + self.unresolved + self.different;
        wrong == 0 && self.sums == self.rail_sums
    }

    /// What its counts add to another rail's.
    pub fn add(&mut self, other: &Self) {
        self.legs += other.legs;
        self.confirmed += other.confirmed;
        self.rejected += other.rejected;
        self.paid_twice += other.paid_twice;
        self.lost += other.lost;
        self.unresolved += other.unresolved;
        self.different += other.different;
        self.doubts += other.doubts;
    }

    /// Takes down a sentence.
    pub fn say(&mut self, text: String) {
        if self.texts.len() < TEXTS_MAX {
            self.texts.push(text);
        }
    }
}

/// What the rail did for one leg.
#[derive(Debug, Default)]
struct Done<'a> {
    executed: Vec<&'a Movement>,
    /// How often it went back.
    back: usize,
}

/// Compares every leg with every movement of money.
pub fn compare(legs: &[Told], movements: &[Movement], is_told: &dyn Fn(&str) -> bool) -> Verdict {
    let mut verdict = Verdict::default();
    let mut done: BTreeMap<&str, Done> = BTreeMap::new();
    for movement in movements {
        let of_leg = done.entry(&movement.leg_key).or_default();
        if movement.back {
            // Nobody gives anything back in this run: it would be money that no leg accounts for.
            of_leg.back += 1;
            verdict.different += 1;
            verdict.say(format!("given back: {movement:?}"));
        } else {
            *verdict.rail_sums.of(movement.pay_in) += movement.amount;
            of_leg.executed.push(movement);
        }
    }
    for leg in legs {
        let of_leg = done.remove(leg.key.as_str()).unwrap_or_default();
        if leg.by_hand {
            by_hand(&mut verdict, leg, &of_leg, is_told);
        } else {
            one(&mut verdict, leg, &of_leg);
        }
    }
    for (key, of_leg) in done {
        verdict.different += 1;
        verdict.say(format!("executed, and no leg: {key:?}, {of_leg:?}"));
    }
    if verdict.rail_sums.pay_outs > verdict.rail_sums.pay_ins {
        verdict.different += 1;
        verdict.say(format!("more went out than came in: {:?}", verdict.rail_sums));
    }
    verdict
}

/// A leg that operators have spoken of. What they say was paid by hand is their own book; if the
/// rail did something else, somebody must have been told of this very leg.
fn by_hand(verdict: &mut Verdict, leg: &Told, done: &Done, is_told: &dyn Fn(&str) -> bool) {
    let paid = leg.state == LegState::Confirmed;
    if done.executed.is_empty() {
        verdict.legs += 1;
        verdict.confirmed += u64::from(paid);
        verdict.rejected += u64::from(!paid);
    } else if is_told(&leg.key) && done.executed.len() == 1 {
        verdict.legs += 1;
        verdict.doubts += 1;
        *verdict.rail_sums.of(leg.pay_in) -= done.executed[0].amount;
    } else {
        verdict.say(format!("otherwise than operators said, and nobody was told: {leg:?}"));
        verdict.paid_twice += u64::from(paid);
        return one(verdict, leg, done);
    }
    if paid {
        *verdict.sums.of(leg.pay_in) += leg.amount;
        *verdict.rail_sums.of(leg.pay_in) += leg.amount;
    }
}

fn one(verdict: &mut Verdict, leg: &Told, done: &Done) {
    verdict.legs += 1;
    if done.executed.len() > 1 {
        verdict.paid_twice += 1;
        verdict.say(format!("paid twice: {leg:?}, {:?}", done.executed));
    }
    let kept = done.executed.len() > done.back;
    match leg.state {
        LegState::Confirmed => {
            verdict.confirmed += 1;
            *verdict.sums.of(leg.pay_in) += leg.amount;
            if !kept {
                verdict.lost += 1;
                verdict.say(format!("confirmed and never executed: {leg:?}"));
            }
        }
        LegState::Rejected | LegState::Returned => {
            verdict.rejected += 1;
            if kept {
                verdict.lost += 1;
                verdict.say(format!("executed, and owed again: {leg:?}, {:?}", done.executed));
            }
        }
        LegState::Unspecified
        | LegState::Ready
        | LegState::Sent
        | LegState::Accepted
        | LegState::Unknown => {
            verdict.unresolved += 1;
            verdict.say(format!("unresolved: {leg:?}, {:?}", done.executed));
        }
    }
    for movement in &done.executed {
        let same = movement.amount == leg.amount
            && movement.whom == leg.whom
            && movement.pay_in == leg.pay_in
            && (leg.state != LegState::Confirmed || movement.reference == leg.reference);
        if !same {
            verdict.different += 1;
            verdict.say(format!("not as ordered: {leg:?}, {movement:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(key: &str, pay_in: bool, state: LegState) -> Told {
        let whom = if pay_in { "cus_1" } else { "acct_1" };
        let (key, whom, reference) = (key.into(), whom.into(), format!("of {key}"));
        Told { key, pay_in, whom, amount: 12_340_000, state, reference, by_hand: false }
    }

    fn movement(key: &str, pay_in: bool) -> Movement {
        Movement {
            leg_key: key.into(),
            reference: format!("of {key}"),
            pay_in,
            amount: 12_340_000,
            whom: if pay_in { "cus_1" } else { "acct_1" }.into(),
            back: false,
        }
    }

    #[test]
    fn what_was_executed_once_and_is_confirmed_is_equal() {
        let legs = [
            leg("a", true, LegState::Confirmed),
            leg("b", false, LegState::Confirmed),
            leg("c", true, LegState::Rejected),
        ];
        let verdict = compare(&legs, &[movement("a", true), movement("b", false)], &nobody);
        assert!(verdict.equal(), "{verdict:?}");
        assert_eq!((verdict.legs, verdict.confirmed, verdict.rejected), (3, 2, 1));
        assert_eq!(verdict.sums, Sums { pay_ins: 12_340_000, pay_outs: 12_340_000 });
    }

    fn nobody(_: &str) -> bool {
        false
    }

    #[test]
    fn what_operators_said_is_their_book_and_what_the_rail_did_otherwise_must_be_told() {
        let said = |state| Told { by_hand: true, ..leg("a", true, state) };
        let charge = [movement("a", true)];
        let told: fn(&str) -> bool = |key| key == "a";
        for (state, movements, is_told, doubts, wrong) in [
            (LegState::Confirmed, &[][..], nobody as fn(&str) -> bool, 0, (0, 0)),
            (LegState::Rejected, &[][..], nobody, 0, (0, 0)),
            (LegState::Confirmed, &charge[..], told, 1, (0, 0)),
            (LegState::Rejected, &charge[..], told, 1, (0, 0)),
            (LegState::Confirmed, &charge[..], nobody, 0, (1, 0)),
            (LegState::Rejected, &charge[..], nobody, 0, (0, 1)),
        ] {
            let verdict = compare(&[said(state)], movements, &is_told);
            let found = (verdict.paid_twice, verdict.lost);
            assert_eq!((verdict.doubts, found), (doubts, wrong), "{state:?} {verdict:?}");
            assert_eq!(verdict.equal(), wrong == (0, 0), "{state:?} {verdict:?}");
        }
    }

    #[test]
    fn every_way_to_be_wrong_is_seen() {
        let charge = movement("a", true);
        let counts = |state, movements: &[Movement]| {
            let verdict = compare(&[leg("a", true, state)], movements, &nobody);
            assert!(!verdict.equal() && !verdict.texts.is_empty(), "{verdict:?}");
            (verdict.paid_twice, verdict.lost, verdict.unresolved, verdict.different)
        };
        assert_eq!(counts(LegState::Confirmed, &[charge.clone(), charge.clone()]), (1, 0, 0, 0));
        assert_eq!(counts(LegState::Confirmed, &[]), (0, 1, 0, 0));
        assert_eq!(counts(LegState::Rejected, std::slice::from_ref(&charge)), (0, 1, 0, 0));
        for state in [LegState::Ready, LegState::Sent, LegState::Accepted, LegState::Unknown] {
            assert_eq!(counts(state, std::slice::from_ref(&charge)), (0, 0, 1, 0));
            assert_eq!(counts(state, &[]), (0, 0, 1, 0));
        }
        let foreign = movement("z", true);
        assert_eq!(counts(LegState::Confirmed, &[charge.clone(), foreign]), (0, 0, 0, 1));
        let back = Movement { back: true, ..charge.clone() };
        assert_eq!(counts(LegState::Confirmed, &[charge.clone(), back]), (0, 1, 0, 1));
        let changes: [fn(&mut Movement); 3] =
            [|m| m.amount += 1, |m| m.whom = "cus_2".into(), |m| m.reference = "pi_2".into()];
        for change in changes {
            let mut changed = charge.clone();
            change(&mut changed);
            assert_eq!(counts(LegState::Confirmed, &[changed]), (0, 0, 0, 1));
        }
        // A pay-out where there should have been a pay-in: and it is more than ever came in.
        let other = Movement { pay_in: false, ..charge };
        assert_eq!(counts(LegState::Confirmed, &[other]), (0, 0, 0, 2));
    }
}
