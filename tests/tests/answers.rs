//! What comes back in files, and what could not leave as one: what is said is weighed whole, what
//! does not fit is a trouble, and nothing leaves that is not to be paid by then.

use std::fs;
use std::path::Path;
use tallystick_tests::Outcome::Credited;
use tallystick_tests::bank::{
    answer, answer_bytes, approve, archive, computed, entry, names, own_account, report, statement,
    told, until,
};
use tallystick_tests::wire::{Batch, BatchState, LegState, LegWord};
use tallystick_tests::{
    Deployment, World, get_batch, iban, legs_at, party_request, refused, request_id, until_batch,
};
use tonic::Code::FailedPrecondition;

/// A statement that lists a return before its payment once left the payee unpaid for ever.
#[tokio::test]
async fn a_return_listed_before_its_payment_is_owed_again_and_so_is_one_behind_it() {
    for back_first in [true, false] {
        let mut d = Deployment::new(1, 1).await;
        let batch = computed(&mut d, 2_000_000).await;
        approve(&mut d.client, &batch).await;
        let key = d.client.legs(&batch).await[0].key.clone();
        let paid = entry("2.00", "DBIT", "R-1", &key, false);
        let back = entry("2.00", "CRDT", "R-2", &key, true);
        let entries = if back_first { [back, paid] } else { [paid, back] };
        let text = statement(&own_account(), &entries);
        assert_eq!(answer(&d.data(), "s.xml", &text).await, ("done", String::new()));
        let ended = get_batch(&mut d.client, &batch).await;
        assert_eq!((legs_at(&ended, LegState::Rejected), &*ended.owed_again), (1, "2000000"));
        // The same again, under another name, is nothing new.
        assert_eq!(answer(&d.data(), "t.xml", &text).await, ("done", String::new()));
    }
}

#[tokio::test]
async fn money_that_does_not_fit_moves_nothing_and_is_a_trouble_until_somebody_looks() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    approve(&mut d.client, &batch).await;
    let key = d.client.legs(&batch).await[0].key.clone();
    let own = own_account();
    let other = iban(77);
    for (number, account, text) in [
        (1, &own, entry("3.00", "DBIT", "R-SUM", &key, false)),
        (2, &own, entry("2.00", "CRDT", "R-WAY", &key, false)),
        (3, &other, entry("2.00", "DBIT", "R-ELSEWHERE", &key, false)),
        (4, &own, entry("2.00", "DBIT", "R-CCY", &key, false).replace("\"EUR\"", "\"USD\"")),
    ] {
        let reference = text.split(['<', '>']).find(|word| word.starts_with("R-")).unwrap();
        let text = statement(account, std::slice::from_ref(&text));
        let (tray, note) = answer(&d.data(), &format!("{number}.xml"), &text).await;
        assert!(tray == "done" && note.contains(reference), "{note}");
        assert!(told(&mut d.client, &batch).await.contains(reference), "{reference}");
    }
    assert_eq!(legs_at(&get_batch(&mut d.client, &batch).await, LegState::Sent), 1);
    let d = d.restart(&[]).await;
    let mut client = d.client;
    assert!(told(&mut client, &batch).await.contains("R-ELSEWHERE"), "it outlives a restart");
}

/// A payment that the bank made twice was once passed over in silence, in one statement and in a
/// later one.
#[tokio::test]
async fn money_that_moves_twice_is_a_trouble_with_the_second_reference() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    approve(&mut d.client, &batch).await;
    let key = d.client.legs(&batch).await[0].key.clone();
    let all = d.client.legs(&batch).await;
    // Said by hand first; the account shows it later.
    d.client.operator.report_legs(report(&batch, &all, LegWord::Confirmed)).await.unwrap();
    let one = |reference: &str| entry("2.00", "DBIT", reference, &key, false);
    let own = own_account();
    let first = statement(&own, &[one("R-1")]);
    assert_eq!(answer(&d.data(), "1.xml", &first).await, ("done", String::new()));
    assert_eq!(answer(&d.data(), "again.xml", &first).await, ("done", String::new()));
    let (_, note) = answer(&d.data(), "2.xml", &statement(&own, &[one("R-2")])).await;
    assert!(note.contains("R-2"), "{note}");
    let told = told(&mut d.client, &batch).await;
    assert!(told.contains("R-2") && !told.contains("R-1)"), "{told}");
    assert_eq!(legs_at(&get_batch(&mut d.client, &batch).await, LegState::Confirmed), 1);
}

#[tokio::test]
async fn an_answer_that_is_refused_is_a_trouble_and_keeps_no_other_waiting() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    approve(&mut d.client, &batch).await;
    let key = d.client.legs(&batch).await[0].key.clone();
    assert_eq!(answer(&d.data(), "bad.xml", "<x/>").await.0, "refused");
    assert!(told(&mut d.client, &batch).await.contains("bad.xml"));
    // Nothing can be refused any more: what is to be waits, and says so.
    let inbox = d.data().join("inbox/iso20022");
    fs::rename(inbox.join("refused"), inbox.join(".away")).unwrap();
    std::os::unix::fs::symlink("nowhere", inbox.join("refused")).unwrap();
    fs::write(inbox.join("a-bad.xml"), "<x/>").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", inbox.join("link.xml")).unwrap();
    let text = statement(&own_account(), &[entry("2.00", "DBIT", "R-1", &key, false)]);
    assert_eq!(answer(&d.data(), "b-good.xml", &text).await, ("done", String::new()));
    assert_eq!(legs_at(&get_batch(&mut d.client, &batch).await, LegState::Confirmed), 1);
    let told = until("the trouble", async || {
        let told = told(&mut d.client, &batch).await;
        (told.contains("a-bad.xml") && told.contains("link.xml")).then_some(told)
    });
    told.await;
    fs::remove_file(inbox.join("refused")).unwrap();
    fs::rename(inbox.join(".away"), inbox.join("refused")).unwrap();
    until("the tray", async || inbox.join("refused/a-bad.xml").exists().then_some(())).await;
}

/// What stands in the way of a batch's first file: a folder of its name. Even root cannot move a
/// file there.
fn obstacle(data: &Path, batch: &Batch) -> std::path::PathBuf {
    let id: String = batch.batch_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = data.join(format!("outbox/iso20022/{}.0.pain.001.xml", &id[..16]));
    fs::create_dir_all(folder.join("in-the-way")).unwrap();
    folder
}

/// A file that could not be moved into the outbox was once forgotten until the next start, without
/// a trouble.
#[tokio::test]
async fn a_file_that_cannot_leave_is_a_trouble_until_it_has_and_leaves_without_a_restart() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    let folder = obstacle(&d.data(), &batch);
    let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
    approve(&mut d.client, &batch).await;
    let legs = d.client.legs(&batch).await;
    assert_eq!(legs[0].state(), LegState::Sent);
    until("the trouble", async || told(&mut d.client, &batch).await.contains(&name).then_some(()))
        .await;
    let ask = report(&batch, &legs, LegWord::Confirmed);
    refused(d.client.operator.report_legs(ask).await, FailedPrecondition, "has not left");
    // Nor can the bank say anything of it.
    let text = statement(&own_account(), &[entry("2.00", "DBIT", "R-1", &legs[0].key, false)]);
    assert!(answer(&d.data(), "s.xml", &text).await.1.contains("has not left"));
    fs::remove_dir_all(&folder).unwrap();
    until("the file", async || folder.is_file().then_some(())).await;
    until("its end", async || {
        (!told(&mut d.client, &batch).await.contains("cannot leave")).then_some(())
    })
    .await;
    assert_eq!(names(&d.data().join("outbox/iso20022")), [name]);
    let ask = report(&batch, &legs, LegWord::Confirmed);
    d.client.operator.report_legs(ask).await.unwrap();
}

/// A file that could not leave once left at the next start although its legs had been paid again.
#[tokio::test]
async fn a_file_that_was_withdrawn_never_leaves_and_what_it_held_is_paid_once() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    let folder = obstacle(&d.data(), &batch);
    approve(&mut d.client, &batch).await;
    let legs = d.client.legs(&batch).await;
    d.client.operator.report_legs(report(&batch, &legs, LegWord::Rejected)).await.unwrap();
    let ended = until_batch(&mut d.client, &batch, |b| b.ended_at_us > 0).await;
    assert_eq!((ended.state(), &*ended.owed_again), (BatchState::SettledWithCarry, "2000000"));
    let window = d.client.close_window().await.number;
    let second = d.client.create_batch(&[window], World::PAIRS).await.unwrap();
    approve(&mut d.client, &second).await;
    fs::remove_dir_all(&folder).unwrap();
    let d = d.restart(&[]).await;
    let mut client = d.client;
    until_batch(&mut client, &second, |b| legs_at(b, LegState::Sent) == 1).await;
    let outbox = d.dir.path().join("data/outbox/iso20022");
    assert_eq!(names(&outbox).len(), 1, "{:?}", names(&outbox));
    assert!(names(&outbox.join(".staging")).is_empty());
}

async fn suspend(d: &mut Deployment, suspended: bool) {
    let mut request = party_request(d.world.payees[0], 1_001);
    request.request_id = request_id("suspend");
    request.party.as_mut().unwrap().suspended = suspended;
    d.client.operator.upsert_party(request).await.unwrap();
}

/// A payee that was suspended after the window had closed was once paid, and nothing said so.
#[tokio::test]
async fn a_suspended_payee_is_not_paid_before_it_is_resumed_and_the_batch_says_why() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    suspend(&mut d, true).await;
    approve(&mut d.client, &batch).await;
    assert_eq!(legs_at(&get_batch(&mut d.client, &batch).await, LegState::Ready), 1);
    assert!(told(&mut d.client, &batch).await.contains("suspended"));
    let mut d = d.restart(&[]).await;
    until("the word", async || {
        told(&mut d.client, &batch).await.contains("suspended").then_some(())
    })
    .await;
    assert!(names(&d.data().join("outbox/iso20022")).is_empty());
    suspend(&mut d, false).await;
    until_batch(&mut d.client, &batch, |b| legs_at(b, LegState::Sent) == 1).await;
    until("its end", async || {
        (!told(&mut d.client, &batch).await.contains("suspended")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_a_suspended_payee_can_be_given_up_and_is_owed_again() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    approve(&mut d.client, &batch).await;
    let legs = d.client.legs(&batch).await;
    d.client.operator.report_legs(report(&batch, &legs, LegWord::Confirmed)).await.unwrap();
    assert_eq!(d.client.pay(&[d.world.voucher(0, 0, 0, 5_000_000)]).await, [Credited]);
    let window = d.client.close_window().await.number;
    let next = d.client.create_batch(&[window], World::PAIRS).await.unwrap();
    suspend(&mut d, true).await;
    approve(&mut d.client, &next).await;
    let legs = d.client.legs(&next).await;
    let ask = report(&next, &legs, LegWord::Confirmed);
    refused(d.client.operator.report_legs(ask).await, FailedPrecondition, "READY");
    d.client.operator.report_legs(report(&next, &legs, LegWord::Rejected)).await.unwrap();
    let ended = until_batch(&mut d.client, &next, |b| b.ended_at_us > 0).await;
    assert_eq!((ended.state(), &*ended.owed_again), (BatchState::SettledWithCarry, "3000000"));
}

/// A bank told one debtor's payments in two parts with another one's between: the first part had
/// a payment that it did not name and took on, and the second one rejected them all. What was taken
/// on was owed again, and paid twice.
#[tokio::test]
async fn a_word_for_many_that_does_not_hold_in_one_part_holds_in_none() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    approve(&mut d.client, &batch).await;
    let id: String = batch.batch_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let block = |id: &str, inner: &str| {
        format!(
            "<OrgnlPmtInfAndSts><OrgnlPmtInfId>{id}</OrgnlPmtInfId><PmtInfSts>RJCT</PmtInfSts>{inner}\
             </OrgnlPmtInfAndSts>"
        )
    };
    let own = format!("{}-1", &id[..24]);
    let unnamed = "<TxInfAndSts><TxSts>ACSP</TxSts></TxInfAndSts>";
    let report = |parts: &[String]| {
        format!(
            "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.002.001.10\"><CstmrPmtStsRpt><GrpHdr>\
             <MsgId>B</MsgId><CreDtTm>2026-11-30T08:00:00</CreDtTm></GrpHdr><OrgnlGrpInfAndSts>\
             <OrgnlMsgId>{}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId></OrgnlGrpInfAndSts>\
             {}</CstmrPmtStsRpt></Document>",
            &id[..32],
            parts.concat()
        )
    };
    let (first, other, last) = (block(&own, unnamed), block("A-1", ""), block(&own, ""));
    for (name, parts) in [("1.xml", [&first, &other, &last]), ("2.xml", [&last, &other, &first])] {
        let (tray, note) = answer(&d.data(), name, &report(&parts.map(Clone::clone))).await;
        assert!(tray == "done" && note.contains("nothing moves by that"), "{note}");
        assert_eq!(legs_at(&get_batch(&mut d.client, &batch).await, LegState::Sent), 1, "{name}");
    }
    answer(&d.data(), "3.xml", &report(&[other, last])).await;
    assert_eq!(legs_at(&get_batch(&mut d.client, &batch).await, LegState::Rejected), 1);
}

/// Banks deliver a day's files in an archive: it was refused as "not UTF-8", and so was one in
/// which a single file was of no use.
#[tokio::test]
async fn every_file_of_an_archive_is_an_answer_of_its_own() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    approve(&mut d.client, &batch).await;
    let key = d.client.legs(&batch).await[0].key.clone();
    let good = statement(&own_account(), &[entry("2.00", "DBIT", "R-1", &key, false)]);
    let day = archive(&[("bad.xml", "<x/>"), ("days/good.xml", &good), ("days/day.pdf", "%")]);
    let (tray, note) = answer_bytes(&d.data(), "day.zip", &day).await;
    assert!(tray == "done" && note.starts_with("bad.xml: "), "{note}");
    assert_eq!(legs_at(&get_batch(&mut d.client, &batch).await, LegState::Confirmed), 1);
    assert!(told(&mut d.client, &batch).await.contains("day.zip/bad.xml"));
    let cut = &day[..day.len() - 9];
    assert_eq!(answer_bytes(&d.data(), "cut.zip", cut).await.0, "refused");
    // Hundreds of files that are none are one trouble more, and keep the answer among them not.
    let names: Vec<String> = (0..300).map(|number| format!("{number}.sta")).collect();
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (&**name, ":20:X")).collect();
    files.push(("good.xml", &good));
    let (tray, note) = answer_bytes(&d.data(), "many.zip", &archive(&files)).await;
    assert!(tray == "done" && note.lines().count() == 300, "{note}");
    assert!(told(&mut d.client, &batch).await.contains("290 more files of the archive many.zip"));
    let (tray, note) = answer_bytes(&d.data(), "none.zip", &archive(&[])).await;
    assert!(tray == "refused" && note.contains("no file to read"), "{note}");
}

/// Which account it was, only the file itself said.
#[tokio::test]
async fn an_account_that_is_not_ours_is_told_in_full_beside_the_answer_and_nowhere_else() {
    let mut d = Deployment::new(1, 1).await;
    let batch = computed(&mut d, 2_000_000).await;
    approve(&mut d.client, &batch).await;
    let key = d.client.legs(&batch).await[0].key.clone();
    let account = "DE02100100100006820101";
    let text = statement(account, &[entry("2.00", "DBIT", "R-1", &key, false)]);
    let (tray, note) = answer_bytes(&d.data(), "day.xml", text.as_bytes()).await;
    assert!(tray == "done" && note.contains(account), "{note}");
    let told = told(&mut d.client, &batch).await;
    assert!(told.contains("ends in 0101") && !told.contains(account), "{told}");
    assert_eq!(legs_at(&get_batch(&mut d.client, &batch).await, LegState::Confirmed), 0);
}
