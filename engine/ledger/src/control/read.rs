//! What can be read of the control state. Changes nothing, decides nothing.

use super::super::event::Genesis;
use super::super::rail::Rail;
use super::super::refusal::Refusal;
use super::super::seal::Cut;
use super::super::sealed::SealedAccount;
use super::super::trouble::Troubles;
use super::{BatchEntry, Control, Deed, PartyEntry, SealedHead, SignerEntry, WindowEntry};
use crate::types::{
    AssetDef, AssetNumber, BatchId, Digest, History, Lsn, Net, PartyId, SignerKey, WindowNumber,
};
use std::collections::BTreeSet;

impl Control {
    /// What holds for the whole life of the deployment.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The last event applied.
    #[must_use]
    pub fn applied(&self) -> Lsn {
        self.history.lsn
    }

    /// The last event applied, with its digest, which covers all events up to it.
    #[must_use]
    pub fn history(&self) -> History {
        self.history
    }

    /// The engine's key that signs now; `None` before the first.
    #[must_use]
    pub fn engine_key(&self) -> Option<SignerKey> {
        self.engine_keys.current()
    }

    /// Whether the engine signed with a key at any time.
    #[must_use]
    pub fn was_engine_key(&self, key: SignerKey) -> bool {
        self.engine_keys.all().any(|(_, held)| held == key)
    }

    /// The engine's key that the record at `lsn` put in force.
    #[must_use]
    pub fn engine_key_set_by(&self, lsn: Lsn) -> Option<SignerKey> {
        self.engine_keys.set_by(lsn)
    }

    /// Whether a closed window waits for its seal.
    #[must_use]
    pub fn is_sealing(&self) -> bool {
        // Windows are sealed in order.
        self.windows().rev().nth(1).is_some_and(|window| window.sealed.is_none())
    }

    /// The record that answered the first request that is remembered; the next one to come if none
    /// is. Nobody asks again for what an earlier record gave.
    #[must_use]
    pub fn remembered_from(&self) -> Lsn {
        self.requests.first().unwrap_or(self.history.lsn.next())
    }

    /// Rises whenever a party's name or accounts change, or what is free of its deposits.
    #[must_use]
    pub fn directory_version(&self) -> u64 {
        self.changes.version()
    }

    /// The parties of whom that is true since a version; `None` when they are too many to be
    /// remembered.
    #[must_use]
    pub fn changed_since(&self, version: u64) -> Option<Vec<PartyId>> {
        self.changes.since(version).map(Iterator::collect)
    }

    /// How many request ids there may be before nothing more is registered.
    #[must_use]
    pub fn requests_max(&self) -> usize {
        self.requests.limit()
    }

    /// Fewer request ids than there may be, for tests that use them up.
    pub fn bound_requests(&mut self, limit: usize) {
        self.requests.bound(limit);
    }

    /// How many request ids are remembered.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.requests.len()
    }

    /// What batches have left over on the clearing account of a multilateral asset, less what they
    /// took of each other's; below zero when pay-ins were returned after they had been paid out.
    #[must_use]
    pub fn fund(&self, asset: AssetNumber) -> Net {
        self.funds.get(&asset).copied().unwrap_or_default()
    }

    /// What a person must see.
    #[must_use]
    pub fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    /// All assets, by number.
    pub fn assets(&self) -> impl Iterator<Item = &AssetDef> {
        self.assets.values()
    }

    /// One asset.
    ///
    /// # Errors
    /// `UnknownAsset`.
    pub fn asset(&self, asset: AssetNumber) -> Result<&AssetDef, Refusal> {
        self.assets.get(&asset).ok_or(Refusal::UnknownAsset(asset))
    }

    /// One party.
    ///
    /// # Errors
    /// `UnknownParty`.
    pub fn party(&self, party: PartyId) -> Result<&PartyEntry, Refusal> {
        self.parties.get(&party).ok_or(Refusal::UnknownParty(party))
    }

    /// The parties that are suspended.
    #[must_use]
    pub fn suspended(&self) -> &BTreeSet<PartyId> {
        &self.suspended
    }

    /// Changes whenever a party is suspended, or is not any more.
    #[must_use]
    pub fn suspensions(&self) -> u64 {
        self.suspensions
    }

    /// One signer.
    ///
    /// # Errors
    /// `UnknownSigner`.
    pub fn signer(&self, signer: SignerKey) -> Result<&SignerEntry, Refusal> {
        self.signers.get(&signer).ok_or(Refusal::UnknownSigner(signer))
    }

    /// How many parties and signers are registered.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.parties.len(), self.signers.len())
    }

    /// How many batches were ever made.
    #[must_use]
    pub fn batch_count(&self) -> usize {
        self.batches.len()
    }

    /// One window.
    ///
    /// # Errors
    /// `UnknownWindow`.
    pub fn window(&self, number: WindowNumber) -> Result<&WindowEntry, Refusal> {
        let unknown = || {
            let open = self.open_window().number;
            Refusal::UnknownWindow { window: number, open }
        };
        self.windows.get(&number).ok_or_else(unknown)
    }

    /// A window that was cut, as sealing needs it.
    #[must_use]
    pub fn cut(&self, number: WindowNumber) -> Option<Cut> {
        let window = self.window(number).ok()?;
        let (cut_lsn, cut_at) = window.cut?;
        let (first_lsn, carried) = (window.first_lsn, window.carried.clone());
        Some(Cut { number, first_lsn, cut_lsn, cut_at, carried })
    }

    /// Digest of the record that cut a window; `None` while it is open.
    #[must_use]
    pub fn cut_digest(&self, number: WindowNumber) -> Option<Digest> {
        self.window(number).ok().filter(|window| window.cut.is_some()).map(|w| w.cut_digest)
    }

    /// A party's account on a rail, sealed.
    #[must_use]
    pub fn account(&self, party: PartyId, rail: Rail) -> Option<SealedAccount> {
        let entry = self.parties.get(&party)?;
        let on_rail = entry.accounts.iter().find(|account| account.rail == rail.name())?;
        Some(SealedAccount { name: entry.name.clone()?, fields: on_rail.fields.clone() })
    }

    /// The window that the record at `cut` closed.
    #[must_use]
    pub fn window_cut_by(&self, cut: Lsn) -> Option<&WindowEntry> {
        self.windows().rev().find(|window| window.cut.is_some_and(|(lsn, _)| lsn == cut))
    }

    /// All windows, oldest first; the last one is open.
    pub fn windows(&self) -> impl DoubleEndedIterator<Item = &WindowEntry> + ExactSizeIterator {
        self.windows.values()
    }

    /// The first window from `from` on whose evidence has not left, and what of those from there
    /// on, but the newest `keep` and the open one, can be archived next.
    #[must_use]
    pub fn archivable(&self, from: WindowNumber, keep: u64) -> (WindowNumber, Option<SealedHead>) {
        let open = self.open_window().number;
        let first = self.windows.range(from..).find(|(_, window)| window.archive.is_none());
        let first = first.map_or(open, |(number, _)| *number);
        let end = WindowNumber(open.0.saturating_sub(keep)).max(first);
        let mut all = self.windows.range(first..end).map(|(_, window)| window);
        let next = all.find(|window| window.check_archive().is_ok());
        (first, next.and_then(|window| window.sealed_head().ok()))
    }

    /// The last record of the windows that are not among the newest `keep` closed ones, where at
    /// least so many of them were cut behind `from`: up to there events may leave.
    #[must_use]
    pub fn leaves(&self, keep: u64, from: Lsn, least: u64) -> Option<Lsn> {
        let newer = usize::try_from(keep).unwrap_or(usize::MAX).saturating_add(1);
        let cuts = self.windows().rev().skip(newer).filter_map(|window| Some(window.cut?.0));
        let mut behind = cuts.take_while(|cut| *cut > from);
        let last = behind.next()?;
        let count = u64::try_from(behind.count()).expect("a count fits 64 bits") + 1;
        (count >= least).then_some(last)
    }

    /// The window in which vouchers are credited.
    #[must_use]
    pub fn open_window(&self) -> &WindowEntry {
        let (_, open) = self.windows.last_key_value().expect("one window is always open");
        open
    }

    /// One batch.
    ///
    /// # Errors
    /// `UnknownBatch`.
    pub fn batch(&self, batch: BatchId) -> Result<&BatchEntry, Refusal> {
        self.batches.get(&batch).ok_or(Refusal::UnknownBatch(batch))
    }

    /// What the record at `lsn` did, if it computed or aborted a batch.
    #[must_use]
    pub fn deed(&self, lsn: Lsn) -> Option<&Deed> {
        self.deeds.get(&lsn)
    }

    /// The approved batches whose id begins with these hexadecimal digits. What it costs does not
    /// grow with the number of batches.
    pub fn approved_named(&self, digits: &str) -> impl Iterator<Item = &BatchEntry> {
        self.batches_named(digits).map(|(_, entry)| entry).filter(|entry| entry.approved.is_some())
    }

    /// The batch that the record at `lsn` computed.
    #[must_use]
    pub fn batch_computed_by(&self, lsn: Lsn) -> Option<BatchId> {
        self.deed(lsn).filter(|deed| deed.aborted.is_none()).map(|deed| deed.batch)
    }

    /// All batches, in the order in which they were made.
    #[must_use]
    pub fn batches(&self) -> Vec<&BatchEntry> {
        let mut batches: Vec<&BatchEntry> = self.batches.values().collect();
        batches.sort_unstable_by_key(|entry| entry.computed_lsn);
        batches
    }
}
