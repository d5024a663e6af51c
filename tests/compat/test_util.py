"""ray-compat section 13: ActorPool, Queue, list_named_actors and the small helpers."""

import asyncio
import pickle
import queue as std_queue
import time

import pytest
import ray
from compat_helpers import Signal
from ray.util import ActorPool
from ray.util.queue import Empty, Full, Queue

pytestmark = pytest.mark.usefixtures("cluster")


@ray.remote(num_cpus=0)
class Worker:
    def double(self, n):
        return 2 * n

    def fail(self, n):
        raise ValueError(str(n))

    def wait(self, event):
        return ray.get(event.wait.remote())


def double(actor, n):
    return actor.double.remote(n)


@pytest.fixture
def pool():
    return ActorPool([Worker.remote(), Worker.remote()])


def test_actor_pool_map(pool):
    assert list(pool.map(double, range(7))) == [0, 2, 4, 6, 8, 10, 12]


def test_actor_pool_map_unordered(pool):
    assert sorted(pool.map_unordered(double, range(7))) == [0, 2, 4, 6, 8, 10, 12]


def test_actor_pool_submit_and_get_next(pool):
    for n in range(5):
        pool.submit(double, n)
    assert [pool.get_next() for _ in range(5)] == [0, 2, 4, 6, 8]
    assert not pool.has_next()
    with pytest.raises(StopIteration):
        pool.get_next()
    with pytest.raises(StopIteration):
        pool.get_next_unordered()


def test_actor_pool_get_next_unordered(pool):
    for n in range(5):
        pool.submit(double, n)
    assert sorted(pool.get_next_unordered() for _ in range(5)) == [0, 2, 4, 6, 8]


def test_actor_pool_timeout(pool):
    signal = Signal.remote()
    pool.submit(lambda actor, event: actor.wait.remote(event), signal)
    with pytest.raises(TimeoutError):
        pool.get_next(timeout=0.1)
    with pytest.raises(TimeoutError):
        pool.get_next_unordered(timeout=0.1)
    ray.get(signal.send.remote())
    assert pool.get_next() is True


def test_actor_pool_mixing(pool):
    signal = Signal.remote()
    pool.submit(lambda actor, event: actor.wait.remote(event), signal)
    pool.submit(double, 1)
    assert pool.get_next_unordered() == 2
    with pytest.raises(ValueError):
        pool.get_next()
    ray.get(signal.send.remote())
    assert pool.get_next_unordered() is True


def test_actor_pool_error_returns_the_actor(pool):
    pool.submit(lambda actor, n: actor.fail.remote(n), 1)
    with pytest.raises(ValueError):
        pool.get_next()
    assert list(pool.map(double, [1, 2, 3])) == [2, 4, 6]


def test_actor_pool_push_and_pop(pool):
    assert pool.has_free()
    one = pool.pop_idle()
    two = pool.pop_idle()
    assert pool.pop_idle() is None and not pool.has_free()
    pool.push(one)
    pool.push(two)
    with pytest.raises(ValueError):
        pool.push(one)
    assert list(pool.map(double, [1])) == [2]


def test_queue():
    q = Queue()
    for n in range(3):
        q.put(n)
    assert q.qsize() == q.size() == len(q) == 3
    assert [q.get() for _ in range(3)] == [0, 1, 2]
    assert q.empty() and not q.full()
    q.shutdown()


def test_queue_full_and_empty():
    q = Queue(maxsize=1)
    q.put(1)
    assert q.full()
    with pytest.raises(Full):
        q.put_nowait(2)
    with pytest.raises(Full):
        q.put(2, timeout=0.1)
    assert q.get_nowait() == 1
    with pytest.raises(Empty):
        q.get_nowait()
    with pytest.raises(Empty):
        q.get(timeout=0.1)
    assert issubclass(Empty, std_queue.Empty) and issubclass(Full, std_queue.Full)
    q.shutdown()


def test_queue_negative_timeout():
    q = Queue()
    with pytest.raises(ValueError):
        q.put(1, timeout=-1)
    with pytest.raises(ValueError):
        q.get(timeout=-1)
    q.shutdown(force=True)


def test_queue_batches():
    q = Queue(maxsize=3)
    q.put_nowait_batch([1, 2])
    with pytest.raises(Full):
        q.put_nowait_batch([3, 4])
    assert q.qsize() == 2
    with pytest.raises(Empty):
        q.get_nowait_batch(3)
    assert q.get_nowait_batch(2) == [1, 2]
    q.shutdown()


def test_queue_async():
    q = Queue()

    async def main():
        await q.put_async(1)
        return await q.get_async()

    assert asyncio.run(main()) == 1
    q.shutdown()


def test_queue_in_tasks():
    q = Queue()

    @ray.remote
    def produce(out):
        out.put("from a task")

    ref = produce.remote(q)
    assert q.get(timeout=60) == "from a task"
    ray.get(ref)
    q.shutdown()


def test_queue_get_waits():
    q = Queue()

    @ray.remote(num_cpus=0)
    def consume(source):
        return source.get()

    ref = consume.remote(q)
    q.put(5)
    assert ray.get(ref, timeout=60) == 5
    q.shutdown()


def disks():
    return ray.available_resources().get("disk", 0)


def wait_for_disks(count):
    """Wait until so many are free; what is free is reported with a delay."""
    while disks() != count:
        time.sleep(0.01)


def test_queue_actor_options():
    wait_for_disks(2)
    q = Queue(
        maxsize=1,
        actor_options={"name": "queue by name", "resources": {"disk": 1}, "max_restarts": 0},
    )
    q.put(1)
    named = ray.get_actor("queue by name")
    assert ray.get(named.qsize.remote()) == 1
    assert named == q.actor
    wait_for_disks(1)
    other = Queue(actor_options={"resources": {"disk": 1}})
    other.put(2)
    wait_for_disks(0)
    third = Queue(actor_options={"resources": {"disk": 1}})
    waits = third.actor.qsize.remote()
    assert ray.wait([waits], timeout=0.3) == ([], [waits])
    q.shutdown()
    assert ray.get(waits, timeout=60) == 0
    with pytest.raises(ValueError, match="queue by name"):
        ray.get_actor("queue by name")
    other.shutdown()
    third.shutdown()
    wait_for_disks(2)


def test_list_named_actors():
    keep = Worker.options(name="listed").remote()
    ray.get(keep.double.remote(1))
    assert "listed" in ray.util.list_named_actors()
    assert {"name": "listed", "namespace": "compat"} in ray.util.list_named_actors(True)


def test_get_node_ip_address():
    parts = ray.util.get_node_ip_address().split(".")
    assert len(parts) == 4


def test_log_once():
    from ray.util.debug import log_once

    assert log_once("compat key") is True
    assert log_once("compat key") is False


def test_cloudpickle():
    from ray import cloudpickle

    assert pickle.loads(cloudpickle.dumps(lambda x: x + 1))(1) == 2


def test_internal_kv():
    from ray.experimental.internal_kv import (
        _internal_kv_del,
        _internal_kv_exists,
        _internal_kv_get,
        _internal_kv_initialized,
        _internal_kv_list,
        _internal_kv_put,
    )

    assert _internal_kv_initialized()
    assert _internal_kv_put(b"compat 1", b"one", namespace=b"ns") is False
    assert _internal_kv_put(b"compat 1", b"two", overwrite=False, namespace=b"ns") is True
    assert _internal_kv_get(b"compat 1", namespace=b"ns") == b"one"
    assert _internal_kv_get(b"compat 1", namespace=b"other") is None
    assert _internal_kv_exists(b"compat 1", namespace=b"ns")
    assert _internal_kv_list(b"compat", namespace=b"ns") == [b"compat 1"]
    _internal_kv_del(b"compat 1", namespace=b"ns")
    assert not _internal_kv_exists(b"compat 1", namespace=b"ns")
