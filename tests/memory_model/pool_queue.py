"""Litmus programs of the rings and their hints: queueing, reserving, stealing, going to sleep."""

from __future__ import annotations

from collections.abc import Callable

from litmus import (
    ACQ,
    ACQ_REL,
    NONE,
    PLAIN,
    REL,
    RLX,
    SC,
    Litmus,
    Orders,
    Run,
    fence,
    futex_wait,
    futex_wake,
    load,
    rmw,
    store,
)
from rc11 import Fence, Load, Rmw, Store, Thread, Wait

READY, RUNNING = 1, 2
STALE, FRESH = 1, 2


def bits_on(bits: int) -> Callable[[int], int]:
    return lambda word: word | bits


def bits_off(bits: int) -> Callable[[int], int]:
    return lambda word: word & ~bits


def swap(expected: int, new: int) -> Callable[[int], int | None]:
    """A compare-exchange."""
    return lambda word: new if word == expected else None


# ---- Submit and take ----


def _publish(o: Orders) -> list[Thread]:
    def submitter() -> Run:
        yield Store("fields", 7, PLAIN)
        yield Store("ctl", READY, o["ctl"])
        yield Store("at", 1, o["at"])
        yield Store("tail", 1, o["tail"])

    def taker() -> Run:
        if (yield Load("tail", o["tail seen"])) == 0:
            return None
        if (yield Load("at", o["at seen"])) == 0:
            return "no handle"
        if (yield Load("ctl", o["ctl seen"])) != READY:
            return "not ready"
        if (yield Rmw("ctl", swap(READY, RUNNING), o["claim"])) != READY:
            return "lost"
        return (yield Load("fields", PLAIN))

    return [submitter, taker]


QUEUE_SITES = {
    "ctl": store(
        REL, "proc_task.c", "WR_STORE(&cell->ctl, wr_word(wr_generation_of(handle), WR_CELL_READY))"
    ),
    "at": store(REL, "proc_queue.c", "WR_STORE(&ring->at[tail & p->pool->ring_mask], handle)"),
    "tail": store(SC, "proc_queue.c", "WR_STORE_SEQ(&ring->tail, tail + 1)"),
    "tail seen": load(ACQ, "proc_take.c", "tail = WR_LOAD(&ring->tail)"),
    "at seen": load(
        ACQ,
        "proc_take.c",
        "wr_handle handle = WR_LOAD(&ring->at[p->reserved_at & pool->ring_mask])",
    ),
    "ctl seen": load(ACQ, "proc_take.c", "uint64_t word = WR_LOAD(&cell->ctl)"),
    "claim": rmw(
        ACQ_REL,
        "proc_take.c",
        "WR_CAS(&cell->ctl, &word, wr_word(wr_generation_of(word), WR_CELL_RUNNING",
    ),
}

PUBLISH = Litmus(
    name="a task is published with its handle",
    claim="who sees the tail sees the handle, READY and the fields",
    sites=QUEUE_SITES,
    threads=_publish,
    holds=lambda o: o.returned[1] in (None, 7),
    reaches=lambda o: o.returned[1] == 7,
    # The tail alone would do here; the other orders are for those who come by another way (below).
    enough={
        "ctl": (PLAIN,),
        "at": (PLAIN,),
        "tail": (REL,),
        "at seen": (PLAIN,),
        "ctl seen": (PLAIN,),
        "claim": (RLX,),
    },
)


def _lapped(o: Orders) -> list[Thread]:
    """The place in the ring names a newer task than the taker's index: the tail says nothing of it."""

    def submitter() -> Run:
        yield Store("fields", 7, PLAIN)
        yield Store("ctl", READY, o["ctl"])
        yield Store("at", 1, RLX)

    def taker() -> Run:
        if (yield Load("at", RLX)) == 0:
            return None
        if (yield Load("ctl", o["ctl seen"])) != READY:
            return None  # of an older generation: its own index comes later
        if (yield Rmw("ctl", swap(READY, RUNNING), o["claim"])) != READY:
            return None
        return (yield Load("fields", PLAIN))

    return [submitter, taker]


LAPPED = Litmus(
    name="a handle that is found by chance",
    claim="who claims a cell sees its fields, whatever led to it",
    sites={k: QUEUE_SITES[k] for k in ("ctl", "ctl seen", "claim")},
    threads=_lapped,
    holds=lambda o: o.returned[1] in (None, 7),
    reaches=lambda o: o.returned[1] == 7,
    enough={"ctl seen": (RLX,), "claim": (RLX,)},
    wrong_orders={"neither look acquires": {"ctl seen": RLX, "claim": RLX}},
)


def _rewind(o: Orders) -> list[Thread]:
    """Capacity 2, so that index 2 lies where index 0 lay. The tail goes from 1 to 2, then index 2 is written."""

    def submitter() -> Run:
        yield Store("tail", 2, o["tail"])
        yield Store("at", FRESH, o["at"])
        yield Store("tail", 3, o["tail"])

    def raylet() -> Run:
        handle = yield Load("at", o["at seen"])
        now = yield Load("tail", o["tail again"])
        return (handle, now)

    return [submitter, raylet]


REWIND = Litmus(
    name="a rewind knows a lapped place",
    claim="who reads a newer handle in a place of the ring sees a tail that is a whole ring ahead of the index",
    sites={
        "tail": QUEUE_SITES["tail"],
        "at": QUEUE_SITES["at"],
        "at seen": load(
            ACQ, "keeper_port.c", "wr_handle handle = WR_LOAD(&ring->at[at & mask]); uint64_t now"
        ),
        "tail again": load(ACQ, "keeper_port.c", "uint64_t now = WR_LOAD(&ring->tail)"),
    },
    threads=_rewind,
    holds=lambda o: o.returned[1][0] == STALE or o.returned[1][1] >= 2,
    reaches=lambda o: o.returned[1] == (FRESH, 2),
    init={"at": STALE, "tail": 1},
    enough={"tail": (RLX,), "tail again": (RLX,)},
    wrong_orders={"the handle is stored relaxed (so it was)": {"at": RLX}},
)


def _steal(o: Orders) -> list[Thread]:
    def taker() -> Run:
        yield Store("reserved", 1, o["reserved"])
        yield Rmw("head", swap(0, 2), o["head"])

    def thief() -> Run:
        if (yield Load("head", o["head seen"])) == 0:
            return None
        return (yield Load("reserved", o["reserved seen"]))

    return [taker, thief]


STEAL = Litmus(
    name="a reservation is seen behind its head",
    claim="an idle taker that finds the head moved on finds the reservation from which it may steal",
    sites={
        "reserved": store(
            RLX, "proc_take.c", "WR_STORE_RELAXED(&p->slot->reserved, wr_reserve_word("
        ),
        "head": rmw(ACQ_REL, "proc_take.c", "WR_CAS(&ring->head, &head, head + n)"),
        "head seen": load(SC, "proc_queue.c", "uint64_t head = WR_LOAD_SEQ(&ring->head)"),
        "reserved seen": load(
            ACQ, "proc_take.c", "uint64_t word = WR_LOAD(&wr_slot_at(pool, slot)->reserved)"
        ),
    },
    threads=_steal,
    holds=lambda o: o.returned[1] in (None, 1),
    reaches=lambda o: o.returned[1] == 1,
    enough={"reserved": (PLAIN,), "head": (REL,), "head seen": (ACQ,), "reserved seen": (PLAIN,)},
)


def _released(checks: bool) -> Callable[[Orders], list[Thread]]:
    """Index 1 is the last of the old lease; the ring then goes to another port, whose submitter writes index 2."""

    def threads(o: Orders) -> list[Thread]:
        def raylet() -> Run:
            yield Store("head", 2, o["head"])
            yield Store("port", 9, o["port"])
            yield Store("ring_of", 1, o["ring_of"])

        def submitter() -> Run:
            yield Wait("ring_of", bool, o["ring_of found"])
            yield Store("tail", 3, o["tail"])

        def taker() -> Run:
            """It read the number of the ring before."""
            head = yield Load("head", o["head seen"])
            tail = yield Load("tail", o["tail seen"])
            if head >= tail or (checks and (yield Load("port", o["port seen"])) != 0):
                return None
            took = (yield Rmw("head", swap(head, tail), o["reserve"], ACQ)) == head
            return tail if took else None

        return [raylet, submitter, taker]

    return threads


RELEASED = Litmus(
    name="a ring that goes to another port",
    claim="a taker that read the ring's number before reserves nothing of the new lease",
    sites={
        "head": store(
            REL, "keeper_port.c", "WR_STORE(&ring->head, tail); WR_STORE(&ring->port, port);"
        ),
        "port": store(
            REL, "keeper_port.c", "WR_STORE(&ring->port, port); WR_STORE(&ring->slot, slot);"
        ),
        "ring_of": store(
            SC, "keeper_port.c", "WR_STORE_SEQ(&k->pool->ports[port].ring_of[slot], r + 1)"
        ),
        "ring_of found": load(
            SC,
            "proc_queue.c",
            "uint32_t number = WR_LOAD_SEQ(&p->pool->ports[port].ring_of[p->index])",
        ),
        "tail": QUEUE_SITES["tail"],
        "head seen": load(ACQ, "proc_take.c", "uint64_t head = WR_LOAD(&ring->head), tail"),
        "tail seen": QUEUE_SITES["tail seen"],
        "port seen": load(RLX, "proc_take.c", "WR_LOAD_RELAXED(&ring->port) != p->take_port"),
        "reserve": rmw(ACQ_REL, "proc_take.c", "WR_CAS(&ring->head, &head, head + n)"),
    },
    threads=_released(True),
    holds=lambda o: o.returned[2] != 3,
    reaches=lambda o: o.returned[2] == 2,
    init={"head": 1, "tail": 2},
    enough={
        "head": (RLX,),
        "port": (RLX,),
        "ring_of": (REL,),
        "ring_of found": (ACQ,),
        "tail": (REL,),
        "head seen": (RLX,),
        "reserve": (RLX,),
    },
    wrong={"the port is not looked at (so it was)": _released(False)},
)

# ---- Going to sleep ----


def _sleep(o: Orders) -> list[Thread]:
    def submitter() -> Run:
        yield Store("tail", 1, o["tail"])
        if (yield Load("sleepers", o["sleepers seen"])) == 0:
            return False
        yield Rmw("sleepers", bits_off(1), o["sleepers off"])
        yield Rmw("bell", lambda word: word + 1, o["ring"])
        return (yield from futex_wake("queue"))

    def taker() -> Run:
        seen = yield Load("bell", o["bell seen"])
        yield Rmw("sleepers", bits_on(1), o["sleepers on"])
        if (yield Load("tail", o["tail looked at"])) != 0:
            return False
        return (yield from futex_wait("queue", "bell", seen))

    return [submitter, taker]


SLEEP_SITES = {
    "tail": QUEUE_SITES["tail"],
    "sleepers seen": load(SC, "proc_queue.c", "WR_LOAD_SEQ(&port->sleepers.summary)"),
    "sleepers off": rmw(
        SC, "pool.c", "atomic_fetch_and_explicit(&set->words[w], ~bit, memory_order_seq_cst)"
    ),
    "ring": rmw(SC, "layout.h", "atomic_fetch_add_explicit(bell, 1, memory_order_seq_cst)"),
    "bell seen": load(SC, "proc_wait.c", "uint32_t seen = WR_LOAD_SEQ(&slot->bell)"),
    "sleepers on": rmw(
        SC,
        "layout.h",
        "atomic_fetch_or_explicit(&set->words[slot / 64], 1ull << (slot % 64), memory_order_seq_cst)",
    ),
    "tail looked at": load(SC, "proc_queue.c", "head >= WR_LOAD_SEQ(&ring->tail)"),
}

SLEEP = Litmus(
    name="pair 1: tail, then sleepers",
    claim="a taker never sleeps on a task that was queued without waking it",
    sites=SLEEP_SITES,
    threads=_sleep,
    holds=lambda o: not o.returned[1] or o.returned[0],
    reaches=lambda o: bool(o.returned[1]),
    enough={"sleepers off": (RLX,), "ring": (RLX,), "bell seen": (PLAIN,)},
)


def _arm(o: Orders) -> list[Thread]:
    def submitter() -> Run:
        yield Store("tail", 1, o["tail"])
        if (yield Load("hungry", o["hungry seen"])) == 0:
            return False
        return (yield Rmw("hungry", lambda word: 0, o["hungry off"])) != 0

    def raylet() -> Run:
        yield Store("hungry", 1, o["armed"])
        return (yield Load("tail", o["tail looked at"]))

    return [submitter, raylet]


ARM = Litmus(
    name="pair 1: tail, then hungry",
    claim="a task that the raylet's look misses rings its bell",
    sites={
        "tail": QUEUE_SITES["tail"],
        "hungry seen": load(SC, "proc_queue.c", "WR_LOAD_SEQ(&port->hungry) != 0"),
        "hungry off": rmw(
            SC, "proc_queue.c", "atomic_exchange_explicit(&port->hungry, 0, memory_order_seq_cst)"
        ),
        "armed": store(SC, "keeper_port.c", "WR_STORE_SEQ(&shared->hungry, 1)"),
        "tail looked at": load(SC, "keeper_port.c", "tail = WR_LOAD_SEQ(&ring->tail)"),
    },
    threads=_arm,
    holds=lambda o: o.returned[1] == 1 or o.returned[0],
    reaches=lambda o: o.returned == (True, 0),
    enough={"hungry off": (RLX,)},
)


def _new_ring(o: Orders) -> list[Thread]:
    def raylet() -> Run:
        yield Store("ring_of", 1, o["ring_of"])

    def submitter() -> Run:
        yield Wait("ring_of", bool, o["ring_of found"])
        yield Store("tail", 1, o["tail"])
        return (yield Load("sleepers", o["sleepers seen"]))

    def taker() -> Run:
        yield Rmw("sleepers", bits_on(1), o["sleepers on"])
        if (yield Load("ring_of", o["ring_of looked at"])) == 0:
            return "sleeps"
        return "sleeps" if (yield Load("tail", o["tail looked at"])) == 0 else "takes"

    return [raylet, submitter, taker]


NEW_RING = Litmus(
    name="pair 1: the first task in a new ring",
    claim="a taker that goes to sleep before it knows a ring is woken by the first task in it",
    sites={
        "ring_of": store(
            SC, "keeper_port.c", "WR_STORE_SEQ(&k->pool->ports[port].ring_of[slot], r + 1)"
        ),
        "ring_of found": load(
            SC,
            "proc_queue.c",
            "uint32_t number = WR_LOAD_SEQ(&p->pool->ports[port].ring_of[p->index])",
        ),
        "tail": QUEUE_SITES["tail"],
        "sleepers seen": SLEEP_SITES["sleepers seen"],
        "sleepers on": SLEEP_SITES["sleepers on"],
        "ring_of looked at": load(
            SC, "proc_queue.c", "uint32_t number = WR_LOAD_SEQ(&port->ring_of[slot])"
        ),
        "tail looked at": SLEEP_SITES["tail looked at"],
    },
    threads=_new_ring,
    holds=lambda o: o.returned[1] != 0 or o.returned[2] != "sleeps",
    reaches=lambda o: o.returned[1:] == (0, "takes"),
    wrong_orders={
        "the table is stored with release and read with acquire (so it was)": {
            "ring_of": REL,
            "ring_of found": ACQ,
            "ring_of looked at": ACQ,
        }
    },
)


def _new_slot(o: Orders) -> list[Thread]:
    def raylet() -> Run:
        yield Store("slot_high", 1, o["slot_high"])
        yield Store("welcome", 1, REL)  # over the socket

    def submitter() -> Run:
        yield Wait("welcome", bool, ACQ)
        yield Store("tail", 1, o["tail"])
        return (yield Load("sleepers", o["sleepers seen"]))

    def taker() -> Run:
        yield Rmw("sleepers", bits_on(1), o["sleepers on"])
        if (yield Load("slot_high", o["slot_high looked at"])) == 0:
            return "sleeps"
        return "sleeps" if (yield Load("tail", o["tail looked at"])) == 0 else "takes"

    return [raylet, submitter, taker]


NEW_SLOT = Litmus(
    name="pair 1: the first task of a new process",
    claim="a taker that goes to sleep before it knows a slot is woken by the first task from there",
    sites={
        "slot_high": store(
            SC, "keeper.c", "WR_STORE_SEQ(&k->pool->header->slot_high, k->slot_high)"
        ),
        "tail": QUEUE_SITES["tail"],
        "sleepers seen": SLEEP_SITES["sleepers seen"],
        "sleepers on": SLEEP_SITES["sleepers on"],
        "slot_high looked at": load(
            SC, "proc_queue.c", "uint32_t high = WR_LOAD_SEQ(&pool->header->slot_high)"
        ),
        "tail looked at": SLEEP_SITES["tail looked at"],
    },
    threads=_new_slot,
    holds=lambda o: o.returned[1] != 0 or o.returned[2] != "sleeps",
    reaches=lambda o: o.returned[1:] == (0, "takes"),
    wrong_orders={
        "the mark is stored with release and read with acquire (so it was)": {
            "slot_high": REL,
            "slot_high looked at": ACQ,
        }
    },
)


def _actor(o: Orders) -> list[Thread]:
    def sealer() -> Run:
        yield Rmw("ctl", swap(0, READY), o["ready"])
        return (yield Load("sleepers", o["sleepers seen"]))

    def actor() -> Run:
        yield Rmw("sleepers", bits_on(1), o["sleepers on"])
        return (yield Load("ctl", o["head looked at"]))

    return [sealer, actor]


ACTOR = Litmus(
    name="pair 3: READY, then sleepers",
    claim="an actor never sleeps before a call that has become READY without waking it",
    sites={
        "ready": rmw(
            SC, "proc_task.c", "WR_CAS_SEQ(&cell->ctl, &word, (word & ~15ull) | WR_CELL_READY)"
        ),
        "sleepers seen": load(
            SC, "proc_queue.c", "uint64_t summary = WR_LOAD_SEQ(&sleepers->summary)"
        ),
        "sleepers on": SLEEP_SITES["sleepers on"],
        "head looked at": load(SC, "proc_queue.c", "uint64_t word = WR_LOAD_SEQ(&cell->ctl)"),
    },
    threads=_actor,
    holds=lambda o: o.returned != (0, 0),
    reaches=lambda o: o.returned == (1, 0),
)


# ---- A port that is closed ----


def _closed(looks_again: bool) -> Callable[[Orders], list[Thread]]:
    def threads(o: Orders) -> list[Thread]:
        def submitter() -> Run:
            """True: it ends its call itself."""
            yield Store("tail", 1, o["tail"])
            return looks_again and (yield Load("generation", o["generation seen"])) != 1

        def keeper() -> Run:
            """True: it finds the call, and ends it."""
            yield Store("generation", 2, o["generation"])
            return (yield Load("tail", o["tail looked at"])) == 1

        return [submitter, keeper]

    return threads


CLOSED = Litmus(
    name="pair 6: a port that is closed",
    claim="a call that is queued while its port is closed is ended by its submitter or by the close",
    sites={
        "tail": QUEUE_SITES["tail"],
        "generation seen": load(
            SC, "layout.h", "port_generation != (uint16_t)WR_LOAD_SEQ(&port->generation)"
        ),
        "generation": store(
            SC,
            "keeper_port.c",
            "WR_STORE_SEQ(&k->pool->ports[n].generation, port->generation);",
        ),
        "tail looked at": load(
            SC, "keeper_port.c", "mask = k->pool->ring_mask, tail = WR_LOAD_SEQ(&ring->tail)"
        ),
    },
    threads=_closed(True),
    holds=lambda o: any(o.returned),
    reaches=lambda o: o.returned == (True, True),
    init={"generation": 1},
    wrong={"the submitter does not look again": _closed(False)},
)


def _retiring(looks_again: bool) -> Callable[[Orders], list[Thread]]:
    def threads(o: Orders) -> list[Thread]:
        def submitter() -> Run:
            """A task that waits for arguments stands in no ring. True: it is taken back."""
            yield Store("ctl", READY, o["ctl"])
            yield Fence(o["submitter's fence"])
            return looks_again and (yield Load("generation", o["generation seen"])) != 1

        def keeper() -> Run:
            """True: it finds the task, and the port stays."""
            yield Store("generation", 2, o["retiring"])
            yield Fence(o["keeper's fence"])
            return (yield Load("ctl", o["ctl looked at"])) == READY

        return [submitter, keeper]

    return threads


RETIRING = Litmus(
    name="pair 7: a class's port that no task names",
    claim="a task that is published while its port is looked at keeps the port open or is taken back",
    sites={
        "ctl": store(
            REL,
            "proc_task.c",
            "WR_STORE(&cell->ctl, wr_word(wr_generation_of(handle), WR_CELL_WAITING));",
        ),
        "submitter's fence": fence(SC, "proc_task.c", "atomic_thread_fence(memory_order_seq_cst);"),
        "generation seen": load(
            SC,
            "proc_task.c",
            "WR_LOAD_SEQ(&p->pool->ports[spec->port].generation) != spec->generation",
        ),
        "retiring": store(
            SC,
            "keeper_port.c",
            "WR_STORE_SEQ(&k->pool->ports[n].generation, k->ports[n].generation | WR_PORT_RETIRING)",
        ),
        "keeper's fence": fence(SC, "keeper_port.c", "atomic_thread_fence(memory_order_seq_cst);"),
        "ctl looked at": load(SC, "keeper_port.c", "wr_state_of(WR_LOAD_SEQ(&cell->ctl))"),
    },
    threads=_retiring(True),
    holds=lambda o: any(o.returned),
    reaches=lambda o: o.returned == (True, True),
    init={"generation": 1},
    enough={
        "ctl": (RLX,),
        "generation seen": (RLX,),
        "retiring": (RLX,),
        "keeper's fence": (NONE,),  # with both of its accesses seq_cst, or the fence and neither
        "ctl looked at": (RLX,),
    },
    wrong={"the submitter does not look again": _retiring(False)},
)


# ---- Hints: the bit of a ring, and the summary of a set ----


def _empty(o: Orders) -> list[Thread]:
    def submitter() -> Run:
        yield Store("tail", 1, o["tail"])
        if (yield Load("nonempty", o["bit seen"])) == 0:
            yield Rmw("nonempty", bits_on(1), o["bit on"])

    def taker() -> Run:
        yield Rmw("nonempty", bits_off(1), o["bit off"])
        if (yield Load("tail", o["tail looked at"])) != 0:
            yield Rmw("nonempty", bits_on(1), o["bit on"])

    return [submitter, taker]


EMPTY = Litmus(
    name="pair 4: the bit of an empty ring",
    claim="a ring with a task in it has its bit, once both are done",
    sites={
        "tail": QUEUE_SITES["tail"],
        "bit seen": load(SC, "layout.h", "WR_LOAD_SEQ(&set->words[slot / 64])"),
        "bit on": SLEEP_SITES["sleepers on"],
        "bit off": SLEEP_SITES["sleepers off"],
        "tail looked at": load(
            SC, "proc_take.c", "WR_LOAD_SEQ(&ring->head) < WR_LOAD_SEQ(&ring->tail)"
        ),
    },
    threads=_empty,
    holds=lambda o: o.final["nonempty"] == 1,
    reaches=lambda o: True,
    init={"nonempty": 1},
    enough={"bit on": (RLX,)},
)

SET_SITES = {
    "bit on": SLEEP_SITES["sleepers on"],
    "bit off": SLEEP_SITES["sleepers off"],
    "summary seen": load(SC, "layout.h", "WR_LOAD_SEQ(&set->summary)"),
    "summary on": rmw(
        SC,
        "layout.h",
        "atomic_fetch_or_explicit(&set->summary, 1ull << (slot / 64), memory_order_seq_cst)",
    ),
    "summary off": rmw(
        SC, "pool.c", "atomic_fetch_and_explicit(&set->summary, ~(1ull << w), memory_order_seq_cst)"
    ),
    "word seen": load(SC, "pool.c", "WR_LOAD_SEQ(&set->words[w]) != 0"),
    "summary again": rmw(
        SC, "pool.c", "atomic_fetch_or_explicit(&set->summary, 1ull << w, memory_order_seq_cst)"
    ),
}


def _add_bit(o: Orders, bit: int) -> Run:
    yield Rmw("word", bits_on(bit), o["bit on"])
    if (yield Load("summary", o["summary seen"])) == 0:
        yield Rmw("summary", bits_on(1), o["summary on"])


def _remove_bit(o: Orders, bit: int) -> Run:
    """True: for a moment the summary did not show a bit that stands."""
    before = yield Rmw("word", bits_off(bit), o["bit off"])
    if before & ~bit != 0:
        return False
    yield Rmw("summary", bits_off(1), o["summary off"])
    if (yield Load("word", o["word seen"])) == 0:
        return False
    yield Rmw("summary", bits_on(1), o["summary again"])
    return True


SET = Litmus(
    name="pair 4: the summary of a set",
    claim="a set with a bit in it has its summary, once both are done",
    sites=SET_SITES,
    threads=lambda o: [lambda: _add_bit(o, 2), lambda: _remove_bit(o, 1)],
    holds=lambda o: o.final["word"] == 2 and o.final["summary"] == 1,
    reaches=lambda o: True,
    init={"word": 1, "summary": 1},
    enough={"bit off": (RLX,), "summary on": (RLX,), "summary again": (RLX,)},
)


def _hidden(wakes: bool) -> Callable[[Orders], list[Thread]]:
    def threads(o: Orders) -> list[Thread]:
        def taker() -> Run:
            yield from _add_bit(o, 2)
            return (yield Load("tail", o["tail looked at"])) == 0

        def waker() -> Run:
            """Wakes the taker of bit 1, which may be busy for long with what it then takes."""
            hid = yield from _remove_bit(o, 1)
            return hid and wakes

        def submitter() -> Run:
            yield Store("tail", 1, o["tail"])
            return (yield Load("summary", o["sleepers seen"])) != 0

        return [taker, waker, submitter]

    return threads


HIDDEN = Litmus(
    name="a sleeper that the summary hid is woken",
    claim="who takes the last bit out of a set of sleepers wakes the one who came in between",
    sites={
        **SET_SITES,
        "tail": QUEUE_SITES["tail"],
        "sleepers seen": SLEEP_SITES["sleepers seen"],
        "tail looked at": SLEEP_SITES["tail looked at"],
    },
    threads=_hidden(True),
    holds=lambda o: not o.returned[0] or o.returned[1] or o.returned[2],
    reaches=lambda o: o.returned == (True, True, False),
    init={"word": 1, "summary": 1},
    enough={"bit off": (RLX,), "summary again": (RLX,)},
    wrong={"nobody wakes it (so it was)": _hidden(False)},
)


def _threads_idle(looks: bool) -> Callable[[Orders], list[Thread]]:
    """Two threads of one taker share its bit: the first wakes and takes the bit away while the second falls asleep."""

    def threads(o: Orders) -> list[Thread]:
        def first() -> Run:
            if (yield Rmw("idlers", lambda count: count - 1, o["leaves"])) != 1:
                return False
            yield Rmw("sleepers", bits_off(1), o["sleepers off"])
            if not looks or (yield Load("idlers", o["idlers seen"])) == 0:
                return False
            yield Rmw("sleepers", bits_on(1), o["sleepers on"])
            yield Rmw("bell", lambda word: word + 1, o["ring"])
            return (yield from futex_wake("queue"))

        def second() -> Run:
            seen = yield Load("bell", o["bell seen"])
            yield Rmw("idlers", lambda count: count + 1, o["comes"])
            yield Rmw("sleepers", bits_on(1), o["sleepers on"])
            return (yield from futex_wait("queue", "bell", seen))

        return [first, second]

    return threads


THREADS = Litmus(
    name="two idle threads of one taker",
    claim="a thread that sleeps has its process's bit, or is woken",
    sites={
        "comes": rmw(
            SC, "proc_wait.c", "atomic_fetch_add_explicit(&p->idlers, 1, memory_order_seq_cst)"
        ),
        "leaves": rmw(
            SC, "proc_wait.c", "atomic_fetch_sub_explicit(&p->idlers, 1, memory_order_seq_cst)"
        ),
        "sleepers on": SLEEP_SITES["sleepers on"],
        "sleepers off": SLEEP_SITES["sleepers off"],
        "idlers seen": load(SC, "proc_wait.c", "WR_LOAD_SEQ(&p->idlers) != 0"),
        "ring": SLEEP_SITES["ring"],
        "bell seen": SLEEP_SITES["bell seen"],
    },
    threads=_threads_idle(True),
    holds=lambda o: not o.returned[1] or o.final["sleepers"] == 1 or o.returned[0],
    reaches=lambda o: o.returned == (True, True),
    init={"idlers": 1, "sleepers": 1},
    enough={
        "comes": (RLX,),
        "leaves": (RLX,),
        "sleepers on": (REL,),
        "sleepers off": (ACQ,),
        "idlers seen": (RLX,),
        "ring": (RLX,),
        "bell seen": (PLAIN,),
    },
    wrong={"the bit goes without another look (so it was)": _threads_idle(False)},
)

ALL = [
    PUBLISH,
    LAPPED,
    REWIND,
    STEAL,
    RELEASED,
    SLEEP,
    ARM,
    NEW_RING,
    NEW_SLOT,
    ACTOR,
    CLOSED,
    RETIRING,
    EMPTY,
    SET,
    HIDDEN,
    THREADS,
]
