"""Litmus programs between a process and the raylet: rings, counts and their grace, death, task events, poison."""

from __future__ import annotations

from collections.abc import Callable

from litmus import (
    ACQ,
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
from pool_cells import SEAL, is_sealed
from pool_queue import QUEUE_SITES, swap
from rc11 import Choose, Fence, Load, Rmw, Step, Store, Thread, Wait

RUNNING, SEALED = 2, 3

# ---- Records there and back: event rings and grant rings ----


def _records(o: Orders) -> list[Thread]:
    """A ring of one record, written twice."""

    def writer() -> Run:
        yield Store("record", 1, PLAIN)
        yield Store("tail", 1, o["tail"])
        if (yield Load("head", o["head seen"])) == 1:
            yield Store("record", 2, PLAIN)
            yield Store("tail", 2, o["tail"])

    def reader() -> Run:
        found: tuple[int, ...] = ()
        while len(found) < (yield Load("tail", o["tail seen"])):
            found += ((yield Load("record", o["record"])),)
            yield Store("head", len(found), o["head"])
        return found

    return [writer, reader]


EVENT_SITES = {
    "tail": store(REL, "proc.c", "WR_STORE(&p->slot->event_tail, p->event_tail)"),
    "tail seen": load(ACQ, "keeper_pass.c", "tail = WR_LOAD(&slot->event_tail)"),
}
EVENTS = Litmus(
    name="the ring of events",
    claim="the raylet reads whole records, and none is overwritten while it reads",
    sites={
        **EVENT_SITES,
        "head": store(REL, "keeper_pass.c", "WR_STORE(&slot->event_head, mine->event_head)"),
        "head seen": load(ACQ, "proc.c", "p->event_head_seen = WR_LOAD(&p->slot->event_head)"),
        "record": load(RLX, "keeper_pass.c", "__atomic_load_n(&at->handle, __ATOMIC_RELAXED)"),
    },
    threads=_records,
    holds=lambda o: o.returned[1] in ((), (1,), (1, 2)),
    reaches=lambda o: o.returned[1] == (1, 2),
    enough={
        "record": (PLAIN,)
    },  # a hostile client may write at any time: then it must be read once
)
GRANTS = Litmus(
    name="the ring of grants",
    claim="a process reads whole grants, and none is overwritten while it reads",
    sites={
        "tail": store(REL, "keeper.c", "WR_STORE(&slot->grant_tail, mine->grant_tail)"),
        "tail seen": load(ACQ, "proc.c", "uint64_t tail = WR_LOAD(&p->slot->grant_tail)"),
        "head": store(REL, "proc.c", "WR_STORE(&p->slot->grant_head, p->grant_head)"),
        "head seen": load(ACQ, "keeper.c", "mine->grant_tail - WR_LOAD(&slot->grant_head)"),
    },
    threads=lambda o: _records({**o, "record": PLAIN}),
    holds=EVENTS.holds,
    reaches=EVENTS.reaches,
)

# ---- Who holds a shared cell ----


def _grace(passes: int) -> Callable[[Orders], list[Thread]]:
    """One keeps an argument of a task (HOLD, then its seal); the task's maker sees the seal and drops its own hold."""

    def threads(o: Orders) -> list[Thread]:
        def keeps() -> Run:
            yield Store("events c", 1, o["tail"])  # HOLD
            yield Rmw("ctl", swap(RUNNING, SEALED), o["seal"])

        def drops() -> Run:
            yield Wait("ctl", is_sealed, o["sealed seen"])
            yield Store("events b", 1, o["tail"])  # DROP

        def raylet() -> Run:
            held = yield Load("events c", o["tail seen"])
            if (yield Load("events b", o["tail seen"])) == 0:
                return "held"
            if passes == 2:
                held = yield Load("events c", o["tail seen"])
            return "held" if held else "freed"

        return [keeps, drops, raylet]

    return threads


GRACE = Litmus(
    name="zero is believed one full pass later",
    claim="a cell that was handed on before a hold on it ended is not freed",
    sites={
        **EVENT_SITES,
        "seal": SEAL,
        "sealed seen": load(
            ACQ,
            "pool.c",
            "uint64_t word = WR_LOAD(&cell->ctl); return wr_generation_of(word) == wr_generation_of(handle) ?",
        ),
    },
    threads=_grace(2),
    holds=lambda o: o.returned[2] == "held",
    reaches=lambda o: True,
    init={"ctl": RUNNING},
    enough={"seal": (REL,)},
    wrong={"the first zero is believed": _grace(1)},
)


def _freed(o: Orders) -> list[Thread]:
    def reader() -> Run:
        value = yield Load("result", PLAIN)
        yield Store("events", 1, o["tail"])  # DROP
        return value

    def raylet() -> Run:
        yield Wait("events", bool, o["tail seen"])
        yield Store("grants", 1, o["granted"])  # FREED, or the units go to another process

    def creator() -> Run:
        yield Wait("grants", bool, o["grant seen"])
        yield Store("result", 0, PLAIN)

    return [reader, raylet, creator]


FREED = Litmus(
    name="dropped, then used again",
    claim="memory of the pool is written again only after the last reader's reads",
    sites={
        **EVENT_SITES,
        "granted": GRANTS.sites["tail"],
        "grant seen": GRANTS.sites["tail seen"],
    },
    threads=_freed,
    holds=lambda o: o.returned[0] == 7,
    reaches=lambda o: o.final["result"] == 0,
    init={"result": 7},
)

# ---- Slots: opening, assignment, death ----


def _slot(o: Orders) -> list[Thread]:
    def raylet() -> Run:
        yield Store("epoch", 2, RLX)
        yield Store("event tail", 5, RLX)
        yield Store("state", 1, o["state"])

    def process() -> Run:
        if (yield Load("state", o["state seen"])) == 0:
            return None
        return (yield Load("epoch", o["epoch"])), (yield Load("event tail", RLX))

    return [raylet, process]


SLOT = Litmus(
    name="a slot is opened",
    claim="who finds its slot LIVE finds its epoch and where its rings stand",
    sites={
        "state": store(REL, "keeper.c", "WR_STORE(&slot->state, WR_SLOT_LIVE)"),
        "state seen": load(ACQ, "proc.c", "WR_LOAD(&s->state) != WR_SLOT_LIVE"),
        "epoch": load(ACQ, "proc.c", "WR_LOAD(&s->epoch) != epoch"),
    },
    threads=_slot,
    holds=lambda o: o.returned[1] in (None, (2, 5)),
    reaches=lambda o: o.returned[1] == (2, 5),
    enough={"epoch": (PLAIN,)},
)


def _assign(o: Orders) -> list[Thread]:
    def raylet() -> Run:
        yield Store("assignment", 1, o["assignment"])
        yield Rmw("bell", lambda word: word + 1, o["ring"])
        return (yield from futex_wake("queue"))

    def taker() -> Run:
        seen = yield Load("bell", o["bell seen"])
        if (yield Load("assignment", o["looked again"])) != 0:
            return False
        return (yield from futex_wait("queue", "bell", seen))

    return [raylet, taker]


ASSIGN = Litmus(
    name="a word for a sleeper: assignment, poison",
    claim="a taker never sleeps on a word that was written for it and announced by its bell",
    sites={
        "assignment": store(SC, "keeper.c", "WR_STORE_SEQ(&slot->assignment, assignment)"),
        "ring": rmw(SC, "layout.h", "atomic_fetch_add_explicit(bell, 1, memory_order_seq_cst)"),
        "bell seen": load(SC, "proc_wait.c", "uint32_t seen = WR_LOAD_SEQ(&slot->bell)"),
        "looked again": load(ACQ, "proc_wait.c", "WR_LOAD(&slot->assignment) == assignment"),
    },
    threads=_assign,
    holds=lambda o: not o.returned[1] or o.returned[0],
    reaches=lambda o: o.returned == (True, True),
    enough={
        "assignment": (RLX,),
        "ring": (REL,),
        "bell seen": (ACQ,),
        "looked again": (RLX,),
    },
)


def _killed(first: str) -> Callable[[Orders], list[Thread]]:
    """SIGKILL after any number of its stores. Its exit event comes after all that were executed."""

    def threads(o: Orders) -> list[Thread]:
        def victim() -> Run:
            steps: list[Step] = [
                Store("intent", 1, o["intent"]),
                Rmw("ctl", swap(1, RUNNING), o["claim"]),
            ]
            for step in (steps if first == "intent" else steps[::-1])[: (yield Choose(3))]:
                yield step
            yield Store("exited", 1, REL)  # the kernel's

        def reaper() -> Run:
            yield Wait("exited", bool, ACQ)
            return (yield Load("intent", o["intent seen"])), (yield Load("ctl", ACQ))

        return [victim, reaper]

    return threads


KILLED = Litmus(
    name="an intent before its act",
    claim="the reaper finds the intent of each claim of the dead, wherever it was killed; no order but the program's is needed",
    sites={
        "intent": store(
            RLX,
            "proc_take.c",
            "WR_STORE_RELAXED(&p->slot->current[lane], handle); WR_INTENT_BARRIER();",
        ),
        "claim": QUEUE_SITES["claim"],
        "intent seen": load(ACQ, "keeper_reap.c", "reap_lane(&r, WR_LOAD(&slot->current[lane]))"),
    },
    threads=_killed("intent"),
    holds=lambda o: o.returned[1] in ((0, 1), (1, 1), (1, RUNNING)),
    reaches=lambda o: o.returned[1] == (1, 1),
    init={"ctl": 1},
    enough={"intent": (PLAIN,), "claim": (RLX,), "intent seen": (PLAIN,)},
    wrong={"the act first": _killed("act")},
)

# ---- Task events: a ring that is overwritten without asking ----


def _trace(o: Orders) -> list[Thread]:
    """Capacity 2, records of two words. Record 0 stands there (7, 7); record 2 comes in its place."""

    def writer() -> Run:
        yield Store("trace_tail", 2, o["tail"])  # record 1 is there
        yield Fence(o["before words"])
        yield Store("word a", 9, RLX)
        yield Store("word b", 9, RLX)
        yield Store("trace_tail", 3, o["tail"])

    def reader() -> Run:
        if (yield Load("trace_tail", o["tail seen"])) > 2:
            return None
        words = (yield Load("word a", RLX)), (yield Load("word b", RLX))
        yield Fence(o["after words"])
        return None if (yield Load("trace_tail", o["tail again"])) >= 2 else words

    return [writer, reader]


TRACE_SITES = {
    "tail": store(REL, "proc.c", "WR_STORE(&p->slot->trace_tail, tail + 1)"),
    "before words": fence(REL, "proc.c", "atomic_thread_fence(memory_order_release)"),
    "tail seen": load(ACQ, "keeper.c", "tail = WR_LOAD(&slot->trace_tail)"),
    "after words": fence(ACQ, "keeper.c", "atomic_thread_fence(memory_order_acquire)"),
    "tail again": load(RLX, "keeper.c", "WR_LOAD_RELAXED(&slot->trace_tail) - at >= capacity"),
}
TRACE = Litmus(
    name="a task event is read whole or not at all",
    claim="a record that is overwritten while it is read is left out",
    sites=TRACE_SITES,
    threads=_trace,
    holds=lambda o: o.returned[1] in (None, (7, 7)),
    reaches=lambda o: o.returned[1] == (7, 7),
    init={"word a": 7, "word b": 7, "trace_tail": 1},
    enough={"tail": (RLX,), "tail seen": (RLX,)},
    wrong_orders={"no fence before the words (so it was)": {"before words": NONE}},
)


def _new_trace(o: Orders) -> list[Thread]:
    def writer() -> Run:
        yield Store("word a", 9, RLX)
        yield Store("word b", 9, RLX)
        yield Store("trace_tail", 1, o["tail"])

    def reader() -> Run:
        if (yield Load("trace_tail", o["tail seen"])) == 0:
            return None
        return (yield Load("word a", RLX)), (yield Load("word b", RLX))

    return [writer, reader]


NEW_TRACE = Litmus(
    name="a task event is published with its tail",
    claim="who sees the tail sees the record",
    sites={k: TRACE_SITES[k] for k in ("tail", "tail seen")},
    threads=_new_trace,
    holds=lambda o: o.returned[1] in (None, (9, 9)),
    reaches=lambda o: o.returned[1] == (9, 9),
)

# ---- Poison ----


def _poison(flag_first: bool) -> Callable[[Orders], list[Thread]]:
    def threads(o: Orders) -> list[Thread]:
        def raylet() -> Run:
            if flag_first:
                yield Rmw("alert", lambda word: word | 1, o["alert"])
            yield Store("reason", 7, PLAIN)
            if not flag_first:
                yield Rmw("alert", lambda word: word | 1, o["alert"])

        def process() -> Run:
            if (yield Load("alert", o["alert seen"])) == 0:
                return None
            return (yield Load("reason", PLAIN))

        return [raylet, process]

    return threads


POISON = Litmus(
    name="poison comes with its reason",
    claim="who finds the pool poisoned finds the whole text",
    sites={
        "alert": rmw(SC, "pool.c", "atomic_fetch_or(&h->alert, WR_ALERT_POISON)"),
        "alert seen": load(
            ACQ, "proc.c", "(WR_LOAD(&proc->pool->header->alert) & WR_ALERT_POISON) != 0"
        ),
    },
    threads=_poison(False),
    holds=lambda o: o.returned[1] in (None, 7),
    reaches=lambda o: o.returned[1] == 7,
    enough={"alert": (REL,)},
    wrong={"the flag first (so it was)": _poison(True)},
    wrong_orders={"the flag is read relaxed (so it was)": {"alert seen": RLX}},
)

ALL = [EVENTS, GRANTS, GRACE, FREED, SLOT, ASSIGN, KILLED, TRACE, NEW_TRACE, POISON]
