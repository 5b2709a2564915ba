//! An independent reader of what the writer makes: slices by position and adds up slowly.
//!
//! Owns its own sums. Shares nothing with the code under test.

/// One entry with its addenda record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub code: String,
    pub routing: String,
    pub account: String,
    pub cents: u128,
    pub id: String,
    pub name: String,
    pub trace: String,
    /// The payment related information.
    pub information: Option<String>,
}

impl Entry {
    pub fn is_debit(&self) -> bool {
        match self.code.as_str() {
            "27" | "37" => true,
            "22" | "32" => false,
            other => panic!("transaction code {other}"),
        }
    }
}

/// One batch of entries.
#[derive(Debug)]
pub struct Batch {
    pub effective: String,
    pub entries: Vec<Entry>,
}

/// One file.
#[derive(Debug)]
pub struct File {
    pub date: String,
    pub time: String,
    pub modifier: String,
    pub batches: Vec<Batch>,
}

impl File {
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.batches.iter().flat_map(|batch| &batch.entries)
    }
}

fn cut(line: &str, from: usize, to: usize) -> String {
    line[from - 1..to].trim_end().to_owned()
}

fn number(line: &str, from: usize, to: usize) -> u128 {
    let digits = &line[from - 1..to];
    assert!(digits.bytes().all(|b| b.is_ascii_digit()), "{from}-{to} of {line:?}");
    digits.parse().unwrap()
}

/// Debits, credits and hash of entries, one by one.
fn sums<'a>(entries: impl Iterator<Item = &'a Entry>) -> (u128, u128, u128) {
    let (mut debits, mut credits, mut hash) = (0, 0, 0);
    for entry in entries {
        if entry.is_debit() {
            debits += entry.cents;
        } else {
            credits += entry.cents;
        }
        hash += entry.routing[..8].parse::<u128>().unwrap();
    }
    (debits, credits, hash % 10_000_000_000)
}

fn records<'a>(entries: impl Iterator<Item = &'a Entry>) -> u128 {
    entries.map(|entry| if entry.information.is_some() { 2 } else { 1 }).sum()
}

/// Reads a file and asserts all that it says about itself.
pub fn slice(text: &str) -> File {
    assert!(text.is_ascii() && text.ends_with('\n') && !text.contains('\r'));
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap().split('\n').collect();
    assert!(lines.iter().all(|line| line.len() == 94));
    assert!(lines.iter().all(|line| line.bytes().all(|b| (0x20..0x7f).contains(&b))));
    assert_eq!(lines.len() % 10, 0);
    let end = lines.iter().position(|line| line.starts_with('9')).unwrap();
    let (body, tail) = lines.split_at(end);
    let control = tail[0];
    assert!(tail[1..].iter().all(|line| *line == "9".repeat(94)) && tail.len() <= 10);

    let header = body[0];
    assert_eq!(&header[..4], "101 ");
    assert_eq!(&header[34..40], "094101");
    let mut file = File {
        date: cut(header, 24, 29),
        time: cut(header, 30, 33),
        modifier: cut(header, 34, 34),
        batches: Vec::new(),
    };
    let mut at = 1;
    while at < body.len() {
        let close = at + body[at..].iter().position(|line| line.starts_with('8')).unwrap();
        file.batches.push(batch(&body[at..=close], file.batches.len() + 1));
        at = close + 1;
    }
    let traces: Vec<&String> = file.entries().map(|entry| &entry.trace).collect();
    assert!(traces.is_sorted_by(|a, b| a < b), "traces ascend in the whole file");

    let (debits, credits, hash) = sums(file.entries());
    assert_eq!(debits, credits, "the file is balanced");
    assert_eq!(number(control, 2, 7), u128::try_from(file.batches.len()).unwrap());
    assert_eq!(number(control, 8, 13) * 10, u128::try_from(lines.len()).unwrap());
    assert_eq!(number(control, 14, 21), records(file.entries()));
    assert_eq!(number(control, 22, 31), hash);
    assert_eq!(number(control, 32, 43), debits);
    assert_eq!(number(control, 44, 55), credits);
    assert_eq!(cut(control, 56, 94), "");
    file
}

fn batch(lines: &[&str], expected: usize) -> Batch {
    let (header, control) = (lines[0], lines[lines.len() - 1]);
    assert_eq!(&header[..4], "5200");
    assert_eq!(&header[50..53], "CCD");
    assert_eq!(number(header, 88, 94), u128::try_from(expected).unwrap());
    let odfi = cut(header, 80, 87);
    let mut entries: Vec<Entry> = Vec::new();
    for line in &lines[1..lines.len() - 1] {
        match &line[..1] {
            "6" => {
                let trace = cut(line, 80, 94);
                assert_eq!(trace[..8], odfi);
                assert_eq!(&line[76..78], "  ");
                entries.push(Entry {
                    code: cut(line, 2, 3),
                    routing: cut(line, 4, 12),
                    account: cut(line, 13, 29),
                    cents: number(line, 30, 39),
                    id: cut(line, 40, 54),
                    name: cut(line, 55, 76),
                    trace,
                    information: (number(line, 79, 79) == 1).then(String::new),
                });
            }
            "7" => {
                let entry = entries.last_mut().unwrap();
                assert_eq!(entry.information.as_deref(), Some(""), "one addenda record, announced");
                assert_eq!(&line[..3], "705");
                assert_eq!(&line[83..87], "0001");
                assert_eq!(line[87..], entry.trace[8..]);
                entry.information = Some(cut(line, 4, 83));
            }
            other => panic!("a record {other} in a batch"),
        }
    }
    assert!(entries.iter().all(|entry| entry.information.as_deref() != Some("")));
    let (debits, credits, hash) = sums(entries.iter());
    assert_eq!(debits, credits, "the batch is balanced");
    assert_eq!(control[1..4], header[1..4]);
    assert_eq!(number(control, 5, 10), records(entries.iter()));
    assert_eq!(number(control, 11, 20), hash);
    assert_eq!(number(control, 21, 32), debits);
    assert_eq!(number(control, 33, 44), credits);
    assert_eq!(cut(control, 45, 54), cut(header, 41, 50));
    assert_eq!(cut(control, 55, 79), "");
    assert_eq!(control[79..], header[79..]);
    Batch { effective: cut(header, 70, 75), entries }
}
