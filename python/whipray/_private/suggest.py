"""The nearest right name, for the text of an error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` or an empty text.

    Examples
    --------
    >>> nearest("num_cpu", ["num_cpus", "num_gpus"])
    "; did you mean 'num_cpus'?"
    >>> nearest("zzz", ["num_cpus"])
    ''
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{found[0]}'?" if found else ""
