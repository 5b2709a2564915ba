"""What docs/WEBHOOKS.md shows for Flask, as it stands, against real deliveries."""
from __future__ import annotations

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from engine import BUYER, DEADLINE, SELLER, Engine

TEXT = (pathlib.Path(__file__).resolve().parents[3] / "docs" / "WEBHOOKS.md").read_text()
# What the page leaves to the reader.
MINE = """
seen = set()
def is_new(id):
    return not (id in seen or seen.add(id))
def handle(type, data):
    print(json.dumps({"type": type, "data": data}), flush=True)
import json
"""


def shown() -> str:
    """The program of the page."""
    found = re.search(r"\n\n((?: {4}.*\n)+)", TEXT[TEXT.index("In Python ("):])
    assert found
    return re.sub(r"^ {4}", "", found.group(1), flags=re.MULTILINE)


@pytest.fixture()
def engine(tmp_path: pathlib.Path) -> Iterator[Engine]:
    found = Engine(tmp_path, "[webhooks]\nallow_private = true\n").start().settle()
    yield found
    found.end()


def wait(what: Any) -> None:
    until = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_receiver_in_flask(engine: Engine, tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}/hooks"
    [added] = engine.cli("webhook", "add", "--party", SELLER, "--url", url)
    (tmp_path / "receiver.py").write_text(shown() + MINE)
    receiver = subprocess.Popen([sys.executable, "-m", "flask", "--app", "receiver", "run", "--port", port], cwd=tmp_path,
                                env=os.environ | {"WEBHOOK_SECRET": added["secret"]}, stdout=subprocess.PIPE, text=True)
    assert receiver.stdout
    lines = receiver.stdout

    def handled() -> dict[str, Any]:
        for line in lines:
            if line.startswith("{"):  # not what Flask says of itself
                return dict(json.loads(line))
        raise AssertionError("the receiver ended")

    def listens() -> bool:
        assert receiver.poll() is None, "the receiver ended"
        try:
            return httpx.get(url).status_code == 405
        except httpx.TransportError:
            return False

    def delivered() -> int:
        found = re.search(r'^tallystick_webhook_deliveries_total\{result="delivered"\} (\d+)$',
                          httpx.get(f"{engine.url}/metrics").text, flags=re.MULTILINE)
        return int(found.group(1)) if found else 0

    try:
        wait(listens)
        key = str(tmp_path / "buyer.key")
        [made] = engine.cli("voucher", "keygen", "--out", key)
        engine.cli("signer", "add", "--party", BUYER, "--key", made["signer"])
        engine.cli("voucher", "sign", "--key-file", key, "--payee", SELLER, "--asset", "978", "--ttl", "1h",
                   "--cumulative", "2500000", "--submit")
        [closed] = engine.cli("window", "close")
        told = handled()
        assert (told["type"], told["data"]["window"], told["data"]["assets"][0]["net"]) == (
            "window.closed", closed["number"], "2500000")
        # Somebody else's word, and an old one of ours, are not taken.
        for timestamp in (int(time.time()), 1_000_000_000):
            headers = {"webhook-id": "msg_1", "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{'A' * 43}="}
            assert httpx.post(url, headers=headers, json=told).status_code == 400
        # What comes again is acknowledged, and not done twice: what is handled next is the test.
        engine.cli("webhook", "replay", str(added["webhook"]), "--from", "1")
        wait(lambda: delivered() == 2)
        [tested] = engine.cli("webhook", "test", str(added["webhook"]))
        assert tested["delivered"] is True
        assert handled()["type"] == "webhook.test"
    finally:
        receiver.terminate()
        receiver.wait(DEADLINE)
