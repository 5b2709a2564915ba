//! Rails that work with files, `iso20022` and `nacha`: legs leave as files, which a person carries
//! to the bank. What is in a file is the rail's, what becomes of it on this machine `files.rs`'s.

use super::desk::{Desk, Ready};
use super::{Run, Stuck};
use crate::ledger::{BatchPlan, Rail};

/// A bank that is handed files.
pub struct BankDesk(pub Rail);

impl Desk for BankDesk {
    fn step(&mut self, run: &mut Run, plan: &BatchPlan, ready: Ready) -> Result<(), Stuck> {
        run.submit_files(plan, self.0, &ready.pay_ins)?;
        run.submit_files(plan, self.0, &ready.pay_outs)
    }
}
