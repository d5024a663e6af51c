"""`./dev`: a step that fails is never taken for one that passed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUB = """#!/bin/sh
echo "$(basename "$0") $*" >>"$STUB_LOG"
case "$(basename "$0") $*" in
  "dpkg-query "*) echo 'install ok installed' ;;
esac
[ -z "$STUB_FAILS" ] && exit 0
case "$(basename "$0") $*" in *"$STUB_FAILS"*) exit "${STUB_STATUS:-1}" ;; esac
exit 0
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project whose every tool is a stub that writes down its call, and fails if it is told to."""
    shutil.copy(ROOT / "dev", tmp_path / "dev")
    (tmp_path / "CMakePresets.json").touch()
    tools, programs = tmp_path / "tools", tmp_path / ".venv" / "bin"
    tools.mkdir()
    programs.mkdir(parents=True)
    (tools / "requirements.txt").touch()
    (tmp_path / ".venv" / ".requirements").touch()
    names = ["python", "cmake", "ninja", "ctest", "dpkg-query", "apt-get"]
    for path in [tools / "fuzz.sh", *(programs / name for name in names)]:
        path.write_text(STUB)
        path.chmod(0o755)
    return tmp_path


def dev(tree: Path, *arguments: str, fails: str = "", status: int = 1) -> tuple[int, str]:
    """Run it; its exit status and what it called."""
    log = tree / "calls"
    log.write_text("")
    environment = {
        **os.environ,
        "PATH": f"{tree}/.venv/bin:{os.environ['PATH']}",
        "STUB_LOG": str(log),
        "STUB_FAILS": fails,
        "STUB_STATUS": str(status),
    }
    done = subprocess.run([tree / "dev", *arguments], env=environment, capture_output=True)
    return done.returncode, log.read_text()


def test_all_steps_are_run_and_pass(tree):
    status, calls = dev(tree, "test")
    assert status == 0
    for part in (
        "lint.py",
        "build/release",
        "build/asan",
        "build/tsan",
        "fuzz.sh",
        "mutants",
        "pytest",
    ):
        assert part in calls


@pytest.mark.parametrize(
    "step",
    [
        "python tools/lint.py",
        "ninja -C build/release",
        "ctest --test-dir build/release",
        "cmake --preset asan",
        "ninja -C build/asan",
        "ctest --test-dir build/asan",
        "ninja -C build/tsan",
        "ctest --test-dir build/tsan",
        "ninja -C build/fuzz",
        "fuzz.sh",
        "mutants/run.py",
        "-m pytest",
    ],
)
def test_a_failing_step_fails_the_whole(tree, step):
    status, calls = dev(tree, "test", fails=step)
    assert step in calls
    assert status != 0


@pytest.mark.parametrize("command", ["python", "run", "mutants", "prove"])
def test_nothing_runs_on_a_build_that_failed(tree, command):
    status, calls = dev(tree, command, "x.py", fails="ninja -C build/release")
    assert status != 0
    assert "python" not in calls.split("ninja -C build/release")[1]


def test_a_filter_that_no_test_has_is_a_mistake(tree):
    assert dev(tree, "test", "no_such_test", fails="-m pytest", status=5)[0] != 0


def test_a_program_is_found_from_where_the_user_stands(tmp_path, tree):
    (tree / ".venv" / "bin" / "python").write_text('#!/bin/sh\n[ "$PWD" = "$WANTED" ]\n')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{tree}/.venv/bin:{os.environ['PATH']}",
        "STUB_LOG": os.devnull,
        "STUB_FAILS": "",
        "WANTED": str(elsewhere),
    }
    done = subprocess.run(
        [tree / "dev", "python", "x.py"], cwd=elsewhere, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
