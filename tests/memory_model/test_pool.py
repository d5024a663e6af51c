"""The orders of engine/shm against the memory model: each claim holds with the code's orders, and breaks
with each that is one step weaker than is said to be enough."""

from __future__ import annotations

import pathlib
import re

import inventory
import pytest
import report
from litmus import Litmus, weakest
from rc11 import Program, outcomes, violation

ENGINE = pathlib.Path(__file__).resolve().parents[2] / "engine/shm"
ALL = report.ALL
SITES = [pytest.param(t, name, id=f"{t.name}: {name}") for t in ALL for name in t.sites]
WRONG = [
    pytest.param(t, name, id=f"{t.name}: {name}")
    for t in ALL
    for name in (*t.wrong, *t.wrong_orders)
]


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))


@pytest.mark.parametrize("litmus", ALL, ids=lambda t: t.name)
def test_the_claim_holds(litmus: Litmus) -> None:
    broken = violation(litmus.program(), litmus.holds)
    assert broken is None, f"{litmus.claim}: {broken}"


@pytest.mark.parametrize("litmus", ALL, ids=lambda t: t.name)
def test_the_claim_says_something(litmus: Litmus) -> None:
    assert any(litmus.reaches(outcome) for outcome in outcomes(litmus.program()))


@pytest.mark.parametrize(("litmus", "name"), SITES)
def test_what_is_weaker_than_enough_breaks_the_claim(litmus: Litmus, name: str) -> None:
    site = litmus.sites[name]
    found = set(
        weakest(
            site.kind,
            site.order,
            lambda order: violation(litmus.program({name: order}), litmus.holds) is None,
        )
    )
    assert found == set(litmus.enough.get(name, (site.order,)))


@pytest.mark.parametrize(("litmus", "wrong"), WRONG)
def test_the_wrong_way_breaks_the_claim(litmus: Litmus, wrong: str) -> None:
    if wrong in litmus.wrong:
        program = Program(litmus.wrong[wrong](litmus.orders()), litmus.init)
    else:
        program = litmus.program(litmus.wrong_orders[wrong])
    assert violation(program, litmus.holds) is not None


@pytest.mark.parametrize(("litmus", "name"), SITES)
def test_the_code_stands_where_the_program_says(litmus: Litmus, name: str) -> None:
    """A change of an order, or of the lines around it, must come with a change of its program."""
    site = litmus.sites[name]
    assert squeezed(site.code) in squeezed((ENGINE / site.file).read_text())


def test_the_table_of_the_readme_is_that_of_the_programs() -> None:
    """`python tests/memory_model/report.py` prints it."""
    assert report.table() in pathlib.Path(__file__).with_name("README.md").read_text()


def test_every_atomic_word_stands_in_the_readme_with_its_accesses() -> None:
    """`python tests/memory_model/inventory.py` prints them: a new one needs a program, or a reason."""
    text = pathlib.Path(__file__).with_name("README.md").read_text()
    listed = set(
        re.findall(r"^\| `([a-z_.]+)` \| ((?:load|store|rmw)[^|]*) \|", text, flags=re.MULTILINE)
    )
    assert {(word, ", ".join(sorted(how))) for word, how in inventory.words().items()} == listed
