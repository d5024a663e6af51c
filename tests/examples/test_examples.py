"""Each example runs as a user would run it, and says what it should."""

from __future__ import annotations

import os
import pathlib
import re
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


def test_the_driver_in_c_submits_to_a_function_registered_by_name(tmp_path):
    import whipray

    bin_dir = pathlib.Path(os.environ["WHIPRAY_BIN_DIR"])
    library = next(bin_dir.parent.rglob("c_functions.so"))
    context = whipray.init(num_cpus=2)
    session = pathlib.Path(context.address_info["session_dir"])
    try:
        done = subprocess.run(
            [bin_dir / "c_driver", session / "sockets/raylet", session / "auth_token", library],
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        whipray.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    ran, driver = re.search(
        r"a task ran in process (\d+), the driver is (\d+)", done.stdout
    ).groups()
    assert ran != driver
    assert "2000 sums" in done.stdout
