"""ray-compat section 5: streaming generators."""

import asyncio
import pickle
import time

import pytest
import ray
from compat_helpers import Signal, Tally

pytestmark = pytest.mark.usefixtures("cluster")


@ray.remote
def count(n):
    for i in range(n):  # noqa: UP028 - Ray cannot run 'yield from' of an iterator
        yield i


@ray.remote
def fail_after(n):
    for i in range(n):  # noqa: UP028 - Ray cannot run 'yield from' of an iterator
        yield i
    raise ValueError("in the generator")


def test_iterate():
    assert [ray.get(ref) for ref in count.remote(5)] == [0, 1, 2, 3, 4]


def test_type():
    generator = count.remote(1)
    assert isinstance(generator, ray.ObjectRefGenerator)
    assert isinstance(next(generator), ray.ObjectRef)


def test_empty():
    assert list(count.remote(0)) == []


def test_many_items():
    assert [ray.get(ref) for ref in count.remote(500)] == list(range(500))


def test_items_come_before_the_end():
    signal = Signal.remote()

    @ray.remote(num_cpus=0)
    def two(event):
        yield "first"
        ray.get(event.wait.remote())
        yield "second"

    generator = two.remote(signal)
    assert ray.get(next(generator)) == "first"
    ray.get(signal.send.remote())
    assert ray.get(next(generator)) == "second"
    with pytest.raises(StopIteration):
        next(generator)


def test_error_is_one_extra_ref():
    generator = fail_after.remote(2)
    assert ray.get(next(generator)) == 0
    assert ray.get(next(generator)) == 1
    extra = next(generator)
    with pytest.raises(ValueError, match="in the generator"):
        ray.get(extra)
    with pytest.raises(StopIteration):
        next(generator)


def test_completed():
    generator = count.remote(3)
    ray.get(generator.completed(), timeout=60)
    assert [ray.get(ref) for ref in generator] == [0, 1, 2]


def test_completed_without_reading():
    generator = count.remote(500)
    ray.get(generator.completed(), timeout=60)
    assert [ray.get(ref) for ref in generator] == list(range(500))


def test_unread_task_generators_leave_the_cpus_to_others():
    unread = [count.remote(200) for _ in range(4)]
    assert ray.get(ray.remote(lambda: 1).remote(), timeout=60) == 1
    assert [len(list(generator)) for generator in unread] == [200] * 4


def test_an_actor_whose_generator_is_not_read_goes_on():
    @ray.remote
    class Actor:
        def items(self):
            for i in range(200):  # noqa: UP028 - Ray cannot run 'yield from' of an iterator
                yield i

        def one(self):
            return 1

    actor = Actor.remote()
    unread = actor.items.remote()
    assert ray.get(actor.one.remote(), timeout=60) == 1
    assert [ray.get(ref) for ref in unread] == list(range(200))


def test_a_worker_that_computes_feeds_its_unread_generator():
    @ray.remote(num_cpus=0)
    def outer(tally):
        unread = mark_and_count.remote(tally, 200)
        while ray.get(tally.get.remote()) == 0:
            time.sleep(0.01)
        del unread
        return True

    @ray.remote(num_cpus=0)
    def mark_and_count(tally, n):
        for i in range(n):  # noqa: UP028 - Ray cannot run 'yield from' of an iterator
            yield i
        ray.get(tally.add.remote())

    assert ray.get(outer.remote(Tally.remote()), timeout=60)


@pytest.mark.differs("Ray's resolves")
def test_completed_of_a_failed_one():
    """Here the end is the error, too; Ray's resolves."""
    with pytest.raises(ValueError):
        ray.get(fail_after.remote(0).completed(), timeout=60)


def test_is_finished():
    generator = count.remote(1)
    assert not generator.is_finished()
    assert len(list(generator)) == 1
    assert generator.is_finished()


def test_next_ready():
    generator = count.remote(1)
    ready, _ = ray.wait([generator], timeout=30)
    assert ready and generator.next_ready()
    assert len(list(generator)) == 1
    assert not generator.next_ready()


def test_next_sync_timeout():
    signal = Signal.remote()

    @ray.remote(num_cpus=0)
    def late(event):
        ray.get(event.wait.remote())
        yield 1

    generator = late.remote(signal)
    assert generator._next_sync(timeout_s=0.05).is_nil()
    ray.get(signal.send.remote())
    assert ray.get(generator._next_sync(timeout_s=60)) == 1


def test_send_throw_close_pickle():
    generator = count.remote(1)
    with pytest.raises(NotImplementedError):
        generator.send(1)
    with pytest.raises(NotImplementedError):
        generator.throw(ValueError)
    with pytest.raises(NotImplementedError):
        generator.close()
    with pytest.raises(TypeError):
        pickle.dumps(generator)


def test_async_for():
    async def total():
        found = 0
        async for ref in count.remote(10):
            found += await ref
        return found

    assert asyncio.run(total()) == 45


def test_actor_generator():
    @ray.remote
    class Actor:
        def items(self, n):
            for i in range(n):
                yield i * 2

    assert [ray.get(ref) for ref in Actor.remote().items.remote(3)] == [0, 2, 4]


def test_async_actor_generator():
    @ray.remote
    class Actor:
        async def items(self, n):
            for i in range(n):
                await asyncio.sleep(0)
                yield i

    assert [ray.get(ref) for ref in Actor.remote().items.remote(4)] == [0, 1, 2, 3]


@pytest.mark.differs("Ray's goes on or waits")
def test_drop_stops_the_producer():
    stopped = Signal.remote()

    @ray.remote(num_cpus=0, _generator_backpressure_num_objects=2)
    def endless(event):
        try:
            while True:
                yield b"x" * 1000
        finally:
            ray.get(event.send.remote())

    generator = endless.remote(stopped)
    ray.get(next(generator))
    del generator
    assert ray.get(stopped.wait.remote(), timeout=60) is True


def test_backpressure():
    tally = Tally.remote()

    @ray.remote(_generator_backpressure_num_objects=3)
    def produce(counter):
        for i in range(20):
            ray.get(counter.add.remote())
            yield i

    generator = produce.remote(tally)
    assert ray.get(next(generator)) == 0
    assert ray.get(tally.get.remote()) < 20
    assert [ray.get(ref) for ref in generator] == list(range(1, 20))
    assert ray.get(tally.get.remote()) == 20


def test_cancel():
    signal = Signal.remote()

    @ray.remote(num_cpus=0)
    def stuck(event):
        yield 1
        ray.get(event.wait.remote())
        yield 2

    generator = stuck.remote(signal)
    assert ray.get(next(generator)) == 1
    ray.cancel(generator)
    with pytest.raises((ray.exceptions.TaskCancelledError, StopIteration)):
        while True:
            ray.get(next(generator), timeout=60)


def test_num_returns_streaming():
    assert len(list(count.options(num_returns="streaming").remote(2))) == 2
