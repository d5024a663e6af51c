"""``./dev bench core``: every row of the core table, with the floors, and Ray in turn if asked.

Writes ``results/bench-core.json`` and, unless the run is tiny or partial, the table between the
markers of ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

from rows import RELATIVE_MUST, ROWS, Row

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from page import machine, number, show, write_section  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PROGRAMS = ["tasks", "actors", "objects", "startup", "failure"]

UNITS: dict[str, str] = {}  # metric -> unit, as its program printed it
Results = dict[str, list[float]]  # metric -> the medians and rounds of all runs


def collect(command: list[str], env: dict[str, str], limit_s: float) -> tuple[Results, list[str]]:
    """Runs one program; the rounds of each metric it printed, and what went wrong."""
    done = subprocess.run(
        command, cwd=HERE, env=env, capture_output=True, text=True, timeout=limit_s, check=False
    )
    found: Results = {}
    problems = []
    for line in done.stdout.splitlines():
        if not line.startswith("{"):
            continue
        row = json.loads(line)
        if "value" in row:
            found.setdefault(row["metric"], []).extend(row.get("values", [row["value"]]))
            UNITS[row["metric"]] = row["unit"]
        else:
            problems.append(f"{row['metric']}: {row.get('text')}")
    if done.returncode != 0:
        problems.append(f"{' '.join(command[1:3])}: exit {done.returncode}: {done.stderr[-400:]}")
    return found, problems


def merge(into: Results, more: Results) -> None:
    for metric, values in more.items():
        into.setdefault(metric, []).extend(values)


def must_of(row: Row, floors: Results) -> float | None:
    if row.metric in RELATIVE_MUST:
        floor, share = RELATIVE_MUST[row.metric]
        return statistics.median(floors[floor]) * share if floor in floors else None
    return row.must


def table(ours: Results, ray: Results | None, floors: Results) -> tuple[str, list[str]]:
    """The table as Markdown, and the rows that miss their "must"."""
    lines = [
        "| measure | unit | Whipray | "
        + ("Ray 2.58.0 | ratio | " if ray is not None else "")
        + "floor | must | goal | |"
    ]
    lines.append("|---|---|---|" + ("---|---|" if ray is not None else "") + "---|---|---|---|")
    missed = []
    for row in ROWS:
        values = ours.get(row.metric)
        must = must_of(row, floors)
        verdict = ""
        if values and must is not None:
            middle = statistics.median(values)
            reached = middle >= must if row.more else middle <= must
            verdict = "✓" if reached else "✗"
            if not reached:
                missed.append(row.metric)
        elif not values:
            verdict = "not measured"
            missed.append(row.metric)
        peer = ""
        if ray is not None:
            theirs = ray.get(row.metric)
            ratio = "–"
            if values and theirs and statistics.median(values) and statistics.median(theirs):
                a, b = statistics.median(values), statistics.median(theirs)
                ratio = f"{(a / b if row.more else b / a):,.3g} ×"
            peer = f"{show(theirs)} | {ratio} | "
        floor = ""
        if row.floor in floors:
            floor = f"{show(floors[row.floor])} {UNITS[row.floor]}"
        goal = "" if row.goal is None else number(row.goal)
        lines.append(
            f"| {row.title} | {row.unit} | {show(values)} | {peer}{floor} | "
            f"{'' if must is None else number(must)} | {goal} | {verdict} |"
        )
    return "\n".join(lines) + "\n", missed


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench core", description=__doc__)
    parser.add_argument(
        "--against",
        choices=["ray"],
        help="measure this engine in turn, in a virtual environment of its own",
    )
    parser.add_argument(
        "--peer-rounds", type=int, default=2, help="rounds per row of the other engine (default 2)"
    )
    parser.add_argument("--runs", type=int, default=1, help="how often to alternate (default 1)")
    parser.add_argument(
        "--only",
        choices=PROGRAMS,
        action="append",
        help="these programs only; the page stays as it is",
    )
    parser.add_argument(
        "--merge", action="store_true", help="with --only: other rows from the last run's results"
    )
    parser.add_argument("--tiny", action="store_true", help="sizes for a test; no page is written")
    return parser.parse_args()


def ray_python() -> str:
    """Ray's own virtual environment, made at first use."""
    python = ROOT / "build/ray-venv/bin/python"
    if not python.exists():
        print("installing Ray 2.58.0 into", python.parents[1], flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "ray==2.58.0", "numpy"], check=True
        )
    return str(python)


def main() -> int:
    options = arguments()
    env = {**os.environ, "BENCH_TINY": "1" if options.tiny else "0"}
    floors: Results = {}
    ours: Results = {}
    ray: Results | None = {} if options.against else None
    problems: list[str] = []
    earlier = ROOT / "results/bench-core.json"
    if options.merge and earlier.exists():
        old = json.loads(earlier.read_text())
        UNITS.update(old.get("units", {}))
    floor_program = os.environ["WHIPRAY_BIN_DIR"] + "/bench_floors"
    for _ in range(options.runs):
        for command in ([floor_program, env["BENCH_TINY"]], [sys.executable, "floors.py"]):
            found, wrong = collect(command, env, 170)
            merge(floors, found)
            problems += wrong
        for program in options.only or PROGRAMS:
            found, wrong = collect(
                [sys.executable, program + ".py"], {**env, "BENCH_ENGINE": "whipray"}, 600
            )
            merge(ours, found)
            problems += wrong
            if ray is not None:
                plain = {k: v for k, v in env.items() if k != "PYTHONPATH"}
                found, wrong = collect(
                    [ray_python(), program + ".py"],
                    {**plain, "BENCH_ENGINE": "ray", "BENCH_ROUNDS": str(options.peer_rounds)},
                    900,
                )
                merge(ray, found)
                problems += ["ray: " + w for w in wrong]
    if options.merge and earlier.exists():  # rows of the programs that were left out
        ours = {**old["whipray"], **ours}
        floors = {**old["floor"], **floors}
        ray = {**(old["ray"] or {}), **(ray or {})} or None
    text, missed = table(ours, ray, floors)
    print(text)
    for problem in problems:
        print("problem:", problem)
    print("below must:", ", ".join(missed) or "none")
    results = ROOT / "results"
    results.mkdir(exist_ok=True)
    (results / "bench-core.json").write_text(
        json.dumps(
            {
                "units": UNITS,
                "whipray": ours,
                "ray": ray,
                "floor": floors,
                "machine": machine(),
                "problems": problems,
            },
            indent=1,
        )
    )
    if not options.tiny and (not options.only or options.merge):
        write_section(
            "core", "./dev bench core" + (" --against ray" if options.against else ""), text
        )
    return 1 if any(not p.startswith("ray:") for p in problems) else 0


if __name__ == "__main__":
    sys.exit(main())
