"""Checks of style and structure: ``./dev lint``.

Layers, banned calls, file sizes, dead files, paths of one machine, ruff, mypy, clang-format,
spelling. Prints each finding as ``file:line: what is wrong`` and ends with 1 if there is one.
The undefined symbols of the cores are a test of CTest: tests/unit/symbols.
"""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# A folder may include its own headers and those of the folders named behind it.
LAYERS: dict[str, set[str]] = {}


def _layers() -> None:
    base = {"whipray", "base"}
    LAYERS["base"] = {"whipray"}
    LAYERS["shm"] = base
    LAYERS["store"] = base | {"shm"}
    LAYERS["local"] = base | {"shm"}
    LAYERS["sched"] = base
    LAYERS["rpc"] = base | {"sched"}
    LAYERS["worker"] = base | {"shm", "store", "local"}
    LAYERS["gcs"] = base | {"sched", "rpc"}
    LAYERS["raylet"] = base | {"shm", "store", "local", "sched", "rpc"}
    LAYERS["cli"] = base | {"local", "sched", "rpc"}
    LAYERS["rl"] = base


BANNED = re.compile(
    r"\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|rand|srand|system|gets|tmpnam)\s*\("
)
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
LINES_MAX = 800
EVERYWHERE = ("tmp", "usr", "var", "opt", "mnt", "srv")  # folders of every machine
COLUMNS_MAX = 132  # clang-format wraps code at 110; tables in comments are wider


def tracked(*patterns: str) -> list[pathlib.Path]:
    """Files of git (and those not yet added) that match the patterns."""
    out = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [pathlib.Path(line) for line in out.splitlines() if (ROOT / line).is_file()]


def strip_comments(text: str) -> str:
    """C text with comments and strings blanked, line numbers kept."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def folder_of(path: pathlib.Path) -> str | None:
    parts = path.parts
    if parts[0] == "engine":
        return parts[1]
    return "rl" if parts[0] == "rl" else None


def check_c(path: pathlib.Path, findings: list[str]) -> None:
    text = (ROOT / path).read_text()
    folder = folder_of(path)
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if found and folder and "/" in found.group(1):
            target = found.group(1).split("/")[0]
            if target != folder and target not in LAYERS[folder]:
                findings.append(f"{path}:{number}: {folder} may not include {found.group(1)}")
        if len(line) > COLUMNS_MAX:
            findings.append(f"{path}:{number}: {len(line)} columns (at most {COLUMNS_MAX})")
    for number, line in enumerate(strip_comments(text).splitlines(), 1):
        found = BANNED.search(line)
        if found:
            findings.append(
                f"{path}:{number}: {found.group(1)} is banned; use its bounded relative"
            )


def check_lengths(findings: list[str]) -> None:
    """Sources and tests of more than one purpose, as far as their length tells."""
    for path in tracked("*.c", "*.h", "*.cc", "*.py"):
        lines = (ROOT / path).read_text().count("\n")
        if lines > LINES_MAX:
            findings.append(
                f"{path}:1: {lines} lines (at most {LINES_MAX}): more than one purpose?"
            )


def check_dead(findings: list[str]) -> None:
    """Sources that no CMakeLists.txt names."""
    lists = "\n".join((ROOT / p).read_text() for p in tracked("*CMakeLists.txt", "*.cmake"))
    for path in tracked("engine/*.c", "rl/*.c", "python/src/*.c"):
        if path.name not in lists:
            findings.append(f"{path}:1: no CMakeLists.txt names this file")


def check_paths(findings: list[str]) -> None:
    """Nothing of a certain machine in the project."""
    where = "home|root|Users"
    top = ROOT.parts[1]
    if top not in EVERYWHERE:  # where this checkout lies
        where += f"|{re.escape(top)}"
    home = re.compile(rf"/({where})/\w")
    for path in tracked("*.py", "*.c", "*.h", "*.cc", "*.md", "*.txt", "dev", "*.toml"):
        if path == pathlib.Path("tools/lint.py"):
            continue
        for number, line in enumerate((ROOT / path).read_text(errors="replace").splitlines(), 1):
            if home.search(line):
                findings.append(f"{path}:{number}: a path of one machine")


def run_tool(findings: list[str], name: str, *arguments: str) -> None:
    tool = shutil.which(name, path=str(ROOT / ".venv/bin")) or shutil.which(name)
    if tool is None:
        findings.append(f"dev:1: {name} is missing: run ./dev setup")
        return
    done = subprocess.run([tool, *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).splitlines()
        found = [line for line in lines if re.match(r"\S+:\d+", line)]
        findings.extend(found or [f"dev:1: {name}: " + " ".join(lines)[-300:]])


def main() -> int:
    _layers()
    findings: list[str] = []
    for folder in ("engine", "rl", "include", "python/src"):
        for path in tracked(f"{folder}/*.c", f"{folder}/*.h"):
            check_c(path, findings)
    check_lengths(findings)
    check_dead(findings)
    check_paths(findings)
    python = ("python", "tests", "tools", "examples")
    run_tool(findings, "ruff", "check", "--quiet", "--output-format", "concise", *python)
    run_tool(findings, "mypy", "--no-error-summary", "python/whipray")
    sources = [str(path) for path in tracked("*.c", "*.h", "*.cc")]
    run_tool(findings, "clang-format", "--dry-run", "-Werror", "--ferror-limit=1", *sources)
    texts = [str(path) for path in tracked("*.md", "*.c", "*.h", "*.py")]
    run_tool(findings, "codespell", "-L", "notin,numer,settinga,abd,tahn,evalute", *texts)
    for line in findings:
        print(line)
    print(f"lint: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
