//! Four eyes that are on and off, and proposals that are confirmed and withdrawn, drawn at random:
//! mostly what makes sense, sometimes what must be refused.

use crate::clients::{OPERATORS, by};
use crate::dice::Dice;
use crate::model::State;
use tallystick::ledger::event::EyesSet;
use tallystick::ledger::{Command, Request, Role, Wish};
use tallystick::types::Digest;

/// Something about them; `wanted`: the configuration has them on.
pub fn any(request: Request, dice: &mut Dice, (state, wanted): (&State, bool)) -> Command {
    let waiting: Vec<(Digest, &str)> =
        state.eyes.open.values().map(|of| (of.id, &*of.proposer)).collect();
    if waiting.is_empty() || dice.percent(8) {
        let on = if wanted { dice.percent(90) } else { false };
        let names = OPERATORS.iter().filter(|name| !name.is_empty());
        let names = names.filter(|_| on && dice.percent(95)).map(|&name| name.to_owned());
        return Command::own(Wish::SetEyes(EyesSet { on, operators: names.collect() }));
    }
    let (mut proposal, proposer) = *dice.pick(&waiting);
    if dice.percent(3) {
        proposal = Digest([7; 32]);
    }
    // Mostly another than who proposed it.
    let others: Vec<&str> = OPERATORS.iter().copied().filter(|name| *name != proposer).collect();
    let caller = if dice.percent(85) { *dice.pick(&others) } else { *dice.pick(&OPERATORS) };
    if dice.percent(12) {
        let reason = "simulated".to_owned();
        return Wish::WithdrawProposal { proposal, reason }.by(by(caller), request);
    }
    Wish::ConfirmProposal { proposal, signed: None }.by(by(caller), request)
}

/// Where two are asked for, who asks has a name, mostly.
pub fn named(command: &mut Command, dice: &mut Dice, state: &State) {
    if state.eyes.on && command.envelope.caller.role == Role::Anyone && dice.percent(85) {
        command.envelope.caller = by(OPERATORS[dice.place(2)]);
    }
}
