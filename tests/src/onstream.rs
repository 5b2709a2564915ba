//! Load on an engine whose journal is a stream, and books of it: what was sent and what was acked
//! on every channel, whoever answers, through kills of engines and servers.

use crate::Outcome::{Credited, Stale};
use crate::nats::Cluster;
use crate::wire::GetChannelRequest;
use crate::{Client, World, frame, outcomes, until};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::watch;

/// The stream's name.
pub const STREAM: &str = "books";
/// Who pays.
pub const PAYERS: usize = 3;
/// Who is paid.
pub const PAYEES: usize = 2;
const LANES: u64 = 4;

/// The settings of an engine whose journal is on these servers.
#[must_use]
pub fn settings(cluster: &Cluster) -> String {
    let list = |of: Vec<String>| format!("{of:?}");
    format!(
        "[journal]\nkind = \"jetstream\"\nstream = \"{STREAM}\"\nservers = {}\nmonitors = {}\n",
        list(cluster.urls()),
        list(cluster.monitors())
    )
}

/// A channel: payer, payee, lane.
pub type Key = (usize, usize, u64);

/// Of each channel what was sent last, and what was acked last.
#[derive(Debug, Default)]
pub struct Books {
    /// Totals that were sent.
    pub sent: BTreeMap<Key, u64>,
    /// Totals that were acked.
    pub acked: BTreeMap<Key, u64>,
    /// The longest time without an ack since somebody asked, in milliseconds.
    gap: u64,
}

/// Somebody who pays on every channel in turn, over and over, whoever answers.
pub struct Load {
    books: Arc<Mutex<Books>>,
    frames: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    clients: watch::Sender<Client>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    /// Begins.
    #[must_use]
    pub fn start(client: &Client, world: &Arc<World>) -> Self {
        let (clients, client) = watch::channel(client.clone());
        let books = Arc::<Mutex<Books>>::default();
        let (frames, ends) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let of = (books.clone(), frames.clone(), ends.clone());
        let task = tokio::spawn(pay(of, client, world.clone()));
        Self { books, frames, ends, clients, task }
    }

    /// Another engine answers from here on.
    pub fn goes_to(&self, client: &Client) {
        self.clients.send_replace(client.clone());
    }

    /// Frames that were acked so far.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Waits until so many more frames were acked.
    pub fn until_acked(&self, more: u64) {
        let from = self.acked();
        until("frames are acked", || (self.acked() >= from + more).then_some(()));
    }

    /// The longest time without an ack since this was asked last, in milliseconds.
    #[must_use]
    pub fn gap_ms(&self) -> u64 {
        std::mem::take(&mut self.books.lock().expect("nobody failed").gap)
    }

    /// Ends; the books.
    pub async fn end(self) -> Books {
        self.ends.store(true, Ordering::Relaxed);
        self.task.await.expect("it pays until it is told to end");
        Arc::into_inner(self.books).expect("nobody else pays").into_inner().expect("nobody failed")
    }
}

async fn pay(
    (books, frames, ends): (Arc<Mutex<Books>>, Arc<AtomicU64>, Arc<AtomicBool>),
    mut clients: watch::Receiver<Client>,
    world: Arc<World>,
) {
    let keys = (0..PAYERS).flat_map(|payer| {
        (0..PAYEES).flat_map(move |payee| (0..LANES).map(move |lane| (payer, payee, lane)))
    });
    let keys: Vec<Key> = keys.collect();
    let mut last = Instant::now();
    while !ends.load(Ordering::Relaxed) {
        let vouchers: Vec<_> = {
            let mut books = books.lock().expect("nobody failed");
            let next = |&key: &Key| {
                let total = books.sent.entry(key).or_default();
                *total += 1 + key.2;
                world.voucher(key.0, key.1, key.2, *total)
            };
            keys.iter().map(next).collect()
        };
        let mut client = clients.borrow().clone();
        match client.vouchers.submit(frame(1, &vouchers)).await {
            Ok(ack) => {
                let outcomes = outcomes(&ack.into_inner());
                let mut books = books.lock().expect("nobody failed");
                for ((key, voucher), outcome) in keys.iter().zip(&vouchers).zip(outcomes) {
                    assert!([Credited, Stale].contains(&outcome), "{outcome:?}");
                    books.acked.insert(*key, voucher.cumulative);
                }
                let gap = std::mem::replace(&mut last, Instant::now()).elapsed();
                books.gap = books.gap.max(u64::try_from(gap.as_millis()).unwrap_or(u64::MAX));
                frames.fetch_add(1, Ordering::Relaxed);
            }
            // Its fate is unknown; the next one has higher totals.
            Err(_) => clients.changed().await.expect("another engine follows"),
        }
    }
}

/// What the engine holds of these channels.
pub async fn held(
    client: &mut Client,
    world: &World,
    keys: &BTreeMap<Key, u64>,
) -> BTreeMap<Key, u64> {
    let mut held = BTreeMap::new();
    for key in keys.keys() {
        let request = GetChannelRequest {
            signer: world.payers[key.0].key().0.to_vec().into(),
            payee: world.payees[key.1].0.to_vec().into(),
            asset: World::PAIRS,
            lane: key.2,
            expires_at: world.expires_at,
        };
        let answer = client.vouchers.get_channel(request).await.expect("the engine answers");
        held.insert(*key, answer.into_inner().cumulative);
    }
    held
}

/// What is owed in each window: payer, payee, amount.
pub type Owed = BTreeMap<u64, Vec<(Vec<u8>, Vec<u8>, u64)>>;

/// What is owed in every window up to `last`.
pub async fn owed(client: &mut Client, last: u64) -> Owed {
    let mut owed = BTreeMap::new();
    for window in 1..=last {
        let of = client.obligations(window, World::PAIRS).await;
        let amount = |text: &str| text.parse().expect("sums are decimal digits");
        let all = of.iter().map(|of| (of.payer.to_vec(), of.payee.to_vec(), amount(&of.amount)));
        owed.insert(window, all.collect());
    }
    owed
}
