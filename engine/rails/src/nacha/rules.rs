//! What this rail answers to the questions that are asked of every rail. Decides nothing that the
//! other files of this folder do not own.

use super::plan::{self, files};
use super::{
    CLEARING_PLACEHOLDER, Note, NoteKind, Return, account, is_rail_id, rail_id, read, render,
};
use crate::account::AccountError;
use crate::answers::{About, Answer as Read, Breadth, Known, Name, Remark, Reports, Sent};
use crate::rules::{AmountText, AnswerRules, Awaits, Fields, FileRules, RailRules};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use tallystick_ledger::hearing::{Ground, Place, Side, Statement, Sum};
use tallystick_ledger::limits::FILE_LEGS_MAX;
use tallystick_ledger::types::AssetDef;
use tallystick_ledger::{LegWord, OpenBatch, Policy, Refusal, TroubleKind};

/// The rail.
pub struct Nacha;

/// What a return file says.
struct Returns(Vec<Return>);

impl RailRules for Nacha {
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
        super::money::policy(asset, clearing)
    }

    fn check_batch(&self, content: &OpenBatch) -> Result<(), String> {
        files(content, 0).map_or_else(|why| Err(why.to_string()), |_| Ok(()))
    }

    fn leg_name(&self, key: &str) -> String {
        rail_id(key)
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

    fn awaits(&self, _pay_in: bool) -> Awaits {
        Awaits::Bank
    }
}

impl FileRules for Nacha {
    fn split(&self, content: &OpenBatch, legs: &[u32]) -> Vec<Vec<u32>> {
        let chunks = legs.chunks(FILE_LEGS_MAX);
        let cut = |legs| plan::cut(content, legs).into_iter().map(<[u32]>::to_vec);
        chunks.flat_map(cut).collect()
    }

    fn ending(&self) -> &'static str {
        "ach"
    }

    fn write(&self, part: &OpenBatch, number: u32, out: &mut dyn Write) -> io::Result<()> {
        let earlier = usize::try_from(number).map_err(io::Error::other)?;
        let file = plan::whole(part, earlier).map_err(io::Error::other)?;
        render(part, &file, out)
    }

    fn is_acknowledged(&self) -> bool {
        false
    }
}

impl AnswerRules for Nacha {
    fn read(&self, input: &mut dyn BufRead, known: Known<'_>) -> Result<Read, String> {
        let answer = read(input, known).map_err(|error| error.to_string())?;
        let remarks = answer.notes.kept.iter().map(remark).collect();
        let (more, others) = (answer.notes.left_out, answer.notes.others);
        Ok(Read::new(Returns(answer.reports), remarks).with_counts(more, others))
    }

    fn sent(&self, id: &str) -> Vec<Sent> {
        let is_ours = read::is_batch_start(id);
        is_ours.then(|| Sent { digits: id.to_owned(), file: 0 }).into_iter().collect()
    }
}

impl Reports for Returns {
    fn names(&self) -> Vec<(Name<'_>, Breadth)> {
        self.0.iter().map(|report| (Name::Leg(&report.key), Breadth::Leg)).collect()
    }

    fn statement(&self, number: usize, _leg: About<'_>) -> Option<Statement> {
        let Return { is_debit, reference, reason, amount, .. } = self.0[number].clone();
        Some(Statement {
            word: LegWord::Returned,
            ground: Ground::Money,
            is_duplicate: false,
            // A reversal goes the other way under the same number: one that comes back leaves the
            // leg as it is.
            side: if is_debit { Side::In } else { Side::Out },
            sum: amount.map_or(Sum::Unsaid, Sum::Units),
            place: Place::Unsaid,
            reference,
            apart: 0,
            reason,
        })
    }

    fn words(&self, number: usize) -> Option<&str> {
        Some(&*self.0[number].words).filter(|words| !words.is_empty())
    }

    fn is_about_instructions(&self) -> bool {
        true
    }
}

fn remark(note: &Note) -> Remark {
    let (trouble, says) = says(note);
    let Note { kind, line, id, code, text, cents, entries, original_trace, within, .. } = note;
    let sum = cents.decimal(2);
    let text = match kind {
        NoteKind::Others => format!(
            "line {line}: {entries} entries of a batch of class {code} are neither returned nor corrected, \
             and not ours: {says}"
        ),
        NoteKind::Bare => format!("line {line}: {says}"),
        NoteKind::Unreturned => format!(
            "line {line}: entry {id} with trace {original_trace}, {sum} dollars, is neither returned nor \
             corrected: {says}"
        ),
        NoteKind::Change
        | NoteKind::ChangeRefused
        | NoteKind::Dishonored
        | NoteKind::Contested
        | NoteKind::Offset
        | NoteKind::Unnamed
        | NoteKind::Amount
        | NoteKind::Foreign => {
            let id = if id.is_empty() { "no identification" } else { id };
            format!(
                "line {line}: {code} ({text}) for entry {id} with trace {original_trace}, {sum} dollars: \
                 {says}"
            )
        }
    };
    // A value is told beside the answer, which holds it anyway, and is journaled nowhere.
    let values = note.corrected.iter().map(|(name, value)| format!("{name} is now {value}"));
    let mut aside = values.collect::<Vec<_>>().join(", ");
    if aside.is_empty() && *kind == NoteKind::Change {
        aside = format!("the bank wrote {}", note.data);
    }
    let of_batch = *kind == NoteKind::Unnamed;
    Remark {
        leg: Some(id.clone()).filter(|id| is_rail_id(id)),
        within: of_batch.then(|| within.clone()),
        trouble,
        text,
        aside,
    }
}

/// Whether a note concerns our money, and what to do about it.
fn says(Note { kind, corrected, .. }: &Note) -> (Option<TroubleKind>, String) {
    let other = |text: &str| (Some(TroubleKind::Other), text.to_owned());
    match kind {
        NoteKind::Change => {
            // Not the values: what is told of it is journaled, and no erasing would reach it.
            let names: Vec<&str> = corrected.iter().map(|(name, _)| *name).collect();
            let names = if names.is_empty() { "what is new".to_owned() } else { names.join(", ") };
            other(&format!(
                "correct the account within six banking days: {names}, as this line of the file and the \
                 note beside it have it"
            ))
        }
        NoteKind::ChangeRefused => (None, "a notification of change was refused".to_owned()),
        NoteKind::Dishonored => other("a return was dishonored: ask the bank"),
        NoteKind::Contested => other("the other bank insists on its return: ask the bank"),
        NoteKind::Offset => (
            Some(TroubleKind::Contradiction),
            "the clearing account's own entry came back, so its whole batch is in doubt: ask the bank"
                .to_owned(),
        ),
        NoteKind::Unnamed => (
            Some(TroubleKind::Misfit),
            "it came back among entries of ours, and its identification number is no leg's: no leg \
             moved, find the leg by its trace number and amount, and move it by hand"
                .to_owned(),
        ),
        NoteKind::Unreturned => (
            Some(TroubleKind::Misfit),
            "no leg moved; whoever was paid knows the number and may have sent money under it, so see what \
             the entry is"
                .to_owned(),
        ),
        NoteKind::Amount => {
            (Some(TroubleKind::Misfit), "no leg moved: find out what happened".to_owned())
        }
        NoteKind::Bare => (
            None,
            "the file has neither header nor control, so that nothing tells whether it is whole; each \
             batch in it is: see whether the bank has more"
                .to_owned(),
        ),
        NoteKind::Foreign => (None, "it is no leg's, and passed over".to_owned()),
        NoteKind::Others => (None, "passed over".to_owned()),
    }
}
