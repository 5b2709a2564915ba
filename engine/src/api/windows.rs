//! Windows: disputed, and their disputes ended.

use super::messages::{request, text};
use super::read::window;
use super::status::{invalid, not_done};
use crate::ledger::Event;
use crate::ledger::control::Command;
use crate::ledger::event::{DisputeEnded, WindowDisputed};
use crate::pipeline::Intake;
use crate::types::WindowNumber;
use tallystick_proto::v1;
use tonic::Status;

/// Disputes a window. Answers with the window as it stands then, also to a retry.
pub(super) async fn dispute(
    intake: &Intake,
    operator: String,
    mut message: v1::DisputeWindowRequest,
) -> Result<v1::Window, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "DisputeWindow", &message)?;
    let number = WindowNumber(message.number);
    let reason = reason(message.reason)?;
    let event = WindowDisputed { request, operator, window: number, reason };
    done(intake, Event::WindowDisputed(event), number).await
}

/// Ends a dispute. Answers with the window as it stands then, also to a retry.
pub(super) async fn end_dispute(
    intake: &Intake,
    operator: String,
    mut message: v1::EndDisputeRequest,
) -> Result<v1::Window, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "EndDispute", &message)?;
    let number = WindowNumber(message.number);
    let reason = reason(message.reason)?;
    let event = DisputeEnded { request, operator, window: number, reason };
    done(intake, Event::DisputeEnded(event), number).await
}

fn reason(given: String) -> Result<String, Status> {
    if given.trim().is_empty() {
        return Err(invalid("reason is missing: whoever looks at the window later needs it"));
    }
    text(given, "reason")
}

async fn done(intake: &Intake, event: Event, number: WindowNumber) -> Result<v1::Window, Status> {
    intake.command(Command::Record(event)).await.map_err(|r| not_done(&r))?;
    window(intake, number).await
}
