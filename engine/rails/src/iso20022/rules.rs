//! What this rail answers to the questions that are asked of every rail. Decides nothing that the
//! other files of this folder do not own.

use super::account::{self, BankAccount};
use super::{
    Answer, CLEARING_PLACEHOLDER, Legs, Note, Problem, ReadError, Report, Scope, Summary, ids,
    is_key, legs, pain001, read_stream,
};
use crate::Part;
use crate::account::AccountError;
use crate::answers::{
    About, Answer as Read, Breadth, Known, Name, Remark, Reports, Sent, Shared, in_words,
};
use crate::rules::{AmountText, AnswerRules, Awaits, Fields, FileRules, RailRules};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Write};
use std::ops::Range;
use tallystick_ledger::batch::Payment;
use tallystick_ledger::hearing::Statement;
use tallystick_ledger::limits::{ANSWER_NOTES_MAX, ANSWER_REPORTS_MAX};
use tallystick_ledger::types::{AssetDef, PartyId, Total};
use tallystick_ledger::{OpenBatch, Policy, Refusal, TroubleKind};

/// The rail.
pub struct Iso20022;

impl RailRules for Iso20022 {
    fn check_account(&self, fields: &BTreeMap<String, String>) -> Result<Fields, AccountError> {
        account::check_account(fields)
    }

    fn check_clearing(&self, fields: &BTreeMap<String, String>) -> Result<Fields, AccountError> {
        account::check_clearing(fields)
    }

    fn placeholder(&self) -> &'static [(&'static str, &'static str)] {
        &CLEARING_PLACEHOLDER
    }

    fn policy(&self, asset: &AssetDef, clearing: &[(String, String)]) -> Result<Policy, Refusal> {
        super::currency::policy(asset, clearing)
    }

    fn own_account<'a>(&self, content: &'a OpenBatch, payment: &Payment) -> &'a str {
        if payment.from == PartyId::CLEARING || payment.to == PartyId::CLEARING {
            return "";
        }
        let account = content.accounts.get(&payment.from);
        let account = account.and_then(|account| BankAccount::read(&account.fields));
        account.map_or("", |account| account.iban)
    }

    fn amounts<'a>(&self, content: &'a OpenBatch) -> AmountText<'a> {
        let amounts = super::amounts(content);
        Box::new(move |sum| amounts.text(sum))
    }

    fn files(&self) -> Option<&'static dyn FileRules> {
        Some(&Self)
    }

    fn answers(&self) -> Option<&'static dyn AnswerRules> {
        Some(&Self)
    }

    fn awaits(&self, pay_in: bool) -> Awaits {
        // A credit transfer cannot collect.
        if pay_in { Awaits::Statement } else { Awaits::Bank }
    }
}

impl FileRules for Iso20022 {
    fn ending(&self) -> &'static str {
        "pain.001.xml"
    }

    fn write(&self, part: &OpenBatch, number: u32, out: &mut dyn Write) -> io::Result<()> {
        pain001::render(part, number, out)
    }

    fn is_acknowledged(&self) -> bool {
        true
    }
}

impl AnswerRules for Iso20022 {
    fn read(&self, input: &mut dyn BufRead, known: Known<'_>) -> Result<Read, String> {
        let (mut reports, mut strangers, mut more_strangers) = (Vec::new(), Vec::new(), 0);
        let mut wide = BTreeSet::new();
        let read = read_stream(input, known, &mut |report: Report| {
            match &report.scope {
                // Somebody else's transactions are counted, not kept: a file may hold a million of
                // them.
                Scope::Leg { key } if !is_key(key) => {
                    if strangers.len() < ANSWER_NOTES_MAX {
                        strangers.push(key.clone());
                    } else {
                        more_strangers += 1;
                    }
                    return Ok(());
                }
                Scope::Leg { .. } => {}
                // Said of all legs of a file, and said once: a hundred thousand times would be so
                // many words for each of them.
                Scope::Message { id } | Scope::Payment { id } => {
                    let id = id.to_ascii_lowercase();
                    if !wide.insert((id, report.word, report.reason.is_duplicate)) {
                        return Ok(());
                    }
                }
            }
            if reports.len() == ANSWER_REPORTS_MAX {
                return Err(ReadError::of_all(Problem::TooMany));
            }
            reports.push(report);
            Ok(())
        });
        let summary = read.map_err(|error| error.told())?;
        let mut remarks: Vec<Remark> = summary.notes.iter().map(remark).collect();
        remarks.extend(passed_over(&summary));
        let (more, others) = (summary.notes_left_out, summary.others);
        let read = Read::new(Answer { summary, reports }, remarks).with_counts(more, others);
        Ok(read.with_strangers(strangers, more_strangers))
    }

    fn sent(&self, id: &str) -> Vec<Sent> {
        ids::sent(id)
    }
}

impl Reports for Answer {
    fn names(&self) -> Vec<(Name<'_>, Breadth)> {
        self.reports.iter().map(|report| name(&report.scope)).collect()
    }

    fn of_file(&self, number: usize, part: &Part) -> Range<usize> {
        Legs::new(part.content(), part.number()).of(&self.reports[number].scope)
    }

    fn statement(&self, number: usize, leg: About<'_>) -> Option<Statement> {
        let About { head, account, shared, .. } = leg;
        let iban = legs::pays(head, account);
        legs::statement(&self.reports[number], &head.asset, iban, shared)
    }

    fn silent(&self, number: usize) -> Option<String> {
        let report = &self.reports[number];
        // PART says what is said of each part anyway.
        let worth = report.word.is_none() && report.status != "PART";
        worth.then(|| format!("{} {}", report.status, report.reason).trim().to_owned())
    }

    fn words(&self, number: usize) -> Option<&str> {
        Some(&*self.reports[number].reason.words).filter(|words| !words.is_empty())
    }

    fn account(&self, number: usize) -> Option<&str> {
        Some(&*self.reports[number].account).filter(|account| !account.is_empty())
    }

    fn shared(&self, number: usize) -> Option<Shared<'_>> {
        let entry = self.reports[number].shared?;
        Some(Shared { entry, legs: &self.summary.shared[entry].keys })
    }

    fn is_shared_out(&self, entry: usize, asset: &AssetDef, legs: &[Total]) -> bool {
        self.summary.shared[entry].is_shared_out(asset, legs)
    }

    fn is_about_instructions(&self) -> bool {
        self.summary.is_status()
    }
}

fn name(scope: &Scope) -> (Name<'_>, Breadth) {
    match scope {
        Scope::Leg { key } => (Name::Leg(key), Breadth::Leg),
        Scope::Payment { id } => (Name::File(id), Breadth::Block),
        Scope::Message { id } => (Name::File(id), Breadth::Message),
    }
}

/// What is told of entries of others that could not be read.
fn passed_over(summary: &Summary) -> impl Iterator<Item = Remark> {
    let one =
        |why: String| format!("{why}: the entry names no payment of ours, and is passed over");
    let more = summary.more_passed_over;
    let more = (more > 0).then(|| format!("{more} more entries of others could not be read"));
    let all = summary.passed_over.iter().map(move |fault| one(fault.told())).chain(more);
    all.map(|text| {
        let (leg, within, trouble) = (None, None, None);
        Remark { leg, within, trouble, text, aside: String::new() }
    })
}

fn remark(note: &Note) -> Remark {
    let (leg, within, trouble) = match note {
        Note::NotOurKind { .. } => (None, None, None),
        Note::Unnamed { within, .. } => (None, Some(within.clone()), Some(TroubleKind::Misfit)),
        Note::BatchBooked { within, is_back: true, .. } => {
            (None, Some(within.clone()), Some(TroubleKind::Misfit))
        }
        Note::BatchBooked { within, is_back: false, .. } => (None, Some(within.clone()), None),
        Note::Charge { key, .. } | Note::NotFinal { key, .. } => (Some(key.clone()), None, None),
        Note::SeveralKeys { key, .. } | Note::Drawn { key, .. } | Note::OtherFile { key, .. } => {
            (Some(key.clone()), None, Some(TroubleKind::Misfit))
        }
        Note::Changed { scope, .. } => match scope {
            Scope::Leg { key } => (Some(key.clone()), None, None),
            Scope::Payment { id } | Scope::Message { id } => (None, Some(id.clone()), None),
        },
    };
    let words = note.words();
    let aside = if words.is_empty() { String::new() } else { in_words(words) };
    Remark { leg, within, trouble, text: note.to_string(), aside }
}
