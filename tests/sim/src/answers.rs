//! What the simulated rails say of a leg in one answer: in any order, twice, contradicting, with
//! sums and accounts that do not fit. Draws it, and says by counting, with none of the engine's
//! rules, what it must lead to.

use crate::dice::Dice;
use std::collections::BTreeSet;
use tallystick::ledger::hearing::{Ground, Place, Side, Statement, Subject, Sum};
use tallystick::ledger::{LegState, LegWord, Movements};
use tallystick::types::Total;

/// One answer about a leg.
#[must_use]
pub fn draw(dice: &mut Dice, subject: &Subject<'_>) -> Vec<Statement> {
    let mut said: Vec<Statement> = (0..dice.between(1, 4)).map(|_| one(dice, subject)).collect();
    if dice.percent(30) {
        let again = dice.pick(&said).clone();
        said.push(again);
    }
    for at in (1..said.len()).rev() {
        said.swap(at, dice.place(at + 1));
    }
    said
}

fn one(dice: &mut Dice, subject: &Subject<'_>) -> Statement {
    let words = [LegWord::Accepted, LegWord::Confirmed, LegWord::Rejected, LegWord::Returned];
    // Of what has ended books tell most: paid once more, sent back, told again.
    let weights = if subject.state.has_ended() { [5, 45, 10, 40] } else { [30, 45, 15, 10] };
    let word = words[dice.weighted(&weights)];
    let moves = word == LegWord::Returned || word == LegWord::Confirmed && dice.percent(60);
    let (ground, reference) = if moves {
        let back = word == LegWord::Returned && dice.percent(70);
        let (held, own) = match back {
            true => (references(subject.came), ["R", "R", "R", "S", "T"]),
            false => (references(subject.went), ["A", "A", "A", "B", "C"]),
        };
        let again = !held.is_empty() && dice.percent(40);
        (Ground::Money, (*dice.pick(if again { &held } else { &own })).to_owned())
    } else {
        (Ground::Report, String::new())
    };
    let wrong = if dice.percent(20) { dice.below(4) } else { 9 };
    let other = if subject.side == Side::In { Side::Out } else { Side::In };
    Statement {
        word,
        ground,
        is_duplicate: word == LegWord::Rejected && dice.percent(20),
        side: if wrong == 0 { other } else { subject.side },
        sum: match wrong {
            1 => Sum::Units(Total(subject.amount.0 + 1)),
            2 => Sum::Alien("XXX 1".to_owned()),
            _ if moves || dice.percent(50) => Sum::Units(subject.amount),
            _ => Sum::Unsaid,
        },
        place: match wrong {
            3 => Place::Other("elsewhere".to_owned()),
            _ => Place::Unsaid,
        },
        reference,
        apart: 0,
        reason: String::new(),
    }
}

fn references(held: &Movements) -> Vec<&str> {
    held.references().iter().map(|of| &**of).collect()
}

/// Where all that was said moves the leg, if anywhere: each rule by counting.
#[must_use]
pub fn wanted(subject: &Subject<'_>, said: &[Statement]) -> Option<LegState> {
    use LegState::{Accepted, Confirmed, Ready, Rejected, Returned, Sent, Unknown};
    if !subject.has_left || subject.state == Ready {
        return None;
    }
    let fits = |one: &&Statement| {
        let sum = one.sum == Sum::Units(subject.amount)
            || one.sum == Sum::Unsaid && one.ground == Ground::Report;
        sum && one.side == subject.side
            && !one.is_duplicate
            && !matches!(one.place, Place::Other(_))
    };
    // How often it moved by this answer and all before it, and how often of that nobody knew.
    let count = |word: LegWord, held: &Movements| {
        let own =
            said.iter().filter(fits).filter(|one| one.word == word && one.ground == Ground::Money);
        let told: BTreeSet<&str> = own.map(|one| one.reference.as_str()).collect();
        let held = references(held);
        let new = told.iter().filter(|one| !held.contains(*one)).count();
        (held.len() + new, new, !told.is_empty())
    };
    let has = |word| said.iter().filter(fits).any(|one| one.word == word);
    let open = [Sent, Accepted, Unknown].contains(&subject.state);
    let (goings, new, out) = count(LegWord::Confirmed, subject.went);
    let (returns, more, back) = count(LegWord::Returned, subject.came);
    if out || back {
        // It is paid as long as its money went more often than it came back; what came back went.
        return match (returns > 0 && returns >= goings, subject.state) {
            (true, Confirmed) => (more > 0).then_some(Returned),
            (true, _) => open.then_some(Rejected),
            (false, Confirmed) => (new > 0 && new == goings).then_some(Confirmed),
            (false, _) => open.then_some(Confirmed),
        };
    }
    let (no, yes) = (has(LegWord::Rejected), has(LegWord::Confirmed));
    let taken = has(LegWord::Accepted);
    match (no, yes, taken) {
        (true, false, false) => open.then_some(Rejected),
        (false, true, _) => open.then_some(Confirmed),
        (false, false, true) => [Sent, Unknown].contains(&subject.state).then_some(Accepted),
        (true, ..) | (false, false, false) => None,
    }
}

/// The word that says so; of what no word says, that it failed.
#[must_use]
pub fn word_of(to: LegState) -> LegWord {
    match to {
        LegState::Accepted => LegWord::Accepted,
        LegState::Confirmed => LegWord::Confirmed,
        LegState::Returned => LegWord::Returned,
        LegState::Rejected | LegState::Ready | LegState::Sent | LegState::Unknown => {
            LegWord::Rejected
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick::ledger::Way;
    use tallystick::ledger::hearing::weigh;

    /// What is drawn must reach what it is there for: that it came back less often than it went,
    /// and that after that it came back as often, over several answers.
    #[test]
    fn answers_over_time_show_second_goings_and_their_returns() {
        let (mut stays, mut returned) = (0, 0);
        for seed in 0..2_000 {
            let mut dice = Dice::new(seed);
            let (mut went, mut came) = (Movements::None, Movements::None);
            let mut state = LegState::Sent;
            for _ in 0..12 {
                let side = if seed % 2 == 0 { Side::In } else { Side::Out };
                let (before_went, before_came) = (went.clone(), came.clone());
                let subject = Subject {
                    state,
                    has_left: true,
                    side,
                    amount: Total(100),
                    went: &before_went,
                    came: &before_came,
                };
                let said = draw(&mut dice, &subject);
                let verdict = weigh(&subject, &said);
                let moved = verdict.to.as_ref().map(|step| step.to);
                assert_eq!(moved, wanted(&subject, &said), "{subject:?} by {said:#?}");
                let own = verdict.to.iter().filter(|step| step.is_booked);
                let own = own.filter_map(|step| Some((step.to.booked()?, step.reference.clone())));
                for (way, reference) in verdict.held.iter().cloned().chain(own) {
                    match way {
                        Way::Went => went.hold(&reference),
                        Way::Came => came.hold(&reference),
                    }
                }
                let before = state;
                state = moved.unwrap_or(state);
                let (goings, returns) = (went.tally().count(), came.tally().count());
                let earlier = before_went.tally().count() > 1;
                let back = earlier && came != before_came;
                stays += u32::from(back && state == LegState::Confirmed && returns < goings);
                let to = (before, state) == (LegState::Confirmed, LegState::Returned);
                returned += u32::from(back && to && goings > 1);
            }
        }
        assert!(stays > 100 && returned > 100, "{stays} stay paid, {returned} come back");
    }
}
