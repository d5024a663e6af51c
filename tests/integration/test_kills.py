"""Random SIGKILL under load: no hang, every ref a value or a typed error, everything back at its baseline.

A kill counts only if the victim had work: 100 tasks pending, one running where it runs tasks, 10 MB held.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

import numpy as np
import pytest
from cluster import (
    alive,
    children_of,
    command_of,
    daemon,
    killed_at_the_end,
    read_until,
    start_driver,
    wait_for,
)
from test_baseline import at_rest, wait_for_figures

KILLS = 10
HERE = os.path.dirname(os.path.abspath(__file__))


def pending_of(ray, refs: list) -> int:
    """How many of the refs are not there yet."""
    return len(ray.wait(refs, num_returns=len(refs), timeout=0)[1])


@pytest.mark.timeout(240)
def test_workers_killed_under_load_lose_nothing(ray):
    @ray.remote(max_retries=-1)
    def work(k, data):
        end = time.monotonic() + 0.002
        while time.monotonic() < end:
            pass
        return k, int(data[0]), os.getpid()

    dice = random.Random(1)
    data = ray.put(np.full(10_000_000, 7, dtype=np.uint8))
    pids = {pid for _, _, pid in ray.get([work.remote(k, data) for k in range(50)])}
    before = at_rest(ray)
    kills = 0
    while kills < KILLS:
        refs = [work.remote(k, data) for k in range(300)]
        ray.wait(refs, num_returns=dice.randrange(1, 60))
        victims = [p for p in pids if alive(p)]
        if pending_of(ray, refs) >= 100 and victims:
            os.kill(dice.choice(victims), signal.SIGKILL)
            kills += 1
        answers = ray.get(refs, timeout=60)
        assert [(k, seven) for k, seven, _ in answers] == [(k, 7) for k in range(300)]
        pids |= {pid for _, _, pid in answers}
    del refs, answers
    wait_for_figures(ray, before)


@pytest.mark.timeout(240)
def test_actors_killed_under_load_answer_or_say_why(ray):
    @ray.remote(max_restarts=-1, max_task_retries=-1, num_cpus=0)
    class Counter:
        def __init__(self):
            self.n = 0

        def add(self, k):
            self.n += 1
            return k, os.getpid()

    dice = random.Random(2)
    counter = Counter.remote()
    pid = ray.get(counter.add.remote(0))[1]
    held = ray.put(np.zeros(10_000_000, dtype=np.uint8))
    before = at_rest(ray)
    kills = 0
    while kills < KILLS:
        refs = [counter.add.remote(k) for k in range(2000)]
        ray.wait(refs, num_returns=dice.randrange(1, 300))
        if pending_of(ray, refs) >= 100:
            os.kill(pid, signal.SIGKILL)
            kills += 1
        answers = ray.get(refs, timeout=60)
        assert [k for k, _ in answers] == list(range(2000))
        pid = ray.get(counter.add.remote(0), timeout=30)[1]
    del refs, answers
    wait_for_figures(ray, before)
    assert int(ray.get(held)[0]) == 0


DRIVER = """
import os, time, numpy as np, whipray as ray
ray.init(address="auto")
held = ray.put(np.zeros(10_000_000, dtype=np.uint8))
@ray.remote
def work(x, seconds):
    time.sleep(seconds)
    return x.size
refs = [work.remote(held, 0.05) for _ in range(150)]
actor = ray.remote(num_cpus=0)(type("A", (), {"ping": lambda self: 1})).remote()
ray.get(actor.ping.remote())
ray.wait(refs, num_returns=1)
print("loaded", flush=True)
time.sleep(600)
"""


@pytest.mark.timeout(300)
def test_drivers_killed_under_load_release_only_their_own(short_dir):
    import subprocess

    env = {**os.environ, "WHIPRAY_TMPDIR": short_dir}
    whipray = os.path.join(os.environ["WHIPRAY_BIN_DIR"], "whipray")
    subprocess.run(
        [whipray, "start", "--head", "--num-cpus", "2"],
        check=True,
        env=env,
        timeout=60,
        capture_output=True,
    )
    try:
        survivor = """
import os, time, whipray as ray
ray.init(address="auto")
@ray.remote
def f(x):
    return x
kept = ray.put(list(range(1000)))
print("ready", flush=True)
for line in iter(input, "end"):
    assert sum(ray.get([f.remote(k) for k in range(200)], timeout=60)) == 19900
    assert ray.get(kept)[-1] == 999
    end = time.monotonic() + 10
    while ray.available_resources().get("CPU") != 2.0:
        assert time.monotonic() < end, ray.available_resources()
        time.sleep(0.01)
    print("fine", flush=True)
"""
        with killed_at_the_end(start_driver(survivor, env=env, stdin=subprocess.PIPE)) as other:
            read_until(other, "ready")
            for _ in range(KILLS):
                with killed_at_the_end(start_driver(DRIVER, env=env)) as driver:
                    read_until(driver, "loaded")
                    driver.send_signal(signal.SIGKILL)
                    driver.wait()
                other.stdin.write("go\n")
                other.stdin.flush()
                read_until(other, "fine")
    finally:
        subprocess.run([whipray, "stop"], check=True, env=env, timeout=60, capture_output=True)


@pytest.mark.timeout(300)
def test_raylets_killed_under_load_end_their_cluster_with_typed_errors():
    code = f"""
import os, random, signal, sys, time
sys.path.insert(0, {HERE!r})
import numpy as np
from cluster import alive, children_of, command_of, daemon, wait_for
import whipray as ray
dice = random.Random(4)
for _ in range({KILLS}):
    ray.init(num_cpus=2, log_to_driver=False, object_store_memory=100_000_000)
    held = ray.put(np.zeros(10_000_000, dtype=np.uint8))
    @ray.remote
    def work(x):
        time.sleep(0.01)
        return x.size
    refs = [work.remote(held) for _ in range(200)]
    ray.wait(refs, num_returns=dice.randrange(1, 50))
    assert len(ray.wait(refs, num_returns=len(refs), timeout=0)[1]) >= 100
    started = children_of(os.getpid())
    os.kill(daemon("raylet"), signal.SIGKILL)
    lost = values = 0
    for r in refs:
        try:
            assert ray.get(r, timeout=20) == 10_000_000
            values += 1
        except ray.exceptions.LocalRayletDiedError:
            lost += 1
    assert lost + values == 200 and lost > 0, (lost, values)
    del refs, held
    ray.shutdown()
    wait_for(lambda: not [p for p in started if alive(p) and "whipray" in command_of(p)], "all ended")
print("fine")
"""
    with killed_at_the_end(start_driver(code)) as driver:
        assert read_until(driver, "fine", timeout=200) == ""


@pytest.mark.timeout(300)
def test_the_gcs_killed_under_load_loses_nothing_that_was_acknowledged():
    import whipray as ray

    ray.init(num_cpus=2, log_to_driver=False, _system_config={"gcs_restarts_per_minute": 1000})
    try:
        _kill_the_gcs_twenty_times(ray)
    finally:
        ray.shutdown()


def _kill_the_gcs_twenty_times(ray) -> None:
    @ray.remote
    def f(x):
        time.sleep(0.001)
        return x + 1

    held = ray.put(np.zeros(10_000_000, dtype=np.uint8))
    kills = 0

    @ray.remote(num_cpus=0)
    class Named:
        def who(self):
            return os.getpid()

    from whipray.experimental.internal_kv import _internal_kv_get, _internal_kv_put

    dice = random.Random(5)
    acknowledged: dict[bytes, bytes] = {}
    actors = []
    for k in range(20):
        refs = [f.remote(i) for i in range(400)]
        for i in range(dice.randrange(1, 15)):
            key = f"key-{k}-{i}".encode()
            _internal_kv_put(key, key * 3)
            acknowledged[key] = key * 3
        name = f"actor-{k}"
        actors.append((name, Named.options(name=name).remote()))
        kills += pending_of(ray, refs) >= 100
        os.kill(daemon("gcs"), signal.SIGKILL)
        assert ray.get(refs, timeout=30) == list(range(1, 401))  # running work goes on meanwhile
        wait_for(lambda: _finds(ray, name), f"{name} after the restart", timeout=20)
    for key, value in acknowledged.items():
        assert _internal_kv_get(key) == value
    for name, handle in actors:
        found = ray.get_actor(name)
        assert ray.get(found.who.remote(), timeout=30) == ray.get(handle.who.remote(), timeout=30)
    assert daemon("gcs")
    assert kills >= 20  # each with 100 tasks pending, one running, 10 MB held
    assert int(ray.get(held)[0]) == 0


def _finds(ray, name: str) -> bool:
    try:
        ray.get_actor(name)
    except (ValueError, ray.exceptions.RayError, ConnectionError):
        return False
    return True


DETACHED_GROUP = """
import whipray as ray
from whipray.util import placement_group
ray.init(address=ADDRESS, log_to_driver=False)
group = placement_group([{"CPU": 1}], name="stays", lifetime="detached")
assert group.wait(30)
goes = placement_group([{"CPU": 0.5}], name="goes")
assert goes.wait(30)
print("made", flush=True)
"""


def test_a_detached_placement_group_outlives_its_driver_and_the_gcs():
    import whipray as ray
    from whipray.util import (
        get_placement_group,
        placement_group,
        placement_group_table,
        remove_placement_group,
    )
    from whipray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    def where():
        return ray.get_runtime_context().get_placement_group_id()

    ray.init(num_cpus=2, log_to_driver=False)
    try:
        address = ray.get_runtime_context().gcs_address
        with killed_at_the_end(start_driver(f"ADDRESS = {address!r}\n{DETACHED_GROUP}")) as driver:
            read_until(driver, "made")
            driver.wait()
        for _ in range(2):
            os.kill(daemon("gcs"), signal.SIGKILL)
            made = placement_group([{"CPU": 0.5}])  # waits for the GCS that comes back
            assert made.wait(30)
            remove_placement_group(made)
            group = get_placement_group("stays")
            assert placement_group_table(group)["state"] == "CREATED"
            inside = ray.remote(where).options(
                num_cpus=1, scheduling_strategy=PlacementGroupSchedulingStrategy(group)
            )
            assert ray.get(inside.remote(), timeout=30) == group.id.hex()
            wait_for(lambda: ray.available_resources().get("CPU") == 1, "only it holds a CPU")
        remove_placement_group(group)
        wait_for(lambda: ray.available_resources().get("CPU") == 2, "its CPU is free")
    finally:
        ray.shutdown()


def test_the_helpers_find_the_processes_of_a_cluster(ray):
    names = [os.path.basename(command_of(p).split(" ")[0]) for p in children_of(os.getpid())]
    assert "whipray-raylet" in names and "whipray-gcs" in names
    assert sys.executable
