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
    /// Per asset in which a limit or deposit was ever set; a handful at most. Only the shard that owns
    /// the party holds any.
    exposures: Vec<(AssetNumber, Exposure)>,
}

/// A signer's number within the shard.
type SignerIndex = u32;

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

/// Vouchers that are looked up together: enough misses in flight, few enough to stay in the first cache.
const BLOCK: usize = 64;

/// A voucher with what was found of it before the ledger saw it.
#[derive(Clone, Copy)]
pub struct Checked<'a> {
    /// The voucher.
    pub voucher: Packed<'a>,
    /// Its channel.
    pub channel: ChannelId,
    /// The verdict on its bytes and signature.
    pub verdict: Verdict,
}

/// Where a voucher's signer and payee stand in the shard's tables.
#[derive(Clone, Copy)]
struct Found {
    signer: Option<SignerIndex>,
    payee: Option<PartyIndex>,
}

/// The state of one shard.
pub struct Shard {
    index: u16,
    count: u16,
    lifetime_seconds_max: i64,
    party_index: Map<PartyId, PartyIndex>,
    parties: Vec<Party>,
    assets: Vec<AssetNumber>,
    signer_index: Map<SignerKey, SignerIndex>,
    signers: Vec<Signer>,
    channels: Map<ChannelId, ChannelState>,
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
            signer_index: Map::default(),
            signers: Vec::new(),
            channels: Map::default(),
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
                if let Some(&index) = self.signer_index.get(&e.signer) {
                    self.signers[index as usize].revoked = true;
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

    /// Credits the vouchers of one record, in order: `outcomes[i]` answers `vouchers[i]`.
    pub fn credit(
        &mut self,
        lsn: Lsn,
        at: Timestamp,
        vouchers: &[Checked<'_>],
        outcomes: &mut Vec<Outcome>,
    ) {
        outcomes.clear();
        for block in vouchers.chunks(BLOCK) {
            let found = self.look_up(block);
            for (checked, found) in block.iter().zip(&found) {
                outcomes.push(self.credit_one(lsn, at, checked, *found));
            }
        }
    }

    /// Looks up what a block of vouchers will need. What is found stays true while they are credited,
    /// for no event comes between them. Changes nothing, but it is most of the speed: a lookup is a
    /// cache miss, and misses that do not wait for each other's outcome overlap.
    fn look_up(&self, block: &[Checked<'_>]) -> Vec<Found> {
        let known = |checked: &Checked<'_>| match checked.verdict {
            Verdict::Malformed | Verdict::UnknownKey => Found { signer: None, payee: None },
            Verdict::Valid | Verdict::BadSignature => Found {
                signer: self.signer_index.get(&checked.voucher.signer()).copied(),
                payee: self.party_index.get(&checked.voucher.payee()).copied(),
            },
        };
        let found: Vec<Found> = block.iter().map(known).collect();
        let touch = |touched: u64, checked: &Checked<'_>| match self.channels.get(&checked.channel)
        {
            Some(state) => touched ^ state.total.0,
            None => touched,
        };
        std::hint::black_box(block.iter().fold(0, touch));
        let touch = |touched: u64, (checked, found): (&Checked<'_>, &Found)| {
            let (Some(signer), Some(payee)) = (found.signer, found.payee) else { return touched };
            let payer = self.signers[signer as usize].payer;
            let asset = checked.voucher.asset();
            let mut exposures = self.parties[payer as usize].exposures.iter();
            touched
                + u64::from(exposures.any(|(of, _)| *of == asset))
                + u64::from(self.parties[payee as usize].suspended)
                + u64::from(self.owed.contains_key(&Pair { payer, payee, asset }))
        };
        std::hint::black_box(block.iter().zip(&found).fold(0, touch));
        found
    }

    /// The credit rule: what becomes of one voucher.
    fn credit_one(
        &mut self,
        lsn: Lsn,
        at: Timestamp,
        checked: &Checked<'_>,
        found: Found,
    ) -> Outcome {
        let (voucher, channel) = (checked.voucher, checked.channel);
        let valid = match checked.verdict {
            Verdict::Malformed => return Outcome::Malformed,
            Verdict::UnknownKey => return Outcome::UnknownSigner,
            Verdict::Valid => true,
            Verdict::BadSignature => false,
        };
        let Some(signer) = found.signer.map(|index| &mut self.signers[index as usize]) else {
            return Outcome::UnknownSigner;
        };
        if signer.revoked {
            return Outcome::RevokedSigner;
        }
        let payer = signer.payer;
        if self.parties[payer as usize].suspended {
            return Outcome::SuspendedParty;
        }
        let Some(payee) = found.payee else {
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
        let mut exposures = self.parties[payer as usize].exposures.iter_mut();
        let Some((_, exposure)) = exposures.find(|(of, _)| *of == asset) else {
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
        let Some(&index) = self.party_index.get(&party) else { return Exposure::default() };
        let mut exposures = self.parties[index as usize].exposures.iter();
        let held = exposures.find(|(of, _)| *of == asset);
        held.map(|(_, exposure)| *exposure).unwrap_or_default()
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
        self.parties.push(Party { id, suspended, exposures: Vec::new() });
        self.party_index.insert(id, index);
    }

    fn add_signer(&mut self, key: SignerKey, party: PartyId, caps: &[Cap]) {
        let payer =
            *self.party_index.get(&party).expect("a signer's party was registered before it");
        if self.signer_index.contains_key(&key) {
            return;
        }
        let index = SignerIndex::try_from(self.signers.len()).expect("signers are limited");
        self.signer_index.insert(key, index);
        let caps = caps.iter().map(|&cap| CapUse { cap, used: Amount(0) }).collect();
        self.signers.push(Signer { payer, revoked: false, caps });
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
        let exposures = &mut self.parties[index as usize].exposures;
        let place = exposures.iter().position(|(of, _)| *of == asset).unwrap_or_else(|| {
            exposures.push((asset, Exposure::default()));
            exposures.len() - 1
        });
        let (_, exposure) = &mut exposures[place];
        change(exposure);
        self.answered.insert(lsn, *exposure);
    }
}
