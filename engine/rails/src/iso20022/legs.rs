//! Which legs of a file a bank's report speaks of, and what it says of each in the ledger's words.
//!
//! Owns how ids lead back to legs, whether a sum is one of the asset and whether an account is the
//! leg's. Never decides what a statement leads to: the ledger weighs all of them together.

use super::account::Clearing;
use super::answer::{Direction, Money, Report, Scope, SharedEntry};
use super::ids::Ids;
use std::ops::Range;
use tallystick_ledger::hearing::{Ground, Place, Side, Statement, Sum};
use tallystick_ledger::types::{AssetDef, Total};
use tallystick_ledger::{BatchHead, OpenBatch};

/// Characters of somebody's account that may be told.
const ENDING_CHARS: usize = 4;
/// Fewest digits of an account's number that are compared with the end of an IBAN.
const NUMBER_DIGITS_MIN: usize = 5;

/// The legs of one file.
pub struct Legs {
    ids: Ids,
    /// Which legs are in the bank file: all behind the pay-ins.
    paid: Range<usize>,
    /// Where each payment information block begins; its legs follow each other.
    blocks: Vec<usize>,
}

impl Legs {
    /// Of this part of a batch, as its file with this number.
    #[must_use]
    pub fn new(content: &OpenBatch, number: u32) -> Self {
        let first = content.legs.partition_point(|leg| leg.payment.is_pay_in());
        let mut start = first;
        let blocks = super::pain001::by_debtor(&content.legs[first..]).map(|legs| {
            let begin = start;
            start += legs.len();
            begin
        });
        let blocks = blocks.collect();
        Self { ids: Ids::new(content.head.id, number), paid: first..content.legs.len(), blocks }
    }

    /// The places of the legs of which a wide report speaks: none if it is about another file.
    #[must_use]
    pub fn of(&self, scope: &Scope) -> Range<usize> {
        match scope {
            Scope::Message { id } if self.ids.is_message(id) => self.paid.clone(),
            Scope::Payment { id } => self.block(id),
            Scope::Message { .. } | Scope::Leg { .. } => 0..0,
        }
    }

    fn block(&self, id: &str) -> Range<usize> {
        let place = self.ids.block_number(id).and_then(|number| number.checked_sub(1));
        let Some((place, &begin)) = place.and_then(|at| Some((at, self.blocks.get(at)?))) else {
            return 0..0;
        };
        begin..self.blocks.get(place + 1).copied().unwrap_or(self.paid.end)
    }
}

/// Where the money of a leg moves, as far as it can be told: an IBAN, or nothing. `own` is that of
/// the payer where money goes from party to party.
#[must_use]
pub fn pays<'a>(head: &'a BatchHead, own: &'a str) -> &'a str {
    if !own.is_empty() {
        return own;
    }
    let clearing = Clearing::read(&head.policy.clearing);
    let real = clearing.filter(|clearing| !clearing.is_placeholder());
    real.map_or("", |clearing| clearing.account.iban)
}

/// What a report says of one leg; `None` if it says nothing to act on. `iban` is where the leg's
/// money moves. `shared` is the leg's sum where all legs that share one entry are known to sum to
/// it.
#[must_use]
pub fn statement(
    report: &Report,
    asset: &AssetDef,
    iban: &str,
    shared: Option<Total>,
) -> Option<Statement> {
    let word = report.word?;
    let sum = match (&report.uncovered, report.units(asset)) {
        (Some(entry), _) => {
            let part = report.amount.as_ref().or(report.instructed.as_ref());
            let part = part.map_or_else(|| "a share".to_owned(), Money::to_string);
            Sum::Alien(format!("{part}, which does not fit its entry of {entry}"))
        }
        (None, Ok(Some(units))) => Sum::Units(units),
        (None, Ok(None)) => shared.map_or(Sum::Unsaid, Sum::Units),
        (None, Err(other)) => Sum::Alien(other.to_string()),
    };
    let place = match report.account.as_str() {
        "" => Place::Unsaid,
        _ if iban.is_empty() => Place::Unsaid,
        account if is_account(account, iban) => Place::Ours,
        // What is told of it is journaled for ever, and whose account it is nobody knows.
        other => Place::Other(format!("an account that ends in {}", ending(other))),
    };
    Some(Statement {
        word,
        ground: if report.is_booked { Ground::Money } else { Ground::Report },
        is_duplicate: report.reason.is_duplicate,
        side: match report.direction {
            Direction::In => Side::In,
            Direction::Out => Side::Out,
        },
        sum,
        place,
        reference: super::answer::bounded(&report.reference),
        apart: report.apart,
        reason: why(report),
    })
}

impl SharedEntry {
    /// Whether these sums, those of the legs that it lists in their order, are all of what was
    /// booked.
    #[must_use]
    pub fn is_shared_out(&self, asset: &AssetDef, legs: &[Total]) -> bool {
        let count = u64::try_from(legs.len()).expect("a length fits 64 bits");
        let whole = count == self.listed && self.claimed.is_none_or(|claimed| claimed == count);
        let booked = self.amount.as_ref().and_then(|amount: &Money| amount.units(asset));
        let sum = legs.iter().try_fold(0u128, |sum, leg| sum.checked_add(leg.0));
        whole && booked.is_some_and(|booked| Some(booked.0) == sum)
    }
}

/// As much of an account's id as tells it from another, and no more.
fn ending(id: &str) -> String {
    let mut last: Vec<char> = id.chars().rev().take(ENDING_CHARS).collect();
    last.reverse();
    last.into_iter().collect()
}

/// Whether an account's id is this IBAN, or the number at its end.
fn is_account(id: &str, iban: &str) -> bool {
    let plain = |text: &str| -> String {
        let letters = text.chars().filter(char::is_ascii_alphanumeric);
        letters.map(|c| c.to_ascii_uppercase()).collect()
    };
    let (id, iban) = (plain(id), plain(iban));
    let number = id.trim_start_matches('0');
    id == iban || number.len() >= NUMBER_DIGITS_MIN && iban[4..].ends_with(number)
}

/// The bank's word and its reason on one line: "RJCT AC04 account closed".
fn why(report: &Report) -> String {
    let mut line = String::new();
    super::answer::add(&mut line, "", &report.status);
    super::answer::add(&mut line, " ", &report.reason.to_string());
    line
}
