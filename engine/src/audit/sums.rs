//! The audit's own sums: what pairs owe net, and where each party stands. As plain as can be.

use crate::ledger::{Obligation, Position, WindowTotals};
use crate::types::{Net, PartyId, Total};

/// What one asset of a window comes to.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub net: Vec<Obligation>,
    pub positions: Vec<Position>,
    pub carried_in: Total,
    pub totals: WindowTotals,
    /// What each payer owes gross, ordered by party.
    pub owed: Vec<(PartyId, u128)>,
}

/// Adds up obligations and carries; `None` if a sum is larger than any sum of money can be.
pub(super) fn sums(obligations: &[Obligation], carried: &[Obligation]) -> Option<Sums> {
    let all = || obligations.iter().chain(carried);
    let net = net(all())?;
    let positions = positions(all())?;
    let mut moved = 0u128;
    let mut zero = 0i128;
    for position in &positions {
        zero = zero.checked_add(position.net.0)?;
        moved = moved.checked_add(position.net.0.unsigned_abs())?;
    }
    // Follows from how they are made; asked for all the same, since it is the one thing that must
    // hold.
    if zero != 0 {
        return None;
    }
    let totals = WindowTotals {
        pairs: count(obligations.len()),
        gross: gross(obligations)?,
        net_pairs: count(net.len()),
        net_bilateral: gross(&net)?,
        positions: count(positions.len()),
        net_multilateral: Total(moved / 2),
    };
    let mut owed: Vec<(PartyId, u128)> = Vec::new();
    for o in all() {
        owed.push((o.payer, o.amount.0));
    }
    let owed = per_party(owed)?;
    Some(Sums { carried_in: gross(carried)?, net, positions, totals, owed })
}

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}

fn gross(owed: &[Obligation]) -> Option<Total> {
    let sum = owed.iter().try_fold(0u128, |sum, o| sum.checked_add(o.amount.0));
    sum.map(Total)
}

/// Per pair what the one owes the other less what the other owes it, ordered by (payer, payee).
pub(super) fn net<'a>(owed: impl Iterator<Item = &'a Obligation>) -> Option<Vec<Obligation>> {
    let mut flows: Vec<((PartyId, PartyId), i128)> = Vec::new();
    for o in owed {
        let amount = i128::try_from(o.amount.0).ok()?;
        let forward = o.payer <= o.payee;
        let key = if forward { (o.payer, o.payee) } else { (o.payee, o.payer) };
        flows.push((key, if forward { amount } else { -amount }));
    }
    let mut net = Vec::new();
    for ((low, high), sum) in added(flows)? {
        let (payer, payee) = if sum > 0 { (low, high) } else { (high, low) };
        net.push(Obligation { payer, payee, amount: Total(sum.unsigned_abs()) });
    }
    net.sort_unstable_by_key(|o| (o.payer, o.payee));
    Some(net)
}

/// Sums per party, ordered.
pub(super) fn per_party(mut sums: Vec<(PartyId, u128)>) -> Option<Vec<(PartyId, u128)>> {
    sums.sort_unstable_by_key(|(party, _)| *party);
    let mut added: Vec<(PartyId, u128)> = Vec::new();
    for (party, amount) in sums {
        match added.last_mut() {
            Some((last, sum)) if *last == party => *sum = sum.checked_add(amount)?,
            Some(_) | None => added.push((party, amount)),
        }
    }
    Some(added)
}

/// Per party what it receives less what it sends, ordered.
fn positions<'a>(owed: impl Iterator<Item = &'a Obligation>) -> Option<Vec<Position>> {
    let mut flows = Vec::new();
    for o in owed {
        let amount = i128::try_from(o.amount.0).ok()?;
        flows.push((o.payer, -amount));
        flows.push((o.payee, amount));
    }
    let position = |(party, net)| Position { party, net: Net(net) };
    Some(added(flows)?.into_iter().map(position).collect())
}

/// Adds what has the same key, in the order of the keys; leaves out what comes to nothing.
pub(super) fn added<K: Ord + Copy>(mut flows: Vec<(K, i128)>) -> Option<Vec<(K, i128)>> {
    flows.sort_unstable_by_key(|(key, _)| *key);
    let mut sums: Vec<(K, i128)> = Vec::new();
    for (key, amount) in flows {
        match sums.last_mut() {
            Some((last, sum)) if *last == key => *sum = sum.checked_add(amount)?,
            Some(_) | None => sums.push((key, amount)),
        }
    }
    sums.retain(|(_, sum)| *sum != 0);
    Some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::net;
    use proptest::prelude::*;

    proptest! {
        /// Two ways that share no code agree.
        #[test]
        fn the_audits_sums_are_those_of_the_ledger(
            rows in proptest::collection::vec((0u8..6, 0u8..6, 1u128..50), 0..60),
        ) {
            let owed: Vec<Obligation> = rows
                .into_iter()
                .filter(|(payer, payee, _)| payer != payee)
                .map(|(payer, payee, amount)| Obligation {
                    payer: PartyId([payer; 32]),
                    payee: PartyId([payee; 32]),
                    amount: Total(amount),
                })
                .collect();
            let (obligations, carried) = owed.split_at(owed.len() / 2);
            let sums = sums(obligations, carried).unwrap();
            let net = net::net_pairs(owed.iter());
            let positions = net::positions(net.iter());
            prop_assert_eq!(sums.carried_in, net::gross(carried));
            prop_assert_eq!(sums.totals.net_multilateral, net::value_moved(&positions));
            prop_assert_eq!(sums.totals.gross, net::gross(obligations));
            prop_assert_eq!(sums.totals.net_bilateral, net::gross(&net));
            prop_assert_eq!((sums.net, sums.positions), (net, positions));
        }
    }
}
