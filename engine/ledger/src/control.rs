//! The control state: everything that operators make, and which windows and batches there are.
//!
//! Owns what may be done (`decide`) and what it changes (`apply`), event by event. Knows nothing of
//! vouchers, channels or exposure (the shards do). Kept apart from them so that frames never touch
//! it.

mod access;
mod budgets;
mod directory;
mod doubt;
mod ended;
mod endpoints;
mod entry;
mod erase;
mod eyes;
mod facts;
mod hold;
mod read;
mod requests;
mod rows;
mod search;
mod settlement;
mod signed;
mod used;
mod waiting;
mod window;
mod words;

pub use access::identity;
pub use entry::{Approval, BatchEntry, BatchState, Deed};
pub use hold::HoldEntry;
pub use rows::{Restored, Restoring, RowUnfit, archived_in};
pub use used::Used;
pub use window::{SealedHead, WindowEntry, WindowState};

use super::batch::{BatchContent, BatchHead, Policy};
use super::budget::BudgetEntry;
use super::endpoint::Endpoints;
use super::engine_key::EngineKeys;
use super::envelope::{Caller, Fact, Request, Role};
use super::event::{
    BatchComputed, BatchEvent, Cap, Event, Genesis, LegEvent, PartyUpserted, RegistryEvent,
    TroubleEvent, WindowEvent,
};
use super::eyes::Eyes;
use super::identity::Identities;
use super::operator_key::OperatorKeys;
use super::rail::Rail;
use super::refusal::Refusal;
use super::sealed::{SealedOnRail, SealedText};
use super::trouble::Troubles;
use super::window::SealedWindow;
use super::wish::{Command, Wish};
use crate::limits;
use crate::types::{
    AssetDef, AssetNumber, BatchId, History, Lsn, Net, PartyId, SIGNATURE_BYTES, SignerKey,
    Timestamp, Total, WindowNumber,
};
use foldhash::fast::RandomState;
use requests::Requests;
use rkyv::{Archive, Deserialize, Serialize};
use rows::Rows;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use used::Changes;

/// A batch that was computed outside the control state, from what it was at `directory_version`.
#[derive(Debug, Clone)]
pub struct CreateBatch {
    /// Whether another operator must approve.
    pub four_eyes: bool,
    /// The batch, and what it was computed from, which is kept.
    pub used: Arc<Used>,
    /// The event up to which its signature covers the history.
    pub history: Lsn,
    /// The engine's key that signed it.
    pub key: SignerKey,
    /// Its signature.
    pub signature: [u8; SIGNATURE_BYTES],
    /// The version at which what it used was so.
    pub directory_version: u64,
}

impl CreateBatch {
    /// The batch, without its legs.
    #[must_use]
    pub fn head(&self) -> &Arc<BatchHead> {
        &self.used.head
    }
}

/// What to do about a command.
#[derive(Debug, Clone)]
pub enum Decision {
    /// Journal this fact, then apply it, with what comes with it.
    New(Box<Fact>, Made),
    /// The same request was answered before: by the record at this position.
    Repeat(Lsn),
}

/// What an event's record does not hold because it follows from the journal.
#[derive(Debug, Clone)]
pub enum Made {
    /// Nothing.
    Nothing,
    /// The head of a `BatchComputed`.
    Batch(Arc<BatchHead>),
}

/// A registered party.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PartyEntry {
    /// Its name, sealed; `None` once it was erased.
    pub name: Option<SealedText>,
    /// Whether it may pay and be paid.
    pub suspended: bool,
    /// Its settlement accounts, sealed, ordered by rail.
    pub accounts: Vec<SealedOnRail>,
    /// How often it was erased.
    pub erasures: u32,
}

impl PartyEntry {
    /// Whether it is erased: suspended for good, unless it is registered anew.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.name.is_none()
    }
}

/// A registered signer.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SignerEntry {
    /// For whom it signs.
    pub party: PartyId,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Its caps, ordered by asset.
    pub caps: Vec<Cap>,
}

/// The control state.
#[cfg_attr(test, derive(Clone))]
pub struct Control {
    genesis: Genesis,
    history: History,
    assets: BTreeMap<AssetNumber, AssetDef>,
    /// By id, so that a list of them is read a page at a time.
    parties: BTreeMap<PartyId, PartyEntry>,
    /// The same.
    signers: BTreeMap<SignerKey, SignerEntry>,
    /// Of those signers that have any.
    budgets: BTreeMap<SignerKey, Vec<BudgetEntry>>,
    changes: Changes,
    /// Everything that was ever deposited, so that no sum can outgrow its type.
    deposits: HashMap<(PartyId, AssetNumber), Total, RandomState>,
    /// What live and ended batches pay, or have paid, of it.
    pledged: HashMap<(PartyId, AssetNumber), Total, RandomState>,
    /// What batches have left over on the clearing account, less what they took of each other's.
    funds: BTreeMap<AssetNumber, Net>,
    requests: Requests,
    engine_keys: EngineKeys,
    operator_keys: OperatorKeys,
    identities: Identities,
    endpoints: Endpoints,
    /// By number; the last one is open.
    windows: BTreeMap<WindowNumber, WindowEntry>,
    batches: BTreeMap<BatchId, BatchEntry>,
    /// What the records that computed and aborted batches did: the first result, for whoever
    /// retries the call.
    deeds: BTreeMap<Lsn, Deed>,
    waiting: waiting::Waiting,
    troubles: Troubles,
    /// Parties that are suspended, and how often any was, or was not any more.
    suspended: BTreeSet<PartyId>,
    suspensions: u64,
    /// What of all this the last checkpoint does not hold.
    rows: Rows,
    /// Batches that are over, of which pages of legs are in memory.
    ended: BTreeSet<BatchId>,
    needed: erase::Needed,
    /// Of the last copy that the ledger was restored from.
    hold: Option<HoldEntry>,
    eyes: Eyes,
}

impl Control {
    /// The state after the genesis record: no parties, window 1 open.
    #[must_use]
    pub fn new(genesis: Genesis, history: History) -> Self {
        let first = WindowNumber(1);
        Self {
            genesis,
            history,
            assets: BTreeMap::new(),
            parties: BTreeMap::new(),
            signers: BTreeMap::new(),
            budgets: BTreeMap::new(),
            changes: Changes::default(),
            deposits: HashMap::default(),
            pledged: HashMap::default(),
            funds: BTreeMap::new(),
            requests: Requests::new(limits::REQUESTS_MAX),
            engine_keys: EngineKeys::default(),
            operator_keys: OperatorKeys::default(),
            identities: Identities::default(),
            endpoints: Endpoints::default(),
            windows: BTreeMap::from([(first, WindowEntry::open(first, history.lsn.next()))]),
            batches: BTreeMap::new(),
            deeds: BTreeMap::new(),
            waiting: waiting::Waiting::default(),
            troubles: Troubles::default(),
            suspended: BTreeSet::new(),
            suspensions: 0,
            rows: Rows::new(),
            ended: BTreeSet::new(),
            needed: erase::Needed::from(first),
            hold: None,
            eyes: Eyes::default(),
        }
    }

    /// Whether a command may be done at this time, and as which fact. Changes nothing.
    ///
    /// # Errors
    /// `Refusal` that says which rule stands against it.
    pub fn decide(&self, command: Command, at: Timestamp) -> Result<Decision, Refusal> {
        let Command { envelope, wish } = command;
        envelope.check()?;
        access::may(&envelope, &wish)?;
        let acting = self.acting(&envelope.caller, &wish, at)?;
        if let Some(request) = &envelope.request {
            if let Some(lsn) = self.answered_to(&envelope.caller, request)? {
                return Ok(Decision::Repeat(lsn));
            }
            if !self.goes_on_when_full(&wish) {
                self.requests.room()?;
            }
        }
        if let Wish::ConfirmProposal { proposal, signed } = wish {
            return self.confirmed(envelope, proposal, signed, at);
        }
        let (event, made) = self.fact(&envelope, wish, at)?;
        if let Some(acting) = acting {
            self.entitled(acting, &event)?;
        }
        let event = self.seen_by_two(&envelope, event, at)?;
        Ok(Decision::New(Box::new(Fact::new(envelope, event)), made))
    }

    fn current_key(&self, key: SignerKey) -> Result<(), Refusal> {
        let current = self.engine_keys.current().unwrap_or(SignerKey::ZERO);
        if current == key { Ok(()) } else { Err(Refusal::EngineKeyMoved) }
    }

    /// Whether what a batch used is still so. Only who changed since is looked at: a handful.
    fn check_used(&self, create: &CreateBatch) -> Result<(), Refusal> {
        let changed = self.changes.since(create.directory_version);
        let mut changed = changed.ok_or(Refusal::AccountsMoved)?;
        if changed.all(|party| create.used.fits(self, party)) {
            Ok(())
        } else {
            Err(Refusal::AccountsMoved)
        }
    }

    /// The record that answered a request of the desk or the engine before; `None` also when that
    /// was so long ago that it is forgotten.
    ///
    /// # Errors
    /// `RequestReused` when the id was used for something else.
    pub fn answered(&self, request: &Request) -> Result<Option<Lsn>, Refusal> {
        self.requests.answered(None, request)
    }

    /// The same of a request of this caller: whoever may change no more than its own has ids of its
    /// own.
    ///
    /// # Errors
    /// `RequestReused` when it used the id for something else.
    pub fn answered_to(&self, caller: &Caller, request: &Request) -> Result<Option<Lsn>, Refusal> {
        self.requests.answered(requests::own(caller), request)
    }

    /// Applies a fact that `decide` allowed, or that the journal holds: `record` is the one it is
    /// in.
    pub fn apply(&mut self, record: History, at: Timestamp, fact: &Fact, made: Made) {
        let (lsn, before) = (record.lsn, self.history.lsn);
        assert!(lsn > before, "record {lsn} applied after {before}");
        self.touch_all((lsn, at), fact, &made);
        self.history = record;
        let Fact { envelope, event, confirms } = fact;
        if let Some(of) = confirms {
            self.eyes.end(of.proposal);
        }
        let asked = envelope.request.as_ref().map(|request| (&envelope.caller, request));
        self.requests.apply(lsn, at, asked);
        match event {
            Event::Registry(e) => self.register(e),
            Event::Budget(e) => self.apply_budgets(e),
            Event::Access(e) => {
                let by_machine = envelope.caller.role == Role::Engine;
                self.apply_access(lsn, e, (!by_machine).then(|| fact.maker()));
            }
            Event::Endpoint(e) => self.apply_endpoints((lsn, at), &envelope.caller, e),
            Event::Eyes(e) => {
                self.eyes.apply((lsn, at), &envelope.caller, e, &self.identities);
            }
            Event::Key(e) => self.apply_keys(lsn, e),
            Event::Window(e) => self.apply_window(record, at, e),
            Event::Batch(BatchEvent::Computed(e)) => {
                let Made::Batch(head) = made else { panic!("a computed batch comes with it") };
                self.computed((lsn, at), &envelope.caller, e, head);
            }
            Event::Batch(BatchEvent::Approved(e)) => self.approved(at, &envelope.caller, e),
            Event::Batch(BatchEvent::Aborted(e)) => self.aborted((lsn, at), &envelope.caller, e),
            Event::Leg(LegEvent::Submitted(e)) => self.submitted(lsn, at, e),
            Event::Leg(LegEvent::Moved(e)) => self.moved(at, e),
            Event::Leg(LegEvent::Booked(e)) => self.booked(e),
            Event::Leg(LegEvent::Proposed(e)) => self.proposed(&envelope.caller, e),
            Event::Leg(LegEvent::Released(e)) => self.released(e),
            Event::Trouble(TroubleEvent::Raised(e)) => self.troubles.raise(lsn, at, e),
            Event::Trouble(TroubleEvent::Acked(e)) => self.troubles.ack(e),
            Event::Hold(e) => self.apply_hold((lsn, at), &envelope.caller, e),
        }
    }

    fn register(&mut self, event: &RegistryEvent) {
        match event {
            RegistryEvent::AssetCreated(e) => {
                self.assets.insert(e.asset.number, e.asset.clone());
            }
            RegistryEvent::PartyUpserted(e) => self.registered(e),
            RegistryEvent::PartyErased(e) => {
                self.erased(e);
                self.endpoints.remove_of(e.party);
            }
            RegistryEvent::SignerAdded(e) => {
                let (party, caps) = (e.party, e.caps.clone());
                self.signers.entry(e.signer).or_insert(SignerEntry { party, revoked: false, caps });
            }
            RegistryEvent::SignerRevoked(e) => {
                if let Some(signer) = self.signers.get_mut(&e.signer) {
                    signer.revoked = true;
                }
            }
            // The shards' alone, but for what would have set it before.
            RegistryEvent::LimitSet(e) => self.eyes.overtake(e.party, e.asset),
            RegistryEvent::Deposited(e) => {
                let sum = self.deposited(e.party, e.asset).plus(e.amount);
                self.deposits.insert((e.party, e.asset), sum);
                // A batch that is being computed may count on what is free of deposits.
                self.changes.note(e.party);
            }
        }
    }

    fn apply_window(&mut self, record: History, at: Timestamp, event: &WindowEvent) {
        let lsn = record.lsn;
        match event {
            WindowEvent::Cut(e) => {
                let open = self.open_window_mut();
                assert_eq!(open.number, e.window, "the cut closes the open window");
                open.cut = Some((lsn, at));
                open.cut_digest = record.digest;
                let next = WindowEntry::open(e.window.next(), lsn.next());
                self.needed.opened(next.number);
                self.windows.insert(next.number, next);
            }
            WindowEvent::Sealed(e) => {
                let window = self.window_mut(e.window);
                assert!(window.sealed.is_none(), "window {} was sealed before", e.window);
                window.sealed = Some(Arc::new(e.clone()));
                window.carried = Vec::new();
                let is_settled = window.has_nothing_to_settle();
                self.needed.settled(e.window, is_settled);
                self.waiting.sealed(e);
            }
            WindowEvent::Archived(e) => self.window_mut(e.window).archive = Some(e.archive),
            WindowEvent::Disputed(e) => self.window_mut(e.window).dispute = Some(e.reason.clone()),
            WindowEvent::DisputeEnded(e) => {
                self.window_mut(e.window).dispute = None;
                self.waiting.dispute_ended(e.window, at);
            }
        }
    }

    fn registered(&mut self, e: &PartyUpserted) {
        let (name, suspended, accounts) = (e.name.clone(), e.suspended, e.accounts.clone());
        let (name, erasures) = (Some(name), self.erasures(e.party));
        let entry = PartyEntry { name, suspended, accounts, erasures };
        self.parties.insert(e.party, entry);
        self.changes.note(e.party);
        let changed = if suspended {
            self.suspended.insert(e.party)
        } else {
            self.suspended.remove(&e.party)
        };
        self.suspensions += u64::from(changed);
        self.needed.upserted(self.open_window().number, e);
    }

    fn window_mut(&mut self, number: WindowNumber) -> &mut WindowEntry {
        self.windows.get_mut(&number).expect("the window was found when it was decided")
    }

    fn open_window_mut(&mut self) -> &mut WindowEntry {
        let last = self.windows.last_entry().expect("one window is always open");
        last.into_mut()
    }

    /// The sealed windows that a new batch in `asset` would settle, as they are loaded: not too
    /// many, ascending, each once.
    ///
    /// # Errors
    /// `Refusal` when they are not, or when one is unknown, open, unsealed, disputed, or in a live
    /// batch for the asset.
    pub fn settleable(
        &self,
        windows: &[WindowNumber],
        asset: AssetNumber,
    ) -> Result<Vec<SealedHead>, Refusal> {
        let (count, limit) = (windows.len(), limits::BATCH_WINDOWS_MAX);
        if count == 0 || count > limit {
            return Err(Refusal::BatchWindows { count, limit });
        }
        if let Some(twice) = windows.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(Refusal::WindowTwice(twice[1]));
        }
        self.known_asset(asset)?;
        let one = |&number: &WindowNumber| {
            let window = self.window(number)?;
            if let Some(&batch) = window.live.get(&asset) {
                return Err(Refusal::WindowInBatch { window: number, batch });
            }
            if window.dispute.is_some() {
                return Err(Refusal::WindowDisputed(number));
            }
            window.sealed_head()
        };
        windows.iter().map(one).collect()
    }

    /// Computes a journaled batch again, from the windows that it names.
    ///
    /// # Errors
    /// A text that says why it cannot be the one that was journaled.
    pub fn recompute(
        &self,
        event: &BatchComputed,
        windows: &[Arc<SealedWindow>],
    ) -> Result<BatchContent, String> {
        let rail = Rail::from_byte(event.rail).ok_or_else(|| format!("no rail {}", event.rail))?;
        let policy = Policy {
            rail,
            unit: event.unit,
            least: event.least,
            most: event.most,
            clearing: event.clearing.clone(),
        };
        let compute = || {
            self.settleable(&event.windows, event.asset)?;
            let asset = self.asset(event.asset)?;
            let account = |party| self.account(party, rail);
            let prefund = |party| self.free_prefund(party, event.asset);
            BatchContent::compute(windows, asset, &policy, account, prefund)
        };
        let content = compute().map_err(|refusal: Refusal| refusal.to_string())?;
        if content.head.id == event.batch {
            Ok(content)
        } else {
            Err(format!("it now has the id {}", content.head.id))
        }
    }
}

fn room(what: &'static str, held: usize, limit: usize) -> Result<(), Refusal> {
    if held < limit { Ok(()) } else { Err(Refusal::TableFull { what, limit }) }
}
