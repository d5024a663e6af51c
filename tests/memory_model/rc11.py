"""A small model checker for the C11 memory model, in the repaired form RC11.

A program is a handful of threads, each a generator that yields its accesses and gets back what it
read. `explore` builds every execution graph that RC11 allows (Lahav, Vafeiadis, Kang, Hur, Dreyer:
"Repairing Sequential Consistency in C/C++11", PLDI 2017) and hands each finished one to a visitor:

- sequenced-before with reads-from has no cycle (no values out of thin air): graphs grow along it,
  so a read takes its value from a write that is there already;
- coherence: a new event looks at what happens before it, and neither reads nor writes below that;
- atomicity: nothing comes between a read-modify-write and the write that it read;
- the partial order of the seq_cst events (`psc`) has no cycle: looked at when a graph is finished,
  since every part of a consistent graph is consistent;
- two accesses of one place, one of them a plain write, that nothing orders are a data race.

Release sequences are those of C++20: a later plain store of the same thread does not go on with
one. So whatever holds here holds in C11, which allows less.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Generator, Iterator
from typing import Any

THREAD_EVENTS_MAX = 32


class Order(enum.Enum):
    """Of an access or a fence. PLAIN: not atomic. NONE: the access or fence is left out."""

    NONE = "none"
    PLAIN = "plain"
    RELAXED = "relaxed"
    ACQUIRE = "acquire"
    RELEASE = "release"
    ACQ_REL = "acq_rel"
    SEQ_CST = "seq_cst"

    @property
    def acquires(self) -> bool:
        return self in (Order.ACQUIRE, Order.ACQ_REL, Order.SEQ_CST)

    @property
    def releases(self) -> bool:
        return self in (Order.RELEASE, Order.ACQ_REL, Order.SEQ_CST)


# ---- What a thread may do: `value = yield Load("x", Order.ACQUIRE)` ----


@dataclasses.dataclass(frozen=True)
class Load:
    place: str
    order: Order


@dataclasses.dataclass(frozen=True)
class Wait:
    """Spins until it reads such a value; an execution where none comes ends there.

    What it reads before does not count: that could only order more.
    """

    place: str
    until: Callable[[int], bool]
    order: Order


@dataclasses.dataclass(frozen=True)
class Store:
    place: str
    value: int
    order: Order


@dataclasses.dataclass(frozen=True)
class Rmw:
    """Fetch-and-change; `change` gives the new value, None: a compare-exchange that failed.

    Gives back the value read. `failed`: the order of a failure.
    """

    place: str
    change: Callable[[int], int | None]
    order: Order
    failed: Order = Order.RELAXED


@dataclasses.dataclass(frozen=True)
class Fence:
    order: Order


@dataclasses.dataclass(frozen=True)
class Choose:
    """Any number from 0 to count - 1: where a process is killed, say."""

    count: int


Step = Load | Wait | Store | Rmw | Fence | Choose
Thread = Callable[[], Generator[Step, Any, Any]]


@dataclasses.dataclass(frozen=True)
class Event:
    id: int  # thread * THREAD_EVENTS_MAX + place in the thread
    reads: bool
    writes: bool
    place: str | None  # None: a fence
    order: Order
    value: int  # written; of a read: what it read
    before: int  # bits of all events that happen before it
    synchronizes: int  # of a write: bits of what one who acquires it synchronizes with


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A finished execution."""

    returned: tuple[Any, ...]  # by thread; None of one that waits for ever
    final: dict[str, int]  # last value of each place
    race: str | None  # two plain accesses that nothing orders
    trace: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Graph:
    events: dict[int, Event]
    sources: dict[int, int]  # reads-from
    orders: dict[str, tuple[int, ...]]  # modification order of each place
    sent: tuple[tuple[Any, ...], ...]  # what each thread got back so far
    counts: tuple[int, ...]  # events of each thread
    pending: tuple[int, ...]  # of each thread: what its next acquire fence synchronizes with
    fenced: tuple[int, ...]  # of each thread: its last release fence, -1

    def key(self) -> Any:
        return (
            self.sent,
            tuple(sorted(self.sources.items())),
            tuple(sorted(self.orders.items())),
        )


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class Program:
    """Threads over places that begin with the values of `init` (0 unless named)."""

    def __init__(self, threads: list[Thread], init: dict[str, int] | None = None) -> None:
        self.threads = threads
        self.init = init or {}
        self._next: dict[tuple[int, tuple[Any, ...]], tuple[Step | None, Any]] = {}

    def step(self, thread: int, sent: tuple[Any, ...]) -> tuple[Step | None, Any]:
        """What the thread does after it got these values back: a step, or None and its result."""
        known = self._next.get((thread, sent))
        if known is not None:
            return known
        run = self.threads[thread]()
        found: tuple[Step | None, Any]
        try:
            step = next(run)
            for value in sent:
                step = run.send(value)
            found = (step, None)
        except StopIteration as end:
            found = (None, end.value)
        self._next[thread, sent] = found
        return found


def explore(program: Program) -> Iterator[_Graph]:
    """Every finished graph, coherent and atomic; `consistent` looks at the seq_cst events."""
    count = len(program.threads)
    empty = _Graph({}, {}, {}, ((),) * count, (0,) * count, (0,) * count, (-1,) * count)
    stack, seen = [empty], {empty.key()}
    while stack:
        graph = stack.pop()
        following = _following(program, graph)
        if not following:
            yield graph
        for after in following:
            key = after.key()
            if key not in seen:
                seen.add(key)
                stack.append(after)


def _following(program: Program, graph: _Graph) -> list[_Graph]:
    """The graphs with one event more.

    A store or a fence has no need to wait for another thread, so it is added at once and alone: its
    place in the modification order is open all the same. Reads are added in every order.
    """
    reading = []
    for thread, sent in enumerate(graph.sent):
        step, _ = program.step(thread, sent)
        if isinstance(step, Store):
            return _add_store(program, graph, thread, step)
        if isinstance(step, Fence):
            return [_add_fence(graph, thread, step)]
        if isinstance(step, Choose):
            return [_sent(graph, thread, value) for value in range(step.count)]
        if step is not None:
            reading.append((thread, step))
    return [after for thread, step in reading for after in _add_read(program, graph, thread, step)]


def _replace(values: tuple[Any, ...], at: int, value: Any) -> tuple[Any, ...]:
    return (*values[:at], value, *values[at + 1 :])


def _sent(graph: _Graph, thread: int, value: Any) -> _Graph:
    sent = _replace(graph.sent, thread, (*graph.sent[thread], value))
    return dataclasses.replace(graph, sent=sent)


def _before(graph: _Graph, thread: int) -> int:
    """What happens before the thread's next event, but for what that one synchronizes with."""
    if graph.counts[thread] == 0:
        return 0
    last = thread * THREAD_EVENTS_MAX + graph.counts[thread] - 1
    return graph.events[last].before | 1 << last


def _with(graph: _Graph, mask: int) -> int:
    """The events of `mask` and all that happens before them."""
    for event in _bits(mask):
        mask |= graph.events[event].before
    return mask


def _floor(graph: _Graph, place: str, before: int) -> int:
    """The newest write of the place that is known: its index in the modification order, -1: the initial."""
    order = graph.orders.get(place, ())
    floor = -1
    for event in _bits(before):
        if graph.events[event].place != place:
            continue
        write = event if graph.events[event].writes else graph.sources[event]
        if write >= 0:
            floor = max(floor, order.index(write))
    return floor


def _add(graph: _Graph, thread: int, event: Event, **changes: Any) -> _Graph:
    return dataclasses.replace(
        graph,
        events={**graph.events, event.id: event},
        counts=_replace(graph.counts, thread, graph.counts[thread] + 1),
        **changes,
    )


def _next_id(graph: _Graph, thread: int) -> int:
    assert graph.counts[thread] < THREAD_EVENTS_MAX
    return thread * THREAD_EVENTS_MAX + graph.counts[thread]


def _add_fence(graph: _Graph, thread: int, step: Fence) -> _Graph:
    if step.order is Order.NONE:
        return _sent(graph, thread, None)
    before = _before(graph, thread)
    if step.order.acquires:
        before |= _with(graph, graph.pending[thread])
    event = Event(_next_id(graph, thread), False, False, None, step.order, 0, before, 0)
    after = _sent(_add(graph, thread, event), thread, None)
    if step.order.releases:
        after = dataclasses.replace(after, fenced=_replace(graph.fenced, thread, event.id))
    return after


def _synchronizes(graph: _Graph, thread: int, event: int, order: Order) -> int:
    mask = 1 << event if order.releases else 0
    if graph.fenced[thread] >= 0 and order is not Order.PLAIN:
        mask |= 1 << graph.fenced[thread]
    return mask


def _is_rmw_write(graph: _Graph, event: int) -> bool:
    """The write of a read-modify-write: its read is the event before it, and says so."""
    return graph.events[event].writes and event in graph.sources


def _add_store(program: Program, graph: _Graph, thread: int, step: Store) -> list[_Graph]:
    if step.order is Order.NONE:
        return [_sent(graph, thread, None)]
    before = _before(graph, thread)
    order = graph.orders.get(step.place, ())
    event_id = _next_id(graph, thread)
    event = Event(
        event_id,
        False,
        True,
        step.place,
        step.order,
        step.value,
        before,
        _synchronizes(graph, thread, event_id, step.order),
    )
    found = []
    for at in range(_floor(graph, step.place, before) + 1, len(order) + 1):
        if at < len(order) and _is_rmw_write(graph, order[at]):
            continue  # that one must stay right behind what it read
        orders = {**graph.orders, step.place: (*order[:at], event_id, *order[at:])}
        found.append(_sent(_add(graph, thread, event, orders=orders), thread, None))
    return found


def _add_read(
    program: Program, graph: _Graph, thread: int, step: Load | Wait | Rmw
) -> list[_Graph]:
    before = _before(graph, thread)
    order = graph.orders.get(step.place, ())
    found = []
    for at in range(_floor(graph, step.place, before), len(order)):
        source = order[at] if at >= 0 else -1
        value = graph.events[source].value if at >= 0 else program.init.get(step.place, 0)
        if isinstance(step, Wait) and not step.until(value):
            continue
        changed = step.change(value) if isinstance(step, Rmw) else None
        if changed is not None and at + 1 < len(order) and _is_rmw_write(graph, order[at + 1]):
            continue  # another has changed that very value
        how = step.failed if isinstance(step, Rmw) and changed is None else step.order
        offers = graph.events[source].synchronizes if at >= 0 else 0
        known = before | _with(graph, offers) if how.acquires else before
        event_id = _next_id(graph, thread)
        pending = graph.pending
        if how is not Order.PLAIN:
            pending = _replace(pending, thread, pending[thread] | offers)
        # A read-modify-write is one event that reads and writes.
        event = Event(
            event_id,
            True,
            changed is not None,
            step.place,
            how,
            value if changed is None else changed,
            known,
            0 if changed is None else offers | _synchronizes(graph, thread, event_id, how),
        )
        orders = graph.orders
        if changed is not None:
            orders = {**orders, step.place: (*order[: at + 1], event_id, *order[at + 1 :])}
        after = _add(
            graph,
            thread,
            event,
            orders=orders,
            pending=pending,
            sources={**graph.sources, event_id: source},
        )
        found.append(_sent(after, thread, value))
    return found


# ---- The seq_cst events ----


def consistent(graph: _Graph) -> bool:
    """The order `psc` of RC11 has no cycle."""
    ids = list(graph.events)
    strong = [e for e in ids if graph.events[e].order is Order.SEQ_CST]
    if len(strong) < 2:
        return True
    after = {e: 0 for e in ids}  # happens-before, forward
    for e in ids:
        for earlier in _bits(graph.events[e].before):
            after[earlier] |= 1 << e
    direct = _communication(graph)
    eco = _closure(direct)
    scb = {e: direct_scb(graph, e, after, direct) for e in ids}

    fences = [e for e in strong if graph.events[e].place is None]
    fence_mask = sum(1 << e for e in fences)
    strong_mask = sum(1 << e for e in strong)
    psc: dict[int, int] = {}
    for e in strong:
        starts = 1 << e | (after[e] if e in fences else 0)
        reached = _through(scb, starts)
        psc[e] = (reached | _through(after, reached) & fence_mask) & (strong_mask)
        if e in fences:
            far = _through(after, _through(eco, after[e]))
            psc[e] |= (after[e] | far) & fence_mask
    closed = _closure(psc)
    return all(not closed[e] >> e & 1 for e in strong)


def direct_scb(graph: _Graph, e: int, after: dict[int, int], direct: dict[int, int]) -> int:
    """Where one `scb` edge leads: sb, sb to another place; hb; sb to another place, hb at one place, mo, rb."""
    event = graph.events[e]
    thread = e // THREAD_EVENTS_MAX
    end = thread * THREAD_EVENTS_MAX + graph.counts[thread]
    behind = range(e + 1, end)
    found = sum(1 << b for b in behind) | (direct[e] & ~_readers(graph, e))
    for b in _bits(after[e]):
        if event.place is not None and graph.events[b].place == event.place:
            found |= 1 << b
    middle = _through(
        after,
        sum(1 << b for b in behind if event.place is None or graph.events[b].place != event.place),
    )
    for d in _bits(middle):
        own = d // THREAD_EVENTS_MAX
        for b in range(d + 1, own * THREAD_EVENTS_MAX + graph.counts[own]):
            place = graph.events[d].place
            if place is None or graph.events[b].place != place:
                found |= 1 << b
    return found


def _readers(graph: _Graph, e: int) -> int:
    """Who reads from e and does not follow it in the modification order (a pure read)."""
    mask = 0
    for reader, source in graph.sources.items():
        if source == e and not graph.events[reader].writes:
            mask |= 1 << reader
    return mask


def _through(relation: dict[int, int], starts: int) -> int:
    mask = 0
    for e in _bits(starts):
        mask |= relation[e]
    return mask


def _closure(relation: dict[int, int]) -> dict[int, int]:
    closed = dict(relation)
    for middle in closed:
        bit = 1 << middle
        for e in closed:
            if closed[e] & bit:
                closed[e] |= closed[middle]
    return closed


def _communication(graph: _Graph) -> dict[int, int]:
    """Reads-from, modification order, reads-before: one step each, of the places' whole orders."""
    found = {e: 0 for e in graph.events}
    for order in graph.orders.values():
        for at, write in enumerate(order):
            found[write] |= sum(1 << later for later in order[at + 1 :])
    for reader, source in graph.sources.items():
        place = graph.events[reader].place
        assert place is not None
        order = graph.orders.get(place, ())
        at = order.index(source) if source >= 0 else -1
        found[reader] |= sum(1 << later for later in order[at + 1 :] if later != reader)
        if source >= 0:
            found[source] |= 1 << reader
    return found


# ---- Data races and outcomes ----


def find_race(graph: _Graph) -> str | None:
    events = list(graph.events.values())
    for a in events:
        for b in events:
            if a.id >= b.id or a.place != b.place or a.place is None:
                continue
            plain = Order.PLAIN in (a.order, b.order)
            ordered = b.before >> a.id & 1 or a.before >> b.id & 1
            if plain and (a.writes or b.writes) and not ordered:
                return f"{a.place}: {_say(a)} races with {_say(b)}"
    return None


def _say(event: Event) -> str:
    thread, index = divmod(event.id, THREAD_EVENTS_MAX)
    if event.place is None:
        return f"{thread}.{index} fence {event.order.value}"
    what = "rmw" if event.reads and event.writes else "write" if event.writes else "read"
    return f"{thread}.{index} {what} {event.place} = {event.value} {event.order.value}"


def outcome_of(program: Program, graph: _Graph) -> Outcome:
    final = dict(program.init)
    for place, order in graph.orders.items():
        final[place] = graph.events[order[-1]].value
    returned = tuple(program.step(t, sent)[1] for t, sent in enumerate(graph.sent))
    trace = tuple(_say(graph.events[e]) for e in sorted(graph.events))
    return Outcome(returned, final, find_race(graph), trace)


def outcomes(program: Program) -> Iterator[Outcome]:
    """All that the program may do."""
    for graph in explore(program):
        if consistent(graph):
            yield outcome_of(program, graph)


def violation(program: Program, holds: Callable[[Outcome], bool]) -> Outcome | None:
    """An execution with a data race, or one for which `holds` is false; None if there is none."""
    for graph in explore(program):
        outcome = outcome_of(program, graph)
        if (outcome.race is not None or not holds(outcome)) and consistent(graph):
            return outcome
    return None
