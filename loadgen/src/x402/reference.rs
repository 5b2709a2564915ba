//! The facilitator that is no engine: a program of Node.js as a child process.

use crate::error::Error;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What a facilitator of the reference SDK checks signatures with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checker {
    /// The library that the SDK's own schemes stand on.
    Sdk,
    /// The fastest that Node.js has.
    OpenSsl,
}

impl Checker {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Sdk, Self::OpenSsl];
}

/// A running facilitator. Dropped, it is killed and reaped; it also ends when its standard input
/// does, so that it is never left behind.
pub struct Reference {
    child: Child,
    /// Where it listens.
    pub address: String,
}

impl Reference {
    /// Starts `program` for a network, and waits until it says where it listens.
    ///
    /// # Errors
    /// When it cannot be started, or says nothing.
    pub async fn start(program: &Path, network: &str, by: Checker) -> Result<Self, Error> {
        let shown = program.display().to_string();
        let mut command = Command::new("node");
        command.arg(program).arg(network).stdin(Stdio::piped()).stdout(Stdio::piped());
        if by == Checker::OpenSsl {
            command.arg("openssl");
        }
        let child = command.spawn().map_err(|why| {
            Error::Engine(format!("cannot start node {shown}: {why}; install Node.js 20 or newer"))
        })?;
        let mut reference = Self { child, address: String::new() };
        let out = reference.child.stdout.take().expect("it was asked for");
        let said = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).map(|_| line)
        });
        let said = said.await.expect("reading a line does not panic").unwrap_or_default();
        reference.address = said.trim().to_owned();
        if reference.address.is_empty() {
            let why = format!("node {shown} ended before it listened; see what it said above");
            return Err(Error::Engine(why));
        }
        Ok(reference)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // Both fail only when it has ended and was waited for, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
