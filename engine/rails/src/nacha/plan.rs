//! Which legs go into which file, and whether all of them can.
//!
//! Owns the checks of a batch, the order of its files and how many legs a file and a batch of
//! entries take. Never writes a byte. The same batch gives the same files.
//!
//! Pay-ins and pay-outs are never in one file: pay-outs leave when pay-ins are confirmed.

use super::super::account::AccountError;
use super::account;
use super::calendar::{is_banking_day, next_banking_day, settled_on, utc};
use super::money::{Cents, ENTRY_CENTS_MAX, SAME_DAY_CENTS_MAX};
use super::{ID_CHARS, rail_id};
use jiff::civil::Date;
use std::ops::Range;
use tallystick_ledger::types::{BatchId, PartyId, Total};
use tallystick_ledger::{Leg, OpenBatch};

/// File id modifiers: what tells the files of one day apart.
const MODIFIERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// Most files of one day that can be told apart.
pub const FILES_A_DAY_MAX: usize = MODIFIERS.len();

/// Characters of a leg's key that the addenda record has room for.
const KEY_CHARS_MAX: usize = 35;

/// How much a file and a batch of entries take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Legs in one file: 190 MB, what a bank's upload still takes.
    pub file_legs: usize,
    /// Cents in one file: the total's field has 12 digits.
    pub file_cents: u128,
    /// Legs in one batch of entries: their records are counted in six digits.
    pub batch_legs: usize,
}

pub const LIMITS: Limits =
    Limits { file_legs: 1_000_000, file_cents: 999_999_999_999, batch_legs: 250_000 };

// Each leg is an entry and an addenda record, each batch of entries ends with one offset entry. Two
// batches that follow each other move more together than the largest entry (or one is full), which
// is at least 10^8 cents, so a file has fewer than these:
const _: () = assert!(ENTRY_CENTS_MAX <= LIMITS.file_cents, "a leg alone always fits a file");
const LEGS_MAX: u128 = LIMITS.file_legs as u128;
const BATCH_LEGS_MAX: u128 = LIMITS.batch_legs as u128;
const BATCHES_MAX: u128 =
    2 * (LIMITS.file_cents / SAME_DAY_CENTS_MAX) + 2 * LEGS_MAX.div_ceil(BATCH_LEGS_MAX) + 2;
const _: () = assert!(BATCHES_MAX <= 999_999, "batches are counted in six digits");
const _: () = assert!(2 * BATCH_LEGS_MAX < 999_999, "a batch's records are counted in six digits");
const _: () = assert!(LEGS_MAX + BATCHES_MAX <= 9_999_999, "traces have seven digits");
const _: () = assert!(2 * LEGS_MAX + BATCHES_MAX <= 99_999_999, "a file's in eight digits");
const _: () = assert!((2 * LEGS_MAX + 3 * BATCHES_MAX + 2) / 10 < 999_999, "blocks in six digits");

/// Why a batch cannot become files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Unfit {
    #[error(
        "leg {key} goes from party to party, and ACH entries move money between one party and the \
         clearing account; settle a multilateral asset"
    )]
    Pair { key: String },
    #[error(
        "the amount of leg {key}, {amount} asset units, is not one or more whole cents, or above the \
         largest entry; compute the batch again"
    )]
    Amount { key: String, amount: Total },
    #[error("leg key {key:?} does not have 1 to 35 letters, digits and hyphens")]
    Key { key: String },
    #[error(
        "party {party} cannot be reached by ACH: {why}; correct its account with `tallystick party \
             update`"
    )]
    Account { party: PartyId, why: AccountError },
    #[error(
        "party {party} has an account from before accounts of this rail were checked; register it \
         again with `tallystick party update`"
    )]
    AccountUnchecked { party: PartyId },
    #[error("the clearing account of the batch: {0}; abort it and correct [clearing.nacha]")]
    Clearing(AccountError),
    #[error(
        "legs {first} and {second} have the same identification number, so that a return could mean \
         either; settle other windows together"
    )]
    SameId { first: String, second: String },
    #[error(
        "the batch needs {needed} files and {earlier} were made on that day; only \
         {FILES_A_DAY_MAX} can be told apart: settle fewer windows at once"
    )]
    TooManyFiles { needed: usize, earlier: usize },
}

/// Which way the money of a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// From parties to the clearing account: debits, and a credit to balance them.
    PayIns,
    /// From the clearing account to parties: credits, and a debit to balance them.
    PayOuts,
}

/// One file of a batch, whose legs are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePart {
    batch: BatchId,
    number: usize,
    modifier: u8,
    flow: Flow,
    effective: Date,
    legs: Range<usize>,
    batch_legs: usize,
}

impl FilePart {
    /// The batch whose legs it holds.
    #[must_use]
    pub fn batch(&self) -> BatchId {
        self.batch
    }

    /// Its number among the batch's files, from 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// What tells it apart from the other files of the day.
    #[must_use]
    pub fn modifier(&self) -> char {
        char::from(self.modifier)
    }

    /// Which way its money goes.
    #[must_use]
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// The day on which its entries are to settle.
    #[must_use]
    pub fn effective(&self) -> Date {
        self.effective
    }

    /// Which of the batch's legs it holds.
    #[must_use]
    pub fn legs(&self) -> Range<usize> {
        self.legs.clone()
    }

    /// Its legs, cut into batches of entries. Each is balanced by one offset entry, which may be no
    /// larger than the largest entry.
    pub(super) fn batches<'a>(&self, content: &'a OpenBatch) -> Runs<'a> {
        let cents = Cents::of(&content.head.asset);
        let cents_max = cents.exact(content.head.policy.most);
        let legs = &content.legs[self.legs()];
        Runs { legs, next: 0, cents, count_max: self.batch_legs, cents_max }
    }
}

/// The files of a batch, in the order in which they leave: pay-ins, then pay-outs. `earlier` is how
/// many files the operator already sent to its bank with the (UTC) date of this batch's last cut.
///
/// # Errors
/// `Unfit` when a leg, an account or the number of files does not fit.
pub fn files(content: &OpenBatch, earlier: usize) -> Result<Vec<FilePart>, Unfit> {
    files_within(content, earlier, &LIMITS)
}

/// As [`files`], with other limits.
pub fn files_within(
    content: &OpenBatch,
    earlier: usize,
    limits: &Limits,
) -> Result<Vec<FilePart>, Unfit> {
    check(content)?;
    planned(content, earlier, limits)
}

/// One file of all legs of a part of a batch that was checked before, which [`cut`] made.
///
/// # Errors
/// `Unfit` when there were as many files on the day as can be told apart.
pub fn whole(part: &OpenBatch, earlier: usize) -> Result<FilePart, Unfit> {
    let mut files = planned(part, earlier, &LIMITS)?;
    match files.pop() {
        Some(file) if files.is_empty() => Ok(file),
        Some(_) | None => Err(Unfit::TooManyFiles { needed: files.len() + 1, earlier }),
    }
}

/// Cuts legs of a batch that was checked before (their places, ascending: all of them pay-ins, or
/// none) into what each file takes.
pub fn cut<'a>(content: &OpenBatch, legs: &'a [u32]) -> Vec<&'a [u32]> {
    let cents = Cents::of(&content.head.asset);
    let moved = |place: &u32| cents.exact(content.legs[*place as usize].payment.amount);
    let mut rest = legs;
    let mut files = Vec::new();
    while !rest.is_empty() {
        let taken = taken(rest.iter().map(moved), LIMITS.file_legs, Total(LIMITS.file_cents));
        let (file, others) = rest.split_at(taken);
        files.push(file);
        rest = others;
    }
    files
}

/// How many of these sums, from the first on, a file takes: all until one is too many or too much.
/// One alone always fits: no limit is below the largest entry.
fn taken(cents: impl Iterator<Item = Total>, count_max: usize, cents_max: Total) -> usize {
    let mut sum = Total::ZERO;
    let fits = |cents: &Total| {
        sum = sum.plus(*cents);
        sum <= cents_max
    };
    cents.take(count_max).take_while(fits).count()
}

fn check(content: &OpenBatch) -> Result<(), Unfit> {
    check_clearing(&content.head.policy.clearing)?;
    check_accounts(content)?;
    let cents = Cents::of(&content.head.asset);
    content.legs.iter().try_for_each(|leg| check_leg(content, leg, cents))?;
    check_ids(&content.legs)
}

fn planned(content: &OpenBatch, earlier: usize, limits: &Limits) -> Result<Vec<FilePart>, Unfit> {
    let cents = Cents::of(&content.head.asset);
    let first_out = content.legs.partition_point(|leg| leg.payment.is_pay_in());
    let (ins, outs) = content.legs.split_at(first_out);
    assert!(outs.iter().all(|leg| !leg.payment.is_pay_in()), "pay-ins come first");
    let dates = Dates::of(content, !ins.is_empty())?;
    let runs = |legs, first| {
        Runs::files(legs, cents, limits).map(move |run| (run.start + first)..(run.end + first))
    };
    let planned = runs(ins, 0)
        .map(|legs| (Flow::PayIns, dates.pay_ins, legs))
        .chain(runs(outs, first_out).map(|legs| (Flow::PayOuts, dates.pay_outs, legs)));
    let planned: Vec<_> = planned.collect();
    let modifiers = MODIFIERS.get(earlier..earlier.saturating_add(planned.len()));
    let modifiers = modifiers.ok_or(Unfit::TooManyFiles { needed: planned.len(), earlier })?;
    let parts = planned.into_iter().zip(modifiers).enumerate();
    let parts = parts.map(|(index, ((flow, effective, legs), &modifier))| FilePart {
        batch: content.head.id,
        number: index + 1,
        modifier,
        flow,
        effective,
        legs,
        batch_legs: limits.batch_legs,
    });
    Ok(parts.collect())
}

/// Cuts legs, from the first to the last, into runs as long as the limits allow.
pub struct Runs<'a> {
    legs: &'a [Leg],
    /// Where the next run starts.
    next: usize,
    cents: Cents,
    count_max: usize,
    cents_max: Total,
}

impl<'a> Runs<'a> {
    fn files(legs: &'a [Leg], cents: Cents, limits: &Limits) -> Self {
        let cents_max = Total(limits.file_cents);
        Self { legs, next: 0, cents, count_max: limits.file_legs, cents_max }
    }
}

impl Iterator for Runs<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.next;
        let moved = self.legs[start..].iter().map(|leg| self.cents.exact(leg.payment.amount));
        self.next += taken(moved, self.count_max, self.cents_max);
        (self.next > start).then_some(start..self.next)
    }
}

/// When the entries of a batch are to settle.
struct Dates {
    pay_ins: Date,
    pay_outs: Date,
}

impl Dates {
    /// Pay-ins: the next banking day, or the day of the cut if they are to settle the same day.
    /// Pay-outs leave on the day on which the pay-ins are confirmed, and settle as fast as those.
    fn of(content: &OpenBatch, pays_in: bool) -> Result<Self, Unfit> {
        let cut = utc(content.head.cut_at).date();
        let clearing = account::Clearing::read(&content.head.policy.clearing);
        let same_day = clearing.map_err(Unfit::Clearing)?.same_day;
        let after = |sent| {
            if same_day && is_banking_day(sent) { sent } else { next_banking_day(sent) }
        };
        let pay_ins = after(cut);
        let pay_outs = if pays_in { after(settled_on(pay_ins)) } else { pay_ins };
        Ok(Self { pay_ins, pay_outs })
    }
}

fn check_clearing(clearing: &[(String, String)]) -> Result<(), Unfit> {
    let checked = account::check_clearing(&clearing.iter().cloned().collect());
    let checked = checked.map_err(Unfit::Clearing)?;
    assert_eq!(checked, clearing, "policy() takes a checked clearing account");
    Ok(())
}

/// Accounts are checked when they are registered, but older ones may be in the journal unchecked.
fn check_accounts(content: &OpenBatch) -> Result<(), Unfit> {
    for (&party, account) in content.accounts.iter() {
        let checked = account::check_account(&account.fields.iter().cloned().collect());
        let checked = checked.map_err(|why| Unfit::Account { party, why })?;
        if checked != account.fields {
            return Err(Unfit::AccountUnchecked { party });
        }
    }
    Ok(())
}

fn check_leg(content: &OpenBatch, leg: &Leg, cents: Cents) -> Result<(), Unfit> {
    let key = || leg.key.clone();
    let party = match (leg.payment.from, leg.payment.to) {
        (PartyId::CLEARING, PartyId::CLEARING) => return Err(Unfit::Pair { key: key() }),
        (party, PartyId::CLEARING) | (PartyId::CLEARING, party) => party,
        (_, _) => return Err(Unfit::Pair { key: key() }),
    };
    assert!(content.accounts.contains_key(&party), "a batch holds the accounts of its payments");
    let formed = (1..=KEY_CHARS_MAX).contains(&leg.key.len())
        && leg.key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !formed {
        return Err(Unfit::Key { key: key() });
    }
    let amount = leg.payment.amount;
    let fits = (Total(1)..=content.head.policy.most).contains(&amount);
    if !fits || cents.checked(amount).is_none() {
        return Err(Unfit::Amount { key: key(), amount });
    }
    Ok(())
}

/// A return names its leg by the identification number alone.
fn check_ids(legs: &[Leg]) -> Result<(), Unfit> {
    let mut ids: Vec<[u8; ID_CHARS]> = legs.iter().map(|leg| id_bytes(&leg.key)).collect();
    ids.sort_unstable();
    let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) else { return Ok(()) };
    let mut sharing = legs.iter().filter(|leg| id_bytes(&leg.key) == twice[0]);
    let mut key = || sharing.next().expect("the number occurs twice").key.clone();
    Err(Unfit::SameId { first: key(), second: key() })
}

fn id_bytes(key: &str) -> [u8; ID_CHARS] {
    rail_id(key).as_bytes().try_into().expect("an identification number has 15 characters")
}
