//! What answers say: every status, every kind of entry, narrow before wide.

use super::*;
use LegWord::{Accepted, Confirmed, Rejected, Returned};
use std::collections::BTreeSet;

const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/schemas");

// Legs of the golden multilateral batch: pay-ins first.
const IN_7_35: &str = "JANBI4WR3GVK3OJSTLFSYBJXJSHZSIN6";
const IN_4_99: &str = "JQ5EFCP5CXVWFGYUUAQAFC6GVYK37VPU";
const IN_0_25: &str = "GHDVQUAK26ET5TTMP7RGZIRYFO7ZK2XP";
const OUT_12_33: &str = "25U3A6IZ23CUTOKORTYKM677SQJKWZQD";
const OUT_MOST: &str = "63I2OKG6SVESK36F7XP5OP6DIMWGYIEX";
const OUT_MOST_2: &str = "6FCAJBIYLUPJ3VCLN252GS5H6TJQHWLM";
const OUT_0_01: &str = "Q5XI3NK3BPJ3L3REO5CPHDTSEAAF3UX3";
const OUT_0_25: &str = "3KIJ2IVT3UV3V2PBUUPPU4QOVASSUAEV";

fn one(key: &str, word: LegWord, reference: &str, reason: &str, amount: Option<u128>) -> Told {
    (key.into(), word, reference.into(), reason.into(), amount)
}

#[test]
fn the_answers_are_valid_under_the_official_schemas() {
    for (name, message) in ANSWERS {
        let text = String::from_utf8(file(name)).unwrap();
        xmllint(&["--noout", "--schema", &format!("{SCHEMAS}/{message}.xsd")], &text);
        let summary = read(text.as_bytes()).unwrap().summary;
        assert_eq!(summary.message, message, "{name}");
        assert!(!summary.id.is_empty() && !summary.created.is_empty(), "{name}");
    }
}

#[test]
fn the_answers_of_an_independent_bank_are_read_back() {
    let content = multilateral();
    let everyone = |word| paid(&content).into_iter().map(|key| (key, word)).collect::<Vec<_>>();
    let mut partial = everyone(Confirmed);
    partial[0].1 = Rejected;
    for (name, expected) in [
        ("multilateral.received.pain.002.001.03.xml", everyone(Accepted)),
        ("multilateral.rejected.pain.002.001.10.xml", everyone(Rejected)),
        ("multilateral.partial.pain.002.001.10.xml", partial),
        ("multilateral.settled.pain.002.001.12.xml", everyone(Confirmed)),
    ] {
        let answer = read(&file(name)).unwrap();
        let (told, _) = told(&content, &answer);
        assert_eq!(words(&told), expected, "{name}");
        assert_eq!(answer.summary.notes, [], "{name}");
    }
    let (told, _) =
        told(&content, &read(&file("multilateral.partial.pain.002.001.10.xml")).unwrap());
    assert_eq!(told[0], one(OUT_12_33, Rejected, "", "RJCT AC04 account closed", None));
}

#[test]
fn a_status_of_a_block_is_that_of_its_debtors_legs_alone() {
    let content = bilateral();
    let answer = read(&file("bilateral.blocks.pain.002.001.10.xml")).unwrap();
    let (told_blocks, _) = told(&content, &answer);
    // Blocks of 4, 1, 1 and 1 legs; the group's PART decides nothing.
    let of_blocks = [Confirmed, Confirmed, Confirmed, Confirmed, Rejected, Accepted, Confirmed];
    let expected: Vec<_> = paid(&content).into_iter().zip(of_blocks).collect();
    assert_eq!(words(&told_blocks), expected);

    // The first leg of every block is rejected, all others are paid.
    let answer = read(&file("bilateral.partial.pain.002.001.03.xml")).unwrap();
    let (told, _) = told(&content, &answer);
    let of_legs = [Rejected, Confirmed, Confirmed, Confirmed, Rejected, Rejected, Rejected];
    let expected: Vec<_> = paid(&content).into_iter().zip(of_legs).collect();
    assert_eq!(words(&told), expected);

    // Nothing of it is about another batch.
    assert_eq!(super::told(&multilateral(), &answer), (vec![], vec![]));
}

#[test]
fn a_status_report_by_hand_is_read_with_every_detail() {
    let answer = read(&file("hand.pain.002.001.10.xml")).unwrap();
    let (told, _) = told(&multilateral(), &answer);
    let moved = "ACWC DT06 the date of execution was changed";
    let why = "RJCT AC04 account closed (by 4711); X-9";
    assert_eq!(
        told,
        [
            one(OUT_12_33, Rejected, "T-1", why, Some(12_330_000)),
            one(OUT_MOST, Confirmed, "R-1", "ACSC DT06 the date of execution was changed", None),
            // Without a status of its own: that of its block.
            one(OUT_MOST_2, Accepted, "", moved, None),
            // BLCK decides nothing, and keeps the block's word away. The block's is for the rest.
            one(OUT_0_25, Accepted, "", moved, None),
        ]
    );
    let changed: Vec<_> = answer.summary.notes.iter().collect();
    assert!(
        matches!(changed.as_slice(), [Note::Changed { .. }, Note::Changed { .. }]),
        "{changed:?}"
    );
    assert_eq!(answer.reports.last().unwrap().status, "ACSP");
}

#[test]
fn the_example_of_the_german_banks_is_read_and_moves_nothing_of_ours() {
    let answer = read(&file("dk.pain.002.001.10.xml")).unwrap();
    let said: Vec<_> = answer
        .reports
        .iter()
        .map(|report| (report.scope.to_string(), report.word, report.reason.to_string()))
        .collect();
    let payment = |number| format!("payment information Sammler {number}");
    let changed = "DT06 the date of execution was changed (by BANKDEFF123)";
    let expected = [
        (payment(1), Some(Accepted), String::new()),
        (payment(2), Some(Accepted), changed.into()),
        ("leg 4656384".into(), Some(Rejected), "AC01 account number wrong (by BANKDEFF123)".into()),
        (payment(3), Some(Rejected), "AM05 handed in before (by BANKDEFF123)".into()),
        (payment(4), None, String::new()),
    ];
    assert_eq!(said, expected);
    assert_eq!(told(&multilateral(), &answer), (vec![], vec![]));
}

#[test]
fn a_notification_confirms_and_returns_what_was_booked_and_nothing_else() {
    let answer = read(&file("hand.camt.054.001.08.xml")).unwrap();
    let (told, _) = told(&multilateral(), &answer);
    let most = Some(999_999_999_990_000);
    let back = "BOOK AC04 account closed (by COBADEFFXXX)";
    assert_eq!(
        told,
        [
            one(OUT_12_33, Confirmed, "BOOK-1", "BOOK", Some(12_330_000)),
            one(OUT_MOST, Confirmed, "BOOK-2A", "BOOK", most),
            one(OUT_MOST_2, Confirmed, "BOOK-2B", "BOOK", most),
            one(OUT_0_25, Confirmed, "BOOK-3", "BOOK", Some(250_000)),
            one(OUT_0_25, Returned, "BOOK-4", back, Some(250_000)),
            one(IN_4_99, Confirmed, "BOOK-5", "BOOK", Some(4_990_000)),
            one(IN_0_25, Confirmed, "BOOK-6", "BOOK", Some(250_000)),
            one(IN_7_35, Confirmed, "BOOK-7", "BOOK", Some(7_350_000)),
            // Its file is booked as one sum: the bank has it, and that is all.
            one(OUT_0_01, Accepted, "BOOK-10", "BOOK", None),
        ]
    );
    let Summary { unbooked, others, notes, .. } = answer.summary;
    assert_eq!((unbooked, others), (3, 2));
    let kinds: Vec<_> = notes
        .iter()
        .map(|note| match note {
            Note::SeveralKeys { key, .. } => ("several", key.as_str()),
            Note::Charge { key, .. } => ("charge", key.as_str()),
            Note::BatchBooked { within, .. } => ("batch", within.as_str()),
            Note::Unnamed { within, .. } => ("unnamed", within.as_str()),
            Note::NotOurKind { answers } => ("not ours", answers.as_str()),
            Note::Changed { reason, .. } => ("changed", reason.as_str()),
            Note::NotFinal { key, .. } => ("not final", key.as_str()),
            Note::Drawn { key, .. } => ("drawn", key.as_str()),
            Note::OtherFile { key, .. } => ("other file", key.as_str()),
        })
        .collect();
    let block = "930a86c8d08b4f9b497eb3f5-1";
    let expected =
        [("several", IN_4_99), ("charge", OUT_12_33), ("batch", block), ("unnamed", block)];
    assert_eq!(kinds, expected);
}

#[test]
fn a_statement_of_odd_and_legal_shape_is_read_as_any_other() {
    let answer = read(&file("hand.camt.053.001.08.xml")).unwrap();
    let (told, _) = told(&multilateral(), &answer);
    assert_eq!(
        told,
        [
            one(OUT_12_33, Confirmed, "TX-1", "BOOK", Some(12_330_000)),
            one(OUT_0_01, Confirmed, "S-2", "BOOK", Some(10_000)),
            one(OUT_0_01, Returned, "S-3", "BOOK", Some(10_000)),
            one(OUT_0_25, Returned, "S-4", "BOOK", Some(250_000)),
            one(IN_4_99, Confirmed, "S-5", "BOOK", Some(4_990_000)),
            one(IN_4_99, Returned, "S-6", "BOOK FRAUD-7", Some(4_990_000)),
            // Booked in dollars; the leg is what was instructed in euros.
            one(OUT_MOST, Confirmed, "U-1", "BOOK", Some(999_999_999_990_000)),
        ]
    );
    let accounts: BTreeSet<_> = answer.reports.iter().map(|report| &*report.account).collect();
    assert_eq!(accounts, BTreeSet::from(["DE36000000000000000000", "USD-ACCOUNT"]));
    assert_eq!((answer.summary.others, answer.summary.unbooked), (1, 0));
    assert_eq!(answer.summary.reports, 7);
}

#[test]
fn every_status_means_what_the_documentation_says() {
    let content = multilateral();
    for (status, word) in [
        ("RCVD", Some(Accepted)),
        ("PDNG", Some(Accepted)),
        ("ACTC", Some(Accepted)),
        ("ACCP", Some(Accepted)),
        ("ACSP", Some(Accepted)),
        ("ACWC", Some(Accepted)),
        ("ACSC", Some(Confirmed)),
        ("ACCC", Some(Confirmed)),
        ("RJCT", Some(Rejected)),
        ("CANC", Some(Rejected)),
        ("PART", None),
        ("BLCK", None),
        ("RVNM", None),
        ("acsc", None),
        ("?", None),
    ] {
        let answers = [
            status_report(&format!("<GrpSts>{status}</GrpSts>"), ""),
            status_report("", &block(&format!("<PmtInfSts>{status}</PmtInfSts>"))),
            status_report("", &block(&transaction(OUT_12_33, status))),
        ];
        for (answer, legs) in answers.iter().zip([5, 5, 1]) {
            let answer = read(answer).unwrap();
            assert_eq!(answer.reports.len(), 1);
            let (told, _) = told(&content, &answer);
            let expected = if word.is_some() { legs } else { 0 };
            assert_eq!(told.len(), expected, "{status}");
            assert!(told.iter().all(|leg| Some(leg.1) == word), "{status}");
        }
    }
}

#[test]
fn a_narrow_word_stands_against_every_wider_one() {
    let content = multilateral();
    let mut expected: Vec<_> = paid(&content).into_iter().map(|key| (key, Confirmed)).collect();
    expected[0].1 = Rejected;
    for (group, of_block) in [
        ("<GrpSts>ACSC</GrpSts>", ""),
        ("<GrpSts>RJCT</GrpSts>", "<PmtInfSts>ACSC</PmtInfSts>"),
        ("", "<PmtInfSts>ACSC</PmtInfSts>"),
    ] {
        let inner = format!("{of_block}{}", transaction(OUT_12_33, "RJCT"));
        let answer = read(&status_report(group, &block(&inner))).unwrap();
        let (told, _) = told(&content, &answer);
        assert_eq!(words(&told), expected, "{group} {of_block}");
    }
}

#[test]
fn what_is_said_of_an_unnamed_transaction_takes_the_word_from_all_of_them() {
    let content = multilateral();
    let nameless = ["", "NOTPROVIDED"].map(|key| transaction(key, "RJCT"));
    let bare = "<TxInfAndSts><TxSts>RJCT</TxSts></TxInfAndSts>".to_owned();
    for unnamed in nameless.into_iter().chain([bare]) {
        let inner = format!("<PmtInfSts>ACSC</PmtInfSts>{unnamed}");
        let answer = read(&status_report("<GrpSts>ACSC</GrpSts>", &block(&inner))).unwrap();
        assert_eq!(told(&content, &answer), (vec![], vec![]), "{unnamed}");
        assert!(matches!(&answer.summary.notes[..], [Note::Unnamed { .. }]), "{unnamed}");
        // If it is the same word, it holds for all.
        let inner = format!("<PmtInfSts>RJCT</PmtInfSts>{unnamed}");
        let answer = read(&status_report("", &block(&inner))).unwrap();
        assert_eq!(told(&content, &answer).0.len(), 5, "{unnamed}");
    }
}

#[test]
fn a_block_that_is_repeated_for_each_transaction_has_one_word_or_none() {
    let content = multilateral();
    let part =
        |sts: &str, key| block(&format!("<PmtInfSts>{sts}</PmtInfSts>{}", transaction(key, sts)));
    let answer = status_report("", &(part("ACSC", OUT_12_33) + &part("ACSC", OUT_MOST)));
    assert_eq!(told(&content, &read(&answer).unwrap()).0.len(), 5);
    let answer = status_report("", &(part("ACSC", OUT_12_33) + &part("RJCT", OUT_MOST)));
    let (told, _) = told(&content, &read(&answer).unwrap());
    assert_eq!(words(&told), [(OUT_12_33, Confirmed), (OUT_MOST, Rejected)]);
}

#[test]
fn a_narrow_word_counts_wherever_it_stands_in_the_file() {
    let other = block("<PmtInfSts>ACSC</PmtInfSts>").replace("-1<", "-9<");
    let narrow = block(&transaction(OUT_12_33, "RJCT"));
    let wide = block("<PmtInfSts>ACSC</PmtInfSts>") + &other;
    for blocks in [wide.clone() + &narrow, narrow + &other + &wide] {
        let answer = read(&status_report("", &blocks)).unwrap();
        let (told, _) = told(&multilateral(), &answer);
        assert_eq!(told.len(), 5);
        assert!(words(&told).contains(&(OUT_12_33, Rejected)), "{told:?}");
    }
}

/// Of two words for one transaction in one report the later one once counted.
#[test]
fn a_report_that_says_two_things_of_one_transaction_moves_nothing() {
    for [first, second] in [["RJCT", "ACSP"], ["ACSP", "RJCT"]] {
        let inner = transaction(OUT_12_33, first) + &transaction(OUT_12_33, second);
        let answer = read(&status_report("", &block(&inner))).unwrap();
        let verdict = weighed(&multilateral(), &answer, OUT_12_33);
        assert_eq!(verdict.to, None);
        assert!(matches!(&verdict.findings[..], [Finding::AtOdds(_)]), "{verdict:?}");
    }
}

/// The second upload of a file, refused as a duplicate, once un-paid the first.
#[test]
fn a_refusal_as_a_duplicate_is_told_as_one_at_every_level_and_whichever_reason_it_is() {
    let reason = |code: &str| format!("<StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>");
    for code in ["AM05", "DU01", "DU02", "DU03", "DU04", "DU05"] {
        for why in [reason(code), reason("NARR") + &reason(code)] {
            for blocks in [
                ("<GrpSts>RJCT</GrpSts>".to_owned() + &why, String::new()),
                (String::new(), block(&format!("<PmtInfSts>RJCT</PmtInfSts>{why}"))),
            ] {
                let answer = read(&status_report(&blocks.0, &blocks.1)).unwrap();
                let verdict = weighed(&multilateral(), &answer, OUT_12_33);
                assert_eq!(verdict.to, None, "{code} {blocks:?}");
                assert!(matches!(&verdict.findings[..], [Finding::Duplicate(_)]), "{verdict:?}");
            }
        }
    }
    let answer = read(&status_report(&("<GrpSts>RJCT</GrpSts>".to_owned() + &reason("AC04")), ""));
    let verdict = weighed(&multilateral(), &answer.unwrap(), OUT_12_33);
    assert_eq!(verdict.to.map(|step| step.to), Some(LegState::Rejected));
}

#[test]
fn the_answer_to_another_kind_of_message_rejects_no_payment() {
    let answer = status_report("<GrpSts>RJCT</GrpSts>", &block(&transaction(OUT_12_33, "RJCT")));
    let text = String::from_utf8(answer).unwrap().replace("pain.001.001.09", "camt.055.001.08");
    let answer = read(text.as_bytes()).unwrap();
    assert_eq!(answer.reports, []);
    let note = Note::NotOurKind { answers: "camt.055.001.08".into() };
    assert_eq!(answer.summary.notes, [note]);
}

#[test]
fn a_movement_against_the_legs_way_or_in_other_money_moves_nothing() {
    let text = String::from_utf8(file("hand.camt.054.001.08.xml")).unwrap();
    let only = |text: &str| {
        let (head, rest) = text.split_once("   <Ntry>").unwrap();
        let (entry, _) = rest.split_once("</Ntry>").unwrap();
        let end = "</Ntfctn></BkToCstmrDbtCdtNtfctn></Document>";
        format!("{head}<Ntry>{entry}</Ntry>{end}")
    };
    let found = |text: &str| {
        let verdict = weighed(&multilateral(), &read(text.as_bytes()).unwrap(), OUT_12_33);
        assert_eq!(verdict.to, None);
        verdict.findings.into_iter().next()
    };
    let credit = only(&text).replace("DBIT", "CRDT");
    assert!(matches!(found(&credit), Some(Finding::OtherSide(_))));
    let dollars = only(&text).replace("Ccy=\"EUR\">12.33", "Ccy=\"USD\">12.33");
    assert!(matches!(found(&dollars), Some(Finding::OtherSum(_))));
    let elsewhere = only(&text).replace("DE36000000000000000000", "DE02100100100006820101");
    assert!(matches!(found(&elsewhere), Some(Finding::OtherPlace(_))));
}

/// A statement with these entries on the placeholder's account.
fn statement_of(entries: &str) -> Answer {
    let text = format!(
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt><GrpHdr>\
         <MsgId>M</MsgId><CreDtTm>2026-11-30T08:00:00</CreDtTm></GrpHdr><Stmt><Id>S</Id><Acct><Id>\
         <IBAN>DE36000000000000000000</IBAN></Id></Acct>{entries}</Stmt></BkToCstmrStmt></Document>"
    );
    read(text.as_bytes()).unwrap()
}

fn entry(sum: &str, way: &str, reference: &str, details: &str) -> String {
    format!(
        "<Ntry><Amt Ccy=\"EUR\">{sum}</Amt><CdtDbtInd>{way}</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>\
         <AcctSvcrRef>{reference}</AcctSvcrRef><NtryDtls>{details}</NtryDtls></Ntry>"
    )
}

fn named(key: &str) -> String {
    format!("<TxDtls><Refs><EndToEndId>{key}</EndToEndId></Refs></TxDtls>")
}

/// Details without sums once confirmed whatever leg they named: a credit of 3.00 a pay-in of
/// 120.35.
#[test]
fn details_without_sums_move_legs_only_if_the_legs_are_all_of_the_entry() {
    let content = multilateral();
    let both = named(OUT_12_33) + &named(OUT_0_25);
    let sums = [12_330_000, 250_000].map(Total);
    for (sum, details, whole) in [
        ("12.58", both.clone(), true),
        ("50.00", both.clone(), false),
        ("12.58", named(OUT_12_33) + &named("INVOICE-7"), false),
        ("12.58", format!("<Btch><NbOfTxs>3</NbOfTxs></Btch>{both}"), false),
        ("12.58", format!("<Btch><NbOfTxs>2</NbOfTxs></Btch>{both}"), true),
    ] {
        let answer = statement_of(&entry(sum, "DBIT", "R-SUM", &details));
        let [shared] = &answer.summary.shared[..] else { panic!("{sum} {details}") };
        let known = shared.keys.iter().filter_map(|key| {
            let legs = [(OUT_12_33, sums[0]), (OUT_0_25, sums[1])];
            legs.into_iter().find(|(of, _)| of == key).map(|(_, sum)| sum)
        });
        let known: Vec<Total> = known.collect();
        assert_eq!(shared.is_shared_out(&content.head.asset, &known), whole, "{sum} {details}");
        let verdict = weighed(&content, &answer, OUT_12_33);
        assert!(matches!(&verdict.findings[..], [Finding::NoSum(_)]) && verdict.to.is_none());
    }
}

/// Money that the bank sent back with the key in its text only was passed over in silence.
#[test]
fn a_return_with_the_key_in_its_text_is_read_like_one_with_the_key_in_its_place() {
    let details = format!(
        "<TxDtls><Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs><RmtInf><Ustrd>RETURN OF {OUT_12_33} \
         ACCOUNT CLOSED</Ustrd></RmtInf><RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf></TxDtls>"
    );
    let answer = statement_of(&entry("12.33", "CRDT", "R-BACK", &details));
    let verdict = weighed(&multilateral(), &answer, OUT_12_33);
    assert_eq!(verdict.to.map(|step| step.to), Some(LegState::Rejected));
}

#[test]
fn two_details_of_one_entry_with_one_key_are_two_movements() {
    let one = |sum: &str| named(OUT_12_33).replace("</TxDtls>", &format!("{sum}</TxDtls>"));
    let sum = "<Amt Ccy=\"EUR\">12.33</Amt>";
    let answer = statement_of(&entry("24.66", "DBIT", "R-SUM", &(one(sum) + &one(sum))));
    let verdict = weighed(&multilateral(), &answer, OUT_12_33);
    assert_eq!(verdict.to.map(|step| step.to), Some(LegState::Confirmed));
    assert!(matches!(&verdict.findings[..], [Finding::Surplus(_)]), "{:?}", verdict.findings);
}

#[test]
fn a_file_that_is_booked_as_one_sum_is_accepted_and_one_that_comes_back_so_is_not() {
    let id = multilateral().head.id.to_string();
    let batch = format!("<Btch><PmtInfId>{}-1</PmtInfId></Btch>", &id[..24]);
    let answer = statement_of(&entry("120.35", "DBIT", "R-SUM", &batch));
    let (told, _) = told(&multilateral(), &answer);
    assert_eq!(told.len(), 5);
    assert!(told.iter().all(|leg| leg.1 == Accepted), "{told:?}");
    let back = statement_of(&entry("120.35", "CRDT", "R-SUM", &batch));
    assert_eq!(back.reports, []);
    let text = back.summary.notes[0].to_string();
    assert!(text.contains("EUR 120.35") && text.contains("came back"), "{text}");
}
