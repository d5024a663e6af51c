"""The floors of Python itself: a call, pickling, the start of an interpreter, a fork of a warm one."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import cloudpickle
import common
from common import ROUNDS, clock, emit, size

common.ENGINE = "floor"


def per_call(metric: str, call, n: int) -> None:
    n = size(n)
    out = []
    for _ in range(ROUNDS):
        t = clock()
        for _ in range(n):
            call()
        out.append((clock() - t) / n * 1e9)
    emit("floor." + metric, out, "ns")


def nothing() -> None:
    return None


def fork_to_ready() -> float:
    reader, writer = os.pipe()
    t = clock()
    pid = os.fork()
    if pid == 0:
        os.write(writer, b"x")
        os._exit(0)
    os.read(reader, 1)
    elapsed = clock() - t
    os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)
    return elapsed * 1e3


def exec_to_ready(code: str) -> float:
    t = clock()
    with subprocess.Popen([sys.executable, "-c", code + ";print()"], stdout=subprocess.PIPE) as p:
        p.stdout.read(1)
        return (clock() - t) * 1e3


if __name__ == "__main__":
    value = (1, "two", 3.0, b"four")
    packed = pickle.dumps(value, 5)
    per_call("python_call", nothing, 500_000)
    per_call("pickle_dumps_tuple", lambda: pickle.dumps(value, 5), 200_000)
    per_call("pickle_loads_tuple", lambda: pickle.loads(packed), 200_000)
    per_call("cloudpickle_dumps_tuple", lambda: cloudpickle.dumps(value), 50_000)
    emit("floor.fork_to_ready", [fork_to_ready() for _ in range(size(50, 2))], "ms")
    emit("floor.exec_python", [exec_to_ready("pass") for _ in range(size(7, 1))], "ms")
    emit(
        "floor.exec_python_numpy", [exec_to_ready("import numpy") for _ in range(size(7, 1))], "ms"
    )
