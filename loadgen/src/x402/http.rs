//! HTTP/1.1 as far as a load needs it: one connection that stays open, small JSON both ways. So
//! little that, beside who answers, it hardly counts.

use crate::error::Error;
use memchr::memmem;
use std::io;
use std::ops::Range;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Room for a request or an answer, so that buffers hardly ever grow.
const BUFFER_BYTES: usize = 4_096;

/// A connection to a facilitator.
pub struct Connection {
    stream: TcpStream,
    address: String,
    request: Vec<u8>,
    /// The answer: head and body.
    answer: Vec<u8>,
}

/// A connection that is no thread's yet.
pub struct Dialed {
    stream: std::net::TcpStream,
    address: String,
}

impl Dialed {
    /// Makes it this thread's, which runs tokio.
    ///
    /// # Errors
    /// When the system does not take it.
    pub fn open(self) -> Result<Connection, Error> {
        let Self { stream, address } = self;
        let stream = TcpStream::from_std(stream).map_err(|source| lost(&address, &source))?;
        let (request, answer) =
            (Vec::with_capacity(BUFFER_BYTES), Vec::with_capacity(BUFFER_BYTES));
        Ok(Connection { stream, address, request, answer })
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(address: &str) -> Result<Self, Error> {
        Self::dial(address).await?.open()
    }

    /// Connects for another thread.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn dial(address: &str) -> Result<Dialed, Error> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.and_then(TcpStream::into_std);
        let stream = stream.map_err(|source| lost(address, &source))?;
        Ok(Dialed { stream, address: address.to_owned() })
    }

    /// Posts a body, and gives the answer's.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is not 200.
    pub async fn post(&mut self, path: &str, body: &str) -> Result<&[u8], Error> {
        self.request.clear();
        let length = body.len().to_string();
        let parts = [
            "POST ",
            path,
            " HTTP/1.1\r\nhost: ",
            &self.address,
            "\r\ncontent-type: application/json\r\ncontent-length: ",
            &length,
            "\r\n\r\n",
            body,
        ];
        for part in parts {
            self.request.extend_from_slice(part.as_bytes());
        }
        let sent = self.stream.write_all(&self.request).await;
        sent.map_err(|source| lost(&self.address, &source))?;
        let (status, body) = self.read(path).await?;
        if status != 200 {
            return Err(wrong(path, "with a failure", &self.answer));
        }
        Ok(&self.answer[body])
    }

    /// Asks for what is at a path, and gives the answer's status.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn get(&mut self, path: &str) -> Result<u16, Error> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        let sent = self.stream.write_all(request.as_bytes()).await;
        sent.map_err(|source| lost(&self.address, &source))?;
        Ok(self.read(path).await?.0)
    }

    /// Reads one answer: its status, and where its body is. Nothing follows it: the next request is
    /// not sent before.
    async fn read(&mut self, path: &str) -> Result<(u16, Range<usize>), Error> {
        self.answer.clear();
        let head = loop {
            self.more().await?;
            if let Some(end) = memmem::find(&self.answer, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let status = self.answer.get(9..12).and_then(|digits| str::from_utf8(digits).ok());
        let Some(status) = status.and_then(|digits| digits.parse().ok()) else {
            return Err(wrong(path, "without a status", &self.answer));
        };
        let Some(length) = content_length(&self.answer[..head]) else {
            return Err(wrong(path, "without its length", &self.answer));
        };
        while self.answer.len() < head + length {
            self.more().await?;
        }
        Ok((status, head..head + length))
    }

    async fn more(&mut self) -> Result<(), Error> {
        match self.stream.read_buf(&mut self.answer).await {
            Ok(0) => Err(lost(&self.address, &io::Error::from(io::ErrorKind::UnexpectedEof))),
            Ok(_) => Ok(()),
            Err(source) => Err(lost(&self.address, &source)),
        }
    }
}

/// That an answer is not what was asked for.
fn wrong(path: &str, what: &str, answer: &[u8]) -> Error {
    let said = String::from_utf8_lossy(answer);
    Error::Engine(format!("{path} is answered {what}: {}", said.trim()))
}

fn lost(address: &str, source: &io::Error) -> Error {
    Error::Engine(format!("the connection to {address} is lost: {source}"))
}

/// What the head says of the body's length.
fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let line = head.split(|&byte| byte == b'\n').find(|line| {
        line.get(..NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(NAME))
    })?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn a_length_is_found_however_it_is_written() {
        let head = |line: &str| format!("HTTP/1.1 200 OK\r\nx: y\r\n{line}\r\n\r\n");
        for line in ["content-length: 17", "Content-Length:17", "CONTENT-LENGTH:  17 "] {
            assert_eq!(content_length(head(line).as_bytes()), Some(17), "{line}");
        }
        for line in ["content-length: many", "x-content-length: 17", "a: content-length: 17"] {
            assert_eq!(content_length(head(line).as_bytes()), None, "{line}");
        }
    }

    /// Answers each request of a connection with the next of `answers`, in pieces.
    async fn server(answers: Vec<Vec<&'static str>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1_000];
            for pieces in answers {
                assert!(stream.read(&mut asked).await.unwrap() > 0);
                for piece in pieces {
                    stream.write_all(piece.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn answers_come_whole_however_they_are_cut() {
        let whole = vec!["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"];
        let cut = vec!["HTTP/1.1 200 OK\r\nContent-Le", "ngth: 5\r\n\r", "\n[1,", "2]"];
        let address = server(vec![whole, cut]).await;
        let mut connection = Connection::open(&address).await.unwrap();
        assert_eq!(connection.post("/verify", "{}").await.unwrap(), b"{}");
        assert_eq!(connection.post("/settle", "{}").await.unwrap(), b"[1,2]");
        assert!(connection.post("/settle", "{}").await.is_err(), "nobody is there any more");
    }

    #[tokio::test]
    async fn a_failure_is_an_error_that_tells_it() {
        let address = server(vec![vec!["HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"]]).await;
        let mut connection = Connection::open(&address).await.unwrap();
        let error = connection.post("/settle", "{}").await.unwrap_err().to_string();
        assert!(error.contains("503") && error.contains("/settle"), "{error}");
    }
}
