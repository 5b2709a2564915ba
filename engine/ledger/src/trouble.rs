//! Troubles: what a person must see. Each is journaled, and stays until an operator takes it away.
//!
//! Owns their numbers, their bound and which of them is known already. Never decides what is a
//! trouble (whoever weighs a rail's word does) and never moves money.

use super::event::{TroublesAcked, TroublesRaised};
use super::rail::Rail;
use super::refusal::Refusal;
use crate::limits::{
    TROUBLE_TEXT_BYTES_MAX, TROUBLES_KNOWN, TROUBLES_MAX, TROUBLES_RECORD_MAX, TROUBLES_RESERVED,
};
use crate::types::{BatchId, Digest, Lsn, PartyId, Timestamp, content_digest};
use foldhash::fast::RandomState;
use rkyv::{Archive, Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet, VecDeque};

/// The end of a text of which there was more.
const CUT: &str = " ... (cut here; there is more of it)";

/// What kind of trouble it is. The discriminants are in the journal for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum TroubleKind {
    /// What a rail says cannot be true of a leg that stands where it stands.
    Contradiction = 1,
    /// A sum, currency, account or object that is not the leg's: nothing was moved.
    Misfit = 2,
    /// Money moved more than once for one leg.
    Surplus = 3,
    /// An answer of a rail could not be read.
    Refused = 4,
    /// Something that should have left is held up, and will not leave by itself.
    Held = 5,
    /// Anything else that a person must know of: a dispute, a correction that a bank asks for.
    Other = 6,
}

impl TroubleKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Contradiction, Self::Misfit, Self::Surplus, Self::Refused, Self::Held, Self::Other];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Contradiction => "contradiction",
            Self::Misfit => "misfit",
            Self::Surplus => "surplus",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Other => "other",
        }
    }
}

/// A trouble, before it has a number.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct NewTrouble {
    /// Its kind.
    pub kind: TroubleKind,
    /// Which rail it is about.
    pub rail: Rail,
    /// Which batch it is about, if one.
    pub batch: Option<BatchId>,
    /// Which leg of that batch, if one.
    pub leg: Option<u32>,
    /// Who pays in by that leg, or is paid.
    pub party: Option<PartyId>,
    /// Where it was said: a file's name, the id of a provider's object, a transaction's hash.
    pub source: String,
    /// What is wrong and what to do, for a person.
    pub text: String,
}

/// A trouble that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Its number, from 1; never used again.
    pub number: u64,
    /// The record that raised it.
    pub lsn: Lsn,
    /// When.
    pub at: Timestamp,
    /// What it is.
    pub of: NewTrouble,
}

/// All troubles that are open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Troubles {
    open: BTreeMap<u64, Trouble>,
    last: u64,
    /// Digests of those that are open, and of the newest that were taken away.
    known: HashSet<Digest, RandomState>,
    acked: VecDeque<Digest>,
}

/// What becomes of troubles that somebody raises.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// To be journaled.
    pub new: Vec<NewTrouble>,
    /// Those for which there is no room.
    pub lost: Vec<NewTrouble>,
    /// Whether one of those says that money moved which should not have: then nothing is to be made
    /// of what it rests on.
    pub lost_of_leg: bool,
}

impl NewTrouble {
    /// What makes two troubles the same: everything that is said.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(self);
        content_digest("trouble", &bytes.expect("plain data of bounded size can be archived"))
    }

    /// The leg of which it says that more was paid, or less, than the ledger has. It must be on the
    /// list before anything else is made of what it rests on.
    #[must_use]
    pub fn holds(&self) -> Option<(BatchId, u32)> {
        match self.kind {
            TroubleKind::Contradiction | TroubleKind::Surplus => self.batch.zip(self.leg),
            TroubleKind::Misfit | TroubleKind::Refused | TroubleKind::Held | TroubleKind::Other => {
                None
            }
        }
    }

    /// Who waits until this is taken away: what it was paid or charged is in doubt.
    #[must_use]
    pub fn doubts(&self) -> Option<PartyId> {
        self.party.filter(|_| self.holds().is_some() && self.rail.waits_for_doubts())
    }

    /// The same with texts of at most `TROUBLE_TEXT_BYTES_MAX` bytes. One that is cut says so.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        for text in [&mut self.source, &mut self.text] {
            if text.len() > TROUBLE_TEXT_BYTES_MAX {
                text.truncate(text.floor_char_boundary(TROUBLE_TEXT_BYTES_MAX - CUT.len()));
                text.push_str(CUT);
            }
        }
        self
    }
}

impl Troubles {
    /// Those that are open, oldest first.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = &Trouble> {
        self.open.values()
    }

    /// One that is open.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Trouble> {
        self.open.get(&number)
    }

    /// The number of the last one.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Digests of those that were taken away and are still known, oldest first.
    #[must_use]
    pub fn acked(&self) -> Vec<Digest> {
        self.acked.iter().copied().collect()
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// How many more can be raised.
    #[must_use]
    pub fn room(&self) -> usize {
        TROUBLES_MAX.saturating_sub(self.open.len())
    }

    /// Which of these are raised: those that are not known, each once, as far as there is room.
    /// Those that hold nobody leave room for those that do.
    #[must_use]
    pub fn admit(&self, troubles: impl IntoIterator<Item = NewTrouble>) -> Admitted {
        let (mut admitted, mut room) = (Admitted::default(), self.room());
        for one in troubles {
            if self.knows(&one) || admitted.new.contains(&one) || admitted.lost.contains(&one) {
                continue;
            }
            let of_leg = one.holds().is_some();
            if room > if of_leg { 0 } else { TROUBLES_RESERVED } {
                room -= 1;
                admitted.new.push(one);
            } else {
                admitted.lost_of_leg |= of_leg;
                admitted.lost.push(one);
            }
        }
        admitted
    }

    /// Whether this very trouble is open, or was taken away not long ago.
    #[must_use]
    pub fn knows(&self, trouble: &NewTrouble) -> bool {
        self.known.contains(&trouble.digest())
    }

    /// Whether these may be raised.
    ///
    /// # Errors
    /// `TableFull` when there is no room for all of them; `UnknownTrouble` never.
    pub fn check_raise(&self, e: &TroublesRaised) -> Result<(), Refusal> {
        let fits =
            |one: &NewTrouble| one.text.len().max(one.source.len()) <= TROUBLE_TEXT_BYTES_MAX;
        assert!(e.troubles.len() <= TROUBLES_RECORD_MAX, "troubles are raised in pieces");
        assert!(e.troubles.iter().all(fits), "texts are cut before");
        if e.troubles.len() <= self.room() {
            return Ok(());
        }
        Err(Refusal::TableFull { what: "the list of open troubles", limit: TROUBLES_MAX })
    }

    /// Whether these may be taken away.
    ///
    /// # Errors
    /// `UnknownTrouble` names the first that is not open; `AckNumbers` when none is named, or one
    /// twice.
    pub fn check_ack(&self, e: &TroublesAcked) -> Result<(), Refusal> {
        let count = e.troubles.len();
        if count == 0 || count > TROUBLES_MAX || !e.troubles.is_sorted_by(|a, b| a < b) {
            return Err(Refusal::AckNumbers(count));
        }
        match e.troubles.iter().find(|number| !self.open.contains_key(number)) {
            Some(number) => Err(Refusal::UnknownTrouble(*number)),
            None => Ok(()),
        }
    }

    /// Raises them.
    pub fn raise(&mut self, lsn: Lsn, at: Timestamp, e: &TroublesRaised) {
        for of in &e.troubles {
            self.last += 1;
            self.known.insert(of.digest());
            let number = self.last;
            self.open.insert(number, Trouble { number, lsn, at, of: of.clone() });
        }
    }

    /// Takes them away.
    pub fn ack(&mut self, e: &TroublesAcked) {
        for trouble in e.troubles.iter().filter_map(|number| self.open.remove(number)) {
            self.acked.push_back(trouble.of.digest());
            if self.acked.len() > TROUBLES_KNOWN
                && let Some(oldest) = self.acked.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }
}

/// The way back from what was kept.
impl Troubles {
    pub(super) fn restore_last(&mut self, last: u64) {
        self.last = last;
    }

    pub(super) fn restore(&mut self, trouble: Trouble) {
        self.known.insert(trouble.of.digest());
        self.open.insert(trouble.number, trouble);
    }

    pub(super) fn restore_acked(&mut self, acked: Vec<Digest>) {
        self.known.extend(acked.iter().copied());
        self.acked = acked.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(text: &str) -> NewTrouble {
        NewTrouble {
            kind: TroubleKind::Surplus,
            rail: Rail::Iso20022,
            batch: None,
            leg: None,
            party: None,
            source: "statement.xml".into(),
            text: text.into(),
        }
    }

    fn raised(texts: &[&str]) -> TroublesRaised {
        TroublesRaised { troubles: texts.iter().map(|text| trouble(text)).collect() }
    }

    fn acked(troubles: &[u64]) -> TroublesAcked {
        TroublesAcked { troubles: troubles.to_vec(), note: "the bank was asked".into() }
    }

    #[test]
    fn a_trouble_stays_until_it_is_taken_away_and_its_number_is_never_used_again() {
        let mut troubles = Troubles::default();
        troubles.raise(Lsn(5), Timestamp(7), &raised(&["a", "b"]));
        assert!(troubles.check_ack(&acked(&[1, 3])).is_err(), "3 is not open: neither goes");
        assert!(troubles.check_ack(&acked(&[1])).is_ok());
        troubles.ack(&acked(&[1]));
        assert!(troubles.check_ack(&acked(&[1])).is_err());
        troubles.raise(Lsn(6), Timestamp(8), &raised(&["c"]));
        let numbers: Vec<u64> = troubles.open().map(|one| one.number).collect();
        assert_eq!(numbers, [2, 3]);
    }

    #[test]
    fn the_same_word_again_is_known_also_after_it_was_taken_away() {
        let mut troubles = Troubles::default();
        assert!(!troubles.knows(&trouble("a")));
        troubles.raise(Lsn(5), Timestamp(7), &raised(&["a"]));
        assert!(troubles.knows(&trouble("a")) && !troubles.knows(&trouble("b")));
        troubles.ack(&acked(&[1]));
        assert!(troubles.knows(&trouble("a")));
    }

    #[test]
    fn only_what_contradicts_a_leg_of_a_rail_that_is_called_is_a_doubt_about_it() {
        let doubt = Some(PartyId([9; 32]));
        let of = |kind, rail, leg| {
            let batch = Some(BatchId([7; 32]));
            NewTrouble { kind, rail, batch, leg, party: doubt, ..trouble("a") }.doubts()
        };
        assert_eq!(of(TroubleKind::Contradiction, Rail::Card, Some(3)), doubt);
        assert_eq!(of(TroubleKind::Surplus, Rail::Card, Some(3)), doubt);
        assert_eq!(of(TroubleKind::Contradiction, Rail::Card, None), None);
        assert_eq!(of(TroubleKind::Contradiction, Rail::Iso20022, Some(3)), None);
        for kind in
            [TroubleKind::Misfit, TroubleKind::Refused, TroubleKind::Held, TroubleKind::Other]
        {
            assert_eq!(of(kind, Rail::Card, Some(3)), None);
        }
    }

    #[test]
    fn what_is_remembered_of_troubles_is_bounded() {
        let mut troubles = Troubles::default();
        let first = trouble("0");
        for number in 1..=u64::try_from(TROUBLES_KNOWN).unwrap() + 1 {
            let text = (number - 1).to_string();
            troubles.raise(Lsn(number), Timestamp(7), &raised(&[&text]));
            troubles.ack(&acked(&[number]));
        }
        assert_eq!((troubles.count(), troubles.known.len()), (0, TROUBLES_KNOWN));
        assert!(!troubles.knows(&first), "the oldest is forgotten");
    }

    #[test]
    fn texts_are_cut_between_characters_and_say_so() {
        let long = trouble(&"ä".repeat(TROUBLE_TEXT_BYTES_MAX)).bounded();
        assert!(long.text.len() <= TROUBLE_TEXT_BYTES_MAX && long.text.starts_with("ää"));
        assert!(long.text.ends_with(CUT), "{}", long.text);
        let fits = trouble(&"a".repeat(TROUBLE_TEXT_BYTES_MAX)).bounded();
        assert_eq!(fits.text, "a".repeat(TROUBLE_TEXT_BYTES_MAX));
    }

    #[test]
    fn more_than_the_list_holds_are_refused() {
        let mut troubles = Troubles::default();
        let texts: Vec<String> = (0..TROUBLES_MAX).map(|n| n.to_string()).collect();
        for some in texts.chunks(TROUBLES_RECORD_MAX) {
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            assert!(troubles.check_raise(&raised(&some)).is_ok());
            troubles.raise(Lsn(5), Timestamp(7), &raised(&some));
        }
        assert_eq!(troubles.room(), 0);
        assert!(troubles.check_raise(&raised(&["one more"])).is_err());
    }

    /// A contradiction that found the list full was dropped, and what it spoke of was charged
    /// again.
    #[test]
    fn what_holds_somebody_has_room_of_its_own_and_is_never_lost_in_silence() {
        let mut troubles = Troubles::default();
        let beside =
            |n: usize| NewTrouble { kind: TroubleKind::Refused, ..trouble(&n.to_string()) };
        let of_leg = |n: usize| NewTrouble {
            batch: Some(BatchId([7; 32])),
            leg: Some(3),
            party: Some(PartyId([9; 32])),
            ..trouble(&n.to_string())
        };
        let admitted = troubles.admit((0..TROUBLES_MAX).map(beside));
        assert_eq!(admitted.lost.len(), TROUBLES_RESERVED);
        assert!(!admitted.lost_of_leg);
        for some in admitted.new.chunks(TROUBLES_RECORD_MAX) {
            let e = TroublesRaised { troubles: some.to_vec() };
            troubles.check_raise(&e).unwrap();
            troubles.raise(Lsn(5), Timestamp(7), &e);
        }
        let again = troubles.admit([beside(0), beside(TROUBLES_MAX)]);
        assert_eq!((again.new.len(), again.lost.len()), (0, 1), "the first is known");
        let admitted = troubles.admit((0..TROUBLES_RESERVED).map(of_leg));
        assert_eq!((admitted.new.len(), admitted.lost_of_leg), (TROUBLES_RESERVED, false));
        let admitted = troubles.admit((0..=TROUBLES_RESERVED).map(of_leg));
        assert_eq!((admitted.new.len(), admitted.lost_of_leg), (TROUBLES_RESERVED, true));
    }
}
