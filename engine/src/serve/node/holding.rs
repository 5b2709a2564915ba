//! The owner, as the other nodes see it: refreshes its lease, says where it stands, names the keys
//! that may follow its own, and hears when it is to hand the journal over.

use super::peers::{Entry, name_others, transfer_asked};
use crate::jetstream::limits::{
    CLAIM_WAIT, LEASE, LEASE_REFRESH, NODE_SAYS, OUTAGE_MAX, UNHEARD_PAUSE,
};
use crate::jetstream::{Holder, Link, StreamError};
use crate::journal::JournalError;
use crate::pipeline;
use crate::settle::Engine;
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::watch;

/// The thread of an owner.
pub(crate) struct Holding {
    shared: Arc<Shared>,
    thread: JoinHandle<Holder>,
    wanted: watch::Receiver<Option<Wanted>>,
}

/// Who is to have the journal next: by name, or whoever comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted(pub Option<String>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    moved: Condvar,
    /// When the lease was certainly its own last, in milliseconds since the machine was started.
    refreshed: AtomicU64,
}

#[derive(Default)]
struct State {
    /// 0: it is claiming the stream.
    epoch: u64,
    engine: Option<Engine>,
    serves: bool,
    advertise: Option<String>,
    /// There is something new to be said.
    urged: bool,
    stops: bool,
}

impl Holding {
    /// Begins to hold.
    pub fn start(link: Arc<Link>, holder: Holder) -> Self {
        let shared = Arc::<Shared>::default();
        let (want, wanted) = watch::channel(None);
        let of = shared.clone();
        let thread = std::thread::Builder::new().name("lease".to_owned());
        let thread = thread.spawn(move || hold(&link, holder, &of, &want));
        Self { shared, thread: thread.expect("the system can start a thread"), wanted }
    }

    /// It owns the journal, in this epoch.
    pub fn owns(&self, epoch: u64) {
        self.state().epoch = epoch;
    }

    /// See `Node::owns`.
    pub fn owns_still(&self) -> Box<dyn Fn() + Send + Sync> {
        let shared = self.shared.clone();
        Box::new(move || {
            let began = Instant::now();
            let lease = u64::try_from(LEASE.as_millis()).expect("some seconds");
            // Another node may own the journal from the end of the lease on.
            while up().saturating_sub(shared.refreshed.load(Ordering::Acquire)) >= lease / 2 {
                if began.elapsed() > OUTAGE_MAX {
                    let why = "the lease could not be refreshed, and nothing leaves without it";
                    pipeline::stop_at_once(&JournalError::Stream(why.to_owned()));
                }
                std::thread::sleep(UNHEARD_PAUSE);
            }
        })
    }

    /// It serves from here on, there.
    pub fn serves(&self, engine: Engine, advertise: Option<String>) {
        let mut state = self.state();
        (state.engine, state.advertise) = (Some(engine), advertise);
        (state.serves, state.urged) = (true, true);
        self.shared.moved.notify_all();
    }

    /// Comes when it is to hand the journal over.
    pub fn wanted(&self) -> watch::Receiver<Option<Wanted>> {
        self.wanted.clone()
    }

    /// It serves no more: the engine can end. The lease is held on.
    pub fn leaves(&self) {
        let engine = self.state().engine.take();
        drop(engine);
    }

    /// Lets the next one have the journal. Everything that was acked is in it.
    pub fn stop(self) {
        self.state().stops = true;
        self.shared.moved.notify_all();
        let to = self.wanted.borrow().clone().and_then(|Wanted(to)| to);
        let holder = self.thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e));
        if let Err(error) = holder.let_go(to) {
            tracing::warn!(%error, "the other nodes cannot be told that this one owns the journal no more");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

/// Milliseconds since the machine was started, its sleep included.
fn up() -> u64 {
    let up = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(up.tv_sec).unwrap_or_default();
    seconds * 1_000 + u64::try_from(up.tv_nsec / 1_000_000).unwrap_or_default()
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next turn; false when it is to stop.
    fn wait(&self) -> bool {
        let until = Instant::now() + LEASE_REFRESH;
        let mut state = self.state();
        while !state.stops {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || std::mem::take(&mut state.urged) {
                return true;
            }
            let waited = self.moved.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

fn hold(
    link: &Link,
    mut holder: Holder,
    shared: &Shared,
    want: &watch::Sender<Option<Wanted>>,
) -> Holder {
    let (began, mut said) = (Instant::now(), None::<Instant>);
    loop {
        let (engine, advertise) = {
            let state = shared.state();
            holder.tells(state.epoch, state.serves, state.advertise.clone());
            (state.engine.clone(), state.advertise.clone())
        };
        // Who cannot claim the stream keeps nobody else from it.
        if holder.epoch() > 0 || began.elapsed() < CLAIM_WAIT {
            let asked = up();
            match holder.refresh() {
                Ok(true) => shared.refreshed.store(asked, Ordering::Release),
                Ok(false) => {}
                Err(error) => pipeline::stop_at_once(&JournalError::from(error)),
            }
        }
        if said.is_none_or(|said| said.elapsed() >= NODE_SAYS) {
            said = Some(Instant::now());
            // Said again in a moment, where it cannot be said now.
            let _ = say(link, &holder, engine.as_ref(), advertise);
            if want.borrow().is_none() {
                let asked = transfer_asked(link, holder.epoch());
                want.send_replace(asked.ok().flatten().map(Wanted));
            }
        }
        drop(engine);
        if !shared.wait() {
            return holder;
        }
    }
}

fn say(
    link: &Link,
    holder: &Holder,
    engine: Option<&Engine>,
    advertise: Option<String>,
) -> Result<(), StreamError> {
    let (name, state) = (holder.who().name.clone(), "owner".to_owned());
    let void = link.void();
    let position = engine.map_or(0, |engine| engine.vitals().durable.0);
    let entry = Entry { name: name.clone(), advertise, state, position, void, ..Entry::default() };
    entry.publish(link)?;
    let Some(engine) = engine else { return Ok(()) };
    let (key, network) = (engine.key(), engine.network());
    name_others(link, (engine.vault(), network), &name, (key, key.public()))
}
