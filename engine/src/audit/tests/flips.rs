//! An export is a file that others hand on. Whoever changes one bit of it and makes every digest
//! anew, which takes no key, is found out all the same.

use super::audit_files;
use super::made::Made;
use crate::types::{Digest, RecordHasher, SectionHasher};
use std::ops::Range;

/// Flips of each way.
const FLIPS: usize = 300;
const FILE_HEAD: usize = 16;
const SECTION_HEAD: usize = 8;
const EVENTS: u8 = 2;
const END: u8 = 8;

/// Numbers that are the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// Where the bodies of the sections are, with their kinds.
fn sections(bytes: &[u8]) -> Vec<(u8, Range<usize>)> {
    let (mut at, mut all) = (FILE_HEAD, Vec::new());
    while at < bytes.len() {
        let body = at + SECTION_HEAD;
        let length = u32::from_le_bytes(*bytes[at + 4..].first_chunk().unwrap()) as usize;
        all.push((bytes[at], body..body + length));
        at = body + length + 32;
    }
    all
}

/// Where the records of events are.
fn records(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    for (_, body) in sections(bytes).into_iter().filter(|(kind, _)| *kind == EVENTS) {
        let mut at = body.start;
        while at < body.end {
            let length = u32::from_le_bytes(*bytes[at + 28..].first_chunk().unwrap()) as usize;
            all.push(at..at + 128 + length);
            at += 128 + length;
        }
    }
    all
}

/// Makes the digests of all sections anew. `whole` is the export before it was changed.
fn digest_sections(bytes: &mut [u8], whole: &[u8]) {
    let (hasher, mut link) = (SectionHasher::default(), Digest::ZERO);
    link.0[..FILE_HEAD].copy_from_slice(&whole[..FILE_HEAD]);
    for (_, body) in sections(whole) {
        link = hasher.digest(
            link,
            &bytes[body.start - SECTION_HEAD..body.start],
            &bytes[body.clone()],
        );
        bytes[body.end..body.end + 32].copy_from_slice(&link.0);
    }
}

/// Makes the digests of all records and their links anew, and has the end name the last of them.
fn link_records(bytes: &mut [u8], whole: &[u8]) {
    let hasher = RecordHasher::default();
    let (mut before, mut old) = ([0; 32], [0; 32]);
    for record in records(whole) {
        let was: [u8; 32] = whole[record.start + 96..][..32].try_into().unwrap();
        // The link to the record before is that to the event before, unless frames lie between.
        if whole[record.start + 32..][..32] == old {
            bytes[record.start + 32..][..32].copy_from_slice(&before);
        }
        bytes[record.start + 64..][..32].copy_from_slice(&before);
        let (head, body) = bytes[record.clone()].split_at(128);
        before = hasher.digest(&head[..96], body).0;
        bytes[record.start + 96..][..32].copy_from_slice(&before);
        old = was;
    }
    let (_, end) = sections(whole).into_iter().find(|(kind, _)| *kind == END).unwrap();
    bytes[end.start + 48..][..32].copy_from_slice(&before);
}

/// Every byte says something: none is excepted.
#[test]
fn every_flipped_bit_of_an_export_is_found_however_its_digests_are_made_anew() {
    let whole = Made::busy().export();
    let report = audit_files(std::slice::from_ref(&whole));
    assert!(report.ok, "{:?}", report.first_difference);
    let (bodies, events, mut dice) = (sections(&whole), records(&whole), Dice(13));
    let mut missed = Vec::new();
    let mut look = |way: &str, at: usize, bit: usize, bytes: Vec<u8>| {
        if audit_files(&[bytes]).ok {
            missed.push(format!("{way}: byte {at}, bit {bit}"));
        }
    };
    for _ in 0..FLIPS {
        let (at, bit) = (dice.below(whole.len()), dice.below(8));
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        look("raw", at, bit, bytes);

        let (_, body) = &bodies[dice.below(bodies.len())];
        let (at, bit) = (body.start + dice.below(body.len()), dice.below(8));
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        digest_sections(&mut bytes, &whole);
        look("sections", at, bit, bytes);

        let record = &events[dice.below(events.len())];
        // What is made anew cannot be flipped: the digest, and the links to the event before.
        let linked = whole[record.start + 32..][..32] == whole[record.start + 64..][..32];
        let anew = if linked { 32..128 } else { 64..128 };
        let places = record.clone().filter(|at| !anew.contains(&(at - record.start)));
        let places: Vec<usize> = places.collect();
        let (at, bit) = (places[dice.below(places.len())], dice.below(8));
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        link_records(&mut bytes, &whole);
        digest_sections(&mut bytes, &whole);
        let (kind, offset) = (whole[record.start + 2], at - record.start);
        look(&format!("chain, kind {kind}, offset {offset}"), at, bit, bytes);
    }
    assert!(missed.is_empty(), "{} were not found:\n{}", missed.len(), missed.join("\n"));
}
