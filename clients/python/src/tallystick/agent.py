"""The buyer's side: clients of httpx that pay, and what schemes for x402's own clients stand on (`tallystick.x402`).

What is done is written once, as generators that say what they need (a request sent, a question asked, a pause); a driver
for threads and one for asyncio do it."""
from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from blake3 import blake3

from .engine import SCHEME, Network, Question, ask_network, channels_question, read_channels, status_question
from .errors import BudgetError, PaymentInDoubtError, PaymentOverError, TallystickError
from .lanes import Lane, Lanes, Payment, is_unnamed
from .money import Asset, decimal, units
from .store import FileLanes, LaneStore, MemoryLanes
from .token import sign_token
from .voucher import AgentKey

PAYMENT_IDENTIFIER = "payment-identifier"
# A seller may ask for more, and does not get it: its payments are waited for no longer than this.
SECONDS_MAX = 3_600
# How often one request is paid for, or the same payment sent again, before the answer is given as it is.
ATTEMPTS = 4
SAFE = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
# Refusals after which the lane is taken up from what the engine holds, and the request paid once more.
STALE = "stale_voucher"
DRIFTED = ("wrong_amount", STALE)
# How many lanes are asked about at once, and how long a payment waits for a lane.
ASKED = 256
LANE_SECONDS = 60

Step = Question | float | httpx.Request
Result = TypeVar("Result")
Steps = Generator[Step, Any, Result]


@dataclass(frozen=True)
class Budget:
    """The most that an agent signs in one asset, in decimals: `"0.01"`. Counted is what was signed, paid or not."""

    per_payment: str | None = None
    total: str | None = None


@dataclass(frozen=True)
class Requirements:
    """What a seller asks for, looked at and found payable."""

    payee: bytes
    asset: Asset
    amount: int
    seconds: int


@dataclass
class Track:
    """One request of a caller, while it is paid for."""

    named: str | None = None
    attempts: int = 0
    # The payment to be sent again as it is; or the lane to sign on anew.
    same: Payment | None = None
    lane: Lane | None = None


@dataclass(frozen=True)
class Said:
    """What came back to a payment: PAYMENT-RESPONSE, or else PAYMENT-REQUIRED, or neither."""

    settled: Mapping[str, Any] | None
    required: Mapping[str, Any] | None

    @property
    def extra(self) -> Mapping[str, Any]:
        """What the engine said of the channel, if the seller hands it on."""
        found: Any = None
        if self.settled is not None:
            found = self.settled.get("extra")
        elif self.required is not None:
            for one in self.required.get("accepts") or []:
                if one.get("scheme") == SCHEME:
                    found = found or (one.get("extra") or {}).get("tallystick")
        return found if isinstance(found, Mapping) else {}

    @property
    def reason(self) -> str | None:
        """Why it was refused."""
        if self.settled is not None:
            return self.settled.get("errorReason")
        return self.required.get("error") if self.required is not None else None


class Agent:
    """An agent: its key, its lanes, its budgets. May be used by several threads, and by asyncio."""

    def __init__(
        self,
        key: AgentKey | bytes | str,
        facilitator: str | None = None,
        *,
        network: Network | None = None,
        lanes: LaneStore | str | os.PathLike[str] | None = None,
        budget: Mapping[str, Budget] | None = None,
        max_lanes: int = 64,
    ) -> None:
        """`facilitator` is the engine's base URL for HTTP: it is asked for the network now, and later for lanes whose last
        answer was lost. Instead `network` may be given, as the engine's operator tells of it; never take it from a seller.
        `lanes` is a file, or a store of your own; in memory if nothing is said."""
        self.key = key if isinstance(key, AgentKey) else AgentKey(key)
        self._url = facilitator
        if network is None:
            if facilitator is None:
                raise TallystickError("an agent needs `facilitator`, its engine's URL, or `network`")
            network = ask_network(facilitator)
        self.network = network
        self._budget: dict[int, tuple[int | None, int | None]] = {}
        for code, one in (budget or {}).items():
            asset = network.asset(code)
            bounds = [None if text is None else units(text, asset) for text in (one.per_payment, one.total)]
            self._budget[asset.number] = (bounds[0], bounds[1])
        if lanes is None:
            lanes = MemoryLanes()
        elif isinstance(lanes, (str, os.PathLike)):
            lanes = FileLanes(lanes)
        self.lanes = Lanes(lanes, network.id, self.key.signer, max_lanes, facilitator is not None)

    @property
    def signer(self) -> str:
        """The public key: 64 hexadecimal digits, what `tallystick signer add` takes."""
        return self.key.signer.hex()

    def signed(self, code: str) -> str:
        """What was signed in an asset so far, in decimals: what its budget counts."""
        asset = self.network.asset(code)
        return decimal(self.lanes.signed(asset.number), asset.scale)

    def most_at_once(self, asset: Asset) -> int | None:
        """The budget for one payment, in units."""
        return self._budget.get(asset.number, (None, None))[0]

    def status(self, transaction: str) -> dict[str, Any]:
        """What became of a payment: its transaction, as the seller's answer named it."""
        if self._url is None:
            raise TallystickError("to ask, an agent needs `facilitator`")
        return status_question(self._url, transaction, self._bearer()).ask()

    def client(self, **settings: Any) -> httpx.Client:
        """A client of httpx that pays. A header `Idempotency-Key` of your own makes a repeated request the same payment,
        also after a crash where lanes are in a file."""
        below = settings.pop("transport", None) or httpx.HTTPTransport()
        return httpx.Client(transport=PayingTransport(self, below), **settings)

    def async_client(self, **settings: Any) -> httpx.AsyncClient:
        """The same for asyncio."""
        below = settings.pop("transport", None) or httpx.AsyncHTTPTransport()
        return httpx.AsyncClient(transport=AsyncPayingTransport(self, below), **settings)

    def close(self) -> None:
        """Closes the lanes' store. Payments under way are in doubt then."""
        self.lanes.close()

    # What the drivers and the schemes stand on.

    def check(self, asked: Mapping[str, Any]) -> Requirements:
        """Whether it can be paid at all. What a seller says of an asset must be what the engine says of it."""
        if asked.get("scheme") != SCHEME or asked.get("network") != self.network.name:
            raise TallystickError(f"this agent pays {SCHEME} on {self.network.name} only")
        asset = self.network.asset(str(asked.get("asset")))
        extra = asked.get("extra") or {}
        truth = {"networkId": self.network.id.hex(), "assetNumber": asset.number, "scale": asset.scale}
        for name, value in truth.items():
            if name in extra and extra[name] != value:
                raise TallystickError(f"the seller says {name} {extra[name]}, the engine {value}: not paid")
        payee, amount = str(asked.get("payTo")), str(asked.get("amount"))
        if not re.fullmatch(r"[0-9a-f]{64}", payee):
            raise TallystickError(f"payTo is no party: {payee[:80]}")
        if not re.fullmatch(r"[0-9]{1,20}", amount) or not 0 < int(amount) < 1 << 64:
            raise TallystickError(f"amount is no whole number above 0: {amount[:80]}")
        seconds = asked.get("maxTimeoutSeconds", 300)
        seconds = min(seconds, SECONDS_MAX) if isinstance(seconds, int) and seconds > 0 else SECONDS_MAX
        return Requirements(bytes.fromhex(payee), asset, int(amount), seconds)

    def begin(self, want: Requirements, track: Track) -> Payment | None:
        """The payment for a request, durable: the same one where the track says so. None where a lane must be waited for."""
        known = track.same or (self._remembered(track.named, want) if track.named else None)
        lane, track.same, track.lane = track.lane, None, None
        if known:
            self.lanes.again(known, want.seconds)
            return known
        name = self._unused(track.named) if track.named else f"tly_{secrets.token_hex(16)}"

        def allow(more: int) -> None:
            self._allow(want.asset, want.amount, more)

        return self.lanes.take(want.payee, want.asset.number, want.amount, name, want.seconds, allow, lane)

    def beginning(self, want: Requirements, track: Track) -> Steps[Payment]:
        """As `begin`, and waits for a lane."""
        until = time.monotonic() + LANE_SECONDS
        while (payment := self.begin(want, track)) is None:
            if not (yield from self.ask_doubts()):
                if time.monotonic() > until:
                    raise TallystickError("all lanes to this payee are out: raise max_lanes, or pay less at once")
                yield 0.02
        return payment

    def ask_doubts(self) -> Steps[bool]:
        """Asks after lanes in doubt. Whether there is something new."""
        asked = self.lanes.in_doubt(ASKED)
        if not asked or self._url is None:
            return False
        held = yield from self._ask([payment.lane for payment in asked])
        if held is not None:
            self.lanes.answered(asked, held)
        return held is not None

    def payload(self, payment: Payment) -> dict[str, Any]:
        """The scheme's payload: the voucher. The same one for the same payment."""
        return self.key.voucher(self.network.id, payment.lane.channel, payment.total).json()

    def answering(self, payment: Payment, track: Track, said: Said) -> Steps[bool]:
        """An answer has come to a payment. Whether the request is to be sent once more, as the track says then."""
        if said.settled is not None and said.settled.get("success") is True:
            self.lanes.paid(payment)
            return False
        track.attempts += 1
        held = yield from self._held(payment, said)
        if held is not None:
            self.lanes.learn(payment.lane, held)
        if track.attempts < ATTEMPTS and payment.lane.state != "left":
            if self._is_same(payment, said, held):
                track.same = payment
                self.lanes.again(payment, SECONDS_MAX)
                yield pause(track.attempts)
                return True
            if said.reason in DRIFTED and held is not None and self.lanes.is_void(payment, said.reason == STALE):
                track.lane = payment.lane if self.lanes.keep(payment) else None
                return True
        if held is None:
            self.lanes.doubt(payment)
        else:
            self.lanes.known(payment, held)
        return False

    def _is_same(self, payment: Payment, said: Said, held: int | None) -> bool:
        """Whether the very same payment is to be sent again. That is always safe: it is charged once."""
        # Without its channel an answer is not the engine's own word.
        if said.settled is not None and "channel" not in said.extra:
            return True
        if said.settled is None and said.required is None and payment.lane.held >= payment.total:
            return True
        # Called stale or wrong, and yet the channel stands where it builds on: another one's charge was under way.
        return said.reason in DRIFTED and held is not None and payment.lane.held <= payment.base

    def paying(self, request: httpx.Request) -> Steps[httpx.Response]:
        """Sends a request, pays if that is asked for, and sends it again."""
        first: httpx.Response = yield request
        required = _decoded(first.headers.get("payment-required")) if first.status_code == 402 else None
        if required is None:
            return first
        asked = self._choose(required)
        want = self.check(asked)
        track = Track(request.headers.get("idempotency-key"))
        while True:
            payment = yield from self.beginning(want, track)
            paid = self._paid(request, required, asked, payment)
            try:
                answer: httpx.Response = yield paid
            except httpx.TransportError as error:
                track.attempts += 1
                if track.attempts < ATTEMPTS and request.method in SAFE:
                    track.same = payment
                    yield pause(track.attempts)
                    continue
                self.lanes.doubt(payment)
                text = f"the answer to a paid request is lost ({error}): send it again with Idempotency-Key {payment.id}"
                raise PaymentInDoubtError(text, payment.id) from error
            said = said_by(answer.headers, answer.status_code)
            if not (yield from self.answering(payment, track, said)):
                return answer

    def _paid(self, request: httpx.Request, required: Mapping[str, Any], asked: Mapping[str, Any],
              payment: Payment) -> httpx.Request:
        declared = required.get("extensions") or {}
        extensions = declared | {PAYMENT_IDENTIFIER: identifier(payment.id, declared.get(PAYMENT_IDENTIFIER))}
        document = {"x402Version": 2, "payload": self.payload(payment), "accepted": asked, "extensions": extensions}
        if required.get("resource"):
            document["resource"] = required["resource"]
        text = base64.b64encode(json.dumps(document).encode()).decode()
        headers = httpx.Headers(request.headers)
        headers["PAYMENT-SIGNATURE"] = text
        return httpx.Request(request.method, request.url, headers=headers, content=request.content,
                             extensions=request.extensions)

    def _choose(self, required: Mapping[str, Any]) -> Mapping[str, Any]:
        """The first way to pay that is ours."""
        for one in required.get("accepts") or []:
            if one.get("scheme") == SCHEME and one.get("network") == self.network.name:
                return dict(one)
        raise TallystickError(f"the seller takes no {SCHEME} on {self.network.name}")

    def _held(self, payment: Payment, said: Said) -> Steps[int | None]:
        """What the engine holds of the payment's lane: asked of it, or else as the seller hands on what it said."""
        lane = payment.lane
        if self._url is not None:
            asked = yield from self._ask([lane])
            if asked is not None:
                return asked[0]
        charged = str(said.extra.get("charged"))
        is_ours = said.extra.get("channel") == lane.channel.id(self.network.id, self.key.signer).hex()
        if not is_ours or not re.fullmatch(r"[0-9]{1,20}", charged):
            return lane.held if said.required is not None else None
        # More than was ever signed here cannot be our doing: do not sign on top of it.
        if int(charged) > lane.most:
            self.lanes.leave(lane)
            return None
        return int(charged)

    def _ask(self, lanes: list[Lane]) -> Steps[list[int] | None]:
        ids = [lane.channel.id(self.network.id, self.key.signer) for lane in lanes]
        assert self._url is not None
        try:
            return read_channels((yield channels_question(self._url, ids, self._bearer())), ids)
        except (TallystickError, httpx.HTTPError):
            return None  # they stay in doubt

    def _bearer(self) -> str:
        return f"Bearer {sign_token(self.key, self.signer, self.network.id)}"

    def _allow(self, asset: Asset, amount: int, more: int) -> None:
        per_payment, total = self._budget.get(asset.number, (None, None))
        if per_payment is not None and amount > per_payment:
            text = f"{decimal(amount, asset.scale)} {asset.code} is more than this agent may pay at once"
            raise BudgetError(f"{text}, {decimal(per_payment, asset.scale)}: nothing was signed")
        signed = self.lanes.signed(asset.number)
        if total is not None and signed + more > total:
            text = f"the budget of {decimal(total, asset.scale)} {asset.code} is used up"
            raise BudgetError(f"{text}: {decimal(signed, asset.scale)} was signed, and {decimal(more, asset.scale)} more "
                              "would be; raise it to go on")

    def _remembered(self, name: str, want: Requirements) -> Payment | None:
        """The payment that was made for this request before, to be sent as it was."""
        payment_id, at = name, 1
        # One that is void is followed by another, under the next name.
        while self._is_known(_numbered(name, at)):
            payment_id, at = _numbered(name, at), at + 1
        payment, over = self.lanes.payment(payment_id), self.lanes.over(payment_id)
        if payment is None and over is None:
            # One that we made once, and know nothing of any more.
            if is_unnamed(name):
                raise PaymentOverError(name, paid=False)
            return None
        if over is not None and over.void or payment is not None and self.lanes.is_void(payment):
            return None
        # It may have been charged as long as its channel lasted, and the engine has forgotten that channel.
        if payment is None or payment.lane.channel.expires_at <= time.time():
            raise PaymentOverError(name, (payment or over).paid)  # type: ignore[union-attr]
        of = payment.lane.channel
        if of.payee != want.payee or of.asset != want.asset.number or payment.amount != want.amount:
            raise TallystickError(f"the key {name} belongs to another payment: use one for each request")
        return payment

    def _unused(self, name: str) -> str:
        at = 1
        while self._is_known(_numbered(name, at)):
            at += 1
        return _numbered(name, at)

    def _is_known(self, payment_id: str) -> bool:
        return self.lanes.payment(payment_id) is not None or self.lanes.over(payment_id) is not None


class PayingTransport(httpx.BaseTransport):
    """A transport of httpx that pays with an agent."""

    def __init__(self, agent: Agent, below: httpx.BaseTransport) -> None:
        self._agent, self._below = agent, below

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()

        def send(one: httpx.Request) -> httpx.Response:
            answer = self._below.handle_request(one)
            if answer.status_code == 402 or answer.status_code >= 500:
                answer.read()
            return answer

        return drive(self._agent.paying(request), send)

    def close(self) -> None:
        self._below.close()


class AsyncPayingTransport(httpx.AsyncBaseTransport):
    """The same for asyncio."""

    def __init__(self, agent: Agent, below: httpx.AsyncBaseTransport) -> None:
        self._agent, self._below = agent, below

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()

        async def send(one: httpx.Request) -> httpx.Response:
            answer = await self._below.handle_async_request(one)
            if answer.status_code == 402 or answer.status_code >= 500:
                await answer.aread()
            return answer

        return await adrive(self._agent.paying(request), send)

    async def aclose(self) -> None:
        await self._below.aclose()


def drive(steps: Steps[Result], send: Callable[[httpx.Request], httpx.Response] | None = None) -> Result:
    """Does what the steps say, and waits."""
    value: Any = None
    error: Exception | None = None
    while True:
        try:
            step = steps.throw(error) if error else steps.send(value)
        except StopIteration as end:
            result: Result = end.value
            return result
        value = error = None
        try:
            if isinstance(step, Question):
                value = step.ask()
            elif isinstance(step, httpx.Request):
                assert send is not None
                value = send(step)
            else:
                time.sleep(step)
        except Exception as failed:  # it is the steps' own to judge
            error = failed


async def adrive(steps: Steps[Result],
                 send: Callable[[httpx.Request], Awaitable[httpx.Response]] | None = None) -> Result:
    """The same, without holding up others."""
    value: Any = None
    error: Exception | None = None
    while True:
        try:
            step = steps.throw(error) if error else steps.send(value)
        except StopIteration as end:
            result: Result = end.value
            return result
        value = error = None
        try:
            if isinstance(step, Question):
                value = await step.aask()
            elif isinstance(step, httpx.Request):
                assert send is not None
                value = await send(step)
            else:
                await asyncio.sleep(step)
        except Exception as failed:
            error = failed


def said_by(headers: Mapping[str, str], status: int) -> Said:
    """What the answer to a paid request says of the payment."""
    settled = _decoded(headers.get("payment-response"))
    required = _decoded(headers.get("payment-required")) if settled is None and status == 402 else None
    return Said(settled, required)


def why_refused(answer: httpx.Response) -> str | None:
    """Why the payment for this answer was refused, in words; None if it was not. x402 says it in headers alone."""
    said = said_by(answer.headers, answer.status_code)
    if said.reason is None:
        return None
    message = said.settled.get("errorMessage") if said.settled is not None else said.extra.get("message")
    return f"{said.reason}: {message}" if message else said.reason


def identifier(payment_id: str, declared: Any = None) -> dict[str, Any]:
    """The extension as x402 has it; what the seller declares of it stays."""
    if isinstance(declared, Mapping):
        return {**declared, "info": {"required": False, **(declared.get("info") or {}), "id": payment_id}}
    text = {"type": "string", "minLength": 16, "maxLength": 128, "pattern": "^[a-zA-Z0-9_-]+$"}
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
              "properties": {"required": {"type": "boolean"}, "id": text}, "required": ["required"]}
    return {"info": {"required": False, "id": payment_id}, "schema": schema}


def pause(attempt: int) -> float:
    """0.1, 0.4, 1.6 seconds: what is lost is often back by then."""
    return float(0.025 * 4**attempt)


def _decoded(header: str | None) -> dict[str, Any] | None:
    """A header of x402: base64 of a JSON object."""
    try:
        found = json.loads(base64.b64decode(header, validate=True)) if header else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _numbered(name: str, at: int) -> str:
    """A caller's own key as a payment identifier: 16 to 128 characters, in the letters that there may be."""
    plain = name
    if not re.fullmatch(r"[A-Za-z0-9_-]{13,118}", name):
        plain = "k" + blake3(name.encode()).hexdigest()
    return f"{plain}-{at}".ljust(16, "_")


