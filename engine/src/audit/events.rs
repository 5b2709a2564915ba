//! The events, in their order: each must follow the one before, be allowed by what came before it,
//! and carry the signatures that it must carry. Where a seal comes by whose evidence is there, the
//! window is audited; where a batch comes by, it is computed again.

mod callers;
mod endpoints;
mod ends;
mod eyes;
mod hold;
mod identities;
mod operators;
mod settling;

use super::Settings;
use super::batches::{self, Sealed, Seen, State};
use super::difference::{AuditError, Difference};
use super::directory;
use super::receipts;
use super::registry::Registry;
use super::report::{Counts, Report};
use super::requests::Requests;
use super::settlement::{self, Legs};
use super::source::Source;
use super::totals::Totals;
use super::windows::{self, Cut};
use crate::journal::{Chain, Entry, Record};
use crate::ledger::event::{
    BatchComputed, BatchEvent, EngineKeySet, Genesis, KeyEvent, LegEvent, WindowCut, WindowEvent,
    WindowSealed,
};
use crate::ledger::{
    By, Caller, Endpoints, EngineKeys, Envelope, Event, Eyes, Fact, Identities, Obligation,
    OperatorKeys,
};
use crate::types::{
    AssetNumber, BatchId, ChannelHasher, History, Lsn, NetworkId, PartyId, SignerKey, Statement,
    Timestamp, Total, WindowNumber, batch_statement, key_statement, window_statement,
};
use crate::verify::{Verifier, is_signed};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// An audit under way.
pub(super) struct Audit<'a> {
    pub source: &'a dyn Source,
    pub verifier: &'a Verifier,
    pub settings: Settings<'a>,
    pub registry: Registry,
    pub totals: Totals,
    pub hasher: Option<ChannelHasher>,
    pub counts: Counts,
    /// The last window so far whose evidence is not there.
    pub gap: WindowNumber,
    /// Assets of windows whose carries could not be computed.
    pub unknown_carries: u64,
    given: BTreeSet<WindowNumber>,
    keys: EngineKeys,
    operators: OperatorKeys,
    identities: Identities,
    endpoints: Endpoints,
    /// Whether four eyes are on, and what was proposed.
    eyes: Eyes,
    first_key: Option<SignerKey>,
    requests: Requests,
    /// Every event so far, for the statements that name one.
    digests: Vec<History>,
    /// How many of the exports' ends were met.
    ends: usize,
    open: (WindowNumber, Lsn),
    /// The record since which nothing leaves, where the ledger was restored from a copy.
    held: Option<Lsn>,
    carried: Option<Vec<(AssetNumber, Obligation)>>,
    cuts: BTreeMap<WindowNumber, Cut>,
    sealed: BTreeMap<WindowNumber, Option<Arc<Sealed>>>,
    disputed: BTreeSet<WindowNumber>,
    archived: BTreeSet<WindowNumber>,
    /// What live and ended batches pay of deposits; `None` once one could not be computed again.
    pledged: Option<HashMap<(PartyId, AssetNumber), u128>>,
    /// The dust that parties owe the clearing account in a window, net.
    dust: BTreeMap<(WindowNumber, AssetNumber), i128>,
    /// Assets of batches that could not be computed again: what passed through the clearing account
    /// is not known.
    clearing_unknown: BTreeSet<AssetNumber>,
    batches: HashMap<BatchId, Seen>,
    live: BTreeMap<(WindowNumber, AssetNumber), BatchId>,
    batches_unknown: u64,
    receipts_unknown: u64,
    pub last: Lsn,
    /// What the check of a data directory says it did not check.
    pub not_checked: Vec<String>,
    /// What stands by rules that are no more.
    notes: Vec<String>,
}

type Done = Result<(), AuditError>;

impl<'a> Audit<'a> {
    pub fn new(source: &'a dyn Source, verifier: &'a Verifier, settings: Settings<'a>) -> Self {
        Self {
            source,
            verifier,
            settings,
            registry: Registry::default(),
            totals: Totals::new(),
            hasher: None,
            counts: Counts::default(),
            gap: WindowNumber(0),
            unknown_carries: 0,
            given: source.windows().into_iter().collect(),
            keys: EngineKeys::default(),
            operators: OperatorKeys::default(),
            identities: Identities::default(),
            endpoints: Endpoints::default(),
            eyes: Eyes::default(),
            first_key: None,
            requests: Requests::default(),
            digests: Vec::new(),
            ends: 0,
            open: (WindowNumber(1), Lsn(2)),
            held: None,
            carried: Some(Vec::new()),
            cuts: BTreeMap::new(),
            sealed: BTreeMap::new(),
            disputed: BTreeSet::new(),
            archived: BTreeSet::new(),
            pledged: Some(HashMap::new()),
            dust: BTreeMap::new(),
            clearing_unknown: BTreeSet::new(),
            batches: HashMap::new(),
            live: BTreeMap::new(),
            batches_unknown: 0,
            receipts_unknown: 0,
            last: Lsn(0),
            not_checked: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub fn run(&mut self) -> Done {
        let mut chain = Chain::start();
        self.source.events(&mut |lsn: Lsn, bytes: &[u8]| -> Done {
            let record = chain.follow_event(lsn, bytes)?;
            self.record(&record)?;
            self.end_at(record.history())
        })?;
        self.all_ends_met()?;
        self.all_pins_met()?;
        if let Some(window) = self.given.first().copied() {
            let difference = Difference::new("the window", "sealed by an event", "not sealed");
            return Err(difference.window(window).into());
        }
        if self.registry.genesis.is_none() {
            return Err(Difference::new("the events", "a first record", "none").into());
        }
        self.receipts_unknown = receipts::check_rest(self)?;
        match self.source.directory() {
            Some(directory) => directory::check(self, directory),
            None => Ok(()),
        }
    }

    fn record(&mut self, record: &Record<'_>) -> Done {
        let (lsn, at) = (record.lsn, record.at);
        self.last = lsn;
        self.digests.push(record.history());
        self.counts.events += 1;
        self.registry.time(lsn, at);
        match record.entry()? {
            Entry::Genesis(genesis) if lsn == Lsn(1) => {
                as_written(record.is_genesis_as(&genesis), lsn)?;
                self.genesis(genesis)
            }
            Entry::Fact(fact) if self.hasher.is_some() => {
                as_written(record.is_written_as(&fact), lsn)?;
                self.fact(record.history(), at, &fact).map_err(|error| located(error, lsn))
            }
            Entry::Genesis(_)
            | Entry::Fact(_)
            | Entry::Frame(_)
            | Entry::Charges(..)
            | Entry::Bundles(_) => {
                let difference =
                    Difference::new("the record", "genesis first, then events", "other");
                Err(difference.lsn(lsn).into())
            }
        }
    }

    fn genesis(&mut self, genesis: Genesis) -> Done {
        if let Some(said) = self.source.network().filter(|said| *said != genesis.network) {
            return Err(Difference::new("the network", genesis.network, said).into());
        }
        self.hasher = Some(ChannelHasher::new(genesis.network));
        self.registry.genesis = Some(genesis);
        Ok(())
    }

    fn network(&self) -> NetworkId {
        self.hasher.as_ref().expect("the first record is genesis").network()
    }

    fn fact(&mut self, record: History, at: Timestamp, fact: &Fact) -> Done {
        let (lsn, Fact { envelope, event, confirms }) = (record.lsn, fact);
        let Envelope { caller, request } = envelope;
        callers::check(envelope, event)?;
        self.identity_acts(fact, at)?;
        self.seen_by_two(at, fact)?;
        if let Some(request) = request
            && !self.requests.is_new(at, caller, &request.id)
        {
            return Err(Difference::new("the request id", "a new one", &request.id).into());
        }
        match event {
            Event::Registry(e) => {
                self.overtake(e);
                self.registered(lsn, e)
            }
            Event::Budget(e) => Ok(self.registry.budgets(at, e)?),
            Event::Access(e) => self.access((lsn, at), fact, e),
            Event::Endpoint(e) => self.endpoint((lsn, at), caller, e),
            Event::Eyes(e) => self.eyes((lsn, at), envelope, e),
            Event::Key(KeyEvent::EngineSet(e)) => self.key(lsn, request.is_some(), e),
            Event::Key(KeyEvent::OperatorSet(e)) => self.operator_key_set(lsn, caller, e),
            Event::Key(KeyEvent::OperatorRemoved(e)) => {
                // Who proposed it has signed that.
                let by = confirms.is_none().then_some(caller);
                self.operator_key_removed(lsn, by, e)
            }
            Event::Window(WindowEvent::Cut(e)) => self.cut(record, at, e),
            Event::Window(WindowEvent::Sealed(e)) => self.seal(e),
            Event::Window(WindowEvent::Archived(e)) => self.archived(e),
            Event::Batch(BatchEvent::Computed(e)) => self.batch(caller, e),
            Event::Batch(BatchEvent::Approved(e)) => self.approved(caller, e),
            Event::Batch(BatchEvent::Aborted(e)) => self.aborted(e.batch),
            Event::Window(WindowEvent::Disputed(e)) => self.disputed(e.window, true),
            Event::Window(WindowEvent::DisputeEnded(e)) => self.disputed(e.window, false),
            Event::Leg(LegEvent::Submitted(e)) => self.submitted(e),
            Event::Leg(LegEvent::Moved(e)) => self.moved(caller, e),
            Event::Leg(LegEvent::Booked(e)) => self.booked(e),
            Event::Leg(LegEvent::Proposed(e)) => self.proposed(caller, e),
            Event::Leg(LegEvent::Released(e)) => self.released(e),
            // What a person must see moves no money.
            Event::Trouble(_) => Ok(()),
            Event::Hold(e) => self.hold(lsn, e),
        }
    }

    fn key(&mut self, lsn: Lsn, asked: bool, e: &EngineKeySet) -> Done {
        let differs = |found: &dyn ToString| {
            Difference::new("the engine's key", "one that may follow", found.to_string())
        };
        self.keys.check_set(asked, e).map_err(|misfit| differs(&misfit))?;
        if self.operators.get(e.key).is_some() {
            return Err(differs(&"an operator's").into());
        }
        match (self.keys.current(), self.settings.first_key) {
            (Some(before), _) => {
                let statement = key_statement(self.network(), e.key);
                self.signed(before, &statement, &e.proof, "the proof of the engine's new key")?;
            }
            (None, Some(known)) if known != e.key => {
                return Err(Difference::new("the engine's first key", known, e.key).into());
            }
            (None, _) => {}
        }
        self.first_key.get_or_insert(e.key);
        self.keys.set(lsn, e.key);
        Ok(())
    }

    fn signed(
        &mut self,
        key: SignerKey,
        statement: &Statement,
        signature: &[u8; 64],
        what: &str,
    ) -> Result<(), Difference> {
        self.counts.engine_signatures += 1;
        if is_signed(key, statement.bytes(), signature) {
            return Ok(());
        }
        Err(Difference::new(what, format!("a signature by {key}"), "another"))
    }

    fn cut(&mut self, record: History, at: Timestamp, e: &WindowCut) -> Done {
        let History { lsn, digest } = record;
        let (open, first_lsn) = self.open;
        if e.window != open {
            return Err(Difference::new("the window that is cut", open, e.window).into());
        }
        let carried = self.carried.replace(Vec::new());
        self.cuts.insert(open, Cut { first_lsn, cut_lsn: lsn, digest, cut_at: at, carried });
        self.open = (open.next(), lsn.next());
        Ok(())
    }

    fn seal(&mut self, e: &WindowSealed) -> Done {
        let window = e.window;
        let cut = self.cuts.remove(&window);
        let cut = cut.ok_or_else(|| {
            Difference::new("the sealed window", "one that was cut and not sealed", window)
        })?;
        let misfit = self.keys.check_signed(e.key).err();
        if let Some(misfit) = misfit {
            return Err(Difference::new("the seal's key", "the engine's", misfit)
                .window(window)
                .into());
        }
        if !e.assets.is_sorted_by(|a, b| a.asset < b.asset) {
            return Err(Difference::new("the seal's assets", "ascending", "not")
                .window(window)
                .into());
        }
        let root = windows::sealed_root(e);
        if root != e.root {
            return Err(Difference::new("the window's root", root, e.root).window(window).into());
        }
        let record = History { lsn: cut.cut_lsn, digest: cut.digest };
        let statement =
            window_statement(self.network(), window, root, record, cut.cut_at, e.credited);
        self.signed(e.key, &statement, &e.signature, "the window's signature")
            .map_err(|difference| difference.window(window))?;
        if !self.given.remove(&window) {
            self.gap = window;
            self.sealed.insert(window, None);
            return Ok(());
        }
        let before = self.counts.voucher_signatures;
        let nets = windows::check(self, e, &cut)?;
        let pieces = self.counts.voucher_signatures - before;
        if pieces > e.credited {
            let expected = format!("at least {pieces}, one for each channel");
            let difference = Difference::new("vouchers credited", expected, e.credited);
            return Err(difference.window(window).into());
        }
        let lsns = (cut.first_lsn, cut.cut_lsn);
        let sealed = batches::window(window, lsns, cut.cut_at, root, nets);
        self.sealed.insert(window, Some(sealed));
        Ok(())
    }

    fn batch(&mut self, caller: &Caller, e: &BatchComputed) -> Done {
        let of_batch = |difference: Difference| difference.batch(e.batch);
        if let Err(misfit) = self.keys.check_signed(e.key) {
            return Err(of_batch(Difference::new("the batch's key", "the engine's", misfit)).into());
        }
        let history = self.history_at(e.history).ok_or_else(|| {
            let expected = "an event before the batch";
            of_batch(Difference::new("up to where the batch's signature goes", expected, e.history))
        })?;
        let statement =
            batch_statement(self.network(), e.batch, history, &caller.name, e.four_eyes);
        self.signed(e.key, &statement, &e.signature, "the batch's signature").map_err(of_batch)?;
        if e.windows.is_empty() || !e.windows.is_sorted_by(|a, b| a < b) {
            let difference = Difference::new("the batch's windows", "ascending", "not");
            return Err(of_batch(difference).into());
        }
        let mut given = Vec::new();
        for &window in &e.windows {
            if let Some(other) = self.live.insert((window, e.asset), e.batch) {
                let difference = Difference::new("live batches of a window", "one", other);
                return Err(of_batch(difference).window(window).into());
            }
            if self.disputed.contains(&window) {
                let difference = Difference::new("the batch's window", "none disputed", window);
                return Err(of_batch(difference).into());
            }
            match self.sealed.get(&window) {
                Some(sealed) => given.extend(sealed.clone()),
                None => {
                    let difference = Difference::new("the batch's window", "a sealed one", window);
                    return Err(of_batch(difference).into());
                }
            }
        }
        let asset = self.registry.assets.get(&e.asset).map(|asset| asset.def.clone());
        let asset_def = asset.ok_or_else(|| {
            of_batch(Difference::new("the batch's asset", "a registered one", e.asset))
        })?;
        let content = match (&self.pledged, given.len() == e.windows.len()) {
            (Some(pledged), true) => {
                let account = |party, rail| self.registry.account(party, rail);
                let free = |party| {
                    let pledged = pledged.get(&(party, e.asset)).copied().unwrap_or(0);
                    Total(self.registry.deposited(party, e.asset).saturating_sub(pledged))
                };
                let windows: Vec<_> = given.iter().map(|sealed| sealed.window.clone()).collect();
                let content = batches::recompute(e, &windows, &asset_def, account, free);
                Some(content.map_err(of_batch)?)
            }
            (None, _) | (_, false) => None,
        };
        let owed =
            given.iter().map(|sealed| sealed.owed.get(&e.asset).map_or(&[][..], Vec::as_slice));
        let owed = content.as_ref().and_then(|_| settlement::owed(owed));
        match &content {
            Some(content) => {
                self.counts.batches += 1;
                let legs = u64::try_from(content.legs.len()).expect("a length fits 64 bits");
                self.counts.legs += legs;
                self.pledge(e.asset, &content.head.prefunded, |held, paid| held.checked_add(paid));
            }
            None => {
                self.batches_unknown += 1;
                self.pledged = None;
            }
        }
        let seen = Seen {
            passed: self.passed(e, content.as_ref()).map_err(of_batch)?,
            state: State::Computed,
            computed: self.last,
            windows: e.windows.clone(),
            asset: e.asset,
            owed,
            carries: content.as_ref().map(|content| content.head.carries.clone()),
            prefunded: content.as_ref().map_or(Vec::new(), |c| c.head.prefunded.clone()),
            by: By { operator: caller.name.clone(), four_eyes: e.four_eyes },
            legs: Legs::new(content.as_ref()),
        };
        self.batches.insert(e.batch, seen);
        Ok(())
    }

    fn pledge(
        &mut self,
        asset: AssetNumber,
        paid: &[(PartyId, Total)],
        change: impl Fn(u128, u128) -> Option<u128>,
    ) {
        let Some(pledged) = &mut self.pledged else { return };
        for (party, amount) in paid {
            let held = pledged.entry((*party, asset)).or_default();
            *held = change(*held, amount.0).unwrap_or(u128::MAX);
        }
    }

    /// The batches that were computed again, with what they carry.
    pub fn known_carries(&self) -> Vec<(BatchId, Vec<Obligation>)> {
        let known = |(id, seen): (&BatchId, &Seen)| Some((*id, seen.carries.clone()?));
        self.batches.iter().filter_map(known).collect()
    }

    /// What came of it.
    pub fn report(&self, ended: Option<AuditError>) -> Report {
        let mut not_checked = vec![
            "limits, caps, budgets and the number of credited vouchers: they need every voucher, \
             evidence is the newest of each channel"
                .to_owned(),
        ];
        let mut say = |count: u64, text: &str| {
            if count > 0 {
                not_checked.push(format!("{count} {text}"));
            }
        };
        let absent = self.sealed.values().filter(|sealed| sealed.is_none()).count();
        say(
            u64::try_from(absent).expect("a length fits 64 bits"),
            "sealed windows whose evidence was not given",
        );
        say(
            self.totals.unknown(),
            "totals of channels before a window: earlier windows were not given",
        );
        say(self.batches_unknown, "batches of windows whose evidence was not given");
        say(
            self.unknown_carries,
            "assets of windows into which such batches carried: their sums only",
        );
        say(
            self.receipts_unknown,
            "receipts of vouchers whose window was not sealed here, or whose evidence was not given",
        );
        not_checked.extend(self.not_checked.iter().cloned());
        let mut report = Report::new(self.counts, not_checked, ended);
        report.network_id = self.hasher.as_ref().map(|hasher| hasher.network().to_string());
        report.notes.clone_from(&self.notes);
        report.engine_key = self.keys.current().map(|key| key.to_string());
        report.operator_keys = self.keys_of_operators();
        report.first_engine_key = self.first_key.map(|key| key.to_string());
        report
    }
}

/// The engine writes an event in one way only: other bytes that read the same are not its own.
fn as_written(holds: bool, lsn: Lsn) -> Result<(), Difference> {
    if holds {
        return Ok(());
    }
    Err(Difference::new("the record's body", "as the engine writes it", "other bytes").lsn(lsn))
}

/// Names the record of a difference that names none.
fn located(error: AuditError, lsn: Lsn) -> AuditError {
    match error {
        AuditError::Difference(difference) if difference.place.lsn.is_none() => {
            difference.lsn(lsn).into()
        }
        other @ (AuditError::Difference(_) | AuditError::Unreadable(_)) => other,
    }
}
