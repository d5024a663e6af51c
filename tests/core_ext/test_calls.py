"""Tasks and actors end to end: arguments, returns, errors, retries, generators."""

import os
import pickle
import signal
import sys
import time

import half
import numpy as np
import pytest
from whipray import _core

get, put, wait = _core.get, _core.put, _core.wait


def echo(*args, **kwargs):
    return (args, kwargs) if kwargs or len(args) != 1 else args[0]


def add(a, b=2, *, c=3):
    return (a, b, c)


def boom(x):
    raise KeyError(x)


@pytest.fixture
def remote(cluster):
    return half.remote


def test_arguments_and_results_of_all_kinds_pass_through_a_worker(remote):
    f = remote(echo)
    for value in (
        None,
        1,
        "x" * 1000,
        b"y" * 70000,
        [1, {"a": (2.5, None)}],
        {1, 2},
        2**70,
        lambda: 1,
    ):
        back = get(f.remote(value), timeout=10)
        assert back == value or back() == 1
    assert get(f.remote(1, 2, k=3)) == ((1, 2), {"k": 3})
    assert get(f.remote(*range(300))) == (tuple(range(300)), {})


def test_a_task_never_runs_in_the_submitting_process(remote):
    assert get(remote(lambda: os.getpid()).remote()) != os.getpid()


def test_the_signature_is_checked_at_the_call(remote):
    f = remote(add)
    assert get(f.remote(1)) == (1, 2, 3)
    assert get(f.remote(1, b=5)) == (1, 5, 3)
    assert get(f.remote(b=1, a=2, c=9)) == (2, 1, 9)
    for args, kwargs in (((), {}), ((1, 2, 3), {}), ((1,), {"d": 3}), ((1,), {"a": 2})):
        with pytest.raises(TypeError):
            f.remote(*args, **kwargs)
    with pytest.raises(TypeError, match="remote"):
        f(1)


def test_top_level_refs_are_replaced_by_their_values_and_nested_ones_are_not(remote):
    f = remote(echo)
    ref = put([1, 2])
    assert get(f.remote(ref)) == [1, 2]
    args, kwargs = get(f.remote(ref, [ref], k=ref))
    assert args[0] == [1, 2] and kwargs == {"k": [1, 2]}
    assert args[1] == [ref] and get(args[1][0]) == [1, 2]
    assert get(f.remote(f.remote(f.remote(7)))) == 7


@pytest.mark.parametrize("count", [1, 2, 3, 4, 10, 70, 300])
def test_any_number_of_reference_arguments(remote, count):
    refs = [put(i) if i % 2 else remote(echo).remote(i) for i in range(count)]
    args = get(remote(lambda *a: a).remote(*refs), timeout=20)
    assert args == tuple(range(count))


def test_a_return_of_several_is_an_argument_by_its_index(remote):
    first, second, third = remote(lambda: (1, "two", [3]), num_returns=3).remote()
    assert get([third, first, second]) == [[3], 1, "two"]
    assert get(remote(echo).remote(second, k=third)) == (("two",), {"k": [3]})
    assert get(remote(lambda r: get_again(r)).remote([third])) == [3]


def get_again(refs):
    from whipray import _core

    return _core.get(refs[0])


def test_the_number_of_returns_decides_the_form(remote):
    assert remote(echo, num_returns=0).remote(1) is None
    assert len(remote(lambda: range(5), num_returns=5).remote()) == 5
    for value in (5, (1,), (1, 2, 3)):
        refs = remote(echo, num_returns=2).remote(value)
        for ref in refs:
            with pytest.raises(half.TaskFailure) as failed:
                get(ref)
            assert isinstance(failed.value.cause, ValueError)


def test_large_results_are_read_only_views_that_outlive_their_ref(remote):
    ref = remote(lambda: np.arange(200000.0)).remote()
    array = get(ref)
    assert not array.flags.writeable
    del ref
    for _ in range(20):
        get(remote(lambda: np.zeros(200000)).remote())
    assert array.sum() == 199999 * 100000


def test_an_exception_arrives_with_its_cause_and_traceback(remote):
    with pytest.raises(half.TaskFailure) as failed:
        get(remote(boom).remote("k"))
    assert (
        failed.value.cause.args == ("k",)
        and "in boom" in failed.value.text
        and failed.value.name == "boom"
    )


def test_an_argument_that_failed_fails_the_task_without_running_it(remote, tmp_path):
    def leave_trace(path, *values):
        open(path, "w").close()

    trace = str(tmp_path / "ran")
    bad = remote(boom).remote("first")
    for args in ((bad,), (1, bad)):
        with pytest.raises(half.TaskFailure) as failed:
            get(remote(leave_trace).remote(trace, *args))
        assert failed.value.cause.args == ("first",)
    assert not os.path.exists(trace)


def test_a_function_that_cannot_be_loaded_is_the_tasks_error(remote):
    class Bad:
        def __reduce__(self):
            return (eval, ("1 / 0",))

    bad = Bad()
    with pytest.raises(half.TaskFailure) as failed:
        get(remote(lambda: bad).remote())
    assert isinstance(failed.value.cause, ZeroDivisionError) and failed.value.name.startswith(
        "function "
    )


def test_an_unpicklable_result_or_exception_is_an_error(remote):
    class Hard(Exception):
        def __reduce__(self):
            raise RuntimeError("no pickle")

    def fail():
        raise Hard("text of it")

    with pytest.raises(half.TaskFailure):
        get(remote(lambda: __import__("threading").Lock()).remote())
    with pytest.raises(half.TaskFailure) as failed:
        get(remote(fail).remote())
    assert "text of it" in failed.value.text


def test_application_errors_are_retried_only_on_request(remote, tmp_path):
    def flaky(path):
        with open(path, "a") as file:
            file.write("x")
        raise ValueError(os.path.getsize(path))

    def runs(name, **options):
        path = str(tmp_path / name)
        with pytest.raises(half.TaskFailure):
            get(remote(flaky, **options).remote(path), timeout=20)
        return os.path.getsize(path)

    assert runs("never", max_retries=3) == 1
    assert runs("always", max_retries=3, flags=_core.CALL_RETRY_ERRORS) == 4
    listed = {"flags": _core.CALL_RETRY_ERRORS, "max_retries": 2}
    assert runs("this", extra=pickle.dumps((ValueError,)), **listed) == 3
    assert runs("other", extra=pickle.dumps((KeyError,)), **listed) == 1


def test_the_task_knows_itself(remote):
    def look():
        task = _core.current_task()
        return task.id, task.attempt, task.name, task.extra, _core.current_task_id() == task.id

    ref = remote(look, extra=pickle.dumps("more")).remote()
    assert get(ref) == (ref.task_id_bytes(), 0, "look", "more", True)
    assert _core.current_task() is None and _core.current_task_id() is None


def test_a_task_that_was_kept_gives_no_arguments_any_more(remote):
    def keep(x):
        sys.kept_task = _core.current_task()

    def look():
        try:
            sys.kept_task.args()
        except half.SystemFailure as error:
            return error.status, sys.kept_task.sealed

    get(remote(keep).remote([1]))
    assert get(remote(look).remote()) == ("STATE", True)


def test_a_nested_task_runs_on_another_worker(own_cluster):
    own_cluster.worker()
    own_cluster.worker()

    def outer(n):
        inner = half.remote(lambda x: x + 1)
        return sum(_core.get([inner.remote(i) for i in range(n)]))

    assert get(half.remote(outer).remote(10), timeout=20) == 55


def test_more_tasks_than_a_ring_holds(remote):
    f = remote(lambda x: x)
    refs = [f.remote(i) for i in range(40000)]
    assert sum(get(refs, timeout=60)) == 39999 * 20000


def test_a_backlog_is_queued_while_the_driver_computes(cluster, tmp_path):
    done = tmp_path / "done"
    f = half.remote(lambda x: x)
    refs = [f.remote(i) for i in range(40000)]
    refs.append(half.remote(lambda path: open(path, "w").close()).remote(str(done)))
    end = time.monotonic() + 20
    while not done.exists():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_worker_that_exits_by_sys_exit_fails_its_task(own_cluster):
    own_cluster.worker()
    f = half.remote(lambda: sys.exit(3), max_retries=0)
    with pytest.raises(half.SystemFailure) as failed:
        get(f.remote(), timeout=20)
    assert failed.value.status == "WORKER_DIED"


def test_max_calls_ends_the_worker(own_cluster):
    worker = own_cluster.worker()

    def few():
        return os.getpid()

    few.max_calls = 2
    f = half.remote(few)
    assert {get(f.remote(), timeout=20), get(f.remote(), timeout=20)} == {worker.pid}
    assert worker.wait(20) == 0


def test_a_worker_ends_when_the_raylet_asks(own_cluster):
    worker = own_cluster.worker()
    assert get(half.remote(echo).remote(1), timeout=20) == 1
    own_cluster.tell(f"exit {worker.pid}")
    assert worker.wait(20) == 0


def test_a_queued_task_is_cancelled_and_a_done_one_is_not(own_cluster):
    f = half.remote(echo)
    ref = f.remote(1)
    assert _core.cancel_local(ref)[0] == "cancelled"
    with pytest.raises(half.SystemFailure) as failed:
        get(ref)
    assert failed.value.status == "CANCELLED"
    own_cluster.worker()
    other = f.remote(2)
    assert get(other, timeout=20) == 2
    assert _core.cancel_local(other) == ("done", 0, 0)


def test_a_running_task_is_cancelled_by_an_interrupt(own_cluster, tmp_path):
    worker = own_cluster.worker()
    started = tmp_path / "started"

    def loop(path):
        open(path, "w").close()
        while True:
            time.sleep(0.01)

    ref = half.remote(loop).remote(str(started))
    while not started.exists():
        time.sleep(0.001)
    state, slot, epoch = _core.cancel_local(ref)
    assert state == "running"
    half.request("cancel", handle=ref, slot=slot, epoch=epoch, force=0, recursive=0)
    os.kill(worker.pid, signal.SIGINT)
    with pytest.raises(half.SystemFailure) as failed:
        get(ref, timeout=20)
    assert failed.value.status == "CANCELLED"
    os.kill(worker.pid, signal.SIGINT)  # too late: nothing is hit
    assert get(half.remote(echo).remote(5), timeout=20) == 5


# ---- Generators ----


def numbers(n, fail_at=None):
    for i in range(n):
        if i == fail_at:
            raise KeyError(i)
        yield i


def stream(function=numbers, **options):
    return half.remote(function, num_returns=_core.RETURNS_STREAM, **options)


def test_a_generator_gives_its_items_in_order(remote):
    items = stream().remote(1000)
    assert isinstance(items, _core.ObjectRefGenerator)
    assert [get(ref) for ref in items] == list(range(1000))
    assert items.is_finished()
    with pytest.raises(StopIteration):
        next(items)
    assert get(items.completed()) is None


def test_an_error_in_a_generator_is_one_extra_ref(remote):
    items = list(stream().remote(5, fail_at=3))
    assert get(items[:3]) == [0, 1, 2] and len(items) == 4
    with pytest.raises(half.TaskFailure):
        get(items[3])


def test_a_generator_that_waits_says_so(remote, tmp_path):
    gate = tmp_path / "gate"

    def gated(path):
        yield 1
        while not os.path.exists(path):
            time.sleep(0.001)
        yield 2

    items = stream(gated).remote(str(gate))
    assert get(next(items)) == 1
    assert items._try_next() is None and not items.next_ready()
    assert items._next_sync(timeout_s=0.01).is_nil()
    assert wait([items], timeout=0.01) == ([], [items])
    gate.touch()
    assert wait([items], timeout=20) == ([items], [])
    assert items.next_ready() and get(items._next_sync(20)) == 2
    with pytest.raises(StopIteration):
        items._next_sync(20)


def test_dropping_a_generator_stops_its_producer(remote, tmp_path):
    closed = tmp_path / "closed"

    def endless(path):
        try:
            while True:
                yield b"x" * 1000
        finally:
            open(path, "w").close()

    items = stream(endless, window=8).remote(str(closed))
    assert len(get(next(items))) == 1000
    del items
    assert get(remote(echo).remote(1), timeout=20) == 1
    assert closed.exists()


def test_get_gives_a_generator_back_unchanged(remote):
    items = stream().remote(1)
    assert get(items) is items
    assert [get(r) for r in items] == [0]


# ---- Actors ----


class Counter:
    def __init__(self, n=0):
        self.n = n

    def add(self, k=1):
        self.n += k
        return self.n

    def fail(self):
        raise ValueError("x")

    def items(self, n):
        yield from range(n)

    def keep(self, ref):
        self.kept = ref

    def kept_value(self):
        return _core.get(self.kept[0])


def test_an_actor_keeps_its_state_and_order(own_cluster):
    actor = own_cluster.actor(Counter, 5)
    assert get([actor.add.remote(k=i) for i in range(1, 1001)]) == [
        5 + i * (i + 1) // 2 for i in range(1, 1001)
    ]
    with pytest.raises(half.TaskFailure) as failed:
        get(actor.fail.remote())
    assert failed.value.name == "Counter.fail"
    with pytest.raises(AttributeError):
        actor.nothing  # noqa: B018
    with pytest.raises(TypeError):
        actor.add.remote(1, 2)
    with pytest.raises(TypeError, match="remote"):
        actor.add()
    assert [get(r) for r in actor.items.remote(3)] == [0, 1, 2]


def test_a_method_is_made_once_and_holds_the_core_only(own_cluster):
    actor = own_cluster.actor(Counter)
    method = actor.add
    assert actor.add is method and actor.__dict__ == {"add": method}
    core = actor._core
    del actor
    assert get(method.remote(2)) == 2 and method._core is core


def test_method_options_make_another_method(own_cluster):
    actor = own_cluster.actor(Counter)

    def options(method, given):
        clone = method._clone()
        clone._num_returns = given["num_returns"]
        return clone

    _core.set_hooks(method_options=options)
    assert actor.add.options(num_returns=0).remote() is None
    assert actor.add._num_returns == 1 and get(actor.add.remote()) == 2


def test_an_actor_keeps_a_nested_ref_beyond_its_call(own_cluster):
    actor = own_cluster.actor(Counter)
    ref = put(np.arange(1000.0))
    get(actor.keep.remote([ref]))
    del ref
    assert get(actor.kept_value.remote()).sum() == 499500


def test_a_call_of_a_dead_actor_is_a_ref_that_raises(own_cluster):
    actor = own_cluster.actor(Counter)
    assert get(actor.add.remote()) == 1
    own_cluster.tell(f"dead {actor._core.extra}")
    for ref in (actor.add.remote(), actor.add.remote(5)):
        with pytest.raises(half.SystemFailure) as failed:
            get(ref, timeout=20)
        assert failed.value.status == "ACTOR_DIED" and "old age" in failed.value.text


def test_a_weak_core_has_no_ref(own_cluster):
    actor = own_cluster.actor(Counter, 3)
    weak = _core.ActorHandle(
        _core.ActorCore(actor._core.handle, None, actor._core.extra), actor._methods
    )
    assert weak._core.ref is None and weak._core.bound is None
    assert get(weak.add.remote()) == 4 and weak._core.bound is not None


class Async:
    def serve(self):
        """Runs the actor's life: takes calls and drives coroutines by hand."""
        waiting = []
        while True:
            task = _core.take(len(waiting) % 1000)
            if task == _core.NEXT_NONE:
                for held, coroutine in waiting:
                    held.step(coroutine)
                waiting.clear()
                _core.idle(0)
            elif isinstance(task, int):
                return True
            else:
                made = task.run()
                if made is not _core.DONE and task.step(made) is not _core.DONE:
                    waiting.append((task, made))

    async def quick(self, x):
        return x

    async def slow(self, x):
        await Turn()
        if x is None:
            raise ValueError("none")
        return x

    def plain(self, x):
        return x


class Turn:
    def __await__(self):
        yield


def test_async_methods_are_driven_from_python(own_cluster):
    actor = own_cluster.actor(Async)
    assert get(
        [actor.quick.remote(1), actor.slow.remote(2), actor.plain.remote(3)], timeout=20
    ) == [1, 2, 3]
    with pytest.raises(half.TaskFailure):
        get(actor.slow.remote(None), timeout=20)
    assert get([actor.slow.remote(i) for i in range(50)], timeout=20) == list(range(50))


class Threaded:
    def serve(self):
        import threading

        threads = [
            threading.Thread(target=_core.run_lane, args=(lane,), daemon=True)
            for lane in range(1, 5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return True

    def __init__(self):
        import threading

        self.barrier = threading.Barrier(4)

    def meet(self, x):
        self.barrier.wait(20)
        return x, _core.current_task_id()


def test_threads_run_calls_at_the_same_time_with_their_own_task(own_cluster):
    actor = own_cluster.actor(Threaded)
    for _ in range(20):
        refs = [actor.meet.remote(np.full(1000, i)) for i in range(4)]
        for i, (value, task) in enumerate(get(refs, timeout=20)):
            assert (value == i).all() and task == refs[i].task_id_bytes()
