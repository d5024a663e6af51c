"""Tests of ``whipray.rl``. Those marked ``engine`` start a cluster; the others need the extension
alone."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).resolve().parent))


def _without_engine() -> None:
    """Make ``whipray.rl`` importable where only its own extension was built (WHIPRAY_RL_EXTENSION
    names it)."""
    extension = os.environ.get("WHIPRAY_RL_EXTENSION")
    if extension is None:
        return
    package = types.ModuleType("whipray")
    package.__path__ = [str(ROOT / "python" / "whipray")]
    sys.modules["whipray"] = package
    spec = importlib.util.spec_from_file_location("whipray._rl", extension)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["whipray._rl"] = package._rl = module


_without_engine()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "engine: starts a cluster")


@pytest.fixture
def engine():
    """The engine, started for the test."""
    ray = pytest.importorskip("whipray")
    if not hasattr(ray, "init"):
        pytest.skip("the engine is not built here")
    ray.init(num_cpus=16)  # runners of several algorithms at once
    yield ray
    ray.shutdown()
