"""Tasks: functions that run in other processes, and what they hand to each other.

Run: ./dev python examples/tasks.py
"""

from __future__ import annotations

import math

import whipray as ray


@ray.remote
def primes_between(low: int, high: int) -> list[int]:
    """The primes p with low <= p < high."""
    return [n for n in range(max(low, 2), high) if all(n % d for d in range(2, math.isqrt(n) + 1))]


@ray.remote
def count(*parts: list[int]) -> int:
    """Its arguments are the results of other tasks: it starts when the last of them is there."""
    return sum(map(len, parts))


def main() -> None:
    with ray.init():
        parts = [primes_between.remote(k, k + 2500) for k in range(0, 20_000, 2500)]
        total = count.remote(*parts)
        first, rest = ray.wait(parts, num_returns=1)
        print(f"{len(first)} part is ready, {len(rest)} may still run")
        print("primes below 20,000:", ray.get(total))


if __name__ == "__main__":
    main()
