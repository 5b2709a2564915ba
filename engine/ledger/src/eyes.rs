//! Four eyes: what takes two people, what was proposed and waits for the second, and whether there
//! ever were two. Pure rules, for the ledger as it decides and for an audit afterwards.

mod takes;

pub use takes::{Before, PartyBefore, Takes, needs_two, only_protects};

use crate::canary::{Bug, planted};
use crate::control::PartyEntry;
use crate::envelope::{Caller, Role};
use crate::event::{Change, ChangeProposed, Event, EyesEvent, EyesSet};
use crate::identity::{Credential, Identities};
use crate::limits::{PROPOSAL_LIFE, PROPOSALS_MAX, PROPOSALS_OF_ONE_MAX};
use crate::types::{
    AssetNumber, BatchId, Digest, Lsn, PartyId, SignerKey, Timestamp, content_digest,
};
use rkyv::rancor::Error;
use rkyv::{Archive, Deserialize, Serialize};
use std::collections::BTreeMap;
use takes::makes_another;

/// Why one person does not do alone what takes two, or another does not confirm it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum EyesMisfit {
    #[error(
        "batch {0} is under four eyes, and nobody knows who made it: the engine had no operators then; abort it, and \
         have an operator make it anew"
    )]
    NobodyMade(BatchId),
    #[error(
        "with four_eyes the first two who count are let in by whoever has the engine's machine: `tallystick access \
         bootstrap` there, once for each, or two [operators] in the configuration"
    )]
    FirstTwo,
    #[error(
        "with four_eyes this takes two, and one of them is an operator or approver with a name: call with a token or key"
    )]
    NobodyProposes,
    #[error(
        "proposal {0} is not there: it was confirmed, withdrawn, or has expired (`tallystick proposal list` shows \
         those that are open, `tallystick history` what became of it)"
    )]
    NoProposal(Digest),
    #[error("proposal {0} has expired; have it proposed anew")]
    ProposalOver(Digest),
    #[error(
        "{whose} {limit} open proposals, and no more are taken: confirm or withdraw some (`tallystick proposal list`)"
    )]
    ProposalsFull { whose: &'static str, limit: usize },
    #[error(
        "proposal {proposal} of {proposer} takes another person: an operator or approver who is somebody else"
    )]
    SameConfirmer { proposal: Digest, proposer: String },
    #[error(
        "{proposer}, who made proposal {proposal}, counts no more, or has had another key since; withdraw it \
         (`tallystick proposal withdraw`), and propose it anew if it is right"
    )]
    ProposerGone { proposal: Digest, proposer: String },
    #[error(
        "the key of {name} was made by {maker}, who may know it. Until {name} has made another (`tallystick access \
         rotate {name}`, called with the key that {name} has), it reads and protects (suspends, revokes, sets limits \
         to 0, disputes, aborts), and does nothing else where two people are asked for"
    )]
    KeyOfAnother { name: String, maker: String },
    #[error(
        "batch {batch} was made as {maker}, with a key that somebody else had made or that was replaced since; abort \
         it (`tallystick batch abort`), and have it made anew"
    )]
    MadeWithOldKey { batch: BatchId, maker: String },
    #[error(
        "what proposal {0} would replace has changed since; withdraw it (`tallystick proposal withdraw`), and propose \
         it anew"
    )]
    ChangedMeanwhile(Digest),
}

/// A proposal that may be confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Proposal {
    /// Names it.
    pub id: Digest,
    /// Who proposed it.
    pub proposer: String,
    /// When.
    pub at: Timestamp,
    /// What happens once it is confirmed.
    pub change: Change,
    /// Digest of what it replaces. Of a limit: zero, until somebody sets it meanwhile.
    pub before: Digest,
}

impl Proposal {
    /// From when on it is not confirmed any more.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        let life = i64::try_from(PROPOSAL_LIFE.as_micros()).expect("days fit 64 bits");
        Timestamp(self.at.0.saturating_add(life))
    }

    /// Whether that is so at this time.
    #[must_use]
    pub fn is_over(&self, at: Timestamp) -> bool {
        self.expires_at() <= at
    }
}

/// The name of a proposal: it covers what it does, whose it is, when it was made, by which request.
#[must_use]
pub fn proposal_id(
    change: &Change,
    before: Digest,
    (proposer, request): (&str, &str),
    at: Timestamp,
) -> Digest {
    let mut bytes = Vec::new();
    for text in [proposer, request] {
        let length = u64::try_from(text.len()).expect("a length fits 64 bits");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.extend_from_slice(&at.0.to_le_bytes());
    bytes.extend_from_slice(&before.0);
    bytes.extend_from_slice(&change.bytes());
    content_digest("Proposal", &bytes)
}

/// What a proposal keeps of the party that it would change; of nobody, where it is new.
#[must_use]
pub fn party_before(held: Option<&PartyEntry>) -> Digest {
    let bytes = held.map(|held| rkyv::to_bytes::<Error>(held).expect("plain data"));
    before_digest(bytes.as_deref().unwrap_or_default())
}

/// What a proposal keeps of the key that it would take away.
#[must_use]
pub fn key_before(key: Option<&SignerKey>) -> Digest {
    before_digest(key.map(|key| &key.0[..]).unwrap_or_default())
}

/// What a proposal keeps of the identity to which it would give another key.
#[must_use]
pub fn credential_before(held: Option<&Credential>) -> Digest {
    let bytes = held.map(|held| rkyv::to_bytes::<Error>(held).expect("plain data"));
    before_digest(bytes.as_deref().unwrap_or_default())
}

/// What stands in a proposal that would set a limit which was set since: nothing is ever so.
#[must_use]
pub fn overtaken() -> Digest {
    before_digest(b"a limit that was set since")
}

/// Whether the key of who asks is their own: nobody else made it, and may know it.
///
/// # Errors
/// `KeyOfAnother`.
pub fn check_own_key(caller: &Caller, identities: &Identities) -> Result<(), EyesMisfit> {
    let held = identities.named(&caller.name).ok().filter(|_| caller.via.is_of_identities());
    match held.and_then(|of| of.maker.as_deref()) {
        None => Ok(()),
        Some(maker) => {
            let maker = if maker.is_empty() { "somebody without a name" } else { maker };
            let (name, maker) = (caller.name.clone(), maker.to_owned());
            Err(EyesMisfit::KeyOfAnother { name, maker })
        }
    }
}

fn before_digest(bytes: &[u8]) -> Digest {
    content_digest("Proposal before", bytes)
}

/// Whether four eyes are on, whether there ever were two, and what waits for the second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Eyes {
    set: Option<EyesSet>,
    two: bool,
    /// By the record that made each.
    open: BTreeMap<Lsn, Proposal>,
    ids: BTreeMap<Digest, Lsn>,
}

/// The part of it that is one row.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct EyesRow {
    /// What the configuration says.
    pub set: Option<EyesSet>,
    /// Whether there ever were two.
    pub two: bool,
}

impl Eyes {
    /// Whether four eyes are on.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.set.as_ref().is_some_and(|set| set.on)
    }

    /// Whether there ever were two who count: from then on what takes two never goes by one.
    #[must_use]
    pub fn had_two(&self) -> bool {
        self.two
    }

    /// Whether the configuration says what it said before.
    #[must_use]
    pub fn is_set_so(&self, wanted: &EyesSet) -> bool {
        match &self.set {
            Some(set) => set == wanted,
            None => !wanted.on,
        }
    }

    /// Whether an event that somebody wants now must be confirmed by another.
    ///
    /// # Errors
    /// `KeyOfAnother` when it does more than protect, and somebody else made the caller's key;
    /// `FirstTwo` when it makes a second pair of eyes, and there were no two yet who could agree on
    /// that.
    pub fn takes_two(
        &self,
        caller: &Caller,
        event: &Event,
        before: Before<'_>,
    ) -> Result<bool, EyesMisfit> {
        self.check_acts(caller, event, before)?;
        self.asks_for_two(caller, event, before)
    }

    /// Whether who asks for an event has a key of their own, if it does more than protect.
    ///
    /// # Errors
    /// `KeyOfAnother`.
    pub fn check_acts(
        &self,
        caller: &Caller,
        event: &Event,
        before: Before<'_>,
    ) -> Result<(), EyesMisfit> {
        let asked = self.are_on() && caller.role != Role::Engine;
        if !asked || only_protects(caller, event, before) || planted(Bug::UnownedKeyCounts) {
            return Ok(());
        }
        check_own_key(caller, before.identities)
    }

    /// Whether an event must be confirmed by another, whosever the key is of who asks.
    ///
    /// # Errors
    /// `FirstTwo`.
    pub fn asks_for_two(
        &self,
        caller: &Caller,
        event: &Event,
        before: Before<'_>,
    ) -> Result<bool, EyesMisfit> {
        if !self.are_on() || caller.role == Role::Engine || !needs_two(caller, event, before) {
            return Ok(false);
        }
        match self.two {
            true => Ok(true),
            false if makes_another(event) => Err(EyesMisfit::FirstTwo),
            false => Ok(false),
        }
    }

    /// Whether the configuration has an operator of this name, as far as it was looked at: it is
    /// while four eyes are on.
    #[must_use]
    pub fn has_operator(&self, name: &str) -> bool {
        self.set.iter().flat_map(|set| &set.operators).any(|of| of == name)
    }

    /// Whether somebody counts where two must agree, at this time.
    #[must_use]
    pub fn counts(&self, name: &str, identities: &Identities, at: Timestamp) -> bool {
        self.has_operator(name)
            || identities.named(name).is_ok_and(|of| of.counts() && of.check_in_force(at).is_ok())
    }

    /// All proposals that were not confirmed or withdrawn, oldest first, each with its record.
    pub fn all(&self) -> impl Iterator<Item = (Lsn, &Proposal)> {
        self.open.iter().map(|(lsn, proposal)| (*lsn, proposal))
    }

    /// Those that may be confirmed at this time.
    pub fn open(&self, at: Timestamp) -> impl Iterator<Item = (Lsn, &Proposal)> {
        self.all().filter(move |(_, proposal)| !proposal.is_over(at))
    }

    /// The one that a record made, while it is there.
    #[must_use]
    pub fn made_by(&self, lsn: Lsn) -> Option<&Proposal> {
        self.open.get(&lsn)
    }

    /// The record that made the one with this name.
    #[must_use]
    pub fn place(&self, id: Digest) -> Option<Lsn> {
        self.ids.get(&id).copied()
    }

    /// The one with this name, if it may be confirmed or withdrawn.
    ///
    /// # Errors
    /// `NoProposal`, or `ProposalOver`.
    pub fn named(&self, id: Digest, at: Timestamp) -> Result<&Proposal, EyesMisfit> {
        let found = self.ids.get(&id).and_then(|lsn| self.open.get(lsn));
        match found {
            None => Err(EyesMisfit::NoProposal(id)),
            Some(of) if of.is_over(at) => Err(EyesMisfit::ProposalOver(id)),
            Some(of) => Ok(of),
        }
    }

    /// Whether somebody may propose one more at this time.
    ///
    /// # Errors
    /// `ProposalsFull`.
    pub fn room(&self, proposer: &str, at: Timestamp) -> Result<(), EyesMisfit> {
        let own = self.open(at).filter(|(_, of)| of.proposer == proposer).count();
        if own >= PROPOSALS_OF_ONE_MAX {
            return Err(EyesMisfit::ProposalsFull {
                whose: "you have",
                limit: PROPOSALS_OF_ONE_MAX,
            });
        }
        if self.open(at).count() >= PROPOSALS_MAX {
            return Err(EyesMisfit::ProposalsFull { whose: "there are", limit: PROPOSALS_MAX });
        }
        Ok(())
    }

    /// Whether this caller may confirm it: somebody else who counts, by a key of their own. And who
    /// proposed it counts still.
    ///
    /// # Errors
    /// `SameConfirmer`, `KeyOfAnother` or `ProposerGone`.
    pub fn check_confirmer(
        &self,
        caller: &Caller,
        proposal: &Proposal,
        identities: &Identities,
        at: Timestamp,
    ) -> Result<(), EyesMisfit> {
        self.check_other(caller, proposal, identities, at)?;
        check_own_key(caller, identities)?;
        self.check_proposer(proposal, identities, at)
    }

    /// Whether this caller counts, and is another than who proposed it.
    ///
    /// # Errors
    /// `SameConfirmer`.
    pub fn check_other(
        &self,
        caller: &Caller,
        proposal: &Proposal,
        identities: &Identities,
        at: Timestamp,
    ) -> Result<(), EyesMisfit> {
        let (name, proposer) = (&caller.name, &proposal.proposer);
        let counts = caller.is_operator() && self.counts(name, identities, at);
        if counts && name != proposer {
            return Ok(());
        }
        let (proposal, proposer) = (proposal.id, proposer.clone());
        Err(EyesMisfit::SameConfirmer { proposal, proposer })
    }

    /// Whether who proposed it counts still, by the key with which it was proposed.
    ///
    /// # Errors
    /// `ProposerGone`.
    pub fn check_proposer(
        &self,
        proposal: &Proposal,
        identities: &Identities,
        at: Timestamp,
    ) -> Result<(), EyesMisfit> {
        let proposer = &proposal.proposer;
        let by_the_same =
            self.place(proposal.id).is_some_and(|lsn| identities.stands_by(proposer, lsn));
        if by_the_same && self.counts(proposer, identities, at) {
            return Ok(());
        }
        let (proposal, proposer) = (proposal.id, proposer.clone());
        Err(EyesMisfit::ProposerGone { proposal, proposer })
    }

    /// The records of proposals that have expired by then: they are forgotten with the next one.
    pub fn over(&self, at: Timestamp) -> impl Iterator<Item = Lsn> {
        self.all().filter(move |(_, of)| of.is_over(at)).map(|(lsn, _)| lsn)
    }

    /// Takes what was decided, or what the journal holds.
    pub fn apply(
        &mut self,
        (lsn, at): (Lsn, Timestamp),
        caller: &Caller,
        event: &EyesEvent,
        identities: &Identities,
    ) {
        match event {
            EyesEvent::Set(e) => {
                self.set = Some(e.clone());
                self.count(identities);
            }
            EyesEvent::Proposed(ChangeProposed { proposal, change, before }) => {
                let over: Vec<Lsn> = self.over(at).collect();
                over.into_iter().for_each(|lsn| self.forget(lsn));
                let (id, proposer) = (*proposal, caller.name.clone());
                let (change, before) = (change.clone(), *before);
                self.restore(lsn, Proposal { id, proposer, at, change, before });
            }
            EyesEvent::Withdrawn(e) => self.end(e.proposal),
        }
    }

    /// The records of proposals that would set this limit.
    pub fn of_limit(&self, party: PartyId, asset: AssetNumber) -> impl Iterator<Item = Lsn> {
        let sets = move |change: &Change| {
            let Change::Limit(e) = change else { return false };
            (e.party, e.asset) == (party, asset)
        };
        self.all().filter(move |(_, of)| sets(&of.change)).map(|(lsn, _)| lsn)
    }

    /// A limit is set: what would have set it before is not confirmed any more. Of limits, which
    /// are the shards', nothing else is known here.
    pub fn overtake(&mut self, party: PartyId, asset: AssetNumber) {
        let all: Vec<Lsn> = self.of_limit(party, asset).collect();
        for lsn in all {
            if let Some(of) = self.open.get_mut(&lsn) {
                of.before = overtaken();
            }
        }
    }

    /// A proposal is over: confirmed, or withdrawn.
    pub fn end(&mut self, id: Digest) {
        if let Some(lsn) = self.place(id) {
            self.forget(lsn);
        }
    }

    fn forget(&mut self, lsn: Lsn) {
        if let Some(of) = self.open.remove(&lsn) {
            self.ids.remove(&of.id);
        }
    }

    /// Looks whether there are two by now.
    pub fn count(&mut self, identities: &Identities) {
        let configured = self.set.iter().flat_map(|set| &set.operators).map(String::as_str);
        let people: std::collections::BTreeSet<&str> =
            configured.chain(identities.people()).collect();
        self.two |= people.len() >= 2;
    }

    /// A proposal as it was kept.
    pub fn restore(&mut self, lsn: Lsn, proposal: Proposal) {
        self.ids.insert(proposal.id, lsn);
        self.open.insert(lsn, proposal);
    }

    /// The row of all but the proposals; `None` while there is nothing to say.
    #[must_use]
    pub fn row(&self) -> Option<EyesRow> {
        let Self { set, two, .. } = self;
        (set.is_some() || *two).then(|| EyesRow { set: set.clone(), two: *two })
    }

    /// That row as it was kept.
    pub fn restore_row(&mut self, EyesRow { set, two }: EyesRow) {
        self.set = set;
        self.two = two;
    }
}

impl Change {
    /// The credential that it would give somebody.
    #[must_use]
    pub fn credential(&self) -> Option<&Credential> {
        match self {
            Self::Identity(e) => Some(&e.credential),
            Self::Credential(e) => Some(&e.credential),
            Self::Party(_)
            | Self::Signer(_)
            | Self::Limit(_)
            | Self::Deposit(_)
            | Self::OperatorKey(_)
            | Self::Hold(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
