//! A history that was written anew, without the engine's key or with another, and exports that were
//! cut.

use super::made::{Change, Made, NETWORK, agent, voucher};
use super::*;
use crate::journal::{Chain, Entry};
use crate::ledger::event::{BatchEvent, LegEvent, RegistryEvent, TroubleEvent};
use crate::proof::{Receipt, SignedEnd};
use crate::types::{
    Digest, History, Lsn, MerklePath, Packed, Timestamp, end_statement, receipt_leaf,
    receipts_statement,
};

/// What is written instead of an event.
type Rewrite = fn(&mut Fact);

/// What the audit of an export finds, with what the auditor knows.
fn with(file: &[u8], first_key: Option<SignerKey>, receipts: &[Receipt]) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export");
    std::fs::write(&path, file).unwrap();
    let settings = Settings {
        threads: 1,
        first_key,
        operator_keys: &[],
        receipts,
        own_keys_since: None,
        progress: &|_| {},
    };
    match Files::open(&[path]) {
        Ok(files) => audit(&files, settings),
        Err(error) => Report::new(Counts::default(), Vec::new(), Some(error)),
    }
}

/// Whoever has the file, but not the key: writes these events anew and links all records behind
/// them, and has the end, which was signed, name the new last record.
fn rewritten(change: Rewrite) -> Report {
    let mut made = Made::busy();
    let signed = made.end();
    let (mut chain, mut read) = (Chain::start(), Chain::start());
    // Frames are not in an export: each event stands at its own place all the same.
    for record in &mut made.records {
        let lsn = Lsn(u64::from_le_bytes(*record[8..].first_chunk().unwrap()));
        let old = read.follow_event(lsn, record).unwrap();
        let (at, mut tail) = (old.at, chain.tail());
        if tail.lsn.next() != lsn {
            // Frames lie between, of which whoever has the file knows the last one's digest alone.
            tail.link = Digest(*record[32..].first_chunk().unwrap());
        }
        tail.lsn = Lsn(lsn.0 - 1);
        let mut next = Chain::after(tail, at);
        *record = match old.entry().unwrap() {
            Entry::Genesis(genesis) => next.frame_genesis(1, at, &genesis).bytes,
            Entry::Fact(mut fact) => {
                change(&mut fact);
                next.frame_fact(1, at, &fact).bytes
            }
            Entry::Frame(_) | Entry::Charges(..) | Entry::Bundles(_) => {
                unreachable!("an export holds no frame")
            }
        };
        chain = next;
    }
    let end = SignedEnd { last: chain.tail().history(), ..signed };
    audit_files(&[made.export_until(&end)])
}

fn what(report: &Report) -> String {
    report.first_difference.as_ref().map_or_else(String::new, ToString::to_string)
}

/// An export said that bob had approved a batch. Whoever handed it on could write eve instead, link
/// all records anew and pass the audit: nothing that the engine had signed covered who had
/// approved.
#[test]
fn who_approved_computed_and_moved_cannot_be_rewritten_without_the_key() {
    let changes: [(&str, Rewrite); 7] = [
        ("who approved", |fact| {
            if let Event::Batch(BatchEvent::Approved(_)) = fact.event {
                fact.envelope.caller.name = "eve".to_owned();
            }
        }),
        ("who computed", |fact| {
            if let Event::Batch(BatchEvent::Computed(_)) = fact.event {
                fact.envelope.caller.name = "eve".to_owned();
            }
        }),
        ("four eyes", |fact| {
            if let Event::Batch(BatchEvent::Computed(e)) = &mut fact.event {
                e.four_eyes = false;
            } else if let Event::Batch(BatchEvent::Approved(_)) = fact.event {
                fact.envelope.caller.name = "ann".to_owned();
            }
        }),
        ("a rail's reference", |fact| {
            if let Event::Leg(LegEvent::Moved(e)) = &mut fact.event
                && e.mover == crate::ledger::Mover::Rail
            {
                e.moves[0].reference = "REF-1 of another".to_owned();
                e.evidence.0[0] ^= 1;
            }
        }),
        ("who set a limit", |fact| {
            if let Event::Registry(RegistryEvent::LimitSet(_)) = fact.event {
                fact.envelope.caller.name = "eve".to_owned();
            }
        }),
        ("a limit", |fact| {
            if let Event::Registry(RegistryEvent::LimitSet(e)) = &mut fact.event {
                e.limit.0 += 1;
            }
        }),
        ("the last event", |fact| {
            if let Event::Trouble(TroubleEvent::Acked(e)) = &mut fact.event {
                e.note = "nothing was done".to_owned();
            }
        }),
    ];
    for (changed, change) in changes {
        let report = rewritten(change);
        assert!(!report.ok, "{changed} was changed, and the audit agrees");
        assert!(what(&report).contains("signature"), "{changed}: {}", what(&report));
    }
    let same = rewritten(|_| {});
    assert!(same.ok, "what was not changed agrees: {}", what(&same));
}

/// The batch's own signature says who computed it and whether another had to approve: also where
/// the engine itself goes on from what was changed.
#[test]
fn a_batchs_signature_covers_who_computed_it_and_whether_four_eyes_hold() {
    let changes: [Rewrite; 3] = [
        |fact| {
            if let Event::Batch(BatchEvent::Computed(_)) = fact.event {
                fact.envelope.caller.name = "eve".to_owned();
            }
        },
        |fact| {
            if let Event::Batch(BatchEvent::Computed(e)) = &mut fact.event {
                e.four_eyes = false;
            }
        },
        |fact| {
            if let Event::Batch(BatchEvent::Computed(e)) = &mut fact.event {
                e.history.0 -= 1;
            }
        },
    ];
    for change in changes {
        let found = found(Change { fact: Some(change), ..Change::default() });
        assert!(found.contains("the batch's signature"), "{found}");
    }
}

#[test]
fn a_tail_that_was_cut_off_is_found_and_so_is_an_end_that_is_not_signed() {
    let mut made = Made::busy();
    let signed = made.end();
    let whole = audit_files(&[made.export_until(&signed)]);
    assert!(whole.ok, "{}", what(&whole));
    // The end says more than there is.
    let last = made.records.pop().unwrap();
    let found = what(&audit_files(&[made.export_until(&signed)]));
    assert!(found.contains("the last event of"), "{found}");
    // The end names the event that is now the last, under the signature over another one.
    let before = made.records.last().unwrap();
    let lsn = Lsn(u64::from_le_bytes(*before[8..].first_chunk().unwrap()));
    let digest = Digest(*before[96..].first_chunk().unwrap());
    let short = SignedEnd { last: History { lsn, digest }, ..signed };
    let found = what(&audit_files(&[made.export_until(&short)]));
    assert!(found.contains("the signature of the end of"), "{found}");
    made.records.push(last);
    // Another key than the one in force, and another time.
    let other = crate::sign::EngineKey::of_secret([77; 32]);
    let by_other = other.sign(&end_statement(NETWORK, signed.last, signed.at));
    let by_other = SignedEnd { key: by_other.key, signature: by_other.signature, ..signed };
    let found = what(&audit_files(&[made.export_until(&by_other)]));
    assert!(found.contains("the key that signed the end of"), "{found}");
    let later = SignedEnd { at: Timestamp(signed.at.0 + 1), ..signed };
    let found = what(&audit_files(&[made.export_until(&later)]));
    assert!(found.contains("the signature of the end of"), "{found}");
}

/// A whole history under fresh keys agrees with itself. Only who knows the first key can tell.
#[test]
fn a_history_under_another_key_is_found_by_who_knows_the_first_one() {
    let file = Made::busy().export();
    let report = with(&file, None, &[]);
    let first = crate::sign::EngineKey::of_secret([3; 32]).public();
    assert_eq!(report.first_engine_key, Some(first.to_string()));
    assert_ne!(report.engine_key, report.first_engine_key, "it was rotated");
    assert!(with(&file, Some(first), &[]).ok);
    let found = what(&with(&file, Some(SignerKey([8; 32])), &[]));
    assert!(found.contains("the engine's first key"), "{found}");
}

/// The receipt that the engine gave for a piece of evidence, were it credited by this record.
fn receipt(made: &Made, lane: u64, cumulative: u64, lsn: Lsn) -> Receipt {
    let voucher = voucher(1, 2, EUR, lane, 0, cumulative).voucher;
    assert_eq!(Packed(&voucher).signer().0, agent(1).verifying_key().to_bytes());
    let at = Timestamp(made.clock);
    let root = MerklePath::default().root(&receipt_leaf(&voucher, lsn, at));
    let signed = made.engine_key.sign(&receipts_statement(NETWORK, root));
    Receipt {
        format: crate::proof::RECEIPT_FORMAT.to_owned(),
        network_id: Hex(NETWORK.0),
        engine_key: Hex(signed.key.0),
        voucher: Hex(voucher),
        lsn: lsn.0,
        at_us: at.0,
        path: Some(Vec::new()),
        bundle_path: None,
        signature: Hex(signed.signature),
    }
}

/// With its key an engine can leave an obligation out and sign what is left. Whoever holds a
/// receipt sees it.
#[test]
fn a_voucher_with_a_receipt_that_was_left_out_is_named() {
    let made = Made::busy();
    let file = made.export();
    let credited = made.windows[0].1.evidence[0].lsn;
    let kept = receipt(&made, 1, 5, credited);
    let older = receipt(&made, 1, 3, credited);
    let report = with(&file, None, &[kept, older]);
    assert!(report.ok && report.counts.receipts == 2, "{}", what(&report));
    for left_out in [receipt(&made, 1, 6, credited), receipt(&made, 9, 5, credited)] {
        let found = what(&with(&file, None, &[left_out]));
        assert!(found.contains("a voucher with a receipt") && found.contains("channel"), "{found}");
    }
    // Of a window that is not sealed there nothing can be said, and that is said.
    let later = receipt(&made, 1, 6, Lsn(1_000));
    let report = with(&file, None, &[later]);
    assert!(report.ok && report.not_checked.iter().any(|said| said.contains("1 receipts")));
    let mut foreign = receipt(&made, 1, 5, credited);
    foreign.network_id = Hex([1; 32]);
    assert!(what(&with(&file, None, &[foreign])).contains("the network of a receipt"));
    let mut foreign = receipt(&made, 1, 5, credited);
    foreign.engine_key = Hex([1; 32]);
    assert!(what(&with(&file, None, &[foreign])).contains("the key that signed a receipt"));
}
