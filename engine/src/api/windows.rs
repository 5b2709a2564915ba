//! Windows: closed, disputed, and their disputes ended.

use super::messages::{asked, asks, window_message};
use super::read::window;
use crate::ledger::{Caller, Command, Wish};
use crate::settle::Engine;
use crate::types::WindowNumber;
use tallystick_proto::v1;
use tonic::Status;

asks! {
    CloseWindowRequest "CloseWindow",
    DisputeWindowRequest "DisputeWindow",
    EndDisputeRequest "EndDispute",
}

/// Closes the open window. The root is part of the answer, so that waits for the seal.
pub(super) async fn close(
    engine: &Engine,
    caller: Caller,
    message: v1::CloseWindowRequest,
) -> Result<v1::Window, Status> {
    let (request, _) = asked(message)?;
    let cut = engine.tell(Wish::CloseWindow.by(caller, request)).await?.lsn();
    let sealed = engine.ask_until(|control| {
        let window = control.window_cut_by(cut).expect("the record closed a window");
        Ok(window.sealed.as_ref().map(|_| window_message(window, 0)))
    });
    Ok(v1::Window { state: v1::WindowState::Closed.into(), ..sealed.await? })
}

/// Disputes a window. Answers with the window as it stands then, also to a retry.
pub(super) async fn dispute(
    engine: &Engine,
    caller: Caller,
    message: v1::DisputeWindowRequest,
) -> Result<v1::Window, Status> {
    let (request, message) = asked(message)?;
    let number = WindowNumber(message.number);
    let wish = Wish::DisputeWindow { window: number, reason: message.reason };
    done(engine, wish.by(caller, request), number).await
}

/// Ends a dispute. Answers with the window as it stands then, also to a retry.
pub(super) async fn end_dispute(
    engine: &Engine,
    caller: Caller,
    message: v1::EndDisputeRequest,
) -> Result<v1::Window, Status> {
    let (request, message) = asked(message)?;
    let number = WindowNumber(message.number);
    let wish = Wish::EndDispute { window: number, reason: message.reason };
    done(engine, wish.by(caller, request), number).await
}

async fn done(
    engine: &Engine,
    command: Command,
    number: WindowNumber,
) -> Result<v1::Window, Status> {
    engine.tell(command).await?;
    window(engine, number).await
}
