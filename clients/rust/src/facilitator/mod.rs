//! Bringing vouchers to an engine: one at a time in, one long stream out, and each outcome back
//! once it is durable.
//!
//! Vouchers given while a frame is written make the next frame: nothing waits for company. When a
//! connection breaks, what was not acked is sent again, in order, on the next one: of several
//! nodes, to the one that owns the journal then.
//!
//! **Whether a voucher was credited is never guessed.** What an engine says of a voucher that is
//! sent a second time is about the second sending: `STALE` says that the total is held, and what it
//! refuses now (the key was revoked meanwhile) may have been credited before. So of every voucher
//! in a frame that was sent again and is not credited now, the engine is asked for the channel: a
//! voucher whose total is held is [`Outcome::CREDITED`] if its channel stands exactly at it and was
//! raised since the first sending, else [`Outcome::STALE`].

mod frames;
mod stream;

use crate::ask::asked;
use crate::error::CallError;
use crate::voucher::{Fields, Outcome, VOUCHER_BYTES, Voucher};
use crate::{Credentials, Link, Token, Way};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stream::{Item, Stream};
use tallystick_proto::v1::vouchers_client::VouchersClient;
use tallystick_proto::v1::{Frame, GetNetworkRequest, Network as Terms};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::service::interceptor::InterceptedService;

/// The generated client of the facilitators' service, with the caller's credential on every call.
pub type VouchersCalls = VouchersClient<InterceptedService<Link, Token>>;

/// Vouchers that wait for a place in a frame, beside those under way: who gives more waits.
const WAITING_MAX: usize = 4_096;

/// What became of a voucher. Durable when it is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Its outcome.
    pub outcome: Outcome,
    /// The journal position of the frame's record; 0 if nothing of the frame was journaled. Says
    /// nothing of what was credited.
    pub lsn: u64,
    /// Whether its frame was sent more than once.
    pub was_sent_again: bool,
}

/// Why there is no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The stream was stopped before the voucher was taken: nothing was sent.
    #[error("the stream is stopped: nothing was sent")]
    Stopped,
    /// The stream ended before the answer came. The voucher may have been credited all the same.
    #[error(
        "the stream ended before the answer came ({0}); send the voucher again, or ask for its \
         channel"
    )]
    Ended(String),
}

/// A voucher's outcome, to come.
#[derive(Debug)]
pub struct Waiting(oneshot::Receiver<Result<Answer, StreamError>>);

impl Waiting {
    /// Waits until the outcome is durable.
    ///
    /// # Errors
    /// `StreamError::Ended` when the stream ends first.
    pub async fn answer(self) -> Result<Answer, StreamError> {
        let gone = || StreamError::Ended("its task is gone".into());
        self.0.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Brings vouchers. Cheap to clone: all clones share one stream.
#[derive(Clone)]
pub struct Facilitator {
    ways: Arc<[Way]>,
    give: mpsc::Sender<Item>,
    stop: Arc<Mutex<Option<Ending>>>,
}

/// How the stream's task is ended.
struct Ending {
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Facilitator {
    /// Starts a stream to the engine at `server` (`HOST:PORT`, or a URL; of several nodes all of
    /// them, with commas between). Connects by itself.
    ///
    /// # Errors
    /// `ConnectError` when the address or the credentials make no sense.
    pub fn start(server: &str, credentials: &Credentials) -> Result<Self, crate::ConnectError> {
        Ok(Self::over(vec![Way::prepare(server, credentials)?]))
    }

    /// Starts a stream to one engine to which there are several ways (tunnels, proxies): when a
    /// connection breaks, the next one is tried. A way at which another network answers ends the
    /// stream. Nodes of one engine are one way with several addresses, which finds their owner.
    ///
    /// # Panics
    /// Without an address, or outside of a tokio runtime.
    #[must_use]
    pub fn over(ways: Vec<Way>) -> Self {
        assert!(!ways.is_empty(), "a facilitator needs an engine's address");
        let ways: Arc<[Way]> = ways.into();
        let (give, taken) = mpsc::channel(WAITING_MAX);
        let stop = Arc::new(Notify::new());
        let task = tokio::spawn(Stream::new(ways.clone(), taken, stop.clone()).run());
        Self { ways, give, stop: Arc::new(Mutex::new(Some(Ending { stop, task }))) }
    }

    /// Gives a voucher. Waits while as many are under way as may be; then its outcome is to come.
    ///
    /// # Errors
    /// `StreamError::Stopped` when the stream takes nothing more.
    pub async fn send(&self, voucher: &Voucher) -> Result<Waiting, StreamError> {
        self.send_packed(voucher.packed()).await
    }

    /// The same for a voucher's 160 bytes, as they came from an agent.
    ///
    /// # Errors
    /// As for `send`.
    pub async fn send_packed(&self, packed: [u8; VOUCHER_BYTES]) -> Result<Waiting, StreamError> {
        let (answer, waiting) = oneshot::channel();
        let given = self.give.send(Item { packed, answer }).await;
        given.map_err(|_| StreamError::Stopped)?;
        Ok(Waiting(waiting))
    }

    /// Gives a voucher, and waits until its outcome is durable.
    ///
    /// # Errors
    /// `StreamError` when there is none.
    pub async fn bring(&self, voucher: &Voucher) -> Result<Answer, StreamError> {
        self.send(voucher).await?.answer().await
    }

    /// Takes nothing more, and waits until everything that was given is acked; at most `within`.
    ///
    /// # Errors
    /// `StreamError::Ended` when that takes longer: whoever waits for an outcome is told so.
    pub async fn stop(&self, within: Duration) -> Result<(), StreamError> {
        let ending = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Ending { stop, mut task }) = ending else { return Ok(()) };
        stop.notify_one();
        match tokio::time::timeout(within, &mut task).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failed)) => Err(StreamError::Ended(failed.to_string())),
            Err(_) => {
                task.abort();
                Err(StreamError::Ended("not all acks came in time".into()))
            }
        }
    }

    /// A connection of its own for single calls.
    ///
    /// # Errors
    /// When none of the addresses answers.
    pub async fn calls(&self) -> Result<VouchersCalls, CallError> {
        let mut last = None;
        for way in self.ways.iter() {
            match way.connect().await {
                Ok(link) => return Ok(calls(way, link)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("there is an address").into())
    }

    /// What must be known before anything is signed: the network's id, its assets, its limits.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn network(&self) -> Result<Terms, CallError> {
        Ok(self.calls().await?.get_network(GetNetworkRequest {}).await?.into_inner())
    }

    /// The durable total of a voucher's channel. `None` for one that the engine does not hold:
    /// nothing was ever credited on it, or it has expired and was forgotten.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn total(&self, of: &Fields) -> Result<Option<u64>, CallError> {
        let found = self.calls().await?.get_channel(asked(of)).await?.into_inner();
        Ok(found.known.then_some(found.cumulative))
    }

    /// Sends one frame by itself, beside the stream, and gives the outcomes. To send it again is
    /// harmless.
    ///
    /// # Errors
    /// When the call fails; what was sent may have been credited all the same.
    pub async fn submit(&self, vouchers: &[Voucher]) -> Result<Vec<Outcome>, CallError> {
        let packed: Vec<u8> = vouchers.iter().flat_map(Voucher::packed).collect();
        let frame = Frame { frame_id: 1, packed: packed.into(), ..Frame::default() };
        let ack = self.calls().await?.submit(frame).await?.into_inner();
        match ack.outcomes.len() == vouchers.len() {
            true => Ok(ack.outcomes.iter().copied().map(Outcome).collect()),
            false => Err(CallError::Foreign("an ack has an outcome for each voucher".into())),
        }
    }
}

/// The service on a connection.
pub(crate) fn calls(way: &Way, link: Link) -> VouchersCalls {
    VouchersClient::with_interceptor(link, way.token())
}
