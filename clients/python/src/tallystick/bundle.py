"""Bundles: one signature over the totals of several channels. tests/vectors/bundles.json holds examples."""
from __future__ import annotations

import struct
from collections.abc import Sequence

from blake3 import blake3

from .voucher import Channel

ENTRIES_MAX = 64

LEAF = "tallystick 2026-11 bundle leaf v1"
NODE = "tallystick 2026-11 bundle node v1"
BUNDLE = "tallystick 2026-11 bundle v1"


def _derive(context: str, data: bytes) -> bytes:
    return blake3(data, derive_key_context=context).digest()


def message(network: bytes, signer: bytes, entries: Sequence[tuple[Channel, int]]) -> bytes:
    """What is signed: that each of these channels has this total now. 1 to 64 of them, in the order in which they are sent."""
    if not 1 <= len(entries) <= ENTRIES_MAX:
        raise ValueError(f"a bundle has 1 to {ENTRIES_MAX} entries, not {len(entries)}: sign several")
    level = [_derive(LEAF, channel.id(network, signer) + struct.pack("<Q", total)) for channel, total in entries]
    while len(level) > 1:
        pairs = [level[at:at + 2] for at in range(0, len(level), 2)]
        # An odd one moves up unchanged.
        level = [_derive(NODE, b"".join(pair)) if len(pair) == 2 else pair[0] for pair in pairs]
    return b"\x56\x02" + _derive(BUNDLE, network + signer + struct.pack("<I", len(entries)) + level[0])


def packed(signer: bytes, entries: Sequence[tuple[Channel, int]], signature: bytes) -> bytes:
    """96 + 60 for each entry, as the field `packed_bundles` of a frame holds it."""
    parts = [of.payee + struct.pack("<IQqQ", of.asset, of.lane, of.expires_at, total) for of, total in entries]
    return signer + signature + b"".join(parts)
