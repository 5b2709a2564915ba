//! A chunk of pay-outs as the settler holds it while the chain has not made up its mind.

use super::line::Task;
use crate::rails::Part;
use crate::rails::evm::{Chunk, ChunkState, SignedTx};
use std::sync::Arc;

/// A chunk that has not ended.
pub(super) struct Watched {
    pub part: Part,
    pub chunk: Arc<Chunk>,
    pub book: Vec<SignedTx>,
    /// As its legs were told.
    pub state: ChunkState,
}

impl Watched {
    /// What the line is to look at.
    pub fn task(&self, number: u32) -> Task {
        let (chunk, book) = (self.chunk.clone(), self.book.clone());
        Task { number, chunk, book, was: self.state.clone() }
    }

    /// The nonce of the transaction that paid it, if it is one of ours.
    pub fn paid_by(&self) -> Option<u64> {
        match &self.state {
            ChunkState::Final(mined) => {
                let paid = self.book.iter().find(|tx| tx.hash() == mined.tx);
                paid.map(|tx| tx.terms().nonce)
            }
            ChunkState::New
            | ChunkState::Signed
            | ChunkState::Sent
            | ChunkState::Mined(_)
            | ChunkState::Safe(_)
            | ChunkState::Gone { .. }
            | ChunkState::Void => None,
        }
    }
}
