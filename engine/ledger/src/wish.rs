//! What may be asked of the control state: a closed set of wishes, plain data. Nobody outside the
//! ledger says what happened; that follows, by the rules, from what is wished for and from what
//! stands (`control`).
//!
//! Owns what a wish names. Holds no rule. Who wishes it is in the envelope around it.

use crate::batch::BatchContent;
use crate::budget::{Budget, BudgetUse};
use crate::control::CreateBatch;
use crate::endpoint::Topic;
use crate::envelope::{Caller, Envelope, Request};
use crate::event::{
    Cap, EyesSet, IdentityAdded, LedgerRestored, LegBooking, LegRun, WindowArchived, WindowSealed,
};
use crate::identity::Credential;
use crate::leg::{LegMove, LegState, LegWord, Mover};
use crate::operator_key::OperatorSignature;
use crate::plan::BatchPlan;
use crate::sealed::{SealedOnRail, SealedText};
use crate::trouble::NewTrouble;
use crate::types::{
    AssetDef, AssetNumber, BatchId, Digest, FitKey, Lsn, PartyId, SignerKey, Total, WindowNumber,
};
use std::sync::Arc;

/// What may be asked of the control state.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Wish {
    /// Register an asset.
    CreateAsset { asset: AssetDef },
    /// Register a party, or replace what is known of it. Its accounts are ordered by rail.
    UpsertParty(UpsertParty),
    /// Have a party's name and accounts be unreadable, for ever. `deposits` says how what was left
    /// of its deposits was given back; `clear` are sealed windows, ascending, that were looked
    /// through: nothing of the party stands in what is not settled of them, and they never change.
    EraseParty { party: PartyId, deposits: String, clear: Vec<WindowNumber> },
    /// Let a key sign for a party.
    AddSigner { signer: FitKey, party: PartyId, caps: Vec<Cap> },
    /// Let a key sign no more.
    RevokeSigner { signer: SignerKey },
    /// Replace the budgets of a key. They are ordered by what they are for.
    SetBudgets { signer: SignerKey, budgets: Vec<Budget> },
    /// The engine's own: so much of these budgets was used that their owners should know.
    WarnBudgets(Vec<BudgetUse>),
    /// Replace a party's credit limit.
    SetCreditLimit { party: PartyId, asset: AssetNumber, limit: Total },
    /// Add money that a party has deposited.
    RecordDeposit { party: PartyId, asset: AssetNumber, amount: Total, reference: String },
    /// Have another key sign for the engine; the first one is the engine's own.
    SetEngineKey { key: SignerKey, proof: [u8; 64] },
    /// Have the caller sign with another own key from now on: the one whose possession is
    /// shown. The key before it, if there is one, signs.
    SetOperatorKey { possession: Box<OperatorSignature>, signed: Option<OperatorSignature> },
    /// Have an operator's key, which is this one now, count no more.
    RemoveOperatorKey { operator: String, key: SignerKey, signed: Option<OperatorSignature> },
    /// Give somebody an identity. The first operator's may be the engine's own doing, as whoever
    /// has its directory asked.
    AddIdentity(IdentityAdded),
    /// Have an identity count no more.
    RevokeIdentity { name: String },
    /// Have an identity known by something else.
    RotateIdentity { name: String, credential: Credential },
    /// Have a party told over HTTP of these, ascending; with where, and what signs it, sealed when
    /// the party had been erased so often.
    AddEndpoint {
        party: PartyId,
        url: SealedText,
        secret: SealedText,
        topics: Vec<Topic>,
        erasures: u32,
    },
    /// Have it told no more in one place.
    RemoveEndpoint { endpoint: Lsn, party: PartyId },
    /// Have what is sent there signed with another secret; with the one before it, too, for a
    /// while, or not.
    RotateEndpoint {
        endpoint: Lsn,
        party: PartyId,
        secret: SealedText,
        keeps_former: bool,
        erasures: u32,
    },
    /// The engine's own: what its configuration says of four eyes, from this start on.
    SetEyes(EyesSet),
    /// Have a change that another proposed happen.
    ConfirmProposal { proposal: Digest, signed: Option<OperatorSignature> },
    /// Take a proposal away.
    WithdrawProposal { proposal: Digest, reason: String },
    /// Close the open window, whichever it is.
    CloseWindow,
    /// The engine's own: a cut window was sealed, and what was owed in it is kept.
    SealWindow(WindowSealed),
    /// The engine's own: the evidence of a settled window lies in an archive that was read back.
    ArchiveWindow(WindowArchived),
    /// Keep a closed window from being batched.
    DisputeWindow { window: WindowNumber, reason: String },
    /// End a dispute.
    EndDispute { window: WindowNumber, reason: String },
    /// Make a computed batch the one that settles its windows.
    CreateBatch(CreateBatch),
    /// Let the legs of a batch leave.
    ApproveBatch { batch: BatchId, signed: Option<OperatorSignature> },
    /// Give up a batch of which nothing has left.
    AbortBatch { batch: BatchId, reason: String },
    /// The engine's own: legs leave, as these bytes.
    SubmitLegs(SubmitLegs),
    /// The engine's own: legs move by its own doing, or as a rail says.
    MoveLegs { content: Arc<BatchContent>, voice: Voice, evidence: Digest, steps: Vec<LegStep> },
    /// The engine's own: legs of a batch that has ended move, as a rail says. Nobody holds that
    /// batch any more: what each moves is as the table of legs has it, which was written from the
    /// batch before anything left.
    MoveEnded { batch: BatchId, voice: Voice, evidence: Digest, moves: Vec<LegMove> },
    /// An operator says what the rail did with legs.
    ReportLegs {
        content: Arc<BatchContent>,
        evidence: Digest,
        words: Vec<SaidOfLeg>,
        signed: Option<OperatorSignature>,
    },
    /// One operator's word about a leg whose fate the rail cannot tell.
    ResolveLeg {
        content: Arc<BatchContent>,
        leg: u32,
        word: LegWord,
        reference: String,
        evidence: String,
        signed: Option<OperatorSignature>,
    },
    /// The engine's own: books showed money of legs that stand where that leads already.
    BookLegs { batch: BatchId, evidence: Digest, bookings: Vec<LegBooking> },
    /// The engine's own: every leg of some parties has ended; these are their places among the
    /// batch's dues, ascending. With none: there is nobody left.
    ReleaseExposure { plan: Arc<BatchPlan>, places: Vec<u32> },
    /// The engine's own: it found what a person must see.
    RaiseTroubles(Vec<NewTrouble>),
    /// Take troubles away; their numbers ascend.
    AckTroubles { troubles: Vec<u64>, note: String },
    /// The engine's own: it goes on from an older copy, so nothing leaves from here on.
    BeginHold(LedgerRestored),
    /// Let payments leave again: somebody has looked at what left since the copy was made.
    ReleaseHold { reason: String },
}

/// What is to be known of a party from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpsertParty {
    /// The party.
    pub party: PartyId,
    /// Its name, sealed.
    pub name: SealedText,
    /// Whether it may neither pay nor be paid.
    pub suspended: bool,
    /// Its accounts, sealed, ordered by rail.
    pub accounts: Vec<SealedOnRail>,
    /// Whether it is meant that a party which was erased is registered anew.
    pub reopen: bool,
    /// How often the party had been erased when this was sealed: what was sealed under a key that
    /// is destroyed says nothing.
    pub erasures: u32,
    /// What stays as it is of a party that is registered.
    pub keep: Keep,
}

/// What a change of a party leaves alone. Nothing, if nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// Its name: there must be one.
    pub name: bool,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Its accounts on rails that are not named.
    pub accounts: bool,
    /// But not on these rails: it must have an account there.
    pub removed: Vec<String>,
}

/// Legs that leave. What they pay follows from the batch.
#[derive(Debug, Clone)]
pub struct SubmitLegs {
    /// The batch.
    pub content: Arc<BatchContent>,
    /// The submission's number in the batch, from 0.
    pub submission: u32,
    /// The attempt's number, from 0.
    pub attempt: u32,
    /// Its legs: runs of neighbours, ascending.
    pub legs: Vec<LegRun>,
    /// Digest of the bytes.
    pub digest: Digest,
    /// How many bytes.
    pub bytes: u64,
    /// What the rail knows it by.
    pub name: String,
    /// How often parties had been suspended, or not any more, when the legs were chosen. If one was
    /// since, they are chosen anew.
    pub suspensions: u64,
}

/// Where a leg is to go. Who pays whom how much follows from the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegStep {
    /// Its place among the batch's legs.
    pub leg: u32,
    /// Where it stands from now on.
    pub to: LegState,
    /// The rail's own reference; empty if there is none.
    pub reference: String,
    /// Why; empty if there is nothing to say.
    pub reason: String,
}

/// What an operator says of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidOfLeg {
    /// Its place among the batch's legs.
    pub leg: u32,
    /// What the rail did.
    pub word: LegWord,
    /// The rail's own reference; empty if there is none.
    pub reference: String,
    /// Why; what failed does not go without.
    pub reason: String,
}

/// Who moves legs without an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The engine on its own.
    Engine,
    /// A rail's word.
    Rail,
    /// Money that moved.
    Books,
}

impl Voice {
    /// The same as the journal has it.
    #[must_use]
    pub fn mover(self) -> Mover {
        match self {
            Self::Engine => Mover::Engine,
            Self::Rail => Mover::Rail,
            Self::Books => Mover::Books,
        }
    }
}

/// A wish, and who has it.
#[derive(Debug, Clone)]
pub struct Command {
    /// Who asks, by which request.
    pub envelope: Envelope,
    /// What is asked for.
    pub wish: Wish,
}

impl Command {
    /// What the engine does on its own.
    #[must_use]
    pub fn own(wish: Wish) -> Self {
        Self { envelope: Envelope::own(), wish }
    }
}

impl Wish {
    /// Asked for by this caller, with this request.
    #[must_use]
    pub fn by(self, caller: Caller, request: Request) -> Command {
        Command { envelope: caller.asks(request), wish: self }
    }

    /// The word for it, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateAsset { .. } => "create asset",
            Self::UpsertParty(_) => "upsert party",
            Self::EraseParty { .. } => "erase party",
            Self::AddSigner { .. } => "add signer",
            Self::RevokeSigner { .. } => "revoke signer",
            Self::SetBudgets { .. } => "set budgets",
            Self::WarnBudgets(_) => "warn of budgets",
            Self::SetCreditLimit { .. } => "set limit",
            Self::RecordDeposit { .. } => "record deposit",
            Self::SetEngineKey { .. } => "set the engine's key",
            Self::SetOperatorKey { .. } => "set an operator's key",
            Self::RemoveOperatorKey { .. } => "remove an operator's key",
            Self::AddIdentity(_) => "add identity",
            Self::RevokeIdentity { .. } => "revoke identity",
            Self::RotateIdentity { .. } => "rotate identity",
            Self::AddEndpoint { .. } => "add webhook",
            Self::RemoveEndpoint { .. } => "remove webhook",
            Self::RotateEndpoint { .. } => "rotate webhook",
            Self::SetEyes(_) => "set four eyes",
            Self::ConfirmProposal { .. } => "confirm proposal",
            Self::WithdrawProposal { .. } => "withdraw proposal",
            Self::CloseWindow => "close window",
            Self::SealWindow(_) => "seal window",
            Self::ArchiveWindow(_) => "archive window",
            Self::DisputeWindow { .. } => "dispute window",
            Self::EndDispute { .. } => "end dispute",
            Self::CreateBatch(_) => "create batch",
            Self::ApproveBatch { .. } => "approve batch",
            Self::AbortBatch { .. } => "abort batch",
            Self::SubmitLegs(_) => "submit legs",
            Self::MoveLegs { .. } => "move legs",
            Self::MoveEnded { .. } => "move legs of an ended batch",
            Self::ReportLegs { .. } => "report legs",
            Self::ResolveLeg { .. } => "resolve leg",
            Self::BookLegs { .. } => "book legs",
            Self::ReleaseExposure { .. } => "release exposure",
            Self::RaiseTroubles(_) => "raise troubles",
            Self::AckTroubles { .. } => "ack troubles",
            Self::BeginHold(_) => "begin the hold of a restored ledger",
            Self::ReleaseHold { .. } => "release what is held since the restore",
        }
    }

    /// Whether only the engine itself may want it. Everything else people may want, and the
    /// schedule.
    #[must_use]
    pub fn is_the_engines(&self) -> bool {
        match self {
            Self::SealWindow(_)
            | Self::ArchiveWindow(_)
            | Self::WarnBudgets(_)
            | Self::SetEyes(_)
            | Self::SubmitLegs(_)
            | Self::MoveLegs { .. }
            | Self::MoveEnded { .. }
            | Self::BookLegs { .. }
            | Self::ReleaseExposure { .. }
            | Self::RaiseTroubles(_)
            | Self::BeginHold(_) => true,
            Self::CreateAsset { .. }
            | Self::UpsertParty(_)
            | Self::EraseParty { .. }
            | Self::AddSigner { .. }
            | Self::RevokeSigner { .. }
            | Self::SetBudgets { .. }
            | Self::SetCreditLimit { .. }
            | Self::RecordDeposit { .. }
            | Self::SetEngineKey { .. }
            | Self::SetOperatorKey { .. }
            | Self::RemoveOperatorKey { .. }
            | Self::AddIdentity(_)
            | Self::RevokeIdentity { .. }
            | Self::RotateIdentity { .. }
            | Self::AddEndpoint { .. }
            | Self::RemoveEndpoint { .. }
            | Self::RotateEndpoint { .. }
            | Self::ConfirmProposal { .. }
            | Self::WithdrawProposal { .. }
            | Self::CloseWindow
            | Self::DisputeWindow { .. }
            | Self::EndDispute { .. }
            | Self::CreateBatch(_)
            | Self::ApproveBatch { .. }
            | Self::AbortBatch { .. }
            | Self::ReportLegs { .. }
            | Self::ResolveLeg { .. }
            | Self::AckTroubles { .. }
            | Self::ReleaseHold { .. } => false,
        }
    }
}
