"""The task that this thread or coroutine runs."""

from __future__ import annotations

import contextvars
from typing import Any

from whipray import _core

in_coroutine: contextvars.ContextVar[Any] = contextvars.ContextVar("whipray_task", default=None)
"""Set in the coroutines of asyncio actors, of which many share one thread."""


def current_task() -> Any:
    """Return the running task, or None outside tasks."""
    task = in_coroutine.get()
    return task if task is not None else _core.current_task()
