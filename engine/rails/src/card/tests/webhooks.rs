//! Webhooks: whether they are believed, and what they say.

use super::*;
use crate::status::LegWord;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;
use tallystick_ledger::hearing::{Ground, Place, Statement, Sum};
use tallystick_ledger::limits::WEBHOOK_AGE_MAX;

/// The payload and the vectors below were made by another program:
///
/// ```text
/// import hmac, hashlib
/// payload = (b'{"id":"evt_1","object":"event","created":1795822200,"type":"ping",'
///            b'"data":{"object":{}}}')
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
    verify(payload, header, &secret(), at(offset), WEBHOOK_AGE_MAX)
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
    assert!(
        verify(PAYLOAD, &format!("t={SIGNED_AT},v1={V1_OLD}"), &old, at(0), WEBHOOK_AGE_MAX)
            .is_ok()
    );
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

fn report(kind: &str, object: &Value) -> Report {
    let Meaning::Report(report) = event(kind, object).meaning else { panic!("{kind} is of a leg") };
    *report
}

/// What a report says of the leg that `call` is of, whose payment is known as `reference`.
fn statement(report: &Report, call: &CallBytes, reference: &str) -> Option<Statement> {
    let asset = asset();
    let own = Own { call, asset: &asset, reference, account: "acct_clearing", is_live: false };
    report.statement(&own)
}

fn object(kind: &str, status: &str) -> Value {
    json!({
        "id": "xx_1", "object": kind, "status": status, "amount": 1234, "currency": "eur",
        "metadata": {"leg_key": KEY, "batch": "ab".repeat(32)},
    })
}

#[test]
fn events_of_what_a_call_made_name_the_leg_its_state_and_its_amount() {
    let reversed = {
        let mut reversed = object("transfer", "");
        reversed["reversed"] = json!(true);
        reversed["amount_reversed"] = json!(1234);
        reversed
    };
    let intent = |status| object("payment_intent", status);
    let (money, told) = (Ground::Money, Ground::Report);
    for (kind, object, call, word, ground, reason) in [
        ("payment_intent.succeeded", intent("succeeded"), charge(), LegWord::Confirmed, money, ""),
        ("payment_intent.processing", intent("processing"), charge(), LegWord::Accepted, told, ""),
        (
            "payment_intent.canceled",
            intent("canceled"),
            charge(),
            LegWord::Rejected,
            told,
            "canceled",
        ),
        ("transfer.created", object("transfer", ""), transfer(), LegWord::Confirmed, money, ""),
        ("transfer.reversed", reversed, transfer(), LegWord::Returned, money, "reversed"),
        ("payout.paid", object("payout", "paid"), payout(), LegWord::Confirmed, money, ""),
        ("payout.failed", object("payout", "failed"), payout(), LegWord::Returned, money, "failed"),
    ] {
        let report = report(kind, &object);
        assert_eq!(report.key.as_deref(), Some(KEY), "{kind}");
        assert_eq!(report.batch, Some(BatchId([0xab; 32])));
        let said = statement(&report, &call, "").unwrap();
        assert_eq!((said.word, said.ground), (word, ground), "{kind}");
        assert_eq!((said.sum, said.place), (Sum::Units(Total(12_340_000)), Place::Ours), "{kind}");
        assert_eq!(said.reference, "xx_1");
        assert!(said.reason.contains(reason), "{kind}: {}", said.reason);
    }
}

/// Signed by the right secret, and yet of another currency, sum, object, account or kind: each of
/// these moved the leg, since a sum in another currency counted as none and nothing else was
/// compared.
#[test]
fn what_an_event_is_not_the_legs_own_in_is_said_whatever_it_is() {
    let paid = object("payment_intent", "succeeded");
    let said = |object: &Value, more: Value, reference: &str| {
        let mut event = json!({
            "id": "evt_1", "created": 1, "type": "payment_intent.succeeded",
            "data": {"object": object},
        });
        for (name, value) in more.as_object().unwrap() {
            event[name] = value.clone();
        }
        let event = Event::read(event.to_string().as_bytes()).unwrap();
        let Meaning::Report(report) = event.meaning else { panic!("it is of a leg") };
        statement(&report, &charge(), reference).unwrap()
    };
    let fits =
        |said: &Statement| said.place == Place::Ours && said.sum == Sum::Units(Total(12_340_000));
    assert!(fits(&said(&paid, json!({}), "")));
    assert!(fits(&said(&paid, json!({"account": "acct_clearing", "livemode": true}), "xx_1")));
    for (name, value) in [
        ("currency", json!("usd")),
        ("currency", Value::Null),
        ("amount", json!(1233)),
        ("amount", Value::Null),
        ("id", json!("xx_2")),
        ("id", Value::Null),
        ("object", json!("transfer")),
        ("object", Value::Null),
    ] {
        let mut other = paid.clone();
        other[name] = value;
        assert!(!fits(&said(&other, json!({}), "xx_1")), "{other}");
    }
    assert!(!fits(&said(&paid, json!({"account": "acct_OTHER"}), "xx_1")));
    let transfer = statement(&report("transfer.created", &object("transfer", "")), &charge(), "");
    assert!(!fits(&transfer.unwrap()), "a transfer is no charge");
    // What is only a test moves no real money.
    let (asset, call) = (asset(), charge());
    let own =
        Own { call: &call, asset: &asset, reference: "", account: "acct_clearing", is_live: true };
    let real = report("payment_intent.succeeded", &paid);
    assert!(matches!(real.statement(&own).unwrap().place, Place::Other(_)));
}

#[test]
fn what_was_declined_is_looked_up_and_moves_nothing() {
    let mut failed = object("payment_intent", "requires_payment_method");
    failed["last_payment_error"] = json!({"code": "card_declined"});
    let waits = object("payment_intent", "requires_action");
    for (kind, object) in
        [("payment_intent.payment_failed", failed), ("payment_intent.requires_action", waits)]
    {
        let report = report(kind, &object);
        assert!(matches!(report.says, Says::Ask(_)), "{kind}: {report:?}");
        assert_eq!(statement(&report, &charge(), ""), None);
    }
    // What is not understood is for a person.
    let strange = report("payment_intent.succeeded", &object("payment_intent", "requires_capture"));
    assert!(matches!(strange.says, Says::Notice(_)), "{strange:?}");
}

#[test]
fn a_full_refund_and_a_lost_chargeback_return_the_leg_and_nothing_less_does() {
    let charge_of = |refunded: bool, amount: u64| {
        json!({
            "id": "ch_1", "object": "charge", "amount": 1234, "amount_refunded": amount,
            "currency": "eur", "refunded": refunded, "payment_intent": "pi_1",
            "metadata": {"leg_key": KEY},
        })
    };
    let whole = report("charge.refunded", &charge_of(true, 1234));
    let said = statement(&whole, &charge(), "pi_1").unwrap();
    assert_eq!((whole.key.as_deref(), said.word), (Some(KEY), LegWord::Returned));
    assert_eq!((said.sum, said.place), (Sum::Units(Total(12_340_000)), Place::Ours));
    let other = statement(&whole, &charge(), "pi_2").unwrap();
    assert!(matches!(other.place, Place::Other(_)));
    let part = report("charge.refunded", &charge_of(false, 100)).says;
    assert!(matches!(part, Says::Notice(_)), "{part:?}");

    let dispute = |status: &str, amount: u64| {
        json!({
            "id": "dp_1", "object": "dispute", "amount": amount, "currency": "eur",
            "reason": "fraudulent", "status": status, "payment_intent": "pi_1", "metadata": {},
        })
    };
    let lost = report("charge.dispute.closed", &dispute("lost", 1234));
    // A dispute does not hold the leg's key: the payment's id stands for it.
    assert_eq!((&lost.key, &*lost.payment), (&None, "pi_1"));
    let said = statement(&lost, &charge(), "pi_1").unwrap();
    assert_eq!((said.word, said.sum), (LegWord::Returned, Sum::Units(Total(12_340_000))));
    assert!(said.reason.contains("fraudulent"), "{}", said.reason);
    let part = report("charge.dispute.closed", &dispute("lost", 1000));
    let said = statement(&part, &charge(), "pi_1").unwrap();
    assert_eq!(said.sum, Sum::Units(Total(10_000_000)), "a part of it fits no leg");
    for (kind, status) in [
        ("charge.dispute.created", "needs_response"),
        ("charge.dispute.created", "warning_needs_response"),
        ("charge.dispute.funds_withdrawn", "needs_response"),
        ("charge.dispute.closed", "warning_closed"),
    ] {
        let says = report(kind, &dispute(status, 1234)).says;
        let Says::Notice(text) = says else { panic!("{status}: {says:?}") };
        assert!(text.contains(status), "{text}");
    }
}

/// A refund that failed, or a chargeback that was won after all, was not even logged: the leg
/// stayed RETURNED, and the next batch charged again what the provider held already.
#[test]
fn what_the_provider_holds_after_all_is_told_and_never_passed_over() {
    let refund = |status: &str| {
        json!({
            "id": "re_1", "object": "refund", "amount": 1234, "currency": "eur", "status": status,
            "payment_intent": "pi_1", "charge": "ch_1", "metadata": {},
        })
    };
    for kind in ["refund.failed", "charge.refund.updated", "refund.updated"] {
        for status in ["failed", "canceled"] {
            let report = report(kind, &refund(status));
            assert!(matches!(&report.says, Says::Kept(_)), "{kind} {status}");
            assert_eq!(report.payment, "pi_1");
        }
        assert_eq!(event(kind, &refund("succeeded")).meaning, Meaning::Nothing);
    }
    let dispute = |status: &str| {
        json!({
            "id": "dp_1", "object": "dispute", "amount": 1234, "currency": "eur",
            "reason": "fraudulent", "status": status, "payment_intent": "pi_1",
        })
    };
    for (kind, status) in [
        ("charge.dispute.closed", "won"),
        ("charge.dispute.funds_reinstated", "lost"),
        ("charge.dispute.funds_reinstated", "won"),
    ] {
        let says = report(kind, &dispute(status)).says;
        assert!(matches!(says, Says::Kept(_)), "{kind} {status}: {says:?}");
    }
    // Nobody knows which payment that is: a person finds out.
    for payment in [Value::Null, json!("not an id!")] {
        let mut nameless = dispute("needs_response");
        nameless["payment_intent"] = payment;
        let report = report("charge.dispute.created", &nameless);
        assert_eq!((&report.key, &*report.payment), (&None, ""));
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
        ("refund.failed", json!({"id": "re_1", "status": "failed"})),
        ("payout.paid", json!("no object")),
    ] {
        assert_eq!(event(kind, &object).meaning, Meaning::Nothing, "{kind}");
    }
    for none in ["", "[]", "{}", r#"{"id":"evt_1","created":1}"#, r#"{"id":"evt_1"}"#] {
        assert_eq!(Event::read(none.as_bytes()), None, "{none}");
    }
}

proptest! {
    #[test]
    fn any_header_and_payload_are_an_event_or_an_error(
        header in "(t=|v1=|,|[0-9a-f]|[ -~]){0,40}",
        payload in prop::collection::vec(any::<u8>(), 0..100),
        now in any::<i64>(),
    ) {
        let heard = verify(&payload, &header, &secret(), Timestamp(now), WEBHOOK_AGE_MAX);
        prop_assert!(heard.is_err());
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
        if let Meaning::Report(report) = event(kind, &object).meaning {
            prop_assert!(report.key.as_ref().is_none_or(|key| !key.is_empty()));
            for call in [charge(), transfer(), payout()] {
                let _ = statement(&report, &call, "pi_1");
            }
        }
    }
}
