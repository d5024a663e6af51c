"""One abi3 module for every Python: each one on this machine that has the package's needs runs it."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

NAMES = ("python3.11", "python3.12", "python3.13", "python3.14")
PROGRAM = """
import sys
import whipray as ray

ray.init(num_cpus=1, object_store_memory=100 << 20)

@ray.remote
def version():
    return sys.version_info[:2]

@ray.remote
class Actor:
    def add(self, x):
        return x + 1

assert ray.get(version.remote(), timeout=60) == sys.version_info[:2]
assert ray.get(Actor.remote().add.remote(1), timeout=60) == 2
print("RAN")
"""


def interpreters() -> list[str]:
    """Those on PATH; ``WHIPRAY_TEST_PYTHONS``, as PATH is written, names others."""
    named = os.environ.get("WHIPRAY_TEST_PYTHONS")
    return named.split(os.pathsep) if named else [name for name in NAMES if shutil.which(name)]


@pytest.mark.parametrize("python", interpreters())
def test_tasks_and_actors_run_under(python, tmp_path):
    needs = subprocess.run(
        [python, "-c", "import numpy, cloudpickle, threadpoolctl"], capture_output=True
    )
    if needs.returncode != 0:
        pytest.skip(f"{python} does not have numpy, cloudpickle and threadpoolctl")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run([python, str(program)], capture_output=True, text=True, timeout=100)
    assert "RAN" in done.stdout, done.stderr
