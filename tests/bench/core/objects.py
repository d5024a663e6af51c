"""Rows about objects."""

from __future__ import annotations

import time

import numpy as np
from common import ROUNDS, check, clock, duration, emit, latency, main, rate, size, start

ray = start(object_store_memory=3_000_000_000)
LARGE = size(100_000_000, 1_000_000)


@ray.remote
def small():
    return b"ok"


@ray.remote
def timed_get(refs):
    import time

    t = time.perf_counter()
    x = ray.get(refs[0])
    return (time.perf_counter() - t) * 1e6, int(x[-1])


def per_call(metric: str, call, n: int) -> None:
    """Mean of n calls in a row, in microseconds: below the clock's own cost a p50 says nothing."""
    n = size(n)
    out = []
    for _ in range(ROUNDS):
        t = clock()
        for _ in range(n):
            call()
        out.append((clock() - t) / n * 1e6)
    emit(metric, out, "us")


def little() -> None:
    per_call("objects.put_small", lambda: ray.put(1), 20000)
    r = ray.put(1)
    check(ray.get(r) == 1, "get")
    per_call("objects.get_small", lambda: ray.get(r), 20000)


def many() -> None:
    n = size(10000, 100)

    def put_get() -> None:
        check(sum(ray.get([ray.put(i) for i in range(n)])) == n * (n - 1) // 2, "sum")

    rate("objects.put_then_get_10000", put_get, n, calls=0)
    refs = [ray.put(i) for i in range(n)]
    duration("objects.get_list_10000", lambda: check(len(ray.get(refs)) == n, "list"))
    duration(
        "objects.wait_1_of_10000", lambda: check(len(ray.wait(refs, num_returns=1)[0]) == 1, "wait")
    )
    outer: list = []

    def contain() -> None:
        outer[:] = [ray.put(refs)]

    duration("objects.put_10000_refs", contain)
    duration("objects.get_10000_refs", lambda: check(len(ray.get(outer[0])) == n, "refs"))


def wait_loop() -> None:
    n = size(1000)

    def run() -> None:
        refs = [small.remote() for _ in range(n)]
        while refs:
            _, refs = ray.wait(refs)

    rate("objects.wait_loop_1000", run, n)


def large() -> None:
    x = np.ones(LARGE, dtype=np.uint8)
    t = clock()
    r = ray.put(x)
    emit("objects.put_100MB.first", x.nbytes / (clock() - t) / 1e9, "GB/s")
    del r
    warm = []
    for k in range(size(15, 2)):
        t = clock()
        r = ray.put(x)
        if k > 2:
            warm.append(x.nbytes / (clock() - t) / 1e9)
        del r
        time.sleep(0.02)  # Ray frees behind the caller's back: give it the time
    emit("objects.put_100MB.warm", warm or [0.0], "GB/s")
    r = ray.put(x)
    check(int(ray.get(r)[-1]) == 1, "100 MB")
    latency("objects.get_100MB.driver", lambda: ray.get(r), 300, warm=20, calls=0)
    ray.get(timed_get.remote([r]))
    out = []
    for _ in range(size(40, 2)):
        us, last = ray.get(timed_get.remote([r]))
        check(last == 1, "100 MB in a worker")
        out.append(us)
    emit("objects.get_100MB.worker", out, "us")


if __name__ == "__main__":
    main({"little": little, "many": many, "wait_loop": wait_loop, "large": large})
    ray.shutdown()
