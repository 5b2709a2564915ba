#!/usr/bin/env python3
"""Bundle test vectors, made independently of the engine (Python: blake3, cryptography).
Usage: bundles.py > bundles.json"""
import hashlib, json, struct
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CHANNEL = "tallystick 2026-11 channel v1"
LEAF = "tallystick 2026-11 bundle leaf v1"
NODE = "tallystick 2026-11 bundle node v1"
BUNDLE = "tallystick 2026-11 bundle v1"

def derived(context, *parts):
    return blake3(b"".join(parts), derive_key_context=context).digest()

def root(leaves):
    """The largest power of two below their number stands to the left (RFC 6962)."""
    if len(leaves) == 1:
        return leaves[0]
    left = 1
    while left * 2 < len(leaves):
        left *= 2
    return derived(NODE, root(leaves[:left]), root(leaves[left:]))

def path(leaves, place):
    """The digests beside the way from a leaf to the root, from the leaf up."""
    if len(leaves) == 1:
        return []
    left = 1
    while left * 2 < len(leaves):
        left *= 2
    if place < left:
        return path(leaves[:left], place) + [root(leaves[left:])]
    return path(leaves[left:], place - left) + [root(leaves[:left])]

def seed(tag): return hashlib.sha256(tag.encode()).digest()

network = blake3(b"tallystick vectors").digest()
cases = [
    ("one entry", "agent-0", 1, {}),
    ("two entries", "agent-0", 2, {}),
    ("three entries: the last one moves up", "agent-0", 3, {}),
    ("six entries", "agent-1", 6, {}),
    ("eight entries", "agent-1", 8, {}),
    ("thirteen entries", "agent-2", 13, {}),
    ("the most entries", "agent-2", 64, {}),
    ("one channel twice, in order", "agent-3", 4, {"same": True}),
    ("the largest numbers", "agent-3", 5, {"largest": True}),
]
out = {"contexts": {"leaf": LEAF, "node": NODE, "bundle": BUNDLE}, "network_id": network.hex(), "bundles": []}
for name, agent, count, how in cases:
    secret = Ed25519PrivateKey.from_private_bytes(seed(agent))
    signer = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    entries, leaves, shown = b"", [], []
    for place in range(count):
        payee = seed("shop-0" if how.get("same") else f"shop-{place}")
        asset, lane, expires_at, total = 1 + place % 2, 7, 1893456000 + place, 1000 * (place + 1)
        if how.get("same"):
            asset, expires_at = 1, 1893456000
        if how.get("largest"):
            asset, lane, expires_at, total = 2**32 - 1, 2**64 - 1 - place, 2**63 - 1, 2**64 - 1
        fields = struct.pack("<IQq", asset, lane, expires_at)
        channel = derived(CHANNEL, network, signer, payee, fields)
        leaves.append(derived(LEAF, channel, struct.pack("<Q", total)))
        entries += payee + fields + struct.pack("<Q", total)
        shown.append({"payee": payee.hex(), "asset": asset, "lane": str(lane), "expires_at": str(expires_at),
            "cumulative": str(total), "channel_id": channel.hex()})
    for place, entry in enumerate(shown):
        entry["path"] = [digest.hex() for digest in path(leaves, place)]
    digest = derived(BUNDLE, network, signer, struct.pack("<I", count), root(leaves))
    message = b"\x56\x02" + digest
    signature = secret.sign(message)
    out["bundles"].append({"name": name, "signer_secret": seed(agent).hex(), "signer": signer.hex(),
        "root": root(leaves).hex(), "message": message.hex(), "signature": signature.hex(), "entries": shown,
        "packed": (signer + signature + entries).hex()})
print(json.dumps(out, indent=1))
