//! What is sent and what must become of it: every voucher with its expected outcome, in order.
//!
//! Owns the choice of payers, payees and amounts, and which voucher goes on which stream. All of
//! one payer's vouchers go on one stream, in their order, so that every outcome can be foreseen
//! exactly. Knows nothing of signatures or of the network.

use crate::args::{Share, TrafficArgs, VOUCHERS_MAX};
use crate::crowd::{Crowd, Party, index};
use rand::RngExt as _;
use rand::distr::Distribution as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::Zipf;
use std::collections::HashMap;
use tallystick_client::voucher::outcome;

/// Largest rise of one voucher, in asset units. With scale 6 that is half a cent: what a request
/// costs, and fine enough that dust below a cent is left at the end.
pub const RISE_MAX: u64 = 5_000;
/// Every payer's credit limit, in asset units.
pub const LIMIT: u64 = 10_000_000_000_000;
// Honest vouchers alone never reach the limit, whoever sends them; and no total leaves its 64 bits.
const _: () = assert!(VOUCHERS_MAX * RISE_MAX < LIMIT);
const _: () = assert!(LIMIT < u64::MAX / 4);

/// What a voucher is meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Raises its channel's total.
    Credited,
    /// Repeats an earlier voucher.
    Stale,
    /// Would raise the total, but one bit of the signature is flipped.
    BadSignature,
    /// Would raise the total by more than the payer's credit limit.
    OverLimit,
}

impl Kind {
    /// The outcome byte that the engine must answer.
    #[must_use]
    pub fn outcome(self) -> u8 {
        match self {
            Self::Credited => outcome::CREDITED,
            Self::Stale => outcome::STALE,
            Self::BadSignature => outcome::BAD_SIGNATURE,
            Self::OverLimit => outcome::OVER_LIMIT,
        }
    }
}

/// One voucher to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Who pays; its one signer signs.
    pub payer: Party,
    /// Who is paid.
    pub payee: Party,
    /// Which of the pair's channels.
    pub lane: u32,
    /// What it is meant to be.
    pub kind: Kind,
    /// The channel's running total, as the voucher says it.
    pub cumulative: u64,
}

/// Draws all vouchers of a run, in the order in which they are promised.
#[must_use]
pub fn draw(crowd: &Crowd, traffic: &TrafficArgs) -> Vec<Planned> {
    let count = usize::try_from(traffic.vouchers).expect("vouchers fit memory");
    let mut draw = Draw::new(crowd, traffic);
    let mut planned: Vec<Planned> = Vec::with_capacity(count);
    while planned.len() < count {
        match usize::from(traffic.bundle) {
            1 => {
                let next = draw.next(&planned);
                planned.push(next);
            }
            size => draw.bundle(size.min(count - planned.len()), &mut planned),
        }
    }
    planned
}

/// Every payer pays every payee once, payers in turn, and then again in the next lane: each voucher
/// opens a channel, and all are honest.
///
/// # Panics
/// When there is nobody but one party, which cannot pay itself.
#[must_use]
pub fn grid(crowd: &Crowd, traffic: &TrafficArgs) -> Vec<Planned> {
    let count = usize::try_from(traffic.vouchers).expect("vouchers fit memory");
    let (payers, payees) = (crowd.payers(), crowd.payees());
    assert!(payers > 1 || payees.iter().any(|&payee| payee > 0), "somebody can be paid");
    let mut rng = crowd.derive().rng("grid", u64::from(traffic.run));
    let mut planned = Vec::with_capacity(count);
    for turn in 0.. {
        let lane = u32::try_from(turn / payees.len()).expect("lanes fit 32 bits");
        for payer in 0..payers {
            if planned.len() == count {
                return planned;
            }
            let payee = payees[(index(payer) + turn) % payees.len()];
            if payee != payer {
                let (kind, cumulative) = (Kind::Credited, rng.random_range(1..=RISE_MAX));
                planned.push(Planned { payer, payee, lane, kind, cumulative });
            }
        }
    }
    planned
}

struct Draw<'a> {
    crowd: &'a Crowd,
    traffic: &'a TrafficArgs,
    rng: ChaCha8Rng,
    payer_rank: Zipf<f64>,
    payee_rank: Zipf<f64>,
    totals: HashMap<(Party, Party, u32), u64>,
}

impl<'a> Draw<'a> {
    fn new(crowd: &'a Crowd, traffic: &'a TrafficArgs) -> Self {
        let payees = u32::try_from(crowd.payees().len()).expect("parties are counted in 32 bits");
        let zipf = |count: u32| {
            Zipf::new(f64::from(count), traffic.zipf).expect("the exponent was checked")
        };
        Self {
            crowd,
            traffic,
            rng: crowd.derive().rng("vouchers", u64::from(traffic.run)),
            payer_rank: zipf(crowd.payers()),
            payee_rank: zipf(payees),
            totals: HashMap::new(),
        }
    }

    fn next(&mut self, earlier: &[Planned]) -> Planned {
        let kind = self.kind();
        if kind == Kind::Stale
            && let Some(again) = self.repeat(earlier)
        {
            return again;
        }
        let (payer, payee) = self.pair();
        let lane = self.rng.random_range(0..self.traffic.lanes);
        let rise = self.rng.random_range(1..=RISE_MAX);
        let total = self.totals.entry((payer, payee, lane)).or_default();
        let (kind, cumulative) = match kind {
            // There was nothing to repeat yet.
            Kind::Credited | Kind::Stale => {
                *total += rise;
                (Kind::Credited, *total)
            }
            Kind::BadSignature => (kind, *total + rise),
            Kind::OverLimit => (kind, *total + LIMIT + rise),
        };
        Planned { payer, payee, lane, kind, cumulative }
    }

    /// Entries of one payer, which it signs together: each of its own kind, or a bad signature over
    /// all of them.
    fn bundle(&mut self, size: usize, planned: &mut Vec<Planned>) {
        let (payer, _) = self.pair();
        let is_bad = self.kind() == Kind::BadSignature;
        for _ in 0..size {
            let kind = match self.kind() {
                _ if is_bad => Kind::BadSignature,
                Kind::BadSignature => Kind::Credited,
                kind @ (Kind::Credited | Kind::Stale | Kind::OverLimit) => kind,
            };
            let payee = self.payee_of(payer);
            let lane = self.rng.random_range(0..self.traffic.lanes);
            let rise = self.rng.random_range(1..=RISE_MAX);
            let total = self.totals.entry((payer, payee, lane)).or_default();
            let (kind, cumulative) = match kind {
                Kind::Stale if *total > 0 => (kind, *total),
                Kind::Credited | Kind::Stale => {
                    *total += rise;
                    (Kind::Credited, *total)
                }
                Kind::BadSignature => (kind, *total + rise),
                Kind::OverLimit => (kind, *total + LIMIT + rise),
            };
            planned.push(Planned { payer, payee, lane, kind, cumulative });
        }
    }

    /// Whom a payer pays; of several payees never itself.
    fn payee_of(&mut self, payer: Party) -> Party {
        let payees = self.crowd.payees();
        let place = index(rank(self.payee_rank.sample(&mut self.rng)));
        match payees[place] == payer {
            true => payees[(place + 1) % payees.len()],
            false => payees[place],
        }
    }

    fn kind(&mut self) -> Kind {
        let TrafficArgs { stale, bad_signature, over_limit, .. } = *self.traffic;
        let mut roll = self.rng.random_range(0..Share::WHOLE);
        for (share, kind) in [
            (stale, Kind::Stale),
            (bad_signature, Kind::BadSignature),
            (over_limit, Kind::OverLimit),
        ] {
            match roll.checked_sub(share.0) {
                None => return kind,
                Some(rest) => roll = rest,
            }
        }
        Kind::Credited
    }

    /// An earlier credited voucher, sent once more: its channel is at its total or above it.
    fn repeat(&mut self, earlier: &[Planned]) -> Option<Planned> {
        const TRIES: usize = 16;
        if earlier.is_empty() {
            return None;
        }
        (0..TRIES)
            .map(|_| earlier[self.rng.random_range(0..earlier.len())])
            .find(|voucher| voucher.kind == Kind::Credited)
            .map(|voucher| Planned { kind: Kind::Stale, ..voucher })
    }

    fn pair(&mut self) -> (Party, Party) {
        let payees = self.crowd.payees();
        let payer = rank(self.payer_rank.sample(&mut self.rng));
        let place = index(rank(self.payee_rank.sample(&mut self.rng)));
        if payees[place] != payer {
            return (payer, payees[place]);
        }
        // Nobody pays itself: the next payee takes its place or, where there is but one, the next
        // payer.
        match payees.len() {
            1 => ((payer + 1) % self.crowd.payers(), payees[place]),
            count => (payer, payees[(place + 1) % count]),
        }
    }
}

/// A rank drawn from the Zipf law, counted from 0.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn rank(drawn: f64) -> u32 {
    // Lossless: the law draws whole numbers from 1 to the count, at most 2^24.
    drawn as u32 - 1
}

/// Deals the vouchers to streams: each payer to one stream, the largest first to the emptiest
/// stream, so that the streams are about equally long. Order within a stream is the order of
/// promise.
#[must_use]
pub fn deal(vouchers: &[Planned], payers: u32, streams: usize) -> Vec<Vec<Planned>> {
    let mut counts: Vec<(usize, Party)> = (0..payers).map(|payer| (0, payer)).collect();
    for voucher in vouchers {
        counts[index(voucher.payer)].0 += 1;
    }
    counts.sort_unstable_by_key(|&(count, payer)| (std::cmp::Reverse(count), payer));
    let mut stream_of = vec![0; index(payers)];
    let mut emptiest = std::collections::BinaryHeap::new();
    emptiest.extend((0..streams).map(|stream| std::cmp::Reverse((0usize, stream))));
    for (count, payer) in counts {
        let std::cmp::Reverse((held, stream)) = emptiest.pop().expect("there is a stream");
        stream_of[index(payer)] = stream;
        emptiest.push(std::cmp::Reverse((held + count, stream)));
    }
    let mut dealt = vec![Vec::new(); streams];
    for voucher in vouchers {
        dealt[stream_of[index(voucher.payer)]].push(*voucher);
    }
    dealt
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::args::CrowdArgs;

    /// A small crowd with traffic in which every kind occurs often.
    pub fn small(seed: u64, vouchers: u64) -> (Crowd, TrafficArgs) {
        let args = CrowdArgs { payers: 12, payees: 6, both: Some("20%".parse().unwrap()), seed };
        let share = |text: &str| text.parse().unwrap();
        let traffic = TrafficArgs {
            bundle: 1,
            vouchers,
            lanes: 2,
            zipf: 1.0,
            stale: share("20%"),
            bad_signature: share("10%"),
            over_limit: share("10%"),
            expires_at: Some(4_102_444_800),
            run: 3,
        };
        (Crowd::draw(&args, args.both().unwrap()), traffic)
    }

    #[test]
    fn the_same_seed_plans_the_same_vouchers() {
        let plan = |seed| {
            let (crowd, traffic) = small(seed, 500);
            draw(&crowd, &traffic)
        };
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn a_grid_opens_a_channel_with_every_voucher() {
        let (crowd, traffic) = small(1, 500);
        let vouchers = grid(&crowd, &traffic);
        let channels: std::collections::BTreeSet<_> =
            vouchers.iter().map(|v| (v.payer, v.payee, v.lane)).collect();
        assert_eq!((vouchers.len(), channels.len()), (500, 500));
        assert!(vouchers.iter().all(|v| v.payer != v.payee && v.kind == Kind::Credited));
        // Every pair comes once before any of them comes again.
        let pairs = vouchers.iter().filter(|v| v.lane == 0).count();
        let paid_by_itself = crowd.payees().iter().filter(|&&payee| payee < 12).count();
        assert_eq!(pairs, 12 * 6 - paid_by_itself);
    }

    #[test]
    fn another_run_is_another_draw() {
        let (crowd, traffic) = small(1, 100);
        let other = TrafficArgs { run: 4, ..traffic.clone() };
        assert_ne!(draw(&crowd, &traffic), draw(&crowd, &other));
    }

    #[test]
    fn nobody_pays_itself() {
        for seed in 0..20 {
            let (crowd, traffic) = small(seed, 300);
            assert!(draw(&crowd, &traffic).iter().all(|voucher| voucher.payer != voucher.payee));
        }
    }

    #[test]
    fn shares_are_kept() {
        let (crowd, traffic) = small(5, 20_000);
        let vouchers = draw(&crowd, &traffic);
        let count = |kind| vouchers.iter().filter(|voucher| voucher.kind == kind).count();
        assert!((3_800..4_200).contains(&count(Kind::Stale)));
        assert!((1_800..2_200).contains(&count(Kind::BadSignature)));
        assert!((1_800..2_200).contains(&count(Kind::OverLimit)));
    }

    #[test]
    fn the_zipf_law_favours_the_first_ranks() {
        let (crowd, mut traffic) = small(5, 20_000);
        let first = |vouchers: &[Planned]| vouchers.iter().filter(|v| v.payer == 0).count();
        // 1 / (1 + 1/2 + ... + 1/12) = 32 %; without the law 1 / 12 = 8 %.
        assert!((6_000..7_000).contains(&first(&draw(&crowd, &traffic))));
        traffic.zipf = 0.0;
        assert!((1_450..1_950).contains(&first(&draw(&crowd, &traffic))));
    }

    #[test]
    fn a_payers_vouchers_stay_on_one_stream_in_order() {
        let (crowd, traffic) = small(5, 2_000);
        let vouchers = draw(&crowd, &traffic);
        for streams in [1, 3, 8] {
            let dealt = deal(&vouchers, crowd.payers(), streams);
            assert_eq!(dealt.iter().map(Vec::len).sum::<usize>(), vouchers.len());
            for payer in 0..crowd.payers() {
                let of = |list: &[Planned]| -> Vec<Planned> {
                    list.iter().filter(|voucher| voucher.payer == payer).copied().collect()
                };
                let expected = of(&vouchers);
                let holding: Vec<_> =
                    dealt.iter().map(|stream| of(stream)).filter(|list| !list.is_empty()).collect();
                assert_eq!(holding, vec![expected]);
            }
        }
    }
}
