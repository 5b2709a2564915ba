//! The golden files: byte for byte, and field by field at the positions of the rules.

use super::super::super::export;
use super::*;
use std::convert::Infallible;

/// In millionths of a dollar: dust, a sum above the largest entry, parties on both sides.
const OWED: [(u16, u16, u128); 5] = [
    (1, 2, 12_345_678),
    (1, 3, 120_000_000_000_000),
    (4, 5, 9_999),
    (6, 2, 50_000_000),
    (2, 6, 20_010_000),
];

fn nasty(party: PartyId) -> String {
    match number(party) {
        1 => "Müller & Søn  Zürich Robotics GmbH".into(),
        2 => "agent\t\"two\" \\ 東京".into(),
        3 => "Johnson Brothers Very Long Name LLC".into(),
        6 => " ".into(),
        _ => plain(party),
    }
}

fn golden() -> OpenBatch {
    batch(&asset(6), &clearing(false), CUT_AT, &OWED, &nasty)
}

fn exported(content: &OpenBatch) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let Ok(()) = export(content, &mut |name, piece: &[u8]| {
        files.entry(name.into()).or_default().extend_from_slice(piece);
        Ok::<(), Infallible>(())
    });
    let exported: Vec<&String> = files.keys().collect();
    assert!(exported.iter().all(|name| !name.ends_with(".ach")), "records only: {exported:?}");
    // What the bank would get if all of the batch left at once.
    for part in &super::super::files(content, 0).unwrap() {
        let mut bytes = Vec::new();
        render(content, part, &mut bytes).unwrap();
        files.insert(format!("{}.{}.ach", crate::short_id(content), part.number()), bytes);
    }
    files.into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect()
}

/// `TALLYSTICK_GOLDEN=write` writes the golden files anew: read the difference before you commit
/// it.
fn assert_golden(name: &str, text: &str) {
    let path = format!("{}/src/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("TALLYSTICK_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{path} differs from what is written now:\n{text}");
}

#[test]
fn a_small_batch_is_the_golden_files_byte_for_byte() {
    let content = golden();
    let written = exported(&content);
    let short = &content.head.id.to_string()[..16];
    let ends = ["1.ach", "2.ach", "legs.csv", "legs.json"];
    let expected: Vec<String> = ends.iter().map(|end| format!("{short}.{end}")).collect();
    assert_eq!(written.keys().cloned().collect::<Vec<_>>(), expected);
    for end in ends {
        assert_golden(&format!("nacha.{end}"), &written[&format!("{short}.{end}")]);
    }
}

/// A line, and what stands where in it.
type Fields<'a> = (usize, &'a [(usize, usize, &'a str)]);

fn assert_fields(text: &str, expected: &[Fields<'_>]) {
    let lines: Vec<&str> = text.lines().collect();
    for (line, fields) in expected {
        let mut next = 1;
        for &(first, last, value) in *fields {
            assert_eq!(first, next, "line {line}: every position is looked at");
            let found = &lines[line - 1][first - 1..last];
            let width = last - first + 1;
            assert_eq!(found, format!("{value:width$}"), "line {line}, {first}-{last}");
            next = last + 1;
        }
        assert_eq!(next, 95, "line {line}: every position is looked at");
    }
}

/// Agents 1 and 6 pay 120,000,012.34 (in two parts) and 29.99, from their accounts at the banks
/// 02100001 and 02100006.
fn pay_ins(content: &OpenBatch) -> String {
    let file = rendered(content, &LIMITS).swap_remove(0);
    assert_eq!(file.lines().count(), 20);
    file
}

#[test]
fn file_and_batch_headers_are_what_the_rules_say_at_every_position() {
    let content = golden();
    let file = pay_ins(&content);
    let short = content.head.id.to_string()[..16].to_uppercase();
    assert_fields(
        &file,
        &[
            (
                1,
                &[
                    (1, 1, "1"),
                    (2, 3, "01"),
                    (4, 13, " 091000019"),
                    (14, 23, " 121042882"),
                    (24, 29, "261123"),
                    (30, 33, "1620"),
                    (34, 34, "A"),
                    (35, 37, "094"),
                    (38, 39, "10"),
                    (40, 40, "1"),
                    (41, 63, "FIRST BANK OF SOMEWHERE"),
                    (64, 86, "TALLY CLEARING INC."),
                    (87, 94, ""),
                ],
            ),
            (
                2,
                &[
                    (1, 1, "5"),
                    (2, 4, "200"),
                    (5, 20, "TALLY CLEARING"),
                    (21, 40, &short),
                    (41, 50, "1999999999"),
                    (51, 53, "CCD"),
                    (54, 63, "SETTLEMENT"),
                    (64, 69, ""),
                    (70, 75, "261124"),
                    (76, 78, ""),
                    (79, 79, "1"),
                    (80, 87, "12104288"),
                    (88, 94, "0000001"),
                ],
            ),
        ],
    );
}

#[test]
fn entries_and_addenda_are_what_the_rules_say_at_every_position() {
    let content = golden();
    let file = pay_ins(&content);
    let short = content.head.id.to_string()[..16].to_uppercase();
    let ids: Vec<String> = content.legs.iter().map(|leg| rail_id(&leg.key)).collect();
    let information = |leg: usize| format!("TRN*1*{}*1999999999*{short}\\", content.legs[leg].key);
    let (information, last_information) = (information(0), information(2));
    assert_fields(
        &file,
        &[
            (
                3,
                &[
                    (1, 1, "6"),
                    (2, 3, "27"),
                    (4, 11, "02100001"),
                    (12, 12, "8"),
                    (13, 29, "ACC-1"),
                    (30, 39, "9999999999"),
                    (40, 54, &ids[0]),
                    (55, 76, "MULLER & SON ZURICH RO"),
                    (77, 78, ""),
                    (79, 79, "1"),
                    (80, 87, "12104288"),
                    (88, 94, "0000001"),
                ],
            ),
            (
                4,
                &[
                    (1, 1, "7"),
                    (2, 3, "05"),
                    (4, 83, &information),
                    (84, 87, "0001"),
                    (88, 94, "0000001"),
                ],
            ),
            (
                10,
                &[
                    (1, 1, "6"),
                    // Agent 6 has a savings account.
                    (2, 3, "37"),
                    (4, 11, "02100006"),
                    (12, 12, "3"),
                    (13, 29, "ACC-6"),
                    (30, 39, "0000002999"),
                    (40, 54, &ids[2]),
                    (55, 76, "NOT PROVIDED"),
                    (77, 78, ""),
                    (79, 79, "1"),
                    (80, 87, "12104288"),
                    (88, 94, "0000004"),
                ],
            ),
            (
                11,
                &[
                    (1, 1, "7"),
                    (2, 3, "05"),
                    (4, 83, &last_information),
                    (84, 87, "0001"),
                    (88, 94, "0000004"),
                ],
            ),
        ],
    );
}

#[test]
fn offsets_and_controls_are_what_the_rules_say_at_every_position() {
    let content = golden();
    let file = pay_ins(&content);
    assert_fields(
        &file,
        &[
            (
                5,
                &[
                    (1, 1, "6"),
                    (2, 3, "22"),
                    (4, 11, "12104288"),
                    (12, 12, "2"),
                    (13, 29, "9876543210"),
                    (30, 39, "9999999999"),
                    (40, 54, "OFFSET-0000001"),
                    (55, 76, "TALLY CLEARING"),
                    (77, 78, ""),
                    (79, 79, "0"),
                    (80, 87, "12104288"),
                    (88, 94, "0000002"),
                ],
            ),
            (
                6,
                &[
                    (1, 1, "8"),
                    (2, 4, "200"),
                    (5, 10, "000003"),
                    // 2,100,001 + 12,104,288
                    (11, 20, "0014204289"),
                    (21, 32, "009999999999"),
                    (33, 44, "009999999999"),
                    (45, 54, "1999999999"),
                    (55, 73, ""),
                    (74, 79, ""),
                    (80, 87, "12104288"),
                    (88, 94, "0000001"),
                ],
            ),
            (
                14,
                &[
                    (1, 1, "9"),
                    (2, 7, "000002"),
                    (8, 13, "000002"),
                    (14, 21, "00000008"),
                    // 2 * 2,100,001 + 2,100,006 + 2 * 12,104,288
                    (22, 31, "0030508584"),
                    (32, 43, "012000004233"),
                    (44, 55, "012000004233"),
                    (56, 94, ""),
                ],
            ),
            (15, &[(1, 94, &"9".repeat(94))]),
            (20, &[(1, 94, &"9".repeat(94))]),
        ],
    );
}

#[test]
fn the_file_of_pay_outs_credits_parties_and_debits_the_clearing_account() {
    let content = golden();
    let files = rendered(&content, &LIMITS);
    let [_, text] = files.as_slice() else { panic!("a file of pay-ins, one of pay-outs") };
    let file = slicer::slice(text);
    // Pay-ins settle on Tuesday 24 and are confirmed on Friday 27 (Thursday is Thanksgiving):
    // Monday.
    assert_eq!((file.date.as_str(), file.time.as_str()), ("261123", "1620"));
    assert_eq!(file.modifier, "B");
    assert!(file.batches.iter().all(|batch| batch.effective == "261130"));
    let seen: Vec<_> = file
        .entries()
        .map(|e| (e.code.as_str(), e.account.as_str(), e.cents, e.name.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            // Agent 2: 12.345678 + 50.00 - 20.01, and 0.005678 carried.
            ("22", "ACC-2", 4_233, "AGENT \"TWO\" \\ .."),
            ("27", "9876543210", 4_233, "TALLY CLEARING"),
            ("32", "ACC-3", 9_999_999_999, "JOHNSON BROTHERS VERY"),
            ("27", "9876543210", 9_999_999_999, "TALLY CLEARING"),
            ("32", "ACC-3", 2_000_000_001, "JOHNSON BROTHERS VERY"),
            ("27", "9876543210", 2_000_000_001, "TALLY CLEARING"),
        ]
    );
}

#[test]
fn csv_and_json_show_every_leg_of_the_files() {
    let content = golden();
    let written = exported(&content);
    let end = |end: &str| written.iter().find(|(name, _)| name.ends_with(end)).unwrap().1;
    let json: serde_json::Value = serde_json::from_str(end(".legs.json")).unwrap();
    assert_eq!(json["rail"], "nacha");
    assert_eq!(json["legs"][0]["amount"], "99999999.99");
    assert_eq!(json["legs"][0]["from"]["account"]["routing"], routing(1));
    assert_eq!(json["total"]["amount"], "120000042.33");
    assert_eq!(json["pay_in_total"]["amount"], "120000042.33");
    assert_eq!(end(".legs.csv").lines().count(), 1 + content.legs.len());
}
