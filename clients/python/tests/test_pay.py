"""Unmodified x402 of PyPI (FastAPI, Flask, httpx, requests), and the real engine."""
from __future__ import annotations

import asyncio
import base64
import json
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
import requests
from engine import SELLER, Engine, between, serving
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from flask import Flask
from x402 import PaymentRequired, x402Client, x402ClientSync
from x402.http.clients.httpx import x402HttpxClient
from x402.http.clients.requests import wrapRequestsWithPayment
from x402.http.middleware.fastapi import payment_middleware
from x402.http.middleware.flask import payment_middleware as flask_middleware

from tallystick import (
    Agent, AgentKey, Budget, BudgetError, Channel, PaymentInDoubtError, PaymentOverError, TallystickError, why_refused,
)
from tallystick.x402 import Seller, register

PRICE = "0.0001 EUR"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    found = Engine(tmp_path_factory.mktemp("engine")).start().settle()
    yield found
    found.end()


@dataclass
class Shop:
    url: str
    made: list[int]

    @property
    def paid(self) -> str:
        return f"{self.url}/paid"


@contextmanager
def shop(facilitator: str, during: Any = lambda: None) -> Iterator[Shop]:
    """A shop on FastAPI as its owner would build it."""
    seller = Seller(facilitator, SELLER)
    app, made = FastAPI(), [0]
    app.middleware("http")(payment_middleware({"GET /paid": seller.price(PRICE)}, seller.server()))

    @app.get("/paid")
    def paid() -> dict[str, int]:
        made[0] += 1
        during()
        return {"goods": made[0]}

    with serving(app) as url:
        yield Shop(url, made)


@pytest.fixture(scope="module")
def store(engine: Engine) -> Iterator[Shop]:
    with shop(engine.url) as found:
        yield found


def header(answer: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(answer.headers[name]))
    return found


def refusal(answer: Any) -> str:
    if "payment-required" in answer.headers:
        return str(header(answer, "payment-required")["error"])
    return str(header(answer, "payment-response")["errorReason"])


def test_a_client_of_httpx_pays(engine: Engine, store: Shop) -> None:
    agent = Agent(engine.key(), engine.url)
    with agent.client() as client:
        for total in (100, 200):
            answer = client.get(store.paid)
            assert answer.status_code == 200 and "goods" in answer.json()
            settled = header(answer, "payment-response")
            assert settled["success"] and settled["amount"] == "100"
            assert settled["transaction"].endswith(f":{total}")
        assert client.get(f"{store.url}/free").status_code == 404
    assert agent.status(settled["transaction"])["state"] == "settled"
    assert agent.signed("EUR") == "0.0002"


def test_x402s_own_clients_pay(engine: Engine, store: Shop) -> None:
    agent = Agent(engine.key(), engine.url, budget={"EUR": Budget(per_payment="0.01")})
    client = x402Client()
    register(agent, client)

    async def pay() -> list[int]:
        async with x402HttpxClient(client) as paying:
            return [answer.status_code for answer in await asyncio.gather(*(paying.get(store.paid) for _ in range(32)))]

    assert asyncio.run(pay()) == [200] * 32
    assert agent.lanes.count() == {"free": 32, "out": 0, "doubt": 0, "left": 0}
    sync = x402ClientSync()
    register(agent, sync)
    session = wrapRequestsWithPayment(requests.Session(), sync)
    assert session.get(store.paid).status_code == 200
    assert agent.signed("EUR") == "0.0033"


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving_flask(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_shop_on_flask_sells(engine: Engine) -> None:
    seller = Seller(engine.url, SELLER)
    app = Flask("shop")
    flask_middleware(app, {"GET /paid": seller.price(PRICE)}, seller.server_sync())
    app.get("/paid")(lambda: {"goods": 1})
    with serving_flask(app) as url, Agent(engine.key(), engine.url).client() as client:
        answer = client.get(f"{url}/paid")
    assert answer.status_code == 200
    assert header(answer, "payment-response")["success"]


def test_32_side_by_side(engine: Engine, store: Shop) -> None:
    agent = Agent(engine.key(), engine.url)
    with agent.client() as client, ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: client.get(store.paid), range(32)))
    assert [answer.status_code for answer in answers] == [200] * 32
    assert len({header(answer, "payment-response")["transaction"] for answer in answers}) == 32

    async def side() -> list[int]:
        async with agent.async_client() as many:
            return [answer.status_code for answer in await asyncio.gather(*(many.get(store.paid) for _ in range(32)))]

    assert asyncio.run(side()) == [200] * 32
    assert agent.signed("EUR") == "0.0064"


@pytest.mark.parametrize("bound", ["--cap=978=150", "--budget=978=150/total"])
def test_too_little_may_be_spent(engine: Engine, store: Shop, bound: str) -> None:
    with Agent(engine.key(bound), engine.url).client() as client:
        assert client.get(store.paid).status_code == 200
        for _ in range(2):
            answer = client.get(store.paid)
            assert (answer.status_code, refusal(answer)) == (402, "insufficient_funds")
            assert (why_refused(answer) or "").startswith("insufficient_funds: the payer's limit or deposit")


def test_a_seller_whose_credential_is_not_taken_says_so_at_the_start(
        tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(tmp_path).start().settle()
    try:
        Seller(engine.url, SELLER)
        assert not caplog.messages
        key = tmp_path / "ann.key"
        key.write_text(engine.cli("access", "add", "--name", "ann", "--role", "operator")[0]["key"])
        engine.cli("access", "add", "--name", "shop", "--role", "facilitator", "--token-file", str(key))
        Seller(engine.url, SELLER)
        Seller(engine.url, SELLER, "tsk_wrong")
        without, wrong = caplog.messages
        assert f"the engine at {engine.url} asks who calls, and no credential is set (401): " in without
        assert f"the engine at {engine.url} does not take the credential (401): " in wrong
    finally:
        engine.end()
    with pytest.raises(TallystickError, match=f"{engine.url}/supported does not answer .*: is the engine running there"):
        Seller(engine.url, SELLER)


@contextmanager
def films(kind: str, seller: Seller, film: Callable[[], dict[str, int] | None]) -> Iterator[str]:
    """A shop whose handlers fail where there is no film."""
    routes = {"GET /films/*": seller.price(PRICE)}
    if kind == "flask":
        flask = Flask("films")
        flask_middleware(flask, routes, seller.server_sync())
        flask.get("/films/<name>")(lambda name: film() or ({}, 503))
        with serving_flask(flask) as url:
            yield url
        return
    app = FastAPI()
    app.middleware("http")(payment_middleware(routes, seller.server()))
    app.get("/films/{name}")(lambda name: film() or JSONResponse({}, 503))
    with serving(app) as url:
        yield url


@pytest.mark.parametrize("kind", ["fastapi", "flask"])
def test_an_answer_is_made_again_so_often_and_for_one_request_alone(engine: Engine, kind: str) -> None:
    lost, fails, made = [0], [True], [0]

    def rule(path: str) -> str | None:
        if path != "/settle" or not lost[0]:
            return None
        lost[0] -= 1
        return "lose answer"

    def film() -> dict[str, int] | None:
        made[0] += not fails[0]
        return None if fails[0] else {"film": made[0]}

    with between(engine.url, rule) as way, films(kind, Seller(way, SELLER, repeats=2), film) as url:
        agent, first = Agent(engine.key(), engine.url), httpx.get(f"{url}/films/one")
        client = x402ClientSync()
        register(agent, client)
        paid = client.create_payment_payload(PaymentRequired.model_validate(header(first, "payment-required")))
        text = base64.b64encode(paid.model_dump_json(by_alias=True, exclude_none=True).encode()).decode()

        def ask(name: str) -> httpx.Response:
            return httpx.get(f"{url}/films/{name}", headers={"PAYMENT-SIGNATURE": text})

        # What its handler does not do, and what is not known to be paid, is no answer.
        assert [ask("one").status_code for _ in range(4)] == [503] * 4
        fails[0] = False
        for _ in range(4):
            lost[0] = 1
            assert ask("one").status_code == 402
        assert (lost, made) == ([0], [4])
        for number in (5, 6, 7):
            told = ask("one")
            assert (told.status_code, told.json()) == (200, {"film": number})
            assert why_refused(ask("two")) == "invalid_payload: this payment was for another request"
        most = "already_answered: its answer is made 3 times at most for one payment: pay anew"
        assert [why_refused(ask("one")) for _ in range(2)] == [most] * 2
        assert agent.signed("EUR") == "0.0001"


def test_an_agents_own_budgets(engine: Engine, store: Shop) -> None:
    key = engine.key()
    with Agent(key, engine.url, budget={"EUR": Budget(per_payment="0.00009")}).client() as client:
        with pytest.raises(BudgetError, match="nothing was signed"):
            client.get(store.paid)
    agent = Agent(key, engine.url, budget={"EUR": Budget(total="0.0005")})

    def pay(_: int) -> int:
        try:
            return client.get(store.paid).status_code
        except BudgetError:
            return 0

    with agent.client() as client, ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(pay, range(16))) == [0] * 11 + [200] * 5
    assert agent.signed("EUR") == "0.0005"


def test_strangers_and_the_revoked(engine: Engine, store: Shop) -> None:
    with Agent(AgentKey.generate(), engine.url).client() as client:
        assert refusal(client.get(store.paid)) == "unknown_signer"
    key = engine.key()
    with Agent(key, engine.url).client() as client:
        assert client.get(store.paid).status_code == 200
        engine.cli("signer", "revoke", key.signer.hex())
        assert refusal(client.get(store.paid)) == "revoked_signer"


def test_over_and_over_another_amount(engine: Engine, store: Shop) -> None:
    key = engine.key()
    agent = Agent(key, engine.url)
    first = httpx.get(store.paid)
    asked = header(first, "payment-required")

    def pay(total: int, lasting: int) -> httpx.Response:
        expires = int(asked_at) + lasting
        voucher = key.voucher(agent.network.id, Channel(bytes.fromhex(SELLER), 978, 7, expires), total)
        payment = {"x402Version": 2, "payload": voucher.json(), "accepted": asked["accepts"][0]}
        text = base64.b64encode(json.dumps(payment).encode()).decode()
        return httpx.get(store.paid, headers={"PAYMENT-SIGNATURE": text})

    asked_at = time.time()
    assert refusal(pay(100, -60)) == "expired_voucher"
    wrong = pay(99, 3600)
    assert refusal(wrong) == "wrong_amount"
    said = header(wrong, "payment-required")["accepts"][0]["extra"]["tallystick"]
    assert (said["charged"], said["expected"]) == ("0", "100")


@pytest.mark.parametrize("how", ["lose answer", "lose call"])
def test_the_answer_to_settle_is_lost(engine: Engine, how: str) -> None:
    lost = []

    def rule(path: str) -> str | None:
        if path != "/settle":
            return None
        lost.append(path)
        return how if len(lost) in (1, 3) else None

    with between(engine.url, rule) as way, shop(way) as far:
        agent = Agent(engine.key(), engine.url)
        with agent.client() as client:
            assert client.get(far.paid).status_code == 200
        assert agent.signed("EUR") == "0.0001"
        client_of_x402 = x402ClientSync()
        register(agent, client_of_x402)
        session = wrapRequestsWithPayment(requests.Session(), client_of_x402)
        assert session.get(far.paid).status_code == 200
        assert agent.signed("EUR") == "0.0002"


def test_the_sellers_answer_is_lost(engine: Engine, store: Shop, tmp_path: pathlib.Path) -> None:
    class Losing(httpx.HTTPTransport):
        drops = 1

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if "payment-signature" in request.headers and Losing.drops:
                Losing.drops -= 1
                answer.close()
                raise httpx.ReadError("lost")
            return answer

    agent = Agent(engine.key(), engine.url, lanes=tmp_path / "agent.lanes")
    with agent.client(transport=Losing()) as client:
        assert client.get(store.paid).status_code == 200
        assert agent.signed("EUR") == "0.0001"
        # Beyond what is sent again by itself it is the caller's: with the key it is the very same payment.
        Losing.drops = 4
        with pytest.raises(PaymentInDoubtError) as doubt:
            client.get(store.paid)
        Losing.drops = 0
        again = client.get(store.paid, headers={"Idempotency-Key": doubt.value.payment_id})
        assert again.status_code == 200
        assert agent.signed("EUR") == "0.0002"
        assert header(again, "payment-response")["transaction"].endswith(":200")
    agent.close()


def test_a_request_of_ones_own_name_is_paid_once_over_restarts(engine: Engine, store: Shop, tmp_path: pathlib.Path) -> None:
    key = engine.key()
    for _ in range(3):
        agent = Agent(key, engine.url, lanes=tmp_path / "agent.lanes")
        with agent.client() as client:
            for job in ("one", "two"):
                assert client.get(store.paid, headers={"Idempotency-Key": job}).status_code == 200
        assert agent.signed("EUR") == "0.0002"
        agent.close()


def test_a_request_is_not_paid_anew_when_its_channel_is_over(engine: Engine, store: Shop, tmp_path: pathlib.Path) -> None:
    path, name = tmp_path / "agent.lanes", "order-12345678901"
    key = engine.key()
    Agent(key, engine.url, lanes=path).close()
    at = [SELLER, 978, "1700000000", "9"]
    sign = {"sign": f"{name}-1", "at": at, "amount": "100", "total": "100"}
    ends: list[tuple[list[object], bool | None]] = [
        ([], False), ([{"held": "100", "at": at, "paid": f"{name}-1"}], True), ([{"void": f"{name}-1"}], None)]
    first = path.read_text()
    for more, paid in ends:
        path.write_text(first + "".join(json.dumps(line) + "\n" for line in [sign, *more]))
        for _ in range(2):  # it is remembered
            agent = Agent(key, engine.url, lanes=path)
            with agent.client() as client:
                def ask(name: str = name, client: httpx.Client = client) -> int:
                    return client.get(store.paid, headers={"Idempotency-Key": name}).status_code
                if paid is None:
                    assert ask() == 200
                    assert agent.signed("EUR") == "0.0002"
                else:
                    with pytest.raises(PaymentOverError) as over:
                        ask()
                    assert over.value.paid is paid and name in str(over.value)
                    assert agent.signed("EUR") == "0.0001"
                # What this library named, and knows nothing of any more.
                with pytest.raises(PaymentOverError):
                    ask("tly_" + "0" * 32)
            agent.close()


def test_the_facilitator_is_away(engine: Engine) -> None:
    away = [False]
    with between(engine.url, lambda path: "lose call" if away[0] else None) as way, shop(way) as far:
        agent = Agent(engine.key(), engine.url)
        with agent.client() as client:
            assert client.get(far.paid).status_code == 200
            away[0] = True
            assert client.get(far.paid).status_code in (402, 500, 502)
            away[0] = False
            assert client.get(far.paid).status_code == 200
        assert agent.signed("EUR") == "0.0002"


def test_the_engine_is_killed_between_verify_and_settle(engine: Engine) -> None:
    kills = [1]

    def during() -> None:
        if kills:
            kills.pop()
            engine.end(signal.SIGKILL)
            engine.start()

    with shop(engine.url, during) as far:
        agent = Agent(engine.key(), engine.url)
        with agent.client(timeout=60) as client:
            assert client.get(far.paid).status_code == 200
        assert agent.signed("EUR") == "0.0001"


def test_the_books(engine: Engine, store: Shop) -> None:
    engine.owed()
    agent = Agent(engine.key(), engine.url)
    with agent.client() as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.get(store.paid), range(50)))
    assert all(answer.status_code == 200 for answer in answers)
    assert engine.owed() == 50 * 100
