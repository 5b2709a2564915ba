//! What the provider says by itself: letters that wait for the settler, and who hears that they
//! were taken.
//!
//! Owns the mailbox. What a letter means is read in `hooks.rs`.

use super::CardDesk;
use crate::ledger::BatchPlan;
use crate::limits::WEBHOOKS_WAITING_MAX;
use crate::rails::card;
use crate::settle::settler::Run;
use crate::settle::settler::word::Statements;
use crate::types::BatchId;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What others have heard of legs. Cheap to clone.
#[derive(Clone)]
pub struct Mailbox(Sender<Letter>);

pub(super) struct Letter {
    report: Box<card::Report>,
    done: oneshot::Sender<()>,
}

/// A mailbox, and where its letters come out.
pub(super) fn mailbox() -> (Mailbox, Receiver<Letter>) {
    let (mailbox, letters) = bounded(WEBHOOKS_WAITING_MAX);
    (Mailbox(mailbox), letters)
}

impl Mailbox {
    /// Hands on what the payment service provider says. What follows from it is durable when it
    /// returns.
    ///
    /// # Errors
    /// A text that says why it was not taken: it must be said again.
    pub async fn card(&self, report: Box<card::Report>) -> Result<(), String> {
        let (done, heard) = oneshot::channel();
        self.0.try_send(Letter { report, done }).map_err(|_| "too much waits; send it again")?;
        heard.await.map_err(|_| "it could not be taken; send it again".to_owned())
    }
}

impl CardDesk {
    /// Reads the letters that wait. What cannot be done now is not confirmed, and comes again.
    pub(super) fn read_letters(&mut self, run: &mut Run) {
        let letters: Vec<Letter> = self.letters.try_iter().take(WEBHOOKS_WAITING_MAX).collect();
        let mut read = Read::default();
        for Letter { report, done } in letters {
            match run.hear_card(self, &report, &mut read) {
                Ok(()) => read.confirm(done),
                Err(stuck) => tracing::warn!("a webhook was not taken: {stuck}"),
            }
        }
        if let Err(stuck) = run.weigh_read(&mut read) {
            tracing::warn!("webhooks were not taken: {stuck}");
        }
        read.confirmed();
    }
}

/// Events that were read and are weighed together: one record for all of them, and one word about a
/// leg in it.
#[derive(Default)]
pub(super) struct Read {
    pub said: BTreeMap<BatchId, (Arc<BatchPlan>, Statements)>,
    /// Who hears when what was read is durable.
    pub waiting: Vec<oneshot::Sender<()>>,
}

impl Read {
    /// Somebody waits for what was read until now.
    pub fn confirm(&mut self, done: oneshot::Sender<()>) {
        self.waiting.push(done);
    }

    /// What was read is durable.
    pub fn confirmed(&mut self) {
        self.waiting.drain(..).for_each(|done| {
            // The caller may have disconnected; the decision is final.
            let _ = done.send(());
        });
    }

    pub fn holds(&self, batch: BatchId, leg: u32) -> bool {
        self.said.get(&batch).is_some_and(|(_, said)| said.contains_key(&leg))
    }
}
