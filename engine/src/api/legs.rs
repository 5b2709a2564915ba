//! Legs: listed as they stand, and what operators say of them.

use super::batches;
use super::door::Place;
use super::messages::{asked_signed, asks, id, leg_message};
use super::read::Streamed;
use super::status::invalid;
use crate::ledger::{BatchContent, Caller, LegWord, Legs};
use crate::limits::LIST_PAGE;
use crate::settle::{Engine, LegReport, LegVerdict};
use crate::types::{BatchId, Digest};
use std::ops::Range;
use std::sync::Arc;
use tallystick_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

asks! {
    ReportLegsRequest "ReportLegs" signature,
    ResolveLegRequest "ResolveLeg" signature,
}

/// The legs of a batch as they stand, a page at a time: nobody waits for a long list to be copied,
/// and a client that does not read it holds one page.
pub(super) async fn list(
    engine: &Engine,
    place: Place,
    batch: BatchId,
) -> Result<Streamed<v1::Leg>, Status> {
    let content = engine.batch(batch, |_| Ok(())).await?;
    let (legs_in, legs) = mpsc::channel(LIST_PAGE);
    let engine = engine.clone();
    tokio::spawn(async move {
        let (_place, count) = (place, content.legs.len());
        for first in (0..count).step_by(LIST_PAGE) {
            let page = match page(&engine, &content, first..count.min(first + LIST_PAGE)).await {
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
    engine: &Engine,
    content: &Arc<BatchContent>,
    places: Range<usize>,
) -> Result<Vec<v1::Leg>, Status> {
    let place = |leg: usize| u32::try_from(leg).expect("legs are limited");
    let (wanted, batch) = (places.clone().map(place).collect(), content.head.id);
    let content = content.clone();
    let look = move |legs: &Legs| {
        places.map(|leg| leg_message(&content.legs[leg], place(leg), legs)).collect()
    };
    Ok(engine.legs(batch, wanted, look).await?)
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

/// Moves legs as an operator says; answers with the batch as it stands then, and how many moved:
/// the others stood there already.
pub(super) async fn report(
    engine: &Engine,
    caller: Caller,
    message: v1::ReportLegsRequest,
) -> Result<v1::Batch, Status> {
    let (request, message, signature) = asked_signed(message)?;
    let batch: BatchId = id(&message.batch_id, "batch_id")?;
    let evidence = match message.evidence.len() {
        0 => Digest::ZERO,
        _ => id::<Digest>(&message.evidence, "evidence")?,
    };
    let one = |report: v1::LegReport| {
        let v1::LegReport { key, word: said, rail_reference: reference, reason } = report;
        Ok(LegReport { key, word: word(said)?, reference, reason })
    };
    let reports = message.reports.into_iter().map(one).collect::<Result<Vec<_>, Status>>()?;
    let envelope = caller.asks(request);
    let legs_moved = engine.report_legs(envelope, batch, evidence, &reports, signature).await?;
    Ok(v1::Batch { legs_moved, ..batches::get(engine, batch).await? })
}

/// One operator's word about an UNKNOWN leg: kept, or, when another said the same, done.
pub(super) async fn resolve(
    engine: &Engine,
    caller: Caller,
    message: v1::ResolveLegRequest,
) -> Result<v1::Leg, Status> {
    let (request, message, signature) = asked_signed(message)?;
    let batch: BatchId = id(&message.batch_id, "batch_id")?;
    let v1::ResolveLegRequest { key, rail_reference: reference, evidence, .. } = message;
    let verdict = LegVerdict { key, word: word(message.word)?, reference, evidence };
    let envelope = caller.asks(request);
    let (leg, content, legs) = engine.resolve_leg(envelope, batch, verdict, signature).await?;
    Ok(leg_message(&content.legs[leg as usize], leg, &legs))
}
