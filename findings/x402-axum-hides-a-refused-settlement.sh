#!/bin/sh
# A shop on the Rust crate `x402-axum` tells a buyer of a refused settlement in a body for people alone: the header
# PAYMENT-RESPONSE, in which programs look for it, is not there.
#
# Guess:    the HTTP transport of x402, version 2, has one place for what became of a payment, made or not: PAYMENT-RESPONSE,
#           base64 of the facilitator's answer. @x402/express and PyPI's x402 send it with the 402 of a settlement that was refused.
# Happens:  x402-axum sends it when the payment was made. When `/settle` says `success: false`, the buyer gets 402 with neither
#           PAYMENT-RESPONSE nor PAYMENT-REQUIRED, and the reason within a sentence of the body; `extra`, `payer` and the rest of
#           the facilitator's answer are gone. A client that reads headers sees a 402 that asks for nothing and explains nothing.
# Versions: crates.io x402-axum 2.0.2, x402-types 2.0.2, axum 0.8. Seen 2026-11-30.
# Follows:  a buyer cannot count on being told why: after a 402 that says nothing it asks its facilitator what became of the
#           payment before it signs anew.
#
# Output seen:
#   ok: a payment that is made: 200, PAYMENT-RESPONSE has success True
#   ok: one that is refused at /settle: 402, PAYMENT-RESPONSE absent, PAYMENT-REQUIRED absent
#   ok: its body: {"details": "facilitator returned success: false (reason: insufficient_funds)", "error": "Settlement failed"}
set -eu

cannot() { echo "cannot run here: $1" >&2; exit 2; }
command -v python3 >/dev/null || cannot "no python3"
command -v cargo >/dev/null || cannot "no cargo"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir"

mkdir src
cat >Cargo.toml <<'EOF'
[package]
name = "shop"
version = "0.0.0"
edition = "2024"
[dependencies]
axum = "0.8"
tokio = { version = "1", features = ["rt-multi-thread", "net", "macros"] }
x402-axum = "=2.0.2"
x402-types = "=2.0.2"
[profile.dev]
debug = false
[workspace]
EOF
cat >src/main.rs <<'EOF'
use axum::{Router, routing::get};
use x402_axum::X402Middleware;
use x402_types::proto::v2::{PaymentRequirements, PriceTag};

#[tokio::main]
async fn main() {
    let facilitator = std::env::args().nth(1).unwrap();
    let requirements = PaymentRequirements {
        scheme: "exact".into(),
        network: "eip155:84532".parse().unwrap(),
        amount: "1000".into(),
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
        max_timeout_seconds: 60,
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
        extra: None,
    };
    let price = PriceTag { requirements, enricher: None };
    let x402 = X402Middleware::new(&facilitator);
    let paid = get(|| async { "sunny" }).layer(x402.with_price_tag(price));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    axum::serve(listener, Router::new().route("/weather", paid)).await.unwrap();
}
EOF
CARGO_TARGET_DIR=target cargo build -q 2>log || { tail -5 log >&2; cannot "cargo failed"; }

# A facilitator that finds every payment good, and makes or refuses it as the test says; the shop; and a buyer.
cat >look.py <<'EOF'
import base64, http.client, json, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NETWORK, PAYER = "eip155:84532", "0x857b06519E91e3A54538791bDbb0E22373e36b66"
KIND = {"x402Version": 2, "scheme": "exact", "network": NETWORK}
refuses = False

class Facilitator(BaseHTTPRequestHandler):
    def answer(self, said):
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer({"kinds": [KIND], "extensions": [], "signers": {}})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/verify":
            self.answer({"isValid": True, "payer": PAYER})
        elif refuses:
            self.answer({"success": False, "errorReason": "insufficient_funds", "payer": PAYER, "transaction": "",
                         "network": NETWORK, "extra": {"held": "7"}})
        else:
            self.answer({"success": True, "payer": PAYER, "transaction": "0x" + "ab" * 32, "network": NETWORK})

    def log_message(self, *_):
        pass

facilitator = ThreadingHTTPServer(("127.0.0.1", 0), Facilitator)
threading.Thread(target=facilitator.serve_forever, daemon=True).start()
shop = subprocess.Popen(["target/debug/shop", f"http://127.0.0.1:{facilitator.server_port}"], stdout=subprocess.PIPE, text=True)

def ask(headers={}):
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", "/weather", headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    read = lambda name: (text := answer.getheader(name)) and json.loads(base64.b64decode(text))
    return answer.status, read("payment-response"), read("payment-required"), body

failed = False
def fact(what, stated, seen):
    global failed
    failed |= stated != seen
    print(f"ok: {what}: {stated}" if stated == seen else f"CHANGED: {what}: stated {stated}, seen {seen}")

try:
    address = shop.stdout.readline().strip()
    if not address:
        sys.exit(2)
    required = ask()[2]
    payload = {"signature": "0x" + "11" * 65, "authorization": {
        "from": PAYER, "to": required["accepts"][0]["payTo"], "value": "1000", "validAfter": "0",
        "validBefore": "4000000000", "nonce": "0x" + "22" * 32}}
    paid = {"x402Version": 2, "resource": required["resource"], "accepted": required["accepts"][0], "payload": payload}
    headers = {"PAYMENT-SIGNATURE": base64.b64encode(json.dumps(paid).encode()).decode()}
    status, response, _, _ = ask(headers)
    fact("a payment that is made", "200, PAYMENT-RESPONSE has success True",
         f"{status}, PAYMENT-RESPONSE has success {response and response['success']}")
    refuses = True
    status, response, required, body = ask(headers)
    name = lambda found: "absent" if found is None else "there"
    fact("one that is refused at /settle", "402, PAYMENT-RESPONSE absent, PAYMENT-REQUIRED absent",
         f"{status}, PAYMENT-RESPONSE {name(response)}, PAYMENT-REQUIRED {name(required)}")
    stated = {"details": "facilitator returned success: false (reason: insufficient_funds)", "error": "Settlement failed"}
    fact("its body", json.dumps(stated), body and json.dumps(json.loads(body), sort_keys=True))
finally:
    shop.kill()
    shop.wait()
sys.exit(failed)
EOF
python3 look.py
