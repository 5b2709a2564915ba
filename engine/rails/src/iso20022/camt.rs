//! camt.052, camt.053 and camt.054: what was booked on an account.
//!
//! Owns what an entry means for a leg. Only booked entries count, and of those only transactions
//! that quote a leg's key: a debit is a payment made, a credit a pay-in, and either of them the
//! other way round when it is marked as a return or reversal. Sums for many transactions that are
//! not listed prove none of them. A report of the day (camt.052) proves nothing: it may change
//! until the day is over. `docs/RAIL-ISO20022.md` says it all in one table.

use super::super::status::LegWord;
use super::answer::{
    Direction, Kind, Money, Reason, Report, Scope, SharedEntry, Summary, Visit, add,
};
use super::details::{
    Batch, Detail, Sums, batch, detail, indicator, is_credit, sums, transaction_code,
};
use super::ids;
use super::note::Note;
use super::parts::{header, money};
use super::problem::ReadError;
use super::quoted::Quoted;
use super::xml::Xml;
use crate::answers::Known;
use std::io::BufRead;

/// Sub-families of bank transaction codes that say that money comes back: "reversal due to payment
/// return" and "... cancellation request".
const BACK: [&str; 2] = ["RRTN", "RPCR"];
/// Sub-families that say that the bank took a fee, which may quote the payment it was for.
const FEES: [&str; 6] = ["CHRG", "FEES", "COMM", "COME", "COMI", "COMT"];

/// One line of an account.
#[derive(Default)]
struct Entry {
    amount: Option<Money>,
    credit: Option<bool>,
    reversal: Option<bool>,
    status: Option<String>,
    reference: Option<String>,
    code: Option<String>,
    sums: Sums,
    batch: Batch,
    /// What is said of it in words.
    quoted: Quoted,
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
    let mut bounded = String::new();
    add(&mut bounded, "", &id.ok_or_else(|| xml.missing("Id", "Acct"))?);
    Ok(bounded)
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
                entry.amount = Some(money(xml, name)?);
            }
            "CdtDbtInd" => {
                xml.once(&entry.credit, name)?;
                entry.credit = Some(is_credit(xml)?);
            }
            "RvslInd" => {
                xml.once(&entry.reversal, name)?;
                entry.reversal = Some(indicator(xml)?);
            }
            // A text until version 07, a choice from then on.
            "Sts" => {
                xml.once(&entry.status, name)?;
                entry.status = xml.code(name)?;
            }
            "AcctSvcrRef" => xml.fill(&mut entry.reference, name)?,
            "BkTxCd" => transaction_code(xml, &mut entry.code)?,
            "AmtDtls" => sums(xml, &mut entry.sums)?,
            "AddtlNtryInf" => entry.quoted.add(&xml.text(name)?),
            "NtryDtls" => {
                entry.assert_complete(xml)?;
                while let Some(name) = xml.child()? {
                    match name {
                        "Btch" => batch(xml, &mut entry.batch)?,
                        "TxDtls" if entry.is_booked() => {
                            listed.add(&entry, detail(xml)?, to)?;
                        }
                        _ => xml.skip()?,
                    }
                }
            }
            _ => xml.skip()?,
        }
    }
    entry.assert_complete(xml)?;
    if entry.is_booked() {
        return listed.finish(entry, to);
    }
    to.summary.unbooked += 1;
    Ok(())
}

/// The transactions that an entry lists.
#[derive(Default)]
struct Listed<'a> {
    account: &'a str,
    place: usize,
    /// The last one is kept back: only when it stays alone has it what the entry says of itself.
    last: Option<Detail>,
    count: u64,
    /// Whether some of them have no sum but a share of the entry's.
    shares: bool,
    keys: Vec<String>,
}

impl Listed<'_> {
    fn add<E>(&mut self, entry: &Entry, detail: Detail, to: &mut To<'_, '_, E>) -> Result<(), E> {
        self.count += 1;
        match self.last.replace(detail) {
            Some(before) => self.tell(entry, before, false, to),
            None => Ok(()),
        }
    }

    fn tell<E>(
        &mut self,
        entry: &Entry,
        detail: Detail,
        alone: bool,
        to: &mut To<'_, '_, E>,
    ) -> Result<(), E> {
        let is_part = !alone && detail.amount.is_none() && detail.sums.is_empty();
        let shared = is_part.then_some(self.place);
        let key = tell(entry, detail, Of { alone, account: self.account, shared }, to)?;
        self.shares |= shared.is_some() && key.is_some();
        self.keys.extend(key);
        Ok(())
    }

    /// The entry was read to its end, and is booked.
    fn finish<E>(mut self, entry: Entry, to: &mut To<'_, '_, E>) -> Result<(), E> {
        let claimed = entry.batch.count.as_deref();
        let one = claimed.is_none_or(|count| count.trim_start_matches('0') == "1");
        match self.last.take() {
            Some(last) => self.tell(&entry, last, one && self.count == 1, to)?,
            None if !entry.quoted.is_empty() && one && !is_own(&entry.batch.within, to.known) => {
                self.tell(&entry, Detail::default(), true, to)?;
            }
            None => unlisted(&entry, to)?,
        }
        if self.shares {
            let claimed = claimed.and_then(|count| count.trim().parse().ok());
            let Entry { amount, reference, .. } = entry;
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
    /// What every entry has, in front of its details.
    fn assert_complete<R: BufRead>(&self, xml: &Xml<R>) -> Result<(), ReadError> {
        let lacks = [
            ("Amt", self.amount.is_none()),
            ("CdtDbtInd", self.credit.is_none()),
            ("Sts", self.status.is_none()),
        ];
        match lacks.into_iter().find(|&(_, lacks)| lacks) {
            Some((element, _)) => Err(xml.missing(element, "Ntry")),
            None => Ok(()),
        }
    }

    fn is_booked(&self) -> bool {
        self.status.as_deref() == Some("BOOK")
    }
}

/// A booked entry of which no transaction is listed. One that pays a file of ours proves that the
/// bank has the file, and none of its payments.
fn unlisted<E>(entry: &Entry, to: &mut To<'_, '_, E>) -> Result<(), E> {
    let within = &entry.batch.within;
    if !is_own(within, to.known) {
        to.summary.others += 1;
        return Ok(());
    }
    let reference = entry.reference.clone().unwrap_or_default();
    let is_back = entry.credit.unwrap_or_default() || entry.reversal.unwrap_or_default();
    to.summary.note(Note::BatchBooked {
        within: within.clone(),
        reference: reference.clone(),
        amount: entry.amount.clone(),
        is_back,
    });
    if is_back {
        return Ok(());
    }
    let id = within.clone();
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
        shared: None,
    })
}

/// What a transaction is part of.
struct Of<'a> {
    /// It is the whole of its entry.
    alone: bool,
    account: &'a str,
    /// The number of the entry whose sum it shares.
    shared: Option<usize>,
}

/// Hands out what a booked transaction says of a leg; gives the leg's key.
fn tell<E>(
    entry: &Entry,
    mut detail: Detail,
    Of { alone, account, shared }: Of<'_>,
    to: &mut To<'_, '_, E>,
) -> Result<Option<String>, E> {
    to.summary.booked += 1;
    let named = detail.key.take().map(|key| key.to_ascii_uppercase());
    let named = named.filter(|key| ids::is_key(key));
    // A payer who pays in by an own transfer may have had room for the key in the text only, and so
    // may a bank that sends money back.
    let mut quoted = Vec::new();
    if named.is_none() {
        let known = to.known;
        let is_ours = |key: &str| (known.scale)(key).is_some();
        quoted = detail.quoted.keys(&is_ours);
        if quoted.is_empty() && alone {
            quoted = entry.quoted.keys(&is_ours);
        }
    }
    let is_ambiguous = quoted.len() > 1;
    let key = named.or_else(|| quoted.into_iter().next());
    let moved = Moved::new(entry, &detail, alone, to.summary.booked);
    let Some(key) = key else {
        let within = if detail.within.is_empty() { &entry.batch.within } else { &detail.within };
        if is_own(within, to.known) {
            let reason = detail.returned.unwrap_or_default().to_string();
            let (within, status) = (within.clone(), "BOOK".to_owned());
            to.summary.note(Note::Unnamed { within, status, reason, amount: moved.amount });
        } else {
            to.summary.others += 1;
        }
        return Ok(None);
    };
    let Moved { amount, instructed, credit, back, is_fee, reference, apart } = moved;
    if is_ambiguous {
        to.summary.note(Note::SeveralKeys { key, reference, amount });
        return Ok(None);
    }
    if is_fee && !back {
        to.summary.note(Note::Charge { key, amount });
        return Ok(None);
    }
    let is_booked = to.summary.kind != Kind::Interim;
    if !is_booked && (credit || back) {
        to.summary.note(Note::NotFinal { key, reference, amount, is_back: back });
        return Ok(None);
    }
    let word = match (is_booked, back) {
        (false, _) => LegWord::Accepted,
        (true, false) => LegWord::Confirmed,
        (true, true) => LegWord::Returned,
    };
    let told = Some(key.clone());
    (to.visit)(Report {
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
        shared,
    })?;
    Ok(told)
}

/// The movement that a booked transaction is.
struct Moved {
    amount: Option<Money>,
    instructed: Option<Money>,
    credit: bool,
    back: bool,
    is_fee: bool,
    reference: String,
    apart: u64,
}

impl Moved {
    /// `number` is that of the transaction in its file.
    fn new(entry: &Entry, detail: &Detail, alone: bool, number: u64) -> Self {
        let of_entry = |value: &Option<Money>| if alone { value.clone() } else { None };
        let amount = detail.amount.clone().or_else(|| detail.sums.transaction.clone());
        let amount = amount.or_else(|| of_entry(&entry.sums.transaction));
        let amount = amount.or_else(|| of_entry(&entry.amount));
        let instructed = detail.sums.instructed.clone();
        let code = detail.code.as_deref().or(entry.code.as_deref()).unwrap_or_default();
        let back = entry.reversal.unwrap_or_default();
        let own = entry.reference.as_ref().filter(|_| alone);
        let reference = detail.reference.as_ref().or(own).or(detail.bank_id.as_ref()).cloned();
        Self {
            amount,
            instructed: instructed.or_else(|| of_entry(&entry.sums.instructed)),
            credit: detail.credit.or(entry.credit).unwrap_or_default(),
            back: back || detail.returned.is_some() || BACK.contains(&code),
            is_fee: FEES.contains(&code),
            // Two transactions that share the reference of their entry, or have none, are two all
            // the same.
            apart: if reference.is_some() { 0 } else { number },
            reference: reference.or_else(|| entry.reference.clone()).unwrap_or_default(),
        }
    }
}
