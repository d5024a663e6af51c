"""Rows about tasks."""

from __future__ import annotations

import os
import time

from common import (
    ENGINE,
    SHORT_ROUNDS,
    check,
    check_elsewhere,
    clock,
    counted,
    emit,
    latency,
    main,
    rate,
    rounds,
    size,
    start,
)

ray = start()


@ray.remote
def noop():
    return None


@ray.remote
def pid():
    return os.getpid()


@ray.remote
def take(x):
    return len(x)


@ray.remote
def inc(x):
    return x + 1


@ray.remote
def add(a, b):
    return a + b


@ray.remote
def add10(a, b, c, d, e, f, g, h, i, j):
    return a + b + c + d + e + f + g + h + i + j


@ray.remote
def nested(n):
    return ray.get([noop.remote() for _ in range(n)]).count(None)


@ray.remote
def boom():
    raise ValueError("boom")


def flush() -> bool:
    """Whether submitted tasks wait where no taker sees them."""
    if ENGINE != "whipray":
        return False  # Ray's submit hands over to a thread of its own; nothing tells
    from whipray import _core

    return _core.flush()


def warm() -> None:
    for _ in range(3):
        check(ray.get([noop.remote() for _ in range(size(1000))]) == [None] * size(1000), "no-op")
    check_elsewhere(ray.get([pid.remote() for _ in range(size(100))]), "tasks")


def round_trip() -> None:
    warm()
    latency(
        "tasks.round_trip", lambda: ray.get(noop.remote()), 5000, expect=lambda got: got is None
    )


def sleeper() -> None:
    warm()
    out = []
    with counted("tasks.after_idle") as made:
        for _ in range(size(15, 1)):
            time.sleep(1.0)  # what is measured: the first call after a second of idleness
            t = clock()
            value = ray.get(noop.remote())
            out.append((clock() - t) * 1e6)
            made.made += 1
            check(value is None, "no-op after idleness")
    emit("tasks.after_idle.p50", out, "us")


def submit() -> None:
    warm()
    n = size(5000)
    out = []
    with counted("tasks.submit") as made:
        for _ in rounds(SHORT_ROUNDS):
            t = clock()
            refs = [noop.remote() for _ in range(n)]
            waiting = flush()  # a submit counts once a taker can see it: nothing is in a backlog
            out.append((clock() - t) / n * 1e6)
            made.made += n
            check(not waiting, "tasks that no taker can see")
            check(ray.get(refs) == [None] * n, "submit")
    emit("tasks.submit", out, "us")


def batch(n: int):
    def run() -> None:
        warm()
        k = size(n, 200)
        rate(
            f"tasks.noop.{n}",
            lambda: ray.get([noop.remote() for _ in range(k)]),
            k,
            expect=lambda got: got == [None] * k,
            # the peer needs half a minute for the large one, and warm() was enough for it
            warm=1 if ENGINE == "whipray" or n <= 10_000 else 0,
        )

    return run


def args1k() -> None:
    warm()
    n, data = size(10000, 100), b"x" * 1024
    rate(
        "tasks.args_1KB",
        lambda: ray.get([take.remote(data) for _ in range(n)]),
        n,
        expect=lambda got: got == [1024] * n,
    )


def nest() -> None:
    warm()
    n = size(1000)
    rate(
        "tasks.nested_4x1000",
        lambda: ray.get([nested.remote(n) for _ in range(4)]),
        4 * n,
        expect=lambda got: got == [n] * 4,
        calls=4 * n + 4,
    )


def chain() -> None:
    warm()
    n = size(1000)

    def run() -> int:
        x = 0
        for _ in range(n):
            x = inc.remote(x)
        return ray.get(x)

    rate("tasks.chain_1000", run, n, expect=lambda got: got == n)


def tree() -> None:
    warm()
    n = size(1024, 16)

    def run() -> int:
        xs = [inc.remote(0) for _ in range(n)]
        while len(xs) > 1:
            xs = [add.remote(xs[i], xs[i + 1]) for i in range(0, len(xs), 2)]
        return ray.get(xs[0])

    rate("tasks.fan_in_1024", run, 2 * n - 1, expect=lambda got: got == n)


def refs10() -> None:
    warm()
    refs = [ray.put(i) for i in range(10)]
    latency(
        "tasks.ten_refs",
        lambda: ray.get(add10.remote(*refs)),
        1000,
        expect=lambda got: got == 45,
    )
    n = size(1000)
    rate(
        "tasks.ten_refs.rate",
        lambda: ray.get([add10.remote(*refs) for _ in range(n)]),
        n,
        expect=lambda got: got == [45] * n,
    )


def generator() -> None:
    warm()
    n = size(10000, 100)

    @ray.remote(num_returns="streaming")
    def count(k):
        for item in range(k):  # `yield from range(k)` raises on Ray, which calls send()
            yield item

    rate(
        "tasks.generator_10000",
        lambda: [ray.get(r) for r in count.remote(n)],
        n,
        expect=lambda got: got == list(range(n)),
        calls=1,
    )


def exception() -> None:
    warm()

    def run() -> BaseException | None:
        try:
            ray.get(boom.remote())
        except ValueError as error:
            return error
        return None

    latency("tasks.exception", run, 500, expect=lambda error: "boom" in str(error))


if __name__ == "__main__":
    main(
        {
            "round_trip": round_trip,
            "submit": submit,
            "noop10k": batch(10_000),
            "args1k": args1k,
            "nest": nest,
            "chain": chain,
            "tree": tree,
            "refs10": refs10,
            "generator": generator,
            "exception": exception,
            "noop100k": batch(100_000),
            "sleeper": sleeper,
        }
    )
    ray.shutdown()
