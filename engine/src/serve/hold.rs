//! A directory that was restored from a backup: that it goes on from a copy is journaled before
//! anybody is served, and before anything leaves.

use super::ServeError;
use crate::backup::{self, Noted};
use crate::journal::{Journal, JournalError, Log, rocks};
use crate::ledger::{Command, Wish};
use crate::settle::Engine;
use std::path::Path;

/// What was noted in the directory when it was restored, if it was.
pub(super) fn restored<L: Log>(journal: &Journal<L>) -> Result<Option<Noted>, JournalError> {
    let Some(bytes) = rocks::restored(&*journal.tables)? else { return Ok(None) };
    let unfit = || JournalError::Storage("what is noted of its restore cannot be read".to_owned());
    Noted::read(&bytes).map(Some).ok_or_else(unfit)
}

/// What a backup that was cut off has left. Before keys of erased parties are destroyed: it may
/// hold them.
pub(super) fn clear(data_dir: &Path) -> Result<(), ServeError> {
    Ok(backup::clear(data_dir)?)
}

/// Has it journaled; durable when it returns.
pub(super) fn tell(engine: &Engine, restored: Option<Noted>) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime =
        runtime.map_err(|e| ServeError::System { what: "runtime", why: e.to_string() })?;
    let known = runtime.block_on(engine.ask(|control| Ok(control.restored().cloned())));
    let known = known.map_err(ServeError::HoldNotTold)?;
    if let Some(Noted(of)) = restored
        && known.as_ref().is_none_or(|entry| entry.of.instance != of.instance)
    {
        let told = runtime.block_on(engine.tell(Command::own(Wish::BeginHold(of))));
        told.map_err(ServeError::HoldNotTold)?;
    }
    let entry = runtime.block_on(engine.ask(|control| Ok(control.on_hold().cloned())));
    if let Some(entry) = entry.map_err(ServeError::HoldNotTold)? {
        tracing::warn!(
            instance = %entry.of.instance, position = entry.of.position.0,
            "this ledger was restored from a copy: nothing is approved and nothing leaves until an operator has \
             found out what left since, and says `tallystick restore release`"
        );
    }
    Ok(())
}
