"""A shop in Rust, on axum and the crate tallystick-client; buyers on unmodified x402 of PyPI, and on this package."""
from __future__ import annotations

import asyncio
import base64
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import requests
from engine import SELLER, Engine, between
from x402 import x402Client, x402ClientSync
from x402.http.clients.httpx import x402HttpxClient
from x402.http.clients.requests import wrapRequestsWithPayment

from tallystick import Agent, AgentKey, Budget, BudgetError, why_refused
from tallystick.x402 import register

PRICE = 100  # units


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    found = Engine(tmp_path_factory.mktemp("engine")).start().settle()
    yield found
    found.end()


@contextmanager
def shop(facilitator: str) -> Iterator[str]:
    beside = pathlib.Path(os.environ["TALLYSTICK_BIN"]).with_name("tallystick-shop")
    program = os.environ.get("TALLYSTICK_SHOP", str(beside))
    with subprocess.Popen([program, "--facilitator", facilitator, "--pay-to", SELLER], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        address = child.stdout.readline().strip()
        assert address, "the shop ended"
        try:
            yield f"http://{address}"
        finally:
            child.terminate()


def made(url: str) -> int:
    return int(httpx.get(f"{url}/made").json()["made"])


def test_buyers_pay_and_every_refusal_has_its_reason(engine: Engine) -> None:
    engine.owed()
    with shop(engine.url) as url:
        agent = Agent(engine.key(), engine.url)
        client = x402Client()
        register(agent, client)

        async def pay() -> list[int]:
            async with x402HttpxClient(client) as paying:
                asked = (paying.get(f"{url}/paid") for _ in range(32))
                return [answer.status_code for answer in await asyncio.gather(*asked)]

        assert asyncio.run(pay()) == [200] * 32
        sync = x402ClientSync()
        register(agent, sync)
        answer = wrapRequestsWithPayment(requests.Session(), sync).get(f"{url}/paid")
        said = json.loads(base64.b64decode(answer.headers["payment-response"]))
        assert answer.status_code == 200 and said["success"] and said["amount"] == "100"
        assert agent.status(said["transaction"])["state"] == "settled"
        assert agent.lanes.count()["doubt"] == 0 and agent.signed("EUR") == "0.0033"

        capped = Agent(engine.key("--budget", "978=150/total"), engine.url)
        with capped.client() as paying:
            answers = [paying.get(f"{url}/paid") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 402]
        assert str(why_refused(answers[1])).startswith("insufficient_funds")
        with Agent(engine.key(), engine.url, budget={"EUR": Budget(total="0.00005")}).client() as paying:
            with pytest.raises(BudgetError):
                paying.get(f"{url}/paid")
        with Agent(AgentKey.generate(), engine.url).client() as paying:
            assert str(why_refused(paying.get(f"{url}/paid"))).startswith("unknown_signer")
        assert made(url) == 34
    assert engine.owed() == 34 * PRICE


def test_what_is_lost_between_the_shop_and_the_engine_is_paid_once(engine: Engine) -> None:
    lose: list[str] = []

    def rule(path: str) -> str | None:
        return lose.pop() if path == "/settle" and lose else None

    engine.owed()
    with between(engine.url, rule) as way, shop(way) as url:
        agent = Agent(engine.key(), engine.url)
        with agent.client() as paying:
            for how in ("lose answer", "lose call"):
                for times in (1, 2):
                    lose.extend([how] * times)
                    assert paying.get(f"{url}/paid").status_code == 200
        assert agent.signed("EUR") == "0.0004"
    assert engine.owed() == 4 * PRICE
