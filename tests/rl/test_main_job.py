"""The main job without a cluster, its chart and its progress bar."""

import csv
import io
import json
import struct
import zlib

import numpy as np
import pytest
from whipray.rl import main_job, plot


def decode_png(data):
    """Pixels of a PNG of our own making: 8-bit RGB, rows unfiltered."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(
            kind + body
        )
        chunks[kind] = body
        at += 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def test_the_job_solves_and_writes_what_it_says(tmp_path, capsys):
    assert main_job.main(["--runners", "0", "--setting", "quickest", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "mean return" in printed and "solved after" in printed
    rows = list(csv.DictReader((tmp_path / "curve.csv").open()))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["solved"] and int(rows[-1]["env_steps"]) == summary["env_steps"] <= 119_808
    assert float(rows[-1]["return_mean"]) > 450
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "checkpoint" / "metadata.json").exists()


def test_a_job_that_is_not_solved_says_so(tmp_path, capsys):
    assert main_job.main(["--runners", "0", "--max-steps", "2000", "--out", str(tmp_path)]) == 1
    assert "not solved after 2,048 steps" in capsys.readouterr().out


def test_the_chart_without_matplotlib_shows_curve_and_target():
    pixels = decode_png(plot.draw_chart([0, 1000, 2000], [10.0, 300.0, 480.0], 475))
    assert pixels.shape == (480, 800, 3)
    blue = (pixels == (30, 90, 170)).all(axis=2)
    red = (pixels == (200, 80, 60)).all(axis=2)
    assert blue.sum() > 600 and red.sum() > 300
    columns = np.flatnonzero(blue.any(axis=0))
    assert columns[0] <= 93 and columns[-1] >= 779  # from the first point to the last
    assert np.flatnonzero(blue[:, 100])[0] > np.flatnonzero(blue[:, 770])[0]  # it rises


@pytest.mark.parametrize("points", [([5], [7.0]), ([0, 1], [3.0, 3.0]), ([0, 1], [-5.0, -1.0])])
def test_charts_of_few_or_flat_points_are_drawn(points):
    decode_png(plot.draw_chart(*points))


def test_the_bar_is_drawn_in_place_on_a_terminal_only():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for out, lines in ((Terminal(), 2), (io.StringIO(), 1)):
        progress = main_job.Progress(out, 475.0, 1000)
        progress.update(100, 1e6, None)
        progress.update(200, 1e6, 475.0, last=True)
        text = out.getvalue()
        assert text.count("mean return") == lines
        assert text.endswith("\n") and "#" * 30 in text
