"""Each example runs as a user would run it, and says what it should."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

EXPECTED = {
    "tasks.py": "primes below 20,000: 2262",
    "actors.py": "Ada has 2100\nBob has 500\nrefused: ValueError: a deposit of -1",
    "parameter_server.py": "largest error of a weight",
    "batch_inference.py": "as in one process",
    "gym_environments.py": "finished episodes",
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_example_runs_and_prints_its_result(name):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert EXPECTED[name] in done.stdout


def test_every_python_example_is_run_by_a_test():
    here = {p.name for p in (ROOT / "examples").glob("*.py")}
    assert here - {"play_cartpole.py"} == set(EXPECTED)  # play_cartpole.py: tests/rl


def test_the_driver_in_c_submits_to_a_function_registered_by_name():
    bin_dir = pathlib.Path(os.environ["WHIPRAY_BIN_DIR"])
    done = subprocess.run([str(bin_dir / "c_driver")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sum of squares below 1000: 332833500" in done.stdout
