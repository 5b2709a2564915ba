//! Return files: which legs came back and why, and what the bank wants changed.
//!
//! Owns the structure of such a file and all its sums, which must hold to the last digit: a damaged
//! or cut file is refused whole. Never decides what a return means for a leg.
//!
//! A return says `LegWord::Returned`: the entry does not stand, whether or not it had settled
//! before. The engine makes `REJECTED` of it for a leg that was not confirmed yet, and `RETURNED`
//! for one that was. There is no other word: ACH confirms nothing (see `settled_on`). Nothing else
//! in a return file changes a leg; it becomes a note for the operator.

use super::super::status::{LegReport, LegWord};
use super::account::is_checked;
use super::codes::{self, ReturnKind};
use super::is_rail_id;
use super::lines::{Line, Lines, ReadError};
use super::money::Cents;
use tallystick_ledger::types::Total;

/// Digits of an entry hash: what is above them is left away.
const HASH_MODULUS: u128 = 10_000_000_000;

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Legs that came back, in the file's order; each one's key is its `rail_id`. A leg that the
    /// bank names twice is here twice.
    pub reports: Vec<LegReport>,
    /// What changes no leg, for the operator.
    pub notes: Vec<Note>,
}

/// Why a note is none of a leg's reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteKind {
    /// A notification of change: the entry went through, the account must be corrected before the
    /// next one (by the rules within six banking days).
    Change,
    /// Our bank's notification of change was refused.
    ChangeRefused,
    /// A return was dishonored by the originating bank: the bank settles it, or asks the operator.
    Dishonored,
    /// The receiving bank insists on a dishonored return.
    Contested,
    /// The clearing account's own entry came back: the whole batch of entries is in doubt.
    Offset,
    /// The identification number is of no leg: another system's entry of the same company.
    Foreign,
    /// The amount cannot be one of the leg's asset.
    Amount,
}

/// What an operator should read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Why it changes no leg.
    pub kind: NoteKind,
    /// The line of the entry.
    pub line: usize,
    /// The entry's identification number: a leg's `rail_id`, or an offset entry's, or another's.
    pub id: String,
    /// The entry's trace number, as it was sent.
    pub original_trace: String,
    /// The trace number of what came back.
    pub trace: String,
    /// The code, such as R67 or C01.
    pub code: String,
    /// What it says.
    pub text: &'static str,
    /// The amount, in cents.
    pub cents: Total,
    /// What else the bank wrote: corrected data for a change. May hold account numbers.
    pub data: String,
    /// For a change: the account's fields as they should be, as far as they can be read.
    pub corrected: Vec<(&'static str, String)>,
}

/// Reads a return file. `scale` gives the number of digits after the point of the asset of the leg
/// with that `rail_id`, if there is such a leg: amounts are reported in its units. Without one the
/// report has no amount.
///
/// # Errors
/// `ReadError` with the line and what is wrong there.
pub fn read(bytes: &[u8], scale: &dyn Fn(&str) -> Option<u32>) -> Result<Answer, ReadError> {
    let mut reader = Reader { lines: Lines::of(bytes)?, scale, answer: Answer::default() };
    let header = reader.lines.take("a file header")?;
    check_header(&header)?;
    let mut total = Sums::default();
    let mut batches = 0;
    while let Some(header) = reader.lines.take_if(b'5') {
        total.add(&reader.batch(&header)?);
        batches += 1;
    }
    let control = reader.lines.take("a batch header or the file's control")?;
    if control.kind() != b'9' || control.is_filler() {
        return Err(control.order("a batch header or the file's control"));
    }
    control.compare((2, 7), "number of batches", Total(batches))?;
    let blocks = control.number.div_ceil(10);
    control.compare((8, 13), "number of blocks", count(blocks))?;
    control.compare((14, 21), "number of entries and addenda", Total(total.records))?;
    total.compare(&control, 22)?;
    reader.filler(control.number, blocks)?;
    Ok(reader.answer)
}

fn check_header(header: &Line<'_>) -> Result<(), ReadError> {
    if header.kind() != b'1' {
        return Err(header.order("a file header"));
    }
    if header.at(35, 40) != "094101" {
        return Err(header.wrong("record size, blocking factor and format", "094101"));
    }
    header.digits_at(24, 29, "date").map(|_| ())
}

fn count(number: usize) -> Total {
    Total(u128::try_from(number).expect("a length fits 128 bits"))
}

/// What the records of a batch or file add up to. 64 bits of records of 10 digits cannot overflow.
#[derive(Default)]
struct Sums {
    records: u128,
    hash: u128,
    debits: Total,
    credits: Total,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.hash += other.hash;
        self.debits = self.debits.plus(other.debits);
        self.credits = self.credits.plus(other.credits);
    }

    /// Hash and totals, which batch and file controls have one after the other from `first` on.
    fn compare(&self, control: &Line<'_>, first: usize) -> Result<(), ReadError> {
        let (debits, credits) = (first + 10, first + 22);
        control.compare((first, first + 9), "entry hash", Total(self.hash % HASH_MODULUS))?;
        control.compare((debits, debits + 11), "total of debits", self.debits)?;
        control.compare((credits, credits + 11), "total of credits", self.credits)
    }
}

struct Reader<'a> {
    lines: Lines<'a>,
    scale: &'a dyn Fn(&str) -> Option<u32>,
    answer: Answer,
}

impl Reader<'_> {
    /// The records from a batch's header to its control.
    fn batch(&mut self, header: &Line<'_>) -> Result<Sums, ReadError> {
        let class = header.trimmed(51, 53);
        if matches!(class, "IAT" | "ADV") {
            return Err(ReadError::Class { line: header.number, class: class.into() });
        }
        let mut sums = Sums::default();
        while let Some(entry) = self.lines.take_if(b'6') {
            self.entry(&entry, &mut sums)?;
        }
        let control = self.lines.take("an entry or the batch's control")?;
        if control.kind() != b'8' {
            return Err(control.order("an entry or the batch's control"));
        }
        // Banks put the company's identification to either side of its field.
        for (field, in_header, in_control) in [
            ("service class", (2, 4), (2, 4)),
            ("company identification", (41, 50), (45, 54)),
            ("originating bank", (80, 87), (80, 87)),
            ("batch number", (88, 94), (88, 94)),
        ] {
            let stated = header.trimmed(in_header.0, in_header.1);
            if stated != control.trimmed(in_control.0, in_control.1) {
                return Err(ReadError::Differs { line: control.number, field });
            }
        }
        control.compare((5, 10), "number of entries and addenda", Total(sums.records))?;
        sums.compare(&control, 11)?;
        Ok(sums)
    }

    /// One entry with its addenda.
    fn entry(&mut self, line: &Line<'_>, sums: &mut Sums) -> Result<(), ReadError> {
        let entry = Entry::of(line)?;
        sums.records += 1;
        sums.hash += entry.hash;
        let side = if entry.debit { &mut sums.debits } else { &mut sums.credits };
        *side = side.plus(entry.cents);
        let mut message = None;
        while let Some(addenda) = self.lines.take_if(b'7') {
            sums.records += 1;
            if matches!(addenda.at(2, 3), "98" | "99") && message.replace(addenda).is_some() {
                return Err(addenda.order("the only record 98 or 99 of its entry"));
            }
        }
        let message = message.ok_or(ReadError::NotAReturn { line: line.number })?;
        let trace = message.digits_at(7, 21, "original trace number")?;
        if message.at(2, 3) == "98" {
            self.change(&entry, &message, trace)
        } else {
            self.came_back(&entry, &message, trace)
        }
    }

    fn change(
        &mut self,
        entry: &Entry<'_>,
        message: &Line<'_>,
        trace: &str,
    ) -> Result<(), ReadError> {
        let code = message.at(4, 6);
        let number = codes::number('C', code)
            .ok_or_else(|| message.wrong("change code", "C and two digits"))?;
        if entry.cents > Total::ZERO {
            return Err(ReadError::Field {
                line: entry.line,
                field: "amount",
                expected: "zero, as a change moves no money",
            });
        }
        let refused = codes::is_refusal(number);
        let kind = if refused { NoteKind::ChangeRefused } else { NoteKind::Change };
        let data = message.trimmed(36, 64);
        let mut note = entry.note(kind, trace, code, codes::change_text(number), data);
        if !refused {
            note.corrected = codes::corrected_fields(number, data);
        }
        self.answer.notes.push(note);
        Ok(())
    }

    fn came_back(
        &mut self,
        entry: &Entry<'_>,
        message: &Line<'_>,
        trace: &str,
    ) -> Result<(), ReadError> {
        let code = message.at(4, 6);
        let number = codes::number('R', code)
            .ok_or_else(|| message.wrong("return reason code", "R and two digits"))?;
        let (text, data) = (codes::return_text(number), message.trimmed(36, 79));
        let mut note = |kind| self.answer.notes.push(entry.note(kind, trace, code, text, data));
        match codes::return_kind(number) {
            ReturnKind::Dishonored => note(NoteKind::Dishonored),
            ReturnKind::Contested => note(NoteKind::Contested),
            ReturnKind::Return if entry.id.starts_with("OFFSET-") => note(NoteKind::Offset),
            ReturnKind::Return if !is_rail_id(entry.id) => note(NoteKind::Foreign),
            ReturnKind::Return => {
                let scale = (self.scale)(entry.id);
                let amount = scale.map(|scale| Cents::of_scale(scale).to_units(entry.cents));
                match amount {
                    Some(None) => note(NoteKind::Amount),
                    None | Some(Some(_)) => {
                        let mut reason = format!("{code} {text}");
                        if !data.is_empty() {
                            reason.push_str(": ");
                            reason.push_str(data);
                        }
                        self.answer.reports.push(LegReport {
                            key: entry.id.to_owned(),
                            word: LegWord::Returned,
                            reference: format!("return {} of trace {trace}", entry.trace),
                            reason,
                            amount: amount.flatten(),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// What may stand behind the control: nothing, or records of nines until the last block is
    /// full.
    fn filler(&mut self, records: usize, blocks: usize) -> Result<(), ReadError> {
        let mut fillers = 0;
        while let Some(line) = self.lines.peek() {
            if !line.is_filler() || fillers == blocks * 10 - records {
                return Err(line.order("the end of the file"));
            }
            self.lines.take("filler")?;
            fillers += 1;
        }
        if fillers != 0 && records + fillers != blocks * 10 {
            return Err(ReadError::Truncated { line: records + fillers, expected: "filler" });
        }
        Ok(())
    }
}

/// An entry of a return file.
struct Entry<'a> {
    line: usize,
    debit: bool,
    cents: Total,
    /// First eight digits of the routing number.
    hash: u128,
    id: &'a str,
    trace: &'a str,
}

impl<'a> Entry<'a> {
    fn of(line: &Line<'a>) -> Result<Self, ReadError> {
        // Returns and changes have 21 and 26 (checking), 31 and 36 (savings) and so on, but banks
        // leave the code of the entry that was sent, too: the second digit tells the direction.
        let debit = match line.at(2, 3).as_bytes() {
            [b'2'..=b'5', b'0'..=b'4'] => false,
            [b'2'..=b'5', b'5'..=b'9'] => true,
            [..] => return Err(line.wrong("transaction code", "20 to 59")),
        };
        let routing = line.digits_at(4, 12, "routing number")?;
        if !is_checked(routing) {
            return Err(line.wrong("routing number", "nine digits with a check digit"));
        }
        Ok(Self {
            line: line.number,
            debit,
            cents: line.number_at(30, 39, "amount")?,
            hash: line.number_at(4, 11, "routing number")?.0,
            id: line.trimmed(40, 54),
            trace: line.digits_at(80, 94, "trace number")?,
        })
    }

    fn note(
        &self,
        kind: NoteKind,
        original_trace: &str,
        code: &str,
        text: &'static str,
        data: &str,
    ) -> Note {
        Note {
            kind,
            line: self.line,
            id: self.id.to_owned(),
            original_trace: original_trace.to_owned(),
            trace: self.trace.to_owned(),
            code: code.to_owned(),
            text,
            cents: self.cents,
            data: data.to_owned(),
            corrected: Vec::new(),
        }
    }
}
