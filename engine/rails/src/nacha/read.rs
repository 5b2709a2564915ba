//! Return files: which legs came back and why, and what the bank wants changed.
//!
//! Owns the structure of such a file and all its sums, which must hold to the last digit: a damaged
//! or cut file is refused whole. What is somebody else's is passed over, and added up all the same.
//! Never decides what a return means for a leg.
//!
//! A return says that the entry does not stand, whether or not it had settled before. The engine
//! makes `REJECTED` of it for a leg that was not confirmed yet, and `RETURNED` for one that was.
//! There is no other word: ACH confirms nothing (see `settled_on`). Nothing else in a return file
//! changes a leg; it becomes a note for the operator.

use super::account::is_checked;
use super::codes::{self, ReturnKind};
use super::is_rail_id;
use super::lines::{Line, Lines, ReadError};
use super::money::Cents;
use super::note::{Note, NoteKind, Notes};
use crate::answers::Known;
use std::io::BufRead;
use tallystick_ledger::limits::ANSWER_REPORTS_MAX;
use tallystick_ledger::types::Total;

/// Digits of an entry hash: what is above them is left away.
const HASH_MODULUS: u128 = 10_000_000_000;
/// The class of an operator's own accounting, whose records have another form.
const ACCOUNTING: &str = "ADV";

/// An entry of a leg that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// The leg's `rail_id`.
    pub key: String,
    /// Whether what came back had taken money from the party: the entry of a pay-in.
    pub is_debit: bool,
    /// Both trace numbers.
    pub reference: String,
    /// Code, and what it says.
    pub reason: String,
    /// What the bank adds: for the note beside the answer, and never to be journaled.
    pub words: String,
    /// In asset units, if there is such a leg.
    pub amount: Option<Total>,
}

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Legs that came back, in the file's order. A leg that the bank names twice is here twice.
    pub reports: Vec<Return>,
    /// What changes no leg, for the operator.
    pub notes: Notes,
}

/// Reads a return file, or several behind each other. Amounts are reported in the units of the
/// asset of the leg, if there is such a leg; without one the report has no amount.
///
/// # Errors
/// `ReadError` with the line and what is wrong there.
pub fn read(input: impl BufRead, known: Known<'_>) -> Result<Answer, ReadError> {
    let (lines, answer) = (Lines::open(input)?, Answer::default());
    let mut reader = Reader { lines, known, answer, unreturned: None, is_answer: false };
    if reader.lines.peek()?.is_none() {
        return Err(ReadError::Empty);
    }
    while reader.lines.peek()?.is_some() {
        reader.file()?;
    }
    match reader.unreturned {
        Some(line) if !reader.is_answer => Err(ReadError::NotAReturn { line }),
        Some(_) | None => Ok(reader.answer),
    }
}

fn check_header(header: &Line) -> Result<(), ReadError> {
    if header.at(35, 40) != "094101" {
        return Err(header.wrong("record size, blocking factor and format", "094101"));
    }
    header.digits_at(24, 29, "date").map(|_| ())
}

fn count(number: usize) -> Total {
    Total(u128::try_from(number).expect("a length fits 128 bits"))
}

/// What the records of a batch or file add up to. 64 bits of records of 12 digits cannot overflow.
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

    /// Hash and totals, which batch and file controls have one after the other from `first` on; a
    /// total has so many digits.
    fn compare(&self, control: &Line, first: usize, digits: usize) -> Result<(), ReadError> {
        let debits = first + 10;
        let credits = debits + digits;
        control.compare((first, first + 9), "entry hash", Total(self.hash % HASH_MODULUS))?;
        control.compare((debits, credits - 1), "total of debits", self.debits)?;
        control.compare((credits, credits + digits - 1), "total of credits", self.credits)
    }
}

/// Digits of a total: the accounting of operators has longer ones.
fn total_digits(is_accounting: bool) -> usize {
    if is_accounting { 20 } else { 12 }
}

struct Reader<'a, R> {
    lines: Lines<R>,
    known: Known<'a>,
    answer: Answer,
    /// The first line of an entry with a leg's number that is neither returned nor corrected.
    unreturned: Option<usize>,
    /// Whether anything of ours came back: then it is no file that goes to the bank. Whoever was
    /// paid knows the number of the entry, and may write it into one of its own; that takes no
    /// return from us.
    is_answer: bool,
}

impl<R: BufRead> Reader<'_, R> {
    /// One file, from its header to what fills its last block. Some have neither header nor
    /// control.
    fn file(&mut self) -> Result<(), ReadError> {
        let header = self.lines.take_if(b'1')?;
        if let Some(header) = &header {
            check_header(header)?;
        }
        let first = self.lines.peek()?;
        if let Some(line) = first.filter(|line| header.is_none() && line.kind() != b'5') {
            return Err(line.order("a file header"));
        }
        let (mut total, mut batches, mut is_accounting) = (Sums::default(), 0, false);
        let mut records = 1;
        while let Some(header) = self.lines.take_if(b'5')? {
            let sums = self.batch(&header)?;
            total.add(&sums);
            batches += 1;
            records += 2 + usize::try_from(sums.records).expect("records fit memory");
            is_accounting |= header.at(51, 53) == ACCOUNTING;
        }
        if let Some(first) = first.filter(|_| header.is_none()) {
            // A control without its header: something was lost in front.
            if self.lines.peek()?.is_some() {
                return Err(first.order("a file header"));
            }
            let line = first.number;
            self.answer.notes.add(Note { kind: NoteKind::Bare, line, ..Note::new() });
            return Ok(());
        }
        let control = self.lines.take("a batch header or the file's control")?;
        if control.kind() != b'9' || control.is_filler() {
            return Err(control.order("a batch header or the file's control"));
        }
        control.compare((2, 7), "number of batches", Total(batches))?;
        control.compare((8, 13), "number of blocks", count((records + 1).div_ceil(10)))?;
        control.compare((14, 21), "number of entries and addenda", Total(total.records))?;
        total.compare(&control, 22, total_digits(is_accounting))?;
        while self.lines.peek()?.is_some_and(|line| line.is_filler()) {
            self.lines.take("what fills the block")?;
        }
        match self.lines.peek()? {
            Some(line) if line.kind() != b'1' => Err(line.order("the end of the file")),
            Some(_) | None => Ok(()),
        }
    }

    /// The records from a batch's header to its control.
    fn batch(&mut self, header: &Line) -> Result<Sums, ReadError> {
        let class = header.trimmed(51, 53);
        let is_accounting = class == ACCOUNTING;
        let (mut sums, mut others) = (Sums::default(), 0);
        while let Some(entry) = self.lines.take_if(b'6')? {
            others += self.entry(&entry, header, &mut sums)?;
        }
        let control = self.lines.take("an entry or the batch's control")?;
        if control.kind() != b'8' {
            return Err(control.order("an entry or the batch's control"));
        }
        for (field, in_header, in_control) in [
            ("service class", (2, 4), (2, 4)),
            ("company identification", (41, 50), (45, 54)),
            ("originating bank", (80, 87), (80, 87)),
            ("batch number", (88, 94), (88, 94)),
        ] {
            // In the accounting of operators a total stands there.
            if is_accounting && in_control.0 == 45 {
                continue;
            }
            // Banks put a company's identification to either side of its field, or leave it out.
            let stated = header.trimmed(in_header.0, in_header.1);
            let again = control.trimmed(in_control.0, in_control.1);
            if !again.is_empty() && stated != again {
                return Err(ReadError::Differs { line: control.number, field });
            }
        }
        control.compare((5, 10), "number of entries and addenda", Total(sums.records))?;
        sums.compare(&control, 11, total_digits(is_accounting))?;
        if others > 0 {
            let (kind, line, code) = (NoteKind::Others, header.number, class.to_owned());
            self.answer.notes.add(Note { kind, line, code, entries: others, ..Note::new() });
        }
        Ok(sums)
    }

    /// One entry with its addenda. Gives 1 for one that is neither returned nor corrected, and none
    /// of ours.
    fn entry(&mut self, line: &Line, header: &Line, sums: &mut Sums) -> Result<u64, ReadError> {
        let entry = Entry::of(line, header)?;
        sums.records += 1;
        sums.hash += entry.hash;
        let side = if entry.debit { &mut sums.debits } else { &mut sums.credits };
        *side = side.plus(entry.cents);
        let (mut message, mut again) = (None, None);
        while let Some(addenda) = self.lines.take_if(b'7')? {
            sums.records += 1;
            if !matches!(addenda.at(2, 3), "98" | "99") {
                continue;
            }
            // What is said of a return stands behind the return.
            if message.is_none() || is_about_a_return(&addenda) {
                message = Some(addenda);
            } else {
                again = Some(addenda);
            }
        }
        let is_ours = is_rail_id(entry.id) || entry.id.starts_with("OFFSET-");
        let Some(message) = message else {
            if !is_ours || (self.known.scale)(entry.id).is_none() {
                return Ok(1);
            }
            self.unreturned.get_or_insert(line.number);
            self.answer.notes.add(entry.note(NoteKind::Unreturned, entry.trace, "", "", ""));
            return Ok(0);
        };
        if !is_ours {
            let note = self.others(&entry, &message);
            self.is_answer |= note.kind == NoteKind::Unnamed;
            self.answer.notes.add(note);
            return Ok(0);
        }
        entry.check(line)?;
        if let Some(again) = again {
            return Err(again.order("the only record 98 or 99 of its entry"));
        }
        self.is_answer = true;
        let trace = message.digits_at(7, 21, "original trace number")?;
        if message.at(2, 3) == "98" {
            self.change(&entry, &message, trace)?;
        } else {
            self.came_back(&entry, &message, trace)?;
        }
        Ok(0)
    }

    /// A return or change of an entry whose identification number is none of ours.
    fn others(&self, entry: &Entry<'_>, message: &Line) -> Note {
        let is_own = is_batch_start(entry.within) && (self.known.file)(entry.within);
        let kind = if is_own { NoteKind::Unnamed } else { NoteKind::Foreign };
        let code = message.at(4, 6);
        let text = codes::number('R', code).map(codes::return_text);
        let text = text.or_else(|| codes::number('C', code).map(codes::change_text));
        entry.note(kind, message.at(7, 21), code, text.unwrap_or("unknown reason code"), "")
    }

    fn change(&mut self, entry: &Entry<'_>, message: &Line, trace: &str) -> Result<(), ReadError> {
        let code = message.at(4, 6);
        let number = codes::number('C', code)
            .ok_or_else(|| message.wrong("change code", "C and two digits"))?;
        let refused = codes::is_refusal(number);
        let kind = if refused { NoteKind::ChangeRefused } else { NoteKind::Change };
        let data = message.trimmed(36, 64);
        let mut note = entry.note(kind, trace, code, codes::change_text(number), data);
        if !refused {
            note.corrected = codes::corrected_fields(number, data);
        }
        self.answer.notes.add(note);
        Ok(())
    }

    fn came_back(
        &mut self,
        entry: &Entry<'_>,
        message: &Line,
        trace: &str,
    ) -> Result<(), ReadError> {
        let code = message.at(4, 6);
        let number = codes::number('R', code)
            .ok_or_else(|| message.wrong("return reason code", "R and two digits"))?;
        let (text, data) = (codes::return_text(number), message.trimmed(36, 79));
        let mut note = |kind| self.answer.notes.add(entry.note(kind, trace, code, text, data));
        match codes::return_kind(number) {
            ReturnKind::Dishonored => note(NoteKind::Dishonored),
            ReturnKind::Contested => note(NoteKind::Contested),
            ReturnKind::Return if entry.id.starts_with("OFFSET-") => note(NoteKind::Offset),
            ReturnKind::Return => {
                let scale = (self.known.scale)(entry.id);
                let amount = scale.map(|scale| Cents::of_scale(scale).to_units(entry.cents));
                match amount {
                    Some(None) => note(NoteKind::Amount),
                    None | Some(Some(_)) => {
                        if self.answer.reports.len() == ANSWER_REPORTS_MAX {
                            return Err(ReadError::TooMany);
                        }
                        self.answer.reports.push(Return {
                            key: entry.id.to_owned(),
                            is_debit: entry.debit,
                            reference: format!("return {} of trace {trace}", entry.trace),
                            reason: format!("{code} {text}"),
                            words: data.to_owned(),
                            amount: amount.flatten(),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether a record 99 is about a return, and none itself.
fn is_about_a_return(message: &Line) -> bool {
    let number = codes::number('R', message.at(4, 6)).filter(|_| message.at(2, 3) == "99");
    number.is_some_and(|number| match codes::return_kind(number) {
        ReturnKind::Dishonored | ReturnKind::Contested => true,
        ReturnKind::Return => false,
    })
}

/// Whether a header's field for the company's own use may hold the beginning of a batch's id.
pub(super) fn is_batch_start(text: &str) -> bool {
    text.len() == BATCH_START_CHARS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Characters of a batch's id in the header of a batch of entries.
const BATCH_START_CHARS: usize = 16;

/// An entry of a return file.
struct Entry<'a> {
    line: usize,
    debit: bool,
    cents: Total,
    /// First eight digits of the routing number.
    hash: u128,
    id: &'a str,
    /// What its batch's header has for the company's own use.
    within: &'a str,
    trace: &'a str,
}

impl<'a> Entry<'a> {
    /// Reads what every entry must have to be added up.
    fn of(line: &'a Line, header: &'a Line) -> Result<Self, ReadError> {
        let is_accounting = header.at(51, 53) == ACCOUNTING;
        // Returns and changes have 21 and 26 (checking), 31 and 36 (savings) and so on, but banks
        // leave the code of the entry that was sent, too: the second digit tells the direction.
        let debit = match line.at(2, 3).as_bytes() {
            [b'8', odd] if is_accounting => odd % 2 == 0,
            [b'2'..=b'5', b'0'..=b'4'] => false,
            [b'2'..=b'5', b'5'..=b'9'] => true,
            [..] => return Err(line.wrong("transaction code", "20 to 59")),
        };
        let cents = if is_accounting { (28, 39) } else { (30, 39) };
        Ok(Self {
            line: line.number,
            debit,
            cents: line.number_at(cents.0, cents.1, "amount")?,
            hash: line.number_at(4, 11, "routing number")?.0,
            id: if is_accounting { "" } else { line.trimmed(40, 54) },
            within: header.trimmed(21, 40),
            trace: line.at(80, 94),
        })
    }

    /// What an entry of ours must be beside.
    fn check(&self, line: &Line) -> Result<(), ReadError> {
        if !is_checked(line.digits_at(4, 12, "routing number")?) {
            return Err(line.wrong("routing number", "nine digits with a check digit"));
        }
        line.digits_at(80, 94, "trace number").map(|_| ())
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
            within: self.within.to_owned(),
            original_trace: original_trace.to_owned(),
            trace: self.trace.to_owned(),
            code: code.to_owned(),
            text,
            cents: self.cents,
            data: data.to_owned(),
            ..Note::new()
        }
    }
}
