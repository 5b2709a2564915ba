//! What is owed: an asset's immutable definition.

use super::{AssetNumber, Total};
use rkyv::{Archive, Deserialize, Serialize};
use std::fmt;

/// Largest scale: 10^18 units to one whole is what the finest tokens use.
pub const SCALE_MAX: u32 = 18;
/// Longest code: a CAIP-19 asset id is at most 8+1+32+1+8+1+128 characters.
pub const CODE_BYTES_MAX: usize = 179;

/// Which legs settle a window of this asset.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum SettlementModel {
    /// One leg per net pair: a default hits only that pair.
    Bilateral = 1,
    /// One leg per party against the clearing account.
    Multilateral = 2,
}

/// An asset: its number, code, scale and settlement model never change once created.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct AssetDef {
    /// The number that vouchers name.
    pub number: AssetNumber,
    /// ISO 4217 ("USD") or CAIP-19 ("eip155:8453/erc20:0x...").
    pub code: String,
    /// Amounts are integers in units of 10^-scale.
    pub scale: u32,
    /// Which legs settle it.
    pub model: SettlementModel,
}

/// Why an asset's definition is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssetError {
    /// The code is neither ISO 4217 nor CAIP-19.
    #[error(
        "asset code {0:?} is neither ISO 4217 (three capital letters, \"USD\") nor CAIP-19 \
         (\"eip155:8453/erc20:0x...\")"
    )]
    Code(String),
    /// The scale is out of range.
    #[error("scale {0} is more than {SCALE_MAX}")]
    Scale(u32),
}

/// Its definition in a few words, without its number.
impl fmt::Display for AssetDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = match self.model {
            SettlementModel::Bilateral => "bilateral",
            SettlementModel::Multilateral => "multilateral",
        };
        write!(f, "{}, scale {}, {model}", self.code, self.scale)
    }
}

impl AssetDef {
    /// Checks the definition's form.
    ///
    /// # Errors
    /// `AssetError` that says which field is wrong.
    pub fn check(&self) -> Result<(), AssetError> {
        if self.currency().is_none() && !is_caip19(&self.code) {
            return Err(AssetError::Code(self.code.chars().take(80).collect()));
        }
        if self.scale > SCALE_MAX {
            return Err(AssetError::Scale(self.scale));
        }
        Ok(())
    }

    /// The ISO 4217 code, when the asset is a national currency.
    #[must_use]
    pub fn currency(&self) -> Option<&str> {
        let iso = self.code.len() == 3 && self.code.bytes().all(|b| b.is_ascii_uppercase());
        iso.then_some(self.code.as_str())
    }

    /// One whole (10^scale) in asset units.
    #[must_use]
    pub fn whole(&self) -> Total {
        Total(10u128.pow(self.scale))
    }
}

/// Form of CAIP-19: `namespace:reference/namespace:reference`, each part of its own alphabet and
/// length. Source: CAIP-2 and CAIP-19, chainagnostic.org.
fn is_caip19(code: &str) -> bool {
    fn part(text: &str, least: usize, most: usize, extra: &[u8]) -> bool {
        (least..=most).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
    }
    let Some((chain, asset)) = code.split_once('/') else { return false };
    let (Some((chain_ns, chain_ref)), Some((asset_ns, asset_ref))) =
        (chain.split_once(':'), asset.split_once(':'))
    else {
        return false;
    };
    code.len() <= CODE_BYTES_MAX
        && part(chain_ns, 3, 8, b"-")
        && part(chain_ref, 1, 32, b"-_")
        && part(asset_ns, 3, 8, b"-")
        && part(asset_ref, 1, 128, b"-.%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_iso_4217_or_caip_19() {
        let asset = |code: &str, scale| AssetDef {
            number: AssetNumber(1),
            code: code.into(),
            scale,
            model: SettlementModel::Bilateral,
        };
        let usdc = "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
        for good in ["USD", "EUR", usdc, "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/token:EPjF"] {
            assert_eq!(asset(good, 6).check(), Ok(()), "{good}");
        }
        for bad in ["", "usd", "USDC", "US", "eip155:1", "eip155/erc20:0x", "a:b/c:d", "ÄÖÜ"] {
            assert!(matches!(asset(bad, 6).check(), Err(AssetError::Code(_))), "{bad}");
        }
        assert_eq!(asset("USD", 19).check(), Err(AssetError::Scale(19)));
    }
}
