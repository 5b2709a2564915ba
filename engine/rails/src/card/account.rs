//! Accounts on the card rail: tokens under which the payment provider keeps cards and bank
//! accounts.
//!
//! Owns their form. Never takes a card number, not even inside something that looks like a token,
//! and never puts a value into an error text.

use super::RAIL;
use crate::account::{AccountError, hides_card_number};
use std::collections::BTreeMap;
use tallystick_ledger::batch::field;
use tallystick_ledger::{Account, ERASED};

/// Who the debtor is at the provider, and which of its cards is charged.
pub(super) const CUSTOMER: &str = "customer";
pub(super) const PAYMENT_METHOD: &str = "payment_method";
/// Where a creditor is paid.
pub(super) const PAYOUT: &str = "payout";
/// The operator's own account at the provider.
const ACCOUNT: &str = "account";

/// Prefixes of the tokens that each field takes, and the same in words.
const CUSTOMERS: (&[&str], &str) = (&["cus_"], "cus_");
const PAYMENT_METHODS: (&[&str], &str) = (&["pm_", "card_", "src_"], "pm_, card_ or src_");
const PAYOUTS: (&[&str], &str) = (&["acct_", "card_", "ba_"], "acct_, card_ or ba_");

/// Whether a payout token is a connected account, which gets a transfer; others get a payout.
pub(super) fn is_connected_account(token: &str) -> bool {
    token.starts_with("acct_")
}

/// Checks a party's account: `customer` and `payment_method` if it is to be charged, `payout` if it
/// is to be paid; at least one of the two.
pub fn check_account(
    fields: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, AccountError> {
    let mut checked = Vec::new();
    for (name, value) in fields {
        let (field, (prefixes, words)) = match name.as_str() {
            CUSTOMER => (CUSTOMER, CUSTOMERS),
            PAYMENT_METHOD => (PAYMENT_METHOD, PAYMENT_METHODS),
            PAYOUT => (PAYOUT, PAYOUTS),
            unknown => {
                let known = "customer, payment_method and payout";
                return Err(AccountError::unknown_field(RAIL, unknown, known));
            }
        };
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        if hides_card_number(value) {
            return Err(AccountError::CardNumber { field: field.into() });
        }
        let rest = prefixes.iter().find_map(|prefix| value.strip_prefix(prefix));
        let formed = |rest: &str| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if !rest.is_some_and(formed) {
            return Err(AccountError::Token { field, prefixes: words });
        }
        checked.push((name.clone(), value.to_owned()));
    }
    let has = |field| checked.iter().any(|(name, _)| name == field);
    match (has(CUSTOMER), has(PAYMENT_METHOD), has(PAYOUT)) {
        (false, false, false) => Err(AccountError::Useless),
        // A stored card is charged as its customer's.
        (false, true, _) => Err(AccountError::Missing { rail: RAIL, field: CUSTOMER }),
        (true, false, _) => Err(AccountError::Missing { rail: RAIL, field: PAYMENT_METHOD }),
        (true, true, _) | (false, false, true) => Ok(checked),
    }
}

/// Checks the clearing account: `account`, the operator's account at the provider, by name or id.
/// It is where charges arrive and payouts come from; which account that is, the secret key decides.
pub fn check_clearing(
    fields: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, AccountError> {
    if let Some(unknown) = fields.keys().find(|name| *name != ACCOUNT) {
        return Err(AccountError::unknown_field(RAIL, unknown, ACCOUNT));
    }
    let account = fields.get(ACCOUNT).map_or("", |value| value.trim());
    if account.is_empty() {
        return Err(AccountError::Missing { rail: RAIL, field: ACCOUNT });
    }
    if hides_card_number(account) {
        return Err(AccountError::CardNumber { field: ACCOUNT.into() });
    }
    Ok(vec![(ACCOUNT.into(), account.into())])
}

/// What stands for the account of a party that was erased: what was said to the provider of its
/// payments, but for whose they were.
#[must_use]
pub fn erased() -> Account {
    let field = |name: &str| (name.to_owned(), ERASED.to_owned());
    let fields = [CUSTOMER, PAYMENT_METHOD, PAYOUT].map(field).into();
    Account { name: ERASED.to_owned(), fields }
}

/// A party's account, read from its checked fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tokens<'a> {
    pub customer: Option<&'a str>,
    pub payment_method: Option<&'a str>,
    pub payout: Option<&'a str>,
}

impl<'a> Tokens<'a> {
    /// Reads kept fields.
    pub fn read(fields: &'a [(String, String)]) -> Self {
        let token = |name| field(fields, name);
        Self {
            customer: token(CUSTOMER),
            payment_method: token(PAYMENT_METHOD),
            payout: token(PAYOUT),
        }
    }

    /// Whether it can be charged; else paid.
    pub fn has(&self, charge: bool) -> bool {
        match charge {
            true => self.customer.is_some() && self.payment_method.is_some(),
            false => self.payout.is_some(),
        }
    }
}

/// The clearing account, read from its checked fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clearing<'a> {
    /// The operator's own account at the provider, by name or id.
    pub account: &'a str,
}

impl<'a> Clearing<'a> {
    /// Reads kept fields; `None` if they are no clearing account of this rail.
    #[must_use]
    pub fn read(fields: &'a [(String, String)]) -> Option<Self> {
        Some(Self { account: field(fields, ACCOUNT)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
        fields.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    }

    const DEBTOR: [(&str, &str); 2] =
        [("customer", "cus_NffrFeUfNV2Hib"), ("payment_method", "pm_1MsLiQLkdIwHu7ix")];
    const CREDITOR: (&str, &str) = ("payout", "acct_1032D82eZvKYlo2C");

    #[test]
    fn a_party_may_be_charged_or_paid_or_both_but_not_neither() {
        let both = [DEBTOR[0], DEBTOR[1], CREDITOR];
        for fields in [&DEBTOR[..], &[CREDITOR], &both] {
            let checked = check_account(&map(fields)).unwrap();
            let expected: Vec<_> = map(fields).into_iter().collect();
            assert_eq!(checked, expected);
        }
        let spaced =
            check_account(&map(&[("payout", " card_1Abc \n"), ("customer", " ")])).unwrap();
        assert_eq!(spaced, [("payout".to_owned(), "card_1Abc".to_owned())]);

        assert_eq!(check_account(&map(&[])), Err(AccountError::Useless));
        let missing = |field| Err(AccountError::Missing { rail: "card", field });
        assert_eq!(check_account(&map(&DEBTOR[..1])), missing("payment_method"));
        assert_eq!(check_account(&map(&[DEBTOR[1], CREDITOR])), missing("customer"));
        let unknown = check_account(&map(&[("iban", "DE00")])).unwrap_err().to_string();
        assert!(unknown.contains("customer, payment_method and payout"), "{unknown}");
    }

    #[test]
    fn a_card_number_in_any_dress_is_refused_and_never_shown() {
        for dress in [
            "pm_4111111111111111",
            "pm_4111-1111-1111-1111",
            "pm_4111_1111_1111_1111",
            "pm_4111 1111 1111 1111",
            "pm_x4111111111111",
            "pm_4111111111111112",
            "pm_37828224631000512345",
            "4111111111111111",
            "src_6011.1111.1111.1117",
        ] {
            let account = map(&[DEBTOR[0], ("payment_method", dress)]);
            let error = check_account(&account).unwrap_err();
            assert!(matches!(error, AccountError::CardNumber { .. }), "{dress}: {error}");
            assert!(!error.to_string().contains("1111"), "{error}");
            assert!(check_clearing(&map(&[("account", dress)])).is_err(), "{dress}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_by_the_name_of_its_field() {
        for bad in ["cus_", "pm_1abc", "cus-1abc", "cus_1 abc", "cus_1&amount=1", "cus_ä", "x"] {
            let error = check_account(&map(&[("customer", bad), DEBTOR[1]])).unwrap_err();
            assert!(
                matches!(error, AccountError::Token { field: "customer", .. }),
                "{bad}: {error}"
            );
            assert!(!error.to_string().contains("1abc"), "{error}");
        }
        assert!(check_account(&map(&[("payout", "pm_1abc")])).is_err());
    }

    #[test]
    fn the_clearing_account_is_a_name_and_nothing_else() {
        let checked = check_clearing(&map(&[("account", " acct_1032D82eZvKYlo2C ")])).unwrap();
        assert_eq!(checked, [("account".to_owned(), "acct_1032D82eZvKYlo2C".to_owned())]);
        assert_eq!(Clearing::read(&checked).unwrap().account, "acct_1032D82eZvKYlo2C");
        assert!(check_clearing(&map(&[("account", " ")])).is_err());
        assert!(check_clearing(&map(&[("account", "a"), ("secret_key", "sk_1")])).is_err());
    }
}
