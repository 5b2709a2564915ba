//! Why the ledger does not do what an operator asked. Values, not failures: nothing has changed.

use super::endpoint::EndpointMisfit;
use super::engine_key::KeyMisfit;
use super::eyes::EyesMisfit;
use super::identity::IdentityMisfit;
use super::operator_key::OperatorKeyMisfit;
use crate::types::{
    AssetError, AssetNumber, BatchId, Lsn, PartyId, SignerKey, Total, WindowNumber,
};

/// A call that the rules refuse. Says what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Refusal {
    #[error("request_id {0:?} was used before with other content; use a new id for a new request")]
    RequestReused(String),
    #[error(
        "the engine remembers {0} request ids and takes no more until the oldest are forgotten, 30 to 35 \
         days after they were used; what revokes, suspends, closes, disputes or aborts is done all the same"
    )]
    RequestsFull(usize),
    #[error("party {0} is not registered; `tallystick party add` (UpsertParty) registers it")]
    UnknownParty(PartyId),
    #[error("signer {0} is not registered; `tallystick signer add` (AddSigner) registers it")]
    UnknownSigner(SignerKey),
    #[error(
        "asset {0} is not registered; `tallystick asset add` (CreateAsset) creates it, `asset list` shows those there are"
    )]
    UnknownAsset(AssetNumber),
    #[error("window {window} does not exist: windows are 1 to {open}, and {open} is open")]
    UnknownWindow { window: WindowNumber, open: WindowNumber },
    #[error("batch {0} does not exist")]
    UnknownBatch(BatchId),
    #[error(
        "asset {asset} exists with another definition ({held}); an asset never changes, choose another number"
    )]
    AssetDiffers { asset: AssetNumber, held: String },
    #[error(
        "signer {0} is registered with another party or other caps; revoke it and use a new key"
    )]
    SignerDiffers(SignerKey),
    #[error("signer {0} was revoked; a revoked key stays revoked, use a new one")]
    SignerRevoked(SignerKey),
    #[error("the deposits of party {0} in asset {1} would exceed 10^36 asset units")]
    DepositsTooLarge(PartyId, AssetNumber),
    #[error("{what} is full: the limit is {limit}")]
    TableFull { what: &'static str, limit: usize },
    #[error("window {0} is still open; close it first")]
    WindowOpen(WindowNumber),
    #[error("window {0} is closed and being sealed; try again in a moment")]
    WindowUnsealed(WindowNumber),
    #[error("{0} closed windows wait for their seal; try again in a moment")]
    SealingBehind(usize),
    #[error("window {window} is in batch {batch} for this asset; abort that batch first")]
    WindowInBatch { window: WindowNumber, batch: BatchId },
    #[error("the engine's key cannot be set: {0}")]
    EngineKey(KeyMisfit),
    #[error("the engine's signing key was rotated at the same moment; try again")]
    EngineKeyMoved,
    #[error(transparent)]
    OperatorKey(#[from] OperatorKeyMisfit),
    #[error(transparent)]
    Identity(#[from] IdentityMisfit),
    #[error(
        "the batch would move {size} asset units, and less than {least} is left to wait (batch_min_total)"
    )]
    BelowLeast { size: Total, least: Total },
    #[error("the windows hold nothing to settle in asset {0}")]
    NothingToSettle(AssetNumber),
    #[error("batch {batch} is {state}; {allowed}")]
    BatchState { batch: BatchId, state: &'static str, allowed: &'static str },
    #[error(
        "{count} parties of the batch have no {rail} account, so money cannot reach them: {first}; \
         `tallystick party update ID --account RAIL:FIELD=VALUE` registers an account"
    )]
    AccountsMissing { rail: &'static str, count: usize, first: String },
    #[error("the batch would have more than {0} legs; settle fewer windows at once")]
    TooManyLegs(usize),
    #[error("rail {rail} cannot settle asset {asset}: {why}")]
    RailUnfit { rail: &'static str, asset: AssetNumber, why: String },
    #[error("a batch settles 1 to {limit} windows, {count} were named")]
    BatchWindows { count: usize, limit: usize },
    #[error("window {0} is named twice, or out of order")]
    WindowTwice(WindowNumber),
    #[error("window {0} is disputed; end the dispute first")]
    WindowDisputed(WindowNumber),
    #[error("window {window} is {state}; {allowed}")]
    WindowState { window: WindowNumber, state: &'static str, allowed: &'static str },
    #[error(
        "batch {0} is under four eyes: another operator than the one who created it must approve it"
    )]
    SameOperator(BatchId),
    #[error(transparent)]
    Eyes(#[from] EyesMisfit),
    #[error(
        "the clearing account holds {free} for batch {batch} and others have left over, less than the {paid_out} \
         that would leave; wait for pay-ins"
    )]
    NotCovered { batch: BatchId, paid_out: Total, free: Total },
    #[error("submission {number} of batch {batch} does not fit: {why}")]
    Submission { batch: BatchId, number: u32, why: &'static str },
    #[error("batch {batch} has no leg {leg} here")]
    NoSuchLeg { batch: BatchId, leg: u32 },
    #[error("trouble {0} is not open; `tallystick trouble list` shows those that are")]
    UnknownTrouble(u64),
    #[error("leg {leg} of batch {batch} is {from} and cannot become {to}")]
    LegState { batch: BatchId, leg: u32, from: &'static str, to: &'static str },
    #[error("legs of batch {batch} have not ended: what they settle is owed until then")]
    NotEnded { batch: BatchId },
    #[error("the exposure of party {party} was released from batch {batch} before")]
    ReleasedBefore { batch: BatchId, party: PartyId },
    #[error(
        "leg {leg} of batch {batch} is UNKNOWN: that takes the word of two operators, each with \
         evidence; configure operators, and both say it with `tallystick leg resolve`"
    )]
    NeedsTwo { batch: BatchId, leg: u32 },
    /// A party was suspended, or is not any more, while legs were chosen: choose them again.
    #[error("a party was suspended, or is not any more, while legs were chosen; try again")]
    SuspensionsMoved,
    #[error(
        "leg {key} is {state}, and the engine asks its rail what becomes of it, or is just sending it: whatever was \
         said of it, it may still be paid; wait for the rail's word, `batch report` says what keeps it (a call \
         that stays without an answer becomes UNKNOWN, and two operators can say what became of it)"
    )]
    InHand { key: String, state: &'static str },
    #[error(
        "leg {key} is {state} and cannot be {word}: {why}; nothing was changed: find out what happened, and report \
         the others without it"
    )]
    LegWord { key: String, state: &'static str, word: &'static str, why: &'static str },
    #[error(
        "leg {leg} of batch {batch} is still paid: books showed its money go {went} times and come back {came} times, \
         and with one return more it has not come back as often; wait until the account shows the others back, or \
         agree with whoever has the money on payments back"
    )]
    StillPaid { batch: BatchId, leg: u32, went: usize, came: usize },
    #[error("leg {key} is reported twice in one call")]
    LegTwice { key: String },
    #[error(
        "leg {key} is said to be {word} without a reason; say why (`--reason`): the amount is owed again"
    )]
    NoReasonOfLeg { key: String, word: &'static str },
    #[error(
        "a call reports 1 to {limit} legs, this one has {count}; split it, with a request_id for each part"
    )]
    ReportCount { count: usize, limit: usize },
    #[error(
        "this leg is {state} ({key}); `leg resolve` is only for UNKNOWN legs: say what the rail did with `leg \
         report` (ReportLegs)"
    )]
    NotUnknown { key: String, state: &'static str },
    #[error(
        "leg {key} is UNKNOWN, and operator {operator} has said just this: it takes the word of another operator, \
         too"
    )]
    SaidBefore { key: String, operator: String },
    #[error("evidence is missing: say what the word rests on, or where it is filed")]
    NoEvidence,
    #[error("reason is missing: whoever looks at the window later needs it")]
    NoReason,
    #[error(
        "request_id is missing: choose a new one for each request, and send it again with every retry of it"
    )]
    NoRequestId,
    #[error("request_id starts with \"tallystick/\", which is kept for the engine itself")]
    RequestReserved,
    #[error("only the engine itself does this; {role} cannot ask for it")]
    EnginesOwn { role: &'static str },
    #[error("{field} has {length} bytes, the limit is {limit}")]
    TextTooLong { field: &'static str, length: usize, limit: usize },
    #[error("{0}")]
    AssetUnfit(AssetError),
    #[error("{0}")]
    PartyUnfit(PartyMisfit),
    #[error("a signer may have {0} caps at most")]
    TooManyCaps(usize),
    #[error("a signer may have one cap an asset; an asset is named twice")]
    CapsRepeat,
    #[error("{0}")]
    Budgets(BudgetMisfit),
    #[error("{0}")]
    Endpoint(EndpointMisfit),
    #[error("numbers has {0}, it must name some, each once and in order")]
    AckNumbers(usize),
    #[error("amount is 0; a deposit moves money")]
    NoDeposit,
    #[error(
        "what became of an earlier payment of party {party} is in doubt (trouble {trouble}): it is neither \
         charged nor paid on rail {rail} until somebody has looked into it and has taken the trouble away \
         with `tallystick trouble ack NUMBER --note TEXT`"
    )]
    InDoubt { party: PartyId, trouble: u64, rail: &'static str },
    #[error(
        "{0} troubles are open, and more could not be put on the list: nothing is batched or approved before \
         some are looked into and taken away (`tallystick trouble list`, `tallystick trouble ack`)"
    )]
    TroublesFull(usize),
    #[error(
        "a rail says of a leg of batch {batch} that it was paid, and nothing of the leg has left: trouble {trouble} \
         (`tallystick trouble list`); find out what was paid, and take the trouble away before the leg leaves \
         (`tallystick trouble ack {trouble} --note TEXT`), or abort the batch if nothing of it has left"
    )]
    SaidToBePaid { batch: BatchId, trouble: u64 },
    #[error(
        "party {0} was erased: its name and accounts are gone, and nothing new is registered of it; if money came \
         back that must reach it, register it anew (`tallystick party add --id {0} --reopen`)"
    )]
    PartyErased(PartyId),
    #[error("party {0} was erased while this was on its way; look at it, and try again")]
    ErasedMeanwhile(PartyId),
    #[error(
        "party {0} is not suspended; suspend it first (`tallystick party suspend {0}`), so that nothing more is owed \
         by it or to it"
    )]
    NotSuspended(PartyId),
    #[error(
        "something may still be owed by party {party} or to it, and then its name and accounts are needed: window \
         {window} is {state}; close, batch and settle every window up to {until}, then erase it"
    )]
    StillNeeded { party: PartyId, window: WindowNumber, state: &'static str, until: WindowNumber },
    #[error(
        "{free} asset units of what party {party} has deposited in asset {asset} are left; give them back, and say \
         how (`--deposits TEXT`)"
    )]
    DepositsLeft { party: PartyId, asset: AssetNumber, free: Total },
    #[error(
        "the sealed {field} has {length} bytes, it can have no fewer than 40 and {most} at most"
    )]
    NotSealed { field: &'static str, length: usize, most: usize },
    #[error(
        "this ledger was restored from a copy that ends at record {position}: what left since is not in it and would \
         leave again, so nothing is approved and nothing leaves. Find out what left, then `tallystick restore release`"
    )]
    OnHold { position: Lsn },
    #[error("nothing is held: the ledger was never restored from a copy, or was released since")]
    NotOnHold,
    /// Parties' accounts changed while the batch was computed: compute it again.
    #[error("accounts changed while the batch was computed; try again")]
    AccountsMoved,
}

/// Why budgets cannot be set so, or nobody is warned of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum BudgetMisfit {
    #[error("a signer may have {0} budgets at most")]
    TooMany(usize),
    #[error(
        "a signer may have one budget for the same asset, period and payee; one is named twice"
    )]
    Repeat,
    #[error("a budget for what the signer's own party is paid: nobody pays themselves")]
    ForSelf,
    /// Nobody is warned twice of the same budget in the same period, nor of one that is gone.
    #[error("a budget was set anew, or its owner was warned before")]
    Moved,
}

impl From<BudgetMisfit> for Refusal {
    fn from(misfit: BudgetMisfit) -> Self {
        Self::Budgets(misfit)
    }
}

/// Why a party cannot be registered, or changed, so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum PartyMisfit {
    #[error("the party's name is empty: banks and people need one")]
    NoName,
    #[error("party_id is all zero, which stands for the clearing account")]
    Clearing,
    #[error("a party may have accounts on {0} rails at most")]
    TooManyAccounts(usize),
    #[error("a party may have one account a rail, ordered by rail")]
    AccountsUnordered,
    #[error("party {party} has no account on rail {rail:?}, so none can be removed there")]
    NoAccount { party: PartyId, rail: String },
}

impl From<PartyMisfit> for Refusal {
    fn from(misfit: PartyMisfit) -> Self {
        Self::PartyUnfit(misfit)
    }
}
