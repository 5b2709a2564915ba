//! The verify workers: take chunks of vouchers, find channel, payer's shard and verdict of each.
//!
//! Takes the verdict on every signature, once, before the journal. Knows no rule of credit.

use super::frame::{Finding, Frame};
use super::meters::Meters;
use crate::limits::VERIFY_CHUNK;
use crate::types::{ChannelHasher, ChannelId, Packed, VOUCHER_BYTES, Verdict, message};
use crate::verify::{Backend, Check, Key, Keys};
use crossbeam::channel::{Receiver, Sender};
use std::sync::Arc;

/// A chunk to be checked: the frame and which of its chunks.
pub(super) type Chunk = (Arc<Frame>, u16);

/// What a worker needs.
pub(super) struct Worker {
    pub chunks: Receiver<Chunk>,
    pub checked: Sender<Arc<Frame>>,
    pub keys: Arc<Keys>,
    pub hasher: ChannelHasher,
    pub backend: Backend,
    pub shards: u16,
    pub meters: Arc<Meters>,
}

const UNCHECKED: Finding =
    Finding { channel: ChannelId::ZERO, verdict: Verdict::Malformed, shard: 0 };

impl Worker {
    /// Works until ingress is gone.
    pub fn run(self) {
        let mut verdicts = Vec::with_capacity(VERIFY_CHUNK);
        for (frame, index) in &self.chunks {
            let checked = self.check(&frame, index, &mut verdicts);
            if frame.chunk_checked(index, checked) && self.checked.send(frame).is_err() {
                return;
            }
        }
    }

    fn check(&self, frame: &Frame, index: u16, verdicts: &mut Vec<Verdict>) -> Box<[Finding]> {
        let vouchers = frame.chunk(index);
        let mut checked = vec![UNCHECKED; vouchers.len()].into_boxed_slice();
        let view = self.keys.view();
        // First all keys, then the rest: a key is a cache miss, and misses that do not wait for each
        // other's hashing overlap.
        let look = |voucher: &[u8; VOUCHER_BYTES]| view.get(&Packed(voucher).signer());
        let keys: Vec<Option<&Key>> = vouchers.iter().map(look).collect();
        let mut checks = Vec::with_capacity(vouchers.len());
        let mut places = Vec::with_capacity(vouchers.len());
        for (place, (voucher, key)) in vouchers.iter().map(Packed).zip(keys).enumerate() {
            if !voucher.reserved_is_zero() {
                continue;
            }
            let Some(key) = key else {
                checked[place].verdict = Verdict::UnknownKey;
                continue;
            };
            let channel = self.hasher.channel(voucher);
            checked[place].channel = channel;
            checked[place].shard = key.party().shard(self.shards);
            let message = message(channel, voucher.cumulative(), voucher.expires_at());
            checks.push(Check { key, message, signature: voucher.signature() });
            places.push(place);
        }
        self.meters.verifying(checks.len(), || self.backend.check(&checks, verdicts));
        for (place, verdict) in places.into_iter().zip(verdicts) {
            checked[place].verdict = *verdict;
        }
        checked
    }
}
