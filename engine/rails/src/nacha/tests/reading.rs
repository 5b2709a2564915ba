//! Return files: what they say is reported, once and to the right leg; what is damaged is refused.

use super::returns::{Back, file};
use super::*;
use crate::answers::Known;
use proptest::prelude::*;

/// Reads a file; every batch that it names is one of ours.
pub fn read(bytes: &[u8], scale: &dyn Fn(&str) -> Option<u32>) -> Result<Answer, ReadError> {
    super::super::read(bytes, Known { scale, file: &|_| true })
}

const NO_SCALE: &dyn Fn(&str) -> Option<u32> = &|_| None;

pub fn six(_: &str) -> Option<u32> {
    Some(6)
}

/// What was sent for a batch, and its legs' entries.
pub fn sent(content: &OpenBatch) -> Vec<slicer::Entry> {
    let files = rendered(content, &LIMITS);
    let files = files.iter().map(|text| slicer::slice(text));
    files.flat_map(|file| file.batches).flat_map(|batch| batch.entries).collect()
}

pub fn legs_of(entries: &[slicer::Entry]) -> Vec<slicer::Entry> {
    entries.iter().filter(|entry| entry.information.is_some()).cloned().collect()
}

pub fn example() -> (OpenBatch, Vec<slicer::Entry>) {
    let content = small(&[(1, 2, 12_340_000), (3, 2, 50_000_000), (4, 5, 990_000)]);
    let entries = sent(&content);
    (content, entries)
}

#[test]
fn a_return_is_reported_to_its_leg_with_reason_reference_and_amount() {
    let (content, entries) = example();
    let entries = legs_of(&entries);
    let mut free = Back::of(&entries[1], "R29");
    free.data = "CALL 555-0100".into();
    let text = file(&[vec![Back::of(&entries[0], "R01")], vec![free]]);
    let answer = read(text.as_bytes(), &six).unwrap();
    let report = |index: usize, reference: &str, reason: &str, words: &str| Return {
        key: rail_id(&content.legs[index].key),
        is_debit: content.legs[index].payment.is_pay_in(),
        reference: reference.into(),
        reason: reason.into(),
        words: words.into(),
        amount: Some(content.legs[index].payment.amount),
    };
    assert_eq!(
        answer.reports,
        [
            report(
                0,
                "return 021000020000001 of trace 121042880000001",
                "R01 insufficient funds",
                ""
            ),
            report(
                1,
                "return 021000020000002 of trace 121042880000002",
                "R29 corporate customer advises not authorized",
                "CALL 555-0100"
            ),
        ]
    );
    assert!(answer.notes.kept.is_empty());
    let unknown = read(text.as_bytes(), NO_SCALE).unwrap();
    assert!(unknown.reports.iter().all(|report| report.amount.is_none()));
}

#[test]
fn a_leg_that_the_bank_names_twice_is_reported_twice() {
    let (_, entries) = example();
    let back = Back::of(&legs_of(&entries)[0], "R01");
    let answer = read(file(&[vec![back.clone(), back]]).as_bytes(), &six).unwrap();
    assert_eq!(answer.reports.len(), 2);
    assert_eq!(answer.reports[0].key, answer.reports[1].key);
}

#[test]
fn changes_dishonors_offsets_and_other_entries_are_notes() {
    let (_, entries) = example();
    let legs = legs_of(&entries);
    let offset = entries.iter().find(|entry| entry.information.is_none()).unwrap();
    let mut foreign = Back::of(&legs[0], "R01");
    foreign.id = "PAYROLL 17".into();
    let text = file(&[
        vec![Back::of(&legs[0], "R61"), Back::of(&legs[1], "R73"), Back::of(offset, "R16")],
        vec![
            Back::change(&legs[2], "C01", "98765"),
            Back::change(&legs[2], "C03", "021000021   98765"),
            Back::change(&legs[2], "C61", "98765"),
        ],
        vec![foreign],
    ]);
    let answer = read(text.as_bytes(), &six).unwrap();
    assert!(answer.reports.is_empty());
    let seen: Vec<_> =
        answer.notes.kept.iter().map(|n| (n.kind, n.line, n.code.as_str())).collect();
    assert_eq!(
        seen,
        [
            (NoteKind::Dishonored, 3, "R61"),
            (NoteKind::Contested, 5, "R73"),
            (NoteKind::Offset, 7, "R16"),
            (NoteKind::Change, 11, "C01"),
            (NoteKind::Change, 13, "C03"),
            (NoteKind::ChangeRefused, 15, "C61"),
            (NoteKind::Foreign, 19, "R01"),
        ]
    );
    let change = &answer.notes.kept[4];
    assert_eq!(change.id, legs[2].id);
    assert_eq!(change.original_trace, legs[2].trace);
    assert_eq!(change.text, "incorrect routing number and account number");
    assert_eq!(change.data, "021000021   98765");
    let corrected = [("account", "98765".to_owned()), ("routing", "021000021".to_owned())];
    assert_eq!(change.corrected, corrected);
    assert!(answer.notes.kept[5].corrected.is_empty());
    // A changed account can be registered as it was read.
    let fields = change.corrected.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    assert!(check_account(&fields.collect()).is_ok());
}

#[test]
fn an_amount_that_the_legs_asset_cannot_have_is_a_note() {
    let (_, entries) = example();
    let text = file(&[vec![Back::of(&legs_of(&entries)[0], "R01")]]);
    let answer = read(text.as_bytes(), &|_| Some(0)).unwrap();
    assert!(answer.reports.is_empty());
    assert_eq!(
        (answer.notes.kept[0].kind, answer.notes.kept[0].cents),
        (NoteKind::Amount, Total(1_234))
    );
}

#[test]
fn a_return_may_have_the_transaction_code_of_what_was_sent() {
    let (_, entries) = example();
    let entry = &legs_of(&entries)[0];
    let mut back = Back::of(entry, "R01");
    let usual = read(file(&[vec![back.clone()]]).as_bytes(), &six).unwrap();
    back.code = entry.code.clone();
    assert_eq!(read(file(&[vec![back]]).as_bytes(), &six), Ok(usual));
}

#[test]
fn a_code_that_nobody_knows_yet_is_a_return_all_the_same() {
    let (_, entries) = example();
    let text = file(&[vec![Back::of(&legs_of(&entries)[0], "R99")]]);
    let answer = read(text.as_bytes(), &six).unwrap();
    assert_eq!(answer.reports[0].reason, "R99 unknown reason code");
}

#[test]
fn a_file_without_returns_is_read_and_one_without_filler_or_line_ends_too() {
    assert_eq!(read(file(&[]).as_bytes(), &six), Ok(Answer::default()));
    let (_, entries) = example();
    let text = file(&[vec![Back::of(&legs_of(&entries)[0], "R01")]]);
    let answer = read(text.as_bytes(), &six).unwrap();
    let filler = "9".repeat(94);
    let bare: String = text
        .lines()
        .filter(|line| *line != filler)
        .fold(String::new(), |text, line| text + line + "\n");
    for same in [
        bare.clone(),
        text.replace('\n', "\r\n"),
        text.replace('\n', ""),
        bare.replace('\n', ""),
        text.trim_end().to_owned(),
    ] {
        assert_eq!(read(same.as_bytes(), &six).as_ref(), Ok(&answer));
    }
}

#[test]
fn the_entry_hash_of_many_returns_has_its_last_ten_digits() {
    let (_, entries) = example();
    let back = Back::of(&legs_of(&entries)[0], "R01");
    // 12,104,288 a thousand times: eleven digits, in the batches and in the file.
    let text = file(&[vec![back.clone(); 900], vec![back; 100]]);
    assert_eq!(read(text.as_bytes(), &six).unwrap().reports.len(), 1_000);
}

#[test]
fn a_file_that_was_sent_is_no_return_file() {
    let (content, _) = example();
    for text in rendered(&content, &LIMITS) {
        let error = read(text.as_bytes(), &six).unwrap_err();
        assert_eq!(error, ReadError::NotAReturn { line: 3 });
        assert!(error.to_string().contains("no return file"));
    }
}

/// A return file with everything in it, cut into lines.
fn full() -> Vec<String> {
    let (_, entries) = example();
    let legs = legs_of(&entries);
    let text = file(&[
        vec![Back::of(&legs[0], "R01"), Back::of(&legs[3], "R03")],
        vec![Back::change(&legs[2], "C01", "98765")],
    ]);
    text.lines().map(str::to_owned).collect()
}

fn joined(lines: &[String]) -> String {
    lines.join("\n") + "\n"
}

#[test]
fn every_lost_or_doubled_line_is_noticed() {
    let lines = full();
    assert!(read(joined(&lines).as_bytes(), &six).is_ok());
    // What fills the last block says nothing.
    let filler = "9".repeat(94);
    for index in (0..lines.len()).filter(|&index| lines[index] != filler) {
        let mut lost = lines.clone();
        lost.remove(index);
        let mut doubled = lines.clone();
        doubled.insert(index, lines[index].clone());
        for bad in [lost, doubled] {
            let error = read(joined(&bad).as_bytes(), &six).unwrap_err();
            assert!(error.to_string().contains("line"), "{index}: {error}");
        }
    }
}

#[test]
fn every_file_that_ends_too_early_is_refused() {
    let text = joined(&full());
    let control = text.lines().position(|line| line.starts_with('9')).unwrap();
    // Blanks at the end of a line and what fills the last block may be missing.
    let whole = control * 95 + text.lines().nth(control).unwrap().trim_end().len();
    for end in 0..text.len() {
        let answer = read(&text.as_bytes()[..end], &six);
        assert_eq!(answer.is_ok(), end >= whole, "{end}: {answer:?}");
    }
}

/// Positions whose every digit is bound by a sum or a check: (record type, first, last).
const BOUND: [(char, usize, usize); 16] = [
    ('5', 2, 4),
    ('5', 80, 94),
    ('6', 4, 12),
    ('6', 30, 39),
    ('8', 2, 4),
    ('8', 5, 10),
    ('8', 11, 20),
    ('8', 21, 32),
    ('8', 33, 44),
    ('8', 45, 54),
    ('8', 80, 94),
    ('9', 2, 7),
    ('9', 8, 13),
    ('9', 14, 21),
    ('9', 22, 31),
    ('9', 32, 55),
];

#[test]
fn every_changed_digit_of_a_sum_or_of_what_is_summed_is_noticed() {
    let lines = full();
    let filler = "9".repeat(94);
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| **line != filler) {
        let bound = BOUND.iter().filter(|(kind, _, _)| line.starts_with(*kind));
        for position in bound.flat_map(|&(_, first, last)| first..=last) {
            for digit in ('0'..='9').filter(|d| !line[position - 1..].starts_with(*d)) {
                let mut changed = lines.clone();
                changed[index].replace_range(position - 1..position, &digit.to_string());
                let answer = read(joined(&changed).as_bytes(), &six);
                assert!(answer.is_err(), "line {}, position {position}: {digit}", index + 1);
            }
        }
    }
}

#[test]
fn errors_say_where_and_what_and_show_no_account() {
    let change = |line: usize, first: usize, text: &str| {
        let mut lines = full();
        lines[line - 1].replace_range(first - 1..first - 1 + text.len(), text);
        read(joined(&lines).as_bytes(), &six).unwrap_err().to_string()
    };
    for (line, first, text, part) in [
        (1, 1, "2", "line 1 is not a file header"),
        (1, 35, "095", "line 1: the record size"),
        (1, 24, "26112X", "line 1: the date is not a number"),
        (3, 2, "22", "line 7: the total of debits says 1234, the records before it give 0"),
        (3, 2, "X6", "line 3: the transaction code"),
        (3, 4, "021000021", "the entry hash says"),
        (3, 4, "12104288X", "line 3: the routing number is not a number"),
        (3, 4, "121042883", "line 3: the routing number is not nine digits"),
        (
            3,
            30,
            "0000001235",
            "line 7: the total of debits says 1234, the records before it give 1235",
        ),
        (3, 80, "X", "line 3: the trace number is not a number"),
        (4, 4, "X01", "line 4: the return reason code"),
        (4, 4, "C01", "line 4: the return reason code"),
        (4, 7, "            ", "line 4: the original trace number"),
        (7, 2, "220", "line 7: the service class differs"),
        (7, 45, "2999999999", "line 7: the company identification differs"),
        (7, 88, "0000002", "line 7: the batch number differs"),
        (8, 1, "6", "line 8 is not a batch header"),
        (9, 30, "0000000001", "line 11: the total of debits says 0"),
        (10, 4, "R01", "line 10: the change code"),
        (11, 1, "9", "line 11 is not an entry or the batch's control"),
        (12, 8, "000003", "line 12: the number of blocks says 3, the records before it give 2"),
        (13, 1, "8", "line 13 is not the end of the file"),
        (5, 9, "\u{7f}", "line 5: the routing number is not a number"),
    ] {
        let error = change(line, first, text);
        assert!(error.contains(part), "line {line}, {first}: {error}");
        assert!(!error.contains("9876543210"), "{error}");
    }
    assert_eq!(read(b"", &six), Err(ReadError::Empty));
    assert_eq!(read(b" \r\n\x1a", &six), Err(ReadError::Empty));
}

#[test]
fn an_entry_has_one_reason_and_may_have_other_addenda() {
    let lines = full();
    let add = |kind: &str, count: &str, blocks: &str| {
        let mut lines = lines.clone();
        let mut line = lines[3].clone();
        line.replace_range(1..3, kind);
        lines.insert(4, line);
        lines[7].replace_range(4..10, count);
        lines[12].replace_range(13..21, "00000007");
        lines[12].replace_range(7..13, blocks);
        lines.pop();
        read(joined(&lines).as_bytes(), &six)
    };
    let whole = read(joined(&lines).as_bytes(), &six).unwrap();
    let with_other = add("05", "000005", "000002").unwrap();
    assert_eq!(with_other.reports, whole.reports);
    let twice = add("99", "000005", "000002").unwrap_err();
    assert!(matches!(twice, ReadError::Order { line: 5, .. }), "{twice}");
}

/// Lines that look like records, so that random files reach deep.
fn lines_of_records() -> impl Strategy<Value = Vec<String>> {
    let valid = full();
    let line = prop_oneof![
        4 => prop::sample::select(valid),
        2 => "[15678 9][0-9]{2}[ -~]{91}",
        1 => "[ -~]{0,96}",
    ];
    prop::collection::vec(line, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes, &six);
    }

    #[test]
    fn no_records_make_the_reader_panic(lines in lines_of_records()) {
        let _ = read(joined(&lines).as_bytes(), &six);
    }

    /// A damaged file is refused, or says the same of money; a damaged reason or identification
    /// number, which no sum covers, can only turn a report into a note.
    #[test]
    fn damage_never_changes_an_amount(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let text = joined(&full());
        let amounts = |answer: &Answer| -> Vec<Option<Total>> {
            answer.reports.iter().map(|report| report.amount).collect()
        };
        let whole = amounts(&read(text.as_bytes(), &six).unwrap());
        let mut bytes = text.into_bytes();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(answer) = read(&bytes, &six) {
            let notes = answer.notes.kept.len();
            prop_assert!(amounts(&answer) == whole || notes > 1);
        }
    }

    /// Whatever subset of legs comes back, exactly those are reported, with their amounts.
    #[test]
    fn exactly_the_returned_legs_are_reported(
        owed in prop::collection::vec((0u16..30, 0u16..30, 1u128..=200_000_000_000_000), 1..40),
        chosen in prop::collection::vec((any::<prop::sample::Index>(), 1u8..=39), 0..20),
        group in 1usize..6,
    ) {
        let owed: Vec<_> = owed.into_iter().filter(|(from, to, _)| from != to).collect();
        let mut net: BTreeMap<u16, i128> = BTreeMap::new();
        for &(from, to, amount) in &owed {
            let amount = i128::try_from(amount).unwrap();
            *net.entry(from).or_default() -= amount;
            *net.entry(to).or_default() += amount;
        }
        prop_assume!(net.values().any(|&net| net >= 10_000));
        let content = small(&owed);
        let entries = legs_of(&sent(&content));
        let (mut backs, mut expected) = (Vec::new(), Vec::new());
        for (place, code) in chosen {
            let index = place.index(entries.len());
            backs.push(Back::of(&entries[index], &format!("R{code:02}")));
            expected.push((rail_id(&content.legs[index].key), content.legs[index].payment.amount));
        }
        let groups: Vec<Vec<Back>> = backs.chunks(group).map(<[Back]>::to_vec).collect();
        let answer = read(file(&groups).as_bytes(), &six).unwrap();
        let got: Vec<_> = answer
            .reports
            .iter()
            .map(|report| (report.key.clone(), report.amount.unwrap()))
            .collect();
        prop_assert_eq!(got, expected);
        prop_assert!(answer.notes.kept.is_empty());
    }
}
