//! Budgets that operators set, and what the engine says of them, drawn at random: mostly what makes
//! sense, sometimes what must be refused.

use crate::clients::by;
use crate::dice::Dice;
use crate::model::State;
use crate::world::World;
use tallystick::ledger::{Budget, BudgetKey, BudgetUse, Command, Period, Request, Wish};
use tallystick::types::Amount;

/// Budgets that are set, or of which somebody is warned.
pub fn any(request: Request, dice: &mut Dice, world: &World, state: &State) -> Command {
    if dice.percent(65) { set(request, dice, world) } else { warn(dice, world, state) }
}

/// An operator replaces a key's budgets.
fn set(request: Request, dice: &mut Dice, world: &World) -> Command {
    let some = if dice.percent(70) { &world.agents[..2] } else { &world.agents[..] };
    let signer = dice.pick(some).key;
    let count = *dice.pick(&[0, 1, 1, 2, 3, 5]);
    let mut budgets: Vec<Budget> = (0..count).map(|_| budget(dice, world)).collect();
    if dice.percent(95) {
        budgets.sort_unstable();
        budgets.dedup_by_key(|budget| budget.key);
    }
    Wish::SetBudgets { signer, budgets }.by(by(""), request)
}

fn budget(dice: &mut Dice, world: &World) -> Budget {
    // Now and then in an asset that nobody has created, or for a party that there is not.
    let assets = if dice.percent(98) { &world.assets[..2] } else { &world.assets[..] };
    let parties = if dice.percent(98) {
        &world.parties[..world.parties.len() - 1]
    } else {
        &world.parties[..]
    };
    let asset = dice.pick(assets).def.number;
    let period =
        *dice.pick(&[Period::Total, Period::Month, Period::Day, Period::Hour, Period::Hour]);
    let payee = dice.percent(30).then(|| *dice.pick(parties));
    let amount = *dice.pick(&[0, 1_000, 1_000_000, 50_000_000, 1_000_000_000, u64::MAX]);
    Budget { key: BudgetKey { asset, period, payee }, amount: Amount(amount) }
}

/// The engine warns of what it should, or of something else.
fn warn(dice: &mut Dice, world: &World, state: &State) -> Command {
    let mut uses = state.near();
    if dice.percent(20) || uses.is_empty() {
        let keys: Vec<_> = state.budgets.keys().copied().collect();
        uses = match keys.is_empty() {
            true => Vec::new(),
            false => state.uses(*dice.pick(&keys)),
        };
    }
    if dice.percent(5) {
        uses.reverse();
    }
    uses.truncate(*dice.pick(&[1, 1, 2, 4]));
    if uses.is_empty() {
        // Of something that there is not, then.
        let (signer, budget) = (dice.pick(&world.agents).key, budget(dice, world));
        uses.push(BudgetUse { signer, budget, number: 0, used: Amount(0) });
    }
    Command::own(Wish::WarnBudgets(uses))
}
