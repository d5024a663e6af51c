"""Whipray's own additions to Ray's API."""

from __future__ import annotations

from typing import Any

from whipray import _core
from whipray._private import session as sessions


def engine_counters() -> dict[str, Any]:
    """Return what the engine counted for this job.

    Returns
    -------
    dict
        ``slots``: one dict per living process, and one with pid 0 for those that have ended, each
        with ``pid``, ``kind``, ``tasks_submitted``, ``tasks_executed``, ``calls_submitted``,
        ``calls_executed``, ``objects_put``, ``bytes_put``, ``objects_sealed``, ``bytes_sealed``;
        ``total``: their sums; ``own``: what this process counted by itself.

    Examples
    --------
    >>> from whipray._private.api import engine_counters
    >>> engine_counters()["total"]["objects_put"] >= 0
    True
    """
    sessions.require_connected("engine_counters()")
    slots = [dict(slot) for slot in sessions.call("counters").get("slots") or []]
    names = sorted({name for slot in slots for name in slot} - {"pid", "kind", "slot"})
    total = {name: sum(int(slot.get(name) or 0) for slot in slots) for name in names}
    return {"slots": slots, "total": total, "own": _core.counters()}
