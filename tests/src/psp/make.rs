//! What a call makes: payment intents, transfers, payouts, refunds; and what becomes of them later.
//!
//! Owns the rules of the provider: which parameters there are, which tokens are declined. Changes
//! nothing itself: it gives one `Entry` that does.

use super::books::{Books, Entry, Movement, id_of};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Parameters by name.
pub type Form = BTreeMap<String, String>;

/// What a call comes to.
pub struct Outcome {
    pub status: u16,
    pub body: Value,
    /// What changes; `None` where nothing began to be executed, so that no answer is kept.
    pub entry: Option<Entry>,
}

/// Decline codes that a token can ask for: `pm_declined_<code>_...`.
const DECLINES: [&str; 6] = [
    "insufficient_funds",
    "lost_card",
    "expired_card",
    "do_not_honor",
    "fraudulent",
    "generic_decline",
];
/// Smallest charge in the API's units, for the currencies that tests use.
const LEAST: u64 = 30;
const MOST: u64 = 99_999_999;

/// Parameters of each kind of call, besides `metadata[...]`.
const OF_PAYMENT_INTENTS: [&str; 9] = [
    "amount",
    "confirm",
    "currency",
    "customer",
    "description",
    "off_session",
    "payment_method",
    "payment_method_types[0]",
    "transfer_group",
];
const OF_TRANSFERS: [&str; 5] =
    ["amount", "currency", "description", "destination", "transfer_group"];
const OF_PAYOUTS: [&str; 5] = ["amount", "currency", "description", "destination", "method"];
const OF_REFUNDS: [&str; 3] = ["amount", "payment_intent", "reason"];

/// Executes a call.
pub fn execute(books: &mut Books, path: &str, form: &Form, key: &str, now: u64) -> Outcome {
    let made = match path {
        "/v1/payment_intents" => payment_intent(books, form, key, now),
        "/v1/transfers" => transfer(books, form, key, now),
        "/v1/payouts" => payout(books, form, now),
        "/v1/refunds" => refund(books, form, key, now),
        _ => match cancelled(path) {
            Some(intent) => cancel(books, intent, form, now),
            None => Err(refused(404, "", "", "Unrecognized request URL")),
        },
    };
    made.unwrap_or_else(|refused| *refused)
}

type Made = Result<Outcome, Box<Outcome>>;

/// A refusal before anything is executed.
fn refused(status: u16, code: &str, param: &str, message: &str) -> Box<Outcome> {
    let error = json!({
        "type": "invalid_request_error", "code": code, "param": param, "message": message,
    });
    Box::new(Outcome { status, body: json!({"error": error}), entry: None })
}

fn payment_intent(books: &mut Books, form: &Form, key: &str, now: u64) -> Made {
    known(form, &OF_PAYMENT_INTENTS)?;
    let (amount, currency) = (amount(form)?, currency(form)?);
    let customer = needed(form, "customer")?;
    let method = needed(form, "payment_method")?;
    if !customer.starts_with("cus_") || customer.contains("deleted") {
        return Err(refused(400, "resource_missing", "customer", "No such customer"));
    }
    if !method.starts_with("pm_") && !method.starts_with("card_") {
        return Err(refused(400, "resource_missing", "payment_method", "No such PaymentMethod"));
    }
    for (param, value) in [("confirm", "true"), ("payment_method_types[0]", "card")] {
        if form.get(param).map(String::as_str) != Some(value) {
            return Err(refused(400, "parameter_missing", param, "this double needs it so"));
        }
    }
    let mut object = json!({
        "id": books.id("pi"), "object": "payment_intent", "amount": amount, "currency": currency,
        "amount_received": 0, "customer": customer, "payment_method": method, "created": now,
        "metadata": metadata(form), "livemode": false, "last_payment_error": null,
        "latest_charge": null, "status": "processing", "description": form.get("description"),
        "idempotency_key": key, "client_secret": format!("{}_secret_of_nobody", books.id("pi")),
    });
    let decline = DECLINES.iter().find(|code| method.contains(*code));
    let authentication = method.starts_with("pm_auth");
    if method.starts_with("pm_processing") {
        return Ok(whole(
            200,
            object.clone(),
            vec![object.clone()],
            "payment_intent.processing",
            books,
            now,
        ));
    }
    if decline.is_some() || authentication {
        let code = if authentication { "authentication_required" } else { "card_declined" };
        let error = declined(&mut object, code, decline.copied());
        let made = vec![object.clone()];
        return Ok(whole(
            402,
            json!({"error": error}),
            made,
            "payment_intent.payment_failed",
            books,
            now,
        ));
    }
    let entry = succeed(books, object.clone(), now);
    Ok(Outcome { status: 200, body: entry.objects[0].clone(), entry: Some(entry) })
}

/// The payment that a call cancels.
fn cancelled(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/payment_intents/")?.strip_suffix("/cancel")
}

/// Nobody can pay it from now on.
fn cancel(books: &mut Books, intent: &str, form: &Form, now: u64) -> Made {
    known(form, &["cancellation_reason"])?;
    let missing = || refused(404, "resource_missing", "intent", "No such payment_intent");
    let found = books.object(intent).filter(|object| object["object"] == "payment_intent");
    let mut intent = found.ok_or_else(missing)?.clone();
    if !is_open(&intent) {
        let message = "You cannot cancel this PaymentIntent because of its status";
        let mut refused = refused(400, "payment_intent_unexpected_state", "intent", message);
        refused.body["error"]["payment_intent"] = intent;
        return Err(refused);
    }
    intent["status"] = json!("canceled");
    intent["canceled_at"] = json!(now);
    intent["cancellation_reason"] = json!(form.get("cancellation_reason"));
    let made = vec![intent.clone()];
    Ok(whole(200, intent, made, "payment_intent.canceled", books, now))
}

/// Whether somebody can still pay it, or give it up.
fn is_open(intent: &Value) -> bool {
    matches!(intent["status"].as_str(), Some("requires_payment_method" | "requires_action"))
}

/// The customer pays a declined payment after all; gives the events, or nothing if it cannot be
/// paid.
pub fn complete(books: &mut Books, intent: &str, now: u64) -> Option<Vec<Value>> {
    let mut intent = books.object(intent).filter(|intent| is_open(intent))?.clone();
    intent["last_payment_error"] = Value::Null;
    let entry = succeed(books, intent, now);
    let events = entry.events.clone();
    books.commit(entry);
    Some(events)
}

/// A refund does not arrive, and the charge stands again; gives the events, or nothing if there is
/// no refund.
pub fn fail_refund(books: &mut Books, refund: &str, now: u64) -> Option<Vec<Value>> {
    let succeeded = |o: &&Value| o["object"] == "refund" && o["status"] == "succeeded";
    let mut refund = books.object(refund).filter(succeeded)?.clone();
    let intent = refund["payment_intent"].as_str().and_then(|id| books.object(id))?;
    let mut charge = books.object(intent["latest_charge"].as_str()?)?.clone();
    let left = number(&charge, "amount_refunded") - number(&refund, "amount");
    (charge["amount_refunded"], charge["refunded"]) = (json!(left), json!(false));
    refund["status"] = json!("failed");
    refund["failure_reason"] = json!("expired_or_canceled_card");
    let kinds = ["refund.failed", "charge.refund.updated"];
    let events: Vec<Value> = kinds.iter().map(|kind| event(books, kind, &refund, now)).collect();
    // What had gone back has come again.
    let movements = vec![movement("refund_failed", &refund, "customer", now)];
    let objects = vec![refund, charge];
    books.commit(Entry { objects, movements, events: events.clone(), ..Entry::default() });
    Some(events)
}

/// An event that nothing here led to: what somebody else's mistake, or another account, would send.
/// `more` stands beside the type.
pub fn say(books: &mut Books, kind: &str, object: &Value, more: &Value, now: u64) -> Vec<Value> {
    let mut said = event(books, kind, object, now);
    for (name, value) in more.as_object().into_iter().flatten() {
        said[name] = value.clone();
    }
    let events = vec![said];
    books.commit(Entry { events: events.clone(), ..Entry::default() });
    events
}

/// An outcome with one event about its first object and no movement.
fn whole(
    status: u16,
    body: Value,
    objects: Vec<Value>,
    event_type: &str,
    books: &mut Books,
    now: u64,
) -> Outcome {
    let events = vec![event(books, event_type, &objects[0], now)];
    Outcome { status, body, entry: Some(Entry { objects, events, ..Entry::default() }) }
}

/// Turns an intent into a declined one; gives the error.
fn declined(object: &mut Value, code: &str, decline_code: Option<&str>) -> Value {
    let mut error = json!({
        "type": "card_error", "code": code, "decline_code": decline_code,
        "message": "Your card was declined.",
    });
    object["status"] = json!("requires_payment_method");
    object["last_payment_error"] = error.clone();
    error["payment_intent"] = object.clone();
    error
}

/// Charges: the intent with its charge, the movement, the event.
fn succeed(books: &mut Books, mut intent: Value, now: u64) -> Entry {
    let charge = json!({
        "id": books.id("ch"), "object": "charge", "amount": intent["amount"], "amount_refunded": 0,
        "currency": intent["currency"], "refunded": false, "disputed": false, "created": now,
        "payment_intent": intent["id"], "customer": intent["customer"],
        "metadata": intent["metadata"], "status": "succeeded",
    });
    intent["status"] = json!("succeeded");
    intent["amount_received"] = intent["amount"].clone();
    intent["latest_charge"] = charge["id"].clone();
    let movements = vec![movement("charge", &intent, "customer", now)];
    let events = vec![event(books, "payment_intent.succeeded", &intent, now)];
    Entry { objects: vec![intent, charge], movements, events, ..Entry::default() }
}

fn transfer(books: &mut Books, form: &Form, key: &str, now: u64) -> Made {
    known(form, &OF_TRANSFERS)?;
    let (amount, currency) = (amount(form)?, currency(form)?);
    let destination = needed(form, "destination")?;
    if !destination.starts_with("acct_") || destination.contains("closed") {
        return Err(refused(400, "resource_missing", "destination", "No such destination"));
    }
    let object = json!({
        "id": books.id("tr"), "object": "transfer", "amount": amount, "amount_reversed": 0,
        "currency": currency, "destination": destination, "reversed": false, "created": now,
        "transfer_group": form.get("transfer_group"), "metadata": metadata(form),
        "idempotency_key": key,
    });
    let mut outcome =
        whole(200, object.clone(), vec![object.clone()], "transfer.created", books, now);
    if let Some(entry) = &mut outcome.entry {
        entry.movements.push(movement("transfer", &object, "destination", now));
    }
    Ok(outcome)
}

fn payout(books: &mut Books, form: &Form, now: u64) -> Made {
    known(form, &OF_PAYOUTS)?;
    let (amount, currency) = (amount(form)?, currency(form)?);
    let destination = needed(form, "destination")?;
    if !destination.starts_with("card_") && !destination.starts_with("ba_") {
        return Err(refused(400, "resource_missing", "destination", "No such external account"));
    }
    let object = json!({
        "id": books.id("po"), "object": "payout", "amount": amount, "currency": currency,
        "destination": destination, "status": "pending", "created": now,
        "failure_code": null, "failure_message": null, "metadata": metadata(form),
    });
    Ok(whole(200, object.clone(), vec![object], "payout.created", books, now))
}

fn refund(books: &mut Books, form: &Form, key: &str, now: u64) -> Made {
    known(form, &OF_REFUNDS)?;
    let intent = needed(form, "payment_intent")?;
    let missing = || refused(404, "resource_missing", "payment_intent", "No such payment_intent");
    let intent = books.object(&intent).filter(|o| o["object"] == "payment_intent");
    let intent = intent.ok_or_else(missing)?.clone();
    let charge = intent["latest_charge"].as_str().and_then(|id| books.object(id)).cloned();
    let Some(mut charge) = charge else {
        return Err(refused(400, "payment_intent_unexpected_state", "payment_intent", "not paid"));
    };
    let rest = number(&charge, "amount") - number(&charge, "amount_refunded");
    let asked = form.get("amount").map_or(Ok(rest), |_| amount(form))?;
    if asked > rest || rest == 0 {
        return Err(refused(400, "charge_already_refunded", "amount", "more than is left"));
    }
    let refunded = number(&charge, "amount_refunded") + asked;
    charge["amount_refunded"] = json!(refunded);
    charge["refunded"] = json!(refunded == number(&charge, "amount"));
    let object = json!({
        "id": books.id("re"), "object": "refund", "amount": asked, "currency": charge["currency"],
        "payment_intent": intent["id"], "status": "succeeded", "created": now,
        "metadata": metadata(form), "customer": intent["customer"], "idempotency_key": key,
    });
    let movements = vec![movement("refund", &object, "customer", now)];
    let events = vec![event(books, "charge.refunded", &charge, now)];
    let objects = vec![object.clone(), charge];
    let entry = Entry { objects, movements, events, ..Entry::default() };
    Ok(Outcome { status: 200, body: object, entry: Some(entry) })
}

/// Ends everything that is `processing` or `pending`; gives the events.
pub fn settle(books: &mut Books, now: u64) -> Vec<Value> {
    let waiting: Vec<Value> = books.waiting().cloned().collect();
    let mut events = Vec::new();
    for object in waiting {
        let entry = settled(books, object, now);
        events.extend(entry.events.clone());
        books.commit(entry);
    }
    events
}

fn settled(books: &mut Books, mut object: Value, now: u64) -> Entry {
    let fails = |field: &str| object[field].as_str().is_some_and(|token| token.contains("fails"));
    if object["object"] == "payment_intent" {
        if !fails("payment_method") {
            return succeed(books, object, now);
        }
        declined(&mut object, "card_declined", Some("generic_decline"));
        let events = vec![event(books, "payment_intent.payment_failed", &object, now)];
        return Entry { objects: vec![object], events, ..Entry::default() };
    }
    let (status, kind) =
        if fails("destination") { ("failed", "payout.failed") } else { ("paid", "payout.paid") };
    object["status"] = json!(status);
    let mut movements = Vec::new();
    if status == "failed" {
        object["failure_code"] = json!("account_closed");
    } else {
        movements.push(movement("payout", &object, "destination", now));
    }
    let events = vec![event(books, kind, &object, now)];
    Entry { objects: vec![object], movements, events, ..Entry::default() }
}

/// How a chargeback ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeEnd {
    /// The cardholder keeps the money.
    Lost,
    /// The money comes back.
    Won,
    /// Lost, and given back later all the same.
    LostThenReinstated,
}

/// A chargeback about `amount`, opened and closed; gives the events, or nothing if there is no such
/// charge.
pub fn dispute(
    books: &mut Books,
    intent: &str,
    end: DisputeEnd,
    amount: Option<u64>,
    now: u64,
) -> Option<Vec<Value>> {
    let charge = books.object(intent)?["latest_charge"].as_str()?.to_owned();
    let charge = books.object(&charge)?.clone();
    let amount = amount.unwrap_or_else(|| number(&charge, "amount"));
    let mut object = json!({
        "id": books.id("dp"), "object": "dispute", "amount": amount,
        "currency": charge["currency"], "charge": charge["id"], "payment_intent": intent,
        "reason": "fraudulent", "status": "needs_response", "created": now, "metadata": {},
    });
    let mut told = vec![
        event(books, "charge.dispute.created", &object, now),
        event(books, "charge.dispute.funds_withdrawn", &object, now),
    ];
    let (status, is_back) = match end {
        DisputeEnd::Lost => ("lost", false),
        DisputeEnd::Won => ("won", true),
        DisputeEnd::LostThenReinstated => ("lost", true),
    };
    object["status"] = json!(status);
    told.push(event(books, "charge.dispute.closed", &object, now));
    if is_back {
        told.push(event(books, "charge.dispute.funds_reinstated", &object, now));
    }
    let mut entry = Entry { objects: vec![object.clone()], ..Entry::default() };
    if !is_back {
        let mut back = movement("chargeback", &charge, "customer", now);
        (back.id, back.amount) = (id_of(&object), amount);
        entry.movements.push(back);
    }
    entry.events.clone_from(&told);
    books.commit(entry);
    Some(told)
}

fn event(books: &mut Books, kind: &str, object: &Value, now: u64) -> Value {
    json!({
        "id": books.id("evt"), "object": "event", "created": now, "type": kind, "livemode": false,
        "data": {"object": object},
    })
}

fn movement(kind: &str, object: &Value, party: &str, now: u64) -> Movement {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Movement {
        kind: kind.into(),
        id: id_of(object),
        leg_key: text(&object["metadata"]["leg_key"]),
        idempotency_key: text(&object["idempotency_key"]),
        amount: number(object, "amount"),
        currency: text(&object["currency"]),
        party: text(&object[party]),
        created: now,
    }
}

fn number(object: &Value, name: &str) -> u64 {
    object[name].as_u64().unwrap_or_default()
}

fn known(form: &Form, names: &[&str]) -> Result<(), Box<Outcome>> {
    let is_metadata = |name: &str| name.starts_with("metadata[") && name.ends_with(']');
    match form.keys().find(|name| !names.contains(&name.as_str()) && !is_metadata(name)) {
        None => Ok(()),
        Some(name) => Err(refused(400, "parameter_unknown", name, "Received unknown parameter")),
    }
}

fn needed(form: &Form, name: &str) -> Result<String, Box<Outcome>> {
    let missing = || refused(400, "parameter_missing", name, "Missing required param");
    form.get(name).filter(|value| !value.is_empty()).cloned().ok_or_else(missing)
}

fn amount(form: &Form) -> Result<u64, Box<Outcome>> {
    let invalid = || refused(400, "parameter_invalid_integer", "amount", "Invalid integer");
    let amount: u64 = needed(form, "amount")?.parse().map_err(|_| invalid())?;
    match amount {
        ..LEAST => Err(refused(400, "amount_too_small", "amount", "too small")),
        LEAST..=MOST => Ok(amount),
        _ => Err(refused(400, "amount_too_large", "amount", "too large")),
    }
}

fn currency(form: &Form) -> Result<String, Box<Outcome>> {
    let currency = needed(form, "currency")?;
    let formed = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_lowercase());
    let invalid = || refused(400, "parameter_invalid_string_currency", "currency", "Invalid");
    formed.then_some(currency).ok_or_else(invalid)
}

fn metadata(form: &Form) -> Value {
    let inner = |name: &str| Some(name.strip_prefix("metadata[")?.strip_suffix(']')?.to_owned());
    form.iter().filter_map(|(name, value)| Some((inner(name)?, value.clone()))).collect()
}
