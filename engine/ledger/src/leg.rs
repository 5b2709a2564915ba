//! Legs: where one stands, and who may move it where. Pure rules; what a rail said, and how it was
//! found out, is known above.

use crate::types::{PartyId, Total};
use rkyv::{Archive, Deserialize, Serialize};

/// Where a leg stands. The discriminants are in the journal for ever.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum LegState {
    /// Computed; nothing has left.
    Ready = 1,
    /// Its bytes are durable and leave, or have left.
    Sent = 2,
    /// The rail has taken it on.
    Accepted = 3,
    /// It may or may not have been executed: an answer was lost.
    Unknown = 4,
    /// The money has moved.
    Confirmed = 5,
    /// It will not be executed: its amount is owed in the window that was open then.
    Rejected = 6,
    /// It was executed and sent back: its amount is owed in the window that was open then.
    Returned = 7,
}

/// Who moves a leg. The discriminants are in the journal for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum Mover {
    /// The engine on its own: a lost answer, a new attempt, a pay-out that is held back.
    Engine = 1,
    /// The rail's word.
    Rail = 2,
    /// An operator's word about what the rail did, or two operators' about an UNKNOWN leg.
    Operator = 3,
    /// Money that moved: an account, or the rail's own books, shows it. What it moved is remembered
    /// by its reference, also of a leg that was CONFIRMED by somebody's word before.
    Books = 4,
}

/// Which way the money of a leg went that books have shown. The discriminants are in the journal
/// for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum Way {
    /// The way that the leg says.
    Went = 1,
    /// Back.
    Came = 2,
}

/// What a rail, or an operator in its stead, says of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LegWord {
    /// It was taken on; not final.
    Accepted,
    /// The money has moved.
    Confirmed,
    /// It will not be executed.
    Rejected,
    /// It was executed and sent back.
    Returned,
}

/// What a word about a leg leads to, given where the leg stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It moves.
    Move(LegState),
    /// Nothing that was not known.
    Known,
    /// It cannot be true of a leg that stands here: a person must look.
    Conflict,
}

/// One leg's move. Says again what moves, so that what follows from it needs nothing but the
/// record.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LegMove {
    /// Its place among the batch's legs.
    pub leg: u32,
    /// Where it stands from now on.
    pub to: LegState,
    /// Who pays; all zero is the clearing account.
    pub payer: PartyId,
    /// Who is paid; all zero is the clearing account.
    pub payee: PartyId,
    /// How much, in asset units.
    pub amount: Total,
    /// The rail's own reference; empty if there is none.
    pub reference: String,
    /// Why; empty if there is nothing to say.
    pub reason: String,
}

impl LegMove {
    /// Whom it is about: who pays in, or who is paid.
    #[must_use]
    pub fn party(&self) -> PartyId {
        if self.payee == PartyId::CLEARING { self.payer } else { self.payee }
    }
}

impl LegState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Sent,
        Self::Accepted,
        Self::Unknown,
        Self::Confirmed,
        Self::Rejected,
        Self::Returned,
    ];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Sent => "SENT",
            Self::Accepted => "ACCEPTED",
            Self::Unknown => "UNKNOWN",
            Self::Confirmed => "CONFIRMED",
            Self::Rejected => "REJECTED",
            Self::Returned => "RETURNED",
        }
    }

    /// Whether the leg has ended. A confirmed one can still be returned.
    #[must_use]
    pub fn has_ended(self) -> bool {
        match self {
            Self::Confirmed | Self::Rejected | Self::Returned => true,
            Self::Ready | Self::Sent | Self::Accepted | Self::Unknown => false,
        }
    }

    /// Whether money may be on its way: neither at rest nor ended.
    #[must_use]
    pub fn is_in_flight(self) -> bool {
        match self {
            Self::Sent | Self::Accepted | Self::Unknown => true,
            Self::Ready | Self::Confirmed | Self::Rejected | Self::Returned => false,
        }
    }

    /// Which way the money went that books showed, where they moved a leg here.
    #[must_use]
    pub fn booked(self) -> Option<Way> {
        match self {
            Self::Confirmed => Some(Way::Went),
            Self::Rejected | Self::Returned => Some(Way::Came),
            Self::Ready | Self::Sent | Self::Accepted | Self::Unknown => None,
        }
    }

    /// Whether its amount is owed anew.
    #[must_use]
    pub fn is_owed_again(self) -> bool {
        match self {
            Self::Rejected | Self::Returned => true,
            Self::Ready | Self::Sent | Self::Accepted | Self::Unknown | Self::Confirmed => false,
        }
    }

    /// What a word about a leg that stands here leads to. Words come late, twice and out of order.
    #[must_use]
    pub fn hear(self, word: LegWord) -> Heard {
        use LegState::{Accepted, Confirmed, Ready, Rejected, Returned, Sent, Unknown};
        match (self, word) {
            (Sent | Unknown, LegWord::Accepted) => Heard::Move(Accepted),
            (Sent | Unknown | Accepted, LegWord::Confirmed) => Heard::Move(Confirmed),
            // A return of what was never known to be confirmed: it does not stand, that is all.
            (Sent | Unknown | Accepted, LegWord::Rejected | LegWord::Returned) => {
                Heard::Move(Rejected)
            }
            // A rejection of what was confirmed: the money has come back.
            (Confirmed, LegWord::Rejected | LegWord::Returned) => Heard::Move(Returned),
            (Accepted | Confirmed, LegWord::Accepted)
            | (Confirmed, LegWord::Confirmed)
            | (Rejected | Returned, LegWord::Accepted | LegWord::Rejected | LegWord::Returned) => {
                Heard::Known
            }
            // Nothing has left, or what was rejected is owed again already.
            (Ready, _) | (Rejected, LegWord::Confirmed) => Heard::Conflict,
            // Confirmed, then returned; the confirmation came late.
            (Returned, LegWord::Confirmed) => Heard::Known,
        }
    }

    /// Whether `mover` may move a leg from here to `to`. READY to SENT is not a move but a
    /// submission, which comes with its bytes.
    #[must_use]
    pub fn may_move(self, to: Self, mover: Mover) -> bool {
        use LegState::{Accepted, Confirmed, Ready, Rejected, Returned, Sent, Unknown};
        match (self, to) {
            // What cannot be sent is owed again: a pay-out that no pay-in covers, a leg that the
            // rail cannot express; and, by an operator, what waits for a payee that is suspended.
            (Ready, Rejected) => mover == Mover::Engine || mover == Mover::Operator,
            // The answer was lost.
            (Sent, Unknown) => mover == Mover::Engine,
            // The same bytes again under the same key: the rail is idempotent, or has never seen
            // it; or what had been accepted was undone by the rail itself (a chain's
            // reorganisation).
            (Unknown | Accepted, Sent) => mover == Mover::Engine,
            (Sent | Unknown, Accepted)
            | (Sent | Unknown | Accepted, Confirmed | Rejected)
            | (Confirmed, Returned) => mover != Mover::Engine,
            // It stays where it stands, and the books' reference is held from now on.
            (Confirmed, Confirmed) => mover == Mover::Books,
            (Ready, Ready | Sent | Accepted | Unknown | Confirmed | Returned)
            | (Sent, Ready | Sent | Returned)
            | (Accepted, Ready | Accepted | Unknown | Returned)
            | (Unknown, Ready | Unknown | Returned)
            | (Confirmed, Ready | Sent | Accepted | Unknown | Rejected)
            | (Rejected | Returned, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LegState::{Accepted, Confirmed, Ready, Rejected, Returned, Sent, Unknown};
    use super::*;

    #[test]
    fn the_table_of_moves_is_that_of_the_design() {
        let rail = [
            (Sent, Accepted),
            (Unknown, Accepted),
            (Sent, Confirmed),
            (Accepted, Confirmed),
            (Unknown, Confirmed),
            (Sent, Rejected),
            (Accepted, Rejected),
            (Unknown, Rejected),
            (Confirmed, Returned),
        ];
        let engine = [(Ready, Rejected), (Sent, Unknown), (Unknown, Sent), (Accepted, Sent)];
        for from in LegState::ALL {
            for to in LegState::ALL {
                let of = |mover| from.may_move(to, mover);
                assert_eq!(of(Mover::Rail), rail.contains(&(from, to)), "{from:?} {to:?}");
                let given_up = of(Mover::Rail) || (from, to) == (Ready, Rejected);
                assert_eq!(of(Mover::Operator), given_up, "{from:?} {to:?}");
                let booked = of(Mover::Rail) || (from, to) == (Confirmed, Confirmed);
                assert_eq!(of(Mover::Books), booked, "{from:?} {to:?}");
                assert_eq!(of(Mover::Engine), engine.contains(&(from, to)), "{from:?} {to:?}");
            }
        }
    }

    #[test]
    fn whatever_is_heard_leads_to_a_move_of_the_table_or_to_none() {
        use LegWord as Word;
        for from in LegState::ALL {
            for word in [Word::Accepted, Word::Confirmed, Word::Rejected, Word::Returned] {
                match from.hear(word) {
                    Heard::Move(to) => {
                        assert!(from.may_move(to, Mover::Rail), "{from:?} {word:?}");
                        assert!(!matches!(to.hear(word), Heard::Move(_)), "twice is once");
                    }
                    Heard::Known | Heard::Conflict => {}
                }
            }
        }
    }

    #[test]
    fn what_has_ended_never_leaves_again() {
        for from in LegState::ALL.into_iter().filter(|state| state.has_ended()) {
            for to in LegState::ALL.into_iter().filter(|state| !state.has_ended()) {
                for mover in [Mover::Engine, Mover::Rail, Mover::Operator, Mover::Books] {
                    assert!(!from.may_move(to, mover), "{from:?} {to:?} {mover:?}");
                }
            }
        }
    }
}
