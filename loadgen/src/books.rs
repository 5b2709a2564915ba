//! Our own books: what must be owed after the run, and how it differs from what the engine says.
//!
//! Made from the plan alone: a channel is worth its highest honest total, whatever order or path
//! its vouchers took. Never reads an ack.

use crate::crowd::{Crowd, Party};
use crate::plan::{Kind, Planned};
use std::collections::{BTreeMap, HashMap};

/// A party's id.
pub type PartyId = [u8; 32];
/// Payer and payee.
pub type Pair = (PartyId, PartyId);

/// Differences that a report lists.
pub const DIFFERENCES_SHOWN: usize = 10;

/// What must be owed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// Gross per pair, in asset units; never zero.
    pub pairs: BTreeMap<Pair, u128>,
    /// Vouchers that must be credited.
    pub credited: u64,
}

/// Counts and sums before and after netting, in asset units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Pairs with an obligation.
    pub pairs: u64,
    /// Sum of the obligations.
    pub gross: u128,
    /// Pairs with a net obligation.
    pub net_pairs: u64,
    /// Sum of the net obligations.
    pub net_bilateral: u128,
    /// Parties with a position.
    pub positions: u64,
    /// Half the sum of the positions' sizes.
    pub net_multilateral: u128,
}

impl Books {
    /// The books of everything that is planned.
    #[must_use]
    pub fn of(crowd: &Crowd, streams: &[Vec<Planned>]) -> Self {
        let mut channels: HashMap<(Party, Party, u32), u64> = HashMap::new();
        let mut credited = 0;
        for voucher in streams.iter().flatten() {
            match voucher.kind {
                Kind::Credited => {
                    let channel = (voucher.payer, voucher.payee, voucher.lane);
                    let highest = channels.entry(channel).or_default();
                    *highest = voucher.cumulative.max(*highest);
                    credited += 1;
                }
                Kind::Stale | Kind::BadSignature | Kind::OverLimit => {}
            }
        }
        let mut pairs: BTreeMap<Pair, u128> = BTreeMap::new();
        for ((payer, payee, _), highest) in channels {
            *pairs.entry((crowd.id(payer), crowd.id(payee))).or_default() += u128::from(highest);
        }
        Self { pairs, credited }
    }

    /// Per party what it receives minus what it sends; zeros left out.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<PartyId, i128> {
        let mut positions: BTreeMap<PartyId, i128> = BTreeMap::new();
        for ((payer, payee), amount) in &self.pairs {
            let amount = i128::try_from(*amount).expect("sums stay far below 2^127");
            *positions.entry(*payer).or_default() -= amount;
            *positions.entry(*payee).or_default() += amount;
        }
        positions.retain(|_, net| *net != 0);
        positions
    }

    /// The pairs set off against each other: one direction, one amount.
    #[must_use]
    pub fn net_pairs(&self) -> BTreeMap<Pair, u128> {
        let net = |(&(payer, payee), &amount): (&Pair, &u128)| {
            let back = self.pairs.get(&(payee, payer)).copied().unwrap_or(0);
            (amount > back).then(|| ((payer, payee), amount - back))
        };
        self.pairs.iter().filter_map(net).collect()
    }

    /// Counts and sums.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let count = |length: usize| u64::try_from(length).expect("counts fit 64 bits");
        let (nets, positions) = (self.net_pairs(), self.positions());
        let received = positions.values().filter(|net| **net > 0);
        Totals {
            pairs: count(self.pairs.len()),
            gross: self.pairs.values().sum(),
            net_pairs: count(nets.len()),
            net_bilateral: nets.values().sum(),
            positions: count(positions.len()),
            net_multilateral: received.map(|net| net.unsigned_abs()).sum(),
        }
    }
}

/// What differs between our books and the engine's: how much, and the first of it in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub first: Vec<String>,
}

impl Differences {
    /// Whether everything is equal.
    #[must_use]
    pub fn none(&self) -> bool {
        self.count == 0
    }

    /// One more.
    pub fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < DIFFERENCES_SHOWN {
            self.first.push(what());
        }
    }

    /// A figure that must be equal.
    pub fn figure<T: PartialEq + std::fmt::Display>(&mut self, what: &str, ours: T, engine: T) {
        if ours != engine {
            self.add(|| format!("{what}: ours {ours}, engine {engine}"));
        }
    }

    /// Two lists of sums that must be equal, key by key.
    pub fn sums<K: Ord, V: Copy + PartialEq + std::fmt::Display>(
        &mut self,
        ours: &BTreeMap<K, V>,
        engine: &BTreeMap<K, V>,
        name: impl Fn(&K) -> String,
    ) {
        for (key, value) in ours {
            match engine.get(key) {
                Some(held) if held == value => {}
                Some(held) => self.add(|| format!("{}: ours {value}, engine {held}", name(key))),
                None => self.add(|| format!("{}: ours {value}, engine nothing", name(key))),
            }
        }
        for (key, value) in engine.iter().filter(|(key, _)| !ours.contains_key(key)) {
            self.add(|| format!("{}: ours nothing, engine {value}", name(key)));
        }
    }
}

/// An id as people read it.
#[must_use]
pub fn hex(id: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(id)
}

/// A pair as people read it.
#[must_use]
pub fn pair_name((payer, payee): &Pair) -> String {
    format!("obligation {} -> {}", hex(payer), hex(payee))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{LIMIT, deal, draw, tests::small};
    use crate::sign::{Signed, Terms, tests::signed};
    use ed25519_dalek::{Signature, VerifyingKey};
    use proptest::prelude::*;
    use tallystick_client::voucher::{Fields, VOUCHER_BYTES, outcome};

    /// The credit rule, one voucher at a time, on nothing but the bytes: slow and plain.
    #[derive(Default)]
    struct Model {
        payer_of: HashMap<[u8; 32], PartyId>,
        totals: HashMap<[u8; 32], u64>,
        unsettled: HashMap<PartyId, u128>,
        books: Books,
    }

    impl Model {
        fn credit(&mut self, terms: &Terms, packed: &[u8; VOUCHER_BYTES]) -> u8 {
            let (fields, signature) = Fields::unpack(packed);
            let payer = self.payer_of[&fields.signer];
            assert_ne!(payer, fields.payee);
            let total = self.totals.entry(terms.network.channel(&fields)).or_default();
            if fields.cumulative <= *total {
                return outcome::STALE;
            }
            let key = VerifyingKey::from_bytes(&fields.signer).unwrap();
            let signature = Signature::from_bytes(&signature);
            if key.verify_strict(&terms.network.message(&fields), &signature).is_err() {
                return outcome::BAD_SIGNATURE;
            }
            let delta = u128::from(fields.cumulative - *total);
            let unsettled = self.unsettled.entry(payer).or_default();
            if *unsettled + delta > u128::from(LIMIT) {
                return outcome::OVER_LIMIT;
            }
            *unsettled += delta;
            *total = fields.cumulative;
            *self.books.pairs.entry((payer, fields.payee)).or_default() += delta;
            self.books.credited += 1;
            outcome::CREDITED
        }
    }

    /// The streams' vouchers, interleaved in some way that keeps the order within each.
    fn interleaved(streams: &[Signed], turns: &[usize]) -> Vec<(usize, usize)> {
        let mut next = vec![0; streams.len()];
        let left = |next: &[usize]| (0..streams.len()).any(|s| next[s] < streams[s].expected.len());
        let mut order = Vec::new();
        let mut turns = turns.iter().cycle();
        while left(&next) {
            let turn = *turns.next().unwrap() % streams.len();
            let stream = (0..streams.len())
                .map(|step| (turn + step) % streams.len())
                .find(|&s| next[s] < streams[s].expected.len())
                .unwrap();
            order.push((stream, next[stream]));
            next[stream] += 1;
        }
        order
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn outcomes_and_books_are_those_of_the_credit_rule(
            seed in any::<u64>(),
            count in 1u64..250,
            streams in 1usize..5,
            turns in proptest::collection::vec(0usize..5, 1..40),
        ) {
            let (crowd, terms, sent) = signed(seed, count, streams);
            let (_, traffic) = small(seed, count);
            let dealt = deal(&draw(&crowd, &traffic), crowd.payers(), streams);
            let books = Books::of(&crowd, &dealt);
            let mut model = Model::default();
            for party in crowd.parties() {
                if let Some(key) = crowd.signer(party) {
                    model.payer_of.insert(key.verifying_key().to_bytes(), crowd.id(party));
                }
            }
            for (stream, place) in interleaved(&sent, &turns) {
                let packed = &sent[stream].packed.as_chunks::<VOUCHER_BYTES>().0[place];
                let outcome = model.credit(&terms, packed);
                prop_assert_eq!(outcome, sent[stream].expected[place]);
            }
            prop_assert_eq!(&model.books, &books);
            prop_assert_eq!(books.positions().values().sum::<i128>(), 0);
        }
    }

    fn books(owed: &[(u8, u8, u128)]) -> Books {
        let pair = |&(payer, payee, amount): &(u8, u8, u128)| (([payer; 32], [payee; 32]), amount);
        Books { pairs: owed.iter().map(pair).collect(), credited: 0 }
    }

    #[test]
    fn pairs_are_set_off_and_parties_summed() {
        let books = books(&[(1, 2, 50), (2, 1, 20), (2, 3, 30), (3, 4, 5), (4, 3, 5)]);
        let totals = Totals {
            pairs: 5,
            gross: 110,
            net_pairs: 2,
            net_bilateral: 60,
            positions: 2,
            net_multilateral: 30,
        };
        assert_eq!(books.totals(), totals);
        assert_eq!(books.positions(), BTreeMap::from([([1; 32], -30), ([3; 32], 30)]));
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let ours = books(&[(1, 2, 50), (2, 3, 30), (3, 1, 7)]).pairs;
        let engine = books(&[(1, 2, 50), (2, 3, 31), (4, 1, 9)]).pairs;
        let mut differences = Differences::default();
        differences.sums(&ours, &ours, pair_name);
        assert!(differences.none());
        differences.sums(&ours, &engine, pair_name);
        assert_eq!(differences.count, 3);
        assert!(differences.first[0].ends_with("ours 30, engine 31"));
        assert!(differences.first[1].ends_with("ours 7, engine nothing"));
        assert!(differences.first[2].ends_with("ours nothing, engine 9"));
    }

    #[test]
    fn only_the_first_differences_are_kept() {
        let mut differences = Differences::default();
        for figure in 0..100 {
            differences.figure("figure", figure, figure + 1);
        }
        assert_eq!((differences.count, differences.first.len()), (100, DIFFERENCES_SHOWN));
    }
}
