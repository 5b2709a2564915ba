//! Windows: disputed, and their disputes ended.

use super::messages::request;
use super::read::window;
use super::status::not_done;
use crate::ledger::{Caller, Command, Wish};
use crate::pipeline::Intake;
use crate::types::WindowNumber;
use tallystick_proto::v1;
use tonic::Status;

/// Disputes a window. Answers with the window as it stands then, also to a retry.
pub(super) async fn dispute(
    intake: &Intake,
    caller: Caller,
    mut message: v1::DisputeWindowRequest,
) -> Result<v1::Window, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "DisputeWindow", &message)?;
    let number = WindowNumber(message.number);
    let reason = message.reason;
    done(intake, Wish::DisputeWindow { window: number, reason }.by(caller, request), number).await
}

/// Ends a dispute. Answers with the window as it stands then, also to a retry.
pub(super) async fn end_dispute(
    intake: &Intake,
    caller: Caller,
    mut message: v1::EndDisputeRequest,
) -> Result<v1::Window, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "EndDispute", &message)?;
    let number = WindowNumber(message.number);
    let reason = message.reason;
    done(intake, Wish::EndDispute { window: number, reason }.by(caller, request), number).await
}

async fn done(
    intake: &Intake,
    command: Command,
    number: WindowNumber,
) -> Result<v1::Window, Status> {
    intake.command(command).await.map_err(|r| not_done(&r))?;
    window(intake, number).await
}
