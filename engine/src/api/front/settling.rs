//! What the shards and the control state are asked for the page: windows, batches, legs, money.
//!
//! One look at the control state a page, as large as the number of batches and troubles that there
//! are; never anything of a single party.

use super::Behind;
use super::figures::{age, unix};
use crate::ledger::{
    BatchEntry, BatchState, Control, LegState, Rail, TroubleKind, WindowEntry, WindowState,
};
use crate::limits::UNSEALED_WINDOWS_MAX;
use crate::metrics::{
    APPROVE_BOUND, APPROVED_TODAY, BALANCE, BATCH_OLDEST, BATCHES, CHANNELS, DISPUTED, HEADROOM,
    LAST_BACKUP, LEG_OLDEST, LEGS, MONEY, PARTIES, PAY_INS_FAILED, PROPOSALS, Page, REQUEST_IDS,
    REQUEST_IDS_MAX, SCHEDULE_LAG, SCHEDULE_TROUBLE, SIGNERS, TROUBLES, UNSEALED,
    WEBHOOK_DELIVERIES, WEBHOOK_FAILING, WEBHOOKS, WINDOW, WINDOW_AGE, WINDOW_VOUCHERS,
};
use crate::pipeline::{NotDone, now};
use crate::types::{AssetNumber, Net, Timestamp, Total};
use std::collections::BTreeMap;

/// Everything there is to say of settlement, as one look at the control state shows it.
struct Seen {
    window: u64,
    opened_at: Option<Timestamp>,
    unsealed: usize,
    disputed: usize,
    batches: BTreeMap<(Rail, &'static str), u64>,
    legs: BTreeMap<(Rail, &'static str), u64>,
    pay_ins_failed: BTreeMap<Rail, u64>,
    /// Since when the oldest of each has waited.
    oldest: Oldest,
    money: BTreeMap<AssetNumber, Money>,
    troubles: BTreeMap<&'static str, u64>,
    proposals: usize,
    request_ids: (usize, usize),
    counts: (usize, usize),
}

#[derive(Default)]
struct Oldest {
    computed: Option<Timestamp>,
    settling: Option<Timestamp>,
    legs: BTreeMap<&'static str, Timestamp>,
}

#[derive(Default)]
struct Money {
    pay_ins: Total,
    pay_outs: Total,
    balance: Net,
}

/// Puts it on the page.
///
/// # Errors
/// When the engine has too much to do, or stops.
pub(super) async fn put(page: &mut Page, behind: &Behind) -> Result<(), NotDone> {
    let now = now();
    schedule(page, behind, now);
    webhooks(page, behind, now);
    if !behind.backups.dir().is_empty() {
        let last = behind.backups.last().await;
        page.put(&LAST_BACKUP, &[], unix(last.map_or(0, |last| last.created_at_us)));
    }
    let seen = behind.engine.ask(|control| Ok(Seen::of(control))).await?;
    seen.put(page, now);
    let figures = behind.engine.figures().await?;
    page.put(&CHANNELS, &[], figures.channels);
    page.put(&WINDOW_VOUCHERS, &[], figures.credited);
    for (asset, leftover) in behind.engine.leftover().await? {
        for (percent, quantile) in [(0, "0"), (5, "0.05"), (25, "0.25"), (50, "0.5")] {
            if let Some(left) = leftover.quantile(percent) {
                let left = format!("{}.{:02}", left / 100, left % 100);
                page.put(&HEADROOM, &[&asset.to_string(), quantile], left);
            }
        }
    }
    Ok(())
}

fn schedule(page: &mut Page, behind: &Behind, now: Timestamp) {
    for (entry, standing) in behind.board.list() {
        let asset = entry.asset.to_string();
        age(page, &SCHEDULE_LAG, &[&asset], standing.late_since, now);
        page.put(&SCHEDULE_TROUBLE, &[&asset], u8::from(standing.trouble.is_some()));
        page.put(&APPROVED_TODAY, &[&asset], standing.approved_today);
        if let Some(bound) = entry.approve_below_per_day {
            page.put(&APPROVE_BOUND, &[&asset], bound);
        }
    }
}

fn webhooks(page: &mut Page, behind: &Behind, now: Timestamp) {
    let counts = behind.webhooks.counts();
    for (state, count) in [
        ("sending", counts.sending),
        ("failing", counts.failing),
        ("paused", counts.paused),
        ("stopped", counts.stopped),
    ] {
        page.put(&WEBHOOKS, &[state], count);
    }
    page.put(&WEBHOOK_DELIVERIES, &["delivered"], counts.delivered);
    page.put(&WEBHOOK_DELIVERIES, &["failed"], counts.failed);
    age(page, &WEBHOOK_FAILING, &[], counts.failing_since, now);
}

impl Seen {
    fn of(control: &Control) -> Self {
        let mut windows = control.windows().rev();
        let open = windows.next().expect("one window is open");
        let opened_at = windows.next().and_then(|before| before.cut).map(|(_, at)| at);
        let unsealed = |window: &&WindowEntry| window.cut.is_some() && window.sealed.is_none();
        // Those that wait for their seals are among the newest.
        let newest = || control.windows().rev().take(UNSEALED_WINDOWS_MAX + 1);
        let disputed = control.windows().filter(|w| w.state() == WindowState::Disputed);
        let mut seen = Self {
            window: open.number.0,
            opened_at,
            unsealed: newest().filter(unsealed).count(),
            disputed: disputed.count(),
            // From 0 on, so that the first of each is seen as a change.
            batches: zeros(BatchState::ALL.map(BatchState::name)),
            legs: zeros(LegState::ALL.map(LegState::name)),
            pay_ins_failed: Rail::ALL.map(|rail| (rail, 0)).into(),
            oldest: Oldest::default(),
            money: BTreeMap::new(),
            troubles: TroubleKind::ALL.map(|kind| (kind.name(), 0)).into(),
            proposals: control.eyes().open(now()).count(),
            request_ids: (control.request_count(), control.requests_max()),
            counts: control.counts(),
        };
        for asset in control.assets() {
            let money = Money { balance: control.fund(asset.number), ..Money::default() };
            seen.money.insert(asset.number, money);
        }
        control.batches().into_iter().for_each(|entry| seen.add(entry));
        for trouble in control.troubles().open() {
            *seen.troubles.entry(trouble.of.kind.name()).or_default() += 1;
        }
        seen
    }

    fn add(&mut self, entry: &BatchEntry) {
        let (state, rail) = (entry.state(), entry.head.policy.rail);
        *self.batches.entry((rail, state.name())).or_default() += 1;
        match state {
            BatchState::Aborted => return,
            BatchState::Computed => return older(&mut self.oldest.computed, entry.computed_at),
            BatchState::Approved
            | BatchState::Submitting
            | BatchState::Settled
            | BatchState::SettledWithCarry => {}
        }
        for leg in LegState::ALL {
            *self.legs.entry((rail, leg.name())).or_default() += entry.legs.count(leg);
        }
        let pay_ins =
            entry.legs.owed().filter(|(leg, _)| u64::from(*leg) < entry.head.pay_in_count);
        let pay_ins = u64::try_from(pay_ins.count()).expect("legs are limited");
        *self.pay_ins_failed.entry(rail).or_default() += pay_ins;
        let Some(approval) = entry.approved.as_ref().filter(|_| !state.has_ended()) else { return };
        older(&mut self.oldest.settling, approval.at);
        for leg in [LegState::Sent, LegState::Accepted] {
            if entry.legs.count(leg) > 0 {
                let oldest = self.oldest.legs.entry(leg.name()).or_insert(approval.at);
                *oldest = approval.at.min(*oldest);
            }
        }
        for (_, at) in entry.legs.unknown_since().iter() {
            let oldest = self.oldest.legs.entry(LegState::Unknown.name()).or_insert(*at);
            *oldest = (*at).min(*oldest);
        }
        let money = self.money.entry(entry.head.asset.number).or_default();
        money.pay_ins = money.pay_ins.plus(entry.head.pay_in_total);
        money.pay_outs = money.pay_outs.plus(entry.head.total);
    }

    fn put(self, page: &mut Page, now: Timestamp) {
        page.put(&WINDOW, &[], self.window);
        age(page, &WINDOW_AGE, &[], self.opened_at, now);
        page.count(&UNSEALED, &[], self.unsealed);
        page.count(&DISPUTED, &[], self.disputed);
        for ((rail, state), batches) in self.batches {
            page.put(&BATCHES, &[rail.name(), &state.to_lowercase()], batches);
        }
        for ((rail, state), legs) in self.legs {
            page.put(&LEGS, &[rail.name(), &state.to_lowercase()], legs);
        }
        for (rail, failed) in self.pay_ins_failed {
            page.put(&PAY_INS_FAILED, &[rail.name()], failed);
        }
        age(page, &BATCH_OLDEST, &["approval"], self.oldest.computed, now);
        age(page, &BATCH_OLDEST, &["legs"], self.oldest.settling, now);
        for leg in [LegState::Sent, LegState::Accepted, LegState::Unknown] {
            let since = self.oldest.legs.get(leg.name()).copied();
            age(page, &LEG_OLDEST, &[&leg.name().to_lowercase()], since, now);
        }
        for (asset, money) in self.money {
            let asset = asset.to_string();
            page.put(&MONEY, &[&asset, "pay_in"], money.pay_ins);
            page.put(&MONEY, &[&asset, "pay_out"], money.pay_outs);
            page.put(&BALANCE, &[&asset], money.balance);
        }
        for (kind, open) in self.troubles {
            page.put(&TROUBLES, &[kind], open);
        }
        page.count(&PROPOSALS, &[], self.proposals);
        page.count(&REQUEST_IDS, &[], self.request_ids.0);
        page.count(&REQUEST_IDS_MAX, &[], self.request_ids.1);
        page.count(&PARTIES, &[], self.counts.0);
        page.count(&SIGNERS, &[], self.counts.1);
    }
}

/// Nothing yet, of each state on each rail.
fn zeros<const N: usize>(states: [&'static str; N]) -> BTreeMap<(Rail, &'static str), u64> {
    Rail::ALL.into_iter().flat_map(|rail| states.map(|state| ((rail, state), 0))).collect()
}

fn older(oldest: &mut Option<Timestamp>, at: Timestamp) {
    *oldest = Some(oldest.map_or(at, |oldest| oldest.min(at)));
}
