//! What an agent may sign. The engine's own budgets hold whatever an agent does; this one keeps a
//! program from signing what it should not.

use super::PayError;

/// The most that an agent signs in one asset, in units. Counted is what was signed, paid or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// In one payment.
    pub per_payment: Option<u64>,
    /// In all, for as long as its lanes are kept.
    pub total: Option<u64>,
}

impl Budget {
    /// Whether `amount` may be paid, if so much was signed and so much more would be.
    pub(super) fn allow(self, amount: u64, signed: u128, more: u64) -> Result<(), PayError> {
        if let Some(most) = self.per_payment.filter(|&most| amount > most) {
            let text = format!("{amount} units are more than this agent may pay at once, {most}");
            return Err(PayError::Budget(text));
        }
        let after = signed.saturating_add(more.into());
        if let Some(most) = self.total.filter(|&most| after > most.into()) {
            return Err(PayError::Budget(format!(
                "the budget of {most} units is used up: {signed} were signed, and {more} more would be; \
                 raise it to go on"
            )));
        }
        Ok(())
    }
}
