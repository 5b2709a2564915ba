//! A shard at work: applies what the sequencer ordered to the shard's state, while the journal
//! syncs it, and hands out evidence and checkpoints piece by piece between the items.

use super::frame::{Finding, Frame};
use super::group::{Ahead, Figures, Item, Question, Reply, What};
use super::keep::Saved;
use super::known::Known;
use super::meters::Meters;
use crate::canary::{Bug, planted};
use crate::journal::checkpoint::Mark;
use crate::ledger::shard::Checked;
use crate::ledger::{SealedPart, Shard};
use crate::limits::{
    BUDGET_WARNINGS_MAX, COPY_CHANNELS, COPY_WAIT_MILLIS, EXPOSURES_LOOK, HEADROOM_PARTIES_MAX,
};
use crate::types::{Lsn, Outcome, SignerKey, Verdict};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::Arc;
use std::time::Duration;

/// A shard and what is known of its work; no thread.
pub(super) struct Applier {
    shard: Shard,
    applied: Lsn,
    outcomes: Vec<Outcome>,
    /// What every shard has credited; this one writes its own.
    known: Arc<[Known]>,
    meters: Arc<Meters>,
    /// The party from which on it is looked how much parties have left, next time.
    looked: usize,
    /// The checkpoint that is being copied.
    saving: Option<Mark>,
}

/// What an item led to besides answers.
#[derive(Default)]
pub(super) struct Out {
    pub part: Option<SealedPart>,
    pub saved: Option<Saved>,
}

impl Applier {
    pub fn new(shard: Shard, known: Arc<[Known]>, meters: Arc<Meters>) -> Self {
        let (applied, outcomes, looked) = (Lsn(0), Vec::new(), 0);
        Self { shard, applied, outcomes, known, meters, looked, saving: None }
    }

    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    pub fn is_copying(&self) -> bool {
        self.shard.is_copying()
    }

    /// Applies one item.
    pub fn item(&mut self, item: &Item) -> Out {
        match item {
            Item::Frame(frame) => {
                let known = &self.known[usize::from(self.shard.index())];
                credit(&mut self.shard, frame, &mut self.outcomes, known);
                frame.stage_done(&self.meters);
                self.applied = frame.place().lsn.unwrap_or(self.applied);
            }
            Item::Event(lsn, event) => {
                self.applied = *lsn;
                return Out { part: self.shard.apply(*lsn, event), saved: None };
            }
            Item::Question(question) if question.shard == self.shard.index() => {
                answer(&self.shard, self.applied, question, &mut self.looked);
            }
            Item::Question(_) => {}
            Item::Checkpoint(mark) => {
                let page = self.shard.save(mark.everything, mark.at, mark.remembered);
                self.saving = Some(*mark);
                return Out { part: None, saved: Some(Saved { mark: *mark, page, last: false }) };
            }
        }
        Out::default()
    }

    /// Copies a little more of what is leaving; of a checkpoint only while there is `room` for it.
    pub fn copy(&mut self, limit: usize, room: bool) -> Out {
        let part = self.shard.leave(limit);
        let saved = match self.saving {
            Some(mark) if room => self.shard.saved(limit).map(|(page, last)| {
                if last {
                    self.saving = None;
                }
                Saved { mark, page, last }
            }),
            Some(_) | None => None,
        };
        Out { part, saved }
    }
}

/// The thread of one shard: works until the sequencer is gone.
pub(super) fn run(
    mut applier: Applier,
    groups: &Receiver<Arc<[Item]>>,
    parts: &Sender<SealedPart>,
    pages: &Sender<Saved>,
) {
    let hand_on = |out: Out| {
        // The queue of parts has room for every window that may be unsealed; its reader goes away
        // only at a stop, and then the next start does what is left.
        out.part.into_iter().for_each(|part| drop(parts.send(part)));
        out.saved.into_iter().for_each(|saved| drop(pages.send(saved)));
    };
    loop {
        let room = !pages.is_full();
        let items = if !applier.is_copying() {
            groups.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else if room {
            groups.try_recv().map_err(|error| match error {
                TryRecvError::Empty => RecvTimeoutError::Timeout,
                TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            })
        } else {
            groups.recv_timeout(Duration::from_millis(COPY_WAIT_MILLIS))
        };
        match items {
            Ok(items) => {
                for item in items.iter() {
                    hand_on(applier.item(item));
                    if applier.is_copying() {
                        hand_on(applier.copy(COPY_CHANNELS, !pages.is_full()));
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                hand_on(applier.copy(COPY_CHANNELS, !pages.is_full()));
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn credit(shard: &mut Shard, frame: &Frame, outcomes: &mut Vec<Outcome>, known: &Known) {
    let place = frame.place();
    // A frame without a record holds no valid voucher, so nothing of it is credited at any
    // position.
    let lsn = place.lsn.unwrap_or(Lsn(0));
    let (mut places, mut own) = (Vec::new(), Vec::new());
    for (i, voucher, finding, tree) in frame.findings() {
        if finding.shard == shard.index() {
            let Finding { channel, verdict, .. } = *finding;
            places.push(i);
            own.push(Checked { voucher, channel, verdict, rise: frame.rise(i), tree });
        }
    }
    match frame.is_question() {
        true => shard.would(place.at, &own, outcomes),
        false => shard.credit(lsn, place.at, &own, outcomes),
    }
    let touched = own.iter().fold(0, |all, of: &Checked<'_>| all ^ known.touch(&of.channel));
    std::hint::black_box(touched);
    for ((i, outcome), checked) in places.into_iter().zip(&*outcomes).zip(&own) {
        frame.decided(i, *outcome);
        frame.total(i, || shard.channel(checked.channel).total);
        if !frame.is_question() && is_certain(*outcome, checked.verdict) {
            known.at_least(&checked.channel, checked.voucher.cumulative());
        }
    }
}

/// Whether the channel's total is at least the voucher's from here on, and it is worth remembering:
/// it was credited, or it was not known to be stale and is.
fn is_certain(outcome: Outcome, verdict: Verdict) -> bool {
    match outcome {
        Outcome::Credited => true,
        Outcome::Stale => verdict == Verdict::Valid,
        Outcome::OverLimit => planted(Bug::KnownAhead),
        Outcome::Malformed
        | Outcome::BadSignature
        | Outcome::UnknownSigner
        | Outcome::RevokedSigner
        | Outcome::UnknownPayee
        | Outcome::UnknownAsset
        | Outcome::SelfPayment
        | Outcome::Expired
        | Outcome::LifetimeTooLong
        | Outcome::OverSignerCap
        | Outcome::SuspendedParty
        | Outcome::TooManyChannels
        | Outcome::OverTotalBudget
        | Outcome::OverMonthBudget
        | Outcome::OverDayBudget
        | Outcome::OverHourBudget
        | Outcome::OutOfScope
        | Outcome::WrongAmount => false,
    }
}

fn answer(shard: &Shard, applied: Lsn, question: &Question, looked: &mut usize) {
    let reply = match &question.what {
        What::Channel(channel) => Reply::Channel(shard.channel(*channel)),
        What::Newest(channels) => {
            Reply::Newest(channels.iter().map(|channel| shard.newest(*channel)).collect())
        }
        What::Exposure(party, asset) => Reply::Exposure(shard.exposure(*party, *asset)),
        What::ExposureAt(lsn) => Reply::ExposureAt(shard.exposure_at(*lsn)),
        What::Figures => Reply::Figures(Figures {
            channels: u64::try_from(shard.channels()).expect("a count fits 64 bits"),
            credited: shard.credited(),
        }),
        What::Gauges => Reply::Gauges(shard.gauges().collect()),
        What::Budgets(signer) => Reply::Budgets(shard.budgets_used(*signer)),
        What::BudgetsNear => Reply::Budgets(shard.budgets_near(BUDGET_WARNINGS_MAX)),
        What::Headroom(Ahead { signers, asset, payee, at }) => {
            let of = |signer: &SignerKey| shard.headroom(*signer, (*asset, *payee), *at);
            Reply::Headroom(signers.iter().map(of).collect())
        }
        What::Leftover => {
            let (found, next) = shard.leftover(*looked, HEADROOM_PARTIES_MAX);
            *looked = next;
            Reply::Leftover(found)
        }
        What::Exposures(asset, from) => {
            let (found, next) = shard.exposures(*asset, *from, EXPOSURES_LOOK);
            Reply::Exposures(found, next)
        }
    };
    question.answer(reply, applied);
}
