"""Find what in a value cannot be pickled."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import cloudpickle  # type: ignore[import-untyped]

__all__ = ["FailureTuple", "find_failures", "inspect_serializability"]


class FailureTuple:
    """One thing that cannot be pickled.

    Parameters
    ----------
    obj : object
        The thing.
    name : str
        How it is called where it was found.
    parent : object
        What it was found in.
    """

    def __init__(self, obj: Any, name: str, parent: Any) -> None:
        self.obj = obj
        self.name = name
        self.parent = parent

    def __repr__(self) -> str:
        return f"FailureTuple(obj={self.obj!r:.80}, name={self.name})"


def _pickles(value: Any) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:
        return False
    return True


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value is made of."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"[{key!r}]", item
        return
    if isinstance(value, (list, tuple, set, frozenset)):
        for index, item in enumerate(value):
            yield f"[{index}]", item
        return
    if inspect.isfunction(value):
        captured = inspect.getclosurevars(value)
        yield from captured.globals.items()
        yield from captured.nonlocals.items()
        return
    if inspect.ismethod(value):
        yield "__self__", value.__self__
    fields = getattr(value, "__dict__", None)
    if fields is not None:
        for name, item in dict(fields).items():
            if not name.startswith("__"):
                yield name, item


def find_failures(
    value: Any, depth: int = 3, name: str = "", parent: Any = None
) -> list[FailureTuple]:
    """Return the innermost parts, at most `depth` deep, that cannot be pickled."""
    if _pickles(value):
        return []
    found: list[FailureTuple] = []
    if depth > 0:
        try:
            parts = list(_parts(value))
        except Exception:
            parts = []
        for part_name, part in parts:
            found.extend(find_failures(part, depth - 1, part_name, value))
    if not found:
        found.append(FailureTuple(value, name or type(value).__name__, parent))
    return found


def inspect_serializability(
    base_obj: Any, name: str | None = None, depth: int = 3, print_file: TextIO | None = None
) -> tuple[bool, set[FailureTuple]]:
    """Tell whether an object can be sent, and print what keeps it from that.

    Parameters
    ----------
    base_obj : object
        The object.
    name : str, optional
        What to call it.
    depth : int
        How deep to look.
    print_file : file, optional
        Where to print; standard output by default.

    Returns
    -------
    tuple of bool and set of FailureTuple

    Examples
    --------
    >>> import threading
    >>> ok, failures = inspect_serializability(threading.Lock(), name="lock")  # doctest: +ELLIPSIS
    lock cannot be pickled...
    >>> ok
    False
    """
    out = print_file if print_file is not None else sys.stdout
    name = name if name is not None else getattr(base_obj, "__qualname__", str(base_obj)[:60])
    failures = find_failures(base_obj, depth, name)
    if not failures:
        print(f"{name} can be pickled", file=out)
        return True, set()
    print(f"{name} cannot be pickled; what keeps it from that:", file=out)
    for failure in failures:
        print(f"  {failure.name}: {type(failure.obj).__name__}", file=out)
    return False, set(failures)
