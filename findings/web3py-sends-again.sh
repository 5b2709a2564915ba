#!/bin/sh
# web3.py sends a raw transaction again by itself, and then reports a paid one as an error.
#
# Guess:    a client library asks again for what only reads. A write whose answer is lost comes back
#           to the caller as what it is: nobody knows.
# Happens:  `eth_sendRawTransaction` is on the list of calls that HTTPProvider repeats, up to five
#           times. The node takes the transaction and mines it, the gateway before it says 502, the
#           library sends the same bytes again, and what the caller sees is the answer to the
#           second: an RPC error -32003 `nonce too low`. The 502 is seen nowhere.
# Versions: PyPI web3 8.0.0; npm @foundry-rs/anvil 1.7.1 as the node. Seen 2026-11-28.
# Follows:  `nonce too low` does not mean "not paid, take the next nonce". Who signs again under a
#           new nonce pays twice. Keep the hash before the send, and after any error ask for its
#           receipt. With `exception_retry_configuration=None` the library sends once and shows the
#           502.
#
# Output seen:
#   ok: sends of one send_raw_transaction behind a gateway that loses one answer: 2
#   ok: what the caller gets: Web3RPCError -32003 nonce too low
#   ok: receipt under the hash of those bytes: status 1
#   ok: sends with exception_retry_configuration=None: 1
#   ok: what the caller gets then: HTTPError 502
set -eu

cannot() { echo "cannot run here: $1" >&2; exit 2; }
for tool in python3 node npm; do command -v $tool >/dev/null || cannot "no $tool"; done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir"
python3 -m pip install -q --no-compile --target py web3==8.0.0 requests==2.34.2 >log 2>&1 ||
  { tail -5 log >&2; cannot "pip install failed"; }
npm install --ignore-scripts --no-audit --no-fund @foundry-rs/anvil@1.7.1 >log 2>&1 ||
  { tail -5 log >&2; cannot "npm install failed"; }

cat >run.py <<'END'
import json, re, subprocess, sys, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.exceptions import Web3RPCError

changed = 0


def fact(name, stated, seen):
    global changed
    changed += stated != seen
    print(f"ok: {name}: {seen}" if stated == seen
          else f"CHANGED: {name}: stated {stated}, seen {seen}")


def start_node():
    """anvil on a free port of loopback."""
    node = subprocess.Popen(["node", "node_modules/@foundry-rs/anvil/bin.mjs", "--port", "0"],
                            stdout=open("node.log", "w"), stderr=subprocess.STDOUT)
    for _ in range(600):
        found = re.search(r"Listening on (127\.0\.0\.1:\d+)", open("node.log").read())
        if found:
            return node, "http://" + found[1]
        if node.poll() is not None:
            break
        time.sleep(0.05)
    node.kill()
    print("cannot run here: anvil does not start:", open("node.log").read(), file=sys.stderr)
    sys.exit(2)


class Gateway(BaseHTTPRequestHandler):
    """Hands every call to the node, and loses the answer to the first send."""
    protocol_version = "HTTP/1.1"
    node = None
    sends = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        ask = urllib.request.Request(Gateway.node, body, {"content-type": "application/json"})
        answer, status = urllib.request.urlopen(ask, timeout=20).read(), 200
        if json.loads(body)["method"] == "eth_sendRawTransaction":
            Gateway.sends += 1
            if Gateway.sends == 1:
                answer, status = b"bad gateway", 502
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def send(provider, direct, payer, nonce):
    """Sends one transfer; what the caller sees, how often it was sent, its hash."""
    signed = payer.sign_transaction({
        "type": 2, "chainId": direct.eth.chain_id, "nonce": nonce, "to": "0x" + "11" * 20,
        "value": 5, "gas": 21000, "maxFeePerGas": 4 * 10**9, "maxPriorityFeePerGas": 10**9})
    Gateway.sends = 0
    try:
        seen = "hash " + Web3(provider).eth.send_raw_transaction(signed.raw_transaction).hex()
    except Web3RPCError as error:
        told = error.rpc_response["error"]
        seen = f"Web3RPCError {told['code']} {told['message'].split(':')[0]}"
    except requests.HTTPError as error:
        seen = f"HTTPError {error.response.status_code}"
    return seen, Gateway.sends, signed.hash


node, Gateway.node = start_node()
gateway = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=gateway.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{gateway.server_port}"
try:
    direct = Web3(HTTPProvider(Gateway.node))
    payer = Account.create()
    direct.provider.make_request("anvil_setBalance", [payer.address, hex(10**18)])

    seen, sends, hash_ = send(HTTPProvider(url), direct, payer, 0)
    fact("sends of one send_raw_transaction behind a gateway that loses one answer", 2, sends)
    fact("what the caller gets", "Web3RPCError -32003 nonce too low", seen)
    receipt = direct.eth.get_transaction_receipt(hash_)
    fact("receipt under the hash of those bytes", "status 1", f"status {receipt['status']}")

    once = HTTPProvider(url, exception_retry_configuration=None)
    seen, sends, _ = send(once, direct, payer, 1)
    fact("sends with exception_retry_configuration=None", 1, sends)
    fact("what the caller gets then", "HTTPError 502", seen)
finally:
    gateway.shutdown()
    node.terminate()
    node.wait(10)
sys.exit(1 if changed else 0)
END
PYTHONPATH=py python3 run.py
