//! Ids as people type them: in full, or by their first digits. The one place that finds out which
//! party, key, batch or leg is meant.

use super::CliError;
use super::client::Session;
use super::output::{hex, printable};
use crate::types::{BatchId, PartyId, SignerKey};
use bytes::Bytes;
use std::marker::PhantomData;
use std::str::FromStr;
use tallystick_proto::v1::{FindIdsRequest, FoundId, IdKind};
use tonic::Code;

/// Fewest digits that may stand for an id: with 32 bits two of thousands rarely meet, and it is
/// told when they do.
const DIGITS_MIN: usize = 8;

/// Letters of a leg's key.
const KEY_LETTERS: usize = 32;

/// What has an id.
pub trait Id: FromStr + Copy {
    /// Its kind, as it is asked for.
    const KIND: IdKind;
    /// What it is called.
    const WHAT: &'static str;
    /// Where ids of its kind are found.
    const FOUND: &'static str;

    /// Its bytes.
    fn bytes(self) -> [u8; 32];
    /// The id of these bytes.
    fn of(bytes: &[u8]) -> Option<Self>;
}

macro_rules! id {
    ($name:ident $kind:ident $what:literal $found:literal) => {
        impl Id for $name {
            const KIND: IdKind = IdKind::$kind;
            const WHAT: &'static str = $what;
            const FOUND: &'static str = $found;

            fn bytes(self) -> [u8; 32] {
                self.0
            }

            fn of(bytes: &[u8]) -> Option<Self> {
                Self::from_slice(bytes)
            }
        }
    };
}
id!(PartyId Party "party" "`tallystick party find NAME` finds a party by its name");
id!(SignerKey Signer "key" "`tallystick signer list` shows all keys");
id!(BatchId Batch "batch" "`tallystick batch list` shows all batches");

/// An id in full, or its first digits in small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named<T> {
    /// The id.
    Full(T),
    /// Its first digits.
    Prefix(String, PhantomData<T>),
}

impl<T: Id> FromStr for Named<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.to_ascii_lowercase();
        if let Ok(id) = digits.parse() {
            return Ok(Self::Full(id));
        }
        let usable = (DIGITS_MIN..64).contains(&digits.len());
        if !usable || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!(
                "expected the id of a {}: 64 hexadecimal digits, or its first {DIGITS_MIN} or more; {}",
                T::WHAT,
                T::FOUND
            ));
        }
        Ok(Self::Prefix(digits, PhantomData))
    }
}

impl<T: Id> Named<T> {
    /// The id that is meant.
    ///
    /// # Errors
    /// When no id begins so, or several do: these are named.
    pub async fn find(&self, session: &Session) -> Result<T, CliError> {
        let prefix = match self {
            Self::Full(id) => return Ok(*id),
            Self::Prefix(prefix, _) => prefix,
        };
        let asked =
            FindIdsRequest { kind: T::KIND.into(), prefix: prefix.clone(), batch_id: Bytes::new() };
        let found = only(session, asked, T::WHAT, T::FOUND).await?;
        T::of(&found.id).ok_or_else(|| CliError::Failed(format!("{} is no id", hex(&found.id))))
    }

    /// The same, as a message holds it.
    ///
    /// # Errors
    /// As for `find`.
    pub async fn bytes(&self, session: &Session) -> Result<Bytes, CliError> {
        Ok(Bytes::copy_from_slice(&self.find(session).await?.bytes()))
    }
}

/// A leg's key in full, or its first letters, in capitals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(String);

impl FromStr for KeyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = text.to_ascii_uppercase();
        let letters = (DIGITS_MIN..=KEY_LETTERS).contains(&key.len());
        if letters && key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(Self(key));
        }
        Err(format!(
            "expected a leg's key: {KEY_LETTERS} letters and digits, or its first {DIGITS_MIN} or more; \
             `tallystick leg list BATCH` shows the keys of a batch"
        ))
    }
}

impl KeyName {
    /// The key that is meant, of a leg of this batch.
    ///
    /// # Errors
    /// When no key of the batch begins so, or several do: these are named.
    pub async fn find(&self, session: &Session, batch: &Bytes) -> Result<String, CliError> {
        if self.0.len() == KEY_LETTERS {
            return Ok(self.0.clone());
        }
        let (kind, batch_id) = (IdKind::Leg.into(), batch.clone());
        let asked = FindIdsRequest { kind, prefix: self.0.clone(), batch_id };
        let shown = "`tallystick leg list BATCH` shows those of the batch";
        Ok(only(session, asked, "leg", shown).await?.key)
    }

    /// Its letters, for a search.
    #[must_use]
    pub fn letters(&self) -> &str {
        &self.0
    }
}

/// The only one that begins so.
async fn only(
    session: &Session,
    asked: FindIdsRequest,
    what: &str,
    shown: &str,
) -> Result<FoundId, CliError> {
    let prefix = asked.prefix.clone();
    let answer = session.operator().find_ids(asked).await;
    let may_not = |status: &tonic::Status| {
        [Code::Unauthenticated, Code::PermissionDenied].contains(&status.code())
    };
    let answer = answer.map_err(|status| match may_not(&status) {
        // Who signs vouchers, or owns a party, needs no other party's ids.
        true => CliError::Failed(format!(
            "{prefix} is the beginning of an id, and only an operator may ask whose: give all of its digits, or a \
             token with --token-file"
        )),
        false => session.failed(status),
    })?;
    let answer = answer.into_inner();
    let (mut found, more) = (answer.found, answer.more);
    match found.len() {
        0 => Err(CliError::Failed(format!("no {what}'s id begins with {prefix}; {shown}"))),
        1 if !more => Ok(found.remove(0)),
        _ => Err(CliError::Failed(several(&prefix, what, &found, more))),
    }
}

/// What is said when the digits stand for several: all of them, a line each.
fn several(prefix: &str, what: &str, found: &[FoundId], more: bool) -> String {
    let one = |found: &FoundId| {
        let id = if found.key.is_empty() { hex(&found.id) } else { found.key.clone() };
        format!("\n  {id}  {}", printable(&found.about))
    };
    let lines: String = found.iter().map(one).collect();
    let rest = if more { "\n  and others" } else { "" };
    format!(
        "several ids begin with {prefix}; give more digits of the {what} that you mean:{lines}{rest}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_named_in_full_or_by_eight_digits_or_more() {
        let full = "ab".repeat(32);
        let id = full.parse::<BatchId>().unwrap();
        assert_eq!(full.parse::<Named<BatchId>>(), Ok(Named::Full(id)));
        assert_eq!(full.to_uppercase().parse::<Named<BatchId>>(), Ok(Named::Full(id)));
        let prefix = Named::Prefix("abcdef01".into(), PhantomData);
        assert_eq!("ABCDEF01".parse::<Named<PartyId>>(), Ok(prefix));
        for bad in ["", "abcdef0", "abcdefgh", "Example GmbH", &"ab".repeat(33)] {
            let why = bad.parse::<Named<PartyId>>().unwrap_err();
            assert!(why.contains("party find"), "{bad}: {why}");
        }
    }

    #[test]
    fn keys_are_taken_in_any_case_and_by_eight_letters_or_more() {
        assert_eq!("y44kq2pl".parse::<KeyName>().unwrap().letters(), "Y44KQ2PL");
        for bad in ["", "Y44KQ2P", "Y44K Q2PL", "Y44K-Q2PL", &"A".repeat(33)] {
            assert!(bad.parse::<KeyName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn digits_that_stand_for_several_are_answered_with_all_of_them() {
        let found = |byte: u8, about: &str| FoundId {
            id: vec![byte; 32].into(),
            key: String::new(),
            about: about.into(),
        };
        let all = [found(0xaa, "Müller GmbH"), found(0xab, "a\u{1b}[31m")];
        let wanted = format!(
            "several ids begin with a; give more digits of the party that you mean:\n  {}  Müller GmbH\n  {}  \
             a\\u{{1b}}[31m\n  and others",
            "aa".repeat(32),
            "ab".repeat(32)
        );
        assert_eq!(several("a", "party", &all, true), wanted);
    }
}
