//! The provider as a process: started on its folder, killed, started again; asked for its books.
//!
//! Owns its port and its faults. Knows nothing of the engine but where webhooks go.

use crate::check::Movement;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tallystick_tests::binary;
use tallystick_tests::psp;

/// What callers must have, and what webhooks are signed with.
pub const SECRET_KEY: &str = "sk_test_double";
pub const WEBHOOK_SECRET: &str = "whsec_test_double";
/// Asset units in a unit of the provider's API: micro-dollars in a cent.
pub const UNITS_PER_CENT: u128 = 10_000;
/// How long slow is: longer than the engine waits for an answer.
const SLOW_MILLIS: u64 = 1_500;
/// The provider is quiet when nothing was executed for so long: what is slow has happened by then.
const QUIET: Duration = Duration::from_millis(2 * SLOW_MILLIS);
/// How long one question about the books may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of a thousand calls, how many fail so: every fifth one.
const FAULTS: [(&str, u16); 10] = [
    ("drop_before", 25),
    ("rate_limit", 20),
    ("unavailable", 20),
    ("slow_before", 4),
    ("drop_after", 35),
    ("slow_after", 4),
    ("error_after", 25),
    ("gateway_after", 20),
    ("break_after", 20),
    ("twice", 27),
];
/// Below the ports that systems give to connections: nobody else gets it while a process restarts.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// A port of this run alone, also while nobody listens on it: its processes end and start again.
pub struct Port {
    pub number: u16,
    /// Who holds the same number for datagrams has it: other runs look there.
    _held: UdpSocket,
}

impl Port {
    /// Takes a free one.
    pub fn take() -> Self {
        let take = |number: u16| {
            let held = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
            TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
            Some(Self { number, _held: held })
        };
        PORTS.into_iter().find_map(take).expect("of ten thousand ports one is free")
    }
}

/// A running provider. Killed when dropped.
pub struct Provider {
    child: Child,
    dir: PathBuf,
    port: Port,
    webhooks: String,
    seed: u64,
    /// Kills so far.
    pub kills: u64,
    /// Calls and faults of the processes that were killed, by name.
    counted: std::collections::BTreeMap<String, u64>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Provider {
    /// Starts one on `dir`.
    pub fn start(dir: &Path, port: Port, webhooks: &str, seed: u64) -> Self {
        let child = spawn(dir, port.number, webhooks, seed);
        let (dir, webhooks) = (dir.to_owned(), webhooks.to_owned());
        Self { child, dir, port, webhooks, seed, kills: 0, counted: Default::default() }
    }

    /// Where its API is.
    pub fn url(&self) -> String {
        format!("http://{}", SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number)))
    }

    /// Kills it and starts it again on the same folder and port.
    pub fn restart(&mut self) {
        self.counted = self.counters();
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
        self.kills += 1;
        // Another seed: else the same faults would come again from the beginning.
        let seed = self.seed.wrapping_add(self.kills);
        self.child = spawn(&self.dir, self.port.number, &self.webhooks, seed);
    }

    /// How many calls came, and how many of them failed in which way, over all restarts.
    pub fn counters(&self) -> std::collections::BTreeMap<String, u64> {
        let mut counted = self.counted.clone();
        let told = self.get("/admin/counters");
        let faults = told["faults"].as_object().into_iter().flatten();
        let all = ["calls", "reads"].map(|name| (name.to_owned(), &told[name]));
        for (name, count) in faults.map(|(name, count)| (name.clone(), count)).chain(all) {
            *counted.entry(name).or_default() += count.as_u64().expect("a count");
        }
        counted
    }

    /// Every movement of money.
    pub fn movements(&self) -> Vec<Movement> {
        self.books().into_iter().map(movement).collect()
    }

    fn books(&self) -> Vec<psp::Movement> {
        let mut books = self.get("/books");
        serde_json::from_value(books["movements"].take()).expect("the double's own format")
    }

    /// Waits until nothing happens there any more and every webhook was taken. Whether it came to
    /// that.
    pub fn quiet(&self, deadline: Instant) -> bool {
        let (mut seen, mut since) = (usize::MAX, Instant::now());
        while Instant::now() < deadline {
            let executed = self.books().len();
            if executed != seen {
                (seen, since) = (executed, Instant::now());
            }
            let waiting = self.get("/admin/counters")["undelivered"] != 0;
            if since.elapsed() >= QUIET && !waiting {
                return true;
            }
            std::thread::park_timeout(QUIET / 10);
        }
        false
    }

    fn get(&self, path: &str) -> serde_json::Value {
        let settings = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None);
        let asked = ureq::Agent::from(settings.build()).get(format!("{}{path}", self.url())).call();
        let body = asked.expect("the double answers").into_body();
        serde_json::from_reader(body.into_reader()).expect("the double answers JSON")
    }
}

fn movement(made: psp::Movement) -> Movement {
    let psp::Movement { kind, id, leg_key, amount, currency, party, .. } = made;
    Movement {
        leg_key,
        reference: id,
        pay_in: kind == "charge",
        amount: u128::from(amount) * UNITS_PER_CENT,
        // Money in another currency is nobody's that a leg speaks of.
        whom: if currency == "usd" { party } else { format!("{party} in {currency}") },
        back: !matches!(kind.as_str(), "charge" | "transfer" | "payout"),
    }
}

fn spawn(dir: &Path, port: u16, webhooks: &str, seed: u64) -> Child {
    let mut command = Command::new(binary("TALLYSTICK_PSP_BIN", "tallystick-psp"));
    command.arg("--listen").arg(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string());
    command.arg("--dir").arg(dir).args(["--secret-key", SECRET_KEY]);
    command.args(["--webhook-url", webhooks, "--webhook-secret", WEBHOOK_SECRET]);
    command.args(["--webhook-twice", "200", "--webhook-delay-millis", "500"]);
    command.args(["--settle-millis", "300", "--slow-millis", &SLOW_MILLIS.to_string()]);
    command.args(["--seed", &seed.to_string()]);
    for (fault, share) in FAULTS {
        command.arg("--fault").arg(format!("{fault}={share}"));
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let child_ref = child.as_mut().expect("the double can be run");
    let mut line = String::new();
    let out = child_ref.stdout.take().expect("it is piped");
    BufReader::new(out).read_line(&mut line).expect("it says where it listens");
    assert!(line.starts_with("listening on"), "the double does not serve: {line:?}");
    child.expect("it was run")
}
