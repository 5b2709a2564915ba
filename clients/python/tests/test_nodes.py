"""Clients of several addresses: they find the owner, go on when it changes, lose nothing and count nothing twice."""
from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from cluster import DEADLINE, Cluster, until

from tallystick import AgentKey, Channel, TallystickError, Voucher
from tallystick.connect import connect
from tallystick.facilitator import CREDITED, STALE, Facilitator
from tallystick.nodes import TRIES, NoOwnerError, _Calls, addresses, place
from tallystick.operator import Operator
from tallystick.token import KeyFile
from tallystick.v1 import operator_pb2, operator_pb2_grpc, vouchers_pb2, vouchers_pb2_grpc


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    found = Cluster(3)
    yield found
    found.end()


def vouchers(count: int) -> list[Voucher]:
    key, channel = AgentKey.generate(), Channel(b"\5" * 32, 978, 1, 2_000_000_000)
    return [key.voucher(b"\7" * 32, channel, total) for total in range(1, count + 1)]


def test_the_owner_is_found_behind_a_dead_address_and_a_standby(cluster: Cluster) -> None:
    cluster.owner = 2
    dead = socket.socket()
    dead.bind(("127.0.0.1", 0))
    operator = Operator([f"127.0.0.1:{dead.getsockname()[1]}", *cluster.addresses])
    assert operator.close_window().number == 1
    assert operator.obligations(1, 978) == {(b"\1" * 32, b"\2" * 32): 7}
    assert [cluster.count(node, "GetNetwork") for node in range(3)] == [1, 0, 1], "a standby names the owner"
    assert {node for node, call in cluster.calls if call != "GetNetwork"} == {2}, "and gets nothing else"
    operator.close()
    dead.close()


def test_one_that_accepts_and_never_answers_holds_up_nobody_for_long(cluster: Cluster) -> None:
    cluster.owner = 0
    with socket.create_server(("127.0.0.1", 0)) as hole:
        operator = Operator(f"127.0.0.1:{hole.getsockname()[1]},{','.join(cluster.addresses)}")
        assert operator.close_window().number == 1
        operator.close()


def test_an_owner_outside_of_the_list_is_left_alone_and_named_at_the_end_of_the_wait(
        cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("tallystick.nodes.OWNER_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        stranger.setblocking(False)
        cluster.names = f"127.0.0.1:{stranger.getsockname()[1]}"
        operator = Operator(cluster.addresses)
        says = "is not among your addresses, so nothing was sent there: add it"
        with pytest.raises(NoOwnerError, match=says):
            operator.close_window("a")
        assert cluster.count(1, "GetNetwork") > 1, "it may be dead, and one of these the next"
        facilitator = Facilitator(cluster.addresses)
        with facilitator.stream() as stream:
            sent = stream.send(vouchers(1))
            until(lambda: says in caplog.text)
            cluster.owner, cluster.names = 1, ""
            assert sent.result(DEADLINE).outcomes == (CREDITED,), "a stream goes on trying"
        with pytest.raises(BlockingIOError):
            stranger.accept()
        facilitator.close()
        operator.close()


def test_while_all_stand_by_an_owner_is_waited_for_as_long_as_the_call_may_take(cluster: Cluster) -> None:
    operator = Operator(cluster.addresses)
    request = operator_pb2.CloseWindowRequest(request_id="a")
    with pytest.raises(NoOwnerError, match="knows of no owner") as caught:
        operator.stub.CloseWindow(request, timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    asked = cluster.count(1, "GetNetwork")
    found: list[int] = []
    closing = threading.Thread(target=lambda: found.append(operator.stub.CloseWindow(request).number))
    closing.start()
    until(lambda: cluster.count(1, "GetNetwork") > asked)
    cluster.owner = 1
    closing.join(DEADLINE)
    assert found == [1]
    operator.close()


def test_a_search_leaves_the_calls_of_others_alone(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick.nodes.ASK_SECONDS", 0.1)
    cluster.owner = 0
    channel, _ = connect(cluster.addresses)
    vouchers_stub, stub = vouchers_pb2_grpc.VouchersStub(channel), operator_pb2_grpc.OperatorStub(channel)
    cluster.held = {(0, "GetChannel")}
    found: list[vouchers_pb2.Channel] = []
    reading = threading.Thread(target=lambda: found.append(vouchers_stub.GetChannel(vouchers_pb2.GetChannelRequest())))
    reading.start()
    until(lambda: cluster.count(0, "GetChannel") == 1)
    cluster.held |= {(0, "GetNetwork")}
    cluster.owner = None
    with pytest.raises(NoOwnerError, match="DEADLINE_EXCEEDED"):
        stub.CloseWindow(operator_pb2.CloseWindowRequest(request_id="a"), timeout=1)
    cluster.owner, cluster.held = 0, set()
    reading.join(DEADLINE)
    assert len(found) == 1 and cluster.count(0, "GetChannel") == 1, "answered where it was asked"
    channel.close()


def test_nobody_waits_for_the_search_of_another(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick.nodes.OWNER_SECONDS", DEADLINE)
    cluster.owner = 0
    channel, _ = connect(cluster.addresses)
    stub = operator_pb2_grpc.OperatorStub(channel)
    caught: list[Exception] = []

    def ask(call: Callable[[Any], Any], request: Any) -> threading.Thread:
        def asked() -> None:
            try:
                call(request)
            except Exception as error:
                caught.append(error)

        asking = threading.Thread(target=asked)
        asking.start()
        return asking

    cluster.held = {(0, "CreateConsoleLogin")}
    login = ask(stub.CreateConsoleLogin, operator_pb2.CreateConsoleLoginRequest())
    until(lambda: cluster.count(0, "CreateConsoleLogin") == 1)
    cluster.owner = None
    closing = ask(stub.CloseWindow, operator_pb2.CloseWindowRequest(request_id="a"))
    until(lambda: cluster.count(1, "GetNetwork") > 0)
    cluster.kill(0)
    login.join(DEADLINE)
    assert closing.is_alive() and isinstance(caught[0], grpc.RpcError)
    channel.close()
    closing.join(DEADLINE)
    assert isinstance(caught[1], ValueError), "closed while it looked"


def test_a_call_looks_for_owners_for_so_long_in_all_whatever_its_tries(
        cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.owner, cluster.refuses = 0, True
    channel, _ = connect(cluster.addresses)
    stub = operator_pb2_grpc.OperatorStub(channel)
    lefts: list[float] = []
    look = _Calls._owner

    def looked(self: _Calls, until: float | None, left: float) -> tuple[Any, float]:
        lefts.append(left)
        return look(self, until, left)

    monkeypatch.setattr(_Calls, "_owner", looked)
    with pytest.raises(grpc.RpcError, match="this engine stands by"):
        stub.CloseWindow(operator_pb2.CloseWindowRequest(request_id="a"))
    assert len(lefts) == TRIES and lefts == sorted(set(lefts), reverse=True), "each try has what the one before left"
    channel.close()


def test_a_change_goes_on_at_the_next_owner_and_happens_once(cluster: Cluster) -> None:
    cluster.owner = 0
    operator = Operator(cluster.addresses)
    cluster.silent = {0}
    found: list[int] = []
    closing = threading.Thread(target=lambda: found.append(operator.close_window("once").number))
    closing.start()
    until(lambda: "once" in cluster.changes)
    cluster.owner = 2
    cluster.kill(0)
    closing.join(DEADLINE)
    assert found == [1] and list(cluster.changes) == ["once"]
    assert [cluster.count(node, "CloseWindow") for node in range(3)] == [1, 0, 1]
    operator.close()


def test_what_may_have_arrived_and_has_no_request_id_is_not_sent_again(cluster: Cluster) -> None:
    cluster.owner = 0
    operator = Operator(cluster.addresses)
    login = operator_pb2.CreateConsoleLoginRequest()
    operator.stub.CreateConsoleLogin(login)
    cluster.owner = 1
    assert operator.stub.CreateConsoleLogin(login).code == "c", "who got it stands by: it surely did not arrive"
    cluster.silent = {1}
    caught: list[grpc.RpcError] = []

    def ask() -> None:
        try:
            operator.stub.CreateConsoleLogin(login)
        except grpc.RpcError as error:
            caught.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: cluster.count(1, "CreateConsoleLogin") == 2)
    cluster.owner = 2
    cluster.kill(1)
    asking.join(DEADLINE)
    assert len(caught) == 1 and cluster.count(2, "CreateConsoleLogin") == 0
    assert operator.stub.CreateConsoleLogin(login).code == "c"
    operator.close()


@pytest.mark.parametrize("how", ["it is killed", "it is cut off", "it hands over"])
def test_a_stream_goes_on_when_its_owner_changes(cluster: Cluster, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.owner = 0
    if how == "it is cut off":
        monkeypatch.setattr("tallystick.facilitator.ACK_SECONDS", 1.0)
    facilitator = Facilitator(cluster.addresses)
    signed = vouchers(600)
    with facilitator.stream() as stream:
        futures = [stream.send(signed[first:first + 10]) for first in range(0, 200, 10)]
        futures[-1].result(DEADLINE)
        if how != "it hands over":
            # From here on the owner credits, and its acks are lost.
            cluster.silent = {0}
        futures += [stream.send(signed[first:first + 10]) for first in range(200, 400, 10)]
        until(lambda: len(cluster.credited) > 200)
        cluster.owner = 1
        if how == "it is killed":
            cluster.kill(0)
        futures += [stream.send(signed[first:first + 10]) for first in range(400, 600, 10)]
    outcomes = [outcome for future in futures for outcome in future.result(0).outcomes]
    assert set(outcomes) <= {CREDITED, STALE} and (STALE in outcomes or how == "it hands over")
    assert len(cluster.credited) == len(signed), "nothing is lost"
    assert set(cluster.credited.values()) == {1}, "nothing is doubled"
    facilitator.close()


def test_a_question_of_a_stream_that_is_not_answered_is_asked_elsewhere(
        cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick.facilitator.ACK_SECONDS", 1.0)
    cluster.owner, cluster.known_before = 0, vouchers_pb2.OUTCOME_OVER_LIMIT
    cluster.held = {(0, "Frame"), (0, "GetChannel")}
    facilitator = Facilitator(cluster.addresses)
    with facilitator.stream() as stream:
        sent = stream.send(vouchers(1))
        until(lambda: cluster.count(0, "Frame") == 2)
        # Its ack was lost. Sent again, it is refused: what the channel holds is asked for, and never answered.
        cluster.held = {(0, "GetChannel")}
        until(lambda: cluster.count(0, "GetChannel") == 1)
        cluster.owner = 1
        assert sent.result(DEADLINE).outcomes == (CREDITED,)
    assert set(cluster.credited.values()) == {1}
    facilitator.close()


def test_a_token_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick.connect.NETWORK_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hole:
        facilitator = Facilitator(f"127.0.0.1:{hole.getsockname()[1]}", KeyFile("a", "11" * 32))
        with pytest.raises(grpc.RpcError) as caught:
            facilitator.total(b"\1" * 32, Channel(b"\5" * 32, 978, 1, 2_000_000_000))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        facilitator.close()


def test_addresses_are_a_list_or_a_text_and_all_speak_tls_or_none() -> None:
    assert addresses("a:1, b:2,a:1") == addresses(["a:1", "b:2"]) == ["a:1", "b:2"]
    assert addresses("https://a:1,b:2") == ["https://a:1", "https://b:2"]
    assert place("HTTPS://A.example:1/") == place("a.example:1") and place("a") == "a:7450" and place("[::1]") == "[::1]:7450"
    wrong: list[str | list[str]] = ["", "a:1,", [], "https://a:1,http://b:2"]
    for bad in wrong:
        with pytest.raises(TallystickError):
            addresses(bad)
    with pytest.raises(TallystickError, match="under TLS only"):
        connect("127.0.0.1:1,10.0.0.1:1", "tsk_key")


def test_an_address_without_a_port_is_that_of_an_engine(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.owner = 0
    monkeypatch.setattr("tallystick.nodes.PORT", int(cluster.addresses[0].rpartition(":")[2]))
    for server in ("127.0.0.1", "http://127.0.0.1/", f"127.0.0.1,{cluster.addresses[1]}"):
        operator = Operator(server, "tsk_key")
        assert operator.close_window("a").number == 1
        operator.close()
