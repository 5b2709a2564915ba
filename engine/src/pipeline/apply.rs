//! A shard thread: applies what the sequencer ordered to the shard's state, while the journal syncs it.

use super::frame::{Finding, Frame};
use super::group::{Figures, Item, Question, Reply, What};
use crate::ledger::shard::Checked;
use crate::ledger::{SealedPart, Shard};
use crate::types::{Lsn, Outcome};
use crossbeam::channel::{Receiver, Sender};
use std::sync::Arc;

/// Works until the sequencer is gone.
pub(super) fn run(mut shard: Shard, groups: &Receiver<Arc<[Item]>>, parts: &Sender<SealedPart>) {
    let (mut applied, mut outcomes) = (Lsn(0), Vec::new());
    for items in groups {
        for item in items.iter() {
            match item {
                Item::Frame(frame) => {
                    credit(&mut shard, frame, &mut outcomes);
                    applied = frame.place().lsn.unwrap_or(applied);
                }
                Item::Event(lsn, event) => {
                    applied = *lsn;
                    if let Some(part) = shard.apply(*lsn, event) {
                        // The queue has room for every window that may be unsealed; the sealer goes
                        // away only at a stop, and the next start seals what is left.
                        let _ = parts.send(part);
                    }
                }
                Item::Question(question) if question.shard == shard.index() => {
                    answer(&shard, applied, question);
                }
                Item::Question(_) => {}
            }
        }
    }
}

fn credit(shard: &mut Shard, frame: &Frame, outcomes: &mut Vec<Outcome>) {
    let place = frame.place();
    // A frame without a record holds no valid voucher, so nothing of it is credited at any position.
    let lsn = place.lsn.unwrap_or(Lsn(0));
    let (mut places, mut own) = (Vec::new(), Vec::new());
    for (i, voucher, finding) in frame.findings() {
        if finding.shard == shard.index() {
            let Finding { channel, verdict, .. } = *finding;
            places.push(i);
            own.push(Checked { voucher, channel, verdict });
        }
    }
    shard.credit(lsn, place.at, &own, outcomes);
    for (i, outcome) in places.into_iter().zip(outcomes) {
        frame.decided(i, *outcome);
    }
    frame.stage_done();
}

fn answer(shard: &Shard, applied: Lsn, question: &Question) {
    let reply = match question.what {
        What::Channel(channel) => Reply::Channel(shard.channel(channel)),
        What::Exposure(party, asset) => Reply::Exposure(shard.exposure(party, asset)),
        What::ExposureAt(lsn) => Reply::Exposure(
            shard.exposure_at(lsn).expect("asked only for records that set a limit or deposit"),
        ),
        What::Figures => Reply::Figures(Figures {
            channels: u64::try_from(shard.channels()).expect("a count fits 64 bits"),
            credited: shard.credited(),
        }),
    };
    question.answer(reply, applied);
}
