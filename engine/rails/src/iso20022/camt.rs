//! camt.052, camt.053 and camt.054: what was booked on an account.
//!
//! Owns what an entry means for a leg. Only booked entries count, and of those only transactions
//! that quote a leg's key: a debit is a payment made, a credit a pay-in, and either of them the
//! other way round when it is marked as a return or reversal. Sums for many transactions that are
//! not listed prove none of them. A report of the day (camt.052) proves nothing: it may change
//! until the day is over. `docs/RAIL-ISO20022.md` says it all in one table.

use super::super::status::LegWord;
use super::answer::{
    Direction, Kind, Money, Reason, Report, Scope, SharedEntry, Summary, Visit, bounded,
};
use super::details::{
    Batch, Code, Detail, Sums, batch, detail, indicator, is_credit, sums, transaction_code,
};
use super::ids;
use super::moved::{Listing, Moved};
use super::note::Note;
use super::parts::{header, money};
use super::problem::{Problem, ReadError, held};
use super::quoted::Quoted;
use super::xml::Xml;
use crate::answers::Known;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::BufRead;
use tallystick_ledger::limits::{ANSWER_GUESSES_MAX, ANSWER_REPORTS_MAX};

/// One line of an account.
#[derive(Default)]
pub struct Entry {
    pub amount: Option<Money>,
    pub credit: Option<bool>,
    pub reversal: Option<bool>,
    status: Option<String>,
    pub reference: Option<String>,
    pub code: Code,
    pub sums: Sums,
    /// What is said of the transactions that are being read.
    batch: Batch,
    /// How many it says that it has, if it says so.
    claimed: Option<u64>,
    /// Files of ours of which it lists no transaction.
    unlisted: BTreeSet<String>,
    /// What is said of it in words.
    quoted: Quoted,
    /// The first value in it that cannot be.
    fault: Option<ReadError>,
}

/// Where what is read goes, and what is asked about it.
pub struct To<'a, 'v, E> {
    pub summary: &'a mut Summary,
    pub known: Known<'a>,
    pub visit: Visit<'v, E>,
}

/// Reads the body of a statement or notification: its accounts, each an element `each`.
pub fn accounts<R: BufRead, E: From<ReadError>>(
    xml: &mut Xml<R>,
    each: &'static str,
    to: &mut To<'_, '_, E>,
) -> Result<(), E> {
    let mut head = None;
    while let Some(name) = xml.child()? {
        if name == "GrpHdr" {
            xml.once(&head, name)?;
            head = Some(header(xml, to.summary)?);
        } else if name == each {
            account(xml, to)?;
        } else {
            xml.skip()?;
        }
    }
    head.ok_or_else(|| xml.missing("GrpHdr", "the message").into())
}

fn account<R: BufRead, E: From<ReadError>>(
    xml: &mut Xml<R>,
    to: &mut To<'_, '_, E>,
) -> Result<(), E> {
    let mut id = None;
    while let Some(name) = xml.child()? {
        match name {
            "Acct" => {
                xml.once(&id, name)?;
                id = Some(account_id(xml)?);
            }
            "Ntry" => match &id {
                Some(id) => entry(xml, id, to)?,
                None => return Err(xml.missing("Acct", "the account so far").into()),
            },
            _ => xml.skip()?,
        }
    }
    Ok(())
}

/// The account's IBAN or other id.
fn account_id<R: BufRead>(xml: &mut Xml<R>) -> Result<String, ReadError> {
    let mut id = None;
    while let Some(name) = xml.child()? {
        if name != "Id" {
            xml.skip()?;
            continue;
        }
        while let Some(name) = xml.child()? {
            match name {
                "IBAN" => xml.fill(&mut id, name)?,
                "Othr" => {
                    while let Some(name) = xml.child()? {
                        match name {
                            "Id" => xml.fill(&mut id, name)?,
                            _ => xml.skip()?,
                        }
                    }
                }
                _ => xml.skip()?,
            }
        }
    }
    // An account that is not named is no account that can be compared.
    let id = id.filter(|id: &String| id.contains(|c: char| c.is_ascii_alphanumeric()));
    id.map(|id| bounded(&id)).ok_or_else(|| xml.missing("Id", "Acct"))
}

fn entry<R: BufRead, E: From<ReadError>>(
    xml: &mut Xml<R>,
    account: &str,
    to: &mut To<'_, '_, E>,
) -> Result<(), E> {
    let mut entry = Entry::default();
    // Its number, should it have to be shared out.
    let mut listed = Listed { account, place: to.summary.shared.len(), ..Listed::default() };
    while let Some(name) = xml.child()? {
        match name {
            "Amt" => {
                xml.once(&entry.amount, name)?;
                entry.amount = held(money(xml, name), &mut entry.fault)?;
            }
            "CdtDbtInd" => {
                xml.once(&entry.credit, name)?;
                entry.credit = held(is_credit(xml), &mut entry.fault)?;
            }
            "RvslInd" => {
                xml.once(&entry.reversal, name)?;
                entry.reversal = held(indicator(xml), &mut entry.fault)?;
            }
            // A text until version 07, a choice from then on.
            "Sts" => {
                xml.once(&entry.status, name)?;
                entry.status = xml.code(name)?;
            }
            "AcctSvcrRef" => xml.fill(&mut entry.reference, name)?,
            "BkTxCd" => transaction_code(xml, &mut entry.code)?,
            "AmtDtls" => sums(xml, &mut entry.sums, &mut entry.fault)?,
            "AddtlNtryInf" => entry.quoted.add(&xml.text(name)?),
            "NtryDtls" => {
                entry.look_through(xml);
                details(xml, &mut entry, &mut listed, to)?;
            }
            _ => xml.skip()?,
        }
    }
    entry.look_through(xml);
    if entry.is_read() {
        return listed.finish(entry, to);
    }
    to.summary.unbooked += 1;
    Ok(())
}

/// Transactions of an entry, listed or not. An entry may have several such parts.
fn details<R: BufRead, E: From<ReadError>>(
    xml: &mut Xml<R>,
    entry: &mut Entry,
    listed: &mut Listed<'_>,
    to: &mut To<'_, '_, E>,
) -> Result<(), E> {
    let before = listed.count;
    entry.batch = Batch::default();
    while let Some(name) = xml.child()? {
        match name {
            "Btch" => {
                entry.batch = batch(xml)?;
                if let Some(count) = entry.batch.count {
                    entry.claimed = Some(entry.claimed.unwrap_or_default().saturating_add(count));
                }
            }
            "TxDtls" if entry.is_read() => listed.add(entry, detail(xml)?, to)?,
            _ => xml.skip()?,
        }
    }
    if listed.count == before && is_own(&entry.batch.within, to.known) {
        entry.unlisted.insert(std::mem::take(&mut entry.batch.within));
    }
    Ok(())
}

/// The transactions that an entry lists.
#[derive(Default)]
struct Listed<'a> {
    account: &'a str,
    place: usize,
    /// The last one is kept back: only when it stays alone has it what the entry says of itself.
    last: Option<(Detail, String)>,
    count: u64,
    /// What they sum to.
    sums: Listing,
    /// What they say of legs, until it is known whether the entry covers them all.
    told: Vec<Report>,
    /// Whether some of them have no sum but a share of the entry's.
    shares: bool,
    keys: Vec<String>,
    /// Whether one of them is about a leg or a file of ours, or may be.
    ours: bool,
    /// The first value in them that cannot be.
    fault: Option<ReadError>,
}

impl Listed<'_> {
    fn add<E: From<ReadError>>(
        &mut self,
        entry: &Entry,
        detail: Detail,
        to: &mut To<'_, '_, E>,
    ) -> Result<(), E> {
        self.count += 1;
        match self.last.replace((detail, entry.batch.within.clone())) {
            Some(before) => self.tell(entry, before, false, to),
            None => Ok(()),
        }
    }

    fn tell<E: From<ReadError>>(
        &mut self,
        entry: &Entry,
        (mut detail, within): (Detail, String),
        alone: bool,
        to: &mut To<'_, '_, E>,
    ) -> Result<(), E> {
        self.fault = self.fault.take().or(detail.fault.take());
        let is_part = !alone && detail.amount.is_none() && detail.sums.is_empty();
        let is_other_way = detail.credit.is_some_and(|credit| Some(credit) != entry.credit);
        let shared = (is_part && !is_other_way).then_some(self.place);
        self.sums.add(entry, &detail, alone);
        let of = Of { alone, account: self.account, within: &within, shared };
        let report = match tell(entry, detail, of, to)? {
            Tale::Others => return Ok(()),
            Tale::Noted => {
                self.ours = true;
                return Ok(());
            }
            Tale::OfLeg(report) => *report,
        };
        self.ours = true;
        if self.told.len() == ANSWER_REPORTS_MAX {
            return Err(ReadError::of_all(Problem::TooMany).into());
        }
        self.shares |= shared.is_some();
        if let Scope::Leg { key } = &report.scope {
            self.keys.push(key.clone());
        }
        self.told.push(report);
        Ok(())
    }

    /// The entry was read to its end, and is booked.
    fn finish<E: From<ReadError>>(
        mut self,
        mut entry: Entry,
        to: &mut To<'_, '_, E>,
    ) -> Result<(), E> {
        let one = entry.claimed.is_none_or(|count| count == 1);
        let unlisted = std::mem::take(&mut entry.unlisted);
        match self.last.take() {
            Some(last) => self.tell(&entry, last, one && self.count == 1, to)?,
            None if !entry.quoted.is_empty() && one && unlisted.is_empty() => {
                self.tell(&entry, Default::default(), true, to)?;
            }
            None if unlisted.is_empty() => to.summary.others += 1,
            None => {}
        }
        // What is wrong in somebody else's entry keeps nothing of ours waiting.
        if let Some(fault) = entry.fault.take().or(self.fault.take()) {
            if self.ours || !unlisted.is_empty() {
                return Err(fault.into());
            }
            to.summary.pass_over(fault);
            return Ok(());
        }
        unlisted.into_iter().try_for_each(|id| of_file(&entry, id, to))?;
        let uncovered = entry.amount.clone().filter(|_| !self.sums.is_covered(&entry));
        for report in self.told {
            (to.visit)(Report { uncovered: uncovered.clone(), ..report })?;
        }
        if self.shares {
            let Entry { amount, reference, claimed, .. } = entry;
            let reference = reference.unwrap_or_default();
            let Self { count: listed, keys, .. } = self;
            to.summary.shared.push(SharedEntry { amount, listed, keys, claimed, reference });
        }
        Ok(())
    }
}

/// Whether an id is that of a file of ours: every other program has ids of the same form.
fn is_own(within: &str, known: Known<'_>) -> bool {
    ids::is_sent(within) && (known.file)(within)
}

impl Entry {
    /// Looks for what every entry has, in front of its details.
    fn look_through<R: BufRead>(&mut self, xml: &Xml<R>) {
        let lacks = [
            ("Amt", self.amount.is_none()),
            ("CdtDbtInd", self.credit.is_none()),
            ("Sts", self.status.is_none()),
        ];
        if let Some((element, _)) = lacks.into_iter().find(|&(_, lacks)| lacks) {
            self.fault.get_or_insert_with(|| xml.missing(element, "Ntry"));
        }
    }

    /// Whether its transactions are looked at. In one with a fault it must be seen whose it is.
    fn is_read(&self) -> bool {
        self.is_booked() || self.fault.is_some()
    }

    fn is_booked(&self) -> bool {
        self.status.as_deref() == Some("BOOK")
    }
}

/// A booked entry that pays a file of ours and lists none of its transactions: it proves that the
/// bank has the file, and none of its payments.
fn of_file<E>(entry: &Entry, id: String, to: &mut To<'_, '_, E>) -> Result<(), E> {
    let reference = bounded(&entry.reference.clone().unwrap_or_default());
    let is_back = entry.credit.unwrap_or_default() || entry.reversal.unwrap_or_default();
    to.summary.note(Note::BatchBooked {
        within: id.clone(),
        reference: reference.clone(),
        amount: entry.amount.clone(),
        is_back,
    });
    if is_back {
        return Ok(());
    }
    let scope = if id.contains('-') { Scope::Payment { id } } else { Scope::Message { id } };
    (to.visit)(Report {
        scope,
        word: Some(LegWord::Accepted),
        status: "BOOK".into(),
        direction: Direction::Out,
        reference,
        reason: Reason::default(),
        amount: None,
        instructed: None,
        account: String::new(),
        is_booked: false,
        apart: 0,
        uncovered: None,
        shared: None,
    })
}

/// What a transaction is about.
enum Tale {
    /// Somebody else's.
    Others,
    /// Something of ours that moves no leg.
    Noted,
    /// A leg, by its form.
    OfLeg(Box<Report>),
}

/// What a transaction is part of.
struct Of<'a> {
    /// It is the whole of its entry.
    alone: bool,
    account: &'a str,
    /// The file that it is of, as the part of the entry says in which it is listed.
    within: &'a str,
    /// The number of the entry whose sum it shares.
    shared: Option<usize>,
}

/// The keys that a transaction names. One is that of its leg, unless it is nobody's here.
fn keys<E: From<ReadError>>(
    entry: &Entry,
    detail: &mut Detail,
    alone: bool,
    to: &mut To<'_, '_, E>,
) -> Result<Vec<String>, E> {
    let guesses = Cell::new(0);
    let known = to.known;
    let is_ours = |key: &str| {
        guesses.set(guesses.get() + 1);
        (known.scale)(key).is_some()
    };
    let given = detail.key.take().map(|key| key.to_ascii_uppercase());
    let named = given.clone().filter(|key| ids::is_key(key));
    if let Some(key) = named.clone().filter(|key| is_ours(key)) {
        return Ok(vec![key]);
    }
    // A payer who pays in by an own transfer may have had room for the key in the text only, and so
    // may a bank that sends money back.
    given.iter().for_each(|text| detail.quoted.add(text));
    let mut quoted = detail.quoted.keys(&is_ours);
    if quoted.is_empty() && alone {
        quoted = entry.quoted.keys(&is_ours);
    }
    // Other programs have ids of the same form.
    if let Some(named) = named {
        quoted.retain(|key| *key != named && is_ours(key));
        if quoted.is_empty() {
            quoted.push(named);
        }
    }
    to.summary.guesses += guesses.get();
    if to.summary.guesses > ANSWER_GUESSES_MAX {
        return Err(ReadError::of_all(Problem::Guesses).into());
    }
    Ok(quoted)
}

/// What a booked transaction says of a leg.
fn tell<E: From<ReadError>>(
    entry: &Entry,
    mut detail: Detail,
    Of { alone, account, within, shared }: Of<'_>,
    to: &mut To<'_, '_, E>,
) -> Result<Tale, E> {
    to.summary.booked += 1;
    let keys = keys(entry, &mut detail, alone, to)?;
    let is_ambiguous = keys.len() > 1;
    let moved = Moved::new(entry, &detail, alone, to.summary.booked);
    let Some(key) = keys.into_iter().next() else {
        let within = if detail.within.is_empty() { within } else { &detail.within };
        if is_own(within, to.known) {
            let returned = detail.returned.unwrap_or_default();
            let (reason, words) = (returned.to_string(), returned.words);
            let (within, status) = (within.to_owned(), "BOOK".to_owned());
            to.summary.note(Note::Unnamed { within, status, reason, words, amount: moved.amount });
            return Ok(Tale::Noted);
        }
        to.summary.others += 1;
        return Ok(Tale::Others);
    };
    let Moved { amount, instructed, credit, back, is_fee, is_drawn, reference, apart } = moved;
    if is_ambiguous {
        to.summary.note(Note::SeveralKeys { key, reference, amount });
        return Ok(Tale::Noted);
    }
    if is_fee && !back {
        to.summary.note(Note::Charge { key, amount });
        return Ok(Tale::Noted);
    }
    if is_drawn {
        to.summary.note(Note::Drawn { key, reference, amount });
        return Ok(Tale::Noted);
    }
    let is_booked = to.summary.kind != Kind::Interim;
    if !is_booked && (credit || back) {
        to.summary.note(Note::NotFinal { key, reference, amount, is_back: back });
        return Ok(Tale::Noted);
    }
    let word = match (is_booked, back) {
        (false, _) => LegWord::Accepted,
        (true, false) => LegWord::Confirmed,
        (true, true) => LegWord::Returned,
    };
    Ok(Tale::OfLeg(Box::new(Report {
        scope: Scope::Leg { key },
        word: Some(word),
        status: "BOOK".into(),
        direction: if credit == back { Direction::Out } else { Direction::In },
        reference,
        reason: detail.returned.unwrap_or_default(),
        amount,
        instructed,
        account: account.to_owned(),
        is_booked,
        apart,
        uncovered: None,
        shared,
    })))
}
