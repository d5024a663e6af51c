"""Settings from the environment: ``WHIPRAY_X``, and ``RAY_X`` under the `ray` alias."""

from __future__ import annotations

import os
from typing import Final

alias_active = False
"""Whether ``import ray`` means this package in this process (see `whipray.compat`)."""

READ: Final = frozenset(
    (
        "ADDRESS",
        "AUTH_TOKEN",
        "AUTH_TOKEN_PATH",
        "COLOR_PREFIX",
        "DEDUP_LOGS",
        "DEDUP_LOGS_AGG_WINDOW_S",
        "DEDUP_LOGS_ALLOW_REGEX",
        "DEDUP_LOGS_SKIP_REGEX",
        "ENABLE_AUTO_CONNECT",
        "EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES",
        "LOGGER_LEVEL",
        "LOG_TO_DRIVER",
        "NAMESPACE",
        "OVERRIDE_JOB_RUNTIME_ENV",
        "RUNTIME_ENV",
        "TASK_MAX_RETRIES",
        "TMPDIR",
        "WARN_BLOCKING_GET_INSIDE_ASYNC",
    )
)
"""The settings that something reads: those of any other name have no effect."""
_NOT_MEANT: Final = frozenset(
    ("JOB_ID", "NODE_ID", "RAYLET_PID", "USAGE_STATS_ENABLED", "USAGE_STATS_PROMPT_ENABLED")
)
"""Workers have the first three, and Whipray sends no statistics: nothing is lost with these."""

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


def unread() -> list[str]:
    """Return the variables ``RAY_X`` of the environment that ask for what is not built.

    Empty without the alias: they are not Whipray's then.
    """
    if not alias_active:
        return []
    names = (name.removeprefix("RAY_") for name in os.environ if name.startswith("RAY_"))
    return sorted(f"RAY_{name}" for name in names if name not in READ | _NOT_MEANT)
