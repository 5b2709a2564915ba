//! Netting: obligations, set off per pair, summed per party. Pure and ordered.
//!
//! Parties are numbered in the order of their ids first, so that sorting and searching compare one
//! number a pair, and a sum is found by its party's number.

use super::window::{Obligation, Position};
use crate::types::{Net, PartyId, Total};
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// Numbers parties as they come, and then by the order of their ids. Nothing that it gives depends
/// on the order in which the map holds them.
#[derive(Default)]
pub(super) struct Numbering {
    numbers: HashMap<PartyId, u32, RandomState>,
    ids: Vec<PartyId>,
}

impl Numbering {
    /// The number of a party: how many others came before it.
    pub fn number(&mut self, party: PartyId) -> u32 {
        let ids = &mut self.ids;
        *self.numbers.entry(party).or_insert_with(|| {
            ids.push(party);
            u32::try_from(ids.len() - 1).expect("parties are limited")
        })
    }

    /// All parties in the order of their ids, and by number the place of each among them.
    pub fn ranked(self) -> (Vec<PartyId>, Vec<u32>) {
        let Self { numbers, ids: came } = self;
        drop(numbers);
        let mut order: Vec<u32> =
            (0..came.len()).map(|n| u32::try_from(n).expect("parties are limited")).collect();
        order.sort_unstable_by_key(|&number| came[number as usize]);
        let mut ranks = vec![0; came.len()];
        for (rank, &number) in (0u32..).zip(&order) {
            ranks[number as usize] = rank;
        }
        (order.iter().map(|&number| came[number as usize]).collect(), ranks)
    }
}

/// What is owed from one party to another, by their numbers: payer above, payee below.
struct Flow {
    pair: u64,
    amount: Net,
}

impl Flow {
    fn payer(&self) -> u32 {
        u32::try_from(self.pair >> 32).expect("it is the upper half")
    }

    fn payee(&self) -> u32 {
        u32::try_from(self.pair & u64::from(u32::MAX)).expect("it is the lower half")
    }
}

fn pair(payer: u32, payee: u32) -> u64 {
    u64::from(payer) << 32 | u64::from(payee)
}

/// What is owed, once a direction, ordered by (payer, payee); and who the numbers are.
struct Flows {
    parties: Vec<PartyId>,
    flows: Vec<Flow>,
}

impl Flows {
    fn of<'a>(obligations: impl Iterator<Item = &'a Obligation>) -> Self {
        let (mut numbering, mut last) = (Numbering::default(), None);
        let mut flows = Vec::with_capacity(obligations.size_hint().0);
        for Obligation { payer, payee, amount } in obligations {
            // Obligations mostly come payer by payer.
            let number = match last {
                Some((of, number)) if of == *payer => number,
                Some(_) | None => numbering.number(*payer),
            };
            last = Some((*payer, number));
            let pair = pair(number, numbering.number(*payee));
            flows.push(Flow { pair, amount: amount.to_net() });
        }
        let (parties, ranks) = numbering.ranked();
        for flow in &mut flows {
            flow.pair = pair(ranks[flow.payer() as usize], ranks[flow.payee() as usize]);
        }
        if !flows.is_sorted_by_key(|flow| flow.pair) {
            flows.sort_unstable_by_key(|flow| flow.pair);
        }
        flows.dedup_by(|next, kept| {
            let same = next.pair == kept.pair;
            if same {
                kept.amount = kept.amount.plus(next.amount);
            }
            same
        });
        Self { parties, flows }
    }

    /// Sets each pair off.
    fn net(&self) -> Vec<Obligation> {
        // Where each payer's flows begin.
        let mut begins = vec![0; self.parties.len() + 1];
        for flow in &self.flows {
            begins[flow.payer() as usize + 1] += 1;
        }
        for payer in 0..self.parties.len() {
            begins[payer + 1] += begins[payer];
        }
        let back = |flow: &Flow| {
            let (payer, payee) = (flow.payer(), flow.payee() as usize);
            let own = &self.flows[begins[payee]..begins[payee + 1]];
            let place = own.binary_search_by_key(&payer, Flow::payee).ok()?;
            Some(own[place].amount)
        };
        let net = |flow: &Flow| {
            let net = flow.amount.minus(back(flow).unwrap_or(Net::ZERO));
            let [payer, payee] = [flow.payer(), flow.payee()].map(|n| self.parties[n as usize]);
            (net > Net::ZERO).then(|| Obligation { payer, payee, amount: net.size() })
        };
        self.flows.iter().filter_map(net).collect()
    }

    /// Sums per party.
    fn positions(&self) -> Vec<Position> {
        let mut sums = vec![Net::ZERO; self.parties.len()];
        for flow in &self.flows {
            let [payer, payee] = [flow.payer(), flow.payee()].map(|n| n as usize);
            sums[payee] = sums[payee].plus(flow.amount);
            sums[payer] = sums[payer].minus(flow.amount);
        }
        let position = |(&party, net)| Position { party, net };
        let positions = self.parties.iter().zip(sums).map(position);
        let positions: Vec<_> = positions.filter(|position| position.net != Net::ZERO).collect();
        assert_sums_to_zero(&positions);
        positions
    }
}

/// Both `net_pairs` and `positions` of the same obligations.
pub fn net<'a>(
    obligations: impl Iterator<Item = &'a Obligation>,
) -> (Vec<Obligation>, Vec<Position>) {
    let flows = Flows::of(obligations);
    (flows.net(), flows.positions())
}

/// Sets the obligations of each pair off against each other: one direction, one amount, ordered by
/// (payer, payee). Pairs that owe each other the same vanish.
pub fn net_pairs<'a>(obligations: impl Iterator<Item = &'a Obligation>) -> Vec<Obligation> {
    Flows::of(obligations).net()
}

/// Per party what it receives minus what it sends, ordered by party, zeros left out.
///
/// Panics when the positions do not sum to zero: money would have appeared or vanished.
pub fn positions<'a>(obligations: impl Iterator<Item = &'a Obligation>) -> Vec<Position> {
    Flows::of(obligations).positions()
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

    /// Netting as it is said: every pair and every party looked up on its own.
    fn slow_nets(owed: &[Obligation]) -> Vec<Obligation> {
        let mut flows: BTreeMap<(PartyId, PartyId), i128> = BTreeMap::new();
        for o in owed {
            let units = i128::try_from(o.amount.0).unwrap();
            *flows.entry((o.payer, o.payee)).or_default() += units;
            *flows.entry((o.payee, o.payer)).or_default() -= units;
        }
        let owes = flows.into_iter().filter(|(_, units)| *units > 0);
        let net = |((payer, payee), units): (_, i128)| Obligation {
            payer,
            payee,
            amount: Total(units.unsigned_abs()),
        };
        owes.map(net).collect()
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
            prop_assert_eq!(&nets, &slow_nets(&owed));
            prop_assert_eq!(net(owed.iter()), (nets.clone(), positions(owed.iter())));
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
