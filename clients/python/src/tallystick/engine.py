"""What is asked of an engine over HTTP, beside /verify and /settle, which the x402 packages ask themselves."""
from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from .errors import TallystickError
from .money import Asset

SCHEME = "batch-settlement"
# How many channels are asked for at once, at most.
CHANNELS = 256
TIMEOUT = 30.0
# How long an engine that is starting is waited for.
START_SECONDS = 20.0


@dataclass(frozen=True)
class Network:
    """A network as `/supported` tells of it."""

    id: bytes
    assets: tuple[Asset, ...]

    @property
    def name(self) -> str:
        """What x402 calls it: `tallystick:` and the first 32 digits of its id."""
        return f"tallystick:{self.id.hex()[:32]}"

    def asset(self, code: str) -> Asset:
        """One of its assets, by code."""
        for one in self.assets:
            if one.code == code:
                return one
        known = ", ".join(one.code for one in self.assets)
        raise TallystickError(f"the network has no asset {code}; it has {known or 'none'}")


def read_network(name: object, extra: object) -> Network | None:
    """A network from what a kind of `/supported` says, if it is one of ours and whole."""
    try:
        assert isinstance(extra, dict)
        assets = tuple(Asset(str(one["code"]), int(one["number"]), int(one["scale"])) for one in extra["assets"])
        network = Network(bytes.fromhex(extra["networkId"]), assets)
    except (AssertionError, KeyError, TypeError, ValueError):
        return None
    return network if len(network.id) == 32 and network.name == name else None


@dataclass(frozen=True)
class Question:
    """One HTTP request to an engine: whoever has a client of httpx asks it."""

    url: str
    body: dict[str, Any] | None = None
    authorization: str | None = None

    def request(self) -> httpx.Request:
        """The request itself."""
        headers = {"authorization": self.authorization} if self.authorization else {}
        if self.body is None:
            return httpx.Request("GET", self.url, headers=headers)
        return httpx.Request("POST", self.url, headers=headers, json=self.body)

    def read(self, answer: httpx.Response) -> dict[str, Any]:
        """What it answered, or an error that says what went wrong."""
        if answer.status_code != 200:
            raise TallystickError(f"{self.url} answered {answer.status_code}: {answer.text[:300]}")
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise TallystickError(f"{self.url} answered something else than a JSON object: {answer.text[:100]}")
        return found

    def ask(self) -> dict[str, Any]:
        """Asks, and waits."""
        return self.read(self.sent())

    def sent(self) -> httpx.Response:
        """What came back, whatever it is."""
        try:
            with httpx.Client(timeout=TIMEOUT) as client:
                return client.send(self.request())
        except httpx.TransportError as error:
            raise self.unanswered(error) from error

    async def aask(self) -> dict[str, Any]:
        """Asks, without holding up others."""
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT) as client:
                return self.read(await client.send(self.request()))
        except httpx.TransportError as error:
            raise self.unanswered(error) from error

    def unanswered(self, error: httpx.TransportError) -> TallystickError:
        """Nobody is there."""
        return TallystickError(f"{self.url} does not answer ({error or type(error).__name__}): is the engine running there, "
                               "with `listen_http`?")


def ask_network(url: str) -> Network:
    """The network that the engine at this base URL clears, and its assets. Needs no key. Waits while the engine starts."""
    question, until = Question(f"{url.rstrip('/')}/supported"), time.monotonic() + START_SECONDS
    while (answer := question.sent()).status_code == 503 and time.monotonic() < until:
        time.sleep(0.1)
    kinds = question.read(answer).get("kinds")
    for kind in kinds if isinstance(kinds, list) else []:
        if isinstance(kind, dict) and kind.get("scheme") == SCHEME:
            network = read_network(kind.get("network"), kind.get("extra"))
            if network:
                return network
    raise TallystickError(f"{url} is no Tallystick engine: /supported names no network of its kind")


def wrong_credential(url: str, authorization: str | None) -> str | None:
    """What is wrong with who calls, as the engine says: it is asked to verify nothing. None if it takes the caller."""
    question = Question(f"{url.rstrip('/')}/verify", {}, authorization)
    answer = question.sent()
    if answer.status_code not in (401, 403):
        return None
    who = ("the engine at {} does not take the credential" if authorization else
           "the engine at {} asks who calls, and no credential is set").format(url)
    try:
        why = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        why = answer.text[:300]
    return f"{who} ({answer.status_code}): {why}"


def channels_question(url: str, ids: Sequence[bytes], authorization: str) -> Question:
    """For the durable totals of up to 256 channels."""
    body = {"channels": [one.hex() for one in ids]}
    return Question(f"{url.rstrip('/')}/channels", body, authorization)


def read_channels(answer: dict[str, Any], ids: Sequence[bytes]) -> list[int]:
    """The totals, in the order in which they were asked for; 0 where nothing was ever credited."""
    rows = answer.get("channels")
    try:
        assert isinstance(rows, list) and len(rows) == len(ids)
        assert all(row["channel"] == one.hex() for row, one in zip(rows, ids))
        return [int(row["charged"]) for row in rows]
    except (AssertionError, KeyError, TypeError, ValueError):
        raise TallystickError("the engine gave no total for a channel that it was asked for") from None


def status_question(url: str, payment: str, authorization: str) -> Question:
    """What became of a payment: by its identifier, or by `CHANNEL:CUMULATIVE`."""
    return Question(f"{url.rstrip('/')}/status/{quote(payment, safe=':')}", None, authorization)
