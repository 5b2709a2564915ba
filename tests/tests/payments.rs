//! Killed at every fail point around calls to a payment provider, before and after every record of
//! them: everybody is charged and paid once, and all legs end as without the crash.

use std::path::Path;
use tallystick_tests::Outcome::Credited;
use tallystick_tests::psp::{Options, Psp};
use tallystick_tests::wire::{
    ApproveBatchRequest, Batch, BatchState, CreateBatchRequest, LegState, SettlementAccount,
};
use tallystick_tests::{
    Client, Deployment, Launch, Patient, World, copy_dir, party_request, passed, request_id,
};
use tempfile::TempDir;

const SECRET: &str = "sk_test_double";

/// An engine on `data` that settles over this provider. Any binary with faults, so that all lives
/// are of the same.
fn launch(psp: &Psp, data: &Path) -> Launch {
    let folder = data.parent().expect("it lies in the test's folder");
    let secret = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a secret can be written");
        path
    };
    let (key, hook) = (secret("card.key", SECRET), secret("card.webhook", "whsec_test"));
    let config = format!(
        "[clearing.card]\naccount = \"acct_clearing\"\n[rail.card]\nbase_url = \"{}\"\n\
         secret_key_file = {key:?}\nwebhook_secret_file = {hook:?}\n",
        psp.url()
    );
    Launch::new(data).config(&config).fault("TALLYSTICK_UNUSED", "")
}

fn provider() -> Psp {
    Psp::start(Options::new(SECRET)).expect("the double starts")
}

/// A batch over the card rail of a window in which each payer owes each payee.
async fn computed(client: &mut Client, world: &World) -> Batch {
    let account = |fields: &[(&str, String)]| {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        ("card".to_owned(), SettlementAccount { fields: fields.collect() })
    };
    let payers = world.payers.iter().map(|payer| payer.party);
    for (place, party) in (0..).zip(payers.chain(world.payees.iter().copied())) {
        let mut request = party_request(party, place);
        let own = if world.payees.contains(&party) {
            account(&[("payout", format!("acct_{place}"))])
        } else {
            let method = format!("pm_{place}");
            account(&[("customer", format!("cus_{place}")), ("payment_method", method)])
        };
        request.party.as_mut().expect("a party").accounts.extend([own]);
        client.operator.upsert_party(request).await.expect("the party");
    }
    let (request_id, rail) = (request_id("batch"), "card".to_owned());
    let (windows, asset) = (vec![1], World::CLEARED);
    let create = CreateBatchRequest { request_id, windows, asset, rail };
    client.operator.create_batch(create).await.expect("the batch").into_inner()
}

async fn history(patient: &mut Patient, batch: &Batch) -> Batch {
    let approve = ApproveBatchRequest {
        request_id: "approve".into(),
        batch_id: batch.batch_id.clone(),
        ..Default::default()
    };
    patient.call(async |c| c.operator.approve_batch(approve.clone()).await).await;
    patient.until(batch, |batch| batch.ended_at_us > 0).await
}

/// What must be the same whenever the engine dies: the legs, and what the provider has executed.
type Seen = (Vec<(String, String, LegState)>, Vec<(String, String, u64, String)>);

async fn seen(patient: &mut Patient, batch: &Batch, psp: &Psp) -> Seen {
    let legs = patient.client.legs(batch).await.into_iter();
    let legs = legs.map(|leg| (leg.key.clone(), leg.amount.clone(), leg.state())).collect();
    let mut moved: Vec<_> = psp
        .movements()
        .into_iter()
        .map(|one| (one.leg_key, one.kind, one.amount, one.party))
        .collect();
    moved.sort();
    (legs, moved)
}

/// A stopped engine's directory with a closed window of three debts and the batch of it.
async fn prepared() -> (TempDir, World) {
    let mut d = Deployment::new(2, 2).await;
    let pay = |payer, payee: usize, units| {
        d.world.pay(payer, d.world.payees[payee], World::CLEARED, 0, units)
    };
    let vouchers = [pay(0, 0, 5_000_000), pay(0, 1, 2_000_000), pay(1, 1, 1_000_000)];
    assert_eq!(d.client.pay(&vouchers).await, [Credited; 3]);
    d.client.close_window().await;
    let Deployment { client, world, engine, dir } = d;
    drop(client);
    engine.stop().await;
    (dir, world)
}

/// The provider has a runtime of its own, so it starts and ends outside this test's.
#[test]
fn killed_around_every_call_everybody_is_charged_and_paid_once() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (dir, world) = runtime.block_on(prepared());
    let (base, psp) = (dir.path().join("data"), provider());
    let batch = runtime.block_on(async {
        let engine = launch(&psp, &base).start();
        let batch = computed(&mut Client::connect(&engine).await, &world).await;
        engine.stop().await;
        batch
    });

    let (log, whole) = (dir.path().join("points"), dir.path().join("whole"));
    copy_dir(&base, &whole);
    let log_to = ("TALLYSTICK_FAULT_LOG", log.to_str().expect("a plain path"));
    let without = runtime.block_on(async {
        let mut patient = Patient::new(launch(&psp, &whole), log_to).await;
        let ended = history(&mut patient, &batch).await;
        assert_eq!((ended.state(), patient.deaths), (BatchState::Settled, 0));
        let without = seen(&mut patient, &batch, &psp).await;
        patient.kill9();
        without
    });
    assert_eq!((without.0.len(), without.1.len()), (4, 4), "two charges, two transfers");

    let points = passed(&log);
    for name in ["submit-staged", "submit-journaled", "submit-left", "answers-journaled"] {
        assert!(points.contains_key(name), "{points:?}");
    }
    for (name, count) in points.iter().filter(|(name, _)| !name.starts_with("start-")) {
        for passage in if *count > 1 { vec![1, *count] } else { vec![1] } {
            let (copy, psp) = (dir.path().join("copy"), provider());
            copy_dir(&base, &copy);
            let armed = format!("{name}:{passage}");
            runtime.block_on(async {
                let launch = launch(&psp, &copy);
                let mut patient = Patient::new(launch, ("TALLYSTICK_FAULT", &armed)).await;
                history(&mut patient, &batch).await;
                patient.until_dead_once(&batch).await;
                assert_eq!(seen(&mut patient, &batch, &psp).await, without, "{armed}");
                patient.kill9();
            });
            std::fs::remove_dir_all(&copy).expect("the copy can be removed");
        }
    }
}
