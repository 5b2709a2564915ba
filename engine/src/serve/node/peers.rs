//! What nodes say of themselves to each other, in the bucket beside the stream; and which keys of
//! theirs may follow the engine's key in force: named by its owner ahead of time, for it may be
//! lost with its machine.

use crate::jetstream::{Held, Link, StreamError};
use crate::sign::EngineKey;
use crate::types::{Digest, NetworkId, SIGNATURE_BYTES, SignerKey, key_statement};
use crate::vault::Vault;
use crate::verify::is_signed;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Entries of nodes: `node.NAME`.
const NODE: &str = "node";
/// Entries of the keys that may follow: `follows.NAME-KEY`, with the begin of the key that names
/// it. One that never comes into force takes nothing away from the one that is.
const FOLLOWS: &str = "follows";
/// Who is asked to hand the journal over, and to whom.
const TRANSFER: &str = "transfer";

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub advertise: Option<String>,
    /// `owner` or `standby`.
    pub state: String,
    /// The last record that it has: durable, or applied.
    pub position: u64,
    /// Messages of the stream that did not count.
    pub void: u64,
    /// Why it could not take over now; none: it could.
    pub cannot: Option<String>,
    /// The key with which it would sign as the engine.
    pub key: Option<String>,
    /// That whoever has the root key says so.
    pub mark: Option<String>,
}

/// That a key may follow another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Follows {
    by: String,
    key: String,
    proof: String,
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn place(name: &str, by: SignerKey) -> String {
    format!("{name}-{:.16}", by.to_string())
}

/// What is marked of a node's key.
fn marked(network: NetworkId, name: &str, key: SignerKey) -> Vec<u8> {
    [b"tallystick node key v1 ", &network.0[..], &key.0[..], name.as_bytes()].concat()
}

impl Entry {
    /// The same, with the key with which it would sign.
    #[must_use]
    pub fn with_key(self, vault: &Vault, network: NetworkId, key: SignerKey) -> Self {
        let mark = vault.mark(&marked(network, &self.name, key));
        let (key, mark) = (Some(key.to_string()), Some(mark.to_string()));
        Self { key, mark, ..self }
    }

    /// Its key, if somebody with the root key says that it is one of a node.
    fn own_key(&self, vault: &Vault, network: NetworkId) -> Option<SignerKey> {
        let key = SignerKey(hex(self.key.as_deref()?)?);
        let mark = Digest(hex(self.mark.as_deref()?)?);
        (vault.mark(&marked(network, &self.name, key)) == mark).then_some(key)
    }

    /// Says it to the others.
    ///
    /// # Errors
    /// `Request` when it cannot be said.
    pub fn publish(&self, link: &Link) -> Result<(), StreamError> {
        let value = serde_json::to_vec(self).expect("an entry is plain text and numbers");
        link.put_entry(&format!("{NODE}.{}", self.name), &value, None).map(drop)
    }
}

/// What every node says of itself, and for how long it has stood.
///
/// # Errors
/// `Request` when nobody says.
pub fn nodes(link: &Link) -> Result<Vec<(Entry, Duration)>, StreamError> {
    let read = |(_, held): (String, Held)| {
        Some((serde_json::from_slice::<Entry>(&held.value).ok()?, held.age))
    };
    Ok(link.entries(NODE)?.into_iter().filter_map(read).collect())
}

/// Asks the owner of an epoch to hand the journal over: to this node, or to whoever comes first.
///
/// # Errors
/// `Request` when it cannot be asked.
pub fn ask_transfer(link: &Link, epoch: u64, to: Option<&str>) -> Result<(), StreamError> {
    let value = serde_json::json!({ "epoch": epoch, "to": to }).to_string();
    link.put_entry(TRANSFER, value.as_bytes(), None).map(drop)
}

/// Whether the owner of an epoch is asked to hand it over; within, to whom.
///
/// # Errors
/// `Request` when nobody says.
pub fn transfer_asked(link: &Link, epoch: u64) -> Result<Option<Option<String>>, StreamError> {
    let held = link.entry(TRANSFER)?;
    let asked = held.and_then(|held| serde_json::from_slice::<Value>(&held.value).ok());
    let asked = asked.filter(|asked| asked["epoch"].as_u64() == Some(epoch));
    Ok(asked.map(|asked| asked["to"].as_str().map(str::to_owned)))
}

/// Names the keys of all other nodes as those that may follow `key`, which this engine holds.
///
/// # Errors
/// `Request` when that cannot be said.
pub fn name_others(
    link: &Link,
    (vault, network): (&Vault, NetworkId),
    own: &str,
    (held, key): (&EngineKey, SignerKey),
) -> Result<(), StreamError> {
    for (name, entry) in link.entries(NODE)? {
        let entry: Option<Entry> = serde_json::from_slice(&entry.value).ok();
        let entry = entry.filter(|entry| entry.name == name && name != own);
        let Some(next) = entry.and_then(|entry| entry.own_key(vault, network)) else { continue };
        let Some(signed) = held.sign_as(key, &key_statement(network, next)) else { continue };
        let (by, proof) = (key.to_string(), HEXLOWER.encode(&signed.signature));
        let follows = Follows { by, key: next.to_string(), proof };
        let value = serde_json::to_vec(&follows).expect("it is plain text");
        let place = format!("{FOLLOWS}.{}", place(&name, key));
        if next != key && link.entry(&place)?.is_none_or(|held| held.value != value) {
            link.put_entry(&place, &value, None)?;
        }
    }
    Ok(())
}

/// The proof that `next`, of the node `own`, may follow the key `current`, if that has named it.
///
/// # Errors
/// `Request` when nobody says.
pub fn proof(
    link: &Link,
    network: NetworkId,
    own: &str,
    (current, next): (SignerKey, SignerKey),
) -> Result<Option<[u8; SIGNATURE_BYTES]>, StreamError> {
    let held = link.entry(&format!("{FOLLOWS}.{}", place(own, current)))?;
    let read = |value: Vec<u8>| {
        let follows: Follows = serde_json::from_slice(&value).ok()?;
        let fits = follows.by == current.to_string() && follows.key == next.to_string();
        let proof = hex(&follows.proof).filter(|_| fits)?;
        is_signed(current, key_statement(network, next).bytes(), &proof).then_some(proof)
    };
    Ok(held.and_then(|held| read(held.value)))
}
