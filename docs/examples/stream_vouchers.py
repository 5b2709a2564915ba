"""Pays for COUNT requests of PRICE units each, over one stream, for one or more agents in several lanes each.
Needs what send_one_voucher.py needs, and takes TALLYSTICK_TLS_CA and TALLYSTICK_TOKEN as that does.
Usage: PYTHONPATH=. stream_vouchers.py HOST:PORT SECRET_HEX[,SECRET_HEX...] PAYEE_HEX ASSET PRICE COUNT

Shows what a client must do so that nothing is paid twice and nothing served for nothing:
- the channels (expiry, lanes, totals) of each agent are kept in a file of this folder, for this network, payee and
  asset alone, and written down before a voucher leaves;
- acks are read while frames are written;
- after a crash or a lost ack the newest vouchers are sent again: what was credited is stale now, nothing more;
- only `credited` and `stale` say that a total is held. Everything else, also what this program does not know, is looked
  at, and GetChannel asked."""
import json
import os
import struct
import sys
import time
from collections import deque

import grpc
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tallystick.v1 import vouchers_pb2, vouchers_pb2_grpc

LANES, FRAME, DAY = 4, 100, 86_400
NAMES = {number: name.removeprefix("OUTCOME_") for name, number in vouchers_pb2.Outcome.items()}


def name(outcome):
    """An engine may know outcomes that this program does not: `Outcome.Name` would raise."""
    return NAMES.get(outcome, f"unknown outcome {outcome}")


class Agent:
    """A key, and its channels to one payee: one expiry, a total for each lane; kept in a file."""

    def __init__(self, network, secret, payee, asset):
        self.network, self.payee, self.asset = network, payee, asset
        self.key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
        self.signer = self.key.public_key().public_bytes_raw()
        # The totals are those of one channel. Another network, payee or asset is another channel, at 0.
        ids = (network, self.signer, payee)
        self.file = f"stream-{'-'.join(part.hex()[:16] for part in ids)}-{asset}.json"
        if os.path.exists(self.file):
            with open(self.file) as kept:
                kept = json.load(kept)
            self.expires_at, self.totals = kept["expires_at"], [int(total) for total in kept["totals"]]
            if self.expires_at <= time.time():
                sys.exit(f"the channels in {self.file} have expired: ask GetChannel what they came to, then "
                         "move the file away to begin others")
        else:
            # Chosen once for all runs: with another expiry every total would start at 0 again.
            self.expires_at, self.totals = (int(time.time()) // DAY + 8) * DAY, [0] * LANES
        self.keep()

    def keep(self):
        """Durable, name and all, or not at all."""
        with open(self.file + ".tmp", "w") as new:
            # As text: other languages' numbers lose digits.
            json.dump({"expires_at": self.expires_at, "totals": [str(total) for total in self.totals]}, new)
            new.flush()
            os.fsync(new.fileno())
        os.rename(self.file + ".tmp", self.file)
        folder = os.open(".", os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def voucher(self, lane):
        """The lane's total as it is kept, signed: 160 bytes."""
        total, expires_at = self.totals[lane], self.expires_at
        channel = blake3(
            self.network + self.signer + self.payee + struct.pack("<IQq", self.asset, lane, expires_at),
            derive_key_context="tallystick 2026-11 channel v1").digest()
        message = b"\x56\x01" + channel + struct.pack("<Qq", total, expires_at)
        return (self.signer + self.payee
                + struct.pack("<IIQqQ", self.asset, 0, lane, expires_at, total)
                + self.key.sign(message))


def frames(agents, price, count, waiting):
    """First the newest voucher of each lane again, in case an ack was lost; then what is to be paid. `waiting` takes what
    was sent in each frame whose ack has not come."""
    def frame(parts):
        waiting.append([(agent, lane) for agent, lane, _ in parts])
        return vouchers_pb2.Frame(frame_id=len(parts), packed=b"".join(voucher for *_, voucher in parts))

    again = [(agent, lane, agent.voucher(lane))
             for agent in agents for lane in range(LANES) if agent.totals[lane]]
    for first in range(0, len(again), FRAME):
        yield frame(again[first:first + FRAME])
    for first in range(0, count, FRAME):
        parts = []
        for request in range(first, min(first + FRAME, count)):
            agent, lane = agents[request % len(agents)], request // len(agents) % LANES
            agent.totals[lane] += price
            parts.append((agent, lane, agent.voucher(lane)))
        for agent in agents:
            agent.keep()  # before they leave
        yield frame(parts)


def connect(server):
    """The engine, and what says to it who calls: a facilitator's key, which goes to another machine under TLS only."""
    token = os.environ.get("TALLYSTICK_TOKEN")
    caller = [("authorization", f"Bearer {token}")] if token else []
    if server.startswith("https://"):
        ca = os.environ.get("TALLYSTICK_TLS_CA")
        trusted = grpc.ssl_channel_credentials(open(ca, "rb").read() if ca else None)
        connection = grpc.secure_channel(server.removeprefix("https://"), trusted)
    elif token and server.rpartition(":")[0] not in ("127.0.0.1", "localhost", "[::1]"):
        sys.exit("a key goes to another machine under TLS only: https://HOST:PORT")
    else:
        connection = grpc.insecure_channel(server)
    return vouchers_pb2_grpc.VouchersStub(connection), caller


def run(engine, caller, agents, price, count):
    """Streams; gRPC takes frames from the generator on a thread of its own while acks are read here."""
    seen, waiting = {}, deque()
    for ack in engine.Stream(frames(agents, price, count, waiting), metadata=caller):
        for (agent, lane), outcome in zip(waiting.popleft(), ack.outcomes):  # in frame order
            word = name(outcome)
            seen[word] = seen.get(word, 0) + 1
            if word not in ("CREDITED", "STALE"):
                print(f"{agent.signer.hex()[:16]} lane {lane}: {word} (an lsn of {ack.lsn} does not mean credited)")
    return seen


def main():
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    server, secrets, payee, asset, price, count = sys.argv[1:]
    engine, caller = connect(server)
    try:
        network = engine.GetNetwork(vouchers_pb2.GetNetworkRequest()).network_id
    except grpc.RpcError as error:
        sys.exit(f"no engine answers at {server}: {error.details()}")
    agents = [Agent(network, secret, bytes.fromhex(payee), int(asset)) for secret in secrets.split(",")]
    try:
        seen = run(engine, caller, agents, int(price), int(count))
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}; the totals are kept: run this again with COUNT 0, and what "
                 "was signed and is not held is sent again")
    print(", ".join(f"{count} {word}" for word, count in sorted(seen.items())))
    lacking = 0
    for agent in agents:
        for lane in (lane for lane in range(LANES) if agent.totals[lane]):
            # What the engine holds of it; `known` is false for a channel that it has forgotten or never seen.
            asked = vouchers_pb2.GetChannelRequest(
                signer=agent.signer, payee=agent.payee, asset=agent.asset, lane=lane, expires_at=agent.expires_at)
            held = engine.GetChannel(asked, metadata=caller)
            lacking += held.cumulative != agent.totals[lane]
            print(f"{agent.signer.hex()[:16]} lane {lane}, expires_at {agent.expires_at}: "
                  f"signed {agent.totals[lane]}, held {held.cumulative if held.known else 'nothing (not known)'}")
            if held.cumulative > agent.totals[lane]:
                print(f"  more is held than {agent.file} says: was it lost, or does another program sign with this key? "
                      "What was signed now paid nothing")
    sys.exit(1 if lacking else 0)


if __name__ == "__main__":
    main()
