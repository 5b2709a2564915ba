"""Lanes and their file, without an engine: what is durable when, and what a lane is after a crash."""
from __future__ import annotations

import itertools
import pathlib
import random
import shutil
import threading
import time

import pytest

from tallystick import FileLanes, LaneStore, MemoryLanes, TallystickError
from tallystick.lanes import Lanes, Over, Payment

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
    assert not lanes.is_void(payment), "a copy of it may still be on its way"
    again = take(lanes)
    assert (again.total, lanes.signed(978)) == (5, 5)
    lanes.known(payment, 0)  # a word about the first that comes late does not end the second
    assert lanes.count()["out"] == 1


def test_a_payment_is_void_once_nothing_can_charge_it_any_more(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "agent.lanes"
    lanes = opened(FileLanes(path))
    first = take(lanes, 5, "the_first_one_001")
    lanes.doubt(first)
    lanes.answered([first], [0])
    second = take(lanes, 5, "the_second_one_01")
    assert (second.lane, second.total) == (first.lane, first.total), "the very same voucher"
    assert not lanes.is_void(first, True) and not lanes.is_void(second, True), "each can be charged still"
    lanes.known(second, 5)
    assert not lanes.is_void(first) and not lanes.is_void(second), "one of them was, nobody knows which"
    assert lanes.is_void(first, True) and not lanes.is_void(second, True), "never both"
    lanes.close()
    lanes = opened(FileLanes(path))
    first, second = (lanes.payment(name) or pytest.fail() for name in ("the_first_one_001", "the_second_one_01"))
    assert lanes.is_void(first) and not lanes.is_void(second, True)
    # What the engine said of one payment is known of its rivals.
    third = take(lanes, 3, "the_third_one_001")
    lanes.known(third, 5)
    fourth = take(lanes, 3, "the_fourth_one_01")
    lanes.paid(fourth)
    lanes.close()
    lanes = opened(FileLanes(path))
    third, fourth = (lanes.payment(name) or pytest.fail() for name in ("the_third_one_001", "the_fourth_one_01"))
    assert lanes.is_void(third) and fourth.paid and not lanes.is_void(fourth, True)
    # The total passed what it builds on by less than its amount.
    fifth = take(lanes, 9, "the_fifth_one_001")
    lanes.known(fifth, 8)
    lanes.paid(take(lanes, 1))
    assert fifth.base == 8 and lanes.is_void(fifth)
    lanes.close()


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_lost_no_job_is_charged_twice_and_each_comes_to_its_end(seed: int, tmp_path: pathlib.Path) -> None:
    """Against a model of the engine: vouchers arrive late, more than once, or never; answers are lost; the agent is killed."""
    pick = random.Random(seed)
    path = tmp_path / "agent.lanes"
    lanes = opened(FileLanes(path), most=3)
    totals: dict[int, int] = {}
    charged: dict[str, int] = {}  # how often, by identifier
    ids: dict[str, list[str]] = {f"job_number_{at:05}": [] for at in range(12)}
    done: set[str] = set()
    under_way: list[tuple[str, Payment]] = []

    def arrive(payment: Payment) -> bool:
        """The engine's whole rule. Whether it was charged under its identifier, now or before."""
        lane = payment.lane.channel.lane
        if payment.id not in charged and totals.get(lane, 0) == payment.base:
            totals[lane] = payment.total
            charged[payment.id] = charged.get(payment.id, 0) + 1
        return payment.id in charged

    def current(job: str) -> Payment | None:
        known = lanes.payment(ids[job][-1]) if ids[job] else None
        return None if known is None or lanes.is_void(known) else known

    def step(job: str, is_quiet: bool) -> None:
        payment = current(job)
        if payment is None:
            asked = lanes.in_doubt(99)
            lanes.answered(asked, [totals.get(one.lane.channel.lane, 0) for one in asked])
            name = f"{job}-{len(ids[job]) + 1}"
            payment = lanes.take(PAYEE, 978, pick.choice((3, 5)), name, 60, lambda more: None)
            if payment is None:
                return
            ids[job].append(name)
        else:
            lanes.again(payment, 60)
        if not is_quiet and pick.random() < 0.4:
            under_way.append((job, payment))  # late, or never
            lanes.doubt(payment)
            return
        is_charged = arrive(payment)
        held = totals.get(payment.lane.channel.lane, 0)
        if not is_quiet and pick.random() < 0.4:
            lanes.doubt(payment)
        elif is_charged:
            lanes.paid(payment)
            done.add(job)
        else:
            lanes.known(payment, held)
            lanes.is_void(payment, held >= payment.total)

    for _ in range(120):
        what = pick.random()
        if what < 0.1:
            lanes.close()
            lanes = opened(FileLanes(path), most=3)
            under_way = [(job, lanes.payment(one.id) or one) for job, one in under_way]
        elif what < 0.3 and under_way:
            arrive(under_way.pop(pick.randrange(len(under_way)))[1])
        else:
            step(pick.choice([job for job in ids if job not in done] or list(ids)), False)
    for _ in range(60):
        for job in ids:
            if job not in done:
                step(job, True)
    for _, payment in under_way:
        arrive(payment)
    assert done == set(ids)
    for job, names in ids.items():
        assert sum(charged.get(name, 0) for name in names) == 1, (job, names)
    lanes.close()


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


def test_after_a_write_that_failed_nothing_is_paid_from_the_file(tmp_path: pathlib.Path) -> None:
    path, lines = tmp_path / "agent.lanes", [{"void": "one"}]
    store = FileLanes(path)
    store.open(NETWORK, SIGNER)
    store.rewrite(lines)
    in_the_way = path.with_name("agent.lanes.tmp")
    in_the_way.mkdir()
    with pytest.raises(IsADirectoryError):
        store.rewrite([{"void": "two"}])
    in_the_way.rmdir()
    with pytest.raises(IsADirectoryError):
        store.append({"void": "three"}, True)
    store.close()
    store = FileLanes(path)
    assert store.open(NETWORK, SIGNER) == lines
    store.rewrite(lines)
    store.close()


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
        assert three and three.void and not three.paid
        one = lanes.payment("payment_one_0001")
        assert one and one.paid and not one.void
        assert lanes.payment("over_long_ago_01") is None
        assert lanes.over("order_of_last_year-1_") == Over(paid=True, void=False)
        assert lanes.over("order_of_last_year-2_") == Over(paid=False, void=False)
        assert lanes.over("order_of_long_ago-1__") == Over(paid=False, void=True)
        assert lanes.over("over_long_ago_01") == Over(paid=False, void=False)  # its channel is over
        lanes.close()


def test_a_file_of_version_1_is_taken_up_and_written_as_version_2(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "agent.lanes"
    opened(FileLanes(path)).close()
    text = path.read_text()
    assert "lanes 2" in text
    path.write_text(text.replace("lanes 2", "lanes 1"))
    opened(FileLanes(path)).close()
    assert path.read_text() == text
    path.write_text(text.replace("lanes 2", "lanes 3"))
    with pytest.raises(TallystickError, match="another key or network"):
        opened(FileLanes(path))


def test_what_was_signed_on_a_channel_that_is_over_is_remembered_by_its_name(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "agent.lanes"
    names = ["paid-1", "lost-1", "void-1", "tly_" + "a" * 32, "tly_" + "b" * 32]
    lanes = opened(FileLanes(path))
    paid, _, void, unnamed, _ = [take(lanes, 5, name) for name in names]
    lanes.paid(paid)
    lanes.paid(unnamed)
    lanes.known(void, 2)  # the channel went on by less than this payment: it can never count
    lanes.close()
    for _ in range(2):
        later = Lanes(FileLanes(path), NETWORK, SIGNER, 9, True, now=lambda: time.time() + 30 * 86_400)
        assert later.payment("lost-1") is None
        assert [later.over(name) for name in names] == [
            Over(paid=True, void=False), Over(paid=False, void=False), Over(paid=False, void=True), None,
            Over(paid=False, void=False)]
        assert later.signed(978) == 25
        later.close()
