"""Runtime environments: checks, merging, expansion."""

import pytest
from whipray.runtime_env import RuntimeEnv, RuntimeEnvConfig, merge, normalize, to_json, wire


def test_unknown_and_unbuilt_fields():
    with pytest.raises(ValueError, match="env_vars"):
        normalize({"env_var": {}})
    for name in ("pip", "working_dir", "conda", "py_modules", "container"):
        with pytest.raises(NotImplementedError, match=name):
            normalize({name: "x"})


def test_config_of_defaults_is_taken():
    assert normalize({"config": RuntimeEnvConfig()}) == {}
    with pytest.raises(NotImplementedError, match="config"):
        normalize({"config": {"setup_timeout_seconds": 1}})


def test_env_vars():
    assert normalize({"env_vars": {"A": "1"}}) == {"env_vars": {"A": "1"}}
    for wrong in ({"A": 1}, {1: "a"}, "x"):
        with pytest.raises(TypeError):
            normalize({"env_vars": wrong})
    with pytest.raises(ValueError):
        normalize({"env_vars": {"A=B": "x"}})


def test_merge():
    merged = merge({"env_vars": {"A": "1", "B": "1"}}, {"env_vars": {"B": "2"}})
    assert merged == {"env_vars": {"A": "1", "B": "2"}}


def test_a_worker_finds_the_whole_environment():
    import json

    sent = json.loads(wire({"env_vars": {"A": "${PATH}"}}))["env_vars"]
    assert sent["A"] == "${PATH}"
    assert json.loads(bytes.fromhex(sent["WHIPRAY_INHERITED_ENV"])) == {
        "env_vars": {"A": "${PATH}"}
    }
    assert wire({}) == ""


def test_json_is_one_text():
    assert to_json({"env_vars": {"B": "1", "A": "2"}}) == to_json(
        {"env_vars": {"A": "2", "B": "1"}}
    )
    assert to_json({}) == ""


def test_class():
    made = RuntimeEnv(env_vars={"A": "1"})
    assert made.to_dict() == {"env_vars": {"A": "1"}}
    assert RuntimeEnv.deserialize(made.serialize()) == made
