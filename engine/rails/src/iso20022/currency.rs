//! Currencies: how many digits they have after the point, and what follows for an asset: the
//! smallest step, the smallest and the largest payment, and how an amount is written.
//!
//! Owns the table. Never rounds: what a step cannot express is for the ledger to carry.

use super::RAIL;
use super::account::Clearing;
use tallystick_ledger::types::{AssetDef, Total};
use tallystick_ledger::{Policy, Rail, Refusal};

/// Digits before the point of the largest payment: 999,999,999.99 in the SEPA Credit Transfer
/// Scheme (EPC132-08, AT-T002). Other currencies keep the same number of digits before the point.
const WHOLE_DIGITS: u32 = 9;

/// Minor-unit digits of the currencies that have another number than 2: ISO 4217 list one,
/// 2026-01-01.
const ZERO_DIGITS: [&str; 17] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
    "VUV", "XAF", "XOF", "XPF",
];
const THREE_DIGITS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
const FOUR_DIGITS: [&str; 2] = ["CLF", "UYW"];
/// Codes of the same list without a minor unit: metals, bond units, the test code and "no
/// currency".
const NO_MONEY: [&str; 13] =
    ["XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"];

/// Digits after the point that the currency has; `None` if it is no money that banks move.
fn minor_digits(currency: &str) -> Option<u32> {
    if NO_MONEY.contains(&currency) {
        None
    } else if ZERO_DIGITS.contains(&currency) {
        Some(0)
    } else if THREE_DIGITS.contains(&currency) {
        Some(3)
    } else if FOUR_DIGITS.contains(&currency) {
        Some(4)
    } else {
        Some(2)
    }
}

/// What bank files can do with an asset.
///
/// The step is one minor unit or, for an asset that is coarser, one asset unit. It is also the
/// smallest payment.
pub fn policy(asset: &AssetDef, clearing: &[(String, String)]) -> Result<Policy, Refusal> {
    let unfit = |why: String| Refusal::RailUnfit { rail: RAIL, asset: asset.number, why };
    let Some(currency) = asset.currency() else {
        return Err(unfit(
            "banks move ISO 4217 currencies only; settle it on a rail of its own network".into(),
        ));
    };
    let Some(minor) = minor_digits(currency) else {
        return Err(unfit(format!("{currency} is no currency that banks move")));
    };
    if Clearing::read(clearing).is_none() {
        return Err(unfit("the clearing account lacks its iban or name; configure it".into()));
    }
    let digits = minor.min(asset.scale);
    let unit = 10u128.pow(asset.scale - digits);
    Ok(Policy {
        rail: Rail::Iso20022,
        unit: Total(unit),
        least: Total(unit),
        most: Total((10u128.pow(WHOLE_DIGITS + digits) - 1) * unit),
        clearing: clearing.to_vec(),
    })
}

/// Writes amounts of one batch as the file does: with exactly the currency's digits after the
/// point.
pub struct Amounts {
    unit: Total,
    /// Minor units in one step.
    minor_per_step: u128,
    minor: u32,
}

impl Amounts {
    /// For an asset whose batch was computed with steps of `unit`.
    pub fn new(asset: &AssetDef, unit: Total) -> Self {
        let minor = asset.currency().and_then(minor_digits);
        let minor = minor.expect("policy() lets only currencies with a minor unit into a batch");
        let digits = asset.scale - unit.0.ilog10();
        // More than the currency has: only if its digits became fewer after the batch was computed.
        let minor = minor.max(digits);
        Self { unit, minor_per_step: 10u128.pow(minor - digits), minor }
    }

    /// The amount as a decimal number. Panics if it is not a whole number of steps: the file would
    /// not say what is owed.
    pub fn text(&self, amount: Total) -> String {
        let (_, rest) = amount.split(self.unit);
        assert_eq!(rest, Total::ZERO, "a leg is a multiple of the rail's unit");
        Total(amount.0 / self.unit.0 * self.minor_per_step).decimal(self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::CLEARING_PLACEHOLDER;
    use super::*;
    use tallystick_ledger::types::{AssetNumber, SettlementModel};

    fn asset(code: &str, scale: u32) -> AssetDef {
        AssetDef {
            number: AssetNumber(1),
            code: code.into(),
            scale,
            model: SettlementModel::Multilateral,
        }
    }

    fn clearing() -> Vec<(String, String)> {
        CLEARING_PLACEHOLDER.map(|(name, value)| (name.into(), value.into())).to_vec()
    }

    #[test]
    fn unit_and_limits_follow_from_currency_and_scale() {
        for (code, scale, unit, most, one) in [
            ("USD", 6, 10_000, 999_999_999_990_000, "0.01"),
            ("EUR", 2, 1, 99_999_999_999, "0.01"),
            ("EUR", 1, 1, 9_999_999_999, "0.10"),
            ("EUR", 0, 1, 999_999_999, "1.00"),
            ("JPY", 0, 1, 999_999_999, "1"),
            ("JPY", 6, 1_000_000, 999_999_999_000_000, "1"),
            ("KWD", 6, 1_000, 999_999_999_999_000, "0.001"),
            ("KWD", 2, 1, 99_999_999_999, "0.010"),
            ("CLF", 4, 1, 9_999_999_999_999, "0.0001"),
            ("USD", 18, 10u128.pow(16), (10u128.pow(11) - 1) * 10u128.pow(16), "0.01"),
        ] {
            let asset = asset(code, scale);
            let policy = policy(&asset, &clearing()).unwrap();
            let sums = [policy.unit, policy.least, policy.most];
            assert_eq!(sums, [Total(unit), Total(unit), Total(most)], "{code} {scale}");
            let amounts = Amounts::new(&asset, policy.unit);
            assert_eq!(amounts.text(policy.unit), one, "{code} {scale}");
            assert!(amounts.text(policy.most).starts_with("999999999"), "{code} {scale}");
        }
    }

    #[test]
    fn what_banks_do_not_move_is_refused_with_the_reason() {
        let usdc = "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
        for code in ["XAU", "XXX", "XTS", usdc] {
            let error = policy(&asset(code, 6), &clearing()).unwrap_err();
            assert!(matches!(error, Refusal::RailUnfit { rail: "iso20022", .. }), "{error}");
        }
        assert!(policy(&asset("EUR", 2), &clearing()[..1]).is_err());
    }

    #[test]
    fn a_batch_from_before_a_currency_lost_digits_is_written_in_full() {
        let amounts = Amounts::new(&asset("JPY", 2), Total(1));
        assert_eq!(amounts.text(Total(12_345)), "123.45");
    }

    #[test]
    #[should_panic(expected = "multiple of the rail's unit")]
    fn an_amount_between_two_steps_is_never_written() {
        let asset = asset("EUR", 6);
        let _ = Amounts::new(&asset, Total(10_000)).text(Total(10_001));
    }
}
