"""Vouchers: what is hashed, signed and sent. tests/vectors/vouchers.json holds examples of every field."""
from __future__ import annotations

import struct
from dataclasses import dataclass

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

CONTEXT = "tallystick 2026-11 channel v1"
VOUCHER_BYTES = 160


def from_hex(text: str, size: int, what: str) -> bytes:
    """Bytes from hexadecimal digits; `size` of them, or an error that says what was expected."""
    if len(text) == 2 * size and not set(text) - set("0123456789abcdefABCDEF"):
        return bytes.fromhex(text)
    raise ValueError(f"{what} must be {2 * size} hexadecimal digits")


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel without its signer: whom it pays, in what, which of several in parallel, and until when (Unix seconds).
    Another expiry is another channel, whose total starts at 0."""

    payee: bytes
    asset: int
    lane: int
    expires_at: int

    def id(self, network: bytes, signer: bytes) -> bytes:
        """Its id: 32 bytes."""
        if not len(network) == len(signer) == len(self.payee) == 32:
            raise ValueError("the network, the signer and the payee are 32 bytes each")
        tail = struct.pack("<IQq", self.asset, self.lane, self.expires_at)
        return blake3(network + signer + self.payee + tail, derive_key_context=CONTEXT).digest()


def message(channel: bytes, cumulative: int, expires_at: int) -> bytes:
    """What is signed."""
    return b"\x56\x01" + channel + struct.pack("<Qq", cumulative, expires_at)


@dataclass(frozen=True, slots=True)
class Voucher:
    """The signed word "this channel's total is now `cumulative`"."""

    signer: bytes
    channel: Channel
    cumulative: int
    signature: bytes

    def packed(self) -> bytes:
        """160 bytes, as a frame of the gRPC stream holds them."""
        of = self.channel
        middle = struct.pack("<IIQqQ", of.asset, 0, of.lane, of.expires_at, self.cumulative)
        return self.signer + of.payee + middle + self.signature

    def json(self) -> dict[str, str | int]:
        """As the payload of an x402 payment carries it."""
        of = self.channel
        return {
            "signer": self.signer.hex(), "payee": of.payee.hex(), "asset": of.asset, "lane": str(of.lane),
            "expiresAt": of.expires_at, "cumulative": str(self.cumulative), "signature": self.signature.hex(),
        }


class AgentKey:
    """An agent's key: what signs vouchers."""

    def __init__(self, secret: bytes | str) -> None:
        """From the secret: 32 bytes, or 64 hexadecimal digits as `tallystick voucher keygen` writes them."""
        given = from_hex(secret.strip(), 32, "an agent's key") if isinstance(secret, str) else secret
        self._key = Ed25519PrivateKey.from_private_bytes(given)
        self.signer = self._key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> AgentKey:
        """A new key, from the system's own source of chance."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def read(cls, path: str) -> AgentKey:
        """From the file that `tallystick voucher keygen --out FILE` wrote."""
        with open(path, encoding="ascii") as file:
            return cls(file.read())

    def sign(self, text: bytes) -> bytes:
        """The signature of a message, 64 bytes."""
        return self._key.sign(text)

    def voucher(self, network: bytes, channel: Channel, cumulative: int) -> Voucher:
        """The voucher of a total. The same one each time it is asked for."""
        text = message(channel.id(network, self.signer), cumulative, channel.expires_at)
        return Voucher(self.signer, channel, cumulative, self.sign(text))
