//! Where parties are told over HTTP, drawn at random: mostly what makes sense, sometimes what must
//! be refused.

use crate::clients::by;
use crate::dice::Dice;
use crate::model::State;
use crate::world::World;
use tallystick::ledger::{Command, Request, SealedText, Topic, Wish};
use tallystick::types::{Lsn, PartyId};

/// An endpoint comes, goes, or gets another secret.
pub fn any(request: Request, dice: &mut Dice, world: &World, state: &State) -> Command {
    let wish = match dice.below(10) {
        0..6 => add(dice, world, state),
        6..8 => {
            let (endpoint, party) = one(dice, world, state);
            Wish::RemoveEndpoint { endpoint, party }
        }
        _ => {
            let (endpoint, party) = one(dice, world, state);
            let (secret, keeps_former) = (sealed(dice), dice.percent(60));
            let erasures = erasures(dice, state, party);
            Wish::RotateEndpoint { endpoint, party, secret, keeps_former, erasures }
        }
    };
    wish.by(by(""), request)
}

fn add(dice: &mut Dice, world: &World, state: &State) -> Wish {
    // Few, so that one has all that it may have.
    let parties = if dice.percent(70) { &world.parties[..1] } else { &world.parties[..] };
    let party = *dice.pick(parties);
    let mut topics: Vec<Topic> = (0..dice.below(4)).map(|_| *dice.pick(&Topic::ALL)).collect();
    if dice.percent(90) {
        topics.push(Topic::WindowClosed);
        topics.sort_unstable();
        topics.dedup();
    }
    let (url, secret, erasures) = (sealed(dice), sealed(dice), erasures(dice, state, party));
    Wish::AddEndpoint { party, url, secret, topics, erasures }
}

/// Mostly one that there is.
fn one(dice: &mut Dice, world: &World, state: &State) -> (Lsn, PartyId) {
    let all: Vec<(u64, PartyId)> =
        state.endpoints.iter().map(|(lsn, of)| (*lsn, of.party)).collect();
    let (endpoint, party) = match all.is_empty() || dice.percent(10) {
        true => (dice.between(1, 99), *dice.pick(&world.parties)),
        false => *dice.pick(&all),
    };
    let party = if dice.percent(10) { *dice.pick(&world.parties) } else { party };
    (Lsn(endpoint), party)
}

fn sealed(dice: &mut Dice) -> SealedText {
    let length = if dice.percent(97) { 60 } else { *dice.pick(&[39, 1_100]) };
    let byte = u8::try_from(dice.below(200)).expect("a small number");
    SealedText::new(vec![byte; length])
}

fn erasures(dice: &mut Dice, state: &State, party: PartyId) -> u32 {
    let now = state.erasures(party);
    if dice.percent(97) { now } else { now + 1 }
}
