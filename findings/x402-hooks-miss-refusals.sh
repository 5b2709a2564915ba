#!/bin/sh
# What an x402 scheme's hooks see of a refused payment depends on the language of the seller.
#
# Guess:    the same hook of the same SDK runs at the same moments: after every `/verify`, and for
#           every 402, which after a refusal shows the payment that was refused.
# Happens:  in the npm package the hook after verify runs for refusals too, and the hook that adds
#           to a 402 is given the payment that was refused. In the PyPI package the first runs for
#           payments that are valid alone, and the second is given no payment, though the context
#           has a place for it and the method that fills the context takes one. In both the hook of
#           the 402 runs before the payment is looked at, too: twice for one refused request.
#           The hook for a settlement that failed runs in both where the facilitator refuses it. Where
#           it does not answer (502), in the npm package alone.
# Versions: npm @x402/core and @x402/express 2.27.0, express 5.3.0; PyPI x402 2.25.0, fastapi
#           0.165.0. Seen 2026-11-30.
# Follows:  a scheme whose buyer must learn from the 402 what would have been right (the channel's
#           total, in batch schemes) cannot add it by these hooks in both languages: a facilitator
#           has to have a way of asking that does not lead through the seller. And a seller in
#           Python that counts or holds something for each payment never hears that it came to
#           nothing: wrap the facilitator's client instead.
#
# Output seen:
#   ok: @x402/express, a valid payment: after verify ran 1 (True), handler ran 1
#   ok: @x402/express, a refused one: after verify ran 1 (False), handler ran 0
#   ok: @x402/express, the 402 without a payment: its hook ran 1, payment None
#   ok: @x402/express, the 402 after the refusal: its hook ran 2, payment None, 0x0a
#   ok: @x402/express, one that is refused at /settle: the hook for failures ran 1
#   ok: @x402/express, one whose /settle is lost: the hook for failures ran 1
#   ok: x402 of PyPI, a valid payment: after verify ran 1 (True), handler ran 1
#   ok: x402 of PyPI, a refused one: after verify ran 0, handler ran 0
#   ok: x402 of PyPI, the 402 without a payment: its hook ran 1, payment None
#   ok: x402 of PyPI, the 402 after the refusal: its hook ran 2, payment None, None
#   ok: x402 of PyPI, one that is refused at /settle: the hook for failures ran 1
#   ok: x402 of PyPI, one whose /settle is lost: the hook for failures ran 0
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

# Two sellers as the packages' own pages show them, each with three hooks that note when they run and
# what they see. No payment is signed here, since the facilitator decides.
cat >seller.mjs <<'END'
import express from "express";
import { HTTPFacilitatorClient, x402ResourceServer } from "@x402/core/server";
import { paymentMiddleware } from "@x402/express";

const seen = { verified: [], asked: [], made: 0, failed: 0 };
const scheme = {
  scheme: "exact",
  defaultAssetTransferMethod: "default",
  paymentFlows: { default: { supported: ["authorization"], default: "authorization" } },
  parsePrice: async (price) => price,
  getAssetDecimals: () => 6,
  enhancePaymentRequirements: async (requirements) => requirements,
  enrichPaymentRequiredResponse: async ({ paymentPayload }) => {
    seen.asked.push(paymentPayload?.payload.signature ?? null);
  },
};
const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: process.argv[2] }));
server.register("eip155:84532", scheme);
server.onAfterVerify(async ({ result }) => { seen.verified.push(result.isValid); });
server.onSettleFailure(async () => { seen.failed += 1; });
const accepts = {
  scheme: "exact", network: "eip155:84532", payTo: "0x" + "22".repeat(20),
  price: { amount: "100", asset: "0x" + "33".repeat(20) },
};
const app = express();
app.use(paymentMiddleware({ "GET /paid": { accepts } }, server));
app.get("/paid", (_, answer) => answer.json({ goods: ++seen.made }));
app.get("/free", (_, answer) => answer.json(seen));
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

    async def enrich_payment_required_response(self, context):
        payment = context.payment_payload
        seen["asked"].append(payment and payment.payload["signature"])


def verified(context):
    seen["verified"].append(context.result.is_valid)


def failed(context):
    seen["failed"] += 1


seen = {"verified": [], "asked": [], "made": 0, "failed": 0}
server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=sys.argv[1])))
server.register("eip155:84532", Scheme())
server.on_after_verify(verified)
server.on_settle_failure(failed)
accepts = {"scheme": "exact", "network": "eip155:84532", "payTo": "0x" + "22" * 20,
           "price": {"amount": "100", "asset": "0x" + "33" * 20}}
app = FastAPI()
app.middleware("http")(payment_middleware({"GET /paid": {"accepts": accepts}}, server))


@app.get("/paid")
def paid():
    seen["made"] += 1
    return {"goods": seen["made"]}


@app.get("/free")
def free():
    return seen


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
# What was seen: of each seller, (the hook after verify for a refused payment, the payment that the
# hook of the 402 is given after it, how often the hook for failures runs for a lost settlement).
STATED = {"@x402/express": (" (False)", "0x0a", 1), "x402 of PyPI": (None, "None", 0)}
PAID = {"success": True, "transaction": "0x01", "network": "eip155:84532", "payer": PAYER}


def look(name, command):
    Facilitator.says = {"/supported": supports("eip155:84532"), "/settle": (200, PAID)}
    seller = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        base = f"http://127.0.0.1:{seller.stdout.readline().split()[1]}"

        def step(headers={}):
            before = json.loads(get(f"{base}/free")[2])
            answer = get(f"{base}/paid", headers)
            after = json.loads(get(f"{base}/free")[2])
            new = {key: after[key][len(before[key]):] for key in ("verified", "asked")}
            counts = {key: after[key] - before[key] for key in ("made", "failed")}
            return answer, new | counts

        def after_verify(of):
            values = "".join(f" ({value})" for value in of["verified"])
            return f"after verify ran {len(of['verified'])}{values}, handler ran {of['made']}"

        def enriched(of):
            return f"its hook ran {len(of['asked'])}, payment {', '.join(map(str, of['asked']))}"

        bare, of_bare = step()
        asked = json.loads(base64.b64decode(bare[1]["payment-required"]))

        def pay(signature, verdict):
            Facilitator.says["/verify"] = (200, verdict | {"payer": PAYER})
            payment = {"x402Version": 2, "resource": asked["resource"],
                       "accepted": asked["accepts"][0], "payload": {"signature": signature}}
            word = base64.b64encode(json.dumps(payment).encode()).decode()
            return step({"PAYMENT-SIGNATURE": word})[1]

        valid = pay("0x00", {"isValid": True})
        refused = pay("0x0a", {"isValid": False, "invalidReason": "insufficient_funds"})
        Facilitator.says["/settle"] = (200, PAID | {"success": False, "errorReason": "invalid"})
        unmade = pay("0x0b", {"isValid": True})
        Facilitator.says["/settle"] = (502, {})
        lost = pay("0x0c", {"isValid": True})
        hook, payment, told = STATED[name]
        fact(f"{name}, a valid payment", "after verify ran 1 (True), handler ran 1",
             after_verify(valid))
        fact(f"{name}, a refused one",
             f"after verify ran {1 if hook else 0}{hook or ''}, handler ran 0",
             after_verify(refused))
        fact(f"{name}, the 402 without a payment", "its hook ran 1, payment None",
             enriched(of_bare))
        fact(f"{name}, the 402 after the refusal", f"its hook ran 2, payment None, {payment}",
             enriched(refused))
        for what, of, times in (("that is refused at /settle", unmade, 1),
                                ("whose /settle is lost", lost, told)):
            ran = "the hook for failures ran"
            fact(f"{name}, one {what}", f"{ran} {times}", f"{ran} {of['failed']}")
    finally:
        seller.terminate()
        seller.wait(10)


for name, command in SELLERS.items():
    look(name, command)
facilitator.shutdown()
sys.exit(1 if changed else 0)
END
PYTHONPATH=py python3 run.py
