"""Where a cluster is started, and what lies there, changes nothing; a driver's folder is its workers'."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

TRAPS = ("numpy", "random", "json", "socket", "selectors", "signal", "struct", "cloudpickle")

DRIVER = """
import whipray as ray

@ray.remote
def look():
    import os, random, sys
    import numpy
    import beside
    return os.getcwd(), beside.NAME, numpy.__file__, random.__file__, "trap" in sys.modules

@ray.remote
class Actor:
    def look(self):
        return ray.get(look.remote())

ray.init(**ARGUMENTS)
cwd, name, numpy, random, trap = ray.get(look.remote())
assert ray.get(Actor.options(num_cpus=0).remote().look.remote())[:2] == (cwd, name)
assert ray.get(look.options(runtime_env={"env_vars": {"A": "1"}}).remote())[:2] == (cwd, name)
print("CWD", cwd)
print("NAME", name)
print("NUMPY", numpy)
print("RANDOM", random)
print("LABEL", ray.nodes()[0]["Labels"].get("zone"))
"""


@pytest.fixture
def folders() -> Iterator[Path]:
    """``traps`` has files named like modules, ``script`` a driver and a module beside it.

    The path leaves room for the paths of sockets.
    """
    root = Path(tempfile.mkdtemp(prefix="wr", dir="/tmp"))
    for name in ("traps", "script", "elsewhere"):
        (root / name).mkdir()
    for name in TRAPS:
        (root / "traps" / f"{name}.py").write_text(f"raise RuntimeError('{name} of the folder')\n")
    (root / "script" / "beside.py").write_text("NAME = 'beside the script'\n")
    yield root
    shutil.rmtree(root, ignore_errors=True)


def drive(root: Path, cwd: Path, arguments: dict[str, object], **env: str) -> dict[str, str]:
    """Run the driver from a folder; return what it printed."""
    script = root / "script" / "driver.py"
    script.write_text(textwrap.dedent(DRIVER).replace("ARGUMENTS", repr(arguments)))
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if line[:1].isupper())


def is_as_it_should_be(found: dict[str, str], cwd: Path) -> bool:
    import random

    import numpy

    return (
        found["CWD"] == str(cwd)
        and found["NAME"] == "beside the script"
        and found["NUMPY"] == numpy.__file__
        and found["RANDOM"] == random.__file__
    )


def test_files_named_like_modules_in_the_drivers_folder_break_nothing(folders: Path) -> None:
    here = folders / "traps"
    found = drive(folders, here, {"address": "local", "num_cpus": 2, "labels": {"zone": "a"}})
    assert is_as_it_should_be(found, here)
    assert found["LABEL"] == "a"


def test_a_relative_folder_for_sessions_is_the_drivers(folders: Path) -> None:
    here = folders / "elsewhere"
    found = drive(folders, here, {"address": "local", "num_cpus": 2, "_temp_dir": "../traps"})
    assert is_as_it_should_be(found, here)
    assert list((folders / "traps").glob("whipray-*/session_*"))
    variable = drive(folders, here, {"address": "local", "num_cpus": 2}, WHIPRAY_TMPDIR="../script")
    assert is_as_it_should_be(variable, here)
    assert list((folders / "script").glob("whipray-*/session_*"))


def test_a_cluster_started_in_a_folder_full_of_traps_serves_a_driver_from_elsewhere(
    folders: Path,
) -> None:
    traps, here = folders / "traps", folders / "elsewhere"
    (traps / "labels.txt").write_text("zone: b\n")
    env = {"WHIPRAY_TMPDIR": str(folders)}

    def command(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "whipray._private.cli", *arguments],
            cwd=traps,
            env={**os.environ, **env, **more},
            capture_output=True,
            text=True,
            timeout=90,
        )

    # Both paths are relative to the folder of the command, not to the one that the cluster lives in.
    started = command(
        "start", "--head", "--num-cpus=2", "--temp-dir=..", "--labels-file=labels.txt"
    )
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        found = drive(folders, here, {"address": "auto"}, **env)
        assert is_as_it_should_be(found, here)
        assert found["LABEL"] == "b"
        assert is_as_it_should_be(drive(folders, traps, {"address": "auto"}, **env), traps)
        assert command("status", WHIPRAY_TMPDIR="..").returncode == 0
    finally:
        stopped = command("stop")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


def test_files_in_the_folder_that_the_daemons_live_in_shadow_no_module(ray, session_dir):
    """A fork server that starts later, for another environment, meets them (and `-P` saves it)."""
    for name in TRAPS:
        Path(session_dir, f"{name}.py").write_text(f"raise RuntimeError('{name} of the folder')\n")

    @ray.remote
    def look():
        import random

        return random.__file__, os.environ["PYTHONHASHSEED"]

    import random

    later = look.options(runtime_env={"env_vars": {"PYTHONHASHSEED": "7"}})
    assert ray.get(later.remote(), timeout=60) == (random.__file__, "7")
