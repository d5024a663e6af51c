"""get and wait: order, timeouts, early failures, signals, threads."""

import os
import signal
import threading
import time

import half
import pytest
from whipray import _core

get, put, wait = _core.get, _core.put, _core.wait


@pytest.fixture
def never(own_cluster):
    """A function that nobody runs: its refs stay pending."""
    return half.remote(lambda x=0: x)


def test_get_keeps_the_order_and_takes_duplicates(cluster):
    refs = [put(i) for i in range(5)]
    assert get([refs[3], refs[0], refs[3]]) == [3, 0, 3]
    assert get([]) == []


def test_get_refuses_what_is_no_list_of_refs(cluster):
    for bad in ((put(1),), 5, "x", None, {put(1)}):
        with pytest.raises(ValueError):
            get(bad)
    with pytest.raises(TypeError):
        get([put(1), 5])
    for call in (lambda: get(), lambda: get(put(1), 2), lambda: get(put(1), wrong=1)):
        with pytest.raises(TypeError):
            call()


def test_put_refuses_a_ref(cluster):
    with pytest.raises(TypeError):
        put(put(1))
    with pytest.raises(ValueError):
        put(1, _owner=5)


def test_a_timeout_of_zero_does_not_wait(never):
    ref = never.remote()
    for timeout in (0, 0.01):
        with pytest.raises(half.SystemFailure) as failed:
            get(ref, timeout=timeout)
        assert failed.value.status == "TIMEOUT"
    with pytest.raises(half.SystemFailure, match="1 of 2"):
        get([put(1), ref], timeout=0)
    assert get(put(3), timeout=0) == 3
    with pytest.raises(ValueError):
        get(ref, timeout=-2)


def test_get_raises_a_later_failure_while_an_earlier_ref_is_pending(never):
    pending = [never.remote() for _ in range(100)]
    bad = _core.put_error(("f", "t", half.pack_error(KeyError("late"), "f")[2]))
    with pytest.raises(half.TaskFailure) as failed:
        get([*pending, bad, *pending])
    assert failed.value.cause.args == ("late",)


def test_a_failure_that_comes_while_get_sleeps_ends_it(never):
    refs = [never.remote(i) for i in range(50)]
    timer = threading.Timer(0.05, lambda: _core.cancel_local(refs[30]))
    timer.start()
    with pytest.raises(half.SystemFailure) as failed:
        get(refs, timeout=20)
    assert failed.value.status == "CANCELLED"
    timer.join()


def test_wait_splits_in_order_and_never_gives_more_than_asked(cluster):
    refs = [put(i) for i in range(10)]
    assert wait(refs) == (refs[:1], refs[1:])
    assert wait(refs, num_returns=4) == (refs[:4], refs[4:])
    assert wait(refs, num_returns=10) == (refs, [])
    assert wait([]) == ([], [])
    assert wait(refs, fetch_local=False)[0] == refs[:1]


def test_wait_counts_failures_as_ready_and_leaves_the_rest(never):
    pending = never.remote()
    bad = _core.put_error(("f", "t", b""))
    assert wait([pending, bad], timeout=0) == ([bad], [pending])
    assert wait([pending, bad], num_returns=2, timeout=0.02) == ([bad], [pending])
    assert wait([pending], timeout=0) == ([], [pending])


def test_wait_refuses_bad_arguments(cluster):
    refs = [put(1), put(2)]
    for bad in (refs[0], tuple(refs), [1]):
        with pytest.raises(TypeError):
            wait(bad)
    for kwargs in ({"num_returns": 0}, {"num_returns": 3}, {"timeout": -1}):
        with pytest.raises(ValueError):
            wait(refs, **kwargs)
    with pytest.raises(ValueError, match="distinct"):
        wait([refs[0], refs[1], refs[0]])
    many = [put(i) for i in range(1000)]
    with pytest.raises(ValueError, match="distinct"):
        wait([*many, _core.ObjectRef(many[500].binary())])


def test_wait_wakes_for_the_first_of_many(never):
    refs = [never.remote(i) for i in range(1000)]
    threading.Timer(0.05, lambda: _core.cancel_local(refs[700])).start()
    ready, rest = wait(refs, timeout=20)
    assert ready == [refs[700]] and len(rest) == 999


def test_a_wait_loop_takes_all(cluster):
    f = half.remote(lambda x: x)
    rest = [f.remote(i) for i in range(500)]
    seen = set()
    while rest:
        ready, rest = wait(rest)
        seen.add(get(ready[0]))
    assert seen == set(range(500))


def test_watch_gives_the_indices_of_all_that_are_ready(never):
    pending = never.remote()
    assert _core.watch([pending, put(1), put(2)], 1) == [1, 2]
    assert _core.watch([pending], 0.01) == [] and _core.watch([], 1) == []
    assert _core.ready(put(1)) and not _core.ready(pending)


@pytest.mark.parametrize("how", ["get", "get_list", "wait", "generator"])
def test_ctrl_c_ends_a_wait_within_a_fifth_of_a_second(never, how):
    ref = never.remote()
    refs = [never.remote() for _ in range(20)]
    items = half.remote(lambda: iter(()), num_returns=_core.RETURNS_STREAM).remote()
    waits = {
        "get": lambda: get(ref),
        "get_list": lambda: get(refs),
        "wait": lambda: wait(refs, num_returns=2),
        "generator": lambda: next(items),
    }
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(0.15, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        waits[how]()
    assert time.monotonic() - sent[0] < 0.2
    assert get(put(1)) == 1


def test_other_threads_run_while_one_waits(never):
    ref = never.remote()
    waiter = threading.Thread(target=lambda: wait([ref], timeout=20))
    waiter.start()
    assert get([put(i) for i in range(100)]) == list(range(100))
    _core.cancel_local(ref)
    waiter.join(20)
    assert not waiter.is_alive()


def test_many_threads_submit_and_get(cluster):
    f = half.remote(lambda x: x * 2)
    failures = []

    def run(base):
        try:
            for i in range(300):
                assert get(f.remote(base + i)) == 2 * (base + i)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(1000 * k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


def test_the_end_of_the_session_ends_waits_of_other_threads(own_cluster):
    ref = half.remote(lambda: 1).remote()
    items = half.remote(lambda: iter(()), num_returns=_core.RETURNS_STREAM).remote()
    seen = []

    def run(call):
        try:
            call()
        except half.SystemFailure as error:
            seen.append(error.status)

    calls = [lambda: get(ref), lambda: wait([ref]), lambda: next(items)]
    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    _core.disconnect()
    for thread in threads:
        thread.join(20)
    assert seen == ["STATE"] * 3


def test_a_raylet_that_dies_ends_every_wait(own_cluster):
    ref = half.remote(lambda: 1).remote()
    threading.Timer(0.05, lambda: own_cluster.tell("kill")).start()
    with pytest.raises(half.SystemFailure) as failed:
        get(ref, timeout=20)
    assert failed.value.status == "RAYLET_DIED" and _core.health() == "RAYLET_DIED"


def test_awaiting_a_ready_ref_needs_no_loop(cluster):
    async def use(ref):
        return await ref

    for value in (None, 5, (1, 2), [3], StopIteration):
        coroutine = use(put(value))
        with pytest.raises(StopIteration) as stop:
            coroutine.send(None)
        assert stop.value.value == value


def test_awaiting_a_pending_ref_asks_the_hook(never):
    _core.set_hooks(await_ref=lambda ref: iter([ref]))
    ref = never.remote()

    async def use():
        return await ref

    assert use().send(None) is ref
