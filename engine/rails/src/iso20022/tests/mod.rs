//! What comes back from banks must be read exactly, or refused as a whole.
//!
//! The files are in `answers/`; its README says who made them. `xmllint` with the official schemas
//! says that they are what banks may send.

mod dialects;
mod hostile;
mod meaning;
mod others;
mod refused;

use super::legs::statement;
use super::*;
use crate::answers::Known;
use crate::status::LegWord;
use crate::tests::{BILATERAL, MULTILATERAL, OWED, asset, batch, plain, xmllint};
use tallystick_ledger::hearing::{Finding, Side, Statement, Subject, Sum, Verdict, weigh};
use tallystick_ledger::types::Total;
use tallystick_ledger::{LegState, Movements, OpenBatch};

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
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/iso20022/answers");
    std::fs::read(format!("{folder}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Reads a file for which every name of the right form is one of ours.
fn read(bytes: &[u8]) -> Result<Answer, ReadError> {
    super::read(bytes, Known::ANY)
}

fn multilateral() -> OpenBatch {
    batch(&asset("EUR", 6, MULTILATERAL), &OWED, &plain)
}

fn bilateral() -> OpenBatch {
    batch(&asset("EUR", 6, BILATERAL), &OWED, &plain)
}

/// What an answer tells of the legs of a batch: of each leg what its narrowest reports say, in the
/// order of the answer; and every statement with the leg that it is about.
fn told(content: &OpenBatch, answer: &Answer) -> (Vec<Told>, Vec<(String, Statement)>) {
    let files = Legs::new(content, 0);
    let mut spoken: Vec<(usize, u8, &Report)> = Vec::new();
    for report in &answer.reports {
        let (places, breadth) = match &report.scope {
            Scope::Leg { key } => {
                let found = content.legs.iter().position(|leg| leg.key == *key);
                (found.map_or(0..0, |at| at..at + 1), 0)
            }
            scope @ Scope::Payment { .. } => (files.of(scope), 1),
            scope @ Scope::Message { .. } => (files.of(scope), 2),
        };
        spoken.extend(places.map(|place| (place, breadth, report)));
    }
    let narrowest = |place| {
        spoken.iter().filter(|one| one.0 == place).map(|one| one.1).min().expect("it is spoken of")
    };
    let (mut told, mut said) = (Vec::new(), Vec::new());
    for (place, _, report) in spoken.iter().filter(|one| one.1 == narrowest(one.0)) {
        let leg = &content.legs[*place];
        let asset = &content.head.asset;
        let iban = "DE36000000000000000000";
        let Some(statement) = statement(report, asset, iban, None) else { continue };
        let amount = match &statement.sum {
            Sum::Units(Total(units)) => Some(*units),
            Sum::Unsaid | Sum::Alien(_) => None,
        };
        let Statement { word, reference, reason, .. } = statement.clone();
        told.push((leg.key.clone(), word, reference, reason, amount));
        said.push((leg.key.clone(), statement));
    }
    (told, said)
}

/// What the ledger makes of all that an answer says of one leg that is SENT.
fn weighed(content: &OpenBatch, answer: &Answer, key: &str) -> Verdict {
    let leg = content.legs.iter().find(|leg| leg.key == key).expect("it is a leg");
    let said = told(content, answer).1.into_iter().filter(|(of, _)| of == key);
    let said: Vec<Statement> = said.map(|(_, statement)| statement).collect();
    let side = if leg.payment.is_pay_in() { Side::In } else { Side::Out };
    let subject = Subject {
        state: LegState::Sent,
        has_left: true,
        side,
        amount: leg.payment.amount,
        went: Movements::NONE,
        came: Movements::NONE,
    };
    weigh(&subject, &said)
}

/// Key and word alone.
fn words(told: &[Told]) -> Vec<(&str, LegWord)> {
    told.iter().map(|(key, word, ..)| (key.as_str(), *word)).collect()
}

/// The keys of the legs that are in the bank file.
fn paid(content: &OpenBatch) -> Vec<&str> {
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
