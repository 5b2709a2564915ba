//! A small deployment made by hand: two windows, two assets, a batch whose dust is carried. Then
//! all that can be changed in what it exports.

use super::*;
use crate::journal::Chain;
use crate::ledger::event::{
    AssetCreated, BatchApproved, BatchComputed, EngineKeySet, LegRun, LegsSubmitted, PartyUpserted,
    RailAccount, SignerAdded, SignerRevoked, WindowCut, WindowSealed,
};
use crate::ledger::seal::Cut;
use crate::ledger::{
    Account, BatchContent, By, EVIDENCE_BYTES, Event, Evidence, Genesis, Obligation, Policy, Rail,
    Request, Sealed, SealedPart, seal,
};
use crate::proof::{
    AssetRoots, Document, ExportWriter, Hex, ProofMaker, Trust, Wanted, WindowProof, check_document,
};
use crate::sign::EngineKey;
use crate::types::{
    Amount, AssetDef, AssetNumber, ChannelHasher, Digest, Lsn, NetworkId, PartyId, SIGNATURE_BYTES,
    SettlementModel, SignerKey, Timestamp, Total, Voucher, WindowNumber, batch_statement,
    key_statement, message, window_statement,
};
use ed25519_dalek::{Signer as _, SigningKey};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

const NETWORK: NetworkId = NetworkId([9; 32]);
const EUR: AssetNumber = AssetNumber(978);
const USD: AssetNumber = AssetNumber(840);
const SECOND: i64 = 1_000_000;
const EXPIRES: i64 = 4_000_000;

/// What a test changes of a deployment before it is exported.
#[derive(Default)]
struct Change {
    event: Option<fn(&mut Event)>,
    evidence: Option<fn(&mut Evidence)>,
    /// Changed evidence is sealed with; else the seal knows the right one.
    sealed: bool,
    row: Option<fn(&mut Obligation)>,
    windows: Option<&'static [u64]>,
}

struct Made {
    chain: Chain,
    clock: i64,
    engine_key: EngineKey,
    records: Vec<Vec<u8>>,
    windows: Vec<(WindowSealed, Sealed)>,
    change: Change,
}

fn party(name: u8) -> PartyId {
    PartyId([name; 32])
}

fn agent(name: u8) -> SigningKey {
    SigningKey::from_bytes(&[name; 32])
}

fn request(id: &str) -> Request {
    Request { id: id.into(), content: Digest([1; 32]) }
}

fn voucher(
    payer: u8,
    payee: u8,
    asset: AssetNumber,
    lane: u64,
    before: u64,
    total: u64,
) -> Evidence {
    let key = agent(payer);
    let signer = SignerKey(key.verifying_key().to_bytes());
    let (payee, cumulative) = (party(payee), Amount(total));
    let hasher = ChannelHasher::new(NETWORK);
    let channel = hasher.channel_of(signer, payee, asset, lane, EXPIRES);
    let signature = key.sign(&message(channel, cumulative, EXPIRES)).to_bytes();
    let voucher =
        Voucher { signer, payee, asset, lane, expires_at: EXPIRES, cumulative, signature };
    let (payer, before) = (party(payer), Amount(before));
    Evidence { payer, before, lsn: Lsn(0), voucher: voucher.pack() }
}

impl Made {
    fn new(change: Change) -> Self {
        let mut made = Self {
            chain: Chain::start(),
            clock: SECOND,
            engine_key: EngineKey::of_secret([3; 32]),
            records: Vec::new(),
            windows: Vec::new(),
            change,
        };
        let genesis = Genesis { network: NETWORK, lifetime_seconds_max: 10_000_000 };
        let record = made.chain.frame_genesis(1, Timestamp(made.clock), &genesis);
        made.records.push(record.bytes);
        made.register();
        made
    }

    fn event(&mut self, mut event: Event) -> Lsn {
        if let Some(change) = self.change.event {
            change(&mut event);
        }
        self.clock += SECOND;
        let record = self.chain.frame_event(1, Timestamp(self.clock), &event);
        self.records.push(record.bytes);
        record.lsn
    }

    fn register(&mut self) {
        let key = self.engine_key.public();
        self.event(Event::EngineKeySet(EngineKeySet { request: None, key, proof: [0; 64] }));
        for (asset, model) in
            [(EUR, SettlementModel::Bilateral), (USD, SettlementModel::Multilateral)]
        {
            let code = if asset == EUR { "EUR" } else { "USD" }.into();
            let asset = AssetDef { number: asset, code, scale: 6, model };
            let request = request(&format!("asset {}", asset.number));
            self.event(Event::AssetCreated(AssetCreated { request, asset }));
        }
        for name in 1..=3u8 {
            let fields = vec![("iban".to_owned(), "DE02120300000000202051".to_owned())];
            self.event(Event::PartyUpserted(PartyUpserted {
                request: request(&format!("party {name}")),
                party: party(name),
                name: format!("Party {name}"),
                suspended: false,
                accounts: vec![RailAccount { rail: "iso20022".into(), fields }],
            }));
            self.event(Event::SignerAdded(SignerAdded {
                request: request(&format!("signer {name}")),
                signer: SignerKey(agent(name).verifying_key().to_bytes()),
                party: party(name),
                caps: Vec::new(),
            }));
        }
    }

    /// Credits, cuts and seals a window.
    fn window(&mut self, mut evidence: Vec<Evidence>, carried: Vec<(AssetNumber, Obligation)>) {
        let number = WindowNumber(u64::try_from(self.windows.len()).unwrap() + 1);
        let first_lsn = match self.windows.last() {
            None => Lsn(2),
            Some((_, sealed)) => sealed.window.cut_lsn.next(),
        };
        let vouchers: Vec<&[u8]> = evidence.iter().map(|piece| &piece.voucher[..]).collect();
        self.clock += SECOND;
        let lsn = self.chain.frame_vouchers(1, Timestamp(self.clock), &vouchers).lsn;
        evidence.iter_mut().for_each(|piece| piece.lsn = lsn);
        if let Some(change) = self.change.evidence.filter(|_| self.change.sealed) {
            change(&mut evidence[0]);
        }
        let request = request(&format!("cut {number}"));
        let cut_lsn = self.event(Event::WindowCut(WindowCut { request, window: number }));
        let cut_at = Timestamp(self.clock);
        let credited = u64::try_from(evidence.len()).unwrap();
        let part = SealedPart::new(number, credited, evidence);
        let sealed = seal(Cut { number, first_lsn, cut_lsn, cut_at, carried }, vec![part]);
        let root = sealed.window.root;
        let statement = window_statement(NETWORK, number, root, cut_lsn, cut_at, credited);
        let signed = self.engine_key.sign(&statement);
        let event = WindowSealed {
            window: number,
            root,
            credited,
            assets: sealed.window.seals().copied().collect(),
            key: signed.key,
            signature: signed.signature,
        };
        self.event(Event::WindowSealed(event.clone()));
        self.windows.push((event, sealed));
    }

    /// Batches window 1 in an asset; gives what is carried.
    fn batch(&mut self, number: AssetNumber) -> Vec<(AssetNumber, Obligation)> {
        let model =
            if number == EUR { SettlementModel::Bilateral } else { SettlementModel::Multilateral };
        let code = if number == EUR { "EUR" } else { "USD" }.into();
        let asset = AssetDef { number, code, scale: 6, model };
        let cent = Total(10_000);
        let policy = Policy {
            rail: Rail::Iso20022,
            unit: cent,
            least: cent,
            most: Total(1 << 60),
            clearing: Vec::new(),
        };
        let fields = vec![("iban".to_owned(), "DE02120300000000202051".to_owned())];
        let account = |party: PartyId| Account {
            name: format!("Party {}", party.0[0]),
            fields: fields.clone(),
        };
        let windows = [Arc::new(self.windows[0].1.window.clone())];
        let content =
            BatchContent::compute(&windows, &asset, &policy, |p| Some(account(p)), |_| Total::ZERO)
                .unwrap();
        let signed = self.engine_key.sign(&batch_statement(NETWORK, content.head.id));
        let request_id = request(&format!("batch {number}"));
        let event: BatchComputed =
            content.head.event(request_id, By::default(), signed.key, signed.signature);
        let batch = content.head.id;
        self.event(Event::BatchComputed(event));
        let request = request(&format!("approve {number}"));
        let operator = String::new();
        self.event(Event::BatchApproved(BatchApproved { request, operator, batch }));
        if !content.legs.is_empty() {
            let count = u32::try_from(content.legs.len()).unwrap();
            let own = content.legs.iter().map(|leg| leg.payment);
            let own = own.filter(|payment| payment.from == PartyId::CLEARING);
            let paid_out = own.fold(Total::ZERO, |sum, payment| sum.plus(payment.amount));
            self.event(Event::LegsSubmitted(LegsSubmitted {
                batch,
                submission: 0,
                attempt: 0,
                legs: vec![LegRun { first: 0, count }],
                paid_out,
                digest: Digest::ZERO,
                bytes: 1,
                name: "a file".into(),
            }));
        }
        content.head.carries.iter().map(|carry| (number, *carry)).collect()
    }

    fn deployment(change: Change) -> Self {
        let mut made = Self::new(change);
        made.window(
            vec![
                voucher(1, 2, EUR, 0, 0, 1_234_567),
                voucher(1, 2, EUR, 1, 0, 5),
                voucher(2, 1, EUR, 0, 0, 34_567),
                voucher(3, 1, USD, 0, 0, 777_777),
                voucher(3, 2, USD, 0, 0, 1),
            ],
            Vec::new(),
        );
        let mut carried = made.batch(EUR);
        carried.extend(made.batch(USD));
        assert!(carried.len() >= 2, "this test's amounts leave dust");
        let next = EngineKey::of_secret([4; 32]);
        let key = next.public();
        let proof = made.engine_key.sign(&key_statement(NETWORK, key)).signature;
        let request = Some(request("rotate"));
        made.event(Event::EngineKeySet(EngineKeySet { request, key, proof }));
        made.engine_key = next;
        made.window(vec![voucher(1, 2, EUR, 0, 1_234_567, 1_234_570)], carried);
        let signer = SignerKey(agent(3).verifying_key().to_bytes());
        made.event(Event::SignerRevoked(SignerRevoked {
            request: self::request("revoke"),
            signer,
        }));
        made
    }

    fn export(&self) -> Vec<u8> {
        let all = [1, 2];
        let chosen = self.change.windows.unwrap_or(&all);
        let numbers: Vec<WindowNumber> = chosen.iter().copied().map(WindowNumber).collect();
        let mut writer = ExportWriter::new(Vec::new(), NETWORK, &numbers).unwrap();
        self.records.iter().for_each(|record| writer.event(record).unwrap());
        for (_, sealed) in self.windows.iter().filter(|(e, _)| numbers.contains(&e.window)) {
            let window = &sealed.window;
            writer.window(window.number, u32::try_from(window.assets.len()).unwrap()).unwrap();
            for (&asset, of) in &window.assets {
                let pieces: Vec<&Evidence> =
                    sealed.evidence.iter().filter(|piece| piece.pair().0 == asset.0).collect();
                let count = |n: usize| u64::try_from(n).unwrap();
                let counts = [of.obligations.len(), of.carried.len(), pieces.len()].map(count);
                writer.asset(asset, counts[0], counts[1], counts[2]).unwrap();
                for (owed, evidence) in of.obligations.iter().zip(&of.evidence) {
                    let mut owed = *owed;
                    self.change.row.inspect(|change| change(&mut owed));
                    writer.obligation(&owed, evidence).unwrap();
                }
                of.carried.iter().for_each(|carry| writer.carried(carry).unwrap());
                for piece in pieces {
                    let mut piece = piece.clone();
                    self.change
                        .evidence
                        .filter(|_| !self.change.sealed)
                        .inspect(|change| change(&mut piece));
                    writer.evidence(&piece.encode()).unwrap();
                }
            }
        }
        writer.finish().unwrap().0
    }
}

fn audit_files(files: &[Vec<u8>]) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let name = |n: usize| dir.path().join(format!("{n}.tallyexp"));
    let paths: Vec<PathBuf> = (0..files.len()).map(name).collect();
    for (path, file) in paths.iter().zip(files) {
        std::fs::write(path, file).unwrap();
    }
    let settings = Settings { threads: 2, progress: &|_| {} };
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
    assert_eq!(counts.engine_signatures, 5, "two windows, two batches, one new key");
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
    let event = |event| Change { event: Some(event), ..Change::default() };
    let cases: [(&str, Change); 12] = [
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
            event(|e| {
                if let Event::WindowSealed(e) = e {
                    e.root.0[0] ^= 1
                }
            }),
        ),
        (
            "the window's signature",
            event(|e| {
                if let Event::WindowSealed(e) = e {
                    e.signature[0] ^= 1
                }
            }),
        ),
        (
            "the net sum",
            event(|e| {
                if let Event::WindowSealed(e) = e {
                    e.assets[0].totals.net_bilateral.0 += 1
                }
            }),
        ),
        (
            "the batch's signature",
            event(|e| {
                if let Event::BatchComputed(e) = e {
                    e.signature = [0; SIGNATURE_BYTES]
                }
            }),
        ),
        (
            "the batch's id",
            event(|e| {
                if let Event::BatchComputed(e) = e {
                    e.least.0 += 100_000_000
                }
            }),
        ),
        (
            "the proof of the engine's new key",
            event(|e| {
                if let Event::EngineKeySet(EngineKeySet { request: Some(_), proof, .. }) = e {
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
        event: Some(|event| {
            // Nothing ever left: then nothing may be carried.
            if let Event::LegsSubmitted(e) = event {
                *event = Event::BatchAborted(crate::ledger::event::BatchAborted {
                    request: request(&format!("abort {}", e.batch)),
                    operator: String::new(),
                    batch: e.batch,
                    reason: String::new(),
                });
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
    let evidence: Vec<[u8; EVIDENCE_BYTES]> = sealed
        .evidence
        .iter()
        .filter(|piece| piece.pair().0 == EUR.0)
        .map(Evidence::encode)
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
