"""ray-compat section 7: the classes of errors."""

import pickle

import pytest
import ray
from ray import exceptions

ALL = """RayError RayTaskError GetTimeoutError TaskCancelledError WorkerCrashedError NodeDiedError
LocalRayletDiedError RayActorError ActorDiedError ActorUnavailableError ObjectLostError
ObjectFetchTimedOutError ObjectFreedError OwnerDiedError ObjectReconstructionFailedError
ReferenceCountingAssertionError ObjectStoreFullError OutOfDiskError OutOfMemoryError RaySystemError
RuntimeEnvSetupError PendingCallsLimitExceeded UserCodeException UnserializableException
AsyncioActorExit PlasmaObjectNotAvailable ActorAlreadyExistsError ActorHandleNotFoundError
TaskPlacementGroupRemoved ActorPlacementGroupRemoved TaskUnschedulableError ActorUnschedulableError
ObjectRefStreamEndOfStreamError StreamingGeneratorReplayInconsistentError
OufOfBandObjectRefSerializationException RayChannelError RayChannelTimeoutError
RayCgraphCapacityExceeded RayDirectTransportError AuthenticationError RpcError
CrossLanguageError""".split()


@pytest.mark.parametrize("name", ALL)
def test_class_is_there(name):
    cls = getattr(exceptions, name)
    assert issubclass(cls, exceptions.RayError)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("GetTimeoutError", TimeoutError),
        ("ActorDiedError", exceptions.RayActorError),
        ("ActorUnavailableError", exceptions.RayActorError),
        ("ObjectFetchTimedOutError", exceptions.ObjectLostError),
        ("ObjectFreedError", exceptions.ObjectLostError),
        ("OwnerDiedError", exceptions.ObjectLostError),
        ("ObjectReconstructionFailedError", exceptions.ObjectLostError),
        ("ReferenceCountingAssertionError", AssertionError),
        ("ActorAlreadyExistsError", ValueError),
        ("ActorHandleNotFoundError", ValueError),
        ("RayChannelTimeoutError", TimeoutError),
        ("RayChannelError", exceptions.RaySystemError),
        ("StreamingGeneratorReplayInconsistentError", exceptions.RaySystemError),
    ],
)
def test_bases(name, base):
    assert issubclass(getattr(exceptions, name), base)


def test_ray_task_error():
    error = exceptions.RayTaskError(
        "f", "Traceback: x", ValueError("bad"), proctitle="t", pid=7, ip="1.2.3.4"
    )
    assert (error.function_name, error.pid, error.ip) == ("f", 7, "1.2.3.4")
    assert error.traceback_str == "Traceback: x" and isinstance(error.cause, ValueError)
    dual = error.as_instanceof_cause()
    assert isinstance(dual, ValueError) and isinstance(dual, exceptions.RayTaskError)
    assert "Traceback: x" in str(dual)


@pytest.mark.differs("Ray's hold the cause")
def test_ray_task_error_has_the_causes_arguments():
    dual = exceptions.RayTaskError("f", "tb", ValueError("bad")).as_instanceof_cause()
    assert dual.args == ("bad",)


def test_ray_task_error_of_a_class_with_its_own_constructor():
    class Own(Exception):
        def __init__(self, a, *, b):
            super().__init__(a)
            self.b = b

    dual = exceptions.RayTaskError("f", "tb", Own(1, b=2)).as_instanceof_cause()
    assert isinstance(dual, Own) and dual.b == 2


def test_ray_task_error_of_a_group():
    group = ExceptionGroup("several", [ValueError(1), KeyError(2)])
    dual = exceptions.RayTaskError("f", "tb", group).as_instanceof_cause()
    assert isinstance(dual, ExceptionGroup) and len(dual.exceptions) == 2


def test_ray_task_error_of_an_os_error():
    cause = FileNotFoundError(2, "no such file", "name")
    dual = exceptions.RayTaskError("f", "tb", cause).as_instanceof_cause()
    assert isinstance(dual, FileNotFoundError)
    assert dual.cause.errno == 2


def test_ray_task_error_pickles():
    error = exceptions.RayTaskError("f", "tb", ValueError("bad"))
    back = pickle.loads(pickle.dumps(error))
    assert back.function_name == "f" and isinstance(back.cause, ValueError)


def test_attributes():
    cancelled = exceptions.TaskCancelledError(error_message="why")
    assert cancelled.task_id is None and "why" in str(cancelled)
    actor = exceptions.RayActorError("ab", "gone", True, True)
    assert (actor.actor_id, actor.error_msg) == ("ab", "gone")
    assert actor.actor_init_failed and actor.preempted
    lost = exceptions.ObjectLostError("ff", None, "")
    assert lost.object_ref_hex == "ff" and "ff" in str(lost)
    assert exceptions.RuntimeEnvSetupError("broken").error_message == "broken"
    assert exceptions.RpcError("x", rpc_code=14).rpc_code == 14
    unavailable = exceptions.ActorUnavailableError("away", b"\1" * 16)
    assert unavailable.actor_id == (b"\1" * 16).hex()


def test_group_from_a_task(cluster):
    @ray.remote
    def fail():
        raise ExceptionGroup("several", [ValueError(1), KeyError(2)])

    caught = []
    try:
        ray.get(fail.remote())
    except* ValueError as group:
        caught += group.exceptions
    except* KeyError as group:
        caught += group.exceptions
    assert len(caught) == 2


def test_keyboard_interrupt_of_a_task(cluster):
    @ray.remote(max_retries=2, retry_exceptions=True)
    def f():
        raise KeyboardInterrupt

    @ray.remote
    class A:
        def m(self):
            raise KeyboardInterrupt

    for ref in (f.remote(), A.remote().m.remote()):
        with pytest.raises(ray.exceptions.TaskCancelledError) as failed:
            ray.get(ref, timeout=60)
        assert isinstance(failed.value, ray.exceptions.RayTaskError)


def test_worker_crash_says_how(cluster):
    import os
    import sys

    @ray.remote(max_retries=0)
    def die():
        print("last words")
        print("last complaint", file=sys.stderr)
        os.kill(os.getpid(), 9)

    with pytest.raises(exceptions.WorkerCrashedError) as caught:
        ray.get(die.remote(), timeout=60)
    text = str(caught.value)
    assert text
    if "whipray.compat" in sys.modules:  # Ray's text is the same for each crash
        assert "die: " in text and "SIGKILL" in text
        assert "last words" in text and "last complaint" in text


def test_a_crash_shows_the_last_lines_and_where_the_rest_is(cluster):
    import os
    import sys

    @ray.remote(max_retries=0)
    def die():
        for n in range(2000):
            print(f"said {n}.")
            print(f"complained {n}.", file=sys.stderr)
        os.kill(os.getpid(), 9)

    with pytest.raises(exceptions.WorkerCrashedError) as caught:
        ray.get(die.remote(), timeout=60)
    if "whipray.compat" not in sys.modules:
        return
    text = str(caught.value)
    for n in range(1990, 2000):
        assert f"said {n}." in text and f"complained {n}." in text
    assert "said 1989." not in text
    assert text.index("complained") < text.index("said")
    paths = [word.rstrip("):") for word in text.split() if word.startswith("/")]
    assert [os.path.splitext(path)[1] for path in paths] == [".err", ".out"]
    assert "said 5." in open(paths[1]).read()


class _Dies:
    def die(self):
        import os

        print("last words")
        os.kill(os.getpid(), 9)

    def wait(self):
        import time

        time.sleep(1000)

    def leave(self):
        ray.actor.exit_actor()

    def pid(self):
        import os

        return os.getpid()


def _died(ref, actor):
    with pytest.raises(exceptions.ActorDiedError) as caught:
        ray.get(ref, timeout=60)
    assert caught.value.actor_id == actor._actor_id.hex()
    text = str(caught.value)
    assert actor._actor_id.hex() in text
    return text


def test_an_actors_crash_says_how(cluster):
    import sys

    actor = ray.remote(_Dies).options(name="mortal", namespace="place").remote()
    pid = ray.get(actor.pid.remote())
    in_flight = _died(actor.die.remote(), actor)
    later = _died(actor.pid.remote(), actor)
    assert "mortal" in in_flight and "place" in in_flight and str(pid) in in_flight
    if "whipray.compat" in sys.modules:
        assert "_Dies.die" in in_flight and "_Dies.pid" in later
        for text in (in_flight, later):
            assert "SIGKILL" in text and "last words" in text


def test_a_killed_actor_says_so(cluster):
    import sys

    actor = ray.remote(_Dies).remote()
    pid = ray.get(actor.pid.remote())
    running = actor.wait.remote()
    ray.kill(actor)
    text = _died(running, actor)
    assert "kill" in text
    if "whipray.compat" in sys.modules:
        assert "_Dies.wait" in text and str(pid) in text
        assert "_Dies.pid" in _died(actor.pid.remote(), actor)


def test_an_actor_that_left_says_so(cluster):
    actor = ray.remote(_Dies).remote()
    assert "exit_actor" in _died(actor.leave.remote(), actor)


def test_an_unavailable_actor_is_named(cluster):
    actor = ray.remote(_Dies).options(max_restarts=1).remote()
    with pytest.raises(exceptions.ActorUnavailableError) as caught:
        ray.get(actor.die.remote(), timeout=60)
    assert caught.value.actor_id == actor._actor_id.hex()


def test_a_failed_constructor_is_named(cluster):
    @ray.remote
    class Bad:
        def __init__(self):
            raise ValueError("not today")

        def m(self):
            return 1

    actor = Bad.remote()
    text = _died(actor.m.remote(), actor)
    assert "Bad" in text and "not today" in text


def test_a_traceback_names_the_users_file_and_shows_the_line(cluster):
    @ray.remote
    def divide(n):
        return n / 0  # the line of the error

    with pytest.raises(ZeroDivisionError) as caught:
        ray.get(divide.remote(1), timeout=60)
    text = str(caught.value)
    assert __file__ in text and "return n / 0" in text
    assert "<dynamic-code>" not in text


def test_a_traceback_of_an_actors_method_names_the_users_file(cluster):
    @ray.remote
    class Divider:
        def by_zero(self):
            return [n / 0 for n in range(1)]

    with pytest.raises(ZeroDivisionError) as caught:
        ray.get(Divider.remote().by_zero.remote(), timeout=60)
    text = str(caught.value)
    assert __file__ in text and "n / 0 for n in" in text


def test_handle_of_an_ended_session(no_cluster):
    @ray.remote
    class A:
        def m(self):
            return 1

    ray.init(num_cpus=1, include_dashboard=False)
    actor = A.remote()
    assert ray.get(actor.m.remote()) == 1
    ray.shutdown()
    ray.init(num_cpus=1, include_dashboard=False)
    with pytest.raises(ray.exceptions.ActorHandleNotFoundError):
        ray.kill(actor)
    with pytest.raises(Exception, match="actor"):  # not "the ObjectRef"
        actor.m.remote()
