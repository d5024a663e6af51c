"""What docs/compatibility.md calls "not yet" says so by name, and never by an accident inside."""

import importlib
import os
import re
from pathlib import Path

import pytest
import whipray as ray
from whipray._private import config, driver, unbuilt_names
from whipray.util.scheduling_strategies import NodeLabelSchedulingStrategy


class Plain:
    def m(self):
        return 1


@pytest.fixture(scope="module")
def cluster():
    ray.shutdown()
    ray.init(num_cpus=1, log_to_driver=False)
    yield ray.remote(Plain).remote()
    ray.shutdown()


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("timeline", lambda actor: ray.timeline()),
        ("LoggingConfig", lambda actor: ray.LoggingConfig()),
        ("_tensor_transport", lambda actor: ray.put(1, _tensor_transport="nixl")),
        ("list_actors", lambda actor: ray.util.state.list_actors()),
        ("range", lambda actor: ray.data.range(3)),
        ("Tuner", lambda actor: ray.tune.Tuner("x")),
        ("ScalingConfig", lambda actor: ray.train.ScalingConfig()),
        ("allreduce", lambda actor: ray.util.collective.allreduce(1)),
        ("Pool", lambda actor: ray.util.multiprocessing.Pool(2)),
        ("register_ray", lambda actor: ray.util.joblib.register_ray()),
        ("JobSubmissionClient", lambda actor: ray.job_submission.JobSubmissionClient()),
        ("InputNode", lambda actor: ray.dag.InputNode()),
        ("Cluster", lambda actor: ray.cluster_utils.Cluster()),
        ("bind", lambda actor: ray.remote(lambda: 1).bind()),
        ("bind", lambda actor: ray.remote(Plain).bind()),
        ("bind", lambda actor: actor.m.bind()),
        ("cpp_function", lambda actor: ray.cpp_function("f")),
        ("client", lambda actor: ray.client("x")),
        ("as_completed", lambda actor: ray.util.as_completed([])),
        ("map_unordered", lambda actor: ray.util.map_unordered(len, [])),
        ("concurrency_group", lambda actor: actor.m.options(concurrency_group="io")),
        ("dynamic", lambda actor: actor.m.options(num_returns="dynamic")),
        ("working_dir", lambda actor: ray.remote(runtime_env={"working_dir": "."})(Plain)),
        (
            "_soft_target_node_id",
            lambda actor: ray.util.placement_group([{"CPU": 1}], _soft_target_node_id="ab"),
        ),
        ("NodeLabelSchedulingStrategy", lambda actor: NodeLabelSchedulingStrategy({})),
    ],
)
def test_says_its_name(cluster, name, use):
    with pytest.raises(NotImplementedError, match=name):
        use(cluster)


@pytest.mark.parametrize(
    "given",
    [
        {"include_dashboard": True},
        {"logging_config": object()},
        {"object_spilling_directory": "/tmp"},
        {"enable_resource_isolation": True},
        {"_tracing_startup_hook": "x"},
    ],
)
def test_init_says_its_name(given):
    ray.shutdown()
    with pytest.raises(NotImplementedError, match=next(iter(given))):
        ray.init(**given)
    assert not ray.is_initialized()


def test_init_of_a_client():
    ray.shutdown()
    with pytest.raises(NotImplementedError, match="ray://"):
        ray.init("ray://host:10001")


def test_placeholders_can_be_named_in_types():
    from whipray.data import Dataset

    assert not isinstance(1, Dataset)
    assert Dataset[int] is Dataset
    assert "not built" in repr(Dataset)
    with pytest.raises(NotImplementedError, match=r"Dataset\.x"):
        Dataset.x  # noqa: B018


def test_breakpoint_in_a_task_says_so(cluster):
    @ray.remote(num_cpus=0)
    def stop():
        breakpoint()

    with pytest.raises(NotImplementedError, match=r"breakpoint\(\) in a worker is not built yet"):
        ray.get(stop.remote())


def test_variables_that_nothing_reads_are_named_once(monkeypatch):
    said = []
    monkeypatch.setattr(driver.logger, "warning", lambda text, *args: said.append(text % args))
    monkeypatch.setattr(config, "alias_active", True)
    for name in list(os.environ):
        if name.startswith("RAY_"):
            monkeypatch.delenv(name)
    assert config.unread() == []
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.5")
    monkeypatch.setenv("RAY_DEBUG_POST_MORTEM", "1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_LOG_TO_DRIVER", "0")
    ray.shutdown()
    with ray.init(num_cpus=1, configure_logging=False):
        pass
    assert said == [
        "RAY_DEBUG_POST_MORTEM, RAY_memory_usage_threshold: set in the environment, but not built "
        "yet in Whipray, and without effect"
    ]
    monkeypatch.setattr(config, "alias_active", False)
    assert config.unread() == []


def test_the_list_of_variables_that_are_read_is_whole():
    package = Path(ray.__file__).parent
    text = "".join(path.read_text() for path in package.rglob("*.py") if path.name != "config.py")
    found = re.findall(r"config\.(?:text|flag|integer|number)\(\s*\"(\w+)\"", text)
    found += re.findall(r"_pattern\(\"(\w+)\"\)", text)
    assert set(found) == config.READ


def test_no_table_has_a_name_that_is_built():
    root = Path(ray.__file__).parent
    for module, names in unbuilt_names.MODULES.items():
        there = vars(importlib.import_module(f"whipray.{module}"))
        assert not set(names.split()) & set(there), module
        assert len(set(names.split())) == len(names.split()), module
    for module in unbuilt_names.LEFT_OUT:
        path = root.joinpath(*module.split("."))
        assert not path.exists() and not path.with_suffix(".py").exists()


def test_unknown_names_are_attribute_errors():
    for module in ("whipray.data", "whipray.util.state", "whipray.tune"):
        with pytest.raises(AttributeError, match="nosuch"):
            importlib.import_module(module).nosuch  # noqa: B018
