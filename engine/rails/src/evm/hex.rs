//! Values of JSON-RPC, read and written: quantities, hashes, bytes.
//!
//! Owns the strict reading of what comes from outside. `None` means that it is not what it must be.

use alloy_primitives::{Address, B256, U256, hex};
use serde_json::Value;

/// A quantity: `0x` and hexadecimal digits without leading zeros.
fn digits(value: &Value) -> Option<&str> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    let canonical = digits == "0" || !digits.starts_with('0');
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    (canonical && hex && (1..=64).contains(&digits.len())).then_some(digits)
}

/// A number of at most 64 bits.
pub fn u64_of(value: &Value) -> Option<u64> {
    u64::from_str_radix(digits(value)?, 16).ok()
}

/// A number of at most 128 bits.
pub fn u128_of(value: &Value) -> Option<u128> {
    u128::from_str_radix(digits(value)?, 16).ok()
}

/// A number of at most 256 bits.
pub fn u256_of(value: &Value) -> Option<U256> {
    U256::from_str_radix(digits(value)?, 16).ok()
}

/// Bytes: `0x` and an even number of digits.
pub fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    hex::decode(value.as_str()?.strip_prefix("0x")?).ok()
}

/// 32 bytes.
pub fn hash_of(value: &Value) -> Option<B256> {
    Some(B256::from(<[u8; 32]>::try_from(bytes_of(value)?).ok()?))
}

/// 20 bytes.
pub fn address_of(value: &Value) -> Option<Address> {
    Some(Address::from(<[u8; 20]>::try_from(bytes_of(value)?).ok()?))
}

/// A quantity, written.
pub fn quantity(number: u64) -> Value {
    Value::String(format!("{number:#x}"))
}

/// Bytes, written.
pub fn data(bytes: &[u8]) -> Value {
    Value::String(hex::encode_prefixed(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_are_read_strictly() {
        assert_eq!(u64_of(&json!("0x0")), Some(0));
        assert_eq!(u64_of(&json!("0xffffffffffffffff")), Some(u64::MAX));
        assert_eq!(u128_of(&json!("0x10000000000000000")), Some(1 << 64));
        assert_eq!(u256_of(&json!(format!("0x{}", "f".repeat(64)))), Some(U256::MAX));
        let bad = ["", "0x", "0x00", "0x01", "10", "0x-1", "0x+1", "0xg", "0x1 ", "-0x1", "0x_1"];
        for bad in bad {
            assert_eq!(u64_of(&json!(bad)), None, "{bad}");
            assert_eq!(u256_of(&json!(bad)), None, "{bad}");
        }
        assert_eq!(u64_of(&json!("0x10000000000000000")), None);
        assert_eq!(u256_of(&json!(format!("0x{}", "f".repeat(65)))), None);
        for other in [json!(1), json!(null), json!(["0x1"]), json!({"a": 1})] {
            assert_eq!(u64_of(&other), None);
        }
    }

    #[test]
    fn bytes_have_their_exact_length() {
        assert_eq!(bytes_of(&json!("0x")), Some(vec![]));
        assert_eq!(bytes_of(&json!("0x0aFf")), Some(vec![10, 255]));
        for bad in ["", "0x0", "0a", "0xzz", "0x0a0"] {
            assert_eq!(bytes_of(&json!(bad)), None, "{bad}");
        }
        assert!(hash_of(&json!(format!("0x{}", "ab".repeat(32)))).is_some());
        assert!(hash_of(&json!(format!("0x{}", "ab".repeat(31)))).is_none());
        assert!(address_of(&json!(format!("0x{}", "ab".repeat(20)))).is_some());
        assert!(address_of(&json!(format!("0x{}", "ab".repeat(21)))).is_none());
    }

    #[test]
    fn what_is_written_is_read_back() {
        for number in [0, 1, 255, 1 << 40, u64::MAX] {
            assert_eq!(u64_of(&quantity(number)), Some(number));
        }
        assert_eq!(bytes_of(&data(&[0, 1, 254])), Some(vec![0, 1, 254]));
    }
}
