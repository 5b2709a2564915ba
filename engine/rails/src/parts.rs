//! Parts of a batch: the legs that leave together, as a batch of their own, and the file that they
//! become on a rail that takes files.
//!
//! Owns how legs are split, and what their files are called. The same legs give the same file.

use super::rules::FileRules;
use super::{rules, short_id, table};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use tallystick_ledger::limits::FILE_LEGS_MAX;
use tallystick_ledger::types::{PartyId, Total};
use tallystick_ledger::{Account, BatchContent, BatchHead, OpenBatch, Rail};

/// How the name of a list of pay-ins ends: it is for whoever asks them to pay, never for the rail.
pub const PAY_INS_ENDING: &str = ".pay-ins.csv";

/// Legs that leave together.
pub struct Part {
    content: OpenBatch,
    number: u32,
}

/// The file of a part.
pub struct PartFile<'a> {
    part: &'a Part,
    form: Form,
}

/// Whom a file is for.
enum Form {
    /// Whoever asks the payers to pay.
    List,
    /// The rail.
    Rail(&'static dyn FileRules),
}

/// Splits legs (their places, ascending: all of them pay-ins, or none) into what each file takes.
#[must_use]
pub fn split<A>(content: &BatchContent<A>, legs: &[u32]) -> Vec<Vec<u32>> {
    match rules(content.head.policy.rail).files() {
        // Who is paid what says nothing about which file it is paid by.
        Some(files) => files.split(&content.with_accounts(BTreeMap::new()), legs),
        None => legs.chunks(FILE_LEGS_MAX).map(<[u32]>::to_vec).collect(),
    }
}

/// Whether what was submitted on a rail under this name is a file: calls and transactions have
/// names, too.
#[must_use]
pub fn is_file(rail: Rail, name: &str) -> bool {
    rules(rail).files().is_some() || name.ends_with(PAY_INS_ENDING)
}

impl Part {
    /// Of these legs (their places, ascending: all of them pay-ins, or none), as the
    /// submission with this number in the batch, from 0.
    #[must_use]
    pub fn new(content: &OpenBatch, legs: &[u32], number: u32) -> Self {
        Self { content: only(content, legs), number }
    }

    /// The same, with the names and accounts of those who pay in, as far as `known` has them: a
    /// batch holds none, for a payer needs no account on a rail that cannot collect.
    #[must_use]
    pub fn naming(mut self, known: impl Fn(PartyId) -> Option<Account>) -> Self {
        if !self.is_list() {
            return self;
        }
        let mut accounts = (*self.content.accounts).clone();
        for leg in self.content.legs.iter() {
            let payer = leg.payment.from;
            if let Some(account) = known(payer) {
                accounts.entry(payer).or_insert(account);
            }
        }
        self.content.accounts = Arc::new(accounts);
        self
    }

    /// Whether these legs of a batch become a list of pay-ins.
    #[must_use]
    pub fn is_list_of<A>(content: &BatchContent<A>, legs: &[u32]) -> bool {
        let pays_in = |leg: &u32| content.legs[*leg as usize].payment.is_pay_in();
        !content.head.policy.rail.collects() && legs.iter().any(pays_in)
    }

    /// Whether its file is a list of pay-ins: the rail cannot collect them.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.content.head.pay_in_count > 0 && !self.content.head.policy.rail.collects()
    }

    /// The legs as a batch of their own, with the batch's id.
    #[must_use]
    pub fn content(&self) -> &OpenBatch {
        &self.content
    }

    /// Its submission's number in the batch, from 0.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its file; `None` on a rail that is called, unless it is a list of pay-ins.
    #[must_use]
    pub fn file(&self) -> Option<PartFile<'_>> {
        let form = if self.is_list() {
            Form::List
        } else {
            Form::Rail(rules(self.content.head.policy.rail).files()?)
        };
        Some(PartFile { part: self, form })
    }
}

impl PartFile<'_> {
    /// Its name; no other part of any batch has it.
    #[must_use]
    pub fn name(&self) -> String {
        let Part { content, number } = self.part;
        let short = short_id(content);
        match self.form {
            Form::List => format!("{short}.{number}{PAY_INS_ENDING}"),
            Form::Rail(files) => format!("{short}.{number}.{}", files.ending()),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// What `out` fails with, and what keeps the rail from taking these legs.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Part { content, number } = self.part;
        match self.form {
            Form::List => table::csv(content, &*super::amounts(content), out),
            Form::Rail(files) => files.write(content, *number, out),
        }
    }
}

/// These legs as a batch of their own.
fn only(content: &OpenBatch, legs: &[u32]) -> OpenBatch {
    let legs: Vec<_> = legs.iter().map(|leg| content.legs[*leg as usize].clone()).collect();
    let sum = |pay_ins: bool| {
        let own = legs.iter().filter(|leg| leg.payment.is_pay_in() == pay_ins);
        own.fold(Total::ZERO, |sum, leg| sum.plus(leg.payment.amount))
    };
    let count = |n: usize| u64::try_from(n).expect("a length fits 64 bits");
    let of = &content.head;
    // What the whole batch carries and what deposits pay is no part's, and may be as long as the
    // batch.
    let head = BatchHead {
        id: of.id,
        windows: of.windows.clone(),
        cut_at: of.cut_at,
        asset: of.asset.clone(),
        policy: of.policy.clone(),
        leg_count: count(legs.len()),
        pay_in_count: count(legs.iter().filter(|leg| leg.payment.is_pay_in()).count()),
        pay_in_total: sum(true),
        total: sum(false),
        carried: Total::ZERO,
        carries: Vec::new(),
        prefunded: Vec::new(),
    };
    let legs = Arc::new(legs);
    OpenBatch { head: Arc::new(head), legs, accounts: Arc::clone(&content.accounts) }
}
