//! Other people's entries that cannot be read: their money, and no reason to leave ours waiting.
//! What could be ours still refuses the file.

use super::dialects::{CODE, KEY, account, detail, entry, named};
use super::*;
use crate::answers::Answer as Heard;
use tallystick_ledger::Rail;
use tallystick_ledger::limits::ANSWER_NAMES_SHOWN;

/// One of ours, paid as it should be.
fn ours() -> String {
    entry("DBIT", "12.33", CODE, &named(KEY))
}

/// Entries with a value that cannot be, around this.
fn faulty(inner: &str) -> Vec<String> {
    let amount = |text: &str| entry("DBIT", text, CODE, inner);
    let with = |from: &str, to: &str| {
        let whole = entry("DBIT", "12.33", CODE, inner);
        assert!(whole.contains(from));
        whole.replacen(from, to, 1)
    };
    vec![
        amount("12,33"),
        amount("-5.00"),
        amount("1234567890123456789.00"),
        amount(""),
        with("Ccy=\"EUR\"", "Ccy=\"euro\""),
        with("<Amt Ccy=\"EUR\">12.33</Amt>", ""),
        with("DBIT", "DEBIT"),
        with("<CdtDbtInd>DBIT</CdtDbtInd>", ""),
        with(CODE, ""),
        with(CODE, &format!("{CODE}<RvslInd>no</RvslInd>")),
        with(CODE, &format!("{CODE}<AmtDtls><TxAmt><Amt Ccy=\"EUR\">x</Amt></TxAmt></AmtDtls>")),
    ]
}

fn read_all(entries: &str) -> Result<Heard, String> {
    let known = |key: &str| (key == KEY).then_some(6);
    let known = Known { scale: &known, file: &|id| id == own_file() };
    Heard::read(Rail::Iso20022, account("camt.053.001.08", entries).as_bytes(), known)
}

fn own_file() -> String {
    multilateral().head.id.to_string()[..32].to_owned()
}

/// One malformed amount among a million of other people's refused the day's statement, and with it
/// every payment of ours.
#[test]
fn an_entry_of_others_that_cannot_be_read_is_passed_over_with_a_note() {
    let foreign = [
        "".to_owned(),
        named("INVOICE-17"),
        detail("<RmtInf><Ustrd>thank you</Ustrd></RmtInf>"),
        detail("<Refs><MsgId>0123456789abcdef0123456789abcdef</MsgId></Refs>"),
    ];
    for inner in foreign {
        for other in faulty(&inner) {
            for entries in [format!("{other}{}", ours()), format!("{}{other}", ours())] {
                let heard = read_all(&entries).unwrap_or_else(|why| panic!("{why}: {entries}"));
                assert_eq!(heard.names().len(), 1, "{entries}");
                let [remark] = heard.remarks() else { panic!("{:?}: {entries}", heard.remarks()) };
                assert!(remark.text.starts_with("line 1 (byte "), "{}", remark.text);
                assert!(remark.text.ends_with("passed over") && remark.trouble.is_none());
            }
        }
    }
}

/// What names a leg or a file of ours, or has the form of a key, refuses the file: nothing of ours
/// is guessed at.
#[test]
fn an_entry_that_could_be_ours_and_cannot_be_read_refuses_the_file() {
    let own = [
        named(KEY),
        named("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        detail(&format!("<RmtInf><Ustrd>{KEY}</Ustrd></RmtInf>")),
        format!("<AddtlNtryInf>{KEY}</AddtlNtryInf>"),
        format!("<NtryDtls><Btch><MsgId>{}</MsgId></Btch></NtryDtls>", own_file()),
        detail(&format!("<Refs><MsgId>{}</MsgId></Refs>", own_file())),
        format!("{}{}", named("INVOICE-17"), named(KEY)),
        format!("{}{}", named(KEY), named("INVOICE-17")),
    ];
    for inner in own {
        for entry in faulty(&inner) {
            assert!(read_all(&entry).is_err(), "{entry}");
        }
    }
    let part = |key: &str, amount: &str| {
        let refs = format!("<Refs><EndToEndId>{key}</EndToEndId></Refs>");
        format!("<TxDtls>{refs}<Amt Ccy=\"EUR\">{amount}</Amt></TxDtls>")
    };
    // A part of the entry that ours is in: what it books of ours is not known.
    for parts in [
        [part(KEY, "12.33"), part("A-1", "x")],
        [part("A-1", "x"), part(KEY, "12.33")],
        [part(KEY, "x"), part("A-1", "1")],
    ] {
        let inner = format!("<NtryDtls>{}</NtryDtls>", parts.concat());
        assert!(read_all(&entry("DBIT", "20.00", CODE, &inner)).is_err(), "{inner}");
    }
    let inner = format!("<NtryDtls>{}{}</NtryDtls>", part("A-1", "x"), part("A-2", "1"));
    assert!(read_all(&entry("DBIT", "20.00", CODE, &inner)).is_ok());
}

#[test]
fn of_many_that_cannot_be_read_a_few_are_told_and_the_rest_counted() {
    let others = entry("DBIT", "x", CODE, &named("INVOICE-17")).repeat(1000);
    let heard = read_all(&format!("{others}{}", ours())).unwrap();
    let texts: Vec<&str> = heard.remarks().iter().map(|remark| &*remark.text).collect();
    assert_eq!(texts.len(), ANSWER_NAMES_SHOWN + 1);
    assert_eq!(texts[ANSWER_NAMES_SHOWN], "997 more entries of others could not be read");
    assert_eq!((heard.names().len(), heard.more_remarks()), (1, 0));
}

/// The same of a status report: transactions of another program's file.
#[test]
fn a_transaction_of_another_file_with_a_broken_sum_keeps_no_word_of_ours_back() {
    let one = |key: &str, amount: &str| {
        format!(
            "<TxInfAndSts><OrgnlEndToEndId>{key}</OrgnlEndToEndId><TxSts>RJCT</TxSts><OrgnlTxRef><Amt>\
             <InstdAmt Ccy=\"EUR\">{amount}</InstdAmt></Amt></OrgnlTxRef></TxInfAndSts>"
        )
    };
    let report = |group: &str, within: &str, key: &str, amount: &str| {
        let id = own_file();
        let text = String::from_utf8(status_report("", "")).unwrap();
        let blocks = format!(
            "<OrgnlPmtInfAndSts><OrgnlPmtInfId>{within}</OrgnlPmtInfId>{}</OrgnlPmtInfAndSts>",
            one(key, amount)
        );
        let text = text
            .replace(&id, group)
            .replace("</CstmrPmtStsRpt>", &format!("{blocks}</CstmrPmtStsRpt>"));
        let known = |key: &str| (key == KEY).then_some(6);
        let known = Known { scale: &known, file: &|id| id == own_file() };
        Heard::read(Rail::Iso20022, text.as_bytes(), known)
    };
    let other = report("OTHER", "PAY-1", "INVOICE-17", "x").unwrap();
    assert_eq!((other.names().len(), other.remarks().len()), (0, 1));
    for (group, within, key) in [
        ("OTHER", "PAY-1", KEY),
        (&*own_file(), "PAY-1", "INVOICE-17"),
        ("OTHER", "NOTPROVIDED", "INVOICE-17"),
    ] {
        assert!(report(group, within, key, "x").is_err(), "{group} {within} {key}");
        assert!(report(group, within, key, "1.00").is_ok(), "{group} {within} {key}");
    }
}
