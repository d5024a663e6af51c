"""ray-compat section 1, cancel: every case of its row."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import ray
from compat_helpers import Signal, Tally

pytestmark = pytest.mark.usefixtures("cluster")

CANCELLED = (ray.exceptions.TaskCancelledError,)


@ray.remote(num_cpus=4)
def hold_all(signal):
    ray.get(signal.send.remote())
    while True:
        time.sleep(0.01)


@ray.remote
def quick():
    return 1


def busy(signal):
    """A task that holds the whole cluster, begun."""
    ref = hold_all.remote(signal)
    ray.get(signal.wait.remote(), timeout=60)
    return ref


def test_what_is_no_ref():
    with pytest.raises(TypeError):
        ray.cancel(1)
    with pytest.raises(TypeError):
        ray.cancel([ray.put(1)])


def test_queued_task():
    running = busy(Signal.remote())
    queued = quick.options(num_cpus=4).remote()
    ray.cancel(queued)
    with pytest.raises(CANCELLED):
        ray.get(queued, timeout=60)
    ray.cancel(running)
    with pytest.raises(CANCELLED):
        ray.get(running, timeout=60)


def test_task_that_waits_for_arguments(program):
    # A program of its own: Ray 2.58 ends the driver here.
    done = program(
        """
        import time
        import ray

        ray.init(num_cpus=2, include_dashboard=False)

        @ray.remote
        def late():
            while True:
                time.sleep(0.01)

        @ray.remote
        def use(value):
            return value

        ref = late.remote()
        pending = use.remote(ref)
        ray.cancel(pending)
        try:
            ray.get(pending, timeout=60)
        except ray.exceptions.TaskCancelledError:
            print("CANCELLED")
        print("STILL", ray.get(use.remote(1)))
        """,
        check=False,
    )
    assert "CANCELLED" in done.stdout and "STILL 1" in done.stdout


def test_running_task():
    ref = busy(Signal.remote())
    ray.cancel(ref)
    with pytest.raises(CANCELLED):
        ray.get(ref, timeout=60)
    assert ray.get(quick.remote(), timeout=60) == 1


def test_running_task_may_swallow_it():
    signal = Signal.remote()

    @ray.remote
    def stubborn(event):
        try:
            ray.get(event.send.remote())
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt:
            return "swallowed"

    ref = stubborn.remote(signal)
    ray.get(signal.wait.remote(), timeout=60)
    ray.cancel(ref)
    try:
        assert ray.get(ref, timeout=60) == "swallowed"
    except ray.exceptions.TaskCancelledError:
        assert True


def test_running_task_in_a_callback_that_swallows_errors():
    import weakref

    class Thing:
        pass

    @ray.remote
    def run(event):
        ray.get(event.send.remote())
        while True:
            things = weakref.WeakSet()
            some = [Thing() for _ in range(1000)]
            for thing in some:
                things.add(thing)
            del some, thing  # a callback in Python each

    for _ in range(10):
        signal = Signal.remote()
        ref = run.remote(signal)
        ray.get(signal.wait.remote(), timeout=60)
        ray.cancel(ref)
        with pytest.raises(CANCELLED):
            ray.get(ref, timeout=60)


def test_running_task_blocked_in_get():
    started, never = Signal.remote(), Signal.remote()

    @ray.remote
    def block(begin, event):
        ray.get(begin.send.remote())
        ray.get(event.wait.remote())

    ref = block.remote(started, never)
    ray.get(started.wait.remote(), timeout=60)
    ray.cancel(ref)
    with pytest.raises(CANCELLED):
        ray.get(ref, timeout=60)


@pytest.mark.differs("Ray keeps the return that was pickled before")
def test_keyboard_interrupt_while_a_return_is_pickled_ends_the_task():
    class Interrupts:
        def __reduce__(self):
            raise KeyboardInterrupt

    @ray.remote(num_returns=2)
    def run():
        return 1, Interrupts()

    for ref in run.remote():
        with pytest.raises(CANCELLED):
            ray.get(ref, timeout=60)


def test_generator_whose_item_waits_for_room(program):
    done = program(
        """
        import time

        import numpy as np
        import ray

        @ray.remote(num_cpus=0)
        def items():
            big = np.ones(60 << 20, dtype=np.uint8)
            yield big
            yield "begun"
            yield big
            while True:
                time.sleep(0.01)

        ray.init(num_cpus=1, object_store_memory=100 << 20, include_dashboard=False)
        made = items.remote()
        held = next(made)
        assert ray.get(next(made)) == "begun"
        ray.cancel(made)
        try:
            for ref in made:
                ray.get(ref)
        except ray.exceptions.TaskCancelledError:
            print("CANCELLED")
        """
    )
    assert "CANCELLED" in done.stdout


def test_force():
    ref = busy(Signal.remote())
    ray.cancel(ref, force=True)
    with pytest.raises((ray.exceptions.WorkerCrashedError, *CANCELLED)):
        ray.get(ref, timeout=60)
    assert ray.get(quick.remote(), timeout=60) == 1


def test_force_beside_idle_workers():
    """Another worker is free to take the task up again at once: it must not."""
    ray.get([quick.remote() for _ in range(20)])

    @ray.remote
    def run(event):
        ray.get(event.send.remote())
        while True:
            time.sleep(0.01)

    for _ in range(3):
        signal = Signal.remote()
        ref = run.remote(signal)
        ray.get(signal.wait.remote(), timeout=60)
        ray.cancel(ref, force=True)
        with pytest.raises((ray.exceptions.WorkerCrashedError, *CANCELLED)):
            ray.get(ref, timeout=60)


def test_a_late_cancel_hits_no_other_task():
    @ray.remote
    def spin(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        return seconds

    for n in range(100):
        first = spin.remote(0.001)
        second = spin.remote(0.0005)
        while time.monotonic_ns() % 20 != n % 20:
            pass
        ray.cancel(first)
        try:
            assert ray.get(first, timeout=60) == 0.001
        except ray.exceptions.TaskCancelledError:
            pass
        assert ray.get(second, timeout=60) == 0.0005


def test_finished_task():
    ref = quick.remote()
    assert ray.get(ref) == 1
    ray.cancel(ref)
    assert ray.get(ref) == 1


def test_never_retried():
    tally, signal = Tally.remote(), Signal.remote()

    @ray.remote(max_retries=5, retry_exceptions=True)
    def run(counter, event):
        ray.get(counter.add.remote())
        ray.get(event.send.remote())
        while True:
            time.sleep(0.01)

    ref = run.remote(tally, signal)
    ray.get(signal.wait.remote(), timeout=60)
    ray.cancel(ref)
    with pytest.raises(CANCELLED):
        ray.get(ref, timeout=60)
    assert ray.get(tally.get.remote()) == 1


def test_recursive():
    started, ended = Signal.remote(), Signal.remote()

    @ray.remote(num_cpus=1)
    def child(begin, end):
        try:
            ray.get(begin.send.remote())
            while True:
                time.sleep(0.01)
        finally:
            ray.get(end.send.remote())

    @ray.remote(num_cpus=1)
    def parent(begin, end):
        return ray.get(child.remote(begin, end))

    ref = parent.remote(started, ended)
    ray.get(started.wait.remote(), timeout=60)
    ray.cancel(ref, recursive=True)
    with pytest.raises(CANCELLED):
        ray.get(ref, timeout=60)
    assert ray.get(ended.wait.remote(), timeout=60) is True


@ray.remote(num_cpus=0)
def endless(begin, end):
    try:
        ray.get(begin.send.remote())
        while True:
            time.sleep(0.01)
    finally:
        ray.get(end.send.remote())


def test_recursive_reaches_children_that_nobody_names():
    started, ended = Signal.remote(), Signal.remote()

    @ray.remote(num_cpus=0)
    def parent(begin, end):
        ray.get([quick.options(num_cpus=0).remote() for _ in range(700)])
        endless.remote(begin, end)
        ray.get([quick.options(num_cpus=0).remote() for _ in range(700)])
        while True:
            time.sleep(0.01)

    ref = parent.remote(started, ended)
    ray.get(started.wait.remote(), timeout=60)
    ray.cancel(ref)
    with pytest.raises(CANCELLED):
        ray.get(ref, timeout=60)
    assert ray.get(ended.wait.remote(), timeout=60) is True


def test_recursive_reaches_grandchildren():
    started, ended = Signal.remote(), Signal.remote()

    @ray.remote(num_cpus=0)
    def child(begin, end):
        endless.remote(begin, end)
        while True:
            time.sleep(0.01)

    @ray.remote(num_cpus=0)
    def parent(begin, end):
        child.remote(begin, end)
        while True:
            time.sleep(0.01)

    ref = parent.remote(started, ended)
    ray.get(started.wait.remote(), timeout=60)
    ray.cancel(ref)
    assert ray.get(ended.wait.remote(), timeout=60) is True


@pytest.mark.differs("Ray does not reach what threads of a task's own submit")
def test_recursive_reaches_the_children_of_a_tasks_own_threads():
    started, ended = Signal.remote(), Signal.remote()

    @ray.remote(num_cpus=0)
    def parent(begin, end):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(endless.remote, begin, end).result()
        while True:
            time.sleep(0.01)

    ref = parent.remote(started, ended)
    ray.get(started.wait.remote(), timeout=60)
    ray.cancel(ref)
    with pytest.raises(CANCELLED):
        ray.get(ref, timeout=60)
    assert ray.get(ended.wait.remote(), timeout=60) is True


def test_recursive_drops_queued_children():
    blocker = busy(Signal.remote())
    begun, tally = Signal.remote(), Tally.remote()

    @ray.remote
    def count(counter):
        ray.get(counter.add.remote())

    @ray.remote(num_cpus=0)
    def parent(begin, counter):
        children = [count.remote(counter) for _ in range(10)]
        ray.get(begin.send.remote())
        ray.get(children)

    ref = parent.remote(begun, tally)
    ray.get(begun.wait.remote(), timeout=60)
    ray.cancel(ref)
    with pytest.raises(CANCELLED):
        ray.get(ref, timeout=60)
    ray.cancel(blocker)
    with pytest.raises(CANCELLED):
        ray.get(blocker, timeout=60)
    assert ray.get(quick.options(num_cpus=4).remote(), timeout=60) == 1
    assert ray.get(tally.get.remote()) == 0


def test_not_recursive_leaves_the_children():
    started, ended, end = Signal.remote(), Signal.remote(), Signal.remote()

    @ray.remote(num_cpus=0)
    def child(begin, event, done):
        ray.get(begin.send.remote())
        ray.get(event.wait.remote())
        ray.get(done.send.remote())

    @ray.remote(num_cpus=0)
    def parent(begin, event, done):
        ray.get(child.remote(begin, event, done))

    ref = parent.remote(started, end, ended)
    ray.get(started.wait.remote(), timeout=60)
    ray.cancel(ref, recursive=False)
    with pytest.raises(CANCELLED):
        ray.get(ref, timeout=60)
    ray.get(end.send.remote())
    assert ray.get(ended.wait.remote(), timeout=60) is True


@pytest.mark.parametrize("threads", [1, 2])
def test_recursive_reaches_the_children_of_an_actor_call(threads):
    started, ended = Signal.remote(), Signal.remote()

    @ray.remote(max_concurrency=threads)
    class A:
        def run(self, begin, end):
            endless.remote(begin, end)
            while not ray.get_runtime_context().is_canceled():
                time.sleep(0.001)

    actor = A.remote()
    ref = actor.run.remote(started, ended)
    ray.get(started.wait.remote(), timeout=60)
    ray.cancel(ref)
    assert ray.get(ended.wait.remote(), timeout=60) is True


def test_recursive_reaches_the_children_of_an_async_call():
    started, ended = Signal.remote(), Signal.remote()

    @ray.remote
    class A:
        async def run(self, begin, end):
            await asyncio.sleep(0)  # what follows runs on the event loop
            endless.remote(begin, end)
            await asyncio.sleep(1000)

    actor = A.remote()
    other = actor.run.remote(Signal.remote(), Signal.remote())
    ref = actor.run.remote(started, ended)
    ray.get(started.wait.remote(), timeout=60)
    ray.cancel(ref)
    assert ray.get(ended.wait.remote(), timeout=60) is True
    with pytest.raises(CANCELLED):
        ray.get(ref, timeout=60)
    assert ray.wait([other], timeout=0)[0] == []
    ray.cancel(other)


def test_recursive_reaches_actor_calls():
    begun = Signal.remote()

    @ray.remote
    class A:
        def __init__(self):
            self.seen = False

        async def sleep(self, event):
            try:
                await event.send.remote()
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                self.seen = True
                raise

        async def wait_until_seen(self):
            while not self.seen:
                await asyncio.sleep(0.001)
            return True

    @ray.remote(num_cpus=0)
    def parent(actor, event):
        actor.sleep.remote(event)
        while True:
            time.sleep(0.01)

    actor = A.remote()
    ref = parent.remote(actor, begun)
    ray.get(begun.wait.remote(), timeout=60)
    ray.cancel(ref)
    assert ray.get(actor.wait_until_seen.remote(), timeout=60) is True


def test_many_calls_of_one_async_actor():
    """Each is cancelled, though they are asked for faster than the actor can look."""

    @ray.remote(max_concurrency=100)
    class A:
        async def sleep(self):
            await asyncio.sleep(1000)

        async def ping(self):
            return True

    actor = A.remote()
    refs = [actor.sleep.remote() for _ in range(50)]
    assert ray.get(actor.ping.remote(), timeout=60) is True
    for ref in refs:
        ray.cancel(ref)
    for ref in refs:
        with pytest.raises(CANCELLED):
            ray.get(ref, timeout=60)


def test_actor_call_force():
    begun, end = Signal.remote(), Signal.remote()

    @ray.remote
    class A:
        def m(self, begin, event):
            ray.get(begin.send.remote())
            ray.get(event.wait.remote())

    actor = A.remote()
    ref = actor.m.remote(begun, end)
    ray.get(begun.wait.remote(), timeout=60)
    with pytest.raises(ValueError):
        ray.cancel(ref, force=True)
    ray.get(end.send.remote())
    assert ray.get(ref, timeout=60) is None


def test_actor_call_force_while_queued():
    signal = Signal.remote()

    @ray.remote
    class A:
        def wait(self, event):
            return ray.get(event.wait.remote())

        def quick(self):
            return 1

    actor = A.remote()
    running = actor.wait.remote(signal)
    ray.get(signal.wait_for_arrivals.remote(1))
    queued = actor.quick.remote()
    with pytest.raises(ValueError):
        ray.cancel(queued, force=True)
    ray.get(signal.send.remote())
    assert ray.get([running, queued], timeout=60) == [True, 1]


def test_actor_call_queued():
    signal = Signal.remote()

    @ray.remote
    class A:
        def wait(self, event):
            return ray.get(event.wait.remote())

    actor = A.remote()
    running = actor.wait.remote(signal)
    ray.get(signal.wait_for_arrivals.remote(1))
    queued = actor.wait.remote(signal)
    ray.cancel(queued)
    ray.get(signal.send.remote())
    with pytest.raises(CANCELLED):
        ray.get(queued, timeout=60)
    assert ray.get(running) is True


@pytest.mark.parametrize("threads", [1, 2])
def test_actor_call_running_sees_is_canceled(threads):
    signal = Signal.remote()

    @ray.remote(max_concurrency=threads)
    class A:
        def __init__(self):
            self.seen = False

        def loop(self, event):
            ray.get(event.send.remote())
            while not ray.get_runtime_context().is_canceled():
                time.sleep(0.001)
            self.seen = True
            return "saw it"

        def was_seen(self):
            return self.seen

    actor = A.remote()
    ref = actor.loop.remote(signal)
    ray.get(signal.wait.remote(), timeout=60)
    ray.cancel(ref)
    try:  # either is right: the call may have ended before it was marked
        assert ray.get(ref, timeout=60) == "saw it"
    except ray.exceptions.TaskCancelledError as error:
        assert "cancel" in str(error)
    assert ray.get(actor.was_seen.remote(), timeout=60) is True


def test_actor_call_async():
    signal = Signal.remote()

    @ray.remote
    class A:
        def __init__(self):
            self.seen = False

        async def sleep(self, event):
            try:  # the cancel may come before the sleep
                await event.send.remote()
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                self.seen = True
                raise

        async def was_seen(self):
            return self.seen

    actor = A.remote()
    ref = actor.sleep.remote(signal)
    ray.get(signal.wait.remote(), timeout=60)
    ray.cancel(ref)
    with pytest.raises(CANCELLED):
        ray.get(ref, timeout=60)
    assert ray.get(actor.was_seen.remote()) is True
