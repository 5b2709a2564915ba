//! One shard: the parties that it owns as payers, their signers, channels, exposure and obligations.
//!
//! Owns the credit rule. Every shard sees every event in journal order, and of a frame those vouchers
//! whose payer it owns. What it holds depends on nothing else, so any number of shards gives the same
//! outcomes and obligations.

use super::event::{Cap, Event};
use super::seal::SealedPart;
use crate::types::{
    Amount, AssetNumber, ChannelId, Lsn, Outcome, Packed, PartyId, SignerKey, Timestamp, Total,
    Verdict,
};
use foldhash::fast::RandomState;
use std::collections::HashMap;

type Map<K, V> = HashMap<K, V, RandomState>;

/// A party's number within the shards; the same in all of them.
type PartyIndex = u32;

/// What one channel holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChannelState {
    /// The running total that was credited last.
    pub total: Amount,
    /// The record that credited it.
    pub lsn: Lsn0,
}

/// An lsn that may be absent (0).
pub type Lsn0 = u64;

/// How far a party may owe in one asset, and how far it does.
/// A voucher is refused when `unsettled + delta > limit + prefund`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exposure {
    /// How far it may owe unsettled.
    pub limit: Total,
    /// What it has deposited.
    pub prefund: Total,
    /// What it owes and has not settled, gross.
    pub unsettled: Total,
}

struct Party {
    id: PartyId,
    suspended: bool,
}

struct Signer {
    payer: PartyIndex,
    revoked: bool,
    caps: Box<[CapUse]>,
}

struct CapUse {
    cap: Cap,
    used: Amount,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pair {
    payer: PartyIndex,
    payee: PartyIndex,
    asset: AssetNumber,
}

/// The state of one shard.
pub struct Shard {
    index: u16,
    count: u16,
    lifetime_seconds_max: i64,
    party_index: Map<PartyId, PartyIndex>,
    parties: Vec<Party>,
    assets: Vec<AssetNumber>,
    signers: Map<SignerKey, Signer>,
    channels: Map<ChannelId, ChannelState>,
    exposures: Map<(PartyIndex, AssetNumber), Exposure>,
    /// Exposure right after each limit or deposit: the first result, for whoever retries the call.
    answered: Map<Lsn, Exposure>,
    owed: Map<Pair, Total>,
    credited: u64,
}

impl Shard {
    /// An empty shard, number `index` of `count`.
    #[must_use]
    pub fn new(index: u16, count: u16, lifetime_seconds_max: i64) -> Self {
        assert!(index < count, "shard {index} of {count}");
        Self {
            index,
            count,
            lifetime_seconds_max,
            party_index: Map::default(),
            parties: Vec::new(),
            assets: Vec::new(),
            signers: Map::default(),
            channels: Map::default(),
            exposures: Map::default(),
            answered: Map::default(),
            owed: Map::default(),
            credited: 0,
        }
    }

    /// Which shard this is.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Applies one event. A cut hands out the closed window's obligations; the shard starts the next
    /// window at once.
    pub fn apply(&mut self, lsn: Lsn, event: &Event) -> Option<SealedPart> {
        match event {
            Event::AssetCreated(e) => {
                if let Err(place) = self.assets.binary_search(&e.asset.number) {
                    self.assets.insert(place, e.asset.number);
                }
            }
            Event::PartyUpserted(e) => self.upsert_party(e.party, e.suspended),
            Event::SignerAdded(e) if self.owns(&e.party) => {
                self.add_signer(e.signer, e.party, &e.caps)
            }
            Event::SignerAdded(_) => {}
            Event::SignerRevoked(e) => {
                if let Some(signer) = self.signers.get_mut(&e.signer) {
                    signer.revoked = true;
                }
            }
            Event::CreditLimitSet(e) => {
                self.change_exposure(lsn, e.party, e.asset, |exposure| exposure.limit = e.limit);
            }
            Event::DepositRecorded(e) => self.change_exposure(lsn, e.party, e.asset, |exposure| {
                exposure.prefund = exposure.prefund.plus(e.amount);
            }),
            Event::WindowCut(e) => {
                let pairs = std::mem::take(&mut self.owed);
                let credited = std::mem::take(&mut self.credited);
                let obligations = pairs.into_iter().map(|(pair, amount)| {
                    (pair.asset, self.party_id(pair.payer), self.party_id(pair.payee), amount)
                });
                return Some(SealedPart::new(e.window, credited, obligations.collect()));
            }
            Event::WindowSealed(_)
            | Event::BatchComputed(_)
            | Event::BatchApproved(_)
            | Event::BatchAborted(_) => {}
        }
        None
    }

    /// The credit rule: what becomes of one voucher of a record, in its order. `channel` is the
    /// voucher's channel, `verdict` what was found of it before the journal.
    pub fn credit(
        &mut self,
        lsn: Lsn,
        at: Timestamp,
        voucher: Packed<'_>,
        channel: ChannelId,
        verdict: Verdict,
    ) -> Outcome {
        let valid = match verdict {
            Verdict::Malformed => return Outcome::Malformed,
            Verdict::UnknownKey => return Outcome::UnknownSigner,
            Verdict::Valid => true,
            Verdict::BadSignature => false,
        };
        let Some(signer) = self.signers.get_mut(&voucher.signer()) else {
            return Outcome::UnknownSigner;
        };
        if signer.revoked {
            return Outcome::RevokedSigner;
        }
        let payer = signer.payer;
        let payer_suspended = self.parties[payer as usize].suspended;
        if payer_suspended {
            return Outcome::SuspendedParty;
        }
        let Some(&payee) = self.party_index.get(&voucher.payee()) else {
            return Outcome::UnknownPayee;
        };
        if self.parties[payee as usize].suspended {
            return Outcome::SuspendedParty;
        }
        let asset = voucher.asset();
        if self.assets.binary_search(&asset).is_err() {
            return Outcome::UnknownAsset;
        }
        if payer == payee {
            return Outcome::SelfPayment;
        }
        let (expires_at, now) = (voucher.expires_at(), at.seconds());
        if expires_at <= now {
            return Outcome::Expired;
        }
        if expires_at.saturating_sub(now) > self.lifetime_seconds_max {
            return Outcome::LifetimeTooLong;
        }
        let cumulative = voucher.cumulative();
        let held = self.channels.get_mut(&channel);
        let total = held.as_ref().map_or(Amount(0), |state| state.total);
        let Some(delta) = cumulative.rise_above(total) else {
            return Outcome::Stale;
        };
        if !valid {
            return Outcome::BadSignature;
        }
        let cap = signer.caps.iter_mut().find(|cap_use| cap_use.cap.asset == asset);
        let cap_used = match &cap {
            None => None,
            Some(cap_use) => match cap_use.used.checked_add(delta) {
                Some(used) if used <= cap_use.cap.amount => Some(used),
                Some(_) | None => return Outcome::OverSignerCap,
            },
        };
        let Some(exposure) = self.exposures.get_mut(&(payer, asset)) else {
            return Outcome::OverLimit;
        };
        let unsettled = exposure.unsettled.plus_amount(delta);
        if unsettled > exposure.limit.plus(exposure.prefund) {
            return Outcome::OverLimit;
        }
        // From here on nothing can refuse: every change happens, or none did.
        exposure.unsettled = unsettled;
        if let (Some(cap_use), Some(used)) = (cap, cap_used) {
            cap_use.used = used;
        }
        let state = ChannelState { total: cumulative, lsn: lsn.0 };
        match held {
            Some(held) => *held = state,
            None => {
                self.channels.insert(channel, state);
            }
        }
        let owed = self.owed.entry(Pair { payer, payee, asset }).or_default();
        *owed = owed.plus_amount(delta);
        self.credited += 1;
        Outcome::Credited
    }

    /// What the shard holds for a channel; zero for one never seen.
    #[must_use]
    pub fn channel(&self, channel: ChannelId) -> ChannelState {
        self.channels.get(&channel).copied().unwrap_or_default()
    }

    /// A party's exposure now; zero where nothing was ever set.
    #[must_use]
    pub fn exposure(&self, party: PartyId, asset: AssetNumber) -> Exposure {
        let index = self.party_index.get(&party);
        let held = index.and_then(|&index| self.exposures.get(&(index, asset)));
        held.copied().unwrap_or_default()
    }

    /// The exposure that the limit or deposit at `lsn` gave.
    #[must_use]
    pub fn exposure_at(&self, lsn: Lsn) -> Option<Exposure> {
        self.answered.get(&lsn).copied()
    }

    /// How many channels the shard holds.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// How many vouchers it credited in the open window.
    #[must_use]
    pub fn credited(&self) -> u64 {
        self.credited
    }

    fn owns(&self, party: &PartyId) -> bool {
        party.shard(self.count) == self.index
    }

    fn party_id(&self, index: PartyIndex) -> PartyId {
        self.parties[index as usize].id
    }

    fn upsert_party(&mut self, id: PartyId, suspended: bool) {
        if let Some(&index) = self.party_index.get(&id) {
            self.parties[index as usize].suspended = suspended;
            return;
        }
        let index = PartyIndex::try_from(self.parties.len()).expect("parties are limited");
        self.parties.push(Party { id, suspended });
        self.party_index.insert(id, index);
    }

    fn add_signer(&mut self, key: SignerKey, party: PartyId, caps: &[Cap]) {
        let payer =
            *self.party_index.get(&party).expect("a signer's party was registered before it");
        self.signers.entry(key).or_insert_with(|| Signer {
            payer,
            revoked: false,
            caps: caps.iter().map(|&cap| CapUse { cap, used: Amount(0) }).collect(),
        });
    }

    fn change_exposure(
        &mut self,
        lsn: Lsn,
        party: PartyId,
        asset: AssetNumber,
        change: impl FnOnce(&mut Exposure),
    ) {
        if !self.owns(&party) {
            return;
        }
        let index = *self.party_index.get(&party).expect("limits are for registered parties");
        let exposure = self.exposures.entry((index, asset)).or_default();
        change(exposure);
        self.answered.insert(lsn, *exposure);
    }
}
