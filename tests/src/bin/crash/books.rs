//! This program's own books: what it sent, what it was told, and what was found wrong.
//!
//! Owns the rules of what may follow from what; never asks the engine anything.

use crate::pool::Pool;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_tests::wire::{Batch, BatchState, Window};

/// What is wrong, by kind.
#[derive(Debug, Default)]
pub struct Found {
    /// Acked and not there any more.
    pub lost: u64,
    /// There and never sent, or counted twice.
    pub doubled: u64,
    /// Not the same as before.
    pub changed: u64,
    /// Anything else: an engine that does not start, an answer that should not be.
    pub failures: u64,
    /// In words.
    pub texts: Vec<String>,
}

impl Found {
    pub fn lost(&mut self, text: String) {
        self.lost += 1;
        self.texts.push(format!("lost: {text}"));
    }

    pub fn doubled(&mut self, text: String) {
        self.doubled += 1;
        self.texts.push(format!("doubled: {text}"));
    }

    pub fn changed(&mut self, text: String) {
        self.changed += 1;
        self.texts.push(format!("changed: {text}"));
    }

    pub fn failure(&mut self, text: String) {
        self.failures += 1;
        self.texts.push(format!("failure: {text}"));
    }

    pub fn any(&self) -> bool {
        !self.texts.is_empty()
    }
}

/// One channel's vouchers are told apart by their place in the pool; counts are one more than
/// places.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sent {
    /// Vouchers before this one were sent.
    pub sent: usize,
    /// The one before this was acked.
    pub acked: usize,
    /// The next one to send.
    pub next: usize,
}

/// Something that an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Close,
    Batch { window: u64, asset: u32 },
    Approve { batch: Vec<u8> },
    Abort { batch: Vec<u8> },
    Deposit { payer: usize, asset: u32, amount: u128 },
    Limit { payer: usize, asset: u32, limit: u128 },
    Party { number: u64 },
    Signer { number: u64 },
    Revoke { number: u64 },
}

/// A window that was closed, as it was told, and a digest of its lists.
#[derive(Debug, Clone)]
pub struct Closed {
    pub window: Window,
    pub lists: Option<[u8; 32]>,
}

/// A batch as it was told, and a digest of its legs and files.
#[derive(Debug, Clone)]
pub struct Made {
    pub batch: Batch,
    pub files: Option<[u8; 32]>,
}

/// The books of one directory.
#[derive(Debug, Default)]
pub struct Books {
    pub channels: Vec<Sent>,
    /// Calls that were sent and not answered.
    pub pending: BTreeMap<String, Op>,
    pub windows: BTreeMap<u64, Closed>,
    pub batches: BTreeMap<Vec<u8>, Made>,
    /// Windows and assets that no live batch settles and that hold something.
    pub free: BTreeSet<(u64, u32)>,
    pub prefund: BTreeMap<(usize, u32), u128>,
    pub limit: BTreeMap<(usize, u32), u128>,
    pub parties: BTreeSet<u64>,
    /// Owed in all closed windows whose lists were read: payer, payee, asset.
    pub owed: BTreeMap<(Vec<u8>, Vec<u8>, u32), u128>,
    /// Last number of a party that was made on the way.
    pub last_party: u64,
    pub acked_vouchers: u64,
    pub acked_calls: u64,
    pub found: Found,
}

/// What an answered call said.
#[derive(Debug, Clone)]
pub enum Told {
    Window(Box<Window>),
    Batch(Box<Batch>),
    Nothing,
    /// Refused for good, as the rules allow.
    Refused,
}

impl Books {
    pub fn new(pool: &Pool) -> Self {
        Self { channels: vec![Sent::default(); pool.channels.len()], ..Self::default() }
    }

    /// Takes down the answer to a call that was pending.
    pub fn told(&mut self, id: &str, told: Told) {
        let Some(op) = self.pending.remove(id) else { return };
        self.acked_calls += 1;
        match (op, told) {
            (Op::Close, Told::Window(window)) => self.window(*window),
            (Op::Batch { .. }, Told::Batch(batch)) => {
                for window in &batch.windows {
                    self.free.remove(&(*window, batch.asset));
                }
                self.made(*batch, BatchState::Computed);
            }
            (Op::Batch { window, asset }, Told::Refused) => {
                self.free.remove(&(window, asset));
            }
            (Op::Approve { .. }, Told::Batch(batch)) => {
                self.made(approved(*batch), BatchState::Approved);
            }
            (Op::Abort { .. }, Told::Batch(batch)) => {
                self.free.extend(batch.windows.iter().map(|window| (*window, batch.asset)));
                self.made(*batch, BatchState::Aborted);
            }
            (Op::Deposit { payer, asset, amount }, Told::Nothing) => {
                *self.prefund.entry((payer, asset)).or_default() += amount;
            }
            (Op::Limit { payer, asset, limit }, Told::Nothing) => {
                self.limit.insert((payer, asset), limit);
            }
            (Op::Party { number }, Told::Nothing) => {
                self.parties.insert(number);
            }
            (Op::Signer { .. } | Op::Revoke { .. }, Told::Nothing) => {}
            (op, told) => self.found.failure(format!("{op:?} was answered with {told:?}")),
        }
    }

    /// A window that is closed now, or was known to be.
    fn window(&mut self, window: Window) {
        let number = window.number;
        if let Some(known) = self.windows.get(&number) {
            if !same_window(&known.window, &window) {
                self.found.changed(format!("window {:?} is now {window:?}", known.window));
            }
            return;
        }
        for totals in window.totals.iter().filter(|totals| totals.net_pairs > 0) {
            self.free.insert((number, totals.asset));
        }
        self.windows.insert(number, Closed { window, lists: None });
    }

    /// A batch that has come to `state`.
    fn made(&mut self, batch: Batch, state: BatchState) {
        if batch.state() != state {
            self.found.failure(format!("a batch came to {state:?} and says {batch:?}"));
        }
        let known = self.batches.entry(batch.batch_id.to_vec());
        let known = known.or_insert_with(|| Made { batch: batch.clone(), files: None });
        if !same_batch(&known.batch, &batch) {
            self.found.changed(format!("batch {:?} is now {batch:?}", known.batch));
        }
        known.batch.state = batch.state;
    }

    /// Whether a batch in the asset was approved, or may have been.
    pub fn may_have_settled(&self, asset: u32) -> bool {
        let approved = |made: &Made| made.batch.state() == BatchState::Approved;
        let mut own = self.batches.values().filter(|made| made.batch.asset == asset);
        own.any(approved) || self.pending.values().any(|op| matches!(op, Op::Approve { .. }))
    }

    /// Whether a call is pending that would bring the batch to the state that it says.
    pub fn may_be(&self, known: &Batch, state: BatchState) -> bool {
        let state = if has_left(state) { BatchState::Approved } else { state };
        let pending = |wanted: &Op| self.pending.values().any(|op| op == wanted);
        let batch = known.batch_id.to_vec();
        // The same windows, batched again after an abort, are the same batch.
        let again = |&window: &u64| pending(&Op::Batch { window, asset: known.asset });
        state == known.state()
            || state == BatchState::Computed && known.windows.iter().any(again)
            || state == BatchState::Approved && pending(&Op::Approve { batch: batch.clone() })
            || state == BatchState::Aborted && pending(&Op::Abort { batch })
    }
}

/// Equal but for the state.
pub fn same_window(a: &Window, b: &Window) -> bool {
    *a == Window { state: a.state, ..b.clone() }
}

/// Equal in what never changes of a batch. The answer to a call says no more of it; and one that is
/// computed again after an abort is the same batch, at another time.
pub fn same_batch(a: &Batch, b: &Batch) -> bool {
    let content = |batch: &Batch| Batch {
        state: 0,
        approved_by: String::new(),
        approved_at_us: 0,
        approved_key: Vec::new().into(),
        computed_at_us: 0,
        computed_lsn: 0,
        aborted_by: String::new(),
        abort_reason: String::new(),
        ended_at_us: 0,
        legs_by_state: Vec::new(),
        owed_again: String::new(),
        ..batch.clone()
    };
    content(a) == content(b)
}

/// Whether an approved batch may say this: its legs leave by themselves, and nobody answers here.
fn has_left(state: BatchState) -> bool {
    matches!(state, BatchState::Submitting | BatchState::Settled)
}

/// An approved batch, whether or not its first legs have left.
fn approved(mut batch: Batch) -> Batch {
    if has_left(batch.state()) {
        batch.set_state(BatchState::Approved);
    }
    batch
}
