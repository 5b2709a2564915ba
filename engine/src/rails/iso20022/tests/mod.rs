//! What comes back from banks must be read exactly, or refused as a whole.
//!
//! The files are in `answers/`; its README says who made them. `xmllint` with the official schemas
//! says that they are what banks may send.

mod meaning;
mod refused;

use super::*;
use crate::ledger::BatchContent;
use crate::rails::status::{LegReport, LegWord};
use crate::rails::tests::{BILATERAL, MULTILATERAL, OWED, asset, batch, plain, xmllint};
use crate::types::Total;

/// Every kept answer, with the message that it is.
const ANSWERS: [(&str, &str); 10] = [
    ("multilateral.received.pain.002.001.03.xml", "pain.002.001.03"),
    ("multilateral.rejected.pain.002.001.10.xml", "pain.002.001.10"),
    ("multilateral.partial.pain.002.001.10.xml", "pain.002.001.10"),
    ("multilateral.settled.pain.002.001.12.xml", "pain.002.001.12"),
    ("bilateral.partial.pain.002.001.03.xml", "pain.002.001.03"),
    ("bilateral.blocks.pain.002.001.10.xml", "pain.002.001.10"),
    ("hand.pain.002.001.10.xml", "pain.002.001.10"),
    ("hand.camt.053.001.08.xml", "camt.053.001.08"),
    ("hand.camt.054.001.08.xml", "camt.054.001.08"),
    ("dk.pain.002.001.10.xml", "pain.002.001.10"),
];

/// What was told of one leg: key, word, reference, reason, amount in asset units.
type Told = (String, LegWord, String, String, Option<u128>);

fn file(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rails/iso20022/answers");
    std::fs::read(format!("{folder}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn multilateral() -> BatchContent {
    batch(&asset("EUR", 6, MULTILATERAL), &OWED, &plain)
}

fn bilateral() -> BatchContent {
    batch(&asset("EUR", 6, BILATERAL), &OWED, &plain)
}

/// What an answer tells of the legs of a batch, and what does not fit.
fn told(content: &BatchContent, answer: &Answer) -> (Vec<Told>, Vec<Misfit>) {
    let (mut legs, mut told, mut misfits) = (Legs::new(content, 0), Vec::new(), Vec::new());
    for report in &answer.reports {
        let mut tell = |LegReport { key, word, reference, reason, amount }: LegReport| {
            told.push((key, word, reference, reason, amount.map(|Total(units)| units)));
        };
        if let Err(misfit) = legs.take(report, &mut tell) {
            misfits.push(misfit);
        }
    }
    (told, misfits)
}

/// Key and word alone.
fn words(told: &[Told]) -> Vec<(&str, LegWord)> {
    told.iter().map(|(key, word, ..)| (key.as_str(), *word)).collect()
}

/// The keys of the legs that are in the bank file.
fn paid(content: &BatchContent) -> Vec<&str> {
    let paid = content.legs.iter().filter(|leg| !leg.payment.is_pay_in());
    paid.map(|leg| leg.key.as_str()).collect()
}

/// A status report about the golden multilateral batch with this in place of its statuses.
fn status_report(group: &str, blocks: &str) -> Vec<u8> {
    let id = multilateral().head.id.to_string();
    format!(
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.002.001.10\"><CstmrPmtStsRpt>\
         <GrpHdr><MsgId>M</MsgId><CreDtTm>2026-11-30T08:00:00</CreDtTm></GrpHdr>\
         <OrgnlGrpInfAndSts><OrgnlMsgId>{}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>\
         {group}</OrgnlGrpInfAndSts>{blocks}</CstmrPmtStsRpt></Document>",
        &id[..32]
    )
    .into_bytes()
}

/// One payment information block: the first of the golden multilateral batch.
fn block(inner: &str) -> String {
    let id = multilateral().head.id.to_string();
    let id = &id[..24];
    format!("<OrgnlPmtInfAndSts><OrgnlPmtInfId>{id}-1</OrgnlPmtInfId>{inner}</OrgnlPmtInfAndSts>")
}

/// One transaction of a status report.
fn transaction(key: &str, status: &str) -> String {
    format!(
        "<TxInfAndSts><OrgnlEndToEndId>{key}</OrgnlEndToEndId><TxSts>{status}</TxSts></TxInfAndSts>"
    )
}
