//! What an event is about, for whoever asks what was done: its kind in words, and the party, key,
//! asset, window and batch that it names.

use crate::budget::{Budget, BudgetUse};
use crate::event::{
    AccessEvent, AssetCreated, BatchComputed, BatchEvent, BudgetEvent, Cap, DisputeEnded,
    EndpointEvent, Event, EyesEvent, HoldEvent, KeyEvent, LegEvent, LegsMoved, LegsSubmitted,
    PartyErased, PartyUpserted, RegistryEvent, TroubleEvent, WindowDisputed, WindowEvent,
};
use crate::identity::Credential;
use crate::leg::Mover;
use crate::types::{AssetNumber, BatchId, PartyId, SignerKey, WindowNumber};

/// What an event names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The party whose it is; none where it is several parties'.
    pub party: Option<PartyId>,
    /// The key that signs for a party, for the engine, or for an operator.
    pub signer: Option<SignerKey>,
    /// The asset.
    pub asset: Option<AssetNumber>,
    /// The window.
    pub window: Option<WindowNumber>,
    /// The batch.
    pub batch: Option<BatchId>,
    /// Of it, the one leg: its place.
    pub leg: Option<u32>,
    /// The rest, in a few words.
    pub text: String,
}

impl Event {
    /// What it names.
    #[must_use]
    pub fn about(&self) -> About {
        match self {
            Self::Registry(e) => e.about(),
            Self::Budget(e) => e.about(),
            Self::Access(e) => e.about(),
            Self::Endpoint(e) => e.about(),
            Self::Key(e) => e.about(),
            Self::Eyes(e) => e.about(),
            Self::Window(e) => e.about(),
            Self::Batch(e) => e.about(),
            Self::Leg(e) => e.about(),
            Self::Trouble(e) => e.about(),
            Self::Hold(e) => e.about(),
        }
    }

    /// Whether it names a party, also among others. `key_is_of` says whether a key signs for it.
    pub fn names(&self, party: PartyId, key_is_of: impl Fn(SignerKey) -> bool) -> bool {
        match self {
            Self::Registry(e) => match e {
                RegistryEvent::PartyUpserted(e) => e.party == party,
                RegistryEvent::PartyErased(e) => e.party == party,
                RegistryEvent::SignerAdded(e) => e.party == party,
                RegistryEvent::SignerRevoked(e) => key_is_of(e.signer),
                RegistryEvent::LimitSet(e) => e.party == party,
                RegistryEvent::Deposited(e) => e.party == party,
                RegistryEvent::AssetCreated(_) => false,
            },
            Self::Budget(BudgetEvent::Set(e)) => key_is_of(e.signer),
            Self::Budget(BudgetEvent::Warned(e)) => e.uses.iter().any(|of| key_is_of(of.signer)),
            Self::Access(AccessEvent::Added(e)) => e.scope.owns(party),
            Self::Endpoint(e) => e.party() == party,
            Self::Eyes(EyesEvent::Proposed(e)) => e.change.event().names(party, key_is_of),
            Self::Eyes(EyesEvent::Set(_) | EyesEvent::Withdrawn(_)) => false,
            Self::Leg(LegEvent::Moved(e)) => {
                e.moves.iter().any(|one| [one.payer, one.payee].contains(&party))
            }
            Self::Leg(LegEvent::Released(e)) => e.releases.iter().any(|one| one.party == party),
            Self::Trouble(TroubleEvent::Raised(e)) => {
                e.troubles.iter().any(|one| one.party == Some(party))
            }
            Self::Leg(LegEvent::Submitted(_) | LegEvent::Booked(_) | LegEvent::Proposed(_))
            | Self::Trouble(TroubleEvent::Acked(_))
            | Self::Access(AccessEvent::Revoked(_) | AccessEvent::Rotated(_))
            | Self::Key(_)
            | Self::Window(_)
            | Self::Batch(_)
            | Self::Hold(_) => false,
        }
    }
}

impl RegistryEvent {
    fn about(&self) -> About {
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
            Self::LimitSet(e) => {
                let text = format!("limit {}", e.limit);
                About { party: Some(e.party), asset: Some(e.asset), text, ..none }
            }
            Self::Deposited(e) => {
                let text = format!("deposit {}: {}", e.amount, e.reference);
                About { party: Some(e.party), asset: Some(e.asset), text, ..none }
            }
        }
    }
}

impl BudgetEvent {
    fn about(&self) -> About {
        let none = About::default();
        match self {
            Self::Set(e) => {
                let text = match e.budgets.is_empty() {
                    true => "no budgets".to_owned(),
                    false => joined(e.budgets.iter().map(budget_text)),
                };
                About { signer: Some(e.signer), text, ..none }
            }
            Self::Warned(e) => {
                let use_text = |of: &BudgetUse| {
                    format!("used {} of budget {}", of.used, budget_text(&of.budget))
                };
                let text = joined(e.uses.iter().map(use_text));
                let one = e.uses.first().filter(|_| e.uses.len() == 1);
                let asset = one.map(|of| of.budget.key.asset);
                About { signer: one.map(|of| of.signer), asset, text, ..none }
            }
        }
    }
}

impl HoldEvent {
    fn about(&self) -> About {
        let text = match self {
            Self::Begun(e) => format!(
                "from the copy {} up to record {}, as instance {}",
                e.backup, e.position, e.instance
            ),
            Self::Released(e) => format!("of record {}: {}", e.restored, e.reason),
        };
        About { text, ..About::default() }
    }
}

impl KeyEvent {
    fn about(&self) -> About {
        let of = |operator: &str| format!("the key of {operator}");
        match self {
            Self::EngineSet(e) => About { signer: Some(e.key), ..About::default() },
            Self::OperatorSet(e) => {
                About { signer: Some(e.key), text: of(&e.operator), ..About::default() }
            }
            // Which one it was, only who knows the history can say.
            Self::OperatorRemoved(e) => About { text: of(&e.operator), ..About::default() },
        }
    }
}

impl AccessEvent {
    fn about(&self) -> About {
        let key = |credential: &Credential| match credential {
            Credential::Signed(key) => Some(*key),
            Credential::Key(_) | Credential::Certificate(_) => None,
        };
        match self {
            Self::Added(e) => {
                let one = (e.scope.parties.len() == 1).then(|| e.scope.parties[0]);
                let text = format!("{} as {}", e.name, e.role.name());
                About { party: one, signer: key(&e.credential), text, ..About::default() }
            }
            Self::Revoked(e) => About { text: e.name.clone(), ..About::default() },
            Self::Rotated(e) => {
                let text = e.name.clone();
                About { signer: key(&e.credential), text, ..About::default() }
            }
        }
    }
}

impl EndpointEvent {
    /// Whose it is.
    #[must_use]
    pub fn party(&self) -> PartyId {
        match self {
            Self::Added(e) => e.party,
            Self::Removed(e) => e.party,
            Self::Rotated(e) => e.party,
        }
    }

    /// Without what is sealed: nobody's address or secret is told.
    fn about(&self) -> About {
        let text = match self {
            Self::Added(e) => joined(e.topics.iter().map(|topic| topic.name().to_owned())),
            Self::Removed(e) => format!("webhook {}", e.endpoint),
            Self::Rotated(e) if e.keeps_former => format!("webhook {}", e.endpoint),
            Self::Rotated(e) => format!("webhook {}, at once", e.endpoint),
        };
        About { party: Some(self.party()), text, ..About::default() }
    }
}

impl EyesEvent {
    fn about(&self) -> About {
        let text = match self {
            Self::Set(e) if e.on => {
                joined(["on".to_owned()].into_iter().chain(e.operators.clone()))
            }
            Self::Set(_) => "off".to_owned(),
            Self::Proposed(e) => {
                let event = e.change.event();
                let mut about = event.about();
                let text = format!("{}: {} {}", e.proposal, event.kind_name(), about.text);
                about.text = text.trim_end().to_owned();
                return about;
            }
            Self::Withdrawn(e) => match &*e.reason {
                "" => e.proposal.to_string(),
                reason => format!("{}: {reason}", e.proposal),
            },
        };
        About { text, ..About::default() }
    }
}

impl WindowEvent {
    fn about(&self) -> About {
        let none = About::default();
        match self {
            Self::Cut(e) => About { window: Some(e.window), ..none },
            Self::Sealed(e) => {
                let text = format!("{} vouchers credited", e.credited);
                About { window: Some(e.window), text, ..none }
            }
            Self::Archived(e) => {
                let text =
                    format!("{} bytes of evidence, digest {}", e.archive.bytes, e.archive.digest);
                About { window: Some(e.window), text, ..none }
            }
            Self::Disputed(WindowDisputed { window, reason })
            | Self::DisputeEnded(DisputeEnded { window, reason }) => {
                About { window: Some(*window), text: reason.clone(), ..none }
            }
        }
    }
}

impl BatchEvent {
    fn about(&self) -> About {
        let none = About::default();
        match self {
            Self::Computed(e) => {
                About { batch: Some(e.batch), asset: Some(e.asset), text: batch_text(e), ..none }
            }
            Self::Approved(e) => About { batch: Some(e.batch), ..none },
            Self::Aborted(e) => About { batch: Some(e.batch), text: e.reason.clone(), ..none },
        }
    }
}

impl LegEvent {
    fn about(&self) -> About {
        let none = About::default();
        match self {
            Self::Submitted(e) => About { batch: Some(e.batch), text: submitted_text(e), ..none },
            Self::Moved(e) => {
                About { batch: Some(e.batch), asset: Some(e.asset), text: moved_text(e), ..none }
            }
            Self::Booked(e) => {
                let text = format!("{} bookings", e.bookings.len());
                About { batch: Some(e.batch), text, ..none }
            }
            Self::Proposed(e) => {
                let text = format!("leg {} to {}: {}", e.leg, e.to.name(), e.evidence);
                About { batch: Some(e.batch), leg: Some(e.leg), text, ..none }
            }
            Self::Released(e) => {
                let text = format!("{} parties", e.releases.len());
                About { batch: Some(e.batch), asset: Some(e.asset), text, ..none }
            }
        }
    }
}

impl TroubleEvent {
    fn about(&self) -> About {
        let none = About::default();
        match self {
            Self::Raised(e) => match e.troubles.first() {
                Some(one) => About { batch: one.batch, text: one.text.clone(), ..none },
                None => none,
            },
            Self::Acked(e) => {
                let numbers = joined(e.troubles.iter().map(u64::to_string));
                About { text: format!("{numbers}: {}", e.note), ..none }
            }
        }
    }
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

/// As it is written: so much of which asset, in what time, to whom.
fn budget_text(Budget { key, amount }: &Budget) -> String {
    let payee = key.payee.map(|payee| format!(" to {payee}")).unwrap_or_default();
    format!("{amount} of {}/{}{payee}", key.asset, key.period.name())
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
    fn no_two_kinds_have_one_word() {
        let words: std::collections::BTreeSet<_> = Event::KIND_NAMES.iter().collect();
        assert_eq!(words.len(), Event::KIND_NAMES.len());
        let erased = PartyErased { party: PartyId([1; 32]), deposits: String::new() };
        assert!(words.contains(&Event::from(erased).kind_name()));
    }

    #[test]
    fn a_party_is_named_by_what_changes_it_and_by_its_keys() {
        let (party, signer) = (PartyId([1; 32]), SignerKey([9; 32]));
        let (asset, limit) = (AssetNumber(978), Total(5));
        let set = Event::from(CreditLimitSet { party, asset, limit });
        let revoked = Event::from(SignerRevoked { signer });
        let cut = Event::from(WindowCut { window: WindowNumber(1) });
        let own = |key: SignerKey| key == signer;
        let named = [&set, &revoked, &cut].map(|event| event.names(party, own));
        assert_eq!(named, [true, true, false]);
        assert!(!set.names(PartyId([2; 32]), own) && !revoked.names(party, |_| false));
    }
}
