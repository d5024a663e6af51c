"""``pip install .`` gives a package with the daemons and the command inside."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.timeout(400)
def test_a_wheel_installs_and_runs_a_task_outside_of_the_tree(tmp_path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(tmp_path),
            str(ROOT),
        ],
        check=True,
        timeout=380,
    )
    wheel = next(tmp_path.glob("whipray-*.whl"))
    assert "-cp311-abi3-" in wheel.name
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for program in ("whipray", "whipray-raylet", "whipray-gcs", "whipray-worker"):
        (site / "whipray/bin" / program).chmod(
            0o755
        )  # what pip does, and a plain unpacking does not
    code = (
        "import whipray as ray; ray.init(num_cpus=1); "
        "print(ray.get(ray.remote(lambda x: x + 1).remote(41)), ray.__file__)"
    )
    env = {k: v for k, v in os.environ.items() if k != "WHIPRAY_BIN_DIR"} | {
        "PYTHONPATH": str(site)
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=env, cwd="/"
    )
    assert done.stdout.split()[0] == "42", done.stderr
    assert str(site) in done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "whipray._private.cli", "--version"],
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
    )
    assert done.returncode == 0 and "0.1" in done.stdout, done.stdout + done.stderr
