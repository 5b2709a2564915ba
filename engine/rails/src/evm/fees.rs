//! What is offered for gas (EIP-1559), and how an offer is raised.
//!
//! Owns the rules; pure. The market's figures come from a node and are not believed beyond the cap.

use std::fmt;

/// An offer, in wei for one unit of gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    /// What the block's maker gets on top of the base fee, at most.
    pub tip: u128,
    /// What is paid at most, base fee and tip together.
    pub max: u128,
}

/// What a node says about the next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Market {
    /// The next block's base fee.
    pub base: u128,
    /// A tip that recent blocks took.
    pub tip: u128,
}

/// The operator's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeRules {
    /// Never offer more for one unit of gas.
    pub cap: u128,
    /// Never begin with a larger tip; raising an offer may exceed it.
    pub tip_cap: u128,
}

/// The market asks for more than the cap allows: nothing is signed, it is tried again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AboveCap {
    /// What would have to be offered, in wei.
    pub needed: u128,
    /// What may be.
    pub cap: u128,
}

impl fmt::Display for AboveCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed, cap } = self;
        write!(f, "gas costs {needed} wei and the cap is {cap}: wait, or raise max_fee_gwei")
    }
}

impl FeeRules {
    /// The first offer: room for the base fee to double (six full blocks), within the cap.
    ///
    /// # Errors
    /// `AboveCap` if not even the next block could take it.
    pub fn quote(&self, market: &Market) -> Result<Fees, AboveCap> {
        let tip = market.tip.min(self.tip_cap);
        let needed = market.base.saturating_add(tip);
        if needed > self.cap {
            return Err(AboveCap { needed, cap: self.cap });
        }
        Ok(Fees { tip, max: needed.saturating_add(market.base).min(self.cap) })
    }

    /// A higher offer for the same nonce: both parts at least 12.5 % above the old ones, as nodes
    /// ask of a replacement (10 %), and no lower than the market.
    ///
    /// # Errors
    /// `AboveCap` if the cap leaves no room.
    pub fn bump(&self, old: Fees, market: &Market) -> Result<Fees, AboveCap> {
        let least = Fees { tip: raised(old.tip), max: raised(old.max) };
        let market_tip = market.tip.min(self.tip_cap);
        let tip = least.tip.max(market_tip);
        // The base fee must be covered, or the higher offer would not be mined either.
        let needed = least.max.max(market.base.saturating_add(tip));
        if needed > self.cap {
            return Err(AboveCap { needed, cap: self.cap });
        }
        let wished = market.base.saturating_mul(2).saturating_add(tip).min(self.cap);
        Ok(Fees { tip, max: needed.max(wished) })
    }
}

/// 12.5 % more, rounded up, and never the same.
fn raised(fee: u128) -> u128 {
    fee.saturating_add(fee.div_ceil(8).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: FeeRules = FeeRules { cap: 100, tip_cap: 10 };

    #[test]
    fn an_offer_has_room_for_twice_the_base_fee_and_never_exceeds_the_cap() {
        assert_eq!(RULES.quote(&Market { base: 20, tip: 3 }), Ok(Fees { tip: 3, max: 43 }));
        assert_eq!(RULES.quote(&Market { base: 20, tip: 50 }), Ok(Fees { tip: 10, max: 50 }));
        assert_eq!(RULES.quote(&Market { base: 90, tip: 3 }), Ok(Fees { tip: 3, max: 100 }));
        let above = AboveCap { needed: 101, cap: 100 };
        assert_eq!(RULES.quote(&Market { base: 98, tip: 3 }), Err(above));
        let absurd = Market { base: u128::MAX, tip: u128::MAX };
        assert!(RULES.quote(&absurd).is_err());
    }

    #[test]
    fn a_raise_covers_a_base_fee_that_has_risen() {
        let old = Fees { tip: 2, max: 20 };
        let fees = RULES.bump(old, &Market { base: 40, tip: 2 }).unwrap();
        assert_eq!(fees, Fees { tip: 3, max: 83 });
        assert!(RULES.bump(old, &Market { base: 99, tip: 2 }).is_err());
        assert!(RULES.bump(Fees { tip: 2, max: 90 }, &Market { base: 1, tip: 1 }).is_err());
    }

    proptest! {
        /// What nodes ask of a replacement: 10 % more in both parts, tip within max, max within
        /// cap.
        #[test]
        fn every_raise_is_a_replacement_that_a_node_takes(
            tip in 0u128..1 << 60,
            more in 0u128..1 << 60,
            base in 0u128..1 << 62,
            market_tip in 0u128..1 << 62,
            cap in 0u128..1 << 64,
            tip_cap in 0u128..1 << 60,
        ) {
            let (old, rules) = (Fees { tip, max: tip + more }, FeeRules { cap, tip_cap });
            let market = Market { base, tip: market_tip };
            if let Ok(new) = rules.bump(old, &market) {
                prop_assert!(new.tip * 10 >= old.tip * 11 && new.tip > old.tip);
                prop_assert!(new.max * 10 >= old.max * 11 && new.max > old.max);
                prop_assert!(new.tip <= new.max && new.max <= cap);
                prop_assert!(new.max >= base + new.tip);
            }
            if let Ok(first) = rules.quote(&market) {
                prop_assert!(first.tip <= tip_cap && first.tip <= first.max && first.max <= cap);
            }
        }
    }
}
