//! What a shard hands out for a checkpoint, and how it comes back from one. The pieces name parties
//! and signers by id, never by a shard's own numbers, so that any number of shards can take them
//! back.

use super::channels::{Channel, Picture, Signed};
use super::{Exposure, Shard};
use crate::budget::BudgetUse;
use crate::canary::{Bug, planted};
use crate::control::SignerEntry;
use crate::evidence::Evidence;
use crate::types::{
    Amount, AssetDef, AssetNumber, Lsn, PartyId, SignerKey, Timestamp, WindowNumber,
};

/// What a shard held for one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The window in which it was credited last.
    pub window: WindowNumber,
    /// Its newest voucher; `before` is the total when `window` opened.
    pub evidence: Evidence,
}

/// A piece of a checkpoint, of one shard.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ShardPage {
    /// Channels; a later page's entry replaces an earlier one's.
    pub channels: Vec<Held>,
    /// What parties may owe and do, per asset. Replaces what is held for the same party and asset.
    pub exposures: Vec<(PartyId, AssetNumber, Exposure)>,
    /// What signers used of their caps. Replaces what is held for the same signer and asset.
    pub caps: Vec<(SignerKey, AssetNumber, Amount)>,
    /// What signers used of their budgets. Replaces what is held for the same signer's budget for
    /// the same; what is of a budget that is no more says nothing.
    pub budgets: Vec<BudgetUse>,
    /// Exposure of parties right after limits and deposits, by record.
    pub answers: Vec<(Lsn, PartyId, Exposure)>,
    /// Vouchers credited in the open window; in the first page that a shard hands out only.
    pub credited: u64,
}

impl Shard {
    /// Begins a checkpoint at this point of the order: of what changed since the last one, or of
    /// everything. Returns its first page; the channels follow by `saved`. What limits and deposits
    /// before the record `remembered` gave is forgotten.
    pub fn save(&mut self, everything: bool, at: Timestamp, remembered: Lsn) -> ShardPage {
        let mut page = ShardPage { credited: self.credited, ..ShardPage::default() };
        page.answers = self.answers(everything, remembered);
        let (parties, signers) =
            (std::mem::take(&mut self.parties_changed), std::mem::take(&mut self.signers_changed));
        for index in parties.iter().map(|&index| index as usize) {
            self.parties[index].changed = false;
        }
        for index in signers.iter().map(|&index| index as usize) {
            self.signers[index].changed = false;
        }
        let (mut all_parties, mut all_signers) = (Vec::new(), Vec::new());
        if everything {
            all_parties.extend(self.parties.iter());
            all_signers.extend(self.signers.iter());
        } else {
            all_parties.extend(parties.iter().map(|&index| &self.parties[index as usize]));
            all_signers.extend(signers.iter().map(|&index| &self.signers[index as usize]));
        }
        for party in all_parties {
            let exposures = party.exposures.iter();
            page.exposures.extend(exposures.map(|(asset, held)| (party.id, *asset, *held)));
        }
        for signer in all_signers {
            let used = signer.caps().iter().filter(|cap| cap.used > Amount(0));
            let used = used.filter(|_| !planted(Bug::CheckpointLosesCaps));
            page.caps.extend(used.map(|cap| (signer.key, cap.cap.asset, cap.used)));
            page.budgets.extend(Self::budgets_saved(signer, everything));
        }
        self.channels.save(everything, at);
        page
    }

    /// What of limits and deposits is remembered: what came since the last checkpoint, or all.
    fn answers(&mut self, all: bool, remembered: Lsn) -> Vec<(Lsn, PartyId, Exposure)> {
        self.answered = self.answered.split_off(&remembered);
        let new = std::mem::take(&mut self.answers_new);
        let row = |(&lsn, &(party, exposure)): (&Lsn, &(PartyId, Exposure))| (lsn, party, exposure);
        if all {
            return self.answered.iter().map(row).collect();
        }
        new.iter().filter_map(|lsn| self.answered.get_key_value(lsn)).map(row).collect()
    }

    /// Copies up to `limit` more channels of the checkpoint: a page, and whether it is the last.
    /// `None` when no checkpoint is under way.
    pub fn saved(&mut self, limit: usize) -> Option<(ShardPage, bool)> {
        let (pictures, last) = self.channels.saved(limit)?;
        let held = |picture: &Picture| Held {
            window: picture.channel.window,
            evidence: self.evidence(picture),
        };
        let channels = pictures.iter().map(held).collect();
        Some((ShardPage { channels, ..ShardPage::default() }, last))
    }

    /// Takes back the assets of the control state, of which it holds no other yet.
    pub fn restore_assets<'a>(&mut self, assets: impl Iterator<Item = &'a AssetDef>) {
        assets.for_each(|asset| self.add_asset(asset));
    }

    /// Takes back a party of the control state.
    pub fn restore_party(&mut self, party: PartyId, suspended: bool) {
        self.upsert_party(party, suspended);
    }

    /// Takes back a signer of the control state, if its party is this shard's.
    pub fn restore_signer(&mut self, signer: SignerKey, of: &SignerEntry) {
        if !self.owns(&of.party) {
            return;
        }
        self.add_signer(signer, of.party, &of.caps);
        if of.revoked {
            self.revoke_signer(signer);
        }
    }

    /// Takes back which window is open, before any channel.
    pub fn restore_window(&mut self, open: WindowNumber) {
        self.channels.open_at(open);
    }

    /// Takes back a page of a checkpoint: what of it is this shard's. Assets, parties, signers and
    /// the open window were taken back before.
    ///
    /// # Errors
    /// A text that names what the control state does not know.
    pub fn restore(&mut self, page: &ShardPage) -> Result<(), String> {
        for held in &page.channels {
            if self.owns(&held.evidence.payer) {
                self.restore_channel(held)?;
            }
        }
        for (party, asset, exposure) in &page.exposures {
            if !self.owns(party) {
                continue;
            }
            let Some(&index) = self.party_index.get(party) else {
                return Err(format!("party {party} owes in asset {asset} and is unknown"));
            };
            if self.assets.binary_search(asset).is_err() {
                return Err(format!("party {party} owes in asset {asset}, which is unknown"));
            }
            let exposures = &mut self.parties[index as usize].exposures;
            match exposures.iter_mut().find(|(of, _)| of == asset) {
                Some((_, held)) => *held = *exposure,
                None => exposures.push((*asset, *exposure)),
            }
        }
        for (signer, asset, used) in &page.caps {
            let Some(&index) = self.signer_index.get(signer) else { continue };
            let mut caps = self.signers[index as usize].caps_mut().iter_mut();
            match caps.find(|cap| cap.cap.asset == *asset) {
                Some(cap) if *used <= cap.cap.amount => cap.used = *used,
                Some(_) | None => {
                    return Err(format!("signer {signer} has no such cap in {asset}"));
                }
            }
        }
        page.budgets.iter().for_each(|of| self.restore_budget_use(of));
        // Only the shard that owns the party is ever asked for it.
        for (lsn, party, exposure) in &page.answers {
            if self.owns(party) {
                self.answered.insert(*lsn, (*party, *exposure));
            }
        }
        Ok(())
    }

    fn restore_channel(&mut self, held: &Held) -> Result<(), String> {
        let voucher = held.evidence.voucher();
        let signer = self.signer_index.get(&voucher.signer()).copied();
        let payee = self.party_index.get(&voucher.payee()).copied();
        let (Some(signer), Some(payee)) = (signer, payee) else {
            return Err(format!("a channel of signer {} is of unknown parties", voucher.signer()));
        };
        let channel = Channel {
            total: voucher.cumulative(),
            before: held.evidence.before,
            lsn: held.evidence.lsn,
            window: held.window,
            lane: voucher.lane(),
            expires_at: voucher.expires_at(),
            signer,
            payee,
            asset: voucher.asset(),
        };
        let branch = held.evidence.branch.clone();
        let signed = Signed { signature: *voucher.signature(), branch };
        self.channels.restore(self.hasher.channel(voucher), Picture { channel, signed });
        Ok(())
    }

    /// Room for so many channels more.
    pub fn reserve(&mut self, channels: usize) {
        self.channels.reserve(channels);
    }

    /// Everything is as it was at a checkpoint: from here on changes are noted for the next one.
    pub fn restored(&mut self, open: WindowNumber, credited: u64) {
        // The sum over all shards counts, not whose it is.
        self.credited = if self.index == 0 { credited } else { 0 };
        assert_eq!(self.channels.window(), open, "the checkpoint's window was taken back");
        self.gauge_anew();
        self.count_anew();
        self.note_all_budgets();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{AssetCreated, CreditLimitSet, Event, PartyUpserted};
    use crate::fixture::as_sealed;
    use crate::types::{AssetDef, NetworkId, SettlementModel, Total};

    const PARTY: PartyId = PartyId([1; 32]);
    const ASSET: AssetNumber = AssetNumber(978);

    fn founded() -> Shard {
        let mut shard = Shard::new(0, 1, NetworkId([3; 32]), 60);
        let (code, model) = ("EUR".to_owned(), SettlementModel::Bilateral);
        let asset = AssetDef { number: ASSET, code, scale: 2, model };
        let (name, accounts) = (as_sealed(""), Vec::new());
        let party = PartyUpserted { party: PARTY, name, suspended: false, accounts };
        for (lsn, event) in [(1, AssetCreated { asset }.into()), (2, Event::from(party))] {
            assert!(shard.apply(Lsn(lsn), &event).is_none());
        }
        shard
    }

    fn set_limit(shard: &mut Shard, lsn: u64) {
        let limit = Total(u128::from(lsn));
        let event = Event::from(CreditLimitSet { party: PARTY, asset: ASSET, limit });
        assert!(shard.apply(Lsn(lsn), &event).is_none());
    }

    fn saved(shard: &mut Shard, everything: bool, remembered: u64) -> ShardPage {
        let page = shard.save(everything, Timestamp(0), Lsn(remembered));
        while shard.saved(10).is_some_and(|(_, last)| !last) {}
        page
    }

    fn lsns(page: &ShardPage) -> Vec<u64> {
        page.answers.iter().map(|(lsn, ..)| lsn.0).collect()
    }

    /// They were kept for ever: in memory, and in every checkpoint that a start reads.
    #[test]
    fn what_limits_gave_is_forgotten_with_the_request_and_comes_back_while_it_is_not() {
        let mut shard = founded();
        (3..7).for_each(|lsn| set_limit(&mut shard, lsn));
        assert_eq!(lsns(&saved(&mut shard, false, 4)), [4, 5, 6]);
        set_limit(&mut shard, 7);
        assert_eq!(lsns(&saved(&mut shard, false, 5)), [7]);
        let known = |shard: &Shard| {
            let given = (3..8).filter(|&lsn| shard.exposure_at(Lsn(lsn)).is_some());
            given.collect::<Vec<u64>>()
        };
        assert_eq!(known(&shard), [5, 6, 7]);
        let all = saved(&mut shard, true, 6);
        assert_eq!(lsns(&all), [6, 7]);
        let mut again = founded();
        again.restore(&all).unwrap();
        assert_eq!(known(&again), [6, 7]);
        assert_eq!(again.exposure_at(Lsn(6)).map(|exposure| exposure.limit), Some(Total(6)));
    }
}
