"""ray-compat sections 4, 5: names and handles of actors, and how long actors live."""

import time

import pytest
import ray
from compat_helpers import Counter, alive, gone, wait_for_exit

pytestmark = pytest.mark.usefixtures("cluster")


def test_named():
    counter = Counter.options(name="named").remote()
    ray.get(counter.add.remote())
    found = ray.get_actor("named")
    assert ray.get(found.get.remote()) == 1
    assert found == counter and hash(found) == hash(counter)


def test_named_taken():
    keep = Counter.options(name="taken").remote()
    with pytest.raises(ValueError) as caught:
        Counter.options(name="taken").remote()
    assert isinstance(caught.value, ray.exceptions.ActorAlreadyExistsError)
    assert ray.get(keep.get.remote()) == 0


def test_named_is_free_again():
    first = Counter.options(name="again").remote()
    ray.get(first.get.remote())
    ray.kill(first)
    gone(first)
    second = Counter.options(name="again").remote(9)
    assert ray.get(second.get.remote()) == 9


def test_named_empty():
    with pytest.raises(ValueError):
        Counter.options(name="").remote()


def test_get_actor_unknown():
    with pytest.raises(ValueError):
        ray.get_actor("nobody")
    with pytest.raises(ValueError):
        ray.get_actor("")


def test_get_if_exists():
    first = Counter.options(name="shared", get_if_exists=True).remote()
    ray.get(first.add.remote())
    second = Counter.options(name="shared", get_if_exists=True).remote()
    assert ray.get(second.get.remote()) == 1
    assert first == second


def test_namespace():
    there = Counter.options(name="elsewhere", namespace="other").remote()
    with pytest.raises(ValueError):
        ray.get_actor("elsewhere")
    assert ray.get_actor("elsewhere", namespace="other") == there


def test_weak_handle():
    counter = Counter.options(name="weak").remote()
    ray.get(counter.get.remote())
    weak = ray.get_actor("weak")
    del counter
    gone(weak)
    with pytest.raises(ValueError):
        ray.get_actor("weak")


def test_weak_handle_never_reaches_another_actor():
    counter = Counter.options(name="weak and late").remote()
    weak = ray.get_actor("weak and late")
    ray.get(weak.get.remote())
    del counter
    gone(weak)
    others = [Counter.remote(7) for _ in range(5)]
    assert ray.get([other.get.remote() for other in others]) == [7] * 5
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(weak.add.remote(), timeout=60)
    assert ray.get([other.get.remote() for other in others]) == [7] * 5


def test_weak_handle_outlives_its_actor_and_many_others():
    counter = Counter.options(name="weak and old").remote()
    weak = ray.get_actor("weak and old")
    assert ray.get(weak.add.remote()) == 1
    del counter
    gone(weak)
    for _ in range(15):
        others = [Counter.remote(7) for _ in range(3)]
        late = [weak.add.remote() for _ in range(3)]
        assert ray.get([other.get.remote() for other in others]) == [7] * 3
        for ref in late:
            with pytest.raises(ray.exceptions.ActorDiedError):
                ray.get(ref, timeout=60)
        assert ray.get([other.get.remote() for other in others]) == [7] * 3
        ray.kill(others[0])
        del others


def test_weak_handle_that_is_sent_after_its_actor_ended():
    @ray.remote
    def add_through(handles):
        try:
            return ray.get(handles[0].add.remote(), timeout=60)
        except ray.exceptions.ActorDiedError:
            return "died"

    counter = Counter.options(name="weak and sent").remote()
    weak = ray.get_actor("weak and sent")
    assert ray.get(add_through.remote([weak])) == 1
    del counter
    gone(weak)
    others = [Counter.remote(7) for _ in range(5)]
    assert ray.get([other.get.remote() for other in others]) == [7] * 5
    assert ray.get(add_through.remote([weak])) == "died"
    assert ray.get([other.get.remote() for other in others]) == [7] * 5


def test_named_actor_that_is_created_anew():
    ended = []
    for life in range(3):
        counter = Counter.options(name="phoenix").remote(life * 10)
        weak = ray.get_actor("phoenix")
        assert ray.get(weak.add.remote()) == life * 10 + 1
        for earlier in ended:
            with pytest.raises(ray.exceptions.ActorDiedError):
                ray.get(earlier.add.remote(), timeout=60)
        assert ray.get(weak.get.remote()) == life * 10 + 1
        del counter
        gone(weak)
        ended.append(weak)


def test_handle_life():
    counter = Counter.remote()
    pid = ray.get(counter.pid.remote())
    refs = [counter.add.remote() for _ in range(10)]
    del counter
    assert ray.get(refs, timeout=60)[-1] == 10  # queued calls are done first
    wait_for_exit(pid)
    assert not alive(pid)


def test_handle_copies_keep_the_actor():
    @ray.remote
    class Holder:
        def keep(self, box):
            self.handle = box[0]

        def use(self):
            return ray.get(self.handle.add.remote())

    holder = Holder.remote()
    counter = Counter.remote()
    ray.get(holder.keep.remote([counter]))
    del counter
    assert ray.get(holder.use.remote(), timeout=60) == 1


def test_handle_in_an_object_keeps_the_actor():
    counter = Counter.remote()
    pid = ray.get(counter.pid.remote())
    boxed = ray.put([counter])
    del counter
    (back,) = ray.get(boxed)
    assert ray.get(back.pid.remote(), timeout=60) == pid
    del back, boxed
    wait_for_exit(pid)
    assert not alive(pid)


def test_handle_captured_by_a_function():
    counter = Counter.remote()

    @ray.remote
    def use():
        return ray.get(counter.add.remote())

    assert ray.get([use.remote(), use.remote()], timeout=60) in ([1, 2], [2, 1])


def test_handle_in_a_task():
    @ray.remote
    def use(actor):
        return ray.get(actor.add.remote())

    counter = Counter.remote()
    assert ray.get(use.remote(counter)) == 1
    assert ray.get(counter.get.remote()) == 1


def test_handle_repr_and_ids():
    counter = Counter.remote()
    assert repr(counter).startswith("Actor(Counter, ")
    assert counter._actor_id.hex() in repr(counter)
    assert len(counter._actor_id.binary()) == 16
    assert "add" in dir(counter)
    assert counter != Counter.remote()


def test_current_actor():
    @ray.remote
    class Self:
        def handle_id(self):
            return ray.get_runtime_context().current_actor._actor_id.hex()

    actor = Self.remote()
    assert ray.get(actor.handle_id.remote()) == actor._actor_id.hex()


def test_lifetime_non_detached():
    counter = Counter.options(lifetime="non_detached", name="for its handle").remote()
    assert ray.get(counter.add.remote()) == 1
    last = counter.add.remote()
    del counter
    assert ray.get(last) == 2  # it ends with its last handle, after the calls that are queued
    deadline = time.monotonic() + 60
    while "for its handle" in ray.util.list_named_actors():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_lifetime_detached(program):
    # Needs a cluster that outlives its drivers: this test's own.
    address = ray.get_runtime_context().gcs_address
    code = f"""
        import ray
        ray.init(address={address!r}, namespace="compat")

        @ray.remote
        class Stays:
            def m(self):
                return "still here"

        ray.get(Stays.options(name="stays", lifetime="detached").remote().m.remote())
        """
    program(code)
    stays = ray.get_actor("stays")
    assert ray.get(stays.m.remote(), timeout=60) == "still here"
    ray.kill(stays)


def test_actors_of_a_dead_driver_end(program):
    address = ray.get_runtime_context().gcs_address
    done = program(
        f"""
        import os, ray
        ray.init(address={address!r}, namespace="compat")

        @ray.remote
        class Goes:
            def pid(self):
                return os.getpid()

        goes = Goes.options(name="goes").remote()
        print("PID", ray.get(goes.pid.remote()))
        """
    )
    pid = int(done.stdout.split("PID")[1].split()[0])
    wait_for_exit(pid)
    with pytest.raises(ValueError):
        ray.get_actor("goes")
