"""Pickling that the codec of the C extension leaves to Python."""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections.abc import Callable
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from whipray import _core

PROTOCOL = 5
DYNAMIC_FILE = "<dynamic-code>"
"""What cloudpickle writes in place of a function's file."""


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle that keeps the file names of functions, which remote tracebacks show."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is not types.CodeType:
            return super().reducer_override(obj)
        make, arguments = self.dispatch_table[types.CodeType](obj)
        name = "".join(obj.co_filename)  # a str of its own, so that pickles of equals are equal
        return make, tuple(
            name if isinstance(part, str) and part == DYNAMIC_FILE else part for part in arguments
        )


class _ValuePickler(_Pickler):
    """cloudpickle that lets the sink answer for references and registered classes."""

    def __init__(self, sink: Any) -> None:
        super().__init__(sink, protocol=PROTOCOL, buffer_callback=sink.buffer)
        self._reduce = sink.reduce

    def reducer_override(self, obj: Any) -> Any:
        answer = self._reduce(obj)
        if answer is not NotImplemented:
            return answer
        return super().reducer_override(obj)


def cloud_dump(sink: Any, value: Any) -> None:
    """Pickle a value that the fast codec and the plain pickler cannot send (hook ``cloud_dump``).

    Raises
    ------
    TypeError
        If it cannot be pickled; the text says which part.
    pickle.PicklingError
        If it is nested too deep.
    """
    try:
        _ValuePickler(sink).dump(value)
    except (TypeError, pickle.PicklingError, AttributeError, RecursionError) as error:
        if isinstance(error.__cause__ or error, RecursionError):
            raise pickle.PicklingError(
                f"a value of type {type(value).__name__} cannot be pickled: it is nested deeper "
                f"than the recursion limit of {sys.getrecursionlimit()} allows; "
                "sys.setrecursionlimit() raises it"
            ) from None
        raise TypeError(unpicklable_report(value, error)) from error


def unpicklable_report(value: Any, error: BaseException) -> str:
    """Say what in a value could not be pickled."""
    from whipray.util.check_serialize import find_failures

    lines = [f"a value of type {type(value).__name__} cannot be pickled: {error}"]
    for failure in find_failures(value, depth=3):
        where = f" (in {failure.parent!r:.60})" if failure.parent is not None else ""
        lines.append(f"  {failure.name}: {type(failure.obj).__name__}{where}")
    return "\n".join(lines)


def dumps(value: Any) -> bytes:
    """Pickle by value what has no name to be imported by, in one piece."""
    out = io.BytesIO()
    _Pickler(out, protocol=PROTOCOL).dump(value)
    return out.getvalue()


def loads(data: bytes) -> Any:
    """Undo `dumps`."""
    return pickle.loads(data)


_registered: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {}


def _apply(deserializer: Callable[[Any], Any], payload: Any) -> Any:
    return deserializer(payload)


def register_serializer(
    cls: type, *, serializer: Callable[[Any], Any], deserializer: Callable[[Any], Any]
) -> None:
    """Send instances of exactly this class through two functions of the user."""
    _registered[cls] = (serializer, deserializer)
    _core.serializers[cls] = lambda value: (_apply, (deserializer, serializer(value)))


def deregister_serializer(cls: type) -> None:
    """Undo `register_serializer`; a class that is not registered is left alone."""
    _registered.pop(cls, None)
    _core.serializers.pop(cls, None)
