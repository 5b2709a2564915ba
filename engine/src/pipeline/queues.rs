//! How much waits in the pipeline's queues, for whoever looks from outside. Holds an end of each,
//! for as long as there is a way in.

use super::frame::Frame;
use super::group::{Ask, Item};
use super::keep::Saved;
use super::order::Group;
use crossbeam::channel::Sender;
use std::sync::Arc;

/// The queues of the table in `pipeline`.
pub(super) struct Queues {
    frames: Sender<Arc<Frame>>,
    /// The one that is used, by the way in.
    pub asks: Sender<Ask>,
    groups: Sender<Group>,
    items: Vec<Sender<Arc<[Item]>>>,
    pages: Sender<Saved>,
}

impl Queues {
    pub fn new(
        frames: &Sender<Arc<Frame>>,
        asks: Sender<Ask>,
        groups: &Sender<Group>,
        items: &[Sender<Arc<[Item]>>],
        pages: &Sender<Saved>,
    ) -> Self {
        let (frames, groups, pages) = (frames.clone(), groups.clone(), pages.clone());
        Self { frames, asks, groups, items: items.to_vec(), pages }
    }

    /// How much waits in each; of the shards' in the fullest.
    pub fn depths(&self) -> [(&'static str, usize); 5] {
        let items = self.items.iter().map(Sender::len).max();
        [
            ("frames", self.frames.len()),
            ("asks", self.asks.len()),
            ("groups", self.groups.len()),
            ("items", items.unwrap_or(0)),
            ("pages", self.pages.len()),
        ]
    }
}
