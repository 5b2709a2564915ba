//! Lines of an import: what is read, what is refused and in which words, and which request each is.

use super::*;

fn id(byte: &str) -> String {
    byte.repeat(32)
}

#[test]
fn every_kind_of_line_is_read() {
    let party = format!(
        r#"{{"party":{{"id":"{}","name":"N","accounts":{{"iso20022":{{"iban":"DE"}}}}}}}}"#,
        id("01")
    );
    let Item::Party(request) = parse_line(&party, None).unwrap() else { panic!("not a party") };
    let read = request.party.unwrap();
    assert_eq!(read.accounts["iso20022"].fields["iban"], "DE");
    assert_eq!((read.name.as_str(), read.suspended), ("N", false));

    let signer = format!(
        r#"{{"signer":{{"key":"{}","party":"{}","caps":{{"978":123,"1":"4"}}}}}}"#,
        id("02"),
        id("01")
    );
    let Item::Signer(request) = parse_line(&signer, None).unwrap() else { panic!("not a signer") };
    let caps = [Cap { asset: 1, amount: 4 }, Cap { asset: 978, amount: 123 }];
    assert_eq!(request.signer.unwrap().caps, caps);

    let big = u128::from(u64::MAX) + 1;
    let limit = format!(r#"{{"limit":{{"party":"{}","asset":1,"limit":"{big}"}}}}"#, id("01"));
    let Item::Limit(request) = parse_line(&limit, None).unwrap() else { panic!("not a limit") };
    assert_eq!(request.limit, big.to_string());

    let deposit =
        r#"{"request_id":"r","deposit":{"party":"ID","asset":1,"amount":5,"reference":"x"}}"#;
    let deposit = deposit.replace("ID", &id("01"));
    let Item::Deposit(request) = parse_line(&deposit, None).unwrap() else { panic!("no deposit") };
    assert_eq!((request.amount.as_str(), request.request_id.as_str()), ("5", "r"));
}

#[test]
fn wrong_lines_say_what_is_wrong() {
    for (line, part) in [
        ("{}".to_owned(), "exactly one of"),
        ("[".into(), "not a JSON object: cut off at column 1"),
        ("{\"limit\" 5}".into(), "not a JSON object: look at column 10"),
        (r#"{"partie":{}}"#.into(), "unknown field"),
        (r#"{"party":{"id":"ab","name":""}}"#.into(), "party: expected 64 hexadecimal"),
        (r#"{"limit":{"party":"","asset":1,"limit":1.5}}"#.into(), "no decimals"),
        (
            format!(r#"{{"limit":{{"party":"{}","asset":1,"limit":"1.5"}}}}"#, id("01")),
            "whole number of asset units",
        ),
        (
            format!(r#"{{"signer":{{"key":"{0}","party":"{0}","caps":{{"EUR":1}}}}}}"#, id("01")),
            "no asset number",
        ),
        (format!(r#"{{"request_id":"","party":{{"id":"{}","name":""}}}}"#, id("1a")), "bytes"),
    ] {
        let error = parse_line(&line, None).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    }
}

#[test]
fn the_same_line_has_the_same_request_id() {
    assert_eq!(line_id("{\"a\":1}", None), line_id(" {\"a\":1}\r\n", None));
    assert_ne!(line_id("{\"a\":1}", None), line_id("{\"a\":2}", None));
    assert!(line_id("x", None).len() <= limits::REQUEST_ID_BYTES_MAX);
}

/// With an id of its own each time a deposit would be credited again.
#[test]
fn what_is_imported_again_is_a_new_request_unless_it_is_money() {
    let of = |item: Item| match item {
        Item::Party(of) => of.request_id,
        Item::Signer(of) => of.request_id,
        Item::Limit(of) => of.request_id,
        Item::Deposit(of) => of.request_id,
    };
    let id_of = |line: &str, again| of(parse_line(line, again).unwrap());
    let limit = format!(r#"{{"limit":{{"party":"{}","asset":1,"limit":1}}}}"#, id("01"));
    let money = r#"{"deposit":{"party":"ID","asset":1,"amount":5,"reference":"x"}}"#;
    let money = money.replace("ID", &id("01"));
    assert_ne!(id_of(&limit, None), id_of(&limit, Some("a")));
    assert_ne!(id_of(&limit, Some("a")), id_of(&limit, Some("b")));
    assert_eq!(id_of(&money, None), id_of(&money, Some("a")));
}

#[test]
fn what_a_line_of_a_party_leaves_out_stays_as_it_is() {
    let line = |rest: &str| format!(r#"{{"party":{{"id":"{}","name":"N"{rest}}}}}"#, id("01"));
    let keep = |rest: &str| match parse_line(&line(rest), None).unwrap() {
        Item::Party(of) => of.keep.map(|keep| (keep.suspended, keep.accounts)),
        Item::Signer(_) | Item::Limit(_) | Item::Deposit(_) => panic!("it is a party"),
    };
    assert_eq!(keep(""), Some((true, true)));
    assert_eq!(keep(r#","accounts":{}"#), Some((true, false)));
    assert_eq!(keep(r#","suspended":true"#), Some((false, true)));
    assert_eq!(keep(r#","suspended":false,"accounts":{}"#), None);
}

#[test]
fn refused_items_are_found_again_by_their_line() {
    let limit = |n: u32| format!(r#"{{"limit":{{"party":"{}","asset":{n},"limit":1}}}}"#, id("01"));
    let long = "x".repeat(LINE_BYTES_MAX + 10);
    let lines = [String::new(), limit(1), limit(2), "bad".into(), limit(3), long, limit(4)];
    let text = lines.join("\n");
    let mut assets = Vec::new();
    let take = |item| {
        let Item::Limit(request) = item else { panic!("only limits were given") };
        assets.push(request.asset);
        true
    };
    let reading = read_lines(text.as_bytes(), None, take).unwrap();
    assert_eq!(assets, [1, 2, 3, 4]);
    let line_numbers: Vec<u64> = (0..4).map(|index| reading.line_of(index)).collect();
    assert_eq!(line_numbers, [2, 3, 5, 7]);
    assert_eq!((reading.sent, reading.skipped, reading.jumps.len()), (4, 2, 3));
    assert_eq!((reading.failures[0].0, reading.failures[1].0), (4, 6));
}

#[test]
fn reading_ends_when_nobody_takes_the_items() {
    let line = format!(r#"{{"limit":{{"party":"{}","asset":1,"limit":1}}}}"#, id("01"));
    let reading = read_lines(format!("{line}\n{line}\n").as_bytes(), None, |_| false).unwrap();
    assert_eq!(reading.sent, 1);
}
