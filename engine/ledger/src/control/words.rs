//! What operators say of legs, in the rail's stead: where one's word moves a leg, and when two
//! agree about one whose fate the rail cannot tell.

use super::Control;
use super::directory::text;
use super::signed::UNSIGNED;
use crate::batch::{BatchContent, Leg};
use crate::envelope::Caller;
use crate::event::{Event, LegProposed, LegsMoved};
use crate::eyes::check_own_key;
use crate::leg::{LegState, LegWord, Mover};
use crate::legs::{Legs, Proposal};
use crate::limits::MOVES_MAX;
use crate::operator_key::OperatorSignature;
use crate::refusal::Refusal;
use crate::types::{Digest, FileHasher, LegSaid};
use crate::wish::{LegStep, SaidOfLeg};
use std::collections::BTreeMap;

/// One operator's word about a leg whose fate the rail cannot tell.
pub(super) struct Resolution {
    pub leg: u32,
    pub word: LegWord,
    pub reference: String,
    pub evidence: String,
}

impl Control {
    /// Where an operator's words move legs, ordered by leg; nothing of those that say what is
    /// known.
    ///
    /// # Errors
    /// `Refusal` that names the first leg of which that cannot be true, or cannot be taken.
    pub fn reported(
        &self,
        content: &BatchContent,
        words: &[SaidOfLeg],
    ) -> Result<Vec<LegStep>, Refusal> {
        let (count, limit) = (words.len(), MOVES_MAX);
        if count == 0 || count > limit {
            return Err(Refusal::ReportCount { count, limit });
        }
        let legs = self.legs_of(content)?;
        let mut steps = BTreeMap::new();
        for said in words {
            let leg = leg_of(content, said.leg)?;
            text(&said.reference, "rail_reference")?;
            text(&said.reason, "reason")?;
            check_reason(leg, said)?;
            let to = self.moved_by(content, legs, leg, said)?;
            if steps.insert(said.leg, to.map(|to| said.step(to))).is_some() {
                return Err(Refusal::LegTwice { key: leg.key.clone() });
            }
        }
        Ok(steps.into_values().flatten().collect())
    }

    /// Where one operator's word moves a leg; `None` when it says what is known.
    fn moved_by(
        &self,
        content: &BatchContent,
        legs: &Legs,
        leg: &Leg,
        said: &SaidOfLeg,
    ) -> Result<Option<LegState>, Refusal> {
        let state = legs.state(said.leg);
        // What waits for a suspended payee can be given up: it is owed again.
        let waits = state == LegState::Ready && self.suspended.contains(&leg.payment.to);
        if waits && said.word == LegWord::Rejected {
            return Ok(Some(LegState::Rejected));
        }
        let to = heard(&leg.key, state, said.word)?;
        let rail = content.head.policy.rail;
        match to {
            Some(to) if !rail.takes_word(&leg.payment, state, to) => {
                Err(Refusal::InHand { key: leg.key.clone(), state: state.name() })
            }
            Some(_) | None => Ok(to),
        }
    }

    /// The moves of an operator's words: each of them must move its leg.
    pub(super) fn report(
        &self,
        content: &BatchContent,
        evidence: Digest,
        words: &[SaidOfLeg],
    ) -> Result<LegsMoved, Refusal> {
        let steps = self.reported(content, words)?;
        // What is known already moves nothing, and whoever asks has seen to it that there is none
        // of that.
        let moves = |leg: u32| steps.binary_search_by_key(&leg, |step| step.leg).is_ok();
        if let Some(one) = words.iter().find(|word| !moves(word.leg)) {
            let (batch, leg) = (content.head.id, one.leg);
            let from = self.legs_of(content)?.state(leg).name();
            return Err(Refusal::LegState { batch, leg, from, to: from });
        }
        self.moves(content, Mover::Operator, evidence, steps)
    }

    /// One operator's word about an UNKNOWN leg: kept, or, when another said the same, done.
    pub(super) fn resolution(
        &self,
        caller: &Caller,
        content: &BatchContent,
        said: Resolution,
        signed: Option<OperatorSignature>,
    ) -> Result<Event, Refusal> {
        // This takes two whether four eyes are on or not.
        check_own_key(caller, &self.identities)?;
        let Resolution { leg, word, reference, evidence } = said;
        text(&reference, "rail_reference")?;
        text(&evidence, "evidence")?;
        if evidence.is_empty() {
            return Err(Refusal::NoEvidence);
        }
        let (batch, legs) = (content.head.id, self.legs_of(content)?);
        let key = &leg_of(content, leg)?.key;
        let state = legs.state(leg);
        if state != LegState::Unknown {
            return Err(Refusal::NotUnknown { key: key.clone(), state: state.name() });
        }
        let said = word.said();
        let known = Refusal::LegState { batch, leg, from: state.name(), to: said };
        let to = heard(key, state, word)?.ok_or(known)?;
        let operator = caller.name.clone();
        let said = Proposal { operator, to, reference, evidence };
        let agreed = self.agreed(legs, leg, key, &said)?;
        let Proposal { to, reference, evidence, .. } = said;
        if !agreed {
            let signature = UNSIGNED;
            let word = LegProposed { batch, leg, to, reference, evidence, signature };
            return self.signed_word(caller, word, signed);
        }
        let digest = FileHasher::of(evidence.as_bytes());
        let step = LegStep { leg, to, reference, reason: evidence };
        let moved = self.moves(content, Mover::Operator, digest, vec![step])?;
        self.signed_moves(caller, moved, signed)
    }
}

impl Control {
    /// Whether another operator has said the same. Who repeats their own word is told that it takes
    /// another's.
    fn agreed(&self, legs: &Legs, leg: u32, key: &str, said: &Proposal) -> Result<bool, Refusal> {
        let Some(standing) = legs.proposed().get(&leg) else { return Ok(false) };
        if standing == said {
            let (key, operator) = (key.to_owned(), said.operator.clone());
            return Err(Refusal::SaidBefore { key, operator });
        }
        let same = (standing.to, &standing.reference) == (said.to, &said.reference);
        Ok(same && standing.operator != said.operator)
    }
}

fn leg_of(content: &BatchContent, leg: u32) -> Result<&Leg, Refusal> {
    let batch = content.head.id;
    content.legs.get(leg as usize).ok_or(Refusal::NoSuchLeg { batch, leg })
}

/// What failed is owed again: why, must be on record.
fn check_reason(leg: &Leg, said: &SaidOfLeg) -> Result<(), Refusal> {
    match said.word {
        LegWord::Rejected | LegWord::Returned if said.reason.is_empty() => {
            Err(Refusal::NoReasonOfLeg { key: leg.key.clone(), word: said.word.said() })
        }
        LegWord::Accepted | LegWord::Confirmed | LegWord::Rejected | LegWord::Returned => Ok(()),
    }
}

/// Where an operator's word moves a leg; `None` when it says what is known. Stricter than with a
/// rail's word, which comes late and out of order: a person may have meant something else, and can
/// be asked.
fn heard(key: &str, state: LegState, said: LegWord) -> Result<Option<LegState>, Refusal> {
    use LegState::{Accepted, Confirmed, Ready, Rejected, Returned, Sent, Unknown};
    let why = match (state, said) {
        (Sent | Unknown, LegWord::Accepted) => return Ok(Some(Accepted)),
        (Sent | Unknown | Accepted, LegWord::Confirmed) => return Ok(Some(Confirmed)),
        (Sent | Unknown | Accepted, LegWord::Rejected) => return Ok(Some(Rejected)),
        (Confirmed, LegWord::Returned) => return Ok(Some(Returned)),
        // It stands there, or has gone on from there.
        (Accepted | Confirmed, LegWord::Accepted)
        | (Confirmed, LegWord::Confirmed)
        | (Rejected, LegWord::Rejected)
        | (Returned, LegWord::Returned) => return Ok(None),
        (Ready, _) => "nothing of it has left",
        (Sent | Unknown | Accepted, LegWord::Returned) => {
            "nobody has said that it was paid; if it will not be, or came back at once, say rejected"
        }
        (Confirmed, LegWord::Rejected) => {
            "its money has moved; if it was sent back since, say returned"
        }
        (Rejected, LegWord::Accepted | LegWord::Confirmed | LegWord::Returned) => {
            "its amount is owed again already; if it was executed all the same, it may be paid twice"
        }
        (Returned, LegWord::Accepted | LegWord::Confirmed | LegWord::Rejected) => {
            "it was paid and sent back, and its amount is owed again already"
        }
    };
    Err(Refusal::LegWord { key: key.to_owned(), state: state.name(), word: said.said(), why })
}

impl LegWord {
    /// Where a leg stands of which it is said.
    #[must_use]
    pub fn state(self) -> LegState {
        match self {
            Self::Accepted => LegState::Accepted,
            Self::Confirmed => LegState::Confirmed,
            Self::Rejected => LegState::Rejected,
            Self::Returned => LegState::Returned,
        }
    }

    /// The word for it in calls.
    #[must_use]
    pub fn said(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Returned => "returned",
        }
    }
}

impl SaidOfLeg {
    /// What an operator signs who says this.
    #[must_use]
    pub fn signed(&self) -> LegSaid<'_> {
        let Self { leg, word, reference, reason } = self;
        LegSaid { leg: *leg, state: word.state().number(), reference, reason }
    }

    fn step(&self, to: LegState) -> LegStep {
        let (reference, reason) = (self.reference.clone(), self.reason.clone());
        LegStep { leg: self.leg, to, reference, reason }
    }
}

#[cfg(test)]
mod tests;
