//! What happened to parties, told over HTTP to their endpoints: at least once, to each in the order
//! in which it happened, as Standard Webhooks has it.
//!
//! Owns how far each endpoint has been told, when a delivery that failed is tried again, and when
//! an endpoint is paused. One task of the edge reads the durable events and keeps the positions;
//! each request is a thread of its own, of which there are a few. Nothing of the engine ever waits
//! for any of this, and it decides nothing.

mod courier;
mod line;
mod message;
mod page;
mod row;

pub use courier::Courier;

use super::engine::Engine;
use crate::journal::JournalError;
use crate::ledger::{Endpoint, Refusal};
use crate::limits::{HOOK_TEST_EVERY, HOOKS_OF_PARTY_AT_ONCE};
use crate::pipeline::{self, Busy, NotDone};
use crate::rails::hook::{Client, Message, Outcome, Reach, Roots, Secret, Target};
use crate::types::{Lsn, PartyId, Timestamp};
use crate::vault::Vault;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// How webhooks are sent.
#[derive(Debug, Clone)]
pub struct HookSettings {
    /// Where they may go.
    pub reach: Reach,
    /// Whose certificates receivers may show.
    pub roots: Roots,
    /// How long a request may take.
    pub timeout: Duration,
    /// When a delivery that failed is tried again.
    pub retries: Vec<Duration>,
}

/// How an endpoint stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookStanding {
    /// Its word: sending, failing, paused, stopped.
    pub state: &'static str,
    /// Everything before this record was told.
    pub next: Lsn,
    /// Deliveries of what is next that failed.
    pub failures: u32,
    /// Since when.
    pub failing_since: Option<Timestamp>,
    /// When it is tried again.
    pub next_try: Option<Timestamp>,
    /// Why the last one failed.
    pub reason: String,
}

/// How all of them stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HookCounts {
    /// Endpoints that are sent to.
    pub sending: u64,
    /// Those whose last delivery failed.
    pub failing: u64,
    /// Those that are paused because too many did.
    pub paused: u64,
    /// Those whose owner may not do so any more.
    pub stopped: u64,
    /// Deliveries since the start.
    pub delivered: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// Since when the one that has failed for longest does.
    pub failing_since: Option<Timestamp>,
}

/// The endpoints of a data directory that are paused, and why, as was written last: an engine may
/// run there.
///
/// # Errors
/// Of the storage.
pub fn paused_hooks(dir: &Path) -> Result<Vec<(Lsn, String)>, JournalError> {
    let rows = row::glance(dir)?.into_iter();
    let paused = rows.filter(|(_, row)| row.paused.is_some());
    Ok(paused.map(|(endpoint, row)| (endpoint, row.reason)).collect())
}

/// What is asked of the courier.
enum Ask {
    /// To go on from here; `None`: where it stopped.
    Replay(Lsn, Option<Lsn>, oneshot::Sender<()>),
}

/// Why nothing was sent for a test.
#[derive(Debug, thiserror::Error)]
pub enum NotTested {
    /// There is no such endpoint, or the engine has too much to do.
    #[error(transparent)]
    NotDone(#[from] NotDone),
    /// Another test was made a moment ago, or too many are under way.
    #[error("this webhook was tested a moment ago, or its party tests others; come again in 5 s")]
    TooSoon,
}

/// Where everybody else sees how webhooks stand, and asks for replays and tests. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Arc<Shared>);

struct Shared {
    settings: HookSettings,
    client: Client,
    asks: mpsc::Sender<Ask>,
    /// The other end, until the courier has it.
    asked: Mutex<Option<mpsc::Receiver<Ask>>>,
    standings: Mutex<BTreeMap<Lsn, HookStanding>>,
    delivered: AtomicU64,
    failed: AtomicU64,
    tested: Mutex<HashMap<Lsn, Instant>>,
    testing: Arc<Semaphore>,
}

impl Webhooks {
    /// Nothing is sent until the courier runs.
    #[must_use]
    pub fn new(settings: HookSettings) -> Self {
        let client = Client::new(settings.reach, settings.timeout, &settings.roots);
        let (asks, asked) = mpsc::channel(1);
        Self(Arc::new(Shared {
            settings,
            client,
            asks,
            asked: Mutex::new(Some(asked)),
            standings: Mutex::default(),
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            tested: Mutex::default(),
            testing: Arc::new(Semaphore::new(HOOKS_OF_PARTY_AT_ONCE * 4)),
        }))
    }

    /// Who sends them, once.
    #[must_use]
    pub fn courier(&self) -> Option<Courier> {
        let asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        asked.map(|asked| Courier::new(self.0.clone(), asked))
    }

    /// Where webhooks may go.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.0.settings.reach
    }

    /// How an endpoint stands; `None` until it was looked at.
    #[must_use]
    pub fn standing(&self, endpoint: Lsn) -> Option<HookStanding> {
        self.0.standings().get(&endpoint).cloned()
    }

    /// How all of them stand.
    #[must_use]
    pub fn counts(&self) -> HookCounts {
        let mut counts = HookCounts {
            delivered: self.0.delivered.load(Ordering::Relaxed),
            failed: self.0.failed.load(Ordering::Relaxed),
            ..HookCounts::default()
        };
        for of in self.0.standings().values() {
            match of.state {
                PAUSED => counts.paused += 1,
                STOPPED => counts.stopped += 1,
                FAILING => counts.failing += 1,
                _ => counts.sending += 1,
            }
            let older = |since: Timestamp| counts.failing_since.is_none_or(|oldest| since < oldest);
            if of.state == FAILING && of.failing_since.is_some_and(older) {
                counts.failing_since = of.failing_since;
            }
        }
        counts
    }

    /// Has an endpoint told again from this record on, or go on where it stopped. It is durable
    /// when this returns.
    ///
    /// # Errors
    /// `Stopping`.
    pub async fn replay(&self, endpoint: Lsn, from: Option<Lsn>) -> Result<(), Busy> {
        let (done, told) = oneshot::channel();
        let asked = self.0.asks.send(Ask::Replay(endpoint, from, done)).await;
        asked.map_err(|_| Busy::Stopping)?;
        told.await.map_err(|_| Busy::Stopping)
    }

    /// Sends one message to an endpoint now, beside all others, and says what came of it.
    ///
    /// # Errors
    /// `NotTested`.
    pub async fn test(
        &self,
        engine: &Engine,
        endpoint: Lsn,
    ) -> Result<(Outcome, String), NotTested> {
        let of = engine.ask(|control| Ok(control.endpoints().get(endpoint)?.clone())).await?;
        let permit = self.0.testing.clone().try_acquire_owned();
        let permit = permit.map_err(|_| NotTested::TooSoon)?;
        if !self.0.may_test(endpoint) {
            return Err(NotTested::TooSoon);
        }
        let now = pipeline::now();
        let id = format!("msg_test_{}_{}", endpoint, now.0);
        let message = Message { id: id.clone(), body: message::test(endpoint, of.party, now) };
        let (client, vault, (sent, outcome)) =
            (self.0.client.clone(), engine.vault().clone(), oneshot::channel());
        spawn(move || {
            let _permit = permit;
            // Nobody to tell if the caller went away.
            let _ = sent.send(send(&client, vault, &of, &message));
        });
        let outcome = outcome.await.map_err(|_| NotDone::from(Busy::Stopping))?;
        Ok((outcome, id))
    }
}

const SENDING: &str = "sending";
const FAILING: &str = "failing";
const PAUSED: &str = "paused";
const STOPPED: &str = "stopped";

impl Shared {
    fn standings(&self) -> MutexGuard<'_, BTreeMap<Lsn, HookStanding>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_test(&self, endpoint: Lsn) -> bool {
        let mut tested = self.tested.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        tested.retain(|_, at| now.duration_since(*at) < HOOK_TEST_EVERY);
        if tested.contains_key(&endpoint) {
            return false;
        }
        tested.insert(endpoint, now);
        true
    }
}

/// Runs what waits for a stranger on a thread of its own: nobody waits for it, not even the stop.
fn spawn(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name("webhook".to_owned());
    drop(thread.spawn(work).expect("the system starts a thread"));
}

/// Sends a message once. What is sealed is opened here, and forgotten here.
fn send(client: &Client, vault: Vault, of: &Endpoint, message: &Message) -> Outcome {
    let now = pipeline::now();
    let failed = |why: &dyn std::fmt::Display| Outcome::Failed(why.to_string());
    let open = match vault.open_endpoint(of, now) {
        Ok(open) => open,
        Err(error) => return failed(&error),
    };
    // Nothing of the engine is held while a stranger is waited for.
    drop(vault);
    let target = match Target::read(&open.url, client.reach()) {
        Ok(target) => target,
        Err(misfit) => return failed(&misfit),
    };
    let secrets: Result<Vec<Secret>, _> = open.secrets.into_iter().map(Secret::new).collect();
    match secrets {
        Ok(secrets) => client.send(&target, message, &secrets, now.seconds()),
        Err(misfit) => failed(&misfit),
    }
}

/// An endpoint, and whether it counts, as the courier goes by it.
#[derive(Clone)]
struct Known {
    endpoint: Lsn,
    of: Arc<Endpoint>,
    in_force: bool,
}

/// The endpoints that there are now.
type All = Vec<Known>;

/// What the ledger says: how far it is durable, and which endpoints there are if they changed.
struct Seen {
    end: Lsn,
    changes: (u64, u64),
    all: Option<All>,
}

async fn look(engine: &Engine, known: (u64, u64), again: bool) -> Result<Seen, NotDone> {
    let now = pipeline::now();
    let found = engine.ask(move |control| {
        let (endpoints, identities) = (control.endpoints(), control.identities());
        let changes = (endpoints.changes(), identities.changes());
        let all = (again || changes != known).then(|| {
            let one = |(endpoint, of): (Lsn, &Endpoint)| {
                let in_force = of.is_in_force(identities, now);
                Known { endpoint, of: Arc::new(of.clone()), in_force }
            };
            endpoints.all().map(one).collect()
        });
        Ok::<_, Refusal>(Seen { end: control.history().lsn, changes, all })
    });
    found.await
}

/// Whose endpoint has so many requests under way.
type UnderWay = HashMap<PartyId, usize>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{HOOK_RETRIES, HOOK_TIMEOUT};

    fn webhooks() -> Webhooks {
        let (reach, roots, timeout) = (Reach::default(), Roots::default(), HOOK_TIMEOUT);
        Webhooks::new(HookSettings { reach, roots, timeout, retries: HOOK_RETRIES.to_vec() })
    }

    #[test]
    fn one_is_tested_now_and_then_and_sent_to_by_one_courier() {
        let webhooks = webhooks();
        let may = |endpoint| webhooks.0.may_test(Lsn(endpoint));
        assert_eq!((may(1), may(1), may(2)), (true, false, true));
        assert!(webhooks.courier().is_some() && webhooks.courier().is_none());
    }

    #[test]
    fn counts_are_by_state_and_of_those_that_fail_the_oldest_counts() {
        let (webhooks, next) = (webhooks(), Lsn(1));
        let standing = |state, since: Option<i64>| {
            let failing_since = since.map(Timestamp);
            let (next_try, reason) = (None, String::new());
            HookStanding { state, next, failures: 0, failing_since, next_try, reason }
        };
        let all = [
            standing(SENDING, None),
            standing(FAILING, Some(9)),
            standing(FAILING, Some(5)),
            standing(PAUSED, Some(1)),
            standing(STOPPED, None),
        ];
        *webhooks.0.standings() = (1..).map(Lsn).zip(all).collect();
        let HookCounts { sending, failing, paused, stopped, failing_since, .. } = webhooks.counts();
        assert_eq!((sending, failing, paused, stopped), (1, 2, 1, 1));
        assert_eq!(failing_since, Some(Timestamp(5)));
    }
}
