"""ray-compat section 1: names, modules, ids."""

import importlib
import pickle

import pytest
import ray

MODULES = """util util.placement_group util.scheduling_strategies util.actor_pool util.queue
util.metrics util.state util.collective util.multiprocessing util.annotations
job_submission runtime_env dag exceptions actor remote_function runtime_context cluster_utils
experimental cloudpickle""".split()


@pytest.mark.parametrize("name", MODULES)
def test_module_imports(name):
    module = importlib.import_module(f"ray.{name}")
    assert module is importlib.import_module(f"ray.{name}")


def test_attribute_paths():
    assert ray.util.placement_group and ray.util.queue and ray.exceptions.RayError
    assert ray.actor.ActorClass and ray.remote_function.RemoteFunction


def test_version():
    major, minor = ray.__version__.split(".")[:2]
    assert (int(major), int(minor)) >= (2, 0)
    assert isinstance(ray.__commit__, str)


def test_constants():
    assert ray.SCRIPT_MODE != ray.WORKER_MODE
    assert ray.Language.PYTHON is not None


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("ActorID", 16),
        ("NodeID", 28),
        ("JobID", 4),
        ("WorkerID", 28),
        ("TaskID", 24),
        ("ObjectID", 28),
        ("PlacementGroupID", 18),
        ("FunctionID", 28),
        ("ActorClassID", 28),
        ("ClusterID", 28),
    ],
)
def test_id_classes(name, size):
    cls = getattr(ray, name)
    assert cls.size() == size
    raw = bytes(range(size))
    made = cls.from_binary(raw) if hasattr(cls, "from_binary") else cls(raw)
    assert made.binary() == raw and made.hex() == raw.hex()
    assert cls(raw) == made and hash(cls(raw)) == hash(made)
    assert cls.nil().is_nil() and not made.is_nil()
    if name not in ("ObjectID", "TaskID", "ActorID"):
        assert cls.from_hex(raw.hex()) == made
    if name != "ObjectID":
        assert pickle.loads(pickle.dumps(made)) == made
        assert made != cls.nil()


def test_unique_id():
    raw = bytes(range(28))
    assert ray.UniqueID(raw).binary() == raw
    assert ray.UniqueID.nil().is_nil() and not ray.UniqueID.from_random().is_nil()


def test_types():
    assert isinstance(ray.ObjectRef[int], object)
    assert ray.actor.ActorHandle and ray.actor.ActorMethod


def test_what_is_not_built_says_so():
    if importlib.util.find_spec("whipray") is None:
        pytest.skip("Ray has built them")
    from ray.util.metrics import Counter

    with pytest.raises(NotImplementedError, match="Counter"):
        Counter("x")
    from ray.cluster_utils import Cluster

    with pytest.raises(NotImplementedError, match="Cluster"):
        Cluster()
    with pytest.raises(NotImplementedError):
        ray.util.as_completed([])
    with pytest.raises(ImportError, match="nosuch"):
        importlib.import_module("ray.nosuch")


def test_unknown_attributes():
    with pytest.raises(AttributeError):
        ray.nosuch  # noqa: B018
    with pytest.raises(AttributeError):
        ray.util.nosuch  # noqa: B018
    assert not hasattr(ray, "nosuch")
