"""What init() finds before it starts or joins: a dead cluster, a folder of others, closed descriptors."""

from __future__ import annotations

import contextlib
import os
import re
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


def test_init_begins_anew_after_a_started_clusters_raylet_was_killed(
    command: Command, short_dir: str
) -> None:
    kill(start(command))
    assert "ConnectionError" in (said := join(short_dir, "'auto'")) and "no cluster runs" in said
    assert "CPUS" in join(short_dir) and "CPUS 3" not in join(short_dir)
    assert "CPUS 3" not in join(short_dir, "None, num_cpus=2")  # no "this joins the one in ..."


def test_an_address_names_only_clusters_whose_raylet_listens(
    command: Command, short_dir: str
) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pid = start(command, "--port", str(port))
    address = (root(short_dir) / "current").read_text().splitlines()
    assert "CPUS 3" in join(short_dir, repr(address[0]))
    assert "CPUS 3" in join(short_dir, repr(f"localhost:{port}"))
    assert "CPUS 3" in join(short_dir, repr(address[1]))
    kill(pid)
    for name in (address[0], f"localhost:{port}", address[1]):
        said = join(short_dir, repr(name))
        assert said.startswith("ConnectionError") and "no cluster of this user" in said


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_not_followed(command: Command, short_dir: str) -> None:
    start(command)
    os.chown(root(short_dir), 65534, 65534)
    try:
        said = join(short_dir)
        assert "PermissionError" in said and str(root(short_dir)) in said and "65534" in said
        assert "WHIPRAY_TMPDIR" in said
    finally:
        os.chown(root(short_dir), 0, 0)


def test_a_folder_that_others_can_enter_is_not_followed(command: Command, short_dir: str) -> None:
    start(command)
    root(short_dir).chmod(0o755)
    for arguments in ("None", "'auto'", "'localhost:1'"):
        said = join(short_dir, arguments)
        assert "PermissionError" in said and f"chmod 700 {root(short_dir)}" in said
    root(short_dir).chmod(0o700)
    (root(short_dir) / "current").rename(Path(short_dir) / "elsewhere")
    (root(short_dir) / "current").symlink_to(Path(short_dir) / "elsewhere")
    assert "PermissionError" in join(short_dir)
    (root(short_dir) / "current").unlink()
    (Path(short_dir) / "elsewhere").rename(root(short_dir) / "current")
    assert "CPUS 3" in join(short_dir)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_disturb_nothing(
    command: Command, short_dir: str, closed: str
) -> None:
    program = Path(short_dir) / "program.py"
    program.write_text(
        """
import os, sys
import whipray as ray

@ray.remote
def f():
    print("printed")
    os.write(1, b"written\\n")
    return 41

ray.init(ADDRESS, log_to_driver=False)
for descriptor in 0, 1, 2:
    os.fstat(descriptor)
for descriptor in 1, 2:  # as a library may: it must reach no socket and no pool
    os.write(descriptor, b"x" * 65536)
with open(sys.argv[1], "w") as file:
    file.write(str(ray.get(f.remote()) + 1))
"""
    )

    def run(address: str) -> str:
        result = Path(short_dir) / "result"
        result.unlink(missing_ok=True)
        here = program.with_name("run.py")
        here.write_text(program.read_text().replace("ADDRESS", repr(address)))
        subprocess.run(
            ["/bin/sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, str(here), str(result)],
            env={**os.environ, "WHIPRAY_TMPDIR": short_dir},
            capture_output=True,
            timeout=60,
            check=True,
        )
        return result.read_text()

    assert run("local") == "42"
    start(command)
    assert run("auto") == "42"


def test_the_token_is_named_when_it_has_no_place(short_dir: str) -> None:
    said = join(short_dir, "'local'", HOME=f"{short_dir}/nonexistent")
    assert "token" in said and "WHIPRAY_AUTH_TOKEN_PATH" in said
    assert not (Path(short_dir) / "nonexistent").exists()
    said = join(short_dir, "'local'", WHIPRAY_AUTH_TOKEN="short")
    assert "WHIPRAY_AUTH_TOKEN has 5 characters" in said


def test_a_folder_that_is_too_long_for_sockets_is_named(short_dir: str) -> None:
    said = join(f"{short_dir}/{'l' * 80}", "'local'")
    assert "too long for the path of a socket; choose a shorter WHIPRAY_TMPDIR" in said


def test_a_removed_working_directory_is_named(short_dir: str) -> None:
    gone = Path(short_dir) / "gone"
    gone.mkdir()
    said = run_driver(
        f"""
        import os
        import whipray as ray
        os.chdir({str(gone)!r})
        os.rmdir({str(gone)!r})
        try:
            ray.init(num_cpus=1)
        except FileNotFoundError as error:
            print(error)
        """
    ).stdout
    assert "working directory" in said and "removed" in said and "os.chdir()" in said


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
    assert re.search(r"(STARTING|PENDING) and needs {CPU=1}: its resources are in use", said) or (
        "PENDING_CREATION" in said and "its resources are in use" in said
    )
