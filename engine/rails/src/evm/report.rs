//! What a chunk's state says of its legs.
//!
//! Owns the translation. Says that a leg failed only when that is final: before, a reorg can run
//! the transaction again, and it may then pay what failed at first.

use super::chunk::Chunk;
use super::judge::{ChunkState, Mined};
use crate::{LegReport, LegWord};
use tallystick_ledger::OpenBatch;
use tallystick_ledger::limits::TEXT_BYTES_MAX;

/// One report for each leg of the chunk: none before it is mined.
#[must_use]
pub fn reports(content: &OpenBatch, chunk: &Chunk, state: &ChunkState) -> Vec<LegReport> {
    let (mined, last) = match state {
        ChunkState::Mined(mined) | ChunkState::Safe(mined) => (mined, false),
        ChunkState::Final(mined) => (mined, true),
        ChunkState::New
        | ChunkState::Signed
        | ChunkState::Sent
        | ChunkState::Gone { .. }
        | ChunkState::Void => return Vec::new(),
    };
    let Mined { tx, items, .. } = mined;
    assert_eq!(items.len(), chunk.legs.len(), "a chunk's results are those of its legs");
    let legs = content.legs[chunk.legs.clone()].iter().zip(items);
    let report = |(leg, failed): (&tallystick_ledger::Leg, &Option<String>)| {
        let (word, amount) = match (last, failed) {
            (false, _) => (LegWord::Accepted, None),
            (true, None) => (LegWord::Confirmed, Some(leg.payment.amount)),
            (true, Some(_)) => (LegWord::Rejected, None),
        };
        LegReport {
            key: leg.key.clone(),
            word,
            reference: tx.to_string(),
            reason: failed.as_deref().map_or_else(String::new, cut),
            amount,
        }
    };
    legs.map(report).collect()
}

fn cut(reason: &str) -> String {
    let mut end = reason.len().min(TEXT_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].into()
}
