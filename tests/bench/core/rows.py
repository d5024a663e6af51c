"""The rows of the table: what each is called, and what it has to reach.

``must`` is what a release has to reach, ``goal`` what we are after; ``more`` says whether more is
better. ``floor`` names the physical floor that stands beside the row. ``MACHINE``: every floor, in a
table of its own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    metric: str
    title: str
    unit: str
    must: float | None
    goal: float | None
    more: bool = False
    floor: str | None = None


ROWS = [
    Row(
        "tasks.round_trip.p50",
        "no-op task, submit and get, p50",
        "us",
        3,
        0.5,
        floor="floor.round_trip_spinning",
    ),
    Row("tasks.round_trip.p99", "the same, p99", "us", 60, 5),
    Row(
        "tasks.after_idle.p50",
        "first call after 1 s idle, p50",
        "us",
        80,
        20,
        floor="floor.futex_round_trip_asleep",
    ),
    Row("tasks.submit", "submit alone", "us", 0.6, 0.15),
    Row("tasks.noop.10000", "no-op tasks, 10,000 at once", "1/s", 1.5e6, 5e6, True),
    Row("tasks.noop.100000", "no-op tasks, 100,000 at once", "1/s", 1e6, 4e6, True),
    Row("tasks.args_1KB", "tasks with a 1 KB argument", "1/s", 5e5, 2e6, True),
    Row("tasks.nested_4x1000", "nested 4 × 1,000 tasks", "1/s", 3e5, 1.5e6, True),
    Row("tasks.chain_1000", "chain of 1,000 dependent tasks", "1/s", 3e5, 2e6, True),
    Row("tasks.fan_in_1024", "fan-in tree of 1,024", "1/s", 3e5, 2e6, True),
    Row("tasks.ten_refs.p50", "ten reference arguments, p50", "us", 10, 2),
    Row("tasks.ten_refs.rate", "ten reference arguments", "1/s", 2e5, 8e5, True),
    Row("tasks.generator_10000", "generator of 10,000, items", "1/s", 4e5, 1.5e6, True),
    Row("actors.call.p50", "actor call, p50", "us", 3, 0.5),
    Row("actors.call.p99", "actor call, p99", "us", 50, 5),
    Row("actors.calls_1_1", "actor calls, 1 caller, 1 actor", "1/s", 1.5e6, 5e6, True),
    Row("actors.calls_2_2", "actor calls, 2 callers × 2 actors", "1/s", 6e5, 2.5e6, True),
    Row("actors.async_call.p50", "async actor call, p50", "us", 15, 4),
    Row("actors.async_calls", "async actor calls", "1/s", 1.5e5, 2.8e5, True),
    Row("actors.threads8_calls", "calls of an actor with 8 threads", "1/s", 3e5, 2e6, True),
    Row("actors.array_1MB.p50", "call with a 1 MB array, p50", "us", 150, 30),
    Row("actors.array_1MB_ref.p50", "call with a reference to 1 MB, p50", "us", 8, 1),
    Row("actors.created", "actors created", "1/s", 250, 600, True, floor="floor.fork_to_ready"),
    Row("actors.pss_of_100", "PSS with 100 actors", "MiB", 800, 200),
    Row("objects.put_small", "put of a small value", "us", 0.3, 0.08),
    Row("objects.get_small", "get of a small value", "us", 0.2, 0.05, floor="floor.python_call"),
    Row("objects.put_then_get_10000", "10,000 × put, then get as a list", "1/s", 2e6, 1e7, True),
    Row("objects.get_list_10000", "get of a list of 10,000", "ms", 1.5, 0.2),
    Row("objects.wait_1_of_10000", "wait for one of 10,000", "ms", 0.3, 0.02),
    Row("objects.wait_loop_1000", "wait loop over 1,000 pending", "1/s", 1.5e5, 1e6, True),
    Row("objects.put_10000_refs", "put of an object of 10,000 refs", "ms", 6, 2),
    Row("objects.get_10000_refs", "get of an object of 10,000 refs", "ms", 6, 2),
    Row(
        "objects.put_100MB.warm",
        "put of 100 MB, warm pages",
        "GB/s",
        None,
        None,
        True,
        "floor.memcpy_warm_put_threads",
    ),
    Row(
        "objects.put_100MB.first",
        "put of 100 MB, the first one",
        "GB/s",
        None,
        None,
        True,
        "floor.memcpy_fresh_pages",
    ),
    Row("objects.get_100MB.driver.p50", "get of 100 MB in the driver, p50", "us", 10, 2),
    Row("objects.get_100MB.worker", "get of 100 MB in a worker", "us", 20, 5),
    Row("startup.import", "import", "s", 0.08, 0.05, floor="floor.exec_python"),
    Row(
        "startup.first_result",
        "import to the first result",
        "s",
        0.35,
        0.15,
        floor="floor.exec_python_numpy",
    ),
    Row("startup.shutdown", "shutdown, until all processes are gone", "s", 0.2, 0.05),
    Row("startup.installed", "installed size of the package alone", "MB", 60, 25),
    Row("startup.idle_pss", "idle cluster without the driver, PSS", "MiB", 80, 40),
    Row("startup.idle_processes", "idle cluster, processes", "count", 6, 5),
    Row("startup.idle_threads", "idle cluster, threads", "count", 40, 25),
    Row("startup.idle_cpu", "idle cluster, CPU of one core", "%", 0.3, 0.1),
    Row("pending.bytes", "pending task, bytes in all processes", "B", 500, 200),
    Row("pending.submit_rate", "submit rate of 100,000 pending", "1/s", 1e6, 5e6, True),
    Row(
        "contention.64_over_2",
        "64 takers on one queue, over the tasks/s of 2",
        "×",
        1,
        None,
        True,
    ),
    Row("contention.64_processes_over_2", "the same, each a process", "×", None, None, True),
    Row("tasks.exception.p50", "exception from a task, p50", "us", 60, 25),
    Row("failure.worker_exit_to_result", "worker exits: to the retried result", "ms", 30, 5),
    Row("failure.actor_kill_to_answer", "actor killed: to the next answer", "ms", 30, 10),
]

MACHINE = [
    ("floor.round_trip_spinning", "round trip of two processes, both spin"),
    ("floor.futex_round_trip_asleep", "futex round trip, both asleep"),
    ("floor.memcpy_warm_1_thread", "memcpy of 100 MB to warm shared pages, one thread"),
    ("floor.memcpy_warm_put_threads", "the same with as many threads as a put uses"),
    ("floor.put_threads", "their number"),
    ("floor.memcpy_fresh_pages", "memcpy of 100 MB to fresh shared pages"),
    ("floor.python_call", "a Python call"),
    ("floor.pickle_dumps_tuple", "pickle.dumps of a tuple of four"),
    ("floor.pickle_loads_tuple", "pickle.loads of it"),
    ("floor.cloudpickle_dumps_tuple", "cloudpickle.dumps of it"),
    ("floor.fork_to_ready", "fork of a small interpreter, until it answers"),
    ("floor.exec_python", "start of an interpreter (fork, exec, ready)"),
    ("floor.exec_python_numpy", "the same with `import numpy`"),
]

# Rows whose "must" is a share of a floor measured in the same run.
RELATIVE_MUST = {
    "objects.put_100MB.warm": ("floor.memcpy_warm_put_threads", 0.9),
    "objects.put_100MB.first": ("floor.memcpy_fresh_pages", 0.9),
}
