"""What the integration tests share: programs as drivers, the processes of a cluster, waiting."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator


def run_driver(
    code: str,
    *,
    timeout: float = 60,
    env: dict[str, str] | None = None,
    check: bool = True,
    **kwargs,
):
    """Runs a program in an interpreter of its own; the CompletedProcess."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        **kwargs,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def start_driver(code: str, **kwargs) -> subprocess.Popen:
    """Starts a program as a driver; its stdout is a pipe."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
        **kwargs,
    )


def read_until(process: subprocess.Popen, prefix: str, timeout: float = 60) -> str:
    """The rest of the first line that begins with prefix."""
    end = time.monotonic() + timeout
    for line in process.stdout:
        if line.startswith(prefix):
            return line[len(prefix) :].strip()
        assert time.monotonic() < end, f"no line {prefix!r} in {timeout} s"
    raise AssertionError(f"the driver ended before it printed {prefix!r}")


def wait_for(condition: Callable[[], object], what: str, timeout: float = 10) -> object:
    """Polls until the condition is true; returns its value. Fails with `what`."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"after {timeout} s still not: {what}"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    """All descendants of a process that are alive."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and alive(int(name)):
            try:
                with open(f"/proc/{name}/stat") as f:
                    parents[int(name)] = int(f.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found, frontier = [], {pid}
    while frontier:
        frontier = {p for p, parent in parents.items() if parent in frontier}
        found += frontier
    return found


def command_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def daemon(name: str, under: int | None = None) -> int:
    """Pid of the whipray-`name` among the descendants of a process (this one, if none is named)."""
    for pid in children_of(under or os.getpid()):
        if os.path.basename(command_of(pid).split(" ")[0]) == "whipray-" + name:
            return pid
    raise AssertionError(f"no whipray-{name} runs")


def io_bytes(pid: int) -> int:
    """Bytes that a process has written by system calls so far."""
    with open(f"/proc/{pid}/io") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("wchar:"))


@contextlib.contextmanager
def killed_at_the_end(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """The process is gone when the block is left, whatever happened."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
