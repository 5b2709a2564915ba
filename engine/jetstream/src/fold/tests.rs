use super::*;
use crate::message::{Kind, seal};
use tallystick_journal::Chain;
use tallystick_ledger::types::Timestamp;

/// A stream in memory, and who writes into it.
struct Writer {
    epoch: u64,
    chain: Digest,
    journal: Chain,
}

fn claim(epoch: u64) -> Vec<u8> {
    seal(Kind::Claim, epoch, Digest([0; 32]), &[b"somebody"]).0.to_vec()
}

impl Writer {
    /// Who has claimed, read up to the claim, and stands there.
    fn at(stand: &Stand) -> Self {
        let journal = Chain::after(stand.tail, Timestamp(1));
        Self { epoch: stand.epoch, chain: stand.chain, journal }
    }

    fn write(&mut self, kind: Kind) -> Vec<u8> {
        let record = (kind == Kind::Group)
            .then(|| self.journal.frame(1, Timestamp(1), 2, 1, &[&[7; 160]]).bytes);
        let parts: Vec<&[u8]> = record.iter().map(|bytes| &bytes[..]).collect();
        let (bytes, digest) = seal(kind, self.epoch, self.chain, &parts);
        self.chain = digest;
        bytes.to_vec()
    }
}

fn next(stand: &mut Stand, bytes: &[u8]) -> String {
    match stand.take(stand.seq + 1, bytes).unwrap() {
        Took::Claim(_) => "claim".into(),
        Took::Group(records) => format!("group to {}", records.last().unwrap().lsn),
        Took::Passed => "passed".into(),
        Took::Void(Void::Late { epoch }) => format!("late of {epoch}"),
        Took::Void(Void::Outclaimed { epoch }) => format!("outclaimed, {epoch}"),
        Took::Void(Void::Unlinked) => "unlinked".into(),
    }
}

#[test]
fn what_an_owner_writes_counts_until_the_next_claim() {
    let mut stand = Stand::START;
    assert_eq!(next(&mut stand, &claim(3)), "claim");
    let mut first = Writer::at(&stand);
    assert_eq!(next(&mut stand, &first.write(Kind::Open)), "passed");
    assert_eq!(next(&mut stand, &first.write(Kind::Group)), "group to 1");
    assert_eq!(next(&mut stand, &claim(5)), "claim");
    let mut second = Writer::at(&stand);
    assert_eq!(next(&mut stand, &first.write(Kind::Group)), "late of 3", "it does not know yet");
    assert_eq!(next(&mut stand, &second.write(Kind::Open)), "passed");
    assert_eq!(next(&mut stand, &first.write(Kind::Group)), "late of 3");
    assert_eq!(next(&mut stand, &second.write(Kind::Group)), "group to 2");
    assert_eq!(next(&mut stand, &claim(4)), "outclaimed, 4", "a claim that came too late");
    assert_eq!(next(&mut stand, &second.write(Kind::Nothing)), "passed");
    assert_eq!((stand.epoch, stand.tail.lsn.0, stand.seq), (5, 2, 10));
}

/// The planted bug of a pipeline: one of several is lost, and those behind it must not count.
#[test]
fn what_does_not_follow_its_own_writer_is_void() {
    let mut stand = Stand::START;
    next(&mut stand, &claim(1));
    let mut owner = Writer::at(&stand);
    next(&mut stand, &owner.write(Kind::Open));
    let lost = owner.write(Kind::Group);
    assert_eq!(next(&mut stand, &owner.write(Kind::Group)), "unlinked");
    assert_eq!(next(&mut stand, &lost), "group to 1");
    assert_eq!(next(&mut stand, &lost), "unlinked", "a second time");
}

/// An owner that had not read what counted before its claim does not count.
#[test]
fn who_opens_behind_another_stand_is_void() {
    let mut stand = Stand::START;
    next(&mut stand, &claim(1));
    let mut owner = Writer::at(&stand);
    next(&mut stand, &owner.write(Kind::Open));
    let mut blind = stand;
    next(&mut stand, &owner.write(Kind::Group));
    // It read less than there was.
    blind.take(blind.seq + 1, &claim(2)).unwrap();
    assert_eq!(next(&mut stand, &claim(2)), "claim");
    assert_eq!(next(&mut stand, &Writer::at(&blind).write(Kind::Open)), "unlinked");
    let open = Writer::at(&stand).write(Kind::Open);
    assert_eq!(next(&mut stand, &open), "passed");
}

#[test]
fn a_missing_message_ends_the_reading_and_is_named() {
    let mut stand = Stand::START;
    next(&mut stand, &claim(1));
    let error = stand.take(3, &claim(2)).unwrap_err().to_string();
    assert!(error.contains("message 2 (behind record 0) is missing"), "{error}");
}

#[test]
fn what_cannot_be_read_is_neither_counted_nor_void() {
    let mut stand = Stand::START;
    next(&mut stand, &claim(1));
    let (before, mut owner) = (stand, Writer::at(&stand));
    let whole = owner.write(Kind::Group);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(stand.take(2, &bytes).is_err(), "bit {bit}");
        assert_eq!(stand, before);
    }
    let unclaimed = seal(Kind::Open, 9, stand.chain, &[]).0;
    assert!(stand.take(2, &unclaimed).unwrap_err().to_string().contains("never claimed"));
    // Records that do not follow the journal were written by no engine.
    let other = Chain::start().frame(1, Timestamp(1), 2, 1, &[b"other"]);
    let mut second = Chain::after(other.tail(), Timestamp(1));
    let skipped = second.frame(1, Timestamp(1), 2, 1, &[b"x"]).bytes;
    let bad = seal(Kind::Group, 1, stand.chain, &[&skipped]).0;
    let error = stand.take(2, &bad).unwrap_err().to_string();
    assert!(error.contains("record 2 does not follow 0"), "{error}");
}

#[test]
fn a_stand_is_read_back() {
    let mut stand = Stand::START;
    next(&mut stand, &claim(7));
    let mut owner = Writer::at(&stand);
    next(&mut stand, &owner.write(Kind::Open));
    next(&mut stand, &owner.write(Kind::Group));
    assert_eq!(Stand::read(&stand.bytes()), stand);
}
