//! Lanes: an agent's channels to each payee, so that its payments run side by side.
//!
//! A lane is out for one payment at a time, since a voucher's total must be the engine's total plus
//! exactly the amount. What the engine holds is `held`, what was signed at most is `most`. When
//! nobody knows what became of a payment, its lane is in doubt: the engine is asked before it is
//! used again. Lanes begin at random numbers, so that one which was begun by another process, or
//! forgotten, is never met again.
//!
//! Knows no clock, no network and no key: times and lane numbers come in as values.

mod kept;

use super::line::{At, Line};
use super::store::{Store, Written};
use super::{Budget, PayError};
use crate::voucher::Channel;
use kept::sign_line;
use std::collections::{BTreeMap, HashMap};
use std::io;

const DAY: i64 = 86_400;
/// Channels live this long, rounded up to a whole day.
const LIFE_DAYS: i64 = 7;
/// A lane is used for a payment only if it lasts this much longer, in seconds.
const MARGIN: i64 = 420;
/// Payments that are remembered by their identifiers, so that one which is asked for again is not
/// made again.
const REMEMBERED: usize = 20_000;
/// Once so many lines were added, the store is written anew.
const LINES_MAX: usize = 100_000;

/// What is to be paid.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub id: String,
    pub payee: [u8; 32],
    pub asset: u32,
    pub amount: u64,
}

/// Where a lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// A payment is under way.
    Out,
    /// Nobody knows what became of its last payment.
    Doubt,
    /// Never used again: somebody else pays on it.
    Left,
}

#[derive(Debug)]
struct Lane {
    held: u64,
    most: u64,
    state: State,
    /// The identifier of its newest payment.
    last: Option<String>,
}

/// A payment that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    pub channel: Channel,
    pub amount: u64,
    /// What the lane's total is once it is paid.
    pub total: u64,
    /// It was charged: the engine's answer to it said so.
    pub paid: bool,
    /// It was not charged, and never can be.
    pub void: bool,
    /// In which order payments were made.
    serial: u64,
}

impl Signed {
    /// The total that it builds on.
    fn base(&self) -> u64 {
        self.total - self.amount
    }
}

/// What is known of a payment whose channel is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Over {
    pub paid: bool,
    pub void: bool,
    serial: u64,
}

/// Whether a payment can be sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Its lane is out for it.
    Yes,
    /// It is under way.
    UnderWay,
    /// Another payment, of which one of both can be charged, is under way or in doubt.
    Wait,
}

/// How many lanes there are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Ready for a payment.
    pub free: usize,
    /// With a payment under way.
    pub out: usize,
    /// Of whose last payment nobody knows what became.
    pub in_doubt: usize,
    /// Never used again.
    pub left: usize,
}

/// All lanes of an agent.
pub(crate) struct Lanes {
    store: Store,
    most: usize,
    can_ask: bool,
    lanes: BTreeMap<Channel, Lane>,
    payments: HashMap<String, Signed>,
    order: BTreeMap<u64, String>,
    /// Payments whose channels are over.
    over: HashMap<String, Over>,
    next: u64,
    /// What was signed in each asset, and how much of it on channels that are over.
    signed: BTreeMap<u32, u128>,
    gone: BTreeMap<u32, u128>,
    lines: usize,
}

impl Lanes {
    /// Takes up what is kept. Lanes whose last payment has no known end are in doubt.
    pub fn open(
        store: Store,
        lines: Vec<Line>,
        most: usize,
        can_ask: bool,
        now: i64,
    ) -> io::Result<Self> {
        let mut this = Self {
            store,
            most,
            can_ask,
            lanes: BTreeMap::new(),
            payments: HashMap::new(),
            order: BTreeMap::new(),
            over: HashMap::new(),
            next: 0,
            signed: BTreeMap::new(),
            gone: BTreeMap::new(),
            lines: 0,
        };
        let large = || io::Error::new(io::ErrorKind::InvalidData, "a lane's total has 64 bits");
        lines.into_iter().try_for_each(|line| this.replay(line)).ok_or_else(large)?;
        this.forget_expired(now);
        this.rewrite()?;
        Ok(this)
    }

    /// What was signed in an asset, over all lanes: what payees could hand in, so what a budget
    /// counts.
    pub fn signed(&self, asset: u32) -> u128 {
        self.signed.get(&asset).copied().unwrap_or(0)
    }

    /// The payment of this identifier, if it is remembered.
    pub fn payment(&self, id: &str) -> Option<&Signed> {
        self.payments.get(id)
    }

    /// What is known of a payment whose channel is over, if it is remembered.
    pub fn over(&self, id: &str) -> Option<Over> {
        self.over.get(id).copied()
    }

    /// A lane to a payee, its next payment written down; `None` where one must be waited for.
    pub fn take(
        &mut self,
        want: &Want,
        budget: Budget,
        now: i64,
        random: u64,
    ) -> Result<Option<(Signed, Option<Written>)>, PayError> {
        let Some(channel) = self.free(want, now, random) else { return Ok(None) };
        let lane = self.lanes.get(&channel);
        let (held, before) = lane.map_or((0, 0), |lane| (lane.held, lane.most));
        let total = held.checked_add(want.amount).ok_or_else(|| {
            PayError::Amount("the lane's total would not fit into 64 bits: pay less at once".into())
        })?;
        let most = total.max(before);
        budget.allow(want.amount, self.signed(want.asset), most - before)?;
        let payment = Signed {
            channel,
            amount: want.amount,
            total,
            paid: false,
            void: false,
            serial: self.next,
        };
        let line = sign_line(&want.id, &payment, most);
        // A write that fails may have written: the store then takes nothing more, and nothing left.
        let written = self.append(&line, now)?;
        self.put(channel, State::Out, held, most, Some(want.id.clone()));
        self.remember(want.id.clone(), payment.clone());
        Ok(Some((payment, written)))
    }

    /// The payment is being sent again, the very same.
    pub fn again(&mut self, id: &str) -> Again {
        let Some(payment) = self.payments.get(id) else { return Again::Wait };
        let Some(lane) = self.lanes.get_mut(&payment.channel) else { return Again::Wait };
        let is_newest = lane.last.as_deref() == Some(id);
        let can_be_charged = lane.held <= payment.base();
        if is_newest && lane.state == State::Out {
            return Again::UnderWay;
        }
        // Both build on the same total: one after the other, so that it can be told which counted.
        if !is_newest && can_be_charged && matches!(lane.state, State::Out | State::Doubt) {
            return Again::Wait;
        }
        if lane.state != State::Left && (is_newest || can_be_charged) {
            lane.state = State::Out;
            lane.last = Some(id.to_owned());
        }
        Again::Yes
    }

    /// What is known now: the engine holds `held` for the payment's lane.
    pub fn known(&mut self, id: &str, held: u64, now: i64) -> io::Result<()> {
        self.learn(id, held, false, now)
    }

    /// The payment was charged: the engine's answer to it said so.
    pub fn paid(&mut self, id: &str, now: i64) -> io::Result<()> {
        let Some(payment) = self.payments.get_mut(id) else { return Ok(()) };
        payment.paid = true;
        let total = payment.total;
        self.learn(id, total, true, now)
    }

    fn learn(&mut self, id: &str, held: u64, is_paid: bool, now: i64) -> io::Result<()> {
        let Some(payment) = self.payments.get(id) else { return Ok(()) };
        let channel = payment.channel;
        let Some(lane) = self.lanes.get(&channel) else { return Ok(()) };
        let held = lane.held.max(held);
        let (most, last) = (lane.most.max(held), lane.last.clone());
        // A lane that is out for another payment by now stays out.
        let is_over = last.as_deref() == Some(id) && lane.state != State::Left;
        let state = if is_over { State::Free } else { lane.state };
        self.put(channel, state, held, most, last);
        if is_over || is_paid {
            let paid = is_paid.then(|| id.to_owned());
            self.append(&Line::Held { held: held.into(), at: At(channel), paid }, now)?;
        }
        Ok(())
    }

    /// Whether it is certain that a payment was not charged and never can be, so that its request
    /// may be paid anew. `is_refused`: the engine has just said that nothing was charged under its
    /// identifier.
    ///
    /// A payment is charged only while its channel's total is what it builds on, and totals never
    /// fall. So of those that build on one total of one lane, rivals, at most one is ever charged;
    /// and while that is still the total, each of them can be.
    pub fn is_void(&mut self, id: &str, is_refused: bool, now: i64) -> io::Result<bool> {
        let is_void = self.cannot_count(id, is_refused);
        let Some(payment) = self.payments.get_mut(id).filter(|one| is_void && !one.void) else {
            return Ok(is_void);
        };
        payment.void = true;
        self.append(&Line::Void { void: id.to_owned() }, now)?;
        Ok(true)
    }

    fn cannot_count(&self, id: &str, is_refused: bool) -> bool {
        let Some(payment) = self.payments.get(id) else { return false };
        let Some(lane) = self.lanes.get(&payment.channel) else { return payment.void };
        let (held, base) = (lane.held, payment.base());
        if payment.void || payment.paid || held <= base {
            return payment.void;
        }
        let is_rival = |(other, one): &(&String, &Signed)| {
            *other != id && one.channel == payment.channel && one.base() == base
        };
        let mut rivals = self.payments.iter().filter(is_rival).map(|(_, one)| one);
        // The total passed what it builds on without reaching it, or by a rival. Where only the
        // answer, which a payee hands on, says that it was a rival: one must be left that it can
        // have been, so that of several that are called refused, one is never paid anew.
        let it_was = |one: &Signed| one.paid || is_refused && !one.void && one.total <= held;
        held < payment.total || rivals.any(it_was)
    }

    /// Whether the engine holds a payment; `None` where that could be another one's charge.
    pub fn is_held(&self, id: &str) -> Option<bool> {
        let payment = self.payments.get(id)?;
        let lane = self.lanes.get(&payment.channel)?;
        if payment.paid || payment.void || lane.held < payment.total {
            return Some(payment.paid);
        }
        let is_rival = |(other, one): (&String, &Signed)| {
            other != id
                && one.channel == payment.channel
                && one.base() == payment.base()
                && !one.void
                && one.total <= lane.held
        };
        let could_be = self.payments.iter().any(is_rival);
        (!could_be).then_some(true)
    }

    /// What the engine is known to hold for the payment's lane, and the most that was signed on it.
    pub fn bounds(&self, id: &str) -> Option<(u64, u64)> {
        let lane = self.lanes.get(&self.payments.get(id)?.channel)?;
        Some((lane.held, lane.most))
    }

    /// Nobody knows what became of the payment.
    pub fn doubt(&mut self, id: &str) {
        self.turn(id, State::Doubt);
    }

    /// The payment's lane is never used again: somebody else pays on it.
    pub fn leave(&mut self, id: &str) {
        self.turn(id, State::Left);
    }

    /// The last payments of lanes in doubt.
    pub fn in_doubt(&self, most: usize) -> Vec<(String, Channel)> {
        let doubtful = self.lanes.iter().filter(|(_, lane)| lane.state == State::Doubt);
        let named = doubtful.filter_map(|(channel, lane)| Some((lane.last.clone()?, *channel)));
        named.take(most).collect()
    }

    /// What the engine said of a lane in doubt.
    pub fn answered(&mut self, id: &str, held: u64, now: i64) -> io::Result<()> {
        let lane = self.payments.get(id).and_then(|payment| self.lanes.get(&payment.channel));
        match lane.is_some_and(|l| l.state == State::Doubt && l.last.as_deref() == Some(id)) {
            true => self.known(id, held, now),
            false => Ok(()),
        }
    }

    /// How many lanes there are in each state.
    pub fn count(&self) -> Count {
        let mut count = Count::default();
        for lane in self.lanes.values() {
            match lane.state {
                State::Free => count.free += 1,
                State::Out => count.out += 1,
                State::Doubt => count.in_doubt += 1,
                State::Left => count.left += 1,
            }
        }
        count
    }

    fn turn(&mut self, id: &str, state: State) {
        let Some(payment) = self.payments.get(id) else { return };
        let Some(lane) = self.lanes.get_mut(&payment.channel) else { return };
        if lane.last.as_deref() == Some(id) && lane.state != State::Left {
            lane.state = state;
        }
    }

    /// The channel of a lane that can be used now, or of one to begin.
    fn free(&self, want: &Want, now: i64, random: u64) -> Option<Channel> {
        let of =
            |expires_at, lane| Channel { payee: want.payee, asset: want.asset, expires_at, lane };
        let all = of(now.saturating_add(MARGIN), 0)..=of(i64::MAX, u64::MAX);
        // Those that last longest; the first free one, so that few lanes stay few.
        let longest = self.lanes.range(all).next_back().map(|(channel, _)| channel.expires_at);
        let fresh = (now.div_euclid(DAY) + LIFE_DAYS + 1) * DAY;
        let expires_at = longest.unwrap_or(fresh);
        let mut busy = 0;
        for (channel, lane) in self.lanes.range(of(expires_at, 0)..=of(expires_at, u64::MAX)) {
            match lane.state {
                State::Free => return Some(*channel),
                State::Out => busy += 1,
                // If nobody can be asked they do not count: they are over when they expire.
                State::Doubt => busy += usize::from(self.can_ask),
                State::Left => {}
            }
        }
        let fresh = of(expires_at, random);
        (busy < self.most && !self.lanes.contains_key(&fresh)).then_some(fresh)
    }

    /// Writes a lane down here, and counts what was signed on it.
    fn put(&mut self, channel: Channel, state: State, held: u64, most: u64, last: Option<String>) {
        let before = self.lanes.insert(channel, Lane { held, most, state, last });
        let before = before.map_or(0, |lane| lane.most);
        *self.signed.entry(channel.asset).or_default() += u128::from(most - before);
    }

    fn remember(&mut self, id: String, mut payment: Signed) {
        payment.serial = self.next;
        self.next += 1;
        self.order.insert(payment.serial, id.clone());
        if let Some(before) = self.payments.insert(id, payment) {
            self.order.remove(&before.serial);
        }
        while self.payments.len() > REMEMBERED {
            // Others are what a lane begins with after a crash.
            let is_last = |id: &String| {
                let lane = self.payments.get(id).and_then(|one| self.lanes.get(&one.channel));
                lane.is_some_and(|lane| lane.last.as_ref() == Some(id))
            };
            let old = self.order.iter().find(|(_, id)| !is_last(id));
            let Some((&serial, _)) = old else { return };
            if let Some(id) = self.order.remove(&serial) {
                self.payments.remove(&id);
            }
        }
    }

    fn append(&mut self, line: &Line, now: i64) -> io::Result<Option<Written>> {
        if self.lines >= LINES_MAX {
            self.forget_expired(now);
            self.rewrite()?;
        }
        self.lines += 1;
        self.store.append(line)
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let lines = self.snapshot();
        self.store.rewrite(&lines)?;
        self.lines = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
