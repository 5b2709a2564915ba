//! A settlement batch: the legs that settle closed windows in one asset on one rail.
//!
//! Owns which legs there are, what is carried, the batch id and the legs' keys. Knows a rail only
//! as a policy (unit, least, most, clearing account); never what its files look like.

use super::event::BatchComputed;
use super::net;
use super::rail::Rail;
use super::refusal::Refusal;
use super::sealed::SealedAccount;
use super::window::{Obligation, Position, SealedWindow};
use crate::canary::{Bug, planted};
use crate::limits::BATCH_LEGS_MAX;
use crate::types::{
    AssetDef, BatchHasher, BatchId, LegKeys, Lsn, PartyId, SIGNATURE_BYTES, SettlementModel,
    SignerKey, Timestamp, Total, WindowNumber,
};
use rkyv::{Archive, Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a rail can do with an asset, fixed when the batch is computed.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Policy {
    /// Which rail.
    pub rail: Rail,
    /// Smallest step that it can express, in asset units.
    pub unit: Total,
    /// Smallest payment, in asset units.
    pub least: Total,
    /// Largest payment, in asset units.
    pub most: Total,
    /// Fields of the clearing account, ordered by name.
    pub clearing: Vec<(String, String)>,
}

/// Where a party's money goes to or comes from on the batch's rail, as it was when the batch was
/// computed, in plain text: what a rail is shown. It is kept sealed (`SealedAccount`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The party's name.
    pub name: String,
    /// The account's fields, ordered by name.
    pub fields: Vec<(String, String)>,
}

impl Account {
    /// The value of one field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }
}

/// The value of one field in an ordered list of fields.
#[must_use]
pub fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Who computes a batch, and whether somebody else must approve it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct By {
    /// The operator; empty where none are configured.
    pub operator: String,
    /// Whether another operator must approve.
    pub four_eyes: bool,
}

/// One movement of money, before it has a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    /// Who pays; all zero is the clearing account.
    pub from: PartyId,
    /// Who is paid; all zero is the clearing account.
    pub to: PartyId,
    /// How much, in asset units; a multiple of the policy's unit.
    pub amount: Total,
    /// Tells the parts of a payment apart that exceeds the rail's largest.
    pub part: u32,
}

/// One leg of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Idempotency key on the rail; never reused.
    pub key: String,
    /// What moves.
    pub payment: Payment,
}

/// What a batch is, without its legs, which follow from the windows. Immutable.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BatchHead {
    /// Hash of the content.
    pub id: BatchId,
    /// The windows it settles, ascending.
    pub windows: Vec<WindowNumber>,
    /// When the last of them was closed; dates in files derive from it.
    pub cut_at: Timestamp,
    /// The asset it settles.
    pub asset: AssetDef,
    /// What the rail can do.
    pub policy: Policy,
    /// How many legs there are.
    pub leg_count: u64,
    /// How many of them are pay-ins.
    pub pay_in_count: u64,
    /// What the pay-ins sum to.
    pub pay_in_total: Total,
    /// What creditors are paid: the sum of the legs that are not pay-ins.
    pub total: Total,
    /// What creditors are still owed: total + carried is what the windows owed them, net.
    pub carried: Total,
    /// What the rail cannot express or pay: owed in the window that is open when the first legs
    /// leave.
    pub carries: Vec<Obligation>,
    /// What parties' deposits pay inside the ledger, before any rail does; ordered by party.
    pub prefunded: Vec<(PartyId, Total)>,
}

/// A computed batch. Immutable: its id is the hash of all of it, with its accounts sealed. For a
/// rail they are opened: then `A` is `Account`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchContent<A = SealedAccount> {
    /// All but the legs.
    pub head: Arc<BatchHead>,
    /// Pay-ins (to the clearing account) first, then the rest, each ordered by (from, to, part).
    /// Shared with what is shown to a rail.
    pub legs: Arc<Vec<Leg>>,
    /// The accounts that the legs need. Shared with the parts of the batch that go into one file
    /// each.
    pub accounts: Arc<BTreeMap<PartyId, A>>,
}

/// A batch whose accounts can be read: what a rail is shown.
pub type OpenBatch = BatchContent<Account>;

impl<A> BatchContent<A> {
    /// The same batch with these accounts in place of its own.
    #[must_use]
    pub fn with_accounts<B>(&self, accounts: BTreeMap<PartyId, B>) -> BatchContent<B> {
        let (head, legs) = (self.head.clone(), self.legs.clone());
        BatchContent { head, legs, accounts: Arc::new(accounts) }
    }
}

impl Payment {
    /// Whether money goes to the clearing account.
    #[must_use]
    pub fn is_pay_in(&self) -> bool {
        self.to == PartyId::CLEARING
    }
}

impl BatchContent {
    /// Computes the batch that settles `windows` (ascending, sealed) in `asset`. `account` gives a
    /// party's account on the rail, `prefund` what of its deposits is free to pay with.
    ///
    /// # Errors
    /// `Refusal` when there is nothing to settle, too much for one batch, or an account is missing.
    pub fn compute(
        windows: &[Arc<SealedWindow>],
        asset: &AssetDef,
        policy: &Policy,
        account: impl Fn(PartyId) -> Option<SealedAccount>,
        prefund: impl Fn(PartyId) -> Total,
    ) -> Result<Self, Refusal> {
        let last = windows.last().expect("a batch settles at least one window");
        let owed = || {
            let sealed = windows.iter().filter_map(|window| window.assets.get(&asset.number));
            sealed.flat_map(|sealed| &sealed.net)
        };
        let mut split = Split::new(policy);
        match asset.model {
            SettlementModel::Bilateral => split.in_pairs(&net::net_pairs(owed()), prefund)?,
            SettlementModel::Multilateral => {
                split.through_clearing(&net::positions(owed()), prefund)?;
            }
        }
        let Split { payments, mut carries, prefunded, .. } = split;
        if payments.is_empty() && carries.is_empty() && prefunded.is_empty() {
            return Err(Refusal::NothingToSettle(asset.number));
        }
        carries.sort_unstable();
        let accounts = accounts(policy.rail, &payments, account)?;
        let pay_ins = || payments.iter().filter(|payment| payment.is_pay_in());
        let mut head = BatchHead {
            id: BatchId::ZERO,
            windows: windows.iter().map(|window| window.number).collect(),
            cut_at: last.cut_at,
            asset: asset.clone(),
            policy: policy.clone(),
            leg_count: count(payments.len()),
            pay_in_count: count(pay_ins().count()),
            pay_in_total: pay_ins().fold(Total::ZERO, |sum, payment| sum.plus(payment.amount)),
            total: paid(&payments),
            carried: owed_to_parties(&carries),
            carries,
            prefunded,
        };
        head.id = head.id_over(windows, payments.iter(), &accounts, |hasher, account| {
            hasher.bytes(account.name.bytes());
            hasher.bytes(account.fields.bytes());
        });
        let keys = LegKeys::new(head.id);
        let leg = |payment: Payment| Leg {
            key: keys.key(payment.from, payment.to, payment.part),
            payment,
        };
        let legs = Arc::new(payments.into_iter().map(leg).collect());
        Ok(Self { head: Arc::new(head), legs, accounts: Arc::new(accounts) })
    }
}

impl BatchHead {
    /// What bounds are compared with: the larger of what is paid out and what is paid in.
    #[must_use]
    pub fn size(&self) -> Total {
        self.total.max(self.pay_in_total)
    }

    /// What the clearing account pays out beyond what comes in: debtors' rests below one payment's
    /// step, which come back when they add up.
    #[must_use]
    pub fn advanced(&self) -> Total {
        let covered = |sum: Total, (_, used): &(PartyId, Total)| sum.plus(*used);
        let covered = self.prefunded.iter().fold(self.pay_in_total, covered);
        match self.asset.model {
            SettlementModel::Bilateral => Total::ZERO,
            SettlementModel::Multilateral => Total(self.total.0.saturating_sub(covered.0)),
        }
    }

    /// The event that records this batch.
    #[must_use]
    pub fn event(
        &self,
        four_eyes: bool,
        history: Lsn,
        key: SignerKey,
        signature: [u8; SIGNATURE_BYTES],
    ) -> BatchComputed {
        BatchComputed {
            four_eyes,
            batch: self.id,
            windows: self.windows.clone(),
            asset: self.asset.number,
            rail: self.policy.rail as u8,
            unit: self.policy.unit,
            least: self.policy.least,
            most: self.policy.most,
            clearing: self.policy.clearing.clone(),
            history,
            key,
            signature,
        }
    }
}

/// Turns sums into payments that the rail can express, and carries the rest.
struct Split<'a> {
    policy: &'a Policy,
    payments: Vec<Payment>,
    carries: Vec<Obligation>,
    prefunded: Vec<(PartyId, Total)>,
}

impl<'a> Split<'a> {
    fn new(policy: &'a Policy) -> Self {
        Self { policy, payments: Vec::new(), carries: Vec::new(), prefunded: Vec::new() }
    }

    /// One leg per party against the clearing account; pay-ins first. A debtor's deposit, which
    /// lies on the clearing account already, pays as much as it can.
    fn through_clearing(
        &mut self,
        positions: &[Position],
        prefund: impl Fn(PartyId) -> Total,
    ) -> Result<(), Refusal> {
        // The clearing account's own position mirrors the dust of earlier batches. It has no leg:
        // the dust is carried pair by pair below, and with it the clearing account's side.
        let parties = || positions.iter().filter(|position| position.party != PartyId::CLEARING);
        for debtor in parties().filter(|position| position.net.0 < 0) {
            let owed = debtor.net.size();
            let rest = self.prefunded(debtor.party, owed, prefund(debtor.party).min(owed));
            self.pay(debtor.party, PartyId::CLEARING, rest)?;
        }
        for creditor in parties().filter(|position| position.net.0 > 0) {
            self.pay(PartyId::CLEARING, creditor.party, creditor.net.size())?;
        }
        Ok(())
    }

    /// One leg per net pair. What a debtor's deposit pays comes from the clearing account, on which
    /// the deposit lies: one leg per creditor, whoever's deposits it is.
    fn in_pairs(
        &mut self,
        nets: &[Obligation],
        prefund: impl Fn(PartyId) -> Total,
    ) -> Result<(), Refusal> {
        let mut from_clearing: BTreeMap<PartyId, Total> = BTreeMap::new();
        let mut add = |payee, amount| {
            let sum: &mut Total = from_clearing.entry(payee).or_default();
            *sum = sum.plus(amount);
        };
        let mut direct = Vec::new();
        for of_payer in nets.chunk_by(|a, b| a.payer == b.payer) {
            let payer = of_payer[0].payer;
            if payer == PartyId::CLEARING {
                of_payer.iter().for_each(|o| add(o.payee, o.amount));
                continue;
            }
            let (mut free, mut used) = (prefund(payer), Total::ZERO);
            for o in of_payer {
                // Whole units only, so that no deposit pays for what the rail cannot express; and
                // nothing of what is owed to the clearing account itself needs a leg.
                let most = free.min(o.amount);
                let part = if o.payee == PartyId::CLEARING {
                    most
                } else {
                    most.split(self.policy.unit).0
                };
                free = free.checked_minus(part).expect("a part is at most the whole");
                used = used.plus(part);
                if o.payee != PartyId::CLEARING && part > Total::ZERO {
                    add(o.payee, part);
                }
                let rest = o.amount.checked_minus(part).expect("a part is at most the whole");
                direct.push(Obligation { amount: rest, ..*o });
            }
            if used > Total::ZERO {
                self.prefunded.push((payer, used));
            }
        }
        let (pay_ins, direct): (Vec<_>, Vec<_>) =
            direct.into_iter().partition(|o| o.payee == PartyId::CLEARING);
        for o in pay_ins {
            self.pay(o.payer, o.payee, o.amount)?;
        }
        for (payee, amount) in from_clearing {
            self.pay(PartyId::CLEARING, payee, amount)?;
        }
        for o in direct {
            self.pay(o.payer, o.payee, o.amount)?;
        }
        Ok(())
    }

    /// Has a deposit pay `part` of what is owed; gives the rest.
    fn prefunded(&mut self, party: PartyId, owed: Total, part: Total) -> Total {
        if part > Total::ZERO {
            self.prefunded.push((party, part));
        }
        owed.checked_minus(part).expect("a part is at most the whole")
    }

    fn pay(&mut self, from: PartyId, to: PartyId, owed: Total) -> Result<(), Refusal> {
        let Policy { unit, least, most, .. } = *self.policy;
        let (mut whole, mut rest) = owed.split(unit);
        for part in 0.. {
            if whole == Total::ZERO {
                break;
            }
            if whole < least {
                rest = rest.plus(whole);
                break;
            }
            if self.payments.len() == BATCH_LEGS_MAX {
                return Err(Refusal::TooManyLegs(BATCH_LEGS_MAX));
            }
            let amount = whole.min(most);
            self.payments.push(Payment { from, to, amount, part });
            whole = whole.checked_minus(amount).expect("a part is at most the whole");
        }
        let lost = planted(Bug::DustLost) && rest < owed;
        if rest > Total::ZERO && !lost {
            self.carries.push(Obligation { payer: from, payee: to, amount: rest });
        }
        Ok(())
    }
}

/// The accounts without which the payments cannot be made: everyone's but the clearing account's
/// and, for pay-ins on a rail that does not collect them, the debtor's.
fn accounts(
    rail: Rail,
    payments: &[Payment],
    account: impl Fn(PartyId) -> Option<SealedAccount>,
) -> Result<BTreeMap<PartyId, SealedAccount>, Refusal> {
    let needed = payments.iter().filter(|payment| rail.collects() || !payment.is_pay_in());
    let parties = needed.flat_map(|payment| [payment.from, payment.to]);
    let mut parties: Vec<PartyId> = parties.filter(|party| *party != PartyId::CLEARING).collect();
    parties.sort_unstable();
    parties.dedup();
    let mut missing = Vec::new();
    // Ordered, so that the map is built from its leaves up.
    let found: BTreeMap<PartyId, SealedAccount> = parties
        .into_iter()
        .filter_map(|party| match account(party) {
            Some(account) => Some((party, account)),
            None => {
                missing.push(party);
                None
            }
        })
        .collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let first: Vec<String> = missing.iter().take(3).map(PartyId::to_string).collect();
    let more = if missing.len() > 3 { ", ..." } else { "" };
    Err(Refusal::AccountsMissing {
        rail: rail.name(),
        count: missing.len(),
        first: format!("{}{more}", first.join(", ")),
    })
}

fn paid(payments: &[Payment]) -> Total {
    let outgoing = payments.iter().filter(|payment| !payment.is_pay_in());
    outgoing.fold(Total::ZERO, |sum, payment| sum.plus(payment.amount))
}

fn owed_to_parties(carries: &[Obligation]) -> Total {
    let to_parties = carries.iter().filter(|carry| carry.payee != PartyId::CLEARING);
    to_parties.fold(Total::ZERO, |sum, carry| sum.plus(carry.amount))
}

impl BatchHead {
    /// The id of the batch with this head, `id` aside: a hash of all that determines what the
    /// rail is told: windows with their roots (which cover obligations and carry-in), asset,
    /// policy, payments, carry-out, accounts, what deposits pay. `account` hashes one in the form
    /// that it has here.
    pub fn id_over<'a, A>(
        &self,
        windows: &[Arc<SealedWindow>],
        payments: impl ExactSizeIterator<Item = &'a Payment>,
        accounts: &BTreeMap<PartyId, A>,
        account: impl Fn(&mut BatchHasher, &A),
    ) -> BatchId {
        let Self { asset, policy, carries, prefunded, .. } = self;
        let mut hasher = BatchHasher::default();
        hasher.count(windows.len());
        for window in windows {
            hasher.number(window.number.0);
            hasher.fixed(&window.root.0);
        }
        hasher.number(u64::from(asset.number.0));
        hasher.text(&asset.code);
        hasher.number(u64::from(asset.scale));
        hasher.number(asset.model as u64);
        hasher.text(policy.rail.name());
        for sum in [policy.unit, policy.least, policy.most] {
            hasher.fixed(&sum.0.to_le_bytes());
        }
        hasher.fields(&policy.clearing);
        hasher.count(payments.len());
        for payment in payments {
            hasher.fixed(&payment.from.0);
            hasher.fixed(&payment.to.0);
            hasher.fixed(&payment.amount.0.to_le_bytes());
        }
        hasher.count(carries.len());
        for carry in carries {
            hasher.fixed(&carry.payer.0);
            hasher.fixed(&carry.payee.0);
            hasher.fixed(&carry.amount.0.to_le_bytes());
        }
        hasher.count(accounts.len());
        for (party, of) in accounts {
            hasher.fixed(&party.0);
            account(&mut hasher, of);
        }
        // Only where deposits pay; everything before it says its length, so nothing can be taken
        // for it.
        if !prefunded.is_empty() {
            hasher.count(prefunded.len());
            for (party, amount) in prefunded {
                hasher.fixed(&party.0);
                hasher.fixed(&amount.0.to_le_bytes());
            }
        }
        hasher.finish()
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}

#[cfg(test)]
mod vector;

#[cfg(test)]
mod tests;
