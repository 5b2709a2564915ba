//! Legs: listed as they stand, and what operators say of them.

use super::batches::content;
use super::door::Place;
use super::messages::{id, leg_message, request};
use super::read::Streamed;
use super::status::{busy, invalid, not_done, not_loaded, refused};
use crate::ledger::control::Control;
use crate::ledger::{
    BatchContent, BatchPlan, Caller, LegWord, Legs, Refusal, Request, SaidOfLeg, Wish,
};
use crate::limits::{LIST_PAGE, SETTLER_PATIENCE};
use crate::pipeline::Intake;
use crate::settle::{Archive, Nudge};
use crate::types::{BatchId, Digest};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use tallystick_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// The legs of a batch as they stand, a page at a time: nobody waits for a long list to be copied,
/// and a client that does not read it holds one page.
pub(super) async fn list(
    intake: &Intake,
    archive: &Archive,
    place: Place,
    batch: BatchId,
) -> Result<Streamed<v1::Leg>, Status> {
    let content = content(intake, archive, batch, |_| Ok(())).await?;
    let (legs_in, legs) = mpsc::channel(LIST_PAGE);
    let intake = intake.clone();
    tokio::spawn(async move {
        let (_place, count) = (place, content.legs.len());
        for first in (0..count).step_by(LIST_PAGE) {
            let page = match page(&intake, &content, first..count.min(first + LIST_PAGE)).await {
                Ok(page) => page.into_iter().map(Ok).collect(),
                Err(status) => vec![Err(status)],
            };
            for leg in page {
                let failed = leg.is_err();
                // An error means that the client went away.
                if legs_in.send(leg).await.is_err() || failed {
                    return;
                }
            }
        }
    });
    Ok(Box::pin(ReceiverStream::new(legs)))
}

/// Some legs as they stand.
async fn page(
    intake: &Intake,
    content: &BatchContent,
    places: Range<usize>,
) -> Result<Vec<v1::Leg>, Status> {
    let found = intake.read(|control| {
        let legs = &control.batch(content.head.id)?.legs;
        let one = |leg: usize| {
            let place = u32::try_from(leg).expect("legs are limited");
            leg_message(&content.legs[leg], place, legs)
        };
        Ok(places.map(one).collect())
    });
    found.await.map_err(|b| busy(&b))?.map_err(|r: Refusal| refused(&r))
}

async fn legs_of(intake: &Intake, batch: BatchId) -> Result<Legs, Status> {
    let found = intake.read(|control| control.batch(batch).map(|entry| entry.legs.clone()));
    found.await.map_err(|b| busy(&b))?.map_err(|r| refused(&r))
}

/// A batch's plan, made beside the network threads.
pub(super) async fn plan(
    intake: &Intake,
    archive: &Archive,
    batch: BatchId,
) -> Result<Arc<BatchPlan>, Status> {
    let (intake, archive) = (intake.clone(), archive.clone());
    let plan = tokio::task::spawn_blocking(move || archive.plan(&intake, batch)).await;
    plan.expect("loading does not panic").map_err(|r| not_loaded(&r))
}

/// Whether a request was answered before, by whatever record.
async fn answered(intake: &Intake, request: &Request) -> Result<bool, Status> {
    let found = intake.read(|control: &Control| control.answered(request));
    let found = found.await.map_err(|b| busy(&b))?.map_err(|r| refused(&r))?;
    Ok(found.is_some())
}

fn word(value: i32) -> Result<LegWord, Status> {
    match v1::LegWord::try_from(value) {
        Ok(v1::LegWord::Accepted) => Ok(LegWord::Accepted),
        Ok(v1::LegWord::Confirmed) => Ok(LegWord::Confirmed),
        Ok(v1::LegWord::Rejected) => Ok(LegWord::Rejected),
        Ok(v1::LegWord::Returned) => Ok(LegWord::Returned),
        Ok(v1::LegWord::Unspecified) | Err(_) => Err(invalid(format!(
            "word {value} is not known; say ACCEPTED (1), CONFIRMED (2), REJECTED (3) or RETURNED (4)"
        ))),
    }
}

/// What came of an operator's words.
pub(super) struct Reported {
    pub batch: BatchId,
    /// How many legs moved; the others stood there already.
    pub moved: u64,
}

/// Moves legs as an operator says. What is known already is no error; what cannot be true refuses
/// all.
pub(super) async fn report(
    intake: &Intake,
    archive: &Archive,
    nudge: &Nudge,
    caller: Caller,
    mut message: v1::ReportLegsRequest,
) -> Result<Reported, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "ReportLegs", &message)?;
    let batch: BatchId = id(&message.batch_id, "batch_id")?;
    let evidence = match message.evidence.len() {
        0 => Digest::ZERO,
        _ => id::<Digest>(&message.evidence, "evidence")?,
    };
    if answered(intake, &request).await? {
        return Ok(Reported { batch, moved: 0 });
    }
    let plan = plan(intake, archive, batch).await?;
    let content = plan.content().clone();
    let mut words = words(&content, message.reports)?;
    let steps = intake.read(|control| control.reported(&content, &words)).await;
    let steps = steps.map_err(|b| busy(&b))?.map_err(|r| refused(&r))?;
    let moved = u64::try_from(steps.len()).expect("a length fits 64 bits");
    if moved == 0 {
        return Ok(Reported { batch, moved });
    }
    words.retain(|word| steps.binary_search_by_key(&word.leg, |step| step.leg).is_ok());
    // Nothing of these legs leaves until the word is journaled.
    let held = nudge.held().before(intake, batch, &steps).await;
    let held = held.map_err(Status::failed_precondition)?;
    let wish = Wish::ReportLegs { content, evidence, words };
    intake.command(wish.by(caller, request)).await.map_err(|r| not_done(&r))?;
    drop(held);
    nudge.turn(SETTLER_PATIENCE).await;
    Ok(Reported { batch, moved })
}

/// Reports as the ledger knows legs: by their places.
fn words(content: &BatchContent, reports: Vec<v1::LegReport>) -> Result<Vec<SaidOfLeg>, Status> {
    let asked: HashSet<&str> = reports.iter().map(|report| &*report.key).collect();
    let found = (0..).zip(&content.legs).filter(|(_, leg)| asked.contains(&*leg.key));
    let places: HashMap<&str, u32> = found.map(|(at, leg)| (&*leg.key, at)).collect();
    let one = |report: &v1::LegReport| {
        let leg = places.get(&*report.key).copied().ok_or_else(|| no_leg(&report.key))?;
        let (word, reference) = (word(report.word)?, report.rail_reference.clone());
        Ok(SaidOfLeg { leg, word, reference, reason: report.reason.clone() })
    };
    reports.iter().map(one).collect()
}

fn no_leg(key: &str) -> Status {
    let key: String = key.chars().take(80).collect();
    Status::not_found(format!("the batch has no leg {key:?}; `ListLegs` shows those it has"))
}

/// One operator's word about an UNKNOWN leg: kept, or, when another said the same, done.
pub(super) async fn resolve(
    intake: &Intake,
    archive: &Archive,
    nudge: &Nudge,
    caller: Caller,
    mut message: v1::ResolveLegRequest,
) -> Result<v1::Leg, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "ResolveLeg", &message)?;
    let batch: BatchId = id(&message.batch_id, "batch_id")?;
    let word = word(message.word)?;
    let plan = plan(intake, archive, batch).await?;
    let found = plan.content().legs.iter().position(|leg| leg.key == message.key);
    let place = found.ok_or_else(|| no_leg(&message.key))?;
    let leg = u32::try_from(place).expect("legs are limited");
    let content = plan.content().clone();
    let (reference, evidence) = (message.rail_reference, message.evidence);
    let wish = Wish::ResolveLeg { content, leg, word, reference, evidence };
    intake.command(wish.by(caller, request)).await.map_err(|r| not_done(&r))?;
    let mut legs = legs_of(intake, batch).await?;
    if !legs.proposed().contains_key(&leg) {
        // Both have said it: the settler goes on with what that leaves.
        nudge.turn(SETTLER_PATIENCE).await;
        legs = legs_of(intake, batch).await?;
    }
    Ok(leg_message(&plan.content().legs[place], leg, &legs))
}
