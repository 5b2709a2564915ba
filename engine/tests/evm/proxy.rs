//! A man in the middle of the line to the node: loses requests or answers, or answers himself.

use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What happens to a call of the method that the proxy watches.
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
    /// The node acts on it; all but the first bytes of the answer are lost.
    CutAnswer(usize),
    /// The node acts on it; in its answer the first text is replaced by the second, as long.
    Replace(String, String),
}

pub struct Proxy {
    pub url: String,
    fault: Arc<Mutex<(String, Fault)>>,
}

impl Proxy {
    /// In front of the node at `upstream` (host:port). Its thread ends with the process.
    pub fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let fault = Arc::new(Mutex::new((String::new(), Fault::Pass)));
        let (upstream, shared) = (upstream.to_owned(), Arc::clone(&fault));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (upstream, fault) = (upstream.clone(), Arc::clone(&shared));
                std::thread::spawn(move || serve(client, &upstream, &fault));
            }
        });
        Self { url, fault }
    }

    /// From now on, every call of `method` meets that fault.
    pub fn set(&self, method: &str, fault: Fault) {
        *self.fault.lock().expect("not poisoned") = (format!("\"{method}\""), fault);
    }

    pub fn pass(&self) {
        self.set("", Fault::Pass);
    }
}

/// Serves one connection until a fault cuts it.
fn serve(mut client: TcpStream, upstream: &str, fault: &Mutex<(String, Fault)>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    loop {
        let request = message(&mut reader)?;
        let (method, fault) = fault.lock().expect("not poisoned").clone();
        let watched = String::from_utf8_lossy(&request).contains(&method);
        let fault = if watched { fault } else { Fault::Pass };
        if let Fault::Answer(status, body) = fault {
            let length = body.len();
            write!(client, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}").ok()?;
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
            Fault::Pass | Fault::LoseRequest | Fault::Answer(..) => {}
        }
        client.write_all(&answer).ok()?;
    }
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
