//! What a service manager is told: that the engine serves, and that it stops. Where none has asked
//! to be told (`NOTIFY_SOCKET`), nobody is.

use sd_notify::NotifyState;

/// Every client is served from now on.
pub(super) fn serving() {
    tell(NotifyState::Ready);
}

/// No client is let in any more; what was taken in is finished.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(why) = sd_notify::notify(&[state]) {
        tracing::warn!(%why, "the service manager cannot be told how the engine stands");
    }
}
