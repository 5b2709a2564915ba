//! The frames under way: what was taken, what was written on this connection, what was acked.
//!
//! Pure: knows no connection and no clock.

use super::stream::Item;
use super::{Answer, StreamError};
use crate::voucher::{Outcome, VOUCHER_BYTES};
use bytes::Bytes;
use std::collections::VecDeque;
use tallystick_proto::v1::Frame;
use tokio::sync::oneshot;

/// Vouchers in a frame: an engine takes 4,096.
pub(super) const FRAME_VOUCHERS_MAX: usize = 4_096;
/// Frames under way: few, so that under load frames grow rather than their number.
const FRAMES_MAX: usize = 16;
/// Vouchers under way: as many as an engine lets a stream have.
const VOUCHERS_MAX: usize = 16_384;

/// A frame that is not acked yet.
pub(super) struct UnderWay {
    pub packed: Bytes,
    answers: Vec<oneshot::Sender<Result<Answer, StreamError>>>,
    /// How often it was written.
    pub tries: u32,
    /// The highest position that was acked when it was written first.
    pub acked_before: u64,
}

impl UnderWay {
    pub fn vouchers(&self) -> &[[u8; VOUCHER_BYTES]] {
        self.packed.as_chunks().0
    }

    /// Tells everybody who waits.
    pub fn answer(self, lsn: u64, outcomes: &[Outcome]) {
        let was_sent_again = self.tries > 1;
        for (answer, &outcome) in self.answers.into_iter().zip(outcomes) {
            // Whoever does not wait any more need not be told.
            drop(answer.send(Ok(Answer { outcome, lsn, was_sent_again })));
        }
    }
}

/// All that is not acked, in order.
#[derive(Default)]
pub(super) struct Frames {
    frames: VecDeque<UnderWay>,
    /// Number of the first of them.
    first: u64,
    /// How many of them were written on this connection.
    written: usize,
    vouchers: usize,
    /// The highest position that was acked.
    acked: u64,
}

impl Frames {
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many more vouchers may be taken now.
    pub fn room(&self) -> usize {
        match self.frames.len() < FRAMES_MAX {
            true => VOUCHERS_MAX.saturating_sub(self.vouchers).min(FRAME_VOUCHERS_MAX),
            false => 0,
        }
    }

    /// Makes a frame of what was taken.
    pub fn take(&mut self, items: &mut Vec<Item>) {
        let mut packed = Vec::with_capacity(items.len() * VOUCHER_BYTES);
        let mut answers = Vec::with_capacity(items.len());
        for Item { packed: voucher, answer } in items.drain(..) {
            packed.extend_from_slice(&voucher);
            answers.push(answer);
        }
        self.vouchers += answers.len();
        let packed = packed.into();
        self.frames.push_back(UnderWay { packed, answers, tries: 0, acked_before: self.acked });
    }

    /// Whether something waits to be written on this connection.
    pub fn has_more(&self) -> bool {
        self.written < self.frames.len()
    }

    /// Whether an ack is owed on this connection.
    pub fn is_owed(&self) -> bool {
        self.written > 0
    }

    /// The next one to be written.
    pub fn next(&mut self) -> Option<Frame> {
        let number = self.first + u64::try_from(self.written).ok()?;
        let frame = self.frames.get_mut(self.written)?;
        self.written += 1;
        frame.tries += 1;
        Some(Frame { frame_id: number, packed: frame.packed.clone(), ..Frame::default() })
    }

    /// The frame that the next ack is about, and its number.
    pub fn oldest(&self) -> Option<(u64, &UnderWay)> {
        self.frames.front().filter(|_| self.is_owed()).map(|frame| (self.first, frame))
    }

    /// The oldest is acked.
    pub fn acked(&mut self, lsn: u64) -> Option<UnderWay> {
        let frame = self.frames.pop_front()?;
        self.first += 1;
        self.written = self.written.saturating_sub(1);
        self.vouchers -= frame.answers.len();
        self.acked = self.acked.max(lsn);
        Some(frame)
    }

    /// The connection broke: everything is to be written again.
    pub fn broken(&mut self) {
        self.written = 0;
    }

    /// No acks will come.
    pub fn fail(&mut self, why: &StreamError) {
        for frame in self.frames.drain(..) {
            for answer in frame.answers {
                drop(answer.send(Err(why.clone())));
            }
        }
        (self.written, self.vouchers) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(byte: u8) -> (Item, oneshot::Receiver<Result<Answer, StreamError>>) {
        let (answer, waiting) = oneshot::channel();
        (Item { packed: [byte; VOUCHER_BYTES], answer }, waiting)
    }

    #[test]
    fn what_is_not_acked_is_written_again_in_order_under_the_same_numbers() {
        let mut frames = Frames::default();
        let mut waiting = Vec::new();
        for byte in 0..3 {
            let (item, wait) = item(byte);
            waiting.push(wait);
            frames.take(&mut vec![item]);
        }
        assert_eq!([frames.next(), frames.next()].map(|frame| frame.unwrap().frame_id), [0, 1]);
        frames.acked(7).unwrap().answer(7, &[Outcome::CREDITED]);
        let answer = waiting.remove(0).try_recv().unwrap().unwrap();
        assert!(!answer.was_sent_again && answer.lsn == 7);
        frames.broken();
        assert!(!frames.is_owed() && frames.oldest().is_none());
        let again: Vec<_> = std::iter::from_fn(|| frames.next()).collect();
        let named: Vec<_> = again.iter().map(|frame| (frame.frame_id, frame.packed[0])).collect();
        assert_eq!(named, [(1, 1), (2, 2)]);
        frames.acked(9).unwrap().answer(9, &[Outcome::STALE]);
        assert!(waiting.remove(0).try_recv().unwrap().unwrap().was_sent_again);
        frames.fail(&StreamError::Ended("x".into()));
        assert!(waiting.remove(0).try_recv().unwrap().is_err() && frames.is_empty());
    }

    #[test]
    fn what_may_be_under_way_is_bounded() {
        let mut frames = Frames::default();
        let mut kept = Vec::new();
        while frames.room() > 0 {
            let mut items = Vec::new();
            for _ in 0..frames.room() {
                let (item, wait) = item(0);
                kept.push(wait);
                items.push(item);
            }
            frames.take(&mut items);
        }
        assert_eq!(kept.len(), VOUCHERS_MAX);
        let mut frames = Frames::default();
        for _ in 0..FRAMES_MAX {
            assert!(frames.room() > 0);
            frames.take(&mut vec![item(0).0]);
        }
        assert_eq!(frames.room(), 0);
    }
}
