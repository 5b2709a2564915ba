//! One transaction of an entry of an account, and what entry and transaction share: sums, codes,
//! what belongs to which of our files, and words.
//!
//! Owns how each is read, in every version of the messages. Never what it means for a leg.

use super::answer::{Money, Reason};
use super::parts::{add_reason, money};
use super::problem::{ReadError, held};
use super::quoted::Quoted;
use super::xml::Xml;
use std::io::BufRead;

/// Amounts beside the booked one.
#[derive(Default)]
pub struct Sums {
    pub transaction: Option<Money>,
    pub instructed: Option<Money>,
}

impl Sums {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.transaction.is_none() && self.instructed.is_none()
    }
}

/// What an entry for several transactions says of them.
#[derive(Default)]
pub struct Batch {
    pub within: String,
    /// How many there are.
    pub count: Option<u64>,
}

/// What a bank transaction code says: one of the ISO list, and the bank's own.
#[derive(Default)]
pub struct Code {
    pub family: Option<String>,
    pub sub_family: Option<String>,
    pub own: Option<String>,
}

/// One transaction of an entry.
#[derive(Default)]
pub struct Detail {
    pub key: Option<String>,
    pub within: String,
    pub reference: Option<String>,
    pub bank_id: Option<String>,
    pub amount: Option<Money>,
    pub credit: Option<bool>,
    pub sums: Sums,
    pub code: Code,
    pub returned: Option<Reason>,
    pub quoted: Quoted,
    /// The first value in it that cannot be.
    pub fault: Option<ReadError>,
}

/// Reads a transaction.
pub fn detail<R: BufRead>(xml: &mut Xml<R>) -> Result<Detail, ReadError> {
    let mut detail = Detail::default();
    while let Some(name) = xml.child()? {
        match name {
            "Refs" => references(xml, &mut detail)?,
            "Amt" => {
                xml.once(&detail.amount, name)?;
                detail.amount = held(money(xml, name), &mut detail.fault)?;
            }
            "CdtDbtInd" => {
                xml.once(&detail.credit, name)?;
                detail.credit = held(is_credit(xml), &mut detail.fault)?;
            }
            "AmtDtls" => sums(xml, &mut detail.sums, &mut detail.fault)?,
            "BkTxCd" => transaction_code(xml, &mut detail.code)?,
            "RmtInf" => remittance(xml, &mut detail.quoted)?,
            "AddtlTxInf" => detail.quoted.add(&xml.text(name)?),
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

/// Reads what an entry says of its transactions together.
pub fn batch<R: BufRead>(xml: &mut Xml<R>) -> Result<Batch, ReadError> {
    let (mut message, mut block, mut count) = (None, None, None);
    while let Some(name) = xml.child()? {
        match name {
            "MsgId" => xml.fill(&mut message, name)?,
            "PmtInfId" => xml.fill(&mut block, name)?,
            "NbOfTxs" => xml.fill(&mut count, name)?,
            _ => xml.skip()?,
        }
    }
    // What is no number is none that is listed.
    let count = count.map(|count| count.parse().unwrap_or(u64::MAX));
    Ok(Batch { within: block.or(message).unwrap_or_default(), count })
}

/// What a payer says, in words or as a reference.
fn remittance<R: BufRead>(xml: &mut Xml<R>, quoted: &mut Quoted) -> Result<(), ReadError> {
    while let Some(name) = xml.child()? {
        match name {
            "Ustrd" => quoted.add(&xml.text(name)?),
            "Strd" => structured(xml, quoted)?,
            _ => xml.skip()?,
        }
    }
    Ok(())
}

/// References that somebody gave a form: of the payee, of documents, and what is said beside them.
fn structured<R: BufRead>(xml: &mut Xml<R>, quoted: &mut Quoted) -> Result<(), ReadError> {
    let mut open = 1;
    while open > 0 {
        match xml.child()? {
            None => open -= 1,
            Some("CdtrRefInf" | "RfrdDocInf") => open += 1,
            Some(name @ ("Ref" | "Nb" | "AddtlRmtInf")) => quoted.add(&xml.text(name)?),
            Some(_) => xml.skip()?,
        }
    }
    Ok(())
}

/// Reads amounts beside the booked one.
pub fn sums<R: BufRead>(
    xml: &mut Xml<R>,
    sums: &mut Sums,
    fault: &mut Option<ReadError>,
) -> Result<(), ReadError> {
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
                    *place = held(money(xml, name), fault)?;
                }
                _ => xml.skip()?,
            }
        }
    }
    Ok(())
}

/// Reads a bank transaction code.
pub fn transaction_code<R: BufRead>(xml: &mut Xml<R>, code: &mut Code) -> Result<(), ReadError> {
    let mut open = 1;
    while open > 0 {
        match xml.child()? {
            None => open -= 1,
            Some("Domn" | "Fmly") => open += 1,
            Some("Prtry") => {
                while let Some(name) = xml.child()? {
                    match name {
                        "Cd" => xml.fill(&mut code.own, name)?,
                        _ => xml.skip()?,
                    }
                }
            }
            // Domain, family and sub-family each have their code, the last one under another name.
            Some(name @ "Cd") if open == 3 => xml.fill(&mut code.family, name)?,
            Some(name @ "SubFmlyCd") => xml.fill(&mut code.sub_family, name)?,
            Some(_) => xml.skip()?,
        }
    }
    Ok(())
}

/// Whether money came in.
pub fn is_credit<R: BufRead>(xml: &mut Xml<R>) -> Result<bool, ReadError> {
    match xml.text("CdtDbtInd")?.as_str() {
        "CRDT" => Ok(true),
        "DBIT" => Ok(false),
        other => Err(xml.value("CdtDbtInd", other, "CRDT or DBIT")),
    }
}

/// Whether it is marked as a reversal.
pub fn indicator<R: BufRead>(xml: &mut Xml<R>) -> Result<bool, ReadError> {
    match xml.text("RvslInd")?.as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(xml.value("RvslInd", other, "true or false")),
    }
}
