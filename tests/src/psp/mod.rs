//! A payment service provider for tests: a real HTTP server on loopback with books of its own.
//!
//! **It is a test double.** It was written from the public description of Stripe's API, moves no
//! money and is nobody's product; `README.md` beside this file says what it does and what it does
//! not.
//!
//! Owns what a provider owns: objects, idempotency keys, movements of money, webhooks. Knows
//! nothing of the engine. It honours idempotency keys as the description says, and fails on demand
//! in every way that a provider can: see [`Fault`].

mod api;
mod books;
mod faults;
mod hooks;
mod inbox;
mod make;
mod read;
mod serve;
mod wire;

pub use books::Movement;
pub use faults::{Fault, FaultOptions};
pub use hooks::{HookOptions, signature};
pub use inbox::{Delivery, Inbox};
pub use make::DisputeEnd;

use books::Books;
use faults::Faults;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, Semaphore};

/// How a provider is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens: a loopback address; port 0 is any free one.
    pub listen: SocketAddr,
    /// The secret key that callers must have.
    pub secret_key: String,
    /// Where its books are kept; in memory only without one.
    pub dir: Option<PathBuf>,
    /// How it fails.
    pub faults: FaultOptions,
    /// Where webhooks go, and how.
    pub hooks: HookOptions,
    /// How long what is `processing` or `pending` stays so; without it, until `POST /admin/settle`.
    pub settle_after: Option<Duration>,
}

impl Options {
    /// One that never fails, on any free port, with books in memory.
    #[must_use]
    pub fn new(secret_key: &str) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            secret_key: secret_key.into(),
            dir: None,
            faults: FaultOptions::default(),
            hooks: HookOptions::default(),
            settle_after: None,
        }
    }
}

/// What all tasks of one provider share.
pub(crate) struct Shared {
    options: Options,
    state: Mutex<State>,
    /// Wakes what is slow.
    hurry: Notify,
    /// Webhooks that are being posted at once.
    posts: Semaphore,
}

/// Posts at once: enough to reorder, few enough for a small machine.
const POSTS: usize = 16;

/// What changes.
pub(crate) struct State {
    books: Books,
    faults: Faults,
    hooks: HookOptions,
    /// Reads that take their time now.
    reading: usize,
}

impl Shared {
    /// Never held across a wait.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no task of the provider panics")
    }
}

/// A running provider. Dropping it is pulling its plug: nothing is ended in order, and what its
/// file holds is what it will remember.
pub struct Psp {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Psp {
    /// Starts one; it has read its file and is listening when this returns.
    ///
    /// # Errors
    /// What the file or the socket failed with.
    pub fn start(options: Options) -> io::Result<Self> {
        if !options.listen.ip().is_loopback() {
            return Err(io::Error::other("a test double of a provider listens on loopback only"));
        }
        let books = Books::open(options.dir.as_deref())?;
        let faults = Faults::new(options.faults.clone());
        let state = State { books, faults, hooks: options.hooks.clone(), reading: 0 };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("psp")
            .enable_all()
            .build()?;
        let listen = options.listen;
        let shared = Arc::new(Shared {
            options,
            state: Mutex::new(state),
            hurry: Notify::new(),
            posts: Semaphore::new(POSTS),
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind(listen))?;
        let address = listener.local_addr()?;
        runtime.spawn(serve::serve(listener, shared.clone()));
        {
            let _inside = runtime.enter();
            hooks::resume(&shared);
            api::resume(&shared);
        }
        Ok(Self { address, shared, runtime: Some(runtime) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of its API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every movement of money so far, in order.
    #[must_use]
    pub fn movements(&self) -> Vec<Movement> {
        self.shared.state().books.movements().to_vec()
    }

    /// How often each fault has happened.
    #[must_use]
    pub fn fault_counts(&self) -> Vec<(Fault, u64)> {
        self.shared.state().faults.counts()
    }

    /// How many calls that make something have come.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.shared.state().faults.calls()
    }

    /// How many calls with a key are being executed.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.state().books.running()
    }

    /// Fails by chance from now on as these say.
    pub fn set_faults(&self, options: FaultOptions) {
        self.shared.state().faults.set(options);
    }

    /// Has the next calls that make something fail so, one each, before chance is asked.
    pub fn fail_next(&self, faults: &[Fault]) {
        self.shared.state().faults.queue(faults);
    }

    /// Lets all go on that is slow now.
    pub fn hurry(&self) {
        self.shared.hurry.notify_waiters();
    }

    /// Ends what is `processing` or `pending`.
    pub fn settle(&self) {
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        api::settle(&self.shared);
    }

    /// Forgets all idempotency keys, as a provider may when they are a day old.
    pub fn forget_keys(&self) {
        self.shared.state().books.forget_keys();
    }

    /// A chargeback of a payment, of all of it or of `amount`: opened and closed at once. Whether
    /// there is such a payment.
    pub fn dispute(&self, payment_intent: &str, end: DisputeEnd, amount: Option<u64>) -> bool {
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        api::dispute(&self.shared, payment_intent, end, amount)
    }

    /// The customer completes a declined payment. Whether it can still be paid.
    pub fn complete(&self, payment_intent: &str) -> bool {
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        api::complete(&self.shared, payment_intent)
    }

    /// A refund does not arrive: the charge stands again. Whether there is such a refund.
    pub fn fail_refund(&self, refund: &str) -> bool {
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        api::fail_refund(&self.shared, refund)
    }

    /// Sends an event that nothing here led to, signed like the others; `more` stands beside its
    /// type.
    pub fn say(&self, kind: &str, object: &serde_json::Value, more: &serde_json::Value) {
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        api::say(&self.shared, kind, object, more);
    }

    /// How many reads take their time now.
    #[must_use]
    pub fn reading(&self) -> usize {
        self.shared.state().reading
    }

    /// The payment with this leg's key, as a list would show it.
    #[must_use]
    pub fn payment(&self, leg_key: &str) -> Option<serde_json::Value> {
        let state = self.shared.state();
        let found = state.books.newest_first().find(|object| {
            object["metadata"]["leg_key"] == leg_key && object["object"] == "payment_intent"
        });
        found.cloned()
    }

    /// Sends webhooks there from now on, also those that nobody has taken.
    pub fn send_webhooks(&self, options: HookOptions) {
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        self.shared.state().hooks = options;
        hooks::resume(&self.shared);
    }

    /// How many events have not been taken by the receiver of webhooks.
    #[must_use]
    pub fn undelivered(&self) -> usize {
        self.shared.state().books.undelivered_count()
    }
}

impl Drop for Psp {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_secs()
}
