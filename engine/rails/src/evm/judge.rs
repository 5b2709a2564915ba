//! What a chunk's transactions have come to, and the one thing to do next.
//!
//! Owns the decision; pure. The state is what the chain shows now, not what was once seen: a block
//! can be left again. Nothing that this decides can pay twice, whatever a node claims: every
//! transaction for a chunk carries the chunk's id, and the contract takes an id once. A wrong
//! decision costs gas.

use super::abi::Items;
use super::node::BlockRef;
use super::nonces::Nonces;
use super::tx::SignedTx;
use alloy_primitives::B256;
use tallystick_ledger::limits::{EVM_IN_FLIGHT_MAX, EVM_SIGNED_MAX};

/// The transaction that paid a chunk, and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mined {
    /// Its hash: the chunk's reference on the chain.
    pub tx: B256,
    /// The block that holds it.
    pub block: BlockRef,
    /// What became of each item.
    pub items: Items,
}

/// Where a chunk stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ChunkState {
    /// Nothing is signed yet.
    #[default]
    New,
    /// Signed and journaled; no node is known to hold it.
    Signed,
    /// A node holds it unmined.
    Sent,
    /// It is paid in the newest blocks, which the chain may still leave.
    Mined(Mined),
    /// It is paid in a block that the chain calls safe.
    Safe(Mined),
    /// It is paid for good.
    Final(Mined),
    /// It was paid in a block that the chain has left: it is sent again, and waits to be mined
    /// again.
    Gone {
        /// The newest block when that was noticed.
        since: u64,
    },
    /// Its transaction was mined and had no effect (or another one took its nonce): it needs a new
    /// one under the same id.
    Void,
}

/// The chain and the key at one moment, the same for all chunks of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The newest block.
    pub head: BlockRef,
    /// Up to which height blocks are safe; unknown on a young chain.
    pub safe: Option<u64>,
    /// Up to which height blocks are final.
    pub last: Option<u64>,
    /// How many nonces of the key the chain has used.
    pub used: u64,
}

/// What was found of one chunk. Asked after the view, so that it is never older.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The transaction that paid it, in a block of the chain: one of ours, or one that the contract
    /// remembers.
    pub paid: Option<Mined>,
    /// Whether the node holds the transaction that is next in line (see `in_line`).
    pub held: bool,
    /// How many nonces are used in the newest safe block; asked only if all of the chunk's are used
    /// and it is not paid.
    pub used_safe: Option<u64>,
}

/// Why a transaction is to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The chunk has none.
    First,
    /// The one at this place of the book waits too long: the same nonce, a higher fee.
    Bump(usize),
    /// All that it has are used up without paying it: a new nonce, the same id.
    Again,
    /// A nonce before the chunk's has nothing to be mined: the same id under that nonce.
    Hole,
}

/// The one thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Look again later.
    Wait,
    /// Send the transaction at this place of the book again, the same bytes.
    Send(usize),
    /// Sign, journal, then send. If the fee's cap forbids it, a transaction at `or_send` is sent
    /// again.
    Sign {
        /// What for.
        why: Why,
        /// What to send if the fee cannot be raised.
        or_send: Option<usize>,
    },
    /// A person must look: it was signed so often that once more does not help.
    GiveUp,
    /// It is paid for good.
    Done,
}

/// Which signed transaction of a chunk is next to be mined, when `used` nonces are: the newest
/// version of the lowest nonce that is free. The book is in the order of signing.
#[must_use]
pub fn in_line(book: &[SignedTx], used: u64) -> Option<usize> {
    let nonce = book.iter().map(|tx| tx.terms().nonce).filter(|nonce| *nonce >= used).min()?;
    book.iter().rposition(|tx| tx.terms().nonce == nonce)
}

/// Decides. `was` is the state at the last look, `bump_after` how many blocks a transaction may
/// wait.
#[must_use]
pub fn judge(
    was: &ChunkState,
    book: &[SignedTx],
    nonces: &Nonces,
    view: &View,
    seen: &Seen,
    bump_after: u64,
) -> (ChunkState, Next) {
    if let Some(mined) = &seen.paid {
        return paid(mined.clone(), view);
    }
    let state = unpaid_state(was, book, view, seen);
    let Some(newest) = in_line(book, view.used) else {
        return (state, without_alive(book, nonces, view, seen));
    };
    let tx = &book[newest];
    let send = (!seen.held).then_some(newest);
    let more = |why| match book.len() < EVM_SIGNED_MAX {
        true => Next::Sign { why, or_send: send },
        false => send.map_or(Next::GiveUp, Next::Send),
    };
    let free = nonces.next(view.used);
    let next = if free < tx.terms().nonce {
        more(Why::Hole)
    } else if tx.terms().nonce == view.used && waited(tx, &state, view) >= bump_after {
        // Only the next to be mined: those behind it wait for it, not for a better fee.
        more(Why::Bump(newest))
    } else {
        send.map_or(Next::Wait, Next::Send)
    };
    (state, next)
}

/// How many blocks could have held the transaction and did not.
fn waited(tx: &SignedTx, state: &ChunkState, view: &View) -> u64 {
    let since = match state {
        ChunkState::Gone { since } => tx.at_block().max(*since),
        ChunkState::New
        | ChunkState::Signed
        | ChunkState::Sent
        | ChunkState::Mined(_)
        | ChunkState::Safe(_)
        | ChunkState::Final(_)
        | ChunkState::Void => tx.at_block(),
    };
    view.head.number.saturating_sub(since)
}

fn paid(mined: Mined, view: &View) -> (ChunkState, Next) {
    let within = |height: Option<u64>| height.is_some_and(|height| mined.block.number <= height);
    if within(view.last) {
        (ChunkState::Final(mined), Next::Done)
    } else if within(view.safe) {
        (ChunkState::Safe(mined), Next::Wait)
    } else {
        (ChunkState::Mined(mined), Next::Wait)
    }
}

fn unpaid_state(was: &ChunkState, book: &[SignedTx], view: &View, seen: &Seen) -> ChunkState {
    let alive = in_line(book, view.used).is_some();
    match was {
        ChunkState::Mined(_) | ChunkState::Safe(_) | ChunkState::Final(_) => {
            ChunkState::Gone { since: view.head.number }
        }
        ChunkState::Gone { since } if alive => ChunkState::Gone { since: *since },
        ChunkState::New
        | ChunkState::Signed
        | ChunkState::Sent
        | ChunkState::Gone { .. }
        | ChunkState::Void => match (book.is_empty(), alive, seen.held) {
            (true, _, _) => ChunkState::New,
            (false, false, _) => ChunkState::Void,
            (false, true, true) => ChunkState::Sent,
            (false, true, false) => ChunkState::Signed,
        },
    }
}

/// No signed transaction of the chunk can be mined any more, or there is none.
fn without_alive(book: &[SignedTx], nonces: &Nonces, view: &View, seen: &Seen) -> Next {
    let room = nonces.waiting(view.used) < EVM_IN_FLIGHT_MAX;
    let highest = book.iter().map(|tx| tx.terms().nonce).max();
    let (why, settled) = match highest {
        None => (Why::First, true),
        // What used the nonce must be safe: while it may still be left, ours may still be mined.
        Some(nonce) => (Why::Again, seen.used_safe.is_some_and(|used| used > nonce)),
    };
    if book.len() >= EVM_SIGNED_MAX {
        Next::GiveUp
    } else if settled && room {
        Next::Sign { why, or_send: None }
    } else {
        Next::Wait
    }
}
