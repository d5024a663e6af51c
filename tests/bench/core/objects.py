"""Rows about objects."""

from __future__ import annotations

import os
import time

import numpy as np
from common import (
    check,
    check_elsewhere,
    clock,
    counted,
    duration,
    emit,
    latency,
    main,
    rate,
    rounds,
    size,
    start,
)

ray = start(object_store_memory=3_000_000_000)
LARGE = size(100_000_000, 1_000_000)


@ray.remote
def small(x):
    return x


@ray.remote
def pid():
    return os.getpid()


@ray.remote
def timed_get(refs):
    import time

    t = time.perf_counter()
    x = ray.get(refs[0])
    return (time.perf_counter() - t) * 1e6, os.getpid(), x.size, int(x[0]), int(x[-1])


def per_call(metric: str, call, n: int, expect) -> None:
    """Mean of n calls in a row, in microseconds: below the clock's own cost a p50 says nothing.

    ``expect`` judges each answer afterwards, outside of the time.
    """
    n = size(n)
    out = []
    with counted(metric):
        for _ in rounds():
            answers = [None] * n
            t = clock()
            for k in range(n):
                answers[k] = call(k)
            out.append((clock() - t) / n * 1e6)
            check(all(expect(k, answer) for k, answer in enumerate(answers)), metric)
    emit(metric, out, "us")


def little() -> None:
    per_call("objects.put_small", ray.put, 20000, lambda k, ref: k % 100 or ray.get(ref) == k)
    r = ray.put(7)
    per_call("objects.get_small", lambda _: ray.get(r), 20000, lambda _, got: got == 7)


def many() -> None:
    n = size(10000, 100)
    rate(
        "objects.put_then_get_10000",
        lambda: ray.get([ray.put(i) for i in range(n)]),
        n,
        expect=lambda got: got == list(range(n)),
        calls=0,
    )
    refs = [ray.put(i) for i in range(n)]
    duration(
        "objects.get_list_10000", lambda: ray.get(refs), expect=lambda got: got == list(range(n))
    )
    duration(
        "objects.wait_1_of_10000",
        lambda: ray.wait(refs, num_returns=1),
        expect=lambda got: len(got[0]) == 1 and set(got[0] + got[1]) == set(refs),
    )
    outer = ray.put(refs)
    duration(
        "objects.put_10000_refs", lambda: ray.put(refs), expect=lambda ref: ray.get(ref) == refs
    )
    duration("objects.get_10000_refs", lambda: ray.get(outer), expect=lambda got: got == refs)


def wait_loop() -> None:
    n = size(1000)
    check_elsewhere(ray.get([pid.remote() for _ in range(100)]), "tasks")

    def run() -> list:
        refs = [small.remote(k) for k in range(n)]
        came = []
        while refs:
            ready, refs = ray.wait(refs)
            came += ready
        return came

    rate(
        "objects.wait_loop_1000",
        run,
        n,
        expect=lambda refs: sorted(ray.get(refs)) == list(range(n)),
    )


def large() -> None:
    x = np.ones(LARGE, dtype=np.uint8)
    x[0], x[-1] = 2, 3
    t = clock()
    r = ray.put(x)
    seconds = clock() - t
    check(np.array_equal(ray.get(r), x), "the first put")
    emit("objects.put_100MB.first", x.nbytes / seconds / 1e9, "GB/s")
    del r
    warm = []
    with counted("objects.put_100MB"):
        for k in range(size(20, 2)):
            x[0] = k
            t = clock()
            r = ray.put(x)
            seconds = clock() - t
            if k >= size(3, 0):
                warm.append(x.nbytes / seconds / 1e9)
            check(np.array_equal(ray.get(r), x), "a warm put")
            del r
            time.sleep(0.02)  # Ray frees behind the caller's back: give it the time
    emit("objects.put_100MB.warm", warm, "GB/s")
    r = ray.put(x)
    latency(
        "objects.get_100MB.driver",
        lambda: ray.get(r),
        300,
        expect=lambda got: got.size == x.size and got[0] == x[0] and got[-1] == 3,
        warm=20,
        calls=0,
    )
    ray.get(timed_get.remote([r]))
    out = []
    with counted("objects.get_100MB.worker") as made:
        for _ in range(size(40, 2)):
            us, where, bytes_, first, last = ray.get(timed_get.remote([r]))
            made.made += 1
            check((bytes_, first, last) == (x.size, x[0], 3), "100 MB in a worker")
            check_elsewhere([where], "the worker's get")
            out.append(us)
    emit("objects.get_100MB.worker", out, "us")


if __name__ == "__main__":
    main({"little": little, "many": many, "wait_loop": wait_loop, "large": large})
    ray.shutdown()
