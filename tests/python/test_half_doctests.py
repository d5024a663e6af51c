"""The examples in the docstrings."""

import doctest
import importlib
import pkgutil

import pytest
import whipray

SKIPPED = ("whipray.rl", "whipray.rllib", "whipray.compat", "whipray._core", "whipray._private.cli")


def modules():
    yield "whipray"
    for found in pkgutil.walk_packages(whipray.__path__, "whipray."):
        if not found.name.startswith(SKIPPED):
            yield found.name


@pytest.fixture(scope="module")
def cluster():
    whipray.shutdown()
    whipray.init(num_cpus=4, log_to_driver=False)
    yield
    whipray.shutdown()


@pytest.mark.parametrize("name", modules())
def test_examples(cluster, name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test
        for name in modules()
        for test in finder.find(importlib.import_module(name))
        if test.examples
    ]
    assert len(found) > 20
