//! The file: records of a balanced ACH file with CCD entries.
//!
//! Owns its structure and sums. A leg is one entry and one addenda record; each batch of entries
//! ends with one offset entry to or from the clearing account, so that its debits equal its
//! credits. Written from front to back, never held in memory. `docs/RAIL-NACHA.md` says why each
//! field is what it is.

use super::account::{
    BANK_NAME_CHARS, BankAccount, COMPANY_ID_CHARS, COMPANY_NAME_CHARS, Clearing,
};
use super::calendar::utc;
use super::money::Cents;
use super::plan::{FilePart, Flow};
use super::record::Record;
use super::{rail_id, text};
use jiff::civil::Date;
use std::io::{self, Write};
use tallystick_ledger::limits::ACH_NAME_CHARS as RECEIVER_CHARS;
use tallystick_ledger::types::{PartyId, Total};
use tallystick_ledger::{Leg, OpenBatch};

/// Debits and credits in one batch.
const MIXED: u128 = 200;
/// Corporate credit or debit: an entry between companies, with at most one addenda record.
const CLASS: &str = "CCD";
/// Characters of the payment related information in an addenda record.
const INFORMATION_CHARS: usize = 80;
/// Records of a block.
const BLOCK_RECORDS: u64 = 10;
/// Digits of an entry hash: what is above them is left away.
const HASH_MODULUS: u64 = 10_000_000_000;

/// Writes one file of the batch.
///
/// Panics when the batch contradicts itself: a file that does not say what is owed must not exist.
///
/// # Errors
/// What `out` fails with.
pub fn render(content: &OpenBatch, part: &FilePart, out: &mut dyn Write) -> io::Result<()> {
    assert_eq!(part.batch(), content.head.id, "a part is rendered with its own batch");
    let legs = &content.legs[part.legs()];
    let mut file = File::new(content, part, out)?;
    file.header()?;
    let mut total = Sums::default();
    let mut batches = 0;
    for run in part.batches(content) {
        batches += 1;
        total.add(&file.batch(batches, &legs[run])?);
    }
    assert_eq!(total.debits, total.credits, "a file is balanced");
    assert_eq!(total.debits, file.cents.sum(legs), "the file moves what its legs say");
    file.control(batches, &total)
}

/// What controls say of the records before them.
#[derive(Debug, Default)]
struct Sums {
    /// Entries and addenda records.
    records: u64,
    /// Sum of the first eight digits of the entries' routing numbers.
    hash: u64,
    debits: Total,
    credits: Total,
}

impl Sums {
    fn entry(&mut self, routing: &str, debit: bool, cents: Total) {
        self.records += 1;
        self.hash += routing[..8].parse::<u64>().expect("a checked routing number has nine digits");
        let side = if debit { &mut self.debits } else { &mut self.credits };
        *side = side.plus(cents);
    }

    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.hash += other.hash;
        self.debits = self.debits.plus(other.debits);
        self.credits = self.credits.plus(other.credits);
    }

    /// Hash and totals, which batch and file controls have in the same order.
    fn write(&self, record: &mut Record) {
        record
            .number(10, u128::from(self.hash % HASH_MODULUS))
            .number(12, self.debits.0)
            .number(12, self.credits.0);
    }
}

/// A file while it is written.
struct File<'a> {
    content: &'a OpenBatch,
    part: &'a FilePart,
    out: &'a mut dyn Write,
    cents: Cents,
    clearing: Clearing<'a>,
    /// Records written.
    records: u64,
    /// Sequence of the last trace number; each entry has the next one.
    trace: u64,
    /// The addenda records' text behind the key.
    information: String,
}

impl<'a> File<'a> {
    fn new(content: &'a OpenBatch, part: &'a FilePart, out: &'a mut dyn Write) -> io::Result<Self> {
        let clearing = Clearing::read(&content.head.policy.clearing).map_err(io::Error::other)?;
        let batch = super::super::short_id(content).to_ascii_uppercase();
        Ok(Self {
            content,
            part,
            out,
            cents: super::amounts(content),
            clearing,
            records: 0,
            trace: 0,
            information: format!("*{}*{batch}\\", clearing.company_id),
        })
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        self.records += 1;
        record.write(self.out)
    }

    fn header(&mut self) -> io::Result<()> {
        let cut = utc(self.content.head.cut_at);
        // Ten characters: a routing number has a blank before it, what a bank assigns may fill all.
        let origin = format!("{:>10}", self.clearing.immediate_origin);
        let mut record = Record::new(b'1');
        record
            .text(2, "01")
            .text(10, &format!(" {}", self.clearing.immediate_destination))
            .text(10, &origin)
            .text(6, &day(cut.date()))
            .text(4, &format!("{:02}{:02}", cut.hour(), cut.minute()))
            .text(1, &self.part.modifier().to_string())
            .text(6, "094101")
            .text(BANK_NAME_CHARS, self.clearing.destination_name)
            .text(BANK_NAME_CHARS, self.clearing.origin_name)
            .blank(8);
        self.write(&record)
    }

    /// One batch of entries, balanced by the offset entry at its end.
    fn batch(&mut self, number: u64, legs: &[Leg]) -> io::Result<Sums> {
        let short = super::super::short_id(self.content).to_ascii_uppercase();
        let mut record = Record::new(b'5');
        record
            .number(3, MIXED)
            .text(COMPANY_NAME_CHARS, self.clearing.company_name)
            .text(20, &short)
            .text(COMPANY_ID_CHARS, self.clearing.company_id)
            .text(3, CLASS)
            .text(10, self.clearing.entry_description)
            .blank(6)
            .text(6, &day(self.part.effective()))
            .blank(3)
            .text(1, "1")
            .text(8, self.clearing.odfi)
            .number(7, number.into());
        self.write(&record)?;
        let mut sums = Sums::default();
        for leg in legs {
            self.leg(leg, &mut sums)?;
        }
        self.offset(number, &mut sums)?;
        assert_eq!(sums.debits, sums.credits, "a batch of entries is balanced");
        let mut record = Record::new(b'8');
        record.number(3, MIXED).number(6, sums.records.into());
        sums.write(&mut record);
        record
            .text(COMPANY_ID_CHARS, self.clearing.company_id)
            .blank(19 + 6)
            .text(8, self.clearing.odfi)
            .number(7, number.into());
        self.write(&record)?;
        Ok(sums)
    }

    fn leg(&mut self, leg: &Leg, sums: &mut Sums) -> io::Result<()> {
        let debit = self.part.flow() == Flow::PayIns;
        let party = if debit { leg.payment.from } else { leg.payment.to };
        assert_eq!(debit, leg.payment.to == PartyId::CLEARING, "a file has legs of one kind");
        let account = self.content.accounts.get(&party);
        let missing = || io::Error::other(format!("the batch holds no account of {party}"));
        let account = account.ok_or_else(missing)?;
        let entry = Entry {
            account: BankAccount::read(&account.fields).map_err(io::Error::other)?,
            debit,
            cents: self.cents.exact(leg.payment.amount),
            id: &rail_id(&leg.key),
            name: &text::name(&account.name, RECEIVER_CHARS),
            addenda: true,
        };
        self.entry(&entry, sums)?;
        // A TRN segment, which banks show: trace type, the leg's key, who assigned it, the batch.
        let information = format!("TRN*1*{}{}", leg.key, self.information);
        let mut record = Record::new(b'7');
        record
            .text(2, "05")
            .text(INFORMATION_CHARS, &information)
            .number(4, 1)
            .number(7, self.trace.into());
        sums.records += 1;
        self.write(&record)
    }

    /// The clearing account's side of a batch of entries.
    fn offset(&mut self, number: u64, sums: &mut Sums) -> io::Result<()> {
        let debit = self.part.flow() == Flow::PayOuts;
        let entry = Entry {
            account: self.clearing.account,
            debit,
            cents: if debit { sums.credits } else { sums.debits },
            id: &format!("OFFSET-{number:07}"),
            name: self.clearing.company_name,
            addenda: false,
        };
        self.entry(&entry, sums)
    }

    fn entry(&mut self, entry: &Entry<'_>, sums: &mut Sums) -> io::Result<()> {
        self.trace += 1;
        sums.entry(entry.account.routing, entry.debit, entry.cents);
        let mut record = Record::new(b'6');
        record
            .text(2, entry.code())
            .text(9, entry.account.routing)
            .text(17, entry.account.number)
            .number(10, entry.cents.0)
            .text(15, entry.id)
            .text(RECEIVER_CHARS, entry.name)
            .blank(2)
            .number(1, entry.addenda.into())
            .text(8, self.clearing.odfi)
            .number(7, self.trace.into());
        self.write(&record)
    }

    /// The file's control, and records of nines until the last block is full.
    fn control(&mut self, batches: u64, total: &Sums) -> io::Result<()> {
        let blocks = (self.records + 1).div_ceil(BLOCK_RECORDS);
        let mut record = Record::new(b'9');
        record.number(6, batches.into()).number(6, blocks.into()).number(8, total.records.into());
        total.write(&mut record);
        record.blank(39);
        self.write(&record)?;
        let mut filler = Record::new(b'9');
        filler.text(93, &"9".repeat(93));
        while self.records < blocks * BLOCK_RECORDS {
            self.write(&filler)?;
        }
        Ok(())
    }
}

/// One entry.
struct Entry<'a> {
    account: BankAccount<'a>,
    /// Whether money leaves the account.
    debit: bool,
    cents: Total,
    id: &'a str,
    name: &'a str,
    addenda: bool,
}

impl Entry<'_> {
    /// The transaction code.
    fn code(&self) -> &'static str {
        match (self.account.savings, self.debit) {
            (false, false) => "22",
            (false, true) => "27",
            (true, false) => "32",
            (true, true) => "37",
        }
    }
}

/// A date in six digits.
fn day(date: Date) -> String {
    format!("{:02}{:02}{:02}", date.year().rem_euclid(100), date.month(), date.day())
}
