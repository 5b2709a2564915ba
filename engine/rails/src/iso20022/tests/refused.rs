//! What is refused: as a whole, with its place, in bounded memory, and never by a panic.

use super::*;
use proptest::prelude::*;
use std::cell::Cell;
use std::io::{self, BufReader, Read};
use tallystick_ledger::limits::{
    ANSWER_ATTRIBUTES_MAX, ANSWER_DEPTH_MAX, ANSWER_EVENT_BYTES_MAX, ANSWER_NOTES_MAX,
    ANSWER_TEXT_BYTES_MAX,
};

fn problem(bytes: &[u8]) -> Problem {
    read(bytes).expect_err("a file that must be refused").what
}

/// A status report that is accepted, with one piece of it changed.
fn changed(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(status_report("<GrpSts>RJCT</GrpSts>", "")).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to).into_bytes()
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    for (name, _) in ANSWERS {
        let whole = file(name);
        let end = whole.iter().rposition(|&b| b == b'>').unwrap();
        let root = whole.windows(9).position(|bytes| bytes == b"Document ").unwrap();
        let root = root + whole[root..].iter().position(|&b| b == b'>').unwrap();
        // Every length of the short ones; of the long ones enough.
        for length in (0..=end).step_by(1 + whole.len() / 2_000) {
            let error = read(&whole[..length]).expect_err(name);
            // Before the end of the root's tag nothing is open yet.
            let known = error.what == Problem::Truncated
                || length <= root && matches!(error.what, Problem::NotXml | Problem::Syntax(_));
            assert!(known, "{name} cut at {length}: {error}");
            // Half a character is read as what its bytes are in Western European.
            assert!(error.offset <= u64::try_from(length).unwrap() + 3);
        }
        assert!(read(&whole[..=end]).is_ok());
    }
}

#[test]
fn a_file_that_goes_on_behind_its_end_is_refused() {
    let whole = status_report("<GrpSts>RJCT</GrpSts>", "");
    for more in ["x", "<Document/>", "<a></a>", "&amp;", "<![CDATA[x]]>", "\u{feff}"] {
        let bytes = [&whole, more.as_bytes()].concat();
        assert_eq!(problem(&bytes), Problem::Trailing, "{more}");
    }
    assert!(matches!(problem(&[&whole, &b"</a>"[..]].concat()), Problem::Syntax(_)));
    for more in ["\r\n\t ", "<!-- end --> ", "<?end?>"] {
        assert!(read(&[&whole, more.as_bytes()].concat()).is_ok(), "{more}");
    }
}

#[test]
fn another_message_is_refused_by_name() {
    for (to, found) in [
        ("camt.029.001.09", "camt.029.001.09"),
        ("camt.053.001.01", "camt.053.001.01"),
        ("camt.053.002.02", "camt.053.002.02"),
        ("camt.054.001.99", "camt.054.001.99"),
        ("pain.002.001.02", "pain.002.001.02"),
        ("pain.002.001.9", "pain.002.001.9"),
        ("pain.001.001.09", "pain.001.001.09, a file for the bank and not its answer"),
    ] {
        let Problem::OtherMessage { found: said, expected } =
            problem(&changed("pain.002.001.10", to))
        else {
            panic!("{to}");
        };
        assert_eq!(said, found);
        assert!(expected.contains("pain.002.001.03") && expected.contains("camt.054"));
    }
    let bare = changed(" xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.002.001.10\"", "");
    let bare = String::from_utf8(bare).unwrap().replace("CstmrPmtStsRpt", "Report");
    assert!(matches!(problem(bare.as_bytes()), Problem::OtherMessage { .. }));
    let golden = include_bytes!("../../golden/multilateral.pain.001.xml");
    assert!(matches!(problem(golden), Problem::OtherMessage { .. }));
    let other = changed("<CstmrPmtStsRpt>", "<BkToCstmrStmt>");
    let other = String::from_utf8(other).unwrap().replace("</CstmrPmt", "</BkToCstmr");
    let other = other.replace("StsRpt>", "Stmt>");
    assert_eq!(problem(other.as_bytes()), Problem::Misplaced("BkToCstmrStmt"));
    let empty = String::from_utf8(changed("<CstmrPmtStsRpt>", "<Report>")).unwrap();
    let empty = empty.replace("</CstmrPmtStsRpt>", "</Report>");
    let missing = Problem::Missing { element: "CstmrPmtStsRpt", within: "Document" };
    assert_eq!(problem(empty.as_bytes()), missing);
}

#[test]
fn what_is_no_xml_is_refused_and_says_so() {
    for bytes in [&b""[..], b"   ", b"PK\x03\x04", b"{}", b"\xef\xbb\xbf", b"<!-- -->", b"101ABC"] {
        assert!(
            matches!(problem(bytes), Problem::NotXml | Problem::Encoding(_)),
            "{bytes:?}: {:?}",
            problem(bytes)
        );
    }
    for bytes in ["<", "<Document", "</Document>", "<a b></a>", "<!>", "<![CDATA[", "<x:Document/>"]
    {
        let refused = problem(bytes.as_bytes());
        assert!(matches!(refused, Problem::Syntax(_)), "{bytes}: {refused}");
    }
    for root in ["html", "BizMsgEnvlp", "document"] {
        let refused = problem(format!("<{root}><a/>x</{root}>").as_bytes());
        assert_eq!(refused, Problem::Root { found: root.into(), expected: "Document" });
    }
    let several = "<all><Document><a/></Document><Document/></all>";
    assert!(matches!(problem(several.as_bytes()), Problem::OtherMessage { .. }));
}

#[test]
fn a_document_type_and_entities_are_refused_unexpanded() {
    let text = String::from_utf8(changed("RJCT", "&lol;")).unwrap();
    for dtd in [
        "<!DOCTYPE Document>",
        "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;\">]>",
        "<!DOCTYPE Document SYSTEM \"file:///etc/passwd\">",
        "<!DOCTYPE x [<!ENTITY xxe SYSTEM \"http://127.0.0.1/\">]>",
    ] {
        assert_eq!(problem(format!("{dtd}{text}").as_bytes()), Problem::Doctype, "{dtd}");
    }
    assert_eq!(problem(text.as_bytes()), Problem::Entity("lol".into()));
    for entity in ["&#0;", "&#1;", "&#x110000;", "&#xd800;", "&#x;", "&nbsp;", "&;"] {
        let refused = problem(&changed("RJCT", entity));
        assert!(matches!(refused, Problem::Entity(_) | Problem::Syntax(_)), "{entity}: {refused}");
    }
    for dangling in ["R & D", "&", "&amp", "&amp &lt;"] {
        let refused = problem(&changed("RJCT", dangling));
        assert!(matches!(refused, Problem::Syntax(_) | Problem::Entity(_)), "{dangling}");
    }
    let read_back = read(&changed("RJCT", "&#82;&#x4a;<!-- -->C<![CDATA[T]]>")).unwrap();
    assert_eq!(read_back.reports[0].status, "RJCT");
}

#[test]
fn what_is_no_text_or_declares_what_nobody_knows_is_refused() {
    let plain = changed("RJCT", "RJCT");
    let declared = |version: &str, encoding: &str| {
        let head = format!("<?xml version=\"{version}\" encoding=\"{encoding}\"?>");
        [head.as_bytes(), &plain].concat()
    };
    for encoding in ["EBCDIC-CP-US", "IBM500", "ISO-2022-KR", "x"] {
        let refused = problem(&declared("1.0", encoding));
        let says = |text: &str| text.contains(encoding);
        assert!(matches!(&refused, Problem::Encoding(text) if says(text)), "{refused}");
    }
    assert!(matches!(problem(&changed("RJCT", "\u{1}")), Problem::Encoding(_)));
    assert!(matches!(problem(&declared("1.1", "UTF-8")), Problem::Syntax(_)));
    let twice = [declared("1.0", "UTF-8"), declared("1.0", "UTF-8")].concat();
    assert!(matches!(problem(&twice), Problem::Syntax(_)));
    // The mark may come in pieces.
    let marked = [&b"\xef\xbb\xbf"[..], &declared("1.0", "UTF-8")].concat();
    let pieces = BufReader::with_capacity(1, &*marked);
    assert!(read_stream(pieces, Known::ANY, &mut ignore).is_ok());
}

#[test]
fn what_stands_twice_or_in_the_wrong_place_or_is_missing_is_refused() {
    let refused = |group: &str, blocks: &str| problem(&status_report(group, blocks));
    let twice = "<GrpSts>ACSC</GrpSts><GrpSts>RJCT</GrpSts>";
    assert_eq!(refused(twice, ""), Problem::Twice("GrpSts"));
    let key = "<OrgnlEndToEndId>A</OrgnlEndToEndId>";
    let twice = block(&format!("<TxInfAndSts>{key}{key}</TxInfAndSts>"));
    assert_eq!(refused("", &twice), Problem::Twice("OrgnlEndToEndId"));
    let late = block("<TxInfAndSts/><PmtInfSts>RJCT</PmtInfSts>");
    assert_eq!(refused("", &late), Problem::Misplaced("PmtInfSts"));
    let group = "<OrgnlGrpInfAndSts><OrgnlMsgId>A</OrgnlMsgId><OrgnlMsgNmId>pain.001</OrgnlMsgNmId>\
                 </OrgnlGrpInfAndSts>";
    assert_eq!(refused("", group), Problem::Twice("OrgnlGrpInfAndSts"));
    let early = changed("<OrgnlGrpInfAndSts>", &format!("{}<OrgnlGrpInfAndSts>", block("")));
    assert!(matches!(problem(&early), Problem::Missing { element: "OrgnlGrpInfAndSts", .. }));
    let nameless = "<OrgnlPmtInfAndSts><PmtInfSts>RJCT</PmtInfSts></OrgnlPmtInfAndSts>";
    assert!(matches!(refused("", nameless), Problem::Missing { element: "OrgnlPmtInfId", .. }));
    let header = "<GrpHdr><MsgId>M</MsgId><CreDtTm>2026-11-30T08:00:00</CreDtTm></GrpHdr>";
    assert!(matches!(problem(&changed(header, "")), Problem::Missing { element: "GrpHdr", .. }));
    assert_eq!(problem(&changed("RJCT", "<Cd>RJCT</Cd>")), Problem::NotText("GrpSts"));
    assert_eq!(problem(&changed("<GrpSts>RJCT</GrpSts>", "RJCT")), Problem::StrayText);
}

#[test]
fn entries_that_say_nothing_clear_are_refused() {
    let text = String::from_utf8(file("hand.camt.054.001.08.xml")).unwrap();
    let first = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        problem(text.replacen(from, to, 1).as_bytes())
    };
    let value = |problem: Problem, name: &str| {
        assert!(matches!(problem, Problem::Value { element, .. } if element == name), "{problem}");
    };
    value(first("<CdtDbtInd>DBIT", "<CdtDbtInd>D"), "CdtDbtInd");
    for amount in ["-12.33", "12,33", "1e3", "", "12.333333", "1234567890123456789"] {
        value(first(">12.33<", &format!(">{amount}<")), "Amt");
    }
    value(first("Ccy=\"EUR\"", ""), "Amt");
    value(first("Ccy=\"EUR\"", "Ccy=\"euro\""), "Amt");
    value(first("<Sts>", "<RvslInd>yes</RvslInd><Sts>"), "RvslInd");
    let missing = |problem: Problem| {
        let Problem::Missing { element, within: "Ntry" } = problem else { panic!("{problem}") };
        element
    };
    assert_eq!(missing(first("<Sts><Cd>BOOK</Cd></Sts>", "")), "Sts");
    assert_eq!(missing(first("<Amt Ccy=\"EUR\">12.33</Amt>", "")), "Amt");
    assert_eq!(missing(first("<CdtDbtInd>DBIT</CdtDbtInd>", "")), "CdtDbtInd");
    let sts = "<Sts><Cd>BOOK</Cd></Sts>";
    assert_eq!(first(sts, &format!("{sts}{sts}")), Problem::Twice("Sts"));
    let account = "<Acct><Id><IBAN>DE36000000000000000000</IBAN></Id><Ccy>EUR</Ccy></Acct>";
    assert!(matches!(first(account, ""), Problem::Missing { element: "Acct", .. }));
    assert!(matches!(first("Ccy=\"EUR\"", "Ccy=\"EUR\" Ccy=\"EUR\""), Problem::Syntax(_)));
}

#[test]
fn elements_of_other_namespaces_are_never_taken_for_the_messages_own() {
    for other in ["<x:GrpSts xmlns:x=\"urn:x\">ACSC</x:GrpSts>", "<GrpSts xmlns=\"\">ACSC</GrpSts>"]
    {
        let answer = read(&status_report(&format!("{other}<GrpSts>RJCT</GrpSts>"), "")).unwrap();
        assert_eq!(answer.reports.len(), 1);
        assert_eq!(answer.reports[0].status, "RJCT");
    }
    let undeclared = status_report("<y:GrpSts>RJCT</y:GrpSts>", "");
    assert!(matches!(problem(&undeclared), Problem::Syntax(_)));
}

#[test]
fn depth_length_and_number_are_bounded() {
    let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    assert!(read(&status_report(&nested(ANSWER_DEPTH_MAX - 3), "")).is_ok());
    assert_eq!(problem(&status_report(&nested(ANSWER_DEPTH_MAX - 2), "")), Problem::TooDeep);
    // Refused before the end is looked for.
    let endless = status_report(&"<a>".repeat(1 << 20), "");
    assert_eq!(problem(&endless), Problem::TooDeep);

    let long = "x".repeat(ANSWER_TEXT_BYTES_MAX);
    let answer = read(&status_report(&format!("<GrpSts>{long}</GrpSts>"), "")).unwrap();
    assert_eq!(answer.reports[0].word, None);
    let longer = problem(&status_report(&format!("<GrpSts>{long}x</GrpSts>"), ""));
    assert_eq!(longer, Problem::TextTooLong("GrpSts"));
    let pieces = "<![CDATA[x]]>".repeat(ANSWER_TEXT_BYTES_MAX + 1);
    let longer = problem(&status_report(&format!("<GrpSts>{pieces}</GrpSts>"), ""));
    assert_eq!(longer, Problem::TextTooLong("GrpSts"));

    let attributes =
        |count: usize| -> String { (0..count).map(|i| format!(" a{i}='1'")).collect() };
    let element = |count| status_report(&format!("<x{}/>", attributes(count)), "");
    assert!(read(&element(ANSWER_ATTRIBUTES_MAX)).is_ok());
    assert_eq!(problem(&element(ANSWER_ATTRIBUTES_MAX + 1)), Problem::Attributes);

    let unnamed = "<TxInfAndSts><TxSts>RJCT</TxSts></TxInfAndSts>".repeat(ANSWER_NOTES_MAX + 7);
    let summary = read(&status_report("", &block(&unnamed))).unwrap().summary;
    assert_eq!((summary.notes.len(), summary.notes_left_out), (ANSWER_NOTES_MAX, 7));
}

/// Endless input of which is known how much was taken.
struct Endless<'a> {
    start: &'a [u8],
    taken: &'a Cell<usize>,
}

impl Read for Endless<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = match self.start.read(into)? {
            0 => {
                into.fill(b'x');
                into.len()
            }
            count => count,
        };
        self.taken.set(self.taken.get() + count);
        Ok(count)
    }
}

#[test]
fn a_tag_comment_or_text_without_an_end_is_refused_before_it_fills_the_memory() {
    let start = String::from_utf8(status_report("", "")).unwrap();
    let (start, _) = start.split_once("</OrgnlGrpInfAndSts>").unwrap();
    for open in ["", "<!--", "<a b=\"", "<", "<![CDATA[", "<?", "</", "&", "<GrpSts>", "<!DOCTYPE"]
    {
        let (start, taken) = (format!("{start}{open}"), Cell::new(0));
        let input = BufReader::new(Endless { start: start.as_bytes(), taken: &taken });
        let refused = read_stream(input, Known::ANY, &mut ignore).unwrap_err();
        assert_eq!(refused.what, Problem::TooLong, "{open}");
        assert!(taken.get() < ANSWER_EVENT_BYTES_MAX + (64 << 10), "{open}: {}", taken.get());
    }
}

fn ignore(_: Report) -> Result<(), ReadError> {
    Ok(())
}

/// A statement of a million entries that is never whole in memory.
struct Long {
    left: u32,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Long {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() && self.left > 0 {
            self.left -= 1;
            self.at = 0;
            self.piece = match self.left {
                0 => b"</OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>".to_vec(),
                number => transaction(&format!("{number:A>32}"), "ACSC").into_bytes(),
            };
        }
        let count = (&self.piece[self.at..]).read(into)?;
        self.at += count;
        Ok(count)
    }
}

#[test]
fn reports_leave_while_the_file_is_still_being_read() {
    let whole = String::from_utf8(status_report("", &block(""))).unwrap();
    let (start, _) = whole.split_once("</OrgnlPmtInfAndSts>").unwrap();
    let long = Long { left: 50_000, piece: start.as_bytes().to_vec(), at: 0 };
    let mut seen = 0u32;
    let summary = read_stream(BufReader::new(long), Known::ANY, &mut |report| {
        seen += 1;
        assert_eq!(report.word, Some(LegWord::Confirmed));
        Ok::<(), ReadError>(())
    });
    assert_eq!((seen, summary.unwrap().reports), (49_999, 49_999));

    #[derive(Debug, PartialEq)]
    enum Stop {
        Enough,
        Bad(ReadError),
    }
    impl From<ReadError> for Stop {
        fn from(error: ReadError) -> Self {
            Self::Bad(error)
        }
    }
    // Whoever has seen enough is asked no more, though what follows is bad.
    let long = Long { left: 2, piece: whole.into_bytes(), at: 0 };
    let mut asked = 0;
    let stopped = read_stream(BufReader::new(long), Known::ANY, &mut |_| {
        asked += 1;
        Err(Stop::Enough)
    });
    assert!(matches!(stopped, Err(Stop::Bad(_))) && asked == 0);
    let bytes = changed("</CstmrPmtStsRpt>", "</CstmrPmtStsRpt>x");
    let stopped = read_stream(&*bytes, Known::ANY, &mut |_| Err(Stop::Enough));
    assert_eq!(stopped, Err(Stop::Enough));
}

#[test]
fn errors_name_line_and_byte() {
    let mut text = "<?xml version=\"1.0\"?>\n\n".to_owned();
    text += &String::from_utf8(changed("<GrpSts>", "\n<GrpSts>\n")).unwrap();
    let good = read(text.as_bytes()).unwrap();
    assert_eq!(good.reports[0].status, "RJCT");
    let bad = text.replace("RJCT", "&x;");
    let error = read(bad.as_bytes()).unwrap_err();
    let offset = bad.find("&x;").unwrap() + 3;
    assert_eq!((error.line, error.offset), (5, u64::try_from(offset).unwrap()));
    assert!(error.to_string().starts_with("line 5 (byte "), "{error}");
}

/// Answers with some bytes changed, taken out, doubled or exchanged for pieces of XML.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "<",
        ">",
        "/",
        "&",
        "&#65;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<a>",
        "</a>",
        "<Ntry>",
        "</Ntry>",
        "\"",
        "'",
        "xmlns=\"\"",
        "\0",
        "\u{feff}",
        "é",
        "<TxSts>RJCT</TxSts>",
        "BOOK",
        "-",
        "9999999999999999999999",
        "<!DOCTYPE",
        "<?xml",
        " ",
    ]);
    let change = (any::<prop::sample::Index>(), 0usize..40, prop::option::of(pieces), any::<u8>());
    (0..ANSWERS.len(), prop::collection::vec(change, 1..6)).prop_map(|(which, changes)| {
        let mut bytes = file(ANSWERS[which].0);
        for (at, length, piece, byte) in changes {
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            match piece {
                Some(piece) => drop(bytes.splice(at..end, piece.bytes())),
                None if length == 0 => bytes[at] = byte,
                None if length < 20 => drop(bytes.drain(at..end)),
                None => {
                    let copy = bytes[at..end].to_vec();
                    drop(bytes.splice(at..at, copy));
                }
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    /// A damaged file gives the same whether it comes at once or in pieces, and what it tells is
    /// bounded; it never panics.
    #[test]
    fn damaged_files_are_read_or_refused_and_never_panic(bytes in mutated(), piece in 1usize..40) {
        let at_once = read(&bytes);
        let mut reports = Vec::new();
        let pieces = BufReader::with_capacity(piece, &*bytes);
        let in_pieces = read_stream(pieces, Known::ANY, &mut |report| {
            reports.push(report);
            Ok::<(), ReadError>(())
        });
        match (&at_once, in_pieces) {
            (Ok(answer), Ok(summary)) => {
                prop_assert_eq!(&answer.summary, &summary);
                prop_assert_eq!(&answer.reports, &reports);
                let _ = told(&multilateral(), answer);
                for report in &answer.reports {
                    let length = report.reason.to_string().len();
                    prop_assert!(length <= tallystick_ledger::limits::TEXT_BYTES_MAX);
                }
            }
            (Err(one), Err(other)) => prop_assert_eq!(one, &other),
            (one, other) => prop_assert!(false, "{one:?} at once, {other:?} in pieces"),
        }
    }
}
