//! Batches: computed, approved, aborted, listed and exported.

use super::door::Place;
use super::messages::{batch_message, id, leg_state, request};
use super::read::Streamed;
use super::status::{busy, invalid, not_done, not_loaded, refused, storage};
use super::troubles;
use crate::ledger::control::BatchEntry;
use crate::ledger::{
    BatchContent, BatchHead, BatchState, Caller, Deed, LegState, Legs, Rail, Refusal, Request, Wish,
};
use crate::limits::{BATCH_WINDOWS_MAX, SETTLER_PATIENCE};
use crate::pipeline::Intake;
use crate::rails;
use crate::settle::{Archive, Clearing, CreateBatch, Nudge, create_batch};
use crate::sign::EngineKey;
use crate::types::{AssetNumber, BatchId, WindowNumber};
use bytes::Bytes;
use std::sync::Arc;
use tallystick_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Chunks of an export that may wait for the client.
const EXPORT_CHUNKS: usize = 1;

pub(super) async fn create(
    intake: &Intake,
    archive: &Archive,
    engine_key: &EngineKey,
    clearing: &Clearing,
    (caller, four_eyes): (Caller, bool),
    mut message: v1::CreateBatchRequest,
) -> Result<v1::Batch, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "CreateBatch", &message)?;
    let ask = CreateBatch {
        caller,
        request,
        four_eyes,
        windows: windows(message.windows)?,
        asset: AssetNumber(message.asset),
        rail: rail(&message.rail)?,
    };
    let head = create_batch(intake, archive, engine_key, clearing, &ask).await;
    let head = head.map_err(|r| not_loaded(&r))?;
    // Who made it is the one who called first.
    let (_, deed) = deed(intake, &ask.request).await?;
    let found = intake.read(|control| troubles::of_batch(control, head.id)).await;
    let troubles = found.map_err(|b| busy(&b))?;
    Ok(v1::Batch { troubles, ..as_it_was_done(&head, deed) })
}

/// The batch that the record of a request computed or aborted, and what it did.
async fn deed(intake: &Intake, request: &Request) -> Result<(Arc<BatchHead>, Deed), Status> {
    let found = intake.read(|control| {
        let lsn = control.answered(request)?.expect("it was answered just now");
        let deed = control.deed(lsn).expect("the request computed or aborted a batch").clone();
        Ok((control.batch(deed.batch)?.head.clone(), deed))
    });
    found.await.map_err(|b| busy(&b))?.map_err(|r: Refusal| refused(&r))
}

/// A batch as a record left it, whatever came since: one that was aborted may have been computed
/// again.
fn as_it_was_done(head: &BatchHead, Deed { by, aborted, batch: _ }: Deed) -> v1::Batch {
    let state = match aborted {
        Some(_) => v1::BatchState::Aborted,
        None => v1::BatchState::Computed,
    };
    let (aborted_by, abort_reason) = aborted.unwrap_or_default();
    v1::Batch {
        created_by: by.operator,
        four_eyes: by.four_eyes,
        aborted_by,
        abort_reason,
        legs_by_state: leg_counts(&Legs::ready(head.leg_count)),
        ..batch_message(head, state)
    }
}

/// The windows of a batch, ascending, each once.
fn windows(mut asked: Vec<u64>) -> Result<Vec<WindowNumber>, Status> {
    if asked.is_empty() || asked.len() > BATCH_WINDOWS_MAX {
        let count = asked.len();
        return Err(invalid(format!(
            "a batch settles 1 to {BATCH_WINDOWS_MAX} windows, {count} were named"
        )));
    }
    asked.sort_unstable();
    if let Some(twice) = asked.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(invalid(format!("window {} is named twice", twice[0])));
    }
    Ok(asked.into_iter().map(WindowNumber).collect())
}

fn rail(name: &str) -> Result<Rail, Status> {
    let available = || Rail::ALL.map(Rail::name).join(", ");
    Rail::from_name(name).ok_or_else(|| {
        invalid(format!("rail {name:?} is not available; there is: {}", available()))
    })
}

/// Approves a batch, wakes the settler, and waits a while for what it does first. Answers with the
/// batch as it stands then, also to a retry.
pub(super) async fn approve(
    intake: &Intake,
    nudge: &Nudge,
    caller: Caller,
    mut message: v1::ApproveBatchRequest,
) -> Result<v1::Batch, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "ApproveBatch", &message)?;
    let batch: BatchId = id(&message.batch_id, "batch_id")?;
    let wish = Wish::ApproveBatch { batch };
    intake.command(wish.by(caller, request)).await.map_err(|r| not_done(&r))?;
    nudge.turn(SETTLER_PATIENCE).await;
    get(intake, batch).await
}

/// Aborts a batch. The answer is that of the first time, also to a retry.
pub(super) async fn abort(
    intake: &Intake,
    caller: Caller,
    mut message: v1::AbortBatchRequest,
) -> Result<v1::Batch, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "AbortBatch", &message)?;
    let batch: BatchId = id(&message.batch_id, "batch_id")?;
    let wish = Wish::AbortBatch { batch, reason: message.reason };
    let command = wish.by(caller, request.clone());
    intake.command(command).await.map_err(|r| not_done(&r))?;
    let (head, deed) = deed(intake, &request).await?;
    Ok(as_it_was_done(&head, deed))
}

pub(super) async fn get(intake: &Intake, batch: BatchId) -> Result<v1::Batch, Status> {
    let found = intake.read(|control| {
        let troubles = troubles::of_batch(control, batch);
        control.batch(batch).map(|entry| v1::Batch { troubles, ..as_it_stands(entry) })
    });
    found.await.map_err(|b| busy(&b))?.map_err(|r| refused(&r))
}

pub(super) async fn list(intake: &Intake) -> Result<Vec<v1::Batch>, Status> {
    let found = intake.read(|control| control.batches().into_iter().map(as_it_stands).collect());
    found.await.map_err(|b| busy(&b))
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
    let (approved_by, approved_at) = entry.approved.clone().unwrap_or_default();
    let (aborted_by, abort_reason) = entry.aborted.clone().unwrap_or_default();
    v1::Batch {
        created_by: entry.by.operator.clone(),
        four_eyes: entry.by.four_eyes,
        approved_by,
        approved_at_us: approved_at.0,
        aborted_by,
        abort_reason,
        ended_at_us: entry.ended_at.unwrap_or_default().0,
        legs_by_state: leg_counts(&entry.legs),
        owed_again: entry.legs.owed_again().to_string(),
        ..batch_message(&entry.head, batch_state(entry.state()))
    }
}

/// How many legs stand where: the states in which there is one.
fn leg_counts(legs: &Legs) -> Vec<v1::LegCount> {
    let count =
        |state: LegState| v1::LegCount { state: leg_state(state).into(), legs: legs.count(state) };
    LegState::ALL.into_iter().map(count).filter(|count| count.legs > 0).collect()
}

/// A batch with its legs, if `allowed` does not refuse it.
pub(super) async fn content(
    intake: &Intake,
    archive: &Archive,
    batch: BatchId,
    allowed: fn(&BatchEntry) -> Result<(), Refusal>,
) -> Result<Arc<BatchContent>, Status> {
    let found = intake.read(|control| {
        let entry = control.batch(batch)?;
        allowed(entry)?;
        let windows = entry.head.windows.iter();
        let windows = windows.map(|&window| control.window(window)?.sealed_head());
        Ok((entry.head.clone(), windows.collect::<Result<Vec<_>, Refusal>>()?))
    });
    let (head, windows) = found.await.map_err(|b| busy(&b))?.map_err(|r: Refusal| refused(&r))?;
    let archive = archive.clone();
    let content = tokio::task::spawn_blocking(move || archive.batch(&head, &windows)).await;
    content.expect("loading does not panic").map_err(|error| storage(&error))
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
    intake: &Intake,
    archive: &Archive,
    place: Place,
    batch: BatchId,
) -> Result<Streamed<v1::ExportChunk>, Status> {
    let content = content(intake, archive, batch, exportable).await?;
    let (chunks_in, chunks) = mpsc::channel(EXPORT_CHUNKS);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        // An error means that the client went away: the rest is not made.
        let _ = rails::export(&content, &mut |file_name, bytes| {
            let (file_name, content) = (file_name.to_owned(), Bytes::copy_from_slice(bytes));
            chunks_in.blocking_send(Ok(v1::ExportChunk { file_name, content }))
        });
    });
    Ok(Box::pin(ReceiverStream::new(chunks)))
}
