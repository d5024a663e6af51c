"""``./dev bench layers``: what each layer of semantics costs, from the pool in C to options in Python.

The C layers come from ``pool_bench`` (the pool alone) and ``core_c_bench`` (values, through the C API);
the Python layers are measured here. Writes the table into ``docs/performance.md`` unless ``--tiny``.
"""

from __future__ import annotations

import argparse
import fractions
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from page import conditions, loads, write_section

PYTHON_ROWS = [
    ("python.call", "a Python function call"),
    ("python.signature", "signature check of `f.remote(1)`"),
    ("python.encode_int", "encode one int and store it: put and free"),
    ("python.encode_tuple", "the same for a tuple of three"),
    ("python.encode_array", "the same for a 1 KB array"),
    ("python.encode_object", "the same for an object of an importable class (pickle)"),
    ("python.encode_main", "the same for an object of a class of `__main__` (cloudpickle)"),
    ("python.get_int", "get of an int"),
    ("python.submit", "submit in a batch, f.remote()"),
    ("python.submit_int", "submit in a batch, f.remote(1)"),
    ("python.options", "f.options(num_cpus=1): a new remote function"),
    ("python.actor_submit", "submit in a batch, a.m.remote()"),
    ("python.task", "a whole task, submit to get, in a batch"),
    ("python.actor_call", "a whole actor call, in a batch"),
]
C_ROWS = [
    ("pool.step.submit", "the pool alone: submit"),
    ("pool.step.take", "the pool alone: take and claim"),
    ("pool.step.seal", "the pool alone: seal"),
    ("pool.step.get", "the pool alone: look at the result"),
    ("pool.step.drop", "the pool alone: drop the reference"),
    ("pool.step.put_free_4b", "the pool alone: put and free of 4 bytes"),
    ("core_c.put_unref_8b", "values, C API: put and free of 8 bytes"),
    ("core_c.put_unref_1kb", "values, C API: put and free of 1 KB"),
    ("core_c.submit_alone_noop", "values, C API: submit without arguments"),
    ("core_c.submit_alone_8b", "values, C API: submit with 8 bytes"),
    ("core_c.submit_alone_ref", "values, C API: submit with a reference"),
    ("core_c.view_get_8b", "values, C API: view of a result"),
]


def per_call(call: Callable[[], object], n: int, rounds: int) -> list[float]:
    """Nanoseconds a call, each round, without the empty loop."""
    empty = min(_loop(lambda: None, n) for _ in range(3))
    return [max(0.0, _loop(call, n) - empty) for _ in range(rounds)]


def _loop(call: Callable[[], object], n: int) -> float:
    begin = time.perf_counter()
    for _ in range(n):
        call()
    return (time.perf_counter() - begin) / n * 1e9


class Point:
    """A user's class."""

    def __init__(self) -> None:
        self.x, self.y = 1, 2


def python_layers(tiny: bool) -> dict[str, list[float]]:
    import numpy as np
    import whipray as ray
    from whipray import _core

    n, rounds = (50, 1) if tiny else (5000, 7)
    ray.init(num_cpus=2, log_to_driver=False)

    @ray.remote
    def f(x=None):
        return x

    @ray.remote
    class A:
        def m(self):
            return None

    def plain(x):
        return x

    def batch(submit: Callable[[], object]) -> list[float]:
        """Submit alone: the results are fetched outside of the time."""
        out = []
        for _ in range(rounds + 1):
            begin = time.perf_counter()
            refs = [submit() for _ in range(n)]
            out.append((time.perf_counter() - begin) / n * 1e9)
            ray.get(refs)
        return out[1:]

    def whole(submit: Callable[[], object]) -> list[float]:
        out = []
        for _ in range(rounds + 1):
            begin = time.perf_counter()
            ray.get([submit() for _ in range(n)])
            out.append((time.perf_counter() - begin) / n * 1e9)
        return out[1:]

    a = A.remote()
    ray.get([f.remote(1), a.m.remote()])
    array, point, number = np.zeros(128), Point(), ray.put(5)
    fraction = fractions.Fraction(1, 3)
    check = _core.Sig(__import__("inspect").signature(plain)).check
    try:
        return {
            "python.call": per_call(lambda: plain(1), n, rounds),
            "python.signature": per_call(lambda: check(1), n, rounds),
            "python.encode_int": per_call(lambda: ray.put(1), n, rounds),
            "python.encode_tuple": per_call(lambda: ray.put((1, 2.0, "three")), n, rounds),
            "python.encode_array": per_call(lambda: ray.put(array), n, rounds),
            "python.encode_object": per_call(lambda: ray.put(fraction), n, rounds),
            "python.encode_main": per_call(lambda: ray.put(point), n, rounds),
            "python.get_int": per_call(lambda: ray.get(number), n, rounds),
            "python.submit": batch(lambda: f.remote()),
            "python.submit_int": batch(lambda: f.remote(1)),
            "python.options": per_call(lambda: f.options(num_cpus=1), n, rounds),
            "python.actor_submit": batch(lambda: a.m.remote()),
            "python.task": whole(lambda: f.remote(1)),
            "python.actor_call": whole(lambda: a.m.remote()),
        }
    finally:
        ray.shutdown()


def c_layers(tiny: bool) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for program in ("pool_bench", "core_c_bench"):
        command = [
            os.path.join(os.environ["WHIPRAY_BIN_DIR"], program),
            *(["--tiny"] if tiny else []),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=True)
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                row = json.loads(line)
                found[row["metric"]] = [row["value"], row["min"], row["max"]]
    return found


def table(c: dict[str, list[float]], python: dict[str, list[float]]) -> str:
    lines = ["| layer | ns | range |", "|---|---|---|"]
    for metric, title in C_ROWS:
        value, least, most = c[metric]
        lines.append(f"| {title} | {value:.0f} | {least:.0f}–{most:.0f} |")
    for metric, title in PYTHON_ROWS:
        rounds = python[metric]
        lines.append(
            f"| {title} | {statistics.median(rounds):.0f} | {min(rounds):.0f}–{max(rounds):.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench layers", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="sizes for a test; no page is written")
    options = parser.parse_args()
    load = loads()
    text = table(c_layers(options.tiny), python_layers(options.tiny))
    print(text)
    if not options.tiny:
        write_section("layers", conditions("./dev bench layers", load) + "\n" + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
