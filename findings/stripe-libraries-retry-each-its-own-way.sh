#!/bin/sh
# Stripe's own libraries disagree about retries, and "no retries" still means one.
#
# Guess:    the libraries of one provider retry alike; 0 retries means one call; 429 with
#           Retry-After is waited for and retried, since that is what the status is for.
# Happens:  stripe-node sends a POST up to three times after 503, and with `maxNetworkRetries: 0`
#           still twice when the connection closes without an answer (under one Idempotency-Key of
#           its own, so Stripe itself counts it once). stripe-python sends three times through the
#           module's functions and once through `StripeClient`, the newer form, with a closed
#           connection too. No library retries a 429, whatever Retry-After says.
# Versions: npm stripe 23.1.0, PyPI stripe 16.1.0, requests 2.34.2. Seen 2026-11-28.
# Follows:  the key that the library makes lives for one call of it. Who calls again after the error
#           pays under a new key: a second charge. Give every payment a key of your own, kept before
#           the call, and handle 429 yourself. A provider of Stripe's shape that ignores the header
#           charges twice even with retries off.
#
# Output seen:
#   ok: stripe-node, as installed, 503: calls 3, keys 1
#   ok: stripe-node, 0 retries, 503: calls 1, keys 1
#   ok: stripe-node, 0 retries, connection closed: calls 2, keys 1
#   ok: stripe-node, as installed, 429 with Retry-After 1: calls 1, keys 1
#   ok: stripe-node, 0 retries, 503, called again by its user: calls 2, keys 2
#   ok: stripe-python, module, 503: calls 3, keys 1
#   ok: stripe-python, module, 429 with Retry-After 1: calls 1, keys 1
#   ok: stripe-python, StripeClient, 503: calls 1, keys 1
#   ok: stripe-python, StripeClient, connection closed: calls 1, keys 1
set -eu

cannot() { echo "cannot run here: $1" >&2; exit 2; }
for tool in python3 node npm; do command -v $tool >/dev/null || cannot "no $tool"; done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir"
python3 -m pip install -q --no-compile --target py stripe==16.1.0 requests==2.34.2 >log 2>&1 ||
  { tail -5 log >&2; cannot "pip install failed"; }
npm install --ignore-scripts --no-audit --no-fund stripe@23.1.0 >log 2>&1 ||
  { tail -5 log >&2; cannot "npm install failed"; }

cat >pay.mjs <<'END'
import Stripe from "stripe";

const [port, retries, times] = process.argv.slice(2);
const options = { host: "127.0.0.1", port: Number(port), protocol: "http", telemetry: false };
if (retries !== "default") options.maxNetworkRetries = Number(retries);
const stripe = new Stripe("sk_test_example", options);
for (let time = 0; time < Number(times); time += 1) {
  const payment = stripe.paymentIntents.create({ amount: 100, currency: "eur" });
  const failed = await payment.catch((error) => error);
  if (!(failed instanceof Error)) process.exit(1);
}
END

cat >run.py <<'END'
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import stripe

changed = 0


def fact(name, stated, seen):
    global changed
    changed += stated != seen
    print(f"ok: {name}: {seen}" if stated == seen
          else f"CHANGED: {name}: stated {stated}, seen {seen}")


class Provider(BaseHTTPRequestHandler):
    """Answers every payment with what `does` says, and keeps the keys of all calls."""
    does = "503"
    keys = []

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        Provider.keys.append(self.headers.get("idempotency-key"))
        self.close_connection = True
        if Provider.does == "close":
            return
        body = b'{"error": {"type": "api_error", "message": "no"}}'
        self.send_response(int(Provider.does))
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if Provider.does == "429":
            self.send_header("retry-after", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


provider = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=provider.serve_forever, daemon=True).start()
port = provider.server_port


def calls(does, pay):
    Provider.does, Provider.keys = does, []
    pay()
    return f"calls {len(Provider.keys)}, keys {len(set(Provider.keys) - {None})}"


def node(retries, times=1):
    def pay():
        subprocess.run(["node", "pay.mjs", str(port), retries, str(times)], check=True, timeout=60)
    return pay


def must_fail(pay):
    def call():
        try:
            pay()
        except stripe.StripeError:
            return
        raise AssertionError("a failed payment raised nothing")
    return call


stripe.api_key, stripe.api_base = "sk_test_example", f"http://127.0.0.1:{port}"
client = stripe.StripeClient("sk_test_example", base_addresses={"api": stripe.api_base})
module = must_fail(lambda: stripe.PaymentIntent.create(amount=100, currency="eur"))
payment = {"amount": 100, "currency": "eur"}
client_call = must_fail(lambda: client.v1.payment_intents.create(payment))

fact("stripe-node, as installed, 503", "calls 3, keys 1", calls("503", node("default")))
fact("stripe-node, 0 retries, 503", "calls 1, keys 1", calls("503", node("0")))
fact("stripe-node, 0 retries, connection closed", "calls 2, keys 1", calls("close", node("0")))
fact("stripe-node, as installed, 429 with Retry-After 1", "calls 1, keys 1", calls("429", node("default")))
fact("stripe-node, 0 retries, 503, called again by its user", "calls 2, keys 2", calls("503", node("0", 2)))
fact("stripe-python, module, 503", "calls 3, keys 1", calls("503", module))
fact("stripe-python, module, 429 with Retry-After 1", "calls 1, keys 1", calls("429", module))
fact("stripe-python, StripeClient, 503", "calls 1, keys 1", calls("503", client_call))
fact("stripe-python, StripeClient, connection closed", "calls 1, keys 1", calls("close", client_call))
provider.shutdown()
sys.exit(1 if changed else 0)
END
PYTHONPATH=py python3 run.py
