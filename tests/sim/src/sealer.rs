//! The sealer, one step at a time: the same pieces as its thread, in the same order. Checks each
//! window as it is netted.

use crate::check::{self, Checked, ensure, same};
use crate::disk::Disk;
use crate::life::{Halt, Heard, died};
use crate::model::{Decided, Model};
use crossbeam::channel::Receiver;
use std::collections::VecDeque;
use tallystick::ledger::{OneHand, Refusal, SealedPart, SealedWindow};
use tallystick::pipeline::{Done, Intake};
use tallystick::settle::{Parts, keep_window, seal_command};
use tallystick::sign::EngineKey;
use tallystick::types::WindowNumber;
use tokio::sync::oneshot;

/// The sealer of one life.
pub struct Sealer {
    parts: Receiver<SealedPart>,
    shards: u16,
    collecting: Parts,
    complete: VecDeque<(WindowNumber, Vec<SealedPart>)>,
    sealing: Option<Sealing>,
}

/// A window that is kept, and whose root is to be journaled.
struct Sealing {
    window: SealedWindow,
    told: Option<oneshot::Receiver<Vec<Result<Done, Refusal>>>>,
    wanted: Option<Decided>,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There was nothing to do.
    Nothing,
    /// Something.
    Done,
    /// It asked the sequencer for something.
    Asked,
    /// A window is sealed.
    Sealed,
}

impl Sealer {
    /// Takes the parts that the shards hand out.
    #[must_use]
    pub fn new(parts: Receiver<SealedPart>, shards: u16) -> Self {
        let (collecting, complete) = (Parts::default(), VecDeque::new());
        Self { parts, shards, collecting, complete, sealing: None }
    }

    /// Whether a window is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.sealing.is_some() || !self.complete.is_empty() || !self.parts.is_empty()
    }

    /// What must be answered to the last ask: it is in the one order.
    pub fn decided(&mut self, decided: Decided) {
        let sealing = self.sealing.as_mut().expect("it asked");
        sealing.wanted = Some(decided);
    }

    /// Goes one step on.
    ///
    /// # Errors
    /// `Died` or `Wrong`.
    pub fn step(
        &mut self,
        intake: &Intake,
        key: &EngineKey,
        disk: &Disk,
        model: &Model,
        heard: &mut Heard,
    ) -> Result<Step, Halt> {
        if let Some(sealing) = &mut self.sealing {
            let Some(told) = &mut sealing.told else {
                let told = intake.tell(seal_command(intake, key, &sealing.window));
                sealing.told = Some(told.expect("the engine runs"));
                return Ok(Step::Asked);
            };
            let Ok(done) = told.try_recv() else { return Ok(Step::Nothing) };
            let wanted = sealing.wanted.take().map(|wanted| vec![wanted]);
            same(|| "sealing".to_owned(), &Some(check::decided(&done)), &wanted)?;
            sealing.told = None;
            return match &done[..] {
                [Ok(Done::Now(_))] => {
                    self.sealing = None;
                    Ok(Step::Sealed)
                }
                [Err(Refusal::EngineKeyMoved)] => Ok(Step::Done),
                done => Err(Halt::Wrong(format!("a cut window cannot be sealed: {done:?}"))),
            };
        }
        if let Some((number, parts)) = self.complete.pop_front() {
            let window =
                keep_window(intake, number, parts, &OneHand).map_err(|error| died(disk, &error))?;
            kept(&window, model, heard)?;
            self.sealing = Some(Sealing { window, told: None, wanted: None });
            return Ok(Step::Done);
        }
        let Ok(part) = self.parts.try_recv() else { return Ok(Step::Nothing) };
        self.complete.extend(self.collecting.add(part, self.shards));
        Ok(Step::Done)
    }
}

/// A window is netted: it must be the model's, and the one that was netted before, if it was.
fn kept(window: &SealedWindow, model: &Model, heard: &mut Heard) -> Checked {
    let number = window.number.0;
    let wanted = model.now.window(number);
    let wanted = wanted.ok_or_else(|| format!("window {number} is sealed and does not exist"))?;
    check::window(window, wanted)?;
    let (cut, root) = (window.cut_lsn.0, window.root);
    let first = *heard.roots.entry(number).or_insert((cut, root));
    ensure(first == (cut, root), || {
        format!("window {number} has root {root} and had {first:?} before")
    })
}
