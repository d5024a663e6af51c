"""ray-compat section 25: what a clone gets wrong first. One test each."""

import asyncio
import os
import time

import pytest
import ray
from compat_helpers import Signal, Tally

pytestmark = pytest.mark.usefixtures("cluster")


@ray.remote
class Plain:
    def m(self, x=None):
        return x

    def held(self):
        return ray.get_runtime_context().get_assigned_resources()

    def die(self):
        os._exit(1)


@ray.remote
def fail():
    raise LookupError("early")


@ray.remote(num_cpus=0)
def late(signal):
    ray.get(signal.wait.remote())
    return "late"


def test_trap_01_actor_cpu_rule():
    """1 CPU to place and 0 held; but 1 held once any resource is named."""
    default = Plain.remote()
    named = Plain.options(resources={"disk": 1}).remote()
    assert ray.get(default.held.remote()).get("CPU", 0) == 0
    assert ray.get(named.held.remote())["CPU"] == 1


def test_trap_02_top_level_refs_are_resolved_nested_ones_are_not():
    @ray.remote
    def kinds(top, nested):
        return type(top).__name__, type(nested[0]).__name__

    assert ray.get(kinds.remote(ray.put(1), [ray.put(1)])) == ("int", "ObjectRef")


def test_trap_03_get_raises_early_and_wait_counts_failures():
    signal = Signal.remote()
    pending = late.remote(signal)
    failed = fail.remote()
    with pytest.raises(LookupError):
        ray.get([failed, pending], timeout=60)
    ready, rest = ray.wait([pending, failed, ray.put(1)], num_returns=1, timeout=60)
    assert len(ready) == 1 and len(rest) == 2
    assert ray.wait([failed], timeout=60) == ([failed], [])
    ray.get(signal.send.remote())
    assert ray.get(pending) == "late"


def test_trap_04_task_error_is_the_users_class():
    with pytest.raises(LookupError) as caught:
        ray.get(fail.remote())
    assert isinstance(caught.value, ray.exceptions.RayTaskError)
    assert isinstance(caught.value.cause, LookupError)


def test_trap_05_max_retries_is_for_crashes():
    tally = Tally.remote()

    @ray.remote(max_retries=2)
    def raises(counter):
        ray.get(counter.add.remote("raises"))
        raise ValueError

    @ray.remote(max_retries=2, retry_exceptions=True)
    def mixed(counter):
        run = ray.get(counter.add.remote("mixed"))
        if run == 1:
            os._exit(1)
        raise ValueError  # shares the budget with the crash

    with pytest.raises(ValueError):
        ray.get(raises.remote(tally), timeout=60)
    with pytest.raises(ValueError):
        ray.get(mixed.remote(tally), timeout=60)
    assert ray.get([tally.get.remote("raises"), tally.get.remote("mixed")]) == [1, 3]


def test_trap_06_cancel_differs():
    """Queued: dropped. Running: interrupted. Sync actor call: told. Async actor call: cancelled."""
    started = Signal.remote()

    @ray.remote(num_cpus=4)
    def run(event):
        ray.get(event.send.remote())
        while True:
            time.sleep(0.01)

    running = run.remote(started)
    ray.get(started.wait.remote(), timeout=60)
    queued = run.remote(started)
    for ref in (queued, running):
        ray.cancel(ref)
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(ref, timeout=60)

    @ray.remote
    class Async:
        async def sleep(self, event):
            await event.send.remote()
            await asyncio.sleep(1000)

    begun = Signal.remote()
    call = Async.remote().sleep.remote(begun)
    ray.get(begun.wait.remote(), timeout=60)
    ray.cancel(call)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(call, timeout=60)


def test_trap_07_weak_handles_and_graceful_end():
    actor = Plain.options(name="trap 7").remote()
    refs = [actor.m.remote(n) for n in range(50)]
    weak = ray.get_actor("trap 7")
    del actor
    assert ray.get(refs, timeout=60) == list(range(50))  # queued calls are done
    with pytest.raises(ray.exceptions.RayActorError):
        while True:
            ray.get(weak.m.remote(), timeout=60)


def test_trap_08_unavailable_against_died():
    actor = Plain.options(max_restarts=1).remote()
    ray.get(actor.m.remote(1))
    with pytest.raises(ray.exceptions.ActorUnavailableError):  # may have run
        ray.get(actor.die.remote(), timeout=60)
    while True:
        try:
            assert ray.get(actor.m.remote(2), timeout=60) == 2
            break
        except ray.exceptions.ActorUnavailableError:
            pass
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.die.remote(), timeout=60)


def test_trap_09_a_generators_failure_is_an_extra_ref():
    @ray.remote
    def items():
        yield 1
        raise ValueError("after one")

    refs = list(items.remote())
    assert len(refs) == 2
    assert ray.get(refs[0]) == 1
    with pytest.raises(ValueError, match="after one"):
        ray.get(refs[1])


def test_trap_10_blocked_get_gives_back_cpus_only():
    """A task that is blocked in get lends its CPUs, not its other resources."""
    signal = Signal.remote()

    @ray.remote(num_cpus=4, resources={"disk": 2})
    def block(event):
        return ray.get(event.wait.remote())

    @ray.remote(num_cpus=4)
    def needs_cpus():
        return "ran"

    @ray.remote(num_cpus=0, resources={"disk": 1})
    def needs_disk():
        return "ran"

    blocked = block.remote(signal)
    ray.get(signal.wait_for_arrivals.remote(1), timeout=60)
    assert ray.get(needs_cpus.remote(), timeout=60) == "ran"
    disk = needs_disk.remote()
    assert ray.wait([disk], timeout=0.3) == ([], [disk])
    ray.get(signal.send.remote())
    assert ray.get([blocked, disk], timeout=60) == [True, "ran"]
