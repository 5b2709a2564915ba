//! What answers mean.

use super::super::answer::{Raw, given_up, read};
use super::super::lookup::{Matches, Page, one, read_one};
use super::super::object::Kind;
use super::*;
use crate::status::LegWord;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

fn raw(status: u16, body: &Value) -> Raw {
    Raw { status, body: body.to_string().into_bytes(), ..Raw::default() }
}

/// The object that a call makes, with that status.
fn object(call: &CallBytes, status: &str) -> Value {
    json!({
        "id": "xx_1", "object": call.kind().name(), "status": status, "amount": 1234,
        "currency": "eur", "metadata": {"leg_key": KEY, "batch": "ab"},
    })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn error(kind: &str, code: &str) -> Value {
    json!({"error": {"type": kind, "code": code, "message": "No such customer: 'cus_1A'"}})
}

/// An answer in one word.
fn word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Accepted { .. } => "accepted",
        Answer::Confirmed { .. } => "confirmed",
        Answer::Open { .. } => "open",
        Answer::Rejected { .. } => "rejected",
        Answer::Returned { .. } => "returned",
        Answer::Unknown { alarm: false, .. } => "unknown",
        Answer::Unknown { alarm: true, .. } => "alarm",
        Answer::Later { .. } => "later",
        Answer::Halt { .. } => "halt",
    }
}

fn says(call: &CallBytes, status: u16, body: &Value) -> &'static str {
    word(&read(call, &raw(status, body)))
}

#[test]
fn the_status_of_what_was_made_decides() {
    let statuses = [
        (charge(), "succeeded", "confirmed"),
        (charge(), "processing", "accepted"),
        (charge(), "requires_action", "open"),
        (charge(), "requires_payment_method", "open"),
        (charge(), "canceled", "rejected"),
        (charge(), "requires_confirmation", "unknown"),
        (charge(), "requires_capture", "unknown"),
        (charge(), "", "unknown"),
        (payout(), "paid", "confirmed"),
        (payout(), "pending", "accepted"),
        (payout(), "in_transit", "accepted"),
        (payout(), "failed", "rejected"),
        (payout(), "canceled", "rejected"),
        (payout(), "flying", "unknown"),
        (transfer(), "", "confirmed"),
        (giving_back(), "succeeded", "confirmed"),
        (giving_back(), "pending", "accepted"),
        (giving_back(), "failed", "rejected"),
        (giving_back(), "?", "unknown"),
    ];
    for (call, status, expected) in statuses {
        assert_eq!(says(&call, 200, &object(&call, status)), expected, "{status}");
    }
}

#[test]
fn what_was_given_back_is_returned() {
    let (charge, transfer) = (charge(), transfer());
    let paid = object(&charge, "succeeded");
    for (refunded, expected) in [(true, "returned"), (false, "confirmed")] {
        let paid = with(paid.clone(), "latest_charge", json!({"id": "ch_1", "refunded": refunded}));
        assert_eq!(says(&charge, 200, &paid), expected);
    }
    let sent = object(&transfer, "");
    for (name, value, expected) in [
        ("reversed", json!(true), "returned"),
        ("amount_reversed", json!(1234), "returned"),
        ("amount_reversed", json!(1233), "confirmed"),
    ] {
        assert_eq!(says(&transfer, 200, &with(sent.clone(), name, value)), expected);
    }
}

#[test]
fn the_http_status_decides_where_nothing_was_made() {
    let invalid = error("invalid_request_error", "parameter_invalid_integer");
    let declined = error("card_error", "card_declined");
    let in_use = error("idempotency_error", "idempotency_key_in_use");
    let missing = error("invalid_request_error", "resource_missing");
    let other_key = error("idempotency_error", "");
    let broken = error("api_error", "");
    for (status, body, expected) in [
        (400, &invalid, "rejected"),
        (402, &declined, "rejected"),
        (400, &declined, "rejected"),
        (404, &missing, "rejected"),
        (400, &missing, "rejected"),
        (400, &other_key, "alarm"),
        (400, &in_use, "later"),
        (409, &in_use, "later"),
        (409, &other_key, "later"),
        (429, &error("rate_limit_error", ""), "later"),
        (429, &json!("no JSON object"), "later"),
        (401, &invalid, "halt"),
        (403, &invalid, "halt"),
        (401, &json!(null), "halt"),
        (404, &invalid, "halt"),
        (404, &json!(null), "halt"),
        // May have been executed, or was not understood.
        (400, &broken, "unknown"),
        (400, &json!({}), "unknown"),
        (402, &json!({"error": "card_error"}), "unknown"),
        (200, &json!("x"), "alarm"),
        (200, &broken, "alarm"),
    ] {
        assert_eq!(says(&charge(), status, body), expected, "{status} {body}");
    }
    let certain = [200, 201, 204, 400, 401, 402, 403, 404, 409, 429];
    for status in (100..=999).filter(|status| !certain.contains(status) && status / 100 != 2) {
        for body in [&invalid, &declined, &object(&charge(), "succeeded")] {
            assert_eq!(says(&charge(), status, body), "unknown", "{status}");
        }
    }
}

#[test]
fn a_broken_answer_leaves_the_leg_unknown() {
    let whole = object(&charge(), "succeeded").to_string().into_bytes();
    for end in 0..whole.len() {
        let cut = Raw { status: 200, body: whole[..end].to_vec(), ..Raw::default() };
        assert_eq!(word(&read(&charge(), &cut)), "unknown", "{end} bytes");
    }
    let twice = Raw { status: 200, body: [whole.clone(), whole].concat(), ..Raw::default() };
    assert_eq!(word(&read(&charge(), &twice)), "unknown");
}

#[test]
fn an_answer_that_is_not_the_legs_own_never_decides_and_raises_the_alarm() {
    let call = charge();
    let paid = object(&call, "succeeded");
    for (name, value) in [
        ("object", json!("transfer")),
        ("id", json!(7)),
        ("id", json!("pi 1")),
        ("amount", json!(1235)),
        ("amount", json!("1234")),
        ("amount", json!(1234.0)),
        ("currency", json!("usd")),
        ("currency", Value::Null),
        ("metadata", json!({"leg_key": "ANOTHERLEG"})),
        ("metadata", json!({})),
        ("metadata", json!([KEY])),
    ] {
        let other = with(paid.clone(), name, value);
        assert_eq!(says(&call, 200, &other), "alarm", "{other}");
    }
    let short = with(paid.clone(), "amount_received", json!(1000));
    assert_eq!(says(&call, 200, &short), "unknown");
    assert_eq!(says(&call, 200, &with(paid.clone(), "currency", json!("EUR"))), "confirmed");

    for (key, expected) in [(KEY, "confirmed"), ("ANOTHERLEG", "alarm")] {
        let echoed = Raw { key: Some(key.into()), ..raw(200, &paid) };
        assert_eq!(word(&read(&call, &echoed)), expected);
    }
    let declined = error("card_error", "card_declined");
    let other = Raw { key: Some("ANOTHERLEG".into()), ..raw(402, &declined) };
    assert_eq!(word(&read(&call, &other)), "alarm");
    for (payment, expected) in [
        (object(&call, "requires_payment_method"), "open"),
        (object(&call, "canceled"), "rejected"),
        (object(&call, "succeeded"), "alarm"),
        (object(&call, "processing"), "alarm"),
        (with(paid, "metadata", json!({"leg_key": "ANOTHERLEG"})), "alarm"),
    ] {
        let mut declined = declined.clone();
        declined["error"]["payment_intent"] = payment;
        assert_eq!(says(&call, 402, &declined), expected);
    }
}

#[test]
fn a_refusal_says_why_in_codes_and_shows_no_token() {
    let mut body = error("card_error", "card_declined");
    body["error"]["decline_code"] = json!("insufficient_funds");
    body["error"]["payment_intent"] = object(&charge(), "requires_payment_method");
    let Answer::Open { reference, reason } = read(&charge(), &raw(402, &body)) else {
        panic!("it can still be paid")
    };
    assert_eq!(reference, "xx_1");
    let expected = "card_error card_declined insufficient_funds: No such customer: 'cus_...'";
    assert_eq!(reason, expected);
}

/// A card's bank asked for its customer. The leg was taken for rejected, and its sum was owed
/// again; then the customer completed that very payment, and was charged a second time with the
/// next batch.
#[test]
fn what_was_declined_is_rejected_only_once_the_provider_has_given_it_up() {
    let call = charge();
    let given = |status: u16, body: &Value| word(&given_up(&call, &raw(status, body), "declined"));
    let canceled = object(&call, "canceled");
    assert_eq!(given(200, &canceled), "rejected");
    let beside = |payment: &Value| {
        let mut body = error("invalid_request_error", "payment_intent_unexpected_state");
        body["error"]["payment_intent"] = payment.clone();
        body
    };
    assert_eq!(given(400, &beside(&canceled)), "rejected", "it was cancelled before");
    for status in ["succeeded", "processing", "requires_action", "requires_payment_method", ""] {
        assert_eq!(given(200, &object(&call, status)), "unknown", "{status}");
        assert_eq!(given(400, &beside(&object(&call, status))), "unknown", "{status}");
    }
    for status in [0, 302, 400, 401, 404, 409, 429, 500, 503] {
        assert_eq!(given(status, &error("api_error", "")), "unknown", "{status}");
    }
    let foreign = with(canceled, "metadata", json!({"leg_key": "ANOTHERLEG"}));
    assert_eq!(given(200, &foreign), "alarm");
}

#[test]
fn waiting_is_as_long_as_the_provider_says_within_bounds() {
    let after = |header: Option<&str>| {
        let raw = Raw { status: 429, retry_after: header.map(str::to_owned), ..Raw::default() };
        let Answer::Later { after, .. } = read(&charge(), &raw) else { panic!("it waits") };
        after.as_secs()
    };
    assert_eq!(after(Some("0")), 0);
    assert_eq!(after(Some(" 17 ")), 17);
    assert_eq!(after(Some("99999999999")), 3_600);
    for unreadable in [None, Some(""), Some("-1"), Some("Wed, 21 Oct 2026 07:28:00 GMT")] {
        assert_eq!(after(unreadable), 5, "{unreadable:?}");
    }
}

#[test]
fn a_payment_that_is_still_being_made_is_not_rejected_by_a_lookup() {
    let call = charge();
    let waiting = object(&call, "requires_payment_method");
    assert_eq!(word(&one(&call, &waiting)), "unknown");
    let failed = with(waiting, "last_payment_error", json!({"code": "card_declined"}));
    assert_eq!(word(&one(&call, &failed)), "open");
    assert_eq!(word(&one(&call, &object(&call, "succeeded"))), "confirmed");
    let other = with(object(&call, "succeeded"), "amount", json!(1));
    assert_eq!(word(&one(&call, &other)), "alarm");
}

#[test]
fn a_reference_that_is_gone_raises_the_alarm_and_a_wrong_url_does_not() {
    let call = charge();
    let word_of = |status, body: &Value| match read_one(&call, &raw(status, body)) {
        Some(Found::Leg(answer)) => word(&answer),
        Some(Found::Absent | Found::Again { .. } | Found::Halt { .. }) | None => "nothing",
    };
    assert_eq!(word_of(200, &object(&call, "succeeded")), "confirmed");
    let missing = error("invalid_request_error", "resource_missing");
    assert_eq!(word_of(404, &missing), "alarm");
    assert_eq!(word_of(404, &error("invalid_request_error", "")), "nothing");
    assert_eq!(word_of(404, &json!(null)), "nothing");
    assert_eq!(word_of(500, &missing), "nothing");
}

fn list(data: &[Value], has_more: bool) -> Value {
    json!({"object": "list", "data": data, "has_more": has_more})
}

#[test]
fn a_list_finds_the_leg_among_others_over_all_pages() {
    let call = charge();
    let own = object(&call, "succeeded");
    let other = with(own.clone(), "metadata", json!({"leg_key": "ANOTHERLEG"}));
    let foreign = with(own.clone(), "metadata", Value::Null);

    let mut matches = Matches::default();
    let page = list(&[other.clone(), with(foreign.clone(), "id", json!("pi_last"))], true);
    assert_eq!(matches.take(&call, page), Page::More("pi_last".into()));
    assert_eq!(matches.verdict(&call), Found::Absent);
    assert_eq!(matches.take(&call, list(&[own.clone(), foreign], false)), Page::Last);
    let confirmed = Answer::Confirmed { reference: "xx_1".into() };
    assert_eq!(matches.verdict(&call), Found::Leg(confirmed));

    // The same leg paid twice: only a person may decide which one stays.
    matches.take(&call, list(&[own, other], false));
    let Found::Leg(answer) = matches.verdict(&call) else { panic!("it is there") };
    assert_eq!(word(&answer), "alarm");
}

#[test]
fn what_is_no_list_proves_nothing() {
    for page in [
        json!(null),
        json!({}),
        json!({"object": "list"}),
        json!({"object": "list", "data": {}}),
        json!({"data": [], "has_more": false}),
        // More, but nothing to go on from.
        list(&[], true),
        list(&[json!({"id": 1})], true),
    ] {
        assert_eq!(Matches::default().take(&charge(), page.clone()), Page::Broken, "{page}");
    }
    assert_eq!(Matches::default().take(&charge(), list(&[], false)), Page::Last);
}

#[test]
fn an_answer_becomes_a_report_only_if_it_says_what_became_of_the_leg() {
    let reference = || "pi_1".to_owned();
    let reason = || "why".to_owned();
    for (answer, expected) in [
        (Answer::Accepted { reference: reference() }, Some(LegWord::Accepted)),
        (Answer::Confirmed { reference: reference() }, Some(LegWord::Confirmed)),
        (Answer::Rejected { reference: reference(), reason: reason() }, Some(LegWord::Rejected)),
        (Answer::Returned { reference: reference(), reason: reason() }, Some(LegWord::Returned)),
        (Answer::Open { reference: reference(), reason: reason() }, None),
        (Answer::Unknown { reason: reason(), alarm: true }, None),
        (Answer::Later { after: Duration::ZERO, reason: reason() }, None),
        (Answer::Halt { reason: reason() }, None),
    ] {
        let report = answer.report(KEY);
        assert_eq!(report.as_ref().map(|report| report.word), expected, "{answer:?}");
        assert!(report.is_none_or(|report| report.key == KEY && report.reference == "pi_1"));
    }
}

/// JSON of any shape, with names and texts that matter here more often than by chance.
fn any_json() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "payment_intent",
        "succeeded",
        "processing",
        "card_error",
        "eur",
        KEY,
        "list",
        "xx_1",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(1234)),
        words.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "id",
        "object",
        "status",
        "amount",
        "currency",
        "metadata",
        "leg_key",
        "error",
        "type",
        "code",
        "payment_intent",
        "last_payment_error",
        "data",
        "has_more",
        "latest_charge",
    ]);
    leaf.prop_recursive(4, 64, 8, move |inner| {
        let object = prop::collection::vec((names.clone(), inner.clone()), 0..8);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|pairs| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    /// Nothing that comes back panics, and nothing is final that is not surely the leg's own.
    #[test]
    fn any_answer_is_read_and_is_final_only_with_the_legs_key(
        status in prop_oneof![Just(200u16), Just(400), Just(402), Just(404), 0u16..1000],
        body in any_json(),
        raw_bytes in prop::collection::vec(any::<u8>(), 0..64),
        as_json: bool,
    ) {
        for call in [charge(), transfer(), payout(), giving_back()] {
            let body = if as_json { body.to_string().into_bytes() } else { raw_bytes.clone() };
            let answer = read(&call, &Raw { status, body: body.clone(), ..Raw::default() });
            let text = String::from_utf8_lossy(&body).into_owned();
            match answer {
                Answer::Confirmed { .. } | Answer::Accepted { .. } | Answer::Returned { .. } => {
                    prop_assert!((200..300).contains(&status) && text.contains(KEY));
                }
                Answer::Rejected { .. } if (200..300).contains(&status) => {
                    prop_assert!(text.contains(KEY));
                }
                Answer::Rejected { .. } => prop_assert!([400, 402, 404].contains(&status)),
                Answer::Open { .. } => prop_assert!(text.contains(KEY) || status >= 400),
                Answer::Unknown { .. } | Answer::Later { .. } | Answer::Halt { .. } => {}
            }
        }
    }

    #[test]
    fn any_page_and_any_object_are_read(body in any_json()) {
        for call in [charge(), transfer(), payout(), giving_back()] {
            let _ = one(&call, &body);
            let mut matches = Matches::default();
            let _ = matches.take(&call, json!({"object": "list", "data": [body.clone()]}));
            let _ = matches.verdict(&call);
        }
        prop_assert_eq!(Kind::ALL.len(), 4);
    }
}
