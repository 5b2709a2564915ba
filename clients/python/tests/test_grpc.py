"""Streams and operators' calls, on the real engine."""
from __future__ import annotations

import json
import pathlib
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator

import grpc
import httpx
import pytest
from engine import Engine
from generate import current, generate

from tallystick import AgentKey, Asset, Channel, TallystickError, Voucher, read_credential
from tallystick.facilitator import CREDITED, STALE, Ack, Facilitator, _Frame, outcome_name
from tallystick.operator import Operator
from tallystick.token import bearer

BUYER, SHOP = b"\x01" * 32, b"\x02" * 32


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    found = Engine(tmp_path_factory.mktemp("engine")).start()
    yield found
    found.end()


@pytest.fixture(scope="module")
def operator(engine: Engine) -> Iterator[Operator]:
    found = Operator(engine.grpc)
    found.add_asset(Asset("EUR", 978, 6))
    assert found.put_party(BUYER, "Buyer").name == "Buyer"
    found.put_party(SHOP, "Shop")
    found.set_limit(BUYER, 978, 10**12)
    yield found
    found.close()


@pytest.fixture(scope="module")
def key(operator: Operator) -> AgentKey:
    key = AgentKey.generate()
    operator.add_signer(BUYER, key.signer)
    return key


def vouchers(network: bytes, key: AgentKey, lane: int, totals: range) -> list[Voucher]:
    channel = Channel(SHOP, 978, lane, (int(time.time()) // 86_400 + 2) * 86_400)
    return [key.voucher(network, channel, total) for total in totals]


def test_the_stubs_are_what_proto_says(tmp_path: pathlib.Path) -> None:
    assert generate(tmp_path) == current(), "run clients/python/tests/generate.py"


def test_frames_and_questions(engine: Engine, operator: Operator, key: AgentKey) -> None:
    facilitator = Facilitator(engine.grpc)
    network = facilitator.network()
    assert network.id == operator.status().network_id and network.asset("EUR").scale == 6
    one, two = vouchers(network.id, key, 1, range(5, 15, 5))
    assert facilitator.total(key.signer, one.channel) is None
    assert facilitator.submit([one, two]).outcomes == (CREDITED, CREDITED)
    assert facilitator.submit([one]).outcomes == (STALE,)
    assert facilitator.total(key.signer, one.channel) == 10
    assert b"signature" in facilitator.receipt(key.signer, one.channel)
    room, = facilitator.headroom(978, [key.signer])
    assert room.beyond == "over_limit" and 0 < room.left < 10**12
    strange = AgentKey.generate().voucher(network.id, one.channel, 5)
    assert [outcome_name(one) for one in facilitator.submit([strange]).outcomes] == ["unknown_signer"]
    assert outcome_name(99) == "outcome_99"
    with pytest.raises(ValueError, match="a frame is 1 to"):
        facilitator.submit([])
    facilitator.close()


def test_a_stream_takes_more_than_flow_control_holds(engine: Engine, operator: Operator, key: AgentKey) -> None:
    facilitator = Facilitator(engine.grpc)
    signed = vouchers(facilitator.network().id, key, 2, range(1, 20_001))
    with facilitator.stream() as stream:
        futures = [stream.send(signed[first:first + 100]) for first in range(0, len(signed), 100)]
    assert all(future.result(0).outcomes == (CREDITED,) * 100 for future in futures)
    assert facilitator.total(key.signer, signed[0].channel) == 20_000
    facilitator.close()


def test_a_stream_outlives_its_connections(engine: Engine, operator: Operator, key: AgentKey) -> None:
    """Through a way that is cut again and again, at seeded points."""
    chance = random.Random(7)
    listener = socket.create_server(("127.0.0.1", 0))
    host, _, port = engine.grpc.rpartition(":")
    is_over = threading.Event()

    def pump(source: socket.socket, sink: socket.socket, left: int) -> None:
        try:
            while (data := source.recv(min(65_536, max(left, 1)))) and left > 0:
                sink.sendall(data)
                left -= len(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept() -> None:
        while not is_over.is_set():
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection((host, int(port)))
            for source, sink, left in ((near, far, chance.randrange(20_000, 400_000)), (far, near, 1 << 30)):
                threading.Thread(target=pump, args=(source, sink, left), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    facilitator = Facilitator(f"127.0.0.1:{listener.getsockname()[1]}")
    near = Facilitator(engine.grpc)
    signed = vouchers(near.network().id, key, 3, range(1, 10_001))
    with facilitator.stream() as stream:
        futures = [stream.send(signed[first:first + 50]) for first in range(0, len(signed), 50)]
    outcomes = [outcome for future in futures for outcome in future.result(0).outcomes]
    assert set(outcomes) == {CREDITED, STALE}, "some were sent again"
    assert near.total(key.signer, signed[0].channel) == 10_000
    is_over.set()
    listener.close()
    facilitator.close()
    near.close()


def test_a_stream_outlives_the_engine(engine: Engine, operator: Operator, key: AgentKey) -> None:
    facilitator = Facilitator(engine.grpc)
    signed = vouchers(facilitator.network().id, key, 4, range(1, 6_001))
    with facilitator.stream() as stream:
        futures = []
        for first in range(0, len(signed), 100):
            futures.append(stream.send(signed[first:first + 100]))
            if first == 3_000:
                futures[5].result(60)
                engine.end(signal.SIGKILL)
                engine.start()
    outcomes = [outcome for future in futures for outcome in future.result(0).outcomes]
    assert set(outcomes) <= {CREDITED, STALE}
    assert facilitator.total(key.signer, signed[0].channel) == 6_000
    facilitator.close()


def test_what_was_credited_before_the_key_was_revoked_counts(engine: Engine, operator: Operator) -> None:
    key = AgentKey.generate()
    operator.add_signer(BUYER, key.signer)
    facilitator = Facilitator(engine.grpc)
    one, two = vouchers(facilitator.network().id, key, 5, range(10, 30, 10))
    with facilitator.stream() as stream:
        assert stream.send([one]).result(60).outcomes == (CREDITED,)
        operator.revoke_signer(key.signer)
        # As after a lost ack: the frame was sent before.
        ack = stream._judged(_Frame(one.packed() + two.packed()), Ack(1, (19, 19)))
        assert [outcome_name(each) for each in ack.outcomes] == ["credited", "revoked_signer"]
        assert [outcome_name(each) for each in stream.send([two]).result(60).outcomes] == ["revoked_signer"]
    facilitator.close()


def test_trouble_that_stays_ends_the_stream(engine: Engine, operator: Operator, key: AgentKey) -> None:
    facilitator = Facilitator(engine.grpc, "tsk_wrong")
    stream = facilitator.stream()
    future = stream.send([bytes(160)])
    with pytest.raises(TallystickError, match="UNAUTHENTICATED"):
        future.result(60)
    with pytest.raises(TallystickError, match="the stream has ended"):
        stream.send([bytes(160)])
    stream.close()
    facilitator.close()


def test_the_books(operator: Operator) -> None:
    window = operator.close_window()
    owed = operator.obligations(window.number, 978)
    assert owed == {(BUYER, SHOP): 10 + 20_000 + 10_000 + 6_000 + 10}
    with pytest.raises(grpc.RpcError):
        operator.obligations(window.number + 9, 978)


def test_a_key_file_of_an_identity_says_who_calls(tmp_path: pathlib.Path) -> None:
    """It was read as if the name stood under another word than `tallystick access keygen` writes."""
    engine = Engine(tmp_path).start()
    try:
        kept, ann = tmp_path / "shop.json", tmp_path / "ann.key"
        [made] = engine.cli("access", "keygen", "--name", "shop", "--out", str(kept))
        [operator] = engine.cli("access", "add", "--name", "ann", "--role", "operator")
        ann.write_text(operator["key"])
        engine.cli("access", "add", "--name", "shop", "--role", "facilitator", "--public-key", made["public_key"],
                   "--token-file", str(ann))
        ask, network = f"http://{engine.http}/status/{'x' * 16}", bytes.fromhex(json.loads(kept.read_text())["network_id"])
        assert httpx.get(ask).status_code == 401
        header = bearer(read_credential(str(kept)), lambda: network)()
        assert httpx.get(ask, headers={"authorization": header}).status_code == 200
        kept.write_text('{"name": "shop", "secret": "00"}')
        with pytest.raises(TallystickError, match="shop.json is no key of an identity"):
            read_credential(str(kept))
        assert read_credential(str(ann)) == operator["key"]
    finally:
        engine.end()
