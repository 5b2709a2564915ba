#!/usr/bin/env python3
"""What is sealed, made independently of the engine from "What is sealed" of docs/FORMATS.md (Python: blake3,
PyNaCl). Usage: sealed.py > sealed.json"""
import json
import struct
import sys

import blake3
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as encrypt

KEY, OTHER, ROOT = (bytes([byte]) * 32 for byte in (7, 8, 9))
ANN, BOB, BATCH = (bytes([byte]) * 32 for byte in (1, 2, 3))


def derive(context, material):
    return blake3.blake3(material, derive_key_context=f"tallystick 2026-11 {context}").digest()


def seal(key, about, text):
    cipher, nonces = derive("party cipher key v1", key), derive("party nonce key v1", key)
    nonce = blake3.blake3(struct.pack("<Q", len(about)) + about + text, key=nonces).digest()[:24]
    return nonce + encrypt(text, about, nonce, cipher)


def fields(pairs):
    texts = (text.encode() for pair in pairs for text in pair)
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def case(about, said, text, keys=(KEY,), party=ANN, rail="", call=b""):
    key = keys[0] if about != "call" else derive("shared call key v1", b"".join(keys))
    sealed = seal(key, said, text)
    return {
        "about": about, "keys": [key.hex() for key in keys], "party": party.hex(), "rail": rail,
        "call": call.hex(), "text": text.hex(), "sealed": sealed.hex(),
    }


IBAN = "DE02120300000000202051"
CALL = BATCH + struct.pack(">III", 1, 2, 3)
CASES = [
    case("name", b"\x01" + ANN, "Müller & Söhne".encode()),
    case("name", b"\x01" + BOB, b"", party=BOB),
    case("account", b"\x02" + ANN + b"iso20022", fields([("bic", "COBADEFFXXX"), ("iban", IBAN)]), rail="iso20022"),
    case("leaves", b"\x03" + ANN + b"iso20022", IBAN.encode(), rail="iso20022"),
    case("call", b"\x04" + CALL, b"POST /v1/payouts", call=CALL),
    case("call", b"\x04" + CALL, bytes(range(200)), keys=(KEY, OTHER), call=CALL),
    case("party key", b"\x05" + ANN + struct.pack("<I", 3), KEY, keys=(ROOT,)),
]

if __name__ == "__main__":
    json.dump(CASES, sys.stdout, indent=1)
    print()
