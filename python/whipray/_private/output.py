"""A worker's standard streams: before a line of another task they name it, for the driver's prefix.

The mark is a line of its own, ``::task_name:NAME`` or ``::actor_name:NAME``, which the raylet takes
out again. It is written only when something is printed: a task that prints nothing costs nothing.
"""

from __future__ import annotations

import io
from typing import BinaryIO

from whipray._private.tasks import current_task

actor_name: str | None = None
"""Set in an actor's process, where all lines are the actor's."""


def _mark() -> str:
    if actor_name is not None:
        return f"::actor_name:{actor_name}\n"
    task = current_task()
    return "" if task is None else f"::task_name:{task.name}\n"


class NamedStream(io.TextIOWrapper):
    """A line-buffered text stream with marks.

    Parameters
    ----------
    buffer : binary file
        Where the bytes go.
    """

    def __init__(self, buffer: BinaryIO) -> None:
        super().__init__(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self._last_mark = ""
        self._at_line_start = True

    def write(self, text: str) -> int:
        """Write text, after a mark if a line begins and its task is another one."""
        if not text:
            return 0
        if self._at_line_start:
            mark = _mark()
            if mark and mark != self._last_mark:
                self._last_mark = mark
                super().write(mark)
        self._at_line_start = text.endswith("\n")
        return super().write(text)
