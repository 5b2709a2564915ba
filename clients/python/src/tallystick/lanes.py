"""Lanes: an agent's channels to each payee, so that its requests run side by side.

A lane is out for one payment at a time, since a voucher's total must be the engine's total plus exactly the price. What the
engine holds is `held`, what was signed at most is `most`. When the answer to a payment is lost, its lane is in doubt: the
engine is asked before it is used again. Lanes begin at random numbers, so that one which was begun by another process, or
forgotten, is never met again.

A payment is charged only while its channel's total is what it builds on (`base`), and totals never fall. So of payments
with one base on one lane, **rivals**, at most one is ever charged; and while the total is still the base, each of them can
be. That is what `is_void` goes by."""
from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .errors import TallystickError
from .store import LaneStore, Line
from .voucher import Channel

DAY = 86_400
# Channels live this long, rounded up to a whole day.
LIFE_DAYS = 7
# How many payments are remembered by their identifiers, so that one which is asked for again is not made again.
REMEMBERED = 20_000
# Once this many lines were added, the store is written anew.
LINES = 100_000

State = Literal["free", "out", "doubt", "left"]


@dataclass(eq=False)
class Lane:
    """One channel, and where it stands."""

    channel: Channel
    held: int = 0
    most: int = 0
    state: State = "free"
    last: Payment | None = None


@dataclass(eq=False)
class Payment:
    """One payment, under its identifier."""

    id: str
    lane: Lane
    amount: int
    # What the lane's total is once it is paid.
    total: int
    # When an answer is waited for no longer, in seconds.
    until: float
    # It was charged: the engine's answer to it said so.
    paid: bool = False
    # It was not charged, and never can be.
    void: bool = False

    @property
    def base(self) -> int:
        """The total that it builds on."""
        return self.total - self.amount

    def line(self) -> Line:
        """As it is kept."""
        line: Line = {"sign": self.id, "at": _name(self.lane), "amount": str(self.amount), "total": str(self.total)}
        if self.lane.most > self.total:
            line["most"] = str(self.lane.most)
        return line | ({"paid": True} if self.paid else {}) | ({"void": True} if self.void else {})


@dataclass(frozen=True)
class Over:
    """What is known of a payment whose channel is over."""

    paid: bool
    void: bool


@dataclass(eq=False)
class Pool:
    """The lanes to one payee, in one asset, with one expiry."""

    payee: bytes
    asset: int
    expires_at: int
    lanes: dict[int, Lane] = field(default_factory=dict)


class Lanes:
    """All lanes of an agent. May be used by several threads."""

    def __init__(self, store: LaneStore, network: bytes, signer: bytes, most: int, can_ask: bool,
                 now: Callable[[], float] = time.time) -> None:
        """Takes up what is kept. Lanes whose last payment has no known end are in doubt."""
        self._store, self._max, self._can_ask, self._now = store, most, can_ask, now
        self._pools: dict[tuple[bytes, int, int], Pool] = {}
        self._payments: dict[str, Payment] = {}
        self._gone: dict[int, int] = {}
        self._over: dict[str, Over] = {}
        self._lines = 0
        self._lock = threading.RLock()
        for line in store.open(network, signer):
            self._replay(line)
        self._forget_expired()
        store.rewrite(self._snapshot())

    def signed(self, asset: int) -> int:
        """What was signed in an asset, over all lanes: what sellers could hand in, so what a budget counts."""
        with self._lock:
            pools = [pool for pool in self._pools.values() if pool.asset == asset]
            return self._gone.get(asset, 0) + sum(lane.most for pool in pools for lane in pool.lanes.values())

    def payment(self, payment_id: str) -> Payment | None:
        """The payment of this identifier, if it is remembered."""
        return self._payments.get(payment_id)

    def over(self, payment_id: str) -> Over | None:
        """What is known of a payment whose channel is over, if it is remembered."""
        return self._over.get(payment_id)

    def take(self, payee: bytes, asset: int, amount: int, payment_id: str, seconds: int,
             allow: Callable[[int], None], again: Lane | None = None) -> Payment | None:
        """A lane to a payee, its next payment made durable; None where one must be waited for (`in_doubt` says whether
        asking helps). `allow` is asked how much more would be signed, and raises if it must not be."""
        with self._lock:
            lane = again or self._free(payee, asset, seconds)
            if lane is None:
                return None
            before = lane.most
            total = lane.held + amount
            try:
                if total >= 1 << 64:
                    raise TallystickError("the lane's total would not fit into 64 bits: choose another payee")
                allow(max(total, before) - before)
                lane.state, lane.most = "out", max(total, before)
                payment = Payment(payment_id, lane, amount, total, self._now() + seconds + 30)
                lane.last = payment
                self._remember(payment)
                self._append(payment.line(), durable=True)
            except BaseException:
                # Perhaps it is kept, perhaps not: nothing left either way.
                self._payments.pop(payment_id, None)
                lane.state = "free"
                raise
            return payment

    def again(self, payment: Payment, seconds: int) -> None:
        """The payment is being sent again, the very same."""
        with self._lock:
            payment.until = self._now() + seconds + 30
            self.keep(payment)

    def keep(self, payment: Payment) -> bool:
        """Keeps the payment's lane out for what follows it, if no other payment has taken it."""
        with self._lock:
            if payment.lane.last is not payment or payment.lane.state == "left":
                return False
            payment.lane.state = "out"
            return True

    def learn(self, lane: Lane, held: int) -> None:
        """The engine holds this much for a lane."""
        with self._lock:
            lane.held, lane.most = max(lane.held, held), max(lane.most, held)

    def known(self, payment: Payment, held: int) -> None:
        """What is known now: the engine holds `held` for the payment's lane, which is free with that."""
        with self._lock:
            self.learn(payment.lane, held)
            self._free_again(payment, {})

    def paid(self, payment: Payment) -> None:
        """The payment was charged: the engine's answer to it said so."""
        with self._lock:
            payment.paid = True
            self.learn(payment.lane, payment.total)
            self._free_again(payment, {"paid": payment.id})

    def is_void(self, payment: Payment, is_refused: bool = False) -> bool:
        """Whether it is certain that the payment was not charged and never can be, so that its request may be paid anew.
        `is_refused`: the engine has just answered `stale_voucher` to it, so nothing was charged under its identifier."""
        with self._lock:
            if payment.void or not self._cannot_count(payment, is_refused):
                return payment.void
            payment.void = True
            self._append({"void": payment.id}, durable=False)
            return True

    def _cannot_count(self, payment: Payment, is_refused: bool) -> bool:
        lane = payment.lane
        # While the total is what it builds on, a copy of it that is still on its way can be charged.
        if payment.void or payment.paid or lane.held <= payment.base:
            return payment.void
        rivals = [one for one in self._payments.values()
                  if one is not payment and one.lane is lane and one.base == payment.base]
        # The total passed what it builds on without reaching it, or by a rival. Where only the engine's answer, which a
        # seller hands on, says that it was a rival: one must be left that it can have been, so that of several that are
        # called stale, one is never paid anew.
        return (lane.held < payment.total or any(one.paid for one in rivals)
                or is_refused and any(not one.void and one.total <= lane.held for one in rivals))

    def doubt(self, payment: Payment) -> None:
        """Nobody knows what became of the payment."""
        with self._lock:
            if payment.lane.last is payment and payment.lane.state != "left":
                payment.lane.state = "doubt"

    def leave(self, lane: Lane) -> None:
        """The lane is never used again: somebody else pays on it, or says so."""
        with self._lock:
            lane.state = "left"

    def in_doubt(self, most: int) -> list[Payment]:
        """The last payments of lanes in doubt, as many as may be asked about at once."""
        with self._lock:
            now, found = self._now(), []
            for pool in self._pools.values():
                for lane in pool.lanes.values():
                    if lane.state == "out" and lane.last and lane.last.until < now:
                        lane.state = "doubt"
                    if lane.state == "doubt" and lane.last:
                        found.append(lane.last)
            return found[:most]

    def answered(self, asked: Sequence[Payment], held: Sequence[int]) -> None:
        """What the engine said of lanes in doubt."""
        with self._lock:
            for payment, total in zip(asked, held, strict=True):
                if payment.lane.state == "doubt" and payment.lane.last is payment:
                    self.known(payment, total)

    def count(self) -> dict[State, int]:
        """How many lanes there are in each state."""
        count: dict[State, int] = {"free": 0, "out": 0, "doubt": 0, "left": 0}
        with self._lock:
            for pool in self._pools.values():
                for lane in pool.lanes.values():
                    count[lane.state] += 1
        return count

    def close(self) -> None:
        """Closes the store. Payments under way are in doubt then."""
        with self._lock:
            self._store.close()

    def _free_again(self, payment: Payment, more: Line) -> None:
        lane = payment.lane
        is_over = lane.last is payment and lane.state != "left"
        # A lane that is out for another payment by now stays out.
        if is_over:
            lane.state = "free"
        if is_over or more:
            self._append({"held": str(lane.held), "at": _name(lane), **more}, durable=False)

    def _free(self, payee: bytes, asset: int, seconds: int) -> Lane | None:
        pool = self._pool(payee, asset, seconds)
        # The one used last: few lanes stay few.
        for lane in reversed(pool.lanes.values()):
            if lane.state == "free":
                return lane
        # Lanes in doubt that nobody can be asked about do not count: they are over when they expire.
        busy = ("out", "doubt") if self._can_ask else ("out",)
        if sum(lane.state in busy for lane in pool.lanes.values()) >= self._max:
            return None
        lane = Lane(Channel(payee, asset, secrets.randbits(64), pool.expires_at))
        pool.lanes[lane.channel.lane] = lane
        return lane

    def _pool(self, payee: bytes, asset: int, seconds: int) -> Pool:
        """The lanes that last long enough; new ones where there are none."""
        now = int(self._now())
        fit = [pool for pool in self._pools.values()
               if pool.payee == payee and pool.asset == asset and pool.expires_at >= now + seconds + 120]
        if fit:
            return max(fit, key=lambda pool: pool.expires_at)
        pool = Pool(payee, asset, (now // DAY + LIFE_DAYS + 1) * DAY)
        return self._pools.setdefault((payee, asset, pool.expires_at), pool)

    def _remember(self, payment: Payment) -> None:
        self._payments[payment.id] = payment
        if len(self._payments) <= REMEMBERED:
            return
        for old in self._payments.values():
            if old.lane.last is not old:  # others are what a lane begins with after a crash
                del self._payments[old.id]
                return

    def _append(self, line: Line, durable: bool) -> None:
        self._lines += 1
        if self._lines > LINES:
            self._lines = 0
            self._forget_expired()
            self._store.rewrite(self._snapshot())
            return  # the snapshot holds the line
        self._store.append(line, durable)

    def _replay(self, line: Line) -> None:
        if "gone" in line:
            self._gone[line["asset"]] = self._gone.get(line["asset"], 0) + int(line["gone"])
            return
        if "over" in line:
            self._keep_over(line["over"], Over(line.get("paid", False), line.get("void", False)))
            return
        if "at" not in line:
            if line.get("void") in self._payments:
                self._payments[line["void"]].void = True
            return
        payee, asset, expires_at, number = line["at"]
        key = (bytes.fromhex(payee), int(asset), int(expires_at))
        pool = self._pools.setdefault(key, Pool(*key))
        lane = pool.lanes.setdefault(int(number), Lane(Channel(key[0], key[1], int(number), key[2])))
        if "held" in line:
            self.learn(lane, int(line["held"]))
            paid = line.get("paid")
            if paid in self._payments:
                self._payments[paid].paid = True
            # One that was told of late, behind another payment's, says nothing of that one.
            if paid is None or lane.last is None or lane.last.id == paid:
                lane.state = "free"
            return
        total = int(line["total"])
        lane.most, lane.state = max(lane.most, int(line.get("most", total))), "doubt"
        lane.last = Payment(line["sign"], lane, int(line["amount"]), total, 0, line.get("paid", False),
                            line.get("void", False))
        self._remember(lane.last)

    def _forget_expired(self) -> None:
        for key, pool in list(self._pools.items()):
            if pool.lanes and pool.expires_at > self._now():
                continue
            del self._pools[key]
            for lane in pool.lanes.values():
                self._gone[pool.asset] = self._gone.get(pool.asset, 0) + lane.most
            over = [one for one in self._payments.values() if pool.lanes.get(one.lane.channel.lane) is one.lane]
            ends = [(one.id, Over(one.paid, self._cannot_count(one, is_refused=False))) for one in over]
            for name, end in ends:
                del self._payments[name]
                # Nobody asks for one without a name of its own once it has an end.
                if not (is_unnamed(name) and (end.paid or end.void)):
                    self._keep_over(name, end)

    def _keep_over(self, name: str, end: Over) -> None:
        self._over[name] = end
        while len(self._over) > REMEMBERED:
            del self._over[next(iter(self._over))]

    def _snapshot(self) -> list[Line]:
        """Everything that must be kept, as few lines as can be."""
        lanes = [lane for pool in self._pools.values() for lane in pool.lanes.values()]
        held = [{"held": str(lane.held), "at": _name(lane)} for lane in lanes if lane.held]
        # Payments come in the order in which they were made: a lane's newest is its last, and leaves it in doubt.
        signs = [payment.line() for payment in self._payments.values()]
        free = [{"held": str(lane.held), "at": _name(lane)} for lane in lanes if lane.state == "free"]
        gone = [{"gone": str(sum_), "asset": asset} for asset, sum_ in self._gone.items()]
        over = [{"over": name} | ({"paid": True} if end.paid else {}) | ({"void": True} if end.void else {})
                for name, end in self._over.items()]
        return [*gone, *over, *held, *signs, *free]


def is_unnamed(payment_id: str) -> bool:
    """Whether an identifier was made by chance, for a request without a key of its own."""
    return re.fullmatch(r"tly_[0-9a-f]{32}", payment_id) is not None


def _name(lane: Lane) -> list[str | int]:
    of = lane.channel
    return [of.payee.hex(), of.asset, str(of.expires_at), str(of.lane)]
