//! The ledger as one would write it on a page: maps, one voucher and one command at a time, nothing
//! clever. What it says, the engine must do.
//!
//! Shares with the engine only the words in which things are asked (`types`, `Event`, `Wish`); no
//! rule, no sum and no netting of the engine is used here.

mod access;
mod batch;
mod budgets;
mod commands;
mod credit;
mod endpoints;
mod erase;
mod eyes;
mod fund;
mod keep;
mod legs;
mod own;
mod told;
mod wishes;

pub use access::Known;
pub use batch::{Batch, Money, Payment};
pub use budgets::Budget;
pub use commands::{Decided, word};
pub use credit::{Brought, Verdict};
pub use endpoints::Endpoint;
pub use eyes::{Eyes, Waiting};
pub use legs::Progress;
pub use told::Told;

use crate::world::{Asset, Channel, Sent};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use tallystick::ledger::BudgetKey;
use tallystick::ledger::event::Cap;
use tallystick::ledger::{Command, SealedOnRail, SealedText};
use tallystick::types::{AssetDef, BatchId, Digest, NetworkId, Outcome, PartyId, SignerKey};

/// Who owes whom in what.
pub type Pair = (u32, PartyId, PartyId);

/// A party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Its name, sealed; none once it was erased.
    pub name: Option<SealedText>,
    /// Whether it may pay and be paid.
    pub suspended: bool,
    /// Its accounts, sealed.
    pub accounts: Vec<SealedOnRail>,
    /// Whether it is erased, and how often it was.
    pub erased: bool,
    /// See `erased`.
    pub erasures: u32,
}

/// A signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// For whom.
    pub party: PartyId,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Its caps.
    pub caps: Vec<Cap>,
}

/// How far a party may owe, and how far it does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Limit.
    pub limit: u128,
    /// Deposits.
    pub prefund: u128,
    /// What it owes.
    pub unsettled: u128,
}

/// What a channel holds.
#[derive(Debug, Clone)]
pub struct Held {
    /// Who pays.
    pub payer: PartyId,
    /// The window in which it was credited last, and its total when that opened.
    pub window: u64,
    /// See `window`.
    pub before: u64,
    /// The record that credited it last.
    pub lsn: u64,
    /// The voucher that did.
    pub newest: Rc<Sent>,
}

/// A window.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// The first record that belongs to it.
    pub first_lsn: u64,
    /// The record that closed it, and when.
    pub cut: Option<(u64, i64)>,
    /// Vouchers credited in it.
    pub credited: u64,
    /// What was credited in it, rise by rise.
    pub owed: BTreeMap<Pair, u128>,
    /// What batches left for it.
    pub carried: Vec<(Pair, u128)>,
    /// The dust among it, by asset: what parties owe the clearing account, net.
    pub dust: BTreeMap<u32, Money>,
    /// Whether its seal is journaled.
    pub sealed: bool,
    /// The live batch in each asset.
    pub live: BTreeMap<u32, BatchId>,
    /// The assets whose batch has ended.
    pub settled: BTreeSet<u32>,
    /// Whether somebody disputes it.
    pub disputed: bool,
    /// Whether its evidence has left for an archive.
    pub archived: bool,
}

impl Window {
    /// Whether its evidence can leave for an archive.
    #[must_use]
    pub fn can_leave(&self) -> bool {
        let settled = self.assets().iter().all(|asset| self.settled.contains(asset));
        self.sealed && settled && !self.disputed && !self.archived
    }
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BatchState {
    Computed,
    Approved,
    Submitting,
    Settled,
    SettledWithCarry,
    Aborted,
}

/// What changes state, as it stands in the one order.
#[derive(Debug, Clone)]
pub enum Op {
    /// A frame: its vouchers, and what is known of each before the ledger sees it.
    Frame(Vec<Brought>),
    /// A command.
    Command(Box<Command>),
}

/// An operation that became a record.
#[derive(Debug, Clone)]
pub struct Logged {
    lsn: u64,
    at: i64,
    op: Op,
}

/// What the records so far add up to.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The last record, its timestamp, and the last event.
    pub last: (u64, i64),
    /// See `last`.
    pub applied: u64,
    /// Parties.
    pub parties: BTreeMap<PartyId, Party>,
    /// Keys.
    pub signers: BTreeMap<SignerKey, Signer>,
    /// Assets.
    pub assets: BTreeMap<u32, AssetDef>,
    /// How often a party was upserted, or its deposits changed or were pledged.
    pub directory: u64,
    /// How often a party was suspended, or was not any more.
    pub suspensions: u64,
    /// The last window in which something of a suspended party can stand.
    pub until: BTreeMap<PartyId, u64>,
    /// Limits, deposits and debts.
    pub exposures: BTreeMap<(PartyId, u32), Exposure>,
    /// Everything that was ever deposited.
    pub deposits: BTreeMap<(PartyId, u32), u128>,
    /// What batches pay of it, but the aborted ones.
    pub pledged: BTreeMap<(PartyId, u32), u128>,
    /// What keys used of their caps.
    pub used: BTreeMap<(SignerKey, u32), u64>,
    /// Where parties are told over HTTP, by the record that added it.
    pub endpoints: BTreeMap<u64, Endpoint>,
    /// What keys may spend, by budget.
    pub budgets: BTreeMap<SignerKey, BTreeMap<BudgetKey, Budget>>,
    /// Totals.
    pub channels: BTreeMap<Channel, Held>,
    /// Windows, from number 1.
    pub windows: Vec<Window>,
    /// Batches, and where they stand, and the record that made each last.
    pub batches: BTreeMap<BatchId, (BatchState, Batch, u64)>,
    /// What was asked, by whom where it has ids of its own, by which record it was answered, and
    /// when; but nothing that is forgotten.
    pub requests: BTreeMap<(Option<String>, String), (Digest, u64, i64)>,
    /// Which batch a record computed.
    pub computed: BTreeMap<u64, BatchId>,
    /// The exposure that a limit or deposit gave.
    pub answers: BTreeMap<u64, (PartyId, u32, Exposure)>,
    /// The engine's keys, oldest first, with the records that set them.
    pub keys: Vec<(SignerKey, u64)>,
    /// Which deployment it is.
    pub network: [u8; 32],
    /// The own key of each operator who has one, and every key that one ever had.
    pub own: BTreeMap<String, SignerKey>,
    /// Identities, those that were revoked too.
    pub identities: BTreeMap<String, Known>,
    /// See `own`.
    pub had: BTreeSet<SignerKey>,
    /// Troubles that are open, by number, and how many were ever raised.
    pub troubles: BTreeMap<u64, Told>,
    /// See `troubles`.
    pub raised: u64,
    /// The record since which nothing leaves, where an older copy was restored.
    pub held: Option<u64>,
    /// What takes two, and waits for the second.
    pub eyes: Eyes,
}

impl State {
    /// After the first record.
    fn genesis(at: i64, network: [u8; 32]) -> Self {
        let windows = vec![Window { first_lsn: 2, ..Window::default() }];
        Self { last: (1, at), applied: 1, windows, network, ..Self::default() }
    }

    /// The window that is open.
    #[must_use]
    pub fn open(&self) -> u64 {
        u64::try_from(self.windows.len()).expect("windows are few")
    }

    /// One window.
    #[must_use]
    pub fn window(&self, number: u64) -> Option<&Window> {
        self.windows.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    fn window_mut(&mut self, number: u64) -> &mut Window {
        let place = usize::try_from(number - 1).expect("windows are few");
        &mut self.windows[place]
    }

    /// What a party may owe and owes; nothing where nothing was set.
    #[must_use]
    pub fn exposure(&self, party: PartyId, asset: u32) -> Exposure {
        self.exposures.get(&(party, asset)).copied().unwrap_or_default()
    }

    /// What of a party's deposits can still pay.
    #[must_use]
    pub fn free(&self, party: PartyId, asset: u32) -> u128 {
        let of = |sums: &BTreeMap<_, u128>| sums.get(&(party, asset)).copied().unwrap_or(0);
        of(&self.deposits) - of(&self.pledged)
    }
}

/// What must be, and what must have been.
pub struct Model {
    /// What there is, by number.
    assets: Vec<Asset>,
    lifetime: i64,
    network: [u8; 32],
    /// A state that is durable, and every record after it.
    base: State,
    log: Vec<Logged>,
    /// After all of them.
    pub now: State,
    /// Keys that the verify workers know.
    pub known: BTreeSet<SignerKey>,
    /// Keys that were registered since the last group was handed on.
    registered: Vec<SignerKey>,
}

impl Model {
    /// Before anything.
    #[must_use]
    pub fn new(assets: Vec<Asset>, lifetime: i64, network: NetworkId) -> Self {
        let NetworkId(network) = network;
        let (base, now) = (State::default(), State::default());
        let (known, registered) = (BTreeSet::new(), Vec::new());
        Self { assets, lifetime, network, base, log: Vec::new(), now, known, registered }
    }

    /// The first record was made.
    pub fn genesis(&mut self, at: i64) {
        self.base = State::genesis(at, self.network);
        self.now = self.base.clone();
    }

    /// The timestamp of the next record, if the clock says this: never before the last one.
    #[must_use]
    pub fn time(&self, clock: i64) -> i64 {
        clock.max(self.now.last.1)
    }

    /// A frame takes its place, and the engine says whether it gets a record. Returns the record
    /// (0: none) and the outcomes.
    ///
    /// # Errors
    /// Where a record is missing or needless: whatever is credited needs one, and what no signature
    /// vouches for, or is over by then, never has any. In between the engine knows what is certain.
    pub fn frame(
        &mut self,
        clock: i64,
        vouchers: Vec<Brought>,
        has_record: bool,
    ) -> Result<(u64, Vec<u8>), String> {
        let at = self.time(clock);
        let lsn = if has_record { self.now.last.0 + 1 } else { 0 };
        let (now, lifetime) = (at.div_euclid(1_000_000), self.lifetime);
        let may_count = |(sent, verdict, _): &Brought| {
            let life = i128::from(sent.channel.expires_at) - i128::from(now);
            let lives = life > 0 && life <= i128::from(lifetime);
            *verdict == Verdict::Valid && lives && sent.cumulative > 0
        };
        if has_record && !vouchers.iter().any(may_count) {
            return Err("a frame that certainly changes nothing has a record".into());
        }
        let outcomes = self.now.credit(self.lifetime, lsn, at, &vouchers);
        if !has_record && outcomes.contains(&Outcome::Credited.byte()) {
            return Err("a frame that is credited has no record".into());
        }
        if has_record {
            self.now.last = (lsn, at);
            self.log.push(Logged { lsn, at, op: Op::Frame(vouchers) });
        }
        Ok((lsn, outcomes))
    }

    /// Whether a voucher with a good signature would be credited now, if it is to raise its total
    /// by just `amount`.
    #[must_use]
    pub fn would_pay(&self, clock: i64, sent: &Sent, amount: u64) -> bool {
        let brought = (Verdict::Valid, Some(amount));
        self.now.allowed(self.lifetime, self.time(clock), sent, brought).is_ok()
    }

    /// A frame of questions has a place in the order: what would become of each voucher, came it
    /// alone. Nothing does.
    pub fn asked(&mut self, clock: i64, vouchers: &[Brought]) -> Vec<u8> {
        let at = self.time(clock);
        let one = |(sent, verdict, amount): &Brought| {
            let allowed = self.now.allowed(self.lifetime, at, sent, (*verdict, *amount));
            allowed.map_or_else(|refused| refused, |_| Outcome::Credited).byte()
        };
        vouchers.iter().map(one).collect()
    }

    /// A command takes its place. Returns what must be answered.
    pub fn command(&mut self, clock: i64, command: &Command) -> Decided {
        let at = self.time(clock);
        let lsn = self.now.last.0 + 1;
        let registers = self.now.registers(command);
        let decided = self.now.decide(&self.assets, lsn, at, command);
        // What waits for another has registered nothing.
        let registers = registers.filter(|_| !self.now.eyes.open.contains_key(&lsn));
        if let Decided::Now(lsn) = decided {
            self.log.push(Logged { lsn, at, op: Op::Command(Box::new(command.clone())) });
            self.registered.extend(registers);
        }
        decided
    }

    /// A group was handed on: its keys are known from now on.
    pub fn handed_on(&mut self) {
        self.known.extend(self.registered.drain(..));
    }

    /// The process died, and the next one finds the record `last` at the end.
    pub fn restart(&mut self, last: u64) {
        let mut state = std::mem::take(&mut self.base);
        for Logged { lsn, at, op } in std::mem::take(&mut self.log) {
            if lsn > last {
                break;
            }
            match op {
                Op::Frame(vouchers) => {
                    state.credit(self.lifetime, lsn, at, &vouchers);
                    state.last = (lsn, at);
                }
                Op::Command(command) => {
                    let again = state.decide(&self.assets, lsn, at, &command);
                    assert_eq!(again, Decided::Now(lsn), "the model changed its mind");
                }
            }
        }
        assert_eq!(state.last.0, last, "the model lost a record");
        self.known = state.signers.keys().copied().collect();
        self.registered.clear();
        self.now = state.clone();
        self.base = state;
    }

    /// Whether what these windows owe makes a batch now, wherever the windows stand.
    ///
    /// # Errors
    /// The word of the refusal.
    pub fn computable(&self, windows: &[u64], asset: u32) -> Result<(), &'static str> {
        self.now.compute(&self.assets, windows, asset).map(|_| ())
    }

    /// What is known of a voucher that is checked now.
    #[must_use]
    pub fn verdict(&self, sent: &Sent) -> Verdict {
        if sent.malformed {
            Verdict::Malformed
        } else if !self.known.contains(&sent.channel.signer) {
            Verdict::UnknownKey
        } else if sent.forged {
            Verdict::BadSignature
        } else {
            Verdict::Valid
        }
    }
}
