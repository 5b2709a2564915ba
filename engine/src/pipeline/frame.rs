//! One frame on its way through the pipeline: its vouchers, what each stage found, and who waits
//! for it.
//!
//! Owns the hand-over between stages: verify workers fill in the chunks, the sequencer its
//! position, journal and shards count down, and the last of them answers. Holds no rule.

use super::fair::Permit;
use super::meters::{Meters, OUTCOME_BYTES, Way};
use super::share::Answered;
use crate::canary::{Bug, planted};
use crate::limits::VERIFY_CHUNK;
use crate::types::{
    Amount, BUNDLE_ENTRIES_MAX, BundleTree, ChannelId, Lsn, Outcome, Packed, Timestamp,
    VOUCHER_BYTES, Verdict, bundles_within,
};
use bytes::Bytes;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;

/// What a frame brings: packed vouchers, and behind them the entries of bundles, each in the bytes
/// of a voucher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    vouchers: Bytes,
    /// How many vouchers there are before the first entry. What their reserved bytes say of seats
    /// is not believed.
    singles: usize,
}

impl Brought {
    /// So many vouchers, as they came, and behind them the entries of whole bundles.
    ///
    /// # Panics
    /// When a bundle is not there whole.
    #[must_use]
    pub fn new(vouchers: Bytes, singles: usize) -> Self {
        let (all, rest) = vouchers.as_chunks();
        assert!(rest.is_empty() && singles <= all.len(), "whole vouchers");
        let whole = bundles_within(all, singles..all.len()).all(|bundle| bundle.start >= singles);
        assert!(whole, "a bundle begins behind the vouchers");
        Self { vouchers, singles }
    }

    /// Vouchers and entries, in their order.
    #[must_use]
    pub fn all(&self) -> &[[u8; VOUCHER_BYTES]] {
        self.vouchers.as_chunks().0
    }

    /// How many vouchers there are before the first entry.
    #[must_use]
    pub fn singles(&self) -> usize {
        self.singles
    }

    /// Whether it is an entry behind the first one of its bundle.
    fn follows(&self, place: usize) -> bool {
        let seat = self.all().get(place).filter(|_| place >= self.singles);
        seat.and_then(|entry| Packed(entry).seat()).is_some_and(|seat| seat.place() > 0)
    }

    /// Where a chunk begins: every `VERIFY_CHUNK` places, but never within a bundle, which would be
    /// checked twice then, and perhaps with different keys.
    fn start(&self, chunk: usize) -> usize {
        let at = (chunk * VERIFY_CHUNK).min(self.all().len());
        match self.follows(at) {
            true => self.bundles(at..at + 1).next().map_or(at, |bundle| bundle.end),
            false => at,
        }
    }

    /// The places of the entries of each bundle of which some are within this part.
    pub fn bundles(&self, within: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        bundles_within(self.all(), within.start.max(self.singles)..within.end)
    }

    /// Whether what is at this place is the one of a voucher and an entry that it should be there.
    fn is_in_form(&self, place: usize) -> bool {
        let voucher = Packed(&self.all()[place]);
        match place < self.singles {
            true => voucher.reserved_is_zero(),
            false => voucher.seat().is_some(),
        }
    }
}

/// Vouchers alone.
impl From<Bytes> for Brought {
    fn from(vouchers: Bytes) -> Self {
        let singles = vouchers.len() / VOUCHER_BYTES;
        Self { vouchers, singles }
    }
}

/// What is wanted of a frame's vouchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aim {
    /// That they are credited, each by as much as it raises its channel's total.
    Credit,
    /// That each is credited if it raises its total by just this, and else not.
    Charge(Box<[Amount]>),
    /// To know what would become of each that is to raise its total by this, came it alone and now.
    /// Nothing changes, and nothing is journaled.
    Ask(Box<[Amount]>),
}

impl Aim {
    fn rises(&self) -> &[Amount] {
        match self {
            Self::Credit => &[],
            Self::Charge(rises) | Self::Ask(rises) => rises,
        }
    }
}

/// The answer to a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The record that holds the frame; 0 when nothing of it was journaled.
    pub lsn: Lsn,
    /// One byte a voucher, in frame order.
    pub outcomes: Vec<u8>,
    /// How many were credited, stale, rejected.
    pub counts: Counts,
    /// Where it was to be known by how much they rise: the totals of their channels by then, in
    /// frame order.
    pub totals: Vec<Amount>,
}

/// Vouchers by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Raised a total.
    pub credited: u32,
    /// Changed nothing.
    pub stale: u32,
    /// Refused, for whatever reason.
    pub rejected: u32,
}

/// What is known of a voucher before the ledger sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    /// Its channel; zero where the verdict leaves none to look at.
    pub channel: ChannelId,
    /// Verdict on bytes and signature.
    pub verdict: Verdict,
    /// The shard that owns its payer; 0 where the payer is unknown.
    pub shard: u16,
    /// Of an entry: which of its chunk's trees is that of its bundle; `NO_TREE` of all else.
    pub tree: u8,
}

/// Of what is no entry, or is not credited.
pub(super) const NO_TREE: u8 = u8::MAX;
const _: () = assert!(VERIFY_CHUNK + BUNDLE_ENTRIES_MAX <= NO_TREE as usize);

/// What was found of a chunk.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// One for each voucher.
    pub findings: Box<[Finding]>,
    /// Those of the bundles that were checked.
    pub trees: Vec<BundleTree>,
}

/// Where the sequencer put a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The record that holds it; `None` when nothing of it was journaled.
    pub lsn: Option<Lsn>,
    /// The record's timestamp, or that of the moment.
    pub at: Timestamp,
}

/// What the rule makes of a voucher that is certain from its bytes and the record's time alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The record's time, in seconds.
    pub now: i64,
    /// Longest life of a voucher, in seconds.
    pub lifetime_max: i64,
}

/// What of a frame needs a record.
#[derive(Default)]
pub(super) struct Recorded<'a> {
    /// The bytes of those vouchers, in as few parts as possible: the whole frame, uncopied, when
    /// all do.
    pub parts: Vec<&'a [u8]>,
    /// By how much each is to raise its total, where that was said.
    pub rises: Vec<u8>,
    /// Behind those vouchers: all entries of each bundle of which one does.
    pub bundles: Vec<&'a [[u8; VOUCHER_BYTES]]>,
}

/// A frame under way.
pub(super) struct Frame {
    /// Tells it from every other frame.
    pub ticket: u64,
    brought: Brought,
    aim: Aim,
    chunks: Box<[OnceLock<Found>]>,
    unchecked: AtomicU16,
    place: OnceLock<Place>,
    outcomes: Box<[AtomicU8]>,
    totals: Box<[AtomicU64]>,
    /// Journal and shards that are not done with it.
    waiting: AtomicUsize,
    reply: Mutex<Option<oneshot::Sender<Answer>>>,
    permit: Permit,
    /// When it came in, when all of it was checked, when it was handed on.
    born: Instant,
    checked: OnceLock<Instant>,
    ordered: OnceLock<Instant>,
}

impl Frame {
    /// A frame of at least one voucher, and where its answer will arrive. `stages` is how many
    /// parties (journal and shards) must be done with it.
    pub fn new(
        ticket: u64,
        (brought, aim): (Brought, Aim),
        stages: usize,
        permit: Permit,
    ) -> (Self, oneshot::Receiver<Answer>) {
        let count = brought.all().len();
        assert!(
            count > 0 && brought.vouchers.len().is_multiple_of(VOUCHER_BYTES),
            "whole vouchers"
        );
        let rises = aim.rises().len();
        assert!(rises == 0 || (rises == count && brought.singles == count), "a rise for each");
        let chunks: Box<[_]> = (0..count.div_ceil(VERIFY_CHUNK)).map(|_| OnceLock::new()).collect();
        let unchecked = u16::try_from(chunks.len()).expect("a frame is bounded");
        let (reply, answer) = oneshot::channel();
        let frame = Self {
            ticket,
            brought,
            aim,
            chunks,
            unchecked: AtomicU16::new(unchecked),
            place: OnceLock::new(),
            outcomes: (0..count).map(|_| AtomicU8::new(0)).collect(),
            totals: (0..rises).map(|_| AtomicU64::new(0)).collect(),
            waiting: AtomicUsize::new(stages),
            reply: Mutex::new(Some(reply)),
            permit,
            born: Instant::now(),
            checked: OnceLock::new(),
            ordered: OnceLock::new(),
        };
        (frame, answer)
    }

    /// Its place among the shares.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// What it brings.
    pub fn brought(&self) -> &Brought {
        &self.brought
    }

    /// Which places of the frame are those of one chunk.
    pub fn places(&self, chunk: u16) -> Range<usize> {
        let chunk = usize::from(chunk);
        self.brought.start(chunk)..self.brought.start(chunk + 1)
    }

    /// The vouchers of one chunk.
    pub fn chunk(&self, index: u16) -> &[[u8; VOUCHER_BYTES]] {
        &self.brought.all()[self.places(index)]
    }

    /// Whether it is in the form in which it must be.
    pub fn is_in_form(&self, place: usize) -> bool {
        self.brought.is_in_form(place)
    }

    /// Whether it stands behind the vouchers: an entry, or what should be one.
    pub fn is_entry(&self, place: usize) -> bool {
        place >= self.brought.singles
    }

    /// Notes what was found of one chunk, by now. True for the last one.
    pub fn chunk_checked(&self, index: u16, found: Found, now: Instant) -> bool {
        assert_eq!(found.findings.len(), self.chunk(index).len(), "one finding a voucher");
        let first = self.chunks[usize::from(index)].set(found).is_ok();
        assert!(first, "a chunk is checked once");
        let last = self.unchecked.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            self.checked.get_or_init(|| now);
            self.permit.checked();
        }
        last
    }

    /// Whether it is an entry behind the first one of its bundle.
    pub fn follows(&self, place: usize) -> bool {
        self.brought.follows(place)
    }

    /// Every voucher with its number in the frame and what was found of it, once all were checked;
    /// of an entry that may be credited the tree of its bundle, too.
    pub fn findings(
        &self,
    ) -> impl Iterator<Item = (usize, Packed<'_>, &Finding, Option<&BundleTree>)> {
        let chunks = self.chunks.iter().map(|chunk| chunk.get().expect("all were checked"));
        let found = chunks.flat_map(|Found { findings, trees }| {
            findings.iter().map(|of| (of, trees.get(usize::from(of.tree))))
        });
        let vouchers = self.brought.all().iter().map(Packed);
        let all = vouchers.zip(found).enumerate();
        all.map(|(i, (voucher, (checked, tree)))| (i, voucher, checked, tree))
    }

    /// Whether it is only to be known what would become of its vouchers.
    pub fn is_question(&self) -> bool {
        matches!(self.aim, Aim::Ask(_))
    }

    /// Whether each voucher comes with the amount that it is for, to be credited.
    pub fn is_charge(&self) -> bool {
        matches!(self.aim, Aim::Charge(_))
    }

    /// By how much a voucher is to raise its total.
    pub fn rise(&self, index: usize) -> Option<Amount> {
        self.aim.rises().get(index).copied()
    }

    /// What of the frame needs a record.
    pub fn recorded(&self, terms: Terms) -> Recorded<'_> {
        let mut recorded = Recorded::default();
        if self.is_question() {
            return recorded;
        }
        let bytes = &self.brought.vouchers[..self.brought.singles * VOUCHER_BYTES];
        let mut start = None;
        let mut before: Option<(Packed<'_>, Option<Amount>)> = None;
        for (i, voucher, checked, _) in self.findings().take(self.brought.singles) {
            let rise = self.rise(i);
            let again = before.is_some_and(|(of, by)| (of.0, by) == (voucher.0, rise));
            before = Some((voucher, rise));
            let needed = !again && needs_record(voucher, checked.verdict, terms);
            if needed {
                recorded.rises.extend(rise.iter().flat_map(|rise| rise.0.to_le_bytes()));
            }
            match (needed, start) {
                (true, None) => start = Some(i),
                (true, Some(_)) | (false, None) => {}
                (false, Some(from)) => {
                    recorded.parts.push(&bytes[from * VOUCHER_BYTES..i * VOUCHER_BYTES]);
                    start = None;
                    if planted(Bug::FrameCutShort) {
                        return recorded;
                    }
                }
            }
        }
        if let Some(from) = start {
            recorded.parts.push(&bytes[from * VOUCHER_BYTES..]);
        }
        recorded.bundles = self.recorded_bundles(terms);
        recorded
    }

    /// All entries of each bundle of which one needs a record: without the others nobody could say
    /// what was signed.
    fn recorded_bundles(&self, terms: Terms) -> Vec<&[[u8; VOUCHER_BYTES]]> {
        let all = self.brought.all();
        if self.brought.singles == all.len() {
            return Vec::new();
        }
        let needs = |(_, voucher, found, _): (_, Packed<'_>, &Finding, _)| {
            needs_record(voucher, found.verdict, terms)
        };
        let needed: Vec<bool> = self.findings().map(needs).collect();
        let bundles = self.brought.bundles(0..all.len());
        let some = bundles.filter(|bundle| needed[bundle.clone()].contains(&true));
        some.map(|bundle| &all[bundle]).collect()
    }

    /// Notes where the frame stands in the one order.
    pub fn sequenced(&self, place: Place) {
        let first = self.place.set(place).is_ok();
        assert!(first, "a frame is sequenced once");
    }

    /// Notes that it is handed on to journal and shards.
    pub fn handed_on(&self, now: Instant) {
        self.ordered.get_or_init(|| now);
    }

    /// Where the frame stands.
    pub fn place(&self) -> Place {
        *self.place.get().expect("the frame was sequenced before it was handed on")
    }

    /// Notes what became of one voucher.
    pub fn decided(&self, index: usize, outcome: Outcome) {
        self.outcomes[index].store(outcome.byte(), Ordering::Relaxed);
    }

    /// Notes the total of a voucher's channel, where it is asked for.
    pub fn total(&self, index: usize, total: impl FnOnce() -> Amount) {
        if let Some(place) = self.totals.get(index) {
            place.store(total().0, Ordering::Relaxed);
        }
    }

    /// One stage (the journal or a shard) is done with the frame. The last one answers.
    pub fn stage_done(&self, meters: &Meters) {
        // Release makes this stage's outcomes visible to the last one, acquire makes it see them.
        if self.waiting.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let outcomes: Vec<u8> = self.outcomes.iter().map(|o| o.load(Ordering::Relaxed)).collect();
        let by_byte = by_byte(&outcomes);
        let counts = count(&by_byte);
        if self.is_question() {
            meters.answered(&[0; OUTCOME_BYTES], self.way());
        } else {
            meters.answered(&by_byte, self.way());
        }
        self.permit.answered(self.led_to(counts));
        let lsn = self.place().lsn.unwrap_or(Lsn(0));
        let reply = self.reply.lock().unwrap_or_else(PoisonError::into_inner).take();
        let reply = reply.expect("a frame is answered once");
        // A client that went away is not an error: what was journaled stays.
        let totals = self.totals.iter().map(|total| Amount(total.load(Ordering::Relaxed)));
        let totals = totals.collect();
        let _ = reply.send(Answer { lsn, outcomes, counts, totals });
    }

    fn way(&self) -> Option<Way> {
        let (checked, ordered) = (*self.checked.get()?, *self.ordered.get()?);
        Some(Way { born: self.born, checked, ordered })
    }

    /// What its source is judged by.
    fn led_to(&self, counts: Counts) -> Answered {
        let checked = self.findings().filter(|(_, _, finding, _)| match finding.verdict {
            Verdict::Valid | Verdict::BadSignature => true,
            Verdict::Stale | Verdict::UnknownKey | Verdict::Malformed => false,
        });
        let count = |n: usize| u32::try_from(n).expect("a frame is bounded");
        Answered {
            vouchers: count(self.outcomes.len()),
            credited: counts.credited,
            checked: count(checked.count()),
        }
    }
}

/// Whether a voucher may be credited at all. One that certainly changes nothing needs no record:
/// the shards still see it, in its place, and answer as the rule says, but a replay can do without
/// it. The same voucher right behind itself is one of these, too: either its total is there by
/// then, or whatever refused it still does, for within a frame limits are only used up.
fn needs_record(voucher: Packed<'_>, verdict: Verdict, terms: Terms) -> bool {
    let life = voucher.expires_at().saturating_sub(terms.now);
    match verdict {
        // No total is below zero: of a bundle's entries one may say so.
        Verdict::Valid => {
            voucher.cumulative() > Amount(0) && life > 0 && life <= terms.lifetime_max
        }
        Verdict::BadSignature | Verdict::Stale | Verdict::UnknownKey | Verdict::Malformed => false,
    }
}

/// How many vouchers have each outcome, by its byte.
fn by_byte(outcomes: &[u8]) -> [u32; OUTCOME_BYTES] {
    let mut by_byte = [0; OUTCOME_BYTES];
    for byte in outcomes {
        by_byte[usize::from(*byte)] += 1;
    }
    assert_eq!(by_byte[0], 0, "a voucher was left undecided");
    by_byte
}

fn count(by_byte: &[u32; OUTCOME_BYTES]) -> Counts {
    let of = |outcome: Outcome| by_byte[usize::from(outcome.byte())];
    let (credited, stale) = (of(Outcome::Credited), of(Outcome::Stale));
    Counts { credited, stale, rejected: by_byte.iter().sum::<u32>() - credited - stale }
}
