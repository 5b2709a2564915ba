"""Lanes and their file, without an engine: what is durable when, and what a lane is after a crash."""
from __future__ import annotations

import itertools
import pathlib
import shutil
import threading

import pytest

from tallystick import FileLanes, LaneStore, MemoryLanes, TallystickError
from tallystick.lanes import Lanes, Payment

NETWORK, SIGNER, PAYEE = b"\x11" * 32, b"\x22" * 32, b"\x33" * 32
IDS = itertools.count()


def opened(store: LaneStore, most: int = 64, can_ask: bool = True) -> Lanes:
    return Lanes(store, NETWORK, SIGNER, most, can_ask)


def take(lanes: Lanes, amount: int = 5, name: str | None = None) -> Payment:
    payment = lanes.take(PAYEE, 978, amount, name or f"test_payment_{next(IDS)}", 60, lambda more: None)
    assert payment
    return payment


def test_side_by_side_a_lane_each_one_after_the_other_the_same() -> None:
    lanes = opened(MemoryLanes())
    side = [take(lanes) for _ in range(32)]
    assert len({payment.lane.channel.lane for payment in side}) == 32
    for payment in side:
        lanes.known(payment, payment.total)
    for _ in range(10):
        payment = take(lanes)
        lanes.known(payment, payment.total)
    assert lanes.count()["free"] == 32
    assert lanes.signed(978) == 5 * 42


def test_beyond_the_most_lanes_there_is_none() -> None:
    lanes = opened(MemoryLanes(), most=1)
    payment = take(lanes)
    assert lanes.take(PAYEE, 978, 5, "another_payment_1", 60, lambda more: None) is None
    lanes.known(payment, 5)
    assert take(lanes).total == 10


def test_a_lane_in_doubt_waits_for_the_engine() -> None:
    lanes = opened(MemoryLanes(), most=1)
    payment = take(lanes)
    lanes.doubt(payment)
    assert lanes.take(PAYEE, 978, 5, "another_payment_2", 60, lambda more: None) is None
    assert lanes.in_doubt(9) == [payment]
    lanes.answered([payment], [5])
    assert take(lanes).total == 10


def test_what_is_refused_leaves_the_lane_as_it_was() -> None:
    lanes = opened(MemoryLanes())

    def refuse(more: int) -> None:
        raise TallystickError("no")

    with pytest.raises(TallystickError, match="no"):
        lanes.take(PAYEE, 978, 5, "refused_payment_1", 60, refuse)
    assert (lanes.signed(978), lanes.count()["free"]) == (0, 1)
    payment = take(lanes)
    lanes.known(payment, 0)
    assert payment.refused
    again = take(lanes)
    assert (again.total, lanes.signed(978)) == (5, 5)
    lanes.known(payment, 0)  # a word about the first that comes late does not end the second
    assert lanes.count()["out"] == 1


def test_the_file_goes_on_where_the_last_process_was_cut_off(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "agent.lanes"
    first = opened(FileLanes(path))
    paid, lost = take(first), take(first, 7, "the_lost_one_0001")
    first.known(paid, paid.total)
    take(first, 1)
    first.close()
    with path.open("a") as file:
        file.write('{"sign":"cut off in the mid')
    second = opened(FileLanes(path), most=2)
    assert second.count() == {"free": 0, "out": 0, "doubt": 2, "left": 0}
    assert second.signed(978) == 13
    kept = second.payment("the_lost_one_0001")
    assert kept and (kept.total, kept.lane.channel) == (7, lost.lane.channel)
    second.close()


def test_the_file_is_one_process_and_one_key_at_a_time(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "agent.lanes"
    lanes = opened(FileLanes(path))
    with pytest.raises(TallystickError, match="is used by process"):
        opened(FileLanes(path))
    lanes.close()
    with pytest.raises(TallystickError, match="another key or network"):
        Lanes(FileLanes(path), b"\x99" * 32, SIGNER, 4, True)
    path.with_name("agent.lanes.lock").write_text("999999999 1\n")
    opened(FileLanes(path)).close()


def test_threads_share_lanes(tmp_path: pathlib.Path) -> None:
    lanes = opened(FileLanes(tmp_path / "agent.lanes"))

    def pay() -> None:
        for _ in range(50):
            payment = take(lanes)
            lanes.known(payment, payment.total)

    threads = [threading.Thread(target=pay) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lanes.signed(978) == 8 * 50 * 5
    assert lanes.count()["free"] <= 8
    lanes.close()


def test_a_file_as_the_javascript_package_writes_it_and_back(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "agent.lanes"
    shutil.copy(pathlib.Path(__file__).parents[3] / "tests" / "vectors" / "agent.lanes", path)
    for _ in range(2):
        lanes = Lanes(FileLanes(path), NETWORK, SIGNER, 4, True, now=lambda: 1_800_000_000)
        assert lanes.count() == {"free": 1, "out": 0, "doubt": 2, "left": 0}
        assert lanes.signed(978) == 70 + 11 + 12 + 4 + 30
        four, three = lanes.payment("payment_four_001"), lanes.payment("payment_three_01")
        assert four and (four.lane.channel.lane, four.lane.held) == (2**64 - 1, 5)
        assert three and three.refused
        assert lanes.payment("over_long_ago_01") is None
        lanes.close()
