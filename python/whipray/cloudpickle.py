"""cloudpickle under the name that Ray gives it."""

from cloudpickle import *  # type: ignore[import-untyped]  # noqa: F403
from cloudpickle import dump, dumps, load, loads

__all__ = ["dump", "dumps", "load", "loads"]
