//! Who there is, as the events say: parties, signers and assets, each with the record from which it
//! counts.

use super::budgets::Budgets;
use super::difference::Difference;
use crate::ledger::event::{Genesis, PartyErased, PartyUpserted, RegistryEvent, SignerAdded};
use crate::ledger::eyes::PartyBefore;
use crate::ledger::{Rail, SealedAccount, SealedOnRail, SealedText};
use crate::types::{AssetDef, AssetNumber, Lsn, PartyId, SignerKey, Timestamp};
use crate::verify::{SignatureKey, check_key};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

/// A key that signs for a party.
pub(super) struct Signer {
    pub party: PartyId,
    /// The record that added it.
    pub since: Lsn,
    pub revoked: Option<Lsn>,
    pub key: SignatureKey,
    /// Whether the key is known to be fit to be one: asked only of those that are met in evidence.
    fit: AtomicBool,
}

/// A party.
pub(super) struct Party {
    pub since: Lsn,
    /// `None` once it was erased.
    name: Option<SealedText>,
    accounts: Vec<SealedOnRail>,
    /// From which record on it was suspended, and not.
    suspended: Vec<(Lsn, bool)>,
}

/// An asset.
pub(super) struct Asset {
    pub since: Lsn,
    pub def: AssetDef,
}

/// Everyone and everything that was registered.
#[derive(Default)]
pub(super) struct Registry {
    pub signers: HashMap<SignerKey, Signer, RandomState>,
    pub parties: HashMap<PartyId, Party, RandomState>,
    pub assets: BTreeMap<AssetNumber, Asset>,
    /// When each event was sequenced: bounds for the frames between them.
    times: Vec<(Lsn, Timestamp)>,
    deposits: HashMap<(PartyId, AssetNumber), u128, RandomState>,
    pub genesis: Option<Genesis>,
    pub budgets: Budgets,
}

impl Signer {
    /// Whether its key is fit to be one: whoever verifies relies on it.
    pub fn check_fit(&self, key: SignerKey) -> Result<(), Difference> {
        if self.fit.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Err(error) = check_key(key) {
            return Err(Difference::new("the signer's key", "a key fit for signing", error));
        }
        self.fit.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Party {
    /// Whether it was erased, and not registered anew.
    pub fn is_erased(&self) -> bool {
        self.name.is_none()
    }

    /// Whether it was suspended when the record at `lsn` was applied.
    pub fn suspended_at(&self, lsn: Lsn) -> bool {
        let before = self.suspended.partition_point(|(since, _)| *since < lsn);
        before > 0 && self.suspended[before - 1].1
    }
}

impl Registry {
    /// An event was sequenced at this time.
    pub fn time(&mut self, lsn: Lsn, at: Timestamp) {
        self.times.push((lsn, at));
    }

    /// Between which times the record at `lsn` was sequenced, in whole seconds.
    pub fn seconds_around(&self, lsn: Lsn) -> (i64, i64) {
        let after = self.times.partition_point(|(at, _)| *at < lsn);
        let low = after.checked_sub(1).map_or(i64::MIN, |before| self.times[before].1.seconds());
        (low, self.times.get(after).map_or(i64::MAX, |(_, at)| at.seconds()))
    }

    /// Takes an event that registers something.
    ///
    /// # Errors
    /// When the engine could not have taken it.
    pub fn apply(&mut self, lsn: Lsn, event: &RegistryEvent) -> Result<(), Difference> {
        match event {
            RegistryEvent::AssetCreated(e) => {
                let asset = Asset { since: lsn, def: e.asset.clone() };
                let held = self.assets.entry(e.asset.number).or_insert(asset);
                if held.def == e.asset {
                    return Ok(());
                }
                let wanted = format!("{:?}", held.def);
                Err(Difference::new(
                    "an asset that never changes",
                    wanted,
                    format!("{:?}", e.asset),
                )
                .asset(e.asset.number))
            }
            RegistryEvent::PartyUpserted(e) => {
                self.party(lsn, e);
                Ok(())
            }
            RegistryEvent::PartyErased(e) => self.erased(e),
            RegistryEvent::SignerAdded(e) => self.signer(lsn, e),
            RegistryEvent::SignerRevoked(e) => match self.signers.get_mut(&e.signer) {
                Some(signer) => {
                    signer.revoked.get_or_insert(lsn);
                    Ok(())
                }
                None => Err(Difference::new("a revoked signer", "a registered one", e.signer)),
            },
            RegistryEvent::LimitSet(e) => self.known(e.party, e.asset),
            RegistryEvent::Deposited(e) => {
                self.known(e.party, e.asset)?;
                let held = self.deposits.entry((e.party, e.asset)).or_default();
                *held = held.checked_add(e.amount.0).ok_or_else(|| {
                    Difference::new("a party's deposits", "a sum of money", "more than there is")
                })?;
                Ok(())
            }
        }
    }

    fn party(&mut self, lsn: Lsn, e: &PartyUpserted) {
        let party = self.parties.entry(e.party).or_insert_with(|| Party {
            since: lsn,
            name: None,
            accounts: Vec::new(),
            suspended: Vec::new(),
        });
        party.name = Some(e.name.clone());
        party.accounts.clone_from(&e.accounts);
        if party.suspended.last().is_some_and(|(_, now)| *now) != e.suspended {
            party.suspended.push((lsn, e.suspended));
        }
    }

    /// Who is erased was suspended, and stays so.
    fn erased(&mut self, e: &PartyErased) -> Result<(), Difference> {
        let Some(party) = self.parties.get_mut(&e.party) else {
            return Err(Difference::new("an erased party", "a registered one", e.party));
        };
        if !party.suspended.last().is_some_and(|(_, suspended)| *suspended) {
            return Err(Difference::new("an erased party", "a suspended one", e.party));
        }
        (party.name, party.accounts) = (None, Vec::new());
        Ok(())
    }

    fn signer(&mut self, lsn: Lsn, e: &SignerAdded) -> Result<(), Difference> {
        if !self.parties.contains_key(&e.party) {
            return Err(Difference::new("a signer's party", "a registered one", e.party));
        }
        let signer = self.signers.entry(e.signer).or_insert_with(|| Signer {
            party: e.party,
            since: lsn,
            revoked: None,
            key: SignatureKey::new(e.signer.0),
            fit: AtomicBool::new(false),
        });
        if signer.party == e.party {
            return Ok(());
        }
        Err(Difference::new("the party of a signer, which never changes", signer.party, e.party))
    }

    /// A party as it is at this point of the events.
    pub fn before(&self, party: PartyId) -> Option<PartyBefore<'_>> {
        let Party { name, accounts, suspended, .. } = self.parties.get(&party)?;
        let suspended = suspended.last().is_some_and(|(_, now)| *now);
        Some(PartyBefore { name: name.as_ref(), suspended, accounts })
    }

    fn known(&self, party: PartyId, asset: AssetNumber) -> Result<(), Difference> {
        if !self.assets.contains_key(&asset) {
            return Err(Difference::new("an asset", "a registered one", asset));
        }
        if !self.parties.contains_key(&party) {
            return Err(Difference::new("a party", "a registered one", party));
        }
        Ok(())
    }

    /// Everything that a party has deposited at this point of the events.
    pub fn deposited(&self, party: PartyId, asset: AssetNumber) -> u128 {
        self.deposits.get(&(party, asset)).copied().unwrap_or(0)
    }

    /// A party's account on a rail, as it is at this point of the events.
    pub fn account(&self, party: PartyId, rail: Rail) -> Option<SealedAccount> {
        let party = self.parties.get(&party)?;
        let on_rail = party.accounts.iter().find(|account| account.rail == rail.name())?;
        Some(SealedAccount { name: party.name.clone()?, fields: on_rail.fields.clone() })
    }
}
