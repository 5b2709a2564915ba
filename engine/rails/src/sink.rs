//! Where a file's bytes go: pieces of bounded size, handed to the caller as they are made.
//!
//! Owns the buffer of one piece. Never holds a whole file: a batch of ten million legs is
//! gigabytes.

use std::io::{self, Write};
use tallystick_ledger::limits::EXPORT_CHUNK_BYTES;

/// Takes one piece of the file of that name; the files come one after the other.
pub type Taker<'a, E> = &'a mut dyn FnMut(&str, &[u8]) -> Result<(), E>;

/// Hands what `render` writes to `take`, as pieces of the file `name`.
///
/// # Errors
/// What `take` fails with; nothing is handed to it after that.
pub fn file<E>(
    name: &str,
    take: Taker<'_, E>,
    render: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), E> {
    let mut sink = Sink { name, piece: Vec::new(), take, failure: None };
    let rendered = render(&mut sink).and_then(|()| sink.hand_over());
    match (sink.failure, rendered) {
        (Some(failure), _) => Err(failure),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => {
            panic!("rendering {name} failed though its bytes were taken: {error}")
        }
    }
}

struct Sink<'a, E> {
    name: &'a str,
    piece: Vec<u8>,
    take: Taker<'a, E>,
    failure: Option<E>,
}

impl<E> Sink<'_, E> {
    fn hand_over(&mut self) -> io::Result<()> {
        if self.failure.is_none() && !self.piece.is_empty() {
            self.failure = (self.take)(self.name, &self.piece).err();
            self.piece.clear();
        }
        match self.failure {
            // The failure itself is kept; this text only stops the renderer and is never seen.
            Some(_) => Err(io::Error::other("the piece was not taken")),
            None => Ok(()),
        }
    }
}

impl<E> Write for Sink<'_, E> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = EXPORT_CHUNK_BYTES - self.piece.len();
        let taken = bytes.len().min(room);
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == EXPORT_CHUNK_BYTES {
            self.hand_over()?;
        }
        Ok(taken)
    }

    /// Does nothing: a piece leaves when it is full or the file ends, so that pieces do not depend
    /// on how often a renderer flushes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_bounded_and_together_are_the_file() {
        let whole: Vec<u8> = (0..=255u8).cycle().take(3 * EXPORT_CHUNK_BYTES + 17).collect();
        let (mut sizes, mut got) = (Vec::new(), Vec::new());
        let mut take = |name: &str, piece: &[u8]| -> Result<(), ()> {
            assert_eq!(name, "f");
            sizes.push(piece.len());
            got.extend_from_slice(piece);
            Ok(())
        };
        file("f", &mut take, |out| out.write_all(&whole)).unwrap();
        assert_eq!(sizes, [EXPORT_CHUNK_BYTES, EXPORT_CHUNK_BYTES, EXPORT_CHUNK_BYTES, 17]);
        assert_eq!(got, whole);
    }

    #[test]
    fn a_caller_that_fails_is_asked_no_more() {
        let mut calls = 0;
        let mut take = |_: &str, _: &[u8]| {
            calls += 1;
            Err("gone")
        };
        let whole = vec![7; 5 * EXPORT_CHUNK_BYTES];
        assert_eq!(file("f", &mut take, |out| out.write_all(&whole)), Err("gone"));
        assert_eq!(calls, 1);
    }
}
