"""Bringing vouchers to an engine: one call, or a stream that outlives its connections. Needs `tallystick[grpc]`."""
from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType

import grpc

from .connect import Metadata, connect
from .engine import Network
from .errors import TallystickError
from .money import Asset
from .nodes import NoOwnerError
from .token import Credential
from .v1 import vouchers_pb2, vouchers_pb2_grpc
from .voucher import VOUCHER_BYTES, Channel, Voucher

log = logging.getLogger("tallystick")

CREDITED, STALE = 1, 2
NAMES: dict[int, str] = {number: name.removeprefix("OUTCOME_").lower() for name, number in vouchers_pb2.Outcome.items()}
# An engine's limits: docs/ARCHITECTURE.md, "The door".
FRAME_VOUCHERS, UNREAD_VOUCHERS = 4_096, 16_384
# What to send again comes at once the first time, then after longer and longer pauses.
PAUSES = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
# How long an ack may be owed before the connection is given up, or the answer to a call that a stream makes itself: an engine
# acks within milliseconds, one that is cut off never.
ACK_SECONDS = 30.0
# Trouble that another try does not mend.
FINAL = (
    grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.OUT_OF_RANGE,
)


def outcome_name(outcome: int) -> str:
    """`credited`, `over_limit`, ...; an engine may know outcomes that this package does not."""
    return NAMES.get(outcome, f"outcome_{outcome}")


@dataclass(frozen=True)
class Ack:
    """What became of a frame. Durable when it is here."""

    lsn: int
    # One for each voucher: `outcome_name` names it. CREDITED, or STALE after the frame was sent again: the total is held.
    outcomes: tuple[int, ...]


@dataclass(frozen=True)
class Headroom:
    """How much a signer may still spend, and what a voucher beyond that is told."""

    signer: bytes
    left: int
    beyond: str


class Facilitator:
    """A connection for one who brings vouchers."""

    def __init__(self, server: str | Sequence[str], credential: Credential | None = None, *, tls_ca: str | None = None) -> None:
        """`server` is `HOST:PORT` on this machine, or `https://HOST:PORT`; of several nodes all of them, as a list or with
        commas between: calls go to the one that owns the journal."""
        self._channel, self._caller = connect(server, credential, tls_ca)
        self._stub = vouchers_pb2_grpc.VouchersStub(self._channel)

    def network(self) -> Network:
        """The network's id and assets."""
        found = self._stub.GetNetwork(vouchers_pb2.GetNetworkRequest())
        return Network(found.network_id, tuple(Asset(one.code, one.number, one.scale) for one in found.assets))

    def total(self, signer: bytes, channel: Channel) -> int | None:
        """The durable total of a channel; None for one that the engine has never seen, or has forgotten: it had expired."""
        found = self._stub.GetChannel(_asked(signer, channel), metadata=self._caller())
        return found.cumulative if found.known else None

    def receipt(self, signer: bytes, channel: Channel) -> bytes:
        """The engine's signed word that the channel's newest voucher is credited: JSON, checked offline by
        `tallystick proof check`."""
        return self._stub.GetReceipt(_asked(signer, channel), metadata=self._caller()).document

    def headroom(self, asset: int, signers: Sequence[bytes], payee: bytes = b"") -> list[Headroom]:
        """How much each of up to 256 signers may still spend. It holds nothing back: only an ack does."""
        request = vouchers_pb2.GetHeadroomRequest(asset=asset, signers=signers, payee=payee)
        found = self._stub.GetHeadroom(request, metadata=self._caller())
        return [Headroom(one.signer, one.left, outcome_name(one.beyond)) for one in found.headrooms]

    def submit(self, vouchers: Iterable[Voucher | bytes]) -> Ack:
        """One frame, one ack. To send it again is harmless."""
        return _ack(self._stub.Submit(vouchers_pb2.Frame(packed=_packed(vouchers)), metadata=self._caller()))

    def stream(self, most_unacked: int = UNREAD_VOUCHERS) -> VoucherStream:
        """A stream, for thousands of vouchers a second: see there."""
        return VoucherStream(self._stub, self._caller, most_unacked)

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()


@dataclass(eq=False)
class _Frame:
    packed: bytes
    future: Future[Ack] = field(default_factory=Future)
    tries: int = 0

    @property
    def vouchers(self) -> int:
        return len(self.packed) // VOUCHER_BYTES


class VoucherStream:
    """Frames of vouchers out, acks in, over as many connections as it takes.

        with facilitator.stream() as stream:
            future = stream.send(vouchers)      # waits while too much is not acked yet
            ack = future.result()               # need not be waited for before the next

    Acks are read on a thread of its own while frames are written. When a connection is lost, what was not acked is sent
    again, in order: what the engine had credited is stale then, and nothing is counted twice. Of a frame that was sent
    again, a voucher that is refused now may have been credited before: the engine is asked, and CREDITED stands in the ack
    if it holds the total. Leaving the block waits for all acks."""

    def __init__(self, stub: vouchers_pb2_grpc.VouchersStub, caller: Callable[[], Metadata], most_unacked: int) -> None:
        self._stub, self._caller, self._most = stub, caller, most_unacked
        self._changed = threading.Condition()
        # Not acked yet, in order: the first is number `_first`.
        self._frames: deque[_Frame] = deque()
        self._first = self._vouchers = self._generation = 0
        self._is_closed = False
        self._failed: BaseException | None = None
        self._call: grpc.Call | None = None
        # When the last ack came, or the connection began.
        self._heard = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="tallystick-stream", daemon=True)
        self._thread.start()

    def send(self, vouchers: Iterable[Voucher | bytes], timeout: float | None = None) -> Future[Ack]:
        """Sends a frame of up to 4,096 vouchers. Waits while more than `most_unacked` are not acked yet."""
        frame = _Frame(_packed(vouchers))
        with self._changed:
            has_room = self._changed.wait_for(
                lambda: self._failed or self._is_closed or not self._frames
                or self._vouchers + frame.vouchers <= self._most, timeout)
            if self._failed:
                raise TallystickError(f"the stream has ended: {self._failed}") from self._failed
            if self._is_closed:
                raise TallystickError("the stream is closed")
            if not has_room:
                raise TimeoutError("the engine acks too slowly, or cannot be reached: nothing was sent")
            self._frames.append(frame)
            self._vouchers += frame.vouchers
            self._changed.notify_all()
        return frame.future

    def close(self, timeout: float | None = None) -> None:
        """Waits for all acks, and ends the stream."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._fail(TimeoutError("not all acks came in time"))

    def __enter__(self) -> VoucherStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        """One connection after the other, until everything is acked and nothing more will come."""
        attempt = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._frames or self._is_closed or self._failed)
                if self._failed or (self._is_closed and not self._frames):
                    return
                self._generation += 1
                generation, before = self._generation, self._first
            try:
                self._read(generation)
                error: grpc.RpcError | None = None
            except grpc.RpcError as failed:
                error = failed
                # It may be a question beside the stream that failed.
                if self._call is not None:
                    self._call.cancel()  # type: ignore[no-untyped-call]
            except BaseException as failed:
                self._fail(failed)
                return
            if isinstance(error, NoOwnerError):
                log.warning("a stream of vouchers goes on trying: %s", error)
            if error is not None and error.code() in FINAL:
                self._fail(TallystickError(f"{error.code().name}: {error.details()}"))
                return
            attempt = 0 if self._first > before else attempt + 1
            with self._changed:
                self._generation += 1  # the writer of the lost connection ends
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._failed is not None, PAUSES[min(attempt, len(PAUSES) - 1)])

    def _read(self, generation: int) -> None:
        self._heard, self._call = time.monotonic(), None
        call = self._stub.Stream(self._written(generation), metadata=self._caller())
        self._call = call
        for ack in call:
            self._heard = time.monotonic()
            with self._changed:
                frame = self._frames[0]
            found = _ack(ack)
            if len(found.outcomes) != frame.vouchers:
                raise TallystickError(f"an ack of {len(found.outcomes)} outcomes for a frame of {frame.vouchers} vouchers")
            if frame.tries > 1:
                found = self._judged(frame, found)
            with self._changed:
                self._frames.popleft()
                self._first += 1
                self._vouchers -= frame.vouchers
                self._changed.notify_all()
            frame.future.set_result(found)

    def _written(self, generation: int) -> Iterator[vouchers_pb2.Frame]:
        """What gRPC takes frames from, on a thread of its own."""
        with self._changed:
            number = self._first
        while True:
            with self._changed:
                while not self._changed.wait_for(
                        lambda: generation != self._generation or self._failed or number < self._first + len(self._frames)
                        or (self._is_closed and not self._frames), ACK_SECONDS / 6):
                    if self._frames and self._call is not None and time.monotonic() - self._heard > ACK_SECONDS:
                        self._call.cancel()  # type: ignore[no-untyped-call]
                if generation != self._generation or self._failed:
                    return
                if number >= self._first + len(self._frames):
                    return  # closed, and all is written
                frame = self._frames[number - self._first]
                frame.tries += 1
                if number == self._first:
                    self._heard = time.monotonic()
            yield vouchers_pb2.Frame(frame_id=number, packed=frame.packed)
            number += 1

    def _judged(self, frame: _Frame, ack: Ack) -> Ack:
        """Of a frame that was sent again: what is refused now may have been credited before."""
        outcomes = list(ack.outcomes)
        for at, outcome in enumerate(outcomes):
            if outcome in (CREDITED, STALE):
                continue
            signer, channel, cumulative = _unpacked(frame.packed[at * VOUCHER_BYTES:(at + 1) * VOUCHER_BYTES])
            found = self._stub.GetChannel(_asked(signer, channel), timeout=ACK_SECONDS, metadata=self._caller())
            self._heard = time.monotonic()
            if found.known and found.cumulative >= cumulative:
                outcomes[at] = CREDITED
        return Ack(ack.lsn, tuple(outcomes))

    def _fail(self, error: BaseException) -> None:
        """Nothing more is sent. Whoever waits is told; what was not acked may have been credited all the same."""
        with self._changed:
            self._failed = self._failed or error
            frames, self._vouchers = list(self._frames), 0
            self._frames.clear()
            self._changed.notify_all()
        if self._call is not None:
            self._call.cancel()  # type: ignore[no-untyped-call]
        for frame in frames:
            if not frame.future.done():
                frame.future.set_exception(error)


def _asked(signer: bytes, channel: Channel) -> vouchers_pb2.GetChannelRequest:
    return vouchers_pb2.GetChannelRequest(signer=signer, payee=channel.payee, asset=channel.asset, lane=channel.lane,
                                          expires_at=channel.expires_at)


def _packed(vouchers: Iterable[Voucher | bytes]) -> bytes:
    packed = b"".join(one.packed() if isinstance(one, Voucher) else one for one in vouchers)
    if not packed or len(packed) % VOUCHER_BYTES or len(packed) > FRAME_VOUCHERS * VOUCHER_BYTES:
        raise ValueError(f"a frame is 1 to {FRAME_VOUCHERS} vouchers of {VOUCHER_BYTES} bytes each")
    return packed


def _unpacked(voucher: bytes) -> tuple[bytes, Channel, int]:
    def number(first: int, size: int) -> int:
        return int.from_bytes(voucher[first:first + size], "little")

    return voucher[:32], Channel(voucher[32:64], number(64, 4), number(72, 8), number(80, 8)), number(88, 8)


def _ack(found: vouchers_pb2.Ack) -> Ack:
    return Ack(found.lsn, tuple(found.outcomes))
