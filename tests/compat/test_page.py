"""docs/compatibility.md is held to the tests that it names."""

import ast
import re
from pathlib import Path

import pytest
import ray_names

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "compatibility.md"
NAMED = re.compile(r"tests/compat/(test_\w+\.py)::(test_\w+)")
STATES = {"works", "differs", "not yet"}


def rows():
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.startswith("|") or line.startswith(("|---", "| What ")):
            continue
        what, state, how = (part.strip() for part in line.strip("|").split(" | ", 2))
        yield number, what, state, how.strip(" |")


def functions(file):
    tree = ast.parse((ROOT / "tests" / "compat" / file).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def asserts(node):
    """Whether a test checks something: an assert, or a with-statement over pytest.raises."""
    for part in ast.walk(node):
        if isinstance(part, ast.Assert):
            return True
        if isinstance(part, ast.With) and "raises" in ast.dump(part.items[0]):
            return True
    return False


def is_skipped(node):
    """Whether a test is marked to be skipped, or begins by skipping itself."""
    if any("skip" in ast.dump(mark) or "xfail" in ast.dump(mark) for mark in node.decorator_list):
        return True
    first = [part for part in node.body if not isinstance(part, ast.Expr) or part is node.body[0]]
    return any(
        isinstance(part, ast.Expr)
        and isinstance(part.value, ast.Call)
        and getattr(part.value.func, "attr", "") in ("skip", "xfail")
        for part in first
    )


def test_every_row_has_a_state():
    found = list(rows())
    assert len(found) > 150
    for number, what, state, how in found:
        assert state in STATES, f"line {number}: {what!r} has the state {state!r}"
        assert how, f"line {number}: {what!r} says nothing"


def test_rows_that_work_name_a_test():
    for number, what, state, how in rows():
        if state == "works":
            assert NAMED.search(how), f"line {number}: {what!r} works, but names no test"


def test_rows_that_are_not_built_say_what_happens():
    for number, what, state, how in rows():
        assert len(how) > 6 or state != "not yet", f"line {number}: {what!r}"


def test_named_tests_exist_and_check_something():
    named = sorted(set(NAMED.findall(PAGE.read_text(encoding="utf-8"))))
    assert len(named) > 150
    known = {}
    for file, name in named:
        if file not in known:
            known[file] = functions(file)
        node = known[file].get(name)
        assert node is not None, f"{file}::{name} does not exist"
        assert asserts(node), f"{file}::{name} has no assertion"
        assert not is_skipped(node), f"{file}::{name} is skipped"


@pytest.mark.parametrize("number", range(1, 11))
def test_each_trap_has_its_test(number):
    assert [
        name for name in functions("test_traps.py") if name.startswith(f"test_trap_{number:02}")
    ]


def words_by_section():
    """For each numbered section: the state of each row, with the names in its first column."""
    found = {}
    section = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        heading = re.match(r"## (\d+)\. ", line)
        if heading:
            section = heading[1]
        elif line.startswith("|") and not line.startswith(("|---", "| What ")):
            what, state, _ = (part.strip() for part in line.strip("|").split(" | ", 2))
            code = " ".join(re.findall(r"`([^`]*)`", what))
            found.setdefault(section, []).append((state, set(re.findall(r"[\w.]+", code))))
    return found


def expected_rows():
    """(section, name, the states that a row which names it may have) for all of ray_names."""
    built, unbuilt = {"works", "differs"}, {"not yet"}
    for table, states in (
        (ray_names.THERE, built),
        (ray_names.MODULES, unbuilt),
        (ray_names.UNBUILT, unbuilt),
    ):
        for section in table:
            for name in ray_names.dotted(table[section]):
                yield section, name, states
    for section, listed in ray_names.LEFT_OUT.items():
        yield from ((section, name, unbuilt) for name in listed.split())
    uses = [
        *((section, word, raises) for section, word, _, raises in ray_names.USES),
        *(("2", name, raises) for name, _, raises in ray_names.INIT),
        *(("2", name, "") for name in (ray_names.INIT_TAKES + ray_names.INIT_PRIVATE).split()),
        *(("2", name, "") for name in ray_names.CONTEXT.split()),
        *(("2", name, raises) for name, _, raises in ray_names.JOB_CONFIG),
        *(("23", name, raises) for _, name, _, raises in ray_names.RLLIB),
        *(("23", name, ray_names.NOT) for name in ray_names.RLLIB_UNBUILT.split()),
    ]
    for section, word, raises in uses:
        if word != "nosuch":
            states = {"": built, ray_names.NOT: unbuilt}.get(raises, STATES)
            yield section, word, states
    for name in ray_names.VARIABLES.split():
        yield "21", name, STATES


def test_every_option_of_start_has_its_row():
    section = PAGE.read_text(encoding="utf-8").partition("## 20. ")[2].partition("\n## ")[0]
    listed = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `start")]
    listed += [line.split(" | ")[0] for line in section.splitlines() if "`whipray start" in line]
    named = set(re.findall(r"--[a-z-]+", " ".join(listed)))
    assert set(ray_names.START_OPTIONS.split()) - named == set()


def test_every_name_has_its_row():
    page = words_by_section()
    missing = []
    for section, name, states in expected_rows():
        last = name.rpartition(".")[2]
        rows_there = page.get(section, [])
        if not any(state in states and {name, last} & words for state, words in rows_there):
            missing.append(f"section {section}: {name} ({' or '.join(sorted(states))})")
    assert not missing, "\n".join(missing)


def marks():
    """(file, text) of each ``pytest.mark.differs(text)``."""
    for path in sorted((ROOT / "tests" / "compat").glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "differs":
                yield path.name, ast.literal_eval(node.args[0])


def test_what_a_mark_says_stands_in_a_row_that_differs():
    told = [how for _, _, state, how in rows() if state != "works"]
    found = list(marks())
    assert len(found) > 5
    for file, text in found:
        assert len(text) > 10 and any(text in how for how in told), f"{file}: {text}"
