"""What a litmus program of the pool consists of, and how its orders are weakened."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator
from typing import Any

from rc11 import Fence, Load, Order, Outcome, Program, Step, Store, Thread

Run = Generator[Step, Any, Any]
Orders = dict[str, Order]

PLAIN, RLX, ACQ, REL = Order.PLAIN, Order.RELAXED, Order.ACQUIRE, Order.RELEASE
ACQ_REL, SC, NONE = Order.ACQ_REL, Order.SEQ_CST, Order.NONE

# One step weaker, by what stands there.
WEAKER: dict[str, dict[Order, tuple[Order, ...]]] = {
    "load": {SC: (ACQ,), ACQ: (RLX,), RLX: (PLAIN,)},
    "store": {SC: (REL,), REL: (RLX,), RLX: (PLAIN,)},
    "rmw": {SC: (ACQ_REL,), ACQ_REL: (ACQ, REL), ACQ: (RLX,), REL: (RLX,)},
    "fence": {SC: (ACQ_REL,), ACQ_REL: (NONE,), ACQ: (NONE,), REL: (NONE,)},
}


@dataclasses.dataclass(frozen=True)
class Site:
    """An access of the engine that the program mirrors: its order, and where it stands."""

    kind: str
    order: Order
    file: str  # in engine/shm
    code: str  # stands there, but for white space; the order is part of it


def load(order: Order, file: str, code: str) -> Site:
    return Site("load", order, file, code)


def store(order: Order, file: str, code: str) -> Site:
    return Site("store", order, file, code)


def rmw(order: Order, file: str, code: str) -> Site:
    return Site("rmw", order, file, code)


def fence(order: Order, file: str, code: str) -> Site:
    return Site("fence", order, file, code)


@dataclasses.dataclass(frozen=True)
class Litmus:
    """A piece of the protocol, and what must hold in every execution of it."""

    name: str
    claim: str
    sites: dict[str, Site]
    threads: Callable[[Orders], list[Thread]]
    holds: Callable[[Outcome], bool]
    # Something that must be possible, or the claim would say nothing.
    reaches: Callable[[Outcome], bool]
    init: dict[str, int] = dataclasses.field(default_factory=dict)
    # The weakest orders of a site with which the claim still holds, where they are not the code's own: here the
    # code is stronger than this claim needs. All that is weaker than these must break the claim.
    enough: dict[str, tuple[Order, ...]] = dataclasses.field(default_factory=dict)
    # Ways to get it wrong that are no single order: each must break the claim.
    wrong: dict[str, Callable[[Orders], list[Thread]]] = dataclasses.field(default_factory=dict)
    wrong_orders: dict[str, Orders] = dataclasses.field(default_factory=dict)

    def orders(self, changed: Orders | None = None) -> Orders:
        return {name: site.order for name, site in self.sites.items()} | (changed or {})

    def program(self, changed: Orders | None = None) -> Program:
        return Program(self.threads(self.orders(changed)), self.init)


def weakest(kind: str, order: Order, holds: Callable[[Order], bool]) -> Iterator[Order]:
    """The weakest orders from `order` down that hold, going down only where it holds."""
    good = [weaker for weaker in WEAKER[kind].get(order, ()) if holds(weaker)]
    if not good:
        yield order
    for weaker in good:
        yield from weakest(kind, weaker, holds)


# ---- What the kernel does: its own store, fence and load (futex_wait, futex_wake) ----


def futex_wait(queue: str, word: str, seen: int) -> Run:
    """True: asleep. The sleeper stands in the queue before the kernel compares the word."""
    yield Store(queue, 1, RLX)
    yield Fence(SC)
    return (yield Load(word, RLX)) == seen


def futex_wake(queue: str) -> Run:
    """True: whoever sleeps there wakes."""
    yield Fence(SC)
    return (yield Load(queue, RLX)) == 1
