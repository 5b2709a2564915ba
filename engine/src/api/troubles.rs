//! Troubles: listed, shown beside other answers, and taken away.

use super::door::Place;
use super::messages::{asked, asks, id};
use super::read::{Streamed, streamed};
use crate::ledger::{Caller, Control, Trouble, TroubleKind, Wish};
use crate::limits::TROUBLES_SHOWN;
use crate::settle::Engine;
use crate::types::BatchId;
use bytes::Bytes;
use tallystick_proto::v1;
use tonic::Status;

asks! {
    AckTroublesRequest "AckTroubles",
}

/// Digits of a batch's id in a sentence: enough for every command.
const BATCH_DIGITS: usize = 16;

/// Those that are open, oldest first: all, or those about one batch.
pub(super) async fn list(
    engine: &Engine,
    place: Place,
    message: v1::ListTroublesRequest,
) -> Result<Streamed<v1::Trouble>, Status> {
    let batch = match message.batch_id.as_ref() {
        [] => None,
        bytes => Some(id::<BatchId>(bytes, "batch_id")?),
    };
    let open = engine.ask(|control| {
        batch.map_or(Ok(()), |batch| control.batch(batch).map(|_| ()))?;
        Ok(of(control, batch).map(self::message).collect::<Vec<_>>())
    });
    Ok(streamed(place, open.await?.into_iter()))
}

/// Takes some away; all of them or none.
pub(super) async fn ack(
    engine: &Engine,
    caller: Caller,
    message: v1::AckTroublesRequest,
) -> Result<v1::AckTroublesResponse, Status> {
    let (request, message) = asked(message)?;
    let mut troubles = message.numbers;
    troubles.sort_unstable();
    troubles.dedup();
    let wish = Wish::AckTroubles { troubles, note: message.note };
    engine.tell(wish.by(caller, request)).await?;
    let open = engine.ask(|control| Ok(control.troubles().count())).await?;
    Ok(v1::AckTroublesResponse { open: u64::try_from(open).expect("troubles are limited") })
}

/// Those of earlier batches that say that what this batch pays was paid, as sentences; at most
/// `TROUBLES_SHOWN`.
pub(super) fn again(control: &Control, batch: BatchId) -> Vec<String> {
    control.paid_again(batch).into_iter().take(TROUBLES_SHOWN).map(line).collect()
}

/// All that is open about a batch, for whoever is about to approve it.
pub(super) fn of_batch(control: &Control, batch: BatchId) -> Vec<String> {
    let mut name = batch.to_string();
    name.truncate(BATCH_DIGITS);
    let paid = again(control, batch).into_iter().map(|trouble| {
        format!("batch {name} pays again what the rail says it had paid: {trouble}")
    });
    paid.chain(sentences(control, Some(batch))).collect()
}

fn line(Trouble { number, of, .. }: &Trouble) -> String {
    let end = if of.text.ends_with('.') { "" } else { "." };
    format!("trouble {number} ({}): {}{end}", of.source, of.text)
}

/// Those that are open as sentences: at most `TROUBLES_SHOWN`, the oldest, and how many more.
pub(super) fn sentences(control: &Control, batch: Option<BatchId>) -> Vec<String> {
    let mut open = of(control, batch);
    let shown = open.by_ref().take(TROUBLES_SHOWN);
    let mut lines: Vec<String> = shown.map(line).collect();
    let more = open.count();
    if more > 0 {
        lines.push(format!("and {more} more: `tallystick trouble list` shows all"));
    }
    lines
}

fn of(control: &Control, batch: Option<BatchId>) -> impl Iterator<Item = &Trouble> {
    let about = move |trouble: &&Trouble| batch.is_none() || trouble.of.batch == batch;
    control.troubles().open().filter(about)
}

fn message(trouble: &Trouble) -> v1::Trouble {
    let batch_id = trouble.of.batch.map(|batch| Bytes::copy_from_slice(&batch.0));
    v1::Trouble {
        number: trouble.number,
        at_us: trouble.at.0,
        kind: kind(trouble.of.kind).into(),
        rail: trouble.of.rail.name().to_owned(),
        batch_id: batch_id.unwrap_or_default(),
        source: trouble.of.source.clone(),
        text: trouble.of.text.clone(),
    }
}

fn kind(kind: TroubleKind) -> v1::TroubleKind {
    match kind {
        TroubleKind::Contradiction => v1::TroubleKind::Contradiction,
        TroubleKind::Misfit => v1::TroubleKind::Misfit,
        TroubleKind::Surplus => v1::TroubleKind::Surplus,
        TroubleKind::Refused => v1::TroubleKind::Refused,
        TroubleKind::Held => v1::TroubleKind::Held,
        TroubleKind::Other => v1::TroubleKind::Other,
    }
}
