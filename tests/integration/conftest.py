"""A cluster of two CPUs for each test; nothing of it may be left afterwards."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from cluster import alive, children_of, command_of, wait_for  # noqa: E402

_SESSION: dict[str, str] = {}


@pytest.fixture
def session_dir(ray) -> str:
    """The session folder of the fixture ``ray``'s cluster."""
    return _SESSION["dir"]


@pytest.fixture
def short_dir():
    """A folder whose path is short enough for the path of a socket."""
    folder = tempfile.mkdtemp(prefix="wr-")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def ray():
    import whipray

    context = whipray.init(num_cpus=2, log_to_driver=False, object_store_memory=400_000_000)
    _SESSION["dir"] = context.address_info["session_dir"]
    started = children_of(os.getpid())
    try:
        yield whipray
    finally:
        whipray.shutdown()
        wait_for(
            lambda: not [p for p in started if alive(p) and "whipray" in command_of(p)],
            "all that init() started has ended",
        )
