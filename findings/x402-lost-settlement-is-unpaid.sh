#!/bin/sh
# An x402 seller tells a buyer who has paid that nothing was paid, when the answer to one call is lost.
#
# Guess:    the seller asks the facilitator again when the answer to `/settle` is lost (502), or
#           asks what became of the payment, and gives out the goods once it knows.
# Happens:  the buyer gets 402 "payment required" and no goods, though the money has moved and the
#           handler has run; nothing is asked again, then or later. `settlement_pending` with a
#           transaction is asked once more within the same request, without a word on how long to
#           wait, and then is 402 too. Both libraries do the same.
# Versions: npm @x402/core and @x402/express 2.27.0, express 5.3.0; PyPI x402 2.25.0, fastapi
#           0.165.0. Seen 2026-11-28.
# Follows:  a buyer's agent pays again: 402 is what it knows how to answer. A facilitator must count
#           on a second payment for the same request after any lost answer, hold `/settle` open
#           until it knows rather than say "pending", and offer the buyer a way to ask.
#
# Output seen (for @x402/express; for x402 of PyPI the same):
#   ok: @x402/express, settled and answered: 200, goods given, handler ran 1, asked to settle 1
#   ok: @x402/express, settled, answer lost (502): 402, goods withheld, handler ran 1, asked to settle 1
#   ok: @x402/express, what the buyer reads: success False, transaction ''
#   ok: @x402/express, settlement_pending: 402, goods withheld, handler ran 1, asked to settle 2
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
import base64
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
PAID = {"success": True, "transaction": "0x01", "network": "eip155:84532", "payer": PAYER}
PENDING = PAID | {"success": False, "errorReason": "settlement_pending"}


def header(headers, name):
    return json.loads(base64.b64decode(headers[name]))


def look(name, command):
    Facilitator.says = {"/supported": supports("eip155:84532"), "/settle": (200, PAID),
                        "/verify": (200, {"isValid": True, "payer": PAYER})}
    seller = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        base = f"http://127.0.0.1:{seller.stdout.readline().split()[1]}"
        asked = header(get(f"{base}/paid")[1], "payment-required")
        payment = {"x402Version": 2, "resource": asked["resource"], "accepted": asked["accepts"][0],
                   "payload": {"signature": "0x00"}}
        signature = base64.b64encode(json.dumps(payment).encode()).decode()

        def buy():
            before = json.loads(get(f"{base}/free")[2])["made"]
            Facilitator.calls.clear()
            status, headers, body = get(f"{base}/paid", {"PAYMENT-SIGNATURE": signature})
            given = "given" if b"goods" in body else "withheld"
            ran = json.loads(get(f"{base}/free")[2])["made"] - before
            seen = f"{status}, goods {given}, handler ran {ran}, " \
                f"asked to settle {Facilitator.calls.count('/settle')}"
            return seen, header(headers, "payment-response")

        fact(f"{name}, settled and answered",
             "200, goods given, handler ran 1, asked to settle 1", buy()[0])
        # The facilitator has settled; the gateway before it lost the answer.
        Facilitator.says["/settle"] = (502, {"error": "bad gateway"})
        seen, told = buy()
        fact(f"{name}, settled, answer lost (502)",
             "402, goods withheld, handler ran 1, asked to settle 1", seen)
        fact(f"{name}, what the buyer reads", "success False, transaction ''",
             f"success {told['success']}, transaction {told['transaction']!r}")
        Facilitator.says["/settle"] = (200, PENDING)
        fact(f"{name}, settlement_pending",
             "402, goods withheld, handler ran 1, asked to settle 2", buy()[0])
    finally:
        seller.terminate()
        seller.wait(10)


for name, command in SELLERS.items():
    look(name, command)
facilitator.shutdown()
sys.exit(1 if changed else 0)
END
PYTHONPATH=py python3 run.py
