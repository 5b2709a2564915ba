//! Names and accounts of parties: as an edge takes them, and sealed, as the ledger and the journal
//! hold them. Under which key, and how, is not known here (`docs/FORMATS.md`, "What is sealed");
//! the same text of the same party gives the same bytes, so that what was sealed can be compared.
//!
//! Owns the rules about what is sealed: those that look at the text are asked before it is sealed,
//! by whoever seals it; those about its size again when it is journaled.

use crate::limits::{
    ACCOUNT_SEALED_MAX, ACCOUNTS_MAX, HOOK_SECRET_SEALED_MAX, HOOK_URL_SEALED_MAX, NAME_SEALED_MAX,
    SEAL_BYTES, TEXT_BYTES_MAX,
};
use crate::refusal::{PartyMisfit, Refusal};
use rkyv::{Archive, Deserialize, Serialize};
use std::fmt;

/// The plain word for what cannot be read any more.
pub const ERASED: &str = "[erased]";

/// A text under its party's key: a nonce, what it became, and a tag.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub struct SealedText(Vec<u8>);

/// A party's name and its account on one rail, sealed: as a batch holds them.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SealedAccount {
    /// The party's name.
    pub name: SealedText,
    /// The account's fields.
    pub fields: SealedText,
}

/// A party's account on one rail, sealed: as its record holds it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SealedOnRail {
    /// The rail's name.
    pub rail: String,
    /// The account's fields.
    pub fields: SealedText,
}

/// A party's settlement account on one rail, in plain text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RailAccount {
    /// The rail's name.
    pub rail: String,
    /// Field name and value, ordered by name.
    pub fields: Vec<(String, String)>,
}

impl SealedText {
    /// These bytes, which whoever has the key made.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether so many bytes at most were sealed, and no fewer than none.
    fn check(&self, field: &'static str, most: usize) -> Result<(), Refusal> {
        let length = self.0.len();
        if (SEAL_BYTES..=most).contains(&length) {
            Ok(())
        } else {
            Err(Refusal::NotSealed { field, length, most })
        }
    }
}

/// Nobody reads the bytes; their length and beginning tell one from another.
impl fmt::Debug for SealedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.iter().take(4).map(|byte| format!("{byte:02x}"));
        write!(f, "sealed({}: {}..)", self.0.len(), first.collect::<String>())
    }
}

/// What is asked of a party's name before it is sealed. (Its accounts are the rails' to check.)
///
/// # Errors
/// `PartyUnfit`, `TextTooLong`.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    if name.trim().is_empty() {
        return Err(PartyMisfit::NoName.into());
    }
    let (length, limit) = (name.len(), TEXT_BYTES_MAX);
    if length <= limit {
        Ok(())
    } else {
        Err(Refusal::TextTooLong { field: "name", length, limit })
    }
}

/// What is asked of an endpoint's address once it is sealed.
pub(crate) fn check_hook_url(url: &SealedText) -> Result<(), Refusal> {
    url.check("url", HOOK_URL_SEALED_MAX)
}

/// The same of its secret.
pub(crate) fn check_hook_secret(secret: &SealedText) -> Result<(), Refusal> {
    secret.check("secret", HOOK_SECRET_SEALED_MAX)
}

/// What is asked of them once they are sealed.
pub(crate) fn check_sealed(name: &SealedText, accounts: &[SealedOnRail]) -> Result<(), Refusal> {
    if accounts.len() > ACCOUNTS_MAX {
        return Err(PartyMisfit::TooManyAccounts(ACCOUNTS_MAX).into());
    }
    if !accounts.is_sorted_by(|a, b| a.rail < b.rail) {
        return Err(PartyMisfit::AccountsUnordered.into());
    }
    name.check("name", NAME_SEALED_MAX)?;
    for account in accounts {
        let (field, length, limit) = ("rail", account.rail.len(), TEXT_BYTES_MAX);
        if length > limit {
            return Err(Refusal::TextTooLong { field, length, limit });
        }
        account.fields.check("account", ACCOUNT_SEALED_MAX)?;
    }
    Ok(())
}

/// What is known of a party, for whoever asks what was done.
#[must_use]
pub fn party_text(name: &str, suspended: bool, accounts: &[RailAccount]) -> String {
    let mut text = format!("{name:?}");
    if suspended {
        text.push_str(", suspended");
    }
    for account in accounts {
        let fields = account.fields.iter().map(|(name, value)| format!("{name}={value}"));
        text.push_str(&format!(", {}:{}", account.rail, fields.collect::<Vec<_>>().join(",")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_an_account_says_which_account() {
        let fields = vec![("iban".to_owned(), "DE02120300000000202051".to_owned())];
        let accounts = [RailAccount { rail: "iso20022".into(), fields }];
        let text = party_text("Buyer", true, &accounts);
        assert_eq!(text, "\"Buyer\", suspended, iso20022:iban=DE02120300000000202051");
    }

    #[test]
    fn what_is_no_sealed_text_by_its_size_is_refused() {
        let sealed = |length: usize| SealedText::new(vec![7; length]);
        let fits = |name, account: Option<usize>| {
            let on = |fields| SealedOnRail { rail: "evm".into(), fields: sealed(fields) };
            let accounts: Vec<_> = account.into_iter().map(on).collect();
            check_sealed(&sealed(name), &accounts).is_ok()
        };
        let (least, name, account) = (SEAL_BYTES, NAME_SEALED_MAX, ACCOUNT_SEALED_MAX);
        assert!(fits(least, None) && fits(name, Some(least)) && fits(least, Some(account)));
        assert!(!fits(least - 1, None) && !fits(name + 1, None));
        assert!(!fits(least, Some(least - 1)) && !fits(least, Some(account + 1)));
    }
}
