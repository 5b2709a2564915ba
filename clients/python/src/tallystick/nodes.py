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
READS = ("Get", "List", "Find", "Export", "Watch")
# A machine that died without a word is noticed, since another one may have taken over.
# Channels share no connection: what one of them knows of an address that failed holds up no other.
OPTIONS = (("grpc.keepalive_time_ms", 2_000), ("grpc.keepalive_timeout_ms", 3_000), ("grpc.use_local_subchannel_pool", 1))
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


def target(address: str) -> str:
    """`host:port` of an address. Where it names no port, the one at which an engine listens: gRPC would take 443."""
    rest = address.removeprefix("http://").removeprefix("https://").rstrip("/")
    has_port = rest.rpartition(":")[1] and not rest.endswith("]")
    return rest if has_port else f"{rest}:{PORT}"


def place(address: str) -> str:
    """The same, to be compared."""
    return target(address.lower())


class _Open:
    """A channel to a node that said it is the owner, and how many calls are under way on it."""

    def __init__(self, node: int, channel: grpc.Channel) -> None:
        self.node, self.channel, self.calls = node, channel, 1


class Nodes(grpc.Channel):
    """A channel for the generated stubs that finds the owner, goes on when it changes, and makes a call once more where that
    is safe: when it did not arrive for sure, or changes nothing, or has a request id. Any other call fails as ever, and
    the next one finds the owner. An owner that is not one of the addresses is never called."""

    def __init__(self, names: Sequence[str], opened: Callable[[str], grpc.Channel]) -> None:
        """`opened` makes a channel to one of them."""
        self._names, self._opened = list(names), opened
        # Held while an owner is looked for; `_lock` is for what stands below, and never held for long.
        self._search, self._lock = threading.Lock(), threading.Lock()
        self._closed = threading.Event()
        self._owner: _Open | None = None
        # Owners that were left while others' calls were under way there: closed when these are over.
        self._left: list[_Open] = []
        # The channel of whoever is asked now. One search at a time: one of these.
        self._probe: grpc.Channel | None = None
        # Where the next search begins.
        self._next = 0
        self._network = b""

    def owner(self, until: float, late: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> _Open:
        """The owner, looked for until then (`time.monotonic`), when the code is `late`; to be given to `ended` when the call is
        over. One looks, and the others wait."""
        if (known := self._known()) is not None:
            return known
        if not self._search.acquire(timeout=max(0.0, until - time.monotonic())):
            raise NoOwnerError("the engine's owner was not found in time", late)
        try:
            return self._known() or self._found(until, late)
        finally:
            self._search.release()

    def leave(self, place: _Open, owner: str = "") -> None:
        """This one did not do: the next search begins at the owner that it named, else behind it. Calls that others have
        under way there go on."""
        with self._lock:
            if self._owner is not place:
                return
            self._owner = None
            self._left.append(place)
            named = self._named(owner)
            self._next = named if named is not None else (place.node + 1) % len(self._names)

    def ended(self, place: _Open) -> None:
        """A call is over. Closes nothing: gRPC says so on a thread that must not wait."""
        with self._lock:
            place.calls -= 1

    def _known(self) -> _Open | None:
        with self._lock:
            self._check()
            if self._owner is not None:
                self._owner.calls += 1
            return self._owner

    def _check(self) -> None:
        if self._closed.is_set():
            raise ValueError("the channel is closed")

    def _probed(self, node: int) -> grpc.Channel:
        """A channel of its own, to be asked on: one that failed waits before it connects again, and longer each time."""
        with self._lock:
            self._check()
            self._probe = self._opened(self._names[node])
            return self._probe

    def _taken(self, node: int, channel: grpc.Channel) -> _Open:
        """It said that it is the owner."""
        with self._lock:
            self._check()
            self._next, self._owner, self._probe = node, _Open(node, channel), None
            over = [one for one in self._left if not one.calls]
            self._left = [one for one in self._left if one.calls]
            found = self._owner
        for one in over:
            one.channel.close()
        return found

    def _named(self, owner: str) -> int | None:
        return next((at for at, name in enumerate(self._names) if owner and place(name) == place(owner)), None)

    def _found(self, until: float, late: grpc.StatusCode) -> _Open:
        within, tries = ASK_SECONDS, 0
        before = ""
        while True:
            found, said, may_change = self._round(within, until)
            # A round that was cut short says less than the one before.
            said = before if before and time.monotonic() >= until else said
            if found is not None:
                return found
            pause = PAUSES[min(tries, len(PAUSES) - 1)]
            is_late = time.monotonic() + (pause if may_change else 0.0) >= until
            if is_late or not may_change:
                code = late if is_late else grpc.StatusCode.UNAVAILABLE
                raise NoOwnerError(f"none of the addresses takes calls: {said}", code)
            before = said
            self._closed.wait(pause)
            tries, within = tries + 1, min(within * 2, ASK_SECONDS_MAX)

    def _round(self, within: float, until: float) -> tuple[_Open | None, str, bool]:
        """Asks each once, the one that is named as the owner next. An owner that is not one of the addresses may be dead, and
        one of them the next: it is waited for all the same."""
        count = len(self._names)
        waiting = deque((self._next + n) % count for n in range(count))
        said, outside, is_inside, may_change = [], "", False, False
        while waiting:
            node = waiting.popleft()
            name = self._names[node]
            channel, is_owner = self._probed(node), False
            try:
                answer = self._asked(channel, min(within, until - time.monotonic()))
                is_owner = isinstance(answer, vouchers_pb2.Network) and not answer.standby
                if is_owner:
                    return self._taken(node, channel), "", True
            finally:
                if not is_owner:
                    channel.close()
            if isinstance(answer, str):
                said.append(f"{name} {answer}")
                continue
            may_change = True
            if not answer.owner:
                said.append(f"{name} stands by and knows of no owner at the moment")
                continue
            said.append(f"{name} stands by and names {answer.owner} as the owner")
            named = self._named(answer.owner)
            is_inside = is_inside or named is not None
            if named is None:
                outside = answer.owner
            elif named in waiting:
                waiting.remove(named)
                waiting.appendleft(named)
        if outside and not is_inside:
            said.append(f"{outside} is not among your addresses, so nothing was sent there: add it")
        return None, "; ".join(said), may_change

    def _asked(self, channel: grpc.Channel, within: float) -> vouchers_pb2.Network | str:
        """What it is, or why that is not known, in words."""
        ask = channel.unary_unary(
            NETWORK, request_serializer=vouchers_pb2.GetNetworkRequest.SerializeToString,
            response_deserializer=vouchers_pb2.Network.FromString)
        try:
            answer: vouchers_pb2.Network = ask(vouchers_pb2.GetNetworkRequest(), timeout=max(0.001, within))
        except grpc.RpcError as error:
            if not owner_of(error):
                return f"does not say what it is ({error.code().name}: {error.details()})"
            # It does not know its network yet.
            answer = vouchers_pb2.Network(standby=True, owner=owner_of(error))
        if answer.network_id and answer.network_id != (self._network or answer.network_id):
            return "is an engine of another network"
        self._network = self._network or answer.network_id
        return answer

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
        """Ends calls that are under way, and a search: waits for neither."""
        with self._lock:
            self._closed.set()
            channels = [one.channel for one in (self._owner, *self._left) if one is not None]
            channels += [self._probe] if self._probe is not None else []
            self._owner, self._left, self._probe = None, [], None
        for channel in channels:
            channel.close()

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class NoOwnerError(TallystickError, grpc.RpcError):
    """None of the addresses takes calls; what each of them said."""

    def __init__(self, text: str, code: grpc.StatusCode) -> None:
        """With the code that the call has then."""
        super().__init__(text)
        self._code = code

    def code(self) -> grpc.StatusCode:
        """UNAVAILABLE, as where one engine is gone; DEADLINE_EXCEEDED if the call's own deadline ended the search."""
        return self._code

    def details(self) -> str:
        """What each said."""
        return str(self)


class _Calls:
    """One call of the contract, at whoever owns the journal."""

    def __init__(self, nodes: Nodes, kind: str, method: str, how: tuple[Any, ...], more: dict[str, Any]) -> None:
        self._nodes, self._kind, self._method, self._how, self._more = nodes, kind, method, how, more

    def __call__(self, request: Any, timeout: float | None = None, **more: Any) -> Any:
        until = None if timeout is None else time.monotonic() + timeout
        if self._kind.startswith("stream"):
            # What was sent on a stream its caller knows: it is not begun again here.
            place, _ = self._owner(until, OWNER_SECONDS)
            try:
                return self._tried(place, request, until, more)
            except grpc.RpcError as error:
                self._nodes.leave(place, owner_of(error))
                raise
        return self._repeated(request, until, more)

    def _owner(self, until: float | None, left: float) -> tuple[_Open, float]:
        """The owner, and how long this call may still look for one."""
        began = time.monotonic()
        if until is not None and until < began + left:
            place = self._nodes.owner(until, grpc.StatusCode.DEADLINE_EXCEEDED)
        else:
            place = self._nodes.owner(began + left)
        return place, max(0.0, left - (time.monotonic() - began))

    def _tried(self, place: _Open, request: Any, until: float | None, more: dict[str, Any]) -> Any:
        """Once, there. Where answers come one after the other, the call is over when gRPC says so."""
        goes_on = False
        try:
            timeout = None if until is None else max(0.001, until - time.monotonic())
            answer = getattr(place.channel, self._kind)(self._method, *self._how, **self._more)(request, timeout=timeout, **more)
            if self._kind.endswith("unary"):
                return answer
            goes_on = answer.add_callback(lambda: self._nodes.ended(place))
            rows = _Rows(self._nodes, place, answer)
            if self._kind == "unary_stream":
                rows.begin()
            return rows
        finally:
            if not goes_on:
                self._nodes.ended(place)

    def _repeated(self, request: Any, until: float | None, more: dict[str, Any]) -> Any:
        call = self._method.rpartition("/")[2]
        may_repeat = call.startswith(READS) or bool(getattr(request, "request_id", ""))
        # Who said last that it cannot now: twice the same is its answer.
        unable = -1
        # All tries together: a token that was signed for this call is good for a minute or two.
        left = OWNER_SECONDS
        for tries in range(TRIES):
            if tries:
                pause = PAUSES[min(tries, len(PAUSES)) - 1]
                time.sleep(pause if until is None else max(0.0, min(pause, until - time.monotonic())))
            place, left = self._owner(until, left)
            try:
                return self._tried(place, request, until, more)
            except grpc.RpcError as error:
                # Whoever waits here has cancelled nothing: a connection that ended did.
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                    raise
                owner = owner_of(error)
                self._nodes.leave(place, owner)
                is_late = until is not None and time.monotonic() >= until
                is_its_word = not owner and place.node == unable
                if is_late or is_its_word or tries + 1 == TRIES or not (may_repeat or owner):
                    raise
                unable = -1 if owner else place.node
        raise AssertionError("every try returns or raises")


class _Rows:
    """The answers of a call, one after the other; says where they break off."""

    def __init__(self, nodes: Nodes, place: _Open, call: Any) -> None:
        self._nodes, self._place, self._call = nodes, place, call
        self._first: list[Any] = []

    def begin(self) -> None:
        """Waits for the first, so that a refusal is known."""
        for row in self._call:
            self._first.append(row)
            return

    def cancel(self) -> bool:
        """Ends it, as one that did not do: the next call looks for the owner."""
        self._nodes.leave(self._place)
        return bool(self._call.cancel())

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._first:
            return self._first.pop()
        try:
            return next(self._call)
        except grpc.RpcError as error:
            self._nodes.leave(self._place, owner_of(error))
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
