"""Mistaken calls are refused where they are made, by name, and change nothing."""

from __future__ import annotations

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
        ("f.remote(1, 2)", TypeError, "too many positional arguments"),
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

    yield whipray, {"f": f, "r": whipray.put(1)}
    assert whipray.get([f.remote(k) for k in range(50)]) == list(range(50))
    whipray.shutdown()
