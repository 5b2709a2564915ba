//! Killed before and after every kind of record, the engine comes to the same result as one that
//! was never killed: the same windows, obligations, batches, legs and files, to the byte.
//!
//! The binary is `tallystick-faults`, which tells what points there are and kills itself at the one
//! that it is told. Its wall clock stands, so that two histories have the same timestamps.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tallystick_tests::wire::{
    AbortBatchRequest, AddSignerRequest, ApproveBatchRequest, Asset, Batch, CloseWindowRequest,
    CreateAssetRequest, CreateBatchRequest, GetChannelRequest, RecordDepositRequest,
    RevokeSignerRequest, SetCreditLimitRequest, SettlementModel, UpsertPartyRequest,
};
use tallystick_tests::{
    Client, Deployment, Launch, Patient, Seen, Signer, Voucher, World, copy_dir, frame,
    limit_request, outcomes, party_id, party_request, passed, signer_request,
};

const PAYERS: usize = 3;
const PAYEES: usize = 3;

/// What an operator and a client do, who repeat what was not answered.
struct People(Patient);

impl People {
    /// Pays, unless the last of the vouchers is held already: as a client does that has lost an
    /// ack.
    async fn pay(&mut self, world: &World, vouchers: &[Voucher]) {
        let last = vouchers.last().expect("a frame holds vouchers");
        let ask = GetChannelRequest {
            signer: last.signer.0.to_vec().into(),
            payee: last.payee.0.to_vec().into(),
            asset: last.asset,
            lane: last.lane,
            expires_at: world.expires_at,
        };
        self.0
            .call(async |client| {
                let held = client.vouchers.get_channel(ask.clone()).await?.into_inner().cumulative;
                if held < last.cumulative {
                    let ack = client.vouchers.submit(frame(0, vouchers)).await?.into_inner();
                    assert_eq!(outcomes(&ack).len(), vouchers.len());
                }
                Ok(())
            })
            .await;
    }

    async fn close(&mut self, id: &str) -> u64 {
        let request_id = format!("close {id}");
        let request = CloseWindowRequest { request_id };
        let close = async |client: &mut Client| client.operator.close_window(request.clone()).await;
        self.0.call(close).await.into_inner().number
    }

    async fn batch(&mut self, window: u64, asset: u32, id: &str) -> Batch {
        let (request_id, rail) = (format!("batch {window} {asset} {id}"), "iso20022".to_owned());
        let request = CreateBatchRequest { request_id, windows: vec![window], asset, rail };
        let create =
            async |client: &mut Client| client.operator.create_batch(request.clone()).await;
        self.0.call(create).await.into_inner()
    }

    async fn approve(&mut self, batch: &Batch) {
        let batch_id = batch.batch_id.clone();
        let request = ApproveBatchRequest {
            request_id: format!("approve {batch_id:?}"),
            batch_id,
            ..Default::default()
        };
        self.0.call(async |client| client.operator.approve_batch(request.clone()).await).await;
    }

    async fn abort(&mut self, batch: &Batch) {
        let (request_id, batch_id) = ("abort".to_owned(), batch.batch_id.clone());
        let request = AbortBatchRequest { request_id, batch_id, reason: "a test".into() };
        self.0.call(async |client| client.operator.abort_batch(request.clone()).await).await;
    }
}

/// Vouchers of every payer to every payee and to the next payer, in both assets.
fn vouchers(world: &World, round: u64) -> Vec<Voucher> {
    let mut vouchers = Vec::new();
    for payer in 0..PAYERS {
        let next = world.payers[(payer + 1) % PAYERS].party;
        for (place, payee) in (1..).zip(world.payees.iter().copied().chain([next])) {
            for asset in [World::PAIRS, World::CLEARED] {
                let total = round * (300_000 * place + 7_001 * u64::try_from(payer).unwrap());
                vouchers.push(world.pay(payer, payee, asset, 0, total));
            }
        }
    }
    vouchers
}

/// One of every kind of call, two closed windows with batches, and vouchers in the open one.
async fn history(people: &mut People, world: &World) {
    for round in 1..=3 {
        let vouchers = vouchers(world, round);
        for part in vouchers.chunks(10) {
            people.pay(world, part).await;
        }
        if round == 3 {
            break;
        }
        let window = people.close(&format!("{round}")).await;
        let pairs = people.batch(window, World::PAIRS, "first").await;
        if round == 1 {
            people.abort(&pairs).await;
            let again = people.batch(window, World::PAIRS, "second").await;
            people.approve(&again).await;
        }
        let cleared = people.batch(window, World::CLEARED, "first").await;
        people.approve(&cleared).await;
        register(people, world, round).await;
    }
}

/// What changes a registration: new things, and one that is taken back.
async fn register(people: &mut People, world: &World, round: u64) {
    let number = 100 + u32::try_from(round).expect("few rounds");
    let id = |what: &str| format!("{what} {round}");
    let asset = CreateAssetRequest {
        request_id: id("asset"),
        asset: Some(Asset { number, code: "EUR".into(), scale: 6 }),
        model: SettlementModel::Bilateral.into(),
    };
    people.0.call(async |client| client.operator.create_asset(asset.clone()).await).await;
    let name = format!("late {round}");
    let signer = Signer::new(&name, party_id(&name));
    let party =
        UpsertPartyRequest { request_id: id("party"), ..party_request(signer.party, 90 + round) };
    people.0.call(async |client| client.operator.upsert_party(party.clone()).await).await;
    let add = AddSignerRequest { request_id: id("signer"), ..signer_request(&signer, &[]) };
    people.0.call(async |client| client.operator.add_signer(add.clone()).await).await;
    let key = signer.key().0.to_vec().into();
    let revoke = RevokeSignerRequest { request_id: id("revoke"), signer: key };
    people.0.call(async |client| client.operator.revoke_signer(revoke.clone()).await).await;
    let payer = world.payers[0].party;
    let limit = limit_request(payer, World::PAIRS, &format!("{}", World::LIMIT + 1));
    let limit = SetCreditLimitRequest { request_id: id("limit"), ..limit };
    people.0.call(async |client| client.operator.set_credit_limit(limit.clone()).await).await;
    let deposit = RecordDepositRequest {
        request_id: id("deposit"),
        party_id: payer.0.to_vec().into(),
        asset: World::PAIRS,
        amount: "77".into(),
        reference: "from the bank".into(),
    };
    people.0.call(async |client| client.operator.record_deposit(deposit.clone()).await).await;
}

fn now() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    now.as_micros().to_string()
}

/// The engine on a directory, whose clock stands.
fn launch(dir: &Path, clock: &str) -> Launch {
    Launch::new(dir).fault("TALLYSTICK_FAULT_CLOCK", clock)
}

#[tokio::test]
async fn killed_before_or_after_any_kind_of_record_the_result_is_the_same() {
    let Deployment { client, world, engine, dir } = Deployment::new(PAYERS, PAYEES).await;
    drop(client);
    engine.stop().await;
    let (base, clock, log) = (dir.path().join("data"), now(), dir.path().join("points"));
    let whole = dir.path().join("whole");
    copy_dir(&base, &whole);
    let log_to = ("TALLYSTICK_FAULT_LOG", log.to_str().expect("a plain path"));
    let mut people = People(Patient::new(launch(&whole, &clock), log_to).await);
    history(&mut people, &world).await;
    let seen = Seen::of(&mut people.0.client, &world).await;
    assert_eq!(
        (seen.windows.len(), seen.batches.len()),
        (3, 4),
        "the second try is the same batch"
    );

    let points = passed(&log);
    let kinds = points.keys().filter(|name| name.starts_with("append-")).count() / 2;
    assert!(kinds >= 12, "every kind but genesis: {points:?}");
    for (point, count) in points {
        for passage in if count > 1 { vec![1, count] } else { vec![1] } {
            let copy = dir.path().join("copy");
            copy_dir(&base, &copy);
            let armed = format!("{point}:{passage}");
            let launch = launch(&copy, &clock);
            let patient = Patient::new(launch.clone(), ("TALLYSTICK_FAULT", &armed)).await;
            let mut people = People(patient);
            history(&mut people, &world).await;
            let mut patient = people.0;
            assert_eq!(patient.deaths, 1, "{armed}");
            assert_eq!(Seen::of(&mut patient.client, &world).await, seen, "{armed}");
            // And what a last start reads is that, too.
            patient.kill9();
            let engine = launch.start();
            let mut client = Client::connect(&engine).await;
            assert_eq!(Seen::of(&mut client, &world).await, seen, "{armed}, after another start");
            engine.kill9();
            std::fs::remove_dir_all(&copy).expect("the copy can be removed");
        }
    }
}

#[tokio::test]
async fn killed_at_any_point_of_the_very_first_start_the_next_one_serves() {
    let dir = tempfile::tempdir().unwrap();
    let (log, clock) = (dir.path().join("points"), now());
    let log_to = ("TALLYSTICK_FAULT_LOG", log.to_str().expect("a plain path"));
    let whole = Patient::new(launch(&dir.path().join("whole"), &clock), log_to).await;
    drop(whole);
    let points = passed(&log);
    assert!(points.contains_key("append-1-before") && points.len() >= 4, "{points:?}");
    for point in points.into_keys() {
        let data = dir.path().join("data");
        let armed = format!("{point}:1");
        let launch = launch(&data, &clock);
        let mut patient = Patient::new(launch, ("TALLYSTICK_FAULT", &armed)).await;
        assert_eq!(patient.deaths, 1, "{armed}");
        let world = World::register(&mut patient.client, 1, 1).await;
        assert_eq!(patient.client.submit(&[world.voucher(0, 0, 0, 5)]).await.credited, 1);
        drop(patient);
        std::fs::remove_dir_all(&data).expect("the directory can be removed");
    }
}

/// What the ordinary binary must not hold.
#[test]
fn the_ordinary_binary_has_no_fail_points() {
    let name = b"TALLYSTICK_FAULT".as_slice();
    let holds = |path: PathBuf| {
        let bytes = std::fs::read(path).expect("the binary can be read");
        bytes.windows(name.len()).any(|window| window == name)
    };
    let binary = |variable, name| tallystick_tests::binary(variable, name);
    assert!(!holds(binary("TALLYSTICK_BIN", "tallystick")));
    assert!(holds(binary("TALLYSTICK_FAULTS_BIN", "tallystick-faults")));
}
