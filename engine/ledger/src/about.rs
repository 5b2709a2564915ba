//! What an event is about, for whoever asks what was done: its kind in words, and the party, key,
//! asset, window and batch that it names.

use crate::event::{
    AssetCreated, BatchComputed, Cap, DisputeEnded, Event, LegsMoved, LegsSubmitted, PartyErased,
    PartyUpserted, WindowDisputed,
};
use crate::leg::Mover;
use crate::types::{AssetNumber, BatchId, PartyId, SignerKey, WindowNumber};

/// What an event names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The party whose it is; none where it is several parties'.
    pub party: Option<PartyId>,
    /// The key that signs for a party, or for the engine.
    pub signer: Option<SignerKey>,
    /// The asset.
    pub asset: Option<AssetNumber>,
    /// The window.
    pub window: Option<WindowNumber>,
    /// The batch.
    pub batch: Option<BatchId>,
    /// The rest, in a few words.
    pub text: String,
}

impl Event {
    /// The word for its kind; never changed.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::AssetCreated(_) => "asset_created",
            Self::PartyUpserted(_) => "party_upserted",
            Self::PartyErased(_) => "party_erased",
            Self::SignerAdded(_) => "signer_added",
            Self::SignerRevoked(_) => "signer_revoked",
            Self::CreditLimitSet(_) => "limit_set",
            Self::DepositRecorded(_) => "deposit_recorded",
            Self::EngineKeySet(_) => "engine_key_set",
            Self::WindowCut(_) => "window_closed",
            Self::WindowSealed(_) => "window_sealed",
            Self::WindowDisputed(_) => "window_disputed",
            Self::DisputeEnded(_) => "dispute_ended",
            Self::BatchComputed(_) => "batch_created",
            Self::BatchApproved(_) => "batch_approved",
            Self::BatchAborted(_) => "batch_aborted",
            Self::LegsSubmitted(_) => "legs_submitted",
            Self::LegsMoved(_) => "legs_moved",
            Self::LegsBooked(_) => "legs_booked",
            Self::LegProposed(_) => "leg_proposed",
            Self::ExposureReleased(_) => "exposure_released",
            Self::TroublesRaised(_) => "troubles_raised",
            Self::TroublesAcked(_) => "troubles_acked",
        }
    }

    /// The words for all kinds, ordered.
    pub const KIND_NAMES: [&str; 22] = [
        "asset_created",
        "batch_aborted",
        "batch_approved",
        "batch_created",
        "deposit_recorded",
        "dispute_ended",
        "engine_key_set",
        "exposure_released",
        "leg_proposed",
        "legs_booked",
        "legs_moved",
        "legs_submitted",
        "limit_set",
        "party_erased",
        "party_upserted",
        "signer_added",
        "signer_revoked",
        "troubles_acked",
        "troubles_raised",
        "window_closed",
        "window_disputed",
        "window_sealed",
    ];

    /// What it names.
    #[must_use]
    pub fn about(&self) -> About {
        let none = About::default();
        match self {
            Self::AssetCreated(AssetCreated { asset }) => {
                let text = format!("{} with scale {}", asset.code, asset.scale);
                About { asset: Some(asset.number), text, ..none }
            }
            Self::PartyUpserted(e) => About { party: Some(e.party), text: party_text(e), ..none },
            Self::PartyErased(e) => About { party: Some(e.party), text: erased_text(e), ..none },
            Self::SignerAdded(e) => {
                let cap = |cap: &Cap| format!("cap {} of {}", cap.amount, cap.asset);
                let text = joined(e.caps.iter().map(cap));
                About { party: Some(e.party), signer: Some(e.signer), text, ..none }
            }
            Self::SignerRevoked(e) => About { signer: Some(e.signer), ..none },
            Self::CreditLimitSet(e) => About {
                party: Some(e.party),
                asset: Some(e.asset),
                text: format!("limit {}", e.limit),
                ..none
            },
            Self::DepositRecorded(e) => About {
                party: Some(e.party),
                asset: Some(e.asset),
                text: format!("deposit {}: {}", e.amount, e.reference),
                ..none
            },
            Self::EngineKeySet(e) => About { signer: Some(e.key), ..none },
            Self::WindowCut(e) => About { window: Some(e.window), ..none },
            Self::WindowSealed(e) => {
                let text = format!("{} vouchers credited", e.credited);
                About { window: Some(e.window), text, ..none }
            }
            Self::WindowDisputed(WindowDisputed { window, reason })
            | Self::DisputeEnded(DisputeEnded { window, reason }) => {
                About { window: Some(*window), text: reason.clone(), ..none }
            }
            Self::BatchComputed(e) => {
                About { batch: Some(e.batch), asset: Some(e.asset), text: batch_text(e), ..none }
            }
            Self::BatchApproved(e) => About { batch: Some(e.batch), ..none },
            Self::BatchAborted(e) => About { batch: Some(e.batch), text: e.reason.clone(), ..none },
            Self::LegsSubmitted(e) => {
                About { batch: Some(e.batch), text: submitted_text(e), ..none }
            }
            Self::LegsMoved(e) => {
                About { batch: Some(e.batch), asset: Some(e.asset), text: moved_text(e), ..none }
            }
            Self::LegsBooked(e) => {
                let text = format!("{} bookings", e.bookings.len());
                About { batch: Some(e.batch), text, ..none }
            }
            Self::LegProposed(e) => {
                let text = format!("leg {} to {}: {}", e.leg, e.to.name(), e.evidence);
                About { batch: Some(e.batch), text, ..none }
            }
            Self::ExposureReleased(e) => {
                let text = format!("{} parties", e.releases.len());
                About { batch: Some(e.batch), asset: Some(e.asset), text, ..none }
            }
            Self::TroublesRaised(e) => match e.troubles.first() {
                Some(one) => About { batch: one.batch, text: one.text.clone(), ..none },
                None => none,
            },
            Self::TroublesAcked(e) => {
                let numbers = joined(e.troubles.iter().map(u64::to_string));
                About { text: format!("{numbers}: {}", e.note), ..none }
            }
        }
    }

    /// Whether it names a party, also among others. `key_is_of` says whether a key signs for it.
    pub fn names(&self, party: PartyId, key_is_of: impl Fn(SignerKey) -> bool) -> bool {
        match self {
            Self::PartyUpserted(e) => e.party == party,
            Self::PartyErased(e) => e.party == party,
            Self::SignerAdded(e) => e.party == party,
            Self::SignerRevoked(e) => key_is_of(e.signer),
            Self::CreditLimitSet(e) => e.party == party,
            Self::DepositRecorded(e) => e.party == party,
            Self::LegsMoved(e) => e.moves.iter().any(|one| [one.payer, one.payee].contains(&party)),
            Self::ExposureReleased(e) => e.releases.iter().any(|one| one.party == party),
            Self::TroublesRaised(e) => e.troubles.iter().any(|one| one.party == Some(party)),
            Self::AssetCreated(_)
            | Self::EngineKeySet(_)
            | Self::WindowCut(_)
            | Self::WindowSealed(_)
            | Self::WindowDisputed(_)
            | Self::DisputeEnded(_)
            | Self::BatchComputed(_)
            | Self::BatchApproved(_)
            | Self::BatchAborted(_)
            | Self::LegsSubmitted(_)
            | Self::LegsBooked(_)
            | Self::LegProposed(_)
            | Self::TroublesAcked(_) => false,
        }
    }
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

/// How what was left of its deposits was given back.
fn erased_text(e: &PartyErased) -> String {
    e.deposits.clone()
}

fn batch_text(e: &BatchComputed) -> String {
    let eyes = if e.four_eyes { ", another operator must approve" } else { "" };
    let count = e.windows.len();
    format!("{count} {}{eyes}", if count == 1 { "window" } else { "windows" })
}

fn submitted_text(e: &LegsSubmitted) -> String {
    let legs: u64 = e.legs.iter().map(|run| u64::from(run.count)).sum();
    format!("{legs} legs as {}", e.name)
}

fn moved_text(e: &LegsMoved) -> String {
    let first = e.moves.first().map(|one| one.to.name()).unwrap_or_default();
    let all_same = e.moves.iter().all(|one| one.to.name() == first);
    let to = if all_same { format!(" to {first}") } else { String::new() };
    let by = match e.mover {
        Mover::Engine => "the engine",
        Mover::Rail => "the rail's word",
        Mover::Operator => "an operator's word",
        Mover::Books => "what books show",
    };
    format!("{} legs{to} by {by}", e.moves.len())
}

/// Without what is sealed: who has the keys says more.
fn party_text(e: &PartyUpserted) -> String {
    let suspended = e.suspended.then_some("suspended");
    joined(suspended.into_iter().chain(e.accounts.iter().map(|on| &*on.rail)).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{CreditLimitSet, SignerRevoked, WindowCut};
    use crate::types::Total;

    #[test]
    fn the_words_for_kinds_are_known_and_in_order() {
        let event =
            Event::PartyErased(PartyErased { party: PartyId([1; 32]), deposits: "".into() });
        assert!(Event::KIND_NAMES.contains(&event.kind_name()));
        assert!(Event::KIND_NAMES.is_sorted());
    }

    #[test]
    fn a_party_is_named_by_what_changes_it_and_by_its_keys() {
        let (party, signer) = (PartyId([1; 32]), SignerKey([9; 32]));
        let (asset, limit) = (AssetNumber(978), Total(5));
        let set = Event::CreditLimitSet(CreditLimitSet { party, asset, limit });
        let revoked = Event::SignerRevoked(SignerRevoked { signer });
        let cut = Event::WindowCut(WindowCut { window: WindowNumber(1) });
        let own = |key: SignerKey| key == signer;
        let named = [&set, &revoked, &cut].map(|event| event.names(party, own));
        assert_eq!(named, [true, true, false]);
        assert!(!set.names(PartyId([2; 32]), own) && !revoked.names(party, |_| false));
    }
}
