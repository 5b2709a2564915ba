"""Bundles against the vectors that another program made."""
from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from tallystick import AgentKey, Channel
from tallystick.bundle import message, packed

ROOT = pathlib.Path(__file__).resolve().parents[3]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "bundles.json").read_text())


@pytest.mark.parametrize("one", VECTORS["bundles"], ids=lambda one: str(one["name"]))
def test_vectors(one: dict[str, Any]) -> None:
    network, key = bytes.fromhex(VECTORS["network_id"]), AgentKey(one["signer_secret"])
    entries = [
        (Channel(bytes.fromhex(of["payee"]), of["asset"], int(of["lane"]), int(of["expires_at"])), int(of["cumulative"]))
        for of in one["entries"]]
    text = message(network, key.signer, entries)
    assert text.hex() == one["message"]
    assert packed(key.signer, entries, key.sign(text)).hex() == one["packed"]


def test_no_bundle() -> None:
    channel = Channel(bytes(32), 1, 0, 5)
    for count in (0, 65):
        with pytest.raises(ValueError, match="1 to 64"):
            message(bytes(32), bytes(32), [(channel, 1)] * count)
