//! A small deployment made by hand, and all that can be changed in what it exports.

mod busy;
mod example;
pub(crate) mod eyes;
mod flips;
mod identities;
mod made;
mod receipts;
mod rewritten;
mod signed;

use super::*;
use crate::ledger::event::{
    BatchAborted, BatchEvent, EngineKeySet, KeyEvent, LegEvent, WindowEvent,
};
use crate::ledger::{Caller, Event, Evidence, Fact, Request};
use crate::proof::{
    AssetRoots, Document, Hex, ProofMaker, Trust, Wanted, WindowProof, check_document,
};
use crate::types::{Digest, NetworkId, SIGNATURE_BYTES, SignerKey};
use made::{Change, EUR, Made, NETWORK, party};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

fn audit_files(files: &[Vec<u8>]) -> Report {
    audit_since(files, None)
}

fn audit_since(files: &[Vec<u8>], own_keys_since: Option<Lsn>) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let name = |n: usize| dir.path().join(format!("{n}.tallyexp"));
    let paths: Vec<PathBuf> = (0..files.len()).map(name).collect();
    for (path, file) in paths.iter().zip(files) {
        std::fs::write(path, file).unwrap();
    }
    let settings = Settings {
        threads: 2,
        first_key: None,
        operator_keys: &[],
        receipts: &[],
        own_keys_since,
        progress: &|_| {},
    };
    match Files::open(&paths) {
        Ok(files) => audit(&files, settings),
        Err(error) => Report::new(Counts::default(), Vec::new(), Some(error)),
    }
}

/// What the audit finds first in a changed deployment.
fn found(change: Change) -> String {
    let report = audit_files(&[Made::deployment(change).export()]);
    assert!(!report.ok, "nothing was found");
    report.first_difference.expect("a difference").to_string()
}

#[test]
fn an_honest_export_agrees() {
    let report = audit_files(&[Made::deployment(Change::default()).export()]);
    assert!(report.ok, "{:?}", report.first_difference);
    let counts = report.counts;
    assert_eq!((counts.windows, counts.voucher_signatures, counts.batches), (2, 6, 2));
    assert_eq!(counts.engine_signatures, 6, "two windows, two batches, one new key, the end");
    assert!(counts.legs >= 3 && counts.carried >= 2 && counts.obligations == 5);
    assert_eq!(report.not_checked.len(), 1, "{:?}", report.not_checked);
}

#[test]
fn every_flipped_bit_and_every_truncation_of_an_export_is_noticed() {
    let bytes = Made::deployment(Change::default()).export();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export");
    std::fs::write(&path, &bytes).unwrap();
    assert!(Files::open(std::slice::from_ref(&path)).is_ok());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    for (at, byte) in bytes.iter().enumerate() {
        for bit in 0..8 {
            file.write_all_at(&[byte ^ (1 << bit)], u64::try_from(at).unwrap()).unwrap();
            assert!(Files::open(std::slice::from_ref(&path)).is_err(), "byte {at}, bit {bit}");
        }
        file.write_all_at(&[*byte], u64::try_from(at).unwrap()).unwrap();
    }
    for length in (0..bytes.len()).rev() {
        file.set_len(u64::try_from(length).unwrap()).unwrap();
        assert!(Files::open(std::slice::from_ref(&path)).is_err(), "{length} bytes");
    }
}

/// Whoever changes an export can make its digests anew; what it says is then checked by other
/// means.
#[test]
fn whoever_changes_what_an_export_says_is_found_out() {
    let evidence =
        |evidence, sealed| Change { evidence: Some(evidence), sealed, ..Change::default() };
    let fact = |change| Change { fact: Some(change), ..Change::default() };
    let cases: [(&str, Change); 14] = [
        ("the voucher's signature: expected valid", evidence(|e| e.voucher[100] ^= 1, true)),
        ("the digest of its evidence", evidence(|e| e.lsn.0 -= 1, false)),
        ("the channel's total before the window", evidence(|e| e.before.0 += 1, true)),
        ("the channel's total before the window", evidence(|e| e.before.0 += 1, false)),
        ("the record that credited it", evidence(|e| e.lsn.0 = 1, true)),
        (
            "the obligation: expected",
            Change { row: Some(|o| o.amount.0 += 1), ..Change::default() },
        ),
        (
            "the window's root",
            fact(|e| {
                if let Event::Window(WindowEvent::Sealed(e)) = &mut e.event {
                    e.root.0[0] ^= 1
                }
            }),
        ),
        (
            "the window's signature",
            fact(|e| {
                if let Event::Window(WindowEvent::Sealed(e)) = &mut e.event {
                    e.signature[0] ^= 1
                }
            }),
        ),
        (
            "the net sum",
            fact(|e| {
                if let Event::Window(WindowEvent::Sealed(e)) = &mut e.event {
                    e.assets[0].totals.net_bilateral.0 += 1
                }
            }),
        ),
        (
            "the batch's signature",
            fact(|e| {
                if let Event::Batch(BatchEvent::Computed(e)) = &mut e.event {
                    e.signature = [0; SIGNATURE_BYTES]
                }
            }),
        ),
        (
            "the batch's id",
            fact(|e| {
                if let Event::Batch(BatchEvent::Computed(e)) = &mut e.event {
                    e.least.0 += 100_000_000
                }
            }),
        ),
        (
            "what a submission pays out",
            fact(|e| {
                if let Event::Leg(LegEvent::Submitted(e)) = &mut e.event {
                    e.paid_out.0 += 1
                }
            }),
        ),
        // The creditor's leg leaves with the debtor's, which is not confirmed.
        (
            "what the clearing account has left",
            fact(|e| {
                if let Event::Leg(LegEvent::Submitted(e)) = &mut e.event
                    && e.name.ends_with("840")
                {
                    e.legs[0].count = 2;
                    e.paid_out.0 = 770_000
                }
            }),
        ),
        (
            "the proof of the engine's new key",
            fact(|e| {
                if let Event::Key(KeyEvent::EngineSet(EngineKeySet { proof, .. })) = &mut e.event
                    && e.envelope.request.is_some()
                {
                    proof[0] ^= 1
                }
            }),
        ),
    ];
    for (expected, change) in cases {
        let found = found(change);
        assert!(found.contains(expected), "expected {expected:?}, found {found:?}");
    }
}

#[test]
fn carries_are_those_that_the_batches_left() {
    let change = Change {
        fact: Some(|fact| {
            // Nothing ever left: then nothing may be carried.
            if let Event::Leg(LegEvent::Submitted(e)) = &fact.event {
                let (batch, reason) = (e.batch, String::new());
                let request = Request { id: format!("abort {batch}"), content: Digest([1; 32]) };
                fact.envelope = Caller::grpc("ann".into()).asks(request);
                fact.event = Event::from(BatchAborted { batch, reason });
            }
        }),
        ..Change::default()
    };
    let found = found(change);
    assert!(found.contains("what batches left for it"), "{found}");
}

#[test]
fn windows_of_several_exports_go_on_where_the_others_end() {
    let file =
        |windows| Made::deployment(Change { windows: Some(windows), ..Change::default() }).export();
    let both = audit_files(&[file(&[2]), file(&[1])]);
    assert!(both.ok, "{:?}", both.first_difference);
    assert_eq!((both.counts.windows, both.not_checked.len()), (2, 1));
    let second = audit_files(&[file(&[2])]);
    assert!(second.ok, "{:?}", second.first_difference);
    let said = second.not_checked.join("\n");
    assert!(
        said.contains("earlier windows were not given") && said.contains("2 batches"),
        "{said}"
    );
    assert!(!audit_files(&[file(&[1]), file(&[1, 2])]).ok, "window 1 is given twice");
}

fn prove(made: &Made, wanted: Wanted) -> String {
    let (seal, sealed) = &made.windows[0];
    let of = &sealed.window.assets[&EUR];
    let mut maker = ProofMaker::new(seal.window, EUR, wanted);
    for (owed, evidence) in of.obligations.iter().zip(&of.evidence) {
        maker.obligation(owed, evidence);
    }
    of.carried.iter().for_each(|carry| maker.carried(carry));
    of.positions.iter().for_each(|position| maker.position(position));
    let mut selected = maker.finish().expect("there is a leaf");
    assert_eq!(selected.roots, (of.seal.obligations_root, of.seal.positions_root));
    let evidence: Vec<Vec<u8>> = sealed
        .evidence
        .iter()
        .filter(|piece| piece.pair().0 == EUR.0)
        .map(Evidence::encoded)
        .collect();
    for pair in 0..selected.pieces().len() {
        let range = selected.pieces()[pair].clone();
        let own = evidence
            [usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
            .to_vec();
        selected.put(pair, own.into_iter());
    }
    let roots = seal.assets.iter().map(|seal| AssetRoots {
        asset: seal.asset.0,
        obligations_root: Hex(seal.obligations_root.0),
        positions_root: Hex(seal.positions_root.0),
    });
    let window = WindowProof {
        number: 1,
        root: Hex(seal.root.0),
        cut_lsn: sealed.window.cut_lsn.0,
        cut_digest: Hex(made.cut_digest(sealed.window.cut_lsn)),
        cut_at_us: sealed.window.cut_at.0,
        credited: seal.credited,
        signature: Hex(seal.signature),
    };
    Document::Proof(Box::new(selected.proof(NETWORK, seal.key, window, roots.collect()))).text()
}

#[test]
fn a_proof_checks_alone_and_with_anything_changed_it_does_not() {
    let made = Made::deployment(Change::default());
    let pair = Wanted::Pair { payer: party(1), payee: party(2) };
    let position = Wanted::Position { party: party(1), pairs: true };
    for (wanted, signatures) in [(pair, 2), (position, 3)] {
        let text = prove(&made, wanted);
        let checked = check_document(&text, &Trust::default()).unwrap();
        assert_eq!(checked.signatures, signatures);
        let other = Trust { network: Some(NetworkId([8; 32])), engine_key: None };
        assert!(check_document(&text, &other).is_err());
        let other = Trust { network: None, engine_key: Some(SignerKey([8; 32])) };
        assert!(check_document(&text, &other).is_err());
        // Every digit, hexadecimal or decimal, becomes another.
        for (at, byte) in text.bytes().enumerate().filter(|(_, b)| b.is_ascii_hexdigit()) {
            let mut changed = text.clone().into_bytes();
            changed[at] = if byte == b'7' { b'8' } else { b'7' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(check_document(&changed, &Trust::default()).is_err(), "at {at}: {changed}");
        }
    }
}
