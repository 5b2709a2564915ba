//! The ledger: every rule of money, pure.
//!
//! Owns the types that everybody speaks (`types`), every limit (`limits`), the credit rule, the
//! shards' state, windows, netting, batches and the control state (parties, signers, assets,
//! requests). Time, order and bytes come in as values: nothing here does IO, reads a clock, starts
//! a thread or draws a random number. The same events in the same order give the same state and the
//! same bytes, on any number of shards.

#![forbid(unsafe_code)]

pub mod about;
pub mod batch;
pub mod budget;
pub mod canary;
pub mod control;
pub mod dues;
pub mod endpoint;
pub mod engine_key;
pub mod envelope;
pub mod event;
pub mod evidence;
pub mod eyes;
#[cfg(test)]
mod fixture;
pub mod fund;
pub mod hands;
pub mod hearing;
pub mod identity;
pub mod leg;
pub mod legs;
pub mod limits;
pub mod marks;
pub mod movements;
pub mod net;
pub mod operator_key;
pub mod pages;
pub mod plan;
pub mod rail;
pub mod refusal;
pub mod rights;
pub mod row;
pub mod seal;
pub mod sealed;
pub mod shard;
pub mod standing;
pub mod submission;
pub mod trouble;
pub mod types;
pub mod window;
pub mod wish;

pub use about::About;
pub use batch::{Account, BatchContent, BatchHead, By, Leg, OpenBatch, Payment, Policy};
pub use budget::{Budget, BudgetEntry, BudgetKey, BudgetUse, Period};
pub use control::{
    Approval, BatchEntry, BatchState, Control, Decision, Deed, HoldEntry, SealedHead, WindowEntry,
    WindowState,
};
pub use dues::{Due, dues};
pub use endpoint::{Endpoint, EndpointMisfit, Endpoints, FormerSecret, Topic};
pub use engine_key::{EngineKeys, KeyMisfit};
pub use envelope::{Caller, Envelope, Fact, Request, Role, Via};
pub use event::{Event, Genesis};
pub use evidence::{EVIDENCE_BYTES, EVIDENCE_BYTES_WITH_PATH, Evidence, piece_of, pieces};
pub use eyes::{Eyes, EyesMisfit, Takes};
pub use fund::Cover;
pub use hands::{Hands, OneHand};
pub use identity::{Credential, Identities, Identity, IdentityMisfit, Scope};
pub use leg::{Heard, LegMove, LegState, LegWord, Mover, Way};
pub use legs::{Home, LegFacts, Legs, Owed, Proposal};
pub use marks::Marks;
pub use movements::{Movements, Tally};
pub use operator_key::{OperatorKeyEntry, OperatorKeyMisfit, OperatorKeys, OperatorSignature};
pub use plan::{BatchPlan, Next};
pub use rail::Rail;
pub use refusal::{BudgetMisfit, PartyMisfit, Refusal};
pub use rights::{Call, Right};
pub use seal::{Gathered, Sealed, SealedPart, seal};
pub use sealed::{ERASED, RailAccount, SealedAccount, SealedOnRail, SealedText};
pub use shard::{ChannelState, Exposure, Gauge, Headroom, Held, Leftover, Shard, ShardPage};
pub use standing::Standing;
pub use submission::{Attempt, MayLeave, Submission, runs};
pub use trouble::{Admitted, NewTrouble, Trouble, TroubleKind, Troubles};
pub use window::{
    AssetSeal, EvidenceDigest, Obligation, Position, SealedAsset, SealedWindow, WindowTotals,
};
pub use wish::{Command, Keep, LegStep, SaidOfLeg, SubmitLegs, UpsertParty, Voice, Wish};
