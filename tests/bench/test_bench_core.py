"""A tiny size of the core benchmark, so that it cannot rot."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/bench/core"))


@pytest.mark.timeout(300)
def test_every_row_of_the_core_table_is_measured_in_a_tiny_run():
    from rows import ROWS

    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/bench/core/run.py"), "--tiny"],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((ROOT / "results/bench-core.json").read_text())
    missing = [row.metric for row in ROWS if row.metric not in results["whipray"]]
    assert missing == []
