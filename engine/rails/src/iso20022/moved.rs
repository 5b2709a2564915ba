//! The movement of money that a booked transaction is, and whether its entry covers it.
//!
//! Owns which of the sums of an entry and a transaction counts, which reference tells movements
//! apart, and what bank transaction codes say. Never knows a leg.

use super::answer::{Money, bounded};
use super::camt::Entry;
use super::details::Detail;

/// Sub-families of bank transaction codes that say that money comes back: "reversal due to payment
/// return" and "... cancellation request".
const BACK: [&str; 2] = ["RRTN", "RPCR"];
/// Sub-families that say that the bank took a fee, which may quote the payment it was for.
const FEES: [&str; 6] = ["CHRG", "FEES", "COMM", "COME", "COMI", "COMT"];
/// The family of direct debits that others draw from the account: no payment of ours, whatever they
/// quote.
const DRAWN: &str = "RDDT";
/// The same where a bank has no code but its own: it begins with the four letters of SWIFT.
const FEES_OWN: [&str; 2] = ["NCHG", "NCOM"];
const DRAWN_OWN: [&str; 1] = ["NDDT"];
/// What banks write where a reference is needed and there is none.
const NO_REFERENCE: [&str; 7] =
    ["NONREF", "NOREF", "NOTPROVIDED", "NOTAVAILABLE", "NONE", "UNKNOWN", "NA"];

/// The movement that a booked transaction is.
pub struct Moved {
    pub amount: Option<Money>,
    pub instructed: Option<Money>,
    pub credit: bool,
    pub back: bool,
    pub is_fee: bool,
    pub is_drawn: bool,
    pub reference: String,
    pub apart: u64,
}

impl Moved {
    /// `number` is that of the transaction in its file.
    pub fn new(entry: &Entry, detail: &Detail, alone: bool, number: u64) -> Self {
        let sub_families = [&detail.code.sub_family, &entry.code.sub_family];
        let is_one_of = |codes: &[&str]| {
            sub_families.into_iter().flatten().any(|code| codes.contains(&code.as_str()))
        };
        let own = [&detail.code.own, &entry.code.own];
        let begins = |codes: &[&str]| {
            own.into_iter().flatten().any(|code| codes.iter().any(|own| code.starts_with(own)))
        };
        let families = [&detail.code.family, &entry.code.family];
        let is_drawn = families.into_iter().flatten().any(|family| family == DRAWN);
        let is_drawn = is_drawn || begins(&DRAWN_OWN);
        let credit = detail.credit.or(entry.credit).unwrap_or_default();
        let back =
            entry.reversal.unwrap_or_default() || detail.returned.is_some() || is_one_of(&BACK);
        // What a payer instructed in another currency may not have arrived.
        let currency = entry.amount.as_ref().map(|sum| &sum.currency);
        let instructed = instructed(entry, detail, alone);
        let instructed =
            instructed.filter(|sum| !credit || back || currency == Some(&sum.currency));
        let of_entry = named(&entry.reference);
        // Transactions that all have the reference of their entry are as many all the same.
        let own = named(&detail.reference).filter(|own| alone || Some(*own) != of_entry);
        let own = own.or(of_entry.filter(|_| alone)).or(named(&detail.bank_id));
        Self {
            amount: amount(entry, detail, alone).cloned(),
            instructed: instructed.cloned(),
            credit,
            back,
            is_fee: is_one_of(&FEES) || begins(&FEES_OWN),
            is_drawn: is_drawn && !credit && !back,
            apart: if own.is_some() { 0 } else { number },
            reference: bounded(own.or(of_entry).unwrap_or_default()),
        }
    }
}

/// A reference, if it is one.
fn named(reference: &Option<String>) -> Option<&str> {
    let text = reference.as_deref()?;
    let letters = text.chars().filter(char::is_ascii_alphanumeric);
    let plain: String = letters.map(|c| c.to_ascii_uppercase()).collect();
    let says = plain.bytes().any(|byte| byte != b'0') && !NO_REFERENCE.contains(&plain.as_str());
    says.then_some(text)
}

fn amount<'a>(entry: &'a Entry, detail: &'a Detail, alone: bool) -> Option<&'a Money> {
    let own = detail.amount.as_ref().or(detail.sums.transaction.as_ref());
    let of_entry = || entry.sums.transaction.as_ref().or(entry.amount.as_ref());
    own.or_else(|| of_entry().filter(|_| alone))
}

fn instructed<'a>(entry: &'a Entry, detail: &'a Detail, alone: bool) -> Option<&'a Money> {
    let of_entry = entry.sums.instructed.as_ref().filter(|_| alone);
    detail.sums.instructed.as_ref().or(of_entry)
}

/// What the transactions that an entry lists sum to, as far as their sums are in its currency.
#[derive(Default)]
pub struct Listing {
    /// Of those that go its way, and of those that go the other one.
    with: i128,
    against: i128,
}

impl Listing {
    pub fn add(&mut self, entry: &Entry, detail: &Detail, alone: bool) {
        let Some(booked) = &entry.amount else { return };
        let sums = [amount(entry, detail, alone), instructed(entry, detail, alone)];
        let sum = sums.into_iter().flatten().find(|sum| sum.currency == booked.currency);
        let is_against = detail.credit.is_some_and(|credit| Some(credit) != entry.credit);
        let of = if is_against { &mut self.against } else { &mut self.with };
        *of = of.saturating_add(sum.map_or(0, Money::parts));
    }

    /// Whether the entry booked so much, and this way. It may have booked more: fees, and
    /// transactions that it does not list.
    pub fn is_covered(&self, entry: &Entry) -> bool {
        let net = self.with.saturating_sub(self.against);
        let is_its_way = self.against == 0 || net > 0;
        is_its_way && entry.amount.as_ref().is_none_or(|booked| net <= booked.parts())
    }
}
