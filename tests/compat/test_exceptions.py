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


def test_an_actors_crash_says_how(cluster):
    import os
    import sys

    @ray.remote
    class Dies:
        def die(self):
            print("last words")
            os.kill(os.getpid(), 9)

    with pytest.raises(exceptions.ActorDiedError) as caught:
        ray.get(Dies.remote().die.remote(), timeout=60)
    if "whipray.compat" in sys.modules:
        assert "SIGKILL" in str(caught.value) and "last words" in str(caught.value)


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
