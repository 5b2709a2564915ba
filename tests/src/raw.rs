//! A client that does as it likes: HTTP/2 frames by hand, for what no library would send. Knows no
//! more of HTTP/2 than that takes.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Bounds every read. A bound, not an expectation.
const PATIENCE: Duration = Duration::from_secs(120);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_BYTES: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A connection.
pub struct Raw {
    socket: TcpStream,
    next: u32,
    /// What may still be sent: on the connection, and on each stream.
    window: i64,
    streams: BTreeMap<u32, i64>,
    initial: i64,
    /// Streams that the other side has ended.
    pub ended: Vec<u32>,
    /// Whether the other side said that it goes.
    pub goaway: bool,
    pongs: u64,
    pings: u64,
}

impl Raw {
    /// Connects and says what every client says first.
    ///
    /// # Errors
    /// When there is no connection.
    pub fn connect(address: &str) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        socket.write_all(PREFACE)?;
        let mut raw = Self {
            socket,
            next: 1,
            window: 65_535,
            streams: BTreeMap::new(),
            initial: 65_535,
            ended: Vec::new(),
            goaway: false,
            pongs: 0,
            pings: 0,
        };
        raw.send(SETTINGS, 0, 0, &[])?;
        Ok(raw)
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).expect("frames are small").to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.socket.write_all(&frame)
    }

    /// Opens a call.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn call(&mut self, path: &str) -> io::Result<u32> {
        let stream = self.next;
        self.next += 2;
        let mut block = Vec::new();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "engine"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ] {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).expect("short texts"));
                block.extend(text.as_bytes());
            }
        }
        self.streams.insert(stream, self.initial);
        self.send(HEADERS, END_HEADERS, stream, &block)?;
        Ok(stream)
    }

    /// Whether so many bytes may be sent now.
    #[must_use]
    pub fn has_room(&self, stream: u32, bytes: usize) -> bool {
        let bytes = i64::try_from(bytes).expect("small");
        self.window >= bytes && self.streams[&stream] >= bytes
    }

    /// Sends bytes as one DATA frame.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn data(&mut self, stream: u32, bytes: &[u8], end: bool) -> io::Result<()> {
        assert!(self.has_room(stream, bytes.len()), "a well-behaved client");
        let count = i64::try_from(bytes.len()).expect("small");
        self.window -= count;
        *self.streams.get_mut(&stream).expect("it was opened") -= count;
        self.send(DATA, if end { END_STREAM } else { 0 }, stream, bytes)
    }

    /// Sends bytes in as many frames as it takes, waiting for room as long as it takes.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn all_data(&mut self, stream: u32, bytes: &[u8], end: bool) -> io::Result<()> {
        let pieces = bytes.len().div_ceil(FRAME_BYTES);
        for (number, piece) in (1..).zip(bytes.chunks(FRAME_BYTES)) {
            while !self.has_room(stream, piece.len()) && !self.ended.contains(&stream) {
                self.hear()?;
            }
            if self.ended.contains(&stream) {
                return Ok(());
            }
            self.data(stream, piece, end && number == pieces)?;
        }
        Ok(())
    }

    /// Hears one frame of the other side. What is answered is not credited: its window closes some
    /// time.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn hear(&mut self) -> io::Result<()> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let mut payload = vec![0; usize::try_from(length).expect("24 bits")];
        self.socket.read_exact(&mut payload)?;
        let number = |at: usize| {
            let bytes: [u8; 4] = payload[at..at + 4].try_into().expect("four bytes");
            i64::from(u32::from_be_bytes(bytes))
        };
        match head[3] {
            SETTINGS if head[4] & ACK == 0 => {
                for at in (0..payload.len()).step_by(6) {
                    if u16::from_be_bytes([payload[at], payload[at + 1]]) == INITIAL_WINDOW_SIZE {
                        let more = number(at + 2) - self.initial;
                        self.initial += more;
                        self.streams.values_mut().for_each(|window| *window += more);
                    }
                }
                self.send(SETTINGS, ACK, 0, &[])?;
            }
            PING if head[4] & ACK == 0 => self.send(PING, ACK, 0, &payload)?,
            PING => self.pongs += 1,
            WINDOW_UPDATE if stream == 0 => self.window += number(0),
            WINDOW_UPDATE => {
                if let Some(window) = self.streams.get_mut(&stream) {
                    *window += number(0);
                }
            }
            GOAWAY => self.goaway = true,
            RST_STREAM => self.ended.push(stream),
            DATA | HEADERS if head[4] & END_STREAM != 0 => self.ended.push(stream),
            _ => {}
        }
        Ok(())
    }

    /// Waits until everything that was sent is heard on the other side, and what it said of it is
    /// heard here.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn settle(&mut self) -> io::Result<()> {
        self.pings += 1;
        self.send(PING, 0, 0, &[7; 8])?;
        while self.pongs < self.pings && !self.goaway {
            self.hear()?;
        }
        Ok(())
    }
}

/// A gRPC message: its head and its bytes.
#[must_use]
pub fn grpc(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len()).expect("messages are limited").to_be_bytes());
    bytes.extend(message);
    bytes
}
