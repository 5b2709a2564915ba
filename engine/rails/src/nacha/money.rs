//! Money on ACH: United States dollars in whole cents.
//!
//! Owns what can be settled, the smallest and the largest entry, and how asset units become cents.
//! Never rounds: what is less than a cent is for the ledger to carry.

use super::RAIL;
use super::account::{Clearing, check_clearing};
use tallystick_ledger::types::{AssetDef, SettlementModel, Total};
use tallystick_ledger::{Leg, OpenBatch, Policy, Rail, Refusal};

/// Largest amount of an entry, in cents: its field has ten digits.
pub const ENTRY_CENTS_MAX: u128 = 9_999_999_999;
/// Largest amount of an entry that is to settle on the day of its file, in cents (Nacha Operating
/// Rules, since 18 March 2022).
pub const SAME_DAY_CENTS_MAX: u128 = 100_000_000;
const _: () = assert!(SAME_DAY_CENTS_MAX <= ENTRY_CENTS_MAX);

/// Digits of a dollar after the point.
const CENT_DIGITS: u32 = 2;

/// What ACH can do with an asset.
///
/// The step is a cent or, for an asset that is coarser, one asset unit. It is also the smallest
/// payment.
pub fn policy(asset: &AssetDef, clearing: &[(String, String)]) -> Result<Policy, Refusal> {
    let unfit = |why: String| Refusal::RailUnfit { rail: RAIL, asset: asset.number, why };
    if asset.currency() != Some("USD") {
        return Err(unfit("ACH moves USD only; settle it on another rail".into()));
    }
    match asset.model {
        SettlementModel::Multilateral => {}
        SettlementModel::Bilateral => {
            return Err(unfit(
                "its model is bilateral, and ACH entries move money between one party and the \
                 clearing account; settle it on rail iso20022, or create a multilateral asset"
                    .into(),
            ));
        }
    }
    let given = clearing.iter().cloned().collect();
    let checked = check_clearing(&given).and_then(|_| Clearing::read(clearing));
    let account = checked.map_err(|error| {
        unfit(format!("the clearing account: {error}; correct [clearing.nacha]"))
    })?;
    let cents = Cents::of(asset);
    let most = if account.same_day { SAME_DAY_CENTS_MAX } else { ENTRY_CENTS_MAX };
    let unit = cents.unit;
    Ok(Policy {
        rail: Rail::Nacha,
        unit,
        least: unit,
        most: Total(most / cents.per_unit * unit.0),
        clearing: clearing.to_vec(),
    })
}

/// How the amounts of one asset become cents.
#[derive(Debug, Clone, Copy)]
pub struct Cents {
    /// The rail's step, in asset units.
    unit: Total,
    /// Cents in one step.
    per_unit: u128,
}

impl Cents {
    /// For an asset in dollars.
    pub fn of(asset: &AssetDef) -> Self {
        Self::of_scale(asset.scale)
    }

    /// For an asset in dollars with that many digits after the point.
    pub fn of_scale(scale: u32) -> Self {
        let digits = CENT_DIGITS.min(scale);
        Self { unit: Total(10u128.pow(scale - digits)), per_unit: 10u128.pow(CENT_DIGITS - digits) }
    }

    /// An amount in cents; `None` if it is no whole number of steps.
    pub fn checked(self, amount: Total) -> Option<Total> {
        let (_, rest) = amount.split(self.unit);
        if rest > Total::ZERO {
            return None;
        }
        (amount.0 / self.unit.0).checked_mul(self.per_unit).map(Total)
    }

    /// A leg's amount in cents. Panics between two steps: the file would not say what is owed.
    pub fn exact(self, amount: Total) -> Total {
        self.checked(amount).expect("a leg is a multiple of the rail's unit")
    }

    /// What legs move together, in cents.
    pub fn sum(self, legs: &[Leg]) -> Total {
        legs.iter().fold(Total::ZERO, |sum, leg| sum.plus(self.exact(leg.payment.amount)))
    }

    /// Cents in asset units; `None` if the asset cannot express them.
    pub fn to_units(self, cents: Total) -> Option<Total> {
        let (_, rest) = cents.split(Total(self.per_unit));
        if rest > Total::ZERO {
            return None;
        }
        (cents.0 / self.per_unit).checked_mul(self.unit.0).map(Total)
    }

    /// The amount in dollars, with both digits after the point.
    pub fn text(self, amount: Total) -> String {
        self.exact(amount).decimal(CENT_DIGITS)
    }
}

/// How the amounts of a batch are written.
pub fn amounts(content: &OpenBatch) -> Cents {
    Cents::of(&content.head.asset)
}

#[cfg(test)]
mod tests {
    use super::super::CLEARING_PLACEHOLDER;
    use super::*;
    use tallystick_ledger::types::AssetNumber;

    fn asset(code: &str, scale: u32, model: SettlementModel) -> AssetDef {
        AssetDef { number: AssetNumber(840), code: code.into(), scale, model }
    }

    fn clearing(same_day: &str) -> Vec<(String, String)> {
        let own = |(name, value): (&str, &str)| match name {
            "same_day" => (name.to_owned(), same_day.to_owned()),
            _ => (name.to_owned(), value.to_owned()),
        };
        CLEARING_PLACEHOLDER.map(own).to_vec()
    }

    #[test]
    fn unit_and_limits_follow_from_the_scale() {
        for (scale, unit, most, same_day, one) in [
            (6, 10_000, 99_999_999_990_000, 1_000_000_000_000, "0.01"),
            (2, 1, 9_999_999_999, 100_000_000, "0.01"),
            (1, 1, 999_999_999, 10_000_000, "0.10"),
            (0, 1, 99_999_999, 1_000_000, "1.00"),
            (18, 10u128.pow(16), 9_999_999_999 * 10u128.pow(16), 10u128.pow(24), "0.01"),
        ] {
            let asset = asset("USD", scale, SettlementModel::Multilateral);
            for (flag, most) in [("no", most), ("yes", same_day)] {
                let policy = policy(&asset, &clearing(flag)).unwrap();
                let sums = [policy.unit, policy.least, policy.most];
                assert_eq!(sums, [Total(unit), Total(unit), Total(most)], "{scale} {flag}");
                let cents = Cents::of(&asset);
                assert_eq!(cents.text(policy.unit), one);
                let largest = cents.exact(policy.most);
                assert!(largest <= Total(ENTRY_CENTS_MAX));
                assert_eq!(cents.to_units(largest), Some(policy.most));
            }
        }
    }

    #[test]
    fn what_ach_cannot_move_is_refused_with_the_reason() {
        let usdc = "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
        let multilateral = SettlementModel::Multilateral;
        let bilateral = SettlementModel::Bilateral;
        for (code, model, clearing, part) in [
            ("EUR", multilateral, clearing("no"), "USD only"),
            (usdc, multilateral, clearing("no"), "USD only"),
            ("USD", bilateral, clearing("no"), "multilateral asset"),
            ("USD", multilateral, Vec::new(), "[clearing.nacha]"),
            ("USD", multilateral, clearing("no")[1..].to_vec(), "\"account\" is missing"),
        ] {
            let error = policy(&asset(code, 6, model), &clearing).unwrap_err();
            assert!(matches!(error, Refusal::RailUnfit { rail: "nacha", .. }), "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn nothing_between_two_steps_becomes_cents_or_units() {
        let fine = Cents::of_scale(6);
        assert_eq!(fine.checked(Total(10_001)), None);
        assert_eq!(fine.checked(Total(12_340_000)), Some(Total(1_234)));
        assert_eq!(fine.to_units(Total(1)), Some(Total(10_000)));
        let coarse = Cents::of_scale(0);
        assert_eq!(coarse.checked(Total(5)), Some(Total(500)));
        assert_eq!(coarse.to_units(Total(550)), None);
        assert_eq!(coarse.to_units(Total(500)), Some(Total(5)));
    }
}
