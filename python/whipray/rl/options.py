"""The options of a configuration: one table, from which checks, defaults and errors follow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from whipray._private.suggest import nearest


class NotProvided:
    """The value of an argument that was not given."""

    def __repr__(self) -> str:
        return "NotProvided"


NOT_PROVIDED = NotProvided()


@dataclass(frozen=True)
class Option:
    """One keyword of one method of a configuration.

    Attributes
    ----------
    default : object
        Its value until it is set.
    check : callable, optional
        Takes name and value, returns the value to keep, raises TypeError or ValueError.
    built : bool
        False: RLlib has it and Whipray does not yet; only the default is accepted.
    instead : str
        What to do instead, for the error of an option that is not built.
    """

    default: Any = None
    check: Callable[[str, Any], Any] | None = None
    built: bool = True
    instead: str = ""

    def accept(self, name: str, value: Any) -> Any:
        """Return the value to keep for `value`, or raise."""
        if not self.built:
            if value is self.default or value == self.default:
                return value
            hint = f" {self.instead}" if self.instead else ""
            raise NotImplementedError(
                f"{name}={value!r} is not built yet; only {name}={self.default!r} is.{hint}"
            )
        return value if self.check is None else self.check(name, value)


def not_built(default: Any = None, instead: str = "") -> Option:
    """An option of RLlib of which only the default is accepted."""
    return Option(default, built=False, instead=instead)


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's own."""
    item = getattr(value, "item", None)
    return item() if item is not None and getattr(value, "shape", None) == () else value


def whole(low: int, high: int | None = None) -> Callable[[str, Any], int]:
    """A check for whole numbers from `low` to `high`."""

    def check(name: str, value: Any) -> int:
        value = _plain(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an int, not {value!r}")
        if value < low or (high is not None and value > high):
            bound = low if value < low else high
            raise ValueError(f"{name} is {value}: the nearest allowed is {bound}")
        return value

    return check


def number(
    low: float,
    high: float | None = None,
    *,
    above: bool = False,
    below: bool = False,
    optional: bool = False,
    infinite: bool = False,
) -> Callable[[str, Any], Any]:
    """A check for numbers from `low` to `high`.

    Parameters
    ----------
    low, high : float
        The bounds; None: there is no upper one.
    above, below : bool
        Whether the lower and the upper bound are refused themselves.
    optional, infinite : bool
        Whether None and infinity are right, too.
    """
    bounds = f"{'above' if above else 'at least'} {low}"
    if high is not None:
        bounds = f"{bounds} and {'below' if below else 'at most'} {high}"

    def check(name: str, value: Any) -> Any:
        if value is None and optional:
            return None
        value = _plain(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{name} must be a number, not {value!r}")
        good = value > low if above else value >= low
        if good and high is not None:
            good = value < high if below else value <= high
        if not good:
            raise ValueError(f"{name} is {value}: it must be {bounds}")
        if math.isinf(value) and not infinite:
            raise ValueError(f"{name} is {value}: it must be finite")
        return float(value)

    return check


def schedule(low: float) -> Callable[[str, Any], Any]:
    """A check for a number, or ``[[step, value], ...]`` whose first step is 0."""
    single = number(low)

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return single(name, value)
        points = []
        for point in value:
            if not isinstance(point, (list, tuple)) or len(point) != 2:
                raise ValueError(f"{name}: a schedule is [[step, value], ...], not {value!r}")
            points.append(
                (whole(0)(f"{name}'s step", point[0]), single(f"{name}'s value", point[1]))
            )
        if not points or points[0][0] != 0:
            raise ValueError(f"{name}: a schedule must start at step 0, not {value!r}")
        if any(a[0] >= b[0] for a, b in itertools.pairwise(points)):
            raise ValueError(f"{name}: the steps of a schedule must rise, not {value!r}")
        return points

    return check


def value_at(value: Any, step: int) -> float:
    """The value of a number or schedule at an environment step, linear between its points."""
    if not isinstance(value, list):
        return float(value)
    before = value[0]
    for point in value[1:]:
        if step < point[0]:
            share = (step - before[0]) / (point[0] - before[0])
            return float(before[1] + share * (point[1] - before[1]))
        before = point
    return float(before[1])


def flag(name: str, value: Any) -> bool:
    """A check for True or False."""
    value = _plain(value)
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def one_of(*choices: Any) -> Callable[[str, Any], Any]:
    """A check for one of a few values."""

    def check(name: str, value: Any) -> Any:
        if value not in choices:
            hint = nearest(str(value), [str(c) for c in choices])
            raise ValueError(
                f"{name} is {value!r}{hint or '.'} Known: {', '.join(map(repr, choices))}"
            )
        return value

    return check
