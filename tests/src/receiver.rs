//! A seller's server that is told over HTTP: takes webhooks, answers as it is bid, and checks
//! signatures as the specification says, without a line of the engine's.

use crate::tls::Certs;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver as Got, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(120);

/// A webhook that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its id.
    pub id: String,
    /// When it was sent, in seconds.
    pub timestamp: String,
    /// Its signatures.
    pub signature: String,
    /// Its body.
    pub body: String,
}

/// How a request is answered.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// With this status.
    Status(u16),
    /// Not at all: the connection stays open until the other side closes it.
    Hang,
}

/// The server.
pub struct Receiver {
    scheme: &'static str,
    address: SocketAddr,
    bids: Arc<Mutex<VecDeque<Answer>>>,
    got: Got<Hook>,
}

impl Hook {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    /// Whether one of the signatures is by this secret.
    ///
    /// # Panics
    /// When the secret is none.
    #[must_use]
    pub fn is_signed_by(&self, secret: &str) -> bool {
        let key = BASE64.decode(secret.strip_prefix("whsec_").expect("a secret").as_bytes());
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.expect("base64")).expect("any length");
        mac.update(format!("{}.{}.{}", self.id, self.timestamp, self.body).as_bytes());
        let wanted = format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()));
        self.signature.split(' ').any(|found| found == wanted)
    }
}

impl Receiver {
    /// Starts one that answers everything with 204, but what is bid otherwise.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start() -> Self {
        Self::serving(None)
    }

    /// The same under TLS, with the certificate of an engine.
    ///
    /// # Panics
    /// When it cannot listen, or the certificate not be used.
    #[must_use]
    pub fn under_tls(certs: &Certs) -> Self {
        Self::serving(Some(certs.server()))
    }

    fn serving(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let bids: Arc<Mutex<VecDeque<Answer>>> = Arc::default();
        let (here, (heard, got)) = (bids.clone(), channel());
        let scheme = if tls.is_some() { "https" } else { "http" };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (bids, heard, tls) = (here.clone(), heard.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(stream, &bids, &heard),
                    Some(tls) => {
                        let session = ServerConnection::new(tls).expect("a session");
                        serve(StreamOwned::new(session, stream), &bids, &heard);
                    }
                });
            }
        });
        Self { scheme, address, bids, got }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}/hooks", self.scheme, self.address)
    }

    /// Answers the next requests so.
    ///
    /// # Panics
    /// When a thread of it panicked.
    pub fn bid(&self, answers: &[Answer]) {
        self.bids.lock().expect("nobody panicked").extend(answers);
    }

    /// The next one that comes.
    ///
    /// # Panics
    /// When none does.
    #[must_use]
    pub fn next(&self) -> Hook {
        self.got.recv_timeout(DEADLINE).expect("a webhook comes")
    }

    /// Those that came and were not looked at.
    #[must_use]
    pub fn rest(&self) -> Vec<Hook> {
        self.got.try_iter().collect()
    }
}

fn serve(stream: impl Read + Write, bids: &Mutex<VecDeque<Answer>>, heard: &Sender<Hook>) {
    let mut stream = BufReader::new(stream);
    let Some(hook) = read(&mut stream) else { return };
    let bid = bids.lock().expect("nobody panicked").pop_front();
    // The test may be over.
    let _ = heard.send(hook);
    match bid.unwrap_or(Answer::Status(204)) {
        Answer::Status(status) => {
            let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.get_mut().write_all(head.as_bytes());
        }
        Answer::Hang => {
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
}

fn read(stream: &mut impl BufRead) -> Option<Hook> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let header = |name: &str| {
        let line = head.lines().find(|line| {
            line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
        });
        Some(line?.split_once(':')?.1.trim().to_owned())
    };
    let mut body = vec![0; header("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    Some(Hook {
        id: header("webhook-id")?,
        timestamp: header("webhook-timestamp")?,
        signature: header("webhook-signature")?,
        body: String::from_utf8(body).ok()?,
    })
}
