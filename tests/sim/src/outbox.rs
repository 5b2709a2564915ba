//! Where files lie until somebody carries them to the rail: staged, in the outbox, or gone. Folders
//! outlive a crash. What lies there may leave only as long as the journal says so, whoever comes
//! for it, and whenever.

use crate::life::Halt;
use crate::run::Run;
use tallystick::ledger::MayLeave;
use tallystick::types::BatchId;

impl Run<'_> {
    /// Files that could not be moved leave, if they may: then each of their legs is in flight.
    pub(crate) fn let_leave(&mut self) -> Result<(), Halt> {
        for (batch, number) in self.staged.clone() {
            let (may, applied) = {
                let control = self.life().stepper.control();
                let may = control.batch(batch).map(|entry| entry.legs.may_leave(number));
                (may.unwrap_or(MayLeave::Never), control.applied().0)
            };
            match may {
                MayLeave::Mixed => continue,
                MayLeave::Now if !self.dice.percent(30) => continue,
                MayLeave::Now => {
                    let open = self.model.now.in_flight(batch, number);
                    if applied == self.model.now.applied && !open {
                        return Err(Halt::Wrong(format!(
                            "file {number} of batch {batch} leaves, and not all of its legs are in flight"
                        )));
                    }
                }
                MayLeave::Never => {}
            }
            self.staged.remove(&(batch, number));
            if may == MayLeave::Never {
                self.gone.insert((batch, number));
            }
        }
        Ok(())
    }

    /// The settler takes files out of the outbox that must not leave any more; then somebody comes
    /// and carries one of the others away.
    pub(crate) fn carry(&mut self, batch: BatchId) -> Result<(), Halt> {
        let (lying, applied) = {
            let control = self.life().stepper.control();
            let entry = control.batch(batch).map_err(|refusal| refusal.to_string())?;
            let legs = entry.legs.clone();
            let all = u32::try_from(legs.submissions().len()).expect("they are few");
            let lying: Vec<(u32, bool)> = (0..all).map(|n| (n, legs.is_void(n))).collect();
            (lying, control.applied().0)
        };
        let is_there = |number: u32, run: &Self| {
            !run.gone.contains(&(batch, number)) && !run.staged.contains(&(batch, number))
        };
        let mut files = Vec::new();
        for (number, is_void) in lying {
            if !is_there(number, self) {
                continue;
            }
            if is_void {
                self.gone.insert((batch, number));
            } else {
                files.push(number);
            }
        }
        if files.is_empty() || self.dice.percent(50) {
            return Ok(());
        }
        let number = *self.dice.pick(&files);
        self.gone.insert((batch, number));
        if applied == self.model.now.applied && !self.model.now.may_be_paid(batch, number) {
            return Err(Halt::Wrong(format!(
                "file {number} of batch {batch} is carried to the rail, and all of its legs are owed again"
            )));
        }
        Ok(())
    }
}
