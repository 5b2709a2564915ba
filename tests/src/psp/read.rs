//! What can be read: objects by id, lists with filters and pages, search by metadata, the books.
//!
//! Owns the filters. Changes nothing.

use super::books::{Books, LISTED, id_of};
use super::make::Form;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Objects on one page, unless asked for less; and the most.
const PAGE: usize = 10;
const PAGE_MAX: usize = 100;

/// The name that objects of a collection have.
fn name_of(collection: &str) -> Option<&'static str> {
    match collection {
        "payment_intents" => Some("payment_intent"),
        "transfers" => Some("transfer"),
        "payouts" => Some("payout"),
        "refunds" => Some("refund"),
        _ => None,
    }
}

/// One object.
pub fn one(books: &Books, collection: &str, id: &str, query: &Form) -> Option<Value> {
    let object = books
        .object(id)
        .filter(|object| name_of(collection).is_some_and(|n| object["object"] == n));
    let expand = query.get("expand[]").is_some_and(|what| what == "latest_charge");
    object.map(|object| if expand { expanded(books, object) } else { object.clone() })
}

/// One page of a collection, newest first; `None` if there is no such collection.
pub fn list(books: &Books, collection: &str, query: &Form) -> Option<Value> {
    let name = name_of(collection)?;
    let since: u64 = query.get("created[gte]").and_then(|text| text.parse().ok()).unwrap_or(0);
    let limit = query.get("limit").and_then(|text| text.parse().ok()).unwrap_or(PAGE);
    let expand = query.get("expand[]").is_some_and(|what| what == "data.latest_charge");
    let fits = |object: &&Value| {
        object["object"] == name
            && object["created"].as_u64().unwrap_or_default() >= since
            && LISTED
                .iter()
                .all(|name| query.get(*name).is_none_or(|wanted| object[*name] == *wanted))
    };
    let asked = LISTED.into_iter().find_map(|name| query.get(name).map(|value| (name, value)));
    let all: Vec<&Value> = match asked {
        Some((name, value)) => books.newest_with(name, value).filter(fits).collect(),
        None => books.newest_first().filter(fits).collect(),
    };
    let mut found: Vec<&Value> = match query.get("starting_after") {
        Some(after) => {
            all.into_iter().skip_while(|object| id_of(object) != *after).skip(1).collect()
        }
        None => all,
    };
    let limit = limit.clamp(1, PAGE_MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let show = |object: &Value| if expand { expanded(books, object) } else { object.clone() };
    let data: Vec<Value> = found.into_iter().map(show).collect();
    Some(json!({"object": "list", "data": data, "has_more": has_more, "url": collection}))
}

/// Search by one member of the metadata: `metadata['leg_key']:'VALUE'`.
pub fn search(books: &Books, collection: &str, query: &Form) -> Option<Value> {
    let name = name_of(collection)?;
    let (field, value) = query.get("query")?.split_once(':')?;
    let field = field.strip_prefix("metadata['")?.strip_suffix("']")?;
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    let fits = |object: &&Value| object["object"] == name && object["metadata"][field] == value;
    let data: Vec<Value> = books.newest_first().filter(fits).cloned().collect();
    Some(json!({"object": "search_result", "data": data, "has_more": false}))
}

fn expanded(books: &Books, object: &Value) -> Value {
    let charge = object["latest_charge"].as_str().and_then(|id| books.object(id));
    let mut object = object.clone();
    if let Some(charge) = charge {
        object["latest_charge"] = charge.clone();
    }
    object
}

/// Every executed movement, and their sums by kind and currency.
pub fn books(books: &Books) -> Value {
    let mut sums: BTreeMap<String, BTreeMap<String, (u64, u64)>> = BTreeMap::new();
    for movement in books.movements() {
        let of_kind = sums.entry(movement.kind.clone()).or_default();
        let (count, amount) = of_kind.entry(movement.currency.clone()).or_default();
        (*count, *amount) = (*count + 1, *amount + movement.amount);
    }
    let sums: BTreeMap<_, BTreeMap<_, _>> = sums
        .into_iter()
        .map(|(kind, of_kind)| {
            let shown = of_kind
                .into_iter()
                .map(|(currency, (count, amount))| {
                    (currency, json!({"count": count, "amount": amount}))
                })
                .collect();
            (kind, shown)
        })
        .collect();
    json!({"movements": books.movements(), "sums": sums})
}
