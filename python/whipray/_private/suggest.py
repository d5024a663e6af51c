"""The nearest right name, for the text of an error."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

PREFIX_LENGTH: Final = 3
"""A shorter common beginning suggests nothing."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, or an empty text if no name is close to this one.

    Close is at most a third of the letters changed, added or left out, or a common beginning of
    two thirds of the shorter one.

    Examples
    --------
    >>> nearest("num_cpu", ["num_cpus", "num_gpus"])
    "; did you mean 'num_cpus'?"
    >>> nearest("zzz", ["num_cpus"])
    ''
    """
    best: tuple[int, str] | None = None
    for other in sorted(known):
        distance = _distance(name.lower(), other.lower())
        if _is_close(name.lower(), other.lower(), distance) and (
            best is None or distance < best[0]
        ):
            best = (distance, other)
    return f"; did you mean '{best[1]}'?" if best else ""


def _is_close(name: str, other: str, distance: int) -> bool:
    pairs = zip(name, other, strict=False)
    begins = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    if begins >= PREFIX_LENGTH and 3 * begins >= 2 * min(len(name), len(other)):
        return True
    return 3 * distance <= max(len(name), len(other))


def _distance(a: str, b: str) -> int:
    """Count the letters to change, add, leave out or exchange with the next."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        before, last, row = row, before, [i]
        for j, right in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
