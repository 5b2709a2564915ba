//! The deployment: two windows, two assets, a batch whose dust is carried, and what a test changes
//! of it.

use crate::journal::Chain;
use crate::ledger::event::{
    AssetCreated, BatchApproved, BatchComputed, BatchEvent, Confirmation, EngineKeySet, LegEvent,
    LegRun, LegsSubmitted, OperatorKeyRemoved, OperatorKeySet, PartyUpserted, SignerAdded,
    SignerRevoked, WindowCut, WindowEvent, WindowSealed,
};
use crate::ledger::seal::Cut;
use crate::ledger::{
    BatchContent, Caller, Envelope, Event, Evidence, Fact, Genesis, Obligation, Payment, Policy,
    Rail, Request, Sealed, SealedAccount, SealedOnRail, SealedPart, SealedText, seal,
};
use crate::proof::{ExportWriter, SignedEnd};
use crate::sign::{EngineKey, Signed};
use crate::types::{
    Amount, AssetDef, AssetNumber, BatchId, ChannelHasher, Digest, History, Lsn, NetworkId,
    PartyId, SettlementModel, SignerKey, Statement, Timestamp, Total, Voucher, WindowNumber,
    approval_statement, batch_statement, end_statement, key_statement, message,
    operator_key_statement, operator_removal_statement, window_statement,
};
use ed25519_dalek::{Signer as _, SigningKey};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const NETWORK: NetworkId = NetworkId([9; 32]);
pub(super) const EUR: AssetNumber = AssetNumber(978);
pub(super) const USD: AssetNumber = AssetNumber(840);
pub(super) const SECOND: i64 = 1_000_000;
pub(super) const EXPIRES: i64 = 4_000_000;

/// What a test changes of a deployment before it is exported.
#[derive(Default)]
pub(super) struct Change {
    pub(super) fact: Option<fn(&mut Fact)>,
    pub(super) evidence: Option<fn(&mut Evidence)>,
    /// Changed evidence is sealed with; else the seal knows the right one.
    pub(super) sealed: bool,
    pub(super) row: Option<fn(&mut Obligation)>,
    pub(super) windows: Option<&'static [u64]>,
}

pub(super) struct Made {
    pub(super) chain: Chain,
    pub(super) clock: i64,
    pub(super) engine_key: EngineKey,
    pub(super) records: Vec<Vec<u8>>,
    pub(super) windows: Vec<(WindowSealed, Sealed)>,
    /// The batches, with what each leg moves.
    pub(super) batches: Vec<(BatchId, AssetNumber, Vec<Payment>)>,
    pub(super) change: Change,
    /// The operators who have keys of their own.
    pub(super) own: BTreeMap<String, SigningKey>,
}

pub(super) fn party(name: u8) -> PartyId {
    PartyId([name; 32])
}

pub(super) fn agent(name: u8) -> SigningKey {
    SigningKey::from_bytes(&[name; 32])
}

pub(super) fn voucher(
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
    Evidence { payer, before, lsn: Lsn(0), voucher: voucher.pack(), branch: None }
}

/// What an operator approves or says, signed with their own key.
fn signed(own: &SigningKey, event: Event) -> Event {
    let by = |over: Statement| own.sign(over.bytes()).to_bytes();
    match event {
        Event::Batch(BatchEvent::Approved(mut e)) => {
            e.signature = by(approval_statement(NETWORK, e.batch));
            Event::from(e)
        }
        Event::Leg(LegEvent::Moved(mut e)) => {
            e.signature = by(e.statement(NETWORK));
            Event::from(e)
        }
        Event::Leg(LegEvent::Proposed(mut e)) => {
            e.signature = by(e.statement(NETWORK));
            Event::from(e)
        }
        other @ (Event::Registry(_)
        | Event::Budget(_)
        | Event::Access(_)
        | Event::Endpoint(_)
        | Event::Eyes(_)
        | Event::Key(_)
        | Event::Window(_)
        | Event::Batch(_)
        | Event::Leg(_)
        | Event::Trouble(_)
        | Event::Hold(_)) => other,
    }
}

impl Made {
    pub(super) fn new(change: Change) -> Self {
        let mut made = Self {
            chain: Chain::start(),
            clock: SECOND,
            engine_key: EngineKey::of_secret([3; 32]),
            records: Vec::new(),
            windows: Vec::new(),
            batches: Vec::new(),
            change,
            own: BTreeMap::new(),
        };
        let genesis = Genesis { network: NETWORK, lifetime_seconds_max: 10_000_000 };
        let record = made.chain.frame_genesis(1, Timestamp(made.clock), &genesis);
        made.records.push(record.bytes);
        made.register();
        made
    }

    /// What the engine does on its own.
    pub(super) fn event(&mut self, event: Event) -> Lsn {
        self.fact(Fact::new(Envelope::own(), event))
    }

    /// What an operator asks for, by a request of this id.
    pub(super) fn asked(&mut self, operator: &str, id: &str, event: Event) -> Lsn {
        let request = Request { id: id.into(), content: Digest([1; 32]) };
        let envelope = Caller::grpc(operator.to_owned()).asks(request);
        let event = match self.own.get(operator) {
            Some(own) => signed(own, event),
            None => event,
        };
        self.fact(Fact::new(envelope, event))
    }

    /// The same of whoever it is.
    pub(super) fn asked_as(&mut self, caller: Caller, id: &str, event: Event) -> Lsn {
        let request = Request { id: id.into(), content: Digest([1; 32]) };
        self.fact(Fact::new(caller.asks(request), event))
    }

    /// What one proposed and this one confirms.
    pub(super) fn confirmed(&mut self, by: &str, event: Event, confirms: Confirmation) -> Lsn {
        self.confirmed_as(Caller::grpc(by.to_owned()), event, confirms)
    }

    /// The same by anybody.
    pub(super) fn confirmed_as(
        &mut self,
        caller: Caller,
        event: Event,
        confirms: Confirmation,
    ) -> Lsn {
        let id = format!("confirmed {}", self.clock);
        let request = Request { id, content: Digest([1; 32]) };
        let envelope = caller.asks(request);
        self.fact(Fact { envelope, event, confirms: Some(confirms) })
    }

    /// When the next record is written.
    pub(super) fn next_at(&self) -> Timestamp {
        Timestamp(self.clock + SECOND)
    }

    /// An operator has an own key from now on.
    pub(super) fn sets_key(&mut self, operator: &str, secret: u8) {
        let (next, before) = (agent(secret), self.own.get(operator).cloned());
        let public = |key: &SigningKey| SignerKey(key.verifying_key().to_bytes());
        let key = public(&next);
        let over = operator_key_statement(NETWORK, operator, key, before.as_ref().map(public));
        let by = |key: &SigningKey| key.sign(over.bytes()).to_bytes();
        let (possession, signature) = (by(&next), before.as_ref().map_or([0; 64], by));
        let (id, operator) = (format!("key {secret} of {operator}"), operator.to_owned());
        let event = OperatorKeySet { operator: operator.clone(), key, possession, signature };
        self.asked(&operator, &id, Event::from(event));
        self.own.insert(operator, next);
    }

    /// An operator who has a key takes that of another one away.
    pub(super) fn removes_key(&mut self, caller: &str, operator: &str) {
        let key = self.own.remove(operator).unwrap();
        let key = SignerKey(key.verifying_key().to_bytes());
        let over = operator_removal_statement(NETWORK, operator, key);
        let signature = self.own[caller].sign(over.bytes()).to_bytes();
        let event = OperatorKeyRemoved { operator: operator.to_owned(), signature };
        self.asked(caller, "no key", Event::from(event));
    }

    fn fact(&mut self, mut fact: Fact) -> Lsn {
        if let Some(change) = self.change.fact {
            change(&mut fact);
        }
        self.clock += SECOND;
        let record = self.chain.frame_fact(1, Timestamp(self.clock), &fact);
        self.records.push(record.bytes);
        record.lsn
    }

    fn register(&mut self) {
        let key = self.engine_key.public();
        self.event(Event::from(EngineKeySet { key, proof: [0; 64] }));
        for (asset, model) in
            [(EUR, SettlementModel::Bilateral), (USD, SettlementModel::Multilateral)]
        {
            let code = if asset == EUR { "EUR" } else { "USD" }.into();
            let asset = AssetDef { number: asset, code, scale: 6, model };
            let id = format!("asset {}", asset.number);
            self.asked("ann", &id, Event::from(AssetCreated { asset }));
        }
        for name in 1..=3u8 {
            // An audit opens nothing: any bytes will do.
            let sealed = |length: usize| SealedText::new(vec![name; length]);
            let upserted = PartyUpserted {
                party: party(name),
                name: sealed(47),
                suspended: false,
                accounts: vec![SealedOnRail { rail: "iso20022".into(), fields: sealed(74) }],
            };
            self.asked("ann", &format!("party {name}"), Event::from(upserted));
            let signer = SignerKey(agent(name).verifying_key().to_bytes());
            let added = SignerAdded { signer, party: party(name), caps: Vec::new() };
            self.asked("ann", &format!("signer {name}"), Event::from(added));
        }
    }

    /// Credits, cuts and seals a window.
    pub(super) fn window(
        &mut self,
        mut evidence: Vec<Evidence>,
        carried: Vec<(AssetNumber, Obligation)>,
    ) {
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
        let cut = Event::from(WindowCut { window: number });
        let cut_lsn = self.asked("ann", &format!("cut {number}"), cut);
        let (cut_at, cut_digest) = (Timestamp(self.clock), self.chain.tail().link);
        let credited = u64::try_from(evidence.len()).unwrap();
        let part = SealedPart::new(number, credited, evidence);
        let sealed = seal(Cut { number, first_lsn, cut_lsn, cut_at, carried }, vec![part]);
        let root = sealed.window.root;
        let cut = History { lsn: cut_lsn, digest: cut_digest };
        let statement = window_statement(NETWORK, number, root, cut, cut_at, credited);
        let signed = self.engine_key.sign(&statement);
        let event = WindowSealed {
            window: number,
            root,
            credited,
            assets: sealed.window.seals().copied().collect(),
            key: signed.key,
            signature: signed.signature,
        };
        self.event(Event::Window(WindowEvent::Sealed(event.clone())));
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
        let sealed = |party: PartyId, length| SealedText::new(vec![party.0[0]; length]);
        let account = |party| SealedAccount { name: sealed(party, 47), fields: sealed(party, 74) };
        let windows = [Arc::new(self.windows[0].1.window.clone())];
        let content =
            BatchContent::compute(&windows, &asset, &policy, |p| Some(account(p)), |_| Total::ZERO)
                .unwrap();
        let history = self.chain.tail().history();
        let statement = batch_statement(NETWORK, content.head.id, history, "ann", true);
        let Signed { key, signature } = self.engine_key.sign(&statement);
        let event: BatchComputed = content.head.event(true, history.lsn, key, signature);
        let batch = content.head.id;
        let payments = content.legs.iter().map(|leg| leg.payment).collect();
        self.batches.push((batch, number, payments));
        self.asked("ann", &format!("batch {number}"), Event::from(event));
        let approved = Event::from(BatchApproved { batch, signature: [0; 64] });
        self.asked("a second operator", &format!("approve {number}"), approved);
        if !content.legs.is_empty() {
            // What is paid out waits for the pay-ins.
            let (all, pay_ins) = (content.head.leg_count, content.head.pay_in_count);
            let count = u32::try_from(if number == EUR { all } else { pay_ins }).unwrap();
            self.event(Event::from(LegsSubmitted {
                batch,
                submission: 0,
                attempt: 0,
                legs: vec![LegRun { first: 0, count }],
                paid_out: Total::ZERO,
                digest: Digest::ZERO,
                bytes: 1,
                name: format!("a file of {number}"),
            }));
        }
        content.head.carries.iter().map(|carry| (number, *carry)).collect()
    }

    pub(super) fn deployment(change: Change) -> Self {
        Self::new(change).deployed()
    }

    pub(super) fn deployed(self) -> Self {
        let mut made = self;
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
        made.asked("ann", "rotate", Event::from(EngineKeySet { key, proof }));
        made.engine_key = next;
        made.window(vec![voucher(1, 2, EUR, 0, 1_234_567, 1_234_570)], carried);
        let signer = SignerKey(agent(3).verifying_key().to_bytes());
        made.asked("ann", "revoke", Event::from(SignerRevoked { signer }));
        made
    }

    /// The digest of the event at a position.
    pub(super) fn cut_digest(&self, lsn: Lsn) -> [u8; 32] {
        let of = |record: &&Vec<u8>| record[8..16] == lsn.0.to_le_bytes();
        *self.records.iter().find(of).unwrap()[96..].first_chunk().unwrap()
    }

    /// The end of the history as its engine signs it.
    pub(super) fn end(&self) -> SignedEnd {
        let (last, at) = (self.chain.tail().history(), Timestamp(self.clock));
        let Signed { key, signature } = self.engine_key.sign(&end_statement(NETWORK, last, at));
        SignedEnd { last, at, key, signature }
    }

    pub(super) fn export(&self) -> Vec<u8> {
        self.export_until(&self.end())
    }

    /// An export that ends so, whether that is right or not.
    pub(super) fn export_until(&self, end: &SignedEnd) -> Vec<u8> {
        let all: Vec<u64> = self.windows.iter().map(|(seal, _)| seal.window.0).collect();
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
                    writer.evidence(&piece.encoded()).unwrap();
                }
            }
        }
        writer.finish(end).unwrap().0
    }
}
