//! One shard: the parties that it owns as payers, their signers, channels, exposure and
//! obligations.
//!
//! Owns the credit rule. Every shard sees every event in journal order, and of a frame those
//! vouchers whose payer it owns. What it holds depends on nothing else, so any number of shards
//! gives the same outcomes and obligations.

mod budgets;
mod channels;
mod checkpoint;
mod credit;
mod headroom;
mod leftover;
mod live;

pub use checkpoint::{Held, ShardPage};
pub use headroom::Headroom;
pub use leftover::Leftover;

use super::event::{Cap, Event, LegEvent, RegistryEvent, Release, WindowEvent};
use super::evidence::Evidence;
use super::leg::LegState;
use super::seal::SealedPart;
use crate::limits::UNSETTLED_WHOLE_MAX;
use crate::types::{
    Amount, AssetDef, AssetNumber, BundleTree, ChannelHasher, ChannelId, Lsn, NetworkId, Packed,
    PartyId, SignerKey, Total, Verdict, Voucher, WindowNumber, put_seat,
};
use budgets::Limits;
use channels::{Channels, Picture};
use foldhash::fast::RandomState;
use live::{ChannelsMax, Newest};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, HashMap};

type Map<K, V> = HashMap<K, V, RandomState>;

/// A party's number within the shards; the same in all of them.
type PartyIndex = u32;

/// What one channel holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelState {
    /// The running total that was credited last.
    pub total: Amount,
    /// The record that credited it; 0 for none.
    pub lsn: Lsn,
}

impl ChannelState {
    /// Of a channel never seen.
    pub const NONE: Self = Self { total: Amount(0), lsn: Lsn(0) };
}

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

/// What the open window holds in one asset: what a schedule's thresholds are compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauge {
    /// What was credited in it.
    pub gross: Total,
    /// The most that a party owed, unsettled, when it paid in it.
    pub exposure: Total,
}

struct Party {
    id: PartyId,
    suspended: bool,
    /// What it owes has changed since the last checkpoint.
    changed: bool,
    /// Live channels on which it pays.
    channels: u32,
    /// Per asset in which a limit or deposit was ever set; a handful at most. Only the shard that
    /// owns the party holds any.
    /// The first lies here and not behind a pointer: every voucher looks at it.
    exposures: SmallVec<[(AssetNumber, Exposure); 1]>,
}

/// A signer's number within the shard.
type SignerIndex = u32;

struct Signer {
    key: SignerKey,
    payer: PartyIndex,
    revoked: bool,
    /// The use of a cap or a budget has changed since the last checkpoint.
    changed: bool,
    /// Live channels.
    channels: u32,
    /// Of these, those that were opened last.
    newest: Newest,
    /// `None` where it has none of its own, as most have not: then it asks and costs nothing.
    limits: Option<Box<Limits>>,
}

/// A voucher with what was found of it before the ledger saw it.
#[derive(Clone, Copy)]
pub struct Checked<'a> {
    /// The voucher.
    pub voucher: Packed<'a>,
    /// Its channel.
    pub channel: ChannelId,
    /// The verdict on its bytes and signature.
    pub verdict: Verdict,
    /// What was asked for: it is credited only if it raises the channel's total by just this much.
    pub rise: Option<Amount>,
    /// The tree of the bundle of which it is an entry; `None` of a voucher.
    pub tree: Option<&'a BundleTree>,
}

/// The closed window whose evidence is leaving.
struct Closing {
    window: WindowNumber,
    /// How many vouchers were credited in it.
    credited: u64,
    /// What has left by now.
    evidence: Vec<Evidence>,
}

/// The state of one shard.
pub struct Shard {
    index: u16,
    count: u16,
    lifetime_seconds_max: i64,
    party_index: Map<PartyId, PartyIndex>,
    parties: Vec<Party>,
    assets: Vec<AssetNumber>,
    /// Of the open window, in the order of `assets`. Follows from the channels.
    gauges: Vec<Gauge>,
    /// What a party may owe at most, in the order of `assets`.
    unsettled_max: Vec<Total>,
    signer_index: Map<SignerKey, SignerIndex>,
    signers: Vec<Signer>,
    /// Those whose owner is to be told of a budget.
    budgets_near: BTreeSet<SignerIndex>,
    channels: Channels,
    /// How many live channels expire when, by signer; without those that are `newest`.
    expiring: BTreeMap<(i64, SignerIndex), u32>,
    channels_max: ChannelsMax,
    /// Of whom, and the exposure right after, by limit or deposit: the first result, for whoever
    /// retries the call while it is remembered.
    answered: BTreeMap<Lsn, (PartyId, Exposure)>,
    /// Vouchers credited in the open window.
    credited: u64,
    closing: Option<Closing>,
    /// What has changed since the last checkpoint.
    parties_changed: Vec<PartyIndex>,
    signers_changed: Vec<SignerIndex>,
    answers_new: Vec<Lsn>,
    hasher: ChannelHasher,
}

impl Shard {
    /// An empty shard, number `index` of `count`.
    #[must_use]
    pub fn new(index: u16, count: u16, network: NetworkId, lifetime_seconds_max: i64) -> Self {
        assert!(index < count, "shard {index} of {count}");
        Self {
            index,
            count,
            lifetime_seconds_max,
            party_index: Map::default(),
            parties: Vec::new(),
            assets: Vec::new(),
            gauges: Vec::new(),
            unsettled_max: Vec::new(),
            signer_index: Map::default(),
            signers: Vec::new(),
            budgets_near: BTreeSet::new(),
            channels: Channels::new(),
            expiring: BTreeMap::new(),
            channels_max: ChannelsMax::RULE,
            answered: BTreeMap::new(),
            credited: 0,
            closing: None,
            parties_changed: Vec::new(),
            signers_changed: Vec::new(),
            answers_new: Vec::new(),
            hasher: ChannelHasher::new(network),
        }
    }

    /// Which shard this is.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Applies one event. At a cut the shard starts the next window at once; the evidence of the
    /// closed one is handed out by `leave`, or here, if the next cut comes before it has left.
    pub fn apply(&mut self, lsn: Lsn, event: &Event) -> Option<SealedPart> {
        match event {
            Event::Registry(e) => self.register(lsn, e),
            Event::Budget(e) => self.apply_budgets(e),
            Event::Window(WindowEvent::Cut(e)) => {
                let earlier = self.leave(usize::MAX);
                let evidence = Vec::with_capacity(self.channels.cut(e.window));
                let credited = std::mem::take(&mut self.credited);
                self.closing = Some(Closing { window: e.window, credited, evidence });
                self.gauges.fill(Gauge::default());
                return earlier;
            }
            Event::Leg(LegEvent::Moved(e)) => {
                for one in e.moves.iter().filter(|one| one.to == LegState::Returned) {
                    self.owed_again(e.asset, one.payer, one.amount);
                }
            }
            Event::Leg(LegEvent::Released(e)) => {
                e.releases.iter().for_each(|release| self.release(e.asset, release));
            }
            Event::Window(
                WindowEvent::Sealed(_)
                | WindowEvent::Disputed(_)
                | WindowEvent::DisputeEnded(_)
                | WindowEvent::Archived(_),
            )
            | Event::Leg(LegEvent::Submitted(_) | LegEvent::Booked(_) | LegEvent::Proposed(_))
            | Event::Key(_)
            | Event::Batch(_)
            | Event::Access(_)
            | Event::Endpoint(_)
            | Event::Eyes(_)
            | Event::Trouble(_)
            | Event::Hold(_) => {}
        }
        None
    }

    fn register(&mut self, lsn: Lsn, event: &RegistryEvent) {
        match event {
            RegistryEvent::AssetCreated(e) => self.add_asset(&e.asset),
            RegistryEvent::PartyUpserted(e) => self.upsert_party(e.party, e.suspended),
            RegistryEvent::SignerAdded(e) if self.owns(&e.party) => {
                self.add_signer(e.signer, e.party, &e.caps);
            }
            RegistryEvent::SignerAdded(_) | RegistryEvent::PartyErased(_) => {}
            RegistryEvent::SignerRevoked(e) => self.revoke_signer(e.signer),
            RegistryEvent::LimitSet(e) => {
                self.change_exposure(lsn, e.party, e.asset, |exposure| exposure.limit = e.limit);
            }
            RegistryEvent::Deposited(e) => {
                self.change_exposure(lsn, e.party, e.asset, |exposure| {
                    exposure.prefund = exposure.prefund.plus(e.amount);
                });
            }
        }
    }

    /// Copies the evidence of up to `limit` more channels of the closed window. The last call hands
    /// out the window's part.
    pub fn leave(&mut self, limit: usize) -> Option<SealedPart> {
        let left = self.channels.leave(limit)?;
        // As it was signed, right here: all of it at once at the end would hold up who pays.
        let mut closing = self.closing.take().expect("a window is closing");
        closing.evidence.extend(left.pictures.iter().map(|picture| self.evidence(picture)));
        if left.last {
            let Closing { window, credited, evidence } = closing;
            return Some(SealedPart::new(window, credited, evidence));
        }
        self.closing = Some(closing);
        None
    }

    /// Whether evidence or a checkpoint is still being copied.
    #[must_use]
    pub fn is_copying(&self) -> bool {
        self.channels.is_copying()
    }

    /// The newest voucher of a channel, as it was signed, or the newest entry with its branch.
    fn evidence(&self, Picture { channel, signed }: &Picture) -> Evidence {
        let signer = &self.signers[channel.signer as usize];
        let voucher = Voucher {
            signer: signer.key,
            payee: self.party_id(channel.payee),
            asset: channel.asset,
            lane: channel.lane,
            expires_at: channel.expires_at,
            cumulative: channel.total,
            signature: signed.signature,
        };
        let mut voucher = voucher.pack();
        if let Some(branch) = &signed.branch {
            put_seat(&mut voucher, branch.seat());
        }
        Evidence {
            payer: self.party_id(signer.payer),
            before: channel.before,
            lsn: channel.lsn,
            voucher,
            branch: signed.branch.clone(),
        }
    }

    /// What the shard holds for a channel; zero for one never seen, or expired and forgotten.
    #[must_use]
    pub fn channel(&self, channel: ChannelId) -> ChannelState {
        let held = self.channels.find(&channel).map(|index| self.channels.head(index));
        held.map_or(ChannelState::NONE, |head| ChannelState { total: head.total, lsn: head.lsn })
    }

    /// The newest voucher that was credited on a channel, with its record.
    #[must_use]
    pub fn newest(&self, channel: ChannelId) -> Option<Evidence> {
        let index = self.channels.find(&channel)?;
        Some(self.evidence(&self.channels.picture(index)))
    }

    /// A party's exposure now; zero where nothing was ever set.
    #[must_use]
    pub fn exposure(&self, party: PartyId, asset: AssetNumber) -> Exposure {
        let Some(&index) = self.party_index.get(&party) else { return Exposure::default() };
        let mut exposures = self.parties[index as usize].exposures.iter();
        let held = exposures.find(|(of, _)| *of == asset);
        held.map(|(_, exposure)| *exposure).unwrap_or_default()
    }

    /// The exposure that the limit or deposit at `lsn` gave; `None` once it is forgotten.
    #[must_use]
    pub fn exposure_at(&self, lsn: Lsn) -> Option<Exposure> {
        self.answered.get(&lsn).map(|(_, exposure)| *exposure)
    }

    /// What a signer used of its cap; `None` where it has none, or signs for a payer of another
    /// shard.
    #[must_use]
    pub fn cap_used(&self, signer: SignerKey, asset: AssetNumber) -> Option<Amount> {
        let index = *self.signer_index.get(&signer)?;
        let mut caps = self.signers[index as usize].caps().iter();
        caps.find(|cap_use| cap_use.cap.asset == asset).map(|cap_use| cap_use.used)
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

    /// What the open window holds, by asset.
    pub fn gauges(&self) -> impl Iterator<Item = (AssetNumber, Gauge)> + '_ {
        self.assets.iter().copied().zip(self.gauges.iter().copied())
    }

    /// The gauges as the channels give them.
    fn gauge_anew(&mut self) {
        self.gauges.fill(Gauge::default());
        for channel in self.channels.of_open_window() {
            let place = self.assets.binary_search(&channel.asset);
            let gauge = &mut self.gauges[place.expect("who was credited paid in an asset")];
            let rise = channel.total.rise_above(channel.before).unwrap_or_default();
            gauge.gross = gauge.gross.plus_amount(rise);
            let payer = self.signers[channel.signer as usize].payer;
            let mut exposures = self.parties[payer as usize].exposures.iter();
            if let Some((_, held)) = exposures.find(|(of, _)| *of == channel.asset) {
                gauge.exposure = gauge.exposure.max(held.unsettled);
            }
        }
    }

    fn owns(&self, party: &PartyId) -> bool {
        party.shard(self.count) == self.index
    }

    fn party_id(&self, index: PartyIndex) -> PartyId {
        self.parties[index as usize].id
    }

    fn add_asset(&mut self, asset: &AssetDef) {
        if let Err(place) = self.assets.binary_search(&asset.number) {
            self.assets.insert(place, asset.number);
            self.gauges.insert(place, Gauge::default());
            self.unsettled_max.insert(place, unsettled_max(asset.scale));
        }
    }

    fn revoke_signer(&mut self, signer: SignerKey) {
        if let Some(&index) = self.signer_index.get(&signer) {
            self.signers[index as usize].revoked = true;
        }
    }

    fn upsert_party(&mut self, id: PartyId, suspended: bool) {
        if let Some(&index) = self.party_index.get(&id) {
            self.parties[index as usize].suspended = suspended;
            return;
        }
        let index = PartyIndex::try_from(self.parties.len()).expect("parties are limited");
        let (changed, channels, exposures) = (false, 0, SmallVec::new());
        self.parties.push(Party { id, suspended, changed, channels, exposures });
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
        let (revoked, changed, channels, limits) = (false, false, 0, Limits::of(caps));
        let newest = Newest::default();
        self.signers.push(Signer { key, payer, revoked, changed, channels, newest, limits });
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
        self.answered.insert(lsn, (party, *exposure));
        self.answers_new.push(lsn);
        mark(&mut self.parties[index as usize].changed, &mut self.parties_changed, index);
    }
}

/// What settlement changes of exposures.
impl Shard {
    /// A batch settled what a party owed.
    fn release(&mut self, asset: AssetNumber, release: &Release) {
        let Some(exposure) = self.own_exposure(asset, release.party) else { return };
        let less = |held: Total, by: Total| {
            held.checked_minus(by).expect("a batch settles no more than was credited")
        };
        exposure.unsettled = less(exposure.unsettled, release.unsettled);
        exposure.prefund = less(exposure.prefund, release.prefund);
    }

    /// Money came back: what it had settled is owed again.
    fn owed_again(&mut self, asset: AssetNumber, payer: PartyId, amount: Total) {
        let Some(exposure) = self.own_exposure(asset, payer) else { return };
        exposure.unsettled = exposure.unsettled.plus(amount);
    }

    /// The exposure of a party that this shard owns, to be changed. The clearing account has none.
    fn own_exposure(&mut self, asset: AssetNumber, party: PartyId) -> Option<&mut Exposure> {
        if party == PartyId::CLEARING || !self.owns(&party) {
            return None;
        }
        let index = *self.party_index.get(&party).expect("who pays was registered before");
        mark(&mut self.parties[index as usize].changed, &mut self.parties_changed, index);
        let mut exposures = self.parties[index as usize].exposures.iter_mut();
        let held = exposures.find(|(of, _)| *of == asset).map(|(_, held)| held);
        Some(held.expect("who was credited had a limit or a deposit"))
    }
}

/// What a party may owe at most in an asset of this scale.
fn unsettled_max(scale: u32) -> Total {
    Total(UNSETTLED_WHOLE_MAX * 10u128.pow(scale))
}

/// Puts what has changed on its list, once.
fn mark(changed: &mut bool, list: &mut Vec<u32>, index: u32) {
    if !std::mem::replace(changed, true) {
        list.push(index);
    }
}
