//! Budgets against a slow and obvious model: the list of everything that was credited, summed up
//! anew for each voucher, with the periods of another's calendar. Over changes of budgets, over
//! whole and partial checkpoints and starts from them, on one shard and on several.

use super::*;
use crate::budget::Period;
use crate::event::{
    AssetCreated, BudgetsSet, BudgetsWarned, CreditLimitSet, Event, PartyUpserted, SignerAdded,
};
use crate::fixture::as_sealed;
use crate::shard::{Checked, ShardPage};
use crate::types::{
    AssetDef, ChannelHasher, Lsn, NetworkId, Packed, SettlementModel, Total, VOUCHER_BYTES,
    Verdict, Voucher, WindowNumber,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const NETWORK: NetworkId = NetworkId([3; 32]);
/// 2027-12-31T22:58:20Z: hours, days, a year and the 29th of February are soon over.
const BEGIN: i64 = 1_830_293_900_000_000;
const HOUR: i64 = 3_600_000_000;

fn asset(n: u8) -> AssetNumber {
    AssetNumber(u32::from(n))
}

fn party(n: u8) -> PartyId {
    PartyId([n; 32])
}

/// Two keys for each of two payers; the payees are 8 and 9.
fn key(n: u8) -> SignerKey {
    SignerKey([100 + n; 32])
}

fn payer_of(signer: u8) -> PartyId {
    party(1 + signer / 2)
}

fn founded(count: u16) -> Vec<Shard> {
    let mut events = Vec::new();
    for n in [1, 2] {
        let (code, model) = ("EUR".into(), SettlementModel::Bilateral);
        let asset = AssetDef { number: asset(n), code, scale: 2, model };
        events.push(Event::from(AssetCreated { asset }));
    }
    for n in [1, 2, 8, 9] {
        let (party, name, accounts) = (party(n), as_sealed(""), Vec::new());
        let event = PartyUpserted { party, name, suspended: false, accounts };
        events.push(Event::from(event));
        for n in [1, 2] {
            let limit = Total(u128::MAX >> 2);
            events.push(Event::from(CreditLimitSet { party, asset: asset(n), limit }));
        }
    }
    for n in 0..4 {
        let (signer, party, caps) = (key(n), payer_of(n), Vec::new());
        events.push(Event::from(SignerAdded { signer, party, caps }));
    }
    let shard = |index| {
        let mut shard = Shard::new(index, count, NETWORK, i64::MAX);
        events.iter().zip(1..).for_each(|(event, lsn)| drop(shard.apply(Lsn(lsn), event)));
        shard
    };
    (0..count).map(shard).collect()
}

/// The hour, day or month in which a time lies, as another's calendar has it.
fn period_of(period: Period, at: i64) -> (i16, i8, i8, i8) {
    let at = jiff::Timestamp::from_microsecond(at).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    match period {
        Period::Total => (0, 0, 0, 0),
        Period::Month => (at.year(), at.month(), 0, 0),
        Period::Day => (at.year(), at.month(), at.day(), 0),
        Period::Hour => (at.year(), at.month(), at.day(), at.hour()),
    }
}

/// Something that was credited.
struct Credited {
    at: i64,
    signer: u8,
    payee: u8,
    asset: u8,
    rise: u64,
}

/// A budget that a signer has, and how much had been credited, of everything, when it got it.
#[derive(Clone)]
struct Had {
    budget: Budget,
    since: usize,
    /// A time in the period in which its owner was told last.
    told: Option<i64>,
}

#[derive(Default)]
struct Model {
    credited: Vec<Credited>,
    had: BTreeMap<u8, Vec<Had>>,
}

impl Model {
    /// What counts for a budget.
    fn counts<'a>(&'a self, signer: u8, had: &'a Had) -> impl Iterator<Item = &'a Credited> {
        let BudgetKey { asset: of, payee, .. } = had.budget.key;
        self.credited[had.since..].iter().filter(move |one| {
            let to = payee.is_none_or(|payee| payee == party(one.payee));
            one.signer == signer && asset(one.asset) == of && to
        })
    }

    fn used(&self, signer: u8, had: &Had, at: i64) -> u128 {
        let period = had.budget.key.period;
        let now = self
            .counts(signer, had)
            .filter(|one| period_of(period, one.at) == period_of(period, at));
        now.map(|one| u128::from(one.rise)).sum()
    }

    fn refusal(&self, (signer, payee, of): (u8, u8, u8), at: i64, rise: u64) -> Outcome {
        let mut over = BTreeSet::new();
        for had in self.had.get(&signer).into_iter().flatten() {
            let Budget { key, amount } = had.budget;
            let is_for = key.asset == asset(of) && key.payee.is_none_or(|to| to == party(payee));
            if is_for && self.used(signer, had, at) + u128::from(rise) > u128::from(amount.0) {
                over.insert(key.period);
            }
        }
        match over.first() {
            None => Outcome::Credited,
            Some(Period::Total) => Outcome::OverTotalBudget,
            Some(Period::Month) => Outcome::OverMonthBudget,
            Some(Period::Day) => Outcome::OverDayBudget,
            Some(Period::Hour) => Outcome::OverHourBudget,
        }
    }

    fn set(&mut self, signer: u8, budgets: &[Budget]) {
        let (before, since) = (self.had.remove(&signer).unwrap_or_default(), self.credited.len());
        let had = |&budget: &Budget| match before.iter().find(|had| had.budget.key == budget.key) {
            Some(had) if had.budget == budget => had.clone(),
            Some(had) => Had { budget, told: None, ..*had },
            None => Had { budget, since, told: None },
        };
        self.had.insert(signer, budgets.iter().map(had).collect());
    }

    /// Of whom an owner is to be told, and what is used.
    fn near(&self) -> BTreeSet<(SignerKey, Budget, u128)> {
        let mut near = BTreeSet::new();
        for (&signer, all) in &self.had {
            for had in all {
                let Some(last) = self.counts(signer, had).last() else { continue };
                let used = self.used(signer, had, last.at);
                let period = had.budget.key.period;
                let told = had
                    .told
                    .is_some_and(|told| period_of(period, told) == period_of(period, last.at));
                if used * 10 >= u128::from(had.budget.amount.0) * 8 && !told {
                    near.insert((key(signer), had.budget, used));
                }
            }
        }
        near
    }

    fn told(&mut self, uses: &[BudgetUse]) {
        for (&signer, all) in &mut self.had {
            for had in all {
                let is_it = |of: &&BudgetUse| of.signer == key(signer) && of.budget == had.budget;
                if let Some(of) = uses.iter().find(is_it) {
                    // Whichever it was, something was credited in it.
                    let period = of.budget.key.period;
                    let mut times = self.credited.iter().map(|one| one.at);
                    let at = times.find(|at| period.number(Timestamp(*at)) == of.number);
                    had.told = Some(at.expect("the period is one that was used"));
                }
            }
        }
    }
}

struct World {
    shards: Vec<Shard>,
    model: Model,
    /// As the control state has them.
    entries: BTreeMap<SignerKey, Vec<BudgetEntry>>,
    /// Pages since the last whole checkpoint.
    pages: Vec<ShardPage>,
    totals: BTreeMap<(u8, u8, u8), u64>,
    at: i64,
    lsn: u64,
}

impl World {
    fn new() -> Self {
        let (entries, pages, totals) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let (shards, model) = (founded(1), Model::default());
        Self { shards, model, entries, pages, totals, at: BEGIN, lsn: 100 }
    }

    fn pay(&mut self, to: (u8, u8, u8), rise: u64) -> (Outcome, Outcome) {
        let (signer, payee, of) = to;
        let wanted = self.model.refusal(to, self.at, rise);
        let total = self.totals.get(&to).copied().unwrap_or(0) + rise;
        let packed: [u8; VOUCHER_BYTES] = Voucher {
            signer: key(signer),
            payee: party(payee),
            asset: asset(of),
            lane: 0,
            expires_at: i64::MAX,
            cumulative: Amount(total),
            signature: [0; 64],
        }
        .pack();
        let voucher = Packed(&packed);
        let channel = ChannelHasher::new(NETWORK).channel(voucher);
        let own = [Checked { voucher, channel, verdict: Verdict::Valid, rise: None, tree: None }];
        let count = u16::try_from(self.shards.len()).unwrap();
        let (lsn, at) = (self.next(), Timestamp(self.at));
        let mut found = None;
        for shard in &mut self.shards {
            let is_own = payer_of(signer).shard(count) == shard.index();
            let mut outcomes = Vec::new();
            shard.credit(lsn, at, if is_own { &own } else { &[] }, &mut outcomes);
            found = found.or(outcomes.pop());
        }
        if wanted == Outcome::Credited {
            self.totals.insert(to, total);
            self.model.credited.push(Credited { at: self.at, signer, payee, asset: of, rise });
        }
        (found.expect("one shard owns the payer"), wanted)
    }

    fn next(&mut self) -> Lsn {
        self.lsn += 1;
        Lsn(self.lsn)
    }

    fn happens(&mut self, event: &Event) {
        let lsn = self.next();
        self.shards.iter_mut().for_each(|shard| drop(shard.apply(lsn, event)));
    }

    fn set(&mut self, signer: u8, mut budgets: Vec<Budget>) {
        budgets.sort_unstable();
        budgets.dedup_by_key(|budget| budget.key);
        self.model.set(signer, &budgets);
        let held = self.entries.entry(key(signer)).or_default();
        *held = replaced(held, &budgets);
        self.happens(&Event::from(BudgetsSet { signer: key(signer), budgets }));
    }

    fn near(&self) -> Vec<BudgetUse> {
        self.shards.iter().flat_map(|shard| shard.budgets_near(usize::MAX)).collect()
    }

    fn warn(&mut self, some: usize) {
        let mut uses = self.near();
        uses.truncate(some);
        self.model.told(&uses);
        for of in &uses {
            let held = self.entries.get_mut(&of.signer).unwrap();
            let one = held.iter_mut().find(|entry| entry.budget == of.budget).unwrap();
            one.warned = Some(of.number);
        }
        self.happens(&Event::from(BudgetsWarned { uses }));
    }

    /// A checkpoint, and a start from it on another number of shards.
    fn restart(&mut self, everything: bool) {
        let everything = everything || self.pages.is_empty();
        if everything {
            self.pages.clear();
        }
        for shard in &mut self.shards {
            self.pages.push(shard.save(everything, Timestamp(self.at), Lsn(0)));
            while let Some((page, last)) = shard.saved(2) {
                self.pages.push(page);
                if last {
                    break;
                }
            }
        }
        let credited = self.shards.iter().map(Shard::credited).sum();
        let mut again = founded(if self.shards.len() == 1 { 3 } else { 1 });
        for shard in &mut again {
            self.entries.iter().for_each(|(key, held)| shard.restore_budgets(*key, held));
            shard.restore_window(WindowNumber(1));
            self.pages.iter().for_each(|page| shard.restore(page).unwrap());
            shard.restored(WindowNumber(1), credited);
        }
        self.shards = again;
    }

    /// What the shards hold, against the model.
    fn check(&self) {
        for (&signer, all) in &self.model.had {
            let uses: Vec<BudgetUse> =
                self.shards.iter().flat_map(|shard| shard.budgets_used(key(signer))).collect();
            assert_eq!(uses.len(), all.len());
            for (of, had) in uses.iter().zip(all) {
                let last = self.model.counts(signer, had).last();
                let used = last.map_or(0, |last| self.model.used(signer, had, last.at));
                assert_eq!((of.budget, u128::from(of.used.0)), (had.budget, used));
            }
        }
        let near = self.near().into_iter();
        let near: BTreeSet<_> =
            near.map(|of| (of.signer, of.budget, u128::from(of.used.0))).collect();
        assert_eq!(near, self.model.near());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Pay {
        to: (u8, u8, u8),
        rise: u64,
    },
    Pass(i64),
    /// To the first microsecond of the next hour, or the one before.
    Edge {
        before: bool,
    },
    Set {
        signer: u8,
        budgets: Vec<Budget>,
    },
    Warn(usize),
    Restart {
        everything: bool,
    },
}

fn budgets() -> impl Strategy<Value = Vec<Budget>> {
    let payee = prop_oneof![2 => Just(None), 1 => Just(Some(party(8))), 1 => Just(Some(party(9)))];
    let period = prop::sample::select(Period::ALL.to_vec());
    let budget = (1u8..=2, period, payee, 0u64..60).prop_map(|(n, period, payee, amount)| Budget {
        key: BudgetKey { asset: asset(n), period, payee },
        amount: Amount(amount),
    });
    prop::collection::vec(budget, 0..5)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let to = (0u8..4, 8u8..=9, 1u8..=2);
    let step = prop_oneof![
        30 => (to, 1u64..30).prop_map(|(to, rise)| Step::Pay { to, rise }),
        4 => (1i64..30 * 60).prop_map(|minutes| Step::Pass(minutes * 60_000_000)),
        2 => (1i64..70).prop_map(|days| Step::Pass(days * 24 * HOUR)),
        4 => any::<bool>().prop_map(|before| Step::Edge { before }),
        6 => (0u8..4, budgets()).prop_map(|(signer, budgets)| Step::Set { signer, budgets }),
        3 => (1usize..4).prop_map(Step::Warn),
        3 => any::<bool>().prop_map(|everything| Step::Restart { everything }),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    #[test]
    fn budgets_are_counted_and_kept_and_told_of_as_a_list_of_everything_says(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Pay { to, rise } => {
                    let (found, wanted) = world.pay(to, rise);
                    prop_assert_eq!(found, wanted);
                }
                Step::Pass(micros) => world.at += micros,
                Step::Edge { before } => {
                    let next = (world.at / HOUR + 1) * HOUR;
                    world.at = (next - i64::from(before)).max(world.at);
                }
                Step::Set { signer, budgets } => world.set(signer, budgets),
                Step::Warn(some) => world.warn(some),
                Step::Restart { everything } => world.restart(everything),
            }
            world.check();
        }
    }
}

/// Every agent of everybody at once: they are told of in pieces, and none twice.
#[test]
fn owners_are_told_in_pieces_until_all_know() {
    let mut world = World::new();
    let of = |period| BudgetKey { asset: asset(1), period, payee: None };
    for signer in 0..4 {
        let all = Period::ALL.map(|period| Budget { key: of(period), amount: Amount(10) });
        world.set(signer, all.to_vec());
        assert_eq!(world.pay((signer, 8, 1), 9), (Outcome::Credited, Outcome::Credited));
    }
    let mut told = Vec::new();
    while let near = world.shards[0].budgets_near(3)
        && !near.is_empty()
    {
        assert!(near.len() <= 3);
        told.extend(near.clone());
        world.happens(&Event::from(BudgetsWarned { uses: near }));
    }
    let all: BTreeSet<(SignerKey, Budget)> = told.iter().map(|of| (of.signer, of.budget)).collect();
    assert_eq!((told.len(), all.len()), (16, 16));
}
