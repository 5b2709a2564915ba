//! Three NATS servers on loopback, as a replicated journal needs them: started, killed, stopped,
//! wiped, one by one. Killed when dropped.
//!
//! The program is what `tests/nats/setup` has fetched, or `TALLYSTICK_NATS_SERVER` names.

use super::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Of one cluster: any one may be lost.
pub const SERVERS: usize = 3;
/// What `tests/nats/setup` fetches.
const VERSION: &str = "2.15.1";

/// How the servers of a cluster are configured.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Whether every append is on disk before it is acked.
    pub sync_always: bool,
    /// Bytes of the largest message.
    pub payload_max: usize,
}

/// Three servers.
pub struct Cluster {
    dir: TempDir,
    ports: Vec<[u16; 3]>,
    running: Vec<Option<Child>>,
}

impl Default for Shape {
    fn default() -> Self {
        Self { sync_always: true, payload_max: 2 << 20 }
    }
}

fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("TALLYSTICK_NATS_SERVER") {
        return path.into();
    }
    let cache =
        || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache/tallystick-nats");
    let folder = std::env::var_os("TALLYSTICK_NATS").map_or_else(cache, PathBuf::from);
    let path = folder.join(VERSION).join("nats-server");
    assert!(path.exists(), "no {}: tests/nats/setup fetches it", path.display());
    path
}

/// Ports that were free a moment ago, each another.
fn free_ports(count: usize) -> Vec<u16> {
    let listen = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
    let held: Vec<TcpListener> = (0..count).map(listen).collect();
    held.iter().map(|of| of.local_addr().expect("it listens").port()).collect()
}

impl Cluster {
    /// Starts three, and waits until they serve together.
    #[must_use]
    pub fn start() -> Self {
        Self::of(Shape::default())
    }

    /// The same, of a certain shape.
    #[must_use]
    pub fn of(shape: Shape) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let ports = free_ports(3 * SERVERS);
        let ports = ports.as_chunks::<3>().0.to_vec();
        let mut cluster = Self { dir, ports, running: Vec::new() };
        cluster.running.resize_with(SERVERS, || None);
        (0..SERVERS).for_each(|n| cluster.configure(n, shape));
        (0..SERVERS).for_each(|n| cluster.run(n));
        (0..SERVERS).for_each(|n| cluster.until_healthy(n));
        cluster.until_together();
        cluster
    }

    /// Waits until the servers' own leader sees all of them: healthy as each calls itself, it may
    /// still take one for offline, and then makes no stream of three copies.
    fn until_together(&self) {
        let sees_all = |n| {
            let said = self.ask(n, "jsz")?;
            let others = said["meta_cluster"]["replicas"].as_array()?;
            let is_there = |other: &Value| other["current"] == true && other["offline"] != true;
            (others.len() == SERVERS - 1 && others.iter().all(is_there)).then_some(())
        };
        until("the servers see each other", || (0..SERVERS).find_map(sees_all));
    }

    /// Writes the configuration of one; it counts from its next start on.
    pub fn configure(&self, n: usize, shape: Shape) {
        let [client, monitor, route] = self.ports[n];
        let routes: Vec<String> =
            self.ports.iter().map(|[.., route]| format!("nats://127.0.0.1:{route}")).collect();
        let sync = if shape.sync_always { "sync_interval: always" } else { "" };
        let text = format!(
            "server_name: n{n}\nlisten: 127.0.0.1:{client}\nhttp: 127.0.0.1:{monitor}\nmax_payload: {}\n\
             jetstream {{ store_dir: \"{}\", max_mem: 64MB, max_file: 8GB\n{sync} }}\n\
             cluster {{ name: T, listen: 127.0.0.1:{route}, routes: [{}] }}\n",
            shape.payload_max,
            self.store(n).display(),
            routes.join(", ")
        );
        fs::write(self.file(n, "conf"), text).expect("a temporary file");
    }

    fn file(&self, n: usize, kind: &str) -> PathBuf {
        self.dir.path().join(format!("n{n}.{kind}"))
    }

    /// The folder of a server's store.
    #[must_use]
    pub fn store(&self, n: usize) -> PathBuf {
        self.dir.path().join(format!("n{n}"))
    }

    /// Starts one that does not run, and waits for nothing.
    pub fn run(&mut self, n: usize) {
        assert!(self.running[n].is_none(), "server {n} runs");
        let log = File::options().create(true).append(true).open(self.file(n, "log"));
        let mut command = Command::new(program());
        command.arg("-c").arg(self.file(n, "conf")).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(log.expect("a temporary file"));
        self.running[n] = Some(command.spawn().expect("the server can be run"));
    }

    /// Waits until a server serves, and knows who leads.
    pub fn until_healthy(&mut self, n: usize) {
        let path = self.file(n, "log");
        until(&format!("server {n} is healthy"), || {
            let child = self.running[n].as_mut().expect("it was started");
            if let Some(status) = child.try_wait().expect("the child is ours") {
                let log = fs::read_to_string(&path).unwrap_or_default();
                panic!("server {n}: {status}\n{log}");
            }
            self.ask(n, "healthz").filter(|said| said["status"] == "ok").map(drop)
        });
    }

    /// Kills one without a warning.
    pub fn kill9(&mut self, n: usize) {
        let mut child = self.running[n].take().expect("it runs");
        child.kill().expect("the child is ours");
        child.wait().expect("the child is ours");
    }

    /// Stops one where it stands, or lets it go on (`Signal::STOP`, `Signal::CONT`).
    pub fn signal(&self, n: usize, signal: Signal) {
        let id = self.running[n].as_ref().expect("it runs").id();
        let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("ids are positive i32");
        kill_process(id, signal).expect("the child is ours");
    }

    /// Takes everything that a server has stored, which does not run.
    pub fn wipe(&self, n: usize) {
        assert!(self.running[n].is_none(), "server {n} runs");
        fs::remove_dir_all(self.store(n)).expect("it has stored something");
    }

    /// Addresses of all, for clients.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.ports.iter().map(|[client, ..]| format!("nats://127.0.0.1:{client}")).collect()
    }

    /// Addresses of all, for who monitors.
    #[must_use]
    pub fn monitors(&self) -> Vec<String> {
        self.ports.iter().map(|[_, monitor, _]| format!("http://127.0.0.1:{monitor}")).collect()
    }

    /// What one says at its monitoring address, if it answers.
    #[must_use]
    pub fn ask(&self, n: usize, what: &str) -> Option<Value> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(2)))
            .build()
            .into();
        let url = format!("http://127.0.0.1:{}/{what}", self.ports[n][1]);
        let text = agent.get(&url).call().ok()?.body_mut().read_to_string().ok()?;
        serde_json::from_str(&text).ok()
    }

    /// What one holds of a stream, as it says itself.
    #[must_use]
    pub fn stream(&self, n: usize, name: &str) -> Option<Value> {
        let said = self.ask(n, "jsz?streams=1")?;
        let accounts = said["account_details"].as_array()?.iter();
        let mut streams = accounts.filter_map(|of| of["stream_detail"].as_array()).flatten();
        streams.find(|of| of["name"] == name).cloned()
    }

    /// The server that leads a stream, once one does.
    #[must_use]
    pub fn leader(&self, name: &str) -> usize {
        until("the stream has a leader", || {
            let running = (0..SERVERS).filter(|n| self.running[*n].is_some());
            let mut said = running.filter_map(|n| {
                let of = self.stream(n, name)?;
                of["cluster"]["leader"].as_str().map(str::to_owned)
            });
            let leader = said.next()?;
            (0..SERVERS).find(|n| leader == format!("n{n}") && self.running[*n].is_some())
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            // It may have ended already; there is nobody to tell.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for n in 0..SERVERS {
                let log = fs::read_to_string(self.file(n, "log")).unwrap_or_default();
                let lines: Vec<&str> =
                    log.lines().filter(|of| !of.contains("Healthcheck")).collect();
                let from = lines.len().saturating_sub(12);
                eprintln!("--- server {n}:\n{}", lines[from..].join("\n"));
            }
        }
    }
}
