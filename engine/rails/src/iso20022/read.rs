//! Reads what a bank sends back: pain.002, camt.053 and camt.054.
//!
//! Owns which messages are known. A file is read from front to back in bounded memory, and refused
//! as a whole at the first thing that is wrong: what was handed out before an error counts for
//! nothing. Never asks which batches exist.

use super::answer::{Answer, Kind, Report, Summary};
use super::problem::{Problem, ReadError};
use super::xml::Xml;
use super::{camt, pain002};
use std::io::BufRead;

/// What a namespace begins with, in front of the message.
const NAMESPACE: &str = "urn:iso:std:iso:20022:tech:xsd:";

/// The messages that are read. The versions of pain.002 differ in nothing that is read here.
const MESSAGES: [(&str, Kind); 5] = [
    ("pain.002.001.03", Kind::Status),
    ("pain.002.001.10", Kind::Status),
    ("pain.002.001.12", Kind::Status),
    ("camt.053.001.08", Kind::Statement),
    ("camt.054.001.08", Kind::Notification),
];
const EXPECTED: &str =
    "pain.002.001.03, pain.002.001.10, pain.002.001.12, camt.053.001.08 or camt.054.001.08";

/// Every element that is ever looked at, in the order of their names.
const NAMES: [&str; 65] = [
    "Acct",
    "AcctSvcrRef",
    "AddtlInf",
    "Amt",
    "AmtDtls",
    "AnyBIC",
    "BICOrBEI",
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
    "NbOfTxs",
    "Nm",
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
    "PrvtId",
    "Ref",
    "Refs",
    "RmtInf",
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
    visit: &mut dyn FnMut(Report) -> Result<(), E>,
) -> Result<Summary, E> {
    let mut xml = Xml::open(input, "Document", &NAMES)?;
    let (message, kind) = recognise(&xml)?;
    let mut summary = Summary::new(kind, message);
    let (mut handed_out, mut body) = (0, None);
    let mut count = |report: Report| {
        handed_out += 1;
        visit(report)
    };
    let wanted = match kind {
        Kind::Status => "CstmrPmtStsRpt",
        Kind::Statement => "BkToCstmrStmt",
        Kind::Notification => "BkToCstmrDbtCdtNtfctn",
    };
    while let Some(name) = xml.child()? {
        if name != wanted {
            xml.skip()?;
            continue;
        }
        xml.once(&body, wanted)?;
        body = Some(());
        match kind {
            Kind::Status => pain002::report(&mut xml, &mut summary, &mut count)?,
            Kind::Statement => camt::accounts(&mut xml, "Stmt", &mut summary, &mut count)?,
            Kind::Notification => camt::accounts(&mut xml, "Ntfctn", &mut summary, &mut count)?,
        }
    }
    if body.is_none() {
        return Err(xml.missing(wanted, "Document").into());
    }
    xml.finish()?;
    summary.reports = handed_out;
    Ok(summary)
}

/// Reads a file that fits into memory.
///
/// # Errors
/// `ReadError` when the file is refused.
pub fn read(bytes: &[u8]) -> Result<Answer, ReadError> {
    let mut reports = Vec::new();
    let summary = read_stream(bytes, &mut |report| {
        reports.push(report);
        Ok::<(), ReadError>(())
    })?;
    Ok(Answer { summary, reports })
}

fn recognise<R: BufRead>(xml: &Xml<R>) -> Result<(&'static str, Kind), ReadError> {
    let namespace = xml.namespace();
    let message = namespace.strip_prefix(NAMESPACE);
    let known = MESSAGES.into_iter().find(|&(name, _)| message == Some(name));
    known.ok_or_else(|| {
        let found: String = match message {
            Some(sent) if sent.starts_with("pain.001") => {
                format!("{sent}, a file for the bank and not its answer")
            }
            Some(other) => other.chars().take(60).collect(),
            None if namespace.is_empty() => "a document without a namespace".into(),
            None => format!("of the namespace {}", namespace.chars().take(60).collect::<String>()),
        };
        xml.error(Problem::OtherMessage { found, expected: EXPECTED })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_so_that_they_are_found() {
        assert!(NAMES.is_sorted_by(|a, b| a < b), "{NAMES:?}");
    }
}
