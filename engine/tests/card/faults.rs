//! One leg and one fault at a time.

use crate::world::{
    DEBTOR, SECRET_KEY, batch, call, calls, charge, client, config, impatient, now, party, psp,
    reference, until, word,
};
use tallystick::rails::card::{Answer, CallBytes, Client, Found, Secret};
use tallystick_tests::psp::Fault;

/// What one attempt with that fault must be taken for, and whether the provider executed it.
fn expected(fault: Fault) -> (&'static str, bool) {
    match fault {
        Fault::RateLimit => ("later", false),
        // The caller cannot see that nothing was executed.
        Fault::DropBefore | Fault::Unavailable => ("unknown", false),
        Fault::SlowBefore
        | Fault::DropAfter
        | Fault::SlowAfter
        | Fault::ErrorAfter
        | Fault::GatewayAfter
        | Fault::BreakAfter => ("unknown", true),
        Fault::Twice => ("confirmed", true),
    }
}

#[test]
fn whatever_fails_the_leg_is_executed_once_and_never_called_what_it_is_not() {
    let payable = [(charge(), "charge"), (call(&[("payout", "acct_2A")], -1_234), "transfer")];
    for fault in Fault::ALL {
        for (call, kind) in payable.clone() {
            let psp = psp();
            let (client, first_sent) = (client(&psp), now());
            let (first, executed) = expected(fault);
            psp.fail_next(&[fault]);
            let slow = matches!(fault, Fault::SlowBefore | Fault::SlowAfter);
            let answer = if slow { impatient(&psp).send(&call) } else { client.send(&call) };
            assert_eq!(word(&answer), first, "{fault:?}: {answer:?}");
            // What is slow is executed while nobody waits for it any more.
            until("executed", || {
                psp.hurry();
                psp.movements().len() == usize::from(executed)
            });
            assert_eq!(psp.movements().len(), usize::from(executed), "{fault:?}");

            let again = client.send(&call);
            match fault {
                // The provider keeps its 500: only a lookup tells.
                Fault::ErrorAfter => assert_eq!(word(&again), "unknown", "{again:?}"),
                Fault::DropBefore
                | Fault::RateLimit
                | Fault::Unavailable
                | Fault::SlowBefore
                | Fault::DropAfter
                | Fault::SlowAfter
                | Fault::GatewayAfter
                | Fault::BreakAfter
                | Fault::Twice => assert_eq!(word(&again), "confirmed", "{fault:?}: {again:?}"),
            }
            let Found::Leg(found) = client.lookup(&call, "", first_sent) else {
                panic!("{fault:?}: it is there")
            };
            assert_eq!(word(&found), "confirmed", "{fault:?}");
            let by_reference = client.lookup(&call, &reference(&found), first_sent);
            assert_eq!(by_reference, Found::Leg(found), "{fault:?}");

            let movements = psp.movements();
            assert_eq!(movements.len(), 1, "{fault:?}: executed once");
            let movement = &movements[0];
            assert_eq!((movement.kind.as_str(), movement.amount), (kind, 1_234));
            assert_eq!((&*movement.leg_key, &*movement.idempotency_key), (call.key(), call.key()));
        }
    }
}

/// On a connection that is kept for the next call, the second answer was read as the next leg's in
/// every other case.
#[test]
fn an_answer_that_comes_twice_is_never_taken_for_the_next_legs() {
    let psp = psp();
    let client = client(&psp);
    let declined = [("customer", "cus_1A"), ("payment_method", "pm_declined_lost_card_1")];
    for number in (1..=20).step_by(2) {
        let parties = [party(number, &DEBTOR, 1_234), party(number + 1, &declined, 1_234)];
        let calls = calls(&batch(&parties));
        psp.fail_next(&[Fault::Twice]);
        assert_eq!(word(&client.send(&calls[0])), "confirmed");
        let next = client.send(&calls[1]);
        assert_eq!(word(&next), "rejected", "{next:?}");
    }
    assert_eq!(psp.movements().len(), 10);
}

#[test]
fn a_leg_that_never_arrived_is_absent() {
    let psp = psp();
    let client = client(&psp);
    let parties = [
        party(1, &DEBTOR, 1_234),
        party(2, &[("payout", "acct_2A")], -1_234),
        party(3, &[("payout", "card_3A")], -1_234),
    ];
    let calls = calls(&batch(&parties));
    for call in &calls {
        psp.fail_next(&[Fault::DropBefore]);
        assert_eq!(word(&client.send(call)), "unknown");
        assert_eq!(client.lookup(call, "", now()), Found::Absent);
    }
    assert_eq!(psp.movements(), []);
    for call in &calls {
        client.send(call).report("").expect("it says what became of the leg");
        assert!(matches!(client.lookup(call, "", now()), Found::Leg(_)));
    }
    psp.settle();
    assert_eq!(psp.movements().len(), 3);
}

#[test]
fn a_lookup_finds_an_old_payment_behind_many_newer_ones_of_the_same_customer() {
    let psp = psp();
    let client = client(&psp);
    let parties: Vec<_> = (1..=230).map(|number| party(number, &DEBTOR, 1_234)).collect();
    let calls = calls(&batch(&parties));
    for call in &calls {
        assert_eq!(word(&client.send(call)), "confirmed");
    }
    for call in [&calls[0], &calls[129], &calls[130], &calls[229]] {
        let Found::Leg(answer) = client.lookup(call, "", now()) else { panic!("it is there") };
        assert_eq!(word(&answer), "confirmed");
    }
    // The same customer, and a leg that was never sent.
    let absent = never_sent();
    assert_eq!(client.lookup(&absent, "", now()), Found::Absent);
}

fn never_sent() -> CallBytes {
    calls(&batch(&[party(999, &DEBTOR, 1_234)])).remove(0)
}

#[test]
fn two_calls_of_one_leg_at_once_are_one_payment() {
    let psp = psp();
    let (client, call) = (client(&psp), charge());
    psp.fail_next(&[Fault::SlowBefore]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| client.send(&call));
        until("the first is running", || psp.running() == 1);
        let second = client.send(&call);
        assert_eq!(word(&second), "later", "{second:?}");
        until("the first ended", || {
            psp.hurry();
            first.is_finished()
        });
        assert_eq!(word(&first.join().unwrap()), "confirmed");
    });
    assert_eq!(word(&client.send(&call)), "confirmed");
    assert_eq!(psp.movements().len(), 1);
}

#[test]
fn a_key_with_other_parameters_raises_the_alarm_and_pays_nothing() {
    let psp = psp();
    let client = client(&psp);
    assert_eq!(word(&client.send(&charge())), "confirmed");
    let other = call(&DEBTOR, 1_235);
    assert_eq!(other.key(), charge().key());
    let answer = client.send(&other);
    assert_eq!(word(&answer), "alarm", "{answer:?}");
    assert_eq!(psp.movements().len(), 1);
}

#[test]
fn declines_reject_the_leg_with_their_code_and_move_nothing() {
    let psp = psp();
    let client = client(&psp);
    for (fields, cents, code) in [
        (
            [("customer", "cus_1A"), ("payment_method", "pm_declined_insufficient_funds_1")],
            1_234,
            "insufficient_funds",
        ),
        (
            [("customer", "cus_1A"), ("payment_method", "pm_declined_lost_card_1")],
            1_235,
            "lost_card",
        ),
        (
            [("customer", "cus_1A"), ("payment_method", "pm_auth_1")],
            1_236,
            "authentication_required",
        ),
        ([("customer", "cus_deleted1"), ("payment_method", "pm_1B")], 1_237, "resource_missing"),
        ([("payout", "acct_closed1"), ("customer", " ")], -1_238, "resource_missing"),
    ] {
        let call = call(&fields, cents);
        let kept = word(&client.send(&call));
        assert_eq!(kept, "rejected", "{code}");
        // The decline is kept under the key.
        let Answer::Rejected { reason, .. } = client.send(&call) else { panic!("{code}") };
        assert!(reason.contains(code), "{reason}");
        assert!(!reason.contains("pm_declined") && !reason.contains("cus_deleted1"), "{reason}");
        // The next leg of the same party has another key; here the key must be forgotten instead.
        psp.forget_keys();
    }
    assert_eq!(psp.movements(), []);
}

#[test]
fn a_wrong_key_or_url_stops_the_rail_and_moves_nothing() {
    let psp = psp();
    let mut wrong_key = config(&psp.url());
    wrong_key.secret_key = Secret::new(format!("{SECRET_KEY}x"));
    let wrong_url = config(&format!("{}/proxy", psp.url()));
    for config in [wrong_key, wrong_url] {
        let client = Client::new(config).unwrap();
        let Answer::Halt { reason } = client.send(&charge()) else { panic!("it stops") };
        assert!(!reason.contains(SECRET_KEY), "{reason}");
        assert!(matches!(client.lookup(&charge(), "", now()), Found::Halt { .. }));
    }
    assert_eq!(psp.movements(), []);
    assert!(!format!("{:?}", client(&psp)).contains(SECRET_KEY));
}
