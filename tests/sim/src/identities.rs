//! Identities that are added, revoked and known by something else, and calls that come as one,
//! drawn at random: mostly what makes sense, sometimes what must be refused.

use crate::clients::{OPERATORS, by};
use crate::clock::{DAY, HOUR};
use crate::dice::Dice;
use crate::model::{Known, State};
use crate::world::World;
use tallystick::ledger::event::IdentityAdded;
use tallystick::ledger::{Caller, Command, Credential, Request, Role, Scope, Via, Wish};
use tallystick::types::{Digest, PartyId, SignerKey, Timestamp};

/// Names that are drawn: few enough to be drawn twice.
const NAMES: u64 = 14;

/// An identity comes, goes, or gets another key.
pub fn any(request: Request, dice: &mut Dice, world: &World, state: &State) -> Command {
    let operator = *dice.pick(&OPERATORS);
    let wish = match dice.below(10) {
        0..6 => Wish::AddIdentity(added(dice, world, state)),
        6..8 => Wish::RevokeIdentity { name: name(dice, state) },
        _ => {
            let (name, credential) = (name(dice, state), credential(dice));
            // Mostly it is its owner who takes it over.
            let owner = state.identities.get(&name).filter(|_| dice.percent(70));
            let as_owner = owner.map(|of| (of.role, of.credential.via()));
            let wish = Wish::RotateIdentity { name: name.clone(), credential };
            return match as_owner {
                Some((role, via)) => wish.by(Caller { name, role, via }, request),
                None => wish.by(by(operator), request),
            };
        }
    };
    wish.by(by(operator), request)
}

fn added(dice: &mut Dice, world: &World, state: &State) -> IdentityAdded {
    let name = match dice.percent(97) {
        true => format!("id-{}", dice.below(NAMES)),
        false => "no name".to_owned(),
    };
    let (role, credential) = (*dice.pick(&Role::OF_IDENTITIES), credential(dice));
    let often = [(Role::Facilitator, 50), (Role::Party, 95)];
    let often = often.into_iter().find(|(of, _)| *of == role);
    let own = dice.percent(often.map_or(5, |(_, percent)| percent));
    let parties = if own { some(dice, world) } else { Vec::new() };
    let payees = match role == Role::Facilitator && dice.percent(30) {
        true => some(dice, world),
        false => Vec::new(),
    };
    let lives = [-1, 0, 1_000_000, HOUR, DAY, 40 * DAY];
    let expires_at = dice.percent(40).then(|| Timestamp(state.last.1 + *dice.pick(&lives)));
    let rate = if role == Role::Facilitator { 7 } else { 0 };
    IdentityAdded { name, role, credential, scope: Scope { parties, payees }, expires_at, rate }
}

/// One or two parties, now and then one that there is not, or out of order.
fn some(dice: &mut Dice, world: &World) -> Vec<PartyId> {
    let from = match dice.percent(97) {
        true => &world.parties[..world.parties.len() - 1],
        false => &world.parties[..],
    };
    let mut parties: Vec<PartyId> = (0..dice.between(1, 2)).map(|_| *dice.pick(from)).collect();
    if dice.percent(95) {
        parties.sort_unstable();
        parties.dedup();
    }
    parties
}

fn credential(dice: &mut Dice) -> Credential {
    let number = u8::try_from(dice.below(60)).expect("a small number");
    match dice.below(3) {
        0 => Credential::Key(Digest([number; 32])),
        1 => Credential::Signed(SignerKey([number; 32])),
        _ => Credential::Certificate(format!("host-{number}")),
    }
}

/// Mostly a name that there is.
fn name(dice: &mut Dice, state: &State) -> String {
    let names: Vec<&String> = state.identities.keys().collect();
    match names.is_empty() || dice.percent(5) {
        true => format!("id-{}", dice.below(NAMES)),
        false => (*dice.pick(&names)).clone(),
    }
}

/// Some of what people ask for, they ask for as an identity: mostly one that there is, whether it
/// may or not.
pub fn pose(command: &mut Command, dice: &mut Dice, state: &State) {
    if state.identities.is_empty() || !dice.percent(30) || command.envelope.request.is_none() {
        return;
    }
    let mut name = name(dice, state);
    // Keys that somebody else made are tried where they must not count.
    let not_own = |(_, of): &(&String, &Known)| {
        let moves = matches!(of.role, Role::Operator | Role::Approver | Role::Party);
        moves && !of.revoked && of.maker.is_some()
    };
    let not_own: Vec<&String> = state.identities.iter().filter(not_own).map(|(of, _)| of).collect();
    if state.eyes.on && !not_own.is_empty() && dice.percent(60) {
        name.clone_from(*dice.pick(&not_own));
    }
    let known = state.identities.get(&name);
    let (mut role, mut via) =
        known.map_or((Role::Operator, Via::Key), |known| (known.role, known.credential.via()));
    if dice.percent(4) {
        role = *dice.pick(&Role::OF_IDENTITIES);
    }
    if dice.percent(4) {
        via = *dice.pick(&[Via::Key, Via::Signed, Via::Certificate]);
    }
    command.envelope.caller = Caller { name, role, via };
}
