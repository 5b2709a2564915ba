//! The events of settlement: approvals, aborts, disputes, where legs go, and what that leaves owed.

use super::{Audit, Done, Seen, State};
use crate::audit::clearing::{self, Passed};
use crate::audit::difference::Difference;
use crate::audit::settlement;
use crate::ledger::event::{
    BatchApproved, BatchComputed, ExposureReleased, LegProposed, LegsBooked, LegsMoved,
    LegsSubmitted, WindowArchived,
};
use crate::ledger::eyes::check_own_key;
use crate::ledger::{BatchContent, Caller, EyesMisfit, LegState, Mover, Obligation, Role};
use crate::types::{AssetNumber, BatchId, WindowNumber};

impl Audit<'_> {
    /// What a batch brings to the clearing account and takes from it, before it begins.
    pub(super) fn passed(
        &mut self,
        e: &BatchComputed,
        content: Option<&BatchContent>,
    ) -> Result<Option<Passed>, Difference> {
        let Some(content) = content else {
            self.clearing_unknown.insert(e.asset);
            return Ok(None);
        };
        let windows = e.windows.iter().filter_map(|window| self.dust.get(&(*window, e.asset)));
        let before = windows.copied().fold(0, i128::saturating_add);
        Passed::new(content, before)
    }

    pub(super) fn approved(&mut self, caller: &Caller, e: &BatchApproved) -> Done {
        self.approval_signed(caller, e).map_err(|difference| difference.batch(e.batch))?;
        self.may_leave().map_err(|difference| difference.batch(e.batch))?;
        let id = e.batch;
        let on = self.eyes.are_on();
        let seen = self.batches.get(&id).filter(|batch| batch.by.four_eyes || on);
        let another = seen.is_none_or(|batch| is_another(caller, batch));
        let own = seen.map_or(Ok(()), |batch| self.own_keys(caller, id, batch));
        let own = self.or_noted(own).map_err(|misfit| {
            Difference::new("who approves", "another operator", self.hint(&misfit))
        });
        let Some(batch) = self.batches.get_mut(&id).filter(|b| b.state == State::Computed) else {
            return Err(Difference::new("the approved batch", "a computed one", id).into());
        };
        if !another {
            return Err(Difference::new("who approves", "another operator", &caller.name).into());
        }
        own?;
        batch.state = State::Approved;
        // Without a leg all is ended at once; else the dust is owed when the first of them moves.
        if batch.legs.are_none() == Some(true) {
            self.dust(id);
        }
        Ok(())
    }

    /// Whether who approves a batch, and who made it, did so by a key of their own.
    fn own_keys(&self, caller: &Caller, id: BatchId, batch: &Seen) -> Result<(), EyesMisfit> {
        check_own_key(caller, &self.identities)?;
        let maker = &batch.by.operator;
        match self.identities.stands_by(maker, batch.computed) {
            true => Ok(()),
            false => Err(EyesMisfit::MadeWithOldKey { batch: id, maker: maker.clone() }),
        }
    }

    pub(super) fn aborted(&mut self, id: BatchId) -> Done {
        let Some(batch) = self.batches.get_mut(&id).filter(|b| settlement::may_abort(b)) else {
            let expected = "one of which nothing has left";
            return Err(Difference::new("the aborted batch", expected, id).into());
        };
        batch.state = State::Aborted;
        let (asset, prefunded) = (batch.asset, batch.prefunded.clone());
        for window in &batch.windows {
            self.live.remove(&(*window, asset));
        }
        self.pledge(asset, &prefunded, |held, paid| held.checked_sub(paid));
        Ok(())
    }

    pub(super) fn disputed(&mut self, window: WindowNumber, now: bool) -> Done {
        let changed =
            if now { self.disputed.insert(window) } else { self.disputed.remove(&window) };
        if changed && window < self.open.0 {
            return Ok(());
        }
        let expected = if now { "a closed one that is not" } else { "a disputed one" };
        Err(Difference::new("the window of a dispute", expected, window).into())
    }

    /// Evidence leaves for an archive once all that was owed in its window is settled, and only
    /// once.
    pub(super) fn archived(&mut self, e: &WindowArchived) -> Done {
        let window = e.window;
        let differs = |expected: &str, found: &str| {
            Err(Difference::new("the archived window", expected, found).window(window).into())
        };
        let Some(sealed) = self.sealed.get(&window) else {
            return differs("a sealed one", "not sealed");
        };
        if self.disputed.contains(&window) {
            return differs("one that nobody disputes", "disputed");
        }
        let assets = sealed.iter().flat_map(|sealed| sealed.window.assets.keys());
        for asset in assets {
            let batch = self.live.get(&(window, *asset)).and_then(|id| self.batches.get(id));
            let ended = batch.is_some_and(|batch| {
                batch.state == State::Approved && batch.legs.have_ended() != Some(false)
            });
            if !ended {
                return differs("a settled one", &format!("asset {asset} is not settled"));
            }
        }
        if self.archived.insert(window) {
            return Ok(());
        }
        differs("one that was not archived before", "archived twice")
    }

    fn settling(&mut self, id: BatchId) -> Result<&mut Seen, Difference> {
        let batch = self.batches.get_mut(&id).filter(|b| b.state == State::Approved);
        batch.ok_or_else(|| Difference::new("the batch whose legs move", "an approved one", id))
    }

    pub(super) fn submitted(&mut self, e: &LegsSubmitted) -> Done {
        self.may_leave().map_err(|difference| difference.batch(e.batch))?;
        let batch = self.settling(e.batch)?;
        let asset = batch.asset;
        let submitted = batch.legs.submit(e).and_then(|()| match &mut batch.passed {
            Some(passed) if e.attempt == 0 => passed.submitted(e),
            Some(_) | None => Ok(()),
        });
        submitted.map_err(|difference| difference.batch(e.batch))?;
        self.dust(e.batch);
        if self.clearing_unknown.contains(&asset) {
            return Ok(());
        }
        let of_asset = self.batches.values().filter(|batch| batch.asset == asset);
        let covered = clearing::covered(of_asset.filter_map(|batch| batch.passed.as_ref()));
        Ok(covered.map_err(|difference| difference.batch(e.batch))?)
    }

    pub(super) fn moved(&mut self, caller: &Caller, e: &LegsMoved) -> Done {
        self.moves_may_leave(e).map_err(|difference| difference.batch(e.batch))?;
        self.moves_signed(caller, e).map_err(|difference| difference.batch(e.batch))?;
        let batch = self.settling(e.batch)?;
        if batch.asset != e.asset {
            let difference = Difference::new("the asset of legs", batch.asset, e.asset);
            return Err(difference.batch(e.batch).into());
        }
        let before: Vec<LegState> = e.moves.iter().map(|one| batch.legs.state(one.leg)).collect();
        self.may_say(caller, e, &before)?;
        let batch = self.settling(e.batch)?;
        let again = batch.legs.moved(caller, e).and_then(|again| match &mut batch.passed {
            Some(passed) => passed.moved(e, &before).map(|()| again),
            None => Ok(again),
        });
        let again = again.map_err(|difference| difference.batch(e.batch))?;
        self.dust(e.batch);
        self.carry(e.asset, Some(again));
        Ok(())
    }

    /// Of a leg whose fate the rail cannot tell two speak, each by a key of their own; of all
    /// others, who may report.
    fn may_say(
        &mut self,
        caller: &Caller,
        e: &LegsMoved,
        before: &[LegState],
    ) -> Result<(), Difference> {
        if e.mover != Mover::Operator {
            return Ok(());
        }
        let unknown = before.iter().all(|state| *state == LegState::Unknown);
        if !unknown && caller.role == Role::Approver {
            let difference = Difference::new("who reports legs", "an operator", &caller.name);
            return Err(difference.batch(e.batch));
        }
        match unknown {
            true => self.speaks(caller).map_err(|difference| difference.batch(e.batch)),
            false => Ok(()),
        }
    }

    /// Whether somebody's word counts of a leg whose fate the rail cannot tell.
    fn speaks(&mut self, caller: &Caller) -> Result<(), Difference> {
        let what = "who says what became of an UNKNOWN leg";
        let own = check_own_key(caller, &self.identities);
        self.or_noted(own).map_err(|misfit| {
            Difference::new(what, "one with a key of their own", self.hint(&misfit))
        })
    }

    pub(super) fn booked(&mut self, e: &LegsBooked) -> Done {
        let legs = &mut self.settling(e.batch)?.legs;
        Ok(legs.booked(e).map_err(|difference| difference.batch(e.batch))?)
    }

    pub(super) fn proposed(&mut self, caller: &Caller, e: &LegProposed) -> Done {
        self.word_signed(caller, e).map_err(|difference| difference.batch(e.batch))?;
        self.speaks(caller).map_err(|difference| difference.batch(e.batch))?;
        let legs = &mut self.settling(e.batch)?.legs;
        Ok(legs.proposed(caller, e).map_err(|difference| difference.batch(e.batch))?)
    }

    pub(super) fn released(&mut self, e: &ExposureReleased) -> Done {
        let Seen { asset, legs, owed, carries, prefunded, .. } = self.settling(e.batch)?;
        if *asset != e.asset {
            let difference = Difference::new("the asset of a release", asset, e.asset);
            return Err(difference.batch(e.batch).into());
        }
        let content = carries.as_deref().map(|carries| (carries, prefunded.as_slice()));
        legs.released(e, owed.as_deref(), content).map_err(|d| d.batch(e.batch))?;
        Ok(())
    }

    /// The dust of a batch is owed in the open window, once.
    fn dust(&mut self, id: BatchId) {
        let batch = self.batches.get_mut(&id).expect("the batch was just found");
        if batch.legs.dust() {
            let (asset, carries) = (batch.asset, batch.carries.clone());
            if let Some(passed) = &mut batch.passed {
                passed.begin();
                let dust = self.dust.entry((self.open.0, asset)).or_default();
                *dust = dust.saturating_add(passed.dust);
            }
            self.carry(asset, carries);
        }
    }

    /// Posts what a batch leaves into the open window.
    fn carry(&mut self, asset: AssetNumber, carries: Option<Vec<Obligation>>) {
        match (&mut self.carried, carries) {
            (Some(open), Some(carries)) => {
                open.extend(carries.into_iter().map(|carry| (asset, carry)));
            }
            (_, None) => self.carried = None,
            (None, Some(_)) => {}
        }
    }
}

/// Whether who approves a batch is another than who made it.
fn is_another(caller: &Caller, batch: &Seen) -> bool {
    let by = &batch.by.operator;
    !by.is_empty() && !caller.name.is_empty() && *by != caller.name
}
