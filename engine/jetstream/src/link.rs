//! The connection to the servers: one append, one message read, the epoch. Says what came of each,
//! and never tries an append twice by itself.

use super::error::StreamError;
use super::fit;
use super::fold::{Broken, Stand};
use super::limits::{
    ACK_WAIT, API_WAIT, CONNECT_WAIT, EPOCH_TRIES, HEADERS_ROOM, MESSAGE_BYTES_MAX, PAUSE,
    PAYLOAD_LEAST, PING_EVERY, READ_AHEAD, START_WAIT,
};
use super::message::Message;
use super::settings::Settings;
use super::wire::VisitMessage;
use async_nats::jetstream::context::{
    Context, ContextBuilder, GetStreamErrorKind, PublishErrorKind,
};
use async_nats::jetstream::kv::UpdateErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Info, LastRawMessageErrorKind, Stream};
use async_nats::{Client, ConnectOptions, Event};
use bytes::Bytes;
use std::collections::VecDeque;
use std::error::Error as _;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tallystick_journal::LogVitals;
use tokio::runtime::Runtime;
use tokio::time::sleep;

/// The error code of a stream that is not there.
const NO_STREAM: u64 = 10_059;
/// The key of the epoch in its bucket.
const EPOCH: &str = "epoch";

/// What came of an append.
#[derive(Debug)]
pub enum Sent {
    /// It is this message.
    At {
        /// Its sequence.
        seq: u64,
        /// The servers took it for one that they knew.
        duplicate: bool,
    },
    /// The stream ends elsewhere than was expected, as far as the server says.
    Moved {
        /// With this message.
        last: u64,
    },
    /// Nobody knows yet.
    Unknown {
        /// Why not.
        why: String,
        /// The server said nothing at all: it may stand still.
        silent: bool,
    },
}

/// A connection to the servers of one stream.
pub struct Link {
    pub(super) runtime: Runtime,
    settings: Settings,
    pub(super) client: Client,
    /// For appends.
    pub(super) appends: Context,
    /// For everything else.
    pub(super) api: Context,
    pub(super) vitals: Arc<LogVitals>,
}

pub(super) fn why(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        below = error.source();
    }
    text
}

impl Link {
    /// Connects to the first server that answers.
    ///
    /// # Errors
    /// `Unreachable`, `UnfitServer`.
    pub fn connect(settings: &Settings) -> Result<Self, StreamError> {
        let request = |what: &str, why: &dyn Display| StreamError::Request {
            what: what.to_owned(),
            why: why.to_string(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("jetstream")
            .enable_all()
            .build()
            .map_err(|error| request("no thread for the connection", &error))?;
        let client = runtime.block_on(async {
            let deadline = Instant::now() + START_WAIT;
            loop {
                let options = options(settings).await?;
                let failed = match options.connect(&settings.servers[..]).await {
                    Ok(client) => return Ok(client),
                    Err(error) => why(&error),
                };
                if Instant::now() > deadline {
                    return Err(StreamError::Unreachable {
                        servers: settings.servers.join(", "),
                        seconds: START_WAIT.as_secs(),
                        why: failed,
                    });
                }
                sleep(PAUSE).await;
            }
        })?;
        let context = |wait: Duration| {
            let _inside = runtime.enter();
            ContextBuilder::new().timeout(wait).build(client.clone())
        };
        let (appends, api) = (context(ACK_WAIT), context(API_WAIT));
        let (settings, vitals) = (settings.clone(), Arc::default());
        let link = Self { runtime, settings, client, appends, api, vitals };
        link.check_payload()?;
        Ok(link)
    }

    /// Whether the server takes the largest record.
    fn check_payload(&self) -> Result<(), StreamError> {
        let (info, least) = (self.client.server_info(), PAYLOAD_LEAST);
        if info.max_payload >= least {
            return Ok(());
        }
        let why = format!(
            "its max_payload is {} bytes, and the largest record needs {least}: set max_payload: 2MB on every server",
            info.max_payload
        );
        Err(StreamError::UnfitServer { server: info.server_name, why })
    }

    /// Whether the server that is connected now takes a message of so many bytes: it may be another
    /// one than that by which the message was cut.
    pub(super) fn check_takes(&self, bytes: usize) -> Result<(), StreamError> {
        if bytes <= self.message_bytes_max() {
            return Ok(());
        }
        self.check_payload()?;
        let info = self.client.server_info();
        let why = format!(
            "its max_payload is {} bytes, and that of another one is more: set the same on every server",
            info.max_payload
        );
        Err(StreamError::UnfitServer { server: info.server_name, why })
    }

    /// Bytes of the largest message that is sent.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.client.max_payload().saturating_sub(HEADERS_ROOM).min(MESSAGE_BYTES_MAX)
    }

    /// What the link was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the servers say of the stream; `None` where there is none.
    ///
    /// # Errors
    /// `Request` when nobody says anything for too long.
    pub fn info(&self) -> Result<Option<Info>, StreamError> {
        self.info_of(&self.settings.stream)
    }

    /// The same of another stream.
    pub(super) fn info_of(&self, stream: &str) -> Result<Option<Info>, StreamError> {
        let deadline = Instant::now() + START_WAIT;
        loop {
            match self.try_info_of(stream) {
                Ok(info) => return Ok(info),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// What the servers say of the stream, asked once.
    pub(super) fn try_info(&self) -> Result<Option<Info>, StreamError> {
        self.try_info_of(&self.settings.stream)
    }

    /// The same of another stream.
    pub(super) fn try_info_of(&self, stream: &str) -> Result<Option<Info>, StreamError> {
        let got = self.wait(self.api.get_stream(stream));
        match got {
            Ok(stream) => Ok(Some(stream.cached_info().clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(of) if of.error_code().0 == NO_STREAM => Ok(None),
                GetStreamErrorKind::JetStream(_)
                | GetStreamErrorKind::EmptyName
                | GetStreamErrorKind::Request
                | GetStreamErrorKind::InvalidStreamName => {
                    let what = format!("stream {stream}: the servers do not describe it");
                    Err(StreamError::Request { what, why: why(&error) })
                }
            },
        }
    }

    /// Makes the stream.
    ///
    /// # Errors
    /// `Request`.
    pub fn create(&self) -> Result<(), StreamError> {
        self.make(&fit::stream(&self.settings))
    }

    pub(super) fn failed(
        &self,
        what: &str,
        error: &(dyn std::error::Error + 'static),
    ) -> StreamError {
        let what = format!("stream {}: {what}", self.settings.stream);
        StreamError::Request { what, why: why(error) }
    }

    /// Appends one message, at whatever place, or behind `expected` and nowhere else.
    pub(super) fn append(&self, subject: &str, message: Bytes, expected: Option<u64>) -> Sent {
        let mut publish = PublishMessage::build().payload(message);
        if let Some(expected) = expected {
            publish = publish.expected_last_sequence(expected);
        }
        let sent = self.wait(async {
            // Where there is no connection it would lie in a queue, and go out when nobody waits.
            if self.client.connection_state() != async_nats::connection::State::Connected {
                return Err((PublishErrorKind::BrokenPipe, "there is no connection".to_owned()));
            }
            let said = |error: async_nats::jetstream::context::PublishError| {
                let last = error.source().map_or_else(String::new, ToString::to_string);
                (error.kind(), if last.is_empty() { error.to_string() } else { last })
            };
            let acked =
                self.appends.send_publish(subject.to_owned(), publish).await.map_err(said)?;
            acked.await.map_err(said)
        });
        match sent {
            Ok(ack) => Sent::At { seq: ack.sequence, duplicate: ack.duplicate },
            Err((PublishErrorKind::WrongLastSequence, text)) => match last_in(&text) {
                Some(last) => Sent::Moved { last },
                None => Sent::Unknown { why: format!("it is refused ({text})"), silent: false },
            },
            Err((kind, why)) => Sent::Unknown { why, silent: kind == PublishErrorKind::TimedOut },
        }
    }

    /// Pauses after an append of unknown fate. Where the server was silent it goes to another one.
    pub(super) fn pause(&self, silent: bool) {
        self.wait(async {
            if silent {
                // Fails where the client has ended, which the next append finds out.
                let _ = self.client.force_reconnect().await;
            }
            sleep(PAUSE).await;
        });
    }

    /// Hands out the messages behind where `stand` stands, up to and with `to`, in order: each is
    /// asked for by its number, and must come from some replica within `patience`.
    ///
    /// # Errors
    /// `Hole` for the first that nobody has, `NoAnswer` where that is not known; what `visit` says.
    pub(super) fn read(
        &self,
        stand: Stand,
        to: u64,
        patience: Duration,
        visit: &mut VisitMessage<'_>,
    ) -> Result<(), StreamError> {
        if to <= stand.seq {
            return Ok(());
        }
        let stream = self.wait(self.api.get_stream_no_info(&self.settings.stream));
        let stream = stream.map_err(|error| self.failed("it cannot be read", &error))?;
        let (mut next, mut asked) = (stand.seq + 1, VecDeque::new());
        for seq in stand.seq + 1..=to {
            while next <= to && asked.len() < READ_AHEAD {
                asked.push_back(self.runtime.spawn(one(stream.clone(), next, patience)));
                next += 1;
            }
            let message = asked.pop_front().expect("one was asked for above");
            let ended = |error: tokio::task::JoinError| Missing::NoAnswer(error.to_string());
            let message = self.wait(message).map_err(ended).flatten();
            let message = message.map_err(|missing| match missing {
                Missing::NotFound => StreamError::from(Broken::Hole { seq, lsn: stand.tail.lsn }),
                Missing::NoAnswer(why) => StreamError::NoAnswer { seq, why },
            })?;
            visit(seq, &message)?;
        }
        Ok(())
    }

    /// Raises the epoch, above `last`, for whoever is called `name`.
    ///
    /// # Errors
    /// `Epoch`.
    pub(super) fn raise_epoch(&self, last: u64, name: &str) -> Result<u64, StreamError> {
        let bucket = self.settings.bucket();
        let epoch = |why: String| StreamError::Epoch { bucket: bucket.clone(), last, why };
        self.wait(async {
            let mut failed = String::new();
            for _ in 0..EPOCH_TRIES {
                let store = match self.api.get_key_value(&bucket).await {
                    Ok(store) => Ok(store),
                    Err(_) => self
                        .api
                        .create_key_value(fit::bucket(&self.settings))
                        .await
                        .map_err(|e| why(&e)),
                };
                let raised = match store {
                    Ok(store) => {
                        fit::check_bucket(&store.stream.cached_info().config).map_err(epoch)?;
                        let held =
                            store.entry(EPOCH).await.map(|held| held.map_or(0, |of| of.revision));
                        match held {
                            Ok(held) => {
                                let raised =
                                    store.update(EPOCH, name.to_owned().into(), held).await;
                                raised.map_err(|error| match error.kind() {
                                    UpdateErrorKind::WrongLastRevision => {
                                        "others raise it".to_owned()
                                    }
                                    UpdateErrorKind::InvalidKey
                                    | UpdateErrorKind::TimedOut
                                    | UpdateErrorKind::Other => why(&error),
                                })
                            }
                            Err(error) => Err(why(&error)),
                        }
                    }
                    Err(why) => Err(why),
                };
                match raised {
                    Ok(raised) if raised > last => return Ok(raised),
                    Ok(_) => {}
                    Err(why) => {
                        failed = why;
                        sleep(PAUSE).await;
                    }
                }
            }
            Err(epoch(failed))
        })
    }
}

async fn options(settings: &Settings) -> Result<ConnectOptions, StreamError> {
    let mut options = ConnectOptions::new()
        .name("tallystick")
        // They would be plain text, whatever the configured ones are.
        .ignore_discovered_servers()
        // One of them by TLS: then no connection goes without.
        .require_tls(settings.servers.iter().any(|server| server.starts_with("tls://")))
        .ping_interval(PING_EVERY)
        .connection_timeout(CONNECT_WAIT)
        .max_reconnects(None)
        .reconnect_delay_callback(|tries| PAUSE * u32::try_from(tries).unwrap_or(1).min(5))
        .event_callback(|event| async move {
            match event {
                Event::Connected => tracing::info!("connected to a server of the journal's stream"),
                Event::ServerError(why) => {
                    tracing::error!("a server of the journal's stream says: {why}")
                }
                other @ (Event::Disconnected
                | Event::LameDuckMode
                | Event::Draining
                | Event::Closed
                | Event::SlowConsumer(_)
                | Event::ClientError(_)) => {
                    tracing::warn!("the connection to the journal's stream: {other}");
                }
            }
        });
    if let Some(path) = &settings.credentials {
        let unread = |error: std::io::Error| StreamError::Request {
            what: format!("the credentials in {}", path.display()),
            why: error.to_string(),
        };
        options = options.credentials_file(path).await.map_err(unread)?;
    }
    if let Some(tls) = &settings.tls {
        options = options.require_tls(true);
        if let Some(ca) = &tls.ca_file {
            options = options.add_root_certificates(ca.clone());
        }
        if let Some((certificate, key)) = &tls.own {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
    }
    Ok(options)
}

/// Why a message was not handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Missing {
    /// Nobody has it who answers, the leader among them.
    NotFound,
    /// Nobody who must know has said anything.
    NoAnswer(String),
}

/// One message, from whichever replica has it, or from the leader: one that was acked is there.
/// Bytes that are no message are handed out only where a replica and the leader have the same, or
/// nobody has others within `patience`.
async fn one(stream: Stream<()>, seq: u64, patience: Duration) -> Result<Bytes, Missing> {
    let deadline = Instant::now() + patience;
    let mut unread: Option<Bytes> = None;
    loop {
        if let Ok(found) = stream.direct_get(seq).await
            && found.sequence == seq
        {
            if Message::read(&found.payload).is_ok() {
                return Ok(found.payload);
            }
            unread = Some(found.payload);
        }
        let missing = match stream.get_raw_message(seq).await {
            Ok(found) if found.sequence != seq => {
                Missing::NoAnswer(format!("message {} came in its place", found.sequence))
            }
            Ok(found) => {
                let same = unread.as_ref() == Some(&found.payload);
                if same || Message::read(&found.payload).is_ok() {
                    return Ok(found.payload);
                }
                unread = Some(found.payload);
                Missing::NotFound
            }
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Missing::NotFound,
                LastRawMessageErrorKind::InvalidSubject
                | LastRawMessageErrorKind::JetStream(_)
                | LastRawMessageErrorKind::Other => Missing::NoAnswer(why(&error)),
            },
        };
        if Instant::now() > deadline {
            return unread.ok_or(missing);
        }
        sleep(PAUSE).await;
    }
}

/// The last message's number, as a refusal names it.
pub(super) fn last_in(text: &str) -> Option<u64> {
    let (_, number) = text.rsplit_once("wrong last sequence: ")?;
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    number[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_last_message() {
        assert_eq!(last_in("wrong last sequence: 17 (code 400, error code 10071)"), Some(17));
        assert_eq!(last_in("wrong last sequence: 0"), Some(0));
        assert_eq!(last_in("no message found"), None);
        assert_eq!(last_in("wrong last sequence: "), None);
    }
}
