"""The main job without a cluster, its chart and its progress bar."""

import csv
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from whipray.rl import Algorithm, main_job, plot


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


def test_the_configuration_and_its_figures_are_printed(tmp_path, capsys):
    main_job.main(["--runners", "0", "--max-steps", "4000", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "configuration: PPOConfig(env='CartPole-v1'" in printed
    assert (
        "model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], fcnet_activation='tanh'" in printed
    )
    assert re.search(
        r"after 4,096 steps in \d+\.\d+ s \([\d,]+ steps/s;.*: mean return \d", printed
    )


def test_a_second_run_in_the_folder_replaces_the_first(tmp_path):
    for seed, steps in ((1, 4000), (2, 2000)):
        main_job.main(
            [
                "--runners",
                "0",
                "--seed",
                str(seed),
                "--max-steps",
                str(steps),
                "--out",
                str(tmp_path),
            ]
        )
    rows = list(csv.DictReader((tmp_path / "curve.csv").open()))
    assert len(rows) == 2 and json.loads((tmp_path / "summary.json").read_text())["seed"] == 2
    algo = Algorithm.from_checkpoint(tmp_path / "checkpoint")
    assert (algo.iteration, algo.config.seed) == (2, 2)


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "sub", "/proc/results"):  # /proc: root cannot write either
        assert main_job.main(["--runners", "0", "--out", str(folder)]) == 2
        printed = capsys.readouterr()
        assert f"error: cannot write into {folder}" in printed.err and "--out" in printed.err
        assert not printed.out


def test_a_wrong_command_line_is_refused(tmp_path, capsys):
    assert main_job.main(["--runners", "3", "--out", str(tmp_path)]) == 2
    assert "error: 32 environments do not split over 3 runners" in capsys.readouterr().err
    for wrong in (["--runners", "-1"], ["--setting", "slow"], ["--max-steps", "many"]):
        with pytest.raises(SystemExit):
            main_job.main(wrong)
    with pytest.raises(SystemExit) as left:
        main_job.main(["--help"])
    assert left.value.code == 0 and "--out" in capsys.readouterr().out


def test_more_runners_than_cores_share_them(tmp_path):
    cores = len(os.sched_getaffinity(0))
    runners = next(n for n in (8, 16, 32, 64, 128, 256) if n > cores)
    options = main_job.arguments(["--setting", "throughput", "--runners", str(runners)])
    config = main_job.configured(options)
    assert 0 < config.num_cpus_per_env_runner * runners <= cores


@pytest.mark.engine
@pytest.mark.parametrize("options", [[], ["--runners", "0"]])
def test_ctrl_c_leaves_with_a_message_and_nothing_behind(tmp_path, options):
    pytest.importorskip("whipray._core")
    command = [sys.executable, "-u", "-m", "whipray.rl.main_job", "--target", "501"]
    command += ["--max-steps", "1000000000", "--out", str(tmp_path), *options]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in job.stdout:
            if line.startswith("training"):
                break
        children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
        job.send_signal(signal.SIGINT)
        _, errors = job.communicate(timeout=60)
    finally:
        job.kill()
    assert job.returncode == 130 and "Traceback" not in errors
    assert "interrupted after" in errors
    assert not list(tmp_path.iterdir())
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


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
