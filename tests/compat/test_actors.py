"""ray-compat section 4: actors."""

import asyncio
import os
import signal as signals
import threading

import pytest
import ray
from compat_helpers import AGAINST, Counter, Signal, Tally, gone, wait_for_exit

pytestmark = pytest.mark.usefixtures("cluster")


def test_create_and_call():
    counter = Counter.remote(5)
    assert ray.get(counter.add.remote()) == 6
    assert ray.get(counter.add.remote(k=4)) == 10
    assert ray.get(counter.pid.remote()) != os.getpid()


def test_constructor_arguments_are_checked_at_the_call():
    with pytest.raises(TypeError):
        Counter.remote(1, 2)
    with pytest.raises(TypeError):
        Counter.remote(begin=1)


def test_method_call_directly():
    counter = Counter.remote()
    with pytest.raises(TypeError, match="remote"):
        counter.add()


def test_unknown_method():
    counter = Counter.remote()
    with pytest.raises(AttributeError):
        counter.nosuch  # noqa: B018


def test_attributes_are_not_readable():
    counter = Counter.remote()
    with pytest.raises(AttributeError):
        counter.n  # noqa: B018
    with pytest.raises(AttributeError):
        counter.prop  # noqa: B018


def test_method_arguments_are_checked_at_the_call():
    counter = Counter.remote()
    with pytest.raises(TypeError):
        counter.add.remote(1, 2)


def test_staticmethod():
    assert ray.get(Counter.remote().static.remote(3)) == 3


def test_method_num_returns():
    counter = Counter.remote()
    assert ray.get(counter.pair.remote()) == [1, 2]
    assert ray.get(counter.pair.options(num_returns=1).remote()) == (1, 2)


def test_order_of_one_caller():
    counter = Counter.remote()
    assert ray.get([counter.add.remote() for _ in range(200)]) == list(range(1, 201))


def test_order_while_an_argument_is_not_there():
    signal = Signal.remote()

    @ray.remote(num_cpus=0)
    def late(event):
        ray.get(event.wait.remote())
        return 10

    counter = Counter.remote()
    first = counter.add.remote(late.remote(signal))
    second = counter.add.remote(1)
    assert ray.wait([second], timeout=0.2) == ([], [second])
    ray.get(signal.send.remote())
    assert ray.get([first, second]) == [10, 11]


def test_exception_in_a_method():
    counter = Counter.remote()
    with pytest.raises(KeyError) as caught:
        ray.get(counter.fail.remote())
    assert isinstance(caught.value, ray.exceptions.RayTaskError)
    assert ray.get(counter.get.remote()) == 0


def test_actor_needs_one_cpu_to_be_placed_and_holds_none():
    actors = [Counter.remote() for _ in range(6)]  # on 4 CPUs
    assert ray.get([actor.add.remote() for actor in actors], timeout=60) == [1] * 6


def test_constructor_runs_once_in_a_worker_that_changes_over():
    """A worker that a class of tasks gives up becomes an actor by the same answer of the raylet."""
    made = Counter.remote()

    @ray.remote(num_cpus=4)
    def work():
        return os.getpid()

    class Plain:
        def __init__(self, tally):
            self.place = ray.get(tally.add.remote())
            self.calls = 0

        def call(self):
            self.calls += 1
            return self.calls, self.place

    class Async(Plain):
        async def call(self):
            return super().call()

    kinds = [
        ray.remote(num_cpus=4)(Plain),
        ray.remote(num_cpus=4)(Async),
        ray.remote(num_cpus=4, max_concurrency=2)(Plain),
    ]
    rounds = 3 if AGAINST == "ray" else 30  # Ray starts a process for each actor
    for n in range(rounds):
        ray.get([work.remote() for _ in range(5)])
        actor = kinds[n % 3].remote(made)
        found = ray.get([actor.call.remote() for _ in range(20)], timeout=60)
        assert sorted(found) == [(call, n + 1) for call in range(1, 21)]
        del actor
    assert ray.get(made.add.remote()) == rounds + 1


def test_actor_holds_what_it_names():
    holders = [Counter.options(num_cpus=2).remote() for _ in range(2)]
    assert ray.get([holder.add.remote() for holder in holders], timeout=60) == [1, 1]
    third = Counter.options(num_cpus=2).remote()
    ref = third.add.remote()
    assert ray.wait([ref], timeout=0.3) == ([], [ref])
    del holders
    assert ray.get(ref, timeout=60) == 1


def test_resources_of_an_actor():
    @ray.remote(resources={"disk": 1})
    class Disk:
        def held(self):
            return ray.get_runtime_context().get_assigned_resources()

    held = ray.get(Disk.remote().held.remote())
    assert held["disk"] == 1 and held["CPU"] == 1


def test_max_concurrency_threads():
    signal = Signal.remote()

    @ray.remote(max_concurrency=3)
    class Threaded:
        def wait(self, event):
            return ray.get(event.wait.remote())

        def send(self, event):
            ray.get(event.wait_for_arrivals.remote(2))
            ray.get(event.send.remote())
            return threading.current_thread().name

    actor = Threaded.remote()
    refs = [actor.wait.remote(signal) for _ in range(2)]
    ray.get(actor.send.remote(signal), timeout=60)
    assert ray.get(refs, timeout=60) == [True, True]


@pytest.mark.differs("Ray takes any number")
def test_max_concurrency_wrong():
    with pytest.raises(ValueError):
        Counter.options(max_concurrency=0).remote()


def test_async_actor():
    @ray.remote
    class Async:
        def __init__(self):
            self.event = asyncio.Event()

        async def wait(self):
            await self.event.wait()
            return "woken"

        async def wake(self):
            self.event.set()

        def plain(self):
            return asyncio.get_event_loop().is_running()

    actor = Async.remote()
    refs = [actor.wait.remote() for _ in range(20)]
    assert ray.get(actor.plain.remote()) is True
    ray.get(actor.wake.remote())
    assert ray.get(refs) == ["woken"] * 20


def test_async_actor_constructor_runs_on_the_event_loop():
    @ray.remote
    class Async:
        def __init__(self):
            self.loop = asyncio.get_running_loop()
            self.same = asyncio.get_event_loop() is self.loop
            self.steps = []
            self.background = asyncio.create_task(self.work())

        async def work(self):
            self.steps.append(1)
            await asyncio.sleep(0)
            self.steps.append(2)

        async def look(self):
            await self.background
            return self.same and asyncio.get_running_loop() is self.loop, self.steps

    assert ray.get(Async.remote().look.remote()) == (True, [1, 2])


def test_async_actor_constructor_is_a_coroutine():
    @ray.remote
    class Async:
        async def __init__(self, refs, factor=1):
            self.total = factor * sum(await asyncio.gather(*refs))

        def get(self):
            return self.total

    actor = Async.remote([ray.put(1), ray.put(2)], factor=10)
    assert ray.get(actor.get.remote()) == 30


def test_async_actor_constructor_fails():
    @ray.remote
    class Async:
        async def __init__(self):
            await asyncio.sleep(0)
            raise ValueError("no such thing")

        async def get(self):
            return 1

    with pytest.raises(ray.exceptions.ActorDiedError, match="no such thing"):
        ray.get(Async.remote().get.remote())


def test_async_actor_max_concurrency():
    @ray.remote(max_concurrency=2)
    class Async:
        def __init__(self):
            self.running = 0
            self.most = 0

        async def work(self):
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            self.running -= 1
            return self.most

    actor = Async.remote()
    assert max(ray.get([actor.work.remote() for _ in range(20)])) == 2


def test_async_actor_exception():
    @ray.remote
    class Async:
        async def fail(self):
            raise ValueError("async")

    with pytest.raises(ValueError, match="async"):
        ray.get(Async.remote().fail.remote())


def test_async_actor_awaits_refs():
    @ray.remote
    def square(n):
        return n * n

    @ray.remote
    class Async:
        async def sum(self, refs):
            return sum(await asyncio.gather(*refs))

    assert ray.get(Async.remote().sum.remote([square.remote(n) for n in range(10)])) == 285


def test_max_restarts():
    counter = Counter.options(max_restarts=1).remote(3)
    assert ray.get(counter.add.remote()) == 4
    first = ray.get(counter.pid.remote())
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(counter.die.remote(), timeout=60)
    while True:
        try:
            second = ray.get(counter.pid.remote(), timeout=60)
            break
        except ray.exceptions.ActorUnavailableError:
            pass
    assert second != first
    assert ray.get(counter.get.remote()) == 3  # the constructor ran again with its arguments
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(counter.die.remote(), timeout=60)
    gone(counter)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(counter.get.remote(), timeout=60)


def test_max_task_retries():
    tally = Tally.remote()

    @ray.remote(max_restarts=2, max_task_retries=2)
    class Dying:
        def work(self, counter):
            if ray.get(counter.add.remote()) < 3:
                os._exit(1)
            return "done"

    assert ray.get(Dying.remote().work.remote(tally), timeout=60) == "done"
    assert ray.get(tally.get.remote()) == 3


def test_max_task_retries_of_a_method():
    tally = Tally.remote()

    @ray.remote(max_restarts=-1)
    class Dying:
        @ray.method(max_task_retries=3)
        def work(self, counter):
            if ray.get(counter.add.remote()) < 2:
                os._exit(1)
            return "done"

    actor = Dying.remote()
    assert ray.get(actor.work.remote(tally), timeout=60) == "done"
    assert ray.get(tally.get.remote()) == 2


def test_retry_exceptions_of_a_method():
    tally = Tally.remote()

    @ray.remote(max_task_retries=3)
    class Failing:
        @ray.method(retry_exceptions=[ValueError])
        def work(self, counter):
            if ray.get(counter.add.remote()) < 3:
                raise ValueError("again")
            return "done"

    assert ray.get(Failing.remote().work.remote(tally)) == "done"


def test_constructor_raises():
    @ray.remote
    class Broken:
        def __init__(self):
            raise RuntimeError("no way to begin")

        def m(self):
            return 1

    actor = Broken.remote()
    with pytest.raises(ray.exceptions.ActorDiedError, match="no way to begin") as caught:
        ray.get(actor.m.remote(), timeout=60)
    assert caught.value.actor_init_failed
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.m.remote(), timeout=60)


def test_kill():
    counter = Counter.remote()
    pid = ray.get(counter.pid.remote())
    ray.kill(counter)
    wait_for_exit(pid)
    gone(counter)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(counter.get.remote(), timeout=60)
    ray.kill(counter)  # once more does nothing


def test_kill_running_and_queued():
    signal = Signal.remote()

    @ray.remote
    class Busy:
        def wait(self, event):
            ray.get(event.wait.remote())

    busy = Busy.remote()
    running = busy.wait.remote(signal)
    queued = busy.wait.remote(signal)
    ray.get(signal.wait_for_arrivals.remote(1))
    ray.kill(busy)
    for ref in (running, queued):
        with pytest.raises(ray.exceptions.ActorDiedError):
            ray.get(ref, timeout=60)


def test_kill_with_restart():
    counter = Counter.options(max_restarts=1).remote(1)
    pid = ray.get(counter.pid.remote())
    ray.kill(counter, no_restart=False)
    wait_for_exit(pid)
    while True:
        try:
            assert ray.get(counter.pid.remote(), timeout=60) != pid
            break
        except ray.exceptions.ActorUnavailableError:
            pass
    assert ray.get(counter.get.remote()) == 1


def test_kill_what_is_no_handle():
    with pytest.raises(ValueError):
        ray.kill(ray.put(1))


def test_exit_actor():
    @ray.remote(max_restarts=-1)
    class Leaving:
        def leave(self):
            ray.actor.exit_actor()

        def m(self):
            return 1

    actor = Leaving.remote()
    assert ray.get(actor.m.remote()) == 1
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.leave.remote(), timeout=60)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.m.remote(), timeout=60)


def test_exit_actor_runs_atexit(tmp_path):
    mark = tmp_path / "mark"

    @ray.remote
    class Leaving:
        def leave(self):
            import atexit

            atexit.register(mark.write_text, "ran")
            ray.actor.exit_actor()

        def pid(self):
            return os.getpid()

    actor = Leaving.remote()
    pid = ray.get(actor.pid.remote())
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.leave.remote(), timeout=60)
    wait_for_exit(pid)
    assert mark.read_text() == "ran"


def test_exit_actor_outside():
    with pytest.raises(TypeError):
        ray.actor.exit_actor()


def test_exit_actor_async():
    @ray.remote
    class Leaving:
        async def leave(self):
            ray.actor.exit_actor()

    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(Leaving.remote().leave.remote(), timeout=60)


def test_built_in_methods():
    counter = Counter.remote(4)
    assert ray.get(counter.__ray_ready__.remote()) is True
    assert ray.get(counter.__ray_call__.remote(lambda self, k: self.n + k, 3)) == 7
    counter.__ray_terminate__.remote()
    gone(counter)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(counter.get.remote(), timeout=60)


def test_ray_shutdown_hook(tmp_path):
    mark = tmp_path / "mark"

    @ray.remote
    class Hooked:
        def pid(self):
            return os.getpid()

        def __ray_shutdown__(self):
            mark.write_text("down")

    actor = Hooked.remote()
    pid = ray.get(actor.pid.remote())
    actor.__ray_terminate__.remote()
    wait_for_exit(pid)
    assert mark.read_text() == "down"


def test_ray_shutdown_hook_when_the_last_handle_goes(tmp_path):
    @ray.remote(num_cpus=0)
    class Hooked:
        def pid(self):
            return os.getpid()

        def __ray_shutdown__(self):
            (tmp_path / str(os.getpid())).write_text("down")

    for _ in range(3 if AGAINST == "ray" else 10):
        actor = Hooked.remote()
        pid = ray.get(actor.pid.remote())
        del actor
        wait_for_exit(pid)
        assert (tmp_path / str(pid)).read_text() == "down"


def test_a_class_that_makes_actors_of_itself():
    @ray.remote(num_cpus=0)
    class Node:
        def __init__(self, depth=2):
            self.child = Node.remote(depth - 1) if depth > 0 else None

        def depth(self, so_far=0):
            if self.child is None:
                return so_far
            return ray.get(self.child.depth.remote(so_far + 1))

    assert ray.get(Node.remote().depth.remote(), timeout=60) == 2


def test_inheritance():
    class Base:
        def base(self):
            return "base"

    @ray.remote
    class Derived(Base):
        def own(self):
            return "own"

    actor = Derived.remote()
    assert ray.get([actor.base.remote(), actor.own.remote()]) == ["base", "own"]


def test_method_options_name():
    @ray.remote
    class Named:
        def who(self):
            return ray.get_runtime_context().get_task_name()

    assert ray.get(Named.remote().who.options(name="it").remote()) == "it"


def test_sigkill():
    counter = Counter.remote()
    pid = ray.get(counter.pid.remote())
    os.kill(pid, signals.SIGKILL)
    gone(counter)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(counter.get.remote(), timeout=60)
