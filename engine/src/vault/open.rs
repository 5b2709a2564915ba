//! What the vault opens: what a rail is shown, and what people are. A rail is shown all of it or
//! nothing; people are shown that it was erased.

use super::seal::{Field, Seal, Secret, fields_of};
use super::{Vault, VaultError};
use crate::journal::JournalError;
use crate::journal::kept::CallsOf;
use crate::ledger::batch::Payment;
use crate::ledger::{
    Account, BatchContent, ERASED, OpenBatch, RailAccount, SealedAccount, SealedOnRail, SealedText,
};
use crate::types::PartyId;
use std::collections::BTreeMap;

/// What is shown of a party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its name, or that it was erased.
    pub name: String,
    /// Its accounts; none once it was erased.
    pub accounts: Vec<RailAccount>,
}

impl Vault {
    /// A batch with all its accounts, for its rail.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub fn open_batch(&self, content: &BatchContent) -> Result<OpenBatch, VaultError> {
        self.open_some(content, content.accounts.iter())
    }

    /// A batch with the accounts of these of its legs alone.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub fn open_legs(&self, content: &BatchContent, legs: &[u32]) -> Result<OpenBatch, VaultError> {
        let payments = legs.iter().map(|leg| content.legs[*leg as usize].payment);
        let parties = payments.flat_map(|Payment { from, to, .. }| [from, to]);
        let mut parties: Vec<PartyId> = parties.collect();
        parties.sort_unstable();
        parties.dedup();
        self.open_some(content, parties.iter().filter_map(|id| content.accounts.get_key_value(id)))
    }

    fn open_some<'a>(
        &self,
        content: &BatchContent,
        accounts: impl Iterator<Item = (&'a PartyId, &'a SealedAccount)>,
    ) -> Result<OpenBatch, VaultError> {
        let rail = content.head.policy.rail.name();
        let one = |(party, sealed): (&PartyId, &SealedAccount)| {
            Ok((*party, self.account(*party, rail, sealed)?))
        };
        Ok(content.with_accounts(accounts.map(one).collect::<Result<_, VaultError>>()?))
    }

    /// A batch as people are shown it: what was erased says so.
    ///
    /// # Errors
    /// Of the storage.
    pub fn show_batch(&self, content: &BatchContent) -> Result<OpenBatch, JournalError> {
        let rail = content.head.policy.rail.name();
        let mut accounts = BTreeMap::new();
        for (party, sealed) in content.accounts.iter() {
            let erased = || Account { name: ERASED.to_owned(), fields: Vec::new() };
            let shown = readable(self.account(*party, rail, sealed))?;
            accounts.insert(*party, shown.unwrap_or_else(erased));
        }
        Ok(content.with_accounts(accounts))
    }

    /// A party as people are shown it.
    ///
    /// # Errors
    /// Of the storage.
    pub fn show_party(
        &self,
        party: PartyId,
        name: Option<&SealedText>,
        accounts: &[SealedOnRail],
    ) -> Result<Shown, JournalError> {
        let open = |name: &SealedText| {
            let seal = self.seal_of(party)?;
            let name = text(&seal, Field::Name(party), name).ok_or(VaultError::OtherKey(party))?;
            let one = |on: &SealedOnRail| {
                let fields = fields(&seal, Field::Account(party, &on.rail), &on.fields);
                let fields = fields.ok_or(VaultError::OtherKey(party))?;
                Ok(RailAccount { rail: on.rail.clone(), fields })
            };
            let accounts = accounts.iter().map(one).collect::<Result<_, VaultError>>()?;
            Ok(Shown { name, accounts })
        };
        let shown = name.map_or(Ok(None), |name| readable(open(name)))?;
        Ok(shown.unwrap_or_else(|| Shown { name: ERASED.to_owned(), accounts: Vec::new() }))
    }

    /// A party's name as people are shown it.
    ///
    /// # Errors
    /// Of the storage.
    pub fn show_name(
        &self,
        party: PartyId,
        name: Option<&SealedText>,
    ) -> Result<String, JournalError> {
        let shown = name.map_or(Ok(None), |name| readable(self.name(party, name)))?;
        Ok(shown.unwrap_or_else(|| ERASED.to_owned()))
    }

    /// A party's account on a rail, for that rail.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn account(
        &self,
        party: PartyId,
        rail: &str,
        sealed: &SealedAccount,
    ) -> Result<Account, VaultError> {
        let seal = self.seal_of(party)?;
        let name = text(&seal, Field::Name(party), &sealed.name);
        let fields = fields(&seal, Field::Account(party, rail), &sealed.fields);
        let account = name.zip(fields).map(|(name, fields)| Account { name, fields });
        account.ok_or(VaultError::OtherKey(party))
    }

    /// A party's name, for a rail.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn name(&self, party: PartyId, sealed: &SealedText) -> Result<String, VaultError> {
        let seal = self.seal_of(party)?;
        text(&seal, Field::Name(party), sealed).ok_or(VaultError::OtherKey(party))
    }

    /// The account that a leg's money leaves, sealed under the key of its payer; nothing for
    /// nothing.
    ///
    /// # Errors
    /// When there is no key.
    pub fn seal_leaves(
        &self,
        payer: PartyId,
        rail: &str,
        account: &str,
    ) -> Result<Vec<u8>, VaultError> {
        if account.is_empty() {
            return Ok(Vec::new());
        }
        let sealed = self.seal_of(payer)?.seal(Field::Leaves(payer, rail), account.as_bytes());
        Ok(sealed.bytes().to_vec())
    }

    /// The same, opened; `None` once its payer was erased.
    ///
    /// # Errors
    /// Of the storage.
    pub fn show_leaves(
        &self,
        payer: PartyId,
        rail: &str,
        sealed: &[u8],
    ) -> Result<Option<String>, JournalError> {
        if sealed.is_empty() {
            return Ok(Some(String::new()));
        }
        let open = || {
            let seal = self.seal_of(payer)?;
            let opened = seal.open(Field::Leaves(payer, rail), sealed);
            let opened = opened.and_then(|text| String::from_utf8(text.to_vec()).ok());
            opened.ok_or(VaultError::OtherKey(payer))
        };
        readable(open())
    }

    /// The bytes of a call, sealed under the keys of all parties that it names, ascending.
    ///
    /// # Errors
    /// When one of them has no key.
    pub fn seal_call(
        &self,
        of: CallsOf,
        piece: u32,
        parties: &[PartyId],
        call: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let sealed = self.shared(parties)?.seal(Field::Call(&of.key(piece)), call);
        Ok(sealed.bytes().to_vec())
    }

    /// The same, opened.
    ///
    /// # Errors
    /// When one of the parties has no key, or it was not sealed so.
    pub fn open_call(
        &self,
        of: CallsOf,
        piece: u32,
        parties: &[PartyId],
        sealed: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let opened = self.shared(parties)?.open(Field::Call(&of.key(piece)), sealed);
        let lost = || {
            JournalError::Storage(format!(
                "call {piece} of submission {} of batch {} cannot be opened; restore the data directory from a \
                 copy",
                of.submission, of.batch
            ))
        };
        Ok(opened.ok_or_else(lost)?.to_vec())
    }

    fn shared(&self, parties: &[PartyId]) -> Result<Seal, VaultError> {
        let keys = parties.iter().map(|party| self.secret(*party));
        let keys = keys.collect::<Result<Vec<Secret>, VaultError>>()?;
        Ok(Seal::shared(keys.iter()))
    }

    pub(super) fn seal_of(&self, party: PartyId) -> Result<Seal, VaultError> {
        Ok(Seal::new(&self.secret(party)?))
    }

    fn secret(&self, party: PartyId) -> Result<Secret, VaultError> {
        Ok(self.key(party)?.ok_or(VaultError::NoKey(party))?.secret)
    }
}

/// The parties whose keys a call is sealed under: those of its legs, ascending.
#[must_use]
pub fn parties_of(payments: impl Iterator<Item = Payment>) -> Vec<PartyId> {
    let parties = payments.flat_map(|Payment { from, to, .. }| [from, to]);
    let mut parties: Vec<PartyId> = parties.filter(|party| *party != PartyId::CLEARING).collect();
    parties.sort_unstable();
    parties.dedup();
    parties
}

fn text(seal: &Seal, field: Field<'_>, sealed: &SealedText) -> Option<String> {
    String::from_utf8(seal.open(field, sealed.bytes())?.to_vec()).ok()
}

fn fields(seal: &Seal, field: Field<'_>, sealed: &SealedText) -> Option<Vec<(String, String)>> {
    fields_of(&seal.open(field, sealed.bytes())?)
}

/// What could be opened; `None` for what was sealed under a key that is gone.
fn readable<T>(opened: Result<T, VaultError>) -> Result<Option<T>, JournalError> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(VaultError::NoKey(_) | VaultError::OtherKey(_)) => Ok(None),
        Err(VaultError::Storage(error)) => Err(error),
        Err(
            error @ (VaultError::Refused(_) | VaultError::Secret(_) | VaultError::BeingErased(_)),
        ) => Err(JournalError::Storage(error.to_string())),
    }
}
