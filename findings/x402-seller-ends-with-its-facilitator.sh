#!/bin/sh
# A whole web server ends at start because a facilitator's list lacks one kind of payment.
#
# Guess:    a payment middleware that cannot serve its paid route says so, and answers there with an
#           error; the other routes of the server go on. An error that may pass is retried.
# Happens:  both libraries ask `/supported` once at start. If it answers without the kind that a
#           route needs, they end the process with code 1 (`process.exit`, `os._exit`: nothing that
#           the application could catch). If it answers 503 the server stays, the paid route says
#           500, and the list is asked for again at its next request.
# Versions: npm @x402/core and @x402/express 2.27.0, express 5.3.0; PyPI x402 2.25.0, fastapi
#           0.165.0. Seen 2026-11-28.
# Follows:  a facilitator that drops a network from its list for an hour of maintenance takes down
#           every seller that restarts in that hour, free pages and all. Never drop a kind: answer
#           503. A seller starts the middleware in a process that can be spared.
#
# Output seen (for @x402/express; for x402 of PyPI the same):
#   ok: @x402/express, kind listed: free page 200, paid page 402
#   ok: @x402/express, kind not listed: process ended with 1
#   ok: @x402/express, list answers 503: free page 200, paid page 500
#   ok: @x402/express, list is back: free page 200, paid page 402
set -eu

cannot() { echo "cannot run here: $1" >&2; exit 2; }
for tool in python3 node npm; do command -v $tool >/dev/null || cannot "no $tool"; done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir"
python3 -m pip install -q --no-compile --target py \
  x402==2.25.0 fastapi==0.165.0 uvicorn==0.54.0 httpx==0.28.1 >log 2>&1 ||
  { tail -5 log >&2; cannot "pip install failed"; }
npm install --ignore-scripts --no-audit --no-fund \
  @x402/core@2.27.0 @x402/express@2.27.0 express@5.3.0 >log 2>&1 ||
  { tail -5 log >&2; cannot "npm install failed"; }

# Two sellers as the packages' own pages show them. The scheme says only what things cost: no
# payment is signed here, since the facilitator decides.
cat >seller.mjs <<'END'
import express from "express";
import { HTTPFacilitatorClient, x402ResourceServer } from "@x402/core/server";
import { paymentMiddleware } from "@x402/express";

const scheme = {
  scheme: "exact",
  defaultAssetTransferMethod: "default",
  paymentFlows: { default: { supported: ["authorization"], default: "authorization" } },
  parsePrice: async (price) => price,
  getAssetDecimals: () => 6,
  enhancePaymentRequirements: async (requirements) => requirements,
};
const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: process.argv[2] }));
server.register("eip155:84532", scheme);
const accepts = {
  scheme: "exact", network: "eip155:84532", payTo: "0x" + "22".repeat(20),
  price: { amount: "100", asset: "0x" + "33".repeat(20) },
};
let made = 0;
const app = express();
app.use(paymentMiddleware({ "GET /paid": { accepts } }, server));
app.get("/paid", (_, answer) => answer.json({ goods: ++made }));
app.get("/free", (_, answer) => answer.json({ made }));
const listener = app.listen(0, "127.0.0.1", () => console.log("port", listener.address().port));
END

cat >seller.py <<'END'
import socket
import sys

import uvicorn
from fastapi import FastAPI
from x402 import x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware.fastapi import payment_middleware
from x402.schemas import AssetAmount


class Scheme:
    scheme = "exact"
    default_asset_transfer_method = "default"
    payment_flows = {"default": {"supported": ["authorization"], "default": "authorization"}}

    def parse_price(self, price, network):
        return AssetAmount(amount="100", asset="0x" + "33" * 20)

    def enhance_payment_requirements(self, requirements, supported_kind, extensions):
        return requirements


server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=sys.argv[1])))
server.register("eip155:84532", Scheme())
accepts = {"scheme": "exact", "network": "eip155:84532", "payTo": "0x" + "22" * 20,
           "price": {"amount": "100", "asset": "0x" + "33" * 20}}
made = 0
app = FastAPI()
app.middleware("http")(payment_middleware({"GET /paid": {"accepts": accepts}}, server))


@app.get("/paid")
def paid():
    global made
    made += 1
    return {"goods": made}


@app.get("/free")
def free():
    return {"made": made}


listener = socket.create_server(("127.0.0.1", 0))
print("port", listener.getsockname()[1], flush=True)
uvicorn.run(app, fd=listener.fileno(), log_level="critical")
END

cat >run.py <<'END'
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

changed = 0


def fact(name, stated, seen):
    global changed
    changed += stated != seen
    print(f"ok: {name}: {seen}" if stated == seen
          else f"CHANGED: {name}: stated {stated}, seen {seen}")


class Facilitator(BaseHTTPRequestHandler):
    """Answers each path with what stands in `says`: status and JSON."""
    says, calls = {}, []

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        Facilitator.calls.append(self.path)
        status, body = Facilitator.says[self.path]
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


facilitator = ThreadingHTTPServer(("127.0.0.1", 0), Facilitator)
threading.Thread(target=facilitator.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{facilitator.server_port}"
PAYER = "0x" + "44" * 20


def supports(network):
    kinds = [{"x402Version": 2, "scheme": "exact", "network": network}]
    return 200, {"kinds": kinds, "extensions": [], "signers": {}}


def get(address, headers={}):
    try:
        ask = urllib.request.Request(address, headers=headers)
        answer = urllib.request.urlopen(ask, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.headers, answer.read()


SELLERS = {"@x402/express": ["node", "seller.mjs", url],
           "x402 of PyPI": [sys.executable, "seller.py", url]}


def pages(seller):
    """What a seller that stays answers; its first line that names a port may follow warnings."""
    for line in seller.stdout:
        if line.startswith("port "):
            base = f"http://127.0.0.1:{line.split()[1]}"
            return base, f"free page {get(f'{base}/free')[0]}, paid page {get(f'{base}/paid')[0]}"
    return None, f"process ended with {seller.wait(60)}"


def start(command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def stop(seller):
    seller.terminate()
    seller.wait(10)


def look(name, command):
    for text, answer, stated in (
        ("kind listed", supports("eip155:84532"), "free page 200, paid page 402"),
        ("list answers 503", (503, {}), "free page 200, paid page 500"),
    ):
        Facilitator.says = {"/supported": answer}
        seller = start(command)
        try:
            base, seen = pages(seller)
            fact(f"{name}, {text}", stated, seen)
            if base and text == "list answers 503":
                Facilitator.says = {"/supported": supports("eip155:84532")}
                fact(f"{name}, list is back", "free page 200, paid page 402",
                     f"free page {get(f'{base}/free')[0]}, paid page {get(f'{base}/paid')[0]}")
        finally:
            stop(seller)

    Facilitator.says = {"/supported": supports("eip155:1")}
    Facilitator.calls.clear()
    seller = start(command)
    try:
        code = seller.wait(60)
        fact(f"{name}, kind not listed", "process ended with 1", f"process ended with {code}")
    except subprocess.TimeoutExpired:
        if not Facilitator.calls:
            print(f"cannot run here: {name} is not up after a minute", file=sys.stderr)
            raise SystemExit(2)
        fact(f"{name}, kind not listed", "process ended with 1", "process stays")
    finally:
        stop(seller)


for name, command in SELLERS.items():
    look(name, command)
facilitator.shutdown()
sys.exit(1 if changed else 0)
END
PYTHONPATH=py python3 run.py
