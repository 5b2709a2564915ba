#!/usr/bin/env python3
"""Three NATS servers, three engines on one journal, and a load: the engine that owns the journal is killed, then the server
that leads it, and a window is closed across both. At the end all books are compared. `make demo-cluster` runs it.

    demo.py --engine PATH --loadgen PATH --nats PATH --dir DIR --vouchers N

Everything is on this machine, in DIR, and ends with it."""
from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

# A bound of every wait, in seconds, and of the whole load; nothing is expected to take that long.
PATIENCE, LOAD_MAX = 90.0, 400.0
# Vouchers a second; and the fewest, so that the load outlasts what is done to it.
RATE, VOUCHERS_MIN = 2_000, 40_000
STREAM = "demo"
# Below what systems give to whoever connects: 32768 and more on Linux, 49152 elsewhere.
PORTS = range(20_000, 30_000)
# What ends the demo from outside.
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MARK = "tallystick demo-cluster"
T = TypeVar("T")


class Failed(Exception):
    """Something is not as it must be."""


def until(what: str, look: Callable[[], T | None], patience: float = PATIENCE, every: float = 0.02) -> T:
    """Waits until something is found."""
    end = time.monotonic() + patience
    while (found := look()) is None:
        if time.monotonic() > end:
            raise Failed(f"waited for {patience:.0f} s: {what}")
        time.sleep(every)
    return found


def free_ports(count: int) -> list[int]:
    """Ports of loopback that are free, each another. Not those that the system gives to whoever connects: a server that was
    killed would find its own taken."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    if len(found) < count:
        raise Failed(f"fewer than {count} ports of {PORTS.start} to {PORTS.stop - 1} are free")
    return found


def asked(url: str) -> tuple[int, str]:
    """Status and text of an answer; (0, "") where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""


def ran(command: list[str]) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)} did not end within {PATIENCE:.0f} s") from None


def read(text: str) -> dict[str, Any]:
    """A JSON object of a server's monitor; empty where the answer broke off."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class Process:
    """One that we start, and that does not outlive us."""

    def __init__(self, name: str, command: list[str], log: pathlib.Path, when_over: str = "") -> None:
        """`when_over`: what to say where it came to its end too early, and nothing was wrong."""
        self.name, self.command, self.log, self.when_over = name, command, log, when_over
        self.running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def alive(self) -> bool:
        return self.running is not None and self.running.poll() is None

    def check(self) -> None:
        """Says why it is gone, if it is."""
        if self.running is not None and (code := self.running.poll()) is not None:
            if code == 0 and self.when_over:
                raise Failed(self.when_over)
            end = self.log.read_text(errors="replace").splitlines()[-8:]
            raise Failed(f"{self.name} ended ({code}); the end of {self.log}:\n    " + "\n    ".join(end))

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        assert self.running is not None
        self.running.kill()
        self.running.wait()
        self.running = None

    def stop(self) -> None:
        """SIGTERM, and waits."""
        assert self.running is not None
        self.running.send_signal(signal.SIGTERM)
        try:
            self.running.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not stop within {PATIENCE:.0f} s: see {self.log}") from None
        self.running = None

    def end(self) -> None:
        if self.alive():
            self.kill()


class Server(Process):
    """A NATS server."""

    def __init__(self, number: int, ports: list[tuple[int, int, int]], nats: str, work: pathlib.Path) -> None:
        client, monitor, route = ports[number]
        config = work / f"nats-{number + 1}.conf"
        routes = ", ".join(f"nats://127.0.0.1:{route}" for *_, route in ports)
        config.write_text(
            f"server_name: n{number + 1}\nlisten: 127.0.0.1:{client}\nhttp: 127.0.0.1:{monitor}\nmax_payload: 2MB\n"
            f'jetstream {{ store_dir: "{work}/nats-{number + 1}", max_mem: 64MB, max_file: 8GB\nsync_interval: always }}\n'
            f"cluster {{ name: DEMO, listen: 127.0.0.1:{route}, routes: [{routes}] }}\n")
        super().__init__(f"server n{number + 1}", [nats, "-c", str(config)], work / f"nats-{number + 1}.log")
        self.url, self.monitor = f"nats://127.0.0.1:{client}", f"http://127.0.0.1:{monitor}"

    def until_healthy(self) -> None:
        def healthy() -> bool | None:
            self.check()
            return asked(f"{self.monitor}/healthz")[0] == 200 or None

        until(f"{self.name} is healthy", healthy)


class Node(Process):
    """An engine."""

    def __init__(self, name: str, engine: str, work: pathlib.Path, servers: list[Server], ports: tuple[int, int]) -> None:
        grpc, http = ports
        self.address, self.http = f"127.0.0.1:{grpc}", f"127.0.0.1:{http}"
        self.data = work / f"engine-{name}"
        config = work / f"engine-{name}.toml"
        config.write_text(
            f'data_dir = "{self.data}"\nlisten = "{self.address}"\nlisten_http = "{self.http}"\nroot_key_file = "{work}/root.key"\n'
            f'[journal]\nkind = "jetstream"\nstream = "{STREAM}"\n'
            f"servers = {json.dumps([one.url for one in servers])}\nmonitors = {json.dumps([one.monitor for one in servers])}\n"
            f'[cluster]\nname = "{name}"\n')
        super().__init__(f"engine {name}", [engine, "serve", "--config", str(config)], work / f"engine-{name}.log")

    def owns(self) -> bool:
        """Whether it takes calls."""
        return self.alive() and asked(f"http://{self.http}/readyz")[0] == 200

    def stands_by(self) -> bool:
        """Whether it follows another one, and could take over."""
        return self.alive() and "it can take over" in asked(f"http://{self.http}/readyz")[1]

    def until_ready(self, owns: bool) -> None:
        """Waits until it owns the journal, or stands by."""
        def ready() -> bool | None:
            self.check()
            return (self.owns() if owns else self.stands_by()) or None

        until(f"{self.name} {'owns the journal' if owns else 'stands by'}", ready)


class Demo:
    """All of it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.work = args, args.dir.resolve()
        self.rows: list[tuple[float, str, str]] = []
        self.began = time.monotonic()
        self.checks: list[tuple[bool, str]] = []
        self.prepare()
        ports = free_ports(15)
        triples = [(ports[3 * n], ports[3 * n + 1], ports[3 * n + 2]) for n in range(3)]
        pairs = [(ports[9 + 2 * n], ports[10 + 2 * n]) for n in range(3)]
        self.servers = [Server(number, triples, args.nats, self.work) for number in range(3)]
        self.nodes = [Node(name, args.engine, self.work, self.servers, pair) for name, pair in zip("abc", pairs)]
        self.load = Process("the load", [], self.work / "load.log",
                            "the load was through before all was done to it, and nothing was wrong: this machine takes longer; "
                            f"send more: make demo-cluster DEMO_CLUSTER_VOUCHERS={2 * args.vouchers}")

    def prepare(self) -> None:
        """An empty folder: an earlier demo's is replaced, any other is left alone."""
        mark = self.work / "MARK"
        if self.work.exists() and any(self.work.iterdir()) and not mark.exists():
            raise Failed(f"{self.work} is no earlier demo's folder: name another one, or empty it")
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        mark.write_text(MARK + "\n")
        key = self.work / "root.key"
        key.touch(0o600)
        key.write_text(secrets.token_hex(32) + "\n")

    def note(self, what: str, outcome: str = "") -> None:
        at = time.monotonic() - self.began
        self.rows.append((at, what, outcome))
        print(f"{at:>8.1f} s  {what:<58}{outcome}", flush=True)

    def check(self, holds: bool, what: str) -> None:
        self.checks.append((holds, what))

    @property
    def addresses(self) -> str:
        return ",".join(node.address for node in self.nodes)

    def cli(self, *args: str) -> list[dict[str, object]]:
        """What an operator types, with all addresses."""
        done = ran([self.args.engine, *args, "--server", self.addresses, "--json"])
        if done.returncode:
            raise Failed(f"tallystick {' '.join(args)}: {done.stderr.strip()}")
        try:
            return [json.loads(line) for line in done.stdout.splitlines()]
        except ValueError:
            raise Failed(f"tallystick {' '.join(args)} printed no JSON: {done.stdout[:300]}") from None

    def tend(self) -> None:
        """Starts an engine again that has ended by itself, as systemd does: one that another has taken the journal from."""
        for node in self.nodes:
            if node.running is not None and not node.alive():
                node.start()
                node.until_ready(owns=False)
                self.note(f"{node.name} had lost the journal to another, and ended", "it is started again, and stands by")

    def owner(self) -> Node:
        """The engine that takes calls."""
        def found() -> Node | None:
            self.tend()
            return next((node for node in self.nodes if node.owns()), None)

        return until("an engine owns the journal", found)

    def leader(self) -> Server:
        """The server that leads the journal's stream."""
        def found() -> Server | None:
            for server in self.servers:
                status, text = asked(f"{server.monitor}/jsz?streams=true") if server.alive() else (0, "")
                for account in read(text).get("account_details", []) if status == 200 else []:
                    for stream in account.get("stream_detail", []):
                        if stream["name"] == STREAM and (name := stream.get("cluster", {}).get("leader")):
                            return next((one for one in self.servers if one.name == f"server {name}"), None)
            return None

        return until("a server leads the stream", found)

    def credited(self) -> int:
        """Vouchers credited in the window that is open."""
        [status] = self.cli("status")
        return int(str(status["window_vouchers"]))

    def until_credited(self, more: int) -> None:
        """Waits until the load has gone on."""
        before = self.credited()

        def gone_on() -> bool | None:
            self.load.check()
            self.tend()
            return self.credited() >= before + more or None

        until("vouchers are credited", gone_on, every=0.1)

    def run(self) -> bool:
        print(f"Three NATS servers keep the journal, each on its own disk; three engines share it, and one of them owns it.\n"
              f"{self.args.vouchers:,} vouchers are sent, {RATE:,} a second, while what matters most is killed.\n")
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.until_healthy()
        self.until_together()
        self.note("three servers keep one journal together")
        first, *others = self.nodes
        first.start()
        first.until_ready(owns=True)
        for node in others:
            node.start()
        for node in others:
            node.until_ready(owns=False)
        self.note("engine a owns it, b and c stand by and follow")
        report = self.loaded()
        self.books(report)
        self.everywhere()
        return self.table(report)

    def until_together(self) -> None:
        """Waits until the servers' own leader sees all of them: before that a stream of three copies cannot be made."""
        def together() -> bool | None:
            for server in self.servers:
                status, text = asked(f"{server.monitor}/jsz")
                others = read(text).get("meta_cluster", {}).get("replicas", []) if status == 200 else []
                if len(others) == 2 and all(one["current"] and not one.get("offline") for one in others):
                    return True
            return None

        until("the servers see each other", together)

    def loaded(self) -> dict[str, object]:
        """Sends, disturbs, and waits for the load's own report."""
        path = self.work / "load.json"
        self.load.command = [
            self.args.loadgen, "run", "--server", self.addresses, "--vouchers", str(self.args.vouchers), "--rate", str(RATE),
            "--payers", "500", "--payees", "100", "--frame", "50", "--report", str(path)]
        self.load.start()

        def begun() -> bool | None:
            self.load.check()
            return self.credited() > RATE or None

        until("vouchers are credited", begun, every=0.1)
        self.note("500 agents pay 100 shops through them")
        self.kill_owner()
        [window] = self.cli("window", "close")
        self.note(f"window {window['number']} is closed while payments go on", "its payments are on both sides of the kill")
        self.until_credited(RATE)
        self.kill_leader()
        self.until_credited(RATE)
        until("the load ends", lambda: None if self.load.alive() else True, LOAD_MAX)
        if not path.exists():
            self.load.check()
        self.note("all vouchers are answered, the last window is closed")
        found = read(path.read_text())
        if not found:
            raise Failed(f"the load's report is no JSON object: {path}")
        return found

    def kill_owner(self) -> None:
        owner = self.owner()
        at = time.monotonic()
        owner.kill()
        self.note(f"kill -9: {owner.name}, the owner")
        heir = self.owner()
        took = time.monotonic() - at
        self.note(f"{heir.name} has taken over", f"{took:.1f} s after the kill")
        self.until_credited(RATE)
        owner.start()
        owner.until_ready(owns=False)
        self.note(f"{owner.name} is started again", "it stands by now, and has caught up")

    def kill_leader(self) -> None:
        leader = self.leader()
        leader.kill()
        self.note(f"kill -9: {leader.name}, which leads the journal's stream")
        at = time.monotonic()
        self.until_credited(1)
        took = time.monotonic() - at
        self.note("the other two have chosen a leader", f"vouchers are acked again after {took:.1f} s at most")
        leader.start()
        leader.until_healthy()
        self.note(f"{leader.name} is started again", "it fetches what it missed")

    def books(self, report: dict[str, object]) -> None:
        """What the load generator, which keeps books of its own, says."""
        self.tend()
        self.check(report["unexpected_outcomes"] == 0, "every voucher was answered as it must be: nothing that was acked is lost")
        self.check(report["books_match"] is True, "who owes whom is what the agents signed, to the last unit: nothing is counted twice")
        self.check(report["sums_to_zero"] is True, "what all parties pay and get sums to zero")

    def everywhere(self) -> None:
        """Each engine in turn owns the journal, and is asked for the windows; then its folder is audited."""
        said: dict[str, list[tuple[object, object]]] = {}
        for _ in self.nodes:
            owner = self.owner()
            said[owner.name] = [(row["number"], row["root"]) for row in self.cli("window", "list", "--all")]
            owner.stop()
        self.check(len(said) == 3 and len({json.dumps(rows) for rows in said.values()}) == 1,
                   "engines a, b and c have the same windows, with the same roots")
        audits = [ran([self.args.engine, "audit", "--data-dir", str(node.data)]).returncode for node in self.nodes]
        self.check(audits == [0, 0, 0], "an audit of each engine's folder, from its signatures up, finds nothing wrong")

    def table(self, report: dict[str, object]) -> bool:
        def number(name: str) -> int:
            return int(str(report[name]))

        rows = [
            ("vouchers sent", f"{number('vouchers_sent'):,}"),
            ("credited, stale or refused as they must be", f"{number('credited'):,}, {number('stale') + number('rejected'):,}"),
            ("sent again after a kill, counted once", f"{number('vouchers_sent_again'):,}"),
            ("an ack took, usually (p50)", f"{number('ack_p50_us') / 1e3:,.0f} ms"),
            ("an ack took, through the worst of it", f"{number('ack_max_us') / 1e6:,.1f} s"),
            ("owed in all, between how many pairs", f"{number('gross') / 1e6:,.2f} EUR, {number('pairs'):,}"),
        ]
        print("\n" + "\n".join(f"  {name:<46}{value}" for name, value in rows) + "\n")
        for holds, what in self.checks:
            print(f"  {'ok    ' if holds else 'WRONG '}{what}")
        return all(holds for holds, _ in self.checks)

    def end(self) -> None:
        """Kills all that it started. A second Ctrl-C, or the terminal that closes, changes nothing."""
        for number in ENDS:
            signal.signal(number, signal.SIG_IGN)
        for one in [self.load, *self.nodes, *self.servers]:
            one.end()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--engine", "--loadgen", "--nats"):
        parser.add_argument(name, required=True, metavar="PATH")
    parser.add_argument("--dir", type=pathlib.Path, required=True)
    parser.add_argument("--vouchers", type=int, default=60_000)
    args = parser.parse_args()
    if args.vouchers < VOUCHERS_MIN:
        parser.error(f"--vouchers is {VOUCHERS_MIN} at least: fewer are sent before all is done to them")
    # Ended by Ctrl-C, a signal, or a terminal that closes, too, nothing stays behind.
    for number in ENDS:
        # Ctrl-C is an exception as it is; `nohup` has its way.
        if number != signal.SIGINT and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: sys.exit(1))
    try:
        demo = Demo(args)
    except Failed as error:
        print(f"demo-cluster: {error}", file=sys.stderr)
        return 1
    try:
        if demo.run():
            print(f"\nWhat was written is in {os.path.relpath(demo.work)}: logs of all, load.json; `make clean-demo` removes it.")
            return 0
        print(f"\nSomething is wrong: please report it, with the folder {demo.work}", file=sys.stderr)
    except Failed as error:
        print(f"demo-cluster: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    finally:
        demo.end()
    return 1


if __name__ == "__main__":
    sys.exit(main())
