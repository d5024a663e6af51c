"""What several test files use."""

from __future__ import annotations

import asyncio
import os

import pytest

AGAINST = os.environ.get("WHIPRAY_COMPAT_AGAINST", "whipray")
if AGAINST != "ray":
    import whipray.compat  # noqa: F401

import ray  # noqa: E402


@ray.remote(num_cpus=0)
class Signal:
    """Lets tests wait for an event instead of sleeping."""

    def __init__(self):
        self.event = asyncio.Event()
        self.arrived = 0
        self.arrival = asyncio.Event()

    async def send(self):
        self.event.set()

    async def wait(self):
        self.arrived += 1
        self.arrival.set()
        await self.event.wait()
        return True

    async def wait_for_arrivals(self, count):
        while self.arrived < count:
            self.arrival.clear()
            await self.arrival.wait()
        return self.arrived


@ray.remote(num_cpus=0)
class Tally:
    """Counts, where processes that count may die."""

    def __init__(self):
        self.counts = {}

    def add(self, key="n"):
        self.counts[key] = self.counts.get(key, 0) + 1
        return self.counts[key]

    def get(self, key="n"):
        return self.counts.get(key, 0)


@ray.remote
class Counter:
    def __init__(self, start=0):
        self.n = start

    def add(self, k=1):
        self.n += k
        return self.n

    def get(self):
        return self.n

    def pid(self):
        return os.getpid()

    def fail(self):
        raise KeyError("in a method")

    def die(self):
        os._exit(1)

    @ray.method(num_returns=2)
    def pair(self):
        return 1, 2

    @staticmethod
    def static(x):
        return x

    @property
    def prop(self):
        return 1


def gone(actor):
    """Wait until the actor's death is known."""
    with pytest.raises(ray.exceptions.RayActorError):
        while True:
            ray.get(actor.__ray_ready__.remote(), timeout=30)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def wait_for_exit(pid):
    """Wait for the end of a process that is not our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    readable, _, _ = select.select([descriptor], [], [], 60)
    os.close(descriptor)
    assert readable, "the process is still there"
