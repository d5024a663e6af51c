"""Node labels and label selectors: their syntax."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"(?:[A-Za-z0-9.\-]{{1,253}}/)?{_PART}")
_VALUE = re.compile(rf"(?:{_PART})?")
_LIST = re.compile(r"!?in\((?P<items>[^()]*)\)")


def check_labels(what: str, labels: Mapping[str, str]) -> None:
    """Check the labels of a node; ValueError or TypeError names the first wrong one."""
    for key, value in labels.items():
        _check_key(what, key)
        if key.startswith("ray.io/"):
            raise ValueError(f"{what}: the prefix 'ray.io/' is reserved ({key!r})")
        if not isinstance(value, str):
            raise TypeError(f"{what}: the value of {key!r} must be a str")
        _check_value(what, value)


def check_selector(what: str, selector: Mapping[str, str]) -> None:
    """Check a label selector.

    Examples
    --------
    >>> check_selector("label_selector", {"zone": "in(a,b)", "gpu": "!none"})
    """
    for key, value in selector.items():
        _check_key(what, key)
        if not isinstance(value, str):
            raise TypeError(f"{what}: the value of {key!r} must be a str")
        listed = _LIST.fullmatch(value)
        values = listed["items"].split(",") if listed else [value.removeprefix("!")]
        for item in values:
            _check_value(what, item.strip())


def _check_key(what: str, key: str) -> None:
    if not isinstance(key, str):
        raise TypeError(f"{what}: a label's key must be a str, not {key!r}")
    if not _KEY.fullmatch(key):
        raise ValueError(
            f"{what}: {key!r} is no label key (an optional prefix and '/', then at most 63 "
            "letters, digits, '-', '_' or '.', beginning and ending with a letter or digit)"
        )


def _check_value(what: str, value: str) -> None:
    if not _VALUE.fullmatch(value):
        raise ValueError(
            f"{what}: {value!r} is no label value (at most 63 letters, digits, '-', '_' or '.', "
            "beginning and ending with a letter or digit)"
        )
