//! camt.053 and camt.054: what was booked on an account.
//!
//! Owns what an entry means for a leg. Only booked entries count, and of those only transactions
//! that quote a leg's key: a debit is a payment made, a credit a pay-in, and either of them the
//! other way round when it is marked as a return or reversal. Sums for many transactions that are
//! not listed prove none of them. `docs/RAIL-ISO20022.md` says it all in one table.

use super::super::status::LegWord;
use super::answer::{
    Direction, Money, Note, Reason, Report, Scope, SharedEntry, Summary, Visit, add,
};
use super::ids;
use super::parts::{add_reason, header, money};
use super::problem::ReadError;
use super::xml::Xml;
use std::io::BufRead;

/// Sub-families of bank transaction codes that say that money comes back: "reversal due to payment
/// return" and "... cancellation request".
const BACK: [&str; 2] = ["RRTN", "RPCR"];
/// Sub-families that say that the bank took a fee, which may quote the payment it was for.
const FEES: [&str; 6] = ["CHRG", "FEES", "COMM", "COME", "COMI", "COMT"];
/// Keys that are kept of one payment that quotes several.
const QUOTED_MAX: usize = 2;

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
}

/// Amounts beside the booked one.
#[derive(Default)]
struct Sums {
    transaction: Option<Money>,
    instructed: Option<Money>,
}

impl Sums {
    fn is_empty(&self) -> bool {
        self.transaction.is_none() && self.instructed.is_none()
    }
}

/// What an entry for several transactions says of them.
#[derive(Default)]
struct Batch {
    within: String,
    count: Option<String>,
}

/// One transaction of an entry.
#[derive(Default)]
struct Detail {
    key: Option<String>,
    within: String,
    reference: Option<String>,
    bank_id: Option<String>,
    amount: Option<Money>,
    credit: Option<bool>,
    sums: Sums,
    code: Option<String>,
    returned: Option<Reason>,
    quoted: Vec<String>,
}

/// Reads the body of a statement or notification: its accounts, each an element `each`.
pub fn accounts<R: BufRead, E: From<ReadError>>(
    xml: &mut Xml<R>,
    each: &'static str,
    summary: &mut Summary,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    let mut head = None;
    while let Some(name) = xml.child()? {
        if name == "GrpHdr" {
            xml.once(&head, name)?;
            head = Some(header(xml, summary)?);
        } else if name == each {
            account(xml, summary, visit)?;
        } else {
            xml.skip()?;
        }
    }
    head.ok_or_else(|| xml.missing("GrpHdr", "the message").into())
}

fn account<R: BufRead, E: From<ReadError>>(
    xml: &mut Xml<R>,
    summary: &mut Summary,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    let mut id = None;
    while let Some(name) = xml.child()? {
        match name {
            "Acct" => {
                xml.once(&id, name)?;
                id = Some(account_id(xml)?);
            }
            "Ntry" => match &id {
                Some(id) => entry(xml, id, summary, visit)?,
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
    summary: &mut Summary,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    let (mut entry, mut last, mut count) = (Entry::default(), None::<Detail>, 0u64);
    // Its number, should it have to be shared out; and what it lists.
    let place = summary.shared.len();
    let (mut shares, mut keys) = (false, Vec::new());
    let mut told =
        |entry: &Entry, detail: Detail, alone: bool, summary: &mut Summary, visit: Visit<'_, E>| {
            let shared =
                (!alone && detail.amount.is_none() && detail.sums.is_empty()).then_some(place);
            let key = tell(entry, detail, Of { alone, account, shared }, summary, visit)?;
            shares |= shared.is_some() && key.is_some();
            keys.extend(key);
            Ok::<(), E>(())
        };
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
            "Sts" => code_choice(xml, &mut entry.status)?,
            "AcctSvcrRef" => xml.fill(&mut entry.reference, name)?,
            "BkTxCd" => transaction_code(xml, &mut entry.code)?,
            "AmtDtls" => sums(xml, &mut entry.sums)?,
            "NtryDtls" => {
                entry.assert_complete(xml)?;
                while let Some(name) = xml.child()? {
                    match name {
                        "Btch" => batch(xml, &mut entry.batch)?,
                        "TxDtls" if entry.is_booked() => {
                            // The last one is kept back: only when it stays alone has it what the
                            // entry says of itself.
                            count += 1;
                            if let Some(before) = last.replace(detail(xml)?) {
                                told(&entry, before, false, summary, visit)?;
                            }
                        }
                        _ => xml.skip()?,
                    }
                }
            }
            _ => xml.skip()?,
        }
    }
    entry.assert_complete(xml)?;
    if !entry.is_booked() {
        summary.unbooked += 1;
        return Ok(());
    }
    let one = entry.batch.count.as_deref().is_none_or(|count| count.trim_start_matches('0') == "1");
    match last {
        Some(last) => told(&entry, last, one && count == 1, summary, visit)?,
        None => unlisted(&entry, summary, visit)?,
    }
    if shares {
        let claimed = entry.batch.count.as_deref().and_then(|count| count.trim().parse().ok());
        let (amount, reference) = (entry.amount, entry.reference.unwrap_or_default());
        summary.shared.push(SharedEntry { amount, listed: count, keys, claimed, reference });
    }
    Ok(())
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
fn unlisted<E>(entry: &Entry, summary: &mut Summary, visit: Visit<'_, E>) -> Result<(), E> {
    let within = &entry.batch.within;
    if !ids::is_sent(within) {
        summary.others += 1;
        return Ok(());
    }
    let reference = entry.reference.clone().unwrap_or_default();
    let is_back = entry.credit.unwrap_or_default() || entry.reversal.unwrap_or_default();
    summary.note(Note::BatchBooked {
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
    visit(Report {
        scope,
        word: Some(LegWord::Accepted),
        status: "BOOK".into(),
        direction: Direction::Out,
        reference,
        reason: Reason::default(),
        amount: None,
        instructed: None,
        account: String::new(),
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
    detail: Detail,
    Of { alone, account, shared }: Of<'_>,
    summary: &mut Summary,
    visit: Visit<'_, E>,
) -> Result<Option<String>, E> {
    summary.booked += 1;
    let of_entry = |value: &Option<Money>| if alone { value.clone() } else { None };
    let amount = detail.amount.or(detail.sums.transaction);
    let amount = amount.or_else(|| of_entry(&entry.sums.transaction));
    let amount = amount.or_else(|| of_entry(&entry.amount));
    let instructed = detail.sums.instructed.or_else(|| of_entry(&entry.sums.instructed));
    let credit = detail.credit.or(entry.credit).unwrap_or_default();
    let code = detail.code.as_deref().or(entry.code.as_deref()).unwrap_or_default();
    let back =
        entry.reversal.unwrap_or_default() || detail.returned.is_some() || BACK.contains(&code);
    let own = entry.reference.as_ref().filter(|_| alone).cloned();
    let reference = detail.reference.or(own).or(detail.bank_id);
    // Two transactions that share the reference of their entry, or have none, are two all the same.
    let apart = if reference.is_some() { 0 } else { summary.booked };
    let reference = reference.or_else(|| entry.reference.clone()).unwrap_or_default();

    let named = detail.key.map(|key| key.to_ascii_uppercase()).filter(|key| ids::is_key(key));
    let by_key = named.is_some();
    // A payer who pays in by an own transfer may have had room for the key in the text only, and so
    // may a bank that sends money back.
    let key = named.or_else(|| detail.quoted.first().cloned());
    let Some(key) = key else {
        let within = if detail.within.is_empty() { &entry.batch.within } else { &detail.within };
        if ids::is_sent(within) {
            let reason = detail.returned.unwrap_or_default().to_string();
            let (within, status) = (within.clone(), "BOOK".to_owned());
            summary.note(Note::Unnamed { within, status, reason, amount });
        } else {
            summary.others += 1;
        }
        return Ok(None);
    };
    if !by_key && detail.quoted.len() > 1 {
        summary.note(Note::SeveralKeys { key, reference, amount });
        return Ok(None);
    }
    if FEES.contains(&code) && !back {
        summary.note(Note::Charge { key, amount });
        return Ok(None);
    }
    let told = Some(key.clone());
    visit(Report {
        scope: Scope::Leg { key },
        word: Some(if back { LegWord::Returned } else { LegWord::Confirmed }),
        status: "BOOK".into(),
        direction: if credit == back { Direction::Out } else { Direction::In },
        reference,
        reason: detail.returned.unwrap_or_default(),
        amount,
        instructed,
        account: account.to_owned(),
        apart,
        shared,
    })?;
    Ok(told)
}

fn detail<R: BufRead>(xml: &mut Xml<R>) -> Result<Detail, ReadError> {
    let mut detail = Detail::default();
    while let Some(name) = xml.child()? {
        match name {
            "Refs" => references(xml, &mut detail)?,
            "Amt" => {
                xml.once(&detail.amount, name)?;
                detail.amount = Some(money(xml, name)?);
            }
            "CdtDbtInd" => {
                xml.once(&detail.credit, name)?;
                detail.credit = Some(is_credit(xml)?);
            }
            "AmtDtls" => sums(xml, &mut detail.sums)?,
            "BkTxCd" => transaction_code(xml, &mut detail.code)?,
            "RmtInf" => remittance(xml, &mut detail.quoted)?,
            "RtrInf" => {
                xml.once(&detail.returned, name)?;
                add_reason(xml, detail.returned.insert(Reason::default()))?;
            }
            _ => xml.skip()?,
        }
    }
    Ok(detail)
}

fn references<R: BufRead>(xml: &mut Xml<R>, detail: &mut Detail) -> Result<(), ReadError> {
    let (mut message, mut block) = (None, None);
    while let Some(name) = xml.child()? {
        match name {
            "MsgId" => xml.fill(&mut message, name)?,
            "PmtInfId" => xml.fill(&mut block, name)?,
            "EndToEndId" => xml.fill(&mut detail.key, name)?,
            "AcctSvcrRef" => xml.fill(&mut detail.reference, name)?,
            "TxId" => xml.fill(&mut detail.bank_id, name)?,
            _ => xml.skip()?,
        }
    }
    if let Some(within) = block.or(message) {
        detail.within = within;
    }
    Ok(())
}

fn batch<R: BufRead>(xml: &mut Xml<R>, batch: &mut Batch) -> Result<(), ReadError> {
    let (mut message, mut block) = (None, None);
    while let Some(name) = xml.child()? {
        match name {
            "MsgId" => xml.fill(&mut message, name)?,
            "PmtInfId" => xml.fill(&mut block, name)?,
            "NbOfTxs" => xml.fill(&mut batch.count, name)?,
            _ => xml.skip()?,
        }
    }
    if let Some(within) = block.or(message) {
        batch.within = within;
    }
    Ok(())
}

/// The keys that a payer quotes, in words or as a reference.
fn remittance<R: BufRead>(xml: &mut Xml<R>, quoted: &mut Vec<String>) -> Result<(), ReadError> {
    while let Some(name) = xml.child()? {
        match name {
            "Ustrd" => quote(&xml.text(name)?, quoted),
            "Strd" => {
                while let Some(name) = xml.child()? {
                    if name != "CdtrRefInf" {
                        xml.skip()?;
                        continue;
                    }
                    while let Some(name) = xml.child()? {
                        match name {
                            "Ref" => quote(&xml.text(name)?, quoted),
                            _ => xml.skip()?,
                        }
                    }
                }
            }
            _ => xml.skip()?,
        }
    }
    Ok(())
}

fn quote(text: &str, quoted: &mut Vec<String>) {
    let text = text.to_ascii_uppercase();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    // People write long numbers in groups.
    let together: String = text.split_whitespace().collect();
    for key in words.chain([together.as_str()]).filter(|word| ids::is_key(word)) {
        if quoted.len() < QUOTED_MAX && !quoted.iter().any(|known| known == key) {
            quoted.push(key.to_owned());
        }
    }
}

fn sums<R: BufRead>(xml: &mut Xml<R>, sums: &mut Sums) -> Result<(), ReadError> {
    while let Some(name) = xml.child()? {
        let place = match name {
            "InstdAmt" => &mut sums.instructed,
            "TxAmt" => &mut sums.transaction,
            _ => {
                xml.skip()?;
                continue;
            }
        };
        while let Some(name) = xml.child()? {
            match name {
                "Amt" => {
                    xml.once(place, name)?;
                    *place = Some(money(xml, name)?);
                }
                _ => xml.skip()?,
            }
        }
    }
    Ok(())
}

/// The sub-family of a bank transaction code of the ISO list.
fn transaction_code<R: BufRead>(
    xml: &mut Xml<R>,
    code: &mut Option<String>,
) -> Result<(), ReadError> {
    let mut open = 1;
    while open > 0 {
        match xml.child()? {
            None => open -= 1,
            Some("Domn" | "Fmly") => open += 1,
            Some(name @ "SubFmlyCd") => xml.fill(code, name)?,
            Some(_) => xml.skip()?,
        }
    }
    Ok(())
}

/// A choice between a code of the ISO list and one of the bank's own, which is no known code.
fn code_choice<R: BufRead>(xml: &mut Xml<R>, code: &mut Option<String>) -> Result<(), ReadError> {
    xml.once(code, "Sts")?;
    while let Some(name) = xml.child()? {
        match name {
            "Cd" => xml.fill(code, name)?,
            "Prtry" => {
                let own = xml.text(name)?;
                xml.once(code, name)?;
                *code = Some(format!("Prtry {own}"));
            }
            _ => xml.skip()?,
        }
    }
    Ok(())
}

fn is_credit<R: BufRead>(xml: &mut Xml<R>) -> Result<bool, ReadError> {
    match xml.text("CdtDbtInd")?.as_str() {
        "CRDT" => Ok(true),
        "DBIT" => Ok(false),
        other => Err(xml.value("CdtDbtInd", other, "CRDT or DBIT")),
    }
}

fn indicator<R: BufRead>(xml: &mut Xml<R>) -> Result<bool, ReadError> {
    match xml.text("RvslInd")?.as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(xml.value("RvslInd", other, "true or false")),
    }
}
