"""Shared by the benchmark programs: one engine, timing helpers, one JSON line per row.

The programs are engine-neutral. Environment: ``BENCH_ENGINE`` (module, default ``whipray``),
``BENCH_TINY`` (1: sizes small enough for a test), ``BENCH_ROUNDS`` (rounds per row, default 5; short
rows have ``SHORT_ROUNDS`` of them where nothing is said). A row ends early once it has taken
``ROW_LIMIT_S``, so that a slow engine does not take hours; it has one round at least.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
ENGINE = os.environ.get("BENCH_ENGINE", "whipray")
TINY = os.environ.get("BENCH_TINY") == "1"
ROUNDS = 1 if TINY else int(os.environ.get("BENCH_ROUNDS", "5"))
# Rows of some milliseconds have two modes where processes outnumber cores: enough rounds to see both.
SHORT_ROUNDS = ROUNDS if TINY or "BENCH_ROUNDS" in os.environ else 25
ROW_LIMIT_S = 20.0
MARK = "WHIPRAY_BENCH_MARK"
os.environ.setdefault(MARK, uuid.uuid4().hex)
clock = time.perf_counter


def size(full: int, tiny: int = 20) -> int:
    """The size of a row: ``full``, or ``tiny`` in tests."""
    return tiny if TINY else full


def start(**options):
    """Imports the engine, starts a cluster of two CPUs, returns the module."""
    ray = importlib.import_module(ENGINE)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, **options)
    return ray


def emit(metric: str, values: Iterable[float] | float, unit: str, **extra) -> None:
    """One JSON line: median of the rounds, with the least, the greatest and all of them."""
    rounds = [float(v) for v in (values if isinstance(values, list) else [values])]
    row = {
        "metric": metric,
        "value": statistics.median(rounds),
        "unit": unit,
        "min": min(rounds),
        "max": max(rounds),
        "values": [float(f"{v:.5g}") for v in rounds],
        "engine": ENGINE,
        **extra,
    }
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def percentile(ordered: list[float], p: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]


def rounds(most: int = ROUNDS, limit_s: float = ROW_LIMIT_S) -> Iterator[int]:
    """The rounds of a row: ``most``, or fewer once they have taken ``limit_s``; one at least."""
    begin = clock()
    for k in range(most):
        yield k
        if clock() - begin > limit_s:
            return


def check(truth: bool, what: str) -> None:
    """A benchmark that computes something wrong has no figure."""
    if not truth:
        raise SystemExit(f"benchmark: wrong result: {what}")


def check_elsewhere(pids: Iterable[int], what: str) -> None:
    """Nothing ran in the process that asked for it."""
    check(os.getpid() not in set(pids), f"{what}: ran in the driver")


def executed() -> int | None:
    """Tasks and actor calls that the engine has run for this job so far; None where nobody counts."""
    if ENGINE != "whipray":
        return None
    total = importlib.import_module("whipray._private.api").engine_counters()["total"]
    return total["tasks_executed"] + total["calls_executed"]


class Calls:
    """How many calls a row has made."""

    made = 0


@contextlib.contextmanager
def counted(what: str) -> Iterator[Calls]:
    """Executions equal calls: nothing was skipped, nothing run twice. The body counts its calls."""
    calls = Calls()
    before = executed()
    yield calls
    if before is not None:
        ran = executed() - before
        check(ran == calls.made, f"{what}: {calls.made} calls, {ran} executions")


def latency(
    metric: str,
    call: Callable[[], object],
    n: int,
    *,
    expect: Callable[[object], bool],
    warm: int = 100,
    calls: int = 1,
) -> None:
    """p50 and p99 in microseconds of ``n`` calls one after the other, each round.

    ``expect`` judges each answer, outside of the time. ``calls``: how many tasks or actor calls one
    ``call`` makes.
    """
    n = size(n)
    with counted(metric) as made:
        for _ in range(size(warm)):
            check(expect(call()), metric)
            made.made += calls
        p50, p99 = [], []
        for _ in rounds():
            times = []
            for _ in range(n):
                t = clock()
                answer = call()
                times.append((clock() - t) * 1e6)
                check(expect(answer), metric)
            times.sort()
            p50.append(percentile(times, 50))
            p99.append(percentile(times, 99))
            made.made += calls * n
    emit(metric + ".p50", p50, "us")
    emit(metric + ".p99", p99, "us")


def rate(
    metric: str,
    run: Callable[[], object],
    n: int,
    *,
    expect: Callable[[object], bool],
    warm: int = 1,
    calls: int | None = None,
) -> None:
    """``run`` does ``n`` operations: operations a second, each round.

    ``expect`` judges what it returned, outside of the time. ``calls``: how many tasks or actor calls a
    ``run`` makes (default ``n``).
    """
    each = n if calls is None else calls
    with counted(metric) as made:
        for _ in range(warm):
            check(expect(run()), metric)
            made.made += each
        out = []
        for _ in rounds(SHORT_ROUNDS):
            t = clock()
            answer = run()
            out.append(n / (clock() - t))
            check(expect(answer), metric)
            made.made += each
    emit(metric, out, "1/s")


def duration(
    metric: str, run: Callable[[], object], *, expect: Callable[[object], bool], warm: int = 1
) -> None:
    """How many milliseconds ``run`` takes, each round; it makes no calls."""
    out = []
    with counted(metric):
        for _ in range(warm):
            check(expect(run()), metric)
        for _ in rounds(SHORT_ROUNDS):
            t = clock()
            answer = run()
            out.append((clock() - t) * 1e3)
            check(expect(answer), metric)
    emit(metric, out, "ms")


# ---- the processes of a run -----------------------------------------------------------------


def _parent(pid: int) -> int | None:
    with open(f"/proc/{pid}/stat") as f:
        text = f.read()
    state, parent = text[text.rindex(")") + 2 :].split()[:2]
    return None if state == "Z" else int(parent)


def processes(*, with_self: bool = True) -> set[int]:
    """Pids of this run: descendants of this process, and whatever carries its mark."""
    mark = f"{MARK}={os.environ[MARK]}".encode()
    parents: dict[int, int] = {}
    found: set[int] = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            parent = _parent(int(name))
            if parent is None:
                continue
            parents[int(name)] = parent
            with open(f"/proc/{name}/environ", "rb") as f:
                if mark in f.read():
                    found.add(int(name))
        except (OSError, ValueError):
            continue
    for pid in parents:
        at = pid
        for _ in range(64):
            if at == os.getpid():
                found.add(pid)
                break
            if at not in parents:
                break
            at = parents[at]
    at = parents.get(os.getpid(), 0)  # those above us carry the mark, too
    while at:
        found.discard(at)
        at = parents.get(at, 0)
    if not with_self:
        found.discard(os.getpid())
    return found


def memory(*, with_self: bool = True) -> tuple[float, int, int]:
    """(PSS in MiB, processes, threads) of this run."""
    pss = count = threads = 0
    for pid in processes(with_self=with_self):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                pss += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
            threads += len(os.listdir(f"/proc/{pid}/task"))
            count += 1
        except (OSError, StopIteration):
            continue
    return pss / 1024, count, threads


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time so far of these processes, in seconds; exact to the scheduler's nanosecond."""
    total = 0
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                    total += int(f.read().split()[0])
        except OSError:
            continue
    return total / 1e9


def main(sections: dict[str, Callable[[], None]]) -> None:
    """Runs the sections named by argv, or all; one that fails does not hide the others."""
    failed = []
    for name in sys.argv[1:] or list(sections):
        try:
            sections[name]()
        except Exception as error:  # reported as a row, and by the exit status
            failed.append(name)
            print(
                json.dumps(
                    {"metric": name + ".failed", "engine": ENGINE, "text": repr(error)[:300]}
                )
            )
            sys.stdout.flush()
    if failed:
        sys.exit("benchmark sections failed: " + ", ".join(failed))
