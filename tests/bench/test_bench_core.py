"""A tiny size of the core benchmark, so that it cannot rot."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/bench/core"), str(ROOT / "tests/bench")]


RUN = [sys.executable, str(ROOT / "tests/bench/core/run.py")]


@pytest.mark.timeout(300)
def test_every_row_of_the_core_table_is_measured_in_a_tiny_run(tmp_path):
    from rows import MACHINE, ROWS

    real = ROOT / "results/bench-core.json"
    before = real.read_bytes() if real.exists() else None
    out = tmp_path / "tiny.json"
    done = subprocess.run(
        [*RUN, "--tiny", "--out", str(out)],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(out.read_text())
    assert [row.metric for row in ROWS if row.metric not in results["whipray"]] == []
    assert [metric for metric, _ in MACHINE if metric not in results["floor"]] == []
    assert (real.read_bytes() if real.exists() else None) == before  # those of the real run


@pytest.mark.parametrize("text", ['{"tiny": true}', "{}"])
def test_rows_of_a_tiny_run_are_never_merged(tmp_path, text):
    out = tmp_path / "results.json"
    out.write_text(text)
    done = subprocess.run(
        [*RUN, "--merge", "--only", "failure", "--out", str(out)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "is of a tiny run" in done.stderr
    assert out.read_text() == text


def test_two_modes_are_told_from_one():
    from page import modes, show

    one = [1.0 + 0.01 * k for k in range(25)]
    low, high = [1.0 + 0.01 * k for k in range(12)], [2.0 + 0.01 * k for k in range(13)]
    assert modes(one) is None
    assert modes(low + high) == (pytest.approx(1.055), pytest.approx(2.06))
    assert modes([1.0] * 24 + [9.0]) is None  # one odd round is no mode
    assert "modes" in show(high + low)
    assert "modes" not in show(one)
