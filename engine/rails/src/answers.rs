//! Answers of the rails that work with files, whatever their format: read whole, then handed out as what they
//! say of legs, by the names that the rail has for them.
//!
//! Owns how a report becomes a statement of the ledger's, and the remarks for a person. Never knows which
//! batches there are, and never decides whether a leg moves.

use super::{LegReport, Part, iso20022, nacha};
use std::io::{BufRead, Read as _};
use tallystick_ledger::hearing::{Ground, Place, Side, Statement, Sum};
use tallystick_ledger::limits::{ANSWER_BYTES_MAX, ANSWER_NOTES_MAX};
use tallystick_ledger::types::Total;
use tallystick_ledger::{BatchHead, Rail, TroubleKind};

/// One answer, read.
pub struct Answer {
    of: Of,
    remarks: Vec<Remark>,
    /// Names that are no leg's by their form; the first of them.
    strangers: Vec<String>,
    more_strangers: u64,
}

enum Of {
    Iso20022(iso20022::Answer),
    Nacha(Vec<LegReport>),
}

/// Whom a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// One leg, by what the rail calls it (`leg_name`).
    Leg(&'a str),
    /// All legs of a file that was sent, or of one debtor's block in it, by its id.
    File(&'a str),
}

/// How much a report speaks of at once: a narrow word stands against every wider one of the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breadth {
    /// One leg.
    Leg,
    /// One debtor's block of a file.
    Block,
    /// A file.
    Message,
}

/// What a person should read beside the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The leg that it is about, by its name on the rail, if one.
    pub leg: Option<String>,
    /// The file or block that it is about: of no interest if it is not one of ours.
    pub within: Option<String>,
    /// Whether it concerns our money, and as what.
    pub trouble: Option<TroubleKind>,
    /// What there is to say.
    pub text: String,
}

/// A leg that an answer speaks of.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Its batch.
    pub head: &'a BatchHead,
    /// The account that its money leaves, if it goes from party to party; else empty.
    pub account: &'a str,
    /// Which way its money goes.
    pub side: Side,
    /// Its sum, where it is known to be its share of an entry that names none.
    pub shared: Option<Total>,
}

/// What the rail calls a leg with this key.
#[must_use]
pub fn leg_name(rail: Rail, key: &str) -> String {
    match rail {
        Rail::Nacha => nacha::rail_id(key),
        Rail::Iso20022 | Rail::Card | Rail::Evm => key.to_owned(),
    }
}

/// Names of batches and files in a rail's ids: see `iso20022::sent`.
pub use iso20022::{Sent, sent};

impl Answer {
    /// Reads an answer whole. `scale` gives the number of digits after the point of the asset of a leg, by the
    /// leg's name.
    ///
    /// # Errors
    /// A text that says what is wrong with it, and where.
    pub fn read(
        rail: Rail,
        mut input: impl BufRead,
        scale: &dyn Fn(&str) -> Option<u32>,
    ) -> Result<Self, String> {
        match rail {
            Rail::Iso20022 => Self::read_iso20022(input),
            Rail::Nacha => {
                let mut bytes = Vec::new();
                let most = u64::try_from(ANSWER_BYTES_MAX).expect("a limit fits 64 bits");
                let read = input.by_ref().take(most).read_to_end(&mut bytes);
                read.map_err(|error| error.to_string())?;
                let answer = nacha::read(&bytes, scale).map_err(|error| error.to_string())?;
                let remarks = answer.notes.iter().map(of_nacha).collect();
                let of = Of::Nacha(answer.reports);
                Ok(Self { of, remarks, strangers: Vec::new(), more_strangers: 0 })
            }
            Rail::Card | Rail::Evm => Err("this rail answers calls, not with files".into()),
        }
    }

    fn read_iso20022(input: impl BufRead) -> Result<Self, String> {
        let (mut reports, mut strangers, mut more_strangers) = (Vec::new(), Vec::new(), 0);
        let read = iso20022::read_stream(input, &mut |report| {
            // Somebody else's transactions are counted, not kept: a file may hold a million of them.
            match &report.scope {
                iso20022::Scope::Leg { key } if !iso20022::is_key(key) => {
                    if strangers.len() < ANSWER_NOTES_MAX {
                        strangers.push(key.clone());
                    } else {
                        more_strangers += 1;
                    }
                }
                iso20022::Scope::Leg { .. }
                | iso20022::Scope::Message { .. }
                | iso20022::Scope::Payment { .. } => reports.push(report),
            }
            Ok::<(), iso20022::ReadError>(())
        });
        let summary = read.map_err(|error| error.to_string())?;
        let remarks = summary.notes.iter().map(of_iso20022).collect();
        let of = Of::Iso20022(iso20022::Answer { summary, reports });
        Ok(Self { of, remarks, strangers, more_strangers })
    }

    /// Whom each report is about, and how wide it is, in the order of the answer.
    pub fn names(&self) -> Vec<(Name<'_>, Breadth)> {
        match &self.of {
            Of::Iso20022(answer) => {
                answer.reports.iter().map(|report| name(&report.scope)).collect()
            }
            Of::Nacha(reports) => {
                reports.iter().map(|report| (Name::Leg(&report.key), Breadth::Leg)).collect()
            }
        }
    }

    /// The places in a part of a batch of which the report with this number speaks, if it is about a file.
    #[must_use]
    pub fn of_file(&self, number: usize, part: &Part) -> std::ops::Range<usize> {
        match &self.of {
            Of::Iso20022(answer) => {
                iso20022::Legs::new(part.content(), part.number()).of(&answer.reports[number].scope)
            }
            Of::Nacha(_) => 0..0,
        }
    }

    /// What the report with this number says of a leg; `None` if it is nothing to act on.
    #[must_use]
    pub fn statement(&self, number: usize, leg: About<'_>) -> Option<Statement> {
        let About { head, account, side, shared } = leg;
        match &self.of {
            Of::Iso20022(answer) => {
                let iban = iso20022::pays(head, account);
                iso20022::statement(&answer.reports[number], &head.asset, iban, shared)
            }
            Of::Nacha(reports) => {
                let LegReport { word, reference, reason, amount, .. } = reports[number].clone();
                Some(Statement {
                    word,
                    ground: Ground::Money,
                    is_duplicate: false,
                    side,
                    sum: amount.map_or(Sum::Unsaid, Sum::Units),
                    place: Place::Unsaid,
                    reference,
                    apart: 0,
                    reason,
                })
            }
        }
    }

    /// The status of the report with this number, where it is nothing to act on and worth a word.
    #[must_use]
    pub fn silent(&self, number: usize) -> Option<String> {
        match &self.of {
            Of::Iso20022(answer) => {
                let report = &answer.reports[number];
                // PART says what is said of each part anyway.
                let worth = report.word.is_none() && report.status != "PART";
                worth.then(|| format!("{} {}", report.status, report.reason).trim().to_owned())
            }
            Of::Nacha(_) => None,
        }
    }

    /// The entry whose sum the report with this number shares with others, with the entry's number.
    #[must_use]
    pub fn shared(&self, number: usize) -> Option<(usize, &iso20022::SharedEntry)> {
        match &self.of {
            Of::Iso20022(answer) => {
                let shared = answer.reports[number].shared;
                shared.map(|entry| (entry, &answer.summary.shared[entry]))
            }
            Of::Nacha(_) => None,
        }
    }

    /// Whether all that it speaks of was handed in under our name: the status of instructions, or entries that
    /// come back. A statement of an account speaks of others', too.
    #[must_use]
    pub fn is_about_instructions(&self) -> bool {
        match &self.of {
            Of::Iso20022(answer) => answer.summary.is_status(),
            Of::Nacha(_) => true,
        }
    }

    /// What there is to remark.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// Names that are no leg's by their form, and how many more there are.
    #[must_use]
    pub fn strangers(&self) -> (&[String], u64) {
        (&self.strangers, self.more_strangers)
    }
}

fn name(scope: &iso20022::Scope) -> (Name<'_>, Breadth) {
    match scope {
        iso20022::Scope::Leg { key } => (Name::Leg(key), Breadth::Leg),
        iso20022::Scope::Payment { id } => (Name::File(id), Breadth::Block),
        iso20022::Scope::Message { id } => (Name::File(id), Breadth::Message),
    }
}

fn of_iso20022(note: &iso20022::Note) -> Remark {
    use iso20022::Note;
    let (leg, within, trouble) = match note {
        Note::NotOurKind { .. } => (None, None, None),
        Note::Unnamed { within, .. } => (None, Some(within.clone()), Some(TroubleKind::Misfit)),
        Note::BatchBooked { within, is_back: true, .. } => {
            (None, Some(within.clone()), Some(TroubleKind::Misfit))
        }
        Note::BatchBooked { within, is_back: false, .. } => (None, Some(within.clone()), None),
        Note::Charge { key, .. } => (Some(key.clone()), None, None),
        Note::SeveralKeys { key, .. } => (Some(key.clone()), None, Some(TroubleKind::Misfit)),
        Note::Changed { scope, .. } => match scope {
            iso20022::Scope::Leg { key } => (Some(key.clone()), None, None),
            iso20022::Scope::Payment { id } | iso20022::Scope::Message { id } => {
                (None, Some(id.clone()), None)
            }
        },
    };
    Remark { leg, within, trouble, text: note.to_string() }
}

fn of_nacha(note: &nacha::Note) -> Remark {
    use nacha::NoteKind;
    let nacha::Note { kind, line, id, code, text, cents, original_trace, corrected, data, .. } =
        note;
    let sum = cents.decimal(2);
    let (trouble, says) = match kind {
        NoteKind::Change => {
            let fields = corrected.iter().map(|(name, value)| format!("{name} {value}"));
            let new = fields.collect::<Vec<_>>().join(", ");
            let new = if new.is_empty() { data.clone() } else { new };
            (Some(TroubleKind::Other), format!("correct the account within six banking days: {new}"))
        }
        NoteKind::ChangeRefused => (None, "a notification of change was refused".to_owned()),
        NoteKind::Dishonored => {
            (Some(TroubleKind::Other), "a return was dishonored: ask the bank".to_owned())
        }
        NoteKind::Contested => {
            (Some(TroubleKind::Other), "the other bank insists on its return: ask the bank".to_owned())
        }
        NoteKind::Offset => (
            Some(TroubleKind::Contradiction),
            "the clearing account's own entry came back, so its whole batch is in doubt: ask the bank"
                .to_owned(),
        ),
        NoteKind::Foreign => (None, "it is no leg's".to_owned()),
        NoteKind::Amount => {
            (Some(TroubleKind::Misfit), "no leg moved: find out what happened".to_owned())
        }
    };
    let text = format!(
        "line {line}: {code} ({text}) for entry {id:?} with trace {original_trace}, {sum} dollars: {says}"
    );
    Remark { leg: Some(id.clone()).filter(|id| !id.is_empty()), within: None, trouble, text }
}
