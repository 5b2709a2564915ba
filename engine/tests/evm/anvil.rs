//! A node of one's own: starts anvil on a free port and asks it directly, apart from the client
//! under test.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The first of the accounts that anvil funds, by its well-known test words.
pub const OWNER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/// Its key, known to everybody.
pub const OWNER_KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

pub struct Anvil {
    child: Child,
    pub address: String,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of the contract's package.
pub fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("evm")
}

fn binary() -> PathBuf {
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let name = format!("anvil-{system}-{machine}");
    let path = package().join("node_modules/@foundry-rs").join(name).join("bin/anvil");
    assert!(path.exists(), "no anvil at {}: run engine/evm/setup", path.display());
    path
}

impl Anvil {
    /// Starts one that mines when it is told to, so that nothing depends on time. Its blocks are
    /// safe after one more and final after two.
    pub fn start() -> Self {
        let mut child = Command::new(binary())
            .args(["--port", "0", "--slots-in-an-epoch", "1", "--no-mining"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("anvil starts");
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
        Self { child, address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks; panics if the node refuses.
    pub fn ask(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let sent = ureq::post(self.url()).content_type("application/json").send(body.to_string());
        let text = sent.expect("anvil answers").body_mut().read_to_string().expect("text");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    pub fn number(&self, method: &str, params: Value) -> u64 {
        let answer = self.ask(method, params);
        let digits = answer.as_str().expect("a quantity").trim_start_matches("0x").to_owned();
        u64::from_str_radix(&digits, 16).expect("a number")
    }

    pub fn mine(&self, blocks: u64) {
        self.ask("anvil_mine", json!([format!("{blocks:#x}")]));
    }

    /// Leaves the newest blocks for as many others, which are empty.
    pub fn reorg(&self, depth: u64) {
        self.ask("anvil_reorg", json!([depth, []]));
    }

    /// How many transactions of the owner the chain holds.
    pub fn used(&self) -> u64 {
        self.number("eth_getTransactionCount", json!([OWNER, "latest"]))
    }

    /// Sends a transaction from the owner, whose key the node has too, and mines a block; its
    /// receipt.
    pub fn send(&self, to: Option<&str>, data: &[u8]) -> Value {
        let data = format!("0x{}", data_encoding::HEXLOWER.encode(data));
        let mut call = json!({"from": OWNER, "data": data, "gas": "0xf00000"});
        if let Some(to) = to {
            call["to"] = json!(to);
        }
        let hash = self.ask("eth_sendTransaction", json!([call]));
        self.mine(1);
        let receipt = self.ask("eth_getTransactionReceipt", json!([hash]));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt
    }

    pub fn call(&self, to: &str, data: &[u8]) -> Vec<u8> {
        let data = format!("0x{}", data_encoding::HEXLOWER.encode(data));
        let answer = self.ask("eth_call", json!([{"to": to, "data": data}, "latest"]));
        let digits = answer.as_str().expect("bytes").trim_start_matches("0x");
        data_encoding::HEXLOWER.decode(digits.as_bytes()).expect("hex")
    }
}
