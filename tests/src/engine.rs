//! The engine as a process: starts it, waits until it serves, stops or kills it.
//!
//! Owns where the binaries are found and what a started engine leaves in its own scratch folder.
//! Never touches a process that it did not start.

use rustix::process::{Pid, Signal, kill_process};
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

const READY: &str = "ready";
const STDERR: &str = "stderr";

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
/// this program.
#[must_use]
pub fn binary(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    // A test is .../release/deps/test-0123, a program .../release/program: the binary is
    // .../release/name.
    let this = std::env::current_exe().expect("a program knows its own path");
    let beside = this.parent().expect("a program lies in a folder");
    let folder = if beside.ends_with("deps") { beside.parent() } else { Some(beside) };
    let path = folder.expect("tests lie in deps/").join(name);
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
    /// More of the configuration file.
    config: String,
    /// Program and arguments that run it.
    under: Vec<OsString>,
    /// Settings of the binary with faults; none: the ordinary binary.
    faults: Vec<(String, String)>,
}

/// An engine on its way to serve. Killed when dropped.
pub struct Starting {
    child: Killed,
    scratch: TempDir,
}

/// A child that does not outlive its owner.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
    child: Killed,
    scratch: TempDir,
    address: String,
    http: Option<String>,
    console: Option<String>,
}

impl Launch {
    /// An engine on the data directory `dir`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let (args, under, faults) = (Vec::new(), Vec::new(), Vec::new());
        let config = String::new();
        Self { dir: dir.to_owned(), args, clearing: true, config, under, faults }
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

    /// With this at the begin of the configuration file.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config.push_str(text);
        self
    }

    /// Run by another program, which becomes the engine (`exec`), so that the process is the same.
    #[must_use]
    pub fn under(mut self, program: &[&str]) -> Self {
        self.under = program.iter().map(OsString::from).collect();
        self
    }

    /// The binary with faults on demand, with one of its variables set.
    #[must_use]
    pub fn fault(mut self, variable: &str, value: &str) -> Self {
        self.faults.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// Starts it, and waits for nothing.
    #[must_use]
    pub fn spawn(&self) -> Starting {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let program = if self.faults.is_empty() {
            binary("TALLYSTICK_BIN", "tallystick")
        } else {
            binary("TALLYSTICK_FAULTS_BIN", "tallystick-faults")
        };
        let mut command = match self.under.split_first() {
            None => clean(&program),
            Some((under, args)) => {
                let mut command = clean(Path::new(under));
                command.args(args).arg(program);
                command
            }
        };
        command.envs(self.faults.iter().map(|(name, value)| (name, value)));
        command.arg("serve").arg("--data-dir").arg(&self.dir);
        if !self.args.iter().any(|arg| arg == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.arg("--ready-file").arg(scratch.path().join(READY));
        let clearing = if self.clearing { CONFIG } else { "" };
        let text = format!("{}\n{clearing}", self.config);
        if !text.trim().is_empty() {
            let config = scratch.path().join("config.toml");
            std::fs::write(&config, text).expect("a temporary file");
            command.arg("--config").arg(config);
        }
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(scratch.path().join(STDERR)).expect("a temporary file"));
        let child = Killed(command.spawn().expect("the engine can be run"));
        Starting { child, scratch }
    }

    /// Starts it, and waits until it serves or has ended.
    ///
    /// # Errors
    /// `Exit` when it ended instead.
    pub fn try_start(&self) -> Result<Engine, Exit> {
        self.spawn().wait()
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

impl Starting {
    /// Waits until it serves or has ended.
    ///
    /// # Errors
    /// `Exit` when it ended instead.
    pub fn wait(mut self) -> Result<Engine, Exit> {
        let address = until("the engine serves or has ended", || {
            // The order matters: an engine that ends right after it was ready has been ready.
            let ended = self.child.0.try_wait().expect("the child is ours");
            let text = read(&self.scratch, READY);
            // Until it is complete, it is not there or no JSON.
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(ready) => {
                    let at = |kind: &str| ready[kind].as_str().map(str::to_owned);
                    Some(Ok((at("grpc").expect("an address"), at("http"), at("console"))))
                }
                Err(_) => ended.map(Err),
            }
        });
        match address {
            Ok((address, http, console)) => {
                let Self { child, scratch } = self;
                Ok(Engine { child, scratch, address, http, console })
            }
            Err(status) => Err(Exit { status, stderr: read(&self.scratch, STDERR) }),
        }
    }

    /// What it has written to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.scratch, STDERR)
    }

    /// Kills it, wherever it is on its way.
    pub fn kill9(self) {}
}

impl Engine {
    /// Writes its configuration file anew, with `old` replaced by `new`. It is read at a SIGHUP.
    pub fn configure(&self, old: &str, new: &str) {
        let path = self.scratch.path().join("config.toml");
        let text = std::fs::read_to_string(&path).expect("it has one");
        assert!(text.contains(old), "{old:?} is not in {text}");
        std::fs::write(path, text.replace(old, new)).expect("a temporary file");
    }

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

    /// Where it takes webhooks, as `ip:port`, if it does.
    #[must_use]
    pub fn http(&self) -> Option<&str> {
        self.http.as_deref()
    }

    /// Where its console is, as `ip:port`, if it has one.
    #[must_use]
    pub fn console(&self) -> Option<&str> {
        self.console.as_deref()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// What it has written to stderr.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.scratch, STDERR)
    }

    /// Kills it without a warning, as a power cut would.
    pub fn kill9(mut self) {
        self.child.0.kill().expect("the child is ours");
        self.child.0.wait().expect("the child is ours");
    }

    /// Waits until it ends on its own.
    #[must_use]
    pub fn ended(mut self) -> Exit {
        let ended = || self.child.0.try_wait().expect("the child is ours");
        let status = until("the engine ends", ended);
        Exit { status, stderr: self.stderr() }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).expect("process ids are positive i32");
        let id = Pid::from_raw(id).expect("process ids are positive");
        kill_process(id, signal).expect("the child is ours");
    }

    /// As `terminate`, while this task's connections go on being served: an engine that stops waits
    /// for its clients to hang up.
    pub async fn stop(self) {
        let ended = tokio::task::spawn_blocking(move || self.terminate()).await;
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    }

    /// Asks it to end, and expects that it does so with success.
    pub fn terminate(mut self) {
        self.signal(Signal::TERM);
        let ended = || self.child.0.try_wait().expect("the child is ours");
        let status = until("the engine ends", ended);
        assert!(status.success(), "the engine {status} after SIGTERM\n{}", self.stderr());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the engine's stderr:\n{}", self.stderr());
        }
    }
}

fn read(scratch: &TempDir, name: &str) -> String {
    std::fs::read_to_string(scratch.path().join(name)).unwrap_or_default()
}

/// A program, with none of this process's own settings for the engine.
pub(crate) fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_string_lossy().starts_with("TALLYSTICK_")) {
        command.env_remove(name);
    }
    command
}

/// Runs the command line with `args` to its end.
#[must_use]
pub fn run_cli(args: &[&str]) -> Output {
    let mut command = clean(&binary("TALLYSTICK_BIN", "tallystick"));
    command.args(args).stdin(Stdio::null()).output().expect("the binary can be run")
}

/// Runs the load generator with `args` to its end.
#[must_use]
pub fn run_loadgen(args: &[&str]) -> Output {
    let mut command = Command::new(binary("TALLYSTICK_LOADGEN_BIN", "tallystick-loadgen"));
    command.args(args).stdin(Stdio::null()).output().expect("the binary can be run")
}
