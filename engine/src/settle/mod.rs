//! Settlement: from the cut to the batch.
//!
//! Owns the sealer (cut windows get their root), the schedule (windows close by themselves) and how a
//! batch is computed beside the pipeline. Decides nothing: every transition is a command to it.

mod batches;
mod schedule;
mod sealer;

pub use batches::{Clearing, CreateBatch, create_batch};
pub use schedule::{SCHEDULE_PREFIX, close_every};
pub use sealer::Sealer;
