//! What of parties is hidden from pages until somebody asks for it: names, and what their accounts
//! are. Whoever sees it by `RevealParty` has a line in the audit log.

use prost_reflect::{DynamicMessage, MapKey, ReflectMessage as _, Value};
use std::collections::HashMap;

const HIDDEN: &str = "•••";
const PARTY: &str = "tallystick.v1.Party";
const FOUND: &str = "tallystick.v1.FoundId";
const ENTRY: &str = "tallystick.v1.HistoryEntry";
/// The kind of the event whose text is a party's name and accounts.
const UPSERTED: &str = "party_upserted";
const ACCOUNTS: &str = "accounts";

/// Hides it, wherever it is in a message.
pub(super) fn mask(message: &mut DynamicMessage) {
    match message.descriptor().full_name() {
        PARTY => return party(message),
        ENTRY => return entry(message),
        // Where parties are looked for.
        FOUND => {
            hide_field(message, "about");
            return;
        }
        _ => {}
    }
    for (_, value) in message.fields_mut() {
        if let Value::Message(inner) = value {
            mask(inner);
        } else if let Value::List(list) = value {
            list.iter_mut().filter_map(Value::as_message_mut).for_each(mask);
        }
    }
}

fn party(party: &mut DynamicMessage) {
    let mut masked = hide_field(party, "name");
    if let Some(Value::Map(accounts)) = party.get_field_by_name_mut(ACCOUNTS) {
        masked |= !accounts.is_empty();
        accounts.values_mut().for_each(account);
    }
    if masked {
        party.set_field_by_name("masked", Value::Bool(true));
    }
}

/// What an event says of a party: all of it, but that it was proposed.
fn entry(entry: &mut DynamicMessage) {
    let text = |name: &str| {
        let field = entry.get_field_by_name(name);
        field.and_then(|field| field.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let (kind, about) = (text("kind"), text("about"));
    let kept = match about.split_once(UPSERTED) {
        Some((proposal, _)) if kind == "change_proposed" => format!("{proposal}{UPSERTED} "),
        _ if kind == UPSERTED => String::new(),
        _ => return,
    };
    entry.set_field_by_name("about", Value::String(format!("{kept}{HIDDEN}")));
}

fn account(account: &mut Value) {
    let Value::Message(account) = account else { return };
    let Some(Value::Map(fields)) = account.get_field_by_name_mut("fields") else { return };
    let fields: &mut HashMap<MapKey, Value> = fields;
    for value in fields.values_mut() {
        if let Value::String(text) = value {
            *text = hidden(text);
        }
    }
}

/// Whether there was something to hide.
fn hide_field(message: &mut DynamicMessage, name: &str) -> bool {
    match message.get_field_by_name_mut(name) {
        Some(Value::String(text)) if !text.is_empty() => {
            *text = hidden(text);
            true
        }
        _ => false,
    }
}

/// A text of which nothing is left but how it begins, so that two can be told apart.
fn hidden(text: &str) -> String {
    let first = text.chars().next().filter(|_| text.chars().count() > 3);
    first.into_iter().chain(HIDDEN.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_reflect::DescriptorPool;
    use tallystick_proto::v1;

    fn masked<M: prost::Message>(name: &str, message: &M) -> DynamicMessage {
        let pool = DescriptorPool::decode(tallystick_proto::FILE_DESCRIPTORS).unwrap();
        let of = pool.get_message_by_name(&format!("tallystick.v1.{name}")).unwrap();
        let mut dynamic = DynamicMessage::new(of);
        dynamic.transcode_from(message).unwrap();
        mask(&mut dynamic);
        dynamic
    }

    #[test]
    fn names_and_accounts_are_hidden_and_the_rest_is_not() {
        let fields = [("iban".to_owned(), "DE89370400440532013000".to_owned())].into();
        let account = v1::SettlementAccount { fields };
        let party = v1::Party {
            party_id: vec![7; 32].into(),
            name: "Ada Lovelace".into(),
            suspended: true,
            accounts: [("iso20022".to_owned(), account)].into(),
            ..v1::Party::default()
        };
        let nobody = v1::Party { party_id: vec![8; 32].into(), ..v1::Party::default() };
        let list = v1::ListPartiesResponse {
            parties: vec![party.clone(), nobody.clone()],
            next: vec![8; 32].into(),
        };
        let found: v1::ListPartiesResponse =
            masked("ListPartiesResponse", &list).transcode_to().unwrap();
        let shown = &found.parties[0];
        assert_eq!((shown.name.as_str(), shown.masked), ("A•••", true));
        assert_eq!(shown.accounts["iso20022"].fields["iban"], "D•••");
        assert_eq!((&shown.party_id, shown.suspended), (&party.party_id, true));
        assert_eq!(
            (&found.parties[1], found.next),
            (&nobody, list.next),
            "there is nothing to hide"
        );
        let found = v1::FoundId { about: "Ada Lovelace".into(), ..v1::FoundId::default() };
        let found = v1::FindIdsResponse { found: vec![found], more: true };
        let found: v1::FindIdsResponse = masked("FindIdsResponse", &found).transcode_to().unwrap();
        assert_eq!((found.found[0].about.as_str(), found.more), ("A•••", true));
        for (kind, about, shown) in [
            ("party_upserted", "\"Ada\" iban=DE89", "•••"),
            (
                "change_proposed",
                "9b01: party_upserted \"Ada\" iban=DE89",
                "9b01: party_upserted •••",
            ),
            ("change_proposed", "9b01: limit_set 5", "9b01: limit_set 5"),
            ("window_closed", "window 3", "window 3"),
        ] {
            let (kind, about) = (kind.to_owned(), about.to_owned());
            let entry = v1::HistoryEntry { kind, about, ..v1::HistoryEntry::default() };
            let entry: v1::HistoryEntry = masked("HistoryEntry", &entry).transcode_to().unwrap();
            assert_eq!(entry.about, shown);
        }
    }
}
