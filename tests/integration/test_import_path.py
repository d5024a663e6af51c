"""Workers find whipray and what it needs where their driver does, whoever started the cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import whipray

PACKAGES = str(Path(whipray.__file__).absolute().parent.parent)
DRIVER = """
import whipray as ray
ray.init(address="auto")
@ray.remote
def look():
    import cloudpickle, numpy, sys, whipray
    return [sys.executable, *(m.__file__ for m in (whipray, cloudpickle, numpy))]
import cloudpickle, numpy, sys
here = [sys.executable, *(m.__file__ for m in (ray, cloudpickle, numpy))]
assert ray.get(look.remote(), timeout=60) == here
assert ray.get(look.options(runtime_env={"env_vars": {"PYTHONPATH": "/nowhere"}}).remote()) == here
print("the same")
"""


@pytest.fixture
def bare(short_dir: str) -> Iterator[dict[str, str]]:
    """A running cluster that was started without a PYTHONPATH; the environment to join it."""
    env = {**os.environ, "WHIPRAY_TMPDIR": short_dir}
    env.pop("PYTHONPATH", None)
    command = os.path.join(os.environ["WHIPRAY_BIN_DIR"], "whipray")
    subprocess.run(
        [command, "start", "--head", "--num-cpus", "2"],
        check=True,
        env=env,
        timeout=60,
        capture_output=True,
    )
    yield env
    subprocess.run([command, "stop"], check=True, env=env, timeout=60, capture_output=True)


def run(python: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        [python, "-c", DRIVER], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_driver_with_its_own_pythonpath_joins_a_cluster_started_without_it(bare):
    assert "the same" in run(sys.executable, {**bare, "PYTHONPATH": PACKAGES})


def test_driver_of_an_interpreter_without_packages_joins(bare, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    path = os.pathsep.join((PACKAGES, sysconfig.get_path("purelib")))
    assert "the same" in run(str(tmp_path / "bin" / "python"), {**bare, "PYTHONPATH": path})


def test_own_cluster_needs_one_fork_server(ray, session_dir):
    assert ray.get(ray.remote(lambda: 1).remote()) == 1
    assert sorted(Path(session_dir, "logs").glob("fork_server_*")) == [
        Path(session_dir, "logs", "fork_server_1.log")
    ]
