//! Whether JSON gives each member once. Of two the last would count, and whoever looked at the
//! first would have seen another request.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// Whether a message, which this is the JSON of, gives each of its fields once, by whichever of its
/// two names; the same of all in it.
///
/// # Errors
/// Which one is given twice.
pub(super) fn check(text: &[u8], of: &MessageDescriptor) -> Result<(), String> {
    let mut text = serde_json::Deserializer::from_slice(text);
    let checked = Of::Message(of.clone()).deserialize(&mut text);
    checked.map_err(|error| error.to_string())
}

/// What a value is of.
#[derive(Clone)]
enum Of {
    Message(MessageDescriptor),
    /// A map of the contract, with what its values are of.
    Map(Box<Self>),
    /// Neither.
    Plain,
}

impl Of {
    /// What each value of a field is of.
    fn field(field: &FieldDescriptor) -> Self {
        let Kind::Message(message) = field.kind() else { return Self::Plain };
        match message.is_map_entry() {
            true => Self::Map(Box::new(Self::field(&message.map_entry_value_field()))),
            false => Self::Message(message),
        }
    }

    /// By what a member is known, and what its value is of.
    fn member(&self, name: String) -> (String, Self) {
        match self {
            Self::Message(message) => {
                let field = message.get_field_by_json_name(&name);
                match field.or_else(|| message.get_field_by_name(&name)) {
                    Some(field) => (field.json_name().to_owned(), Self::field(&field)),
                    None => (name, Self::Plain),
                }
            }
            Self::Map(values) => (name, (**values).clone()),
            Self::Plain => (name, Self::Plain),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Of {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Of {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let (name, of) = self.member(name);
            members.next_value_seed(of)?;
            if let Some(twice) = seen.replace(name) {
                return Err(A::Error::custom(format!("{twice:?} is given twice: give it once")));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self.clone())?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}
