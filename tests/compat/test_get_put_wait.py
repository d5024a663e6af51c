"""ray-compat section 1: get, put, wait."""

import threading
import time

import numpy as np
import pytest
import ray
from compat_helpers import AGAINST, Signal

pytestmark = pytest.mark.usefixtures("cluster")


@ray.remote
def identity(value):
    return value


@ray.remote
def fail(text):
    raise ValueError(text)


@ray.remote(num_cpus=0)
def wait_for(signal):
    ray.get(signal.wait.remote())
    return "late"


def test_get_one():
    assert ray.get(identity.remote(5)) == 5


def test_get_list_keeps_the_order():
    refs = [identity.remote(n) for n in range(20)]
    assert ray.get(refs) == list(range(20))


def test_get_empty_list():
    assert ray.get([]) == []


def test_get_duplicates():
    ref = identity.remote("x")
    assert ray.get([ref, ref]) == ["x", "x"]


@pytest.mark.parametrize("wrong", [(), 1, "x", None, {}])
def test_get_of_what_is_no_ref_or_list(wrong):
    with pytest.raises(ValueError):
        ray.get(wrong)


def test_get_list_with_a_non_ref():
    with pytest.raises((TypeError, ValueError)):
        ray.get([identity.remote(1), 2])


def test_get_raises_the_first_error_without_waiting():
    signal = Signal.remote()
    late = wait_for.remote(signal)
    with pytest.raises(ValueError, match="early"):
        ray.get([fail.remote("early"), late], timeout=30)
    ray.get(signal.send.remote())
    assert ray.get(late) == "late"


def test_get_timeout():
    signal = Signal.remote()
    late = wait_for.remote(signal)
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(late, timeout=0.05)
    with pytest.raises(TimeoutError):
        ray.get([late], timeout=0.05)
    ray.get(signal.send.remote())
    assert ray.get(late, timeout=None) == "late"


def timed_out(refs, seconds=0.3):
    with pytest.raises(ray.exceptions.GetTimeoutError) as caught:
        ray.get(refs, timeout=seconds)
    return str(caught.value)


def test_get_timeout_says_what_runs_where():
    begun, end = Signal.remote(), Signal.remote()

    @ray.remote(num_cpus=0)
    def hold(begin, event):
        ray.get(begin.send.remote())
        ray.get(event.wait.remote())

    ref = hold.remote(begun, end)
    ray.get(begun.wait.remote(), timeout=60)
    text = timed_out([ray.put(1), ref, ray.put(2)])
    if AGAINST != "ray":
        assert "after 0.3 s" in text and "2 of 3 objects are there" in text
        assert "hold" in text and "runs in pid" in text and "waits in get" in text
        assert "hold" in timed_out(ref)
    ray.get(end.send.remote())
    ray.get(ref)


def test_get_timeout_says_why_it_is_queued():
    @ray.remote(num_cpus=1000)
    def too_much():
        return 1

    ref = too_much.remote()
    text = timed_out(ref)
    if AGAINST != "ray":
        assert "too_much is queued and needs {CPU=1000}" in text and "no node can" in text
    pending = identity.remote(ref)
    text = timed_out(pending)
    if AGAINST != "ray":
        assert "identity waits for its arguments" in text
    ray.cancel(ref)
    ray.cancel(pending)


def test_get_timeout_says_what_the_actor_does():
    begun, end = Signal.remote(), Signal.remote()

    @ray.remote(num_cpus=0)
    class Busy:
        def hold(self, begin, event):
            ray.get(begin.send.remote())
            ray.get(event.wait.remote())

        def quick(self):
            return 1

    actor = Busy.remote()
    first = actor.hold.remote(begun, end)
    ray.get(begun.wait.remote(), timeout=60)
    queued = actor.quick.remote()
    running, waiting = timed_out(first), timed_out(queued)
    never = Busy.options(num_cpus=1000).remote()
    unplaced = timed_out(never.quick.remote())
    if AGAINST != "ray":
        assert "Busy.hold" in running and actor._actor_id.hex() in running and "pid" in running
        assert "Busy.quick" in waiting and "runs other calls" in waiting
        assert "Busy.quick" in unplaced and "CPU=1000" in unplaced and "no node can" in unplaced
    ray.get(end.send.remote())
    assert ray.get([first, queued], timeout=60) == [None, 1]


def test_get_timeout_zero():
    signal = Signal.remote()
    late = wait_for.remote(signal)
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(late, timeout=0)
    ray.get(signal.send.remote())
    assert ray.get(late) == "late"
    assert ray.get(ray.put(1), timeout=0) == 1


def test_get_timeout_minus_one_is_for_ever():
    assert ray.get(identity.remote(1), timeout=-1) == 1


def test_get_generator_comes_back():
    @ray.remote
    def items():
        yield 1

    generator = items.remote()
    assert ray.get(generator) is generator
    assert [ray.get(ref) for ref in generator] == [1]


def test_put_and_get():
    for value in (None, True, 1, 2**70, 1.5, "é", b"x", [1, [2]], {"a": (1,)}, {1, 2}, 1j):
        back = ray.get(ray.put(value))
        assert back == value and type(back) is type(value)


def test_put_is_a_snapshot():
    value = [1]
    array = np.zeros(100_000)
    refs = ray.put(value), ray.put(array)
    value.append(2)
    array[0] = 7
    assert ray.get(refs[0]) == [1]
    assert ray.get(refs[1])[0] == 0


def test_put_of_a_ref():
    with pytest.raises(TypeError):
        ray.put(ray.put(1))


def test_put_unpicklable():
    with pytest.raises(TypeError, match="lock"):
        ray.put({"a": threading.Lock()})


def test_wait_one():
    ready, rest = ray.wait([identity.remote(1)])
    assert len(ready) == 1 and rest == []


def test_wait_never_more_than_asked():
    refs = [ray.put(n) for n in range(5)]
    ready, rest = ray.wait(refs, num_returns=2)
    assert len(ready) == 2 and len(rest) == 3
    assert ready == [ref for ref in refs if ref in ready]
    assert rest == [ref for ref in refs if ref in rest]


def test_wait_keeps_the_order():
    signal = Signal.remote()
    late = wait_for.remote(signal)
    refs = [late, ray.put(1), ray.put(2)]
    ready, rest = ray.wait(refs, num_returns=2)
    assert ready == refs[1:] and rest == [late]
    ray.get(signal.send.remote())
    assert ray.get(late) == "late"


def test_wait_timeout_gives_what_is_there():
    signal = Signal.remote()
    late = wait_for.remote(signal)
    before = time.monotonic()
    ready, rest = ray.wait([late, ray.put(1)], num_returns=2, timeout=0.1)
    assert time.monotonic() - before < 20
    assert len(ready) == 1 and rest == [late]
    ray.get(signal.send.remote())
    assert ray.wait([late]) == ([late], [])


def test_wait_empty():
    assert ray.wait([]) == ([], [])


def test_wait_counts_failures_as_ready():
    ref = fail.remote("x")
    assert ray.wait([ref], timeout=30) == ([ref], [])


def test_wait_wrong_arguments():
    ref = ray.put(1)
    with pytest.raises(TypeError):
        ray.wait(ref)
    with pytest.raises(TypeError):
        ray.wait((ref,))
    with pytest.raises(TypeError):
        ray.wait([1])
    with pytest.raises(ValueError):
        ray.wait([ref, ref])
    with pytest.raises(ValueError):
        ray.wait([ref], num_returns=0)
    with pytest.raises(ValueError):
        ray.wait([ref], num_returns=2)
    with pytest.raises(ValueError):
        ray.wait([ref], timeout=-1)


def test_wait_tells_duplicates_from_the_returns_of_one_task():
    @ray.remote(num_returns=3)
    def three():
        return 1, 2, 3

    refs = list(three.remote()) + [ray.put(k) for k in range(3000)]
    ready, rest = ray.wait(refs, num_returns=len(refs), timeout=30)
    assert ready == refs and rest == []
    for twice in (refs[0], refs[1], refs[-1]):
        with pytest.raises(ValueError):
            ray.wait([*refs, twice])
    copy = ray.get(ray.put([refs[5]]))[0]  # another Python object for the same ref
    with pytest.raises(ValueError):
        ray.wait([*refs, copy])


def test_wait_fetch_local():
    ref = ray.put(1)
    assert ray.wait([ref], fetch_local=False) == ([ref], [])


def test_wait_generator():
    @ray.remote
    def items():
        yield 1
        yield 2

    generator = items.remote()
    ready, _ = ray.wait([generator], timeout=30)
    assert ready == [generator]
    assert [ray.get(ref) for ref in generator] == [1, 2]
