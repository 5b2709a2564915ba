"""The real engine, a buyer and a seller in it, and what stands between them in a test."""
from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import uvicorn

from tallystick import AgentKey

BUYER, SELLER = "a1" * 32, "b2" * 32
DEADLINE = 60  # seconds; a bound, not an expectation


class Engine:
    """The engine on ports of its own choice; the same ones after a restart."""

    def __init__(self, work: pathlib.Path, config: str = "") -> None:
        self.binary = os.environ["TALLYSTICK_BIN"]
        self.work = work
        self.config = work / "config.toml"
        self.config.write_text(config)
        self.grpc = self.http = "127.0.0.1:0"

    def start(self) -> Engine:
        ready = self.work / "ready.json"
        ready.unlink(missing_ok=True)
        with (self.work / "engine.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--config", str(self.config), "--data-dir", str(self.work / "data"), "--listen", self.grpc, "--listen-http",
                 self.http, "--ready-file", str(ready)], stdout=log, stderr=log)
        until = time.monotonic() + DEADLINE
        while not ready.exists():
            assert self.process.poll() is None and time.monotonic() < until, (self.work / "engine.log").read_text()
            time.sleep(0.01)
        found = json.loads(ready.read_text())
        self.grpc, self.http, self.pid = found["grpc"], found["http"], found["pid"]
        self.url = f"http://{self.http}"
        return self

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            os.kill(self.pid, how)
            self.process.wait(DEADLINE)

    def cli(self, *args: str) -> list[dict[str, Any]]:
        """What an operator types; JSON Lines come back."""
        done = subprocess.run([self.binary, *args, "--server", self.grpc, "--json"], capture_output=True, text=True,
                              check=False, timeout=DEADLINE)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def settle(self) -> Engine:
        """An asset, two parties, and a limit for the one that buys."""
        self.cli("asset", "add", "--number", "978", "--code", "EUR", "--scale", "6", "--model", "multilateral")
        for party, name, iban in ((BUYER, "Buyer", "DE02120300000000202051"), (SELLER, "Seller", "DE89370400440532013000")):
            self.cli("party", "add", "--id", party, "--name", name, "--account", f"iso20022:iban={iban}")
        self.cli("limit", "set", "--party", BUYER, "--asset", "978", "100000000")
        return self

    def key(self, *more: str) -> AgentKey:
        """A key that may sign for the buyer."""
        key = AgentKey.generate()
        self.cli("signer", "add", "--party", BUYER, "--key", key.signer.hex(), *more)
        return key

    def owed(self) -> int:
        """What the buyer owes the seller by the engine's books since this was asked last: closes the window and sums."""
        number = self.cli("window", "close")[0]["number"]
        return sum(int(row["amount"]) for row in self.cli("window", "obligations", str(number), "--asset", "978"))


@contextmanager
def between(target: str, rule: Callable[[str], str | None]) -> Iterator[str]:
    """Between a seller and the engine: each call goes through `rule`, which may lose the answer, or the call."""

    class Way(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            what = rule(self.path)
            if what == "lose call":
                self.send_error(502)
                return
            sent = httpx.request(self.command, target + self.path, content=body,
                                 headers={"content-type": "application/json"})
            if what == "lose answer":
                self.send_error(502)
                return
            self.send_response(sent.status_code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(sent.content)))
            self.end_headers()
            self.wfile.write(sent.content)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Way)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serving(app: Any, interface: str = "auto") -> Iterator[str]:
    """An app on a port of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", interface=interface)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(DEADLINE)
