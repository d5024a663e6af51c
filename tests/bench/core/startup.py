"""Rows about start-up, idleness and pending tasks: each repetition in a fresh interpreter."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
import uuid

from common import (
    ENGINE,
    MARK,
    ROUNDS,
    TINY,
    check,
    check_elsewhere,
    clock,
    counted,
    cpu_seconds,
    emit,
    main,
    memory,
    processes,
    rounds,
    size,
)

HERE = pathlib.Path(__file__).resolve().parent


def life() -> dict[str, float]:
    """One whole life of a program, in this process."""
    import importlib

    t0 = clock()
    ray = importlib.import_module(ENGINE)
    t1 = clock()
    ray.init(num_cpus=2, include_dashboard=False)

    @ray.remote
    def f():
        return os.getpid()

    first = ray.get(f.remote())
    t2 = clock()
    check_elsewhere([first], "the first task")
    time.sleep(0.2 if TINY else 4.0)  # to become idle
    pids = processes(with_self=False)
    cpu = cpu_seconds(pids)
    idle_s = 0.2 if TINY else 4.0
    time.sleep(idle_s)
    busy = (cpu_seconds(pids) - cpu) / idle_s * 100
    pss, count, threads = memory(with_self=False)
    t3 = clock()
    ray.shutdown()
    t4 = clock()
    while processes(with_self=False) and clock() - t4 < 60:
        time.sleep(0.002)
    check(not processes(with_self=False), "processes outlived the shutdown")
    return {
        "import.s": t1 - t0,
        "first_result.s": t2 - t0,
        "shutdown.s": clock() - t3,
        "idle_pss.MiB": pss,
        "idle_processes.count": count,
        "idle_threads.count": threads,
        "idle_cpu.%": busy,
    }


def fresh(what: str) -> dict[str, float]:
    env = {**os.environ, MARK: uuid.uuid4().hex}
    done = subprocess.run(
        [sys.executable, __file__, what],
        cwd=HERE,
        env=env,
        capture_output=True,
        text=True,
        timeout=170,
    )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[7:])
    raise RuntimeError(done.stderr[-400:])


PROGRAMS = ("whipray-raylet", "whipray-gcs", "whipray-worker", "whipray")


def installed_mb() -> float:
    """What the package takes on disk, without what it depends on, in MB.

    This engine's is read in its build tree (package with bytecode, and the programs that a wheel carries):
    not stripped, so an upper bound.
    """
    if ENGINE == "whipray":
        import whipray

        folder = pathlib.Path(whipray.__file__).parent
        files = [f for f in folder.rglob("*") if f.is_file()]
        check(any(f.suffix == ".pyc" for f in files), "the package has its bytecode")
        files += [pathlib.Path(os.environ["WHIPRAY_BIN_DIR"]) / name for name in PROGRAMS]
    else:
        from importlib.metadata import files as files_of

        files = [pathlib.Path(f.locate()) for f in files_of(ENGINE) or []]
    return sum(f.stat().st_size for f in files if f.exists()) / 1e6


def lives() -> None:
    rows = [fresh("--life") for _ in range(1 if TINY else max(3, ROUNDS))]
    emit("startup.installed", installed_mb(), "MB")
    for key in rows[0]:
        name, unit = key.rsplit(".", 1)
        emit("startup." + name, [r[key] for r in rows], unit)


def _flush() -> bool:
    """Whether submitted tasks wait where no taker sees them."""
    if ENGINE != "whipray":
        return False  # Ray's submit hands over to a thread of its own; nothing tells
    from whipray import _core

    return _core.flush()


def pend() -> dict[str, float]:
    """Tasks that wait behind two that hold both CPUs."""
    import importlib
    import tempfile

    ray = importlib.import_module(ENGINE)
    ray.init(num_cpus=2, include_dashboard=False)

    @ray.remote
    def noop():
        return None

    @ray.remote
    def hold(path):
        open(f"{path}.{os.getpid()}", "w").close()
        while not os.path.exists(path):
            time.sleep(0.01)
        return os.getpid()

    n = size(100_000, 500)
    ray.get([noop.remote() for _ in range(size(2000))])
    with tempfile.TemporaryDirectory() as folder, counted("pending") as made:
        flag = os.path.join(folder, "go")
        held = [hold.remote(flag) for _ in range(2)]
        while len(os.listdir(folder)) < 2:  # both CPUs are taken
            time.sleep(0.01)
        before = memory()[0]
        t = clock()
        refs = [noop.remote() for _ in range(n)]
        waiting = _flush()
        seconds = clock() - t
        after = memory()[0]
        done, _ = ray.wait(refs, num_returns=1, timeout=0)
        check(not done, "a task ran while both CPUs were taken")
        open(flag, "w").close()
        made.made += n + 2
        check(not waiting, "tasks that no taker can see")
        check(ray.get(refs) == [None] * n, "pending")
        check_elsewhere(ray.get(held), "the tasks")
    ray.shutdown()
    return {"bytes.B": (after - before) * 1024 * 1024 / n, "submit_rate.1/s": n / seconds}


def pending() -> None:
    rows = [fresh("--pend") for _ in rounds(1 if TINY else 3)]
    for key in rows[0]:
        name, unit = key.rsplit(".", 1)
        emit("pending." + name, [r[key] for r in rows], unit)


if __name__ == "__main__":
    if sys.argv[1:] in (["--life"], ["--pend"]):
        print("RESULT " + json.dumps(life() if sys.argv[1] == "--life" else pend()))
    else:
        main({"lives": lives, "pending": pending})
