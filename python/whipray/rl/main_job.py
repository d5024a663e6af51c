"""Train PPO on CartPole until it is solved: what ``./dev run`` runs.

Environment runners are actors; batches and weights are objects of the store. Writes into the
output folder::

    curve.png, curve.csv   the learning curve
    checkpoint/            what examples/play_cartpole.py loads
    summary.json           the figures that are printed at the end
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

from whipray.rl.algorithm import Algorithm
from whipray.rl.config import PPOConfig
from whipray.rl.plot import save_curve
from whipray.rl.settings import SETTINGS

COLUMNS = (
    "iteration",
    "env_steps",
    "seconds",
    "return_mean",
    "episodes",
    "env_steps_per_s",
    "policy_loss",
    "vf_loss",
    "entropy",
    "kl",
)
REDRAW_S = 0.1


def engine_counters() -> dict[str, Any]:
    """What the engine counted so far, by name; empty where it does not count."""
    from whipray._private import api

    counters = getattr(api, "engine_counters", None)
    return dict(counters()) if counters is not None else {}


def seconds_since_start() -> float:
    """Seconds since this process began, by the kernel's clock (in steps of 10 ms)."""
    with open("/proc/self/stat") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    with open("/proc/uptime") as file:
        uptime = float(file.read().split()[0])
    return uptime - ticks / os.sysconf("SC_CLK_TCK")


class Progress:
    """One line that is drawn over and over on a terminal, and once at the end elsewhere."""

    def __init__(self, out: TextIO, target: float, env_steps_max: int) -> None:
        self._out, self._target, self._max = out, target, env_steps_max
        self._live = out.isatty()
        self._drawn = 0.0

    def line(self, env_steps: int, rate: float, mean: float | None) -> str:
        """The line for a state: the bar shows the mean return on its way to the target."""
        share = 0.0 if mean is None else max(0.0, min(1.0, mean / self._target))
        bar = "#" * round(30 * share)
        shown = "   -" if mean is None else f"{mean:6.1f}"
        return (
            f"[{bar:<30}] mean return {shown} of {self._target:g} | {env_steps:>9,} steps"
            f" | {rate:>11,.0f} steps/s"
        )

    def update(self, env_steps: int, rate: float, mean: float | None, last: bool = False) -> None:
        """Show the present state."""
        now = time.monotonic()
        if last or (self._live and now - self._drawn >= REDRAW_S):
            self._drawn = now
            start = "\r" if self._live else ""
            self._out.write(f"{start}{self.line(env_steps, rate, mean)}{chr(10) if last else ''}")
            self._out.flush()


def train(
    algo: Algorithm,
    target: float,
    env_steps_max: int,
    progress: Progress,
    rows: list[tuple[Any, ...]],
) -> bool:
    """Train until the mean return over the window of episodes reaches `target`.

    Parameters
    ----------
    rows : list of tuple
        Gets one for each iteration, as COLUMNS.

    Returns
    -------
    bool
        Whether it was reached.
    """
    started = time.perf_counter()
    while True:
        result = algo.train()
        runners, learner = result["env_runners"], result["learners"]["default_policy"]
        seconds = time.perf_counter() - started
        steps = runners["num_env_steps_sampled_lifetime"]
        mean = runners.get("episode_return_mean")
        rows.append(
            (
                result["training_iteration"],
                steps,
                round(seconds, 6),
                mean,
                runners["num_episodes"],
                round(runners["num_env_steps_sampled"] / result["time_this_iter_s"]),
                learner["policy_loss"],
                learner["vf_loss"],
                learner["entropy"],
                learner["mean_kl_loss"],
            )
        )
        solved = bool(runners.get("episode_return_mean_best", 0.0) >= target)
        done = solved or steps >= env_steps_max
        progress.update(
            steps,
            steps / seconds,
            runners["episode_return_mean_best"] if solved else mean,
            last=done,
        )
        if done:
            return solved


def save(out: Path, rows: list[tuple[Any, ...]], target: float, algo: Algorithm) -> None:
    """Write curve and checkpoint, over those of an earlier run."""
    with open(out / "curve.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    points = [(row[1], row[3]) for row in rows if row[3] is not None]
    if points:
        save_curve(out / "curve.png", [p[0] for p in points], [p[1] for p in points], target)
    algo.save_to_path(out / "checkpoint")


def whole(text: str) -> int:
    """A number of the command line that may not be negative."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="./dev run", description="Train PPO on CartPole-v1 until it is solved."
    )
    parser.add_argument(
        "--setting", choices=sorted(SETTINGS), default="quick", help="hyperparameters (docs/rl.md)"
    )
    parser.add_argument(
        "--runners",
        type=whole,
        default=2,
        help="environment runner actors; 0: sample in the driver",
    )
    parser.add_argument(
        "--learners", type=int, default=0, choices=(0, 1), help="1: the learner is an actor too"
    )
    parser.add_argument("--seed", type=whole, default=1, help="equal seeds give equal bits")
    parser.add_argument(
        "--target", type=float, default=475.0, help="mean return over the last 100 episodes"
    )
    parser.add_argument(
        "--max-steps", type=whole, default=1_000_000, help="environment steps to give up after"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results/cartpole"),
        help="folder of the results; those of an earlier run are replaced (default: %(default)s)",
    )
    return parser.parse_args(argv)


def make_folder(out: Path) -> None:
    """Make the output folder and write into it, so that nobody trains for nothing."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass


COUNTED = (
    ("calls_submitted", "calls sent"),
    ("calls_executed", "calls run"),
    ("objects_put", "objects put"),
    ("bytes_put", "bytes put"),
    ("objects_sealed", "objects sealed"),
    ("bytes_sealed", "bytes sealed"),
)


def print_counters(counters: dict[str, Any]) -> None:
    """Print what the engine counted: a line for each process, and the sums."""
    if not counters:
        print("engine: no counters")
        return
    print(f"{'engine':>14} {'pid':>8}" + "".join(f" {title:>15}" for _, title in COUNTED))
    rows = [(slot.get("kind", "?"), slot.get("pid", 0), slot) for slot in counters.get("slots", [])]
    rows.append(("all", "", counters.get("total", {})))
    for kind, pid, counted in rows:
        figures = "".join(f" {int(counted.get(name) or 0):>15,}" for name, _ in COUNTED)
        print(f"{kind:>14} {pid or '':>8}{figures}")


def configured(options: argparse.Namespace) -> PPOConfig:
    """The configuration for a command line; raises ValueError."""
    config = SETTINGS[options.setting](options.runners)
    config.learners(num_learners=options.learners).debugging(seed=options.seed)
    cores = len(os.sched_getaffinity(0))
    if options.runners > cores:  # they share the cores: without this they would wait for ever
        config.env_runners(num_cpus_per_env_runner=math.floor(1e4 * cores / options.runners) / 1e4)
    return config


def main(argv: list[str] | None = None) -> int:
    """Run the job.

    Returns
    -------
    int
        0: solved; 1: not solved; 2: it could not begin; 130: interrupted.
    """
    options = arguments(argv)
    try:
        config = configured(options)
        make_folder(options.out)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"error: cannot write into {options.out}: {error.strerror}; name another folder with "
            f"--out",
            file=sys.stderr,
        )
        return 2
    rows: list[tuple[Any, ...]] = []
    try:
        return run(options, config, rows)
    except KeyboardInterrupt:
        steps = rows[-1][1] if rows else 0
        print(
            f"\ninterrupted after {steps:,} steps; runners and learner are ended, nothing was "
            f"written to {options.out}",
            file=sys.stderr,
        )
        return 130


def run(options: argparse.Namespace, config: PPOConfig, rows: list[tuple[Any, ...]]) -> int:
    """Train, save and print; 0 if it was solved."""
    distributed = options.runners > 0 or options.learners > 0
    print(
        f"PPO on CartPole-v1: setting {options.setting}, seed {options.seed}, "
        f"{options.runners} runner actors, "
        f"learner {'an actor' if options.learners else 'in the driver'}"
    )
    print(f"configuration: {config}")
    algo = config.build_algo()
    try:
        pids = algo.worker_pids()
        print(f"training: driver pid {os.getpid()}, runners {pids['env_runners'] or 'none'}")
        progress = Progress(sys.stdout, options.target, options.max_steps)
        solved = train(algo, options.target, options.max_steps, progress, rows)
        since_start = seconds_since_start()
        counters = engine_counters() if distributed else {}
        evaluation = algo.evaluate()["env_runners"]["episode_return_mean"]
        save(options.out, rows, options.target, algo)
    finally:
        algo.stop()
    steps, seconds = rows[-1][1], rows[-1][2]
    summary = {
        "setting": options.setting,
        "seed": options.seed,
        "solved": solved,
        "configuration": repr(config),
        "mean_return": rows[-1][3],
        "env_steps": steps,
        "seconds": seconds,
        "env_steps_per_s": round(steps / seconds),
        "seconds_since_command": round(since_start, 2),
        "evaluation_return": evaluation,
        "driver_pid": os.getpid(),
        "runner_pids": pids["env_runners"],
        "learner_pids": pids["learners"] or [os.getpid()],
        "engine": counters,
    }
    (options.out / "summary.json").write_text(json.dumps(summary, indent=1))
    mean = "no episode ended" if rows[-1][3] is None else f"mean return {rows[-1][3]:.1f}"
    print(
        f"{'solved' if solved else 'not solved'} after {steps:,} steps in {seconds:.3f} s "
        f"({steps / seconds:,.0f} steps/s; {since_start:.2f} s after the command began): {mean} "
        f"over the last 100 episodes; 10 fresh episodes, likeliest actions: mean return "
        f"{evaluation:.1f}"
    )
    print(
        f"driver pid {os.getpid()}, runners {pids['env_runners']}, "
        f"learner {summary['learner_pids']}"
    )
    if distributed:
        print_counters(counters)
    print(f"wrote {options.out}/curve.png, curve.csv, summary.json, checkpoint/")
    return 0 if solved else 1


if __name__ == "__main__":
    sys.exit(main())
