//! Budgets of which so much is used that their owners should know: found out every second, said in
//! the log, and journaled once a budget and period.
//!
//! The shards know which, whatever happened before a start: nothing is lost, and what is told twice
//! the ledger refuses. So vouchers never wait for any of this.

use super::engine::Engine;
use crate::ledger::{BudgetUse, Command, Wish};
use crate::limits::BUDGET_WARNINGS_EVERY;
use crate::pipeline::{Busy, NotDone};
use crate::types::SignerKey;

impl Engine {
    /// What a signer has used of its budgets, of each in the period in which it did last; nothing
    /// where the key is not registered.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn budgets(&self, signer: SignerKey) -> Result<Vec<BudgetUse>, Busy> {
        let Some(payer) = self.payer_of(signer) else { return Ok(Vec::new()) };
        self.intake().budgets(payer, signer).await
    }

    /// Of which budgets so much is used that their owners should know: some, of each shard apart.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn budgets_near(&self) -> Result<Vec<Vec<BudgetUse>>, Busy> {
        self.intake().budgets_near().await
    }
}

/// Has owners warned until the engine stops or the task is dropped.
pub async fn warn_of_budgets(engine: Engine) {
    let mut ticks = tokio::time::interval(BUDGET_WARNINGS_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match warn(&engine).await {
            Ok(()) => {}
            Err(NotDone::Busy(Busy::Stopping)) => return,
            // A full queue, or a budget that was set anew just then: at the next tick.
            Err(reason) => tracing::debug!(%reason, "owners of budgets were not warned"),
        }
    }
}

async fn warn(engine: &Engine) -> Result<(), NotDone> {
    // Where there are none the shards are not even asked.
    if !engine.control().has_budgets() {
        return Ok(());
    }
    for uses in engine.budgets_near().await? {
        if !uses.is_empty() {
            engine.tell(Command::own(Wish::WarnBudgets(uses.clone()))).await?;
            uses.iter().for_each(say);
        }
    }
    Ok(())
}

fn say(of: &BudgetUse) {
    let BudgetUse { signer, budget, number: _, used } = of;
    let (asset, period) = (budget.key.asset, budget.key.period.name());
    let payee = budget.key.payee.map(|payee| payee.to_string()).unwrap_or_default();
    tracing::warn!(
        %signer, %asset, period, payee, %used, amount = %budget.amount,
        "80 % of a signer's budget are used; beyond it, its vouchers are refused"
    );
}
