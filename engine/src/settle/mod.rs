//! Settlement: from the cut to the last leg.
//!
//! Owns the engine's one door (`Engine`), the sealer (cut windows get their root), the archive
//! (what is kept of them), the schedule (windows close by themselves) and how a batch is computed
//! beside the pipeline. Decides nothing: every transition is a command to it.
//!
//! | thread | how many | does | waits in its queue |
//! |---|---|---|---|
//! | `sealer` | 1, and up to `SEAL_THREADS_MAX` while it nets and hashes | nets what a cut leaves, has its root signed and journaled | the pipeline's `parts` |
//! | `settler` | 1 | sees approved batches through, one turn after another | `NUDGES_MAX` wishes for a turn, `WEBHOOKS_WAITING_MAX` webhooks |
//! | `provider` | `threads` of `[rail.card]` | one call of the payment provider at a time | `CALLS_UNDER_WAY_MAX` calls, and as many answers |
//! | `chain` | 1 | asks a chain's node | one order, one answer |
//! | `webhook` | up to `HOOKS_AT_ONCE` | one request to a party's endpoint each | nothing: it is started for it |
//!
//! The schedule, what tells of budgets that are nearly used up, what archives settled windows, and
//! what hands webhooks out are tasks of the edge.

mod accounts;
mod archive;
mod batches;
mod budgets;
mod claims;
mod desk;
mod engine;
mod evidence;
mod filing;
mod find;
mod following;
mod hooks;
mod leaving;
mod leftover;
mod newest;
mod node;
mod pieces;
mod reconcile;
mod refused;
mod retention;
mod said;
mod schedule;
mod sealer;
mod settler;
mod signed;
mod signing;
mod statement;
mod threads;

pub use accounts::{Over, let_accounts_go};
pub use archive::{Archive, NotLoaded};
pub use batches::{Clearing, Computed, CreateBatch, Ready, Work, create_batch_by};
pub use budgets::warn_of_budgets;
pub use claims::{Charges, Charging, Claim, ClaimStep, Claims, Found, NotBrought};
pub use desk::{FileDesk, Folders};
pub use engine::{Engine, Setup as EngineSetup};
pub use evidence::{NotProved, Request as EvidenceRequest, export, prove, signed_end};
pub use find::{FindLegs, FindNext, FoundLeg, FoundLegs};
pub use following::{Opener, OthersBatches};
pub use hooks::{
    Courier, HookCounts, HookSettings, HookStanding, NotTested, Webhooks, paused_hooks,
};
pub use leaving::{Leaving, leave};
pub use pieces::NotRead;
pub use reconcile::{
    ByState, Moment, OpenProposal, Reconciliation, SubmissionSums, Sums, WindowFacts, Wrong,
    reconcile,
};
pub use retention::{NotArchived, Retention, archive_windows};
pub use said::{LegReport, LegVerdict, NotSaid};
pub use schedule::{Board, Schedule, Standing, close_every};
pub use sealer::{Parts, Sealer, keep_window, seal_command};
pub use settler::{Desks, Held, Nudged, RESTORED, Settler, Troubles, desks};
pub use signed::Signature;

pub use node::{Names, Node};
pub use signing::NotRotated;
pub use statement::{Statement, StatementLine, StatementWindow, WantedStatement};
