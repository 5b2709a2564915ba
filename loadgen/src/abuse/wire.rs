//! HTTP/2 by hand, for what no library would send: a call whose message comes byte by byte.

use std::io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What every HTTP/2 client sends first, and settings that change nothing.
pub const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A part of it.
pub const HALF_A_WORD: &[u8] = b"PRI * HTTP/2.0\r\n";
/// The head of a gRPC message of 64 KiB, of which little will come.
pub const MESSAGE_HEAD: &[u8] = &[0, 0, 1, 0, 0];

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames are small").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The frame that opens a call, with a token.
pub fn call(stream: u32, path: &str, token: &str) -> Vec<u8> {
    let mut block = Vec::new();
    let bearer = format!("Bearer {token}");
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "engine"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", &bearer),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short texts"));
            block.extend(text.as_bytes());
        }
    }
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// The frame that brings bytes.
pub fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, bytes)
}

/// Sends bytes, and throws away what has come meanwhile.
pub async fn send(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    socket.write_all(bytes).await?;
    let mut buffer = [0; 4_096];
    let heard = async {
        while socket.read(&mut buffer).await? > 0 {}
        Err(io::ErrorKind::UnexpectedEof.into())
    };
    tokio::select! {
        biased;
        ended = heard => ended,
        () = std::future::ready(()) => Ok(()),
    }
}
