"""``./dev bench core``: every row of the core table, with the floors, and Ray in turn if asked.

Writes ``results/bench-core.json`` and, unless the run is partial, the tables between the markers of
``docs/performance.md``. A tiny run writes ``results/bench-core-tiny.json`` (or ``--out``) and nothing
else.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from rows import MACHINE, RELATIVE_MUST, ROWS, Row

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from page import conditions, loads, machine, number, show, write_section  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
# Each with the seconds that it takes on two quiet cores, here and on Ray.
PROGRAMS = {
    "tasks": (40, 210),
    "actors": (10, 90),
    "objects": (10, 80),
    "startup": (60, 110),
    "failure": (10, 30),
}
FLOORS_S = 20  # floors, twice, and contention

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
            middle = row["value"]  # the programs in C print no single rounds
            rounds = row.get("values", [row.get("min", middle), middle, row.get("max", middle)])
            found.setdefault(row["metric"], []).extend(rounds)
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
        if row.floor in floors:  # its range stands in the table of the machine
            floor = f"{number(statistics.median(floors[row.floor]))} {UNITS[row.floor]}"
        goal = "" if row.goal is None else number(row.goal)
        lines.append(
            f"| {row.title} | {row.unit} | {show(values)} | {peer}{floor} | "
            f"{'' if must is None else number(must)} | {goal} | {verdict} |"
        )
    return "\n".join(lines) + "\n", missed


def machine_table(floors: Results) -> str:
    """Every floor that was measured."""
    lines = ["| the machine | unit | figure |", "|---|---|---|"]
    lines += [
        f"| {title} | {UNITS[metric]} | {show(floors[metric])} |"
        for metric, title in MACHINE
        if metric in floors
    ]
    return "\n".join(lines) + "\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench core", description=__doc__)
    parser.add_argument(
        "--against",
        choices=["ray"],
        help="measure this engine in turn, in a virtual environment of its own",
    )
    parser.add_argument(
        "--peer-rounds",
        type=int,
        default=3,
        help="rounds per row of the other engine (default 3; one where it takes over 20 s)",
    )
    parser.add_argument("--runs", type=int, default=1, help="how often to alternate (default 1)")
    parser.add_argument(
        "--only",
        choices=list(PROGRAMS),
        action="append",
        help="these programs only; the page stays as it is",
    )
    parser.add_argument(
        "--merge", action="store_true", help="with --only: other rows from the last run's results"
    )
    parser.add_argument("--tiny", action="store_true", help="sizes for a test; no page is written")
    parser.add_argument("--out", type=pathlib.Path, help="where the results go, as JSON")
    options = parser.parse_args()
    if options.merge and options.tiny:
        parser.error("--merge with --tiny: figures of a tiny run mean nothing")
    if options.out is None:
        name = "bench-core-tiny.json" if options.tiny else "bench-core.json"
        options.out = ROOT / "results" / name
    return options


def earlier_results(path: pathlib.Path) -> dict:
    """The last run's results, for ``--merge``: those of a tiny run are refused."""
    if not path.exists():
        sys.exit(f"--merge: there is no earlier run in {path}")
    old = json.loads(path.read_text())
    if old.get("tiny", True):
        sys.exit(f"--merge: {path} is of a tiny run, whose figures mean nothing")
    return old


def alternate(
    options: argparse.Namespace, ours: Results, ray: Results | None, floors: Results
) -> list[str]:
    """Floors, each program here and on the other engine in turn, floors again: what went wrong."""
    env = {**os.environ, "BENCH_TINY": "1" if options.tiny else "0"}
    bin_dir = os.environ["WHIPRAY_BIN_DIR"]
    problems = []

    def run(into: Results, command: list[str], limit_s: float, **more: str) -> None:
        begin = time.monotonic()
        found, wrong = collect(command, {**env, **more}, limit_s)
        merge(into, found)
        problems.extend(("ray: " if into is ray else "") + w for w in wrong)
        what = pathlib.Path(command[-1 if command[-1].endswith(".py") else 0]).stem
        print(
            f"{what}{' on ray' if into is ray else ''}: {time.monotonic() - begin:.0f} s",
            flush=True,
        )

    def machine_floors() -> None:
        run(floors, [f"{bin_dir}/bench_floors", env["BENCH_TINY"]], 170)
        run(floors, [sys.executable, "floors.py"], 170)

    for _ in range(options.runs):
        machine_floors()
        for program in options.only or PROGRAMS:
            run(ours, [sys.executable, program + ".py"], 600, BENCH_ENGINE="whipray")
            if ray is not None:
                run(
                    ray,
                    [ray_python(), program + ".py"],
                    900,
                    BENCH_ENGINE="ray",
                    BENCH_ROUNDS=str(options.peer_rounds),
                    PYTHONPATH="",
                )
        tiny = ["--tiny"] if options.tiny else []
        run(ours, [f"{bin_dir}/pool_bench", "--contention", *tiny], 170)
        if not options.tiny:  # the machine drifts: floors of both ends
            machine_floors()
    return problems


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
    old = earlier_results(options.out) if options.merge else None
    floors: Results = {}
    ours: Results = {}
    ray: Results | None = {} if options.against else None
    load = loads()
    if not options.tiny:
        programs = [PROGRAMS[p] for p in options.only or PROGRAMS]
        seconds = FLOORS_S + sum(a + (b if options.against else 0) for a, b in programs)
        print(f"this takes about {seconds * options.runs / 60:.0f} minutes", flush=True)
    problems = alternate(options, ours, ray, floors)
    if old is not None:  # rows of the programs that were left out
        for metric, unit in old["units"].items():
            UNITS.setdefault(metric, unit)
        ours = {**old["whipray"], **ours}
        floors = {**old["floor"], **floors}
        ray = {**(old["ray"] or {}), **(ray or {})} or None
    text, missed = table(ours, ray, floors)
    text = machine_table(floors) + "\n" + text
    print(text)
    for problem in problems:
        print("problem:", problem)
    print("below must:", ", ".join(missed) or "none")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(
        json.dumps(
            {
                "tiny": options.tiny,
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
        command = " ".join(["./dev bench core", *sys.argv[1:]])
        if old is not None:
            command += " (other rows are of an earlier run)"
        write_section("core", conditions(command, load) + "\n" + text)
    return 1 if any(not p.startswith("ray:") for p in problems) else 0


if __name__ == "__main__":
    sys.exit(main())
