//! What banks really send: every version of the messages, every form of their parts, and files in
//! which nearly everything is somebody else's business. The shapes are those of public samples,
//! rebuilt.

use super::*;
use crate::answers::Answer as Heard;
use tallystick_ledger::Rail;
use tallystick_ledger::hearing::{Ground, Place};

pub const KEY: &str = "25U3A6IZ23CUTOKORTYKM677SQJKWZQD";
const IBAN: &str = "DE36000000000000000000";
const STANDARD: &str = "urn:iso:std:iso:20022:tech:xsd:";

/// A message about an account, of any of the three kinds.
pub fn account(message: &str, entries: &str) -> String {
    let (body, each) = match &message[..8] {
        "camt.052" => ("BkToCstmrAcctRpt", "Rpt"),
        "camt.053" => ("BkToCstmrStmt", "Stmt"),
        "camt.054" => ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
        other => panic!("{other}"),
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Document xmlns=\"{STANDARD}{message}\"><{body}>\
         <GrpHdr><MsgId>B-1</MsgId><CreDtTm>2026-11-30T23:00:00</CreDtTm></GrpHdr>\
         <{each}><Id>S-1</Id><Acct><Id><IBAN>{IBAN}</IBAN></Id></Acct>{entries}</{each}>\
         </{body}></Document>"
    )
}

/// A booked entry: `sts` in the form of its version, `inner` behind what every entry has.
pub fn entry(way: &str, amount: &str, sts: &str, inner: &str) -> String {
    format!(
        "<Ntry><Amt Ccy=\"EUR\">{amount}</Amt><CdtDbtInd>{way}</CdtDbtInd>{sts}\
         <AcctSvcrRef>R-1</AcctSvcrRef>{inner}</Ntry>"
    )
}

/// One transaction of an entry.
pub fn detail(inner: &str) -> String {
    format!("<NtryDtls><TxDtls>{inner}</TxDtls></NtryDtls>")
}

pub fn named(key: &str) -> String {
    detail(&format!("<Refs><EndToEndId>{key}</EndToEndId></Refs>"))
}

pub const TEXT: &str = "<Sts>BOOK</Sts>";
pub const CODE: &str = "<Sts><Cd>BOOK</Cd></Sts>";

pub fn answer(text: &str) -> Answer {
    read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What an answer makes of the golden batch's leg of EUR 12.33.
pub fn moves(text: &str) -> Option<LegState> {
    weighed(&multilateral(), &answer(text), KEY).to.map(|step| step.to)
}

/// Of 42 public statements 37 were refused for their version, and 34 of these are the same but for
/// the form of the status.
#[test]
fn every_version_of_a_statement_says_the_same() {
    for message in ["camt.053", "camt.054"] {
        for version in 2..=14 {
            for sts in [TEXT, CODE] {
                let id = format!("{message}.001.{version:02}");
                let text = account(&id, &entry("DBIT", "12.33", sts, &named(KEY)));
                assert_eq!(moves(&text), Some(LegState::Confirmed), "{id}");
                assert_eq!(answer(&text).summary.message, id);
            }
        }
    }
    for sts in [
        "<Sts>PDNG</Sts>",
        "<Sts>INFO</Sts>",
        "<Sts><Cd>PDNG</Cd></Sts>",
        "<Sts><Prtry>BOOK</Prtry></Sts>",
        "<Sts> FUTR </Sts>",
    ] {
        let text = account("camt.053.001.04", &entry("DBIT", "12.33", sts, &named(KEY)));
        let read = answer(&text);
        assert_eq!((read.reports.len(), read.summary.unbooked), (0, 1), "{sts}");
    }
    for sts in ["<Sts/>", "<Sts> </Sts>", "<Sts><x/></Sts>", "<Sts>BOOK<Cd>PDNG</Cd></Sts>"] {
        let text = account("camt.053.001.04", &entry("DBIT", "12.33", sts, &named(KEY)));
        assert!(read(text.as_bytes()).is_err(), "{sts}");
    }
}

/// The day is not over: what is booked now may be taken back without a trace in the statement.
#[test]
fn a_report_of_the_day_takes_on_a_payment_and_confirms_nothing() {
    for version in 2..=14 {
        let id = format!("camt.052.001.{version:02}");
        let text = account(&id, &entry("DBIT", "12.33", CODE, &named(KEY)));
        assert_eq!(moves(&text), Some(LegState::Accepted), "{id}");
    }
    let (_, said) = {
        let text = account("camt.052.001.08", &entry("DBIT", "12.33", CODE, &named(KEY)));
        told(&multilateral(), &answer(&text))
    };
    assert_eq!((said[0].1.ground, &said[0].1.place), (Ground::Report, &Place::Ours));
    let back = detail(&format!(
        "<Refs><EndToEndId>{KEY}</EndToEndId></Refs><RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>"
    ));
    for entries in [
        entry("CRDT", "12.33", CODE, &named(KEY)),
        entry("CRDT", "12.33", CODE, &back),
        entry("DBIT", "3.00", CODE, &named(KEY)),
    ] {
        let text = account("camt.052.001.08", &entries);
        assert_eq!(moves(&text), None, "{entries}");
    }
    let read = answer(&account("camt.052.001.08", &entry("CRDT", "12.33", CODE, &back)));
    let note = read.summary.notes[0].to_string();
    assert!(note.contains("came back") && note.contains("EUR 12.33 (R-1)"), "{note}");
    assert!(!read.summary.is_status());
}

/// Banks leave the namespace out, put it one element later, write another one, or put the message
/// into an envelope.
#[test]
fn a_message_is_known_however_its_namespace_is_written() {
    let standard = format!(" xmlns=\"{STANDARD}pain.002.001.10\"");
    let plain = status_report("<GrpSts>RJCT</GrpSts>", "");
    let plain = String::from_utf8(plain).unwrap();
    let swiss = "http://www.six-interbank-clearing.com/de/pain.002.001.03.ch.02.xsd";
    for written in [
        String::new(),
        " Xmlns=\"urn:iso\"".to_owned(),
        format!(" xmlns=\"{STANDARD}pain.002.003.03\""),
        format!(" xmlns=\"{STANDARD}pain.002.001.14\""),
        format!(" xmlns=\"{swiss}\" xmlns:xsi=\"urn:x\" xsi:schemaLocation=\"{swiss} x.xsd\""),
        " xmlns=\"urn:iso:std:iso:20023:tech:xsd:pain.002.001.03\"".to_owned(),
    ] {
        let text = plain.replace(&standard, &written);
        assert_eq!(answer(&text).reports, answer(&plain).reports, "{written}");
    }
    let late = plain.replace(&standard, "");
    let late = late.replace("<CstmrPmtStsRpt>", &format!("<CstmrPmtStsRpt{standard}>"));
    assert_eq!(answer(&late).summary.message, "pain.002.001.10");
    let prefixed = plain.replace('<', "<p:").replace("<p:/", "</p:").replace("xmlns=", "xmlns:p=");
    let envelope = |inner: &str| {
        format!(
            "\n<?xml version=\"1.0\"?>\n<e:Envelope xmlns:e=\"urn:e\"><e:AppHdr><To>X</To></e:AppHdr>text\
             <e:Body>{inner}</e:Body><e:End/></e:Envelope>\n"
        )
    };
    for text in [prefixed.clone(), envelope(&plain), envelope(&prefixed)] {
        assert_eq!(answer(&text).reports, answer(&plain).reports, "{text}");
    }
    for several in [envelope(&(plain.clone() + &plain)), envelope(&(plain.clone() + "<Document/>"))]
    {
        let refused = read(several.as_bytes()).unwrap_err().what;
        assert_eq!(refused, Problem::Several("Document"));
    }
    let late = plain.replace(&standard, "").replace(
        "<CstmrPmtStsRpt>",
        &format!("<CstmrPmtStsRpt xmlns=\"{STANDARD}pain.002.001.02\">"),
    );
    assert!(matches!(read(late.as_bytes()).unwrap_err().what, Problem::OtherMessage { .. }));
}

/// Goldman's report names no message; only the id tells that it is about ours.
#[test]
fn a_report_that_names_no_message_counts_if_its_id_has_the_form_of_ours() {
    let plain = String::from_utf8(status_report("<GrpSts>RJCT</GrpSts>", "")).unwrap();
    let nameless = plain.replace("<OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>", "");
    assert_eq!(answer(&nameless).reports, answer(&plain).reports);
    let id = &multilateral().head.id.to_string()[..32];
    let read = answer(&nameless.replace(id, "PAYROLL-17"));
    assert_eq!(read.reports, []);
    let note = read.summary.notes[0].to_string();
    assert!(note.contains("answers PAYROLL-17, which is no payment file of ours"), "{note}");
}

/// A pay-in whose key the payer, or a bank on the way, wrote otherwise was dropped without a word,
/// and the pay-outs stayed.
#[test]
fn a_key_is_found_wherever_in_an_entry_a_bank_writes_it() {
    let groups: Vec<&str> = (0..8).map(|at| &KEY[4 * at..4 * at + 4]).collect();
    let groups = groups.join(" ");
    let (front, rest) = KEY.split_at(24);
    let none = "<Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs>";
    let text = |inner: &str| detail(&format!("{none}<RmtInf>{inner}</RmtInf>"));
    let beside = |words: &str| format!("<AddtlNtryInf>{words}</AddtlNtryInf>");
    for inner in [
        text(&format!("<Ustrd>Settlement {groups}</Ustrd>")),
        text(&format!("<Ustrd>Settlement {front}</Ustrd><Ustrd>{rest}</Ustrd>")),
        text(&format!("<Ustrd>EREF+{KEY}SVWZ+Settlement</Ustrd>")),
        text(&format!("<Strd><CdtrRefInf><Tp/><Ref>{KEY}</Ref></CdtrRefInf></Strd>")),
        text(&format!("<Strd><RfrdDocInf><Nb>{KEY}</Nb></RfrdDocInf></Strd>")),
        text(&format!("<Strd><AddtlRmtInf>{KEY}</AddtlRmtInf></Strd>")),
        detail(&format!("{none}<AddtlTxInf>{KEY}</AddtlTxInf>")),
        detail(none) + &beside(&format!("Received money with reference {KEY}")),
        detail("") + &beside(&format!("/TRTP/SEPA/EREF/{KEY}/BIC/ABNANL2A")),
        beside(&format!("EREF+{KEY}SVWZ+Settlement")),
        "<NtryDtls/>".to_owned() + &beside(KEY),
    ] {
        let read = answer(&account("camt.053.001.02", &entry("DBIT", "12.33", TEXT, &inner)));
        let [report] = &*read.reports else { panic!("{inner}: {:?}", read.reports) };
        assert_eq!(report.scope, Scope::Leg { key: KEY.into() }, "{inner}");
        assert_eq!(weighed(&multilateral(), &read, KEY).to.unwrap().to, LegState::Confirmed);
    }
    // Words beside an entry are not those of one of its transactions.
    let two = format!("<NtryDtls><TxDtls>{none}</TxDtls><TxDtls>{none}</TxDtls></NtryDtls>");
    for inner in [two + &beside(KEY), beside("no key at all"), detail(none) + &beside(front)] {
        let read = answer(&account("camt.053.001.02", &entry("DBIT", "12.33", TEXT, &inner)));
        assert_eq!(read.reports, [], "{inner}");
    }
    let other = "3KIJ2IVT3UV3V2PBUUPPU4QOVASSUAEV";
    let inner = beside(&format!("{KEY} and {other}"));
    let read = answer(&account("camt.053.001.02", &entry("DBIT", "12.33", TEXT, &inner)));
    assert!(matches!(&*read.summary.notes, [Note::SeveralKeys { .. }]) && read.reports.is_empty());
}

/// Ids of 32 hexadecimal digits are what every other program has, too: each was noted as one of
/// ours, and a thousand of them hid what was ours.
#[test]
fn others_entries_are_counted_and_never_noted_or_kept() {
    let others: String = (0..2_000)
        .map(|number| {
            let id = format!("{number:032x}");
            let inner = match number % 3 {
                0 => format!("<NtryDtls><Btch><MsgId>{id}</MsgId></Btch></NtryDtls>"),
                1 => detail(&format!("<Refs><MsgId>{id}</MsgId></Refs>")),
                _ => detail("<RmtInf><Ustrd>Invoice 4711 of March</Ustrd></RmtInf>"),
            };
            entry("DBIT", "5.00", CODE, &inner)
        })
        .collect();
    let ours = entry("DBIT", "12.33", CODE, &named(KEY));
    let id = multilateral().head.id.to_string();
    let batch = format!("<NtryDtls><Btch><MsgId>{}</MsgId></Btch></NtryDtls>", &id[..32]);
    let text = account("camt.053.001.08", &(others + &ours + &entry("DBIT", "9.00", CODE, &batch)));
    let is_ours = |one: &str| one == &id[..32];
    let scale = |key: &str| (key == KEY).then_some(6);
    let known = Known { scale: &scale, file: &is_ours };
    let heard = Heard::read(Rail::Iso20022, text.as_bytes(), known).unwrap();
    assert_eq!((heard.names().len(), heard.others(), heard.more_remarks()), (2, 2_000, 0));
    let [remark] = heard.remarks() else { panic!("{:?}", heard.remarks()) };
    assert_eq!(remark.within.as_deref(), Some(&id[..32]));
}

#[test]
fn a_statement_in_another_character_set_moves_its_legs() {
    let text = account("camt.053.001.02", &entry("DBIT", "12.33", TEXT, &named(KEY)));
    let party = "<AddtlNtryInf>M\u{fc}ller</AddtlNtryInf></Ntry>";
    let text = text.replace("</Ntry>", party);
    let western: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let declared = |label: &str| -> Vec<u8> {
        let as_text = text.replace("UTF-8", label);
        as_text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
    };
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide = [&b"\xff\xfe"[..], &wide].concat();
    let utf8 = text.replace("UTF-8", "UTF8").into_bytes();
    let lies = text.replace("UTF-8", "ISO-8859-1").into_bytes();
    for bytes in [western, declared("ISO-8859-1"), declared("windows-1252"), wide, utf8, lies] {
        let read = read(&bytes).unwrap();
        assert_eq!(weighed(&multilateral(), &read, KEY).to.unwrap().to, LegState::Confirmed);
    }
}
