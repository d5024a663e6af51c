"""ray-compat section 1: names, modules, ids."""

import importlib
import inspect
import pickle

import pytest
import ray
from compat_helpers import AGAINST
from ray_names import (
    CONTEXT,
    INIT,
    INIT_PRIVATE,
    INIT_TAKES,
    JOB_CONFIG,
    LEFT_OUT,
    MODULES,
    RLLIB,
    RLLIB_UNBUILT,
    THERE,
    UNBUILT,
    USES,
    dotted,
)

whipray_only = pytest.mark.skipif(AGAINST == "ray", reason="what Whipray has not built")
# Ray without its extras cannot import these, Whipray has their names.
NEEDS_EXTRAS = ("data", "tune", "train", "air", "rllib")


@pytest.mark.parametrize("name", [*dotted(MODULES["1"]), "util", "util.annotations"])
def test_module_imports(name):
    if AGAINST == "ray" and (name.split(".")[0] in NEEDS_EXTRAS or name == "util.joblib"):
        pytest.skip("an extra of Ray, which is not installed")
    module = importlib.import_module(f"ray.{name}")
    assert module is importlib.import_module(f"ray.{name}")


def test_attribute_paths():
    importlib.import_module("ray.util.queue")
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


def resolve(name):
    """Import as much of a dotted name as is modules, and take the rest as attributes."""
    parts = name.split(".")
    found, count = ray, 0
    while count < len(parts):
        try:
            found = importlib.import_module(".".join(["ray", *parts[: count + 1]]))
        except ModuleNotFoundError:
            break
        count += 1
    for part in parts[count:]:
        found = getattr(found, part)
    return found


def pairs(table):
    return [(section, name) for section in table for name in dotted(table[section])]


@pytest.mark.parametrize(("section", "name"), pairs(THERE))
def test_name_is_there(section, name):
    if AGAINST == "ray":
        if name.split(".")[0] in NEEDS_EXTRAS:
            pytest.skip("an extra of Ray, which is not installed")
        if name.startswith("_private.state.") or name == "cloudpickle":
            pytest.skip("the page says how it differs")
    found = resolve(name)
    assert found is not None
    if AGAINST != "ray":
        from whipray._private.unbuilt import is_placeholder

        assert not is_placeholder(found), f"{name} is a placeholder"


@whipray_only
@pytest.mark.parametrize(("section", "name"), pairs(UNBUILT))
def test_unbuilt_name_can_be_imported_and_refuses_to_be_used(section, name):
    found = resolve(name)
    with pytest.raises(NotImplementedError, match=rf"whipray\.{name} is not built yet"):
        found()
    with pytest.raises(NotImplementedError, match=rf"whipray\.{name}\.x is not built yet"):
        found.x  # noqa: B018
    assert pickle.loads(pickle.dumps(found)) is found


@whipray_only
@pytest.mark.parametrize(
    "name", [name for section in LEFT_OUT for name in LEFT_OUT[section].split()]
)
def test_module_that_is_left_out_cannot_be_imported(name):
    for error in (ImportError, NotImplementedError):
        with pytest.raises(error, match=rf"ray\.{name} is not part of Whipray: "):
            importlib.import_module(f"ray.{name}")
        with pytest.raises(error, match=rf"ray\.{name} is not part of Whipray: "):
            importlib.import_module(f"ray.{name}.below")
    package, _, last = name.rpartition(".")
    with pytest.raises(ImportError, match=rf"{name} is not part of Whipray: "):
        exec(f"from ray{'.' * bool(package)}{package} import {last}")


@whipray_only
def test_module_that_is_left_out_is_no_attribute_of_its_package():
    assert not hasattr(ray, "serve")
    assert getattr(ray, "serve", None) is None
    for error in (AttributeError, NotImplementedError):
        with pytest.raises(error, match=r"ray\.serve is not part of Whipray: "):
            ray.serve  # noqa: B018


@pytest.fixture(scope="module")
def names(cluster):
    @ray.remote
    def f():
        return 1

    class Plain:
        def m(self):
            return 1

        def g(self):
            yield 1

    A = ray.remote(Plain)
    return {
        "ray": ray,
        "f": f,
        "A": A,
        "Plain": Plain,
        "a": A.options(num_cpus=0).remote(),
        "node": ray.get_runtime_context().get_node_id(),
        "strategies": importlib.import_module("ray.util.scheduling_strategies"),
    }


def mark_of(use, raises):
    if raises in ("NotImplementedError", "AttributeError"):
        return whipray_only
    return pytest.mark.differs("Ray warns of it") if "'nosuch': 1" in use else ()


@pytest.mark.parametrize(
    ("section", "word", "use", "raises"),
    [pytest.param(*row, marks=mark_of(row[2], row[3])) for row in USES],
)
def test_option(names, section, word, use, raises):
    if not raises:
        eval(use, names)
        return
    match = "" if AGAINST == "ray" else word
    with pytest.raises(getattr(__builtins__, raises, None) or eval(raises), match=match):
        eval(use, names)


@pytest.fixture
def apart(monkeypatch):
    """No connection for the test; the module's own comes back."""
    session = importlib.import_module("whipray._private.session")
    present = session.current()
    session.set_current(None)
    yield
    session.set_current(present)


@whipray_only
@pytest.mark.parametrize(("name", "value", "raises"), INIT)
def test_init_refuses(apart, name, value, raises):
    match = "ray://" if name == "address" else name
    with pytest.raises(eval(raises), match=match):
        ray.init(**{name: eval(value)})
    assert not ray.is_initialized()


def test_init_keywords():
    taken = inspect.signature(ray.init).parameters
    assert set(INIT_TAKES.split()) <= set(taken)
    if AGAINST != "ray":
        from whipray._private import driver

        assert set(INIT_PRIVATE.split()) <= set(driver._PRIVATE)


def test_context_attributes(cluster):
    for name in CONTEXT.split():
        assert hasattr(cluster, name), name


@whipray_only
@pytest.mark.parametrize(("name", "value", "raises"), JOB_CONFIG)
def test_job_config(name, value, raises):
    given = {name: eval(value)}
    if not raises:
        assert getattr(ray.job_config.JobConfig(**given), name) == given[name]
        return
    with pytest.raises(eval(raises), match=name):
        ray.job_config.JobConfig(**given)


@whipray_only
@pytest.mark.parametrize(("method", "keyword", "value", "raises"), RLLIB)
def test_rllib_option(method, keyword, value, raises):
    from ray.rllib.algorithms.ppo import PPOConfig

    config = PPOConfig()
    given = {keyword: eval(value)}
    if raises:
        match = keyword if keyword != "model_config" else "use_lstm"
        with pytest.raises(eval(raises), match=match):
            getattr(config, method)(**given)
        return
    assert getattr(config, method)(**given) is config
    if keyword not in ("model_config", "framework", "lr"):
        assert getattr(config, keyword) == given[keyword]


@pytest.fixture(scope="module")
def algorithm():
    from ray.rllib.algorithms.ppo import PPOConfig

    made = PPOConfig().environment("CartPole-v1").build_algo()
    yield made
    made.stop()


@whipray_only
@pytest.mark.parametrize("name", RLLIB_UNBUILT.split())
def test_rllib_method_that_is_not_built(algorithm, name):
    with pytest.raises(NotImplementedError, match=name):
        getattr(algorithm, name)


@whipray_only
def test_rllib_unknown_and_frozen():
    from ray.rllib.algorithms.ppo import PPOConfig

    config = PPOConfig()
    with pytest.raises(TypeError, match="num_env_runner"):
        config.env_runners(num_env_runner=1)
    with pytest.raises(AttributeError, match="nosuch"):
        config.nosuch  # noqa: B018
    config.freeze()
    with pytest.raises(AttributeError, match="frozen"):
        config.gamma = 0.5
    copy = config.copy(copy_frozen=False)
    copy.gamma = 0.5
    assert (config.gamma, copy.gamma) == (0.99, 0.5)


@whipray_only
def test_names_of_results(algorithm):
    from ray.rllib.utils import metrics

    result = algorithm.train()
    runners = result[metrics.ENV_RUNNER_RESULTS]
    assert runners[metrics.NUM_ENV_STEPS_SAMPLED_LIFETIME] > 0
    assert runners[metrics.EPISODE_RETURN_MEAN] > 0
    assert result[metrics.LEARNER_RESULTS][metrics.ALL_MODULES][metrics.NUM_ENV_STEPS_TRAINED] > 0
    assert metrics.TIMERS in result and metrics.FAULT_TOLERANCE_STATS in result


def test_unknown_names():
    for name in ("ray.nosuch", "ray.util.nosuch"):
        with pytest.raises(ModuleNotFoundError, match="nosuch"):
            importlib.import_module(name)
    with pytest.raises(AttributeError):
        ray.nosuch  # noqa: B018
    with pytest.raises(AttributeError):
        ray.util.nosuch  # noqa: B018
    assert not hasattr(ray, "nosuch")


@whipray_only
def test_class_made_of_one_that_is_not_built():
    from ray.rllib.callbacks.callbacks import RLlibCallback

    class Own(RLlibCallback):
        def on_episode_end(self, **kwargs):
            pass

    with pytest.raises(NotImplementedError, match="RLlibCallback"):
        Own()


@whipray_only
def test_names_that_are_not_built_reach_workers(cluster):
    from ray.data import Dataset

    @ray.remote
    def same(cls, hint: Dataset = None):
        import ray.data

        return cls is ray.data.Dataset

    assert ray.get(same.remote(Dataset))
