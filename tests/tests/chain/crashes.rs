//! Killed at every fail point around signed transactions, before and after every record of them:
//! every recipient is paid once, and all money and legs are as without the crash.

use crate::world::{DEADLINE, OFTEN, Setting, batch, came_in, is_pay_in, reconcile};
use std::path::Path;
use std::time::Instant;
use tallystick_tests::chain::Chain;
use tallystick_tests::wire::{ApproveBatchRequest, Batch, BatchState, LegState, ReportLegsRequest};
use tallystick_tests::{Launch, Patient, copy_dir, legs_at, passed};

/// Two transactions.
const PAYEES: usize = 401;

/// From the computed batch to its end, a block at a time.
async fn history(
    patient: &mut Patient,
    chain: &Chain,
    batch: &Batch,
    report: &ReportLegsRequest,
) -> Batch {
    let approve = ApproveBatchRequest {
        request_id: "approve".into(),
        batch_id: batch.batch_id.clone(),
        ..Default::default()
    };
    patient.call(async |c| c.operator.approve_batch(approve.clone()).await).await;
    // It waits for the list of pay-ins to be there.
    patient.until(batch, |b| legs_at(b, LegState::Sent) == 1).await;
    patient.call(async |c| c.operator.report_legs(report.clone()).await).await;
    let out = u64::try_from(PAYEES).expect("few payees");
    patient.until(batch, |b| legs_at(b, LegState::Sent) == out).await;
    // The node may not have both yet, or may have lost the word of one: then a later block has it.
    let deadline = Instant::now() + DEADLINE;
    while chain.anvil.waiting() < 2 {
        patient.batch(batch).await;
        assert!(Instant::now() < deadline, "the node does not get the transactions");
    }
    chain.anvil.mine(1);
    patient.until(batch, |b| legs_at(b, LegState::Accepted) == out).await;
    chain.anvil.mine(2);
    patient.until(batch, |b| b.ended_at_us > 0).await
}

/// What must be the same whenever the engine dies.
async fn seen(patient: &mut Patient, batch: &Batch) -> Vec<(String, String, LegState, String)> {
    let legs = patient.client.legs(batch).await;
    let one = |leg: &tallystick_tests::wire::Leg| {
        (leg.key.clone(), leg.amount.clone(), leg.state(), leg.rail_reference.clone())
    };
    legs.iter().map(one).collect()
}

/// Another chain, on which everything has the same addresses, and the engine on `data` over it.
fn another_chain(setting: &Setting, data: &Path) -> (Chain, Launch) {
    let chain = Chain::new("PlainToken");
    chain.mint(crate::world::MONEY);
    assert_eq!((&chain.token, &chain.contract), (&setting.chain.token, &setting.chain.contract));
    let config = chain.config(&chain.anvil.url(), setting.dir.path(), OFTEN);
    // Any binary with faults: so that all lives are of the same.
    let launch = Launch::new(data).config(&config).fault("TALLYSTICK_UNUSED", "");
    (chain, launch)
}

#[tokio::test]
async fn killed_around_every_transaction_everybody_is_paid_once_and_all_is_as_without_it() {
    let (setting, engine, mut client) = Setting::new("PlainToken", 1, PAYEES).await;
    let amounts: Vec<u64> = (1..).map(|n| 1_000_000 + n).take(PAYEES).collect();
    setting.pay(&mut client, 0, 0, &amounts).await;
    let batch = batch(&mut client).await;
    let legs = client.legs(&batch).await;
    let report = came_in(&batch, &legs);
    assert_eq!(legs.iter().filter(|leg| is_pay_in(leg)).count(), 1);
    drop(client);
    engine.stop().await;

    let (log, whole) = (setting.dir.path().join("points"), setting.dir.path().join("whole"));
    copy_dir(&setting.data(), &whole);
    let (chain, launch) = another_chain(&setting, &whole);
    let log_to = ("TALLYSTICK_FAULT_LOG", log.to_str().expect("a plain path"));
    let mut patient = Patient::new(launch, log_to).await;
    let ended = history(&mut patient, &chain, &batch, &report).await;
    assert_eq!((ended.state(), patient.deaths), (BatchState::Settled, 0));
    let without = seen(&mut patient, &batch).await;
    let paid = Setting { chain, ..setting };
    paid.assert_paid(&amounts);
    drop(patient);

    let points = passed(&log);
    // Its list of pay-ins and both transactions.
    for name in ["submit-staged", "submit-journaled", "submit-left"] {
        assert_eq!(points.get(name), Some(&3), "{points:?}");
    }
    let armed = points.iter().filter(|(name, _)| !name.starts_with("start-"));
    let armed = armed.flat_map(|(name, count)| {
        let all = name.starts_with("submit-");
        let passages = if all { (1..=*count).collect() } else { Vec::from([1, *count]) };
        passages.into_iter().map(move |passage| format!("{name}:{passage}"))
    });
    let mut armed: Vec<String> = armed.collect();
    armed.dedup();
    for armed in armed {
        let copy = paid.dir.path().join("copy");
        copy_dir(&paid.data(), &copy);
        let (chain, launch) = another_chain(&paid, &copy);
        let used = chain.anvil.used();
        let mut patient = Patient::new(launch, ("TALLYSTICK_FAULT", &armed)).await;
        let ended = history(&mut patient, &chain, &batch, &report).await;
        patient.until_dead_once(&batch).await;
        assert_eq!(ended.state(), BatchState::Settled, "{armed}");
        assert_eq!(seen(&mut patient, &batch).await, without, "{armed}");
        assert_eq!(chain.anvil.used(), used + 2, "{armed}: nothing is signed twice");
        let told = reconcile(&mut patient.client, &batch).await;
        let attempts: Vec<usize> = told.submissions.iter().map(|s| s.attempts.len()).collect();
        assert_eq!(attempts, [1, 1, 1], "{armed}");
        assert_balances(&paid, &chain, &amounts);
        drop(patient);
        std::fs::remove_dir_all(&copy).expect("the copy can be removed");
    }
}

/// As `Setting::assert_paid`, on another chain.
fn assert_balances(setting: &Setting, chain: &Chain, amounts: &[u64]) {
    let payees = setting.world.payees.iter().map(|payee| tallystick_tests::chain::address(*payee));
    let due: Vec<u128> = amounts.iter().map(|amount| u128::from(*amount)).collect();
    assert_eq!(chain.balances(&payees.collect::<Vec<_>>()), due);
    assert_eq!(chain.transfers().len(), due.len(), "one payment each");
}
