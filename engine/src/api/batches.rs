//! Batches: computed, approved, aborted, listed and exported.

use super::door::Place;
use super::messages::{asked, asked_signed, asks, batch_message, id, leg_state};
use super::read::Streamed;
use super::status::{invalid, storage};
use super::troubles;
use crate::ledger::control::BatchEntry;
use crate::ledger::{
    Approval, BatchHead, BatchState, Caller, Control, Deed, LegState, Legs, Rail, Refusal, Request,
    Wish,
};
use crate::rails;
use crate::settle::{CreateBatch, Engine};
use crate::types::{AssetNumber, BatchId, Lsn, Timestamp, Total, WindowNumber};
use bytes::Bytes;
use std::sync::Arc;
use tallystick_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

asks! {
    CreateBatchRequest "CreateBatch",
    ApproveBatchRequest "ApproveBatch" signature,
    AbortBatchRequest "AbortBatch",
}

/// Chunks of an export that may wait for the client.
const EXPORT_CHUNKS: usize = 1;

pub(super) async fn create(
    engine: &Engine,
    caller: Caller,
    message: v1::CreateBatchRequest,
) -> Result<v1::Batch, Status> {
    let (request, mut message) = asked(message)?;
    // In whichever order they are named.
    message.windows.sort_unstable();
    let ask = CreateBatch {
        caller,
        request,
        four_eyes: engine.four_eyes(),
        windows: message.windows.into_iter().map(WindowNumber).collect(),
        asset: AssetNumber(message.asset),
        rail: rail(&message.rail)?,
        // Who asks for a batch gets it, however little it moves.
        least: Total::ZERO,
    };
    let head = engine.create_batch(&ask).await?;
    // Who made it is the one who called first.
    let (_, deed, computed) = deed(engine, &ask.request).await?;
    let troubles = engine.ask(|control| Ok(troubles::of_batch(control, head.id))).await?;
    Ok(v1::Batch { troubles, ..as_it_was_done(&head, deed, computed) })
}

/// The batch that the record of a request computed or aborted, and what it did.
/// When it was computed is known as long as it was not computed again.
async fn deed(
    engine: &Engine,
    request: &Request,
) -> Result<(Arc<BatchHead>, Deed, (Timestamp, Lsn)), Status> {
    let found = engine.ask(|control| {
        let lsn = control.answered(request)?.expect("it was answered just now");
        let deed = control.deed(lsn).expect("the request computed or aborted a batch").clone();
        let entry = control.batch(deed.batch)?;
        let known = entry.computed_lsn <= lsn;
        let computed = (entry.computed_at, entry.computed_lsn);
        let computed = if known { computed } else { (Timestamp::default(), Lsn(0)) };
        Ok((entry.head.clone(), deed, computed))
    });
    Ok(found.await?)
}

/// A batch as a record left it, whatever came since: one that was aborted may have been computed
/// again.
fn as_it_was_done(
    head: &BatchHead,
    Deed { by, aborted, batch: _ }: Deed,
    (computed_at, computed_lsn): (Timestamp, Lsn),
) -> v1::Batch {
    let state = match aborted {
        Some(_) => v1::BatchState::Aborted,
        None => v1::BatchState::Computed,
    };
    let (aborted_by, abort_reason) = aborted.unwrap_or_default();
    v1::Batch {
        computed_at_us: computed_at.0,
        computed_lsn: computed_lsn.0,
        created_by: by.operator,
        four_eyes: by.four_eyes,
        aborted_by,
        abort_reason,
        legs_by_state: leg_counts(&Legs::ready(head.leg_count)),
        ..batch_message(head, state)
    }
}

fn rail(name: &str) -> Result<Rail, Status> {
    Rail::from_name(name).ok_or_else(|| invalid(Rail::unknown(name)))
}

/// Approves a batch, wakes the settler, and waits a while for what it does first. Answers with the
/// batch as it stands then, also to a retry.
pub(super) async fn approve(
    engine: &Engine,
    caller: Caller,
    message: v1::ApproveBatchRequest,
) -> Result<v1::Batch, Status> {
    let (request, message, signature) = asked_signed(message)?;
    let batch: BatchId = id(&message.batch_id, "batch_id")?;
    engine.approve_batch(caller.asks(request), batch, signature).await?;
    engine.turn().await;
    get(engine, batch).await
}

/// Aborts a batch. The answer is that of the first time, also to a retry.
pub(super) async fn abort(
    engine: &Engine,
    caller: Caller,
    message: v1::AbortBatchRequest,
) -> Result<v1::Batch, Status> {
    let (request, message) = asked(message)?;
    let batch: BatchId = id(&message.batch_id, "batch_id")?;
    let wish = Wish::AbortBatch { batch, reason: message.reason };
    engine.tell(wish.by(caller, request.clone())).await?;
    let (head, deed, computed) = deed(engine, &request).await?;
    Ok(as_it_was_done(&head, deed, computed))
}

pub(super) async fn get(engine: &Engine, batch: BatchId) -> Result<v1::Batch, Status> {
    let found = engine.ask(|control| {
        let troubles = troubles::of_batch(control, batch);
        control.batch(batch).map(|entry| v1::Batch { troubles, ..as_it_stands(entry) })
    });
    Ok(found.await?)
}

/// Batches as they stand: all, or a page of them.
pub(super) async fn list(
    engine: &Engine,
    asked: v1::ListBatchesRequest,
) -> Result<Vec<v1::Batch>, Status> {
    let v1::ListBatchesRequest { limit, before, newest_first, open } = asked;
    let before = (before > 0).then_some(Lsn(before));
    let limit = if limit == 0 { usize::MAX } else { limit as usize };
    let page = |control: &Control| {
        let own = |entry: &&BatchEntry| before.is_none_or(|lsn| entry.computed_lsn < lsn);
        let mut found: Vec<&BatchEntry> = match (open, newest_first) {
            (true, _) => control.open_batches().into_iter().filter(own).collect(),
            (false, true) => control.batches_before(before).take(limit).collect(),
            (false, false) => control.batches().into_iter().filter(own).collect(),
        };
        if open && newest_first {
            found.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.computed_lsn));
        } else if open {
            found.sort_unstable_by_key(|entry| entry.computed_lsn);
        }
        found.truncate(limit);
        Ok(found.into_iter().map(as_it_stands).collect())
    };
    Ok(engine.ask(page).await?)
}

pub(super) fn batch_state(state: BatchState) -> v1::BatchState {
    match state {
        BatchState::Computed => v1::BatchState::Computed,
        BatchState::Approved => v1::BatchState::Approved,
        BatchState::Submitting => v1::BatchState::Submitting,
        BatchState::Settled => v1::BatchState::Settled,
        BatchState::SettledWithCarry => v1::BatchState::SettledWithCarry,
        BatchState::Aborted => v1::BatchState::Aborted,
    }
}

pub(super) fn as_it_stands(entry: &BatchEntry) -> v1::Batch {
    let Approval { operator: approved_by, at, key } = entry.approved.clone().unwrap_or_default();
    let approved_key = key.map(|key| Bytes::copy_from_slice(&key.0)).unwrap_or_default();
    let (aborted_by, abort_reason) = entry.aborted.clone().unwrap_or_default();
    v1::Batch {
        created_by: entry.by.operator.clone(),
        four_eyes: entry.by.four_eyes,
        approved_by,
        approved_at_us: at.0,
        approved_key,
        aborted_by,
        abort_reason,
        ended_at_us: entry.ended_at.unwrap_or_default().0,
        legs_by_state: leg_counts(&entry.legs),
        owed_again: entry.legs.owed_again().to_string(),
        computed_at_us: entry.computed_at.0,
        computed_lsn: entry.computed_lsn.0,
        ..batch_message(&entry.head, batch_state(entry.state()))
    }
}

/// How many legs stand where: the states in which there is one.
fn leg_counts(legs: &Legs) -> Vec<v1::LegCount> {
    let count =
        |state: LegState| v1::LegCount { state: leg_state(state).into(), legs: legs.count(state) };
    LegState::ALL.into_iter().map(count).filter(|count| count.legs > 0).collect()
}

fn exportable(entry: &BatchEntry) -> Result<(), Refusal> {
    match entry.state() {
        BatchState::Computed
        | BatchState::Approved
        | BatchState::Submitting
        | BatchState::Settled
        | BatchState::SettledWithCarry => Ok(()),
        BatchState::Aborted => Err(Refusal::BatchState {
            batch: entry.head.id,
            state: entry.state().name(),
            allowed: "its files must not reach a bank; create a new batch",
        }),
    }
}

/// The rail's files. Written by a thread of their own, chunk by chunk as the client takes them.
pub(super) async fn export(
    engine: &Engine,
    place: Place,
    batch: BatchId,
) -> Result<Streamed<v1::ExportChunk>, Status> {
    let (content, vault) = (engine.batch(batch, exportable).await?, engine.vault().clone());
    let (chunks_in, chunks) = mpsc::channel(EXPORT_CHUNKS);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let shown = match vault.show_batch(&content) {
            Ok(shown) => shown,
            Err(error) => {
                // Nobody to tell if the client is gone.
                let _ = chunks_in.blocking_send(Err(storage(&error)));
                return;
            }
        };
        // An error means that the client went away: the rest is not made.
        let _ = rails::export(&shown, &mut |file_name, bytes| {
            let (file_name, content) = (file_name.to_owned(), Bytes::copy_from_slice(bytes));
            chunks_in.blocking_send(Ok(v1::ExportChunk { file_name, content }))
        });
    });
    Ok(Box::pin(ReceiverStream::new(chunks)))
}
