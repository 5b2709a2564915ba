//! What happened: the events that, besides frames of vouchers, change state. Plain data, one struct
//! a kind, persisted for ever (the journal gives each a record kind). No rule is held here.

mod eyes;
mod groups;

pub use eyes::{Change, ChangeProposed, Confirmation, EyesSet, ProposalWithdrawn};
pub use groups::{
    AccessEvent, BatchEvent, BudgetEvent, EndpointEvent, Event, EyesEvent, HoldEvent, KeyEvent,
    LegEvent, RegistryEvent, TroubleEvent, WindowEvent,
};

use super::budget::{Budget, BudgetUse};
use super::endpoint::Topic;
use super::envelope::Role;
use super::identity::{Credential, Scope};
use super::leg::{LegMove, LegState, Mover, Way};
use super::sealed::{SealedOnRail, SealedText};
use super::trouble::NewTrouble;
use super::window::AssetSeal;
use crate::types::{
    Amount, AssetDef, AssetNumber, BatchId, Digest, Lsn, NetworkId, PartyId, SignerKey, Timestamp,
    Total, WindowNumber,
};
use rkyv::{Archive, Deserialize, Serialize};

/// The first record of a journal: what holds for the whole life of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Genesis {
    /// Names the deployment.
    pub network: NetworkId,
    /// Vouchers that expire later than this many seconds after their record are refused.
    pub lifetime_seconds_max: i64,
}

/// An asset was created.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct AssetCreated {
    /// Its definition, immutable from now on.
    pub asset: AssetDef,
}

/// A party was created, or its name, suspension and accounts replaced.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PartyUpserted {
    /// The party.
    pub party: PartyId,
    /// Its name, for people and rails, under its key.
    pub name: SealedText,
    /// Whether it may pay and be paid.
    pub suspended: bool,
    /// Per rail, its settlement account under its key; ordered by rail.
    pub accounts: Vec<SealedOnRail>,
}

/// A party was erased: what was sealed under its key up to here is not to be read any more, and its
/// key is destroyed once this is durable.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PartyErased {
    /// The party.
    pub party: PartyId,
    /// How what was left of its deposits was given back; empty where nothing was left.
    pub deposits: String,
}

/// A signer's own spending cap in one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub struct Cap {
    /// In which asset.
    pub asset: AssetNumber,
    /// Most that the key may ever credit.
    pub amount: Amount,
}

/// A key may sign for a party.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SignerAdded {
    /// The key: canonical, not of small order, torsion-free (checked before).
    pub signer: SignerKey,
    /// For whom it signs, for ever.
    pub party: PartyId,
    /// Its caps, ordered by asset.
    pub caps: Vec<Cap>,
}

/// A signer's budgets were replaced. What it has credited of one that is for the same still counts.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BudgetsSet {
    /// Whose.
    pub signer: SignerKey,
    /// All that it has from now on, ordered by what they are for.
    pub budgets: Vec<Budget>,
}

/// Of some budgets so much was used that their owners should know.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BudgetsWarned {
    /// How they stood when it was found, ordered; each once a period.
    pub uses: Vec<BudgetUse>,
}

/// A key may not sign any more.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SignerRevoked {
    /// The key.
    pub signer: SignerKey,
}

/// A party's credit limit was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct CreditLimitSet {
    /// Whose limit.
    pub party: PartyId,
    /// In which asset.
    pub asset: AssetNumber,
    /// The new limit.
    pub limit: Total,
}

/// A party deposited money.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct DepositRecorded {
    /// Whose money.
    pub party: PartyId,
    /// In which asset.
    pub asset: AssetNumber,
    /// How much; added to the prefund.
    pub amount: Total,
    /// The bank's or chain's own reference.
    pub reference: String,
}

/// The open window was closed and the next opened: the cut.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct WindowCut {
    /// The window that closes.
    pub window: WindowNumber,
}

/// The engine has a signing key from now on: the first, or one that follows another.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct EngineKeySet {
    /// The key that signs from now on.
    pub key: SignerKey,
    /// Signature of the key before it over the statement of the new one; zero for the first.
    pub proof: [u8; 64],
}

/// An operator signs with an own key from now on: the first, or one that follows another.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct OperatorKeySet {
    /// Whose key it is: who asked.
    pub operator: String,
    /// The key that they sign with from now on.
    pub key: SignerKey,
    /// Its signature over the statement of it: whoever sets it has it.
    pub possession: [u8; 64],
    /// Signature of the key before it over the same statement; zero for the first.
    pub signature: [u8; 64],
}

/// An operator's key counts no more, and they have none.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct OperatorKeyRemoved {
    /// Whose key it was.
    pub operator: String,
    /// Signature of whoever asked over the statement of it; zero: they have no key.
    pub signature: [u8; 64],
}

/// Somebody has an identity from now on.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct IdentityAdded {
    /// Its name, for ever.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// By what it is known.
    pub credential: Credential,
    /// For whom it acts.
    pub scope: Scope,
    /// From when on it counts no more.
    pub expires_at: Option<Timestamp>,
    /// Vouchers that it may bring in a second; 0: as many as the engine takes.
    pub rate: u32,
}

/// An identity counts no more, and never will again.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct IdentityRevoked {
    /// Which.
    pub name: String,
}

/// An identity is known by something else from now on.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct IdentityRotated {
    /// Which.
    pub name: String,
    /// By what it is known, and by nothing else.
    pub credential: Credential,
}

/// A party is told over HTTP what happens to it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct EndpointAdded {
    /// Which party.
    pub party: PartyId,
    /// Where, under its key.
    pub url: SealedText,
    /// What signs what is sent, under its key.
    pub secret: SealedText,
    /// What it is told of, ascending.
    pub topics: Vec<Topic>,
}

/// A party is told no more in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct EndpointRemoved {
    /// The record that added it.
    pub endpoint: Lsn,
    /// Whose it was.
    pub party: PartyId,
}

/// What is sent to an endpoint is signed with another secret from now on.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct EndpointRotated {
    /// The record that added it.
    pub endpoint: Lsn,
    /// Whose it is.
    pub party: PartyId,
    /// The secret, under its key.
    pub secret: SealedText,
    /// Whether the one before it signs, too, for a while.
    pub keeps_former: bool,
}

/// A closed window's obligations were sealed under one root. Re-sealing must give the same.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct WindowSealed {
    /// The window.
    pub window: WindowNumber,
    /// Digest over the roots of all assets.
    pub root: Digest,
    /// Vouchers credited in it.
    pub credited: u64,
    /// Roots and figures per asset, by asset.
    pub assets: Vec<AssetSeal>,
    /// The engine's key that signed.
    pub key: SignerKey,
    /// Its signature over the window's statement.
    pub signature: [u8; 64],
}

/// The evidence of a settled window lies in an archive, which was read back and found to be whole:
/// it leaves the engine's own store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct WindowArchived {
    /// The window.
    pub window: WindowNumber,
    /// Which archive.
    pub archive: ArchiveId,
}

/// Names an archive by what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ArchiveId {
    /// Digest of its last section, which covers all before it.
    pub digest: Digest,
    /// How long it is.
    pub bytes: u64,
}

/// A settlement batch was computed. Its legs follow from the windows, the policy and the accounts
/// at this point of the journal, and must give the id again.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BatchComputed {
    /// Whether another operator must approve.
    pub four_eyes: bool,
    /// Hash of the content.
    pub batch: BatchId,
    /// The windows it settles, ascending.
    pub windows: Vec<WindowNumber>,
    /// The asset it settles.
    pub asset: AssetNumber,
    /// Number of the rail (`Rail`).
    pub rail: u8,
    /// Smallest step that the rail can express, in asset units.
    pub unit: Total,
    /// Smallest payment, in asset units.
    pub least: Total,
    /// Largest payment, in asset units.
    pub most: Total,
    /// Fields of the clearing account on the rail, ordered by name.
    pub clearing: Vec<(String, String)>,
    /// The event up to which the signature covers the history.
    pub history: Lsn,
    /// The engine's key that signed.
    pub key: SignerKey,
    /// Its signature over the batch's statement.
    pub signature: [u8; 64],
}

/// An operator approved a batch: its legs may leave.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BatchApproved {
    /// Which batch.
    pub batch: BatchId,
    /// The operator's signature over the statement of it; zero: not signed.
    pub signature: [u8; 64],
}

/// An operator aborted a batch of which nothing had left; its windows can be batched anew.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BatchAborted {
    /// Which batch.
    pub batch: BatchId,
    /// Why.
    pub reason: String,
}

/// An operator disputes a closed window: it cannot be batched.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct WindowDisputed {
    /// Which window.
    pub window: WindowNumber,
    /// Why.
    pub reason: String,
}

/// An operator ended the dispute of a window.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct DisputeEnded {
    /// Which window.
    pub window: WindowNumber,
    /// How it came out.
    pub reason: String,
}

/// A run of neighbouring legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LegRun {
    /// The first.
    pub first: u32,
    /// How many, never zero.
    pub count: u32,
}

/// Legs of an approved batch are handed to the rail: their exact bytes are durable, and leave next.
/// With the first of a batch its dust is owed in the window that is open now.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LegsSubmitted {
    /// Which batch.
    pub batch: BatchId,
    /// The submission's number in the batch, from 0.
    pub submission: u32,
    /// The attempt's number, from 0. Another attempt pays the same legs and can be executed only
    /// in place of the others.
    pub attempt: u32,
    /// Its legs: runs of neighbours, ascending.
    pub legs: Vec<LegRun>,
    /// What of them the clearing account pays, in asset units; the same in every attempt, and paid
    /// once.
    pub paid_out: Total,
    /// Digest of the bytes.
    pub digest: Digest,
    /// How many bytes.
    pub bytes: u64,
    /// What the rail knows it by: a file's name, a transaction's nonce and hash.
    pub name: String,
}

/// Legs moved from one state to another. What was rejected or returned is owed in the window that
/// is open now: this record is both.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LegsMoved {
    /// Which batch.
    pub batch: BatchId,
    /// Its asset.
    pub asset: AssetNumber,
    /// On whose word.
    pub mover: Mover,
    /// Digest of what the rail or the operator gave as evidence; zero if nothing.
    pub evidence: Digest,
    /// The moves, ordered by leg.
    pub moves: Vec<LegMove>,
    /// Of an operator's word: their signature over the statement of it; zero: not signed.
    pub signature: [u8; 64],
}

/// Books showed money of legs that stand where that leads already: nothing moves, and the reference
/// is held, so that the same booking told again is known, and another one is found.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LegsBooked {
    /// Which batch.
    pub batch: BatchId,
    /// Digest of what the rail gave as evidence; zero if nothing.
    pub evidence: Digest,
    /// The bookings, ordered by leg, way and reference.
    pub bookings: Vec<LegBooking>,
}

/// One booking of a leg's money.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LegBooking {
    /// The leg's place among the batch's legs.
    pub leg: u32,
    /// Which way the money went.
    pub way: Way,
    /// The rail's own reference; empty if it gave none.
    pub reference: String,
}

/// One operator said what became of an UNKNOWN leg, with evidence. It moves when another says the
/// same.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LegProposed {
    /// Which batch.
    pub batch: BatchId,
    /// Which leg.
    pub leg: u32,
    /// Where it stands.
    pub to: LegState,
    /// The rail's own reference.
    pub reference: String,
    /// The evidence, or where it is filed.
    pub evidence: String,
    /// The operator's signature over the statement of it; zero: not signed.
    pub signature: [u8; 64],
}

/// One party's exposure falls by what a batch settled for it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Release {
    /// The party's place in the batch's dues.
    pub place: u32,
    /// The party.
    pub party: PartyId,
    /// It owes so much less.
    pub unsettled: Total,
    /// So much of its deposits has paid.
    pub prefund: Total,
}

/// Every leg of some parties has ended: what the batch settled for them is owed no more.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ExposureReleased {
    /// Which batch.
    pub batch: BatchId,
    /// Its asset.
    pub asset: AssetNumber,
    /// The parties, ordered by place.
    pub releases: Vec<Release>,
}

/// The engine found what a person must see.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct TroublesRaised {
    /// Each gets the next number.
    pub troubles: Vec<NewTrouble>,
}

/// An operator took troubles away.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct TroublesAcked {
    /// Their numbers, ascending.
    pub troubles: Vec<u64>,
    /// What was done about them; may be empty.
    pub note: String,
}

/// The ledger goes on from an older copy of itself: what left since is not in it, so nothing leaves
/// before somebody has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LedgerRestored {
    /// Drawn when the copy was restored, so that no two ledgers that go on from one backup are the
    /// same.
    pub instance: Digest,
    /// The backup: the digest of its manifest.
    pub backup: Digest,
    /// The last record that the backup holds.
    pub position: Lsn,
}

/// An operator has looked at what left since the copy was made: payments leave again.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct HoldReleased {
    /// The record that began it.
    pub restored: Lsn,
    /// What was found, and done about it.
    pub reason: String,
}
