"""Small gRPC servers that play the nodes of one engine: one owns the journal, which all share, and the others stand by."""
from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from tallystick.v1 import operator_pb2, operator_pb2_grpc, vouchers_pb2, vouchers_pb2_grpc
from tallystick.voucher import VOUCHER_BYTES

DEADLINE = 60.0  # seconds; a bound, not an expectation


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.002)


class Cluster:
    def __init__(self, count: int) -> None:
        self.lock = threading.RLock()
        self.owner: int | None = None
        # Whom the others name, where that is not the owner's address.
        self.names = ""
        # Nodes that do what they are told, and never answer.
        self.silent: set[int] = set()
        # Says that it is the owner, and does nothing: its journal goes to another this moment.
        self.refuses = False
        # Calls that a node answers only when they are no longer here.
        self.held: set[tuple[int, str]] = set()
        # The outcome of a voucher that is not new.
        self.known_before = 2
        self.credited: Counter[bytes] = Counter()
        self.totals: dict[bytes, int] = {}
        self.changes: dict[str, int] = {}
        self.calls: list[tuple[int, str]] = []
        self.over = threading.Event()
        self.nodes = [_Node(self, number) for number in range(count)]  # type: ignore[abstract]

    @property
    def addresses(self) -> list[str]:
        return [node.address for node in self.nodes]

    def count(self, node: int, call: str) -> int:
        with self.lock:
            return self.calls.count((node, call))

    def kill(self, node: int) -> None:
        self.nodes[node].server.stop(None)

    def end(self) -> None:
        self.over.set()
        for node in self.nodes:
            node.server.stop(None)


class _Node(vouchers_pb2_grpc.VouchersServicer, operator_pb2_grpc.OperatorServicer):
    def __init__(self, cluster: Cluster, number: int) -> None:
        self.cluster, self.number = cluster, number
        self.server = grpc.server(ThreadPoolExecutor(16))
        vouchers_pb2_grpc.add_VouchersServicer_to_server(self, self.server)
        operator_pb2_grpc.add_OperatorServicer_to_server(self, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def named(self) -> str:
        owner = self.cluster.owner
        return self.cluster.names or ("" if owner is None else self.cluster.nodes[owner].address)

    def called(self, call: str, context: Any) -> None:
        """Notes a call, and refuses it as a standby does."""
        with self.cluster.lock:
            self.cluster.calls.append((self.number, call))
            if self.cluster.owner == self.number and not self.cluster.refuses:
                return
            if self.named():
                context.set_trailing_metadata((("tallystick-owner", self.named()),))
        context.abort(grpc.StatusCode.UNAVAILABLE, "this engine stands by")

    def answer(self, call: str) -> None:
        if self.number in self.cluster.silent:
            self.cluster.over.wait(DEADLINE)
        self.hold(call)

    def hold(self, call: str) -> None:
        until(lambda: (self.number, call) not in self.cluster.held or self.cluster.over.is_set())

    def GetNetwork(self, request: Any, context: Any) -> vouchers_pb2.Network:
        with self.cluster.lock:
            self.cluster.calls.append((self.number, "GetNetwork"))
        self.hold("GetNetwork")
        with self.cluster.lock:
            return vouchers_pb2.Network(network_id=b"\7" * 32, owner=self.named(), standby=self.cluster.owner != self.number)

    def GetChannel(self, request: Any, context: Any) -> vouchers_pb2.Channel:
        self.called("GetChannel", context)
        self.hold("GetChannel")
        key = b"".join((request.signer, request.payee, request.asset.to_bytes(8, "little"), request.lane.to_bytes(8, "little"),
                        request.expires_at.to_bytes(8, "little")))
        with self.cluster.lock:
            total = self.cluster.totals.get(key)
        return vouchers_pb2.Channel(known=total is not None, cumulative=total or 0)

    def Stream(self, request_iterator: Any, context: Any) -> Iterator[vouchers_pb2.Ack]:
        self.called("Stream", context)
        for frame in request_iterator:
            self.called("Frame", context)
            outcomes = []
            with self.cluster.lock:
                for first in range(0, len(frame.packed), VOUCHER_BYTES):
                    voucher = frame.packed[first:first + VOUCHER_BYTES]
                    total = int.from_bytes(voucher[88:96], "little")
                    is_new = total > self.cluster.totals.get(voucher[:88], 0)
                    if is_new:
                        self.cluster.totals[voucher[:88]] = total
                        self.cluster.credited[voucher] += 1
                    outcomes.append(1 if is_new else self.cluster.known_before)
            self.answer("Frame")
            yield vouchers_pb2.Ack(frame_id=frame.frame_id, lsn=1, outcomes=bytes(outcomes))

    def CloseWindow(self, request: Any, context: Any) -> operator_pb2.Window:
        self.called("CloseWindow", context)
        with self.cluster.lock:
            number = self.cluster.changes.setdefault(request.request_id, len(self.cluster.changes) + 1)
        self.answer("CloseWindow")
        return operator_pb2.Window(number=number)

    def ListObligations(self, request: Any, context: Any) -> Iterator[operator_pb2.Obligation]:
        self.called("ListObligations", context)
        yield operator_pb2.Obligation(payer=b"\1" * 32, payee=b"\2" * 32, amount="7")

    def CreateConsoleLogin(self, request: Any, context: Any) -> operator_pb2.ConsoleLogin:
        self.called("CreateConsoleLogin", context)
        self.answer("CreateConsoleLogin")
        return operator_pb2.ConsoleLogin(code="c")
