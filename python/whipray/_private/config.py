"""Settings from the environment: ``WHIPRAY_X``, and ``RAY_X`` under the `ray` alias."""

from __future__ import annotations

import os
from typing import Final

alias_active = False
"""Whether ``import ray`` means this package in this process (see `whipray.compat`)."""

_FALSE: Final = frozenset(("0", "false", "no", "off"))


def text(name: str, default: str | None = None) -> str | None:
    """Return the setting `name`, e.g. ``text("ADDRESS")``; None when it is not set, or empty.

    ``WHIPRAY_ADDRESS`` wins; ``RAY_ADDRESS`` counts under the alias only.
    """
    value = os.environ.get(f"WHIPRAY_{name}")
    if not value and alias_active:
        value = os.environ.get(f"RAY_{name}")
    return value or default


def flag(name: str, default: bool) -> bool:
    """Return a setting that is on or off."""
    value = text(name)
    return default if value is None else value.strip().lower() not in _FALSE


def integer(name: str, default: int) -> int:
    """Return a whole number; what is none is a ValueError that names the variable."""
    value = text(name)
    if value is None:
        return default
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"WHIPRAY_{name} must be a whole number, not {value!r}") from None


def number(name: str, default: float) -> float:
    """Return a number; what is none is a ValueError that names the variable."""
    value = text(name)
    if value is None:
        return default
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"WHIPRAY_{name} must be a number, not {value!r}") from None
