//! Money that comes back: refunds and chargebacks, told by webhooks.

use crate::world::{
    DEBTOR, WEBHOOK_SECRET, asset, batch, calls, charge, client, now, options, party, reference,
    until, word,
};
use tallystick::ledger::hearing::{Place, Statement, Sum};
use tallystick::limits::WEBHOOK_AGE_MAX;
use tallystick::rails::card::{
    API_VERSION, CallBytes, Event, Found, Meaning, Own, Report, Says, Secret, refund, verify,
};
use tallystick::rails::status::LegWord;
use tallystick::types::Total;
use tallystick_tests::psp::{DisputeEnd, Inbox, Psp};

fn with_inbox(refuse: usize) -> (Psp, Inbox) {
    let inbox = Inbox::start(refuse).unwrap();
    let mut options = options();
    options.hooks.url = Some(inbox.url());
    (Psp::start(options).unwrap(), inbox)
}

/// Everything that has come, checked.
fn events(inbox: &Inbox) -> Vec<Event> {
    let secret = Secret::new(WEBHOOK_SECRET.into());
    let check = |delivery: tallystick_tests::psp::Delivery| {
        verify(&delivery.payload, &delivery.signature, &secret, now(), WEBHOOK_AGE_MAX).unwrap()
    };
    inbox.deliveries().into_iter().map(check).collect()
}

fn reports(inbox: &Inbox) -> Vec<Report> {
    let report = |event: Event| match event.meaning {
        Meaning::Report(report) => Some(*report),
        Meaning::Nothing => None,
    };
    events(inbox).into_iter().filter_map(report).collect()
}

/// What all of them say of the leg of a call whose payment is known as `reference`.
fn said(inbox: &Inbox, call: &CallBytes, reference: &str) -> Vec<Statement> {
    let asset = asset();
    let own = Own { call, asset: &asset, reference, account: "acct_clearing", is_live: false };
    reports(inbox).iter().filter_map(|report| report.statement(&own)).collect()
}

fn returned(said: Vec<Statement>) -> Vec<Statement> {
    said.into_iter().filter(|said| said.word == LegWord::Returned).collect()
}

#[test]
fn a_lost_chargeback_returns_the_leg_and_a_won_one_does_not() {
    for (end, kinds, notices, kept) in [
        (DisputeEnd::Lost, &["charge", "chargeback"][..], 2, 0),
        (DisputeEnd::Won, &["charge"][..], 2, 2),
        (DisputeEnd::LostThenReinstated, &["charge"][..], 2, 1),
    ] {
        let (psp, inbox) = with_inbox(0);
        let (client, call) = (client(&psp), charge());
        let paid = client.send(&call);
        assert_eq!(word(&paid), "confirmed");
        let payment = reference(&paid);
        assert!(psp.dispute(&payment, end, None));
        until("all events were taken", || psp.undelivered() == 0);
        let returned = returned(said(&inbox, &call, &payment));
        assert_eq!(returned.len(), usize::from(end != DisputeEnd::Won), "{end:?}");
        for said in &returned {
            assert_eq!(said.reference, payment, "a dispute knows the payment only");
            assert_eq!((&said.sum, &said.place), (&Sum::Units(Total(12_340_000)), &Place::Ours));
        }
        let count = |is: fn(&Says) -> bool| {
            reports(&inbox).iter().filter(|report| is(&report.says)).count()
        };
        assert_eq!(count(|says| matches!(says, Says::Notice(_))), notices, "{end:?}");
        assert_eq!(count(|says| matches!(says, Says::Kept(_))), kept, "{end:?}");
        let movements: Vec<_> = psp.movements().into_iter().map(|m| m.kind).collect();
        assert_eq!(movements, kinds, "{end:?}");
    }
}

#[test]
fn a_refund_that_does_not_arrive_is_told_as_one_that_the_provider_keeps() {
    let (psp, inbox) = with_inbox(0);
    let client = client(&psp);
    let content = batch(&[party(1, &DEBTOR, 1_234)]);
    let paid = client.send(&calls(&content)[0]);
    let back = refund(&content.legs[0], &content, &reference(&paid), API_VERSION).unwrap();
    let back = client.send(&back);
    assert!(psp.fail_refund(&reference(&back)) && !psp.fail_refund(&reference(&back)));
    until("all events were taken", || psp.undelivered() == 0);
    let kept = reports(&inbox).into_iter().filter(|r| matches!(r.says, Says::Kept(_)));
    let payments: Vec<String> = kept.map(|report| report.payment).collect();
    assert_eq!(payments, [reference(&paid), reference(&paid)]);
    let call = &calls(&content)[0];
    let Found::Leg(answer) = client.lookup(call, "", now()) else { panic!("it is there") };
    assert_eq!(word(&answer), "confirmed", "the charge stands again");
}

/// The customer completes a payment that was declined: not if the leg counts as rejected.
#[test]
fn what_was_rejected_can_be_paid_by_nobody_any_more() {
    for method in ["pm_auth_1", "pm_declined_insufficient_funds_1"] {
        let (psp, inbox) = with_inbox(0);
        let call = calls(&batch(&[party(
            1,
            &[("customer", "cus_1A"), ("payment_method", method)],
            1_234,
        )]));
        let answer = client(&psp).send(&call[0]);
        assert_eq!(word(&answer), "rejected", "{answer:?}");
        assert!(!psp.complete(&reference(&answer)), "{method}");
        assert_eq!(psp.movements(), []);
        until("all events were taken", || psp.undelivered() == 0);
        let said = said(&inbox, &call[0], "");
        assert!(said.iter().all(|said| said.word == LegWord::Rejected) && said.len() == 1);
    }
}

#[test]
fn a_refund_gives_the_charge_back_once_and_lookup_and_webhook_agree() {
    let (psp, inbox) = with_inbox(0);
    let client = client(&psp);
    let content = batch(&[party(1, &DEBTOR, 1_234)]);
    let call = calls(&content).remove(0);
    let paid = client.send(&call);
    let back = refund(&content.legs[0], &content, &reference(&paid), API_VERSION).unwrap();
    for _ in 0..2 {
        assert_eq!(word(&client.send(&back)), "confirmed");
    }
    let Found::Leg(answer) = client.lookup(&back, "", now()) else { panic!("it is there") };
    assert_eq!(word(&answer), "confirmed");
    for known in ["", &reference(&paid)] {
        let Found::Leg(answer) = client.lookup(&call, known, now()) else { panic!("it is there") };
        assert_eq!(word(&answer), "returned");
    }
    until("all events were taken", || psp.undelivered() == 0);
    let returned = returned(said(&inbox, &call, &reference(&paid)));
    let facts: Vec<_> = returned.iter().map(|s| (&*s.reference, &*s.reason, &s.sum)).collect();
    assert_eq!(facts, [(&*reference(&paid), "refunded", &Sum::Units(Total(12_340_000)))]);
    let kinds: Vec<_> = psp.movements().into_iter().map(|movement| movement.kind).collect();
    assert_eq!(kinds, ["charge", "refund"]);
}

#[test]
fn what_is_only_accepted_ends_by_webhook_even_if_the_receiver_was_down() {
    let (psp, inbox) = with_inbox(3);
    let client = client(&psp);
    let parties = [
        party(1, &[("customer", "cus_1A"), ("payment_method", "pm_processing_1")], 100),
        party(2, &[("customer", "cus_2A"), ("payment_method", "pm_processing_fails_2")], 200),
        party(3, &[("payout", "card_3A")], -300),
        party(4, &[("payout", "card_fails4")], -400),
    ];
    let calls = calls(&batch(&parties));
    for call in &calls {
        assert_eq!(word(&client.send(call)), "accepted");
    }
    assert_eq!(psp.movements(), []);
    psp.settle();
    until("all events were taken", || psp.undelivered() == 0);
    // What was declined is asked about, and then given up.
    let words = [Some(LegWord::Confirmed), None, Some(LegWord::Confirmed), Some(LegWord::Returned)];
    let looked = ["confirmed", "rejected", "confirmed", "rejected"];
    for ((call, word_of_hook), word_of_lookup) in calls.iter().zip(words).zip(looked) {
        let own = reports(&inbox).into_iter();
        let own = own.filter(|report| report.key.as_deref() == Some(call.leg_key()));
        let last = own.filter(|report| match (&report.says, word_of_hook) {
            (Says::Word { word, .. }, Some(of_hook)) => *word == of_hook,
            (Says::Ask(_), None) => true,
            (_, _) => false,
        });
        assert_eq!(last.count(), 1);
        let Found::Leg(answer) = client.lookup(call, "", now()) else { panic!("it is there") };
        assert_eq!(word(&answer), word_of_lookup);
    }
    let moved: Vec<_> = psp.movements().into_iter().map(|m| (m.kind, m.amount)).collect();
    assert_eq!(moved, [("charge".to_owned(), 100), ("payout".to_owned(), 300)]);
}
