"""Ray's marks of stability, for libraries that use them: they give back what they mark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")

__all__ = ["Deprecated", "DeveloperAPI", "PublicAPI"]


def _mark(*args: Any, **kwargs: Any) -> Any:
    if len(args) == 1 and not kwargs and callable(args[0]):
        return args[0]

    def keep(target: _T) -> _T:
        return target

    return keep


PublicAPI: Callable[..., Any] = _mark
DeveloperAPI: Callable[..., Any] = _mark
Deprecated: Callable[..., Any] = _mark
