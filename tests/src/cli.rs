//! The command line against one engine.

use crate::{Engine, run_cli};
use serde_json::Value;
use std::process::Output;

/// Runs commands against an engine; what they print is the proof.
pub struct Cli<'a>(pub &'a Engine);

impl Cli<'_> {
    /// Runs a command, however it ends.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Output {
        run_cli(&[args, &["--server", self.0.address()]].concat())
    }

    #[track_caller]
    fn done(&self, args: &[&str]) -> Output {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?} {}: {error}", output.status);
        output
    }

    /// Runs a command that must succeed; gives its lines of JSON.
    ///
    /// # Panics
    /// When it fails, or prints something else.
    #[track_caller]
    pub fn lines(&self, args: &[&str]) -> Vec<Value> {
        let output = self.done(&[args, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).expect("a command prints UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// The same of a command that prints one line.
    ///
    /// # Panics
    /// When it fails, or prints something else.
    #[track_caller]
    pub fn one(&self, args: &[&str]) -> Value {
        let mut lines = self.lines(args);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }

    /// What people see of a command that must succeed.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    #[track_caller]
    pub fn shown(&self, args: &[&str]) -> String {
        String::from_utf8(self.done(args).stdout).expect("a command prints UTF-8")
    }

    /// What a command that must succeed says beside its results.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    #[track_caller]
    pub fn said(&self, args: &[&str]) -> String {
        String::from_utf8(self.done(args).stderr).expect("a command prints UTF-8")
    }

    /// How a command that must fail ends, and what it says.
    ///
    /// # Panics
    /// When it succeeds.
    #[track_caller]
    pub fn refused(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        assert!(!output.status.success(), "{args:?}");
        let said = String::from_utf8(output.stderr).expect("a command prints UTF-8");
        (output.status.code().expect("no signal ends it"), said)
    }

    /// A command that must fail with this code, and say this.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn fails(&self, args: &[&str], code: i32, part: &str) {
        ends_with(&self.run(args), code, part);
    }
}

/// The command that makes the asset 978, EUR, with a rail's cents (`"2"`) or finer.
#[must_use]
pub fn add_euro<'a>(scale: &'a str, model: &'a str) -> [&'a str; 10] {
    ["asset", "add", "--number", "978", "--code", "EUR", "--scale", scale, "--model", model]
}

/// The command that registers a party with an account.
#[must_use]
pub fn add_party<'a>(id: &'a str, name: &'a str, account: &'a str) -> [&'a str; 8] {
    ["party", "add", "--id", id, "--name", name, "--account", account]
}

/// A command must have ended with this code, and have said this.
///
/// # Panics
/// When it did not.
#[track_caller]
pub fn ends_with(output: &Output, code: i32, part: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(part), "{error:?} says nothing of {part:?}");
    assert!(!error.contains("panicked"), "{error}");
}
