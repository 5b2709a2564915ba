//! Addresses as people write them. Owns their form and checksum (EIP-55); asks no chain.

use crate::account::AccountError;
pub use alloy_primitives::Address;
use alloy_primitives::hex;

/// Reads `0x` and 40 hexadecimal digits. In mixed case the capital letters must be the checksum of
/// EIP-55; all small or all capital letters carry none.
pub fn read(field: &'static str, text: &str) -> Result<Address, AccountError> {
    let form = || AccountError::AddressForm { field };
    let text = text.trim();
    let digits = text.strip_prefix("0x").ok_or_else(form)?;
    let mut bytes = [0; 20];
    if digits.len() != 40 || hex::decode_to_slice(digits, &mut bytes).is_err() {
        return Err(form());
    }
    let address = Address::from(bytes);
    let has = |wanted: fn(&u8) -> bool| digits.bytes().any(|byte| wanted(&byte));
    let mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    if mixed && address.to_checksum(None) != text {
        return Err(AccountError::AddressCheck { field });
    }
    if address == Address::ZERO {
        let why = "nobody holds the zero address, what is sent there is lost";
        return Err(AccountError::AddressUnfit { field, why });
    }
    Ok(address)
}

/// How an address is stored and shown: with the checksum of EIP-55.
#[must_use]
pub fn text(address: Address) -> String {
    address.to_checksum(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of EIP-55.
    const CHECKED: [&str; 4] = [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn addresses_are_stored_with_their_checksum_however_they_were_written() {
        for checked in CHECKED {
            let capital = format!("0x{}", checked[2..].to_uppercase());
            for written in [checked, &checked.to_lowercase(), &capital, &format!(" {checked} ")] {
                assert_eq!(read("address", written).map(text).as_deref(), Ok(checked));
            }
        }
    }

    #[test]
    fn every_wrong_capital_letter_is_caught() {
        for checked in CHECKED {
            for place in (2..42).filter(|&at| checked.as_bytes()[at].is_ascii_alphabetic()) {
                let mut wrong = checked.as_bytes().to_vec();
                wrong[place] ^= 0x20;
                let wrong = String::from_utf8(wrong).unwrap();
                assert_eq!(
                    read("address", &wrong),
                    Err(AccountError::AddressCheck { field: "address" })
                );
            }
        }
    }

    #[test]
    fn other_texts_are_no_address_and_no_error_shows_them() {
        let short = &CHECKED[0][..41];
        let long = format!("{}0", CHECKED[0]);
        let bare = &CHECKED[0][2..];
        for bad in ["", "0x", short, &long, bare, "0Xfb", &format!("0x{}", "g".repeat(40)), "0xé"]
        {
            let error = read("address", bad).unwrap_err();
            assert_eq!(error, AccountError::AddressForm { field: "address" }, "{bad}");
        }
        let zero = format!("0x{}", "0".repeat(40));
        assert!(matches!(read("address", &zero), Err(AccountError::AddressUnfit { .. })));
    }
}
