//! Currencies as the provider's API counts them: digits, steps, smallest and largest charge, and
//! what follows for an asset.
//!
//! Owns the tables. Never rounds: what a step cannot express is for the ledger to carry.

use super::{RAIL, account};
use tallystick_ledger::types::{AssetDef, SettlementModel, Total};
use tallystick_ledger::{Policy, Rail, Refusal};

/// Currencies that the API counts in whole units: docs.stripe.com/currencies, "Zero-decimal
/// currencies", 2026. Other than in ISO 4217, MGA is one of them and ISK is not.
const ZERO_DIGITS: [&str; 15] = [
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF",
    "XOF", "XPF",
];
/// Counted in thousandths, of which the last digit must be 0 (same page, "Three-decimal
/// currencies").
const THREE_DIGITS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];
/// Counted in hundredths that must be whole units (same page, "Special cases"): ISK always, HUF and
/// TWD in payouts, and one batch has one step.
const WHOLE_HUNDREDTHS: [&str; 3] = ["HUF", "ISK", "TWD"];
/// Refused. UGX: the page says both that it is counted in whole units and in hundredths; a factor
/// of a hundred is not to be guessed. The others have 3 or 4 digits and are not in the API's
/// tables, or are no money at all (ISO 4217 list one).
const REFUSED: [&str; 19] = [
    "UGX", "CLF", "IQD", "LYD", "UYI", "UYW", "XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR",
    "XPD", "XPT", "XSU", "XTS", "XUA", "XXX",
];

/// Smallest charge, in the API's units (same page, "Minimum and maximum charge amounts").
const LEAST: [(&str, u64); 24] = [
    ("AED", 200),
    ("AUD", 50),
    ("BGN", 100),
    ("BRL", 50),
    ("CAD", 50),
    ("CHF", 50),
    ("CZK", 1_500),
    ("DKK", 250),
    ("EUR", 50),
    ("GBP", 30),
    ("HKD", 400),
    ("HUF", 17_500),
    ("INR", 50),
    ("JPY", 50),
    ("MXN", 1_000),
    ("MYR", 200),
    ("NOK", 300),
    ("NZD", 50),
    ("PLN", 200),
    ("RON", 200),
    ("SEK", 300),
    ("SGD", 50),
    ("THB", 1_000),
    ("USD", 50),
];
/// For currencies that the page does not name: high, because a charge that is too small costs a
/// call and a rejected leg, and a minimum that is too high only carries a sum to the next window.
const LEAST_DEFAULT: u64 = 10_000;
/// Largest charge: eight digits in the API's units (same page).
const MOST: u64 = 99_999_999;

/// How the API counts a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    /// Digits after the point in the API's unit.
    digits: u32,
    /// How many of them must be zero.
    zeros: u32,
}

fn counted(currency: &str) -> Option<Counted> {
    if REFUSED.contains(&currency) {
        None
    } else if ZERO_DIGITS.contains(&currency) {
        Some(Counted { digits: 0, zeros: 0 })
    } else if THREE_DIGITS.contains(&currency) {
        Some(Counted { digits: 3, zeros: 1 })
    } else if WHOLE_HUNDREDTHS.contains(&currency) {
        Some(Counted { digits: 2, zeros: 2 })
    } else {
        Some(Counted { digits: 2, zeros: 0 })
    }
}

/// What the provider can do with an asset.
pub fn policy(asset: &AssetDef, clearing: &[(String, String)]) -> Result<Policy, Refusal> {
    let unfit = |why: String| Refusal::RailUnfit { rail: RAIL, asset: asset.number, why };
    let Some(currency) = asset.currency() else {
        return Err(unfit(
            "cards are charged in ISO 4217 currencies only; settle it on a rail of its own network"
                .into(),
        ));
    };
    match asset.model {
        SettlementModel::Multilateral => {}
        SettlementModel::Bilateral => {
            return Err(unfit(
                "it settles bilaterally, and a provider cannot move money from one party to \
                 another: create the asset as multilateral, or settle it on rail iso20022"
                    .into(),
            ));
        }
    }
    let Some(Counted { digits, zeros }) = counted(currency) else {
        return Err(unfit(format!("{currency} is no currency that cards are charged in here")));
    };
    if account::Clearing::read(clearing).is_none() {
        return Err(unfit("the clearing account lacks its account; configure it".into()));
    }
    let amounts = Amounts::with_digits(asset, digits);
    let step = amounts.step(digits - zeros);
    let least = LEAST.iter().find(|(code, _)| *code == currency);
    let least = amounts.scaled(least.map_or(LEAST_DEFAULT, |(_, least)| *least));
    let step_scaled = step.0 * amounts.api_whole;
    Ok(Policy {
        rail: Rail::Card,
        unit: step,
        least: Total(least.div_ceil(step_scaled) * step.0),
        most: Total(amounts.scaled(MOST) / step_scaled * step.0),
        clearing: clearing.to_vec(),
    })
}

/// Turns amounts of one asset into the API's units and back.
#[derive(Debug, Clone, Copy)]
pub struct Amounts {
    /// Asset units of one whole.
    whole: Total,
    /// The API's units of one whole.
    api_whole: u128,
    digits: u32,
}

impl Amounts {
    /// For an asset whose currency the rail takes.
    pub fn of(asset: &AssetDef) -> Option<Self> {
        let counted = asset.currency().and_then(counted)?;
        Some(Self::with_digits(asset, counted.digits))
    }

    fn with_digits(asset: &AssetDef, digits: u32) -> Self {
        Self { whole: asset.whole(), api_whole: 10u128.pow(digits), digits }
    }

    /// The smallest step of `digits` digits, or one asset unit where the asset is coarser.
    fn step(&self, digits: u32) -> Total {
        Total((self.whole.0 / 10u128.pow(digits)).max(1))
    }

    /// So many of the API's units in asset units, times `api_whole`: nothing is rounded.
    fn scaled(&self, api: u64) -> u128 {
        u128::from(api) * self.whole.0
    }

    /// An amount in the API's units; `None` if they cannot express it exactly.
    pub fn api_units(self, amount: Total) -> Option<u64> {
        let scaled = amount.0.checked_mul(self.api_whole)?;
        let exact = scaled.is_multiple_of(self.whole.0);
        exact.then(|| u64::try_from(scaled / self.whole.0).ok()).flatten()
    }

    /// What the API calls `api`, in asset units; `None` if the asset cannot express it exactly.
    pub fn asset_units(self, api: u64) -> Option<Total> {
        let scaled = u128::from(api).checked_mul(self.whole.0)?;
        scaled.is_multiple_of(self.api_whole).then(|| Total(scaled / self.api_whole))
    }

    /// The amount as a decimal number with the API's digits, for people. Panics if they cannot
    /// express it: the file would not say what is owed.
    pub fn text(self, amount: Total) -> String {
        let api = self.api_units(amount).expect("a leg is a multiple of the rail's unit");
        Total(u128::from(api)).decimal(self.digits)
    }
}

#[cfg(test)]
mod tests {
    use super::super::CLEARING_PLACEHOLDER;
    use super::*;
    use proptest::prelude::*;
    use tallystick_ledger::types::AssetNumber;

    fn asset(code: &str, scale: u32) -> AssetDef {
        let model = SettlementModel::Multilateral;
        AssetDef { number: AssetNumber(1), code: code.into(), scale, model }
    }

    fn clearing() -> Vec<(String, String)> {
        CLEARING_PLACEHOLDER.map(|(name, value)| (name.into(), value.into())).to_vec()
    }

    #[test]
    fn unit_least_and_most_follow_from_currency_and_scale() {
        for (code, scale, unit, least, most) in [
            ("USD", 6, 10_000, 500_000, 999_999_990_000),
            ("EUR", 2, 1, 50, 99_999_999),
            ("EUR", 1, 1, 5, 9_999_999),
            ("GBP", 0, 1, 1, 999_999),
            ("JPY", 0, 1, 50, 99_999_999),
            ("JPY", 2, 100, 5_000, 9_999_999_900),
            ("MGA", 2, 100, 1_000_000, 9_999_999_900),
            // The last digit of thousandths is 0.
            ("KWD", 6, 10_000, 10_000_000, 99_999_990_000),
            ("KWD", 3, 10, 10_000, 99_999_990),
            ("KWD", 1, 1, 100, 999_999),
            // Hundredths that are whole.
            ("HUF", 2, 100, 17_500, 99_999_900),
            ("ISK", 0, 1, 100, 999_999),
            ("IDR", 2, 1, 10_000, 99_999_999),
            ("USD", 18, 10u128.pow(16), 50 * 10u128.pow(16), 99_999_999 * 10u128.pow(16)),
        ] {
            let policy = policy(&asset(code, scale), &clearing()).unwrap();
            let sums = [policy.unit, policy.least, policy.most];
            assert_eq!(sums, [Total(unit), Total(least), Total(most)], "{code} {scale}");
        }
    }

    #[test]
    fn every_policy_speaks_in_its_own_steps_and_the_api_can_say_all_of_them() {
        let listed = LEAST.map(|(code, _)| code);
        let special = ZERO_DIGITS.iter().chain(&THREE_DIGITS).chain(&WHOLE_HUNDREDTHS);
        for code in listed.iter().chain(special).chain(&["IDR", "XCD"]) {
            let Counted { digits, zeros } = counted(code).unwrap();
            for scale in 0..=18 {
                let asset = asset(code, scale);
                let Policy { unit, least, most, .. } = policy(&asset, &clearing()).unwrap();
                assert!(unit <= least && least < most, "{code} {scale}");
                assert!([least, most].into_iter().all(|sum| sum.0.is_multiple_of(unit.0)));
                let amounts = Amounts::of(&asset).unwrap();
                for sum in [unit, least, most, Total(least.0 + unit.0)] {
                    let api = amounts.api_units(sum).unwrap();
                    assert!(api.is_multiple_of(10u64.pow(zeros)) && api <= MOST, "{code} {scale}");
                    assert_eq!(amounts.asset_units(api), Some(sum));
                    assert_eq!(amounts.text(sum).contains('.'), digits > 0);
                }
            }
        }
    }

    #[test]
    fn what_cards_cannot_settle_is_refused_with_the_reason() {
        let usdc = "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
        for code in ["UGX", "IQD", "XAU", "XXX", usdc] {
            let error = policy(&asset(code, 6), &clearing()).unwrap_err();
            assert!(matches!(error, Refusal::RailUnfit { rail: "card", .. }), "{error}");
        }
        let mut pairs = asset("EUR", 2);
        pairs.model = SettlementModel::Bilateral;
        let error = policy(&pairs, &clearing()).unwrap_err().to_string();
        assert!(error.contains("multilateral"), "{error}");
        assert!(policy(&asset("EUR", 2), &[]).is_err());
    }

    #[test]
    fn what_the_api_cannot_say_exactly_is_not_said() {
        let amounts = Amounts::of(&asset("EUR", 6)).unwrap();
        assert_eq!(amounts.api_units(Total(10_000)), Some(1));
        assert_eq!(amounts.api_units(Total(10_001)), None);
        assert_eq!(amounts.api_units(Total(u128::MAX)), None);
        assert_eq!(Amounts::of(&asset("EUR", 0)).unwrap().asset_units(150), None);
        assert_eq!(amounts.text(Total(12_340_000)), "12.34");
        assert_eq!(Amounts::of(&asset("JPY", 2)).unwrap().text(Total(12_300)), "123");
    }

    proptest! {
        #[test]
        fn to_the_api_and_back_is_the_same_sum(
            units in any::<u64>(),
            scale in 0u32..=18,
            code in prop::sample::select(vec!["EUR", "JPY", "KWD", "HUF"]),
        ) {
            let amounts = Amounts::of(&asset(code, scale)).unwrap();
            if let Some(api) = amounts.api_units(Total(u128::from(units))) {
                prop_assert_eq!(amounts.asset_units(api), Some(Total(u128::from(units))));
            }
        }
    }
}
