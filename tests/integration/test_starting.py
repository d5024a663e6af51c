"""What init() finds before it starts or joins: a dead cluster, a folder of others, closed descriptors."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import alive, children_of, run_driver, wait_for

Command = Callable[..., subprocess.CompletedProcess[str]]

JOIN = """
import whipray as ray
try:
    ray.init(ARGUMENTS, log_to_driver=False)
    print("CPUS", ray.cluster_resources()["CPU"])
except Exception as error:
    print(type(error).__name__, error)
"""


def join(folder: str, arguments: str = "None", **env: str) -> str:
    """Run a driver that says what it joined, or why it could not."""
    program = JOIN.replace("ARGUMENTS", arguments)
    return run_driver(program, env={"WHIPRAY_TMPDIR": folder, **env}).stdout


@pytest.fixture
def command(short_dir: str) -> Iterator[Command]:
    """Runs the command with a folder of its own; what it started is ended."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "whipray._private.cli", *arguments],
            env={**os.environ, "WHIPRAY_TMPDIR": short_dir},
            capture_output=True,
            text=True,
            timeout=90,
        )

    yield run
    root(short_dir).chmod(0o700)
    run("stop", "--force")


def root(folder: str) -> Path:
    return Path(folder) / f"whipray-{os.getuid()}"


def raylet_of(command: Command) -> int:
    text = command("status", "-v").stdout
    return int(text.split("raylet pid ")[1].split(",")[0])


def start(command: Command, *more: str) -> int:
    """Start a cluster; return the pid of its raylet."""
    done = command("start", "--head", "--num-cpus", "3", *more)
    assert done.returncode == 0, done.stderr
    return raylet_of(command)


def kill(pid: int) -> None:
    os.kill(pid, 9)
    wait_for(lambda: not alive(pid), "the killed process has ended")


def test_limits_that_are_too_low_and_a_missing_program_are_named(short_dir: str) -> None:
    limited = JOIN.replace("ARGUMENTS", "num_cpus=1")
    memory = "import resource; resource.setrlimit(resource.RLIMIT_AS, (4_000_000_000,) * 2)\n"
    assert "ulimit -v" in run_driver(memory + limited).stdout
    programs = Path(short_dir) / "bin"
    programs.mkdir()
    source = Path(os.environ["WHIPRAY_BIN_DIR"]) / "whipray-raylet"
    (programs / "whipray-raylet").symlink_to(source)
    said = run_driver(limited, env={"WHIPRAY_BIN_DIR": str(programs)}).stdout
    assert f"{programs}/whipray-gcs cannot be run: No such file" in said


def test_stop_ends_a_hung_raylet_with_its_workers_and_fork_servers(
    command: Command, short_dir: str
) -> None:
    pid = start(command)
    run_driver(
        """
        import whipray as ray
        ray.init("auto", namespace="n", log_to_driver=False)

        @ray.remote
        class Stays:
            def f(self):
                return 1

        actor = Stays.options(name="a", lifetime="detached").remote()
        ray.get(actor.f.remote())
        """,
        env={"WHIPRAY_TMPDIR": short_dir},
    )
    everything = [pid, *children_of(pid)]
    assert len(everything) >= 4  # the GCS, a fork server, a worker
    for process in reversed(everything):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, 19)
    done = command("stop", "--force")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: not [p for p in everything if alive(p)], "all of the cluster has ended")


def test_status_lists_what_waits_and_why(command: Command, short_dir: str) -> None:
    start(command)
    said = run_driver(
        """
        import subprocess, sys, time
        import whipray as ray
        from whipray.util import placement_group

        ray.init("auto", log_to_driver=False)
        never = placement_group([{"CPU": 9}], name="never")
        assert placement_group([{"CPU": 1}] * 3).wait(30)
        later = placement_group([{"CPU": 1}, {"CPU": 1}])

        @ray.remote(num_cpus=1)
        class Actor:
            def f(self):
                pass

        actor = Actor.remote()
        end = time.monotonic() + 30
        text = ""
        while text.count("its resources are in use") < 2 and time.monotonic() < end:
            text = subprocess.run(
                [sys.executable, "-m", "whipray._private.cli", "status"],
                capture_output=True, text=True, check=True,
            ).stdout
        print(text.split("Waiting")[1])
        try:
            ray.get(actor.f.remote(), timeout=0.1)
        except ray.exceptions.GetTimeoutError as error:
            print("TIMEOUT", error)
        """,
        env={"WHIPRAY_TMPDIR": short_dir},
    ).stdout
    lines = said.splitlines()
    assert any("placement group never of 1 bundle" in at and "CPU=9" in at for at in lines), said
    assert any(
        "placement group of 2 bundles" in at and "{CPU: 2}: its resources are in use" in at
        for at in lines
    ), said
    assert any("1 Actor of job" in at and "its resources are in use" in at for at in lines), said
    assert "STARTING and needs {CPU=1}: its resources are in use" in said or (
        "PENDING_CREATION" in said and "its resources are in use" in said
    )
