"""Signs one voucher and sends it. Needs: pip install grpcio-tools blake3 cryptography, and the stubs:
python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. proto/tallystick/v1/*.proto
Usage: send_one_voucher.py HOST:PORT SECRET_HEX PAYEE_HEX ASSET CUMULATIVE"""
import struct
import sys
import time

import grpc
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tallystick.v1 import vouchers_pb2, vouchers_pb2_grpc

server, secret, payee, asset, cumulative = sys.argv[1:]
engine = vouchers_pb2_grpc.VouchersStub(grpc.insecure_channel(server))
network = engine.GetNetwork(vouchers_pb2.GetNetworkRequest()).network_id

key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
signer, payee = key.public_key().public_bytes_raw(), bytes.fromhex(payee)
asset, cumulative, lane, expires_at = int(asset), int(cumulative), 0, int(time.time()) + 3600

# The channel: who pays whom in what, in which lane, until when. It has one running total.
channel = blake3(
    network + signer + payee + struct.pack("<IQq", asset, lane, expires_at),
    derive_key_context="tallystick 2026-11 channel v1",
).digest()
# What is signed: "this channel's total is now `cumulative`".
message = b"\x56\x01" + channel + struct.pack("<Qq", cumulative, expires_at)
# The voucher: 160 bytes, little endian.
voucher = signer + payee + struct.pack("<IIQqQ", asset, 0, lane, expires_at, cumulative)
voucher += key.sign(message)

ack = engine.Submit(vouchers_pb2.Frame(frame_id=1, packed=voucher))
print(vouchers_pb2.Outcome.Name(ack.outcomes[0]), "at lsn", ack.lsn)
