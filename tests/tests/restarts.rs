//! A start goes by the last checkpoint and what lies behind it, not by the history: what was
//! settled, answered and returned is the same after every one of many starts.

use std::path::Path;
use tallystick_tests::bank::{answer, approve, entry, own_account, reconciled, report, statement};
use tallystick_tests::wire::{
    Batch, CloseWindowRequest, CreateBatchRequest, GetExposureRequest, Leg, LegState, LegWord,
    SetCreditLimitRequest, Window,
};
use tallystick_tests::{
    Client, Deployment, Engine, Outcome::Credited, World, limit_request, request_id, run_cli,
    until_batch,
};

/// After nearly every group, so that a start finds much below one and little behind.
const OFTEN: [&str; 2] = ["--checkpoint-bytes", "1KiB"];

/// All that the history left to be asked for.
#[derive(Debug, PartialEq)]
struct Past {
    windows: Vec<Window>,
    batches: Vec<(Batch, Vec<Leg>)>,
    unsettled: String,
}

impl Past {
    async fn of(client: &mut Client, world: &World) -> Self {
        let mut batches = Vec::new();
        for batch in client.batches().await {
            let legs = client.legs(&batch).await;
            batches.push((batch, legs));
        }
        let party_id = world.payers[0].party.0.to_vec().into();
        let ask = GetExposureRequest { party_id, asset: World::PAIRS };
        let exposure = client.operator.get_exposure(ask).await.unwrap().into_inner();
        Self { windows: client.windows().await, batches, unsettled: exposure.unsettled }
    }
}

/// What was asked for in one life, and what came of it.
struct Asked {
    limit: (SetCreditLimitRequest, String),
    close: (CloseWindowRequest, u64),
    batch: (CreateBatchRequest, Vec<u8>),
}

/// A limit, a window and a batch that is settled to its end.
async fn settle(d: &mut Deployment, life: u64) -> (Asked, Batch) {
    let limit = limit_request(d.world.payers[0].party, World::PAIRS, &(life << 60).to_string());
    let exposure = d.client.operator.set_credit_limit(limit.clone()).await.unwrap().into_inner();
    let pay = d.world.voucher(0, 0, 0, life * 2_000_000);
    assert_eq!(d.client.pay(&[pay]).await, [Credited]);
    let close = CloseWindowRequest { request_id: request_id("close") };
    let window = d.client.operator.close_window(close.clone()).await.unwrap().into_inner().number;
    let create = CreateBatchRequest {
        request_id: request_id("batch"),
        windows: vec![window],
        asset: World::PAIRS,
        rail: "iso20022".into(),
    };
    let batch = d.client.operator.create_batch(create.clone()).await.unwrap().into_inner();
    approve(&mut d.client, &batch).await;
    let legs = d.client.legs(&batch).await;
    d.client.operator.report_legs(report(&batch, &legs, LegWord::Confirmed)).await.unwrap();
    until_batch(&mut d.client, &batch, |batch| batch.ended_at_us > 0).await;
    let asked = Asked {
        limit: (limit, exposure.credit_limit),
        close: (close, window),
        batch: (create, batch.batch_id.to_vec()),
    };
    (asked, batch)
}

/// Who repeats a call of any life is told what was told then, and nothing happens.
async fn repeat(client: &mut Client, asked: &[Asked]) {
    for Asked { limit, close, batch } in asked {
        let again = client.operator.set_credit_limit(limit.0.clone()).await.unwrap().into_inner();
        assert_eq!(again.credit_limit, limit.1);
        let again = client.operator.close_window(close.0.clone()).await.unwrap().into_inner();
        assert_eq!(again.number, close.1);
        let again = client.operator.create_batch(batch.0.clone()).await.unwrap().into_inner();
        assert_eq!(again.batch_id, batch.1);
    }
}

/// What a line of the log says of `name`.
fn figure(engine: &Engine, name: &str) -> u64 {
    let log = engine.stderr();
    let line = log.lines().find(|line| line.contains("recovered")).unwrap();
    let value = line.split_once(&format!("{name}=")).unwrap().1;
    value.split_whitespace().next().unwrap().parse().unwrap()
}

async fn again(d: Deployment, killed: bool) -> Deployment {
    if !killed {
        return d.restart(&OFTEN).await;
    }
    let Deployment { client, world, engine, dir } = d;
    drop(client);
    engine.kill9();
    let engine = Engine::start(&dir.path().join("data"), &OFTEN);
    let client = Client::connect(&engine).await;
    Deployment { client, world, engine, dir }
}

fn audit(data: &Path) {
    let done = run_cli(&["audit", "--data-dir", data.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

#[tokio::test]
async fn what_was_settled_answered_and_returned_is_the_same_after_every_start() {
    let mut d = Deployment::new(1, 1).await.restart(&OFTEN).await;
    let (mut asked, mut batches, mut checkpoint) = (Vec::new(), Vec::new(), 0);
    for life in 1..=7u64 {
        let (requests, batch) = settle(&mut d, life).await;
        asked.push(requests);
        batches.push(batch);
        let past = Past::of(&mut d.client, &d.world).await;
        d = again(d, life % 2 == 0).await;
        assert_eq!(Past::of(&mut d.client, &d.world).await, past, "in life {life}");
        repeat(&mut d.client, &asked).await;
        assert_eq!(Past::of(&mut d.client, &d.world).await, past, "in life {life}");
        let found = figure(&d.engine, "checkpoint");
        assert!(found > checkpoint, "life {life} began with the checkpoint at {found}");
        checkpoint = found;
    }
    let Deployment { engine, dir, .. } = d;
    engine.stop().await;
    audit(&dir.path().join("data"));
}

/// Its legs left memory long ago: a return finds them all the same, is told of once, and what they
/// should have moved is owed in the open window.
#[tokio::test]
async fn a_return_finds_its_leg_of_a_batch_that_ended_some_lives_ago() {
    let mut d = Deployment::new(1, 1).await.restart(&OFTEN).await;
    let mut batches = Vec::new();
    for life in 1..=3u64 {
        batches.push(settle(&mut d, life).await.1);
        d = again(d, life == 2).await;
    }
    // By the bank's statement, which shows the money come back that had gone.
    let key = d.client.legs(&batches[0]).await[0].key.clone();
    let entries =
        [entry("2.00", "DBIT", "R-1", &key, false), entry("2.00", "CRDT", "R-2", &key, true)];
    let text = statement(&own_account(), &entries);
    assert_eq!(answer(&d.data(), "back.xml", &text).await.0, "done");
    // And by an operator's word.
    let legs = d.client.legs(&batches[1]).await;
    let word = report(&batches[1], &legs, LegWord::Returned);
    d.client.operator.report_legs(word.clone()).await.unwrap();
    for (n, batch) in batches[..2].iter().enumerate() {
        let legs = d.client.legs(batch).await;
        assert_eq!(legs[0].state(), LegState::Returned, "batch {n}");
    }
    let past = Past::of(&mut d.client, &d.world).await;
    assert_eq!(past.unsettled, "4000000");
    // The same again, in later lives.
    for life in 0..3u64 {
        d = again(d, life == 1).await;
        assert_eq!(answer(&d.data(), &format!("again {life}.xml"), &text).await.0, "done");
        d.client.operator.report_legs(word.clone()).await.unwrap();
        assert_eq!(Past::of(&mut d.client, &d.world).await, past, "in life {life}");
    }
    let window = d.client.close_window().await.number;
    let owed = d.client.create_batch(&[window], World::PAIRS).await.unwrap();
    assert_eq!(owed.total, "4000000");
    reconciled(&mut d.client, &batches[0]).await;
    let Deployment { engine, dir, .. } = d;
    engine.stop().await;
    audit(&dir.path().join("data"));
}
