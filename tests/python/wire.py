"""The voucher, the channel id, the Merkle root and IBANs, written anew from the documents: nothing
here is shared with the engine. Knows no gRPC."""
import hashlib
import struct

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CHANNEL = "tallystick 2026-11 channel v1"
LEAF = "tallystick 2026-11 merkle leaf v1"
NODE = "tallystick 2026-11 merkle node v1"
EMPTY = "tallystick 2026-11 merkle empty v1"


def seed(text):
    """32 bytes that are the same on every run."""
    return hashlib.sha256(text.encode()).digest()


class Agent:
    """A key that signs for one party."""

    def __init__(self, name, secret=None):
        self.secret = Ed25519PrivateKey.from_private_bytes(secret or seed(name))
        self.key = self.secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def voucher(self, network, payee, asset, lane, expires_at, cumulative):
        """A signed voucher's fields, as keywords of the message `Voucher`."""
        channel = channel_id(network, self.key, payee, asset, lane, expires_at)
        message = b"\x56\x01" + channel + struct.pack("<Qq", cumulative, expires_at)
        return dict(signer=self.key, payee=payee, asset=asset, lane=lane, expires_at=expires_at,
                    cumulative=cumulative, signature=self.secret.sign(message))


def channel_id(network, signer, payee, asset, lane, expires_at):
    """Names one payment stream."""
    preimage = network + signer + payee + struct.pack("<IQq", asset, lane, expires_at)
    return blake3(preimage, derive_key_context=CHANNEL).digest()


def pack(v):
    """The packed wire form: 160 bytes."""
    middle = struct.pack("<IIQqQ", v["asset"], 0, v["lane"], v["expires_at"], v["cumulative"])
    return v["signer"] + v["payee"] + middle + v["signature"]


def merkle(leaves):
    """RFC 6962's shape: split at the largest power of two below the number of leaves."""
    if not leaves:
        return blake3(b"", derive_key_context=EMPTY).digest()
    if len(leaves) == 1:
        return blake3(leaves[0], derive_key_context=LEAF).digest()
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    both = merkle(leaves[:half]) + merkle(leaves[half:])
    return blake3(both, derive_key_context=NODE).digest()


def iban(number):
    """A German IBAN with right check digits."""
    bban = f"37040044{number:010d}"
    digits = int(bban + "131400")  # D = 13, E = 14, then 00
    return f"DE{98 - digits % 97:02d}{bban}"
