//! The engine as a process: starts it, waits until it serves, stops or kills it.
//!
//! Owns where the binaries are found and what a started engine leaves in its own scratch folder.
//! Never touches a process that it did not start.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Bounds every wait. A bound, not an expectation: machines under load are slow.
const DEADLINE: Duration = Duration::from_secs(120);
/// How long a waiting thread lies still between two looks.
const PARK: Duration = Duration::from_millis(2);

/// The operator's own account, so that batches can be computed.
const CONFIG: &str = "[clearing.iso20022]\nname = \"Clearing House AG\"\n\
                      iban = \"DE89370400440532013000\"\nbic = \"COBADEFFXXX\"\n";

/// Looks until `look` gives something. Panics with `what` after the deadline.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up after {DEADLINE:?} waiting until {what}");
        std::thread::park_timeout(PARK);
    }
}

/// Path of a binary of this workspace: what `variable` names, else the one that cargo built beside
/// this test.
#[must_use]
pub fn binary(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    // .../release/deps/test-0123 -> .../release/name
    let test = std::env::current_exe().expect("a test knows its own path");
    let path = test.ancestors().nth(2).expect("tests lie in deps/").join(name);
    assert!(
        path.exists(),
        "no {} here; build it with `make test`, or name one in {variable}",
        path.display()
    );
    path
}

/// How an engine that is to be started is configured.
#[derive(Debug, Clone)]
pub struct Launch {
    dir: PathBuf,
    args: Vec<OsString>,
    clearing: bool,
}

/// How an engine ended that did not come to serve.
#[derive(Debug)]
pub struct Exit {
    /// Its status.
    pub status: ExitStatus,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// A serving engine. Killed when dropped.
pub struct Engine {
    child: Child,
    scratch: TempDir,
    address: String,
}

impl Launch {
    /// An engine on the data directory `dir`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), args: Vec::new(), clearing: true }
    }

    /// More arguments of `serve`.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(OsString::from));
        self
    }

    /// Without a clearing account on any rail.
    #[must_use]
    pub fn without_clearing(mut self) -> Self {
        self.clearing = false;
        self
    }

    /// Starts it, and waits until it serves or has ended.
    ///
    /// # Errors
    /// `Exit` when it ended instead.
    pub fn try_start(&self) -> Result<Engine, Exit> {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let (ready, log) = (scratch.path().join("ready"), scratch.path().join("stderr"));
        let mut command = tallystick();
        command.arg("serve").arg("--data-dir").arg(&self.dir);
        command.args(["--listen", "127.0.0.1:0", "--ready-file"]).arg(&ready);
        if self.clearing {
            let config = scratch.path().join("config.toml");
            std::fs::write(&config, CONFIG).expect("a temporary file");
            command.arg("--config").arg(config);
        }
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&log).expect("a temporary file"));
        let mut child = command.spawn().expect("the engine can be run");
        let address = until("the engine serves or has ended", || {
            // The order matters: an engine that ends right after it was ready has been ready.
            let ended = child.try_wait().expect("the child is ours");
            let text = std::fs::read_to_string(&ready).unwrap_or_default();
            // Until it is complete, it is not there or no JSON.
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(ready) => Some(Ok(ready["grpc"].as_str().expect("an address").to_owned())),
                Err(_) => ended.map(Err),
            }
        });
        match address {
            Ok(address) => Ok(Engine { child, scratch, address }),
            Err(status) => {
                let stderr = std::fs::read_to_string(&log).unwrap_or_default();
                Err(Exit { status, stderr })
            }
        }
    }

    /// Starts it. Panics with what it wrote when it does not come to serve.
    #[must_use]
    pub fn start(&self) -> Engine {
        self.try_start()
            .unwrap_or_else(|exit| panic!("the engine {}\n{}", exit.status, exit.stderr))
    }

    /// Starts it, and expects it to refuse. Returns what it wrote to stderr.
    #[must_use]
    pub fn refusal(&self) -> String {
        match self.try_start() {
            Ok(engine) => panic!("the engine serves, it should refuse\n{}", engine.stderr()),
            Err(exit) => {
                let code = exit.status.code();
                assert!(code.is_some_and(|code| code != 0), "{}: {}", exit.status, exit.stderr);
                assert!(
                    !exit.stderr.contains("panicked at"),
                    "a panic is no text:\n{}",
                    exit.stderr
                );
                exit.stderr
            }
        }
    }
}

impl Engine {
    /// Starts an engine on `dir` with more arguments of `serve`.
    #[must_use]
    pub fn start(dir: &Path, args: &[&str]) -> Self {
        Launch::new(dir).args(args).start()
    }

    /// Where it serves, as `ip:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stderr.
    #[must_use]
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("stderr")).unwrap_or_default()
    }

    /// Kills it without a warning, as a power cut would.
    pub fn kill9(mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    /// As `terminate`, while this task's connections go on being served: an engine that stops waits
    /// for its clients to hang up.
    pub async fn stop(self) {
        let ended = tokio::task::spawn_blocking(move || self.terminate()).await;
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    }

    /// Asks it to end, and expects that it does so with success.
    pub fn terminate(mut self) {
        let id = i32::try_from(self.child.id()).expect("process ids are positive i32");
        let id = rustix::process::Pid::from_raw(id).expect("process ids are positive");
        rustix::process::kill_process(id, rustix::process::Signal::TERM)
            .expect("the child is ours");
        let status = until("the engine ends", || self.child.try_wait().expect("the child is ours"));
        assert!(status.success(), "the engine {status} after SIGTERM\n{}", self.stderr());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the engine's stderr:\n{}", self.stderr());
        }
    }
}

/// The binary, with none of this process's own settings for it.
fn tallystick() -> Command {
    let mut command = Command::new(binary("TALLYSTICK_BIN", "tallystick"));
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_string_lossy().starts_with("TALLYSTICK_")) {
        command.env_remove(name);
    }
    command
}

/// Runs the command line with `args` to its end.
#[must_use]
pub fn run_cli(args: &[&str]) -> Output {
    tallystick().args(args).stdin(Stdio::null()).output().expect("the binary can be run")
}

/// Runs the load generator with `args` to its end.
#[must_use]
pub fn run_loadgen(args: &[&str]) -> Output {
    let mut command = Command::new(binary("TALLYSTICK_LOADGEN_BIN", "tallystick-loadgen"));
    command.args(args).stdin(Stdio::null()).output().expect("the binary can be run")
}
