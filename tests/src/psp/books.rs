//! The provider's memory: objects, kept answers, movements, events; and the file that outlives it.
//!
//! One entry is one change, applied whole: written to the file as one line, then to memory. A line
//! that was cut short by a kill never happened. Starting again folds the lines.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// Members of objects by which lists are asked for.
pub const LISTED: [&str; 4] = ["customer", "destination", "transfer_group", "payment_intent"];

/// A movement of money, as the provider has executed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// `charge`, `transfer`, `payout`, `refund`, `chargeback` or `reversal`.
    pub kind: String,
    /// The object that moved it.
    pub id: String,
    /// `metadata[leg_key]` of the call; empty without one.
    pub leg_key: String,
    /// The `Idempotency-Key` of the call; empty without one.
    pub idempotency_key: String,
    /// In the currency's API units.
    pub amount: u64,
    /// ISO 4217, small letters.
    pub currency: String,
    /// Whose token: the customer or the destination.
    pub party: String,
    /// Unix seconds.
    pub created: u64,
}

/// An answer that is kept under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub key: String,
    /// Path and parameters of the call.
    pub call: String,
    pub status: u16,
    pub body: Value,
}

/// One change.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Entry {
    /// Objects in their new state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub movements: Vec<Movement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Value>,
    /// An event that the receiver has taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<String>,
    /// All keys were forgotten.
    #[serde(default)]
    pub forgot: bool,
}

/// All that the provider remembers.
#[derive(Debug, Default)]
pub struct Books {
    objects: BTreeMap<String, Value>,
    /// Ids in the order in which they were made, and the place of each.
    order: Vec<String>,
    place_of: BTreeMap<String, usize>,
    /// Places of objects that are `processing` or `pending`.
    waiting: BTreeSet<usize>,
    /// Places in that order, ascending, by the members that lists are asked for.
    places: BTreeMap<(&'static str, String), Vec<usize>>,
    movements: Vec<Movement>,
    kept: BTreeMap<String, Kept>,
    /// Keys of calls that are being executed; of this process only.
    running: BTreeSet<String>,
    events: BTreeMap<String, Value>,
    serial: u64,
    file: Option<File>,
}

impl Books {
    /// Reads the file in `dir`, if there is one.
    pub fn open(dir: Option<&Path>) -> io::Result<Self> {
        let mut books = Self::default();
        let Some(dir) = dir else { return Ok(books) };
        std::fs::create_dir_all(dir)?;
        let path = dir.join("psp.jsonl");
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(u64::try_from(whole).expect("a length fits 64 bits"))?;
        for line in text[..whole].lines() {
            let entry: Entry = serde_json::from_str(line).map_err(io::Error::other)?;
            books.apply(entry);
        }
        books.file = Some(file);
        Ok(books)
    }

    /// Makes one change. Panics if the file cannot take it: the provider stops.
    pub fn commit(&mut self, entry: Entry) {
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_string(&entry).expect("an entry is JSON");
            line.push('\n');
            file.write_all(line.as_bytes()).expect("the provider's file takes a line");
        }
        self.apply(entry);
    }

    fn apply(&mut self, entry: Entry) {
        for object in entry.objects {
            self.count(&object);
            let id = id_of(&object);
            // An object keeps these members for life.
            if !self.objects.contains_key(&id) {
                for name in LISTED {
                    if let Some(value) = object[name].as_str() {
                        let places = self.places.entry((name, value.to_owned())).or_default();
                        places.push(self.order.len());
                    }
                }
                self.place_of.insert(id.clone(), self.order.len());
                self.order.push(id.clone());
            }
            let place = self.place_of[&id];
            if is_waiting(&object) {
                self.waiting.insert(place);
            } else {
                self.waiting.remove(&place);
            }
            self.objects.insert(id, object);
        }
        for event in entry.events {
            self.count(&event);
            self.events.insert(id_of(&event), event);
        }
        self.movements.extend(entry.movements);
        if let Some(kept) = entry.kept {
            self.running.remove(&kept.key);
            self.kept.insert(kept.key.clone(), kept);
        }
        if let Some(event) = entry.delivered {
            self.events.remove(&event);
        }
        if entry.forgot {
            self.kept.clear();
        }
    }

    /// Ids end in the serial number that they were given: after a restart it goes on from there.
    fn count(&mut self, object: &Value) {
        let id = id_of(object);
        let serial = id.rsplit('_').next().and_then(|text| text.parse().ok());
        self.serial = self.serial.max(serial.unwrap_or_default());
    }

    /// A new id.
    pub fn id(&mut self, prefix: &str) -> String {
        self.serial += 1;
        format!("{prefix}_{:012}", self.serial)
    }

    pub fn object(&self, id: &str) -> Option<&Value> {
        self.objects.get(id)
    }

    /// The objects with this value of a member of `LISTED`, newest first.
    pub fn newest_with(&self, name: &'static str, value: &str) -> impl Iterator<Item = &Value> {
        let places = self.places.get(&(name, value.to_owned())).map_or(&[][..], Vec::as_slice);
        places.iter().rev().filter_map(|place| self.objects.get(&self.order[*place]))
    }

    /// All objects, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Value> {
        self.order.iter().rev().filter_map(|id| self.objects.get(id))
    }

    pub fn movements(&self) -> &[Movement] {
        &self.movements
    }

    pub fn kept(&self, key: &str) -> Option<&Kept> {
        self.kept.get(key)
    }

    /// Marks the call with that key as being executed; `false` if one is already.
    pub fn start(&mut self, key: &str) -> bool {
        self.running.insert(key.into())
    }

    pub fn running(&self) -> usize {
        self.running.len()
    }

    pub fn end(&mut self, key: &str) {
        self.running.remove(key);
    }

    pub fn forget_keys(&mut self) {
        self.commit(Entry { forgot: true, ..Entry::default() });
    }

    /// Events that no receiver has taken, in order.
    pub fn undelivered(&self) -> Vec<Value> {
        self.events.values().cloned().collect()
    }

    pub fn undelivered_count(&self) -> usize {
        self.events.len()
    }

    /// Objects that have not come to rest, in the order in which they were made.
    pub fn waiting(&self) -> impl Iterator<Item = &Value> {
        self.waiting.iter().filter_map(|place| self.objects.get(&self.order[*place]))
    }

    pub fn delivered(&mut self, event: &str) {
        if self.events.contains_key(event) {
            self.commit(Entry { delivered: Some(event.into()), ..Entry::default() });
        }
    }
}

/// Whether an object has yet to come to rest.
pub fn is_waiting(object: &Value) -> bool {
    matches!(object["status"].as_str(), Some("processing" | "pending"))
}

pub fn id_of(object: &Value) -> String {
    object["id"].as_str().unwrap_or_default().to_owned()
}
