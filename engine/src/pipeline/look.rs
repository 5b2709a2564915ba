//! Looking at the pipeline from outside: what has changed, and how it is.

use super::intake::Busy;
use super::meters::Meters;
use crate::journal::LogVitals;
use crate::types::Lsn;
use crate::verify;
use std::sync::Arc;
use tokio::sync::watch;

/// Changes of the control state, one after the other.
pub struct Watch {
    seen: Lsn,
    changed: watch::Receiver<Lsn>,
    durable: watch::Receiver<Lsn>,
}

/// How the pipeline is.
pub struct Vitals<'a> {
    /// The last durable record.
    pub durable: Lsn,
    /// How much waits in each queue.
    pub queues: [(&'static str, usize); 4],
    /// Vouchers received and not yet answered.
    pub inflight_vouchers: u64,
    /// Counters since the start.
    pub meters: &'a Meters,
    /// How signatures are checked, and what that has led to.
    pub verify: verify::Status,
    /// On how many threads.
    pub verify_threads: usize,
    /// How many shards there are.
    pub shards: u16,
    /// What the log counts, where it is kept on other machines.
    pub log: Option<Arc<LogVitals>>,
}

impl Watch {
    pub(super) fn new(
        seen: Lsn,
        changed: watch::Receiver<Lsn>,
        durable: watch::Receiver<Lsn>,
    ) -> Self {
        Self { seen, changed, durable }
    }

    /// Waits for a change behind the last one that was seen, and says which record made the newest:
    /// several may have come together. It is durable.
    ///
    /// # Errors
    /// `Stopping`.
    pub async fn next(&mut self) -> Result<Lsn, Busy> {
        let seen = self.seen;
        let changed = self.changed.wait_for(|changed| *changed > seen).await;
        let newest = changed.map(|newest| *newest).map_err(|_| Busy::Stopping)?;
        self.durable.wait_for(|reached| *reached >= newest).await.map_err(|_| Busy::Stopping)?;
        self.seen = newest;
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_seen_once_it_is_durable_and_never_twice() {
        let (change, changed) = watch::channel(Lsn(4));
        let (harden, durable) = watch::channel(Lsn(4));
        let mut watched = Watch::new(Lsn(0), changed.clone(), durable.clone());
        assert_eq!(watched.next().await, Ok(Lsn(4)), "what was there before counts");
        let mut none = Watch::new(Lsn(4), changed, durable);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut poll = |watched: &mut Watch| {
            let polled = std::pin::pin!(watched.next()).poll(&mut context);
            match polled {
                std::task::Poll::Ready(found) => Some(found),
                std::task::Poll::Pending => None,
            }
        };
        assert_eq!((poll(&mut watched), poll(&mut none)), (None, None), "nothing has changed");
        change.send_replace(Lsn(6));
        change.send_replace(Lsn(9));
        harden.send_replace(Lsn(8));
        assert_eq!(poll(&mut watched), None, "the newest is not durable");
        harden.send_replace(Lsn(9));
        assert_eq!(poll(&mut watched), Some(Ok(Lsn(9))));
        assert_eq!(poll(&mut watched), None);
        drop((change, harden));
        assert_eq!(poll(&mut watched), Some(Err(Busy::Stopping)));
        assert_eq!(poll(&mut none), Some(Ok(Lsn(9))), "it was changed before the stop");
    }
}
