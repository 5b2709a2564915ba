//! The engine as a child process: started, awaited, stopped, and never left behind.

use crate::error::Error;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long the engine may take to come up, and to go down.
const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(60);
/// How often we look.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of the log that are shown when the engine fails.
const LOG_LINES: usize = 20;

/// A running engine. Dropped, it is killed and reaped.
pub struct Engine {
    child: Child,
    log: PathBuf,
    /// Where it listens for gRPC.
    pub grpc: String,
    /// And for HTTP, if it does.
    pub http: String,
}

impl Engine {
    /// Starts `binary` with its data in `dir/data` and its log in `dir/engine.log`, perhaps with a
    /// configuration file, and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started, exits early or does not get ready in time.
    pub async fn start(binary: &Path, dir: &Path, config: Option<&Path>) -> Result<Self, Error> {
        Self::start_with(binary, dir, config, &[]).await
    }

    /// The same with more of its own options.
    ///
    /// # Errors
    /// As for `start`.
    pub async fn start_with(
        binary: &Path,
        dir: &Path,
        config: Option<&Path>,
        options: &[&str],
    ) -> Result<Self, Error> {
        let (log, ready) = (dir.join("engine.log"), dir.join("ready.json"));
        let file = |source| Error::File { doing: "cannot write", path: log.clone(), source };
        let stderr = File::create(&log).map_err(file)?;
        let stdout = stderr.try_clone().map_err(file)?;
        let mut command = Command::new(binary);
        command.arg("serve").arg("--data-dir").arg(dir.join("data"));
        command.args(["--listen", "127.0.0.1:0"]).arg("--ready-file").arg(&ready);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        command.args(options);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        // A group of its own: Ctrl-C is for us, and we decide what becomes of the engine.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|source| {
            Error::Engine(format!(
                "cannot start {}: {source}; build it with `cargo build --release -p tallystick` or \
                 name it with --engine",
                binary.display()
            ))
        })?;
        let mut engine = Self { child, log, grpc: String::new(), http: String::new() };
        (engine.grpc, engine.http) = engine.wait_until_ready(&ready).await?;
        Ok(engine)
    }

    async fn wait_until_ready(&mut self, ready: &Path) -> Result<(String, String), Error> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.exited()? {
                return Err(self.failed(&format!("the engine ended at start-up ({status})")));
            }
            // Until it is complete, the file is not there or not JSON.
            if let Ok(text) = std::fs::read_to_string(ready)
                && let Ok(Value::Object(fields)) = serde_json::from_str(&text)
            {
                let listens = |kind| fields.get(kind).and_then(Value::as_str).map(str::to_owned);
                return match listens("grpc") {
                    Some(grpc) => Ok((grpc, listens("http").unwrap_or_default())),
                    None => Err(self.failed("the engine's ready file names no grpc address")),
                };
            }
            if started.elapsed() > START_MAX {
                let seconds = START_MAX.as_secs();
                return Err(self.failed(&format!("the engine was not ready after {seconds} s")));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Leaves it at work, whatever becomes of us. Gives its process id.
    pub fn leave(self) -> u32 {
        let pid = self.child.id();
        std::mem::forget(self);
        pid
    }

    /// Asks the engine to end, waits for it and checks that it ended well.
    ///
    /// # Errors
    /// When it does not end in time, or with an exit code other than 0.
    pub async fn stop(mut self) -> Result<(), Error> {
        let pid = Pid::from_child(&self.child);
        let signalled = kill_process(pid, Signal::TERM);
        signalled.map_err(|errno| self.failed(&format!("cannot stop the engine ({errno})")))?;
        let started = Instant::now();
        loop {
            match self.exited()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(self.failed(&format!("the engine did not end well ({status})")));
                }
                None if started.elapsed() > STOP_MAX => {
                    let seconds = STOP_MAX.as_secs();
                    let what = format!("the engine did not end within {seconds} s of SIGTERM");
                    return Err(self.failed(&what));
                }
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// The most memory that it has had since its start or the last `forget_most_memory` (`VmHWM`),
    /// in MiB; 0 where the system does not tell.
    pub fn most_memory_mib(&self) -> f64 {
        self.memory_mib("VmHWM:")
    }

    /// The memory that it has now (`VmRSS`), in MiB; 0 where the system does not tell.
    pub fn memory_now_mib(&self) -> f64 {
        self.memory_mib("VmRSS:")
    }

    /// Bytes that it has had written to disk since its start; 0 where the system does not tell.
    pub fn written_bytes(&self) -> u64 {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.child.id()));
        let io = io.unwrap_or_default();
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
    }

    /// Has the most memory counted from now on, where the system can.
    pub fn forget_most_memory(&self) {
        // Where it cannot, the figure is that since the start, which is no less.
        drop(std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5"));
    }

    #[allow(clippy::float_arithmetic)]
    fn memory_mib(&self, field: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u32>().ok());
        f64::from(kib.unwrap_or(0)) / 1_024.0
    }

    /// CPU time of its threads since their starts, in nanoseconds, by what they do: the threads'
    /// names without numbers. Empty where the system does not tell.
    pub fn cpu_by_stage(&self) -> BTreeMap<String, u64> {
        let mut stages = BTreeMap::new();
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        for thread in threads.into_iter().flatten().flatten() {
            let read = |file: &str| std::fs::read_to_string(thread.path().join(file));
            // A thread may end meanwhile.
            let (Ok(name), Ok(times)) = (read("comm"), read("schedstat")) else { continue };
            let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
            let nanos = times.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
            *stages.entry(name.to_owned()).or_default() += nanos.unwrap_or(0);
        }
        stages
    }

    /// An error of the run, and if the engine is gone, why.
    pub fn explain(&mut self, error: Error) -> Error {
        match self.exited() {
            Ok(Some(status)) => self.failed(&format!("{error}: the engine ended ({status})")),
            Ok(None) | Err(_) => error,
        }
    }

    fn exited(&mut self) -> Result<Option<ExitStatus>, Error> {
        let status = self.child.try_wait();
        status.map_err(|error| Error::Engine(format!("cannot see the engine: {error}")))
    }

    /// An error that shows the end of the log.
    fn failed(&self, what: &str) -> Error {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        let log = self.log.display();
        let shown = match last.is_empty() {
            true => format!("{log} is empty"),
            false => format!("the end of {log}:\n    {}", last.join("\n    ")),
        };
        Error::Engine(format!("{what}; {shown}"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Both fail only when the engine has ended and was waited for, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
