"""What a worker has when its first task begins: threads, devices, random numbers, its slot's trace."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def test_blas_has_as_many_threads_as_the_task_has_cpus(ray):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))
    if not threadpoolctl.threadpool_info():
        pytest.skip("numpy has no BLAS that threadpoolctl knows")

    @ray.remote
    def threads():
        import numpy as np
        import threadpoolctl

        np.ones((2, 2)) @ np.ones((2, 2))
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()], os.getpid()

    one, first = ray.get(threads.remote())
    two, second = ray.get(threads.options(num_cpus=2).remote())
    assert os.getpid() not in (first, second)
    assert one and set(one) == {1}
    assert two and set(two) == {2}


def test_the_legacy_generator_of_numpy_is_seeded_anew_in_each_worker(ray):
    import numpy as np

    np.random.seed(1)

    @ray.remote(num_cpus=0)
    class Drawer:
        def draw(self):
            import numpy as np

            return float(np.random.random()), np.random.get_state()[1][:4].tolist()

    drawers = [Drawer.remote() for _ in range(4)]
    rows = ray.get([drawer.draw.remote() for drawer in drawers])
    assert len({value for value, _ in rows}) == 4
    assert len({tuple(state) for _, state in rows}) == 4


def preloaded_modules():
    code = (
        "import sys; from whipray._private import fork_server; fork_server.preload();"
        "print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
    return set(done.stdout.decode().split())


def test_a_worker_imports_nothing_after_its_fork(ray):
    @ray.remote
    class Actor:
        def modules(self):
            import sys

            return set(sys.modules)

    @ray.remote
    def modules():
        import sys

        return set(sys.modules)

    seen = ray.get(modules.remote()) | ray.get(Actor.remote().modules.remote())
    late = {name for name in seen - preloaded_modules() if not name.startswith(("test_", "ray"))}
    program = {"argparse", "gettext", "runpy", "importlib._abc", "importlib.util"}  # `-m` itself
    assert late <= program


def test_a_worker_has_one_thread_and_blocks_no_signal(ray):
    @ray.remote
    def state():
        import os
        import signal

        return len(os.listdir("/proc/self/task")), signal.pthread_sigmask(signal.SIG_BLOCK, [])

    assert ray.get(state.remote()) == (1, set())


def test_a_child_of_a_worker_sees_one_thread_and_draws_its_own_numbers(ray):
    @ray.remote
    def fork():
        import os
        import random
        import threading

        stop = threading.Event()
        other = threading.Thread(target=stop.wait)
        other.start()
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(write, f"{threading.active_count()} {random.random()}".encode())
            os._exit(0)
        os.waitpid(pid, 0)
        stop.set()
        other.join()
        return os.read(read, 100).decode(), random.random()

    said, own = ray.get(fork.remote())
    threads, drawn = said.split()
    assert threads == "1" and float(drawn) != own


MEMORY_PROGRAM = """
import {engine} as ray

@ray.remote(num_cpus=0)
class Actor:
    def private_kib(self):
        with open("/proc/self/smaps_rollup") as file:
            return next(int(row.split()[1]) for row in file if row.startswith("Private_Dirty"))

ray.init(num_cpus=2)
actors = [Actor.remote() for _ in range(8)]
print("KIB", sorted(ray.get([actor.private_kib.remote() for actor in actors]))[4])
"""


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the bound is that of one interpreter")
@pytest.mark.parametrize("engine", ["whipray", "ray"])
def test_an_idle_actor_keeps_less_than_three_mebibytes_of_its_own(engine):
    """Pages that the fork server writes, or that workers write after the fork, show up here."""
    start = ["-m", "whipray.compat"] if engine == "ray" else []
    done = subprocess.run(
        [sys.executable, *start, "-c", MEMORY_PROGRAM.format(engine=engine)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "KIB" in done.stdout, done.stderr
    assert int(done.stdout.split("KIB")[1]) < 3 * 1024


def test_task_events_name_function_and_state_once_somebody_reads(ray):
    from whipray._private import session

    @ray.remote
    def f(x):
        return x

    ray.get([f.remote(k) for k in range(10)])
    assert session.call("task_events", on=1)["events"] == []  # off until now
    ray.get([f.remote(k) for k in range(10)])
    events = session.call("task_events", on=0)["events"]
    assert {"SUBMITTED", "RUNNING", "FINISHED"} <= {event["state"] for event in events}
    assert all(event["handle"] and event["function"] and event["time_ns"] for event in events)
    ray.get([f.remote(k) for k in range(10)])
    assert len(session.call("task_events", on=0)["events"]) <= len(events)  # off: nothing is added


def _read_task_events(cursor, count=0):
    """All that came since the cursor, at least ``count``: events, how many were lost, the next cursor."""
    from whipray._private import session

    events, lost = [], 0
    while True:
        answer = session.call("task_events", on=1, **({"cursor": cursor} if cursor else {}))
        cursor, lost = answer["cursor"], lost + answer["lost"]
        events += answer["events"]
        if (
            not answer["events"] and len(events) + lost >= count
        ):  # the last FINISHED follow their result
            return events, lost, cursor


def test_a_reader_of_task_events_gets_each_once_and_learns_what_it_lost(ray):
    from whipray._private import session

    @ray.remote
    def f(x):
        return x

    _, _, cursor = _read_task_events(None)
    other = cursor
    told = []
    for _ in range(2):
        ray.get([f.remote(k) for k in range(10)])
        events, lost, cursor = _read_task_events(cursor, 30)
        assert lost == 0 and len(events) == 30
        assert [event["state"] for event in events].count("SUBMITTED") == 10
        told += [
            (event["pid"], event["handle"], event["state"], event["time_ns"]) for event in events
        ]
    assert len(set(told)) == 60
    assert {pid for pid, _, state, _ in told if state == "SUBMITTED"} == {os.getpid()}
    both, lost, _ = _read_task_events(other, 60)  # another reader is not disturbed
    assert lost == 0 and len(both) == 60

    many = 3000  # a process keeps its last 1024
    ray.get([f.remote(k) for k in range(many)])
    events, lost, cursor = _read_task_events(cursor, 3 * many)
    assert len(events) + lost == 3 * many and lost >= many - 1024
    assert _read_task_events(cursor)[:2] == ([], 0)
    with pytest.raises(ValueError, match="cursor"):
        session.call("task_events", on=0, cursor=b"x")
