//! Somebody in the middle of the line to the node: loses requests or answers, or answers itself.
//!
//! Owns what happens to which call: all calls of one method, or any call with a chance. Never
//! changes what the node itself knows.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// It never reaches the node; the line is cut.
    LoseRequest,
    /// The node acts on it; its answer is lost, the line is cut.
    LoseAnswer,
    /// The node never sees it; this is the answer, with that status.
    Answer(u16, String),
    /// The node never sees it; the answer is that there is no such thing.
    Nothing,
    /// The node acts on it; all but the first bytes of the answer are lost.
    CutAnswer(usize),
    /// The node acts on it; in its answer the first text is replaced by the second, as long.
    Replace(String, String),
    /// The node acts on it; the answer comes so much later.
    Late(Duration),
}

/// A running proxy. Its threads end with the process.
pub struct Proxy {
    /// Where to ask instead of the node.
    pub url: String,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    upstream: String,
    /// Calls of this method meet this fault.
    method: String,
    fault: Fault,
    /// Any call meets one of these, so many times of a thousand each, by name.
    chances: Vec<(&'static str, u32, Fault)>,
    rng: ChaCha8Rng,
    /// Calls, and faults by name.
    counted: BTreeMap<&'static str, u64>,
}

impl Proxy {
    /// In front of the node at `upstream` (ip:port).
    #[must_use]
    pub fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Shared {
            upstream: upstream.to_owned(),
            method: String::new(),
            fault: Fault::Pass,
            chances: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(0),
            counted: BTreeMap::new(),
        };
        let shared = Arc::new(Mutex::new(shared));
        let own = Self { url, shared };
        let shared = own.shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(client, &shared));
            }
        });
        own
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, every call of `method` meets that fault.
    pub fn set(&self, method: &str, fault: Fault) {
        let mut shared = self.shared();
        (shared.method, shared.fault) = (format!("\"{method}\""), fault);
    }

    /// From now on, all calls pass.
    pub fn pass(&self) {
        self.set("", Fault::Pass);
        self.shared().chances.clear();
    }

    /// From now on, of a thousand calls, so many meet each of these faults.
    pub fn chance(&self, seed: u64, chances: Vec<(&'static str, u32, Fault)>) {
        let mut shared = self.shared();
        (shared.chances, shared.rng) = (chances, ChaCha8Rng::seed_from_u64(seed));
    }

    /// The node is at another address now.
    pub fn lead_to(&self, upstream: &str) {
        self.shared().upstream = upstream.to_owned();
    }

    /// How many calls came (`calls`), and how many met which fault.
    #[must_use]
    pub fn counted(&self) -> BTreeMap<&'static str, u64> {
        self.shared().counted.clone()
    }
}

impl Shared {
    /// What this request meets, and where the node is.
    fn meet(&mut self, request: &[u8]) -> (Fault, String) {
        let watched = String::from_utf8_lossy(request).contains(&self.method);
        let mut fault = if watched { self.fault.clone() } else { Fault::Pass };
        *self.counted.entry("calls").or_default() += 1;
        let mut draw = self.rng.random_range(0..1_000_u32);
        for (name, chance, other) in &self.chances {
            if draw < *chance {
                *self.counted.entry(name).or_default() += 1;
                fault = other.clone();
                break;
            }
            draw -= chance;
        }
        (fault, self.upstream.clone())
    }
}

/// Serves one connection until a fault cuts it.
fn serve(mut client: TcpStream, shared: &Mutex<Shared>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    loop {
        let request = message(&mut reader)?;
        let met = shared.lock().unwrap_or_else(PoisonError::into_inner).meet(&request);
        let (fault, upstream) = met;
        if let Fault::Answer(status, body) = fault {
            let length = body.len();
            write!(client, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}").ok()?;
            continue;
        }
        if fault == Fault::Nothing {
            let body = nothing(&request)?;
            let length = body.len();
            write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").ok()?;
            continue;
        }
        if fault == Fault::LoseRequest {
            return None;
        }
        let mut node = TcpStream::connect(upstream).ok()?;
        node.write_all(&request).ok()?;
        let mut answer = message(&mut BufReader::new(node))?;
        match fault {
            Fault::LoseAnswer => return None,
            Fault::CutAnswer(bytes) => {
                answer.truncate(bytes);
                client.write_all(&answer).ok()?;
                return None;
            }
            Fault::Replace(old, new) => {
                assert_eq!(old.len(), new.len(), "the head says how long the answer is");
                answer = String::from_utf8(answer).ok()?.replace(&old, &new).into_bytes();
            }
            Fault::Late(time) => std::thread::sleep(time),
            Fault::Pass | Fault::LoseRequest | Fault::Answer(..) | Fault::Nothing => {}
        }
        client.write_all(&answer).ok()?;
    }
}

/// The answer to a call that there is no such thing.
fn nothing(request: &[u8]) -> Option<String> {
    let body = request.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let call: serde_json::Value = serde_json::from_slice(&request[body..]).ok()?;
    Some(serde_json::json!({"jsonrpc": "2.0", "id": call["id"], "result": null}).to_string())
}

/// One HTTP message: its head and as many bytes as that says.
fn message(reader: &mut impl std::io::BufRead) -> Option<Vec<u8>> {
    let (mut whole, mut length) = (Vec::new(), 0);
    loop {
        let start = whole.len();
        if reader.read_until(b'\n', &mut whole).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&whole[start..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let start = whole.len();
    whole.resize(start + length, 0);
    reader.read_exact(&mut whole[start..]).ok()?;
    Some(whole)
}
