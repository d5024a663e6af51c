"""A wrong argument of `init` is refused at the call, by its name, before anything is started."""

from __future__ import annotations

import os
import subprocess

import pytest
import whipray
from whipray._private import arguments
from whipray._private.node import find_program

WRONG = [
    (dict(address=5), TypeError, "address must be a str"),
    (dict(address="atuo"), ValueError, "address.*did you mean 'auto'"),
    (dict(address="host:port"), ValueError, "address"),
    (dict(address="localhost:99999"), ValueError, "address"),
    (dict(num_cpus="x"), TypeError, "num_cpus must be a number"),
    (dict(num_cpus=True), TypeError, "num_cpus"),
    (dict(num_cpus=-1), ValueError, "num_cpus.*negative"),
    (dict(num_cpus=float("nan")), ValueError, "num_cpus.*finite"),
    (dict(num_cpus=float("inf")), ValueError, "num_cpus.*finite"),
    (dict(num_cpus=1e9), ValueError, "num_cpus.*at most 1,000,000"),
    (dict(num_gpus="1"), TypeError, "num_gpus"),
    (dict(num_gpus=1e5), ValueError, "num_gpus.*at most 64"),
    (dict(num_gpus=0.5), ValueError, "num_gpus.*whole number"),
    (dict(resources=[1]), TypeError, "resources must be a dict"),
    (dict(resources={5: 1}), TypeError, "resources.*must be a str, not 5"),
    (dict(resources={"": 1}), ValueError, "resources.*empty"),
    (dict(resources={"a": "b"}), TypeError, "resources.*'a' must be a number"),
    (dict(resources={"a": 1e300}), ValueError, "a can be at most"),
    (dict(resources={"a,b": 1}), ValueError, "resources.*'a,b'"),
    (dict(resources={"a\n": 1}), ValueError, "resources.*control"),
    (dict(resources={"x" * 300: 1}), ValueError, "resources.*300 bytes"),
    (dict(resources={f"r{k}": 1 for k in range(100)}), ValueError, "resources.*at most 24"),
    (dict(resources={"CPU": 1}), ValueError, "resources.*num_cpus"),
    (dict(labels=5), TypeError, "labels must be a dict"),
    (dict(labels={"a": 5}), TypeError, "labels"),
    (dict(labels={f"l{k}": "x" for k in range(1000)}), ValueError, "labels.*1023"),
    (dict(object_store_memory="1g"), TypeError, "object_store_memory must be an int"),
    (dict(object_store_memory=1e9), TypeError, "object_store_memory must be an int"),
    (dict(object_store_memory=True), TypeError, "object_store_memory"),
    (dict(object_store_memory=1), ValueError, "object_store_memory.*8 MiB"),
    (dict(object_store_memory=10**30), ValueError, "object_store_memory can be at most"),
    (dict(ignore_reinit_error=5), TypeError, "ignore_reinit_error must be a bool"),
    (dict(include_dashboard="x"), TypeError, "include_dashboard must be a bool"),
    (dict(dashboard_host=5), TypeError, "dashboard_host"),
    (dict(dashboard_port="x"), TypeError, "dashboard_port must be an int"),
    (dict(dashboard_port=70000), ValueError, "dashboard_port.*65535"),
    (dict(job_config={}), TypeError, "job_config must be a JobConfig"),
    (dict(logging_level="WARNINGS"), ValueError, "logging_level.*did you mean 'WARNING'"),
    (dict(logging_level=[]), TypeError, "logging_level"),
    (dict(logging_format=5), TypeError, "logging_format"),
    (dict(logging_format="%(nothing"), ValueError, "logging_format"),
    (dict(log_to_driver="x"), TypeError, "log_to_driver must be a bool"),
    (dict(namespace="\0"), ValueError, "namespace.*control"),
    (dict(namespace="\ud800"), ValueError, "namespace.*surrogates"),
    (dict(namespace="x" * 100_000), ValueError, "namespace.*at most 4096"),
    (dict(runtime_env=5), TypeError, "runtime_env must be a dict"),
    (dict(runtime_env={"env_vars": {"a": "x" * 200_000}}), ValueError, "env_vars.*'a'.*200002"),
    (dict(runtime_env={"env_vars": {f"v{k}": "x" for k in range(5000)}}), ValueError, "env_vars"),
    (dict(_memory=-1), ValueError, "_memory must be at least 1"),
    (dict(_memory=10**30), ValueError, "_memory can be at most"),
    (dict(_memory="x"), TypeError, "_memory"),
    (dict(_node_name=5), TypeError, "_node_name"),
    (dict(_node_name="x" * 200), ValueError, "_node_name.*at most 127"),
    (dict(_node_ip_address="foo"), ValueError, "_node_ip_address must be an IP address"),
    (dict(_node_ip_address=5), TypeError, "_node_ip_address"),
    (dict(_temp_dir=5), TypeError, "_temp_dir must be the path"),
    (dict(_temp_dir="/proc/x"), ValueError, "_temp_dir.*/proc/x"),
    (dict(_temp_dir="/tmp/" + "x" * 100), ValueError, "_temp_dir.*too long"),
    (dict(_system_config=5), TypeError, "_system_config must be a dict"),
    (dict(_system_config={"nope": 1}), ValueError, "_system_config has no setting 'nope'"),
    (dict(_system_config={"prestrat": 1}), ValueError, "did you mean 'prestart'"),
    (dict(_system_config={"prestart": "1"}), TypeError, "_system_config: prestart must be an int"),
    (dict(_system_config={"gcs_restarts_per_minute": 1001}), ValueError, "takes 0 to 1000"),
]


@pytest.fixture
def empty_dir(short_dir, monkeypatch):
    """Where a session's folder would be made; nothing may be in it afterwards."""
    monkeypatch.setenv("WHIPRAY_TMPDIR", short_dir)
    monkeypatch.delenv("WHIPRAY_ADDRESS", raising=False)
    yield short_dir
    assert os.listdir(short_dir) == []


@pytest.mark.parametrize(
    ("given", "error", "text"), WRONG, ids=[str(row[0])[:40].replace("\\", "") for row in WRONG]
)
def test_wrong_argument_is_refused_by_its_name(given, error, text, empty_dir):
    with pytest.raises(error, match=text) as caught:
        whipray.init(**given)
    assert type(caught.value) is error
    assert not whipray.is_initialized()


def test_every_setting_that_init_knows_is_one_of_the_raylet():
    settings = {name: 60_000 if name.endswith("_ms") else 7 for name in arguments.SYSTEM_CONFIG}
    whipray.init(num_cpus=1, _system_config=settings)
    whipray.shutdown()


@pytest.mark.parametrize(
    "option",
    [
        "--num-cpus=1e10",
        "--num-cpus=inf",
        "--num-cpus=nan",
        "--num-gpus=65",
        "--memory=1e30",
        "--object-store-memory=1e300",
        "--gcs-port=65536",
        "--owner-fd=1e12",
        "--config=prestart=1e30",
        "--config=nothing=1",
    ],
)
def test_raylet_refuses_what_it_cannot_hold(option, short_dir):
    done = subprocess.run(
        [
            find_program("whipray-raylet"),
            "--head",
            "--session-dir",
            short_dir,
            "--token-file",
            "x",
            option,
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert ("is no number from" in said and option[2:].split("=")[0] in said) or "'nothing'" in said


def test_environment_that_fits_into_no_worker_is_refused_at_the_call(ray):
    @ray.remote
    def nothing():
        return None

    wide = {f"V{k}": "x" * 20_000 for k in range(5)}
    with pytest.raises(ValueError, match="runtime_env.*bytes"):
        nothing.options(runtime_env={"env_vars": wide}).remote()
