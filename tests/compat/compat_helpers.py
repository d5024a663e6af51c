"""What several test files use."""

from __future__ import annotations

import asyncio
import os

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
