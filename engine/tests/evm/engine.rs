//! The engine's part: rounds, and a journal that holds signed bytes before they are sent.

use std::collections::BTreeMap;
use tallystick::ledger::OpenBatch;
use tallystick::rails::evm::{
    Act, Blocked, Chunk, ChunkState, Desk, Look, Nonces, RpcFailure, SendWord, SignedTx, View,
    chunk, ranges, reports,
};
use tallystick::rails::{LegReport, LegWord};

/// What the journal holds of one signed transaction.
#[derive(Clone)]
pub struct Journaled {
    pub chunk: u32,
    pub at_block: u64,
    pub raw: Vec<u8>,
}

/// Rounds until something must have happened.
pub const ROUNDS_MAX: usize = 60;

pub struct Engine<'a> {
    pub desk: Desk,
    pub batch: &'a OpenBatch,
    pub journal: Vec<Journaled>,
    pub held: Vec<Held>,
    pub nonces: Nonces,
    /// What the node said to each send.
    pub words: Vec<Result<SendWord, RpcFailure>>,
    /// Whether each send reaches the node; used up from the front, then true.
    pub lose_before_send: bool,
}

pub struct Held {
    pub chunk: Chunk,
    pub book: Vec<SignedTx>,
    pub state: ChunkState,
    pub done: bool,
    pub blocked: Option<Blocked>,
}

impl<'a> Engine<'a> {
    /// As after a start: all that is known is the journal.
    pub fn start(desk: Desk, batch: &'a OpenBatch, journal: Vec<Journaled>) -> Self {
        let numbers = 0..u32::try_from(ranges(batch).len()).expect("few chunks");
        let mut nonces = Nonces::default();
        let held = numbers.map(|number| {
            let chunk = chunk(batch, number).expect("a chunk");
            let ours = journal.iter().filter(|entry| entry.chunk == number);
            let read = |entry: &Journaled| {
                let tx = desk.read_back(&chunk, entry.raw.clone(), entry.at_block);
                tx.expect("the journal's own bytes")
            };
            let book: Vec<_> = ours.map(read).collect();
            book.iter().for_each(|tx| nonces.signed(tx.terms().nonce));
            Held { chunk, book, state: ChunkState::New, done: false, blocked: None }
        });
        let held = held.collect();
        let words = Vec::new();
        Self { desk, batch, journal, held, nonces, words, lose_before_send: false }
    }

    pub fn look(&self, view: &View, place: usize) -> Result<Look, RpcFailure> {
        let Held { chunk, book, state, .. } = &self.held[place];
        self.desk.look(view, chunk, book, &self.nonces, state)
    }

    /// One look at one chunk, and what follows from it.
    pub fn step(&mut self, view: &View, place: usize) -> Result<(), RpcFailure> {
        let Look { state, act } = self.look(view, place)?;
        self.held[place].state = state;
        self.held[place].blocked = None;
        let send = match act {
            Act::Wait => None,
            Act::Send(tx) => Some(tx),
            Act::Sign(plan) => {
                let tx = self.desk.sign(view, &self.held[place].chunk, &plan);
                let (at_block, raw) = (tx.at_block(), tx.raw().to_vec());
                self.journal.push(Journaled {
                    chunk: self.held[place].chunk.number,
                    at_block,
                    raw,
                });
                self.nonces.signed(plan.terms.nonce);
                self.held[place].book.push(tx);
                Some(self.held[place].book.len() - 1)
            }
            Act::Blocked(blocked) => {
                self.held[place].blocked = Some(blocked);
                None
            }
            Act::Done => {
                self.end(place);
                None
            }
        };
        if let Some(tx) = send.filter(|_| !self.lose_before_send) {
            let word = self.desk.send(&self.held[place].book[tx]);
            self.words.push(word);
        }
        Ok(())
    }

    fn end(&mut self, place: usize) {
        let Held { book, state, done, .. } = &mut self.held[place];
        let ChunkState::Final(mined) = state else { panic!("done and not final") };
        let paid_by = book.iter().find(|tx| tx.hash() == mined.tx).map(|tx| tx.terms().nonce);
        self.nonces.ended(paid_by, book.iter().map(|tx| tx.terms().nonce));
        *done = true;
    }

    pub fn round(&mut self) -> Result<(), RpcFailure> {
        let view = self.desk.view()?;
        for place in 0..self.held.len() {
            if !self.held[place].done {
                self.step(&view, place)?;
            }
        }
        Ok(())
    }

    /// Rounds, with a block between them, until every chunk is paid for good.
    pub fn finish(&mut self, mine: impl Fn()) {
        for _ in 0..ROUNDS_MAX {
            if self.held.iter().all(|held| held.done) {
                return;
            }
            self.round().expect("the node answers");
            mine();
        }
        let states: Vec<_> = self.held.iter().map(|held| (&held.state, &held.blocked)).collect();
        panic!("not ended: {states:?}");
    }

    /// What the legs have come to.
    pub fn reports(&self) -> Vec<LegReport> {
        let held = self.held.iter();
        held.flat_map(|held| reports(self.batch, &held.chunk, &held.state)).collect()
    }

    /// How many legs have each word.
    pub fn counts(&self) -> BTreeMap<LegWord, usize> {
        let mut counts = BTreeMap::new();
        for report in self.reports() {
            *counts.entry(report.word).or_default() += 1;
        }
        counts
    }

    pub fn states(&self) -> Vec<&ChunkState> {
        self.held.iter().map(|held| &held.state).collect()
    }

    pub fn signed(&self) -> Vec<usize> {
        self.held.iter().map(|held| held.book.len()).collect()
    }
}
