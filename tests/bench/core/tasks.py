"""Rows about tasks."""

from __future__ import annotations

import os
import time

from common import ENGINE, ROUNDS, check, clock, emit, latency, main, rate, size, start

ray = start()
DRIVER = os.getpid()


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
    return len(ray.get([noop.remote() for _ in range(n)]))


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
    check(
        DRIVER not in ray.get([pid.remote() for _ in range(size(100))]), "a task ran in the driver"
    )


def round_trip() -> None:
    warm()
    latency("tasks.round_trip", lambda: check(ray.get(noop.remote()) is None, "no-op"), 5000)


def sleeper() -> None:
    warm()
    out = []
    for _ in range(size(15, 1)):
        time.sleep(1.0)  # what is measured: the first call after a second of idleness
        t = clock()
        value = ray.get(noop.remote())
        out.append((clock() - t) * 1e6)
        check(value is None, "no-op after idleness")
    emit("tasks.after_idle.p50", out, "us")


def submit() -> None:
    warm()
    n = size(5000)
    out = []
    for _ in range(ROUNDS):
        t = clock()
        refs = [noop.remote() for _ in range(n)]
        waiting = flush()  # a submit counts once a taker can see it: nothing may wait in a backlog
        out.append((clock() - t) / n * 1e6)
        check(not waiting, "tasks that no taker can see")
        check(ray.get(refs) == [None] * n, "submit")
    emit("tasks.submit", out, "us")


def batch(n: int):
    def run() -> None:
        warm()
        k = size(n, 200)
        rate(
            f"tasks.noop.{n}",
            lambda: check(ray.get([noop.remote() for _ in range(k)]) == [None] * k, "batch"),
            k,
        )

    return run


def args1k() -> None:
    warm()
    n, data = size(10000, 100), b"x" * 1024
    rate(
        "tasks.args_1KB",
        lambda: check(ray.get([take.remote(data) for _ in range(n)]) == [1024] * n, "1 KB"),
        n,
    )


def nest() -> None:
    warm()
    n = size(1000)
    rate(
        "tasks.nested_4x1000",
        lambda: check(ray.get([nested.remote(n) for _ in range(4)]) == [n] * 4, "nested"),
        4 * n,
        calls=4 * n + 4,
    )


def chain() -> None:
    warm()
    n = size(1000)

    def run() -> None:
        x = 0
        for _ in range(n):
            x = inc.remote(x)
        check(ray.get(x) == n, "chain")

    rate("tasks.chain_1000", run, n)


def tree() -> None:
    warm()
    n = size(1024, 16)

    def run() -> None:
        xs = [inc.remote(0) for _ in range(n)]
        while len(xs) > 1:
            xs = [add.remote(xs[i], xs[i + 1]) for i in range(0, len(xs), 2)]
        check(ray.get(xs[0]) == n, "tree")

    rate("tasks.fan_in_1024", run, 2 * n - 1)


def refs10() -> None:
    warm()
    refs = [ray.put(i) for i in range(10)]
    latency("tasks.ten_refs", lambda: check(ray.get(add10.remote(*refs)) == 45, "ten refs"), 1000)
    n = size(1000)
    rate(
        "tasks.ten_refs.rate",
        lambda: check(ray.get([add10.remote(*refs) for _ in range(n)]) == [45] * n, "ten refs"),
        n,
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
        lambda: check(sum(ray.get(r) for r in count.remote(n)) == n * (n - 1) // 2, "items"),
        n,
        calls=1,
    )


def exception() -> None:
    warm()

    def run() -> None:
        try:
            ray.get(boom.remote())
        except ValueError:
            return
        check(False, "no exception")

    latency("tasks.exception", run, 500)


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
