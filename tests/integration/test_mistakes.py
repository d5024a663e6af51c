"""Mistaken calls are refused where they are made, by name, and change nothing."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "call, error, named",
    [
        ("ray.get(5)", ValueError, "list"),
        ("ray.get([5])", TypeError, "ObjectRef"),
        ("ray.wait(r)", TypeError, "list"),
        ("ray.wait([r, r])", ValueError, "distinct"),
        ("ray.wait([r], num_returns=2)", ValueError, "num_returns"),
        ("ray.wait([r], timeout=-1)", ValueError, "timeout"),
        ("ray.put(r)", TypeError, "ObjectRef"),
        ("ray.kill(5)", ValueError, "actor handle, not int"),
        ("ray.cancel(5)", TypeError, "ObjectRef"),
        ("f()", TypeError, "remote"),
        ("f.remote()", TypeError, "x"),
        ("f.remote(1, 2)", TypeError, "f(x): too many positional arguments"),
        ("a.m.remote(1, 2)", TypeError, "A.m(x): too many positional arguments"),
        ("a.m.remote()", TypeError, "A.m(x): missing a required argument: 'x'"),
        ("A.remote(1)", TypeError, "A(): too many positional arguments"),
        ("ray.get(r, timeout='a')", TypeError, "get: timeout must be a number of seconds"),
        ("ray.get(r, timeout=-2)", ValueError, "get: timeout must not be negative"),
        ("ray.wait([r], timeout='a')", TypeError, "wait: timeout must be a number of seconds"),
        ("ray.wait([r], num_returns=1.0)", TypeError, "wait: num_returns must be an int, not 1.0"),
        ("ray.put(deep)", pickle.PicklingError, "nested deeper than the recursion limit"),
        ("f.remote(deep)", pickle.PicklingError, "nested deeper than the recursion limit"),
        ("f.options(num_cpu=1)", ValueError, "num_cpus"),
        ("f.options(num_cpus=-1)", ValueError, "num_cpus"),
        ("f.options(num_cpus='a')", TypeError, "num_cpus"),
        ("f.options(resources={'CPU': 1})", ValueError, "CPU"),
        ("ray.get_actor('nobody')", ValueError, "nobody"),
        ("ray.get_actor('')", ValueError, "name"),
        ("ray.remote(5)", TypeError, "function or a class, not int"),
        ("ray.init(num_cpus=1)", RuntimeError, "ignore_reinit_error"),
    ],
)
def test_a_mistaken_call_is_refused_where_it_is_made(mistakes, call, error, named):
    ray, names = mistakes
    with pytest.raises(error) as caught:
        eval(call, {"ray": ray, **names})
    assert named and named in str(caught.value)


@pytest.fixture(scope="module")
def mistakes():
    import whipray

    whipray.init(num_cpus=1, log_to_driver=False)

    @whipray.remote
    def f(x):
        return x

    @whipray.remote(num_cpus=0)
    class A:
        def m(self, x):
            return x

    deep = []
    for _ in range(100_000):
        deep = [deep]
    yield whipray, {"f": f, "A": A, "a": A.remote(), "r": whipray.put(1), "deep": deep}
    while deep:  # freed step by step: at once would need as many frames
        deep = deep.pop()
    assert whipray.get([f.remote(k) for k in range(50)]) == list(range(50))
    whipray.shutdown()


def test_programs_run_with_bytes_warnings_as_errors():
    code = """
import whipray as ray
ray.init(num_cpus=1, address="local")
@ray.remote
def f(x, y=b"x"):
    return x, y
@ray.remote
class A:
    def m(self, x):
        return x
assert ray.get(f.remote({"a": b"x"})) == ({"a": b"x"}, b"x")
assert ray.get(A.remote().m.remote(b"1")) == b"1"
"""
    done = subprocess.run(
        [sys.executable, "-bb", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "BytesWarning" not in done.stderr, done.stderr
