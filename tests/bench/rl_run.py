"""``./dev bench rl``: every row of the reinforcement-learning table.

Runs ``rl_bench.py``, prints the table, and writes it into ``docs/performance.md`` unless ``--tiny``
or ``--only``.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import subprocess
import sys
from typing import NamedTuple

from page import conditions, loads, number, show, write_section


class Row(NamedTuple):
    """One row: its metric of rl_bench.py, what it has to reach, what we are after."""

    metric: str
    title: str
    must: float | None
    goal: float | None
    more: bool = True


ROWS = [
    Row("cartpole_steps_64", "CartPole steps/s, one core, 64 environments", 50e6, 110e6),
    Row("cartpole_steps_1024", "CartPole steps/s, one core, 1,024 environments", 60e6, 130e6),
    Row("fma_peak", "one core's multiply-add loop, GFLOP/s (the floor)", None, None),
    Row("learner_share_64x64", "learner, 64-64 shared, share of that loop", 0.65, 0.75),
    Row("learner_share_64x64_separate", "learner, 64-64 separate, share of that loop", None, None),
    Row("learner_share_256x256", "learner, 256-256 shared, share of that loop", 0.75, 0.88),
    Row("ppo_loop_shared", "PPO end to end, no daemons, 64-64 shared, env steps/s", 2.0e6, 3.0e6),
    Row("ppo_loop_separate", "the same, separate networks", None, None),
    Row("ppo_loop_small", "the same, small shape", None, None),
    Row("ppo_actors_shared", "PPO as actors, 64-64 shared, env steps/s", 1.5e6, 2.5e6),
    Row("ppo_actors_shared_learner_actor", "the same, the learner an actor, too", None, None),
    Row("ppo_actors_separate", "PPO as actors, separate networks", 1.2e6, 1.6e6),
    Row("ppo_actors_small", "PPO as actors, small shape", 0.8e6, 3e6),
    Row("time_to_475_loop_quick", "to a mean return of 475, no daemons, s", 0.25, 0.05, False),
    Row("time_to_475_loop_quickest", "the same, 32 units", None, None, False),
    Row("time_to_475_actors_quick", "to a mean return of 475, as actors, s", 0.25, 0.05, False),
    Row("time_to_475_actors_quickest", "the same, 32 units", None, None, False),
    Row("weights_10MB", "10 MB of weights to two runners, ms", 3, 1, False),
    Row("command_to_solved", "from the command to solved, s", 1.5, 0.4, False),
    Row("memory_pss", "memory of the run, all processes, MiB", 200, 100, False),
]


def main() -> int:
    load = loads()
    program = pathlib.Path(__file__).with_name("rl_bench.py")
    done = subprocess.run(
        [sys.executable, str(program), *sys.argv[1:]],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    found: dict[str, list[float]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            row = json.loads(line)
            found[row["metric"]] = row.get("values") or [row["value"]]
    lines = ["| measure | Whipray | must | goal | |", "|---|---|---|---|---|"]
    for row in ROWS:
        values = found.get(row.metric)
        verdict = ""
        if values and row.must is not None:
            middle = statistics.median(values)
            verdict = "✓" if (middle >= row.must if row.more else middle <= row.must) else "✗"
        must, goal = ("" if x is None else number(x) for x in (row.must, row.goal))
        lines.append(f"| {row.title} | {show(values)} | {must} | {goal} | {verdict} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if done.returncode == 0 and not sys.argv[1:]:
        write_section("rl", conditions("./dev bench rl", load) + "\n" + text)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
