"""A cluster of two CPUs for each test; nothing of it may be left afterwards."""

from __future__ import annotations

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from cluster import alive, children_of, command_of, wait_for  # noqa: E402


@pytest.fixture
def ray():
    import whipray

    whipray.init(num_cpus=2, log_to_driver=False, object_store_memory=400_000_000)
    started = children_of(os.getpid())
    try:
        yield whipray
    finally:
        whipray.shutdown()
        wait_for(
            lambda: not [p for p in started if alive(p) and "whipray" in command_of(p)],
            "all that init() started has ended",
        )
