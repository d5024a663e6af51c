"""The checker itself: litmus tests of the literature, with what RC11 allows and forbids."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
from rc11 import (
    Choose,
    Fence,
    Load,
    Order,
    Outcome,
    Program,
    Rmw,
    Step,
    Store,
    Thread,
    Wait,
    outcomes,
    violation,
)

PLAIN, RLX, ACQ, REL = Order.PLAIN, Order.RELAXED, Order.ACQUIRE, Order.RELEASE
ACQ_REL, SC = Order.ACQ_REL, Order.SEQ_CST


def thread(*steps: Step) -> Thread:
    """Runs the steps; its result is what its reads gave."""

    def run() -> Generator[Step, Any, Any]:
        values = []
        for step in steps:
            value = yield step
            if isinstance(step, Load | Rmw | Wait):
                values.append(value)
        return tuple(values)

    return run


def add(place: str, order: Order) -> Rmw:
    return Rmw(place, lambda value: value + 1, order)


def results(*threads: Thread) -> set[Any]:
    return {o.returned for o in outcomes(Program(list(threads)))}


def store_buffering(write: Order, read: Order, fence: Order = Order.NONE) -> bool:
    a = thread(Store("x", 1, write), Fence(fence), Load("y", read))
    b = thread(Store("y", 1, write), Fence(fence), Load("x", read))
    return ((0,), (0,)) in results(a, b)


@pytest.mark.parametrize(
    ("write", "read", "fence", "allowed"),
    [
        (RLX, RLX, Order.NONE, True),
        (REL, ACQ, Order.NONE, True),
        (SC, ACQ, Order.NONE, True),
        (REL, SC, Order.NONE, True),
        (SC, SC, Order.NONE, False),
        (RLX, RLX, ACQ_REL, True),
        (RLX, RLX, SC, False),
    ],
)
def test_store_buffering(write: Order, read: Order, fence: Order, allowed: bool) -> None:
    assert store_buffering(write, read, fence) is allowed


def test_store_buffering_with_exchanges_needs_seq_cst_too() -> None:
    def weak(order: Order) -> bool:
        a = thread(add("x", order), Load("y", SC))
        b = thread(add("y", order), Load("x", SC))
        return ((0, 0), (0, 0)) in results(a, b)

    assert weak(ACQ_REL)
    assert not weak(SC)


def test_store_buffering_with_one_fence_is_not_enough() -> None:
    a = thread(Store("x", 1, RLX), Fence(SC), Load("y", RLX))
    b = thread(Store("y", 1, REL), Load("x", ACQ))
    assert ((0,), (0,)) in results(a, b)


@pytest.mark.parametrize(
    ("write", "read", "allowed"),
    [(RLX, RLX, True), (REL, RLX, True), (RLX, ACQ, True), (REL, ACQ, False), (SC, SC, False)],
)
def test_message_passing(write: Order, read: Order, allowed: bool) -> None:
    a = thread(Store("data", 1, RLX), Store("flag", 1, write))
    b = thread(Load("flag", read), Load("data", RLX))
    assert (((), (1, 0)) in results(a, b)) is allowed


def test_message_passing_with_fences() -> None:
    a = thread(Store("data", 1, RLX), Fence(REL), Store("flag", 1, RLX))
    b = thread(Load("flag", RLX), Fence(ACQ), Load("data", RLX))
    assert ((), (1, 0)) not in results(a, b)
    without = thread(Load("flag", RLX), Load("data", RLX))
    assert ((), (1, 0)) in results(a, without)


def test_a_release_store_does_not_order_what_comes_after_it() -> None:
    """The mistake of a seqlock whose writer has no fence behind its first store."""
    a = thread(Store("sequence", 1, REL), Store("data", 1, RLX))
    b = thread(Load("data", RLX), Fence(ACQ), Load("sequence", RLX))
    assert ((), (1, 0)) in results(a, b)
    fenced = thread(Store("sequence", 1, REL), Fence(REL), Store("data", 1, RLX))
    assert ((), (1, 0)) not in results(fenced, b)


def test_load_buffering_is_not_out_of_thin_air() -> None:
    a = thread(Load("x", RLX), Store("y", 1, RLX))
    b = thread(Load("y", RLX), Store("x", 1, RLX))
    assert ((1,), (1,)) not in results(a, b)


def test_independent_readers_of_independent_writers() -> None:
    def disagree(read: Order, fence: Order = Order.NONE, write: Order = REL) -> bool:
        found = results(
            thread(Store("x", 1, write)),
            thread(Store("y", 1, write)),
            thread(Load("x", read), Fence(fence), Load("y", read)),
            thread(Load("y", read), Fence(fence), Load("x", read)),
        )
        return ((), (), (1, 0), (1, 0)) in found

    assert disagree(ACQ)
    assert disagree(SC)  # the writes are not seq_cst
    assert not disagree(SC, write=SC)
    assert not disagree(ACQ, SC)


def test_read_to_write_causality_needs_both_fences() -> None:
    def lost(first: Order, second: Order) -> bool:
        a = thread(Store("x", 1, RLX))
        b = thread(Load("x", RLX), Fence(first), Load("y", RLX))
        c = thread(Store("y", 1, RLX), Fence(second), Load("x", RLX))
        return ((), (1, 0), (0,)) in results(a, b, c)

    assert not lost(SC, SC)
    assert lost(ACQ_REL, SC)
    assert lost(SC, ACQ_REL)


def test_a_fence_stands_against_seq_cst_accesses() -> None:
    a = thread(Store("x", 1, SC), Load("y", SC))
    b = thread(Store("y", 1, RLX), Fence(SC), Load("x", RLX))
    assert ((0,), (0,)) not in results(a, b)


def test_two_writes_each() -> None:
    def crossed(order: Order) -> bool:
        a = thread(Store("x", 1, order), Store("y", 2, order))
        b = thread(Store("y", 1, order), Store("x", 2, order))
        finals = [o.final for o in outcomes(Program([a, b]))]
        return {"x": 1, "y": 1} in finals

    assert crossed(REL)
    assert not crossed(SC)


def test_coherence() -> None:
    writer = thread(Store("x", 1, RLX), Store("x", 2, RLX))
    reader = thread(Load("x", RLX), Load("x", RLX))
    found = {b for _, b in results(writer, reader)}
    assert found == {(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)}
    both = thread(Store("x", 3, RLX), Load("x", RLX))
    assert {b for _, b in results(writer, both)} == {(3,), (1,), (2,)}
    readers = results(thread(Store("x", 1, RLX)), thread(Store("x", 2, RLX)), reader, reader)
    assert ((), (), (1, 2), (2, 1)) not in readers


def test_causality_goes_through_a_third_thread() -> None:
    def lost(write: Order, read: Order) -> bool:
        a = thread(Store("x", 1, RLX))
        b = thread(Load("x", read), Store("y", 1, write))
        c = thread(Load("y", read), Load("x", RLX))
        return ((), (1,), (1, 0)) in results(a, b, c)

    assert lost(RLX, ACQ)
    assert not lost(REL, ACQ)  # coherence: b has read x, and c knows it

    a = thread(Store("x", 1, RLX), Store("y", 1, REL))
    b = thread(Load("y", ACQ), Store("z", 1, REL))
    c = thread(Load("z", ACQ), Load("x", RLX))
    assert ((), (1,), (1, 0)) not in results(a, b, c)


def test_seq_cst_mixed_with_less_is_no_total_order() -> None:
    """Z6.U of the paper: allowed, since a seq_cst store that others acquire is only a release."""
    a = thread(Store("x", 1, SC), Store("y", 1, REL))
    b = thread(add("y", SC), Load("y", RLX))
    c = thread(Store("y", 3, SC), Load("x", SC))
    found = [o for o in outcomes(Program([a, b, c])) if o.returned[1][0] == 1]
    assert any(o.returned == ((), (1, 3), (0,)) for o in found)


def test_no_increment_is_lost() -> None:
    one = thread(add("x", RLX))
    assert {o.final["x"] for o in outcomes(Program([one, one, one]))} == {3}


def test_a_compare_exchange_is_won_once() -> None:
    def take() -> Generator[Step, Any, Any]:
        was = yield Rmw("x", lambda value: 1 if value == 0 else None, RLX)
        return was == 0

    found = {o.returned for o in outcomes(Program([take, take]))}
    assert found == {(True, False), (False, True)}


def test_release_sequences_go_on_through_exchanges_only() -> None:
    reader = thread(Wait("flag", bool, ACQ), Load("data", RLX))
    head = thread(Store("data", 1, RLX), Store("flag", 1, REL))
    middle = thread(add("flag", RLX))
    assert ((), (1,), (2, 0)) not in results(head, middle, reader)
    own = thread(Store("data", 1, RLX), Store("flag", 1, REL), Store("flag", 2, RLX))
    assert ((), (2, 0)) in results(own, reader)  # as in C++20


def test_a_store_of_another_ends_a_release_sequence() -> None:
    head = thread(Store("data", 1, RLX), Store("flag", 1, REL))
    other = thread(Load("flag", RLX), Store("flag", 2, RLX))
    reader = thread(Load("flag", ACQ), Load("data", RLX))
    assert ((), (1,), (2, 0)) in results(head, other, reader)


def test_data_races() -> None:
    def races(write: Order, read: Order) -> bool:
        a = thread(Store("data", 1, PLAIN), Store("flag", 1, write))
        b = thread(Wait("flag", bool, read), Load("data", PLAIN))
        return violation(Program([a, b]), lambda o: True) is not None

    assert races(RLX, ACQ)
    assert races(REL, RLX)
    assert not races(REL, ACQ)


def test_an_atomic_store_races_with_a_plain_load_but_two_loads_do_not() -> None:
    def races(*threads: Thread) -> bool:
        return violation(Program(list(threads)), lambda o: True) is not None

    assert races(thread(Store("x", 1, RLX)), thread(Load("x", PLAIN)))
    assert not races(thread(Load("x", PLAIN)), thread(Load("x", PLAIN)))


def test_a_wait_that_nobody_ends_and_a_choice() -> None:
    stuck = list(outcomes(Program([thread(Wait("x", bool, ACQ))])))
    assert [o.returned for o in stuck] == [(None,)]

    def choose() -> Generator[Step, Any, Any]:
        return (yield Choose(3))

    assert {o.returned for o in outcomes(Program([choose]))} == {(0,), (1,), (2,)}


def test_a_violation_comes_with_its_execution() -> None:
    holds: Callable[[Outcome], bool] = lambda o: o.returned != ((), (1, 0))
    a = thread(Store("data", 1, RLX), Store("flag", 1, RLX))
    b = thread(Load("flag", ACQ), Load("data", RLX))
    found = violation(Program([a, b]), holds)
    assert found is not None
    assert found.trace == (
        "0.0 write data = 1 relaxed",
        "0.1 write flag = 1 relaxed",
        "1.0 read flag = 1 acquire",
        "1.1 read data = 0 relaxed",
    )
