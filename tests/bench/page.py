"""What the benchmarks share to write their tables into ``docs/performance.md``."""

from __future__ import annotations

import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/performance.md"


def number(value: float) -> str:
    """A figure as people read it: three significant digits, k and M for thousands and millions."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.2f} M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:.0f} k"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.3g}"


def spread(values: list[float]) -> tuple[float, float]:
    """p10 and p90 of ten rounds and more, else the least and the greatest."""
    ordered = sorted(values)
    cut = len(ordered) // 10
    return ordered[cut], ordered[-1 - cut]


def modes(values: list[float]) -> tuple[float, float] | None:
    """The medians of the two groups that the widest gap between neighbours splits the rounds into.

    None unless there are ten rounds, a fifth of them in each group, and the gap is a step of a fifth
    and wider than either group's own steps by three.
    """
    ordered = sorted(values)
    fifth = max(2, len(ordered) // 5)
    if len(ordered) < 10 or ordered[0] <= 0:
        return None
    steps = [b / a for a, b in zip(ordered, ordered[1:], strict=False)]
    at = max(range(fifth - 1, len(ordered) - fifth), key=lambda k: steps[k])
    usual = statistics.median(steps) - 1
    if steps[at] < 1.2 or steps[at] - 1 < 3 * usual:
        return None
    return statistics.median(ordered[: at + 1]), statistics.median(ordered[at + 1 :])


def show(values: list[float] | None) -> str:
    """Median with its range, and both modes if there are two; a dash where nothing was measured."""
    if not values:
        return "–"
    middle = statistics.median(values)
    if min(values) == max(values):
        return number(middle)
    least, most = map(number, spread(values))
    two = modes(values)
    tail = "" if two is None else f"; modes {number(two[0])}, {number(two[1])}"
    return f"**{number(middle)}** ({least}–{most}{tail})"


def loads() -> str:
    """Load average of this moment: read it before a run."""
    return "/".join(f"{x:.2f}" for x in os.getloadavg())


def machine() -> str:
    """The machine in words."""
    with open("/proc/cpuinfo") as f:
        model = (line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
        name = next(model, "unknown CPU")
    return f"{name}, {os.cpu_count()} cores, Python {sys.version.split()[0]}"


def _commit() -> str:
    git = ["git", "-C", str(ROOT)]
    said = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True)
    if said.returncode != 0:
        return "unknown"
    dirty = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", ":!docs"], check=False)
    return said.stdout.strip() + (" with changes" if dirty.returncode else "")


def conditions(command: str, load: str) -> str:
    """What all rows of a table share, as a table of its own. ``load``: of before the run."""
    cpu, cores, python = machine().rsplit(", ", 2)
    rows = [
        ("command", f"`{command}`"),
        ("CPU", f"{cpu}, {cores}"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("Python", python.removeprefix("Python ")),
        ("date", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())),
        ("commit", _commit()),
        ("load average before", load),
    ]
    return "| shared conditions | |\n|---|---|\n" + "".join(f"| {a} | {b} |\n" for a, b in rows)


def write_section(section: str, text: str) -> None:
    """Puts text between the markers of its section; the prose around them stays."""
    begin, end = f"<!-- bench {section}: begin -->", f"<!-- bench {section}: end -->"
    old = PAGE.read_text()
    if begin not in old or end not in old:
        sys.exit(f"{PAGE} has lost its markers {begin} … {end}")
    head, rest = old.split(begin, 1)
    tail = rest.split(end, 1)[1]
    PAGE.write_text(f"{head}{begin}\n{text}{end}{tail}")
