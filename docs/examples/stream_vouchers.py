"""Pays for COUNT requests of PRICE units each, over a stream, in several lanes. Needs what send_one_voucher.py needs.
Usage: PYTHONPATH=. stream_vouchers.py HOST:PORT SECRET_HEX PAYEE_HEX ASSET PRICE COUNT [FILE]

Shows what a client must do so that nothing is paid twice and nothing served for nothing:
- the channels (expiry, lanes, totals) are kept in FILE, and written down before a voucher leaves;
- acks are read while frames are written;
- after a crash or a lost ack the newest vouchers are sent again: what was credited is stale now, nothing more;
- only `credited` and `stale` say that a total is held. Everything else is looked at, and GetChannel asked."""
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


class Channels:
    """The channels of one signer to one payee: one expiry, a total for each lane; in a file."""

    def __init__(self, file):
        self.file = file
        if os.path.exists(file):
            with open(file) as kept:
                self.expires_at, self.totals = json.load(kept).values()
            if self.expires_at <= time.time():
                sys.exit(f"the channels in {file} have expired: ask GetChannel what they came to, then "
                         "move the file away to begin others")
        else:
            # Chosen once for all runs: with another expiry every total would start at 0 again.
            self.expires_at, self.totals = (int(time.time()) // DAY + 8) * DAY, [0] * LANES
        self.keep()

    def keep(self):
        """Durable, whole, or not at all."""
        with open(self.file + ".tmp", "w") as new:
            json.dump({"expires_at": self.expires_at, "totals": self.totals}, new)
            new.flush()
            os.fsync(new.fileno())
        os.rename(self.file + ".tmp", self.file)


class Payer:
    """Signs and streams."""

    def __init__(self, server, secret, payee, asset, channels):
        self.engine = vouchers_pb2_grpc.VouchersStub(grpc.insecure_channel(server))
        self.network = self.engine.GetNetwork(vouchers_pb2.GetNetworkRequest()).network_id
        self.key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
        self.signer = self.key.public_key().public_bytes_raw()
        self.payee, self.asset, self.channels = bytes.fromhex(payee), int(asset), channels
        self.waiting = deque()  # what was sent in each frame whose ack has not come

    def voucher(self, lane):
        """The lane's total as it is kept, signed: 160 bytes."""
        total, expires_at = self.channels.totals[lane], self.channels.expires_at
        channel = blake3(
            self.network + self.signer + self.payee
            + struct.pack("<IQq", self.asset, lane, expires_at),
            derive_key_context="tallystick 2026-11 channel v1").digest()
        message = b"\x56\x01" + channel + struct.pack("<Qq", total, expires_at)
        return (self.signer + self.payee
                + struct.pack("<IIQqQ", self.asset, 0, lane, expires_at, total)
                + self.key.sign(message))

    def frames(self, price, count):
        """First the newest voucher of each lane again, in case an ack was lost; then what is to be paid."""
        used = [lane for lane in range(LANES) if self.channels.totals[lane]]
        if used:
            yield self.frame([(lane, self.voucher(lane)) for lane in used])
        for first in range(0, count, FRAME):
            vouchers = []
            for request in range(first, min(first + FRAME, count)):
                lane = request % LANES
                self.channels.totals[lane] += price
                vouchers.append((lane, self.voucher(lane)))
            self.channels.keep()  # before they leave
            yield self.frame(vouchers)

    def frame(self, vouchers):
        """One message."""
        self.waiting.append([lane for lane, _ in vouchers])
        packed = b"".join(voucher for _, voucher in vouchers)
        return vouchers_pb2.Frame(frame_id=len(vouchers), packed=packed)

    def held(self, lane):
        """What the engine holds of a lane; `known` is false for a channel that it has forgotten or never seen."""
        return self.engine.GetChannel(vouchers_pb2.GetChannelRequest(
            signer=self.signer, payee=self.payee, asset=self.asset, lane=lane,
            expires_at=self.channels.expires_at))

    def run(self, price, count):
        """Streams; gRPC takes frames from the generator on a thread of its own while acks are read here."""
        seen = {}
        for ack in self.engine.Stream(self.frames(price, count)):
            for lane, outcome in zip(self.waiting.popleft(), ack.outcomes):  # in frame order
                word = name(outcome)
                seen[word] = seen.get(word, 0) + 1
                if word not in ("CREDITED", "STALE"):
                    print(f"lane {lane}: {word} (an lsn of {ack.lsn} does not mean credited)")
        return seen


def main():
    server, secret, payee, asset, price, count = sys.argv[1:7]
    channels = Channels(sys.argv[7] if len(sys.argv) > 7 else "channels.json")
    payer = Payer(server, secret, payee, asset, channels)
    seen = payer.run(int(price), int(count))
    print(", ".join(f"{count} {word}" for word, count in sorted(seen.items())))
    lacking = 0
    for lane in (lane for lane in range(LANES) if channels.totals[lane]):
        held = payer.held(lane)
        lacking += held.cumulative < channels.totals[lane]
        print(f"lane {lane}, expires_at {channels.expires_at}: signed {channels.totals[lane]}, "
              f"held {held.cumulative if held.known else 'nothing (not known)'}")
    sys.exit(1 if lacking else 0)


if __name__ == "__main__":
    main()
