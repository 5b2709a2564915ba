//! What operators say of legs, by their keys: nothing of these legs leaves until the word is
//! journaled, and the settler goes on with what it leaves.

use super::archive::NotLoaded;
use super::engine::Engine;
use super::signed::Signature;
use crate::ledger::{
    BatchContent, Command, Envelope, LegWord, Legs, OperatorKeyMisfit, Refusal, SaidOfLeg, Wish,
};
use crate::pipeline::NotDone;
use crate::types::{BatchId, Digest, FileHasher, LegSaid, words_statement};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Why an operator's word about legs is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotSaid {
    /// The rules refuse it, the pipeline does not take it, or what is kept cannot be read.
    #[error(transparent)]
    NotLoaded(#[from] NotLoaded),
    /// The batch has no leg of this key.
    #[error("the batch has no leg {0:?}; `tallystick leg list BATCH` shows those it has")]
    NoLeg(String),
    /// A file of the legs is held, or is just leaving.
    #[error("{0}")]
    Held(String),
}

impl From<NotDone> for NotSaid {
    fn from(reason: NotDone) -> Self {
        Self::NotLoaded(reason.into())
    }
}

/// What the rail did with a leg.
#[derive(Debug, Clone)]
pub struct LegReport {
    /// The leg's key.
    pub key: String,
    /// What the rail did.
    pub word: LegWord,
    /// The rail's own reference; empty if there is none.
    pub reference: String,
    /// Why; what failed does not go without.
    pub reason: String,
}

/// What became of a leg whose fate the rail cannot tell.
#[derive(Debug, Clone)]
pub struct LegVerdict {
    /// The leg's key.
    pub key: String,
    /// What the rail did.
    pub word: LegWord,
    /// The rail's own reference; empty if there is none.
    pub reference: String,
    /// What the word rests on, or where that is filed.
    pub evidence: String,
}

impl Engine {
    /// Moves legs as an operator says, and returns how many moved. What is known already is no
    /// error, unless it is signed; what cannot be true refuses all.
    ///
    /// # Errors
    /// `NotSaid`: nothing was changed.
    pub async fn report_legs(
        &self,
        envelope: Envelope,
        batch: BatchId,
        evidence: Digest,
        reports: &[LegReport],
        signature: Option<Signature>,
    ) -> Result<u64, NotSaid> {
        let told = self.report(&envelope, batch, evidence, (reports, signature)).await;
        self.logged(&envelope, "report legs", told)
    }

    async fn report(
        &self,
        envelope: &Envelope,
        batch: BatchId,
        evidence: Digest,
        (reports, signature): (&[LegReport], Option<Signature>),
    ) -> Result<u64, NotSaid> {
        if self.answered_by(envelope).await?.is_some() {
            return Ok(0);
        }
        let content = self.plan(batch).await?.content().clone();
        let mut words = words(&content, reports)?;
        let (is_signed, caller) = (signature.is_some(), &envelope.caller);
        let steps = self.ask(|control| {
            control.signs_with(caller, is_signed)?;
            control.reported(&content, &words)
        });
        let steps = steps.await?;
        let moves = |leg: u32| steps.binary_search_by_key(&leg, |step| step.leg).is_ok();
        if let Some(idle) = words.iter().find(|word| is_signed && !moves(word.leg)) {
            return Err(self.idle(&content, idle.leg).await.into());
        }
        if steps.is_empty() {
            return Ok(0);
        }
        words.retain(|word| moves(word.leg));
        let said = words.iter().map(SaidOfLeg::signed);
        let over = words_statement(self.network(), batch, evidence, said);
        let signed = self.signed(envelope, signature, over).await?;
        // Nothing of these legs leaves until the word is journaled.
        let held = self.held().before(self, batch, &steps).await.map_err(NotSaid::Held)?;
        let wish = Wish::ReportLegs { content, evidence, words, signed };
        self.intake().command(Command { envelope: envelope.clone(), wish }).await?;
        self.held().said(batch);
        drop(held);
        self.turn().await;
        Ok(u64::try_from(steps.len()).expect("a length fits 64 bits"))
    }

    /// One operator's word about an UNKNOWN leg: kept, or, when another said the same, done.
    /// Returns the leg's place and the batch with its legs as they stand then.
    ///
    /// # Errors
    /// `NotSaid`: nothing was changed.
    pub async fn resolve_leg(
        &self,
        envelope: Envelope,
        batch: BatchId,
        verdict: LegVerdict,
        signature: Option<Signature>,
    ) -> Result<(u32, Arc<BatchContent>, Legs), NotSaid> {
        let told = self.resolve(&envelope, batch, (verdict, signature)).await;
        self.logged(&envelope, "resolve leg", told)
    }

    async fn resolve(
        &self,
        envelope: &Envelope,
        batch: BatchId,
        (verdict, signature): (LegVerdict, Option<Signature>),
    ) -> Result<(u32, Arc<BatchContent>, Legs), NotSaid> {
        let LegVerdict { key, word, reference, evidence } = verdict;
        let content = self.plan(batch).await?.content().clone();
        let mut all = (0..).zip(content.legs.iter());
        let Some((leg, _)) = all.find(|(_, leg)| leg.key == key) else {
            return Err(no_leg(&key));
        };
        let (state, rests_on) = (word.state().number(), FileHasher::of(evidence.as_bytes()));
        let said = LegSaid { leg, state, reference: &reference, reason: &evidence };
        let over = words_statement(self.network(), batch, rests_on, [said]);
        let signed = self.signed(envelope, signature, over).await?;
        let content_of = content.clone();
        let wish = Wish::ResolveLeg { content: content_of, leg, word, reference, evidence, signed };
        self.intake().command(Command { envelope: envelope.clone(), wish }).await?;
        self.held().said(batch);
        let waits = move |legs: &Legs| legs.proposed().contains_key(&leg);
        if !self.legs(batch, Vec::new(), waits).await? {
            // Both have said it: the settler goes on with what that leaves.
            self.turn().await;
        }
        let legs = self.legs(batch, vec![leg], Legs::clone).await?;
        Ok((leg, content, legs))
    }

    /// What an operator signs is journaled word by word: none of it may say what is known.
    async fn idle(&self, content: &BatchContent, leg: u32) -> NotDone {
        let (batch, place) = (content.head.id, usize::try_from(leg).expect("legs fit memory"));
        let stands = self.ask(|control| Ok(control.batch(batch)?.legs.state(leg).name())).await;
        let key = content.legs[place].key.clone();
        match stands {
            Ok(state) => Refusal::from(OperatorKeyMisfit::Idle { key, state }).into(),
            Err(not_done) => not_done,
        }
    }

    fn logged<T>(
        &self,
        envelope: &Envelope,
        asked: &str,
        told: Result<T, NotSaid>,
    ) -> Result<T, NotSaid> {
        match &told {
            Err(NotSaid::NotLoaded(NotLoaded::NotDone(NotDone::Refused(refusal)))) => {
                self.tell_refusal(envelope, asked, refusal);
            }
            Err(refusal @ (NotSaid::NoLeg(_) | NotSaid::Held(_))) => {
                self.tell_refusal(envelope, asked, refusal);
            }
            Err(NotSaid::NotLoaded(
                NotLoaded::NotDone(NotDone::Busy(_))
                | NotLoaded::Storage(_)
                | NotLoaded::Sealed(_)
                | NotLoaded::Away(_),
            ))
            | Ok(_) => {}
        }
        told
    }
}

/// Reports as the ledger knows legs: by their places.
fn words(content: &BatchContent, reports: &[LegReport]) -> Result<Vec<SaidOfLeg>, NotSaid> {
    let asked: HashSet<&str> = reports.iter().map(|report| &*report.key).collect();
    let found = (0..).zip(content.legs.iter()).filter(|(_, leg)| asked.contains(&*leg.key));
    let places: HashMap<&str, u32> = found.map(|(at, leg)| (&*leg.key, at)).collect();
    let one = |report: &LegReport| {
        let LegReport { key, word, reference, reason } = report;
        let leg = places.get(&**key).copied().ok_or_else(|| no_leg(key))?;
        let (reference, reason) = (reference.clone(), reason.clone());
        Ok(SaidOfLeg { leg, word: *word, reference, reason })
    };
    reports.iter().map(one).collect()
}

fn no_leg(key: &str) -> NotSaid {
    NotSaid::NoLeg(key.chars().take(80).collect())
}
