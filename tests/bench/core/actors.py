"""Rows about actors."""

from __future__ import annotations

import os

import numpy as np
from common import ROUNDS, TINY, check, clock, emit, latency, main, memory, rate, size, start

ray = start()


@ray.remote(num_cpus=0)
class Plain:
    def __init__(self):
        self.calls = 0

    def ping(self):
        self.calls += 1
        return b"ok"

    def take(self, x):
        return x.shape[0]

    def state(self):
        return self.calls, os.getpid()


@ray.remote(num_cpus=0)
class Async:
    async def ping(self):
        return b"ok"


@ray.remote(num_cpus=0)
class Caller:
    def call(self, actors, n):
        return len(ray.get([a.ping.remote() for a in actors for _ in range(n)]))


def burst(actor, n):
    return lambda: check(ray.get([actor.ping.remote() for _ in range(n)]) == [b"ok"] * n, "pings")


def one() -> None:
    a = Plain.remote()
    burst(a, size(2000))()
    latency("actors.call", lambda: ray.get(a.ping.remote()), 5000)
    n = size(10000, 100)
    before = ray.get(a.state.remote())[0]
    rate("actors.calls_1_1", burst(a, n), n)
    calls, pid = ray.get(a.state.remote())
    check(calls - before == n * (ROUNDS + 1), "executions equal calls")
    check(pid != os.getpid(), "the actor has a process of its own")


def pairs() -> None:
    actors = [Plain.remote() for _ in range(2)]
    callers = [Caller.remote() for _ in range(2)]
    n = size(2500, 50)
    rate(
        "actors.calls_2_2",
        lambda: check(ray.get([c.call.remote(actors, n) for c in callers]) == [2 * n] * 2, "calls"),
        4 * n,
        calls=4 * n + 2,
    )


def asyncio() -> None:
    a = Async.remote()
    burst(a, size(1000))()
    latency("actors.async_call", lambda: ray.get(a.ping.remote()), 2000)
    n = size(10000, 100)
    rate("actors.async_calls", burst(a, n), n)


def threads() -> None:
    a = Plain.options(max_concurrency=8).remote()
    burst(a, size(1000))()
    n = size(10000, 100)
    rate("actors.threads8_calls", burst(a, n), n)


def arrays() -> None:
    a = Plain.remote()
    x = np.zeros(1 << 20, dtype=np.uint8)
    latency(
        "actors.array_1MB",
        lambda: check(ray.get(a.take.remote(x)) == 1 << 20, "1 MB"),
        300,
        warm=20,
    )
    r = ray.put(x)
    latency(
        "actors.array_1MB_ref",
        lambda: check(ray.get(a.take.remote(r)) == 1 << 20, "1 MB ref"),
        1000,
        warm=20,
    )


def create() -> None:
    n = size(100, 3)
    rates = []
    for round_ in range(2 if TINY else max(3, ROUNDS)):
        t = clock()
        actors = [Plain.remote() for _ in range(n)]
        check(ray.get([a.ping.remote() for a in actors]) == [b"ok"] * n, "new actors")
        rates.append(n / (clock() - t))
        if round_ == 0:
            pss, count, thread_count = memory()
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
