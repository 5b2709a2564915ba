//! The vault: each party's own key, and what is sealed under it: names and accounts in records, in
//! batches, beside legs, and the bytes of calls. Everything beyond it holds sealed bytes only.
//!
//! A party's key lies in a table beside the journal, under the root key. It is durable before
//! anything that is sealed under it leaves this room, and it is destroyed only once the journal
//! says durably that the party was erased; what is half done is finished at the next start. Which
//! parties are erased is the ledger's to say: each key knows how often its party had been erased
//! when it was made, and is the right one only as long as that is still so.
//!
//! Owns the keys and how they come and go. Never decides whether a party may be erased.
//!
//! | table | key | value |
//! |---|---|---|
//! | party_keys | 1, party | how often it had been erased u32, its key under the root key |
//! | party_keys | 2, party | nothing: it is being erased |

mod endpoints;
mod open;
mod root;
mod seal;

pub use endpoints::{OpenEndpoint, SealedEndpoint};
pub use open::{Shown, parties_of};
pub use root::{FILE as ROOT_KEY_FILE, META_CHECK as ROOT_KEY_CHECK, RootKey, RootKeyError};

use crate::faults;
use crate::journal::{JournalError, Table, Tables};
use crate::ledger::{RailAccount, Refusal, SealedOnRail, SealedText};
use crate::secret::{self, SecretError};
use crate::types::{Digest, PartyId, SignerKey};
use seal::{Field, Seal, Secret, fields_bytes};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// How the ids begin that `tallystick import` makes of the lines of a file.
const MADE_OF_TEXT: &str = "import-";
const KEYS: u8 = 1;
const ERASING: u8 = 2;
const SEEDED_CONTEXT: &str = "tallystick 2026-11 seeded party key v1";

/// Why something cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// What is kept cannot be read or written.
    #[error(transparent)]
    Storage(#[from] JournalError),
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A key cannot be made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Its key is about to be destroyed.
    #[error("party {0} is just being erased; try again in a moment")]
    BeingErased(PartyId),
    /// There is no key.
    #[error(
        "the key of party {0} is gone, so its name and accounts cannot be read: if it was not erased, restore the \
         data directory from a copy"
    )]
    NoKey(PartyId),
    /// There is one, and it does not fit.
    #[error(
        "what is kept of party {0} was not sealed under its key: if it was not erased since, restore the data \
         directory from a copy"
    )]
    OtherKey(PartyId),
}

/// What the ledger says of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How often it was erased.
    pub erasures: u32,
    /// Whether it is registered, and not erased.
    pub registered: bool,
}

/// A party as it is to be registered, in plain text.
#[derive(Debug, Clone)]
pub struct Plain {
    /// The party.
    pub party: PartyId,
    /// Its name.
    pub name: String,
    /// Its accounts.
    pub accounts: Vec<RailAccount>,
    /// The id of the request that asks for it.
    pub request_id: String,
}

/// The same, sealed.
#[derive(Debug, Clone)]
pub struct SealedParty {
    /// Its name.
    pub name: SealedText,
    /// Its accounts.
    pub accounts: Vec<SealedOnRail>,
    /// How often it had been erased by then.
    pub erasures: u32,
    /// The id under which the request is recorded: as it came, unless it follows from the text that
    /// is sealed. Then it could be tried for ever against guesses of that text, and a keyed hash of
    /// it stands in its place, under the party's key.
    pub request_id: String,
}

/// Where new keys come from.
enum Fresh {
    System,
    /// For engines whose every byte is to be the same again.
    Seed([u8; 32]),
}

/// The vault of one data directory. Cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    tables: Arc<dyn Tables>,
    root: RootKey,
    fresh: Fresh,
    /// Whoever has it may make keys, or destroy them.
    turn: Mutex<()>,
}

/// A party's key, and how often its party had been erased when it was made.
struct PartyKey {
    generation: u32,
    secret: Secret,
}

impl Vault {
    /// The vault of a data directory with its root key in a file, which is made in a `new` one.
    ///
    /// # Errors
    /// `RootKeyError` that says what is wrong with the file and what to do.
    pub fn open(tables: Arc<dyn Tables>, root_key: &Path, new: bool) -> Result<Self, RootKeyError> {
        let root = root::open(&*tables, root_key, new)?;
        Ok(Self::new(tables, RootKey::new(root_key, root), Fresh::System))
    }

    /// A vault whose keys follow from a seed, for engines that are not on disk.
    #[must_use]
    pub fn seeded(tables: Arc<dyn Tables>, seed: [u8; 32]) -> Self {
        let root = RootKey::new(Path::new("a seed"), Zeroizing::new(seed));
        Self::new(tables, root, Fresh::Seed(seed))
    }

    fn new(tables: Arc<dyn Tables>, root: RootKey, fresh: Fresh) -> Self {
        let turn = Mutex::default();
        Self(Arc::new(Inner { tables, root, fresh, turn }))
    }

    /// Seals parties for their records, each under its own key, which is durable when this returns.
    /// `standing` says what the ledger knows of the party in a place, or why it may not be
    /// registered.
    ///
    /// # Errors
    /// Of the storage, for all of them; each may be refused on its own.
    pub fn seal_parties(
        &self,
        parties: &[Plain],
        standing: &dyn Fn(usize) -> Result<Standing, Refusal>,
    ) -> Result<Vec<Result<SealedParty, VaultError>>, VaultError> {
        let turn = self.turn();
        let (mut made, mut keys) = (HashMap::new(), Vec::new());
        for (place, plain) in parties.iter().enumerate() {
            let key = standing(place).map_err(VaultError::from);
            match key.and_then(|standing| self.key_for(plain.party, standing, &mut made)) {
                // Whatever follows would meet the same.
                Err(VaultError::Storage(error)) => return Err(error.into()),
                key => keys.push(key),
            }
        }
        if !made.is_empty() {
            self.0.tables.sync(Table::PartyKeys)?;
        }
        drop(turn);
        let sealed = |(plain, key): (&Plain, Result<PartyKey, VaultError>)| {
            let key = key?;
            let (seal, party) = (Seal::new(&key.secret), plain.party);
            let account = |account: &RailAccount| {
                let (rail, bytes) = (account.rail.clone(), fields_bytes(&account.fields));
                let fields = seal.seal(Field::Account(party, &rail), &bytes);
                SealedOnRail { rail, fields }
            };
            let name = seal.seal(Field::Name(party), plain.name.as_bytes());
            let accounts = plain.accounts.iter().map(account).collect();
            let request_id = match plain.request_id.strip_prefix(MADE_OF_TEXT) {
                Some(_) => format!("{MADE_OF_TEXT}{}", seal.blind(&plain.request_id)),
                None => plain.request_id.clone(),
            };
            Ok(SealedParty { name, accounts, erasures: key.generation, request_id })
        };
        Ok(parties.iter().zip(keys).map(sealed).collect())
    }

    /// The key of a party that may be registered: its own, or a new one, which is not durable yet.
    fn key_for(
        &self,
        party: PartyId,
        standing: Standing,
        made: &mut HashMap<PartyId, Secret>,
    ) -> Result<PartyKey, VaultError> {
        let generation = standing.erasures;
        if let Some(secret) = made.get(&party) {
            return Ok(PartyKey { generation, secret: secret.clone() });
        }
        match self.key(party)? {
            Some(key) if key.generation == generation => return Ok(key),
            Some(_) => return Err(VaultError::BeingErased(party)),
            None if standing.registered => return Err(VaultError::NoKey(party)),
            None => {}
        }
        let secret = match &self.0.fresh {
            Fresh::System => secret::fresh()?,
            Fresh::Seed(seed) => {
                let mut hasher = blake3::Hasher::new_derive_key(SEEDED_CONTEXT);
                hasher.update(seed).update(&party.0).update(&generation.to_le_bytes());
                Zeroizing::new(*hasher.finalize().as_bytes())
            }
        };
        let wrapped = self.0.root.seal().seal(Field::PartyKey(party, generation), &*secret);
        let row = [&generation.to_le_bytes()[..], wrapped.bytes()].concat();
        self.0.tables.put(Table::PartyKeys, &row_key(KEYS, party), &row)?;
        made.insert(party, secret.clone());
        Ok(PartyKey { generation, secret })
    }

    /// A party's key, if it has one.
    fn key(&self, party: PartyId) -> Result<Option<PartyKey>, VaultError> {
        let Some(row) = self.0.tables.get(Table::PartyKeys, &row_key(KEYS, party))? else {
            return Ok(None);
        };
        let opened = || {
            let (generation, wrapped) = row.split_first_chunk::<4>()?;
            let generation = u32::from_le_bytes(*generation);
            let key = self.0.root.seal().open(Field::PartyKey(party, generation), wrapped)?;
            let secret = Zeroizing::new(<[u8; 32]>::try_from(&**key).ok()?);
            Some(PartyKey { generation, secret })
        };
        opened().map(Some).ok_or(VaultError::OtherKey(party))
    }

    /// Remembers durably that a party is about to be erased: so that a start that finds it erased
    /// finishes it.
    ///
    /// # Errors
    /// Of the storage.
    pub fn begin_erasing(&self, party: PartyId) -> Result<(), VaultError> {
        let _turn = self.turn();
        self.0.tables.put(Table::PartyKeys, &row_key(ERASING, party), &[])?;
        Ok(self.0.tables.sync(Table::PartyKeys)?)
    }

    /// Destroys a party's key if the ledger has, durably, erased the party since the key was made:
    /// `erasures` is how often. Whatever came of it, the party is not being erased any more.
    ///
    /// # Errors
    /// Of the storage.
    pub fn finish_erasing(&self, party: PartyId, erasures: u32) -> Result<(), VaultError> {
        let _turn = self.turn();
        let key = row_key(KEYS, party);
        let row = self.0.tables.get(Table::PartyKeys, &key)?;
        let generation = row.as_ref().and_then(|row| row.first_chunk::<4>());
        let generation = generation.map(|generation| u32::from_le_bytes(*generation));
        // Where the row is gone already, what had it may have ended before every file had lost it.
        if erasures > 0 && generation.is_none_or(|generation| generation < erasures) {
            faults::point(|| "erase-journaled");
            self.0.tables.destroy(Table::PartyKeys, &key)?;
            faults::point(|| "erase-destroyed");
            tracing::info!(%party, "the key of an erased party is destroyed");
        }
        let (from, mut to) = (row_key(ERASING, party), row_key(ERASING, party));
        to.push(0);
        Ok(self.0.tables.remove(Table::PartyKeys, &from, &to)?)
    }

    /// Finishes what the last start left half done. `erasures` says how often the ledger has erased
    /// a party.
    ///
    /// # Errors
    /// Of the storage.
    pub fn finish_all(&self, erasures: &dyn Fn(PartyId) -> u32) -> Result<(), VaultError> {
        let mut left = Vec::new();
        self.0.tables.scan(Table::PartyKeys, &[ERASING], &[ERASING + 1], &mut |key, _| {
            left.extend(key.get(1..).and_then(PartyId::from_slice));
            Ok(())
        })?;
        left.into_iter().try_for_each(|party| self.finish_erasing(party, erasures(party)))
    }

    /// The engine's key sealed under the root key, for a backup: `key` is its public half.
    #[must_use]
    pub fn seal_engine_key(&self, key: SignerKey, secret: &[u8; 32]) -> Vec<u8> {
        self.0.root.seal().seal(Field::EngineKey(key), secret).bytes().to_vec()
    }

    /// A keyed hash: nobody makes it who has not the root key.
    #[must_use]
    pub fn mark(&self, bytes: &[u8]) -> Digest {
        self.0.root.mark(bytes)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        // It guards what is on disk: whole whenever the lock is free.
        self.0.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn row_key(kind: u8, party: PartyId) -> Vec<u8> {
    [&[kind], &party.0[..]].concat()
}

#[cfg(test)]
mod tests;
