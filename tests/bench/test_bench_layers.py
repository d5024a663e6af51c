"""A tiny size of the layers benchmark, so that it cannot rot."""

from __future__ import annotations

import pathlib
import subprocess
import sys


def test_every_layer_has_a_figure_in_a_tiny_run():
    program = pathlib.Path(__file__).with_name("layers.py")
    done = subprocess.run(
        [sys.executable, str(program), "--tiny"], capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(program.parent))
    from layers import C_ROWS, PYTHON_ROWS

    for _, title in C_ROWS + PYTHON_ROWS:
        assert f"| {title} |" in done.stdout
