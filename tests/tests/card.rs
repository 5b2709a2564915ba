//! The rail `card` from outside, where the provider, operators and webhooks contradict each other:
//! nothing leaves that the journal does not say may leave, nothing moves by a word that does not
//! fit, and whatever is in doubt is a trouble that a person must see.

use serde_json::{Value, json};
use tallystick_tests::house::{Charges, House, SMALL, done, refusal};
use tallystick_tests::psp::{DisputeEnd, Fault, FaultOptions};
use tallystick_tests::until;

/// Reads take until the test says `hurry`.
fn slow() -> FaultOptions {
    FaultOptions { slow_reads_millis: 600_000, ..FaultOptions::default() }
}

/// Lets the look-up that is under way come to its end, and all that follow be quick.
fn go_on(house: &House) {
    house.psp.set_faults(FaultOptions::default());
    house.psp.hurry();
}

fn looking(house: &House) {
    until("a look-up is under way", || (house.psp.reading() > 0).then_some(()));
}

/// Both operators say the same of a leg.
fn agreed(house: &House, charges: &Charges, key: &str, word: &str, of: &str) {
    for operator in ["ann", "bob"] {
        let _ = done(&house.resolve(operator, charges, key, word, of));
    }
    assert_eq!(house.state("ann", charges, key), word);
}

fn ended(house: &House, charges: &Charges) -> Value {
    until("the batch has ended", || {
        let report = house.report("ann", charges);
        (report["ended_at_us"] != 0).then_some(report)
    })
}

/// The only trouble about the leg with this key: its kind.
fn kind_of(house: &House, key: &str) -> String {
    let all = house.troubles("ann");
    let mut own = all.iter().filter(|(_, _, text)| text.contains(key));
    let (_, kind, _) = own.next().unwrap_or_else(|| panic!("nothing about {key}: {all:?}"));
    assert!(own.next().is_none(), "{all:?}");
    kind.clone()
}

/// Two operators said what became of two charges while the engine was asking the provider about
/// them: one was paid by hand, the other will not be paid. The provider then answered that it knew
/// neither, and the engine sent both all the same: it had read where they stood before it asked.
#[test]
fn what_operators_have_resolved_while_it_was_looked_up_is_never_sent_again() {
    let house = House::new(&["ann", "bob"]);
    let charges = house.lose("ann", [Fault::DropBefore; 2], slow());
    looking(&house);
    agreed(&house, &charges, &charges.small, "confirmed", "by hand");
    agreed(&house, &charges, &charges.large, "rejected", "");
    let calls = house.psp.calls();
    go_on(&house);
    let report = ended(&house, &charges);
    assert_eq!(report["state"], "settled_with_carry");
    let moved: Vec<_> = house.moved().into_keys().map(|(kind, _)| kind).collect();
    assert_eq!((moved, house.psp.calls()), (vec!["transfer".to_owned()], calls + 1));
    assert_eq!(house.state("ann", &charges, &charges.small), "confirmed");
    assert_eq!(house.state("ann", &charges, &charges.large), "rejected");
}

/// The same where the provider had made the charge: its answer came after the operators' word that
/// it had not, and was dropped without a note. The debtor owed the sum again, and was charged a
/// second time.
#[test]
fn an_answer_that_contradicts_a_resolved_leg_is_a_trouble_and_its_debtor_waits() {
    let house = House::new(&["ann", "bob"]);
    let charges = house.lose("ann", [Fault::DropAfter, Fault::DropBefore], slow());
    looking(&house);
    agreed(&house, &charges, &charges.small, "rejected", "");
    go_on(&house);
    until("somebody is told", || (!house.troubles("ann").is_empty()).then_some(()));
    assert_eq!(kind_of(&house, &charges.small), "contradiction");
    assert_eq!(house.state("ann", &charges, &charges.small), "rejected");
    ended(&house, &charges);
    let report = house.report("ann", &charges).to_string();
    assert!(report.contains(&charges.small), "{report}");

    let _ = done(&house.cli("ann", &["window", "close"]));
    let waits = refusal(&house.create("ann", "2"));
    assert!(waits.contains("in doubt"), "{waits}");
    assert_eq!(house.psp.movements().iter().filter(|one| one.kind == "charge").count(), 2);
    house.ack_all("bob");
    let _ = done(&house.create("ann", "2"));
}

/// Said to be paid by hand, and the provider has paid it as well.
#[test]
fn what_was_paid_by_hand_and_by_the_provider_is_told() {
    let house = House::new(&["ann", "bob"]);
    let charges = house.lose("ann", [Fault::DropAfter, Fault::DropBefore], slow());
    looking(&house);
    agreed(&house, &charges, &charges.small, "confirmed", "by hand");
    go_on(&house);
    until("somebody is told", || (!house.troubles("ann").is_empty()).then_some(()));
    kind_of(&house, &charges.small);
    assert_eq!(house.state("ann", &charges, &charges.small), "confirmed");
}

/// A charge is being made: one operator's word that it was paid came between, and it was paid
/// twice.
#[test]
fn nobody_moves_a_leg_whose_call_is_being_made() {
    let house = House::new(&["ann", "bob"]);
    house.register_all("ann", "pm_0");
    let charges = house.computed("ann");
    let after = FaultOptions { slow_millis: 600_000, ..FaultOptions::default() };
    house.psp.set_faults(after);
    house.psp.fail_next(&[Fault::SlowAfter, Fault::SlowAfter]);
    std::thread::scope(|scope| {
        // The approval waits for the engine, which waits for the provider.
        scope.spawn(|| house.approve("bob", &charges));
        until("the first call is made", || (house.psp.calls() > 0).then_some(()));
        for (key, word) in [(&charges.small, "confirmed"), (&charges.large, "rejected")] {
            let of = ["leg", "report", &charges.batch, "--key", key, "--word", word];
            let args = [&of[..], &["--reason", "somebody thinks so"]].concat();
            let said = refusal(&house.cli("ann", &args));
            assert!(said.contains("wait for the rail's word"), "{said}");
        }
        until("both charges are confirmed", || {
            house.psp.hurry();
            let report = house.report("ann", &charges);
            (report["pay_ins"][0]["state"] == "confirmed" && report["pay_ins"][0]["legs"] == 2)
                .then_some(())
        });
    });
    let charged = house.psp.movements().into_iter().filter(|one| one.kind == "charge");
    assert_eq!(charged.count(), 2);
}

/// The engine made its calls on the thread that does everything else: one that took its time kept
/// webhooks, the chain and a stop waiting for as long.
#[test]
fn a_call_that_takes_its_time_keeps_nothing_else_waiting() {
    let house = House::new(&[]);
    house.register_all("", "pm_0");
    let charges = house.computed("");
    house.hear_webhooks();
    house.psp.set_faults(FaultOptions { slow_millis: 600_000, ..FaultOptions::default() });
    house.psp.fail_next(&[Fault::SlowAfter]);
    house.approve("", &charges);
    until("one charge is confirmed by its webhook", || {
        let report = house.report("", &charges);
        let own = report["pay_ins"].as_array().expect("a list").iter();
        own.clone().any(|of| of["state"] == "confirmed" && of["legs"] == 1).then_some(())
    });
    // Its call has no answer yet, and the engine of this house makes one at a time.
    assert_eq!(house.psp.calls(), 1);
    house.psp.hurry();
    until("the batch has ended", || (house.report("", &charges)["ended_at_us"] != 0).then_some(()));
    let charged = house.psp.movements().into_iter().filter(|one| one.kind == "charge");
    assert_eq!(charged.count(), 2);
    assert!(house.troubles("").is_empty(), "the late answer says nothing new");
}

/// Webhooks that wait for the settler are weighed together: what several of them say of one leg
/// must not be taken for one saying that it was paid several times.
#[test]
fn webhooks_that_come_together_are_heard_one_by_one() {
    let house = House::new(&[]);
    house.register_all("", "pm_processing_0");
    let charges = house.computed("");
    house.approve("", &charges);
    house.until("", &charges, &charges.large, "accepted");
    let payment = house.psp.payment(&charges.large).expect("it was made");
    let paid = with(
        &payment,
        &[("status", json!("succeeded")), ("amount_received", payment["amount"].clone())],
    );
    for _ in 0..8 {
        house.psp.say("payment_intent.succeeded", &paid, &json!({}));
        house.psp.say("payment_intent.processing", &payment, &json!({}));
    }
    assert!(house.psp.undelivered() >= 16, "nobody has taken one");
    house.hear_webhooks();
    heard(&house);
    assert_eq!(house.state("", &charges, &charges.large), "confirmed");
    assert!(house.troubles("").is_empty(), "{:?}", house.troubles(""));
}

/// A charge that waits at the provider, and the payment's object.
fn processing(house: &House) -> (Charges, Value) {
    house.register_all("", "pm_processing_0");
    let charges = house.computed("");
    house.approve("", &charges);
    house.until("", &charges, &charges.large, "accepted");
    house.hear_webhooks();
    let payment = house.psp.payment(&charges.large).expect("it was made");
    (charges, payment)
}

fn with(object: &Value, changes: &[(&str, Value)]) -> Value {
    let mut object = object.clone();
    for (name, value) in changes {
        object[*name] = value.clone();
    }
    object
}

/// Signed with the right secret: of another currency, of no sum at all, of another payment or
/// account, of another kind. Each of them confirmed the charge, and the pay-out left.
#[test]
fn a_webhook_that_does_not_fit_moves_nothing_and_is_told() {
    let house = House::new(&[]);
    let (charges, payment) = processing(&house);
    let paid = with(
        &payment,
        &[("status", json!("succeeded")), ("amount_received", payment["amount"].clone())],
    );
    let none = json!({});
    for (changes, more) in [
        (vec![("currency", json!("usd"))], none.clone()),
        (vec![("amount", json!(1)), ("amount_received", json!(1))], none.clone()),
        (vec![("amount", Value::Null), ("currency", Value::Null)], none.clone()),
        (vec![("id", json!("pi_foreign"))], none.clone()),
        (vec![("object", json!("transfer"))], none.clone()),
        (vec![], json!({"account": "acct_OTHER"})),
    ] {
        let before = house.troubles("").len();
        house.say("payment_intent.succeeded", &with(&paid, &changes), &more);
        let all = house.troubles("");
        assert_eq!(all.len(), before + 1, "{changes:?} {more}: {all:?}");
        let (_, kind, text) = all.last().expect("one more");
        let strange = changes.len() == 2 && changes[0].1.is_null();
        assert_eq!(kind, if strange { "other" } else { "misfit" });
        assert!(text.contains(&charges.large), "{text}");
        assert_eq!(house.state("", &charges, &charges.large), "accepted", "{changes:?} {more}");
    }
    // What is of the leg moves it; the same once more, or told to be still under way, does nothing.
    let before = house.troubles("").len();
    house.say("payment_intent.succeeded", &paid, &none);
    assert_eq!(house.state("", &charges, &charges.large), "confirmed");
    house.say("payment_intent.succeeded", &paid, &none);
    house.say("payment_intent.processing", &payment, &none);
    assert_eq!(house.troubles("").len(), before);
    assert_eq!(house.state("", &charges, &charges.large), "confirmed");
}

/// The card's bank asked for the customer, and the charge was taken for rejected although the
/// customer could still complete it. Now it is given up at the provider first; and if its success
/// is told all the same, the debtor is not charged again before somebody has looked.
#[test]
fn a_declined_charge_is_given_up_and_a_later_success_stops_further_charges() {
    let house = House::new(&[]);
    house.register_all("", "pm_auth_0");
    let charges = house.computed("");
    house.approve("", &charges);
    house.until("", &charges, &charges.large, "rejected");
    house.hear_webhooks();
    let payment = house.psp.payment(&charges.large).expect("it was made");
    assert_eq!(payment["status"], "canceled");
    assert!(!house.psp.complete(payment["id"].as_str().expect("an id")));

    let paid = [
        ("status", json!("succeeded")),
        ("amount_received", payment["amount"].clone()),
        ("last_payment_error", Value::Null),
    ];
    house.say("payment_intent.succeeded", &with(&payment, &paid), &json!({}));
    assert_eq!(kind_of_all(&house, &charges.large), ["contradiction"]);
    house.register_all("", "pm_0");
    until("the batch has ended", || (house.report("", &charges)["ended_at_us"] != 0).then_some(()));
    let _ = done(&house.cli("", &["window", "close"]));
    assert!(refusal(&house.create("", "2")).contains("in doubt"));
    house.ack_all("");
    let _ = done(&house.create("", "2"));
    let charged = house.psp.movements().into_iter().filter(|one| one.kind == "charge");
    assert_eq!(charged.map(|one| one.leg_key).collect::<Vec<_>>(), [charges.small]);
}

fn kind_of_all(house: &House, key: &str) -> Vec<String> {
    let all = house.troubles("").into_iter().filter(|(_, _, text)| text.contains(key));
    all.map(|(_, kind, _)| kind).collect()
}

/// A batch whose charges are confirmed, and the small charge's payment.
fn confirmed(house: &House) -> (Charges, String) {
    house.register_all("", "pm_0");
    let charges = house.computed("");
    house.approve("", &charges);
    house.until("", &charges, &charges.small, "confirmed");
    house.hear_webhooks();
    let payment = house.psp.payment(&charges.small).expect("it was made");
    (charges, payment["id"].as_str().expect("an id").to_owned())
}

fn heard(house: &House) {
    until("every webhook is taken", || (house.psp.undelivered() == 0).then_some(()));
}

/// Given back, and the refund failed: the provider held the charge, the leg stayed RETURNED without
/// a line, and the debtor was charged again. Whichever of the two events comes first.
#[test]
fn a_refund_that_failed_is_a_trouble_and_its_debtor_is_not_charged_again() {
    for failed_first in [false, true] {
        let house = House::new(&[]);
        let (charges, payment) = confirmed(&house);
        let cents = SMALL.parse::<u64>().expect("a sum") / 10_000;
        let charge = json!({
            "id": "ch_1", "object": "charge", "amount": cents, "amount_refunded": cents,
            "refunded": true, "currency": "eur", "payment_intent": payment, "metadata": {},
        });
        let refund = json!({
            "id": "re_1", "object": "refund", "amount": cents, "currency": "eur", "charge": "ch_1",
            "payment_intent": payment, "status": "failed", "metadata": {},
        });
        let mut events = [("charge.refunded", &charge), ("refund.failed", &refund)];
        if failed_first {
            events.reverse();
        }
        for (kind, object) in events {
            house.say(kind, object, &json!({}));
        }
        assert_eq!(house.state("", &charges, &charges.small), "returned", "{failed_first}");
        assert_eq!(kind_of_all(&house, &charges.small), ["contradiction"]);
        let _ = done(&house.cli("", &["window", "close"]));
        assert!(refusal(&house.create("", "2")).contains("in doubt"));
    }
}

/// The provider takes the money when a dispute begins, and may give it back when all seemed lost:
/// log lines, or nothing at all, while the report said that there was nothing to do.
#[test]
fn disputes_are_told_and_what_comes_back_is_not_charged_again() {
    for (end, amount, state, kind) in [
        (DisputeEnd::Lost, None, "returned", "other"),
        (DisputeEnd::Lost, Some(99), "confirmed", "misfit"),
        (DisputeEnd::Won, None, "confirmed", "other"),
    ] {
        let house = House::new(&[]);
        let (charges, payment) = confirmed(&house);
        assert!(house.psp.dispute(&payment, end, amount));
        heard(&house);
        assert_eq!(house.state("", &charges, &charges.small), state, "{end:?}");
        let kinds = kind_of_all(&house, &charges.small);
        assert!(kinds.iter().any(|of| of == kind) && kinds.len() >= 2, "{end:?}: {kinds:?}");
        let report = house.report("", &charges).to_string();
        assert!(report.contains("dp_"), "{report}");
    }
    let house = House::new(&[]);
    let (charges, payment) = confirmed(&house);
    assert!(house.psp.dispute(&payment, DisputeEnd::LostThenReinstated, None));
    heard(&house);
    // In whatever order they came: it is returned and in doubt, or in doubt and not returned.
    let kinds = kind_of_all(&house, &charges.small);
    assert!(kinds.iter().any(|kind| kind == "contradiction"), "{kinds:?}");
    // A dispute of nobody knows which charge.
    let nameless = json!({
        "id": "dp_9", "object": "dispute", "amount": 100, "currency": "eur", "status": "lost",
        "reason": "fraudulent", "payment_intent": null, "charge": "ch_9", "metadata": {},
    });
    house.say("charge.dispute.closed", &nameless, &json!({}));
    assert!(house.troubles("").iter().any(|(_, _, text)| text.contains("names no payment")));
}
