//! A node as a process: starts anvil on a free port and asks it, apart from the client under test.
//!
//! Owns the process. Mines when it is told to, so that nothing depends on time.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The first of the accounts that anvil funds, by its well-known test words: the engine's.
pub const OWNER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/// Its key, known to everybody.
pub const OWNER_KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// Bytes of one answer: events of many blocks.
const ANSWER_BYTES_MAX: u64 = 512 << 20;

/// A running node. Killed when dropped.
pub struct Anvil {
    child: Child,
    /// Where it listens, as `ip:port`.
    pub address: String,
    /// Where it keeps what it knows when it ends.
    state: Option<PathBuf>,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of the contract's package, in the clone in which this runs: where clones share what
/// is compiled, it may have been compiled in another one.
#[must_use]
pub fn evm_package() -> PathBuf {
    let here = std::env::current_dir().expect("there is a working directory");
    let found = here.ancestors().map(|folder| folder.join("engine/evm")).find(|evm| evm.is_dir());
    found.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../engine/evm"))
}

fn binary() -> PathBuf {
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let name = format!("anvil-{system}-{machine}");
    let path = evm_package().join("node_modules/@foundry-rs").join(name).join("bin/anvil");
    assert!(path.exists(), "no anvil at {}: run engine/evm/setup", path.display());
    path
}

/// Starts one; its blocks are safe after one more and final after two.
fn spawn(state: Option<&Path>) -> (Child, String) {
    let mut command = Command::new(binary());
    command.args(["--port", "0", "--slots-in-an-epoch", "1", "--no-mining"]);
    // As public chains do: no transaction above 2^24 gas (EIP-7825).
    command.arg("--enable-tx-gas-limit");
    if let Some(path) = state {
        // States of old blocks would fill the disk; reorganisations go back by a few blocks only.
        command.args(["--prune-history", "32"]).arg("--state").arg(path);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().expect("anvil starts");
    let output = BufReader::new(child.stdout.take().expect("its output is piped"));
    let mut lines = output.lines();
    let address = loop {
        let line = lines.next().expect("anvil says where it listens").expect("text");
        if let Some(address) = line.strip_prefix("Listening on ") {
            break address.to_owned();
        }
    };
    // Its output is read to the end, so that it never waits for a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (child, address)
}

impl Anvil {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        let (child, address) = spawn(None);
        Self { child, address, state: None }
    }

    /// Starts one that can be started again.
    #[must_use]
    pub fn start_in(dir: &Path) -> Self {
        let state = dir.join("chain.json");
        let (child, address) = spawn(Some(&state));
        Self { child, address, state: Some(state) }
    }

    /// Ends it and starts it again, on another port: it keeps its blocks and loses its pool of
    /// transactions.
    pub fn restart(&mut self) {
        let state = self.state.clone().expect("it keeps its state: start_in");
        let id = i32::try_from(self.child.id()).expect("process ids are positive i32");
        let id = Pid::from_raw(id).expect("process ids are positive");
        kill_process(id, Signal::TERM).expect("the child is ours");
        let ended = self.child.wait().expect("the child is ours");
        assert!(ended.success(), "anvil {ended} when it was to keep its state");
        (self.child, self.address) = spawn(Some(&state));
    }

    /// Its JSON-RPC endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks.
    ///
    /// # Errors
    /// The node's refusal.
    pub fn try_ask(&self, method: &str, params: Value) -> Result<Value, String> {
        let answer = self.post(&json!({
            "jsonrpc": "2.0", "id": 1, "method": method, "params": params,
        }));
        match answer.get("error") {
            Some(error) => Err(format!("{method}: {error}")),
            None => Ok(answer["result"].clone()),
        }
    }

    /// Asks; panics if the node refuses.
    pub fn ask(&self, method: &str, params: Value) -> Value {
        self.try_ask(method, params).unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    /// Asks much at once; panics if the node refuses any of it.
    #[must_use]
    pub fn ask_all(&self, calls: &[(&str, Value)]) -> Vec<Value> {
        let requests = calls.iter().enumerate().map(|(id, (method, params))| {
            json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        });
        let answer = self.post(&Value::Array(requests.collect()));
        let answers = answer.as_array().expect("an answer for each");
        let mut results = vec![Value::Null; calls.len()];
        for answer in answers {
            let id = answer["id"].as_u64().and_then(|id| usize::try_from(id).ok());
            assert!(answer.get("error").is_none(), "{answer}");
            results[id.expect("our own id")] = answer["result"].clone();
        }
        results
    }

    fn post(&self, body: &Value) -> Value {
        let agent = ureq::Agent::from(ureq::Agent::config_builder().proxy(None).build());
        let sent = agent.post(self.url()).content_type("application/json").send(body.to_string());
        let mut answer = sent.expect("anvil answers");
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        serde_json::from_slice(&body.expect("a whole answer")).expect("JSON")
    }

    /// Asks for a number.
    pub fn number(&self, method: &str, params: Value) -> u64 {
        let answer = self.ask(method, params);
        let digits = answer.as_str().expect("a quantity").trim_start_matches("0x").to_owned();
        u64::from_str_radix(&digits, 16).expect("a number")
    }

    /// Mines blocks.
    pub fn mine(&self, blocks: u64) {
        self.ask("anvil_mine", json!([format!("{blocks:#x}")]));
    }

    /// Leaves the newest blocks for as many others, which are empty.
    pub fn reorg(&self, depth: u64) {
        self.ask("anvil_reorg", json!([depth, []]));
    }

    /// How many transactions of the owner the chain holds.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.number("eth_getTransactionCount", json!([OWNER, "latest"]))
    }

    /// How many transactions of the owner wait in the node's pool.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.number("eth_getTransactionCount", json!([OWNER, "pending"])) - self.used()
    }

    /// Sends a transaction from an account whose key the node has, and mines a block; its receipt.
    pub fn send(&self, from: &str, to: Option<&str>, data: &[u8]) -> Value {
        let data = format!("0x{}", data_encoding::HEXLOWER.encode(data));
        let mut call = json!({"from": from, "data": data, "gas": "0xf00000"});
        if let Some(to) = to {
            call["to"] = json!(to);
        }
        let hash = self.ask("eth_sendTransaction", json!([call]));
        self.mine(1);
        let receipt = self.ask("eth_getTransactionReceipt", json!([hash]));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt
    }
}
