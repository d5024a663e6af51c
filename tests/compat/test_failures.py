"""ray-compat section 8: what the program sees when things die, as one node can show it."""

import os
import signal

import numpy as np
import pytest
import ray
from compat_helpers import Signal, Tally

pytestmark = pytest.mark.usefixtures("cluster")


def test_worker_dies_task_is_retried():
    tally = Tally.remote()

    @ray.remote(max_retries=1)
    def once(counter):
        if ray.get(counter.add.remote()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    assert ray.get(once.remote(tally), timeout=60) > 0
    assert ray.get(tally.get.remote()) == 2


def test_worker_dies_without_retries():
    @ray.remote(max_retries=0)
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(die.remote(), timeout=60)


def test_worker_dies_results_of_others_stay():
    @ray.remote
    class Maker:
        def make(self):
            return np.arange(100_000)

        def die(self):
            os._exit(1)

    maker = Maker.remote()
    ref = maker.make.remote()
    ray.wait([ref], timeout=60)
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(maker.die.remote(), timeout=60)
    assert ray.get(ref, timeout=60)[-1] == 99_999


def test_puts_outlive_their_worker():
    """Whipray is better than Ray here: the node owns an object, not the process that put it."""

    @ray.remote
    class Putter:
        def put(self):
            return [ray.put("kept")]

        def die(self):
            os._exit(1)

    putter = Putter.remote()
    (inner,) = ray.get(putter.put.remote())
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(putter.die.remote(), timeout=60)
    assert ray.get(inner, timeout=60) == "kept"


def test_actor_dies_calls_in_flight():
    started = Signal.remote()

    @ray.remote
    class Busy:
        def pid(self):
            return os.getpid()

        def wait(self, event):
            ray.get(event.wait.remote())

    busy = Busy.remote()
    pid = ray.get(busy.pid.remote())
    calls = [busy.wait.remote(started) for _ in range(3)]
    ray.get(started.wait_for_arrivals.remote(1), timeout=60)
    os.kill(pid, signal.SIGKILL)
    for call in calls:
        with pytest.raises(ray.exceptions.ActorDiedError):
            ray.get(call, timeout=60)


def test_actor_dies_resources_come_back():
    @ray.remote(num_cpus=4)
    class Whole:
        def pid(self):
            return os.getpid()

    whole = Whole.remote()
    os.kill(ray.get(whole.pid.remote(), timeout=60), signal.SIGKILL)

    @ray.remote(num_cpus=4)
    def needs_all():
        return "ran"

    assert ray.get(needs_all.remote(), timeout=60) == "ran"


def test_parent_dies_its_children_end():
    @ray.remote(num_cpus=0)
    def child(begin, mark):
        ray.get(begin.send.remote())
        while True:
            os.sched_yield()

    @ray.remote(num_cpus=0)
    class Parent:
        def start(self, begin):
            self.ref = child.remote(begin, None)
            return os.getpid()

    begin = Signal.remote()
    parent = Parent.remote()
    pid = ray.get(parent.start.remote(begin), timeout=60)
    ray.get(begin.wait.remote(), timeout=60)
    os.kill(pid, signal.SIGKILL)

    @ray.remote(num_cpus=4)
    def needs_all():
        return "ran"

    assert ray.get(needs_all.remote(), timeout=60) == "ran"


def test_named_actor_of_a_dead_parent_ends():
    @ray.remote(num_cpus=0)
    class Child:
        def m(self):
            return 1

    @ray.remote(num_cpus=0)
    class Parent:
        def start(self):
            self.child = Child.options(name="child of the dead").remote()
            return ray.get(self.child.m.remote()), os.getpid()

    parent = Parent.remote()
    _, pid = ray.get(parent.start.remote(), timeout=60)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ValueError):
        while True:
            ray.get_actor("child of the dead")


def test_at_least_once():
    tally = Tally.remote()

    @ray.remote(max_retries=1)
    def effect(counter):
        run = ray.get(counter.add.remote())  # the side effect repeats
        if run == 1:
            os._exit(1)
        return run

    assert ray.get(effect.remote(tally), timeout=60) == 2
