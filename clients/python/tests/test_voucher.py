"""Vouchers against the vectors that other programs made."""
from __future__ import annotations

import base64
import json
import pathlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tallystick import AgentKey, Asset, Channel, TallystickError, decimal, parse_price, sign_token, units
from tallystick.voucher import message

ROOT = pathlib.Path(__file__).resolve().parents[3]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "vouchers.json").read_text())
EUR = Asset("EUR", 978, 6)


@pytest.mark.parametrize("one", VECTORS["vouchers"], ids=lambda one: str(one["name"]))
def test_vectors(one: dict[str, Any]) -> None:
    network, key = bytes.fromhex(VECTORS["network_id"]), AgentKey(one["signer_secret"])
    channel = Channel(bytes.fromhex(one["payee"]), one["asset"], int(one["lane"]), int(one["expires_at"]))
    assert key.signer.hex() == one["signer"]
    assert channel.id(network, key.signer).hex() == one["channel_id"]
    text = message(bytes.fromhex(one["channel_id"]), int(one["cumulative"]), channel.expires_at)
    assert text.hex() == one["message"]
    voucher = key.voucher(network, channel, int(one["cumulative"]))
    assert voucher.signature.hex() == one["signature"]
    assert voucher.packed().hex() == one["packed"]


def test_a_token_is_what_the_engine_wants() -> None:
    key = AgentKey.generate()
    head, body, signature = sign_token(key, "fac-a", bytes(32), 1_700_000_000.9).split(".")

    def decoded(part: str) -> bytes:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

    assert json.loads(decoded(head)) == {"alg": "EdDSA", "typ": "JWT"}
    assert json.loads(decoded(body)) == {"sub": "fac-a", "aud": "00" * 32, "iat": 1_700_000_000, "exp": 1_700_000_060}
    Ed25519PublicKey.from_public_bytes(key.signer).verify(decoded(signature), f"{head}.{body}".encode())


def test_decimals_become_units_and_nothing_is_rounded() -> None:
    for text, amount in (("0.0001", 100), ("1", 1_000_000), ("12.50", 12_500_000), ("0.000001", 1)):
        assert units(text, EUR) == amount
        assert units(decimal(amount, 6), EUR) == amount
    assert decimal(7, 0) == "7"
    with pytest.raises(TallystickError, match="nothing is rounded"):
        units("0.0000001", EUR)
    for wrong in ("", "-1", "1e-3", "1,5", ".5", "1.", "٣"):
        with pytest.raises(TallystickError, match="no amount"):
            units(wrong, EUR)


def test_prices_are_taken_in_the_ways_of_x402() -> None:
    assert parse_price("0.0001 EUR") == ("0.0001", "EUR")
    assert parse_price("$0.01") == parse_price(0.01) == ("0.01", "USD")
    assert parse_price(1.5e-9) == ("0.0000000015", "USD")
    with pytest.raises(TallystickError, match="no price"):
        parse_price("free")
