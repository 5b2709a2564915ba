//! What a stream does, as far as who owns it needs it: the servers do it, and in the simulator
//! servers that do whatever they may. Time and chance come from there, too.

use super::error::StreamError;
use super::fold::Stand;
use super::link::Sent;
use bytes::Bytes;
use std::time::Duration;
use tallystick_journal::LogVitals;

/// What is done with a message, by its number.
pub type VisitMessage<'a> = dyn FnMut(u64, &[u8]) -> Result<(), StreamError> + 'a;

/// A stream on some servers. `Link` is the one that is real.
pub trait Wire: Send + Sync {
    /// Its name.
    fn stream(&self) -> &str;

    /// Appends one message, at whatever place, or behind `expected` and nowhere else; once, as far
    /// as it is up to the caller's side.
    fn append(&self, subject: &str, message: Bytes, expected: Option<u64>) -> Sent;

    /// Hands out the messages behind where `stand` stands, up to and with `to`, in order: each must
    /// come from some replica within `patience`.
    ///
    /// # Errors
    /// `Hole` for the first that nobody has, `NoAnswer` where that is not known; what `visit` says.
    fn read(
        &self,
        stand: Stand,
        to: u64,
        patience: Duration,
        visit: &mut VisitMessage<'_>,
    ) -> Result<(), StreamError>;

    /// The last message that the servers call stored; `None` where they say nothing.
    fn stored(&self) -> Option<u64>;

    /// Raises the epoch, above `last`, for whoever is called `name`.
    ///
    /// # Errors
    /// `Epoch`.
    fn raise_epoch(&self, last: u64, name: &str) -> Result<u64, StreamError>;

    /// Pauses after an append of unknown fate. Where the server was silent it goes to another one.
    fn pause(&self, silent: bool);

    /// How late it is, by a clock that never goes back.
    fn now(&self) -> Duration;

    /// Sixteen hexadecimal digits by chance.
    ///
    /// # Errors
    /// `Request`.
    fn drawn(&self) -> Result<String, StreamError>;

    /// Bytes of the largest message that is sent.
    fn message_bytes_max(&self) -> usize;

    /// Whether a message of so many bytes is taken by the server that is connected now.
    ///
    /// # Errors
    /// `UnfitServer`.
    fn check_takes(&self, bytes: usize) -> Result<(), StreamError>;

    /// What is counted.
    fn vitals(&self) -> &LogVitals;

    /// What a person can do while nothing is acknowledged.
    fn advice(&self) -> String;
}
