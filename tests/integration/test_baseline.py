"""After a death everything is back: CPUs, slots, ports, extents, rows, descriptors, processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import numpy as np
from cluster import daemon, killed_at_the_end, read_until, start_driver, wait_for

FIGURES = ("slots", "ports", "shared_objects", "candidates", "orphan_cells", "heap_orphaned")


def figures(ray) -> dict[str, float]:
    """What must be the same before and after."""
    from whipray._private import session

    ray.wait([ray.put(0)])  # this process takes in what the raylet sent it
    status = session.call("status")
    pool = {name: status["pool"][name] for name in FIGURES}
    return {
        **pool,
        "jobs": status["counts"]["jobs"],
        "actors": status["counts"]["actors"],
        "free_cpus": ray.available_resources().get("CPU", 0.0),
    }


def at_rest(ray) -> dict[str, float]:
    """The figures once both CPUs are free and no worker is being started."""
    from whipray._private import session

    def rest() -> bool:
        counts = session.call("status")["counts"]
        return counts["workers_starting"] == 0 and figures(ray)["free_cpus"] == 2

    wait_for(rest, "the cluster is at rest")
    return figures(ray)


def wait_for_figures(ray, before: dict[str, float], seconds: float = 2) -> None:
    """Fails with the figures that did not come back."""
    last: dict[str, float] = {}

    def back() -> bool:
        last.clear()
        last.update(figures(ray))
        return all(last[name] <= before[name] for name in before if name != "free_cpus") and (
            last["free_cpus"] == before["free_cpus"]
        )

    try:
        wait_for(back, "the figures are back", timeout=seconds)
    except AssertionError:
        wrong = {name: (before[name], last[name]) for name in before if last[name] != before[name]}
        raise AssertionError(f"not back within {seconds} s (before, now): {wrong}") from None


def test_actors_killed_before_they_began_leave_no_figure_changed(ray):
    @ray.remote(num_cpus=0)
    class Idle:
        def one(self):
            return 1

    ray.get(Idle.remote().one.remote())
    before = at_rest(ray)
    for _ in range(40):
        actor = Idle.remote()
        call = actor.one.remote()
        ray.kill(actor)
        ray.wait([call])
        del actor, call
    wait_for_figures(ray, before, 30)


def test_workers_that_die_at_work_leave_no_figure_changed(ray):
    @ray.remote
    def pid(seconds):
        time.sleep(seconds)
        return os.getpid()

    data = ray.put(np.zeros(10_000_000, dtype=np.uint8))
    pids = set(ray.get([pid.remote(0.05) for _ in range(20)]))
    before = at_rest(ray)
    descriptors = len(os.listdir(f"/proc/{daemon('raylet')}/fd"))
    for _ in range(10):
        refs = [pid.remote(0.002) for _ in range(150)]
        ray.wait(refs, num_returns=5)
        _, pending = ray.wait(refs, num_returns=len(refs), timeout=0)
        assert len(pending) >= 100
        victim = next(p for p in pids if os.path.exists(f"/proc/{p}"))
        os.kill(victim, signal.SIGKILL)
        pids |= set(ray.get(refs, timeout=60))
        del refs, pending
        pids = {p for p in pids if os.path.exists(f"/proc/{p}")}
        wait_for_figures(ray, before)
    assert int(ray.get(data)[-1]) == 0
    wait_for(
        lambda: len(os.listdir(f"/proc/{daemon('raylet')}/fd")) <= descriptors + 2,
        "the raylet's descriptors are back",
        timeout=2,
    )


DRIVER = """
import os, time, numpy as np, whipray as ray
ray.init(address="auto")
held = ray.put(np.zeros(10_000_000, dtype=np.uint8))
@ray.remote
def work(x, seconds):
    time.sleep(seconds)
    return x
refs = [work.remote(held, 0.02) for _ in range(150)]
actor = ray.remote(num_cpus=0)(type("A", (), {"keep": lambda self, x: setattr(self, "x", x)})).remote()
ray.get(actor.keep.remote(held))
ray.wait(refs, num_returns=1)
print("loaded", flush=True)
time.sleep(600)
"""


def test_drivers_that_die_leave_no_figure_changed(short_dir, monkeypatch):
    monkeypatch.setenv("WHIPRAY_TMPDIR", short_dir)
    import whipray as ray

    command = os.path.join(os.environ["WHIPRAY_BIN_DIR"], "whipray")
    subprocess.run(
        [command, "start", "--head", "--num-cpus", "2"], check=True, timeout=60, capture_output=True
    )
    try:
        ray.init(address="auto", log_to_driver=False)
        try:
            assert ray.get(ray.remote(lambda: 1).remote()) == 1
            before = at_rest(ray)
            for _ in range(10):
                with killed_at_the_end(start_driver(DRIVER)) as driver:
                    read_until(driver, "loaded")
                    driver.send_signal(signal.SIGKILL)
                    driver.wait()
                wait_for_figures(ray, before)  # its workers' processes have to end, too
        finally:
            ray.shutdown()
    finally:
        subprocess.run([command, "stop"], check=True, timeout=60, capture_output=True)
