"""Signs one voucher and sends it. Needs: pip install grpcio-tools blake3 cryptography, and the stubs:
python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. proto/tallystick/v1/*.proto
Usage: PYTHONPATH=. send_one_voucher.py HOST:PORT SECRET_HEX PAYEE_HEX ASSET CUMULATIVE
Run twice with the same arguments, it pays once: the channel is kept in a file in this folder.
As `tallystick` does: https://HOST:PORT is an engine that speaks TLS, TALLYSTICK_TLS_CA the file of its authority,
TALLYSTICK_TOKEN your facilitator's key."""
import json
import os
import struct
import sys
import time

import grpc
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tallystick.v1 import vouchers_pb2, vouchers_pb2_grpc

if len(sys.argv) != 6:
    sys.exit(__doc__)
server, secret, payee, asset, cumulative = sys.argv[1:]
for what, text in (("SECRET_HEX", secret), ("PAYEE_HEX", payee)):
    if len(text) != 64 or set(text.lower()) - set("0123456789abcdef"):
        sys.exit(f"{what} is 64 hexadecimal digits; what was given has {len(text)} characters")
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
engine = vouchers_pb2_grpc.VouchersStub(connection)
try:
    network = engine.GetNetwork(vouchers_pb2.GetNetworkRequest()).network_id
except grpc.RpcError as error:
    sys.exit(f"no engine answers at {server}: {error.details()}")

key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
signer, payee = key.public_key().public_bytes_raw(), bytes.fromhex(payee)
asset, cumulative, lane = int(asset), int(cumulative), 0

# A channel is (signer, payee, asset, lane, expiry). Another expiry is another channel, whose total starts at 0:
# so the expiry is chosen once, kept before anything is signed, and used again.
file = f"channel-{signer.hex()[:16]}-{payee.hex()[:16]}-{asset}-{lane}.json"
if not os.path.exists(file):
    with open(file + ".tmp", "w") as new:
        json.dump({"expires_at": int(time.time()) + 7 * 86_400, "lane": lane}, new)
        new.flush()
        os.fsync(new.fileno())
    os.rename(file + ".tmp", file)
    # Durable, name and all, before a voucher names it: a channel that is lost would be begun anew, at 0.
    folder = os.open(".", os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
expires_at = json.load(open(file))["expires_at"]
if expires_at <= time.time():
    sys.exit(f"the channel in {file} has expired: move the file away to begin another, whose total starts at 0")

# Its id: it has one running total.
channel = blake3(
    network + signer + payee + struct.pack("<IQq", asset, lane, expires_at),
    derive_key_context="tallystick 2026-11 channel v1",
).digest()
# What is signed: "this channel's total is now `cumulative`".
message = b"\x56\x01" + channel + struct.pack("<Qq", cumulative, expires_at)
# The voucher: 160 bytes, little endian.
voucher = signer + payee + struct.pack("<IIQqQ", asset, 0, lane, expires_at, cumulative)
voucher += key.sign(message)

try:
    ack = engine.Submit(vouchers_pb2.Frame(frame_id=1, packed=voucher), metadata=caller)
except grpc.RpcError as error:
    sys.exit(f"{error.code().name}: {error.details()}; to send it again is safe")
names = {number: name for name, number in vouchers_pb2.Outcome.items()}
print(names.get(ack.outcomes[0], f"outcome {ack.outcomes[0]}"), "at lsn", ack.lsn)
print(f"signed: total {cumulative} on lane {lane}, expires_at {expires_at} (kept in {file})")
