//! Settlement: from the cut to the batch.
//!
//! Owns the sealer (cut windows get their root), the archive (what is kept of them), the schedule
//! (windows close by themselves) and how a batch is computed beside the pipeline. Decides nothing:
//! every transition is a command to it.

mod archive;
mod batches;
mod desk;
mod evidence;
mod reconcile;
mod schedule;
mod sealer;
mod settler;
mod signing;

pub use archive::{Archive, NotLoaded};
pub use batches::{Clearing, Computed, CreateBatch, Ready, Work, create_batch, create_batch_by};
pub use desk::{FileDesk, Folders};
pub use evidence::{NotProved, Request as EvidenceRequest, export, prove, signed_end};
pub use reconcile::{
    ByState, Moment, OpenProposal, Reconciliation, SubmissionSums, Sums, WindowFacts, Wrong,
    reconcile,
};
pub use schedule::{Board, Schedule, Standing, close_every};
pub use sealer::{Parts, Sealer, keep_window, seal_command};
pub use settler::{Desks, Held, Nudge, Settler, Troubles, desks};
