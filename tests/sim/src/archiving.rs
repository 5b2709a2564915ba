//! Evidence that leaves for archives now and then: mostly of a window that is settled, as the
//! engine's own task does it. Owns the archives, which outlive every crash, and the steps around
//! the command.

use crate::check::{Checked, ensure};
use crate::life::{Halt, Life, died};
use crate::run::Run;
use crate::task::{self, Call, Doing, Task};
use tallystick::journal::{kept, left};
use tallystick::ledger::event::{ArchiveId, WindowArchived};
use tallystick::ledger::{Command, Wish};
use tallystick::proof::archive_name;
use tallystick::settle::{
    EvidenceRequest, Leaving, NotArchived, NotRead, Over, export, leave, let_accounts_go,
    signed_end,
};
use tallystick::types::{Digest, Lsn, Timestamp, WindowNumber};

impl Run<'_> {
    /// One window at a time: its archive is written, then it is journaled.
    pub(crate) fn archive(&mut self) -> Result<(), Halt> {
        let archiving =
            |task: &Task| matches!(task.call, Call::Commands { doing: Doing::Archives(_), .. });
        if self.life().tasks.iter().any(archiving) {
            return Ok(());
        }
        self.forget_rest()?;
        self.let_events_leave()?;
        let all = &self.model.now.windows;
        let fit: Vec<u64> =
            (1..).zip(all).filter(|(_, window)| window.can_leave()).map(|(n, _)| n).collect();
        let number = match fit.is_empty() || self.dice.percent(10) {
            true => 1 + self.dice.below(u64::try_from(all.len()).expect("windows are few")),
            false => *self.dice.pick(&fit),
        };
        let window = WindowNumber(number);
        let archive = match self.written(window)? {
            Some((id, bytes)) => {
                let path = self.shelf.path().join(archive_name(window));
                std::fs::write(path, &bytes).map_err(|error| Halt::Wrong(error.to_string()))?;
                self.archives.insert(window, bytes);
                id
            }
            // Nothing can be written of it: the ledger must refuse this, and does not only if it is
            // sealed, and nothing in it, by the time that it is asked.
            None if !self.stays(window) => return Ok(()),
            None => ArchiveId { digest: Digest::ZERO, bytes: 1 },
        };
        let command = Command::own(Wish::ArchiveWindow(WindowArchived { window, archive }));
        let call = task::commands(&self.life().intake, vec![command], Doing::Archives(window));
        self.call(call)
    }

    /// Whether a window cannot be archived, whatever happens next: it has left, or there is none.
    fn stays(&mut self, window: WindowNumber) -> bool {
        let control = self.life().stepper.control();
        control.window(window).map_or(true, |of| of.archive.is_some())
    }

    /// The archive of a window that is sealed and here.
    fn written(&mut self, window: WindowNumber) -> Result<Option<(ArchiveId, Vec<u8>)>, Halt> {
        let network = self.world.network;
        let life = self.life();
        let (sealed, last, key) = {
            let control = life.stepper.control();
            let sealed = control.window(window).ok().and_then(|of| of.sealed_head().ok());
            (sealed, control.history(), control.engine_key())
        };
        let Some(sealed) = sealed.filter(|sealed| sealed.archive.is_none()) else {
            return Ok(None);
        };
        let end = signed_end(&life.key, key, network, last, Timestamp(0));
        let Some(end) = end else { return Ok(None) };
        let (windows, mut bytes) = (vec![sealed], Vec::new());
        let request = EvidenceRequest { network, windows, events: false, end };
        match export(&life.archive, &request, &mut bytes) {
            Ok(id) => Ok(Some((id, bytes))),
            Err(NotRead::Storage(error)) => Err(died(&life.disk, &error)),
            Err(NotRead::Away(why)) => Err(Halt::Wrong(why)),
        }
    }

    /// What a crash left, or what was brought back by doing records again; and what was owed in
    /// windows that no start needs any more.
    fn forget_rest(&mut self) -> Result<(), Halt> {
        let life = self.life();
        let (archived, applied): (Vec<_>, Lsn) = {
            let control = life.stepper.control();
            let archived = control.windows().filter(|window| window.archive.is_some());
            let archived = archived.map(|of| (of.number, control.is_needless(of.number)));
            (archived.collect(), control.applied())
        };
        for (window, needless) in archived {
            let known = *life.archived.entry(window).or_insert(applied);
            let here = kept::has_evidence(&life.disk, window);
            if here.map_err(|error| died(&life.disk, &error))? {
                forgotten(life, window)?;
            }
            if needless && life.intake.checkpoints().holds(known) {
                owed_forgotten(life, window)?;
            }
        }
        let over: Vec<Over> = {
            let control = life.stepper.control();
            let all = control.windows().map(|window| window.number).collect::<Vec<_>>();
            control.over_of(all).map(Over::of).collect()
        };
        let gone = let_accounts_go(&life.archive, &over);
        if gone.map_err(|error| died(&life.disk, &error))? > 0 {
            self.heard.word("AccountsLeft".to_owned());
        }
        Ok(())
    }

    /// Events leave as far as a start does without them.
    fn let_events_leave(&mut self) -> Result<(), Halt> {
        let (keep, network) = (1 + self.dice.below(2), self.world.network);
        if !self.dice.percent(40) {
            return Ok(());
        }
        let life = self.life();
        let before = left::list(&life.disk).map_err(|error| died(&life.disk, &error))?;
        let from = before.last().map_or(Lsn(0), |left| left.last.lsn);
        let (to, in_force) = {
            let control = life.stepper.control();
            (control.leaves(keep, from, 1), control.engine_key())
        };
        let Some(to) = to else { return Ok(()) };
        let (checkpoint, key) = (life.intake.checkpoints().reached(), (in_force, &*life.key));
        let of = Leaving { network, to, checkpoint, key, at: Timestamp(0) };
        match leave(&life.archive, &of) {
            Ok(left) => {
                if left.is_some() {
                    self.heard.word("EventsArchived".to_owned());
                }
                Ok(())
            }
            Err(NotArchived::NotRead(NotRead::Storage(error))) => Err(died(&life.disk, &error)),
            Err(error) => Err(Halt::Wrong(error.to_string())),
        }
    }

    /// The archives are those that were journaled.
    pub(crate) fn archives_are_right(&self, archived: &[(WindowNumber, ArchiveId)]) -> Checked {
        for (window, id) in archived {
            let length = self.archives.get(window).map(|bytes| bytes.len());
            let length = length.and_then(|length| u64::try_from(length).ok());
            ensure(length == Some(id.bytes), || {
                format!("window {window} has no archive of its own")
            })?;
        }
        Ok(())
    }
}

/// What was owed in a window lies in an archive, and no start needs it.
fn owed_forgotten(life: &Life, window: WindowNumber) -> Result<(), Halt> {
    if !kept::has_owed(&life.disk, window).map_err(|error| died(&life.disk, &error))? {
        return Ok(());
    }
    let done = life.archive.forget_window(window).map_err(|error| died(&life.disk, &error))?;
    Ok(ensure(done, || format!("somebody reads window {window}"))?)
}

/// The evidence of a window lies in an archive.
pub fn forgotten(life: &Life, window: WindowNumber) -> Result<(), Halt> {
    let done = life.archive.forget_evidence(window).map_err(|error| died(&life.disk, &error))?;
    Ok(ensure(done, || format!("somebody reads the evidence of window {window}"))?)
}
