"""What the benchmarks share to write their tables into ``docs/performance.md``."""

from __future__ import annotations

import os
import pathlib
import statistics
import sys

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


def show(values: list[float] | None) -> str:
    """Median with its range; a dash where nothing was measured."""
    if not values:
        return "–"
    middle = statistics.median(values)
    if len(values) == 1:
        return number(middle)
    return f"**{number(middle)}** ({number(min(values))}–{number(max(values))})"


def machine() -> str:
    """The machine in words."""
    with open("/proc/cpuinfo") as f:
        model = (line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
        name = next(model, "unknown CPU")
    return f"{name}, {os.cpu_count()} cores, Python {sys.version.split()[0]}"


def write_section(section: str, command: str, text: str) -> None:
    """Puts a table between the markers of its section."""
    begin, end = f"<!-- bench {section}: begin -->", f"<!-- bench {section}: end -->"
    old = PAGE.read_text()
    if begin not in old or end not in old:
        sys.exit(f"{PAGE} has lost its markers {begin} … {end}")
    head, rest = old.split(begin, 1)
    tail = rest.split(end, 1)[1]
    PAGE.write_text(
        f"{head}{begin}\n`{command}` on {machine()}; medians and ranges of all rounds.\n\n{text}{end}{tail}"
    )
