"""The README's programs, as they stand, in a folder of their own. What is replaced: the ports."""
from __future__ import annotations

import os
import pathlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from engine import BUYER, SELLER, Engine

from tallystick import AgentKey

README = pathlib.Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), flags=re.MULTILINE | re.DOTALL)
SECRET = "5e" * 32


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    found = Engine(tmp_path_factory.mktemp("engine")).start().settle()
    found.cli("signer", "add", "--party", BUYER, "--key", AgentKey(SECRET).signer.hex())
    yield found
    found.end()


def test_what_the_readme_shows(engine: Engine, tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    setting = os.environ | {"SELLER": SELLER, "AGENT_KEY": SECRET}

    def write(name: str, text: str) -> str:
        for shown, real in (("127.0.0.1:7451", engine.http), ("127.0.0.1:7450", engine.grpc), ("4021", port)):
            text = text.replace(shown, real)
        (tmp_path / name).write_text(text)
        return name

    def run(name: str, text: str) -> str:
        done = subprocess.run([sys.executable, write(name, text)], env=setting, cwd=tmp_path, capture_output=True,
                              text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    write("shop.py", BLOCKS[0])
    shop = subprocess.Popen([sys.executable, "-m", "uvicorn", "shop:app", "--port", port, "--log-level", "error"],
                            env=setting, cwd=tmp_path)
    try:
        while True:
            assert shop.poll() is None, "the shop ended"
            try:
                if httpx.get(f"http://127.0.0.1:{port}/weather").status_code == 402:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        assert run("agent.py", BLOCKS[1]) == "200 {'weather': 'sunny'} signed so far: 0.0001 EUR\n"
        (tmp_path / "agent.key").write_text(SECRET + "\n")
        more = ('print(agent.client().get("http://127.0.0.1:4021/weather").status_code, agent.signed("EUR"))\n'
                "agent.close()\n")
        for total in ("0.0001", "0.0002"):
            assert run("lasting.py", BLOCKS[2] + more) == f"200 {total}\n"
    finally:
        shop.terminate()
        shop.wait(60)
    before = f"""from tallystick import AgentKey, Channel
import time
key = AgentKey("{SECRET}")
from tallystick.facilitator import Facilitator as F
network = F("127.0.0.1:7450").network().id
channel = Channel(bytes.fromhex("{SELLER}"), 978, 1, int(time.time()) + 3600)
vouchers = [key.voucher(network, channel, total) for total in range(1, 1001)]
"""
    assert "Ack(lsn=" in run("stream.py", before + BLOCKS[3])
