//! Batches that come to their end: paid, refused by the token, undone by a reorganisation.

use crate::world::{
    ASSET, DEADLINE, MONEY, Setting, approve, batch, came_in, fund, is_pay_in, pay_out, reconcile,
    until_waiting,
};
use serde_json::json;
use std::time::Instant;
use tallystick_tests::chain::address;
use tallystick_tests::wire::{
    Batch, BatchState, GetExposureRequest, Leg, LegReport, LegState, LegSum, LegWord, WindowState,
};
use tallystick_tests::{
    Client, check_money_sums, get_batch, legs_at, refused, run_cli, until_batch,
};
use tonic::Code::FailedPrecondition;

/// More than one transaction carries.
const PAYEES: usize = 450;

fn amounts(count: usize) -> Vec<u64> {
    (1..).map(|n: u64| 1_000_000 + n * n % 977).take(count).collect()
}

fn sum(amounts: &[u64]) -> u128 {
    amounts.iter().map(|amount| u128::from(*amount)).sum()
}

/// A list of sums by state that has one entry.
fn only(sums: &[LegSum]) -> (LegState, u64, u128) {
    let [one] = sums else { panic!("not one state: {sums:?}") };
    (one.state(), one.legs, one.sum.parse().expect("decimal digits"))
}

async fn until_nothing_is_owed(client: &mut Client, party: &[u8]) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let request = GetExposureRequest { party_id: party.to_vec().into(), asset: ASSET };
        let exposure = client.operator.get_exposure(request).await.unwrap().into_inner();
        if exposure.unsettled == "0" {
            return;
        }
        assert!(Instant::now() < deadline, "the exposure does not fall: {exposure:?}");
    }
}

fn files(setting: &Setting) -> Vec<String> {
    let entries = std::fs::read_dir(setting.data().join("pay-ins/evm")).unwrap();
    let files = entries.map(|entry| entry.unwrap()).filter(|e| e.file_type().unwrap().is_file());
    files.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_batch_is_paid_in_chunks_and_everybody_holds_what_the_ledger_says() {
    let (setting, engine, mut client) = Setting::new("PlainToken", 1, PAYEES).await;
    let anvil = &setting.chain.anvil;
    let amounts = amounts(PAYEES);
    setting.pay(&mut client, 0, 0, &amounts).await;
    let batch = batch(&mut client).await;
    let approved = approve(&mut client, &batch).await;
    assert_eq!(approved.state(), BatchState::Submitting);
    assert_eq!((legs_at(&approved, LegState::Sent), legs_at(&approved, LegState::Ready)), (1, 450));
    assert!(matches!(&files(&setting)[..], [list] if list.ends_with(".pay-ins.csv")));
    let used = anvil.used();
    assert_eq!(anvil.waiting(), 0, "nothing is paid before it came in");

    let legs = client.legs(&batch).await;
    client.operator.report_legs(came_in(&batch, &legs)).await.unwrap();
    until_waiting(&setting.chain, 2);
    let sent = until_batch(&mut client, &batch, |b| legs_at(b, LegState::Sent) == 450).await;
    assert_eq!(legs_at(&sent, LegState::Confirmed), 1);
    // Nobody's word has a payment owed again, or paid by hand, that the chain may still make.
    let waiting = legs.iter().find(|leg| !is_pay_in(leg)).expect("pay-outs");
    nobody_speaks_of(&mut client, &batch, waiting).await;
    anvil.mine(1);
    let mined = until_batch(&mut client, &batch, |b| legs_at(b, LegState::Accepted) == 450).await;
    // The chain can leave the block, and the same transaction pays again.
    nobody_speaks_of(&mut client, &batch, waiting).await;
    assert_eq!(mined.state(), BatchState::Submitting, "what is mined can still be left");
    anvil.mine(2);
    let ended = until_batch(&mut client, &batch, |b| b.ended_at_us > 0).await;
    assert_eq!((ended.state(), &*ended.owed_again), (BatchState::Settled, "0"));
    assert_eq!(legs_at(&ended, LegState::Confirmed), 451);
    assert_eq!(anvil.used(), used + 2);
    setting.assert_paid(&amounts);

    // What the engine reports is what the chain has.
    let told = reconcile(&mut client, &batch).await;
    let total = sum(&amounts);
    assert_eq!(only(&told.pay_ins), (LegState::Confirmed, 1, total));
    assert_eq!(only(&told.pay_outs), (LegState::Confirmed, 450, total));
    assert_eq!(MONEY - setting.chain.contract_balance(), total);
    assert_eq!((told.submissions.len(), &*told.in_flight), (3, "0"));
    assert!(told.troubles.is_empty(), "{told:?}");
    let transfers = setting.chain.transfers();
    for leg in client.legs(&batch).await.iter().filter(|leg| !is_pay_in(leg)) {
        let to = format!("0x{}", data_encoding::HEXLOWER.encode(&leg.to[12..]));
        let of = |t: &&tallystick_tests::chain::Transfer| t.tx == leg.rail_reference && t.to == to;
        let paid = transfers.iter().find(of).expect("the reference is the transaction");
        assert_eq!(paid.amount.to_string(), leg.amount);
    }
    until_nothing_is_owed(&mut client, &setting.world.payers[0].party.0).await;
    assert_eq!(client.window(1).await.state(), WindowState::Settled);
    drop(client);
    engine.stop().await;
    let data = setting.data();
    let audit = run_cli(&["audit", "--data-dir", data.to_str().expect("a plain path")]);
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}

/// Mines until the batch has ended: a block whenever something waits for one.
async fn mine_to_the_end(setting: &Setting, client: &mut Client, batch: &Batch) -> Batch {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let found = get_batch(client, batch).await;
        if found.ended_at_us > 0 {
            return found;
        }
        if setting.chain.anvil.waiting() > 0 || legs_at(&found, LegState::Accepted) > 0 {
            setting.chain.anvil.mine(1);
        }
        assert!(Instant::now() < deadline, "gave up waiting: {found:?}");
    }
}

fn states(legs: &[Leg]) -> Vec<(String, LegState)> {
    legs.iter().map(|leg| (leg.key.clone(), leg.state())).collect()
}

#[tokio::test]
async fn after_a_reorg_legs_are_sent_once_more_and_paid_once() {
    let (setting, engine, mut client) = Setting::new("PlainToken", 1, 3).await;
    let anvil = &setting.chain.anvil;
    // Blocks to be left, so that no reorg reaches the contracts.
    anvil.mine(3);
    let amounts = amounts(3);
    setting.pay(&mut client, 0, 0, &amounts).await;
    let batch = batch(&mut client).await;
    fund(&mut client, &batch).await;
    until_waiting(&setting.chain, 1);
    anvil.mine(1);
    until_batch(&mut client, &batch, |b| legs_at(b, LegState::Accepted) == 3).await;
    let first = pay_out(&client.legs(&batch).await, setting.world.payees[0]).clone();
    anvil.reorg(1);
    assert_eq!(setting.balances(), [0; 3], "the payment is gone with its block");
    until_batch(&mut client, &batch, |b| legs_at(b, LegState::Sent) == 3).await;
    until_waiting(&setting.chain, 1);
    anvil.mine(1);
    until_batch(&mut client, &batch, |b| legs_at(b, LegState::Accepted) == 3).await;

    // And once more while nobody looks.
    engine.kill9();
    anvil.reorg(2);
    assert_eq!(setting.balances(), [0; 3]);
    let engine = setting.launch().start();
    let mut client = Client::connect(&engine).await;
    until_batch(&mut client, &batch, |b| legs_at(b, LegState::Sent) == 3).await;
    let ended = mine_to_the_end(&setting, &mut client, &batch).await;
    assert_eq!(ended.state(), BatchState::Settled);
    setting.assert_paid(&amounts);
    let legs = client.legs(&batch).await;
    let paid = pay_out(&legs, setting.world.payees[0]);
    assert_eq!(paid.rail_reference, first.rail_reference, "the same transaction");
    let told = reconcile(&mut client, &batch).await;
    let attempts: Vec<usize> = told.submissions.iter().map(|s| s.attempts.len()).collect();
    assert_eq!(attempts, [1, 1], "nothing was signed for a reorg");
}

#[tokio::test]
async fn what_the_token_refuses_is_rejected_and_owed_in_the_open_window() {
    let (setting, _engine, mut client) = Setting::new("BlacklistToken", 2, 5).await;
    let amounts = amounts(5);
    let blocked = setting.world.payees[2];
    setting.chain.block(&address(blocked));
    setting.pay(&mut client, 0, 0, &amounts).await;
    let batch = batch(&mut client).await;
    fund(&mut client, &batch).await;
    until_waiting(&setting.chain, 1);
    setting.chain.anvil.mine(1);
    until_batch(&mut client, &batch, |b| legs_at(b, LegState::Accepted) == 5).await;
    let ended = mine_to_the_end(&setting, &mut client, &batch).await;
    let owed = amounts[2].to_string();
    assert_eq!((ended.state(), &ended.owed_again), (BatchState::SettledWithCarry, &owed));
    let mut due = amounts.clone();
    due[2] = 0;
    setting.assert_paid(&due);
    let legs = client.legs(&batch).await;
    for leg in legs.iter().filter(|leg| !is_pay_in(leg)) {
        let refused = leg.to.as_ref() == blocked.0;
        let state = if refused { LegState::Rejected } else { LegState::Confirmed };
        assert_eq!((leg.state(), leg.reason.is_empty()), (state, !refused), "{leg:?}");
    }
    // The payer has paid; the money is the payee's, and stays with the clearing account meanwhile.
    until_nothing_is_owed(&mut client, &setting.world.payers[0].party.0).await;
    let next = client.close_window().await;
    assert_eq!(next.totals[0].carried_in, owed);
    check_money_sums(&mut client, next.number, ASSET).await;
    let positions = client.net_positions(next.number, ASSET).await;
    let of = |party: &[u8]| positions.iter().find(|p| p.party_id.as_ref() == party);
    assert_eq!(of(&blocked.0).map(|p| &p.amount), Some(&owed), "{positions:?}");
}

#[tokio::test]
async fn a_pay_in_that_does_not_come_holds_back_no_more_than_it_covered() {
    let (setting, _engine, mut client) = Setting::new("PlainToken", 5, 5).await;
    for (payer, amount) in (0..5).zip([1_000_000_u64, 2_000_000, 3_000_000, 4_000_000, 5_000_000]) {
        let mut row = [0; 5];
        row[payer] = amount;
        setting.pay(&mut client, payer, 0, &row).await;
    }
    let batch = batch(&mut client).await;
    approve(&mut client, &batch).await;
    let legs = client.legs(&batch).await;
    let mut report = came_in(&batch, &legs);
    let failed = legs.iter().find(|leg| is_pay_in(leg) && leg.amount == "2000000").unwrap();
    let line = report.reports.iter_mut().find(|line| line.key == failed.key).unwrap();
    (line.word, line.reason) = (LegWord::Rejected.into(), "nothing came".into());
    client.operator.report_legs(report).await.unwrap();
    until_waiting(&setting.chain, 1);
    let ended = mine_to_the_end(&setting, &mut client, &batch).await;
    // The largest is held back: no other pay-outs are of as much as is missing.
    setting.assert_paid(&[1_000_000, 2_000_000, 3_000_000, 4_000_000, 0]);
    assert_eq!((ended.state(), &*ended.owed_again), (BatchState::SettledWithCarry, "7000000"));
    let told = reconcile(&mut client, &batch).await;
    assert_eq!((told.held_back_legs, &*told.held_back), (1, "5000000"));
}

#[tokio::test]
async fn too_little_money_is_told_until_it_is_there() {
    let (setting, _engine, mut client) = Setting::new("PlainToken", 1, 1).await;
    let amount = u64::try_from(MONEY).unwrap() + 5;
    setting.pay(&mut client, 0, 0, &[amount]).await;
    let batch = batch(&mut client).await;
    fund(&mut client, &batch).await;
    let deadline = Instant::now() + DEADLINE;
    loop {
        let told = reconcile(&mut client, &batch).await;
        if told.troubles.iter().any(|text| text.contains("send it the rest")) {
            break;
        }
        assert!(Instant::now() < deadline, "nothing is said: {told:?}");
    }
    // Said as long as it is so, not for a moment after each look.
    for _ in 0..20 {
        let told = reconcile(&mut client, &batch).await;
        assert_eq!(told.troubles.len(), 1, "{told:?}");
    }
    assert_eq!(setting.chain.anvil.waiting(), 0);
    setting.chain.mint(5);
    until_waiting(&setting.chain, 1);
    let ended = mine_to_the_end(&setting, &mut client, &batch).await;
    assert_eq!(ended.state(), BatchState::Settled);
    assert_eq!((setting.balances(), setting.chain.contract_balance()), (vec![amount.into()], 0));
    assert!(reconcile(&mut client, &batch).await.troubles.is_empty());
}

#[tokio::test]
async fn a_fee_that_was_too_low_is_raised_under_the_same_nonce() {
    let (setting, _engine, mut client) = Setting::new("PlainToken", 1, 2).await;
    let anvil = &setting.chain.anvil;
    let amounts = amounts(2);
    setting.pay(&mut client, 0, 0, &amounts).await;
    let batch = batch(&mut client).await;
    fund(&mut client, &batch).await;
    until_waiting(&setting.chain, 1);
    let used = anvil.used();
    // Blocks too dear for what was offered.
    for _ in 0..3 {
        anvil.ask("anvil_setNextBlockBaseFeePerGas", json!(["0x2540be4000"]));
        anvil.mine(1);
    }
    assert_eq!(anvil.used(), used);
    let deadline = Instant::now() + DEADLINE;
    while reconcile(&mut client, &batch).await.submissions[1].attempts.len() < 2 {
        assert!(Instant::now() < deadline, "the fee is not raised");
    }
    let before = states(&client.legs(&batch).await);
    assert!(before.iter().filter(|(_, state)| *state == LegState::Sent).count() == 2);
    let ended = mine_to_the_end(&setting, &mut client, &batch).await;
    assert_eq!(ended.state(), BatchState::Settled);
    assert_eq!(anvil.used(), used + 1);
    setting.assert_paid(&amounts);
}

/// No operator's word moves a pay-out whose transaction is under way.
async fn nobody_speaks_of(client: &mut Client, batch: &Batch, leg: &Leg) {
    for word in [LegWord::Rejected, LegWord::Confirmed] {
        let mut said = came_in(batch, &[]);
        said.request_id = tallystick_tests::request_id("said");
        let key = leg.key.clone();
        let reason = "somebody thinks so".to_owned();
        said.reports = vec![LegReport { key, word: word.into(), reason, ..LegReport::default() }];
        let answer = client.operator.report_legs(said).await;
        refused(answer, FailedPrecondition, "wait for the rail's word");
    }
}
