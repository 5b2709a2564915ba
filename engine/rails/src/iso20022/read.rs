//! Reads what a bank sends back: pain.002, camt.052, camt.053 and camt.054.
//!
//! Owns which messages are known, in which versions, and how they are told from each other: by
//! their namespace, however a bank writes it, or without one by what stands in them. A file is read
//! from front to back in bounded memory, and refused as a whole at the first thing that is wrong:
//! what was handed out before an error counts for nothing. Never asks which batches exist.

use super::answer::{Answer, Kind, Report, Summary};
use super::problem::{Problem, ReadError};
use super::xml::Xml;
use super::{camt, pain002};
use crate::answers::Known;
use std::io::BufRead;
use std::ops::RangeInclusive;

/// A message that is read.
struct Message {
    name: &'static str,
    kind: Kind,
    /// What stands in its document.
    body: &'static str,
    /// Its versions. In what is read here they differ in nothing but the form of `Sts`.
    versions: RangeInclusive<u32>,
}

const MESSAGES: [Message; 4] = [
    Message { name: "pain.002", kind: Kind::Status, body: "CstmrPmtStsRpt", versions: 3..=15 },
    Message { name: "camt.052", kind: Kind::Interim, body: "BkToCstmrAcctRpt", versions: 2..=14 },
    Message { name: "camt.053", kind: Kind::Statement, body: "BkToCstmrStmt", versions: 2..=14 },
    Message {
        name: "camt.054",
        kind: Kind::Notification,
        body: "BkToCstmrDbtCdtNtfctn",
        versions: 2..=14,
    },
];
const EXPECTED: &str = "pain.002.001.03 to .15, or camt.052, camt.053 or camt.054 (.001.02 to .14)";

/// Every element that is ever looked at, in the order of their names.
const NAMES: [&str; 70] = [
    "Acct",
    "AcctSvcrRef",
    "AddtlInf",
    "AddtlNtryInf",
    "AddtlRmtInf",
    "AddtlTxInf",
    "Amt",
    "AmtDtls",
    "AnyBIC",
    "BICOrBEI",
    "BkToCstmrAcctRpt",
    "BkToCstmrDbtCdtNtfctn",
    "BkToCstmrStmt",
    "BkTxCd",
    "Btch",
    "Cd",
    "CdtDbtInd",
    "CdtrRefInf",
    "ClrSysRef",
    "CreDtTm",
    "CstmrPmtStsRpt",
    "Document",
    "Domn",
    "EndToEndId",
    "Fmly",
    "GrpHdr",
    "GrpSts",
    "IBAN",
    "Id",
    "InstdAmt",
    "LEI",
    "MsgId",
    "Nb",
    "NbOfTxs",
    "Ntfctn",
    "Ntry",
    "NtryDtls",
    "OrgId",
    "OrgnlEndToEndId",
    "OrgnlGrpInfAndSts",
    "OrgnlMsgId",
    "OrgnlMsgNmId",
    "OrgnlPmtInfAndSts",
    "OrgnlPmtInfId",
    "OrgnlTxRef",
    "Orgtr",
    "Othr",
    "PmtInfId",
    "PmtInfSts",
    "Prtry",
    "Ref",
    "Refs",
    "RfrdDocInf",
    "RmtInf",
    "Rpt",
    "Rsn",
    "RtrInf",
    "RvslInd",
    "Stmt",
    "Strd",
    "Sts",
    "StsId",
    "StsRsnInf",
    "SubFmlyCd",
    "TxAmt",
    "TxDtls",
    "TxId",
    "TxInfAndSts",
    "TxSts",
    "Ustrd",
];

/// Reads a file and hands every report to `visit`, narrow before wide.
///
/// # Errors
/// `ReadError` when the file is refused; then nothing that was handed out counts, so either collect
/// until this returns or read twice. Else what `visit` fails with; it is not called again.
pub fn read_stream<E: From<ReadError>>(
    input: impl BufRead,
    known: Known<'_>,
    visit: &mut dyn FnMut(Report) -> Result<(), E>,
) -> Result<Summary, E> {
    let mut xml = Xml::open(input, "Document", &NAMES)?;
    let mut sent = recognise(&xml)?;
    let mut handed_out = 0;
    let mut count = |report: Report| {
        handed_out += 1;
        visit(report)
    };
    let mut read: Option<Summary> = None;
    while let Some(name) = xml.child()? {
        // A document without a namespace is what stands in it, or says it one element later.
        if sent.is_none() {
            sent = recognise(&xml)?;
        }
        sent = sent.or_else(|| {
            let message = MESSAGES.iter().find(|message| message.body == name)?;
            Some((message, message.name.to_owned()))
        });
        let Some((message, id)) = sent.as_ref().filter(|(message, _)| message.body == name) else {
            // Nobody would see what a second one says.
            if let Some(message) = MESSAGES.iter().find(|message| message.body == name) {
                return Err(xml.error(Problem::Misplaced(message.body)).into());
            }
            xml.skip()?;
            continue;
        };
        xml.once(&read, message.body)?;
        let mut summary = Summary::new(message.kind, id.clone());
        let mut to = camt::To { summary: &mut summary, known, visit: &mut count };
        match message.kind {
            Kind::Status => pain002::report(&mut xml, known, to.summary, to.visit)?,
            Kind::Interim => camt::accounts(&mut xml, "Rpt", &mut to)?,
            Kind::Statement => camt::accounts(&mut xml, "Stmt", &mut to)?,
            Kind::Notification => camt::accounts(&mut xml, "Ntfctn", &mut to)?,
        }
        read = Some(summary);
    }
    let Some(mut summary) = read else {
        let Some((message, _)) = sent else { return Err(other(&xml, "").into()) };
        return Err(xml.missing(message.body, "Document").into());
    };
    xml.finish()?;
    summary.reports = handed_out;
    Ok(summary)
}

/// Reads a file that fits into memory.
///
/// # Errors
/// `ReadError` when the file is refused.
pub fn read(bytes: &[u8], known: Known<'_>) -> Result<Answer, ReadError> {
    let mut reports = Vec::new();
    let summary = read_stream(bytes, known, &mut |report| {
        reports.push(report);
        Ok::<(), ReadError>(())
    })?;
    Ok(Answer { summary, reports })
}

/// The message that a document's namespace names, and how it names it. `None` without a namespace.
fn recognise<R: BufRead>(xml: &Xml<R>) -> Result<Option<(&'static Message, String)>, ReadError> {
    let namespace = xml.namespace();
    if namespace.is_empty() {
        return Ok(None);
    }
    let found = MESSAGES.iter().find_map(|message| {
        let (id, version) = named(namespace, message.name)?;
        message.versions.contains(&version).then_some((message, id.to_owned()))
    });
    found.map(Some).ok_or_else(|| other(xml, namespace))
}

/// A message of that name, which stands somewhere in a namespace: `urn:iso:std:iso:20022:...`, or
/// one of a national bank's own. Gives it as written, and its version.
fn named<'a>(namespace: &'a str, name: &str) -> Option<(&'a str, u32)> {
    let at = namespace.find(name)?;
    let id = namespace.get(at..at + name.len() + ".001.02".len())?;
    let mut numbers = id[name.len()..].strip_prefix('.')?.split('.');
    let (variant, version) = (numbers.next()?, numbers.next()?);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let formed = variant.len() == 3 && version.len() == 2 && digits(variant) && digits(version);
    // 002 and 003 are what German banks made of pain.002 before there was one for all.
    let ours = matches!(variant, "001") || name == "pain.002" && matches!(variant, "002" | "003");
    version.parse().ok().filter(|_| formed && ours).map(|version| (id, version))
}

fn other<R: BufRead>(xml: &Xml<R>, namespace: &str) -> ReadError {
    let start = |text: &str| -> String { text.chars().take(60).collect() };
    let found = match namespace.rsplit(':').next().unwrap_or_default() {
        sent if sent.starts_with("pain.001") => {
            format!("{}, a file for the bank and not its answer", start(sent))
        }
        sent if sent.starts_with("pain.") || sent.starts_with("camt.") => start(sent),
        _ if namespace.is_empty() => "a document that holds no message known here".into(),
        _ => format!("of the namespace {}", start(namespace)),
    };
    xml.error(Problem::OtherMessage { found, expected: EXPECTED })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_so_that_they_are_found() {
        assert!(NAMES.is_sorted_by(|a, b| a < b), "{NAMES:?}");
    }
}
