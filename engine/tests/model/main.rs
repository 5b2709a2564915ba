//! The real pipeline, with all its threads, against a ledger of fifty lines: random vouchers in
//! random frames, alone and in bundles, between random events, give equal outcomes and obligations.
//! The journal that comes out is then replayed on other numbers of shards, and must give the same
//! roots and the same files.

mod ledger;

use ed25519_dalek::{Signer as _, SigningKey};
use ledger::ModelLedger;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tallystick::journal::memory::Memory;
use tallystick::journal::{Journal, kept};
use tallystick::ledger::event::Cap;
use tallystick::ledger::{
    BatchContent, Caller, Command, Genesis, Keep, OpenBatch, Rail, Refusal, Request, SealedWindow,
    UpsertParty, Wish,
};
use tallystick::pipeline::{self, Brought, Pipeline, PipelineOptions, Source, recover};
use tallystick::settle::{Clearing, CreateBatch, Engine, EngineSetup, Sealer};
use tallystick::sign::EngineKey;
use tallystick::types::{
    Amount, AssetDef, AssetNumber, BundleHasher, ChannelHasher, ChannelId, Digest, FitKey,
    NetworkId, PartyId, Seat, SettlementModel, SignerKey, Timestamp, Total, Voucher, WindowNumber,
    message, put_seat,
};
use tallystick::vault::{Plain, Standing, Vault};
use tallystick::verify::{Options, Verifier};
use tallystick::{limits, rails};

const NETWORK: NetworkId = NetworkId([9; 32]);
const EUR: AssetNumber = AssetNumber(978);
const USD: AssetNumber = AssetNumber(840);
const CAP: u64 = 9_000_000;
const LIMIT: u128 = 40_000_000;
/// Far from both edges, so that the run of the clock during the test changes no outcome.
const GOOD_EXPIRY: i64 = 3_000_000_000;

/// One voucher, by small numbers: index 4 of signers and parties is not registered.
#[derive(Debug, Clone)]
struct Draw {
    signer: u8,
    payee: u8,
    asset: u32,
    lane: u64,
    expires_at: i64,
    cumulative: u64,
    reserved: bool,
    good: bool,
}

/// Vouchers, and behind them bundles: the signer and the signature are those of a bundle's
/// first entry.
#[derive(Debug, Clone, Default)]
struct Frame {
    vouchers: Vec<Draw>,
    bundles: Vec<Vec<Draw>>,
}

#[derive(Debug, Clone)]
enum Step {
    /// Frames sent one after the other without waiting for their acks.
    Frames(Vec<Frame>),
    Deposit(u8, u128),
    Suspend(u8, bool),
    Revoke(u8),
    Close,
}

/// Never set in these journals, so that nothing is signed with it.
fn engine_key() -> Arc<EngineKey> {
    Arc::new(EngineKey::of_secret([7; 32]))
}

fn signing(signer: u8) -> SigningKey {
    SigningKey::from_bytes(&[signer + 1; 32])
}

fn key(signer: u8) -> SignerKey {
    SignerKey(signing(signer).verifying_key().to_bytes())
}

fn party(n: u8) -> PartyId {
    PartyId([0x10 + n; 32])
}

/// Signers 0 and 1 sign for party 0, signer 2 for party 1, signer 3 for party 2.
fn party_of(signer: u8) -> PartyId {
    party(signer.saturating_sub(1))
}

fn draws() -> impl Strategy<Value = Draw> {
    let cumulative = prop_oneof![
        1 => Just(0u64),
        20 => 1u64..12_000_000,
        1 => Just(u64::MAX),
    ];
    let expires_at = prop_oneof![
        30 => Just(GOOD_EXPIRY),
        3 => Just(GOOD_EXPIRY + 1),
        1 => Just(1_000_000_000i64),
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
    ];
    let signer = prop_oneof![20 => 0u8..4, 1 => Just(4u8)];
    let payee = prop_oneof![20 => 0u8..4, 1 => Just(4u8)];
    let asset = prop_oneof![12 => Just(978u32), 6 => Just(840u32), 1 => Just(1u32)];
    let marks = (prop::bool::weighted(0.02), prop::bool::weighted(0.95));
    (signer, payee, asset, 0u64..2, expires_at, cumulative, marks).prop_map(
        |(signer, payee, asset, lane, expires_at, cumulative, (reserved, good))| Draw {
            signer,
            payee,
            asset,
            lane,
            expires_at,
            cumulative,
            reserved,
            good,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let vouchers = prop::collection::vec(draws(), 1..90);
    let bundle = prop_oneof![
        6 => prop::collection::vec(draws(), 1..9),
        1 => prop::collection::vec(draws(), 64),
    ];
    let bundles = prop_oneof![1 => Just(Vec::new()), 1 => prop::collection::vec(bundle, 1..4)];
    let frame = (vouchers, bundles).prop_map(|(vouchers, bundles)| Frame { vouchers, bundles });
    let step = prop_oneof![
        8 => prop::collection::vec(frame, 1..4).prop_map(Step::Frames),
        1 => (0u8..3, 1u128..30_000_000).prop_map(|(p, amount)| Step::Deposit(p, amount)),
        1 => (0u8..4, prop::bool::ANY).prop_map(|(p, suspended)| Step::Suspend(p, suspended)),
        1 => (0u8..4).prop_map(Step::Revoke),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..10)
}

fn unsigned(draw: &Draw) -> Voucher {
    Voucher {
        signer: key(draw.signer),
        payee: party(draw.payee),
        asset: AssetNumber(draw.asset),
        lane: draw.lane,
        expires_at: draw.expires_at,
        cumulative: Amount(draw.cumulative),
        signature: [0; 64],
    }
}

fn channel(hasher: &ChannelHasher, voucher: &Voucher) -> ChannelId {
    let Voucher { signer, payee, asset, lane, expires_at, .. } = *voucher;
    hasher.channel_of(signer, payee, asset, lane, expires_at)
}

fn voucher(hasher: &ChannelHasher, draw: &Draw) -> (Voucher, [u8; 160]) {
    let mut voucher = unsigned(draw);
    let (channel, expires_at) = (channel(hasher, &voucher), voucher.expires_at);
    let signed = message(channel, voucher.cumulative, expires_at);
    voucher.signature = signing(draw.signer).sign(&signed).to_bytes();
    voucher.signature[7] ^= u8::from(!draw.good);
    let mut packed = voucher.pack();
    packed[69] = u8::from(draw.reserved);
    (voucher, packed)
}

/// The entries of a bundle, each in the bytes of a voucher.
fn bundle(hasher: &ChannelHasher, draws: &[Draw]) -> Vec<(Voucher, [u8; 160])> {
    let (signer, good) = (draws[0].signer, draws[0].good);
    let entries: Vec<Voucher> =
        draws.iter().map(|draw| Voucher { signer: key(signer), ..unsigned(draw) }).collect();
    let bundles = BundleHasher::new(NETWORK);
    let leaves = entries.iter().map(|entry| (channel(hasher, entry), entry.cumulative));
    let signed = bundles.message(key(signer), &bundles.tree(leaves));
    let mut signature = signing(signer).sign(signed.bytes()).to_bytes();
    signature[7] ^= u8::from(!good);
    let entry = |(place, entry): (usize, Voucher)| {
        let entry = Voucher { signature, ..entry };
        let mut packed = entry.pack();
        put_seat(&mut packed, Seat::new(place, draws.len()).expect("it is one of them"));
        (entry, packed)
    };
    entries.into_iter().enumerate().map(entry).collect()
}

/// An engine without edge and settler.
struct Running {
    pipeline: Pipeline<Memory>,
    engine: Engine,
    sealer: Sealer,
}

impl Running {
    fn start(mut journal: Journal<Memory>, shards: u16) -> Self {
        let genesis = || {
            let lifetime_seconds_max = 100 * limits::LIFETIME_SECONDS_DEFAULT;
            (Genesis { network: NETWORK, lifetime_seconds_max }, Timestamp(1))
        };
        let recovered = recover(&mut journal, 1, shards, genesis).expect("the journal is whole");
        let verifier = Verifier::new(Options::default()).expect("some backend always runs");
        let clock = recovered.clock(true).expect("any clock is right");
        let (pipeline, intake, parts) = pipeline::start(
            recovered,
            clock,
            journal,
            1,
            verifier,
            &PipelineOptions { verify_threads: 2, checkpoint_bytes: 20_000, disk_reserve_bytes: 0 },
        );
        let clearing = Clearing::from([(Rail::Iso20022, rails::placeholder(Rail::Iso20022))]);
        let (key, four_eyes, mailbox) = (engine_key(), false, None);
        let archives = Some("no-archives".into());
        let vault = Vault::seeded(intake.tables().clone(), [7; 32]);
        let node = None;
        let setup =
            EngineSetup { intake, key, vault, clearing, four_eyes, archives, mailbox, node };
        let (engine, _) = Engine::new(setup);
        let sealer = Sealer::start(engine.clone(), parts);
        Self { pipeline, engine, sealer }
    }

    fn stop(self) -> Journal<Memory> {
        let Self { pipeline, engine, sealer } = self;
        sealer.stop();
        drop(engine);
        pipeline.stop().expect("memory does not fail")
    }
}

/// The engine and the model, and what both are told.
struct Run {
    running: Running,
    model: ModelLedger,
    requests: u32,
    owed: Vec<BTreeMap<(AssetNumber, PartyId, PartyId), u128>>,
}

impl Run {
    fn request(&mut self) -> Request {
        self.requests += 1;
        Request { id: format!("r{}", self.requests), content: Digest([1; 32]) }
    }

    fn command(&mut self, wish: Wish) -> Command {
        wish.by(Caller::grpc(String::new()), self.request())
    }

    async fn tell(&mut self, wish: Wish) {
        let command = self.command(wish);
        self.running.engine.tell(command).await.expect("the rules allow it");
    }

    async fn tell_party(&mut self, n: u8, suspended: bool) {
        let iban = [("iban".to_owned(), "DE02120300000000202051".to_owned())].into();
        let accounts = vec![rails::check_account("iso20022", &iban).expect("a valid account")];
        let (party, name) = (party(n), format!("party {n}"));
        let registered = self.model.parties.contains_key(&party);
        let standing = |_| Ok(Standing { erasures: 0, registered });
        let plain = [Plain { party, name, accounts, request_id: String::new() }];
        let vault = self.running.engine.vault().clone();
        let sealed = vault.seal_parties(&plain, &standing).expect("memory does not fail");
        let sealed = sealed.into_iter().next().expect("one was asked for").expect("it has a key");
        let (name, accounts, erasures) = (sealed.name, sealed.accounts, sealed.erasures);
        let (reopen, keep) = (false, Keep::default());
        let upsert = UpsertParty { party, name, suspended, accounts, reopen, erasures, keep };
        self.tell(Wish::UpsertParty(upsert)).await;
        self.model.parties.insert(party, suspended);
    }

    async fn set_up(shards: u16) -> Self {
        let running = Running::start(Memory::journal(), shards);
        let lifetime = 100 * limits::LIFETIME_SECONDS_DEFAULT;
        let model = ModelLedger { lifetime, ..ModelLedger::default() };
        let mut run = Self { running, model, requests: 0, owed: Vec::new() };
        for (number, code, model) in
            [(EUR, "EUR", SettlementModel::Multilateral), (USD, "USD", SettlementModel::Bilateral)]
        {
            let asset = AssetDef { number, code: code.into(), scale: 6, model };
            run.tell(Wish::CreateAsset { asset }).await;
            run.model.assets.insert(number);
        }
        for n in 0..4 {
            run.tell_party(n, false).await;
            for asset in [EUR, USD] {
                let limit = Total(LIMIT);
                let whose = party(n);
                run.tell(Wish::SetCreditLimit { party: whose, asset, limit }).await;
                run.model.room.insert((party(n), asset), LIMIT);
            }
        }
        for signer in 0..4 {
            let caps =
                if signer == 1 { vec![Cap { asset: EUR, amount: Amount(CAP) }] } else { vec![] };
            let party = party_of(signer);
            run.tell(Wish::AddSigner { signer: FitKey::checked(key(signer)), party, caps }).await;
            run.model.signers.insert(key(signer), party);
        }
        run.model.caps.insert((key(1), EUR), u128::from(CAP));
        run
    }

    async fn frames(&mut self, frames: &[Frame]) {
        let hasher = ChannelHasher::new(NETWORK);
        let (mut expected, mut answers) = (Vec::new(), Vec::new());
        let caller = self.running.engine.feed(Source::Here(0));
        for frame in frames {
            let mut packed = Vec::new();
            let mut bring = |(voucher, bytes): (Voucher, [u8; 160]), reserved, good| {
                packed.extend_from_slice(&bytes);
                let now = pipeline::now().seconds();
                let outcome = self.model.credit(&voucher, reserved, good, now);
                expected.push(outcome.byte());
            };
            for draw in &frame.vouchers {
                bring(voucher(&hasher, draw), draw.reserved, draw.good);
            }
            for draws in &frame.bundles {
                for entry in bundle(&hasher, draws) {
                    bring(entry, false, draws[0].good);
                }
            }
            let brought = Brought::new(bytes::Bytes::from(packed), frame.vouchers.len());
            answers.push(caller.submit(brought).await.expect("there is room"));
        }
        let mut outcomes = Vec::new();
        for answer in answers {
            outcomes.extend(answer.await.expect("every frame is answered").outcomes);
        }
        assert_eq!(outcomes, expected);
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Frames(frames) => self.frames(frames).await,
            Step::Deposit(n, amount) => {
                let reference = String::new();
                let (party, asset, amount) = (party(*n), EUR, Total(*amount));
                self.tell(Wish::RecordDeposit { party, asset, amount, reference }).await;
                *self.model.room.entry((party, asset)).or_default() += amount.0;
            }
            Step::Suspend(n, suspended) => self.tell_party(*n, *suspended).await,
            Step::Revoke(signer) => {
                let signer = key(*signer);
                self.tell(Wish::RevokeSigner { signer }).await;
                self.model.revoked.insert(signer);
            }
            Step::Close => self.close().await,
        }
    }

    async fn close(&mut self) {
        let close = self.command(Wish::CloseWindow);
        let close = self.running.engine.tell(close);
        close.await.expect("the open window can be closed");
        self.owed.push(std::mem::take(&mut self.model.owed));
    }
}

async fn sealed(engine: &Engine) -> Vec<Arc<SealedWindow>> {
    let all = engine.ask_until(|control| {
        let closed = control.windows().filter(|window| window.cut.is_some());
        Ok(closed.map(|window| window.sealed_head().ok()).collect::<Option<Vec<_>>>())
    });
    let archive = engine.archive();
    let heads = all.await.expect("the engine runs");
    heads.iter().map(|head| archive.window(head).expect("it is kept")).collect()
}

/// Every batch's files.
async fn batches(engine: &Engine) -> Vec<Files> {
    let heads = engine.ask(|control| {
        let heads = control.batches().into_iter().map(|batch| {
            let windows = batch.head.windows.iter();
            let windows = windows.map(|&window| control.window(window)?.sealed_head());
            (batch.head.clone(), windows.collect::<Result<Vec<_>, Refusal>>().unwrap())
        });
        Ok(heads.collect::<Vec<_>>())
    });
    let archive = engine.archive();
    let heads = heads.await.expect("the engine runs");
    let content =
        |(head, windows): &(Arc<_>, Vec<_>)| archive.batch(head, windows).expect("it is kept");
    let open =
        |content: Arc<BatchContent>| archive.vault().open_batch(&content).expect("a key each");
    heads.iter().map(|batch| files(&open(content(batch)))).collect()
}

fn obligations(window: &SealedWindow) -> BTreeMap<(AssetNumber, PartyId, PartyId), u128> {
    let of = |(&asset, sealed): (&AssetNumber, &tallystick::ledger::SealedAsset)| {
        let owed = sealed.obligations.iter();
        owed.map(move |o| ((asset, o.payer, o.payee), o.amount.0)).collect::<Vec<_>>()
    };
    window.assets.iter().flat_map(of).collect()
}

/// Every file of a batch, byte for byte.
fn files(content: &OpenBatch) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let written = rails::export(content, &mut |name, bytes| {
        files.entry(name.to_owned()).or_default().extend_from_slice(bytes);
        Ok::<(), ()>(())
    });
    written.expect("memory does not fail");
    let first = u32::try_from(content.head.pay_in_count).expect("legs are limited");
    let count = u32::try_from(content.legs.len()).expect("legs are limited");
    for side in [(0..first).collect::<Vec<u32>>(), (first..count).collect()] {
        for (number, legs) in (0..).zip(rails::split(content, &side)) {
            let part = rails::Part::new(content, &legs, number);
            let own = part.file().expect("a rail of files");
            let file = files.entry(own.name()).or_default();
            own.write(file).expect("memory does not fail");
        }
    }
    files
}

type Files = BTreeMap<String, Vec<u8>>;

/// Batches all closed windows in each asset; the files of each batch that has something to settle.
async fn settle(run: &mut Run) -> Vec<Files> {
    let windows: Vec<WindowNumber> =
        sealed(&run.running.engine).await.iter().map(|window| window.number).collect();
    for asset in [EUR, USD] {
        let (caller, request) = (Caller::grpc(String::new()), run.request());
        let (windows, rail) = (windows.clone(), Rail::Iso20022);
        let (four_eyes, least) = (false, Total::ZERO);
        let ask = CreateBatch { caller, request, four_eyes, windows, asset, rail, least };
        // Where nothing is owed there is no batch.
        let _ = run.running.engine.create_batch(&ask).await;
    }
    batches(&run.running.engine).await
}

async fn check(steps: &[Step], shards: u16) {
    let mut run = Run::set_up(shards).await;
    for step in steps {
        run.step(step).await;
    }
    run.close().await;
    let windows = sealed(&run.running.engine).await;
    let owed: Vec<_> = windows.iter().map(|window| obligations(window)).collect();
    assert_eq!(owed, run.owed, "obligations per window");
    let batches = settle(&mut run).await;
    let journal = run.running.stop();

    for shards in [1, 2, 4, 16] {
        let again = Running::start(journal.log.copy(), shards);
        assert_eq!(sealed(&again.engine).await, windows, "{shards} shards");
        assert_eq!(self::batches(&again.engine).await, batches, "{shards} shards");
        again.stop();
    }
}

/// Whoever asked was told to try again, for ever.
#[test]
fn what_is_lost_of_a_window_is_said_to_be_lost_unless_it_left_a_moment_ago() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut run = Run::set_up(1).await;
        let payee = (0..4).find(|n| party(*n) != party_of(0)).unwrap();
        let (lane, expires_at, cumulative) = (0, GOOD_EXPIRY, 5);
        let (signer, asset, reserved, good) = (0, EUR.0, false, true);
        let draw = Draw { signer, payee, asset, lane, expires_at, cumulative, reserved, good };
        run.frames(&[Frame { vouchers: vec![draw], ..Frame::default() }]).await;
        // The newest windows are still in memory, and are not read.
        for _ in 0..=limits::ARCHIVE_WINDOWS {
            run.close().await;
        }
        let engine = &run.running.engine;
        let sealed = async |window| {
            let head =
                engine.ask_until(move |control| Ok(control.window(window)?.sealed_head().ok()));
            head.await.unwrap()
        };
        sealed(WindowNumber(1 + u64::try_from(limits::ARCHIVE_WINDOWS).unwrap())).await;
        let (head, archive) = (sealed(WindowNumber(1)).await, engine.archive());
        kept::forget_window(archive.tables(), WindowNumber(1)).unwrap();
        let lost = archive.window(&head).unwrap_err().to_string();
        assert!(lost.contains("restore the data directory from a copy"), "{lost}");
        assert!(archive.forget_window(WindowNumber(1)).unwrap());
        let left = archive.window(&head).unwrap_err().to_string();
        assert!(left.contains("into its archive just now"), "{left}");
        run.running.stop();
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn pipeline_and_model_agree_on_any_number_of_shards(
        steps in steps(),
        shards in prop::sample::select(vec![1u16, 2, 3, 16]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(&steps, shards));
    }
}
