//! Webhooks: whether they are believed, and what they say.

use super::*;
use crate::rails::status::{LegReport, LegWord};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

/// The payload and the vectors below were made by another program:
///
/// ```text
/// import hmac, hashlib
/// payload = b'{"id":"evt_1","object":"event","created":1795822200,"type":"ping","data":{"object":{}}}'
/// for secret in (b"whsec_test_secret", b"whsec_old"):
///     print(hmac.new(secret, b"1795822245." + payload, hashlib.sha256).hexdigest())
/// ```
const PAYLOAD: &[u8] =
    br#"{"id":"evt_1","object":"event","created":1795822200,"type":"ping","data":{"object":{}}}"#;
const SIGNED_AT: i64 = 1_795_822_245;
const V1: &str = "bc583c0822110a8f78d858f243831cb860a0daa22a3cd6ea4edfb0c56b6cce25";
const V1_OLD: &str = "fd00ab95c67565209d81976e26d2d0623d799fc35e58bd955432e565f1d7098e";

fn secret() -> Secret {
    Secret::new("whsec_test_secret".into())
}

fn at(offset: i64) -> Timestamp {
    Timestamp((SIGNED_AT + offset) * 1_000_000)
}

fn check(payload: &[u8], header: &str, offset: i64) -> Result<Event, WebhookError> {
    verify(payload, header, &secret(), at(offset), TOLERANCE)
}

#[test]
fn signatures_of_another_program_are_accepted() {
    let good = format!("t={SIGNED_AT},v1={V1}");
    let event = check(PAYLOAD, &good, 0).unwrap();
    assert_eq!((&*event.id, event.created, &*event.kind), ("evt_1", 1_795_822_200, "ping"));
    assert_eq!(event.meaning, Meaning::Nothing);
    // While a secret is rolled there are two; v0 is of test events.
    let rolled = format!("t={SIGNED_AT},v1={V1_OLD}, v1={},v0=00", V1.to_uppercase());
    assert!(check(PAYLOAD, &rolled, 0).is_ok());
    let old = Secret::new("whsec_old".into());
    assert!(verify(PAYLOAD, &format!("t={SIGNED_AT},v1={V1_OLD}"), &old, at(0), TOLERANCE).is_ok());
}

#[test]
fn what_the_provider_did_not_sign_is_not_believed() {
    let good = format!("t={SIGNED_AT},v1={V1}");
    for at in 0..PAYLOAD.len() {
        let mut payload = PAYLOAD.to_vec();
        payload[at] ^= 1;
        assert_eq!(check(&payload, &good, 0), Err(WebhookError::Signature), "byte {at}");
    }
    for (header, error) in [
        (format!("t={},v1={V1}", SIGNED_AT + 1), WebhookError::Signature),
        (format!("t=0{SIGNED_AT},v1={V1}"), WebhookError::Signature),
        (format!("t={SIGNED_AT},v1={V1_OLD}"), WebhookError::Signature),
        (format!("t={SIGNED_AT},v1={}", &V1[2..]), WebhookError::Signature),
        (format!("t={SIGNED_AT},v1="), WebhookError::Signature),
        (format!("t={SIGNED_AT},v0={V1}"), WebhookError::Signature),
        (format!("t={SIGNED_AT}"), WebhookError::Signature),
        (format!("v1={V1}"), WebhookError::Header),
        (format!("t={SIGNED_AT},t={SIGNED_AT},v1={V1}"), WebhookError::Header),
        (format!("t=-1,v1={V1}"), WebhookError::Header),
        (format!("t={SIGNED_AT},v1=xyz"), WebhookError::Header),
        (format!("t={SIGNED_AT}{}", format!(",v1={V1_OLD}").repeat(9)), WebhookError::Header),
        (String::new(), WebhookError::Header),
        ("nonsense".into(), WebhookError::Header),
    ] {
        assert_eq!(check(PAYLOAD, &header, 0), Err(error), "{header}");
    }
    let large = vec![b' '; (1 << 20) + 1];
    assert_eq!(check(&large, &good, 0), Err(WebhookError::TooLarge(large.len())));
}

#[test]
fn an_old_webhook_sent_again_is_not_believed() {
    let good = format!("t={SIGNED_AT},v1={V1}");
    for (offset, expected) in [(300, None), (-300, None), (301, Some(301)), (-301, Some(-301))] {
        let error = expected.map(WebhookError::Time);
        assert_eq!(check(PAYLOAD, &good, offset).err(), error, "{offset}");
    }
    assert!(verify(PAYLOAD, &good, &secret(), at(9_000), Duration::from_secs(9_000)).is_ok());
}

fn event(kind: &str, object: &Value) -> Event {
    let event = json!({
        "id": "evt_1", "object": "event", "created": 1_795_822_200, "type": kind,
        "data": {"object": object},
    });
    Event::read(event.to_string().as_bytes()).unwrap()
}

fn report(kind: &str, object: &Value) -> LegReport {
    let Meaning::Leg(report) = event(kind, object).meaning else { panic!("{kind} is of a leg") };
    report.in_asset(&asset())
}

fn object(kind: &str, status: &str) -> Value {
    json!({
        "id": "xx_1", "object": kind, "status": status, "amount": 1234, "currency": "eur",
        "metadata": {"leg_key": KEY},
    })
}

#[test]
fn events_of_what_a_call_made_name_the_leg_its_state_and_its_amount() {
    let failed = {
        let mut failed = object("payment_intent", "requires_payment_method");
        failed["last_payment_error"] =
            json!({"code": "card_declined", "decline_code": "lost_card"});
        failed
    };
    let reversed = {
        let mut reversed = object("transfer", "");
        reversed["reversed"] = json!(true);
        reversed
    };
    let intent = |status| object("payment_intent", status);
    for (kind, object, word, reason) in [
        ("payment_intent.succeeded", intent("succeeded"), LegWord::Confirmed, ""),
        ("payment_intent.processing", intent("processing"), LegWord::Accepted, ""),
        ("payment_intent.payment_failed", failed, LegWord::Rejected, "lost_card"),
        ("payment_intent.canceled", intent("canceled"), LegWord::Rejected, "canceled"),
        ("transfer.created", object("transfer", ""), LegWord::Confirmed, ""),
        ("transfer.reversed", reversed, LegWord::Returned, "reversed"),
        ("payout.paid", object("payout", "paid"), LegWord::Confirmed, ""),
        ("payout.failed", object("payout", "failed"), LegWord::Rejected, "failed"),
    ] {
        let report = report(kind, &object);
        assert_eq!((&*report.key, report.word), (KEY, word), "{kind}");
        assert_eq!(report.reference, "xx_1");
        assert_eq!(report.amount, Some(Total(12_340_000)), "{kind}");
        assert!(report.reason.contains(reason), "{kind}: {}", report.reason);
    }
}

#[test]
fn a_full_refund_and_a_lost_chargeback_return_the_leg_and_nothing_less_does() {
    let charge = |refunded: bool, amount: u64| {
        json!({
            "id": "ch_1", "object": "charge", "amount": 1234, "amount_refunded": amount,
            "currency": "eur", "refunded": refunded, "payment_intent": "pi_1",
            "metadata": {"leg_key": KEY},
        })
    };
    let whole = report("charge.refunded", &charge(true, 1234));
    assert_eq!((whole.key.as_str(), whole.word), (KEY, LegWord::Returned));
    assert_eq!((&*whole.reference, whole.amount), ("pi_1", Some(Total(12_340_000))));
    let part = event("charge.refunded", &charge(false, 100)).meaning;
    assert!(matches!(part, Meaning::Notice(_)), "{part:?}");

    let dispute = |status: &str| {
        json!({
            "id": "dp_1", "object": "dispute", "amount": 1234, "currency": "eur",
            "reason": "fraudulent", "status": status, "payment_intent": "pi_1", "metadata": {},
        })
    };
    let lost = report("charge.dispute.closed", &dispute("lost"));
    // A dispute does not hold the leg's key: the payment's id stands for it.
    assert_eq!((lost.key.as_str(), lost.word), ("pi_1", LegWord::Returned));
    assert_eq!(lost.amount, Some(Total(12_340_000)));
    assert!(lost.reason.contains("fraudulent"), "{}", lost.reason);
    for (kind, status) in [
        ("charge.dispute.created", "needs_response"),
        ("charge.dispute.created", "warning_needs_response"),
        ("charge.dispute.closed", "won"),
        ("charge.dispute.closed", "warning_closed"),
    ] {
        let meaning = event(kind, &dispute(status)).meaning;
        let Meaning::Notice(text) = meaning else { panic!("{status}: {meaning:?}") };
        assert!(text.contains(status) && text.contains("pi_1"), "{text}");
    }
}

#[test]
fn events_about_others_say_nothing() {
    let mut foreign = object("payment_intent", "succeeded");
    foreign["metadata"] = json!({});
    for (kind, object) in [
        ("payment_intent.succeeded", foreign),
        ("payment_intent.created", object("payment_intent", "processing")),
        ("customer.created", object("customer", "")),
        ("charge.refunded", json!({"id": "ch_1", "refunded": true})),
        ("charge.dispute.closed", json!({"id": "dp_1", "status": "lost"})),
        ("payout.paid", json!("no object")),
    ] {
        assert_eq!(event(kind, &object).meaning, Meaning::Nothing, "{kind}");
    }
    for none in ["", "[]", "{}", r#"{"id":"evt_1","created":1}"#, r#"{"id":"evt_1"}"#] {
        assert_eq!(Event::read(none.as_bytes()), None, "{none}");
    }
}

#[test]
fn an_amount_in_another_currency_is_no_amount_and_says_so() {
    let mut paid = object("payment_intent", "succeeded");
    paid["currency"] = json!("usd");
    let report = report("payment_intent.succeeded", &paid);
    assert_eq!(report.amount, None);
    assert!(report.reason.contains("1234 units of USD"), "{}", report.reason);
}

proptest! {
    #[test]
    fn any_header_and_payload_are_an_event_or_an_error(
        header in "(t=|v1=|,|[0-9a-f]|[ -~]){0,40}",
        payload in prop::collection::vec(any::<u8>(), 0..100),
        now in any::<i64>(),
    ) {
        prop_assert!(verify(&payload, &header, &secret(), Timestamp(now), TOLERANCE).is_err());
        let _ = Event::read(&payload);
    }

    #[test]
    fn any_object_of_any_event_is_read(
        kind in prop::sample::select(vec![
            "payment_intent.succeeded", "transfer.reversed", "payout.failed", "charge.refunded",
            "charge.dispute.closed",
        ]),
        status in "[a-z_]{0,24}",
        amount in any::<u64>(),
        key in any::<String>(),
        currency in any::<String>(),
    ) {
        let object = json!({
            "id": "xx_1", "status": status, "amount": amount, "currency": currency,
            "metadata": {"leg_key": key}, "refunded": true, "payment_intent": "pi_1",
        });
        if let Meaning::Leg(report) = event(kind, &object).meaning {
            let report = report.in_asset(&asset());
            prop_assert!(!report.key.is_empty());
        }
    }
}
