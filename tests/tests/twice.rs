//! What could be paid twice: a file that lies in the outbox when its legs are owed again, money
//! that the bank shows of what nobody has sent, or that it shows once more, and a batch that pays
//! what was paid.

use std::fs;
use tallystick_tests::bank::{
    answer, approve, computed, entry, names, own_account, reconciled, refusal, report, statement,
    told, until,
};
use tallystick_tests::wire::{
    AckTroublesRequest, ApproveBatchRequest, Batch, BatchState, GetBatchRequest, LegState, LegWord,
};
use tallystick_tests::{
    Deployment, Outcome::Credited, World, get_batch, legs_at, refused, request_id, until_batch,
};
use tonic::Code::FailedPrecondition;

fn hex(batch: &Batch) -> String {
    batch.batch_id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of the first file of a batch.
fn first_file(batch: &Batch) -> String {
    format!("{}.0.pain.001.xml", &hex(batch)[..16])
}

async fn todo(d: &mut Deployment, batch: &Batch) -> String {
    reconciled(&mut d.client, batch).await.todo.join("\n")
}

/// Its legs were reported rejected and owed again, the file stayed in the outbox, and whoever
/// uploaded it later had the same money paid twice.
#[tokio::test]
async fn a_file_whose_legs_are_all_rejected_is_taken_out_of_the_outbox_by_whoevers_word() {
    for by_the_bank in [false, true] {
        let mut d = Deployment::new(1, 1).await;
        let batch = computed(&mut d, 2_000_000).await;
        approve(&mut d.client, &batch).await;
        let outbox = d.data().join("outbox/iso20022");
        assert_eq!(names(&outbox), [first_file(&batch)]);
        if by_the_bank {
            let refused = refusal(&hex(&batch)[..32]);
            assert_eq!(answer(&d.data(), "no.xml", &refused).await, ("done", String::new()));
        } else {
            let legs = d.client.legs(&batch).await;
            let ask = report(&batch, &legs, LegWord::Rejected);
            d.client.operator.report_legs(ask).await.unwrap();
        }
        until("the file's end", async || names(&outbox).is_empty().then_some(())).await;
        let withdrawn = outbox.join(".withdrawn");
        assert_eq!(names(&withdrawn), [first_file(&batch)]);
        let said = todo(&mut d, &batch).await;
        assert!(said.contains("Nobody may hand in") && !said.contains("Upload"), "{said}");
        // What a crash between the record and the move leaves.
        let (kept, back) = (withdrawn.join(first_file(&batch)), outbox.join(first_file(&batch)));
        fs::rename(kept, back).unwrap();
        let mut d = d.restart(&[]).await;
        until("the file's end", async || names(&outbox).is_empty().then_some(())).await;
        assert_eq!(names(&withdrawn), [first_file(&batch)]);
        // The same money leaves once, in the file of another batch.
        let window = d.client.close_window().await.number;
        let second = d.client.create_batch(&[window], World::PAIRS).await.unwrap();
        approve(&mut d.client, &second).await;
        assert_eq!(names(&outbox), [first_file(&second)]);
    }
}

/// All was paid, the batch had ended, and its file lay in the outbox still. Then the payment came
/// back and was owed again: the file stayed there until the next start.
#[tokio::test]
async fn a_file_is_taken_out_of_the_outbox_even_when_its_batch_had_ended_before() {
    for by_the_bank in [false, true] {
        let mut d = Deployment::new(1, 1).await;
        let batch = computed(&mut d, 2_000_000).await;
        approve(&mut d.client, &batch).await;
        let legs = d.client.legs(&batch).await;
        let word = |word| report(&batch, &legs, word);
        d.client.operator.report_legs(word(LegWord::Confirmed)).await.unwrap();
        until_batch(&mut d.client, &batch, |b| b.state() == BatchState::Settled).await;
        let outbox = d.data().join("outbox/iso20022");
        assert_eq!(names(&outbox), [first_file(&batch)]);
        if by_the_bank {
            let back = entry("2.00", "CRDT", "BACK-1", &legs[0].key, true);
            let back = statement(&own_account(), &[back]);
            assert_eq!(answer(&d.data(), "back.xml", &back).await.0, "done");
        } else {
            d.client.operator.report_legs(word(LegWord::Returned)).await.unwrap();
        }
        until("the file's end", async || names(&outbox).is_empty().then_some(())).await;
        assert_eq!(names(&outbox.join(".withdrawn")), [first_file(&batch)]);
    }
}

#[tokio::test]
async fn a_file_that_was_carried_away_is_no_trouble_and_one_that_cannot_be_taken_is_one() {
    let mut d = Deployment::new(1, 1).await;
    let outbox = d.data().join("outbox/iso20022");
    let first = computed(&mut d, 2_000_000).await;
    approve(&mut d.client, &first).await;
    fs::remove_file(outbox.join(first_file(&first))).unwrap();
    let legs = d.client.legs(&first).await;
    d.client.operator.report_legs(report(&first, &legs, LegWord::Rejected)).await.unwrap();
    until_batch(&mut d.client, &first, |b| b.ended_at_us > 0).await;
    assert_eq!(told(&mut d.client, &first).await, "[] []");
    // A file stands where the folder is to be: even root cannot make it.
    fs::write(outbox.join(".withdrawn"), "in the way").unwrap();
    let window = d.client.close_window().await.number;
    let second = d.client.create_batch(&[window], World::PAIRS).await.unwrap();
    approve(&mut d.client, &second).await;
    let name = first_file(&second);
    let legs = d.client.legs(&second).await;
    d.client.operator.report_legs(report(&second, &legs, LegWord::Rejected)).await.unwrap();
    until("the trouble", async || {
        let told = told(&mut d.client, &second).await;
        (told.contains(&name) && told.contains("must not be handed in")).then_some(())
    })
    .await;
    fs::remove_file(outbox.join(".withdrawn")).unwrap();
    until("its end", async || {
        let told = told(&mut d.client, &second).await;
        (!told.contains(&name) && names(&outbox).is_empty()).then_some(())
    })
    .await;
}

/// One leg of a file was reported rejected: the report told to upload the file as it was.
#[tokio::test]
async fn a_file_of_which_some_legs_may_still_be_paid_stays_and_the_report_names_the_others() {
    let mut d = Deployment::new(1, 2).await;
    let pay = [d.world.voucher(0, 0, 0, 2_000_000), d.world.voucher(0, 1, 0, 3_000_000)];
    assert_eq!(d.client.pay(&pay).await, [Credited, Credited]);
    let window = d.client.close_window().await.number;
    let batch = d.client.create_batch(&[window], World::PAIRS).await.unwrap();
    approve(&mut d.client, &batch).await;
    let legs = d.client.legs(&batch).await;
    let ask = report(&batch, &legs[..1], LegWord::Rejected);
    d.client.operator.report_legs(ask).await.unwrap();
    let outbox = d.data().join("outbox/iso20022");
    assert_eq!(names(&outbox), [first_file(&batch)]);
    let said = todo(&mut d, &batch).await;
    assert!(said.contains(&legs[0].key) && said.contains("by hand"), "{said}");
    assert!(!said.contains(&legs[1].key) && !said.contains("Upload"), "{said}");
    let ask = report(&batch, &legs[1..], LegWord::Rejected);
    d.client.operator.report_legs(ask).await.unwrap();
    until("the file's end", async || names(&outbox).is_empty().then_some(())).await;
}

/// Money booked under the key of a leg that nobody had sent was a remark beside the answer, and the
/// batch was approved and paid.
#[tokio::test]
async fn money_for_a_batch_that_is_not_approved_keeps_it_from_approval_until_somebody_has_looked() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    let key = d.client.legs(&batch).await[0].key.clone();
    let text = statement(&own_account(), &[entry("2.00", "DBIT", "R-1", &key, false)]);
    let (tray, note) = answer(&d.data(), "s.xml", &text).await;
    assert!(tray == "done" && note.contains("has not left"), "{note}");
    let shown = get_batch(&mut d.client, &batch).await.troubles.join("\n");
    assert!(shown.contains("trouble 1") && shown.contains("R-1"), "{shown}");
    assert!(told(&mut d.client, &batch).await.contains("R-1"));
    let (request_id_, batch_id) = (request_id("approve"), batch.batch_id.clone());
    let ask = ApproveBatchRequest { request_id: request_id_, batch_id, ..Default::default() };
    refused(d.client.operator.approve_batch(ask).await, FailedPrecondition, "trouble 1 ");
    ack(&mut d, 1).await;
    assert!(approve(&mut d.client, &batch).await.troubles.is_empty());
}

async fn ack(d: &mut Deployment, number: u64) {
    let (request_id, note) = (request_id("ack"), "asked the bank".to_owned());
    let ask = AckTroublesRequest { request_id, numbers: vec![number], note };
    d.client.operator.ack_troubles(ask).await.unwrap();
}

/// The report of the batch that paid again what the bank had paid said nothing of it.
#[tokio::test]
async fn a_batch_that_pays_again_what_the_bank_says_it_paid_names_the_trouble() {
    let mut d = Deployment::new(1, 1).await;
    let first = computed(&mut d, 2_000_000).await;
    approve(&mut d.client, &first).await;
    let legs = d.client.legs(&first).await;
    d.client.operator.report_legs(report(&first, &legs, LegWord::Rejected)).await.unwrap();
    let paid = entry("2.00", "DBIT", "R-1", &legs[0].key, false);
    let text = statement(&own_account(), &[paid]);
    answer(&d.data(), "s.xml", &text).await;
    // The same booking in another file is the same trouble.
    assert_eq!(answer(&d.data(), "t.xml", &text).await, ("done", String::new()));
    let window = d.client.close_window().await.number;
    let second = d.client.create_batch(&[window], World::PAIRS).await.unwrap();
    let name = &hex(&second)[..16];
    let says = |troubles: &[String]| {
        let all = troubles.join("\n");
        all.contains(&format!("{name} pays again")) && all.contains("trouble 1 ")
    };
    assert!(says(&second.troubles), "{:?}", second.troubles);
    let said = todo(&mut d, &second).await;
    assert!(said.starts_with(&format!("Batch {name} pays again")), "{said}");
    let approved = approve(&mut d.client, &second).await;
    assert!(says(&approved.troubles), "{:?}", approved.troubles);
    ack(&mut d, 1).await;
    assert!(get_batch(&mut d.client, &second).await.troubles.is_empty());
}

/// A leg that had come back was booked once more: told late and paid again looked the same.
#[tokio::test]
async fn a_payment_told_again_after_it_came_back_is_nothing_new_and_a_second_one_is_a_trouble() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    approve(&mut d.client, &batch).await;
    let key = d.client.legs(&batch).await[0].key.clone();
    let own = own_account();
    let paid = |reference: &str| {
        statement(&own_account(), &[entry("2.00", "DBIT", reference, &key, false)])
    };
    let back = statement(&own, &[entry("2.00", "CRDT", "R-BACK", &key, true)]);
    // The return is told first, its payment late; then both once more, after a restart.
    for (name, text) in [("1.xml", &back), ("2.xml", &paid("R-PAID"))] {
        assert_eq!(answer(&d.data(), name, text).await, ("done", String::new()), "{name}");
    }
    let ended = get_batch(&mut d.client, &batch).await;
    assert_eq!((legs_at(&ended, LegState::Rejected), &*ended.owed_again), (1, "2000000"));
    let mut d = d.restart(&[]).await;
    for (name, text) in [("3.xml", &paid("R-PAID")), ("4.xml", &back)] {
        assert_eq!(answer(&d.data(), name, text).await, ("done", String::new()), "{name}");
    }
    let (_, note) = answer(&d.data(), "5.xml", &paid("R-AGAIN")).await;
    assert!(note.contains("R-AGAIN, beside R-PAID"), "{note}");
    assert!(told(&mut d.client, &batch).await.contains("R-AGAIN"));
    let ended = get_batch(&mut d.client, &batch).await;
    assert_eq!((ended.state(), &*ended.owed_again), (BatchState::SettledWithCarry, "2000000"));
}

/// An answer about a file that the ledger did not know was a remark beside it: nobody noticed that
/// an old copy of the ledger was running.
#[tokio::test]
async fn an_answer_about_messages_of_nobody_is_a_trouble_and_a_statement_of_others_money_is_not() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    let others = statement(&own_account(), &[entry("9.00", "DBIT", "R-9", "NOTPROVIDED", false)]);
    assert_eq!(answer(&d.data(), "s.xml", &others).await.0, "done");
    assert_eq!(told(&mut d.client, &batch).await, "[] []");
    assert_eq!(answer(&d.data(), "p.xml", &refusal("PAYROLL-17")).await.0, "done");
    let told = told(&mut d.client, &batch).await;
    assert!(told.contains("p.xml") && told.contains("PAYROLL-17"), "{told}");
    let request = GetBatchRequest { batch_id: batch.batch_id.clone() };
    assert!(d.client.operator.get_batch(request).await.unwrap().into_inner().troubles.is_empty());
}

/// A second payment was told in a file of its own, and what a third told to have come back had the
/// leg owed again, although the payee still had one payment.
#[tokio::test]
async fn a_leg_that_was_paid_twice_is_owed_again_when_both_are_back_whichever_files_tell_it() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    approve(&mut d.client, &batch).await;
    let legs = d.client.legs(&batch).await;
    let key = legs[0].key.clone();
    let text = |way: &str, reference: &str| {
        let one = entry("2.00", way, reference, &key, way == "CRDT");
        statement(&own_account(), &[one])
    };
    assert_eq!(answer(&d.data(), "1.xml", &text("DBIT", "R-1")).await, ("done", String::new()));
    let (_, note) = answer(&d.data(), "2.xml", &text("DBIT", "R-2")).await;
    assert!(note.contains("R-2, beside R-1"), "{note}");
    // What is held outlives a restart.
    let mut d = d.restart(&[]).await;
    let (_, note) = answer(&d.data(), "3.xml", &text("CRDT", "R-3")).await;
    assert!(note.contains("R-3") && note.contains("went 2 times and came back 1 times"), "{note}");
    let paid = get_batch(&mut d.client, &batch).await;
    assert_eq!((legs_at(&paid, LegState::Confirmed), &*paid.owed_again), (1, "0"));
    // The same return again is no second one, and nothing is left to pay.
    answer(&d.data(), "4.xml", &text("CRDT", "R-3")).await;
    let paid = get_batch(&mut d.client, &batch).await;
    assert_eq!(legs_at(&paid, LegState::Confirmed), 1);
    answer(&d.data(), "5.xml", &text("CRDT", "R-4")).await;
    let back = get_batch(&mut d.client, &batch).await;
    assert_eq!((legs_at(&back, LegState::Returned), &*back.owed_again), (1, "2000000"));
    // One return more than there were goings is somebody's money.
    let (_, note) = answer(&d.data(), "6.xml", &text("CRDT", "R-5")).await;
    assert!(note.contains("R-5"), "{note}");
    let back = get_batch(&mut d.client, &batch).await;
    assert_eq!(&*back.owed_again, "2000000");
}

/// An operator's word that it came back stands for one return.
#[tokio::test]
async fn nobody_says_returned_of_a_leg_that_is_still_paid_with_one_return_more() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    approve(&mut d.client, &batch).await;
    let legs = d.client.legs(&batch).await;
    let entries = ["R-1", "R-2"].map(|of| entry("2.00", "DBIT", of, &legs[0].key, false));
    answer(&d.data(), "1.xml", &statement(&own_account(), &entries)).await;
    let ask = report(&batch, &legs, LegWord::Returned);
    refused(d.client.operator.report_legs(ask).await, FailedPrecondition, "still paid");
    let back = entry("2.00", "CRDT", "R-3", &legs[0].key, true);
    answer(&d.data(), "2.xml", &statement(&own_account(), &[back])).await;
    let ask = report(&batch, &legs, LegWord::Returned);
    d.client.operator.report_legs(ask).await.unwrap();
    assert_eq!(&*get_batch(&mut d.client, &batch).await.owed_again, "2000000");
}
