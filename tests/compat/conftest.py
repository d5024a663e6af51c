"""Ray's API, tested through ``import ray``.

By default that is Whipray's alias. With ``WHIPRAY_COMPAT_AGAINST=ray`` it is the real Ray, so that
the same files say where the two differ.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compat_helpers import AGAINST, ray


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Demand that a test marked ``differs("...")`` fails on Ray."""
    if AGAINST == "ray":
        for item in items:
            for mark in item.iter_markers("differs"):
                item.add_marker(pytest.mark.xfail(reason=mark.args[0], strict=True))


INIT = {"num_cpus": 4, "resources": {"disk": 2}, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster with 4 CPUs and 2 "disk" for the tests of a module."""
    ray.shutdown()
    context = ray.init(**INIT, namespace="compat")
    yield context
    ray.shutdown()


@pytest.fixture
def no_cluster() -> Iterator[None]:
    """No connection before and after."""
    ray.shutdown()
    yield
    ray.shutdown()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for the paths of sockets."""
    path = Path(tempfile.mkdtemp(prefix="wr", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Run a driver of its own: ``program(code, how="file")``."""

    def run(
        code: str,
        *arguments: str,
        how: str = "file",
        env: dict[str, str] | None = None,
        timeout: float = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        code = textwrap.dedent(code)
        start = [sys.executable] if AGAINST == "ray" else [sys.executable, "-m", "whipray.compat"]
        stdin = None
        path = tmp_path / "driver_program.py"
        if how == "file":
            path.write_text(code)
            command = [*start, str(path), *arguments]
        elif how == "-m":
            path.write_text(code)
            command = [*start, "-m", "driver_program", *arguments]
        elif how == "-c":
            command = [*start, "-c", code, *arguments]
        else:
            stdin = code
            command = [*start, "-", *arguments]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
        )
        if check:
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done

    return run
