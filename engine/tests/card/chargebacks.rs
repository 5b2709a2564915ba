//! Money that comes back: refunds and chargebacks, told by webhooks.

use crate::world::{
    DEBTOR, WEBHOOK_SECRET, asset, batch, calls, charge, client, now, options, party, reference,
    until, word,
};
use tallystick::rails::card::{
    API_VERSION, Event, Found, Meaning, Secret, TOLERANCE, refund, verify,
};
use tallystick::rails::status::{LegReport, LegWord};
use tallystick::types::Total;
use tallystick_tests::psp::{Inbox, Psp};

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
        verify(&delivery.payload, &delivery.signature, &secret, now(), TOLERANCE).unwrap()
    };
    inbox.deliveries().into_iter().map(check).collect()
}

fn reports(inbox: &Inbox) -> Vec<LegReport> {
    let report = |event: Event| match event.meaning {
        Meaning::Leg(report) => Some(report.in_asset(&asset())),
        Meaning::Notice(_) | Meaning::Nothing => None,
    };
    events(inbox).into_iter().filter_map(report).collect()
}

#[test]
fn a_lost_chargeback_returns_the_leg_and_a_won_one_does_not() {
    for lost in [true, false] {
        let (psp, inbox) = with_inbox(0);
        let client = client(&psp);
        let paid = client.send(&charge());
        assert_eq!(word(&paid), "confirmed");
        assert!(psp.dispute(&reference(&paid), lost));
        until("all events were taken", || psp.undelivered() == 0);
        let returned: Vec<_> =
            reports(&inbox).into_iter().filter(|r| r.word == LegWord::Returned).collect();
        let movements: Vec<_> = psp.movements().into_iter().map(|m| m.kind).collect();
        let notices =
            events(&inbox).into_iter().filter(|e| matches!(e.meaning, Meaning::Notice(_)));
        if lost {
            assert_eq!(returned.len(), 1);
            assert_eq!(returned[0].key, reference(&paid), "a dispute knows the payment only");
            assert_eq!(returned[0].amount, Some(Total(12_340_000)));
            assert_eq!(
                (movements, notices.count()),
                (vec!["charge".into(), "chargeback".into()], 1)
            );
        } else {
            assert_eq!(returned, []);
            assert_eq!((movements, notices.count()), (vec!["charge".to_owned()], 2));
        }
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
    let returned = reports(&inbox).into_iter().filter(|report| report.word == LegWord::Returned);
    assert!(returned.eq([LegReport {
        key: call.leg_key().to_owned(),
        word: LegWord::Returned,
        reference: reference(&paid),
        reason: "refunded".into(),
        amount: Some(Total(12_340_000)),
    }]));
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
    let words = [LegWord::Confirmed, LegWord::Rejected, LegWord::Confirmed, LegWord::Rejected];
    let looked = ["confirmed", "rejected", "confirmed", "rejected"];
    for ((call, word_of_hook), word_of_lookup) in calls.iter().zip(words).zip(looked) {
        let last = |report: &LegReport| report.key == call.leg_key() && report.word == word_of_hook;
        assert_eq!(reports(&inbox).iter().filter(|report| last(report)).count(), 1);
        let Found::Leg(answer) = client.lookup(call, "", now()) else { panic!("it is there") };
        assert_eq!(word(&answer), word_of_lookup);
    }
    let moved: Vec<_> = psp.movements().into_iter().map(|m| (m.kind, m.amount)).collect();
    assert_eq!(moved, [("charge".to_owned(), 100), ("payout".to_owned(), 300)]);
}
