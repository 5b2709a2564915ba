//! What is kept of lanes: lines in and lines out, and what outlives a channel.

use super::{Lane, Lanes, Over, REMEMBERED, Signed, State};
use crate::agent::line::{At, Line, Number};
use crate::voucher::Channel;

impl Lanes {
    /// `None` where a number is none of a lane.
    pub(super) fn replay(&mut self, line: Line) -> Option<()> {
        match line {
            Line::Gone { gone: Number(sum), asset } => {
                *self.gone.entry(asset).or_default() += sum;
                *self.signed.entry(asset).or_default() += sum;
            }
            Line::Held { held, at: At(channel), paid } => {
                let lane = self.lanes.get(&channel);
                let held = lane.map_or(0, |lane| lane.held).max(held.total()?);
                let most = lane.map_or(0, |lane| lane.most).max(held);
                let last = lane.and_then(|lane| lane.last.clone());
                // One that was told of late, behind another payment's, says nothing of that one.
                let is_late = paid.is_some() && last.is_some() && paid != last;
                let state = lane.filter(|_| is_late).map_or(State::Free, |lane| lane.state);
                if let Some(payment) = paid.and_then(|id| self.payments.get_mut(&id)) {
                    payment.paid = true;
                }
                self.put(channel, state, held, most, last);
            }
            Line::Over { over, paid, void } => self.keep_over(over, paid, void),
            Line::Void { void } => {
                if let Some(payment) = self.payments.get_mut(&void) {
                    payment.void = true;
                }
            }
            Line::Sign { sign, at: At(channel), amount, total, most, paid, void } => {
                let (amount, total) = (amount.total()?, total.total()?);
                let lane = self.lanes.get(&channel);
                let (held, before) = lane.map_or((0, 0), |lane| (lane.held, lane.most));
                let most = most.map_or(Some(total), Number::total)?.max(before);
                self.put(channel, State::Doubt, held, most, Some(sign.clone()));
                let serial = self.next;
                let signed = Signed { channel, amount, total, paid, void, serial };
                self.remember(sign, signed);
            }
        }
        Some(())
    }

    /// Channels that are over: what was signed on them is kept as one sum, and of their payments
    /// what keeps a request from being paid anew.
    pub(super) fn forget_expired(&mut self, now: i64) {
        let is_over = |one: &Signed| one.channel.expires_at <= now;
        let over = self.order.values().filter(|id| self.payments.get(*id).is_some_and(is_over));
        let end = |id: &String| (id.clone(), self.payments[id].paid, self.cannot_count(id, false));
        let ends: Vec<_> = over.map(end).collect();
        for (id, paid, void) in ends {
            // Nobody asks for one without a name of its own once it has an end.
            if !(is_unnamed(&id) && (paid || void)) {
                self.keep_over(id, paid, void);
            }
        }
        let over = self.lanes.extract_if(.., |channel, _| channel.expires_at <= now);
        for (channel, lane) in over {
            *self.gone.entry(channel.asset).or_default() += u128::from(lane.most);
        }
        let lanes = &self.lanes;
        self.payments.retain(|_, payment| lanes.contains_key(&payment.channel));
        let payments = &self.payments;
        self.order.retain(|_, id| payments.contains_key(id));
    }

    fn keep_over(&mut self, id: String, paid: bool, void: bool) {
        let serial = self.next;
        self.next += 1;
        self.over.insert(id, Over { paid, void, serial });
        if self.over.len() > REMEMBERED {
            let oldest = self.over.iter().min_by_key(|(_, one)| one.serial);
            let oldest = oldest.map(|(id, _)| id.clone());
            oldest.map(|id| self.over.remove(&id));
        }
    }

    /// Everything that must be kept, in as few lines as can be.
    pub(super) fn snapshot(&self) -> Vec<Line> {
        let gone = self.gone.iter().map(|(&asset, &sum)| Line::Gone { gone: Number(sum), asset });
        let held = |(channel, lane): (&Channel, &Lane)| Line::Held {
            held: lane.held.into(),
            at: At(*channel),
            paid: None,
        };
        // Payments come in the order in which they were made: a lane's newest is its last, and
        // leaves it in doubt.
        let signs = self.order.values().filter_map(|id| {
            let payment = self.payments.get(id)?;
            let most = self.lanes.get(&payment.channel)?.most;
            Some(sign_line(id, payment, most))
        });
        let known = self.lanes.iter().filter(|(_, lane)| lane.held > 0).map(held);
        let free = self.lanes.iter().filter(|(_, lane)| lane.state == State::Free).map(held);
        let mut over: Vec<_> = self.over.iter().collect();
        over.sort_by_key(|(_, one)| one.serial);
        let over = over.into_iter().map(|(id, one)| Line::Over {
            over: id.clone(),
            paid: one.paid,
            void: one.void,
        });
        gone.chain(over).chain(known).chain(signs).chain(free).collect()
    }
}

/// Whether an identifier was made by chance, for a payment without a key of its own.
fn is_unnamed(id: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    id.strip_prefix("tly_").is_some_and(|rest| rest.len() == 32 && rest.bytes().all(is_digit))
}

pub(super) fn sign_line(id: &str, payment: &Signed, most: u64) -> Line {
    Line::Sign {
        sign: id.to_owned(),
        at: At(payment.channel),
        amount: payment.amount.into(),
        total: payment.total.into(),
        most: (most > payment.total).then(|| most.into()),
        paid: payment.paid,
        void: payment.void,
    }
}
