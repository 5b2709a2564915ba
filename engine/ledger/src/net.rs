//! Netting: obligations, set off per pair, summed per party. Pure and ordered.

use super::window::{Obligation, Position};
use crate::types::{Net, PartyId, Total};

/// Sets the obligations of each pair off against each other: one direction, one amount, ordered by
/// (payer, payee). Pairs that owe each other the same vanish.
pub fn net_pairs<'a>(obligations: impl Iterator<Item = &'a Obligation>) -> Vec<Obligation> {
    // Key each obligation by its unordered pair; positive flows from the lower party to the higher.
    let mut flows: Vec<(PartyId, PartyId, Net)> = obligations
        .map(|o| {
            let amount = o.amount.to_net();
            if o.payer < o.payee {
                (o.payer, o.payee, amount)
            } else {
                (o.payee, o.payer, Net::ZERO.minus(amount))
            }
        })
        .collect();
    flows.sort_unstable_by_key(|&(low, high, _)| (low, high));
    let mut nets: Vec<Obligation> = flows
        .chunk_by(|a, b| (a.0, a.1) == (b.0, b.1))
        .filter_map(|pair| {
            let (low, high, _) = pair[0];
            let net = pair.iter().fold(Net::ZERO, |sum, flow| sum.plus(flow.2));
            let (payer, payee) = if net > Net::ZERO { (low, high) } else { (high, low) };
            (net != Net::ZERO).then_some(Obligation { payer, payee, amount: net.size() })
        })
        .collect();
    nets.sort_unstable_by_key(|o| (o.payer, o.payee));
    nets
}

/// Per party what it receives minus what it sends, ordered by party, zeros left out.
///
/// Panics when the positions do not sum to zero: money would have appeared or vanished.
pub fn positions<'a>(obligations: impl Iterator<Item = &'a Obligation>) -> Vec<Position> {
    let mut flows: Vec<(PartyId, Net)> = Vec::new();
    for o in obligations {
        let amount = o.amount.to_net();
        flows.push((o.payee, amount));
        flows.push((o.payer, Net::ZERO.minus(amount)));
    }
    flows.sort_unstable_by_key(|&(party, _)| party);
    let positions: Vec<Position> = flows
        .chunk_by(|a, b| a.0 == b.0)
        .map(|party| Position {
            party: party[0].0,
            net: party.iter().fold(Net::ZERO, |sum, flow| sum.plus(flow.1)),
        })
        .filter(|position| position.net != Net::ZERO)
        .collect();
    assert_sums_to_zero(&positions);
    positions
}

/// Panics unless the positions sum to zero. Checked in release builds, at every close and batch.
pub fn assert_sums_to_zero(positions: &[Position]) {
    let sum = positions.iter().fold(Net::ZERO, |sum, position| sum.plus(position.net));
    assert_eq!(sum, Net::ZERO, "net positions must sum to zero");
}

/// The sum of obligations.
pub fn gross(obligations: &[Obligation]) -> Total {
    obligations.iter().fold(Total::ZERO, |sum, o| sum.plus(o.amount))
}

/// Half the sum of the positions' sizes.
pub fn value_moved(positions: &[Position]) -> Total {
    positions
        .iter()
        .filter(|position| position.net > Net::ZERO)
        .fold(Total::ZERO, |sum, position| sum.plus(position.net.size()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn party(n: u8) -> PartyId {
        PartyId([n; 32])
    }

    fn obligations() -> impl Strategy<Value = Vec<Obligation>> {
        let one = (0u8..6, 0u8..6, 1u64..50).prop_filter("payer is not payee", |(a, b, _)| a != b);
        proptest::collection::vec(one, 0..60).prop_map(|flows| {
            let owe = |(a, b, units): (u8, u8, u64)| Obligation {
                payer: party(a),
                payee: party(b),
                amount: Total(u128::from(units)),
            };
            flows.into_iter().map(owe).collect()
        })
    }

    proptest! {
        #[test]
        fn netting_keeps_every_position(owed in obligations()) {
            let mut slow: BTreeMap<PartyId, i128> = BTreeMap::new();
            for o in &owed {
                let units = i128::try_from(o.amount.0).unwrap();
                *slow.entry(o.payee).or_default() += units;
                *slow.entry(o.payer).or_default() -= units;
            }
            slow.retain(|_, net| *net != 0);
            let fast: BTreeMap<PartyId, i128> =
                positions(owed.iter()).iter().map(|p| (p.party, p.net.0)).collect();
            prop_assert_eq!(&fast, &slow);
            let nets = net_pairs(owed.iter());
            prop_assert_eq!(positions(nets.iter()), positions(owed.iter()));
            prop_assert!(gross(&nets) <= gross(&owed));
            prop_assert!(value_moved(&positions(owed.iter())) <= gross(&nets));
            let mut pairs: Vec<_> =
                nets.iter().map(|o| (o.payer.min(o.payee), o.payer.max(o.payee))).collect();
            pairs.sort_unstable();
            let before = pairs.len();
            pairs.dedup();
            prop_assert_eq!(pairs.len(), before, "a pair stands twice");
        }
    }
}
