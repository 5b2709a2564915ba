//! Which legs of a batch a bank's reports move.
//!
//! Owns how ids lead back to legs, and that a narrow report comes before a wide one. Never decides
//! whether a leg may move, or whether the named amount is the leg's: the engine does.

use super::answer::{Direction, Money, Report, Scope};
use super::ids::Ids;
use crate::ledger::{BatchContent, Leg};
use crate::rails::status::{LegReport, LegWord};
use crate::types::Total;
use std::ops::Range;

/// Why a report does not move the leg that it names. A person has to look at it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A pay-in is reported as a payment of ours, or the other way round.
    #[error(
        "leg {key} is a {leg}, and the bank reports the opposite movement{account}: a return that \
         is not marked as one, or another account's file; see the bank's entry and move the leg by \
         hand"
    )]
    WrongWay {
        /// The leg.
        key: String,
        /// What it is.
        leg: &'static str,
        /// On which account, if the file is about one.
        account: String,
    },
    /// A transaction is reported apart after its whole block or message was, and differently.
    #[error(
        "the file speaks of leg {key} on its own after it said something else of its whole block \
         or message: it contradicts itself; ask the bank, and move the leg by hand"
    )]
    Contradiction {
        /// The leg.
        key: String,
    },
    /// The named sum is no sum of the batch's asset.
    #[error("the bank names {named} for leg {key}, which is no whole number of units of {asset}")]
    Amount {
        /// The leg.
        key: String,
        /// What the bank names.
        named: Money,
        /// Code of the batch's asset.
        asset: String,
    },
}

/// How the file has spoken of a leg.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Not,
    /// With its whole block or message.
    Wide(Option<LegWord>),
    /// On its own.
    Narrow,
}

/// The legs of one batch while one file is read: make a new one for the next file.
pub struct Legs<'a> {
    content: &'a BatchContent,
    ids: Ids,
    /// Which legs are in the bank file: all behind the pay-ins.
    paid: Range<usize>,
    /// Where each payment information block begins; its legs follow each other.
    blocks: Vec<usize>,
    /// Places of the legs, ordered by key.
    by_key: Vec<usize>,
    /// What the file has said of each leg.
    spoken: Vec<Spoken>,
}

impl<'a> Legs<'a> {
    /// Of this batch (or part of one, as its how-manieth file), for one answer.
    #[must_use]
    pub fn new(content: &'a BatchContent, number: u32) -> Self {
        let first = content.legs.partition_point(|leg| leg.payment.is_pay_in());
        let paid = first..content.legs.len();
        let mut start = first;
        let blocks = super::pain001::by_debtor(&content.legs[first..]).map(|legs| {
            let begin = start;
            start += legs.len();
            begin
        });
        let blocks = blocks.collect();
        let mut by_key: Vec<usize> = (0..content.legs.len()).collect();
        by_key.sort_unstable_by(|&a, &b| content.legs[a].key.cmp(&content.legs[b].key));
        let spoken = vec![Spoken::Not; content.legs.len()];
        Self { content, ids: Ids::new(content.head.id, number), paid, blocks, by_key, spoken }
    }

    /// Hands the reports of single legs that `report` stands for to `tell`; returns how many.
    /// None for a report of another batch. Act on none before the whole file was read and taken
    /// without an error.
    ///
    /// # Errors
    /// `Misfit` when the report names a leg of this batch and cannot be meant for it.
    pub fn take(
        &mut self,
        report: &Report,
        tell: &mut dyn FnMut(LegReport),
    ) -> Result<usize, Misfit> {
        let (range, narrow) = match &report.scope {
            Scope::Message { id } if self.ids.is_message(id) => (self.paid.clone(), false),
            Scope::Payment { id } => (self.block(id), false),
            Scope::Leg { key } => (self.leg(key), true),
            Scope::Message { .. } => (0..0, false),
        };
        let mut told = 0;
        for place in range {
            let leg = &self.content.legs[place];
            match (self.spoken[place], narrow) {
                (Spoken::Not, _) | (Spoken::Narrow, true) => {}
                (Spoken::Wide(_) | Spoken::Narrow, false) => continue,
                (Spoken::Wide(word), true) if word == report.word => {}
                (Spoken::Wide(_), true) => {
                    return Err(Misfit::Contradiction { key: leg.key.clone() });
                }
            }
            check_way(leg, report)?;
            let amount = self.amount(leg, report)?;
            self.spoken[place] = if narrow { Spoken::Narrow } else { Spoken::Wide(report.word) };
            if let Some(word) = report.word {
                let (key, reference) = (leg.key.clone(), super::answer::bounded(&report.reference));
                tell(LegReport { key, word, reference, reason: why(report), amount });
                told += 1;
            }
        }
        Ok(told)
    }

    fn block(&self, id: &str) -> Range<usize> {
        let place = self.ids.block_number(id).and_then(|number| number.checked_sub(1));
        let Some((place, &begin)) = place.and_then(|at| Some((at, self.blocks.get(at)?))) else {
            return 0..0;
        };
        begin..self.blocks.get(place + 1).copied().unwrap_or(self.paid.end)
    }

    fn leg(&self, key: &str) -> Range<usize> {
        let legs = &self.content.legs;
        let found = self.by_key.binary_search_by(|&at| legs[at].key.as_str().cmp(key));
        found.map_or(0..0, |at| self.by_key[at]..self.by_key[at] + 1)
    }

    fn amount(&self, leg: &Leg, report: &Report) -> Result<Option<Total>, Misfit> {
        let asset = &self.content.head.asset;
        report.units(asset).map_err(|named| Misfit::Amount {
            key: leg.key.clone(),
            named: named.clone(),
            asset: asset.code.clone(),
        })
    }
}

fn check_way(leg: &Leg, report: &Report) -> Result<(), Misfit> {
    let way = if leg.payment.is_pay_in() { Direction::In } else { Direction::Out };
    if way == report.direction {
        return Ok(());
    }
    let leg_is = match way {
        Direction::In => "pay-in",
        Direction::Out => "payment",
    };
    let account = match report.account.as_str() {
        "" => String::new(),
        id => format!(" on account {id}"),
    };
    Err(Misfit::WrongWay { key: leg.key.clone(), leg: leg_is, account })
}

/// The bank's word and its reason on one line: "RJCT AC04 account closed".
fn why(report: &Report) -> String {
    let mut line = String::new();
    super::answer::add(&mut line, "", &report.status);
    super::answer::add(&mut line, " ", &report.reason.to_string());
    line
}
