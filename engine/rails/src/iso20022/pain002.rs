//! pain.002: what the bank thinks of a file, customer payment status report.
//!
//! Owns what each status means. Statuses stand at three levels: the message, a payment information
//! block, a transaction. One without a status has that of the level above. Reports leave narrow
//! before wide, and a wide one decides nothing where the bank said something else of a transaction
//! that it did not name. `docs/RAIL-ISO20022.md` says it all in one table.

use super::super::status::LegWord;
use super::answer::{Direction, Money, Reason, Report, Scope, Summary, Visit, bounded};
use super::codes::is_code;
use super::ids;
use super::note::Note;
use super::parts::{add_reason, header, money};
use super::problem::{Problem, ReadError, held};
use super::text::NOT_PROVIDED;
use super::xml::Xml;
use crate::answers::Known;
use std::io::BufRead;

/// What a status means for a leg; `None`: nothing to act on.
///
/// PDNG means that checks go on: the bank has the payment, and it is not final, which is what
/// Accepted says. PART is no status of a leg: some of those below are rejected.
fn word(status: &str) -> Option<LegWord> {
    match status {
        "RCVD" | "PDNG" | "PATC" | "ACTC" | "ACCP" | "ACFC" | "ACSP" | "ACWC" | "ACWP" | "ACPD"
        | "ACIS" | "PRES" => Some(LegWord::Accepted),
        "ACSC" | "ACCC" => Some(LegWord::Confirmed),
        "RJCT" | "CANC" => Some(LegWord::Rejected),
        // PART, BLCK, payee name checks (RCVC, RVNC, ...) and whatever the lists grow by.
        _ => None,
    }
}

/// A status with its reason.
#[derive(Debug, Clone, Default)]
struct Status {
    code: String,
    reason: Reason,
}

/// A status, if it has the form of one: what is told of a leg is journaled, and words may name
/// people.
fn coded(status: String) -> String {
    if status.is_empty() || is_code(&status) { status } else { "a status in words".to_owned() }
}

/// What else the bank said of transactions that a wide report would cover, above all of those that
/// it did not name.
#[derive(Default)]
struct Unnamed(Vec<Option<LegWord>>);

impl Unnamed {
    fn add(&mut self, word: Option<LegWord>) {
        if !self.0.contains(&word) {
            self.0.push(word);
        }
    }

    fn join(&mut self, other: &Self) {
        other.0.iter().for_each(|&word| self.add(word));
    }

    /// What a wide report may still say.
    fn leaves(&self, word: Option<LegWord>) -> Option<LegWord> {
        word.filter(|_| self.0.iter().all(|unnamed| *unnamed == word))
    }
}

/// The message that is answered.
struct Group {
    id: String,
    status: Status,
    /// Whether it is one that this rail sends.
    ours: bool,
}

/// The status of a payment information block, until it is known that the next block is another.
struct Wide {
    id: String,
    status: Status,
    unnamed: Unnamed,
}

/// Reads the body of a status report.
pub fn report<R: BufRead, E: From<ReadError>>(
    xml: &mut Xml<R>,
    known: Known<'_>,
    summary: &mut Summary,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    let (mut head, mut group, mut held) = (None, None, None::<Wide>);
    let mut unnamed = Unnamed::default();
    while let Some(name) = xml.child()? {
        match name {
            "GrpHdr" => {
                xml.once(&head, name)?;
                head = Some(header(xml, summary)?);
            }
            "OrgnlGrpInfAndSts" => {
                xml.once(&group, name)?;
                group = Some(original_group(xml)?);
            }
            "OrgnlPmtInfAndSts" => match &group {
                None => return Err(xml.missing("OrgnlGrpInfAndSts", "the report so far").into()),
                Some(group) if group.ours => {
                    let block = block(xml, (group, known), summary, visit)?;
                    unnamed.join(&block.unnamed);
                    if let Some(before) = merge(&mut held, block) {
                        hand_out(before, summary, visit)?;
                    }
                }
                Some(_) => xml.skip()?,
            },
            _ => xml.skip()?,
        }
    }
    head.ok_or_else(|| xml.missing("GrpHdr", "CstmrPmtStsRpt"))?;
    let group = group.ok_or_else(|| xml.missing("OrgnlGrpInfAndSts", "CstmrPmtStsRpt"))?;
    if !group.ours {
        summary.note(Note::NotOurKind { answers: group.id });
        return Ok(());
    }
    if let Some(last) = held {
        hand_out(last, summary, visit)?;
    }
    wide(Scope::Message { id: group.id }, group.status, &unnamed, summary, visit)
}

/// Keeps a block back, because some banks repeat it for each of its transactions. Returns the one
/// before if that was another.
fn merge(held: &mut Option<Wide>, block: Wide) -> Option<Wide> {
    match held {
        Some(before) if before.id == block.id => {
            before.unnamed.join(&block.unnamed);
            if before.status.code.is_empty() {
                before.status = block.status;
            } else if !block.status.code.is_empty() {
                // Two words for the same transactions are none.
                before.unnamed.add(word(&block.status.code));
            }
            None
        }
        Some(_) | None => held.replace(block),
    }
}

fn hand_out<E>(block: Wide, summary: &mut Summary, visit: Visit<'_, E>) -> Result<(), E> {
    wide(Scope::Payment { id: block.id }, block.status, &block.unnamed, summary, visit)
}

fn original_group<R: BufRead>(xml: &mut Xml<R>) -> Result<Group, ReadError> {
    let (mut id, mut kind, mut code) = (None, None, None);
    let mut reason = Reason::default();
    while let Some(name) = xml.child()? {
        match name {
            "OrgnlMsgId" => xml.fill(&mut id, name)?,
            "OrgnlMsgNmId" => xml.fill(&mut kind, name)?,
            "GrpSts" => xml.fill(&mut code, name)?,
            "StsRsnInf" => add_reason(xml, &mut reason)?,
            _ => xml.skip()?,
        }
    }
    let within = "OrgnlGrpInfAndSts";
    let id: String = id.ok_or_else(|| xml.missing("OrgnlMsgId", within))?;
    // Written as "pain.001.001.09", "pain.001" or with the namespace in front. The answer to a
    // request for cancellation names the same transactions, and its RJCT means that they stay. Some
    // banks leave the name out: then only an id that has the form of ours tells.
    let ours = match &kind {
        Some(kind) => kind.to_ascii_lowercase().contains("pain.001"),
        None => ids::is_sent(&id),
    };
    let id = if ours { id } else { kind.unwrap_or(id) };
    Ok(Group { id, ours, status: Status { code: code.map_or_else(String::new, coded), reason } })
}

/// The transactions of one payment information block.
fn block<R: BufRead, E: From<ReadError>>(
    xml: &mut Xml<R>,
    (group, known): (&Group, Known<'_>),
    summary: &mut Summary,
    visit: Visit<'_, E>,
) -> Result<Wide, E> {
    let (mut id, mut code, mut reason) = (None, None, Reason::default());
    let mut unnamed = Unnamed::default();
    let mut inherited: Option<Status> = None;
    while let Some(name) = xml.child()? {
        // What transactions have from above is complete when the first of them begins.
        if inherited.is_some() && name != "TxInfAndSts" {
            return Err(xml.error(Problem::Misplaced(name)).into());
        }
        match name {
            "OrgnlPmtInfId" => xml.fill(&mut id, name)?,
            "PmtInfSts" => xml.fill(&mut code, name)?,
            "StsRsnInf" => add_reason(xml, &mut reason)?,
            "TxInfAndSts" => {
                let above = inherited.get_or_insert_with(|| match &code {
                    Some(code) => {
                        Status { code: coded(String::clone(code)), reason: reason.clone() }
                    }
                    None => group.status.clone(),
                });
                let within = id.as_deref().unwrap_or(&group.id);
                let is_other = is_other(&group.id, known) && is_other(within, known);
                let within = Within { id: within, is_other, known };
                if let Some(word) = transaction(xml, above, within, summary, visit)? {
                    unnamed.add(word);
                }
            }
            _ => xml.skip()?,
        }
    }
    let id: String = id.ok_or_else(|| xml.missing("OrgnlPmtInfId", "OrgnlPmtInfAndSts"))?;
    let status = Status { code: code.map_or_else(String::new, coded), reason };
    Ok(Wide { id, status, unnamed })
}

/// Hands out the status of a payment information block or of the message, if it has one.
fn wide<E>(
    scope: Scope,
    status: Status,
    unnamed: &Unnamed,
    summary: &mut Summary,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    if status.code.is_empty() {
        return Ok(());
    }
    let word = unnamed.leaves(word(&status.code));
    note_change(&scope, &status, summary);
    visit(Report {
        scope,
        word,
        status: bounded(&status.code),
        direction: Direction::Out,
        reference: String::new(),
        reason: status.reason,
        amount: None,
        instructed: None,
        account: String::new(),
        is_booked: false,
        apart: 0,
        uncovered: None,
        shared: None,
    })
}

/// What a transaction is said to be of.
struct Within<'a> {
    id: &'a str,
    /// Whether it is no file of ours. A copy under another name is not what has left: that it was
    /// refused says nothing of that.
    is_other: bool,
    known: Known<'a>,
}

/// Whether an id names something, and no file of ours.
fn is_other(id: &str, known: Known<'_>) -> bool {
    let is_said = !id.is_empty() && !id.eq_ignore_ascii_case(NOT_PROVIDED);
    is_said && !(ids::is_sent(id) && (known.file)(id))
}

/// Reads one transaction and hands out what is said of it. `Some`: what was said of one that is not
/// named.
fn transaction<R: BufRead, E: From<ReadError>>(
    xml: &mut Xml<R>,
    above: &Status,
    within: Within<'_>,
    summary: &mut Summary,
    visit: Visit<'_, E>,
) -> Result<Option<Option<LegWord>>, E> {
    let (mut key, mut code, mut reason) = (None, None, Reason::default());
    let (mut booked, mut cleared, mut of_status) = (None, None, None);
    let (mut amount, mut fault) = (None, None);
    while let Some(name) = xml.child()? {
        match name {
            "OrgnlEndToEndId" => xml.fill(&mut key, name)?,
            "TxSts" => xml.fill(&mut code, name)?,
            "StsRsnInf" => add_reason(xml, &mut reason)?,
            "AcctSvcrRef" => xml.fill(&mut booked, name)?,
            "ClrSysRef" => xml.fill(&mut cleared, name)?,
            "StsId" => xml.fill(&mut of_status, name)?,
            "OrgnlTxRef" => {
                xml.once(&amount, name)?;
                amount = Some(original_amount(xml, &mut fault)?);
            }
            _ => xml.skip()?,
        }
    }
    let status = Status {
        code: code.map_or_else(|| above.code.clone(), coded),
        reason: if reason.is_empty() { above.reason.clone() } else { reason },
    };
    let (word, amount) = (word(&status.code), amount.flatten());
    let key = key.unwrap_or_default().to_ascii_uppercase();
    if let Some(fault) = fault {
        if !within.is_other || (within.known.scale)(&key).is_some() {
            return Err(fault.into());
        }
        summary.pass_over(fault);
        return Ok(None);
    }
    if key.is_empty() || key == NOT_PROVIDED {
        let (within, reason) = (within.id.to_owned(), status.reason.to_string());
        let Status { code: status, reason: Reason { words, .. } } = status;
        summary.note(Note::Unnamed { within, status, reason, words, amount });
        return Ok(Some(word));
    }
    if within.is_other && ids::is_key(&key) && (within.known.scale)(&key).is_some() {
        let (within, status) = (within.id.to_owned(), status.code);
        summary.note(Note::OtherFile { key, within, status });
        return Ok(None);
    }
    let scope = Scope::Leg { key };
    note_change(&scope, &status, summary);
    visit(Report {
        scope,
        word,
        status: bounded(&status.code),
        direction: Direction::Out,
        reference: bounded(&booked.or(cleared).or(of_status).unwrap_or_default()),
        reason: status.reason,
        amount,
        instructed: None,
        account: String::new(),
        is_booked: false,
        apart: 0,
        uncovered: None,
        shared: None,
    })?;
    Ok(None)
}

fn note_change(scope: &Scope, status: &Status, summary: &mut Summary) {
    if status.code == "ACWC" {
        let (scope, reason) = (scope.clone(), status.reason.to_string());
        summary.note(Note::Changed { scope, reason, words: status.reason.words.clone() });
    }
}

/// The amount of the original transaction, if the bank repeats it.
fn original_amount<R: BufRead>(
    xml: &mut Xml<R>,
    fault: &mut Option<ReadError>,
) -> Result<Option<Money>, ReadError> {
    let mut found = None;
    while let Some(name) = xml.child()? {
        if name != "Amt" {
            xml.skip()?;
            continue;
        }
        xml.once(&found, name)?;
        while let Some(name) = xml.child()? {
            match name {
                "InstdAmt" => {
                    xml.once(&found, name)?;
                    found = held(money(xml, name), fault)?;
                }
                _ => xml.skip()?,
            }
        }
    }
    Ok(found)
}
