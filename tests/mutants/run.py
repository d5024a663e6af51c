"""Plants one bug at a time in engine/shm and demands that the suite sees it.

A planted bug is a patch in this folder; its first lines say what the bug is and why it matters.
Each is applied to a copy of the part of the tree that it needs (build/mutants/tree), built there,
and given to the detectors, fastest first, until one fails. One that no detector sees is a hole in
the suite: write the scenario that sees it.

    run.py             all, after a run without any bug, in which every detector must pass
    run.py --quick     three that are seen fast, for the everyday suite
    run.py NAME...     these
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "build" / "mutants"
TREE = WORK / "tree"
PARTS = [
    "CMakeLists.txt",
    "cmake",
    "include",
    "engine/base",
    "engine/shm",
    "tests/CMakeLists.txt",
    "tests/unit/shm",
    "tests/kill",
]
QUICK = ["epoch-unchecked", "hold-left-out", "grace-left-out"]


@dataclass(frozen=True)
class Bench:
    """Where the copy is built, and which tests with it."""

    build: Path
    tests: str  # regular expression of the test folders; empty: all of the copy


ALL_TESTS = Bench(WORK / "build", "")
KILLER_ONLY = Bench(WORK / "build-killer", "^kill$")  # the unit tests take longest to build


@dataclass(frozen=True)
class Detector:
    """A command of the suite; it sees a bug by failing or by not ending."""

    name: str
    command: list[str]
    timeout_s: int


def detectors(bench: Bench, scenario: str | None = None) -> list[Detector]:
    """All detectors, fastest first; every point of `scenario` before every point of all."""
    kill, chaos = str(bench.build / "bin" / "pool_kill"), str(bench.build / "bin" / "pool_chaos")
    found = []
    if bench.tests == "":
        unit = ["ctest", "--test-dir", str(bench.build), "-E", "pool_kill|pool_chaos"]
        unit += ["--stop-on-failure", "-j2", "--timeout", "60"]
        found.append(Detector("unit tests", unit, 300))
    sample = [kill, "--sample", "3000", "--fail-fast"]
    found.append(Detector("pool_kill --sample 3000", sample, 300))
    found.append(Detector("pool_chaos 8 1", [chaos, "8", "1"], 60))
    if scenario is not None:
        one = [kill, "--all", "--scenario", scenario, "--fail-fast"]
        found.append(Detector(f'pool_kill --all --scenario "{scenario}"', one, 600))
    found.append(Detector("pool_kill --all", [kill, "--all", "--fail-fast"], 3600))
    return found


def scenario_of(patch: Path) -> str | None:
    """Where a patch says that its bug can be seen, should a sample miss it."""
    for line in patch.read_text().splitlines():
        if line.startswith("# scenario: "):
            return line.removeprefix("# scenario: ")
    return None


def run(command: list[str], timeout_s: int) -> tuple[int | None, str]:
    """Exit status (None: it did not end in time) and output of a command and all that it starts."""
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = child.communicate(timeout=timeout_s)
        return child.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output, _ = child.communicate()
        return None, output


def refresh_tree() -> None:
    """Makes the copy equal to the tree; equal files keep their time, so little is built again."""
    wanted: set[Path] = set()
    for part in PARTS:
        source = ROOT / part
        files = [source] if source.is_file() else [f for f in source.rglob("*") if f.is_file()]
        for file in files:
            relative = file.relative_to(ROOT)
            wanted.add(relative)
            copy = TREE / relative
            if not copy.exists() or not filecmp.cmp(file, copy, shallow=False):
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
    for file in [f for f in TREE.rglob("*") if f.is_file()]:
        if file.relative_to(TREE) not in wanted:
            file.unlink()


def build(bench: Bench) -> str | None:
    """Builds the detectors; None, or why it cannot be built."""
    if not (bench.build / "build.ninja").exists():
        options = ["-DCMAKE_BUILD_TYPE=Release", "-DWHIPRAY_PYTHON=OFF"]
        options.append("-DWHIPRAY_FOLDERS=engine/base;engine/shm")
        options.append(f"-DWHIPRAY_TEST_FOLDERS={bench.tests}")
        status, output = run(
            ["cmake", "-S", str(TREE), "-B", str(bench.build), "-G", "Ninja", *options], 120
        )
        if status != 0:
            return output
    status, output = run(["ninja", "-C", str(bench.build), "-j2"], 600)
    return None if status == 0 else output


def last_lines(output: str, count: int = 3) -> str:
    words = ("FAIL", "FAULT", "Failure")
    telling = [line for line in output.splitlines() if any(word in line for word in words)]
    return "\n".join("    " + line[:200] for line in (telling or output.splitlines())[:count])


def try_mutant(patch: Path, bench: Bench) -> bool:
    name = patch.stem
    refresh_tree()
    apply = [
        "patch",
        "-p1",
        "--fuzz=0",
        "--no-backup-if-mismatch",
        "-d",
        str(TREE),
        "-i",
        str(patch),
    ]
    status, output = run(apply, 60)
    if status != 0:
        print(f"{name}: THE PATCH DOES NOT APPLY\n{output}", flush=True)
        return False
    wrong = build(bench)
    if wrong is not None:
        print(f"{name}: DOES NOT BUILD\n{wrong[-2000:]}", flush=True)
        return False
    for detector in detectors(bench, scenario_of(patch)):
        began = time.monotonic()
        status, output = run(detector.command, detector.timeout_s)
        if status != 0:
            how = "did not end" if status is None else f"{time.monotonic() - began:.1f} s"
            print(f"{name}: seen by {detector.name} ({how})\n{last_lines(output, 1)}", flush=True)
            return True
    print(f"{name}: NOT SEEN", flush=True)
    return False


def try_without(bench: Bench) -> bool:
    """All detectors on the tree as it is: what follows means nothing if one of them fails."""
    refresh_tree()
    wrong = build(bench)
    if wrong is not None:
        print(f"no bug planted: does not build\n{wrong[-2000:]}")
        return False
    for detector in detectors(bench)[:3]:
        status, output = run(detector.command, detector.timeout_s)
        if status != 0:
            print(f"no bug planted, and {detector.name} fails:\n{last_lines(output, 10)}")
            return False
    print("no bug planted: nothing seen", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three that are seen fast")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="patches of this folder, without .patch"
    )
    options = parser.parse_args()
    names = options.names or (
        QUICK if options.quick else sorted(p.stem for p in HERE.glob("*.patch"))
    )
    bench = KILLER_ONLY if options.quick else ALL_TESTS
    unknown = [name for name in names if not (HERE / f"{name}.patch").exists()]
    if unknown:
        parser.error(f"no such planted bug: {', '.join(unknown)}")
    if not options.quick and not options.names and not try_without(bench):
        return 1
    seen = [try_mutant(HERE / f"{name}.patch", bench) for name in names]
    refresh_tree()
    print(f"{sum(seen)} of {len(seen)} planted bugs seen")
    return 0 if all(seen) else 1


if __name__ == "__main__":
    sys.exit(main())
