//! Files that say more than they prove, and files that are made to stop whoever reads them: what
//! payers and payees can write into a bank's file, and what nobody honest writes.

use super::dialects::{CODE, KEY, TEXT, account, answer, detail, entry, moves, named};
use super::*;
use crate::answers::Answer as Heard;
use std::fmt::Write;
use tallystick_ledger::Rail;
use tallystick_ledger::limits::{ANSWER_GUESSES_MAX, TEXT_BYTES_MAX};

const OTHER: &str = "3KIJ2IVT3UV3V2PBUUPPU4QOVASSUAEV";

fn statement(entries: &str) -> String {
    account("camt.053.001.08", entries)
}

/// One transaction with its key, sum and more.
fn part(key: &str, inner: &str) -> String {
    format!("<TxDtls><Refs><EndToEndId>{key}</EndToEndId></Refs>{inner}</TxDtls>")
}

fn listed(parts: &[String]) -> String {
    format!("<NtryDtls>{}</NtryDtls>", parts.concat())
}

fn sum(amount: &str) -> String {
    format!("<Amt Ccy=\"EUR\">{amount}</Amt>")
}

/// A transaction said 12.33, its entry booked one cent, and the leg was paid.
#[test]
fn a_transaction_moves_its_leg_only_if_its_entry_booked_as_much() {
    let own = sum("12.33");
    let gross = "<AmtDtls><InstdAmt><Amt Ccy=\"EUR\">12.33</Amt></InstdAmt></AmtDtls>";
    let of = |way: &str, booked: &str, parts: &[String]| {
        moves(&statement(&entry(way, booked, CODE, &listed(parts))))
    };
    let ours = || part(KEY, &own);
    let other = |amount: &str| part("A-1", &sum(amount));
    let against =
        |amount: &str| part("A-1", &format!("{}<CdtDbtInd>CRDT</CdtDbtInd>", sum(amount)));
    for (booked, parts) in [
        ("12.33", vec![ours()]),
        ("12.83", vec![ours()]),
        ("20.00", vec![ours(), other("7.67")]),
        ("20.00", vec![other("7.67"), ours()]),
        ("99.00", vec![ours(), part("A-1", "")]),
        ("10.33", vec![ours(), against("2.00")]),
        ("12.33", vec![part(KEY, gross), other("0")]),
    ] {
        assert_eq!(of("DBIT", booked, &parts), Some(LegState::Confirmed), "{booked} {parts:?}");
    }
    for (booked, parts) in [
        ("0.01", vec![ours()]),
        ("12.32", vec![ours()]),
        ("12.33", vec![ours(), other("0.01")]),
        ("12.33", vec![ours(), ours()]),
        ("10.00", vec![part(KEY, gross), other("0")]),
        ("12.33", vec![part(KEY, &format!("{own}<CdtDbtInd>CRDT</CdtDbtInd>"))]),
        ("5.00", vec![ours(), against("17.33")]),
    ] {
        assert_eq!(of("DBIT", booked, &parts), None, "{booked} {parts:?}");
    }
    // Money that went the other way than the entry proves nothing of a leg that goes its way.
    let turned = part(KEY, &format!("{own}<CdtDbtInd>DBIT</CdtDbtInd>"));
    assert_eq!(of("CRDT", "12.33", &[turned]), None);
    let read = answer(&statement(&entry("DBIT", "0.01", CODE, &listed(&[ours()]))));
    let found = &weighed(&multilateral(), &read, KEY).findings[0];
    let text = found.text(KEY, LegState::Sent, Total(12_330_000), 6);
    assert!(text.contains("EUR 12.33, which does not fit its entry of EUR 0.01 (R-1"), "{text}");
}

/// A payer instructed the sum of its pay-in in another currency, banks on the way kept most of it,
/// and the pay-in was confirmed.
#[test]
fn what_was_instructed_in_another_currency_is_no_pay_in() {
    let content = multilateral();
    let leg = content.legs.iter().find(|leg| leg.payment.is_pay_in()).unwrap();
    let euros = leg.payment.amount.decimal(6);
    let euros = euros.trim_end_matches('0');
    let instructed = |of: &str| {
        let sums =
            format!("<AmtDtls><InstdAmt><Amt Ccy=\"EUR\">{euros}</Amt></InstdAmt></AmtDtls>");
        let inner = listed(&[part(&leg.key, &sums)]);
        let text = statement(&entry("CRDT", "0.01", CODE, &inner).replacen("EUR\">0.01", of, 1));
        weighed(&content, &answer(&text), &leg.key).to.map(|step| step.to)
    };
    assert_eq!(instructed("USD\">0.01"), None);
    assert_eq!(instructed(&format!("EUR\">{euros}")), Some(LegState::Confirmed));
}

/// What goes the other way has no share of an entry's sum.
#[test]
fn a_share_of_an_entry_goes_the_way_of_the_entry() {
    let against = "<CdtDbtInd>CRDT</CdtDbtInd>";
    for (inner, shared) in [("", Some(0)), (against, None)] {
        let parts = [part(KEY, inner), part(OTHER, "")];
        let read = answer(&statement(&entry("DBIT", "12.58", CODE, &listed(&parts))));
        assert_eq!(read.reports[0].shared, shared);
    }
}

/// A bank that has no reference for a payment writes the same into each, or nothing: the second of
/// two payments of one leg was taken for the first one, told twice.
#[test]
fn what_is_no_reference_hides_no_second_payment() {
    let of = |reference: &str, inner: &str| {
        let one = entry("DBIT", "12.33", CODE, inner);
        one.replace("<AcctSvcrRef>R-1<", &format!("<AcctSvcrRef>{reference}<"))
    };
    let surplus = |entries: &str| {
        let verdict = weighed(&multilateral(), &answer(&statement(entries)), KEY);
        assert_eq!(verdict.to.unwrap().to, LegState::Confirmed);
        verdict.findings.iter().filter(|one| matches!(one, Finding::Surplus(_))).count()
    };
    for none in ["", "NONREF", "NotProvided", "N/A", "000000", "-"] {
        assert_eq!(surplus(&of(none, &named(KEY)).repeat(2)), 1, "{none:?}");
    }
    assert_eq!(surplus(&of("R-1", &named(KEY)).repeat(2)), 0, "one movement, told twice");
    let shared = format!(
        "<TxDtls><Refs><AcctSvcrRef>R-1</AcctSvcrRef><EndToEndId>{KEY}</EndToEndId></Refs>{}</TxDtls>",
        sum("12.33")
    );
    let twice = entry("DBIT", "24.66", CODE, &listed(&[shared.clone(), shared]));
    assert_eq!(surplus(&twice), 1, "two transactions of one entry");
}

/// Money on an account that the file did not name was taken for money on ours.
#[test]
fn an_account_without_a_number_is_refused() {
    for id in ["", " ", "-", "\u{e4}"] {
        let text = statement(&entry("DBIT", "12.33", CODE, &named(KEY)));
        let text = text.replace("DE36000000000000000000", id);
        let missing = Problem::Missing { element: "Id", within: "Acct" };
        assert_eq!(read(text.as_bytes()).unwrap_err().what, missing, "{id:?}");
    }
}

/// Whoever is paid knows the key, and may draw the same sum once more under it.
#[test]
fn a_direct_debit_that_quotes_a_key_is_no_payment_of_ours() {
    let code = |family: &str, sub: &str| {
        format!(
            "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{family}</Cd><SubFmlyCd>{sub}</SubFmlyCd></Fmly></Domn>\
             </BkTxCd>"
        )
    };
    let own = |code: &str| {
        format!("<BkTxCd><Prtry><Cd>{code}</Cd><Issr>DK</Issr></Prtry></BkTxCd>{}", named(KEY))
    };
    for (own_code, state) in
        [("NTRF+116", Some(LegState::Confirmed)), ("NCHG+808", None), ("NDDT+105", None)]
    {
        let text = statement(&entry("DBIT", "12.33", CODE, &own(own_code)));
        assert_eq!(moves(&text), state, "{own_code}");
    }
    for inner in [
        own("NDDT+105+00931"),
        code("RDDT", "ESDD") + &named(KEY),
        listed(&[part(KEY, &code("RDDT", "ESDD"))]),
        code("RDDT", "ESDD") + &detail(&format!("<RmtInf><Ustrd>{KEY}</Ustrd></RmtInf>")),
    ] {
        let text = statement(&entry("DBIT", "12.33", CODE, &inner));
        assert_eq!(moves(&text), None, "{inner}");
        let note = answer(&text).summary.notes[0].to_string();
        assert!(note.contains("drew EUR 12.33 (R-1)") && note.contains(KEY), "{note}");
    }
    let text = statement(&entry("DBIT", "12.33", CODE, &(code("ICDT", "ESCT") + &named(KEY))));
    assert_eq!(moves(&text), Some(LegState::Confirmed));
    // What the entry says of all of them holds for each, whatever code its payment had.
    let ours = |code_of_entry: &str, way: &str| {
        let parts = listed(&[part(KEY, &(code("ICDT", "ESCT") + &sum("12.33")))]);
        moves(&statement(&entry(way, "12.33", CODE, &(code("ICDT", code_of_entry) + &parts))))
    };
    assert_eq!(ours("RRTN", "CRDT"), Some(LegState::Rejected));
    assert_eq!(ours("CHRG", "DBIT"), None);
}

/// One entry of somebody else's in several parts had the whole statement refused.
#[test]
fn an_entry_may_have_several_parts_and_each_its_file() {
    let id = multilateral().head.id.to_string();
    let batch = |id: &str, count: u32| {
        format!("<NtryDtls><Btch><MsgId>{id}</MsgId><NbOfTxs>{count}</NbOfTxs></Btch></NtryDtls>")
    };
    let parts = batch("A-1", 3) + &batch(&id[..32], 4) + &batch("A-2", 5);
    let others = entry("DBIT", "99.00", TEXT, &(batch("A-1", 1) + &batch("A-2", 1)));
    let ours = entry("DBIT", "12.33", TEXT, &named(KEY));
    let text = statement(&(others + &entry("DBIT", "99.00", TEXT, &parts) + &ours));
    let known = Known { scale: &|_| Some(6), file: &|one| one == &id[..32] };
    let read = super::super::read(text.as_bytes(), known).unwrap();
    assert_eq!((read.reports.len(), read.summary.others), (2, 1));
    assert!(matches!(&*read.summary.notes, [Note::BatchBooked { .. }]));
    // Two that are claimed are not one that is listed.
    let alone = batch("A-1", 1) + &batch("A-2", 1) + &named(KEY);
    assert_eq!(moves(&statement(&entry("DBIT", "12.33", TEXT, &alone))), None);
}

/// A payer's program had an id of the same form for its transfer, and the key that stood in the
/// text was not looked at. Nor was one that stood in its place in groups.
#[test]
fn a_key_in_the_text_is_found_behind_an_id_that_only_looks_like_one() {
    let foreign = format!("{}{}", &OTHER[..16], &KEY[..16]);
    let groups = format!("{} {}", &KEY[..16], &KEY[16..]);
    let scale = |key: &str| [KEY, OTHER].contains(&key).then_some(6);
    let known = Known { scale: &scale, file: &|_| false };
    for (id, words, keys) in [
        (&*foreign, KEY, vec![KEY]),
        (&*groups, "", vec![KEY]),
        (&*foreign, "no key", vec![&*foreign]),
        (KEY, OTHER, vec![KEY]),
        (&*foreign, &*format!("{KEY} {OTHER}"), vec![]),
    ] {
        let refs = format!("<Refs><EndToEndId>{id}</EndToEndId></Refs>");
        let inner = detail(&format!("{refs}<RmtInf><Ustrd>{words}</Ustrd></RmtInf>"));
        let text = statement(&entry("DBIT", "12.33", TEXT, &inner));
        let heard = Heard::read(Rail::Iso20022, text.as_bytes(), known).unwrap();
        let wanted: Vec<_> = keys.iter().map(|key| crate::Name::Leg(key)).collect();
        let names: Vec<_> = heard.names().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, wanted, "{id} {words}");
    }
}

/// A file that named one of ours ten thousand times was ten thousand words for each of its legs,
/// all held at once.
#[test]
fn what_is_said_of_a_whole_file_is_heard_once() {
    let id = multilateral().head.id.to_string()[..32].to_owned();
    let batch = |id: &str| format!("<NtryDtls><Btch><MsgId>{id}</MsgId></Btch></NtryDtls>");
    let one = entry("DBIT", "9.00", CODE, &batch(&id))
        + &entry("DBIT", "9.00", CODE, &batch(&id.to_uppercase()));
    let heard =
        |bytes: &[u8]| Heard::read(Rail::Iso20022, bytes, Known::ANY).unwrap().names().len();
    assert_eq!(heard(statement(&one.repeat(500)).as_bytes()), 1);
    let two = block("<PmtInfSts>ACSP</PmtInfSts>")
        + &block("<PmtInfSts>RJCT</PmtInfSts>").replace("-1<", "-2<");
    assert_eq!(heard(&status_report("", &two.repeat(500))), 2, "each block once");
}

/// Texts of which every word could begin a key kept the engine busy for as long as the file was
/// long.
#[test]
fn texts_that_are_made_to_be_searched_are_refused() {
    let mut words = String::new();
    (0..1_300).for_each(|_| words.push_str("A2 "));
    let texts = format!("<Ustrd>{words}</Ustrd>").repeat(4);
    let one = entry("DBIT", "1.00", TEXT, &detail(&format!("<RmtInf>{texts}</RmtInf>")));
    let none = Known { scale: &|_| None, file: &|_| false };
    let fits = super::super::read(statement(&one).as_bytes(), none).unwrap();
    let each = fits.summary.guesses;
    assert!(each > 5_000, "{each}");
    let mut all = String::new();
    (0..ANSWER_GUESSES_MAX / each + 1).for_each(|_| write!(all, "{one}").unwrap());
    let refused = Heard::read(Rail::Iso20022, statement(&all).as_bytes(), none).err().unwrap();
    assert!(refused.starts_with("the texts of the file"), "{refused}");
}

/// Half a million reports with texts of four thousand bytes were two gigabytes.
#[test]
fn what_is_kept_of_a_report_is_bounded() {
    let long = "x".repeat(4_000);
    let one = entry("DBIT", "12.33", CODE, &named(KEY)).replace("R-1", &long);
    let said = answer(&statement(&one));
    assert!(said.reports[0].reference.len() <= TEXT_BYTES_MAX);
    let id = format!("<StsId>{long}</StsId>");
    let of = transaction(KEY, &long).replace("<TxInfAndSts>", &format!("<TxInfAndSts>{id}"));
    let said = read(&status_report("", &block(&of))).unwrap();
    let Report { status, reference, .. } = &said.reports[0];
    assert!(status.len() <= TEXT_BYTES_MAX && reference.len() <= TEXT_BYTES_MAX);
}

/// A file that was handed in once more under another name, and refused, had its legs rejected,
/// which the first one paid: they were owed again.
#[test]
fn a_report_on_a_copy_under_another_name_moves_no_leg() {
    let id = multilateral().head.id.to_string();
    let (message, own) = (&id[..32], format!("{}-1", &id[..24]));
    let text = String::from_utf8(status_report("", &block(&transaction(KEY, "RJCT")))).unwrap();
    let is_ours = |one: &str| one == message || one == own;
    let scale = |key: &str| (key == KEY).then_some(6);
    for (of, within, moves) in [
        (message, &*own, true),
        ("COPY-1", &*own, true),
        (message, "COPY-1-1", true),
        ("NOTPROVIDED", "NOTPROVIDED", true),
        ("COPY-1", "COPY-1-1", false),
        ("0123456789abcdef0123456789abcdef", "0123456789abcdef01234567-1", false),
    ] {
        let text = text.replace(&own, within).replace(&format!(">{message}<"), &format!(">{of}<"));
        let known = Known { scale: &scale, file: &is_ours };
        let read = super::super::read(text.as_bytes(), known).unwrap();
        assert_eq!(read.reports.len(), usize::from(moves), "{of} {within}");
        assert_eq!(read.summary.notes.len(), usize::from(!moves));
        // What is nobody's leg here is told as such.
        let none = Known { scale: &|_| None, file: &is_ours };
        assert_eq!(super::super::read(text.as_bytes(), none).unwrap().reports.len(), 1);
    }
}

/// A document with two messages was read for its first one, and the other was passed over.
#[test]
fn a_document_holds_one_message() {
    let status = String::from_utf8(status_report("<GrpSts>RJCT</GrpSts>", "")).unwrap();
    let body = |text: &str| {
        let from = text.find("><").unwrap() + 1;
        text[from..].replace("</Document>", "")
    };
    let booked = statement(&entry("DBIT", "12.33", CODE, &named(KEY)));
    let booked = body(&booked[booked.find("<Document").unwrap()..]);
    for namespace in ["", " xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.002.001.10\""] {
        let both = format!("<Document{namespace}>{}{booked}</Document>", body(&status));
        let refused = read(both.as_bytes()).unwrap_err().what;
        assert_eq!(refused, Problem::Misplaced("BkToCstmrStmt"), "{namespace}");
    }
}

/// Banks write people's names into the reasons of what they refuse or send back, and some where a
/// code belongs. All of it was journaled with the leg, where erasing a party does not reach.
#[test]
fn words_of_a_bank_stand_beside_the_answer_and_are_not_journaled() {
    let reasons = [
        "<Rsn><Cd>AC04</Cd></Rsn><AddtlInf>Account of Ann Smith, DE89370400440532013000</AddtlInf>",
        "<Rsn><Prtry>Ann Smith died</Prtry></Rsn>",
        "<Orgtr><Nm>Ann Smith</Nm><Id><OrgId><Othr><Id>Ann Smith</Id></Othr></OrgId></Id></Orgtr>\
         <Rsn><Cd>MS03</Cd></Rsn><AddtlInf>Ann</AddtlInf><AddtlInf>Smith</AddtlInf>",
        "<Rsn><Prtry>DE89370400440532013000</Prtry></Rsn>",
    ];
    let wide = |reason: &str| {
        let group = format!("<GrpSts>RJCT</GrpSts><StsRsnInf>{reason}</StsRsnInf>");
        status_report(&group, "")
    };
    let narrow = |reason: &str| {
        let one = format!(
            "<TxInfAndSts><OrgnlEndToEndId>{KEY}</OrgnlEndToEndId><TxSts>RJCT</TxSts><StsRsnInf>{reason}\
             </StsRsnInf></TxInfAndSts>"
        );
        status_report("", &block(&one))
    };
    let back = |reason: &str| {
        let of = format!("<Refs><EndToEndId>{KEY}</EndToEndId></Refs><RtrInf>{reason}</RtrInf>");
        statement(&entry("CRDT", "12.33", CODE, &detail(&of))).into_bytes()
    };
    let unnamed = |reason: &str| {
        let one = format!(
            "<TxInfAndSts><OrgnlEndToEndId>NOTPROVIDED</OrgnlEndToEndId><TxSts>RJCT</TxSts><StsRsnInf>{reason}\
             </StsRsnInf></TxInfAndSts>"
        );
        status_report("", &block(&one))
    };
    let secret =
        |text: &str| text.contains("Ann") || text.contains("Smith") || text.contains("DE89");
    for reason in reasons {
        for file in [wide(reason), narrow(reason), back(reason)] {
            let (told, _) = told(&multilateral(), &read(&file).unwrap());
            assert!(!told.is_empty() && told.iter().all(|told| !secret(&told.3)), "{told:?}");
            let heard = Heard::read(Rail::Iso20022, file.as_slice(), Known::ANY).unwrap();
            let words = heard.words(0).unwrap();
            assert!(secret(&words), "the note has them: {words}");
        }
        let file = unnamed(reason);
        let heard = Heard::read(Rail::Iso20022, file.as_slice(), Known::ANY).unwrap();
        let remark = &heard.remarks()[0];
        assert!(remark.trouble.is_some() && !secret(&remark.text), "{}", remark.text);
        assert!(secret(&remark.aside), "{}", remark.aside);
    }
    let status = status_report("<GrpSts>Ann Smith</GrpSts>", "");
    assert_eq!(read(&status).unwrap().reports[0].status, "a status in words");
}
