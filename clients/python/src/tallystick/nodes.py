"""Several addresses, of the nodes of one engine: calls go to the one that owns the journal. Needs `tallystick[grpc]`."""
from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc

from .errors import TallystickError
from .v1 import vouchers_pb2

PORT = 7_450
# How long an owner is looked for while others stand by: a takeover takes some seconds.
OWNER_SECONDS = 20.0
# How long one address may take to say what it is, at first; twice that in the next round, and so on up to the second figure.
ASK_SECONDS, ASK_SECONDS_MAX = 2.0, 8.0
PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
# How often one call is made, at most.
TRIES = 8
# Calls that change nothing begin with one of these.
READS = ("Get", "List", "Find", "Export")
# A machine that died without a word is noticed, since another one may have taken over.
OPTIONS = (("grpc.keepalive_time_ms", 2_000), ("grpc.keepalive_timeout_ms", 3_000))
NETWORK = "/tallystick.v1.Vouchers/GetNetwork"


def addresses(server: str | Sequence[str]) -> list[str]:
    """One address or several, as a list or with commas between. All speak TLS, or none."""
    texts = [one.strip() for one in (server.split(",") if isinstance(server, str) else server)]
    if not texts or not all(texts):
        raise TallystickError(f"an engine's address is HOST:PORT, of several nodes all of them with commas between, got {server!r}")
    tls = any(one.startswith("https://") for one in texts)
    if tls and any(one.startswith("http://") for one in texts):
        raise TallystickError("the nodes of an engine all speak TLS, or none: some addresses are https:// and some http://")
    if len(texts) > 1 and tls:
        texts = [one if one.startswith("https://") else f"https://{one}" for one in texts]
    return list(dict.fromkeys(one.removeprefix("http://") for one in texts))


def place(address: str) -> str:
    """`host:port` of an address, to be compared."""
    rest = address.rpartition("://")[2].rstrip("/").lower()
    has_port = rest.rpartition(":")[1] and not rest.endswith("]")
    return rest if has_port else f"{rest}:{PORT}"


class Nodes(grpc.Channel):
    """A channel for the generated stubs that finds the owner, goes on when it changes, and makes a call once more where that
    is safe: when it did not arrive for sure, or changes nothing, or has a request id. Any other call fails as ever, and
    the next one finds the owner. An owner that is not one of the addresses is never called."""

    def __init__(self, names: Sequence[str], opened: Callable[[str], grpc.Channel]) -> None:
        """`opened` makes a channel to one of them."""
        self._names, self._opened = list(names), opened
        self._lock = threading.RLock()
        self._channels: dict[int, grpc.Channel] = {}
        self._owner: int | None = None
        # Where the next search begins.
        self._next = 0
        self._network = b""

    def owner(self, until: float) -> tuple[int, grpc.Channel]:
        """The owner and a channel to it, looked for until then (`time.monotonic`). One looks, and the others wait."""
        if not self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            raise NoOwnerError("the engine's owner was not found in time")
        try:
            if self._owner is None:
                self._owner = self._found(until)
            return self._owner, self._channel(self._owner)
        finally:
            self._lock.release()

    def leave(self, node: int, owner: str = "") -> None:
        """This one did not do: the next search begins at the owner that it named, else behind it."""
        with self._lock:
            if self._owner != node:
                return
            self._owner = None
            named = self._named(owner)
            self._next = named if named is not None else (node + 1) % len(self._names)

    def _channel(self, node: int) -> grpc.Channel:
        if node not in self._channels:
            self._channels[node] = self._opened(self._names[node])
        return self._channels[node]

    def _named(self, owner: str) -> int | None:
        return next((at for at, name in enumerate(self._names) if owner and place(name) == place(owner)), None)

    def _found(self, until: float) -> int:
        within, tries = ASK_SECONDS, 0
        before = ""
        while True:
            found, said, may_change, names_another = self._round(within, until)
            # A round that was cut short says less than the one before.
            said = before if before and time.monotonic() >= until else said
            if found is not None:
                return found
            pause = PAUSES[min(tries, len(PAUSES) - 1)]
            if not may_change or time.monotonic() + pause >= until:
                raise NoOwnerError(f"none of the addresses takes calls: {said}", names_another)
            before = said
            time.sleep(pause)
            tries, within = tries + 1, min(within * 2, ASK_SECONDS_MAX)

    def _round(self, within: float, until: float) -> tuple[int | None, str, bool, bool]:
        """Asks each once, the one that is named as the owner next."""
        count = len(self._names)
        waiting = deque((self._next + n) % count for n in range(count))
        said, outside, may_change = [], "", False
        while waiting:
            node = waiting.popleft()
            name = self._names[node]
            ask = self._channel(node).unary_unary(
                NETWORK, request_serializer=vouchers_pb2.GetNetworkRequest.SerializeToString,
                response_deserializer=vouchers_pb2.Network.FromString)
            try:
                answer = ask(vouchers_pb2.GetNetworkRequest(), timeout=max(0.001, min(within, until - time.monotonic())))
            except grpc.RpcError as error:
                if not owner_of(error):
                    said.append(f"{name} does not say what it is ({error.code().name}: {error.details()})")
                    # A channel that failed waits before it connects again, and longer each time.
                    self._channels.pop(node).close()
                    continue
                # It does not know its network yet.
                answer = vouchers_pb2.Network(standby=True, owner=owner_of(error))
            if answer.network_id and answer.network_id != (self._network or answer.network_id):
                said.append(f"{name} is an engine of another network")
                continue
            self._network = self._network or answer.network_id
            if not answer.standby:
                self._next = node
                return node, "", True, False
            may_change = True
            if not answer.owner:
                said.append(f"{name} stands by and knows of no owner at the moment")
                continue
            said.append(f"{name} stands by and names {answer.owner} as the owner")
            named = self._named(answer.owner)
            if named is None:
                outside = answer.owner
            elif named in waiting:
                waiting.remove(named)
                waiting.appendleft(named)
        if outside:
            said.append(f"{outside} is not among your addresses, so nothing was sent there: add it")
        return None, "; ".join(said), may_change and not outside, bool(outside)

    def unary_unary(self, method: str, *how: Any, **more: Any) -> Any:
        return _Calls(self, "unary_unary", method, how, more)

    def unary_stream(self, method: str, *how: Any, **more: Any) -> Any:
        return _Calls(self, "unary_stream", method, how, more)

    def stream_unary(self, method: str, *how: Any, **more: Any) -> Any:
        return _Calls(self, "stream_unary", method, how, more)

    def stream_stream(self, method: str, *how: Any, **more: Any) -> Any:
        return _Calls(self, "stream_stream", method, how, more)

    def subscribe(self, callback: Any, try_to_connect: bool = False) -> None:
        raise NotImplementedError("of several addresses there is no one connection to watch")

    def unsubscribe(self, callback: Any) -> None:
        raise NotImplementedError("of several addresses there is no one connection to watch")

    def close(self) -> None:
        with self._lock:
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class NoOwnerError(TallystickError, grpc.RpcError):
    """None of the addresses takes calls; what each of them said."""

    def __init__(self, text: str, names_another: bool = False) -> None:
        """Whether an owner was named that is not one of the addresses: then no other try helps."""
        super().__init__(text)
        self.names_another = names_another

    def code(self) -> grpc.StatusCode:
        """As where one engine is gone."""
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        """What each said."""
        return str(self)


class _Calls:
    """One call of the contract, at whoever owns the journal."""

    def __init__(self, nodes: Nodes, kind: str, method: str, how: tuple[Any, ...], more: dict[str, Any]) -> None:
        self._nodes, self._kind, self._method, self._how, self._more = nodes, kind, method, how, more

    def _made(self, channel: grpc.Channel) -> Any:
        return getattr(channel, self._kind)(self._method, *self._how, **self._more)

    def __call__(self, request: Any, timeout: float | None = None, **more: Any) -> Any:
        until = None if timeout is None else time.monotonic() + timeout
        if self._kind.startswith("stream"):
            # What was sent on a stream its caller knows: it is not begun again here.
            node, channel = self._owner(until)
            made = self._made(channel)
            if self._kind == "stream_stream":
                return _Rows(self._nodes, node, made(request, timeout=timeout, **more))
            try:
                return made(request, timeout=timeout, **more)
            except grpc.RpcError as error:
                self._nodes.leave(node, owner_of(error))
                raise
        return self._repeated(request, until, more)

    def _owner(self, until: float | None) -> tuple[int, grpc.Channel]:
        most = time.monotonic() + OWNER_SECONDS
        return self._nodes.owner(most if until is None else min(most, until))

    def _repeated(self, request: Any, until: float | None, more: dict[str, Any]) -> Any:
        call = self._method.rpartition("/")[2]
        may_repeat = call.startswith(READS) or bool(getattr(request, "request_id", ""))
        # Who said last that it cannot now: twice the same is its answer.
        unable = -1
        for tries in range(TRIES):
            if tries:
                pause = PAUSES[min(tries, len(PAUSES)) - 1]
                time.sleep(pause if until is None else max(0.0, min(pause, until - time.monotonic())))
            node, channel = self._owner(until)
            try:
                timeout = None if until is None else max(0.001, until - time.monotonic())
                answer = self._made(channel)(request, timeout=timeout, **more)
                if self._kind == "unary_unary":
                    return answer
                rows = _Rows(self._nodes, node, answer)
                rows.begin()
                return rows
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                owner = owner_of(error)
                self._nodes.leave(node, owner)
                is_late = until is not None and time.monotonic() >= until
                is_its_word = not owner and node == unable
                if is_late or is_its_word or tries + 1 == TRIES or not (may_repeat or owner):
                    raise
                unable = -1 if owner else node
        raise AssertionError("every try returns or raises")


class _Rows:
    """The answers of a call, one after the other; says where they break off."""

    def __init__(self, nodes: Nodes, node: int, call: Any) -> None:
        self._nodes, self._node, self._call = nodes, node, call
        self._first: list[Any] = []

    def begin(self) -> None:
        """Waits for the first, so that a refusal is known."""
        for row in self._call:
            self._first.append(row)
            return

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._first:
            return self._first.pop()
        try:
            return next(self._call)
        except grpc.RpcError as error:
            self._nodes.leave(self._node, owner_of(error))
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def owner_of(error: grpc.RpcError) -> str:
    """The owner that a standby names in its refusal: nothing has happened then."""
    for read in ("trailing_metadata", "initial_metadata"):
        for name, value in (getattr(error, read, tuple)() or ()):
            if name == "tallystick-owner":
                return str(value)
    return ""
