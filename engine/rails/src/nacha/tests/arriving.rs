//! A bank's daily file, whatever is in it: the shapes in which return files are published, rebuilt
//! around a return of ours. Our return counts, and what is somebody else's is passed over with a
//! note.

use super::reading::{example, legs_of, read, six};
use super::returns::{Back, file};
use super::*;
use crate::answers::{Answer as Told, Known};
use tallystick_ledger::Rail;

/// A batch of entries with its sums.
pub struct Entries {
    lines: Vec<String>,
    records: usize,
    hash: u128,
    debits: u128,
    credits: u128,
}

/// A batch of these records, as a bank writes it. `use_` stands in its header for the company's own
/// use.
pub fn entries(class: &str, use_: &str, records: &[String]) -> Entries {
    let of = |line: &&String| line.starts_with('6');
    let entries: Vec<&String> = records.iter().filter(of).collect();
    let number = |line: &str, from: usize, to: usize| line[from - 1..to].parse::<u128>().unwrap();
    let is_debit = |line: &str| line.as_bytes()[2] >= b'5';
    let sum = |debit: bool| {
        entries.iter().filter(|l| is_debit(l) == debit).map(|l| number(l, 30, 39)).sum::<u128>()
    };
    let hash = entries.iter().map(|line| number(line, 4, 11)).sum::<u128>();
    let (debits, credits, count) = (sum(true), sum(false), records.len());
    let company = "1999999999";
    let head = format!(
        "5200{:16}{use_:20}{company:10}{class}{:10}{:6}261201   1091000010000007",
        "A COMPANY", "PAYMENTS", ""
    );
    let end = format!(
        "8200{count:06}{:010}{debits:012}{credits:012}{company:10}{:25}091000010000007",
        hash % 10_000_000_000,
        ""
    );
    let lines = [vec![head], records.to_vec(), vec![end]].concat();
    Entries { lines, records: count, hash, debits, credits }
}

/// A file of these batches.
pub fn whole(batches: &[Entries]) -> Vec<String> {
    let mut lines =
        vec![format!("101 121042882 0910000192611251200A094101{:46}{:8}", "A BANK", "")];
    lines.extend(batches.iter().flat_map(|batch| batch.lines.clone()));
    let blocks = (lines.len() + 1).div_ceil(10);
    let sum = |of: fn(&Entries) -> u128| batches.iter().map(of).sum::<u128>();
    lines.push(format!(
        "9{:06}{blocks:06}{:08}{:010}{:012}{:012}{:39}",
        batches.len(),
        batches.iter().map(|batch| batch.records).sum::<usize>(),
        sum(|batch| batch.hash) % 10_000_000_000,
        sum(|batch| batch.debits),
        sum(|batch| batch.credits),
        ""
    ));
    lines.resize(blocks * 10, "9".repeat(94));
    assert!(lines.iter().all(|line| line.chars().count() == 94), "{lines:?}");
    lines
}

pub fn text(lines: &[String]) -> String {
    lines.join("\n") + "\n"
}

/// An entry and its addenda, and what stands in the addenda behind its kind.
pub fn entry(code: u32, id: &str, name: &str, cents: u128, addenda: &[&str]) -> Vec<String> {
    let trace = "091000010000009";
    let flag = u8::from(!addenda.is_empty());
    let first =
        format!("6{code}12104288212345678901234567{cents:010}{id:15}{name:22}  {flag}{trace}");
    let more = addenda.iter().map(|text| format!("7{text:78}{trace}"));
    std::iter::once(first).chain(more).collect()
}

/// The records of a return or change of an entry of ours.
pub fn ours(back: Back) -> Vec<String> {
    let text = file(&[vec![back]]);
    text.lines().filter(|line| line.starts_with(['6', '7'])).map(str::to_owned).collect()
}

/// What is said of legs, and the notes by kind.
fn heard(bytes: &[u8]) -> (Vec<String>, Vec<NoteKind>) {
    let answer = read(bytes, &six).unwrap_or_else(|error| panic!("{error}"));
    let keys = answer.reports.into_iter().map(|report| report.key).collect();
    (keys, answer.notes.kept.into_iter().map(|note| note.kind).collect())
}

/// One batch of another class, somebody's credit or one letter beyond ASCII once refused the whole
/// file, and our returns with it.
#[test]
fn a_return_counts_whatever_else_is_in_the_file() {
    let leg = legs_of(&example().1)[0].clone();
    let own = || entries("CCD", "", &ours(Back::of(&leg, "R01")));
    let back = "99R03091400600000001      09100001";
    let mut wrong_digit = entry(22, "A-1", "A SHOP", 100, &[back]);
    wrong_digit[0].replace_range(11..12, "9");
    let mut letters = entry(21, "A-1", "JOSE PEREZ", 100, &[back]);
    letters[0] = letters[0].replace("JOSE PEREZ", "JOSÉ PÉREZ");
    let mut nameless = entries("PPD", "", &entry(21, "A-1", "A SHOP", 100, &[back]));
    nameless.lines.last_mut().unwrap().replace_range(44..54, &" ".repeat(10));
    let chained = ["99R0709991234", "99R680599999900003", "99R710599999900003"];
    let (foreign, others) = (NoteKind::Foreign, NoteKind::Others);
    for (other, note) in [
        (entries("WEB", "", &entry(26, "MjMxNDAwMjAtOGQ", "PAUL", 12_354, &[back])), foreign),
        (entries("IAT", "", &entry(22, "456789", "", 100_000, &["10ANN", back])), foreign),
        (entries("IAT", "", &entry(22, "456789", "", 100_000, &["10ANN", "11", "17"])), others),
        (entries("PPD", "", &entry(22, "INVOICE 4711", "CUSTOMER ONE", 5_000, &[])), others),
        (entries("ACK", "", &entry(24, "121042880000001", "A BANK", 0, &[])), others),
        (entries("CTX", "", &entry(21, "A-1", "0005A SHOP", 100, &["05X", "05Y", back])), foreign),
        (entries("COR", "", &entry(21, "location #23", "A SHOP", 0, &["98C01"])), foreign),
        (entries("COR", "", &entry(21, "location #23", "A SHOP", 5, &["98C92"])), foreign),
        (entries("PPD", "", &entry(22, "ABC##jvkdjfuiwn", "A", 7, &chained)), foreign),
        (entries("POS", "", &entry(27, "A-1", "A SHOP", 100, &["02X", back])), foreign),
        (entries("GLD", "", &entry(55, "LOAN", "A LOAN", 100, &[])), others),
        (entries("PPD", "", &wrong_digit), foreign),
        (entries("PPD", "", &letters), foreign),
        (nameless, foreign),
    ] {
        let class = other.lines[0].clone();
        let lines = text(&whole(&[own(), other]));
        assert_eq!(heard(lines.as_bytes()), (vec![leg.id.clone()], vec![note]), "{class}");
        let western: Vec<u8> = lines.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        assert_eq!(heard(&western).0, [&*leg.id], "{class}");
    }
}

/// The operator's accounting has records of a form of its own, and is a file of its own.
#[test]
fn a_file_of_the_operators_accounting_is_passed_over() {
    let line = |code: u32, cents: u128| {
        format!("6{code}121042882{:15}{cents:012}{:40}{:15}", "744-5678-99", "00012104288", "")
    };
    let hash = 2 * 12_104_288;
    let totals = format!("{:020}{:020}", 250_000, 50_000);
    let lines = [
        format!("101 121042882 0910000192611251200A094101{:54}", "A BANK"),
        format!("5280{:46}ADV{:26}12104288{:06}1", "A COMPANY", "ACCOUNTING", 0),
        line(81, 50_000),
        line(82, 250_000),
        format!("8280000002{hash:010}{totals}{:19}12104288{:06}1", "A COMPANY", 0),
        format!("900000100000100000002{hash:010}{totals}{:23}", ""),
    ];
    assert!(lines.iter().all(|line| line.len() <= 94), "{lines:?}");
    let lines = text(&lines.map(|line| format!("{line:94}")));
    let answer = read(lines.as_bytes(), &six).unwrap();
    assert_eq!((answer.reports.len(), answer.notes.others), (0, 2));
    let wrong = lines.replacen("000000250000", "000000250001", 1);
    assert!(matches!(read(wrong.as_bytes(), &six), Err(ReadError::Sum { .. })));
}

/// A quarter of the published files were refused for the form of their lines, and "fetch it again"
/// did not help.
#[test]
fn a_file_arrives_in_every_form_that_banks_and_transfers_make_of_it() {
    let leg = legs_of(&example().1)[0].clone();
    let lines = whole(&[entries("CCD", "", &ours(Back::of(&leg, "R01")))]);
    let full = text(&lines);
    let filler = "9".repeat(94);
    let bare: Vec<String> = lines.iter().filter(|line| **line != filler).cloned().collect();
    let cut: Vec<String> = lines.iter().map(|line| line.trim_end().to_owned()).collect();
    let wide: Vec<String> = lines.iter().map(|line| format!("{line}  ")).collect();
    let blocks: Vec<String> = lines.chunks(10).map(<[String]>::concat).collect();
    for (form, bytes) in [
        ("as it is", full.clone()),
        ("without what fills the block", text(&bare)),
        ("with blanks cut off", text(&cut)),
        ("with blanks added", text(&wide)),
        ("in blocks of ten", text(&blocks)),
        ("without line ends", lines.concat()),
        ("without line ends but one", lines.concat() + "\n"),
        ("CR LF", full.replace('\n', "\r\n")),
        ("CR", full.replace('\n', "\r")),
        ("with a byte order mark", format!("\u{feff}{full}")),
        ("with an end mark", format!("{full}\u{1a}")),
        ("with empty lines behind it", format!("{full}\n \n\r\n")),
        ("twice", full.repeat(2)),
        ("with more to fill it", format!("{full}{filler}\n{filler}\n")),
    ] {
        let expected = vec![leg.id.clone(); if form == "twice" { 2 } else { 1 }];
        assert_eq!(heard(bytes.as_bytes()), (expected, vec![]), "{form}");
    }
    let wide: Vec<u8> = full.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(heard(&[&b"\xff\xfe"[..], &wide].concat()).0, [&*leg.id]);
    // Neither header nor control: each batch is whole, and a person sees to the rest.
    let batch = text(&bare[1..bare.len() - 1]);
    assert_eq!(heard(batch.as_bytes()), (vec![leg.id], vec![NoteKind::Bare]));
}

/// Some banks send a file each day, with nothing in it and its blanks cut off.
#[test]
fn a_file_without_entries_is_read_in_every_form() {
    let zero = "101 100067554 1823273902003271043 094101A PROCESSOR            A BANK\r\n\
                9000000000001000000000000000000000000000000000000000000\r\n";
    let filled = format!("{zero}{}", format!("{}\r\n", "9".repeat(94)).repeat(8));
    for bytes in [zero, &filled, &text(&whole(&[]))] {
        assert_eq!(heard(bytes.as_bytes()), (vec![], vec![]));
    }
}

/// What a damaged file says of anything counts for nothing: sums are held to the last digit for
/// somebody else's entries, too.
#[test]
fn a_wrong_sum_anywhere_refuses_the_file() {
    let leg = legs_of(&example().1)[0].clone();
    let other = || entries("PPD", "", &entry(22, "INVOICE 4711", "CUSTOMER", 5_000, &[]));
    let good = whole(&[entries("CCD", "", &ours(Back::of(&leg, "R01"))), other()]);
    assert!(read(text(&good).as_bytes(), &six).is_ok());
    let line = good.iter().position(|line| line.contains("INVOICE")).unwrap();
    for (at, from, digits) in [(line, 30, "0000005001"), (line, 4, "2"), (line + 1, 5, "000002")] {
        let mut wrong = good.clone();
        wrong[at].replace_range(from - 1..from - 1 + digits.len(), digits);
        let changed = wrong[at] != good[at];
        assert_eq!(read(text(&wrong).as_bytes(), &six).is_err(), changed, "{}", wrong[at]);
    }
    for lost in 0..good.len() - 1 {
        let mut wrong = good.clone();
        let gone = wrong.remove(lost);
        let is_filler = gone.bytes().all(|b| b == b'9');
        assert_eq!(read(text(&wrong).as_bytes(), &six).is_ok(), is_filler, "{gone}");
    }
}

/// Six banking days run, and the note named neither the party nor the new number. What is journaled
/// still does not hold it.
#[test]
fn a_change_tells_the_new_number_beside_the_file_and_nowhere_else() {
    let leg = legs_of(&example().1)[0].clone();
    let lines = whole(&[entries("COR", "", &ours(Back::change(&leg, "C01", "1918171614")))]);
    let known = Known { scale: &six, file: &|_| true };
    let told = Told::read(Rail::Nacha, text(&lines).as_bytes(), known).unwrap();
    let [remark] = told.remarks() else { panic!("{:?}", told.remarks()) };
    assert_eq!(remark.leg, Some(leg.id.clone()));
    assert_eq!(remark.aside, "account is now 1918171614");
    assert!(remark.trouble.is_some() && !remark.text.contains("1918171614"), "{}", remark.text);
    let strange = whole(&[entries("COR", "", &ours(Back::change(&leg, "C09", "X 17")))]);
    let told = Told::read(Rail::Nacha, text(&strange).as_bytes(), known).unwrap();
    assert_eq!(told.remarks()[0].aside, "the bank wrote X 17");
}

/// A bank that blanks the identification number left only "it is no leg's" behind.
#[test]
fn a_return_without_our_number_in_a_batch_of_ours_is_a_trouble_with_trace_and_amount() {
    let leg = legs_of(&example().1)[0].clone();
    let back = format!("99R03{}", leg.trace);
    let of = |id: &str, use_: &str| {
        text(&whole(&[entries("CCD", use_, &entry(26, id, "A PARTY", 1_234, &[&back]))]))
    };
    let own = "0123456789abcdef";
    let mine = |id: &str| id == own;
    let known = Known { scale: &six, file: &mine };
    for id in ["", "hnbr7trcabcdefg"] {
        let told = Told::read(Rail::Nacha, of(id, own).as_bytes(), known).unwrap();
        assert!(told.names().is_empty(), "no leg moves");
        let remark = &told.remarks()[0];
        assert_eq!(remark.within.as_deref(), Some(own));
        for part in [&*leg.trace, "12.34 dollars", "R03"] {
            assert!(remark.text.contains(part), "{}", remark.text);
        }
        assert!(remark.trouble.is_some());
    }
    for use_ in ["", "fedcba9876543210", "A COMPANY"] {
        let told = Told::read(Rail::Nacha, of("", use_).as_bytes(), known).unwrap();
        let remark = &told.remarks()[0];
        assert_eq!((remark.within.as_ref(), remark.trouble), (None, None), "{use_}");
    }
}

/// A thousand of somebody else's returns once could have hidden what is ours.
#[test]
fn what_is_somebody_elses_never_takes_the_room_of_what_is_ours() {
    let legs = legs_of(&example().1);
    let back = "99R03091400600000001";
    let mut records: Vec<String> =
        (0..2_000).flat_map(|_| entry(26, "A-1", "SOMEBODY", 1, &[back])).collect();
    records.extend(ours(Back::of(&legs[1], "R61")));
    let answer = read(text(&whole(&[entries("CCD", "", &records)])).as_bytes(), &six).unwrap();
    assert!(answer.notes.kept.len() < 200 && answer.notes.others == 2_000);
    assert_eq!(answer.notes.kept.last().unwrap().kind, NoteKind::Dishonored);
    assert_eq!(answer.notes.left_out, 0);
}
