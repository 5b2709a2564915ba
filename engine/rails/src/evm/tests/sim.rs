//! The decision against a chain that does its worst: lost sends, dropped pools, reorgs, fees that
//! rise, crashes between journal and send, somebody else's transactions with the key, nodes that
//! lag.
//!
//! The chain is a model (a list of blocks and a pool); the decision is the real one. Whatever
//! happens, once the world behaves again every chunk ends, paid once.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tallystick_ledger::limits::EVM_IN_FLIGHT_MAX;

const CHUNKS: u8 = 4;
const BUMP_AFTER: u64 = 3;
/// Blocks above one until it is safe and final; no reorg of the model is deeper than the second.
const SAFE: u64 = 3;
const LAST: u64 = 8;
const RULES: FeeRules = FeeRules { cap: 1 << 100, tip_cap: 1_000 };
const CALM_BASE: u128 = 100;

/// A transaction as the model holds it; without `chunk` it is somebody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flying {
    hash: B256,
    nonce: u64,
    fees: Fees,
    chunk: Option<B256>,
}

#[derive(Debug, Clone)]
struct Included {
    tx: Flying,
    success: bool,
}

/// One chain, and the node that shows it.
struct Chain {
    blocks: Vec<(B256, Vec<Included>)>,
    pool: Vec<Flying>,
    base: u128,
    forks: u64,
    reverted: usize,
}

impl Chain {
    fn new() -> Self {
        let blocks = vec![(B256::ZERO, Vec::new())];
        Self { blocks, pool: Vec::new(), base: CALM_BASE, forks: 0, reverted: 0 }
    }

    fn included(&self, blocks: usize) -> impl Iterator<Item = (usize, &Included)> {
        let blocks = self.blocks[..blocks].iter().enumerate();
        blocks.flat_map(|(height, (_, txs))| txs.iter().map(move |tx| (height, tx)))
    }

    fn used(&self, blocks: usize) -> u64 {
        u64::try_from(self.included(blocks).count()).unwrap()
    }

    /// The view `lag` blocks ago.
    fn view(&self, lag: usize) -> View {
        let blocks = self.blocks.len().saturating_sub(lag).max(1);
        let number = u64::try_from(blocks - 1).unwrap();
        let head = BlockRef { number, hash: self.blocks[blocks - 1].0 };
        let (safe, last) = (number.checked_sub(SAFE), number.checked_sub(LAST));
        View { head, safe, last, used: self.used(blocks) }
    }

    fn paid(&self, matches: impl Fn(&Flying) -> bool) -> Option<Mined> {
        let all = self.blocks.len();
        let mut paid = self.included(all).filter(|(_, tx)| tx.success && matches(&tx.tx));
        let (height, included) = paid.next()?;
        assert!(paid.next().is_none(), "the contract takes an id once");
        let number = u64::try_from(height).unwrap();
        let block = BlockRef { number, hash: self.blocks[height].0 };
        Some(Mined { tx: included.tx.hash, block, items: vec![None] })
    }

    fn send(&mut self, tx: Flying) {
        if tx.nonce < self.used(self.blocks.len()) || self.pool.contains(&tx) {
            return;
        }
        if let Some(other) = self.pool.iter().position(|other| other.nonce == tx.nonce) {
            let enough = |new: u128, old: u128| new * 10 >= old * 11;
            let fees = self.pool[other].fees;
            if !enough(tx.fees.max, fees.max) || !enough(tx.fees.tip, fees.tip) {
                return;
            }
            self.pool.remove(other);
        }
        self.pool.push(tx);
    }

    fn mine(&mut self) {
        let (mut txs, used) = (Vec::new(), self.used(self.blocks.len()));
        for nonce in used.. {
            let base = self.base;
            let fits = |tx: &Flying| tx.nonce == nonce && tx.fees.max >= base + tx.fees.tip.min(1);
            let Some(place) = self.pool.iter().position(fits) else { break };
            let tx = self.pool.remove(place);
            let again = |other: &Flying| tx.chunk.is_some() && other.chunk == tx.chunk;
            let in_block = txs.iter().any(|other: &Included| other.success && again(&other.tx));
            let success = tx.chunk.is_some() && !in_block && self.paid(again).is_none();
            self.reverted += usize::from(tx.chunk.is_some() && !success);
            txs.push(Included { tx, success });
        }
        self.forks += 1;
        let hash = B256::from(U256::from(self.forks));
        self.blocks.push((hash, txs));
        let used = self.used(self.blocks.len());
        self.pool.retain(|tx| tx.nonce >= used);
    }

    /// Leaves the newest blocks for one more other ones; what they held goes back to the pool or is
    /// forgotten.
    fn reorg(&mut self, depth: usize, forget: bool) {
        let depth = depth.min(usize::try_from(LAST).unwrap() - 1).min(self.blocks.len() - 1);
        let left = self.blocks.split_off(self.blocks.len() - depth);
        let back: Vec<_> = left.into_iter().flat_map(|(_, txs)| txs).collect();
        if !forget {
            back.into_iter().for_each(|included| self.send(included.tx));
        }
        let pool = std::mem::take(&mut self.pool);
        (0..depth + usize::from(depth > 0)).for_each(|_| self.mine());
        self.pool = pool;
    }
}

/// What the journal holds of a chunk, and what the engine remembers of it.
struct Held {
    chunk: Chunk,
    book: Vec<SignedTx>,
    state: ChunkState,
    done: bool,
}

struct Engine {
    held: Vec<Held>,
    nonces: Nonces,
    signer: Signer,
    gone: usize,
}

impl Engine {
    fn new() -> Self {
        let held = (1..=CHUNKS).map(|id| Held {
            chunk: loose_chunk(id, 1),
            book: Vec::new(),
            state: ChunkState::New,
            done: false,
        });
        Self { held: held.collect(), nonces: Nonces::default(), signer: signer(1), gone: 0 }
    }

    /// All that is not journaled is lost: states and nonces follow from the signed bytes.
    fn restart(&mut self) {
        let mut nonces = Nonces::default();
        for held in &mut self.held {
            if held.done {
                continue; // that it ended is journaled too
            }
            held.state = ChunkState::New;
            for tx in &mut held.book {
                *tx = SignedTx::read(tx.raw().to_vec(), tx.at_block()).unwrap();
                nonces.signed(tx.terms().nonce);
            }
        }
        self.nonces = nonces;
    }

    /// One round over all chunks. `lost` says which sends (counted in this round) never arrive.
    fn round(&mut self, chain: &mut Chain, lag: usize, lost: u8) {
        let view = chain.view(lag);
        let mut sends = 0;
        for place in 0..self.held.len() {
            let held = &self.held[place];
            if held.done {
                continue;
            }
            let seen = seen(chain, &view, held);
            let (state, next) =
                judge(&held.state, &held.book, &self.nonces, &view, &seen, BUMP_AFTER);
            self.gone += usize::from(matches!(state, ChunkState::Gone { .. }));
            self.held[place].state = state;
            let send = match next {
                Next::Wait => None,
                Next::Send(tx) => Some(tx),
                Next::Sign { why, or_send } => self.sign(chain, &view, place, why).or(or_send),
                Next::GiveUp => panic!("signed {} times", self.held[place].book.len()),
                Next::Done => {
                    self.end(place);
                    None
                }
            };
            if let Some(tx) = send {
                let held = &self.held[place];
                if (lost >> (sends % 8)) & 1 == 0 {
                    chain.send(flying(&held.book[tx], held.chunk.id));
                }
                sends += 1;
            }
        }
    }

    /// Signs and journals as the desk does; the place in the book of what is to be sent.
    fn sign(&mut self, chain: &Chain, view: &View, place: usize, why: Why) -> Option<usize> {
        let held = &self.held[place];
        let market = Market { base: chain.base, tip: 2 };
        let (nonce, fees) = match why {
            Why::Bump(tx) => {
                let old = held.book[tx].terms();
                (old.nonce, RULES.bump(old.fees, &market))
            }
            Why::First | Why::Again | Why::Hole => {
                let again = |tx: &Flying| tx.chunk == Some(held.chunk.id);
                if chain.paid(again).is_some() {
                    return None; // the contract would say so to the call before
                }
                (self.nonces.next(view.used), RULES.quote(&market))
            }
        };
        let (contract, gas) = (Address::repeat_byte(7), held.chunk.gas());
        let terms = Terms { chain_id: 1, contract, nonce, fees: fees.ok()?, gas };
        let tx = sign(&self.signer, &held.chunk, &terms, view.head.number);
        self.nonces.signed(nonce);
        assert!(self.nonces.waiting(view.used) <= EVM_IN_FLIGHT_MAX + usize::from(CHUNKS));
        let skipped = (view.used..nonce).find(|before| self.nonces.next(*before) == *before);
        assert_eq!(skipped, None, "nothing is signed for a nonce below {nonce}");
        let book = &mut self.held[place].book;
        book.push(tx);
        Some(book.len() - 1)
    }

    fn end(&mut self, place: usize) {
        let held = &mut self.held[place];
        held.done = true;
        let ChunkState::Final(mined) = &held.state else { panic!("done and not final") };
        let signed = || held.book.iter().map(|tx| tx.terms().nonce);
        let paid_by = held.book.iter().find(|tx| tx.hash() == mined.tx);
        self.nonces.ended(paid_by.map(|tx| tx.terms().nonce), signed());
    }

    fn all_done(&self) -> bool {
        self.held.iter().all(|held| held.done)
    }
}

/// What the desk would find of a chunk.
fn seen(chain: &Chain, view: &View, held: &Held) -> Seen {
    let used = held.book.iter().rev().filter(|tx| tx.terms().nonce < view.used);
    let ours = used.map(|tx| chain.paid(|other| other.hash == tx.hash())).find_map(|paid| paid);
    if let Some(mined) = ours {
        return Seen { paid: Some(mined), ..Seen::default() };
    }
    if let Some(place) = in_line(&held.book, view.used) {
        let hash = held.book[place].hash();
        let pooled = chain.pool.iter().any(|tx| tx.hash == hash);
        let mined = chain.included(chain.blocks.len()).any(|(_, tx)| tx.tx.hash == hash);
        return Seen { held: pooled || mined, ..Seen::default() };
    }
    let paid = chain.paid(|tx| tx.chunk == Some(held.chunk.id));
    let safe_blocks = |height: u64| usize::try_from(height).unwrap() + 1;
    let used_safe = view.safe.map(|height| chain.used(safe_blocks(height)));
    Seen { paid, held: false, used_safe }
}

fn flying(tx: &SignedTx, chunk: B256) -> Flying {
    let Terms { nonce, fees, .. } = *tx.terms();
    Flying { hash: tx.hash(), nonce, fees, chunk: Some(chunk) }
}

/// What happens next.
#[derive(Debug, Clone)]
enum Event {
    Round {
        lag: usize,
        lost: u8,
    },
    Mine,
    Reorg {
        depth: usize,
        forget: bool,
    },
    DropPool,
    Base(u128),
    Restart,
    /// Somebody else signs with the key, for the next nonce.
    Foreign,
}

fn events(foreign: bool) -> impl Strategy<Value = Vec<Event>> {
    let rare = u32::from(foreign);
    let event = prop_oneof![
        8 => (0usize..1 + 3 * usize::from(foreign), any::<u8>())
            .prop_map(|(lag, lost)| Event::Round { lag, lost }),
        8 => Just(Event::Mine),
        3 => (1usize..8, any::<bool>()).prop_map(|(depth, forget)| Event::Reorg { depth, forget }),
        1 => Just(Event::DropPool),
        2 => (1u128..5_000).prop_map(Event::Base),
        2 => Just(Event::Restart),
        rare => Just(Event::Foreign),
    ];
    proptest::collection::vec(event, 0..60)
}

fn happen(event: &Event, chain: &mut Chain, engine: &mut Engine, foreign: &mut u64) {
    match *event {
        Event::Round { lag, lost } => engine.round(chain, lag, lost),
        Event::Mine => chain.mine(),
        Event::Reorg { depth, forget } => chain.reorg(depth, forget),
        Event::DropPool => chain.pool.clear(),
        Event::Base(base) => chain.base = base,
        Event::Restart => engine.restart(),
        Event::Foreign => {
            *foreign += 1;
            let hash = B256::from(U256::MAX - U256::from(*foreign));
            let fees = Fees { tip: 1 << 20, max: 1 << 90 };
            let nonce = chain.used(chain.blocks.len());
            chain.send(Flying { hash, nonce, fees, chunk: None });
        }
    }
}

/// Lets the world behave; panics if the engine does not end.
fn calm(chain: &mut Chain, engine: &mut Engine) {
    chain.base = CALM_BASE;
    for _ in 0..400 {
        if engine.all_done() {
            return;
        }
        engine.round(chain, 0, 0);
        chain.mine();
    }
    panic!("the chunks do not end: {:?}", engine.held.iter().map(|h| &h.state).collect::<Vec<_>>());
}

/// Every chunk is paid once, by what the engine says paid it.
fn assert_paid_once(chain: &Chain, engine: &Engine) {
    let mut paid: BTreeMap<B256, usize> = BTreeMap::new();
    for (_, included) in chain.included(chain.blocks.len()).filter(|(_, tx)| tx.success) {
        *paid.entry(included.tx.chunk.unwrap()).or_default() += 1;
    }
    assert_eq!(paid.len(), usize::from(CHUNKS));
    assert!(paid.values().all(|times| *times == 1), "{paid:?}");
    for held in &engine.held {
        let ChunkState::Final(mined) = &held.state else { panic!("{:?}", held.state) };
        let found = chain.paid(|tx| tx.chunk == Some(held.chunk.id));
        assert_eq!(found.as_ref(), Some(mined));
    }
}

#[test]
fn a_calm_world_needs_one_transaction_a_chunk() {
    let (mut chain, mut engine) = (Chain::new(), Engine::new());
    calm(&mut chain, &mut engine);
    assert_paid_once(&chain, &engine);
    assert!(engine.held.iter().all(|held| held.book.len() == 1));
    assert_eq!((chain.reverted, engine.gone), (0, 0));
}

#[test]
fn a_reorg_sends_the_same_bytes_again_and_pays_once() {
    let (mut chain, mut engine) = (Chain::new(), Engine::new());
    engine.round(&mut chain, 0, 0);
    chain.mine();
    engine.round(&mut chain, 0, 0);
    let mined = |engine: &Engine| {
        engine.held.iter().filter(|held| matches!(held.state, ChunkState::Mined(_))).count()
    };
    assert_eq!(mined(&engine), usize::from(CHUNKS));
    let before: Vec<_> = engine.held.iter().map(|held| held.book.clone()).collect();
    chain.reorg(1, true);
    assert_eq!(chain.used(chain.blocks.len()), 0);
    engine.round(&mut chain, 0, 0);
    assert_eq!(engine.gone, usize::from(CHUNKS));
    chain.mine();
    engine.round(&mut chain, 0, 0);
    assert_eq!(mined(&engine), usize::from(CHUNKS));
    let after: Vec<_> = engine.held.iter().map(|held| held.book.clone()).collect();
    assert_eq!(after, before, "nothing was signed for it");
    calm(&mut chain, &mut engine);
    assert_paid_once(&chain, &engine);
    assert_eq!(chain.reverted, 0);
}

#[test]
fn a_base_fee_that_rises_raises_the_fee_of_the_first_in_line() {
    let (mut chain, mut engine) = (Chain::new(), Engine::new());
    engine.round(&mut chain, 0, 0);
    chain.base = 100_000;
    for _ in 0..BUMP_AFTER {
        chain.mine();
    }
    engine.round(&mut chain, 0, 0);
    let signed: Vec<_> = engine.held.iter().map(|held| held.book.len()).collect();
    assert_eq!(signed, [2, 1, 1, 1], "those behind wait for the first");
    let book = &engine.held[0].book;
    assert_eq!(book[0].terms().nonce, book[1].terms().nonce);
    assert!(book[1].terms().fees.max >= 200_000);
    chain.mine();
    assert_eq!(chain.used(chain.blocks.len()), 1);
    calm(&mut chain, &mut engine);
    assert_paid_once(&chain, &engine);
}

#[test]
fn a_nonce_that_somebody_else_used_is_replaced_under_the_same_id() {
    let (mut chain, mut engine) = (Chain::new(), Engine::new());
    let mut foreign = 0;
    happen(&Event::Foreign, &mut chain, &mut engine, &mut foreign);
    engine.round(&mut chain, 0, 0xff);
    chain.mine();
    engine.round(&mut chain, 0, 0);
    assert_eq!(engine.held[0].state, ChunkState::Void);
    assert_eq!(engine.held[0].book.len(), 1, "the other one may still be left");
    calm(&mut chain, &mut engine);
    assert_eq!(engine.held[0].book.len(), 2);
    assert_paid_once(&chain, &engine);
}

proptest! {
    /// Without others signing with the key not even gas is lost: no transaction of ours ever
    /// reverts.
    #[test]
    fn whatever_happens_every_chunk_is_paid_once(events in events(false)) {
        let (mut chain, mut engine, mut foreign) = (Chain::new(), Engine::new(), 0);
        for event in &events {
            happen(event, &mut chain, &mut engine, &mut foreign);
        }
        calm(&mut chain, &mut engine);
        assert_paid_once(&chain, &engine);
        prop_assert_eq!(chain.reverted, 0);
        for held in &engine.held {
            let nonces = held.book.iter().map(|tx| tx.terms().nonce);
            let nonces: std::collections::BTreeSet<_> = nonces.collect();
            prop_assert_eq!(nonces.len(), 1, "a chunk keeps its nonce");
        }
    }

    #[test]
    fn even_with_others_signing_and_nodes_that_lag_every_chunk_is_paid_once(
        events in events(true),
    ) {
        let (mut chain, mut engine, mut foreign) = (Chain::new(), Engine::new(), 0);
        for event in &events {
            happen(event, &mut chain, &mut engine, &mut foreign);
        }
        calm(&mut chain, &mut engine);
        assert_paid_once(&chain, &engine);
    }
}
