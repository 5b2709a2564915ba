//! Budgets of signers: messages that become wishes, and how each stands.

use super::messages::{asked, asks, bytes, id};
use super::registration::Asked;
use super::status::invalid;
use crate::ledger::{Budget, BudgetEntry, BudgetKey, BudgetUse, Caller, Period, Wish};
use crate::pipeline;
use crate::settle::Engine;
use crate::types::{Amount, AssetNumber, PartyId, SignerKey, Timestamp};
use tallystick_proto::v1;
use tonic::Status;

asks! { SetBudgetsRequest "SetBudgets" }

/// Replaces a signer's budgets; answers how they stand now, also to a retry.
pub(super) async fn set(
    engine: &Engine,
    caller: Caller,
    message: v1::SetBudgetsRequest,
) -> Result<v1::Budgets, Status> {
    let (signer, (request, wish)) = wish(message)?;
    engine.tell(wish.by(caller, request)).await?;
    standing(engine, signer).await
}

/// How a signer's budgets stand.
pub(super) async fn get(
    engine: &Engine,
    message: v1::GetBudgetsRequest,
) -> Result<v1::Budgets, Status> {
    standing(engine, id(&message.signer, "signer")?).await
}

fn wish(message: v1::SetBudgetsRequest) -> Result<(SignerKey, Asked), Status> {
    let (request, message) = asked(message)?;
    let signer: SignerKey = id(&message.signer, "signer")?;
    let budgets = message.budgets.iter().map(budget).collect::<Result<Vec<_>, Status>>();
    let mut budgets = budgets?;
    budgets.sort_unstable();
    Ok((signer, (request, Wish::SetBudgets { signer, budgets })))
}

fn budget(message: &v1::Budget) -> Result<Budget, Status> {
    let period = match message.period() {
        v1::BudgetPeriod::Total => Period::Total,
        v1::BudgetPeriod::Month => Period::Month,
        v1::BudgetPeriod::Day => Period::Day,
        v1::BudgetPeriod::Hour => Period::Hour,
        v1::BudgetPeriod::Unspecified => {
            return Err(invalid("period is missing, or one that this engine does not know"));
        }
    };
    let payee: Option<PartyId> = match message.payee.is_empty() {
        true => None,
        false => Some(id(&message.payee, "payee")?),
    };
    let key = BudgetKey { asset: AssetNumber(message.asset), period, payee };
    Ok(Budget { key, amount: Amount(message.amount) })
}

async fn standing(engine: &Engine, signer: SignerKey) -> Result<v1::Budgets, Status> {
    let found = engine
        .ask(|control| Ok((control.signer(signer)?.party, control.budgets(signer)?.to_vec())));
    let (party, entries) = found.await?;
    // What was set anew in between counts with the next question.
    let (uses, now) = (engine.budgets(signer).await?, pipeline::now());
    let one = |entry: &BudgetEntry| {
        let of = uses.iter().find(|of| of.budget.key == entry.budget.key);
        one_message(entry, of, now)
    };
    let budgets = entries.iter().map(one).collect();
    Ok(v1::Budgets { signer: bytes(&signer.0), party_id: bytes(&party.0), budgets })
}

fn one_message(entry: &BudgetEntry, of: Option<&BudgetUse>, now: Timestamp) -> v1::BudgetStanding {
    let Budget { key, amount } = entry.budget;
    let number = key.period.number(now);
    let used = of.filter(|of| of.number == number).map_or(0, |of| of.used.0);
    let period = match key.period {
        Period::Total => v1::BudgetPeriod::Total,
        Period::Month => v1::BudgetPeriod::Month,
        Period::Day => v1::BudgetPeriod::Day,
        Period::Hour => v1::BudgetPeriod::Hour,
    };
    let payee = key.payee.map(|payee| bytes(&payee.0)).unwrap_or_default();
    let (asset, period, amount) = (key.asset.0, period.into(), amount.0);
    v1::BudgetStanding {
        budget: Some(v1::Budget { asset, period, payee, amount }),
        used,
        since_us: key.period.begin(now).0,
        warned: entry.warned == Some(number),
    }
}
