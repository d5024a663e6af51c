"""Litmus programs of the cells: claims, seals, waits, links and their walk, credits."""

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
    futex_wait,
    futex_wake,
    load,
    rmw,
    store,
)
from pool_queue import QUEUE_SITES, bits_off, bits_on, swap
from rc11 import Load, Outcome, Rmw, Store, Thread, Wait

# A control word: state, flags, and the generation as its hundreds.
WAITING, READY, RUNNING, SEALED = 0, 1, 2, 3
FLAG = 10


def state_of(word: int) -> int:
    return word % 10


def is_sealed(word: int) -> bool:
    return state_of(word) == SEALED


def seal(word: int) -> int:
    return word - state_of(word) + SEALED


def has_flag(word: int) -> bool:
    return word // FLAG % 10 != 0


SEAL = rmw(
    SC,
    "proc_take.c",
    "WR_CAS_SEQ(&cell->ctl, &word, wr_word(wr_generation_of(handle), WR_CELL_SEALED)",
)
CELL_STATE = load(
    ACQ,
    "pool.c",
    "uint64_t word = WR_LOAD(&cell->ctl); return wr_generation_of(word) == wr_generation_of(handle) ?",
)

# ---- One claim, one seal ----


def _claim_once(o: Orders) -> list[Thread]:
    def taker() -> Run:
        if (yield Load("ctl", o["ctl seen"])) != READY:
            return None
        port = yield Load("port", o["port"])
        if (yield Rmw("ctl", swap(READY, RUNNING), o["claim"], ACQ)) != READY:
            return None
        yield Store("result", 7, PLAIN)
        yield Rmw("ctl", swap(RUNNING, SEALED), o["seal"])
        return port

    def creator() -> Run:
        yield Wait("ctl", is_sealed, o["sealed seen"])
        value = yield Load("result", PLAIN)
        yield Store("ctl", 100, o["freed"])
        yield Store("port", 9, o["port filled"])
        yield Store("result", 0, PLAIN)
        yield Store("ctl", 100 + READY, o["published"])
        return value

    return [taker, taker, creator]


CLAIM_ONCE = Litmus(
    name="a claim is won once, and its loser does no harm",
    claim="one taker runs the task, with the port it was made for; the loser reads no plain field of the next one",
    sites={
        "ctl seen": QUEUE_SITES["ctl seen"],
        "port": load(RLX, "layout.h", "__atomic_load_n(&cell->port, __ATOMIC_RELAXED)"),
        "claim": QUEUE_SITES["claim"],
        "seal": SEAL,
        "sealed seen": load(ACQ, "proc_refs.c", "uint64_t word = WR_LOAD(&cell->ctl)"),
        "freed": store(
            REL,
            "proc_refs.c",
            "WR_STORE(&cell->ctl, wr_word(wr_generation_next(generation), WR_CELL_FREE))",
        ),
        "port filled": store(
            RLX, "proc_task.c", "__atomic_store_n(&cell->port, spec->port, __ATOMIC_RELAXED)"
        ),
        "published": QUEUE_SITES["ctl"],
    },
    threads=_claim_once,
    holds=lambda o: (
        sum(r is not None for r in o.returned[:2]) <= 1
        and all(r in (None, 1) for r in o.returned[:2])
        and o.returned[2] in (None, 7)
    ),
    reaches=lambda o: 1 in o.returned[:2] and o.returned[2] == 7,
    init={"ctl": READY, "port": 1},
    enough={
        "ctl seen": (RLX,),
        "claim": (RLX,),
        "seal": (REL,),
        "freed": (RLX,),
        "published": (RLX,),
    },
    wrong_orders={"port is plain (so it was)": {"port": PLAIN, "port filled": PLAIN}},
)


def _result(o: Orders) -> list[Thread]:
    def worker() -> Run:
        yield Store("result", 7, PLAIN)
        yield Rmw("ctl", seal, o["seal"])

    def reader() -> Run:
        yield Wait("ctl", is_sealed, o["sealed seen"])
        return (yield Load("result", PLAIN))

    return [worker, reader, reader]


RESULT = Litmus(
    name="a result is published by its seal",
    claim="who sees SEALED sees the result",
    sites={
        "seal": SEAL,
        "sealed seen": load(
            ACQ, "pool.c", "uint64_t word = cell == NULL ? 0 : WR_LOAD(&cell->ctl)"
        ),
    },
    threads=_result,
    holds=lambda o: o.returned[1:] == (7, 7),
    reaches=lambda o: True,
    init={"ctl": RUNNING},
    enough={"seal": (REL,)},
)

# ---- Waiting for a cell ----


def _wait_one(o: Orders) -> list[Thread]:
    def sealer() -> Run:
        if has_flag((yield Rmw("ctl", seal, o["seal"]))):
            return (yield from futex_wake("queue"))
        return False

    def sleeper() -> Run:
        word = yield Load("ctl", o["ctl seen"])
        while not has_flag(word):
            if state_of(word) == SEALED:
                return False
            was = yield Rmw("ctl", swap(word, word + FLAG), o["flag"], ACQ)
            word = word + FLAG if was == word else was
        return (yield from futex_wait("queue", "ctl", word))

    return [sealer, sleeper]


WAIT_ONE = Litmus(
    name="WAIT1 and the sleep on that very word",
    claim="who sleeps on a cell is woken by its seal",
    sites={
        "seal": SEAL,
        "ctl seen": load(
            ACQ,
            "proc_wait.c",
            "uint64_t word = WR_LOAD(&cell->ctl); while ((word & WR_FLAG_WAIT1) == 0)",
        ),
        "flag": rmw(ACQ_REL, "proc_wait.c", "WR_CAS(&cell->ctl, &word, word | WR_FLAG_WAIT1)"),
    },
    threads=_wait_one,
    holds=lambda o: not o.returned[1] or o.returned[0],
    reaches=lambda o: o.returned == (True, True),
    init={"ctl": RUNNING},
    # One word decides, and the kernel looks at it again.
    enough={"seal": (RLX,), "ctl seen": (RLX,), "flag": (RLX,)},
)


def _wait_many(o: Orders) -> list[Thread]:
    def sealer() -> Run:
        if has_flag((yield Rmw("ctl", seal, o["seal"]))):
            yield Rmw("bell", lambda word: word + 1, o["ring"])
            return (yield from futex_wake("queue"))
        return False

    def sleeper() -> Run:
        seen = yield Load("bell", o["bell seen"])
        word = yield Load("ctl", o["ctl seen"])
        while state_of(word) != SEALED and not has_flag(word):
            was = yield Rmw("ctl", swap(word, word + FLAG), o["flag"], o["flag failed"])
            word = word + FLAG if was == word else was
        if state_of((yield Load("ctl", o["looked again"]))) == SEALED:
            return False
        return (yield from futex_wait("queue", "bell", seen))

    return [sealer, sleeper]


WAIT_MANY_SITES = {
    "seal": SEAL,
    "ring": rmw(SC, "layout.h", "atomic_fetch_add_explicit(bell, 1, memory_order_seq_cst)"),
    "bell seen": load(SC, "proc_wait.c", "(bell_wait){WR_LOAD_SEQ(bell)"),
    "ctl seen": load(ACQ, "proc_wait.c", "uint64_t word = WR_LOAD(&cell->ctl); while (!settled"),
    "flag": rmw(SC, "proc_wait.c", "WR_CAS_SEQ(&cell->ctl, &word, word | WR_FLAG_WAITN)"),
    "looked again": CELL_STATE,
}
WAIT_MANY = Litmus(
    name="WAITN and the value of the bell",
    claim="who sleeps on the bells of many cells is woken by the seal of one",
    sites=WAIT_MANY_SITES,
    threads=lambda o: _wait_many({**o, "flag failed": o["flag"]}),
    holds=lambda o: not o.returned[1] or o.returned[0],
    reaches=lambda o: o.returned == (True, True),
    init={"ctl": RUNNING},
    enough={
        "seal": (RLX,),
        "ring": (RLX,),
        "bell seen": (PLAIN,),
        "ctl seen": (RLX,),
        "flag": (RLX,),
        "looked again": (RLX,),
    },
)
WAIT_MANY_SHARED = Litmus(
    name="WAITN that another has set",
    claim="the same for one who finds the flag set and changes nothing",
    sites=WAIT_MANY_SITES,
    threads=lambda o: _wait_many({**o, "flag failed": o["flag"]}),
    holds=lambda o: not o.returned[1] or o.returned[0],
    reaches=lambda o: o.returned == (True, True),
    init={"ctl": RUNNING + FLAG},
    enough={
        "seal": (RLX,),
        "ring": (REL,),
        "bell seen": (ACQ,),
        "ctl seen": (RLX,),
        "flag": (RLX,),
        "looked again": (RLX,),
    },
)

# ---- Waiting for arguments ----


def _link(o: Orders) -> list[Thread]:
    def linker() -> Run:
        yield Store("nargs", 1, PLAIN)
        yield Store("next", 8, o["next"])
        yield Rmw("deps", lambda word: 1, o["deps"])
        word = yield Load("ctl", o["ctl seen"])
        while state_of(word) != SEALED:
            if o["flag"] is NONE and has_flag(word):
                return "linked"
            was = yield Rmw(
                "ctl", swap(word, word if has_flag(word) else word + FLAG), o["flag"], ACQ
            )
            if was == word:
                return "linked"
            word = was
        return "sealed"

    def sealer() -> Run:
        if not has_flag((yield Rmw("ctl", seal, o["seal"]))):
            return None
        if (yield Load("deps", o["deps seen"])) == 0:
            return None
        return (yield Load("nargs", PLAIN)), (yield Load("next", RLX))

    return [linker, sealer]


LINK_SITES = {
    "next": store(
        RLX, "proc_task.c", "__atomic_store_n(&link->next, deps & ~WR_WALKED, __ATOMIC_RELAXED)"
    ),
    "deps": rmw(ACQ_REL, "proc_task.c", "WR_CAS(&awaited->deps, &deps, code | (deps & WR_WALKED))"),
    "ctl seen": load(ACQ, "proc_task.c", "uint64_t word = WR_LOAD(&awaited->ctl)"),
    "flag": rmw(SC, "proc_task.c", "WR_CAS_SEQ(&awaited->ctl, &word, word | WR_FLAG_DEPS)"),
    "seal": SEAL,
    "deps seen": load(SC, "proc_task.c", "WR_LOAD_SEQ(&sealed->deps)"),
}


def _walked(o: Outcome) -> bool:
    return bool(o.returned[1] == (1, 8))


LINK = Litmus(
    name="pair 2: a link, then a change of ctl",
    claim="either the sealer walks to the link, with all that the linker wrote, or the linker sees SEALED",
    sites=LINK_SITES,
    threads=_link,
    holds=lambda o: o.returned[0] == "sealed" or _walked(o),
    reaches=_walked,
    init={"ctl": RUNNING},
    enough={
        "next": (PLAIN,),
        "deps": (RLX,),
        "ctl seen": (RLX,),
        "flag": (REL,),
        "seal": (ACQ,),
        "deps seen": (PLAIN,),
    },
)
LINK_AGAIN = Litmus(
    name="pair 2: a link, where DEPS stands already",
    claim="the same for the second link of a list",
    sites=LINK_SITES,
    threads=_link,
    holds=lambda o: o.returned[0] == "sealed" or _walked(o),
    reaches=lambda o: o.returned == ("sealed", (1, 8)),
    init={"ctl": RUNNING + FLAG},
    enough={
        "next": (PLAIN,),
        "deps": (REL,),
        "ctl seen": (RLX,),
        "flag": (REL,),
        "seal": (ACQ,),
        "deps seen": (ACQ,),
    },
    wrong={"no change of ctl where DEPS stands": lambda o: _link({**o, "flag": NONE})},
)


def _two_links(o: Orders) -> list[Thread]:
    def linker(name: str, code: int) -> Thread:
        def run() -> Run:
            yield Store(f"nargs {name}", code, PLAIN)
            head = 0
            while True:
                yield Store(f"next {name}", head, RLX)
                was = yield Rmw("deps", swap(head, code), o["deps"], ACQ)
                if was == head:
                    return None
                head = was

        return run

    def walker() -> Run:
        code, found = (yield Load("deps", o["deps seen"])), []
        while code != 0:
            name = "a" if code == 1 else "b"
            found.append((yield Load(f"nargs {name}", PLAIN)))
            code = yield Load(f"next {name}", RLX)
        return tuple(found)

    return [linker("a", 1), linker("b", 2), walker]


TWO_LINKS = Litmus(
    name="two links in one list",
    claim="who walks a list sees each link's fields and what lies behind it",
    sites={k: LINK_SITES[k] for k in ("deps", "deps seen")},
    threads=_two_links,
    holds=lambda o: o.returned[2] in ((), (1,), (2,), (1, 2), (2, 1)),
    reaches=lambda o: o.returned[2] == (2, 1),
    enough={"deps": (REL,), "deps seen": (ACQ,)},
)


def _pending(o: Orders) -> list[Thread]:
    def sealer(name: str, bit: int) -> Thread:
        def run() -> Run:
            yield Store(f"ctl {name}", SEALED, REL)
            if (yield Rmw("pending", bits_off(bit), o["bit off"])) & ~bit == 0:
                yield Rmw("ctl", swap(WAITING, READY), o["ready"])

        return run

    def taker() -> Run:
        yield Wait("ctl", bool, o["ctl seen"])
        return (yield Load("ctl a", ACQ)), (yield Load("ctl b", ACQ))

    return [sealer("a", 1), sealer("b", 2), taker]


PENDING = Litmus(
    name="the last bit of pending",
    claim="who takes a task finds all its arguments sealed, whoever cleared the last bit",
    sites={
        "bit off": rmw(
            ACQ_REL,
            "proc_task.c",
            "atomic_fetch_and_explicit(&cell->pending, ~bit, memory_order_acq_rel)",
        ),
        "ready": rmw(
            SC, "proc_task.c", "WR_CAS_SEQ(&cell->ctl, &word, (word & ~15ull) | WR_CELL_READY)"
        ),
        "ctl seen": QUEUE_SITES["ctl seen"],
    },
    threads=_pending,
    holds=lambda o: o.returned[2] == (SEALED, SEALED),
    reaches=lambda o: True,
    init={"pending": 3},
    enough={"ready": (REL,)},
)


def _shared(o: Orders) -> list[Thread]:
    def worker() -> Run:
        yield Rmw("argument", lambda word: word + FLAG, o["shared"])
        yield Rmw("task", seal, o["seal"])

    def creator() -> Run:
        """Its pin on the argument ends when it sees the task sealed."""
        yield Wait("task", is_sealed, o["sealed seen"])
        return has_flag((yield Load("argument", o["sealed seen"])))

    return [worker, creator]


SHARED = Litmus(
    name="SHARED before the seal",
    claim="a creator never frees an argument by itself that the task's worker keeps",
    sites={
        "shared": rmw(ACQ_REL, "proc_refs.c", "WR_CAS(&cell->ctl, &word, word | WR_FLAG_SHARED)"),
        "seal": SEAL,
        "sealed seen": load(ACQ, "proc_refs.c", "uint64_t word = WR_LOAD(&cell->ctl)"),
    },
    threads=_shared,
    holds=lambda o: o.returned[1] is not False,
    reaches=lambda o: o.returned[1] is True,
    init={"argument": SEALED, "task": RUNNING},
    enough={"shared": (RLX,), "seal": (REL,)},
)


def _walked_then_freed(o: Orders) -> list[Thread]:
    def walker() -> Run:
        yield Load("nargs", PLAIN)
        yield Load("next", RLX)
        yield Rmw("pending", bits_off(1), RLX)
        yield Rmw("deps", bits_on(1), o["walked"])

    def creator() -> Run:
        yield Wait("deps", bool, o["walked seen"])
        yield Store("nargs", 0, PLAIN)  # freed, and used again by a task that waits
        yield Store("next", 9, PLAIN)
        yield Store("pending", 5, RLX)

    return [walker, creator]


WALKED = Litmus(
    name="WALKED, then the end of the links",
    claim="a task's links are freed when nobody walks over them any more",
    sites={
        "walked": rmw(
            REL,
            "proc_task.c",
            "atomic_fetch_or_explicit(&sealed->deps, WR_WALKED, memory_order_release)",
        ),
        "walked seen": load(ACQ, "proc_refs.c", "(WR_LOAD(&cell->deps) & WR_WALKED) != 0"),
    },
    threads=_walked_then_freed,
    holds=lambda o: o.final["pending"] == 5,
    reaches=lambda o: True,
    init={"nargs": 1, "pending": 1},
)

DEAD, ALIVE = 1, 2


def _two_walkers(asks: bool) -> Callable[[Orders], list[Thread]]:
    """The dead wrote its intent and lost the claim to one who lives, has sealed, and is walking."""

    def threads(o: Orders) -> list[Thread]:
        def walk() -> Run:
            yield Rmw("pending", bits_off(1), ACQ_REL)
            yield Rmw("deps", bits_on(1), REL)

        def reaper() -> Run:
            sealer = yield Load("sealer", ACQ)  # in the sealed word
            if asks and sealer != DEAD:
                return
            if (yield Load("deps", ACQ)) == 0:
                yield from walk()

        def creator() -> Run:
            yield Wait("deps", bool, ACQ)
            yield Store("pending", 5, RLX)  # another task, which waits for two

        return [walk, reaper, creator]

    return threads


TWO_WALKERS = Litmus(
    name="one walks a list",
    claim="the reaper walks only what the dead sealed: a bit of a later task in the cell is never cleared",
    sites={
        "who": load(ACQ, "keeper_reap.c", "word = WR_LOAD(&cell->ctl); if (wr_generation_of(word)")
    },
    threads=_two_walkers(True),
    holds=lambda o: o.returned[2] is None and o.final["pending"] == 5,
    reaches=lambda o: True,
    init={"pending": 1, "sealer": ALIVE},
    enough={"who": (PLAIN,)},
    wrong={"the reaper walks what is sealed and not walked (so it was)": _two_walkers(False)},
)

# ---- Credits of a generator ----


def _credit(o: Orders) -> list[Thread]:
    def consumer() -> Run:
        yield Store("tail", 1, o["tail"])
        yield Rmw("bell", lambda word: word + 1, o["ring"])
        if (yield Load("ctl", o["runner"])) != RUNNING:
            return False
        if (yield Load("waiters", o["waiters seen"])) == 0:
            return False
        return (yield from futex_wake("queue"))

    def producer() -> Run:
        if (yield Rmw("ctl", swap(READY, RUNNING), o["claim"])) != READY:
            return False
        seen = yield Load("bell", o["bell seen"])
        yield Rmw("waiters", lambda word: word + 1, o["waits"])
        if (yield Load("tail", o["tail looked at"])) != 0:
            return False
        return (yield from futex_wait("queue", "bell", seen))

    return [consumer, producer]


CREDIT = Litmus(
    name="pair 5: the tail of the credits, then who waits",
    claim="a producer never sleeps on a credit that came without waking it, also if it has just begun",
    sites={
        "tail": store(SC, "proc_stream.c", "WR_STORE_SEQ(ring.tail, tail)"),
        "ring": rmw(
            SC, "proc_stream.c", "atomic_fetch_add_explicit(ring.bell, 1, memory_order_seq_cst)"
        ),
        "runner": load(SC, "proc_stream.c", "uint64_t word = WR_LOAD_SEQ(&cell->ctl)"),
        "waiters seen": load(
            SC, "proc_stream.c", "WR_LOAD_SEQ(&wr_slot_at(p->pool, slot)->credit_waiters)"
        ),
        "claim": QUEUE_SITES["claim"],
        "bell seen": load(SC, "proc_stream.c", "uint32_t seen = WR_LOAD_SEQ(ring.bell)"),
        "waits": rmw(
            SC,
            "proc_stream.c",
            "atomic_fetch_add_explicit(&p->slot->credit_waiters, 1, memory_order_seq_cst)",
        ),
        "tail looked at": load(SC, "proc_stream.c", "WR_LOAD_SEQ(ring.tail) <= index"),
    },
    threads=_credit,
    holds=lambda o: not o.returned[1] or o.returned[0],
    reaches=lambda o: o.returned == (True, True),
    init={"ctl": READY},
    # The bell is changed before the looks, and the kernel compares it behind a fence: that is enough without the tail.
    enough={
        "tail": (RLX,),
        "claim": (RLX,),
        "bell seen": (ACQ,),
        "waits": (RLX,),
        "tail looked at": (RLX,),
    },
    wrong_orders={"the look at the runner is no seq_cst (so it was)": {"runner": ACQ}},
)


def _consumer_dies(asks: bool) -> Callable[[Orders], list[Thread]]:
    def threads(o: Orders) -> list[Thread]:
        def reaper() -> Run:
            yield Store("extent", 0, o["extent"])
            yield Rmw("bell", lambda word: word + 1, o["ring"])
            return (yield from futex_wake("queue"))

        def producer() -> Run:
            if (yield Load("extent", ACQ)) == 0:  # wr_proc_credit_claim
                return False
            seen = yield Load("bell", o["bell seen"])
            if asks and (yield Load("extent", o["extent again"])) == 0:
                return False
            return (yield from futex_wait("queue", "bell", seen))

        return [reaper, producer]

    return threads


CONSUMER_DIES = Litmus(
    name="a producer whose consumer dies",
    claim="a producer never sleeps for a credit of a dead consumer that nobody will wake it for",
    sites={
        "extent": store(REL, "keeper_reap.c", "WR_STORE(&k->pool->extents[e], 0)"),
        "ring": rmw(SC, "layout.h", "atomic_fetch_add_explicit(bell, 1, memory_order_seq_cst)"),
        "bell seen": load(SC, "proc_stream.c", "uint32_t seen = WR_LOAD_SEQ(ring.bell)"),
        "extent again": load(
            ACQ,
            "proc_stream.c",
            "return WR_LOAD(&pool->extents[wr_index_of(generator) >> pool->cells_shift]) == 0",
        ),
    },
    threads=_consumer_dies(True),
    holds=lambda o: not o.returned[1] or o.returned[0],
    reaches=lambda o: o.returned == (True, True),
    init={"extent": 1},
    enough={"extent": (RLX,), "ring": (REL,), "bell seen": (ACQ,), "extent again": (RLX,)},
    wrong={"it looks before the bell only (so it was)": _consumer_dies(False)},
)


def _taken_back(state_first: bool) -> Callable[[Orders], list[Thread]]:
    def threads(o: Orders) -> list[Thread]:
        def consumer() -> Run:  # wr_proc_cancel, which has just claimed it
            yield Store("withdrawn", 1, o["mark"])
            yield Rmw("ctl", seal, o["seal"])

        def producer() -> Run:
            if state_first:
                sealed = is_sealed((yield Load("ctl", o["state seen"])))
                mark = yield Load("withdrawn", o["mark seen"])
            else:
                mark = yield Load("withdrawn", o["mark seen"])
                sealed = is_sealed((yield Load("ctl", o["state seen"])))
            return sealed, mark

        return [consumer, producer]

    return threads


TAKEN_BACK = Litmus(
    name="a credit that is taken back",
    claim="who finds the credit sealed by its consumer sees that it was taken back",
    sites={
        "mark": store(
            RLX,
            "layout.h",
            "__atomic_store_n(&cell->result_kind, (uint8_t)(kind | (withdrawn ? WR_WITHDRAWN : 0)), __ATOMIC_RELAXED)",
        ),
        "seal": SEAL,
        "state seen": CELL_STATE,
        "mark seen": load(
            RLX,
            "layout.h",
            "(__atomic_load_n(&cell->result_kind, __ATOMIC_RELAXED) & WR_WITHDRAWN) != 0",
        ),
    },
    threads=_taken_back(True),
    holds=lambda o: o.returned[1] != (True, 0),
    reaches=lambda o: o.returned[1] == (True, 1),
    init={"ctl": RUNNING},
    enough={"seal": (REL,)},
    wrong={"the mark first (so it was)": _taken_back(False)},
)

ALL = [
    CLAIM_ONCE,
    RESULT,
    WAIT_ONE,
    WAIT_MANY,
    WAIT_MANY_SHARED,
    LINK,
    LINK_AGAIN,
    TWO_LINKS,
    PENDING,
    SHARED,
    WALKED,
    TWO_WALKERS,
    CREDIT,
    CONSUMER_DIES,
    TAKEN_BACK,
]
