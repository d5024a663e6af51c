"""Rows about actors."""

from __future__ import annotations

import os

import numpy as np
from common import (
    ROUNDS,
    TINY,
    check,
    check_elsewhere,
    clock,
    counted,
    emit,
    latency,
    main,
    memory,
    rate,
    rounds,
    size,
    start,
)

ray = start()


@ray.remote(num_cpus=0)
class Plain:
    def ping(self):
        return b"ok"

    def take(self, x):
        return x.shape[0]

    def pid(self):
        return os.getpid()


@ray.remote(num_cpus=0)
class Async:
    async def ping(self):
        return b"ok"

    async def pid(self):
        return os.getpid()


@ray.remote(num_cpus=0)
class Caller:
    def call(self, actors, n):
        return ray.get([a.ping.remote() for a in actors for _ in range(n)]).count(b"ok")

    def pid(self):
        return os.getpid()


def alive(*actors) -> None:
    """Each is up, and in a process of its own."""
    pids = ray.get([a.pid.remote() for a in actors])
    check_elsewhere(pids, "actors")
    check(len(set(pids)) == len(actors), "each actor has a process of its own")


def pings(actor, metric: str) -> None:
    """Calls a second of one actor by one caller."""
    n = size(10000, 100)
    rate(
        metric,
        lambda: ray.get([actor.ping.remote() for _ in range(n)]),
        n,
        expect=lambda got: got == [b"ok"] * n,
    )


def one() -> None:
    a = Plain.remote()
    alive(a)
    ray.get([a.ping.remote() for _ in range(size(2000))])
    latency("actors.call", lambda: ray.get(a.ping.remote()), 5000, expect=lambda got: got == b"ok")
    pings(a, "actors.calls_1_1")


def pairs() -> None:
    actors = [Plain.remote() for _ in range(2)]
    callers = [Caller.remote() for _ in range(2)]
    alive(*actors, *callers)
    n = size(2500, 50)
    rate(
        "actors.calls_2_2",
        lambda: ray.get([c.call.remote(actors, n) for c in callers]),
        4 * n,
        expect=lambda got: got == [2 * n] * 2,
        calls=4 * n + 2,
    )


def asyncio() -> None:
    a = Async.remote()
    alive(a)
    ray.get([a.ping.remote() for _ in range(size(1000))])
    latency(
        "actors.async_call", lambda: ray.get(a.ping.remote()), 2000, expect=lambda got: got == b"ok"
    )
    pings(a, "actors.async_calls")


def threads() -> None:
    a = Plain.options(max_concurrency=8).remote()
    alive(a)
    pings(a, "actors.threads8_calls")


def arrays() -> None:
    a = Plain.remote()
    alive(a)
    x = np.zeros(1 << 20, dtype=np.uint8)
    latency(
        "actors.array_1MB",
        lambda: ray.get(a.take.remote(x)),
        300,
        expect=lambda got: got == 1 << 20,
        warm=20,
    )
    r = ray.put(x)
    latency(
        "actors.array_1MB_ref",
        lambda: ray.get(a.take.remote(r)),
        1000,
        expect=lambda got: got == 1 << 20,
        warm=20,
    )


def create() -> None:
    n = size(100, 3)
    rates = []
    for round_ in rounds(2 if TINY else max(3, ROUNDS)):
        with counted("actors.created") as made:
            t = clock()
            actors = [Plain.remote() for _ in range(n)]
            check(ray.get([a.ping.remote() for a in actors]) == [b"ok"] * n, "new actors")
            rates.append(n / (clock() - t))
            alive(*actors)
            made.made += 2 * n
        if round_ == 0:
            pss, count, thread_count = memory()
            check(count > n, "each actor has a process of its own")
            emit("actors.pss_of_100", pss, "MiB", processes=count, threads=thread_count)
        for a in actors:
            ray.kill(a)
    emit("actors.created", rates, "1/s")


if __name__ == "__main__":
    main(
        {
            "one": one,
            "pairs": pairs,
            "asyncio": asyncio,
            "threads": threads,
            "arrays": arrays,
            "create": create,
        }
    )
    ray.shutdown()
