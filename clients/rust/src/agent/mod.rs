//! The payer's side: an agent with its key, its lanes and its budgets.
//!
//! ```text
//! pay ─▶ a lane is taken, the voucher's total is on the disk ─▶ the voucher leaves
//!     ─▶ confirmed: the lane is free · refused: free, at what the engine holds · neither: in doubt
//! ```
//!
//! A voucher is on the disk before anybody sees it, so that after a crash nothing is signed that an
//! earlier voucher is above of. A payment of which nobody knows what became leaves its lane **in
//! doubt**: it is used again when the engine has said what it holds.

mod budget;
mod lanes;
mod line;
mod payment;
mod store;

pub use budget::Budget;
pub use lanes::Count;
pub use payment::Payment;

use crate::ask::{asked, channels};
use crate::error::CallError;
use crate::facilitator::{VouchersCalls, calls};
use crate::voucher::{Channel, Network};
use crate::{AgentKey, Way};
use data_encoding::HEXLOWER;
use lanes::{Again, Lanes, Over, Want};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use store::{Durable, FileStore, Store, Written};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How many payments to one payee may be under way at once, if nothing else is said.
const LANES: usize = 64;
/// How long a payment waits for a lane.
const LANE_WAIT: Duration = Duration::from_secs(60);
/// How long until lanes in doubt are asked about once more, when asking failed.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Lanes that are asked about at once.
const ASKED: usize = 256;

/// Why nothing was paid. Nothing has left.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// A budget of this agent does not allow it.
    #[error("{0}: nothing was signed")]
    Budget(String),
    /// The amount is none that can be paid.
    #[error("{0}")]
    Amount(String),
    /// Too many payments to this payee are under way.
    #[error(
        "all lanes to this payee are out or in doubt: raise `lanes`, pay less at once, or see \
         whether the engine can be asked"
    )]
    Busy,
    /// The key of a request belongs to another payment, or that payment is under way.
    #[error("{0}")]
    Key(String),
    /// The payment of a request was credited, or may have been, on a channel that has expired
    /// since. Nobody can be asked about it any more.
    #[error(
        "the request {key} {}, on a channel that has expired since. It is not paid again; to pay \
         once more take another key",
        if *.paid { "was paid" } else { "may have been paid, as its payee's books or your statement tell" }
    )]
    Over {
        /// Its key.
        key: String,
        /// Whether it is known that it was credited.
        paid: bool,
    },
    /// The lanes cannot be kept.
    #[error("the lanes cannot be kept, so nothing is signed: {0}")]
    Store(#[from] io::Error),
    /// The engine was to be asked, and does not answer.
    #[error(transparent)]
    Ask(#[from] CallError),
}

/// Where lanes are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// In memory: after a crash new lanes are begun, and what the old ones were paid stays paid.
    /// For a try-out.
    Memory,
    /// In a file of its own, for one process at a time; the packages in Python and JavaScript read
    /// and write the same.
    File(PathBuf),
}

/// What an agent is made of.
#[derive(Clone)]
pub struct AgentOptions {
    /// Its key.
    pub key: AgentKey,
    /// The network's id, as the engine's operator tells it; never take it from a payee.
    pub network: [u8; 32],
    /// Where its lanes are kept.
    pub lanes: Keep,
    /// Where the engine can be asked what it holds. Without it a lane in doubt is left alone.
    pub ask: Option<Way>,
    /// The most that it signs, by the asset's number; without one there is no bound here.
    pub budgets: BTreeMap<u32, Budget>,
    /// How many payments to one payee may be under way at once.
    pub lanes_max: usize,
}

impl AgentOptions {
    /// An agent that keeps its lanes in memory, asks nobody and has no budgets.
    #[must_use]
    pub fn new(key: AgentKey, network: [u8; 32]) -> Self {
        let (lanes, budgets) = (Keep::Memory, BTreeMap::new());
        Self { key, network, lanes, ask: None, budgets, lanes_max: LANES }
    }
}

/// An agent. Cheap to clone; all clones share its lanes, and may pay side by side.
#[derive(Clone)]
pub struct Agent(Arc<Inner>);

/// See `Agent::known`.
enum Known {
    /// A payment is to be made, under this identifier.
    New(String),
    /// There is one, to be sent as it was.
    Same(Box<Payment>),
    /// Another payment of its lane comes to its end first.
    Wait,
}

struct Inner {
    key: AgentKey,
    network: Network,
    budgets: BTreeMap<u32, Budget>,
    way: Option<Way>,
    /// The connection on which is asked, once there is one; one asks at a time.
    asking: tokio::sync::Mutex<Option<VouchersCalls>>,
    lanes: Mutex<Lanes>,
    durable: Arc<Durable>,
    /// A lane has become free.
    freed: Notify,
}

impl Agent {
    /// Takes up the lanes. Blocks for a moment if they are in a file.
    ///
    /// # Errors
    /// When the lanes cannot be read or written, are another key's or network's, or another process
    /// has them.
    pub fn open(options: AgentOptions) -> io::Result<Self> {
        let AgentOptions { key, network, lanes, ask: way, budgets, lanes_max } = options;
        let durable = Arc::new(Durable::default());
        let (store, lines) = match lanes {
            Keep::Memory => (Store::Memory, Vec::new()),
            Keep::File(path) => {
                let opened = FileStore::open(&path, network, key.signer(), durable.clone())?;
                (Store::File(opened.0), opened.1)
            }
        };
        let lanes = Lanes::open(store, lines, lanes_max.max(1), way.is_some(), now())?;
        Ok(Self(Arc::new(Inner {
            key,
            network: Network::new(network),
            budgets,
            way,
            asking: tokio::sync::Mutex::new(None),
            lanes: Mutex::new(lanes),
            durable,
            freed: Notify::new(),
        })))
    }

    /// The public key.
    #[must_use]
    pub fn signer(&self) -> [u8; 32] {
        self.0.key.signer()
    }

    /// What was signed in an asset so far, in units, paid or not: what its budget counts.
    #[must_use]
    pub fn signed(&self, asset: u32) -> u128 {
        self.0.lanes().signed(asset)
    }

    /// How many lanes there are in each state.
    #[must_use]
    pub fn lanes(&self) -> Count {
        self.0.lanes().count()
    }

    /// Signs the voucher of a payment: `amount` units of an asset to a payee. The voucher is on the
    /// disk when it is here. Say what became of it; a payment that is dropped is in doubt.
    ///
    /// # Errors
    /// `PayError` when nothing was signed.
    pub async fn pay(&self, payee: [u8; 32], asset: u32, amount: u64) -> Result<Payment, PayError> {
        let id = format!("tly_{}", HEXLOWER.encode(&random::<16>()?));
        self.paying(Want { id, payee, asset, amount }).await
    }

    /// The same under a key of the caller's own. Who asks again under it, also after a crash, gets
    /// the very same voucher, which is credited once; another one only when it is certain that the
    /// first was not credited and never can be.
    ///
    /// # Errors
    /// `PayError::Key` when the key belongs to another payment, or that payment is under way.
    pub async fn pay_once(
        &self,
        key: &str,
        payee: [u8; 32],
        asset: u32,
        amount: u64,
    ) -> Result<Payment, PayError> {
        let until = Instant::now() + LANE_WAIT;
        loop {
            let freed = self.0.freed.notified();
            match self.known(key, payee, asset, amount)? {
                Known::New(id) => return self.paying(Want { id, payee, asset, amount }).await,
                Known::Same(payment) => return Ok(*payment),
                Known::Wait => {}
            }
            if matches!(self.0.ask().await, Ok(true)) {
                continue;
            }
            if Instant::now() > until {
                return Err(PayError::Busy);
            }
            drop(tokio::time::timeout(ASK_AGAIN, freed).await);
        }
    }

    /// What there is to do under a key of the caller's own.
    fn known(
        &self,
        key: &str,
        payee: [u8; 32],
        asset: u32,
        amount: u64,
    ) -> Result<Known, PayError> {
        let mut lanes = self.0.lanes();
        let is_known =
            |lanes: &Lanes, id: &str| lanes.payment(id).is_some() || lanes.over(id).is_some();
        let mut at = 1;
        // One that is void is followed by another, under the next identifier.
        while is_known(&lanes, &payment::numbered(key, at)) {
            at += 1;
        }
        let (id, fresh) = (payment::numbered(key, at - 1), payment::numbered(key, at));
        let over = |paid| PayError::Over { key: key.to_owned(), paid };
        let Some(one) = lanes.payment(&id).cloned() else {
            return match lanes.over(&id) {
                Some(Over { void: false, paid, .. }) => Err(over(paid)),
                Some(Over { void: true, .. }) | None => Ok(Known::New(fresh)),
            };
        };
        if lanes.is_void(&id, false, now())? {
            return Ok(Known::New(fresh));
        }
        // It may have been credited as long as its channel lasted, and the engine has forgotten
        // that channel.
        if one.channel.expires_at <= now() {
            return Err(over(one.paid));
        }
        if (one.channel.payee, one.channel.asset, one.amount) != (payee, asset, amount) {
            let text = "belongs to another payment: use one for each request";
            return Err(PayError::Key(format!("the key {key} {text}")));
        }
        match lanes.again(&id) {
            Again::Yes => Ok(Known::Same(Box::new(Payment::new(self.clone(), id, &one)))),
            Again::Wait => Ok(Known::Wait),
            Again::UnderWay => {
                let text = "is under way: wait for it";
                Err(PayError::Key(format!("the payment of the key {key} {text}")))
            }
        }
    }

    /// Asks the engine about all lanes in doubt, as a program does at its start. How many are left.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn resume(&self) -> Result<usize, PayError> {
        while self.0.ask().await? {}
        Ok(self.0.lanes().count().in_doubt)
    }

    async fn paying(&self, want: Want) -> Result<Payment, PayError> {
        if want.amount == 0 {
            return Err(PayError::Amount("an amount is above 0".into()));
        }
        let until = Instant::now() + LANE_WAIT;
        loop {
            let freed = self.0.freed.notified();
            if let Some((payment, written)) = self.begin(&want)? {
                self.0.make_durable(written).await?;
                return Ok(payment);
            }
            if matches!(self.0.ask().await, Ok(true)) {
                continue;
            }
            if Instant::now() > until {
                return Err(PayError::Busy);
            }
            // Either a lane is free, or it is time to ask again.
            drop(tokio::time::timeout(ASK_AGAIN, freed).await);
        }
    }

    fn begin(&self, want: &Want) -> Result<Option<(Payment, Option<Written>)>, PayError> {
        let random = u64::from_le_bytes(random()?);
        let budget = self.0.budgets.get(&want.asset).copied().unwrap_or_default();
        let taken = self.0.lanes().take(want, budget, now(), random)?;
        // From here on the lane is in doubt if nobody says what became of the payment.
        let payment =
            |(signed, written)| (Payment::new(self.clone(), want.id.clone(), &signed), written);
        Ok(taken.map(payment))
    }
}

impl Inner {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn make_durable(&self, written: Option<Written>) -> Result<(), PayError> {
        let Some(written) = written else { return Ok(()) };
        let durable = self.durable.clone();
        let done = tokio::task::spawn_blocking(move || durable.wait(&written)).await;
        Ok(done.map_err(io::Error::other)??)
    }

    /// Asks after lanes in doubt. Whether there is something new.
    async fn ask(&self) -> Result<bool, PayError> {
        let Some(way) = &self.way else { return Ok(false) };
        let mut asking = self.asking.lock().await;
        let doubtful = self.lanes().in_doubt(ASKED);
        if doubtful.is_empty() {
            return Ok(false);
        }
        let found = self.held(way, &mut asking, doubtful.iter().map(|(_, of)| *of)).await;
        if found.is_err() {
            // The next one makes a connection of its own.
            *asking = None;
        }
        let now = now();
        for ((id, _), held) in doubtful.iter().zip(found?) {
            self.lanes().answered(id, held, now)?;
        }
        self.freed.notify_waiters();
        Ok(true)
    }

    async fn held(
        &self,
        way: &Way,
        asking: &mut Option<VouchersCalls>,
        of: impl Iterator<Item = Channel>,
    ) -> Result<Vec<u64>, CallError> {
        let calls = match asking {
            Some(calls) => calls.clone(),
            None => asking.insert(calls(way, way.connect().await?)).clone(),
        };
        let signer = self.key.signer();
        let requests = of.map(|channel| asked(&channel.fields(signer, 0))).collect();
        let found = channels(&calls, requests).await?;
        Ok(found.iter().map(|channel| channel.cumulative).collect())
    }
}

/// Unix seconds.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.ok().and_then(|now| now.as_secs().try_into().ok()).unwrap_or(0)
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "order-12345678901";

    /// What an agent finds that comes back when the channel of its payment is over.
    async fn comes_back(more: &str) -> Result<Payment, PayError> {
        let dir = tempfile::tempdir()?;
        let (path, key) = (dir.path().join("agent.lanes"), AgentKey::new(&[3; 32]));
        let mut options = AgentOptions::new(key.clone(), [7; 32]);
        options.lanes = Keep::File(path.clone());
        drop(Agent::open(options.clone())?);
        let first = std::fs::read_to_string(&path)?;
        let payee = "05".repeat(32);
        let at = format!(r#"["{payee}",978,"1700000000","9"]"#);
        let sign = format!(r#"{{"sign":"{KEY}-1","at":{at},"amount":"30","total":"30"}}"#);
        let end = if more.is_empty() { "" } else { "\n" };
        std::fs::write(&path, format!("{first}{sign}\n{more}{end}"))?;
        // Over and over: it is remembered.
        drop(Agent::open(options.clone())?);
        let agent = Agent::open(options)?;
        assert_eq!(agent.signed(978), 30);
        agent.pay_once(KEY, [5; 32], 978, 30).await
    }

    #[tokio::test]
    async fn a_request_is_not_paid_anew_when_its_channel_is_over_unless_it_is_void() {
        let at = format!(r#"["{}",978,"1700000000","9"]"#, "05".repeat(32));
        let held = format!(r#"{{"held":"30","at":{at},"paid":"{KEY}-1"}}"#);
        for (more, known) in [("", false), (held.as_str(), true)] {
            let Err(PayError::Over { key, paid }) = comes_back(more).await else {
                panic!("it is paid anew")
            };
            assert_eq!((key.as_str(), paid), (KEY, known));
        }
        let void = format!(r#"{{"void":"{KEY}-1"}}"#);
        let anew = comes_back(&void).await.unwrap();
        assert_eq!(anew.id(), format!("{KEY}-2"));
        anew.in_doubt();
    }
}
