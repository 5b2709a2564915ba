//! Which legs a batch has, row by row, and why one cannot be made.
//!
//! A row says what is owed in its windows (parted by `;`), what is free of deposits, and what
//! follows: legs in their order (`#1` is the second part of a payment that exceeds the rail's
//! largest), what is carried on, what deposits pay, and the sums in, out and carried. `0` is the
//! clearing account. A row in brackets holds for those below it: the model, and what the rail can
//! do.

mod tables;

use super::*;
use crate::fixture::table::{Line, columns, debts, letter, lines, name, party, told};
use crate::fixture::{as_account, sealed};
use crate::seal::Head;
use crate::types::{AssetNumber, Net};
use std::collections::BTreeSet;

const ASSET: AssetNumber = AssetNumber(978);

/// The model and the rail that hold for a row.
struct Rules {
    model: SettlementModel,
    policy: Policy,
}

impl Rules {
    /// `[multilateral iso20022 unit 10 least 20 most 50]`.
    fn new(row: &str) -> Self {
        let mut line = Line::new(row.trim_matches(['[', ']']));
        let model = match line.word() {
            "multilateral" => SettlementModel::Multilateral,
            "bilateral" => SettlementModel::Bilateral,
            other => panic!("{other:?} is no model"),
        };
        let rail = Rail::from_name(line.word()).expect("a rail");
        let mut sum = |of: &str| {
            assert_eq!(line.word(), of, "{row}");
            Total(line.read())
        };
        let (unit, least, most) = (sum("unit"), sum("least"), sum("most"));
        line.end();
        Self { model, policy: Policy { rail, unit, least, most, clearing: Vec::new() } }
    }

    fn batch(
        &self,
        windows: &[Arc<SealedWindow>],
        deposits: &BTreeMap<PartyId, Total>,
        without: &str,
    ) -> Result<BatchContent, Refusal> {
        let asset = AssetDef { number: ASSET, code: "EUR".into(), scale: 2, model: self.model };
        let account = |party: PartyId| {
            (!without.contains(letter(party))).then(|| as_account(&letter(party).to_string()))
        };
        let free = |party| deposits.get(&party).copied().unwrap_or_default();
        BatchContent::compute(windows, &asset, &self.policy, account, free)
    }
}

/// The windows in which this is owed.
fn windows(owed: &str) -> Vec<Arc<SealedWindow>> {
    let window = |(number, owed): (u64, &str)| {
        let head = Head { number: WindowNumber(number), ..crate::fixture::HEAD };
        // Dust of the clearing account is carried into a window; nobody signs for it.
        let (carried, mut obligations): (Vec<_>, Vec<_>) =
            debts(owed).into_iter().partition(|o| [o.payer, o.payee].contains(&PartyId::CLEARING));
        obligations.sort_unstable();
        sealed(head, ASSET, obligations, carried)
    };
    (1..).zip(owed.split(';')).map(window).collect()
}

/// `A:100 B:20`.
fn sums(column: &str) -> BTreeMap<PartyId, Total> {
    let one = |word: &str| {
        let (of, amount) = word.split_once(':').expect("A:100");
        (party(of), Total(amount.parse().unwrap()))
    };
    column.split_whitespace().map(one).collect()
}

fn legs(content: &BatchContent) -> String {
    let one = |leg: &Leg| {
        let Payment { from: payer, to: payee, amount, part } = leg.payment;
        let leg = told([&Obligation { payer, payee, amount }]);
        if part == 0 { leg } else { format!("{leg}#{part}") }
    };
    content.legs.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Legs, carries and deposits together move what the windows owe, party by party, to the unit.
fn check_whole(windows: &[Arc<SealedWindow>], content: &BatchContent, row: &str) {
    let owed = windows.iter().flat_map(|window| &window.assets[&ASSET].net);
    let legs = content.legs.iter().map(|leg| {
        let Payment { from: payer, to: payee, amount, .. } = leg.payment;
        Obligation { payer, payee, amount }
    });
    let of_deposits = content.head.prefunded.iter().map(|(payer, amount)| Obligation {
        payer: *payer,
        payee: PartyId::CLEARING,
        amount: *amount,
    });
    let moved: Vec<Obligation> =
        legs.chain(content.head.carries.iter().copied()).chain(of_deposits).collect();
    let of_parties = |positions: Vec<Position>| {
        let own = positions.into_iter().filter(|one| one.party != PartyId::CLEARING);
        own.map(|one| (one.party, one.net)).collect::<Vec<(PartyId, Net)>>()
    };
    let owed = of_parties(net::positions(owed));
    assert_eq!(of_parties(net::positions(moved.iter())), owed, "{row}");
}

/// Each leg is one that the rail can make, and has a key of its own.
fn check_legs(rules: &Rules, content: &BatchContent, row: &str) {
    let Policy { unit, least, most, .. } = rules.policy;
    for leg in content.legs.iter() {
        let amount = leg.payment.amount;
        assert!(amount >= least && amount <= most && amount.0 % unit.0 == 0, "{amount}: {row}");
    }
    let keys: BTreeSet<&str> = content.legs.iter().map(|leg| leg.key.as_str()).collect();
    assert_eq!(keys.len(), content.legs.len(), "{row}");
    let head = &content.head;
    assert_eq!(head.leg_count, count(content.legs.len()), "{row}");
    let pay_ins = content.legs.iter().take_while(|leg| leg.payment.is_pay_in()).count();
    assert_eq!(head.pay_in_count, count(pay_ins), "pay-ins come first: {row}");
    assert!(!content.legs[pay_ins..].iter().any(|leg| leg.payment.is_pay_in()), "{row}");
    assert_eq!(head.size(), head.total.max(head.pay_in_total), "{row}");
}

/// Checks every row of a table; gives the ids of its batches, each with all that the row says of
/// it.
fn check(table: &str) -> Vec<(BatchId, String)> {
    let (mut rules, mut bracket, mut ids) = (None, "", Vec::new());
    for row in lines(table) {
        if row.starts_with('[') {
            (rules, bracket) = (Some(Rules::new(row)), row);
            continue;
        }
        let rules: &Rules = rules.as_ref().expect("a row in brackets comes first");
        let [owed, deposits, wanted, carried, paid, figures] = columns(row);
        let said = format!("{bracket} {owed} | {wanted} | {carried} | {paid}");
        let (windows, deposits) = (windows(owed), sums(deposits));
        let content =
            rules.batch(&windows, &deposits, "").unwrap_or_else(|no| panic!("{row} {no}"));
        let head = &content.head;
        assert_eq!(legs(&content), wanted, "{row}");
        assert_eq!(told(&head.carries), carried, "{row}");
        let of_deposits: BTreeMap<PartyId, Total> = head.prefunded.iter().copied().collect();
        assert_eq!(of_deposits, sums(paid), "{row}");
        let found = format!("{} {} {}", head.pay_in_total, head.total, head.carried);
        assert_eq!(found, figures, "{row}");
        check_whole(&windows, &content, row);
        check_legs(rules, &content, row);
        let again = rules.batch(&windows, &deposits, "").unwrap();
        assert_eq!(again, content, "the same once more: {row}");
        ids.push((head.id, said));
    }
    ids
}

#[test]
fn a_multilateral_batch_has_one_payment_a_party_against_the_clearing_account() {
    check(tables::MULTILATERAL);
}

#[test]
fn a_bilateral_batch_has_one_payment_a_pair_and_deposits_are_paid_out_first() {
    check(tables::BILATERAL);
}

#[test]
fn every_rails_least_and_most_hold_to_the_unit() {
    check(tables::RAILS);
}

/// What the rail can do, what deposits pay and what is carried are part of a batch's id; what else
/// lies on deposits is not.
#[test]
fn batches_have_the_same_id_when_they_are_the_same_and_never_else() {
    let tables = [tables::MULTILATERAL, tables::BILATERAL, tables::RAILS];
    let made: Vec<(BatchId, String)> = tables.into_iter().flat_map(check).collect();
    for (id, said) in &made {
        for (other, says) in &made {
            assert_eq!(id == other, said == says, "{said}\n{says}");
        }
    }
}

/// What making a batch comes to: whose accounts it uses, or the refusal.
fn outcome(made: Result<BatchContent, Refusal>) -> String {
    let refusal = match made {
        Ok(content) => {
            let accounts = content.accounts.iter();
            let letters = accounts.map(|(party, account)| {
                assert_eq!(*account, as_account(&letter(*party).to_string()));
                letter(*party).to_string()
            });
            return ["accounts".to_owned()]
                .into_iter()
                .chain(letters)
                .collect::<Vec<_>>()
                .join(" ");
        }
        Err(refusal) => refusal,
    };
    let Refusal::AccountsMissing { count, first, .. } = &refusal else {
        assert_eq!(refusal, Refusal::NothingToSettle(ASSET));
        return name(&refusal);
    };
    let letters = first.split(", ").map(|id| match id.parse() {
        Ok(party) => letter(party).to_string(),
        Err(_) => id.to_owned(),
    });
    format!("{} {count} {}", name(&refusal), letters.collect::<Vec<_>>().join(" "))
}

#[test]
fn a_batch_is_made_when_there_is_something_to_settle_and_money_can_reach_everybody() {
    let mut rules = None;
    for row in lines(tables::REFUSALS) {
        if row.starts_with('[') {
            rules = Some(Rules::new(row));
            continue;
        }
        let rules: &Rules = rules.as_ref().expect("a row in brackets comes first");
        let [owed, deposits, without, wanted] = columns(row);
        let made = rules.batch(&windows(owed), &sums(deposits), without);
        if let Err(Refusal::AccountsMissing { rail, .. }) = &made {
            assert_eq!(*rail, rules.policy.rail.name(), "{row}");
        }
        assert_eq!(outcome(made), wanted, "{row}");
    }
}

/// The windows of a batch may hold nothing of its asset.
#[test]
fn other_assets_of_the_windows_are_not_settled_with_it() {
    let other = AssetNumber(840);
    let owed = sealed(crate::fixture::HEAD, other, debts("A>B:40"), Vec::new());
    let rules = Rules::new("[multilateral iso20022 unit 10 least 20 most 50]");
    let none = rules.batch(std::slice::from_ref(&owed), &BTreeMap::new(), "");
    assert_eq!(outcome(none), "NothingToSettle");
    let both = [owed, windows("B>C:30").remove(0)];
    let content = rules.batch(&both, &BTreeMap::new(), "").unwrap();
    assert_eq!(legs(&content), "B>0:30 0>C:30");
}

/// A batch paid out more than came in, and nothing said what the difference was.
#[test]
fn what_the_clearing_account_advances_is_what_debtors_rests_add_up_to() {
    let none = BTreeMap::new();
    let content = |rules: &str, owed: &str, deposits: &BTreeMap<PartyId, Total>| {
        Rules::new(rules).batch(&windows(owed), deposits, "").unwrap()
    };
    let multilateral = "[multilateral iso20022 unit 10 least 10 most 50]";
    let rests = content(multilateral, "A>C:15 B>C:15", &none);
    assert_eq!(legs(&rests), "A>0:10 B>0:10 0>C:30");
    assert_eq!(rests.head.advanced(), Total(10));
    assert_eq!(content(multilateral, "A>C:20 B>C:20", &none).head.advanced(), Total::ZERO);
    // What deposits pay is no advance.
    let deposits = sums("A:15 B:15");
    assert_eq!(content(multilateral, "A>C:15 B>C:15", &deposits).head.advanced(), Total::ZERO);
    let bilateral = "[bilateral iso20022 unit 10 least 10 most 50]";
    assert_eq!(content(bilateral, "A>C:15 B>C:15", &none).head.advanced(), Total::ZERO);
}
