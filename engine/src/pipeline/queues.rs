//! How much waits in the pipeline's queues, for whoever looks from outside. Holds an end of each,
//! for as long as there is a way in.

use super::frame::Frame;
use super::group::{Ask, Item};
use super::keep::Saved;
use crossbeam::channel::Sender;
use std::sync::Arc;

/// The queues of the table in `pipeline`.
pub(super) struct Queues {
    frames: Sender<Arc<Frame>>,
    /// The one that is used, by the way in.
    pub asks: Sender<Ask>,
    items: Vec<Sender<Arc<[Item]>>>,
    pages: Sender<Saved>,
}

impl Queues {
    pub fn new(
        frames: &Sender<Arc<Frame>>,
        asks: Sender<Ask>,
        items: &[Sender<Arc<[Item]>>],
        pages: &Sender<Saved>,
    ) -> Self {
        let (frames, pages) = (frames.clone(), pages.clone());
        Self { frames, asks, items: items.to_vec(), pages }
    }

    /// How much waits in each; of the shards' in the fullest.
    pub fn depths(&self) -> [(&'static str, usize); 4] {
        let items = self.items.iter().map(Sender::len).max();
        [
            ("frames", self.frames.len()),
            ("asks", self.asks.len()),
            ("items", items.unwrap_or(0)),
            ("pages", self.pages.len()),
        ]
    }
}
