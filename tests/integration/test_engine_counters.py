"""What the engine counts for a job."""

from __future__ import annotations

import os

from cluster import wait_for
from whipray._private.api import engine_counters


def test_counts_never_fall_while_a_worker_ends(ray):
    @ray.remote(num_cpus=0)
    class Counted:
        def pid(self):
            return os.getpid()

    for _ in range(3):
        actor = Counted.remote()
        pid = ray.get([actor.pid.remote() for _ in range(500)])[0]
        least = engine_counters()["total"]["calls_executed"]
        del actor

        def gone(pid=pid):
            return all(slot["pid"] != pid for slot in engine_counters()["slots"])

        wait_for(gone, "the actor has ended", 30)
        # It is counted among the dead now: at once, not only when it has been reaped.
        for _ in range(200):
            assert engine_counters()["total"]["calls_executed"] >= least
