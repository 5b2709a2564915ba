//! Legs by what their rail calls them: so that an answer finds its leg without any batch being
//! loaded, and costs the same whatever was settled before.
//!
//! | table | key | value |
//! |---|---|---|
//! | legs | rail u8, name | batch id, leg u32, payer, payee, amount u128, length of the key u8, key, account |
//!
//! A row says nothing about where a leg stands, and nothing about whether its batch was ever
//! approved.

use super::{JournalError, Table, Tables};
use tallystick_ledger::Rail;
use tallystick_ledger::types::{BatchId, PartyId, Total};

const FIXED_BYTES: usize = 32 + 4 + 32 + 32 + 16 + 1;

/// A leg, as it was computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedLeg {
    /// Its batch.
    pub batch: BatchId,
    /// Its place among the batch's legs.
    pub leg: u32,
    /// Who pays; all zero is the clearing account.
    pub payer: PartyId,
    /// Who is paid; all zero is the clearing account.
    pub payee: PartyId,
    /// How much, in asset units.
    pub amount: Total,
    /// Its key.
    pub key: String,
    /// The account that its money leaves, where it goes from party to party, sealed; else empty.
    pub account: Vec<u8>,
}

/// Keeps legs by their names. Durable when it returns.
///
/// # Errors
/// `JournalError` of the storage.
pub fn put_legs(
    tables: &dyn Tables,
    rail: Rail,
    legs: impl Iterator<Item = (String, NamedLeg)>,
) -> Result<(), JournalError> {
    let mut value = Vec::new();
    for (name, leg) in legs {
        value.clear();
        value.extend_from_slice(&leg.batch.0);
        value.extend_from_slice(&leg.leg.to_le_bytes());
        value.extend_from_slice(&leg.payer.0);
        value.extend_from_slice(&leg.payee.0);
        value.extend_from_slice(&leg.amount.0.to_le_bytes());
        value.push(u8::try_from(leg.key.len()).expect("keys are short"));
        value.extend_from_slice(leg.key.as_bytes());
        value.extend_from_slice(&leg.account);
        tables.put(Table::Legs, &key(rail, &name), &value)?;
    }
    tables.sync(Table::Legs)
}

/// The leg with this name on its rail, if there is one.
///
/// # Errors
/// `JournalError` of the storage, or when the row is no leg.
pub fn load_leg(
    tables: &dyn Tables,
    rail: Rail,
    name: &str,
) -> Result<Option<NamedLeg>, JournalError> {
    let Some(value) = tables.get(Table::Legs, &key(rail, name))? else { return Ok(None) };
    let found = read(&value);
    let lost = || {
        JournalError::Storage(format!(
            "what is kept of leg {name:?} cannot be used; restore the data directory from a copy"
        ))
    };
    found.map(Some).ok_or_else(lost)
}

fn key(rail: Rail, name: &str) -> Vec<u8> {
    let mut key = vec![rail as u8];
    key.extend_from_slice(name.as_bytes());
    key
}

fn read(value: &[u8]) -> Option<NamedLeg> {
    let (fixed, texts) = value.split_at_checked(FIXED_BYTES)?;
    let (key, account) = texts.split_at_checked(usize::from(fixed[FIXED_BYTES - 1]))?;
    Some(NamedLeg {
        batch: BatchId(part(fixed, 0)),
        leg: u32::from_le_bytes(part(fixed, 32)),
        payer: PartyId(part(fixed, 36)),
        payee: PartyId(part(fixed, 68)),
        amount: Total(u128::from_le_bytes(part(fixed, 100))),
        key: String::from_utf8(key.to_vec()).ok()?,
        account: account.to_vec(),
    })
}

fn part<const N: usize>(row: &[u8], at: usize) -> [u8; N] {
    *row[at..].first_chunk().expect("fields lie within their row")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn leg(number: u8, account: &str) -> NamedLeg {
        NamedLeg {
            batch: BatchId([number; 32]),
            leg: 7,
            payer: PartyId([1; 32]),
            payee: PartyId::CLEARING,
            amount: Total(u128::MAX),
            key: format!("KEY{number}"),
            account: account.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_leg_is_found_by_its_name_on_its_rail_alone() {
        let tables = Memory::journal().tables;
        let rows = [("A".to_owned(), leg(1, "")), ("AB".to_owned(), leg(2, "DE00"))];
        put_legs(&*tables, Rail::Iso20022, rows.into_iter()).unwrap();
        let found = |rail, name| load_leg(&*tables, rail, name).unwrap();
        assert_eq!(found(Rail::Iso20022, "A"), Some(leg(1, "")));
        assert_eq!(found(Rail::Iso20022, "AB"), Some(leg(2, "DE00")));
        assert_eq!(found(Rail::Iso20022, "ABC"), None);
        assert_eq!(found(Rail::Nacha, "A"), None);
        tables.put(Table::Legs, b"\x01X", b"short").unwrap();
        tables.sync(Table::Legs).unwrap();
        assert!(load_leg(&*tables, Rail::Iso20022, "X").is_err());
    }

    #[test]
    fn the_bytes_of_a_row_are_those_of_the_description() {
        let tables = Memory::journal().tables;
        let rows = [("N".to_owned(), leg(3, "DE00"))];
        put_legs(&*tables, Rail::Nacha, rows.into_iter()).unwrap();
        let row = tables.get(Table::Legs, b"\x02N").unwrap().unwrap();
        let mut wanted = vec![3; 32];
        wanted.extend_from_slice(&[7, 0, 0, 0]);
        wanted.extend_from_slice(&[1; 32]);
        wanted.extend_from_slice(&[0; 32]);
        wanted.extend_from_slice(&[0xff; 16]);
        wanted.extend_from_slice(b"\x04KEY3DE00");
        assert_eq!(row, wanted);
    }
}
